//! Columns of rows that are filled from the message around the value: key, headers, offset, partition, time, size.
//!
//! They are filled after decoding, for all rows of a run at once, and only where the schema names one. What a message lacks is
//! null. Bytes of keys and headers are read as text for every type but BYTES, and typed like any text.

use std::sync::Arc;
use weir_formats::{
    Reject, Stage,
    coerce::{Fit, Source, push},
    raw,
};
use weir_streams::Messages;
use weir_types::{Column, DataType, MessageField, RowBatch, Schema, Value};

/// How much of a value is quoted in a reject.
const QUOTED: usize = 80;

/// One such column.
#[derive(Debug)]
struct Target {
    at: usize,
    name: Arc<str>,
    field: MessageField,
    data_type: DataType,
    single_value: bool,
    default: Value,
    /// Kept as it is found, for expressions.
    raw: bool,
}

/// The columns of a schema that messages fill.
#[derive(Debug)]
pub(crate) struct MessageColumns {
    targets: Vec<Target>,
    partition: i64,
    /// What cannot be typed becomes null instead of a reject.
    continue_on_error: bool,
    scratch: Vec<u8>,
}

/// What filling did.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// Messages whose key or header does not fit its column, by position; their rows are still there.
    pub(crate) rejects: Vec<Reject>,
    /// Values that were altered, or made null.
    pub(crate) altered: u64,
}

impl MessageColumns {
    /// Those of a schema whose last `raw` fields are raw, for rows of one partition; `None` where there are none.
    pub(crate) fn of(schema: &Schema, raw: usize, partition: u32, continue_on_error: bool) -> Option<Self> {
        let target = |(at, spec): (usize, &weir_types::FieldSpec)| {
            Some(Target {
                at,
                name: spec.name.as_str().into(),
                field: MessageField::of(spec.name.as_str())?,
                data_type: spec.data_type,
                single_value: spec.single_value,
                default: spec.default_null.clone(),
                raw: at + raw >= schema.fields().len(),
            })
        };
        let targets: Vec<Target> = schema.fields().iter().enumerate().filter_map(target).collect();
        (!targets.is_empty()).then(|| Self { targets, partition: partition.into(), continue_on_error, scratch: vec![] })
    }

    /// Fills them for all rows; whatever the decoder left there is gone.
    pub(crate) fn fill(&mut self, messages: &dyn Messages, rows: &mut RowBatch) -> Filled {
        let mut filled = Filled::default();
        for target in &self.targets {
            let mut column = Column::new(target.data_type.stored(), target.single_value);
            for message in &rows.message_of_row {
                let told = match &target.field {
                    MessageField::OfStream(name) => messages.metadata(*message as usize, name),
                    _ => None,
                };
                let source = found(&target.field, messages, *message as usize, self.partition, told.as_deref());
                let fit = match source {
                    None => Ok(Fit::Null),
                    Some(found) if target.raw => {
                        raw::push(found.source(), &mut column, &mut self.scratch);
                        Ok(Fit::Stored)
                    }
                    Some(Found::Number(number)) => {
                        push(target.data_type, Source::Integer(number), &mut column.data, &mut self.scratch)
                    }
                    Some(Found::Bytes(bytes)) => typed(target.data_type, bytes, &mut column, &mut self.scratch),
                };
                match fit {
                    Ok(Fit::Null) => column.push_null(&target.default),
                    Ok(fit) => {
                        filled.altered += u64::from(fit == Fit::Altered);
                        if !target.single_value {
                            column.end_row();
                        }
                    }
                    Err(unfit) => {
                        column.push_null(&target.default);
                        if self.continue_on_error {
                            filled.altered += 1;
                        } else {
                            filled.rejects.push(Reject {
                                message: *message,
                                stage: Stage::DataType,
                                column: Some(target.name.clone()),
                                reason: format!("{} takes {}, got {}", target.data_type, unfit.0, quoted(source)),
                            });
                        }
                    }
                }
            }
            rows.columns[target.at] = column;
        }
        filled
    }
}

#[derive(Debug, Clone, Copy)]
enum Found<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

impl<'a> Found<'a> {
    /// Text where it is text.
    fn source(self) -> Source<'a> {
        match self {
            Self::Number(number) => Source::Integer(number),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_or(Source::Bytes(bytes), Source::Text),
        }
    }
}

/// `told` is what the stream says of a field that only it knows.
fn found<'a>(
    field: &MessageField,
    messages: &'a dyn Messages,
    at: usize,
    partition: i64,
    told: Option<&'a str>,
) -> Option<Found<'a>> {
    Some(match field {
        MessageField::Key => Found::Bytes(messages.key(at)?),
        MessageField::Header(name) => Found::Bytes(messages.header(at, name)?),
        MessageField::Offset => Found::Number(i64::try_from(messages.offset(at).number()).unwrap_or(i64::MAX)),
        MessageField::Partition => Found::Number(partition),
        MessageField::Timestamp => Found::Number(messages.timestamp_ms(at)?),
        MessageField::OfStream(_) => Found::Bytes(told?.as_bytes()),
        MessageField::ValueBytes => Found::Number(i64::try_from(messages.value(at)?.len()).unwrap_or(i64::MAX)),
    })
}

fn typed(
    data_type: DataType,
    bytes: &[u8],
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Result<Fit, weir_formats::coerce::Unfit> {
    if data_type == DataType::Bytes {
        return push(data_type, Source::Bytes(bytes), &mut column.data, scratch);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => push(data_type, Source::Text(text), &mut column.data, scratch),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let fit = push(data_type, Source::Text(&text), &mut column.data, scratch)?;
            Ok(if fit == Fit::Stored { Fit::Altered } else { fit })
        }
    }
}

fn quoted(found: Option<Found<'_>>) -> String {
    match found {
        None => "nothing".into(),
        Some(Found::Number(number)) => number.to_string(),
        Some(Found::Bytes(bytes)) => {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED)]);
            if bytes.len() > QUOTED { format!("{text}... ({} bytes)", bytes.len()) } else { text.into_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::{ColumnData, ColumnName, FieldKind, FieldSpec, NextOffset, SchemaVersion};

    /// Bytes that a message may have.
    type Part = Option<&'static [u8]>;

    /// Messages at offsets `100 + at` with this key and value of header `h`.
    struct Sent(Vec<(Part, Part)>);

    impl Messages for Sent {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn offset(&self, at: usize) -> NextOffset {
            NextOffset::new(100 + at as u64)
        }

        fn timestamp_ms(&self, at: usize) -> Option<i64> {
            (at != 1).then_some(7)
        }

        fn metadata(&self, at: usize, name: &str) -> Option<String> {
            (at == 1).then(|| format!("{name} 1"))
        }

        fn key(&self, at: usize) -> Option<&[u8]> {
            self.0[at].0
        }

        fn value(&self, _: usize) -> Option<&[u8]> {
            Some(b"{}")
        }

        fn header(&self, at: usize, name: &str) -> Option<&[u8]> {
            self.0[at].1.filter(|_| name == "h")
        }
    }

    fn schema(fields: &[(&str, DataType, bool)]) -> Schema {
        let field = |(name, data_type, single): &(&str, DataType, bool)| {
            let name = ColumnName::parse(name).unwrap();
            FieldSpec { single_value: *single, ..FieldSpec::new(name, *data_type, FieldKind::Dimension) }
        };
        Schema::new("t", SchemaVersion(1), fields.iter().map(field).collect())
    }

    fn rows(schema: &Schema, messages: &[u32]) -> RowBatch {
        let mut rows = RowBatch::new(schema);
        for message in messages {
            for (column, field) in rows.columns.iter_mut().zip(schema.fields()) {
                column.push_null(&field.default_null);
            }
            rows.message_of_row.push(*message);
        }
        rows
    }

    fn values(column: &Column) -> Vec<Value> {
        (0..column.data.len()).map(|at| column.data.get(at)).collect()
    }

    #[test]
    fn every_field_is_filled_and_typed_and_what_is_lacking_is_null() {
        let schema = schema(&[
            ("id", DataType::Long, true),
            ("__key", DataType::String, true),
            ("__header$h", DataType::Int, true),
            ("__header$absent", DataType::String, true),
            ("__metadata$offset", DataType::Long, true),
            ("__metadata$partition", DataType::Int, true),
            ("__metadata$recordTimestamp", DataType::Timestamp, true),
            ("__metadata$recordSerializedValueSize", DataType::String, true),
        ]);
        let sent = Sent(vec![(Some(b"k0"), Some(b"5")), (None, None), (Some(b"\xff"), Some(b" -6 "))]);
        let mut batch = rows(&schema, &[0, 1, 2]);
        let mut columns = MessageColumns::of(&schema, 0, 3, false).unwrap();
        let filled = columns.fill(&sent, &mut batch);
        assert!(filled.rejects.is_empty());
        assert_eq!(filled.altered, 1, "a key that is no text");
        let at = |name: &str| &batch.columns[schema.position(name).unwrap()];
        assert_eq!(values(at("__key")), ["k0", "null", "\u{fffd}"].map(|text| Value::Str(text.into())));
        assert_eq!(at("__key").nulls, [1]);
        assert_eq!(at("__header$h").data, ColumnData::Int(vec![5, i32::MIN, -6]));
        assert_eq!(at("__header$absent").nulls, [0, 1, 2]);
        assert_eq!(at("__metadata$offset").data, ColumnData::Long(vec![100, 101, 102]));
        assert_eq!(at("__metadata$partition").data, ColumnData::Int(vec![3, 3, 3]));
        assert_eq!(at("__metadata$recordTimestamp").nulls, [1]);
        assert_eq!(values(at("__metadata$recordSerializedValueSize")), vec![Value::Str("2".into()); 3]);
        assert_eq!(at("id").nulls, [0, 1, 2], "it is the decoder's");
    }

    #[test]
    fn bytes_stay_bytes_and_a_multi_value_column_has_one_value() {
        let schema = schema(&[("__key", DataType::Bytes, true), ("__header$h", DataType::Long, false)]);
        let sent = Sent(vec![(Some(b"\x00\xff"), Some(b"9")), (None, None)]);
        let mut batch = rows(&schema, &[0, 1]);
        MessageColumns::of(&schema, 0, 0, false).unwrap().fill(&sent, &mut batch);
        let at = |name: &str| &batch.columns[schema.position(name).unwrap()];
        assert_eq!(at("__key").data.get(0), Value::Bytes(Arc::from(&b"\x00\xff"[..])));
        assert_eq!((at("__header$h").values_of(0), at("__header$h").data.get(0)), (0..1, Value::Long(9)));
        assert_eq!(at("__header$h").nulls, [1]);
    }

    #[test]
    fn what_does_not_fit_is_rejected_or_made_null() {
        let schema = schema(&[("__header$h", DataType::Int, true)]);
        let sent = Sent(vec![(None, Some(b"1")), (None, Some(b"one"))]);
        let mut batch = rows(&schema, &[0, 1]);
        let filled = MessageColumns::of(&schema, 0, 0, false).unwrap().fill(&sent, &mut batch);
        let reject = &filled.rejects[0];
        assert_eq!((reject.message, reject.stage, reject.column.as_deref()), (1, Stage::DataType, Some("__header$h")));
        assert!(reject.reason.ends_with("got one"), "{}", reject.reason);
        let filled = MessageColumns::of(&schema, 0, 0, true).unwrap().fill(&sent, &mut batch);
        assert_eq!((filled.rejects.len(), filled.altered), (0, 1));
        assert_eq!(batch.columns[0].nulls, [1]);
    }

    #[test]
    fn what_only_some_streams_know_is_null_where_they_do_not_say_it() {
        let schema = schema(&[("__metadata$messageId", DataType::String, true)]);
        let sent = Sent(vec![(None, None), (None, None)]);
        let mut batch = rows(&schema, &[0, 1]);
        assert!(MessageColumns::of(&schema, 0, 0, false).unwrap().fill(&sent, &mut batch).rejects.is_empty());
        assert_eq!(
            (&batch.columns[0].nulls[..], values(&batch.columns[0])[1].to_string()),
            (&[0][..], "messageId 1".into())
        );
    }

    #[test]
    fn a_schema_without_them_costs_nothing() {
        assert!(MessageColumns::of(&schema(&[("id", DataType::Long, true)]), 0, 0, false).is_none());
    }
}
