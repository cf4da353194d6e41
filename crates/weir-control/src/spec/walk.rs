//! Visits every key of a table config and does with it what the table of keys says.

use crate::spec::{
    keys::{Found, Treatment, find, find_stream, is_harmless, is_index_off},
    kind::Kind,
    read::{At, Findings},
};
use serde_json::Value as Json;

/// Refuses, lists or reports every key outside the stream maps.
pub(super) fn walk_table(root: &At<'_>, findings: &mut Findings) {
    walk(root, &mut vec![], "", findings);
}

fn walk<'a>(at: &At<'a>, parts: &mut Vec<&'a str>, pointer: &str, findings: &mut Findings) {
    for (key, child) in at.entries() {
        let pointer = format!("{pointer}/{}", escaped(key));
        parts.push(key);
        match find(parts) {
            Found::Nothing => {
                let value = at.value.and_then(|value| value.get(key)).cloned().unwrap_or(Json::Null);
                findings.unrecognized.insert(pointer, value);
            }
            Found::Rule(kind, treatment) => apply(&child, kind, treatment, findings),
            Found::Branch { .. } if child.is_absent() => {}
            Found::Branch { list: false } if child.value.is_some_and(Json::is_object) => {
                walk(&child, parts, &pointer, findings);
            }
            Found::Branch { list: true } if child.value.is_some_and(Json::is_array) => {
                parts.push("[]");
                for (at, item) in child.items().into_iter().enumerate() {
                    if item.value.is_some_and(Json::is_object) {
                        walk(&item, parts, &format!("{pointer}/{at}"), findings);
                    } else {
                        findings.wrong(&item, "must be an object");
                    }
                }
                parts.pop();
            }
            Found::Branch { list } => findings.wrong(&child, if list { "must be a list" } else { "must be an object" }),
        }
        parts.pop();
    }
}

fn apply(at: &At<'_>, kind: Kind, treatment: Treatment, findings: &mut Findings) {
    let Some(value) = at.value else { return };
    let fits = findings.check_kind(kind, at);
    match treatment {
        Treatment::Read | Treatment::Ignored(_) => {}
        Treatment::Refused(remedy) if !is_harmless(value) => findings.wrong(at, remedy),
        Treatment::RefusedIndex(remedy) if !is_index_off(value) => findings.wrong(at, remedy),
        Treatment::Listed if fits && !is_harmless(value) => findings.not_yet(at.path.clone()),
        Treatment::ListedIndex if fits && !is_index_off(value) => findings.not_yet(at.path.clone()),
        Treatment::Refused(_) | Treatment::RefusedIndex(_) | Treatment::Listed | Treatment::ListedIndex => {}
    }
}

/// Refuses, lists or reports the keys of one stream map; returns those that belong to the client.
pub(super) fn walk_stream<'a>(map: &At<'a>, stream_type: &str, findings: &mut Findings) -> Vec<(&'a str, At<'a>)> {
    let mut for_client = vec![];
    for (key, at) in map.entries() {
        match find_stream(key, stream_type) {
            Some((kind, treatment)) => apply(&at, kind, treatment, findings),
            None if stream_type == "kafka" && is_client_key(key) => for_client.push((key, at)),
            None => {
                let value = map.value.and_then(|value| value.get(key)).cloned().unwrap_or(Json::Null);
                findings.unrecognized.insert(pointer_to(&map.path, key), value);
            }
        }
    }
    for_client
}

/// Names of the client's settings carry none of our prefixes.
fn is_client_key(key: &str) -> bool {
    !["stream.", "realtime.", "stream_", "pinot."].iter().any(|prefix| key.starts_with(prefix))
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
}

/// A JSON pointer to a key of the map at a path.
pub(super) fn pointer_to(path: &str, key: &str) -> String {
    format!("{}/{}", pointer_of(path), escaped(key))
}

/// A JSON pointer of a path of plain keys and list positions.
fn pointer_of(path: &str) -> String {
    let mut pointer = String::new();
    for part in path.split(['.', '[']) {
        pointer.push('/');
        pointer.push_str(part.trim_end_matches(']'));
    }
    pointer
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
