//! Pinot's scalar functions by DataFusion's and ours, and what can be told of their types.

use super::{
    Outcome,
    build::{binary, call, canonical, double, long, not, plain_arguments, text},
    invalid,
    literal::{Literal, literal_of},
    lower::Lower,
    rules::{OPERATORS, PARTS, Rule, SPECIAL, epoch, rule},
    scope::Kind,
};
use crate::{
    error::{did_you_mean, near},
    functions::{MvTest, PREFIX, ago, cast_to, type_of},
};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, helpers::attached_token::AttachedToken,
};
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

/// The type of a call of a rewritten function, where it can be told; `first` is its first argument's.
pub(super) fn kind_of(name: &str, first: impl FnOnce() -> Option<Kind>) -> Option<Kind> {
    let data_type = match name {
        "w_double"
        | "w_round_decimal"
        | "w_sign"
        | "w_hypot"
        | "w_json_double"
        | "w_percentile"
        | "w_mode"
        | "w_array_sum"
        | "w_array_min"
        | "w_array_max"
        | "w_array_avg"
        | "avg"
        | "ceil"
        | "floor"
        | "exp"
        | "ln"
        | "log2"
        | "log10"
        | "sqrt"
        | "cbrt"
        | "power"
        | "trunc"
        | "approx_percentile_cont"
        | "stddev_pop"
        | "stddev_samp"
        | "var_pop"
        | "var_samp" => DataType::Double,
        "w_long" | "w_date_trunc" | "w_time_convert" | "w_convert_to_long" | "w_from_date_time" | "w_bucket"
        | "w_to_epoch" | "w_timestamp_add" | "w_timestamp_diff" | "w_from_iso8601" | "w_json_long" | "w_int_div"
        | "count" => DataType::Long,
        "w_int" | "w_date_part" | "w_length" | "w_strpos" | "w_strrpos" | "w_array_length" => DataType::Int,
        "w_float" => DataType::Float,
        "w_boolean" | "starts_with" | "ends_with" | "contains" | "regexp_like" | "w_json_exists" | "w_is_json" => {
            DataType::Boolean
        }
        "w_timestamp" => DataType::Timestamp,
        "w_string" | "w_join" | "w_substr" | "w_lpad" | "w_rpad" | "w_trim" | "w_ltrim" | "w_rtrim" | "w_initcap"
        | "w_split_part" | "w_json_text" | "w_to_date_time" | "w_convert_to_text" | "w_to_iso8601" | "lower"
        | "upper" | "concat" | "substring" | "reverse" | "replace" | "left" | "right" | "regexp_replace" | "md5"
        | "concat_ws" | "repeat" => DataType::String,
        "w_json" => DataType::Json,
        "w_bigdecimal" => DataType::BigDecimal,
        "w_bytes" => DataType::Bytes,
        "coalesce" | "min" | "max" | "first_value" | "last_value" | "abs" | "w_value_in" | "w_array_distinct" => {
            return first();
        }
        "sum" => return first().filter(|kind| *kind == (DataType::Double, true)),
        name if name.starts_with("w_mv_") => DataType::Boolean,
        _ => return None,
    };
    Some((data_type, true))
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
        if let Some(expr) = self.special(&name, &args)? {
            return Ok(expr);
        }
        let mut function = function;
        match rule(&name) {
            Some(Rule::Named(to)) => {
                function.name = datafusion::sql::sqlparser::ast::ObjectName::from(vec![to.into()]);
                Ok(Expr::Function(function))
            }
            Some(Rule::Real(to)) => Ok(call(to, args.into_iter().map(|arg| self.as_double(arg)).collect())),
            None => self.as_it_is(function, &name),
        }
    }

    /// A function that DataFusion knows, by the name that it has there.
    fn as_it_is(&self, mut function: Function, name: &str) -> Outcome<Expr> {
        if let Some(found) = self.profile.functions.find(name) {
            function.name = datafusion::sql::sqlparser::ast::ObjectName::from(vec![found.into()]);
            return Ok(Expr::Function(function));
        }
        let ours = NAMES.into_iter().chain(super::aggregates::NAMES);
        let close = near(name, ours.chain(self.profile.functions.names()));
        invalid(format!("function '{}' is not known{}", function.name, did_you_mean(&close)))
    }

    fn special(&mut self, name: &str, args: &[Expr]) -> Outcome<Option<Expr>> {
        let wrong = |expected: &str| invalid(format!("function {name} takes {expected}, not {} arguments", args.len()));
        if let Some((_, op)) = OPERATORS.into_iter().find(|(known, _)| *known == name) {
            let [left, right] = args else { return wrong("two numbers") };
            return self.arithmetic(left.clone(), op, right.clone()).map(Some);
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
            ("truncate", [value, digits]) => {
                call("trunc", vec![self.as_double(value.clone()), call("w_long", vec![digits.clone()])])
            }
            ("negate", [value]) => binary(double(0.0), BinaryOperator::Minus, self.as_double(value.clone())),
            ("concat", [first, second, separator]) => call(
                "concat_ws",
                vec![separator.clone(), call("w_string", vec![first.clone()]), call("w_string", vec![second.clone()])],
            ),
            ("concat", parts) => {
                call("concat", parts.iter().map(|part| call("w_string", vec![part.clone()])).collect())
            }
            ("datetimeconvert", [_, _, to, _] | [_, _, to, _, _]) => {
                let to = literal_of(to).map(|to| to.text()).unwrap_or_default();
                let is_text = to.to_ascii_uppercase().contains("SIMPLE_DATE_FORMAT");
                call(if is_text { "w_convert_to_text" } else { "w_convert_to_long" }, args.to_vec())
            }
            ("cast", [value, to]) => match literal_of(to).and_then(|to| type_of(&to.text())) {
                Some(data_type) => call(cast_to(data_type), vec![value.clone()]),
                None => return invalid(format!("{to} is not a type: 'LONG', 'STRING', .. are")),
            },
            ("jsonextractscalar", [json, path, wanted, default @ ..]) if default.len() < 2 => {
                return json_call(json, path, wanted, default.first()).map(Some);
            }
            ("regexplike", [value, pattern, flags @ ..]) => self.regexp_like(value, pattern, flags),
            ("regexpreplace", [value, pattern, by]) => call(
                "regexp_replace",
                vec![call("w_string", vec![value.clone()]), pattern.clone(), by.clone(), text("g")],
            ),
            ("regexpextract", [value, pattern, rest @ ..]) => return regexp_extract(value, pattern, rest).map(Some),
            ("isnull", [value]) => Expr::IsNull(Box::new(value.clone())),
            ("isnotnull", [value]) => Expr::IsNotNull(Box::new(value.clone())),
            ("not", [value]) => not(value.clone()),
            ("and" | "or", [first, rest @ ..]) => {
                let op = if name == "and" { BinaryOperator::And } else { BinaryOperator::Or };
                rest.iter().fold(first.clone(), |all, one| binary(all, op.clone(), one.clone()))
            }
            ("arraytomv", [value]) => value.clone(),
            ("case" | "casewhen", args) if args.len() >= 2 => case(args),
            ("touuid" | "toutf8", [value]) => call("w_string", vec![value.clone()]),
            _ => return Ok(None),
        }))
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
            Some((DataType::String | DataType::Json, true)) => call("regexp_like", args),
            _ => {
                args[0] = call("w_string", vec![value.clone()]);
                call("regexp_like", args)
            }
        }
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
    let time = call("w_long", vec![args[0].clone()]);
    if !to {
        let ms = binary(long(ms), BinaryOperator::Multiply, call("w_long", vec![size]));
        return Ok(binary(time, BinaryOperator::Multiply, ms));
    }
    let count = call("w_to_epoch", vec![time, long(ms), size.clone()]);
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

/// The part of a text that a group of a pattern matches; the default (empty) where it does not match.
fn regexp_extract(value: &Expr, pattern: &Expr, rest: &[Expr]) -> Outcome<Expr> {
    let Some(Literal::Text(pattern)) = literal_of(pattern) else {
        return invalid("the pattern of regexpExtract has to be a text literal");
    };
    let group = rest.first().and_then(literal_of).and_then(|group| group.number()).unwrap_or(0.0) as i64;
    // The whole match becomes the first group, the others move one up.
    let found = call("regexp_match", vec![call("w_string", vec![value.clone()]), text(&format!("({pattern})"))]);
    let part = call("array_element", vec![found, long(group + 1)]);
    Ok(call("coalesce", vec![part, rest.get(1).cloned().unwrap_or_else(|| text(""))]))
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
