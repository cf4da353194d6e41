//! Derived columns and the filter: expressions over the fields of a record, before they have their types.
//!
//! Fields that expressions read or write come from the decoder raw, in columns behind those that it fills itself; here they
//! become the table's columns. A column that no expression names never passes through here, where nested records are not
//! made flat. Pinot's order: flattening and unnesting, enrichers, derived columns (each after those that it reads), then the
//! filter, which sees them and drops a row where it is true, then types.

mod complex;
mod plan;
#[cfg(test)]
mod tests;

pub use plan::{TransformError, TransformPlan, fields_of};

use crate::{
    coerce::{self, Fit, Source},
    decoder::{Reject, Stage},
    json::{
        cell::{Cell, Scratch, fill},
        scan::Scan,
    },
    raw,
    stages::keep_rows_of,
};
use bumpalo::Bump;
use plan::Origin;
use std::sync::Arc;
use weir_functions::datum::{Datum, Fault};
use weir_types::{Column, ColumnData, DataType, ExceedStrategy, FieldSpec, RowBatch, Schema};

/// Derives columns and drops rows, for one partition: buffers are reused.
#[derive(Debug)]
pub struct Transform {
    plan: Arc<TransformPlan>,
    arena: Bump,
    scratch: Scratch,
    bytes: Vec<u8>,
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

/// Bytes that an UTF-16 unit takes at most in UTF-8, and one more: what is cut to so many is cut again, to the unit.
const BYTES_A_UNIT: usize = 4;

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
        Self { plan, arena: Bump::new(), scratch: Scratch::default(), bytes: vec![] }
    }

    /// The columns that the decoder fills for it.
    #[must_use]
    pub fn decodes(&self) -> Arc<Schema> {
        self.plan.decodes().0
    }

    /// Turns decoded rows, in the columns of the plan's decode schema, into rows of the table.
    pub fn apply(&mut self, decoded: RowBatch) -> Transformed {
        self.arena.reset();
        let Self { plan, arena, scratch, bytes } = self;
        let (plan, arena) = (&**plan, &*arena);
        let RowBatch { columns, message_of_row } = decoded;
        let mut out = Out::new(plan, scratch, bytes);
        {
            let mut found = RawRows::new(&columns[plan.direct..]);
            let mut raw = vec![Datum::Null; columns.len() - plan.direct];
            for (row, message) in message_of_row.iter().enumerate() {
                if out.is_enough(*message) {
                    return Out::ended(*message);
                }
                found.read(row, &mut raw, arena);
                match &plan.flattening {
                    None => out.row(*message, &mut raw, arena),
                    Some(flattening) => {
                        let given = flattening.rows(&raw, arena, &mut |slots| out.row(*message, slots, arena));
                        if let Err(not_flat) = given {
                            let (column, reason) = not_flat.told();
                            let (message, stage) = (*message, Stage::ComplexType);
                            out.rejects.push(Reject { message, stage, column: Some(column), reason });
                        }
                    }
                }
            }
        }
        out.finish(columns)
    }
}

/// The table's rows under way.
struct Out<'p> {
    plan: &'p TransformPlan,
    scratch: &'p mut Scratch,
    bytes: &'p mut Vec<u8>,
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

    fn new(plan: &'p TransformPlan, scratch: &'p mut Scratch, bytes: &'p mut Vec<u8>) -> Self {
        let made = plan.made.iter().map(|made| Column::new(made.field.data_type.stored(), made.field.single_value));
        let made = made.collect();
        Self {
            plan,
            scratch,
            bytes,
            made,
            message_of_row: vec![],
            keep: vec![],
            rejects: vec![],
            altered: 0,
            message: None,
            refused: false,
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
        let outcome = derive(plan, slots, arena).and_then(|derived| {
            if derived.dropped {
                return Ok(false);
            }
            let stored = store(plan, slots, &mut self.made, self.scratch, self.bytes)?;
            self.altered += u64::from(stored || derived.incomplete);
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
    /// Something could not be worked out and is null.
    incomplete: bool,
}

/// Fills the slots that expressions write, and asks the filter.
fn derive<'a>(plan: &'a TransformPlan, slots: &mut [Datum<'a>], arena: &'a Bump) -> Result<Derived, Refusal> {
    let mut incomplete = false;
    for step in &plan.steps {
        // What the record brings stands, where the column can take it.
        if !slots[step.slot].is_null() && !step.replaces(slots[step.slot]) {
            continue;
        }
        match step.expression.value(&|at: usize| slots[step.inputs[at]], arena) {
            Ok(value) => slots[step.slot] = value,
            Err(_) if plan.continue_on_error => {
                slots[step.slot] = Datum::Null;
                incomplete = true;
            }
            Err(fault) => return Err(refused(Stage::Transform, Some(&step.name), &fault)),
        }
    }
    let Some(filter) = &plan.filter else { return Ok(Derived { dropped: false, incomplete }) };
    let dropped = filter.expression.value(&|at: usize| slots[filter.inputs[at]], arena);
    match dropped.and_then(|dropped| if dropped.is_null() { Ok(false) } else { dropped.truth() }) {
        Ok(dropped) => Ok(Derived { dropped, incomplete }),
        Err(_) if plan.continue_on_error => Ok(Derived { dropped: false, incomplete: true }),
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
    scratch: &mut Scratch,
    bytes: &mut Vec<u8>,
) -> Result<bool, Refusal> {
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
                    let reason = format!("{} takes {}, got {}", field.data_type, unfit.0, value.shown());
                    return Err(Refusal { stage: Stage::DataType, column: Some(field.name.as_str().into()), reason });
                }
                column.push_null(&field.default_null);
                altered = true;
            }
        }
    }
    Ok(altered)
}

/// One value into its column, by the rules that decoders have.
fn typed(field: &FieldSpec, value: Datum<'_>, column: &mut Column, scratch: &mut Scratch, bytes: &mut Vec<u8>) -> Cell {
    let source = match value {
        Datum::Null => return Cell::Null,
        Datum::Bool(truth) => Source::Bool(truth),
        Datum::Long(number) => Source::Integer(number),
        Datum::Float(number) => Source::Float(number),
        Datum::Double(number) => Source::Double(number),
        Datum::Decimal(text) => Source::Decimal(text),
        Datum::Timestamp(ms) => Source::Timestamp(ms),
        Datum::Text(text) => Source::Text(beginning(field, text)),
        Datum::Bytes(bytes) => Source::Bytes(bytes),
        Datum::Uuid(uuid) => Source::Uuid(uuid),
        Datum::Json(text) => return json(field.data_type, text.as_bytes(), column, scratch),
        Datum::List(_) => {
            let mut text = vec![];
            value.write_json(&mut text);
            return json(field.data_type, &text, column, scratch);
        }
    };
    match coerce::push(field.data_type, source, &mut column.data, bytes) {
        Err(unfit) => Cell::Unfit(unfit),
        Ok(Fit::Null) => Cell::Null,
        Ok(fit) => {
            if column.ends.is_some() {
                column.end_row();
            }
            if fit == Fit::Altered { Cell::Altered } else { Cell::Stored }
        }
    }
}

/// As much of a text as its column will keep, and a little more, where that cuts it anyway.
fn beginning<'a>(field: &FieldSpec, text: &'a str) -> &'a str {
    let most = (field.max_length as usize).saturating_add(1).saturating_mul(BYTES_A_UNIT);
    let cuts = field.data_type == DataType::String && field.exceed == ExceedStrategy::TrimLength;
    if cuts && text.len() > most { &text[..text.floor_char_boundary(most)] } else { text }
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

fn json(data_type: DataType, text: &[u8], column: &mut Column, scratch: &mut Scratch) -> Cell {
    let broken = coerce::Unfit("a value that can be written as JSON of at most 128 levels");
    fill(&mut Scan::new(text), data_type, column, scratch).unwrap_or(Cell::Unfit(broken))
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
