//! Byte runs that can be told whole from torn or bent: a head with a length and a CRC-32C, then a body.
//!
//! Who writes frames to a file says by a `FrameLayout` where in the head the two numbers stand; all numbers are
//! little-endian. What a body holds is its writer's matter; `Cursor` reads the usual parts of one.

/// Where the numbers stand in a frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLayout {
    /// What every head begins with; may be empty.
    pub marker: &'static [u8],
    /// Position of the `u32` that tells the bytes of the body.
    pub length_at: usize,
    /// Position of the `u32` CRC-32C.
    pub crc_at: usize,
    /// Bytes of the head.
    pub head_bytes: usize,
    /// Whether the checksum covers the head too, but for itself; else the body alone.
    pub covers_head: bool,
}

impl FrameLayout {
    /// Appends a head without numbers to `out`; the body is appended behind it, and `seal` completes the frame.
    pub fn begin(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.head_bytes;
        out.extend_from_slice(self.marker);
        out.resize(end, 0);
    }

    /// Writes length and checksum of the frame that is all of `frame`, from its head on.
    ///
    /// # Panics
    /// The body has 4 GiB or more: whoever writes frames has a bound far below.
    pub fn seal(&self, frame: &mut [u8]) {
        let length = u32::try_from(frame.len() - self.head_bytes).expect("bodies are bounded far below 4 GiB");
        frame[self.length_at..self.length_at + 4].copy_from_slice(&length.to_le_bytes());
        let crc = self.crc(frame);
        frame[self.crc_at..self.crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// How many bytes the frame that begins with `head` says it has in all; `None` where it is no head.
    #[must_use]
    pub fn byte_count(&self, head: &[u8]) -> Option<usize> {
        let head = head.get(..self.head_bytes)?;
        let length = u32::from_le_bytes(head.get(self.length_at..self.length_at + 4)?.try_into().ok()?);
        head.starts_with(self.marker).then_some(self.head_bytes.checked_add(length as usize)?)
    }

    /// The body of the frame that starts at `at`, where it is whole and as it was written.
    #[must_use]
    pub fn body_at<'a>(&self, content: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let rest = content.get(at..)?;
        let frame = rest.get(..self.byte_count(rest)?)?;
        let crc = frame.get(self.crc_at..self.crc_at + 4)?;
        (self.crc(frame).to_le_bytes() == crc).then_some(&frame[self.head_bytes..])
    }

    fn crc(&self, frame: &[u8]) -> u32 {
        if self.covers_head {
            crc32c::crc32c_append(crc32c::crc32c(&frame[..self.crc_at]), &frame[self.crc_at + 4..])
        } else {
            crc32c::crc32c(&frame[self.head_bytes..])
        }
    }
}

/// Appends bytes with their `u32` length in front.
///
/// # Panics
/// They have 4 GiB or more: whoever writes frames has a bound far below.
pub fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("parts of a frame are bounded far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a body from its beginning on; everything is `None` where too few bytes are left.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    /// The next `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.fixed().map(u8::from_le_bytes)
    }

    /// The next two bytes, a number.
    pub fn u16(&mut self) -> Option<u16> {
        self.fixed().map(u16::from_le_bytes)
    }

    /// The next four bytes, a number.
    pub fn u32(&mut self) -> Option<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    /// The next eight bytes, a number.
    pub fn u64(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    /// The next eight bytes, a number with a sign.
    pub fn i64(&mut self) -> Option<i64> {
        self.fixed().map(i64::from_le_bytes)
    }

    /// Bytes with their `u32` length in front.
    pub fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: FrameLayout = FrameLayout { marker: &[], length_at: 0, crc_at: 4, head_bytes: 8, covers_head: false };
    const MARKED: FrameLayout =
        FrameLayout { marker: b"ab", length_at: 2, crc_at: 6, head_bytes: 12, covers_head: true };

    fn framed(layout: &FrameLayout, body: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        layout.begin(&mut out);
        out.extend_from_slice(body);
        layout.seal(&mut out);
        out
    }

    #[test]
    fn a_frame_is_whole_or_nothing() {
        for layout in [PLAIN, MARKED] {
            for body in [&b""[..], b"x", b"some bytes"] {
                let frame = framed(&layout, body);
                assert_eq!(layout.byte_count(&frame), Some(frame.len()));
                let content = [b"before", &*frame, b"behind"].concat();
                assert_eq!(layout.body_at(&content, 6), Some(body));
                for cut in 0..frame.len() {
                    assert_eq!(layout.body_at(&frame[..cut], 0), None, "cut at {cut}");
                    let mut bent = frame.clone();
                    bent[cut] ^= 4;
                    assert_eq!(layout.body_at(&bent, 0), None, "byte {cut} is not covered");
                }
                assert_eq!(layout.body_at(&frame, frame.len()), None);
                assert_eq!(layout.body_at(&frame, usize::MAX), None);
            }
        }
    }

    #[test]
    fn the_numbers_stand_where_the_layout_says() {
        // The check value of CRC-32C.
        assert_eq!(framed(&PLAIN, b"123456789"), [&[9, 0, 0, 0, 0x83, 0x92, 0x06, 0xE3][..], b"123456789"].concat());
        let marked = framed(&MARKED, b"123");
        assert_eq!((&marked[..6], &marked[10..]), (&b"ab\x03\0\0\0"[..], &b"\0\x00123"[..]));
    }

    #[test]
    fn a_cursor_reads_what_was_put_and_not_beyond() {
        let mut bytes = vec![7, 1, 2, 3, 0, 0, 0];
        bytes.extend_from_slice(&5_u64.to_le_bytes());
        bytes.extend_from_slice(&(-5_i64).to_le_bytes());
        put_long(&mut bytes, b"long");
        let mut cursor = Cursor::new(&bytes);
        assert_eq!((cursor.u8(), cursor.u16(), cursor.u32()), (Some(7), Some(0x0201), Some(3)));
        assert_eq!((cursor.u64(), cursor.i64()), (Some(5), Some(-5)));
        assert_eq!((cursor.long(), cursor.is_at_end()), (Some(&b"long"[..]), true));
        assert_eq!((cursor.u8(), cursor.fixed::<0>()), (None, Some([])));
        assert_eq!(Cursor::new(&[9, 0, 0, 0, 1]).long(), None);
    }
}
