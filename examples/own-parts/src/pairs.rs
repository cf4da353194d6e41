//! A decoder: `user=ada amount=12.5 tag=new,paid`, a record a line.

use weir_server::parts::{MessageReader, OwnDecoder, Rows, Source};

/// `stream.<type>.decoder.class.name` is `pairs`; `decoder.prop.separator` is what stands between name and value.
pub(crate) const DECODER: OwnDecoder = OwnDecoder {
    name: "pairs",
    keys: &["separator"],
    make: |settings| {
        let separator = settings.get("separator").map_or("=", String::as_str);
        let mut letters = separator.chars();
        match (letters.next(), letters.next()) {
            (Some(separator), None) => Ok(Box::new(Pairs { separator })),
            _ => Err(format!("separator cannot be '{separator}': one character stands between name and value")),
        }
    },
};

struct Pairs {
    separator: char,
}

impl MessageReader for Pairs {
    fn read(&mut self, message: &[u8], rows: &mut Rows<'_>) -> Result<(), String> {
        let text = std::str::from_utf8(message).map_err(|error| format!("it is no text: {error}"))?;
        for line in text.lines() {
            for pair in line.split_whitespace() {
                let Some((name, value)) = pair.split_once(self.separator) else {
                    return Err(format!("'{pair}' has no '{}'", self.separator));
                };
                // A text becomes what its column is.
                match value.contains(',') {
                    true => value.split(',').for_each(|value| rows.item(name, Source::Text(value))),
                    false => rows.put(name, Source::Text(value)),
                }
            }
            rows.end();
        }
        Ok(())
    }
}
