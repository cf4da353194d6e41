//! A predicate made ready for one stored kind: loops over columns, dictionaries and statistics all use it.
//!
//! Numbers compare as 64-bit keys in the order of their kind (floats in total order), so every test of a number is an
//! interval or a set of keys. A literal of another numeric kind is placed among the keys exactly, never rounded into a
//! match; a literal that cannot be compared with the kind (text with a number) equals nothing.

use std::{cmp::Ordering, ops::Bound, ops::Range};
use weir_indexes::Predicate;
use weir_types::{BytesColumn, ColumnData, Stored, Value};

/// What the least and greatest value of a column say about a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No value passes.
    None,
    /// Every value passes.
    All,
    /// One must look.
    Some,
}

/// A compiled predicate on values. `IsNull` and `IsNotNull` are asked of null rows, not of values: here no value passes
/// the first and every value passes the second.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    what: What,
    negated: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Never,
    /// Keys in a closed interval.
    Between(i64, i64),
    /// Keys of a sorted list.
    Among(Vec<i64>),
    /// Text or bytes in an interval.
    TextBetween(Bound<Box<[u8]>>, Bound<Box<[u8]>>),
    /// Text or bytes of a sorted list.
    TextAmong(Vec<Box<[u8]>>),
}

fn f32_key(value: f32) -> i64 {
    let bits = value.to_bits() as i32;
    i64::from(bits ^ (((bits >> 31) as u32) >> 1) as i32)
}

fn f64_key(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The key of the value of a kind next to a literal, and how it compares with the literal.
fn place(stored: Stored, literal: &Value) -> Option<(i64, Ordering)> {
    let among_integers = |x: f64| {
        let floor = x.floor();
        if x.is_nan() {
            if x.is_sign_negative() { (i64::MIN, Ordering::Greater) } else { (i64::MAX, Ordering::Less) }
        } else if floor >= 9_223_372_036_854_775_808.0 {
            (i64::MAX, Ordering::Less)
        } else if floor < -9_223_372_036_854_775_808.0 {
            (i64::MIN, Ordering::Greater)
        } else {
            (floor as i64, if floor == x { Ordering::Equal } else { Ordering::Less })
        }
    };
    let as_f32 = |v: i64| {
        let y = v as f32;
        (f32_key(y), (y as i128).cmp(&v.into()))
    };
    let as_f64 = |v: i64| {
        let y = v as f64;
        (f64_key(y), (y as i128).cmp(&v.into()))
    };
    Some(match (stored, literal) {
        (Stored::Int | Stored::Long, Value::Int(v)) => ((*v).into(), Ordering::Equal),
        (Stored::Int | Stored::Long, Value::Long(v)) => (*v, Ordering::Equal),
        (Stored::Int | Stored::Long, Value::Float(v)) => among_integers((*v).into()),
        (Stored::Int | Stored::Long, Value::Double(v)) => among_integers(*v),
        (Stored::Float, Value::Float(v)) => (f32_key(*v), Ordering::Equal),
        (Stored::Float, Value::Int(v)) => as_f32((*v).into()),
        (Stored::Float, Value::Long(v)) => as_f32(*v),
        (Stored::Float, Value::Double(v)) => (f32_key(*v as f32), f64::from(*v as f32).total_cmp(v)),
        (Stored::Double, Value::Double(v)) => (f64_key(*v), Ordering::Equal),
        (Stored::Double, Value::Float(v)) => (f64_key((*v).into()), Ordering::Equal),
        (Stored::Double, Value::Int(v)) => as_f64((*v).into()),
        (Stored::Double, Value::Long(v)) => as_f64(*v),
        _ => return None,
    })
}

fn text(stored: Stored, literal: &Value) -> Option<Box<[u8]>> {
    match (stored, literal) {
        (Stored::Str, Value::Str(v)) => Some(v.as_bytes().into()),
        (Stored::Bytes, Value::Bytes(v)) => Some(v[..].into()),
        _ => None,
    }
}

fn among(stored: Stored, literals: &[Value]) -> What {
    if matches!(stored, Stored::Str | Stored::Bytes) {
        let mut values: Vec<_> = literals.iter().filter_map(|literal| text(stored, literal)).collect();
        values.sort_unstable();
        values.dedup();
        return if values.is_empty() { What::Never } else { What::TextAmong(values) };
    }
    let exact = |literal| place(stored, literal).filter(|(_, order)| *order == Ordering::Equal).map(|(key, _)| key);
    let mut keys: Vec<i64> = literals.iter().filter_map(exact).collect();
    keys.sort_unstable();
    keys.dedup();
    match keys.as_slice() {
        [] => What::Never,
        [key] => What::Between(*key, *key),
        _ => What::Among(keys),
    }
}

fn text_bound(stored: Stored, bound: &Bound<Value>) -> Option<Bound<Box<[u8]>>> {
    Some(match bound {
        Bound::Included(literal) => Bound::Included(text(stored, literal)?),
        Bound::Excluded(literal) => Bound::Excluded(text(stored, literal)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

fn between(stored: Stored, lower: &Bound<Value>, upper: &Bound<Value>) -> Option<What> {
    if matches!(stored, Stored::Str | Stored::Bytes) {
        return Some(What::TextBetween(text_bound(stored, lower)?, text_bound(stored, upper)?));
    }
    let from = match lower {
        Bound::Unbounded => i64::MIN,
        Bound::Included(literal) => match place(stored, literal)? {
            (key, Ordering::Less) => key.checked_add(1)?,
            (key, _) => key,
        },
        Bound::Excluded(literal) => match place(stored, literal)? {
            (key, Ordering::Greater) => key,
            (key, _) => key.checked_add(1)?,
        },
    };
    let to = match upper {
        Bound::Unbounded => i64::MAX,
        Bound::Included(literal) => match place(stored, literal)? {
            (key, Ordering::Greater) => key.checked_sub(1)?,
            (key, _) => key,
        },
        Bound::Excluded(literal) => match place(stored, literal)? {
            (key, Ordering::Less) => key,
            (key, _) => key.checked_sub(1)?,
        },
    };
    (from <= to).then_some(What::Between(from, to))
}

impl Test {
    /// Makes a predicate ready for values of a kind.
    #[must_use]
    pub fn new(stored: Stored, predicate: &Predicate) -> Self {
        let (what, negated) = match predicate {
            Predicate::Eq(literal) => (among(stored, std::slice::from_ref(literal)), false),
            Predicate::NotEq(literal) => (among(stored, std::slice::from_ref(literal)), true),
            Predicate::In(literals) => (among(stored, literals), false),
            Predicate::NotIn(literals) => (among(stored, literals), true),
            Predicate::Range { lower, upper } => (between(stored, lower, upper).unwrap_or(What::Never), false),
            Predicate::IsNull => (What::Never, false),
            Predicate::IsNotNull => (What::Never, true),
        };
        Self { what, negated }
    }

    /// Whether a row with several values passes only if all of them do.
    #[must_use]
    pub fn asks_all(&self) -> bool {
        self.negated
    }

    /// Whether a value passes; one of another kind than the test was made for is not comparable.
    #[must_use]
    pub fn passes(&self, value: &Value) -> bool {
        let inside = match value {
            Value::Int(v) => self.what.holds_key((*v).into()),
            Value::Long(v) => self.what.holds_key(*v),
            Value::Float(v) => self.what.holds_key(f32_key(*v)),
            Value::Double(v) => self.what.holds_key(f64_key(*v)),
            Value::Str(v) => self.what.holds_text(v.as_bytes()),
            Value::Bytes(v) => self.what.holds_text(v),
        };
        inside != self.negated
    }

    /// Appends, for each value of a range, whether it passes.
    pub fn evaluate(&self, data: &ColumnData, at: Range<usize>, out: &mut Vec<bool>) {
        match data {
            ColumnData::Int(v) => self.keys(&v[at], |v| v.into(), out),
            ColumnData::Long(v) => self.keys(&v[at], |v| v, out),
            ColumnData::Float(v) => self.keys(&v[at], f32_key, out),
            ColumnData::Double(v) => self.keys(&v[at], f64_key, out),
            ColumnData::Str(v) | ColumnData::Bytes(v) => self.texts(v, at, out),
        }
    }

    fn keys<T: Copy>(&self, values: &[T], key: impl Fn(T) -> i64, out: &mut Vec<bool>) {
        let negated = self.negated;
        match &self.what {
            What::Between(from, to) => out.extend(values.iter().map(|value| {
                let key = key(*value);
                ((*from <= key) & (key <= *to)) != negated
            })),
            What::Among(keys) => {
                out.extend(values.iter().map(|value| keys.binary_search(&key(*value)).is_ok() != negated));
            }
            What::Never | What::TextBetween(..) | What::TextAmong(_) => {
                out.resize(out.len() + values.len(), negated);
            }
        }
    }

    fn texts(&self, values: &BytesColumn, at: Range<usize>, out: &mut Vec<bool>) {
        out.extend(at.map(|at| self.what.holds_text(values.get(at)) != self.negated));
    }

    /// What a column's least and greatest value, of the kind the test was made for, say.
    #[must_use]
    pub fn verdict(&self, min: &Value, max: &Value) -> Verdict {
        let inside = match (key_of(min), key_of(max), text_of(min), text_of(max)) {
            (Some(min), Some(max), ..) => self.what.key_verdict(min, max),
            (_, _, Some(min), Some(max)) => self.what.text_verdict(min, max),
            _ => Verdict::Some,
        };
        match (inside, self.negated) {
            (Verdict::None, true) => Verdict::All,
            (Verdict::All, true) => Verdict::None,
            (verdict, _) => verdict,
        }
    }
}

fn key_of(value: &Value) -> Option<i64> {
    match value {
        Value::Int(v) => Some((*v).into()),
        Value::Long(v) => Some(*v),
        Value::Float(v) => Some(f32_key(*v)),
        Value::Double(v) => Some(f64_key(*v)),
        Value::Str(_) | Value::Bytes(_) => None,
    }
}

fn text_of(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Str(v) => Some(v.as_bytes()),
        Value::Bytes(v) => Some(v),
        _ => None,
    }
}

fn above(lower: &Bound<Box<[u8]>>, value: &[u8]) -> bool {
    match lower {
        Bound::Included(lower) => value >= &**lower,
        Bound::Excluded(lower) => value > &**lower,
        Bound::Unbounded => true,
    }
}

fn below(upper: &Bound<Box<[u8]>>, value: &[u8]) -> bool {
    match upper {
        Bound::Included(upper) => value <= &**upper,
        Bound::Excluded(upper) => value < &**upper,
        Bound::Unbounded => true,
    }
}

impl What {
    fn holds_key(&self, key: i64) -> bool {
        match self {
            Self::Between(from, to) => (*from..=*to).contains(&key),
            Self::Among(keys) => keys.binary_search(&key).is_ok(),
            Self::Never | Self::TextBetween(..) | Self::TextAmong(_) => false,
        }
    }

    fn holds_text(&self, value: &[u8]) -> bool {
        match self {
            Self::TextBetween(lower, upper) => above(lower, value) && below(upper, value),
            Self::TextAmong(values) => match values.as_slice() {
                [only] => **only == *value,
                values => values.binary_search_by(|held| (**held).cmp(value)).is_ok(),
            },
            Self::Never | Self::Between(..) | Self::Among(_) => false,
        }
    }

    fn key_verdict(&self, min: i64, max: i64) -> Verdict {
        match self {
            Self::Between(from, to) if max < *from || min > *to => Verdict::None,
            Self::Between(from, to) if *from <= min && max <= *to => Verdict::All,
            Self::Between(..) => Verdict::Some,
            Self::Among(keys) => match keys.get(keys.partition_point(|key| *key < min)) {
                Some(key) if *key <= max && min == max => Verdict::All,
                Some(key) if *key <= max => Verdict::Some,
                _ => Verdict::None,
            },
            Self::Never | Self::TextBetween(..) | Self::TextAmong(_) => Verdict::None,
        }
    }

    fn text_verdict(&self, min: &[u8], max: &[u8]) -> Verdict {
        match self {
            Self::TextBetween(lower, upper) if !above(lower, max) || !below(upper, min) => Verdict::None,
            Self::TextBetween(lower, upper) if above(lower, min) && below(upper, max) => Verdict::All,
            Self::TextBetween(..) => Verdict::Some,
            Self::TextAmong(values) => match values.get(values.partition_point(|value| **value < *min)) {
                Some(value) if **value <= *max && min == max => Verdict::All,
                Some(value) if **value <= *max => Verdict::Some,
                _ => Verdict::None,
            },
            Self::Never | Self::Between(..) | Self::Among(_) => Verdict::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(lower: Bound<Value>, upper: Bound<Value>) -> Predicate {
        Predicate::Range { lower, upper }
    }

    #[test]
    fn literals_of_another_kind_never_round_into_a_match() {
        let eq = |stored, literal| Test::new(stored, &Predicate::Eq(literal));
        assert!(eq(Stored::Int, Value::Long(7)).passes(&Value::Int(7)));
        assert!(!eq(Stored::Int, Value::Double(7.5)).passes(&Value::Int(7)));
        assert!(!eq(Stored::Float, Value::Double(0.1)).passes(&Value::Float(0.1)));
        assert!(!eq(Stored::Double, Value::Long((1 << 53) + 1)).passes(&Value::Double(9_007_199_254_740_992.0)));
        assert!(!eq(Stored::Int, Value::Str("7".into())).passes(&Value::Int(7)));
        assert!(Test::new(Stored::Int, &Predicate::NotEq(Value::Str("7".into()))).passes(&Value::Int(7)));
        let above = Test::new(Stored::Long, &range(Bound::Excluded(Value::Double(f64::INFINITY)), Bound::Unbounded));
        assert!(!above.passes(&Value::Long(i64::MAX)));
    }

    proptest! {
        #[test]
        fn ranges_of_doubles_over_integers_and_floats(v in -20_i32..20, low in -20.0..20.0_f64, high in -20.0..20.0_f64) {
            let included = range(Bound::Included(Value::Double(low)), Bound::Included(Value::Double(high)));
            let excluded = range(Bound::Excluded(Value::Double(low)), Bound::Excluded(Value::Double(high)));
            let exact = f64::from(v);
            prop_assert_eq!(Test::new(Stored::Int, &included).passes(&Value::Int(v)), low <= exact && exact <= high);
            prop_assert_eq!(Test::new(Stored::Int, &excluded).passes(&Value::Int(v)), low < exact && exact < high);
            // Next to the bound on both sides, where rounding would show.
            for near in [low as f32, (low as f32).next_up(), (low as f32).next_down()] {
                let exact = f64::from(near);
                prop_assert_eq!(Test::new(Stored::Float, &included).passes(&Value::Float(near)), low <= exact && exact <= high);
                prop_assert_eq!(Test::new(Stored::Float, &excluded).passes(&Value::Float(near)), low < exact && exact < high);
            }
        }

        #[test]
        fn a_verdict_holds_for_every_value_between(
            ends in (-9_i64..9, -9_i64..9),
            literals in prop::collection::vec(-9_i64..9, 0..4),
            bounds in (-9_i64..9, -9_i64..9),
        ) {
            let (min, max) = (ends.0.min(ends.1), ends.0.max(ends.1));
            let list: Vec<Value> = literals.iter().map(|v| Value::Long(*v)).collect();
            let between = range(Bound::Excluded(Value::Long(bounds.0)), Bound::Included(Value::Long(bounds.1)));
            for predicate in [Predicate::In(list.clone()), Predicate::NotIn(list), between] {
                let test = Test::new(Stored::Long, &predicate);
                let passing = (min..=max).filter(|v| test.passes(&Value::Long(*v))).count() as i64;
                let expected = match passing {
                    0 => Verdict::None,
                    all if all == max - min + 1 => Verdict::All,
                    _ => Verdict::Some,
                };
                let verdict = test.verdict(&Value::Long(min), &Value::Long(max));
                prop_assert!(verdict == expected || verdict == Verdict::Some, "{:?} {:?}", verdict, predicate);
                let mut loops = vec![];
                let data = ColumnData::Long((min..=max).collect());
                test.evaluate(&data, 0..data.len(), &mut loops);
                prop_assert_eq!(loops.iter().filter(|passes| **passes).count() as i64, passing);
            }
        }
    }
}
