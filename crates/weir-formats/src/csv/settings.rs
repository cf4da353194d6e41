//! The `decoder.prop.` settings of delimited text, under the names that Pinot gives them.

use super::scan::Dialect;
use crate::error::{FormatError, truth};
use std::collections::BTreeMap;

/// Settings that are known here.
pub const KEYS: &[&str] = &[
    "fileFormat",
    "header",
    "delimiter",
    "commentMarker",
    "escapeCharacter",
    "multiValueDelimiter",
    "nullStringValue",
    "skipHeader",
    "ignoreEmptyLines",
    "ignoreSurroundingSpaces",
    "quoteCharacter",
    "quoteMode",
    "recordSeparator",
];

/// Where the names of the fields are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Header {
    /// In the settings.
    Given(Vec<String>),
    /// In the first line of every message.
    InMessage,
}

/// What the settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) dialect: Dialect,
    pub(super) header: Header,
    pub(super) skip_header: bool,
    pub(super) multi_value: char,
}

impl Settings {
    pub(super) fn read(given: &BTreeMap<String, String>) -> Result<Self, FormatError> {
        let mut dialect = preset(given.get("fileFormat").map_or("DEFAULT", |name| name.trim()))?;
        let delimiter = letter(given, "delimiter")?;
        dialect.delimiter = delimiter.unwrap_or(dialect.delimiter);
        dialect.comment = letter(given, "commentMarker")?;
        dialect.escape = letter(given, "escapeCharacter")?.or(dialect.escape);
        dialect.quote = letter(given, "quoteCharacter")?.or(dialect.quote);
        dialect.null = given.get("nullStringValue").cloned().or(dialect.null);
        dialect.skips_empty = truth(given, "ignoreEmptyLines")?.unwrap_or(dialect.skips_empty);
        dialect.trims = truth(given, "ignoreSurroundingSpaces")?.unwrap_or(dialect.trims);
        for (key, taken) in
            [("commentMarker", dialect.comment), ("escapeCharacter", dialect.escape), ("quoteCharacter", dialect.quote)]
        {
            if taken == Some(dialect.delimiter) {
                return Err(refuse(given, key, "it is the delimiter too: choose two different characters"));
            }
        }
        if dialect.comment.is_some() && dialect.comment == dialect.quote {
            return Err(refuse(given, "commentMarker", "it is the quote too: choose two different characters"));
        }
        let header = match given.get("header") {
            None => Header::InMessage,
            Some(text) => Header::Given(names(text, delimiter, dialect.delimiter)),
        };
        if header == Header::Given(vec![]) {
            return Err(refuse(given, "header", "it names no field: give the names, separated by the delimiter"));
        }
        let multi_value = letter(given, "multiValueDelimiter")?.map_or(';', char::from);
        Ok(Self { dialect, header, skip_header: truth(given, "skipHeader")?.unwrap_or(false), multi_value })
    }
}

/// The names in a header: cut at the delimiter, or at white space where none was given and none is in the text.
fn names(text: &str, given: Option<u8>, delimiter: u8) -> Vec<String> {
    let cut = char::from(delimiter);
    let kept = |name: &str| (!name.trim().is_empty()).then(|| name.trim().to_owned());
    if given.is_some() || text.contains(cut) {
        text.split(cut).filter_map(kept).collect()
    } else {
        text.split_whitespace().filter_map(kept).collect()
    }
}

fn preset(name: &str) -> Result<Dialect, FormatError> {
    let plain = Dialect::PLAIN;
    match name.to_ascii_uppercase().as_str() {
        "DEFAULT" => Ok(plain),
        "EXCEL" | "RFC4180" => Ok(Dialect { skips_empty: false, ..plain }),
        "TDF" => Ok(Dialect { delimiter: b'\t', trims: true, ..plain }),
        "MYSQL" => Ok(Dialect {
            delimiter: b'\t',
            quote: None,
            escape: Some(b'\\'),
            null: Some("\\N".to_owned()),
            skips_empty: false,
            ..plain
        }),
        _ => Err(FormatError::Setting {
            key: "fileFormat".to_owned(),
            value: name.to_owned(),
            reason: "DEFAULT, EXCEL, MYSQL, RFC4180 and TDF are known".to_owned(),
        }),
    }
}

fn refuse(given: &BTreeMap<String, String>, key: &str, reason: &str) -> FormatError {
    let value = given.get(key).cloned().unwrap_or_default();
    FormatError::Setting { key: key.to_owned(), value, reason: reason.to_owned() }
}

/// One ASCII character; `\t` stands for a tab.
fn letter(given: &BTreeMap<String, String>, key: &str) -> Result<Option<u8>, FormatError> {
    let Some(text) = given.get(key) else { return Ok(None) };
    match text.as_bytes() {
        b"\\t" => Ok(Some(b'\t')),
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(Some(*byte)),
        _ => Err(refuse(given, key, "it must be one ASCII character that ends no line, or \\t for a tab")),
    }
}
