//! What a table asks of its segments' storage and indexes, as one number: a record that has it says what its file was built
//! with, and whoever compares it with the table's need not open the file.

use std::collections::BTreeMap;
use weir_types::{ColumnName, FieldIndexes};

/// The number of these settings: the same in every release, for it is on records. Columns without any do not count, nor does
/// the column that rows are sorted by: the order of rows stays as it was when they were sealed.
#[must_use]
pub fn index_settings(indexes: &BTreeMap<ColumnName, FieldIndexes>) -> u64 {
    let mut hash = Fnv::default();
    for (column, FieldIndexes { no_dictionary, inverted, range }) in indexes {
        let bits = u8::from(*no_dictionary) | u8::from(*inverted) << 1 | u8::from(*range) << 2;
        if bits != 0 {
            hash.add(column.as_str().as_bytes());
            // No text has such a byte: names cannot run into each other.
            hash.add(&[0xff, bits]);
        }
    }
    hash.0
}

/// FNV-1a of 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(columns: &[(&str, bool, bool, bool)]) -> u64 {
        let column = |(name, no_dictionary, inverted, range): &(&str, bool, bool, bool)| {
            let indexes = FieldIndexes { no_dictionary: *no_dictionary, inverted: *inverted, range: *range };
            (ColumnName::parse(name).unwrap(), indexes)
        };
        index_settings(&columns.iter().map(column).collect())
    }

    #[test]
    fn each_setting_counts_and_columns_without_any_do_not() {
        let all = [
            of(&[]),
            of(&[("a", true, false, false)]),
            of(&[("a", false, true, false)]),
            of(&[("a", false, false, true)]),
            of(&[("b", false, false, true)]),
            of(&[("a", false, false, true), ("b", false, false, true)]),
            of(&[("ab", false, false, true)]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(of(&[("a", false, false, false)]), of(&[]));
        // They are on records.
        assert_eq!(of(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of(&[("a", false, true, false)]), 0xe57e_0319_03de_dad1);
    }
}
