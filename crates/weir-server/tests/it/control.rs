//! People at the controls of a running table: pause, resume from elsewhere, topics and partitions by choice, the audit.

use crate::{
    streams::{Log, ids},
    support::{TestNode, eventually},
};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value as Json, json};

const ALL: &str = "SELECT COUNT(*), COUNT(DISTINCT id) FROM t";

async fn reading(partitions: u32) -> (TestNode, Log, String) {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    let topic = log.topic("control", partitions).await;
    node.make(&ids("t", &[log.map(&topic, &[])])).await;
    (node, log, topic)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_forward_is_planned_then_made_and_on_the_record() {
    let (node, log, topic) = reading(2).await;
    log.append(&topic, 0, 0..10).await;
    log.append(&topic, 1, 100..110).await;
    node.wait_for_rows(ALL, &json!([[20, 20]])).await;
    node.tell("pauseConsumption", &Json::Null).await;
    node.wait_for_state(&topic, 0, "PAUSED").await;
    log.append(&topic, 0, 10..30).await;
    log.append(&topic, 1, 110..130).await;

    let body = json!({"consumeFrom": {&topic: {"0": 25, "1": "+5"}}});
    let plan = node.tell("resumeConsumption?dryRun=true", &body).await;
    assert_eq!((&plan["dryRun"], &plan["pauseFlag"]), (&json!(true), &json!(true)));
    let planned: Vec<(&Json, &Json, &Json, &Json)> = plan["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|planned| {
            (&planned["fromOffset"], &planned["toOffset"], &planned["skippedOffsets"], &planned["endOffset"])
        })
        .collect();
    let number = |n: u64| json!(n);
    assert_eq!(
        planned,
        [(&number(10), &number(25), &number(15), &number(30)), (&number(10), &number(15), &number(5), &number(30)),]
    );
    assert_eq!(node.json("/tables/t/skips").await, json!([]), "a dry run does nothing");
    assert_eq!(node.wait_for_state(&topic, 0, "PAUSED").await["openRows"], 10);

    node.tell("resumeConsumption?comment=corrupt%20stretch", &body).await;
    node.wait_for_rows(ALL, &json!([[10 + 5 + 10 + 15, 40]])).await;
    let sql =
        "SELECT \"partition\", kind, fromOffset, toOffset, offsets, reason FROM system.skips ORDER BY \"partition\"";
    assert_eq!(node.rows(sql).await, json!([[0, "SKIP", 10, 25, 15, "RESET"], [1, "SKIP", 10, 15, 5, "RESET"]]));
    let segments = node
        .rows("SELECT startOffset, endOffset FROM system.segments WHERE \"partition\" = 0 ORDER BY startOffset")
        .await;
    assert_eq!(segments, json!([[0, 10], [25, null]]));
    node.assert_balanced().await;

    let node = node.restarted().await;
    node.wait_for_rows(ALL, &json!([[40, 40]])).await;
    node.assert_balanced().await;
    let moved = "SELECT who, before, after FROM system.audit WHERE action = 'MOVE_OFFSET' AND \"partition\" = 0";
    assert_eq!(node.rows(moved).await, json!([["127.0.0.1", "10", "25: corrupt stretch"]]));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_back_is_refused_unless_rows_may_be_read_twice() {
    let (node, log, topic) = reading(1).await;
    log.append(&topic, 0, 0..10).await;
    node.wait_for_rows(ALL, &json!([[10, 10]])).await;
    let body = json!({"consumeFrom": {&topic: {"0": 4}}});
    let refused = node.post("/tables/t/resumeConsumption", &body).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(
        refused.error().contains("6 offsets") && refused.error().contains("allowDuplicates=true"),
        "{}",
        refused.error()
    );
    assert_eq!(node.rows(ALL).await, json!([[10, 10]]));
    let plan = node.tell("resumeConsumption?dryRun=true", &body).await;
    assert_eq!(plan["partitions"][0]["offsetsReadTwice"], 6, "a dry run shows what would be refused");

    node.tell("resumeConsumption?allowDuplicates=true", &body).await;
    node.wait_for_rows(ALL, &json!([[16, 10]])).await;
    let rewound = node.wait_for_state(&topic, 0, "CONSUMING").await;
    assert_eq!((&rewound["rewound"], &rewound["skipped"], &rewound["nextOffset"]), (&json!(6), &json!(0), &json!(10)));
    node.assert_balanced().await;
    node.commit("t").await;
    let segments = "SELECT startOffset, endOffset, rows FROM system.segments WHERE endOffset > 0 ORDER BY segment";
    assert_eq!(node.rows(segments).await, json!([[0, 10, 10], [4, 10, 6]]), "ranges say what was read twice");
    let said = node.json("/tables/t/audit").await["entries"].clone();
    let moved = said.as_array().unwrap().iter().find(|entry| entry["action"] == "MOVE_OFFSET").cloned().unwrap();
    assert!(moved["after"].as_str().unwrap().contains("allowDuplicates"), "{moved}");

    let node = node.restarted().await;
    node.wait_for_rows(ALL, &json!([[16, 10]])).await;
    assert_eq!(node.wait_for_state(&topic, 0, "CONSUMING").await["rewound"], 6);
    node.assert_balanced().await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_over_what_was_skipped_reads_nothing_twice() {
    let (node, log, topic) = reading(1).await;
    log.append(&topic, 0, 0..10).await;
    node.wait_for_rows(ALL, &json!([[10, 10]])).await;
    node.tell("pauseConsumption", &Json::Null).await;
    node.wait_for_state(&topic, 0, "PAUSED").await;
    log.append(&topic, 0, 10..20).await;
    node.tell("resumeConsumption?consumeFrom=largest", &Json::Null).await;
    assert_eq!(node.wait_for_state(&topic, 0, "CONSUMING").await["nextOffset"], 20);
    let back = node.tell("resumeConsumption", &json!({"consumeFrom": {&topic: {"0": 10}}})).await;
    assert_eq!(back["partitions"][0]["offsetsReadTwice"], 0, "{back}");
    node.wait_for_rows(ALL, &json!([[20, 20]])).await;
    let kinds = "SELECT kind, fromOffset, toOffset FROM system.skips ORDER BY atMs, fromOffset";
    assert_eq!(node.rows(kinds).await, json!([["SKIP", 10, 20], ["REWIND", 20, 10]]));
    node.assert_balanced().await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_hold_for_table_topic_and_partition_and_over_a_restart() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    let (a, b) = (log.topic("pause-a", 2).await, log.topic("pause-b", 1).await);
    node.make(&ids("t", &[log.map(&a, &[]), log.map(&b, &[])])).await;
    let pause = async |node: &TestNode, query: &str| node.tell(&format!("pauseConsumption?{query}"), &Json::Null).await;
    let resume =
        async |node: &TestNode, query: &str| node.tell(&format!("resumeConsumption?{query}"), &Json::Null).await;
    log.append(&a, 1, [0]).await;
    node.wait_for_rows(ALL, &json!([[1, 1]])).await;
    let status = pause(&node, &format!("topic={a}&partition=1&comment=poison")).await;
    assert_eq!((&status["pauseFlag"], &status["indexOfInactiveTopics"]), (&json!(false), &json!([])));
    assert_eq!(
        (&status["pausedParts"][0]["partition"], &status["pausedParts"][0]["comment"]),
        (&json!(1), &json!("poison"))
    );
    let shown = node.wait_for_state(&a, 1, "PAUSED").await;
    assert_eq!(shown["reason"], "ADMINISTRATIVE: poison");
    log.append(&a, 1, [1]).await;
    log.append(&a, 0, [2]).await;
    node.wait_for_rows(ALL, &json!([[2, 2]])).await;
    assert_eq!(node.rows("SELECT COUNT(*) FROM t WHERE id = 0").await, json!([[1]]), "open rows stay queryable");

    let status = pause(&node, &format!("topic={b}")).await;
    assert_eq!(status["indexOfInactiveTopics"], json!([1]));
    node.wait_for_state(&b, 0, "PAUSED").await;
    let node = node.restarted().await;
    let log = Log::local(&node);
    node.wait_for_state(&a, 1, "PAUSED").await;
    node.wait_for_state(&b, 0, "PAUSED").await;
    node.wait_for_state(&a, 0, "CONSUMING").await;

    // A pause of the whole table covers the others; lifting a part of it lifts that part alone.
    pause(&node, "comment=all").await;
    node.wait_for_state(&a, 0, "PAUSED").await;
    let status = resume(&node, &format!("topic={b}")).await;
    assert_eq!((&status["pauseFlag"], &status["indexOfInactiveTopics"]), (&json!(true), &json!([])));
    assert_eq!(node.partition(&b, 0).await["state"], "PAUSED");
    resume(&node, "").await;
    log.append(&b, 0, [3]).await;
    node.wait_for_rows(ALL, &json!([[4, 4]])).await;
    assert_eq!(node.json("/tables/t/pauseStatus").await["pausedParts"], json!([]));

    let by_place = node.tell("pauseTopicConsumption?topicIndices=1", &Json::Null).await;
    assert_eq!(by_place["indexOfInactiveTopics"], json!([1]));
    assert_eq!(
        node.tell("resumeTopicConsumption?topicIndices=1", &Json::Null).await["indexOfInactiveTopics"],
        json!([])
    );
    for (query, said) in [
        ("topic=other", "not read by this table"),
        ("partition=0", "must name the topic"),
        (&*format!("topic={a}&partition=7"), "no partition of that number"),
        ("partition=x", "number of a partition"),
    ] {
        let answer = node.post(&format!("/tables/t/pauseConsumption?{query}"), &Json::Null).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.error().contains(said), "{query}: {}", answer.error());
    }
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_says_who_did_what() {
    let (node, log, topic) = reading(1).await;
    log.append(&topic, 0, 0..3).await;
    node.wait_for_rows(ALL, &json!([[3, 3]])).await;
    let as_user = async |path: &str, headers: &[(&str, &str)]| {
        let answer = node.controller.send(Method::POST, path, headers, Bytes::new()).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    as_user("/tables/t/pauseConsumption?comment=move", &[("x-weir-user", "ann")]).await;
    as_user("/tables/t/resumeConsumption", &[("authorization", "Basic Ym9iOnNlY3JldA==")]).await;
    node.commit("t").await;
    let mut changed = ids("t", &[log.map(&topic, &[("lagging.after", "45s")])]);
    changed["schema"]["dimensionFieldSpecs"].as_array_mut().unwrap().push(json!({"name": "more", "dataType": "INT"}));
    assert_eq!(node.send(Method::PUT, "/tableConfigs/t", &changed).await.status, 200);
    assert_eq!(node.delete("/tableConfigs/t").await.status, 200);

    let audit = node.json("/tables/t/audit").await;
    assert_eq!(audit["evicted"], 0);
    let said: Vec<(&str, &str)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["who"].as_str().unwrap(), entry["action"].as_str().unwrap()))
        .collect();
    let here = "127.0.0.1";
    assert_eq!(
        said,
        [
            (here, "CREATE_TABLE"),
            ("ann", "PAUSE"),
            ("bob", "RESUME"),
            (here, "FORCE_COMMIT"),
            (here, "UPDATE_TABLE"),
            (here, "DROP_TABLE"),
        ]
    );
    let entry = |at: usize| audit["entries"][at].clone();
    assert_eq!(
        (&entry(1)["before"], &entry(1)["after"]),
        (&json!("consuming"), &json!("paused: ADMINISTRATIVE: move"))
    );
    assert_eq!(entry(2)["after"], "consuming");
    assert!(entry(3)["after"].as_str().unwrap().starts_with("t__0__0__"), "{}", entry(3));
    assert!(entry(4)["after"].as_str().unwrap().contains("lagging.after"), "{}", entry(4));
    let sql = "SELECT COUNT(*) FROM system.audit WHERE \"table\" = 't' AND who = 'ann'";
    assert_eq!(node.rows(sql).await, json!([[1]]));
    assert_eq!(node.get("/tables/never/audit").await.status, 404);
    node.server.stop().await;
}

/// A partition that is moved while something wider is paused does not consume, and the audit does not say that it does.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_a_move_names_the_pauses_that_stay() {
    let (node, log, topic) = reading(2).await;
    log.append(&topic, 0, 0..10).await;
    node.wait_for_rows(ALL, &json!([[10, 10]])).await;
    node.tell("pauseConsumption?comment=all", &Json::Null).await;
    log.append(&topic, 0, 10..20).await;
    let body = json!({"consumeFrom": {&topic: {"0": 12}}});
    node.tell(&format!("resumeConsumption?topic={topic}&partition=0"), &body).await;
    node.wait_for_state(&topic, 0, "PAUSED").await;
    node.tell("resumeConsumption", &Json::Null).await;
    node.tell(&format!("pauseConsumption?topic={topic}&comment=topic"), &Json::Null).await;
    node.tell(&format!("resumeConsumption?topic={topic}&partition=1"), &Json::Null).await;
    let sql = "SELECT before, after FROM system.audit WHERE action = 'RESUME' ORDER BY number";
    let (all, part) = ("paused: the table ADMINISTRATIVE: all", format!("paused: {topic} ADMINISTRATIVE: topic"));
    assert_eq!(node.rows(sql).await, json!([[all, all], ["paused: ADMINISTRATIVE: all", "consuming"], [part, part]]));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_by_pattern_are_read_as_they_come() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    let first = log.topic("logs-eu", 1).await;
    let prefix = first.trim_start_matches("it-logs-eu-").to_owned();
    let pattern = format!("~it-logs-.*-{prefix}");
    log.append(&first, 0, 0..5).await;
    node.make(&ids("t", &[log.map(&pattern, &[("consumer.prop.auto.offset.reset", "largest")])])).await;
    node.wait_for_state(&first, 0, "CONSUMING").await;
    log.append(&first, 0, 5..10).await;
    // One that is found later is read from its oldest message.
    let second = first.replace("logs-eu", "logs-us");
    log.create(&second, 2).await;
    log.append(&second, 0, 20..25).await;
    log.append(&second, 1, 25..30).await;
    let other = log.topic("others", 1).await;
    log.append(&other, 0, 90..99).await;
    node.wait_for_rows("SELECT COUNT(*), MIN(id), MAX(id) FROM t", &json!([[15, 5.0, 29.0]])).await;
    let node = node.restarted().await;
    let log = Log::local(&node);
    log.append(&second, 1, 30..31).await;
    node.wait_for_rows("SELECT COUNT(*), MIN(id), MAX(id) FROM t", &json!([[16, 5.0, 30.0]])).await;
    let found = "SELECT topic, who FROM system.audit WHERE action = 'ADD_TOPIC'";
    assert_eq!(node.rows(found).await, json!([[second, "weir"]]));
    let segments = node.rows("SELECT segment FROM system.segments WHERE topic LIKE '%logs-us%'").await;
    assert!(segments.to_string().contains("t__10000__") && segments.to_string().contains("t__10001__"), "{segments}");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_reads_the_partitions_that_it_names() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    let topic = log.topic("subset", 4).await;
    for partition in 0..4 {
        log.append(&topic, partition, [i64::from(partition)]).await;
    }
    let with = |ids_: &str| ids("t", &[log.map(&topic, &[("partition.ids", ids_)])]);
    let missing = node.post("/tableConfigs", &with("0,9")).await;
    assert_eq!(missing.status, 400, "{}", missing.text());
    assert!(missing.error().contains("partition.ids") && missing.error().contains('9'), "{}", missing.error());
    node.make(&with("0,2-3")).await;
    let read = "SELECT id FROM t ORDER BY id";
    node.wait_for_rows(read, &json!([[0], [2], [3]])).await;
    assert_eq!(node.send(Method::PUT, "/tableConfigs/t", &with("0-1")).await.status, 200);
    let gone = node.wait_for_state(&topic, 2, "GONE").await;
    assert_eq!(gone["reason"], "not among the table's partition.ids");
    for partition in 0..4 {
        log.append(&topic, partition, [10 + i64::from(partition)]).await;
    }
    node.wait_for_rows(read, &json!([[0], [1], [2], [3], [10], [11]])).await;
    assert_eq!(node.send(Method::PUT, "/tableConfigs/t", &with("0-3")).await.status, 200);
    node.wait_for_rows(read, &json!([[0], [1], [2], [3], [10], [11], [12], [13]])).await;
    node.assert_balanced().await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_beyond_the_bound_is_passed_over_on_the_record() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    let topic = log.topic("reset", 1).await;
    log.append(&topic, 0, 0..2000).await;
    let settings = [
        ("/realtime.segment.flush.threshold.segment.rows", "100"),
        ("/realtime.segment.offsetAutoReset.enable", "true"),
        ("/realtime.segment.offsetAutoReset.offsetThreshold", "500"),
    ];
    node.make(&ids("t", &[log.map(&topic, &settings)])).await;
    eventually("the end", async || {
        let shown = node.partition(&topic, 0).await;
        if shown["nextOffset"] == 2000 { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    let skips = node.json("/tables/t/skips").await;
    assert_eq!((&skips[0]["reason"], &skips[0]["toOffset"]), (&json!("AUTO_RESET"), &json!(2000)), "{skips}");
    let stored = 2000 - skips[0]["offsets"].as_i64().unwrap();
    node.wait_for_rows("SELECT COUNT(*) FROM t", &json!([[stored]])).await;
    let who = "SELECT who, action FROM system.audit WHERE action = 'MOVE_OFFSET'";
    assert_eq!(node.rows(who).await, json!([["weir", "MOVE_OFFSET"]]));
    node.assert_balanced().await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_table_is_neither_read_nor_queried_until_it_is_enabled() {
    let (node, log, topic) = reading(2).await;
    log.append(&topic, 0, 0..10).await;
    node.wait_for_rows(ALL, &json!([[10, 10]])).await;
    node.tell(&format!("pauseConsumption?topic={topic}&partition=1"), &Json::Null).await;
    let set = async |node: &TestNode, state: &str| {
        node.send(Method::PUT, &format!("/tables/t/state?state={state}&type=realtime"), &Json::Null).await
    };
    assert_eq!(set(&node, "off").await.status, 400);
    assert_eq!(set(&node, "disable").await.status, 200);
    assert_eq!(node.json("/tables/t/state").await, json!({"state": "disabled"}));
    let node = node.restarted().await;
    Log::local(&node).append(&topic, 0, 10..15).await;
    let answer = node.ask(ALL).await;
    assert_eq!(answer["exceptions"][0]["errorCode"], 191, "{answer}");
    assert!(answer["exceptions"][0]["message"].as_str().unwrap().contains("state=enable"), "{answer}");
    assert_eq!(node.wait_for_state(&topic, 0, "PAUSED").await["nextOffset"], 10);
    let refused = node.post("/tables/t/resumeConsumption", &Json::Null).await;
    assert!(refused.status == 400 && refused.error().contains("enable it first"), "{}", refused.text());
    assert_eq!(set(&node, "enable").await.status, 200);
    node.wait_for_rows(ALL, &json!([[15, 15]])).await;
    node.wait_for_state(&topic, 1, "PAUSED").await;
    let actions =
        node.rows("SELECT action FROM system.audit WHERE action IN ('ENABLE', 'DISABLE') ORDER BY atMs").await;
    assert_eq!(actions, json!([["DISABLE"], ["ENABLE"]]));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_partition_says_how_far_behind_it_is_and_mistyped_parameters_are_refused() {
    let (node, log, topic) = reading(1).await;
    log.append(&topic, 0, 0..10).await;
    node.wait_for_rows(ALL, &json!([[10, 10]])).await;
    let refused = node.post("/tables/t/pauseConsumption?partiton=0", &Json::Null).await;
    assert!(refused.status == 400 && refused.error().contains("partiton"), "{}", refused.text());
    let refused = node.post("/tables/t/resumeConsumption?dry_run=true&consumeFrom=largest", &Json::Null).await;
    assert!(refused.status == 400 && refused.error().contains("dryRun"), "{}", refused.text());
    node.wait_for_state(&topic, 0, "CONSUMING").await;
    node.tell("pauseConsumption", &Json::Null).await;
    log.append(&topic, 0, 10..30).await;
    eventually("the lag", async || {
        let shown = node.partition(&topic, 0).await;
        let behind = shown["lagOffsets"] == 20 && shown["lagMs"].as_i64().is_some_and(|ms| ms > 0);
        if behind { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_cannot_be_uploaded_says_why_and_is_committed_once_it_can() {
    let (node, log, topic) = reading(1).await;
    log.append(&topic, 0, 0..10).await;
    node.wait_for_rows(ALL, &json!([[10, 10]])).await;
    let deep = node.server.node.settings().absolute_data_dir().join("deep-store");
    // A file where the table's folder belongs.
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("t-1"), "").unwrap();
    node.tell("forceCommit", &Json::Null).await;
    let sealed = "SELECT state, lastError FROM system.segments WHERE endOffset = 10";
    eventually("the reason", async || {
        let rows = node.rows(sealed).await;
        let said = rows[0][1].as_str().is_some_and(|why| why.contains("t-1"));
        if rows[0][0] == "COMMITTING" && said { Ok(()) } else { Err(rows.to_string()) }
    })
    .await;
    std::fs::remove_file(deep.join("t-1")).unwrap();
    node.wait_for_rows(sealed, &json!([["DONE", null]])).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_reading_are_told_and_changed_while_it_goes_on() {
    let node = TestNode::start().await;
    let log = Log::local(&node);
    let topic = log.topic("limits", 2).await;
    log.append(&topic, 0, 0..30).await;
    log.append(&topic, 1, 30..60).await;
    let mut limited = log.map(&topic, &[]);
    node.make(&ids("t", &[limited.clone()])).await;
    node.wait_for_rows(ALL, &json!([[60, 60]])).await;
    let limits = "SELECT rateLimit FROM system.partitions";
    assert_eq!(node.rows(limits).await, json!([[null], [null]]));
    limited["topic.consumption.rate.limit"] = json!("200");
    let changed = node.send(Method::PUT, "/tableConfigs/t", &ids("t", &[limited.clone()])).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    node.wait_for_rows(limits, &json!([["100 messages/s"], ["100 messages/s"]])).await;
    log.append(&topic, 0, 60..70).await;
    node.wait_for_rows(ALL, &json!([[70, 70]])).await;
    limited["partition.consumption.rate.limit"] = json!("a lot");
    let refused = node.send(Method::PUT, "/tableConfigs/t", &ids("t", &[limited])).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("partition.consumption.rate.limit"), "{}", refused.text());

    let name = "pinot.server.consumption.rate.limit";
    assert_eq!(node.json("/cluster/configs").await, json!({}));
    assert_eq!(node.post("/cluster/configs", &json!({name: 500})).await.status, 200);
    for (body, part) in [
        (json!({name: "fast"}), "must be a number"),
        (json!({name: "1", "pinot.broker.x": "y"}), "pinot.broker.x: is not a setting"),
        (json!({name: [1]}), "must be text or a number"),
        (json!([]), "must be an object"),
    ] {
        let refused = node.post("/cluster/configs", &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.text().contains(part), "{}", refused.text());
    }
    let node = node.restarted().await;
    assert_eq!(node.json("/cluster/configs").await, json!({name: "500"}), "what was refused changed nothing");
    assert_eq!(node.delete(&format!("/cluster/configs/{name}")).await.status, 200);
    assert_eq!(node.delete(&format!("/cluster/configs/{name}")).await.status, 404);
    assert_eq!(node.json("/cluster/configs").await, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_to_be_read_elsewhere_must_answer_there() {
    let (node, log, topic) = reading(1).await;
    log.append(&topic, 0, 0..3).await;
    node.wait_for_rows(ALL, &json!([[3, 3]])).await;
    let elsewhere = json!({
        "streamType": "kafka",
        "stream.kafka.topic.name": topic,
        "stream.kafka.decoder.class.name": "json",
        "stream.kafka.broker.list": "127.0.0.1:1",
    });
    let refused = node.send(Method::PUT, "/tableConfigs/t", &ids("t", &[elsewhere])).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(refused.text().contains("127.0.0.1:1"), "{}", refused.text());
    log.append(&topic, 0, 3..5).await;
    node.wait_for_rows(ALL, &json!([[5, 5]])).await;
    let same = node.send(Method::PUT, "/tableConfigs/t", &ids("t", &[log.map(&topic, &[])])).await;
    assert_eq!(same.status, 200, "{same:?}");
}
