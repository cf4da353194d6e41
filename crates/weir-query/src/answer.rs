//! What a query is asked with and answered with. Plain data; how it is written as JSON is not known here.

use crate::error::Code;
use arrow::record_batch::RecordBatch;

/// A query as a client sends it.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// The text: `SET` statements, then one query.
    pub sql: String,
    /// Options beside the text; they win over those of the text. Keys in any case, unknown ones are ignored.
    pub options: Vec<(String, String)>,
    /// The database that table names without one belong to; `default` where there is none.
    pub database: Option<String>,
}

impl QueryRequest {
    /// Reads options in the form `k=v;k=v`; empty entries are skipped, an entry without `=` is a flag that is `true`.
    #[must_use]
    pub fn options_of(text: &str) -> Vec<(String, String)> {
        let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        let pair = |entry: &str| {
            let (key, value) = entry.split_once('=').unwrap_or((entry, "true"));
            (key.trim().to_owned(), value.trim().to_owned())
        };
        entries.map(pair).collect()
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name as Pinot prints it; names may repeat.
    pub name: String,
    /// Pinot's name of its type: `LONG`, `STRING_ARRAY`, ..
    pub pinot_type: String,
}

/// An error, or a warning about what an answer lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryException {
    /// Pinot's error code.
    pub code: u32,
    /// The code's name, then what happened.
    pub message: String,
}

/// Bytes of a message: what is wrong may quote values and patterns of megabytes, and people read its beginning.
const MOST_MESSAGE: usize = 4_096;

impl QueryException {
    pub(crate) fn new(code: Code, what: impl std::fmt::Display) -> Self {
        let mut message = format!("{}: {what}", code.name());
        if message.len() > MOST_MESSAGE {
            message.truncate(message.floor_char_boundary(MOST_MESSAGE));
            message += " ..";
        }
        Self { code: code.number(), message }
    }
}

/// An answer. Errors are in it: asking never fails.
#[derive(Debug, Clone, Default)]
pub struct QueryResponse {
    /// The columns; empty where there is no result.
    pub columns: Vec<ResultColumn>,
    /// The rows; column `i` of each batch belongs to `columns[i]`, whatever the batch calls it.
    pub rows: Vec<RecordBatch>,
    /// What went wrong, or what the answer lacks.
    pub exceptions: Vec<QueryException>,
    /// The answer lacks something that was visible before, or there is none.
    pub partial: bool,
    /// What it took.
    pub stats: QueryStats,
    /// Raw names of the tables that were asked.
    pub tables: Vec<String>,
}

/// What a query took, under Pinot's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is named after the response field whose meaning is Pinot's")]
pub struct QueryStats {
    pub time_used_ms: u64,
    pub num_docs_scanned: u64,
    pub total_docs: u64,
    pub num_entries_scanned_in_filter: u64,
    pub num_entries_scanned_post_filter: u64,
    pub num_servers_queried: u64,
    pub num_servers_responded: u64,
    pub num_segments_queried: u64,
    pub num_segments_processed: u64,
    pub num_segments_matched: u64,
    pub num_consuming_segments_queried: u64,
    pub num_consuming_segments_processed: u64,
    pub num_consuming_segments_matched: u64,
    pub num_segments_pruned_by_broker: u64,
    pub num_segments_pruned_by_server: u64,
    pub num_segments_pruned_invalid: u64,
    pub num_segments_pruned_by_limit: u64,
    pub num_segments_pruned_by_value: u64,
    pub broker_reduce_time_ms: u64,
    pub thread_cpu_time_ns: u64,
    /// Wall time in milliseconds up to which all consuming partitions are visible; 0 where there is none.
    pub min_consuming_freshness_time_ms: i64,
    pub num_groups_limit_reached: bool,
    pub num_groups_warning_limit_reached: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_an_end() {
        let short = QueryException::new(Code::SqlParsing, "a");
        assert_eq!(short.message, "SQLParsingError: a");
        let long = QueryException::new(Code::SqlParsing, "ä".repeat(100_000));
        assert!(long.message.len() < MOST_MESSAGE + 10 && long.message.ends_with("ä .."), "{}", long.message);
    }

    #[test]
    fn option_strings_may_have_empty_entries_and_flags() {
        let pairs = QueryRequest::options_of(";useMultistageEngine=true;; timeoutMs = 5 ;trace");
        let expected = [("useMultistageEngine", "true"), ("timeoutMs", "5"), ("trace", "true")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
