//! Where text goes: data to stdout, words to stderr.

use crate::cli::Failure;
use std::io::{self, Write};

/// Writes a line of data.
pub(super) fn data(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Text that came from a stream, as one line: a terminal must not obey what a record says.
pub(super) fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Writes data that may be long, as it is.
pub(super) fn data_raw(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

/// Says something to whoever watches.
pub(super) fn say(line: &str) {
    // Without anybody watching there is nobody to tell.
    writeln!(io::stderr(), "{line}").ok();
}
