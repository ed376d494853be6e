//! The program itself, in a pipe, against a daemon that says what the test wants.
#![allow(missing_docs, clippy::unwrap_used)]

mod daemon;
mod doctor;
#[path = "../../../../protocol/tests/front/mod.rs"]
mod front;
mod methods;
mod open;
mod pages;
mod programs;
mod terminal;

use prosed_protocol::api::{self, Method};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use daemon::{Daemon, command, event, lines};

#[tokio::test]
async fn without_a_daemon_it_says_how_to_start_it() {
    let dir = TempDir::new().unwrap();
    let message = async || {
        let output =
            command(dir.path(), &["roster"]).env("XDG_RUNTIME_DIR", dir.path()).output().await.unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(69), &b""[..]));
        lines(&output.stderr)[0]["message"].as_str().unwrap().to_owned()
    };
    let by_hand = message().await;
    assert!(
        by_hand.starts_with("prosed is not running") && by_hand.contains("running `prosed`"),
        "{by_hand}"
    );
    assert!(!by_hand.contains("systemctl"), "{by_hand}");
    // Where the user's systemd listens.
    std::fs::create_dir(dir.path().join("systemd")).unwrap();
    std::fs::write(dir.path().join("systemd/private"), "").unwrap();
    assert!(message().await.contains("`systemctl --user start prosed`"));
}

#[tokio::test]
async fn a_single_word_is_refused_before_it_is_sent() {
    let daemon = Daemon::start().await;
    for arguments in
        [&["add", "me"][..], &["login", "me"], &["rename", "me", "Me"], &["roster", "--account", "me"]]
    {
        let output = daemon.prosectl(arguments, "").await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("write me@example.org"), "{said}");
    }
    assert_eq!(daemon.asked(), []);
    assert!(daemon.prosectl(&["add", "irc.example.org"], "").await.status.success());
    assert_eq!(daemon.asked()[0].1["jid"], "irc.example.org");
}

#[tokio::test]
async fn a_stale_endpoint_is_no_daemon() {
    let daemon = Daemon::start().await;
    daemon.server.stop().unwrap();
    daemon.server.clone().stopped().await;
    let output = daemon.prosectl(&["roster"], "").await;
    assert_eq!(output.status.code(), Some(69));
}

#[tokio::test]
async fn a_password_comes_by_standard_input_or_command() {
    let daemon = Daemon::start().await;
    let login = ["login", "me@example.org"];
    let expected = api::Login::example().unwrap().1;

    let output = daemon.prosectl(&[&login[..], &["--password-stdin"]].concat(), "correct horse\nno\n").await;
    assert_eq!((output.status.code(), lines(&output.stdout)), (Some(0), vec![expected.clone()]));

    let command = ["--password-command", "cat"];
    let output = daemon.prosectl(&[&login[..], &command].concat(), "correct horse\n").await;
    assert_eq!((output.status.code(), lines(&output.stdout)), (Some(0), vec![expected]));

    let output = daemon.prosectl(&[&login[..], &["--password-command", "exit 3"]].concat(), "").await;
    assert_eq!(output.status.code(), Some(66));
}

#[tokio::test]
async fn an_error_is_an_exit_code_and_a_line() {
    let daemon = Daemon::start().await;
    let output = daemon.prosectl(&["login", "me@example.org", "--password-stdin"], "wrong\n").await;
    assert_eq!(output.status.code(), Some(11));
    let error = &lines(&output.stderr)[0];
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(1001), &json!("notAuthorized")));
    assert!(!String::from_utf8(output.stderr).unwrap().contains('\u{9b}'));

    // There is no terminal to ask on.
    let output = daemon.prosectl(&["login", "me@example.org"], "").await;
    assert_eq!(output.status.code(), Some(12));
}

#[tokio::test]
async fn a_roster_is_a_line_a_contact() {
    let daemon = Daemon::start().await;
    let output = daemon.prosectl(&["roster"], "").await;
    assert_eq!(json!(lines(&output.stdout)), api::LoadRoster::example().unwrap().1["contacts"]);
}

#[tokio::test]
async fn any_method_can_be_called() {
    let daemon = Daemon::start().await;
    let params = json!({"availability": "dnd", "status": "busy"});
    let text = params.to_string();
    for (argument, input) in [(text.as_str(), ""), ("-", text.as_str())] {
        let output = daemon.prosectl(&["call", "set_presence", argument], input).await;
        assert_eq!(lines(&output.stdout), [json!({})]);
        assert_eq!(daemon.asked(), [("set_presence".to_owned(), params.clone())]);
    }
    let output = daemon.prosectl(&["call", "set_presence"], "").await;
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("missing field `availability`"));
    daemon.asked();
    for method in ["subscribe", "unsubscribe"] {
        let output = daemon.prosectl(&["call", method], "").await;
        assert_eq!((output.status.code(), daemon.asked().len()), (Some(64), 0), "{method}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("events --follow"));
    }
    let output = daemon.prosectl(&["call", "no_such_method"], "").await;
    assert_eq!(output.status.code(), Some(64));
    let output = daemon.prosectl(&["call", "set_presence", "{"], "").await;
    assert_eq!(output.status.code(), Some(66));
}

#[tokio::test]
async fn events_are_followed_for_as_long_as_they_are_read() {
    let daemon = Daemon::start().await;
    let arguments = ["events", "--follow", "--since", "0", "--event", "rosterLoaded"];
    let mut child = command(daemon.dir.path(), &arguments).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for seq in [1, 2] {
        let line = output.next_line().await.unwrap().unwrap();
        assert_eq!(lines(line.as_bytes()), [event(seq)]);
    }
    assert!(child.try_wait().unwrap().is_none());
    let output = daemon.prosectl(&["events", "--follow", "--since", "7"], "").await;
    assert_eq!(output.status.code(), Some(51), "there is no such seq");
}

#[tokio::test]
async fn past_events_come_page_by_page() {
    let daemon = Daemon::start().await;
    let output = daemon.prosectl(&["events", "--since", "0"], "").await;
    assert_eq!((output.status.code(), lines(&output.stdout)), (Some(0), vec![event(1), event(2)]));
}
