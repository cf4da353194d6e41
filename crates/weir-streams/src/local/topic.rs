//! One topic: partitions, and the turn in which requests are appended together.

use super::{
    LocalLogOptions, ProduceError, ProduceRecord, ProducedAt, REQUEST_BYTES,
    frame::{self, FrameHead, Record},
    partition::{Addition, Partition, Recall},
    remember::{Known, Placed, REMEMBERED_MS, REQUESTS_MAX, Remembered},
};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};
use tokio::sync::{Semaphore, oneshot};
use weir_base::{Chance, SharedClock, SharedDisk};
use weir_types::{NextOffset, TopicName};

type Answer = Result<Vec<ProducedAt>, ProduceError>;

/// Requests that wait or are being written hold at most so many bytes; more of them wait before they are taken in.
const PENDING_BYTES: usize = 64 << 20;

/// A request that waits for its turn.
struct Pending {
    records: Vec<ProduceRecord>,
    idempotency_key: Option<String>,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Queue {
    pending: Vec<Pending>,
    /// Somebody takes what waits.
    served: bool,
}

/// One topic.
pub(super) struct Topic {
    name: TopicName,
    /// Tells it from one of the same name that was there before or comes after.
    id: String,
    dir: PathBuf,
    disk: SharedDisk,
    clock: SharedClock,
    options: LocalLogOptions,
    partitions: RwLock<Vec<Arc<Partition>>>,
    remembered: Mutex<Remembered>,
    queue: Mutex<Queue>,
    /// Held while files are written, begun or deleted.
    writing: Mutex<()>,
    room: Semaphore,
    next_in_turn: AtomicU64,
    retained_ms: AtomicI64,
    deleted: AtomicBool,
}

const META: &str = "topic.json";

/// The turn of a thread that appends for all who wait; one at a time.
struct Turn {
    topic: Arc<Topic>,
    ended: bool,
}

impl Turn {
    fn run(mut self) {
        loop {
            let group = {
                let mut queue = self.topic.queue.lock();
                if queue.pending.is_empty() {
                    queue.served = false;
                    self.ended = true;
                    return;
                }
                std::mem::take(&mut queue.pending)
            };
            self.topic.append_all(group);
        }
    }
}

impl Drop for Turn {
    /// A turn that was never begun, or did not come to its end: whoever waits is told by the loss of the answer.
    fn drop(&mut self) {
        if !self.ended {
            *self.topic.queue.lock() = Queue::default();
        }
    }
}

impl Topic {
    /// Makes a topic where none is.
    pub(super) fn create(
        name: &TopicName,
        dir: PathBuf,
        partitions: u32,
        disk: SharedDisk,
        clock: SharedClock,
        options: LocalLogOptions,
    ) -> io::Result<Arc<Self>> {
        disk.create_dir_all(&dir)?;
        let mut chance = Chance::from_entropy();
        let id = format!("{:016x}{:016x}", chance.u64(), chance.u64());
        write_meta(&disk, &dir, &id, partitions.max(1))?;
        let topic = Self::open(name, dir, disk, clock, options)?;
        topic.ok_or_else(|| io::Error::other("the topic that was just made is not there"))
    }

    /// `None` where the folder is no topic's: its making, or its deletion, was not finished.
    pub(super) fn open(
        name: &TopicName,
        dir: PathBuf,
        disk: SharedDisk,
        clock: SharedClock,
        options: LocalLogOptions,
    ) -> io::Result<Option<Arc<Self>>> {
        let (id, count) = match read_meta(&disk, &dir)? {
            Meta::Absent => return Ok(None),
            Meta::Deleted => {
                remove(&disk, &dir)?;
                return Ok(None);
            }
            Meta::Topic { id, partitions } => (id, partitions),
        };
        let now_ms = clock.wall_ms();
        let mut requests = vec![];
        let mut partitions = vec![];
        for number in 0..count {
            let mut seen = |head: &FrameHead, records: &[Record]| {
                if let Some(key) = &head.idempotency_key {
                    let placed: Vec<(u32, Placed)> = placed(number, head, records).collect();
                    requests.push((head.appended_ms, key.clone(), head.of_request, placed));
                }
            };
            // Twice as many as are kept, so that none is kept in one partition and forgotten in another.
            let recall = Recall { keyed_since_ms: now_ms - REMEMBERED_MS, most: 2 * REQUESTS_MAX, seen: &mut seen };
            partitions.push(Arc::new(Partition::open(disk.clone(), partition_dir(&dir, &id, number), recall)?));
        }
        requests.sort_by_key(|(at_ms, ..)| *at_ms);
        let mut remembered = Remembered::default();
        for (at_ms, key, of_request, placed) in requests {
            remembered.add(&key, at_ms, of_request, placed);
        }
        Ok(Some(Arc::new(Self {
            name: name.clone(),
            id,
            dir,
            disk,
            clock,
            options,
            partitions: RwLock::new(partitions),
            remembered: Mutex::new(remembered),
            queue: Mutex::default(),
            writing: Mutex::default(),
            room: Semaphore::new(PENDING_BYTES),
            next_in_turn: AtomicU64::new(0),
            // Not at once: whoever still needs old records has to have the time to say so.
            retained_ms: AtomicI64::new(now_ms),
            deleted: AtomicBool::new(false),
        })))
    }

    /// Deletes it for good.
    pub(super) fn delete(&self) -> io::Result<()> {
        let _writing = self.writing.lock();
        self.delete_files()
    }

    /// Deletes it for good, unless something was ever appended to it: false then.
    pub(super) fn delete_unused(&self) -> io::Result<bool> {
        let _writing = self.writing.lock();
        if self.partitions.read().iter().any(|partition| partition.end() > NextOffset::ZERO) {
            return Ok(false);
        }
        self.delete_files().map(|()| true)
    }

    /// Whoever calls it holds `writing`.
    fn delete_files(&self) -> io::Result<()> {
        let deleted = delete(&self.disk, &self.dir);
        self.deleted.store(true, Ordering::Release);
        self.partitions.read().iter().for_each(|partition| partition.wake());
        deleted
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.read().len()).unwrap_or(u32::MAX)
    }

    pub(super) fn partition(&self, number: u32) -> Option<Arc<Partition>> {
        self.partitions.read().get(number as usize).cloned()
    }

    /// Adds partitions until there are `count`.
    pub(super) fn grow(&self, count: u32) -> io::Result<()> {
        let mut partitions = self.partitions.write();
        if partitions.len() >= count as usize {
            return Ok(());
        }
        write_meta(&self.disk, &self.dir, &self.id, count)?;
        for number in partitions.len() as u32..count {
            let recall = Recall { keyed_since_ms: i64::MAX, most: 0, seen: &mut |_, _| {} };
            let folder = partition_dir(&self.dir, &self.id, number);
            partitions.push(Arc::new(Partition::open(self.disk.clone(), folder, recall)?));
        }
        Ok(())
    }

    /// Appends records, all or none; they are durable when this returns.
    pub(super) async fn produce(self: &Arc<Self>, records: Vec<ProduceRecord>, key: Option<&str>) -> Answer {
        let bytes = self.check(&records, key)?;
        let stopped =
            |_| ProduceError::Disk { topic: self.name.clone(), reason: "the log was closed".to_owned(), full: false };
        let permits = u32::try_from(bytes.min(PENDING_BYTES)).unwrap_or(u32::MAX);
        let _room = self.room.acquire_many(permits).await.map_err(|_| ProduceError::NoTopic(self.name.clone()))?;
        let (answer, answered) = oneshot::channel();
        let begin = {
            let mut queue = self.queue.lock();
            queue.pending.push(Pending { records, idempotency_key: key.map(str::to_owned), answer });
            !std::mem::replace(&mut queue.served, true)
        };
        if begin {
            let turn = Turn { topic: self.clone(), ended: false };
            // It answers through the requests.
            drop(tokio::task::spawn_blocking(move || turn.run()));
        }
        answered.await.map_err(stopped)?
    }

    /// Bytes of a request that the layout can hold.
    fn check(&self, records: &[ProduceRecord], key: Option<&str>) -> Result<usize, ProduceError> {
        let mut bytes = 0_usize;
        let mut headers_fit = true;
        for record in records {
            bytes += 64 + record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
            headers_fit &= record.headers.len() <= usize::from(u16::MAX);
            for (name, value) in &record.headers {
                headers_fit &= name.len() <= usize::from(u16::MAX);
                bytes += 8 + name.len() + value.len();
            }
        }
        let refused = |reason: &str| ProduceError::Refused { topic: self.name.clone(), reason: reason.to_owned() };
        if bytes > REQUEST_BYTES {
            return Err(refused(&format!("it has {bytes} bytes, {REQUEST_BYTES} are the most: send it in parts")));
        }
        if !headers_fit {
            return Err(refused("a record has more than 65535 headers, or a header's name has more than 65535 bytes"));
        }
        if key.is_some_and(|key| key.is_empty() || key.len() > 255) {
            return Err(refused("the idempotency key must have 1 to 255 bytes"));
        }
        Ok(bytes)
    }

    /// Appends what waits: together, or one by one where that fails. Of requests with the same key, each sees what the one
    /// before it did.
    fn append_all(&self, group: Vec<Pending>) {
        let _writing = self.writing.lock();
        // Before the append: it may need the room.
        self.delete_old();
        // Who has gone does not get its records written behind its back.
        let mut rest: Vec<Pending> = group.into_iter().filter(|request| !request.answer.is_closed()).collect();
        while !rest.is_empty() {
            let mut keys = HashSet::new();
            let first = |request: &Pending| request.idempotency_key.clone().is_none_or(|key| keys.insert(key));
            let (now, later) = rest.into_iter().partition(first);
            rest = later;
            self.append_group(now);
        }
    }

    fn append_group(&self, group: Vec<Pending>) {
        let requests: Vec<&Pending> = group.iter().collect();
        let mut answers = self.append(&requests);
        if answers.is_err() && group.len() > 1 {
            let alone = |request: &&Pending| self.append(&[*request]).unwrap_or_else(|error| vec![Err(error)]);
            answers = Ok(requests.iter().flat_map(alone).collect());
        }
        let answers = answers.unwrap_or_else(|error| vec![Err(error)]);
        for (request, answer) in group.into_iter().zip(answers) {
            // Whoever asked may have gone.
            drop(request.answer.send(answer));
        }
    }

    /// Appends requests, syncs each touched partition once; one answer for each, or nothing was appended.
    fn append(&self, requests: &[&Pending]) -> Result<Vec<Answer>, ProduceError> {
        if self.is_deleted() {
            return Err(ProduceError::NoTopic(self.name.clone()));
        }
        let now_ms = self.clock.wall_ms();
        let partitions = self.partitions.read().clone();
        let mut ends: Vec<NextOffset> = partitions.iter().map(|partition| partition.end()).collect();
        let mut additions: BTreeMap<u32, Vec<Addition>> = BTreeMap::new();
        let mut answers = vec![];
        for request in requests {
            let key = request.idempotency_key.as_deref();
            let known = key.and_then(|key| self.remembered.lock().get(key).cloned()).unwrap_or_default();
            let placed = self.place(request, known, &mut ends, now_ms);
            answers.push(placed.map(|(placed, frames)| {
                frames.into_iter().for_each(|(number, frame)| additions.entry(number).or_default().push(frame));
                placed
            }));
        }
        self.write(&partitions, &additions).map_err(|error| ProduceError::Disk {
            topic: self.name.clone(),
            reason: error.to_string(),
            full: error.kind() == io::ErrorKind::StorageFull,
        })?;
        let mut remembered = self.remembered.lock();
        for (request, answer) in requests.iter().zip(&answers) {
            if let (Some(key), Ok(placed)) = (&request.idempotency_key, answer) {
                let digest =
                    |record: &ProduceRecord| frame::digest(record.key.as_ref(), record.value.as_ref(), &record.headers);
                let records = placed.iter().zip(&request.records);
                let records = records.map(|(at, record)| Placed { at: *at, digest: digest(record) });
                remembered.add(key, now_ms, count(placed.len()), (0..).zip(records));
            }
        }
        Ok(answers)
    }

    /// Gives each record of a request its place; those that are known keep theirs and are not written again.
    #[expect(clippy::type_complexity, reason = "places in order, and frames by partition, are used once")]
    fn place(
        &self,
        request: &Pending,
        known: Known,
        ends: &mut [NextOffset],
        now_ms: i64,
    ) -> Result<(Vec<ProducedAt>, Vec<(u32, Addition)>), ProduceError> {
        let of_request = count(request.records.len());
        if !known.placed.is_empty() && known.of_request != of_request {
            let reason = format!(
                "its idempotency key was used for a request of {} records, this one has {of_request}",
                known.of_request
            );
            return Err(ProduceError::Refused { topic: self.name.clone(), reason });
        }
        for (position, placed) in &known.placed {
            let record = request.records.get(*position as usize);
            let same = |record: &ProduceRecord| {
                frame::digest(record.key.as_ref(), record.value.as_ref(), &record.headers) == placed.digest
            };
            if !record.is_some_and(same) {
                let reason = format!(
                    "its idempotency key was used for another request, whose record {position} (counted from 0) was not \
                     this one: take a new key for new records"
                );
                return Err(ProduceError::Refused { topic: self.name.clone(), reason });
            }
        }
        let mut placed: BTreeMap<u32, ProducedAt> =
            known.placed.into_iter().map(|(position, placed)| (position, placed.at)).collect();
        let partitions = count(ends.len());
        let mut chosen = vec![];
        for (position, record) in (0_u32..).zip(&request.records) {
            if !placed.contains_key(&position) {
                chosen.push((position, record, self.choose(record, partitions)?));
            }
        }
        let mut by_partition: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
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
                count: count(records.len()),
                of_request,
                idempotency_key: request.idempotency_key.clone(),
            };
            ends[number as usize] = head.end();
            let newest_ms = records.iter().map(|record| record.timestamp_ms).max().unwrap_or(now_ms);
            let mut bytes = vec![];
            frame::encode(&head, &records, &mut bytes);
            frames.push((number, Addition { head, bytes, newest_ms }));
        }
        Ok((placed.into_values().collect(), frames))
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
        let mut appended: Vec<(&Arc<Partition>, u64)> = vec![];
        let written = (|| {
            for (number, of) in additions {
                let partition = &partitions[*number as usize];
                appended.push((partition, partition.append(of, self.options.file_bytes)?));
            }
            appended.iter().try_for_each(|(partition, _)| partition.sync())
        })();
        if let Err(error) = written {
            for (partition, before) in appended {
                if let Err(stuck) = partition.take_back(before) {
                    tracing::error!(topic = %self.name, error = %stuck, "an append could not be taken back");
                }
            }
            return Err(error);
        }
        for (number, of) in additions {
            partitions[*number as usize].publish(of);
        }
        Ok(())
    }

    /// Says that `holder` needs nothing of the topic any more.
    pub(super) fn release(&self, holder: &str) {
        self.partitions.read().iter().for_each(|partition| partition.release(holder));
    }

    /// Deletes what is old, now and then; waits for an append that is under way.
    pub(super) fn retain(&self) {
        let _writing = self.writing.lock();
        if !self.is_deleted() {
            self.delete_old();
        }
    }

    /// Whoever calls it holds `writing`.
    fn delete_old(&self) {
        let now_ms = self.clock.wall_ms();
        let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let last = self.retained_ms.load(Ordering::Relaxed);
        if now_ms - last < millis(self.options.retain_every) {
            return;
        }
        self.retained_ms.store(now_ms, Ordering::Relaxed);
        for partition in &*self.partitions.read().clone() {
            let older_than = now_ms.saturating_sub(millis(self.options.retention));
            if let Err(error) = partition.retain(older_than, self.options.retention_bytes) {
                tracing::warn!(topic = %self.name, %error, "old records cannot be deleted");
            }
        }
    }
}

fn placed<'a>(partition: u32, head: &'a FrameHead, records: &'a [Record]) -> impl Iterator<Item = (u32, Placed)> + 'a {
    let at = move |(at, record): (u64, &Record)| {
        let offset = NextOffset::new(head.base.number() + at);
        let digest = frame::digest(record.key.as_ref(), record.value.as_ref(), &record.headers);
        (record.position, Placed { at: ProducedAt { partition, offset }, digest })
    };
    (0..).zip(records).map(at)
}

/// A number of records or partitions: both are bounded far below 4 G.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn partition_dir(dir: &Path, id: &str, number: u32) -> PathBuf {
    dir.join(id).join(number.to_string())
}

/// Deletes the topic in a folder for good, whatever state it is in.
pub(super) fn delete(disk: &SharedDisk, dir: &Path) -> io::Result<()> {
    disk.write_whole(&dir.join(META), DELETED.as_bytes())?;
    remove(disk, dir)
}

/// Removes a deleted topic's folder. What a crash leaves of it is under its own id, which nobody opens.
fn remove(disk: &SharedDisk, dir: &Path) -> io::Result<()> {
    disk.remove_dir_all(dir)?;
    dir.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// What stands in the place of a topic whose deletion is under way.
const DELETED: &str = r#"{"v":1,"deleted":true}"#;

enum Meta {
    Absent,
    Deleted,
    Topic { id: String, partitions: u32 },
}

fn write_meta(disk: &SharedDisk, dir: &Path, id: &str, partitions: u32) -> io::Result<()> {
    let meta = serde_json::json!({ "v": 1, "id": id, "partitions": partitions });
    disk.write_whole(&dir.join(META), meta.to_string().as_bytes())
}

fn read_meta(disk: &SharedDisk, dir: &Path) -> io::Result<Meta> {
    let path = dir.join(META);
    if disk.byte_count(&path)?.is_none() {
        return Ok(Meta::Absent);
    }
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let meta: serde_json::Value =
        serde_json::from_slice(&disk.read(&path)?).map_err(|error| bad(&error.to_string()))?;
    if meta["v"] != 1 {
        return Err(bad("it was written by a newer version"));
    }
    if meta["deleted"] == true {
        return Ok(Meta::Deleted);
    }
    let partitions = meta["partitions"].as_u64().and_then(|count| u32::try_from(count).ok());
    match (meta["id"].as_str(), partitions) {
        (Some(id), Some(partitions)) => Ok(Meta::Topic { id: id.to_owned(), partitions }),
        _ => Err(bad("it names no id and partitions")),
    }
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
