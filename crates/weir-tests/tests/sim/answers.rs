//! What a table answers, held against what was produced: at any time, and in the end.

use crate::{
    faults::partition,
    model::{Model, Place, Places},
    shape::Added,
    tally::Tally,
    world::{Alive, PARTITIONS, record, table_name},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use weir_control::{Artifact, SegmentRecord, SegmentState, TableRecord, chain, index_settings};
use weir_ingest::PartitionStatus;
use weir_segment::Segment;
use weir_table::{SegmentView, TableSnapshot};
use weir_types::{Column, NextOffset, OffsetRange, SkipReason};

/// What has been seen so far and must not be seen to go back.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) model: Model,
    places: Places,
    pub(crate) next_id: i64,
    /// Rows, by number, that an answer held that lacked nothing.
    held: Vec<bool>,
    /// How many rows of replays such an answer held.
    replayed: u64,
    /// The oldest offset that the stream holds, by partition.
    pub(crate) lows: BTreeMap<u32, u64>,
    /// From which offset on a partition's rows have a column's values: what was produced once the change was answered.
    valued: BTreeMap<(Added, u32), u64>,
}

/// What is on the record as not there, by partition.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    skipped: BTreeMap<u32, Vec<OffsetRange>>,
    lost: BTreeMap<u32, Vec<OffsetRange>>,
}

/// Committed segments whose files were not made with the table's present settings.
pub(crate) fn behind<'a>(
    table: &TableRecord,
    segments: &'a [SegmentRecord],
) -> impl Iterator<Item = (&'a SegmentRecord, &'a Artifact)> + use<'a> {
    let settings = Some(index_settings(&table.spec.indexes));
    segments.iter().filter_map(move |segment| match &segment.state {
        SegmentState::Done { artifact, .. } if artifact.settings != settings => Some((segment, artifact)),
        _ => None,
    })
}

fn holds(ranges: &BTreeMap<u32, Vec<OffsetRange>>, partition: u32, offset: u64) -> bool {
    ranges.get(&partition).is_some_and(|ranges| ranges.iter().any(|range| range.contains(NextOffset::new(offset))))
}

impl Gone {
    fn covers(&self, partition: u32, offset: u64) -> bool {
        holds(&self.skipped, partition, offset) || holds(&self.lost, partition, offset)
    }

    /// How many offsets of a partition are gone; what was lost may be said more than once.
    fn span(&self, partition: u32) -> u64 {
        let of = |ranges: &BTreeMap<u32, Vec<OffsetRange>>| ranges.get(&partition).cloned().unwrap_or_default();
        let mut ranges = [of(&self.skipped), of(&self.lost)].concat();
        ranges.sort_by_key(|range| range.start());
        let (mut at, mut span) = (NextOffset::ZERO, 0);
        for range in ranges {
            span += range.end().since(range.start().max(at));
            at = at.max(range.end());
        }
        span
    }

    fn is_whole(&self, partition: u32) -> bool {
        !self.skipped.contains_key(&partition) && !self.lost.contains_key(&partition)
    }
}

impl Seen {
    pub(crate) fn low(&self, partition: u32) -> u64 {
        self.lows.get(&partition).copied().unwrap_or(0)
    }

    /// A table with that column was answered for: what is produced from here on has values there.
    pub(crate) fn has_column(&mut self, column: Added) {
        for partition in 0..PARTITIONS {
            self.valued.entry((column, partition)).or_insert(self.model.len(partition));
        }
    }
}

/// What a query that reads all of it sees now: every segment open, and what cannot be opened among the lacks.
pub(crate) async fn snapshot(alive: &Alive) -> Result<TableSnapshot, String> {
    let table = alive.tables.get("events").ok_or("the table is not there")?;
    Ok(table.snapshot().opened().await)
}

/// A segment of such a snapshot.
pub(crate) fn open(view: &SegmentView) -> Arc<dyn Segment> {
    view.segment.at_hand().expect("the snapshot's segments are open")
}

/// Numbers of the rows that are visible, each once and each produced.
fn visible(snapshot: &TableSnapshot, places: &Places) -> Result<Vec<bool>, String> {
    let mut found = vec![];
    for view in &snapshot.segments {
        for id in longs(&*open(view), "id") {
            let Some(place) = places.get(id) else { return Err(format!("row {id} is visible and was not produced")) };
            let at = id as usize;
            if found.len() <= at {
                found.resize(at + 1, false);
            }
            if std::mem::replace(&mut found[at], true) {
                let holders = snapshot.segments.iter().filter(|view| longs(&*open(view), "id").contains(&id));
                let holders: Vec<&str> = holders.map(|view| &*view.segment.meta().name).collect();
                let kind = if place.odd { "odd row" } else { "row" };
                return Err(format!("{kind} {id} is visible twice: in {holders:?}"));
            }
        }
    }
    Ok(found)
}

fn is_set(flags: &[bool], id: i64) -> bool {
    usize::try_from(id).is_ok_and(|at| flags.get(at).copied().unwrap_or(false))
}

/// An answer that says nothing of lacks never lacks what one before held, but what the stream dropped before it was fixed.
/// Gives the rows that are visible.
pub(crate) async fn see(alive: &Alive, seen: &mut Seen) -> Result<Vec<bool>, String> {
    let snapshot = snapshot(alive).await?;
    seen.places.follow(&seen.model);
    let visible = visible(&snapshot, &seen.places)?;
    if !snapshot.lacks.is_empty() {
        return Ok(visible);
    }
    let replays = snapshot.segments.iter().filter(|view| view.segment.meta().name.starts_with("replay__"));
    let replayed = replays.map(|view| u64::from(view.segment.meta().rows)).sum();
    if replayed < seen.replayed {
        let before = seen.replayed;
        return Err(format!("{replayed} rows of replays are visible without a word, {before} were before"));
    }
    seen.replayed = replayed;
    // A row that is odd and not fixed yet may go with the settings, and is in quarantine then.
    for (id, place) in seen.places.all().filter(|(id, place)| !place.odd && is_set(&seen.held, *id)) {
        if !is_set(&visible, id) && place.offset >= seen.low(place.partition) {
            return Err(format!(
                "row {id} at {}/{} was visible and is not, without a word",
                place.partition, place.offset
            ));
        }
    }
    seen.held.clone_from(&visible);
    Ok(visible)
}

/// What is on the record as passed over or lost: only what the stream had dropped.
pub(crate) async fn gone(alive: &Alive, seen: &Seen) -> Result<Gone, String> {
    let record = record(alive).await.ok_or("the record is gone")?;
    let moves = alive.catalog.moves(&record).await.map_err(|error| error.to_string())?;
    let losses = alive.catalog.losses(&record).await.map_err(|error| error.to_string())?;
    let mut gone = Gone::default();
    for step in moves {
        let skip = step.skip().ok_or_else(|| format!("{step:?} goes back"))?;
        let of = gone.skipped.entry(step.partition.partition).or_default();
        if of.iter().any(|range| range.end() > skip.range.start()) || skip.reason != SkipReason::Retention {
            return Err(format!("{skip:?} of {} is on the record beside {of:?}", step.partition));
        }
        of.push(skip.range);
    }
    for (partition, loss) in losses {
        if loss.reason != SkipReason::Retention {
            return Err(format!("{loss:?} of {partition} is on the record"));
        }
        gone.lost.entry(partition.partition).or_default().push(loss.range);
    }
    for (partition, ranges) in gone.skipped.iter().chain(&gone.lost) {
        if let Some(range) = ranges.iter().find(|range| range.end().number() > seen.low(*partition)) {
            let low = seen.low(*partition);
            return Err(format!("{range} of {partition} is on the record as gone, the stream holds all from {low} on"));
        }
    }
    Ok(gone)
}

/// How many rows are neither visible nor on the record as gone.
pub(crate) fn missing(seen: &Seen, visible: &[bool], gone: &Gone) -> usize {
    let missing = |(id, place): &(i64, Place)| !is_set(visible, *id) && !gone.covers(place.partition, place.offset);
    seen.places.all().filter(missing).count()
}

pub(crate) fn caught_up(alive: &Alive, seen: &Seen) -> bool {
    let partitions = alive.node.all_partitions();
    partitions.iter().all(|status| status.next.number() == seen.model.len(status.partition.partition))
}

/// With everything read and nothing under way: all that is there is right, all that is not is on the record.
pub(crate) async fn check(alive: &Alive, seen: &Seen) -> Result<(), String> {
    count(alive, seen, &mut Tally::default()).await
}

/// The same, counting what was met.
pub(crate) async fn count(alive: &Alive, seen: &Seen, tally: &mut Tally) -> Result<(), String> {
    let (snapshot, gone) = (snapshot(alive).await?, gone(alive, seen).await?);
    let mut places = Places::default();
    places.follow(&seen.model);
    let visible = visible(&snapshot, &places)?;
    for (id, place) in places.all() {
        let (there, skipped) = (is_set(&visible, id), gone.covers(place.partition, place.offset));
        if !there && !skipped {
            return Err(format!("row {id} at {}/{} is lost", place.partition, place.offset));
        }
        // An odd one may have been rejected when it was read first, and replayed.
        if there && skipped && !place.odd {
            return Err(format!("row {id} at {}/{} is there and on the record as gone", place.partition, place.offset));
        }
    }
    for view in &snapshot.segments {
        check_values(&*open(view), seen, &places, tally)?;
    }
    let record = record(alive).await.ok_or("the record is gone")?;
    let segments = alive.catalog.segments(&record).await.map_err(|error| error.to_string())?;
    let moves = alive.catalog.moves(&record).await.map_err(|error| error.to_string())?;
    for number in 0..PARTITIONS {
        let of = partition(number);
        let segments: Vec<SegmentRecord> = segments.iter().filter(|segment| segment.partition == of).cloned().collect();
        let moves: Vec<_> = moves.iter().filter(|step| step.partition == of).cloned().collect();
        chain(&segments, &[], &moves).map_err(|error| format!("{of}: {error}"))?;
    }
    let mut rows = 0;
    for status in alive.node.all_partitions() {
        check_counts(&status, seen, &gone)?;
        rows += status.accounting.rows;
    }
    let found = visible.iter().filter(|there| **there).count() as u64;
    if rows != found {
        return Err(format!("{rows} rows are counted, {found} are visible"));
    }
    check_quarantine(alive, seen, &gone, tally)?;
    tally.hit_times("offsets skipped, on the record", gone.skipped.values().map(|ranges| ranges.len() as u64).sum());
    let lost = gone.lost.values().map(|ranges| ranges.len() as u64).sum();
    tally.hit_times("offsets of a fixed range lost, on the record", lost);
    Ok(())
}

/// Every value is the message's; of a column that came later it may be the default, in rows that were read before.
fn check_values(segment: &dyn Segment, seen: &Seen, places: &Places, tally: &mut Tally) -> Result<(), String> {
    let ids = longs(segment, "id");
    for (id, amount) in ids.iter().zip(longs(segment, "amount")) {
        let wanted = places.get(*id).map(|place| place.amount);
        if wanted != Some(amount) {
            return Err(format!("row {id} has amount {amount}, not {wanted:?}"));
        }
    }
    let columns: BTreeSet<Added> = seen.valued.keys().map(|(column, _)| *column).collect();
    for column in columns {
        for (id, value) in ids.iter().zip(column.read(segment)) {
            let Some(place) = places.get(*id) else { continue };
            let before = seen.valued.get(&(column, place.partition)).is_none_or(|from| place.offset < *from);
            if before && value == column.default() {
                tally.hit("row read before its column came");
            } else if value != column.value(*id) {
                let (name, at, from) =
                    (segment.meta().name.clone(), place.offset, seen.valued.get(&(column, place.partition)));
                return Err(format!(
                    "row {id} at {}/{at} has {column:?} {value} in {name}, with values from {from:?} on",
                    place.partition
                ));
            }
        }
    }
    Ok(())
}

/// The counts of a partition explain its log.
fn check_counts(status: &PartitionStatus, seen: &Seen, gone: &Gone) -> Result<(), String> {
    let (number, counts) = (status.partition.partition, status.accounting);
    let (messages, skipped) = (seen.model.len(number), gone.span(number));
    let span = status.next.since(status.start);
    let dense = status.start == NextOffset::ZERO && span == messages && counts.gaps == 0;
    if !dense || !counts.explains(span) || counts.skipped != skipped || counts.fetched != messages - skipped {
        return Err(format!(
            "counts of {} do not explain {messages} messages, {skipped} skipped, from {}: {counts:?}",
            status.partition, status.start
        ));
    }
    if gone.is_whole(number) {
        let rows = seen.model.of(number).filter(|(_, produced)| produced.row().is_some()).count() as u64;
        let broken = seen.model.broken(number).len() as u64;
        let (found, rejected) = (counts.stored + counts.replayed, counts.rejected);
        if (found, rejected, counts.tombstones) != (rows, broken, messages - rows - broken) {
            return Err(format!("{rows} rows and {broken} broken messages are not counted so: {counts:?}"));
        }
    }
    Ok(())
}

/// Whatever could not become a row is in quarantine, but what was passed over unread.
fn check_quarantine(alive: &Alive, seen: &Seen, gone: &Gone, tally: &mut Tally) -> Result<(), String> {
    let quarantine = alive.node.quarantine(&table_name()).ok_or("no quarantine")?;
    let broken = |all: bool| {
        let of = |number: u32| seen.model.broken(number).into_iter().filter(move |at| all || !gone.covers(number, *at));
        (0..PARTITIONS).map(|number| of(number).count() as u64).sum::<u64>()
    };
    let kept = quarantine.counts().kept;
    tally.hit_times("rejected", kept);
    if !(broken(false)..=broken(true)).contains(&kept) {
        return Err(format!("{kept} messages are in quarantine, of {} to {} broken ones", broken(false), broken(true)));
    }
    Ok(())
}

pub(crate) fn longs(segment: &dyn Segment, column: &str) -> Vec<i64> {
    let Some(info) = segment.column(column) else { return vec![] };
    let mut values = Column::new(info.data_type.stored(), info.single_value);
    segment.read_values(info.at, 0..segment.meta().rows, &mut values);
    match values.data {
        weir_types::ColumnData::Long(values) => values,
        other => panic!("{column} is LONG, not {:?}", other.stored()),
    }
}
