//! Stream maps: topic, decoder, start, client settings, flush thresholds, error policy.

mod decoder;

use crate::spec::{
    keys::{KINESIS_KEYS, Treatment},
    offsets::{STARTS, TopicMatcher, start_at, start_offsets, subset},
    period::{byte_size, period_or_millis},
    read::{At, Findings, scalar_text},
    table::Decoders,
    walk::walk_stream,
};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use weir_types::{
    AutoReset, ErrorPolicy, FlushPolicy, NextOffset, QuarantineSpec, RateLimit, RowsThreshold, StartAt, StreamSpec,
    TopicName, TopicPattern, secret::pieces,
};

/// Rows per node where no threshold is given.
const DEFAULT_ROWS: u64 = 5_000_000;
/// Rows of the first segment where the threshold is a size.
const DEFAULT_INITIAL_ROWS: u64 = 100_000;
/// Size of a segment where the threshold is a size but says none.
const DEFAULT_SEGMENT_BYTES: u64 = 200 << 20;
/// Age of a segment.
const DEFAULT_AGE: Duration = Duration::from_secs(6 * 3600);
/// Waiting for messages.
const DEFAULT_FETCH: Duration = Duration::from_secs(5);
/// A partition behind its stream by more than this is LAGGING.
const DEFAULT_LAGGING: Duration = Duration::from_secs(10);
/// Partitions that a stream of our own may be asked to make: more would be a slip of the key.
const MOST_PARTITIONS: u64 = 10_000;
/// A quarantine holds one message of the usual largest size.
const LEAST_QUARANTINE: u64 = 1 << 20;

/// What the stream maps of a table say.
pub(super) struct Streams {
    pub(super) streams: Vec<StreamSpec>,
    pub(super) patterns: Vec<TopicPattern>,
    pub(super) flush: FlushPolicy,
    pub(super) error_policy: ErrorPolicy,
    pub(super) quarantine: QuarantineSpec,
    pub(super) lagging_after: Duration,
    /// Whether one of them wants metadata columns filled, and where it says so.
    pub(super) metadata: Option<String>,
}

/// What one map says for the whole table; all maps must say the same.
#[derive(PartialEq)]
struct Shared {
    flush: FlushPolicy,
    error_policy: ErrorPolicy,
    quarantine: QuarantineSpec,
    lagging_after: Duration,
}

/// Reads the stream maps of a table from either of their places.
pub(super) fn streams(
    root: &At<'_>,
    stream_types: Option<&[&str]>,
    decoders: &Decoders<'_>,
    findings: &mut Findings,
) -> Streams {
    let maps = maps(root, findings);
    let mut found = Streams {
        streams: vec![],
        patterns: vec![],
        flush: default_flush(),
        error_policy: ErrorPolicy::Quarantine,
        quarantine: QuarantineSpec::default(),
        lagging_after: DEFAULT_LAGGING,
        metadata: None,
    };
    let mut first: Option<(Shared, Arc<str>)> = None;
    let mut topics = BTreeSet::new();
    for map in &maps {
        if !map.value.is_some_and(Json::is_object) {
            findings.wrong(map, "must be a map of stream settings");
            continue;
        }
        let reader = MapReader { map: map.clone(), stream_type: stream_type(map, stream_types, findings) };
        let (stream, shared) = reader.read((found.streams.len(), found.patterns.len()), decoders, findings);
        if findings.boolean(&reader.own("metadata.populate")).unwrap_or(false) {
            found.metadata = Some(reader.own("metadata.populate").path);
        }
        match &first {
            None => first = Some((shared, reader.stream_type.clone())),
            Some((first, of_first)) => {
                if *of_first != reader.stream_type && !of_first.is_empty() && !reader.stream_type.is_empty() {
                    findings.wrong(
                        &map.key("streamType"),
                        format!("all stream maps have one type, the first has {of_first}"),
                    );
                }
                if *first != shared {
                    let reason = "flush thresholds, error policy, quarantine bounds and lagging.after must be the same in all stream maps";
                    findings.wrong(&At::place(map.path.clone(), None), reason);
                }
            }
        }
        match stream {
            Some(Read::Pattern(pattern)) => found.patterns.push(pattern),
            Some(Read::Topic(stream)) => {
                if !topics.insert(stream.topic.clone()) {
                    findings.wrong(
                        &reader.own("topic.name"),
                        "a topic may be read once: another stream map has it already",
                    );
                }
                found.streams.push(stream);
            }
            None => {}
        }
    }
    if let Some((shared, _)) = first {
        found.flush = shared.flush;
        found.error_policy = shared.error_policy;
        found.quarantine = shared.quarantine;
        found.lagging_after = shared.lagging_after;
    }
    found
}

fn default_flush() -> FlushPolicy {
    FlushPolicy { rows: RowsThreshold::PerNode(DEFAULT_ROWS), max_age: DEFAULT_AGE, variance_fraction: 0.0 }
}

/// The maps, from their new place or their old one, never from both.
fn maps<'a>(root: &At<'a>, findings: &mut Findings) -> Vec<At<'a>> {
    let new = root.keys("ingestionConfig.streamIngestionConfig.streamConfigMaps");
    let old = root.keys("tableIndexConfig.streamConfigs");
    if !new.is_absent() && !old.is_absent() {
        findings.wrong(&At::place(old.path.clone(), None), format!("is given beside {}: remove one of them", new.path));
    }
    if new.is_absent() && old.is_absent() {
        findings.wrong(
            &new,
            "a REALTIME table needs at least one stream map here, or one map in tableIndexConfig.streamConfigs",
        );
        return vec![];
    }
    if new.is_absent() {
        return vec![old];
    }
    let maps = new.items();
    if maps.is_empty() {
        findings.wrong(&new, "must be a list of at least one stream map");
    }
    maps
}

/// The stream's type; empty where it cannot be read: then nothing is said of its keys.
fn stream_type(map: &At<'_>, known: Option<&[&str]>, findings: &mut Findings) -> Arc<str> {
    let at = map.key("streamType");
    let text = findings.text(&at);
    // What is no text has been told.
    if at.is_absent() || text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        findings.wrong(&at, format!("must name the stream's type{}", one_of(known)));
    }
    let name: Arc<str> = text.unwrap_or_default().trim().to_ascii_lowercase().into();
    if let Some(known) = known
        && !name.is_empty()
        && !known.contains(&&*name)
    {
        findings.wrong(&at, format!("is not a stream type that can be read{}", one_of(Some(known))));
        return "".into();
    }
    name
}

fn one_of(known: Option<&[&str]>) -> String {
    known.map_or_else(String::new, |known| format!(": {} can", known.join(", ")))
}

/// Pinot's own keys for certificates inside a stream map.
const KAFKA_SSL: [&str; 4] =
    ["ssl.server.certificate", "ssl.certificate.type", "ssl.client.certificate", "ssl.client.key"];

/// Settings of a Pulsar topic, which have the stream's prefix.
const PULSAR: [&str; 8] = [
    "bootstrap.servers",
    "authenticationToken",
    "tlsTrustCertsFilePath",
    "issuerUrl",
    "credsFilePath",
    "audience",
    "scope",
    "enableKeyValueStitch",
];

/// A Pulsar topic's namespace, where its name has one, and its own name: `persistent://tenant/namespace/topic`.
fn pulsar_name(text: &str) -> Result<(Option<&str>, &str), String> {
    let Some((scheme, path)) = text.split_once("://") else { return Ok((None, text)) };
    let form = "must be a topic, or persistent://tenant/namespace/topic";
    if scheme != "persistent" {
        return Err(format!("{form}: messages that are not kept cannot be read again"));
    }
    match path.rsplit_once('/') {
        Some((namespace, name)) if namespace.split('/').filter(|part| !part.is_empty()).count() == 2 => {
            Ok((Some(namespace), name))
        }
        _ => Err(form.to_owned()),
    }
}

/// What one map reads.
enum Read {
    Topic(StreamSpec),
    Pattern(TopicPattern),
}

struct MapReader<'a> {
    map: At<'a>,
    stream_type: Arc<str>,
}

impl<'a> MapReader<'a> {
    /// The value under `stream.<type>.<key>`.
    fn own(&self, key: &str) -> At<'a> {
        self.map.key(&format!("stream.{}.{key}", self.stream_type))
    }

    /// The first of several spellings that is there; the first spelling's place where none is.
    fn either(&self, keys: &[&str]) -> At<'a> {
        let found = keys.iter().map(|key| self.map.key(key)).find(|at| !at.is_absent());
        found.unwrap_or_else(|| self.map.key(keys[0]))
    }

    /// `read` counts the maps before this one by their kind: topics and patterns.
    fn read(&self, read: (usize, usize), decoders: &Decoders<'_>, findings: &mut Findings) -> (Option<Read>, Shared) {
        let for_client = walk_stream(&self.map, &self.stream_type, findings);
        let topics = self.topics(findings);
        let decoder = self.decoder(read, decoders, findings);
        let fetch = self.millis(&self.own("fetch.timeout.millis"), findings).unwrap_or(DEFAULT_FETCH);
        let (start_at, start_offsets) = self.start_at(findings);
        let settings = self.settings(&for_client, findings);
        let shared = Shared {
            flush: self.flush(findings),
            error_policy: self.error_policy(findings),
            quarantine: self.quarantine(findings),
            lagging_after: self.lagging_after(findings),
        };
        let only_partitions = self.only_partitions(findings);
        let auto_reset = self.auto_reset(findings);
        let rate_limit = self.rate_limit(findings);
        let read = topics.zip(decoder).map(|((topic, pattern), decoder)| {
            let stream = StreamSpec {
                stream_type: self.stream_type.clone(),
                topic,
                start_at,
                start_offsets,
                decoder,
                decoder_settings: self.decoder_settings(),
                settings,
                fetch_timeout: fetch,
                only_partitions,
                auto_reset,
                rate_limit,
            };
            match pattern {
                Some(pattern) => Read::Pattern(TopicPattern::new(pattern, stream)),
                None => Read::Topic(stream),
            }
        });
        (read, shared)
    }

    /// The topic, or the pattern with a topic that stands for any.
    fn topics(&self, findings: &mut Findings) -> Option<(TopicName, Option<String>)> {
        let (at, pattern) = (self.own("topic.name"), self.own("topic.pattern"));
        if !pattern.is_absent() {
            if !at.is_absent() {
                findings.wrong(&pattern, format!("is given beside {}: remove one of them", at.path));
            }
            let text = findings.text(&pattern)?;
            if let Err(reason) = TopicMatcher::new(text.trim()) {
                findings.wrong(&pattern, reason);
                return None;
            }
            let any = TopicName::parse("any").expect("three letters are a name");
            return Some((any, Some(text.trim().to_owned())));
        }
        if at.is_absent() {
            if !self.stream_type.is_empty() {
                findings.wrong(&at, "must name the topic to read, or topic.pattern beside it the topics");
            }
            return None;
        }
        let text = findings.text(&at)?;
        let name = match pulsar_name(text.trim()) {
            Ok((_, name)) if &*self.stream_type == "pulsar" => name,
            Err(reason) if &*self.stream_type == "pulsar" => {
                findings.wrong(&at, reason);
                return None;
            }
            _ => text.trim(),
        };
        match TopicName::parse(name) {
            Ok(topic) => Some((topic, None)),
            Err(error) => {
                findings.wrong(&at, error.reason);
                None
            }
        }
    }

    /// Where all partitions start, and where single ones do. Where these are named, the others start at the oldest message.
    fn start_at(&self, findings: &mut Findings) -> (StartAt, BTreeMap<u32, NextOffset>) {
        let at = self.own("consumer.prop.auto.offset.reset");
        let Some(text) = findings.text(&at) else { return (StartAt::Latest, BTreeMap::new()) };
        if let Some(offsets) = start_offsets(&text) {
            return (StartAt::Earliest, offsets);
        }
        let start = start_at(&text).unwrap_or_else(|| {
            let by_partition = r#"offsets by partition such as {"0": 1500, "1": 0}"#;
            findings.wrong(&at, format!("must be {STARTS}, or {by_partition}"));
            StartAt::Latest
        });
        (start, BTreeMap::new())
    }

    fn only_partitions(&self, findings: &mut Findings) -> Option<Vec<u32>> {
        let at = self.own("partition.ids");
        match subset(&findings.text(&at)?) {
            Ok(partitions) => Some(partitions),
            Err(reason) => {
                findings.wrong(&at, reason);
                None
            }
        }
    }

    fn auto_reset(&self, findings: &mut Findings) -> Option<AutoReset> {
        let key = |name: &str| self.map.key(&format!("realtime.segment.offsetAutoReset.{name}"));
        let mut threshold = |name: &str| {
            let at = key(name);
            let number = findings.text(&at)?.trim().parse::<i64>().ok().filter(|number| *number >= -1);
            if number.is_none() {
                findings.wrong(&at, "must be a whole number of at least 1; -1 and 0 are none");
            }
            u64::try_from(number?).ok().filter(|number| *number > 0)
        };
        let (offsets, seconds) = (threshold("offsetThreshold"), threshold("timeThresholdSeconds"));
        let at = key("enable");
        if !findings.boolean(&at).unwrap_or(false) {
            return None;
        }
        if offsets.is_none() && seconds.is_none() {
            findings.wrong(&at, "needs offsetThreshold or timeThresholdSeconds above 0 beside it, or set false");
        }
        Some(AutoReset { offsets, age: seconds.map(Duration::from_secs) })
    }

    /// The limit of a partition wins over that of its topic; -1 and 0 are none.
    fn rate_limit(&self, findings: &mut Findings) -> Option<RateLimit> {
        let mut limit = |key: &str| {
            let at = self.map.key(key);
            let number = findings.text(&at)?.trim().parse::<f64>().ok();
            let rate = number.filter(|rate| rate.is_finite() && (*rate >= 0.0 || *rate == -1.0));
            if rate.is_none() {
                findings.wrong(&at, "must be a number of messages a second; -1 and 0 are no limit");
            }
            rate.filter(|rate| *rate > 0.0)
        };
        let (topic, partition) = (limit("topic.consumption.rate.limit"), limit("partition.consumption.rate.limit"));
        partition.map(RateLimit::PerPartition).or(topic.map(RateLimit::PerTopic))
    }

    fn settings(&self, for_client: &[(&str, At<'_>)], findings: &mut Findings) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for (key, at) in for_client {
            let text = findings.text(at);
            check_references(at, text.as_deref(), findings);
            settings.extend(text.map(|text| ((*key).to_owned(), text)));
        }
        match &*self.stream_type {
            "kafka" => {
                let brokers = self.own("broker.list");
                let text = findings.text(&brokers);
                check_references(&brokers, text.as_deref(), findings);
                match text {
                    Some(text) if !text.trim().is_empty() => {
                        settings.insert("bootstrap.servers".into(), text.trim().to_owned());
                    }
                    _ => findings.wrong(&brokers, "must list the brokers: host:port, separated by commas"),
                }
                let isolation = self.own("isolation.level");
                if let Some(text) = findings.text(&isolation) {
                    if !["read_committed", "read_uncommitted"].contains(&text.as_str()) {
                        findings.wrong(&isolation, "must be read_committed or read_uncommitted");
                    }
                    settings.insert("isolation.level".into(), text);
                }
                for key in KAFKA_SSL {
                    let at = self.own(key);
                    let text = findings.text(&at);
                    check_references(&at, text.as_deref(), findings);
                    settings.extend(text.map(|text| (format!("stream.kafka.{key}"), text)));
                }
            }
            "pulsar" => {
                for key in PULSAR {
                    let at = self.own(key);
                    let text = findings.text(&at);
                    check_references(&at, text.as_deref(), findings);
                    settings.extend(text.map(|text| (key.to_owned(), text)));
                }
                let servers = self.own("bootstrap.servers");
                if settings.get("bootstrap.servers").is_none_or(|text| text.trim().is_empty()) {
                    findings.wrong(&servers, "must name the brokers, as in pulsar://localhost:6650");
                }
                let topic = self.own("topic.name").value.and_then(scalar_text).unwrap_or_default();
                if let Ok((Some(namespace), _)) = pulsar_name(topic.trim()) {
                    settings.insert("namespace".into(), namespace.to_owned());
                }
            }
            "kinesis" => {
                for (key, ..) in KINESIS_KEYS.iter().filter(|(.., treatment)| matches!(treatment, Treatment::Read)) {
                    let at = self.map.key(key);
                    let text = findings.text(&at);
                    check_references(&at, text.as_deref(), findings);
                    settings.extend(text.map(|text| ((*key).to_owned(), text)));
                }
                let region = self.map.key("region");
                if settings.get("region").is_none_or(|text| text.trim().is_empty()) {
                    findings.wrong(&region, "must name the region, as in us-east-1");
                }
            }
            "local" | "memory" => {
                let at = self.own("partitions");
                let partitions = findings.count(&at, 1).unwrap_or(1);
                if partitions > MOST_PARTITIONS {
                    findings.wrong(&at, format!("must be at most {MOST_PARTITIONS}"));
                }
                settings.insert("partitions".into(), partitions.to_string());
            }
            // A connector that was added to the binary.
            own => {
                let prefix = format!("stream.{own}.prop.");
                for (key, at) in self.map.entries() {
                    let Some(key) = key.strip_prefix(&prefix) else { continue };
                    let text = findings.text(&at);
                    check_references(&at, text.as_deref(), findings);
                    settings.extend(text.map(|text| (key.to_owned(), text)));
                }
            }
        }
        settings
    }

    fn flush(&self, findings: &mut Findings) -> FlushPolicy {
        let age = self.either(&["realtime.segment.flush.threshold.time", "realtime.segment.flush.threshold.time.llc"]);
        let max_age = match findings.text(&age) {
            None => DEFAULT_AGE,
            Some(text) => period_or_millis(&text).filter(|age| !age.is_zero()).unwrap_or_else(|| {
                findings.wrong(&age, "must be a period such as 6h, or milliseconds, and more than 0");
                DEFAULT_AGE
            }),
        };
        let variance = self.map.key("realtime.segment.flush.threshold.variance.fraction");
        let variance_fraction = findings.text(&variance).map_or(0.0, |text| {
            let number = text.trim().parse::<f64>().ok().filter(|number| (0.0..0.5).contains(number));
            number.unwrap_or_else(|| {
                findings.wrong(&variance, "must be a number in [0, 0.5)");
                0.0
            })
        });
        FlushPolicy { rows: self.rows(findings), max_age, variance_fraction }
    }

    fn rows(&self, findings: &mut Findings) -> RowsThreshold {
        let rows_at = self.either(&[
            "realtime.segment.flush.threshold.rows",
            "realtime.segment.flush.threshold.rows.llc",
            "realtime.segment.flush.threshold.size",
            "realtime.segment.flush.threshold.size.llc",
        ]);
        let rows = rows_at.value.and_then(scalar_text).map(|text| text.trim().parse::<u64>());
        if let Some(Err(_)) = rows {
            let hint = if rows_at.path.contains("threshold.size") {
                "is a number of rows in spite of its name; a size in bytes goes into realtime.segment.flush.threshold.segment.size"
            } else {
                "must be a whole number of rows, 0 or more"
            };
            findings.wrong(&rows_at, hint);
        }
        let rows = rows.and_then(Result::ok);
        let segment_rows_at = self.either(&[
            "realtime.segment.flush.threshold.segment.rows",
            "realtime.segment.flush.threshold.segment.rows.llc",
        ]);
        let segment_rows = findings.count(&segment_rows_at, 0).unwrap_or(0);
        let size_at = self.either(&[
            "realtime.segment.flush.threshold.segment.size",
            "realtime.segment.flush.threshold.segment.size.llc",
            "realtime.segment.flush.desired.size",
            "realtime.segment.flush.desired.size.llc",
        ]);
        let size = findings.text(&size_at).and_then(|text| {
            let size = byte_size(&text);
            if size.is_none() {
                findings.wrong(&size_at, "must be a size such as 200M or 1.5G");
            }
            size
        });
        let initial_at = self.map.key("realtime.segment.flush.autotune.initialRows");
        let initial_rows = findings.count(&initial_at, 1).unwrap_or(DEFAULT_INITIAL_ROWS);
        let size = size.unwrap_or(0);
        let given = [(rows.unwrap_or(0), &rows_at), (segment_rows, &segment_rows_at), (size, &size_at)];
        let given: Vec<&At<'_>> = given.into_iter().filter(|(number, _)| *number > 0).map(|(_, at)| at).collect();
        if let [first, second, ..] = given.as_slice() {
            findings
                .wrong(second, format!("only one row or size threshold may be above 0, {} is one already", first.path));
        }
        if segment_rows > 0 {
            RowsThreshold::PerSegment(segment_rows)
        } else if let Some(rows) = rows.filter(|rows| *rows > 0) {
            RowsThreshold::PerNode(rows)
        } else if size > 0 || rows == Some(0) {
            let segment_bytes = if size > 0 { size } else { DEFAULT_SEGMENT_BYTES };
            RowsThreshold::BySize { segment_bytes, initial_rows }
        } else {
            RowsThreshold::PerNode(DEFAULT_ROWS)
        }
    }

    fn error_policy(&self, findings: &mut Findings) -> ErrorPolicy {
        let stop = self.map.key("stopOnDecodeError");
        let halts = findings.boolean(&stop).unwrap_or(false);
        let at = self.own("error.policy");
        let policy = match findings.text(&at).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None if halts => ErrorPolicy::Halt,
            None | Some("quarantine") => ErrorPolicy::Quarantine,
            Some("drop") => ErrorPolicy::Drop,
            Some("halt") => ErrorPolicy::Halt,
            Some(text) => match halt_above(text) {
                Some(policy) => policy,
                None => {
                    let reason = "must be quarantine, drop, halt, or haltAbove:N with N rejects a minute, at least 1";
                    findings.wrong(&at, reason);
                    ErrorPolicy::Quarantine
                }
            },
        };
        if halts && policy != ErrorPolicy::Halt {
            findings.wrong(&stop, format!("contradicts {}: remove one of them", at.path));
        }
        policy
    }

    fn quarantine(&self, findings: &mut Findings) -> QuarantineSpec {
        let mut spec = QuarantineSpec::default();
        if let Some(age) = self.millis(&self.own("quarantine.max.age"), findings) {
            spec.max_age = age;
        }
        let at = self.own("quarantine.max.size");
        match findings.text(&at).map(|text| byte_size(&text)) {
            None => {}
            Some(Some(bytes)) if bytes >= LEAST_QUARANTINE => spec.max_bytes = bytes,
            Some(_) => findings.wrong(&at, "must be a size such as 256M, and at least 1M"),
        }
        spec
    }

    fn lagging_after(&self, findings: &mut Findings) -> Duration {
        self.millis(&self.own("lagging.after"), findings).unwrap_or(DEFAULT_LAGGING)
    }

    fn millis(&self, at: &At<'_>, findings: &mut Findings) -> Option<Duration> {
        let text = findings.text(at)?;
        let read = period_or_millis(&text).filter(|duration| !duration.is_zero());
        if read.is_none() {
            findings.wrong(at, "must be a period such as 30s, or milliseconds, and more than 0");
        }
        read
    }
}

/// `haltabove:N`.
fn halt_above(text: &str) -> Option<ErrorPolicy> {
    let per_minute = text.strip_prefix("haltabove:")?.trim().parse().ok().filter(|rejects| *rejects > 0)?;
    Some(ErrorPolicy::HaltAbove { per_minute })
}

/// References to what is kept elsewhere must be of a form that can be followed; they are followed when a client is made.
fn check_references(at: &At<'_>, text: Option<&str>, findings: &mut Findings) {
    if let Some(Err(error)) = text.map(pieces) {
        // What looks like a reference may be part of a secret.
        findings.wrong(at, error.reason);
    }
}
