//! What is asked of a column, and what an index may answer.

use roaring::RoaringBitmap;
use std::ops::Bound;
use weir_types::{ColumnName, Value};

/// A test of one column, on stored values. On a multi-value column a row passes if any value does; the exclusive ones
/// (`NotEq`, `NotIn`) ask it of all values. A null row is tested by the default value that is stored for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// Equals.
    Eq(Value),
    /// Differs.
    NotEq(Value),
    /// Equals one of these.
    In(Vec<Value>),
    /// Differs from all of these.
    NotIn(Vec<Value>),
    /// Lies between.
    Range {
        /// From.
        lower: Bound<Value>,
        /// To.
        upper: Bound<Value>,
    },
    /// Was null.
    IsNull,
    /// Was not null.
    IsNotNull,
}

/// A condition on rows. Plain data: it travels.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Every row.
    All,
    /// No row.
    None,
    /// Rows that pass each.
    And(Vec<Filter>),
    /// Rows that pass one.
    Or(Vec<Filter>),
    /// Rows that do not pass.
    Not(Box<Filter>),
    /// Rows whose column passes.
    Column {
        /// The column.
        column: ColumnName,
        /// The test.
        predicate: Predicate,
    },
}

/// What an index knows. A caller cannot forget to re-check a superset.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Just these rows.
    Exact(RoaringBitmap),
    /// All that pass are among these.
    Superset(RoaringBitmap),
    /// Nothing.
    CannotHelp,
}
