//! Where text goes: data to stdout, words to stderr.

use crate::cli::Failure;
use std::io::{self, Write};

/// Writes a line of data.
pub(super) fn data(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Whether a terminal might obey a character, or turn the order of what is shown by it, or show nothing of it.
fn is_unruly(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text in which nothing is left that a terminal might obey, or that turns the order of what is shown: such characters stand as
/// JSON would write them, so that JSON stays what it is.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_unruly(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Lines of which each is [`escaped`].
pub(super) fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
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

/// Says something to whoever watches: lines of words, in which what a node or a record says is no order to the terminal.
pub(super) fn say(line: &str) {
    // Without anybody watching there is nobody to tell.
    writeln!(io::stderr(), "{}", escaped_lines(line)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        for (text, shown) in [
            ("plain é日\u{1f600}", "plain é日\u{1f600}"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{1b}[2J\u{9b}31m\u{7f}", "\\u001b[2J\\u009b31m\\u007f"),
            ("\u{202e}gpj.exe\u{2066}\u{61c}\u{200b}", "\\u202egpj.exe\\u2066\\u061c\\u200b"),
        ] {
            assert_eq!(escaped(text), shown);
        }
        assert_eq!(escaped_lines("a\n\u{1b}b\n"), "a\n\\u001bb\n");
    }
}
