//! What a field's values have in common, and the column that follows from it, with the reason.

use super::{shape::percent, time};
use serde_json::Value as Json;
use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};
use weir_types::DataType;

/// Texts of up to so many different values are looked up by a list of their rows.
const FEW: usize = 1_000;
/// A field says something of its number of values from so many on.
const ENOUGH: usize = 50;
/// Characters of a smallest or largest value that are shown.
const SHOWN: usize = 40;
/// Significant digits that tell any two DOUBLEs apart.
const DOUBLE_DIGITS: usize = 17;
/// Names of an object's fields that are shown.
const NAMES_SHOWN: usize = 8;

/// An index that is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// None.
    None,
    /// A list of rows for each value.
    Inverted,
    /// Ranges.
    Range,
    /// Values are kept as they are: a dictionary would hold nearly as many.
    Raw,
}

/// The part of a column in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Grouped and filtered by.
    Dimension,
    /// Summed up.
    Metric,
    /// A time in this format and granularity.
    Time {
        /// As the schema says it.
        format: String,
        /// As the schema says it.
        granularity: String,
    },
}

/// A field and the column that is proposed for it.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The column's type.
    pub data_type: DataType,
    /// Its values are arrays.
    pub multi_value: bool,
    /// Its part.
    pub role: Role,
    /// Its index.
    pub index: Index,
    /// Records that were looked at.
    pub records: usize,
    /// Records that have it, null or not.
    pub present: usize,
    /// Records in which it is null.
    pub nulls: usize,
    /// Different values of the sample.
    pub distinct: usize,
    /// The smallest value, shortened.
    pub min: Option<String>,
    /// The largest value, shortened.
    pub max: Option<String>,
    /// Why this type and part.
    pub why: String,
    /// What is not certain about it.
    pub doubt: Option<String>,
    /// The `maxLength` that its values need, where the usual one would cut them.
    pub max_length: Option<u32>,
}

/// What is known of the values of a field.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) name: String,
    pub(super) present: usize,
    pub(super) nulls: usize,
    truths: usize,
    integers: usize,
    /// Beyond 64 bits.
    large: usize,
    fractions: usize,
    /// Numbers, of those with a fraction and those in texts, with more digits than a DOUBLE tells apart.
    long: usize,
    texts: usize,
    objects: usize,
    lists: usize,
    empty_lists: usize,
    nested_lists: usize,
    /// Of elements, where it is a list.
    elements: Option<Box<Stats>>,
    below: BTreeSet<String>,
    distinct: HashSet<u64>,
    number_texts: usize,
    /// UTF-16 units of the longest text, or of an object or a list of objects as text: a column holds no more than its
    /// `maxLength`.
    longest: usize,
    min: Option<Json>,
    max: Option<Json>,
    /// Times that values would be, beside those of their messages.
    pub(super) times: time::Times,
}

fn number(json: &Json) -> Option<f64> {
    json.as_f64()
}

fn order(a: &Json, b: &Json) -> Ordering {
    match (a.as_i64(), b.as_i64(), number(a), number(b)) {
        (Some(a), Some(b), ..) => a.cmp(&b),
        (_, _, Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.as_str().unwrap_or_default().cmp(b.as_str().unwrap_or_default()),
    }
}

/// Whether a number in plain notation has more digits than a DOUBLE ever needs: some of them would be others.
fn is_long(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let digits = text.trim_start_matches(['-', '+']).trim_start_matches(['0', '.']);
    if !digits.bytes().all(plain) {
        return false;
    }
    let digits = if text.contains('.') { digits.trim_end_matches('0') } else { digits };
    digits.bytes().filter(u8::is_ascii_digit).count() > DOUBLE_DIGITS
}

fn shown(json: &Json) -> String {
    let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

impl Stats {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes a value that a record has.
    pub(super) fn add(&mut self, value: &Json, message_ms: Option<i64>) {
        self.present += 1;
        if value.is_null() {
            self.nulls += 1;
            return;
        }
        let mut hasher = DefaultHasher::new();
        value.to_string().hash(&mut hasher);
        self.distinct.insert(hasher.finish());
        match value {
            Json::Null => {}
            Json::Bool(_) => self.truths += 1,
            Json::Number(_) if value.as_i64().is_some() => self.integers += 1,
            Json::Number(number) if number.as_str().bytes().all(|c| c == b'-' || c.is_ascii_digit()) => self.large += 1,
            Json::Number(number) => {
                self.fractions += 1;
                self.long += usize::from(is_long(number.as_str()));
            }
            Json::String(text) => {
                self.texts += 1;
                self.long += usize::from(is_long(text.trim()));
                self.longest = self.longest.max(text.encode_utf16().count());
                self.number_texts += usize::from(text.trim().parse::<f64>().is_ok());
            }
            Json::Object(object) => {
                self.objects += 1;
                self.longest = self.longest.max(value.to_string().encode_utf16().count());
                self.below.extend(object.keys().take(NAMES_SHOWN + 1).cloned());
            }
            Json::Array(list) => {
                self.lists += 1;
                self.empty_lists += usize::from(list.is_empty());
                let nested = list.iter().any(|item| item.is_array() || item.is_object());
                self.nested_lists += usize::from(nested);
                if nested {
                    self.longest = self.longest.max(value.to_string().encode_utf16().count());
                }
                let elements = self.elements.get_or_insert_default();
                list.iter().for_each(|item| elements.add(item, None));
            }
        }
        if matches!(value, Json::Number(_) | Json::String(_)) {
            self.times.add(value, message_ms);
            if self.min.as_ref().is_none_or(|min| order(value, min).is_lt()) {
                self.min = Some(value.clone());
            }
            if self.max.as_ref().is_none_or(|max| order(value, max).is_gt()) {
                self.max = Some(value.clone());
            }
        }
    }

    /// Records in which it has a value.
    pub(super) fn filled(&self) -> usize {
        self.present - self.nulls
    }

    /// The type of its values, the reason, and what is not certain.
    fn typed(&self) -> (DataType, bool, String, Option<String>) {
        let filled = self.filled();
        let numbers = self.integers + self.large + self.fractions;
        let all = |count: usize| count == filled;
        let single = |data_type, why: &str, doubt: Option<String>| (data_type, false, why.to_owned(), doubt);
        let mixed = || {
            let kinds = [
                (self.truths, "true or false"),
                (numbers, "numbers"),
                (self.texts, "texts"),
                (self.objects, "objects"),
                (self.lists, "lists"),
            ];
            let kinds = kinds.iter().filter(|(count, _)| *count > 0);
            kinds.map(|(count, kind)| format!("{kind} {}", percent(*count, filled))).collect::<Vec<_>>().join(", ")
        };
        match () {
            () if filled == 0 => single(
                DataType::String,
                "no value was seen",
                Some("it was null wherever it was seen: any type may come".into()),
            ),
            () if all(self.truths) => single(DataType::Boolean, "true or false", None),
            () if all(self.integers) => single(DataType::Long, "whole numbers", None),
            () if all(self.integers + self.large) => single(
                DataType::BigDecimal,
                "whole numbers beyond 64 bits",
                Some(format!("{} do not fit a LONG", percent(self.large, filled))),
            ),
            () if all(numbers) && self.long > 0 => single(
                DataType::BigDecimal,
                "numbers with more digits than a DOUBLE holds",
                Some(format!("{} would be other numbers as DOUBLE", percent(self.long, filled))),
            ),
            () if all(numbers) => {
                let whole = self.integers + self.large;
                let why = if whole == 0 {
                    "numbers with a fraction".to_owned()
                } else {
                    format!("numbers, {} of them with a fraction", percent(self.fractions, filled))
                };
                single(DataType::Double, &why, None)
            }
            () if all(self.texts) => {
                let types = if self.long > 0 { "BIG_DECIMAL, which keeps each digit," } else { "LONG or DOUBLE" };
                let doubt = (self.number_texts == filled)
                    .then(|| format!("every text looks like a number: give it {types} if it is one and no code"));
                single(DataType::String, "texts", doubt.or_else(|| self.nearly_numbers()))
            }
            () if all(self.lists) => self.list(),
            () if all(self.objects + self.lists) => {
                let mut names: Vec<&str> = self.below.iter().map(String::as_str).take(NAMES_SHOWN).collect();
                if self.below.len() > NAMES_SHOWN {
                    names.push("..");
                }
                single(DataType::Json, &format!("objects with {}: kept whole as JSON", names.join(", ")), None)
            }
            () if self.objects + self.lists > 0 => {
                single(DataType::Json, "values of several kinds", Some(format!("it holds {}", mixed())))
            }
            () => {
                let but = self.nearly_numbers().map(|doubt| format!("; {doubt}")).unwrap_or_default();
                single(DataType::String, "values of several kinds", Some(format!("it holds {}{but}", mixed())))
            }
        }
    }

    /// What to do where most values are numbers, or texts that look so, and the column is text for some others. It has to be
    /// decided before there is a table.
    fn nearly_numbers(&self) -> Option<String> {
        let filled = self.filled();
        let like = self.integers + self.large + self.fractions + self.number_texts;
        if like * 10 < filled * NEARLY_TENTHS || self.truths + self.objects + self.lists > 0 {
            return None;
        }
        let data_type = match () {
            () if self.long > 0 => "BIG_DECIMAL",
            () if self.fractions == 0 && self.large == 0 => "LONG (or DOUBLE)",
            () => "DOUBLE",
        };
        let others = match filled - like {
            0 => "all of them can be stored so".to_owned(),
            others => format!(
                "the other {} are kept in quarantine then, or null with ingestionConfig.continueOnError",
                percent(others, filled)
            ),
        };
        Some(format!(
            "{} are numbers or look so: write {data_type} for STRING as its dataType into the schema if it is a number, and move it \
             to metricFieldSpecs, where rows without it hold 0; {others}. Do it before `weir apply`: the type of a column cannot \
             change later, only another column can be added",
            percent(like, filled)
        ))
    }

    fn list(&self) -> (DataType, bool, String, Option<String>) {
        let nested = "lists of objects or lists: kept as JSON; fieldsToUnnest of complexTypeConfig makes rows of them";
        if self.nested_lists > 0 {
            return (DataType::Json, false, nested.into(), None);
        }
        let Some(elements) = self.elements.as_ref().filter(|elements| elements.filled() > 0) else {
            let doubt = "only empty lists were seen: any type may come".to_owned();
            return (DataType::String, true, "lists".into(), Some(doubt));
        };
        let (data_type, _, why, doubt) = elements.typed();
        (data_type, true, format!("lists of {why}"), doubt)
    }

    /// The column that is proposed. `time`: what it is read as, where it is a time.
    pub(super) fn field(self, records: usize, time: Option<&time::Found>) -> Field {
        let (mut data_type, multi_value, mut why, mut doubt) = self.typed();
        let (filled, distinct) = (self.filled(), self.distinct.len());
        let mut role = Role::Dimension;
        if let Some(time) = time {
            data_type = time.data_type;
            why = time.why.clone();
            doubt = time.doubt.clone();
            role = Role::Time { format: time.format.clone(), granularity: time.granularity.clone() };
        } else if data_type == DataType::Long && self.max.as_ref().is_some_and(fits_int) {
            why = format!("{why} (INT would hold those seen; LONG also what may come)");
        }
        let few = distinct <= FEW && distinct * 5 <= filled;
        let index = match (&role, data_type) {
            (Role::Time { .. }, _) => Index::Range,
            (_, DataType::String) if filled < ENOUGH => Index::None,
            (_, DataType::String) if few => Index::Inverted,
            (_, DataType::String) if !multi_value && distinct * 2 > filled => Index::Raw,
            _ => Index::None,
        };
        let longest = self.elements.as_ref().map_or(0, |elements| elements.longest).max(self.longest);
        let max_length = max_length(data_type, longest);
        let (min, max) = (self.min.as_ref().map(shown), self.max.as_ref().map(shown));
        if time.is_none() && doubt.is_none() {
            doubt = self.times.mostly(&self.name).map(|time| {
                format!(
                    "{} of its values are times ({}): --time {} makes it the table's time, and the others are kept in quarantine \
                     then",
                    percent(time.fits, time.of),
                    time.says,
                    self.name
                )
            });
        }
        let Self { name, present, nulls, .. } = self;
        let mut field = Field {
            name,
            data_type,
            multi_value,
            role,
            index,
            records,
            present,
            nulls,
            distinct,
            min,
            max,
            why,
            doubt,
            max_length,
        };
        field.settle_role();
        field
    }
}

impl Field {
    /// A number that is summed up, or that is not always there, is a metric: rows without it hold 0. A dimension's would be
    /// the least number that there is, which sums do see.
    pub(super) fn settle_role(&mut self) {
        if matches!(self.role, Role::Time { .. }) {
            return;
        }
        let lacks = self.records - (self.present - self.nulls);
        let sums = !self.multi_value
            && match self.data_type {
                DataType::Double | DataType::Float | DataType::BigDecimal => true,
                DataType::Int | DataType::Long => lacks > 0,
                _ => false,
            };
        self.role = if sums { Role::Metric } else { Role::Dimension };
        if sums && lacks > 0 {
            self.why.push_str(&format!(
                "; a metric, for {} of the records have none and hold 0 then",
                percent(lacks, self.records)
            ));
        }
    }
}

/// Columns of which so many tenths of the values are numbers are hardly meant to be text.
const NEARLY_TENTHS: usize = 8;

/// The length that a column allows which does not say one.
const USUAL_LENGTH: usize = 512;

/// A length for values twice as long as those seen, where the usual one would cut them.
fn max_length(data_type: DataType, longest: usize) -> Option<u32> {
    let cut = matches!(data_type, DataType::String | DataType::Json) && longest > USUAL_LENGTH;
    cut.then(|| u32::try_from(longest.saturating_mul(2).next_power_of_two()).unwrap_or(u32::MAX >> 1))
}

fn fits_int(json: &Json) -> bool {
    json.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(values: &[Json]) -> Field {
        let mut stats = Stats::new("f");
        values.iter().for_each(|value| stats.add(value, None));
        stats.field(values.len(), None)
    }

    #[track_caller]
    fn check(values: &[Json], data_type: DataType, multi_value: bool, said: &str) {
        let field = field(values);
        let told = format!("{} {}", field.why, field.doubt.clone().unwrap_or_default());
        assert_eq!((field.data_type, field.multi_value), (data_type, multi_value), "{told}");
        assert!(told.contains(said), "{told}");
    }

    #[test]
    fn types_follow_from_values() {
        check(&[json!(1), json!(-3)], DataType::Long, false, "whole numbers (INT would");
        check(&[json!(1), json!(5_000_000_000_i64)], DataType::Long, false, "whole numbers");
        check(&[json!(1), json!(2.5)], DataType::Double, false, "50.0 % of them with a fraction");
        let large: Json = serde_json::from_str("123456789012345678901234567890").unwrap();
        check(&[json!(1), large], DataType::BigDecimal, false, "50.0 % do not fit");
        let long: Json = serde_json::from_str("12345678901234567038.5").unwrap();
        check(&[json!(1.5), long], DataType::BigDecimal, false, "50.0 % would be other numbers as DOUBLE");
        check(&[json!("207588813608957855.14")], DataType::String, false, "BIG_DECIMAL, which keeps each digit");
        check(&[json!("0.00000000000000000000125")], DataType::String, false, "LONG or DOUBLE");
        check(&[json!(true), json!(null)], DataType::Boolean, false, "true or false");
        check(&[json!("a"), json!("b")], DataType::String, false, "texts");
        check(&[json!("1"), json!("2")], DataType::String, false, "looks like a number");
        check(&[json!("a"), json!(2)], DataType::String, false, "numbers 50.0 %, texts 50.0 %");
        let mostly = |other: Json| (0..19).map(|n| json!(n)).chain([other]).collect::<Vec<_>>();
        check(
            &mostly(json!("n/a")),
            DataType::String,
            false,
            "; 95.0 % are numbers or look so: write LONG (or DOUBLE) for STRING",
        );
        check(&mostly(json!("n/a")), DataType::String, false, "the other 5.0 % are kept in quarantine");
        check(&mostly(json!("20")), DataType::String, false, "100 % are numbers or look so");
        check(&mostly(json!("20")), DataType::String, false, "all of them can be stored so");
        let texts: Vec<Json> = (0..19).map(|n| json!(n.to_string())).chain([json!("-")]).collect();
        check(&texts, DataType::String, false, "texts 95.0 % are numbers or look so");
        assert!(field(&[json!("a"), json!(2)]).doubt.is_some_and(|doubt| !doubt.contains("look so")));
        assert_eq!(field(&[json!("a"), json!("b")]).doubt, None);
        check(&[json!({"b": 1, "a": 2})], DataType::Json, false, "objects with a, b");
        check(&[json!({"a": 1}), json!("x")], DataType::Json, false, "texts 50.0 %, objects 50.0 %");
        check(&[json!(["a", "b"]), json!([])], DataType::String, true, "lists of texts");
        check(&[json!([1]), json!([2, 3])], DataType::Long, true, "lists of whole");
        check(&[json!([{"a": 1}])], DataType::Json, false, "fieldsToUnnest");
        check(&[json!([])], DataType::String, true, "only empty lists");
        check(&[json!(null)], DataType::String, false, "null wherever");
    }

    #[test]
    fn long_texts_get_a_length() {
        let text = |length: usize| json!("\u{e9}".repeat(length));
        assert_eq!(field(&[text(512)]).max_length, None);
        assert_eq!(field(&[text(1), text(513)]).max_length, Some(2048));
        assert_eq!(field(&[json!(["a", "x".repeat(600)])]).max_length, Some(2048), "an element");
        assert_eq!(field(&[json!({"a": "x".repeat(2000)})]).max_length, Some(4096), "a whole object");
        assert_eq!(field(&[json!({"a": 1}), json!("x".repeat(600))]).max_length, Some(2048), "kept as JSON");
        let name = weir_types::ColumnName::parse("f").unwrap();
        let usual = weir_types::FieldSpec::new(name, DataType::String, weir_types::FieldKind::Dimension).max_length;
        assert_eq!(usual as usize, USUAL_LENGTH);
    }

    #[test]
    fn indexes_follow_from_how_many_values_there_are() {
        let texts = |count: usize, of: usize| (0..count).map(|at| json!(format!("v{}", at % of))).collect::<Vec<_>>();
        assert_eq!(field(&texts(100, 5)).index, Index::Inverted);
        assert_eq!(field(&texts(100, 100)).index, Index::Raw);
        assert_eq!(field(&texts(100, 30)).index, Index::None);
        assert_eq!(field(&texts(10, 2)).index, Index::None, "too few to tell");
        let counted = field(&[json!("b"), json!("a"), json!(null), json!("b")]);
        assert_eq!((counted.present, counted.nulls, counted.distinct), (4, 1, 2));
        assert_eq!((counted.min.as_deref(), counted.max.as_deref()), (Some("a"), Some("b")));
    }
}
