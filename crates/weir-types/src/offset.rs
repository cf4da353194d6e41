//! Offsets are always "the next one to read" and ranges are half-open: there is no last-read offset in the house.

use std::fmt;

/// The offset of the next message to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextOffset(u64);

impl NextOffset {
    /// The first offset of a stream that counts from zero.
    pub const ZERO: Self = Self(0);

    /// From a stream's own number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The stream's own number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The offset after a message at this one.
    #[must_use]
    pub const fn after(self) -> Self {
        Self(self.0 + 1)
    }

    /// Offsets from `earlier` to this one, zero if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A range or a chain of ranges that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeError {
    /// The end lies before the start.
    Backwards {
        /// First offset.
        start: NextOffset,
        /// One past the last.
        end: NextOffset,
    },
    /// A range does not start where its predecessor ended, and no skip stands between.
    DoesNotFollow {
        /// Where the predecessor ended.
        expected: NextOffset,
        /// Where this one starts.
        found: NextOffset,
    },
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards { start, end } => write!(f, "offset range [{start}, {end}) runs backwards"),
            Self::DoesNotFollow { expected, found } => {
                write!(f, "offset range starts at {found} but its predecessor ended at {expected}")
            }
        }
    }
}

impl std::error::Error for RangeError {}

/// `[start, end)` of one partition; never backwards, possibly empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    start: NextOffset,
    end: NextOffset,
}

impl OffsetRange {
    /// Checks that `end` is not before `start`.
    pub fn try_new(start: NextOffset, end: NextOffset) -> Result<Self, RangeError> {
        if end < start {
            return Err(RangeError::Backwards { start, end });
        }
        Ok(Self { start, end })
    }

    /// The empty range at `at`.
    #[must_use]
    pub const fn empty(at: NextOffset) -> Self {
        Self { start: at, end: at }
    }

    /// First offset of the range.
    #[must_use]
    pub const fn start(self) -> NextOffset {
        self.start
    }

    /// One past the last offset.
    #[must_use]
    pub const fn end(self) -> NextOffset {
        self.end
    }

    /// How many offsets it spans.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether it spans nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// Whether `offset` lies in it.
    #[must_use]
    pub fn contains(self, offset: NextOffset) -> bool {
        self.start <= offset && offset < self.end
    }

    /// Checks that this range starts where `previous` ended, or where a skip that starts there ended.
    pub fn follows(self, previous: NextOffset, skips: &[Skip]) -> Result<(), RangeError> {
        let mut expected = previous;
        while self.start != expected {
            let Some(skip) = skips.iter().find(|skip| skip.range.start == expected && !skip.range.is_empty()) else {
                return Err(RangeError::DoesNotFollow { expected, found: self.start });
            };
            expected = skip.range.end;
        }
        Ok(())
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// Why offsets were passed over without being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The stream had deleted them before they were read.
    Retention,
    /// The stream's topic was made anew, its offsets start again.
    Recreated,
    /// Somebody asked for it.
    Reset,
    /// The backlog was larger than the table's settings allow.
    AutoReset,
}

impl SkipReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Retention, Self::Recreated, Self::Reset, Self::AutoReset];

    /// The word shown to users.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "RETENTION",
            Self::Recreated => "RECREATED",
            Self::Reset => "RESET",
            Self::AutoReset => "AUTO_RESET",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Offsets of one partition that were passed over, on the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// What was passed over.
    pub range: OffsetRange,
    /// Why.
    pub reason: SkipReason,
    /// When, wall time in milliseconds since the epoch.
    pub at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> OffsetRange {
        OffsetRange::try_new(NextOffset::new(start), NextOffset::new(end)).unwrap()
    }

    #[test]
    fn a_range_follows_its_predecessor_or_a_skip() {
        let skip = |start, end| Skip { range: range(start, end), reason: SkipReason::Retention, at_ms: 0 };
        assert!(range(5, 9).follows(NextOffset::new(5), &[]).is_ok());
        assert!(range(5, 9).follows(NextOffset::new(4), &[]).is_err());
        assert!(range(9, 10).follows(NextOffset::new(4), &[skip(4, 7), skip(7, 9)]).is_ok());
        assert!(range(9, 10).follows(NextOffset::new(4), &[skip(4, 8)]).is_err());
        assert!(OffsetRange::try_new(NextOffset::new(2), NextOffset::new(1)).is_err());
    }
}
