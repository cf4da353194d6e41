//! Tables and schemas: made, changed, dropped.

use crate::{
    catalog::{Check, Op},
    history::AuditEntry,
    records::{NewTable, PauseInfo, StoredSchema, TableRecord},
    retention::Leftover,
    store::{KEYS_AT_ONCE, Store, StoreError, TRIES, keys, stored, stored_removals},
    topics::PartPause,
};
use std::sync::Arc;
use weir_types::{Schema, SchemaVersion, TableName, TopicName};

impl Store {
    /// All tables, by name.
    pub async fn tables(&self) -> Result<Vec<TableRecord>, StoreError> {
        let found = self.catalog.list(keys::TABLES).await?;
        found.iter().map(|(key, entry)| stored::decode_table(key, &entry.value, entry.version)).collect()
    }

    /// One table.
    pub async fn table(&self, name: &TableName) -> Result<Option<TableRecord>, StoreError> {
        let key = keys::table(name);
        let found = self.catalog.get(&key).await?;
        found.map(|entry| stored::decode_table(&key, &entry.value, entry.version)).transpose()
    }

    /// Makes a table under an identity of its own. Conflict where there is one of that name.
    pub async fn create_table(
        &self,
        new: NewTable,
        now_ms: i64,
        audit: &[AuditEntry],
    ) -> Result<TableRecord, StoreError> {
        self.finish_drops().await?;
        let key = keys::table(&new.spec.name);
        for _ in 0..TRIES {
            let last = self.catalog.get(keys::UIDS).await?;
            let last_uid = last.as_ref().map_or(Ok(0), |entry| read_uid(&entry.value))?;
            let mut record = TableRecord { uid: last_uid + 1, created_ms: now_ms, ..new.draft() };
            record.schema = Arc::new(with_version(&record.schema, SchemaVersion(1)));
            let checks =
                vec![Check::absent(&key), Check { key: keys::UIDS.into(), version: last.map(|entry| entry.version) }];
            let ops = vec![
                Op::Put(key.clone(), stored::encode_table(&record)),
                Op::Put(keys::UIDS.into(), record.uid.to_string().into_bytes()),
            ];
            match self.txn_audited(checks, ops, audit).await? {
                Ok(version) => return Ok(TableRecord { version, ..record }),
                Err(conflict) if conflict == key => {
                    return Err(StoreError::conflict(format!("table {} exists already", new.spec.name)));
                }
                Err(_) => {}
            }
        }
        Err(StoreError::conflict(format!("table {} could not be given an identity", new.spec.name)))
    }

    /// Changes a table's settings and schema; identity, age, pauses and topics' numbers stay. Topics that it reads no more
    /// are kept as retired. Conflict where it changed since `before`.
    pub async fn replace_table(
        &self,
        before: &TableRecord,
        new: NewTable,
        audit: &[AuditEntry],
    ) -> Result<TableRecord, StoreError> {
        if new.spec.name != before.spec.name {
            let what = format!("table {} cannot become {}", before.spec.name, new.spec.name);
            return Err(StoreError::contradiction(what));
        }
        let (SchemaVersion(last), same) = (before.schema.version, same_columns(&before.schema, &new.schema));
        let version = SchemaVersion(if same { last } else { last + 1 });
        let mut record = TableRecord {
            uid: before.uid,
            created_ms: before.created_ms,
            paused: before.paused.clone(),
            part_pauses: before.part_pauses.clone(),
            topics: before.topics.clone(),
            ..new.draft()
        }
        .with_topics(new.reads())
        .retiring(before);
        record.schema = Arc::new(with_version(&record.schema, version));
        self.put_table(before, record, audit).await
    }

    /// Remembers what of a table is paused. Conflict where it changed since `before`.
    pub async fn set_pauses(
        &self,
        before: &TableRecord,
        paused: Option<PauseInfo>,
        part_pauses: Vec<PartPause>,
        audit: &[AuditEntry],
    ) -> Result<TableRecord, StoreError> {
        self.put_table(before, TableRecord { paused, part_pauses, ..before.clone() }, audit).await
    }

    /// Gives numbers to topics that a pattern found. Conflict where the table changed since `before`.
    pub async fn add_topics(
        &self,
        before: &TableRecord,
        topics: &[TopicName],
        audit: &[AuditEntry],
    ) -> Result<TableRecord, StoreError> {
        self.put_table(before, before.clone().with_topics(topics), audit).await
    }

    async fn put_table(
        &self,
        before: &TableRecord,
        record: TableRecord,
        audit: &[AuditEntry],
    ) -> Result<TableRecord, StoreError> {
        let key = keys::table(&before.spec.name);
        let ops = vec![Op::Put(key.clone(), stored::encode_table(&record))];
        match self.txn_audited(vec![Check::at(&key, before.version)], ops, audit).await? {
            Ok(version) => Ok(TableRecord { version, ..record }),
            Err(_) if self.catalog.get(&key).await?.is_none() => Err(no_table(&before.spec.name)),
            Err(_) => {
                let what = format!("table {} was changed by somebody else meanwhile: read it again", before.spec.name);
                Err(StoreError::conflict(what))
            }
        }
    }

    /// Drops a table: at once it is gone by name, then its keys are removed in bounded transactions. Dies in between:
    /// the next table made or dropped, or `finish_drops`, removes the rest. It is a leftover from then on. `None` where there
    /// is no such table.
    pub async fn drop_table(
        &self,
        name: &TableName,
        now_ms: i64,
        audit: &[AuditEntry],
    ) -> Result<Option<TableRecord>, StoreError> {
        self.finish_drops().await?;
        let key = keys::table(name);
        for _ in 0..TRIES {
            let Some(entry) = self.catalog.get(&key).await? else { return Ok(None) };
            let record = stored::decode_table(&key, &entry.value, entry.version)?;
            let marked = Op::Put(keys::dropping(record.uid), name.as_str().as_bytes().to_vec());
            let (uid, created_ms) = (record.uid, record.created_ms);
            let left = Leftover { uid, table: name.clone(), created_ms, dropped_ms: now_ms };
            let left = Op::Put(keys::dropped(uid), stored_removals::encode_leftover(&left));
            let ops = vec![Op::Delete(key.clone()), marked, left];
            if self.txn_audited(vec![Check::at(&key, entry.version)], ops, audit).await?.is_ok() {
                self.remove_keys(record.uid).await?;
                return Ok(Some(record));
            }
        }
        Err(StoreError::conflict(format!("table {name} is being changed all the time")))
    }

    /// Removes what dropped tables left behind when a drop was cut short; says how many there were.
    pub async fn finish_drops(&self) -> Result<usize, StoreError> {
        let left = self.catalog.list(keys::DROPPING).await?;
        for (key, _) in &left {
            let uid = keys::uid_of_dropping(key).ok_or_else(|| StoreError::Unreadable {
                key: key.clone(),
                reason: "it does not end in a table's uid".into(),
            })?;
            self.remove_keys(uid).await?;
        }
        Ok(left.len())
    }

    async fn remove_keys(&self, uid: u64) -> Result<(), StoreError> {
        for prefix in keys::all_of(uid) {
            let found = self.catalog.list(&prefix).await?;
            for part in found.chunks(KEYS_AT_ONCE) {
                let ops = part.iter().map(|(key, _)| Op::Delete(key.clone())).collect();
                // Without checks there is nothing to conflict with.
                self.txn(vec![], ops).await?.ok();
            }
        }
        self.txn(vec![], vec![Op::Delete(keys::dropping(uid))]).await?.ok();
        Ok(())
    }

    /// The last identity that a table was given; 0 where none was.
    pub async fn last_uid(&self) -> Result<u64, StoreError> {
        self.catalog.get(keys::UIDS).await?.map_or(Ok(0), |entry| read_uid(&entry.value))
    }

    /// All schemas that stand on their own, by name.
    pub async fn schemas(&self) -> Result<Vec<StoredSchema>, StoreError> {
        let found = self.catalog.list(keys::SCHEMAS).await?;
        found.iter().map(|(key, entry)| stored::decode_schema(key, &entry.value, entry.version)).collect()
    }

    /// One schema.
    pub async fn schema(&self, name: &str) -> Result<Option<StoredSchema>, StoreError> {
        let key = keys::schema(name);
        let found = self.catalog.get(&key).await?;
        found.map(|entry| stored::decode_schema(&key, &entry.value, entry.version)).transpose()
    }

    /// Puts a schema, new or in place of one of its name.
    pub async fn put_schema(&self, schema: &crate::spec::ParsedSchema) -> Result<StoredSchema, StoreError> {
        let key = keys::schema(&schema.schema.name);
        let ops = vec![Op::Put(key.clone(), stored::encode_schema(&schema.json))];
        match self.txn(vec![], ops).await? {
            Ok(version) => {
                Ok(StoredSchema { schema: Arc::new(schema.schema.clone()), json: schema.json.clone(), version })
            }
            Err(key) => Err(StoreError::conflict(format!("{key} changed meanwhile"))),
        }
    }

    /// Removes a schema; false where there is none. Conflict while a table of its name is there.
    pub async fn delete_schema(&self, name: &str) -> Result<bool, StoreError> {
        let key = keys::schema(name);
        let Some(entry) = self.catalog.get(&key).await? else { return Ok(false) };
        let table = format!("{}{name}", keys::TABLES);
        let checks = vec![Check::absent(&table), Check::at(&key, entry.version)];
        match self.txn(checks, vec![Op::Delete(key)]).await? {
            Ok(_) => Ok(true),
            Err(conflict) if conflict == table => {
                Err(StoreError::conflict(format!("schema {name} is used by table {name}: drop the table first")))
            }
            Err(_) => Err(StoreError::conflict(format!("schema {name} was changed meanwhile: try again"))),
        }
    }
}

pub(super) fn no_table(name: &TableName) -> StoreError {
    StoreError::not_found(format!("table {name} does not exist"))
}

fn read_uid(bytes: &[u8]) -> Result<u64, StoreError> {
    let text = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    text.ok_or_else(|| StoreError::Unreadable { key: keys::UIDS.into(), reason: "it is not a number".into() })
}

fn with_version(schema: &Schema, version: SchemaVersion) -> Schema {
    let mut schema = schema.clone();
    schema.version = version;
    schema
}

fn same_columns(a: &Schema, b: &Schema) -> bool {
    with_version(a, b.version) == *b
}
