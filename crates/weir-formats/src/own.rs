//! Decoders from outside, of a binary's own or loaded when it starts: added against an interface that is small so that it can stay as it is.
//!
//! A reader takes a message apart and names what it found; types, nulls, multi-value columns, expressions, rejects and
//! accounting are the table's, as with every decoder.

use crate::{
    coerce::Source,
    decoder::{DecodeSpec, Decoded, Decoder, Payload, Reject, Stage},
    error::FormatError,
    registry,
    row::{Refused, RowWriter},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};
use weir_types::RowBatch;

/// A decoder that is added beside those that are built in.
#[derive(Debug, Clone, Copy)]
pub struct OwnDecoder {
    /// Its name, as `stream.<type>.decoder.class.name` gives it.
    pub name: &'static str,
    /// The settings that it knows, without the prefix `stream.<type>.decoder.prop.`.
    pub keys: &'static [&'static str],
    /// Makes a reader for one partition. The error says which setting is wrong and what would be right.
    pub make: Make,
}

/// Makes a reader of a decoder's settings.
pub type Make = fn(&BTreeMap<String, String>) -> Result<Box<dyn MessageReader>, String>;

/// A decoder as this process has it: one of the binary's own, or one that was loaded when it started.
pub struct AddedDecoder {
    /// Its name, as `stream.<type>.decoder.class.name` gives it.
    pub name: &'static str,
    /// The settings that it knows, without the prefix `stream.<type>.decoder.prop.`.
    pub keys: &'static [&'static str],
    /// Makes a reader for one partition.
    pub make: MakeAdded,
}

/// Makes a reader of a decoder's settings and the names of the fields that the table reads.
pub type MakeAdded =
    Box<dyn Fn(&BTreeMap<String, String>, &[&str]) -> Result<Box<dyn MessageReader>, String> + Send + Sync>;

impl std::fmt::Debug for AddedDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl From<OwnDecoder> for AddedDecoder {
    fn from(own: OwnDecoder) -> Self {
        Self { name: own.name, keys: own.keys, make: Box::new(move |settings, _fields| (own.make)(settings)) }
    }
}

/// Bytes of the messages that a reader is shown ahead of their reading: enough that the way there costs little beside the
/// reading, little enough that they are in the cache when they are read.
const AHEAD_BYTES: usize = 256 << 10;

/// Takes messages apart. One per partition; what it makes of a message must follow from the message alone, for messages
/// are read again after a restart.
pub trait MessageReader: Send {
    /// Reads one message into `rows`: none, one or many.
    ///
    /// # Errors
    /// The message is not what the format asks for: it is rejected whole, with this reason.
    fn read(&mut self, message: &[u8], rows: &mut Rows<'_>) -> Result<(), String>;

    /// How many messages it wants to be shown before it reads them, at most: for a reader that takes many at once for
    /// little more than one.
    fn at_a_time(&self) -> usize {
        1
    }

    /// The messages that it reads next, each once, in this order. It is not called where it wants one at a time.
    fn ahead(&mut self, _messages: &[&[u8]]) {}
}

/// Takes the rows of one message.
#[derive(Debug)]
pub struct Rows<'a> {
    writer: &'a mut RowWriter,
    batch: &'a mut RowBatch,
    columns: &'a HashMap<String, u32>,
    message: u32,
    /// A value or [`Rows::begin`] came since the last row ended.
    begun: bool,
    refused: Option<Refused>,
    decoded: Decoded,
}

impl Rows<'_> {
    /// Whether a column or an expression of the table reads a field: others need not be looked for.
    #[must_use]
    pub fn wants(&self, field: &str) -> bool {
        self.columns.contains_key(field)
    }

    /// The value of a field of the row that is being made; one that it had before is gone. A field that nothing reads is
    /// passed over.
    pub fn put(&mut self, field: &str, value: Source<'_>) {
        self.begin();
        if let Some(column) = self.columns.get(field) {
            self.writer.take_back(self.batch, *column);
            self.writer.value(self.batch, *column, value);
        }
    }

    /// One more of the values of a field that has several. A field that nothing reads is passed over.
    pub fn item(&mut self, field: &str, value: Source<'_>) {
        self.begin();
        if let Some(column) = self.columns.get(field) {
            self.writer.element(self.batch, *column, value);
        }
    }

    /// Begins a row that may have no values.
    pub fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.writer.begin(self.batch.rows());
        }
    }

    /// Ends the row. The last one of a message ends by itself.
    pub fn end(&mut self) {
        self.begin();
        self.begun = false;
        if self.refused.is_some() {
            return;
        }
        match self.writer.finish(self.batch) {
            Ok(()) => {
                self.batch.message_of_row.push(self.message);
                self.writer.count(&mut self.decoded);
            }
            Err(refused) => self.refused = Some(refused),
        }
    }
}

struct Reading {
    reader: Box<dyn MessageReader>,
    writer: RowWriter,
    columns: HashMap<String, u32>,
}

/// Bytes of a reason that are kept: one may quote a value, and name a place in a program.
const REASON: usize = 300;

fn cut(mut reason: String) -> String {
    if reason.len() > REASON {
        let bytes = reason.len();
        reason.truncate(reason.floor_char_boundary(REASON));
        reason.push_str(&format!("... ({bytes} bytes)"));
    }
    reason
}

impl Reading {
    fn one(&mut self, payload: Payload<'_>, rows: &mut RowBatch, decoded: &mut Decoded) {
        let first = rows.rows();
        let mut of_message = Rows {
            writer: &mut self.writer,
            batch: rows,
            columns: &self.columns,
            message: payload.message,
            begun: false,
            refused: None,
            decoded: Decoded::default(),
        };
        let read = self.reader.read(payload.value, &mut of_message);
        if of_message.begun && read.is_ok() {
            of_message.end();
        }
        let Rows { refused, decoded: found, .. } = of_message;
        let reject = match (read, refused) {
            (Err(reason), _) => {
                Some(Reject { message: payload.message, stage: Stage::Decode, column: None, reason: cut(reason) })
            }
            (Ok(()), Some(refused)) => Some(self.writer.reject(payload, refused)),
            (Ok(()), None) => None,
        };
        match reject {
            Some(reject) => {
                rows.truncate(first);
                decoded.rejects.push(reject);
            }
            None => {
                decoded.empty += u32::from(rows.rows() == first);
                decoded.altered += found.altered;
                decoded.incomplete += found.incomplete;
            }
        }
    }
}

impl Decoder for Reading {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        let mut decoded = Decoded::default();
        let most = self.reader.at_a_time();
        if most <= 1 {
            payloads.for_each(|payload| self.one(payload, rows, &mut decoded));
            return decoded;
        }
        loop {
            let (mut group, mut messages, mut bytes) = (vec![], vec![], 0);
            while group.len() < most
                && bytes < AHEAD_BYTES
                && let Some(payload) = payloads.next()
            {
                bytes += payload.value.len();
                messages.push(payload.value);
                group.push(payload);
            }
            if group.is_empty() {
                return decoded;
            }
            self.reader.ahead(&messages);
            for payload in group {
                self.one(payload, rows, &mut decoded);
            }
        }
    }
}

static ADDED: OnceLock<Vec<AddedDecoder>> = OnceLock::new();

/// Those that were added.
pub(crate) fn added() -> &'static [AddedDecoder] {
    ADDED.get().map_or(&[], Vec::as_slice)
}

/// Adds decoders to this process: once, before its first table is read.
///
/// # Errors
/// A name is taken, or decoders were added before.
pub fn add(decoders: Vec<AddedDecoder>) -> Result<(), String> {
    for (at, decoder) in decoders.iter().enumerate() {
        let twice = decoders[..at].iter().any(|other| other.name == decoder.name);
        if twice || registry::resolve(decoder.name).is_some() {
            return Err(format!("a decoder named '{}' is there already: give it another name", decoder.name));
        }
    }
    ADDED.set(decoders).map_err(|_| "decoders from outside are added once, all together".to_owned())
}

/// Makes the decoder of an added one.
pub(crate) fn make(
    own: &AddedDecoder,
    settings: &BTreeMap<String, String>,
    spec: &DecodeSpec,
) -> Result<Box<dyn Decoder>, FormatError> {
    let fields: Vec<&str> = spec.sources().map(|(_, name)| name).collect();
    let reader = (own.make)(settings, &fields)
        .map_err(|reason| FormatError::Own { name: own.name.to_owned(), reason: cut(reason) })?;
    let columns = spec.sources().map(|(column, name)| (name.to_owned(), column)).collect();
    Ok(Box::new(Reading { reader, writer: RowWriter::new(spec), columns }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Sample, conformance};
    use std::sync::Arc;
    use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, Schema, SchemaVersion};

    /// `id|=name|score|tag,tag`; a record a line.
    struct Lines;

    impl MessageReader for Lines {
        fn read(&mut self, message: &[u8], rows: &mut Rows<'_>) -> Result<(), String> {
            if message.is_empty() {
                return Err("no bytes".to_owned());
            }
            let text = std::str::from_utf8(message).map_err(|error| error.to_string())?;
            for line in text.lines() {
                let [id, name, score, tags] = line.split('|').collect::<Vec<_>>()[..]
                    .try_into()
                    .map_err(|_| format!("'{line}': not 4 fields"))?;
                let plain = |text: &str| text.strip_prefix('=').map(|text| text.replace("\\n", "\n"));
                rows.put("id", Source::Text("no number"));
                match id.parse() {
                    Ok(id) => rows.put("id", Source::Integer(id)),
                    Err(_) => rows.put("id", Source::Text(id)),
                }
                if let Some(name) = plain(name) {
                    rows.put("name", Source::Text(&name));
                }
                if let Ok(score) = score.parse() {
                    rows.put("score", Source::Double(score));
                }
                tags.split(',').filter(|tag| !tag.is_empty()).for_each(|tag| rows.item("tags", Source::Text(tag)));
                rows.end();
            }
            Ok(())
        }
    }

    const LINES: OwnDecoder = OwnDecoder {
        name: "lines",
        keys: &["mode"],
        make: |settings| match settings.get("mode").map(String::as_str) {
            None | Some("plain") => Ok(Box::new(Lines)),
            Some(other) => Err(format!("mode cannot be '{other}': plain is read")),
        },
    };

    fn line(sample: &Sample) -> Vec<u8> {
        let name = sample.name.as_ref().map_or(String::new(), |name| format!("={}", name.replace('\n', "\\n")));
        let score = sample.score.map_or(String::new(), |score| score.to_string());
        format!("{}|{name}|{score}|{}", sample.id, sample.tags.join(",")).into_bytes()
    }

    fn spec() -> DecodeSpec {
        let field = |(name, data_type)| {
            FieldSpec::new(ColumnName::parse(name).expect("a good name"), data_type, FieldKind::Dimension)
        };
        let fields = [("id", DataType::Long), ("name", DataType::String)].into_iter().map(field).collect();
        let schema = Arc::new(Schema::new("lines", SchemaVersion(1), fields));
        DecodeSpec { schema, continue_on_error: false, topic: "t".into(), raw: 0 }
    }

    #[test]
    fn a_decoder_from_outside_keeps_the_promises_of_the_shelf() {
        let make = |spec| make(&LINES.into(), &BTreeMap::new(), &spec).expect("it has no settings to be wrong");
        conformance(&make, &line);
    }

    #[test]
    fn a_message_of_several_rows_is_stored_whole_or_rejected_whole() {
        let spec = spec();
        let mut decoder = make(&LINES.into(), &BTreeMap::new(), &spec).expect("it has no settings to be wrong");
        let mut rows = RowBatch::new(&spec.schema);
        let messages: [&[u8]; 4] = [b"1|=a||x\n2|=b|1.5|", b"3|||\nfour|||", b"\n", b"5|||"];
        let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
        let decoded = decoder.decode(&mut payloads, &mut rows);
        assert_eq!(rows.message_of_row, [0, 0, 3]);
        let rejects: Vec<_> =
            decoded.rejects.iter().map(|reject| (reject.message, reject.stage, reject.column.as_deref())).collect();
        assert_eq!(rejects, [(1, Stage::DataType, Some("id")), (2, Stage::Decode, None)]);
    }

    /// Reads [`Lines`], and sees to it that what it is shown ahead is what it then reads.
    struct Many {
        lines: Lines,
        shown: std::collections::VecDeque<Vec<u8>>,
    }

    impl MessageReader for Many {
        fn read(&mut self, message: &[u8], rows: &mut Rows<'_>) -> Result<(), String> {
            assert_eq!(self.shown.pop_front().as_deref(), Some(message));
            self.lines.read(message, rows)
        }

        fn at_a_time(&self) -> usize {
            3
        }

        fn ahead(&mut self, messages: &[&[u8]]) {
            assert!(self.shown.is_empty() && messages.len() <= 3);
            self.shown.extend(messages.iter().map(|message| message.to_vec()));
        }
    }

    fn many() -> AddedDecoder {
        let make: MakeAdded = Box::new(|_, _| Ok(Box::new(Many { lines: Lines, shown: [].into() })));
        AddedDecoder { name: "many", keys: &[], make }
    }

    #[test]
    fn a_reader_is_shown_the_messages_that_it_reads() {
        conformance(&|spec| make(&many(), &BTreeMap::new(), &spec).expect("it has no settings to be wrong"), &line);
        let spec = spec();
        let mut decoder = make(&many(), &BTreeMap::new(), &spec).expect("it has no settings to be wrong");
        let mut rows = RowBatch::new(&spec.schema);
        // One that is as large as all of a group may be ends it.
        let long = format!("4|={}||", "x".repeat(AHEAD_BYTES));
        let messages: [&[u8]; 6] = [b"1|||", b"two|||", b"3|||", long.as_bytes(), b"5|||", b"6|||"];
        let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
        let decoded = decoder.decode(&mut payloads, &mut rows);
        assert_eq!((&rows.message_of_row[..], decoded.rejects.len()), (&[0, 2, 3, 4, 5][..], 1));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut("ä".repeat(REASON) + "x");
        assert_eq!(long, "ä".repeat(REASON / 2) + "... (601 bytes)");
    }

    #[test]
    fn names_are_distinct_and_a_wrong_setting_is_told() {
        let error = add(vec![OwnDecoder { name: "json", ..LINES }.into()]).expect_err("the name is taken");
        assert!(error.contains("'json' is there already"), "{error}");
        let settings = BTreeMap::from([("mode".to_owned(), "odd".to_owned())]);
        let error = make(&LINES.into(), &settings, &spec()).err().expect("the mode is none").to_string();
        assert_eq!(error, "decoder 'lines': mode cannot be 'odd': plain is read");
    }
}
