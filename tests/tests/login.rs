//! Logging in to real servers: which way is taken, and what is kept of the password.

use std::fs;
use std::path::Path;

use prosed_tests::server::{Passwords, Setup};
use prosed_tests::{Daemon, Kind, Server, Ui, on_both_servers};
use serde_json::{Value, json};

on_both_servers!(keys_take_the_place_of_the_password);

/// Everything that lies below a folder, as text.
fn everything_in(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| match path.is_dir() {
            true => everything_in(&path),
            // A socket can't be read.
            false => {
                fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
            }
        })
        .collect()
}

fn secret_in(daemon: &Daemon) -> String {
    everything_in(&daemon.data_dir().join("credentials"))
}

/// `login` with what is remembered.
fn without_password(server: &Server, name: &str) -> Value {
    let mut parameters = server.login(name);
    parameters.as_object_mut().expect("an object").remove("password");
    parameters
}

/// After the very first login there are keys on the disk and no password, where the server's salt
/// stays; the password where it does not, or the next start would be locked out.
async fn keys_take_the_place_of_the_password(kind: Kind) {
    for (passwords, keys) in [(Passwords::Sha256, true), (Passwords::Sha1, true), (Passwords::Plain, false)] {
        let setup = Setup::new(kind).account_with_password("me", "canary-4711").passwords(passwords);
        let server = Server::start(setup).await;
        let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
        let ui = Ui::connect(&daemon).await;
        ui.call("login", server.login("me")).await.expect("logged in");
        let kept = secret_in(&daemon);
        assert_eq!(kept.contains("client_key"), keys, "{passwords:?}");
        assert_eq!(!kept.contains("canary-4711"), keys, "{passwords:?}");
        assert_eq!(!everything_in(&daemon.data_dir()).contains("canary-4711"), keys, "{passwords:?}");
        // What was kept serves.
        daemon.restart().await;
        let ui = Ui::connect(&daemon).await;
        ui.call("login", without_password(&server, "me")).await.expect("logged in again");
    }
}

/// Beside SASL, SASL2 is used from the second login on, and goes on without a new stream.
#[tokio::test]
async fn sasl2_serves_where_it_is_offered() {
    let log = "log = { { levels = { min = \"debug\" }, to = \"console\" } }";
    let setup = Setup::new(Kind::Prosody).friends("me", "alice").sasl2().config(log);
    let server = Server::start(setup).await;
    let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    let said = || fs::read_to_string(server.folder().join("prosody.log")).expect("Prosody's log");
    assert!(!said().contains("<authenticate"), "{}", server.log());
    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", without_password(&server, "me")).await.expect("logged in again");
    let said = said();
    assert!(said.contains("<authenticate"), "{}", server.log());
    let behind = said.rsplit("<authenticate").next().expect("what follows it");
    assert!(behind.contains("Authenticated as me@prosed.test"), "{}", server.log());
    assert!(!behind.contains("Client sent opening <stream:stream>"), "{}", server.log());
    let roster = ui.call("load_roster", json!({})).await.expect("a roster");
    assert_eq!(roster["contacts"][0]["jid"], "alice@prosed.test");
}
