//! The shelf of scalar functions, by Pinot's names. Pure: the same arguments give the same value, at ingestion and in SQL.
//!
//! To add one: a line in the list of its family. A function whose constant arguments cost something to read (a pattern, a
//! path) is made ready once, by `Body::Made`.

mod arrays;
mod bytes;
mod city;
mod convert;
mod gives;
mod hash;
mod ip;
mod json;
mod logic;
mod logs;
mod math;
mod ready;
#[cfg(test)]
mod reference;
mod text;
mod time;
mod url;
mod vectors;
mod words;

pub(crate) use convert::cast;
pub use gives::{Gives, Kind};
pub use hash::{KAFKA_SEED, murmur2, murmur3_32, murmur3_x64};
pub use json::Path;
pub use ready::{Prepared, take_faulty};
pub use text::java_replacement;
pub(crate) use text::{MADE_MOST, too_long};

use crate::datum::{Datum, Fault};
use bumpalo::Bump;
use std::{
    collections::{HashMap, HashSet},
    sync::{LazyLock, OnceLock},
};

/// Any number of arguments.
const MANY: usize = usize::MAX;

/// A function of values that needs nothing made ready.
pub type Plain = for<'a> fn(&[Datum<'a>], &'a Bump) -> Result<Datum<'a>, Fault>;

/// Makes a function ready; what it is given are the arguments, those that are the same for every row.
pub type Make = fn(&[Option<Datum<'_>>]) -> Result<Box<dyn Ready>, Fault>;

/// A function made ready for its constant arguments.
pub trait Ready: Send + Sync {
    /// Its value for these arguments, constants among them.
    ///
    /// # Errors
    /// It cannot work with them.
    fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault>;

    /// How many rows it wants to be called with at once, at most: for one that takes many for little more than one.
    fn at_a_time(&self) -> usize {
        1
    }

    /// Its values for several rows, whose arguments stand row by row: one for each, the same as [`Self::call`] gives.
    fn call_rows<'a>(&self, args: &[Datum<'a>], rows: usize, arena: &'a Bump) -> Vec<Result<Datum<'a>, Fault>> {
        (0..rows).map(|row| self.call(row_of(args, row, rows), arena)).collect()
    }
}

/// The arguments of one of several rows that stand row by row.
#[must_use]
pub fn row_of<'b, 'a>(args: &'b [Datum<'a>], row: usize, rows: usize) -> &'b [Datum<'a>] {
    let width = args.len() / rows.max(1);
    &args[row * width..(row + 1) * width]
}

/// How a function comes to its value.
#[derive(Clone, Copy)]
pub enum Body {
    /// From the values alone.
    Plain(Plain),
    /// It is made ready first; what it is given are the arguments that are the same for every row.
    Made(Make),
    /// By one that was ready when the process started.
    Loaded(&'static dyn Ready),
}

/// A scalar function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its names, the usual one first. They are compared without case and underscores.
    pub names: &'static [&'static str],
    /// Fewest arguments.
    pub least: usize,
    /// Most arguments.
    pub most: usize,
    /// It is called with nulls too; others give null where an argument is.
    pub nulls: bool,
    /// What it gives.
    pub gives: Gives,
    /// How.
    pub body: Body,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Function {
    const fn plain(names: &'static [&'static str], least: usize, most: usize, gives: Gives, call: Plain) -> Self {
        Self { names, least, most, nulls: false, gives, body: Body::Plain(call) }
    }

    const fn made(names: &'static [&'static str], least: usize, most: usize, gives: Gives, make: Make) -> Self {
        Self { names, least, most, nulls: false, gives, body: Body::Made(make) }
    }

    const fn with_nulls(self) -> Self {
        Self { nulls: true, ..self }
    }

    /// Its usual name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.names[0]
    }

    /// How many arguments it takes, for people.
    #[must_use]
    pub fn arity(&self) -> String {
        match (self.least, self.most) {
            (least, most) if least == most => format!("{least}"),
            (least, MANY) => format!("{least} or more"),
            (least, most) => format!("{least} to {most}"),
        }
    }
}

/// A name as names are compared.
fn folded(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_').flat_map(char::to_lowercase).collect()
}

/// The families, each with its title.
fn families() -> [(&'static str, &'static [Function]); 14] {
    [
        ("Arithmetic", math::FUNCTIONS),
        ("Comparing and choosing", logic::FUNCTIONS),
        ("Text", text::FUNCTIONS),
        ("Words and letters", words::FUNCTIONS),
        ("Times", time::FUNCTIONS),
        ("JSON", json::FUNCTIONS),
        ("Arrays", arrays::FUNCTIONS),
        ("Arrays of numbers", vectors::FUNCTIONS),
        ("Types", convert::FUNCTIONS),
        ("Bytes", bytes::FUNCTIONS),
        ("Hashes", hash::FUNCTIONS),
        ("URLs", url::FUNCTIONS),
        ("IP addresses", ip::FUNCTIONS),
        ("Log messages", logs::FUNCTIONS),
    ]
}

/// Those that were added to the binary.
static ADDED: OnceLock<Vec<Function>> = OnceLock::new();

/// All functions, family by family, those that were added to the binary last.
pub fn all() -> impl Iterator<Item = &'static Function> {
    families().into_iter().flat_map(|(_, functions)| functions).chain(ADDED.get_or_init(Vec::new))
}

/// Adds functions to this process: once, before any is looked for. They must give the same value for the same arguments,
/// for records are read again after a restart.
///
/// # Errors
/// A name is taken, or it is too late.
pub fn add(functions: Vec<Function>) -> Result<(), String> {
    let built_in = families().into_iter().flat_map(|(_, functions)| functions).flat_map(|function| function.names);
    let mut names: HashSet<String> = built_in.map(|name| folded(name)).collect();
    for name in functions.iter().flat_map(|function| function.names) {
        if is_volatile(name) || !names.insert(folded(name)) {
            return Err(format!("a function named '{name}' is there already: give it another name"));
        }
    }
    ADDED.set(functions).map_err(|_| "functions of the binary's own are added once, before any is used".to_owned())
}

/// The function of a name, in any case, with or without underscores.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    static BY_NAME: LazyLock<HashMap<String, &'static Function>> = LazyLock::new(|| {
        all().flat_map(|function| function.names.iter().map(move |name| (folded(name), function))).collect()
    });
    BY_NAME.get(&folded(name)).copied()
}

/// The functions whose value is another one each time: they have no place where records may be read again.
#[must_use]
pub fn is_volatile(name: &str) -> bool {
    ["now", "ago", "agomv", "rand", "sleep", "uuidv4", "uuidv7"].contains(&folded(name).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_not_added() {
        let of = |names| Function { names, ..*function("upper").expect("it is there") };
        for names in [&["Json_Path_String"][..], &["mine", "MINE"], &["now"]] {
            let error = add(vec![of(names)]).expect_err("the name is taken");
            assert!(error.contains("is there already"), "{error}");
        }
    }

    #[test]
    fn names_are_distinct_and_found_in_any_spelling() {
        let mut seen = HashSet::new();
        for name in all().flat_map(|function| function.names) {
            assert!(seen.insert(folded(name)), "{name}");
        }
        assert_eq!(function("JSON_PATH_STRING").map(Function::name), Some("jsonPathString"));
        assert_eq!(function("Sub").map(Function::name), Some("minus"));
        assert!(function("now").is_none() && is_volatile("uuid_v4"));
    }
}
