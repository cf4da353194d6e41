//! Rows that belong to another partition of the stream than the one they come from: they are dropped where a table asks for
//! that. A value becomes a partition as Pinot's functions of the same names have it.

use crate::stages::keep_rows_of;
use weir_types::{ColumnData, PartitionFunction, PartitionedBy, RowBatch, Schema};

/// Which rows belong to one partition.
#[derive(Debug, Clone)]
pub struct PartitionCheck {
    position: usize,
    function: PartitionFunction,
    partitions: u32,
    /// The partition that the rows come from, of those that there are.
    own: u32,
}

impl PartitionCheck {
    /// For rows from this partition of a stream; `None` where the schema has no such column. A stream of more partitions than
    /// the table names counts round.
    #[must_use]
    pub fn new(schema: &Schema, by: &PartitionedBy, partition: u32) -> Option<Self> {
        let PartitionedBy { column, function, partitions } = by;
        let position = schema.position(column.as_str())?;
        Some(Self { position, function: *function, partitions: *partitions, own: partition % partitions })
    }

    /// Takes the rows of other partitions out of a batch: how many messages have none left.
    pub fn apply(&self, rows: &mut RowBatch) -> u64 {
        let column = &rows.columns[self.position];
        // Nulls are told apart by what they are stored as.
        let keep: Vec<bool> = match &column.data {
            ColumnData::Int(values) => values.iter().map(|value| self.is_own(i64::from(*value))).collect(),
            ColumnData::Long(values) => values.iter().map(|value| self.is_own(*value)).collect(),
            ColumnData::Str(values) => values.iter().map(|value| self.partition_of(value) == self.own).collect(),
            // The config is read so that there is none.
            ColumnData::Float(_) | ColumnData::Double(_) | ColumnData::Bytes(_) => return 0,
        };
        let before = messages(&rows.message_of_row);
        keep_rows_of(rows, &keep);
        before - messages(&rows.message_of_row)
    }

    fn is_own(&self, number: i64) -> bool {
        if self.function == PartitionFunction::Modulo {
            return number.rem_euclid(i64::from(self.partitions)) == i64::from(self.own);
        }
        let mut text = [0; 20];
        let length = {
            use std::io::Write as _;
            let mut rest = &mut text[..];
            write!(rest, "{number}").expect("a 64-bit number has at most 20 characters");
            20 - rest.len()
        };
        self.partition_of(&text[..length]) == self.own
    }

    /// The partition of a text.
    fn partition_of(&self, text: &[u8]) -> u32 {
        let hash = match self.function {
            PartitionFunction::Modulo => return self.own,
            PartitionFunction::Murmur => return (murmur2(text) & 0x7fff_ffff) % self.partitions,
            PartitionFunction::HashCode => String::from_utf8_lossy(text)
                .encode_utf16()
                .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit))),
            PartitionFunction::ByteArray => {
                text.iter().fold(1i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(*byte as i8)))
            }
        };
        hash.unsigned_abs() % self.partitions
    }
}

/// Different messages of rows in the order of the stream.
fn messages(message_of_row: &[u32]) -> u64 {
    message_of_row.chunk_by(|a, b| a == b).count() as u64
}

/// MurmurHash 2 of 32 bits with the seed of Kafka's partitioner.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0u32, |last, byte| (last << 8) | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, SchemaVersion, Value};

    fn check(data_type: DataType, function: PartitionFunction, partitions: u32, partition: u32) -> PartitionCheck {
        let column = ColumnName::parse("c").unwrap();
        let field = FieldSpec::new(column.clone(), data_type, FieldKind::Dimension);
        let schema = Schema::new("t", SchemaVersion(1), vec![field]);
        PartitionCheck::new(&schema, &PartitionedBy { column, function, partitions }, partition).unwrap()
    }

    /// What Kafka's own tests expect of its partitioner.
    #[test]
    fn murmur_is_kafkas() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn values_become_partitions_as_in_java() {
        let of = |function, text: &str| check(DataType::String, function, 1000, 0).partition_of(text.as_bytes());
        // "hello".hashCode() is 99162322, "\u{10000}" has two units, "polygenelubricants" hashes to the smallest number.
        assert_eq!(of(PartitionFunction::HashCode, "hello"), 322);
        assert_eq!(of(PartitionFunction::HashCode, "\u{10000}"), (55296 * 31 + 56320) % 1000);
        assert_eq!(of(PartitionFunction::HashCode, "polygenelubricants"), 648);
        // Arrays.hashCode of one byte: 31 + the byte, signed.
        assert_eq!(of(PartitionFunction::ByteArray, "a"), 128);
        assert_eq!(of(PartitionFunction::ByteArray, ""), 1);
        assert_eq!(of(PartitionFunction::Murmur, "21"), ((-973_932_308i32 as u32) & 0x7fff_ffff) % 1000);
        let modulo = |number, own| check(DataType::Long, PartitionFunction::Modulo, 4, own).is_own(number);
        assert!(modulo(6, 2) && modulo(-1, 3) && !modulo(-1, 1) && modulo(i64::MIN, 0));
        // A number is hashed as its text.
        let murmur = check(DataType::Long, PartitionFunction::Murmur, 1000, of(PartitionFunction::Murmur, "21"));
        assert!(murmur.is_own(21) && !murmur.is_own(22));
    }

    #[test]
    fn rows_of_other_partitions_go_and_messages_without_rows_are_counted() {
        let check = check(DataType::Int, PartitionFunction::Modulo, 3, 4);
        let field = FieldSpec::new(ColumnName::parse("c").unwrap(), DataType::Int, FieldKind::Dimension);
        let mut rows = RowBatch::new(&Schema::new("t", SchemaVersion(1), vec![field]));
        for (message, value) in [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (3, 5)] {
            rows.columns[0].data.push(&Value::Int(value));
            rows.message_of_row.push(message);
        }
        // Partition 4 of a stream is the second of three.
        assert_eq!(check.apply(&mut rows), 2);
        assert_eq!(rows.message_of_row, [0, 2]);
        assert_eq!((rows.columns[0].data.get(0), rows.columns[0].data.get(1)), (Value::Int(1), Value::Int(4)));
        assert_eq!(check.apply(&mut rows), 0);
    }
}
