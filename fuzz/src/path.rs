//! The way of a message to its rows, as the pipeline goes it, and what holds of every message whatever it is:
//!
//! - it is stored, filtered or rejected, once and whole, and the counts say so;
//! - rows are of the schema's columns and types, texts are UTF-8, JSON is JSON, every row of an array holds a value;
//! - what it becomes is a matter of the message alone: not of those around it, nor of how often it was read.

use std::{ops::Range, sync::Arc};
use weir_formats::{
    DecodeSpec, Decoder,
    stages::TimeCheck,
    transform::{Transform, TransformPlan},
};
use weir_ingest::{NoKeys, Prepared, RecordDecoder, RecordPath, RecordRules};
use weir_streams::Messages;
use weir_types::{ColumnData, DataType, NextOffset, RowBatch, Schema};

use crate::{
    segments::NOW_MS,
    tables::{Asks, table},
};

/// A table's way.
pub(crate) struct Path {
    schema: Arc<Schema>,
    path: RecordPath,
    /// A message that is mostly right, for before and between, and what becomes of it.
    good: Vec<u8>,
    of_good: Prepared,
}

/// Messages with nothing around them.
struct Held(Vec<Vec<u8>>);

impl Messages for Held {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        NextOffset::new(at as u64)
    }

    fn timestamp_ms(&self, _at: usize) -> Option<i64> {
        None
    }

    fn key(&self, _at: usize) -> Option<&[u8]> {
        None
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        Some(&self.0[at])
    }

    fn header(&self, _at: usize, _name: &str) -> Option<&[u8]> {
        None
    }
}

/// What a table asks of its records, ready for any number of decoders.
pub(crate) struct Table {
    schema: Arc<Schema>,
    lenient: bool,
    plan: Option<Arc<TransformPlan>>,
    time: Option<TimeCheck>,
}

impl Table {
    pub(crate) fn new(asks: Asks) -> Self {
        let (schema, table) = table(asks);
        let (spec, lenient) = (&table.spec, table.spec.continue_on_error);
        let plan = TransformPlan::new(&schema, &spec.expressions, lenient).expect("the config reader has checked it");
        let time = spec.time_column.as_ref().map(|column| {
            // Any time will do, as long as it is the same.
            TimeCheck::new(&schema, column, spec.row_time_check, lenient, NOW_MS).expect("it is a time column")
        });
        Self { schema, lenient, plan: plan.map(Arc::new), time }
    }
}

impl Path {
    /// The way to a table through the decoder that `make` makes.
    pub(crate) fn new(table: &Table, good: &[u8], make: impl FnOnce(DecodeSpec) -> Box<dyn Decoder>) -> Self {
        let Table { schema, lenient, plan, time } = table;
        let (decodes, raw) = plan.as_ref().map_or_else(|| (schema.clone(), 0), |plan| plan.decodes());
        let decoder = make(DecodeSpec { schema: decodes, continue_on_error: *lenient, topic: "t".into(), raw });
        let rules = RecordRules { schema: schema.clone(), time: time.clone() };
        let decoder = RecordDecoder::new(decoder, rules).with_transform(plan.clone().map(Transform::new));
        let mut path = RecordPath::new(decoder, Box::new(NoKeys));
        let of_good = path.prepare(&Held(vec![good.to_vec()]), 0, 1);
        Self { schema: schema.clone(), path, good: good.to_vec(), of_good }
    }

    /// What becomes of the good message: for those who want to know that it is one.
    pub(crate) fn of_good(&self) -> &Prepared {
        &self.of_good
    }

    /// Tries a message, alone and among others.
    pub(crate) fn try_message(&mut self, message: &[u8]) {
        let alone = self.prepare(&[message]);
        let (good, of_good) = (self.good.clone(), std::mem::replace(&mut self.of_good, nothing(&self.schema)));
        let among = self.prepare(&[&good, message, &good, message]);
        let mut from = 0;
        for (at, expected) in (0u32..).zip([&of_good, &alone, &of_good, &alone]) {
            let rows = from..from + expected.rows.rows();
            from = rows.end;
            assert!(rows.end <= among.rows.rows(), "message {at} has fewer rows among others");
            assert!(among.rows.message_of_row[rows.clone()].iter().all(|of| *of == at), "rows are of message {at}");
            same(&expected.rows, &among.rows, rows);
            let reject = among.rejects.iter().find(|reject| reject.message == at);
            let told = reject.map(|reject| (reject.stage, &reject.column, &reject.reason));
            let before = expected.rejects.first().map(|reject| (reject.stage, &reject.column, &reject.reason));
            assert_eq!(told, before, "message {at} is rejected as it is alone");
        }
        assert_eq!(from, among.rows.rows(), "no rows come of nothing");
        let altered = 2 * (alone.counts.altered + of_good.counts.altered);
        assert_eq!(among.counts.altered, altered, "rows are altered as they are alone");
        self.of_good = of_good;
    }

    /// What becomes of some messages.
    pub(crate) fn prepare(&mut self, messages: &[&[u8]]) -> Prepared {
        let held = Held(messages.iter().map(|message| message.to_vec()).collect());
        let prepared = self.path.prepare(&held, 0, held.len());
        check(&self.schema, &prepared, held.len());
        prepared
    }
}

fn nothing(schema: &Arc<Schema>) -> Prepared {
    let rows = RowBatch { columns: vec![], message_of_row: vec![] };
    Prepared {
        rows,
        rejects: vec![],
        counts: Default::default(),
        to: 0,
        asked: schema.clone(),
        told: Default::default(),
    }
}

/// What holds of a batch of messages.
fn check(schema: &Schema, prepared: &Prepared, messages: usize) {
    let Prepared { rows, rejects, counts, to, .. } = prepared;
    assert_eq!(*to, messages, "a few messages are one batch");
    assert!(rows.message_of_row.is_sorted(), "rows stand in the order of their messages");
    assert!(rejects.is_sorted_by(|a, b| a.message < b.message), "a message is rejected once");
    for reject in rejects {
        assert!(rows.message_of_row.binary_search(&reject.message).is_err(), "a rejected message has no rows");
        assert!(!reject.reason.is_empty(), "a reject says why");
        assert!(reject.reason.len() < 4096, "a reason is short: {} bytes", reject.reason.len());
    }
    let mut stored = rows.message_of_row.clone();
    stored.dedup();
    assert_eq!(counts.fetched, messages as u64);
    assert_eq!((counts.stored, counts.rejected), (stored.len() as u64, rejects.len() as u64));
    assert_eq!(counts.stored + counts.rejected + counts.filtered, messages as u64, "each message is accounted for");
    assert_eq!(rows.columns.len(), schema.fields().len());
    for (field, column) in schema.fields().iter().zip(&rows.columns) {
        let name = &field.name;
        assert_eq!(column.rows(), rows.rows(), "{name}");
        assert_eq!(
            (column.data.stored(), column.ends.is_none()),
            (field.data_type.stored(), field.single_value),
            "{name}"
        );
        assert!(column.nulls.is_sorted_by(|a, b| a < b), "{name}");
        assert!(column.nulls.last().is_none_or(|last| (*last as usize) < rows.rows()), "{name}");
        if let Some(ends) = &column.ends {
            assert_eq!((ends[0], ends[ends.len() - 1] as usize), (0, column.data.len()), "{name}");
            assert!(ends.is_sorted_by(|a, b| a < b), "every row of {name} holds a value");
        }
        match &column.data {
            ColumnData::Int(values) if field.data_type == DataType::Boolean => {
                assert!(values.iter().all(|value| [0, 1].contains(value)), "{name}");
            }
            ColumnData::Str(values) => {
                for value in values.iter() {
                    let text = std::str::from_utf8(value).unwrap_or_else(|error| panic!("{name}: {error}"));
                    check_text(field.data_type, text, field.name.as_str());
                }
            }
            ColumnData::Bytes(values) if field.data_type == DataType::Uuid => {
                assert!(values.iter().all(|value| value.len() == 16), "{name}");
            }
            _ => {}
        }
    }
}

fn check_text(data_type: DataType, text: &str, name: &str) {
    match data_type {
        DataType::Json | DataType::Map => {
            // Deep ones are more than this reader descends into.
            if let Err(error) = serde_json::from_str::<&serde_json::value::RawValue>(text) {
                assert!(error.to_string().contains("recursion"), "{name} is no JSON ({error}): {text}");
            }
        }
        DataType::BigDecimal => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            assert!(plain && digits.bytes().any(|byte| byte.is_ascii_digit()), "{name} is no plain number: {text}");
        }
        DataType::String => assert!(!text.contains('\0'), "{name} holds a NUL: {text:?}"),
        _ => {}
    }
}

/// The rows of one batch are those of another at these positions.
fn same(one: &RowBatch, other: &RowBatch, rows: Range<usize>) {
    for (a, b) in one.columns.iter().zip(&other.columns) {
        for (at, in_other) in rows.clone().enumerate() {
            let null = |column: &weir_types::Column, row: usize| column.nulls.binary_search(&(row as u32)).is_ok();
            assert_eq!(null(a, at), null(b, in_other), "a value is null as it is alone");
            let (mine, others) = (a.values_of(at), b.values_of(in_other));
            assert_eq!(mine.len(), others.len(), "an array is as long as it is alone");
            for (x, y) in mine.zip(others) {
                let equal = match (&a.data, &b.data) {
                    (ColumnData::Int(a), ColumnData::Int(b)) => a[x] == b[y],
                    (ColumnData::Long(a), ColumnData::Long(b)) => a[x] == b[y],
                    (ColumnData::Float(a), ColumnData::Float(b)) => a[x].to_bits() == b[y].to_bits(),
                    (ColumnData::Double(a), ColumnData::Double(b)) => a[x].to_bits() == b[y].to_bits(),
                    (ColumnData::Str(a), ColumnData::Str(b)) | (ColumnData::Bytes(a), ColumnData::Bytes(b)) => {
                        a.get(x) == b.get(y)
                    }
                    _ => false,
                };
                assert!(equal, "{:?} is {:?} among others", a.data.get(x), b.data.get(y));
            }
        }
    }
}
