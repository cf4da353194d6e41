//! Values out of JSON text by path: `$.a.b[0]`, `$['a']`, `$.a[*].b`.

use super::{
    convert::shared,
    fun::{Args, Fun, Gives},
};
use arrow::array::{
    Float64Array, Float64Builder, Int64Array, Int64Builder, ListBuilder, StringViewArray, StringViewBuilder,
};
use datafusion::common::{Result, exec_datafusion_err};
use serde_json::Value as Json;
use weir_types::DataType;

/// All of the family. The default comes last; without one a path that leads nowhere is an error.
pub(super) const FUNS: [Fun; 6] = [
    Fun::new("w_json_text", (2, 3), Gives::One(DataType::String), |args| {
        let found = Found::new(args)?;
        let default = if args.len() > 2 { Some(args.texts(2)?) } else { None };
        let texts =
            found.one(|json| Some(text_of(json)), |row| default.as_ref().map(|texts| texts.value(row).to_owned()));
        Ok(shared(StringViewArray::from_iter(texts?)))
    }),
    Fun::new("w_json_long", (2, 3), Gives::One(DataType::Long), |args| {
        let found = Found::new(args)?;
        let default = if args.len() > 2 { Some(args.longs(2)?) } else { None };
        let numbers = found.one(long_of, |row| default.as_ref().map(|numbers| numbers.value(row)))?;
        Ok(shared(numbers.into_iter().collect::<Int64Array>()))
    }),
    Fun::new("w_json_double", (2, 3), Gives::One(DataType::Double), |args| {
        let found = Found::new(args)?;
        let default = if args.len() > 2 { Some(args.doubles(2)?) } else { None };
        let numbers = found.one(double_of, |row| default.as_ref().map(|numbers| numbers.value(row)))?;
        Ok(shared(numbers.into_iter().collect::<Float64Array>()))
    }),
    Fun::new("w_json_texts", (2, 3), Gives::Many(DataType::String), |args| {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for row in Found::new(args)?.rows() {
            row?.iter().for_each(|json| lists.values().append_value(text_of(json)));
            lists.append(true);
        }
        Ok(shared(lists.finish()))
    }),
    Fun::new("w_json_longs", (2, 3), Gives::Many(DataType::Long), |args| {
        let mut lists = ListBuilder::new(Int64Builder::new());
        for row in Found::new(args)?.rows() {
            row?.iter().filter_map(long_of).for_each(|number| lists.values().append_value(number));
            lists.append(true);
        }
        Ok(shared(lists.finish()))
    }),
    Fun::new("w_json_doubles", (2, 3), Gives::Many(DataType::Double), |args| {
        let mut lists = ListBuilder::new(Float64Builder::new());
        for row in Found::new(args)?.rows() {
            row?.iter().filter_map(double_of).for_each(|number| lists.values().append_value(number));
            lists.append(true);
        }
        Ok(shared(lists.finish()))
    }),
];

fn text_of(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

fn long_of(json: &Json) -> Option<i64> {
    match json {
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
        Json::Bool(truth) => Some(i64::from(*truth)),
        Json::String(text) => {
            text.trim().parse().ok().or_else(|| text.trim().parse::<f64>().ok().map(|number| number as i64))
        }
        _ => None,
    }
}

fn double_of(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
    All,
}

/// A path made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path(Vec<Step>);

impl Path {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || exec_datafusion_err!("'{text}' is not a JSON path: '$.a.b[0]', '$[\"a\"]' and '$.a[*]' are");
        let mut rest = text.trim().strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = vec![];
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (key, tail) = after.split_at(end);
                match key {
                    "" => return Err(wrong()),
                    "*" => steps.push(Step::All),
                    key => steps.push(Step::Key(key.to_owned())),
                }
                rest = tail;
            } else {
                let (inside, tail) =
                    rest.strip_prefix('[').and_then(|after| after.split_once(']')).ok_or_else(wrong)?;
                let inside = inside.trim();
                let quoted = |quote: char| inside.strip_prefix(quote)?.strip_suffix(quote);
                steps.push(match (quoted('\'').or_else(|| quoted('"')), inside) {
                    (Some(key), _) => Step::Key(key.to_owned()),
                    (None, "*") => Step::All,
                    (None, number) => Step::At(number.parse().map_err(|_| wrong())?),
                });
                rest = tail;
            }
        }
        Ok(Self(steps))
    }

    fn find<'a>(&self, json: &'a Json) -> Vec<&'a Json> {
        let mut found = vec![json];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|json| -> Vec<&'a Json> {
                    match (step, json) {
                        (Step::Key(key), Json::Object(fields)) => fields.get(key).into_iter().collect(),
                        (Step::At(at), Json::Array(items)) => items.get(*at).into_iter().collect(),
                        (Step::All, Json::Array(items)) => items.iter().collect(),
                        (Step::All, Json::Object(fields)) => fields.values().collect(),
                        _ => vec![],
                    }
                })
                .collect();
        }
        found.retain(|json| !json.is_null());
        found
    }
}

/// What a path finds in each row.
struct Found {
    texts: StringViewArray,
    path: Path,
    shown: String,
}

impl Found {
    fn new(args: &Args) -> Result<Self> {
        let shown = args.constant_text(1, "the path")?;
        Ok(Self { texts: args.texts(0)?, path: Path::parse(&shown)?, shown })
    }

    /// The values that each row's path leads to; an array that it leads to gives its elements.
    fn rows(&self) -> impl Iterator<Item = Result<Vec<Json>>> {
        self.texts.iter().map(|text| {
            let Some(json) = text.and_then(|text| serde_json::from_str::<Json>(text).ok()) else { return Ok(vec![]) };
            let found = self.path.find(&json);
            Ok(match found.as_slice() {
                [Json::Array(items)] => items.clone(),
                _ => found.into_iter().cloned().collect(),
            })
        })
    }

    fn one<T>(&self, read: fn(&Json) -> Option<T>, default: impl Fn(usize) -> Option<T>) -> Result<Vec<Option<T>>> {
        let value = |(row, text): (usize, Option<&str>)| {
            let json = text.and_then(|text| serde_json::from_str::<Json>(text).ok());
            let found = json.as_ref().and_then(|json| self.path.find(json).first().and_then(|json| read(json)));
            match found.or_else(|| default(row)) {
                Some(value) => Ok(Some(value)),
                None if text.is_none() => Ok(None),
                None => Err(exec_datafusion_err!(
                    "JSON path '{}' leads nowhere in some row; give a default as the last argument",
                    self.shown
                )),
            }
        };
        self.texts.iter().enumerate().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let json: Json = serde_json::from_str(r#"{"a":{"b":[{"c":1},{"c":2}]},"x y":3,"n":null}"#).unwrap();
        let found =
            |path: &str| Path::parse(path).unwrap().find(&json).into_iter().map(Json::to_string).collect::<Vec<_>>();
        assert_eq!(found("$.a.b[1].c"), ["2"]);
        assert_eq!(found("$.a.b[*].c"), ["1", "2"]);
        assert_eq!(found("$['x y']"), ["3"]);
        assert!(found("$.n").is_empty() && found("$.a.z").is_empty());
        for bad in ["a.b", "$.", "$[x]", "$.a["] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
