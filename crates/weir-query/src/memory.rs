//! Keeps within the pool of queries what operators hold without counting it.
//!
//! Most operators ask the pool before they hold more. Two do not: an aggregate that keeps the first groups of an order
//! only makes room for all of them beforehand (`SELECT DISTINCT .. ORDER BY .. LIMIT 2000000000`), and windows hold
//! their rows. The one is used where that room is small, the other is counted from outside: by what goes in and has
//! not come out.

use arrow::{
    array::{Array, AsArray},
    datatypes::{ByteViewType, DataType, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{Result, assert_or_internal_err, tree_node::TreeNodeRecursion},
    error::DataFusionError,
    execution::{
        RecordBatchStream, SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        aggregates::AggregateExec,
        execution_plan::replace_children_if_necessary,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use futures::Stream;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Groups that an aggregate may keep apart from the pool as the first ones of an order. It makes room for ten times as
/// many before the first row: about a megabyte on each thread.
const MOST_FIRST_GROUPS: usize = 1_000;

/// Bytes that a word or a sign of a query's text becomes, read and planned: tokens, trees of two parsers' and planners' kinds.
const BYTES_PER_TOKEN: usize = 512;

/// Copies of a text itself: as it came, in its tokens, in its plan.
const TEXT_COPIES: usize = 4;

/// What a query of ordinary length takes is not counted.
const TEXT_FREE: usize = 1 << 20;

/// Memory that a query's text takes while it is read, planned and run, as a part of the pool: a list of a million numbers
/// is a few megabytes of text and hundreds in memory.
///
/// # Errors
/// If queries may not use that much.
pub(crate) fn hold_text(sql: &str, pool: &Arc<dyn MemoryPool>) -> Result<MemoryReservation> {
    let reservation = MemoryConsumer::new("the text of a query").register(pool);
    let bytes = text_bytes(sql);
    if bytes > TEXT_FREE {
        reservation.try_grow(bytes)?;
    }
    Ok(reservation)
}

fn text_bytes(sql: &str) -> usize {
    let (mut tokens, mut quote, mut in_word) = (0_usize, None, false);
    for byte in sql.bytes() {
        match quote {
            Some(open) => quote = (byte != open).then_some(open),
            None if matches!(byte, b'\'' | b'"' | b'`') => {
                (quote, in_word) = (Some(byte), false);
                tokens += 1;
            }
            None if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$') || !byte.is_ascii() => {
                tokens += usize::from(!in_word);
                in_word = true;
            }
            None => {
                tokens += usize::from(!byte.is_ascii_whitespace());
                in_word = false;
            }
        }
    }
    sql.len().saturating_mul(TEXT_COPIES).saturating_add(tokens.saturating_mul(BYTES_PER_TOKEN))
}

/// How often a window holds its rows: as they came, in one piece, and by partition or with its results.
const WINDOW_COPIES: usize = 3;

/// The same plan, of which nothing is held beside the pool. Leaves are the same objects.
///
/// # Errors
/// If an operator refuses children that do what its own do.
pub(crate) fn within_pool(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut children = plan.children().into_iter().map(within_pool).collect::<Result<Vec<_>>>()?;
    if children.is_empty() {
        return Ok(plan.clone());
    }
    let window =
        plan.downcast_ref::<WindowAggExec>().is_some() || plan.downcast_ref::<BoundedWindowAggExec>().is_some();
    let ledger = Arc::new(Ledger::default());
    let counted = |input: Arc<dyn ExecutionPlan>, side| -> Arc<dyn ExecutionPlan> {
        Arc::new(Counted { input, side, ledger: ledger.clone() })
    };
    if window {
        children = children.into_iter().map(|child| counted(child, Side::Enters)).collect();
    }
    let plan = replace_children_if_necessary(plan.clone(), children)?;
    if window {
        return Ok(counted(plan, Side::Leaves));
    }
    match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) if keeps_many_first(aggregate) => Ok(Arc::new(aggregate.with_new_limit_options(None))),
        _ => Ok(plan),
    }
}

/// Whether an aggregate keeps the first groups of an order, and they are many or of any length.
fn keeps_many_first(aggregate: &AggregateExec) -> bool {
    let Some(options) = aggregate.limit_options().filter(|options| options.descending().is_some()) else {
        return false;
    };
    options.limit() > MOST_FIRST_GROUPS
        || !aggregate.schema().fields().iter().all(|field| field.data_type().is_primitive())
}

/// What the partitions of one window hold.
#[derive(Debug, Default)]
struct Ledger(Mutex<HashMap<usize, Account>>);

#[derive(Debug)]
struct Account {
    /// Rows and their bytes, in the order in which they went in.
    inside: VecDeque<(usize, usize)>,
    reservation: MemoryReservation,
}

impl Account {
    fn enter(&mut self, batch: &RecordBatch) -> Result<()> {
        let bytes = batch.columns().iter().map(|column| bytes_of(column)).sum::<usize>() * WINDOW_COPIES;
        self.reservation.try_grow(bytes)?;
        self.inside.push_back((batch.num_rows(), bytes));
        Ok(())
    }

    /// Windows give as many rows as they take, in their order.
    fn leave(&mut self, mut rows: usize) {
        while let Some((count, bytes)) = self.inside.front_mut() {
            if *count > rows {
                let share = *bytes / *count * rows;
                (*count, *bytes) = (*count - rows, *bytes - share);
                self.reservation.shrink(share);
                return;
            }
            rows -= *count;
            self.reservation.shrink(*bytes);
            self.inside.pop_front();
        }
    }
}

/// Bytes of an array's own values, whatever else lies in its buffers.
fn bytes_of(array: &dyn Array) -> usize {
    // What views lead to is not counted with them.
    let views = match array.data_type() {
        DataType::Utf8View => behind(array.as_string_view()),
        DataType::BinaryView => behind(array.as_binary_view()),
        _ => 0,
    };
    views + array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

fn behind<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>) -> usize {
    /// Longer values lie behind their view.
    const IN_VIEW: usize = 12;
    // The length of a view is its first four bytes.
    array.views().iter().map(|view| *view as u32 as usize).filter(|length| *length > IN_VIEW).sum()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Enters,
    Leaves,
}

/// Notes in a ledger what passes.
#[derive(Debug)]
struct Counted {
    input: Arc<dyn ExecutionPlan>,
    side: Side,
    ledger: Arc<Ledger>,
}

impl DisplayAs for Counted {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl ExecutionPlan for Counted {
    fn name(&self) -> &'static str {
        "Counted"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
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
        assert_or_internal_err!(children.is_empty(), "what is counted is one input");
        let input = input.ok_or_else(|| DataFusionError::Internal("what is counted has an input".to_owned()))?;
        Ok(Arc::new(Self { input, side: self.side, ledger: self.ledger.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new("window").register(context.memory_pool());
        self.ledger.0.lock().entry(partition).or_insert_with(|| Account { inside: VecDeque::new(), reservation });
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(CountedStream { input, side: self.side, partition, ledger: self.ledger.clone() }))
    }
}

struct CountedStream {
    input: SendableRecordBatchStream,
    side: Side,
    partition: usize,
    ledger: Arc<Ledger>,
}

impl Stream for CountedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.input.as_mut().poll_next(cx));
        if let Some(Ok(batch)) = &next
            && let Some(account) = self.ledger.0.lock().get_mut(&self.partition)
        {
            match self.side {
                Side::Enters => account.enter(batch)?,
                Side::Leaves => account.leave(batch.num_rows()),
            }
        }
        Poll::Ready(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.input.size_hint()
    }
}

impl RecordBatchStream for CountedStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Int64Array, StringViewArray},
        datatypes::{Field, Schema},
    };
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};

    #[test]
    fn what_left_is_not_held() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 20));
        let reservation = MemoryConsumer::new("test").register(&pool);
        let mut account = Account { inside: VecDeque::new(), reservation };
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![7; 100]))]).unwrap();
        account.enter(&batch).unwrap();
        account.enter(&batch).unwrap();
        let all = 2 * 100 * 8 * WINDOW_COPIES;
        assert_eq!(pool.reserved(), all);
        account.leave(150);
        assert_eq!(pool.reserved(), all / 4);
        account.leave(50);
        assert_eq!((pool.reserved(), account.inside.len()), (0, 0));
        let big = RecordBatch::try_new(batch.schema(), vec![Arc::new(Int64Array::from(vec![7; 100_000]))]).unwrap();
        assert!(account.enter(&big).is_err());
    }

    #[test]
    fn values_behind_views_count() {
        let texts = StringViewArray::from(vec!["short", "much longer than a view can hold"]);
        assert_eq!(bytes_of(&texts), 2 * 16 + 32);
        assert_eq!(bytes_of(&texts.slice(0, 1)), 16);
    }
}
