//! A decoder: many messages go in with one call, columns of fields come out.
//!
//! What is wrong with a call of many is no message's outcome: its messages are then taken one by one, in an instance that
//! is made anew after each that fails. Only what fails alone in a fresh one is rejected.

use crate::{
    cells::{self, Cell},
    part::{Inside, Part, allow},
    world::{
        Blobs, Column,
        decoder::{DecoderPart, DecoderPartPre, exports::weir::parts::decoder::Decoded},
    },
};
use std::collections::BTreeMap;
use wasmtime::{Engine, Store};
use weir_formats::{
    coerce::Source,
    own::{AddedDecoder, MessageReader, Rows},
};

/// Messages of one call: enough that a call costs little beside them.
const AT_A_TIME: usize = 500;

/// The interface's name, without its version.
pub(crate) const INTERFACE: &str = "weir:parts/decoder";

#[derive(Clone)]
struct Component {
    part: Part,
    pre: DecoderPartPre<Inside>,
}

/// Makes a decoder of a component; what it knows is asked once.
pub(crate) fn decoder(part: Part) -> Result<AddedDecoder, String> {
    let pre = part.linker.instantiate_pre(&part.component).and_then(DecoderPartPre::new);
    let component = Component { pre: pre.map_err(|error| format!("{error:#}"))?, part };
    let (mut store, instance) = component.instance()?;
    let keys = instance.weir_parts_decoder().call_keys(&mut store);
    let keys = keys.map_err(|error| component.part.why(&store, &error, 0))?;
    // As long as the process, like those that are compiled in.
    let keys = keys.into_iter().map(|key| &*key.leak()).collect::<Vec<&'static str>>();
    Ok(AddedDecoder {
        name: component.part.name.to_string().leak(),
        keys: keys.leak(),
        make: Box::new(move |settings, fields| Ok(Box::new(Reader::new(component.clone(), settings, fields)?))),
    })
}

impl Component {
    fn instance(&self) -> Result<(Store<Inside>, DecoderPart), String> {
        let mut store = self.part.store();
        allow(&mut store, 0);
        match self.pre.instantiate(&mut store) {
            Ok(instance) => Ok((store, instance)),
            Err(error) => Err(self.part.why(&store, &error, 0)),
        }
    }
}

/// An instance that has begun.
struct Running {
    store: Store<Inside>,
    part: DecoderPart,
    /// It has read messages: what it fails at may lie with those.
    used: bool,
}

/// Reads the messages of a partition.
struct Reader {
    component: Component,
    settings: Vec<(String, String)>,
    wanted: Vec<String>,
    running: Option<Running>,
    input: Blobs,
    ahead: Option<Taken>,
}

impl Reader {
    fn new(component: Component, settings: &BTreeMap<String, String>, fields: &[&str]) -> Result<Self, String> {
        let mut reader = Self {
            component,
            settings: settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            wanted: fields.iter().map(|field| (*field).to_owned()).collect(),
            running: None,
            input: cells::blobs(),
            ahead: None,
        };
        reader.running = Some(reader.begin()?);
        Ok(reader)
    }

    fn begin(&self) -> Result<Running, String> {
        let (mut store, part) = self.component.instance()?;
        let started = part.weir_parts_decoder().call_start(&mut store, &self.settings, &self.wanted);
        match started {
            Ok(Ok(())) => Ok(Running { store, part, used: false }),
            Ok(Err(reason)) => Err(reason),
            Err(error) => Err(self.component.part.why(&store, &error, 0)),
        }
    }

    /// Has messages taken apart by one call. An instance that failed is gone.
    fn take(&mut self, messages: &[&[u8]]) -> Result<Taken, String> {
        self.input.bytes.clear();
        self.input.ends.clear();
        if !messages.iter().all(|message| cells::push_bytes(&mut self.input, message)) {
            return Err(format!("component '{}' cannot be given so many bytes", self.component.part.name));
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.begin()?,
        };
        let bytes = self.input.bytes.len();
        allow(&mut running.store, bytes);
        running.used = true;
        let part = &self.component.part;
        let decoded = running.part.weir_parts_decoder().call_decode(&mut running.store, &self.input);
        let decoded = decoded.map_err(|error| part.why(&running.store, &error, bytes))?;
        let taken = Taken::new(decoded, messages.len()).map_err(|what| format!("component '{}' {what}", part.name))?;
        self.running = Some(running);
        Ok(taken)
    }

    /// The same with one message, in a fresh instance where it fails in a used one.
    fn alone(&mut self, message: &[u8]) -> Result<Taken, String> {
        let used = self.running.as_ref().is_some_and(|running| running.used);
        self.take(&[message]).or_else(|reason| if used { self.take(&[message]) } else { Err(reason) })
    }
}

impl MessageReader for Reader {
    fn read(&mut self, message: &[u8], rows: &mut Rows<'_>) -> Result<(), String> {
        let named = |component: &Component, what: String| format!("component '{}' {what}", component.part.name);
        if let Some(taken) = &mut self.ahead {
            return taken.give(rows).unwrap_or_else(|what| Err(named(&self.component, what)));
        }
        let mut taken = self.alone(message)?;
        taken.give(rows).unwrap_or_else(|what| Err(named(&self.component, what)))
    }

    fn at_a_time(&self) -> usize {
        AT_A_TIME
    }

    fn ahead(&mut self, messages: &[&[u8]]) {
        // Where it fails they are taken alone.
        self.ahead = self.take(messages).ok();
    }
}

/// A field's column, and how far it was given.
struct Field {
    name: String,
    column: Column,
    next: usize,
}

/// What was made of some messages, given away message by message.
struct Taken {
    message_of_row: Vec<u32>,
    fields: Vec<Field>,
    rejects: BTreeMap<u32, String>,
    message: u32,
    row: usize,
}

impl Taken {
    fn new(decoded: Decoded, messages: usize) -> Result<Self, String> {
        let Decoded { message_of_row, fields, rejects } = decoded;
        let behind = |message: &u32| *message as usize >= messages;
        if !message_of_row.is_sorted() || message_of_row.last().is_some_and(behind) {
            return Err(format!("gives rows of messages that do not ascend, or lie behind the last of {messages}"));
        }
        let rejects: BTreeMap<u32, String> =
            rejects.into_iter().map(|reject| (reject.message, reject.reason)).collect();
        if rejects.keys().next_back().is_some_and(behind) {
            return Err(format!("rejects messages behind the last of {messages}"));
        }
        if rejects.keys().any(|message| message_of_row.binary_search(message).is_ok()) {
            return Err("gives rows of a message that it rejects".to_owned());
        }
        for field in &fields {
            cells::check(&field.column, message_of_row.len())
                .map_err(|what| format!("{what}, in field '{}'", field.name))?;
        }
        let fields = fields.into_iter().map(|field| Field { name: field.name, column: field.column, next: 0 });
        Ok(Self { message_of_row, fields: fields.collect(), rejects, message: 0, row: 0 })
    }

    /// Gives the rows of the next message, or the reason why it has none. The outer error is one of the part's.
    fn give(&mut self, rows: &mut Rows<'_>) -> Result<Result<(), String>, String> {
        let message = self.message;
        self.message += 1;
        if let Some(reason) = self.rejects.remove(&message) {
            return Ok(Err(reason));
        }
        let mut bent = Ok(());
        while self.message_of_row.get(self.row) == Some(&message) {
            rows.begin();
            for Field { name, column, next } in &mut self.fields {
                for at in cells::of_row(column, next, self.row as u32) {
                    match cells::cell(&column.cells, at) {
                        Ok(cell) if column.many => rows.item(name, source(cell)),
                        Ok(cell) => rows.put(name, source(cell)),
                        Err(what) => bent = Err(format!("{what}, in field '{name}'")),
                    }
                }
            }
            rows.end();
            self.row += 1;
        }
        bent.map(Ok)
    }
}

fn source(cell: Cell<'_>) -> Source<'_> {
    match cell {
        Cell::Bool(value) => Source::Bool(value),
        Cell::Integer(value) => Source::Integer(value),
        Cell::Float(value) => Source::Float(value),
        Cell::Double(value) => Source::Double(value),
        Cell::Timestamp(value) => Source::Timestamp(value),
        Cell::Decimal(text) => Source::Decimal(text),
        Cell::Text(text) => Source::Text(text),
        Cell::Json(text) => Source::Json(text),
        Cell::Bytes(bytes) => Source::Bytes(bytes),
        Cell::Uuid(uuid) => Source::Uuid(uuid),
    }
}

/// Whether a component is a decoder.
pub(crate) fn is_one(engine: &Engine, component: &wasmtime::component::Component) -> bool {
    crate::folder::exports(engine, component).any(|name| name.split('@').next() == Some(INTERFACE))
}
