//! Moves of offsets, partitions that end and start again, pauses, topics that come and go, and the audit.

use super::{move_to, new, replicas};
use crate::support::{Bench, artifact, capabilities, new_table, partition, range, schema_json, seal, table_json};
use serde_json::{Value as Json, json};
use weir_control::{
    AUDIT_KEPT, AuditAction, AuditEntry, Limits, MoveTo, NewTable, PartPause, PauseInfo, SegmentState, StoreError,
    chain, changes, parse_schema, parse_table,
};
use weir_types::{NextOffset, SkipReason, StreamPartition, TableName, TopicName};

fn entry(action: AuditAction, who: &str) -> AuditEntry {
    AuditEntry::new(action, &TableName::parse("orders").unwrap(), who, 5)
}

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

/// A table that reads those topics, each by name, or by pattern where the name starts with `~`.
fn reading(topics: &[&str]) -> NewTable {
    let map = |name: &&str| {
        let mut map = json!({"streamType": "kafka", "stream.kafka.broker.list": "localhost:9092",
            "stream.kafka.decoder.class.name": "json"});
        match name.strip_prefix('~') {
            Some(pattern) => map["stream.kafka.topic.pattern"] = pattern.into(),
            None => map["stream.kafka.topic.name"] = (*name).into(),
        }
        map
    };
    let mut table = table_json("orders");
    table["tableIndexConfig"].as_object_mut().unwrap().remove("streamConfigs");
    table["ingestionConfig"] =
        json!({"streamIngestionConfig": {"streamConfigMaps": topics.iter().map(map).collect::<Json>()}});
    let schema = parse_schema(&schema_json("orders")).unwrap();
    NewTable::from_parsed(parse_table(&table, Some(&schema.schema), &capabilities()).unwrap(), schema)
}

#[tokio::test]
async fn a_move_back_is_on_the_record_with_its_audit() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[entry(AuditAction::CreateTable, "ann")]).await.unwrap();
    let started = store.start_partition(&table, new(0, 100), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    let (_, open) = store.fix_end(&started, range(100, 150), seal(50), Limits::of_rows(60)).await.unwrap();
    let same = store.move_start(&table, &open, &move_to(150, SkipReason::Reset), &[]).await.unwrap_err();
    assert!(matches!(same, StoreError::Contradiction { .. }), "{same}");
    let audit = [entry(AuditAction::MoveOffset, "bob").partition(&partition(0)).change(150, 120)];
    let back = store.move_start(&table, &open, &move_to(120, SkipReason::Reset), &audit).await.unwrap();
    let again = MoveTo { topic_id: Some("id-2".into()), ..move_to(0, SkipReason::Recreated) };
    let moved = store.move_start(&table, &back, &again, &[]).await.unwrap();
    assert_eq!(moved.state, SegmentState::Consuming { start: NextOffset::ZERO });
    let stale = store.move_start(&table, &back, &move_to(130, SkipReason::Reset), &audit).await.unwrap_err();
    assert!(matches!(stale, StoreError::Conflict { .. }), "{stale}");
    let stays = MoveTo { topic_id: Some("id-3".into()), ..again };
    let moved = store.move_start(&table, &moved, &stays, &[]).await.unwrap();

    let store = {
        drop(store);
        bench.store()
    };
    let moves = store.moves(&table).await.unwrap();
    let steps: Vec<(u32, u64, u64)> =
        moves.iter().map(|step| (step.before, step.from.number(), step.to.number())).collect();
    assert_eq!(steps, [(1, 150, 120), (1, 120, 0), (1, 0, 0)]);
    assert_eq!(store.skips(&table).await.unwrap(), [], "a move back skips nothing");
    assert_eq!(&*store.topic_ids(&table).await.unwrap()[&partition(0)], "id-3");
    let (_, next) = store.fix_end(&moved, range(0, 10), seal(10), Limits::of_rows(60)).await.unwrap();
    let segments = store.segments(&table).await.unwrap();
    chain(&segments, &[], &moves).unwrap();
    assert!(chain(&segments, &[], &moves[..1]).is_err(), "half the way is no way");
    assert_eq!(next.state.start(), NextOffset::new(10));
    let log = store.audit_log().await.unwrap();
    let said: Vec<(AuditAction, &str, &str)> =
        log.entries.iter().map(|(_, entry)| (entry.action, entry.who.as_str(), entry.after.as_str())).collect();
    assert_eq!(said, [(AuditAction::CreateTable, "ann", ""), (AuditAction::MoveOffset, "bob", "120")]);
}

#[tokio::test]
async fn a_partition_ends_without_successor_and_starts_again_where_it_ended() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    let both = vec![new(0, 0), new(1, 7)];
    let started = store.start_partitions(&table, both, Limits::of_rows(50), 10, &replicas()).await.unwrap();
    let wrong = store.end_partition(&started[0], range(1, 2), seal(1)).await.unwrap_err();
    assert!(matches!(wrong, StoreError::Conflict { .. }), "{wrong}");
    let last = store.end_partition(&started[0], range(0, 5), seal(5)).await.unwrap().unwrap();
    store.finish(&last, artifact(&last)).await.unwrap();
    assert_eq!(store.end_partition(&started[1], range(7, 7), seal(0)).await.unwrap(), None, "nothing was read");
    assert_eq!(store.segments_of(&table, &partition(1)).await.unwrap(), []);
    let astray = store.start_partition(&table, new(0, 9), Limits::of_rows(50), 10, &replicas()).await.unwrap_err();
    assert!(matches!(astray, StoreError::Chain(_)), "{astray}");
    let next = store.start_partition(&table, new(0, 5), Limits::of_rows(50), 10, &replicas()).await.unwrap();
    assert_eq!(next.name.sequence, 1);
}

#[tokio::test]
async fn topics_keep_their_numbers_and_what_goes_is_remembered() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(reading(&["a", "b"]), 1, &[]).await.unwrap();
    let group =
        |table: &weir_control::TableRecord, name| table.group(&StreamPartition { topic: topic(name), partition: 3 });
    assert_eq!((group(&table, "a"), group(&table, "b")), (3, 10_003));
    let next = reading(&["b", "c"]);
    let audit = changes(&table, &next, "ann", 9);
    let said: Vec<(AuditAction, Option<&str>)> =
        audit.iter().map(|entry| (entry.action, entry.topic.as_ref().map(TopicName::as_str))).collect();
    let expected =
        [(AuditAction::UpdateTable, None), (AuditAction::RemoveTopic, Some("a")), (AuditAction::AddTopic, Some("c"))];
    assert_eq!(said, expected);
    assert!(audit[0].before.contains("topic.name = \"a\"") && audit[0].after.contains("topic.name = \"c\""));
    let changed = store.replace_table(&table, next, &audit).await.unwrap();
    assert_eq!((group(&changed, "b"), group(&changed, "c")), (10_003, 20_003));
    let stored = store.table(&table.spec.name).await.unwrap().unwrap();
    assert_eq!(stored.topics, changed.topics);
    assert_eq!(stored.retired_stream(&topic("a")).unwrap().topic, topic("a"));
    let back = store.replace_table(&stored, reading(&["a", "c", "b"]), &[]).await.unwrap();
    assert_eq!((group(&back, "a"), group(&back, "c")), (3, 20_003));
    assert!(back.retired_stream(&topic("a")).is_none());
}

#[tokio::test]
async fn a_secret_that_changes_is_said_to_and_hidden() {
    let bench = Bench::new();
    let store = bench.store();
    let with = |password: &str| {
        let mut new = reading(&["a"]);
        new.config_json["metadata"]["customConfigs"]["password"] = password.into();
        new
    };
    let table = store.create_table(with("one"), 1, &[]).await.unwrap();
    let audit = changes(&table, &with("two"), "ann", 9);
    let said: Vec<(&str, &str)> = audit.iter().map(|entry| (&*entry.before, &*entry.after)).collect();
    assert_eq!(said, [("", "/metadata/customConfigs/password is another secret")]);
}

#[tokio::test]
async fn a_pattern_names_streams_as_they_are_found() {
    let bench = Bench::new();
    let store = bench.store();
    let made = NewTable { topics: vec![topic("logs.eu")], ..reading(&["x", "~logs[.].*"]) };
    let table = store.create_table(made, 1, &[]).await.unwrap();
    let names = |table: &weir_control::TableRecord| -> Vec<String> {
        table.streams().iter().map(|stream| stream.topic.to_string()).collect()
    };
    assert_eq!(names(&table), ["x", "logs.eu"]);
    let table = store.add_topics(&table, &[topic("logs.us"), topic("logs.eu")], &[]).await.unwrap();
    let stored = store.table(&table.spec.name).await.unwrap().unwrap();
    assert_eq!(names(&stored), ["x", "logs.eu", "logs.us"]);
    assert_eq!(stored.topics[&topic("logs.us")], 2);
    let narrower = store.replace_table(&stored, reading(&["x", "~logs[.]us"]), &[]).await.unwrap();
    assert_eq!(names(&narrower), ["x", "logs.us"]);
    let stored = store.table(&table.spec.name).await.unwrap().unwrap();
    assert_eq!(stored.retired_stream(&topic("logs.eu")).unwrap().stream_type.as_ref(), "kafka");
}

#[tokio::test]
async fn pauses_hold_for_tables_topics_and_partitions() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(reading(&["a", "b"]), 1, &[]).await.unwrap();
    let pause = |comment: &str| PauseInfo { reason: "ADMINISTRATIVE".into(), comment: comment.into(), at_ms: 3 };
    let parts = vec![
        PartPause { topic: topic("a"), partition: None, pause: pause("topic") },
        PartPause { topic: topic("b"), partition: Some(1), pause: pause("partition") },
    ];
    store.set_pauses(&table, None, parts.clone(), &[entry(AuditAction::Pause, "ann")]).await.unwrap();
    let stored = store.table(&table.spec.name).await.unwrap().unwrap();
    assert_eq!(stored.part_pauses, parts);
    let held = |name: &str, number| {
        let partition = StreamPartition { topic: topic(name), partition: number };
        stored.pause_of(&partition).map(|pause| pause.comment.clone())
    };
    assert_eq!(
        (held("a", 7).as_deref(), held("b", 1).as_deref(), held("b", 0)),
        (Some("topic"), Some("partition"), None)
    );
    let all = store.set_pauses(&stored, Some(pause("all")), parts, &[]).await.unwrap();
    let any = StreamPartition { topic: topic("b"), partition: 0 };
    assert_eq!(all.pause_of(&any).unwrap().comment, "all");
}

#[tokio::test]
async fn whose_log_it_is_is_remembered_once() {
    let bench = Bench::new();
    let store = bench.store();
    let table = store.create_table(new_table("orders"), 1, &[]).await.unwrap();
    store.note_topic_ids(&table, &[partition(0)], "one").await.unwrap();
    store.note_topic_ids(&table, &[partition(0), partition(1)], "two").await.unwrap();
    let ids = store.topic_ids(&table).await.unwrap();
    assert_eq!((&*ids[&partition(0)], &*ids[&partition(1)]), ("one", "two"));
}

#[tokio::test]
async fn the_audit_keeps_the_newest() {
    let store = Bench::new().store();
    // Entries of one transaction are numbered too, so a thousand at once fill it quickly.
    let many: Vec<AuditEntry> = (0..1000).map(|_| entry(AuditAction::Pause, "ann")).collect();
    for _ in 0..AUDIT_KEPT / 1000 {
        let made = store.create_table(new_table("orders"), 1, &many).await.unwrap();
        store.drop_table(&made.spec.name, 7, &[]).await.unwrap();
    }
    let full = store.audit_log().await.unwrap();
    assert_eq!((full.entries.len() as u64, full.evicted), (AUDIT_KEPT, 0));
    store.audit(entry(AuditAction::DropTable, "bob")).await.unwrap();
    let log = store.audit_log().await.unwrap();
    assert_eq!((log.entries.len() as u64, log.evicted), (AUDIT_KEPT, 1));
    assert_eq!(log.entries.last().map(|(number, entry)| (*number, entry.who.as_str())), Some((AUDIT_KEPT, "bob")));
}
