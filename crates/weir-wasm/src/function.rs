//! Functions: values of a call go in as columns and come out as one.
//!
//! Any thread may call, so there are as many instances as threads that call at once; each waits for the next call.

use crate::{
    cells::{self, Cell},
    part::{Inside, Part, allow},
    world::{
        Column,
        function::{
            FunctionPart, FunctionPartPre,
            exports::weir::parts::functions::{Answers, DataType as Kind, Gives as Given, Signature},
        },
    },
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use wasmtime::{Engine, Store};
use weir_functions::{
    datum::{Arena, Datum, Fault, list},
    shelf::{Body, Function, Gives, Ready, row_of},
};
use weir_types::DataType;

/// The interface's name, without its version.
pub(crate) const INTERFACE: &str = "weir:parts/functions";

/// Functions of one component: more is a mistake.
const MOST: usize = 1000;

struct Running {
    store: Store<Inside>,
    part: FunctionPart,
}

struct Component {
    part: Part,
    pre: FunctionPartPre<Inside>,
    /// Instances that no thread calls now.
    idle: Mutex<Vec<Running>>,
    /// How many of them are kept: one for each core.
    kept: usize,
}

/// Makes functions of a component.
pub(crate) fn functions(part: Part) -> Result<Vec<Function>, String> {
    let pre = part.linker.instantiate_pre(&part.component).and_then(FunctionPartPre::new);
    let pre = pre.map_err(|error| format!("{error:#}"))?;
    let kept = std::thread::available_parallelism().map_or(1, Into::into);
    let component = Arc::new(Component { part, pre, idle: Mutex::default(), kept });
    let mut running = component.fresh()?;
    let signatures = running.part.weir_parts_functions().call_signatures(&mut running.store);
    let signatures = signatures.map_err(|error| component.part.why(&running.store, &error, 0))?;
    if signatures.is_empty() || signatures.len() > MOST {
        return Err(format!("it has {} functions: 1 to {MOST} are taken", signatures.len()));
    }
    (0..).zip(signatures).map(|(at, signature)| function(&component, at, signature)).collect()
}

/// Made once, for as long as the process, like the functions that are compiled in.
fn function(component: &Arc<Component>, at: u32, signature: Signature) -> Result<Function, String> {
    let Signature { names, least, most, nulls, gives } = signature;
    let name = |name: &String| {
        let mut letters = name.chars();
        letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    if names.is_empty() || !names.iter().all(name) {
        return Err(format!("function {at} is named {names:?}: names are letters, digits and '_', a letter first"));
    }
    if least > most {
        return Err(format!("function '{}' takes {least} arguments at least, {most} at most", names[0]));
    }
    let gives = match gives {
        Given::One(kind) => Gives::One(data_type(kind)),
        Given::Many(kind) => Gives::Many(data_type(kind)),
        Given::Like(at) => Gives::Like(at as usize),
    };
    let call: &'static Call = Box::leak(Box::new(Call { component: component.clone(), at }));
    let names = names.into_iter().map(|name| &*name.leak()).collect::<Vec<&'static str>>();
    Ok(Function {
        names: names.leak(),
        least: least as usize,
        most: most as usize,
        nulls,
        gives,
        body: Body::Loaded(call),
    })
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Int => DataType::Int,
        Kind::Long => DataType::Long,
        Kind::Float => DataType::Float,
        Kind::Double => DataType::Double,
        Kind::Boolean => DataType::Boolean,
        Kind::Timestamp => DataType::Timestamp,
        Kind::Text => DataType::String,
        Kind::Json => DataType::Json,
        Kind::Bytes => DataType::Bytes,
        Kind::BigDecimal => DataType::BigDecimal,
        Kind::Uuid => DataType::Uuid,
    }
}

impl Component {
    fn fresh(&self) -> Result<Running, String> {
        let mut store = self.part.store();
        allow(&mut store, 0);
        match self.pre.instantiate(&mut store) {
            Ok(part) => Ok(Running { store, part }),
            Err(error) => Err(self.part.why(&store, &error, 0)),
        }
    }

    fn named(&self, what: &str) -> String {
        format!("component '{}' {what}", self.part.name)
    }

    fn call_in(&self, mut running: Running, asked: &Asked) -> Result<Answers, String> {
        let Asked { at, rows, columns, bytes } = asked;
        allow(&mut running.store, *bytes);
        let answered = running.part.weir_parts_functions().call_call(&mut running.store, *at, *rows, columns);
        let answers = answered.map_err(|error| self.part.why(&running.store, &error, *bytes))?;
        cells::check(&answers.column, *rows as usize).map_err(|what| self.named(&what))?;
        let mut idle = self.idle.lock();
        if idle.len() < self.kept {
            idle.push(running);
        }
        Ok(answers)
    }

    /// The answer of a call; one that fails in a used instance is made again in a fresh one.
    fn call(&self, asked: &Asked) -> Result<Answers, String> {
        let idle = self.idle.lock().pop();
        if let Some(running) = idle
            && let Ok(answers) = self.call_in(running, asked)
        {
            return Ok(answers);
        }
        self.call_in(self.fresh()?, asked)
    }
}

/// A call: which function, and its arguments column by column.
struct Asked {
    at: u32,
    rows: u32,
    columns: Vec<Column>,
    /// What the arguments hold.
    bytes: usize,
}

/// A function of a component.
struct Call {
    component: Arc<Component>,
    at: u32,
}

/// Rows of one call: enough that a call costs little beside them.
const AT_A_TIME: usize = 500;

impl Call {
    /// The values for some rows, whose arguments stand row by row; the outer error is one of them all.
    fn rows<'a>(
        &self,
        args: &[Datum<'a>],
        rows: u32,
        arena: &'a Arena,
    ) -> Result<Vec<Result<Datum<'a>, Fault>>, String> {
        let width = args.len() / (rows as usize).max(1);
        let columns = (0..width).map(|at| argument(args.iter().skip(at).step_by(width)));
        let columns = columns.collect::<Result<_, _>>().map_err(|what| self.component.named(&what))?;
        let bytes = args.iter().map(|arg| arg.bytes_held()).sum();
        let asked = Asked { at: self.at, rows, columns, bytes };
        let Answers { column, faults } = self.component.call(&asked)?;
        let mut faults: BTreeMap<u32, String> = faults.into_iter().map(|fault| (fault.row, fault.reason)).collect();
        let (mut next, mut values) = (0, vec![]);
        let one = |row: u32| {
            let found = cells::of_row(&column, &mut next, row);
            if let Some(reason) = faults.remove(&row) {
                return Err(Fault::new(reason));
            }
            values.clear();
            for at in found {
                let cell = cells::cell(&column.cells, at).map_err(|what| Fault::new(self.component.named(&what)))?;
                values.push(datum(cell, arena));
            }
            match (column.many, values.as_slice()) {
                (true, values) => Ok(list(values.iter().copied(), arena)),
                (false, []) => Ok(Datum::Null),
                (false, [value]) => Ok(*value),
                (false, _) => Err(Fault::new(self.component.named("gives several values where there is one"))),
            }
        };
        Ok((0..rows).map(one).collect())
    }
}

impl Ready for Call {
    fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Arena) -> Result<Datum<'a>, Fault> {
        let mut values = self.rows(args, 1, arena).map_err(Fault::new)?;
        values.pop().unwrap_or(Ok(Datum::Null))
    }

    fn at_a_time(&self) -> usize {
        AT_A_TIME
    }

    fn call_rows<'a>(&self, args: &[Datum<'a>], rows: usize, arena: &'a Arena) -> Vec<Result<Datum<'a>, Fault>> {
        let together = u32::try_from(rows).ok().and_then(|rows| self.rows(args, rows, arena).ok());
        // What is wrong with all of them is nobody's value.
        together.unwrap_or_else(|| (0..rows).map(|row| self.call(row_of(args, row, rows), arena)).collect())
    }
}

/// An argument of some rows, as a column.
fn argument<'a: 'b, 'b>(args: impl Iterator<Item = &'b Datum<'a>> + Clone) -> Result<Column, String> {
    let many = args.clone().any(|arg| matches!(arg, Datum::List(_)));
    let mut values = vec![];
    for (row, arg) in (0..).zip(args) {
        match arg {
            Datum::List(items) => {
                for item in *items {
                    values.extend(cell(*item)?.map(|cell| (row, cell)));
                }
            }
            one => values.extend(cell(*one)?.map(|cell| (row, cell))),
        }
    }
    cells::column(&values, many)
}

fn cell(datum: Datum<'_>) -> Result<Option<Cell<'_>>, String> {
    Ok(Some(match datum {
        Datum::Null => return Ok(None),
        Datum::Bool(value) => Cell::Bool(value),
        Datum::Long(value) => Cell::Integer(value),
        Datum::Float(value) => Cell::Float(value),
        Datum::Double(value) => Cell::Double(value),
        Datum::Decimal(text) => Cell::Decimal(text),
        Datum::Timestamp(ms) => Cell::Timestamp(ms),
        Datum::Text(text) => Cell::Text(text),
        Datum::Bytes(bytes) => Cell::Bytes(bytes),
        Datum::Uuid(uuid) => Cell::Uuid(uuid),
        Datum::Json(text) => Cell::Json(text),
        Datum::List(_) => return Err("takes no lists of lists".to_owned()),
    }))
}

fn datum<'a>(cell: Cell<'_>, arena: &'a Arena) -> Datum<'a> {
    match cell {
        Cell::Bool(value) => Datum::Bool(value),
        Cell::Integer(value) => Datum::Long(value),
        Cell::Float(value) => Datum::Float(value),
        Cell::Double(value) => Datum::Double(value),
        Cell::Timestamp(ms) => Datum::Timestamp(ms),
        Cell::Decimal(text) => Datum::Decimal(arena.alloc_str(text)),
        Cell::Text(text) => Datum::Text(arena.alloc_str(text)),
        Cell::Json(text) => Datum::Json(arena.alloc_str(text)),
        Cell::Bytes(bytes) => Datum::Bytes(arena.alloc_slice_copy(bytes)),
        Cell::Uuid(uuid) => Datum::Uuid(uuid),
    }
}

/// Whether a component has functions.
pub(crate) fn is_one(engine: &Engine, component: &wasmtime::component::Component) -> bool {
    crate::folder::exports(engine, component).any(|name| name.split('@').next() == Some(INTERFACE))
}
