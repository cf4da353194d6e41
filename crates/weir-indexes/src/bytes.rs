//! Checked reads of little-endian numbers, and the error of bytes that are no index. Nothing here panics on bad input.

use std::{fmt, ops::Range};

/// Bytes do not hold the index that they should, or an index cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexError {
    /// Which index and which part of it.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl IndexError {
    /// An error at a place.
    #[must_use]
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for IndexError {}

/// `u32` at a byte position.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

/// `u64` at a byte position.
#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(part.try_into().ok()?))
}

/// `i64` at a byte position.
#[must_use]
pub fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    u64_at(bytes, at).map(u64::cast_signed)
}

/// A part of bytes given by 64-bit positions.
#[must_use]
pub fn part(bytes: &[u8], range: Range<u64>) -> Option<&[u8]> {
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}
