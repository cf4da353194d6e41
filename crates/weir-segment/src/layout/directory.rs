//! Header and directory: what a segment file says about itself and where the regions of each column are.

use super::{ALIGN, CHECKED_FROM, FORMAT_VERSION, HEADER_BYTES, MAGIC, Pieces, RegionKind, byte_count};
use crate::{ColumnStats, SegmentError};
use std::{collections::HashMap, ops::Range, sync::Arc};
use weir_types::{DataType, SchemaVersion, Stored, Value};

/// A column's entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnEntry {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) single_value: bool,
    pub(crate) stats: ColumnStats,
    pub(crate) regions: HashMap<u8, Range<usize>>,
}

impl ColumnEntry {
    pub(crate) fn region(&self, kind: RegionKind) -> Option<Range<usize>> {
        self.regions.get(&(kind as u8)).cloned()
    }
}

/// What the header and the directory say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contents {
    pub(crate) name: Arc<str>,
    pub(crate) rows: u32,
    pub(crate) schema_version: SchemaVersion,
    pub(crate) created_ms: i64,
    pub(crate) crc: u32,
    pub(crate) columns: Vec<ColumnEntry>,
}

/// Collects regions, then makes directory and header.
pub(crate) struct FileWriter {
    /// What follows the header.
    pieces: Pieces,
    /// Where the file ends so far.
    position: usize,
    directory: Vec<u8>,
    columns: u32,
}

/// What a finished file says of the whole.
pub(crate) struct Whole<'a> {
    pub(crate) name: &'a str,
    pub(crate) rows: u32,
    pub(crate) schema_version: SchemaVersion,
    pub(crate) created_ms: i64,
}

/// A column with its regions, to be written.
pub(crate) struct ColumnOut {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) single_value: bool,
    pub(crate) stats: ColumnStats,
    pub(crate) regions: Vec<(RegionKind, Pieces)>,
}

impl FileWriter {
    pub(crate) fn new() -> Self {
        Self { pieces: vec![], position: HEADER_BYTES, directory: vec![], columns: 0 }
    }

    /// Appends a column's regions.
    pub(crate) fn column(&mut self, column: ColumnOut) {
        self.entry(&column);
        for (_, mut region) in column.regions {
            self.pad();
            self.position += byte_count(&region);
            self.pieces.append(&mut region);
        }
        self.columns += 1;
    }

    /// Regions start at multiples of `ALIGN`.
    fn pad(&mut self) {
        let end = self.position.next_multiple_of(ALIGN);
        if end > self.position {
            self.pieces.push(vec![0; end - self.position]);
        }
        self.position = end;
    }

    fn entry(&mut self, column: &ColumnOut) {
        let mut position = self.position;
        let out = &mut self.directory;
        put_bytes(out, column.name.as_bytes());
        out.push(type_code(column.data_type));
        out.push(u8::from(!column.single_value) | u8::from(column.stats.sorted) << 1);
        out.push(u8::from(column.stats.cardinality.is_some()) | u8::from(column.stats.min_max.is_some()) << 1);
        out.push(column.regions.len() as u8);
        out.extend_from_slice(&column.stats.cardinality.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&column.stats.nulls.to_le_bytes());
        out.extend_from_slice(&column.stats.values.to_le_bytes());
        if let Some((min, max)) = &column.stats.min_max {
            put_value(out, min);
            put_value(out, max);
        }
        for (kind, region) in &column.regions {
            position = position.next_multiple_of(ALIGN);
            let length = byte_count(region);
            out.push(*kind as u8);
            out.extend_from_slice(&(position as u64).to_le_bytes());
            out.extend_from_slice(&(length as u64).to_le_bytes());
            position += length;
        }
    }

    /// The file and its checksum.
    pub(crate) fn finish(mut self, whole: &Whole<'_>) -> (Pieces, u32) {
        self.pad();
        let at = self.position as u64;
        let mut directory = vec![];
        put_bytes(&mut directory, whole.name.as_bytes());
        directory.append(&mut self.directory);
        let length = at + directory.len() as u64;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&length.to_le_bytes());
        header.extend_from_slice(&whole.rows.to_le_bytes());
        header.extend_from_slice(&whole.schema_version.0.to_le_bytes());
        header.extend_from_slice(&whole.created_ms.to_le_bytes());
        header.extend_from_slice(&self.columns.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&at.to_le_bytes());
        header.extend_from_slice(&(length - at).to_le_bytes());
        self.pieces.push(directory);
        let crc = crc32c::crc32c(&header[CHECKED_FROM..]);
        let crc = self.pieces.iter().fold(crc, |crc, piece| crc32c::crc32c_append(crc, piece));
        header[12..16].copy_from_slice(&crc.to_le_bytes());
        self.pieces.insert(0, header);
        (self.pieces, crc)
    }
}

/// Verifies that the bytes are those that the header's checksum was made of, and says it.
pub(crate) fn verify(bytes: &[u8]) -> Result<u32, SegmentError> {
    let (_, crc) = head(bytes)?;
    let found = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    if found != crc {
        return Err(SegmentError::corrupt(
            "checksum",
            format!("the header says {crc:08x}, the bytes have {found:08x}"),
        ));
    }
    Ok(crc)
}

/// The header up to its checksum, which is given, and what follows it.
fn head(bytes: &[u8]) -> Result<(Cursor<'_>, u32), SegmentError> {
    let header = bytes.get(..HEADER_BYTES).ok_or_else(|| {
        SegmentError::corrupt("header", format!("a file of {} bytes has no header of {HEADER_BYTES}", bytes.len()))
    })?;
    let mut header = Cursor::new(header, "header");
    if header.take(8)? != MAGIC {
        return Err(SegmentError::corrupt("header", "it does not start like a segment file"));
    }
    let version = header.u32()?;
    if version != FORMAT_VERSION {
        return Err(SegmentError::Version { found: version, known: FORMAT_VERSION });
    }
    let crc = header.u32()?;
    let length = header.u64()?;
    if length != bytes.len() as u64 {
        return Err(SegmentError::corrupt("header", format!("it tells of {length} bytes, there are {}", bytes.len())));
    }
    Ok((header, crc))
}

/// Reads header and directory of bytes that were verified.
pub(crate) fn read(bytes: &[u8]) -> Result<Contents, SegmentError> {
    let (mut header, crc) = head(bytes)?;
    let (rows, schema_version, created_ms) = (header.u32()?, header.u32()?, header.u64()?.cast_signed());
    let columns = header.u32()?;
    header.u32()?;
    let (at, directory_bytes) = (header.u64()?, header.u64()?);
    let directory = at.checked_add(directory_bytes).and_then(|end| weir_indexes::bytes::part(bytes, at..end));
    let directory = directory.ok_or_else(|| SegmentError::corrupt("header", "the directory lies outside"))?;
    let mut cursor = Cursor::new(directory, "directory");
    let name = cursor.text()?;
    let mut entries = vec![];
    for _ in 0..columns {
        entries.push(read_column(&mut cursor, bytes.len())?);
    }
    Ok(Contents { name, rows, schema_version: SchemaVersion(schema_version), created_ms, crc, columns: entries })
}

fn read_column(cursor: &mut Cursor<'_>, file_bytes: usize) -> Result<ColumnEntry, SegmentError> {
    let name = cursor.text()?;
    let place = || format!("directory, column {name}");
    let code = cursor.u8()?;
    let data_type =
        type_of(code).ok_or_else(|| SegmentError::corrupt(place(), format!("no data type has code {code}")))?;
    let (flags, has, regions) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
    let (cardinality, nulls, values) = (cursor.u32()?, cursor.u32()?, cursor.u64()?);
    let min_max = match has & 2 {
        0 => None,
        _ => Some((cursor.value(data_type.stored())?, cursor.value(data_type.stored())?)),
    };
    let cardinality = (has & 1 != 0).then_some(cardinality);
    let stats = ColumnStats { min_max, cardinality, nulls, values, sorted: flags & 2 != 0 };
    let mut by_kind = HashMap::new();
    for _ in 0..regions {
        let (kind, start, length) = (cursor.u8()?, cursor.u64()?, cursor.u64()?);
        let end = start.checked_add(length).filter(|end| *end <= file_bytes as u64);
        let end = end.ok_or_else(|| SegmentError::corrupt(place(), format!("region {kind} lies outside")))?;
        // Both are at most the file's length, which is a usize.
        by_kind.insert(kind, start as usize..end as usize);
    }
    Ok(ColumnEntry { name, data_type, single_value: flags & 1 == 0, stats, regions: by_kind })
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("names and values of a directory are far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Int(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Long(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Float(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Double(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Str(v) => put_bytes(out, v.as_bytes()),
        Value::Bytes(v) => put_bytes(out, v),
    }
}

/// Codes of the data types; they are in files for ever.
const TYPE_CODES: [(u8, DataType); 12] = [
    (1, DataType::Int),
    (2, DataType::Long),
    (3, DataType::Float),
    (4, DataType::Double),
    (5, DataType::BigDecimal),
    (6, DataType::Boolean),
    (7, DataType::Timestamp),
    (8, DataType::String),
    (9, DataType::Json),
    (10, DataType::Bytes),
    (11, DataType::Uuid),
    (12, DataType::Map),
];

fn type_code(data_type: DataType) -> u8 {
    let found = TYPE_CODES.iter().find(|(_, known)| *known == data_type);
    found.expect("every data type has a code: a test says so").0
}

fn type_of(code: u8) -> Option<DataType> {
    TYPE_CODES.iter().find(|(known, _)| *known == code).map(|(_, data_type)| *data_type)
}

struct Cursor<'a> {
    rest: &'a [u8],
    place: &'static str,
}

impl<'a> Cursor<'a> {
    fn new(rest: &'a [u8], place: &'static str) -> Self {
        Self { rest, place }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], SegmentError> {
        let (part, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| SegmentError::corrupt(self.place, "it is cut off"))?;
        self.rest = rest;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    fn u8(&mut self) -> Result<u8, SegmentError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, SegmentError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, SegmentError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], SegmentError> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Result<Arc<str>, SegmentError> {
        let place = self.place;
        let text = std::str::from_utf8(self.bytes()?);
        text.map(Arc::from).map_err(|_| SegmentError::corrupt(place, "a text is not UTF-8"))
    }

    fn value(&mut self, stored: Stored) -> Result<Value, SegmentError> {
        Ok(match stored {
            Stored::Int => Value::Int(i32::from_le_bytes(self.array()?)),
            Stored::Long => Value::Long(i64::from_le_bytes(self.array()?)),
            Stored::Float => Value::Float(f32::from_le_bytes(self.array()?)),
            Stored::Double => Value::Double(f64::from_le_bytes(self.array()?)),
            Stored::Str => Value::Str(self.text()?),
            Stored::Bytes => Value::Bytes(self.bytes()?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_code() {
        for data_type in DataType::ALL {
            assert_eq!(type_of(type_code(data_type)), Some(data_type));
        }
    }
}
