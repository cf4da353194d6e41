//! Parts of a binary's own beside those that are built in: connectors, decoders, functions. `examples/own-parts` is a
//! template; what it uses is all that is needed, and stays as it is between minor versions.

use crate::cli;
use std::{
    io::{self, Write},
    process::ExitCode,
};
pub use weir_formats::{
    coerce::Source,
    own::{MessageReader, OwnDecoder, Rows},
};
pub use weir_functions::{
    datum::{Arena, Datum, Fault},
    shelf::{Body, Function, Gives, Kind, Ready},
};
pub use weir_streams::{
    FetchLimit, MessageBatch, Messages, PartitionReader, SharedSource, StreamError, StreamSource, Watermarks,
    own::OwnStream,
};
pub use weir_types::{DataType, NextOffset, OffsetRange, StartAt, StreamSpec, TopicName};

/// What is added. Names must be free.
#[derive(Debug, Default)]
pub struct Parts {
    /// Connectors, by `streamType`.
    pub streams: Vec<OwnStream>,
    /// Decoders, by `decoder.class.name`.
    pub decoders: Vec<OwnDecoder>,
    /// Functions of expressions and of SQL.
    pub functions: Vec<Function>,
}

impl Parts {
    fn add(self) -> Result<(), String> {
        weir_streams::own::add(self.streams)?;
        weir_formats::own::add(self.decoders)?;
        weir_functions::shelf::add(self.functions)
    }
}

/// Runs the command line with parts of its own: the whole `main` of such a binary. Ends with 2 where a name is taken.
#[must_use]
pub fn main_with(parts: Parts) -> ExitCode {
    match parts.add() {
        Ok(()) => cli::main(),
        Err(reason) => {
            // Nobody can be told where even this cannot be written.
            writeln!(io::stderr(), "weir: {reason}").ok();
            ExitCode::from(2)
        }
    }
}
