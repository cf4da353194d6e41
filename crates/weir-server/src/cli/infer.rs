//! `weir infer`: a tableConfigs document for a topic that nobody has described, with the reason of each guess.

use crate::{
    cli::{
        ControllerAddress, Failure,
        output::{data, harmless, say},
        table_text::{Format, Grid},
    },
    client::{Client, ClientError},
};
use clap::Args;
use hyper::Method;
use serde_json::{Map, Value as Json, json};

const EXAMPLES: &str = "\
The document goes to stdout and nothing else; reasons, doubts and bounds go to stderr. A node does the reading and stores nothing.

Examples:
  weir infer kafka://localhost:9092/orders > orders.json
  weir infer kafka://localhost:9092/orders --registry http://localhost:8081
  weir infer kafka://localhost:9092/lines --format csv --header 'id;country;created_at'
  weir infer local://orders --name second --time ts --rows 5000";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InferArguments {
    /// The topic: kafka://HOST:PORT[,HOST:PORT..]/TOPIC, or local://TOPIC for the node's own log
    #[arg(value_parser = stream_of)]
    source: Map<String, Json>,
    /// Name of the table; the topic's unless it is given
    #[arg(long)]
    name: Option<String>,
    /// Messages that are looked at, from several places of each partition; 10000 at most
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rows: u64,
    /// Format, where it is not to be guessed: json, csv, avro-confluent, json-confluent
    #[arg(long)]
    format: Option<String>,
    /// Names of the cells of CSV, between its delimiter
    #[arg(long)]
    header: Option<String>,
    /// URL of the schema registry whose schemas the messages name
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Field that is the table's time
    #[arg(long, value_name = "FIELD")]
    time: Option<String>,
    #[command(flatten)]
    address: ControllerAddress,
}

/// The settings of a stream from its URL.
fn stream_of(url: &str) -> Result<Map<String, Json>, String> {
    let wanted = "must be kafka://host:port/topic or local://topic";
    let Some((kind, place)) = url.split_once("://") else { return Err(wanted.to_owned()) };
    let (brokers, topic) = match kind {
        "kafka" => place.split_once('/').ok_or("names no topic: must be kafka://host:port/topic")?,
        "local" => ("", place),
        _ => {
            return Err(format!(
                "{wanted}; a topic of another stream is looked at with POST /tableConfigs/infer, which takes all settings"
            ));
        }
    };
    if topic.is_empty() || topic.contains('/') || (kind == "kafka" && brokers.is_empty()) {
        return Err(wanted.to_owned());
    }
    if brokers.contains('@') {
        return Err("must hold no user or password: a login is set with POST /tableConfigs/infer".to_owned());
    }
    let mut stream = Map::new();
    stream.insert("streamType".to_owned(), json!(kind));
    stream.insert(format!("stream.{kind}.topic.name"), json!(topic));
    if kind == "kafka" {
        stream.insert("stream.kafka.broker.list".to_owned(), json!(brokers));
    }
    Ok(stream)
}

impl InferArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut stream = self.source;
        if let (Some(registry), Some(kind)) = (self.registry, stream["streamType"].as_str()) {
            stream.insert(format!("stream.{kind}.decoder.prop.schema.registry.rest.url"), json!(registry));
        }
        let asked = json!({
            "stream": stream, "tableName": self.name, "rows": self.rows, "format": self.format,
            "header": self.header, "time": self.time,
        });
        let client = Client::new(&self.address.controller);
        let answer = match client.send_json(Method::POST, "/tableConfigs/infer", &asked).await {
            Err(error @ ClientError::Unreachable { .. }) => {
                return Err(Failure::Unreachable(format!("{error}; a node reads the topic: `weir up` starts one")));
            }
            answer => answer?,
        };
        if !answer.is_success() {
            return Err(Failure::Failed(answer.error()));
        }
        let answer = answer.json();
        explain(&answer);
        let document = serde_json::to_string_pretty(&answer["document"]);
        data(&document.map_err(|error| Failure::Failed(format!("the answer holds no document: {error}")))?)
    }
}

/// Columns with their reasons, then doubts and bounds.
fn explain(answer: &Json) {
    let mut grid =
        Grid::new(["column", "type", "part", "index", "filled", "distinct", "why"].map(str::to_owned).into());
    let mut doubts = vec![];
    for field in answer["fields"].as_array().into_iter().flatten() {
        let text = |key: &str| harmless(field[key].as_str().unwrap_or_default());
        let many = if field["multiValue"] == json!(true) { "[]" } else { "" };
        let number = |key: &str| field[key].as_u64().unwrap_or(0);
        let filled = number("present").saturating_sub(number("nulls"));
        grid.push(vec![
            json!(text("name")),
            json!(format!("{}{many}", text("dataType"))),
            json!(text("fieldType")),
            json!(text("index")),
            json!(format!("{filled}/{}", number("records"))),
            field["distinct"].clone(),
            json!(text("why")),
        ]);
        if !field["doubt"].is_null() {
            doubts.push(format!("doubt: {}: {}", text("name"), text("doubt")));
        }
    }
    say(String::from_utf8_lossy(&grid.write(Format::Table)).trim_end());
    doubts.iter().for_each(|doubt| say(doubt));
    for note in answer["notes"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        say(&format!("note: {}", harmless(note)));
    }
    let (sampled, verified) = (&answer["sampled"], &answer["verified"]);
    say(&format!(
        "read {} messages of about {} in {} partitions, as {}; what they do not show is not known",
        sampled["messages"],
        sampled["held"],
        sampled["partitions"],
        answer["decoder"].as_str().unwrap_or_default(),
    ));
    say(&format!(
        "with this document {} give rows ({} of them with altered values), {} are rejected, {} give none; nothing was stored",
        verified["rows"], verified["altered"], verified["rejected"], verified["others"]
    ));
    if let Some(first) = verified["first"].as_str() {
        say(&format!("first rejected: {}", harmless(first)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_settings_of_its_stream() {
        let kafka = Json::Object(stream_of("kafka://a:9092,b:9092/eu.orders").unwrap());
        let expected = json!({
            "streamType": "kafka", "stream.kafka.topic.name": "eu.orders", "stream.kafka.broker.list": "a:9092,b:9092",
        });
        assert_eq!(kafka, expected);
        let local = Json::Object(stream_of("local://orders").unwrap());
        assert_eq!(local, json!({"streamType": "local", "stream.local.topic.name": "orders"}));
        for (wrong, said) in [
            ("orders", "must be kafka://"),
            ("kafka://a:9092", "names no topic"),
            ("kafka:///t", "must be kafka://"),
            ("local://", "must be kafka://"),
            ("local://a/b", "must be kafka://"),
            ("pulsar://h/t", "POST /tableConfigs/infer"),
            ("kafka://u:p@h:9092/t", "no user or password"),
        ] {
            let error = stream_of(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
