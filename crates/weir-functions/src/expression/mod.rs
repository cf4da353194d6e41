//! Expressions over the fields of a record, in SQL's notation: `toEpochDays(ts)`, `concat(a, '-', b)`, `price * 2 > 10 AND x IS
//! NULL`. Compiled once, evaluated for each record; constant parts (patterns, paths) are made ready when it is compiled.

mod compile;
mod eval;
mod kind;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::eval as value_text;

use crate::datum::{Datum, Fault};
use crate::shelf::Prepared;
use bumpalo::Bump;
use std::sync::Arc;

/// An expression that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' cannot be evaluated: {reason}", beginning(expression))]
pub struct ExpressionError {
    /// As given.
    pub expression: String,
    /// Why, and what would be right.
    pub reason: String,
}

/// Characters of an expression that its error repeats: enough to know it again; the setting's place stands beside it.
const REPEATED: usize = 200;

fn beginning(expression: &str) -> String {
    match expression.char_indices().nth(REPEATED) {
        Some((end, _)) => format!("{}.. ({} bytes)", &expression[..end], expression.len()),
        None => expression.to_owned(),
    }
}

/// What an expression reads of a record.
pub trait Fields<'a> {
    /// The value of field `at` of [`Expression::fields`].
    fn field(&self, at: usize) -> Datum<'a>;
}

impl<'a, F: Fn(usize) -> Datum<'a>> Fields<'a> for F {
    fn field(&self, at: usize) -> Datum<'a> {
        self(at)
    }
}

/// A compiled expression.
pub struct Expression {
    root: Node,
    fields: Vec<Arc<str>>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// A constant, kept by the expression.
#[derive(Debug, Clone, PartialEq)]
enum Constant {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Decimal(Box<str>),
    Text(Box<str>),
}

impl Constant {
    fn datum(&self) -> Datum<'_> {
        match self {
            Self::Null => Datum::Null,
            Self::Bool(truth) => Datum::Bool(*truth),
            Self::Long(number) => Datum::Long(*number),
            Self::Double(number) => Datum::Double(*number),
            Self::Decimal(text) => Datum::Decimal(text),
            Self::Text(text) => Datum::Text(text),
        }
    }
}

enum Node {
    Field(usize),
    Constant(Constant),
    Call {
        function: Prepared,
        args: Vec<Node>,
    },
    /// True as soon as one is (`true`), or false as soon as one is.
    Decide {
        by: bool,
        args: Vec<Node>,
    },
    Case {
        branches: Vec<(Node, Node)>,
        otherwise: Option<Box<Node>>,
    },
}

impl Expression {
    /// Reads and compiles an expression.
    ///
    /// # Errors
    /// It is no expression, or names a function that is not there or takes other arguments.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut fields = vec![];
        let root = compile::compile(text, &mut fields)
            .map_err(|reason| ExpressionError { expression: text.to_owned(), reason })?;
        Ok(Self { root, fields })
    }

    /// The names of the fields that it reads, each once, in the order of their first mention.
    #[must_use]
    pub fn fields(&self) -> &[Arc<str>] {
        &self.fields
    }

    /// Its value for one record. What it makes lies in the arena.
    ///
    /// # Errors
    /// A function cannot work with its arguments.
    pub fn value<'a>(&'a self, fields: &dyn Fields<'a>, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
        eval::value(&self.root, fields, arena)
    }
}
