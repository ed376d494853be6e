//! SIGTERM, at any moment: the end comes within five seconds, and nothing keeps the next start from
//! going well.

use std::time::{Duration, Instant};

use prosed_tests::hostile::Hostile;
use prosed_tests::{Daemon, PATIENCE, Ui};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{BlackHole, STOP_WITHIN, names, time_to_stop};

#[tokio::test]
async fn while_connecting() {
    let hole = BlackHole::open().await;
    let mut daemon = Daemon::start(Daemon::setup()).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.send_call("login", hole.login("me")).await;
    let _held = hole.swallow(1).await;
    let took = time_to_stop(&mut daemon).await;
    assert!(took < STOP_WITHIN, "{took:?}");
    assert_eq!(ui.answer(&login).await.expect_err("no login").kind(), "offline");
}

#[tokio::test]
async fn with_many_accounts_that_connect() {
    const ACCOUNTS: usize = 60;
    let hole = BlackHole::open().await;
    let mut daemon = Daemon::start(Daemon::setup()).await;
    let ui = Ui::connect(&daemon).await;
    for n in 0..ACCOUNTS {
        ui.send_call("login", hole.login(&format!("u{n}"))).await;
    }
    let _held = hole.swallow(ACCOUNTS).await;
    let took = time_to_stop(&mut daemon).await;
    assert!(took < STOP_WITHIN, "{took:?}");
}

/// Online at a server that hears and says nothing any more.
async fn fallen_silent() -> (Daemon, prosed_tests::hostile::Peer) {
    let hostile = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&hostile.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.send_call("login", hostile.login_starttls("me", "secret")).await;
    let peer = hostile.accept_session("me", "secret").await;
    ui.answer(&login).await.expect("logged in");
    (daemon, peer)
}

#[tokio::test]
async fn with_a_server_that_has_fallen_silent() {
    let (mut daemon, mut server) = fallen_silent().await;
    let took = time_to_stop(&mut daemon).await;
    assert!(took < STOP_WITHIN, "{took:?}");
    let farewell = async {
        while let Some(said) = server.next().await.expect("the stream is well-formed") {
            if said.name() == "presence" && said.attr("type") == Some("unavailable") {
                return;
            }
        }
        panic!("the stream has ended without a farewell");
    };
    timeout(PATIENCE, farewell).await.expect("it was sent before the end");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (mut daemon, _server) = fallen_silent().await;
    daemon.signal(Signal::TERM);
    sleep(Duration::from_millis(500)).await;
    assert!(daemon.is_running(), "a silent server is waited for");
    let again = Instant::now();
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());
    assert!(again.elapsed() < Duration::from_secs(1), "{:?}", again.elapsed());
    assert!(!daemon.runtime_dir().join("endpoint.json").exists());
}

#[tokio::test]
async fn during_the_start() {
    // For a cache that has to be opened and not made.
    let mut daemon = Daemon::start(Daemon::setup()).await;
    daemon.sigterm().await;
    // A millisecond apart and some tenths: somewhere there the cache is being opened.
    for milliseconds in (0..60).chain((60..300).step_by(20)) {
        daemon.relaunch();
        sleep(Duration::from_millis(milliseconds)).await;
        let asked = Instant::now();
        daemon.signal(Signal::TERM);
        daemon.ended().await;
        assert!(asked.elapsed() < STOP_WITHIN, "after {milliseconds} ms: {:?}", asked.elapsed());
    }
    daemon.relaunch();
    daemon.kill();
    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    ui.call("list_accounts", json!({})).await.expect("an answer");
    let cache = names(&daemon.cache_dir());
    assert!(!cache.iter().any(|name| name.contains("damaged")), "{cache:?}");
}
