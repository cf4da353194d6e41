//! The shelf of pure functions over values that mean the same in a query and in the record pipeline: what a column's
//! format makes of a text at ingestion is what SQL makes of it.
//!
//! To add a function family: a room here, named below. No clock, no I/O, no engine's types: arrays are the caller's.

pub mod casts;
pub mod clp;
pub mod date_pattern;
pub mod datum;
pub mod decimal;
pub mod decimal_key;
pub mod decimal_sum;
pub mod expression;
pub mod java_text;
pub mod numbers;
pub mod shelf;
pub mod utf16;
