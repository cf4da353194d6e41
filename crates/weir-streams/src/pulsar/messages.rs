//! Messages of one batch, with what surrounds them.

use super::{
    position::{Beyond, Position},
    window::Part,
};
use crate::contract::{Messages, Spoilt};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use pulsar::{Payload, consumer::Message, message::proto::MessageIdData};
use weir_types::NextOffset;

/// A message with where it stands.
pub(super) struct Held {
    pub(super) at: NextOffset,
    /// The next one to read: behind the last message of an entry the next entry.
    pub(super) after: NextOffset,
    id: MessageIdData,
    topic: String,
    payload: Payload,
    key: Option<Vec<u8>>,
    /// The table wants key and value in one; and these.
    stitch: bool,
    stitched: Option<Vec<u8>>,
    /// Why it did not become whole, where it was sent in parts.
    broken: Option<String>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("at", &self.at).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// Where a message stands, and where reading goes on behind it.
pub(super) fn place(message: &Message<Vec<u8>>) -> Result<(NextOffset, NextOffset), Beyond> {
    let id = message.message_id();
    let batch = u64::from(id.batch_index.and_then(|at| u32::try_from(at).ok()).unwrap_or(0));
    let in_entry = u64::from(message.metadata().num_messages_in_batch.and_then(|n| u32::try_from(n).ok()).unwrap_or(1));
    let at = Position { ledger: id.ledger_id, entry: id.entry_id, batch };
    let after = if id.batch_index.is_some() && batch + 1 < in_entry {
        Position { batch: batch + 1, ..at }
    } else {
        Position::entry(at.ledger, at.entry + 1)
    };
    Ok((at.offset()?, after.offset()?))
}

impl Held {
    pub(super) fn new(message: Message<Vec<u8>>, at: NextOffset, after: NextOffset, stitch: bool) -> Self {
        let metadata = message.metadata();
        let key = metadata.partition_key.as_ref().map(|key| {
            let plain = || key.clone().into_bytes();
            if metadata.partition_key_b64_encoded() {
                STANDARD.decode(key).unwrap_or_else(|_| plain())
            } else {
                plain()
            }
        });
        let (id, topic, payload) = (message.message_id.id, message.topic, message.payload);
        let mut held = Self { at, after, id, topic, payload, key, stitch, stitched: None, broken: None };
        if held.part().is_none() {
            held.stitch_it();
        }
        held
    }

    fn stitch_it(&mut self) {
        self.stitched = self.stitch.then(|| stitched(self.key.as_deref().unwrap_or_default(), &self.payload.data));
    }

    /// Which part of a message it is, where its producer cut one; what is encrypted is not looked at.
    pub(super) fn part(&self) -> Option<Part> {
        let metadata = &self.payload.metadata;
        let count = number(metadata.num_chunks_from_msg);
        let name = metadata.uuid.as_ref().filter(|_| count >= 2 && metadata.encryption_keys.is_empty())?;
        let whole = number(metadata.total_chunk_msg_size);
        Some(Part { of: name.clone(), at: number(metadata.chunk_id), count, whole })
    }

    /// Puts the next part behind what is here; with the last one it is whole.
    pub(super) fn append(&mut self, part: &Self, whole: bool) {
        self.payload.data.extend_from_slice(&part.payload.data);
        if whole {
            self.stitch_it();
        }
    }

    /// It does not become whole.
    pub(super) fn give_up(&mut self, why: String) {
        self.broken = Some(why);
    }

    pub(super) fn bytes(&self) -> usize {
        self.payload.data.len()
    }

    /// Why the value is not here, and how many bytes it has at least.
    fn spoilt(&self) -> Option<(String, u64)> {
        let metadata = &self.payload.metadata;
        let here = self.payload.data.len() as u64;
        if !metadata.encryption_keys.is_empty() {
            let reason =
                "the message is encrypted, and keys are not looked at: have the producer send it as it is, over TLS";
            return Some((reason.into(), here + 1));
        }
        let reason = self.broken.clone()?;
        Some((reason, number(metadata.total_chunk_msg_size).max(here + 1)))
    }

    /// What Pinot calls the message's metadata, as text.
    fn metadata(&self, name: &str) -> Option<String> {
        let metadata = &self.payload.metadata;
        let id = &self.id;
        match name {
            "publishTime" => Some(metadata.publish_time.to_string()),
            "eventTime" => metadata.event_time.filter(|time| *time > 0).map(|time| time.to_string()),
            "key" => metadata.partition_key.clone(),
            "messageId" => {
                let plain = format!("{}:{}:{}", id.ledger_id, id.entry_id, id.partition.unwrap_or(-1));
                Some(id.batch_index.map_or(plain.clone(), |at| format!("{plain}:{at}")))
            }
            "messageIdBytes" => Some(id_bytes(id).iter().map(|byte| format!("{byte:02x}")).collect()),
            "producerName" => Some(metadata.producer_name.clone()),
            "schemaVersion" => {
                // A message without a schema has none, or an empty one.
                let version = metadata.schema_version.as_ref().filter(|bytes| !bytes.is_empty());
                version.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            "sequenceId" => Some(metadata.sequence_id.to_string()),
            "orderingKey" => metadata.ordering_key.as_ref().map(|key| String::from_utf8_lossy(key).into_owned()),
            "size" => Some(self.payload.data.len().to_string()),
            "topicName" => Some(self.topic.clone()),
            // A reader is never given a message again.
            "redeliveryCount" => Some("0".into()),
            // The client does not hand on what the broker adds: brokerPublishTime, index.
            _ => None,
        }
    }
}

fn number(number: Option<i32>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// A message at a place, perhaps a part (of which message, which, of how many) whose whole is as long as its parts are
/// many.
#[cfg(test)]
pub(super) fn held_for_tests(at: u64, data: &[u8], part: Option<(&str, i32, i32)>) -> Held {
    let metadata = pulsar::message::proto::MessageMetadata {
        uuid: part.map(|part| part.0.to_owned()),
        chunk_id: part.map(|part| part.1),
        num_chunks_from_msg: part.map(|part| part.2),
        total_chunk_msg_size: part.map(|part| part.2),
        ..Default::default()
    };
    Held {
        at: NextOffset::new(at),
        after: NextOffset::new(at + 1),
        id: MessageIdData::default(),
        topic: "t".into(),
        payload: Payload { metadata, data: data.to_vec() },
        key: None,
        stitch: false,
        stitched: None,
        broken: None,
    }
}

/// Lengths of four bytes, the highest first, before key and value.
fn stitched(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(8 + key.len() + value.len());
    for part in [key, value] {
        all.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

/// The identity as Pulsar's clients write it: fields of ledger, entry, partition and place in the batch, each as a varint.
fn id_bytes(id: &MessageIdData) -> Vec<u8> {
    let mut bytes = vec![];
    let signed = |number: Option<i32>| number.map(|number| i64::from(number).cast_unsigned());
    let fields =
        [(1_u8, Some(id.ledger_id)), (2, Some(id.entry_id)), (3, signed(id.partition)), (4, signed(id.batch_index))];
    for (field, number) in fields {
        let Some(mut number) = number else { continue };
        bytes.push(field << 3);
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    bytes
}

/// Messages of one batch.
pub(super) struct PulsarMessages {
    held: Vec<Held>,
    spoilt: Vec<Spoilt>,
}

impl PulsarMessages {
    pub(super) fn new(held: Vec<Held>) -> Self {
        let spoilt = held.iter().enumerate().filter_map(|(at, held)| {
            let (reason, whole_bytes) = held.spoilt()?;
            Some(Spoilt { at, reason, whole_bytes })
        });
        Self { spoilt: spoilt.collect(), held }
    }
}

impl Messages for PulsarMessages {
    fn len(&self) -> usize {
        self.held.len()
    }

    fn spoilt(&self) -> &[Spoilt] {
        &self.spoilt
    }

    fn offset(&self, at: usize) -> NextOffset {
        self.held[at].at
    }

    fn timestamp_ms(&self, at: usize) -> Option<i64> {
        i64::try_from(self.held[at].payload.metadata.publish_time).ok()
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.held[at].key.as_deref()
    }

    /// The client does not say of a message in a batch that it has no value: one without bytes has none.
    fn value(&self, at: usize) -> Option<&[u8]> {
        let held = &self.held[at];
        if held.payload.data.is_empty() {
            return None;
        }
        Some(held.stitched.as_deref().unwrap_or(&held.payload.data))
    }

    fn header(&self, at: usize, name: &str) -> Option<&[u8]> {
        let properties = &self.held[at].payload.metadata.properties;
        properties.iter().rev().find(|property| property.key == name).map(|property| property.value.as_bytes())
    }

    fn metadata(&self, at: usize, name: &str) -> Option<String> {
        self.held[at].metadata(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_value_in_one() {
        assert_eq!(stitched(b"k", b"vw"), [0, 0, 0, 1, b'k', 0, 0, 0, 2, b'v', b'w']);
        assert_eq!(stitched(b"", b""), [0; 8]);
    }

    #[test]
    fn identities_as_other_clients_write_them() {
        let id = MessageIdData { ledger_id: 300, entry_id: 7, partition: Some(-1), ..MessageIdData::default() };
        let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let expected: Vec<u8> = [0x08, 0xac, 0x02, 0x10, 0x07, 0x18].into_iter().chain(minus_one).collect();
        assert_eq!(id_bytes(&id), expected);
        let in_batch = MessageIdData { batch_index: Some(2), partition: Some(0), ..id };
        assert_eq!(id_bytes(&in_batch), [0x08, 0xac, 0x02, 0x10, 0x07, 0x18, 0x00, 0x20, 0x02]);
    }
}
