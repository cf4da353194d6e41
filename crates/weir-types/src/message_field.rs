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
}

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
            _ => column.strip_prefix(HEADER).filter(|name| !name.is_empty()).map(|name| Self::Header(name.into())),
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
        for other in ["key", "__header$", "__metadata$topic", "offset", "__keys", ""] {
            assert_eq!(MessageField::of(other), None, "{other}");
        }
    }
}
