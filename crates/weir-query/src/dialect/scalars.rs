//! Pinot's scalar functions by DataFusion's and ours, and what can be told of their types.

use super::{
    Outcome,
    build::{argument, binary, call, canonical, double, long, not, plain_arguments, text},
    decimals::large_literal,
    invalid,
    literal::{Literal, literal_of},
    lower::Lower,
    rules::{OPERATORS, PARTS, RULES, Rule, SPECIAL, epoch, rule},
    scope::Kind,
};
use crate::{
    error::{did_you_mean, near},
    functions::{Gives, MvTest, PREFIX, ago, fault_of, gives, kind_on_shelf, plan_name, replacement, type_of},
};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArguments, Visit, Visitor, helpers::attached_token::AttachedToken,
};
use std::ops::ControlFlow;
use weir_types::DataType;

/// Pinot's scalar functions with rules of their own, by which near names are told.
const NAMES: [&str; 28] = [
    "now",
    "ago",
    "dateTrunc",
    "dateTimeConvert",
    "timeConvert",
    "toDateTime",
    "fromDateTime",
    "round",
    "roundDecimal",
    "substr",
    "strpos",
    "concat",
    "regexpLike",
    "regexpExtract",
    "regexpReplace",
    "jsonExtractScalar",
    "jsonPathString",
    "arrayLength",
    "valueIn",
    "toEpochSeconds",
    "toEpochMinutes",
    "toEpochHours",
    "toEpochDays",
    "fromEpochSeconds",
    "fromEpochMinutes",
    "fromEpochHours",
    "fromEpochDays",
    "length",
];

/// The type of a call of a rewritten function, where it can be told; `of` tells the types of its arguments.
pub(super) fn kind_of(name: &str, of: impl Fn(usize) -> Option<Kind>) -> Option<Kind> {
    if let Some(gives) = gives(name) {
        let number = |(data_type, single)| {
            let number = matches!(data_type, DataType::Int | DataType::Long | DataType::Float | DataType::Double);
            if number && single { (data_type, single) } else { (DataType::Double, true) }
        };
        return match gives {
            Gives::One(data_type) => Some((data_type, true)),
            Gives::Many(data_type) => Some((data_type, false)),
            Gives::Same(at) | Gives::Owned(at) => of(at),
            Gives::Number(at) => of(at).map(number),
        };
    }
    if let Some(kind) = kind_on_shelf(name, &of) {
        return Some(kind);
    }
    let data_type = match name {
        "w_decimal_sum" | "w_decimal_avg" => DataType::BigDecimal,
        "w_percentile"
        | "w_mode"
        | "avg"
        | "approx_percentile_cont"
        | "stddev_pop"
        | "stddev_samp"
        | "var_pop"
        | "var_samp" => DataType::Double,
        "count" => DataType::Long,
        "starts_with" | "ends_with" | "contains" | "regexp_like" => DataType::Boolean,
        "lower" | "upper" | "concat" | "reverse" | "replace" | "left" | "right" | "regexp_replace" | "concat_ws"
        | "repeat" => DataType::String,
        "coalesce" | "min" | "max" | "first_value" | "last_value" => return of(0),
        "sum" => return of(0).filter(|kind| *kind == (DataType::Double, true)),
        _ => return None,
    };
    Some((data_type, true))
}

/// Functions of DataFusion in one another that no rule of ours names: planning takes twice the time for each level of some
/// of them (`position`), and nobody sees the deadline meanwhile. This many take some milliseconds.
const MOST_FOREIGN: usize = 8;

/// How many functions that no rule of ours names are in one another, the outermost included.
fn foreign_depth(outermost: &Function) -> usize {
    struct Depth {
        now: usize,
        most: usize,
    }
    fn is_foreign(expr: &Expr) -> bool {
        let Expr::Function(function) = expr else { return false };
        let name = function.name.to_string();
        let ruled = |to: &Rule| matches!(to, Rule::Named(to) | Rule::Real(to) | Rule::Text(to, _) if *to == name);
        !name.starts_with(PREFIX) && !RULES.iter().any(|(_, to)| ruled(to)) && kind_of(&name, |_| None).is_none()
    }
    impl Visitor for Depth {
        type Break = std::convert::Infallible;
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
            self.now += usize::from(is_foreign(expr));
            self.most = self.most.max(self.now);
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
            self.now -= usize::from(is_foreign(expr));
            ControlFlow::Continue(())
        }
    }
    let mut depth = Depth { now: 0, most: 0 };
    let ControlFlow::Continue(()) = outermost.args.visit(&mut depth);
    depth.most + 1
}

/// Functions of DataFusion that keep their rules under the name that they have there, where the shelf has others.
pub(super) const KEPT: [&str; 9] = [
    "array_concat",
    "array_contains",
    "array_distinct",
    "array_indexof",
    "array_remove",
    "array_reverse",
    "array_slice",
    "array_sort",
    "array_union",
];

/// Functions whose second argument is a pattern. It is made ready once: one for each row would take time and memory
/// without bound.
const WITH_PATTERN: [&str; 5] = ["regexpreplace", "regexpextract", "regexpcount", "regexpmatch", "regexpinstr"];

/// Refuses patterns that are none, and those that are no literals where one is needed.
fn check_pattern(name: &str, args: &[Expr]) -> Outcome<()> {
    let needed = WITH_PATTERN.contains(&name);
    match args.get(1).map(literal_of) {
        Some(Some(Literal::Text(pattern))) if needed || name == "regexplike" => match fault_of(&pattern) {
            Some(fault) => invalid(fault),
            None => Ok(()),
        },
        Some(_) if needed => invalid(format!("the pattern of {name} has to be a text literal")),
        _ => Ok(()),
    }
}

/// The function of the shelf that a call means. A name that DataFusion spells with underscores (`array_slice`) means its
/// own, which has other rules.
pub(super) fn on_shelf(function: &Function, count: usize) -> Option<&'static weir_functions::shelf::Function> {
    let name = function.name.to_string();
    let name = name.trim_matches(['"', '`']);
    let found = weir_functions::shelf::function(name)?;
    let own = name.contains('_') && KEPT.contains(&name.to_ascii_lowercase().as_str());
    let plain = function.over.is_none() && function.filter.is_none();
    (plain && !own && (found.least..=found.most).contains(&count)).then_some(found)
}

/// The function of the shelf of a name that takes so many arguments.
fn on_shelf_named(name: &str, count: usize) -> Option<&'static weir_functions::shelf::Function> {
    weir_functions::shelf::function(name).filter(|found| (found.least..=found.most).contains(&count))
}

impl Lower<'_> {
    /// Rewrites a call of a function that is no aggregate.
    pub(super) fn scalar(&mut self, function: Function) -> Outcome<Expr> {
        let name = canonical(&function.name);
        if function.name.to_string().starts_with(PREFIX) {
            return Ok(Expr::Function(function));
        }
        let Some(args) = plain_arguments(&function.args) else {
            return self.as_it_is(function, &name);
        };
        let args: Vec<Expr> = args.into_iter().cloned().collect();
        check_pattern(&name, &args)?;
        if let Some(expr) = self.special(&name, &args)? {
            return Ok(expr);
        }
        let mut function = function;
        let args: Vec<Expr> = args.into_iter().map(large_literal).collect();
        if let FunctionArguments::List(list) = &mut function.args {
            list.args.iter_mut().zip(&args).for_each(|(arg, made)| *arg = argument(made.clone()));
        }
        // The engine below has it of times only.
        if let ("datepart", [part, value]) = (name.as_str(), args.as_slice())
            && matches!(self.kind(value), Some((DataType::Int | DataType::Long | DataType::String, true)))
        {
            return Ok(call("date_part", vec![part.clone(), call("w_timestamp", vec![value.clone()])]));
        }
        match rule(&name) {
            Some(Rule::Named("w_abs"))
                if args.first().and_then(|arg| self.kind(arg)) == Some((DataType::BigDecimal, true)) =>
            {
                Ok(on_shelf(&function, args.len())
                    .map_or(Expr::Function(function), |found| call(&plan_name(found), args)))
            }
            // Literals are compared with all values of a batch at once.
            Some(Rule::Named(_))
                if name.starts_with("arraycontains") && args.get(1).is_some_and(|arg| literal_of(arg).is_none()) =>
            {
                match on_shelf(&function, args.len()) {
                    Some(found) => Ok(call(&plan_name(found), args)),
                    None => {
                        invalid(format!("function {name} takes an array and a value, not {} arguments", args.len()))
                    }
                }
            }
            Some(Rule::Named(to)) => {
                function.name = datafusion::sql::sqlparser::ast::ObjectName::from(vec![to.into()]);
                Ok(Expr::Function(function))
            }
            Some(Rule::Real(to)) => Ok(call(to, args.into_iter().map(|arg| self.as_double(arg)).collect())),
            // The shelf has forms of some that the engine below lacks.
            Some(Rule::Text("repeat", _)) if args.len() != 2 => match on_shelf(&function, args.len()) {
                Some(found) => Ok(call(&plan_name(found), args)),
                None => invalid(format!("function {name} takes 2 to 3 arguments, not {}", args.len())),
            },
            Some(Rule::Text(to, count)) => {
                let args = args.into_iter().enumerate();
                Ok(call(to, args.map(|(at, arg)| if at < count { self.as_text(arg) } else { arg }).collect()))
            }
            None => match on_shelf(&function, args.len()) {
                Some(found) => Ok(call(&plan_name(found), args)),
                None => self.as_it_is(function, &name),
            },
        }
    }

    /// A function that DataFusion knows, by the name that it has there.
    fn as_it_is(&self, mut function: Function, name: &str) -> Outcome<Expr> {
        if name == "stringagg" {
            super::aggregates::refuse_window(&function)?;
        }
        if let Some(found) = self.profile.functions.find(name) {
            if foreign_depth(&function) > MOST_FOREIGN {
                return invalid(format!(
                    "more than {MOST_FOREIGN} functions such as {found} are in one another; compute the inner ones in a sub-query"
                ));
            }
            if super::lower::is_coalesce(found)
                && let Some(args) = plain_arguments(&function.args)
            {
                let args: Vec<Expr> = args.into_iter().cloned().collect();
                return self.coalesce(found, &args);
            }
            function.name = datafusion::sql::sqlparser::ast::ObjectName::from(vec![found.into()]);
            return Ok(Expr::Function(function));
        }
        if let Some(found) = weir_functions::shelf::function(name) {
            let count = plain_arguments(&function.args).map_or(0, |args| args.len());
            return invalid(format!("function {} takes {} arguments, not {count}", found.name(), found.arity()));
        }
        let shelf = weir_functions::shelf::all().flat_map(|function| function.names).copied();
        let ours = NAMES.into_iter().chain(super::aggregates::NAMES).chain(shelf);
        let close = near(name, ours.chain(self.profile.functions.names()));
        if close.iter().any(|known| known.replace('_', "").eq_ignore_ascii_case(&name.replace('_', ""))) {
            return invalid(format!("function '{}' does not take these arguments", function.name));
        }
        // A word of SQL that stands by itself is read as a function.
        if matches!(function.args, datafusion::sql::sqlparser::ast::FunctionArguments::None) {
            return invalid(format!(
                "'{name}' is a word of SQL and no function that is known: a column of that name is written in double quotes, \"{name}\""
            ));
        }
        invalid(format!("function '{}' is not known{}", function.name, did_you_mean(&close)))
    }

    fn special(&mut self, name: &str, args: &[Expr]) -> Outcome<Option<Expr>> {
        let wrong = |expected: &str| invalid(format!("function {name} takes {expected}, not {} arguments", args.len()));
        if let Some((_, op)) = OPERATORS.into_iter().find(|(known, _)| *known == name) {
            let many = matches!(op, BinaryOperator::Plus | BinaryOperator::Multiply);
            let [first, second, rest @ ..] = args else {
                return wrong(if many { "two numbers or more" } else { "two numbers" });
            };
            if !rest.is_empty() && !many {
                return match on_shelf_named(name, args.len()) {
                    Some(found) => Ok(Some(call(&plan_name(found), args.to_vec()))),
                    None => wrong("two numbers"),
                };
            }
            let mut made = self.arithmetic(first.clone(), op.clone(), second.clone())?;
            for arg in rest {
                made = self.arithmetic(made, op.clone(), arg.clone())?;
            }
            return Ok(Some(made));
        }
        if let Some((to, ms, rest)) = epoch(name) {
            if let ("rounded", Some(size)) = (rest, args.get(1)) {
                self.count_copy(size)?;
            }
            return epoch_call(to, ms, rest, args).map(Some);
        }
        if PARTS.contains(&name) {
            let [value, zone @ ..] = args else { return wrong("a time") };
            let mut all = vec![text(name), value.clone()];
            all.extend(zone.iter().cloned());
            return Ok(Some(call("w_date_part", all)));
        }
        if !SPECIAL.contains(&name) {
            return Ok(None);
        }
        Ok(Some(match (name, args) {
            ("coalesce", [_, ..]) => return self.coalesce("coalesce", args).map(Some),
            ("now" | "currenttimestamp", []) => long(self.profile.now_ms),
            ("pi", []) => double(std::f64::consts::PI),
            ("e" | "euler", []) => double(std::f64::consts::E),
            ("ago", [period]) => match literal_of(period).and_then(|period| ago(self.profile.now_ms, &period.text())) {
                Some(ms) => long(ms),
                None => return invalid(format!("ago({period}) is not a time: ago('PT1H') and ago('P7D') are")),
            },
            ("extract", [_, value]) => call("w_date_part", vec![args[0].clone(), value.clone()]),
            ("round", [value, size]) => {
                let bucket = call("w_bucket", vec![value.clone(), size.clone()]);
                if self.profile.multistage { self.multistage_round(value, size, bucket) } else { bucket }
            }
            ("round", [value]) => call("w_round_decimal", vec![value.clone()]),
            ("truncate", [value, digits]) => call("w_truncate", vec![value.clone(), digits.clone()]),
            ("negate", [value]) if self.kind(value) == Some((DataType::BigDecimal, true)) => return Ok(None),
            ("negate", [value]) => binary(double(0.0), BinaryOperator::Minus, self.as_double(value.clone())),
            ("concat", [first, second, separator]) => call(
                "w_join",
                [first, separator, second].into_iter().map(|part| call("w_string", vec![part.clone()])).collect(),
            ),
            ("concat", [one]) => call("w_string", vec![one.clone()]),
            ("concat", parts @ [_, ..]) => {
                call("w_join", parts.iter().map(|part| call("w_string", vec![part.clone()])).collect())
            }
            ("datetimeconvert", [_, _, to, _] | [_, _, to, _, _]) => {
                let to = literal_of(to).map(|to| to.text().to_ascii_uppercase()).unwrap_or_default();
                let is_text = to.contains("SIMPLE_DATE_FORMAT") || to.contains("TIMESTAMP");
                call(if is_text { "w_convert_to_text" } else { "w_convert_to_long" }, args.to_vec())
            }
            ("cast", [value, to]) => match literal_of(to).and_then(|to| type_of(&to.text())) {
                Some(data_type) => self.cast(value.clone(), data_type),
                None => return invalid(format!("{to} is not a type: 'LONG', 'STRING', .. are")),
            },
            ("jsonextractscalar", [json, path, wanted, default @ ..]) if default.len() < 2 => {
                return json_call(json, path, wanted, default.first()).map(Some);
            }
            ("regexplike", [value, pattern, flags @ ..]) => self.regexp_like(value, pattern, flags),
            ("regexpreplace", [value, pattern, by]) => match replaced(value, pattern, by)? {
                Some(replaced) => replaced,
                None => return Ok(None),
            },
            ("isnull", [value]) => Expr::IsNull(Box::new(value.clone())),
            ("isnotnull", [value]) => Expr::IsNotNull(Box::new(value.clone())),
            ("not", [value]) => not(value.clone()),
            ("and" | "or", [one]) => self.cast(one.clone(), DataType::Boolean),
            ("and" | "or", [first, rest @ ..]) => {
                let op = if name == "and" { BinaryOperator::And } else { BinaryOperator::Or };
                rest.iter().fold(first.clone(), |all, one| binary(all, op.clone(), one.clone()))
            }
            ("nullif", [value, other]) => return self.null_if(value, other),
            ("least" | "greatest", [_, _, ..]) => {
                let (args, of) = self.of_one_type(name, args)?;
                let least = match of {
                    Some(DataType::BigDecimal) if name == "least" => call("w_decimal_least", args.clone()),
                    Some(DataType::BigDecimal) => call("w_decimal_greatest", args.clone()),
                    _ => call(name, args.clone()),
                };
                let found: Vec<Expr> = args.into_iter().filter(|arg| literal_of(arg).is_none()).collect();
                // Null where one argument is; the engine below leaves nulls out.
                if (self.profile.nulls || self.profile.multistage) && !found.is_empty() {
                    found.iter().try_for_each(|arg| self.count_copy(arg))?;
                    call("w_if_all", std::iter::once(least).chain(found).collect())
                } else {
                    least
                }
            }
            ("arraytomv", [value]) => value.clone(),
            ("case" | "casewhen", args) if args.len() >= 2 => case(args),
            // POSITION(part IN text): from 1, and 0 where it is not.
            ("positionin", [part, within]) => call("strpos", vec![within.clone(), part.clone()]),
            _ => return Ok(None),
        }))
    }

    /// A value as text in Pinot's words, unless it is one.
    fn as_text(&self, arg: Expr) -> Expr {
        let is_text = matches!(literal_of(&arg), Some(Literal::Text(_)))
            || matches!(self.kind(&arg), Some((DataType::String | DataType::Json, true)));
        if is_text { arg } else { call("w_string", vec![arg]) }
    }

    /// ROUND of the multi-stage engine: buckets of whole numbers and times, digits of real ones.
    fn multistage_round(&self, value: &Expr, digits: &Expr, bucket: Expr) -> Expr {
        match self.kind(value) {
            Some((DataType::Double | DataType::Float | DataType::BigDecimal, true)) => {
                call("w_round_decimal", vec![value.clone(), digits.clone()])
            }
            _ => bucket,
        }
    }

    fn regexp_like(&self, value: &Expr, pattern: &Expr, flags: &[Expr]) -> Expr {
        let mut args = vec![value.clone(), pattern.clone()];
        // 'c' is how it is matched anyway.
        args.extend(flags.iter().filter(|flags| literal_of(flags) != Some(Literal::Text("c".to_owned()))).cloned());
        match self.kind(value) {
            Some((_, false)) => call(MvTest::RegexpLike.name(), args),
            _ if literal_of(pattern).is_none() => call("w_regexp_like", args),
            Some((DataType::String | DataType::Json, true)) => call("regexp_like", args),
            _ => {
                args[0] = call("w_string", vec![value.clone()]);
                call("regexp_like", args)
            }
        }
    }
}

/// `regexpReplace` of three arguments by the engine below, where what replaces can be written as it reads it: it takes a
/// backslash before a number for a group.
fn replaced(value: &Expr, pattern: &Expr, by: &Expr) -> Outcome<Option<Expr>> {
    let (Some(read), Some(with)) = (literal_of(pattern), literal_of(by)) else { return Ok(None) };
    match replacement(&read.text(), &with.text()) {
        Ok(with) if with.contains('\\') => Ok(None),
        Ok(with) => {
            let value = call("w_string", vec![value.clone()]);
            Ok(Some(call("regexp_replace", vec![value, pattern.clone(), text(&with), text("g")])))
        }
        Err(fault) => invalid(format!("regexpReplace: {fault}")),
    }
}

fn epoch_call(to: bool, ms: i64, rest: &str, args: &[Expr]) -> Outcome<Expr> {
    let size = match (rest, args) {
        ("", [_]) => long(1),
        ("bucket" | "rounded", [_, size]) => size.clone(),
        _ => {
            let expected = if rest.is_empty() { "a time" } else { "a time and a size" };
            return invalid(format!("toEpoch and fromEpoch functions take {expected}, not {} arguments", args.len()));
        }
    };
    if !to {
        let time = call("w_long", vec![args[0].clone()]);
        let ms = binary(long(ms), BinaryOperator::Multiply, call("w_long", vec![size]));
        return Ok(binary(time, BinaryOperator::Multiply, ms));
    }
    let count = call("w_to_epoch", vec![args[0].clone(), long(ms), size.clone()]);
    Ok(if rest == "rounded" { binary(count, BinaryOperator::Multiply, call("w_long", vec![size])) } else { count })
}

fn json_call(json: &Expr, path: &Expr, wanted: &Expr, default: Option<&Expr>) -> Outcome<Expr> {
    let wanted = literal_of(wanted).map(|wanted| wanted.text().to_ascii_uppercase()).unwrap_or_default();
    let args: Vec<Expr> = [json, path].into_iter().chain(default).cloned().collect();
    Ok(match wanted.as_str() {
        "INT" => call("w_int", vec![call("w_json_long", args)]),
        "LONG" => call("w_json_long", args),
        "FLOAT" => call("w_float", vec![call("w_json_double", args)]),
        "DOUBLE" => call("w_json_double", args),
        "BOOLEAN" => call("w_boolean", vec![call("w_json_text", args)]),
        "TIMESTAMP" => call("w_timestamp", vec![call("w_json_text", args)]),
        "BIG_DECIMAL" => call("w_bigdecimal", vec![call("w_json_text", args)]),
        "STRING" | "JSON" => call("w_json_text", args),
        "INT_ARRAY" | "LONG_ARRAY" => call("w_json_longs", args),
        "FLOAT_ARRAY" | "DOUBLE_ARRAY" => call("w_json_doubles", args),
        "STRING_ARRAY" => call("w_json_texts", args),
        other => {
            return invalid(format!(
                "'{other}' in jsonExtractScalar is not a type: 'LONG', 'STRING', 'STRING_ARRAY', .. are"
            ));
        }
    })
}

/// `case(condition, value, .., else)`.
fn case(args: &[Expr]) -> Expr {
    let pairs = args.chunks_exact(2);
    let otherwise = pairs.remainder().first().cloned();
    let conditions = pairs.map(|pair| CaseWhen { condition: pair[0].clone(), result: pair[1].clone() }).collect();
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions,
        else_result: otherwise.map(Box::new),
    }
}
