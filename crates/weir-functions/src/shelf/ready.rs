//! A function ready to be called, at ingestion as in SQL: here alone its nulls, its bounds and the words of its faults are
//! seen to.

use super::{Body, Function, MADE_MOST, Plain, Ready, row_of, too_long};
use crate::datum::{Datum, Fault};
use bumpalo::Bump;
use std::cell::Cell;

enum Call {
    Plain(Plain),
    Ready(Box<dyn Ready>),
    Loaded(&'static dyn Ready),
}

/// A function with its constant arguments made ready.
pub struct Prepared {
    function: &'static Function,
    call: Call,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({})", self.function.name())
    }
}

impl Prepared {
    /// Makes a function ready for arguments of which these are the same for every row.
    ///
    /// # Errors
    /// The function takes another number of arguments, or a constant is none that it can work with.
    pub fn new(function: &'static Function, constants: &[Option<Datum<'_>>]) -> Result<Self, Fault> {
        let name = function.name();
        if !(function.least..=function.most).contains(&constants.len()) {
            return Err(Fault::new(format!("{name} takes {} arguments, got {}", function.arity(), constants.len())));
        }
        let call = match function.body {
            Body::Plain(call) => Call::Plain(call),
            Body::Loaded(call) => Call::Loaded(call),
            Body::Made(make) => Call::Ready(make(constants).map_err(|fault| {
                let given: Vec<Datum<'_>> = constants.iter().map(|constant| constant.unwrap_or(Datum::Null)).collect();
                fault.within(name, &given)
            })?),
        };
        Ok(Self { function, call })
    }

    /// Its value; what it makes lies in the arena.
    ///
    /// # Errors
    /// It cannot work with the arguments, or would make more than a value may be.
    pub fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
        if !self.function.nulls && args.iter().any(|arg| arg.is_null()) {
            return Ok(Datum::Null);
        }
        let panics = Panics(self.function.name());
        let called = match &self.call {
            Call::Plain(call) => call(args, arena),
            Call::Ready(call) => call.call(args, arena),
            Call::Loaded(call) => call.call(args, arena),
        };
        // It is dropped by a panic alone.
        std::mem::forget(panics);
        called.and_then(bounded).map_err(|fault| fault.within(self.function.name(), args))
    }

    /// How many rows it is best called with at once.
    #[must_use]
    pub fn at_a_time(&self) -> usize {
        match &self.call {
            Call::Plain(_) | Call::Ready(_) => 1,
            Call::Loaded(call) => call.at_a_time(),
        }
    }

    /// Its values for several rows, whose arguments stand row by row; the same as [`Self::call`] gives for each.
    pub fn call_rows<'a>(&self, args: &[Datum<'a>], rows: usize, arena: &'a Bump) -> Vec<Result<Datum<'a>, Fault>> {
        let Call::Loaded(call) = &self.call else {
            return (0..rows).map(|row| self.call(row_of(args, row, rows), arena)).collect();
        };
        let of = |row| row_of(args, row, rows);
        let asked = |row: &usize| self.function.nulls || !of(*row).iter().any(|arg| arg.is_null());
        let some: Vec<usize> = (0..rows).filter(asked).collect();
        let given: Vec<Datum<'a>> = some.iter().flat_map(|row| of(*row)).copied().collect();
        let mut values: Vec<Result<Datum<'a>, Fault>> = (0..rows).map(|_| Ok(Datum::Null)).collect();
        for (row, made) in some.iter().zip(call.call_rows(&given, some.len(), arena)) {
            values[*row] = made.and_then(bounded).map_err(|fault| fault.within(self.function.name(), of(*row)));
        }
        values
    }

    /// The function.
    pub(crate) fn function(&self) -> &'static Function {
        self.function
    }

    /// Whether a null argument makes its value null, whatever the others are.
    pub(crate) fn passes_nulls(&self) -> bool {
        !self.function.nulls
    }
}

thread_local! {
    static FAULTY: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Notes the name of a function that panics.
struct Panics(&'static str);

impl Drop for Panics {
    fn drop(&mut self) {
        FAULTY.set(Some(self.0));
    }
}

/// The function that panicked last on this thread, for whoever caught that; told once.
#[must_use]
pub fn take_faulty() -> Option<&'static str> {
    FAULTY.take()
}

/// What a function has made, unless it is too long to be a value of a record.
fn bounded(made: Datum<'_>) -> Result<Datum<'_>, Fault> {
    if made.bytes_held() > MADE_MOST { Err(too_long()) } else { Ok(made) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shelf::function;

    fn prepared(name: &str, constants: &[Option<Datum<'_>>]) -> Result<Prepared, Fault> {
        Prepared::new(function(name).unwrap(), constants)
    }

    #[test]
    fn faults_name_function_argument_and_value() {
        let arena = Bump::new();
        let add = prepared("plus", &[None, None]).unwrap();
        let fault = add.call(&[Datum::Long(1), Datum::Text("two")], &arena).unwrap_err();
        assert_eq!(fault.to_string(), "plus(..): a number is expected, got 'two' (argument 2)");
        let fault = prepared("upper", &[None, None]).unwrap_err();
        assert_eq!(fault.to_string(), "upper takes 1 arguments, got 2");
        let fault = prepared("dateTrunc", &[Some(Datum::Text("fortnight")), None]).unwrap_err();
        assert!(fault.to_string().starts_with("dateTrunc(..): "), "{fault}");
    }

    #[test]
    fn many_short_texts_are_too_long_together() {
        let arena = Bump::new();
        let parts = arena.alloc_str(&"x,".repeat(2 << 20));
        let split = prepared("split", &[None, None]).unwrap();
        let fault = split.call(&[Datum::Text(parts), Datum::Text(",")], &arena).unwrap_err();
        assert!(fault.to_string().contains("too long"), "{fault}");
    }
}
