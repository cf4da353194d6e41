//! Which URI scheme is served by which file system.

use crate::{FileError, LocalFiles, SharedFileSystem, memory};
use std::{collections::BTreeMap, path::PathBuf};
use weir_base::{SharedDisk, outside};
use weir_types::secret::{self, Hiding};

/// Opens the file system of a URI: `file:///folder` or the absolute path of a folder (through `disk`), `memory://`, or
/// `s3://bucket/prefix` with the settings `endpoint`, `region`, `access_key_id`, `secret_access_key`, `allow_http`, and
/// what is not set from the environment (`AWS_*`). A setting may refer to a secret (`env:NAME`, `file:/path`), which is looked
/// up here. Nothing is sent yet: `probe` does that.
pub fn open(uri: &str, settings: &BTreeMap<String, String>, disk: SharedDisk) -> Result<SharedFileSystem, FileError> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("file", uri));
    match scheme {
        "file" => local(uri, rest, settings, disk),
        "memory" => {
            no_settings(uri, settings)?;
            Ok(memory())
        }
        #[cfg(feature = "s3")]
        "s3" | "s3a" => {
            let (settings, hiding) = looked_up(uri, settings)?;
            Ok(crate::S3Files::open_hiding(rest, &settings, hiding)?)
        }
        _ => {
            let known = "schemes are file, memory, s3";
            Err(FileError::invalid("open", concealed(uri), format!("the scheme {scheme:?} is not known; {known}")))
        }
    }
}

/// The settings with their references replaced, and what is to be taken out of errors.
fn looked_up(uri: &str, settings: &BTreeMap<String, String>) -> Result<(BTreeMap<String, String>, Hiding), FileError> {
    let (mut found, mut hiding) = (BTreeMap::new(), Hiding::default());
    for (key, value) in settings {
        let resolved = secret::resolve(value, outside::variable, outside::text_file).map_err(|error| {
            FileError::invalid("open", concealed(uri), format!("the setting {key} refers to {error}"))
        })?;
        hiding.add(key, value, &resolved);
        found.insert(key.clone(), resolved.text);
    }
    Ok((found, hiding))
}

/// The URI without what stands before an `@` in it: that may be a secret.
pub(crate) fn concealed(uri: &str) -> String {
    match (uri.split_once("://"), uri.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://...{}", &uri[at..]),
        _ => uri.to_owned(),
    }
}

fn local(
    uri: &str,
    rest: &str,
    settings: &BTreeMap<String, String>,
    disk: SharedDisk,
) -> Result<SharedFileSystem, FileError> {
    no_settings(uri, settings)?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(FileError::invalid("open", uri, "an absolute path is needed, such as file:///var/lib/weir/deep"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(FileError::invalid("open", uri, "the path has a part '..'"));
    }
    // `components` drops doubled and final slashes, so that URIs of objects do not vary.
    Ok(LocalFiles::open(PathBuf::from(path).components().collect(), disk)?)
}

fn no_settings(uri: &str, settings: &BTreeMap<String, String>) -> Result<(), FileError> {
    match settings.keys().next() {
        None => Ok(()),
        Some(key) => Err(FileError::invalid("open", uri, format!("there is no setting {key:?} for this scheme"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::MemDisk;

    fn open(uri: &str) -> Result<SharedFileSystem, FileError> {
        super::open(uri, &BTreeMap::new(), MemDisk::new(None))
    }

    #[test]
    fn uris_open_what_they_name() {
        assert_eq!(open("file:///deep/store/").unwrap().uri("a/b"), "file:///deep/store/a/b");
        assert_eq!(open("/deep//store").unwrap().uri("a"), "file:///deep/store/a");
        assert_eq!(open("memory://").unwrap().uri("a"), "memory:///a");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn settings_are_looked_up_and_what_they_stand_for_is_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "http://hunter2:9000\n").unwrap();
        let reference = format!("file:{}", path.display());
        let mut settings = BTreeMap::from([
            ("access_key_id".to_owned(), reference.clone()),
            ("secret_access_key".to_owned(), reference.clone()),
            ("endpoint".to_owned(), reference.clone()),
            ("allow_http".to_owned(), "true".to_owned()),
        ]);
        // The file's text is an endpoint that would be refused if it were taken as it is written.
        let opened = super::open("s3://bucket", &settings, MemDisk::new(None));
        assert_eq!(opened.unwrap().uri("a"), "s3://bucket/a");
        settings.insert("allow_http".to_owned(), reference.clone());
        let error = super::open("s3://bucket", &settings, MemDisk::new(None)).err().unwrap();
        let told = format!("{error} {error:?}");
        assert!(told.contains(&reference) && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn wrong_uris_say_what_would_be_right() {
        for (uri, says) in [
            ("deep", "absolute path"),
            ("file://deep", "absolute path"),
            ("", "absolute path"),
            ("file:///a/../b", "'..'"),
            ("gopher://x", "schemes are"),
        ] {
            let error = open(uri).err().unwrap_or_else(|| panic!("{uri} opens")).to_string();
            assert!(error.contains(says), "{error}");
        }
        let error = open("hdfs://me:hunter2@host/x").err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        let missing = BTreeMap::from([("secret_access_key".to_owned(), "env:WEIR_NO_SUCH_VARIABLE".to_owned())]);
        let error = super::open("s3://bucket", &missing, MemDisk::new(None)).err().unwrap().to_string();
        assert!(error.contains("refers to env:WEIR_NO_SUCH_VARIABLE: the variable"), "{error}");
        let settings = BTreeMap::from([("region".to_owned(), "x".to_owned())]);
        let error = super::open("/deep", &settings, MemDisk::new(None)).err().unwrap().to_string();
        assert!(error.contains("\"region\""), "{error}");
    }
}
