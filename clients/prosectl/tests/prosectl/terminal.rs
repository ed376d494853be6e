//! prosectl on a terminal, with `script` of bsdutils.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::daemon::{Daemon, lines};

/// Runs prosectl on a terminal that the shell has `prepared`, and types `typed` once it asks.
async fn on_a_terminal(dir: &Path, prepared: &str, arguments: &str, typed: &str) -> (Option<i32>, String) {
    let tty = dir.join("tty");
    let tty = tty.to_str().unwrap();
    let command = format!("tty >{tty}; {prepared} {} {arguments}", env!("CARGO_BIN_EXE_prosectl"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("PROSED_RUNTIME_DIR", dir)
        .env("TERM", "xterm")
        // Each of these has a say in colour, and `CI` more than a dumb terminal has.
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("CI")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("needs `script`, of bsdutils or util-linux");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    while stdout.read_buf(&mut shown).await.unwrap() > 0 {
        if shown.ends_with(b"Password for me@example.org: ") {
            // Whoever types faster than a program can go on is not the one who is looked after.
            while !stty(tty).await.contains(" -echo ") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stdin.write_all(typed.as_bytes()).await.unwrap();
        }
    }
    (child.wait().await.unwrap().code(), String::from_utf8(shown).unwrap())
}

/// The state of the terminal whose name is in this file.
async fn stty(tty: &str) -> String {
    let output = Command::new("sh").args(["-c", "stty -a -F $(cat $0)", tty]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn it_asks_without_an_echo() {
    let daemon = Daemon::start().await;
    let login = |typed| on_a_terminal(daemon.dir.path(), "TERM=dumb", "login me@example.org", typed);
    let (code, shown) = login("correct horse\n").await;
    assert!(shown.contains("me@example.org is online as me@example.org/"), "{shown}");
    assert!(!shown.contains("correct horse"), "{shown}");
    assert_eq!(code, Some(0));

    let (code, shown) = login("wrong\n").await;
    assert!(shown.contains("prosectl: The server refused the credentials"), "{shown}");
    assert!(shown.contains(r"(go\u{9b}away)"), "{shown}");
    assert_eq!(code, Some(11));
}

#[tokio::test]
async fn it_speaks_to_people_in_colour_unless_they_want_none() {
    let daemon = Daemon::start().await;
    let roster = |prepared| on_a_terminal(daemon.dir.path(), prepared, "roster", "");
    let (_, shown) = roster("").await;
    assert!(shown.contains("\u{1b}[33maway\u{1b}[0m"), "{shown:?}");
    for plain in ["NO_COLOR=1", "TERM=dumb"] {
        let (_, shown) = roster(plain).await;
        assert!(shown.starts_with("JID                NAME   AVAILABILITY"), "{plain}: {shown:?}");
        assert!(!shown.contains('\u{1b}'), "{plain}: {shown:?}");
    }
    let (_, shown) = on_a_terminal(daemon.dir.path(), "", "roster --json", "").await;
    assert_eq!(lines(shown.as_bytes())[0]["jid"], "romeo@example.net");
}

#[tokio::test]
async fn it_tells_people_what_happens_and_where_to_look() {
    let daemon = Daemon::start().await;
    let (_, shown) = on_a_terminal(daemon.dir.path(), "", "reconnect", "").await;
    assert!(shown.contains("Online; checking the connection."), "{shown}");
    let (_, shown) = on_a_terminal(daemon.dir.path(), "TERM=dumb", "avatar romeo@example.net", "").await;
    assert!(shown.contains("http://127.0.0.1:") && shown.contains("/avatars/"), "{shown}");
    assert!(shown.contains("--output FILE"), "{shown}");
}

#[tokio::test]
async fn a_table_is_no_wider_than_the_terminal() {
    let daemon = Daemon::start().await;
    for columns in [100, 70] {
        let prepared = format!("stty cols {columns}; TERM=dumb");
        let (_, shown) = on_a_terminal(daemon.dir.path(), &prepared, "roster", "").await;
        let widest = shown.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= columns && shown.contains("both"), "{widest} of {columns}:\n{shown}");
        assert_eq!(shown.contains("Under the balcony"), columns == 100, "{shown}");
    }
}
