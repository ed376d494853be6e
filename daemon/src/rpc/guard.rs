//! Who may enter: decided from a request's head alone, before anything of it is carried out.
//!
//! A web page in the user's browser can send requests to a local port, and a name that its author
//! controls can be made to point here (DNS rebinding). So `Host` must be a literal of ours, `Origin`
//! one that we know, and then there is the token. The Unix socket is out of a page's reach, and the
//! kernel says who is behind it: there [`is_us`] decides, and the token is not asked for.

use std::net::SocketAddr;

use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jsonrpsee::server::http::is_json;
use prosed_protocol::challenge::{self, NONCE_HEADER};
use prosed_protocol::{WEBSOCKET_PROTOCOL, WEBSOCKET_TOKEN_PREFIX};

use super::console;
use super::token::Token;

/// What a door lets in.
pub(crate) enum Guard {
    /// The door is a port, which every program and web page can reach.
    Port(PortGuard),
    /// The door is a Unix socket, and whose program it is has been checked.
    Socket,
}

/// What a port lets in.
pub(crate) struct PortGuard {
    /// What the port is bound to.
    address: SocketAddr,
    /// The values of `Host` that mean us.
    hosts: Vec<String>,
    /// Origins of pages that we serve ourselves.
    own_origins: Vec<String>,
    /// Origins that the configuration lists.
    listed_origins: Vec<String>,
    token: Token,
}

/// Why a request was turned away.
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
    #[error("the bearer token is missing or wrong: it is in the file that endpoint.json names")]
    WrongToken,
    #[error("the content type must be application/json")]
    NotJson,
}

impl Refusal {
    /// All of them, in the order of the checks.
    pub(crate) const ALL: [Self; 5] =
        [Self::NoHost, Self::WrongHost, Self::WrongOrigin, Self::WrongToken, Self::NotJson];

    /// As the metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoHost => "noHost",
            Self::WrongHost => "wrongHost",
            Self::WrongOrigin => "wrongOrigin",
            Self::WrongToken => "wrongToken",
            Self::NotJson => "notJson",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::WrongOrigin => StatusCode::FORBIDDEN,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

/// A request that may go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    /// The listed origin that it comes from: CORS is answered for it.
    pub(crate) cors_origin: Option<HeaderValue>,
    /// It is a preflight (Fetch §3.3): to be answered, and not to be carried out.
    pub(crate) preflight: bool,
}

impl Guard {
    /// A guard for the port that is bound to `address`. `listed_origins` as in `app://prose`.
    pub(crate) fn port(address: SocketAddr, listed_origins: Vec<String>, token: Token) -> Self {
        Self::Port(PortGuard::new(address, listed_origins, token))
    }

    /// Whether the request may go on, and how.
    pub(crate) fn check(&self, request: &Parts) -> Result<Admission, Refusal> {
        match self {
            Self::Port(guard) => guard.check(request),
            Self::Socket => {
                check_content_type(request)?;
                Ok(Admission { cors_origin: None, preflight: false })
            }
        }
    }

    /// What proves to a client that the daemon has this port. Absent for those who have not asked, and at
    /// a socket, of which the kernel says whose it is.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Option<String> {
        let Self::Port(guard) = self else { return None };
        guard.token.answer(guard.address, nonce(headers)?)
    }
}

/// Whether whoever is at the other end of a Unix socket runs as the same user as we do. Root is
/// somebody else: root's programs that mean it can become us.
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

    /// Each check comes before the next, so that a valid token never outweighs a wrong origin.
    fn check(&self, request: &Parts) -> Result<Admission, Refusal> {
        self.check_host(request)?;
        let cors_origin = self.check_origin(&request.headers)?;
        let preflight = cors_origin.is_some()
            && request.method == Method::OPTIONS
            && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !preflight && !is_open(request) {
            self.check_token(&request.headers)?;
            check_content_type(request)?;
        }
        Ok(Admission { cors_origin, preflight })
    }

    fn check_host(&self, request: &Parts) -> Result<(), Refusal> {
        let host = only(&request.headers, HOST).ok_or(Refusal::NoHost)?;
        // An absolute request target outweighs Host (RFC 9112 §3.2.2), so both must be ours.
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
        // Any sandboxed frame is `null`, any downloaded page `file://`: nobody can mean to list them.
        if origin == "null" || origin.starts_with("file:") {
            return Err(Refusal::WrongOrigin);
        }
        if self.listed_origins.iter().any(|listed| listed == origin) {
            return Ok(Some(header.clone()));
        }
        if self.own_origins.iter().any(|own| own == origin) { Ok(None) } else { Err(Refusal::WrongOrigin) }
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

/// Whether the client offers our subprotocol, which the answer then has to name (RFC 6455 §4.2.2).
pub(crate) fn offers_subprotocol(headers: &HeaderMap) -> bool {
    subprotocols(headers).any(|name| name == WEBSOCKET_PROTOCOL)
}

/// What needs no token: it says nothing of anybody, or is guarded by a capability in its path.
fn is_open(request: &Parts) -> bool {
    let path = request.uri.path();
    let is_read = request.method == Method::GET || request.method == Method::HEAD;
    path == "/healthz"
        || path.starts_with("/avatars/")
        || (is_read && console::file(path).is_some())
        || (is_read && path == challenge::PATH && nonce(&request.headers).is_some())
}

/// The nonce of a challenge. A page can't send the header but from an origin that we know.
fn nonce(headers: &HeaderMap) -> Option<&str> {
    let nonce = only(headers, HeaderName::from_static(NONCE_HEADER))?.to_str().ok()?;
    challenge::is_nonce(nonce).then_some(nonce)
}

/// The header's value, where it is there exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// RFC 6750 §2.1; the scheme is case-insensitive (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = only(headers, AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// The token as browsers give it, who can set no header on a WebSocket.
fn subprotocol_token(headers: &HeaderMap) -> Option<&str> {
    let token = || subprotocols(headers).find_map(|name| name.strip_prefix(WEBSOCKET_TOKEN_PREFIX));
    (headers.contains_key(UPGRADE) && offers_subprotocol(headers)).then(token).flatten()
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const TOKEN: &str = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG8";
    const LISTED: &str = "app://prose";
    const NONCE: &str = "00112233445566778899aabbccddeeff";

    fn guard() -> Guard {
        let address = "127.0.0.1:5299".parse().unwrap();
        let listed = [LISTED, "null", "file://"].map(str::to_owned).to_vec();
        Guard::port(address, listed, Token::from_text(TOKEN).unwrap())
    }

    /// Checks a request that is right but for these headers; one without a value is taken away.
    fn check(method: &str, target: &str, changes: &[(&str, Option<&str>)]) -> Result<Admission, Refusal> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "127.0.0.1:5299")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(())
            .unwrap();
        for (name, _) in changes {
            request.headers_mut().remove(*name);
        }
        for (name, value) in changes {
            if let Some(value) = value {
                request.headers_mut().append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
            }
        }
        guard().check(&request.into_parts().0)
    }

    fn refusal(method: &str, target: &str, changes: &[(&str, Option<&str>)]) -> Option<Refusal> {
        check(method, target, changes).err()
    }

    #[test]
    fn the_socket_asks_for_the_content_type_only() {
        let ask = |content_type: &str| {
            let request = Request::post("/rpc").header("origin", "http://evil.example");
            let request = request.header("content-type", content_type).body(()).unwrap();
            Guard::Socket.check(&request.into_parts().0)
        };
        assert_eq!(ask("application/json"), Ok(Admission { cors_origin: None, preflight: false }));
        assert_eq!(ask("text/plain"), Err(Refusal::NotJson));
    }

    #[test]
    fn the_same_user_and_nobody_else_is_us() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_us(own));
        assert!(!is_us(own + 1));
        assert!(own == 0 || !is_us(0));
    }

    #[test]
    fn host() {
        for (value, expected) in [
            ("127.0.0.1:5299", None),
            ("localhost:5299", None),
            ("LocalHost:5299", None),
            ("[::1]:5299", None),
            ("127.0.0.1", Some(Refusal::WrongHost)),
            ("127.0.0.1:5298", Some(Refusal::WrongHost)),
            ("127.0.0.1:52990", Some(Refusal::WrongHost)),
            ("evil.example:5299", Some(Refusal::WrongHost)),
            ("localhost.evil.example:5299", Some(Refusal::WrongHost)),
            ("user@localhost:5299", Some(Refusal::WrongHost)),
            ("0.0.0.0:5299", Some(Refusal::WrongHost)),
            ("", Some(Refusal::WrongHost)),
        ] {
            assert_eq!(refusal("POST", "/rpc", &[("host", Some(value))]), expected, "{value:?}");
        }
        assert_eq!(refusal("POST", "/rpc", &[("host", None)]), Some(Refusal::NoHost));
        let twice = [("host", Some("127.0.0.1:5299")), ("host", Some("127.0.0.1:5299"))];
        assert_eq!(refusal("POST", "/rpc", &twice), Some(Refusal::NoHost));
    }

    #[test]
    fn a_challenge_is_answered_without_the_token_and_behind_host_and_origin() {
        let ask = |method, path, nonce, name, value| {
            let changes = [("authorization", None), ("prosed-nonce", nonce), (name, value)];
            refusal(method, path, &changes)
        };
        let (get, wrong) = ("GET", Some(Refusal::WrongToken));
        let asked = |name, value| ask(get, "/challenge", Some(NONCE), name, Some(value));
        assert_eq!(ask(get, "/challenge", Some(NONCE), "origin", None), None);
        assert_eq!(asked("origin", LISTED), None);
        assert_eq!(asked("origin", "http://evil.example"), Some(Refusal::WrongOrigin));
        assert_eq!(asked("host", "evil.example:5299"), Some(Refusal::WrongHost));
        assert_eq!(asked("prosed-nonce", NONCE), wrong, "two of them");
        for nonce in [None, Some(""), Some(&NONCE[1..]), Some("no hexadecimal digits, but enough of them")] {
            assert_eq!(ask(get, "/challenge", nonce, "origin", None), wrong, "{nonce:?}");
        }
        assert_eq!(ask(get, "/metrics", Some(NONCE), "origin", None), wrong);
        assert_eq!(ask("POST", "/challenge", Some(NONCE), "origin", None), wrong);
    }

    #[test]
    fn the_answer_to_a_challenge_is_bound_to_the_address() {
        let mut headers = HeaderMap::new();
        assert_eq!(guard().answer(&headers), None);
        headers.insert(NONCE_HEADER, HeaderValue::from_static(NONCE));
        // Whatever the client calls us.
        headers.insert(HOST, HeaderValue::from_static("[::1]:5299"));
        let address = "127.0.0.1:5299".parse().unwrap();
        assert_eq!(guard().answer(&headers), Some(challenge::answer(TOKEN, address, NONCE)));
        assert_eq!(Guard::Socket.answer(&headers), None);
    }

    #[test]
    fn host_of_an_absolute_target() {
        assert_eq!(refusal("POST", "http://localhost:5299/rpc", &[]), None);
        assert_eq!(refusal("POST", "http://evil.example/rpc", &[]), Some(Refusal::WrongHost));
    }

    #[test]
    fn host_is_checked_on_open_paths_too() {
        for path in ["/healthz", "/avatars/x/y"] {
            let changes = [("host", Some("evil.example:5299")), ("authorization", None)];
            assert_eq!(refusal("GET", path, &changes), Some(Refusal::WrongHost));
        }
    }

    #[test]
    fn another_bound_address_is_ours_and_the_unspecified_one_is_not() {
        let hosts = |address: &str| {
            PortGuard::new(address.parse().unwrap(), vec![], Token::from_text(TOKEN).unwrap()).hosts
        };
        assert!(hosts("127.0.0.2:80").contains(&"127.0.0.2:80".to_owned()));
        assert_eq!(hosts("0.0.0.0:80").len(), 3);
        assert_eq!(hosts("[::1]:80").len(), 3);
    }

    #[test]
    fn origin() {
        for (value, expected) in [
            ("http://127.0.0.1:5299", None),
            ("http://localhost:5299", None),
            ("http://[::1]:5299", None),
            (LISTED, None),
            ("app://prose.evil", Some(Refusal::WrongOrigin)),
            ("https://127.0.0.1:5299", Some(Refusal::WrongOrigin)),
            ("http://127.0.0.1:5298", Some(Refusal::WrongOrigin)),
            ("http://evil.example", Some(Refusal::WrongOrigin)),
            ("null", Some(Refusal::WrongOrigin)),
            ("file://", Some(Refusal::WrongOrigin)),
            ("", Some(Refusal::WrongOrigin)),
        ] {
            assert_eq!(refusal("POST", "/rpc", &[("origin", Some(value))]), expected, "{value:?}");
        }
        let twice = [("origin", Some(LISTED)), ("origin", Some(LISTED))];
        assert_eq!(refusal("POST", "/rpc", &twice), Some(Refusal::WrongOrigin));
    }

    #[test]
    fn token() {
        let bearer = format!("Bearer {TOKEN}");
        let lower = format!("bearer {TOKEN}");
        let longer = format!("Bearer {TOKEN}x");
        let basic = format!("Basic {TOKEN}");
        for (value, expected) in [
            (Some(bearer.as_str()), None),
            (Some(lower.as_str()), None),
            (Some(longer.as_str()), Some(Refusal::WrongToken)),
            (Some(basic.as_str()), Some(Refusal::WrongToken)),
            (Some(TOKEN), Some(Refusal::WrongToken)),
            (Some("Bearer "), Some(Refusal::WrongToken)),
            (Some("Bearer"), Some(Refusal::WrongToken)),
            (None, Some(Refusal::WrongToken)),
        ] {
            assert_eq!(refusal("POST", "/rpc", &[("authorization", value)]), expected, "{value:?}");
        }
        let twice = [("authorization", Some(bearer.as_str())), ("authorization", Some(bearer.as_str()))];
        assert_eq!(refusal("POST", "/rpc", &twice), Some(Refusal::WrongToken));
    }

    #[test]
    fn token_never_in_the_query() {
        for query in ["token", "access_token", "authorization"] {
            let target = format!("/rpc?{query}={TOKEN}");
            assert_eq!(refusal("GET", &target, &[("authorization", None)]), Some(Refusal::WrongToken));
        }
    }

    #[test]
    fn token_as_a_subprotocol() {
        let both = format!("prosed.v1, prosed.bearer.{TOKEN}");
        let alone = format!("prosed.bearer.{TOKEN}");
        for (upgrade, value, expected) in [
            (Some("websocket"), both.as_str(), None),
            (Some("websocket"), alone.as_str(), Some(Refusal::WrongToken)),
            (Some("websocket"), "prosed.v1", Some(Refusal::WrongToken)),
            (Some("websocket"), "prosed.v1, prosed.bearer.x", Some(Refusal::WrongToken)),
            (None, both.as_str(), Some(Refusal::WrongToken)),
        ] {
            let changes =
                [("authorization", None), ("upgrade", upgrade), ("sec-websocket-protocol", Some(value))];
            assert_eq!(refusal("GET", "/rpc", &changes), expected, "{upgrade:?} {value:?}");
        }
        let headers = [
            ("authorization", Some("Bearer wrong")),
            ("upgrade", Some("websocket")),
            ("sec-websocket-protocol", Some(both.as_str())),
        ];
        assert_eq!(refusal("GET", "/rpc", &headers), Some(Refusal::WrongToken), "a header outweighs it");
    }

    #[test]
    fn content_type() {
        for (value, expected) in [
            (Some("application/json"), None),
            (Some("application/json; charset=utf-8"), None),
            (Some("Application/JSON"), None),
            (Some("text/plain"), Some(Refusal::NotJson)),
            (Some("application/x-www-form-urlencoded"), Some(Refusal::NotJson)),
            (Some("application/jsonx"), Some(Refusal::NotJson)),
            (None, Some(Refusal::NotJson)),
        ] {
            assert_eq!(refusal("POST", "/rpc", &[("content-type", value)]), expected, "{value:?}");
        }
        let twice = [("content-type", Some("application/json")), ("content-type", Some("text/plain"))];
        assert_eq!(refusal("POST", "/rpc", &twice), Some(Refusal::NotJson));
        assert_eq!(refusal("GET", "/rpc", &[("content-type", None)]), None);
    }

    #[test]
    fn the_order_is_host_origin_token_content_type() {
        let mut changes = vec![
            ("host", Some("evil.example")),
            ("origin", Some("http://evil.example")),
            ("authorization", None),
            ("content-type", Some("text/plain")),
        ];
        let order = [Refusal::WrongHost, Refusal::WrongOrigin, Refusal::WrongToken, Refusal::NotJson];
        for expected in order {
            assert_eq!(refusal("POST", "/rpc", &changes), Some(expected));
            changes.remove(0);
        }
        assert_eq!(refusal("POST", "/rpc", &changes), None);
    }

    #[test]
    fn open_paths_need_no_token_and_no_others_are_open() {
        let anonymous = [("authorization", None)];
        for path in ["/healthz", "/avatars/capability/id", "/", "/console/console.js", "/client/prosed.js"] {
            assert_eq!(refusal("GET", path, &anonymous), None, "{path}");
        }
        for path in [
            "/rpc",
            "/healthz/",
            "/healthzz",
            "/avatars",
            "/metrics",
            "/openrpc.json",
            "//",
            "/console/",
            "/client/node.js",
            "/console/../rpc",
        ] {
            assert_eq!(refusal("GET", path, &anonymous), Some(Refusal::WrongToken), "{path}");
        }
        assert_eq!(refusal("POST", "/", &anonymous), Some(Refusal::WrongToken), "it is read only");
    }

    #[test]
    fn cors_is_answered_for_listed_origins_only() {
        let ask = |origin| {
            let method = ("access-control-request-method", Some("POST"));
            check("OPTIONS", "/rpc", &[("origin", origin), ("authorization", None), method])
        };
        let listed = Some(HeaderValue::from_static(LISTED));
        assert_eq!(ask(Some(LISTED)), Ok(Admission { cors_origin: listed.clone(), preflight: true }));
        assert_eq!(ask(Some("http://localhost:5299")), Err(Refusal::WrongToken));
        assert_eq!(ask(Some("http://evil.example")), Err(Refusal::WrongOrigin));
        assert_eq!(ask(None), Err(Refusal::WrongToken));

        let post = check("POST", "/rpc", &[("origin", Some(LISTED))]);
        assert_eq!(post, Ok(Admission { cors_origin: listed, preflight: false }));
        let bare_options = check("OPTIONS", "/rpc", &[("origin", Some(LISTED)), ("authorization", None)]);
        assert_eq!(bare_options, Err(Refusal::WrongToken), "only a preflight goes without a token");
        assert_eq!(check("POST", "/rpc", &[]), Ok(Admission { cors_origin: None, preflight: false }));
    }
}
