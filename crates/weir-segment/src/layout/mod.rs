//! The bytes of a sealed segment file: header, regions, directory, and the encodings inside regions.
//!
//! `docs/formats/segment.md` tells every byte; whoever changes a byte here raises `FORMAT_VERSION`, keeps the old reader
//! and adds an example file. Everything is little-endian; regions start at multiples of 64 bytes, so that a mapped file
//! serves plain numbers in place.

pub(crate) mod bitpack;
pub(crate) mod directory;
pub(crate) mod ints;
mod letters;
pub(crate) mod text;

/// First bytes of every segment file.
pub const MAGIC: &[u8; 8] = b"WEIRSEG\n";
/// The version that this release writes, and the latest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 64;
/// The checksum covers everything from here on.
pub(crate) const CHECKED_FROM: usize = 16;
/// A cache line, and enough for every vector load.
pub(crate) const ALIGN: usize = 64;
/// Name of the hidden column that holds the stream offset of each row's message.
pub const STREAM_OFFSET: &str = "$streamOffset";

/// Bytes in pieces that follow one another: regions of megabytes are made and written without being moved together.
pub(crate) type Pieces = Vec<Vec<u8>>;

/// How long they are together.
pub(crate) fn byte_count(pieces: &[Vec<u8>]) -> usize {
    pieces.iter().map(Vec::len).sum()
}

/// Pads to the next multiple of `ALIGN`.
pub(crate) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// Kinds of region; the numbers are in files for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum RegionKind {
    /// Dictionary values, ascending: numbers one after the other, or text and bytes concatenated.
    Dictionary = 1,
    /// `cardinality + 1` positions (`u32`) in a dictionary of text or bytes.
    DictionaryEnds = 2,
    /// Dictionary ids of all values, as packed blocks.
    Ids = 3,
    /// Numbers one after the other.
    Plain = 4,
    /// Whole numbers as packed blocks.
    Ints = 5,
    /// Text or bytes in compressed chunks.
    Text = 6,
    /// Ends of the rows of a multi-value column, as packed blocks.
    Ends = 7,
    /// Null rows, a roaring bitmap.
    Nulls = 8,
    /// Inverted index.
    Inverted = 9,
    /// Range index.
    Range = 10,
    /// Row ranges of a sorted column.
    Sorted = 11,
}
