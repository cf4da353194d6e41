//! Forms with one file, as `curl -F schema=@orders.json` sends them: Pinot's users add schemas that way.

use crate::rest::answer::ApiError;
use axum::http::{HeaderMap, header::CONTENT_TYPE};

/// The document that a request carries: the body itself, or the first part of a form.
pub(super) fn document<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a [u8], ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        return Ok(body);
    }
    let boundary = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="));
    let boundary = boundary.map(|text| text.trim_matches('"')).filter(|text| !text.is_empty());
    let boundary = boundary.ok_or_else(|| ApiError::bad_request("the form's Content-Type names no boundary"))?;
    first_part(body, boundary).ok_or_else(|| {
        ApiError::bad_request(
            "the form carries no file: send one part, such as curl -F schema=@orders.json, or plain JSON",
        )
    })
}

fn first_part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let opening = format!("--{boundary}");
    let closing = format!("\r\n--{boundary}");
    let start = find(body, opening.as_bytes())? + opening.len();
    let part = &body[start..];
    let content = &part[find(part, b"\r\n\r\n")? + 4..];
    Some(&content[..find(content, closing.as_bytes())?])
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[test]
    fn the_first_part_of_a_form_is_taken() {
        let body =
            b"--XX\r\nContent-Disposition: form-data; name=\"s\"; filename=\"o.json\"\r\n\r\n{\"a\":1}\r\n--XX--\r\n";
        let form = headers("multipart/form-data; boundary=XX");
        assert_eq!(document(&form, body).unwrap(), b"{\"a\":1}");
        assert_eq!(document(&headers("application/json"), b"{}").unwrap(), b"{}");
        assert_eq!(document(&HeaderMap::new(), b"{}").unwrap(), b"{}");
    }

    #[test]
    fn broken_forms_are_refused() {
        for (kind, body) in [
            ("multipart/form-data", &b"--XX"[..]),
            ("multipart/form-data; boundary=XX", b"--YY\r\n\r\nx\r\n--YY--"),
            ("multipart/form-data; boundary=XX", b"--XX\r\n\r\nnever closed"),
        ] {
            assert_eq!(document(&headers(kind), body).unwrap_err().status, 400);
        }
    }
}
