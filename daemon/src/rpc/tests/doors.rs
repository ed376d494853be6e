//! Who is admitted, over real sockets, and what else is served.

use tokio_tungstenite::tungstenite::Error;

use super::*;

/// Far longer than an impatient daemon waits.
const LONG: Duration = Duration::from_secs(20);

const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"get_version"}"#;

/// A POST with these headers and a valid body; `{host}` and `{token}` stand for the correct values.
async fn post(daemon: &Daemon, headers: &str) -> (u16, String) {
    let headers = headers.replace("{host}", &daemon.address.to_string()).replace("{token}", &daemon.token);
    let head = format!("POST /rpc HTTP/1.1\r\n{headers}\r\nconnection: close\r\n");
    let (status, head, _) = daemon.http(&format!("{head}content-length: {}\r\n\r\n{BODY}", BODY.len())).await;
    (status, head)
}

#[tokio::test]
async fn statuses() {
    let daemon = Daemon::start().await;
    const RIGHT: &str = "host: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json";
    for (expected, from, to) in [
        (200, "", ""),
        (0, "{host}", "evil.example"),
        (400, "host: {host}", "x: y"),
        (400, "host: {host}", "host: {host}\r\nhost: {host}"),
        (401, "{token}", "wrong"),
        (401, "authorization: Bearer {token}", "x: y"),
        (415, "application/json", "text/plain"),
        (0, "content-type", "origin: http://evil.example\r\ncontent-type"),
        (0, "content-type", "origin: null\r\ncontent-type"),
        (0, "content-type", "sec-fetch-site: cross-site\r\ncontent-type"),
        (200, "content-type", "origin: app://prose\r\ncontent-type"),
    ] {
        let headers = if from.is_empty() { RIGHT.to_owned() } else { RIGHT.replace(from, to) };
        let (status, head) = post(&daemon, &headers).await;
        assert_eq!(status, expected, "{headers}");
        let policy = head.contains("cross-origin-resource-policy: same-origin");
        assert!(if expected == 0 { head.is_empty() } else { policy }, "{head}");
    }
}

/// Nor the HTTP library's own responses to what it cannot read.
#[tokio::test]
async fn nothing_is_said_to_those_who_have_not_been_let_in() {
    let daemon = Daemon::start().await;
    let host = format!("host: {}\r\n", daemon.address);
    let long = "x".repeat(200_000);
    for request in [
        format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
        format!("GET / HTTP/1.1\r\n{host}x: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}{}\r\n", "x: y\r\n".repeat(200)),
        format!("GET / HTTP/9.9\r\n{host}\r\n"),
        "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03".to_owned(),
        "HELO you\r\n\r\n".to_owned(),
    ] {
        let mut socket = TcpStream::connect(daemon.address).await.unwrap();
        let mut answer = Vec::new();
        // The connection may be closed while it writes.
        let _ = socket.write_all(request.as_bytes()).await;
        let _ = tokio::time::timeout(LONG, socket.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "", "{}", &request[..12]);
    }
}

#[tokio::test]
async fn pages_of_other_sites_see_pictures_and_nothing_else() {
    let daemon = Daemon::start().await;
    let get = async |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", daemon.address);
        daemon.http(&format!("{head}sec-fetch-site: cross-site\r\n\r\n")).await
    };
    let avatar = prosed_session::Avatar {
        id: ImageId([0xab; 20]),
        kind: ImageType::Png,
        bytes: 7,
        width: 1,
        height: 1,
    };
    let url = daemon.translator.avatar(&avatar).url;
    let (status, head, _) = get(&url).await;
    assert_eq!(status, 200);
    assert!(head.contains("cross-origin-resource-policy: cross-origin"), "{head}");
    for path in ["/", "/healthz", "/client/prosed.js", "/avatars/x/y", &url.replace("abab", "cdcd")] {
        assert_eq!(get(path).await, (0, String::new(), String::new()), "{path}");
    }
}

#[tokio::test]
async fn a_refused_websocket_is_never_upgraded() {
    let daemon = Daemon::start().await;
    let bearer = format!("Bearer {}", daemon.token);
    let evil = [("authorization", bearer.as_str()), ("origin", "http://evil.example")];
    let rebound = [("authorization", bearer.as_str()), ("host", "evil.example")];
    for (headers, expected) in [(&evil[..], None), (&rebound[..], None), (&[], Some(401))] {
        match daemon.try_connect(headers).await {
            Err(Error::Http(response)) => assert_eq!(Some(response.status().as_u16()), expected),
            Err(_) => assert_eq!(None, expected),
            Ok((_, response)) => panic!("expected {expected:?}: {response:?}"),
        }
    }
}

#[tokio::test]
async fn a_browser_gives_its_token_as_a_subprotocol() {
    let daemon = Daemon::start().await;
    let protocols = format!("prosed.v1, prosed.bearer.{}", daemon.token);
    let headers = [("sec-websocket-protocol", protocols.as_str()), ("origin", LISTED_ORIGIN)];
    let (mut ui, response) = daemon.try_connect(&headers).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "prosed.v1");
    assert_eq!(ui.call("get_version", json!({})).await["result"]["apiLevel"], 1);
}

#[tokio::test]
async fn cors_is_answered_for_listed_origins_only() {
    let daemon = Daemon::start().await;
    let ask = |origin: &str| {
        format!(
            "OPTIONS /rpc HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-private-network: true\r\nconnection: close\r\n\r\n",
            daemon.address
        )
    };
    let (status, head, _) = daemon.http(&ask(LISTED_ORIGIN)).await;
    assert_eq!(status, 204);
    for line in [
        "access-control-allow-origin: app://prose",
        "access-control-allow-methods: get, post",
        "access-control-allow-headers: authorization, content-type",
        "access-control-allow-private-network: true",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let (status, head, _) = daemon.http(&ask("http://evil.example")).await;
    assert_eq!((status, head.as_str()), (0, ""));
    let headers = "host: {host}\r\norigin: app://prose\r\nauthorization: Bearer {token}\r\ncontent-type: application/json";
    let (_, head) = post(&daemon, headers).await;
    assert!(head.contains("access-control-allow-origin: app://prose"), "{head}");
}

#[tokio::test]
async fn other_paths_and_methods() {
    let daemon = Daemon::start().await;
    let get = async |path: &str, token: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", daemon.address);
        daemon.http(&format!("{head}authorization: Bearer {token}\r\n\r\n")).await
    };
    let (status, head, body) = get("/healthz", "none").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    assert!(!head.contains("server:"), "it says nothing: {head}");
    assert_eq!(get("/secret", "none").await.0, 401);
    assert_eq!(get("/secret", &daemon.token).await.0, 404);
    assert_eq!(get("/rpc", &daemon.token).await.0, 405);
    for path in ["/metrics", "/openrpc.json"] {
        assert_eq!((get(path, &daemon.token).await.0, get(path, "none").await.0), (200, 401), "{path}");
    }
    assert_eq!(get(&format!("/rpc?token={}", daemon.token), "none").await.0, 401);
}

#[tokio::test]
async fn pictures_are_served_to_those_who_know_the_key() {
    let daemon = Daemon::start().await;
    let get = async |path: &str| {
        daemon
            .http(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", daemon.address))
            .await
    };
    let avatar = prosed_session::Avatar {
        id: ImageId([0xab; 20]),
        kind: ImageType::Png,
        bytes: 7,
        width: 1,
        height: 1,
    };
    let url = daemon.translator.avatar(&avatar).url;
    let (status, head, body) = get(&url).await;
    assert_eq!((status, body.as_str()), (200, "picture"));
    let id = "ab".repeat(20);
    let tag = format!("etag: \"{id}\"");
    for line in ["content-type: image/png", "x-content-type-options: nosniff", "private", "immutable", &tag] {
        assert!(head.contains(line), "{line} in {head}");
    }
    for (wanted, pixels) in [("1", "64"), ("64", "64"), ("65", "128"), ("200", "256"), ("4096", "256")] {
        let (status, head, body) = get(&format!("{url}?size={wanted}")).await;
        assert_eq!((status, body), (200, format!("picture of {pixels}")), "{wanted}");
        assert!(head.contains(&format!("etag: \"{id}-{pixels}\"")), "{head}");
    }
    for wrong in ["0", "-1", "64px", "", "1e3"] {
        assert_eq!(get(&format!("{url}?size={wrong}")).await.0, 400, "{wrong}");
    }
    // Callers with the token get a reason, and so do pages of listed origins.
    let again = async |tag: &str| {
        let head = format!("GET {url}?size=64 HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", daemon.address);
        daemon.http(&format!("{head}sec-fetch-site: cross-site\r\nif-none-match: {tag}\r\n\r\n")).await
    };
    let (status, head, body) = again(&format!("\"old\", W/\"{id}-64\"")).await;
    assert_eq!((status, body.as_str()), (304, ""));
    assert!(head.contains("immutable") && head.contains("etag"), "{head}");
    assert_eq!(again(&format!("\"{id}\"")).await.2, "picture of 64");
    assert_eq!(get(&format!("/avatars/{}/{id}", random_text().unwrap())).await.0, 404);
    assert_eq!(get(&format!("/avatars//{id}")).await.0, 404);
    assert_eq!(get(&url.replace("abab", "cdcd")).await.0, 404);
    assert_eq!(get(&url.replace(&id, "..%2f..%2fetc%2fpasswd")).await.0, 404);
}

#[tokio::test]
async fn thirty_two_connections_and_no_more() {
    let daemon = Daemon::start().await;
    let mut uis = Vec::new();
    for _ in 0..32 {
        uis.push(daemon.connect().await);
    }
    let bearer = format!("Bearer {}", daemon.token);
    match daemon.try_connect(&[("authorization", &bearer)]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("{:?}", other.map(|(_, response)| response)),
    }
    assert_eq!(uis[31].call("get_version", json!({})).await["result"]["name"], "prosed");
    drop(uis.pop());
    // The place is free once the daemon has noticed the end of the connection.
    while daemon.try_connect(&[("authorization", &bearer)]).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn those_without_a_token_take_no_connection() {
    let daemon = Daemon::start().await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    assert_eq!(daemon.connect().await.call("get_version", json!({})).await["result"]["name"], "prosed");
}

#[tokio::test]
async fn a_socket_that_sends_no_head_is_closed() {
    let daemon = Daemon::impatient(Script::default()).await;
    let whole = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", daemon.address);
    for said in ["", "GET /healthz HTTP/1.1\r\n", &whole] {
        let mut socket = TcpStream::connect(daemon.address).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let closed = tokio::time::timeout(LONG, socket.read_to_string(&mut answer)).await;
        assert!(closed.is_ok(), "{said:?}");
        assert_eq!(answer.contains("200 OK"), said == whole, "{answer}");
    }
}

/// And the newest of them is served immediately.
#[tokio::test]
async fn strangers_are_few_and_the_oldest_leave() {
    let daemon = Daemon::start().await;
    let shares = Shares::of(1024, 2);
    let mut owner = daemon.connect().await;
    let mut strangers = Vec::new();
    for _ in 0..shares.strangers + 10 {
        strangers.push(TcpStream::connect(daemon.address).await.unwrap());
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", daemon.address);
        let newest = strangers.last_mut().unwrap();
        newest.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(newest.read_u8().await.unwrap(), b'H');
    }
    for (at, stranger) in strangers.iter_mut().enumerate() {
        let mut rest = Vec::new();
        let ends = stranger.read_to_end(&mut rest);
        let patience = if at < 10 { LONG } else { Duration::ZERO };
        assert_eq!(tokio::time::timeout(patience, ends).await.is_ok(), at < 10, "{at}");
    }
    assert_eq!(owner.call("get_version", json!({})).await["result"]["name"], "prosed");
    daemon.connect().await;
}

#[tokio::test]
async fn a_stranger_stays_for_a_moment_and_who_has_shown_the_token_longer() {
    let short = Duration::from_millis(200);
    let patience = Timeouts { strange_for: short, ..Timeouts::USUAL };
    let daemon = Daemon::with_patience(Script::default(), patience).await;
    let ask = async |token: &str| {
        let head = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", daemon.address);
        let metrics = head.replace("/healthz", "/openrpc.json");
        let metrics = metrics.replace("\r\n\r\n", &format!("\r\nauthorization: Bearer {token}\r\n\r\n"));
        let mut socket = TcpStream::connect(daemon.address).await.unwrap();
        socket.write_all(metrics.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(5 * short, socket.read_to_end(&mut answer)).await;
        ended.is_ok()
    };
    assert!(ask("wrong").await);
    assert!(!ask(&daemon.token).await);
}

/// A client that never reads answers no pings.
#[tokio::test]
async fn a_websocket_without_a_sign_of_life_is_closed() {
    let daemon = Daemon::impatient(Script::default()).await;
    let mut silent = daemon.connect().await;
    let held = Arc::strong_count(&daemon.log);
    silent.send("subscribe", json!({})).await;
    silent.socket.flush().await.unwrap();
    let mut lively = daemon.connect().await;
    let mut most = held;
    let started = tokio::time::Instant::now();
    // Reading answers pings.
    while most == held || Arc::strong_count(&daemon.log) > held {
        let _ = tokio::time::timeout(Duration::from_millis(10), lively.socket.next()).await;
        most = most.max(Arc::strong_count(&daemon.log));
        assert!(started.elapsed() < LONG);
    }
    assert_eq!(lively.call("get_version", json!({})).await["result"]["name"], "prosed");
}

/// Its TCP is alive and its window closed: only a bound on writing frees what it holds.
#[tokio::test]
async fn a_websocket_that_takes_nothing_is_cut_off() {
    let daemon = Daemon::impatient(Script::default()).await;
    let mut stalled = daemon.connect().await;
    // A subscription holds the log while it lives.
    let held = Arc::strong_count(&daemon.log);
    stalled.call("subscribe", json!({})).await;
    assert!(Arc::strong_count(&daemon.log) > held);
    // More than sockets hold, and less than the log does: it does not end because of lag.
    for _ in 0..15 {
        daemon.happen("me@example.org", 1 << 20);
    }
    let cut_off = async {
        while Arc::strong_count(&daemon.log) > held {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, cut_off).await.is_ok());
}

#[tokio::test]
async fn a_call_without_an_answer_does_not_keep_the_doors_open() {
    let mut daemon = Daemon::impatient(Script { silent: true, ..Default::default() }).await;
    daemon.script.add("me@example.org");
    let request = daemon.post_request(r#"{"jsonrpc":"2.0","id":1,"method":"get_account"}"#);
    let mut socket = TcpStream::connect(daemon.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    while daemon.script.reached("me@example.org").is_empty() {
        tokio::task::yield_now().await;
    }
    daemon.shutdown.take().unwrap().send(()).unwrap();
    (&mut daemon.running).await.unwrap();
}

#[test]
fn peers_are_waited_for_as_long_as_they_are_told() {
    let usual = Timeouts::USUAL;
    assert_eq!((usual.ping_every, usual.gone_after), (Duration::from_secs(20), Duration::from_secs(60)));
}

#[tokio::test]
async fn the_doors_close_in_order() {
    let mut daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    ui.call("subscribe", json!({})).await;
    daemon.shutdown.take().unwrap().send(()).unwrap();
    let mut farewell = ui.socket.next().await;
    while let Some(Ok(Message::Ping(_))) = farewell {
        farewell = ui.socket.next().await;
    }
    assert!(matches!(farewell, Some(Ok(Message::Close(_)))), "{farewell:?}");
    drop(ui);
    (&mut daemon.running).await.unwrap();
    assert!(TcpStream::connect(daemon.address).await.is_err());
}
