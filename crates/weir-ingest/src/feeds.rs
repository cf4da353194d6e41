//! The streams of a table with their sources: made from its record, asked for topics, partitions and first offsets.

use crate::{deps::IngestDeps, error::IngestError, pipeline::settings_decoder};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};
use weir_control::{NewPartition, NewTable, SegmentRecord, TableRecord, spec::TopicMatcher};
use weir_formats::schema_registry::SchemaRegistry;
use weir_streams::{SharedSource, StreamError};
use weir_types::{Classify, StartAt, StreamPartition, StreamSpec, TableSpec, TopicName};

/// Where a topic that is read no more stands in the list of stream maps: nowhere.
const RETIRED: usize = usize::MAX;

/// One topic of a table with its source.
#[derive(Clone)]
pub(crate) struct Feed {
    /// Its place among the stream maps, for messages.
    position: usize,
    /// Its settings.
    pub(crate) spec: StreamSpec,
    /// The stream itself.
    pub(crate) source: SharedSource,
    identity: Arc<Identity>,
    /// Identity at the last look.
    looked: Arc<parking_lot::Mutex<Option<Arc<str>>>>,
    /// How many partitions the topic had when it was asked last; 0 where it was not.
    count: Arc<AtomicU32>,
}

/// What a stream last said of whose log it is. Hundreds of partitions that ask at once share one answer, but nobody is
/// given one to a question that was put before theirs.
#[derive(Default)]
struct Identity {
    /// Questions that were put.
    asked: AtomicU64,
    /// The number of the question that was answered last, and its answer.
    answer: tokio::sync::Mutex<(u64, Option<Arc<str>>)>,
}

/// The topics of a table that are read.
pub(crate) type Feeds = BTreeMap<TopicName, Feed>;

impl Feed {
    pub(crate) fn new(deps: &IngestDeps, position: usize, spec: StreamSpec) -> Result<Self, IngestError> {
        let source = deps.streams.source(&spec).map_err(|source| stream_error(position, &spec.stream_type, source))?;
        Ok(Self { position, spec, source, identity: Arc::default(), looked: Arc::default(), count: Arc::default() })
    }

    /// A topic that a table no longer reads, to read again what of it is not committed.
    pub(crate) fn retired(deps: &IngestDeps, spec: StreamSpec) -> Result<Self, IngestError> {
        Self::new(deps, RETIRED, spec)
    }

    /// What the stream said went wrong, with its place in the table config.
    pub(crate) fn error(&self, source: StreamError) -> IngestError {
        stream_error(self.position, &self.spec.stream_type, source)
    }

    /// A decoder that cannot be made of the settings, or has not what it needs.
    pub(crate) fn setting(&self, reason: String) -> IngestError {
        IngestError::Setting { path: format!("streamConfigMaps[{}].decoder", self.position), reason }
    }

    /// An error of a stream that was asked for the first time, with the step at which reaching it ended.
    pub(crate) async fn looked_into(&self, error: IngestError) -> IngestError {
        match error {
            IngestError::Stream {
                path,
                source: source @ (StreamError::Unreachable { .. } | StreamError::Denied { .. }),
            } => {
                match self.source.probe(self.spec.only_partitions.as_deref()).await {
                    Err(probe) => IngestError::Probed {
                        place: format!("{path}: topic {}", self.spec.topic),
                        source,
                        probe: Box::new(probe),
                    },
                    // It answers now.
                    Ok(_) => IngestError::Stream { path, source },
                }
            }
            other => other,
        }
    }

    /// The identity of the topic as it is now, where the stream tells one.
    pub(crate) async fn topic_id(&self) -> Result<Option<Arc<str>>, StreamError> {
        let before = self.identity.asked.load(Ordering::SeqCst);
        let mut answer = self.identity.answer.lock().await;
        if answer.0 > before {
            return Ok(answer.1.clone());
        }
        let number = self.identity.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let id = self.source.topic_id().await?;
        *answer = (number, id.clone());
        Ok(id)
    }

    /// Whether the topic's identity may not be the one that its partitions know: it is not what it was when this was asked
    /// before, or was not asked before. A topic may be made anew between a start and the first time that this is asked.
    /// With the identity; `None` where the stream does not tell it.
    pub(crate) async fn seems_made_anew(&self) -> Option<(Arc<str>, bool)> {
        let now = self.topic_id().await.ok()??;
        let before = self.looked.lock().replace(now.clone());
        let anew = before.is_none_or(|before| before != now);
        Some((now, anew))
    }

    /// The partitions that are to be read. Naming one that the topic lacks is an error.
    pub(crate) async fn wanted(&self) -> Result<Vec<u32>, StreamError> {
        let found = self.found().await?;
        let Some(only) = &self.spec.only_partitions else { return Ok(found) };
        let missing: Vec<String> = only.iter().filter(|id| !found.contains(id)).map(ToString::to_string).collect();
        if missing.is_empty() {
            return Ok(only.clone());
        }
        Err(StreamError::Setting {
            topic: self.spec.topic.to_string(),
            key: format!("stream.{}.partition.ids", self.spec.stream_type),
            reason: format!("the topic has {} partitions, and none numbered {}", found.len(), missing.join(", ")),
        })
    }

    /// All partitions of the topic.
    async fn found(&self) -> Result<Vec<u32>, StreamError> {
        let found = self.source.partitions().await?;
        self.count.store(u32::try_from(found.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        Ok(found)
    }

    /// Messages a second that one partition may take, where the table's settings say so. How many partitions share the
    /// limit of the topic is known from the last look at it; until then it is one's own.
    pub(crate) fn rate_limit(&self) -> Option<f64> {
        self.spec.rate_limit.map(|limit| limit.of_one(self.count.load(Ordering::Relaxed)))
    }

    /// The partitions that are to be read as far as they are there.
    pub(crate) async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        let mut found = self.found().await?;
        found.retain(|partition| self.reads(*partition));
        Ok(found)
    }

    /// Whether the table reads this partition of the topic.
    pub(crate) fn reads(&self, partition: u32) -> bool {
        self.spec.only_partitions.as_ref().is_none_or(|only| only.binary_search(&partition).is_ok())
    }

    /// Where partitions start, asked of the stream.
    pub(crate) async fn starts(
        &self,
        record: &TableRecord,
        partitions: &[u32],
        at: &StartAt,
        now_ms: i64,
    ) -> Result<Vec<NewPartition>, IngestError> {
        let starts = self.source.resolve_all(partitions, at, now_ms).await.map_err(|source| self.error(source))?;
        let new = |(partition, start): (&u32, _)| {
            let partition = StreamPartition { topic: self.spec.topic.clone(), partition: *partition };
            NewPartition { partition_group: record.group(&partition), partition, start }
        };
        Ok(partitions.iter().zip(starts).map(new).collect())
    }
}

impl Feed {
    /// Puts single partitions where the settings say. The log must hold what they name, and their number must be among those
    /// that are read.
    pub(crate) async fn start_where_said(&self, starts: &mut [NewPartition]) -> Result<(), IngestError> {
        let key = format!("stream.{}.consumer.prop.auto.offset.reset", self.spec.stream_type);
        let wrong = |reason: String| {
            let (topic, key) = (self.spec.topic.to_string(), key.clone());
            Err(self.error(StreamError::Setting { topic, key, reason }))
        };
        for (number, offset) in &self.spec.start_offsets {
            let Some(start) = starts.iter_mut().find(|start| start.partition.partition == *number) else {
                return wrong(format!(
                    "partition {number} has an offset, and is not among the partitions that are read"
                ));
            };
            let held = self.source.watermarks(*number).await.map_err(|source| self.error(source))?;
            if *offset < held.low || *offset > held.high {
                return wrong(format!(
                    "partition {number}: offset {offset} is not in the log, which holds [{}, {})",
                    held.low, held.high
                ));
            }
            start.start = *offset;
        }
        Ok(())
    }
}

/// Every topic that a table reads. Sources of topics that are read as before are taken over from `before`.
pub(crate) fn feeds(deps: &IngestDeps, record: &TableRecord, before: &Feeds) -> Result<Feeds, IngestError> {
    let feed = |(at, spec): (usize, StreamSpec)| {
        let kept = before.get(&spec.topic).filter(|feed| feed.spec == spec);
        let topic = spec.topic.clone();
        Ok((topic, kept.cloned().map_or_else(|| Feed::new(deps, at, spec), Ok)?))
    };
    record.streams().into_iter().enumerate().map(feed).collect()
}

/// An error of the stream at this place among the maps, with the key that it concerns.
pub(crate) fn stream_error(at: usize, stream_type: &str, source: StreamError) -> IngestError {
    let key = match &source {
        StreamError::Setting { key, .. } => format!(".{key}"),
        StreamError::TopicMissing { .. } | StreamError::PartitionMissing { .. } => {
            format!(".stream.{stream_type}.topic.name")
        }
        StreamError::Unreachable { .. } | StreamError::Denied { .. } => match stream_type {
            "kafka" => ".stream.kafka.broker.list".into(),
            "pulsar" => ".stream.pulsar.bootstrap.servers".into(),
            "kinesis" => ".endpoint".into(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let path = if at == RETIRED { "(retired topic)".into() } else { format!("streamConfigMaps[{at}]{key}") };
    IngestError::Stream { path, source }
}

/// A question to a stream that a person waits for.
async fn in_time<T>(
    deps: &IngestDeps,
    at: usize,
    stream_type: &str,
    topic: &str,
    asked: impl Future<Output = Result<T, IngestError>>,
) -> Result<T, IngestError> {
    let timeout = deps.options.creation_timeout;
    tokio::select! {
        biased;
        answer = asked => answer,
        () = deps.clock.sleep(timeout) => {
            let reason = format!("no answer within {} s", timeout.as_secs());
            Err(stream_error(at, stream_type, StreamError::Unreachable { topic: topic.to_owned(), reason }))
        }
    }
}

/// Topics that a table's patterns find now, in the order of their names.
pub(crate) async fn found_topics(deps: &IngestDeps, spec: &TableSpec) -> Result<Vec<TopicName>, IngestError> {
    let mut topics = BTreeSet::new();
    for (at, pattern) in spec.patterns.iter().enumerate() {
        let at = spec.streams.len() + at;
        let matcher = TopicMatcher::new(&pattern.pattern)
            .map_err(|reason| IngestError::Setting { path: format!("streamConfigMaps[{at}].topic.pattern"), reason })?;
        let asked_as = pattern.asked();
        let stream_type = &*asked_as.stream_type;
        let source = deps.streams.source(asked_as).map_err(|source| stream_error(at, stream_type, source))?;
        let asked = async { source.topics().await.map_err(|source| stream_error(at, stream_type, source)) };
        let found = in_time(deps, at, stream_type, &pattern.pattern, asked).await?;
        topics.extend(found.into_iter().filter(|topic| matcher.matches(topic)));
    }
    topics.retain(|topic| !spec.streams.iter().any(|stream| stream.topic == *topic));
    Ok(topics.into_iter().collect())
}

/// What is odd about streams that answer: patterns of topics that find none now.
///
/// # Errors
/// A stream does not answer, or the schema registry that its messages need.
pub(crate) async fn ask(deps: &IngestDeps, new: &NewTable) -> Result<Vec<String>, IngestError> {
    found_topics(deps, &new.spec).await?;
    let mut odd = vec![];
    for (at, pattern) in new.spec.patterns.iter().enumerate() {
        let mut alone = (*new.spec).clone();
        alone.streams.clear();
        alone.patterns = vec![pattern.clone()];
        if found_topics(deps, &alone).await?.is_empty() {
            let (at, pattern) = (new.spec.streams.len() + at, &pattern.pattern);
            odd.push(format!(
                "streamConfigMaps[{at}].topic.pattern = {pattern}: no topic has such a name now; those that get one later are \
                 read from then on"
            ));
        }
    }
    let record = new.draft();
    plan(deps, &record, None).await?;
    let mut asked: Vec<Arc<SchemaRegistry>> = vec![];
    for feed in feeds(deps, &record, &Feeds::new())?.values() {
        let decoder =
            settings_decoder(&record, &feed.spec, 0, deps.clock.wall_ms()).map_err(|reason| feed.setting(reason))?;
        let Some(registry) = decoder.registry().filter(|one| !asked.iter().any(|other| Arc::ptr_eq(one, other))) else {
            continue;
        };
        registry.answers().await.map_err(|reason| feed.setting(reason))?;
        asked.push(registry.clone());
    }
    Ok(odd)
}

/// Where the partitions of some topics start, and whose logs they are.
#[derive(Default)]
pub(crate) struct Plan {
    /// Partitions with their first offsets.
    pub(crate) partitions: Vec<NewPartition>,
    /// Identities of the topics that tell one.
    pub(crate) ids: Vec<(TopicName, Arc<str>)>,
}

/// Asks the streams of a table for its partitions and their first offsets: those of all its topics, or of `only`.
pub(crate) async fn plan(
    deps: &IngestDeps,
    record: &TableRecord,
    only: Option<&BTreeSet<TopicName>>,
) -> Result<Plan, IngestError> {
    let mut plan = Plan::default();
    for feed in feeds(deps, record, &Feeds::new())?.values() {
        if only.is_some_and(|only| !only.contains(&feed.spec.topic)) {
            continue;
        }
        let at = feed.position;
        // Which partition changes nothing of what can be wrong.
        settings_decoder(record, &feed.spec, 0, deps.clock.wall_ms()).map_err(|reason| feed.setting(reason))?;
        let asked = async {
            let id = feed.topic_id().await.map_err(|source| feed.error(source))?;
            let partitions = feed.wanted().await.map_err(|source| feed.error(source))?;
            let mut starts = feed.starts(record, &partitions, &feed.spec.start_at, deps.clock.wall_ms()).await?;
            feed.start_where_said(&mut starts).await?;
            Ok((id, starts))
        };
        let (id, starts) = match in_time(deps, at, &feed.spec.stream_type, feed.spec.topic.as_str(), asked).await {
            Ok(answer) => answer,
            Err(error) => return Err(feed.looked_into(error).await),
        };
        plan.partitions.extend(starts);
        plan.ids.extend(id.map(|id| (feed.spec.topic.clone(), id)));
    }
    Ok(plan)
}

/// Writes the records of new partitions.
pub(crate) async fn start_records(
    deps: &IngestDeps,
    record: &TableRecord,
    plan: Plan,
) -> Result<Vec<SegmentRecord>, IngestError> {
    if plan.partitions.is_empty() {
        return Ok(vec![]);
    }
    // Before the segments: a partition that is read has an identity to be compared with.
    for (topic, id) in &plan.ids {
        let of_topic = plan.partitions.iter().filter(|new| new.partition.topic == *topic);
        let of_topic: Vec<StreamPartition> = of_topic.map(|new| new.partition.clone()).collect();
        deps.store.note_topic_ids(record, &of_topic, id).await?;
    }
    let memory = deps.store.flush_memory(record, &plan.partitions[0].partition.topic).await?;
    let mut chance = weir_base::Chance::seeded(deps.seed);
    let partitions = plan.partitions.len() as u64;
    let limits = weir_control::flush::next_limits(&record.spec.flush, &memory, partitions, &mut chance);
    let replicas = [deps.options.instance.clone()];
    let started = deps.store.start_partitions(record, plan.partitions, limits, deps.clock.wall_ms(), &replicas).await;
    started.map_err(|error| {
        tracing::debug!(kind = ?error.kind(), "partitions could not be recorded");
        error.into()
    })
}
