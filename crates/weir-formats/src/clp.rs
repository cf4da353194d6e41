//! Log events in JSON whose messages are stored in CLP's three parts.
//!
//! Each field that is named in `fieldsForClpEncoding` gains three beside it: `<field>_logtype`, `<field>_dictionaryVars` and
//! `<field>_encodedVars`. The event with them is written as text and goes the way that JSON goes.
//!
//! A value that is no text cannot be encoded: it is kept under the field's name with `unencodableFieldSuffix`, and the log type
//! is that of the text `unencodableFieldError`; where these are not given, the three parts are null.

use crate::{
    decoder::{DecodeSpec, Decoded, Decoder, Payload},
    error::{FormatError, truth},
    json::{
        JsonDecoder,
        scan::{Scan, Step},
        text::{quote, unescape},
    },
};
use std::{collections::BTreeMap, io::Write as _, sync::Arc};
use weir_functions::clp::Encoded;
use weir_types::RowBatch;

/// Settings of the decoder.
pub const KEYS: &[&str] = &[
    "fieldsForClpEncoding",
    "removeProcessedFields",
    "unencodableFieldSuffix",
    "unencodableFieldError",
    "topicNameDestinationColumn",
    "errorSamplingPeriod",
];

#[derive(Debug)]
struct Settings {
    fields: Vec<String>,
    remove: bool,
    suffix: Option<String>,
    error: Option<String>,
    topic_column: Option<String>,
    topic: Arc<str>,
}

/// Decodes log events; see the module's head.
#[derive(Debug)]
pub struct ClpDecoder {
    json: JsonDecoder,
    settings: Settings,
    encoded: Encoded,
    /// The batch as text, and a message without its escapes.
    text: Vec<u8>,
    message: Vec<u8>,
}

impl ClpDecoder {
    /// A decoder for the schema of `spec`, with `decoder.prop.` settings.
    pub fn new(settings: &BTreeMap<String, String>, spec: &DecodeSpec) -> Result<Self, FormatError> {
        let text = |key: &str| settings.get(key).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let fields = text("fieldsForClpEncoding").unwrap_or_default();
        let settings = Settings {
            fields: fields.split(',').map(|field| field.trim().to_owned()).filter(|field| !field.is_empty()).collect(),
            remove: truth(settings, "removeProcessedFields")?.unwrap_or(false),
            suffix: text("unencodableFieldSuffix"),
            error: text("unencodableFieldError"),
            topic_column: text("topicNameDestinationColumn"),
            topic: spec.topic.clone(),
        };
        Ok(Self { json: JsonDecoder::new(spec), settings, encoded: Encoded::default(), text: vec![], message: vec![] })
    }

    /// Writes an event with its parts; text that is no event is copied, for the JSON decoder to say what is wrong with it.
    fn event(&mut self, event: &[u8]) {
        let start = self.text.len();
        if std::str::from_utf8(event).is_err() || self.members(event).is_err() {
            self.text.truncate(start);
            self.text.extend_from_slice(event);
        }
    }

    fn members(&mut self, event: &[u8]) -> Step<()> {
        let mut scan = Scan::new(event);
        scan.skip_space();
        if scan.peek() != Some(b'{') {
            return scan.broken("a JSON object is expected");
        }
        scan.at += 1;
        self.text.push(b'{');
        let empty = self.text.len();
        if let Some(column) = &self.settings.topic_column {
            member(&mut self.text, empty, column, "");
            quote(self.settings.topic.as_bytes(), &mut self.text);
        }
        scan.skip_space();
        while scan.peek() != Some(b'}') {
            let from = scan.at;
            let key = scan.key()?;
            scan.skip_space();
            let value = scan.at;
            scan.skip_value(1)?;
            let name = self.settings.fields.iter().position(|field| !key.escaped && field.as_bytes() == key.bytes);
            if name.is_none() || !self.settings.remove {
                if self.text.len() > empty {
                    self.text.push(b',');
                }
                self.text.extend_from_slice(&event[from..scan.at]);
            }
            if let Some(name) = name {
                self.parts(name, &event[value..scan.at], empty);
            }
            scan.skip_space();
            match scan.peek() {
                Some(b',') => scan.at += 1,
                Some(b'}') => break,
                _ => return scan.broken("a comma or a closing brace is expected"),
            }
            scan.skip_space();
            if scan.peek() == Some(b'}') {
                return scan.broken("a key in quotes is expected");
            }
        }
        // What stands behind the event goes along: it is counted as it is behind any.
        self.text.extend_from_slice(&event[scan.at..]);
        Ok(())
    }

    /// Writes the parts of a field's value, which is valid JSON.
    fn parts(&mut self, field: usize, value: &[u8], empty: usize) {
        let field = &self.settings.fields[field];
        self.message.clear();
        match value {
            [b'"', inside @ .., b'"'] => {
                unescape(inside, &mut self.message);
            }
            b"null" => return,
            other => {
                if let Some(suffix) = &self.settings.suffix {
                    member(&mut self.text, empty, field, suffix);
                    self.text.extend_from_slice(other);
                }
                let Some(error) = &self.settings.error else { return };
                self.message.extend_from_slice(error.as_bytes());
            }
        }
        let message = std::str::from_utf8(&self.message).expect("the event is UTF-8, and so are its escapes");
        self.encoded.encode(message);
        member(&mut self.text, empty, field, "_logtype");
        quote(&self.encoded.log_type, &mut self.text);
        member(&mut self.text, empty, field, "_dictionaryVars");
        self.text.push(b'[');
        for (at, variable) in self.encoded.dictionary.iter().enumerate() {
            if at > 0 {
                self.text.push(b',');
            }
            quote(&self.message[variable.clone()], &mut self.text);
        }
        self.text.push(b']');
        member(&mut self.text, empty, field, "_encodedVars");
        self.text.push(b'[');
        for (at, number) in self.encoded.numbers.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(self.text, "{comma}{number}").expect("a Vec takes every byte");
        }
        self.text.push(b']');
    }
}

/// Begins a member of the object that begins at `empty`.
fn member(out: &mut Vec<u8>, empty: usize, name: &str, suffix: &str) {
    if out.len() > empty {
        out.push(b',');
    }
    quote(format!("{name}{suffix}").as_bytes(), out);
    out.push(b':');
}

impl Decoder for ClpDecoder {
    fn decode(&mut self, payloads: &mut dyn Iterator<Item = Payload<'_>>, rows: &mut RowBatch) -> Decoded {
        self.text.clear();
        let mut spans = vec![];
        for payload in payloads {
            let start = self.text.len();
            self.event(payload.value);
            spans.push((payload.message, start..self.text.len()));
        }
        let text = &self.text;
        let mut events = spans.into_iter().map(|(message, span)| Payload { message, value: &text[span], key: None });
        self.json.decode(&mut events, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Sample, conformance};
    use proptest::prelude::*;
    use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, Schema, SchemaVersion};

    const COLUMNS: [(&str, DataType, bool); 6] = [
        ("m", DataType::String, true),
        ("m_logtype", DataType::String, true),
        ("m_dictionaryVars", DataType::String, false),
        ("m_encodedVars", DataType::Long, false),
        ("m_bad", DataType::Json, true),
        ("topic", DataType::String, true),
    ];

    fn rows(settings: &[(&str, &str)], events: &[&[u8]]) -> (Vec<String>, Decoded) {
        let field = |(name, data_type, single_value)| FieldSpec {
            single_value,
            ..FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension)
        };
        let schema = Arc::new(Schema::new("t", SchemaVersion(1), COLUMNS.map(field).to_vec()));
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let spec = DecodeSpec { schema: schema.clone(), continue_on_error: false, topic: "logs".into(), raw: 0 };
        let mut decoder = ClpDecoder::new(&settings, &spec).unwrap();
        let mut rows = RowBatch::new(&schema);
        let mut payloads = (0u32..).zip(events).map(|(message, value)| Payload { message, value, key: None });
        let decoded = decoder.decode(&mut payloads, &mut rows);
        let cell = |column: usize, row: usize| {
            let column = &rows.columns[column];
            let values: Vec<String> = column.values_of(row).map(|at| column.data.get(at).to_string()).collect();
            if column.nulls.contains(&(row as u32)) { "-".to_owned() } else { values.join("+") }
        };
        let row = |row: usize| (0..COLUMNS.len()).map(|column| cell(column, row)).collect::<Vec<_>>().join("|");
        ((0..rows.rows()).map(row).collect(), decoded)
    }

    #[test]
    fn conforms() {
        let encode = |sample: &Sample| {
            serde_json::json!({"id": sample.id, "name": sample.name, "score": sample.score, "tags": sample.tags})
                .to_string()
                .into_bytes()
        };
        let settings = BTreeMap::from([("fieldsForClpEncoding".to_owned(), "name, other".to_owned())]);
        conformance(&|spec| Box::new(ClpDecoder::new(&settings, &spec).unwrap()), &encode);
    }

    #[test]
    fn fields_gain_their_parts() {
        let fields = ("fieldsForClpEncoding", "m");
        let event = br#"{"x":{"m":1},"m":"took 12 ms, \"id\"=abc 1.5"} "#;
        let (found, _) = rows(&[fields], &[event]);
        let log_type = "took \u{11} ms, \"id\"=\u{12} \u{13}";
        let float = 15 << 8 | 1 << 4;
        assert_eq!(found, [format!("took 12 ms, \"id\"=abc 1.5|{log_type}|abc|12+{float}|-|-")]);
        let (found, _) =
            rows(&[fields, ("removeProcessedFields", "true"), ("topicNameDestinationColumn", "topic")], &[event]);
        assert_eq!(found, [format!("-|{log_type}|abc|12+{float}|-|logs")]);
        let (found, decoded) =
            rows(&[fields], &[b"{\"m\":null}", b"{\"m\":[1]}", b"{}", b"{\"m\":\"x\"", b"{\"m\":\"\xff\"}", b"7"]);
        assert_eq!(found, ["-|-|-|-|-|-", "1|-|-|-|-|-", "-|-|-|-|-|-"]);
        assert_eq!(decoded.rejects.iter().map(|reject| reject.message).collect::<Vec<_>>(), [3, 4, 5]);
        let unencodable = [fields, ("unencodableFieldSuffix", "_bad"), ("unencodableFieldError", "not text: code 7")];
        let (found, _) = rows(&unencodable, &[b"{\"m\":[1]}"]);
        assert_eq!(found, ["1|not text: code \u{11}|-|7|[1]|-"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_row_or_a_reject(bytes: Vec<u8>, text in "[\\[\\]{}\":,m1 \\\\]{0,24}") {
            let (found, decoded) = rows(&[("fieldsForClpEncoding", "m")], &[&bytes, text.as_bytes()]);
            prop_assert_eq!(found.len() + decoded.rejects.len(), 2);
        }
    }
}
