//! Parts of URLs, and URLs without some of them. What is no URL has no parts; without some of them it is what it was.

use super::{
    Function,
    gives::{INT, STRING, STRINGS},
};
use crate::datum::{Datum, Fault, list, text};
use bumpalo::Bump;
use std::{collections::HashSet, fmt::Write as _};

/// A URL in its parts, as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Url<'u> {
    scheme: Option<&'u str>,
    /// Behind `//`.
    authority: Option<&'u str>,
    path: &'u str,
    query: Option<&'u str>,
    fragment: Option<&'u str>,
}

/// Characters that stand in no URL unless as `%XX`: RFC 2396 names them, and Java's URI refuses them.
fn is_refused(letter: char) -> bool {
    letter <= ' ' || letter == '\u{7f}' || "\"<>\\^`{|}".contains(letter)
}

fn well_escaped(text: &str) -> bool {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || (hex(bytes.get(at + 1)) && hex(bytes.get(at + 2))))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

impl<'u> Url<'u> {
    fn read(text: &'u str) -> Option<Self> {
        if text.is_empty() || text.contains(is_refused) || !well_escaped(text) {
            return None;
        }
        let (rest, fragment) = text.split_once('#').map_or((text, None), |(rest, part)| (rest, Some(part)));
        if fragment.is_some_and(|fragment| fragment.contains('#')) {
            return None;
        }
        let colon = rest.find([':', '/', '?']).filter(|at| rest[*at..].starts_with(':'));
        let (scheme, rest) = match colon {
            Some(at) if is_scheme(&rest[..at]) && at + 1 < rest.len() => (Some(&rest[..at]), &rest[at + 1..]),
            Some(_) => return None,
            None => (None, rest),
        };
        // `mailto:a@b` has neither path nor query.
        if scheme.is_some() && !rest.starts_with('/') {
            return Some(Self { scheme, fragment, ..Self::default() });
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, part)| (rest, Some(part)));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(&rest[..end]).filter(|authority| !authority.is_empty()), &rest[end..])
            }
            None => (None, rest),
        };
        Some(Self { scheme, authority, path, query, fragment })
    }

    /// User, host and port.
    fn server(&self) -> (Option<&'u str>, Option<&'u str>, Option<i64>) {
        let Some(authority) = self.authority else { return (None, None, None) };
        let (user, rest) = authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port.map(str::parse::<u32>) {
            Some(Ok(port)) => Some(i64::from(port)),
            Some(Err(_)) if port != Some("") => return (None, None, None),
            _ => None,
        };
        if is_host(host) { (user, Some(host), port) } else { (None, None, None) }
    }

    fn host(&self) -> Option<&'u str> {
        self.server().1
    }

    fn write(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        if let Some(scheme) = self.scheme {
            write!(out, "{scheme}:").ok();
        }
        if let Some(authority) = self.authority {
            write!(out, "//{authority}").ok();
        }
        out.push_str(self.path);
        if let Some(query) = self.query {
            write!(out, "?{query}").ok();
        }
        if let Some(fragment) = self.fragment {
            write!(out, "#{fragment}").ok();
        }
        out
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    host.split('.').all(label)
        && (host.parse::<std::net::Ipv4Addr>().is_ok()
            || host.rsplit('.').next().is_some_and(|top| top.starts_with(|letter: char| letter.is_ascii_alphabetic())))
}

/// `%XX` as the letters that they stand for.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn maybe<'a>(part: Option<&str>, arena: &'a Bump) -> Datum<'a> {
    part.map_or(Datum::Null, |part| text(part, arena))
}

/// A part of a URL, nothing where there is none.
macro_rules! part {
    ($name:expr, $of:expr) => {
        Function::plain(&[$name], 1, 1, STRING, |args, arena| {
            let of: fn(Url<'_>) -> Option<String> = $of;
            Ok(maybe(Url::read(args[0].text(arena)).and_then(of).as_deref(), arena))
        })
    };
}

/// A URL without some of it; what is none stays as it is.
macro_rules! without {
    ($name:expr, $change:expr) => {
        Function::plain(&[$name], 1, 1, STRING, |args, arena| {
            let change: fn(Url<'_>) -> String = $change;
            let whole = args[0].text(arena);
            Ok(Url::read(whole).map_or(Datum::Text(whole), |url| text(&change(url), arena)))
        })
    };
}

/// Domains under which everybody may have one: behind these the significant name stands next, behind others one further.
const TOP: [&str; 4] = ["com", "net", "org", "co"];

/// The labels of a host from the first significant one on.
fn significant(host: &str) -> Vec<&str> {
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    let keep = match labels.as_slice() {
        [] | [_] | [_, _] => labels.len(),
        [.., top] if TOP.contains(top) => 2,
        _ => 3,
    };
    labels[labels.len() - keep..].to_vec()
}

/// The parameters of a query: name and value, as they are written.
fn parameters(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    query.split('&').map(|part| part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value))))
}

/// The parts between `&` of a decoded query; empty ones behind the last are none, as Java splits.
fn pieces(query: &str) -> Vec<&str> {
    let mut pieces: Vec<&str> = query.split('&').collect();
    while pieces.len() > 1 && pieces.last().is_some_and(|last| last.is_empty()) {
        pieces.pop();
    }
    pieces
}

/// A URL without the parameters of these names.
fn cut_parameters(whole: &str, names: &HashSet<&str>) -> String {
    let Some(url) = Url::read(whole) else { return whole.to_owned() };
    let Some(query) = url.query.filter(|query| !query.is_empty()) else { return whole.to_owned() };
    let is_cut = |part: &str| names.contains(decoded(part.split('=').next().unwrap_or(part)).as_str());
    let kept: Vec<&str> = query.split('&').filter(|part| !is_cut(part)).collect();
    let kept = kept.join("&");
    Url { query: Some(kept.as_str()).filter(|kept| !kept.is_empty()), ..url }.write()
}

/// Levels of a path that a hierarchy has at most: each repeats all before it.
const LEVELS_MOST: usize = 1_000;

/// A text and what it grows to, level by level of a path.
fn levels<'a>(base: &str, path: &str, arena: &'a Bump) -> Result<Vec<Datum<'a>>, Fault> {
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    if parts.len() > LEVELS_MOST {
        return Err(Fault::new(format!("a path of {} levels is too deep; at most {LEVELS_MOST}", parts.len())));
    }
    let mut grown = base.to_owned();
    Ok(parts
        .iter()
        .map(|part| {
            write!(grown, "/{part}").ok();
            text(&grown, arena)
        })
        .collect())
}

pub(super) const FUNCTIONS: &[Function] = &[
    part!("urlProtocol", |url| url.scheme.map(str::to_owned)),
    part!("urlDomain", |url| url.host().map(str::to_owned)),
    part!("urlDomainWithoutWWW", |url| url.host().map(|host| host.strip_prefix("www.").unwrap_or(host).to_owned())),
    part!("urlTopLevelDomain", |url| {
        url.host().and_then(|host| host.trim_end_matches('.').rsplit('.').next()).map(str::to_owned)
    }),
    part!("urlFirstSignificantSubdomain", |url| url.host().map(|host| significant(host)[0].to_owned())),
    part!("cutToFirstSignificantSubdomain", |url| url.host().map(|host| significant(host).join("."))),
    part!("cutToFirstSignificantSubdomainWithWWW", |url| {
        url.host().map(|host| {
            let cut = significant(host).join(".");
            if host.strip_prefix("www.") == Some(&cut) { host.to_owned() } else { cut }
        })
    }),
    Function::plain(&["urlPort"], 1, 1, INT, |args, arena| {
        Ok(Datum::Long(Url::read(args[0].text(arena)).and_then(|url| url.server().2).unwrap_or(-1)))
    }),
    part!("urlPath", |url| url.scheme.and(url.host()).map(|_| decoded(url.path))),
    // As Pinot's: the path as it is written, without the query that the name speaks of.
    part!("urlPathWithQuery", |url| url.scheme.and(url.host()).map(|_| url.path.to_owned())),
    part!("urlQueryString", |url| url.query.map(str::to_owned)),
    part!("urlFragment", |url| url.fragment.map(decoded)),
    part!("urlQueryStringAndFragment", |url| match (url.query, url.fragment) {
        (None, None) => None,
        (Some(query), None) => Some(decoded(query)),
        (query, Some(fragment)) => match query.map(decoded).filter(|query| !query.is_empty()) {
            Some(query) => Some(format!("{query}#{}", decoded(fragment))),
            None => Some(decoded(fragment)),
        },
    }),
    part!("urlNetloc", |url| {
        let (user, host, port) = url.server();
        let user = user.filter(|user| !user.is_empty()).map(|user| format!("{}@", decoded(user)));
        let port = port.map(|port| format!(":{port}"));
        Some([user.as_deref(), host, port.as_deref()].into_iter().flatten().collect())
    }),
    Function::plain(&["extractURLParameter"], 2, 2, STRING, |args, arena| {
        let query = Url::read(args[0].text(arena)).and_then(|url| url.query).map(decoded).unwrap_or_default();
        let wanted = args[1].text(arena);
        let found = parameters(&query).find(|(name, _)| *name == wanted);
        Ok(text(found.and_then(|(_, value)| value).unwrap_or_default(), arena))
    }),
    Function::plain(&["extractURLParameters"], 1, 1, STRINGS, |args, arena| {
        let query = Url::read(args[0].text(arena)).and_then(|url| url.query).map(decoded);
        let query = query.as_deref();
        Ok(list(query.map(pieces).unwrap_or_default().into_iter().map(|piece| text(piece, arena)), arena))
    }),
    Function::plain(&["extractURLParameterNames"], 1, 1, STRINGS, |args, arena| {
        let query = Url::read(args[0].text(arena)).and_then(|url| url.query).map(decoded);
        let pieces = query.as_deref().map(pieces).unwrap_or_default();
        Ok(list(pieces.into_iter().map(|piece| text(piece.split('=').next().unwrap_or(piece), arena)), arena))
    }),
    Function::plain(&["urlHierarchy"], 1, 1, STRINGS, |args, arena| {
        let Some(url) = Url::read(args[0].text(arena)) else { return Ok(Datum::List(&[])) };
        let (Some(scheme), Some(host)) = (url.scheme, url.host()) else { return Ok(Datum::List(&[])) };
        let base = format!("{scheme}://{host}");
        let mut all = vec![text(&base, arena)];
        all.extend(levels(&base, &decoded(url.path), arena)?);
        Ok(list(all, arena))
    }),
    Function::plain(&["urlPathHierarchy"], 1, 1, STRINGS, |args, arena| {
        let path = Url::read(args[0].text(arena)).map(|url| decoded(url.path)).unwrap_or_default();
        Ok(list(levels("", &path, arena)?, arena))
    }),
    without!("cutWWW", |url| {
        let (user, host, port) = url.server();
        let Some(rest) = host.and_then(|host| host.strip_prefix("www.")) else { return url.write() };
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Url { authority: Some(&format!("{user}{rest}{port}")), ..url }.write()
    }),
    without!("cutQueryString", |url| Url { query: None, ..url }.write()),
    without!("cutFragment", |url| Url { fragment: None, ..url }.write()),
    without!("cutQueryStringAndFragment", |url| Url { query: None, fragment: None, ..url }.write()),
    Function::plain(&["cutURLParameter"], 2, 2, STRING, |args, arena| {
        Ok(text(&cut_parameters(args[0].text(arena), &HashSet::from([args[1].text(arena)])), arena))
    }),
    Function::plain(&["cutURLParameters"], 2, 2, STRING, |args, arena| {
        let names = args[1].items(arena).iter().map(|name| name.text(arena)).collect();
        Ok(text(&cut_parameters(args[0].text(arena), &names), arena))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::value_text as eval;

    /// RFC 3986, section 1.1.2 and 3: examples, and the parts that they have.
    #[test]
    fn urls_have_the_parts_of_the_rfc() {
        let url = Url::read("foo://example.com:8042/over/there?name=ferret#nose").unwrap();
        assert_eq!((url.scheme, url.authority), (Some("foo"), Some("example.com:8042")));
        assert_eq!((url.path, url.query, url.fragment), ("/over/there", Some("name=ferret"), Some("nose")));
        assert_eq!(url.server(), (None, Some("example.com"), Some(8042)));
        let url = Url::read("ldap://[2001:db8::7]/c=GB?objectClass?one").unwrap();
        assert_eq!((url.host(), url.path, url.query), (Some("[2001:db8::7]"), "/c=GB", Some("objectClass?one")));
        assert_eq!(Url::read("mailto:John.Doe@example.com").unwrap().scheme, Some("mailto"));
        assert_eq!(Url::read("telnet://192.0.2.16:80/").unwrap().server(), (None, Some("192.0.2.16"), Some(80)));
        assert_eq!(Url::read("//g?y/./x").unwrap().authority, Some("g"));
        for bad in ["", "http://a b/", "http://a/%zz", "1http://a", "a#b#c", "http:"] {
            assert_eq!(Url::read(bad), None, "{bad}");
        }
        for whole in ["http://a/b;c=1/d?x=1&y#f", "//g?y", "../g;x?y#s", "http://u:p@h:1"] {
            assert_eq!(Url::read(whole).unwrap().write(), whole);
        }
    }

    #[test]
    fn parts_and_what_is_left() {
        let whole = "'https://user:pw@www.shop.example.com:8443/a%20b/c?x=1&y=%20z&x=2#top'";
        for (call, expected) in [
            ("urlProtocol(U)", "https"),
            ("urlDomain(U)", "www.shop.example.com"),
            ("urlDomainWithoutWWW(U)", "shop.example.com"),
            ("urlTopLevelDomain(U)", "com"),
            ("urlFirstSignificantSubdomain(U)", "example"),
            ("cutToFirstSignificantSubdomain(U)", "example.com"),
            ("cutToFirstSignificantSubdomainWithWWW('https://www.example.com/')", "www.example.com"),
            ("cutToFirstSignificantSubdomain('https://news.bbc.co.uk')", "bbc.co.uk"),
            ("urlPort(U)", "8443"),
            ("urlPort('https://example.com')", "-1"),
            ("urlPath(U)", "/a b/c"),
            ("urlPathWithQuery(U)", "/a%20b/c"),
            ("urlQueryString(U)", "x=1&y=%20z&x=2"),
            ("urlFragment(U)", "top"),
            ("urlQueryStringAndFragment(U)", "x=1&y= z&x=2#top"),
            ("urlNetloc(U)", "user:pw@www.shop.example.com:8443"),
            ("extractURLParameter(U, 'x')", "1"),
            ("extractURLParameter(U, 'none')", ""),
            ("extractURLParameters(U)", r#"["x=1","y= z","x=2"]"#),
            ("extractURLParameterNames(U)", r#"["x","y","x"]"#),
            (
                "urlHierarchy('https://example.com/a/b')",
                r#"["https://example.com","https://example.com/a","https://example.com/a/b"]"#,
            ),
            ("urlPathHierarchy('https://example.com/a/b')", r#"["/a","/a/b"]"#),
            ("cutWWW(U)", "https://user:pw@shop.example.com:8443/a%20b/c?x=1&y=%20z&x=2#top"),
            ("cutQueryString('http://a.b/c?d#e')", "http://a.b/c#e"),
            ("cutFragment('http://a.b/c?d#e')", "http://a.b/c?d"),
            ("cutQueryStringAndFragment('http://a.b/c?d#e')", "http://a.b/c"),
            ("cutURLParameter('http://a.b/c?d=1&e=2', 'd')", "http://a.b/c?e=2"),
            ("cutURLParameters('http://a.b/c?d=1&e=2', array('d', 'e'))", "http://a.b/c"),
            ("urlDomain('not a url')", "NULL"),
            ("cutWWW('not a url')", "not a url"),
        ] {
            let call = call.replace("(U", &format!("({whole}"));
            assert_eq!(eval(&call).as_deref(), Ok(expected), "{call}");
        }
    }
}
