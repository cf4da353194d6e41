//! Putting a built segment into the deep store, under a key that no other bytes have.

use crate::deps::TableContext;
use bytes::Bytes;
use weir_files::{FileError, Put};
use weir_types::{ErrorKind, Retry};

/// An object that is in the deep store.
pub(crate) struct Stored {
    /// Where: what its record is to name.
    pub(crate) key: String,
    /// Whether this put made it.
    pub(crate) put: Put,
}

/// Puts a segment of that checksum into the deep store. Where other bytes lie under its key, whoever damaged them or put them
/// there, they stay as they are and it gets the next one: only the record says which object is the segment's.
pub(crate) async fn put(table: &TableContext, segment: &str, crc: u32, bytes: &Bytes) -> Result<Stored, FileError> {
    put_under(table, segment, table.object_keys(segment, crc), bytes).await
}

/// The same under the first of these keys that has no other bytes.
pub(crate) async fn put_under(
    table: &TableContext,
    segment: &str,
    keys: impl Iterator<Item = String>,
    bytes: &Bytes,
) -> Result<Stored, FileError> {
    let store = &table.deps.deep_store;
    let mut taken = String::new();
    for key in keys {
        match store.put_if_absent(&key, bytes.clone()).await? {
            Put::Taken => {
                taken = store.uri(&key);
                tracing::error!(
                    segment,
                    object = taken,
                    "the deep store holds other bytes under a segment's key; it gets another key"
                );
            }
            put => return Ok(Stored { key, put }),
        }
    }
    Err(FileError {
        action: "write",
        uri: taken,
        reason: "other bytes lie under this key and all others of the segment, and no record names them: look what damages the \
                 deep store's objects, and delete those"
            .into(),
        kind: ErrorKind::Conflict,
        retry: Retry::Later,
    })
}
