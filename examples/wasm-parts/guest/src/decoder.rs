//! A decoder: messages are taken apart one by one, rows leave together.

use crate::{
    Value,
    bindings::decoder::exports::weir::parts::decoder::{Blobs, Decoded, Field, Reject},
    cells,
};

/// A decoder. What it makes of a message must follow from the message and the settings alone.
pub trait Decoder: Sized {
    /// The settings that it knows, without the prefix `stream.<type>.decoder.prop.`.
    const KEYS: &'static [&'static str];

    /// Makes one of its settings. The error says which is wrong, and what would be right.
    fn start(settings: &[(String, String)]) -> Result<Self, String>;

    /// Reads one message into `rows`: none, one or many. The error rejects the message, whole.
    fn read(&mut self, message: &[u8], rows: &mut Rows) -> Result<(), String>;
}

/// Takes the rows of a message.
pub struct Rows {
    /// The columns of each field that the table reads.
    fields: Vec<(String, Vec<crate::bindings::decoder::weir::parts::values::Column>)>,
    /// Where the last field was found: the next one mostly stands behind it.
    last: usize,
    message_of_row: Vec<u32>,
    message: u32,
    /// A value or [`Rows::begin`] came since the last row ended.
    begun: bool,
}

impl Rows {
    fn new(wanted: Vec<String>) -> Self {
        let fields = wanted.into_iter().map(|name| (name, vec![])).collect();
        Self { fields, last: 0, message_of_row: vec![], message: 0, begun: false }
    }

    fn find(&mut self, field: &str) -> Option<usize> {
        let count = self.fields.len();
        let found = (self.last + 1..count).chain(0..count).find(|at| self.fields[*at].0 == field)?;
        self.last = found;
        Some(found)
    }

    /// Whether the table reads a field: others need not be looked for.
    pub fn wants(&mut self, field: &str) -> bool {
        self.find(field).is_some()
    }

    fn row(&self) -> u32 {
        self.message_of_row.len() as u32
    }

    fn push(&mut self, at: usize, many: bool, value: Value<'_>) {
        let row = self.row();
        let columns = &mut self.fields[at].1;
        if !columns.iter_mut().any(|column| column.many == many && cells::push(column, row, value)) {
            let mut column = cells::column_for(value, many);
            cells::push(&mut column, row, value);
            columns.push(column);
        }
    }

    /// The value of a field of the row that is being made; one that it had before is gone.
    pub fn put(&mut self, field: &str, value: Value<'_>) {
        self.begun = true;
        if let Some(at) = self.find(field) {
            let row = self.row();
            self.fields[at].1.iter_mut().for_each(|column| cells::take_back(column, row));
            self.push(at, false, value);
        }
    }

    /// One more of the values of a field that has several.
    pub fn item(&mut self, field: &str, value: Value<'_>) {
        self.begun = true;
        if let Some(at) = self.find(field) {
            self.push(at, true, value);
        }
    }

    /// Begins a row that may have no values.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Ends the row. The last one of a message ends by itself.
    pub fn end(&mut self) {
        self.begun = false;
        self.message_of_row.push(self.message);
    }

    fn take_back(&mut self, first: u32) {
        self.begun = false;
        self.message_of_row.truncate(first as usize);
        self.fields.iter_mut().flat_map(|field| &mut field.1).for_each(|column| cells::take_back(column, first));
    }

    fn taken(&mut self, rejects: Vec<Reject>) -> Decoded {
        let mut fields = vec![];
        for (name, columns) in &mut self.fields {
            let columns = std::mem::take(columns).into_iter().filter(|column| !column.rows.is_empty());
            fields.extend(columns.map(|column| Field { name: name.clone(), column }));
        }
        Decoded { message_of_row: std::mem::take(&mut self.message_of_row), fields, rejects }
    }
}

/// A decoder that has begun.
pub struct State<D> {
    decoder: D,
    rows: Rows,
}

impl<D: Decoder> State<D> {
    /// Begins.
    pub fn start(settings: Vec<(String, String)>, wanted: Vec<String>) -> Result<Self, String> {
        Ok(Self { decoder: D::start(&settings)?, rows: Rows::new(wanted) })
    }

    /// Takes messages apart.
    pub fn decode(&mut self, messages: Blobs) -> Decoded {
        let (mut rejects, mut start) = (vec![], 0);
        for (message, end) in (0..).zip(messages.ends) {
            let first = self.rows.row();
            self.rows.message = message;
            let bytes = &messages.bytes[start..end as usize];
            start = end as usize;
            match self.decoder.read(bytes, &mut self.rows) {
                Ok(()) if self.rows.begun => self.rows.end(),
                Ok(()) => {}
                Err(reason) => {
                    self.rows.take_back(first);
                    rejects.push(Reject { message, reason });
                }
            }
        }
        self.rows.taken(rejects)
    }
}

/// Makes a component of a [`Decoder`].
#[macro_export]
macro_rules! decoder {
    ($decoder:ty) => {
        const _: () = {
            use $crate::bindings::decoder::exports::weir::parts::decoder as world;
            ::std::thread_local! {
                static STATE: ::std::cell::RefCell<Option<$crate::State<$decoder>>> = const {
                    ::std::cell::RefCell::new(None)
                };
            }
            struct Part;
            impl world::Guest for Part {
                fn keys() -> Vec<String> {
                    <$decoder as $crate::Decoder>::KEYS.iter().map(|key| (*key).to_owned()).collect()
                }

                fn start(settings: Vec<(String, String)>, wanted: Vec<String>) -> Result<(), String> {
                    let state = $crate::State::start(settings, wanted)?;
                    STATE.set(Some(state));
                    Ok(())
                }

                fn decode(messages: world::Blobs) -> world::Decoded {
                    STATE.with_borrow_mut(|state| state.as_mut().expect("`start` comes first").decode(messages))
                }
            }
    $crate::bindings::decoder::export_decoder!(Part with_types_in $crate::bindings::decoder);
        };
    };
}
