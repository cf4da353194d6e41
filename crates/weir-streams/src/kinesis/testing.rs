//! A stand-in for Kinesis, for tests: streams that are made and split, and records in them.
//!
//! Its address is `WEIR_KINESIS`. Where that is not set a test says that it was skipped, or fails where
//! `WEIR_TEST_REAL=required`.

use aws_sdk_kinesis::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    primitives::Blob,
    types::{PutRecordsRequestEntry, Shard, StreamStatus},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whatever has not come by then does not come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A service that answers. Its methods panic where it does not do as it is told.
pub struct TestKinesis {
    /// Its address, `host:port`.
    pub address: String,
    client: Client,
}

impl TestKinesis {
    /// The one that the environment names; otherwise says that the test is skipped.
    #[must_use]
    pub fn find() -> Option<Self> {
        let Ok(address) = std::env::var("WEIR_KINESIS") else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_KINESIS names no service, and WEIR_TEST_REAL=required asks for one");
            return None;
        };
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{address}"))
            .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"));
        Some(Self { address, client: Client::from_conf(config.build()) })
    }

    /// A stream's name that no other run uses.
    #[must_use]
    pub fn name(test: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        format!("it-{test}-{}-{now}", std::process::id())
    }

    /// Makes a stream of so many shards under a name of its own.
    pub async fn stream(&self, test: &str, shards: i32) -> String {
        let name = Self::name(test);
        self.create(&name, shards).await;
        name
    }

    /// Makes a stream of so many shards.
    pub async fn create(&self, name: &str, shards: i32) {
        self.client.create_stream().stream_name(name).shard_count(shards).send().await.expect("the stream is made");
        self.ready(name).await;
    }

    /// Deletes a stream and makes it again, with one shard, in another second.
    pub async fn make_anew(&self, stream: &str) {
        self.delete(stream).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        self.create(stream, 1).await;
    }

    /// Deletes a stream.
    pub async fn delete(&self, stream: &str) {
        self.client.delete_stream().stream_name(stream).send().await.expect("the stream is deleted");
    }

    async fn ready(&self, stream: &str) {
        let until = tokio::time::Instant::now() + DEADLINE;
        loop {
            let told = self.client.describe_stream().stream_name(stream).send().await.expect("it tells of the stream");
            if told.stream_description().is_some_and(|told| *told.stream_status() == StreamStatus::Active) {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "{stream} becomes active");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The shards, by number.
    pub async fn shards(&self, stream: &str) -> Vec<Shard> {
        let listed = self.client.list_shards().stream_name(stream).send().await.expect("it lists the shards");
        let mut shards = listed.shards.unwrap_or_default();
        shards.sort_by(|one, other| one.shard_id.cmp(&other.shard_id));
        shards
    }

    /// Appends records (key and data) to one shard, in order.
    pub async fn append(&self, stream: &str, shard: usize, records: Vec<(String, Vec<u8>)>) {
        let shards = self.shards(stream).await;
        let hash = shards[shard].hash_key_range().expect("a range").starting_hash_key().to_owned();
        for some in records.chunks(400) {
            let entry = |(key, data): &(String, Vec<u8>)| {
                PutRecordsRequestEntry::builder()
                    .partition_key(key)
                    .explicit_hash_key(&hash)
                    .data(Blob::new(data.clone()))
                    .build()
                    .expect("it is whole")
            };
            let put = self.client.put_records().stream_name(stream).set_records(Some(some.iter().map(entry).collect()));
            let answer = put.send().await.expect("the records are put");
            assert_eq!(answer.failed_record_count(), Some(0));
        }
    }

    /// Appends values to one shard, in order.
    pub async fn values(&self, stream: &str, shard: usize, values: impl IntoIterator<Item = String>) {
        let records = values.into_iter().map(|value| ("k".to_owned(), value.into_bytes())).collect();
        self.append(stream, shard, records).await;
    }

    /// Splits a shard in the middle.
    pub async fn split(&self, stream: &str, shard: usize) {
        let shard = self.shards(stream).await.remove(shard);
        let range = shard.hash_key_range().expect("a range");
        let number = |text: &str| text.parse::<u128>().expect("a number");
        let (from, to) = (number(range.starting_hash_key()), number(range.ending_hash_key()));
        let middle = (from + (to - from) / 2).to_string();
        let split = self.client.split_shard().stream_name(stream).shard_to_split(&shard.shard_id);
        split.new_starting_hash_key(middle).send().await.expect("the shard is split");
        self.ready(stream).await;
    }

    /// Merges two neighbours.
    pub async fn merge(&self, stream: &str, one: usize, other: usize) {
        let shards = self.shards(stream).await;
        let merge = self.client.merge_shards().stream_name(stream).shard_to_merge(&shards[one].shard_id);
        merge.adjacent_shard_to_merge(&shards[other].shard_id).send().await.expect("they are merged");
        self.ready(stream).await;
    }
}
