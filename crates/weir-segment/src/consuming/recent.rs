//! Short texts that came lately, beside a dictionary's index: told apart by words, found by one look at memory.

use super::dictionary::mix;
use std::mem::size_of;

/// A text of at most 16 bytes, whole: its first and last words (they overlap) and its length tell it from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    first: u64,
    last: u64,
    len: u32,
}

impl Short {
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let (first, last) = match text.len() {
            0 => (0, 0),
            1..4 => (u64::from(text[0]) | u64::from(text[text.len() / 2]) << 8, u64::from(text[text.len() - 1])),
            4..8 => {
                let (first, last) = (text.first_chunk()?, text.last_chunk()?);
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            8..=16 => (u64::from_le_bytes(*text.first_chunk()?), u64::from_le_bytes(*text.last_chunk()?)),
            _ => return None,
        };
        Some(Self { first, last, len: text.len() as u32 })
    }

    fn slot(self) -> usize {
        (mix(self.first ^ self.last.rotate_left(32) ^ u64::from(self.len)) % RECENT as u64) as usize
    }
}

/// Short texts whose ids are remembered: those of a column with few values fit, and 16 KiB stay in a core's cache.
const RECENT: usize = 512;

/// Short texts that came lately and their ids, one a slot: most values of a column with few are found here, without a
/// way through the pieces of the dictionary.
#[derive(Debug, Default)]
pub(super) struct Recent(Vec<(Short, u32)>);

impl Recent {
    pub(super) fn id(&self, text: Short) -> Option<u32> {
        self.0.get(text.slot()).filter(|(held, _)| *held == text).map(|(_, id)| *id)
    }

    /// Takes the place of the text that was in its slot.
    pub(super) fn keep(&mut self, text: Short, id: u32) {
        if self.0.is_empty() {
            // No text has this length.
            self.0.resize(RECENT, (Short { first: 0, last: 0, len: u32::MAX }, 0));
        }
        self.0[text.slot()] = (text, id);
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(Short, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_told_apart_by_words_and_length() {
        let texts = [
            "",
            "a",
            "aa",
            "aaa",
            "aba",
            "aab",
            "aaaa",
            "aaaaa",
            "aaaaaaaa",
            "aaaaaaaaa",
            "aaaaaaaaaaaaaaaa",
            "\0",
            "\0\0",
        ];
        let shorts: Vec<_> = texts.iter().map(|text| Short::of(text.as_bytes()).expect("at most 16 bytes")).collect();
        for (at, short) in shorts.iter().enumerate() {
            assert!(!shorts[..at].contains(short), "'{}'", texts[at]);
        }
        assert_eq!(Short::of(&[b'a'; 17]), None);
    }
}
