//! `weir infer`: a tableConfigs document for a topic that nobody has described, with the reason of each guess.

use crate::{
    cli::{
        ControllerAddress, Failure,
        output::{data, escaped_lines, file_of_stdout, say},
        shell_word,
        table_text::{Format, Grid},
    },
    client::{Client, ClientError},
};
use clap::Args;
use hyper::Method;
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
The document goes to stdout and nothing else; reasons, doubts and bounds go to stderr. A node does the reading and stores nothing.

Examples:
  weir infer kafka://localhost:9092/orders > orders.json
  weir infer kafka://localhost:9092/orders --registry http://localhost:8081
  weir infer kafka://localhost:9092/clicks --format avro --schema click.avsc
  weir infer kafka://localhost:9092/lines --format csv --header 'id;country;created_at'
  weir infer local://orders --name second --time ts --rows 5000";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InferArguments {
    /// The topic: kafka://HOST:PORT[,HOST:PORT..]/TOPIC, pulsar://HOST:PORT/[TENANT/NAMESPACE/]TOPIC, kinesis://REGION/STREAM, or
    /// local://TOPIC for the node's own log
    #[arg(value_parser = stream_of)]
    source: Map<String, Json>,
    /// Name of the table; the topic's unless it is given
    #[arg(long)]
    name: Option<String>,
    /// Messages that are looked at, from several places of each partition; 10000 at most
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rows: u64,
    /// Format, where it is not to be guessed: json, csv, avro-confluent and json-confluent (messages begin with the number of a
    /// schema in --registry), avro (plain, of the schema in --schema; without one it means avro-confluent)
    #[arg(long)]
    format: Option<String>,
    /// Names of the cells of CSV, between its delimiter
    #[arg(long)]
    header: Option<String>,
    /// URL of the schema registry whose schemas the messages name
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// File with the Avro schema that all messages were written with
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Field that is the table's time
    #[arg(long, value_name = "FIELD")]
    time: Option<String>,
    #[command(flatten)]
    address: ControllerAddress,
}

/// The forms of a URL.
const FORMS: &str = "must be kafka://host:port/topic, pulsar://host:port/topic (or /tenant/namespace/topic), \
                     kinesis://region/stream, or local://topic";

/// The settings of a stream from its URL.
pub(super) fn stream_of(url: &str) -> Result<Map<String, Json>, String> {
    let Some((scheme, place)) = url.split_once("://") else { return Err(FORMS.to_owned()) };
    if place.contains('@') {
        return Err("must hold no user or password: a login is set with POST /tableConfigs/infer".to_owned());
    }
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let mut settings: Vec<(&str, String)> = vec![];
    let (kind, topic) = match scheme {
        "local" => ("local", place.to_owned()),
        "kafka" => {
            settings.push(("stream.kafka.broker.list", host.to_owned()));
            ("kafka", path.to_owned())
        }
        "pulsar" | "pulsar+ssl" => {
            settings.push(("stream.pulsar.bootstrap.servers", format!("{scheme}://{host}")));
            let topic = match path.trim_start_matches("persistent/").split('/').collect::<Vec<_>>().as_slice() {
                [tenant, namespace, topic] if ![*tenant, *namespace, *topic].contains(&"") => {
                    format!("persistent://{tenant}/{namespace}/{topic}")
                }
                _ => path.to_owned(),
            };
            ("pulsar", topic)
        }
        "kinesis" => {
            let (stream, endpoint) = match path.split_once('?') {
                None => (path, None),
                Some((stream, query)) => match query.strip_prefix("endpoint=") {
                    Some(endpoint) if endpoint.contains("://") => (stream, Some(endpoint)),
                    _ => return Err(format!("?{query}: must be ?endpoint=http://host:port, or nothing")),
                },
            };
            settings.push(("region", host.to_owned()));
            settings.extend(endpoint.map(|endpoint| ("endpoint", endpoint.to_owned())));
            ("kinesis", stream.to_owned())
        }
        _ => return Err(format!("{scheme}:// is no stream that is known here: {FORMS}")),
    };
    if topic.is_empty() && !host.is_empty() && kind != "local" {
        return Err(format!("names no topic: {FORMS}"));
    }
    if topic.is_empty() || host.is_empty() || (topic.contains('/') && !topic.starts_with("persistent://")) {
        return Err(FORMS.to_owned());
    }
    let mut stream = Map::new();
    stream.insert("streamType".to_owned(), json!(kind));
    stream.insert(format!("stream.{kind}.topic.name"), json!(topic));
    stream.extend(settings.into_iter().map(|(key, value)| (key.to_owned(), json!(value))));
    Ok(stream)
}

/// Adds where the schemas of a stream's messages are: in a registry, or in a file.
pub(super) fn with_schemas(
    stream: &mut Map<String, Json>,
    registry: Option<&str>,
    schema: Option<&Path>,
) -> Result<(), Failure> {
    let kind = stream["streamType"].as_str().unwrap_or_default().to_owned();
    if let Some(registry) = registry {
        stream.insert(format!("stream.{kind}.decoder.prop.schema.registry.rest.url"), json!(registry));
    }
    if let Some(file) = schema {
        let wrong = |why: String| Failure::Usage(format!("--schema {}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        // On one line, as it stands in a config.
        let schema: Json = serde_json::from_str(&text).map_err(|error| wrong(format!("it is no JSON: {error}")))?;
        stream.insert(format!("stream.{kind}.decoder.prop.schema"), json!(schema.to_string()));
    }
    Ok(())
}

impl InferArguments {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut stream = self.source;
        with_schemas(&mut stream, self.registry.as_deref(), self.schema.as_deref())?;
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
        let document = document.map_err(|error| Failure::Failed(format!("the answer holds no document: {error}")))?;
        // In texts of JSON an escape means the same.
        data(&escaped_lines(&document))?;
        let file = file_of_stdout().map_or_else(|| "FILE".to_owned(), |file| shell_word(&file));
        say(&format!("next: {}", self.address.same(&format!("weir try {file}"))));
        Ok(())
    }
}

/// Columns with their reasons, then doubts and bounds.
fn explain(answer: &Json) {
    let mut grid =
        Grid::new(["column", "type", "part", "index", "filled", "distinct", "why"].map(str::to_owned).into());
    let mut doubts = vec![];
    for field in answer["fields"].as_array().into_iter().flatten() {
        let text = |key: &str| field[key].as_str().unwrap_or_default();
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
        say(&format!("note: {}", note));
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
        say(&format!("first rejected: {}", first));
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
        for (url, topic, servers) in [
            ("pulsar://a:6650,b:6650/t", "t", "pulsar://a:6650,b:6650"),
            ("pulsar+ssl://a:6651/acme/raw/t", "persistent://acme/raw/t", "pulsar+ssl://a:6651"),
            ("pulsar://a:6650/persistent/acme/raw/t", "persistent://acme/raw/t", "pulsar://a:6650"),
        ] {
            let pulsar = stream_of(url).unwrap();
            assert_eq!(
                (&pulsar["stream.pulsar.topic.name"], &pulsar["stream.pulsar.bootstrap.servers"]),
                (&json!(topic), &json!(servers))
            );
        }
        let kinesis = Json::Object(stream_of("kinesis://eu-west-1/orders?endpoint=http://localhost:4566").unwrap());
        let expected = json!({
            "streamType": "kinesis", "stream.kinesis.topic.name": "orders", "region": "eu-west-1",
            "endpoint": "http://localhost:4566",
        });
        assert_eq!(kinesis, expected);
        for (wrong, said) in [
            ("orders", "must be kafka://"),
            ("kafka://a:9092", "names no topic"),
            ("kafka:///t", "must be kafka://"),
            ("local://", "must be kafka://"),
            ("local://a/b", "must be kafka://"),
            ("pulsar://h:6650/a/b", "must be kafka://"),
            ("kinesis://eu-west-1/s?x=1", "?x=1: must be ?endpoint="),
            ("nats://h/t", "nats:// is no stream"),
            ("kafka://u:p@h:9092/t", "no user or password"),
        ] {
            let error = stream_of(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
