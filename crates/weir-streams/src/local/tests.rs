//! The local log against the suite of all streams, crashes, full disks and damage.

use super::*;
use crate::conformance::{self, Sent, Subject};
use weir_base::{MemDisk, RealDisk, SystemClock};

const TIMEOUT: Duration = Duration::from_millis(50);

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).expect("it is a topic's name")
}

struct Local(Arc<LocalLogs>);

#[async_trait::async_trait]
impl Subject for Local {
    fn source(&self) -> SharedSource {
        self.0.source(topic("t"), TIMEOUT)
    }

    fn missing(&self) -> SharedSource {
        self.0.source(topic("missing"), TIMEOUT)
    }

    async fn append(&self, partition: u32, messages: Vec<Sent>) {
        // Several requests, so that frames and records do not coincide.
        for chunk in messages.chunks(7) {
            let record = |sent: &Sent| ProduceRecord {
                partition: Some(partition),
                key: sent.key.clone().map(Bytes::from),
                value: sent.value.clone().map(Bytes::from),
                headers: vec![],
                timestamp_ms: Some(sent.timestamp_ms),
            };
            self.0.produce(&topic("t"), chunk.iter().map(record).collect(), None).await.expect("it is appended");
        }
    }
}

async fn conforms(dir: &Path, disk: SharedDisk, file_bytes: u64) {
    let options = LocalLogOptions { file_bytes, ..LocalLogOptions::default() };
    let logs = LocalLogs::open(dir, disk, SystemClock::shared(), options).expect("it opens");
    assert!(logs.create_topic(&topic("t"), 2).expect("it is made"));
    conformance::run(&Local(logs)).await;
}

#[tokio::test]
async fn it_is_a_stream_on_a_real_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    conforms(&dir.path().join("big"), Arc::new(RealDisk), 64 << 20).await;
    // Small files: reading goes over their ends.
    conforms(&dir.path().join("small"), Arc::new(RealDisk), 300).await;
}

#[tokio::test]
async fn it_is_a_stream_in_memory() {
    conforms(Path::new("log"), MemDisk::new(None), 64 << 20).await;
    conforms(Path::new("log"), MemDisk::new(None), 300).await;
}
