//! The stand-in for Kinesis, and a proxy before it that answers some calls itself.

use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use weir_streams::{
    FetchLimit, PartitionReader, SharedSource,
    kinesis::{self, testing::TestKinesis},
};
use weir_types::{NextOffset, StartAt, StreamSpec, TopicName};

pub(crate) const LIMIT: FetchLimit = FetchLimit { max_messages: 100, max_bytes: 1 << 20 };
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Service(TestKinesis);

impl Deref for Service {
    type Target = TestKinesis;

    fn deref(&self) -> &TestKinesis {
        &self.0
    }
}

pub(crate) fn spec(stream: &str, settings: &[(&str, &str)]) -> StreamSpec {
    StreamSpec {
        stream_type: "kinesis".into(),
        topic: TopicName::parse(stream).unwrap(),
        start_at: StartAt::Earliest,
        start_offsets: Default::default(),
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
        let found = TestKinesis::find().map(Self);
        if found.is_none() {
            eprintln!("skipped: WEIR_KINESIS names no service");
        }
        found
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

/// A proxy before the service, which lists shards so many at a time: the service gives a thousand of a stream at most, the
/// stand-in all. How often it was asked is counted, and the call of that number is refused for haste.
pub(crate) async fn paged(service: &str, each: usize, refused: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, service) = (listener.local_addr().unwrap().to_string(), service.to_owned());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        // What names the stream; a later page does not.
        let mut first = vec![];
        while let Ok((mut client, _)) = listener.accept().await {
            while let Ok(Some(request)) = message(&mut client).await {
                let text = String::from_utf8_lossy(&request);
                assert!(text.to_lowercase().contains("kinesis_20131202.listshards"), "only lists are asked for");
                let asked: Json = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
                let token = asked["NextToken"].as_str().map(|token| token.parse::<usize>().unwrap());
                assert!(token.is_none() || asked["StreamName"].is_null(), "the service refuses both at once");
                if token.is_none() {
                    first.clone_from(&request);
                }
                let call = counted.fetch_add(1, Ordering::SeqCst);
                let (status, body) = if call == refused {
                    ("400 Bad Request", json!({"__type": "LimitExceededException", "message": "by the proxy"}))
                } else {
                    let mut whole = TcpStream::connect(&service).await.unwrap();
                    whole.write_all(&first).await.unwrap();
                    let answer = message(&mut whole).await.unwrap().unwrap();
                    let text = String::from_utf8_lossy(&answer).into_owned();
                    let list: Json = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
                    let shards = list["Shards"].as_array().unwrap();
                    let from = token.unwrap_or(0);
                    let to = (from + each).min(shards.len());
                    let next = (to < shards.len()).then(|| to.to_string());
                    let mut page = json!({"Shards": shards[from..to]});
                    if let Some(next) = next {
                        page["NextToken"] = json!(next);
                    }
                    ("200 OK", page)
                };
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1");
                let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (address, calls)
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
