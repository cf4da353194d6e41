//! Secrets in settings: which keys hold them, how a value refers to one that is kept elsewhere, and what may be seen.
//!
//! Nothing is looked up here: who makes a client hands in how variables and files are read.

use std::fmt;

/// What stands in place of a secret wherever it could be seen.
pub const HIDDEN: &str = "*****";

/// Parts of a key, without its separators, that say that its value is a secret.
const TELLING: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "jaas",
    "token",
    "credential",
    "accesskey",
    "apikey",
    "privatekey",
    "sslkey",
    "clientkey",
    "keystorekey",
    "userinfo",
    "oauthbearerconfig",
];

/// Ends of a key whose value says where or what a secret is, not the secret.
const ABOUT: [&str; 8] = ["location", "url", "uri", "type", "algorithm", "class", "mechanism", "source"];

/// A text shorter than this is not looked for inside other texts: it would hide ordinary words and numbers.
const LEAST_LOOKED_FOR: usize = 4;

/// Whether the value under this key is a secret. Errs on the side of hiding.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    TELLING.iter().any(|part| plain.contains(part)) && !ABOUT.iter().any(|end| plain.ends_with(end))
}

/// Where a secret is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept<'a> {
    /// In a variable of the node's environment.
    Env(&'a str),
    /// In a file on the node: all of it, or what a line `key=value` of it says.
    File {
        /// From the root on.
        path: &'a str,
        /// The line's key.
        key: Option<&'a str>,
    },
}

/// A part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Stands for itself.
    Text(&'a str),
    /// Stands for what is kept elsewhere.
    Reference {
        /// As it is written.
        text: &'a str,
        /// Where it points.
        kept: Kept<'a>,
    },
}

/// A reference that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// As it is written.
    pub reference: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reference, self.reason)
    }
}

impl std::error::Error for Unresolved {}

fn wrong(reference: &str, reason: impl Into<String>) -> Unresolved {
    Unresolved { reference: reference.to_owned(), reason: reason.into() }
}

/// The parts of a value. The whole value may be `env:NAME` or `file:/path`; anywhere in it `${env:NAME}`,
/// `${file:/path}` and `${file:/path:key}` may stand. A reference to anything else is an error.
pub fn pieces(value: &str) -> Result<Vec<Piece<'_>>, Unresolved> {
    let whole = value.trim();
    let is_file = whole.starts_with("file:/") && !whole.starts_with("file://");
    if whole.starts_with("env:") || is_file {
        return Ok(vec![Piece::Reference { text: whole, kept: kept(whole, whole, false)? }]);
    }
    let (mut found, mut rest) = (vec![], value);
    while let Some((text, from, inside)) = next_reference(rest) {
        if !text.is_empty() {
            found.push(Piece::Text(text));
        }
        // `${`, what is inside, `}`.
        let end = text.len() + inside.len() + 3;
        let reference = &from[..inside.len() + 3];
        found.push(Piece::Reference { text: reference, kept: kept(inside, reference, true)? });
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    Ok(found)
}

/// What stands before the next `${..:..}`, the text from there on, and what stands between the braces.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut at = 0;
    loop {
        let start = at + text[at..].find("${")?;
        let from = &text[start..];
        let inside = &from[2..from.find('}')?];
        if inside.contains(':') {
            return Some((&text[..start], from, inside));
        }
        at = start + 2;
    }
}

/// Reads `env:NAME` or `file:/path`, with `:key` behind the path where `keyed`.
fn kept<'a>(inside: &'a str, reference: &str, keyed: bool) -> Result<Kept<'a>, Unresolved> {
    let (place, rest) = inside.split_once(':').unwrap_or((inside, ""));
    match place {
        "env" => {
            let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if rest.is_empty() || !rest.bytes().all(letter) || rest.as_bytes()[0].is_ascii_digit() {
                return Err(wrong(reference, "needs the name of a variable behind env: letters, digits and _"));
            }
            Ok(Kept::Env(rest))
        }
        "file" => {
            let (path, key) = match rest.split_once(':').filter(|_| keyed) {
                Some((path, key)) => (path, Some(key)),
                None => (rest, None),
            };
            if !path.starts_with('/') || key.is_some_and(str::is_empty) {
                return Err(wrong(
                    reference,
                    "needs a path from the root on behind file, as in file:/run/secrets/kafka",
                ));
            }
            Ok(Kept::File { path, key })
        }
        _ => Err(wrong(
            reference,
            "is not looked up: env:NAME, file:/path, ${env:NAME}, ${file:/path} and ${file:/path:key} are",
        )),
    }
}

/// Whether a value refers to something kept elsewhere, rightly or wrongly.
#[must_use]
pub fn has_references(value: &str) -> bool {
    pieces(value).map_or(true, |pieces| pieces.iter().any(|piece| matches!(piece, Piece::Reference { .. })))
}

/// A value with its references replaced, and what must not be seen of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What the client is told.
    pub text: String,
    /// What was looked up, with the reference that may be shown in its place.
    pub looked_up: Vec<(String, String)>,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let references: Vec<&str> = self.looked_up.iter().map(|(_, reference)| &**reference).collect();
        f.debug_struct("Resolved").field("references", &references).finish_non_exhaustive()
    }
}

/// Follows the references of a value. `variable` reads the environment; `file` reads a text file or says why not.
pub fn resolve(
    value: &str,
    variable: impl Fn(&str) -> Option<String>,
    file: impl Fn(&str) -> Result<String, String>,
) -> Result<Resolved, Unresolved> {
    let mut resolved = Resolved { text: String::new(), looked_up: vec![] };
    for piece in pieces(value)? {
        let (text, kept) = match piece {
            Piece::Text(text) => {
                resolved.text.push_str(text);
                continue;
            }
            Piece::Reference { text, kept } => (text, kept),
        };
        let found = look_up(kept, &variable, &file).map_err(|reason| wrong(text, reason))?;
        resolved.text.push_str(&found);
        resolved.looked_up.push((found, text.to_owned()));
    }
    Ok(resolved)
}

fn look_up(
    kept: Kept<'_>,
    variable: &impl Fn(&str) -> Option<String>,
    file: &impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    match kept {
        Kept::Env(name) => match variable(name) {
            None => Err(format!("the variable {name} is not set on this node: set it and start the node again")),
            Some(value) if value.is_empty() => {
                Err(format!("the variable {name} is empty on this node: set it and start the node again"))
            }
            Some(value) => Ok(value),
        },
        Kept::File { path, key } => {
            let text = file(path).map_err(|why| {
                format!("the file {path} cannot be read on this node ({why}): put it there, readable for the node")
            })?;
            let found = match key {
                // A text file ends in a line break that is no part of the secret.
                None => Some(text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text))),
                Some(key) => text.lines().find_map(|line| {
                    let (name, value) = line.split_once('=')?;
                    (name.trim() == key).then(|| value.trim())
                }),
            };
            match (found, key) {
                (Some(found), _) if !found.is_empty() => Ok(found.to_owned()),
                (Some(_), None) => Err(format!("the file {path} is empty on this node: write the secret into it")),
                (_, key) => {
                    let key = key.unwrap_or_default();
                    Err(format!("the file {path} has no line {key}=VALUE on this node: add it"))
                }
            }
        }
    }
}

/// What may be seen of the value under a key: references as they are, secrets not at all.
#[must_use]
pub fn shown(key: &str, value: &str) -> String {
    if is_secret(key) { shown_of_secret(value) } else { without_user_info(value) }
}

/// What may be seen of a value that is known to be a secret.
#[must_use]
pub fn shown_of_secret(value: &str) -> String {
    match pieces(value).as_deref() {
        Ok([Piece::Reference { .. }]) => value.to_owned(),
        Ok(pieces) if pieces.iter().any(|piece| matches!(piece, Piece::Reference { .. })) => partly(value),
        _ => HIDDEN.to_owned(),
    }
}

/// A text of options `name="value"`, some of them references: values under telling names that are none are hidden. A text
/// of another form is hidden as a whole.
fn partly(value: &str) -> String {
    let options = quoted(value);
    let is_reference = |text: &str| matches!(pieces(text).as_deref(), Ok([Piece::Reference { .. }]));
    let inside = |at: usize| options.iter().any(|option| option.from <= at && at < option.to);
    if value.match_indices("${").any(|(at, _)| !inside(at)) {
        return HIDDEN.to_owned();
    }
    let (mut shown, mut done) = (String::new(), 0);
    for option in &options {
        let text = &value[option.from..option.to];
        if is_secret(option.name) && !is_reference(text) {
            shown.push_str(&value[done..option.from]);
            shown.push_str(HIDDEN);
            done = option.to;
        }
    }
    shown.push_str(&value[done..]);
    shown
}

/// An option `name="value"` of a text; `from..to` is its value without the quotes.
struct Quoted<'a> {
    name: &'a str,
    from: usize,
    to: usize,
}

fn quoted(text: &str) -> Vec<Quoted<'_>> {
    let (mut found, mut at) = (vec![], 0);
    while let Some(equals) = text[at..].find('=').map(|found| at + found) {
        at = equals + 1;
        let Some(quote) = text[at..].chars().next().filter(|quote| matches!(quote, '"' | '\'')) else { continue };
        let from = at + 1;
        let mut escaped = false;
        let end = text[from..].char_indices().find(|(_, letter)| {
            let ends = *letter == quote && !escaped;
            escaped = *letter == '\\' && !escaped;
            ends
        });
        let Some((length, _)) = end else { break };
        let name = text[..equals].rsplit(|letter: char| letter.is_whitespace()).next().unwrap_or_default();
        found.push(Quoted { name, from, to: from + length });
        at = from + length + 1;
    }
    found
}

/// `scheme://user:password@host` without what stands before the `@`.
fn without_user_info(value: &str) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while let Some((scheme, behind)) = rest.split_once("://") {
        let host_end = behind.find(['/', ',', ' ', '?']).unwrap_or(behind.len());
        shown.push_str(scheme);
        shown.push_str("://");
        match behind[..host_end].rfind('@') {
            Some(at) if !has_references(&behind[..at]) => {
                shown.push_str(HIDDEN);
                rest = &behind[at..];
            }
            _ => rest = behind,
        }
    }
    shown.push_str(rest);
    shown
}

/// Takes secrets out of texts that others wrote: a client's error, a broker's answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hiding(Vec<(String, String)>);

impl fmt::Debug for Hiding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hiding({})", self.0.len())
    }
}

impl Hiding {
    /// Hides a setting's literal secrets, and what its references stand for.
    pub fn add(&mut self, key: &str, value: &str, resolved: &Resolved) {
        for (secret, reference) in &resolved.looked_up {
            self.hide_also(secret, reference);
        }
        if is_secret(key) {
            let whole = if resolved.looked_up.is_empty() { HIDDEN.to_owned() } else { shown(key, value) };
            self.hide_also(&resolved.text, &whole);
            for option in quoted(&resolved.text).iter().filter(|option| is_secret(option.name)) {
                self.hide_also(&resolved.text[option.from..option.to], HIDDEN);
            }
        }
        self.0.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
    }

    fn hide_also(&mut self, secret: &str, shown: &str) {
        if secret.len() >= LEAST_LOOKED_FOR && secret != shown && self.0.iter().all(|(known, _)| known != secret) {
            self.0.push((secret.to_owned(), shown.to_owned()));
        }
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text without secrets.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        // The longest first: one secret may hold another.
        self.0.iter().fold(text.to_owned(), |text, (secret, shown)| text.replace(secret.as_str(), shown))
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
