//! What every decoder promises: message bytes become typed columns; a record that cannot is a result, not a failure.

use crate::schema_registry::{Lookup, SchemaId, SchemaRegistry};
use std::sync::Arc;
use weir_types::{RowBatch, Schema};

/// Where in the way of a record it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The bytes are not what the format asks for.
    Decode,
    /// Its arrays would become too many rows.
    ComplexType,
    /// An expression that derives a column cannot be evaluated.
    Transform,
    /// The filter cannot be evaluated.
    Filter,
    /// A value does not fit its column's type.
    DataType,
    /// The time lies outside the accepted range.
    Time,
    /// A value is too long and the schema says to refuse it.
    Sanitise,
}

impl Stage {
    /// The word shown to users.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "DECODE",
            Self::ComplexType => "COMPLEX_TYPE",
            Self::Transform => "TRANSFORM",
            Self::Filter => "FILTER",
            Self::DataType => "DATA_TYPE",
            Self::Time => "TIME",
            Self::Sanitise => "SANITISE",
        }
    }
}

/// One message that became no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Position of the message in the fetched batch.
    pub message: u32,
    /// Where it was refused.
    pub stage: Stage,
    /// The column concerned, where there is one.
    pub column: Option<Arc<str>>,
    /// Why, for people: the value (shortened) and what was expected.
    pub reason: String,
}

impl Reject {
    /// All of it in one line.
    #[must_use]
    pub fn told(&self) -> String {
        told(self.stage, self.column.as_deref(), &self.reason)
    }
}

/// A reject in one line: stage, column, reason.
#[must_use]
pub fn told(stage: Stage, column: Option<&str>, reason: &str) -> String {
    let column = column.map_or_else(String::new, |column| format!(", column {column}"));
    format!("{}{column}: {reason}", stage.as_str())
}

/// What a decoder made of a batch. Rows went into the batch that was passed in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoded {
    /// Messages that became no row, by position.
    pub rejects: Vec<Reject>,
    /// Good messages that held no row.
    pub empty: u32,
    /// Rows in which a number wrapped or bytes after the record were passed over.
    pub altered: u32,
    /// Rows in which a value that could not be typed became null (only with `continue_on_error`).
    pub incomplete: u32,
}

/// Some programs of Windows put it before a text; readers may pass over it (RFC 8259 section 8.1).
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The raw field that is the whole record, for decoders that can bring it.
pub const WHOLE_RECORD: &str = "$record";

/// One message of a batch as a decoder sees it.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Position of the message in the fetched batch; goes into `message_of_row` and `Reject::message`.
    pub message: u32,
    /// The value's bytes.
    pub value: &'a [u8],
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
}

/// Turns message values into rows of one schema. One per partition, so that buffers are reused.
pub trait Decoder: Send {
    /// Appends the rows of `payloads` to `rows` (columns in schema order, all of equal length afterwards) in order. A
    /// message is stored whole or rejected whole.
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded;

    /// The schemas that these messages need and that are not known yet: whoever has the messages asks the registry for them
    /// and has the decoder learn what it says, before they are decoded.
    fn wants(&mut self, _payloads: &mut dyn Iterator<Item = Payload<'_>>) -> Vec<SchemaId> {
        vec![]
    }

    /// Takes what the registry says of a schema.
    fn learn(&mut self, _id: SchemaId, _said: &Lookup) {}

    /// The registry of its schemas, where it needs one.
    fn registry(&self) -> Option<&Arc<SchemaRegistry>> {
        None
    }
}

/// What a decoder is made for.
#[derive(Debug, Clone)]
pub struct DecodeSpec {
    /// The table's schema.
    pub schema: Arc<Schema>,
    /// What cannot be typed becomes null instead of a reject (`ingestionConfig.continueOnError`).
    pub continue_on_error: bool,
    /// The topic that is read.
    pub topic: Arc<str>,
    /// How many fields at the end of the schema are raw: kept as they are found, for expressions to read. They are BYTES
    /// of [`crate::transform`]'s, not the table's.
    pub raw: usize,
}

impl DecodeSpec {
    /// Whether the field at this position is raw.
    #[must_use]
    pub fn is_raw(&self, at: usize) -> bool {
        at + self.raw >= self.schema.fields().len()
    }

    /// What each column is filled from: its position and the name of the source field.
    pub fn sources(&self) -> impl Iterator<Item = (u32, &str)> {
        (0u32..).zip(self.schema.fields()).map(|(column, field)| (column, field.name.as_str()))
    }
}
