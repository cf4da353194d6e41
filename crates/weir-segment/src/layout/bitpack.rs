//! Packing up to 1024 numbers of equal width so that unpacking runs in vector registers without knowing the width.
//!
//! The numbers stand in rows of `LANES`; lane `l` of all rows is one bit stream of `LANES` side by side, so that a row
//! is unpacked by the same shift in every lane. A block takes whole 128-byte lines: `ceil(rows * width / word bits)`.

/// Numbers of a block.
pub(crate) const BLOCK: usize = 1024;
/// Bytes of one word of all lanes.
pub(crate) const LINE: usize = 128;

macro_rules! packing {
    ($word:ty, $bits:expr, $lanes:expr, $lines:ident, $pack:ident, $unpack:ident) => {
        /// Lines of 128 bytes that `count` numbers of `width` bits take.
        pub(crate) fn $lines(count: usize, width: u32) -> usize {
            (count.div_ceil($lanes) * width as usize).div_ceil($bits)
        }

        /// Appends up to 1024 numbers below `2^width`.
        pub(crate) fn $pack(values: &[$word], width: u32, out: &mut Vec<u8>) {
            let lines = $lines(values.len(), width);
            let mut words = [[0 as $word; $lanes]; $bits];
            if width > 0 {
                for (row, values) in values.chunks($lanes).enumerate() {
                    let bit = row * width as usize;
                    let (word, shift) = (bit / $bits, (bit % $bits) as u32);
                    words[word].iter_mut().zip(values).for_each(|(word, value)| *word |= *value << shift);
                    if shift + width > $bits {
                        let back = $bits - shift;
                        words[word + 1].iter_mut().zip(values).for_each(|(word, value)| *word |= *value >> back);
                    }
                }
            }
            for line in &words[..lines] {
                line.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            }
        }

        /// Unpacks `count` numbers (rounded up to a whole row) from at least the lines they take, adding `base`.
        pub(crate) fn $unpack(bytes: &[u8], width: u32, count: usize, base: $word, out: &mut [$word; BLOCK]) {
            let rows = count.div_ceil($lanes);
            if width == 0 {
                out[..rows * $lanes].fill(base);
                return;
            }
            const SIZE: usize = size_of::<$word>();
            let mask = <$word>::MAX >> ($bits - width);
            let line = |at: usize| -> [$word; $lanes] {
                let line = &bytes[at * LINE..(at + 1) * LINE];
                std::array::from_fn(|lane| {
                    let word = &line[lane * SIZE..(lane + 1) * SIZE];
                    <$word>::from_le_bytes(word.try_into().expect("a slice of a word's length"))
                })
            };
            for (row, out) in out.chunks_exact_mut($lanes).take(rows).enumerate() {
                let bit = row * width as usize;
                let (at, shift) = (bit / $bits, (bit % $bits) as u32);
                let low = line(at);
                if shift + width <= $bits {
                    out.iter_mut().zip(low).for_each(|(out, low)| *out = base.wrapping_add((low >> shift) & mask));
                } else {
                    let (high, back) = (line(at + 1), $bits - shift);
                    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
                        *out = base.wrapping_add((low >> shift | high << back) & mask);
                    }
                }
            }
        }
    };
}

packing!(u32, 32, 32, lines32, pack32, unpack32);
packing!(u64, 64, 16, lines64, pack64, unpack64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_width_comes_back(width in 0u32..=32, count in 1usize..=BLOCK, seed in any::<u64>(), base in any::<u32>()) {
            let mask = if width == 0 { 0 } else { u32::MAX >> (32 - width) };
            let values: Vec<u32> =
                (0..count as u64).map(|at| ((seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 & mask).collect();
            let mut bytes = vec![];
            pack32(&values, width, &mut bytes);
            prop_assert_eq!(bytes.len(), lines32(count, width) * LINE);
            let mut out = [0; BLOCK];
            unpack32(&bytes, width, count, base, &mut out);
            prop_assert!(values.iter().zip(out).all(|(value, out)| value.wrapping_add(base) == out));
        }

        #[test]
        fn every_wide_width_comes_back(width in 0u32..=64, count in 1usize..=BLOCK, seed in any::<u64>()) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let values: Vec<u64> =
                (0..count as u64).map(|at| (seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask).collect();
            let mut bytes = vec![];
            pack64(&values, width, &mut bytes);
            prop_assert_eq!(bytes.len(), lines64(count, width) * LINE);
            let mut out = [0; BLOCK];
            unpack64(&bytes, width, count, 0, &mut out);
            prop_assert_eq!(&values[..], &out[..count]);
        }
    }
}
