//! Text. Positions and lengths count UTF-16 units where Java's do and characters here: they differ only beyond the basic
//! plane, where Java would split a character.

use super::{Body, Function, MANY, Make, Ready};
use crate::datum::{Datum, Fault, list, text};
use bumpalo::Bump;
use regex::Regex;

/// Bytes that a function may make of one value: a record is no place for more, and a number in it must not become memory.
pub(crate) const MADE_MOST: usize = 16 << 20;

/// Bytes of a regular expression's program.
const REGEX_MOST: usize = 1 << 20;

/// A function of one text that gives a text.
macro_rules! maps {
    ($names:expr, $call:expr) => {
        Function::plain($names, 1, 1, |args, arena| {
            let call: fn(&str) -> String = $call;
            Ok(text(&call(args[0].text(arena)), arena))
        })
    };
}

/// A function of one text that gives a part of it.
macro_rules! cuts {
    ($names:expr, $call:expr) => {
        Function::plain($names, 1, 1, |args, arena| {
            let call: fn(&str) -> &str = $call;
            Ok(Datum::Text(call(args[0].text(arena))))
        })
    };
}

/// A function of two texts that gives a truth.
macro_rules! tests {
    ($names:expr, $call:expr) => {
        Function::plain($names, 2, 2, |args, arena| {
            let call: fn(&str, &str) -> bool = $call;
            Ok(Datum::Bool(call(args[0].text(arena), args[1].text(arena))))
        })
    };
}

/// Characters `from..to` of a text.
fn part(whole: &str, from: usize, to: usize) -> &str {
    let at = |n: usize| whole.char_indices().nth(n).map_or(whole.len(), |(at, _)| at);
    let (from, to) = (at(from), at(to));
    whole.get(from..to).unwrap_or("")
}

fn chars(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

fn at_least_zero(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}

/// `substr(text, from, to)`: from 0, the end not included; -1 is the end of the text.
fn substr<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let whole = args[0].text(arena);
    let from = at_least_zero(args[1].long()?);
    let to = match args.get(2) {
        None => usize::MAX,
        Some(to) => match to.long()? {
            -1 => usize::MAX,
            to => at_least_zero(to),
        },
    };
    Ok(Datum::Text(part(whole, from, to.max(from))))
}

/// `substring(text, from, length)`: from 1.
fn substring<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let from = at_least_zero(args[1].long()?.saturating_sub(1));
    let length = args.get(2).map_or(Ok(usize::MAX), |length| length.long().map(at_least_zero))?;
    Ok(Datum::Text(part(args[0].text(arena), from, from.saturating_add(length))))
}

fn bounded<'a>(made: String, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    if made.len() > MADE_MOST { Err(too_long()) } else { Ok(text(&made, arena)) }
}

pub(crate) fn too_long() -> Fault {
    Fault::new(format!("a text of more than {MADE_MOST} bytes is too long"))
}

fn pad<'a>(args: &[Datum<'a>], arena: &'a Bump, left: bool) -> Result<Datum<'a>, Fault> {
    let (whole, length, with) = (args[0].text(arena), at_least_zero(args[1].long()?), args[2].text(arena));
    let have = chars(whole);
    if have >= length || with.is_empty() {
        return Ok(Datum::Text(part(whole, 0, length)));
    }
    if (length - have).saturating_mul(with.len()) > MADE_MOST {
        return Err(too_long());
    }
    let padding: String = with.chars().cycle().take(length - have).collect();
    bounded(if left { padding + whole } else { format!("{whole}{padding}") }, arena)
}

fn repeat<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (whole, between) = (args[0].text(arena), if args.len() > 2 { args[1].text(arena) } else { "" });
    let times = at_least_zero(args[args.len() - 1].long()?);
    if (whole.len() + between.len()).saturating_mul(times) > MADE_MOST {
        return Err(too_long());
    }
    bounded(vec![whole; times].join(between), arena)
}

fn concat<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (first, second) = (args[0].text(arena), args[1].text(arena));
    let between = args.get(2).map_or("", |between| between.text(arena));
    bounded([first, between, second].concat(), arena)
}

fn concat_ws<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let texts: Vec<&str> = args[1..].iter().filter(|arg| !arg.is_null()).map(|arg| arg.text(arena)).collect();
    if args[0].is_null() { Ok(Datum::Null) } else { bounded(texts.join(args[0].text(arena)), arena) }
}

/// Words begin with a capital, the rest is small.
fn initcap(whole: &str) -> String {
    let mut begins = true;
    let mut out = String::with_capacity(whole.len());
    for letter in whole.chars() {
        if begins {
            out.extend(letter.to_uppercase())
        } else {
            out.extend(letter.to_lowercase())
        }
        begins = letter.is_whitespace();
    }
    out
}

/// Position of occurrence `nth` of `find`, counted from 0; -1 where there is none.
fn strpos<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (whole, find) = (args[0].text(arena), args[1].text(arena));
    let nth = args.get(2).map_or(Ok(1), |nth| nth.long())?;
    let found = whole.match_indices(find).nth(at_least_zero(nth.saturating_sub(1)));
    Ok(Datum::Long(found.map_or(-1, |(at, _)| chars(&whole[..at]) as i64)))
}

fn split<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (whole, at) = (args[0].text(arena), args[1].text(arena));
    // As Java's StringUtils: neighbouring separators count as one, and an empty one is white space.
    let parts = whole.split(|letter: char| if at.is_empty() { letter.is_whitespace() } else { false });
    let all: Vec<&str> = if at.is_empty() { parts.collect() } else { whole.split(at).collect() };
    let mut kept: Vec<&str> = all.into_iter().filter(|part| !part.is_empty()).collect();
    if let Some(most) = args.get(2) {
        let most = at_least_zero(most.long()?).max(1);
        if kept.len() > most {
            let from = whole.find(kept[most - 1]).unwrap_or(0);
            kept.truncate(most - 1);
            kept.push(&whole[from..]);
        }
    }
    Ok(list(kept.into_iter().map(Datum::Text), arena))
}

/// `splitPart(text, separator, index)`: from 0; from the end where it is negative; the text `null` where there is none.
fn split_part<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let parts: Vec<&str> = args[0].text(arena).split(args[1].text(arena)).collect();
    let at = args[args.len() - 1].long()?;
    let at = if at < 0 { at + parts.len() as i64 } else { at };
    let found = usize::try_from(at).ok().and_then(|at| parts.get(at).copied());
    Ok(Datum::Text(found.unwrap_or("null")))
}

/// What the pattern is made ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Like,
    Matches,
    Extract,
    Replace,
    Count,
}

struct Pattern {
    ready: Option<Regex>,
    wanted: Use,
}

fn regex(pattern: &str) -> Result<Regex, Fault> {
    let built = regex::RegexBuilder::new(pattern).size_limit(REGEX_MOST).build();
    built.map_err(|error| Fault::new(format!("'{pattern}' is not a regular expression: {error}")))
}

/// SQL's pattern as a regular expression: `%` any text, `_` one character, `\` takes either by its word.
fn of_like(pattern: &str) -> String {
    let mut out = String::from("(?s)^");
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '\\' => out.push_str(&regex::escape(&letters.next().unwrap_or('\\').to_string())),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    out
}

impl Pattern {
    fn made(constants: &[Option<Datum<'_>>], wanted: Use) -> Result<Box<dyn Ready>, Fault> {
        let ready = match constants.get(1) {
            Some(Some(Datum::Text(pattern))) => Some(Self::read(pattern, wanted)?),
            _ => None,
        };
        Ok(Box::new(Self { ready, wanted }))
    }

    fn read(pattern: &str, wanted: Use) -> Result<Regex, Fault> {
        if wanted == Use::Like { regex(&of_like(pattern)) } else { regex(pattern) }
    }
}

impl Ready for Pattern {
    fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
        let read;
        let pattern = match &self.ready {
            Some(pattern) => pattern,
            None => {
                read = Self::read(args[1].text(arena), self.wanted)?;
                &read
            }
        };
        let whole = args[0].text(arena);
        Ok(match self.wanted {
            Use::Like | Use::Matches => Datum::Bool(pattern.is_match(whole)),
            Use::Count => Datum::Long(pattern.find_iter(whole).count() as i64),
            Use::Extract => {
                let group = args.get(2).map_or(Ok(0), |group| group.long())?;
                let found = pattern.captures(whole).and_then(|found| found.get(at_least_zero(group)));
                let default = args.get(3).map_or("", |default| default.text(arena));
                Datum::Text(found.map_or(default, |found| found.as_str()))
            }
            Use::Replace => {
                // Java writes a group as $1, where Rust would read $1a as the group "1a".
                let with = java_groups(args[2].text(arena));
                let (mut out, mut from) = (String::new(), 0);
                for found in pattern.captures_iter(whole) {
                    let all = found.get_match();
                    out.push_str(&whole[from..all.start()]);
                    found.expand(&with, &mut out);
                    from = all.end();
                    if out.len() > MADE_MOST {
                        return Err(too_long());
                    }
                }
                out.push_str(&whole[from..]);
                return bounded(out, arena);
            }
        })
    }
}

/// Where the result may be too long: it is looked at while it grows.
fn replace_slowly<'a>(whole: &str, find: &str, with: &str, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (mut out, mut from) = (String::new(), 0);
    for (at, _) in whole.match_indices(find) {
        out.push_str(&whole[from..at]);
        out.push_str(with);
        from = at + find.len();
        if out.len() > MADE_MOST {
            return Err(too_long());
        }
    }
    out.push_str(&whole[from..]);
    bounded(out, arena)
}

fn java_groups(with: &str) -> String {
    let mut out = String::with_capacity(with.len());
    let mut letters = with.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            '$' => {
                let mut group = String::new();
                while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                    group.push(digit);
                }
                if group.is_empty() { out.push_str("$$") } else { out.push_str(&format!("${{{group}}}")) }
            }
            other => out.push(other),
        }
    }
    out
}

/// A URL's text with what is not plain written as `%XX`, and a space as `+`: Java's form encoding.
fn url_encode(whole: &str) -> String {
    let mut out = String::with_capacity(whole.len());
    for byte in whole.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn url_decode<'a>(datum: Datum<'a>, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let whole = datum.text(arena);
    let (mut out, mut at) = (Vec::with_capacity(whole.len()), 0);
    let bytes = whole.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digits = whole.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.push(digits.ok_or_else(|| Fault::new(format!("%XX is expected in {}", datum.shown())))?);
                at += 3;
            }
            b'+' => {
                out.push(b' ');
                at += 1;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    Ok(text(&String::from_utf8_lossy(&out), arena))
}

const fn pattern(names: &'static [&'static str], least: usize, most: usize, make: Make) -> Function {
    Function { names, least, most, nulls: false, body: Body::Made(make) }
}

pub(super) const FUNCTIONS: &[Function] = &[
    maps!(&["lower"], str::to_lowercase),
    maps!(&["upper"], str::to_uppercase),
    maps!(&["reverse"], |whole| whole.chars().rev().collect()),
    maps!(&["initcap"], initcap),
    maps!(&["encodeUrl", "urlEncodeFormComponent"], url_encode),
    Function::plain(&["decodeUrl", "urlDecodeFormComponent"], 1, 1, |args, arena| url_decode(args[0], arena)),
    cuts!(&["ltrim"], str::trim_start),
    cuts!(&["rtrim"], str::trim_end),
    cuts!(&["trim"], str::trim),
    cuts!(&["firstLine"], |whole| whole.lines().next().unwrap_or("")),
    Function::plain(&["length", "charLength"], 1, 1, |args, arena| Ok(Datum::Long(chars(args[0].text(arena)) as i64))),
    Function::plain(&["substr"], 2, 3, substr),
    Function::plain(&["substring"], 2, 3, substring),
    Function::plain(&["left", "leftSubStr"], 2, 2, |args, arena| {
        Ok(Datum::Text(part(args[0].text(arena), 0, at_least_zero(args[1].long()?))))
    }),
    Function::plain(&["right", "rightSubStr"], 2, 2, |args, arena| {
        let whole = args[0].text(arena);
        let from = chars(whole).saturating_sub(at_least_zero(args[1].long()?));
        Ok(Datum::Text(part(whole, from, usize::MAX)))
    }),
    Function::plain(&["concat"], 2, 3, concat),
    Function::plain(&["concatWS"], 2, MANY, concat_ws).with_nulls(),
    Function::plain(&["strpos"], 2, 3, strpos),
    Function::plain(&["strrpos"], 2, 2, |args, arena| {
        let whole = args[0].text(arena);
        Ok(Datum::Long(whole.rfind(args[1].text(arena)).map_or(-1, |at| chars(&whole[..at]) as i64)))
    }),
    tests!(&["startsWith"], |whole, part| whole.starts_with(part)),
    tests!(&["endsWith"], |whole, part| whole.ends_with(part)),
    tests!(&["startsWithCaseInsensitive"], |whole, part| whole.to_lowercase().starts_with(&part.to_lowercase())),
    tests!(&["endsWithCaseInsensitive"], |whole, part| whole.to_lowercase().ends_with(&part.to_lowercase())),
    tests!(&["contains"], |whole, part| whole.contains(part)),
    Function::plain(&["lpad"], 3, 3, |args, arena| pad(args, arena, true)),
    Function::plain(&["rpad"], 3, 3, |args, arena| pad(args, arena, false)),
    Function::plain(&["repeat"], 2, 3, repeat),
    Function::plain(&["space"], 1, 1, |args, arena| repeat(&[Datum::Text(" "), args[0]], arena)),
    Function::plain(&["replace"], 3, 3, |args, arena| {
        let (whole, find, with) = (args[0].text(arena), args[1].text(arena), args[2].text(arena));
        // An empty text stands before and behind every character.
        let found = if find.is_empty() { whole.chars().count() + 1 } else { whole.len() / find.len() };
        if with.len() > find.len() && whole.len().saturating_add(found.saturating_mul(with.len())) > MADE_MOST {
            return replace_slowly(whole, find, with, arena);
        }
        bounded(whole.replace(find, with), arena)
    }),
    Function::plain(&["remove"], 2, 2, |args, arena| {
        bounded(args[0].text(arena).replace(args[1].text(arena), ""), arena)
    }),
    Function::plain(&["split", "stringToArray"], 2, 3, split),
    Function::plain(&["splitPart"], 3, 4, split_part),
    Function::plain(&["substringIndex"], 3, 3, |args, arena| {
        let (whole, at, count) = (args[0].text(arena), args[1].text(arena), args[2].long()?);
        let parts: Vec<&str> = whole.split(at).collect();
        let take = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(parts.len());
        let kept = if count < 0 { &parts[parts.len() - take..] } else { &parts[..take] };
        bounded(kept.join(at), arena)
    }),
    Function::plain(&["codepoint", "ascii"], 1, 1, |args, arena| {
        Ok(args[0].text(arena).chars().next().map_or(Datum::Null, |letter| Datum::Long(u32::from(letter).into())))
    }),
    Function::plain(&["chr"], 1, 1, |args, arena| {
        let code = args[0].long()?;
        let letter = u32::try_from(code).ok().and_then(char::from_u32);
        let letter = letter.ok_or_else(|| Fault::new(format!("{code} is no code point")))?;
        Ok(text(letter.encode_utf8(&mut [0; 4]), arena))
    }),
    Function::plain(&["isValidASCII"], 1, 1, |args, arena| Ok(Datum::Bool(args[0].text(arena).is_ascii()))),
    Function::plain(&["hammingDistance"], 2, 2, |args, arena| {
        let (a, b) = (args[0].text(arena), args[1].text(arena));
        let differ = a.chars().zip(b.chars()).filter(|(a, b)| a != b).count();
        Ok(Datum::Long(if chars(a) == chars(b) { differ as i64 } else { -1 }))
    }),
    pattern(&["like"], 2, 2, |constants| Pattern::made(constants, Use::Like)),
    pattern(&["regexpLike"], 2, 2, |constants| Pattern::made(constants, Use::Matches)),
    pattern(&["regexpExtract"], 2, 4, |constants| Pattern::made(constants, Use::Extract)),
    pattern(&["regexpSubstr"], 2, 2, |constants| Pattern::made(constants, Use::Extract)),
    pattern(&["regexpReplace"], 3, 3, |constants| Pattern::made(constants, Use::Replace)),
    pattern(&["regexpCount"], 2, 2, |constants| Pattern::made(constants, Use::Count)),
];
