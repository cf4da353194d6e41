//! Bytes as disks take them without a copy in the system's cache: whole blocks, in memory from the start of a page on.

/// What disks and file systems take past the cache: multiples of this, from multiples of this on.
pub const BLOCK_BYTES: usize = 4096;

/// A buffer that was larger for once is given back: what is written block by block is some MiB at most.
const KEPT_BYTES: usize = 8 << 20;

/// The least whole number of blocks that holds so many bytes, in bytes.
#[must_use]
pub fn whole_blocks(byte_count: usize) -> usize {
    byte_count.next_multiple_of(BLOCK_BYTES)
}

/// Memory for bytes that are appended to a file in whole blocks; used again and again.
#[derive(Debug, Default)]
pub struct BlockBuffer(Vec<u8>);

impl BlockBuffer {
    /// What `write` appends, where a disk can take it from: at the start of a page.
    pub fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let Self(bytes) = self;
        bytes.clear();
        if bytes.capacity() > KEPT_BYTES {
            *bytes = vec![];
        }
        bytes.reserve(2 * BLOCK_BYTES);
        let from = lead(bytes);
        bytes.resize(from, 0);
        write(bytes);
        let length = bytes.len() - from;
        // It may have grown, and so have moved.
        bytes.reserve(BLOCK_BYTES);
        let to = lead(bytes);
        if to != from {
            bytes.resize(from.max(to) + length, 0);
            bytes.copy_within(from..from + length, to);
        }
        &bytes[to..to + length]
    }
}

/// Bytes before the first page that starts in a buffer.
fn lead(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr().next_multiple_of(BLOCK_BYTES) - bytes.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_at_the_start_of_a_page_however_the_buffer_grew() {
        let mut buffer = BlockBuffer::default();
        for length in [0, 1, 4096, 100_000, 3, KEPT_BYTES + 5_000_000, 12] {
            let bytes = buffer.fill(|out| (0..length).for_each(|at| out.push((at % 251) as u8)));
            assert!(bytes.as_ptr().addr().is_multiple_of(BLOCK_BYTES), "{length}");
            assert_eq!(bytes.len(), length);
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8), "{length}");
        }
        assert!(buffer.0.capacity() <= KEPT_BYTES, "one that was large for once");
    }
}
