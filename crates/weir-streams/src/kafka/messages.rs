//! Messages where librdkafka keeps them: nothing is copied, all are given back when the batch is dropped.

use super::shared::Shared;
use crate::contract::Messages;
use rdkafka::bindings::{
    rd_kafka_header_get_last, rd_kafka_message_destroy, rd_kafka_message_headers, rd_kafka_message_t,
    rd_kafka_message_timestamp, rd_kafka_resp_err_t, rd_kafka_timestamp_type_t,
};
use std::{ffi::CString, ptr::NonNull, slice, sync::Arc};
use weir_types::NextOffset;

/// One message that is owned: destroyed when dropped.
pub(super) struct OwnedMessage(NonNull<rd_kafka_message_t>);

// SAFETY: a message is a plain allocation of librdkafka's that may be read and destroyed on any thread.
unsafe impl Send for OwnedMessage {}
// SAFETY: reading a message changes nothing, except that headers are parsed into it on first use: they are read under the
// lock of `KafkaMessages` only.
unsafe impl Sync for OwnedMessage {}

impl OwnedMessage {
    /// Takes over a message that came from a consume call.
    ///
    /// # Safety
    /// `message` is one that librdkafka handed out and nobody else destroys.
    pub(super) unsafe fn new(message: *mut rd_kafka_message_t) -> Option<Self> {
        NonNull::new(message).map(Self)
    }

    fn get(&self) -> &rd_kafka_message_t {
        // SAFETY: it is owned and not yet destroyed.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn code(&self) -> rd_kafka_resp_err_t {
        self.get().err
    }

    pub(super) fn offset(&self) -> i64 {
        self.get().offset
    }

    /// The payload, which holds the text where the message is an error.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        let message = self.get();
        // SAFETY: librdkafka gives `len` readable bytes at a payload that is not null, for the message's life.
        (!message.payload.is_null()).then(|| unsafe { slice::from_raw_parts(message.payload.cast(), message.len) })
    }

    fn key(&self) -> Option<&[u8]> {
        let message = self.get();
        // SAFETY: as with the payload.
        (!message.key.is_null()).then(|| unsafe { slice::from_raw_parts(message.key.cast(), message.key_len) })
    }
}

impl Drop for OwnedMessage {
    fn drop(&mut self) {
        // SAFETY: it is owned, and this is the only place that destroys it.
        unsafe { rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Messages of one batch.
pub(super) struct KafkaMessages {
    messages: Vec<OwnedMessage>,
    /// Headers are parsed inside the message on first use, which must not happen twice at once.
    headers: parking_lot::Mutex<()>,
    /// Whose messages they are; it is closed after all of them were given back.
    _client: Arc<Shared>,
}

impl KafkaMessages {
    pub(super) fn new(messages: Vec<OwnedMessage>, client: Arc<Shared>) -> Self {
        Self { messages, headers: parking_lot::Mutex::new(()), _client: client }
    }
}

impl Messages for KafkaMessages {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        NextOffset::new(u64::try_from(self.messages[at].offset()).expect("a message has an offset"))
    }

    fn timestamp_ms(&self, at: usize) -> Option<i64> {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive and `kind` is written to.
        let timestamp = unsafe { rd_kafka_message_timestamp(self.messages[at].0.as_ptr(), &raw mut kind) };
        (timestamp >= 0).then_some(timestamp)
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.messages[at].key()
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        self.messages[at].payload()
    }

    fn header(&self, at: usize, name: &str) -> Option<&[u8]> {
        let name = CString::new(name).ok()?;
        let _parsing = self.headers.lock();
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive; the headers it gives live as long as it does.
        let found = unsafe { rd_kafka_message_headers(self.messages[at].0.as_ptr(), &raw mut headers) };
        if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let (mut value, mut size) = (std::ptr::null(), 0);
        // SAFETY: `headers` was just given by the library, `name` ends with a zero byte.
        let found = unsafe { rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut size) };
        if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || value.is_null() {
            return None;
        }
        // SAFETY: the library gives `size` readable bytes for the life of the message.
        Some(unsafe { slice::from_raw_parts(value.cast(), size) })
    }
}
