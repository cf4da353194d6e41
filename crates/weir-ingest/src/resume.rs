//! Where the partitions of a table go on: asked of the stream, held against what was read, and then done.

use crate::{
    control::Scope,
    error::IngestError,
    feeds::Feed,
    pipeline::{Command, MoveOrder, PipelineHandle},
    status::{PartitionState, PartitionStatus},
    table::TableRuntime,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::oneshot;
use weir_control::{Move, Removed, SegmentRecord};
use weir_streams::{StreamError, Watermarks};
use weir_types::{NextOffset, OffsetRange, SkipReason, StartAt, StreamPartition, TopicName};

/// Where a partition is to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumeFrom {
    /// Where reading stopped.
    LastConsumed,
    /// At an offset, a time, or an end of the log.
    At(StartAt),
    /// So many offsets further.
    Ahead(u64),
}

/// Which partitions go on, and from where.
#[derive(Debug, Clone, Default)]
pub struct ResumeRequest {
    /// What is meant.
    pub scope: Scope,
    /// Where all of it goes on.
    pub everywhere: Option<ConsumeFrom>,
    /// Where a topic's partitions go on (`None`), or one of them.
    pub parts: BTreeMap<(TopicName, Option<u32>), ConsumeFrom>,
    /// Rows may be read twice.
    pub allow_duplicates: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// For the audit.
    pub comment: String,
}

/// Where a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMove {
    /// Which.
    pub partition: StreamPartition,
    /// Where reading had come to.
    pub from: NextOffset,
    /// Where it goes on.
    pub to: NextOffset,
    /// Offsets that are passed over unread.
    pub skipped: u64,
    /// Offsets that were read before and are read again.
    pub read_twice: u64,
    /// What the log holds; not asked where nothing is moved.
    pub held: Option<(NextOffset, NextOffset)>,
    /// The topic was made anew: `from` counted in another log.
    pub recreated: bool,
    /// The topic does not have this partition any more: what was read of it is sealed, and it is read no more.
    pub ends: bool,
    /// It is not told where to go on: what the stream has deleted it passes over by itself.
    pub by_itself: bool,
    topic_id: Option<Arc<str>>,
    passed: Option<OffsetRange>,
}

impl PlannedMove {
    fn stays(partition: StreamPartition, from: NextOffset, recreated: bool) -> Self {
        let (skipped, read_twice, held, topic_id, passed) = (0, 0, None, None, None);
        let (ends, by_itself) = (false, false);
        Self { partition, from, to: from, skipped, read_twice, held, recreated, ends, by_itself, topic_id, passed }
    }

    /// Whether there is something to do.
    #[must_use]
    pub fn moves(&self) -> bool {
        !self.by_itself && (self.from != self.to || self.ends || (self.recreated && self.held.is_some()))
    }
}

impl ResumeRequest {
    /// Where a partition is to go on: what is said of itself, else of its topic, else of all.
    fn wanted(&self, partition: &StreamPartition) -> Option<&ConsumeFrom> {
        let said = |number| self.parts.get(&(partition.topic.clone(), number));
        said(Some(partition.partition)).or_else(|| said(None)).or(self.everywhere.as_ref())
    }

    /// Refuses what would read rows twice, unless that is allowed.
    pub(crate) fn check(&self, plan: &[PlannedMove]) -> Result<(), IngestError> {
        let twice = plan.iter().filter(|planned| planned.read_twice > 0 && !self.allow_duplicates);
        let twice = twice.map(|planned| {
            format!("{}: {} offsets between {} and {}", planned.partition, planned.read_twice, planned.to, planned.from)
        });
        let twice: Vec<String> = twice.collect();
        if twice.is_empty() {
            return Ok(());
        }
        Err(IngestError::Refused {
            what: format!(
                "rows would be read twice ({}); allowDuplicates=true does it all the same, dryRun=true shows what would be \
                 done",
                twice.join("; ")
            ),
        })
    }
}

/// Offsets of `[to, from)` that lie in what was read, which may overlap itself.
fn read_before(mut read: Vec<OffsetRange>, to: NextOffset, from: NextOffset) -> u64 {
    read.sort_by_key(|range| range.start());
    let (mut at, mut count) = (to, 0);
    for range in read {
        let (start, end) = (range.start().max(at), range.end().min(from));
        if end > start {
            count += end.since(start);
            at = end;
        }
    }
    count
}

/// What of a log that was made anew and begins at `low` is passed over by who goes on at `to` and had come to `from`, without
/// what lies between these two: nothing of it was read but what is in doubt.
fn passed_in(doubt: Option<OffsetRange>, low: NextOffset, from: NextOffset, to: NextOffset) -> Option<OffsetRange> {
    let end = to.min(doubt.map_or(from, OffsetRange::start));
    OffsetRange::try_new(low, end).ok().filter(|range| !range.is_empty())
}

/// What of a partition's log was read, in the log that is read now.
fn ranges(
    segments: &[SegmentRecord],
    removed: Option<&Removed>,
    moves: &[Move],
    partition: &StreamPartition,
    next: NextOffset,
) -> Vec<OffsetRange> {
    let anew = moves.iter().filter(|step| step.partition == *partition && step.reason == SkipReason::Recreated);
    let first = anew.map(|step| step.before).max().unwrap_or(0);
    let ours = segments.iter().filter(|segment| segment.partition == *partition && segment.name.sequence >= first);
    let range = |segment: &SegmentRecord| {
        segment.state.range().or_else(|| OffsetRange::try_new(segment.state.start(), next).ok())
    };
    let gone = removed.into_iter().flat_map(|removed| &removed.runs).filter(|run| run.last >= first);
    let gone = gone.filter_map(|run| OffsetRange::try_new(run.start, run.end).ok());
    ours.filter_map(range).chain(gone).collect()
}

impl TableRuntime {
    /// What a request means now, by partition. Asks the streams; changes nothing.
    pub(crate) async fn plan_resume(
        &self,
        scope: &Scope,
        request: &ResumeRequest,
    ) -> Result<Vec<PlannedMove>, IngestError> {
        let (context, feeds) = (self.context(), self.feeds());
        let record = context.record.load_full();
        let statuses: Vec<PartitionStatus> = self.handles().iter().map(|handle| handle.status.get()).collect();
        let at_work = |status: &&PartitionStatus| status.open_segment.is_some() && scope.covers(&status.partition);
        self.check_parts(scope, request, &statuses)?;
        let store = &context.deps.store;
        let (segments, moves) = (store.segments(&record).await?, store.moves(&record).await?);
        let (removed, ids) = (store.removed(&record).await?, store.topic_ids(&record).await?);
        let mut plan = vec![];
        for status in statuses.iter().filter(at_work) {
            let Some(feed) = feeds.get(&status.partition.topic) else { continue };
            let wanted = request.wanted(&status.partition).filter(|wanted| **wanted != ConsumeFrom::LastConsumed);
            let mut recreated = matches!(status.state, PartitionState::Recreated(_));
            let (partition, from) = (status.partition.clone(), status.next);
            let now = feed.topic_id().await;
            let known = ids.get(&partition);
            recreated |= now.as_ref().is_ok_and(|now| now.as_ref().zip(known).is_some_and(|(now, known)| now != known));
            let Some(wanted) = wanted else {
                let stays = PlannedMove::stays(partition, from, recreated);
                // A stream that does not answer says nothing of what it has deleted.
                let marks = feed.source.watermarks(stays.partition.partition).await.ok().filter(|_| !recreated);
                plan.push(match marks {
                    Some(marks) => PlannedMove {
                        to: from.max(marks.low),
                        skipped: marks.low.since(from),
                        held: Some((marks.low, marks.high)),
                        by_itself: true,
                        ..stays
                    },
                    None => stays,
                });
                continue;
            };
            let now = now.map_err(|source| feed.error(source))?;
            let (to, held) = match self.target(feed, &partition, from, wanted).await {
                Ok(target) => target,
                // A topic that was made anew may have fewer partitions. One that was asked for by its number is an error.
                Err(IngestError::Stream { source: StreamError::PartitionMissing { .. }, .. })
                    if !request.parts.contains_key(&(partition.topic.clone(), Some(partition.partition))) =>
                {
                    plan.push(PlannedMove { ends: true, ..PlannedMove::stays(partition, from, recreated) });
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (skipped, passed, read_twice) = if recreated {
                let doubt = status.in_doubt(held.high);
                let passed = passed_in(doubt, held.low, from, to);
                let doubt: Vec<OffsetRange> = doubt.into_iter().collect();
                let skipped = to.since(held.low) - read_before(doubt.clone(), held.low, to);
                (skipped, passed, read_before(doubt, to, from))
            } else {
                let read = ranges(&segments, removed.get(&partition), &moves, &partition, from);
                (to.since(from), None, read_before(read, to, from))
            };
            let (held, topic_id) = (Some((held.low, held.high)), now.filter(|_| recreated));
            let (ends, by_itself) = (false, false);
            plan.push(PlannedMove {
                partition,
                from,
                to,
                skipped,
                read_twice,
                held,
                recreated,
                ends,
                by_itself,
                topic_id,
                passed,
            });
        }
        Ok(plan)
    }

    /// Every topic and partition that a request names must be read, and be meant by its scope.
    fn check_parts(
        &self,
        scope: &Scope,
        request: &ResumeRequest,
        statuses: &[PartitionStatus],
    ) -> Result<(), IngestError> {
        let read = statuses.iter().filter(|status| status.open_segment.is_some());
        let read: BTreeSet<&StreamPartition> = read.map(|status| &status.partition).collect();
        for (topic, number) in request.parts.keys() {
            let path = number.map_or_else(|| format!("consumeFrom.{topic}"), |n| format!("consumeFrom.{topic}.{n}"));
            let of_topic = |partition: &&&StreamPartition| {
                partition.topic == *topic && number.is_none_or(|number| number == partition.partition)
            };
            let Some(found) = read.iter().find(of_topic) else {
                let reason = "is not read by this table".to_owned();
                return Err(IngestError::Setting { path, reason });
            };
            let meant = StreamPartition { topic: topic.clone(), partition: number.unwrap_or(found.partition) };
            if number.is_some() && !scope.covers(&meant) {
                let reason = "is not meant by topic and partition of the request".to_owned();
                return Err(IngestError::Setting { path, reason });
            }
        }
        Ok(())
    }

    /// The offset that is meant, which the log must hold, and what the log holds.
    async fn target(
        &self,
        feed: &Feed,
        partition: &StreamPartition,
        from: NextOffset,
        wanted: &ConsumeFrom,
    ) -> Result<(NextOffset, Watermarks), IngestError> {
        let held = feed.source.watermarks(partition.partition).await.map_err(|source| feed.error(source))?;
        let to = match wanted {
            ConsumeFrom::LastConsumed => from,
            ConsumeFrom::Ahead(offsets) => NextOffset::new(from.number().saturating_add(*offsets)),
            ConsumeFrom::At(at) => {
                let now_ms = self.context().deps.clock.wall_ms();
                feed.source.resolve(partition.partition, at, now_ms).await.map_err(|source| feed.error(source))?
            }
        };
        if to < held.low || to > held.high {
            let path = format!("consumeFrom of {partition}");
            let reason = format!("offset {to} is not in the log, which holds [{}, {})", held.low, held.high);
            return Err(IngestError::Setting { path, reason });
        }
        Ok((to, held))
    }

    /// Makes the moves, one after the other; each says where reading had really come to. What fails is named together with
    /// what was moved before it.
    pub(crate) async fn move_all(
        &self,
        plan: &mut [PlannedMove],
        request: &ResumeRequest,
        who: &str,
    ) -> Result<(), IngestError> {
        let handles: BTreeMap<StreamPartition, PipelineHandle> =
            self.handles().into_iter().map(|handle| (handle.status.get().partition, handle)).collect();
        let mut done: Vec<String> = vec![];
        for planned in plan.iter_mut().filter(|planned| planned.moves()) {
            if planned.ends {
                if let Some(handle) = handles.get(&planned.partition) {
                    handle.send(Command::End("its topic does not have it any more".into())).await;
                }
                continue;
            }
            let order = MoveOrder {
                to: planned.to,
                planned_from: planned.from,
                allow_duplicates: request.allow_duplicates,
                fresh: planned.read_twice == 0,
                recreated: planned.recreated,
                topic_id: planned.topic_id.clone(),
                passed: planned.passed,
                who: who.to_owned(),
                comment: request.comment.clone(),
            };
            let (answer, answered) = oneshot::channel();
            let told = match handles.get(&planned.partition) {
                Some(handle) => handle.send(Command::Move(order, answer)).await,
                None => false,
            };
            let moved = match answered.await {
                Ok(moved) if told => moved,
                _ => Err("it is being started again: try again".to_owned()),
            };
            match moved {
                Ok((from, to)) => {
                    if !planned.recreated {
                        planned.skipped = to.since(from);
                    }
                    (planned.from, planned.to) = (from, to);
                    done.push(planned.partition.to_string());
                }
                Err(reason) => {
                    let before = if done.is_empty() { "nothing".to_owned() } else { done.join(", ") };
                    let what = format!("{} was not moved: {reason}; {before} was moved before", planned.partition);
                    return Err(IngestError::Refused { what });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_is_counted_once() {
        let range = |start, end| OffsetRange::try_new(NextOffset::new(start), NextOffset::new(end)).unwrap();
        let count = |read: &[(u64, u64)], to, from| {
            let read = read.iter().map(|(start, end)| range(*start, *end)).collect();
            read_before(read, NextOffset::new(to), NextOffset::new(from))
        };
        assert_eq!(count(&[(0, 10), (10, 20)], 5, 20), 15);
        assert_eq!(count(&[(0, 10), (20, 30)], 5, 30), 15, "what was skipped was not read");
        assert_eq!(count(&[(0, 30), (5, 20)], 0, 30), 30, "what was read twice is counted once");
        assert_eq!(count(&[(100, 120)], 0, 120), 20, "nor what lay before the first offset");
        assert_eq!(count(&[(0, 10)], 10, 20), 0);
        assert_eq!(count(&[(0, 10)], 20, 10), 0, "forward");
    }
}
