//! Literals adapt to the column that they are compared with: `'5'` is a number beside a number, 5 is text beside text,
//! a fraction beside whole numbers is rounded to the same rows, what cannot be is true or false for all rows.

use super::{
    Outcome,
    build::{binary, boolean, call, column, double, long, text},
    decimals::is_large,
    invalid,
};
use crate::{
    comparison::Comparison,
    functions::{hex, java_double, timestamp_of},
};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use weir_functions::decimal::Decimal;
use weir_types::DataType;

/// A literal of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Number(String),
    Text(String),
    Boolean(bool),
}

/// Reads a literal; a sign belongs to it.
pub(super) fn literal_of(expr: &Expr) -> Option<Literal> {
    match expr {
        Expr::Nested(inner) => literal_of(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal_of(expr)? {
            Literal::Number(text) => Some(Literal::Number(match text.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None => format!("-{text}"),
            })),
            _ => None,
        },
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(Literal::Number(text.clone())),
            Value::SingleQuotedString(text) => Some(Literal::Text(text.clone())),
            Value::Boolean(truth) => Some(Literal::Boolean(*truth)),
            _ => None,
        },
        _ => None,
    }
}

impl Literal {
    /// Its text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(text) | Self::Text(text) => text.clone(),
            Self::Boolean(truth) => truth.to_string(),
        }
    }

    /// The number that it is or spells.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(text) | Self::Text(text) => java_double(text.trim()),
            Self::Boolean(truth) => Some(f64::from(u8::from(*truth))),
        }
    }

    /// The number that it is or spells, every digit of it; `None` of what has no digits, or too many.
    fn decimal(&self) -> Option<Decimal> {
        match self {
            Self::Number(text) | Self::Text(text) => Decimal::parse(text),
            Self::Boolean(truth) => Decimal::parse(if *truth { "1" } else { "0" }),
        }
    }

    /// A text that has a place among decimals.
    fn digits(&self) -> Option<String> {
        let number = self.number()?;
        match self.decimal() {
            Some(decimal) => Some(decimal.plain()),
            None if number.is_nan() => Some("NaN".to_owned()),
            None if number.is_finite() => None,
            None => Some(if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()),
        }
    }

    fn whole(&self) -> Option<i64> {
        match self {
            Self::Number(text) | Self::Text(text) => text.trim().parse().ok(),
            Self::Boolean(truth) => Some(i64::from(*truth)),
        }
    }

    fn truth(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            other => other.number().map(|number| number != 0.0),
        }
    }
}

/// How two numbers compare of which one is beyond LONG: the engine below has no such literal.
pub(super) fn decided(one: &Literal, op: Comparison, other: &Literal) -> Option<bool> {
    let (Literal::Number(first), Literal::Number(second)) = (one, other) else { return None };
    if !is_large(first) && !is_large(second) {
        return None;
    }
    let order = one.decimal()?.compare(&other.decimal()?);
    Some(match op {
        Comparison::Eq => order.is_eq(),
        Comparison::NotEq => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::LtEq => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::GtEq => order.is_ge(),
    })
}

/// An expression for people.
pub(super) fn shown(expr: &Expr) -> String {
    format!("'{}'", expr.to_string().replace('"', ""))
}

/// Where a literal lies among the values of a type.
enum Fit {
    /// It is one of them.
    Is(Box<Expr>),
    /// It lies between two whole numbers: this one and the next.
    After(i64),
    /// It is less than all of them.
    Below,
    /// It is greater than all of them.
    Above,
}

fn fit(literal: &Literal, data_type: DataType, what: &str) -> Outcome<Fit> {
    let wrong = |expected: &str| {
        invalid(format!("{what} is {data_type}, it cannot be compared with '{}': {expected}", literal.text()))
    };
    let value = match data_type {
        DataType::Int | DataType::Long => return whole_fit(literal, data_type, what),
        DataType::Float => match literal.number() {
            Some(number) => call("w_float", vec![double(number)]),
            None => return wrong("a number can"),
        },
        DataType::Double => match literal.number() {
            Some(number) => double(number),
            None => return wrong("a number can"),
        },
        DataType::BigDecimal => match literal.digits() {
            Some(digits) => super::decimals::key(text(&digits)),
            None => return wrong("a number of at most 4096 digits can"),
        },
        DataType::Boolean => match literal.truth() {
            Some(truth) => boolean(truth),
            None => return wrong("true or false can"),
        },
        DataType::Timestamp => {
            let ms = timestamp_of(&literal.text()).or_else(|| literal.number().map(|number| number as i64));
            match ms {
                Some(ms) => call("w_timestamp", vec![long(ms)]),
                None => return wrong("milliseconds, 'yyyy-MM-dd HH:mm:ss' or ISO 8601 can"),
            }
        }
        DataType::String | DataType::Json | DataType::Map => text(&literal.text()),
        DataType::Bytes | DataType::Uuid => {
            let digits = literal.text().replace('-', "");
            match hex(&digits) {
                Some(_) => call("w_bytes", vec![text(&digits)]),
                None => return wrong("hex digits can"),
            }
        }
    };
    Ok(Fit::Is(Box::new(value)))
}

fn whole_fit(literal: &Literal, data_type: DataType, what: &str) -> Outcome<Fit> {
    let (least, most) = match data_type {
        DataType::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let between = |floor: i64, is_whole: bool| {
        if floor < least {
            Fit::Below
        } else if floor > most || floor == most && !is_whole {
            Fit::Above
        } else if is_whole {
            Fit::Is(Box::new(long(floor)))
        } else {
            Fit::After(floor)
        }
    };
    if let Some(whole) = literal.whole() {
        return Ok(between(whole, true));
    }
    // The number that is written: a double of it may be another beyond 2^53.
    if let Some(number) = literal.decimal() {
        let floor = number.floored();
        return Ok(match floor.plain().parse() {
            Ok(whole) => between(whole, floor.compare(&number).is_eq()),
            Err(_) if number.sign().is_lt() => Fit::Below,
            Err(_) => Fit::Above,
        });
    }
    let Some(number) = literal.number().filter(|number| !number.is_nan()) else {
        let text = literal.text();
        return invalid(format!("{what} is {data_type}, it cannot be compared with '{text}': a number can"));
    };
    // An infinity, or a number as far from all others.
    Ok(if number > 0.0 { Fit::Above } else { Fit::Below })
}

/// A literal as a value of a type; `None` where the type has no such value.
pub(super) fn typed(literal: &Literal, data_type: DataType, what: &str) -> Outcome<Option<Expr>> {
    Ok(match fit(literal, data_type, what)? {
        Fit::Is(expr) => Some(*expr),
        Fit::After(_) | Fit::Below | Fit::Above => None,
    })
}

/// The bounds of BETWEEN as values of a type: the least not below, or the greatest not above; `None` where no value is
/// inside.
pub(super) fn typed_bound(literal: &Literal, data_type: DataType, upper: bool, what: &str) -> Outcome<Option<Expr>> {
    let most = if data_type == DataType::Int { i64::from(i32::MAX) } else { i64::MAX };
    let least = if data_type == DataType::Int { i64::from(i32::MIN) } else { i64::MIN };
    Ok(match (fit(literal, data_type, what)?, upper) {
        (Fit::Is(expr), _) => Some(*expr),
        (Fit::After(floor), true) => Some(long(floor)),
        (Fit::After(floor), false) => Some(long(floor + 1)),
        (Fit::Below, false) => Some(long(least)),
        (Fit::Above, true) => Some(long(most)),
        (Fit::Below, true) | (Fit::Above, false) => None,
    })
}

/// `value op literal`, for a value of a known type.
pub(super) fn compare(value: Expr, data_type: DataType, op: Comparison, literal: &Literal) -> Outcome<Expr> {
    let what = shown(&value);
    let value = if data_type == DataType::BigDecimal { super::decimals::key(value) } else { value };
    Ok(match fit(literal, data_type, &what)? {
        Fit::Is(expr) => binary(value, op.sql(), *expr),
        Fit::After(floor) => match op {
            Comparison::Eq => of_all(value, false),
            Comparison::NotEq => of_all(value, true),
            Comparison::Gt | Comparison::GtEq => binary(value, BinaryOperator::Gt, long(floor)),
            Comparison::Lt | Comparison::LtEq => binary(value, BinaryOperator::LtEq, long(floor)),
        },
        Fit::Below => of_all(value, matches!(op, Comparison::NotEq | Comparison::Gt | Comparison::GtEq)),
        Fit::Above => of_all(value, matches!(op, Comparison::NotEq | Comparison::Lt | Comparison::LtEq)),
    })
}

/// What is true, or false, of each value that is not null: of a null it is neither.
pub(super) fn of_all(value: Expr, truth: bool) -> Expr {
    let op = if truth { BinaryOperator::Eq } else { BinaryOperator::NotEq };
    binary(value.clone(), op, value)
}

/// A hidden flag column as an expression.
pub(super) fn null_flag(qualifier: Option<&str>, name: &str) -> Expr {
    let flag = format!("{}{name}", crate::provider::NULL_FLAG);
    match qualifier {
        None => column(&flag),
        Some(qualifier) => Expr::CompoundIdentifier(vec![super::build::quoted(qualifier), super::build::quoted(&flag)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(data_type: DataType, op: Comparison, literal: Literal) -> String {
        compare(column("c"), data_type, op, &literal).unwrap().to_string()
    }

    #[test]
    fn fractions_and_overflows_beside_whole_numbers() {
        let number = |text: &str| Literal::Number(text.to_owned());
        for (op, literal, expected) in [
            (Comparison::Eq, number("5.0"), r#"("c" = 5)"#),
            (Comparison::Eq, number("5.5"), r#"("c" <> "c")"#),
            (Comparison::GtEq, number("5.5"), r#"("c" > 5)"#),
            (Comparison::Lt, number("-5.5"), r#"("c" <= (-6))"#),
            (Comparison::Lt, number("3000000000"), r#"("c" = "c")"#),
            (Comparison::Gt, number("3000000000"), r#"("c" <> "c")"#),
            (Comparison::Gt, number("2147483647.5"), r#"("c" <> "c")"#),
            (Comparison::Lt, number("1e400"), r#"("c" = "c")"#),
            (Comparison::Lt, Literal::Text("-Infinity".to_owned()), r#"("c" <> "c")"#),
            (Comparison::Eq, Literal::Text(" 7 ".to_owned()), r#"("c" = 7)"#),
            (Comparison::Eq, Literal::Boolean(true), r#"("c" = 1)"#),
        ] {
            assert_eq!(compared(DataType::Int, op, literal), expected);
        }
    }

    #[test]
    fn literals_beside_longs_are_the_numbers_that_are_written() {
        for (literal, expected) in [
            ("9007199254740993.0", r#"("c" = 9007199254740993)"#),
            ("9223372036854775807.0", r#"("c" = 9223372036854775807)"#),
            ("9223372036854775808", r#"("c" <> "c")"#),
            ("-9223372036854775809", r#"("c" <> "c")"#),
            ("9223372036854775807.5", r#"("c" <> "c")"#),
        ] {
            assert_eq!(compared(DataType::Long, Comparison::Eq, Literal::Number(literal.to_owned())), expected);
        }
        let least = Literal::Number("-9223372036854775809".to_owned());
        assert_eq!(compared(DataType::Long, Comparison::Gt, least.clone()), r#"("c" = "c")"#);
        let most = Literal::Number("9223372036854775807".to_owned());
        assert_eq!(decided(&least, Comparison::Lt, &most), Some(true));
        assert_eq!(decided(&most, Comparison::Eq, &most), None);
    }

    #[test]
    fn each_type_reads_its_literals() {
        let text = |text: &str| Literal::Text(text.to_owned());
        for (data_type, literal, expected) in [
            (DataType::String, Literal::Number("5".to_owned()), r#"("c" = '5')"#),
            (DataType::Boolean, text("TRUE"), r#"("c" = true)"#),
            (DataType::Timestamp, text("1970-01-01 00:00:01"), r#"("c" = w_timestamp(1000))"#),
            (DataType::Double, text("1e3"), r#"("c" = 1000.0)"#),
            (DataType::Double, Literal::Number("-0.0".to_owned()), r#"("c" = 0.0)"#),
            (DataType::BigDecimal, text("1.5"), r#"(w_decimal_key("c") = w_decimal_key('1.5'))"#),
            (DataType::Bytes, text("0aff"), r#"("c" = w_bytes('0aff'))"#),
        ] {
            assert_eq!(compared(data_type, Comparison::Eq, literal), expected);
        }
        let error = compare(column("c"), DataType::Long, Comparison::Eq, &text("abc")).unwrap_err();
        assert!(error.code == 700 && error.message.contains("'abc'"), "{}", error.message);
    }
}
