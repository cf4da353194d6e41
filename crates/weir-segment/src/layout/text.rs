//! Text and bytes in chunks of about 64 KiB, each compressed (LZ4, or `letters` for ids) where that saves.
//!
//! Region: `u32` chunks, `u32` 0; per chunk 32 bytes (`u32` first value, `u32` values, `u64` position, `u32` bytes stored,
//! `u32` bytes of the chunk when read, `u8` codec, `u8` bytes of a length, zeros); padding to 64; the chunks. A chunk is
//! the lengths of its values, one, two or four bytes each, then the values.

use super::{ALIGN, Pieces, letters, pad};
use weir_indexes::bytes::{part, u32_at, u64_at};
use weir_types::BytesColumn;

/// Small enough that a few scattered rows do not cost much, large enough that LZ4 finds repetition.
const CHUNK_BYTES: usize = 64 * 1024;
const HEADER: usize = 8;
const ENTRY: usize = 32;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;
const LETTERS: u8 = 2;
/// Enough for LZ4 to show what it can do.
const PROBE_BYTES: usize = 4 * 1024;
/// A chunk of ids of equal length stays near `CHUNK_BYTES`; only a single longer value makes a chunk longer.
const LETTERS_RAW: u32 = 2 * CHUNK_BYTES as u32;

/// The region of values, in their order.
pub(crate) fn encode<'a>(values: impl Iterator<Item = &'a [u8]>) -> Pieces {
    let mut writer = Writer::default();
    for value in values {
        writer.push(value);
    }
    writer.finish()
}

#[derive(Default)]
struct Writer {
    chunks: u32,
    first: u32,
    entries: Vec<u8>,
    /// The chunks as they are stored, and how long they are together.
    stored: Pieces,
    position: u64,
    lengths: Vec<u32>,
    bytes: Vec<u8>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    spelled: Vec<u8>,
}

impl Writer {
    fn push(&mut self, value: &[u8]) {
        if !self.lengths.is_empty() && self.bytes.len() + value.len() + self.lengths.len() > CHUNK_BYTES {
            self.end_chunk();
        }
        self.lengths.push(u32::try_from(value.len()).expect("a column of text is checked to be below 4 GiB"));
        self.bytes.extend_from_slice(value);
    }

    fn end_chunk(&mut self) {
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let width = match longest {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 4,
        };
        self.raw.clear();
        self.lengths.iter().for_each(|length| self.raw.extend_from_slice(&length.to_le_bytes()[..width]));
        self.raw.extend_from_slice(&self.bytes);
        let count = self.lengths.len() as u32;
        let equal = self.lengths.iter().all(|length| *length == longest) && self.raw.len() <= LETTERS_RAW as usize;
        self.spelled.clear();
        let most = self.raw.len() / 4 * 3;
        let spelled = equal && letters::encode(&self.bytes, longest as usize, most, &mut self.spelled);
        self.packed.resize(lz4_flex::block::get_maximum_output_size(self.raw.len()), 0);
        let mut lz4 = |raw: &[u8]| lz4_flex::block::compress_into(raw, &mut self.packed).ok();
        // Ids that were spelled are tried by a piece: random ones, the usual case, would only cost time.
        let (tail, whole) = (self.raw.len().saturating_sub(PROBE_BYTES), self.raw.len());
        let hopeless =
            spelled && lz4(&self.raw[tail..]).is_none_or(|length| length * whole > (whole - tail) * self.spelled.len());
        let lz4 = if hopeless { None } else { lz4(&self.raw) };
        // Reading plain bytes is so much quicker that a sixteenth is not worth it.
        let lz4 = lz4.filter(|length| *length < self.raw.len() / 16 * 15);
        let (codec, stored) = match lz4 {
            Some(length) if !spelled || length < self.spelled.len() => (LZ4, &self.packed[..length]),
            _ if spelled => (LETTERS, &self.spelled[..]),
            _ => (PLAIN, &self.raw[..]),
        };
        self.entries.extend_from_slice(&self.first.to_le_bytes());
        self.entries.extend_from_slice(&count.to_le_bytes());
        self.entries.extend_from_slice(&self.position.to_le_bytes());
        self.entries.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        self.entries.extend_from_slice(&(self.raw.len() as u32).to_le_bytes());
        self.entries.extend_from_slice(&[codec, width as u8, 0, 0, 0, 0, 0, 0]);
        self.position += stored.len() as u64;
        self.stored.push(stored.to_vec());
        self.first += count;
        self.chunks += 1;
        self.lengths.clear();
        self.bytes.clear();
    }

    fn finish(mut self) -> Pieces {
        if !self.lengths.is_empty() {
            self.end_chunk();
        }
        let mut head = Vec::with_capacity((HEADER + self.entries.len()).next_multiple_of(ALIGN));
        head.extend_from_slice(&self.chunks.to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        head.append(&mut self.entries);
        pad(&mut head);
        self.stored.insert(0, head);
        self.stored
    }
}

#[derive(Clone, Copy)]
struct Entry {
    first: u32,
    count: u32,
    position: u64,
    stored: u32,
    raw: u32,
    codec: u8,
    width: u8,
}

/// A chunk as read: its values one after the other.
pub(crate) struct Chunk {
    first: usize,
    /// `values + 1` positions in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Chunk {
    /// One past its last value's position in the column.
    pub(crate) fn end(&self) -> usize {
        self.first + self.ends.len() - 1
    }

    /// Appends the values at positions `[from, to)` of the column.
    pub(crate) fn copy(&self, from: usize, to: usize, out: &mut BytesColumn) {
        for at in from - self.first..to - self.first {
            out.push(&self.bytes[self.ends[at] as usize..self.ends[at + 1] as usize]);
        }
    }
}

/// Reads chunks.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'a> {
    bytes: &'a [u8],
    chunks: usize,
}

impl<'a> Texts<'a> {
    /// Over bytes that `check` has accepted.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, chunks: u32_at(bytes, 0).unwrap_or(0) as usize }
    }

    /// Checks that the chunks follow one another, hold `count` values and lie inside; they are not read.
    pub(crate) fn check(&self, count: usize) -> Result<(), String> {
        let mut next = 0usize;
        for chunk in 0..self.chunks {
            let bad = || format!("chunk {chunk} lies outside or does not follow its predecessor");
            let entry = self.entry(chunk).ok_or_else(bad)?;
            let lengths = u64::from(entry.count) * u64::from(entry.width);
            let sound = matches!(entry.width, 1 | 2 | 4) && entry.codec <= LETTERS && entry.count > 0;
            if !sound || entry.first as usize != next || lengths > u64::from(entry.raw) || self.stored(&entry).is_none()
            {
                return Err(bad());
            }
            // LZ4 cannot expand more than 255-fold: a greater claim would only reserve memory.
            if entry.codec == PLAIN && entry.stored != entry.raw
                || u64::from(entry.raw) > 256 * (u64::from(entry.stored) + 1)
            {
                return Err(bad());
            }
            next += entry.count as usize;
        }
        if next == count { Ok(()) } else { Err(format!("the chunks hold {next} of {count} values")) }
    }

    fn entry(&self, chunk: usize) -> Option<Entry> {
        let at = HEADER + chunk * ENTRY;
        let tail = self.bytes.get(at + 24..at + 26)?;
        Some(Entry {
            first: u32_at(self.bytes, at)?,
            count: u32_at(self.bytes, at + 4)?,
            position: u64_at(self.bytes, at + 8)?,
            stored: u32_at(self.bytes, at + 16)?,
            raw: u32_at(self.bytes, at + 20)?,
            codec: tail[0],
            width: tail[1],
        })
    }

    fn stored(&self, entry: &Entry) -> Option<&'a [u8]> {
        let first = (HEADER + self.chunks * ENTRY).next_multiple_of(ALIGN) as u64;
        let start = first.checked_add(entry.position)?;
        part(self.bytes, start..start.checked_add(u64::from(entry.stored))?)
    }

    /// The chunk that holds a value.
    pub(crate) fn chunk_of(&self, value: usize) -> usize {
        let (mut low, mut high) = (0, self.chunks);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let first = self.entry(middle).map_or(u32::MAX, |entry| entry.first);
            if first as usize <= value { low = middle } else { high = middle }
        }
        low
    }

    /// Reads a chunk.
    pub(crate) fn read(&self, chunk: usize) -> Result<Chunk, String> {
        let torn = || format!("chunk {chunk} cannot be read");
        let entry = self.entry(chunk).ok_or_else(torn)?;
        let stored = self.stored(&entry).ok_or_else(torn)?;
        if entry.codec == LETTERS {
            let mut bytes = Vec::with_capacity(entry.raw as usize);
            let length = letters::decode(stored, entry.count as usize, &mut bytes).ok_or_else(torn)?;
            let ends = (0..=entry.count).map(|at| at * length as u32).collect();
            return Ok(Chunk { first: entry.first as usize, ends, bytes });
        }
        let mut raw = match entry.codec {
            LZ4 => {
                let mut raw = vec![0; entry.raw as usize];
                let length = lz4_flex::block::decompress_into(stored, &mut raw).map_err(|error| error.to_string())?;
                if length != raw.len() {
                    return Err(torn());
                }
                raw
            }
            _ => stored.to_vec(),
        };
        let width = usize::from(entry.width);
        let split = entry.count as usize * width;
        let mut ends = Vec::with_capacity(entry.count as usize + 1);
        let mut end = 0u64;
        ends.push(0);
        for length in raw.get(..split).ok_or_else(torn)?.chunks_exact(width) {
            let mut wide = [0; 4];
            wide[..width].copy_from_slice(length);
            end += u64::from(u32::from_le_bytes(wide));
            ends.push(u32::try_from(end).map_err(|_| torn())?);
        }
        if end != (raw.len() - split) as u64 {
            return Err(torn());
        }
        raw.drain(..split);
        Ok(Chunk { first: entry.first as usize, ends, bytes: raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(values: &[Vec<u8>]) -> usize {
        let region = encode(values.iter().map(Vec::as_slice)).concat();
        let texts = Texts::new(&region);
        texts.check(values.len()).unwrap();
        let mut out = BytesColumn::default();
        let mut at = 0;
        while at < values.len() {
            let chunk = texts.read(texts.chunk_of(at)).unwrap();
            chunk.copy(at, chunk.end(), &mut out);
            at = chunk.end();
        }
        assert_eq!(out.len(), values.len());
        assert!(out.iter().zip(values).all(|(found, value)| found == value));
        region.len()
    }

    fn mixed(at: u64) -> u64 {
        (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (at << 7)
    }

    #[test]
    fn values_of_every_length_come_back() {
        assert_eq!(round_trip(&[]), 64);
        round_trip(&[vec![]]);
        round_trip(&[vec![1; 200_000], vec![], vec![2; 70_000], b"short".to_vec()]);
        round_trip(&(0..20_000u64).map(|at| vec![at as u8; (at % 300) as usize]).collect::<Vec<_>>());
        let noise = |at: u64| (0..at % 40).flat_map(|byte| mixed(at * 41 + byte).to_le_bytes()).collect();
        round_trip(&(0..3000).map(noise).collect::<Vec<Vec<u8>>>());
    }

    #[test]
    fn uuids_take_little_more_than_their_bits() {
        let uuid = |at: u64| {
            let (a, b) = (mixed(at), mixed(at + 1_000_003));
            format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                a >> 32,
                a & 0xffff,
                b & 0xfff,
                b >> 52,
                b >> 8 & 0xffff_ffff_ffff
            )
        };
        let values: Vec<Vec<u8>> = (0..50_000).map(|at| uuid(at).into_bytes()).collect();
        let bytes = round_trip(&values);
        assert!(bytes < 50_000 * 16, "{bytes} bytes of 1.8 M");
    }

    #[test]
    fn repetitive_text_shrinks() {
        let values: Vec<Vec<u8>> =
            (0..10_000).map(|at| format!("GET /shop/category/{}/item HTTP/1.1", at % 977).into_bytes()).collect();
        let plain: usize = values.iter().map(Vec::len).sum();
        assert!(round_trip(&values) < plain / 3);
    }

    #[test]
    fn torn_regions_are_refused() {
        let values: Vec<Vec<u8>> = (0..9000).map(|at| format!("{at}-{}", mixed(at)).into_bytes()).collect();
        let region = encode(values.iter().map(Vec::as_slice)).concat();
        assert!(Texts::new(&region).check(8999).is_err());
        for length in (0..region.len() - 1).step_by(97) {
            assert!(Texts::new(&region[..length]).check(9000).is_err(), "{length}");
        }
    }
}
