//! The command line: one module per command, exit codes, and the rule that data goes to stdout and words to stderr.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not reachable.

mod apply;
mod broker;
mod check;
mod demo;
mod doctor;
mod document;
mod drop;
mod infer;
mod lag;
mod output;
mod quarantine;
mod run;
mod sql;
mod start;
mod table_text;
mod tail;
mod try_records;
mod why;

use crate::{client::ClientError, parts::Parts};
use clap::{CommandFactory, Parser, Subcommand};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// A real-time OLAP store: rows emitted to a stream are queryable by SQL within milliseconds.
#[derive(Debug, Parser)]
#[command(name = "weir", version, propagate_version = true, max_term_width = 110, after_help = EXAMPLES)]
struct Arguments {
    /// Folder with decoders and functions that are WebAssembly components, each a file NAME.wasm
    #[arg(long, global = true, env = "WEIR_PARTS_DIR", value_name = "FOLDER")]
    parts_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  weir demo                                 a live table to query, nothing else needed
  weir start --data-dir ./data              a node on ports 9000 and 8099
  weir infer kafka://localhost:9092/orders  write a config for a topic, with the reasons
  weir check orders.json                    read a config, list every error with its place
  weir try orders.json                      what would become of the newest records
  weir tail kafka://localhost:9092/orders   its messages as they come, and their fields
  weir apply orders.json                    create or change the table
  weir sql -e 'SELECT COUNT(*) FROM orders' ask
  weir lag orders                           what each partition is doing
  weir quarantine list orders               records that could not become rows, and why
  weir why --table orders --key 4711        where a message went
  weir doctor                               what is wrong, and what to do
  weir drop orders                          drop the table, once its name was said again

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not reachable";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node with all roles
    Start(start::StartArguments),
    /// Start a node on the default data folder
    Up(start::UpArguments),
    /// Start a node with a live sample stream and a table over it
    Demo(demo::DemoArguments),
    /// Ask a node by SQL: a shell, or single statements
    Sql(sql::SqlArguments),
    /// Read a tableConfigs document and list what is wrong; with --connect also whether its streams answer
    Check(check::CheckArguments),
    /// Read a sample of a topic and write a tableConfigs document for it, each guess with its reason
    Infer(infer::InferArguments),
    /// Show what would become of the newest records of a stream, before there is a table
    Try(try_records::TryArguments),
    /// Show the decoded messages of a table's topics, or of any topic, as they come, with the fields that they have
    Tail(tail::TailArguments),
    /// Create or change a table from a tableConfigs document
    Apply(apply::ApplyArguments),
    /// Show what each partition is doing and how far behind it is
    Lag(lag::LagArguments),
    /// Tell what is wrong with a node and its tables, or with a config, and what to do
    Doctor(doctor::DoctorArguments),
    /// Look at records that could not become rows, try them again, delete them
    Quarantine(quarantine::QuarantineArguments),
    /// Tell the way of one message: read, skipped, rejected, or a row, and in which segment
    Why(why::WhyArguments),
    /// Drop a table with its rows; asks for its name again
    Drop(drop::DropArguments),
    /// Write a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether records are read by this process: others leave the parts that are loaded for it alone.
    fn reads_records(&self) -> bool {
        !matches!(
            self,
            Self::Sql(_)
                | Self::Apply(_)
                | Self::Lag(_)
                | Self::Quarantine(_)
                | Self::Why(_)
                | Self::Drop(_)
                | Self::Completions { .. }
        )
    }
}

/// Where a controller and a broker are asked that nobody names.
const CONTROLLER: &str = "http://127.0.0.1:9000";
const BROKER: &str = "http://127.0.0.1:8099";
/// Variables that name them.
const CONTROLLER_VARIABLE: &str = "WEIR_CONTROLLER";
const BROKER_VARIABLE: &str = "WEIR_BROKER";

/// Where the controller is asked.
#[derive(Debug, Clone, clap::Args)]
struct ControllerAddress {
    /// URL of the controller
    #[arg(long, env = CONTROLLER_VARIABLE, default_value = CONTROLLER, value_name = "URL")]
    controller: String,
}

impl ControllerAddress {
    /// A command to paste that asks the same controller.
    fn same(&self, command: &str) -> String {
        on_controller(command, &self.controller)
    }
}

/// A command to paste that asks that controller, named where it would ask another.
fn on_controller(command: &str, url: &str) -> String {
    named(command, "--controller", url, [Some(CONTROLLER), std::env::var(CONTROLLER_VARIABLE).ok().as_deref()])
}

/// A command to paste that asks that broker, named where it would ask another.
fn on_broker(command: &str, url: &str) -> String {
    named(command, "--broker", url, [Some(BROKER), std::env::var(BROKER_VARIABLE).ok().as_deref()])
}

/// `command` with `option url`, unless it would ask there anyway: where the last known of `asked` says.
fn named(command: &str, option: &str, url: &str, asked: [Option<&str>; 2]) -> String {
    if asked.into_iter().flatten().last() == Some(url) {
        return command.to_owned();
    }
    format!("{command} {option} {}", shell_word(url))
}

/// Text as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Refused or failed: exit code 1.
    Failed(String),
    /// Wrong usage: exit code 2.
    Usage(String),
    /// Nobody answers: exit code 3.
    Unreachable(String),
    /// Whoever read our output has gone: there is nothing left to do, and it is not a failure.
    OutputClosed,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Address { .. } => Self::Usage(error.to_string()),
            ClientError::Unreachable { ref url, .. } => {
                // On its own ports it is found without a word.
                let usual = [CONTROLLER, BROKER].contains(&url.as_str());
                let remedy = if usual {
                    "is a node running? `weir start --data-dir ./data` starts one"
                } else {
                    "is a node running there, and is the address right?"
                };
                Self::Unreachable(format!("{error}; {remedy}"))
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(format!("could not write: {error}")),
        }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    main_with(Parts::default())
}

/// Runs the command line of this process with parts from outside. Ends with 2 where one cannot be taken.
pub(crate) fn main_with(parts: Parts) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are answers, not errors: clap knows where each goes.
        Err(error) => return ExitCode::from(u8::from(error.print().is_ok() && error.use_stderr()) * 2),
    };
    let folder = arguments.parts_dir.filter(|_| arguments.command.reads_records());
    if let Err(reason) = parts.add(folder.as_deref()) {
        return said(&reason, 2);
    }
    match run(arguments.command) {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => said(&text, 1),
        Err(Failure::Usage(text)) => said(&text, 2),
        Err(Failure::Unreachable(text)) => said(&text, 3),
    }
}

fn said(text: &str, code: u8) -> ExitCode {
    // A text may be empty where everything was said before.
    if !text.is_empty() && writeln!(io::stderr(), "weir: {text}").is_err() {
        // Nobody can be told.
    }
    ExitCode::from(code)
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Start(arguments) => run::block_on(arguments.run())?,
        Command::Up(arguments) => run::block_on(arguments.run())?,
        Command::Demo(arguments) => run::block_on(arguments.run())?,
        Command::Sql(arguments) => run::block_on(arguments.run())?,
        Command::Check(arguments) => run::block_on(arguments.run())?,
        Command::Infer(arguments) => run::block_on(arguments.run())?,
        Command::Try(arguments) => run::block_on(arguments.run())?,
        Command::Tail(arguments) => run::block_on(arguments.run())?,
        Command::Apply(arguments) => run::block_on(arguments.run())?,
        Command::Doctor(arguments) => run::block_on(arguments.run())?,
        Command::Lag(arguments) => run::block_on(arguments.run())?,
        Command::Quarantine(arguments) => run::block_on(arguments.run())?,
        Command::Why(arguments) => run::block_on(arguments.run())?,
        Command::Drop(arguments) => run::block_on(arguments.run())?,
        Command::Completions { shell } => {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Arguments::command(), "weir", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_shows_examples() {
        Arguments::command().debug_assert();
        let mut command = Arguments::command();
        for sub in command.get_subcommands_mut() {
            let name = sub.get_name().to_owned();
            let help = sub.render_long_help().to_string();
            assert!(name == "completions" || help.contains("Examples:"), "weir {name} --help shows no example");
        }
        assert!(command.render_help().to_string().contains("Exit codes"));
    }

    #[test]
    fn hints_name_what_would_not_be_asked_anyway() {
        let hint = |url, variable| named("weir lag", "--controller", url, [Some(CONTROLLER), variable]);
        assert_eq!(hint(CONTROLLER, None), "weir lag");
        assert_eq!(hint("http://db1:9000", None), "weir lag --controller http://db1:9000");
        assert_eq!(hint("http://db1:9000", Some("http://db1:9000")), "weir lag");
        assert_eq!(hint(CONTROLLER, Some("http://db1:9000")), format!("weir lag --controller {CONTROLLER}"));
        assert_eq!(hint("http://h/a b", None), "weir lag --controller 'http://h/a b'");
    }

    #[test]
    fn a_text_is_one_word_of_a_shell() {
        assert_eq!(shell_word("/opt/weir-1/weir"), "/opt/weir-1/weir");
        assert_eq!(shell_word("/my programs/o'k"), r"'/my programs/o'\''k'");
    }

    #[test]
    fn usage_is_checked() {
        for good in [
            &["weir", "start", "--data-dir", "d", "--controller-port", "0", "--broker-port", "0"][..],
            &["weir", "up"],
            &["weir", "demo", "--rate", "10", "--seconds", "3"],
            &["weir", "sql", "-e", "select 1", "-e", "select 2", "--format", "csv"],
            &["weir", "check", "x.json"],
            &["weir", "infer", "kafka://a:9092,b:9092/t", "--rows", "10", "--format", "csv", "--header", "a;b"],
            &["weir", "lag"],
            &["weir", "doctor", "--json"],
            &["weir", "doctor", "--config", "t.json"],
            &["weir", "tail", "orders", "--from", "last:20", "--limit", "5", "--once", "--partition", "0"],
            &["weir", "tail", "kafka://a:9092/t", "--from", "earliest", "--format", "csv", "--header", "a;b", "--json"],
            &["weir", "sql", "--option", "timeoutMs=5", "-e", "select 1"],
            &["weir", "quarantine", "list", "t", "--stage", "TIME", "--limit", "7"],
            &["weir", "quarantine", "show", "t", "topic/0/7"],
            &["weir", "quarantine", "replay", "t", "--topic", "a", "--partition", "0", "--offsets", "1,2"],
            &["weir", "quarantine", "drop", "t", "--all"],
            &["weir", "why", "--table", "t", "--topic", "a", "--partition", "0", "--offset", "7"],
            &["weir", "why", "--table", "t", "--key", "x", "--column", "c"],
            &["weir", "why", "--table", "t", "--key", "-5"],
            &["weir", "tail", "kafka://a:9092/t", "--format", "avro", "--schema", "t.avsc"],
            &["weir", "why", "--table", "t", "--partition", "0", "--offset", "7"],
            &["weir", "drop", "t", "--yes"],
            &["weir", "completions", "bash"],
        ] {
            Arguments::try_parse_from(good).unwrap_or_else(|error| panic!("{good:?}: {error}"));
        }
        for wrong in [
            &["weir"][..],
            &["weir", "start"],
            &["weir", "sql", "--format", "xml"],
            &["weir", "check"],
            &["weir", "infer"],
            &["weir", "infer", "t"],
            &["weir", "infer", "local://t", "--rows", "0"],
            &["weir", "tail"],
            &["weir", "tail", "t", "--from", "yesterday"],
            &["weir", "tail", "kafka://a:9092"],
            &["weir", "tail", "t", "--limit", "0"],
            &["weir", "sql", "--option", "timeoutMs", "-e", "select 1"],
            &["weir", "quarantine"],
            &["weir", "quarantine", "show", "t", "7"],
            &["weir", "why", "--table", "t"],
            &["weir", "why", "--table", "t", "--topic", "a", "--offset", "7"],
            &["weir", "why", "--table", "t", "--topic", "a", "--partition", "0", "--offset", "7", "--key", "x"],
            &["weir", "drop"],
            &["weir", "quarantine", "replay", "t", "--offsets", "1"],
            &["weir", "start", "--data-dir", "d", "--deep-store-setting", "noequals"],
        ] {
            assert!(Arguments::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
