//! Pinot's aggregates by DataFusion's. The single-stage engine sums, bounds and averages real numbers, and gives of no
//! rows what its aggregates start from; the multi-stage engine keeps types and gives null.

use super::{
    Outcome,
    build::{argument, arguments, bare, binary, call, canonical, double, function, plain_arguments},
    invalid,
    literal::{Literal, literal_of},
    lower::Lower,
    scope::Kind,
};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, OrderByExpr, OrderByOptions,
};
use weir_types::DataType;

/// A call of an aggregate.
struct Call<'a> {
    function: &'a Function,
    name: String,
    args: Vec<Expr>,
    distinct: bool,
}

impl Call<'_> {
    /// Another aggregate under the same filter, window and order.
    fn same(&self, name: &str, args: FunctionArguments) -> Expr {
        let mut made = function(name, args);
        made.filter.clone_from(&self.function.filter);
        made.over.clone_from(&self.function.over);
        Expr::Function(made)
    }

    fn of(&self, name: &str, arg: Expr) -> Expr {
        self.same(name, arguments(vec![arg]))
    }

    fn distinct_of(&self, name: &str, args: Vec<Expr>) -> Expr {
        let list = FunctionArgumentList {
            duplicate_treatment: Some(DuplicateTreatment::Distinct),
            args: args.into_iter().map(argument).collect(),
            clauses: vec![],
        };
        self.same(name, FunctionArguments::List(list))
    }

    fn ordered(&self, name: &str, arg: Expr, by: Expr) -> Expr {
        let options = OrderByOptions { asc: Some(true), nulls_first: Some(true) };
        let order = vec![OrderByExpr { expr: by, options, with_fill: None }];
        let list = FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(arg)],
            clauses: vec![FunctionArgumentClause::OrderBy(order)],
        };
        self.same(name, FunctionArguments::List(list))
    }

    fn first(&self) -> Outcome<Expr> {
        match self.args.first() {
            Some(arg) => Ok(arg.clone()),
            None => invalid(format!("function {} takes a column", self.function.name)),
        }
    }

    fn second(&self) -> Outcome<Expr> {
        match self.args.get(1) {
            Some(arg) => Ok(arg.clone()),
            None => invalid(format!("function {} takes more arguments than {}", self.function.name, self.args.len())),
        }
    }
}

/// Pinot's aggregates, by which near names are told.
pub(super) const NAMES: [&str; 46] = [
    "count",
    "sum",
    "sumPrecision",
    "min",
    "max",
    "avg",
    "mode",
    "minMaxRange",
    "distinctCount",
    "distinctCountBitmap",
    "distinctCountHLL",
    "distinctCountHLLPlus",
    "distinctCountULL",
    "distinctCountCPCSketch",
    "distinctCountThetaSketch",
    "distinctCountSmartHLL",
    "distinctSum",
    "distinctAvg",
    "segmentPartitionedDistinctCount",
    "percentile",
    "percentileEst",
    "percentileTDigest",
    "percentileKLL",
    "percentileSmartTDigest",
    "firstWithTime",
    "lastWithTime",
    "anyValue",
    "boolAnd",
    "boolOr",
    "minLong",
    "maxLong",
    "sumLong",
    "sumInt",
    "minString",
    "maxString",
    "varPop",
    "varSamp",
    "stdDevPop",
    "stdDevSamp",
    "covarPop",
    "covarSamp",
    "arrayAgg",
    "listAgg",
    "countMV",
    "sumMV",
    "distinctCountMV",
];

/// Pinot's aggregates that nobody means by a near name.
pub(super) const MORE: [&str; 7] =
    ["minMV", "maxMV", "avgMV", "minMaxRangeMV", "distinctCountHLLMV", "distinctCountBitmapMV", "distinctCountOffHeap"];

/// Whether a call aggregates (by its name alone).
pub(super) fn is_aggregate(function: &Function) -> bool {
    let name = canonical(&function.name);
    function.over.is_none()
        && (NAMES.iter().any(|known| known.eq_ignore_ascii_case(&name))
            || name.starts_with("percentile")
            || MORE.iter().any(|known| known.eq_ignore_ascii_case(&name)))
}

/// `percentile95` is `percentile` of 95.
fn percent_of(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix("percentile")?;
    let digits = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
    let (kind, percent) = rest.split_at(digits);
    percent.chars().all(|letter| letter.is_ascii_digit()).then_some((kind, percent))
}

/// What an aggregate takes beside its column and changes nothing here: how exact Pinot's sketch would be.
fn is_exactness(name: &str, arg: &Expr) -> bool {
    let given = literal_of(arg);
    match name {
        "distinctcounthll" | "distinctcounthllplus" | "distinctcountull" | "distinctcountcpcsketch" => {
            matches!(given, Some(Literal::Number(text)) if text.parse::<u32>().is_ok())
        }
        "percentiletdigest" | "percentilekll" => matches!(given, Some(Literal::Number(_))),
        _ => matches!(given, Some(Literal::Text(text)) if text.contains('=')),
    }
}

/// The fewest and the most arguments of an aggregate, by its name without `mv`.
fn arity(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "count"
        | "sum"
        | "min"
        | "max"
        | "avg"
        | "minmaxrange"
        | "anyvalue"
        | "booland"
        | "boolor"
        | "minlong"
        | "maxlong"
        | "sumlong"
        | "sumint"
        | "minstring"
        | "maxstring"
        | "varpop"
        | "varsamp"
        | "variance"
        | "stddevpop"
        | "stddevsamp"
        | "stddev"
        | "distinctcount"
        | "distinctcountoffheap"
        | "distinctcountbitmap"
        | "segmentpartitioneddistinctcount"
        | "distinctsum"
        | "distinctavg" => (1, 1),
        "mode"
        | "distinctcounthll"
        | "distinctcountull"
        | "distinctcountcpcsketch"
        | "distinctcountthetasketch"
        | "distinctcountsmarthll"
        | "distinctcountsmarthllplus"
        | "distinctcountsmartull" => (1, 2),
        "distinctcounthllplus" | "arrayagg" | "sumprecision" => (1, 3),
        "covarpop" | "covarsamp" | "listagg" => (2, 2),
        "firstwithtime" | "lastwithtime" => (2, 3),
        _ => match percent_of(name)? {
            ("" | "est", "") => (2, 2),
            ("tdigest" | "kll" | "smarttdigest", "") => (2, 3),
            ("" | "est" | "tdigest" | "kll" | "smarttdigest", _) => (1, 1),
            _ => return None,
        },
    })
}

/// Refuses arguments that an aggregate has no use for: without them it would mean something else.
fn check_arity(function: &Function, name: &str, args: &[Expr], distinct: bool) -> Outcome<()> {
    let Some((least, most)) = arity(name) else { return Ok(()) };
    // Of several columns there is a refusal of its own, which names the way.
    if distinct && name == "count" {
        return Ok(());
    }
    if !(least..=most).contains(&args.len()) {
        let takes = match (least, most) {
            (1, 1) => "1 argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        return invalid(format!("function {} takes {takes}, not {}", function.name, args.len()));
    }
    let sketch = name.starts_with("distinctcount") || name.starts_with("percentile");
    let own = if name.starts_with("percentile") { 2 } else { 1 };
    match args.iter().skip(own).find(|arg| sketch && !is_exactness(name, arg)) {
        Some(arg) => invalid(format!(
            "function {} takes {own} argument{} and how exact its sketch is, which {arg} does not say",
            function.name,
            if own == 1 { "" } else { "s" }
        )),
        None => Ok(()),
    }
}

/// Refuses an `arrayAgg` whose second argument is no type, or whose third is no truth.
fn check_item_type(call_: &Call<'_>) -> Outcome<()> {
    let name = &call_.function.name;
    if let Some(wanted) = call_.args.get(1)
        && literal_of(wanted).and_then(|wanted| crate::functions::type_of(&wanted.text())).is_none()
    {
        return invalid(format!(
            "{wanted} in {name} is not a type: {name} takes 1 to 3 arguments, a column, 'LONG', 'STRING', .. and whether \
             values differ"
        ));
    }
    match call_.args.get(2) {
        Some(unique) if !literal_of(unique).is_some_and(|unique| ["true", "false"].contains(&&*unique.text())) => {
            invalid(format!(
                "{unique} in {name} is neither true nor false: the third argument is whether values differ"
            ))
        }
        _ => Ok(()),
    }
}

impl Lower<'_> {
    /// Rewrites a call of an aggregate; `None` where it is none.
    pub(super) fn aggregate(&mut self, function: &Function) -> Outcome<Option<Expr>> {
        let name = canonical(&function.name);
        let distinct = matches!(
            &function.args,
            FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        );
        let Some(args) = plain_arguments(&function.args) else {
            return Ok((name == "count").then(|| Expr::Function(function.clone())));
        };
        let args: Vec<Expr> = args.into_iter().cloned().collect();
        // Multi-value forms flatten; so do the plain ones on a multi-value column.
        let (base, forced) = match name.strip_suffix("mv") {
            Some(base) if is_aggregate(function) => (base.to_owned(), true),
            _ => (name.clone(), false),
        };
        check_arity(function, &base, &args, distinct)?;
        let flatten = forced || args.first().and_then(|arg| self.kind(arg)).is_some_and(|kind| !kind.1);
        let call = Call { function, name: base, args, distinct };
        if flatten && let Some(expr) = self.flattened(&call, forced)? {
            return Ok(Some(expr));
        }
        if let Some((kind, percent)) = percent_of(&call.name) {
            return self.percentile(&call, kind, percent).map(Some);
        }
        if let Some(expr) = self.distinct(&call)? {
            return Ok(Some(expr));
        }
        self.plain(&call)
    }

    fn single(&self) -> bool {
        !self.profile.multistage
    }

    /// What an aggregate gives of no rows, where there may be none.
    fn or_default(&self, call_: &Call<'_>, expr: Expr, default: f64) -> Expr {
        let grouped = self.scopes.last().is_some_and(|scope| scope.grouped);
        let never_empty = grouped && call_.function.filter.is_none();
        if self.single() && !self.profile.nulls && !never_empty && call_.function.over.is_none() {
            return call("coalesce", vec![expr, double(default)]);
        }
        expr
    }

    /// The argument as a number, as the profile has it.
    fn number(&self, arg: Expr) -> Expr {
        let decimal = self.kind(&arg).is_some_and(|kind| kind.0 == DataType::BigDecimal);
        if self.single() || decimal { self.as_double(arg) } else { arg }
    }

    /// A sum or an average. Of decimals it is exact, and a real number at last in the single-stage engine.
    fn sum_of(&self, call_: &Call<'_>, name: &str, arg: Expr, distinct: bool) -> Expr {
        let of = |name: &str, arg: Expr| {
            if distinct { call_.distinct_of(name, vec![arg]) } else { call_.of(name, arg) }
        };
        if self.kind(&arg) != Some((DataType::BigDecimal, true)) || literal_of(&arg).is_some() {
            return of(name, self.number(arg));
        }
        let sum = of(if name == "avg" { "w_decimal_avg" } else { "w_decimal_sum" }, arg);
        if self.single() { call("w_double", vec![sum]) } else { sum }
    }

    fn plain(&mut self, call_: &Call<'_>) -> Outcome<Option<Expr>> {
        let real = |lower: &Self| -> Outcome<Expr> { Ok(lower.as_double(call_.first()?)) };
        let (neg, pos) = (f64::NEG_INFINITY, f64::INFINITY);
        Ok(Some(match call_.name.as_str() {
            "count" if self.profile.nulls || self.profile.multistage => Expr::Function(call_.function.clone()),
            "count" => call_.same("count", star()),
            "sum" | "avg" => {
                let default = if call_.name == "sum" { 0.0 } else { neg };
                let of = self.sum_of(call_, &call_.name, call_.first()?, false);
                self.or_default(call_, of, default)
            }
            "sumprecision" => {
                let decimal = call(crate::functions::cast_to(DataType::BigDecimal), vec![call_.first()?]);
                super::decimals::precise_sum(
                    call_.of("w_decimal_sum", decimal),
                    &call_.function.name,
                    &call_.args[1..],
                )?
            }
            "min" => self.extreme(call_, "min", pos)?,
            "max" => self.extreme(call_, "max", neg)?,
            "minmaxrange" => {
                let (max, min) = (call_.of("max", real(self)?), call_.of("min", real(self)?));
                self.or_default(call_, binary(max, BinaryOperator::Minus, min), neg)
            }
            "mode" => {
                let mut args = vec![real(self)?];
                args.extend(call_.args.get(1).cloned());
                self.or_default(call_, call_.same("w_mode", arguments(args)), neg)
            }
            "firstwithtime" => self.with_time(call_, "first_value")?,
            "lastwithtime" => self.with_time(call_, "last_value")?,
            "anyvalue" => call_.of("first_value", call_.first()?),
            "booland" => call_.of("bool_and", call("w_boolean", vec![call_.first()?])),
            "boolor" => call_.of("bool_or", call("w_boolean", vec![call_.first()?])),
            "minlong" | "maxlong" | "sumlong" | "sumint" => {
                call_.of(&call_.name[..3], call("w_long", vec![call_.first()?]))
            }
            "minstring" | "maxstring" => call_.of(&call_.name[..3], call("w_string", vec![call_.first()?])),
            "varpop" => call_.of("var_pop", real(self)?),
            "varsamp" | "variance" => call_.of("var_samp", real(self)?),
            "stddevpop" => call_.of("stddev_pop", real(self)?),
            "stddevsamp" | "stddev" => call_.of("stddev_samp", real(self)?),
            "covarpop" | "covarsamp" => {
                let name = if call_.name == "covarpop" { "covar_pop" } else { "covar_samp" };
                let second = self.as_double(call_.second()?);
                call_.same(name, arguments(vec![real(self)?, second]))
            }
            "arrayagg" => {
                refuse_window(call_.function)?;
                check_item_type(call_)?;
                let unique = call_.distinct || call_.args.get(2).is_some_and(|arg| arg.to_string().contains("true"));
                if unique {
                    call_.distinct_of("array_agg", vec![call_.first()?])
                } else {
                    call_.of("array_agg", call("w_owned", vec![call_.first()?]))
                }
            }
            "listagg" => {
                refuse_window(call_.function)?;
                let args = vec![call("w_string", vec![call_.first()?]), call_.second()?];
                if call_.distinct {
                    call_.distinct_of("string_agg", args)
                } else {
                    call_.same("string_agg", arguments(args))
                }
            }
            _ => return Ok(None),
        }))
    }

    /// The least or greatest value. Of a number column it is asked as it is: its statistics may answer.
    fn extreme(&self, call_: &Call<'_>, name: &str, default: f64) -> Outcome<Expr> {
        let arg = call_.first()?;
        let kind = self.kind(&arg);
        if !self.single() {
            if kind == Some((DataType::BigDecimal, true)) {
                return Ok(call("w_decimal_of_key", vec![call_.of(name, call("w_decimal_whole_key", vec![arg]))]));
            }
            return Ok(call_.of(name, arg));
        }
        let plain = matches!(bare(&arg), Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let keeps_order = |kind: Kind| {
            let number = matches!(
                kind.0,
                DataType::Int | DataType::Long | DataType::Float | DataType::Double | DataType::Timestamp
            );
            number && kind.1
        };
        let expr = if plain && kind.is_some_and(keeps_order) && call_.function.over.is_none() {
            call("w_double", vec![call_.of(name, arg)])
        } else {
            call_.of(name, self.as_double(arg))
        };
        Ok(self.or_default(call_, expr, default))
    }

    fn with_time(&mut self, call_: &Call<'_>, name: &str) -> Outcome<Expr> {
        let value = call_.first()?;
        let value = match call_.args.get(2).and_then(literal_of).map(|literal| literal.text()) {
            None => value,
            Some(wanted) => match crate::functions::type_of(&wanted) {
                Some(data_type) if self.kind(&value) == Some((data_type, true)) => value,
                Some(data_type) => call(crate::functions::cast_to(data_type), vec![value]),
                None => {
                    return invalid(format!(
                        "'{wanted}' in {} is not a type: 'LONG', 'STRING', .. are",
                        call_.function.name
                    ));
                }
            },
        };
        Ok(call_.ordered(name, value, call_.second()?))
    }

    fn distinct(&mut self, call_: &Call<'_>) -> Outcome<Option<Expr>> {
        let name = match (call_.name.as_str(), call_.distinct) {
            ("count", true) => "distinctcount",
            ("sum", true) => "distinctsum",
            ("avg", true) => "distinctavg",
            ("arrayagg" | "listagg", true) => return Ok(None),
            (other, true) if self.single() && is_aggregate(call_.function) => {
                return invalid(format!("{other}(DISTINCT ..) is not an aggregate: COUNT, SUM and AVG take DISTINCT"));
            }
            (name, _) => name,
        };
        Ok(Some(match name {
            "distinctcount"
            | "distinctcountoffheap"
            | "distinctcountbitmap"
            | "distinctcountsmarthll"
            | "distinctcountsmarthllplus"
            | "distinctcountsmartull" => {
                if call_.distinct && call_.args.len() > 1 {
                    return invalid(
                        "COUNT(DISTINCT ..) takes one column: of several, SET useMultistageEngine = true; \
                         SELECT COUNT(*) FROM (SELECT DISTINCT a, b FROM t)",
                    );
                }
                let args = if call_.distinct { call_.args.clone() } else { vec![call_.first()?] };
                let args = args.into_iter().map(|arg| self.comparable(arg)).collect();
                let count = call_.distinct_of("count", args);
                if self.single() { call("w_int", vec![count]) } else { count }
            }
            "segmentpartitioneddistinctcount" => call_.distinct_of("count", vec![self.comparable(call_.first()?)]),
            "distinctcounthll"
            | "distinctcounthllplus"
            | "distinctcountull"
            | "distinctcountcpcsketch"
            | "distinctcountthetasketch" => {
                let arg = self.comparable(call_.first()?);
                // What the sketch cannot hash is hashed as its text.
                let hashed = matches!(
                    self.kind(&arg),
                    Some((DataType::Int | DataType::Long | DataType::String | DataType::Json, true))
                );
                let arg = if hashed { arg } else { call("w_string", vec![arg]) };
                call("w_long", vec![call_.of("approx_distinct", arg)])
            }
            "distinctsum" | "distinctavg" => {
                let default = if name == "distinctsum" { 0.0 } else { f64::NEG_INFINITY };
                let of = self.sum_of(call_, &name["distinct".len()..], call_.first()?, true);
                self.or_default(call_, of, default)
            }
            _ => return Ok(None),
        }))
    }

    fn percentile(&mut self, call_: &Call<'_>, kind: &str, percent: &str) -> Outcome<Expr> {
        let percent = if percent.is_empty() {
            let given = call_.second()?;
            match literal_of(&given).and_then(|literal| literal.number()) {
                Some(percent) => percent,
                None => {
                    return invalid(format!(
                        "'{given}' in {} is not a percent: a number from 0 to 100 is",
                        call_.function.name
                    ));
                }
            }
        } else {
            percent.parse().unwrap_or(f64::NAN)
        };
        if !(0.0..=100.0).contains(&percent) {
            return invalid(format!("{percent} in {} is not a percent: 0 to 100 are", call_.function.name));
        }
        let number = self.as_double(call_.first()?);
        Ok(match kind {
            "" => self.or_default(
                call_,
                call_.same("w_percentile", arguments(vec![number, double(percent)])),
                f64::NEG_INFINITY,
            ),
            "est" => {
                let estimate = call_.same("approx_percentile_cont", arguments(vec![number, double(percent / 100.0)]));
                call("w_long", vec![self.or_default(call_, estimate, i64::MIN as f64)])
            }
            "tdigest" | "kll" | "smarttdigest" => {
                let estimate = call_.same("approx_percentile_cont", arguments(vec![number, double(percent / 100.0)]));
                self.or_default(call_, estimate, f64::NEG_INFINITY)
            }
            other => {
                return invalid(format!(
                    "percentile{other} is not an aggregate: percentile, percentileEst and percentileTDigest are"
                ));
            }
        })
    }

    /// An aggregate over all values of a multi-value column.
    fn flattened(&mut self, call_: &Call<'_>, forced: bool) -> Outcome<Option<Expr>> {
        let list = call_.first()?;
        let length = || call_.of("sum", call("w_array_length", vec![list.clone()]));
        let sum = || call_.of("sum", call("w_array_sum", vec![list.clone()]));
        let least = || call_.of("min", call("w_array_min", vec![list.clone()]));
        let greatest = || call_.of("max", call("w_array_max", vec![list.clone()]));
        let (neg, pos) = (f64::NEG_INFINITY, f64::INFINITY);
        Ok(Some(match call_.name.as_str() {
            "count" if call_.distinct => self.distinct_values(call_, list),
            "count" if forced => call("w_long", vec![self.or_default(call_, call("w_double", vec![length()]), 0.0)]),
            "sum" => self.or_default(call_, sum(), 0.0),
            "min" => self.or_default(call_, least(), pos),
            "max" => self.or_default(call_, greatest(), neg),
            "minmaxrange" => self.or_default(call_, binary(greatest(), BinaryOperator::Minus, least()), neg),
            "avg" => {
                let average = binary(sum(), BinaryOperator::Divide, call("w_double", vec![length()]));
                self.or_default(call_, average, neg)
            }
            "distinctcount" | "distinctcountbitmap" | "distinctcounthll" | "distinctcounthllplus" => {
                self.distinct_values(call_, list)
            }
            _ if forced => {
                return invalid(format!("function {} is not one that can be answered yet", call_.function.name));
            }
            _ => return Ok(None),
        }))
    }

    fn distinct_values(&self, call_: &Call<'_>, list: Expr) -> Expr {
        let count = call_.of("w_distinct_mv", list);
        let exact = call_.name == "distinctcount" || call_.name == "distinctcountbitmap" || call_.name == "count";
        if self.single() && exact { call("w_int", vec![count]) } else { count }
    }
}

/// Refuses an aggregate that keeps all values as a window: each row would have those of all rows, which takes the square
/// of their memory.
pub(super) fn refuse_window(function: &Function) -> Outcome<()> {
    match function.over {
        Some(_) => invalid(format!("{} keeps all values and cannot be a window: GROUP BY it instead", function.name)),
        None => Ok(()),
    }
}

fn star() -> FunctionArguments {
    use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr};
    FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)],
        clauses: vec![],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_may_stand_in_the_name() {
        assert_eq!(percent_of("percentile95"), Some(("", "95")));
        assert_eq!(percent_of("percentiletdigest99"), Some(("tdigest", "99")));
        assert_eq!(percent_of("percentile"), Some(("", "")));
        assert_eq!(percent_of("percentile9x"), None);
        assert_eq!(percent_of("sum"), None);
    }
}
