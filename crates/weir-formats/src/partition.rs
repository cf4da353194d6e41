//! Rows that belong to another partition of the stream than the one they come from: they are dropped where a table asks for
//! that. A value becomes a partition as Pinot's functions of the same names have it.

use crate::stages::keep_rows_of;
use weir_functions::shelf::{KAFKA_SEED, murmur2, murmur3_32, murmur3_x64};
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
        Some(Self { position, function: function.clone(), partitions: *partitions, own: partition % partitions })
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
        let positive = |hash: u32| (hash & 0x7fff_ffff) % self.partitions;
        let hash = match &self.function {
            PartitionFunction::Modulo => return self.own,
            PartitionFunction::Murmur => return positive(murmur2(text, KAFKA_SEED)),
            PartitionFunction::Murmur3 { seed, x64: false } => return positive(murmur3_32(text, *seed as u32)),
            PartitionFunction::Murmur3 { seed, x64: true } => {
                return positive((murmur3_x64(text, *seed).0 >> 32) as u32);
            }
            PartitionFunction::BoundedColumnValue(values) => {
                let text = String::from_utf8_lossy(text).to_lowercase();
                let at = values.iter().position(|value| value.to_lowercase() == text);
                return at.map_or(0, |at| u32::try_from(at + 1).unwrap_or(0));
            }
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
            assert_eq!(murmur2(text.as_bytes(), KAFKA_SEED) as i32, hash, "{text}");
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

    /// The answers of Pinot 1.4.
    #[test]
    fn murmur3_and_listed_values_are_pinots() {
        let of = |function: PartitionFunction, text: &str| {
            check(DataType::String, function, 1000, 0).partition_of(text.as_bytes())
        };
        let murmur3 = |seed, x64| PartitionFunction::Murmur3 { seed, x64 };
        for (text, partitions) in [
            ("", [0, 255, 609, 611]),
            ("a", [850, 849, 329, 509]),
            ("hello", [351, 374, 907, 932]),
            ("The quick brown fox jumps over the lazy dog", [547, 259, 880, 956]),
            ("-7", [564, 522, 364, 559]),
            ("123456789012", [433, 434, 779, 751]),
            ("\u{e4}\u{f6}\u{fc}", [228, 449, 574, 664]),
            ("zw\u{f6}lf Boxk\u{e4}mpfer jagen Viktor", [872, 30, 777, 901]),
        ] {
            let found = [murmur3(0, false), murmur3(9001, false), murmur3(0, true), murmur3(-5, true)];
            assert_eq!(found.map(|function| of(function, text)), partitions, "{text}");
        }
        let listed = PartitionFunction::BoundedColumnValue(["Maths", "English", "Chemistry"].map(str::to_owned).into());
        let found = ["maths", "ENGLISH", "Chemistry", "x", ""].map(|text| of(listed.clone(), text));
        assert_eq!(found, [1, 2, 3, 0, 0]);
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
