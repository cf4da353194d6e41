//! Columns that are filled from what surrounds a message's value: its key, its headers, its place in the stream.
//!
//! A column of such a name is filled as soon as the schema has it. The names are Pinot's.

use crate::schema::Schema;
use std::sync::Arc;

/// What of a message fills a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageField {
    /// `__key`: its key.
    Key,
    /// `__header$<name>`: the last value of the header of that name.
    Header(Arc<str>),
    /// `__metadata$offset`: its offset.
    Offset,
    /// `__metadata$partition`: the number of its partition in its topic.
    Partition,
    /// `__metadata$recordTimestamp`: the stream's time of it, milliseconds since the epoch.
    Timestamp,
    /// `__metadata$recordSerializedValueSize`: the bytes of its value.
    ValueBytes,
    /// `__metadata$<name>`: what only some streams know of it, by one of [`OF_SOME_STREAMS`].
    OfStream(&'static str),
}

/// What only some streams know of a message: Pulsar's names, then those of Kinesis.
pub const OF_SOME_STREAMS: [&str; 16] = [
    "publishTime",
    "eventTime",
    "key",
    "messageId",
    "messageIdBytes",
    "producerName",
    "schemaVersion",
    "sequenceId",
    "orderingKey",
    "size",
    "topicName",
    "redeliveryCount",
    "sequenceNumber",
    "partitionKey",
    "shardId",
    "apprxArrivalTimestamp",
];

const HEADER: &str = "__header$";
/// How the names of columns begin that a stream fills by itself.
pub const METADATA: &str = "__metadata$";

impl MessageField {
    /// What fills a column of that name, where a message does.
    #[must_use]
    pub fn of(column: &str) -> Option<Self> {
        match column {
            "__key" => Some(Self::Key),
            "__metadata$offset" => Some(Self::Offset),
            "__metadata$partition" => Some(Self::Partition),
            "__metadata$recordTimestamp" => Some(Self::Timestamp),
            "__metadata$recordSerializedValueSize" => Some(Self::ValueBytes),
            _ => match (column.strip_prefix(HEADER), column.strip_prefix(METADATA)) {
                (Some(name), _) if !name.is_empty() => Some(Self::Header(name.into())),
                (_, Some(name)) => OF_SOME_STREAMS.into_iter().find(|known| *known == name).map(Self::OfStream),
                _ => None,
            },
        }
    }

    /// The headers that columns of a schema are filled from.
    pub fn headers(schema: &Schema) -> impl Iterator<Item = Arc<str>> {
        schema.fields().iter().filter_map(|field| match Self::of(field.name.as_str()) {
            Some(Self::Header(name)) => Some(name),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_fills_a_column() {
        assert_eq!(MessageField::of("__key"), Some(MessageField::Key));
        assert_eq!(MessageField::of("__metadata$offset"), Some(MessageField::Offset));
        assert_eq!(MessageField::of("__header$trace$id"), Some(MessageField::Header("trace$id".into())));
        assert_eq!(MessageField::of("__metadata$messageId"), Some(MessageField::OfStream("messageId")));
        for other in ["key", "__header$", "__metadata$topic", "offset", "__keys", ""] {
            assert_eq!(MessageField::of(other), None, "{other}");
        }
    }
}
