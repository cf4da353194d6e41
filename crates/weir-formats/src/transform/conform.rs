//! Fields that the schema does not name: gathered in one column as JSON, and as texts to be searched in another.
//!
//! A record is walked from its top: what has a column goes there, by its path (`a.b`), the rest keeps its structure. Fields whose
//! names end in the suffix for it are gathered apart, with all that is below them.

use super::{Refusal, Stage};
use bumpalo::Bump;
use serde_json::{Map, Value as Json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_functions::datum::{self, Datum, of_json};
use weir_types::{ConformingSpec, MergedTextSpec};

/// How the fields of a record are told apart.
#[derive(Debug)]
pub(super) struct Conforming {
    /// Slot of the whole record.
    record: usize,
    /// Slots of columns by their paths.
    columns: BTreeMap<Arc<str>, usize>,
    /// Slots of columns that are filled from their paths alone.
    by_path: Vec<usize>,
    rest: Option<usize>,
    unindexed_rest: Option<usize>,
    suffix: Arc<str>,
    dropped: BTreeSet<Arc<str>>,
    whole: BTreeSet<Arc<str>>,
    whole_and_searched: BTreeSet<Arc<str>>,
    searched_only: BTreeSet<Arc<str>>,
    doubled: BTreeSet<Arc<str>>,
    text: Option<(usize, MergedTextSpec)>,
}

/// What a record gives besides its columns.
struct Found<'s, 'a> {
    slots: &'s mut [Datum<'a>],
    arena: &'a Bump,
    texts: Vec<Datum<'a>>,
}

impl Conforming {
    /// For the columns of a table; `slot` gives each name its slot, `derived` are slots that expressions fill.
    pub(super) fn new(
        spec: &ConformingSpec,
        record: usize,
        columns: &[&str],
        derived: &BTreeSet<usize>,
        slot: &mut dyn FnMut(&str) -> usize,
    ) -> Self {
        let set = |paths: &[Arc<str>]| paths.iter().cloned().collect::<BTreeSet<_>>();
        let text = spec.text.as_ref().map(|text| (slot(text.column.as_str()), text.clone()));
        let rest = spec.rest.as_ref().map(|column| slot(column.as_str()));
        let unindexed_rest = spec.unindexed_rest.as_ref().map(|column| slot(column.as_str()));
        let own: Vec<usize> = [rest, unindexed_rest, text.as_ref().map(|(at, _)| *at)].into_iter().flatten().collect();
        let (mut by_name, mut by_path) = (BTreeMap::new(), vec![]);
        for name in columns {
            let at = slot(name);
            if own.contains(&at) {
                continue;
            }
            match spec.paths.iter().find(|(column, _)| column.as_str() == *name) {
                Some((_, path)) => {
                    by_name.insert(path.clone(), at);
                    if **path != **name && !derived.contains(&at) {
                        by_path.push(at);
                    }
                }
                None => _ = by_name.insert(Arc::from(*name), at),
            }
        }
        Self {
            record,
            columns: by_name,
            by_path,
            rest,
            unindexed_rest,
            suffix: spec.unindexed_suffix.clone(),
            dropped: set(&spec.dropped),
            whole: set(&spec.whole),
            whole_and_searched: set(&spec.whole_and_searched),
            searched_only: set(&spec.searched_only),
            doubled: set(&spec.doubled),
            text,
        }
    }

    /// Fills the slots of a row from its record.
    pub(super) fn apply<'a>(&self, slots: &mut [Datum<'a>], arena: &'a Bump) -> Result<(), Refusal> {
        let Datum::Json(record) = slots[self.record] else { return Ok(()) };
        let record: Map<String, Json> = serde_json::from_str(record).map_err(|error| Refusal {
            stage: Stage::Transform,
            column: None,
            reason: format!("its fields cannot be told apart: {error}"),
        })?;
        self.by_path.iter().for_each(|at| slots[*at] = Datum::Null);
        let mut found = Found { slots, arena, texts: vec![] };
        let (rest, unindexed) = self.walk(&record, &mut String::new(), &mut found);
        let Found { slots, texts, .. } = found;
        let object = |map: Map<String, Json>| {
            if map.is_empty() { Datum::Null } else { of_json(&Json::Object(map), arena) }
        };
        if let Some(at) = self.rest {
            slots[at] = object(rest);
        }
        if let Some(at) = self.unindexed_rest {
            slots[at] = object(unindexed);
        }
        if let Some((at, _)) = &self.text {
            slots[*at] = if texts.is_empty() { Datum::Null } else { datum::list(texts, arena) };
        }
        Ok(())
    }

    /// What is left of an object, and what of that is not to be searched. It is as deep as JSON may be that was read.
    fn walk(
        &self,
        object: &Map<String, Json>,
        path: &mut String,
        found: &mut Found<'_, '_>,
    ) -> (Map<String, Json>, Map<String, Json>) {
        let (mut rest, mut unindexed) = (Map::new(), Map::new());
        let above = path.len();
        for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            if above > 0 {
                path.push('.');
            }
            path.push_str(key);
            if self.dropped.contains(path.as_str()) {
            } else if !self.suffix.is_empty() && key.ends_with(&*self.suffix) {
                unindexed.insert(key.clone(), value.clone());
            } else if self.whole.contains(path.as_str()) {
                self.put(path, value, found);
            } else if self.whole_and_searched.contains(path.as_str()) {
                self.put(path, value, found);
                self.texts(value, path, found);
            } else if self.columns.contains_key(path.as_str()) {
                self.put(path, value, found);
                self.texts(value, path, found);
                if self.doubled.contains(path.as_str()) {
                    rest.insert(key.clone(), value.clone());
                }
            } else if let Json::Object(inner) = value
                && !inner.is_empty()
            {
                let (below, unindexed_below) = self.walk(inner, path, found);
                for (map, below) in [(&mut rest, below), (&mut unindexed, unindexed_below)] {
                    if !below.is_empty() {
                        map.insert(key.clone(), Json::Object(below));
                    }
                }
            } else {
                if !self.searched_only.contains(path.as_str()) {
                    rest.insert(key.clone(), value.clone());
                }
                self.texts(value, path, found);
            }
            path.truncate(above);
        }
        (rest, unindexed)
    }

    /// A value into the column of its path, unless that has one: from the top of the record, or derived.
    fn put(&self, path: &str, value: &Json, found: &mut Found<'_, '_>) {
        if let Some(at) = self.columns.get(path)
            && found.slots[*at].is_null()
        {
            found.slots[*at] = of_json(value, found.arena);
        }
    }

    /// The texts of a field and all that is below it.
    fn texts(&self, value: &Json, path: &mut String, found: &mut Found<'_, '_>) {
        let Some((_, spec)) = &self.text else { return };
        if let Json::Object(inner) = value {
            let above = path.len();
            for (key, value) in inner {
                path.push('.');
                path.push_str(key);
                self.texts(value, path, found);
                path.truncate(above);
            }
            return;
        }
        let left_out = spec.without.iter().any(|other| **other == **path)
            || spec.without_prefixes.iter().any(|prefix| path.starts_with(&**prefix));
        let text = match value {
            Json::Null => return,
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        if left_out || (text.len() >= spec.binary_from && is_base64(&text)) {
            return;
        }
        let made = document(spec, path, &text);
        if spec.lower_too {
            let lower = made.to_lowercase();
            if lower != made {
                found.texts.push(datum::text(&lower, found.arena));
            }
        }
        found.texts.push(datum::text(&made, found.arena));
    }
}

/// One text: a value and the name of its field.
fn document(spec: &MergedTextSpec, path: &str, value: &str) -> String {
    let (begin, end) = &spec.anchors;
    let others = path.len() + spec.separator.len() + begin.len() + end.len();
    let value = &value[..value.floor_char_boundary(spec.longest.saturating_sub(others))];
    let (first, second) = if spec.value_first { (value, path) } else { (path, value) };
    format!("{begin}{first}{}{second}{end}", spec.separator)
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len() - digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte))
}
