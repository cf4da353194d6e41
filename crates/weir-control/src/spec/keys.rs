//! Every key of Pinot's table config with its kind and what becomes of it, in one table: the walk over a config, the reference page
//! and a test are driven by it.
//!
//! Paths are dotted; `*` is any key, `[]` any item of a list. A rule covers everything below its path.

use crate::spec::kind::Kind::{self, Index, Map, Number, Object, Objects, Size, Text, Texts, Truth, Whole, Words};
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

/// A path, what kind of value it holds, and what becomes of it.
pub(super) type Key = (&'static str, Kind, Treatment);

/// All keys, in the order of Pinot's classes.
pub(super) const TABLE_KEYS: &[Key] = &[
    ("tableName", Text, Read),
    ("tableType", Text, Read),
    ("isDimTable", Truth, Refused("dimension tables are not built: set false and load the rows through a stream")),
    ("segmentsConfig.timeColumnName", Text, Read),
    ("segmentsConfig.replication", Whole, Read),
    ("segmentsConfig.replicasPerPartition", Whole, Read),
    ("segmentsConfig.schemaName", Text, Read),
    ("segmentsConfig.retentionTimeUnit", Text, Read),
    ("segmentsConfig.retentionTimeValue", Whole, Read),
    ("segmentsConfig.deletedSegmentsRetentionPeriod", Text, Read),
    ("segmentsConfig.untrackedSegmentsDeletionEnabled", Truth, Listed),
    ("segmentsConfig.untrackedSegmentsRetentionTimeUnit", Text, Listed),
    ("segmentsConfig.untrackedSegmentsRetentionTimeValue", Whole, Listed),
    ("segmentsConfig.segmentPushFrequency", Text, Ignored("concerns batch loads")),
    ("segmentsConfig.segmentPushType", Text, Ignored("concerns batch loads")),
    ("segmentsConfig.timeType", Text, Ignored("the schema's date-time format says it")),
    ("segmentsConfig.replicaGroupStrategyConfig", Object, Listed),
    ("segmentsConfig.completionConfig", Object, Listed),
    ("segmentsConfig.crypterClassName", Text, Listed),
    ("segmentsConfig.minimizeDataMovement", Truth, Listed),
    ("segmentsConfig.segmentAssignmentStrategy", Text, Listed),
    ("segmentsConfig.peerSegmentDownloadScheme", Text, Listed),
    ("tenants.broker", Text, Ignored("there is one tenant")),
    ("tenants.server", Text, Ignored("there is one tenant")),
    ("tenants.tagOverrideConfig", Map, Listed),
    ("tableIndexConfig.streamConfigs", Object, Read),
    ("tableIndexConfig.invertedIndexColumns", Texts, Read),
    ("tableIndexConfig.rangeIndexColumns", Texts, Read),
    ("tableIndexConfig.rangeIndexVersion", Whole, Ignored(DEFAULTS)),
    ("tableIndexConfig.sortedColumn", Texts, Read),
    ("tableIndexConfig.noDictionaryColumns", Texts, Read),
    ("tableIndexConfig.noDictionaryConfig", Map, Read),
    ("tableIndexConfig.nullHandlingEnabled", Truth, Read),
    ("tableIndexConfig.jsonIndexColumns", Texts, Refused(JSON_INDEX)),
    ("tableIndexConfig.jsonIndexConfigs", Object, Refused(JSON_INDEX)),
    ("tableIndexConfig.multiColumnTextIndexConfig", Object, Refused(TEXT)),
    (
        "tableIndexConfig.aggregateMetrics",
        Truth,
        Refused(
            "rows are not rolled up while they arrive, they stay one for each record: set false and sum in the query, as in \
             SELECT country, SUM(amount) .. GROUP BY country",
        ),
    ),
    ("tableIndexConfig.bloomFilterColumns", Texts, Listed),
    ("tableIndexConfig.bloomFilterConfigs", Object, Listed),
    ("tableIndexConfig.starTreeIndexConfigs", Objects, Listed),
    ("tableIndexConfig.enableDefaultStarTree", Truth, Listed),
    ("tableIndexConfig.enableDynamicStarTreeCreation", Truth, Listed),
    ("tableIndexConfig.segmentPartitionConfig", Object, Read),
    ("tableIndexConfig.onHeapDictionaryColumns", Texts, Ignored(DEFAULTS)),
    ("tableIndexConfig.varLengthDictionaryColumns", Texts, Ignored(DEFAULTS)),
    ("tableIndexConfig.loadMode", Text, Ignored("sealed segments are always mapped")),
    ("tableIndexConfig.lazyLoad", Truth, Ignored(DEFAULTS)),
    ("tableIndexConfig.segmentFormatVersion", Text, Ignored(DEFAULTS)),
    (
        "tableIndexConfig.columnMinMaxValueGeneratorMode",
        Text,
        Ignored("every column has its smallest and greatest value"),
    ),
    ("tableIndexConfig.optimizeDictionary", Truth, Listed),
    ("tableIndexConfig.optimizeDictionaryForMetrics", Truth, Listed),
    ("tableIndexConfig.optimizeDictionaryType", Truth, Listed),
    ("tableIndexConfig.noDictionarySizeRatioThreshold", Number, Listed),
    ("tableIndexConfig.noDictionaryCardinalityRatioThreshold", Number, Listed),
    ("tableIndexConfig.optimizeNoDictStatsCollection", Truth, Ignored(DEFAULTS)),
    ("tableIndexConfig.autoGeneratedInvertedIndex", Truth, Listed),
    (
        "tableIndexConfig.createInvertedIndexDuringSegmentGeneration",
        Truth,
        Ignored("indexes are built when a segment is sealed"),
    ),
    ("tableIndexConfig.columnMajorSegmentBuilderEnabled", Truth, Ignored("segments are built by column")),
    ("tableIndexConfig.skipSegmentPreprocess", Truth, Ignored(DEFAULTS)),
    ("tableIndexConfig.segmentNameGeneratorType", Text, Ignored(DEFAULTS)),
    ("tableIndexConfig.fstIndexType", Text, Ignored(DEFAULTS)),
    ("tableIndexConfig.compressionStatsEnabled", Truth, Listed),
    ("tableIndexConfig.tierOverwrites", Object, Listed),
    ("metadata", Object, Ignored("kept as it is, for people and tools")),
    ("quota.storage", Size, Listed),
    ("quota.maxQueriesPerSecond", Number, Listed),
    ("quota.rateLimiterUnit", Text, Listed),
    ("quota.rateLimiterDuration", Number, Listed),
    ("task", Object, Listed),
    ("routing", Object, Listed),
    ("query.timeoutMs", Whole, Listed),
    ("query.disableGroovy", Truth, Ignored("no Groovy is run")),
    ("query.useApproximateFunction", Truth, Listed),
    ("query.expressionOverrideMap", Map, Listed),
    ("query.maxQueryResponseSizeBytes", Whole, Listed),
    ("query.maxServerResponseSizeBytes", Whole, Listed),
    ("fieldConfigList.[].name", Text, Read),
    ("fieldConfigList.[].encodingType", Text, Read),
    ("fieldConfigList.[].indexType", Text, Read),
    ("fieldConfigList.[].indexTypes", Texts, Read),
    ("fieldConfigList.[].indexes.inverted", Index, Read),
    ("fieldConfigList.[].indexes.range", Index, Read),
    ("fieldConfigList.[].indexes.dictionary", Index, Read),
    ("fieldConfigList.[].indexes.forward", Index, Listed),
    ("fieldConfigList.[].indexes.bloom", Index, ListedIndex),
    ("fieldConfigList.[].indexes.fst", Index, ListedIndex),
    ("fieldConfigList.[].indexes.ifst", Index, ListedIndex),
    ("fieldConfigList.[].indexes.h3", Index, ListedIndex),
    ("fieldConfigList.[].indexes.null", Index, Ignored("nulls are kept where null handling is on")),
    ("fieldConfigList.[].indexes.text", Index, RefusedIndex(TEXT)),
    ("fieldConfigList.[].indexes.json", Index, RefusedIndex(JSON_INDEX)),
    ("fieldConfigList.[].indexes.vector", Index, RefusedIndex(VECTOR)),
    ("fieldConfigList.[].indexes.open_struct", Index, RefusedIndex(OPEN)),
    ("fieldConfigList.[].compressionCodec", Text, Listed),
    ("fieldConfigList.[].timestampConfig.granularities", Texts, Read),
    ("fieldConfigList.[].properties", Map, Listed),
    ("fieldConfigList.[].tierOverwrites", Object, Listed),
    ("upsertConfig", Object, Refused("upsert is not built yet: remove it, or set mode NONE; every row would be kept")),
    ("dedupConfig", Object, Refused("deduplication is not built yet: remove it; every row would be kept")),
    ("dimensionTableConfig", Object, Refused("dimension tables are not built: remove it")),
    ("ingestionConfig.streamIngestionConfig.streamConfigMaps", Objects, Read),
    (
        "ingestionConfig.streamIngestionConfig.columnMajorSegmentBuilderEnabled",
        Truth,
        Ignored("segments are built by column"),
    ),
    ("ingestionConfig.streamIngestionConfig.trackFilteredMessageOffsets", Truth, Listed),
    (
        "ingestionConfig.streamIngestionConfig.pauselessConsumptionEnabled",
        Truth,
        Ignored("consumption never pauses for a commit"),
    ),
    (
        "ingestionConfig.streamIngestionConfig.enforceConsumptionInOrder",
        Truth,
        Ignored("partitions are always read in order"),
    ),
    ("ingestionConfig.streamIngestionConfig.useIdealStateToCalculatePreviousSegment", Truth, Ignored(DEFAULTS)),
    ("ingestionConfig.streamIngestionConfig.parallelSegmentConsumptionPolicy", Text, Listed),
    ("ingestionConfig.streamIngestionConfig.disasterRecoveryMode", Text, Listed),
    (
        "ingestionConfig.streamIngestionConfig.realtimeOffsetAutoResetHandlerClass",
        Text,
        Refused(
            "handlers of other makers are not run: remove it; realtime.segment.offsetAutoReset.* pass over a backlog and record it",
        ),
    ),
    ("ingestionConfig.streamIngestionConfig.dropRecordOnPartitionMismatch", Truth, Read),
    ("ingestionConfig.streamIngestionConfig.oomProtection", Text, Ignored("memory is bounded by the node's budget")),
    ("ingestionConfig.batchIngestionConfig", Object, Ignored("concerns batch loads")),
    ("ingestionConfig.sourceFieldConfigs.[].name", Words, Read),
    ("ingestionConfig.sourceFieldConfigs.[].dataType", Words, Read),
    ("ingestionConfig.sourceFieldConfigs.[].preComplexTypeTransform", Truth, Read),
    ("ingestionConfig.filterConfig.filterFunction", Words, Read),
    ("ingestionConfig.transformConfigs.[].columnName", Words, Read),
    ("ingestionConfig.transformConfigs.[].transformFunction", Words, Read),
    ("ingestionConfig.enrichmentConfigs.[].enricherType", Words, Read),
    ("ingestionConfig.enrichmentConfigs.[].properties", Object, Read),
    ("ingestionConfig.enrichmentConfigs.[].preComplexTypeTransform", Truth, Read),
    ("ingestionConfig.complexTypeConfig.fieldsToUnnest", Texts, Read),
    ("ingestionConfig.complexTypeConfig.delimiter", Words, Read),
    ("ingestionConfig.complexTypeConfig.collectionNotUnnestedToJson", Text, Read),
    ("ingestionConfig.complexTypeConfig.prefixesToRename", Map, Read),
    ("ingestionConfig.schemaConformingTransformerConfig", Object, Read),
    ("ingestionConfig.schemaConformingTransformerV2Config", Object, Read),
    (
        "ingestionConfig.aggregationConfigs",
        Objects,
        Refused(
            "rows are not aggregated while they arrive, they stay one for each record: remove it and aggregate in the query, \
             as in SELECT country, SUM(amount) .. GROUP BY country",
        ),
    ),
    ("ingestionConfig.continueOnError", Truth, Read),
    ("ingestionConfig.rowTimeValueCheck", Truth, Read),
    ("ingestionConfig.segmentTimeValueCheck", Truth, Ignored("a seal never fails on data")),
    ("ingestionConfig.retryOnSegmentBuildPrecheckFailure", Truth, Ignored("a seal is tried until it succeeds")),
    ("ingestionConfig.maxConsecutiveRecordFetchFailuresAllowed", Whole, Ignored("concerns batch loads")),
    (
        "ingestionConfig.ingestionExceptionLogRateLimitPerMin",
        Whole,
        Ignored("rejected records stand in the quarantine, not in the log"),
    ),
    ("instanceAssignmentConfigMap", Object, Listed),
    ("instancePartitionsMap", Map, Listed),
    ("segmentAssignmentConfigMap", Object, Listed),
    ("tierConfigs", Objects, Listed),
    ("tunerConfigs", Objects, Listed),
    ("tableSamplers", Objects, Listed),
];

/// Keys of a stream map; `stream.T.` is the stream's own prefix, a final `*` is any rest.
pub(super) const STREAM_KEYS: &[Key] = &[
    ("streamType", Text, Read),
    ("stream.T.topic.name", Text, Read),
    ("stream.T.topic.pattern", Text, Read),
    ("stream.T.partition.ids", Text, Read),
    ("stream.T.decoder.class.name", Text, Read),
    ("stream.T.decoder.prop.*", Text, Read),
    ("stream.T.consumer.prop.auto.offset.reset", Text, Read),
    ("stream.T.consumer.prop.*", Text, Listed),
    ("stream.T.fetch.timeout.millis", Text, Read),
    ("stream.T.connection.timeout.millis", Text, Ignored("the client's own settings hold")),
    ("stream.T.idle.timeout.millis", Text, Ignored("a quiet partition keeps its consumer")),
    ("stream.T.consumer.factory.class.name", Text, Ignored("streamType names the connector")),
    ("stream.T.consumer.type", Text, Ignored("partitions are always read one by one")),
    ("stream.T.metadata.populate", Truth, Read),
    ("stream.T.error.policy", Text, Read),
    ("stream.T.quarantine.max.age", Text, Read),
    ("stream.T.quarantine.max.size", Text, Read),
    ("stream.T.lagging.after", Text, Read),
    ("stream.kafka.broker.list", Text, Read),
    ("stream.kafka.isolation.level", Text, Read),
    ("stream.kafka.buffer.size", Text, Ignored("never had an effect")),
    ("stream.kafka.socket.timeout", Text, Ignored("never had an effect")),
    ("stream.kafka.fetcher.size", Text, Ignored("never had an effect")),
    ("stream.kafka.fetcher.minBytes", Text, Ignored("never had an effect")),
    ("stream.kafka.zk.broker.url", Text, Ignored("brokers are asked directly")),
    ("stream.kafka.hlc.*", Text, Ignored("partitions are always read one by one")),
    ("stream.kafka.ssl.server.certificate", Text, Read),
    ("stream.kafka.ssl.certificate.type", Text, Read),
    ("stream.kafka.ssl.client.certificate", Text, Read),
    ("stream.kafka.ssl.client.key", Text, Read),
    ("stream.kafka.ssl.client.key.algorithm", Text, Ignored("the key says it itself")),
    ("stream.pulsar.bootstrap.servers", Text, Read),
    ("stream.pulsar.authenticationToken", Text, Read),
    ("stream.pulsar.tlsTrustCertsFilePath", Text, Read),
    ("stream.pulsar.issuerUrl", Text, Read),
    ("stream.pulsar.credsFilePath", Text, Read),
    ("stream.pulsar.audience", Text, Read),
    ("stream.pulsar.scope", Text, Read),
    ("stream.pulsar.enableKeyValueStitch", Truth, Read),
    ("stream.pulsar.serviceHttpUrl", Text, Ignored("the brokers list topics and partitions themselves")),
    ("stream.pulsar.metadata.fields", Text, Ignored("a column is filled as soon as the schema has it")),
    ("config.providers*", Text, Ignored("`${env:NAME}` and `${file:/path:key}` are looked up without a provider")),
    ("stream.local.partitions", Whole, Read),
    ("stream.memory.partitions", Whole, Read),
    ("topic.consumption.rate.limit", Number, Read),
    ("partition.consumption.rate.limit", Number, Read),
    ("stopOnDecodeError", Truth, Read),
    ("realtime.segment.flush.threshold.rows", Whole, Read),
    ("realtime.segment.flush.threshold.rows.llc", Whole, Read),
    ("realtime.segment.flush.threshold.size", Whole, Read),
    ("realtime.segment.flush.threshold.size.llc", Whole, Read),
    ("realtime.segment.flush.threshold.segment.rows", Whole, Read),
    ("realtime.segment.flush.threshold.segment.rows.llc", Whole, Read),
    ("realtime.segment.flush.threshold.segment.size", Text, Read),
    ("realtime.segment.flush.threshold.segment.size.llc", Text, Read),
    ("realtime.segment.flush.desired.size", Text, Read),
    ("realtime.segment.flush.desired.size.llc", Text, Read),
    ("realtime.segment.flush.threshold.time", Text, Read),
    ("realtime.segment.flush.threshold.time.llc", Text, Read),
    ("realtime.segment.flush.threshold.variance.fraction", Number, Read),
    ("realtime.segment.flush.autotune.initialRows", Whole, Read),
    ("realtime.segment.commit.timeoutSeconds", Whole, Ignored("a commit is tried until it succeeds")),
    ("realtime.segment.serverUploadToDeepStore", Truth, Ignored("the node that built a segment uploads it")),
    ("realtime.segment.pauseless.download.timeoutSeconds", Whole, Listed),
    ("realtime.segment.offsetAutoReset.enable", Truth, Read),
    ("realtime.segment.offsetAutoReset.offsetThreshold", Whole, Read),
    ("realtime.segment.offsetAutoReset.timeThresholdSeconds", Whole, Read),
    (
        "realtime.segment.isBackfillTopic",
        Truth,
        Refused("backfill topics are not built: set false, or make it a topic of the table"),
    ),
    ("key.deserializer", Text, Ignored("records are read as bytes")),
    ("value.deserializer", Text, Ignored("records are read as bytes")),
];

/// Keys of a stream map of Kinesis: they have no prefix.
pub(super) const KINESIS_KEYS: &[Key] = &[
    ("region", Text, Read),
    ("endpoint", Text, Read),
    ("accessKey", Text, Read),
    ("secretKey", Text, Read),
    ("maxRecordsToFetch", Whole, Read),
    ("requests_per_second_limit", Number, Read),
    ("iamRoleBasedAccessEnabled", Truth, Read),
    ("roleArn", Text, Read),
    ("roleSessionName", Text, Read),
    ("externalId", Text, Read),
    ("sessionDurationSeconds", Whole, Read),
    ("asyncSessionUpdateEnabled", Truth, Read),
    ("shardIteratorType", Text, Ignored("stream.kinesis.consumer.prop.auto.offset.reset says where a table starts")),
    ("metadata.populate", Truth, Ignored("a column is filled as soon as the schema has it")),
];

/// Settings of a connector that was added to the binary.
const OWN_KEYS: &[Key] = &[("stream.T.prop.*", Text, Read)];

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
    Rule(Kind, Treatment),
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
    for (path, kind, treatment) in TABLE_KEYS {
        let mut rule = path.split('.');
        let mut rest = parts.iter();
        loop {
            match (rule.next(), rest.next()) {
                (None, _) => return Found::Rule(*kind, *treatment),
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
pub(super) fn find_stream(key: &str, stream_type: &str) -> Option<(Kind, Treatment)> {
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
    own.iter().chain(STREAM_KEYS).find(|(rule, ..)| fits(rule)).map(|(_, kind, treatment)| (*kind, *treatment))
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
