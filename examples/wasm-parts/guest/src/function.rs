//! Functions: called value by value, asked column by column.

pub use crate::bindings::function::exports::weir::parts::functions::{DataType, Gives};
use crate::{
    Value,
    bindings::{
        decoder::weir::parts::values::{Cells, Column},
        function::exports::weir::parts::functions::{Answers, Fault, Signature},
    },
    cells,
};

/// Arguments that need no list of their own.
const FEW: usize = 6;

/// An argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument<'a> {
    /// Nothing.
    Null,
    /// One value.
    One(Value<'a>),
    /// Several.
    Many(&'a [Value<'a>]),
}

/// Takes the value of a call. One that takes none is null.
pub struct Made {
    column: Column,
    row: u32,
    mixed: bool,
}

impl Made {
    fn push(&mut self, many: bool, value: Value<'_>) {
        if self.column.rows.is_empty() {
            self.column = cells::column_for(value, many);
        }
        self.mixed |= self.column.many != many || !cells::push(&mut self.column, self.row, value);
    }

    /// The value.
    pub fn put(&mut self, value: Value<'_>) {
        self.push(false, value);
    }

    /// Begins a list of values, which may have none: then it is an empty list and not null.
    pub fn list(&mut self) {
        self.column.many |= self.column.rows.is_empty();
    }

    /// One more of a list of values.
    pub fn item(&mut self, value: Value<'_>) {
        self.push(true, value);
    }
}

/// A function. The same arguments must give the same value.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its names, the usual one first.
    pub names: &'static [&'static str],
    /// Fewest arguments.
    pub least: u32,
    /// Most arguments.
    pub most: u32,
    /// It is called with nulls too; others give null where an argument is.
    pub nulls: bool,
    /// What it gives.
    pub gives: Gives,
    /// How it comes to its value. The error rejects the message, or ends the query.
    pub call: fn(&[Argument<'_>], &mut Made) -> Result<(), String>,
}

impl Gives {
    /// One text.
    pub const TEXT: Self = Self::One(DataType::Text);
    /// One LONG.
    pub const LONG: Self = Self::One(DataType::Long);
    /// One DOUBLE.
    pub const DOUBLE: Self = Self::One(DataType::Double);
}

impl Function {
    /// As Weir is told of it.
    pub fn signature(&self) -> Signature {
        Signature {
            names: self.names.iter().map(|name| (*name).to_owned()).collect(),
            least: self.least,
            most: self.most,
            nulls: self.nulls,
            gives: self.gives,
        }
    }

    /// The values for some rows.
    pub fn answers(&self, rows: u32, columns: &[Column]) -> Answers {
        let mut made = Made {
            column: Column { many: matches!(self.gives, Gives::Many(_)), rows: vec![], cells: Cells::Booleans(vec![]) },
            row: 0,
            mixed: false,
        };
        let mut faults = vec![];
        // Where each column is, and its values in the row.
        let mut next = vec![0; columns.len()];
        let mut lists = vec![vec![]; columns.len()];
        for row in 0..rows {
            for ((column, next), list) in columns.iter().zip(&mut next).zip(&mut lists) {
                list.clear();
                while column.rows.get(*next) == Some(&row) {
                    list.push(cells::value(column, *next));
                    *next += 1;
                }
            }
            let argument = |at: usize| match (columns[at].many, lists[at].first()) {
                (true, _) => Argument::Many(&lists[at]),
                (false, Some(value)) => Argument::One(*value),
                (false, None) => Argument::Null,
            };
            let (mut few, many): ([Argument<'_>; FEW], Vec<Argument<'_>>);
            let arguments = if columns.len() <= FEW {
                few = [Argument::Null; FEW];
                (0..columns.len()).for_each(|at| few[at] = argument(at));
                &few[..columns.len()]
            } else {
                many = (0..columns.len()).map(argument).collect();
                &many[..]
            };
            made.row = row;
            if let Err(reason) = (self.call)(arguments, &mut made) {
                cells::take_back(&mut made.column, row);
                faults.push(Fault { row, reason });
            }
            if std::mem::take(&mut made.mixed) {
                cells::take_back(&mut made.column, row);
                faults.push(Fault { row, reason: "it gives values of several kinds".to_owned() });
            }
        }
        Answers { column: made.column, faults }
    }
}

/// Makes a component of [`Function`]s.
#[macro_export]
macro_rules! functions {
    ($($function:expr),+ $(,)?) => {
        const _: () = {
            use $crate::bindings::function::exports::weir::parts::functions as world;
            const FUNCTIONS: &[$crate::Function] = &[$($function),+];
            struct Part;
            impl world::Guest for Part {
                fn signatures() -> Vec<world::Signature> {
                    FUNCTIONS.iter().map(|function| function.signature()).collect()
                }

                fn call(at: u32, rows: u32, arguments: Vec<world::Column>) -> world::Answers {
                    FUNCTIONS[at as usize].answers(rows, &arguments)
                }
            }
            $crate::bindings::function::export_functions!(Part with_types_in $crate::bindings::function);
        };
    };
}
