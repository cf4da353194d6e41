//! Texts that came lately and their ids: most values of a column with few distinct ones are found here, in one or two
//! looks at memory, instead of by a hash and a way through the pieces of the dictionary.

use std::mem::size_of;

/// Short texts whose ids are remembered: those of a column with few values fit, and 16 KiB stay in a core's cache.
const SHORT: usize = 512;

/// Long texts whose ids are remembered at first, and at most: as many as a column has that is still worth a dictionary
/// for its texts; 1.5 MiB of slots, and only for columns that have so many.
const LONG_FIRST: usize = 256;
const LONG_MOST: usize = 65_536;

/// Bytes of long texts that are kept again beside the dictionary, at most. Those that come later are looked up in it.
const ARENA_MOST: usize = 2 << 20;

/// A text of at most 16 bytes, whole: its first and last words (they overlap) and its length tell it from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    first: u64,
    last: u64,
    len: u32,
}

impl Short {
    fn of(text: &[u8]) -> Option<Self> {
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
        (mix(self.first ^ self.last.rotate_left(32) ^ u64::from(self.len)) % SHORT as u64) as usize
    }
}

/// Spreads the bits of a number (a folded multiplication).
pub(super) fn mix(bits: u64) -> u64 {
    let product = u128::from(bits ^ 0x9E37_79B9_7F4A_7C15) * u128::from(0xD6E8_FEB8_6659_FD93_u64);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Where a long text is looked for: words out of its start, middle and end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Long {
    mixed: u64,
    last: u64,
    len: u32,
}

impl Long {
    /// Of a text of more than 16 bytes; one of 4 GiB is none.
    fn of(text: &[u8]) -> Option<Self> {
        let len = u32::try_from(text.len()).ok()?;
        let (first, last) = (u64::from_le_bytes(*text.first_chunk()?), u64::from_le_bytes(*text.last_chunk()?));
        let middle = u64::from_le_bytes(*text[text.len() / 2 - 4..].first_chunk()?);
        let mixed = mix(first ^ last.rotate_left(32) ^ middle.rotate_left(16) ^ u64::from(len));
        Some(Self { mixed, last, len })
    }
}

/// A remembered long text: its last word and length, and where all of it stands in the arena.
#[derive(Debug, Clone, Copy)]
struct Slot {
    mixed: u64,
    last: u64,
    at: u32,
    /// None is remembered where it is 0.
    len: u32,
    id: u32,
}

const EMPTY: Slot = Slot { mixed: 0, last: 0, at: 0, len: 0, id: 0 };

/// Where a text is remembered, if it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Short(Short),
    Long(Long),
    /// Texts of this length are not remembered.
    Nowhere,
}

impl Place {
    /// Of a text.
    pub(super) fn of(text: &[u8]) -> Self {
        match Short::of(text) {
            Some(short) => Self::Short(short),
            None => Long::of(text).map_or(Self::Nowhere, Self::Long),
        }
    }
}

/// What was found where a text may be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hint {
    pub(super) place: Place,
    /// Where a text that may be the same stands in the arena.
    at: u32,
    /// Its id.
    id: Option<u32>,
    /// Its first byte.
    touched: u8,
}

impl Hint {
    /// Of a text that is not looked for.
    pub(super) const NONE: Self = Self { place: Place::Nowhere, at: 0, id: None, touched: 0 };
}

/// The texts that are remembered.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// One a slot, the latest.
    short: Vec<(Short, u32)>,
    /// Pairs of slots: a text stands in one of its pair, and stays.
    long: Vec<Slot>,
    /// Long texts that are remembered.
    kept: usize,
    arena: Vec<u8>,
}

impl Recent {
    /// Where a text may be remembered. Asked for many texts before the first is [confirmed](Self::confirm), their ways
    /// through memory overlap: each alone waits for a slot and then for the text.
    pub(super) fn hint(&self, text: &[u8]) -> Hint {
        let place = Place::of(text);
        match place {
            Place::Short(short) => {
                let held = self.short.get(short.slot()).filter(|(held, _)| *held == short);
                Hint { place, at: 0, id: held.map(|(_, id)| *id), touched: 0 }
            }
            Place::Long(long) => {
                let pair = self.pair(long).map_or(&[][..], |at| &self.long[at..at + 2]);
                match pair.iter().find(|slot| slot.len == long.len && slot.last == long.last) {
                    // Reading a byte brings the text near.
                    Some(slot) => Hint { place, at: slot.at, id: Some(slot.id), touched: self.arena[slot.at as usize] },
                    None => Hint { place, at: 0, id: None, touched: 0 },
                }
            }
            Place::Nowhere => Hint { place, at: 0, id: None, touched: 0 },
        }
    }

    /// The id of a text, where its hint leads to it.
    pub(super) fn confirm(&self, hint: &Hint, text: &[u8]) -> Option<u32> {
        match hint.place {
            Place::Short(_) => hint.id,
            // Compared from its first byte on, which is at hand.
            Place::Long(_) if text[0] == hint.touched => {
                let held = self.arena.get(hint.at as usize..hint.at as usize + text.len())?;
                if held == text { hint.id } else { None }
            }
            Place::Long(_) | Place::Nowhere => None,
        }
    }

    fn pair(&self, long: Long) -> Option<usize> {
        (!self.long.is_empty()).then(|| (long.mixed as usize & (self.long.len() - 1)) & !1)
    }

    /// Remembers a text that was not found.
    pub(super) fn remember(&mut self, place: Place, text: &[u8], id: u32) {
        match place {
            Place::Short(short) => {
                if self.short.is_empty() {
                    // No text has this length.
                    self.short.resize(SHORT, (Short { first: 0, last: 0, len: u32::MAX }, 0));
                }
                self.short[short.slot()] = (short, id);
            }
            Place::Long(long) if self.arena.len() + text.len() <= ARENA_MOST => {
                // Of pairs that are a third full one in twenty texts finds none free.
                if self.kept * 3 >= self.long.len() && self.long.len() < LONG_MOST {
                    self.grow();
                }
                let slot = Slot { mixed: long.mixed, last: long.last, at: self.arena.len() as u32, len: long.len, id };
                if self.put(slot) {
                    self.arena.extend_from_slice(text);
                }
            }
            Place::Long(_) | Place::Nowhere => {}
        }
    }

    /// Puts a slot into its pair, where there is room and it is not there yet.
    fn put(&mut self, slot: Slot) -> bool {
        let at = (slot.mixed as usize & (self.long.len() - 1)) & !1;
        let pair = &mut self.long[at..at + 2];
        if pair.iter().any(|held| held.len > 0 && held.id == slot.id) {
            return false;
        }
        let free = pair.iter_mut().find(|slot| slot.len == 0);
        free.map(|free| *free = slot).is_some_and(|()| (self.kept += 1, true).1)
    }

    fn grow(&mut self) {
        let len = (self.long.len() * 2).max(LONG_FIRST);
        let before = std::mem::replace(&mut self.long, vec![EMPTY; len]);
        self.kept = 0;
        for slot in before.into_iter().filter(|slot| slot.len > 0) {
            // One that finds no room is looked up in the dictionary again; its bytes stay, which the bound counts.
            self.put(slot);
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.short.capacity() * size_of::<(Short, u32)>()
            + self.long.capacity() * size_of::<Slot>()
            + self.arena.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(recent: &Recent, text: &str) -> Option<u32> {
        recent.confirm(&recent.hint(text.as_bytes()), text.as_bytes())
    }

    fn remember(recent: &mut Recent, text: &str, id: u32) {
        recent.remember(Place::of(text.as_bytes()), text.as_bytes(), id);
    }

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

    /// Texts that share start, middle, end and length share a pair: two are remembered, and none is taken for another.
    #[test]
    fn long_texts_that_look_alike_are_not_mixed_up() {
        let texts: Vec<String> = (0..50).map(|at| format!("aaaaaaaa{at:02}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")).collect();
        let mut recent = Recent::default();
        for round in 0..2 {
            for (id, text) in (0..).zip(&texts) {
                match find(&recent, text) {
                    Some(found) => assert_eq!(found, id),
                    None => remember(&mut recent, text, id),
                }
            }
            assert_eq!(recent.kept, 2, "round {round}");
        }
    }

    #[test]
    fn most_long_texts_of_a_column_are_found_again_and_memory_is_bounded() {
        let text = |id: u32| format!("https://shop.example.com/products/page-{id:05}");
        let mut recent = Recent::default();
        for id in 0..200_000 {
            assert_eq!(find(&recent, &text(id)), None);
            remember(&mut recent, &text(id), id);
            assert!(recent.bytes() <= 2 * ARENA_MOST + LONG_MOST * size_of::<Slot>());
        }
        let found = |until: u32| (0..until).filter(|id| find(&recent, &text(*id)) == Some(*id)).count();
        assert!(found(10_000) > 9_000 && found(200_000) > 30_000, "{} {}", found(10_000), found(200_000));
    }
}
