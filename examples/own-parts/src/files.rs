//! A connector: a topic is a folder, its partitions are the files `0.log`, `1.log` ... in it, a message is a line, an offset
//! the position of its first byte.

use async_trait::async_trait;
use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};
use weir_server::parts::{
    FetchLimit, MessageBatch, Messages, NextOffset, OffsetRange, OwnStream, PartitionReader, StartAt, StreamError,
    StreamSource, TopicName, Watermarks,
};

/// `streamType` is `files`; `stream.files.prop.folder` holds the topics' folders.
pub(crate) const CONNECTOR: OwnStream = OwnStream {
    name: "files",
    source: |spec| {
        let topic = spec.topic.to_string();
        match spec.settings.get("folder") {
            Some(folder) => {
                let folder = PathBuf::from(folder).join(&topic);
                Ok(std::sync::Arc::new(Folder { topic, folder, wait: spec.fetch_timeout }))
            }
            None => Err(StreamError::Setting {
                topic,
                key: "stream.files.prop.folder".into(),
                reason: "is missing: it names the folder with the topics' folders".into(),
            }),
        }
    },
};

#[derive(Clone)]
struct Folder {
    topic: String,
    folder: PathBuf,
    wait: Duration,
}

impl Folder {
    fn unreachable(&self, error: &std::io::Error) -> StreamError {
        StreamError::Unreachable { topic: self.topic.clone(), reason: format!("{}: {error}", self.folder.display()) }
    }

    fn file(&self, partition: u32) -> Result<File, StreamError> {
        File::open(self.folder.join(format!("{partition}.log"))).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StreamError::PartitionMissing { topic: self.topic.clone(), partition },
            _ => self.unreachable(&error),
        })
    }
}

// Local files answer at once. What may wait has to be awaited, or belongs on a thread of its own.
#[async_trait]
impl StreamSource for Folder {
    async fn partitions(&self) -> Result<Vec<u32>, StreamError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let hint = format!(": make the folder {}", self.folder.display());
                return Err(StreamError::TopicMissing { topic: self.topic.clone(), hint });
            }
            Err(error) => return Err(self.unreachable(&error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found: Vec<u32> = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
        found.sort_unstable();
        Ok(found)
    }

    async fn topics(&self) -> Result<Vec<TopicName>, StreamError> {
        Ok(TopicName::parse(&self.topic).into_iter().collect())
    }

    async fn watermarks(&self, partition: u32) -> Result<Watermarks, StreamError> {
        let length = self.file(partition)?.metadata().map_err(|error| self.unreachable(&error))?.len();
        Ok(Watermarks { low: NextOffset::ZERO, high: NextOffset::new(length) })
    }

    async fn resolve(&self, partition: u32, at: &StartAt, _now_ms: i64) -> Result<NextOffset, StreamError> {
        let held = self.watermarks(partition).await?;
        Ok(match at {
            StartAt::Latest => held.high,
            StartAt::Offset(offset) => *offset,
            // Lines have no times: a table that asks for some gets all.
            StartAt::Earliest | StartAt::Ago(_) | StartAt::TimestampMs(_) => held.low,
        })
    }

    async fn open(&self, partition: u32, from: NextOffset) -> Result<Box<dyn PartitionReader>, StreamError> {
        Ok(Box::new(Reader { file: self.file(partition)?, folder: self.clone(), partition, next: from, fresh: true }))
    }

    /// Offsets are positions of bytes.
    fn dense(&self) -> bool {
        false
    }
}

struct Reader {
    folder: Folder,
    file: File,
    partition: u32,
    next: NextOffset,
    /// Nothing was said yet: a reader that is opened at the end says so at once.
    fresh: bool,
}

impl Reader {
    fn take(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        let failed = |error: std::io::Error| self.folder.unreachable(&error);
        let length = self.file.metadata().map_err(failed)?.len();
        let from = self.next.number();
        let high = NextOffset::new(length);
        if from > length {
            let held = Watermarks { low: NextOffset::ZERO, high };
            let (topic, partition) = (self.folder.topic.clone(), self.partition);
            return Err(StreamError::OutOfRange { topic, partition, asked: self.next, held });
        }
        self.file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut bytes = vec![];
        let mut most = limit.max_bytes as u64;
        // A line that is longer than one fetch still comes, alone.
        while bytes.len() < (length - from) as usize && !bytes.contains(&b'\n') {
            (&mut self.file).take(most).read_to_end(&mut bytes).map_err(failed)?;
            most = most.saturating_mul(2);
        }
        let mut lines = vec![];
        let mut start = 0;
        // What stands behind the last line's end is still being written.
        while let Some(length) = bytes[start..].iter().position(|byte| *byte == b'\n')
            && lines.len() < limit.max_messages
        {
            lines.push(Line {
                offset: NextOffset::new(from + start as u64),
                text: bytes[start..start + length].to_vec(),
            });
            start += length + 1;
        }
        let range = OffsetRange::try_new(self.next, NextOffset::new(from + start as u64)).expect("positions ascend");
        Ok(MessageBatch {
            range,
            messages: Box::new(Lines(lines)),
            high_watermark: Some(high),
            low_watermark: Some(NextOffset::ZERO),
        })
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn next_batch(&mut self, limit: FetchLimit) -> Result<MessageBatch, StreamError> {
        /// A line is seen within this.
        const LOOK: Duration = Duration::from_millis(20);
        let deadline = tokio::time::Instant::now() + self.folder.wait;
        loop {
            let batch = self.take(limit)?;
            if !batch.messages.is_empty() || self.fresh || tokio::time::Instant::now() >= deadline {
                self.fresh = false;
                self.next = batch.range.end();
                return Ok(batch);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

struct Line {
    offset: NextOffset,
    text: Vec<u8>,
}

struct Lines(Vec<Line>);

impl Messages for Lines {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn offset(&self, at: usize) -> NextOffset {
        self.0[at].offset
    }

    fn timestamp_ms(&self, _at: usize) -> Option<i64> {
        None
    }

    fn key(&self, _at: usize) -> Option<&[u8]> {
        None
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        Some(&self.0[at].text)
    }

    fn header(&self, _at: usize, _name: &str) -> Option<&[u8]> {
        None
    }
}
