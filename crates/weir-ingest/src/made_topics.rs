//! Topics of the built-in log that a change of a table made on its way: kept once the change stands, else taken back.

use crate::{error::IngestError, feeds::stream_error};
use weir_streams::Streams;
use weir_types::StreamSpec;

/// What a change made so far.
#[derive(Default)]
pub(crate) struct MadeTopics(Vec<StreamSpec>);

impl MadeTopics {
    /// Makes the topic of stream `at` of a table where it lives in this process and is absent.
    pub(crate) async fn ensure(
        &mut self,
        streams: &Streams,
        at: usize,
        stream: &StreamSpec,
    ) -> Result<(), IngestError> {
        if streams.ensure_topic(stream).await.map_err(|source| stream_error(at, &stream.stream_type, source))? {
            self.0.push(stream.clone());
        }
        Ok(())
    }

    /// The change is in the catalog: its topics stay.
    pub(crate) fn keep(&mut self) {
        self.0.clear();
    }

    /// Takes back what was not kept.
    pub(crate) async fn take_back(self, streams: &Streams) {
        for stream in self.0 {
            if let Err(error) = streams.take_back_topic(&stream).await {
                tracing::warn!(topic = %stream.topic, %error, "the topic of a table that was refused stays");
            }
        }
    }
}
