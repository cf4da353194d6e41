//! The one place that writes Pinot's response shapes: query answers, segment and table views, consumption status.
//!
//! Everything here is pure: records and statuses go in, JSON comes out. Clients depend on names, order and types of
//! fields, so each shape has a test with its text.

pub mod consuming;
pub mod inferred;
pub mod metrics;
pub mod number;
pub mod query;
pub mod segment;
pub mod size;
pub mod table;
pub mod tailed;
pub mod tried;
pub mod value;
