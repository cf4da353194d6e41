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

/// Text in which nothing is left that a terminal might obey, or that turns the order of what is shown: such characters stand as
/// JSON would write them.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// The file that stdout is written to, as the shell of the current folder calls it; none where it is no file, or the system
/// does not tell.
pub(super) fn file_of_stdout() -> Option<String> {
    let file = std::fs::read_link("/proc/self/fd/1").ok().filter(|file| file.is_file())?;
    let folder = std::env::current_dir().ok();
    let below = folder.and_then(|folder| file.strip_prefix(folder).ok().map(std::path::Path::to_owned));
    below.unwrap_or(file).to_str().map(str::to_owned)
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
