//! Amazon Kinesis, through the service's own client.
//!
//! A shard is a partition; its number is that of its id. Offsets are the counters in sequence numbers (`sequence.rs`). The
//! tree of shards is followed by the parents that the service lists (`family.rs`); all tables of a process share one limiter.

mod api;
mod family;
mod keys;
mod limits;
mod reader;
mod role;
mod sequence;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;

use crate::{
    contract::{PartitionReader, SharedSource, StreamError, StreamSource, Watermarks},
    probe::{self, PartitionFact, ProbeError, ProbeStep},
};
use api::{Api, Failure, Shard};
use async_trait::async_trait;
use family::Family;
pub use limits::Limits;
use parking_lot::Mutex;
use reader::{KinesisReader, Place};
use settings::Settings;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

/// Readers that are opened at once are served by one list of shards: it serves for so long.
const SEEN_SERVES: Duration = Duration::from_secs(2);

/// A stream on Kinesis as a table's settings describe it; the service is not asked yet.
pub fn source(spec: &StreamSpec, limits: Arc<Limits>) -> Result<SharedSource, StreamError> {
    Ok(Arc::new(KinesisSource {
        topic: spec.topic.to_string(),
        settings: Settings::of(spec)?,
        fetch_timeout: spec.fetch_timeout,
        limits,
        family: Arc::new(Family::new(spec.only_partitions.clone())),
        api: Mutex::new(None),
        seen: tokio::sync::Mutex::new(None),
    }))
}

struct KinesisSource {
    topic: String,
    settings: Settings,
    fetch_timeout: Duration,
    limits: Arc<Limits>,
    family: Arc<Family>,
    api: Mutex<Option<Arc<Api>>>,
    seen: tokio::sync::Mutex<Option<(Instant, Vec<Shard>)>>,
}

impl KinesisSource {
    fn failed(&self, failure: Failure) -> StreamError {
        failure.at(&self.settings).into_error(&self.topic)
    }

    fn api(&self) -> Result<Arc<Api>, Failure> {
        let mut api = self.api.lock();
        if let Some(api) = &*api {
            return Ok(api.clone());
        }
        let made = Arc::new(Api::new(&self.settings, self.limits.clone())?);
        Ok(api.insert(made).clone())
    }

    async fn shards(&self) -> Result<Vec<Shard>, Failure> {
        let found = self.api()?.shards().await?;
        self.family.listed(&found);
        *self.seen.lock().await = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    async fn place(&self, partition: u32) -> Result<Place, StreamError> {
        let known = self.seen.lock().await.clone().filter(|(at, _)| at.elapsed() < SEEN_SERVES);
        let of = |shards: &[Shard]| shards.iter().find(|shard| shard.number == partition).cloned();
        let shard = match known.and_then(|(_, shards)| of(&shards)) {
            Some(shard) => Some(shard),
            None => of(&self.shards().await.map_err(|failure| self.failed(failure))?),
        };
        let shard = shard.ok_or_else(|| StreamError::PartitionMissing { topic: self.topic.clone(), partition })?;
        let api = self.api().map_err(|failure| self.failed(failure))?;
        Ok(Place { api, shard, topic: self.topic.clone() })
    }

    async fn probed(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        let shards = self.shards().await.map_err(|failure| failure.at(&self.settings).into_probe_error())?;
        let mut partitions: Vec<u32> = shards.iter().map(|shard| shard.number).collect();
        if let Some(missing) = probe::missing_partitions(only, &partitions) {
            return Err(missing);
        }
        partitions.retain(|partition| only.is_none_or(|only| only.contains(partition)));
        let fact = |partition| async move {
            let watermarks = self.watermarks(partition).await?;
            Ok::<_, StreamError>(PartitionFact { partition, watermarks })
        };
        Ok(futures::future::try_join_all(partitions.into_iter().map(fact)).await?)
    }
}

/// The service's clock is the world's: what came lately is looked for by it.
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl StreamSource for KinesisSource {
    async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        let shards = self.shards().await.map_err(|failure| self.failed(failure))?;
        Ok(shards.iter().map(|shard| shard.number).collect())
    }

    /// The stream alone: others are not the table's to see.
    async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        self.partitions().await?;
        Ok(TopicName::parse(&self.topic).into_iter().collect())
    }

    async fn topic_id(&self) -> Result<Option<Arc<str>>, StreamError> {
        let asked = async { self.api()?.created().await };
        let created = asked.await.map_err(|failure| self.failed(failure))?;
        Ok(created.map(|ms| ms.to_string().into()))
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        self.place(partition).await?.watermarks(wall_ms()).await
    }

    async fn resolve(&self, partition: u32, at: &StartAt, now_ms: i64) -> Result<NextOffset, StreamError> {
        let place = self.place(partition).await?;
        let since = match at {
            StartAt::Offset(offset) => return Ok(*offset),
            StartAt::Earliest => return Ok(place.oldest().await?.unwrap_or(NextOffset::ZERO)),
            StartAt::Latest => return Ok(place.end(wall_ms()).await?.unwrap_or(NextOffset::ZERO)),
            StartAt::Ago(ago) => now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
            StartAt::TimestampMs(from_ms) => *from_ms,
        };
        match place.since(since).await? {
            Some(found) => Ok(found),
            None => Ok(place.end(wall_ms()).await?.unwrap_or(NextOffset::ZERO)),
        }
    }

    async fn probe(&self, only: Option<&[u32]>) -> Result<Vec<PartitionFact>, ProbeError> {
        probe::within(ProbeStep::Tcp, self.probed(only)).await
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        let place = self.place(partition).await?;
        if from > NextOffset::ZERO && !place.holds_before(from).await? {
            // The service begins with its oldest record, and says nothing, where the one that is asked for is gone.
            let held = place.watermarks(wall_ms()).await?;
            let empty = held.high == NextOffset::ZERO;
            if !empty && (from < held.low || from > held.high) {
                return Err(StreamError::OutOfRange { topic: self.topic.clone(), partition, asked: from, held });
            }
        }
        Ok(Box::new(KinesisReader::new(place, self.family.clone(), from, self.fetch_timeout)))
    }

    fn dense(&self) -> bool {
        false
    }
}
