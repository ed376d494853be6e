//! The web console, in this desktop's browser.
//!
//! The console needs the token. In the browser's command line every user of the machine could read it,
//! so what is opened is a page in the runtime directory, for our eyes only, that leads on to the
//! console. It is there for as long as a browser may need to read it.

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
use crate::people;
use crate::token::token;

/// A browser that has to start first takes so long to read the page, on a slow machine.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// Where there is no browser, xdg-open says so sooner.
const FAILS_WITHIN: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Opened {
    url: String,
}

pub(crate) async fn open(prosed: &Prosed, print: bool, output: &mut Output) -> Result<(), Failure> {
    // Where systemd holds the socket, this starts the daemon.
    prosed.client().await?;
    let dir = prosed.dir()?;
    let endpoint = Endpoint::read(dir).map_err(|error| Failure::NoAnswer(error.to_string()))?;
    let url = endpoint.url.as_deref().and_then(console).ok_or(Failure::NoPort)?;
    if print {
        return output.line(&url);
    }
    // The page that is served there gets the token: no other program's may.
    drop(Client::connect(&Endpoint { socket: None, ..endpoint }).await?);
    // From before the page is there on: it goes with us, however early somebody stops us.
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::Page)?;
    let page = Page::write(dir, &url, &token(dir, false)?).map_err(Failure::Page)?;
    if !start_browser(&page).await {
        drop(page);
        return output.one(json!({"url": url}), |opened: &Opened, _| {
            people::line(&format!("No browser opens. The console is at {}", opened.url))
                + &people::line("It asks for the token: see `prosectl token`.")
        });
    }
    output.one(json!({"url": url}), |opened: &Opened, _| {
        people::line(&format!("{} opens in your browser. Ctrl-C once it is there.", opened.url))
    })?;
    tokio::select! {
        () = sleep(READ_WITHIN) => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

/// Whether a browser has been started. Some stay in the foreground and report nothing.
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

/// The console's address, from the WebSocket's.
fn console(url: &str) -> Option<String> {
    let address: SocketAddr = url.strip_prefix("ws://")?.strip_suffix("/rpc")?.parse().ok()?;
    Some(format!("http://{address}/"))
}

/// The page that leads on. It goes when this is dropped.
struct Page(PathBuf);

impl Page {
    fn write(dir: &Path, url: &str, token: &str) -> io::Result<Self> {
        let path = dir.join(OPENING_PAGE);
        // What an earlier run may have left.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let page = Self(path);
        // Neither an address nor a token of ours holds anything that HTML would want escaped.
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
        // The next one removes it.
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
