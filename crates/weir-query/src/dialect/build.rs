//! Small pieces of syntax trees.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, UnaryOperator, Value,
};

pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

pub(super) fn column(name: &str) -> Expr {
    Expr::Identifier(quoted(name))
}

pub(super) fn object(name: &str) -> ObjectName {
    ObjectName::from(vec![quoted(name)])
}

pub(super) fn text(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).into())
}

pub(super) fn boolean(truth: bool) -> Expr {
    Expr::Value(Value::Boolean(truth).into())
}

/// A number by its text; a sign stands before it.
pub(super) fn number(text: &str) -> Expr {
    match text.strip_prefix('-') {
        Some(rest) => Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number(rest)) })),
        None => Expr::Value(Value::Number(text.to_owned(), false).into()),
    }
}

pub(super) fn long(number_: i64) -> Expr {
    number(&number_.to_string())
}

/// A real number; those that have no digits are cast from their names. Zero has no sign in a table, and comparisons tell
/// -0.0 from 0.0: the one is the other.
pub(super) fn double(value: f64) -> Expr {
    if value == 0.0 {
        number("0.0")
    } else if value.is_finite() {
        number(&format!("{value:?}"))
    } else {
        call(
            "w_double",
            vec![text(if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            })],
        )
    }
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }))
}

pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expr))) }
}

pub(super) fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

pub(super) fn arguments(args: Vec<Expr>) -> FunctionArguments {
    let args = args.into_iter().map(argument).collect();
    FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] })
}

pub(super) fn function(name: &str, args: FunctionArguments) -> Function {
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    }
}

pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, arguments(args)))
}

/// The function that gives 0.0 for -0.0.
const ZERO: &str = "w_zero";

/// A value in which -0.0 is 0.0.
pub(super) fn without_negative_zero(expr: Expr) -> Expr {
    call(ZERO, vec![expr])
}

/// A value before its -0.0 was made 0.0, and whether it was: inside of one computation it does no harm, and a chain of
/// operators is not made twice as deep.
pub(super) fn with_negative_zero(expr: Expr) -> (Expr, bool) {
    match expr {
        Expr::Nested(inner) if matches!(&*inner, Expr::Function(_)) => with_negative_zero(*inner),
        Expr::Function(Function { name, args: FunctionArguments::List(mut list), .. })
            if name.to_string() == ZERO && list.args.len() == 1 =>
        {
            match list.args.pop() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))) => (inner, true),
                _ => unreachable!("the function is called with one expression only"),
            }
        }
        other => (other, false),
    }
}

/// The expression without the parentheses around it.
pub(super) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

/// A function's name as Pinot compares names: lower case, without underscores.
pub(super) fn canonical(name: &ObjectName) -> String {
    name.to_string().to_lowercase().replace(['_', '"', '`'], "")
}

/// The arguments of a call, `None` where one of them is not an expression (`*`).
pub(super) fn plain_arguments(arguments: &FunctionArguments) -> Option<Vec<&Expr>> {
    match arguments {
        FunctionArguments::None => Some(vec![]),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect(),
    }
}
