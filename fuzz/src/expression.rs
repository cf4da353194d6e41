//! The expression parser, the compiler and the functions: each input is an expression, evaluated for records whose fields
//! take every kind of value in turn. It is compiled or refused; it gives a value or a fault, twice the same; what it gives can
//! be written as JSON.

use crate::Target;
use bumpalo::Bump;
use std::{
    hash::{DefaultHasher, Hasher},
    mem::discriminant,
    time::{Duration, Instant},
};
use weir_functions::{datum::Datum, expression::Expression};

/// After so long an expression has shown what it does; a single value has the fuzzer's time-out for itself.
const ENOUGH: Duration = Duration::from_millis(500);

/// Values that fields take.
const VALUES: [Datum<'static>; 24] = [
    Datum::Null,
    Datum::Bool(true),
    Datum::Long(0),
    Datum::Long(7),
    Datum::Long(i64::MIN),
    Datum::Long(1_767_225_600_123),
    Datum::Float(-0.1),
    Datum::Double(2.5),
    Datum::Double(1e300),
    Datum::Double(f64::NAN),
    Datum::Decimal("123456789012345678901234567890.5"),
    Datum::Decimal("-1E+40"),
    Datum::Timestamp(1_767_225_600_123),
    Datum::Timestamp(i64::MAX),
    Datum::Text(""),
    Datum::Text("two, words \u{e9}\u{1f600}"),
    Datum::Text("-17"),
    Datum::Text("2026-01-31 12:30:05.25"),
    Datum::Text("yyyy-MM-dd"),
    Datum::Text("0aFF"),
    Datum::Bytes(&[0, 1, 0xff]),
    Datum::Uuid([7; 16]),
    Datum::Json(r#"{"a":[{"b":1.5},{"b":"x"}],"c":null}"#),
    Datum::List(&[Datum::Long(3), Datum::Text("x"), Datum::Null, Datum::Double(0.5)]),
];

pub(crate) fn expression() -> Target {
    let mut arena = Bump::new();
    Box::new(move |data| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let expression = match Expression::parse(text) {
            Ok(expression) => expression,
            Err(error) => {
                assert!(!error.reason.is_empty(), "a refusal says why");
                return;
            }
        };
        // One that works long on its constants alone is not asked again and again.
        let (rounds, began) = (if expression.fields().is_empty() { 1 } else { VALUES.len() }, Instant::now());
        for first in 0..rounds {
            if began.elapsed() > ENOUGH {
                break;
            }
            arena.reset();
            let field = |at: usize| VALUES[(first + at * 5) % VALUES.len()];
            let (value, again) = (expression.value(&field, &arena), expression.value(&field, &arena));
            let (value, again) = match (value, again) {
                (Ok(value), Ok(again)) => (value, again),
                (value, again) => {
                    assert_eq!(value.err(), again.err(), "it fails twice the same");
                    continue;
                }
            };
            assert_eq!(discriminant(&value), discriminant(&again), "it is twice of the same kind");
            let json = |datum: Datum<'_>| {
                let mut json = vec![];
                datum.write_json(&mut json);
                json
            };
            // As text: a value that is no number is not equal to itself. The longest are held once.
            let hash = |written: &[u8]| {
                let mut hasher = DefaultHasher::new();
                hasher.write(written);
                hasher.finish()
            };
            let then = hash(&json(again));
            let written = json(value);
            assert!(hash(&written) == then, "it is twice the same: {}, then {}", value.shown(), again.shown());
            if let Err(error) = serde_json::from_slice::<&serde_json::value::RawValue>(&written) {
                // Deep ones are more than this reader descends into.
                assert!(error.to_string().contains("recursion"), "{} is not written as JSON: {error}", value.shown());
            }
        }
    })
}
