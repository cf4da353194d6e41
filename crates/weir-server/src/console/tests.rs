//! What the files keep to: all of them are served, they name one another rightly, and nothing outside.

use super::*;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/assets")
}

fn on_disk(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            on_disk(&path, found);
        } else {
            found.insert(path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    std::iter::once(("/index.html", INDEX)).chain(ASSETS.iter().copied())
}

#[test]
fn every_file_of_the_folder_is_served() {
    let mut found = BTreeSet::new();
    on_disk(&folder(), &mut found);
    assert!(found.remove("index.html"));
    let served = ASSETS.iter().map(|(path, _)| path.trim_start_matches("/console/").to_owned());
    assert_eq!(served.collect::<BTreeSet<_>>(), found);
}

#[test]
fn modules_import_what_is_served() {
    let served: BTreeSet<&str> = ASSETS.iter().map(|(path, _)| *path).collect();
    let mut imports = 0;
    for (path, text) in ASSETS.iter().filter(|(path, _)| path.ends_with(".js")) {
        let folder = path.rsplit_once('/').unwrap().0;
        for line in text.lines().filter(|line| line.starts_with("import ")) {
            let name = line.rsplit('\'').nth(1).unwrap_or_else(|| panic!("{path}: {line}"));
            let target = match name.strip_prefix("../") {
                Some(above) => format!("{}/{above}", folder.rsplit_once('/').unwrap().0),
                None => format!("{folder}/{}", name.strip_prefix("./").unwrap()),
            };
            assert!(served.contains(&*target), "{path} imports {name}, which is not served");
            imports += 1;
        }
        assert!(text.starts_with("// "), "{path} does not say what it is");
        assert!(text.lines().count() <= 400, "{path} is longer than a screen can hold in mind: split it");
    }
    assert!(imports > 30, "{imports}");
}

#[test]
fn nothing_is_outside_and_nothing_is_markup_from_text() {
    for (path, text) in sources() {
        // The name of SVG's elements is a name, not a place.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for word in ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
    for word in [" onclick", " onload", " style=", "<style", "javascript:"] {
        assert!(!INDEX.contains(word), "the page has {word}");
    }
    assert_eq!(INDEX.matches("<script").count(), INDEX.matches("<script type=\"module\" src=\"console/").count());
}

#[test]
fn a_tag_stands_for_its_content() {
    let (one, other) = (File::new("a.js", "1".into()), File::new("a.js", "2".into()));
    assert_ne!(one.tag, other.tag);
    let asked = |tags: &str| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap())]);
    let tag = one.tag.to_str().unwrap();
    for same in [tag.to_owned(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        assert_eq!(one.answer(&asked(&same)).status(), StatusCode::NOT_MODIFIED, "{same}");
        assert_eq!(other.answer(&asked(&same)).status() == StatusCode::NOT_MODIFIED, same == "*", "{same}");
    }
}
