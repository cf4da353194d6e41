//! The fields of one delimited record, as Java's commons-csv reads them.
//!
//! The rules are those of the parser that Pinot's users have: a quote opens only at the start of a field, escapes work
//! outside of quotes too (`a\,b`, MySQL's `\N`), white space behind a closing quote is passed over, any other text there
//! is an error. The crates at hand follow another tradition (escapes inside quotes only, no errors), so this is our own.

use crate::row::Broken;

/// How a record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    /// A line that begins with it is no record.
    pub(super) comment: Option<u8>,
    /// A field of this text is null.
    pub(super) null: Option<String>,
    /// White space around fields is no part of them.
    pub(super) trims: bool,
    /// Empty lines before a record are passed over.
    pub(super) skips_empty: bool,
}

impl Dialect {
    /// Where nothing is set.
    pub(super) const PLAIN: Self = Self {
        delimiter: b',',
        quote: Some(b'"'),
        escape: None,
        comment: None,
        null: None,
        trims: false,
        skips_empty: true,
    };
}

/// What stands behind a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Field,
    Line,
    Nothing,
}

/// The cursor over one message.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// Where the delimiter or the line's end stands first, or the length. Most fields are shorter than what pays for a search
/// that has to be called.
#[inline]
fn plain_end(bytes: &[u8], delimiter: u8) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is the wanted one; behind the first of them others may be marked falsely.
    let marks = |word: u64, wanted: u8| {
        let differs = word ^ (ONES * u64::from(wanted));
        differs.wrapping_sub(ONES) & !differs & HIGHS
    };
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let found = marks(word, delimiter) | marks(word, b'\n') | marks(word, b'\r');
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|byte| *byte == delimiter || matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len())
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Passes over empty lines and comments; whether a record follows.
    pub(super) fn at_record(&mut self, dialect: &Dialect) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some(b'\r' | b'\n') if dialect.skips_empty => self.line_end(),
                byte if byte == dialect.comment => {
                    let rest = &self.bytes()[self.at..];
                    self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    self.line_end();
                }
                Some(_) => return true,
            }
        }
    }

    fn line_end(&mut self) {
        if self.peek() == Some(b'\r') {
            self.at += 1;
        }
        if self.peek() == Some(b'\n') {
            self.at += 1;
        }
    }

    /// The next field of the record; `buffer` holds it where it is not a part of the text as it stands.
    #[inline]
    pub(super) fn field<'f>(&mut self, dialect: &Dialect, buffer: &'f mut String) -> Result<(&'f str, Behind), Broken>
    where
        'a: 'f,
    {
        if dialect.trims {
            self.skip_space(dialect);
        }
        if dialect.quote.is_some() && self.peek() == dialect.quote {
            buffer.clear();
            let behind = self.quoted(dialect, buffer)?;
            return Ok((buffer, behind));
        }
        let start = self.at;
        let rest = &self.bytes()[start..];
        let end = plain_end(rest, dialect.delimiter);
        if let Some(escape) = dialect.escape
            && memchr::memchr(escape, &rest[..end]).is_some()
        {
            buffer.clear();
            self.escaped(dialect, escape, buffer);
            let behind = self.behind(dialect);
            return Ok((if dialect.trims { buffer.trim_end() } else { buffer }, behind));
        }
        self.at += end;
        let field = &self.text[start..self.at];
        let behind = self.behind(dialect);
        Ok((if dialect.trims { field.trim_end() } else { field }, behind))
    }

    fn skip_space(&mut self, dialect: &Dialect) {
        while let Some(byte) = self.peek()
            && byte != dialect.delimiter
            && matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
        {
            self.at += 1;
        }
    }

    /// Steps over what ends a field.
    fn behind(&mut self, dialect: &Dialect) -> Behind {
        match self.peek() {
            None => Behind::Nothing,
            Some(byte) if byte == dialect.delimiter => {
                self.at += 1;
                Behind::Field
            }
            Some(_) => {
                self.line_end();
                Behind::Line
            }
        }
    }

    /// A field without quotes that holds escapes.
    fn escaped(&mut self, dialect: &Dialect, escape: u8, buffer: &mut String) {
        while let Some(byte) = self.peek() {
            if byte == escape {
                self.escape(dialect, buffer);
            } else if byte == dialect.delimiter || byte == b'\n' || byte == b'\r' {
                return;
            } else {
                self.copy(buffer);
            }
        }
    }

    /// Copies one character.
    fn copy(&mut self, buffer: &mut String) {
        if let Some(char) = self.text[self.at..].chars().next() {
            buffer.push(char);
            self.at += char.len_utf8();
        }
    }

    /// An escape and what it stands for; where that is nothing, both stay as they are.
    fn escape(&mut self, dialect: &Dialect, buffer: &mut String) {
        let escape = self.at;
        self.at += 1;
        let special = [Some(dialect.delimiter), dialect.quote, dialect.escape, dialect.comment];
        match self.peek() {
            Some(b'r') => buffer.push('\r'),
            Some(b'n') => buffer.push('\n'),
            Some(b't') => buffer.push('\t'),
            Some(b'b') => buffer.push('\u{8}'),
            Some(b'f') => buffer.push('\u{c}'),
            Some(byte) if special.contains(&Some(byte)) || matches!(byte, b'\r' | b'\n' | b'\t' | 8 | 12) => {
                buffer.push(byte as char);
            }
            _ => {
                buffer.push_str(&self.text[escape..self.at]);
                return self.copy(buffer);
            }
        }
        self.at += 1;
    }

    /// A field in quotes; the cursor is on the opening one.
    fn quoted(&mut self, dialect: &Dialect, buffer: &mut String) -> Result<Behind, Broken> {
        let quote = dialect.quote.expect("the caller saw the quote");
        let open = self.at;
        self.at += 1;
        loop {
            let rest = &self.bytes()[self.at..];
            let found = match dialect.escape {
                Some(escape) if escape != quote => memchr::memchr2(quote, escape, rest),
                _ => memchr::memchr(quote, rest),
            };
            let Some(found) = found else {
                return Err(Broken::new(open, "a field in quotes does not end"));
            };
            buffer.push_str(&self.text[self.at..self.at + found]);
            self.at += found;
            if self.peek() != Some(quote) {
                self.escape(dialect, buffer);
                continue;
            }
            self.at += 1;
            if self.peek() == Some(quote) {
                buffer.push(quote as char);
                self.at += 1;
                continue;
            }
            self.skip_space(dialect);
            return match self.peek() {
                None => Ok(Behind::Nothing),
                Some(byte) if byte == dialect.delimiter || byte == b'\n' || byte == b'\r' => Ok(self.behind(dialect)),
                Some(_) => Err(Broken::new(self.at, "text stands between a closing quote and the delimiter")),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plain_end;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_field_ends_where_a_search_says(bytes in prop::collection::vec(prop::sample::select(&b"a;,\n\r\x2d\xac"[..]), 0..40), from in 0usize..40) {
            let rest = &bytes[from.min(bytes.len())..];
            let expected = rest.iter().position(|byte| b";\n\r".contains(byte)).unwrap_or(rest.len());
            prop_assert_eq!(plain_end(rest, b';'), expected);
        }
    }
}
