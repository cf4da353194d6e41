//! The table configs of Pinot's streaming quick-starts, key by key: accepted, or refused with what to do. The page says which.

use serde_json::Value as Json;
use std::{fmt::Write as _, path::Path};
use weir_server::node::TableConfigs;

const HEAD: &str = "# Pinot's quick-starts

What becomes of the table configs of Pinot's streaming quick-starts: each was written again with the same keys
(`crates/weir-server/tests/it/quick_starts.json`), and this page is written by the test that reads them
(`WEIR_BLESS=1 cargo test -p weir-server --test it quick_starts`). Keys that are accepted and have no effect yet change how fast
an answer comes, never what it is. For those that are refused stands what to change; the config with these changes is accepted,
which the test sees.
";

/// Makes a change to a document, and says it.
fn changed(document: &mut Json, change: &Json) -> String {
    let pointer = change["at"].as_str().unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let place = document.pointer_mut(parent).unwrap_or_else(|| panic!("nothing is at {parent}"));
    let shown = pointer[1..].replace('/', ".");
    match (&change["to"], place) {
        (Json::Null, Json::Object(object)) => {
            assert!(object.remove(key).is_some(), "nothing is at {pointer}");
            format!("`{shown}` removed")
        }
        (Json::Null, Json::Array(list)) => {
            list.remove(key.parse().unwrap());
            format!("`{shown}` removed")
        }
        (value, Json::Object(object)) => {
            object.insert(key.to_owned(), value.clone());
            format!("`{shown}` set to `{value}`")
        }
        (_, place) => panic!("{pointer}: {place} cannot be changed"),
    }
}

#[test]
fn quick_starts_load_or_say_what_is_in_the_way() {
    let quick_starts: Json = serde_json::from_str(include_str!("quick_starts.json")).unwrap();
    let mut page = HEAD.to_owned();
    for quick_start in quick_starts.as_array().unwrap() {
        let (name, about) = (quick_start["name"].as_str().unwrap(), quick_start["about"].as_str().unwrap());
        writeln!(page, "\n## {name}\n\n{about}\n").unwrap();
        match TableConfigs::parse(&quick_start["document"]) {
            Ok(configs) => {
                writeln!(page, "Accepted.").unwrap();
                let idle = configs.realtime.not_yet_effective.iter().map(|path| format!("no effect yet: `{path}`"));
                let unknown = configs.unrecognized.keys().map(|pointer| format!("not known, no effect: `{pointer}`"));
                for (at, note) in idle.chain(unknown).enumerate() {
                    writeln!(page, "{}- {note}", if at == 0 { "\n" } else { "" }).unwrap();
                }
            }
            Err(errors) => {
                writeln!(page, "Refused:\n").unwrap();
                for error in &errors.0 {
                    assert!(!error.path.is_empty() && !error.reason.is_empty(), "{name}: {error}");
                    writeln!(page, "- `{}`: {}", error.path, error.reason).unwrap();
                }
                let mut mended = quick_start["document"].clone();
                let changes =
                    quick_start["mended"].as_array().unwrap_or_else(|| panic!("{name} is refused: mended is missing"));
                writeln!(page, "\nAccepted with:\n").unwrap();
                for change in changes {
                    writeln!(page, "- {}", changed(&mut mended, change)).unwrap();
                }
                let why = changes.iter().find_map(|change| change["so"].as_str());
                why.into_iter().for_each(|why| writeln!(page, "\n{why}").unwrap());
                TableConfigs::parse(&mended).unwrap_or_else(|errors| panic!("{name} with its changes: {errors}"));
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/quick-starts.md");
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is not up to date: run with WEIR_BLESS=1", path.display());
}
