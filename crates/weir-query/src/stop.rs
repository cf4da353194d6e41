//! How a running query is stopped: a flag that whoever watches the deadline sets, and looks at that flag at every place
//! where a plan could otherwise run on without ever coming back to its task.
//!
//! Such places are the edges between operators (an aggregate pulls from a join until the join has no more rows), the
//! filters of joins (a join whose filter lets nothing pass goes through all pairs on its own) and the pieces of a scan.
//! At the edges and in the scan a query also makes room for others on its thread from time to time. A function that may
//! take long within one batch looks at the flag of the work that its thread is doing.

use arrow::{
    array::BooleanArray,
    datatypes::{FieldRef, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{Result, assert_or_internal_err, tree_node::TreeNodeRecursion},
    error::DataFusionError,
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::replace_children_if_necessary,
        joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
    },
};
use futures::Stream;
use std::{
    cell::RefCell,
    fmt,
    hash::{Hash, Hasher},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

/// Says whether a query is to end now, and how long it may wait for what is not at hand. Clones are the same flag.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopFlag {
    stopped: Arc<AtomicBool>,
    patience: Option<Instant>,
}

impl StopFlag {
    /// The flag of the query that runs in this context; one that is never set where none was put there.
    pub(crate) fn of(context: &TaskContext) -> Self {
        context.session_config().get_extension::<Self>().map(|flag| (*flag).clone()).unwrap_or_default()
    }

    /// The flag of a query that waits until then at most.
    pub(crate) fn with_patience(until: Instant) -> Self {
        Self { patience: Some(until), ..Self::default() }
    }

    /// Until when the query may wait for what is not at hand and still answer in time, saying what it lacks.
    pub(crate) fn patience(&self) -> Option<Instant> {
        self.patience
    }

    /// Stops the query at its next look.
    pub(crate) fn set(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// If the query is to end. Nobody waits for it any more, so nobody reads the error.
    pub(crate) fn look(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(DataFusionError::Execution("the query was stopped".to_owned()));
        }
        Ok(())
    }
}

thread_local! {
    /// The flag of the query that this thread is working for.
    static HERE: RefCell<Option<StopFlag>> = const { RefCell::new(None) };
}

/// Looks at the flag of the query that this thread is working for.
///
/// # Errors
/// If that query is to end.
pub(crate) fn look_here() -> Result<()> {
    HERE.with_borrow(|flag| flag.as_ref().map_or(Ok(()), StopFlag::look))
}

/// Puts back the flag that was there before, whatever happens to the work.
struct Before(Option<StopFlag>);

impl Drop for Before {
    fn drop(&mut self) {
        HERE.set(self.0.take());
    }
}

impl StopFlag {
    /// Does work of this flag's query on this thread: what it calls may [`look_here`].
    fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let _before = Before(HERE.replace(Some(self.clone())));
        work()
    }

    /// Does all work of a future that is done by whoever polls it for this flag's query.
    pub(crate) async fn around<F: Future>(&self, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        futures::future::poll_fn(|cx| self.during(|| work.as_mut().poll(cx))).await
    }
}

/// The same plan, which looks at the flag of its context at every edge, and at this flag in the filters of its joins.
/// Leaves are the same objects, so their counters are.
///
/// # Errors
/// If an operator refuses children that do what its own do.
pub(crate) fn stoppable(plan: &Arc<dyn ExecutionPlan>, flag: &StopFlag) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan.children().into_iter().map(|child| stoppable(child, flag)).collect::<Result<Vec<_>>>()?;
    // A leaf given anew would count anew.
    let plan = if children.is_empty() { plan.clone() } else { replace_children_if_necessary(plan.clone(), children)? };
    let watched = |filter: &JoinFilter| {
        let expression = Arc::new(WatchedFilter { filter: filter.expression().clone(), flag: flag.clone() });
        Some(JoinFilter::new(expression, filter.column_indices().to_vec(), filter.schema().clone()))
    };
    let plan = if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(watched(filter)).build()?)
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        join.builder().with_filter(watched(filter)).build_exec()?
    } else {
        plan
    };
    Ok(Arc::new(Edge { input: plan }))
}

/// Hands on what its input gives, unless the query is to end.
#[derive(Debug)]
struct Edge {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Edge {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edge")
    }
}

impl ExecutionPlan for Edge {
    fn name(&self) -> &'static str {
        "Edge"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        // The very properties of the input: an operator above it need not work out its own again.
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop();
        assert_or_internal_err!(children.is_empty(), "an edge has one input");
        let input = input.ok_or_else(|| DataFusionError::Internal("an edge has an input".to_owned()))?;
        Ok(Arc::new(Self { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let flag = StopFlag::of(&context);
        Ok(Box::pin(EdgeStream { input: self.input.execute(partition, context)?, flag }))
    }
}

struct EdgeStream {
    input: SendableRecordBatchStream,
    flag: StopFlag,
}

impl Stream for EdgeStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(stopped) = self.flag.look() {
            return Poll::Ready(Some(Err(stopped)));
        }
        // Counts batches against what a task may do before others get its thread.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let Self { input, flag } = &mut *self;
        let next = flag.during(|| input.as_mut().poll_next(cx));
        if next.is_ready() {
            turn.made_progress();
        }
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.input.size_hint()
    }
}

impl RecordBatchStream for EdgeStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

/// A filter that looks at the flag before it is evaluated.
#[derive(Debug)]
struct WatchedFilter {
    filter: Arc<dyn PhysicalExpr>,
    flag: StopFlag,
}

impl PartialEq for WatchedFilter {
    fn eq(&self, other: &Self) -> bool {
        self.filter.eq(&other.filter)
    }
}

impl Eq for WatchedFilter {}

impl Hash for WatchedFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filter.hash(state);
    }
}

impl fmt::Display for WatchedFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt(f)
    }
}

impl PhysicalExpr for WatchedFilter {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.flag.look()?;
        self.filter.evaluate(batch)
    }

    fn evaluate_selection(&self, batch: &RecordBatch, selection: &BooleanArray) -> Result<ColumnarValue> {
        self.flag.look()?;
        self.filter.evaluate_selection(batch, selection)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.filter.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.filter]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let filter = children.pop();
        assert_or_internal_err!(children.is_empty(), "a watched filter has one child");
        let filter = filter.ok_or_else(|| DataFusionError::Internal("a watched filter has a child".to_owned()))?;
        Ok(Arc::new(Self { filter, flag: self.flag.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt_sql(f)
    }
}
