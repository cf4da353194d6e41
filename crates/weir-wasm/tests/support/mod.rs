//! Components built from `examples/wasm-parts`, loaded once, and what becomes of messages.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock, Once},
};
use weir_formats::{
    Decoder, FormatError, Payload,
    decoder::{DecodeSpec, Stage},
    registry,
};
use weir_types::{Column, ColumnName, DataType, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion};

/// The folder with all of them.
pub(crate) fn built() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let (tmp, here) = (Path::new(env!("CARGO_TARGET_TMPDIR")), Path::new(env!("CARGO_MANIFEST_DIR")));
        let folder = tmp.join("parts");
        let script = here.join("../../examples/wasm-parts/build.sh");
        let mut build = Command::new(script);
        build.arg(&folder).args(["pairs", "card", "faulty", "stranger"]);
        let built = build.env("CARGO_TARGET_DIR", tmp.join("wasm-parts")).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        folder
    });
    &BUILT
}

/// Adds all good ones to this process.
pub(crate) fn load() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pairs.wasm", "card.wasm", "faulty.wasm"] {
            std::fs::copy(built().join(name), folder.path().join(name)).unwrap();
        }
        let loaded = weir_wasm::load(folder.path()).unwrap();
        weir_formats::own::add(loaded.decoders).unwrap();
        weir_functions::shelf::add(loaded.functions).unwrap();
    });
}

pub(crate) fn settings(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn spec() -> DecodeSpec {
    let field =
        |name: &str, data_type| FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension);
    let fields = vec![
        field("n", DataType::Long),
        field("text", DataType::String),
        field("real", DataType::Double),
        FieldSpec { single_value: false, ..field("tags", DataType::String) },
        field("j", DataType::Json),
    ];
    let schema = Arc::new(Schema::new("parts", SchemaVersion(1), fields));
    DecodeSpec { schema, continue_on_error: false, topic: "t".into(), raw: 0 }
}

pub(crate) fn decoder(name: &str, given: &[(&str, &str)]) -> Result<Box<dyn Decoder>, FormatError> {
    load();
    registry::decoder(name, &settings(given), spec())
}

/// What became of some messages.
pub(crate) struct Outcome {
    /// `message: column=value ..`.
    pub(crate) rows: Vec<String>,
    pub(crate) rejects: Vec<(u32, Stage, String)>,
    pub(crate) empty: u32,
}

fn cell(column: &Column, row: usize) -> String {
    let null = column.nulls.contains(&(row as u32));
    match (&column.ends, null) {
        (None, true) => "null".to_owned(),
        (None, false) => column.data.get(row).to_string(),
        (Some(_), true) => "[]".to_owned(),
        (Some(_), false) => {
            let values = column.values_of(row).map(|at| column.data.get(at).to_string());
            format!("[{}]", values.collect::<Vec<_>>().join(", "))
        }
    }
}

pub(crate) fn decode(decoder: &mut dyn Decoder, messages: &[&str]) -> Outcome {
    let spec = spec();
    let mut rows = RowBatch::new(&spec.schema);
    let mut payloads =
        (0u32..).zip(messages).map(|(message, value)| Payload { message, value: value.as_bytes(), key: None });
    let decoded = decoder.decode(&mut payloads, &mut rows);
    let shown = |row: usize| {
        // `j` has a test of its own.
        let cells = spec.schema.fields()[..4].iter().zip(&rows.columns).map(|(field, column)| {
            let name = field.name.as_str();
            format!("{name}={}", cell(column, row))
        });
        format!("{}: {}", rows.message_of_row[row], cells.collect::<Vec<_>>().join(" "))
    };
    Outcome {
        rows: (0..rows.rows()).map(shown).collect(),
        rejects: decoded.rejects.into_iter().map(|reject| (reject.message, reject.stage, reject.reason)).collect(),
        empty: decoded.empty,
    }
}
