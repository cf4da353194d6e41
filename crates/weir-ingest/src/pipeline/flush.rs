//! Whether the open segment is sealed now. A pure function.

use weir_control::{Limits, SealReason};

/// What is known of the open segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFacts {
    /// Its rows.
    pub(crate) rows: u64,
    /// Offsets its range spans.
    pub(crate) span: u64,
    /// What it may hold.
    pub(crate) limits: Limits,
    /// Where its file is to have a size.
    pub(crate) by_size: Option<SizeFacts>,
    /// When it is old enough, wall time in milliseconds.
    pub(crate) seal_at_ms: i64,
    /// The node needs its memory.
    pub(crate) in_the_way: bool,
    /// Where it ends was agreed; else its limits say.
    pub(crate) agreed: Option<AgreedEnd>,
}

/// How large the open segment's file is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeFacts {
    /// Bytes that its columns will make, where that was learnt.
    pub(crate) predicted: Option<u64>,
    /// Bytes that are wanted.
    pub(crate) wanted: u64,
}

/// An end that was agreed with other replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AgreedEnd {
    /// Everything before it was taken.
    pub(crate) reached: bool,
    /// Why the segment ends.
    pub(crate) reason: SealReason,
}

/// What to do with the open segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushDecision {
    /// Go on.
    Continue,
    /// Go on to the agreed end, whatever the limits say.
    CatchUp,
    /// Fix its end here.
    Seal(SealReason),
}

/// An agreed end first, then the row limit, then age, then memory. A segment whose range is empty is never sealed; one that
/// holds messages but no row is, so that progress through rejected or filtered messages is kept.
#[must_use]
pub(crate) fn decide(facts: OpenFacts, now_ms: i64) -> FlushDecision {
    if facts.span == 0 {
        FlushDecision::Continue
    } else if let Some(AgreedEnd { reached, reason }) = facts.agreed {
        if reached { FlushDecision::Seal(reason) } else { FlushDecision::CatchUp }
    } else if let Some(reason) = full(&facts) {
        FlushDecision::Seal(reason)
    } else if now_ms >= facts.seal_at_ms {
        FlushDecision::Seal(SealReason::Time)
    } else if facts.in_the_way {
        FlushDecision::Seal(SealReason::Memory)
    } else {
        FlushDecision::Continue
    }
}

fn full(facts: &OpenFacts) -> Option<SealReason> {
    match facts.by_size {
        Some(SizeFacts { predicted, wanted }) => {
            facts.limits.is_full_by_size(facts.rows, predicted, wanted).then_some(SealReason::Size)
        }
        None => (facts.rows >= facts.limits.rows).then_some(SealReason::Rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_then_age_and_never_an_empty_range() {
        let facts = OpenFacts {
            rows: 10,
            span: 12,
            limits: Limits::of_rows(10),
            by_size: None,
            seal_at_ms: 100,
            in_the_way: false,
            agreed: None,
        };
        let size = |predicted| Some(SizeFacts { predicted, wanted: 100 });
        let agreed = |reached| Some(AgreedEnd { reached, reason: SealReason::Time });
        for (facts, now, expected) in [
            (facts, 0, FlushDecision::Seal(SealReason::Rows)),
            (OpenFacts { by_size: size(None), ..facts }, 0, FlushDecision::Seal(SealReason::Size)),
            (OpenFacts { by_size: size(Some(99)), ..facts }, 0, FlushDecision::Continue),
            (OpenFacts { by_size: size(Some(99)), rows: 20, ..facts }, 0, FlushDecision::Seal(SealReason::Size)),
            (OpenFacts { by_size: size(Some(100)), rows: 3, ..facts }, 0, FlushDecision::Seal(SealReason::Size)),
            (OpenFacts { rows: 9, ..facts }, 99, FlushDecision::Continue),
            (OpenFacts { rows: 9, ..facts }, 100, FlushDecision::Seal(SealReason::Time)),
            (OpenFacts { rows: 0, ..facts }, 100, FlushDecision::Seal(SealReason::Time)),
            (OpenFacts { rows: 0, span: 0, ..facts }, 100, FlushDecision::Continue),
            (OpenFacts { in_the_way: true, rows: 9, ..facts }, 99, FlushDecision::Seal(SealReason::Memory)),
            (OpenFacts { in_the_way: true, agreed: agreed(false), ..facts }, 99, FlushDecision::CatchUp),
            (OpenFacts { agreed: agreed(false), ..facts }, 100, FlushDecision::CatchUp),
            (OpenFacts { agreed: agreed(true), ..facts }, 0, FlushDecision::Seal(SealReason::Time)),
        ] {
            assert_eq!(decide(facts, now), expected, "{facts:?} at {now}");
        }
    }
}
