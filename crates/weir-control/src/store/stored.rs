//! How records lie in the catalog: JSON with a version `v`, read back strictly.
//!
//! A table's settings are stored as the JSON they came in and are read again by `spec`, so that there is one reader of
//! them; the decoders that the registry resolved are stored beside it, since class names are known elsewhere.

use crate::{
    flush::{FlushMemory, Lesson, Limits},
    records::{
        Artifact, OpenSize, PauseInfo, ReplayPart, ReplayRecord, ReplaySegment, Seal, SealReason, SegmentRecord,
        SegmentState, StoredSchema, TableRecord, TimeRange,
    },
    spec::{self, StoredDecoders},
    store::StoreError,
    topics::{PartPause, Retired, streams_of},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use weir_types::{
    Accounting, ColumnName, NextOffset, OffsetRange, Schema, SchemaVersion, SegmentName, Skip, SkipReason,
    StreamPartition, TopicName,
};

/// The version that this release writes; it reads 1 up to this.
pub(super) const V: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct StoredTable {
    v: u32,
    pub(super) uid: u64,
    config: Json,
    schema: Json,
    pub(super) schema_version: u32,
    decoders: StoredNames,
    created_ms: i64,
    paused: Option<StoredPause>,
    part_pauses: Vec<StoredPartPause>,
    /// Topics and their numbers.
    topics: BTreeMap<String, u32>,
    retired: Vec<StoredRetired>,
}

/// Our names of decoders, in the order of a table's streams and of its patterns.
#[derive(Serialize, Deserialize)]
struct StoredNames {
    topics: Vec<String>,
    patterns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredPartPause {
    topic: String,
    partition: Option<u32>,
    pause: StoredPause,
}

/// Topics that are not read any more, with the config that read them.
#[derive(Serialize, Deserialize)]
struct StoredRetired {
    topics: Vec<String>,
    config: Json,
    decoders: StoredNames,
}

#[derive(Serialize, Deserialize)]
struct StoredPause {
    reason: String,
    comment: String,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredSchemaJson {
    v: u32,
    schema: Json,
}

#[derive(Serialize, Deserialize)]
struct StoredSegment {
    v: u32,
    name: String,
    uid: u64,
    topic: String,
    partition: u32,
    rows_limit: u64,
    /// Absent in records from before it was learnt.
    file_permille: Option<u32>,
    created_ms: i64,
    schema_version: u32,
    replicas: Vec<Arc<str>>,
    start: u64,
    /// Absent while it is consuming.
    end: Option<u64>,
    seal: Option<StoredSeal>,
    artifact: Option<StoredArtifact>,
}

#[derive(Serialize, Deserialize)]
struct StoredSeal {
    reason: String,
    at_ms: i64,
    counts: StoredCounts,
    /// Absent in records from before sizes were noted.
    size: Option<StoredSize>,
}

#[derive(Serialize, Deserialize)]
struct StoredSize {
    column_bytes: u64,
    predicted_bytes: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredCounts {
    fetched: u64,
    stored: u64,
    filtered: u64,
    tombstones: u64,
    rejected: u64,
    replayed: u64,
    gaps: u64,
    skipped: u64,
    rows: u64,
    altered: u64,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredArtifact {
    uri: String,
    key: String,
    crc: u32,
    byte_count: u64,
    rows: u64,
    min_time_ms: Option<i64>,
    max_time_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_range: Option<StoredTimeRange>,
    built_ms: i64,
    uploaded_ms: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missing_indexes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredTimeRange {
    column: String,
    min: i64,
    max: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredReplay {
    v: u32,
    uid: u64,
    number: u64,
    at_ms: i64,
    schema_version: u32,
    parts: Vec<StoredReplayPart>,
}

#[derive(Serialize, Deserialize)]
struct StoredReplayPart {
    topic: String,
    partition: u32,
    reading: u32,
    offsets: Vec<u64>,
    altered: u64,
    segment: Option<StoredReplaySegment>,
}

#[derive(Serialize, Deserialize)]
struct StoredReplaySegment {
    name: Arc<str>,
    artifact: StoredArtifact,
    removed_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct StoredSkip {
    v: u32,
    topic: String,
    partition: u32,
    start: u64,
    end: u64,
    reason: String,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredMemory {
    v: u32,
    rows_per_byte: Option<f64>,
    /// Absent in records from before it was learnt.
    file_share: Option<f64>,
    last_limit: u64,
    last: Option<StoredLesson>,
}

#[derive(Serialize, Deserialize)]
struct StoredLesson {
    rows: u64,
    byte_count: u64,
    rows_limit: u64,
    age_ms: Option<u64>,
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records hold no map with keys other than text")
}

/// Why stored bytes cannot be read; the key is added by `at`.
pub(super) type Reason = String;

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Reason> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let version: Version = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if version.v == 0 || version.v > V {
        return Err(format!("it has version {}, this release reads 1 to {V}", version.v));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

pub(super) fn at<T>(key: &str, result: Result<T, Reason>) -> Result<T, StoreError> {
    result.map_err(|reason| StoreError::Unreadable { key: key.to_owned(), reason })
}

/// The table's stored form. Its version is not in it: the catalog knows it.
pub(super) fn encode_table(record: &TableRecord) -> Vec<u8> {
    encode(&StoredTable {
        v: V,
        uid: record.uid,
        config: record.config_json.clone(),
        schema: record.schema_json.clone(),
        schema_version: record.schema.version.0,
        decoders: stored_names(StoredDecoders::of(&record.spec)),
        created_ms: record.created_ms,
        paused: record.paused.as_ref().map(stored_pause),
        part_pauses: record.part_pauses.iter().map(stored_part_pause).collect(),
        topics: record.topics.iter().map(|(topic, number)| (topic.to_string(), *number)).collect(),
        retired: record.retired.iter().map(stored_retired).collect(),
    })
}

fn stored_names(decoders: StoredDecoders) -> StoredNames {
    StoredNames { topics: decoders.topics, patterns: decoders.patterns }
}

fn names(stored: StoredNames) -> StoredDecoders {
    StoredDecoders { topics: stored.topics, patterns: stored.patterns }
}

fn stored_pause(pause: &PauseInfo) -> StoredPause {
    StoredPause { reason: pause.reason.clone(), comment: pause.comment.clone(), at_ms: pause.at_ms }
}

fn pause(StoredPause { reason, comment, at_ms }: StoredPause) -> PauseInfo {
    PauseInfo { reason, comment, at_ms }
}

fn stored_part_pause(part: &PartPause) -> StoredPartPause {
    StoredPartPause { topic: part.topic.to_string(), partition: part.partition, pause: stored_pause(&part.pause) }
}

fn part_pause(stored: StoredPartPause) -> Result<PartPause, Reason> {
    Ok(PartPause { topic: topic(&stored.topic)?, partition: stored.partition, pause: pause(stored.pause) })
}

fn stored_retired(retired: &Retired) -> StoredRetired {
    StoredRetired {
        topics: retired.streams.iter().map(|stream| stream.topic.to_string()).collect(),
        config: retired.config_json.clone(),
        decoders: stored_names(retired.decoders.clone()),
    }
}

fn retired(stored: StoredRetired, schema: &Schema) -> Result<Retired, Reason> {
    let decoders = names(stored.decoders);
    let parsed = spec::reread_table(&stored.config, schema, &decoders).map_err(|errors| errors.to_string())?;
    let topics: Vec<TopicName> = stored.topics.iter().map(|name| topic(name)).collect::<Result<_, _>>()?;
    Ok(Retired { streams: streams_of(&parsed.spec, &topics), config_json: stored.config, decoders })
}

pub(super) fn topic(name: &str) -> Result<TopicName, Reason> {
    TopicName::parse(name).map_err(|error| error.to_string())
}

/// What every change of a segment needs to know of its table.
pub(super) fn peek_table(key: &str, bytes: &[u8]) -> Result<StoredTable, StoreError> {
    at(key, read(bytes))
}

pub(super) fn decode_table(key: &str, bytes: &[u8], version: u64) -> Result<TableRecord, StoreError> {
    let stored: StoredTable = at(key, read(bytes))?;
    at(key, table(stored, version))
}

fn table(stored: StoredTable, version: u64) -> Result<TableRecord, Reason> {
    let schema = spec::parse_schema(&stored.schema).map_err(|errors| errors.to_string())?;
    let mut schema = schema.schema;
    schema.version = SchemaVersion(stored.schema_version);
    let parsed =
        spec::reread_table(&stored.config, &schema, &names(stored.decoders)).map_err(|errors| errors.to_string())?;
    // A topic that is not read any more must not keep the table from being opened.
    let left = stored.retired.into_iter().map(|stored| retired(stored, &schema)).filter_map(|read| {
        read.inspect_err(|reason| tracing::warn!(reason, "how a topic was read that is read no more is not known")).ok()
    });
    let retired = left.collect();
    Ok(TableRecord {
        uid: stored.uid,
        spec: Arc::new(parsed.spec),
        schema: Arc::new(schema),
        config_json: stored.config,
        schema_json: stored.schema,
        unrecognized: parsed.unrecognized,
        not_yet_effective: parsed.not_yet_effective,
        created_ms: stored.created_ms,
        paused: stored.paused.map(pause),
        part_pauses: stored.part_pauses.into_iter().map(part_pause).collect::<Result<_, _>>()?,
        topics: stored
            .topics
            .into_iter()
            .map(|(name, number)| Ok((topic(&name)?, number)))
            .collect::<Result<_, Reason>>()?,
        retired,
        version,
    })
}

pub(super) fn encode_schema(json: &Json) -> Vec<u8> {
    encode(&StoredSchemaJson { v: V, schema: json.clone() })
}

pub(super) fn decode_schema(key: &str, bytes: &[u8], version: u64) -> Result<StoredSchema, StoreError> {
    let stored: StoredSchemaJson = at(key, read(bytes))?;
    let parsed = at(key, spec::parse_schema(&stored.schema).map_err(|errors| errors.to_string()))?;
    Ok(StoredSchema { schema: Arc::new(parsed.schema), json: parsed.json, version })
}

pub(super) fn encode_segment(record: &SegmentRecord) -> Vec<u8> {
    let (seal, artifact) = match &record.state {
        SegmentState::Consuming { .. } => (None, None),
        SegmentState::Committing { seal, .. } => (Some(seal), None),
        SegmentState::Done { seal, artifact, .. } => (Some(seal), Some(artifact)),
    };
    encode(&StoredSegment {
        v: V,
        name: record.name.to_string(),
        uid: record.table_uid,
        topic: record.partition.topic.to_string(),
        partition: record.partition.partition,
        rows_limit: record.limits.rows,
        file_permille: record.limits.file_permille,
        created_ms: record.created_ms,
        schema_version: record.schema_version.0,
        replicas: record.replicas.clone(),
        start: record.state.start().number(),
        end: record.state.range().map(|range| range.end().number()),
        seal: seal.map(stored_seal),
        artifact: artifact.map(stored_artifact),
    })
}

pub(super) fn decode_segment(key: &str, bytes: &[u8], version: u64) -> Result<SegmentRecord, StoreError> {
    at(key, read(bytes).and_then(|stored| segment(stored, version)))
}

fn segment(stored: StoredSegment, version: u64) -> Result<SegmentRecord, Reason> {
    let start = NextOffset::new(stored.start);
    let state = match (stored.end, stored.seal, stored.artifact) {
        (None, None, None) => SegmentState::Consuming { start },
        (Some(end), Some(seal), artifact) => {
            let range = OffsetRange::try_new(start, NextOffset::new(end)).map_err(|error| error.to_string())?;
            let seal = seal_of(seal)?;
            match artifact {
                None => SegmentState::Committing { range, seal },
                Some(artifact) => SegmentState::Done { range, seal, artifact: artifact_of(artifact)? },
            }
        }
        _ => return Err("it has an end, a seal or an artifact without the others".into()),
    };
    Ok(SegmentRecord {
        name: SegmentName::parse(&stored.name).map_err(|error| error.to_string())?,
        table_uid: stored.uid,
        partition: partition_of(&stored.topic, stored.partition)?,
        state,
        limits: Limits { rows: stored.rows_limit, file_permille: stored.file_permille },
        created_ms: stored.created_ms,
        schema_version: SchemaVersion(stored.schema_version),
        replicas: stored.replicas,
        version,
    })
}

pub(super) fn partition_of(topic: &str, partition: u32) -> Result<StreamPartition, Reason> {
    Ok(StreamPartition { topic: TopicName::parse(topic).map_err(|error| error.to_string())?, partition })
}

fn stored_seal(seal: &Seal) -> StoredSeal {
    let size = seal.size.map(|OpenSize { column_bytes, predicted_bytes }| StoredSize { column_bytes, predicted_bytes });
    StoredSeal { reason: seal.reason.as_str().into(), at_ms: seal.at_ms, counts: stored_counts(seal.accounting), size }
}

pub(super) fn stored_counts(counts: Accounting) -> StoredCounts {
    let Accounting { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes } =
        counts;
    StoredCounts { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes }
}

pub(super) fn counts(stored: StoredCounts) -> Accounting {
    let StoredCounts { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes } =
        stored;
    Accounting { fetched, stored, filtered, tombstones, rejected, replayed, gaps, skipped, rows, altered, bytes }
}

fn seal_of(stored: StoredSeal) -> Result<Seal, Reason> {
    let reason = SealReason::parse(&stored.reason);
    let reason = reason.ok_or_else(|| format!("no segment ends for the reason {}", stored.reason))?;
    let size =
        stored.size.map(|StoredSize { column_bytes, predicted_bytes }| OpenSize { column_bytes, predicted_bytes });
    Ok(Seal { reason, accounting: counts(stored.counts), at_ms: stored.at_ms, size })
}

fn stored_artifact(artifact: &Artifact) -> StoredArtifact {
    let Artifact {
        uri,
        key,
        crc,
        byte_count,
        rows,
        min_time_ms,
        max_time_ms,
        time_range,
        built_ms,
        uploaded_ms,
        missing_indexes,
        settings,
    } = artifact.clone();
    let range = |TimeRange { column, min, max }| StoredTimeRange { column: column.to_string(), min, max };
    let time_range = time_range.map(range);
    StoredArtifact {
        uri,
        key,
        crc,
        byte_count,
        rows,
        min_time_ms,
        max_time_ms,
        time_range,
        built_ms,
        uploaded_ms,
        missing_indexes,
        settings,
    }
}

fn artifact_of(stored: StoredArtifact) -> Result<Artifact, Reason> {
    let StoredArtifact {
        uri,
        key,
        crc,
        byte_count,
        rows,
        min_time_ms,
        max_time_ms,
        time_range,
        built_ms,
        uploaded_ms,
        missing_indexes,
        settings,
    } = stored;
    let range = |StoredTimeRange { column, min, max }| {
        let column = ColumnName::parse(&column).map_err(|error| error.to_string())?;
        Ok::<_, Reason>(TimeRange { column, min, max })
    };
    Ok(Artifact {
        uri,
        key,
        crc,
        byte_count,
        rows,
        min_time_ms,
        max_time_ms,
        time_range: time_range.map(range).transpose()?,
        built_ms,
        uploaded_ms,
        missing_indexes,
        settings,
    })
}

pub(super) fn encode_replay(record: &ReplayRecord) -> Vec<u8> {
    let part = |part: &ReplayPart| StoredReplayPart {
        topic: part.partition.topic.to_string(),
        partition: part.partition.partition,
        reading: part.reading,
        offsets: part.offsets.iter().map(|offset| offset.number()).collect(),
        altered: part.altered,
        segment: part.segment.as_ref().map(|segment| StoredReplaySegment {
            name: segment.name.clone(),
            artifact: stored_artifact(&segment.artifact),
            removed_ms: segment.removed_ms,
        }),
    };
    encode(&StoredReplay {
        v: V,
        uid: record.table_uid,
        number: record.number,
        at_ms: record.at_ms,
        schema_version: record.schema_version.0,
        parts: record.parts.iter().map(part).collect(),
    })
}

pub(super) fn decode_replay(key: &str, bytes: &[u8]) -> Result<ReplayRecord, StoreError> {
    at(key, read(bytes).and_then(replay))
}

fn replay(stored: StoredReplay) -> Result<ReplayRecord, Reason> {
    let segment = |StoredReplaySegment { name, artifact, removed_ms }| {
        Ok::<_, Reason>(ReplaySegment { name, artifact: artifact_of(artifact)?, removed_ms })
    };
    let part = |part: StoredReplayPart| {
        Ok(ReplayPart {
            partition: partition_of(&part.topic, part.partition)?,
            reading: part.reading,
            offsets: part.offsets.into_iter().map(NextOffset::new).collect(),
            altered: part.altered,
            segment: part.segment.map(segment).transpose()?,
        })
    };
    Ok(ReplayRecord {
        table_uid: stored.uid,
        number: stored.number,
        at_ms: stored.at_ms,
        schema_version: SchemaVersion(stored.schema_version),
        parts: stored.parts.into_iter().map(part).collect::<Result<_, Reason>>()?,
    })
}

pub(super) fn encode_skip(partition: &StreamPartition, skip: &Skip) -> Vec<u8> {
    encode(&StoredSkip {
        v: V,
        topic: partition.topic.to_string(),
        partition: partition.partition,
        start: skip.range.start().number(),
        end: skip.range.end().number(),
        reason: skip.reason.as_str().into(),
        at_ms: skip.at_ms,
    })
}

pub(super) fn decode_skip(key: &str, bytes: &[u8]) -> Result<(StreamPartition, Skip), StoreError> {
    at(key, read(bytes).and_then(skip))
}

fn skip(stored: StoredSkip) -> Result<(StreamPartition, Skip), Reason> {
    let reason = SkipReason::parse(&stored.reason);
    let reason = reason.ok_or_else(|| format!("no offsets are skipped for the reason {}", stored.reason))?;
    let range = OffsetRange::try_new(NextOffset::new(stored.start), NextOffset::new(stored.end));
    let range = range.map_err(|error| error.to_string())?;
    Ok((partition_of(&stored.topic, stored.partition)?, Skip { range, reason, at_ms: stored.at_ms }))
}

pub(super) fn encode_memory(memory: &FlushMemory) -> Vec<u8> {
    let FlushMemory { rows_per_byte, file_share, last_limit, last } = *memory;
    let last = last.map(|Lesson { rows, byte_count, rows_limit, age }| StoredLesson {
        rows,
        byte_count,
        rows_limit,
        age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    });
    encode(&StoredMemory { v: V, rows_per_byte, file_share, last_limit, last })
}

pub(super) fn decode_memory(key: &str, bytes: &[u8]) -> Result<FlushMemory, StoreError> {
    let StoredMemory { rows_per_byte, file_share, last_limit, last, .. } = at(key, read(bytes))?;
    let last = last.map(|StoredLesson { rows, byte_count, rows_limit, age_ms }| Lesson {
        rows,
        byte_count,
        rows_limit,
        age: age_ms.map(Duration::from_millis),
    });
    Ok(FlushMemory { rows_per_byte, file_share, last_limit, last })
}
