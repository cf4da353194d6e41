//! Metrics as they are documented, shown on the dashboard, and told by a node.

use crate::support::{TestNode, eventually, order, orders};
use serde_json::Value as Json;
use std::{collections::BTreeSet, path::Path};
use weir_base::metrics::{Counter, Gauge};
use weir_server::pinot_json::metrics::NAMES;

const PAGE: &str = "docs/observability.md";

/// Every metric by its full name.
fn known() -> BTreeSet<String> {
    let counters = Counter::ALL.iter().map(|counter| format!("weir_{}_total", counter.name()));
    let gauges = Gauge::ALL.iter().map(|gauge| format!("weir_{}", gauge.name()));
    counters.chain(gauges).chain(NAMES.iter().map(|(name, ..)| (*name).to_owned())).collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of metrics in a text.
fn names(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("weir_") || word.starts_with("pinot_"))
        .collect()
}

/// The part of the page that is written from the code.
fn tables() -> String {
    let table = |rows: Vec<(String, &str)>| -> String {
        let rows = rows.iter().map(|(name, help)| format!("| `{name}` | {help} |\n"));
        format!("| metric | tells |\n|---|---|\n{}", rows.collect::<String>())
    };
    let counters = Counter::ALL.iter().map(|counter| (format!("weir_{}_total", counter.name()), counter.help()));
    let gauges = Gauge::ALL.iter().map(|gauge| (format!("weir_{}", gauge.name()), gauge.help()));
    let pinots = NAMES.iter().map(|(name, help, _)| ((*name).to_owned(), *help));
    format!(
        "## Counters\n\nThey only grow; a rate is `rate(name[5m])`.\n\n{}\n## Gauges\n\n{}\n## Under the names of Pinot\n\n\
         Dashboards and alerts that were made for Pinot's servers find partitions under these names too, with the labels \
         `table`,\n`tableType`, `topic` and `partition` (Pinot's number of the partition in the table). Counts start at the \
         table's first offset.\n\n{}",
        table(counters.collect()),
        table(gauges.collect()),
        table(pinots.collect()),
    )
}

/// `WEIR_BLESS=1 cargo test -p weir-server --test it every_metric_is_documented` writes the tables of the page again.
#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let page = read(PAGE);
    let head = page.find("## Counters").unwrap();
    if std::env::var_os("WEIR_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE);
        std::fs::write(path, format!("{}{}", &page[..head], tables())).unwrap();
    }
    let page = read(PAGE);
    assert!(page[head..] == tables(), "{PAGE} is not up to date: run with WEIR_BLESS=1");
    let known = known();
    assert!(known.len() > 40, "{}", known.len());
    for name in names(&page) {
        assert!(known.contains(name), "{name} is named in {PAGE} and is no metric");
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    fn expressions<'a>(json: &'a Json, found: &mut Vec<&'a str>) {
        match json {
            Json::Object(object) => object.iter().for_each(|(key, value)| match value {
                Json::String(text) if ["expr", "query", "definition"].contains(&key.as_str()) => found.push(text),
                value => expressions(value, found),
            }),
            Json::Array(items) => items.iter().for_each(|item| expressions(item, found)),
            _ => {}
        }
    }
    let dashboard: Json = serde_json::from_str(&read("deploy/grafana/weir.json")).unwrap();
    let mut found = vec![];
    expressions(&dashboard, &mut found);
    let known = known();
    let mut asked = 0;
    for expression in found {
        for name in names(expression) {
            assert!(known.contains(name), "{name} in {expression} is no metric");
            asked += 1;
        }
    }
    assert!(asked > 15, "{asked}");
    let ids: Vec<&Json> = dashboard["panels"].as_array().unwrap().iter().map(|panel| &panel["id"]).collect();
    assert!(ids.iter().enumerate().all(|(at, id)| ids.iter().position(|other| other == id) == Some(at)), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_what_each_partition_is_doing() {
    let node = TestNode::start().await;
    node.make(&orders(2)).await;
    node.produce("orders", &[order(1, "DE", 1.0), order(2, "FR", 2.0), serde_json::json!("not a row")]).await;
    let labels = |partition: u32| format!(r#"{{table="orders",topic="orders",partition="{partition}"}}"#);
    let text = eventually("the metrics", async || {
        let text = node.get("/metrics").await.text();
        let value = |name: &str| -> i64 {
            let of = |partition| {
                let start = format!("{name}{} ", labels(partition));
                text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<i64>().ok()).unwrap_or(0)
            };
            of(0) + of(1)
        };
        let there = value("weir_rows_stored_total") == 2
            && value("weir_messages_rejected_total") == 1
            && value("weir_errors_total") >= 1
            && value("weir_open_rows") == 2
            && value("weir_open_bytes") > 0
            && value("weir_partition_reading") == 2
            && value("weir_next_offset") == 3
            && value("weir_end_offset") == 3
            && value("weir_open_rows_limit") == 2000
            && value("weir_bytes_fetched_total") > 0;
        if there { Ok(text.clone()) } else { Err(text.clone()) }
    })
    .await;
    for line in [
        format!("weir_lag_ms{} 0", labels(0)),
        format!("weir_lag_offsets{} 0", labels(1)),
        r#"weir_quarantine_entries{table="orders"} 1"#.to_owned(),
        r#"weir_tables{table=""} 1"#.to_owned(),
        r#"pinot_server_realtimeIngestionDelayMs_Value{table="orders",tableType="REALTIME",topic="orders",partition="0"} 0"#
            .to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let seal_at = format!("weir_open_seal_at_ms{} ", labels(0));
    let seal_at = text.lines().find_map(|line| line.strip_prefix(&seal_at)?.parse::<i64>().ok()).unwrap();
    assert!(seal_at > node.server.node.now_ms() && seal_at < node.server.node.now_ms() + 6 * 3_600_000 + 1000);
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    let known = known();
    for name in names(&text).into_iter().filter(|name| text.contains(&format!("\n{name}{{"))) {
        assert!(known.contains(name), "{name} is told and not documented");
    }
    assert_eq!(node.delete("/tables/orders").await.status, 200);
    assert!(!node.get("/metrics").await.text().contains("orders"), "a dropped table has no values");
    node.server.stop().await;
}
