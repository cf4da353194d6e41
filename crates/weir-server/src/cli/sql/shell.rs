//! The shell: lines with history, completion on tab, statements over several lines.

use crate::{
    cli::{
        Failure,
        output::say,
        sql::{Asker, statement, words::Words},
    },
    client::Client,
};
use reedline::{
    ColumnarMenu, Completer, CompletionResult, DefaultHinter, DefaultPrompt, DefaultPromptSegment, Emacs,
    FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span,
    Suggestion, ValidationResult, Validator, default_emacs_keybindings,
};
use std::path::PathBuf;

/// Lines of history that are kept.
const HISTORY: usize = 10_000;
const MENU: &str = "completion";

const HELP: &str = "\
statements end with ;       tab completes tables, columns, functions
\\d          tables           \\d TABLE    columns of a table
\\q or exit  leaves           \\?          this text";

/// What a line of the shell asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Leave,
    Help,
    Tables,
    Columns(&'a str),
    Sql(&'a str),
    Unknown(&'a str),
    Nothing,
}

fn read(line: &str) -> Line<'_> {
    let line = line.trim();
    let word = line.trim_end_matches(';').trim_end();
    // A statement may be left in its middle.
    if line.lines().next_back().is_some_and(|last| last.trim() == "\\q") {
        return Line::Leave;
    }
    match word {
        "" => Line::Nothing,
        "\\q" | "exit" | "quit" => Line::Leave,
        "\\?" | "help" => Line::Help,
        "\\d" => Line::Tables,
        _ => match word.strip_prefix("\\d ") {
            Some(table) => Line::Columns(table.trim()),
            None if word.starts_with('\\') => Line::Unknown(word),
            None => Line::Sql(line),
        },
    }
}

struct WholeStatements;

impl Validator for WholeStatements {
    fn validate(&self, line: &str) -> ValidationResult {
        match read(line) {
            Line::Sql(sql) if !statement::is_whole(sql) => ValidationResult::Incomplete,
            _ => ValidationResult::Complete,
        }
    }
}

struct WordCompleter(Words);

impl Completer for WordCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let (start, words) = self.0.complete(line, pos);
        let suggestions = words.into_iter().map(|(value, what)| Suggestion {
            value,
            description: Some(what.to_owned()),
            span: Span::new(start, pos),
            append_whitespace: what != "function",
            ..Suggestion::default()
        });
        CompletionResult::fresh(suggestions.collect::<Vec<_>>())
    }
}

/// Where lines are kept between shells.
fn history_file() -> Option<PathBuf> {
    let env = |name| std::env::var_os(name).map(PathBuf::from);
    let state = env("XDG_STATE_HOME").or_else(|| env("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("weir/history"))
}

fn editor(words: &Words) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let next = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, next);
    let menu = ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU)));
    let editor = Reedline::create()
        .with_completer(Box::new(WordCompleter(words.clone())))
        .with_menu(menu)
        .with_validator(Box::new(WholeStatements))
        .with_hinter(Box::new(DefaultHinter::default()))
        .with_edit_mode(Box::new(Emacs::new(keys)));
    match history_file().map(|file| FileBackedHistory::with_file(HISTORY, file)) {
        Some(Ok(history)) => editor.with_history(Box::new(history)),
        Some(Err(error)) => {
            say(&format!("history is not kept: {error}"));
            editor
        }
        None => editor,
    }
}

/// Runs until the user leaves.
pub(super) async fn run(asker: &Asker, controller: &Client) -> Result<(), Failure> {
    let words = Words::default();
    words.renew(controller).await;
    let mut editor = editor(&words);
    let prompt = DefaultPrompt::new(DefaultPromptSegment::Basic("weir".to_owned()), DefaultPromptSegment::Empty);
    say(&format!("weir {} at {}; \\? helps", env!("CARGO_PKG_VERSION"), asker.broker.base()));
    loop {
        let line = tokio::task::block_in_place(|| editor.read_line(&prompt));
        let line = match line.map_err(|error| Failure::Failed(format!("the terminal cannot be read: {error}")))? {
            Signal::Success(line) => line,
            Signal::CtrlC => continue,
            _ => return Ok(()),
        };
        match read(&line) {
            Line::Nothing => {}
            Line::Leave => return Ok(()),
            Line::Help => say(HELP),
            Line::Unknown(word) => say(&format!("{word} is no command of the shell:\n{HELP}")),
            Line::Tables => words.tables().iter().for_each(|table| say(&table.name)),
            Line::Columns(wanted) => match words.tables().iter().find(|t| t.name.eq_ignore_ascii_case(wanted)) {
                Some(table) => table.columns.iter().for_each(|column| say(column)),
                None => say(&format!("there is no table {wanted}")),
            },
            Line::Sql(sql) => match asker.ask_all(sql).await {
                // What is wrong was said; a node that went away may come back.
                Ok(()) => {}
                Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
                Err(Failure::Failed(text) | Failure::Usage(text) | Failure::Unreachable(text)) => {
                    if !text.is_empty() {
                        say(&format!("weir: {text}"));
                    }
                }
            },
        }
        words.renew(controller).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_sql() {
        assert_eq!(read(" exit; "), Line::Leave);
        assert_eq!(read("\\d"), Line::Tables);
        assert_eq!(read("\\d orders"), Line::Columns("orders"));
        assert_eq!(read(" select 1; "), Line::Sql("select 1;"));
        assert_eq!(read(" ; "), Line::Nothing);
        assert_eq!(read("\\dt"), Line::Unknown("\\dt"));
        assert_eq!(read("select 1\n \\q"), Line::Leave);
    }

    #[test]
    fn enter_sends_only_whole_statements() {
        let whole = |line: &str| matches!(WholeStatements.validate(line), ValidationResult::Complete);
        assert!(whole("select 1;") && whole("\\q") && whole(""));
        assert!(!whole("select 1") && !whole("select 'a;") && !whole("set a = 1;"));
    }

    #[test]
    fn suggestions_replace_the_word_that_was_begun() {
        let mut completer = WordCompleter(Words::default());
        let result = completer.complete("sele", 4);
        let first = &result.suggestions()[0];
        assert_eq!((first.value.as_str(), first.span.start, first.span.end), ("SELECT", 0, 4));
    }
}
