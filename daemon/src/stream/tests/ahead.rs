//! Logins that go out before the server has sent its features.

use super::sasl2::{TOKENS, go_on, resume, sasl2, with_token, with_token_for};
use super::server::{BIND_AND_SM, Conn, HEADER};
use super::*;

fn offer() -> String {
    sasl2(&["SCRAM-SHA-256"], &TOKENS)
}

/// A connection whose client logs in with this token before the server has said a word.
async fn ahead(server: &Server, token: &str) -> Conn {
    let mut conn = server.accept_secure().await;
    conn.sasl2 = true;
    assert!(conn.takes_token(token).await, "{}", conn.all);
    conn
}

/// A connection whose client waits for the features, and gets these.
async fn step_by_step(server: &Server, offer: &str) -> Conn {
    let mut conn = server.accept_secure().await;
    conn.sasl2 = true;
    conn.until("<stream:stream").await;
    conn.until(">").await;
    assert!(!conn.all.contains("<authenticate"), "{}", conn.all);
    conn.send(&features(offer)).await;
    conn
}

fn features(offer: &str) -> String {
    format!("{HEADER}<stream:features>{offer}</stream:features>")
}

/// The login by SCRAM that follows one that went out ahead, with nothing told in between.
async fn comes_at_once_by_scram(server: &Server, stream: &mut Stream, offer: &str) {
    let mut conn = step_by_step(server, offer).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    assert!(!conn.all.contains("<fast"), "{}", conn.all);
    resume(&mut conn).await;
    assert_eq!(event(stream).await, "authenticated, keys: false");
    assert_eq!(event(stream).await, "resumed");
}

const REFUSED: &str = "<failure xmlns='urn:xmpp:sasl:2'>\
    <credentials-expired xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>";

#[tokio::test]
async fn a_server_that_is_known_gets_header_and_login_in_one_write() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    // Once more with the token that the server gave then, and with its features in another order.
    for (token, next) in [("open sesame", "another"), ("another", "third")] {
        let mut conn = ahead(&server, token).await;
        conn.extras =
            format!("<token xmlns='urn:xmpp:fast:0' token='{next}' expiry='2099-01-01T00:00:00Z'/>");
        conn.send(&features(&sasl2(&["SCRAM-SHA-256"], &[TOKENS[1], TOKENS[0]]))).await;
        conn.send_token_proof(token).await;
        resume(&mut conn).await;
        assert_eq!(event(&mut stream).await, "authenticated, keys: false");
        assert_eq!(event(&mut stream).await, "resumed");
        assert!(!conn.all.contains("SCRAM") && conn.all.contains("<fast"), "{}", conn.all);
        drop(conn);
        assert_eq!(event(&mut stream).await, "suspended");
    }
}

/// Whatever the server says to it: the proof is right, and the session there.
#[tokio::test]
async fn over_other_features_than_those_known_no_login_counts() {
    let mut others = vec![
        sasl2(&["SCRAM-SHA-1"], &TOKENS),
        sasl2(&["SCRAM-SHA-256"], &[]),
        sasl2(&["SCRAM-SHA-256"], &TOKENS[..1]),
        sasl2(&["SCRAM-SHA-256", "PLAIN"], &TOKENS),
        String::new(),
    ];
    others.push(offer() + "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes></limits>");
    others.push(offer().replace("<inline>", "<inline><sm xmlns='urn:xmpp:sm:3'/>"));
    let known = offer();
    for other in others {
        let server = Server::new().await;
        let mut stream = with_token(&server).await;
        let mut conn = ahead(&server, "open sesame").await;
        conn.extras = "<resumed xmlns='urn:xmpp:sm:3' previd='session' h='0'/>".to_owned();
        let success = conn.token_success("open sesame");
        conn.try_send(&format!("{}{success}", features(&other))).await;
        let (said, ()) = tokio::join!(conn.rest(), comes_at_once_by_scram(&server, &mut stream, &known));
        assert!(!said.contains("<iq") && !said.contains("<resume"), "{said}");
    }
}

/// The login that follows is held to the pins.
#[tokio::test]
async fn less_than_was_pinned_is_refused_in_the_login_that_follows() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    let less = sasl2(&["SCRAM-SHA-1"], &TOKENS);
    let mut conn = ahead(&server, "open sesame").await;
    let success = conn.token_success("open sesame");
    conn.try_send(&format!("{}{success}", features(&less))).await;
    let mut conn = step_by_step(&server, &less).await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::Downgrade { .. }, true)));
    assert!(!conn.rest().await.contains("<authenticate"));
}

#[tokio::test]
async fn a_login_ahead_that_is_refused_is_followed_by_scram_once() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    let mut conn = ahead(&server, "open sesame").await;
    conn.send(&(features(&offer()) + REFUSED)).await;
    assert!(conn.initial().await.contains("n=me,r="), "{}", conn.all);
    conn.send(&REFUSED.replace("credentials-expired", "not-authorized")).await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::NotAuthorized { .. }, false)));
    ended(stream, &server).await;
}

/// A server may end the stream over what it did not expect, with or without a word.
#[tokio::test]
async fn a_server_that_can_not_bear_it_gets_the_next_login_at_once_and_step_by_step() {
    let error =
        "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    for answer in [
        String::new(),
        HEADER.to_owned(),
        format!("{HEADER}{error}"),
        features(&offer()),
        features(&offer()) + error,
    ] {
        let server = Server::new().await;
        let mut stream = with_token(&server).await;
        let mut conn = ahead(&server, "open sesame").await;
        conn.send(&answer).await;
        drop(conn);
        comes_at_once_by_scram(&server, &mut stream, &offer()).await;
    }
}

/// The one that comes at once is the last to do so.
#[tokio::test]
async fn a_server_that_ends_each_stream_is_reported_after_two() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    drop(ahead(&server, "open sesame").await);
    drop(server.accept_secure().await);
    assert!(matches!(failure(&mut stream).await, (ConnectError::Unreachable { .. }, true)));
}

/// Each costs a connection.
#[tokio::test]
async fn after_two_in_vain_a_stream_sends_none_ahead() {
    let server = Server::new().await;
    let mut stream = with_token(&server).await;
    for _ in 0..2 {
        drop(ahead(&server, "open sesame").await);
        let mut conn = step_by_step(&server, &offer()).await;
        conn.extras =
            "<token xmlns='urn:xmpp:fast:0' token='open sesame' expiry='2099-01-01T00:00:00Z'/>".to_owned();
        conn.scram(ScramMechanism::Sha256, "secret").await;
        resume(&mut conn).await;
        assert_eq!(event(&mut stream).await, "authenticated, keys: false");
        assert_eq!(event(&mut stream).await, "resumed");
        drop(conn);
        assert_eq!(event(&mut stream).await, "suspended");
    }
    let mut conn = step_by_step(&server, &offer()).await;
    assert!(conn.takes_token("open sesame").await, "{}", conn.all);
}

/// What a server says to it is no reason for haste: it would say so again.
#[tokio::test]
async fn a_server_that_answers_is_not_asked_again_at_once() {
    for wrong in [true, false] {
        let server = Server::new().await;
        let mut stream = with_token(&server).await;
        let mut conn = ahead(&server, "open sesame").await;
        let failure_now = REFUSED.replace("credentials-expired", "temporary-auth-failure");
        let answer = if wrong { conn.token_success("guessed") } else { failure_now };
        conn.send(&(features(&offer()) + &answer)).await;
        let (error, again) = failure(&mut stream).await;
        let expected = match wrong {
            true => matches!(error, ConnectError::Protocol { .. }),
            false => matches!(error, ConnectError::Unreachable { .. }),
        };
        assert!(expected && again, "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_sends_us_elsewhere_over_it_is_followed() {
    let server = Server::new().await;
    let other = server.twin().await;
    let mut stream = with_token(&server).await;
    let mut conn = ahead(&server, "open sesame").await;
    let place = format!("127.0.0.1:{}", other.settings().port.unwrap());
    conn.send(&format!(
        "{HEADER}<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{place}</see-other-host></stream:error>"
    ))
    .await;
    comes_at_once_by_scram(&other, &mut stream, &offer()).await;
}

/// Its message is the same on each connection: anybody who intercepts it could log in with it.
#[tokio::test]
async fn a_token_that_is_not_bound_to_the_connection_waits_for_the_features() {
    let server = Server::new().await;
    let offer = sasl2(&["SCRAM-SHA-256"], &TOKENS[..1]);
    let mut stream = with_token_for(&server, &offer).await;
    let mut conn = step_by_step(&server, &offer).await;
    conn.element("authenticate").await;
    assert!(conn.all.contains("HT-SHA-256-NONE") && conn.all.contains("<fast"), "{}", conn.all);
    conn.send(REFUSED).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    resume(&mut conn).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "resumed");
}

/// Nothing but a token: neither a password nor the first message of SCRAM.
#[tokio::test]
async fn without_a_token_nothing_goes_out_ahead() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    for keys in [true, false] {
        let mut conn = step_by_step(&server, &sasl2(&["SCRAM-SHA-256"], &[])).await;
        conn.scram(ScramMechanism::Sha256, "secret").await;
        match keys {
            true => go_on(&mut conn).await,
            false => conn.send(&format!("<stream:features>{BIND_AND_SM}</stream:features>")).await,
        }
        assert_eq!(event(&mut stream).await, format!("authenticated, keys: {keys}"));
        if keys {
            assert_eq!(event(&mut stream).await, "online me@example.org/here");
            drop(conn);
            assert_eq!(event(&mut stream).await, "suspended");
        }
    }
}
