//! Secrets in a config's JSON: what is shown of them, how one that was shown hidden is kept, and which values refer to
//! what the node has to look up.

use crate::spec::error::{SpecError, SpecErrors};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use weir_types::{
    TableSpec,
    secret::{HIDDEN, has_references, is_secret, shown, shown_of_secret},
};

/// The same JSON as it may be seen: literal secrets replaced, references as they are. Below a telling key all texts and numbers are
/// secrets.
#[must_use]
pub fn redacted(json: &Json) -> Json {
    seen("", false, json)
}

/// `telling` is true below a key that says that it holds secrets.
fn seen(key: &str, telling: bool, json: &Json) -> Json {
    let below = telling || is_secret(key);
    match json {
        Json::Object(object) => {
            Json::Object(object.iter().map(|(key, value)| (key.clone(), seen(key, below, value))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(|item| seen(key, below, item)).collect()),
        Json::String(text) if telling => Json::String(shown_of_secret(text)),
        Json::String(text) => Json::String(shown(key, text)),
        Json::Number(_) if telling || is_secret(key) => Json::String(HIDDEN.to_owned()),
        scalar => scalar.clone(),
    }
}

/// The same values by their JSON pointers, as they may be seen.
#[must_use]
pub fn redacted_at<'a>(pointer: &'a str, json: &Json) -> Json {
    let mut keys = pointer.rsplit('/');
    let key: &'a str = keys.next().unwrap_or_default();
    seen(key, keys.any(is_secret), json)
}

/// Puts what is stored in the place of every secret that comes back as it was shown. A hidden one that nothing is stored
/// for is an error with its path.
pub fn keep_stored(sent: &Json, stored: Option<&Json>) -> Result<Json, SpecErrors> {
    let mut keeper = Keeper { errors: vec![] };
    let kept = keeper.keep("", "", false, sent, stored);
    if keeper.errors.is_empty() { Ok(kept) } else { Err(SpecErrors(keeper.errors)) }
}

struct Keeper {
    errors: Vec<SpecError>,
}

impl Keeper {
    fn keep(&mut self, path: &str, key: &str, telling: bool, sent: &Json, stored: Option<&Json>) -> Json {
        let secret = telling || is_secret(key);
        match sent {
            Json::Object(object) => {
                let kept = object.iter().map(|(key, value)| {
                    let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let stored = stored.and_then(|stored| stored.get(key));
                    (key.clone(), self.keep(&below, key, secret, value, stored))
                });
                Json::Object(kept.collect())
            }
            Json::Array(items) => {
                let kept = items.iter().enumerate().map(|(at, item)| {
                    let stored = stored.and_then(Json::as_array).and_then(|stored| counterpart(item, at, stored));
                    self.keep(&format!("{path}[{at}]"), key, secret, item, stored)
                });
                Json::Array(kept.collect())
            }
            Json::String(text) if text.contains(HIDDEN) => {
                let was_shown = stored.is_some_and(|stored| seen(key, telling, stored) == *sent);
                match stored.filter(|_| was_shown) {
                    Some(stored) => stored.clone(),
                    None => {
                        if telling || is_secret(key) {
                            self.errors.push(SpecError {
                                path: path.to_owned(),
                                value: HIDDEN.to_owned(),
                                reason:
                                    "stands for a stored secret, and none is stored here: write it, or refer to it \
                                         with env:NAME or file:/path"
                                        .to_owned(),
                            });
                        }
                        sent.clone()
                    }
                }
            }
            scalar => scalar.clone(),
        }
    }
}

/// The stored item that an item of a list is about: the one of the same topic or name; the one at its place where it has
/// neither.
fn counterpart<'a>(item: &Json, at: usize, stored: &'a [Json]) -> Option<&'a Json> {
    match item.as_object().and_then(called) {
        Some(name) if name != HIDDEN => stored.iter().find(|stored| stored.as_object().and_then(called) == Some(name)),
        _ => stored.get(at),
    }
}

fn called(object: &Map<String, Json>) -> Option<&str> {
    let telling = |key: &str| key == "name" || key.ends_with(".topic.name") || key.ends_with(".topic.pattern");
    // A name that is hidden tells nothing.
    object.iter().find(|(key, _)| telling(key) && !is_secret(key)).and_then(|(_, value)| value.as_str())
}

/// The values of a table's clients that refer to what is kept on the node: path and value.
#[must_use]
pub fn references(config: &Json, spec: &TableSpec) -> Vec<(String, String)> {
    let maps = spec.streams.iter().chain(spec.patterns.iter().map(weir_types::TopicPattern::asked));
    let used: BTreeSet<&str> = maps
        .flat_map(|stream| stream.settings.values())
        .map(String::as_str)
        .filter(|text| has_references(text))
        .collect();
    let mut found = vec![];
    let mut of_map = |path: String, map: &Json| {
        for (key, value) in map.as_object().into_iter().flatten() {
            // The map's reader cuts blanks off the brokers.
            if let Some(text) = value.as_str().filter(|text| used.contains(text) || used.contains(text.trim())) {
                found.push((format!("{path}.{key}"), text.to_owned()));
            }
        }
    };
    of_map("tableIndexConfig.streamConfigs".to_owned(), &config["tableIndexConfig"]["streamConfigs"]);
    let place = "ingestionConfig.streamIngestionConfig.streamConfigMaps";
    let maps = config["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"].as_array();
    for (at, map) in maps.into_iter().flatten().enumerate() {
        of_map(format!("{place}[{at}]"), map);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored() -> Json {
        json!({
            "tableName": "orders_REALTIME",
            "tableIndexConfig": {"streamConfigs": {
                "sasl.jaas.config": "PlainLoginModule required username=\"u\" password=\"hunter2\";",
                "ssl.keystore.password": "hunter3",
                "ssl.key.password": "env:KEY_PASSWORD",
                "sasl.password": 12345,
                "stream.kafka.topic.name": "orders",
                "client.rack": "http://me:hunter4@host",
            }},
            "primaryKeyColumns": ["id"],
        })
    }

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        let shown = redacted(&stored());
        let map = &shown["tableIndexConfig"]["streamConfigs"];
        for key in ["sasl.jaas.config", "ssl.keystore.password", "sasl.password"] {
            assert_eq!(map[key], HIDDEN, "{key}");
        }
        assert_eq!(map["ssl.key.password"], "env:KEY_PASSWORD");
        assert_eq!(map["stream.kafka.topic.name"], "orders");
        assert_eq!(shown["primaryKeyColumns"], json!(["id"]));
        assert!(!shown.to_string().contains("hunter"), "{shown}");
        assert_eq!(redacted(&json!({"tokens": ["a", "env:B"]})), json!({"tokens": [HIDDEN, "env:B"]}));
        assert_eq!(redacted_at("/tableIndexConfig/api-key", &json!("x")), HIDDEN);
        let nested = json!({"credentials": {"user": "a", "more": [{"name": "S"}, 7], "on": true}, "plain": {"x": "y"}});
        let hidden = json!({"credentials": {"user": HIDDEN, "more": [{"name": HIDDEN}, HIDDEN], "on": true}, "plain": {"x": "y"}});
        assert_eq!(redacted(&nested), hidden);
        assert_eq!(keep_stored(&hidden, Some(&nested)).unwrap(), nested);
        assert_eq!(redacted_at("/credentials/more/0/x", &json!("S")), HIDDEN);
    }

    #[test]
    fn what_was_shown_may_be_sent_back() {
        let mut sent = redacted(&stored());
        assert_eq!(keep_stored(&sent, Some(&stored())).unwrap(), stored());
        let map = &mut sent["tableIndexConfig"]["streamConfigs"];
        map["ssl.keystore.password"] = json!("new");
        map["stream.kafka.topic.name"] = json!("others");
        let kept = keep_stored(&sent, Some(&stored())).unwrap();
        let map = &kept["tableIndexConfig"]["streamConfigs"];
        assert_eq!(map["ssl.keystore.password"], "new");
        assert_eq!(map["sasl.password"], 12345);
        assert_eq!(map["stream.kafka.topic.name"], "others");
    }

    #[test]
    fn a_hidden_secret_that_is_not_stored_is_an_error() {
        let errors = keep_stored(&redacted(&stored()), None).unwrap_err();
        assert_eq!(errors.0.len(), 3, "{errors}");
        assert!(errors.0.iter().all(|error| error.reason.contains("env:NAME")));
        assert!(errors.to_string().contains("tableIndexConfig.streamConfigs.ssl.keystore.password = *****"));
        let harmless = json!({"note": "*****"});
        assert_eq!(keep_stored(&harmless, None).unwrap(), harmless);
    }

    #[test]
    fn maps_of_a_list_are_told_apart_by_their_topics() {
        let map = |topic: &str, password: &str| json!({"stream.kafka.topic.name": topic, "sasl.password": password});
        let stored = json!({"maps": [map("a", "hunter2"), map("b", "hunter3")]});
        let sent = json!({"maps": [map("b", HIDDEN), map("a", "x")]});
        assert_eq!(keep_stored(&sent, Some(&stored)).unwrap(), json!({"maps": [map("b", "hunter3"), map("a", "x")]}));
        let new = json!({"maps": [map("c", HIDDEN)]});
        assert_eq!(keep_stored(&new, Some(&stored)).unwrap_err().0[0].path, "maps[0].sasl.password");
        let odd = json!({"maps": [{"privatekey.topic.name": "a"}]});
        assert_eq!(keep_stored(&redacted(&odd), Some(&odd)).unwrap(), odd, "a name may be hidden itself");
    }
}
