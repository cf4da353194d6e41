//! DataFusion's conditions as conditions on rows that a scan decides exactly.
//!
//! Negations are pushed down to single tests, so that with null handling each test can say for itself that a null row
//! does not pass. What cannot be said exactly is not said at all: DataFusion then filters above the scan.

use super::{Output, SnapshotTable};
use crate::{
    comparison::Comparison,
    functions::{MV_TESTS, MvTest},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList},
};
use std::{fmt, ops::Bound};
use weir_indexes::{Filter, Predicate};
use weir_segment::ScanColumn;
use weir_types::{ColumnName, DataType, Stored, Value};

/// The rows that pass an expression; `None` where the scan cannot tell exactly.
pub(super) fn translate(expr: &Expr, table: &SnapshotTable) -> Option<Filter> {
    Translation { table }.filter(expr, false)
}

/// The columns that a filter names, each once.
pub(super) fn columns(filter: &Filter, out: &mut Vec<ColumnName>) {
    match filter {
        Filter::All | Filter::None => {}
        Filter::And(filters) | Filter::Or(filters) => filters.iter().for_each(|filter| columns(filter, out)),
        Filter::Not(filter) => columns(filter, out),
        Filter::Column { column, .. } => {
            if !out.contains(column) {
                out.push(column.clone());
            }
        }
    }
}

struct Translation<'a> {
    table: &'a SnapshotTable,
}

impl Translation<'_> {
    fn filter(&self, expr: &Expr, negated: bool) -> Option<Filter> {
        match expr {
            Expr::Literal(ScalarValue::Boolean(Some(passes)), _) => {
                Some(if *passes == negated { Filter::None } else { Filter::All })
            }
            // Unknown is not true, and neither is its negation.
            Expr::Literal(ScalarValue::Boolean(None) | ScalarValue::Null, _) => Some(Filter::None),
            Expr::Not(inner) => self.filter(inner, !negated),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let both = vec![self.filter(left, negated)?, self.filter(right, negated)?];
                let all = (*op == Operator::And) != negated;
                Some(if all { Filter::And(both) } else { Filter::Or(both) })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let comparison = Comparison::of_plan(*op)?;
                let (column, comparison, literal) = match (self.column(left), literal(right)) {
                    (Some(column), Some(literal)) => (column, comparison, literal),
                    _ => (self.column(right)?, comparison.swapped(), literal(left)?),
                };
                self.comparison(column, if negated { comparison.negated() } else { comparison }, literal)
            }
            Expr::Between(between) => {
                let column = self.column(&between.expr)?;
                let (low, high) = (literal(&between.low)?, literal(&between.high)?);
                let inside = between.negated == negated;
                let (from, to) =
                    if inside { (Comparison::GtEq, Comparison::LtEq) } else { (Comparison::Lt, Comparison::Gt) };
                let both = vec![self.comparison(column, from, low)?, self.comparison(column, to, high)?];
                Some(if inside { Filter::And(both) } else { Filter::Or(both) })
            }
            Expr::InList(list) => self.in_list(list, negated),
            Expr::IsNull(inner) => self.null_test(inner, !negated),
            Expr::IsNotNull(inner) => self.null_test(inner, negated),
            Expr::Column(_) => self.flag(expr, negated),
            Expr::ScalarFunction(call) => {
                let test = MV_TESTS.iter().find(|test| test.name() == call.func.name())?;
                self.any_value(*test, &call.args, negated)
            }
            _ => None,
        }
    }

    fn output(&self, expr: &Expr) -> Option<&Output> {
        match expr {
            Expr::Column(column) => self.table.column(&column.name),
            Expr::Alias(alias) => self.output(&alias.expr),
            _ => None,
        }
    }

    /// A single-value column, bare or under a cast that widens a number.
    fn column(&self, expr: &Expr) -> Option<&ScanColumn> {
        let bare = match expr {
            Expr::Cast(cast) if cast.field.data_type().is_numeric() => {
                let column = self.column(&cast.expr)?;
                let widens =
                    matches!(column.data_type, DataType::Int | DataType::Long | DataType::Float | DataType::Double);
                let whole = matches!(column.data_type, DataType::Int | DataType::Long);
                let wide = match cast.field.data_type() {
                    arrow::datatypes::DataType::Float64 => true,
                    arrow::datatypes::DataType::Int64 => whole,
                    _ => false,
                };
                return (widens && wide).then_some(column);
            }
            bare => bare,
        };
        match self.output(bare)? {
            // A decimal's text does not order as its number does.
            Output::Column(column) if column.single_value && column.data_type != DataType::BigDecimal => Some(column),
            _ => None,
        }
    }

    fn test(&self, column: &ScanColumn, predicate: Predicate) -> Filter {
        let passes = Filter::Column { column: column.name.clone(), predicate };
        if self.table.nulls() && !column.name.as_str().starts_with('$') {
            let known = Filter::Column { column: column.name.clone(), predicate: Predicate::IsNotNull };
            return Filter::And(vec![known, passes]);
        }
        passes
    }

    fn comparison(&self, column: &ScanColumn, comparison: Comparison, literal: &ScalarValue) -> Option<Filter> {
        if literal.is_null() {
            return Some(Filter::None);
        }
        let whole = matches!(column.data_type, DataType::Int | DataType::Long);
        if let (true, Some(number)) = (whole, real(literal)) {
            return self.against_real(column, comparison, number);
        }
        Some(self.test(column, comparison.predicate(stored(literal, column.data_type)?)))
    }

    /// A whole-number column compared with a real number: the same rows as the nearest whole number gives.
    fn against_real(&self, column: &ScanColumn, comparison: Comparison, number: f64) -> Option<Filter> {
        // Beyond 2^53 a LONG compared as a real number is not the LONG any more: DataFusion compares what it casts.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.is_nan() || number.abs() >= EXACT {
            return None;
        }
        let (floor, is_whole) = (number.floor(), number.fract() == 0.0);
        let comparison = match comparison {
            Comparison::Eq if !is_whole => return Some(Filter::None),
            Comparison::NotEq if !is_whole => return Some(self.test(column, whole_range(column.data_type))),
            Comparison::Lt if !is_whole => Comparison::LtEq,
            Comparison::GtEq if !is_whole => Comparison::Gt,
            same => same,
        };
        let whole = ScalarValue::Int64(Some(floor as i64));
        Some(self.test(column, comparison.predicate(stored(&whole, column.data_type)?)))
    }

    fn in_list(&self, list: &InList, negated: bool) -> Option<Filter> {
        let column = self.column(&list.expr)?;
        let literals: Vec<&ScalarValue> = list.list.iter().map(literal).collect::<Option<_>>()?;
        let excludes = list.negated != negated;
        if excludes && literals.iter().any(|literal| literal.is_null()) {
            return Some(Filter::None);
        }
        let values: Vec<Value> = literals
            .into_iter()
            .filter(|literal| !literal.is_null())
            .map(|literal| stored(literal, column.data_type))
            .collect::<Option<_>>()?;
        let predicate = if excludes { Predicate::NotIn(values) } else { Predicate::In(values) };
        Some(self.test(column, predicate))
    }

    fn null_test(&self, expr: &Expr, asks_null: bool) -> Option<Filter> {
        let Output::Column(column) = self.output(expr)? else { return None };
        if !self.table.nulls() {
            return Some(if asks_null { Filter::None } else { Filter::All });
        }
        let predicate = if asks_null { Predicate::IsNull } else { Predicate::IsNotNull };
        Some(Filter::Column { column: column.name.clone(), predicate })
    }

    /// A bare boolean column, or a null flag.
    fn flag(&self, expr: &Expr, negated: bool) -> Option<Filter> {
        match self.output(expr)? {
            Output::NullFlag(column) => {
                let predicate = if negated { Predicate::IsNotNull } else { Predicate::IsNull };
                Some(Filter::Column { column: column.clone(), predicate })
            }
            Output::Column(column) if column.single_value && column.data_type == DataType::Boolean => {
                Some(self.test(column, Predicate::Eq(Value::Int(i32::from(!negated)))))
            }
            Output::Column(_) => None,
        }
    }

    /// A test of a multi-value column; the scan's predicates mean on such a column what these tests mean.
    fn any_value(&self, test: MvTest, args: &[Expr], negated: bool) -> Option<Filter> {
        let (array, literals) = args.split_first()?;
        let Output::Column(column) = self.output(array)? else { return None };
        if column.single_value || column.data_type == DataType::BigDecimal {
            return None;
        }
        let values: Vec<Value> =
            literals.iter().map(|arg| stored(literal(arg)?, column.data_type)).collect::<Option<_>>()?;
        let predicate = match test {
            MvTest::Compare(comparison) => comparison.predicate(values.first().cloned()?),
            MvTest::In => Predicate::In(values),
            MvTest::NotIn => Predicate::NotIn(values),
            MvTest::Between => match values.as_slice() {
                [low, high] => {
                    Predicate::Range { lower: Bound::Included(low.clone()), upper: Bound::Included(high.clone()) }
                }
                _ => return None,
            },
            MvTest::Like | MvTest::RegexpLike => return None,
        };
        let passes = Filter::Column { column: column.name.clone(), predicate };
        let passes = if negated { Filter::Not(Box::new(passes)) } else { passes };
        if !self.table.nulls() {
            return Some(passes);
        }
        let known = Filter::Column { column: column.name.clone(), predicate: Predicate::IsNotNull };
        Some(Filter::And(vec![known, passes]))
    }
}

fn whole_range(data_type: DataType) -> Predicate {
    let lower = if data_type == DataType::Int { Value::Int(i32::MIN) } else { Value::Long(i64::MIN) };
    Predicate::Range { lower: Bound::Included(lower), upper: Bound::Unbounded }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

fn real(literal: &ScalarValue) -> Option<f64> {
    match literal {
        ScalarValue::Float64(Some(v)) => Some(*v),
        ScalarValue::Float32(Some(v)) => Some(f64::from(*v)),
        _ => None,
    }
}

fn whole(literal: &ScalarValue) -> Option<i64> {
    Some(match literal {
        ScalarValue::Int8(Some(v)) => i64::from(*v),
        ScalarValue::Int16(Some(v)) => i64::from(*v),
        ScalarValue::Int32(Some(v)) => i64::from(*v),
        ScalarValue::Int64(Some(v)) => *v,
        ScalarValue::UInt8(Some(v)) => i64::from(*v),
        ScalarValue::UInt16(Some(v)) => i64::from(*v),
        ScalarValue::UInt32(Some(v)) => i64::from(*v),
        ScalarValue::UInt64(Some(v)) => i64::try_from(*v).ok()?,
        _ => return None,
    })
}

/// A literal in the stored form of a type; `None` where the type cannot hold it exactly.
fn stored(literal: &ScalarValue, data_type: DataType) -> Option<Value> {
    match data_type.stored() {
        Stored::Int if data_type == DataType::Boolean => match literal {
            ScalarValue::Boolean(Some(v)) => Some(Value::Int(i32::from(*v))),
            _ => None,
        },
        Stored::Int => Some(Value::Int(i32::try_from(whole(literal)?).ok()?)),
        Stored::Long if data_type == DataType::Timestamp => Some(Value::Long(instant(literal)?)),
        Stored::Long => Some(Value::Long(whole(literal)?)),
        Stored::Float => {
            let number = real(literal)?;
            let single = number as f32;
            (f64::from(single) == number).then_some(Value::Float(single))
        }
        Stored::Double => Some(Value::Double(real(literal)?)),
        Stored::Str => match literal {
            ScalarValue::Utf8(Some(v)) | ScalarValue::LargeUtf8(Some(v)) | ScalarValue::Utf8View(Some(v)) => {
                Some(Value::Str(v.as_str().into()))
            }
            _ => None,
        },
        Stored::Bytes => match literal {
            ScalarValue::Binary(Some(v)) | ScalarValue::LargeBinary(Some(v)) | ScalarValue::BinaryView(Some(v)) => {
                Some(Value::Bytes(v.as_slice().into()))
            }
            _ => None,
        },
    }
}

/// A point in time in whole milliseconds.
fn instant(literal: &ScalarValue) -> Option<i64> {
    let exactly = |value: i64, per_ms: i64| (value % per_ms == 0).then_some(value / per_ms);
    match literal {
        ScalarValue::TimestampSecond(Some(v), _) => v.checked_mul(1000),
        ScalarValue::TimestampMillisecond(Some(v), _) => Some(*v),
        ScalarValue::TimestampMicrosecond(Some(v), _) => exactly(*v, 1_000),
        ScalarValue::TimestampNanosecond(Some(v), _) => exactly(*v, 1_000_000),
        _ => None,
    }
}

/// A filter for people.
pub(super) struct Shown<'a>(pub(super) &'a Filter);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, filters: &[Filter], word: &str| {
            f.write_str("(")?;
            for (at, filter) in filters.iter().enumerate() {
                let between = if at == 0 { "" } else { word };
                write!(f, "{between}{}", Shown(filter))?;
            }
            f.write_str(")")
        };
        match self.0 {
            Filter::All => f.write_str("all"),
            Filter::None => f.write_str("none"),
            Filter::And(filters) => list(f, filters, " AND "),
            Filter::Or(filters) => list(f, filters, " OR "),
            Filter::Not(filter) => write!(f, "NOT {}", Shown(filter)),
            Filter::Column { column, predicate } => show_test(f, column, predicate),
        }
    }
}

fn show_test(f: &mut fmt::Formatter<'_>, column: &ColumnName, predicate: &Predicate) -> fmt::Result {
    let values = |values: &[Value]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match predicate {
        Predicate::Eq(value) => write!(f, "{column} = {value}"),
        Predicate::NotEq(value) => write!(f, "{column} <> {value}"),
        Predicate::In(list) => write!(f, "{column} IN ({})", values(list)),
        Predicate::NotIn(list) => write!(f, "{column} NOT IN ({})", values(list)),
        Predicate::IsNull => write!(f, "{column} IS NULL"),
        Predicate::IsNotNull => write!(f, "{column} IS NOT NULL"),
        Predicate::Range { lower, upper } => {
            match lower {
                Bound::Included(value) => write!(f, "{value} <= ")?,
                Bound::Excluded(value) => write!(f, "{value} < ")?,
                Bound::Unbounded => {}
            }
            write!(f, "{column}")?;
            match upper {
                Bound::Included(value) => write!(f, " <= {value}"),
                Bound::Excluded(value) => write!(f, " < {value}"),
                Bound::Unbounded => Ok(()),
            }
        }
    }
}
