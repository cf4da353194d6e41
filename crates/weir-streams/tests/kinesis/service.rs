//! The stand-in for Kinesis, and a proxy before it that answers some calls itself.

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
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use weir_streams::{FetchLimit, PartitionReader, SharedSource, kinesis};
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

pub(crate) const LIMIT: FetchLimit = FetchLimit { max_messages: 100, max_bytes: 1 << 20 };
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Service {
    pub(crate) address: String,
    client: Client,
}

pub(crate) fn spec(stream: &str, settings: &[(&str, &str)]) -> StreamSpec {
    StreamSpec {
        stream_type: "kinesis".into(),
        topic: TopicName::parse(stream).unwrap(),
        start_at: StartAt::Earliest,
        decoder: "json".into(),
        decoder_settings: BTreeMap::new(),
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        fetch_timeout: Duration::from_millis(500),
        only_partitions: None,
        auto_reset: None,
        rate_limit: None,
    }
}

/// A table's source at an address.
pub(crate) fn source_at(address: &str, stream: &str, settings: &[(&str, &str)]) -> SharedSource {
    let endpoint = format!("http://{address}");
    let own = [
        ("region", "us-east-1"),
        ("accessKey", "key"),
        ("secretKey", "secret"),
        ("endpoint", &*endpoint),
        ("requests_per_second_limit", "1000"),
    ];
    let all: Vec<(&str, &str)> = own.into_iter().chain(settings.iter().copied()).collect();
    kinesis::source(&spec(stream, &all), Arc::default()).unwrap()
}

/// Reads so many records, which follow one another.
pub(crate) async fn read(reader: &mut Box<dyn PartitionReader>, count: usize) -> Vec<(NextOffset, String)> {
    let until = tokio::time::Instant::now() + DEADLINE;
    let (mut rows, mut next) = (vec![], None);
    while rows.len() < count {
        assert!(tokio::time::Instant::now() < until, "{} of {count} records came", rows.len());
        let batch = reader.next_batch(LIMIT).await.unwrap();
        assert!(next.is_none_or(|next| next == batch.range.start()), "batches follow one another");
        next = Some(batch.range.end());
        for at in 0..batch.messages.len() {
            let value = batch.messages.value(at).unwrap_or_default();
            rows.push((batch.messages.offset(at), String::from_utf8_lossy(value).into_owned()));
        }
    }
    assert_eq!(rows.len(), count, "no more than there are");
    rows
}

impl Service {
    /// The one that the environment names; otherwise says that the test is skipped.
    pub(crate) fn find() -> Option<Self> {
        let Ok(address) = std::env::var("WEIR_KINESIS") else {
            let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
            assert!(!required, "WEIR_KINESIS names no service, and WEIR_TEST_REAL=required asks for one");
            eprintln!("skipped: WEIR_KINESIS names no service");
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

    pub(crate) async fn stream(&self, test: &str, shards: i32) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let name = format!("it-{test}-{}-{now}", std::process::id());
        self.client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        self.ready(&name).await;
        name
    }

    /// Deletes a stream and makes it again, with one shard, in another second.
    pub(crate) async fn make_anew(&self, stream: &str) {
        self.client.delete_stream().stream_name(stream).send().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        self.client.create_stream().stream_name(stream).shard_count(1).send().await.unwrap();
        self.ready(stream).await;
    }

    async fn ready(&self, stream: &str) {
        let until = tokio::time::Instant::now() + DEADLINE;
        loop {
            let told = self.client.describe_stream().stream_name(stream).send().await.unwrap();
            if told.stream_description().is_some_and(|told| *told.stream_status() == StreamStatus::Active) {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "{stream} becomes active");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The shards, by number.
    pub(crate) async fn shards(&self, stream: &str) -> Vec<Shard> {
        let mut shards = self.client.list_shards().stream_name(stream).send().await.unwrap().shards.unwrap();
        shards.sort_by(|one, other| one.shard_id.cmp(&other.shard_id));
        shards
    }

    /// Appends records to one shard, in order.
    pub(crate) async fn append(&self, stream: &str, shard: usize, records: Vec<(String, Vec<u8>)>) {
        let shards = self.shards(stream).await;
        let hash = shards[shard].hash_key_range().unwrap().starting_hash_key().to_owned();
        for some in records.chunks(400) {
            let entry = |(key, data): &(String, Vec<u8>)| {
                PutRecordsRequestEntry::builder()
                    .partition_key(key)
                    .explicit_hash_key(&hash)
                    .data(Blob::new(data.clone()))
                    .build()
                    .unwrap()
            };
            let put = self.client.put_records().stream_name(stream).set_records(Some(some.iter().map(entry).collect()));
            let answer = put.send().await.unwrap();
            assert_eq!(answer.failed_record_count(), Some(0));
        }
    }

    pub(crate) async fn values(&self, stream: &str, shard: usize, values: impl IntoIterator<Item = String>) {
        let records = values.into_iter().map(|value| ("k".to_owned(), value.into_bytes())).collect();
        self.append(stream, shard, records).await;
    }

    /// Splits a shard in the middle.
    pub(crate) async fn split(&self, stream: &str, shard: usize) {
        let shard = self.shards(stream).await.remove(shard);
        let range = shard.hash_key_range().unwrap();
        let number = |text: &str| text.parse::<u128>().unwrap();
        let (from, to) = (number(range.starting_hash_key()), number(range.ending_hash_key()));
        let middle = (from + (to - from) / 2).to_string();
        let split = self.client.split_shard().stream_name(stream).shard_to_split(&shard.shard_id);
        split.new_starting_hash_key(middle).send().await.unwrap();
        self.ready(stream).await;
    }

    /// Merges two neighbours.
    pub(crate) async fn merge(&self, stream: &str, one: usize, other: usize) {
        let shards = self.shards(stream).await;
        let merge = self.client.merge_shards().stream_name(stream).shard_to_merge(&shards[one].shard_id);
        merge.adjacent_shard_to_merge(&shards[other].shard_id).send().await.unwrap();
        self.ready(stream).await;
    }
}

/// What the proxy does with a call: `None` passes it on, else status 400 with this error.
pub(crate) type Fault = Arc<dyn Fn(&str) -> Option<&'static str> + Send + Sync>;

/// A proxy before the service, which asks `fault` of each call by its name.
pub(crate) async fn proxy(service: &str, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, service) = (listener.local_addr().unwrap().to_string(), service.to_owned());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (service, fault) = (service.clone(), fault.clone());
            // A client that goes away ends its connection.
            tokio::spawn(async move { drop(serve(client, &service, &fault).await) });
        }
    });
    address
}

async fn serve(mut client: TcpStream, service: &str, fault: &Fault) -> std::io::Result<()> {
    loop {
        let Some(request) = message(&mut client).await? else { return Ok(()) };
        let head = String::from_utf8_lossy(&request).to_lowercase();
        let name =
            head.split("kinesis_20131202.").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or_default();
        let answer = match fault(name) {
            Some(error) => {
                let body = format!("{{\"__type\":\"{error}\",\"message\":\"by the proxy\"}}");
                let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1";
                format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
            }
            None => {
                let mut service = TcpStream::connect(service).await?;
                service.write_all(&request).await?;
                message(&mut service).await?.unwrap_or_default()
            }
        };
        client.write_all(&answer).await?;
    }
}

/// One HTTP message: head and a body of the length that the head says.
async fn message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut all = vec![];
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        all.extend_from_slice(&buffer[..read]);
        let Some(head) = all.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&all[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if all.len() >= head + 4 + length.unwrap_or(0) {
            return Ok(Some(all));
        }
    }
}
