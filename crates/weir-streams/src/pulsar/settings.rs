//! A table's settings of a Pulsar topic.

use crate::contract::StreamError;
use weir_types::StreamSpec;

/// Settings as the connector uses them.
#[derive(Clone)]
pub(super) struct Settings {
    /// Addresses, tried in turn.
    pub(super) urls: Vec<String>,
    /// `persistent://tenant/namespace/topic`.
    pub(super) topic: String,
    /// `tenant/namespace`.
    pub(super) namespace: String,
    pub(super) token: Option<String>,
    /// A file of PEM certificates.
    pub(super) trust: Option<String>,
    pub(super) oauth: Option<OAuth>,
    /// Whether the value is key and value in one.
    pub(super) stitch: bool,
}

/// Who gives tokens, and to whom.
#[derive(Clone)]
pub(super) struct OAuth {
    pub(super) issuer: String,
    /// A file on the node.
    pub(super) credentials: String,
    pub(super) audience: Option<String>,
    pub(super) scope: Option<String>,
}

/// The error of a setting, under the key that a table gives it.
pub(super) fn wrong(spec: &StreamSpec, key: &str, reason: impl Into<String>) -> StreamError {
    StreamError::Setting { topic: spec.topic.to_string(), key: format!("stream.pulsar.{key}"), reason: reason.into() }
}

impl Settings {
    pub(super) fn of(spec: &StreamSpec) -> Result<Self, StreamError> {
        let text = |key: &str| spec.settings.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        let servers = text("bootstrap.servers").ok_or_else(|| {
            wrong(spec, "bootstrap.servers", "it is missing: name the brokers, as in \"pulsar://localhost:6650\"")
        })?;
        let namespace = text("namespace").unwrap_or("public/default").to_owned();
        let urls = urls(servers).map_err(|reason| wrong(spec, "bootstrap.servers", reason))?;
        let is_tls = urls.iter().any(|url| url.starts_with("pulsar+ssl://"));
        if text("tlsTrustCertsFilePath").is_some() && !is_tls {
            let reason =
                "is for brokers that are named with pulsar+ssl:// in bootstrap.servers: name them so, or remove it";
            return Err(wrong(spec, "tlsTrustCertsFilePath", reason));
        }
        let token = text("authenticationToken").map(str::to_owned);
        if token.as_deref().is_some_and(|token| token.starts_with("file://")) {
            let reason = "is taken as the token itself: a file that holds it is written file:/path, with one slash";
            return Err(wrong(spec, "authenticationToken", reason));
        }
        let oauth = oauth(spec, &text)?;
        if token.is_some() && oauth.is_some() {
            return Err(wrong(spec, "authenticationToken", "is given beside issuerUrl: remove one of them"));
        }
        Ok(Self {
            urls,
            topic: format!("persistent://{namespace}/{}", spec.topic),
            namespace,
            token,
            trust: text("tlsTrustCertsFilePath").map(str::to_owned),
            oauth,
            stitch: text("enableKeyValueStitch").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        })
    }

    /// The topic of one partition.
    pub(super) fn partition_topic(&self, partitions: u32, partition: u32) -> String {
        // A topic that is not partitioned is its own and only partition.
        if partitions == 0 { self.topic.clone() } else { format!("{}-partition-{partition}", self.topic) }
    }
}

/// `pulsar://a:6650,b:6650` or `host:port`.
fn urls(servers: &str) -> Result<Vec<String>, String> {
    let (scheme, hosts) = servers.split_once("://").unwrap_or(("pulsar", servers));
    if scheme != "pulsar" && scheme != "pulsar+ssl" {
        return Err(format!("{scheme}:// is not how brokers are reached: pulsar:// and pulsar+ssl:// are"));
    }
    let hosts: Vec<&str> =
        hosts.trim_end_matches('/').split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
    if hosts.is_empty() || hosts.iter().any(|host| host.contains(['/', ' ', '@'])) {
        return Err("it must name brokers, as in \"pulsar://localhost:6650\"".into());
    }
    Ok(hosts.iter().map(|host| format!("{scheme}://{host}")).collect())
}

fn oauth<'a>(spec: &StreamSpec, text: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<OAuth>, StreamError> {
    let (issuer, credentials) = match (text("issuerUrl"), text("credsFilePath")) {
        (None, None) => return Ok(None),
        (Some(issuer), Some(credentials)) => (issuer, credentials),
        (Some(_), None) => return Err(wrong(spec, "credsFilePath", "it is missing beside issuerUrl")),
        (None, Some(_)) => return Err(wrong(spec, "issuerUrl", "it is missing beside credsFilePath")),
    };
    if !issuer.starts_with("https://") && !issuer.starts_with("http://") {
        return Err(wrong(spec, "issuerUrl", format!("{issuer:?} must be the URL of who gives tokens")));
    }
    let Some(path) = credentials.strip_prefix("file://").filter(|path| path.starts_with('/')) else {
        let reason = format!("{credentials:?} must be a file on the node, as in file:///run/secrets/pulsar.json");
        return Err(wrong(spec, "credsFilePath", reason));
    };
    Ok(Some(OAuth {
        issuer: issuer.trim_end_matches('/').to_owned(),
        credentials: path.to_owned(),
        audience: text("audience").map(str::to_owned),
        scope: text("scope").map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};
    use weir_types::{StartAt, TopicName};

    fn of(settings: &[(&str, &str)]) -> Result<Settings, StreamError> {
        let mut all = BTreeMap::from([("bootstrap.servers".to_owned(), "pulsar://localhost:6650".to_owned())]);
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Settings::of(&StreamSpec {
            stream_type: "pulsar".into(),
            topic: TopicName::parse("t").unwrap(),
            start_at: StartAt::Earliest,
            start_offsets: Default::default(),
            decoder: "json".into(),
            decoder_settings: BTreeMap::new(),
            settings: all,
            fetch_timeout: Duration::from_secs(1),
            only_partitions: None,
            auto_reset: None,
            rate_limit: None,
        })
    }

    #[test]
    fn settings_are_read() {
        let read = of(&[("bootstrap.servers", "pulsar+ssl://a:6651, b:6651/"), ("namespace", "acme/raw")]).unwrap();
        assert_eq!(read.urls, ["pulsar+ssl://a:6651", "pulsar+ssl://b:6651"]);
        assert_eq!((&*read.topic, &*read.namespace), ("persistent://acme/raw/t", "acme/raw"));
        assert_eq!(read.partition_topic(0, 0), "persistent://acme/raw/t");
        assert_eq!(read.partition_topic(2, 1), "persistent://acme/raw/t-partition-1");
        assert_eq!(of(&[("bootstrap.servers", "a:1")]).unwrap().urls, ["pulsar://a:1"]);
        let read = of(&[
            ("issuerUrl", "https://auth/"),
            ("credsFilePath", "file:///run/creds.json"),
            ("audience", "urn:x"),
            ("enableKeyValueStitch", "TRUE"),
        ])
        .unwrap();
        let oauth = read.oauth.unwrap();
        assert_eq!((&*oauth.issuer, &*oauth.credentials), ("https://auth", "/run/creds.json"));
        assert!(read.stitch && oauth.audience.as_deref() == Some("urn:x"));
        assert_eq!(of(&[("authenticationToken", "t")]).unwrap().token.as_deref(), Some("t"));
        assert!(of(&[("authenticationToken", "file:///run/token")]).is_err());
    }

    #[test]
    fn wrong_settings_are_named_with_the_remedy() {
        for (settings, key, remedy) in [
            (&[("bootstrap.servers", "")][..], "bootstrap.servers", "pulsar://localhost:6650"),
            (&[("bootstrap.servers", "http://a:1")], "bootstrap.servers", "pulsar+ssl"),
            (&[("bootstrap.servers", "pulsar://a b")], "bootstrap.servers", "must name"),
            (&[("tlsTrustCertsFilePath", "/ca.pem")], "tlsTrustCertsFilePath", "pulsar+ssl://"),
            (&[("issuerUrl", "https://a")], "credsFilePath", "missing"),
            (&[("credsFilePath", "file:///a")], "issuerUrl", "missing"),
            (&[("issuerUrl", "a"), ("credsFilePath", "file:///a")], "issuerUrl", "URL"),
            (&[("issuerUrl", "https://a"), ("credsFilePath", "/a")], "credsFilePath", "file:///"),
            (
                &[("issuerUrl", "https://a"), ("credsFilePath", "file:///a"), ("authenticationToken", "hunter2")],
                "authenticationToken",
                "remove one",
            ),
        ] {
            let error = of(settings).err().unwrap_or_else(|| panic!("{settings:?} is refused"));
            let named =
                matches!(&error, StreamError::Setting { key: found, .. } if *found == format!("stream.pulsar.{key}"));
            assert!(named && error.to_string().contains(remedy), "{settings:?}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
