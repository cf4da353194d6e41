//! The walk over one message: each field on the wire is skipped, goes straight into its column, or is noted and written as
//! JSON text when the message was read to its end.

use super::{
    schema::{Field, Kind, Message, MessageId, ProtoSchema},
    wire::{Wire, WireType},
};
use crate::{
    coerce::{self, Source},
    json::text::quote,
    row::{Broken, RowWriter},
};
use base64::Engine as _;
use std::sync::Arc;
use weir_types::{DataType, RowBatch};

/// How deep messages may nest, as in Google's own readers.
const MAX_DEPTH: u32 = 100;

/// What is done with a field of the outermost message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Skip,
    /// One value into a column: the last counts.
    Value(u32),
    /// Values into a column.
    Elements(u32),
    /// Noted, and written into a column as JSON text.
    Json(u32),
}

/// What is done with messages of one type.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    schema: Arc<ProtoSchema>,
    /// By the position of the field.
    actions: Vec<Action>,
    /// Fields that are looked at when a message was read: required ones, and those that have a default without being set.
    owed: Vec<usize>,
    has_oneofs: bool,
}

/// A field that was noted: its position, how it stands, and where its value is.
#[derive(Debug, Clone, Copy)]
struct Noted {
    field: u32,
    wire_type: WireType,
    span: (usize, usize),
}

/// Buffers that live as long as the decoder.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Per field of the outermost message: the record that last set it.
    seen: Vec<u64>,
    record: u64,
    /// Notes of all levels that are open, the innermost at the end.
    notes: Vec<Noted>,
    text: String,
    json: Vec<u8>,
}

impl Plan {
    /// Fields are known by their names: `sources` are columns, what fills them, and their types.
    pub(super) fn new<'s>(
        schema: Arc<ProtoSchema>,
        sources: impl Iterator<Item = (u32, &'s str)>,
        row: &RowWriter,
    ) -> Self {
        let message = &schema.messages[0];
        let mut actions = vec![Action::Skip; message.fields.len()];
        for (column, source) in sources {
            if let Some(at) = message.fields.iter().position(|field| *field.name == *source) {
                let field = &message.fields[at];
                let whole = matches!(row.data_type(column), DataType::Json | DataType::Map);
                actions[at] = match field.repeated {
                    _ if field.kind.is_message() => Action::Json(column),
                    true if whole => Action::Json(column),
                    true => Action::Elements(column),
                    false => Action::Value(column),
                };
            }
        }
        let owes = |at: &usize| {
            let field = &message.fields[*at];
            field.required || (matches!(actions[*at], Action::Value(_)) && !field.presence)
        };
        let owed = (0..actions.len()).filter(owes).collect();
        let has_oneofs = message.fields.iter().any(|field| field.oneof.is_some());
        Self { schema, actions, owed, has_oneofs }
    }

    /// Reads one message.
    pub(super) fn record(
        &self,
        bytes: &[u8],
        from: usize,
        row: &mut RowWriter,
        rows: &mut RowBatch,
        buffers: &mut Buffers,
    ) -> Result<(), Broken> {
        let message = &self.schema.messages[0];
        buffers.record += 1;
        buffers.notes.clear();
        buffers.seen.resize(message.fields.len(), 0);
        let mut wire = Wire::new(bytes, from, bytes.len());
        while !wire.is_at_end() {
            let (number, wire_type) = wire.tag()?;
            let Some(at) = message.find(number) else {
                wire.skip(number, wire_type)?;
                continue;
            };
            self.field(&mut wire, &message.fields[at], at, wire_type, row, rows, buffers)?;
        }
        for at in &self.owed {
            let field = &message.fields[*at];
            if buffers.seen[*at] != buffers.record {
                match self.actions[*at] {
                    _ if field.required => return wire.broken(format!("the required field {} is missing", field.name)),
                    Action::Value(column) => row.value(rows, column, self.default(field)),
                    _ => {}
                }
            }
        }
        if !buffers.notes.is_empty() {
            self.noted(&wire, row, rows, buffers)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of the decoder are borrowed one by one")]
    #[inline]
    fn field(
        &self,
        wire: &mut Wire<'_>,
        field: &Field,
        at: usize,
        wire_type: WireType,
        row: &mut RowWriter,
        rows: &mut RowBatch,
        buffers: &mut Buffers,
    ) -> Result<(), Broken> {
        match self.actions[at] {
            Action::Skip => {
                buffers.seen[at] = buffers.record;
                self.exclude(field, at, row, rows, buffers);
                wire.skip(field.number, wire_type)
            }
            Action::Value(column) => {
                if !stands(field.kind, wire_type) {
                    return wire.skip(field.number, wire_type);
                }
                let again = std::mem::replace(&mut buffers.seen[at], buffers.record) == buffers.record;
                if let Some(source) = self.scalar(field.kind, wire, &mut buffers.text)? {
                    if again {
                        row.take_back(rows, column);
                    }
                    row.value(rows, column, source);
                }
                self.exclude(field, at, row, rows, buffers);
                Ok(())
            }
            Action::Elements(column) => {
                buffers.seen[at] = buffers.record;
                let mut element = |wire: &mut Wire<'_>| -> Result<(), Broken> {
                    if let Some(source) = self.scalar(field.kind, wire, &mut buffers.text)? {
                        row.element(rows, column, source);
                    }
                    Ok(())
                };
                if stands(field.kind, wire_type) {
                    element(wire)
                } else if wire_type == WireType::Length && packs(field.kind) {
                    let span = wire.span()?;
                    let mut packed = wire.part(span);
                    while !packed.is_at_end() {
                        element(&mut packed)?;
                    }
                    Ok(())
                } else {
                    wire.skip(field.number, wire_type)
                }
            }
            Action::Json(_) => {
                buffers.seen[at] = buffers.record;
                note(wire, field, at, wire_type, &mut buffers.notes)?;
                self.exclude(field, at, row, rows, buffers);
                Ok(())
            }
        }
    }

    /// A field of a oneof was set: what the others of it were is gone.
    fn exclude(&self, field: &Field, at: usize, row: &mut RowWriter, rows: &mut RowBatch, buffers: &mut Buffers) {
        if !self.has_oneofs || field.oneof.is_none() {
            return;
        }
        let record = buffers.record;
        for (other, excluded) in self.schema.messages[0].fields.iter().enumerate() {
            if other == at || excluded.oneof != field.oneof || buffers.seen[other] != record {
                continue;
            }
            buffers.seen[other] = 0;
            match self.actions[other] {
                Action::Value(column) => row.take_back(rows, column),
                Action::Json(_) => buffers.notes.retain(|noted| noted.field as usize != other),
                Action::Skip | Action::Elements(_) => {}
            }
        }
    }

    /// Writes what was noted of the outermost message into its columns.
    fn noted(
        &self,
        wire: &Wire<'_>,
        row: &mut RowWriter,
        rows: &mut RowBatch,
        buffers: &mut Buffers,
    ) -> Result<(), Broken> {
        buffers.notes.sort_by_key(|noted| noted.field);
        let mut from = 0;
        let count = buffers.notes.len();
        while from < count {
            let field = buffers.notes[from].field;
            let end = from + buffers.notes[from..count].iter().take_while(|noted| noted.field == field).count();
            let Action::Json(column) = self.actions[field as usize] else { unreachable!("nothing else was noted") };
            let noted = &self.schema.messages[0].fields[field as usize];
            if row.data_type(column) == DataType::Timestamp && !noted.repeated && self.is_instant(noted.kind) {
                let ms = instant_ms(wire, &buffers.notes[from..end])?;
                row.value(rows, column, Source::Timestamp(ms));
                from = end;
                continue;
            }
            let mut json = std::mem::take(&mut buffers.json);
            json.clear();
            let written =
                self.json(wire, &self.schema.messages[0].fields[field as usize], (from, end), buffers, &mut json, 1);
            let written = written.map(|()| row.json(rows, column, &json));
            buffers.json = json;
            written?;
            from = end;
        }
        Ok(())
    }

    fn is_instant(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Message(id) if self.schema.messages[id as usize].is_instant)
    }

    /// Writes a field from the notes `from..end`, all of that field.
    fn json(
        &self,
        wire: &Wire<'_>,
        field: &Field,
        (from, end): (usize, usize),
        buffers: &mut Buffers,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Broken> {
        if field.map {
            return self.json_map(wire, field, (from, end), buffers, out, depth);
        }
        if !field.repeated {
            if let Kind::Message(id) | Kind::Group(id) = field.kind {
                return self.json_message(wire, id, (from, end), buffers, out, depth);
            }
            let mut part = wire.part(buffers.notes[end - 1].span);
            return self.json_scalar(&mut part, field.kind, buffers, out);
        }
        out.push(b'[');
        let mut first = true;
        for at in from..end {
            let noted = buffers.notes[at];
            let mut part = wire.part(noted.span);
            let packed = noted.wire_type == WireType::Length && packs(field.kind);
            loop {
                if packed && part.is_at_end() {
                    break;
                }
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                match field.kind {
                    Kind::Message(id) | Kind::Group(id) => {
                        self.json_message(wire, id, (at, at + 1), buffers, out, depth)?;
                    }
                    kind => self.json_scalar(&mut part, kind, buffers, out)?,
                }
                if !packed {
                    break;
                }
            }
        }
        out.push(b']');
        Ok(())
    }

    /// Writes a message whose parts, one after the other, are at the notes `from..end`.
    fn json_message(
        &self,
        wire: &Wire<'_>,
        id: MessageId,
        (from, end): (usize, usize),
        buffers: &mut Buffers,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Broken> {
        let message = &self.schema.messages[id as usize];
        let base = self.note_fields(wire, message, (from, end), buffers, depth)?;
        let count = buffers.notes.len();
        out.push(b'{');
        let mut at = base;
        let mut first = true;
        while at < count {
            let position = buffers.notes[at].field;
            let next = at + buffers.notes[at..count].iter().take_while(|noted| noted.field == position).count();
            let field = &message.fields[position as usize];
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            quote(field.name.as_bytes(), out);
            out.push(b':');
            self.json(wire, field, (at, next), buffers, out, depth + 1)?;
            at = next;
        }
        out.push(b'}');
        buffers.notes.truncate(base);
        Ok(())
    }

    /// Notes the fields of a message in the order of their numbers, at the end of the notes; where they begin.
    fn note_fields(
        &self,
        wire: &Wire<'_>,
        message: &Message,
        (from, end): (usize, usize),
        buffers: &mut Buffers,
        depth: u32,
    ) -> Result<usize, Broken> {
        if depth >= MAX_DEPTH {
            return wire.part(buffers.notes[from].span).broken("messages nest deeper than 100 levels");
        }
        let base = buffers.notes.len();
        for at in from..end {
            let mut part = wire.part(buffers.notes[at].span);
            while !part.is_at_end() {
                let (number, wire_type) = part.tag()?;
                match message.find(number) {
                    Some(at) => {
                        let field = &message.fields[at];
                        let before = buffers.notes.len();
                        note(&mut part, field, at, wire_type, &mut buffers.notes)?;
                        if field.oneof.is_some() && buffers.notes.len() > before {
                            let mut noted = 0;
                            buffers.notes.retain(|other| {
                                noted += 1;
                                noted <= base
                                    || noted > before
                                    || other.field as usize == at
                                    || message.fields[other.field as usize].oneof != field.oneof
                            });
                        }
                    }
                    None => part.skip(number, wire_type)?,
                }
            }
        }
        buffers.notes[base..].sort_by_key(|noted| noted.field);
        Ok(base)
    }

    /// Writes the entries of a map: key and value are the fields 1 and 2 of each.
    fn json_map(
        &self,
        wire: &Wire<'_>,
        field: &Field,
        (from, end): (usize, usize),
        buffers: &mut Buffers,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Broken> {
        let (Kind::Message(id) | Kind::Group(id)) = field.kind else { unreachable!("a map's entries are messages") };
        let entry = &self.schema.messages[id as usize];
        let (Some(key), Some(value)) = (entry.find(1), entry.find(2)) else {
            return wire.broken(format!("the map {} has entries without key or value", field.name));
        };
        out.push(b'{');
        for at in from..end {
            if at > from {
                out.push(b',');
            }
            let base = self.note_fields(wire, entry, (at, at + 1), buffers, depth)?;
            let keys = buffers.notes[base..].iter().take_while(|noted| noted.field as usize == key).count();
            let start = out.len();
            if keys > 0 {
                let mut part = wire.part(buffers.notes[base + keys - 1].span);
                self.json_scalar(&mut part, entry.fields[key].kind, buffers, out)?;
            } else {
                self.json_default(&entry.fields[key], out);
            }
            if out[start] != b'"' {
                out.insert(start, b'"');
                out.push(b'"');
            }
            out.push(b':');
            let values = base + keys..buffers.notes.len();
            if values.is_empty() {
                self.json_default(&entry.fields[value], out);
            } else {
                self.json(wire, &entry.fields[value], (values.start, values.end), buffers, out, depth + 1)?;
            }
            buffers.notes.truncate(base);
        }
        out.push(b'}');
        Ok(())
    }

    fn json_scalar(
        &self,
        part: &mut Wire<'_>,
        kind: Kind,
        buffers: &mut Buffers,
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        match self.scalar(kind, part, &mut buffers.text)? {
            Some(source) => json_of(source, out),
            None => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn json_default(&self, field: &Field, out: &mut Vec<u8>) {
        if field.kind.is_message() {
            out.extend_from_slice(b"{}");
        } else {
            json_of(self.default(field), out);
        }
    }

    /// What a field is that was not set and has no presence.
    fn default(&self, field: &Field) -> Source<'_> {
        match field.kind {
            Kind::Double => Source::Double(0.0),
            Kind::Float => Source::Float(0.0),
            Kind::Bool => Source::Bool(false),
            Kind::Text => Source::Text(""),
            Kind::Bytes => Source::Bytes(b""),
            Kind::Enum(id) => Source::Text(self.schema.enums[id as usize].first()),
            _ => Source::Integer(0),
        }
    }

    /// One value; `None` for a number that its enum does not have.
    #[inline]
    fn scalar<'v, 'w: 'v>(
        &'v self,
        kind: Kind,
        wire: &mut Wire<'w>,
        text: &'v mut String,
    ) -> Result<Option<Source<'v>>, Broken> {
        let zigzag = |bits: u64| (bits >> 1) as i64 ^ -((bits & 1) as i64);
        Ok(Some(match kind {
            Kind::Double => Source::Double(f64::from_le_bytes(wire.array()?)),
            Kind::Float => Source::Float(f32::from_le_bytes(wire.array()?)),
            Kind::Int32 | Kind::Uint32 => Source::Integer(i64::from(wire.varint()? as i32)),
            Kind::Int64 | Kind::Uint64 => Source::Integer(wire.varint()? as i64),
            Kind::Sint32 => Source::Integer(zigzag(u64::from(wire.varint()? as u32))),
            Kind::Sint64 => Source::Integer(zigzag(wire.varint()?)),
            Kind::Fixed32 => Source::Integer(i64::from(i32::from_le_bytes(wire.array()?))),
            Kind::Fixed64 => Source::Integer(i64::from_le_bytes(wire.array()?)),
            Kind::Bool => Source::Bool(wire.varint()? != 0),
            Kind::Text => {
                let (from, end) = wire.span()?;
                let bytes = wire.part((from, end)).take(end - from)?;
                let error = |error: std::str::Utf8Error| Broken::new(from + error.valid_up_to(), "a text is not UTF-8");
                Source::Text(std::str::from_utf8(bytes).map_err(error)?)
            }
            Kind::Bytes => {
                let (from, end) = wire.span()?;
                Source::Bytes(wire.part((from, end)).take(end - from)?)
            }
            Kind::Enum(id) => {
                let number = wire.varint()? as i32;
                return Ok(self.schema.enums[id as usize].name(number, text).map(Source::Text));
            }
            Kind::Message(_) | Kind::Group(_) => unreachable!("messages are noted"),
        }))
    }
}

/// The milliseconds of an instant whose parts were noted.
fn instant_ms(wire: &Wire<'_>, parts: &[Noted]) -> Result<i64, Broken> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    for noted in parts {
        let mut part = wire.part(noted.span);
        while !part.is_at_end() {
            match part.tag()? {
                (1, WireType::Varint) => seconds = part.varint()? as i64,
                (2, WireType::Varint) => nanos = part.varint()? as i32,
                (number, wire_type) => part.skip(number, wire_type)?,
            }
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(i64::from(nanos.div_euclid(1_000_000))))
}

/// Notes a field's value where it stands as its kind may; steps over it.
fn note(
    wire: &mut Wire<'_>,
    field: &Field,
    at: usize,
    wire_type: WireType,
    notes: &mut Vec<Noted>,
) -> Result<(), Broken> {
    let span = match (wire_type, field.kind) {
        (WireType::Group, Kind::Group(_)) => wire.group(field.number)?,
        (WireType::Length, Kind::Message(_)) => wire.span()?,
        (WireType::Length, kind) if field.repeated && packs(kind) => wire.span()?,
        (_, kind) if !kind.is_message() && stands(kind, wire_type) => {
            let from = wire.at;
            wire.skip(field.number, wire_type)?;
            (from, wire.at)
        }
        _ => return wire.skip(field.number, wire_type),
    };
    let field = u32::try_from(at).expect("a message has far less than 4 G fields");
    notes.push(Noted { field, wire_type, span });
    Ok(())
}

/// Whether one value of that kind stands so; what stands otherwise is of another schema, and skipped as unknown fields are.
#[inline]
fn stands(kind: Kind, wire_type: WireType) -> bool {
    let expected = match kind {
        Kind::Double | Kind::Fixed64 => WireType::Fixed64,
        Kind::Float | Kind::Fixed32 => WireType::Fixed32,
        Kind::Text | Kind::Bytes | Kind::Message(_) => WireType::Length,
        Kind::Group(_) => WireType::Group,
        _ => WireType::Varint,
    };
    wire_type == expected
}

/// Whether several values of that kind may stand in one run of bytes.
fn packs(kind: Kind) -> bool {
    !matches!(kind, Kind::Text | Kind::Bytes | Kind::Message(_) | Kind::Group(_))
}

fn json_of(source: Source<'_>, out: &mut Vec<u8>) {
    match source {
        Source::Text(text) => quote(text.as_bytes(), out),
        Source::Bytes(bytes) => quote(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes(), out),
        other => {
            coerce::json(other, out);
        }
    }
}
