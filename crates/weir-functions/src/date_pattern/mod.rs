//! Times as users write them: Joda's date patterns, Pinot's date-time formats around them, the texts of a TIMESTAMP, and
//! the zones that all of these name.

mod bucket;
mod error;
mod format;
pub mod parts;
mod pattern;
mod timestamp;
mod zone;

pub use bucket::{Conversion, bin, period_ms};
pub use error::DateError;
pub use format::{DateTimeFormat, TimeUnit};
pub use pattern::Pattern;
pub use timestamp::{timestamp_from_text, timestamp_text};
pub use zone::{Zone, instant_of_local, zone_named};
