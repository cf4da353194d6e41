//! A decoder: `user=ada amount=12.5 tag=new,paid`, a record a line. The same as `examples/own-parts/src/pairs.rs`.

use weir_guest::{Decoder, Rows, Value};

/// `stream.<type>.decoder.class.name` is `pairs`, as the file is named; `decoder.prop.separator` is what stands between
/// name and value.
struct Pairs {
    separator: char,
}

impl Decoder for Pairs {
    const KEYS: &'static [&'static str] = &["separator"];

    fn start(settings: &[(String, String)]) -> Result<Self, String> {
        let separator = settings.iter().find(|(key, _)| key == "separator").map_or("=", |(_, value)| value);
        let mut letters = separator.chars();
        match (letters.next(), letters.next()) {
            (Some(separator), None) => Ok(Self { separator }),
            _ => Err(format!("separator cannot be '{separator}': one character stands between name and value")),
        }
    }

    fn read(&mut self, message: &[u8], rows: &mut Rows) -> Result<(), String> {
        let text = std::str::from_utf8(message).map_err(|error| format!("it is no text: {error}"))?;
        for line in text.lines() {
            for pair in line.split_whitespace() {
                let Some((name, value)) = pair.split_once(self.separator) else {
                    return Err(format!("'{pair}' has no '{}'", self.separator));
                };
                // A text becomes what its column is.
                match value.contains(',') {
                    true => value.split(',').for_each(|value| rows.item(name, Value::Text(value))),
                    false => rows.put(name, Value::Text(value)),
                }
            }
            rows.end();
        }
        Ok(())
    }
}

weir_guest::decoder!(Pairs);
