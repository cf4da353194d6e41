//! What the least and greatest values of some columns say about a filter, before the segment that holds them is at hand.

use super::compare::{Test, Verdict};
use weir_indexes::{Filter, Predicate};
use weir_types::{ColumnName, Value};

/// Whether none, all or some of the rows of a segment pass. `known` gives least and greatest stored value, defaults of null
/// rows included, of a column with one value a row, in the stored form that the filter's literals have; of what it does not
/// know one must look. A segment with no rows has none that pass: it is not asked about here.
#[must_use]
pub fn verdict(filter: &Filter, known: &dyn Fn(&ColumnName) -> Option<(Value, Value)>) -> Verdict {
    let each = |filters: &[Filter]| -> Vec<Verdict> { filters.iter().map(|filter| verdict(filter, known)).collect() };
    let combined = |verdicts: Vec<Verdict>, decides: Verdict, neutral: Verdict| {
        if verdicts.contains(&decides) {
            decides
        } else if verdicts.iter().all(|verdict| *verdict == neutral) {
            neutral
        } else {
            Verdict::Some
        }
    };
    match filter {
        Filter::All => Verdict::All,
        Filter::None => Verdict::None,
        Filter::And(filters) => combined(each(filters), Verdict::None, Verdict::All),
        Filter::Or(filters) => combined(each(filters), Verdict::All, Verdict::None),
        Filter::Not(filter) => match verdict(filter, known) {
            Verdict::None => Verdict::All,
            Verdict::All => Verdict::None,
            Verdict::Some => Verdict::Some,
        },
        // Which rows were null is not said by their values.
        Filter::Column { predicate: Predicate::IsNull | Predicate::IsNotNull, .. } => Verdict::Some,
        Filter::Column { column, predicate } => match known(column) {
            Some((min, max)) => Test::new(min.stored(), predicate).verdict(&min, &max),
            None => Verdict::Some,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Bound;

    fn column(name: &str, predicate: Predicate) -> Filter {
        Filter::Column { column: ColumnName::parse(name).unwrap(), predicate }
    }

    fn from(name: &str, least: i64) -> Filter {
        column(name, Predicate::Range { lower: Bound::Included(Value::Long(least)), upper: Bound::Unbounded })
    }

    /// Of a segment whose `ts` lies in 10 to 20.
    fn check(filter: &Filter, expected: Verdict) {
        let known = |name: &ColumnName| (name.as_str() == "ts").then_some((Value::Long(10), Value::Long(20)));
        assert_eq!(verdict(filter, &known), expected, "{filter:?}");
        let opposite = match expected {
            Verdict::None => Verdict::All,
            Verdict::All => Verdict::None,
            Verdict::Some => Verdict::Some,
        };
        let negated = Filter::Not(Box::new(filter.clone()));
        assert_eq!(verdict(&negated, &known), opposite, "{negated:?}");
    }

    #[test]
    fn a_filter_is_decided_as_far_as_the_values_are_known() {
        use Verdict::{All, None, Some};
        check(&Filter::All, All);
        check(&from("ts", 10), All);
        check(&from("ts", 11), Some);
        check(&from("ts", 21), None);
        check(&from("other", 0), Some);
        check(&column("ts", Predicate::Eq(Value::Int(9))), None);
        check(&column("ts", Predicate::NotEq(Value::Int(9))), All);
        check(&column("ts", Predicate::IsNull), Some);
        check(&column("ts", Predicate::IsNotNull), Some);
        check(&Filter::And(vec![from("other", 0), from("ts", 21)]), None);
        check(&Filter::And(vec![from("other", 0), from("ts", 10)]), Some);
        check(&Filter::And(vec![from("ts", 1), from("ts", 10)]), All);
        check(&Filter::Or(vec![from("other", 0), from("ts", 10)]), All);
        check(&Filter::Or(vec![from("other", 0), from("ts", 21)]), Some);
        check(&Filter::Or(vec![from("ts", 21), from("ts", 22)]), None);
    }
}
