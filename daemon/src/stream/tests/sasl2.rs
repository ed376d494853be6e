//! SASL2 (XEP-0388) and tokens (XEP-0484).

use super::server::{BIND_AND_SM, Conn, mechanisms};
use super::*;

/// SASL2's feature, with tokens where mechanisms for them are given.
pub(super) fn sasl2(names: &[&str], tokens: &[&str]) -> String {
    let list = |names: &[&str]| -> String {
        names.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect()
    };
    let fast = match tokens {
        [] => String::new(),
        tokens => format!("<inline><fast xmlns='urn:xmpp:fast:0'>{}</fast></inline>", list(tokens)),
    };
    format!("<authentication xmlns='urn:xmpp:sasl:2'>{}{fast}</authentication>", list(names))
}

/// A connection with this offer, which the client answers by SASL2.
async fn begin(server: &Server, offer: &str) -> Conn {
    let mut conn = server.accept_secure().await;
    conn.sasl2 = true;
    conn.open(offer).await;
    conn
}

/// The features that follow a success at once, then bind and stream management, with no new header.
pub(super) async fn go_on(conn: &mut Conn) {
    conn.send(&format!("<stream:features>{BIND_AND_SM}</stream:features>")).await;
    conn.bind("me@example.org/here").await;
    conn.element("enable").await;
    conn.send("<enabled xmlns='urn:xmpp:sm:3' id='session' resume='true'/>").await;
}

/// The same for a client that resumes.
pub(super) async fn resume(conn: &mut Conn) {
    conn.send(&format!("<stream:features>{BIND_AND_SM}</stream:features>")).await;
    conn.element("resume").await;
    conn.send("<resumed xmlns='urn:xmpp:sm:3' previd='session' h='0'/>").await;
}

#[tokio::test]
async fn no_new_stream_behind_the_login_and_resumption_as_ever() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let offer = sasl2(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN"], &[])
        + "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>";
    let mut conn = begin(&server, &offer).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    go_on(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    // One header before TLS, one behind it, none behind the login.
    assert_eq!(conn.all.matches("<stream:stream").count(), 2, "{}", conn.all);
    assert!(conn.all.contains("SCRAM-SHA-256-PLUS") && conn.all.contains("<user-agent"), "{}", conn.all);
    conn.send("<message from='a@example.org'><body>in order</body></message>").await;
    assert!(event(&mut stream).await.contains("in order"));
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    let mut conn = begin(&server, &offer).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    resume(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "resumed");
}

#[tokio::test]
async fn beside_sasl_it_is_used_once_the_salt_is_known_to_stay() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let offer = format!("{}{}", mechanisms(&["SCRAM-SHA-256"]), sasl2(&["SCRAM-SHA-256"], &[]));
    let mut conn = server.accept_secure().await;
    conn.open(&offer).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    conn.open(super::server::BIND).await;
    conn.bind("me@example.org/here").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    let mut conn = begin(&server, &offer).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    go_on(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
}

/// Early SASL2 takes an abort for the end of the stream.
#[tokio::test]
async fn where_breaking_off_ends_the_stream_the_next_login_comes_at_once_and_does_not() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &[])).await;
    let nonce = conn.initial().await.split("r=").nth(1).unwrap().to_owned();
    conn.send(&conn.sasl("challenge", &format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=4096"))).await;
    conn.element("abort").await;
    drop(conn);
    let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &[])).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    assert!(!conn.all.contains("<abort"), "{}", conn.all);
    go_on(&mut conn).await;
    // No failure was told.
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
}

#[tokio::test]
async fn a_login_to_another_account_or_without_proof_is_none() {
    for lie in ["identity", "proof"] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &[])).await;
        let proof = conn.challenge(ScramMechanism::Sha256, "secret", 4096).await.unwrap();
        let success = conn.sasl("success", if lie == "proof" { "v=AAAA" } else { &proof });
        conn.send(&success.replace("me@", if lie == "proof" { "me@" } else { "you@" })).await;
        conn.send(&format!("<stream:features>{BIND_AND_SM}</stream:features>")).await;
        assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)), "{lie}");
        assert!(!conn.rest().await.contains("<iq"), "{lie}");
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_more_than_a_password_is_not_to_be_had() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &[])).await;
    conn.initial().await;
    conn.send(
        "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
    )
    .await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::NotAuthorized { .. }, false)));
    ended(stream, &server).await;
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &[])).await;
    conn.challenge(ScramMechanism::Sha256, "secret", 4096).await.unwrap();
    conn.send("<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>").await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)));
}

pub(super) const TOKENS: [&str; 2] = ["HT-SHA-256-NONE", "HT-SHA-256-EXPR"];

/// A stream that got a token and lost its connection.
pub(super) async fn with_token(server: &Server) -> Stream {
    with_token_for(server, &sasl2(&["SCRAM-SHA-256"], &TOKENS)).await
}

/// The same from a server that offers this.
pub(super) async fn with_token_for(server: &Server, offer: &str) -> Stream {
    let mut stream = server.client("secret");
    let mut conn = begin(server, offer).await;
    conn.extras = "<token xmlns='urn:xmpp:fast:0' token='open sesame' expiry='2099-01-01T00:00:00Z'/>".into();
    conn.scram(ScramMechanism::Sha256, "secret").await;
    assert!(conn.all.contains("<request-token"), "{}", conn.all);
    go_on(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    stream
}

#[tokio::test]
async fn a_token_takes_the_place_of_the_password() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    // With a new one on the way, which serves the next time.
    for (token, next) in [("open sesame", "another"), ("another", "third")] {
        let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &TOKENS)).await;
        conn.extras =
            format!("<token xmlns='urn:xmpp:fast:0' token='{next}' expiry='2099-01-01T00:00:00Z'/>");
        assert!(conn.takes_token(token).await, "{}", conn.all);
        conn.send_token_proof(token).await;
        resume(&mut conn).await;
        assert_eq!(event(&mut stream).await, "authenticated, keys: false");
        assert_eq!(event(&mut stream).await, "resumed");
        assert!(!conn.all.contains("SCRAM") && conn.all.contains("<fast"), "{}", conn.all);
        drop(conn);
        assert_eq!(event(&mut stream).await, "suspended");
    }
}

#[tokio::test]
async fn a_server_that_does_not_have_the_token_is_not_believed() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &TOKENS)).await;
    assert!(conn.takes_token("open sesame").await);
    conn.send_token_proof("guessed").await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)));
    assert!(!conn.rest().await.contains("<iq"));
}

#[tokio::test]
async fn a_token_that_is_refused_gives_way_to_scram_on_the_same_stream() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    let mut conn = begin(&server, &sasl2(&["SCRAM-SHA-256"], &TOKENS)).await;
    assert!(conn.takes_token("open sesame").await);
    conn.send(
        "<failure xmlns='urn:xmpp:sasl:2'><credentials-expired xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
    )
    .await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    resume(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "resumed");
}

#[tokio::test]
async fn a_session_that_is_not_resumed_along_with_the_login_may_say_how_far_it_came() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = admit(&server, "").await;
    go_on(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    for number in [1, 2] {
        let stanza = super::session::text(&number.to_string());
        let bytes = prosed_session::stanza_bytes(&stanza);
        stream.send(stanza, bytes, Some(Mark(number))).unwrap();
        conn.element("message").await;
    }
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    let mut conn = admit(&server, "<failed xmlns='urn:xmpp:sm:3' h='1'/>").await;
    go_on(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "acknowledged 1");
    assert_eq!(event(&mut stream).await, "unsent, doubtful: 2, unwritten: ");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
}

/// What SASL2 offers along with a login.
const INLINE: &str = "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256</mechanism><inline>\
    <sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>\
    </inline></authentication>";

/// Logs in by SASL2, and puts this into `<success/>`.
async fn admit(server: &Server, inline: &str) -> Conn {
    let mut conn = begin(server, INLINE).await;
    conn.extras = inline.to_owned();
    conn.scram(ScramMechanism::Sha256, "secret").await;
    conn
}

#[tokio::test]
async fn a_session_is_resumed_along_with_the_login() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = admit(&server, "").await;
    assert!(!conn.all.contains("urn:xmpp:bind:0"), "switched on by nobody");
    go_on(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    super::session::send(&mut stream, super::session::text("again")).unwrap();
    conn.element("message").await;
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    // What was not acknowledged comes again at once; so does what the server has kept, with no features before it.
    let mut conn = admit(&server, "<resumed xmlns='urn:xmpp:sm:3' previd='session' h='0'/>").await;
    conn.send("<message from='a@example.org' id='kept'/>").await;
    assert!(conn.all.contains("<resume xmlns='urn:xmpp:sm:3'"), "{}", conn.all);
    assert!(conn.element("message").await.contains("again"));
    assert_eq!(conn.all.matches("<stream:stream").count(), 2, "{}", conn.all);
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "resumed");
    assert!(event(&mut stream).await.contains("kept"));
}

#[tokio::test]
async fn a_session_that_is_not_resumed_along_with_the_login_is_followed_by_another() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = admit(&server, "").await;
    go_on(&mut conn).await;
    drop(conn);
    while event(&mut stream).await != "suspended" {}
    let mut conn = admit(&server, "<failed xmlns='urn:xmpp:sm:3' h='0'/>").await;
    go_on(&mut conn).await;
    assert_eq!(conn.all.matches("<resume ").count(), 1, "{}", conn.all);
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
}

/// A login that wants a resource bound along with it, up to the server's proof.
async fn binding_along(server: &Server) -> (Stream, Conn, String) {
    let settings = Settings { bind2: true, ..server.settings() };
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let stream = Stream::connect(settings, password);
    let mut conn = begin(server, INLINE).await;
    let proof = conn.challenge(ScramMechanism::Sha256, "secret", 4096).await.unwrap();
    (stream, conn, proof)
}

#[tokio::test]
async fn a_resource_is_bound_along_with_the_login_where_that_is_wanted() {
    let server = Server::new().await;
    let (mut stream, mut conn, proof) = binding_along(&server).await;
    let asked = conn.all.rsplit("<authenticate").next().unwrap().to_owned();
    assert!(asked.contains("urn:xmpp:bind:0") && asked.contains("<enable "), "{asked}");
    let bound =
        "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/></bound>";
    let success = conn.sasl("success", &proof).replace("me@example.org<", "me@example.org/prosed.1<");
    let success = success.replace("</success>", &format!("{bound}</success>"));
    conn.send(&format!("{success}<stream:features/><message from='a@example.org' id='first'/>")).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/prosed.1");
    assert!(event(&mut stream).await.contains("first"));
    // It is managed from the start.
    conn.send("<r xmlns='urn:xmpp:sm:3'/>").await;
    assert!(conn.element("a").await.contains("h='1'"));
    let said = conn.all.split("<authenticate").last().unwrap();
    assert!(!said.contains("<iq"), "{said}");
}

/// A resource of another account is refused here, too.
#[tokio::test]
async fn somebody_elses_resource_is_never_ours() {
    let server = Server::new().await;
    let (mut stream, mut conn, proof) = binding_along(&server).await;
    let success = conn.sasl("success", &proof).replace("me@example.org<", "you@example.org/x<");
    let bound = "<bound xmlns='urn:xmpp:bind:0'/></success>";
    conn.send(&format!("{}<stream:features/>", success.replace("</success>", bound))).await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)));
}

/// A server that was asked for nothing, to resume, or to bind, and answers something else.
#[tokio::test]
async fn what_was_not_asked_for_along_with_a_login_is_no_session() {
    const BOUND: &str = "<bound xmlns='urn:xmpp:bind:0'/>";
    const RESUMED: &str = "<resumed xmlns='urn:xmpp:sm:3' previd='session' h='0'/>";
    for answer in [BOUND, RESUMED] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = admit(&server, answer).await;
        conn.try_send("<stream:features/>").await;
        assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)), "{answer}");
    }
    for answer in [BOUND.to_owned(), [RESUMED, BOUND].concat()] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        go_on(&mut admit(&server, "").await).await;
        while event(&mut stream).await != "suspended" {}
        let mut conn = admit(&server, &answer).await;
        conn.try_send("<stream:features/>").await;
        assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)), "{answer}");
    }
    for answer in ["", RESUMED] {
        let server = Server::new().await;
        let (mut stream, mut conn, proof) = binding_along(&server).await;
        conn.extras = answer.to_owned();
        conn.send(&conn.sasl("success", &proof)).await;
        conn.try_send(&format!("<stream:features>{BIND_AND_SM}</stream:features>")).await;
        assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)), "{answer}");
    }
}

/// RFC 6120's way is left to a server that could not bind a resource along with the login.
#[tokio::test]
async fn a_resource_that_could_not_be_bound_along_with_the_login_is_bound_after_it() {
    let server = Server::new().await;
    let (mut stream, mut conn, proof) = binding_along(&server).await;
    conn.extras = "<failed xmlns='urn:xmpp:bind:0'/>".to_owned();
    conn.send(&conn.sasl("success", &proof)).await;
    go_on(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
}

/// What SASL2 can do along with a login says nothing of a login by SASL.
#[tokio::test]
async fn a_login_by_sasl_asks_to_resume_behind_it() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let weaker = INLINE.replace("SCRAM-SHA-256", "SCRAM-SHA-1");
    let offer = format!("{}{weaker}", mechanisms(&["SCRAM-SHA-256"]));
    for expected in ["online me@example.org/here", "resumed"] {
        let mut conn = server.accept_secure().await;
        conn.open(&offer).await;
        conn.scram(ScramMechanism::Sha256, "secret").await;
        conn.open(BIND_AND_SM).await;
        if expected == "resumed" {
            conn.element("resume").await;
            conn.send("<resumed xmlns='urn:xmpp:sm:3' previd='session' h='0'/>").await;
        } else {
            conn.bind("me@example.org/here").await;
            conn.element("enable").await;
            conn.send("<enabled xmlns='urn:xmpp:sm:3' id='session' resume='true'/>").await;
        }
        assert!(event(&mut stream).await.starts_with("authenticated"));
        assert_eq!(event(&mut stream).await, expected);
        drop(conn);
        assert_eq!(event(&mut stream).await, "suspended");
    }
}
