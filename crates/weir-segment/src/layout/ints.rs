//! Whole numbers in packed blocks of 1024: each block holds either distances from its smallest number, or, where that is
//! narrower (times, offsets, ends), the steps from one number to the next less the smallest step.
//!
//! Region: per block a header of 24 bytes (`i64` base, `i64` step, `u32` first line, `u8` width, `u8` mode, `u16` 0),
//! padding to 64, then the packed lines. Reading is by block: a getter of single values would lose all speed.

use super::{
    ALIGN, Pieces,
    bitpack::{self, BLOCK, LINE},
    pad,
};
use weir_indexes::bytes::{i64_at, u32_at};

const ENTRY: usize = 24;
const DISTANCES: u8 = 0;
const STEPS: u8 = 1;

/// Bits that a number needs.
fn width_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Writes numbers as blocks. Every block but the last has 1024.
#[derive(Default)]
pub(crate) struct IntsWriter {
    entries: Vec<u8>,
    lines: Vec<u8>,
}

impl IntsWriter {
    /// Numbers of 64 bits; `steps` allows blocks of steps.
    pub(crate) fn encode(values: &[i64], steps: bool) -> Pieces {
        let mut writer = Self::default();
        values.chunks(BLOCK).for_each(|block| writer.block(block, steps));
        writer.finish()
    }

    /// Dictionary ids: always distances, so that they unpack straight into ids.
    pub(crate) fn encode_ids(ids: &[u32]) -> Pieces {
        let mut writer = Self::default();
        let mut distances = [0u32; BLOCK];
        for block in ids.chunks(BLOCK) {
            let (mut min, mut max) = (u32::MAX, 0);
            block.iter().for_each(|id| (min, max) = (min.min(*id), max.max(*id)));
            distances.iter_mut().zip(block).for_each(|(out, id)| *out = *id - min);
            let width = width_of(u64::from(max - min));
            writer.entry(i64::from(min), 0, width, DISTANCES);
            bitpack::pack32(&distances[..block.len()], width, &mut writer.lines);
        }
        writer.finish()
    }

    fn block(&mut self, values: &[i64], steps: bool) {
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        values.iter().for_each(|value| (min, max) = (min.min(*value), max.max(*value)));
        let width = width_of(max.wrapping_sub(min).cast_unsigned());
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for pair in values.windows(2) {
            let step = pair[1].wrapping_sub(pair[0]);
            (least, most) = (least.min(step), most.max(step));
        }
        let mut packed = [0u64; BLOCK];
        if steps && values.len() > 1 {
            let step_width = width_of(most.wrapping_sub(least).cast_unsigned());
            if step_width < width {
                for (out, pair) in packed[1..].iter_mut().zip(values.windows(2)) {
                    *out = pair[1].wrapping_sub(pair[0]).wrapping_sub(least).cast_unsigned();
                }
                self.entry(values[0], least, step_width, STEPS);
                return self.pack(&packed[..values.len()], step_width);
            }
        }
        packed.iter_mut().zip(values).for_each(|(out, value)| *out = value.wrapping_sub(min).cast_unsigned());
        self.entry(min, 0, width, DISTANCES);
        self.pack(&packed[..values.len()], width);
    }

    fn entry(&mut self, base: i64, step: i64, width: u32, mode: u8) {
        let line = u32::try_from(self.lines.len() / LINE).expect("a region is bounded far below 512 GiB by its rows");
        self.entries.extend_from_slice(&base.to_le_bytes());
        self.entries.extend_from_slice(&step.to_le_bytes());
        self.entries.extend_from_slice(&line.to_le_bytes());
        self.entries.extend_from_slice(&[width as u8, mode, 0, 0]);
    }

    fn pack(&mut self, values: &[u64], width: u32) {
        if width > 32 {
            bitpack::pack64(values, width, &mut self.lines);
        } else {
            let mut narrow = [0u32; BLOCK];
            narrow.iter_mut().zip(values).for_each(|(out, value)| *out = *value as u32);
            bitpack::pack32(&narrow[..values.len()], width, &mut self.lines);
        }
    }

    fn finish(mut self) -> Pieces {
        pad(&mut self.entries);
        vec![self.entries, self.lines]
    }
}

struct Entry {
    base: i64,
    step: i64,
    line: usize,
    width: u32,
    mode: u8,
}

/// Reads blocks.
#[derive(Clone, Copy)]
pub(crate) struct Ints<'a> {
    bytes: &'a [u8],
    lines: &'a [u8],
    count: usize,
}

impl<'a> Ints<'a> {
    /// Over bytes that `check` has accepted.
    pub(crate) fn new(bytes: &'a [u8], count: usize) -> Self {
        let first = (count.div_ceil(BLOCK) * ENTRY).next_multiple_of(ALIGN);
        Self { bytes, lines: bytes.get(first..).unwrap_or(&[]), count }
    }

    /// Checks that every block lies inside; numbers are not looked at.
    pub(crate) fn check(&self) -> Result<(), String> {
        for block in 0..self.count.div_ceil(BLOCK) {
            let entry = self.entry(block).ok_or_else(|| format!("block {block} has no entry"))?;
            let count = self.count_of(block);
            let lines = match entry.width {
                0..=32 => bitpack::lines32(count, entry.width),
                33..=64 => bitpack::lines64(count, entry.width),
                width => return Err(format!("block {block} has width {width}")),
            };
            if entry.mode > STEPS || (entry.line + lines) * LINE > self.lines.len() {
                return Err(format!("block {block} lies outside or has an unknown mode"));
            }
        }
        Ok(())
    }

    /// Checks that the numbers are dictionary ids below `cardinality`.
    pub(crate) fn check_ids(&self, cardinality: u32) -> Result<(), String> {
        self.check()?;
        let mut ids = [0; BLOCK];
        for block in 0..self.count.div_ceil(BLOCK) {
            let entry = self.entry(block).ok_or("a block has no entry")?;
            let bad = || format!("block {block} holds ids beyond the {cardinality} of the dictionary");
            if entry.mode != DISTANCES || entry.width > 32 || !(0..=i64::from(u32::MAX)).contains(&entry.base) {
                return Err(bad());
            }
            let most = entry.base.cast_unsigned() + ((1u64 << entry.width) - 1);
            if most >= u64::from(cardinality) {
                let count = self.ids(block, &mut ids);
                let low = ids[..count].iter().any(|id| i64::from(*id) < entry.base);
                if low || ids[..count].iter().any(|id| *id >= cardinality) {
                    return Err(bad());
                }
            }
        }
        Ok(())
    }

    fn count_of(&self, block: usize) -> usize {
        (self.count - block * BLOCK).min(BLOCK)
    }

    fn entry(&self, block: usize) -> Option<Entry> {
        let at = block * ENTRY;
        Some(Entry {
            base: i64_at(self.bytes, at)?,
            step: i64_at(self.bytes, at + 8)?,
            line: u32_at(self.bytes, at + 16)? as usize,
            width: u32::from(*self.bytes.get(at + 20)?),
            mode: *self.bytes.get(at + 21)?,
        })
    }

    /// Unpacks a block of ids; returns how many.
    pub(crate) fn ids(&self, block: usize, out: &mut [u32; BLOCK]) -> usize {
        let entry = self.entry(block).expect("blocks were checked when the segment was opened");
        let count = self.count_of(block);
        bitpack::unpack32(&self.lines[entry.line * LINE..], entry.width, count, entry.base as u32, out);
        count
    }

    /// Unpacks a block of numbers; returns how many.
    pub(crate) fn block(&self, block: usize, out: &mut [i64; BLOCK]) -> usize {
        let entry = self.entry(block).expect("blocks were checked when the segment was opened");
        let count = self.count_of(block);
        let lines = &self.lines[entry.line * LINE..];
        let base = if entry.mode == STEPS { entry.step } else { entry.base };
        if entry.width > 32 {
            let mut wide = [0u64; BLOCK];
            bitpack::unpack64(lines, entry.width, count, base.cast_unsigned(), &mut wide);
            out.iter_mut().zip(wide).for_each(|(out, value)| *out = value.cast_signed());
        } else {
            let mut narrow = [0u32; BLOCK];
            bitpack::unpack32(lines, entry.width, count, 0, &mut narrow);
            out.iter_mut().zip(narrow).for_each(|(out, value)| *out = base.wrapping_add(i64::from(value)));
        }
        if entry.mode == STEPS {
            let mut value = entry.base;
            out[0] = value;
            for out in &mut out[1..count] {
                value = value.wrapping_add(*out);
                *out = value;
            }
        }
        count
    }

    /// Calls `each` with the numbers of a range, block by block.
    pub(crate) fn for_range(&self, range: std::ops::Range<usize>, mut each: impl FnMut(&[i64])) {
        let mut out = [0; BLOCK];
        let mut at = range.start;
        while at < range.end {
            let block = at / BLOCK;
            let count = self.block(block, &mut out);
            let end = (range.end - block * BLOCK).min(count);
            each(&out[at - block * BLOCK..end]);
            at = block * BLOCK + end;
        }
    }

    /// Calls `each` with the ids of a range, block by block.
    pub(crate) fn for_ids(&self, range: std::ops::Range<usize>, mut each: impl FnMut(&[u32])) {
        let mut out = [0; BLOCK];
        let mut at = range.start;
        while at < range.end {
            let block = at / BLOCK;
            let count = self.ids(block, &mut out);
            let end = (range.end - block * BLOCK).min(count);
            each(&out[at - block * BLOCK..end]);
            at = block * BLOCK + end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::byte_count, *};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(
            start in any::<i64>(), spread in 0u32..64, count in 0usize..3000, rising in any::<bool>(), seed in any::<u64>(),
        ) {
            let mut last = start;
            let values: Vec<i64> = (0..count as u64).map(|at| {
                let noise = ((seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> spread).cast_signed();
                last = if rising { last.wrapping_add(noise & 0xff) } else { noise };
                last
            }).collect();
            let bytes = IntsWriter::encode(&values, true).concat();
            let ints = Ints::new(&bytes, count);
            prop_assert_eq!(ints.check(), Ok(()));
            let mut out = vec![];
            ints.for_range(count / 3..count, |part| out.extend_from_slice(part));
            prop_assert_eq!(&out[..], &values[count / 3..]);
        }
    }

    #[test]
    fn steady_steps_take_no_lines() {
        let values: Vec<i64> = (0..5000).map(|at| 1_700_000_000_000 + at * 7).collect();
        assert_eq!(byte_count(&IntsWriter::encode(&values, true)), 128);
    }

    #[test]
    fn ids_beyond_the_dictionary_are_refused() {
        let bytes = IntsWriter::encode_ids(&[0, 5, 9]).concat();
        assert_eq!(Ints::new(&bytes, 3).check_ids(10), Ok(()));
        assert!(Ints::new(&bytes, 3).check_ids(9).is_err());
        assert!(Ints::new(&bytes[..100], 3).check_ids(10).is_err());
    }
}
