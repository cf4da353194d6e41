//! What is to be looked at, what is made anew, what is lacking: facts in, a word out.

use super::*;
use serde_json::json;
use std::sync::Arc;
use weir_control::{TimeRange, index_settings};
use weir_segment::{BuildSpec, ConsumingSegment, ConsumingSpec, build};
use weir_types::{DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema, SchemaVersion, Value};

type Indexes = BTreeMap<ColumnName, FieldIndexes>;

fn name(name: &str) -> ColumnName {
    ColumnName::parse(name).unwrap()
}

fn schema(columns: &[&str]) -> Arc<Schema> {
    let field = |column: &&str| FieldSpec::new(name(column), DataType::Long, FieldKind::Dimension);
    Arc::new(Schema::new("t", SchemaVersion(1), columns.iter().map(field).collect()))
}

/// A file of rows with descending `n` and ascending `s`, with these indexes.
fn sealed(indexes: &Indexes) -> Arc<SealedSegment> {
    let schema = schema(&["n", "s"]);
    let mut rows = RowBatch::new(&schema);
    for at in 0..10_u32 {
        rows.columns[0].data.push(&Value::Long(-i64::from(at)));
        rows.columns[1].data.push(&Value::Long(at.into()));
        rows.message_of_row.push(at);
    }
    let spec = ConsumingSpec {
        name: "s".into(),
        schema: schema.clone(),
        no_dictionary: std::collections::HashSet::new(),
        keep_offsets: true,
        created_ms: 0,
    };
    let mut open = ConsumingSegment::new(spec);
    open.append(&rows, &|message| NextOffset::new(message.into()));
    let spec = BuildSpec {
        name: "s".into(),
        schema,
        sorted_column: None,
        indexes: indexes.clone(),
        keep_offsets: true,
        time_column: None,
    };
    let built = build(&*open.freeze().snapshot(), &spec).unwrap();
    SealedSegment::open(weir_base::Mapped::new(built.bytes())).unwrap()
}

fn indexes(columns: &[(&str, bool, bool, bool)]) -> Indexes {
    let column = |(column, no_dictionary, inverted, range): &(&str, bool, bool, bool)| {
        (name(column), FieldIndexes { no_dictionary: *no_dictionary, inverted: *inverted, range: *range })
    };
    columns.iter().map(column).collect()
}

fn table(columns: &[&str], indexes: &Indexes) -> TableRecord {
    let capabilities = weir_control::Capabilities {
        stream_types: weir_streams::Streams::types(),
        decoder: |_| weir_control::DecoderKnown::Yes("json"),
        decoder_key: |_, _| true,
        expression: weir_formats::transform::read_expression,
    };
    let fields: Vec<_> = columns.iter().map(|column| json!({"name": column, "dataType": "LONG"})).collect();
    let parsed = weir_control::parse_schema(&json!({"schemaName": "t", "dimensionFieldSpecs": fields})).unwrap();
    let config = json!({
        "tableName": "t", "tableType": "REALTIME", "tenants": {}, "metadata": {}, "tableIndexConfig": {},
        "segmentsConfig": {"replication": "1"},
        "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [{
            "streamType": "memory", "stream.memory.topic.name": "t", "stream.memory.decoder.class.name": "json",
            "stream.memory.consumer.prop.auto.offset.reset": "smallest",
        }]}},
    });
    let parsed_table = weir_control::parse_table(&config, Some(&parsed.schema), &capabilities).unwrap();
    let mut draft = weir_control::NewTable::from_parsed(parsed_table, parsed).draft();
    let mut spec = (*draft.spec).clone();
    spec.indexes = indexes.clone();
    draft.spec = Arc::new(spec);
    draft.schema = schema(columns);
    draft
}

fn artifact(settings: Option<u64>, missing: &[&str]) -> Artifact {
    Artifact {
        uri: "memory:///k".into(),
        key: "k".into(),
        crc: 1,
        byte_count: 1,
        rows: 10,
        min_time_ms: None,
        max_time_ms: None,
        time_range: None::<TimeRange>,
        built_ms: 0,
        uploaded_ms: 0,
        missing_indexes: missing.iter().map(|text| (*text).to_owned()).collect(),
        settings,
    }
}

#[test]
fn a_file_says_which_indexes_it_lacks() {
    let all = indexes(&[("n", false, true, true), ("s", false, true, true), ("gone", false, true, true)]);
    assert_eq!(lacking(&all, &*sealed(&all)), Vec::<String>::new(), "what is sorted needs none");
    let without = sealed(&Indexes::new());
    assert_eq!(lacking(&all, &*without), ["column n: no inverted index", "column n: no range index"]);
    assert_eq!(lacking(&Indexes::new(), &*without), Vec::<String>::new());
    let raw = sealed(&indexes(&[("s", true, false, false)]));
    let range = indexes(&[("s", true, false, true)]);
    assert_eq!(lacking(&range, &*raw), ["column s: no range index"], "values have no row ranges, sorted as they are");
}

#[test]
fn records_of_other_settings_are_looked_at_and_failures_are_not_tried_again() {
    let settings = 7;
    assert!(!is_to_be_looked_at(&artifact(Some(7), &[]), settings, false));
    assert!(!is_to_be_looked_at(&artifact(Some(7), &[]), settings, true));
    assert!(is_to_be_looked_at(&artifact(Some(8), &[]), settings, false));
    assert!(is_to_be_looked_at(&artifact(None, &[]), settings, false));
    // One whose index could not be built: with other settings, or where somebody asks.
    assert!(is_to_be_looked_at(&artifact(Some(8), &["column n: no range index: why"]), settings, false));
    assert!(!is_to_be_looked_at(&artifact(Some(7), &["column n: no range index: why"]), settings, false));
    assert!(is_to_be_looked_at(&artifact(Some(7), &["column n: no range index: why"]), settings, true));
}

#[test]
fn attempts_end_with_faults_and_begin_again_with_other_settings() {
    let attempts = |count, faults| Attempts { settings: 7, count, faults, why: String::new() };
    assert!(!attempts(100, FAULTS_MOST - 1).are_over(7), "a store may be away for as long as it likes");
    assert!(attempts(FAULTS_MOST, FAULTS_MOST).are_over(7));
    assert!(!attempts(FAULTS_MOST, FAULTS_MOST).are_over(8));
}

#[test]
fn files_are_made_anew_where_they_are_not_as_the_settings_ask() {
    let none = Indexes::new();
    let inverted = indexes(&[("n", false, true, false)]);
    let raw = indexes(&[("n", true, false, false)]);
    let verdict_of = |has: &Indexes, asked: &Indexes, known: bool| {
        let artifact = artifact(known.then(|| index_settings(has)), &[]);
        verdict(&artifact, &sealed(has), &table(&["n", "s"], asked))
    };
    for known in [false, true] {
        assert_eq!(verdict_of(&none, &inverted, known), Verdict::Make, "it lacks one");
        assert_eq!(verdict_of(&inverted, &none, known), Verdict::Make, "it has one that nobody asks for");
        assert_eq!(verdict_of(&none, &raw, known), Verdict::Make, "it has a dictionary");
        assert_eq!(verdict_of(&inverted, &inverted, known), Verdict::Note);
        let sorted = indexes(&[("s", false, true, false)]);
        assert_eq!(verdict_of(&none, &sorted, known), Verdict::Note, "what is sorted needs none");
        let of_another = indexes(&[("later", false, true, false)]);
        assert_eq!(verdict_of(&none, &of_another, known), Verdict::Note, "a column that it does not have");
    }
    // Without a dictionary because it was asked to, or because that is smaller.
    assert_eq!(verdict_of(&raw, &none, true), Verdict::Make);
    assert_eq!(verdict_of(&raw, &none, false), Verdict::Note);
}

#[test]
fn a_file_with_a_column_that_the_schema_has_not_is_left() {
    let asked = indexes(&[("n", false, true, false)]);
    let lost = table(&["n"], &asked);
    assert_eq!(verdict(&artifact(None, &[]), &sealed(&Indexes::new()), &lost), Verdict::Leave);
    assert_eq!(verdict(&artifact(None, &[]), &sealed(&asked), &lost), Verdict::Note);
}

#[test]
fn what_is_missing_is_told_by_the_present_settings() {
    let asked = indexes(&[("n", false, true, false)]);
    let settings = index_settings(&asked);
    let (with, without) = (sealed(&asked), sealed(&Indexes::new()));
    let old = artifact(Some(1), &["column x: no range index: why"]);
    let file = |file: &Arc<SealedSegment>| missing(&old, Some(&**file), &asked, settings);
    assert_eq!(file(&without), ["column n: no inverted index"]);
    assert_eq!(file(&with), Vec::<String>::new());
    assert_eq!(missing(&old, None, &asked, settings), ["made with other settings, and not looked at yet"]);
    assert_eq!(missing(&old, None, &Indexes::new(), 2), Vec::<String>::new());
    let now = artifact(Some(settings), &["column n: no inverted index: why"]);
    assert_eq!(missing(&now, Some(&*without), &asked, settings), ["column n: no inverted index: why"]);
}
