//! Pinot's SQL onto DataFusion's: parsed, names resolved as the schema spells them, literals adapted to their columns,
//! functions and typing rules rewritten, on the syntax tree and before anything is planned.

mod aggregates;
mod balance;
mod bounds;
mod build;
mod decimals;
mod granular;
mod literal;
mod lower;
mod names;
mod parse;
mod predicates;
#[cfg(test)]
mod reference;
mod relations;
mod rules;
mod scalars;
mod scope;
mod single;
mod words;

pub(crate) use parse::{Parsed, may_hold_options, parse};

use crate::{answer::QueryException, error::Code};
use datafusion::{
    execution::SessionState,
    sql::sqlparser::ast::{Expr, Query, Statement, Value, VisitMut},
};
use std::ops::ControlFlow;
use weir_types::DataType;

/// A column as the dialect knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeColumn {
    /// As the schema spells it.
    pub(crate) name: String,
    /// Its type.
    pub(crate) data_type: DataType,
    /// One value a row.
    pub(crate) single_value: bool,
    /// Not part of `*`.
    pub(crate) hidden: bool,
}

/// A table as the dialect knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// What the rewritten text calls it.
    pub(crate) key: String,
    /// Its raw name.
    pub(crate) name: String,
    /// Its columns.
    pub(crate) columns: Vec<ScopeColumn>,
    /// Which rows were null is known by flag columns; values come as defaults.
    pub(crate) null_flags: bool,
    /// Null rows come as nulls.
    pub(crate) nullable: bool,
}

/// Where the tables that a query names come from.
pub(crate) trait Tables {
    /// Takes the table of a name in parts (`db`, `table`), once for all mentions.
    fn take(&mut self, parts: &[String]) -> Outcome<Table>;
}

/// The functions that plans may call.
pub(crate) struct Known<'a> {
    /// The session that has them.
    pub(crate) state: &'a SessionState,
}

impl Known<'_> {
    /// DataFusion's function of a name without underscores, under its own name.
    pub(crate) fn find(&self, canonical: &str) -> Option<&str> {
        self.names()
            .find(|name| *name == canonical)
            .or_else(|| self.names().find(|name| name.replace('_', "") == canonical))
    }

    /// The names of all functions that users may write.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let scalars = self.state.scalar_functions().keys();
        let aggregates = self.state.aggregate_functions().keys();
        let windows = self.state.window_functions().keys();
        scalars
            .chain(aggregates)
            .chain(windows)
            .map(String::as_str)
            .filter(|name| !name.starts_with(crate::functions::PREFIX))
    }
}

/// By which rules a query is read.
pub(crate) struct Profile<'a> {
    /// The multi-stage engine's typing; joins and sub-queries.
    pub(crate) multistage: bool,
    /// Three-valued logic over nulls.
    pub(crate) nulls: bool,
    /// Rows of a query without LIMIT.
    pub(crate) default_limit: u64,
    /// What `now()` is, in milliseconds since the epoch.
    pub(crate) now_ms: i64,
    /// What can be called.
    pub(crate) functions: Known<'a>,
}

/// A query that DataFusion can plan.
pub(crate) struct Rewritten {
    /// The query.
    pub(crate) statement: Statement,
    /// Names of the result's columns, by position; where there is none the plan's name holds.
    pub(crate) names: Vec<Option<String>>,
}

/// A step of the dialect, or why the query is refused.
pub(crate) type Outcome<T> = Result<T, QueryException>;

/// A refusal of a query that can be read but makes no sense.
fn invalid<T>(what: impl std::fmt::Display) -> Outcome<T> {
    Err(QueryException::new(Code::QueryValidation, what))
}

/// Rewrites a parsed query.
pub(crate) fn rewrite(mut query: Box<Query>, profile: &Profile<'_>, tables: &mut dyn Tables) -> Outcome<Rewritten> {
    let mut lower = lower::Lower::new(profile, tables);
    let names = if profile.multistage {
        lower.multistage_names(&mut query)?
    } else {
        single::prepare(&mut query, profile, &mut lower)?
    };
    balance::balance(&mut query);
    match query.visit(&mut lower) {
        ControlFlow::Continue(()) => Ok(Rewritten { statement: Statement::Query(query), names }),
        ControlFlow::Break(exception) => Err(*exception),
    }
}

/// A placeholder while an expression is being replaced.
fn nothing() -> Expr {
    Expr::Value(Value::Null.into())
}
