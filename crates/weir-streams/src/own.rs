//! Connectors of a binary's own: added from outside, against the same contract that those here keep.

use crate::{
    contract::{SharedSource, StreamError},
    registry::BUILT_IN,
};
use std::sync::{LazyLock, OnceLock};
use weir_types::StreamSpec;

/// A connector that is added beside those that are built in.
#[derive(Debug, Clone, Copy)]
pub struct OwnStream {
    /// The name that `streamType` gives it.
    pub name: &'static str,
    /// Makes the source of a topic. Its settings are those under `stream.<name>.prop.`, without the prefix, references to
    /// secrets looked up; the stream is not asked yet.
    pub source: fn(&StreamSpec) -> Result<SharedSource, StreamError>,
}

static ADDED: OnceLock<Vec<OwnStream>> = OnceLock::new();

/// The connector of a name.
pub(crate) fn added(name: &str) -> Option<&'static OwnStream> {
    ADDED.get()?.iter().find(|own| own.name == name)
}

/// The names of all, those that were added last.
pub(crate) fn names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let added = ADDED.get_or_init(Vec::new);
        BUILT_IN.iter().copied().chain(added.iter().map(|own| own.name)).collect()
    });
    &NAMES
}

/// Adds connectors to this process: once, before its first table is read.
///
/// # Errors
/// A name is taken or cannot stand in a key, or it is too late.
pub fn add(streams: Vec<OwnStream>) -> Result<(), String> {
    for (at, own) in streams.iter().enumerate() {
        if own.name.is_empty() || !own.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(format!(
                "a connector cannot be named '{}': small letters and digits can stand in a key",
                own.name
            ));
        }
        if BUILT_IN.contains(&own.name) || streams[..at].iter().any(|other| other.name == own.name) {
            return Err(format!("a connector named '{}' is there already: give it another name", own.name));
        }
    }
    ADDED.set(streams).map_err(|_| "connectors of the binary's own are added once, before any table is read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_can_stand_in_a_key() {
        let of = |name| OwnStream { name, source: |_| unreachable!("no table reads it") };
        for (names, says) in [
            (vec!["kafka"], "'kafka' is there already"),
            (vec!["files", "files"], "'files' is there already"),
            (vec!["my.stream"], "cannot be named 'my.stream'"),
            (vec![""], "cannot be named ''"),
        ] {
            let error = add(names.into_iter().map(of).collect()).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
