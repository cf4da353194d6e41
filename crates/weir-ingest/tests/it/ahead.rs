//! A partition that is behind is decoded by several threads, and its rows come as if there were one.

use crate::world::{World, stream, table, table_name};
use bytes::Bytes;
use serde_json::json;
use weir_control::SegmentState;
use weir_ingest::{HeavyWork, Seats, Selection};

const MESSAGES: i64 = 120_000;
/// Every one of these is no JSON.
const BROKEN: i64 = 997;
const SEGMENT_ROWS: u64 = 17_000;

#[tokio::test(start_paused = true)]
async fn what_is_decoded_ahead_keeps_its_order_offsets_and_rejects() {
    let world = World::start_with(Seats::default(), HeavyWork::Threads).await;
    let topic = weir_types::TopicName::parse("events").unwrap();
    world.memory.create(&topic, 1);
    for id in 0..MESSAGES {
        let value = if id % BROKEN == 0 { "{".to_owned() } else { json!({ "id": id }).to_string() };
        world.memory.append(&topic, 0, None, Some(Bytes::from(value)), vec![], 0);
    }
    let mut config = stream("memory", "events");
    config["realtime.segment.flush.threshold.segment.rows"] = json!(SEGMENT_ROWS.to_string());
    world.node.create_table(table("events", &[config], &[], false), "me").await.unwrap();
    let good: Vec<i64> = (0..MESSAGES).filter(|id| id % BROKEN != 0).collect();
    world.until_visible(good.len()).await;
    assert_eq!(world.ids().await, good);
    let mut next = 0;
    for segment in world.segments().await {
        if let SegmentState::Committing { range, seal } | SegmentState::Done { range, seal, .. } = segment.state {
            assert_eq!((range.start().number(), seal.accounting.rows), (next, SEGMENT_ROWS));
            let broken = (next..range.end().number()).filter(|offset| offset % BROKEN as u64 == 0).count();
            assert_eq!(seal.accounting.rejected, broken as u64);
            next = range.end().number();
        }
    }
    assert_eq!(next, 119_120, "the last of seven full segments ends there");
    let quarantine = world.node.quarantine(&table_name("events")).unwrap();
    let kept = quarantine.page(&Selection::default(), None, usize::MAX).unwrap().entries;
    let offsets: Vec<u64> = kept.iter().map(|entry| entry.offset.number()).collect();
    assert_eq!(offsets, (0..MESSAGES as u64).step_by(BROKEN as usize).collect::<Vec<_>>());
}
