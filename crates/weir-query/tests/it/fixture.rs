//! Three tables with fixed rows, in sealed, frozen and consuming segments, and an engine over them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use weir_base::{SharedClock, SystemClock, disk::Mapped};
use weir_query::{QueryEngine, QueryOptions, QueryRequest, QueryResponse, SystemTable, TableSource};
use weir_segment::{BuildSpec, ConsumingSegment, ConsumingSpec, SealedSegment, Segment, build};
use weir_table::{Lack, SegmentView, TableSnapshot};
use weir_types::{
    Column, ColumnData, ColumnName, DataType, ErrorPolicy, FieldIndexes, FieldKind, FieldSpec, FlushPolicy, NextOffset,
    RowBatch, RowsThreshold, Schema, SchemaVersion, StreamPartition, TableKind, TableName, TableSpec, TopicName, Value,
};

/// Wall time of `now()`.
pub(crate) const NOW_MS: i64 = 1_767_312_000_000; // 2026-01-02T00:00:00Z

pub(crate) fn name(text: &str) -> ColumnName {
    ColumnName::parse(text).unwrap()
}

pub(crate) fn spec(table: &str, null_handling: bool) -> TableSpec {
    TableSpec {
        name: TableName::parse(table).unwrap(),
        kind: TableKind::Realtime,
        time_column: None,
        replication: 1,
        streams: vec![],
        patterns: vec![],
        flush: FlushPolicy {
            rows: RowsThreshold::PerSegment(1000),
            max_age: Duration::from_secs(3600),
            variance_fraction: 0.0,
        },
        sorted_column: None,
        indexes: BTreeMap::new(),
        null_handling,
        row_time_check: false,
        continue_on_error: false,
        expressions: weir_types::Expressions::default(),
        partitioned_by: None,
        error_policy: ErrorPolicy::Quarantine,
        quarantine: Default::default(),
        retention: Default::default(),
        lagging_after: Duration::from_secs(30),
    }
}

fn value(data_type: DataType, text: &str) -> Value {
    match data_type {
        DataType::Int => Value::Int(text.parse().unwrap()),
        DataType::Boolean => Value::Int(i32::from(text == "true")),
        DataType::Long | DataType::Timestamp => Value::Long(text.parse().unwrap()),
        DataType::Float => Value::Float(text.parse().unwrap()),
        DataType::Double => Value::Double(text.parse().unwrap()),
        DataType::BigDecimal | DataType::String | DataType::Json | DataType::Map => Value::Str(text.into()),
        DataType::Bytes | DataType::Uuid => Value::Bytes(text.as_bytes().into()),
    }
}

/// Rows from lines with a cell per field; `-` is null, values of a multi-value cell are separated by commas.
fn batch(schema: &Schema, lines: &[&str]) -> RowBatch {
    let mut batch = RowBatch::new(schema);
    for line in lines {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), schema.fields().len(), "{line}");
        for ((field, column), cell) in schema.fields().iter().zip(&mut batch.columns).zip(cells) {
            if cell == "-" {
                column.push_null(&field.default_null);
            } else if field.single_value {
                column.data.push(&value(field.data_type, cell));
            } else {
                cell.split(',').for_each(|one| column.data.push(&value(field.data_type, one)));
                column.end_row();
            }
        }
    }
    batch.message_of_row = (0..lines.len() as u32).collect();
    batch
}

/// How a segment of the fixture lies there.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Sealed,
    Frozen,
    Consuming,
}

fn segment(schema: &Arc<Schema>, table: &str, number: u32, lines: &[&str], form: Form) -> SegmentView {
    let segment_name: Arc<str> = format!("{table}__0__{number}__20260101T0000Z").into();
    let mut segment = ConsumingSegment::new(ConsumingSpec {
        name: segment_name.clone(),
        schema: schema.clone(),
        no_dictionary: HashSet::from([name("orderId")]),
        keep_offsets: false,
        created_ms: NOW_MS,
    });
    segment.append(&batch(schema, lines), &|message| NextOffset::new(u64::from(message)));
    let segment: Arc<dyn Segment> = match form {
        Form::Consuming => segment.snapshot(),
        Form::Frozen => segment.freeze().snapshot(),
        Form::Sealed => {
            let indexes = BTreeMap::from([(name("city"), FieldIndexes { inverted: true, ..FieldIndexes::default() })]);
            let spec = BuildSpec {
                name: segment_name,
                schema: schema.clone(),
                sorted_column: None,
                indexes,
                keep_offsets: false,
                time_column: None,
            };
            let built = build(&*segment.freeze().snapshot(), &spec).unwrap();
            SealedSegment::open(Mapped::new(built.bytes())).unwrap()
        }
    };
    let partition = StreamPartition { topic: TopicName::parse(table).unwrap(), partition: 0 };
    SegmentView { segment: segment.into(), validity: None, partition, consuming: form == Form::Consuming }
}

fn field(text: &str, data_type: DataType, kind: FieldKind, single_value: bool) -> FieldSpec {
    FieldSpec { single_value, ..FieldSpec::new(name(text), data_type, kind) }
}

/// Twelve orders in three segments.
pub(crate) fn orders() -> TableSnapshot {
    let fields = vec![
        field("orderId", DataType::String, FieldKind::Dimension, true),
        field("city", DataType::String, FieldKind::Dimension, true),
        field("paid", DataType::Boolean, FieldKind::Dimension, true),
        field("tags", DataType::String, FieldKind::Dimension, false),
        field("scores", DataType::Int, FieldKind::Dimension, false),
        field("payload", DataType::Json, FieldKind::Dimension, true),
        field("qty", DataType::Int, FieldKind::Metric, true),
        field("clicks", DataType::Long, FieldKind::Metric, true),
        field("ratio", DataType::Float, FieldKind::Metric, true),
        field("amount", DataType::Double, FieldKind::Metric, true),
        field("price", DataType::BigDecimal, FieldKind::Metric, true),
        field("ts", DataType::Timestamp, FieldKind::DateTime, true),
        field("tsMs", DataType::Long, FieldKind::DateTime, true),
    ];
    let schema = Arc::new(Schema::new("orders", SchemaVersion(1), fields));
    let sealed = [
        r#"o1 | Berlin | true  | new,vip | 1,5 | {"a":{"b":1},"l":[1,2]} | 1 | 10 | 0.5  | 10.5 | 10.50 | 1767225600000 | 1767225600000"#,
        r#"o2 | Paris  | false | new     | 2   | {"a":{"b":2},"l":[]}    | 2 | 20 | 1.5  | 20   | 9.75  | 1767229200000 | 1767229200000"#,
        r#"o3 | Berlin | true  | old     | 3,9 | {"a":{"b":3}}           | 3 | 30 | 0.1  | 30   | 100   | 1767232800000 | 1767232800000"#,
        r#"o4 | -      | -     | -       | -   | -                       | - | -  | -    | -    | -     | 1767236400000 | 1767236400000"#,
        r#"o5 | Rome   | false | vip     | 7   | {"a":{"b":5}}           | 5 | 50 | 2.5  | -7.5 | 3     | 1767240000000 | 1767240000000"#,
    ];
    let frozen = [
        r#"o6 | Paris  | true  | new,old | 1   | {"a":{"b":6}}           | 6 | 60 | 3.5  | 60   | 6     | 1767243600000 | 1767243600000"#,
        r#"o7 | berlin | true  | old     | 8   | {"a":{"b":7}}           | 7 | 70 | 0.25 | 70   | 7     | 1767247200000 | 1767247200000"#,
        r#"o8 | Rome   | false | vip     | 2,2 | {"a":{"b":8}}           | 8 | 80 | 4.5  | 80   | 8     | 1767250800000 | 1767250800000"#,
    ];
    let consuming = [
        r#"o9 | Oslo   | true  | new     | 4   | {"a":{"b":9}}           | 9  | 90  | 5.5 | 90  | 9  | 1767254400000 | 1767254400000"#,
        r#"o10 | Berlin | false | new,vip | 6  | {"a":{"b":10}}          | 10 | 100 | 6.5 | 100 | 10 | 1767258000000 | 1767258000000"#,
        r#"o11 | -      | true  | -       | 5  | {"x":1}                 | 11 | 110 | 7.5 | 110 | 11 | 1767261600000 | 1767261600000"#,
        r#"o12 | Paris  | true  | old     | 3  | {"a":{"b":12}}          | -  | 120 | 8.5 | 120 | 12 | 1767265200000 | 1767265200000"#,
    ];
    TableSnapshot {
        table: TableName::parse("orders").unwrap(),
        spec: Arc::new(spec("orders", true)),
        segments: vec![
            segment(&schema, "orders", 0, &sealed, Form::Sealed),
            segment(&schema, "orders", 1, &frozen, Form::Frozen),
            segment(&schema, "orders", 2, &consuming, Form::Consuming),
        ],
        schema,
        disabled: false,
        lacks: vec![],
        freshness_ms: Some(NOW_MS - 5),
    }
}

/// Four cities in one segment; nulls are not kept.
pub(crate) fn cities() -> TableSnapshot {
    let fields = vec![
        field("city", DataType::String, FieldKind::Dimension, true),
        field("country", DataType::String, FieldKind::Dimension, true),
        field("population", DataType::Long, FieldKind::Metric, true),
    ];
    let schema = Arc::new(Schema::new("Cities", SchemaVersion(1), fields));
    let rows = ["Berlin | DE | 3700000", "Paris | FR | 2100000", "Rome | IT | 2800000", "Lima | - | 10000000"];
    TableSnapshot {
        table: TableName::parse("Cities").unwrap(),
        spec: Arc::new(spec("Cities", false)),
        segments: vec![segment(&schema, "Cities", 0, &rows, Form::Sealed)],
        schema,
        disabled: false,
        lacks: vec![],
        freshness_ms: None,
    }
}

/// Amounts of more digits than a real number has.
pub(crate) fn ledger() -> TableSnapshot {
    let fields = vec![
        field("id", DataType::Int, FieldKind::Dimension, true),
        field("amount", DataType::BigDecimal, FieldKind::Metric, true),
        field("real", DataType::Double, FieldKind::Metric, true),
    ];
    let schema = Arc::new(Schema::new("ledger", SchemaVersion(1), fields));
    let sealed = ["1 | 12345678901234567890 | 0.1", "2 | 12345678901234567891 | 0.1", "3 | -0.30 | 3"];
    let frozen = ["4 | 12345678901234567890.0 | 4", "5 | 0.1 | 0.1", "6 | - | -"];
    let consuming = ["7 | 9007199254740993 | 9007199254740992", "8 | -12345678901234567891.5 | -1"];
    TableSnapshot {
        table: TableName::parse("ledger").unwrap(),
        spec: Arc::new(spec("ledger", true)),
        segments: vec![
            segment(&schema, "ledger", 0, &sealed, Form::Sealed),
            segment(&schema, "ledger", 1, &frozen, Form::Frozen),
            segment(&schema, "ledger", 2, &consuming, Form::Consuming),
        ],
        schema,
        disabled: false,
        lacks: vec![],
        freshness_ms: None,
    }
}

/// A table of `rows` numbers `n` and texts `t`, in consuming segments of 100 000 rows.
pub(crate) fn numbers(rows: i64) -> TableSnapshot {
    let fields = vec![
        field("n", DataType::Long, FieldKind::Dimension, true),
        field("t", DataType::String, FieldKind::Dimension, true),
    ];
    let schema = Arc::new(Schema::new("numbers", SchemaVersion(1), fields));
    let all: Vec<i64> = (0..rows).collect();
    let view = |(at, part): (usize, &[i64])| {
        let mut batch = RowBatch::new(&schema);
        batch.columns[0].data = ColumnData::Long(part.to_vec());
        part.iter().for_each(|n| batch.columns[1].data.push(&Value::Str(format!("text number {n}").into())));
        batch.message_of_row = (0..part.len() as u32).collect();
        let mut segment = ConsumingSegment::new(ConsumingSpec {
            name: format!("numbers__0__{at}__20260101T0000Z").into(),
            schema: schema.clone(),
            no_dictionary: HashSet::new(),
            keep_offsets: false,
            created_ms: NOW_MS,
        });
        segment.append(&batch, &|message| NextOffset::new(u64::from(message)));
        let partition = StreamPartition { topic: TopicName::parse("numbers").unwrap(), partition: 0 };
        let segment: Arc<dyn Segment> = segment.snapshot();
        SegmentView { segment: segment.into(), validity: None, partition, consuming: true }
    };
    TableSnapshot {
        table: TableName::parse("numbers").unwrap(),
        spec: Arc::new(spec("numbers", false)),
        segments: all.chunks(100_000).enumerate().map(view).collect(),
        schema,
        disabled: false,
        lacks: vec![],
        freshness_ms: Some(NOW_MS),
    }
}

/// The values of a column, row by row.
pub(crate) type Singles = (&'static str, DataType, Vec<Option<Value>>);

/// The values of a multi-value column, row by row; a row without any is null.
pub(crate) type Lists = (&'static str, DataType, Vec<Vec<Value>>);

/// A table of these columns in one consuming segment, and `n`: the number of the row.
pub(crate) fn table_of(table: &str, singles: &[Singles], lists: &[Lists]) -> TableSnapshot {
    let mut fields = vec![field("n", DataType::Long, FieldKind::Dimension, true)];
    fields.extend(singles.iter().map(|(name, data_type, _)| field(name, *data_type, FieldKind::Dimension, true)));
    fields.extend(lists.iter().map(|(name, data_type, _)| field(name, *data_type, FieldKind::Dimension, false)));
    let schema = Arc::new(Schema::new(table, SchemaVersion(1), fields));
    let mut batch = RowBatch::new(&schema);
    let rows = singles[0].2.len();
    batch.columns[0].data = ColumnData::Long((0..rows as i64).collect());
    for (at, (_, _, values)) in singles.iter().enumerate() {
        for value in values {
            match value {
                Some(value) => batch.columns[1 + at].data.push(value),
                None => batch.columns[1 + at].push_null(&schema.fields()[1 + at].default_null),
            }
        }
    }
    for (at, (_, _, values)) in lists.iter().enumerate() {
        let at = 1 + singles.len() + at;
        for row in values {
            if row.is_empty() {
                batch.columns[at].push_null(&schema.fields()[at].default_null);
            } else {
                row.iter().for_each(|value| batch.columns[at].data.push(value));
                batch.columns[at].end_row();
            }
        }
    }
    batch.message_of_row = (0..rows as u32).collect();
    let mut segment = ConsumingSegment::new(ConsumingSpec {
        name: format!("{table}__0__0__20260101T0000Z").into(),
        schema: schema.clone(),
        no_dictionary: HashSet::new(),
        keep_offsets: false,
        created_ms: NOW_MS,
    });
    segment.append(&batch, &|message| NextOffset::new(u64::from(message)));
    let partition = StreamPartition { topic: TopicName::parse(table).unwrap(), partition: 0 };
    let segment: Arc<dyn Segment> = segment.snapshot();
    TableSnapshot {
        table: TableName::parse(table).unwrap(),
        spec: Arc::new(spec(table, true)),
        segments: vec![SegmentView { segment: segment.into(), validity: None, partition, consuming: true }],
        schema,
        disabled: false,
        lacks: vec![],
        freshness_ms: Some(NOW_MS),
    }
}

/// Tables by name.
pub(crate) struct Fixed(pub(crate) Vec<TableSnapshot>);

impl Fixed {
    /// The same tables, the first of which lacks something.
    pub(crate) fn lacking(mut self, what: &str) -> Self {
        self.0[0].lacks.push(Lack { what: what.to_owned() });
        self
    }
}

impl TableSource for Fixed {
    fn table(&self, name: &str) -> Option<TableSnapshot> {
        let lower = name.to_lowercase();
        assert_ne!(lower, "broken", "this table is broken on purpose");
        let raw = lower.strip_suffix("_realtime").unwrap_or(&lower);
        self.0.iter().find(|table| table.table.as_str().to_lowercase() == raw).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|table| table.table.to_string()).collect()
    }

    fn system(&self, table: &str) -> Result<Option<SystemTable>, String> {
        if table == "silent" {
            return Err("nobody answers".to_owned());
        }
        let mut lag = Column::new(DataType::Long.stored(), true);
        lag.data.push(&Value::Long(7));
        lag.push_null(&Value::Long(0));
        let mut names = Column::new(DataType::String.stored(), true);
        ["p0", "p1"].iter().for_each(|text| names.data.push(&Value::Str((*text).into())));
        let fields = vec![("name".to_owned(), DataType::String), ("lag".to_owned(), DataType::Long)];
        Ok(table.eq_ignore_ascii_case("partitions").then(|| SystemTable { fields, columns: vec![names, lag] }))
    }
}

/// Wall time stands still.
struct Stopped(SharedClock);

impl weir_base::Clock for Stopped {
    fn wall_ms(&self) -> i64 {
        NOW_MS
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> futures::future::BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

/// An engine of two threads over tables, with a limit on memory.
pub(crate) fn engine(tables: Fixed, memory_bytes: u64) -> QueryEngine {
    engine_of(2, tables, memory_bytes)
}

/// An engine over tables, with a limit on memory. However small, a query uses all of its threads.
pub(crate) fn engine_of(threads: usize, tables: Fixed, memory_bytes: u64) -> QueryEngine {
    engine_with(threads, 0, tables, memory_bytes)
}

/// An engine over tables, with a limit on memory, where so many rows are worth a thread of their own.
pub(crate) fn engine_with(threads: usize, thread_rows: u64, tables: Fixed, memory_bytes: u64) -> QueryEngine {
    let options = QueryOptions {
        threads,
        memory_bytes,
        default_timeout: Duration::from_secs(60),
        default_limit: 10,
        host_name: "host-1".into(),
        broker_id: "Broker_host-1_8099".into(),
        thread_rows,
    };
    QueryEngine::with_clock(options, Arc::new(tables), Arc::new(Stopped(SystemClock::shared()))).unwrap()
}

/// Asks, and waits for the answer.
pub(crate) async fn ask(engine: &QueryEngine, sql: &str) -> QueryResponse {
    engine.execute(QueryRequest { sql: sql.to_owned(), ..QueryRequest::default() }).await
}
