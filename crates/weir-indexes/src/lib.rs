//! The shelf of indexes: each is built from a column of a sealed segment and answers which rows pass a predicate.
//!
//! To add one: a file here with a builder and a reader over bytes, its region in the segment file, and a call of the
//! conformance suite.

pub mod bytes;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod inverted;
pub mod predicate;
pub mod range;
pub mod sorted;

pub use bytes::IndexError;
pub use inverted::InvertedIndex;
pub use predicate::{Answer, Filter, Predicate};
pub use range::{KeyRange, RangeIndex, order_key};
pub use sorted::SortedRanges;
