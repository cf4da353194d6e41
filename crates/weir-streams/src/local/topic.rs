//! One topic: partitions, and the turn in which requests are appended together.

use super::{
    LocalLogOptions, ProduceError, ProduceRecord, ProducedAt,
    frame::{self, FrameHead, Record},
    partition::{Addition, Partition},
    remember::Remembered,
};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;
use weir_base::{SharedClock, SharedDisk};
use weir_types::{NextOffset, TopicName};

type Answer = Result<Vec<ProducedAt>, ProduceError>;

/// A request that waits for its turn.
struct Pending {
    records: Vec<ProduceRecord>,
    idempotency_key: Option<String>,
    answer: oneshot::Sender<Answer>,
}

/// One topic.
pub(super) struct Topic {
    name: TopicName,
    dir: PathBuf,
    disk: SharedDisk,
    clock: SharedClock,
    options: LocalLogOptions,
    partitions: RwLock<Vec<Arc<Partition>>>,
    remembered: Mutex<Remembered>,
    pending: Mutex<Vec<Pending>>,
    /// One request at a time appends for all that wait.
    turn: tokio::sync::Mutex<()>,
    next_in_turn: AtomicU64,
    retained_ms: AtomicI64,
}

const META: &str = "topic.json";

impl Topic {
    pub(super) fn create(
        name: &TopicName,
        dir: PathBuf,
        partitions: u32,
        disk: SharedDisk,
        clock: SharedClock,
        options: LocalLogOptions,
    ) -> io::Result<Arc<Self>> {
        // What a deletion that was cut short has left must not come back.
        disk.remove_dir_all(&dir)?;
        disk.create_dir_all(&dir)?;
        write_meta(&disk, &dir, partitions)?;
        let topic = Self::open(name, dir, disk, clock, options)?;
        topic.ok_or_else(|| io::Error::other("the topic that was just made is not there"))
    }

    /// `None` where the folder is no topic's: its making was not finished.
    pub(super) fn open(
        name: &TopicName,
        dir: PathBuf,
        disk: SharedDisk,
        clock: SharedClock,
        options: LocalLogOptions,
    ) -> io::Result<Option<Arc<Self>>> {
        let Some(count) = read_meta(&disk, &dir)? else { return Ok(None) };
        let mut remembered = vec![];
        let mut partitions = vec![];
        for number in 0..count {
            let mut of_partition = Remembered::loading();
            let mut seen = |head: &FrameHead, records: &[Record]| {
                if let Some(key) = &head.idempotency_key {
                    of_partition.add(key, head.appended_ms, placed(number, head, records));
                }
            };
            let folder = dir.join(number.to_string());
            partitions.push(Arc::new(Partition::open(disk.clone(), folder, name.as_str(), &mut seen)?));
            remembered.push(of_partition);
        }
        Ok(Some(Arc::new(Self {
            name: name.clone(),
            dir,
            disk,
            clock,
            options,
            partitions: RwLock::new(partitions),
            remembered: Mutex::new(Remembered::merge(remembered)),
            pending: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            next_in_turn: AtomicU64::new(0),
            retained_ms: AtomicI64::new(0),
        })))
    }

    pub(super) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.read().len()).unwrap_or(u32::MAX)
    }

    pub(super) fn partition(&self, number: u32) -> Option<Arc<Partition>> {
        self.partitions.read().get(number as usize).cloned()
    }

    /// Removes the topic in `dir` from the disk. Its description goes first: what a crash leaves is no topic.
    pub(super) fn remove(disk: &SharedDisk, dir: &std::path::Path) -> io::Result<()> {
        if disk.byte_count(&dir.join(META))?.is_some() {
            disk.remove_file(&dir.join(META))?;
            disk.sync_dir(dir)?;
        }
        disk.remove_dir_all(dir)
    }

    /// Adds partitions until there are `count`.
    pub(super) fn grow(&self, count: u32) -> io::Result<()> {
        let mut partitions = self.partitions.write();
        if partitions.len() >= count as usize {
            return Ok(());
        }
        write_meta(&self.disk, &self.dir, count)?;
        for number in partitions.len()..count as usize {
            let folder = self.dir.join(number.to_string());
            let made = Partition::open(self.disk.clone(), folder, self.name.as_str(), &mut |_, _| {})?;
            partitions.push(Arc::new(made));
        }
        Ok(())
    }

    pub(super) async fn produce(&self, records: Vec<ProduceRecord>, idempotency_key: Option<&str>) -> Answer {
        let (answer, mut answered) = oneshot::channel();
        let idempotency_key = idempotency_key.map(str::to_owned);
        self.pending.lock().push(Pending { records, idempotency_key, answer });
        let turn = self.turn.lock().await;
        if let Ok(answer) = answered.try_recv() {
            return answer;
        }
        let group = std::mem::take(&mut *self.pending.lock());
        self.append_group(group);
        drop(turn);
        answered.try_recv().unwrap_or_else(|_| {
            let reason = "the request was not taken".to_owned();
            Err(ProduceError::Disk { topic: self.name.clone(), reason, full: false })
        })
    }

    /// Appends all requests of a group, syncs each touched partition once, answers each request.
    fn append_group(&self, group: Vec<Pending>) {
        let now_ms = self.clock.wall_ms();
        let partitions = self.partitions.read().clone();
        let mut ends: Vec<NextOffset> = partitions.iter().map(|partition| partition.end()).collect();
        let mut additions: BTreeMap<u32, Vec<Addition>> = BTreeMap::new();
        let mut answers = vec![];
        let mut remember = vec![];
        // Keys of this group count as well: two of the same may have come in together.
        let mut in_group: BTreeMap<String, BTreeMap<u32, ProducedAt>> = BTreeMap::new();
        for request in group {
            let known = request.idempotency_key.as_ref().map(|key| {
                let mut known = self.remembered.lock().get(key).cloned().unwrap_or_default();
                known.extend(in_group.get(key).into_iter().flatten().map(|(at, placed)| (*at, *placed)));
                known
            });
            match self.place(&request, known.unwrap_or_default(), &mut ends, now_ms) {
                Ok((placed, frames)) => {
                    for (number, addition) in frames {
                        additions.entry(number).or_default().push(addition);
                    }
                    if let Some(key) = &request.idempotency_key {
                        let all: BTreeMap<u32, ProducedAt> = (0..).zip(placed.iter().copied()).collect();
                        in_group.insert(key.clone(), all.clone());
                        remember.push((key.clone(), all));
                    }
                    answers.push((request.answer, Ok(placed)));
                }
                Err(error) => answers.push((request.answer, Err(error))),
            }
        }
        let written = self.write(&partitions, &additions);
        if written.is_ok() {
            let mut remembered = self.remembered.lock();
            for (key, placed) in remember {
                remembered.add(&key, now_ms, placed);
            }
        }
        for (answer, result) in answers {
            let result = result.and_then(|placed| match &written {
                Ok(()) => Ok(placed),
                Err(error) => Err(ProduceError::Disk {
                    topic: self.name.clone(),
                    reason: error.to_string(),
                    full: error.kind() == io::ErrorKind::StorageFull,
                }),
            });
            // Whoever asked may have gone.
            drop(answer.send(result));
        }
        self.retain(&partitions, now_ms);
    }

    /// Gives each record of a request its place; those that are known keep theirs and are not written again.
    #[expect(clippy::type_complexity, reason = "places in order, and frames by partition, are used once")]
    fn place(
        &self,
        request: &Pending,
        known: BTreeMap<u32, ProducedAt>,
        ends: &mut [NextOffset],
        now_ms: i64,
    ) -> Result<(Vec<ProducedAt>, Vec<(u32, Addition)>), ProduceError> {
        let count = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        let mut chosen = vec![];
        for (position, record) in (0_u32..).zip(&request.records) {
            if known.contains_key(&position) {
                continue;
            }
            chosen.push((position, record, self.choose(record, count)?));
        }
        let mut by_partition: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        let mut placed = known;
        for (position, record, number) in chosen {
            let of = by_partition.entry(number).or_default();
            let offset = NextOffset::new(ends[number as usize].number() + of.len() as u64);
            placed.insert(position, ProducedAt { partition: number, offset });
            of.push(Record {
                position,
                timestamp_ms: record.timestamp_ms.unwrap_or(now_ms),
                key: record.key.clone(),
                value: record.value.clone(),
                headers: record.headers.clone(),
            });
        }
        let mut frames = vec![];
        for (number, records) in by_partition {
            let head = FrameHead {
                base: ends[number as usize],
                appended_ms: now_ms,
                count: u32::try_from(records.len()).expect("a request is bounded far below 4 G records"),
                idempotency_key: request.idempotency_key.clone(),
            };
            ends[number as usize] = head.end();
            let newest_ms = records.iter().map(|record| record.timestamp_ms).max().unwrap_or(now_ms);
            let mut bytes = vec![];
            frame::encode(&head, &records, &mut bytes);
            frames.push((number, Addition { head, bytes, newest_ms }));
        }
        Ok((placed.into_values().take(request.records.len()).collect(), frames))
    }

    fn choose(&self, record: &ProduceRecord, count: u32) -> Result<u32, ProduceError> {
        match (record.partition, &record.key) {
            (Some(partition), _) if partition < count => Ok(partition),
            (Some(partition), _) => {
                Err(ProduceError::NoPartition { topic: self.name.clone(), partition, partitions: count })
            }
            (None, Some(key)) => Ok((murmur2(key) & 0x7FFF_FFFF) % count),
            (None, None) => {
                let turn = self.next_in_turn.fetch_add(1, Ordering::Relaxed);
                Ok(u32::try_from(turn % u64::from(count)).expect("less than the count"))
            }
        }
    }

    /// Appends to every touched partition, then syncs, then shows; on an error all of it is taken back.
    fn write(&self, partitions: &[Arc<Partition>], additions: &BTreeMap<u32, Vec<Addition>>) -> io::Result<()> {
        let touched = || additions.iter().map(|(number, of)| (&partitions[*number as usize], of));
        let written = touched()
            .try_for_each(|(partition, of)| partition.append(of, self.options.file_bytes))
            .and_then(|()| touched().try_for_each(|(partition, _)| partition.sync()));
        if let Err(error) = written {
            for (partition, _) in touched() {
                if let Err(stuck) = partition.take_back() {
                    tracing::error!(topic = %self.name, error = %stuck, "an append is taken back with the next one");
                }
            }
            return Err(error);
        }
        touched().for_each(|(partition, of)| partition.publish(of));
        Ok(())
    }

    fn retain(&self, partitions: &[Arc<Partition>], now_ms: i64) {
        let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let last = self.retained_ms.load(Ordering::Relaxed);
        if now_ms - last < millis(self.options.retain_every) {
            return;
        }
        self.retained_ms.store(now_ms, Ordering::Relaxed);
        for partition in partitions {
            let older_than = now_ms.saturating_sub(millis(self.options.retention));
            if let Err(error) = partition.retain(older_than, self.options.retention_bytes) {
                tracing::warn!(topic = %self.name, %error, "old records cannot be deleted");
            }
        }
    }
}

fn placed<'a>(
    partition: u32,
    head: &'a FrameHead,
    records: &'a [Record],
) -> impl Iterator<Item = (u32, ProducedAt)> + 'a {
    let at = move |(at, record): (u64, &Record)| {
        let offset = NextOffset::new(head.base.number() + at);
        (record.position, ProducedAt { partition, offset })
    };
    (0..).zip(records).map(at)
}

fn write_meta(disk: &SharedDisk, dir: &std::path::Path, partitions: u32) -> io::Result<()> {
    let meta = serde_json::json!({ "v": 1, "partitions": partitions.max(1) });
    disk.write_whole(&dir.join(META), meta.to_string().as_bytes())
}

fn read_meta(disk: &SharedDisk, dir: &std::path::Path) -> io::Result<Option<u32>> {
    let path = dir.join(META);
    if disk.byte_count(&path)?.is_none() {
        return Ok(None);
    }
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let meta: serde_json::Value =
        serde_json::from_slice(&disk.read(&path)?).map_err(|error| bad(&error.to_string()))?;
    if meta["v"] != 1 {
        return Err(bad("it was written by a newer version"));
    }
    let count = meta["partitions"].as_u64().and_then(|count| u32::try_from(count).ok());
    count.map(Some).ok_or_else(|| bad("it names no partitions"))
}

/// Kafka's partitioner hash (MurmurHash2, 32 bits, seed 0x9747b28c), so that keys go where Kafka would put them.
fn murmur2(data: &Bytes) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (chunks, rest) = data.as_chunks::<4>();
    for chunk in chunks {
        let mut k = u32::from_le_bytes(*chunk).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_kafka() {
        for (key, hash) in
            [("21", -973_932_308_i32), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
        {
            assert_eq!(murmur2(&Bytes::from(key)) as i32, hash, "{key}");
        }
    }
}
