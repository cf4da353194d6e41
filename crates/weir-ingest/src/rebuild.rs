//! Reads a fixed range again, with a reader of its own beside the successor's.
//!
//! For a segment between the two transactions whose rows died with the process and whose file was not finished. What its
//! checkpoint holds is taken from there; of the rest, exactly the offsets of the range are read. What the stream no longer
//! holds is said in the log and on the record.

use crate::{
    pipeline::{consuming_spec, record_path},
    prepare::Prepared,
    quarantine::Entry,
    sealer::SealJob,
};
use std::sync::Arc;
use weir_control::{Move, SegmentState, TableRecord};
use weir_segment::{ConsumingSegment, Segment};
use weir_streams::{FetchLimit, Messages, StreamError};
use weir_types::{Accounting, ErrorPolicy, NextOffset, OffsetRange, Skip, SkipReason};

/// Reading again has no reader waiting for freshness: larger steps than the pipeline's, still a bounded share of memory.
const FETCH: FetchLimit = FetchLimit { max_messages: 16_384, max_bytes: 16 << 20 };

/// The rows of the job's range, and their counts: as they are with the settings of today.
pub(crate) async fn read_again(job: &SealJob) -> Result<(Arc<dyn Segment>, Accounting), String> {
    let SegmentState::Committing { range, seal } = &job.record.state else {
        return Err(format!("segment {} is not committing", job.record.name));
    };
    let record = job.table.record.load_full();
    let mut path = record_path(&job.table, &record, &job.stream, &job.record, range.start())?;
    let name: Arc<str> = job.record.name.to_string().into();
    let kept = job.table.checkpoints.restore(&record, &job.record, range.start(), Some(range.end())).await;
    let (mut segment, mut counts, mut next) = match kept {
        Some(kept) => (kept.segment, kept.counts, kept.next),
        None => {
            let spec = consuming_spec(&name, job.record.created_ms, &record.spec, &record.schema);
            (ConsumingSegment::new(spec), Accounting::default(), range.start())
        }
    };
    let partition = job.record.partition.partition;
    if next < range.end() && another_log(job).await? {
        next = lose(job, next, range.end(), SkipReason::Recreated, &mut counts).await?;
    }
    'reading: while next < range.end() {
        let mut reader = match job.source.open(partition, next).await {
            Ok(reader) => reader,
            Err(error) => {
                next = passed_over(job, error, next, range.end(), &mut counts).await?;
                continue;
            }
        };
        while next < range.end() {
            let batch = match reader.next_batch(FETCH).await {
                Ok(batch) => batch,
                Err(error) => {
                    next = passed_over(job, error, next, range.end(), &mut counts).await?;
                    continue 'reading;
                }
            };
            let messages = &*batch.messages;
            let inside = (0..messages.len()).take_while(|at| messages.offset(*at) < range.end()).count();
            path.ready(messages, 0, inside).await?;
            let mut at = 0;
            while at < inside {
                let prepared = path.prepare(messages, at, inside);
                segment.append(&prepared.rows, &|message| messages.offset(message as usize));
                keep_rejects(job, &record, messages, &prepared)?;
                counts.add(&prepared.counts);
                at = prepared.to;
            }
            let reached = batch.range.end().min(range.end());
            counts.gaps += reached.since(next).saturating_sub(inside as u64);
            next = reached;
        }
    }
    // For good: the range is committed without what was rejected. Nothing to do where nothing was.
    let quarantine = job.table.quarantine.clone();
    let synced = job.table.deps.options.heavy.run(move || quarantine.sync()).await;
    synced.map_err(|error| format!("quarantine cannot be synced: {error}"))?;
    if counts != seal.accounting {
        tracing::warn!(
            segment = &*name,
            before = ?seal.accounting,
            now = ?counts,
            "a range read again does not give the counts it gave before"
        );
    }
    Ok((segment.freeze().snapshot(), counts))
}

/// Records that were rows before and are none with the settings of today go to quarantine.
fn keep_rejects(
    job: &SealJob,
    record: &TableRecord,
    messages: &dyn Messages,
    prepared: &Prepared,
) -> Result<(), String> {
    let rejects = &prepared.rejects;
    if rejects.is_empty() || record.spec.error_policy == ErrorPolicy::Drop {
        return Ok(());
    }
    let (table, partition) = (&job.table, &job.record.partition);
    let of = (partition.clone(), table.replays.reading(partition, job.record.name.sequence));
    let time_ms = table.deps.clock.wall_ms();
    let entries = rejects.iter().map(|reject| Entry::new(&of, &prepared.asked, messages, reject, time_ms));
    table.quarantine.add(entries).map_err(|error| format!("quarantine cannot be written: {error}"))
}

/// Whether the topic was made anew since the range was read: its offsets mean other messages now.
async fn another_log(job: &SealJob) -> Result<bool, String> {
    let (store, record) = (&job.table.deps.store, job.table.record.load_full());
    let (partition, sequence) = (&job.record.partition, job.record.name.sequence);
    let anew =
        |step: &Move| step.partition == *partition && step.before > sequence && step.reason == SkipReason::Recreated;
    let moves = store.moves(&record).await.map_err(|error| error.to_string())?;
    if moves.iter().any(anew) {
        return Ok(true);
    }
    let known = store.topic_ids(&record).await.map_err(|error| error.to_string())?;
    let now = job.source.topic_id().await.map_err(|error| error.to_string())?;
    Ok(now.is_some_and(|now| known.get(partition).is_some_and(|known| *known != now)))
}

/// What the stream no longer holds of the range is a recorded skip; any other error is for a later attempt.
async fn passed_over(
    job: &SealJob,
    error: StreamError,
    next: NextOffset,
    end: NextOffset,
    counts: &mut Accounting,
) -> Result<NextOffset, String> {
    let there_again = match &error {
        StreamError::OutOfRange { held, .. } => held.low,
        StreamError::Lost { lost, .. } => lost.end(),
        _ => return Err(error.to_string()),
    };
    if there_again <= next {
        return Err(error.to_string());
    }
    lose(job, next, there_again.min(end), SkipReason::Retention, counts).await
}

/// Says on the record that offsets of the range are lost.
async fn lose(
    job: &SealJob,
    next: NextOffset,
    to: NextOffset,
    reason: SkipReason,
    counts: &mut Accounting,
) -> Result<NextOffset, String> {
    let range = OffsetRange::try_new(next, to).map_err(|error| error.to_string())?;
    let at_ms = job.table.deps.clock.wall_ms();
    let skip = Skip { range, reason, at_ms };
    let record = job.table.record.load_full();
    let (partition, sequence) = (&job.record.partition, job.record.name.sequence);
    let recorded = job.table.deps.store.record_loss(&record, partition, sequence, skip).await;
    recorded.map_err(|error| format!("loss cannot be recorded: {error}"))?;
    tracing::error!(
        segment = %job.record.name,
        from = %range.start(),
        to = %range.end(),
        "rows of a segment that was not committed yet are lost: the stream no longer holds them"
    );
    counts.skipped += range.span();
    Ok(to)
}
