//! Records as they come on bad days, one in so many of each kind: some can be no row, some are rows that need care.
//!
//! Rows that need care carry the same latency and quantity as the event they stand for, so the sums stay known.

use crate::event::Event;
use std::io::Write;

/// A kind of odd record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Odd {
    /// JSON that ends too early.
    Broken,
    /// JSON whose top level is an array.
    NotAnObject,
    /// Bytes that are no UTF-8 inside a text.
    InvalidUtf8,
    /// Arrays nested beyond the decoder's bound.
    Deep,
    /// `"1.5"` for an INT.
    Fraction,
    /// Several values for a single-value column.
    SeveralValues,
    /// No value at all.
    Tombstone,
    /// The event without a key.
    NullKey,
    /// The event with a text of 10 kB, to be cut.
    LongText,
    /// The event with a LONG for an INT, to be wrapped.
    Wrapped,
    /// The event with a field twice, the last being right.
    Doubled,
    /// The event with bytes after its closing brace.
    Trailing,
    /// The event with a field of several MiB that no column names.
    Large,
}

/// All kinds, in the order of their slots.
pub(crate) const ALL: [Odd; 13] = [
    Odd::Broken,
    Odd::NotAnObject,
    Odd::InvalidUtf8,
    Odd::Deep,
    Odd::Fraction,
    Odd::SeveralValues,
    Odd::Tombstone,
    Odd::NullKey,
    Odd::LongText,
    Odd::Wrapped,
    Odd::Doubled,
    Odd::Trailing,
    Odd::Large,
];

/// Texts in a STRING column are cut to this many characters, the schema's default.
pub(crate) const CUT: usize = 512;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In quarantine, with this stage.
    Rejected(&'static str),
    /// Counted, gives no row.
    Tombstone,
    /// A row as it came.
    Row,
    /// A row, counted as altered.
    Altered,
}

impl Odd {
    /// The kind that event `number` meets where each kind comes once in `one_in` events; 0 for never.
    #[must_use]
    pub(crate) fn at(number: u64, one_in: u64) -> Option<Self> {
        let slot = number.checked_rem(one_in)?.checked_sub(one_in / 2)?;
        ALL.get(usize::try_from(slot).ok()?).copied()
    }

    /// What becomes of it.
    #[must_use]
    pub(crate) fn fate(self) -> Fate {
        match self {
            Self::Broken | Self::NotAnObject | Self::InvalidUtf8 | Self::Deep => Fate::Rejected("DECODE"),
            Self::Fraction | Self::SeveralValues => Fate::Rejected("DATA_TYPE"),
            Self::Tombstone => Fate::Tombstone,
            Self::NullKey | Self::Doubled | Self::Large => Fate::Row,
            Self::LongText | Self::Wrapped | Self::Trailing => Fate::Altered,
        }
    }

    /// Whether it comes beside the event, which is then sent as well; otherwise it stands for the event.
    #[must_use]
    pub(crate) fn beside(self) -> bool {
        matches!(self.fate(), Fate::Rejected(_) | Fate::Tombstone)
    }

    /// Writes the message's value; `None` for a tombstone.
    pub(crate) fn write<'a>(self, event: &Event, out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        out.clear();
        match self {
            Self::Tombstone => return None,
            Self::Broken => out.extend_from_slice(b"{\"ts\": 1, "),
            Self::NotAnObject => out.extend_from_slice(b"[1, 2, 3]"),
            Self::InvalidUtf8 => out.extend_from_slice(b"{\"country\": \"\xff\xfe\"}"),
            Self::Deep => {
                out.extend_from_slice(b"{\"city\": ");
                out.extend(std::iter::repeat_n(b'[', 1000));
                out.extend(std::iter::repeat_n(b']', 1000));
                out.push(b'}');
            }
            Self::Fraction => out.extend_from_slice(b"{\"status\": \"1.5\"}"),
            Self::SeveralValues => out.extend_from_slice(b"{\"city\": [\"a\", \"b\"]}"),
            Self::NullKey => event.write(event.ts, out),
            Self::LongText => {
                event.write(event.ts, out);
                extend(out, |out| {
                    out.extend_from_slice(b"\"referrer\":\"");
                    out.extend(std::iter::repeat_n(b'r', 10_000));
                    out.push(b'"');
                });
            }
            Self::Wrapped => {
                event.write(event.ts, out);
                let beyond = event.quantity + (1 << 32);
                extend(out, |out| out.extend_from_slice(format!("\"quantity\":{beyond}").as_bytes()));
            }
            Self::Doubled => {
                let mut once = vec![];
                event.write(event.ts, &mut once);
                out.extend_from_slice(b"{\"latency\":999999999,");
                out.extend_from_slice(&once[1..]);
            }
            Self::Trailing => {
                event.write(event.ts, out);
                out.extend_from_slice(b" and more");
            }
            Self::Large => {
                event.write(event.ts, out);
                extend(out, |out| {
                    out.extend_from_slice(b"\"padding\":\"");
                    // 3 MiB, not all alike, so that compression leaves a large record.
                    for at in 0..(3 << 20) / 16_u64 {
                        let bits = at.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ event.latency as u64;
                        write!(out, "{bits:016x}").expect("writing into memory cannot fail");
                    }
                    out.push(b'"');
                });
            }
        }
        Some(out)
    }
}

/// Adds a field to an object that was just written.
fn extend(out: &mut Vec<u8>, field: impl FnOnce(&mut Vec<u8>)) {
    debug_assert_eq!(out.last(), Some(&b'}'), "an object ends with its brace");
    out.pop();
    out.push(b',');
    field(out);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_comes_once_in_so_many() {
        let mut met = std::collections::HashMap::<Odd, u32>::new();
        for number in 0..3000 {
            if let Some(odd) = Odd::at(number, 1000) {
                *met.entry(odd).or_default() += 1;
            }
        }
        assert_eq!(met.len(), ALL.len());
        assert!(met.values().all(|count| *count == 3));
        assert_eq!(Odd::at(5, 0), None);
    }

    #[test]
    fn good_rows_are_json_and_keep_the_sums() {
        let event = Event::new(7);
        let mut out = vec![];
        for odd in ALL.into_iter().filter(|odd| !odd.beside() && *odd != Odd::Trailing) {
            let value = odd.write(&event, &mut out).unwrap();
            let json: serde_json::Value = serde_json::from_slice(value).unwrap();
            assert_eq!(json["latency"], event.latency, "{odd:?}");
            assert_eq!(json["quantity"].as_i64().unwrap() as i32, event.quantity as i32, "{odd:?}");
        }
        assert!(Odd::Large.write(&event, &mut out).unwrap().len() > 3 << 20);
    }
}
