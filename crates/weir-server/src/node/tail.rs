//! The messages of a table's topics, or of a topic that nobody has described, as they come: for whoever watches.

use crate::{
    node::{
        Node, Refusal, TableConfigs,
        infer::{in_stream, one_stream},
        secrets::check_references,
    },
    pinot_json::{inferred::skeleton, tailed},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use weir_ingest::{TailFrom, TailOf, TailRequest, infer::InferRequest};
use weir_types::{ErrorKind, NextOffset, Schema, TableName};

/// Who watches at once: each has a thread, and a reader for each partition.
pub(super) const TAILS_MOST: usize = 16;
/// Events that wait for a client that takes them slowly: some megabytes at most, since each holds what one fetch brought.
const WAITING: usize = 4;

/// What is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TailAsked {
    /// The table whose topics are watched.
    pub table: Option<String>,
    /// The stream's settings as a table config has them, without a decoder, where no table is watched.
    pub stream: Option<Map<String, Json>>,
    /// The format of the stream, where it is not to be guessed.
    pub format: Option<String>,
    /// Names of the cells of CSV, between its delimiter.
    pub header: Option<String>,
    /// `latest`, `earliest`, `last:N`, or an offset; `latest` where nothing is said.
    pub from: Option<String>,
    /// Messages at most.
    pub limit: Option<u64>,
    /// Whether it is over where the log ends now.
    #[serde(default)]
    pub once: bool,
    /// The only partition.
    pub partition: Option<u32>,
}

/// Reads where to begin.
///
/// # Errors
/// It is none of those words, with what would be.
pub fn tail_from(text: &str) -> Result<TailFrom, String> {
    let wrong =
        || format!("'{text}' is no place to begin: must be latest, earliest, last:N (as last:100), or an offset");
    match text.trim().to_ascii_lowercase().as_str() {
        // Pinot's words for the same.
        "latest" | "largest" | "now" => Ok(TailFrom::Latest),
        "earliest" | "smallest" => Ok(TailFrom::Earliest),
        word => match word.strip_prefix("last").map(|rest| rest.trim_start_matches([':', ' ', '='])) {
            Some(count) => count.parse().map(TailFrom::Last).map_err(|_| wrong()),
            None => word.parse().map(|offset| TailFrom::Offset(NextOffset::new(offset))).map_err(|_| wrong()),
        },
    }
}

/// A tail under way: lines of JSON, one for each thing that is told, and the place that it takes.
pub struct Tailed {
    events: mpsc::Receiver<weir_ingest::TailEvent>,
    schema: Option<Arc<Schema>>,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Tailed {
    /// The next lines; none where it is over, or the process stops.
    pub async fn next(&mut self) -> Option<Bytes> {
        let event = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stop| *stop) => None,
            event = self.events.recv() => event,
        };
        Some(tailed::lines(self.schema.as_deref(), &event?).into())
    }
}

impl Node {
    /// Begins to watch. It is over when `stopping` says so, or what is given back is dropped.
    ///
    /// # Errors
    /// What is asked for cannot be watched, or as many watch already as may.
    pub async fn tail(&self, asked: &TailAsked, stopping: watch::Receiver<bool>) -> Result<Tailed, Refusal> {
        let place = self.tails.clone().try_acquire_owned().map_err(|_| Refusal {
            kind: ErrorKind::Exhausted,
            text: format!("{TAILS_MOST} tails run on this node, which is the most: end one first"),
        })?;
        let from = asked.from.as_deref().map_or(Ok(TailFrom::Latest), tail_from);
        let from = from.map_err(|error| Refusal::invalid(format!("from: {error}")))?;
        if asked.limit == Some(0) {
            return Err(Refusal::invalid("limit = 0: must be 1 or more"));
        }
        let request = TailRequest { from, limit: asked.limit, once: asked.once, partition: asked.partition };
        let (of, schema) = match (&asked.table, &asked.stream) {
            (Some(table), None) => {
                if asked.format.is_some() || asked.header.is_some() {
                    return Err(Refusal::invalid(
                        "format, header: belong to a stream; a table's config says its format",
                    ));
                }
                let name = TableName::parse(table).map_err(|error| Refusal::not_found(format!("table {error}")))?;
                let record = self.table(&name).await?;
                let schema = record.schema.clone();
                (TailOf::Table(Box::new(record)), Some(schema))
            }
            (None, Some(stream)) => {
                let read = TableConfigs::parse(&skeleton("watched", stream)).map_err(in_stream)?;
                check_references(&read.new_table(), "realtime.")?;
                let spec = one_stream(&read)?;
                let look = InferRequest {
                    format: asked.format.clone(),
                    header: asked.header.clone(),
                    decoder_settings: spec.decoder_settings.clone(),
                    ..InferRequest::default()
                };
                (TailOf::Topic(Box::new(spec.clone()), look), None)
            }
            _ => return Err(Refusal::invalid("table, stream: name one of them, the table or the stream to watch")),
        };
        let tail = self.ingest.tail(of, request).await.map_err(|error| Refusal::of_creation(&error))?;
        let (told, events) = mpsc::channel(WAITING);
        // Megabytes are parsed between its awaits: threads that serve others are not held up.
        let runtime = tokio::runtime::Handle::current();
        drop(tokio::task::spawn_blocking(move || runtime.block_on(tail.run(told))));
        Ok(Tailed { events, schema, stopping, _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin_have_words() {
        for (text, from) in [
            ("latest", TailFrom::Latest),
            ("Earliest", TailFrom::Earliest),
            ("smallest", TailFrom::Earliest),
            ("last:20", TailFrom::Last(20)),
            ("last 20", TailFrom::Last(20)),
            ("88123", TailFrom::Offset(NextOffset::new(88_123))),
        ] {
            assert_eq!(tail_from(text), Ok(from), "{text}");
        }
        for text in ["", "last", "last:x", "-5", "yesterday"] {
            assert!(tail_from(text).unwrap_err().contains("must be latest, earliest, last:N"), "{text}");
        }
    }
}
