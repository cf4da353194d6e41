//! The scan node: which table, segments, columns and rows, as plain data; the segments themselves come from the snapshot
//! that the query holds.

use super::{
    Missed, Output,
    known::{min_max, rows_seen},
    queue::{Counted, Piece, Queue, Ready},
    work::Work,
};
use crate::stop::StopFlag;
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray},
    datatypes::{Int32Type, SchemaRef},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use datafusion::{
    common::{
        ColumnStatistics, Result, ScalarValue, Statistics, assert_or_internal_err, stats::Precision,
        tree_node::TreeNodeRecursion,
    },
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock, atomic::Ordering},
};
use weir_indexes::Filter;
use weir_segment::{ScanRequest, ScanStats, Segment, SegmentError};
use weir_table::TableSnapshot;
use weir_types::{DataType, Value};

/// Names of the scan's counters.
pub(crate) mod counters {
    pub(crate) const DOCS_SCANNED: &str = "docs_scanned";
    pub(crate) const IN_FILTER: &str = "entries_in_filter";
    pub(crate) const POST_FILTER: &str = "entries_post_filter";
    pub(crate) const PRUNED: &str = "segments_pruned";
    pub(crate) const MATCHED: &str = "segments_matched";
    pub(crate) const CONSUMING_MATCHED: &str = "consuming_segments_matched";
}

/// Rows that a scan reads before it makes room for others: a millisecond or so.
const ROWS_OF_A_TURN: u64 = 1 << 16;

/// Scans the segments of a snapshot.
pub(crate) struct SegmentScanExec {
    snapshot: Arc<TableSnapshot>,
    /// Where it says what it could not open.
    missed: Missed,
    outputs: Vec<Output>,
    request: Arc<ScanRequest>,
    limit: Option<usize>,
    work: Work,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// Computed when the planner first asks.
    statistics: OnceLock<Arc<Statistics>>,
    /// Made when the first partition starts; all partitions pull from it.
    queue: OnceLock<Arc<Queue>>,
}

impl SegmentScanExec {
    pub(crate) fn new(
        (snapshot, missed): (Arc<TableSnapshot>, Missed),
        outputs: Vec<Output>,
        request: ScanRequest,
        schema: SchemaRef,
        limit: Option<usize>,
        work: Work,
        partitions: usize,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            snapshot,
            missed,
            outputs,
            request: Arc::new(request),
            limit,
            work,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            statistics: OnceLock::new(),
            queue: OnceLock::new(),
        }
    }

    /// The snapshot it reads.
    pub(crate) fn snapshot(&self) -> &Arc<TableSnapshot> {
        &self.snapshot
    }

    /// What it has to do.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// Whether it reads or looks at no more than so many values, all of them in memory.
    pub(crate) fn is_prompt(&self, values: u64) -> bool {
        let columns = self.request.columns.len() + self.request.filter_columns.len();
        self.work.in_files == 0 && self.work.rows.saturating_mul(columns as u64) <= values
    }

    /// What is known before anything is read. Exact where every row passes; to learn more of a filter its dictionaries and
    /// indexes would have to be asked, which is the work of the threads that scan.
    fn compute_statistics(&self) -> Statistics {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        // The planner does not ask a scan that has a limit.
        let rows = self.work.rows;
        // Of what could not be opened lately the answer says so, which is for the threads that scan.
        if self.request.filter != Filter::All
            || self.snapshot.segments.iter().any(|view| view.segment.trouble().is_some())
        {
            let mut unknown = Statistics::new_unknown(&self.schema());
            unknown.num_rows = Precision::Inexact(count(rows));
            return unknown;
        }
        let num_rows = Precision::Exact(count(self.snapshot.segments.iter().map(rows_seen).sum()));
        let column = |output: &Output| {
            let mut statistics = ColumnStatistics::new_unknown();
            if let Some((min, max)) = self.min_max(output) {
                statistics.min_value = Precision::Exact(min);
                statistics.max_value = Precision::Exact(max);
            }
            if !self.request.nulls {
                statistics.null_count = Precision::Exact(0);
            }
            statistics
        };
        let column_statistics = self.outputs.iter().map(column).collect();
        Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }
    }

    /// Least and greatest value over all segments, where all of them know.
    fn min_max(&self, output: &Output) -> Option<(ScalarValue, ScalarValue)> {
        let Output::Column(column) = output else { return None };
        let mut all: Option<(Value, Value)> = None;
        for view in self.snapshot.segments.iter().filter(|view| rows_seen(view) > 0) {
            let (min, max) = min_max(view, &self.request, column.name.as_str())?;
            all = Some(match all {
                None => (min, max),
                Some((least, greatest)) => (
                    if min.order(&least).is_lt() { min } else { least },
                    if max.order(&greatest).is_gt() { max } else { greatest },
                ),
            });
        }
        let (min, max) = all?;
        Some((scalar(&min, column.data_type)?, scalar(&max, column.data_type)?))
    }
}

/// A stored number as a scalar of the scan's type; text and bytes are left to a scan.
fn scalar(value: &Value, data_type: DataType) -> Option<ScalarValue> {
    Some(match (value, data_type) {
        (Value::Int(v), DataType::Int) => ScalarValue::Int32(Some(*v)),
        (Value::Long(v), DataType::Long) => ScalarValue::Int64(Some(*v)),
        (Value::Long(v), DataType::Timestamp) => ScalarValue::TimestampMillisecond(Some(*v), None),
        (Value::Float(v), DataType::Float) if !v.is_nan() => ScalarValue::Float32(Some(*v)),
        (Value::Double(v), DataType::Double) if !v.is_nan() => ScalarValue::Float64(Some(*v)),
        _ => return None,
    })
}

impl fmt::Debug for SegmentScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Verbose, f)
    }
}

impl DisplayAs for SegmentScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            self.properties.eq_properties.schema().fields().iter().map(|f| f.name().clone()).collect();
        write!(
            f,
            "SegmentScan: table={}, segments={}, columns=[{}]",
            self.snapshot.table,
            self.snapshot.segments.len(),
            names.join(", ")
        )?;
        if self.request.filter != Filter::All {
            write!(f, ", filter={}", super::filter::Shown(&self.request.filter))?;
        }
        self.limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl ExecutionPlan for SegmentScanExec {
    fn name(&self) -> &'static str {
        "SegmentScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        assert_or_internal_err!(children.is_empty(), "a scan has no children");
        // A plan that is run again starts with a new queue.
        Ok(Arc::new(Self {
            snapshot: self.snapshot.clone(),
            missed: self.missed.clone(),
            outputs: self.outputs.clone(),
            request: self.request.clone(),
            limit: self.limit,
            work: self.work,
            properties: self.properties.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
            statistics: OnceLock::new(),
            queue: OnceLock::new(),
        }))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        if args.partition().is_some() || self.limit.is_some() {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema())));
        }
        Ok(self.statistics.get_or_init(|| Arc::new(self.compute_statistics())).clone())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let queue =
            || Arc::new(Queue::new((self.snapshot.clone(), self.missed.clone()), self.request.clone(), self.limit));
        let counter = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let puller = Puller {
            queue: self.queue.get_or_init(queue).clone(),
            outputs: self.outputs.clone(),
            schema: self.schema(),
            stop: StopFlag::of(&context),
            docs_scanned: counter(counters::DOCS_SCANNED),
            in_filter: counter(counters::IN_FILTER),
            post_filter: counter(counters::POST_FILTER),
            pruned: counter(counters::PRUNED),
            matched: counter(counters::MATCHED),
            consuming_matched: counter(counters::CONSUMING_MATCHED),
        };
        let pieces = stream::unfold((puller, 0), |(puller, mut read)| async move {
            // Pieces give nothing to whoever pulls where no row passes: a scan of many such pieces makes room for other queries
            // here. Not after each: mostly it is another thread that goes on then.
            if read >= ROWS_OF_A_TURN {
                tokio::task::yield_now().await;
                read = 0;
            }
            let piece = puller.queue.next(puller.stop.patience()).await?;
            read += piece.costs();
            let batches = puller.stop.look().and_then(|()| puller.read(&piece));
            Some((batches.map(|batches| stream::iter(batches).map(Ok)), (puller, read)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), pieces.try_flatten())))
    }
}

/// One partition of the scan.
struct Puller {
    queue: Arc<Queue>,
    outputs: Vec<Output>,
    schema: SchemaRef,
    stop: StopFlag,
    docs_scanned: Count,
    in_filter: Count,
    post_filter: Count,
    pruned: Count,
    matched: Count,
    consuming_matched: Count,
}

impl Puller {
    fn read(&self, piece: &Piece) -> Result<Vec<RecordBatch>> {
        match piece {
            Piece::Pruned => {
                self.pruned.add(1);
                Ok(vec![])
            }
            // The answer says so.
            Piece::Missed => Ok(vec![]),
            Piece::Count(segment, rows) => {
                self.passed(segment, *rows);
                self.docs_scanned.add(usize::try_from(*rows).unwrap_or(usize::MAX));
                let rows = usize::try_from(*rows).unwrap_or(usize::MAX);
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                Ok(vec![RecordBatch::try_new_with_options(self.schema.clone(), vec![], &options)?])
            }
            Piece::Rows(ready, rows) => self.rows(ready, rows),
        }
    }

    fn rows(&self, ready: &Ready, rows: &Range<u32>) -> Result<Vec<RecordBatch>> {
        let mut stats = ScanStats::default();
        let batches = match ready.scan.read(rows.clone(), &mut stats) {
            Ok(batches) => batches,
            // What was read of it before it was damaged is right.
            Err(error @ SegmentError::Damaged { .. }) => {
                self.queue.miss(ready, &error.to_string());
                return Ok(vec![]);
            }
            Err(error) => return Err(DataFusionError::External(Box::new(error))),
        };
        self.docs_scanned.add(usize::try_from(stats.docs_scanned).unwrap_or(usize::MAX));
        self.in_filter.add(usize::try_from(stats.entries_in_filter).unwrap_or(usize::MAX));
        self.post_filter.add(usize::try_from(stats.entries_post_filter).unwrap_or(usize::MAX));
        self.passed(&ready.counted, stats.docs_scanned);
        batches.into_iter().map(|batch| self.shape(&*ready.segment, rows, &batch)).collect()
    }

    fn passed(&self, segment: &Counted, rows: u64) {
        self.queue.gave(rows);
        if rows > 0 && !segment.matched.swap(true, Ordering::Relaxed) {
            self.matched.add(1);
            if segment.consuming {
                self.consuming_matched.add(1);
            }
        }
    }

    /// A batch of the scan as the plan wants it: with the schema's metadata and with null flags.
    fn shape(&self, segment: &dyn Segment, rows: &Range<u32>, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut plain = batch.columns().iter();
        let flagged = self.outputs.iter().any(|output| matches!(output, Output::NullFlag(_)));
        let numbers = batch.columns().last().filter(|_| flagged);
        let columns: Vec<ArrayRef> = self
            .outputs
            .iter()
            .map(|output| match (output, numbers) {
                (Output::NullFlag(column), Some(numbers)) => flags(segment, column.as_str(), rows, numbers),
                _ => plain.next().cloned().ok_or_else(|| {
                    DataFusionError::Internal("a scan gave fewer columns than it was asked for".to_owned())
                }),
            })
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// Whether `column` was null in the rows whose numbers are given, all of which lie in `rows`.
fn flags(segment: &dyn Segment, column: &str, rows: &Range<u32>, numbers: &ArrayRef) -> Result<ArrayRef> {
    let numbers = numbers.as_primitive_opt::<Int32Type>().ok_or_else(|| {
        DataFusionError::Internal("row numbers of a scan are not the INT that they were asked as".to_owned())
    })?;
    let Some(info) = segment.column(column) else {
        // The segment was written before the column was there: it is null in every row.
        return Ok(Arc::new(BooleanArray::from(vec![true; numbers.len()])));
    };
    let mut nulls = vec![];
    segment.read_nulls(info.at, rows.clone(), &mut nulls);
    let is_null = |row: &i32| u32::try_from(*row).is_ok_and(|row| nulls.binary_search(&row).is_ok());
    Ok(Arc::new(numbers.values().iter().map(|row| Some(is_null(row))).collect::<BooleanArray>()))
}
