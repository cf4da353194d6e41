//! A table's settings of a Kinesis stream. Their keys have no prefix.

use super::{
    keys::{Keys, Surroundings},
    role::RoleSettings,
};
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
    /// The role that those keys take.
    pub(super) role: Option<RoleSettings>,
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
        let takes_role = text("iamRoleBasedAccessEnabled").is_some_and(|on| on.eq_ignore_ascii_case("true"));
        let role = if takes_role { Some(role_of(spec)?) } else { None };
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
            role,
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

/// How long a session may be, and is where nothing is said: what the token service gives, and Pinot asks for.
const SESSION_SECONDS: std::ops::RangeInclusive<i32> = 900..=43_200;

/// The role of a table that takes one.
fn role_of(spec: &StreamSpec) -> Result<RoleSettings, StreamError> {
    let text = |key: &str| spec.settings.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
    let arn = text("roleArn")
        .ok_or_else(|| wrong(spec, "roleArn", "it is missing beside iamRoleBasedAccessEnabled: name the role"))?;
    if !arn.starts_with("arn:") || !arn.contains(":role/") {
        return Err(wrong(
            spec,
            "roleArn",
            format!("{arn:?} must name a role, as in arn:aws:iam::123456789012:role/reader"),
        ));
    }
    let session = text("roleSessionName");
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_=,.@-".contains(letter);
    if let Some(name) = session
        && !((2..=64).contains(&name.len()) && name.chars().all(fits))
    {
        return Err(wrong(spec, "roleSessionName", format!("{name:?} must be 2 to 64 letters, digits and _=,.@-")));
    }
    let external = text("externalId");
    if external.is_some_and(|id| !(2..=1224).contains(&id.len())) {
        return Err(wrong(spec, "externalId", "it must be 2 to 1224 letters"));
    }
    let seconds = text("sessionDurationSeconds").map_or(Ok(*SESSION_SECONDS.start()), |text| {
        let number = text.parse().ok().filter(|seconds| SESSION_SECONDS.contains(seconds));
        number.ok_or_else(|| wrong(spec, "sessionDurationSeconds", format!("{text:?} must be 900 to 43200")))
    })?;
    Ok(RoleSettings {
        arn: arn.to_owned(),
        session: session.map(str::to_owned),
        external_id: external.map(str::to_owned),
        seconds,
        beside: !text("asyncSessionUpdateEnabled").is_some_and(|on| on.eq_ignore_ascii_case("false")),
        endpoint: RoleSettings::endpoint_of_node(),
    })
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
            start_offsets: Default::default(),
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

    const ROLE: [(&str, &str); 3] = [
        ("region", "eu-west-1"),
        ("iamRoleBasedAccessEnabled", "true"),
        ("roleArn", "arn:aws:iam::123456789012:role/reader"),
    ];

    #[test]
    fn a_role_is_read() {
        let role = of(&ROLE).unwrap().role.unwrap();
        assert_eq!((&*role.arn, role.seconds, role.beside), (ROLE[2].1, 900, true));
        assert_eq!((role.session, role.external_id), (None, None));
        let all = [
            ROLE[0],
            ROLE[1],
            ROLE[2],
            ("roleSessionName", "weir@here"),
            ("externalId", "e-1"),
            ("sessionDurationSeconds", "3600"),
            ("asyncSessionUpdateEnabled", "false"),
        ];
        let role = of(&all).unwrap().role.unwrap();
        assert_eq!((role.session.as_deref(), role.external_id.as_deref()), (Some("weir@here"), Some("e-1")));
        assert_eq!((role.seconds, role.beside), (3600, false));
        assert_eq!(of(&[ROLE[0], ROLE[2], ("externalId", "x")]).unwrap().role, None, "it is not asked for");
    }

    #[test]
    fn wrong_settings_are_named_with_the_remedy() {
        for (settings, key, remedy) in [
            (&[][..], "region", "us-east-1"),
            (&[("region", "x"), ("accessKey", "hunter2")], "secretKey", "missing"),
            (&[("region", "x"), ("secretKey", "hunter2")], "accessKey", "missing"),
            (&[("region", "x"), ("endpoint", "localhost")], "endpoint", "http://"),
            (&[("region", "x"), ("maxRecordsToFetch", "0")], "maxRecordsToFetch", "10000"),
            (&[("region", "x"), ("iamRoleBasedAccessEnabled", "true")], "roleArn", "name the role"),
            (&[("region", "x"), ("iamRoleBasedAccessEnabled", "true"), ("roleArn", "reader")], "roleArn", ":role/"),
            (&[ROLE[0], ROLE[1], ROLE[2], ("roleSessionName", "a b")], "roleSessionName", "2 to 64"),
            (&[ROLE[0], ROLE[1], ROLE[2], ("externalId", "x")], "externalId", "2 to 1224"),
            (&[ROLE[0], ROLE[1], ROLE[2], ("sessionDurationSeconds", "60")], "sessionDurationSeconds", "43200"),
        ] {
            let error = of(settings).err().unwrap_or_else(|| panic!("{settings:?} is refused"));
            assert!(matches!(&error, StreamError::Setting { key: found, .. } if found == key), "{error}");
            assert!(error.to_string().contains(remedy) && !error.to_string().contains("hunter2"), "{error}");
        }
    }
}
