//! Errors of queries as Pinot codes them, and the one error of starting an engine.

use crate::{
    answer::QueryException,
    functions::{TooLarge, in_users_words},
};
use arrow::error::ArrowError;
use datafusion::{common::SchemaError, error::DataFusionError};
use weir_types::{Classify, ErrorKind, Retry};

/// Pinot's error codes, those that a query here can end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    SqlParsing,
    TableDoesNotExist,
    TableIsDisabled,
    QueryExecution,
    SchedulingTimeout,
    ResourceLimitExceeded,
    ExecutionTimeout,
    SegmentUnavailable,
    Internal,
    QueryValidation,
    UnknownColumn,
    QueryPlanning,
}

impl Code {
    /// All of them, by number.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::SqlParsing,
        Self::TableDoesNotExist,
        Self::TableIsDisabled,
        Self::QueryExecution,
        Self::SchedulingTimeout,
        Self::ResourceLimitExceeded,
        Self::ExecutionTimeout,
        Self::SegmentUnavailable,
        Self::Internal,
        Self::QueryValidation,
        Self::UnknownColumn,
        Self::QueryPlanning,
    ];

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::SqlParsing => 150,
            Self::TableDoesNotExist => 190,
            Self::TableIsDisabled => 191,
            Self::QueryExecution => 200,
            Self::SchedulingTimeout => 240,
            Self::ResourceLimitExceeded => 245,
            Self::ExecutionTimeout => 250,
            Self::SegmentUnavailable => 305,
            Self::Internal => 450,
            Self::QueryValidation => 700,
            Self::UnknownColumn => 710,
            Self::QueryPlanning => 720,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SqlParsing => "SQLParsingError",
            Self::TableDoesNotExist => "TableDoesNotExistError",
            Self::TableIsDisabled => "TableIsDisabledError",
            Self::QueryExecution => "QueryExecutionError",
            Self::SchedulingTimeout => "QuerySchedulingTimeoutError",
            Self::ResourceLimitExceeded => "ServerResourceLimitExceededError",
            Self::ExecutionTimeout => "ExecutionTimeoutError",
            Self::SegmentUnavailable => "BrokerSegmentUnavailableError",
            Self::Internal => "InternalError",
            Self::QueryValidation => "QueryValidationError",
            Self::UnknownColumn => "UnknownColumnError",
            Self::QueryPlanning => "QueryPlanningError",
        }
    }
}

/// Where a query was when DataFusion refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Planning,
    Running,
}

/// DataFusion's error as an exception.
pub(crate) fn exception(error: &DataFusionError, stage: Stage) -> QueryException {
    let code = match error.find_root() {
        DataFusionError::ResourcesExhausted(what) => {
            let what = format!(
                "the query needs more memory than queries may use here: {}; narrow its filter or its GROUP BY, or start \
                 with more query memory",
                what.lines().next().unwrap_or_default()
            );
            return QueryException::new(Code::ResourceLimitExceeded, what);
        }
        DataFusionError::External(cause) if cause.is::<TooLarge>() => Code::ResourceLimitExceeded,
        DataFusionError::SchemaError(schema, _) => match **schema {
            SchemaError::FieldNotFound { .. } => Code::UnknownColumn,
            _ => Code::QueryValidation,
        },
        DataFusionError::Internal(what) if what.contains("failed to match any signature") => Code::QueryValidation,
        DataFusionError::Internal(_) => Code::Internal,
        DataFusionError::SQL(..) => Code::SqlParsing,
        DataFusionError::NotImplemented(what) if what.contains("logical expression AggregateFunction") => {
            Code::QueryValidation
        }
        _ if stage == Stage::Running => Code::QueryExecution,
        DataFusionError::Plan(_) | DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => {
            Code::QueryValidation
        }
        _ => Code::QueryPlanning,
    };
    // The root says what is wrong; what wraps it says where in the planner that was found.
    let what = match error.find_root() {
        DataFusionError::Plan(what) | DataFusionError::Execution(what) => first_part(what),
        DataFusionError::External(cause) => cause.to_string(),
        DataFusionError::ArrowError(cause, _) if matches!(**cause, ArrowError::DivideByZero) => {
            "a whole number is divided by zero: divide by nullif(x, 0) for a null, or as CAST(x AS DOUBLE) for an infinity"
                .to_owned()
        }
        root => first_part(&root.strip_backtrace()),
    };
    QueryException::new(code, in_users_words(&what))
}

/// A message without the stack that may follow it.
fn first_part(what: &str) -> String {
    what.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(what).trim_end().to_owned()
}

/// Names near one that is not known, nearest first, at most three.
pub(crate) fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    // Three edits, or half of a short name (two letters swapped are two edits): beyond that nobody meant it.
    let most = (name.len() / 2).clamp(1, 3);
    let mut close: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|candidate| {
            let lower = candidate.to_lowercase();
            let distance = datafusion::common::utils::datafusion_strsim::levenshtein(&name, &lower);
            let inside = name.len() >= 3 && lower.contains(&name);
            (distance <= most || inside).then_some((distance, candidate))
        })
        .collect();
    close.sort();
    close.dedup();
    close.into_iter().map(|(_, candidate)| candidate).take(3).collect()
}

/// The end of a message about an unknown name.
pub(crate) fn did_you_mean(near: &[&str]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean '{}'?", near.join("', '")) }
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Threads could not be started.
    #[error("threads for queries cannot be started: {0}")]
    Threads(#[source] std::io::Error),
    /// The settings were refused.
    #[error("query engine cannot be set up: {0}")]
    SetUp(String),
}

impl Classify for EngineError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Threads(_) => ErrorKind::Exhausted,
            Self::SetUp(_) => ErrorKind::Invalid,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Threads(_) => Retry::Later,
            Self::SetUp(_) => Retry::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_few_and_near() {
        let known = ["city", "country", "amount", "cities"];
        assert_eq!(near("ctiy", known), ["city"]);
        assert_eq!(near("Cities", known)[0], "cities");
        assert!(near("zzzzzz", known).is_empty());
    }
}
