//! The Unix socket, and what is left of the doors when they are shut.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use prosed_tests::daemon::Setup;
use prosed_tests::{Daemon, Ui, http};
use serde_json::json;

const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"get_version"}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn the_socket_asks_for_no_token_and_leads_to_all_that_the_port_does() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let socket = daemon.socket().expect("endpoint.json names it");
    assert_eq!(socket, daemon.runtime_dir().join("prosed.sock"));
    assert_eq!(fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777, 0o600);

    let ui = Ui::connect_unix(&daemon).await.expect("let in");
    ui.subscribe(json!({})).await;
    assert_eq!(ui.call("get_version", json!({})).await.expect("an answer")["name"], "prosed");

    let origin = ("origin", "http://evil.example");
    for (headers, status) in
        [(&[JSON, origin][..], 200), (&[JSON, ("host", "evil.example")], 200), (&[], 415)]
    {
        let answer = http::request_unix(&daemon, "POST", "/rpc", headers, BODY).await.expect("an answer");
        assert_eq!(answer.status, status, "{headers:?}");
    }
    let health = http::request_unix(&daemon, "GET", "/healthz", &[], "").await.expect("an answer");
    assert_eq!(health.status, 200);
    // The port next to it has not become any softer.
    let refused = http::request(&daemon, "POST", "/rpc", &[JSON], BODY).await.expect("an answer");
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn without_a_port_the_socket_is_the_only_door() {
    let daemon = Daemon::start(Daemon::setup().no_listen()).await;
    assert!(daemon.endpoint().get("url").is_none(), "{}", daemon.endpoint());
    let ui = Ui::connect_unix(&daemon).await.expect("let in");
    ui.call("list_accounts", json!({})).await.expect("an answer");
}

#[tokio::test]
async fn a_port_that_is_full_leaves_the_socket_its_places() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let mut uis = Vec::new();
    let at_the_socket =
        async || http::request_unix(&daemon, "POST", "/rpc", &[JSON], BODY).await.expect("an answer").status;
    for _ in 0..32 {
        uis.push(Ui::connect(&daemon).await);
    }
    let token = http::bearer(&daemon);
    let headers = [JSON, ("authorization", token.as_str())];
    let full = http::request(&daemon, "POST", "/rpc", &headers, BODY).await.expect("an answer");
    assert_eq!((full.status.as_u16(), at_the_socket().await.as_u16()), (429, 200));
    for _ in 0..32 {
        uis.push(Ui::connect_unix(&daemon).await.expect("let in"));
    }
    assert_eq!(at_the_socket().await, 429);
    drop(uis);
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced_and_a_live_ones_is_not() {
    let mut daemon = Daemon::start(Daemon::setup()).await;
    daemon.kill();
    assert!(daemon.socket().expect("it had one").exists(), "SIGKILL leaves it behind");
    daemon.restart().await;
    let ui = Ui::connect_unix(&daemon).await.expect("let in");

    let socket = daemon.socket().expect("it has one");
    let mut second = Daemon::launch(Daemon::setup().arguments(&["--socket", &socket.display().to_string()]));
    assert_eq!(second.ended().await.code(), Some(4));
    assert!(second.log().contains("another program listens there"), "{}", second.log());
    ui.call("get_version", json!({})).await.expect("still served");
    Ui::connect_unix(&daemon).await.expect("still let in");
}

#[tokio::test]
async fn nothing_points_to_a_daemon_that_has_stopped() {
    let mut daemon = Daemon::start(Daemon::setup()).await;
    assert!(daemon.sigterm().await.success());
    let left = super::names(&daemon.runtime_dir());
    assert!(!left.iter().any(|name| name == "endpoint.json" || name == "prosed.sock"), "{left:?}");
}

/// Needs root, to be somebody else; the decision itself is tested in `daemon/src/rpc/guard.rs`.
#[tokio::test]
async fn another_user_is_turned_away_from_the_socket() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: another_user_is_turned_away_from_the_socket needs root");
        return;
    }
    let answers = knock_as_another(Daemon::setup()).await;
    assert_eq!(answers, ["", "ok\n"]);
    let answers = knock_as_another(Daemon::setup().without("same-user")).await;
    assert_eq!(answers, ["ok\n", "ok\n"]);
}

/// What another user gets at the socket, and what the same does.
async fn knock_as_another(setup: Setup) -> [String; 2] {
    // Where the files' modes would let everybody in.
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our own folder");
    let socket = folder.path().join("prosed.sock");
    let path = socket.display().to_string();
    let daemon = Daemon::start(setup.arguments(&["--socket", &path])).await;
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("our own socket");

    let answers = [&["--reuid", "65534"], &["--inh-caps", "-all"]].map(|who| fetch(&socket, who));
    let turned_away = daemon.log().contains("another user was turned away");
    assert_eq!(turned_away, answers[0].is_empty(), "{}", daemon.log());
    answers
}

/// What a program gets that runs with these options of setpriv.
fn fetch(socket: &Path, who: &[&str]) -> String {
    let output = Command::new("setpriv")
        .args(who)
        .args(["curl", "--silent", "--max-time", "10", "--unix-socket"])
        .arg(socket)
        .arg("http://localhost/healthz")
        .output()
        .expect("setpriv and curl are installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
