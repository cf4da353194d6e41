//! What fields the records have that went by: their kinds, how many have them, and what changed on the way.

use serde_json::{Map, Value as Json, json};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

/// Fields that are followed: more are keys that are data, as in `{"user-17": ..}`.
const FIELDS_MOST: usize = 500;
/// Names that are counted beyond those: keys that are data may come for ever.
const LEFT_OUT_MOST: usize = 100_000;
/// Records for which a change is marked.
const MARKED_FOR: u64 = 1_000;

/// A field that the records have.
#[derive(Debug)]
struct Field {
    name: String,
    /// Records that have it, with null too.
    present: u64,
    nulls: u64,
    kinds: BTreeMap<String, u64>,
    /// What changed last, and at which record.
    changed: Option<(u64, String)>,
}

/// Something that was not so before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The field.
    pub(super) field: String,
    /// Its kinds before; none where the field is new.
    pub(super) before: Vec<String>,
    /// The kind that came.
    pub(super) kind: String,
    /// Where.
    pub(super) place: String,
    /// Records before this one.
    pub(super) after: u64,
}

impl Change {
    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { field, before, kind, place, after } = self;
        match before.as_slice() {
            [] => format!("new field {field}: {kind} at {place}, after {after} records without it"),
            before => format!("{field}: {} -> {kind} since {place}, after {after} records", before.join(" or ")),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Json {
        json!({
            "kind": "change", "field": self.field, "before": self.before, "now": self.kind, "place": self.place,
            "after": self.after,
        })
    }
}

/// The fields of all records that were seen.
#[derive(Debug, Default)]
pub(super) struct Gutter {
    records: u64,
    fields: Vec<Field>,
    at: HashMap<String, usize>,
    /// Names beyond those that are followed, by their hash.
    left_out: HashSet<u64>,
}

impl Gutter {
    /// How many records were seen.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Takes a record, and says what is new with it. With the first nothing is.
    pub(super) fn add(&mut self, record: &Map<String, Json>, place: &str) -> Vec<Change> {
        let (after, mut changes) = (self.records, vec![]);
        self.records += 1;
        for (name, value) in record {
            let kind = kind_of(value);
            let (position, new) = match self.at.get(name) {
                Some(position) => (*position, false),
                None if self.fields.len() >= FIELDS_MOST => {
                    if self.left_out.len() < LEFT_OUT_MOST {
                        self.left_out.insert(hash_of(name));
                    }
                    continue;
                }
                None => {
                    let field =
                        Field { name: name.clone(), present: 0, nulls: 0, kinds: BTreeMap::new(), changed: None };
                    self.fields.push(field);
                    self.at.insert(name.clone(), self.fields.len() - 1);
                    (self.fields.len() - 1, true)
                }
            };
            let field = &mut self.fields[position];
            field.present += 1;
            let Some(kind) = kind else {
                field.nulls += 1;
                if new && after > 0 {
                    changes.push(field.change(vec![], "NULL".to_owned(), place, after));
                }
                continue;
            };
            let before: Vec<String> = field.kinds.keys().cloned().collect();
            let unknown = !field.kinds.contains_key(&kind);
            *field.kinds.entry(kind.clone()).or_default() += 1;
            // A field that was null so far has no kind that changes.
            if after > 0 && (new || (unknown && !before.is_empty())) {
                changes.push(field.change(before, kind, place, after));
            }
        }
        changes
    }

    /// The fields as lines, those first that changed lately; at most `most` of them.
    pub(super) fn lines(&self, most: usize) -> Vec<String> {
        if self.fields.is_empty() || most < 2 {
            return vec![];
        }
        let mut order: Vec<&Field> = self.fields.iter().collect();
        order.sort_by_key(|field| self.mark(field).is_none());
        let room = most - 1;
        let shown = if order.len() > room { room.saturating_sub(1) } else { order.len() };
        let left = order.len() - shown;
        order.truncate(shown);
        let width = order.iter().map(|field| field.name.chars().count().min(40)).max().unwrap_or(0);
        let line = |field: &&Field| {
            let name: String = field.name.chars().take(40).collect();
            let mark = self.mark(field).map_or_else(String::new, |what| format!("  * {what}"));
            let share = percent(field.present, self.records);
            format!("{name:width$}  {share:>6}  {}{mark}", field.kinds_text())
        };
        let beyond = match self.left_out.len() {
            0 => String::new(),
            LEFT_OUT_MOST.. => format!(", and {LEFT_OUT_MOST} or more that are not followed"),
            beyond => format!(", and {beyond} that are not followed"),
        };
        let head = format!("{} records, {} fields{beyond}", self.records, self.fields.len());
        let mut lines = vec![head];
        lines.extend(order.iter().map(line));
        if left > 0 {
            lines.push(format!("and {left} more fields"));
        }
        lines
    }

    /// What changed of a field lately.
    fn mark<'a>(&self, field: &'a Field) -> Option<&'a str> {
        let (at, what) = field.changed.as_ref()?;
        (self.records - at <= MARKED_FOR).then_some(what.as_str())
    }

    /// The fields for programs.
    pub(super) fn json(&self) -> Json {
        let field = |field: &Field| {
            json!({
                "name": field.name, "present": field.present, "nulls": field.nulls, "kinds": field.kinds,
                "changed": field.changed.as_ref().map(|(_, what)| what),
            })
        };
        json!({
            "kind": "schema", "records": self.records, "fields": self.fields.iter().map(field).collect::<Vec<_>>(),
            "leftOut": self.left_out.len(),
        })
    }
}

impl Field {
    fn change(&mut self, before: Vec<String>, kind: String, place: &str, after: u64) -> Change {
        let what = if before.is_empty() { format!("new since {place}") } else { format!("{kind} since {place}") };
        self.changed = Some((after, what));
        Change { field: self.name.clone(), before, kind, place: place.to_owned(), after }
    }

    fn kinds_text(&self) -> String {
        let all = self.kinds.values().sum::<u64>() + self.nulls;
        let mut kinds: Vec<(&str, u64)> = self.kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        if self.nulls > 0 {
            kinds.push(("NULL", self.nulls));
        }
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        match kinds.as_slice() {
            [(one, _)] => (*one).to_owned(),
            kinds => {
                let part = |(kind, count): &(&str, u64)| format!("{kind} {}", percent(*count, all));
                kinds.iter().map(part).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A share for people: only all is 100 %, and only none is 0 %.
fn percent(part: u64, whole: u64) -> String {
    if part == whole {
        return "100 %".to_owned();
    }
    let share = part as f64 * 100.0 / whole.max(1) as f64;
    format!("{:.1} %", share.clamp(0.1, 99.9))
}

/// The kind of a value in the words of column types; none for null.
fn kind_of(value: &Json) -> Option<String> {
    let kind = match value {
        Json::Null => return None,
        Json::Bool(_) => "BOOLEAN",
        Json::Number(number) if number.is_i64() => "LONG",
        Json::Number(_) => "DOUBLE",
        Json::String(_) => "STRING",
        Json::Object(_) => "OBJECT",
        Json::Array(values) => {
            let mut kinds: Vec<String> = values.iter().filter_map(kind_of).collect();
            kinds.dedup();
            return Some(match kinds.as_slice() {
                [one] if !one.ends_with(']') => format!("{one}[]"),
                _ => "LIST".to_owned(),
            });
        }
    };
    Some(kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(gutter: &mut Gutter, record: &Json, place: &str) -> Vec<String> {
        gutter.add(record.as_object().unwrap(), place).iter().map(Change::text).collect()
    }

    #[test]
    fn a_new_field_and_a_new_kind_are_told_once_with_their_place() {
        let mut gutter = Gutter::default();
        for at in 0..999 {
            let told = add(&mut gutter, &json!({"id": at, "price": 5, "note": null}), &format!("t/0@{at}"));
            assert!(told.is_empty(), "{told:?}");
        }
        let told = add(&mut gutter, &json!({"id": 7, "price": "5 EUR", "note": "n", "tags": ["a"]}), "t/0@999");
        assert_eq!(
            told,
            [
                "price: LONG -> STRING since t/0@999, after 999 records",
                "new field tags: STRING[] at t/0@999, after 999 records without it"
            ]
        );
        assert!(add(&mut gutter, &json!({"price": "6", "tags": ["b"]}), "t/0@1000").is_empty());
        let lines = gutter.lines(10);
        assert_eq!(lines[0], "1001 records, 4 fields");
        // What changed stands first.
        assert_eq!(lines[1], "price   100 %  LONG 99.8 %, STRING 0.2 %  * STRING since t/0@999");
        assert_eq!(lines[2], "tags    0.2 %  STRING[]  * new since t/0@999");
        assert_eq!(lines[3], "id     99.9 %  LONG");
        assert_eq!(gutter.lines(4).last().unwrap(), "and 2 more fields");
        assert!(gutter.lines(1).is_empty());
        assert_eq!(gutter.json()["fields"][1]["kinds"], json!({"LONG": 999, "STRING": 2}));
    }

    #[test]
    fn marks_fade_and_fields_are_bounded() {
        let mut gutter = Gutter::default();
        add(&mut gutter, &json!({"a": 1}), "t/0@0");
        assert_eq!(add(&mut gutter, &json!({"a": 1, "b": null}), "t/0@1").len(), 1);
        for _ in 0..=MARKED_FOR {
            add(&mut gutter, &json!({"a": 1}), "t/0@2");
        }
        assert!(gutter.lines(9).iter().all(|line| !line.contains('*')), "{:?}", gutter.lines(9));
        let many: Map<String, Json> = (0..2 * FIELDS_MOST).map(|at| (format!("k{at}"), json!(at))).collect();
        gutter.add(&many, "t/0@3");
        assert_eq!(gutter.fields.len(), FIELDS_MOST);
        assert_eq!(gutter.json()["leftOut"], json!(FIELDS_MOST + 2));
        // Names are counted, not how often they come.
        gutter.add(&many, "t/0@4");
        assert_eq!(gutter.json()["leftOut"], json!(FIELDS_MOST + 2));
        assert!(gutter.lines(9)[0].ends_with("500 fields, and 502 that are not followed"), "{:?}", gutter.lines(2));
    }

    #[test]
    fn kinds_are_those_of_columns() {
        for (value, kind) in [
            (json!(true), "BOOLEAN"),
            (json!(7), "LONG"),
            (json!(7.5), "DOUBLE"),
            (json!(18_446_744_073_709_551_615_u64), "DOUBLE"),
            (json!([1, null, 2]), "LONG[]"),
            (json!([1, "a"]), "LIST"),
            (json!([[1]]), "LIST"),
            (json!([]), "LIST"),
            (json!({}), "OBJECT"),
        ] {
            assert_eq!(kind_of(&value).as_deref(), Some(kind), "{value}");
        }
        assert_eq!(kind_of(&Json::Null), None);
    }
}
