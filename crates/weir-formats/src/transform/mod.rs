//! Derived columns and the filter: expressions over the fields of a record, before they have their types.
//!
//! Fields that expressions read or write come from the decoder raw, in columns behind those that it fills itself; here they
//! become the table's columns. A column that no expression names never passes through here, where nested records are not
//! made flat. Pinot's order: types of fields and enrichers that come first, flattening and unnesting, types of fields and
//! enrichers, derived columns (each after those that it reads), then the filter, which sees them and drops a row where it is
//! true, then the columns' types.

mod complex;
mod conform;
mod plan;
#[cfg(test)]
mod tests;
mod types;

pub use plan::{TransformError, TransformPlan, read_expression};

use crate::{
    decoder::{Reject, Stage},
    json::cell::{Cell, Scratch},
    raw,
    stages::keep_rows_of,
};
use bumpalo::Bump;
use plan::{Origin, Reading, Step, Work};
use std::sync::Arc;
use types::{convert, typed, unfit_of};
use weir_base::tasks::may_panic;
use weir_functions::{
    datum::{Datum, Fault},
    shelf::take_faulty,
};
use weir_types::{Column, ColumnData, RowBatch, Schema};

/// Derives columns and drops rows, for one partition: buffers are reused.
#[derive(Debug)]
pub struct Transform {
    plan: Arc<TransformPlan>,
    arena: Bump,
    buffers: Buffers,
}

/// Buffers that live as long as the transform.
#[derive(Debug)]
struct Buffers {
    scratch: Scratch,
    bytes: Vec<u8>,
    /// Empty columns of the types that fields are brought to.
    holders: Vec<Column>,
    /// Expressions may panic: each is evaluated so that this is its record's fault alone.
    wary: bool,
}

impl Buffers {
    fn new(plan: &TransformPlan) -> Self {
        let holders = plan.holders.iter().map(|data_type| Column::new(data_type.stored(), true)).collect();
        Self { scratch: Scratch::default(), bytes: vec![], holders, wary: false }
    }
}

/// What [`Transform::apply`] did.
#[derive(Debug)]
pub struct Transformed {
    /// The rows in the table's columns.
    pub rows: RowBatch,
    /// Messages with an expression that cannot be evaluated, or a value that does not fit; their rows are gone.
    pub rejects: Vec<Reject>,
    /// Messages all of whose rows the filter dropped.
    pub filtered: u64,
    /// Rows in which a value was altered, or became null because it could not be worked out (with `continue_on_error`).
    pub altered: u64,
    /// The message before which it ended, where what was made is enough for one batch: those from there on come with another.
    pub ended_before: Option<u32>,
}

/// Bytes that the rows of one message may take: a small message must not become more than memory has room for.
const MESSAGE_MOST: usize = 64 << 20;

/// Bytes after which no further message of a batch is taken: a column holds less than 4 GiB, and a node more than one batch.
const BATCH_ENOUGH: usize = 256 << 20;

/// Why a row's message is rejected.
struct Refusal {
    stage: Stage,
    column: Option<Arc<str>>,
    reason: String,
}

impl Transform {
    /// A transform by a plan.
    #[must_use]
    pub fn new(plan: Arc<TransformPlan>) -> Self {
        let buffers = Buffers::new(&plan);
        Self { plan, arena: Bump::new(), buffers }
    }

    /// The columns that the decoder fills for it.
    #[must_use]
    pub fn decodes(&self) -> Arc<Schema> {
        self.plan.decodes().0
    }

    /// Turns decoded rows, in the columns of the plan's decode schema, into rows of the table.
    ///
    /// A panic of an expression would come again each time the batch is read. The batch is then worked through once more with
    /// an eye on each expression, so that good batches pay for none of it.
    pub fn apply(&mut self, decoded: RowBatch) -> Transformed {
        let RowBatch { columns, message_of_row } = decoded;
        self.arena.reset();
        let Self { plan, arena, buffers } = self;
        if let Ok(worked) = may_panic(|| work_through(plan, arena, buffers, &columns, &message_of_row)) {
            return worked.map_or_else(Out::ended, |out| out.finish(columns));
        }
        // What the panic left half done is in none of them.
        *buffers = Buffers { wary: true, ..Buffers::new(plan) };
        arena.reset();
        let worked = work_through(plan, arena, buffers, &columns, &message_of_row);
        let transformed = worked.map_or_else(Out::ended, |out| out.finish(columns));
        buffers.wary = false;
        transformed
    }
}

/// The rows of a batch, or the message before which there are enough.
fn work_through<'p>(
    plan: &'p TransformPlan,
    arena: &'p Bump,
    buffers: &'p mut Buffers,
    columns: &[Column],
    message_of_row: &[u32],
) -> Result<Out<'p>, u32> {
    let mut out = Out::new(plan, buffers);
    let mut found = RawRows::new(&columns[plan.direct..]);
    let mut raw = vec![Datum::Null; columns.len() - plan.direct];
    for (row, message) in message_of_row.iter().enumerate() {
        if out.is_enough(*message) {
            return Err(*message);
        }
        found.read(row, &mut raw, arena);
        match &plan.flattening {
            None => out.row(*message, &mut raw, arena),
            Some(flattening) => {
                if !out.prepare(*message, &mut raw, arena) {
                    continue;
                }
                let given = flattening.rows(&raw, arena, &mut |slots| out.row(*message, slots, arena));
                if let Err(not_flat) = given {
                    let (column, reason) = not_flat.told();
                    let (message, stage) = (*message, Stage::ComplexType);
                    out.rejects.push(Reject { message, stage, column: Some(column), reason });
                }
            }
        }
    }
    Ok(out)
}

/// What an expression gives, or why not.
fn evaluated<'a>(reading: &'a Reading, slots: &[Datum<'a>], wary: bool, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let value = || reading.expression.value(&|at: usize| slots[reading.inputs[at]], arena);
    if !wary {
        return value();
    }
    may_panic(value).unwrap_or_else(|panic| {
        let function = take_faulty().unwrap_or("an expression");
        Err(Fault::new(format!("a fault of ours in {function}: {panic}; please report it")))
    })
}

/// The table's rows under way.
struct Out<'p> {
    plan: &'p TransformPlan,
    buffers: &'p mut Buffers,
    made: Vec<Column>,
    message_of_row: Vec<u32>,
    keep: Vec<bool>,
    rejects: Vec<Reject>,
    altered: u64,
    /// The message under way, its first row, and the bytes that all rows before it take.
    message: Option<(u32, usize, usize)>,
    /// It takes too much: its rows are not made any more.
    refused: bool,
}

impl<'p> Out<'p> {
    fn bytes(&self) -> usize {
        self.made.iter().map(|column| bytes_of(&column.data)).sum()
    }

    /// Whether the rows of another message than those before have no place in this batch. The first always has.
    fn is_enough(&self, message: u32) -> bool {
        self.message_of_row.last().is_some_and(|last| *last != message) && self.bytes() > BATCH_ENOUGH
    }

    /// Nothing but where it ended: whoever asked asks again for what comes before.
    fn ended(message: u32) -> Transformed {
        let rows = RowBatch { columns: vec![], message_of_row: vec![] };
        Transformed { rows, rejects: vec![], filtered: 0, altered: 0, ended_before: Some(message) }
    }

    /// Looks whether there is room for one more row of a message: a matter of the message alone, so that it is the same
    /// whenever it is read.
    fn has_room(&mut self, message: u32) -> bool {
        let bytes = self.bytes();
        let (first_row, before) = match self.message {
            Some((under_way, first_row, before)) if under_way == message => (first_row, before),
            _ => {
                self.refused = false;
                (self.keep.len(), bytes)
            }
        };
        self.message = Some((message, first_row, before));
        if self.refused {
            return false;
        }
        if bytes - before <= MESSAGE_MOST {
            return true;
        }
        let reason = format!("its rows would take more than {} MiB", MESSAGE_MOST >> 20);
        self.refused = true;
        // Rows that stand beside columns of the decoder stay, to be dropped with theirs.
        if self.plan.direct == 0 {
            self.made.iter_mut().for_each(|column| column.truncate(first_row));
            self.keep.truncate(first_row);
            self.message_of_row.truncate(first_row);
        }
        let stage = if self.plan.flattening.is_some() { Stage::ComplexType } else { Stage::Transform };
        self.rejects.push(Reject { message, stage, column: None, reason });
        false
    }

    fn new(plan: &'p TransformPlan, buffers: &'p mut Buffers) -> Self {
        let made = plan.made.iter().map(|made| Column::new(made.field.data_type.stored(), made.field.single_value));
        let made = made.collect();
        Self {
            plan,
            buffers,
            made,
            message_of_row: vec![],
            keep: vec![],
            rejects: vec![],
            altered: 0,
            message: None,
            refused: false,
        }
    }

    /// What is done to a record before it is made flat. False: it is rejected.
    fn prepare<'a>(&mut self, message: u32, fields: &mut [Datum<'a>], arena: &'a Bump) -> bool
    where
        'p: 'a,
    {
        let plan = self.plan;
        match work(plan, &plan.before, fields, self.buffers, arena) {
            Ok(changed) => {
                self.altered += u64::from(changed);
                true
            }
            Err(Refusal { stage, column, reason }) => {
                self.rejects.push(Reject { message, stage, column, reason });
                false
            }
        }
    }

    /// One row, of its slots. A row that is not kept holds nulls, until it goes.
    fn row<'a>(&mut self, message: u32, slots: &mut [Datum<'a>], arena: &'a Bump)
    where
        'p: 'a,
    {
        let has_room = self.has_room(message);
        if !has_room && self.plan.direct == 0 {
            return;
        }
        let (plan, row) = (self.plan, self.keep.len());
        if !has_room {
            self.keep.push(false);
            self.message_of_row.push(message);
            for (column, target) in self.made.iter_mut().zip(&plan.made) {
                column.push_null(&target.field.default_null);
            }
            return;
        }
        let outcome = derive(plan, slots, self.buffers, arena).and_then(|derived| {
            if derived.dropped {
                return Ok(false);
            }
            if let Some(conforming) = &plan.conforming {
                conforming.apply(slots, arena)?;
            }
            let stored = store(plan, slots, &mut self.made, self.buffers)?;
            self.altered += u64::from(stored || derived.changed);
            Ok(true)
        });
        let kept = outcome.unwrap_or_else(|Refusal { stage, column, reason }| {
            self.rejects.push(Reject { message, stage, column, reason });
            false
        });
        self.keep.push(kept);
        self.message_of_row.push(message);
        for (column, target) in self.made.iter_mut().zip(&plan.made) {
            if column.rows() == row {
                column.push_null(&target.field.default_null);
            }
        }
    }

    fn finish(self, decoded: Vec<Column>) -> Transformed {
        let Self { plan, made, message_of_row, mut keep, mut rejects, altered, .. } = self;
        rejects.dedup_by_key(|reject| reject.message);
        let filtered = count_filtered(&message_of_row, &keep, &rejects);
        if !rejects.is_empty() {
            // A message is stored whole or not at all.
            for (keep, message) in keep.iter_mut().zip(&message_of_row) {
                *keep &= rejects.binary_search_by_key(message, |reject| reject.message).is_err();
            }
        }
        let (mut direct, mut made) = (decoded.into_iter(), made.into_iter());
        let next = |origin: &Origin| match origin {
            Origin::Decoded => direct.next().expect("the decoder has filled it"),
            Origin::Made => made.next().expect("it was made"),
        };
        let mut rows = RowBatch { columns: plan.origins.iter().map(next).collect(), message_of_row };
        keep_rows_of(&mut rows, &keep);
        Transformed { rows, rejects, filtered, altered, ended_before: None }
    }
}

/// What came of a row's expressions.
struct Derived {
    dropped: bool,
    /// A value was altered, or could not be worked out and is null.
    changed: bool,
}

/// Does the work of steps in the slots. True: a value was altered, or could not be worked out and is null.
fn work<'a>(
    plan: &'a TransformPlan,
    steps: &'a [Step],
    slots: &mut [Datum<'a>],
    buffers: &mut Buffers,
    arena: &'a Bump,
) -> Result<bool, Refusal> {
    let mut changed = false;
    for step in steps {
        let found = slots[step.slot];
        let outcome = match &step.work {
            Work::Type { .. } if found.is_null() => continue,
            Work::Type { field, holder } => {
                let Buffers { scratch, bytes, holders, .. } = &mut *buffers;
                convert(field, found, &mut holders[*holder], scratch, bytes, arena)
            }
            // What the record brings stands, where the column can take it.
            Work::Expression { .. } if !found.is_null() && !step.replaces(found) => continue,
            Work::Expression { reading, .. } => {
                let value = evaluated(reading, slots, buffers.wary, arena);
                value.map(|value| (value, false)).map_err(|fault| refused(Stage::Transform, Some(&step.name), &fault))
            }
        };
        match outcome {
            Ok((value, altered)) => {
                slots[step.slot] = value;
                changed |= altered;
            }
            Err(_) if plan.continue_on_error => {
                slots[step.slot] = Datum::Null;
                changed = true;
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(changed)
}

/// Fills the slots that expressions write, and asks the filter.
fn derive<'a>(
    plan: &'a TransformPlan,
    slots: &mut [Datum<'a>],
    buffers: &mut Buffers,
    arena: &'a Bump,
) -> Result<Derived, Refusal> {
    let changed = work(plan, &plan.steps, slots, buffers, arena)?;
    let Some(filter) = &plan.filter else { return Ok(Derived { dropped: false, changed }) };
    let dropped = evaluated(filter, slots, buffers.wary, arena);
    match dropped.and_then(|dropped| if dropped.is_null() { Ok(false) } else { dropped.truth() }) {
        Ok(dropped) => Ok(Derived { dropped, changed }),
        Err(_) if plan.continue_on_error => Ok(Derived { dropped: false, changed: true }),
        Err(fault) => Err(refused(Stage::Filter, None, &fault)),
    }
}

#[cold]
fn refused(stage: Stage, column: Option<&Arc<str>>, fault: &Fault) -> Refusal {
    Refusal { stage, column: column.cloned(), reason: fault.to_string() }
}

/// Types the row's values into their columns. True: one was altered, or could not be typed and is null.
fn store(
    plan: &TransformPlan,
    slots: &[Datum<'_>],
    made: &mut [Column],
    buffers: &mut Buffers,
) -> Result<bool, Refusal> {
    let Buffers { scratch, bytes, .. } = buffers;
    let mut altered = false;
    for (target, column) in plan.made.iter().zip(made) {
        let (field, value) = (&target.field, slots[target.slot]);
        let rows = column.rows();
        match typed(field, value, column, scratch, bytes) {
            Cell::Stored => {}
            Cell::Altered => altered = true,
            Cell::Null => {
                column.truncate(rows);
                column.push_null(&field.default_null);
            }
            Cell::Unfit(unfit) => {
                column.truncate(rows);
                if !plan.continue_on_error {
                    return Err(unfit_of(field, unfit, value));
                }
                column.push_null(&field.default_null);
                altered = true;
            }
        }
    }
    Ok(altered)
}

/// Bytes of values.
fn bytes_of(data: &ColumnData) -> usize {
    match data {
        ColumnData::Str(values) | ColumnData::Bytes(values) => values.byte_count() + values.len() * 4,
        ColumnData::Int(values) => values.len() * 4,
        ColumnData::Float(values) => values.len() * 4,
        ColumnData::Long(values) => values.len() * 8,
        ColumnData::Double(values) => values.len() * 8,
    }
}

/// How many messages lost all their rows to the filter.
fn count_filtered(message_of_row: &[u32], keep: &[bool], rejects: &[Reject]) -> u64 {
    let rejected = |message: u32| rejects.binary_search_by_key(&message, |reject| reject.message).is_ok();
    let mut filtered = 0;
    let mut at = 0;
    for rows in message_of_row.chunk_by(|a, b| a == b) {
        let kept = keep[at..at + rows.len()].iter().any(|keep| *keep);
        filtered += u64::from(!kept && !rejected(rows[0]));
        at += rows.len();
    }
    filtered
}

/// The raw columns, read row by row.
struct RawRows<'a> {
    columns: Vec<(&'a Column, std::iter::Peekable<std::slice::Iter<'a, u32>>)>,
}

impl<'a> RawRows<'a> {
    fn new(columns: &'a [Column]) -> Self {
        Self { columns: columns.iter().map(|column| (column, column.nulls.iter().peekable())).collect() }
    }

    /// The values of the next row.
    fn read(&mut self, row: usize, slots: &mut [Datum<'a>], arena: &'a Bump) {
        for (slot, (column, nulls)) in slots.iter_mut().zip(&mut self.columns) {
            *slot = match (nulls.next_if(|null| **null as usize == row), &column.data) {
                (None, ColumnData::Bytes(values)) => raw::datum(values.get(row), arena),
                _ => Datum::Null,
            };
        }
    }
}
