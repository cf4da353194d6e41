//! What was done to a table and to its offsets: audit entries, and moves of a partition's next offset.
//!
//! A segment's range starts where its predecessor's ended, or where recorded moves lead from there. A move forward passes
//! offsets over; a move backward reads them again, or goes on in a topic that was made anew.

use crate::records::SegmentRecord;
use std::fmt;
use weir_types::{NextOffset, OffsetRange, Skip, SkipReason, StreamPartition, TableName, TopicName};

/// Entries that the audit keeps; older ones are counted. They are written by people and their programs, some hundred
/// bytes each: ten thousand are months of work and a few megabytes of catalog.
pub const AUDIT_KEPT: u64 = 10_000;
/// Longest text of one side of a change that the audit keeps: a page, not a config.
const TEXT_MOST: usize = 4000;

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditAction {
    /// A table was made.
    CreateTable,
    /// A table's settings or schema changed.
    UpdateTable,
    /// A table was dropped.
    DropTable,
    /// Reading was stopped.
    Pause,
    /// Reading goes on.
    Resume,
    /// A table is neither read nor queried from then on.
    Disable,
    /// A table that was disabled is read and queried again.
    Enable,
    /// A partition goes on at another offset.
    MoveOffset,
    /// Open segments were sealed on request.
    ForceCommit,
    /// A table reads one topic more.
    AddTopic,
    /// A table reads one topic less.
    RemoveTopic,
    /// Entries of the quarantine were deleted.
    DeleteQuarantine,
    /// Entries of the quarantine were tried again.
    ReplayQuarantine,
    /// Segments that were older than the table keeps rows were removed.
    RemoveSegments,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::CreateTable,
        Self::UpdateTable,
        Self::DropTable,
        Self::Pause,
        Self::Resume,
        Self::Disable,
        Self::Enable,
        Self::MoveOffset,
        Self::ForceCommit,
        Self::AddTopic,
        Self::RemoveTopic,
        Self::DeleteQuarantine,
        Self::ReplayQuarantine,
        Self::RemoveSegments,
    ];

    /// The word shown to users and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateTable => "CREATE_TABLE",
            Self::UpdateTable => "UPDATE_TABLE",
            Self::DropTable => "DROP_TABLE",
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::Disable => "DISABLE",
            Self::Enable => "ENABLE",
            Self::MoveOffset => "MOVE_OFFSET",
            Self::ForceCommit => "FORCE_COMMIT",
            Self::AddTopic => "ADD_TOPIC",
            Self::RemoveTopic => "REMOVE_TOPIC",
            Self::DeleteQuarantine => "DELETE_QUARANTINE",
            Self::ReplayQuarantine => "REPLAY_QUARANTINE",
            Self::RemoveSegments => "REMOVE_SEGMENTS",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// One thing that was done: when, by whom, to what, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, wall time in milliseconds since the epoch.
    pub at_ms: i64,
    /// The user, or the address the request came from; `weir` where the node did it by itself.
    pub who: String,
    /// What was done.
    pub action: AuditAction,
    /// The table.
    pub table: TableName,
    /// The topic, where it concerned one.
    pub topic: Option<TopicName>,
    /// The partition, where it concerned one.
    pub partition: Option<u32>,
    /// How it was.
    pub before: String,
    /// How it is.
    pub after: String,
}

impl AuditEntry {
    /// An entry about a whole table that says nothing of before and after yet.
    #[must_use]
    pub fn new(action: AuditAction, table: &TableName, who: &str, at_ms: i64) -> Self {
        let (before, after) = (String::new(), String::new());
        Self { at_ms, who: cut(who), action, table: table.clone(), topic: None, partition: None, before, after }
    }

    /// About one topic.
    #[must_use]
    pub fn topic(self, topic: &TopicName) -> Self {
        Self { topic: Some(topic.clone()), ..self }
    }

    /// About one partition.
    #[must_use]
    pub fn partition(self, partition: &StreamPartition) -> Self {
        Self { topic: Some(partition.topic.clone()), partition: Some(partition.partition), ..self }
    }

    /// What changed; long texts are cut.
    #[must_use]
    pub fn change(self, before: impl fmt::Display, after: impl fmt::Display) -> Self {
        Self { before: cut(&before.to_string()), after: cut(&after.to_string()), ..self }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The audit as it stands.
#[derive(Debug, Clone, Default)]
pub struct AuditLog {
    /// Number and entry, oldest first. Numbers count all entries ever written.
    pub entries: Vec<(u64, AuditEntry)>,
    /// Entries that are gone because newer ones took their place.
    pub evicted: u64,
}

/// A partition's next offset was moved, in front of the segment that starts there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which partition.
    pub partition: StreamPartition,
    /// Sequence number of the segment that starts behind it.
    pub before: u32,
    /// Where reading had come to.
    pub from: NextOffset,
    /// Where it goes on.
    pub to: NextOffset,
    /// Why.
    pub reason: SkipReason,
    /// When, wall time in milliseconds since the epoch.
    pub at_ms: i64,
    /// Of a topic that was made anew, whose offsets count in a log of their own: those before `from` and `to` that were passed
    /// over.
    pub passed: Option<OffsetRange>,
}

impl Move {
    /// What lies between and was passed over; `None` where nothing was.
    #[must_use]
    pub fn skip(&self) -> Option<Skip> {
        let range = OffsetRange::try_new(self.from, self.to).ok().filter(|range| !range.is_empty())?;
        Some(Skip { range, reason: self.reason, at_ms: self.at_ms })
    }

    /// Offsets passed over.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.to.since(self.from) + self.passed_before()
    }

    /// Offsets gone back. What was passed over before both ends was gone back first.
    #[must_use]
    pub fn rewound(&self) -> u64 {
        self.from.since(self.to) + self.passed_before()
    }

    fn passed_before(&self) -> u64 {
        self.passed.map_or(0, OffsetRange::span)
    }
}

/// Where a segment of that sequence starts whose predecessor ended at `end`: the moves in front of it lead there, in the
/// order in which they were made. A move that does not start where the one before it led is the error.
pub fn led(end: NextOffset, before: u32, moves: &[Move]) -> Result<NextOffset, weir_types::RangeError> {
    let mut at = end;
    for step in moves.iter().filter(|step| step.before == before) {
        if step.from != at {
            return Err(weir_types::RangeError::DoesNotFollow { expected: at, found: step.from });
        }
        at = step.to;
    }
    Ok(at)
}

/// Where a partition whose last segment has no successor goes on: where that ended, or where recorded moves lead from
/// there. `None` where it was never read. `moves` may be those of the whole table.
#[must_use]
pub fn resumes_at(last: Option<&SegmentRecord>, partition: &StreamPartition, moves: &[Move]) -> Option<NextOffset> {
    let before = last.map_or(0, |last| last.name.sequence + 1);
    let led = moves.iter().rfind(|step| step.partition == *partition && step.before == before);
    led.map(|step| step.to).or_else(|| last?.state.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(before: u32, from: u64, to: u64) -> Move {
        let partition = StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 };
        let (from, to) = (NextOffset::new(from), NextOffset::new(to));
        Move { partition, before, from, to, reason: SkipReason::Reset, at_ms: 1, passed: None }
    }

    #[test]
    fn moves_lead_forward_and_back_in_their_order() {
        let moves = [step(3, 10, 20), step(3, 20, 4), step(3, 4, 9), step(4, 12, 11)];
        let at = |end: u64, before| led(NextOffset::new(end), before, &moves).map(NextOffset::number);
        assert_eq!(at(10, 3), Ok(9));
        assert_eq!(at(12, 4), Ok(11));
        assert_eq!(at(7, 5), Ok(7));
        assert!(at(11, 3).is_err());
        assert_eq!((moves[1].skipped(), moves[1].rewound(), moves[1].skip()), (0, 16, None));
        assert_eq!((moves[0].skipped(), moves[0].rewound()), (10, 0));
        assert_eq!(moves[0].skip().unwrap().range.span(), 10);
    }

    #[test]
    fn what_is_passed_over_in_another_log_adds_up() {
        let passed = OffsetRange::try_new(NextOffset::new(2), NextOffset::new(7)).ok();
        let anew = |from, to| Move { reason: SkipReason::Recreated, passed, ..step(1, from, to) };
        let sums = |step: Move| (step.skipped(), step.rewound());
        assert_eq!(sums(anew(10, 10)), (5, 5));
        assert_eq!(sums(anew(10, 14)), (9, 5));
        assert_eq!(sums(anew(10, 7)), (5, 8));
    }

    #[test]
    fn actions_read_what_they_print_and_long_text_is_cut() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::parse(action.as_str()), Some(action));
        }
        let table = TableName::parse("orders").unwrap();
        let entry = AuditEntry::new(AuditAction::UpdateTable, &table, "ann", 1).change("é".repeat(5000), "b");
        assert_eq!(entry.before.chars().count(), TEXT_MOST + 3);
        assert_eq!(entry.after, "b");
    }
}
