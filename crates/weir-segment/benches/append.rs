//! Rows per second of appending, and what publishing costs behind a short and a long tail.
//!
//! `cargo bench -p weir-segment --bench append`. Twelve columns: eight of few values, four raw numbers.

use std::{
    collections::HashSet,
    hint::black_box,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};
use weir_segment::{ConsumingSegment, ConsumingSpec};
use weir_types::{ColumnData, ColumnName, DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema, SchemaVersion};

const TYPES: [DataType; 12] = [
    DataType::String,
    DataType::String,
    DataType::String,
    DataType::String,
    DataType::Int,
    DataType::Int,
    DataType::Boolean,
    DataType::Long,
    DataType::Double,
    DataType::Double,
    DataType::Timestamp,
    DataType::Float,
];

fn schema() -> Arc<Schema> {
    let field = |(at, data_type): (usize, &DataType)| {
        let name = ColumnName::parse(&format!("c{at}")).expect("a good name");
        FieldSpec::new(name, *data_type, FieldKind::Dimension)
    };
    Arc::new(Schema::new("bench", SchemaVersion(1), TYPES.iter().enumerate().map(field).collect()))
}

fn segment(schema: &Arc<Schema>) -> ConsumingSegment {
    let no_dictionary: HashSet<ColumnName> = schema.fields()[8..].iter().map(|field| field.name.clone()).collect();
    let name = "bench__0__0__20260101T0000Z".into();
    ConsumingSegment::new(ConsumingSpec {
        name,
        schema: schema.clone(),
        no_dictionary,
        keep_offsets: true,
        created_ms: 0,
    })
}

fn batch(schema: &Schema, rows: usize, seed: u64) -> RowBatch {
    let mut batch = RowBatch::new(schema);
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    };
    for (at, column) in batch.columns.iter_mut().enumerate() {
        let distinct = [8, 50, 500, 2000, 100, 10, 2, 1000, 0, 0, 0, 0][at];
        for _ in 0..rows {
            let drawn = next();
            match &mut column.data {
                ColumnData::Str(v) => v.push(format!("value-{}", drawn % distinct).as_bytes()),
                ColumnData::Int(v) => v.push((drawn % distinct) as i32),
                ColumnData::Long(v) if distinct > 0 => v.push((drawn % distinct) as i64),
                ColumnData::Long(v) => v.push(drawn as i64),
                ColumnData::Float(v) => v.push(drawn as f32),
                ColumnData::Double(v) => v.push(drawn as f64),
                ColumnData::Bytes(v) => v.push(&drawn.to_le_bytes()),
            }
        }
    }
    batch.message_of_row = (0..rows as u32).collect();
    batch
}

fn offset(message: u32) -> NextOffset {
    NextOffset::new(message.into())
}

fn append_cost(schema: &Arc<Schema>, rows: usize, batches: &[RowBatch]) -> (Duration, usize) {
    let mut held = segment(schema);
    let start = Instant::now();
    for batch in batches.iter().cycle().take(rows / batches[0].rows()) {
        held.append(batch, &offset);
        black_box(held.snapshot());
    }
    (start.elapsed(), held.byte_count())
}

/// Mean cost of appending and publishing one row, over a thousand of them behind a tail of that many.
fn publish_cost(schema: &Arc<Schema>, tail: usize) -> Duration {
    let mut held = segment(schema);
    held.append(&batch(schema, tail, 5), &offset);
    held.snapshot();
    let one = batch(schema, 1, 11);
    let start = Instant::now();
    for _ in 0..1000 {
        held.append(&one, &offset);
        black_box(held.snapshot());
    }
    start.elapsed() / 1000
}

fn main() {
    let schema = schema();
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| writeln!(out, "{text}").expect("standard output is open");
    for size in [1, 10, 500, 5000] {
        let batches: Vec<RowBatch> = (0..16).map(|seed| batch(&schema, size, seed * 7919 + 3)).collect();
        let rows = if size < 100 { 200_000 } else { 1_000_000 };
        let (took, bytes) = append_cost(&schema, rows, &batches);
        let nanos = took.as_nanos() as f64 / rows as f64;
        say(format!(
            "append, a snapshot per batch of {size:>4}: {:>9.0} rows/s, {nanos:>6.0} ns/row, {} bytes/row held",
            1e9 / nanos,
            bytes / rows
        ));
    }
    for tail in [1_000, 60_000] {
        say(format!("publish one row behind a tail of {tail:>5}: {:>8.2?}", publish_cost(&schema, tail)));
    }
}
