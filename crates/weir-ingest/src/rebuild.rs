//! Reads a fixed range again, with a reader of its own beside the successor's.
//!
//! For a segment between the two transactions whose rows died with the process and whose file was not finished. Exactly
//! the offsets of the range are read; what the stream no longer holds is said in the log and on the record.

use crate::{
    pipeline::{consuming_spec, record_path},
    sealer::SealJob,
};
use std::sync::Arc;
use weir_control::SegmentState;
use weir_segment::{ConsumingSegment, Segment};
use weir_streams::{FetchLimit, StreamError};
use weir_types::{Accounting, NextOffset, OffsetRange, Skip, SkipReason};

/// Reading again has no reader waiting for freshness: larger steps than the pipeline's, still a bounded share of memory.
const FETCH: FetchLimit = FetchLimit { max_messages: 16_384, max_bytes: 16 << 20 };

/// The rows of the job's range.
pub(crate) async fn read_again(job: &SealJob) -> Result<Arc<dyn Segment>, String> {
    let SegmentState::Committing { range, seal } = &job.record.state else {
        return Err(format!("segment {} is not committing", job.record.name));
    };
    let record = job.table.record.load_full();
    let mut path = record_path(&record, &job.stream, job.record.created_ms)?;
    let name: Arc<str> = job.record.name.to_string().into();
    let spec = consuming_spec(&name, job.record.created_ms, &record.spec, &record.schema);
    let mut segment = ConsumingSegment::new(spec);
    let mut counts = Accounting::default();
    let mut next = range.start();
    let partition = job.record.partition.partition;
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
            let prepared = path.prepare(messages, 0, inside);
            segment.append(&prepared.rows, &|message| messages.offset(message as usize));
            let reached = batch.range.end().min(range.end());
            counts.add(&prepared.counts);
            counts.gaps += reached.since(next).saturating_sub(prepared.counts.fetched);
            next = reached;
        }
    }
    if counts != seal.accounting {
        tracing::error!(
            segment = &*name,
            before = ?seal.accounting,
            now = ?counts,
            "a range read again does not give the counts it gave before"
        );
    }
    Ok(segment.freeze().snapshot())
}

/// What the stream no longer holds of the range is a recorded skip; any other error is for a later attempt.
async fn passed_over(
    job: &SealJob,
    error: StreamError,
    next: NextOffset,
    end: NextOffset,
    counts: &mut Accounting,
) -> Result<NextOffset, String> {
    let StreamError::OutOfRange { held, .. } = &error else { return Err(error.to_string()) };
    if held.low <= next {
        return Err(error.to_string());
    }
    let to = held.low.min(end);
    let range = OffsetRange::try_new(next, to).map_err(|error| error.to_string())?;
    let at_ms = job.table.deps.clock.wall_ms();
    let skip = Skip { range, reason: SkipReason::Retention, at_ms };
    let record = job.table.record.load_full();
    let recorded = job.table.deps.store.record_loss(&record, &job.record.partition, skip).await;
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
