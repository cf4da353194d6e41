//! One value of a column in its stored form: defaults, statistics, literals of predicates. Never on the path of a record.

use crate::schema::Stored;
use std::{cmp::Ordering, fmt, sync::Arc};

/// A value in its stored form. BOOLEAN is `Int` 0 or 1, TIMESTAMP `Long` in milliseconds since the epoch, JSON, MAP and
/// BIG_DECIMAL are `Str` (plain notation), UUID is `Bytes` of 16.
#[derive(Debug, Clone)]
pub enum Value {
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    Long(i64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
    /// UTF-8 text.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
}

impl Value {
    /// How it is stored.
    #[must_use]
    pub fn stored(&self) -> Stored {
        match self {
            Self::Int(_) => Stored::Int,
            Self::Long(_) => Stored::Long,
            Self::Float(_) => Stored::Float,
            Self::Double(_) => Stored::Double,
            Self::Str(_) => Stored::Str,
            Self::Bytes(_) => Stored::Bytes,
        }
    }

    /// Order among values of one stored kind (floats: total order; text and bytes: bytewise). Values of different kinds
    /// order by kind, so that a mixed list still sorts; no column ever mixes them.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Long(a), Self::Long(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Double(a), Self::Double(b)) => a.total_cmp(b),
            (Self::Str(a), Self::Str(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            _ => (self.stored() as u8).cmp(&(other.stored() as u8)),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(v) => write!(f, "{v}"),
            Self::Long(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v}"),
            Self::Double(v) => write!(f, "{v}"),
            Self::Str(v) => f.write_str(v),
            Self::Bytes(v) => v.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
