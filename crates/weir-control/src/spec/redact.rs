//! Secrets never reach a log: values under telling keys are replaced.

use serde_json::Value as Json;

const HIDDEN: &str = "******";

/// Parts of a key that say its value is a secret.
const TELLING: [&str; 6] = ["password", "secret", "jaas", "token", "key", "credential"];

/// Whether the value under this key is a secret. Errs on the side of hiding.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    TELLING.iter().any(|part| key.contains(part))
}

/// The same JSON with secrets replaced, for logs. Lists and objects under a telling key are looked into.
#[must_use]
pub fn redacted(json: &Json) -> Json {
    match json {
        Json::Object(object) => {
            let hide = |(key, value): (&String, &Json)| {
                let secret = is_secret(key) && (value.is_string() || value.is_number());
                (key.clone(), if secret { Json::String(HIDDEN.into()) } else { redacted(value) })
            };
            Json::Object(object.iter().map(hide).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(redacted).collect()),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        let config = json!({
            "streamConfigs": {
                "sasl.jaas.config": "PlainLoginModule required password=\"p\";",
                "ssl.keystore.password": "p",
                "stream.kafka.topic.name": "orders",
            },
            "primaryKeyColumns": ["id"],
        });
        let shown = redacted(&config);
        assert_eq!(shown["streamConfigs"]["sasl.jaas.config"], HIDDEN);
        assert_eq!(shown["streamConfigs"]["ssl.keystore.password"], HIDDEN);
        assert_eq!(shown["streamConfigs"]["stream.kafka.topic.name"], "orders");
        assert_eq!(shown["primaryKeyColumns"], json!(["id"]));
    }
}
