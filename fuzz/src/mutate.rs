//! How inputs are changed. Bytes are libFuzzer's matter; what is JSON is changed as JSON half of the time, so that it stays
//! a document in which a value, a name or a branch is odd: few changes of bytes leave one that can be read.

use serde_json::{Map, Value as Json, json};

/// Chance, from a number that libFuzzer gives: the same number, the same change.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        // Steele and others' SplitMix64: enough for choosing.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }
}

/// Changes the first `size` bytes of `data`, which may become `most`, and says how many there are now. `json`: the target
/// reads JSON, up to the first zero.
pub(crate) fn mutate(json: bool, data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut chance = Chance(seed.into());
    if json && chance.next(2) == 0 {
        let end = data[..size].iter().position(|byte| *byte == 0).unwrap_or(size);
        if let Ok(mut document) = serde_json::from_slice::<Json>(&data[..end]) {
            for _ in 0..=chance.next(3) {
                change(&mut document, &mut chance);
            }
            let mut changed = document.to_string().into_bytes();
            changed.extend_from_slice(&data[end..size]);
            if changed.len() <= most {
                data[..changed.len()].copy_from_slice(&changed);
                return changed.len();
            }
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, most)
}

/// How many values there are, the document itself included.
fn count(json: &Json) -> usize {
    1 + match json {
        Json::Array(items) => items.iter().map(count).sum(),
        Json::Object(entries) => entries.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The value at a place in the order of [`count`].
fn at<'a>(json: &'a mut Json, place: &mut usize) -> Option<&'a mut Json> {
    if *place == 0 {
        return Some(json);
    }
    *place -= 1;
    let children: Vec<&'a mut Json> = match json {
        Json::Array(items) => items.iter_mut().collect(),
        Json::Object(entries) => entries.values_mut().collect(),
        _ => return None,
    };
    children.into_iter().find_map(|child| {
        let values = count(child);
        if *place < values {
            return at(child, place);
        }
        *place -= values;
        None
    })
}

fn change(document: &mut Json, chance: &mut Chance) {
    let values = count(document);
    let mut donor = chance.next(values);
    let other = at(document, &mut donor).map(|value| value.clone()).unwrap_or_default();
    let mut place = chance.next(values);
    let Some(value) = at(document, &mut place) else { return };
    match (chance.next(8), &mut *value) {
        (0, _) => *value = odd(chance),
        (1, _) => *value = other,
        (2, _) => *value = json!([value.take()]),
        (3, Json::Object(entries)) if !entries.is_empty() => {
            let key = entries.keys().nth(chance.next(entries.len())).cloned().unwrap_or_default();
            entries.shift_remove(&key);
        }
        (3, Json::Array(items)) if !items.is_empty() => {
            items.remove(chance.next(items.len()));
        }
        (4, Json::Object(entries)) if !entries.is_empty() => *entries = renamed(entries, chance),
        (4 | 5, Json::Array(items)) => {
            let twice = items.get(chance.next(items.len())).cloned();
            items.push(twice.unwrap_or(other));
        }
        (5, Json::Object(entries)) => drop(entries.insert(text(chance), other)),
        (_, Json::String(string)) => *string = edited(string, chance),
        (_, Json::Number(_)) => *value = odd(chance),
        (_, value) if chance.next(4) == 0 => *value = odd(chance),
        _ => {}
    }
}

/// The same entries, one of them under an edited name.
fn renamed(entries: &Map<String, Json>, chance: &mut Chance) -> Map<String, Json> {
    let which = chance.next(entries.len());
    let name = |(at, (key, value)): (usize, (&String, &Json))| {
        (if at == which { edited(key, chance) } else { key.clone() }, value.clone())
    };
    entries.iter().enumerate().map(name).collect()
}

fn edited(text_before: &str, chance: &mut Chance) -> String {
    let mut chars: Vec<char> = text_before.chars().collect();
    let place = chance.next(chars.len() + 1);
    match chance.next(6) {
        0 => return text(chance),
        1 => drop(chars.drain(place..)),
        2 => chars = chars.repeat(2 + chance.next(3)),
        3 if place < chars.len() => drop(chars.remove(place)),
        4 => chars.splice(place..place, text(chance).chars()).for_each(drop),
        _ => chars.insert(place, ODD_CHARS[chance.next(ODD_CHARS.len())]),
    }
    // Doubled again and again a text would fill an input.
    chars.truncate(1000);
    chars.into_iter().collect()
}

const ODD_CHARS: [char; 20] = [
    '\0',
    ' ',
    '.',
    ',',
    ':',
    '|',
    '$',
    '*',
    '(',
    ')',
    '[',
    '-',
    '0',
    '9',
    'T',
    '\'',
    '"',
    '\\',
    '\u{e9}',
    '\u{1f600}',
];

const TEXTS: [&str; 24] = [
    "",
    "t",
    "i",
    "ss",
    "at",
    "m",
    "true",
    "-1",
    "0",
    "1e400",
    "9223372036854775808",
    "7d",
    "1h30m",
    "100M",
    "null",
    "LONG",
    "1:MILLISECONDS:EPOCH",
    "1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd",
    "SIMPLE_DATE_FORMAT|yyyy|UTC",
    "lower(s)",
    "i + l",
    "json",
    "env:HOME",
    "a.b",
];

fn text(chance: &mut Chance) -> String {
    TEXTS[chance.next(TEXTS.len())].to_owned()
}

fn odd(chance: &mut Chance) -> Json {
    match chance.next(12) {
        0 => Json::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(0),
        4 => json!(-1),
        5 => json!(i64::MAX),
        6 => json!(u64::MAX),
        7 => json!(2.5),
        8 => serde_json::from_str("1e999").unwrap_or_default(),
        9 => json!([]),
        10 => json!({}),
        _ => Json::String(text(chance)),
    }
}
