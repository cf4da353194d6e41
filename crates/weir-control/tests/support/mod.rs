//! A catalog on a disk, and tables, seals and artifacts to put into it.

mod configs;

pub(crate) use configs::{capabilities, schema_json, table_json};

use serde_json::Value as Json;
use std::{path::PathBuf, sync::Arc};
use weir_base::disk::{MemDisk, SharedDisk};
use weir_control::{
    Artifact, NewTable, OpenSize, RedbCatalog, Seal, SealReason, SegmentRecord, Store, TimeRange, parse_schema,
    parse_table,
};
use weir_types::{Accounting, ColumnName, NextOffset, OffsetRange, StreamPartition, TopicName};

pub(crate) struct Bench {
    pub(crate) disk: Arc<MemDisk>,
    on: SharedDisk,
    dir: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let disk = MemDisk::new(None);
        Self { on: disk.clone(), disk, dir: "/data".into() }
    }

    pub(crate) fn on(disk: SharedDisk, dir: impl Into<PathBuf>) -> Self {
        Self { disk: MemDisk::new(None), on: disk, dir: dir.into() }
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(Arc::new(
            RedbCatalog::open(self.on.clone(), self.dir.join("catalog.redb")).expect("the catalog opens"),
        ))
    }
}

pub(crate) fn new_table_of(name: &str, schema: &Json) -> NewTable {
    let schema = parse_schema(schema).expect("the schema is right");
    let table = parse_table(&table_json(name), Some(&schema.schema), &capabilities()).expect("the table is right");
    NewTable::from_parsed(table, schema)
}

pub(crate) fn new_table(name: &str) -> NewTable {
    new_table_of(name, &schema_json(name))
}

pub(crate) fn partition(number: u32) -> StreamPartition {
    StreamPartition { topic: TopicName::parse("orders").expect("it is a topic"), partition: number }
}

pub(crate) fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::try_new(NextOffset::new(start), NextOffset::new(end)).expect("it runs forward")
}

pub(crate) fn seal(messages: u64) -> Seal {
    let accounting = Accounting { fetched: messages, stored: messages, rows: messages, ..Accounting::default() };
    Seal {
        reason: SealReason::Rows,
        accounting,
        at_ms: 99,
        size: Some(OpenSize { column_bytes: 7, predicted_bytes: Some(9) }),
    }
}

pub(crate) fn artifact(record: &SegmentRecord) -> Artifact {
    artifact_of(&record.name.to_string())
}

pub(crate) fn artifact_of(name: &str) -> Artifact {
    Artifact {
        uri: format!("file:///deep/{name}"),
        key: name.to_owned(),
        crc: 0xdead_beef,
        byte_count: 12_345,
        rows: 50,
        min_time_ms: Some(-1),
        max_time_ms: None,
        built_ms: 100,
        uploaded_ms: 101,
        time_range: Some(TimeRange { column: ColumnName::parse("at").unwrap(), min: -1, max: 7 }),
        missing_indexes: vec![],
        settings: None,
    }
}
