//! `prosectl open`, with a browser that tells what it was given.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use crate::daemon::{Daemon, TOKEN, command};
use crate::programs::Programs;

/// An `xdg-open` that notes its arguments and what stands in the page, and ends with this status.
fn browser(status: u8) -> Programs {
    let programs = Programs::new();
    let at = programs.folder().display();
    let script = format!(
        "cp \"$1\" {at}/page\nstat -c %a \"$1\" >{at}/mode\nprintf '%s\\n' \"$@\" >{at}/aside\n\
         mv {at}/aside {at}/arguments\nexit {status}"
    );
    programs.put("xdg-open", &script);
    programs
}

/// What the browser noted.
fn note(browser: &Programs, name: &str) -> Option<String> {
    fs::read_to_string(browser.folder().join(name)).ok()
}

fn open(daemon: &Daemon, path: &str) -> Command {
    let mut command = command(daemon.dir.path(), &["open"]);
    command.env("PATH", path);
    command
}

fn page(daemon: &Daemon) -> PathBuf {
    daemon.dir.path().join("open.html")
}

async fn with(status: u8) -> (Daemon, Output) {
    let (daemon, browser) = (Daemon::start().await, browser(status));
    let output = open(&daemon, &browser.path()).output().await.unwrap();
    (daemon, output)
}

#[tokio::test]
async fn the_token_is_in_a_private_page_and_in_no_argument() {
    let (daemon, browser) = (Daemon::start().await, browser(0));
    // As a run that was killed would leave it.
    fs::write(page(&daemon), "old").unwrap();
    let child = open(&daemon, &browser.path()).spawn().unwrap();
    let arguments = loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Some(arguments) = note(&browser, "arguments") {
            break arguments;
        }
    };
    assert_eq!(arguments, format!("{}\n", page(&daemon).display()));
    assert_eq!(note(&browser, "mode").as_deref(), Some("600\n"));
    let endpoint = fs::read_to_string(daemon.dir.path().join("endpoint.json")).unwrap();
    let endpoint: serde_json::Value = serde_json::from_str(&endpoint).unwrap();
    let url = endpoint["url"].as_str().unwrap().replace("ws:", "http:").replace("/rpc", "/");
    let leads = format!("content=\"0;url={url}#token={TOKEN}\"");
    assert!(note(&browser, "page").unwrap().contains(&leads), "{leads}");

    assert!(page(&daemon).exists(), "a browser may be slow");
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::INT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!page(&daemon).exists());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("{{\"url\":\"{url}\"}}\n"));
}

#[tokio::test]
async fn without_a_browser_there_is_the_address() {
    let (daemon, failing) = with(3).await;
    let nothing = TempDir::new().unwrap();
    let absent = open(&daemon, nothing.path().to_str().unwrap()).output().await.unwrap();
    let printed = daemon.prosectl(&["open", "--print"], "").await;
    let url = String::from_utf8(printed.stdout).unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && !url.contains("token"), "{url}");
    for output in [failing, absent] {
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{{\"url\":\"{}\"}}\n", url.trim()));
        assert!(!page(&daemon).exists());
    }
}
