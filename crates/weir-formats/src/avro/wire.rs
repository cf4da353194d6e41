//! Avro's binary form, read piece by piece: every length is checked against what is left before it is believed.

use crate::row::Broken;

/// Items of arrays and maps beyond the bytes of the message: an item may take no byte at all, and a count of a few bytes
/// must not become hours of nothing.
const EMPTY_ITEMS: u64 = 65_536;

/// The cursor over one message.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    items: u64,
}

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, items: bytes.len() as u64 + EMPTY_ITEMS }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[cold]
    pub(super) fn broken<T>(&self, what: impl Into<String>) -> Result<T, Broken> {
        Err(Broken::new(self.at, what))
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..count)) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => self.broken("the message ends too early"),
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many were taken"))
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Broken> {
        let bits = match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                u64::from(*byte)
            }
            _ => self.long_bits()?,
        };
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    fn long_bits(&mut self) -> Result<u64, Broken> {
        let mut bits = 0;
        for (at, byte) in self.bytes[self.at.min(self.bytes.len())..].iter().take(10).enumerate() {
            bits |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                if at == 9 && *byte > 1 {
                    break;
                }
                self.at += at + 1;
                return Ok(bits);
            }
        }
        if self.bytes.len() - self.at.min(self.bytes.len()) < 10 {
            return self.broken("the message ends too early");
        }
        self.broken("a number has more than 64 bits")
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i32, Broken> {
        let start = self.at;
        i32::try_from(self.long()?).map_err(|_| Broken::new(start, "an int has more than 32 bits"))
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Result<bool, Broken> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Broken::new(self.at - 1, "a boolean is neither 0 nor 1")),
        }
    }

    /// Bytes with their length in front.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let start = self.at;
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(Broken::new(start, "a length is below zero")),
        }
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, Broken> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes)
            .map_err(|error| Broken::new(self.at - bytes.len() + error.valid_up_to(), "a text is not UTF-8"))
    }

    /// The position in a list of `count` things: a union's branches, an enum's symbols.
    #[inline]
    pub(super) fn choice(&mut self, count: usize, of: &'static str) -> Result<usize, Broken> {
        let start = self.at;
        let choice = self.long()?;
        match usize::try_from(choice) {
            Ok(choice) if choice < count => Ok(choice),
            _ => Err(Broken::new(start, format!("{of} {choice} of {count} is chosen: the schema is another"))),
        }
    }

    /// Begins a block of an array or map: how many items it has (none: it was the end), and its bytes where it says them.
    pub(super) fn block(&mut self) -> Result<(u64, Option<usize>), Broken> {
        let start = self.at;
        let count = self.long()?;
        let bytes = if count < 0 {
            let bytes = self.long()?;
            Some(usize::try_from(bytes).map_err(|_| Broken::new(start, "a length is below zero"))?)
        } else {
            None
        };
        let count = count.unsigned_abs();
        match self.items.checked_sub(count) {
            Some(left) => self.items = left,
            None => return Err(Broken::new(start, "a list has more items than the message can hold")),
        }
        Ok((count, bytes))
    }
}
