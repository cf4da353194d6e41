//! A folder of components: each file `NAME.wasm` is read, compiled and asked what it is before a node starts.

use crate::{
    decoder, function,
    part::{Part, engine},
};
use std::{fs, path::Path};
use wasmtime::{Engine, component::Component};
use weir_formats::own::AddedDecoder;
use weir_functions::shelf::Function;

/// Bytes of a component's file: those with the runtime of a language in them have some ten MiB.
const MOST_BYTES: u64 = 64 << 20;
/// Components of a folder: each takes time to compile when a node starts.
const MOST_FILES: usize = 100;
/// The ending of their names.
const ENDING: &str = "wasm";

/// What a folder has.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Decoders, each named as its file.
    pub decoders: Vec<AddedDecoder>,
    /// Functions, named as their components say.
    pub functions: Vec<Function>,
}

/// Loads all components of a folder, in the order of their names. Other files are passed over.
///
/// # Errors
/// The folder or a file cannot be read, a name cannot be one, or a component is none, or not one of Weir's: with the file and the
/// reason.
pub fn load(folder: &Path) -> Result<Loaded, String> {
    let unreadable = |error| format!("the folder of parts {} cannot be read: {error}", folder.display());
    let mut files = vec![];
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) && !hidden(&path) {
            files.push(path);
        }
    }
    files.sort();
    if files.len() > MOST_FILES {
        let (count, folder) = (files.len(), folder.display());
        return Err(format!("the folder of parts {folder} has {count} components: {MOST_FILES} are the most"));
    }
    let mut loaded = Loaded::default();
    if files.is_empty() {
        return Ok(loaded);
    }
    let engine = engine()?;
    for path in files {
        one(&engine, &path, &mut loaded).map_err(|reason| format!("part {}: {reason}", path.display()))?;
    }
    Ok(loaded)
}

/// A file that is still being written, by its name.
fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn one(engine: &Engine, path: &Path, loaded: &mut Loaded) -> Result<(), String> {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let good = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
    if name.is_empty() || !name.bytes().all(good) {
        return Err("letters, digits, '-' and '_' can be in the name of a part".to_owned());
    }
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MOST_BYTES {
        return Err(format!("it has {length} bytes: {MOST_BYTES} are the most"));
    }
    let part = Part::new(engine, name, &fs::read(path).map_err(|error| error.to_string())?)?;
    let (decodes, has_functions) =
        (decoder::is_one(engine, &part.component), function::is_one(engine, &part.component));
    if !decodes && !has_functions {
        let here: Vec<String> = exports(engine, &part.component).collect();
        let here = if here.is_empty() { "nothing".to_owned() } else { here.join(", ") };
        return Err(format!(
            "it exports {here}: a decoder exports {}, functions {} (version 0.1, crates/weir-wasm/wit/weir.wit)",
            decoder::INTERFACE,
            function::INTERFACE
        ));
    }
    if decodes {
        loaded.decoders.push(decoder::decoder(part.clone())?);
    }
    if has_functions {
        loaded.functions.extend(function::functions(part)?);
    }
    Ok(())
}

/// The names of what a component exports.
pub(crate) fn exports(engine: &Engine, component: &Component) -> impl Iterator<Item = String> {
    let names: Vec<String> = component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
    names.into_iter()
}
