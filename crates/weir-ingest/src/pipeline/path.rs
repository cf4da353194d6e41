//! The way of a table's records from message to row, made from its settings.

use crate::prepare::{KeyStage, RecordPath, RecordRules};
use weir_control::TableRecord;
use weir_formats::{DecodeSpec, registry as formats, stages::TimeCheck};
use weir_types::StreamSpec;

/// The way of a table's records, as its settings say. A null time is stored as `now_ms` where the column's default is no
/// valid time.
pub(crate) fn record_path(
    record: &TableRecord,
    stream: &StreamSpec,
    now_ms: i64,
    keys: Box<dyn KeyStage>,
) -> Result<RecordPath, String> {
    let spec = DecodeSpec { schema: record.schema.clone(), continue_on_error: record.spec.continue_on_error };
    let decoder =
        formats::decoder(&stream.decoder, &stream.decoder_settings, spec).map_err(|error| error.to_string())?;
    let time = record.spec.time_column.as_ref().map(|column| {
        TimeCheck::new(&record.schema, column, record.spec.row_time_check, record.spec.continue_on_error, now_ms)
    });
    let time = time.transpose().map_err(|error| error.to_string())?;
    let rules = RecordRules { schema: record.schema.clone(), time };
    Ok(RecordPath::new(decoder, keys, rules))
}
