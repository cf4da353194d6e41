//! Where a message stands: ledger, entry and place in its batch, as one number that sorts as they do.
//!
//! 63 bits, so that the number is also a LONG: 28 of the ledger, 23 of the entry, 12 of the place in the batch. Ledgers are
//! numbered through a whole cluster; at one new ledger a second 2^28 of them last eight years. A ledger is closed after 50000
//! entries, but not before it is ten minutes old: 2^23 entries are 14000 a second for so long. A batch has 1000 messages
//! unless its producer is told otherwise. What lies beyond is refused, never folded.

use std::fmt;
use weir_types::NextOffset;

const ENTRY_BITS: u32 = 23;
const BATCH_BITS: u32 = 12;
const LEDGERS: u64 = 1 << 28;
const ENTRIES: u64 = 1 << ENTRY_BITS;
const BATCH: u64 = 1 << BATCH_BITS;

/// Ledger, entry, place in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) ledger: u64,
    pub(super) entry: u64,
    pub(super) batch: u64,
}

/// A position that no offset stands for, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beyond(pub(super) Position);

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { ledger, entry, batch } = self.0;
        write!(f, "message {ledger}:{entry}:{batch} lies beyond what an offset can say: ")?;
        if batch >= BATCH {
            write!(f, "set batchingMaxMessages of the producers to {BATCH} or less")
        } else if entry >= ENTRIES {
            write!(
                f,
                "have the brokers close ledgers before they have {ENTRIES} entries (managedLedgerMinLedgerRolloverTimeMinutes)"
            )
        } else {
            write!(f, "ledgers from {LEDGERS} on are not read; a topic on a newer cluster is")
        }
    }
}

impl Position {
    /// The entry, before its first message.
    pub(super) const fn entry(ledger: u64, entry: u64) -> Self {
        Self { ledger, entry, batch: 0 }
    }

    pub(super) fn offset(self) -> Result<NextOffset, Beyond> {
        let Self { ledger, entry, batch } = self;
        if ledger >= LEDGERS || entry >= ENTRIES || batch >= BATCH {
            return Err(Beyond(self));
        }
        Ok(NextOffset::new(((ledger << ENTRY_BITS | entry) << BATCH_BITS) | batch))
    }

    pub(super) fn of(offset: NextOffset) -> Self {
        let number = offset.number();
        let entries = number >> BATCH_BITS;
        Self { ledger: entries >> ENTRY_BITS, entry: entries & (ENTRIES - 1), batch: number & (BATCH - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_sort_as_positions_do_and_lead_back() {
        let at = |ledger, entry, batch| Position { ledger, entry, batch };
        let ascending = [
            at(0, 0, 0),
            at(0, 0, 1),
            at(0, 0, BATCH - 1),
            at(0, 1, 0),
            at(0, ENTRIES - 1, BATCH - 1),
            at(1, 0, 0),
            at(7, 3, 2),
            at(LEDGERS - 1, ENTRIES - 1, BATCH - 1),
        ];
        let offsets: Vec<NextOffset> = ascending.iter().map(|at| at.offset().unwrap()).collect();
        assert!(offsets.is_sorted_by(|one, other| one < other), "{offsets:?}");
        assert!(ascending.iter().zip(&offsets).all(|(at, offset)| Position::of(*offset) == *at));
        assert_eq!(offsets[0], NextOffset::ZERO);
        assert!(i64::try_from(offsets[7].number()).is_ok());
    }

    #[test]
    fn what_lies_beyond_is_refused_with_the_remedy() {
        for (position, remedy) in [
            (Position { ledger: 1, entry: 1, batch: BATCH }, "batchingMaxMessages"),
            (Position::entry(1, ENTRIES), "RolloverTime"),
            (Position::entry(LEDGERS, 0), "newer cluster"),
        ] {
            let beyond = position.offset().unwrap_err();
            assert!(beyond.to_string().contains(remedy), "{beyond}");
        }
    }
}
