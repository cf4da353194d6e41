//! The console: pages of the controller's port that show in a browser what REST and SQL tell.
//!
//! `assets/` holds them as they are served, part of the binary, without a build step: `index.html`, one stylesheet, one
//! module of JavaScript for each page below `pages/`, and beside them what pages share. They ask the same paths as any
//! other client; nothing here does anything that REST does not. `/console/words.json` is made here: what an editor of
//! SQL can offer beside tables and columns.
//!
//! The policy that comes with every file lets a page load and ask only what this port serves, run no script that is not
//! a file of it, and make no markup from text: a record that holds HTML stays text.

mod words;

use crate::rest::api::Api;
use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

/// What a page may do. Trusted types make the browser refuse `innerHTML` and its kind altogether.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Sent with every file.
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    // Asked again each time, answered by 304 where it is the same: another build of the binary shows at once.
    (CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("referrer-policy"), "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The page itself.
const INDEX: &str = include_str!("assets/index.html");

/// Makes the list of files with their paths below `/console/`.
macro_rules! assets {
    ($($path:literal),+ $(,)?) => {
        &[$((concat!("/console/", $path), include_str!(concat!("assets/", $path)))),+]
    };
}

/// Every file by its path. A file of `assets/` that is not named here fails a test.
const ASSETS: &[(&str, &str)] = assets![
    "api.js",
    "chart.js",
    "completion.js",
    "dialog.js",
    "dom.js",
    "editor.js",
    "format.js",
    "history.js",
    "icon.svg",
    "keys.js",
    "live.js",
    "main.js",
    "pages/partitions.js",
    "pages/quarantine.js",
    "pages/query.js",
    "pages/start.js",
    "pages/table.js",
    "pages/tables.js",
    "poll.js",
    "results.js",
    "router.js",
    "style.css",
    "table.js",
];

/// Adds the pages to what a port answers. They are no part of the API, so its document does not list them.
pub(crate) fn routes(api: Api) -> Api {
    let api = api.page("/", File::new("index.html", INDEX.into()).handler());
    let api = api.page("/console/words.json", File::new("words.json", words::json().into()).handler());
    ASSETS.iter().fold(api, |api, (path, content)| api.page(path, File::new(path, (*content).into()).handler()))
}

/// A file as it is served.
#[derive(Clone)]
struct File {
    content: Cow<'static, str>,
    media: &'static str,
    tag: HeaderValue,
}

impl File {
    fn new(path: &str, content: Cow<'static, str>) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        // Hexadecimal digits in quotes are always a header's value.
        let tag = HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish()));
        Self { content, media: media(path), tag: tag.unwrap_or(HeaderValue::from_static("\"\"")) }
    }

    fn handler(self) -> impl Fn(HeaderMap) -> std::future::Ready<Response> + Clone {
        move |headers| std::future::ready(self.answer(&headers))
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let same = asked.get_all(IF_NONE_MATCH).iter().any(|tags| holds(tags, &self.tag));
        let mut response = if same {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            match &self.content {
                Cow::Borrowed(text) => Response::new(Body::from(*text)),
                Cow::Owned(text) => Response::new(Body::from(text.clone())),
            }
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.insert(ETAG, self.tag.clone());
        if !same {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media));
        }
        response
    }
}

/// Whether a list of tags (`"a", W/"b"`, or `*`) holds one.
fn holds(tags: &HeaderValue, wanted: &HeaderValue) -> bool {
    let (Ok(tags), Ok(wanted)) = (tags.to_str(), wanted.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == wanted)
}

fn media(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests;
