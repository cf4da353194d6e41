//! A table config for a topic that nobody has described: it is read, guessed, written, and tried with what was read.

use crate::{
    node::{Node, Refusal, TableConfigs, secrets::check_references},
    pinot_json::inferred::{inferred_answer, inferred_document, skeleton, table_name_of},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use weir_control::SpecErrors;
use weir_ingest::infer::{INFER_ROWS, INFER_ROWS_MOST, InferError, InferRequest, infer, verify};
use weir_types::{ErrorKind, StreamSpec, TableName};

/// What is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InferAsked {
    /// The stream's settings as a table config has them, without a decoder. Those of a registry may be among them.
    pub stream: Map<String, Json>,
    /// The table's name; the topic's where there is none.
    pub table_name: Option<String>,
    /// Messages that are looked at.
    pub rows: Option<usize>,
    /// The format, where it is not to be guessed.
    pub format: Option<String>,
    /// Names of the cells of CSV, between its delimiter.
    pub header: Option<String>,
    /// The field that is the table's time.
    pub time: Option<String>,
}

/// Where the stream's settings stand in the document that is read for them.
const IN_DOCUMENT: &str = "realtime.ingestionConfig.streamIngestionConfig.streamConfigMaps[0]";

/// Errors of the stream's settings with their place in what was sent.
pub(super) fn in_stream(errors: SpecErrors) -> SpecErrors {
    let placed = |mut error: weir_control::SpecError| {
        if let Some(below) = error.path.strip_prefix(IN_DOCUMENT) {
            error.path = format!("stream{below}");
        }
        error
    };
    SpecErrors(errors.0.into_iter().map(placed).collect())
}

/// The one stream that is looked at.
pub(super) fn one_stream(configs: &TableConfigs) -> Result<&StreamSpec, Refusal> {
    match configs.realtime.spec.streams.as_slice() {
        [stream] => Ok(stream),
        streams => {
            Err(Refusal::invalid(format!("stream: names {} topics; name one, which stands for all", streams.len())))
        }
    }
}

impl Node {
    /// Looks at a topic and answers with a `tableConfigs` document for it, the reasons, and what it makes of what was read.
    /// Nothing is stored.
    ///
    /// # Errors
    /// The topic cannot be reached, is empty, or holds what cannot be understood.
    pub async fn infer(&self, asked: &InferAsked) -> Result<Json, Refusal> {
        let rows = asked.rows.unwrap_or(INFER_ROWS);
        if !(1..=INFER_ROWS_MOST).contains(&rows) {
            return Err(Refusal::invalid(format!("rows = {rows}: must be a whole number from 1 to {INFER_ROWS_MOST}")));
        }
        if let Some(Err(error)) = asked.table_name.as_deref().map(TableName::parse) {
            return Err(Refusal::invalid(format!("tableName: {error}")));
        }
        // The name matters first when the document is written.
        let read = TableConfigs::parse(&skeleton("inferred", &asked.stream)).map_err(in_stream)?;
        check_references(&read.new_table(), "realtime.")?;
        let spec = one_stream(&read)?;
        let source = self.streams().source(spec)?;
        let request = InferRequest {
            rows,
            format: asked.format.clone(),
            header: asked.header.clone(),
            time: asked.time.clone(),
            decoder_settings: spec.decoder_settings.clone(),
        };
        let (spec, stream, clock) = (spec.clone(), asked.stream.clone(), self.clock.clone());
        let name = asked.table_name.clone().unwrap_or_else(|| table_name_of(&spec.topic));
        let looking = async move {
            let inferred = infer(&spec, &source, &clock, &request).await.map_err(|error| match error {
                InferError::Stream(error) => Refusal::from(error),
                error => Refusal::invalid(error.to_string()),
            })?;
            let document = inferred_document(&name, &stream, &inferred);
            let configs = TableConfigs::parse(&document)?;
            let tried = verify(&configs.new_table(), one_stream(&configs)?, &inferred.sampled, clock.wall_ms()).await;
            let verified = tried.map_err(|reason| Refusal::invalid(format!("topic {}: {reason}", spec.topic)))?;
            Ok(inferred_answer(&document, &inferred, &verified))
        };
        apart(looking).await
    }
}

/// Runs what parses megabytes between its awaits on a thread of its own: threads that serve others are not held up.
pub(super) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let runtime = tokio::runtime::Handle::current();
    let ended = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    ended.map_err(|error| {
        tracing::error!(%error, "looking at messages met a fault");
        Refusal {
            kind: ErrorKind::Internal,
            text: "looking at messages met a fault of this server; the log says more".to_owned(),
        }
    })?
}
