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

/// Checks a valid request with these headers changed; one without a value is removed.
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
    assert_eq!(ask("application/json"), Ok(Admission { known: true, ..Admission::default() }));
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
    for path in ["/healthz", "/avatars/capability/id", "/"] {
        assert_eq!(refusal("GET", path, &anonymous), None, "{path}");
    }
    for path in ["/console/console.js", "/client/prosed.js"] {
        assert_eq!(refusal("GET", path, &anonymous), Some(Refusal::WrongToken), "{path}");
        for (name, value) in
            [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none"), ("origin", LISTED)]
        {
            assert_eq!(refusal("GET", path, &[anonymous[0], (name, Some(value))]), None, "{path} {value}");
        }
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
        let own = ("sec-fetch-site", Some("same-origin"));
        assert_eq!(refusal("GET", path, &[anonymous[0], own]), Some(Refusal::WrongToken), "{path}");
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
    let preflight = Admission { cors_origin: listed.clone(), preflight: true, ..Admission::default() };
    assert_eq!(ask(Some(LISTED)), Ok(preflight));
    assert_eq!(ask(Some("http://localhost:5299")), Err(Refusal::WrongToken));
    assert_eq!(ask(Some("http://evil.example")), Err(Refusal::WrongOrigin));
    assert_eq!(ask(None), Err(Refusal::WrongToken));

    let post = check("POST", "/rpc", &[("origin", Some(LISTED))]);
    assert_eq!(post, Ok(Admission { cors_origin: listed, known: true, ..Admission::default() }));
    let bare_options = check("OPTIONS", "/rpc", &[("origin", Some(LISTED)), ("authorization", None)]);
    assert_eq!(bare_options, Err(Refusal::WrongToken), "only a preflight goes without a token");
    assert_eq!(check("POST", "/rpc", &[]), Ok(Admission { known: true, ..Admission::default() }));
}

#[test]
fn pages_of_other_sites_load_pictures_only() {
    let from = |site, path| check("GET", path, &[("sec-fetch-site", Some(site)), ("authorization", None)]);
    for site in ["cross-site", "same-site", "new-site", ""] {
        for path in ["/", "/healthz", "/rpc", "/client/prosed.js", "/challenge", "/secret"] {
            assert_eq!(from(site, path), Err(Refusal::ForeignPage), "{site} {path}");
        }
        let foreign = Admission { foreign: true, ..Admission::default() };
        assert_eq!(from(site, "/avatars/capability/id"), Ok(foreign));
        // Not even with the token; but a listed origin is not foreign.
        let site = ("sec-fetch-site", Some(site));
        assert_eq!(refusal("POST", "/rpc", &[site]), Some(Refusal::ForeignPage));
        assert_eq!(refusal("POST", "/rpc", &[site, ("origin", Some(LISTED))]), None);
    }
    let twice = [("sec-fetch-site", Some("same-origin")), ("sec-fetch-site", Some("same-origin"))];
    assert_eq!(refusal("GET", "/", &twice), Some(Refusal::ForeignPage));
}

#[test]
fn a_link_leads_to_the_console_while_prosectl_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::start(&folder.path().join("token"), false).unwrap_or_else(|error| panic!("{error}"));
    let guard = Guard::port("127.0.0.1:5299".parse().unwrap(), vec![], token);
    let follow = |path: &str, target: &str| {
        let request = Request::get(path).header("host", "127.0.0.1:5299");
        let request = request.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate");
        let request = request.header("sec-fetch-dest", target).body(()).unwrap();
        guard.check(&request.into_parts().0).err()
    };
    assert_eq!(follow("/", "document"), Some(Refusal::ForeignPage));
    std::fs::write(folder.path().join(OPENING_PAGE), "").unwrap();
    assert_eq!(follow("/", "document"), None);
    for (path, target) in [("/", "iframe"), ("/healthz", "document"), ("/client/prosed.js", "document")] {
        assert_eq!(follow(path, target), Some(Refusal::ForeignPage), "{path} {target}");
    }
}
