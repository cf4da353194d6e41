//! Objects in S3 and in stores that speak its protocol. An object is written by one conditional request, so that a key
//! is never written twice; a store that ignores the condition is found out by `probe`.

use crate::{FileError, FileSystem, ObjectInfo, Put, key, registry::concealed};
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use weir_types::{
    ErrorKind, Retry,
    secret::{Hiding, Resolved},
};

/// A busy store asks for patience in seconds; longer than this is for the caller's own back-off, who can say so.
const RETRIES: usize = 4;
const RETRY_FOR: Duration = Duration::from_secs(30);
/// A host that takes no connection in this time is away.
const CONNECT: Duration = Duration::from_secs(5);
/// One request moves one whole object: 1 GiB at 2 MB/s takes this long.
const REQUEST: Duration = Duration::from_secs(10 * 60);
/// What S3 takes in one request.
const LARGEST: u64 = 5 << 30;

/// The settings, in the spelling of the registry.
const SETTINGS: [(&str, AmazonS3ConfigKey); 5] = [
    ("access_key_id", AmazonS3ConfigKey::AccessKeyId),
    ("endpoint", AmazonS3ConfigKey::Endpoint),
    ("region", AmazonS3ConfigKey::Region),
    ("secret_access_key", AmazonS3ConfigKey::SecretAccessKey),
    ("allow_http", AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp)),
];

const CREDENTIALS: [AmazonS3ConfigKey; 3] =
    [AmazonS3ConfigKey::AccessKeyId, AmazonS3ConfigKey::SecretAccessKey, AmazonS3ConfigKey::Token];

/// What the environment says to every client of S3 (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...).
fn environment() -> impl Iterator<Item = (AmazonS3ConfigKey, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with("AWS_"))?;
        Some((name.to_ascii_lowercase().parse().ok()?, value.into_string().ok()?))
    })
}

/// Objects below a prefix of a bucket.
pub struct S3Files {
    /// `s3://bucket` or `s3://bucket/prefix`.
    root: String,
    /// Empty, or with a `/` at its end.
    prefix: String,
    store: AmazonS3,
    hiding: Hiding,
}

impl fmt::Debug for S3Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client holds credentials.
        f.debug_struct("S3Files").field("root", &self.root).finish_non_exhaustive()
    }
}

impl S3Files {
    /// The objects of `place`, which is `bucket` or `bucket/prefix`. No request is made.
    pub fn open(place: &str, settings: &BTreeMap<String, String>) -> Result<Arc<Self>, FileError> {
        let mut hiding = Hiding::default();
        for (key, value) in settings {
            hiding.add(key, value, &Resolved { text: value.clone(), looked_up: vec![] });
        }
        Self::open_hiding(place, settings, hiding)
    }

    /// The same; `hiding` is taken out of what the store says.
    pub(crate) fn open_hiding(
        place: &str,
        settings: &BTreeMap<String, String>,
        hiding: Hiding,
    ) -> Result<Arc<Self>, FileError> {
        let place = place.trim_end_matches('/');
        let root = format!("s3://{place}");
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
            let reason = "s3://BUCKET or s3://BUCKET/PREFIX is needed; credentials belong into the settings";
            return Err(FileError::invalid("open", concealed(&root), reason));
        }
        if !prefix.is_empty() {
            key::check("open", &root, prefix)?;
        }
        let store =
            store(bucket, settings).map_err(|reason| FileError::invalid("open", &root, hiding.hide(&reason)))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Arc::new(Self { root, prefix, store, hiding }))
    }

    /// Whether an object is of these bytes. Read whole: what a store says of checksums depends on how it was written.
    async fn holds(&self, path: &Path, content: &Bytes) -> Result<bool, Error> {
        let found = self.store.get(path).await?;
        Ok(found.meta.size == content.len() as u64 && found.bytes().await? == *content)
    }

    fn failed(&self, action: &'static str, uri: String, error: &Error) -> FileError {
        let told = failed(action, uri, error);
        FileError { reason: self.hiding.hide(&told.reason), ..told }
    }

    fn path(&self, action: &'static str, key: &str) -> Result<Path, FileError> {
        key::check(action, &self.root, key)?;
        Path::parse(format!("{}{key}", self.prefix))
            .map_err(|error| FileError::invalid(action, self.uri(key), error.to_string()))
    }
}

/// The client; errors are for the user and name no secret.
fn store(bucket: &str, settings: &BTreeMap<String, String>) -> Result<AmazonS3, String> {
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, backoff: BackoffConfig::default() };
    let options = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST);
    // The options come first: settings and environment are added to them.
    let mut builder = AmazonS3Builder::new().with_client_options(options);
    for (key, value) in environment() {
        // Credentials are taken from one place.
        if !(settings.contains_key("access_key_id") && CREDENTIALS.contains(&key)) {
            builder = builder.with_config(key, value);
        }
    }
    for (name, value) in settings {
        let Some((_, key)) = SETTINGS.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(known, _)| *known).collect();
            return Err(format!("there is no setting {name:?}; the settings are {}", known.join(", ")));
        };
        check_setting(name, value)?;
        builder = builder.with_config(*key, value);
    }
    if settings.contains_key("access_key_id") != settings.contains_key("secret_access_key") {
        return Err("access_key_id and secret_access_key are set together or not at all".into());
    }
    let endpoint = settings.get("endpoint").is_some_and(|endpoint| endpoint.starts_with("http://"));
    if endpoint && settings.get("allow_http").map(String::as_str) != Some("true") {
        return Err("the endpoint is not encrypted (http://): set allow_http to true if that is meant".into());
    }
    builder.with_bucket_name(bucket).with_retry(retry).build().map_err(|error| error.to_string())
}

fn check_setting(name: &str, value: &str) -> Result<(), String> {
    match name {
        "allow_http" if !["true", "false"].contains(&value) => {
            Err(format!("allow_http is {value:?}; true or false is needed"))
        }
        "endpoint" if !value.starts_with("http://") && !value.starts_with("https://") => {
            Err("the endpoint needs http:// or https:// at its begin".into())
        }
        "endpoint" if value.contains('@') => {
            Err("the endpoint has an '@': credentials belong into the settings".into())
        }
        _ if value.trim().is_empty() => Err(format!("the setting {name:?} is empty")),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, uri: String, error: &Error) -> FileError {
    let (kind, retry) = match error {
        Error::NotFound { .. } => (ErrorKind::NotFound, Retry::Never),
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => {
            (ErrorKind::Conflict, Retry::Never)
        }
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::InvalidPath { .. }
        | Error::UnknownConfigurationKey { .. } => (ErrorKind::Invalid, Retry::Never),
        _ => (ErrorKind::Unavailable, Retry::Later),
    };
    FileError { action, uri, reason: error.to_string(), kind, retry }
}

#[async_trait]
impl FileSystem for S3Files {
    fn uri(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        let path = self.path("write", key)?;
        if content.len() as u64 > LARGEST {
            let reason = format!("the object has {} bytes; 5 GiB are the most", content.len());
            return Err(FileError::invalid("write", self.uri(key), reason));
        }
        match self.store.put_opts(&path, content.clone().into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Created),
            Err(Error::AlreadyExists { .. }) => match self.holds(&path, &content).await {
                Ok(true) => Ok(Put::AlreadyThere),
                Ok(false) => Ok(Put::Taken),
                Err(error) => Err(self.failed("read", self.uri(key), &error)),
            },
            // What is absent at a write is the bucket.
            Err(error @ Error::NotFound { .. }) => {
                let reason = self.hiding.hide(&format!("the bucket does not exist ({error})"));
                Err(FileError { reason, ..failed("write", self.uri(key), &error) })
            }
            Err(error) => Err(self.failed("write", self.uri(key), &error)),
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        let path = self.path("read", key)?;
        let read = async { self.store.get(&path).await?.bytes().await };
        read.await.map_err(|error| self.failed("read", self.uri(key), &error))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        // The client lists whole folders: that of the prefix, and the rest is left out here.
        let dir = prefix.rfind('/').map_or("", |end| &prefix[..end]);
        if (!dir.is_empty() && key::check("list", &self.root, dir).is_err()) || prefix.starts_with('/') {
            // No key begins so.
            return Ok(vec![]);
        }
        let dir = format!("{}{dir}", self.prefix);
        let dir = Path::parse(&dir).map_err(|error| FileError::invalid("list", self.uri(prefix), error.to_string()))?;
        let found = self.store.list(Some(&dir)).try_filter_map(async |meta| {
            let key = meta.location.as_ref().strip_prefix(&self.prefix).filter(|key| key.starts_with(prefix));
            Ok(key.map(|key| ObjectInfo {
                key: key.to_owned(),
                byte_count: meta.size,
                modified_ms: meta.last_modified.timestamp_millis(),
            }))
        });
        let mut found: Vec<ObjectInfo> =
            found.try_collect().await.map_err(|error| self.failed("list", self.uri(prefix), &error))?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        let path = self.path("delete", key)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", self.uri(key), &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn uris_of_objects_stand_below_the_root() {
        let files = S3Files::open("bucket/a/b/", &settings(&[])).unwrap();
        assert_eq!(files.uri("c/d"), "s3://bucket/a/b/c/d");
        assert_eq!(files.path("read", "c/d").unwrap().as_ref(), "a/b/c/d");
        assert_eq!(S3Files::open("bucket", &settings(&[])).unwrap().uri("c"), "s3://bucket/c");
    }

    #[test]
    fn secrets_are_not_shown() {
        let keys = settings(&[("access_key_id", "AKIAhunter1"), ("secret_access_key", "hunter2")]);
        let files = S3Files::open("bucket", &keys).unwrap();
        assert!(!format!("{files:?}").contains("hunter"), "{files:?}");
        let mut wrong = vec![S3Files::open("me:hunter2@bucket", &settings(&[])).unwrap_err()];
        for extra in
            [("endpoint", "http://me:hunter2@host"), ("endpoint", "http://host"), ("allow_http", "1"), ("x", "")]
        {
            let mut keys = keys.clone();
            keys.insert(extra.0.to_owned(), extra.1.to_owned());
            wrong.push(S3Files::open("bucket", &keys).unwrap_err());
        }
        for error in wrong {
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
        }
    }

    #[test]
    fn wrong_settings_name_what_would_be_right() {
        for (pairs, says) in [
            (&[("acess_key_id", "x")][..], "the settings are access_key_id"),
            (&[("access_key_id", "x")][..], "set together"),
            (&[("endpoint", "host:9000")][..], "http:// or https://"),
            (&[("endpoint", "http://host:9000")][..], "allow_http"),
            (&[("allow_http", "yes")][..], "true or false"),
            (&[("region", " ")][..], "\"region\" is empty"),
        ] {
            let error = S3Files::open("bucket", &settings(pairs)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        for place in ["", "/prefix", "bucket/a//b", "bucket/../b", "buck et"] {
            assert_eq!(S3Files::open(place, &settings(&[])).unwrap_err().kind, ErrorKind::Invalid, "{place}");
        }
    }

    #[test]
    fn errors_of_the_store_say_what_to_do() {
        let source = || "no".into();
        let path = || "k".to_owned();
        for (error, expected) in [
            (Error::NotFound { path: path(), source: source() }, (ErrorKind::NotFound, Retry::Never)),
            (Error::PermissionDenied { path: path(), source: source() }, (ErrorKind::Invalid, Retry::Never)),
            (Error::Precondition { path: path(), source: source() }, (ErrorKind::Conflict, Retry::Never)),
            (Error::Generic { store: "S3", source: source() }, (ErrorKind::Unavailable, Retry::Later)),
        ] {
            let told = failed("read", "s3://b/k".into(), &error);
            assert_eq!((told.kind, told.retry), expected, "{told}");
        }
    }
}
