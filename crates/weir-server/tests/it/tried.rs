//! A record before there is a table for it: what would become of it, and that nothing is left.

use crate::support::{TestNode, orders};
use serde_json::{Value as Json, json};

/// Table `second` over topic `orders`, with a derived column and a filter.
fn derived() -> Json {
    let mut document = orders(1);
    document["tableName"] = json!("second");
    document["schema"]["schemaName"] = json!("second");
    document["realtime"]["tableName"] = json!("second");
    document["schema"]["dimensionFieldSpecs"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "place", "dataType": "STRING"}));
    let ingestion = &mut document["realtime"]["ingestionConfig"];
    ingestion["transformConfigs"] = json!([{"columnName": "place", "transformFunction": "concat(upper(country), fromUtf8(fromBase64(code)), '-')"}]);
    ingestion["filterConfig"] = json!({"filterFunction": "test = true"});
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_tried_before_there_is_a_table_and_go_the_same_way_after() {
    let node = TestNode::start().await;
    let no_topic = node.post("/tableConfigs/try", &derived()).await;
    assert!(no_topic.status == 400 && no_topic.text().contains("does not exist"), "{}", no_topic.text());
    // The topic is made with a table over it.
    node.make(&orders(1)).await;
    node.produce(
        "orders",
        &[
            json!({"id": 1, "country": "de", "code": "MTA=", "ts": 1_767_225_600_000_i64}),
            json!({"id": 2, "country": "de", "code": "MTA=", "test": true}),
            json!({"id": 3, "country": "de", "code": "?"}),
            json!({"id": "four", "country": "fr"}),
        ],
    )
    .await;
    let answer = node.post("/tableConfigs/try?records=10", &derived()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tried = answer.json();
    let records = tried["records"].as_array().unwrap();
    let fates: Vec<&str> = records.iter().map(|record| record["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["ROW", "FILTERED", "REJECTED", "REJECTED"], "{tried}");
    assert_eq!((&records[0]["rows"][0]["place"], &records[0]["offset"]), (&json!("DE-10"), &json!(0)), "{tried}");
    assert!(records[0]["value"].as_str().unwrap().contains("\"code\""), "{tried}");
    assert_eq!((&records[1]["stage"], &records[0]["defaults"]["amount"]), (&json!("FILTER"), &json!(0.0)), "{tried}");
    assert_eq!((&records[2]["stage"], &records[2]["column"]), (&json!("TRANSFORM"), &json!("place")), "{tried}");
    assert!(records[2]["reason"].as_str().unwrap().contains("no Base64"), "{tried}");
    assert_eq!((&records[3]["stage"], &records[3]["column"]), (&json!("DATA_TYPE"), &json!("id")), "{tried}");
    assert_eq!(node.get("/tables").await.json()["tables"], json!(["orders"]), "nothing was made");
    for records in ["0", "1001", "x"] {
        let answer = node.post(&format!("/tableConfigs/try?records={records}"), &derived()).await;
        assert!(answer.status == 400 && answer.text().contains("from 1 to 1000"), "{}", answer.text());
    }
    // Only the newest.
    let one = node.post("/tableConfigs/try?records=1", &derived()).await.json();
    assert_eq!((one["records"].as_array().unwrap().len(), &one["records"][0]["offset"]), (1, &json!(3)), "{one}");
    // The table does with them what was said.
    let made = node.post("/tableConfigs", &derived()).await;
    assert_eq!(made.status, 200, "{}", made.text());
    node.wait_for_rows("SELECT place FROM second", &json!([["DE-10"]])).await;
    let rejected = "SELECT stage FROM system.quarantine WHERE \"table\" = 'second' ORDER BY \"offset\"";
    node.wait_for_rows(rejected, &json!([["TRANSFORM"], ["DATA_TYPE"]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_and_what_would_be_refused_is_told() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let long = "x".repeat(700);
    node.produce("orders", &[json!({"id": 1, "country": long, "ts": 1_767_225_600_000_i64})]).await;
    let mut second = derived();
    second["realtime"]["ingestionConfig"]["transformConfigs"] = json!([]);
    let tried = node.post("/tableConfigs/try", &second).await.json();
    let cut = json!([{"column": "country", "length": 700, "maxLength": 512, "stored": "BEGINNING"}]);
    assert_eq!((&tried["records"][0]["fate"], &tried["records"][0]["cut"]), (&json!("ROW"), &cut), "{tried}");

    // The table is there: its columns keep their types, also where a config is only looked at.
    let mut changed = orders(1);
    for field in changed["schema"]["dimensionFieldSpecs"].as_array_mut().unwrap() {
        if field["name"] == "country" {
            field["dataType"] = json!("LONG");
        }
    }
    for path in ["/tableConfigs/validate", "/tableConfigs/try"] {
        let answer = node.post(path, &changed).await;
        assert!(answer.status == 400 && answer.text().contains("country"), "{path}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_match_no_field_are_told_with_the_nearest() {
    let node = TestNode::start().await;
    node.make(&orders(1)).await;
    let record = json!({"id": 1, "country": "DE", "tags": ["x"], "amount": 2.5, "ts": 1_767_225_600_000_i64});
    node.produce("orders", &[record.clone(), record]).await;
    let same = node.post("/tableConfigs/try", &orders(1)).await.json();
    assert_eq!(same["warnings"], json!(null), "{same}");
    // Columns of other names: each row is nothing but defaults, and no record is rejected.
    let mut other = orders(1);
    for name in ["/tableName", "/schema/schemaName", "/realtime/tableName"] {
        *other.pointer_mut(name).unwrap() = json!("second");
    }
    other["schema"] = json!({
        "schemaName": "second",
        "dimensionFieldSpecs": [
            {"name": "Country", "dataType": "STRING"}, {"name": "orderId", "dataType": "LONG"}, {"name": "up", "dataType": "STRING"}],
        "metricFieldSpecs": [{"name": "amuont", "dataType": "DOUBLE"}],
        "dateTimeFieldSpecs": [
            {"name": "at", "dataType": "TIMESTAMP", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"}],
    });
    other["realtime"]["segmentsConfig"]["timeColumnName"] = json!("at");
    other["realtime"]["tableIndexConfig"] = json!({});
    other["realtime"]["ingestionConfig"]["transformConfigs"] =
        json!([{"columnName": "up", "transformFunction": "upper(country)"}]);
    let tried = node.post("/tableConfigs/try", &other).await;
    assert_eq!(tried.status, 200, "{}", tried.text());
    let tried = tried.json();
    assert_eq!(tried["records"][0]["fate"], "ROW", "{tried}");
    let warning = tried["warnings"][0].as_str().unwrap();
    for says in [
        "none of the 2 rows that were tried has a value in any of the columns Country, orderId, amuont, at:",
        "the records have the fields amount, country, id, tags, ts",
        "Country could be country, amuont could be amount",
    ] {
        assert!(warning.contains(says), "{says}: {warning}");
    }
    // One that is filled is enough.
    other["schema"]["dimensionFieldSpecs"].as_array_mut().unwrap().push(json!({"name": "id", "dataType": "LONG"}));
    let tried = node.post("/tableConfigs/try", &other).await.json();
    assert_eq!(tried["warnings"], json!(null), "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_in_an_expression_is_said_where_a_table_is_made() {
    let node = TestNode::start().await;
    let mut document = derived();
    let transform = &mut document["realtime"]["ingestionConfig"]["transformConfigs"][0];
    transform["transformFunction"] = json!("upper(contry)");
    for path in ["/tableConfigs", "/tableConfigs/validate"] {
        // Made first, so that the second is asked of a table that is there.
        let answer = node.post(path, &document).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let warnings = answer.json()["warnings"].to_string();
        assert!(
            warnings.contains("reads 'contry', which is no column") && warnings.contains("'country'"),
            "{path}: {warnings}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_cannot_be_compiled_is_refused_with_its_place() {
    let node = TestNode::start().await;
    let mut document = derived();
    document["realtime"]["ingestionConfig"]["transformConfigs"][0]["transformFunction"] = json!("nope(country)");
    document["realtime"]["ingestionConfig"]["filterConfig"]["filterFunction"] = json!("Groovy({a == 1}, a)");
    for path in ["/tableConfigs", "/tableConfigs/validate", "/tableConfigs/try"] {
        let answer = node.post(path, &document).await;
        let text = answer.text();
        assert_eq!(answer.status, 400, "{path}: {text}");
        assert!(
            text.contains("ingestionConfig.transformConfigs[0].transformFunction") && text.contains("no function nope")
        );
        assert!(text.contains("filterConfig.filterFunction") && text.contains("Groovy"), "{path}: {text}");
    }
}
