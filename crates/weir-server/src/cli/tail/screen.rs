//! Where a tail is shown: lines that go by, and on a terminal the fields below them, drawn anew as they change.

use crate::cli::{
    Failure,
    output::{data_raw, escaped, say},
};
use std::io::IsTerminal;

/// Characters of a line in a pipe: a record that is longer is for `--json`.
const PIPED_CHARS: usize = 2_000;
/// A terminal that does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

/// What a line says, which gives its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// A record.
    Plain,
    /// What was not stored.
    Dim,
    /// What changed.
    Change,
    /// What is wrong.
    Wrong,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Dim => Some("2"),
            Self::Change => Some("33"),
            Self::Wrong => Some("31"),
        }
    }
}

/// Where lines go.
pub(super) struct Screen {
    terminal: bool,
    colour: bool,
    /// Lines below the others that are drawn anew.
    drawn: usize,
}

impl Screen {
    /// As stdout is.
    pub(super) fn of_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let terminal = std::io::stdout().is_terminal() && !dumb;
        Self { terminal, colour: terminal && !set("NO_COLOR"), drawn: 0 }
    }

    /// A pipe.
    #[cfg(test)]
    pub(super) fn piped() -> Self {
        Self { terminal: false, colour: false, drawn: 0 }
    }

    /// A terminal without colours.
    #[cfg(test)]
    pub(super) fn terminal() -> Self {
        Self { terminal: true, ..Self::piped() }
    }

    /// Whether somebody looks.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Lines of fields that there is room for: a third of the height, the rest is for records.
    pub(super) fn room(&self) -> usize {
        size().1 / 3
    }

    /// Shows lines, and the fields below them. In a pipe only records are data; other words go to stderr.
    pub(super) fn show(&mut self, lines: &[(Tone, String)], fields: &[String]) -> Result<(), Failure> {
        if !self.terminal {
            let mut out = String::new();
            for (tone, text) in lines {
                match tone {
                    Tone::Change | Tone::Wrong => say(&cut(&escaped(text), PIPED_CHARS)),
                    Tone::Plain | Tone::Dim => {
                        out.push_str(&cut(&escaped(text), PIPED_CHARS));
                        out.push('\n');
                    }
                }
            }
            return if out.is_empty() { Ok(()) } else { data_raw(out.as_bytes()) };
        }
        let width = size().0;
        let out = self.drawing(lines, fields, width);
        data_raw(out.as_bytes())
    }

    /// What is written to a terminal of that width.
    fn drawing(&mut self, lines: &[(Tone, String)], fields: &[String], width: usize) -> String {
        let mut out = String::new();
        if self.drawn > 0 {
            // Up to the first line that was drawn below, and away with all from there on.
            out.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        for (tone, text) in lines {
            self.line(&mut out, *tone, &cut(&escaped(text), width));
        }
        if !fields.is_empty() {
            self.line(&mut out, Tone::Dim, &"─".repeat(width.min(60)));
        }
        for field in fields {
            let tone = if field.contains("  * ") { Tone::Change } else { Tone::Dim };
            self.line(&mut out, tone, &cut(&escaped(field), width));
        }
        self.drawn = if fields.is_empty() { 0 } else { fields.len() + 1 };
        out
    }

    fn line(&self, out: &mut String, tone: Tone, text: &str) {
        match tone.code().filter(|_| self.colour) {
            Some(code) => out.push_str(&format!("\x1b[{code}m{text}\x1b[0m\n")),
            None => {
                out.push_str(text);
                out.push('\n');
            }
        }
    }
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL,
    }
}

/// Columns that a character takes on a terminal: those of East Asian scripts and pictures take two. One that is taken for
/// wider than it is costs a column of room; the other way round a line would wrap.
fn columns(c: char) -> usize {
    if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f000}'..='\u{3ffff}')
    {
        2
    } else {
        1
    }
}

/// Text of so many columns at most.
fn cut(text: &str, most: usize) -> String {
    let mut width = 0;
    // Where the dots stand, if there is not room for all.
    let mut fits = 0;
    for (at, c) in text.char_indices() {
        width += columns(c);
        if width > most {
            return format!("{}…", &text[..fits]);
        }
        if width < most {
            fits = at + c.len_utf8();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_their_width() {
        for (text, most, cut_to) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("", 3, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
        ] {
            assert_eq!(cut(text, most), cut_to, "{text} {most}");
        }
    }

    #[test]
    fn fields_stand_below_and_are_drawn_anew() {
        let mut screen = Screen::terminal();
        let first = screen.drawing(&[(Tone::Plain, "one".into())], &["2 fields".into(), "a".into()], 10);
        assert_eq!(first, "one\n──────────\n2 fields\na\n");
        let second = screen.drawing(&[(Tone::Wrong, "two\u{1b}[2J\u{9b}31m, and long".into())], &["b".into()], 20);
        assert_eq!(second, "\x1b[3A\x1b[Jtwo\\u001b[2J\\u009b3…\n────────────────────\nb\n");
        let coloured = Screen { terminal: true, colour: true, drawn: 0 }.drawing(&[(Tone::Wrong, "x".into())], &[], 10);
        assert_eq!(coloured, "\x1b[31mx\x1b[0m\n");
    }
}
