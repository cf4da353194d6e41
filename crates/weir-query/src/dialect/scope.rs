//! Which columns the names in a query may mean.

use super::{
    Outcome, Table,
    build::{bare, canonical, plain_arguments},
    rules::OPERATORS,
};
use crate::{
    answer::QueryException,
    error::{Code, did_you_mean, near},
    functions::type_of,
    provider::NULL_FLAG,
};
use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator};
use weir_types::DataType;

/// A type, and whether there is one value a row.
pub(super) type Kind = (DataType, bool);

/// A column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Col {
    /// As it is spelled.
    pub(super) name: String,
    /// Its type, where it is known.
    pub(super) kind: Option<Kind>,
    /// Not part of `*`.
    pub(super) hidden: bool,
}

/// What IS NULL means for the columns of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// Nulls are nulls.
    Real,
    /// A flag column tells.
    Flagged,
    /// No row is null.
    Never,
}

/// Something that columns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    /// What qualifies its columns.
    pub(super) alias: String,
    /// Its columns.
    pub(super) columns: Vec<Col>,
    /// What IS NULL means.
    pub(super) nulls: Nulls,
    /// It may have other columns too.
    pub(super) open: bool,
    /// Columns that `*` leaves out, since a USING join has them from elsewhere.
    pub(super) merged: Vec<String>,
}

impl Relation {
    pub(super) fn of_table(table: &Table, alias: Option<&str>) -> Self {
        let column = |column: &super::ScopeColumn| Col {
            name: column.name.clone(),
            kind: Some((column.data_type, column.single_value)),
            hidden: column.hidden,
        };
        let nulls = match (table.nullable, table.null_flags) {
            (true, _) => Nulls::Real,
            (false, true) => Nulls::Flagged,
            (false, false) => Nulls::Never,
        };
        Self {
            alias: alias.unwrap_or(&table.name).to_owned(),
            columns: table.columns.iter().map(column).collect(),
            nulls,
            open: false,
            merged: vec![],
        }
    }

    pub(super) fn derived(alias: &str, columns: Vec<Col>, open: bool) -> Self {
        Self { alias: alias.to_owned(), columns, nulls: Nulls::Real, open, merged: vec![] }
    }

    /// A column in any case; the exact spelling wins.
    pub(super) fn column(&self, name: &str) -> Option<&Col> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)))
    }
}

/// The names that one query level has.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Where its columns come from.
    pub(super) relations: Vec<Relation>,
    /// Aliases of its select list.
    pub(super) aliases: Vec<String>,
    /// It groups, so that empty groups do not come out.
    pub(super) grouped: bool,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A column.
    Column {
        /// The qualifier, as the relation is called.
        qualifier: Option<String>,
        /// The column.
        column: Col,
        /// What IS NULL means for it.
        nulls: Nulls,
    },
    /// An item of the select list.
    Alias(String),
    /// Nothing that is known; some relation may have it.
    Open,
}

/// The scopes around a name, innermost last.
pub(super) fn resolve(scopes: &[Scope], qualifier: Option<&str>, name: &str) -> Outcome<Meaning> {
    for scope in scopes.iter().rev() {
        let asked = |relation: &&Relation| qualifier.is_none_or(|asked| relation.alias.eq_ignore_ascii_case(asked));
        if let Some((relation, column)) =
            scope.relations.iter().filter(asked).find_map(|relation| Some((relation, relation.column(name)?)))
        {
            return Ok(Meaning::Column {
                qualifier: qualifier.map(|_| relation.alias.clone()),
                column: column.clone(),
                nulls: relation.nulls,
            });
        }
        if qualifier.is_none()
            && let Some(alias) = scope.aliases.iter().find(|alias| alias.eq_ignore_ascii_case(name))
        {
            return Ok(Meaning::Alias(alias.clone()));
        }
        if scope.relations.iter().filter(asked).any(|relation| relation.open) {
            return Ok(Meaning::Open);
        }
    }
    if name.starts_with(NULL_FLAG) {
        return Ok(Meaning::Open);
    }
    let relations = || scopes.iter().flat_map(|scope| &scope.relations);
    if let Some(asked) = qualifier
        && !relations().any(|relation| relation.alias.eq_ignore_ascii_case(asked))
    {
        let what = format!("'{asked}' in '{asked}.{name}' is neither a table nor an alias of the query");
        return Err(QueryException::new(Code::UnknownColumn, what));
    }
    let columns: Vec<&str> =
        relations().flat_map(|relation| relation.columns.iter().map(|column| column.name.as_str())).collect();
    let close = did_you_mean(&near(name, columns));
    let tables: Vec<&str> = relations().map(|relation| relation.alias.as_str()).collect();
    let of = if tables.is_empty() { String::new() } else { format!(" of {}", tables.join(", ")) };
    // No column's name looks like that: it is a text in the wrong quotes.
    let plain = name.chars().all(|letter| letter.is_alphanumeric() || "_$.".contains(letter));
    let quotes = if plain { "" } else { "; text stands in single quotes" };
    Err(QueryException::new(Code::UnknownColumn, format!("column '{name}'{of} does not exist{close}{quotes}")))
}

/// Functions that give a BIG_DECIMAL where one of their arguments is one.
const ANY_DECIDES: [&str; 9] =
    ["abs", "negate", "moduloorzero", "positivemodulo", "coalesce", "nvl", "ifnull", "least", "greatest"];

/// Functions that give one where their first argument is one: the aggregates are those of the multi-stage engine.
const FIRST_DECIDES: [&str; 5] = ["nullif", "sum", "min", "max", "avg"];

/// Whether an expression, before it is rewritten, is a BIG_DECIMAL: a column, or what is computed of one. Its text does not
/// sort as the number does.
pub(super) fn is_decimal(expr: &Expr, scopes: &[Scope]) -> bool {
    let column = |qualifier: Option<&str>, name: &str| {
        matches!(
            resolve(scopes, qualifier, name),
            Ok(Meaning::Column { column, .. }) if column.kind == Some((DataType::BigDecimal, true))
        )
    };
    match bare(expr) {
        Expr::Identifier(name) => column(None, &name.value),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [qualifier, name] => column(Some(&qualifier.value), &name.value),
            _ => false,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_decimal(expr, scopes),
        Expr::BinaryOp { left, op, right } => {
            OPERATORS.iter().any(|(_, known)| known == op) && (is_decimal(left, scopes) || is_decimal(right, scopes))
        }
        Expr::Cast { data_type, .. } => {
            let name = data_type.to_string();
            type_of(name.split('(').next().unwrap_or_default().trim()) == Some(DataType::BigDecimal)
        }
        Expr::Function(function) => {
            let name = canonical(&function.name);
            let args = plain_arguments(&function.args).unwrap_or_default();
            if FIRST_DECIDES.contains(&name.as_str()) {
                return args.first().is_some_and(|arg| is_decimal(arg, scopes));
            }
            let keeps = ANY_DECIDES.contains(&name.as_str()) || OPERATORS.iter().any(|(known, _)| *known == name);
            name == "sumprecision" || keeps && args.iter().any(|arg| is_decimal(arg, scopes))
        }
        _ => false,
    }
}
