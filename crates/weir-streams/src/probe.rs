//! The connection test: how far a stream can be reached, step by step, and what to do where it ends.

use crate::contract::{StreamError, Watermarks};
use std::{fmt, time::Duration};

/// A test is over by then, whatever the stream does: a person waits for it.
pub const PROBE_WITHIN: Duration = Duration::from_secs(10);

/// The step at which a test ended. Those before it went well, as far as the stream has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeStep {
    /// Settings, and the secrets and files that they refer to.
    Settings,
    /// A host's name.
    Dns,
    /// A connection.
    Tcp,
    /// Who took the connection says something.
    Answer,
    /// Encryption and certificates, on both sides.
    Tls,
    /// Logging in.
    Login,
    /// Rights.
    Acl,
    /// The topic is there.
    Topic,
    /// Its partitions are.
    Partition,
    /// They can be read.
    Read,
}

impl ProbeStep {
    /// The word shown to users.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Dns => "DNS",
            Self::Tcp => "TCP",
            Self::Answer => "answer",
            Self::Tls => "TLS",
            Self::Login => "login",
            Self::Acl => "ACL",
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Read => "read",
        }
    }
}

impl fmt::Display for ProbeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeError {
    /// The step.
    pub step: ProbeStep,
    /// What happened, as the client puts it.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, what, remedy } = self;
        write!(f, "step {step}: {what}: {remedy}")
    }
}

impl std::error::Error for ProbeError {}

/// A partition that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFact {
    /// Its number.
    pub partition: u32,
    /// What its log holds.
    pub watermarks: Watermarks,
}

impl From<StreamError> for ProbeError {
    fn from(error: StreamError) -> Self {
        // Where the stream knows the remedy, it is said once.
        if let StreamError::TopicMissing { topic, hint } = &error
            && let Some((place, remedy)) = hint.split_once(": ")
        {
            let what = format!("topic {topic} does not exist{place}");
            return Self { step: ProbeStep::Topic, what, remedy: remedy.to_owned() };
        }
        let (step, remedy) = match &error {
            StreamError::Setting { .. } => (ProbeStep::Settings, "correct the setting"),
            StreamError::SecretMissing { .. } => (ProbeStep::Settings, "then test again"),
            StreamError::Unreachable { .. } => {
                (ProbeStep::Tcp, "look whether it runs, and whether this node may reach it")
            }
            StreamError::Denied { .. } => {
                (ProbeStep::Acl, "give the user of the table the right to describe and read the topic")
            }
            StreamError::TopicMissing { .. } => (ProbeStep::Topic, "create it, or correct the topic's name"),
            StreamError::PartitionMissing { .. } => {
                (ProbeStep::Partition, "correct partition.ids, or add partitions to the topic")
            }
            StreamError::OutOfRange { .. } => (ProbeStep::Read, "the log was cut while it was tested: test again"),
            StreamError::Full { .. } | StreamError::Corrupt { .. } | StreamError::Lost { .. } => {
                (ProbeStep::Read, "look at the disk of the stream")
            }
        };
        Self { step, what: error.to_string(), remedy: remedy.to_owned() }
    }
}

/// Partitions that are asked for and not there.
pub(crate) fn missing_partitions(only: Option<&[u32]>, found: &[u32]) -> Option<ProbeError> {
    let missing: Vec<String> = only?.iter().filter(|id| !found.contains(id)).map(ToString::to_string).collect();
    (!missing.is_empty()).then(|| ProbeError {
        step: ProbeStep::Partition,
        what: format!("the topic has {} partitions, and none numbered {}", found.len(), missing.join(", ")),
        remedy: "correct partition.ids, or add partitions to the topic".into(),
    })
}

/// Runs a test within its time. `last` is the step that it may hang at.
pub(crate) async fn within<T>(
    last: ProbeStep,
    test: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    tokio::time::timeout(PROBE_WITHIN, test).await.unwrap_or_else(|_| {
        Err(ProbeError {
            step: last,
            what: format!("no answer within {} s", PROBE_WITHIN.as_secs()),
            remedy: "look whether it runs, and whether this node may reach it".into(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_test_that_hangs_is_over_in_time_and_says_where() {
        let begun = Instant::now();
        let hung = within(ProbeStep::Login, std::future::pending::<Result<(), ProbeError>>()).await.unwrap_err();
        assert_eq!(begun.elapsed(), PROBE_WITHIN);
        assert_eq!((hung.step, &*hung.what), (ProbeStep::Login, "no answer within 10 s"));
        // One that ends is as it ended, however late.
        let late = async {
            tokio::time::sleep(PROBE_WITHIN - Duration::from_millis(1)).await;
            Ok::<_, ProbeError>(7)
        };
        assert_eq!(within(ProbeStep::Login, late).await, Ok(7));
    }
}
