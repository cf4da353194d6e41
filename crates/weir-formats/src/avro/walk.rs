//! The walk over one message: each field of the writer's record is skipped or goes straight into its column.

use super::{
    schema::{AvroSchema, Node, NodeId},
    wire::Wire,
};
use crate::{
    coerce::{self, Source, text::uuid_from_text},
    json::text::quote,
    row::{Broken, RowWriter},
    times::{date, time_of_day},
};
use base64::Engine as _;
use std::sync::Arc;
use weir_types::{DataType, RowBatch};

/// How deep records, arrays, maps and unions may nest: a schema may name itself, and each level is a call.
const MAX_DEPTH: u32 = 128;

/// What is done with the fields of a record, in the order in which they were written.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    schema: Arc<AvroSchema>,
    /// A field's type, and its column where it has one.
    fields: Vec<(NodeId, Option<u32>)>,
    /// Times stay the numbers that they are.
    raw_times: bool,
}

/// Buffers that live as long as the decoder.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    text: String,
    json: Vec<u8>,
}

impl Plan {
    /// Fields are known by their names: `sources` are columns and what fills them.
    pub(super) fn new<'s>(
        schema: Arc<AvroSchema>,
        sources: impl Iterator<Item = (u32, &'s str)>,
        raw_times: bool,
    ) -> Self {
        let mut fields: Vec<(NodeId, Option<u32>)> = schema.fields().iter().map(|(_, node)| (*node, None)).collect();
        for (column, source) in sources {
            if let Some(at) = schema.fields().iter().position(|(name, _)| **name == *source) {
                fields[at].1 = Some(column);
            }
        }
        Self { schema, fields, raw_times }
    }

    /// Reads one record.
    pub(super) fn record(
        &self,
        wire: &mut Wire<'_>,
        row: &mut RowWriter,
        rows: &mut RowBatch,
        buffers: &mut Buffers,
    ) -> Result<(), Broken> {
        for (node, column) in &self.fields {
            let node = self.node(*node);
            match column {
                Some(column) => self.fill(node, wire, row, rows, *column, buffers)?,
                None => self.skip(node, wire, 1)?,
            }
        }
        if !wire.is_at_end() {
            row.alter();
        }
        Ok(())
    }

    fn node(&self, at: NodeId) -> &Node {
        &self.schema.nodes[at as usize]
    }

    #[inline]
    fn fill(
        &self,
        node: &Node,
        wire: &mut Wire<'_>,
        row: &mut RowWriter,
        rows: &mut RowBatch,
        column: u32,
        buffers: &mut Buffers,
    ) -> Result<(), Broken> {
        let node = match node {
            Node::Union(branches) => self.node(branches[wire.choice(branches.len(), "branch")?]),
            other => other,
        };
        match node {
            Node::Null => {}
            // The common event is made of these.
            Node::Text => row.value(rows, column, Source::Text(wire.text()?)),
            Node::Long => row.value(rows, column, Source::Integer(wire.long()?)),
            Node::Double => row.value(rows, column, Source::Double(f64::from_le_bytes(wire.array()?))),
            Node::Array(_) | Node::Map(_) | Node::Record(_) | Node::Union(_) => {
                self.fill_nested(node, wire, row, rows, column, buffers)?;
            }
            scalar => {
                let source = self.scalar(scalar, wire, row.data_type(column), &mut buffers.text)?;
                row.value(rows, column, source);
            }
        }
        Ok(())
    }

    fn fill_nested(
        &self,
        node: &Node,
        wire: &mut Wire<'_>,
        row: &mut RowWriter,
        rows: &mut RowBatch,
        column: u32,
        buffers: &mut Buffers,
    ) -> Result<(), Broken> {
        let data_type = row.data_type(column);
        if let Node::Array(item) = node
            && !matches!(data_type, DataType::Json | DataType::Map)
            && self.node(*item).is_scalar(&self.schema.nodes)
        {
            row.list(rows, column);
            loop {
                let (count, _) = wire.block()?;
                if count == 0 {
                    return Ok(());
                }
                for _ in 0..count {
                    let item = match self.node(*item) {
                        Node::Union(branches) => self.node(branches[wire.choice(branches.len(), "branch")?]),
                        item => item,
                    };
                    if *item != Node::Null {
                        let source = self.scalar(item, wire, data_type, &mut buffers.text)?;
                        row.element(rows, column, source);
                    }
                }
            }
        }
        buffers.json.clear();
        self.json(node, wire, &mut buffers.json, &mut buffers.text, 1)?;
        row.json(rows, column, &buffers.json);
        Ok(())
    }

    /// One value that is not null, for a column of `data_type`. `text` holds it where it is written anew.
    fn scalar<'v, 'w: 'v>(
        &self,
        node: &'v Node,
        wire: &mut Wire<'w>,
        data_type: DataType,
        text: &'v mut String,
    ) -> Result<Source<'v>, Broken> {
        text.clear();
        Ok(match node {
            Node::Boolean => Source::Bool(wire.boolean()?),
            Node::Int => Source::Integer(i64::from(wire.int()?)),
            Node::Long => Source::Integer(wire.long()?),
            Node::Float => Source::Float(f32::from_le_bytes(wire.array()?)),
            Node::Double => Source::Double(f64::from_le_bytes(wire.array()?)),
            Node::Bytes => Source::Bytes(wire.bytes()?),
            Node::Text => Source::Text(wire.text()?),
            Node::Fixed(size) => Source::Bytes(wire.take(*size)?),
            Node::Enum(symbols) => Source::Text(&symbols[wire.choice(symbols.len(), "symbol")?]),
            Node::Date => date(i64::from(wire.int()?), data_type, self.raw_times, text),
            Node::TimeMillis => time_of_day(i64::from(wire.int()?), 1000, data_type, self.raw_times, text),
            Node::TimeMicros => time_of_day(wire.long()?, 1_000_000, data_type, self.raw_times, text),
            Node::Timestamp(per_ms) => {
                let value = wire.long()?;
                if self.raw_times { Source::Integer(value) } else { Source::Timestamp(value.div_euclid(*per_ms)) }
            }
            Node::Decimal { scale, fixed } => {
                let unscaled = match fixed {
                    Some(size) => wire.take(*size)?,
                    None => wire.bytes()?,
                };
                decimal(unscaled, *scale, wire, text)?
            }
            Node::BigDecimal => {
                let mut inside = Wire::new(wire.bytes()?, 0);
                let unscaled = inside.bytes()?;
                decimal(unscaled, inside.long()?, wire, text)?
            }
            Node::UuidText => {
                let text = wire.text()?;
                uuid_from_text(text).map_or(Source::Text(text), Source::Uuid)
            }
            Node::UuidBytes(size) => {
                let bytes = match size {
                    Some(size) => wire.take(*size)?,
                    None => wire.bytes()?,
                };
                bytes.try_into().map_or(Source::Bytes(bytes), Source::Uuid)
            }
            Node::Null | Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Record(_) => {
                unreachable!("the caller looked")
            }
        })
    }

    fn deeper(wire: &Wire<'_>, depth: u32) -> Result<u32, Broken> {
        if depth < MAX_DEPTH { Ok(depth + 1) } else { wire.broken("values nest deeper than 128 levels") }
    }

    fn skip(&self, node: &Node, wire: &mut Wire<'_>, depth: u32) -> Result<(), Broken> {
        match node {
            Node::Null => {}
            Node::Boolean => {
                wire.boolean()?;
            }
            Node::Int | Node::Date | Node::TimeMillis => {
                wire.int()?;
            }
            Node::Long | Node::TimeMicros | Node::Timestamp(_) => {
                wire.long()?;
            }
            Node::Float => {
                wire.take(4)?;
            }
            Node::Double => {
                wire.take(8)?;
            }
            Node::Text | Node::UuidText => {
                wire.text()?;
            }
            Node::Bytes | Node::BigDecimal | Node::Decimal { fixed: None, .. } | Node::UuidBytes(None) => {
                wire.bytes()?;
            }
            Node::Fixed(size) | Node::Decimal { fixed: Some(size), .. } | Node::UuidBytes(Some(size)) => {
                wire.take(*size)?;
            }
            Node::Enum(symbols) => {
                wire.choice(symbols.len(), "symbol")?;
            }
            Node::Union(branches) => {
                let depth = Self::deeper(wire, depth)?;
                let branch = branches[wire.choice(branches.len(), "branch")?];
                self.skip(self.node(branch), wire, depth)?;
            }
            Node::Record(fields) => {
                let depth = Self::deeper(wire, depth)?;
                for (_, field) in fields {
                    self.skip(self.node(*field), wire, depth)?;
                }
            }
            Node::Array(item) | Node::Map(item) => {
                let depth = Self::deeper(wire, depth)?;
                loop {
                    match wire.block()? {
                        (0, _) => return Ok(()),
                        (_, Some(bytes)) => {
                            wire.take(bytes)?;
                        }
                        (count, None) => {
                            for _ in 0..count {
                                if matches!(node, Node::Map(_)) {
                                    wire.text()?;
                                }
                                self.skip(self.node(*item), wire, depth)?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a value as JSON text.
    fn json(
        &self,
        node: &Node,
        wire: &mut Wire<'_>,
        out: &mut Vec<u8>,
        text: &mut String,
        depth: u32,
    ) -> Result<(), Broken> {
        match node {
            Node::Null => out.extend_from_slice(b"null"),
            Node::Union(branches) => {
                let depth = Self::deeper(wire, depth)?;
                let branch = branches[wire.choice(branches.len(), "branch")?];
                self.json(self.node(branch), wire, out, text, depth)?;
            }
            Node::Record(fields) => {
                let depth = Self::deeper(wire, depth)?;
                out.push(b'{');
                for (at, (name, field)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    quote(name.as_bytes(), out);
                    out.push(b':');
                    self.json(self.node(*field), wire, out, text, depth)?;
                }
                out.push(b'}');
            }
            Node::Array(item) | Node::Map(item) => {
                let depth = Self::deeper(wire, depth)?;
                let is_map = matches!(node, Node::Map(_));
                out.push(if is_map { b'{' } else { b'[' });
                let mut first = true;
                loop {
                    let (count, _) = wire.block()?;
                    if count == 0 {
                        break;
                    }
                    for _ in 0..count {
                        if !first {
                            out.push(b',');
                        }
                        first = false;
                        if is_map {
                            quote(wire.text()?.as_bytes(), out);
                            out.push(b':');
                        }
                        self.json(self.node(*item), wire, out, text, depth)?;
                    }
                }
                out.push(if is_map { b'}' } else { b']' });
            }
            scalar => match self.scalar(scalar, wire, DataType::Json, text)? {
                Source::Text(text) => quote(text.as_bytes(), out),
                Source::Bytes(bytes) => {
                    quote(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes(), out);
                }
                other => {
                    coerce::json(other, out);
                }
            },
        }
        Ok(())
    }
}

fn decimal<'t>(unscaled: &[u8], scale: i64, wire: &Wire<'_>, text: &'t mut String) -> Result<Source<'t>, Broken> {
    match coerce::text::decimal_of_bytes(unscaled, scale, text) {
        Some(()) => Ok(Source::Decimal(text)),
        None => wire.broken("a decimal has more than 4096 digits"),
    }
}
