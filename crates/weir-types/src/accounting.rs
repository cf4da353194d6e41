//! Every message is accounted for, counted in messages, per partition.
//!
//! `fetched = stored + filtered + tombstones + rejected + replayed`, and against the log
//! `next - start = fetched + gaps + skipped` for streams with dense offsets.

/// Why a good message gave no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterReason {
    /// The table's filter said so.
    Filter,
    /// The message held no row.
    Empty,
    /// A dedup table had seen its key.
    Duplicate,
    /// An upsert table drops late rows.
    OutOfOrder,
}

/// Message counts of an offset range. `rows` counts rows: one message gives 0..n of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accounting {
    /// Messages that came from the stream.
    pub fetched: u64,
    /// Messages that became rows.
    pub stored: u64,
    /// Good messages that gave no row.
    pub filtered: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// Messages in quarantine (or dropped, by policy).
    pub rejected: u64,
    /// Messages stored from the quarantine by a replay, counted out of `rejected`.
    pub replayed: u64,
    /// Offsets of the range that hold no message for us: control records, aborted or compacted data.
    pub gaps: u64,
    /// Offsets passed over on the record.
    pub skipped: u64,
    /// Rows stored.
    pub rows: u64,
    /// Rows with a number that wrapped, text that was cut, or bytes after the record: stored, but said.
    pub altered: u64,
    /// Bytes of message values fetched.
    pub bytes: u64,
}

impl Accounting {
    /// Adds another range's counts.
    pub fn add(&mut self, other: &Self) {
        let Self { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes } =
            other;
        self.fetched += fetched;
        self.stored += stored;
        self.filtered += filtered;
        self.tombstones += tombstones;
        self.rejected += rejected;
        self.replayed += replayed;
        self.gaps += gaps;
        self.skipped += skipped;
        self.rows += rows;
        self.altered += altered;
        self.bytes += bytes;
    }

    /// Takes another range's counts away, which were added before.
    pub fn take_away(&mut self, other: &Self) {
        let Self { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes } =
            other;
        self.fetched -= fetched;
        self.stored -= stored;
        self.filtered -= filtered;
        self.tombstones -= tombstones;
        self.rejected -= rejected;
        self.replayed -= replayed;
        self.gaps -= gaps;
        self.skipped -= skipped;
        self.rows -= rows;
        self.altered -= altered;
        self.bytes -= bytes;
    }

    /// Whether each fetched message is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.fetched == self.stored + self.filtered + self.tombstones + self.rejected + self.replayed
    }

    /// Whether the counts explain a range of `span` offsets of a dense log.
    #[must_use]
    pub fn explains(&self, span: u64) -> bool {
        self.balances() && span == self.fetched + self.gaps + self.skipped
    }
}
