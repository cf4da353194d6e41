//! What would become of the newest records of a table's streams, without a table: each goes the way that it would go, and
//! nothing is stored.

use crate::{
    deps::IngestDeps,
    error::IngestError,
    feeds::{Feed, feeds},
    pipeline::settings_decoder,
    prepare::{RecordDecoder, Told},
};
use futures::{StreamExt, TryStreamExt};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use weir_control::{NewTable, TableRecord};
use weir_formats::{Stage, stages::Cut};
use weir_streams::{FetchLimit, Messages, Watermarks};
use weir_types::{Column, NextOffset, StartAt, StreamPartition};

/// Records that are tried at most: people read them.
pub const TRIED_MOST: usize = 1_000;

/// Partitions that are asked at once: each has a reader.
const AT_ONCE: usize = 4;

/// How long the records of a partition are waited for.
const WAIT: Duration = Duration::from_secs(5);

/// How far back a stream is read whose offsets cannot be counted back.
const LOOK_BACK: Duration = Duration::from_secs(3600);

/// Bytes of one fetch.
const FETCH_BYTES: usize = 4 << 20;

/// A record, and what would become of it.
#[derive(Debug)]
pub struct Tried {
    /// Where it stands.
    pub partition: StreamPartition,
    /// Its offset.
    pub offset: NextOffset,
    /// The stream's time, milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Its key's bytes.
    pub key: Option<Vec<u8>>,
    /// Its value's bytes.
    pub value: Option<Vec<u8>>,
    /// What would become of it.
    pub fate: Fate,
}

/// Why a good record gives no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The message holds no record.
    Empty,
    /// The filter says so, or its array has no element.
    ByFilter,
    /// Its rows belong to another partition.
    Elsewhere,
}

impl Dropped {
    fn of(told: &Told) -> Self {
        match told {
            Told { elsewhere: 1.., .. } => Self::Elsewhere,
            Told { dropped: 1.., .. } => Self::ByFilter,
            Told { .. } => Self::Empty,
        }
    }

    /// The stage, as those of rejects are written.
    #[must_use]
    pub fn stage(self) -> &'static str {
        match self {
            Self::Empty => "DECODE",
            Self::ByFilter => "FILTER",
            Self::Elsewhere => "PARTITION",
        }
    }

    /// Why, for people.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "the message holds no record",
            Self::ByFilter => "filterFunction is true for it, or fieldsToUnnest finds no element",
            Self::Elsewhere => "its rows belong to another partition (dropRecordOnPartitionMismatch)",
        }
    }
}

/// What would become of a record.
#[derive(Debug)]
pub enum Fate {
    /// Rows: each column in the order of the schema.
    Rows {
        /// The columns, all of the same length.
        columns: Vec<Column>,
        /// A value was altered, or is null because it could not be read.
        altered: bool,
        /// Columns with values that are longer than they allow.
        cuts: Vec<Cut>,
    },
    /// It would be dropped, for this reason.
    Filtered(Dropped),
    /// It has no value.
    Tombstone,
    /// It would go to quarantine.
    Rejected {
        /// Where.
        stage: Stage,
        /// The column concerned.
        column: Option<Arc<str>>,
        /// Why.
        reason: String,
    },
}

/// Tries the newest `records` of a table's streams: as many of each partition, where it has them.
///
/// # Errors
/// A stream does not answer as the settings say.
pub(crate) async fn dry_run(deps: &IngestDeps, new: &NewTable, records: usize) -> Result<Vec<Tried>, IngestError> {
    let table = new.draft();
    let feeds = feeds(deps, &table, &crate::feeds::Feeds::new())?;
    let mut places = vec![];
    for feed in feeds.values() {
        let found = feed.wanted().await.map_err(|source| feed.error(source));
        let partitions = match found {
            Ok(partitions) => partitions,
            Err(error) => return Err(feed.looked_into(error).await),
        };
        places.extend(partitions.into_iter().map(|partition| (feed.clone(), partition)));
    }
    let marks = places.iter().map(|(feed, partition)| async move {
        feed.source.watermarks(*partition).await.map_err(|source| feed.error(source))
    });
    let marks: Vec<_> = marks.collect();
    let marks: Vec<Watermarks> = futures::stream::iter(marks).buffered(AT_ONCE).try_collect().await?;
    let held = places.iter().zip(&marks).map(|((feed, _), held)| match feed.source.dense() {
        true => held.high.since(held.low),
        // How many there are nobody says.
        false => u64::MAX,
    });
    let each = share(records.min(TRIED_MOST), held.collect());
    let trying = places.into_iter().zip(marks).map(|((feed, partition), held)| {
        let table = &table;
        async move { newest(deps, table, &feed, partition, (held, each)).await }
    });
    let trying: Vec<_> = trying.collect();
    let mut tried = vec![];
    let mut found = futures::stream::iter(trying).buffered(AT_ONCE);
    while let Some(of_partition) = found.next().await {
        tried.extend(of_partition?);
    }
    // One more of each partition than is asked for in all: the oldest are left out.
    let mut order: Vec<usize> = (0..tried.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse((tried[*at].timestamp_ms, tried[*at].offset)));
    let kept: BTreeSet<usize> = order.into_iter().take(records).collect();
    Ok(tried.into_iter().enumerate().filter_map(|(at, one)| kept.contains(&at).then_some(one)).collect())
}

/// How many are read of each partition at most, so that `wanted` come together, or all there are.
fn share(wanted: usize, mut held: Vec<u64>) -> usize {
    held.sort_unstable();
    let mut left = wanted as u64;
    for (at, held_here) in held.iter().enumerate() {
        let each = left.div_ceil((held.len() - at) as u64);
        if *held_here >= each {
            return usize::try_from(each).unwrap_or(wanted);
        }
        left -= held_here;
    }
    wanted
}

/// The fates of the newest records of a partition.
async fn newest(
    deps: &IngestDeps,
    table: &TableRecord,
    feed: &Feed,
    partition: u32,
    (held, records): (Watermarks, usize),
) -> Result<Vec<Tried>, IngestError> {
    let now_ms = deps.clock.wall_ms();
    let place = StreamPartition { topic: feed.spec.topic.clone(), partition };
    let mut decoder = settings_decoder(table, &feed.spec, partition, now_ms).map_err(|reason| feed.setting(reason))?;
    let from = if feed.source.dense() {
        let back = held.high.number().saturating_sub(records as u64);
        NextOffset::new(back.max(held.low.number()))
    } else {
        let back = feed.source.resolve(partition, &StartAt::Ago(LOOK_BACK), now_ms).await;
        back.map_err(|source| feed.error(source))?
    };
    let mut reader = feed.source.open(partition, from).await.map_err(|source| feed.error(source))?;
    let limit = FetchLimit { max_messages: TRIED_MOST, max_bytes: FETCH_BYTES };
    let mut tried: Vec<Tried> = vec![];
    let reading = async {
        loop {
            let batch = reader.next_batch(limit).await.map_err(|source| feed.error(source))?;
            let moved = !batch.range.is_empty();
            decoder.ready(&*batch.messages, 0, batch.messages.len()).await.map_err(|reason| feed.setting(reason))?;
            tried.extend(fates(&mut decoder, &*batch.messages, &place));
            // Only the newest are asked for.
            let older = tried.len().saturating_sub(records);
            tried.drain(..older);
            if !moved || batch.range.end() >= held.high {
                return Ok::<(), IngestError>(());
            }
        }
    };
    tokio::select! {
        biased;
        read = reading => read?,
        () = deps.clock.sleep(WAIT) => {}
    }
    Ok(tried)
}

/// The fate of each message.
pub(crate) fn fates<'a>(
    decoder: &'a mut RecordDecoder,
    messages: &'a dyn Messages,
    partition: &'a StreamPartition,
) -> impl Iterator<Item = Tried> + 'a {
    (0..messages.len()).map(move |at| {
        let mut prepared = decoder.decode(messages, at, at + 1);
        let fate = match prepared.rejects.pop() {
            Some(reject) => Fate::Rejected { stage: reject.stage, column: reject.column, reason: reject.reason },
            None if prepared.counts.tombstones > 0 => Fate::Tombstone,
            None if prepared.rows.rows() == 0 => Fate::Filtered(Dropped::of(&prepared.told)),
            None => Fate::Rows {
                columns: prepared.rows.columns,
                altered: prepared.counts.altered > 0,
                cuts: prepared.told.cuts,
            },
        };
        Tried {
            partition: partition.clone(),
            offset: messages.offset(at),
            timestamp_ms: messages.timestamp_ms(at),
            key: messages.key(at).map(<[u8]>::to_vec),
            value: messages.value(at).map(<[u8]>::to_vec),
            fate,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn what_some_partitions_lack_others_give() {
        for (wanted, held, each) in [
            (20, vec![60, 0], 20),
            (20, vec![0, 30, 0, 0], 20),
            (3, vec![200, 197], 2),
            (100, vec![0, 0, 100, 0, 0, 0, 0, 0], 100),
            (10, vec![1, 2, 100], 7),
            (10, vec![1, 2], 10),
            (10, vec![u64::MAX, u64::MAX], 5),
            (10, vec![], 10),
        ] {
            assert_eq!(share(wanted, held.clone()), each, "{wanted} of {held:?}");
        }
    }
}
