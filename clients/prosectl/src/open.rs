//! Opens the web console in the desktop's browser.
//!
//! The console needs the token. Every user of the machine could read it on the browser's command line, so the browser
//! opens a private page in the runtime directory, which redirects to the console. The page exists only as long as a
//! browser may need to read it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prosed_protocol::client::Client;
use prosed_protocol::endpoint::{Endpoint, OPENING_PAGE};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::commands::Prosed;
use crate::failure::Failure;
use crate::output::Output;
use crate::render;
use crate::token::token;

/// How long a browser may take to start and read the page, on a slow machine.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// Without a browser, xdg-open fails within this time.
const FAILS_WITHIN: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Opened {
    url: String,
}

pub(crate) async fn open(prosed: &Prosed, print: bool, output: &mut Output) -> Result<(), Failure> {
    // If systemd holds the socket, this starts the daemon.
    prosed.client().await?;
    let dir = prosed.dir()?;
    let endpoint = Endpoint::read(dir).map_err(|error| Failure::NoAnswer(error.to_string()))?;
    let url = endpoint.url.as_deref().and_then(console).ok_or(Failure::NoPort)?;
    if print {
        return output.line(&url);
    }
    // The page at that address gets the token, so make sure that it is prosed's.
    drop(Client::connect(&Endpoint { socket: None, ..endpoint }).await?);
    // Set up before the page is written, so that the page is removed whenever we are interrupted.
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::Page)?;
    let page = Page::write(dir, &url, &token(dir, false)?).map_err(Failure::Page)?;
    if !start_browser(&page).await {
        drop(page);
        return output.one(json!({"url": url}), |opened: &Opened, _| {
            render::line(&format!("No browser could be opened. The console is at {}", opened.url))
                + &render::line("It asks for the token: run `prosectl token`.")
        });
    }
    output.one(json!({"url": url}), |opened: &Opened, _| {
        render::line(&format!("{} opens in your browser. Ctrl-C once it is there.", opened.url))
    })?;
    tokio::select! {
        () = sleep(READ_WITHIN) => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

/// Whether a browser was started. Some stay in the foreground and report nothing.
async fn start_browser(page: &Page) -> bool {
    let browser = Command::new("xdg-open")
        .arg(&page.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut browser) = browser else { return false };
    match timeout(FAILS_WITHIN, browser.wait()).await {
        Ok(status) => status.is_ok_and(|status| status.success()),
        Err(_) => true,
    }
}

/// The console's address, derived from the WebSocket's.
pub(crate) fn console(url: &str) -> Option<String> {
    let address: SocketAddr = url.strip_prefix("ws://")?.strip_suffix("/rpc")?.parse().ok()?;
    Some(format!("http://{address}/"))
}

/// The page that redirects to the console. Dropping this removes it.
struct Page(PathBuf);

impl Page {
    fn write(dir: &Path, url: &str, token: &str) -> io::Result<Self> {
        let path = dir.join(OPENING_PAGE);
        // Left by an earlier run.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let page = Self(path);
        // Neither the address nor the token contains anything that needs escaping in HTML.
        write!(
            file,
            "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <meta http-equiv=\"refresh\" content=\"0;url={url}#token={token}\">\n<title>prosed</title>\n"
        )?;
        Ok(page)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // If this fails, the next run removes it.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_where_the_port_is() {
        assert_eq!(console("ws://127.0.0.1:5299/rpc").as_deref(), Some("http://127.0.0.1:5299/"));
        assert_eq!(console("ws://[::1]:80/rpc").as_deref(), Some("http://[::1]:80/"));
        for other in ["ws://127.0.0.1:5299/\"><script>/rpc", "wss://127.0.0.1:5299/rpc", ""] {
            assert_eq!(console(other), None);
        }
    }
}
