//! Cuts text into requests: statements end at a semicolon outside quotes and comments, and `SET` statements go with the
//! statement after them, since settings hold for one request.

/// A text, cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Statements {
    /// Requests whose last statement was ended by a semicolon.
    pub(super) requests: Vec<String>,
    /// What stands behind the last semicolon, where that is more than space and comments; settings that no statement
    /// follows stand here too.
    pub(super) rest: Option<String>,
}

/// Cuts a text.
pub(super) fn statements(text: &str) -> Statements {
    let mut cut = Statements::default();
    let mut pending = String::new();
    let (pieces, last) = pieces(text);
    for piece in pieces {
        let piece = piece.trim();
        if is_blank(piece) {
            continue;
        }
        pending.push_str(piece);
        pending.push(';');
        if is_setting(piece) {
            pending.push('\n');
        } else {
            // The semicolon of the last statement is not sent: not every server takes it.
            pending.pop();
            cut.requests.push(std::mem::take(&mut pending));
        }
    }
    if !is_blank(last) {
        pending.push_str(last.trim());
    }
    cut.rest = Some(pending.trim_end_matches(['\n', ';']).to_owned()).filter(|rest| !rest.is_empty());
    cut
}

/// The parts before semicolons, and what stands behind the last one.
fn pieces(text: &str) -> (Vec<&str>, &str) {
    let bytes = text.as_bytes();
    let (mut pieces, mut start, mut at) = (vec![], 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => at = end_of_quote(bytes, at, quote),
            b'-' if bytes[at..].starts_with(b"--") => at = find(bytes, at, b"\n").unwrap_or(bytes.len()),
            b'/' if bytes[at..].starts_with(b"/*") => {
                at = find(bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2);
            }
            b';' => {
                pieces.push(&text[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    (pieces, &text[start..])
}

/// One past the closing quote; a doubled quote reads as two quoted parts side by side, which ends at the same place.
fn end_of_quote(bytes: &[u8], open: usize, quote: u8) -> usize {
    find(bytes, open + 1, &[quote]).map_or(bytes.len(), |close| close + 1)
}

fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let found = bytes.get(from..)?.windows(wanted.len()).position(|window| window == wanted)?;
    Some(from + found)
}

/// Without comments and space.
fn bare(piece: &str) -> &str {
    let mut rest = piece.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after).trim_start()
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after).trim_start()
        } else {
            return rest;
        };
    }
}

fn is_blank(piece: &str) -> bool {
    bare(piece).is_empty()
}

fn is_setting(piece: &str) -> bool {
    let bare = bare(piece);
    bare.get(..4).is_some_and(|head| head[..3].eq_ignore_ascii_case("set") && head[3..].trim().is_empty())
}

/// Whether a shell should send what was typed: every statement is ended, and the last is no setting.
pub(super) fn is_whole(text: &str) -> bool {
    is_blank(text) || statements(text).rest.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> (Vec<String>, Option<String>) {
        let Statements { requests, rest } = statements(text);
        (requests, rest)
    }

    #[test]
    fn semicolons_end_statements_unless_quoted() {
        let text = "select 'a;''b;' ;\n select \"x;y\" -- no; end\n from t; /* ; */ select 1";
        let (requests, rest) = cut(text);
        assert_eq!(requests, ["select 'a;''b;'", "select \"x;y\" -- no; end\n from t"]);
        assert_eq!(rest.as_deref(), Some("/* ; */ select 1"));
    }

    #[test]
    fn settings_go_with_the_next_statement() {
        let (requests, rest) = cut("SET a = 1; set b='x;'; select 1; select 2;");
        assert_eq!(requests, ["SET a = 1;\nset b='x;';\nselect 1", "select 2"]);
        assert_eq!(rest, None);
        assert_eq!(cut("set a = 1;").1.as_deref(), Some("set a = 1"));
        assert_eq!(cut("settle 1;").0, ["settle 1"]);
    }

    #[test]
    fn blank_text_is_nothing() {
        for text in ["", " ; ;\n", "-- only\n;", "/* open"] {
            assert_eq!(cut(text).0, Vec::<String>::new(), "{text:?}");
            assert_eq!(cut(text).1, None, "{text:?}");
        }
        assert!(is_whole("") && is_whole("select 1;") && !is_whole("select 1") && !is_whole("set a=1;"));
        assert!(!is_whole("select 'a;"));
    }
}
