//! A table's settings of a Kinesis stream. Their keys have no prefix.

use super::keys::{Keys, Surroundings};
use crate::contract::StreamError;
use weir_base::outside;
use weir_types::StreamSpec;

/// Settings as the connector uses them.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) stream: String,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    /// Key and secret where the table gives them; otherwise the node has some.
    pub(super) keys: Option<(String, String)>,
    /// Records of one answer at most.
    pub(super) most_records: i32,
    /// Questions a second to one shard.
    pub(super) per_second: f64,
}

/// What the service gives at most in one answer.
const MOST_RECORDS: i32 = 10_000;
const PER_SECOND: f64 = 1.0;

pub(super) fn wrong(spec: &StreamSpec, key: &str, reason: impl Into<String>) -> StreamError {
    StreamError::Setting { topic: spec.topic.to_string(), key: key.into(), reason: reason.into() }
}

impl Settings {
    pub(super) fn of(spec: &StreamSpec) -> Result<Self, StreamError> {
        let text = |key: &str| spec.settings.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        let region = text("region").ok_or_else(|| wrong(spec, "region", "it is missing: name it, as in us-east-1"))?;
        let keys = match (text("accessKey"), text("secretKey")) {
            (Some(key), Some(secret)) => Some((key.to_owned(), secret.to_owned())),
            (None, None) => None,
            (Some(_), None) => return Err(wrong(spec, "secretKey", "it is missing beside accessKey")),
            (None, Some(_)) => return Err(wrong(spec, "accessKey", "it is missing beside secretKey")),
        };
        if text("iamRoleBasedAccessEnabled").is_some_and(|on| on.eq_ignore_ascii_case("true")) {
            let reason = "roles are not assumed here: give the node the keys of the role's session (AWS_ACCESS_KEY_ID, \
                          AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), and set it to false";
            return Err(wrong(spec, "iamRoleBasedAccessEnabled", reason));
        }
        if let Some(endpoint) = text("endpoint")
            && !endpoint.starts_with("http://")
            && !endpoint.starts_with("https://")
        {
            return Err(wrong(spec, "endpoint", format!("{endpoint:?} must be a URL, as in http://localhost:4566")));
        }
        let most = text("maxRecordsToFetch").map_or(Ok(MOST_RECORDS), |text| {
            let number = text.parse().ok().filter(|number| (1..=MOST_RECORDS).contains(number));
            number.ok_or_else(|| wrong(spec, "maxRecordsToFetch", format!("{text:?} must be 1 to {MOST_RECORDS}")))
        });
        // Pinot takes its default for what is no number above 0.
        let rate = |text: &str| text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
        Ok(Self {
            stream: spec.topic.to_string(),
            region: region.to_owned(),
            endpoint: text("endpoint").map(str::to_owned),
            keys,
            most_records: most?,
            per_second: text("requests_per_second_limit").and_then(rate).unwrap_or(PER_SECOND),
        })
    }

    /// Key, secret and session token, or what is missing.
    pub(super) fn credentials(&self) -> Result<Keys, String> {
        if let Some((key, secret)) = self.keys.clone() {
            return Ok((key, secret, None));
        }
        Surroundings { variable: &outside::variable, file: &outside::text_file }.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};
    use weir_types::{StartAt, TopicName};

    fn of(settings: &[(&str, &str)]) -> Result<Settings, StreamError> {
        Settings::of(&StreamSpec {
            stream_type: "kinesis".into(),
            topic: TopicName::parse("t").unwrap(),
            start_at: StartAt::Earliest,
            decoder: "json".into(),
            decoder_settings: BTreeMap::new(),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            fetch_timeout: Duration::from_secs(1),
            only_partitions: None,
            auto_reset: None,
            rate_limit: None,
        })
    }

    #[test]
    fn settings_are_read() {
        let read = of(&[("region", "eu-west-1")]).unwrap();
        assert_eq!((read.most_records, read.per_second, read.keys), (10_000, 1.0, None));
        let read = of(&[
            ("region", "eu-west-1"),
            ("accessKey", "k"),
            ("secretKey", "s"),
            ("endpoint", "http://localhost:4566"),
            ("maxRecordsToFetch", "50"),
            ("requests_per_second_limit", "0.5"),
            ("iamRoleBasedAccessEnabled", "false"),
            ("shardIteratorType", "LATEST"),
        ])
        .unwrap();
        assert_eq!((read.most_records, read.per_second), (50, 0.5));
        assert_eq!(read.credentials().unwrap(), ("k".into(), "s".into(), None));
        for no_rate in ["0", "-1", "many", "inf"] {
            assert_eq!(of(&[("region", "x"), ("requests_per_second_limit", no_rate)]).unwrap().per_second, 1.0);
        }
    }

    #[test]
    fn wrong_settings_are_named_with_the_remedy() {
        for (settings, key, remedy) in [
            (&[][..], "region", "us-east-1"),
            (&[("region", "x"), ("accessKey", "hunter2")], "secretKey", "missing"),
            (&[("region", "x"), ("secretKey", "hunter2")], "accessKey", "missing"),
            (&[("region", "x"), ("endpoint", "localhost")], "endpoint", "http://"),
            (&[("region", "x"), ("maxRecordsToFetch", "0")], "maxRecordsToFetch", "10000"),
            (
                &[("region", "x"), ("iamRoleBasedAccessEnabled", "true")],
                "iamRoleBasedAccessEnabled",
                "AWS_SESSION_TOKEN",
            ),
        ] {
            let error = of(settings).err().unwrap_or_else(|| panic!("{settings:?} is refused"));
            assert!(matches!(&error, StreamError::Setting { key: found, .. } if found == key), "{error}");
            assert!(error.to_string().contains(remedy) && !error.to_string().contains("hunter2"), "{error}");
        }
    }
}
