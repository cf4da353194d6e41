//! From messages to rows ready to append: decode, then the stages in Pinot's order, then the key stage.
//!
//! Decoding types each value as it is read (stage "data type"), so a table without transforms pays for no stage that it
//! does not use. Derived columns and the filter stand between decode and time check, upsert and dedup will in the key stage.

use crate::message_columns::MessageColumns;
use std::{collections::BTreeSet, sync::Arc};
use weir_formats::{
    Decoder, Payload, Reject, Stage,
    partition::PartitionCheck,
    schema_registry::{Lookup, SchemaId, SchemaRegistry},
    stages,
    transform::Transform,
};
use weir_streams::{Messages, Spoilt};
use weir_types::{Accounting, NextOffset, RowBatch, Schema};

/// Stands between transform and append: it sees every row with its message and may drop rows.
pub trait KeyStage: Send {
    /// Looks at `rows` in order; what it removes it counts into `counts.filtered`.
    fn apply(&mut self, rows: &mut RowBatch, offset_of: &dyn Fn(u32) -> NextOffset, counts: &mut Accounting);
}

/// The key stage of a table without keys.
pub struct NoKeys;

impl KeyStage for NoKeys {
    fn apply(&mut self, _: &mut RowBatch, _: &dyn Fn(u32) -> NextOffset, _: &mut Accounting) {}
}

/// What came of a run of messages. Gaps are the caller's to count: it knows the range.
#[derive(Debug)]
pub struct Prepared {
    /// Rows to append.
    pub rows: RowBatch,
    /// Messages that became no row.
    pub rejects: Vec<Reject>,
    /// The messages accounted for.
    pub counts: Accounting,
    /// One past the last message that it covers: fewer than were asked for where the rows of those are enough for one batch.
    pub to: usize,
    /// Columns and fields that were asked of the messages: what of their headers is kept with a reject.
    pub asked: Arc<Schema>,
    /// What is told to whoever looks at single records.
    pub told: Told,
}

/// What became of values and messages beyond what is counted.
#[derive(Debug, Default)]
pub struct Told {
    /// Columns with values that were longer than they allow.
    pub cuts: Vec<stages::Cut>,
    /// Messages that held no record.
    pub empty: u64,
    /// Messages whose rows the filter dropped, or that had none once their arrays were rows.
    pub dropped: u64,
    /// Messages whose rows belong to another partition.
    pub elsewhere: u64,
}

/// What a table asks of its records, beyond their types.
pub struct RecordRules {
    /// The table's schema.
    pub schema: Arc<Schema>,
    /// How times are checked and what a null time is stored as, where there is a time column.
    pub time: Option<stages::TimeCheck>,
}

/// The part of a record's way that needs no order: runs of messages may be decoded beside each other, each by one of these.
pub struct RecordDecoder {
    decoder: Box<dyn Decoder>,
    rules: RecordRules,
    /// Columns that the message around the value fills, where the schema names any.
    around: Option<MessageColumns>,
    /// Derives columns and drops rows, where the table asks for that.
    transform: Option<Transform>,
    /// Drops rows that belong to another partition, likewise.
    partition: Option<PartitionCheck>,
    /// Messages that were rejected before and stay so.
    settled: BTreeSet<NextOffset>,
}

/// The way of a record from message to row; one per partition.
pub struct RecordPath {
    decoder: RecordDecoder,
    keys: Box<dyn KeyStage>,
}

impl RecordDecoder {
    /// A decoder with what the table asks of its records.
    #[must_use]
    pub fn new(decoder: Box<dyn Decoder>, rules: RecordRules) -> Self {
        Self { decoder, rules, around: None, transform: None, partition: None, settled: BTreeSet::new() }
    }

    /// Columns that the message around the value fills are filled with these.
    #[must_use]
    pub(crate) fn with_message_columns(self, around: Option<MessageColumns>) -> Self {
        Self { around, ..self }
    }

    /// What the decoder gives goes through this.
    #[must_use]
    pub fn with_transform(self, transform: Option<Transform>) -> Self {
        Self { transform, ..self }
    }

    /// Rows that this finds to belong to another partition are dropped.
    #[must_use]
    pub(crate) fn with_partition(self, partition: Option<PartitionCheck>) -> Self {
        Self { partition, ..self }
    }

    /// These messages were rejected before: read again, they are rejected without a second look, whatever the settings
    /// say by now. They are in quarantine or replayed from there; a second reading must not make rows of them too.
    #[must_use]
    pub fn with_settled(self, settled: BTreeSet<NextOffset>) -> Self {
        Self { settled, ..self }
    }

    /// The schema registry of its messages, where they have one.
    pub(crate) fn registry(&self) -> Option<&Arc<SchemaRegistry>> {
        self.decoder.registry()
    }

    /// The schemas that messages `from..to` of a batch need, and the registry to be asked for them.
    fn wants(
        &mut self,
        messages: &dyn Messages,
        from: usize,
        to: usize,
    ) -> Option<(Arc<SchemaRegistry>, Vec<SchemaId>)> {
        let registry = self.decoder.registry()?.clone();
        let spoilt = messages.spoilt();
        let mut payloads = (from..to).filter(|at| of_message(spoilt, *at).is_none()).filter_map(|at| {
            let message = u32::try_from(at).expect("a batch holds far less than 4 G messages");
            Some(Payload { message, value: messages.value(at)?, key: messages.key(at) })
        });
        let wanted = self.decoder.wants(&mut payloads);
        Some((registry, wanted))
    }

    /// Has all that is needed to decode messages `from..to` of a batch: asks their schema registry, if they have one, for the
    /// schemas that are not known yet. The registry that was asked, which keeps what it said as long as it is held.
    ///
    /// # Errors
    /// The registry does not answer: why. Nothing may be decoded before it does, for a record whose schema is not there
    /// would be rejected.
    pub async fn ready(
        &mut self,
        messages: &dyn Messages,
        from: usize,
        to: usize,
    ) -> Result<Option<Arc<SchemaRegistry>>, String> {
        let Some((registry, wanted)) = self.wants(messages, from, to) else { return Ok(None) };
        for id in wanted {
            let said = registry.get(id).await?;
            self.decoder.learn(id, &said);
        }
        Ok(Some(registry))
    }

    /// As [`Self::ready`], with what the registry has said before.
    pub(crate) fn ready_as_said(&mut self, messages: &dyn Messages, from: usize, to: usize) {
        let Some((registry, wanted)) = self.wants(messages, from, to) else { return };
        for id in wanted {
            let said = registry.said(id);
            self.decoder.learn(id, &said.unwrap_or_else(|| Lookup::Missing(format!("schema {id} was not asked for"))));
        }
    }

    /// Turns messages `from..to` of a batch, or as many of them as are enough for one batch of rows, into rows and rejects.
    /// The rows have not been seen by the key stage, and are not counted.
    pub fn decode(&mut self, messages: &dyn Messages, from: usize, to: usize) -> Prepared {
        let mut counts = Accounting { fetched: (to - from) as u64, ..Accounting::default() };
        let asked = self.transform.as_ref().map_or_else(|| self.rules.schema.clone(), Transform::decodes);
        let mut rows = RowBatch::new(&asked);
        if self.settled.last().is_some_and(|last| from < to && *last < messages.offset(from)) {
            self.settled.clear();
        }
        let spoilt = messages.spoilt();
        let mut without_value = vec![];
        let mut decoded = {
            let counts = &mut counts;
            let settled = &self.settled;
            let mut payloads = (from..to).filter_map(|at| {
                let Some(value) = messages.value(at) else {
                    counts.tombstones += 1;
                    return None;
                };
                counts.bytes += value.len() as u64;
                if !settled.is_empty() && settled.contains(&messages.offset(at)) {
                    counts.rejected += 1;
                    return None;
                }
                let message = u32::try_from(at).expect("a batch holds far less than 4 G messages");
                if let Some(spoilt) = of_message(spoilt, at) {
                    let reason = spoilt.reason.clone();
                    without_value.push(Reject { message, stage: Stage::Decode, column: None, reason });
                    return None;
                }
                Some(Payload { message, value, key: messages.key(at) })
            });
            self.decoder.decode(&mut payloads, &mut rows)
        };
        decoded.rejects.append(&mut without_value);
        counts.filtered += u64::from(decoded.empty);
        let mut told = Told { empty: decoded.empty.into(), ..Told::default() };
        counts.altered += u64::from(decoded.altered);
        let mut rejects = decoded.rejects;
        counts.altered += u64::from(decoded.incomplete);
        if let Some(around) = &mut self.around {
            let filled = around.fill(messages, &mut rows);
            counts.altered += filled.altered;
            if !filled.rejects.is_empty() {
                let refused: Vec<u32> = filled.rejects.iter().map(|reject| reject.message).collect();
                stages::remove_messages(&mut rows, &refused);
                rejects.extend(filled.rejects);
            }
        }
        if let Some(transform) = &mut self.transform {
            let transformed = transform.apply(rows);
            if let Some(before) = transformed.ended_before {
                // Seldom, and with the same outcome for each message as with any other batch.
                return self.decode(messages, from, before as usize);
            }
            counts.filtered += transformed.filtered;
            told.dropped = transformed.filtered;
            counts.altered += transformed.altered;
            rejects.extend(transformed.rejects);
            rows = transformed.rows;
        }
        if let Some(time) = &self.rules.time {
            let checked = stages::check_time(time, &mut rows);
            counts.altered += checked.nulled;
            rejects.extend(checked.rejects);
        }
        let sanitised = stages::sanitise(&self.rules.schema, &mut rows);
        counts.altered += sanitised.cut;
        rejects.extend(sanitised.rejects);
        told.cuts = sanitised.columns;
        if let Some(partition) = &self.partition {
            told.elsewhere = partition.apply(&mut rows);
            counts.filtered += told.elsewhere;
        }
        rejects.sort_by_key(|reject| reject.message);
        rejects.dedup_by_key(|reject| reject.message);
        counts.rejected += rejects.len() as u64;
        Prepared { rows, rejects, counts, to, asked, told }
    }
}

impl RecordPath {
    /// A path with its decoder and key stage.
    #[must_use]
    pub fn new(decoder: RecordDecoder, keys: Box<dyn KeyStage>) -> Self {
        Self { decoder, keys }
    }

    /// Goes on with another decoder and what the key stage knows.
    pub fn decode_with(&mut self, decoder: RecordDecoder) {
        self.decoder = decoder;
    }

    /// As [`RecordDecoder::ready`].
    ///
    /// # Errors
    /// The registry does not answer.
    pub async fn ready(
        &mut self,
        messages: &dyn Messages,
        from: usize,
        to: usize,
    ) -> Result<Option<Arc<SchemaRegistry>>, String> {
        self.decoder.ready(messages, from, to).await
    }

    /// As [`RecordDecoder::ready_as_said`].
    pub(crate) fn ready_as_said(&mut self, messages: &dyn Messages, from: usize, to: usize) {
        self.decoder.ready_as_said(messages, from, to);
    }

    /// Turns messages `from..to` of a batch, or the first of them, into rows and rejects. Runs come in the order of the stream.
    pub fn prepare(&mut self, messages: &dyn Messages, from: usize, to: usize) -> Prepared {
        let decoded = self.decoder.decode(messages, from, to);
        self.finish(messages, decoded)
    }

    /// What is left to do for a run that a decoder has turned into rows. Runs come in the order of the stream.
    pub fn finish(&mut self, messages: &dyn Messages, decoded: Prepared) -> Prepared {
        let Prepared { mut rows, rejects, mut counts, to, asked, told } = decoded;
        self.keys.apply(&mut rows, &|message| messages.offset(message as usize), &mut counts);
        counts.rows = rows.rows() as u64;
        counts.stored = distinct(&rows.message_of_row);
        debug_assert!(counts.balances(), "each message is stored, filtered, a tombstone or rejected: {counts:?}");
        Prepared { rows, rejects, counts, to, asked, told }
    }
}

/// Why the value of a message cannot be had, where that is so. Almost always there is no such message.
fn of_message(spoilt: &[Spoilt], at: usize) -> Option<&Spoilt> {
    let found = spoilt.binary_search_by_key(&at, |spoilt| spoilt.at).ok()?;
    Some(&spoilt[found])
}

/// How many different messages gave rows.
fn distinct(message_of_row: &[u32]) -> u64 {
    let changes = message_of_row.windows(2).filter(|pair| pair[0] != pair[1]).count();
    changes as u64 + u64::from(!message_of_row.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::Entry;
    use std::collections::BTreeMap;
    use weir_formats::{DecodeSpec, registry};
    use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, SchemaVersion, StreamPartition, TopicName};

    /// Values, and those of them that are none.
    struct Sent(Vec<&'static str>, Vec<Spoilt>);

    impl Messages for Sent {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn offset(&self, at: usize) -> NextOffset {
            NextOffset::new(at as u64)
        }

        fn timestamp_ms(&self, _: usize) -> Option<i64> {
            None
        }

        fn key(&self, _: usize) -> Option<&[u8]> {
            None
        }

        fn value(&self, at: usize) -> Option<&[u8]> {
            Some(self.0[at].as_bytes())
        }

        fn header(&self, _: usize, _: &str) -> Option<&[u8]> {
            None
        }

        fn spoilt(&self) -> &[Spoilt] {
            &self.1
        }
    }

    /// A decoder that takes almost anything for a row is not even shown what is no value.
    #[test]
    fn a_message_without_its_value_is_rejected_whatever_its_bytes_look_like() {
        let field = FieldSpec::new(ColumnName::parse("id").unwrap(), DataType::String, FieldKind::Dimension);
        let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![field]));
        let spec = DecodeSpec { schema: schema.clone(), continue_on_error: false, topic: "t".into(), raw: 0 };
        let settings = BTreeMap::from([("header".to_owned(), "id".to_owned())]);
        let decoder = registry::decoder("csv", &settings, spec).unwrap();
        let rules = RecordRules { schema: schema.clone(), time: None };
        let mut path = RecordPath::new(RecordDecoder::new(decoder, rules), Box::new(NoKeys));
        let spoilt = Spoilt { at: 1, reason: "part 2 of 2".to_owned(), whole_bytes: 9 };
        let sent = Sent(vec!["one", "half", "three"], vec![spoilt]);
        let prepared = path.prepare(&sent, 0, 3);
        assert_eq!(prepared.rows.message_of_row, [0, 2]);
        let counts = &prepared.counts;
        assert_eq!((counts.fetched, counts.stored, counts.rejected), (3, 2, 1));
        let [reject] = &prepared.rejects[..] else { panic!("{:?}", prepared.rejects) };
        assert_eq!((reject.message, reject.stage, &*reject.reason), (1, Stage::Decode, "part 2 of 2"));
        // What is kept of it is no value that a replay could take.
        let reading = (StreamPartition { topic: TopicName::parse("t").unwrap(), partition: 0 }, 0);
        let entry = Entry::new(&reading, &schema, &sent, reject, 0);
        assert_eq!((&*entry.payload, entry.value_bytes, entry.is_whole()), (&b"half"[..], 9, false));
    }
}
