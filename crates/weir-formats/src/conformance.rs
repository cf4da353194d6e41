//! What every decoder of the shelf must do, whatever its format. Panics where one does not: for tests.

use crate::decoder::{DecodeSpec, Decoded, Decoder, Payload, Stage};
use std::sync::Arc;
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion, Value};

/// One record of the suite: `id` LONG, `name` STRING, `score` DOUBLE, `tags` multi-value STRING. `None` is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Column `id`.
    pub id: i64,
    /// Column `name`.
    pub name: Option<String>,
    /// Column `score`.
    pub score: Option<f64>,
    /// Column `tags`.
    pub tags: Vec<String>,
}

fn sample(id: i64) -> Sample {
    Sample {
        id,
        name: (id % 5 != 0).then(|| format!("name \"{id}\" \u{e9}\n")),
        score: (id % 7 != 0).then_some(id as f64 / 4.0),
        tags: (0..id.rem_euclid(4)).map(|tag| format!("tag{tag}")).collect(),
    }
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, data_type, single_value| {
        let name = ColumnName::parse(name).expect("the suite's names are names");
        FieldSpec { single_value, ..FieldSpec::new(name, data_type, FieldKind::Dimension) }
    };
    let fields = vec![
        field("id", DataType::Long, true),
        field("name", DataType::String, true),
        field("score", DataType::Double, true),
        field("tags", DataType::String, false),
    ];
    Arc::new(Schema::new("conformance", SchemaVersion(1), fields))
}

fn decode(decoder: &mut dyn Decoder, messages: &[Vec<u8>], rows: &mut RowBatch) -> Decoded {
    let mut payloads = (0u32..).zip(messages).map(|(at, value)| Payload { message: at * 3, value, key: None });
    let decoded = decoder.decode(&mut payloads, rows);
    for column in &rows.columns {
        assert_eq!(column.rows(), rows.rows(), "columns are of equal length");
        assert!(column.nulls.is_sorted() && column.nulls.iter().all(|row| (*row as usize) < rows.rows()));
    }
    assert!(rows.message_of_row.is_sorted(), "rows stand in the order of their messages");
    decoded
}

fn check_row(rows: &RowBatch, row: usize, expected: &Sample) {
    let at = u32::try_from(row).expect("few rows");
    let null = |column: usize| rows.columns[column].nulls.contains(&at);
    assert_eq!(rows.columns[0].data.get(row), Value::Long(expected.id));
    let name = expected.name.as_deref().map_or(Value::Str("null".into()), |name| Value::Str(name.into()));
    assert_eq!((rows.columns[1].data.get(row), null(1)), (name, expected.name.is_none()));
    let score = Value::Double(expected.score.unwrap_or(f64::NEG_INFINITY));
    assert_eq!((rows.columns[2].data.get(row), null(2)), (score, expected.score.is_none()));
    let tags: Vec<String> = rows.columns[3].values_of(row).map(|at| rows.columns[3].data.get(at).to_string()).collect();
    let default = vec!["null".to_owned()];
    assert_eq!(
        (&tags, null(3)),
        (if expected.tags.is_empty() { &default } else { &expected.tags }, expected.tags.is_empty())
    );
}

/// What no format takes, but those in which every text is a record.
const GARBAGE: [&[u8]; 4] = [b"", b"\xff\xfe\xfd\x00", b"\x01", b"]]]]]]]]"];

/// Runs the suite. `make` builds a fresh decoder, `encode` writes one sample as one message of the format.
pub fn conformance(make: &dyn Fn(DecodeSpec) -> Box<dyn Decoder>, encode: &dyn Fn(&Sample) -> Vec<u8>) {
    conformance_with(make, encode, &GARBAGE);
}

/// Runs the suite for a format that has garbage of its own.
pub fn conformance_with(
    make: &dyn Fn(DecodeSpec) -> Box<dyn Decoder>,
    encode: &dyn Fn(&Sample) -> Vec<u8>,
    garbage: &[&[u8]],
) {
    for continue_on_error in [false, true] {
        let spec = DecodeSpec { schema: schema(), continue_on_error, topic: "t".into(), raw: 0 };
        many_rows(make(spec.clone()).as_mut(), &spec.schema, encode);
        rejects_leave_no_trace(make(spec.clone()).as_mut(), &spec.schema, encode, garbage);
        every_truncation(make(spec.clone()).as_mut(), &spec.schema, encode);
    }
}

/// Many messages, in two batches into one `RowBatch`: values, nulls and messages are all there.
fn many_rows(decoder: &mut dyn Decoder, schema: &Schema, encode: &dyn Fn(&Sample) -> Vec<u8>) {
    let messages: Vec<Vec<u8>> = (0..1000).map(|id| encode(&sample(id))).collect();
    let mut rows = RowBatch::new(schema);
    for half in messages.chunks(500) {
        assert_eq!(decode_appending(decoder, half, &mut rows), Decoded::default());
    }
    assert_eq!(rows.rows(), 1000);
    (0..1000).for_each(|row| check_row(&rows, row, &sample(row as i64)));
    assert_eq!(rows.message_of_row[501], 3, "message numbers are those of the batch");
}

fn decode_appending(decoder: &mut dyn Decoder, messages: &[Vec<u8>], rows: &mut RowBatch) -> Decoded {
    let mut payloads = (0u32..).zip(messages).map(|(at, value)| Payload { message: at * 3, value, key: None });
    decoder.decode(&mut payloads, rows)
}

/// Garbage and empty messages among good ones are rejected one by one, and the good ones are stored whole.
fn rejects_leave_no_trace(
    decoder: &mut dyn Decoder,
    schema: &Schema,
    encode: &dyn Fn(&Sample) -> Vec<u8>,
    garbage: &[&[u8]],
) {
    let mut messages = vec![];
    for (at, bad) in (0i64..).zip(garbage) {
        messages.push(encode(&sample(at)));
        messages.push(bad.to_vec());
    }
    let mut rows = RowBatch::new(schema);
    let decoded = decode(decoder, &messages, &mut rows);
    let count = u32::try_from(garbage.len()).expect("little garbage");
    assert_eq!(rows.message_of_row, (0..count).map(|at| at * 6).collect::<Vec<_>>());
    (0..garbage.len()).for_each(|row| check_row(&rows, row, &sample(row as i64)));
    let rejected: Vec<u32> = decoded.rejects.iter().map(|reject| reject.message).collect();
    assert_eq!(rejected, (0..count).map(|at| at * 6 + 3).collect::<Vec<_>>());
    assert!(decoded.rejects.iter().all(|reject| reject.stage == Stage::Decode && !reject.reason.is_empty()));
}

/// A message cut anywhere is a row or a reject, never a panic, and what follows is unharmed.
fn every_truncation(decoder: &mut dyn Decoder, schema: &Schema, encode: &dyn Fn(&Sample) -> Vec<u8>) {
    let whole = encode(&sample(3));
    for cut in 0..whole.len() {
        let messages = [whole[..cut].to_vec(), whole.clone()];
        let mut rows = RowBatch::new(schema);
        let decoded = decode(decoder, &messages, &mut rows);
        assert_eq!(rows.rows() + decoded.rejects.len() + decoded.empty as usize, 2, "cut at {cut}");
        assert_eq!(rows.message_of_row.last(), Some(&3), "cut at {cut}");
        check_row(&rows, rows.rows() - 1, &sample(3));
    }
}
