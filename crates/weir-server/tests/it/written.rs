//! Orders as formats write them: by hand where a format is a few lines, by the reference serializers (`write_orders.py`) where
//! there are some.

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder},
    ipc::writer::StreamWriter,
};
use serde_json::json;
use std::{path::Path, process::Command, sync::Arc};

/// 2026-01-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// What stands in order `at`.
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) country: &'static str,
    pub(crate) tags: [String; 2],
    pub(crate) paid: bool,
    pub(crate) amount: f64,
    pub(crate) ts: i64,
}

pub(crate) fn order(at: usize) -> Order {
    let id = at as i64;
    Order {
        id,
        country: ["DE", "FR", "IT"][at % 3],
        tags: ["a".to_owned(), format!("t{}", at % 7)],
        paid: at.is_multiple_of(2),
        amount: (at % 10) as f64 + 0.5,
        ts: START_MS + id * 1000,
    }
}

pub(crate) fn json_text(at: usize) -> Vec<u8> {
    let Order { id, country, tags, paid, amount, ts } = order(at);
    json!({"id": id, "country": country, "tags": tags, "paid": paid, "amount": amount, "ts": ts})
        .to_string()
        .into_bytes()
}

pub(crate) fn csv(at: usize) -> Vec<u8> {
    let Order { id, country, tags, paid, amount, ts } = order(at);
    format!("{id},{country},{};{},{paid},{amount},{ts}\n", tags[0], tags[1]).into_bytes()
}

/// Texts are short, whole numbers not negative.
fn cbor_head(kind: u8, number: u64) -> Vec<u8> {
    match number {
        0..24 => vec![kind << 5 | number as u8],
        _ => [&[kind << 5 | 27][..], &number.to_be_bytes()].concat(),
    }
}

pub(crate) fn cbor(at: usize) -> Vec<u8> {
    let Order { id, country, tags, paid, amount, ts } = order(at);
    let text = |text: &str| [&cbor_head(3, text.len() as u64)[..], text.as_bytes()].concat();
    let whole = |number: i64| cbor_head(0, number as u64);
    [
        cbor_head(5, 6),
        [text("id"), whole(id)].concat(),
        [text("country"), text(country)].concat(),
        [text("tags"), cbor_head(4, 2), text(&tags[0]), text(&tags[1])].concat(),
        [text("paid"), vec![if paid { 0xf5 } else { 0xf4 }]].concat(),
        [text("amount"), vec![0xfb], amount.to_be_bytes().to_vec()].concat(),
        [text("ts"), whole(ts)].concat(),
    ]
    .concat()
}

/// Groups of seven bits, the highest first; of whole numbers the last has six and a mark.
fn smile_whole(number: i64) -> Vec<u8> {
    let bits = ((number << 1) ^ (number >> 63)) as u64;
    let mut out = vec![0x80 | (bits & 0x3f) as u8];
    let mut rest = bits >> 6;
    while rest > 0 {
        out.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(0x25);
    out.reverse();
    out
}

fn smile_double(number: f64) -> Vec<u8> {
    let bits = number.to_bits();
    let groups = (0..10).rev().map(|group| (bits >> (7 * group)) as u8 & 0x7f);
    std::iter::once(0x29).chain(groups).collect()
}

pub(crate) fn smile(at: usize) -> Vec<u8> {
    let Order { id, country, tags, paid, amount, ts } = order(at);
    let short = |mark: u8, text: &str| [&[mark + text.len() as u8 - 1][..], text.as_bytes()].concat();
    let key = |name: &str| short(0x80, name);
    let text = |value: &str| short(0x40, value);
    [
        b":)\n\0\xfa".to_vec(),
        [key("id"), smile_whole(id)].concat(),
        [key("country"), text(country)].concat(),
        [key("tags"), vec![0xf8], text(&tags[0]), text(&tags[1]), vec![0xf9]].concat(),
        [key("paid"), vec![if paid { 0x23 } else { 0x22 }]].concat(),
        [key("amount"), smile_double(amount)].concat(),
        [key("ts"), smile_whole(ts), vec![0xfb]].concat(),
    ]
    .concat()
}

pub(crate) fn bson(at: usize) -> Vec<u8> {
    let Order { id, country, tags, paid, amount, ts } = order(at);
    let element = |kind: u8, name: &str, value: &[u8]| [&[kind][..], name.as_bytes(), b"\0", value].concat();
    let text = |text: &str| [&(text.len() as i32 + 1).to_le_bytes()[..], text.as_bytes(), b"\0"].concat();
    let closed = |elements: &[Vec<u8>]| {
        let inside = elements.concat();
        [&(inside.len() as i32 + 5).to_le_bytes()[..], &inside, b"\0"].concat()
    };
    closed(&[
        element(18, "id", &id.to_le_bytes()),
        element(2, "country", &text(country)),
        element(4, "tags", &closed(&[element(2, "0", &text(&tags[0])), element(2, "1", &text(&tags[1]))])),
        element(8, "paid", &[u8::from(paid)]),
        element(1, "amount", &amount.to_le_bytes()),
        element(9, "ts", &ts.to_le_bytes()),
    ])
}

pub(crate) fn arrow(at: usize) -> Vec<u8> {
    let Order { id, country, tags, paid, amount, ts } = order(at);
    let mut both = ListBuilder::new(StringBuilder::new());
    both.append_value(tags.iter().map(Some));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![id]))),
        ("country", Arc::new(StringArray::from(vec![country]))),
        ("tags", Arc::new(both.finish())),
        ("paid", Arc::new(BooleanArray::from(vec![paid]))),
        ("amount", Arc::new(Float64Array::from(vec![amount]))),
        ("ts", Arc::new(Int64Array::from(vec![ts]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// The Python that has the reference serializers, where the environment names one.
pub(crate) fn python() -> Option<String> {
    let named = std::env::var("WEIR_REGISTRY_PYTHON").ok();
    if named.is_none() {
        let required = std::env::var("WEIR_TEST_REAL").is_ok_and(|real| real == "required");
        assert!(!required, "WEIR_REGISTRY_PYTHON names no Python, and WEIR_TEST_REAL=required asks for one");
        eprintln!("skipped: WEIR_REGISTRY_PYTHON names no Python with the reference serializers");
    }
    named
}

/// Has the reference serializers write `count` orders into a folder, their schemas into a registry.
pub(crate) fn by_reference(python: &str, registry: &str, prefix: &str, count: usize, folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/write_orders.py");
    let mut command = Command::new(python);
    command.arg(script).args([registry, prefix, &count.to_string()]).arg(folder);
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The messages of one of the files that they wrote.
pub(crate) fn messages_of(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let (mut rest, mut messages) = (&bytes[..], vec![]);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(message.to_vec());
        rest = behind;
    }
    messages
}
