//! Reading JSON with its path at hand: scalars may be written as text or as themselves, and what is wrong is gathered.

use crate::spec::{
    error::{SpecError, SpecErrors},
    kind::Kind,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use weir_types::secret::{HIDDEN, is_secret, shown_of_secret};

/// Characters of a wrong value that an error shows.
const SHOWN_CHARS: usize = 200;

/// A place in a JSON document, which may be empty.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) path: String,
    pub(super) value: Option<&'a Json>,
    /// Its key says that its value is a secret.
    secret: bool,
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Json) -> Self {
        Self::place("", Some(value))
    }

    /// A value at a path.
    pub(super) fn place(path: impl Into<String>, value: Option<&'a Json>) -> Self {
        Self { path: path.into(), value, secret: false }
    }

    /// The value under a key. Explicit null counts as absent.
    pub(super) fn key(&self, key: &str) -> At<'a> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let value = self.value.and_then(|value| value.get(key)).filter(|value| !value.is_null());
        At { path, value, secret: is_secret(key) }
    }

    /// The value under a chain of keys without dots in them.
    pub(super) fn keys(&self, chain: &str) -> At<'a> {
        chain.split('.').fold(self.clone(), |at, key| at.key(key))
    }

    /// The items of a list; none where it is no list.
    pub(super) fn items(&self) -> Vec<At<'a>> {
        let items = self.value.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let place = |(at, item)| At { path: format!("{}[{at}]", self.path), value: Some(item), secret: self.secret };
        items.iter().enumerate().map(place).collect()
    }

    /// The entries of an object; none where it is no object.
    pub(super) fn entries(&self) -> Vec<(&'a str, At<'a>)> {
        let Some(object) = self.value.and_then(Json::as_object) else { return vec![] };
        object.keys().map(|key| (&**key, self.key(key))).collect()
    }

    pub(super) fn is_absent(&self) -> bool {
        self.value.is_none()
    }

    fn shown(&self) -> String {
        match self.value {
            None => "absent".into(),
            Some(Json::String(text)) if self.secret => shown_of_secret(text),
            Some(_) if self.secret => HIDDEN.into(),
            Some(value) => shorten(&scalar_text(value).unwrap_or_else(|| without_secrets(value).to_string())),
        }
    }
}

/// A list or an object as an error may show it.
fn without_secrets(value: &Json) -> Json {
    match value {
        Json::Array(items) => items.iter().map(without_secrets).collect(),
        Json::Object(object) => {
            let hidden = |(key, value): (&String, &Json)| {
                let shown = match value {
                    Json::String(text) if is_secret(key) => shown_of_secret(text).into(),
                    Json::Null => Json::Null,
                    _ if is_secret(key) => HIDDEN.into(),
                    value => without_secrets(value),
                };
                (key.clone(), shown)
            };
            object.iter().map(hidden).collect::<serde_json::Map<_, _>>().into()
        }
        scalar => scalar.clone(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A scalar as Pinot's reader turns it into text.
pub(super) fn scalar_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What a value is, for people.
pub(super) fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a truth",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// What reading brought to light besides the values.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<SpecError>,
    pub(super) unrecognized: BTreeMap<String, Json>,
    pub(super) not_yet_effective: Vec<String>,
    /// Values of a wrong kind, said where no reader has said it better.
    kinds: Vec<SpecError>,
}

impl Findings {
    pub(super) fn wrong(&mut self, at: &At<'_>, reason: impl Into<String>) {
        self.errors.push(SpecError { path: at.path.clone(), value: at.shown(), reason: reason.into() });
    }

    /// Notes a value that is not of its key's kind.
    pub(super) fn check_kind(&mut self, kind: Kind, at: &At<'_>) -> bool {
        let Some((at, reason)) = kind.wrong(at) else { return true };
        self.kinds.push(SpecError { path: at.path.clone(), value: at.shown(), reason });
        false
    }

    /// Says what is of a wrong kind once all readers have spoken: what they said of a place is more to the point.
    pub(super) fn settle_kinds(&mut self) {
        for error in std::mem::take(&mut self.kinds) {
            if !self.errors.iter().any(|said| said.path == error.path) {
                self.errors.push(error);
            }
        }
    }

    pub(super) fn not_yet(&mut self, path: impl Into<String>) {
        let path = path.into();
        if !self.not_yet_effective.contains(&path) {
            self.not_yet_effective.push(path);
        }
    }

    pub(super) fn into_errors(self) -> SpecErrors {
        SpecErrors(self.errors)
    }

    /// A scalar as text.
    pub(super) fn text(&mut self, at: &At<'_>) -> Option<String> {
        let text = scalar_text(at.value?);
        if text.is_none() {
            self.wrong(at, "must be text");
        }
        text
    }

    /// Text that is no number or truth by mistake: names, expressions. What stands there instead counts as its text, for
    /// configs that were accepted when nobody looked.
    pub(super) fn words(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?;
        if let Some(kind) = at.value.filter(|value| !value.is_string()).map(kind_of) {
            self.wrong(at, format!("must be text, and {kind} stands there"));
        }
        Some(text)
    }

    /// An object; none where it is absent or something else, which is said with what belongs there.
    pub(super) fn object<'a>(&mut self, at: &At<'a>, what: &str) -> Vec<(&'a str, At<'a>)> {
        if let Some(value) = at.value.filter(|value| !value.is_object()) {
            self.wrong(at, format!("must be an object of {what}, and {} stands there", kind_of(value)));
        }
        at.entries()
    }

    /// `true`, `false`, or one of them as text.
    pub(super) fn boolean(&mut self, at: &At<'_>) -> Option<bool> {
        let text = scalar_text(at.value?);
        match text.as_deref().map(str::trim) {
            Some(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => {
                self.wrong(at, "must be true or false");
                None
            }
        }
    }

    /// A whole number of at least `least`, also as text.
    pub(super) fn count(&mut self, at: &At<'_>, least: u64) -> Option<u64> {
        let text = scalar_text(at.value?);
        match text.and_then(|text| text.trim().parse::<u64>().ok()) {
            Some(number) if number >= least => Some(number),
            _ => {
                self.wrong(at, format!("must be a whole number of at least {least}"));
                None
            }
        }
    }

    /// A list of text; a single text is a list of one.
    pub(super) fn texts<'a>(&mut self, at: &At<'a>) -> Vec<(At<'a>, String)> {
        match at.value {
            None => vec![],
            Some(Json::String(text)) => vec![(at.clone(), text.clone())],
            Some(Json::Array(_)) => {
                let mut found = vec![];
                for item in at.items() {
                    if let Some(text) = self.words(&item) {
                        found.push((item, text));
                    }
                }
                found
            }
            Some(_) => {
                self.wrong(at, "must be a list of text");
                vec![]
            }
        }
    }
}
