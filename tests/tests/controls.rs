//! Negative controls: each guard, taken out of the real daemon, lets in or loses what it is there
//! to keep out or to keep. A test that passes with its guard out would prove nothing.

use prosed_tests::http::{bearer, request};
use prosed_tests::{Daemon, controls};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"list_accounts"}"#;

/// A request that only this guard turns away, and with which status.
async fn knock(daemon: &Daemon, guard: &str) -> u16 {
    let (address, token) = (daemon.address(), bearer(daemon));
    let mut headers =
        vec![("host", address.as_str()), ("authorization", &token), ("content-type", "application/json")];
    match guard {
        "host" => headers[0].1 = "evil.example",
        "origin" => headers.push(("origin", "http://evil.example")),
        "token" => headers[1].1 = "Bearer guess",
        "content-type" => headers[2].1 = "text/plain",
        other => panic!("no request for the guard {other}"),
    }
    request(daemon, "POST", "/rpc", &headers, CALL).await.expect("an answer").status.as_u16()
}

#[tokio::test]
async fn without_its_guard_each_request_gets_in() {
    let guarded = Daemon::start(Daemon::setup()).await;
    for (guard, status) in [("host", 421), ("origin", 403), ("token", 401), ("content-type", 415)] {
        assert_eq!(knock(&guarded, guard).await, status, "{guard}");
        let unguarded = Daemon::start(Daemon::setup().without(guard)).await;
        assert_eq!(knock(&unguarded, guard).await, 200, "without {guard}");
    }
}

#[tokio::test]
async fn a_guard_that_does_not_exist_is_not_taken_out() {
    assert!(controls::guards().contains(&"host"));
    std::panic::catch_unwind(|| Daemon::setup().without("ghost")).expect_err("there is none");
}
