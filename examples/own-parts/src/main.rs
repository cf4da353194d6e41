//! Weir with parts of its own: a connector that reads lines of files, a decoder of `key=value` texts, a function that masks
//! card numbers. Everything else, the command line included, is Weir's.

mod card;
mod files;
mod pairs;

use std::process::ExitCode;
use weir_server::parts::{Parts, main_with};

fn main() -> ExitCode {
    main_with(Parts {
        streams: vec![files::CONNECTOR],
        decoders: vec![pairs::DECODER],
        functions: vec![card::FUNCTION],
    })
}
