//! The way of a table's records from message to row, made from its settings.

use crate::{
    deps::TableContext,
    message_columns::MessageColumns,
    prepare::{RecordDecoder, RecordPath, RecordRules},
};
use std::sync::Arc;
use weir_control::{SegmentRecord, TableRecord};
use weir_formats::{
    DecodeSpec,
    partition::PartitionCheck,
    registry as formats,
    stages::TimeCheck,
    transform::{Transform, TransformPlan},
};
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
    let (table, lenient) = (&record.spec, record.spec.continue_on_error);
    let plan = TransformPlan::new(&record.schema, &table.expressions, lenient).map_err(|error| error.to_string())?;
    let plan = plan.map(Arc::new);
    let (schema, raw) = plan.as_ref().map_or_else(|| (record.schema.clone(), 0), |plan| plan.decodes());
    let around = MessageColumns::of(&schema, raw, partition, lenient);
    let spec = DecodeSpec { schema, continue_on_error: lenient, topic: stream.topic.as_str().into(), raw };
    let decoder =
        formats::decoder(&stream.decoder, &stream.decoder_settings, spec).map_err(|error| error.to_string())?;
    let checks = record.spec.row_time_check;
    let time = record.spec.time_column.as_ref();
    let time = time.map(|column| TimeCheck::new(&record.schema, column, checks, lenient, now_ms));
    let time = time.transpose().map_err(|error| error.to_string())?;
    let rules = RecordRules { schema: Arc::clone(&record.schema), time };
    let by = table.partitioned_by.as_ref();
    let own = by.and_then(|by| PartitionCheck::new(&record.schema, by, partition));
    let decoder = RecordDecoder::new(decoder, rules).with_message_columns(around);
    Ok(decoder.with_transform(plan.map(Transform::new)).with_partition(own))
}
