//! What a table reads and has read: its topics with their lasting numbers, those it no longer reads, and its pauses.
//!
//! A partition is (topic, partition). Pinot's one number for it is the topic's number times 10,000 plus the partition; the
//! topic's number is given once, when the table first reads it, and never to another: names of segments carry it.

use crate::{
    history::{AuditAction, AuditEntry},
    records::{NewTable, PauseInfo, TableRecord},
    spec::{StoredDecoders, TopicMatcher, redacted},
};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use weir_types::{StreamPartition, StreamSpec, TableSpec, TopicName};

/// Pinot's numbers of one topic's partitions.
const PARTITIONS_OF_A_TOPIC: u32 = 10_000;

/// A pause of one topic, or of one partition of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPause {
    /// The topic.
    pub topic: TopicName,
    /// The partition; all of the topic where there is none.
    pub partition: Option<u32>,
    /// Why and since when.
    pub pause: PauseInfo,
}

impl PartPause {
    /// Whether it holds for a partition.
    #[must_use]
    pub fn holds(&self, partition: &StreamPartition) -> bool {
        self.topic == partition.topic && self.partition.is_none_or(|number| number == partition.partition)
    }
}

/// Topics that a table no longer reads, as it read them last: what of them is not committed may be read again.
#[derive(Debug, Clone)]
pub struct Retired {
    /// How they were read.
    pub streams: Vec<StreamSpec>,
    /// The config that said so.
    pub(crate) config_json: Json,
    /// Its decoders.
    pub(crate) decoders: StoredDecoders,
}

impl TableRecord {
    /// Every topic that the table reads: those it names, then those that its patterns found, by their number.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamSpec> {
        let mut streams = self.spec.streams.clone();
        let mut found: Vec<(&u32, &TopicName)> = self.topics.iter().map(|(topic, number)| (number, topic)).collect();
        found.sort_unstable();
        let matchers = matchers(&self.spec);
        for (_, topic) in found {
            if !self.spec.streams.iter().any(|stream| stream.topic == *topic) {
                streams.extend(by_pattern(&self.spec, &matchers, topic));
            }
        }
        streams
    }

    /// How a topic was read that is not read any more.
    #[must_use]
    pub fn retired_stream(&self, topic: &TopicName) -> Option<&StreamSpec> {
        self.retired.iter().rev().flat_map(|retired| &retired.streams).find(|stream| stream.topic == *topic)
    }

    /// Pinot's number of a partition.
    #[must_use]
    pub fn group(&self, partition: &StreamPartition) -> u32 {
        let number = self.topics.get(&partition.topic).copied().unwrap_or(0);
        number.saturating_mul(PARTITIONS_OF_A_TOPIC).saturating_add(partition.partition)
    }

    /// The pause that holds for a partition: the table's, else its topic's, else its own.
    #[must_use]
    pub fn pause_of(&self, partition: &StreamPartition) -> Option<&PauseInfo> {
        let part = || self.part_pauses.iter().find(|part| part.holds(partition));
        self.paused.as_ref().or_else(|| Some(&part()?.pause))
    }

    /// The same with `topics` among those it reads.
    #[must_use]
    pub(crate) fn with_topics<'a>(mut self, topics: impl IntoIterator<Item = &'a TopicName>) -> Self {
        for topic in topics {
            let next = self.topics.values().max().map_or(0, |last| last + 1);
            self.topics.entry(topic.clone()).or_insert(next);
        }
        self
    }

    /// The same, with what `before` read and this one does not kept as retired.
    #[must_use]
    pub(crate) fn retiring(mut self, before: &Self) -> Self {
        let now: BTreeSet<TopicName> = self.streams().into_iter().map(|stream| stream.topic).collect();
        self.retired = before.retired.clone();
        for retired in &mut self.retired {
            retired.streams.retain(|stream| !now.contains(&stream.topic));
        }
        let mut streams = before.streams();
        streams.retain(|stream| !now.contains(&stream.topic));
        let decoders = StoredDecoders::of(&before.spec);
        self.retired.push(Retired { streams, config_json: before.config_json.clone(), decoders });
        self.retired.retain(|retired| !retired.streams.is_empty());
        self
    }
}

fn matchers(spec: &TableSpec) -> Vec<Option<TopicMatcher>> {
    // A pattern that was accepted once and is not any more matches nothing.
    spec.patterns.iter().map(|pattern| TopicMatcher::new(&pattern.pattern).ok()).collect()
}

fn by_pattern(spec: &TableSpec, matchers: &[Option<TopicMatcher>], topic: &TopicName) -> Option<StreamSpec> {
    let at = matchers.iter().position(|matcher| matcher.as_ref().is_some_and(|matcher| matcher.matches(topic)))?;
    Some(spec.patterns[at].stream(topic.clone()))
}

/// How a config reads some topics, by name or by pattern.
pub(crate) fn streams_of(spec: &TableSpec, topics: &[TopicName]) -> Vec<StreamSpec> {
    let matchers = matchers(spec);
    let stream = |topic: &TopicName| {
        let named = spec.streams.iter().find(|stream| stream.topic == *topic).cloned();
        named.or_else(|| by_pattern(spec, &matchers, topic))
    };
    topics.iter().filter_map(stream).collect()
}

/// What a change of settings or schema is in the audit: the values that changed, and a line for each topic that comes or
/// goes.
#[must_use]
pub fn changes(before: &TableRecord, new: &NewTable, who: &str, at_ms: i64) -> Vec<AuditEntry> {
    let (mut was, mut is) = (vec![], vec![]);
    let pairs = [(&before.config_json, &new.config_json), (&before.schema_json, &new.schema_json)];
    for (at, (old, new)) in pairs.into_iter().enumerate() {
        let (raw_old, raw_new) = (values(old), values(new));
        let (old, new) = (values(&redacted(old)), values(&redacted(new)));
        let place = if at == 0 { "" } else { "/schema" };
        let differs = |these: &BTreeMap<String, String>, those: &BTreeMap<String, String>| -> Vec<String> {
            let changed = these.iter().filter(|(path, value)| those.get(*path) != Some(*value));
            changed.map(|(path, value)| format!("{place}{path} = {value}")).collect()
        };
        was.extend(differs(&old, &new));
        is.extend(differs(&new, &old));
        // One secret is hidden as another is.
        let hidden = |(path, value): &(&String, &String)| {
            raw_old.get(*path) != raw_new.get(*path) && old.get(*path) == Some(*value)
        };
        is.extend(new.iter().filter(hidden).map(|(path, _)| format!("{place}{path} is another secret")));
    }
    let about = |action| AuditEntry::new(action, &before.spec.name, who, at_ms);
    let mut entries = vec![about(AuditAction::UpdateTable).change(was.join("; "), is.join("; "))];
    let old: BTreeSet<TopicName> = before.streams().into_iter().map(|stream| stream.topic).collect();
    let after = TableRecord { topics: before.topics.clone(), ..new.draft() }.with_topics(new.reads());
    let new: BTreeSet<TopicName> = after.streams().into_iter().map(|stream| stream.topic).collect();
    entries.extend(old.difference(&new).map(|topic| about(AuditAction::RemoveTopic).topic(topic)));
    entries.extend(new.difference(&old).map(|topic| about(AuditAction::AddTopic).topic(topic)));
    entries
}

/// Path to value of every leaf.
fn values(json: &Json) -> BTreeMap<String, String> {
    fn walk(json: &Json, path: &str, found: &mut BTreeMap<String, String>) {
        match json {
            Json::Object(fields) => fields.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"), found)),
            Json::Array(items) => {
                items.iter().enumerate().for_each(|(at, value)| walk(value, &format!("{path}/{at}"), found));
            }
            leaf => {
                found.insert(path.to_owned(), leaf.to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(json, "", &mut found);
    found
}
