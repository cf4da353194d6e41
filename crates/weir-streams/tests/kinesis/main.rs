//! Kinesis against a stand-in (kinesalite), whose address is `WEIR_KINESIS`; what it does not do, a proxy before it does.
//! Without one the tests say that they were skipped, or fail where `WEIR_TEST_REAL=required`.
#![cfg(feature = "kinesis")]
#![expect(clippy::unwrap_used, reason = "a test ends where the service does not do as it is told")]

mod service;

use service::{DEADLINE, LIMIT, Service, paged, proxy, read, source_at};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use weir_streams::{
    ProbeStep, SharedSource, StreamError,
    conformance::{self, Sent, Subject},
};
use weir_types::{NextOffset, StartAt};

struct OfKinesis {
    service: Service,
    stream: String,
}

#[async_trait::async_trait]
impl Subject for OfKinesis {
    fn source(&self) -> SharedSource {
        source_at(&self.service.address, &self.stream, &[])
    }

    fn missing(&self) -> SharedSource {
        source_at(&self.service.address, &format!("{}-missing", self.stream), &[])
    }

    async fn append(&self, partition: u32, messages: Vec<Sent>) {
        let record = |sent: &Sent| {
            let key = self.read_as(sent).key.map(|key| String::from_utf8(key).unwrap());
            (key.unwrap(), sent.value.clone().unwrap_or_default())
        };
        self.service.append(&self.stream, partition as usize, messages.iter().map(record).collect()).await;
    }

    /// Each record has a key.
    fn read_as(&self, sent: &Sent) -> Sent {
        Sent { key: Some(sent.key.clone().unwrap_or_else(|| b"none".to_vec())), ..sent.clone() }
    }

    fn largest(&self) -> usize {
        1 << 20
    }

    /// The service's clock is a record's time.
    fn keeps_times(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_stream() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("conformance", 2).await;
    conformance::run(&OfKinesis { service, stream }).await;
}

/// Offsets are kept, sequence numbers are not: one that is made of an offset leads to the same record.
#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_from_every_offset() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("offsets", 1).await;
    service.values(&stream, 0, (0..30).map(|n| n.to_string())).await;
    let all = read(&mut source_at(&service.address, &stream, &[]).open(0, NextOffset::ZERO).await.unwrap(), 30).await;
    for at in 0..all.len() {
        // A process that knows nothing.
        let source = source_at(&service.address, &stream, &[]);
        let mut reader = source.open(0, all[at].0).await.unwrap();
        assert_eq!(read(&mut reader, all.len() - at).await, all[at..], "from {at}");
        let mut reader = source.open(0, all[at].0.after()).await.unwrap();
        assert_eq!(read(&mut reader, all.len() - at - 1).await, all[at + 1..], "behind {at}");
    }
}

/// The first record of a fresh shard, which a reader behind the shard's own first number would miss.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_table_starts() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("starts", 1).await;
    let source = source_at(&service.address, &stream, &[]);
    assert_eq!(source.resolve(0, &StartAt::Earliest, 0).await.unwrap(), NextOffset::ZERO);
    assert_eq!(source.resolve(0, &StartAt::Latest, 0).await.unwrap(), NextOffset::ZERO);
    let mut early = source.open(0, NextOffset::ZERO).await.unwrap();
    service.values(&stream, 0, ["first".into(), "second".into()]).await;
    assert_eq!(read(&mut early, 2).await[0].1, "first");
    let latest = source.resolve(0, &StartAt::Latest, 0).await.unwrap();
    service.values(&stream, 0, ["third".into()]).await;
    let mut late = source.open(0, latest).await.unwrap();
    assert_eq!(read(&mut late, 1).await[0].1, "third");
    let oldest = source.resolve(0, &StartAt::Earliest, 0).await.unwrap();
    assert_eq!(read(&mut source.open(0, oldest).await.unwrap(), 3).await[0].1, "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_metadata_come_through() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("metadata", 1).await;
    service.append(&stream, 0, vec![("key".into(), b"value".to_vec()), ("gone".into(), vec![])]).await;
    let source = source_at(&service.address, &stream, &[]);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let until = Instant::now() + DEADLINE;
    let batch = loop {
        assert!(Instant::now() < until, "they come");
        let batch = reader.next_batch(LIMIT).await.unwrap();
        if !batch.messages.is_empty() {
            break batch;
        }
    };
    let messages = &batch.messages;
    assert_eq!((messages.key(0), messages.value(0)), (Some(&b"key"[..]), Some(&b"value"[..])));
    assert_eq!((messages.key(1), messages.value(1)), (Some(&b"gone"[..]), None), "without bytes it has no value");
    assert_eq!(messages.metadata(0, "partitionKey").as_deref(), Some("key"));
    assert_eq!(messages.metadata(0, "shardId").as_deref(), Some("shardId-000000000000"));
    assert_eq!(messages.metadata(0, "sequenceNumber").unwrap().len(), 56);
    assert_eq!(messages.metadata(0, "apprxArrivalTimestamp"), messages.timestamp_ms(0).map(|ms| ms.to_string()));
}

/// A split, then a merge: each record once, and those of the children behind those of their parents.
#[tokio::test(flavor = "multi_thread")]
async fn the_tree_of_shards_is_followed() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("tree", 1).await;
    service.values(&stream, 0, (0..10).map(|n| format!("root{n}"))).await;
    service.split(&stream, 0).await;
    for child in [1, 2] {
        service.values(&stream, child, (0..5).map(|n| format!("child{child}-{n}"))).await;
    }
    service.merge(&stream, 1, 2).await;
    service.values(&stream, 3, ["merged".to_owned()]).await;
    let source = source_at(&service.address, &stream, &[]);
    assert_eq!(source.partitions().await.unwrap(), [0, 1, 2, 3]);
    // The youngest first: it waits for its parents, and they for theirs.
    let mut readers = vec![];
    for shard in [3, 2, 1, 0] {
        readers.push((shard, source.open(shard, NextOffset::ZERO).await.unwrap()));
    }
    let (mut order, until) = (vec![], Instant::now() + DEADLINE);
    while order.len() < 21 {
        assert!(Instant::now() < until, "{order:?}");
        for (shard, reader) in &mut readers {
            let batch = reader.next_batch(LIMIT).await.unwrap();
            for at in 0..batch.messages.len() {
                order.push((*shard, String::from_utf8_lossy(batch.messages.value(at).unwrap()).into_owned()));
            }
        }
    }
    let place = |value: &str| order.iter().position(|(_, found)| found == value).unwrap();
    assert!(place("root9") < place("child1-0") && place("root9") < place("child2-0"), "{order:?}");
    assert!(place("child1-4") < place("merged") && place("child2-4") < place("merged"), "{order:?}");
    for shard in [1, 2] {
        let own: Vec<&str> = order.iter().filter(|(of, _)| *of == shard).map(|(_, value)| &**value).collect();
        assert_eq!(own, (0..5).map(|n| format!("child{shard}-{n}")).collect::<Vec<_>>());
    }
    // An ended shard stays at its end, which is told.
    let batch = readers[3].1.next_batch(LIMIT).await.unwrap();
    assert!(batch.messages.is_empty() && batch.range.is_empty());
    assert_eq!(batch.high_watermark, Some(batch.range.end()));
    // A table that starts again at its offsets reads on, and the tree's order is kept.
    let again = source_at(&service.address, &stream, &[]);
    let end = again.resolve(0, &StartAt::Latest, 0).await.unwrap();
    let mut root = again.open(0, end).await.unwrap();
    let mut child = again.open(1, NextOffset::ZERO).await.unwrap();
    let until = Instant::now() + DEADLINE;
    let mut came = 0;
    while came < 5 {
        assert!(Instant::now() < until, "the child is read once its parent's end was seen");
        assert!(root.next_batch(LIMIT).await.unwrap().messages.is_empty());
        came += child.next_batch(LIMIT).await.unwrap().messages.len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_made_anew_has_another_identity() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("anew", 1).await;
    let source = source_at(&service.address, &stream, &[]);
    let first = source.topic_id().await.unwrap().unwrap();
    assert_eq!(source.topic_id().await.unwrap().as_ref(), Some(&first));
    service.make_anew(&stream).await;
    assert_ne!(source.topic_id().await.unwrap().unwrap(), first);
}

/// What the service refuses for haste is waited out, and nothing is lost or read twice.
#[tokio::test(flavor = "multi_thread")]
async fn throttling_and_old_iterators_are_got_over() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("throttled", 1).await;
    service.values(&stream, 0, (0..40).map(|n| n.to_string())).await;
    let (calls, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, told) = (calls.clone(), refused.clone());
    let address = proxy(
        &service.address,
        Arc::new(move |name| {
            if name != "getrecords" {
                return None;
            }
            let error = match counted.fetch_add(1, Ordering::SeqCst) % 4 {
                0 => Some("ProvisionedThroughputExceededException"),
                2 => Some("ExpiredIteratorException"),
                _ => None,
            };
            told.fetch_add(usize::from(error.is_some()), Ordering::SeqCst);
            error
        }),
    )
    .await;
    let source = source_at(&address, &stream, &[("maxRecordsToFetch", "10")]);
    let mut reader = source.open(0, NextOffset::ZERO).await.unwrap();
    let started = Instant::now();
    // While it is waited, fetches end in their time with nothing.
    let first = reader.next_batch(LIMIT).await.unwrap();
    assert!(first.messages.is_empty() && started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let rows = read(&mut reader, 40).await;
    assert_eq!(
        rows.into_iter().map(|(_, value)| value).collect::<Vec<_>>(),
        (0..40).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    assert!(refused.load(Ordering::SeqCst) >= 3, "it was refused");
    assert!(started.elapsed() >= Duration::from_secs(1), "it was waited");
    assert!(calls.load(Ordering::SeqCst) < 40, "and not asked on and on");
}

/// Two tables that read one shard share its turns.
#[tokio::test(flavor = "multi_thread")]
async fn tables_share_one_limiter() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("limited", 1).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let count = move |name: &str| {
        counted.fetch_add(usize::from(name == "getrecords"), Ordering::SeqCst);
        None
    };
    let address = proxy(&service.address, Arc::new(count)).await;
    let endpoint = format!("http://{address}");
    let settings = [
        ("region", "us-east-1"),
        ("accessKey", "key"),
        ("secretKey", "secret"),
        ("endpoint", &*endpoint),
        ("requests_per_second_limit", "2"),
    ];
    let limits = Arc::default();
    let source = |limits: &Arc<_>| {
        weir_streams::kinesis::source(&service::spec(&stream, &settings), Arc::clone(limits)).unwrap()
    };
    let (one, other) = (source(&limits), source(&limits));
    let mut readers = [one.open(0, NextOffset::ZERO).await.unwrap(), other.open(0, NextOffset::ZERO).await.unwrap()];
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        for reader in &mut readers {
            reader.next_batch(LIMIT).await.unwrap();
        }
    }
    // A burst of five, and two a second for four seconds and the last fetch.
    let asked = calls.load(Ordering::SeqCst);
    assert!((7..=15).contains(&asked), "{asked} questions in four seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_says_where_it_ends() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ends = async |source: SharedSource, step: ProbeStep, named: &str, only: Option<&[u32]>| {
        let error = source.probe(only).await.unwrap_err();
        assert_eq!(error.step, step, "{error}");
        assert!(error.to_string().contains(named), "{error}");
        if step != ProbeStep::Partition {
            let said = source.partitions().await.unwrap_err();
            assert!(!said.to_string().contains("hunter2"), "{said}");
        }
    };
    ends(source_at(&free, "t", &[]), ProbeStep::Tcp, "endpoint", None).await;
    ends(source_at(&free, "t", &[]), ProbeStep::Tcp, &free, None).await;
    ends(source_at("no-such-host.invalid:80", "t", &[]), ProbeStep::Dns, "http://no-such-host.invalid:80: ", None)
        .await;
    let Some(service) = Service::find() else { return };
    let stream = service.stream("probe", 1).await;
    let at = |address: &str, stream: &str| source_at(address, stream, &[("secretKey", "hunter2")]);
    ends(at(&service.address, &format!("{stream}-none")), ProbeStep::Topic, "topic.name", None).await;
    ends(at(&service.address, &stream), ProbeStep::Partition, "none numbered 3", Some(&[0, 3])).await;
    for (error, step, named) in [
        ("UnrecognizedClientException", ProbeStep::Login, "accessKey"),
        ("InvalidSignatureException", ProbeStep::Login, "secretKey"),
        ("AccessDeniedException", ProbeStep::Acl, "kinesis:GetRecords"),
    ] {
        let refusing = proxy(&service.address, Arc::new(move |_| Some(error))).await;
        ends(at(&refusing, &stream), step, named, None).await;
    }
    let facts = at(&service.address, &stream).probe(None).await.unwrap();
    assert_eq!(facts.len(), 1);
    let missing = at(&service.address, &format!("{stream}-none")).open(0, NextOffset::ZERO).await.err();
    assert!(matches!(missing, Some(StreamError::TopicMissing { .. })));
}

/// Whoever looks for other things meanwhile, as a table's pipeline does, gives a fetch up and asks again: what an answer took
/// until then is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_also_to_those_who_wait_less_than_it_takes() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("slow", 1).await;
    service.values(&stream, 0, (0..20).map(|n| n.to_string())).await;
    let slow = |name: &str| {
        if name == "getrecords" {
            std::thread::sleep(Duration::from_millis(700));
        }
        None
    };
    let address = proxy(&service.address, Arc::new(slow)).await;
    let mut reader = source_at(&address, &stream, &[]).open(0, NextOffset::ZERO).await.unwrap();
    let (mut values, until) = (vec![], Instant::now() + DEADLINE);
    while values.len() < 20 {
        assert!(Instant::now() < until, "{values:?}");
        let asked = tokio::time::timeout(Duration::from_millis(150), reader.next_batch(LIMIT)).await;
        let Ok(batch) = asked else { continue };
        let messages = batch.unwrap().messages;
        values.extend((0..messages.len()).map(|at| String::from_utf8_lossy(messages.value(at).unwrap()).into_owned()));
    }
    assert_eq!(values, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// A stream of more shards than one answer holds; a page that is refused for haste begins the list anew.
#[tokio::test(flavor = "multi_thread")]
async fn shards_beyond_the_first_page_are_partitions_too() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("pages", 11).await;
    let never = usize::MAX;
    for (each, refused, calls) in [(4, never, 3), (11, never, 1), (4, 1, 5), (1, never, 11)] {
        let (address, counted) = paged(&service.address, each, refused).await;
        let found = source_at(&address, &stream, &[]).partitions().await.unwrap();
        assert_eq!(found, (0..11).collect::<Vec<u32>>(), "{each} at a time");
        assert_eq!(counted.load(Ordering::SeqCst), calls, "{each} at a time, the call {refused} refused");
    }
}

/// A list is refused for haste too.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_refused_is_asked_for_again() {
    let Some(service) = Service::find() else { return };
    let stream = service.stream("list", 3).await;
    let calls = AtomicUsize::new(0);
    let refuse_two = move |name: &str| {
        (name == "listshards" && calls.fetch_add(1, Ordering::SeqCst) < 2).then_some("LimitExceededException")
    };
    let address = proxy(&service.address, Arc::new(refuse_two)).await;
    assert_eq!(source_at(&address, &stream, &[]).partitions().await.unwrap(), [0, 1, 2]);
}
