//! Sealing: rows per second, time per row, bytes per row, on events of 13 columns.
//!
//! `cargo bench -p weir-segment --bench build [-- ROWS]`.

use std::{
    collections::{BTreeMap, HashSet},
    io::Write as _,
    sync::Arc,
    time::Instant,
};
use weir_base::Mapped;
use weir_segment::{BuildSpec, ConsumingSegment, ConsumingSpec, SealedSegment, Segment, build};
use weir_types::{
    Column, ColumnData, ColumnName, DataType, FieldIndexes, FieldKind, FieldSpec, NextOffset, RowBatch, Schema,
    SchemaVersion,
};

const COLUMNS: [(&str, DataType); 13] = [
    ("ts", DataType::Timestamp),
    ("event_id", DataType::String),
    ("user_id", DataType::String),
    ("country", DataType::String),
    ("device", DataType::String),
    ("event_type", DataType::String),
    ("page", DataType::String),
    ("referrer", DataType::String),
    ("status", DataType::Int),
    ("latency_ms", DataType::Int),
    ("bytes", DataType::Long),
    ("price", DataType::Double),
    ("is_new", DataType::Boolean),
];

fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

/// Few values are frequent, many are rare.
fn skewed(state: &mut u64, most: u64) -> u64 {
    let unit = (roll(state) >> 11) as f64 / (1u64 << 53) as f64;
    ((unit * unit * unit) * most as f64) as u64
}

fn fill(column: &mut Column, at: usize, row: u64, state: &mut u64) {
    let uuid = |state: &mut u64| {
        let (a, b) = (roll(state), roll(state));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a & 0xffff,
            a >> 20 & 0xfff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
    };
    let text = match at {
        1 => uuid(state),
        2 => format!("u{:07}", skewed(state, 200_000)),
        3 => format!("C{:02}", skewed(state, 60)),
        4 => format!("device-{}", skewed(state, 8)),
        5 => format!("type_{}", skewed(state, 20)),
        6 => format!("/shop/category/{}/item", skewed(state, 5000)),
        7 => format!("https://ref{}.example.com/", skewed(state, 1000)),
        _ => String::new(),
    };
    match &mut column.data {
        ColumnData::Str(v) => v.push(text.as_bytes()),
        ColumnData::Long(v) if at == 0 => v.push(1_700_000_000_000 + row as i64 / 4 + (roll(state) % 50) as i64),
        ColumnData::Long(v) => v.push(skewed(state, 1_000_000) as i64),
        ColumnData::Int(v) if at == 8 => v.push([200, 200, 200, 301, 404, 500][(roll(state) % 6) as usize]),
        ColumnData::Int(v) if at == 12 => v.push((roll(state) % 2) as i32),
        ColumnData::Int(v) => v.push(skewed(state, 3000) as i32),
        ColumnData::Double(v) => v.push((roll(state) % 50_000) as f64 / 100.0),
        other => unreachable!("no such column of {:?}", other.stored()),
    }
}

fn main() {
    let rows: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let name = |text: &str| ColumnName::parse(text).expect("names of this bench are good");
    let fields = COLUMNS.map(|(text, data_type)| FieldSpec::new(name(text), data_type, FieldKind::Dimension));
    let schema = Arc::new(Schema::new("events", SchemaVersion(1), fields.to_vec()));
    let mut out = std::io::stdout();
    let mut say = |text: String| writeln!(out, "{text}").expect("the console takes a line");
    let mut segment = ConsumingSegment::new(ConsumingSpec {
        name: "events__0__0__20261124T0000Z".into(),
        schema: schema.clone(),
        no_dictionary: HashSet::from([name("event_id")]),
        keep_offsets: false,
        created_ms: 0,
    });
    let mut state = 42;
    for start in (0..rows).step_by(8192) {
        let mut batch = RowBatch::new(&schema);
        let end = rows.min(start + 8192);
        for row in start..end {
            (0..COLUMNS.len()).for_each(|at| fill(&mut batch.columns[at], at, row, &mut state));
        }
        batch.message_of_row = (0..(end - start) as u32).collect();
        segment.append(&batch, &|message| NextOffset::new(start + u64::from(message)));
    }
    let snapshot = segment.freeze().snapshot();
    let raw = FieldIndexes { no_dictionary: true, ..FieldIndexes::default() };
    let mut indexes = BTreeMap::from([(name("event_id"), raw)]);
    let mut run = |what: &str, sorted: Option<&str>, indexes: &BTreeMap<ColumnName, FieldIndexes>| {
        let spec = BuildSpec {
            name: "events__0__0__20261124T0000Z".into(),
            schema: schema.clone(),
            sorted_column: sorted.map(name),
            indexes: indexes.clone(),
            keep_offsets: false,
            time_column: None,
        };
        let start = Instant::now();
        let built = build(&*snapshot, &spec).expect("the bench builds");
        let seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let sealed = SealedSegment::open(Mapped::new(built.bytes())).expect("the bench opens");
        let opening = start.elapsed().as_secs_f64() * 1e3;
        say(format!(
            "{what}: {:.3} s, {:.2} M rows/s, {:.3} us/row, {:.1} bytes/row, open {opening:.1} ms",
            seconds,
            rows as f64 / seconds / 1e6,
            seconds * 1e6 / rows as f64,
            built.bytes().len() as f64 / rows as f64,
        ));
        sealed
    };
    let sealed = run("plain", None, &indexes);
    run("sorted by country", Some("country"), &indexes);
    for column in ["country", "status", "event_type"] {
        indexes.insert(name(column), FieldIndexes { inverted: true, ..FieldIndexes::default() });
    }
    indexes.insert(name("ts"), FieldIndexes { range: true, ..FieldIndexes::default() });
    run("3 inverted, 1 range", None, &indexes);
    for (column, _) in COLUMNS {
        let info = sealed.column(column).expect("the column was built");
        let start = Instant::now();
        let mut values = Column::new(info.data_type.stored(), true);
        for first in (0..rows as u32).step_by(8192) {
            let end = (first + 8192).min(rows as u32);
            values = Column::new(info.data_type.stored(), true);
            sealed.read_values(info.at, first..end, &mut values);
        }
        let nanos = start.elapsed().as_secs_f64() * 1e9 / rows as f64;
        let ids = sealed.dictionary(info.at).map_or("raw".into(), |known| format!("{} ids", known.len()));
        say(format!(
            "  read {column}: {nanos:.2} ns/row ({ids}, {} bytes/row)",
            sealed.byte_count(info.at) as f64 / rows as f64
        ));
        drop(values);
    }
}
