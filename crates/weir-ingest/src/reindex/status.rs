//! What committed segments lack of the indexes that their table asks for now, and asking for a look.

use crate::{error::IngestError, node::IngestNode, reindex::decide::missing};
use std::{collections::BTreeMap, sync::Arc};
use weir_control::{Artifact, TableRecord, index_settings};
use weir_segment::{SealedSegment, Segment};
use weir_types::TableName;

/// The state of a table's indexes when it was asked for.
pub struct IndexStatus {
    table: Arc<TableRecord>,
    settings: u64,
    /// Files that are open, each with its checksum by name.
    open: BTreeMap<Arc<str>, (u32, Arc<SealedSegment>)>,
    /// Why segments have not got their indexes yet.
    troubles: BTreeMap<Arc<str>, String>,
}

impl IndexStatus {
    /// Indexes that a committed segment lacks, each with its column and, where it is known, why.
    #[must_use]
    pub fn missing(&self, segment: &str, artifact: &Artifact) -> Vec<String> {
        let open = self.open.get(segment).filter(|(crc, _)| *crc == artifact.crc);
        let file = open.map(|(_, file)| &**file as &dyn Segment);
        let mut missing = missing(artifact, file, &self.table.spec.indexes, self.settings);
        if !missing.is_empty()
            && let Some(why) = self.troubles.get(segment)
        {
            missing.push(format!("the last attempt: {why}"));
        }
        missing
    }
}

impl IngestNode {
    /// The state of a table's indexes now.
    ///
    /// # Errors
    /// The table is not here.
    pub fn index_status(&self, name: &TableName) -> Result<IndexStatus, IngestError> {
        let runtime = self.runtime(name)?;
        let context = runtime.context();
        let table = context.record.load_full();
        let mut open = BTreeMap::new();
        for view in context.on_node.partitions().values() {
            let shown = view.snapshot();
            for segment in shown.whole.iter().chain(&*shown.replayed) {
                if let Some(recorded) = segment.segment.recorded()
                    && let Some(file) = recorded.peek()
                {
                    open.insert(segment.name.clone(), (recorded.facts().crc, file));
                }
            }
        }
        let settings = index_settings(&table.spec.indexes);
        let attempts = context.reindexing.attempts.lock();
        let now = attempts.iter().filter(|(_, attempts)| attempts.settings == settings);
        let troubles = now.map(|(segment, attempts)| (segment.clone(), attempts.why.clone())).collect();
        Ok(IndexStatus { table, settings, open, troubles })
    }

    /// Has committed segments of a table looked at now, also those whose index could not be built before.
    ///
    /// # Errors
    /// The table is not here.
    pub fn reindex(&self, name: &TableName) -> Result<(), IngestError> {
        self.runtime(name)?.context().reindexing.ask();
        Ok(())
    }
}
