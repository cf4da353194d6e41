//! All tables of a node: opened from the catalog at start, made, changed, paused and dropped by request.

use crate::{
    deps::IngestDeps,
    error::IngestError,
    pipeline::Command,
    quarantine::Quarantine,
    sealer::BuildPermits,
    status::PartitionStatus,
    table::{TableRuntime, plan, start_records},
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{Semaphore, oneshot};
use weir_control::{NewTable, PauseInfo, SegmentRecord, TableRecord};
use weir_types::TableName;

/// The ingestion of a node.
pub struct IngestNode {
    deps: IngestDeps,
    permits: BuildPermits,
    tables: Mutex<BTreeMap<TableName, Arc<TableRuntime>>>,
    /// Requests that change the set of tables take turns.
    changing: tokio::sync::Mutex<()>,
}

impl IngestNode {
    /// Opens every table that the catalog names. A table whose streams cannot be reached opens all the same: its
    /// partitions say so.
    pub async fn start(deps: IngestDeps) -> Result<Arc<Self>, IngestError> {
        let node = Arc::new(Self {
            permits: Arc::new(Semaphore::new(1)),
            tables: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            deps,
        });
        for record in node.deps.store.tables().await? {
            let name = record.spec.name.clone();
            let runtime = TableRuntime::open(node.deps.clone(), record, node.permits.clone(), false).await?;
            node.tables.lock().insert(name, runtime);
        }
        Ok(node)
    }

    /// What the node stands on.
    #[must_use]
    pub fn deps(&self) -> &IngestDeps {
        &self.deps
    }

    /// Asks the streams of a table whether they answer as its settings say.
    pub async fn validate(&self, new: &NewTable) -> Result<(), IngestError> {
        plan(&self.deps, &new.draft()).await.map(drop)
    }

    /// Makes a table: asks its streams, writes the catalog, starts. It is queryable when this returns; on an error
    /// nothing is left behind.
    pub async fn create_table(&self, new: NewTable) -> Result<TableRecord, IngestError> {
        let _turn = self.changing.lock().await;
        for (at, stream) in new.spec.streams.iter().enumerate() {
            let ensured = self.deps.streams.ensure_topic(stream).await;
            ensured.map_err(|source| IngestError::Stream { path: format!("streamConfigMaps[{at}]"), source })?;
        }
        let partitions = plan(&self.deps, &new.draft()).await?;
        let record = self.deps.store.create_table(new, self.deps.clock.wall_ms()).await?;
        let opened = async {
            start_records(&self.deps, &record, partitions).await?;
            TableRuntime::open(self.deps.clone(), record.clone(), self.permits.clone(), true).await
        };
        match opened.await {
            Ok(runtime) => {
                self.tables.lock().insert(record.spec.name.clone(), runtime);
                Ok(record)
            }
            Err(error) => {
                if let Err(left) = self.deps.store.drop_table(&record.spec.name).await {
                    tracing::error!(table = %record.spec.name, error = %left, "a table that could not start stays in the catalog");
                }
                Err(error)
            }
        }
    }

    /// Changes a table's settings or schema; open segments are sealed and consumption goes on with the new ones.
    pub async fn update_table(&self, name: &TableName, new: NewTable) -> Result<TableRecord, IngestError> {
        let _turn = self.changing.lock().await;
        let runtime = self.runtime(name)?;
        let before = runtime.context().record.load_full();
        let record = self.deps.store.replace_table(&before, new).await?;
        runtime.reshape(record.clone()).await;
        Ok(record)
    }

    /// Drops a table with its objects, local files and quarantine. False where it is not here.
    pub async fn drop_table(&self, name: &TableName) -> Result<bool, IngestError> {
        let _turn = self.changing.lock().await;
        let Some(runtime) = self.tables.lock().remove(name) else { return Ok(false) };
        runtime.stop();
        self.deps.store.drop_table(name).await?;
        self.deps.metrics.forget(name.as_str());
        let context = runtime.context();
        let record = context.record.load_full();
        let dir = self.deps.options.dir.join(format!("{}-{}", name, record.uid));
        let removed = self.deps.disk.remove_dir_all(&dir);
        removed.map_err(|source| IngestError::Disk { action: format!("remove the files of {name}"), source })?;
        // The catalog no longer names the objects; one that stays is garbage, not a wrong answer.
        match self.deps.deep_store.list(&context.object_prefix()).await {
            Ok(objects) => {
                for object in objects {
                    if let Err(error) = self.deps.deep_store.delete(&object.key).await {
                        tracing::warn!(%error, "an object of a dropped table stays");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "objects of a dropped table stay"),
        }
        Ok(true)
    }

    /// A table's partitions; `None` where it is not here.
    #[must_use]
    pub fn partitions(&self, name: &TableName) -> Option<Vec<PartitionStatus>> {
        Some(self.tables.lock().get(name)?.partitions())
    }

    /// All tables' partitions.
    #[must_use]
    pub fn all_partitions(&self) -> Vec<PartitionStatus> {
        let tables: Vec<_> = self.tables.lock().values().cloned().collect();
        tables.iter().flat_map(|table| table.partitions()).collect()
    }

    /// A table's quarantine.
    #[must_use]
    pub fn quarantine(&self, name: &TableName) -> Option<Arc<Quarantine>> {
        Some(self.tables.lock().get(name)?.context().quarantine.clone())
    }

    /// A table's record as the node has it.
    #[must_use]
    pub fn record(&self, name: &TableName) -> Option<Arc<TableRecord>> {
        Some(self.tables.lock().get(name)?.context().record.load_full())
    }

    /// Names of the tables at work.
    #[must_use]
    pub fn names(&self) -> Vec<TableName> {
        self.tables.lock().keys().cloned().collect()
    }

    /// A table's segment records.
    pub async fn segments(&self, name: &TableName) -> Result<Vec<SegmentRecord>, IngestError> {
        let record = self.runtime(name)?.context().record.load_full();
        Ok(self.deps.store.segments(&record).await?)
    }

    /// Bytes of a segment's local copy.
    #[must_use]
    pub fn local_byte_count(&self, name: &TableName, segment: &str) -> Option<u64> {
        self.tables.lock().get(name)?.context().cache.byte_count(segment)
    }

    /// Stops reading a table; what was read stays queryable. Survives a restart.
    pub async fn pause(&self, name: &TableName, pause: PauseInfo) -> Result<(), IngestError> {
        let reason = pause.reason.clone();
        self.set_paused(name, Some(pause)).await?;
        for handle in self.runtime(name)?.handles() {
            handle.send(Command::Pause(reason.clone())).await;
        }
        Ok(())
    }

    /// Reads on.
    pub async fn resume(&self, name: &TableName) -> Result<(), IngestError> {
        self.set_paused(name, None).await?;
        for handle in self.runtime(name)?.handles() {
            handle.send(Command::Resume).await;
        }
        Ok(())
    }

    /// Seals the open segments of a table (of some of its partitions, by Pinot's number) and names them.
    pub async fn force_commit(
        &self,
        name: &TableName,
        partition_groups: Option<&[u32]>,
    ) -> Result<Vec<String>, IngestError> {
        let mut sealed = vec![];
        for handle in self.runtime(name)?.handles() {
            let group = handle.status.get().partition_group;
            if partition_groups.is_some_and(|groups| !groups.contains(&group)) {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            if handle.send(Command::Seal(answer)).await
                && let Ok(Some(segment)) = answered.await
            {
                sealed.push(segment.to_string());
            }
        }
        Ok(sealed)
    }

    /// Ends all pipelines. Rows of open segments are read again at the next start.
    pub fn stop(&self) {
        for (_, table) in std::mem::take(&mut *self.tables.lock()) {
            table.stop();
        }
    }

    async fn set_paused(&self, name: &TableName, pause: Option<PauseInfo>) -> Result<(), IngestError> {
        let _turn = self.changing.lock().await;
        let runtime = self.runtime(name)?;
        let before = runtime.context().record.load_full();
        let record = self.deps.store.set_paused(&before, pause).await?;
        runtime.context().record.store(Arc::new(record));
        Ok(())
    }

    fn runtime(&self, name: &TableName) -> Result<Arc<TableRuntime>, IngestError> {
        self.tables.lock().get(name).cloned().ok_or_else(|| IngestError::NoTable(name.clone()))
    }
}
