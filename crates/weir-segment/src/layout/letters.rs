//! Ids of equal length written in few letters (UUIDs, hex digests, zero-padded numbers), which LZ4 cannot shrink: what is
//! the same in all values of a chunk is kept once, the rest as numbers of their letters.
//!
//! Stored: `u32` length of a value, the first value, a bit per byte of it (1: differs among the values), `u8` letters less
//! one, the letters ascending, then a stream of `ceil(log2(letters))` bits per differing byte, lowest bit first.

use weir_indexes::bytes::u32_at;

/// Six bits save a quarter; beyond that LZ4 or plain is as good.
const MOST_LETTERS: usize = 64;
/// Values longer than this are texts, not ids.
const LONGEST: usize = 256;
/// Letters that are packed together: of six bits each, they fit beside 31 bits that wait.
const AT_ONCE: usize = 5;

fn bits_of(letters: usize) -> u32 {
    usize::BITS - (letters - 1).leading_zeros()
}

/// Packs values of `length` bytes each; false, with `out` as it was, where that is not smaller than `most` bytes.
pub(super) fn encode(values: &[u8], length: usize, most: usize, out: &mut Vec<u8>) -> bool {
    if length == 0 || length > LONGEST || values.is_empty() {
        return false;
    }
    let first = &values[..length];
    let mut differs = [false; LONGEST];
    for value in values.chunks_exact(length) {
        differs.iter_mut().zip(value.iter().zip(first)).for_each(|(differs, (a, b))| *differs |= a != b);
    }
    let places: Vec<usize> = (0..length).filter(|at| differs[*at]).collect();
    let mut used = [false; 256];
    for value in values.chunks_exact(length) {
        places.iter().for_each(|at| used[usize::from(value[*at])] = true);
    }
    let letters: Vec<u8> = (0..=255u8).filter(|letter| used[usize::from(*letter)]).collect();
    if letters.is_empty() || letters.len() > MOST_LETTERS {
        return false;
    }
    let bits = bits_of(letters.len());
    let packed = (values.len() / length * places.len() * bits as usize).div_ceil(8);
    if 4 + length + length.div_ceil(8) + 1 + letters.len() + packed >= most {
        return false;
    }
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(first);
    let mut mask = vec![0u8; length.div_ceil(8)];
    places.iter().for_each(|at| mask[at / 8] |= 1 << (at % 8));
    out.extend_from_slice(&mask);
    out.push(letters.len() as u8 - 1);
    out.extend_from_slice(&letters);
    let mut number = [0u8; 256];
    (0u8..).zip(&letters).for_each(|(at, letter)| number[usize::from(*letter)] = at);
    let (mut word, mut filled) = (0u64, 0);
    for value in values.chunks_exact(length) {
        for places in places.chunks(AT_ONCE) {
            let mut together = 0;
            for (at, place) in (0..).zip(places) {
                together |= u64::from(number[usize::from(value[*place])]) << (at * bits);
            }
            word |= together << filled;
            filled += places.len() as u32 * bits;
            if filled >= 32 {
                out.extend_from_slice(&(word as u32).to_le_bytes());
                word >>= 32;
                filled -= 32;
            }
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8) as usize]);
    true
}

/// Appends `count` values; `None` where the bytes do not hold them.
pub(super) fn decode(stored: &[u8], count: usize, out: &mut Vec<u8>) -> Option<usize> {
    let length = u32_at(stored, 0)? as usize;
    if length == 0 || length > LONGEST {
        return None;
    }
    let (first, rest) = stored[4..].split_at_checked(length)?;
    let (mask, rest) = rest.split_at_checked(length.div_ceil(8))?;
    let (letters, rest) = rest.split_first()?;
    let (letters, rest) = rest.split_at_checked(usize::from(*letters) + 1)?;
    if letters.len() > MOST_LETTERS {
        return None;
    }
    let places: Vec<usize> = (0..length).filter(|at| mask[at / 8] >> (at % 8) & 1 == 1).collect();
    let bits = bits_of(letters.len());
    if rest.len() != (count * places.len() * bits as usize).div_ceil(8) {
        return None;
    }
    // Numbers beyond the last letter read as the last: no letter is lost by it, since a writer makes none.
    let mut letter_of = [*letters.last()?; MOST_LETTERS];
    letter_of[..letters.len()].copy_from_slice(letters);
    let mask = (1u64 << bits) - 1;
    let (mut word, mut filled, mut words) = (0u64, 0, rest.chunks(4));
    for _ in 0..count {
        let start = out.len();
        out.extend_from_slice(first);
        let value = &mut out[start..];
        for at in &places {
            if filled < bits {
                let mut next = [0; 4];
                let part = words.next().unwrap_or(&[]);
                next[..part.len()].copy_from_slice(part);
                word |= u64::from(u32::from_le_bytes(next)) << filled;
                filled += 32;
            }
            value[*at] = letter_of[(word & mask) as usize & (MOST_LETTERS - 1)];
            word >>= bits;
            filled -= bits;
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_ids_take_half_and_come_back() {
        let text: String =
            (0..500u64).map(|at| format!("id-{:016x}", at.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let mut out = vec![];
        assert!(encode(text.as_bytes(), 19, text.len(), &mut out));
        assert!(out.len() < 500 * 8 + 64, "{} bytes", out.len());
        let mut back = vec![];
        assert_eq!(decode(&out, 500, &mut back), Some(19));
        assert_eq!(back, text.as_bytes());
        assert_eq!(decode(&out[..out.len() - 1], 500, &mut vec![]), None);
        assert_eq!(decode(&out, 501, &mut vec![]), None);
    }

    #[test]
    fn ids_of_two_letters_take_a_bit() {
        let text = "aabbabab".repeat(40);
        let mut out = vec![];
        assert!(encode(text.as_bytes(), 1, text.len(), &mut out));
        let mut back = vec![];
        assert_eq!(decode(&out, text.len(), &mut back), Some(1));
        assert_eq!(back, text.as_bytes());
    }

    #[test]
    fn many_letters_are_left_to_others() {
        let bytes: Vec<u8> = (0..=255u8).collect();
        let mut out = vec![];
        assert!(!encode(&bytes, 4, 1000, &mut out));
        assert!(out.is_empty());
    }
}
