//! Which topics the brokers have, and the identity that each of them was given when it was made.
//!
//! A topic that is deleted and made again under its name has another identity. The library tells it in answer to
//! `DescribeTopics`, which the safe wrapper does not know.

use super::client::{self, Client};
use crate::contract::StreamError;
use rdkafka::{
    bindings::{
        rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
        rd_kafka_AdminOptions_t, rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics,
        rd_kafka_TopicCollection_destroy, rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicCollection_t,
        rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_least_significant_bits,
        rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t, rd_kafka_error_code,
        rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_event_t,
        rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t, rd_kafka_resp_err_t,
    },
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{ffi::CString, ptr::NonNull, sync::Arc, time::Duration};
use weir_types::TopicName;

/// What the library gives to be given back.
struct Owned<T> {
    at: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `None` where there is nothing at `at`. What is there is ours, and `destroy` gives it back.
    fn new(at: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        Some(Self { at: NonNull::new(at)?, destroy })
    }

    fn get(&self) -> *mut T {
        self.at.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it is ours by `new`, and it is given back once.
        unsafe { (self.destroy)(self.at.as_ptr()) }
    }
}

/// The topic's identity as the brokers have it now; `None` where they are too old to have one. Waits for the answer.
pub(super) fn topic_id(client: &Client, topic: &str, timeout: Duration) -> Result<Option<Arc<str>>, StreamError> {
    let failed = |code: rd_kafka_resp_err_t| {
        let code = RDKafkaErrorCode::from(code);
        match code {
            RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion => Ok(None),
            code => Err(client::failed(client, topic, &KafkaError::MetadataFetch(code))),
        }
    };
    let Some(event) = describe(client, topic, timeout) else {
        return failed(rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT);
    };
    // SAFETY: the event is alive.
    let code = unsafe { rd_kafka_event_error(event.get()) };
    if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return failed(code);
    }
    let mut count = 0;
    // SAFETY: the event is alive, and what is taken from it lives as long; `count` is written to. A result that is not
    // one of `DescribeTopics` is a null pointer, which is not followed.
    let found = unsafe {
        let result = rd_kafka_event_DescribeTopics_result(event.get());
        if result.is_null() {
            None
        } else {
            NonNull::new(rd_kafka_DescribeTopics_result_topics(result, &raw mut count))
        }
    };
    let Some(found) = found.filter(|_| count > 0) else { return Ok(None) };
    // SAFETY: there are `count` descriptions, at least one, and they live as long as the event.
    let (code, bits) = unsafe {
        let description = *found.as_ptr();
        let error = rd_kafka_TopicDescription_error(description);
        let code =
            if error.is_null() { rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR } else { rd_kafka_error_code(error) };
        let id = rd_kafka_TopicDescription_topic_id(description);
        let halves = || (rd_kafka_Uuid_most_significant_bits(id), rd_kafka_Uuid_least_significant_bits(id));
        (code, if id.is_null() { (0, 0) } else { halves() })
    };
    if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return failed(code);
    }
    Ok((bits != (0, 0)).then(|| format!("{:016x}{:016x}", bits.0, bits.1).into()))
}

/// Asks for one topic's description; `None` where no answer came in time.
fn describe(client: &Client, topic: &str, timeout: Duration) -> Option<Owned<rd_kafka_event_t>> {
    let handle = client.client().native_ptr();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let name = CString::new(topic).ok()?;
    let mut names = [name.as_ptr()];
    // SAFETY: the client is alive; the names are copied.
    let (queue, options, topics) = unsafe {
        (
            Owned::<rd_kafka_queue_t>::new(rd_kafka_queue_new(handle), rd_kafka_queue_destroy)?,
            Owned::<rd_kafka_AdminOptions_t>::new(
                rd_kafka_AdminOptions_new(handle, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
                rd_kafka_AdminOptions_destroy,
            )?,
            Owned::<rd_kafka_TopicCollection_t>::new(
                rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
                rd_kafka_TopicCollection_destroy,
            )?,
        )
    };
    // SAFETY: all four are alive; a time-out that is refused leaves the library's own. The answer comes to the queue.
    let event = unsafe {
        rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, std::ptr::null_mut(), 0);
        rd_kafka_DescribeTopics(handle, topics.get(), options.get(), queue.get());
        rd_kafka_queue_poll(queue.get(), timeout_ms)
    };
    Owned::new(event, rd_kafka_event_destroy)
}

/// All topics that the brokers tell of. Waits for the answer.
pub(super) fn topics(client: &Client, timeout: Duration) -> Result<Vec<TopicName>, StreamError> {
    let metadata = client.fetch_metadata(None, timeout).map_err(|error| client::failed(client, "(all)", &error))?;
    Ok(metadata.topics().iter().filter_map(|topic| TopicName::parse(topic.name()).ok()).collect())
}
