//! The six comparisons, once: as SQL writes them, as DataFusion plans them, as an index answers them. A test of a
//! multi-value column is one of these too, or one that only such columns need.

use datafusion::{logical_expr::Operator, sql::sqlparser::ast::BinaryOperator};
use std::ops::Bound;
use weir_indexes::Predicate;
use weir_types::Value;

/// A comparison, without the sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Comparison {
    /// What an operator of SQL compares by; `None` where it does not compare.
    pub(crate) fn of_sql(operator: &BinaryOperator) -> Option<Self> {
        Some(match operator {
            BinaryOperator::Eq => Self::Eq,
            BinaryOperator::NotEq => Self::NotEq,
            BinaryOperator::Lt => Self::Lt,
            BinaryOperator::LtEq => Self::LtEq,
            BinaryOperator::Gt => Self::Gt,
            BinaryOperator::GtEq => Self::GtEq,
            _ => return None,
        })
    }

    /// The operator of SQL.
    pub(crate) fn sql(self) -> BinaryOperator {
        match self {
            Self::Eq => BinaryOperator::Eq,
            Self::NotEq => BinaryOperator::NotEq,
            Self::Lt => BinaryOperator::Lt,
            Self::LtEq => BinaryOperator::LtEq,
            Self::Gt => BinaryOperator::Gt,
            Self::GtEq => BinaryOperator::GtEq,
        }
    }

    /// What an operator of a plan compares by; `None` where it does not compare.
    pub(crate) fn of_plan(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Eq => Self::Eq,
            Operator::NotEq => Self::NotEq,
            Operator::Lt => Self::Lt,
            Operator::LtEq => Self::LtEq,
            Operator::Gt => Self::Gt,
            Operator::GtEq => Self::GtEq,
            _ => return None,
        })
    }

    /// The same comparison with its sides swapped.
    pub(crate) fn swapped(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
            same @ (Self::Eq | Self::NotEq) => same,
        }
    }

    /// The comparison that holds where this one does not, of one value that is not null.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Eq => Self::NotEq,
            Self::NotEq => Self::Eq,
            Self::Lt => Self::GtEq,
            Self::LtEq => Self::Gt,
            Self::Gt => Self::LtEq,
            Self::GtEq => Self::Lt,
        }
    }

    /// A column compared with a value, as an index takes it.
    pub(crate) fn predicate(self, value: Value) -> Predicate {
        let range = |lower, upper| Predicate::Range { lower, upper };
        match self {
            Self::Eq => Predicate::Eq(value),
            Self::NotEq => Predicate::NotEq(value),
            Self::Lt => range(Bound::Unbounded, Bound::Excluded(value)),
            Self::LtEq => range(Bound::Unbounded, Bound::Included(value)),
            Self::Gt => range(Bound::Excluded(value), Bound::Unbounded),
            Self::GtEq => range(Bound::Included(value), Bound::Unbounded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Comparison; 6] =
        [Comparison::Eq, Comparison::NotEq, Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq];

    fn holds(comparison: Comparison, left: i32, right: i32) -> bool {
        match comparison {
            Comparison::Eq => left == right,
            Comparison::NotEq => left != right,
            Comparison::Lt => left < right,
            Comparison::LtEq => left <= right,
            Comparison::Gt => left > right,
            Comparison::GtEq => left >= right,
        }
    }

    #[test]
    fn swapped_and_negated_mean_what_they_say() {
        for comparison in ALL {
            assert_eq!(Comparison::of_sql(&comparison.sql()), Some(comparison));
            for (left, right) in [(1, 2), (2, 2), (3, 2)] {
                let truth = holds(comparison, left, right);
                assert_eq!(holds(comparison.swapped(), right, left), truth, "{comparison:?} {left} {right}");
                assert_eq!(holds(comparison.negated(), left, right), !truth, "{comparison:?} {left} {right}");
            }
        }
        assert_eq!(Comparison::of_sql(&BinaryOperator::Plus), None);
        assert_eq!(Comparison::of_plan(Operator::Plus), None);
    }
}
