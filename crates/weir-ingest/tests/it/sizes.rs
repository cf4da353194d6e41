//! Segments whose file is to have a size.

use crate::world::{World, stream, table};
use serde_json::{Value as Json, json};
use weir_base::Chance;
use weir_control::{SealReason, SegmentRecord, SegmentState};
use weir_ingest::Seats;

/// Texts that no two rows share, of so many letters, as they come.
fn rows(ids: std::ops::Range<u64>, letters: usize) -> Vec<Json> {
    let mut chance = Chance::seeded(ids.start);
    let mut letter = || char::from(b'!' + u8::try_from(chance.below(90)).unwrap());
    let mut text = |_id: u64| (0..letters).map(|_| letter()).collect::<String>();
    ids.map(|id| json!({"id": id, "text": text(id)})).collect()
}

/// Why it ended, its rows, its file's bytes, and the bytes that were predicted.
fn done(segment: &SegmentRecord) -> Option<(SealReason, u64, u64, Option<u64>)> {
    match &segment.state {
        SegmentState::Done { seal, artifact, .. } => {
            let predicted = seal.size.and_then(|size| size.predicted_bytes);
            Some((seal.reason, seal.accounting.rows, artifact.byte_count, predicted))
        }
        _ => None,
    }
}

const WANTED: u64 = 400 << 10;

/// The first segments end at the rows that the config says; those after them where their own columns come to the size, though
/// rows became ten times as large.
#[tokio::test(start_paused = true)]
async fn the_columns_of_the_open_segment_say_when_its_file_is_large_enough() {
    let world = World::start(Seats::default()).await;
    let mut stream = stream("memory", "events");
    stream["realtime.segment.flush.threshold.segment.rows"] = json!("0");
    stream["realtime.segment.flush.threshold.segment.size"] = json!("400K");
    stream["realtime.segment.flush.autotune.initialRows"] = json!("10000");
    let text = json!({"name": "text", "dataType": "STRING", "maxLength": 4096});
    world.node.create_table(table("events", &[stream], &[text], false), "me").await.unwrap();
    let segment = async |at: usize| world.segments().await.get(at).and_then(done);
    // The second begins before the file of the first is there to learn from.
    for at in [0, 1] {
        world.produce(&rows(at * 10_000..at * 10_000 + 10_000, 30));
        let at = usize::try_from(at).unwrap();
        world.until("a segment", async || segment(at).await.is_some()).await;
        let (reason, count, bytes, predicted) = segment(at).await.unwrap();
        assert_eq!((reason, count, predicted), (SealReason::Size, 10_000, None));
        assert!(bytes > 100_000, "{bytes}");
    }
    // A batch at a time, as from a stream that is not behind.
    for from in (20_000..26_000).step_by(100) {
        world.produce(&rows(from..from + 100, 300));
        let rows = usize::try_from(from).unwrap() + 100;
        world.until_visible(rows).await;
    }
    world.until("the fourth segment", async || segment(3).await.is_some()).await;
    for at in [2, 3] {
        let (reason, count, bytes, predicted) = segment(at).await.unwrap();
        let predicted = predicted.expect("the first segment taught it");
        assert_eq!(reason, SealReason::Size);
        assert!(count < 4_000, "{count} rows of ten times the size are no tenth part of a segment");
        assert!((WANTED..WANTED * 2).contains(&predicted), "{predicted}");
        assert!((WANTED / 2..WANTED * 3).contains(&bytes), "{bytes}");
    }
}
