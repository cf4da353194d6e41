//! Names in plans and types of the engine below as a user writes them, for messages.

use super::PREFIX;

/// Plan names whose function has another name for users, and that name.
const OTHERS: [(&str, &str); 42] = [
    ("date_part", "extract"),
    ("bucket", "round"),
    ("to_epoch", "toEpoch"),
    ("join", "concat"),
    ("convert_to_long", "dateTimeConvert"),
    ("convert_to_text", "dateTimeConvert"),
    ("cast_int", "CAST"),
    ("cast_long", "CAST"),
    ("cast_float", "CAST"),
    ("cast_double", "CAST"),
    ("boolean", "CAST"),
    ("timestamp", "CAST"),
    ("string", "CAST"),
    ("json", "CAST"),
    ("bigdecimal", "CAST"),
    ("bytes", "CAST"),
    ("try_int", "TRY_CAST"),
    ("try_long", "TRY_CAST"),
    ("try_float", "TRY_CAST"),
    ("try_double", "TRY_CAST"),
    ("try_decimal", "TRY_CAST"),
    ("try_timestamp", "TRY_CAST"),
    ("try_bytes", "TRY_CAST"),
    ("decimal_least", "least"),
    ("decimal_greatest", "greatest"),
    ("decimal_round", "sumPrecision"),
    ("decimal_sum", "sum"),
    ("decimal_avg", "avg"),
    ("json_text", "jsonExtractScalar"),
    ("json_long", "jsonExtractScalar"),
    ("json_double", "jsonExtractScalar"),
    ("json_texts", "jsonExtractScalar"),
    ("json_longs", "jsonExtractScalar"),
    ("json_doubles", "jsonExtractScalar"),
    ("array_avg", "arrayAverage"),
    ("mv_eq", "="),
    ("mv_not_eq", "<>"),
    ("mv_in", "IN"),
    ("mv_not_in", "NOT IN"),
    ("mv_between", "BETWEEN"),
    ("mv_like", "LIKE"),
    ("mv_regexp_like", "regexpLike"),
];

/// Plan names around an expression that nobody wrote.
const UNSEEN: [&str; 13] = [
    "zero",
    "owned",
    "if_all",
    "distinct_mv",
    "int",
    "long",
    "float",
    "double",
    "decimal_key",
    "decimal_text_key",
    "decimal_whole_key",
    "decimal_of_key",
    "decimal_group",
];

/// A function's name for people; none where nobody wrote it.
pub(crate) fn spelled(name: &str) -> &str {
    let Some(plain) = name.strip_prefix(PREFIX) else { return name };
    if let Some((_, other)) = OTHERS.iter().find(|(known, _)| *known == plain) {
        return other;
    }
    if UNSEEN.contains(&plain) {
        return "";
    }
    let on_shelf = weir_functions::shelf::function(plain.strip_prefix("f_").unwrap_or(plain));
    on_shelf.map_or(plain, |function| function.name())
}

/// The engine's types, and Pinot's.
const TYPES: [(&str, &str); 16] = [
    ("Utf8View", "STRING"),
    ("LargeUtf8", "STRING"),
    ("Utf8", "STRING"),
    ("Int64", "LONG"),
    ("Int32", "INT"),
    ("Int16", "INT"),
    ("Int8", "INT"),
    ("UInt64", "LONG"),
    ("UInt32", "LONG"),
    ("Float64", "DOUBLE"),
    ("Float32", "FLOAT"),
    ("Boolean", "BOOLEAN"),
    ("BinaryView", "BYTES"),
    ("LargeBinary", "BYTES"),
    ("Binary", "BYTES"),
    ("Null", "NULL"),
];

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// What stands between two pieces of a text.
fn between<'t>(text: &'t str, before: &str, behind: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(found, _)| found)
}

/// A function as users write it, by the name that the engine below has for it.
fn written(name: &str) -> &str {
    let known = weir_functions::shelf::function(name).filter(|_| !name.starts_with(PREFIX));
    known.map_or_else(|| spelled(name), |function| function.name())
}

/// What the engine below says of a call or a clause in many words, in few.
fn in_few_words(message: &str) -> Option<String> {
    // Our own functions say it themselves.
    if let Some((_, own)) = message.split_once("user-defined coercion failed with: ") {
        let own = own.split(" No function matches").next().unwrap_or(own);
        let own = own.rsplit("Error during planning: ").next().unwrap_or(own);
        return Some(own.trim_end_matches('.').to_owned());
    }
    if let Some(name) = between(message, "Function '", "' failed to match any signature") {
        let given = between(message, "but received ", " (DataType").unwrap_or("these arguments");
        return Some(format!(
            "function {} does not take {given}: CAST(.. AS TIMESTAMP) makes a time of a number",
            written(name)
        ));
    }
    if let Some(name) = between(message, "satisfy a call to '", "'") {
        let types = between(message, "coercion from ", " to the signature").unwrap_or("these arguments");
        return Some(format!("function {} does not take ({types})", written(name)));
    }
    if let (Some(name), Some(count)) =
        (between(message, "Function '", "'"), between(message, " expects ", " but received "))
    {
        let given = between(message, "but received ", ".").unwrap_or_default();
        return Some(format!("function {} takes {count}, not {given}", written(name)));
    }
    if let Some((quoted, _)) = message.split_once(" does not support zero arguments") {
        return Some(format!("function {} does not take 0 arguments", written(quoted.trim_matches('\''))));
    }
    if let Some(computed) = between(message, "Cannot coerce arithmetic expression ", " to valid types") {
        return Some(format!("{computed} cannot be computed: make both sides numbers by CAST(.. AS ..)"));
    }
    if let Some((what, of)) =
        message.strip_prefix("Cannot create filter with non-boolean predicate ")?.rsplit_once(" returning ")
    {
        return Some(format!("a condition is expected, and {what} is {of}"));
    }
    None
}

/// Clauses that the engine below tells of in its own words.
fn of_clauses(message: &str) -> Option<String> {
    if message.contains("does not support logical expression AggregateFunction") {
        return Some("an aggregate has no place in WHERE and GROUP BY: HAVING keeps groups by one".to_owned());
    }
    let column = between(message, "column \"", "\" must appear in the GROUP BY clause")?;
    Some(format!("column {column} must be in GROUP BY or in an aggregate"))
}

/// A message of the engine below in the user's words: functions as they are written, Pinot's types.
pub(crate) fn in_users_words(message: &str) -> String {
    let few = of_clauses(message).or_else(|| in_few_words(message));
    // What follows lists the engine's own forms of a function.
    let first = |text: &'static str| message.split(text).next().unwrap_or(message);
    let shortest = [" No function matches", "\n\tCandidate functions", "\nCandidate functions"].map(first);
    let without_forms = shortest.into_iter().min_by_key(|part| part.len()).unwrap_or(message);
    let mut plain = few.as_deref().unwrap_or(without_forms);
    for lead in [
        "Execution error: ",
        "Error during planning: ",
        "Arrow error: ",
        "Cast error: ",
        "This feature is not implemented: ",
    ] {
        plain = plain.strip_prefix(lead).unwrap_or(plain);
    }
    let mut plain = plain.to_owned();
    for times in ["Timestamp(Millisecond, None)", "Timestamp(ms)", "Timestamp(Nanosecond, None)", "Timestamp(ns)"] {
        plain = plain.replace(times, "TIMESTAMP");
    }
    let (mut out, mut rest) = (String::with_capacity(plain.len()), plain.as_str());
    // Whether what is read stands in a quoted text, which is the user's own.
    let mut quoted = false;
    while let Some(letter) = rest.chars().next() {
        let length = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        if length == 0 {
            quoted ^= matches!(letter, '"' | '\'');
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
            continue;
        }
        let (word, behind) = rest.split_at(length);
        rest = behind;
        let of = |word: &str| TYPES.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
        // A literal with its type, an array of one, and a type.
        let inside = behind.strip_prefix('(').and_then(|inside| inside.split_once(')'));
        match (of(word), inside) {
            (Some(_), Some((literal, behind))) => {
                out.push_str(literal);
                rest = behind;
            }
            (None, Some((item, behind))) if word == "List" && of(item).is_some() => {
                out.push_str(of(item).unwrap_or(item));
                out.push_str("_ARRAY");
                rest = behind;
            }
            (Some(ours), None) if !quoted => out.push_str(ours),
            _ => out.push_str(spelled(word)),
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_in_the_users_words() {
        for (theirs, ours) in [
            ("function w_date_trunc takes 2", "function dateTrunc takes 2"),
            ("w_f_arrayreverse(w_zero(qty))", "arrayReverse((qty))"),
            ("Cannot coerce Utf8View and List(Int64) to \"Int64\"", "Cannot coerce STRING and LONG_ARRAY to \"Int64\""),
            (
                "Execution error: Function 'w_date_trunc' user-defined coercion failed with: Error during planning: function \
                 dateTrunc takes 2 to 5 arguments, not 1. No function matches the given name and argument types \
                 'w_date_trunc(Utf8)'. You might need to add explicit type casts.",
                "function dateTrunc takes 2 to 5 arguments, not 1",
            ),
            (
                "Function 'starts_with' expects 2 arguments but received 1. No function matches the given name and argument \
                 types 'starts_with(Utf8View)'. You might need to add explicit type casts.\n\tCandidate functions:\n\tx(y)",
                "function startsWith takes 2 arguments, not 1",
            ),
            (
                "Internal error: Function 'date_part' failed to match any signature, errors: Error during planning: Function \
                 'date_part' requires Timestamp, but received Float64 (DataType: Float64).",
                "function date_part does not take DOUBLE: CAST(.. AS TIMESTAMP) makes a time of a number",
            ),
            ("'lower' does not support zero arguments. No function", "function lower does not take 0 arguments"),
            (
                "Failed to coerce arguments to satisfy a call to 'chr' function: coercion from Utf8, Utf8 to the signature \
                 Uniform(1, [Int64]) failed. No function matches",
                "function chr does not take (STRING, STRING)",
            ),
            (
                "Cannot create filter with non-boolean predicate 'w_double(orders.qty) + Float64(1)' returning Float64",
                "a condition is expected, and '(orders.qty) + 1' is DOUBLE",
            ),
            (
                "While expanding wildcard, column \"orders.city\" must appear in the GROUP BY clause or must be part",
                "column orders.city must be in GROUP BY or in an aggregate",
            ),
            ("'Int64' is no w_f_arraysort", "'Int64' is no arraySort"),
            ("Timestamp(Millisecond, None) is no number", "TIMESTAMP is no number"),
        ] {
            assert_eq!(in_users_words(theirs), ours);
        }
        assert_eq!([spelled("w_cast_int"), spelled("w_strrpos"), spelled("sum")], ["CAST", "strrpos", "sum"]);
    }
}
