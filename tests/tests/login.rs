//! Logging in to real servers: which way is taken, and what is kept of the password.

use std::fs;
use std::path::Path;

use prosed_tests::server::{Passwords, Setup};
use prosed_tests::{Daemon, Kind, Server, Ui, on_both_servers};
use serde_json::{Value, json};

on_both_servers!(keys_take_the_place_of_the_password, a_wrong_password_is_refused_once);

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
    everything_in(&daemon.data_folder().join("credentials"))
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
        assert_eq!(!everything_in(daemon.data_folder()).contains("canary-4711"), keys, "{passwords:?}");
        // What was kept serves.
        daemon.restart().await;
        let ui = Ui::connect(&daemon).await;
        ui.call("login", without_password(&server, "me")).await.expect("logged in again");
    }
}

async fn a_wrong_password_is_refused_once(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("me")).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    let mut parameters = server.login("me");
    parameters["password"] = json!("guess");
    let error = ui.call("login", parameters).await.expect_err("refused");
    assert_eq!(error["data"]["kind"], "notAuthorized", "{error}");
}
