//! What kind of value stands under a key: one word for each key of the tables of keys, and one check for all of them.
//!
//! Pinot's reader takes a scalar for text, and text for a number or a truth; so do we. A list or an object where a scalar
//! belongs, a scalar where a list or an object belongs, and a text that is no number or truth where one is needed are
//! errors, also under keys that have no effect here: they would be errors there.

use crate::spec::read::{At, kind_of, scalar_text};
use serde_json::Value as Json;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text, or a number or a truth that counts as its text.
    Text,
    /// A text that is no number or truth by mistake: names, expressions.
    Words,
    /// `true` or `false`, also as text.
    Truth,
    /// A whole number, also as text.
    Whole,
    /// A number, also as text.
    Number,
    /// A number of bytes, as a number or with a unit behind it: `10G`.
    Size,
    /// A list of text; a single text is a list of one.
    Texts,
    /// An object, of which its reader knows more.
    Object,
    /// An object of scalars.
    Map,
    /// A list of objects.
    Objects,
    /// The options of an index: an object, perhaps with `enabled` or `disabled`.
    Index,
}

impl Kind {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [Kind; 11] = [
        Kind::Text,
        Kind::Words,
        Kind::Truth,
        Kind::Whole,
        Kind::Number,
        Kind::Size,
        Kind::Texts,
        Kind::Object,
        Kind::Map,
        Kind::Objects,
        Kind::Index,
    ];

    /// What belongs there, for people.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Kind::Text | Kind::Words => "text",
            Kind::Truth => "true or false",
            Kind::Whole => "a whole number",
            Kind::Number => "a number",
            Kind::Size => "a number of bytes such as 500M or 10G",
            Kind::Texts => "a list of text",
            Kind::Object => "an object",
            Kind::Map => "an object of texts",
            Kind::Objects => "a list of objects",
            Kind::Index => "an object of the index's options, which may be empty",
        }
    }

    /// What is wrong with a value, with its place: the value itself, or the first of what is in it.
    pub(super) fn wrong<'a>(self, at: &At<'a>) -> Option<(At<'a>, String)> {
        let value = at.value?;
        let text = scalar_text(value);
        let blank = text.as_deref().is_some_and(|text| text.trim().is_empty());
        let fits = match self {
            Kind::Text => text.is_some(),
            Kind::Words => value.is_string(),
            // An empty text is nothing at all to Pinot's reader.
            Kind::Truth => !value.is_number() && (blank || text.is_some_and(|text| is_truth(&text))),
            Kind::Whole => !value.is_boolean() && (blank || text.is_some_and(|text| is_whole(&text))),
            Kind::Number => !value.is_boolean() && (blank || text.is_some_and(|text| is_number(&text))),
            Kind::Size => !value.is_boolean() && (blank || text.is_some_and(|text| is_size(&text))),
            Kind::Texts => {
                let first = at.items().into_iter().find(|item| item.value.and_then(scalar_text).is_none());
                if let Some(item) = first {
                    return Some(said(Kind::Text, item));
                }
                value.is_array() || value.is_string()
            }
            Kind::Object => value.is_object(),
            Kind::Map => {
                let entries = at.entries().into_iter().map(|(_, entry)| entry);
                let first = entries
                    .filter(|entry| !entry.is_absent())
                    .find(|entry| entry.value.and_then(scalar_text).is_none());
                if let Some(entry) = first {
                    return Some(said(Kind::Text, entry));
                }
                value.is_object()
            }
            Kind::Objects => {
                if let Some(item) = at.items().into_iter().find(|item| !item.value.is_some_and(Json::is_object)) {
                    return Some(said(Kind::Object, item));
                }
                value.is_array()
            }
            Kind::Index => {
                let switches = ["enabled", "disabled"].map(|switch| at.key(switch));
                if let Some(wrong) = switches.iter().find_map(|switch| Kind::Truth.wrong(switch)) {
                    return Some(wrong);
                }
                value.is_object()
            }
        };
        (!fits).then(|| said(self, at.clone()))
    }
}

/// The sentence names what stands there where that is of another kind than text.
fn said(kind: Kind, at: At<'_>) -> (At<'_>, String) {
    let expected = kind.expected();
    let reason = match at.value {
        Some(value) if !value.is_string() || matches!(kind, Kind::Object | Kind::Map | Kind::Objects | Kind::Index) => {
            format!("must be {expected}, and {} stands there", kind_of(value))
        }
        _ => format!("must be {expected}"),
    };
    (at, reason)
}

fn is_truth(text: &str) -> bool {
    ["true", "false"].iter().any(|truth| text.trim().eq_ignore_ascii_case(truth))
}

fn is_whole(text: &str) -> bool {
    let text = text.trim();
    text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
}

fn is_size(text: &str) -> bool {
    let text = text.trim();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[number.len()..].to_ascii_uppercase();
    let of_bytes = unit.strip_suffix('B').unwrap_or(&unit);
    ["", "K", "M", "G", "T", "P"].contains(&of_bytes)
        && number.parse::<f64>().is_ok_and(|size| size.is_finite() && size >= 0.0)
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
#[path = "kind_test.rs"]
mod tests;
