//! Nested records made flat: maps become columns with dotted names, listed arrays become rows.
//!
//! Only what some column or expression names is worked out. Arrays that are not unnested stay arrays, or become JSON text
//! as the config says. The product of several unnested arrays is bounded: a message must not become more rows than memory
//! has room for.

use bumpalo::Bump;
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_functions::datum::{Datum, of_json};
use weir_types::{ComplexTypeSpec, NotUnnested};

/// Elements of unnested arrays that one message may have in all its rows, so that a small one does not become more than memory
/// has room for.
const ROWS_MOST: usize = 100_000;

/// A wanted name, and the names under which its value may stand in a flat record.
#[derive(Debug)]
struct Wanted {
    sources: Vec<Arc<str>>,
}

/// How records are made flat for the names that are wanted.
#[derive(Debug)]
pub(super) struct Flattening {
    delimiter: Arc<str>,
    /// Parents before children.
    unnest: Vec<Arc<str>>,
    not_unnested: NotUnnested,
    wanted: Vec<Wanted>,
    /// Every source name and all that it stands below.
    known: BTreeSet<Arc<str>>,
    /// The fields that the decoder has to bring.
    tops: Vec<Arc<str>>,
}

/// Why a record cannot be made flat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotFlat {
    /// This array would make too many rows.
    TooMany(Arc<str>),
    /// Two fields become one name.
    Both(Arc<str>, Arc<str>, Arc<str>),
}

impl NotFlat {
    /// The field concerned, and what is wrong.
    pub(super) fn told(&self) -> (Arc<str>, String) {
        match self {
            Self::TooMany(field) => {
                (field.clone(), format!("it would become more than {ROWS_MOST} rows: unnest fewer arrays"))
            }
            Self::Both(one, other, name) => (
                name.clone(),
                format!("fields '{one}' and '{other}' both become '{name}': rename one of them otherwise"),
            ),
        }
    }
}

/// A flat record under way: its values by name, and the arrays that are still to become rows.
#[derive(Debug, Clone, Default)]
struct Flat<'a, 'j> {
    values: BTreeMap<Arc<str>, Datum<'a>>,
    lists: BTreeMap<Arc<str>, &'j [Json]>,
}

impl<'a> Flat<'a, '_> {
    /// The value of a wanted name; two fields that both become it are a fault.
    fn value(&self, wanted: &Wanted) -> Result<Datum<'a>, NotFlat> {
        let found = |source: &Arc<str>| Some((source.clone(), *self.values.get(source)?));
        let mut found = wanted.sources.iter().filter_map(found).filter(|(_, value)| !value.is_null());
        match (found.next(), found.next()) {
            (None, _) => Ok(Datum::Null),
            (Some((_, value)), None) => Ok(value),
            (Some((one, _)), Some((other, _))) => Err(NotFlat::Both(one, other, wanted.sources[0].clone())),
        }
    }
}

impl Flattening {
    /// For these names. `tops` are fields that are wanted before a record is made flat.
    pub(super) fn new(spec: &ComplexTypeSpec, names: &[Arc<str>], mut tops: Vec<Arc<str>>) -> Self {
        let mut unnest: Vec<Arc<str>> = spec.unnest.clone();
        unnest.sort_by_key(|name| name.len());
        unnest.dedup();
        let sources = |name: &Arc<str>| {
            let renamed = spec.renames.iter().filter_map(|(old, new)| {
                name.strip_prefix(&**new).map(|rest| Arc::from(format!("{old}{rest}").as_str()))
            });
            Wanted { sources: std::iter::once(name.clone()).chain(renamed).collect() }
        };
        let wanted: Vec<Wanted> = names.iter().map(sources).collect();
        let mut known = BTreeSet::new();
        let all = wanted.iter().flat_map(|wanted| &wanted.sources).chain(&unnest);
        for source in all {
            for (at, _) in source.match_indices(&*spec.delimiter) {
                known.insert(Arc::from(&source[..at]));
            }
            known.insert(source.clone());
            let top = source.split(&*spec.delimiter).next().unwrap_or(source);
            // The name may also stand in the record as it is, with its delimiter.
            for top in [top, source] {
                if !top.is_empty() && !tops.iter().any(|known| **known == *top) {
                    tops.push(top.into());
                }
            }
        }
        Self { delimiter: spec.delimiter.clone(), unnest, not_unnested: spec.not_unnested, wanted, known, tops }
    }

    /// The fields that the decoder has to bring.
    pub(super) fn tops(&self) -> &[Arc<str>] {
        &self.tops
    }

    /// Gives the rows of a record one by one, each with a value for every wanted name.
    ///
    /// # Errors
    /// They are too many, or two fields become one name. Some were given.
    pub(super) fn rows<'a>(
        &self,
        tops: &[Datum<'a>],
        arena: &'a Bump,
        give: &mut dyn FnMut(&mut [Datum<'a>]),
    ) -> Result<(), NotFlat> {
        let parsed: Vec<Option<Json>> = self.tops.iter().zip(tops).map(|(name, top)| self.parsed(name, *top)).collect();
        let mut flat = Flat::default();
        for ((name, value), json) in self.tops.iter().zip(tops).zip(&parsed) {
            match (value, json) {
                (Datum::Null, _) => {}
                (_, Some(json)) => self.flatten(name, json, &mut flat, arena),
                (value, None) => _ = flat.values.insert(name.clone(), *value),
            }
        }
        let mut left = ROWS_MOST;
        self.unnest(0, flat, arena, &mut left, give)
    }

    /// Makes rows of the arrays from `level` on: one row at a time is under way, however many there will be.
    fn unnest<'a>(
        &self,
        level: usize,
        mut flat: Flat<'a, '_>,
        arena: &'a Bump,
        left: &mut usize,
        give: &mut dyn FnMut(&mut [Datum<'a>]),
    ) -> Result<(), NotFlat> {
        let Some(field) = self.unnest.get(level) else {
            let mut slots: Vec<Datum<'a>> =
                self.wanted.iter().map(|wanted| flat.value(wanted)).collect::<Result<_, _>>()?;
            give(&mut slots);
            return Ok(());
        };
        let items = flat.lists.remove(field).unwrap_or_default();
        if items.is_empty() {
            return self.unnest(level + 1, flat, arena, left, give);
        }
        for item in items {
            *left = left.checked_sub(1).ok_or_else(|| NotFlat::TooMany(field.clone()))?;
            let mut row = flat.clone();
            match item {
                Json::Object(fields) => {
                    for (key, value) in fields {
                        self.flatten(&format!("{field}{}{key}", self.delimiter), value, &mut row, arena);
                    }
                }
                other => self.put(field, other, &mut row, arena),
            }
            self.unnest(level + 1, row, arena, left, give)?;
        }
        Ok(())
    }

    /// A field's value as JSON, where it has parts: an object, or an array.
    fn parsed(&self, name: &Arc<str>, value: Datum<'_>) -> Option<Json> {
        match value {
            // It is read before records are made flat, and by nothing else.
            _ if !self.known.contains(name) => None,
            Datum::Json(text) => serde_json::from_str(text).ok(),
            // Of the formats that have lists as such: only where something is made of the list.
            Datum::List(_) if self.unnest.contains(name) || self.not_unnested == NotUnnested::ToJson => {
                let mut text = vec![];
                value.write_json(&mut text);
                serde_json::from_slice(&text).ok()
            }
            _ => None,
        }
    }

    fn flatten<'a, 'j>(&self, path: &str, json: &'j Json, flat: &mut Flat<'a, 'j>, arena: &'a Bump) {
        let Some(name) = self.known.get(path) else { return };
        match json {
            Json::Array(items) if self.unnest.contains(name) => _ = flat.lists.insert(name.clone(), items),
            Json::Object(fields) => {
                self.put(name, json, flat, arena);
                for (key, value) in fields {
                    self.flatten(&format!("{path}{}{key}", self.delimiter), value, flat, arena);
                }
            }
            other => self.put(name, other, flat, arena),
        }
    }

    /// A value under its own name, where one is wanted there.
    fn put<'a>(&self, name: &Arc<str>, json: &Json, flat: &mut Flat<'a, '_>, arena: &'a Bump) {
        if !self.wanted.iter().any(|wanted| wanted.sources.contains(name)) {
            return;
        }
        let value = match json {
            Json::Array(items) if self.is_text(items.first().map(|first| first.is_array() || first.is_object())) => {
                Datum::Text(arena.alloc_str(&json.to_string()))
            }
            other => of_json(other, arena),
        };
        flat.values.insert(name.clone(), value);
    }

    /// Whether an array becomes JSON text, by whether its first element is an array or object.
    fn is_text(&self, first_is_nested: Option<bool>) -> bool {
        match self.not_unnested {
            NotUnnested::Stay => false,
            NotUnnested::NestedToJson => first_is_nested.unwrap_or(false),
            NotUnnested::ToJson => true,
        }
    }
}
