//! A writer's schema made ready to be walked: parsed by the Avro library, then laid out as a flat list of nodes.

use apache_avro::{
    Schema as Parsed,
    schema::{InnerDecimalSchema, NamespaceRef, UuidSchema},
};
use hashbrown::HashMap;

/// Position of a node among the nodes of its schema.
pub(super) type NodeId = u32;

/// One type of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<Box<str>>),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Vec<(Box<str>, NodeId)>),
    /// Days since the epoch.
    Date,
    /// Milliseconds of a day, as an int.
    TimeMillis,
    /// Microseconds of a day.
    TimeMicros,
    /// A number since the epoch; so many of them are a millisecond.
    Timestamp(i64),
    /// An unscaled number of that many bytes, or with its length in front.
    Decimal {
        scale: i64,
        fixed: Option<usize>,
    },
    /// An unscaled number with its scale, both inside of bytes.
    BigDecimal,
    UuidText,
    /// A UUID of that many bytes, or with its length in front.
    UuidBytes(Option<usize>),
}

impl Node {
    /// Whether it is one value, or null, at most behind a union.
    pub(super) fn is_scalar(&self, nodes: &[Self]) -> bool {
        match self {
            Self::Array(_) | Self::Map(_) | Self::Record(_) => false,
            // Unions hold no unions.
            Self::Union(branches) => branches.iter().all(|branch| {
                !matches!(nodes[*branch as usize], Self::Array(_) | Self::Map(_) | Self::Record(_) | Self::Union(_))
            }),
            _ => true,
        }
    }
}

/// A schema of a record; the record is the first node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroSchema {
    pub(super) nodes: Vec<Node>,
}

impl AvroSchema {
    /// Reads a schema of a record. `referenced` are schemas that it refers to by name.
    ///
    /// # Errors
    /// Text that is no schema, or one of something else than a record.
    pub fn parse(text: &str, referenced: &[String]) -> Result<Self, String> {
        let (parsed, others) = if referenced.is_empty() {
            (Parsed::parse_str(text).map_err(|error| error.to_string())?, vec![])
        } else {
            Parsed::parse_str_with_list(text, referenced).map_err(|error| error.to_string())?
        };
        if !matches!(parsed, Parsed::Record(_)) {
            return Err("a message is a record: the schema's type must be \"record\"".to_owned());
        }
        let mut layout = Layout { nodes: vec![], named: HashMap::new(), others: &others };
        layout.add(&parsed, None)?;
        Ok(Self { nodes: layout.nodes })
    }

    /// The fields of the record.
    pub(super) fn fields(&self) -> &[(Box<str>, NodeId)] {
        match self.nodes.first() {
            Some(Node::Record(fields)) => fields,
            _ => unreachable!("a schema that is no record was refused"),
        }
    }
}

struct Layout<'a> {
    nodes: Vec<Node>,
    /// Named types by their full names.
    named: HashMap<String, NodeId>,
    others: &'a [Parsed],
}

impl Layout<'_> {
    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).expect("a schema has far less than 4 G types")
    }

    /// Lays a type out; `namespace` is that of the type around it.
    fn add(&mut self, parsed: &Parsed, namespace: NamespaceRef<'_>) -> Result<NodeId, String> {
        let node = match parsed {
            Parsed::Null => Node::Null,
            Parsed::Boolean => Node::Boolean,
            Parsed::Int => Node::Int,
            Parsed::Long | Parsed::TimestampNanos | Parsed::LocalTimestampNanos => Node::Long,
            Parsed::Float => Node::Float,
            Parsed::Double => Node::Double,
            Parsed::Bytes => Node::Bytes,
            Parsed::String => Node::Text,
            Parsed::Date => Node::Date,
            Parsed::TimeMillis => Node::TimeMillis,
            Parsed::TimeMicros => Node::TimeMicros,
            Parsed::TimestampMillis | Parsed::LocalTimestampMillis => Node::Timestamp(1),
            Parsed::TimestampMicros | Parsed::LocalTimestampMicros => Node::Timestamp(1000),
            Parsed::BigDecimal => Node::BigDecimal,
            Parsed::Decimal(decimal) => {
                let fixed = match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                };
                let node = Node::Decimal { scale: i64::try_from(decimal.scale).unwrap_or(i64::MAX), fixed };
                return Ok(match &decimal.inner {
                    InnerDecimalSchema::Fixed(fixed) => self.name(fixed.name.fullname(namespace), node),
                    InnerDecimalSchema::Bytes => self.push(node),
                });
            }
            Parsed::Uuid(UuidSchema::String) => Node::UuidText,
            Parsed::Uuid(UuidSchema::Bytes) => Node::UuidBytes(None),
            Parsed::Uuid(UuidSchema::Fixed(fixed)) => {
                return Ok(self.name(fixed.name.fullname(namespace), Node::UuidBytes(Some(fixed.size))));
            }
            Parsed::Fixed(fixed) | Parsed::Duration(fixed) => {
                return Ok(self.name(fixed.name.fullname(namespace), Node::Fixed(fixed.size)));
            }
            Parsed::Enum(symbols) => {
                let node = Node::Enum(symbols.symbols.iter().map(|symbol| symbol.as_str().into()).collect());
                return Ok(self.name(symbols.name.fullname(namespace), node));
            }
            Parsed::Array(array) => {
                let at = self.push(Node::Null);
                self.nodes[at as usize] = Node::Array(self.add(&array.items, namespace)?);
                return Ok(at);
            }
            Parsed::Map(map) => {
                let at = self.push(Node::Null);
                self.nodes[at as usize] = Node::Map(self.add(&map.types, namespace)?);
                return Ok(at);
            }
            Parsed::Union(union) => {
                let at = self.push(Node::Null);
                let branches: Result<Vec<NodeId>, String> =
                    union.variants().iter().map(|branch| self.add(branch, namespace)).collect();
                self.nodes[at as usize] = Node::Union(branches?);
                return Ok(at);
            }
            Parsed::Record(record) => {
                // The name is known before the fields are: they may refer to it.
                let at = self.name(record.name.fullname(namespace), Node::Null);
                let inside = record.name.namespace().or(namespace);
                let mut fields = vec![];
                for field in &record.fields {
                    fields.push((field.name.as_str().into(), self.add(&field.schema, inside)?));
                }
                self.nodes[at as usize] = Node::Record(fields);
                return Ok(at);
            }
            Parsed::Ref { name } => {
                let full = name.fullname(namespace);
                if let Some(at) = self.named.get(&full) {
                    return Ok(*at);
                }
                let others = self.others;
                let other = others.iter().find(|other| other.name().is_some_and(|name| name.fullname(None) == full));
                return match other {
                    Some(other) => self.add(other, None),
                    None => Err(format!("the type {full} is not in the schema")),
                };
            }
        };
        Ok(self.push(node))
    }

    fn name(&mut self, name: String, node: Node) -> NodeId {
        let at = self.push(node);
        self.named.insert(name, at);
        at
    }
}
