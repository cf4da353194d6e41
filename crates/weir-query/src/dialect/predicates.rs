//! Tests in conditions: comparisons, BETWEEN, IN, IS NULL, each by what its sides are.

use super::{
    Outcome,
    build::{bare, binary, boolean, call, not},
    decimals::{key, written},
    invalid,
    literal::{self, Literal, literal_of, shown},
    lower::Lower,
    scope::{Meaning, Nulls, resolve},
};
use crate::{comparison::Comparison, functions::MvTest};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Visit, Visitor};
use std::ops::ControlFlow;
use weir_types::DataType;

impl Lower<'_> {
    pub(super) fn null_test(&self, inner: Expr, asks_null: bool) -> Expr {
        let meaning = match bare(&inner) {
            Expr::Identifier(name) => resolve(&self.scopes, None, &name.value).ok(),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [qualifier, name] => resolve(&self.scopes, Some(&qualifier.value), &name.value).ok(),
                _ => None,
            },
            _ => None,
        };
        // A join may put rows without values where a relation has none that fits: nulls, whatever its columns hold.
        let joined = self.scopes.iter().any(|scope| scope.relations.len() > 1);
        match meaning {
            Some(Meaning::Column { nulls: Nulls::Never, .. }) if !joined => boolean(!asks_null),
            Some(Meaning::Column { nulls: Nulls::Flagged, column, .. }) if column.hidden && !joined => {
                boolean(!asks_null)
            }
            Some(Meaning::Column { nulls: Nulls::Flagged, column, qualifier }) if !column.hidden => {
                let flag = literal::null_flag(qualifier.as_deref(), &column.name);
                match (asks_null, joined) {
                    (true, false) => flag,
                    (false, false) => not(flag),
                    (true, true) => binary(Expr::IsNull(Box::new(flag.clone())), BinaryOperator::Or, flag),
                    (false, true) => binary(Expr::IsNotNull(Box::new(flag.clone())), BinaryOperator::And, not(flag)),
                }
            }
            _ if asks_null => Expr::IsNull(Box::new(inner)),
            _ => Expr::IsNotNull(Box::new(inner)),
        }
    }

    pub(super) fn comparison(&mut self, left: Expr, op: Comparison, right: Expr) -> Outcome<Expr> {
        let (left, op, right) = match (literal_of(&left), literal_of(&right)) {
            (Some(_), None) => (right, op.swapped(), left),
            _ => (left, op, right),
        };
        let (left_kind, right_kind) = (self.kind(&left), self.kind(&right));
        if let (Some((data_type, single)), Some(literal)) = (left_kind, literal_of(&right)) {
            if let Some(first) = literal_of(&left) {
                return Ok(match literal::decided(&first, op, &literal) {
                    Some(truth) => boolean(truth),
                    None => binary(left, op.sql(), right),
                });
            }
            return if single {
                literal::compare(left, data_type, op, &literal)
            } else {
                any_value(left, data_type, op, &literal)
            };
        }
        let (Some((one, true)), Some((other, true))) = (left_kind, right_kind) else {
            return Ok(binary(left, op.sql(), right));
        };
        if one == other && one != DataType::BigDecimal {
            return Ok(binary(left, op.sql(), right));
        }
        let number =
            |data_type| matches!(data_type, DataType::Int | DataType::Long | DataType::Float | DataType::Double);
        let as_number = [one, other].map(|data_type| match data_type {
            DataType::Timestamp => Some("w_long"),
            DataType::BigDecimal => Some(super::decimals::KEY),
            _ => None,
        });
        if !(number(one) || as_number[0].is_some()) || !(number(other) || as_number[1].is_some()) {
            return Ok(binary(left, op.sql(), right));
        }
        if one == DataType::BigDecimal || other == DataType::BigDecimal {
            return Ok(binary(key(left), op.sql(), key(right)));
        }
        // A time compared with what is the same for all rows: that becomes a time, and indexes of the column help.
        if one == DataType::Timestamp && is_constant(&right) {
            return Ok(binary(left, op.sql(), call("w_timestamp", vec![right])));
        }
        if other == DataType::Timestamp && is_constant(&left) {
            return Ok(binary(call("w_timestamp", vec![left]), op.sql(), right));
        }
        let side = |expr, name: Option<&str>| match name {
            Some(name) => call(name, vec![expr]),
            None => expr,
        };
        Ok(binary(side(left, as_number[0]), op.sql(), side(right, as_number[1])))
    }

    /// A literal as a value of the type of what it stands beside; null, which equals nothing, where that has no such value.
    pub(super) fn beside(&self, value: &Expr, other: Expr) -> Outcome<Expr> {
        let kind = self.kind(value);
        if kind == Some((DataType::BigDecimal, true)) && literal_of(&other).is_none() {
            return Ok(key(other));
        }
        let (Some((data_type, true)), Some(literal)) = (kind, literal_of(&other)) else { return Ok(other) };
        if literal_of(value).is_some() {
            return Ok(other);
        }
        Ok(literal::typed(&literal, data_type, &shown(value))?.unwrap_or_else(super::nothing))
    }

    /// A value as it is compared with literals.
    pub(super) fn comparable(&self, value: Expr) -> Expr {
        let decimal = self.kind(&value) == Some((DataType::BigDecimal, true));
        if decimal { key(value) } else { value }
    }

    /// NULLIF of a value and a literal: the value keeps its type.
    pub(super) fn null_if(&mut self, value: &Expr, other: &Expr) -> Outcome<Option<Expr>> {
        let decimals = self.number_among(&self.choices([value, other].into_iter())) == Some(DataType::BigDecimal);
        if decimals && literal_of(value).is_none() && literal_of(other).is_none() {
            return self.null_if_equal(value, key(value.clone()), key(other.clone())).map(Some);
        }
        let (Some((data_type, true)), Some(_), None) = (self.kind(value), literal_of(other), literal_of(value)) else {
            return Ok(None);
        };
        let other = self.beside(value, other.clone())?;
        if !matches!(data_type, DataType::Bytes | DataType::Uuid | DataType::BigDecimal) {
            return Ok(Some(call("nullif", vec![value.clone(), other])));
        }
        self.null_if_equal(value, self.comparable(value.clone()), other).map(Some)
    }

    /// A value, and null where what it is compared by equals another.
    fn null_if_equal(&mut self, value: &Expr, compared: Expr, other: Expr) -> Outcome<Expr> {
        self.count_copy(value)?;
        let equal = binary(compared, BinaryOperator::Eq, other);
        let differs = call("nullif", vec![equal, boolean(true)]);
        Ok(call("w_if_all", vec![value.clone(), differs]))
    }

    /// The types of arguments for people.
    pub(super) fn types_of(&self, args: &[Expr]) -> String {
        let one = |arg: &Expr| match (literal_of(arg), self.kind(arg)) {
            (Some(Literal::Text(_)), _) => "STRING".to_owned(),
            (Some(Literal::Boolean(_)), _) => "BOOLEAN".to_owned(),
            (_, Some((data_type, true))) => data_type.to_string(),
            (_, Some((data_type, false))) => format!("{data_type}_ARRAY"),
            (_, None) => "UNKNOWN".to_owned(),
        };
        args.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Values of which one is chosen, literals as the others are, where those are of a type that nothing else is like; and
    /// that type.
    pub(super) fn of_one_type(&self, name: &str, args: &[Expr]) -> Outcome<(Vec<Expr>, Option<DataType>)> {
        if let Some(number) = self.number_among(&self.choices(args.iter())) {
            return Ok((args.iter().map(|arg| self.as_number(arg.clone(), number)).collect(), Some(number)));
        }
        let own = |data_type: &DataType| {
            matches!(
                data_type,
                DataType::Boolean | DataType::Timestamp | DataType::BigDecimal | DataType::Bytes | DataType::Uuid
            )
        };
        let is_literal = |arg: &&Expr| literal_of(arg).is_some();
        let kinds = || args.iter().filter(|arg| !is_literal(arg)).filter_map(|arg| self.kind(arg));
        let Some(data_type) = kinds().map(|kind| kind.0).find(own) else { return Ok((args.to_vec(), None)) };
        let mixed = || {
            let types = self.types_of(args);
            invalid(format!("function {name} takes values of one type, not {types}: make them one by CAST(.. AS ..)"))
        };
        if kinds().any(|kind| kind != (data_type, true)) {
            return mixed();
        }
        let mut typed = vec![];
        for arg in args {
            typed.push(match literal_of(arg) {
                None => arg.clone(),
                // Its digits are kept.
                Some(literal) if data_type == DataType::BigDecimal && literal.number().is_some() => {
                    written(&literal.text())
                }
                Some(literal) => match literal::typed(&literal, data_type, "") {
                    Ok(Some(value)) => value,
                    Ok(None) | Err(_) => return mixed(),
                },
            });
        }
        Ok((typed, Some(data_type)))
    }

    pub(super) fn between(&mut self, expr: Expr, negated: bool, low: Expr, high: Expr) -> Outcome<Expr> {
        let passes = match (self.kind(&expr), literal_of(&low), literal_of(&high)) {
            (Some((data_type, false)), Some(low), Some(high)) => {
                let what = shown(&expr);
                let low = literal::typed_bound(&low, data_type, false, &what)?;
                let high = literal::typed_bound(&high, data_type, true, &what)?;
                match (low, high) {
                    (Some(low), Some(high)) => call(MvTest::Between.name(), vec![expr, low, high]),
                    _ => boolean(false),
                }
            }
            (Some(_), _, _) => {
                self.count_copy(&expr)?;
                let from = self.comparison(expr.clone(), Comparison::GtEq, low)?;
                binary(from, BinaryOperator::And, self.comparison(expr, Comparison::LtEq, high)?)
            }
            (None, _, _) => {
                return Ok(Expr::Between { expr: Box::new(expr), negated, low: Box::new(low), high: Box::new(high) });
            }
        };
        Ok(if negated { not(passes) } else { passes })
    }

    pub(super) fn in_list(&mut self, expr: Expr, list: Vec<Expr>, negated: bool) -> Outcome<Expr> {
        let literals: Option<Vec<Literal>> = list.iter().map(literal_of).collect();
        let numbers = || self.number_among(&self.choices(std::iter::once(&expr).chain(&list)));
        if literals.is_none() && numbers() == Some(DataType::BigDecimal) {
            let list = list.into_iter().map(|one| key(self.as_number(one, DataType::BigDecimal))).collect();
            return Ok(Expr::InList { expr: Box::new(key(expr)), list, negated });
        }
        let (Some((data_type, single)), Some(literals)) = (self.kind(&expr), literals) else {
            return Ok(Expr::InList { expr: Box::new(expr), list, negated });
        };
        let what = shown(&expr);
        let typed: Vec<Option<Expr>> =
            literals.iter().map(|literal| literal::typed(literal, data_type, &what)).collect::<Outcome<_>>()?;
        let values: Vec<Expr> = typed.into_iter().flatten().collect();
        if values.is_empty() && single {
            return Ok(literal::of_all(expr, negated));
        }
        if values.is_empty() {
            return Ok(if negated { Expr::IsNotNull(Box::new(expr)) } else { boolean(false) });
        }
        if !single {
            let test = if negated { MvTest::NotIn } else { MvTest::In };
            return Ok(call(test.name(), std::iter::once(expr).chain(values).collect()));
        }
        let expr = self.comparable(expr);
        Ok(Expr::InList { expr: Box::new(expr), list: values, negated })
    }
}

/// Whether an expression names no column.
pub(super) fn is_constant(expr: &Expr) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Find).is_continue()
}

/// `mv op literal`: any value passes; for `<>` all differ.
fn any_value(list: Expr, data_type: DataType, op: Comparison, literal: &Literal) -> Outcome<Expr> {
    let what = shown(&list);
    let test = |op: Comparison, value: Expr| call(MvTest::Compare(op).name(), vec![list, value]);
    if let Some(value) = literal::typed(literal, data_type, &what)? {
        return Ok(test(op, value));
    }
    // A fraction or a number beyond the type: the nearest value that has the same rows.
    let (upper, bounded) = match op {
        Comparison::Eq | Comparison::NotEq => return Ok(boolean(op == Comparison::NotEq)),
        Comparison::Lt | Comparison::LtEq => (true, Comparison::LtEq),
        Comparison::Gt | Comparison::GtEq => (false, Comparison::GtEq),
    };
    Ok(match literal::typed_bound(literal, data_type, upper, &what)? {
        Some(value) => test(bounded, value),
        None => boolean(false),
    })
}
