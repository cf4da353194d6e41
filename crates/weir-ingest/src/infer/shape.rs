//! What format messages are in, by their bytes; and why that is thought.

use super::sample::Sample;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeSet, HashMap};
use weir_formats::{BYTE_ORDER_MARK, csv};

/// A record as names and values, in the order in which they stand.
pub(super) type Record = Map<String, Json>;

/// Delimiters that are looked for, the likeliest first.
const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];

/// What messages look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON objects.
    Json,
    /// Lines of cells.
    Csv {
        delimiter: char,
        /// Names that every message brings in its first line.
        in_message: bool,
        /// Names as they stand in one of the messages, or numbered.
        names: Vec<String>,
        /// The names were found, not made up.
        named: bool,
    },
    /// Avro, all of the one schema that was given.
    Avro,
    /// A zero byte and the number of a schema, as serializers of a schema registry write.
    Registered { ids: BTreeSet<u32> },
    /// Something else: what was seen, and what to do.
    Other(String),
}

/// A share of `part` in `whole` for people.
pub(super) fn percent(part: usize, whole: usize) -> String {
    if part == whole {
        return "100 %".to_owned();
    }
    let share = part as f64 * 100.0 / whole.max(1) as f64;
    if share >= 99.95 { "99.9 %".to_owned() } else { format!("{share:.1} %") }
}

/// The value of a JSON message where it is an object.
pub(super) fn json_object(bytes: &[u8]) -> Option<Record> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes);
    match serde_json::from_slice(bytes) {
        Ok(Json::Object(object)) => Some(object),
        _ => None,
    }
}

/// Guesses the shape of messages that have values. Reasons go to `why`.
pub(super) fn guess(samples: &[&Sample], header: Option<&str>, why: &mut Vec<String>) -> Shape {
    let values: Vec<&[u8]> = samples.iter().filter_map(|sample| sample.value.as_deref()).collect();
    let count = values.len();
    let objects = values.iter().filter(|value| json_object(value).is_some()).count();
    if objects * 2 > count {
        why.push(format!("{} of {count} values are JSON objects", percent(objects, count)));
        return Shape::Json;
    }
    let framed: Vec<u32> = values.iter().filter_map(|value| schema_id(value)).collect();
    if framed.len() * 2 > count {
        why.push(format!(
            "{} of {count} values begin with a zero byte and a small number, as serializers of a schema registry write",
            percent(framed.len(), count)
        ));
        return Shape::Registered { ids: framed.into_iter().collect() };
    }
    // A list would pass for cells, a text in quotes too. A number alone is a line of one cell, which is no CSV either.
    let json = values.iter().filter(|value| serde_json::from_slice::<Json>(value).is_ok()).count();
    if json * 2 > count {
        return Shape::Other(other(&values));
    }
    cells_of(&values, header, why).unwrap_or_else(|| Shape::Other(other(&values)))
}

/// The number of a schema in front of a value. Registries number from 1 on; a large one is something else.
pub(super) fn schema_id(value: &[u8]) -> Option<u32> {
    match value {
        [0, a, b, c, d, _, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])).filter(|id| (1..1 << 24).contains(id)),
        _ => None,
    }
}

/// Cells of a line as the decoder cuts them; none where it would refuse the line.
pub(super) fn cells(line: &str, delimiter: char) -> Vec<String> {
    csv::fields(line, delimiter as u8).unwrap_or_default()
}

/// A value as text.
fn text_of(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(|text| text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))
}

/// Whether cells look like names: none empty, none a number, none twice.
fn are_names(cells: &[String]) -> bool {
    let distinct: BTreeSet<&String> = cells.iter().collect();
    let name = |cell: &String| {
        cell.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && cell.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c))
    };
    distinct.len() == cells.len() && cells.iter().all(name)
}

/// Guesses how cells stand in lines.
pub(super) fn guess_csv(samples: &[&Sample], header: Option<&str>, why: &mut Vec<String>) -> Option<Shape> {
    let values: Vec<&[u8]> = samples.iter().filter_map(|sample| sample.value.as_deref()).collect();
    cells_of(&values, header, why)
}

fn cells_of(values: &[&[u8]], header: Option<&str>, why: &mut Vec<String>) -> Option<Shape> {
    let texts: Vec<&str> = values.iter().filter_map(|value| text_of(value)).collect();
    if texts.len() * 2 <= values.len() || texts.is_empty() {
        return None;
    }
    let lines: Vec<Vec<&str>> = texts.iter().map(|text| text.lines().collect()).collect();
    // Every message with the same first line, and more: the names.
    let first = lines[0].first()?;
    let in_message = lines.iter().all(|lines| lines.len() > 1 && lines.first() == Some(first));
    let of_line = |line: &str, delimiter| cells(line, delimiter).len();
    let split = |delimiter| {
        let width = of_line(lines[0].last()?, delimiter);
        let alike = lines.iter().flatten().filter(|line| of_line(line, delimiter) == width).count();
        let all = lines.iter().map(Vec::len).sum::<usize>();
        (width > 1 && alike * 10 >= all * 9).then_some((delimiter, width, alike, all))
    };
    // Names that were given tell their delimiter. Else the one that makes more cells: decimal commas stand in every line too.
    let fits = |delimiter, width| header.is_some_and(|header| of_line(header, delimiter) == width);
    let found = DELIMITERS.into_iter().rev().filter_map(split);
    let found = found.max_by_key(|(delimiter, width, ..)| (fits(*delimiter, *width), *width));
    let (delimiter, width, alike, all) = found?;
    why.push(format!("{} of {all} lines have {width} cells between {delimiter:?}", percent(alike, all)));
    if in_message && are_names(&cells(first, delimiter)) {
        why.push("every message begins with the same line: the names of its cells".to_owned());
        return Some(Shape::Csv { delimiter, in_message: true, names: cells(first, delimiter), named: true });
    }
    let given = header.map(|header| cells(header, delimiter)).filter(|names| names.len() == width);
    let named = given.is_some();
    let lines: Vec<Vec<String>> = lines.iter().flatten().map(|line| cells(line, delimiter)).collect();
    let numbers = lines.iter().flatten().any(|cell| cell.parse::<f64>().is_ok());
    let plain = |cells: &[String]| !cells.iter().any(|cell| cell.contains(|c: char| c == ' ' || c.is_ascii_digit()));
    let mut times: HashMap<&[String], usize> = HashMap::new();
    lines.iter().for_each(|cells| *times.entry(cells).or_default() += 1);
    // Names come once in a hundred lines at most (once, where there are few).
    let seldom = |cells: &Vec<String>| times[cells.as_slice()] <= lines.len() / 100 + 1;
    let seen = lines
        .iter()
        .find(|cells| numbers && cells.len() == width && are_names(cells) && plain(cells) && seldom(cells))
        .cloned();
    let named = named || seen.is_some();
    if let (Some(seen), None) = (&seen, &given) {
        why.push(format!(
            "one line has words alone ({}): taken as the names of the cells; it will be a row or a reject of its own",
            seen.join(&delimiter.to_string())
        ));
    }
    let names = given.or(seen).unwrap_or_else(|| (1..=width).map(|at| format!("c{at}")).collect());
    if !named {
        let example = ["a", "b", "c"].join(&delimiter.to_string());
        why.push(format!("no message names the cells: they are numbered c1, c2, ..; --header {example:?} names them"));
    }
    Some(Shape::Csv { delimiter, in_message: false, names, named })
}

/// A record of CSV: texts that look like numbers or truths are those.
pub(super) fn csv_record(bytes: &[u8], delimiter: char, in_message: bool, names: &[String]) -> Option<Record> {
    let line = text_of(bytes)?.lines().nth(usize::from(in_message))?;
    let cells = cells(line, delimiter);
    if cells.len() != names.len() || cells == names {
        return None;
    }
    Some(names.iter().cloned().zip(cells.iter().map(|cell| typed(cell))).collect())
}

/// How many cells a message of CSV has; none where it is no line of text, or a quote in it is not closed.
pub(super) fn csv_cells(bytes: &[u8], delimiter: char, in_message: bool) -> usize {
    let line = text_of(bytes).and_then(|text| text.lines().nth(usize::from(in_message)));
    line.map_or(0, |line| cells(line, delimiter).len())
}

fn typed(cell: &str) -> Json {
    let text = cell.trim();
    // A number with a leading zero is a code, and would lose it.
    let digits = text.trim_start_matches(['-', '+']);
    let code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    match text {
        "" => Json::Null,
        "true" | "false" => Json::Bool(text == "true"),
        _ if !code && text.bytes().all(|c| b"+-.0123456789eE".contains(&c)) => {
            serde_json::from_str(text.trim_start_matches('+')).unwrap_or_else(|_| Json::String(cell.to_owned()))
        }
        _ => Json::String(cell.to_owned()),
    }
}

/// Whether a value is of a kind.
type Fits = fn(&[u8]) -> bool;

/// What values are that are none of the formats that are guessed.
pub(super) fn other(values: &[&[u8]]) -> String {
    let of = |fits: Fits| values.iter().filter(|value| fits(value)).count() * 2 > values.len();
    let known: [(Fits, &str); 7] = [
        (|v| v.starts_with(&[0xff, 0xff, 0xff, 0xff]), "Arrow IPC: describe the table by hand, with decoder arrow"),
        (
            |v| v.len() > 4 && v[..4] == u32::try_from(v.len()).unwrap_or(0).to_le_bytes() && v.last() == Some(&0),
            "BSON: describe the table by hand, with decoder bson",
        ),
        (|v| v.starts_with(b":)\n"), "Smile: describe the table by hand, with decoder json and jsonFormat SMILE"),
        (|v| v.starts_with(&[0x1f, 0x8b]), "gzip: have the producer's client compress instead of the application"),
        (
            |v| v.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]),
            "zstd: have the producer's client compress instead of the application",
        ),
        (|v| v.starts_with(b"Obj\x01"), "Avro container files: have the producer send single records"),
        (
            |v| serde_json::from_slice::<Json>(v).is_ok(),
            "JSON that is no object (a list, a number, a text): send objects",
        ),
    ];
    if let Some((_, what)) = known.into_iter().find(|(fits, _)| of(*fits)) {
        return what.to_owned();
    }
    let first = values.first().copied().unwrap_or_default();
    let digits: Vec<String> = first.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let text = values.iter().filter(|value| std::str::from_utf8(value).is_ok()).count() * 2 > values.len();
    let kind = if text { "text, but neither JSON objects nor cells" } else { "binary" };
    format!(
        "{kind} (the first begins with the bytes {}): Avro and Protobuf without a schema registry do not say what they \
         hold: describe the table by hand with decoder avro or protobuf, or name the format with --format (avro with the \
         schema that it was written with: --format avro --schema FILE)",
        digits.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::NextOffset;

    fn guessed(values: &[&[u8]]) -> (Shape, String) {
        let samples: Vec<Sample> = values
            .iter()
            .map(|value| Sample {
                partition: 0,
                offset: NextOffset::new(0),
                timestamp_ms: None,
                key: None,
                value: Some(value.to_vec()),
            })
            .collect();
        let mut why = vec![];
        let shape = guess(&samples.iter().collect::<Vec<_>>(), None, &mut why);
        (shape, why.join("; "))
    }

    #[test]
    fn formats_are_known_by_their_bytes() {
        assert_eq!(guessed(&[b"{\"a\":1}", b" {\"a\":2} ", b"nonsense"]).0, Shape::Json);
        assert_eq!(guessed(&[b"\xef\xbb\xbf{\"a\":1}"]).0, Shape::Json);
        let ids = [7].into_iter().collect();
        assert_eq!(guessed(&[b"\0\0\0\0\x07ab", b"\0\0\0\0\x07cd"]).0, Shape::Registered { ids });
        for (value, said) in [
            (&b"[1,2]"[..], "JSON that is no object"),
            (&[0x1f, 0x8b, 8, 0], "gzip"),
            (&[0xff, 0xff, 0xff, 0xff, 1], "Arrow"),
            (&[5, 0, 0, 0, 0], "BSON"),
            (b"Obj\x01avro", "container"),
            (&[0x80, 0xff, 3], "binary (the first begins with the bytes 80 ff 03)"),
            (b"hello", "text, but neither"),
        ] {
            let (shape, _) = guessed(&[value]);
            assert!(matches!(&shape, Shape::Other(text) if text.contains(said)), "{said}: {shape:?}");
        }
    }

    #[test]
    fn cells_have_names_where_a_line_says_them() {
        let csv = |shape: Shape| match shape {
            Shape::Csv { delimiter, in_message, names, named } => (delimiter, in_message, names.join("/"), named),
            other => panic!("{other:?}"),
        };
        let numbered = guessed(&[b"1,DE,5.5", b"2,FR,\"1,5\"", b"3,DE,7"]);
        assert_eq!(csv(numbered.0), (',', false, "c1/c2/c3".into(), false));
        assert!(numbered.1.contains("--header"), "{}", numbered.1);
        let headed = guessed(&[b"id;country;amount", b"1;DE;5", b"2;FR;6"]);
        assert_eq!(csv(headed.0), (';', false, "id/country/amount".into(), true));
        let each = guessed(&[b"id\tcountry\n1\tDE", b"id\tcountry\n2\tFR"]);
        assert_eq!(csv(each.0), ('\t', true, "id/country".into(), true));
    }

    #[test]
    fn cells_are_numbers_unless_that_would_lose_something() {
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let record = csv_record(b"007,1.5e3,true,", ',', false, &names).unwrap();
        assert_eq!(Json::Object(record).to_string(), r#"{"a":"007","b":1.5e+3,"c":true,"d":null}"#);
        assert!(csv_record(b"a,b,c,d", ',', false, &names).is_none() && csv_record(b"1", ',', false, &names).is_none());
    }
}
