//! What writing frozen blocks and taking them up again costs, for an event of thirteen columns.
//!
//! `cargo bench -p weir-segment --bench restore` (`--profile dev` for what tests and the demo run with).

use std::{
    collections::HashSet,
    hint::black_box,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};
use weir_base::Mapped;
use weir_segment::{ConsumingSegment, ConsumingSpec};
use weir_types::{ColumnData, ColumnName, DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema, SchemaVersion};

/// Type, and how many different values: 0 for all different.
const COLUMNS: [(DataType, u64); 13] = [
    (DataType::String, 0),
    (DataType::String, 8),
    (DataType::String, 50),
    (DataType::String, 500),
    (DataType::String, 5_000),
    (DataType::String, 50_000),
    (DataType::Int, 100),
    (DataType::Boolean, 2),
    (DataType::Long, 0),
    (DataType::Long, 100_000),
    (DataType::Double, 0),
    (DataType::Double, 0),
    (DataType::Timestamp, 0),
];

const ROWS: usize = 5_000_000;
const BATCH: usize = 8_192;

fn schema() -> Arc<Schema> {
    let field = |(at, (data_type, _)): (usize, &(DataType, u64))| {
        let name = ColumnName::parse(&format!("c{at}")).expect("a good name");
        FieldSpec::new(name, *data_type, FieldKind::Dimension)
    };
    Arc::new(Schema::new("bench", SchemaVersion(1), COLUMNS.iter().enumerate().map(field).collect()))
}

fn batch(schema: &Schema, seed: u64) -> RowBatch {
    let mut batch = RowBatch::new(schema);
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    };
    for (column, (_, distinct)) in batch.columns.iter_mut().zip(COLUMNS) {
        for _ in 0..BATCH {
            let drawn = if distinct == 0 { next() } else { next() % distinct };
            match &mut column.data {
                ColumnData::Str(v) => v.push(format!("{drawn:020x}").as_bytes()),
                ColumnData::Int(v) => v.push(drawn as i32),
                ColumnData::Long(v) => v.push(drawn as i64),
                ColumnData::Float(v) => v.push(drawn as f32),
                ColumnData::Double(v) => v.push(drawn as f64),
                ColumnData::Bytes(v) => v.push(&drawn.to_le_bytes()),
            }
        }
    }
    batch.message_of_row = (0..BATCH as u32).collect();
    batch
}

fn main() {
    let schema = schema();
    let spec = ConsumingSpec {
        name: "bench__0__0__20260101T0000Z".into(),
        schema: schema.clone(),
        no_dictionary: HashSet::new(),
        keep_offsets: false,
        created_ms: 0,
    };
    let mut held = ConsumingSegment::new(spec.clone());
    for seed in 0..(ROWS / BATCH) as u64 {
        held.append(&batch(&schema, seed * 7919 + 3), &|message| NextOffset::new(message.into()));
    }
    let snapshot = held.freeze().snapshot();
    let mut chunks: Vec<Mapped> = vec![];
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| writeln!(out, "{text}").expect("standard output is open");
    let speed = |bytes: usize, took: Duration| bytes as f64 / took.as_secs_f64() / 1e9;
    for _ in 0..3 {
        let start = Instant::now();
        // As the writer does: one buffer, used again.
        let mut buffer = vec![];
        let mut bytes = 0;
        for chunk in snapshot.chunks(0) {
            buffer.clear();
            chunk.encode(&mut buffer);
            bytes += black_box(&buffer).len();
        }
        let took = start.elapsed();
        say(format!(
            "encode {} rows, {bytes} bytes: {took:>8.2?}, {:.2} GB/s",
            snapshot.frozen_rows(),
            speed(bytes, took)
        ));
    }
    for chunk in snapshot.chunks(0) {
        let mut bytes = vec![];
        chunk.encode(&mut bytes);
        chunks.push(Mapped::new(bytes));
    }
    let bytes: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    drop(snapshot);
    for _ in 0..3 {
        let start = Instant::now();
        let mut restoring = ConsumingSegment::restoring(spec.clone());
        for chunk in &chunks {
            restoring.take_up(chunk, 0..chunk.len()).expect("what was just written fits");
        }
        let restored = restoring.finish();
        let took = start.elapsed();
        say(format!(
            "restore {} rows, {} bytes a row: {took:>8.2?}, {:.2} GB/s",
            restored.rows(),
            bytes / restored.rows() as usize,
            speed(bytes, took)
        ));
    }
}
