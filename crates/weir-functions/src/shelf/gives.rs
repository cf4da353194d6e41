//! What a function gives, as far as it can be told before it is called: SQL has to know the type of each column.

use weir_types::DataType;

/// A type, and whether there is one value (else an array of them).
pub type Kind = (DataType, bool);

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// One value of a type.
    One(DataType),
    /// An array of a type.
    Many(DataType),
    /// BIG_DECIMAL where an argument is one; LONG where all are whole numbers or truths, else DOUBLE.
    Number,
    /// BIG_DECIMAL where an argument is one, else DOUBLE.
    Real,
    /// What the argument at this position is.
    Like(usize),
    /// An array of what the argument at this position is, or holds.
    ListOf(usize),
    /// An array of what all arguments are, or hold: LONG or DOUBLE where they are several kinds of numbers, text where they
    /// are no numbers.
    ListOfAll,
    /// What the array at this position holds.
    ItemOf(usize),
}

impl Gives {
    /// The result's kind for arguments of these kinds; `None` is an argument of no type, such as a null. What nothing is
    /// known of is text.
    #[must_use]
    pub fn of(self, args: &[Option<Kind>]) -> Kind {
        let like = |at: usize| args.get(at).copied().flatten();
        let or_text = |kind: Option<Kind>| kind.unwrap_or((DataType::String, true));
        match self {
            Self::One(data_type) => (data_type, true),
            Self::Many(data_type) => (data_type, false),
            Self::Number | Self::Real if args.contains(&Some((DataType::BigDecimal, true))) => {
                (DataType::BigDecimal, true)
            }
            Self::Real => (DataType::Double, true),
            Self::Number => {
                let whole = |kind: &Option<Kind>| {
                    use DataType::{Boolean, Int, Long, Timestamp};
                    kind.is_none_or(|(data_type, single)| {
                        single && matches!(data_type, Int | Long | Boolean | Timestamp)
                    })
                };
                (if args.iter().all(whole) { DataType::Long } else { DataType::Double }, true)
            }
            Self::Like(at) => or_text(like(at)),
            Self::ListOf(at) => (or_text(like(at)).0, false),
            Self::ListOfAll => {
                let types = args.iter().copied().flatten().map(|kind| kind.0);
                (types.reduce(common).unwrap_or(DataType::String), false)
            }
            Self::ItemOf(at) => (or_text(like(at)).0, true),
        }
    }
}

/// A type that values of both can be.
fn common(a: DataType, b: DataType) -> DataType {
    use DataType::{Double, Float, Int, Long, String};
    match (a, b) {
        (a, b) if a == b => a,
        (Int | Long, Int | Long) => Long,
        (Int | Long | Float | Double, Int | Long | Float | Double) => Double,
        _ => String,
    }
}

pub(super) const INT: Gives = Gives::One(DataType::Int);
pub(super) const LONG: Gives = Gives::One(DataType::Long);
pub(super) const DOUBLE: Gives = Gives::One(DataType::Double);
pub(super) const BOOLEAN: Gives = Gives::One(DataType::Boolean);
pub(super) const STRING: Gives = Gives::One(DataType::String);
pub(super) const JSON: Gives = Gives::One(DataType::Json);
pub(super) const BYTES: Gives = Gives::One(DataType::Bytes);
pub(super) const UUID: Gives = Gives::One(DataType::Uuid);
pub(super) const TIMESTAMP: Gives = Gives::One(DataType::Timestamp);
pub(super) const NUMBER: Gives = Gives::Number;
pub(super) const REAL: Gives = Gives::Real;
pub(super) const INTS: Gives = Gives::Many(DataType::Int);
pub(super) const LONGS: Gives = Gives::Many(DataType::Long);
pub(super) const DOUBLES: Gives = Gives::Many(DataType::Double);
pub(super) const STRINGS: Gives = Gives::Many(DataType::String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_follows_its_arguments() {
        let (long, real, texts) =
            (Some((DataType::Long, true)), Some((DataType::Double, true)), Some((DataType::String, false)));
        assert_eq!(NUMBER.of(&[long, None]), (DataType::Long, true));
        assert_eq!(NUMBER.of(&[long, real]), (DataType::Double, true));
        let decimal = Some((DataType::BigDecimal, true));
        assert_eq!(NUMBER.of(&[long, decimal]), (DataType::BigDecimal, true));
        assert_eq!((REAL.of(&[decimal, real]).0, REAL.of(&[long]).0), (DataType::BigDecimal, DataType::Double));
        assert_eq!(Gives::Like(1).of(&[long, texts]), (DataType::String, false));
        assert_eq!(Gives::ItemOf(0).of(&[texts]), (DataType::String, true));
        assert_eq!(Gives::ListOf(0).of(&[long]), (DataType::Long, false));
        assert_eq!(Gives::ListOfAll.of(&[long, real]), (DataType::Double, false));
        assert_eq!(Gives::ListOfAll.of(&[texts, None, long]), (DataType::String, false));
        assert_eq!(Gives::Like(0).of(&[None]), (DataType::String, true));
    }
}
