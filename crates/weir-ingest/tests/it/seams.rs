//! Places where a part can be put in, each seen through a part that does something.

use crate::world::{World, events, table_name};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use weir_control::{Completion, Report, SegmentState, Verdict};
use weir_ingest::{KeyStage, KeyStages, Seats};
use weir_types::{Accounting, ColumnData, NextOffset, RowBatch};

/// Tells the first replica that reports to go on to `end`, then lets it commit.
struct EndsAt {
    end: NextOffset,
    reports: Mutex<Vec<Report>>,
}

#[async_trait::async_trait]
impl Completion for EndsAt {
    async fn report(&self, report: Report) -> Verdict {
        let at = report.at;
        self.reports.lock().push(report);
        if at < self.end { Verdict::CatchUp(self.end) } else { Verdict::Commit }
    }
}

#[tokio::test(start_paused = true)]
async fn seam_a_sole_replica_asks_and_stops_at_the_agreed_offset() {
    let completion = Arc::new(EndsAt { end: NextOffset::new(5), reports: Mutex::default() });
    let world = World::start(Seats { completion: Some(completion.clone()), keys: None }).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    let messages = |ids: std::ops::Range<i64>| ids.map(|id| json!({"id": id})).collect::<Vec<_>>();
    world.produce(&messages(0..3));
    world.until_visible(3).await;
    // Whoever asks is told that it is not sealed yet, or waits: the end is further on.
    drop(world.node.force_commit(&table_name("events"), None, "me").await);
    // The batch reaches beyond the agreed end: what is beyond belongs to the successor.
    world.produce(&messages(3..9));
    world.until_visible(9).await;
    let segments = world.segments().await;
    let ends: Vec<_> = segments
        .iter()
        .filter_map(|segment| match &segment.state {
            SegmentState::Consuming { .. } => None,
            SegmentState::Committing { range, .. } | SegmentState::Done { range, .. } => Some(range.end().number()),
        })
        .collect();
    assert_eq!(ends, [5], "{segments:?}");
    assert!(segments.iter().all(|segment| segment.replicas.iter().map(|name| &**name).eq(["Server_here_1"])));
    let reports: Vec<u64> = completion.reports.lock().iter().map(|report| report.at.number()).collect();
    assert_eq!(reports, [3, 5]);
    assert_eq!(world.ids().await, (0..9).collect::<Vec<_>>());
}

/// Lets rows of even ids pass.
struct EvenOnly;

impl KeyStage for EvenOnly {
    fn apply(&mut self, rows: &mut RowBatch, _: &dyn Fn(u32) -> NextOffset, counts: &mut Accounting) {
        let ColumnData::Long(ids) = &mut rows.columns[0].data else { panic!("id is LONG") };
        let pass: Vec<bool> = ids.iter().map(|id| id % 2 == 0).collect();
        let mut passes = pass.iter();
        ids.retain(|_| *passes.next().expect("one answer per row"));
        let mut passes = pass.iter();
        rows.message_of_row.retain(|_| *passes.next().expect("one answer per row"));
        counts.filtered += pass.iter().filter(|pass| !**pass).count() as u64;
    }
}

#[tokio::test(start_paused = true)]
async fn seam_a_key_stage_stands_between_transform_and_append() {
    let keys: Arc<KeyStages> = Arc::new(|_, _| Box::new(EvenOnly) as Box<dyn KeyStage>);
    let world = World::start(Seats { completion: None, keys: Some(keys) }).await;
    world.node.create_table(events(&[]), "me").await.unwrap();
    world.produce(&(0..10).map(|id| json!({"id": id})).collect::<Vec<_>>());
    world.until_visible(5).await;
    assert_eq!(world.ids().await, [0, 2, 4, 6, 8]);
    let accounting = world.status().accounting;
    assert_eq!((accounting.fetched, accounting.stored, accounting.filtered), (10, 5, 5));
    assert!(accounting.balances());
}
