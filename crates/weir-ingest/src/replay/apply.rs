//! What a committed replay changes on this node: its rows are seen, its entries leave the quarantine.

use crate::{
    deps::TableContext,
    error::IngestError,
    recorded::{loaded, open_ahead, segment_facts},
    table::TableRuntime,
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use weir_base::tasks::spawn_named;
use weir_control::{ReplayRecord, ReplaySegment, StoreError};
use weir_table::PartitionView;
use weir_types::{StreamPartition, StreamSpec};

/// A catalog that does not answer is asked again after this.
const AGAIN: Duration = Duration::from_secs(2);

impl TableContext {
    /// Learns from the catalog what was replayed and how often each partition was started over. Before its partitions are
    /// started: nothing is shown.
    pub(crate) async fn read_replays(&self) -> Result<(), StoreError> {
        let record = self.record.load_full();
        let moves = self.deps.store.moves(&record).await?;
        for (reading, from) in self.replays.set_moves(moves) {
            self.give_up(&reading, from);
        }
        for replay in self.deps.store.replays(&record).await? {
            self.replays.take_in(&replay);
            self.leave_quarantine(&replay);
        }
        Ok(())
    }

    fn leave_quarantine(&self, replay: &ReplayRecord) {
        for part in &replay.parts {
            let reading = (part.partition.clone(), part.reading);
            if let Err(error) = self.quarantine.replayed(&reading, &part.offsets) {
                let partition = part.partition.to_string();
                tracing::warn!(partition, %error, "replayed records stay in the quarantine file; the catalog's word stands");
            }
        }
    }
}

impl TableRuntime {
    /// The stream of each partition whose rows are seen here.
    pub(super) fn streams(&self) -> BTreeMap<StreamPartition, StreamSpec> {
        let served = self.context().on_node.partitions();
        let stream = |partition: &StreamPartition| Some((partition.clone(), self.feed(&partition.topic)?.spec));
        served.keys().filter_map(stream).collect()
    }

    /// Takes in all replays that the catalog knows of and this node does not.
    pub(super) async fn take_in_replays(self: &Arc<Self>) -> Result<(), IngestError> {
        let context = self.context();
        let record = context.record.load_full();
        for replay in context.deps.store.replays(&record).await? {
            self.take_in(&replay, vec![]);
        }
        Ok(())
    }

    /// Shows a committed replay. `contents` are its segments' files where this node made them.
    pub(super) fn take_in(self: &Arc<Self>, replay: &ReplayRecord, contents: Vec<(Arc<str>, Bytes)>) {
        let context = self.context();
        context.replays.take_in(replay);
        for (name, bytes) in contents {
            if let Err(error) = context.cache.keep(&name, &bytes) {
                tracing::warn!(%error, "a replayed segment is not kept locally yet");
            }
        }
        self.show_all_replayed();
        context.leave_quarantine(replay);
    }

    /// Shows what is known to be replayed: whoever learned of a replay for one partition did so for all.
    pub(crate) fn show_all_replayed(self: &Arc<Self>) {
        for (partition, view) in self.context().on_node.partitions().iter() {
            self.show_replayed(view, self.context().replays.segments(partition));
        }
    }

    /// Shows segments that are on the record.
    pub(crate) fn show_replayed(self: &Arc<Self>, view: &Arc<PartitionView>, segments: Vec<ReplaySegment>) {
        let context = self.context();
        let record = context.record.load_full();
        let present = view.snapshot();
        let mut shown = vec![];
        for segment in segments.iter().filter(|segment| !present.is_loaded(&segment.name)) {
            let made = (record.schema.version, segment.artifact.built_ms);
            let loaded = loaded(context, segment_facts(&record, &segment.name, made, &segment.artifact));
            view.place_replayed(loaded.clone());
            shown.push(loaded);
        }
        if !shown.is_empty() {
            let name = format!("open replayed segments of {}", view.partition());
            self.keep(spawn_named(name, open_ahead(context.clone(), shown)));
        }
    }

    /// The catalog did not say whether it committed a replay: asks until it answers, and shows what it says.
    pub(super) fn find_out(self: &Arc<Self>) {
        let runtime = Arc::downgrade(self);
        self.keep(spawn_named("find out what was replayed", async move {
            loop {
                let Some(alive) = runtime.upgrade() else { return };
                match alive.take_in_replays().await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "it is not known what was replayed"),
                }
                let clock = alive.context().deps.clock.clone();
                drop(alive);
                clock.sleep(AGAIN).await;
            }
        }));
    }
}
