//! The parts of log messages, as the enricher `clpEnricher` stores them.

use super::{
    Function,
    gives::{LONGS, STRING, STRINGS},
};
use crate::{
    clp::Encoded,
    datum::{Datum, Fault, list, text},
};
use bumpalo::Bump;

/// What is made of a message in parts.
type Made = for<'a> fn(&Encoded, &'a str, &'a Bump) -> Datum<'a>;

/// The parts of what is a text; of other values there are none.
fn part<'a>(datum: Datum<'a>, arena: &'a Bump, made: Made) -> Result<Datum<'a>, Fault> {
    let Datum::Text(message) = datum else { return Ok(Datum::Null) };
    let mut encoded = Encoded::default();
    encoded.encode(message);
    Ok(made(&encoded, message, arena))
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["clpLogtype"], 1, 1, STRING, |args, arena| {
        part(args[0], arena, |encoded, _, arena| text(&String::from_utf8_lossy(&encoded.log_type), arena))
    }),
    Function::plain(&["clpDictionaryVars"], 1, 1, STRINGS, |args, arena| {
        part(args[0], arena, |encoded, message, arena| {
            list(encoded.dictionary.iter().map(|at| Datum::Text(&message[at.clone()])), arena)
        })
    }),
    Function::plain(&["clpEncodedVars"], 1, 1, LONGS, |args, arena| {
        part(args[0], arena, |encoded, _, arena| list(encoded.numbers.iter().copied().map(Datum::Long), arena))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(at: usize, datum: Datum<'_>, arena: &Bump) -> String {
        let function = &FUNCTIONS[at];
        let super::super::Body::Plain(call) = function.body else { panic!("it needs nothing made ready") };
        format!("{:?}", call(&[datum], arena).unwrap())
    }

    #[test]
    fn messages_are_taken_apart_and_other_values_are_not() {
        let arena = Bump::new();
        let message = Datum::Text("task_07 took 12 ms, 0.5 of it idle");
        assert!(of(0, message, &arena).contains("took \\u{11} ms, \\u{13} of it idle"), "{}", of(0, message, &arena));
        assert_eq!(of(1, message, &arena), r#"List([Text("task_07")])"#);
        assert_eq!(of(2, message, &arena), format!("List([Long(12), Long({})])", 5 << 8 | 1 << 4));
        for at in 0..3 {
            assert_eq!(of(at, Datum::Long(5), &arena), "Null");
        }
    }
}
