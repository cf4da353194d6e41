//! Derived columns and filters, from the table's config to the rows that a query sees.

use crate::world::{World, made, stream, table_name, topic};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use weir_control::NewTable;
use weir_ingest::Seats;
use weir_types::Value;

fn derived(transforms: &[(&str, &str)], filter: Option<&str>, columns: &[Json]) -> NewTable {
    let transforms: Vec<Json> = transforms
        .iter()
        .map(|(column, function)| json!({"columnName": column, "transformFunction": function}))
        .collect();
    let schema = json!({"schemaName": "events", "dimensionFieldSpecs": columns});
    let config = json!({
        "tableName": "events", "tableType": "REALTIME", "segmentsConfig": {"replication": "1"}, "tenants": {},
        "tableIndexConfig": {}, "metadata": {},
        "ingestionConfig": {
            "streamIngestionConfig": {"streamConfigMaps": [stream("memory", "events")]},
            "transformConfigs": transforms,
            "filterConfig": {"filterFunction": filter},
        },
    });
    made(&schema, &config)
}

fn column(name: &str, data_type: &str) -> Json {
    json!({"name": name, "dataType": data_type})
}

#[tokio::test(start_paused = true)]
async fn rows_are_derived_dropped_and_counted() {
    let world = World::start(Seats::default()).await;
    let columns = [column("id", "LONG"), column("day", "STRING"), column("size", "INT")];
    let transforms = [("day", "toDateTime(ts, 'yyyy-MM-dd')"), ("size", "strlen + 0"), ("strlen", "length(text)")];
    world.node.create_table(derived(&transforms, Some("text = 'drop'"), &columns), "me").await.unwrap();
    world.produce(&[
        json!({"id": 1, "ts": 1_771_934_401_234_i64, "text": "four"}),
        json!({"id": 2, "ts": 0, "text": "drop"}),
        json!({"id": 3, "ts": "no time", "text": "x"}),
        json!({"id": 4, "text": "last"}),
    ]);
    world.until("all of it", async || world.status().accounting.fetched == 4).await;
    world.until_visible(2).await;
    let status = world.status();
    let counts = status.accounting;
    assert_eq!((counts.stored, counts.filtered, counts.rejected, counts.rows), (2, 1, 1, 2), "{status:?}");
    let rows = world.rows(&["id", "day", "size"]).await;
    let text = |text: &str| Some(vec![Value::Str(text.into())]);
    assert_eq!(rows[0], [Some(vec![Value::Long(1)]), text("2026-02-24"), Some(vec![Value::Int(4)])]);
    assert_eq!((&rows[1][0], &rows[1][2]), (&Some(vec![Value::Long(4)]), &Some(vec![Value::Int(4)])));
    // Sealed and read again it is the same.
    world.seal(1).await;
    assert_eq!(world.rows(&["id", "day", "size"]).await, rows);
}

#[tokio::test(start_paused = true)]
async fn key_and_stream_fields_can_be_derived_from() {
    let world = World::start(Seats::default()).await;
    let columns = [column("id", "LONG"), column("who", "STRING"), column("place", "STRING"), column("__key", "STRING")];
    let transforms =
        [("who", "upper(\"__key\")"), ("place", "concat(\"__metadata$partition\", \"__metadata$offset\", ':')")];
    world.node.create_table(derived(&transforms, None, &columns), "me").await.unwrap();
    let value = Some(Bytes::from(json!({"id": 1}).to_string()));
    world.memory.append(&topic("events"), 0, Some(Bytes::from("ann")), value, vec![], 0);
    world.until_visible(1).await;
    let rows = world.rows(&["who", "place", "__key"]).await;
    let text = |text: &str| Some(vec![Value::Str(text.into())]);
    assert_eq!(rows, [[text("ANN"), text("0:0"), text("ann")]]);
}

/// What was rejected for its expression becomes a row once the expression was mended.
#[tokio::test(start_paused = true)]
async fn a_mended_expression_applies_to_what_comes_and_to_what_is_replayed() {
    let world = World::start(Seats::default()).await;
    let columns = [column("id", "LONG"), column("n", "LONG")];
    world.node.create_table(derived(&[("n", "text + 1")], None, &columns), "me").await.unwrap();
    world.produce(&[json!({"id": 1, "text": "1"}), json!({"id": 2, "text": "two"})]);
    world.until("the reject", async || world.status().accounting.rejected == 1).await;
    let mended = derived(&[("n", "length(text)")], None, &columns);
    world.node.update_table(&table_name("events"), mended, "me").await.unwrap();
    world.produce(&[json!({"id": 3, "text": "three"})]);
    world.until_visible(2).await;
    let report = world.node.replay(&table_name("events"), weir_ingest::Selection::default(), "me").await.unwrap();
    assert_eq!(report.replayed, 1, "{report:?}");
    world.until_visible(3).await;
    let mut rows = world.rows(&["id", "n"]).await;
    rows.sort_by_key(|row| format!("{row:?}"));
    let long = |number| Some(vec![Value::Long(number)]);
    assert_eq!(rows, [[long(1), long(2)], [long(2), long(3)], [long(3), long(5)]]);
}

/// A header that only an expression reads is kept with a reject: the replay sees it too.
#[tokio::test(start_paused = true)]
async fn headers_of_expressions_are_there_when_a_reject_is_replayed() {
    let world = World::start(Seats::default()).await;
    let columns = [column("id", "LONG"), column("origin", "STRING"), column("n", "LONG")];
    let of = |n: &str| derived(&[("origin", "upper(\"__header$from\")"), ("n", n)], None, &columns);
    world.node.create_table(of("text + 1"), "me").await.unwrap();
    let value = Some(Bytes::from(json!({"id": 1, "text": "two"}).to_string()));
    world.memory.append(&topic("events"), 0, None, value, vec![("from".into(), Bytes::from("shop"))], 0);
    world.until("the reject", async || world.status().accounting.rejected == 1).await;
    world.node.update_table(&table_name("events"), of("length(text)"), "me").await.unwrap();
    world.node.replay(&table_name("events"), weir_ingest::Selection::default(), "me").await.unwrap();
    world.until_visible(1).await;
    let rows = world.rows(&["origin", "n"]).await;
    assert_eq!(rows, [[Some(vec![Value::Str("SHOP".into())]), Some(vec![Value::Long(3)])]]);
}

/// Messages that become far more than they are: each is whole, whatever is fetched with it, and a restart finds the same.
#[tokio::test(start_paused = true)]
async fn messages_that_become_much_are_taken_a_few_at_a_time() {
    let world = World::start(Seats::default()).await;
    let schema = json!({"schemaName": "events", "dimensionFieldSpecs": [column("id", "LONG"), column("note", "JSON")]});
    let config = json!({
        "tableName": "events", "tableType": "REALTIME", "segmentsConfig": {"replication": "1"}, "tenants": {},
        "tableIndexConfig": {"noDictionaryColumns": ["note"]}, "metadata": {},
        "ingestionConfig": {
            "streamIngestionConfig": {"streamConfigMaps": [stream("memory", "events")]},
            "complexTypeConfig": {"fieldsToUnnest": ["items"]},
        },
    });
    let (long, items) = ("x".repeat(200_000), vec![1; 200]);
    let messages: Vec<Json> = (0..9).map(|id| json!({"id": id, "items": items, "note": {"long": long}})).collect();
    world.node.create_table(made(&schema, &config), "me").await.unwrap();
    world.produce(&messages);
    world.until("all of it", async || world.status().accounting.fetched == 9).await;
    let counts = world.status().accounting;
    assert_eq!((counts.stored, counts.rejected, counts.rows, counts.gaps), (9, 0, 1800, 0), "{counts:?}");
    world.until_visible(1800).await;
}

/// The schema's own expression, types of fields, enrichers before records are made flat, and rows of other partitions: from the
/// configs to the rows, and the same when the segment is read again.
#[tokio::test(start_paused = true)]
async fn every_step_of_a_record_in_its_order() {
    let world = World::start(Seats::default()).await;
    let schema = json!({"schemaName": "events", "dimensionFieldSpecs": [
        column("id", "LONG"), column("price", "DOUBLE"), column("text", "STRING"),
        {"name": "day", "dataType": "STRING", "transformFunction": "toDateTime(at, 'yyyy-MM-dd')"},
    ]});
    let mut map = stream("memory", "events");
    map["stream.memory.partitions"] = json!("1");
    let config = json!({
        "tableName": "events", "tableType": "REALTIME", "segmentsConfig": {"replication": "1"}, "tenants": {},
        "metadata": {}, "tableIndexConfig": {"segmentPartitionConfig": {"columnPartitionMap": {
            "id": {"functionName": "Modulo", "numPartitions": 2},
        }}},
        "ingestionConfig": {
            "streamIngestionConfig": {"streamConfigMaps": [map], "dropRecordOnPartitionMismatch": true},
            "sourceFieldConfigs": [{"name": "at", "dataType": "TIMESTAMP"}],
            "enrichmentConfigs": [{"enricherType": "generateColumn", "preComplexTypeTransform": true,
                "properties": {"fieldToFunctionMap": {"order": "jsonStringToMap(body)"}}}],
            "complexTypeConfig": {"prefixesToRename": {"order.": ""}},
        },
    });
    world.node.create_table(made(&schema, &config), "me").await.unwrap();
    let body = |price: i64| json!({"price": price, "text": "a"}).to_string();
    world.produce(&[
        json!({"id": 2, "at": "2026-01-31 10:00:00", "body": body(5)}),
        json!({"id": 3, "at": "2026-01-31 10:00:00", "body": body(6)}),
        json!({"id": 4, "at": "some day", "body": body(7)}),
        json!({"id": 6, "day": "its own", "body": body(8)}),
    ]);
    world.until("all of it", async || world.status().accounting.fetched == 4).await;
    world.until_visible(2).await;
    let counts = world.status().accounting;
    assert_eq!((counts.stored, counts.filtered, counts.rejected, counts.rows), (2, 1, 1, 2), "{counts:?}");
    let rows = world.rows(&["id", "price", "text", "day"]).await;
    let (text, long) = (|text: &str| Some(vec![Value::Str(text.into())]), |number| Some(vec![Value::Long(number)]));
    let double = |number| Some(vec![Value::Double(number)]);
    assert_eq!(
        rows,
        [[long(2), double(5.0), text("a"), text("2026-01-31")], [long(6), double(8.0), text("a"), text("its own")],]
    );
    world.seal(1).await;
    assert_eq!(world.rows(&["id", "price", "text", "day"]).await, rows);
}
