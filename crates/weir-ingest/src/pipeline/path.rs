//! The way of a table's records from message to row, made from its settings.

use crate::{
    deps::TableContext,
    message_columns::MessageColumns,
    prepare::{RecordDecoder, RecordPath, RecordRules},
};
use std::sync::Arc;
use weir_control::{SegmentRecord, TableRecord};
use weir_formats::{DecodeSpec, registry as formats, stages::TimeCheck};
use weir_types::{NextOffset, StreamSpec};

/// The way of the records of `segment`, which starts at `start`, with the settings in `record`.
pub(crate) fn record_path(
    table: &TableContext,
    record: &TableRecord,
    stream: &StreamSpec,
    segment: &SegmentRecord,
    start: NextOffset,
) -> Result<RecordPath, String> {
    let decoder = record_decoder(table, record, stream, segment, start)?;
    Ok(RecordPath::new(decoder, table.deps.seats.keys(record, &segment.partition)))
}

/// The part of that way that needs no order. A null time is stored as when the segment was made.
pub(crate) fn record_decoder(
    table: &TableContext,
    record: &TableRecord,
    stream: &StreamSpec,
    segment: &SegmentRecord,
    start: NextOffset,
) -> Result<RecordDecoder, String> {
    let settled = table.settled(&segment.partition, segment.name.sequence, start);
    let decoder = settings_decoder(record, stream, segment.partition.partition, segment.created_ms)?;
    Ok(decoder.with_settled(settled))
}

/// What a table's settings alone say of that part, for records of a partition of that number. A null time is stored as
/// `now_ms`, where the column's default is no valid time.
pub(crate) fn settings_decoder(
    record: &TableRecord,
    stream: &StreamSpec,
    partition: u32,
    now_ms: i64,
) -> Result<RecordDecoder, String> {
    let spec = DecodeSpec { schema: record.schema.clone(), continue_on_error: record.spec.continue_on_error };
    let decoder =
        formats::decoder(&stream.decoder, &stream.decoder_settings, spec).map_err(|error| error.to_string())?;
    let (checks, lenient) = (record.spec.row_time_check, record.spec.continue_on_error);
    let time = record.spec.time_column.as_ref();
    let time = time.map(|column| TimeCheck::new(&record.schema, column, checks, lenient, now_ms));
    let time = time.transpose().map_err(|error| error.to_string())?;
    let rules = RecordRules { schema: Arc::clone(&record.schema), time };
    let around = MessageColumns::of(&record.schema, partition, lenient);
    Ok(RecordDecoder::new(decoder, rules).with_message_columns(around))
}
