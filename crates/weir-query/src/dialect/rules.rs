//! The scalar functions that a query may name, and what becomes of them. `docs/reference/sql.md` lists them from here.

use crate::{comparison::Comparison, functions::MvTest};
use Rule::{Named, Real, Text};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// How a function is called.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// The same arguments to a function of this name.
    Named(&'static str),
    /// All arguments as real numbers to a function of this name.
    Real(&'static str),
    /// The first arguments, so many of them, as text to a function of this name.
    Text(&'static str, usize),
}

/// The rule of a function, by its name in small letters without underscores.
pub(super) fn rule(name: &str) -> Option<Rule> {
    RULES.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule)
}

/// Functions that only change their name, or take their arguments as real numbers.
pub(super) const RULES: [(&str, Rule); 104] = [
    ("lower", Text("lower", 1)),
    ("upper", Text("upper", 1)),
    ("reverse", Text("reverse", 1)),
    ("replace", Text("replace", 3)),
    ("nullif", Named("nullif")),
    ("greatest", Named("greatest")),
    ("least", Named("least")),
    ("repeat", Text("repeat", 1)),
    ("chr", Named("chr")),
    ("translate", Text("translate", 3)),
    ("contains", Text("contains", 2)),
    ("levenshtein", Named("w_levenshtein")),
    ("abs", Named("w_abs")),
    ("gcd", Named("w_gcd")),
    ("lcm", Named("w_lcm")),
    ("factorial", Named("factorial")),
    ("unnest", Named("unnest")),
    ("grouping", Named("grouping")),
    ("ceil", Real("w_ceil")),
    ("ceiling", Real("w_ceil")),
    ("floor", Real("w_floor")),
    ("exp", Real("w_exp")),
    ("ln", Real("w_ln")),
    ("log", Real("w_ln")),
    ("log2", Real("w_log2")),
    ("log10", Real("w_log10")),
    ("sqrt", Real("w_sqrt")),
    ("cbrt", Real("w_cbrt")),
    ("pow", Real("w_power")),
    ("power", Real("w_power")),
    ("truncate", Real("w_truncate")),
    ("sin", Real("w_sin")),
    ("cos", Real("w_cos")),
    ("tan", Real("w_tan")),
    ("cot", Real("w_cot")),
    ("asin", Real("w_asin")),
    ("acos", Real("w_acos")),
    ("atan", Real("w_atan")),
    ("atan2", Real("w_atan2")),
    ("sinh", Real("w_sinh")),
    ("cosh", Real("w_cosh")),
    ("tanh", Real("w_tanh")),
    ("asinh", Real("w_asinh")),
    ("acosh", Real("w_acosh")),
    ("atanh", Real("w_atanh")),
    ("degrees", Real("w_degrees")),
    ("radians", Real("w_radians")),
    ("sign", Named("w_sign")),
    ("hypot", Named("w_hypot")),
    ("rounddecimal", Named("w_round_decimal")),
    ("intdiv", Named("w_int_div")),
    ("intdivorzero", Named("w_int_div_or_zero")),
    ("rand", Named("random")),
    ("substr", Named("w_substr")),
    ("substring", Named("w_substring")),
    ("length", Named("w_length")),
    ("charlength", Named("w_length")),
    ("characterlength", Named("w_length")),
    ("octetlength", Text("octet_length", 1)),
    ("bitlength", Text("bit_length", 1)),
    ("strpos", Named("w_strpos")),
    ("strrpos", Named("w_strrpos")),
    ("startswith", Text("starts_with", 2)),
    ("endswith", Text("ends_with", 2)),
    ("lpad", Named("w_lpad")),
    ("rpad", Named("w_rpad")),
    ("trim", Named("w_trim")),
    ("ltrim", Named("w_ltrim")),
    ("rtrim", Named("w_rtrim")),
    ("initcap", Named("w_initcap")),
    ("concatws", Text("concat_ws", usize::MAX)),
    ("levenshteindistance", Named("w_levenshtein")),
    ("substringindex", Text("substr_index", 2)),
    ("regexpcount", Text("regexp_count", 1)),
    ("datetrunc", Named("w_date_trunc")),
    ("timeconvert", Named("w_time_convert")),
    ("todatetime", Named("w_to_date_time")),
    ("fromdatetime", Named("w_from_date_time")),
    ("totimestamp", Named("w_timestamp")),
    ("fromtimestamp", Named("w_long")),
    ("toiso8601", Named("w_to_iso8601")),
    ("fromiso8601", Named("w_from_iso8601")),
    ("timestampadd", Named("w_timestamp_add")),
    ("dateadd", Named("w_timestamp_add")),
    ("timestampdiff", Named("w_timestamp_diff")),
    ("datediff", Named("w_timestamp_diff")),
    ("arraylength", Named("w_array_length")),
    ("cardinality", Named("w_array_length")),
    ("arraysum", Named("w_array_sum")),
    ("arraymin", Named("w_array_min")),
    ("arraymax", Named("w_array_max")),
    ("arrayaverage", Named("w_array_avg")),
    ("valuein", Named("w_value_in")),
    ("arraydistinctint", Named("w_array_distinct")),
    ("arraydistinctstring", Named("w_array_distinct")),
    ("arraycontainsint", Named(MvTest::Compare(Comparison::Eq).name())),
    ("arraycontainsstring", Named(MvTest::Compare(Comparison::Eq).name())),
    ("array", Named("make_array")),
    ("arrayvalueconstructor", Named("make_array")),
    ("rownumber", Named("row_number")),
    ("denserank", Named("dense_rank")),
    ("firstvalue", Named("first_value")),
    ("lastvalue", Named("last_value")),
    ("boolean", Named("w_boolean")),
];

/// Functions whose call is written anew by its arguments. One that is not here is not looked for there.
pub(super) const SPECIAL: [&str; 29] = [
    "nullif",
    "coalesce",
    "now",
    "currenttimestamp",
    "pi",
    "e",
    "euler",
    "ago",
    "extract",
    "round",
    "truncate",
    "negate",
    "concat",
    "datetimeconvert",
    "cast",
    "jsonextractscalar",
    "regexplike",
    "regexpreplace",
    "isnull",
    "isnotnull",
    "not",
    "and",
    "or",
    "arraytomv",
    "least",
    "greatest",
    "case",
    "casewhen",
    "positionin",
];

/// Operators by their names as functions.
pub(super) const OPERATORS: [(&str, BinaryOperator); 9] = [
    ("plus", BinaryOperator::Plus),
    ("add", BinaryOperator::Plus),
    ("minus", BinaryOperator::Minus),
    ("sub", BinaryOperator::Minus),
    ("mult", BinaryOperator::Multiply),
    ("times", BinaryOperator::Multiply),
    ("div", BinaryOperator::Divide),
    ("divide", BinaryOperator::Divide),
    ("mod", BinaryOperator::Modulo),
];

/// Parts of a time, by their names as functions.
pub(super) const PARTS: [&str; 17] = [
    "year",
    "quarter",
    "month",
    "monthofyear",
    "week",
    "weekofyear",
    "dayofyear",
    "doy",
    "dayofmonth",
    "day",
    "dayofweek",
    "dow",
    "hour",
    "minute",
    "second",
    "millisecond",
    "yearofweek",
];

/// Units of the epoch functions, in milliseconds.
pub(super) const EPOCH_UNITS: [(&str, i64); 4] =
    [("seconds", 1_000), ("minutes", 60_000), ("hours", 3_600_000), ("days", 86_400_000)];

/// `toEpochMinutesBucket` and its kin: direction, milliseconds of the unit, and what comes after it.
pub(super) fn epoch(name: &str) -> Option<(bool, i64, &str)> {
    let (to, rest) = match (name.strip_prefix("toepoch"), name.strip_prefix("fromepoch")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return None,
    };
    let (ms, rest) = EPOCH_UNITS.iter().find_map(|(unit, ms)| Some((*ms, rest.strip_prefix(unit)?)))?;
    (rest.is_empty() || rest == "bucket" || (to && rest == "rounded")).then_some((to, ms, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_functions_are_told_apart() {
        assert_eq!(epoch("toepochseconds"), Some((true, 1_000, "")));
        assert_eq!(epoch("toepochdaysrounded"), Some((true, 86_400_000, "rounded")));
        assert_eq!(epoch("fromepochhoursbucket"), Some((false, 3_600_000, "bucket")));
        assert_eq!(epoch("fromepochhoursrounded"), None);
        assert_eq!(epoch("toepochyears"), None);
    }

    #[test]
    fn names_that_are_the_same_are_found() {
        for name in ["lower", "reverse", "nullif"] {
            assert!(matches!(rule(name), Some(Named(found) | Text(found, _)) if found == name));
        }
    }
}
