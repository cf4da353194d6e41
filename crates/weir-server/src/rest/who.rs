//! Who a request comes from, as far as it says: for the audit, not for permission.

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::{convert::Infallible, net::SocketAddr};

/// The header in which a gateway or a person names the user.
const USER: &str = "x-weir-user";
/// Longest name that is kept: an address of mail is at most 254.
const NAME_MOST: usize = 256;

/// The user that a request names (header `X-Weir-User`, else basic authorization), else the address it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(who(&parts.headers, peer.map(|ConnectInfo(peer)| *peer))))
    }
}

fn who(headers: &HeaderMap, peer: Option<SocketAddr>) -> String {
    let named = headers.get(USER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let basic = || {
        let given = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let (scheme, given) = (given.0.eq_ignore_ascii_case("basic"), given.1.trim());
        let decoded = scheme.then(|| BASE64.decode(given).ok())??;
        let text = String::from_utf8(decoded).ok()?;
        Some(text.split(':').next().unwrap_or_default().to_owned())
    };
    let said = |name: String| {
        let name: String = name.trim().chars().filter(|c| !c.is_control()).take(NAME_MOST).collect();
        (!name.is_empty()).then_some(name)
    };
    // The port is another with every request.
    let address = || peer.map(|peer| peer.ip().to_string());
    named.and_then(said).or_else(|| said(basic()?)).or_else(address).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_before_an_address() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let peer = Some("10.0.0.7:5123".parse().unwrap());
        let basic = ("authorization", "Basic Ym9iOnNlY3JldA==");
        assert_eq!(who(&headers(&[("x-weir-user", " ann "), basic]), peer), "ann");
        assert_eq!(who(&headers(&[basic]), peer), "bob");
        assert_eq!(who(&headers(&[("x-weir-user", " "), ("authorization", "Bearer abc")]), peer), "10.0.0.7");
        assert_eq!(who(&headers(&[("authorization", "Basic ???")]), None), "unknown");
    }
}
