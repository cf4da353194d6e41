//! What a segment says that it holds is what it has allocated: the node's memory bound counts by it.
//!
//! The only test of its process: an allocator counts, and nothing else may allocate meanwhile.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicIsize, Ordering},
    },
};
use weir_segment::{ConsumingSegment, ConsumingSpec};
use weir_types::{ColumnData, ColumnName, DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema, SchemaVersion};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: all is done by the system's allocator; counting changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Types and how many distinct values; 0: all are.
const COLUMNS: [(DataType, u64, bool); 14] = [
    (DataType::Long, 200_000, true),
    (DataType::String, 0, true),
    (DataType::String, 50, true),
    (DataType::String, 5000, true),
    (DataType::String, 5, true),
    (DataType::String, 20_000, true),
    (DataType::Int, 10, true),
    (DataType::Long, 5000, true),
    (DataType::Double, 0, true),
    (DataType::Int, 100, true),
    (DataType::Timestamp, 0, true),
    (DataType::String, 40, false),
    (DataType::Float, 300, true),
    (DataType::Bytes, 0, true),
];

fn schema() -> Arc<Schema> {
    let field = |(at, (data_type, _, single_value)): (usize, &(DataType, u64, bool))| {
        let name = ColumnName::parse(&format!("c{at}")).expect("a good name");
        FieldSpec { single_value: *single_value, ..FieldSpec::new(name, *data_type, FieldKind::Dimension) }
    };
    Arc::new(Schema::new("held", SchemaVersion(1), COLUMNS.iter().enumerate().map(field).collect()))
}

fn batch(schema: &Schema, rows: usize, state: &mut u64) -> RowBatch {
    let mut batch = RowBatch::new(schema);
    for (at, column) in batch.columns.iter_mut().enumerate() {
        let (_, distinct, single_value) = COLUMNS[at];
        for row in 0..rows {
            for _ in 0..if single_value { 1 } else { 3 } {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                let drawn = if distinct == 0 { *state >> 8 } else { (*state >> 8) % distinct };
                match &mut column.data {
                    ColumnData::Str(v) => v.push(format!("value-{drawn}").as_bytes()),
                    ColumnData::Int(v) => v.push(drawn as i32),
                    ColumnData::Long(v) => v.push(drawn as i64),
                    ColumnData::Float(v) => v.push(drawn as f32),
                    ColumnData::Double(v) => v.push(drawn as f64),
                    ColumnData::Bytes(v) => v.push(&drawn.to_le_bytes()),
                }
            }
            if let Some(ends) = &mut column.ends {
                ends.push(3 * (row as u32 + 1));
            }
            if at == 4 && row % 10 == 0 {
                column.nulls.push(row as u32);
            }
        }
    }
    batch.message_of_row = (0..rows as u32).collect();
    batch
}

/// A segment with so many rows that came in batches of `size`, each published; what it says it holds, and what it does.
fn filled(rows: usize, size: usize) -> (usize, usize) {
    let schema = schema();
    let mut state = 7;
    let no_dictionary: HashSet<_> = [8].into_iter().map(|at: usize| schema.fields()[at].name.clone()).collect();
    let spec = ConsumingSpec {
        name: "held__0__0__20260101T0000Z".into(),
        schema: schema.clone(),
        no_dictionary,
        keep_offsets: true,
        created_ms: 0,
    };
    let before = HELD.load(Ordering::Relaxed);
    let mut segment = ConsumingSegment::new(spec);
    for _ in 0..rows / size {
        let rows = batch(&schema, size, &mut state);
        segment.append(&rows, &|message| NextOffset::new(message.into()));
        drop(segment.snapshot());
    }
    let held = HELD.load(Ordering::Relaxed) - before;
    (segment.byte_count(), held as usize)
}

#[test]
fn a_segment_holds_what_it_says() {
    for (rows, size) in [(500, 50), (5000, 500), (24_000, 600), (40_000, 8000), (120_000, 600), (120_000, 8000)] {
        let (said, held) = filled(rows, size);
        // What is left out: the spec, the states at frozen blocks, heads of lists.
        let most = said + said / 50 + (16 << 10);
        assert!((said..=most).contains(&held), "{rows} rows by {size}: it says {said} and holds {held}");
    }
}
