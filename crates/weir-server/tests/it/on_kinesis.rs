//! A table on a stand-in for Kinesis: bad records, and what is wrong when it is made. `WEIR_KINESIS` names the stand-in.

use crate::{
    bad_days_creation::{cell, refused},
    bad_days_records::one_bad_in_ten_thousand,
    streams::Log,
    support::TestNode,
};
use weir_streams::kinesis::testing::TestKinesis;

#[tokio::test(flavor = "multi_thread")]
async fn n01_on_kinesis() {
    let Some(log) = Log::kinesis() else { return };
    let node = TestNode::start().await;
    one_bad_in_ten_thousand(&node, &log).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n15_on_kinesis() {
    let Some(log) = Log::kinesis() else { return };
    let node = TestNode::start().await;
    let topic = log.topic("n15", 2).await;
    let absent = TestKinesis::name("n15-absent");
    let name = "stream.kinesis.topic.name";
    let cells = [
        cell(&[(name, Some(&absent))], name, &[&absent, "does not exist"]),
        // Which region has no such stream the stand-in does not tell; which setting it is, is said.
        cell(&[(name, Some(&absent)), ("region", Some("eu-west-1"))], "region", &[&absent, "does not exist"]),
        cell(&[("stream.kinesis.partition.ids", Some("1,7"))], "stream.kinesis.partition.ids", &[&topic, "7"]),
        // What is sent is signed; who signs with nothing is not believed.
        cell(&[("accessKey", Some("env:NO_SUCH_N15"))], "accessKey", &["NO_SUCH_N15"]),
    ];
    refused(&node, &log.map(&topic, &[]), &cells).await;
    node.server.stop().await;
}
