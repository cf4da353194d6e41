//! What was produced, and what a table must therefore answer.

use std::collections::{BTreeMap, BTreeSet};
use weir_base::Chance;

/// One message as produced.
#[derive(Debug, Clone)]
pub(crate) enum Produced {
    /// A good row with this number and amount.
    Row { id: i64, amount: i64 },
    /// Without a value.
    Tombstone,
    /// A row only where a value that cannot be typed becomes null, and with it an amount of 0.
    Odd { id: i64 },
    /// Something that cannot become a row.
    Broken,
}

impl Produced {
    /// A message by chance: mostly rows.
    pub(crate) fn by_chance(chance: &mut Chance, id: i64) -> Self {
        match chance.below(40) {
            0 => Self::Tombstone,
            1 => Self::Broken,
            2 | 3 => Self::Odd { id },
            _ => Self::Row { id, amount: i64::try_from(chance.below(1000)).unwrap() },
        }
    }

    /// Its value on the stream.
    pub(crate) fn value(&self) -> Option<Vec<u8>> {
        match self {
            Self::Row { id, amount } => {
                Some(format!(r#"{{"id":{id},"amount":{amount},"name":"n{}"}}"#, id % 7).into_bytes())
            }
            Self::Odd { id } => Some(format!(r#"{{"id":{id},"amount":"odd","name":"n{}"}}"#, id % 7).into_bytes()),
            Self::Tombstone => None,
            Self::Broken => Some(b"{\"id\": tru".to_vec()),
        }
    }
}

/// All that was produced, per partition in order.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) by_partition: BTreeMap<u32, Vec<Produced>>,
}

impl Model {
    /// Amount by id of all rows that are there in the end.
    pub(crate) fn rows(&self) -> BTreeMap<i64, i64> {
        let all = self.by_partition.values().flatten();
        let rows = all.filter_map(|produced| match produced {
            Produced::Row { id, amount } => Some((*id, *amount)),
            Produced::Odd { id } => Some((*id, 0)),
            _ => None,
        });
        rows.collect()
    }

    /// Ids of the rows that come and go with the table's settings, until they are replayed or sealed.
    pub(crate) fn odd(&self) -> BTreeSet<i64> {
        let all = self.by_partition.values().flatten();
        all.filter_map(|produced| if let Produced::Odd { id } = produced { Some(*id) } else { None }).collect()
    }

    /// How many messages could not become rows.
    pub(crate) fn broken(&self) -> usize {
        self.by_partition.values().flatten().filter(|produced| matches!(produced, Produced::Broken)).count()
    }

    /// Messages in all.
    pub(crate) fn messages(&self) -> usize {
        self.by_partition.values().map(Vec::len).sum()
    }
}
