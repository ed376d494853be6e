//! Every method of the API has a command of its own.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prosed_protocol::api;
use serde_json::{Value, json};

use crate::daemon::{Daemon, lines, prosectl};

/// Methods with their parameters.
type Calls = Vec<(&'static str, Value)>;

/// Command lines with what they make of them.
fn commands() -> Vec<(&'static [&'static str], Calls)> {
    let juliet = || json!({"jid": "juliet@example.net"});
    let one = |method: &'static str, params: Value| vec![(method, params)];
    vec![
        (
            &["login", "me@example.org", "--password-stdin", "--resource", "r", "--host", "h", "--port", "1"],
            one(
                "login",
                json!({"jid": "me@example.org", "password": "correct horse", "resource": "r",
                                "remember": true, "host": "h", "port": 1}),
            ),
        ),
        (&["logout", "--forget"], one("logout", json!({"forget": true}))),
        (&["state"], one("load_state", json!({"limit": 1000}))),
        (&["reconnect"], one("reconnect", json!({}))),
        (&["accounts"], one("list_accounts", json!({}))),
        (
            &["account", "--account", "me@example.org"],
            one("get_account", json!({"account": "me@example.org"})),
        ),
        (
            &["presence", "dnd", "In a rehearsal", "--priority", "-3"],
            one("set_presence", json!({"availability": "dnd", "status": "In a rehearsal", "priority": -3})),
        ),
        (&["roster"], one("load_roster", json!({"limit": 1000}))),
        (&["contact", "juliet@example.net"], one("get_contact", juliet())),
        (
            &["show", "juliet@example.net", "romeo@example.net"],
            one("show_contacts", json!({"jids": ["juliet@example.net", "romeo@example.net"]})),
        ),
        (
            &["add", "juliet@example.net", "--name", "Juliet", "--group", "A", "--group", "B"],
            one(
                "add_contact",
                json!({"jid": "juliet@example.net", "name": "Juliet", "groups": ["A", "B"],
                                      "subscribe": true}),
            ),
        ),
        (
            &["add", "juliet@example.net", "--no-subscribe"],
            one("add_contact", json!({"jid": "juliet@example.net", "subscribe": false})),
        ),
        (
            &["update", "juliet@example.net", "--name", "J", "--group", "A"],
            one("update_contact", json!({"jid": "juliet@example.net", "name": "J", "groups": ["A"]})),
        ),
        (
            &["update", "juliet@example.net", "--no-groups"],
            one("update_contact", json!({"jid": "juliet@example.net", "groups": []})),
        ),
        (
            &["rename", "juliet@example.net", "J"],
            one("update_contact", json!({"jid": "juliet@example.net", "name": "J"})),
        ),
        (
            &["groups", "juliet@example.net", "A", "B"],
            one("update_contact", json!({"jid": "juliet@example.net", "groups": ["A", "B"]})),
        ),
        (&["rename-group", "A", "B"], one("rename_group", json!({"group": "A", "name": "B"}))),
        (&["remove", "juliet@example.net"], one("remove_contact", juliet())),
        (&["requests"], one("list_subscription_requests", json!({}))),
        (&["approve", "juliet@example.net"], one("approve_subscription", juliet())),
        (&["deny", "juliet@example.net"], one("deny_subscription", juliet())),
        (&["request", "juliet@example.net"], one("request_subscription", juliet())),
        (
            &["request", "juliet@example.net", "We met"],
            one("request_subscription", json!({"jid": "juliet@example.net", "message": "We met"})),
        ),
        (&["cancel", "juliet@example.net"], one("cancel_subscription", juliet())),
        (&["avatar", "juliet@example.net"], one("load_avatar", juliet())),
        (&["avatar"], vec![("get_account", json!({})), ("load_avatar", json!({"jid": "me@example.org"}))]),
        (
            &["profile", "juliet@example.net", "--refresh"],
            one("load_profile", json!({"jid": "juliet@example.net", "refresh": true})),
        ),
        (
            &["profile", "--account", "me@example.org"],
            one(
                "load_profile",
                json!({"account": "me@example.org", "jid": "me@example.org", "refresh": false}),
            ),
        ),
        (&["set-avatar", "-"], one("set_avatar", json!({"data": STANDARD.encode("correct horse\n")}))),
        (&["set-avatar", "--remove"], one("set_avatar", json!({"data": ""}))),
        (
            &["set-profile", r#"{"nickname":"Mo"}"#],
            one("set_profile", json!({"profile": {"nickname": "Mo"}})),
        ),
        (&["events", "--since", "2"], one("get_events", json!({"since": 2}))),
        (&["version"], one("get_version", json!({}))),
        (&["discover"], one("rpc.discover", json!({}))),
        (&["call", "get_contact", r#"{"jid":"juliet@example.net"}"#], one("get_contact", juliet())),
    ]
}

#[tokio::test]
async fn every_method_has_a_command() {
    let daemon = Daemon::start().await;
    let mut reached = BTreeSet::new();
    for (command, calls) in commands() {
        let output = daemon.prosectl(command, "correct horse\n").await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {errors}");
        let expected: Vec<_> =
            calls.iter().map(|(name, params)| ((*name).to_owned(), params.clone())).collect();
        assert_eq!(daemon.asked(), expected, "{command:?}");
        if command[0] != "call" {
            reached.extend(calls.iter().map(|(name, _)| *name));
        }
    }
    // One stream carries them all, and it ends with the command.
    for subscription in api::SUBSCRIPTIONS {
        let names: Vec<_> = subscription.event.iter().flat_map(|event| ["--event", event.as_str()]).collect();
        let command = [&["events", "--follow", "--since", "0", "--json"], names.as_slice()].concat();
        let mut child = crate::daemon::command(daemon.dir.path(), &command).spawn().unwrap();
        let mut asked = Vec::new();
        while asked.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            assert!(child.try_wait().unwrap().is_none(), "{command:?} ended");
            asked = daemon.asked();
        }
        let events = subscription.event.map(|event| vec![event.as_str()]);
        let expected = events.map_or(json!({"since": 0}), |events| json!({"since": 0, "events": events}));
        assert_eq!(asked, [("subscribe".to_owned(), expected)], "{command:?}");
        reached.extend([subscription.subscribe, subscription.unsubscribe]);
    }
    // It concerns a connection, and a command's ends with it.
    reached.insert("set_activity");
    let all: BTreeSet<_> = api::methods().map(|method| method.name).collect();
    assert_eq!(reached, all);
}

#[tokio::test]
async fn an_account_can_be_named_where_it_logs_out() {
    let daemon = Daemon::start().await;
    daemon.prosectl(&["logout", "me@example.org", "--forget"], "").await;
    let expected = json!({"account": "me@example.org", "forget": true});
    assert_eq!(daemon.asked(), [("logout".to_owned(), expected)]);
}

#[tokio::test]
async fn it_says_where_the_daemon_is_and_what_it_is_itself() {
    let daemon = Daemon::start().await;
    let dir = daemon.dir.path();
    let said = async |arguments: &[&str]| {
        let output = daemon.prosectl(arguments, "").await;
        (output.status.code(), String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let file = std::fs::read_to_string(dir.join("endpoint.json")).unwrap();
    let endpoint: Value = serde_json::from_str(&file).unwrap();
    let (_, printed) = said(&["endpoint"]).await;
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), endpoint);
    for (part, expected) in [
        ("file", dir.join("endpoint.json").display().to_string()),
        ("socket", dir.join("socket").display().to_string()),
        ("url", endpoint["url"].as_str().unwrap().to_owned()),
        ("token-file", dir.join("token").display().to_string()),
    ] {
        assert_eq!(said(&["endpoint", part]).await, (Some(0), expected));
    }
    let (_, versions) = said(&["version"]).await;
    let versions: Value = serde_json::from_str(&versions).unwrap();
    assert_eq!(versions["prosectl"], env!("CARGO_PKG_VERSION"));
    assert!(versions["prosed"]["version"].is_string(), "{versions}");

    std::fs::remove_file(dir.join("endpoint.json")).unwrap();
    let path = dir.join("endpoint.json").display().to_string();
    assert_eq!(said(&["endpoint", "file"]).await, (Some(0), path), "also without a daemon");
    assert_eq!(said(&["endpoint", "socket"]).await.0, Some(69));
    let held = dir.join("prosed.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&held).unwrap();
    assert_eq!(said(&["endpoint", "socket"]).await, (Some(0), held.display().to_string()), "systemd's");
    std::fs::remove_file(&held).unwrap();
    let expected = json!({"prosectl": env!("CARGO_PKG_VERSION"), "prosed": null}).to_string();
    assert_eq!(said(&["version"]).await, (Some(0), expected));
}

#[tokio::test]
async fn a_picture_is_saved() {
    let daemon = Daemon::start().await;
    let picture = (api::CALLS.iter().find(|info| info.name == "load_avatar").unwrap().example)().unwrap().1;
    let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    let output = daemon.prosectl(&["avatar", "romeo@example.net", "--output", "-"], "").await;
    assert_eq!(output.stdout, bytes);
    let file = daemon.dir.path().join("romeo.png");
    let name = file.to_str().unwrap();
    let output = daemon.prosectl(&["avatar", "romeo@example.net", "-o", name], "").await;
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert_eq!(lines(&output.stdout)[0].get("data"), None, "it is in the file");
    let output = daemon.prosectl(&["avatar", "romeo@example.net", "-o", "/nowhere/x.png"], "").await;
    assert_eq!(output.status.code(), Some(73));

    daemon.asked();
    let output = daemon.prosectl(&["set-avatar", name], "").await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(daemon.asked(), [("set_avatar".to_owned(), json!({"data": STANDARD.encode(&bytes)}))]);
    let output = daemon.prosectl(&["set-avatar", "/nowhere/x.png"], "").await;
    assert_eq!(output.status.code(), Some(66));
    // To prosed, nothing would mean to take the picture away.
    for (wrong, why) in [(Vec::new(), "empty"), (vec![0; 1_500_001], "too large")] {
        let output = prosectl(daemon.dir.path(), &["set-avatar", "-"], &wrong).await;
        assert_eq!(output.status.code(), Some(34), "{why}");
        assert_eq!(daemon.asked(), []);
    }
}

#[tokio::test]
async fn a_profile_is_changed_in_part() {
    let daemon = Daemon::start().await;
    let output = daemon.prosectl(&["set-profile", "--nickname", "Mo"], "").await;
    assert_eq!(output.status.code(), Some(0));
    let patch = json!({"profile": {"nickname": "Mo"}});
    assert_eq!(daemon.asked(), [("set_profile".to_owned(), patch)], "the rest is the daemon's");
    let output = daemon.prosectl(&["set-profile", "-"], "{").await;
    assert_eq!(output.status.code(), Some(66));
}
