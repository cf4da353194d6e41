//! Every key of Pinot's table config with what becomes of it, in one table: the walk over a config, the reference page
//! and a test are driven by it.
//!
//! Paths are dotted; `*` is any key, `[]` any item of a list. A rule covers everything below its path.

use serde_json::Value as Json;

/// What becomes of a key.
#[derive(Clone, Copy)]
pub(super) enum Treatment {
    /// It has its effect.
    Read,
    /// It would change rows or answers and is not built: an error with this remedy, unless its value is harmless.
    Refused(&'static str),
    /// Like `Refused`, for the options of an index: they mean the index even when they are empty.
    RefusedIndex(&'static str),
    /// It would change speed or placement only: accepted, and listed as not yet effective unless its value is harmless.
    Listed,
    /// Like `Listed`, for the options of an index: they mean the index even when they are empty.
    ListedIndex,
    /// It means nothing here, for this reason.
    Ignored(&'static str),
}

use Treatment::{Ignored, Listed, ListedIndex, Read, Refused, RefusedIndex};

const DEFAULTS: &str = "matters to Pinot's own files and jobs only";
const TEXT: &str = "text indexes are not built yet: remove it and filter with LIKE or REGEXP_LIKE";
const JSON_INDEX: &str = "JSON indexes are not built yet: remove it and read the column with JSON_EXTRACT_SCALAR";
const VECTOR: &str = "vector indexes are not built yet: remove it";
const OPEN: &str = "open-struct columns are not built yet: remove it and give each path a column";

/// Path and treatment, in the order of Pinot's classes.
pub(super) const TABLE_KEYS: &[(&str, Treatment)] = &[
    ("tableName", Read),
    ("tableType", Read),
    ("isDimTable", Refused("dimension tables are not built: set false and load the rows through a stream")),
    ("segmentsConfig.timeColumnName", Read),
    ("segmentsConfig.replication", Read),
    ("segmentsConfig.replicasPerPartition", Read),
    ("segmentsConfig.schemaName", Read),
    ("segmentsConfig.retentionTimeUnit", Read),
    ("segmentsConfig.retentionTimeValue", Read),
    ("segmentsConfig.deletedSegmentsRetentionPeriod", Read),
    ("segmentsConfig.untrackedSegmentsDeletionEnabled", Listed),
    ("segmentsConfig.untrackedSegmentsRetentionTimeUnit", Listed),
    ("segmentsConfig.untrackedSegmentsRetentionTimeValue", Listed),
    ("segmentsConfig.segmentPushFrequency", Ignored("concerns batch loads")),
    ("segmentsConfig.segmentPushType", Ignored("concerns batch loads")),
    ("segmentsConfig.timeType", Ignored("the schema's date-time format says it")),
    ("segmentsConfig.replicaGroupStrategyConfig", Listed),
    ("segmentsConfig.completionConfig", Listed),
    ("segmentsConfig.crypterClassName", Listed),
    ("segmentsConfig.minimizeDataMovement", Listed),
    ("segmentsConfig.segmentAssignmentStrategy", Listed),
    ("segmentsConfig.peerSegmentDownloadScheme", Listed),
    ("tenants.broker", Ignored("there is one tenant")),
    ("tenants.server", Ignored("there is one tenant")),
    ("tenants.tagOverrideConfig", Listed),
    ("tableIndexConfig.streamConfigs", Read),
    ("tableIndexConfig.invertedIndexColumns", Read),
    ("tableIndexConfig.rangeIndexColumns", Read),
    ("tableIndexConfig.rangeIndexVersion", Ignored(DEFAULTS)),
    ("tableIndexConfig.sortedColumn", Read),
    ("tableIndexConfig.noDictionaryColumns", Read),
    ("tableIndexConfig.noDictionaryConfig", Read),
    ("tableIndexConfig.nullHandlingEnabled", Read),
    ("tableIndexConfig.jsonIndexColumns", Refused(JSON_INDEX)),
    ("tableIndexConfig.jsonIndexConfigs", Refused(JSON_INDEX)),
    ("tableIndexConfig.multiColumnTextIndexConfig", Refused(TEXT)),
    (
        "tableIndexConfig.aggregateMetrics",
        Refused(
            "rows are not rolled up while they arrive, they stay one for each record: set false and sum in the query, as in \
             SELECT country, SUM(amount) .. GROUP BY country",
        ),
    ),
    ("tableIndexConfig.bloomFilterColumns", Listed),
    ("tableIndexConfig.bloomFilterConfigs", Listed),
    ("tableIndexConfig.starTreeIndexConfigs", Listed),
    ("tableIndexConfig.enableDefaultStarTree", Listed),
    ("tableIndexConfig.enableDynamicStarTreeCreation", Listed),
    ("tableIndexConfig.segmentPartitionConfig", Listed),
    ("tableIndexConfig.onHeapDictionaryColumns", Ignored(DEFAULTS)),
    ("tableIndexConfig.varLengthDictionaryColumns", Ignored(DEFAULTS)),
    ("tableIndexConfig.loadMode", Ignored("sealed segments are always mapped")),
    ("tableIndexConfig.lazyLoad", Ignored(DEFAULTS)),
    ("tableIndexConfig.segmentFormatVersion", Ignored(DEFAULTS)),
    ("tableIndexConfig.columnMinMaxValueGeneratorMode", Ignored("every column has its smallest and greatest value")),
    ("tableIndexConfig.optimizeDictionary", Listed),
    ("tableIndexConfig.optimizeDictionaryForMetrics", Listed),
    ("tableIndexConfig.optimizeDictionaryType", Listed),
    ("tableIndexConfig.noDictionarySizeRatioThreshold", Listed),
    ("tableIndexConfig.noDictionaryCardinalityRatioThreshold", Listed),
    ("tableIndexConfig.optimizeNoDictStatsCollection", Ignored(DEFAULTS)),
    ("tableIndexConfig.autoGeneratedInvertedIndex", Listed),
    (
        "tableIndexConfig.createInvertedIndexDuringSegmentGeneration",
        Ignored("indexes are built when a segment is sealed"),
    ),
    ("tableIndexConfig.columnMajorSegmentBuilderEnabled", Ignored("segments are built by column")),
    ("tableIndexConfig.skipSegmentPreprocess", Ignored(DEFAULTS)),
    ("tableIndexConfig.segmentNameGeneratorType", Ignored(DEFAULTS)),
    ("tableIndexConfig.fstIndexType", Ignored(DEFAULTS)),
    ("tableIndexConfig.compressionStatsEnabled", Listed),
    ("tableIndexConfig.tierOverwrites", Listed),
    ("metadata", Ignored("kept as it is, for people and tools")),
    ("quota", Listed),
    ("task", Listed),
    ("routing", Listed),
    ("query", Listed),
    ("fieldConfigList.[].name", Read),
    ("fieldConfigList.[].encodingType", Read),
    ("fieldConfigList.[].indexType", Read),
    ("fieldConfigList.[].indexTypes", Read),
    ("fieldConfigList.[].indexes.inverted", Read),
    ("fieldConfigList.[].indexes.range", Read),
    ("fieldConfigList.[].indexes.dictionary", Read),
    ("fieldConfigList.[].indexes.forward", Listed),
    ("fieldConfigList.[].indexes.bloom", ListedIndex),
    ("fieldConfigList.[].indexes.fst", ListedIndex),
    ("fieldConfigList.[].indexes.ifst", ListedIndex),
    ("fieldConfigList.[].indexes.h3", ListedIndex),
    ("fieldConfigList.[].indexes.null", Ignored("nulls are kept where null handling is on")),
    ("fieldConfigList.[].indexes.text", RefusedIndex(TEXT)),
    ("fieldConfigList.[].indexes.json", RefusedIndex(JSON_INDEX)),
    ("fieldConfigList.[].indexes.vector", RefusedIndex(VECTOR)),
    ("fieldConfigList.[].indexes.open_struct", RefusedIndex(OPEN)),
    ("fieldConfigList.[].compressionCodec", Listed),
    ("fieldConfigList.[].timestampConfig.granularities", Read),
    ("fieldConfigList.[].properties", Listed),
    ("fieldConfigList.[].tierOverwrites", Listed),
    ("upsertConfig", Refused("upsert is not built yet: remove it, or set mode NONE; every row would be kept")),
    ("dedupConfig", Refused("deduplication is not built yet: remove it; every row would be kept")),
    ("dimensionTableConfig", Refused("dimension tables are not built: remove it")),
    ("ingestionConfig.streamIngestionConfig.streamConfigMaps", Read),
    ("ingestionConfig.streamIngestionConfig.columnMajorSegmentBuilderEnabled", Ignored("segments are built by column")),
    ("ingestionConfig.streamIngestionConfig.trackFilteredMessageOffsets", Listed),
    (
        "ingestionConfig.streamIngestionConfig.pauselessConsumptionEnabled",
        Ignored("consumption never pauses for a commit"),
    ),
    ("ingestionConfig.streamIngestionConfig.enforceConsumptionInOrder", Ignored("partitions are always read in order")),
    ("ingestionConfig.streamIngestionConfig.useIdealStateToCalculatePreviousSegment", Ignored(DEFAULTS)),
    ("ingestionConfig.streamIngestionConfig.parallelSegmentConsumptionPolicy", Listed),
    ("ingestionConfig.streamIngestionConfig.disasterRecoveryMode", Listed),
    (
        "ingestionConfig.streamIngestionConfig.realtimeOffsetAutoResetHandlerClass",
        Refused(
            "handlers of other makers are not run: remove it; realtime.segment.offsetAutoReset.* pass over a backlog and record it",
        ),
    ),
    ("ingestionConfig.streamIngestionConfig.dropRecordOnPartitionMismatch", Read),
    ("ingestionConfig.streamIngestionConfig.oomProtection", Ignored("memory is bounded by the node's budget")),
    ("ingestionConfig.batchIngestionConfig", Ignored("concerns batch loads")),
    ("ingestionConfig.sourceFieldConfigs.[].name", Read),
    ("ingestionConfig.sourceFieldConfigs.[].dataType", Read),
    ("ingestionConfig.sourceFieldConfigs.[].preComplexTypeTransform", Read),
    ("ingestionConfig.filterConfig.filterFunction", Read),
    ("ingestionConfig.transformConfigs.[].columnName", Read),
    ("ingestionConfig.transformConfigs.[].transformFunction", Read),
    ("ingestionConfig.enrichmentConfigs.[].enricherType", Read),
    ("ingestionConfig.enrichmentConfigs.[].properties", Read),
    ("ingestionConfig.enrichmentConfigs.[].preComplexTypeTransform", Read),
    ("ingestionConfig.complexTypeConfig.fieldsToUnnest", Read),
    ("ingestionConfig.complexTypeConfig.delimiter", Read),
    ("ingestionConfig.complexTypeConfig.collectionNotUnnestedToJson", Read),
    ("ingestionConfig.complexTypeConfig.prefixesToRename", Read),
    ("ingestionConfig.schemaConformingTransformerConfig", Read),
    ("ingestionConfig.schemaConformingTransformerV2Config", Read),
    (
        "ingestionConfig.aggregationConfigs",
        Refused(
            "rows are not aggregated while they arrive, they stay one for each record: remove it and aggregate in the query, \
             as in SELECT country, SUM(amount) .. GROUP BY country",
        ),
    ),
    ("ingestionConfig.continueOnError", Read),
    ("ingestionConfig.rowTimeValueCheck", Read),
    ("ingestionConfig.segmentTimeValueCheck", Ignored("a seal never fails on data")),
    ("ingestionConfig.retryOnSegmentBuildPrecheckFailure", Ignored("a seal is tried until it succeeds")),
    ("ingestionConfig.maxConsecutiveRecordFetchFailuresAllowed", Ignored("concerns batch loads")),
    (
        "ingestionConfig.ingestionExceptionLogRateLimitPerMin",
        Ignored("rejected records stand in the quarantine, not in the log"),
    ),
    ("instanceAssignmentConfigMap", Listed),
    ("instancePartitionsMap", Listed),
    ("segmentAssignmentConfigMap", Listed),
    ("tierConfigs", Listed),
    ("tunerConfigs", Listed),
    ("tableSamplers", Listed),
];

/// Keys of a stream map; `stream.T.` is the stream's own prefix, a final `*` is any rest.
pub(super) const STREAM_KEYS: &[(&str, Treatment)] = &[
    ("streamType", Read),
    ("stream.T.topic.name", Read),
    ("stream.T.topic.pattern", Read),
    ("stream.T.partition.ids", Read),
    ("stream.T.decoder.class.name", Read),
    ("stream.T.decoder.prop.*", Read),
    ("stream.T.consumer.prop.auto.offset.reset", Read),
    ("stream.T.consumer.prop.*", Listed),
    ("stream.T.fetch.timeout.millis", Read),
    ("stream.T.connection.timeout.millis", Ignored("the client's own settings hold")),
    ("stream.T.idle.timeout.millis", Ignored("a quiet partition keeps its consumer")),
    ("stream.T.consumer.factory.class.name", Ignored("streamType names the connector")),
    ("stream.T.consumer.type", Ignored("partitions are always read one by one")),
    ("stream.T.metadata.populate", Read),
    ("stream.T.error.policy", Read),
    ("stream.T.quarantine.max.age", Read),
    ("stream.T.quarantine.max.size", Read),
    ("stream.T.lagging.after", Read),
    ("stream.kafka.broker.list", Read),
    ("stream.kafka.isolation.level", Read),
    ("stream.kafka.buffer.size", Ignored("never had an effect")),
    ("stream.kafka.socket.timeout", Ignored("never had an effect")),
    ("stream.kafka.fetcher.size", Ignored("never had an effect")),
    ("stream.kafka.fetcher.minBytes", Ignored("never had an effect")),
    ("stream.kafka.zk.broker.url", Ignored("brokers are asked directly")),
    ("stream.kafka.hlc.*", Ignored("partitions are always read one by one")),
    ("stream.kafka.ssl.server.certificate", Read),
    ("stream.kafka.ssl.certificate.type", Read),
    ("stream.kafka.ssl.client.certificate", Read),
    ("stream.kafka.ssl.client.key", Read),
    ("stream.kafka.ssl.client.key.algorithm", Ignored("the key says it itself")),
    ("stream.pulsar.bootstrap.servers", Read),
    ("stream.pulsar.authenticationToken", Read),
    ("stream.pulsar.tlsTrustCertsFilePath", Read),
    ("stream.pulsar.issuerUrl", Read),
    ("stream.pulsar.credsFilePath", Read),
    ("stream.pulsar.audience", Read),
    ("stream.pulsar.scope", Read),
    ("stream.pulsar.enableKeyValueStitch", Read),
    ("stream.pulsar.serviceHttpUrl", Ignored("the brokers list topics and partitions themselves")),
    ("stream.pulsar.metadata.fields", Ignored("a column is filled as soon as the schema has it")),
    ("config.providers*", Ignored("`${env:NAME}` and `${file:/path:key}` are looked up without a provider")),
    ("stream.local.partitions", Read),
    ("stream.memory.partitions", Read),
    ("topic.consumption.rate.limit", Read),
    ("partition.consumption.rate.limit", Read),
    ("stopOnDecodeError", Read),
    ("realtime.segment.flush.threshold.rows", Read),
    ("realtime.segment.flush.threshold.rows.llc", Read),
    ("realtime.segment.flush.threshold.size", Read),
    ("realtime.segment.flush.threshold.size.llc", Read),
    ("realtime.segment.flush.threshold.segment.rows", Read),
    ("realtime.segment.flush.threshold.segment.rows.llc", Read),
    ("realtime.segment.flush.threshold.segment.size", Read),
    ("realtime.segment.flush.threshold.segment.size.llc", Read),
    ("realtime.segment.flush.desired.size", Read),
    ("realtime.segment.flush.desired.size.llc", Read),
    ("realtime.segment.flush.threshold.time", Read),
    ("realtime.segment.flush.threshold.time.llc", Read),
    ("realtime.segment.flush.threshold.variance.fraction", Read),
    ("realtime.segment.flush.autotune.initialRows", Read),
    ("realtime.segment.commit.timeoutSeconds", Ignored("a commit is tried until it succeeds")),
    ("realtime.segment.serverUploadToDeepStore", Ignored("the node that built a segment uploads it")),
    ("realtime.segment.pauseless.download.timeoutSeconds", Listed),
    ("realtime.segment.offsetAutoReset.enable", Read),
    ("realtime.segment.offsetAutoReset.offsetThreshold", Read),
    ("realtime.segment.offsetAutoReset.timeThresholdSeconds", Read),
    (
        "realtime.segment.isBackfillTopic",
        Refused("backfill topics are not built: set false, or make it a topic of the table"),
    ),
    ("key.deserializer", Ignored("records are read as bytes")),
    ("value.deserializer", Ignored("records are read as bytes")),
];

/// Keys of a stream map of Kinesis: they have no prefix.
pub(super) const KINESIS_KEYS: &[(&str, Treatment)] = &[
    ("region", Read),
    ("endpoint", Read),
    ("accessKey", Read),
    ("secretKey", Read),
    ("maxRecordsToFetch", Read),
    ("requests_per_second_limit", Read),
    ("iamRoleBasedAccessEnabled", Read),
    ("roleArn", Ignored("roles are not assumed: iamRoleBasedAccessEnabled is refused")),
    ("roleSessionName", Ignored("as roleArn")),
    ("externalId", Ignored("as roleArn")),
    ("sessionDurationSeconds", Ignored("as roleArn")),
    ("asyncSessionUpdateEnabled", Ignored("as roleArn")),
    ("shardIteratorType", Ignored("stream.kinesis.consumer.prop.auto.offset.reset says where a table starts")),
    ("metadata.populate", Ignored("a column is filled as soon as the schema has it")),
];

/// Settings of a connector that was added to the binary.
const OWN_KEYS: &[(&str, Treatment)] = &[("stream.T.prop.*", Read)];

/// Kafka client settings, under the client's own names, are handed to the client as they are.
pub(super) const CLIENT_KEYS: &str = "any other key without one of the prefixes above, streamType kafka";

impl Treatment {
    /// The word of the reference page.
    pub(super) fn word(self) -> &'static str {
        match self {
            Read => "read",
            Refused(_) | RefusedIndex(_) => "refused",
            Listed | ListedIndex => "listed",
            Ignored(_) => "ignored",
        }
    }

    /// Why, for the reference page.
    pub(super) fn note(self) -> &'static str {
        match self {
            Refused(note) | RefusedIndex(note) | Ignored(note) => note,
            Read | Listed | ListedIndex => "",
        }
    }
}

/// Where a path of the table config leads.
#[derive(Clone, Copy)]
pub(super) enum Found {
    /// To a rule.
    Rule(Treatment),
    /// To keys below it; `true` = it is a list.
    Branch {
        /// Whether it is a list.
        list: bool,
    },
    /// Nowhere.
    Nothing,
}

/// Finds what becomes of a path, given as its parts (`[]` for an item of a list).
pub(super) fn find(parts: &[&str]) -> Found {
    let mut branch = Found::Nothing;
    for (path, treatment) in TABLE_KEYS {
        let mut rule = path.split('.');
        let mut rest = parts.iter();
        loop {
            match (rule.next(), rest.next()) {
                (None, _) => return Found::Rule(*treatment),
                (Some(next), None) => {
                    branch = Found::Branch { list: next == "[]" };
                    break;
                }
                (Some(pattern), Some(part)) if pattern == *part || (pattern == "*" && *part != "[]") => {}
                _ => break,
            }
        }
    }
    branch
}

/// Finds what becomes of a key of a stream map; the first rule that fits holds.
pub(super) fn find_stream(key: &str, stream_type: &str) -> Option<Treatment> {
    let fits = |rule: &str| {
        let rule = rule.replacen("stream.T.", &format!("stream.{stream_type}."), 1);
        match rule.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == rule,
        }
    };
    if let Some(rest) = key.strip_prefix("stream.") {
        let own = rest.strip_prefix(stream_type).is_some_and(|rest| rest.starts_with('.'));
        if !own {
            return None;
        }
    }
    let own = match stream_type {
        "kinesis" => KINESIS_KEYS,
        "kafka" | "local" | "memory" | "pulsar" => &[],
        _ => OWN_KEYS,
    };
    own.iter().chain(STREAM_KEYS).find(|(rule, _)| fits(rule)).map(|(_, treatment)| *treatment)
}

/// Whether a value asks for nothing: null, false, empty, NONE, or a composite of such.
pub(super) fn is_harmless(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(truth) => !truth,
        Json::String(text) => {
            ["", "false", "NONE", "DEFAULT"].iter().any(|nothing| text.trim().eq_ignore_ascii_case(nothing))
        }
        Json::Number(number) => number.as_f64().is_some_and(|number| number <= 0.0),
        Json::Array(items) => items.iter().all(is_harmless),
        Json::Object(object) => {
            let mode = object.get("mode").and_then(Json::as_str);
            mode.is_some_and(|mode| mode.eq_ignore_ascii_case("NONE")) || object.values().all(is_harmless)
        }
    }
}

/// Whether the options of an index switch it off.
pub(super) fn is_index_off(options: &Json) -> bool {
    let is = |key: &str, truth: bool| {
        let value = options.get(key);
        value.is_some_and(|value| {
            *value == Json::Bool(truth) || value.as_str() == Some(if truth { "true" } else { "false" })
        })
    };
    options.is_null() || is("disabled", true) || is("enabled", false)
}

#[cfg(test)]
#[path = "keys_test.rs"]
mod tests;
