//! From entries of the quarantine to rows: the way of every record, with the table's settings as they are now.

use crate::{
    deps::Seats,
    pipeline::{consuming_spec, settings_decoder},
    prepare::RecordPath,
    quarantine::{Entry, REPLAY, Reading},
    recorded::Times,
    sealer::build_spec,
};
use std::{collections::BTreeMap, sync::Arc};
use weir_control::{TableRecord, index_settings};
use weir_formats::schema_registry::SchemaRegistry;
use weir_segment::{BuiltSegment, ConsumingSegment, build};
use weir_streams::Messages;
use weir_types::{ColumnName, NextOffset, SegmentName, StreamPartition, StreamSpec};

/// What became of some entries.
pub(super) struct Made {
    /// One per reading of a partition that had something to replay.
    pub(super) parts: Vec<MadePart>,
    /// Entries that fail again, with their new stage, column and reason.
    pub(super) failed: Vec<Entry>,
}

/// The entries of one reading that are good now.
pub(super) struct MadePart {
    pub(super) partition: StreamPartition,
    pub(super) reading: u32,
    pub(super) offsets: Vec<NextOffset>,
    pub(super) altered: u64,
    /// Name, file and times of the rows, where there are any.
    pub(super) segment: Option<MadeSegment>,
}

pub(super) struct MadeSegment {
    pub(super) name: Arc<str>,
    pub(super) built: BuiltSegment,
    pub(super) times: Times,
    /// The table's index settings that it was built with.
    pub(super) settings: u64,
}

/// What entries are replayed with.
pub(super) struct Maker {
    pub(super) record: Arc<TableRecord>,
    pub(super) number: u64,
    pub(super) now_ms: i64,
    pub(super) seats: Seats,
    /// The stream of each partition whose rows are seen here.
    pub(super) streams: BTreeMap<StreamPartition, StreamSpec>,
}

impl Maker {
    /// Asks for the schemas that entries need; what was said is kept by what is returned.
    ///
    /// # Errors
    /// A registry that does not answer.
    pub(super) async fn ready(&self, entries: &[Entry]) -> Result<Vec<Arc<SchemaRegistry>>, String> {
        let mut asked = vec![];
        for of_partition in entries.chunk_by(|a, b| a.partition == b.partition) {
            let partition = &of_partition[0].partition;
            if let Some(stream) = self.streams.get(partition) {
                let mut decoder = settings_decoder(&self.record, stream, partition.partition, self.now_ms)?;
                asked.extend(decoder.ready(&Kept(of_partition), 0, of_partition.len()).await?);
            }
        }
        Ok(asked)
    }

    /// Runs entries (by topic, partition, reading and offset) through the table's way and builds a segment per reading.
    ///
    /// # Errors
    /// A segment that cannot be built.
    pub(super) fn make(&self, entries: Vec<Entry>) -> Result<Made, String> {
        let mut made = Made { parts: vec![], failed: vec![] };
        let mut rest = entries.into_iter().peekable();
        while let Some(first) = rest.next() {
            let reading = (first.partition.clone(), first.reading);
            let mut of_reading = vec![first];
            while let Some(entry) = rest.next_if(|entry| entry.partition == reading.0 && entry.reading == reading.1) {
                of_reading.push(entry);
            }
            let position = u32::try_from(made.parts.len()).unwrap_or(u32::MAX);
            if let Some(part) = self.part(&reading, position, of_reading, &mut made.failed)? {
                made.parts.push(part);
            }
        }
        Ok(made)
    }

    fn part(
        &self,
        (partition, reading): &Reading,
        position: u32,
        entries: Vec<Entry>,
        failed: &mut Vec<Entry>,
    ) -> Result<Option<MadePart>, String> {
        let (entries, cut): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(Entry::is_whole);
        failed.extend(cut.into_iter().map(|entry| {
            let kept = entry.payload.len();
            let reason = format!(
                "only {kept} of its {} bytes are in quarantine, so it cannot be replayed: write it to the topic again",
                entry.value_bytes
            );
            Entry { stage: REPLAY.into(), column: String::new(), reason, ..entry }
        }));
        let Some(stream) = self.streams.get(partition) else {
            failed.extend(entries.into_iter().map(|entry| {
                let reason = format!("the table does not read {partition} any more: add its topic to the table again");
                Entry { stage: REPLAY.into(), column: String::new(), reason, ..entry }
            }));
            return Ok(None);
        };
        let name = segment_name(&self.record, self.record.group(partition), self.now_ms, self.number, position);
        let decoder = settings_decoder(&self.record, stream, partition.partition, self.now_ms)?;
        let mut path = RecordPath::new(decoder, self.seats.keys(&self.record, partition));
        let spec = consuming_spec(&name, self.now_ms, &self.record.spec, &self.record.schema);
        let mut segment = ConsumingSegment::new(spec);
        let batch = Kept(&entries);
        path.ready_as_said(&batch, 0, entries.len());
        let (mut at, mut rejects, mut altered) = (0, vec![], 0);
        while at < entries.len() {
            let prepared = path.prepare(&batch, at, entries.len());
            if prepared.rows.rows() > 0 {
                segment.append(&prepared.rows, &|message| entries[message as usize].offset);
            }
            at = prepared.to;
            altered += prepared.counts.altered;
            rejects.extend(prepared.rejects);
        }
        let mut good: Vec<bool> = vec![true; entries.len()];
        for reject in rejects {
            let at = reject.message as usize;
            good[at] = false;
            failed.push(Entry {
                stage: reject.stage.as_str().into(),
                column: reject.column.as_deref().unwrap_or_default().into(),
                reason: reject.reason,
                ..entries[at].clone()
            });
        }
        let offsets: Vec<NextOffset> =
            entries.iter().zip(&good).filter(|(_, good)| **good).map(|(entry, _)| entry.offset).collect();
        if offsets.is_empty() {
            return Ok(None);
        }
        let rows = segment.rows();
        let segment = match rows {
            0 => None,
            _ => Some(self.build(name, segment)?),
        };
        Ok(Some(MadePart { partition: partition.clone(), reading: *reading, offsets, altered, segment }))
    }

    fn build(&self, name: Arc<str>, segment: ConsumingSegment) -> Result<MadeSegment, String> {
        let spec = build_spec(&self.record, &name);
        let built = build(&*segment.freeze().snapshot(), &spec);
        let built = built.map_err(|error| format!("could not build segment {name}: {error}"))?;
        for failure in &built.index_failures {
            tracing::error!(segment = &*name, failure, "an index could not be built; the segment is sealed without it");
        }
        let stats = |column: &ColumnName| {
            let found = built.columns.iter().find(|(name, ..)| name == column);
            found.map(|(_, min, max)| (min.clone(), max.clone()))
        };
        let times = Times::of(&self.record, &stats);
        Ok(MadeSegment { name, built, times, settings: index_settings(&self.record.spec.indexes) })
    }
}

/// `replay__{table}__{partition}__{time}__{number}-{part}`: Pinot's form for segments of a realtime table that come from no
/// consumption.
fn segment_name(record: &TableRecord, group: u32, now_ms: i64, number: u64, part: u32) -> Arc<str> {
    let stamp = SegmentName::new(record.spec.name.clone(), group, 0, now_ms).created;
    format!("replay__{}__{group}__{stamp}__{number}-{part}", record.spec.name).into()
}

/// Entries as a stream gives messages. Of headers, those that a column was filled from are kept.
struct Kept<'a>(&'a [Entry]);

impl Messages for Kept<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        self.0[at].offset
    }

    fn timestamp_ms(&self, at: usize) -> Option<i64> {
        self.0[at].stream_time_ms
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.0[at].key.as_deref()
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        Some(&self.0[at].payload)
    }

    fn header(&self, at: usize, name: &str) -> Option<&[u8]> {
        self.0[at].headers.iter().find(|(kept, _)| **kept == *name).map(|(_, value)| value.as_slice())
    }
}
