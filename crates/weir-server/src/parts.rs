//! Parts of a binary's own beside those that are built in: connectors, decoders, functions. `examples/own-parts` is a
//! template; what it uses is all that is needed, and stays as it is between minor versions.

use crate::cli;
use std::{path::Path, process::ExitCode};
use weir_formats::own::AddedDecoder;
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
    /// Adds them to this process, and those of a folder of components.
    pub(crate) fn add(self, folder: Option<&Path>) -> Result<(), String> {
        let mut decoders: Vec<AddedDecoder> = self.decoders.into_iter().map(Into::into).collect();
        let mut functions = self.functions;
        if let Some(folder) = folder {
            load(folder, &mut decoders, &mut functions)?;
        }
        weir_streams::own::add(self.streams)?;
        weir_formats::own::add(decoders)?;
        weir_functions::shelf::add(functions)
    }
}

#[cfg(feature = "wasm")]
fn load(folder: &Path, decoders: &mut Vec<AddedDecoder>, functions: &mut Vec<Function>) -> Result<(), String> {
    let loaded = weir_wasm::load(folder)?;
    decoders.extend(loaded.decoders);
    functions.extend(loaded.functions);
    Ok(())
}

#[cfg(not(feature = "wasm"))]
fn load(folder: &Path, _decoders: &mut Vec<AddedDecoder>, _functions: &mut Vec<Function>) -> Result<(), String> {
    Err(format!(
        "this weir takes no WebAssembly components, and --parts-dir (or WEIR_PARTS_DIR) names {}: build one that does with \
         `cargo build --release -p weir-server --features wasm`, or leave the setting out",
        folder.display()
    ))
}

/// Runs the command line with parts of its own: the whole `main` of such a binary. Ends with 2 where a name is taken.
#[must_use]
pub fn main_with(parts: Parts) -> ExitCode {
    cli::main_with(parts)
}

#[cfg(all(test, not(feature = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn a_binary_without_components_says_how_to_get_one_with_them() {
        let reason = load(Path::new("./parts"), &mut vec![], &mut vec![]).expect_err("there are none here");
        assert!(reason.contains("./parts") && reason.contains("--features wasm"), "{reason}");
    }
}
