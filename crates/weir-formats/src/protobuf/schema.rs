//! Message types made ready to be walked: resolved by the descriptor library, then laid out as flat lists.

use hashbrown::HashMap;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind as Described, MessageDescriptor, Syntax,
};
use weir_base::tasks::may_panic;

/// Field numbers up to this are found by position; higher ones are searched for. Most messages stay below.
const DIRECT: u32 = 512;
/// No field has this number.
const NONE: u32 = u32::MAX;

pub(super) type MessageId = u32;
pub(super) type EnumId = u32;

/// What a field holds, and so how it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    /// Comes out signed, as it does in Java.
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Bool,
    Text,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    /// Between two tags, without a length.
    Group(MessageId),
}

impl Kind {
    /// Whether it has children.
    pub(super) fn is_message(self) -> bool {
        matches!(self, Self::Message(_) | Self::Group(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// Its entries are the members of an object.
    pub(super) map: bool,
    /// Whether it is told from its default: then it is null where it is not set.
    pub(super) presence: bool,
    pub(super) required: bool,
    /// Fields of one of these exclude each other.
    pub(super) oneof: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// By number.
    pub(super) fields: Vec<Field>,
    direct: Vec<u32>,
    /// Google's own type of an instant: seconds and nanoseconds.
    pub(super) is_instant: bool,
}

impl Message {
    /// The position of a field.
    #[inline]
    pub(super) fn find(&self, number: u32) -> Option<usize> {
        match self.direct.get(number as usize) {
            Some(at) => (*at != NONE).then_some(*at as usize),
            None => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnumType {
    name: Box<str>,
    /// Names by number; of two names of one number, the first.
    names: HashMap<i32, Box<str>>,
    /// Other numbers than these are unknown fields.
    closed: bool,
    first: Box<str>,
}

impl EnumType {
    /// The name of a value that a field has by default.
    pub(super) fn first(&self) -> &str {
        &self.first
    }

    /// The name of a number; what Java calls a number without one; `None`: it counts as not set.
    pub(super) fn name<'t>(&'t self, number: i32, text: &'t mut String) -> Option<&'t str> {
        if let Some(name) = self.names.get(&number) {
            return Some(name);
        }
        if self.closed {
            return None;
        }
        text.clear();
        text.push_str("UNKNOWN_ENUM_VALUE_");
        text.push_str(&self.name);
        text.push('_');
        text.push_str(&number.to_string());
        Some(text)
    }
}

/// A message type with all that it holds; it is the first of the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtoSchema {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<EnumType>,
}

impl ProtoSchema {
    /// The type `name` of a descriptor set: its full name, or its last part where one type only has that.
    ///
    /// # Errors
    /// Bytes that are no descriptor set, or no such type in it.
    pub fn of_set(set: &[u8], name: Option<&str>) -> Result<Self, SchemaFault> {
        // The library looks for the place of a fault in a file that it has not taken in yet.
        let pool = may_panic(|| DescriptorPool::decode(set).map_err(|error| error.to_string()))
            .unwrap_or_else(|panic| Err(format!("what is wrong with it cannot be told: {panic}")))
            .map_err(SchemaFault::Set)?;
        let messages: Vec<MessageDescriptor> = pool.all_messages().filter(|message| !message.is_map_entry()).collect();
        let own = |message: &&MessageDescriptor| !message.full_name().starts_with("google.protobuf.");
        let shown = || {
            let names: Vec<&str> = messages.iter().filter(own).map(MessageDescriptor::full_name).take(20).collect();
            if names.is_empty() { "it has no message type".to_owned() } else { format!("it has {}", names.join(", ")) }
        };
        let found = match name.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => {
                let full = messages.iter().find(|message| message.full_name() == name.trim_start_matches('.'));
                let mut short = messages.iter().filter(|message| message.name() == name);
                let only = short.next().filter(|_| short.next().is_none());
                full.or(only)
                    .ok_or_else(|| SchemaFault::Name(format!("the descriptor set has no such type: {}", shown())))
            }
            None => {
                let mut own = messages.iter().filter(own);
                let only = own.next().filter(|_| own.next().is_none());
                only.ok_or_else(|| SchemaFault::Name(format!("it must name the message type: {}", shown())))
            }
        };
        Ok(Self::of(found?))
    }

    /// A message type of a pool.
    #[must_use]
    pub(super) fn of(message: &MessageDescriptor) -> Self {
        let mut layout = Layout { messages: vec![], enums: vec![], known: HashMap::new(), known_enums: HashMap::new() };
        layout.message(message);
        // A type that names itself is laid out once: those still to do are on a list, not on the stack.
        while let Some((id, message)) = layout.messages.iter().zip(0u32..).find_map(|(slot, id)| match slot {
            Slot::Named(message) => Some((id, message.clone())),
            Slot::Done(_) => None,
        }) {
            let done = layout.lay_out(&message);
            layout.messages[id as usize] = Slot::Done(done);
        }
        let done = |slot| match slot {
            Slot::Done(message) => message,
            Slot::Named(_) => unreachable!("all were laid out"),
        };
        Self { messages: layout.messages.into_iter().map(done).collect(), enums: layout.enums }
    }
}

/// Why a type was not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaFault {
    /// The bytes are no descriptor set.
    Set(String),
    /// The type's name is wrong.
    Name(String),
}

enum Slot {
    Named(MessageDescriptor),
    Done(Message),
}

struct Layout {
    messages: Vec<Slot>,
    enums: Vec<EnumType>,
    known: HashMap<String, MessageId>,
    known_enums: HashMap<String, EnumId>,
}

impl Layout {
    fn message(&mut self, message: &MessageDescriptor) -> MessageId {
        if let Some(id) = self.known.get(message.full_name()) {
            return *id;
        }
        let id = u32::try_from(self.messages.len()).expect("far less than 4 G types");
        self.known.insert(message.full_name().to_owned(), id);
        self.messages.push(Slot::Named(message.clone()));
        id
    }

    fn enumeration(&mut self, found: &EnumDescriptor) -> EnumId {
        if let Some(id) = self.known_enums.get(found.full_name()) {
            return *id;
        }
        let mut names = HashMap::new();
        for value in found.values() {
            names.entry(value.number()).or_insert_with(|| value.name().into());
        }
        let closed = found.parent_file().syntax() == Syntax::Proto2;
        let first = found.values().next().map_or_else(|| "".into(), |value| value.name().into());
        let id = u32::try_from(self.enums.len()).expect("far less than 4 G types");
        self.enums.push(EnumType { name: found.name().into(), names, closed, first });
        self.known_enums.insert(found.full_name().to_owned(), id);
        id
    }

    fn lay_out(&mut self, message: &MessageDescriptor) -> Message {
        let mut fields: Vec<Field> = message.fields().map(|field| self.field(&field)).collect();
        fields.sort_by_key(|field| field.number);
        let top = fields.iter().map(|field| field.number).filter(|number| *number <= DIRECT).max().unwrap_or(0);
        let mut direct = vec![NONE; top as usize + 1];
        for (at, field) in (0u32..).zip(&fields) {
            if let Some(slot) = direct.get_mut(field.number as usize) {
                *slot = at;
            }
        }
        Message { fields, direct, is_instant: message.full_name() == "google.protobuf.Timestamp" }
    }

    fn field(&mut self, field: &FieldDescriptor) -> Field {
        let kind = match field.kind() {
            Described::Double => Kind::Double,
            Described::Float => Kind::Float,
            Described::Int32 => Kind::Int32,
            Described::Int64 => Kind::Int64,
            Described::Uint32 => Kind::Uint32,
            Described::Uint64 => Kind::Uint64,
            Described::Sint32 => Kind::Sint32,
            Described::Sint64 => Kind::Sint64,
            Described::Fixed32 | Described::Sfixed32 => Kind::Fixed32,
            Described::Fixed64 | Described::Sfixed64 => Kind::Fixed64,
            Described::Bool => Kind::Bool,
            Described::String => Kind::Text,
            Described::Bytes => Kind::Bytes,
            Described::Enum(found) => Kind::Enum(self.enumeration(&found)),
            Described::Message(message) if field.is_group() => Kind::Group(self.message(&message)),
            Described::Message(message) => Kind::Message(self.message(&message)),
        };
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let oneof = oneof.and_then(|oneof| oneof.path().last().and_then(|at| u32::try_from(*at).ok()));
        Field {
            number: field.number(),
            name: field.name().into(),
            kind,
            repeated: field.cardinality() == Cardinality::Repeated,
            map: field.is_map(),
            presence: field.supports_presence(),
            required: field.cardinality() == Cardinality::Required,
            oneof,
        }
    }
}
