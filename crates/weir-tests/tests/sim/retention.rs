//! Rows that are too old, under a seed: removal goes on while everything else does, and is cut short anywhere. What must
//! hold: rows that are young are there, once; what was removed is never read or shown again and stays counted; in the end
//! disk and deep store hold what the records name and nothing else.

use crate::{
    answers::{open, snapshot},
    run::{Bug, longs, table_files},
    seeds::survive,
    tally::Tally,
    world::{Alive, PARTITIONS, TOPIC, World, record, table_name},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use weir_base::{Chance, SetClock};
use weir_control::{NewTable, SegmentState, chain, spec};
use weir_files::{Faulty, MemoryFiles};
use weir_types::{NextOffset, StreamPartition, TopicName};

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
/// What has to happen.
const ALL: [&str; 6] = [
    "segments removed",
    "removal cut short by a crash",
    "power loss",
    "deep store down",
    "deep store loses acknowledgements",
    "catalog loses answers",
];

/// A table that keeps rows for a day, and objects for half an hour after that.
fn table() -> NewTable {
    let schema = serde_json::json!({
        "schemaName": "events",
        "dimensionFieldSpecs": [{"name": "id", "dataType": "LONG"}],
        "dateTimeFieldSpecs": [
            {"name": "at", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"},
        ],
    });
    let config = serde_json::json!({
        "tableName": "events",
        "tableType": "REALTIME",
        "segmentsConfig": {
            "replication": "1", "timeColumnName": "at", "retentionTimeUnit": "DAYS", "retentionTimeValue": "1",
            "deletedSegmentsRetentionPeriod": "30m",
        },
        "tenants": {},
        "tableIndexConfig": {},
        "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [{
            "streamType": "memory",
            "stream.memory.topic.name": TOPIC,
            "stream.memory.decoder.class.name": "json",
            "stream.memory.consumer.prop.auto.offset.reset": "smallest",
            "realtime.segment.flush.threshold.segment.rows": "10",
            "realtime.segment.flush.threshold.time": "6h",
        }]}},
        "metadata": {},
    });
    let capabilities = spec::Capabilities {
        stream_types: &["memory"],
        decoder: |_| spec::DecoderKnown::Yes("json"),
        decoder_key: |_, _| true,
        expression: |_| Ok(weir_types::ExpressionFacts::default()),
    };
    let schema = spec::parse_schema(&schema).unwrap();
    let parsed = spec::parse_table(&config, Some(&schema.schema), &capabilities).unwrap();
    assert!(parsed.not_yet_effective.is_empty(), "{:?}", parsed.not_yet_effective);
    NewTable::from_parsed(parsed, schema)
}

#[derive(Default)]
struct Made {
    messages: BTreeMap<u32, u64>,
    young: BTreeSet<i64>,
    ids: i64,
    /// Young rows that an answer held that lacked nothing.
    seen: usize,
}

struct Run<'a> {
    world: World,
    /// Times of the deep store's objects: the world's, which goes on from life to life.
    wall: Arc<SetClock>,
    chance: Chance,
    made: Made,
    tally: &'a mut Tally,
}

impl<'a> Run<'a> {
    fn new(seed: u64, tally: &'a mut Tally) -> Self {
        let mut world = World::new(seed, Bug::None);
        let wall = SetClock::at(world.wall_ms);
        world.deep = MemoryFiles::new(wall.clone());
        world.store = Faulty::new(world.deep.clone(), Chance::seeded(seed ^ 0x5EED));
        Self { world, wall, chance: Chance::seeded(seed), made: Made::default(), tally }
    }

    /// Some messages in a row, all of them young or all of them old.
    fn produce(&mut self) {
        let topic = TopicName::parse(TOPIC).unwrap();
        let partition = self.chance.below(u64::from(PARTITIONS)) as u32;
        let old = self.chance.hit(0.6);
        let count = self.chance.below(40);
        for _ in 0..count {
            let id = self.made.ids;
            self.made.ids += 1;
            let at = if old { self.world.wall_ms - 2 * DAY } else { self.world.wall_ms };
            if !old {
                self.made.young.insert(id);
            }
            let value = format!(r#"{{"id":{id},"at":{at}}}"#);
            self.world.streams.append(&topic, partition, None, Some(value.into()), vec![], self.world.wall_ms);
        }
        *self.made.messages.entry(partition).or_default() += count;
    }

    fn fault(&mut self) {
        match self.chance.below(12) {
            0 => {
                self.tally.hit("deep store down");
                self.world.store.set_down(true);
            }
            1 | 2 => self.world.store.set_down(false),
            3 => {
                self.tally.hit("deep store loses acknowledgements");
                self.world.store.set_lost_acks(0.5);
            }
            4 => self.world.store.set_lost_acks(0.0),
            5 => {
                self.tally.hit("catalog loses answers");
                self.world.catalog.set_lost_answers(0.3);
            }
            6 | 7 => self.world.catalog.set_lost_answers(0.0),
            _ => {}
        }
    }

    fn heal(&self) {
        self.world.store.set_down(false);
        self.world.store.set_lost_acks(0.0);
        self.world.catalog.set_lost_answers(0.0);
    }

    /// A life of the node: to a crash in the middle of a removal, or to the end.
    fn live(&mut self, first: bool, last: bool) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let lived = runtime.block_on(async {
            let alive = self.world.start().await?;
            if first {
                self.heal();
                alive.node.create_table(table(), "sim").await.map_err(|error| error.to_string())?;
            }
            for _ in 0..5 + self.chance.below(10) {
                self.produce();
                self.fault();
                tokio::time::sleep(Duration::from_millis(self.chance.below(2000))).await;
                if self.chance.hit(0.3) {
                    let removed = alive.node.clean().await.segments;
                    self.tally.hit_times("segments removed", removed);
                }
                self.see(&alive).await?;
            }
            if !last {
                let node = alive.node.clone();
                let cleaning = tokio::spawn(async move { node.clean().await });
                for _ in 0..self.chance.below(8) {
                    tokio::task::yield_now().await;
                }
                self.tally.hit_times("removal cut short by a crash", u64::from(!cleaning.is_finished()));
                self.world.disk.kill();
                return Ok(());
            }
            self.heal();
            self.finish(&alive).await
        });
        drop(runtime);
        if self.chance.hit(0.3) {
            self.tally.hit("power loss");
            self.world.disk.crash(&mut self.chance);
            self.world.boot += 1;
        }
        self.world.wall_ms += HOUR;
        self.wall.set(self.world.wall_ms);
        lived
    }

    /// What is visible: nothing twice, nothing that was not made, and no young row less than before without a word.
    async fn see(&mut self, alive: &Alive) -> Result<BTreeSet<i64>, String> {
        let snapshot = snapshot(alive).await?;
        let mut ids = BTreeSet::new();
        for id in snapshot.segments.iter().flat_map(|view| longs(&*open(view), "id")) {
            if !ids.insert(id) {
                return Err(format!("row {id} is visible twice"));
            }
        }
        let young = self.made.young.intersection(&ids).count();
        if snapshot.lacks.is_empty() {
            if young < self.made.seen {
                return Err(format!("{young} young rows are visible without a word, {} were before", self.made.seen));
            }
            self.made.seen = young;
        }
        Ok(ids)
    }

    async fn finish(&mut self, alive: &Alive) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(3600);
        alive.node.force_commit(&table_name(), None, "sim").await.ok();
        while !self.is_settled(alive).await? {
            if tokio::time::Instant::now() > deadline {
                return Err(format!("not settled in time: {:?}", alive.node.all_partitions()));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let removed = alive.node.clean().await.segments;
        self.tally.hit_times("segments removed", removed);
        let visible = self.see(alive).await?;
        if let Some(lost) = self.made.young.iter().find(|id| !visible.contains(id)) {
            return Err(format!("young row {lost} is lost"));
        }
        self.check_records(alive, &visible).await?;
        // The objects' time comes, and that of whatever was left behind.
        tokio::time::sleep(Duration::from_secs(80 * 60)).await;
        alive.node.clean().await;
        self.check_places(alive).await
    }

    /// All is read and committed but for what is open.
    async fn is_settled(&mut self, alive: &Alive) -> Result<bool, String> {
        self.see(alive).await?;
        let Some(table) = record(alive).await else { return Err("the record is gone".into()) };
        let segments = alive.catalog.segments(&table).await.map_err(|error| error.to_string())?;
        let committing = segments.iter().any(|segment| matches!(segment.state, SegmentState::Committing { .. }));
        let read = alive.node.all_partitions().iter().all(|status| {
            let made = self.made.messages.get(&status.partition.partition).copied().unwrap_or_default();
            status.next == NextOffset::new(made)
        });
        let lacks = alive.tables.get("events").is_some_and(|table| !table.snapshot().lacks.is_empty());
        Ok(read && !committing && !lacks)
    }

    /// Chains hold, nothing too old is left but the last, every message is counted, and what is visible is what is named.
    async fn check_records(&self, alive: &Alive, visible: &BTreeSet<i64>) -> Result<(), String> {
        let table = record(alive).await.ok_or("the record is gone")?;
        let segments = alive.catalog.segments(&table).await.map_err(|error| error.to_string())?;
        let removed = alive.catalog.removed(&table).await.map_err(|error| error.to_string())?;
        for number in 0..PARTITIONS {
            let partition = StreamPartition { topic: TopicName::parse(TOPIC).unwrap(), partition: number };
            let of: Vec<_> = segments.iter().filter(|segment| segment.partition == partition).cloned().collect();
            let runs = removed.get(&partition).map(|removed| removed.runs.clone()).unwrap_or_default();
            chain(&of, &runs, &[]).map_err(|error| format!("{partition}: {error}"))?;
            let fixed = of.iter().filter(|segment| segment.state.range().is_some());
            for segment in fixed.rev().skip(1) {
                let SegmentState::Done { artifact, .. } = &segment.state else { continue };
                if artifact.max_time_ms.is_none_or(|newest| newest < self.world.wall_ms - DAY) {
                    return Err(format!("segment {} is too old and still there", segment.name));
                }
            }
        }
        for status in alive.node.all_partitions() {
            let made = self.made.messages.get(&status.partition.partition).copied().unwrap_or_default();
            let counts = status.accounting;
            if status.start != NextOffset::ZERO || counts.fetched != made || !counts.explains(made) {
                return Err(format!(
                    "{made} messages of {}, counted {counts:?} from {}",
                    status.partition, status.start
                ));
            }
        }
        let rows: u64 = alive.node.all_partitions().iter().map(|status| status.accounting.rows).sum();
        let gone: u64 = removed.values().map(|removed| removed.counts.rows).sum();
        if rows - gone != visible.len() as u64 {
            return Err(format!("{rows} rows were stored, {gone} removed, {} are visible", visible.len()));
        }
        Ok(())
    }

    async fn check_places(&self, alive: &Alive) -> Result<(), String> {
        let table = record(alive).await.ok_or("the record is gone")?;
        let segments = alive.catalog.segments(&table).await.map_err(|error| error.to_string())?;
        let done = segments.iter().filter_map(|segment| match &segment.state {
            SegmentState::Done { artifact, .. } => Some((artifact.key.clone(), format!("{}.weir", segment.name))),
            _ => None,
        });
        let (keys, names): (BTreeSet<String>, BTreeSet<String>) = done.unzip();
        let objects = self.world.deep.list("").await.map_err(|error| error.to_string())?;
        let objects: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
        let files = table_files(&self.world, "segments", ".weir");
        let files: BTreeSet<String> =
            files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        if objects != keys || files != names {
            return Err(format!("named are {keys:?}; objects {objects:?}, files {files:?}"));
        }
        let doomed = alive.catalog.doomed(&table).await.map_err(|error| error.to_string())?;
        if doomed.is_empty() { Ok(()) } else { Err(format!("{doomed:?} are still to go")) }
    }
}

/// Runs a seed. An error tells what did not hold.
fn run(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut run = Run::new(seed, tally);
    let lives = 2 + run.chance.below(3);
    for life in 0..lives {
        run.live(life == 0, life + 1 == lives).map_err(|what| format!("life {life} of {lives}: {what}"))?;
    }
    Ok(())
}

#[test]
fn old_rows_go_and_nothing_else_does() {
    survive("old_rows_go_and_nothing_else_does", 50, &ALL, run);
}
