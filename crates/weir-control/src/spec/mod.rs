//! The one place that knows Pinot's JSON spelling of schemas and table configs.
//!
//! What is read becomes the validated nouns of `weir-types`; every wrong value is named with its path, what was written
//! and what would be right, all at once. A key that Pinot knows and that would change rows or answers but is not built is
//! refused; one that only changes speed is accepted and listed; a key that nobody knows is kept and reported.

mod change;
mod date_format;
mod error;
mod indexes;
mod keys;
mod kind;
mod offsets;
mod partition;
mod period;
mod read;
mod reference;
mod retention;
mod schema;
mod secret;
mod shape;
mod stream;
mod table;
mod transforms;
mod walk;

pub use change::check_schema_change;
pub use error::{SpecError, SpecErrors};
pub use offsets::{STARTS, TopicMatcher, start_at};
pub use reference::key_reference;
pub use schema::{ParsedSchema, parse_schema};
pub use secret::{keep_stored, redacted, redacted_at, references};
pub use table::{Capabilities, DecoderKnown, ParsedTable, parse_table};
pub use transforms::ExpressionReader;

pub(crate) use table::{StoredDecoders, reread_table};
