//! Schemas and tables: read from Pinot's JSON, made, changed, dropped, and looked at.

use crate::{
    node::{ListedSegment, Node, Refusal, control::FORCE_COMMITS_KEPT, listed::listed, secrets::check_references},
    pinot_json::{consuming::ForceCommitJob, segment::Loaded},
};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};
use weir_control::{
    Capabilities, DecoderKnown, NewTable, ParsedSchema, ParsedTable, SegmentState, SpecError, SpecErrors, StoredSchema,
    TableRecord, check_schema_change, parse_schema, parse_table,
};
use weir_formats::{registry as decoders, transform::read_expression};
use weir_ingest::{PartitionStatus, Quarantine, ReplayReport, Selection, Tried};
use weir_streams::Streams;
use weir_table::TableSnapshot;
use weir_types::{SegmentName, StreamSpec, TableName};

/// What this build can read.
#[must_use]
pub fn capabilities() -> Capabilities<'static> {
    Capabilities {
        stream_types: Streams::types(),
        decoder: known_decoder,
        decoder_key: decoders::knows,
        expression: read_expression,
    }
}

fn known_decoder(class: &str) -> DecoderKnown {
    match (decoders::resolve(class), decoders::absent(class)) {
        (Some(name), _) => DecoderKnown::Yes(name),
        (None, Some(why)) => DecoderKnown::Absent(why),
        (None, None) => DecoderKnown::Unknown,
    }
}

/// Where the table config stands in a `tableConfigs` document.
pub const REALTIME: &str = "realtime.";

/// A `tableConfigs` document: schema and table at once.
#[derive(Debug, Clone)]
pub struct TableConfigs {
    /// The raw name of both.
    pub name: TableName,
    /// The schema.
    pub schema: ParsedSchema,
    /// The REALTIME table.
    pub realtime: ParsedTable,
    /// Keys that nobody knows, by JSON pointer from the document's root.
    pub unrecognized: BTreeMap<String, Json>,
}

impl TableConfigs {
    /// Reads a document; needs no node. All errors come at once, with their path from the document's root.
    pub fn parse(json: &Json) -> Result<Self, SpecErrors> {
        let mut errors = vec![];
        let mut wrong = |path: &str, value: &Json, reason: &str| {
            let value = if value.is_null() { "absent".to_owned() } else { short(value) };
            errors.push(SpecError { path: path.to_owned(), value, reason: reason.to_owned() });
        };
        if !json.is_object() {
            wrong("(document)", json, "must be an object with tableName, schema and realtime");
            return Err(SpecErrors(errors));
        }
        let name = json["tableName"].as_str().map(TableName::parse);
        match &name {
            None => wrong("tableName", &json["tableName"], "must be the table's raw name, as text"),
            Some(Err(error)) => wrong("tableName", &json["tableName"], &error.reason),
            Some(Ok(_)) => {}
        }
        if !json["offline"].is_null() {
            wrong("offline", &Json::String("an object".into()), "OFFLINE tables are not built yet: leave it away");
        }
        if !json["schema"].is_object() {
            wrong("schema", &json["schema"], "must be the table's schema");
        }
        if !json["realtime"].is_object() {
            wrong("realtime", &json["realtime"], "must be the config of the REALTIME table");
        }
        let schema = json["schema"].is_object().then(|| parse_schema(&json["schema"]));
        let known_schema = schema.as_ref().and_then(|schema| schema.as_ref().ok()).map(|parsed| &parsed.schema);
        let table = json["realtime"].is_object().then(|| parse_table(&json["realtime"], known_schema, &capabilities()));
        if let (Some(Ok(name)), Some(schema)) = (&name, known_schema)
            && *schema.name != *name.as_str()
        {
            wrong("schema.schemaName", &json["schema"]["schemaName"], &format!("must be the table's name, {name}"));
        }
        if let (Some(Ok(name)), Some(Ok(table))) = (&name, &table)
            && table.spec.name != *name
        {
            wrong("realtime.tableName", &json["realtime"]["tableName"], &format!("must be {name}, as tableName says"));
        }
        let prefixed = |prefix: &str, found: &SpecErrors| -> Vec<SpecError> {
            let place = |error: &SpecError| SpecError { path: format!("{prefix}.{}", error.path), ..error.clone() };
            found.0.iter().map(place).collect()
        };
        if let Some(Err(found)) = &schema {
            errors.extend(prefixed("schema", found));
        }
        if let Some(Err(found)) = &table {
            errors.extend(prefixed("realtime", found));
        }
        match (name, schema, table) {
            (Some(Ok(name)), Some(Ok(schema)), Some(Ok(realtime))) if errors.is_empty() => {
                let unrecognized = unrecognized(json, &schema, &realtime);
                Ok(Self { name, schema, realtime, unrecognized })
            }
            _ => Err(SpecErrors(errors)),
        }
    }

    /// As the node makes it.
    #[must_use]
    pub fn new_table(&self) -> NewTable {
        NewTable::from_parsed(self.realtime.clone(), self.schema.clone())
    }
}

fn short(value: &Json) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn unrecognized(json: &Json, schema: &ParsedSchema, realtime: &ParsedTable) -> BTreeMap<String, Json> {
    // `notYetEffective` is what GET adds: a document that was read may be sent back.
    let known = ["tableName", "schema", "realtime", "offline", "notYetEffective"];
    let root = json.as_object().into_iter().flatten().filter(|(key, _)| !known.contains(&key.as_str()));
    let root = root.map(|(key, value)| (format!("/{}", key.replace('~', "~0").replace('/', "~1")), value.clone()));
    let below = |prefix: &'static str, found: &BTreeMap<String, Json>| {
        found.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())).collect::<Vec<_>>()
    };
    root.chain(below("/schema", &schema.unrecognized)).chain(below("/realtime", &realtime.unrecognized)).collect()
}

fn no_table(name: &TableName) -> Refusal {
    Refusal::not_found(format!("table {name} does not exist"))
}

impl Node {
    /// All schemas, by name.
    pub async fn schemas(&self) -> Result<Vec<StoredSchema>, Refusal> {
        Ok(self.store.schemas().await?)
    }

    /// A schema, where it is.
    pub async fn schema(&self, name: &str) -> Result<Option<StoredSchema>, Refusal> {
        Ok(self.store.schema(name).await?)
    }

    /// Puts a schema, new or in place of one. A table that uses it takes it over: its columns must stay readable.
    pub async fn put_schema(&self, schema: &ParsedSchema, who: &str) -> Result<(), Refusal> {
        let table = match TableName::parse(&schema.schema.name) {
            Ok(name) => self.store.table(&name).await?,
            Err(error) => return Err(Refusal::invalid(format!("schemaName = {error}"))),
        };
        if let Some(record) = table {
            check_schema_change(&record.schema, &schema.schema)?;
            // The config is read again: a column that it names may have gone.
            let table = parse_table(&record.config_json, Some(&schema.schema), &capabilities())?;
            self.store.put_schema(schema).await?;
            let changed =
                self.ingest.update_table(&record.spec.name, NewTable::from_parsed(table, schema.clone()), who).await;
            changed.map_err(|error| Refusal::of_creation(&error))?;
            return Ok(());
        }
        self.store.put_schema(schema).await?;
        Ok(())
    }

    /// Removes a schema that no table uses. False where there is none.
    pub async fn delete_schema(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.store.delete_schema(name).await?)
    }

    /// All tables, by name.
    pub async fn tables(&self) -> Result<Vec<TableRecord>, Refusal> {
        Ok(self.store.tables().await?)
    }

    /// A table that must be there.
    pub async fn table(&self, name: &TableName) -> Result<TableRecord, Refusal> {
        self.store.table(name).await?.ok_or_else(|| no_table(name))
    }

    /// Reads a document with the stored secrets in the place of hidden ones.
    pub async fn read_table_configs(&self, json: &Json) -> Result<Result<TableConfigs, SpecErrors>, Refusal> {
        let mut json = json.clone();
        if json["realtime"].is_object() {
            json["realtime"] = self.with_stored_secrets(&json["realtime"], REALTIME).await?;
        }
        Ok(TableConfigs::parse(&json))
    }

    /// Reads a table config against its schema, which must be there. Hidden secrets are those that are stored.
    pub async fn read_table(&self, config: &Json) -> Result<NewTable, Refusal> {
        let config = &self.with_stored_secrets(config, "").await?;
        let unchecked = parse_table(config, None, &capabilities())?;
        let name = &unchecked.spec.name;
        let schema = self.store.schema(name.as_str()).await?.ok_or_else(|| {
            Refusal::invalid(format!(
                "tableName = {name}: there is no schema of that name; POST /schemas adds it, or POST /tableConfigs takes \
                 schema and table at once"
            ))
        })?;
        let parsed = parse_table(config, Some(&schema.schema), &capabilities())?;
        let schema =
            ParsedSchema { schema: (*schema.schema).clone(), json: schema.json, unrecognized: BTreeMap::new() };
        Ok(NewTable::from_parsed(parsed, schema))
    }

    /// Asks the streams of a table whether they are as its config says. A topic of the local log that is not there yet
    /// is made with the table, so there is nothing to ask. `prefix` is the config's path in what was sent.
    /// Gives what is odd about streams that answer.
    pub async fn ask_streams(&self, new: &NewTable, prefix: &str) -> Result<Vec<String>, Refusal> {
        check_references(new, prefix)?;
        let topics = self.topics();
        let to_be_made = |stream: &StreamSpec| {
            &*stream.stream_type == "local" && !topics.iter().any(|topic| topic.name == stream.topic)
        };
        let mut spec = (*new.spec).clone();
        spec.streams.retain(|stream| !to_be_made(stream));
        if spec.streams.is_empty() && spec.patterns.is_empty() {
            return Ok(vec![]);
        }
        let asked = NewTable { spec: Arc::new(spec), ..new.clone() };
        self.ingest.validate(&asked).await.map_err(|error| Refusal::of_creation(&error))
    }

    /// What would become of the newest records of a table that is not there. `prefix` is the config's path in what was sent.
    ///
    /// # Errors
    /// A stream does not answer as the config says.
    pub async fn try_records(&self, new: &NewTable, records: usize, prefix: &str) -> Result<Vec<Tried>, Refusal> {
        check_references(new, prefix)?;
        self.ingest.try_records(new, records).await.map_err(|error| Refusal::of_creation(&error))
    }

    /// Makes a table whose schema is there. It can be queried when this returns; on an error nothing is left.
    pub async fn create_table(&self, new: NewTable, who: &str) -> Result<TableRecord, Refusal> {
        check_references(&new, "")?;
        self.ingest.create_table(new, who).await.map_err(|error| Refusal::of_creation(&error))
    }

    /// Makes schema and table; on an error neither is left.
    pub async fn create_table_configs(&self, configs: &TableConfigs, who: &str) -> Result<TableRecord, Refusal> {
        let name = configs.name.as_str();
        if self.store.table(&configs.name).await?.is_some() {
            return Err(Refusal::invalid(format!(
                "table {name} exists already: PUT /tableConfigs/{name} changes it, DELETE /tableConfigs/{name} drops it"
            )));
        }
        check_references(&configs.new_table(), REALTIME)?;
        let before = self.store.schema(name).await?;
        self.store.put_schema(&configs.schema).await?;
        let made = self.create_table(configs.new_table(), who).await;
        if made.is_err() {
            let undone = match before {
                None => self.store.delete_schema(name).await.map(drop),
                Some(StoredSchema { schema, json, .. }) => {
                    let schema = ParsedSchema { schema: (*schema).clone(), json, unrecognized: BTreeMap::new() };
                    self.store.put_schema(&schema).await.map(drop)
                }
            };
            if let Err(error) = undone {
                tracing::warn!(schema = name, %error, "the schema of a table that was not made stays");
            }
        }
        made
    }

    /// Changes a table's settings.
    pub async fn update_table(&self, new: NewTable, who: &str) -> Result<TableRecord, Refusal> {
        let name = new.spec.name.clone();
        self.table(&name).await?;
        check_references(&new, "")?;
        self.ingest.update_table(&name, new, who).await.map_err(|error| Refusal::of_creation(&error))
    }

    /// Changes schema and settings of a table.
    pub async fn update_table_configs(&self, configs: &TableConfigs, who: &str) -> Result<TableRecord, Refusal> {
        let before = self.table(&configs.name).await?;
        check_schema_change(&before.schema, &configs.schema.schema)?;
        check_references(&configs.new_table(), REALTIME)?;
        let record = self.update_table(configs.new_table(), who).await?;
        self.store.put_schema(&configs.schema).await?;
        Ok(record)
    }

    /// Whether the schema of a document can take the place of that of the table of its name, where there is one.
    ///
    /// # Errors
    /// A column would become unreadable: which, and why.
    pub async fn check_change(&self, configs: &TableConfigs) -> Result<(), Refusal> {
        match self.store.table(&configs.name).await? {
            Some(before) => Ok(check_schema_change(&before.schema, &configs.schema.schema)?),
            None => Ok(()),
        }
    }

    /// Drops a table with all that belongs to it but its schema.
    pub async fn drop_table(&self, name: &TableName, who: &str) -> Result<(), Refusal> {
        if self.ingest.drop_table(name, who).await? { Ok(()) } else { Err(no_table(name)) }
    }

    /// A table's segments, by topic, partition and sequence, then those that were replayed.
    pub async fn segments(&self, name: &TableName) -> Result<Vec<ListedSegment>, Refusal> {
        Ok(listed(&self.ingest, name).await?)
    }

    /// A table's partitions.
    pub fn partitions(&self, name: &TableName) -> Result<Vec<PartitionStatus>, Refusal> {
        self.ingest.partitions(name).ok_or_else(|| no_table(name))
    }

    /// What of a table can be queried now.
    pub fn snapshot(&self, name: &TableName) -> Result<TableSnapshot, Refusal> {
        Ok(self.tables.get(name.as_str()).ok_or_else(|| no_table(name))?.snapshot())
    }

    /// Which of a table's segments this node serves.
    pub fn loaded(&self, name: &TableName) -> Result<Loaded, Refusal> {
        let whole = self.snapshot(name)?.segments.into_iter();
        // One that could not be opened is not served until it is.
        let whole = whole.filter(|view| !view.consuming && view.segment.trouble().is_none());
        let open = self.partitions(name)?.into_iter().filter_map(|status| Some(status.open_segment?.to_string()));
        Ok(Loaded {
            consuming: open.collect(),
            whole: whole.map(|view| view.segment.meta().name.to_string()).collect(),
        })
    }

    /// A table's rejected records.
    pub fn quarantine(&self, name: &TableName) -> Result<Arc<Quarantine>, Refusal> {
        self.ingest.quarantine(name).ok_or_else(|| no_table(name))
    }

    /// How many messages of a table were replayed from its quarantine.
    pub fn replayed(&self, name: &TableName) -> Result<u64, Refusal> {
        self.ingest.replayed(name).ok_or_else(|| no_table(name))
    }

    /// Deletes rejected records for good.
    pub async fn delete_quarantined(&self, name: &TableName, selection: Selection, who: &str) -> Result<u64, Refusal> {
        Ok(self.ingest.delete_quarantined(name, selection, who).await?)
    }

    /// Tries rejected records again with the table's settings as they are now.
    pub async fn replay(&self, name: &TableName, selection: Selection, who: &str) -> Result<ReplayReport, Refusal> {
        Ok(self.ingest.replay(name, selection, who).await?)
    }

    /// Bytes of a segment's copy on this node.
    #[must_use]
    pub fn local_byte_count(&self, name: &TableName, segment: &str) -> Option<u64> {
        self.ingest.local_byte_count(name, segment)
    }

    /// A force-commit with those of its segments that are not committed yet.
    pub async fn force_commit_status(&self, id: &str) -> Result<(ForceCommitJob, Vec<String>), Refusal> {
        let found = self.force_commits.lock().iter().find(|job| job.id == id).cloned();
        let job = found.ok_or_else(|| {
            Refusal::not_found(format!("there is no force-commit {id}: the last {FORCE_COMMITS_KEPT} are known"))
        })?;
        let Some(table) = job.segments.first().and_then(|name| SegmentName::parse(name).ok()).map(|name| name.table)
        else {
            return Ok((job, vec![]));
        };
        // A table that was dropped since has nothing left to commit.
        let records = self.ingest.segments(&table).await.unwrap_or_default();
        let open = records.iter().filter(|record| !matches!(record.state, SegmentState::Done { .. }));
        let open: Vec<String> = open.map(|record| record.name.to_string()).collect();
        let left = job.segments.iter().filter(|name| open.contains(name)).cloned().collect();
        Ok((job, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Json {
        json!({
            "tableName": "orders",
            "schema": {"schemaName": "orders", "dimensionFieldSpecs": [{"name": "id", "dataType": "LONG"}], "odd": 1},
            "realtime": {
                "tableName": "orders", "tableType": "REALTIME", "strange": true,
                "segmentsConfig": {"replication": "1"}, "tenants": {}, "metadata": {},
                "tableIndexConfig": {"streamConfigs": {
                    "streamType": "local", "stream.local.topic.name": "orders",
                    "stream.local.decoder.class.name": "json",
                }},
            },
            "extra": 2,
        })
    }

    #[test]
    fn a_document_gives_schema_table_and_what_nobody_knows() {
        let configs = TableConfigs::parse(&document()).unwrap();
        assert_eq!((configs.name.as_str(), &*configs.schema.schema.name), ("orders", "orders"));
        assert_eq!(configs.realtime.spec.streams[0].topic.as_str(), "orders");
        let keys: Vec<&str> = configs.unrecognized.keys().map(String::as_str).collect();
        assert_eq!(keys, ["/extra", "/realtime/strange", "/schema/odd"]);
    }

    #[test]
    fn all_errors_come_at_once_with_their_place() {
        let mut json = document();
        json["offline"] = json!({});
        json["schema"]["dimensionFieldSpecs"][0]["dataType"] = json!("LUNG");
        json["realtime"]["tableIndexConfig"]["streamConfigs"]["streamType"] = json!("pulsar");
        let errors = TableConfigs::parse(&json).unwrap_err();
        let paths: Vec<&str> = errors.0.iter().map(|error| error.path.as_str()).collect();
        assert!(paths.contains(&"offline"), "{paths:?}");
        assert!(paths.contains(&"schema.dimensionFieldSpecs[0].dataType"), "{paths:?}");
        assert!(paths.iter().any(|path| path.starts_with("realtime.tableIndexConfig.streamConfigs")), "{paths:?}");
    }

    #[test]
    fn names_must_agree() {
        let mut json = document();
        json["tableName"] = json!("sales");
        let paths: Vec<String> = TableConfigs::parse(&json).unwrap_err().0.into_iter().map(|e| e.path).collect();
        assert_eq!(paths, ["schema.schemaName", "realtime.tableName"]);
        let paths: Vec<String> = TableConfigs::parse(&json!({})).unwrap_err().0.into_iter().map(|e| e.path).collect();
        assert_eq!(paths, ["tableName", "schema", "realtime"]);
        assert_eq!(TableConfigs::parse(&json!([])).unwrap_err().0.len(), 1);
    }
}
