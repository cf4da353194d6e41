//! What every index must keep: its answer holds all rows that pass, an exact answer holds no others.

use crate::predicate::{Answer, Predicate};
use roaring::RoaringBitmap;
use std::ops::Bound;
use weir_types::{Column, Value};

/// Whether one value passes; `IsNull` and `IsNotNull` are not tests of a value.
#[must_use]
pub fn value_passes(value: &Value, predicate: &Predicate) -> bool {
    let above = |bound: &Bound<Value>| match bound {
        Bound::Unbounded => true,
        Bound::Included(bound) => value.order(bound).is_ge(),
        Bound::Excluded(bound) => value.order(bound).is_gt(),
    };
    let below = |bound: &Bound<Value>| match bound {
        Bound::Unbounded => true,
        Bound::Included(bound) => value.order(bound).is_le(),
        Bound::Excluded(bound) => value.order(bound).is_lt(),
    };
    match predicate {
        Predicate::Eq(other) => value == other,
        Predicate::NotEq(other) => value != other,
        Predicate::In(others) => others.contains(value),
        Predicate::NotIn(others) => !others.contains(value),
        Predicate::Range { lower, upper } => above(lower) && below(upper),
        Predicate::IsNull | Predicate::IsNotNull => false,
    }
}

/// The rows of a column that pass, by looking at every value.
#[must_use]
pub fn scan(column: &Column, predicate: &Predicate) -> RoaringBitmap {
    let row_passes = |row: usize| {
        let mut values = column.values_of(row).map(|at| column.data.get(at));
        match predicate {
            Predicate::IsNull => column.nulls.contains(&(row as u32)),
            Predicate::IsNotNull => !column.nulls.contains(&(row as u32)),
            Predicate::NotEq(_) | Predicate::NotIn(_) => values.all(|value| value_passes(&value, predicate)),
            _ => values.any(|value| value_passes(&value, predicate)),
        }
    };
    (0..column.rows()).filter(|row| row_passes(*row)).map(|row| row as u32).collect()
}

/// Checks an answer against a scan.
///
/// # Panics
/// An answer that lacks a row, or an exact one with a row too many.
pub fn check(column: &Column, predicate: &Predicate, answer: &Answer) {
    let expected = scan(column, predicate);
    match answer {
        Answer::Exact(rows) => assert_eq!(*rows, expected, "exact answer to {predicate:?}"),
        Answer::Superset(rows) => assert!(expected.is_subset(rows), "answer to {predicate:?} lacks rows"),
        Answer::CannotHelp => {}
    }
}

/// Predicates of every kind around a few values.
#[must_use]
pub fn predicates(values: &[Value]) -> Vec<Predicate> {
    let mut all = vec![Predicate::IsNull, Predicate::IsNotNull];
    all.extend([Predicate::In(values.to_vec()), Predicate::NotIn(values.to_vec())]);
    for (at, value) in values.iter().enumerate() {
        let other = &values[(at + 1) % values.len()];
        all.extend([Predicate::Eq(value.clone()), Predicate::NotEq(value.clone())]);
        let (low, high) = if value.order(other).is_le() { (value, other) } else { (other, value) };
        for (lower, upper) in [
            (Bound::Unbounded, Bound::Excluded(value.clone())),
            (Bound::Included(value.clone()), Bound::Unbounded),
            (Bound::Excluded(low.clone()), Bound::Included(high.clone())),
            (Bound::Included(low.clone()), Bound::Excluded(high.clone())),
        ] {
            all.push(Predicate::Range { lower, upper });
        }
    }
    all
}
