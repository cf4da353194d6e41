//! `system.partitions` and `GET /tables/{t}/partitions`: what each partition is doing, and why.

use crate::system::{Cell, Field, long, text};
use weir_ingest::PartitionStatus;

/// Its columns.
pub const FIELDS: &[Field<PartitionStatus>] = &[
    text("table", |s| Cell::Text(s.table.to_string())),
    text("topic", |s| Cell::Text(s.partition.topic.to_string())),
    long("partition", |s| Cell::Long(s.partition.partition.into())),
    text("state", |s| Cell::Text(s.state.word().to_owned())),
    text("reason", |s| Cell::Text(s.state.reason())),
    long("startOffset", |s| Cell::count(s.start.number())),
    long("nextOffset", |s| Cell::count(s.next.number())),
    long("highWatermark", |s| Cell::maybe(s.high_watermark.map(|offset| offset.number()))),
    long("lagOffsets", |s| Cell::maybe(s.lag_offsets())),
    long("lagMs", |s| Cell::count(s.lag_ms)),
    long("fetched", |s| Cell::count(s.accounting.fetched)),
    long("stored", |s| Cell::count(s.accounting.stored)),
    long("filtered", |s| Cell::count(s.accounting.filtered)),
    long("tombstones", |s| Cell::count(s.accounting.tombstones)),
    long("rejected", |s| Cell::count(s.accounting.rejected)),
    long("replayed", |s| Cell::count(s.accounting.replayed)),
    long("gaps", |s| Cell::count(s.accounting.gaps)),
    long("skipped", |s| Cell::count(s.accounting.skipped)),
    long("rewound", |s| Cell::count(s.rewound)),
    long("rows", |s| Cell::count(s.accounting.rows)),
    long("altered", |s| Cell::count(s.accounting.altered)),
    long("bytes", |s| Cell::count(s.accounting.bytes)),
    text("openSegment", |s| s.open_segment.as_ref().map_or(Cell::Null, |name| Cell::Text(name.to_string()))),
    long("openRows", |s| Cell::count(s.open_rows)),
    long("openBytes", |s| Cell::count(s.open_bytes)),
    long("openRowsLimit", |s| Cell::count(s.open_rows_limit)),
    long("openSealAtMs", |s| Cell::Long(s.open_seal_at_ms)),
    long("lastConsumedMs", |s| Cell::Long(s.last_consumed_ms)),
    long("messagesPerSecond", |s| Cell::Long(s.rate.at(s.told_at_ms).round() as i64)),
    text("rateLimit", |s| s.rate_limit.map_or(Cell::Null, |rate| Cell::Text(format!("{rate} messages/s")))),
    text("unexplained", |s| s.unexplained.clone().map_or(Cell::Null, Cell::Text)),
    text("lastError", |s| s.last_error.clone().map_or(Cell::Null, Cell::Text)),
    long("lastErrorMs", |s| if s.last_error.is_some() { Cell::Long(s.last_error_ms) } else { Cell::Null }),
    long("lastErrorOffset", |s| Cell::maybe(s.last_error_offset.map(|offset| offset.number()))),
];
