//! Values out of JSON by path, and JSON made of values.
//!
//! Paths are those of Jayway's JsonPath as far as configs use it: `$.a.b`, `$['a']`, `$[0]`, `$[-1]`, `$.a[*].b`, `$..a`. A path
//! with a `*` or `..` leads to many values, any other to one.

use super::{
    Body, Function, Gives, Make, Ready,
    gives::{BOOLEAN, DOUBLE, JSON, LONG, STRING, STRINGS},
};
use crate::datum::{Datum, Fault, list, of_json, text};
use bumpalo::Bump;
use serde_json::Value as Json;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    /// From the end where it is negative.
    At(i64),
    All,
    /// A key at any depth.
    Deep(String),
}

/// A path made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(path: &str) -> Result<Self, Fault> {
        let wrong = || Fault::new(format!("'{path}' is not a JSON path; $.a.b[0], $['a'], $.a[*].b and $..a are"));
        let mut rest = path.trim().strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = vec![];
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let (deep, after) = after.strip_prefix('.').map_or((false, after), |after| (true, after));
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (key, tail) = after.split_at(end);
                steps.push(match (key, deep) {
                    ("", _) => return Err(wrong()),
                    ("*", false) => Step::All,
                    (key, false) => Step::Key(key.to_owned()),
                    (key, true) => Step::Deep(key.to_owned()),
                });
                rest = tail;
            } else {
                let inside = rest.strip_prefix('[').ok_or_else(wrong)?;
                let quote = inside.chars().next().filter(|first| matches!(first, '\'' | '"'));
                let (step, tail) = match quote {
                    Some(quote) => {
                        let (key, tail) = inside[1..].split_once(quote).ok_or_else(wrong)?;
                        (Step::Key(key.to_owned()), tail.strip_prefix(']').ok_or_else(wrong)?)
                    }
                    None => {
                        let (inside, tail) = inside.split_once(']').ok_or_else(wrong)?;
                        match inside.trim() {
                            "*" => (Step::All, tail),
                            number => (Step::At(number.parse().map_err(|_| wrong())?), tail),
                        }
                    }
                };
                steps.push(step);
                rest = tail;
            }
        }
        Ok(Self(steps))
    }

    /// Whether it leads to many values.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.0.iter().any(|step| matches!(step, Step::All | Step::Deep(_)))
    }

    /// The values that it leads to, nulls among them.
    #[must_use]
    pub fn find<'j>(&self, json: &'j Json) -> Vec<&'j Json> {
        let mut found = vec![json];
        for step in &self.0 {
            let mut next = vec![];
            for json in found {
                match (step, json) {
                    (Step::Key(key), Json::Object(fields)) => next.extend(fields.get(key)),
                    (Step::At(at), Json::Array(items)) => {
                        let at = if *at < 0 { at + items.len() as i64 } else { *at };
                        next.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
                    }
                    (Step::All, Json::Array(items)) => next.extend(items),
                    (Step::All, Json::Object(fields)) => next.extend(fields.values()),
                    (Step::Deep(key), json) => deep(json, key, &mut next),
                    _ => {}
                }
            }
            found = next;
        }
        found
    }
}

/// The values of a key at any depth, outer ones first. Parsed JSON is at most 128 levels deep.
fn deep<'j>(json: &'j Json, key: &str, found: &mut Vec<&'j Json>) {
    match json {
        Json::Object(fields) => {
            found.extend(fields.get(key));
            fields.values().for_each(|value| deep(value, key, found));
        }
        Json::Array(items) => items.iter().for_each(|item| deep(item, key, found)),
        _ => {}
    }
}

/// What is made of what a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Text,
    Long,
    Double,
    Array,
    ArrayOrEmpty,
    Exists,
}

/// A path looked up in each row's JSON, with a default where it leads nowhere.
struct Lookup {
    path: Option<Path>,
    wanted: Wanted,
}

impl Lookup {
    fn made(constants: &[Option<Datum<'_>>], wanted: Wanted) -> Result<Box<dyn Ready>, Fault> {
        let path = match constants.get(1) {
            Some(Some(Datum::Text(path))) => Some(Path::parse(path)?),
            _ => None,
        };
        Ok(Box::new(Self { path, wanted }))
    }
}

impl Ready for Lookup {
    fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
        let read;
        let path = match &self.path {
            Some(path) => path,
            None => {
                read = Path::parse(args[1].text(arena))?;
                &read
            }
        };
        let default = args.get(2).copied();
        // What is no JSON has nothing at any path.
        let json = if args[0].is_null() { None } else { parsed(args[0], arena) };
        let found = json.as_ref().map(|json| path.find(json)).unwrap_or_default();
        let value = if path.is_many() {
            list(found.iter().map(|json| of_json(json, arena)), arena)
        } else {
            found.first().map_or(Datum::Null, |json| of_json(json, arena))
        };
        let missing = || match default {
            Some(Datum::Null) => Ok(Datum::Null),
            Some(default) if self.wanted == Wanted::Long => default.long().map(Datum::Long),
            Some(default) => default.double().map(Datum::Double),
            None if args[0].is_null() => Ok(Datum::Null),
            // What Pinot gives in their place.
            None if self.wanted == Wanted::Long => Ok(Datum::Long(i64::MIN)),
            None => Ok(Datum::Double(f64::NAN)),
        };
        match self.wanted {
            Wanted::Exists if args[0].is_null() => Ok(Datum::Null),
            // A null is nothing that is there.
            Wanted::Exists => {
                Ok(Datum::Bool(found.iter().any(|json| !json.is_null()) || path.is_many() && json.is_some()))
            }
            Wanted::Array | Wanted::ArrayOrEmpty => Ok(match value {
                Datum::Null if self.wanted == Wanted::Array => Datum::Null,
                value => Datum::List(value.items(arena)),
            }),
            Wanted::Any => Ok(value),
            Wanted::Text => match value {
                Datum::Null => missing_text(default),
                value => Ok(Datum::Text(value.text(arena))),
            },
            // What is no number is as good as not there.
            Wanted::Long | Wanted::Double => match (value, number(value, self.wanted)) {
                (Datum::Null | Datum::Bool(_), _) | (_, Err(_)) => missing(),
                (_, made) => made,
            },
        }
    }
}

fn number(value: Datum<'_>, wanted: Wanted) -> Result<Datum<'_>, Fault> {
    match value {
        value if wanted == Wanted::Double => value.double().map(Datum::Double),
        Datum::Text(text) if text.trim().parse::<i64>().is_err() => Ok(Datum::Long(value.double()? as i64)),
        value => value.long().map(Datum::Long),
    }
}

/// A text that is not there is the default, or nothing.
fn missing_text(default: Option<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    Ok(default.unwrap_or(Datum::Null))
}

/// A value as JSON: a text that is JSON is that.
fn parsed<'a>(datum: Datum<'a>, arena: &'a Bump) -> Option<Json> {
    match datum {
        Datum::Text(text) | Datum::Json(text) => serde_json::from_str(text).ok(),
        other => {
            let mut out = vec![];
            other.write_json(&mut out);
            serde_json::from_str(arena.alloc_str(&String::from_utf8_lossy(&out))).ok()
        }
    }
}

/// A value as JSON text without needless spaces; a text that is no JSON as a JSON string.
fn formatted<'a>(datum: Datum<'a>, arena: &'a Bump) -> Datum<'a> {
    match parsed(datum, arena) {
        Some(json) => text(&json.to_string(), arena),
        None => {
            let mut out = vec![];
            datum.write_json(&mut out);
            text(&String::from_utf8_lossy(&out), arena)
        }
    }
}

/// `[{"key": "a", "value": 1}]` or `[{"k": ..., "v": ...}]` as `{"a": 1}`.
fn key_values<'a>(datum: Datum<'a>, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let mut map = serde_json::Map::new();
    if let Some(Json::Array(items)) = parsed(datum, arena) {
        for item in &items {
            let key = item.get("key").or_else(|| item.get("k"));
            let Some(key) = key else {
                return Err(Fault::new(format!("an element has no \"key\": {}", of_json(item, arena).shown())));
            };
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            map.insert(key, item.get("value").or_else(|| item.get("v")).cloned().unwrap_or(Json::Null));
        }
    }
    Ok(Datum::Json(arena.alloc_str(&Json::Object(map).to_string())))
}

/// The paths of all keys of an object down to a depth: `a`, `a.b`.
fn keys(json: &Json, depth: i64, before: &str, found: &mut Vec<String>, bytes: &mut usize) -> Result<(), Fault> {
    let mut child = |path: String, value: &Json| {
        // A path repeats all before it.
        *bytes += path.len();
        if *bytes > super::MADE_MOST {
            return Err(super::too_long());
        }
        found.push(path.clone());
        if depth > 1 { keys(value, depth - 1, &path, found, bytes) } else { Ok(()) }
    };
    match json {
        Json::Object(fields) => {
            fields.iter().try_for_each(|(key, value)| child(format!("{before}['{}']", key.replace('\'', "\\'")), value))
        }
        Json::Array(items) => {
            items.iter().enumerate().try_for_each(|(at, value)| child(format!("{before}[{at}]"), value))
        }
        _ => Ok(()),
    }
}

/// Levels of an object that `jsonExtractKey` goes down at most: all that parsed JSON has.
const DEPTH_MOST: i64 = 128;

fn extract_keys<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let path = args[1].text(arena);
    let depth = match (path, args.get(2)) {
        (_, Some(options)) => {
            let options = options.text(arena);
            let of = |text: &str| text.trim().strip_prefix("maxDepth=").and_then(|number| number.trim().parse().ok());
            options.split(';').find_map(of).or_else(|| options.trim().parse().ok()).unwrap_or(DEPTH_MOST)
        }
        ("$..**" | "$..*", None) => DEPTH_MOST,
        _ => 1,
    };
    let depth = if depth <= 0 { DEPTH_MOST } else { depth.min(DEPTH_MOST) };
    let base = path.trim_end_matches("..**").trim_end_matches("..*").trim_end_matches(".*").trim_end_matches("[*]");
    let path = Path::parse(if base.is_empty() { "$" } else { base })?;
    let Some(json) = parsed(args[0], arena) else { return Ok(Datum::List(&[])) };
    let (mut found, mut bytes) = (vec![], 0);
    for json in path.find(&json) {
        keys(json, depth, if base.is_empty() { "$" } else { base }, &mut found, &mut bytes)?;
    }
    Ok(list(found.iter().map(|key| text(key, arena)), arena))
}

/// A text that is JSON and begins with one of these; nothing where it is not.
fn whole<'a>(datum: Datum<'a>, arena: &'a Bump, begins: &str) -> Datum<'a> {
    let json = parsed(datum, arena).filter(|json| match json {
        Json::Array(_) => begins.contains('['),
        Json::Object(_) => begins.contains('{'),
        _ => false,
    });
    json.map_or(Datum::Null, |json| of_json(&json, arena))
}

/// What an object has, in the order of its keys; nothing where it is none.
fn entries<'a>(datum: Datum<'a>, arena: &'a Bump, of: fn(&str, &Json, &'a Bump) -> Datum<'a>) -> Datum<'a> {
    let Some(Json::Object(map)) = parsed(datum, arena) else { return Datum::Null };
    let mut entries: Vec<(&String, &Json)> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    list(entries.into_iter().map(|(key, value)| of(key, value, arena)), arena)
}

const fn lookup(names: &'static [&'static str], most: usize, gives: Gives, make: Make) -> Function {
    Function { names, least: 2, most, nulls: true, gives, body: Body::Made(make) }
}

pub(super) const FUNCTIONS: &[Function] = &[
    lookup(&["jsonPath"], 2, STRING, |constants| Lookup::made(constants, Wanted::Any)),
    lookup(
        &["jsonPathString", "jsonPathStringFast", "jsonPathStringFirstMatch", "jsonPathStringFory"],
        3,
        STRING,
        |constants| Lookup::made(constants, Wanted::Text),
    ),
    lookup(&["jsonPathLong", "jsonPathLongFast", "jsonPathLongFirstMatch", "jsonPathLongFory"], 3, LONG, |constants| {
        Lookup::made(constants, Wanted::Long)
    }),
    lookup(
        &["jsonPathDouble", "jsonPathDoubleFast", "jsonPathDoubleFirstMatch", "jsonPathDoubleFory"],
        3,
        DOUBLE,
        |constants| Lookup::made(constants, Wanted::Double),
    ),
    lookup(&["jsonPathArray"], 2, STRINGS, |constants| Lookup::made(constants, Wanted::Array)),
    lookup(&["jsonPathArrayDefaultEmpty"], 2, STRINGS, |constants| Lookup::made(constants, Wanted::ArrayOrEmpty)),
    lookup(&["jsonPathExists"], 2, BOOLEAN, |constants| Lookup::made(constants, Wanted::Exists)),
    Function::plain(&["jsonFormat"], 1, 1, STRING, |args, arena| Ok(formatted(args[0], arena))),
    Function::plain(&["toJsonMapStr"], 1, 1, STRING, |args, arena| Ok(formatted(args[0], arena))),
    Function::plain(&["isJson"], 1, 1, BOOLEAN, |args, arena| Ok(Datum::Bool(parsed(args[0], arena).is_some()))),
    Function::plain(&["jsonKeyValueArrayToMap"], 1, 1, JSON, |args, arena| key_values(args[0], arena)),
    Function::plain(&["jsonStringToArray"], 1, 1, STRINGS, |args, arena| Ok(whole(args[0], arena, "["))),
    Function::plain(&["jsonStringToMap"], 1, 1, JSON, |args, arena| Ok(whole(args[0], arena, "{"))),
    Function::plain(&["jsonStringToListOrMap"], 1, 1, STRING, |args, arena| Ok(whole(args[0], arena, "[{"))),
    Function::plain(&["jsonExtractObject"], 1, 1, JSON, |args, arena| {
        Ok(parsed(args[0], arena).map_or(Datum::Null, |json| of_json(&json, arena)))
    }),
    Function::plain(&["jsonExtractKey"], 2, 3, STRINGS, extract_keys),
    Function::plain(&["mapKeys"], 1, 1, STRINGS, |args, arena| {
        Ok(entries(args[0], arena, |key, _, arena| text(key, arena)))
    }),
    Function::plain(&["mapValues"], 1, 1, STRINGS, |args, arena| {
        Ok(entries(args[0], arena, |_, value, arena| of_json(value, arena)))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::value_text as eval;

    #[test]
    fn a_map_has_its_keys_and_values_in_order() {
        for (call, expected) in [
            (r#"mapKeys('{"b":1,"a":2}')"#, r#"["a","b"]"#),
            (r#"mapValues('{"b":1,"a":"x"}')"#, r#"["x",1]"#),
            ("mapKeys('{}')", "[]"),
            ("mapValues('[1]')", "NULL"),
        ] {
            assert_eq!(eval(call).as_deref(), Ok(expected), "{call}");
        }
    }

    /// The answers of Pinot 1.4.
    #[test]
    fn a_number_that_is_not_there_is_the_default_or_pinots_null() {
        let least = i64::MIN.to_string();
        for (call, expected) in [
            (r#"jsonPathLong('{"a":5}', '$.a')"#, "5"),
            (r#"jsonPathLong('{"a":2.9}', '$.a')"#, "2"),
            (r#"jsonPathLong('{"a":5}', '$.b')"#, &least),
            (r#"jsonPathLong('{"a":"x"}', '$.a')"#, &least),
            (r#"jsonPathLong('{"a":null}', '$.a')"#, &least),
            (r#"jsonPathLong('{"a":true}', '$.a')"#, &least),
            ("jsonPathLong('not json', '$.a')", &least),
            (r#"jsonPathDouble('{"a":5}', '$.b')"#, "NaN"),
            (r#"jsonPathDouble('{"a":"x"}', '$.a')"#, "NaN"),
            (r#"jsonPathLong('{"a":"x"}', '$.a', 3)"#, "3"),
            ("jsonPathLong(NULL, '$.a')", "NULL"),
        ] {
            assert_eq!(eval(call).as_deref(), Ok(expected), "{call}");
        }
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let json: Json = serde_json::from_str(r#"{"a":{"b":[{"c":1},{"c":2}]},"x y":3,"c":9,"n":null}"#).unwrap();
        let found =
            |path: &str| Path::parse(path).unwrap().find(&json).into_iter().map(Json::to_string).collect::<Vec<_>>();
        assert_eq!(found("$.a.b[1].c"), ["2"]);
        assert_eq!(found("$.a.b[-1].c"), ["2"]);
        assert_eq!(found("$.a.b[*].c"), ["1", "2"]);
        assert_eq!(found("$..c"), ["9", "1", "2"]);
        assert_eq!(found("$['x y']"), ["3"]);
        assert_eq!((found("$.n"), found("$.a.z")), (vec!["null".to_owned()], vec![]));
        for bad in ["a.b", "$.", "$[x]", "$.a[", "$['a'"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
