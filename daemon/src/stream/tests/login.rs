//! From nothing to a bound stream, and all the ways not to get there.

use std::time::Instant;

use super::server::{BIND, BIND_AND_SM, Conn, HEADER, STARTTLS, mechanisms, sasl};
use super::*;

/// Runs a server's script beside a client that is driven all the while.
async fn beside<T>(stream: &mut Stream, script: impl Future<Output = T>) -> (T, Vec<StreamEvent>) {
    let mut events = Vec::new();
    tokio::pin!(script);
    loop {
        tokio::select! {
            done = &mut script => return (done, events),
            event = stream.next() => events.push(event),
        }
    }
}

/// Takes a client through a login with this mechanism and salt to a bound stream.
async fn admit(server: &Server, mechanism: ScramMechanism, salt: &'static [u8], changing: bool) -> Conn {
    let mut conn = server.accept_secure().await;
    conn.salt = salt;
    conn.salts_change = changing;
    conn.open(&mechanisms(&[mechanism.name(), "ANONYMOUS"])).await;
    conn.scram(mechanism, "secret").await;
    conn.open(BIND).await;
    conn.bind("me@example.org/desk").await;
    conn
}

#[tokio::test]
async fn scram_with_each_hash_and_again_with_the_keys_it_gave() {
    futures::future::join_all(ScramMechanism::ALL.map(keys_serve_again)).await;
}

async fn keys_serve_again(mechanism: ScramMechanism) {
    let server = Server::new().await;
    let mut settings = server.settings();
    settings.resource = Some("desk".to_owned());
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings.clone(), password);
    let mut kept = None;
    // Keys are given when the server has shown that its salt stays, and only once.
    for gives_keys in [true, false, false] {
        let conn = admit(&server, mechanism, b"the same salt", false).await;
        let StreamEvent::Authenticated { keys, .. } = next(&mut stream).await else {
            panic!("not authenticated")
        };
        assert_eq!(keys.is_some(), gives_keys);
        kept = keys.or(kept);
        assert_eq!(event(&mut stream).await, "online me@example.org/desk");
        let said = conn.all.clone();
        assert!(said.contains(&format!("mechanism='{}'", mechanism.name())), "{said}");
        assert!(said.contains("<resource>desk<") && !said.contains("secret"), "{said}");
        drop(conn);
        assert_eq!(event(&mut stream).await, "suspended");
    }
    drop(stream);
    let server = Server::new().await;
    let mut stream = Stream::connect(server.settings(), Credentials::Keys(kept.unwrap()));
    let _conn = admit(&server, mechanism, b"the same salt", false).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "online me@example.org/desk");
}

#[tokio::test]
async fn keys_that_fit_only_once_are_never_given_to_be_kept() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    for salt in [b"one salt", b"two salt", b"six salt"] {
        let conn = admit(&server, ScramMechanism::Sha256, salt, true).await;
        assert_eq!(event(&mut stream).await, "authenticated, keys: false");
        assert_eq!(event(&mut stream).await, "online me@example.org/desk");
        drop(conn);
        assert_eq!(event(&mut stream).await, "suspended");
    }
}

#[tokio::test]
async fn the_servers_proof_may_come_in_a_last_challenge() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
    let proof = conn.challenge(ScramMechanism::Sha256, "secret", 4096).await.unwrap();
    conn.send(&sasl("challenge", &proof)).await;
    conn.element("response").await;
    conn.send(&sasl("success", "")).await;
    conn.open(BIND).await;
    conn.bind("me@example.org/a").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/a");
}

#[tokio::test]
async fn plain_where_there_is_nothing_else() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["ANONYMOUS", "PLAIN"])).await;
    assert_eq!(super::server::decoded(&conn.element("auth").await), "\0me\0secret");
    conn.send(&sasl("success", "")).await;
    conn.open(BIND).await;
    conn.bind("me@example.org/a").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "online me@example.org/a");
}

#[tokio::test]
async fn direct_tls_says_which_protocol_it_wants() {
    let server = Server::new().await;
    let mut settings = server.settings();
    settings.tls = TlsMode::Direct;
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings, password);
    let mut conn = server.accept().await;
    assert!(conn.secure().await);
    assert!(conn.all.contains("[ALPN xmpp-client]"));
    conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    conn.open(BIND).await;
    conn.bind("me@example.org/a").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/a");
}

#[tokio::test]
async fn a_wrong_password_is_one_attempt() {
    let server = Server::new().await;
    let mut stream = server.client("wrong");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
    assert_eq!(conn.challenge(ScramMechanism::Sha256, "secret", 4096).await, None);
    let refused =
        ConnectError::NotAuthorized { condition: "not-authorized".into(), text: "no such luck".into() };
    assert_eq!(failure(&mut stream).await, (refused, false));
    ended(stream, &server).await;
}

#[tokio::test]
async fn refusals_that_are_final_and_those_that_are_not() {
    for (condition, again) in [
        ("account-disabled", false),
        ("credentials-expired", false),
        ("made-up", false),
        ("temporary-auth-failure", true),
    ] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = server.accept_secure().await;
        conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
        conn.element("auth").await;
        conn.send(&format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>"))
            .await;
        let (error, retries) = failure(&mut stream).await;
        assert_eq!(retries, again, "{error}");
        if !again {
            ended(stream, &server).await;
        }
    }
}

#[tokio::test]
async fn keys_that_no_longer_fit_need_the_password() {
    let server = Server::new().await;
    let keys = ScramKeys::derive(ScramMechanism::Sha256, "secret", b"another salt", 4096);
    let mut stream = Stream::connect(server.settings(), Credentials::Keys(keys));
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["SCRAM-SHA-256", "PLAIN"])).await;
    let (challenged, _) = tokio::join!(async { failure(&mut stream).await }, async {
        conn.challenge(ScramMechanism::Sha256, "secret", 1_000_000).await
    });
    assert!(matches!(challenged, (ConnectError::NotAuthorized { .. }, false)), "{challenged:?}");
    ended(stream, &server).await;
}

/// Runs a login that the server makes a lie of; the client must not say what mustn't be said.
async fn is_violated(offer: &[&str], never: &str, lie: impl AsyncFnOnce(&mut Conn)) {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(offer)).await;
    lie(&mut conn).await;
    let (error, again) = failure(&mut stream).await;
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
    assert!(again);
    let said = conn.rest().await;
    assert!(!said.contains(never), "{said}");
    assert_eq!(said.matches("<stream:stream").count(), 2, "went on after the lie: {said}");
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_not_believed() {
    let sha256 = ScramMechanism::Sha256;
    is_violated(&["SCRAM-SHA-256"], "<iq", async |conn| {
        conn.challenge(sha256, "secret", 4096).await.unwrap();
        conn.send(&sasl("success", "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).await;
    })
    .await;
    is_violated(&["SCRAM-SHA-256"], "<iq", async |conn| {
        conn.challenge(sha256, "secret", 4096).await.unwrap();
        conn.send(&sasl("success", "")).await;
    })
    .await;
    is_violated(&["SCRAM-SHA-256"], "<response", async |conn| {
        conn.element("auth").await;
        conn.send(&sasl("success", "")).await;
    })
    .await;
    is_violated(&["SCRAM-SHA-256"], "<response", async |conn| {
        conn.element("auth").await;
        conn.send(&sasl("challenge", "r=other,s=QSXCR+Q6sek8bf92,i=4096")).await;
    })
    .await;
}

#[tokio::test]
async fn iterations_beyond_reason_are_not_worked() {
    for iterations in [1, 4_000_000_000] {
        let start = Instant::now();
        is_violated(&["SCRAM-SHA-256"], "<response", async |conn| {
            conn.challenge(ScramMechanism::Sha256, "secret", iterations).await;
        })
        .await;
        assert!(start.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn anonymous_and_unknown_mechanisms_are_never_used() {
    is_violated(&["ANONYMOUS"], "<auth", async |_| {}).await;
    is_violated(&["ANONYMOUS", "SCRAM-SHA3-512", "PLAIN"], "<auth", async |_| {}).await;
    is_violated(&[], "<auth", async |_| {}).await;
}

#[tokio::test]
async fn beside_scram_plain_is_not_even_tried() {
    let server = Server::new().await;
    let _stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["PLAIN", "SCRAM-SHA-1"])).await;
    conn.element("auth").await;
    conn.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-mechanism/></failure>").await;
    let said = conn.rest().await;
    assert!(said.contains("SCRAM-SHA-1") && !said.contains("PLAIN"), "{said}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    for (name, direct) in [("example.com", false), ("127.0.0.1", false), ("example.com", true)] {
        let server = Server::named(name).await;
        let mut settings = server.settings();
        settings.tls = if direct { TlsMode::Direct } else { TlsMode::Auto };
        let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
        let mut stream = Stream::connect(settings, password);
        let mut conn = server.accept().await;
        if !direct {
            conn.open(STARTTLS).await;
            conn.element("starttls").await;
            conn.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
        }
        assert!(!conn.secure().await, "the client took the certificate of {name}");
        let StreamEvent::ConnectFailed { error: ConnectError::Tls { text }, retry_at: Some(at) } =
            next(&mut stream).await
        else {
            panic!("not a TLS error")
        };
        assert!(text.contains("certificate"), "{text}");
        let wait = at.duration_since(std::time::SystemTime::now()).unwrap();
        assert!(wait > Duration::from_secs(55), "tried again after {wait:?}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let server = Server::expired().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept().await;
    conn.open(STARTTLS).await;
    conn.element("starttls").await;
    conn.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    assert!(!conn.secure().await);
    let (error, again) = failure(&mut stream).await;
    assert!(matches!(&error, ConnectError::Tls { text } if text.contains("expired")) && again, "{error:?}");
}

#[tokio::test]
async fn plain_alone_where_scram_has_worked_is_a_trap() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let conn = server.accept_bound("secret").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["PLAIN"])).await;
    let said = conn.rest().await;
    assert!(!said.contains("PLAIN"), "{said}");
    assert!(matches!(failure(&mut stream).await, (ConnectError::Downgrade { .. }, true)));
}

#[tokio::test]
async fn an_unknown_issuer_is_refused() {
    let server = Server::new().await;
    let mut settings = server.settings();
    settings.tls_config = tls_config(None).unwrap();
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings, password);
    let mut conn = server.accept().await;
    conn.open(STARTTLS).await;
    conn.element("starttls").await;
    conn.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    assert!(!conn.secure().await);
    assert!(matches!(failure(&mut stream).await, (ConnectError::Tls { .. }, true)));
}

#[tokio::test]
async fn without_tls_there_are_no_credentials() {
    for features in [mechanisms(&["PLAIN", "SCRAM-SHA-256"]), String::new()] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = server.accept().await;
        conn.open(&features).await;
        assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)));
        let said = conn.rest().await;
        assert!(!said.contains("auth") && !said.contains("me@example.org"), "{said}");
    }
}

#[tokio::test]
async fn what_is_slipped_in_before_tls_ends_the_connection() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept().await;
    conn.open(&format!("{STARTTLS}{}", mechanisms(&["PLAIN"]))).await;
    conn.element("starttls").await;
    let injected = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message><body>hi</body></message>";
    conn.send(injected).await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)));
    // Not even a handshake begins.
    let said = conn.rest().await;
    assert!(said.ends_with("</starttls>"), "{said:?}");
}

#[tokio::test]
async fn somebody_elses_account_is_never_ours() {
    for jid in ["you@example.org/a", "me@example.com/a", "example.org/a"] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = server.accept_login("secret").await;
        conn.open(BIND).await;
        conn.bind(jid).await;
        assert_eq!(event(&mut stream).await, "authenticated, keys: true");
        let (error, again) = failure(&mut stream).await;
        assert!(matches!(error, ConnectError::Protocol { .. }) && !again, "{error:?}");
        ended(stream, &server).await;
    }
}

#[tokio::test]
async fn a_server_that_ends_the_stream_before_binding_is_told_of() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND).await;
    conn.element("iq").await;
    drop(conn);
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    let (error, again) = failure(&mut stream).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }) && again, "{error:?}");
}

#[tokio::test]
async fn no_binding_offered_is_no_panic() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open("").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)));
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_tried_again() {
    let server = Server::new().await;
    let settings = server.settings();
    drop(server);
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings, password);
    for _ in 0..2 {
        assert!(matches!(failure(&mut stream).await, (ConnectError::Unreachable { .. }, true)));
    }
}

#[tokio::test]
async fn a_name_that_no_server_takes_ends_at_once() {
    let settings = settings("example.org", Some("127.0.0.1"), Some(1), TlsMode::Auto);
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings, password);
    assert!(matches!(failure(&mut stream).await, (ConnectError::NotAuthorized { .. }, false)));
    assert_eq!(event(&mut stream).await, "ended");
}

/// Expects a silent server to be given up within this time of silence. Time runs by itself from here.
async fn gives_up_within(mut stream: Stream, seconds: u64) {
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let StreamEvent::ConnectFailed { error, retry_at: Some(_) } = stream.next().await else {
        panic!("something else happened")
    };
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(start.elapsed() <= Duration::from_secs(seconds), "after {:?}", start.elapsed());
    tokio::time::resume();
}

#[tokio::test]
async fn silence_has_a_deadline_at_each_step() {
    // Before STARTTLS.
    let server = Server::new().await;
    let stream = server.client("secret");
    let _conn = server.accept().await;
    gives_up_within(stream, 16).await;
    // In the handshake.
    let mut settings = server.settings();
    settings.tls = TlsMode::Direct;
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let stream = Stream::connect(settings, password);
    let _conn = server.accept().await;
    gives_up_within(stream, 16).await;
    // In the login.
    let stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
    conn.element("auth").await;
    gives_up_within(stream, 31).await;
}

/// Expects a server to be given up in good time that goes on sending this, a second apart.
async fn progress_not_bytes_keeps_a_deadline(mut stream: Stream, mut conn: Conn, drip: &str) {
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let dripping = async {
        loop {
            conn.try_send(drip).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let failed = async {
        loop {
            match stream.next().await {
                StreamEvent::ConnectFailed { error, retry_at: Some(_) } => return error,
                StreamEvent::Authenticated { .. } | StreamEvent::Online { .. } | StreamEvent::Suspended => {}
                _ => panic!("something else happened"),
            }
        }
    };
    let error = tokio::select! {
        () = dripping => unreachable!("it has no end"),
        error = failed => error,
        () = tokio::time::sleep(Duration::from_secs(120)) => panic!("no error"),
    };
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(start.elapsed() <= Duration::from_secs(32), "after {:?}", start.elapsed());
    tokio::time::resume();
}

#[tokio::test]
async fn bytes_without_progress_have_a_deadline_at_each_step() {
    let server = Server::new().await;
    // Before STARTTLS: white space, and an element that never ends.
    for (begun, drip) in [("", " "), ("<stream:features><x>", "y")] {
        let stream = server.client("secret");
        let mut conn = server.accept().await;
        conn.until("<stream:stream").await;
        conn.send(&format!("{HEADER}{begun}")).await;
        progress_not_bytes_keeps_a_deadline(stream, conn, drip).await;
    }
    // In the login: the features, and the exchange.
    for (begun, drip) in [("", " "), ("<stream:features><x>", "y")] {
        let stream = server.client("secret");
        let mut conn = server.accept_secure().await;
        conn.until("<stream:stream").await;
        conn.send(&format!("{HEADER}{begun}")).await;
        progress_not_bytes_keeps_a_deadline(stream, conn, drip).await;
    }
    for (begun, drip) in [("", " "), ("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", "y")] {
        let stream = server.client("secret");
        let mut conn = server.accept_secure().await;
        conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
        conn.element("auth").await;
        conn.send(begun).await;
        progress_not_bytes_keeps_a_deadline(stream, conn, drip).await;
    }
    // Where the session is bound, and where its stream is to be managed.
    for drip in [" ", "<presence/>", "<iq type='result' id='x'/>"] {
        let stream = server.client("secret");
        let mut conn = server.accept_login("secret").await;
        conn.open(BIND).await;
        conn.element("iq").await;
        progress_not_bytes_keeps_a_deadline(stream, conn, drip).await;
    }
    let stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND).await;
    conn.element("iq").await;
    conn.send("<iq type='result' id='resource-binding'><bind>").await;
    progress_not_bytes_keeps_a_deadline(stream, conn, "y").await;
    let stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.bind("me@example.org/a").await;
    conn.element("enable").await;
    progress_not_bytes_keeps_a_deadline(stream, conn, " ").await;
}

/// What took the whole process down, when each header began a tree within the one before.
#[tokio::test]
async fn headers_in_place_of_features_are_no_features() {
    for stage in ["plain", "login", "session"] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = match stage {
            "plain" => server.accept().await,
            "login" => server.accept_secure().await,
            _ => server.accept_login("secret").await,
        };
        conn.until("<stream:stream").await;
        let bare = HEADER.strip_prefix("<?xml version='1.0'?>").unwrap();
        conn.try_send(&format!("{HEADER}{}", bare.repeat(5_000))).await;
        let (error, again) = failure(&mut stream).await;
        assert!(matches!(&error, ConnectError::Protocol { text } if text.contains("header")), "{error:?}");
        assert!(again);
    }
}

/// Closes a stream at this moment, within this many seconds.
async fn closes(stream: Stream, seconds: u64) {
    let start = Instant::now();
    timeout(PATIENCE, stream.close()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(seconds), "closing took {:?}", start.elapsed());
}

#[tokio::test]
async fn closing_is_quick_at_any_moment() {
    // Before anything was done, and while nobody answers.
    let server = Server::new().await;
    closes(server.client("secret"), 3).await;
    let stream = server.client("secret");
    let _silent = server.accept().await;
    closes(stream, 3).await;
    // While waiting for the next attempt.
    let settings = server.settings();
    drop(server);
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings, password);
    assert!(matches!(failure(&mut stream).await, (ConnectError::Unreachable { .. }, true)));
    closes(stream, 3).await;
    // In the middle of the login, and of binding (where the server is owed its time to answer).
    let server = Server::new().await;
    let stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
    conn.element("auth").await;
    closes(stream, 3).await;
    let mut stream = server.client("secret");
    let (mut conn, _) = beside(&mut stream, server.accept_login("secret")).await;
    conn.open(BIND).await;
    conn.element("iq").await;
    closes(stream, 6).await;
}
