//! What was produced, and what a table must therefore answer.

use crate::shape::Added;
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

    /// Its value on the stream: with what columns that come later find there.
    pub(crate) fn value(&self) -> Option<Vec<u8>> {
        let with = |id: &i64, amount: &str| {
            let (level, note) = (Added::Level.value(*id), Added::Note.value(*id));
            let (nums, name) = (Added::Nums.value(*id), id % 7);
            format!(
                r#"{{"id":{id},"amount":{amount},"name":"n{name}","level":{level},"note":"{note}","nums":[{nums}]}}"#
            )
        };
        match self {
            Self::Row { id, amount } => Some(with(id, &amount.to_string()).into_bytes()),
            Self::Odd { id } => Some(with(id, r#""odd""#).into_bytes()),
            Self::Tombstone => None,
            Self::Broken => Some(b"{\"id\": tru".to_vec()),
        }
    }

    /// Number and amount, where it can be a row.
    pub(crate) fn row(&self) -> Option<(i64, i64)> {
        match self {
            Self::Row { id, amount } => Some((*id, *amount)),
            Self::Odd { id } => Some((*id, 0)),
            _ => None,
        }
    }
}

/// All that was produced, per partition in order.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) by_partition: BTreeMap<u32, Vec<Produced>>,
}

/// Where a row stands in its partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) amount: i64,
    pub(crate) odd: bool,
}

impl Model {
    /// Amount by id of all rows that are there in the end.
    pub(crate) fn rows(&self) -> BTreeMap<i64, i64> {
        self.by_partition.values().flatten().filter_map(Produced::row).collect()
    }

    /// All of a partition's messages with their offsets.
    pub(crate) fn of(&self, partition: u32) -> impl Iterator<Item = (u64, &Produced)> {
        (0..).zip(self.by_partition.get(&partition).into_iter().flatten())
    }

    /// How many messages a partition has.
    pub(crate) fn len(&self, partition: u32) -> u64 {
        self.by_partition.get(&partition).map_or(0, Vec::len) as u64
    }

    /// Messages in all.
    pub(crate) fn messages(&self) -> usize {
        self.by_partition.values().map(Vec::len).sum()
    }

    /// Offsets of messages of a partition that could not become rows.
    pub(crate) fn broken(&self, partition: u32) -> BTreeSet<u64> {
        let broken = self.of(partition).filter(|(_, produced)| matches!(produced, Produced::Broken));
        broken.map(|(offset, _)| offset).collect()
    }
}

/// Where every row stands, by its number; grows with the model.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<Option<Place>>,
    known: BTreeMap<u32, u64>,
}

impl Places {
    /// Takes in what was produced since.
    pub(crate) fn follow(&mut self, model: &Model) {
        for &partition in model.by_partition.keys() {
            let known = self.known.entry(partition).or_default();
            for (offset, produced) in model.of(partition).skip(*known as usize) {
                let Some((id, amount)) = produced.row() else { continue };
                let at = usize::try_from(id).unwrap();
                if self.places.len() <= at {
                    self.places.resize(at + 1, None);
                }
                let odd = matches!(produced, Produced::Odd { .. });
                self.places[at] = Some(Place { partition, offset, amount, odd });
            }
            *known = model.len(partition);
        }
    }

    pub(crate) fn get(&self, id: i64) -> Option<Place> {
        *self.places.get(usize::try_from(id).ok()?)?
    }

    /// Numbers and places of all rows.
    pub(crate) fn all(&self) -> impl Iterator<Item = (i64, Place)> {
        self.places.iter().enumerate().filter_map(|(id, place)| Some((i64::try_from(id).unwrap(), (*place)?)))
    }
}
