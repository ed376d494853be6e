//! Logging in to real servers: which mechanism is used, and what is stored of the password.

use std::fs;
use std::path::Path;
use std::time::Duration;

use prosed_tests::faults::account_is;
use prosed_tests::faults::expected::{Friend, server_roster, settled};
use prosed_tests::hostile::{Hostile, Sasl};
use prosed_tests::proxy::Proxy;
use prosed_tests::server::{Passwords, Setup};
use prosed_tests::{Daemon, Kind, PATIENCE, Server, Ui, on_both_servers};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

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

/// After the very first login there are keys on disk and no password, if the server's salt stays the same; if it does
/// not, the password, or the next start would be locked out.
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

/// Bind 2 is implemented, but not requested until prosed reads the archive: the server discards offline messages for it.
/// Without that restraint, a real server binds us along with the login.
#[tokio::test]
async fn bind_2_is_not_asked_for_and_works_where_it_is() {
    let log = "log = { { levels = { min = \"debug\" }, to = \"console\" } }";
    let setup = Setup::new(Kind::Prosody).friends("me", "alice").sasl2().config(log);
    let server = Server::start(setup).await;
    for asks in [false, true] {
        let setup = Daemon::setup().trust(&server);
        let setup = if asks { setup.without("bind-2-off") } else { setup };
        let mut daemon = Daemon::start(setup).await;
        let ui = Ui::connect(&daemon).await;
        ui.call("login", server.login("me")).await.expect("logged in");
        // SASL2 comes with the second login, once the salt is known to stay the same.
        daemon.restart().await;
        let ui = Ui::connect(&daemon).await;
        ui.call("login", without_password(&server, "me")).await.expect("logged in again");
        let roster = ui.call("load_roster", json!({})).await.expect("a roster");
        assert_eq!(roster["contacts"][0]["jid"], "alice@prosed.test");
        let said = fs::read_to_string(server.folder().join("prosody.log")).expect("Prosody's log");
        let last = said.rsplit("<authenticate").next().expect("what follows it");
        assert!(last.contains("Authenticated as me@prosed.test"), "{}", server.log());
        // The module's own log, and the resource that it makes of our tag.
        assert_eq!(last.contains("Resource bound: me@prosed.test/prosed~"), asks, "{}", server.log());
        assert_eq!(last.contains("id='resource-binding'"), !asks, "{}", server.log());
        // The session is managed either way, and need not be asked for it where it is bound along with the login.
        assert!(last.contains("Enabling stream management"), "{}", server.log());
        assert_eq!(last.contains("]: <enable "), !asks, "{}", server.log());
    }
}

/// After a lost connection, SASL2 resumes the session along with the login, by a token from the second time on.
#[tokio::test]
async fn sasl2_resumes_along_with_the_login_by_token() {
    let log = "log = { { levels = { min = \"debug\" }, to = \"console\" } }";
    let setup = Setup::new(Kind::Prosody).friends("me", "alice").sasl2().config(log);
    let server = Server::start(setup).await;
    let proxy = Proxy::before(&server).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", proxy.login(&server, "me")).await.expect("logged in");
    let mut alice = Friend::new(&server, "alice");
    let roster = server_roster(&server, "me").await;
    alice.say(None, "before").await;
    let friends = std::slice::from_ref(&alice);
    settled(&ui, "me@prosed.test", &roster, friends, PATIENCE).await;
    for (mechanism, status) in
        [("SCRAM-SHA-256", "once"), ("HT-SHA-256-NONE", "twice"), ("HT-SHA-256-NONE", "thrice")]
    {
        proxy.refuse();
        assert!(account_is(&ui, "me@prosed.test", "suspended", PATIENCE).await);
        // Kept for us, and sent behind the login.
        alice.say(Some("away"), status).await;
        proxy.flow();
        ui.call("reconnect", json!({})).await.expect("hurried");
        assert!(account_is(&ui, "me@prosed.test", "online", PATIENCE).await, "{}", server.log());
        let friends = std::slice::from_ref(&alice);
        let (_, _, wrong) = settled(&ui, "me@prosed.test", &roster, friends, PATIENCE).await;
        assert!(wrong.is_empty(), "{wrong:?}\n{}", server.log());
        let said = fs::read_to_string(server.folder().join("prosody.log")).expect("Prosody's log");
        let last = said.rsplit("<authenticate").next().expect("what follows it");
        let request = last.lines().next().unwrap_or_default();
        assert!(request.contains(&format!("mechanism='{mechanism}'")), "{request}");
        for fits in ["Authenticated as me@prosed.test", "mod_smacks resuming existing session", "<success"] {
            assert!(last.contains(fits), "{fits}\n{}", server.log());
        }
        for not in ["Client sent opening <stream:stream>", "id='resource-binding'", "]: <resume "] {
            assert!(!last.contains(not), "{not}\n{}", server.log());
        }
    }
}

/// Nobody has been an account yet, and two things end it at once: its login fails, and it is forgotten.
#[tokio::test]
async fn an_account_forgotten_during_its_first_login_is_gone_once() {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::watching(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let _silent = server.accept_tcp().await;
    ui.call("logout", json!({ "forget": true })).await.expect("forgotten");
    ui.answer(&login).await.expect_err("it was ended");
    // Whatever is told about it comes before the answer to another call.
    assert_eq!(ui.call("list_accounts", json!({})).await, Ok(json!([])));
    ui.call("get_account", json!({})).await.expect_err("there is none");
    sleep(Duration::from_millis(100)).await;
    let gone: Vec<_> = ui.events().into_iter().filter(|event| event.get("info").is_none()).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0]["removed"], true);
}

/// What a server has once offered survives the daemon, with or without stored keys, until somebody accepts less.
#[tokio::test]
async fn a_bound_login_is_followed_by_no_other_kind_until_somebody_says_so() {
    for remember in [true, false] {
        let server = Hostile::listen().await;
        let mut daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
        let mut login = server.login_starttls("me", "secret");
        login["remember"] = remember.into();
        let (less, more) = (Sasl::new("me", "secret"), Sasl::new("me", "secret").binding());

        let ui = Ui::connect(&daemon).await;
        let call = ui.send_call("login", login.clone()).await;
        let peer = server.accept_session_by(&more, "").await.serve(|_| None);
        ui.answer(&call).await.expect("logged in");
        drop(peer);
        daemon.restart().await;

        let ui = Ui::connect(&daemon).await;
        let call = match remember {
            // It logs in by itself.
            true => None,
            false => Some(ui.send_call("login", login.clone()).await),
        };
        let mut peer = server.accept_starttls().await.expect("STARTTLS");
        peer.authenticate(&less).await.expect_err("the client says nothing");
        assert_eq!(peer.heard(), "", "it leaves without a word");
        if let Some(call) = call {
            let error = timeout(PATIENCE, ui.answer(&call)).await.expect("at once").expect_err("refused");
            assert_eq!(error.kind(), "downgradeRefused");
        }
        let refused = async {
            loop {
                let account = ui.call("get_account", json!({})).await.expect("an account");
                if account["error"]["data"]["kind"] == "downgradeRefused" {
                    return account;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let account = timeout(PATIENCE, refused).await.expect("it is told");
        let text = account["error"]["data"]["text"].as_str().expect("what is missing");
        assert!(text.starts_with("tls-exporter;"), "{text}");
        let state = if remember { "connecting" } else { "failed" };
        assert_eq!(account["state"], state, "only what is remembered is tried again");

        // Somebody accepts it, and it is what holds from then on.
        login["acceptDowngrade"] = true.into();
        let accepted = ui.send_call("login", login.clone()).await;
        let peer = server.accept_session_by(&less, "").await.serve(|_| None);
        ui.answer(&accepted).await.expect("logged in");
        drop(peer);
        daemon.restart().await;
        login["acceptDowngrade"] = false.into();
        let ui = Ui::connect(&daemon).await;
        let call = ui.send_call("login", login).await;
        let _peer = server.accept_session_by(&less, "").await.serve(|_| None);
        ui.answer(&call).await.expect("logged in");
    }
}

/// An unreachable server: the UI that logs in can read in the meantime, hurry the next attempt, and cancel it.
#[tokio::test]
async fn a_login_can_be_hurried_and_stopped_on_its_own_connection() {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = server.login_starttls("me", "secret");
    let call = ui.send_call("login", login.clone()).await;
    // Each attempt is dropped, and followed by a longer wait: at last by one of at least 4 s.
    let mut retry_at = Value::Null;
    for _ in 0..4 {
        drop(timeout(Duration::from_secs(3), server.accept_tcp()).await.expect("an attempt at once"));
        let waits = async {
            loop {
                let account = ui.call("get_account", json!({})).await.expect("an account");
                assert_eq!(account["state"], "connecting");
                if account["retryAt"].is_string() && account["retryAt"] != retry_at {
                    return account["retryAt"].clone();
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        retry_at = timeout(PATIENCE, waits).await.expect("reads don't wait");
        ui.call("reconnect", json!({})).await.expect("hurried");
    }
    drop(timeout(Duration::from_secs(3), server.accept_tcp()).await.expect("an attempt at once"));
    timeout(PATIENCE, ui.call("logout", json!({}))).await.expect("it does not wait").expect("logged out");
    let error = timeout(PATIENCE, ui.answer(&call)).await.expect("at once").expect_err("stopped");
    assert_eq!(error.kind(), "offline");
}
