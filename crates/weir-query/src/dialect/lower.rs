//! The walk over a query's tree: names of tables and columns are resolved level by level, expressions are rewritten from
//! the leaves up.

use super::{
    Outcome, Profile, Tables,
    build::{
        bare, binary, call, column, double, function, long, not, plain_arguments, quoted, text, with_negative_zero,
        without_negative_zero,
    },
    decimals::{Choice, is_large, large_literal, written},
    invalid,
    literal::{Literal, literal_of},
    nothing,
    scope::{Col, Kind, Meaning, Scope, is_decimal, resolve},
};
use crate::{
    answer::QueryException,
    comparison::Comparison,
    functions::{MvTest, cast_to, plan_name, type_of},
};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Query, TrimWhereField, UnaryOperator, Value, Visit, Visitor, VisitorMut,
};
use std::ops::ControlFlow;
use weir_types::DataType;

/// The walk.
pub(super) struct Lower<'a> {
    pub(super) profile: &'a Profile<'a>,
    pub(super) tables: &'a mut dyn Tables,
    pub(super) scopes: Vec<Scope>,
    /// Common tables seen so far, innermost last.
    pub(super) ctes: Vec<(String, Vec<Col>)>,
    /// Nodes of expressions that were written twice where the query has them once.
    copied: usize,
}

/// The name in plans of the function behind `OVERLAY(text PLACING part FROM 1 FOR 2)`.
const OVERLAY: &str = "w_f_overlay";

/// Copies in a query, in nodes of its tree: a copy of what has copies in it doubles them, so nesting would do without end.
const MOST_COPIED: usize = 10_000;

impl<'a> Lower<'a> {
    pub(super) fn new(profile: &'a Profile<'a>, tables: &'a mut dyn Tables) -> Self {
        Self { profile, tables, scopes: vec![], ctes: vec![], copied: 0 }
    }

    /// The type of a rewritten expression, where it can be told.
    pub(super) fn kind(&self, expr: &Expr) -> Option<Kind> {
        match bare(expr) {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.plain_column(expr).ok()??.kind,
            Expr::Function(function) => super::scalars::kind_of(&function.name.to_string(), |at| {
                self.kind(plain_arguments(&function.args)?.get(at)?)
            }),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => self.kind(expr),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Modulo
                | BinaryOperator::Divide => {
                    let real = |kind: Kind| matches!(kind.0, DataType::Double | DataType::Float | DataType::BigDecimal);
                    let either = real(self.kind(left)?) || real(self.kind(right)?);
                    let data_type = if either || !self.profile.multistage { DataType::Double } else { DataType::Long };
                    Some((data_type, true))
                }
                _ => Some((DataType::Boolean, true)),
            },
            Expr::Case { conditions, else_result, .. } => {
                let results = conditions.iter().map(|when| &when.result).chain(else_result.as_deref());
                self.kind_of_all(results)
            }
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) => Some((number_kind(text), true)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The type of a literal, of a CASE, and of what is computed of a BIG_DECIMAL, before it is rewritten.
    pub(super) fn chosen_kind(&self, expr: &Expr) -> Option<Kind> {
        match bare(expr) {
            Expr::Case { .. } | Expr::Value(_) => self.kind_of_all(std::iter::once(expr)),
            _ => is_decimal(expr, &self.scopes).then_some((DataType::BigDecimal, true)),
        }
    }

    /// The type of what is one of several expressions, where it can be told; nulls are of any.
    fn kind_of_all<'e>(&self, all: impl Iterator<Item = &'e Expr>) -> Option<Kind> {
        let choices = self.choices(all);
        if let Some(number) = self.number_among(&choices) {
            return Some((number, true));
        }
        let mut found: Option<Kind> = None;
        for choice in choices {
            let kind = match choice {
                Choice::Literal(Literal::Text(_)) => (DataType::String, true),
                Choice::Literal(Literal::Boolean(_)) => (DataType::Boolean, true),
                Choice::Literal(Literal::Number(text)) => (number_kind(&text), true),
                Choice::Null => continue,
                Choice::Of(kind) => kind?,
            };
            let common = match found {
                None => kind,
                Some(known) if known == kind => kind,
                Some((known, true)) if kind.1 => (wider(known, kind.0)?, true),
                Some(_) => return None,
            };
            found = Some(common);
        }
        found
    }

    fn lower(&mut self, expr: Expr) -> Outcome<Expr> {
        match expr {
            Expr::Identifier(name) => self.name(None, name),
            Expr::CompoundIdentifier(names) => self.path(names),
            Expr::Nested(inner) if literal_of(&inner).is_some() || matches!(*inner, Expr::Nested(_)) => Ok(*inner),
            Expr::BinaryOp { left, op, right } => self.binary(*left, op, *right),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Ok(self.negative(*expr)),
            Expr::Between { expr, negated, low, high } => self.between(*expr, negated, *low, *high),
            Expr::InList { expr, list, negated } => self.in_list(*expr, list, negated),
            Expr::IsNull(inner) => Ok(self.null_test(*inner, true)),
            Expr::IsNotNull(inner) => Ok(self.null_test(*inner, false)),
            Expr::Like { negated, expr, pattern, any: false, escape_char }
            | Expr::ILike { negated, expr, pattern, any: false, escape_char } => {
                if self.kind(&expr).is_some_and(|kind| !kind.1) {
                    let passes = call(MvTest::Like.name(), vec![*expr, *pattern]);
                    return Ok(if negated { not(passes) } else { passes });
                }
                Ok(Expr::ILike { negated, any: false, expr, pattern, escape_char })
            }
            Expr::Cast { kind, expr, data_type, .. } => {
                let name = data_type.to_string();
                let bare_name = name.split('(').next().unwrap_or_default().trim();
                match type_of(bare_name) {
                    Some(data_type) if matches!(kind, CastKind::TryCast | CastKind::SafeCast) => {
                        self.try_cast(*expr, data_type)
                    }
                    Some(data_type) => Ok(self.cast(*expr, data_type)),
                    None => invalid(format!("'{name}' is not a type: INT, LONG, DOUBLE, STRING, TIMESTAMP, .. are")),
                }
            }
            Expr::TypedString(typed) if typed.data_type.to_string().to_uppercase().starts_with("TIMESTAMP") => {
                Ok(call("w_timestamp", vec![Expr::Value(typed.value)]))
            }
            Expr::Extract { field, expr, .. } => Ok(call("w_date_part", vec![text(&field.to_string()), *expr])),
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let name = if shorthand { "w_substr" } else { "w_substring" };
                let args = std::iter::once(*expr).chain(substring_from.map(|e| *e)).chain(substring_for.map(|e| *e));
                Ok(call(name, args.collect()))
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let args = [expr, overlay_what, overlay_from].into_iter().chain(overlay_for);
                Ok(call(OVERLAY, args.map(|arg| *arg).collect()))
            }
            Expr::Trim { trim_where: None, trim_what: None, expr, trim_characters: None } => {
                Ok(call("w_trim", vec![*expr]))
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                trimmed(trim_where, trim_what, *expr, trim_characters)
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(_) } => Ok(call("w_ceil", vec![*expr])),
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(_) } => Ok(call("w_floor", vec![*expr])),
            Expr::Function(function) => self.function(function),
            Expr::Case { case_token, end_token, operand, mut conditions, else_result } => {
                for when in &mut conditions {
                    if let Some(operand) = &operand {
                        when.condition = self.beside(operand, std::mem::replace(&mut when.condition, nothing()))?;
                    }
                    let result = std::mem::replace(&mut when.result, nothing());
                    when.result = super::single::typed(result);
                }
                let else_result = else_result.map(|otherwise| Box::new(super::single::typed(*otherwise)));
                let mut else_result = else_result;
                let operand = operand.map(|operand| Box::new(self.comparable(*operand)));
                let results = conditions.iter_mut().map(|when| &mut when.result).chain(else_result.as_deref_mut());
                let number = self.case_numbers(results);
                let case = Expr::Case { case_token, end_token, operand, conditions, else_result };
                Ok(if number == Some(DataType::BigDecimal) {
                    call(cast_to(DataType::BigDecimal), vec![case])
                } else {
                    case
                })
            }
            other => Ok(other),
        }
    }

    pub(super) fn name(&self, qualifier: Option<&str>, name: Ident) -> Outcome<Expr> {
        if let Some(cut) = self.granular(qualifier, &name.value) {
            return Ok(cut);
        }
        Ok(match resolve(&self.scopes, qualifier, &name.value)? {
            Meaning::Column { qualifier: None, column: found, .. } => column(&found.name),
            Meaning::Column { qualifier: Some(qualifier), column, .. } => {
                Expr::CompoundIdentifier(vec![quoted(&qualifier), quoted(&column.name)])
            }
            Meaning::Alias(alias) => column(&alias),
            Meaning::Open => match qualifier {
                None => column(&name.value),
                Some(qualifier) => Expr::CompoundIdentifier(vec![quoted(qualifier), quoted(&name.value)]),
            },
        })
    }

    /// `table.column`, or the path of a flattened column.
    fn path(&self, names: Vec<Ident>) -> Outcome<Expr> {
        let path = names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(".");
        if let Ok(Meaning::Column { column: found, .. }) = resolve(&self.scopes, None, &path) {
            return Ok(column(&found.name));
        }
        let mut names = names;
        let Some(last) = names.pop() else { return Ok(nothing()) };
        let qualifier = names.pop().map(|name| name.value);
        self.name(qualifier.as_deref(), last)
    }

    fn binary(&mut self, left: Expr, op: BinaryOperator, right: Expr) -> Outcome<Expr> {
        if let Some(op) = Comparison::of_sql(&op) {
            return self.comparison(left, op, right);
        }
        let one_value = |expr| self.kind(expr).is_none_or(|kind| kind.1) && !makes_array(expr);
        if op == BinaryOperator::StringConcat && one_value(&left) && one_value(&right) {
            return Ok(joined(left, right));
        }
        let arithmetic = matches!(
            op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo
        );
        if arithmetic {
            self.arithmetic(left, op, right)
        } else {
            Ok(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) })
        }
    }

    /// Arithmetic is on real numbers in the single-stage engine; the multi-stage engine keeps whole ones, and takes times
    /// as their milliseconds.
    pub(super) fn arithmetic(&mut self, left: Expr, op: BinaryOperator, right: Expr) -> Outcome<Expr> {
        if let Some(exact) = self.exact(&left, &op, &right) {
            return Ok(exact);
        }
        if self.profile.multistage {
            return Ok(self.whole_arithmetic(left, op, right));
        }
        let number = |expr: &Expr| match literal_of(expr)? {
            literal @ Literal::Number(_) => literal.number(),
            _ => None,
        };
        if let (Some(left), Some(right)) = (number(&left), number(&right)) {
            return Ok(double(match op {
                BinaryOperator::Plus => left + right,
                BinaryOperator::Minus => left - right,
                BinaryOperator::Multiply => left * right,
                BinaryOperator::Divide => left / right,
                _ => left % right,
            }));
        }
        let side = |lower: &Self, expr: Expr| match number(&expr) {
            Some(number) => double(number),
            None => lower.as_double(expr),
        };
        Ok(Self::computed(side(self, left), op, side(self, right)))
    }

    /// Arithmetic with a BIG_DECIMAL is exact; but with a real number it is real in the multi-stage engine.
    fn exact(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
        let is = |expr: &Expr, data_type| self.kind(expr) == Some((data_type, true)) && literal_of(expr).is_none();
        // A literal beyond LONG is one in the multi-stage engine; the other computes with real numbers.
        let large = |expr: &Expr| {
            self.profile.multistage && matches!(literal_of(expr), Some(Literal::Number(text)) if is_large(&text))
        };
        let decimal = |expr: &Expr| is(expr, DataType::BigDecimal) || large(expr);
        let real = |expr: &Expr| is(expr, DataType::Double) || is(expr, DataType::Float);
        if !decimal(left) && !decimal(right) || self.profile.multistage && (real(left) || real(right)) {
            return None;
        }
        let name = super::rules::OPERATORS.iter().find(|(_, known)| known == op)?.0;
        // A literal has the digits that are written.
        let side = |expr: &Expr| match literal_of(expr) {
            Some(literal) => written(&literal.text()),
            None => expr.clone(),
        };
        Some(call(&plan_name(weir_functions::shelf::function(name)?), vec![side(left), side(right)]))
    }

    fn negative(&self, expr: Expr) -> Expr {
        if let (Some((DataType::BigDecimal, true)), None, Some(negate)) =
            (self.kind(&expr), literal_of(&expr), weir_functions::shelf::function("negate"))
        {
            return call(&plan_name(negate), vec![expr]);
        }
        let minus = |expr| Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(expr) };
        match literal_of(&expr) {
            Some(Literal::Number(text)) if text.parse() == Ok(0.0) => expr,
            Some(Literal::Number(_)) => minus(expr),
            _ if !self.profile.multistage => call("w_negate", vec![self.as_double(expr)]),
            _ => match self.kind(&expr) {
                Some((DataType::Int | DataType::Long | DataType::Float | DataType::Double, true)) => {
                    call("w_negate", vec![expr])
                }
                _ => without_negative_zero(minus(with_negative_zero(expr).0)),
            },
        }
    }

    /// `left op right`, in which -0.0 is 0.0. Sums have none of their own.
    fn computed(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
        let ((left, one), (right, other)) = (with_negative_zero(left), with_negative_zero(right));
        let own = !matches!(op, BinaryOperator::Plus | BinaryOperator::Minus);
        let computed = binary(left, op, right);
        if own || one || other { without_negative_zero(computed) } else { computed }
    }

    fn whole_arithmetic(&self, left: Expr, op: BinaryOperator, right: Expr) -> Expr {
        let whole = |expr: &Expr| match literal_of(expr) {
            Some(Literal::Number(text)) => text.parse::<i64>().ok(),
            _ => None,
        };
        if let (Some(left), Some(right)) = (whole(&left), whole(&right)) {
            let folded = match op {
                BinaryOperator::Plus => left.checked_add(right),
                BinaryOperator::Minus => left.checked_sub(right),
                BinaryOperator::Multiply => left.checked_mul(right),
                _ => None,
            };
            if let Some(folded) = folded {
                return long(folded);
            }
        }
        let side = |expr: Expr| match self.kind(&expr) {
            Some((DataType::Timestamp, true)) => call("w_long", vec![expr]),
            Some((DataType::BigDecimal, true)) => call("w_double", vec![expr]),
            _ => super::single::typed(expr),
        };
        Self::computed(side(left), op, side(right))
    }

    /// An expression as a real number.
    pub(super) fn as_double(&self, expr: Expr) -> Expr {
        if self.kind(&expr) == Some((DataType::Double, true)) { expr } else { call("w_double", vec![expr]) }
    }

    /// A cast. Of a BIG_DECIMAL the number counts, not its text.
    pub(super) fn cast(&self, expr: Expr, to: DataType) -> Expr {
        let expr = large_literal(expr);
        let decimal = self.kind(&expr) == Some((DataType::BigDecimal, true));
        let expr = match to {
            DataType::Int | DataType::Timestamp if decimal => call(cast_to(DataType::Long), vec![expr]),
            DataType::Boolean if decimal => call(cast_to(DataType::Double), vec![expr]),
            _ => expr,
        };
        call(cast_to(to), vec![expr])
    }

    /// A cast that gives null where there is no such value.
    fn try_cast(&self, expr: Expr, to: DataType) -> Outcome<Expr> {
        match (crate::functions::try_cast_to(to), self.cast(expr, to)) {
            (Some(name), Expr::Function(cast)) => {
                Ok(call(name, plain_arguments(&cast.args).into_iter().flatten().cloned().collect()))
            }
            (None, _) if to == DataType::Uuid => {
                invalid("TRY_CAST to UUID is not known: CAST(.. AS UUID) is, and fails where a text is none")
            }
            (_, cast) => Ok(cast),
        }
    }

    /// Counts an expression that is to be written once more.
    pub(super) fn count_copy(&mut self, expr: &Expr) -> Outcome<()> {
        struct Count<'a>(&'a mut usize);
        impl Visitor for Count<'_> {
            type Break = ();
            fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
                *self.0 += 1;
                if *self.0 > MOST_COPIED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        }
        if expr.visit(&mut Count(&mut self.copied)).is_break() {
            return invalid(format!(
                "the BETWEENs, LEASTs, GREATESTs and rounded times of the query have more than {MOST_COPIED} operators in them; \
                 compute them in a sub-query"
            ));
        }
        Ok(())
    }

    /// A call of COALESCE or its kin; one directly in another is one.
    pub(super) fn coalesce(&self, name: &str, args: &[Expr]) -> Outcome<Expr> {
        let (args, of) = self.of_one_type(name, args)?;
        let mut all = vec![];
        for arg in &args {
            match bare(arg) {
                Expr::Function(inner) if inner.name.to_string() == "coalesce" && name == "coalesce" => {
                    all.extend(plain_arguments(&inner.args).into_iter().flatten().cloned());
                }
                _ => all.push(arg.clone()),
            }
        }
        let call = call(name, all);
        if written_out(&call) > MOST_COPIED {
            return invalid(format!(
                "{name}(..) in one another have more than {MOST_COPIED} operators once they are written as CASE; compute the \
                 inner ones in a sub-query"
            ));
        }
        Ok(if of == Some(DataType::BigDecimal) {
            super::build::call(cast_to(DataType::BigDecimal), vec![call])
        } else {
            call
        })
    }

    fn function(&mut self, mut function: Function) -> Outcome<Expr> {
        self.order_within(&mut function);
        if let Some(expr) = self.aggregate(&function)? {
            return Ok(expr);
        }
        self.scalar(function)
    }
}

/// The type of a literal that is a number.
fn number_kind(text: &str) -> DataType {
    if text.contains(['.', 'e', 'E']) {
        DataType::Double
    } else if is_large(text) {
        DataType::BigDecimal
    } else {
        DataType::Long
    }
}

/// The type of numbers of two types.
fn wider(one: DataType, other: DataType) -> Option<DataType> {
    use DataType::{Double, Float, Int, Long};
    match (one, other) {
        (Int, Long) | (Long, Int) => Some(Long),
        (Int | Long | Float | Double, Double) | (Double, Int | Long | Float) => Some(Double),
        _ => None,
    }
}

/// `TRIM(BOTH 'x' FROM text)` and `trim('BOTH', 'x', text)`, which the parser reads as a text and letters to trim.
fn trimmed(
    ends: Option<TrimWhereField>,
    what: Option<Box<Expr>>,
    value: Expr,
    rest: Option<Vec<Expr>>,
) -> Outcome<Expr> {
    match (ends, what, rest) {
        (None, None, Some(rest)) if rest.len() == 2 => Ok(call("w_trim", std::iter::once(value).chain(rest).collect())),
        (ends, what, None) => {
            let ends = ends.map_or_else(|| "BOTH".to_owned(), |ends| ends.to_string());
            let what = what.map_or_else(|| text(" "), |what| *what);
            Ok(call("w_trim", vec![text(&ends), what, value]))
        }
        (_, _, rest) => {
            let count = 1 + rest.map_or(0, |rest| rest.len());
            invalid(format!("function trim takes 1 or 3 arguments, not {count}: trim(text), trim('BOTH', 'x', text)"))
        }
    }
}

/// `left || right`; a chain of them is one call, as planning takes the cube of what is nested.
fn joined(left: Expr, right: Expr) -> Expr {
    match left {
        Expr::Function(Function { name, args: FunctionArguments::List(mut list), .. })
            if name.to_string() == "w_join" =>
        {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(right)));
            Expr::Function(function("w_join", FunctionArguments::List(list)))
        }
        left => call("w_join", vec![left, right]),
    }
}

/// How many nodes an expression has once COALESCE and its kin are written as CASE: each of their values but the last
/// twice.
fn written_out(expr: &Expr) -> usize {
    #[derive(Default)]
    struct Sizes(Vec<usize>);
    impl Visitor for Sizes {
        type Break = std::convert::Infallible;
        fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<Self::Break> {
            self.0.push(1);
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
            let size = self.0.pop().unwrap_or_default();
            let twice = matches!(expr, Expr::Function(function) if is_coalesce(&function.name.to_string()));
            let size = if twice { size.saturating_mul(2) } else { size };
            match self.0.last_mut() {
                Some(outer) => *outer = outer.saturating_add(size),
                None => self.0.push(size),
            }
            ControlFlow::Continue(())
        }
    }
    let mut sizes = Sizes::default();
    let ControlFlow::Continue(()) = expr.visit(&mut sizes);
    sizes.0.pop().unwrap_or_default()
}

/// Whether a function becomes a CASE that has its values twice.
pub(super) fn is_coalesce(name: &str) -> bool {
    ["coalesce", "nvl", "ifnull"].contains(&name)
}

/// Whether an expression lists the values of an array.
fn makes_array(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Array(_) => true,
        Expr::Function(function) => function.name.to_string() == "make_array",
        _ => false,
    }
}

impl VisitorMut for Lower<'_> {
    type Break = Box<QueryException>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        match self.enter(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(exception) => ControlFlow::Break(Box::new(exception)),
        }
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.leave(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Function(function) = expr
            && super::names::takes_unit(&super::build::canonical(&function.name))
            && let FunctionArguments::List(list) = &mut function.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(unit))) = list.args.first_mut()
            && let Expr::Identifier(name) = unit
            && name.quote_style.is_none()
        {
            *unit = text(&name.value);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let taken = std::mem::replace(expr, nothing());
        match self.lower(taken) {
            Ok(lowered) => {
                *expr = lowered;
                ControlFlow::Continue(())
            }
            Err(exception) => ControlFlow::Break(Box::new(exception)),
        }
    }
}
