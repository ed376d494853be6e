//! Resuming TLS sessions (RFC 8446 §2.2).

use super::server::{BIND, Conn};
use super::*;

/// Serves a login; then the connection is lost.
async fn logs_in_and_loses_it(stream: &mut Stream, mut conn: Conn) {
    conn.open(&super::server::mechanisms(&["SCRAM-SHA-256"])).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    conn.open(BIND).await;
    conn.bind("me@example.org/here").await;
    assert!(event(stream).await.starts_with("authenticated"));
    assert_eq!(event(stream).await, "online me@example.org/here");
    drop(conn);
    assert_eq!(event(stream).await, "suspended");
}

fn client(settings: &Settings) -> Stream {
    let password = crate::credentials::Password::from("secret".to_owned());
    Stream::connect(settings.clone(), Credentials::Password(password))
}

/// Two accounts with what they share: the server's name, and whom we trust.
#[tokio::test]
async fn an_account_resumes_its_own_tls_sessions_without_early_data() {
    let server = Server::new().await;
    let settings = server.settings();
    let mut stream = client(&settings);
    for attempt in 0..3 {
        let conn = server.accept_secure().await;
        assert_eq!(conn.resumed_tls, attempt > 0, "{attempt}");
        assert!(!conn.early_data);
        logs_in_and_loses_it(&mut stream, conn).await;
    }
    drop(stream);
    let mut other = client(&settings);
    let conn = server.accept_secure().await;
    assert!(!conn.resumed_tls, "with the ticket of another account");
    logs_in_and_loses_it(&mut other, conn).await;
    drop(other);
    // Nor does looking whether a server can be reached leave or use a ticket.
    for _ in 0..2 {
        let (conn, reached) = tokio::join!(server.accept_secure(), reach(&settings));
        reached.unwrap();
        assert!(!conn.resumed_tls);
    }
}

#[tokio::test]
async fn a_ticket_of_tls_1_2_is_not_used() {
    let versions = [&tokio_rustls::rustls::version::TLS12];
    let server = Server::speaking("example.org", &versions).await;
    let mut stream = client(&server.settings());
    for _ in 0..2 {
        let conn = server.accept_secure().await;
        assert!(!conn.resumed_tls);
        logs_in_and_loses_it(&mut stream, conn).await;
    }
}
