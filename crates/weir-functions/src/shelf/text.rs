//! Text. Positions and lengths count UTF-16 units, as Java's do.

use super::{
    Body, Function, Gives, MANY, Make, Ready,
    gives::{BOOLEAN, INT, STRING, STRINGS},
};
use crate::{
    datum::{Datum, Fault, list, text},
    utf16,
};
use bumpalo::Bump;
use regex::Regex;
use std::borrow::Cow;

/// Bytes that a function may make of one value: a record is no place for more, and a number in it must not become memory.
pub(crate) const MADE_MOST: usize = 16 << 20;

/// Bytes of a regular expression's program.
const REGEX_MOST: usize = 1 << 20;

/// A function of one text that gives a text.
macro_rules! maps {
    ($names:expr, $call:expr) => {
        Function::plain($names, 1, 1, STRING, |args, arena| {
            let call: fn(&str) -> String = $call;
            Ok(text(&call(args[0].text(arena)), arena))
        })
    };
}

/// A function of one text that gives a part of it.
macro_rules! cuts {
    ($names:expr, $call:expr) => {
        Function::plain($names, 1, 1, STRING, |args, arena| {
            let call: fn(&str) -> &str = $call;
            Ok(Datum::Text(call(args[0].text(arena))))
        })
    };
}

/// A function of two texts that gives a truth.
macro_rules! tests {
    ($names:expr, $call:expr) => {
        Function::plain($names, 2, 2, BOOLEAN, |args, arena| {
            let call: fn(&str, &str) -> bool = $call;
            Ok(Datum::Bool(call(args[0].text(arena), args[1].text(arena))))
        })
    };
}

/// The units `from..to` of a text.
fn part<'a>(whole: &'a str, from: usize, to: usize, arena: &'a Bump) -> Datum<'a> {
    held(utf16::part(whole, from, to), arena)
}

fn held<'a>(part: Cow<'a, str>, arena: &'a Bump) -> Datum<'a> {
    match part {
        Cow::Borrowed(part) => Datum::Text(part),
        Cow::Owned(part) => text(&part, arena),
    }
}

fn units(text: &str) -> usize {
    utf16::units(text)
}

fn at_least_zero(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}

/// `substr(text, from, to)`: from 0, the end not included; -1 is the end of the text, and what is below counts from there.
fn substr<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let to = args.get(2).map(|to| to.long()).transpose()?.filter(|to| *to != -1);
    Ok(held(utf16::substring(args[0].text(arena), args[1].long()?, to), arena))
}

/// `substring(text, from, length)`: from 1.
fn substring<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let from = args[1].long()?.saturating_sub(1);
    // Before the first letter there is nothing, which counts all the same.
    let to = match args.get(2) {
        Some(length) => at_least_zero(from.saturating_add(length.long()?.max(0))),
        None => usize::MAX,
    };
    Ok(part(args[0].text(arena), at_least_zero(from), to, arena))
}

/// `overlay(text, with, from[, length])`: puts a text in the place of a part, which starts at `from` (from 1) and is as long
/// as it, or `length`.
fn overlay<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (whole, with, from) = (args[0].text(arena), args[1].text(arena), args[2].long()?);
    if from < 1 {
        return Err(Fault::new(format!("{from} is no position of a text; the first is 1")));
    }
    let length = args.get(3).map_or(Ok(units(with) as i64), |length| length.long())?.max(0);
    let (start, end) = (at_least_zero(from - 1), at_least_zero((from - 1).saturating_add(length)));
    let made = format!("{}{with}{}", utf16::part(whole, 0, start), utf16::part(whole, end, usize::MAX));
    bounded(made, arena)
}

fn bounded<'a>(made: String, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    if made.len() > MADE_MOST { Err(too_long()) } else { Ok(text(&made, arena)) }
}

pub(crate) fn too_long() -> Fault {
    Fault::too_long(MADE_MOST)
}

fn pad<'a>(args: &[Datum<'a>], arena: &'a Bump, left: bool) -> Result<Datum<'a>, Fault> {
    let (whole, length, with) = (args[0].text(arena), at_least_zero(args[1].long()?), args[2].text(arena));
    let have = whole.chars().count();
    // What is longer stays as it is, as in Java's StringUtils.
    if have >= length || with.is_empty() {
        return Ok(Datum::Text(whole));
    }
    // No letter is longer than the whole filler, and none than four bytes.
    if (length - have).saturating_mul(with.len().min(4)) > MADE_MOST {
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
    let mut made = String::new();
    // Nothing, however often, is nothing.
    let times = if whole.is_empty() && between.is_empty() { 0 } else { times };
    for time in 0..times {
        made.push_str(if time > 0 { between } else { "" });
        made.push_str(whole);
    }
    bounded(made, arena)
}

/// `concat(a, b)`, `concat(a, b, between)`; more than three are joined as they stand.
fn concat<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let texts: Vec<&str> = match args {
        [first, second, between] => vec![first.text(arena), between.text(arena), second.text(arena)],
        all => all.iter().map(|arg| arg.text(arena)).collect(),
    };
    if texts.iter().map(|text| text.len()).sum::<usize>() > MADE_MOST {
        return Err(too_long());
    }
    Ok(text(&texts.concat(), arena))
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

/// Position of occurrence `nth` (from 1) of `find`, counted from 0; -1 where there is none.
fn strpos<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (whole, find) = (args[0].text(arena), args[1].text(arena));
    let nth = args.get(2).map_or(Ok(1), |nth| nth.long())?;
    let before = usize::try_from(nth).ok().and_then(|nth| nth.checked_sub(1));
    let found = before.and_then(|before| utf16::position(whole, find, before));
    Ok(Datum::Long(found.map_or(-1, |at| at as i64)))
}

/// The parts of a text between separators, none of them empty; the last of `most` is all that is left. As Java's
/// StringUtils: neighbouring separators count as one, and an empty one is white space.
fn parts<'t>(whole: &'t str, separator: &str, most: Option<i64>) -> Result<Vec<&'t str>, Fault> {
    let most = most.filter(|most| *most > 0).map_or(usize::MAX, at_least_zero);
    let (mut kept, mut rest) = (vec![], whole);
    let next = |rest: &str| {
        if separator.is_empty() {
            rest.char_indices()
                .find(|(_, letter)| letter.is_whitespace())
                .map(|(at, letter)| (at, at + letter.len_utf8()))
        } else {
            rest.find(separator).map(|at| (at, at + separator.len()))
        }
    };
    while let Some((at, after)) = next(rest) {
        if at > 0 {
            if kept.len() + 1 == most {
                break;
            }
            // What makes too many is told before they are made.
            if kept.len() * size_of::<i64>() > MADE_MOST {
                return Err(too_long());
            }
            kept.push(&rest[..at]);
        }
        rest = &rest[after..];
    }
    if !rest.is_empty() {
        kept.push(rest);
    }
    Ok(kept)
}

fn split<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let most = args.get(2).map(|most| most.long()).transpose()?;
    let parts = parts(args[0].text(arena), args[1].text(arena), most)?;
    Ok(list(parts.into_iter().map(Datum::Text), arena))
}

/// `splitPart(text, separator[, most parts], index)`: from 0; from the end where it is negative; the text `null` where there
/// is none.
fn split_part<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let most = if args.len() > 3 { Some(args[2].long()?) } else { None };
    let parts = parts(args[0].text(arena), args[1].text(arena), most)?;
    let at = args[args.len() - 1].long()?;
    let at = if at < 0 { at.saturating_add(parts.len() as i64) } else { at };
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

impl Use {
    /// The position of the flags, where there may be some.
    fn flags_at(self) -> Option<usize> {
        match self {
            Self::Matches => Some(2),
            Self::Replace => Some(5),
            _ => None,
        }
    }
}

struct Pattern {
    ready: Option<Regex>,
    wanted: Use,
}

fn regex(pattern: &str, any_case: bool) -> Result<Regex, Fault> {
    let built = regex::RegexBuilder::new(pattern).size_limit(REGEX_MOST).case_insensitive(any_case).build();
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
        let flags = wanted.flags_at().and_then(|at| constants.get(at));
        let ready = match (constants.get(1), flags) {
            (Some(Some(Datum::Text(pattern))), None) => Some(Self::read(pattern, wanted, "")?),
            (Some(Some(Datum::Text(pattern))), Some(Some(Datum::Text(flags)))) => {
                Some(Self::read(pattern, wanted, flags)?)
            }
            _ => None,
        };
        Ok(Box::new(Self { ready, wanted }))
    }

    fn read(pattern: &str, wanted: Use, flags: &str) -> Result<Regex, Fault> {
        let any_case = match flags {
            "" | "c" => false,
            "i" => true,
            other => return Err(Fault::new(format!("'{other}' is no flag of a pattern; 'i' (any case) and 'c' are"))),
        };
        // As in SQL, whatever the case.
        if wanted == Use::Like { regex(&of_like(pattern), true) } else { regex(pattern, any_case) }
    }
}

impl Ready for Pattern {
    fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
        let read;
        let pattern = match &self.ready {
            Some(pattern) => pattern,
            None => {
                let flags = self.wanted.flags_at().and_then(|at| args.get(at)).map_or("", |flags| flags.text(arena));
                read = Self::read(args[1].text(arena), self.wanted, flags)?;
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
                let has = |name: &str| pattern.capture_names().flatten().any(|known| known == name);
                let with = java_replacement(args[2].text(arena), pattern.captures_len() - 1, has)?;
                let start = args.get(3).map_or(Ok(0), |start| start.long().map(at_least_zero))?;
                let nth = args.get(4).map_or(Ok(-1), |nth| nth.long())?;
                let start = whole.len() - utf16::part(whole, start, usize::MAX).len().min(whole.len());
                let (mut out, mut from) = (String::new(), 0);
                if !whole.is_char_boundary(start) {
                    return Err(Fault::new("a start within a character is none"));
                }
                for (at, found) in (0..).zip(pattern.captures_iter(&whole[start..])) {
                    if nth >= 0 && at != nth {
                        continue;
                    }
                    let all = found.get_match();
                    out.push_str(&whole[from..start + all.start()]);
                    found.expand(&with, &mut out);
                    from = start + all.end();
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

/// What replaces a match as the library below writes it, from Java's writing: `$1` is a group, of as many digits as the
/// pattern has groups for, `${name}` one by its name, and a `\` takes what follows as it stands. `groups` is how many the
/// pattern has, and `named` whether it has one of a name.
///
/// # Errors
/// It means a group that the pattern lacks, or ends within an escape.
pub fn java_replacement(with: &str, groups: usize, named: impl Fn(&str) -> bool) -> Result<String, Fault> {
    let wrong = |what: &str| Fault::new(format!("{what} in the replacement '{with}'; write \\$ for a dollar sign"));
    let lacks = |group: &str| wrong(&format!("the pattern has {groups} groups, and none is '{group}'"));
    let digit = |letter: &char| letter.to_digit(10).map(|digit| digit as usize);
    let mut out = String::with_capacity(with.len());
    let mut letters = with.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => return Err(wrong("nothing follows the last \\")),
            },
            '$' if letters.next_if_eq(&'{').is_some() => {
                let name: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
                if !named(&name) {
                    return Err(lacks(&name));
                }
                out.push_str(&format!("${{{name}}}"));
            }
            '$' => {
                let Some(mut group) = letters.peek().and_then(digit) else {
                    return Err(wrong("no group's number follows a $"));
                };
                letters.next();
                if group > groups {
                    return Err(lacks(&group.to_string()));
                }
                // A further digit belongs to the number while there is such a group.
                while let Some(longer) = letters.peek().and_then(digit).map(|next| group * 10 + next) {
                    if longer > groups {
                        break;
                    }
                    group = longer;
                    letters.next();
                }
                out.push_str(&format!("${{{group}}}"));
            }
            other => out.push(other),
        }
    }
    Ok(out)
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

const fn pattern(names: &'static [&'static str], least: usize, most: usize, gives: Gives, make: Make) -> Function {
    Function { names, least, most, nulls: false, gives, body: Body::Made(make) }
}

pub(super) const FUNCTIONS: &[Function] = &[
    maps!(&["lower"], str::to_lowercase),
    maps!(&["upper"], str::to_uppercase),
    maps!(&["reverse"], |whole| whole.chars().rev().collect()),
    maps!(&["initcap"], initcap),
    maps!(&["encodeUrl", "urlEncodeFormComponent"], url_encode),
    Function::plain(&["decodeUrl", "urlDecodeFormComponent"], 1, 1, STRING, |args, arena| url_decode(args[0], arena)),
    cuts!(&["ltrim"], |whole| whole.trim_start_matches(utf16::is_blank)),
    cuts!(&["rtrim"], |whole| whole.trim_end_matches(utf16::is_blank)),
    cuts!(&["trim"], |whole| whole.trim_matches(utf16::is_blank)),
    cuts!(&["firstLine"], |whole| whole.lines().next().unwrap_or("")),
    Function::plain(&["length", "charLength", "characterLength"], 1, 1, INT, |args, arena| {
        Ok(Datum::Long(units(args[0].text(arena)) as i64))
    }),
    Function::plain(&["substr"], 2, 3, STRING, substr),
    Function::plain(&["substring"], 2, 3, STRING, substring),
    Function::plain(&["left", "leftSubStr"], 2, 2, STRING, |args, arena| {
        Ok(part(args[0].text(arena), 0, at_least_zero(args[1].long()?), arena))
    }),
    Function::plain(&["right", "rightSubStr"], 2, 2, STRING, |args, arena| {
        let whole = args[0].text(arena);
        let from = units(whole).saturating_sub(at_least_zero(args[1].long()?));
        Ok(part(whole, from, usize::MAX, arena))
    }),
    Function::plain(&["concat"], 1, MANY, STRING, concat),
    Function::plain(&["concatWS"], 2, MANY, STRING, concat_ws).with_nulls(),
    Function::plain(&["strpos"], 2, 3, INT, strpos),
    Function::plain(&["strrpos"], 2, 3, INT, |args, arena| {
        let latest = args.get(2).map_or(Ok(i64::MAX), |latest| latest.long())?;
        let found = utf16::last_position(args[0].text(arena), args[1].text(arena), latest);
        Ok(Datum::Long(found.map_or(-1, |at| at as i64)))
    }),
    Function::plain(&["overlay"], 3, 4, STRING, overlay),
    tests!(&["startsWith"], |whole, part| whole.starts_with(part)),
    tests!(&["endsWith"], |whole, part| whole.ends_with(part)),
    tests!(&["startsWithCaseInsensitive"], |whole, part| whole.to_lowercase().starts_with(&part.to_lowercase())),
    tests!(&["endsWithCaseInsensitive"], |whole, part| whole.to_lowercase().ends_with(&part.to_lowercase())),
    tests!(&["contains"], |whole, part| whole.contains(part)),
    Function::plain(&["lpad"], 3, 3, STRING, |args, arena| pad(args, arena, true)),
    Function::plain(&["rpad"], 3, 3, STRING, |args, arena| pad(args, arena, false)),
    Function::plain(&["repeat"], 2, 3, STRING, repeat),
    Function::plain(&["space"], 1, 1, STRING, |args, arena| repeat(&[Datum::Text(" "), args[0]], arena)),
    Function::plain(&["replace"], 3, 3, STRING, |args, arena| {
        let (whole, find, with) = (args[0].text(arena), args[1].text(arena), args[2].text(arena));
        if find.is_empty() {
            return Ok(Datum::Text(whole));
        }
        let found = whole.len() / find.len();
        if with.len() > find.len() && whole.len().saturating_add(found.saturating_mul(with.len())) > MADE_MOST {
            return replace_slowly(whole, find, with, arena);
        }
        bounded(whole.replace(find, with), arena)
    }),
    Function::plain(&["remove"], 2, 2, STRING, |args, arena| {
        bounded(args[0].text(arena).replace(args[1].text(arena), ""), arena)
    }),
    Function::plain(&["split", "stringToArray"], 2, 3, STRINGS, split),
    Function::plain(&["splitPart"], 3, 4, STRING, split_part),
    Function::plain(&["substringIndex"], 3, 3, STRING, |args, arena| {
        let (whole, at, count) = (args[0].text(arena), args[1].text(arena), args[2].long()?);
        if at.is_empty() {
            return Ok(Datum::Text(""));
        }
        let parts: Vec<&str> = whole.split(at).collect();
        let take = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(parts.len());
        let kept = if count < 0 { &parts[parts.len() - take..] } else { &parts[..take] };
        bounded(kept.join(at), arena)
    }),
    Function::plain(&["codepoint", "ascii"], 1, 1, INT, |args, arena| {
        Ok(args[0].text(arena).chars().next().map_or(Datum::Null, |letter| Datum::Long(u32::from(letter).into())))
    }),
    Function::plain(&["chr"], 1, 1, STRING, |args, arena| {
        let code = args[0].long()?;
        let letter = u32::try_from(code).ok().and_then(char::from_u32);
        let letter = letter.ok_or_else(|| Fault::new(format!("{code} is no code point")))?;
        Ok(text(letter.encode_utf8(&mut [0; 4]), arena))
    }),
    Function::plain(&["isValidASCII"], 1, 1, BOOLEAN, |args, arena| Ok(Datum::Bool(args[0].text(arena).is_ascii()))),
    Function::plain(&["hammingDistance"], 2, 2, INT, |args, arena| {
        let (a, b) = (args[0].text(arena), args[1].text(arena));
        let differ = a.encode_utf16().zip(b.encode_utf16()).filter(|(a, b)| a != b).count();
        Ok(Datum::Long(if units(a) == units(b) { differ as i64 } else { -1 }))
    }),
    pattern(&["like", "likeVar"], 2, 2, BOOLEAN, |constants| Pattern::made(constants, Use::Like)),
    pattern(&["regexpLike", "regexpLikeVar"], 2, 3, BOOLEAN, |constants| Pattern::made(constants, Use::Matches)),
    pattern(&["regexpExtract", "regexpExtractVar"], 2, 4, STRING, |constants| Pattern::made(constants, Use::Extract)),
    pattern(&["regexpSubstr"], 2, 2, STRING, |constants| Pattern::made(constants, Use::Extract)),
    pattern(&["regexpReplace", "regexpReplaceVar"], 3, 6, STRING, |constants| Pattern::made(constants, Use::Replace)),
    pattern(&["regexpCount"], 2, 2, INT, |constants| Pattern::made(constants, Use::Count)),
];
