//! Whether a message's lengths can be believed, before the library reads it.
//!
//! The library makes room for what a message says that it holds. A few bytes must not make it ask for all memory, so every
//! length is held against what is there, and what compressed buffers become against the decoder's limit.

use crate::row::Broken;
use arrow_ipc::root_as_message;

/// In front of every part since 2019.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Rows that a batch may have beside those that its bytes account for: columns of nulls take none.
const FREE_ROWS: u64 = 65_536;

/// Goes through the parts of a stream.
pub(super) fn check(message: &[u8], limit: u64) -> Result<(), Broken> {
    let mut at = 0;
    let mut meta = vec![];
    let mut room = 0u64;
    while at < message.len() {
        let word = |at: usize| message.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
        let ends = || Broken::new(at, "the message ends too early");
        let mut length = word(at).ok_or_else(ends)?;
        let start = if length == CONTINUATION {
            length = word(at + 4).ok_or_else(ends)?;
            at + 8
        } else {
            at + 4
        };
        let length = i32::from_le_bytes(length);
        if length == 0 {
            break;
        }
        let part = usize::try_from(length).ok().and_then(|length| message.get(start..)?.get(..length));
        let part = part.ok_or_else(|| Broken::new(at, "this is no Arrow stream, or it ends too early"))?;
        // The reader of the description wants it aligned.
        meta.clear();
        meta.extend_from_slice(part);
        let described = root_as_message(&meta).map_err(|_| Broken::new(start, "this is no Arrow stream"))?;
        let body_start = start + part.len();
        let body =
            usize::try_from(described.bodyLength()).ok().and_then(|length| message.get(body_start..)?.get(..length));
        let body = body.ok_or_else(|| Broken::new(body_start, "the message ends too early"))?;
        let batch = described
            .header_as_record_batch()
            .or_else(|| described.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
        if let Some(batch) = batch {
            let compressed = batch.compression().is_some();
            for buffer in batch.buffers().into_iter().flatten() {
                let bytes = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
                let bytes = bytes.and_then(|(from, length)| body.get(from..)?.get(..length));
                let bytes = bytes.ok_or_else(|| Broken::new(body_start, "a buffer lies outside of the message"))?;
                let prefix: Option<[u8; 8]> = bytes.get(..8).and_then(|prefix| prefix.try_into().ok());
                let length = match prefix.map(i64::from_le_bytes) {
                    Some(length) if compressed && length != -1 => u64::try_from(length).unwrap_or(u64::MAX),
                    _ => bytes.len() as u64,
                };
                room = room.saturating_add(length);
            }
            if room > limit {
                let what = format!("it holds {room} bytes, arrow.allocator.limit allows {limit}");
                return Err(Broken::new(body_start, what));
            }
            // No column has more than eight values in a byte.
            let most = room.saturating_mul(8).saturating_add(FREE_ROWS);
            let nodes = batch.nodes().into_iter().flatten().map(|node| node.length());
            if nodes.chain([batch.length()]).any(|length| u64::try_from(length).map_or(true, |length| length > most)) {
                return Err(Broken::new(start, "it has more rows than its bytes can hold"));
            }
        }
        at = body_start + body.len();
    }
    Ok(())
}
