//! A table's schema: validated fields under Pinot's types. Pinot's JSON spelling is not here.

use crate::{names::ColumnName, value::Value};
use std::{collections::HashMap, fmt, sync::Arc};

/// Pinot's logical types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// Arbitrary precision, stored as text in plain notation.
    BigDecimal,
    /// Stored as 0 or 1.
    Boolean,
    /// Milliseconds since the epoch.
    Timestamp,
    /// UTF-8 text.
    String,
    /// JSON text.
    Json,
    /// Bytes.
    Bytes,
    /// 16 bytes.
    Uuid,
    /// A map, stored as JSON text.
    Map,
}

/// The forms in which values lie in memory and in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stored {
    /// `i32`.
    Int,
    /// `i64`.
    Long,
    /// `f32`.
    Float,
    /// `f64`.
    Double,
    /// UTF-8 text.
    Str,
    /// Bytes.
    Bytes,
}

impl DataType {
    /// All of them, in Pinot's order.
    pub const ALL: [Self; 12] = [
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::BigDecimal,
        Self::Boolean,
        Self::Timestamp,
        Self::String,
        Self::Json,
        Self::Bytes,
        Self::Uuid,
        Self::Map,
    ];

    /// Pinot's name of the type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::BigDecimal => "BIG_DECIMAL",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "TIMESTAMP",
            Self::String => "STRING",
            Self::Json => "JSON",
            Self::Bytes => "BYTES",
            Self::Uuid => "UUID",
            Self::Map => "MAP",
        }
    }

    /// Reads Pinot's name of a type, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|data_type| data_type.as_str().eq_ignore_ascii_case(text))
    }

    /// How values of the type are stored.
    #[must_use]
    pub fn stored(self) -> Stored {
        match self {
            Self::Int | Self::Boolean => Stored::Int,
            Self::Long | Self::Timestamp => Stored::Long,
            Self::Float => Stored::Float,
            Self::Double => Stored::Double,
            Self::BigDecimal | Self::String | Self::Json | Self::Map => Stored::Str,
            Self::Bytes | Self::Uuid => Stored::Bytes,
        }
    }

    /// What a null of this type is stored as where the schema names no default (Pinot's table of defaults).
    #[must_use]
    pub fn default_null(self, kind: FieldKind) -> Value {
        let metric = kind == FieldKind::Metric;
        match self {
            Self::Int if !metric => Value::Int(i32::MIN),
            Self::Long if !metric => Value::Long(i64::MIN),
            Self::Float if !metric => Value::Float(f32::NEG_INFINITY),
            Self::Double if !metric => Value::Double(f64::NEG_INFINITY),
            Self::Int | Self::Boolean => Value::Int(0),
            Self::Long | Self::Timestamp => Value::Long(0),
            Self::Float => Value::Float(0.0),
            Self::Double => Value::Double(0.0),
            Self::BigDecimal => Value::Str("0".into()),
            Self::String | Self::Json => Value::Str("null".into()),
            Self::Map => Value::Str("{}".into()),
            Self::Bytes => Value::Bytes(Arc::new([])),
            Self::Uuid => Value::Bytes(Arc::new([0; 16])),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A field's part in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Filtered and grouped by.
    Dimension,
    /// Aggregated; its default null is zero.
    Metric,
    /// A time, with a format.
    DateTime,
    /// A map or other nested value.
    Complex,
}

/// What to do with a value longer than `max_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExceedStrategy {
    /// Cut it.
    TrimLength,
    /// Reject the record.
    Error,
    /// Store the default null value instead.
    SubstituteDefault,
    /// Keep it.
    NoAction,
}

/// One validated field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpec {
    /// Its name.
    pub name: ColumnName,
    /// Its logical type.
    pub data_type: DataType,
    /// Its part in the table.
    pub kind: FieldKind,
    /// One value a row, or an array of them.
    pub single_value: bool,
    /// Nulls are refused in column-based null handling.
    pub not_null: bool,
    /// What a null is stored as.
    pub default_null: Value,
    /// In characters (STRING, JSON) or bytes (BYTES).
    pub max_length: u32,
    /// What happens beyond `max_length`.
    pub exceed: ExceedStrategy,
    /// Date-time format as written (`1:MILLISECONDS:EPOCH`), for date-time fields.
    pub format: Option<Arc<str>>,
    /// Date-time granularity as written, for date-time fields.
    pub granularity: Option<Arc<str>>,
    /// An expression that derives it, unless the table has one (a key of old schemas).
    pub transform: Option<Arc<str>>,
}

impl FieldSpec {
    /// A field with the defaults of its type.
    #[must_use]
    pub fn new(name: ColumnName, data_type: DataType, kind: FieldKind) -> Self {
        Self {
            name,
            data_type,
            kind,
            single_value: true,
            not_null: false,
            default_null: data_type.default_null(kind),
            max_length: 512,
            exceed: match data_type {
                DataType::String => ExceedStrategy::TrimLength,
                _ => ExceedStrategy::NoAction,
            },
            format: None,
            granularity: None,
            transform: None,
        }
    }
}

/// Counts the changes of a table's schema, from 1; chunks and segments name the one they were written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaVersion(pub u32);

/// A validated schema. Field order is that of the JSON: dimensions, metrics, date-times, complex.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Its name, that of its table.
    pub name: Arc<str>,
    /// Which change of it this is.
    pub version: SchemaVersion,
    /// Primary-key columns, in order; empty where there are none.
    pub primary_key: Vec<ColumnName>,
    /// Null handling is a matter of each column, not of the table.
    pub column_based_null_handling: bool,
    fields: Vec<FieldSpec>,
    by_name: HashMap<ColumnName, usize>,
}

impl Schema {
    /// From validated fields with distinct names; the caller checked them.
    #[must_use]
    pub fn new(name: &str, version: SchemaVersion, fields: Vec<FieldSpec>) -> Self {
        let by_name: HashMap<_, _> = fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect();
        assert_eq!(by_name.len(), fields.len(), "column names of a schema are distinct");
        Self { name: name.into(), version, primary_key: vec![], column_based_null_handling: false, fields, by_name }
    }

    /// Its fields, in order.
    #[must_use]
    pub fn fields(&self) -> &[FieldSpec] {
        &self.fields
    }

    /// The field of that exact name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.by_name.get(name).map(|at| &self.fields[*at])
    }

    /// The position of the field of that exact name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}
