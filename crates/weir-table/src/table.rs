//! The tables of a node, and the snapshot of one that a query takes at its start and keeps to its last row.

use crate::{
    partition::{PartitionView, Target},
    recorded::SegmentHandle,
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use weir_types::{Schema, StreamPartition, TableKind, TableName, TableSpec};

/// One segment of a snapshot.
#[derive(Clone)]
pub struct SegmentView {
    /// Its rows.
    pub segment: SegmentHandle,
    /// The rows that count; all where there is none.
    pub validity: Option<Arc<RoaringBitmap>>,
    /// Where they came from.
    pub partition: StreamPartition,
    /// Rows still come in.
    pub consuming: bool,
}

/// Something once visible that a snapshot does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// For people: which partition or segment, and how far it is.
    pub what: String,
}

impl Lack {
    /// A segment of a snapshot that cannot be read, and why.
    #[must_use]
    pub fn not_opened(view: &SegmentView, why: &str) -> Self {
        Self { what: format!("segment {} of {} is not loaded: {why}", view.segment.meta().name, view.partition) }
    }
}

/// What of a table is visible at one moment.
#[derive(Clone)]
pub struct TableSnapshot {
    /// The table.
    pub table: TableName,
    /// Its schema.
    pub schema: Arc<Schema>,
    /// Its settings.
    pub spec: Arc<TableSpec>,
    /// Its segments, by partition and range.
    pub segments: Vec<SegmentView>,
    /// It is not to be queried, by request.
    pub disabled: bool,
    /// What it lacks; empty for a right answer.
    pub lacks: Vec<Lack>,
    /// Wall time (milliseconds) up to which every partition is visible; `None` where a partition was never read.
    pub freshness_ms: Option<i64>,
}

impl TableSnapshot {
    /// The same with every segment at hand. What cannot be opened is no segment of it but something that it lacks.
    pub async fn opened(mut self) -> Self {
        let mut segments = Vec::with_capacity(self.segments.len());
        for view in self.segments {
            match view.segment.open().await {
                Ok(segment) => match segment.damage() {
                    None => segments.push(SegmentView { segment: segment.into(), ..view }),
                    Some(what) => self.lacks.push(Lack::not_opened(&view, &what)),
                },
                Err(error) => self.lacks.push(Lack::not_opened(&view, &error.why)),
            }
        }
        Self { segments, ..self }
    }
}

/// One table on this node.
pub struct TableOnNode {
    name: TableName,
    shape: ArcSwap<(Arc<Schema>, Arc<TableSpec>)>,
    partitions: ArcSwap<BTreeMap<StreamPartition, Arc<PartitionView>>>,
    disabled: AtomicBool,
    /// Those who add partitions take turns.
    adding: Mutex<()>,
}

impl TableOnNode {
    /// A table without partitions.
    #[must_use]
    pub fn new(schema: Arc<Schema>, spec: Arc<TableSpec>) -> Arc<Self> {
        Arc::new(Self {
            name: spec.name.clone(),
            shape: ArcSwap::from_pointee((schema, spec)),
            partitions: ArcSwap::default(),
            disabled: AtomicBool::new(false),
            adding: Mutex::new(()),
        })
    }

    /// Its raw name.
    #[must_use]
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Its schema.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.shape.load().0.clone()
    }

    /// Its settings.
    #[must_use]
    pub fn spec(&self) -> Arc<TableSpec> {
        self.shape.load().1.clone()
    }

    /// Changes schema and settings; queries that start from now on see them.
    pub fn reshape(&self, schema: Arc<Schema>, spec: Arc<TableSpec>) {
        self.shape.store(Arc::new((schema, spec)));
    }

    /// Says whether it may be queried; holds for queries that start from now on.
    pub fn set_disabled(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Relaxed);
    }

    /// Adds a partition; one that is there already stays as it is and is returned.
    pub fn add(&self, view: Arc<PartitionView>) -> Arc<PartitionView> {
        let _turn = self.adding.lock();
        let mut partitions = (**self.partitions.load()).clone();
        let kept = partitions.entry(view.partition().clone()).or_insert(view).clone();
        self.partitions.store(Arc::new(partitions));
        kept
    }

    /// Its partitions.
    #[must_use]
    pub fn partitions(&self) -> Arc<BTreeMap<StreamPartition, Arc<PartitionView>>> {
        self.partitions.load_full()
    }

    /// What is visible now.
    #[must_use]
    pub fn snapshot(&self) -> TableSnapshot {
        // The shape is read first: a partition's newer chunk then at most has columns that the query does not know.
        let shape = self.shape.load_full();
        let mut snapshot = TableSnapshot {
            table: self.name.clone(),
            schema: shape.0.clone(),
            spec: shape.1.clone(),
            segments: vec![],
            disabled: self.disabled.load(Ordering::Relaxed),
            lacks: vec![],
            freshness_ms: None,
        };
        let partitions = self.partitions();
        let mut oldest = i64::MAX;
        for (partition, view) in &*partitions {
            let state = view.snapshot();
            let segment = |loaded: &crate::LoadedSegment, consuming| SegmentView {
                segment: loaded.segment.clone(),
                validity: loaded.validity.clone(),
                partition: partition.clone(),
                consuming,
            };
            snapshot.segments.extend(state.whole.iter().map(|loaded| segment(loaded, false)));
            snapshot.segments.extend(state.replayed.iter().map(|loaded| segment(loaded, false)));
            snapshot.segments.extend(state.open.iter().map(|loaded| segment(loaded, true)));
            if !state.target.reached(state.next) {
                let until = match state.target {
                    Target::At(target) => format!("of {target}"),
                    Target::EndOfLog => "of an end that the stream has not said yet".to_owned(),
                };
                let what = format!("partition {partition} is recovering: at offset {} {until}", state.next);
                snapshot.lacks.push(Lack { what });
            }
            snapshot.lacks.extend(
                state.absent.iter().map(|name| Lack { what: format!("segment {name} of {partition} is not loaded") }),
            );
            oldest = oldest.min(view.fresh_as_of_ms());
        }
        snapshot.freshness_ms = (oldest > 0 && oldest != i64::MAX).then_some(oldest);
        snapshot
    }
}

/// The tables of a node, by raw name in any case.
#[derive(Default)]
pub struct Tables {
    by_name: ArcSwap<BTreeMap<String, Arc<TableOnNode>>>,
    changing: Mutex<()>,
}

impl Tables {
    /// A table by raw name or with the suffix of its own kind, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<TableOnNode>> {
        let name = name.to_lowercase();
        let tables = self.by_name.load();
        let of_kind = |kind: TableKind| {
            let table = tables.get(name.strip_suffix(&format!("_{kind}").to_lowercase())?)?;
            (table.spec().kind == kind).then_some(table)
        };
        let suffixed = || [TableKind::Realtime, TableKind::Offline].into_iter().find_map(of_kind);
        tables.get(&name).or_else(suffixed).cloned()
    }

    /// Raw names, as their tables spell them.
    #[must_use]
    pub fn names(&self) -> Vec<TableName> {
        self.by_name.load().values().map(|table| table.name().clone()).collect()
    }

    /// Adds or replaces a table.
    pub fn insert(&self, table: Arc<TableOnNode>) {
        self.change(|tables| tables.insert(table.name().as_str().to_lowercase(), table));
    }

    /// Removes a table; queries that hold a snapshot of it go on.
    pub fn remove(&self, name: &TableName) -> Option<Arc<TableOnNode>> {
        self.change(|tables| tables.remove(&name.as_str().to_lowercase()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<TableOnNode>>) -> T) -> T {
        let _turn = self.changing.lock();
        let mut tables = (**self.by_name.load()).clone();
        let result = change(&mut tables);
        self.by_name.store(Arc::new(tables));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use weir_types::{ErrorPolicy, FlushPolicy, RowsThreshold, SchemaVersion};

    fn table(name: &str, kind: TableKind) -> Arc<TableOnNode> {
        let spec = TableSpec {
            name: TableName::parse(name).unwrap(),
            kind,
            time_column: None,
            replication: 1,
            streams: vec![],
            patterns: vec![],
            flush: FlushPolicy {
                rows: RowsThreshold::PerSegment(1000),
                max_age: Duration::from_secs(3600),
                variance_fraction: 0.0,
            },
            sorted_column: None,
            indexes: BTreeMap::new(),
            null_handling: false,
            row_time_check: false,
            continue_on_error: false,
            expressions: weir_types::Expressions::default(),
            partitioned_by: None,
            error_policy: ErrorPolicy::Quarantine,
            quarantine: Default::default(),
            retention: Default::default(),
            lagging_after: Duration::from_secs(30),
        };
        TableOnNode::new(Arc::new(Schema::new(name, SchemaVersion(1), vec![])), Arc::new(spec))
    }

    #[test]
    fn a_suffix_names_a_table_of_its_own_kind_only() {
        let tables = Tables::default();
        tables.insert(table("orders", TableKind::Realtime));
        for name in ["orders", "ORDERS", "orders_REALTIME", "Orders_realtime"] {
            assert!(tables.get(name).is_some(), "{name}");
        }
        for name in ["orders_OFFLINE", "orders_offline", "orders_", "odd"] {
            assert!(tables.get(name).is_none(), "{name}");
        }
    }
}
