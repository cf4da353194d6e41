//! Protobuf's wire form, read piece by piece: every length is checked against what is left before it is believed.

use crate::row::Broken;

/// How groups may nest: those that are passed over are kept on no stack, but a limit is the format's own custom.
const MAX_GROUPS: u32 = 100;

/// How a field stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Length,
    Group,
    EndGroup,
    Fixed32,
}

/// The cursor over a part of a message; positions are those of the whole message.
#[derive(Debug, Clone)]
pub(super) struct Wire<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    end: usize,
}

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8], from: usize, end: usize) -> Self {
        Self { bytes, at: from, end: end.min(bytes.len()) }
    }

    /// A cursor over a part of the same message.
    pub(super) fn part(&self, (from, end): (usize, usize)) -> Self {
        Self { bytes: self.bytes, at: from, end }
    }

    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    #[cold]
    pub(super) fn broken<T>(&self, what: impl Into<String>) -> Result<T, Broken> {
        Err(Broken::new(self.at, what))
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        if self.end.saturating_sub(self.at) < count {
            return self.broken("the message ends too early");
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many were taken"))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 && self.at < self.end => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Broken> {
        let mut bits = 0;
        let rest = &self.bytes[self.at.min(self.end)..self.end];
        for (at, byte) in rest.iter().take(10).enumerate() {
            bits |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.at += at + 1;
                return Ok(bits);
            }
        }
        if rest.len() < 10 {
            return self.broken("the message ends too early");
        }
        self.broken("a number has more than 64 bits")
    }

    /// A field's number and how it stands.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, WireType), Broken> {
        let start = self.at;
        let tag = self.varint()?;
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Length,
            3 => WireType::Group,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            other => {
                return Err(Broken::new(start, format!("there is no wire type {other}: the bytes are no message")));
            }
        };
        match u32::try_from(tag >> 3) {
            Ok(number) if (1..1 << 29).contains(&number) => Ok((number, wire_type)),
            _ => Err(Broken::new(start, "a field's number is out of range: the bytes are no message")),
        }
    }

    /// Where bytes with their length in front begin and end; the cursor steps over them.
    #[inline]
    pub(super) fn span(&mut self) -> Result<(usize, usize), Broken> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) if length <= self.end - self.at => {
                let from = self.at;
                self.at += length;
                Ok((from, self.at))
            }
            _ => self.broken("the message ends too early"),
        }
    }

    /// Where a group's fields begin and end; the cursor steps over them and the tag that ends them.
    pub(super) fn group(&mut self, number: u32) -> Result<(usize, usize), Broken> {
        let from = self.at;
        let end = self.skip_group(number)?;
        Ok((from, end))
    }

    /// Steps over a field's value.
    pub(super) fn skip(&mut self, number: u32, wire_type: WireType) -> Result<(), Broken> {
        match wire_type {
            WireType::Varint => {
                self.varint()?;
            }
            WireType::Fixed64 => {
                self.take(8)?;
            }
            WireType::Fixed32 => {
                self.take(4)?;
            }
            WireType::Length => {
                self.span()?;
            }
            WireType::Group => {
                self.skip_group(number)?;
            }
            WireType::EndGroup => return self.broken("a group ends that did not begin"),
        }
        Ok(())
    }

    /// Steps over a group; where its fields ended.
    fn skip_group(&mut self, number: u32) -> Result<usize, Broken> {
        let mut open = vec![number];
        loop {
            let before = self.at;
            if self.is_at_end() {
                return self.broken("the message ends within a group");
            }
            match self.tag()? {
                (number, WireType::Group) if open.len() < MAX_GROUPS as usize => open.push(number),
                (_, WireType::Group) => return self.broken("groups nest deeper than 100 levels"),
                (number, WireType::EndGroup) => {
                    if open.pop() != Some(number) {
                        return Err(Broken::new(before, "a group ends that did not begin"));
                    }
                    if open.is_empty() {
                        return Ok(before);
                    }
                }
                (number, other) => self.skip(number, other)?,
            }
        }
    }
}
