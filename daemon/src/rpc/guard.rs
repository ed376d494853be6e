//! Who is admitted: decided from a request's head alone, before any of it is carried out.
//!
//! A web page in the user's browser can send requests to a local port, and a name that its author controls can be
//! made to resolve to us (DNS rebinding). So `Host` must be one of our literals, `Origin` one that we know,
//! `Sec-Fetch-Site` our own if a browser sends no origin, and then there is the token. Pages that fail get no answer
//! at all, so that they cannot tell us from a closed port. The Unix socket is out of a page's reach, and the kernel
//! says who is on the other side: there [`is_us`] decides, without a token.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jsonrpsee::server::http::is_json;
use prosed_protocol::challenge::{self, NONCE_HEADER};
use prosed_protocol::endpoint::OPENING_PAGE;
use prosed_protocol::{WEBSOCKET_PROTOCOL, WEBSOCKET_TOKEN_PREFIX};

use super::console;
use super::token::Token;

/// What a door admits.
pub(crate) enum Guard {
    /// The door is a port, which every program and web page can reach.
    Port(PortGuard),
    /// The door is a Unix socket, and its peer has been checked.
    Socket,
}

/// What a port admits.
pub(crate) struct PortGuard {
    /// The address that the port is bound to.
    address: SocketAddr,
    /// The values of `Host` that refer to us.
    hosts: Vec<String>,
    /// Origins of pages that we serve ourselves.
    own_origins: Vec<String>,
    /// Origins that the configuration lists.
    listed_origins: Vec<String>,
    token: Token,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// RFC 9112 §3.2.
    #[error("exactly one Host header is needed")]
    NoHost,
    /// RFC 9110 §15.5.20.
    #[error("this Host is not served here: use 127.0.0.1, localhost or [::1] with the port")]
    WrongHost,
    #[error("this Origin may not enter: list it in allowed_origins of config.toml")]
    WrongOrigin,
    /// Something that a foreign page embeds or links to.
    #[error("a page of another site may not load this")]
    ForeignPage,
    #[error("the bearer token is missing or wrong: it is in the file that endpoint.json names")]
    WrongToken,
    #[error("the content type must be application/json")]
    NotJson,
}

impl Refusal {
    /// All of them, in the order of the checks.
    pub(crate) const ALL: [Self; 6] = [
        Self::NoHost,
        Self::WrongHost,
        Self::WrongOrigin,
        Self::ForeignPage,
        Self::WrongToken,
        Self::NotJson,
    ];

    /// Its name in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoHost => "noHost",
            Self::WrongHost => "wrongHost",
            Self::WrongOrigin => "wrongOrigin",
            Self::ForeignPage => "foreignPage",
            Self::WrongToken => "wrongToken",
            Self::NotJson => "notJson",
        }
    }

    /// The response. Absent: none at all, as from a closed port, because a page that learns anything may be behind
    /// it. Under its own name (DNS rebinding) it could read the whole response.
    pub(crate) fn status(self) -> Option<StatusCode> {
        match self {
            Self::NoHost => Some(StatusCode::BAD_REQUEST),
            Self::WrongHost | Self::WrongOrigin | Self::ForeignPage => None,
            Self::WrongToken => Some(StatusCode::UNAUTHORIZED),
            Self::NotJson => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        }
    }
}

/// A request that has passed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// The listed origin that it comes from: it gets CORS headers.
    pub(crate) cors_origin: Option<HeaderValue>,
    /// It is a preflight (Fetch §3.3): to be answered, but not carried out.
    pub(crate) preflight: bool,
    /// It has shown the token.
    pub(crate) known: bool,
    /// A foreign page wants it: only for those who know the picture's address.
    pub(crate) foreign: bool,
}

/// Where a request comes from, according to a browser's header that no page can set (Fetch Metadata).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Site {
    /// Not a browser, or one from before 2023.
    Unsaid,
    /// One of our pages, or the user's address bar.
    Own,
    /// Any other page.
    Foreign,
}

impl Site {
    fn of(headers: &HeaderMap) -> Self {
        let name = HeaderName::from_static("sec-fetch-site");
        match only(headers, name.clone()).map(HeaderValue::as_bytes) {
            Some(b"same-origin" | b"none") => Self::Own,
            None if !headers.contains_key(name) => Self::Unsaid,
            _ => Self::Foreign,
        }
    }
}

impl Guard {
    /// A guard for the port bound to `address`. `listed_origins` as in `app://prose`.
    pub(crate) fn port(address: SocketAddr, listed_origins: Vec<String>, token: Token) -> Self {
        Self::Port(PortGuard::new(address, listed_origins, token))
    }

    /// Whether the request may go on, and how.
    pub(crate) fn check(&self, request: &Parts) -> Result<Admission, Refusal> {
        match self {
            Self::Port(guard) => guard.check(request),
            Self::Socket => {
                check_content_type(request)?;
                Ok(Admission { known: true, ..Admission::default() })
            }
        }
    }

    /// Proof for a client that the daemon has this port. Absent if it did not ask, and at a socket, whose owner the
    /// kernel knows.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Option<String> {
        let Self::Port(guard) = self else { return None };
        guard.token.answer(guard.address, nonce(headers)?)
    }
}

/// Whether the peer of a Unix socket runs as the same user as we do. Root counts as another user: root's programs can
/// switch to ours if they mean it.
pub(crate) fn is_us(peer: u32) -> bool {
    peer == rustix::process::geteuid().as_raw()
}

impl PortGuard {
    fn new(address: SocketAddr, listed_origins: Vec<String>, token: Token) -> Self {
        let port = address.port();
        let mut hosts =
            vec![format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")];
        if !address.ip().is_unspecified() && !hosts.contains(&address.to_string()) {
            hosts.push(address.to_string());
        }
        let own_origins = hosts.iter().map(|host| format!("http://{host}")).collect();
        Self { address, hosts, own_origins, listed_origins, token }
    }

    /// The checks are in this order, so that a valid token never overrides a wrong origin.
    fn check(&self, request: &Parts) -> Result<Admission, Refusal> {
        self.check_host(request)?;
        let cors_origin = self.check_origin(&request.headers)?;
        let foreign = self.check_site(request)?;
        let preflight = cors_origin.is_some()
            && request.method == Method::OPTIONS
            && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let known = !preflight && !is_open(request);
        if known {
            self.check_token(&request.headers)?;
            check_content_type(request)?;
        }
        Ok(Admission { cors_origin, preflight, known, foreign })
    }

    fn check_host(&self, request: &Parts) -> Result<(), Refusal> {
        let host = only(&request.headers, HOST).ok_or(Refusal::NoHost)?;
        // An absolute request target overrides Host (RFC 9112 §3.2.2), so both must be ours.
        let target = request.uri.authority().map(|authority| authority.as_str());
        let ours = |name: &str| self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        if host.to_str().is_ok_and(ours) && target.is_none_or(ours) {
            Ok(())
        } else {
            Err(Refusal::WrongHost)
        }
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        if !headers.contains_key(ORIGIN) {
            return Ok(None);
        }
        let header = only(headers, ORIGIN).ok_or(Refusal::WrongOrigin)?;
        let origin = header.to_str().map_err(|_| Refusal::WrongOrigin)?;
        // Any sandboxed frame is `null`, any downloaded page `file://`: listing them is never intended.
        if origin == "null" || origin.starts_with("file:") {
            return Err(Refusal::WrongOrigin);
        }
        if self.listed_origins.iter().any(|listed| listed == origin) {
            return Ok(Some(header.clone()));
        }
        if self.own_origins.iter().any(|own| own == origin) { Ok(None) } else { Err(Refusal::WrongOrigin) }
    }

    /// Whether a foreign page may load it nevertheless: with an `Origin`, that has been decided. Pages embed pictures
    /// without one.
    fn check_site(&self, request: &Parts) -> Result<bool, Refusal> {
        let foreign = Site::of(&request.headers) == Site::Foreign && !request.headers.contains_key(ORIGIN);
        if foreign && !is_picture(request) && !self.is_opening(request) {
            return Err(Refusal::ForeignPage);
        }
        Ok(foreign)
    }

    /// Whether `prosectl open` is sending a browser to the console: through a page that is in the runtime folder
    /// during that time. To the browser its link is like any other.
    fn is_opening(&self, request: &Parts) -> bool {
        let header = |name, value: &str| request.headers.get(name).is_some_and(|found| found == value);
        let in_a_tab = header("sec-fetch-mode", "navigate") && header("sec-fetch-dest", "document");
        request.uri.path() == "/" && in_a_tab && self.token.folder_has(OPENING_PAGE)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given =
            if headers.contains_key(AUTHORIZATION) { bearer(headers) } else { subprotocol_token(headers) };
        if given.is_some_and(|given| self.token.is(given)) { Ok(()) } else { Err(Refusal::WrongToken) }
    }
}

fn check_content_type(request: &Parts) -> Result<(), Refusal> {
    if request.method == Method::POST && !is_open(request) && !is_json(only(&request.headers, CONTENT_TYPE)) {
        return Err(Refusal::NotJson);
    }
    Ok(())
}

/// Whether the client offers our subprotocol, which the response must then name (RFC 6455 §4.2.2).
pub(crate) fn offers_subprotocol(headers: &HeaderMap) -> bool {
    subprotocols(headers).any(|name| name == WEBSOCKET_PROTOCOL)
}

/// What needs no token: it contains no data about anybody, or is protected by a capability in its path. The console's
/// files are for its own page, and for listed pages.
fn is_open(request: &Parts) -> bool {
    let path = request.uri.path();
    let is_read = request.method == Method::GET || request.method == Method::HEAD;
    let from_a_known_page =
        || request.headers.contains_key(ORIGIN) || Site::of(&request.headers) == Site::Own;
    path == "/healthz"
        || is_picture(request)
        || (is_read && path == "/")
        || (is_read && console::file(path).is_some() && from_a_known_page())
        || (is_read && path == challenge::PATH && nonce(&request.headers).is_some())
}

fn is_picture(request: &Parts) -> bool {
    request.uri.path().starts_with("/avatars/")
}

/// The nonce of a challenge. A page can send the header only from an origin that we know.
fn nonce(headers: &HeaderMap) -> Option<&str> {
    let nonce = only(headers, HeaderName::from_static(NONCE_HEADER))?.to_str().ok()?;
    challenge::is_nonce(nonce).then_some(nonce)
}

/// The header's value, if there is exactly one.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// RFC 6750 §2.1; the scheme is case-insensitive (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = only(headers, AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// The token as sent by browsers, which cannot set headers on a WebSocket.
fn subprotocol_token(headers: &HeaderMap) -> Option<&str> {
    let token = || subprotocols(headers).find_map(|name| name.strip_prefix(WEBSOCKET_TOKEN_PREFIX));
    (headers.contains_key(UPGRADE) && offers_subprotocol(headers)).then(token).flatten()
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).map(str::trim)
}
