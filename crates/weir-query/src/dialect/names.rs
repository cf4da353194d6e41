//! Result columns as Pinot names them: `count(*)`, `sum(amount)`, `plus(a,'1')`.

use super::build::{bare, canonical, plain_arguments};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArguments, UnaryOperator, Value,
};

/// How names are printed.
pub(super) struct Names<'a> {
    /// The schema's spelling of a column.
    pub(super) spell: &'a dyn Fn(&str) -> String,
    /// Nulls are nulls: `count(col)` is not `count(*)`.
    pub(super) nulls: bool,
}

/// The operators that print as functions.
fn operator(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Plus => "plus",
        BinaryOperator::Minus => "minus",
        BinaryOperator::Multiply => "times",
        BinaryOperator::Divide => "divide",
        BinaryOperator::Modulo => "mod",
        BinaryOperator::And => "and",
        BinaryOperator::Or => "or",
        BinaryOperator::Eq => "equals",
        BinaryOperator::NotEq => "notequals",
        BinaryOperator::Gt => "greaterthan",
        BinaryOperator::GtEq => "greaterthanorequal",
        BinaryOperator::Lt => "lessthan",
        BinaryOperator::LtEq => "lessthanorequal",
        _ => return None,
    })
}

impl Names<'_> {
    /// The name of a result column without an alias.
    pub(super) fn print(&self, expr: &Expr) -> String {
        let list = |name: &str, args: &[&Expr]| {
            let args: Vec<String> = args.iter().map(|arg| self.print(arg)).collect();
            format!("{name}({})", args.join(","))
        };
        match expr {
            Expr::Identifier(name) => (self.spell)(&name.value),
            Expr::CompoundIdentifier(parts) => {
                let name = parts.last().map_or("", |part| &part.value);
                (self.spell)(name)
            }
            Expr::Nested(inner) => self.print(inner),
            Expr::Value(value) => format!("'{}'", literal(&value.value)),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match bare(expr) {
                Expr::Value(value) => format!("'-{}'", literal(&value.value)),
                other => list("negate", &[other]),
            },
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => list("not", &[expr]),
            Expr::BinaryOp { left, op, right } => match operator(op) {
                Some(name) => list(name, &[left, right]),
                None => expr.to_string(),
            },
            Expr::Function(function) => self.function(function),
            Expr::Cast { expr, data_type, .. } => {
                format!("cast({},'{}')", self.print(expr), data_type.to_string().to_uppercase())
            }
            Expr::Extract { field, expr, .. } => {
                format!("extract('{}',{})", field.to_string().to_uppercase(), self.print(expr))
            }
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let args: Vec<&Expr> =
                    std::iter::once(&**expr).chain(substring_from.as_deref()).chain(substring_for.as_deref()).collect();
                list(if *shorthand { "substr" } else { "substring" }, &args)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args: Vec<&Expr> = vec![&**expr, &**overlay_what, &**overlay_from];
                args.extend(overlay_for.as_deref());
                list("overlay", &args)
            }
            Expr::Trim { trim_where, trim_what: Some(what), expr, .. } => {
                let ends = trim_where.map_or_else(|| "BOTH".to_owned(), |ends| ends.to_string());
                list("trim", &[&super::build::text(&ends), what, expr])
            }
            Expr::Trim { expr, trim_characters, .. } => {
                let args: Vec<&Expr> = std::iter::once(&**expr).chain(trim_characters.iter().flatten()).collect();
                list("trim", &args)
            }
            Expr::Ceil { expr, .. } => list("ceil", &[expr]),
            Expr::Floor { expr, .. } => list("floor", &[expr]),
            Expr::Between { expr, low, high, .. } => list("between", &[expr, low, high]),
            Expr::InList { expr, list: values, negated } => {
                let args: Vec<&Expr> = std::iter::once(&**expr).chain(values).collect();
                list(if *negated { "notin" } else { "in" }, &args)
            }
            Expr::IsNull(inner) => list("isnull", &[inner]),
            Expr::IsNotNull(inner) => list("isnotnull", &[inner]),
            Expr::Like { expr, pattern, .. } => list("like", &[expr, pattern]),
            Expr::Case { operand, conditions, else_result, .. } => {
                let mut args: Vec<&Expr> = operand.as_deref().into_iter().collect();
                for when in conditions {
                    args.extend([&when.condition, &when.result]);
                }
                args.extend(else_result.as_deref());
                list("case", &args)
            }
            other => other.to_string(),
        }
    }

    fn function(&self, function: &Function) -> String {
        let mut name = canonical(&function.name);
        let args = plain_arguments(&function.args);
        let distinct = matches!(
            &function.args,
            FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        );
        if distinct && ["count", "sum", "avg"].contains(&name.as_str()) {
            name = format!("distinct{name}");
        }
        let printed = match args.as_deref() {
            None => format!("{name}(*)"),
            Some(_) if name == "count" && !self.nulls => "count(*)".to_owned(),
            // The percent prints as the number that it is.
            Some([number, percent]) if name.starts_with("percentile") => {
                let percent = percent.to_string();
                let percent = percent.parse::<f64>().map_or(percent.clone(), |percent| format!("{percent:?}"));
                format!("{name}({}, {percent})", self.print(number))
            }
            Some(args) => {
                let unit = |at: usize| at == 0 && takes_unit(&name);
                let print = |(at, arg): (usize, &&Expr)| match arg {
                    Expr::Identifier(word) if unit(at) && word.quote_style.is_none() => format!("'{}'", word.value),
                    other => self.print(other),
                };
                let args: Vec<String> = args.iter().enumerate().map(print).collect();
                format!("{name}({})", args.join(","))
            }
        };
        match &function.filter {
            None => printed,
            Some(filter) => format!("{printed} FILTER(WHERE {})", self.condition(filter)),
        }
    }

    /// A condition in its infix form.
    fn condition(&self, expr: &Expr) -> String {
        match expr {
            Expr::Nested(inner) => self.condition(inner),
            Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
                format!("({} {op} {})", self.condition(left), self.condition(right))
            }
            Expr::BinaryOp { left, op: BinaryOperator::NotEq, right } => {
                format!("{} != {}", self.print(left), self.print(right))
            }
            Expr::BinaryOp { left, op, right } => format!("{} {op} {}", self.print(left), self.print(right)),
            other => self.print(other),
        }
    }
}

/// Functions whose first argument is a unit, which may stand there as a bare word.
pub(super) fn takes_unit(name: &str) -> bool {
    ["datetrunc", "timestampadd", "timestampdiff", "dateadd", "datediff", "extract", "datebin"].contains(&name)
}

fn literal(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// The name of a literal in a query without FROM: its value.
pub(super) fn of_literal(expr: &Expr) -> Option<String> {
    match bare(expr) {
        Expr::Value(value) => Some(literal(&value.value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};

    fn print(sql: &str, nulls: bool) -> String {
        let expr = Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap().parse_expr().unwrap();
        let spell = |name: &str| if name.eq_ignore_ascii_case("col") { "Col".to_owned() } else { name.to_owned() };
        Names { spell: &spell, nulls }.print(&expr)
    }

    #[test]
    fn names_are_pinots() {
        for (sql, name) in [
            ("COUNT(*)", "count(*)"),
            ("count(col)", "count(*)"),
            ("SUM( COL )", "sum(Col)"),
            ("COUNT(DISTINCT col)", "distinctcount(Col)"),
            ("DISTINCT_COUNT_HLL(col)", "distinctcounthll(Col)"),
            ("a + 1", "plus(a,'1')"),
            ("(a - 2.5) * b", "times(minus(a,'2.5'),b)"),
            ("DATE_TRUNC('DAY', ts)", "datetrunc('DAY',ts)"),
            ("percentile95(col)", "percentile95(Col)"),
            ("percentile(col, 95)", "percentile(Col, 95.0)"),
            ("CAST(a AS LONG)", "cast(a,'LONG')"),
            ("COUNT(*) FILTER (WHERE a > 5)", "count(*) FILTER(WHERE a > '5')"),
            ("CASE WHEN a = 1 THEN 'x' ELSE 'y' END", "case(equals(a,'1'),'x','y')"),
            ("-5", "'-5'"),
        ] {
            assert_eq!(print(sql, false), name, "{sql}");
        }
        assert_eq!(print("count(col)", true), "count(Col)");
    }
}
