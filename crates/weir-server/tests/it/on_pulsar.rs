//! A table on a real Pulsar: bad messages, and what is wrong when it is made. `WEIR_PULSAR` names the node.

use crate::{
    bad_days_creation::{cell, refused},
    bad_days_records::one_bad_in_ten_thousand,
    streams::Log,
    support::TestNode,
};
use weir_streams::pulsar::testing::TestPulsar;

#[tokio::test(flavor = "multi_thread")]
async fn n01_on_pulsar() {
    let Some(log) = Log::pulsar().await else { return };
    let node = TestNode::start().await;
    one_bad_in_ten_thousand(&node, &log).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n15_on_pulsar() {
    let Some(log) = Log::pulsar().await else { return };
    let Log::Pulsar(broker) = &log else { unreachable!() };
    let node = TestNode::start().await;
    let topic = log.topic("n15", 2).await;
    let absent = TestPulsar::name("n15-absent");
    let name = "stream.pulsar.topic.name";
    let elsewhere = format!("persistent://nobody/nowhere/{topic}");
    let tls = format!("pulsar+ssl://{}", broker.address);
    let admin = broker.address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>().unwrap() + 1)).unwrap();
    let http = format!("pulsar://{}:{}", admin.0, admin.1);
    let servers = "stream.pulsar.bootstrap.servers";
    let cells = [
        cell(&[(name, Some(&absent))], name, &[&absent, "does not exist"]),
        cell(&[(name, Some(&elsewhere))], name, &[&topic, "does not exist"]),
        cell(&[("stream.pulsar.partition.ids", Some("1,7"))], "stream.pulsar.partition.ids", &[&topic, "7"]),
        // The port speaks no TLS; the port is that of the admin interface.
        cell(&[(servers, Some(&tls))], servers, &["TLS"]),
        cell(&[(servers, Some(&http))], servers, &[&topic]),
    ];
    refused(&node, &log.map(&topic, &[]), &cells).await;
    assert!(!broker.exists(&absent), "asking did not make it");
    node.server.stop().await;
}
