//! A column is added while a partition is consuming: nothing stops, older rows answer with its default.

use crate::world::{World, events, table_name};
use serde_json::json;
use std::time::Duration;
use weir_control::{SealReason, SegmentState};
use weir_ingest::Seats;
use weir_types::Value;

#[tokio::test(start_paused = true)]
async fn added_columns_hold_the_next_message_and_default_before() {
    let world = World::start(Seats::default()).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&[json!({"id": 1, "city": "Rome", "tags": ["a", "b"]})]);
    world.until_visible(1).await;
    world.seal(1).await;
    world.produce(&[json!({"id": 2, "city": "Oslo", "tags": ["c"]})]);
    world.until_visible(2).await;

    let more = [
        json!({"name": "city", "dataType": "STRING", "defaultNullValue": "nowhere"}),
        json!({"name": "tags", "dataType": "STRING", "singleValueField": false}),
    ];
    world.node.update_table(&table_name("events"), events(&more), "me").await.unwrap();
    world.produce(&[json!({"id": 3, "city": "Lima", "tags": ["d", "e"]})]);
    world.until_visible(3).await;

    let text = |text: &str| Value::Str(text.into());
    let row = |id: i64, city: &str, tags: &[&str]| {
        vec![
            Some(vec![Value::Long(id)]),
            Some(vec![text(city)]),
            Some(tags.iter().map(|tag| text(tag)).collect::<Vec<_>>()),
        ]
    };
    let rows = [row(1, "nowhere", &["null"]), row(2, "nowhere", &["null"]), row(3, "Lima", &["d", "e"])];
    assert_eq!(world.rows(&["id", "city", "tags"]).await, rows, "while rows are open");
    // The row of before and the row of after stand in segments of their own.
    world.seal(3).await;
    assert_eq!(world.rows(&["id", "city", "tags"]).await, rows, "once all are sealed");
    let reasons: Vec<SealReason> = world
        .segments()
        .await
        .iter()
        .filter_map(|segment| match &segment.state {
            SegmentState::Done { seal, .. } => Some(seal.reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [SealReason::Forced, SealReason::Settings, SealReason::Forced], "each says why it ended");
    let accounting = world.status().accounting;
    assert_eq!((accounting.fetched, accounting.stored, accounting.rejected), (3, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_said_again_seal_nothing() {
    let world = World::start(Seats::default()).await;
    let name = table_name("events");
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&[json!({"id": 1})]);
    world.until_visible(1).await;
    let acts = world.store.audit_log().await.unwrap().entries.len();
    for _ in 0..3 {
        world.node.update_table(&name, events(&[]), "me").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(world.segments().await.len(), 1);
    assert_eq!(world.store.audit_log().await.unwrap().entries.len(), acts);
    let more = json!({"name": "more", "dataType": "LONG"});
    world.node.update_table(&name, events(&[more]), "me").await.unwrap();
    world.until("the seal", async || world.segments().await.len() == 2).await;
}
