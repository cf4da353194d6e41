//! One value on its way through expressions: dynamic, borrowed, cheap to copy.
//!
//! Texts, lists and bytes lie in the record or in an arena that lives as long as the batch. The conversions are those that
//! Pinot makes when it calls a scalar function with values of other types than it declares: text to number by parsing,
//! number to text in Java's form, whole numbers by cutting and saturating.

use crate::{
    casts::truth_of_text,
    date_pattern::{timestamp_from_text, timestamp_text},
    decimal::Decimal,
    java_text::{decimal_low_bits, float_from_text, hex, java_double, java_float, uuid_text},
};
use bumpalo::Bump;
/// What values lie in that functions make.
pub use bumpalo::Bump as Arena;
use serde_json::Value as Json;
use std::{cmp::Ordering, fmt};

/// How much of a value is quoted in a fault.
const QUOTED: usize = 80;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Datum<'a> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
    /// A number of any size, as text.
    Decimal(&'a str),
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID.
    Uuid([u8; 16]),
    /// An object, or an array that nobody has looked into yet, as valid JSON text.
    Json(&'a str),
    /// Several values.
    List(&'a [Datum<'a>]),
}

/// A value that a function cannot work with: what it takes, and what it got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.what)]
pub struct Fault(Box<Said>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    what: String,
    /// The value, as it is shown.
    got: Option<String>,
    /// A function has put its name to it.
    named: bool,
    /// The value would be larger than one may be.
    too_long: bool,
}

impl Fault {
    /// With what is wrong.
    #[cold]
    pub fn new(what: impl Into<String>) -> Self {
        Self(Box::new(Said { what: what.into(), got: None, named: false, too_long: false }))
    }

    /// That a value would have more bytes than one may have.
    #[cold]
    pub(crate) fn too_long(most: usize) -> Self {
        let what = format!("a value of more than {most} bytes is too long");
        Self(Box::new(Said { what, got: None, named: false, too_long: true }))
    }

    /// Whether a value would be larger than one may be.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.0.too_long
    }

    #[cold]
    /// That a value of another kind is expected: `what`, with an article.
    pub fn takes(what: &str, got: Datum<'_>) -> Self {
        let shown = got.shown();
        let what = format!("{what} is expected, got {shown}");
        Self(Box::new(Said { what, got: Some(shown), named: false, too_long: false }))
    }

    /// The same with the function that it arose in, and the argument where that can be told. The innermost function is the
    /// one that cannot: a fault keeps its first name.
    #[cold]
    pub(crate) fn within(self, name: &str, args: &[Datum<'_>]) -> Self {
        if self.0.named {
            return self;
        }
        let Said { what, got, too_long, .. } = *self.0;
        let at = got.as_ref().and_then(|got| args.iter().position(|arg| arg.shown() == *got));
        let argument = match at {
            Some(at) if args.len() > 1 => format!(" (argument {})", at + 1),
            _ => String::new(),
        };
        Self(Box::new(Said { what: format!("{name}(..): {what}{argument}"), got, named: true, too_long }))
    }
}

impl From<crate::date_pattern::DateError> for Fault {
    fn from(error: crate::date_pattern::DateError) -> Self {
        Self::new(error.to_string())
    }
}

/// A text in the arena.
#[must_use]
pub fn text<'a>(text: &str, arena: &'a Bump) -> Datum<'a> {
    Datum::Text(arena.alloc_str(text))
}

/// A list in the arena.
pub fn list<'a>(items: impl IntoIterator<Item = Datum<'a>>, arena: &'a Bump) -> Datum<'a> {
    let mut list = bumpalo::collections::Vec::new_in(arena);
    list.extend(items);
    Datum::List(list.into_bump_slice())
}

/// A parsed JSON value: objects, and arrays that hold some, stay text.
#[must_use]
pub fn of_json<'a>(json: &Json, arena: &'a Bump) -> Datum<'a> {
    match json {
        Json::Null => Datum::Null,
        Json::Bool(truth) => Datum::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Datum::Long(number),
            (None, _) if !number.to_string().contains(['.', 'e', 'E']) => {
                Datum::Decimal(arena.alloc_str(&number.to_string()))
            }
            (None, Some(real)) => Datum::Double(real),
            (None, None) => Datum::Decimal(arena.alloc_str(&number.to_string())),
        },
        Json::String(string) => text(string, arena),
        Json::Array(items) => list(items.iter().map(|item| of_json(item, arena)).collect::<Vec<_>>(), arena),
        Json::Object(_) => Datum::Json(arena.alloc_str(&json.to_string())),
    }
}

impl<'a> Datum<'a> {
    /// Whether it is nothing.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// Bytes of its text or its bytes; of several values the sum, with what each takes by itself.
    #[must_use]
    pub fn bytes_held(self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) | Self::Decimal(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.iter().map(|item| size_of::<i64>() + item.bytes_held()).sum(),
            _ => 0,
        }
    }

    /// The beginning of it, for people.
    #[must_use]
    pub fn shown(self) -> String {
        let mut out = vec![];
        self.write(&mut out);
        let whole = String::from_utf8_lossy(&out);
        let cut: String = whole.chars().take(QUOTED).collect();
        let cut = if cut.len() < whole.len() { format!("{cut}...") } else { cut };
        match self {
            Self::Text(_) => format!("'{cut}'"),
            _ => cut,
        }
    }

    /// The same value, all of which lies in the arena.
    #[must_use]
    pub fn copied<'b>(self, arena: &'b Bump) -> Datum<'b> {
        match self {
            Self::Null => Datum::Null,
            Self::Bool(truth) => Datum::Bool(truth),
            Self::Long(number) => Datum::Long(number),
            Self::Float(number) => Datum::Float(number),
            Self::Double(number) => Datum::Double(number),
            Self::Timestamp(ms) => Datum::Timestamp(ms),
            Self::Uuid(uuid) => Datum::Uuid(uuid),
            Self::Decimal(text) => Datum::Decimal(arena.alloc_str(text)),
            Self::Text(text) => Datum::Text(arena.alloc_str(text)),
            Self::Json(text) => Datum::Json(arena.alloc_str(text)),
            Self::Bytes(bytes) => Datum::Bytes(arena.alloc_slice_copy(bytes)),
            Self::List(items) => list(items.iter().map(|item| item.copied(arena)).collect::<Vec<_>>(), arena),
        }
    }

    /// Appends it as text, as Java prints it; a list as JSON, nothing as `null`.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
            Self::Long(number) => print(format_args!("{number}"), out),
            Self::Float(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
            Self::Double(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
            Self::Float(number) => java_float(number, out),
            Self::Double(number) => java_double(number, out),
            Self::Decimal(text) | Self::Text(text) | Self::Json(text) => out.extend_from_slice(text.as_bytes()),
            Self::Timestamp(ms) => out.extend_from_slice(timestamp_text(ms).as_bytes()),
            Self::Bytes(bytes) => hex(bytes, out),
            Self::Uuid(uuid) => uuid_text(&uuid, out),
            Self::List(_) => self.write_json(out),
        }
    }

    /// Appends it as JSON.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Self::Null | Self::Bool(_) | Self::Long(_) | Self::Decimal(_) | Self::Json(_) => self.write(out),
            Self::Float(number) if !number.is_finite() => out.extend_from_slice(b"null"),
            Self::Double(number) if !number.is_finite() => out.extend_from_slice(b"null"),
            Self::Float(_) | Self::Double(_) => self.write(out),
            Self::Timestamp(ms) => print(format_args!("{ms}"), out),
            Self::Text(text) => {
                serde_json::to_writer(out, text).expect("text is always JSON, and memory takes it");
            }
            Self::Bytes(_) | Self::Uuid(_) => {
                out.push(b'"');
                self.write(out);
                out.push(b'"');
            }
            Self::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write_json(out);
                }
                out.push(b']');
            }
        }
    }

    /// As text.
    #[must_use]
    pub fn text(self, arena: &'a Bump) -> &'a str {
        match self {
            Self::Text(text) | Self::Json(text) | Self::Decimal(text) => text,
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            other => {
                let mut out = vec![];
                other.write(&mut out);
                arena.alloc_str(&String::from_utf8_lossy(&out))
            }
        }
    }

    /// As a whole number.
    ///
    /// # Errors
    /// It is no number.
    pub fn long(self) -> Result<i64, Fault> {
        match self {
            Self::Long(number) | Self::Timestamp(number) => Ok(number),
            Self::Bool(truth) => Ok(i64::from(truth)),
            Self::Float(number) => Ok(number as i64),
            Self::Double(number) => Ok(number as i64),
            Self::Decimal(text) => {
                decimal_low_bits(text).map(|(low, _)| low).ok_or_else(|| Fault::takes("a whole number", self))
            }
            Self::Text(text) => text.trim().parse().map_err(|_| Fault::takes("a whole number", self)),
            _ => Err(Fault::takes("a whole number", self)),
        }
    }

    /// As a whole number of 32 bits, cut to them as Java cuts.
    ///
    /// # Errors
    /// It is no number.
    pub fn int(self) -> Result<i32, Fault> {
        match self {
            Self::Float(number) => Ok(number as i32),
            Self::Double(number) => Ok(number as i32),
            other => other.long().map(|number| number as i32),
        }
    }

    /// As a real number.
    ///
    /// # Errors
    /// It is no number.
    pub fn double(self) -> Result<f64, Fault> {
        match self {
            Self::Double(number) => Ok(number),
            Self::Float(number) => Ok(f64::from(number)),
            Self::Long(number) | Self::Timestamp(number) => Ok(number as f64),
            Self::Bool(truth) => Ok(f64::from(u8::from(truth))),
            Self::Decimal(text) => text.parse().map_err(|_| Fault::takes("a number", self)),
            Self::Text(text) => float_from_text(text.trim()).ok_or_else(|| Fault::takes("a number", self)),
            _ => Err(Fault::takes("a number", self)),
        }
    }

    /// As truth: numbers that are not 0, the texts `true` (any case) and `1`.
    ///
    /// # Errors
    /// It is bytes, JSON or several values.
    pub fn truth(self) -> Result<bool, Fault> {
        match self {
            Self::Bool(truth) => Ok(truth),
            Self::Text(text) => Ok(truth_of_text(text)),
            Self::Long(_) | Self::Float(_) | Self::Double(_) | Self::Decimal(_) => Ok(self.double()? != 0.0),
            _ => Err(Fault::takes("true or false", self)),
        }
    }

    /// As a time in milliseconds since the epoch.
    ///
    /// # Errors
    /// It is no time.
    pub fn millis(self) -> Result<i64, Fault> {
        match self {
            Self::Text(text) => timestamp_from_text(text.trim()).ok_or_else(|| Fault::takes("a time", self)),
            other => other.long(),
        }
    }

    /// As bytes: text of hexadecimal digits means those.
    ///
    /// # Errors
    /// It is neither bytes nor such a text.
    pub fn bytes(self, arena: &'a Bump) -> Result<&'a [u8], Fault> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Uuid(uuid) => Ok(arena.alloc_slice_copy(&uuid)),
            Self::Text(text) => {
                let digits = text.trim().as_bytes();
                let half = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let byte = |pair: &[u8]| Some(half(pair[0])? << 4 | half(*pair.get(1)?)?);
                let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
                let bytes = bytes.ok_or_else(|| Fault::takes("an even number of hexadecimal digits", self))?;
                Ok(arena.alloc_slice_copy(&bytes))
            }
            _ => Err(Fault::takes("bytes", self)),
        }
    }

    /// As several values: one value is a list of itself, nothing is an empty one, a JSON array its elements.
    #[must_use]
    pub fn items(self, arena: &'a Bump) -> &'a [Datum<'a>] {
        match self {
            Self::Null => &[],
            Self::List(items) => items,
            Self::Json(json) if json.trim_start().starts_with('[') => match serde_json::from_str::<Json>(json) {
                Ok(json) => match of_json(&json, arena) {
                    Self::List(items) => items,
                    one => arena.alloc_slice_copy(&[one]),
                },
                Err(_) => arena.alloc_slice_copy(&[self]),
            },
            one => arena.alloc_slice_copy(&[one]),
        }
    }

    /// Whether both are whole numbers or truths.
    #[must_use]
    pub fn are_whole(self, other: Self) -> bool {
        let whole = |datum| matches!(datum, Self::Long(_) | Self::Bool(_) | Self::Timestamp(_));
        whole(self) && whole(other)
    }

    /// Order of two values: numbers by their size (a text beside a number is read as one), the rest as text. `None` where
    /// one is nothing or no number.
    ///
    /// # Errors
    /// A text beside a number is no number.
    pub fn compare(self, other: Self, arena: &'a Bump) -> Result<Option<Ordering>, Fault> {
        Ok(match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            (Self::Text(a) | Self::Json(a), Self::Text(b) | Self::Json(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(_), _) | (_, Self::Timestamp(_)) => Some(self.millis()?.cmp(&other.millis()?)),
            (a, b) if a.are_whole(b) => Some(a.long()?.cmp(&b.long()?)),
            (Self::Bool(a), b) | (b, Self::Bool(a)) if matches!(b, Self::Text(_)) => {
                let order = a.cmp(&b.truth()?);
                Some(if matches!(self, Self::Bool(_)) { order } else { order.reverse() })
            }
            (Self::Decimal(_), _) | (_, Self::Decimal(_)) => match (Decimal::of(self), Decimal::of(other)) {
                (Ok(a), Ok(b)) => Some(a.compare(&b)),
                // One is infinite, or none.
                _ => self.double()?.partial_cmp(&other.double()?),
            },
            (a, b) if a.is_number() || b.is_number() => a.double()?.partial_cmp(&b.double()?),
            (a, b) => Some(a.text(arena).cmp(b.text(arena))),
        })
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Long(_) | Self::Float(_) | Self::Double(_) | Self::Decimal(_) | Self::Bool(_))
    }
}

fn print(text: fmt::Arguments<'_>, out: &mut Vec<u8>) {
    use std::io::Write as _;
    out.write_fmt(text).expect("a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_convert_as_java_does() {
        let arena = Bump::new();
        assert_eq!(Datum::Text(" 5 ").long(), Ok(5));
        assert!(Datum::Text("5.5").long().is_err());
        assert_eq!(Datum::Double(1e300).long(), Ok(i64::MAX));
        assert_eq!((Datum::Long(1 << 40).int(), Datum::Double(1e12).int()), (Ok(0), Ok(i32::MAX)));
        assert_eq!(Datum::Double(1e10).text(&arena), "1.0E10");
        assert_eq!(Datum::List(&[Datum::Long(1), Datum::Text("a\"")]).text(&arena), r#"[1,"a\""]"#);
        assert_eq!(Datum::Text("0aFF").bytes(&arena), Ok(&[10, 255][..]));
        assert!(Datum::Text("abc").bytes(&arena).is_err());
        assert_eq!(Datum::Json("[1, \"x\"]").items(&arena), [Datum::Long(1), Datum::Text("x")]);
        assert_eq!(Datum::Null.items(&arena), []);
    }

    #[test]
    fn comparing_reads_texts_as_what_stands_beside_them() {
        let arena = Bump::new();
        let compare = |a: Datum<'static>, b| a.compare(b, &arena);
        assert_eq!(compare(Datum::Text("10"), Datum::Long(9)), Ok(Some(Ordering::Greater)));
        assert_eq!(compare(Datum::Text("10"), Datum::Text("9")), Ok(Some(Ordering::Less)));
        assert_eq!(compare(Datum::Text("true"), Datum::Bool(true)), Ok(Some(Ordering::Equal)));
        assert_eq!(compare(Datum::Long(i64::MAX), Datum::Long(i64::MAX - 1)), Ok(Some(Ordering::Greater)));
        assert_eq!(compare(Datum::Null, Datum::Long(1)), Ok(None));
        assert!(compare(Datum::Text("ten"), Datum::Long(9)).is_err());
    }
}
