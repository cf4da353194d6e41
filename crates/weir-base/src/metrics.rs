//! Metrics: names are variants, values are counted per batch, the exposition is Prometheus text.

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder, text::encode},
    metrics::{counter::Counter as PromCounter, family::Family, gauge::Gauge as PromGauge},
    registry::Registry,
};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

/// What a value belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    /// The table.
    pub table: Arc<str>,
    /// The topic, or empty.
    pub topic: Arc<str>,
    /// The partition, where the value is one's.
    pub partition: Option<u32>,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        ("table", &*self.table).encode(encoder.encode_label())?;
        if !self.topic.is_empty() {
            ("topic", &*self.topic).encode(encoder.encode_label())?;
        }
        if let Some(partition) = self.partition {
            ("partition", partition).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

macro_rules! metrics {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal $help:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $kind {
            $(#[doc = $help] $variant,)+
        }

        impl $kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name, without the `weir_` prefix and the suffix of its kind.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it tells.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

metrics! {
    /// Values that only grow; `_total` is appended to their names.
    Counter {
        MessagesFetched "messages_fetched" "Messages that came from the stream",
        MessagesStored "messages_stored" "Messages that became rows",
        MessagesFiltered "messages_filtered" "Good messages that gave no row",
        MessagesRejected "messages_rejected" "Messages that could not become rows",
        MessagesReplayed "messages_replayed" "Messages that became rows from the quarantine",
        Tombstones "tombstones" "Messages without a value",
        OffsetsGaps "offsets_gaps" "Offsets that carried no message: control records, aborted or compacted away",
        OffsetsSkipped "offsets_skipped" "Offsets that were skipped with a recorded reason",
        Batches "batches" "Batches of messages fetched",
        RowsStored "rows_stored" "Rows stored",
        RowsAltered "rows_altered" "Rows stored with a number that wrapped, text that was cut, or a value made null",
        BytesFetched "bytes_fetched" "Bytes of message values fetched",
        Errors "errors" "Times that something went wrong while a partition was read: the last one is in its status",
        SegmentsSealed "segments_sealed" "Segments whose end was fixed",
        SegmentsCommitted "segments_committed" "Segments committed",
        SealRetries "seal_retries" "Attempts to build, upload or commit a segment that have to be repeated",
        UploadsFailed "uploads_failed" "Uploads that failed",
        CheckpointsRestored "checkpoints_restored" "Segments whose rows were restored from a checkpoint after a restart",
        CheckpointsTorn "checkpoints_torn" "Restored checkpoints with a torn end: what was in it was read from the stream",
        CheckpointsDiscarded "checkpoints_discarded" "Checkpoints that did not fit their segment or were damaged",
        SegmentsRemoved "segments_removed" "Segments removed because all their rows were older than the table keeps them",
        SegmentsReindexed "segments_reindexed" "Committed segments whose files were made anew because the settings of their indexes changed",
        ObjectsDeleted "objects_deleted" "Objects deleted from the deep store that no record names",
        FilesDeleted "files_deleted" "Local files and folders deleted that no record names",
        CheckpointsStopped "checkpoints_stopped" "Checkpoints that ended because the disk did not take them",
        CopiesEvicted "local_copies_evicted" "Local copies of uploaded segments given up because the disk was below its floor",
        Queries "queries" "Queries answered",
        QueryErrors "query_errors" "Queries answered with an exception",
        QueriesPartial "queries_partial" "Answers that said what they lack",
    }
}

metrics! {
    /// Values that rise and fall.
    Gauge {
        LagOffsets "lag_offsets" "Offsets between the newest visible message and the end of the log",
        LagMs "lag_ms" "Milliseconds that the newest visible message is behind, 0 at the end of the log",
        OpenRows "open_rows" "Rows of the open segment",
        OpenBytes "open_bytes" "Bytes of the open segment in memory",
        SealAtMs "open_seal_at_ms" "Wall time in milliseconds at which the open segment is sealed by age at the latest",
        SealAtRows "open_rows_limit" "Rows at which the open segment is sealed at the latest",
        Reading "partition_reading" "1 while the partition is read, 0 while it waits, is paused or has stopped",
        NextOffset "next_offset" "Offset up to which rows are visible",
        EndOffset "end_offset" "End of the log as the stream last said",
        PublishDelayMs "publish_delay_ms" "Milliseconds from fetching a batch to its being visible",
        Unexplained "accounts_unexplained" "1 while the counts of the partition do not explain its offsets, or these are not the stream's",
        QuarantineEntries "quarantine_entries" "Records in quarantine",
        SegmentsWithoutTime "segments_without_time" "Committed segments that are kept because the time of their rows is not known",
        SegmentsBehind "segments_behind_settings" "Committed segments that do not have the storage and the indexes yet that the settings ask for",
        DiskFreeBytes "disk_free_bytes" "Bytes that are free where the data folder lies",
        DiskFloorBytes "disk_floor_bytes" "Bytes that are to stay free there",
        SegmentsFetched "segments_fetched" "Segments fetched from the deep store since the start, their local copies being lost, damaged or given up",
        Tables "tables" "Tables of the node",
        QueryMs "last_query_ms" "Milliseconds that the last query took",
    }
}

#[derive(Default)]
struct Families {
    registry: Registry,
    counters: BTreeMap<Counter, Family<Labels, PromCounter>>,
    gauges: BTreeMap<Gauge, Family<Labels, PromGauge>>,
    seen: Mutex<HashSet<Labels>>,
}

/// All metrics of a process.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Every family, without values.
    #[must_use]
    pub fn new() -> Self {
        let mut families = Families { registry: Registry::with_prefix("weir"), ..Families::default() };
        for counter in Counter::ALL {
            let family = Family::<Labels, PromCounter>::default();
            families.registry.register(counter.name(), counter.help(), family.clone());
            families.counters.insert(*counter, family);
        }
        for gauge in Gauge::ALL {
            let family = Family::<Labels, PromGauge>::default();
            families.registry.register(gauge.name(), gauge.help(), family.clone());
            families.gauges.insert(*gauge, family);
        }
        Self(Arc::new(families))
    }

    /// Adds to a counter.
    pub fn count(&self, counter: Counter, labels: &Labels, by: u64) {
        self.note(labels);
        self.0.counters[&counter].get_or_create(labels).inc_by(by);
    }

    /// Sets a gauge.
    pub fn gauge(&self, gauge: Gauge, labels: &Labels, value: i64) {
        self.note(labels);
        self.0.gauges[&gauge].get_or_create(labels).set(value);
    }

    /// A dropped table's values are not shown any more.
    pub fn forget(&self, table: &str) {
        let mut seen = self.0.seen.lock();
        let gone: Vec<Labels> = seen.iter().filter(|labels| &*labels.table == table).cloned().collect();
        for labels in &gone {
            seen.remove(labels);
            self.0.counters.values().for_each(|family| {
                family.remove(labels);
            });
            self.0.gauges.values().for_each(|family| {
                family.remove(labels);
            });
        }
    }

    /// The exposition text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0.registry).expect("writing into memory cannot fail");
        text
    }

    fn note(&self, labels: &Labels) {
        let mut seen = self.0.seen.lock();
        if !seen.contains(labels) {
            seen.insert(labels.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_until_their_table_is_forgotten() {
        let metrics = Metrics::new();
        let labels = Labels { table: "orders".into(), topic: "t".into(), partition: Some(3) };
        metrics.count(Counter::RowsStored, &labels, 5);
        metrics.gauge(Gauge::LagMs, &labels, 7);
        let text = metrics.encode();
        let line = r#"weir_rows_stored_total{table="orders",topic="t",partition="3"} 5"#;
        assert!(text.lines().any(|found| found == line), "{text}");
        assert!(text.ends_with("# EOF\n"));
        metrics.forget("orders");
        assert!(!metrics.encode().contains("orders"));
    }

    #[test]
    fn the_exposition_is_well_formed() {
        let metrics = Metrics::new();
        let odd = Labels { table: "a\"b\\c\nd".into(), topic: "".into(), partition: None };
        Counter::ALL.iter().for_each(|counter| metrics.count(*counter, &odd, 1));
        Gauge::ALL.iter().for_each(|gauge| metrics.gauge(*gauge, &odd, -1));
        let text = metrics.encode();
        let labels = r#"{table="a\"b\\c\nd"}"#;
        let mut expected = vec![];
        let samples = Counter::ALL.iter().map(|counter| (counter.name(), counter.help(), "counter", "_total", "1"));
        for (name, help, kind, suffix, value) in
            samples.chain(Gauge::ALL.iter().map(|gauge| (gauge.name(), gauge.help(), "gauge", "", "-1")))
        {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !name.ends_with("_total"), "{name}");
            expected.push(format!("# HELP weir_{name} {help}."));
            expected.push(format!("# TYPE weir_{name} {kind}"));
            expected.push(format!("weir_{name}{suffix}{labels} {value}"));
        }
        expected.push("# EOF".into());
        let mut found: Vec<&str> = text.lines().collect();
        assert_eq!(found.last(), Some(&"# EOF"));
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
