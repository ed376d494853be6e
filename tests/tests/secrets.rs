//! Where the daemon stores what an account logs in with, and that it is nowhere else.

#[path = "secrets/canary.rs"]
mod canary;

use std::time::{Duration, Instant};

use prosed_tests::server::{Setup, password};
use prosed_tests::{Daemon, Keyring, Kind, Server, Ui};
use rustix::process::Signal;
use serde_json::{Value, json};

const ME: &str = "me@prosed.test";

async fn server() -> Server {
    Server::start(Setup::new(Kind::Prosody).account("me")).await
}

fn setup(server: &Server, keyring: &Keyring) -> prosed_tests::daemon::Setup {
    Daemon::setup().trust(server).environment("DBUS_SESSION_BUS_ADDRESS", &keyring.address())
}

/// The file that holds the secret where no better place does.
fn has_file(daemon: &Daemon) -> bool {
    daemon.data_dir().join("credentials").join(format!("{ME}.json")).exists()
}

/// Parameters of `login` as a UI gives them that relies on what is remembered.
fn without_password(server: &Server) -> Value {
    let mut login = server.login("me");
    login.as_object_mut().expect("parameters").remove("password");
    login
}

async fn account(ui: &Ui) -> Value {
    ui.call("get_account", json!({ "account": ME })).await.expect("an account")
}

/// Starts the daemon again; waits until the account is online by itself.
async fn online_after_restart(daemon: &mut Daemon) -> Ui {
    daemon.restart().await;
    let ui = Ui::connect(daemon).await;
    ui.subscribe(json!({ "events": ["accountChanged"] })).await;
    if account(&ui).await["state"] != "online" {
        ui.event("accountChanged", |event| event["info"]["state"] == "online").await;
    }
    ui
}

#[tokio::test]
async fn the_keyring_keeps_it_across_a_restart_and_forgets_it() {
    let (server, keyring) = (server().await, Keyring::start().await);
    let mut daemon = Daemon::start(setup(&server, &keyring)).await;
    let ui = Ui::connect(&daemon).await;
    assert_eq!(keyring.lookup(ME), None);
    ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!(account(&ui).await["secretStore"], "secretService");
    assert!(keyring.lookup(ME).is_some() && !has_file(&daemon));

    let ui = online_after_restart(&mut daemon).await;
    assert_eq!(account(&ui).await["secretStore"], "secretService");
    assert!(keyring.lookup(ME).is_some() && !has_file(&daemon));

    ui.call("logout", json!({ "forget": true })).await.expect("forgotten");
    assert_eq!(keyring.lookup(ME), None);
    let error = ui.call("login", without_password(&server)).await.expect_err("nothing is remembered");
    assert_eq!(error.kind(), "credentialsMissing");
}

#[tokio::test]
async fn what_is_not_to_be_remembered_is_erased() {
    let (server, mut keyring) = (server().await, Keyring::start().await);
    let daemon = Daemon::start(setup(&server, &keyring)).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.call("logout", json!({})).await.expect("logged out");
    assert!(keyring.lookup(ME).is_some(), "a logout keeps it");
    let mut login = without_password(&server);
    login["remember"] = false.into();
    ui.call("login", login).await.expect("logged in with what was remembered");
    assert_eq!(keyring.lookup(ME), None);
    assert!(!has_file(&daemon));
    let account = account(&ui).await;
    assert_eq!((&account["remembered"], account.get("secretStore")), (&json!(false), None));

    // What can't be erased for now is not used later.
    ui.call("logout", json!({})).await.expect("logged out");
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.call("logout", json!({})).await.expect("logged out");
    keyring.lock();
    let mut login = server.login("me");
    login["remember"] = false.into();
    ui.call("login", login).await.expect("logged in");
    ui.call("logout", json!({})).await.expect("logged out");
    keyring.restart().await;
    assert!(keyring.lookup(ME).is_some(), "a copy is left");
    let error = ui.call("login", without_password(&server)).await.expect_err("nothing is remembered");
    assert_eq!(error.kind(), "credentialsMissing");
}

#[tokio::test]
async fn a_file_takes_it_when_the_keyring_is_gone_and_gives_it_back() {
    let (server, mut keyring) = (server().await, Keyring::start().await);
    keyring.kill();
    let mut daemon = Daemon::start(setup(&server, &keyring)).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!(account(&ui).await["secretStore"], "file");
    assert!(has_file(&daemon));
    let ui = online_after_restart(&mut daemon).await;

    // A secret that is given anew moves to where it is kept best.
    keyring.restart().await;
    ui.call("logout", json!({})).await.expect("logged out");
    ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!(account(&ui).await["secretStore"], "secretService");
    assert!(keyring.lookup(ME).is_some() && !has_file(&daemon));

    keyring.kill_bus();
    ui.call("logout", json!({})).await.expect("logged out");
    ui.call("login", server.login("me")).await.expect("the bus is not needed");
    assert_eq!(account(&ui).await["secretStore"], "file");
}

#[tokio::test]
async fn a_locked_keyring_is_passed_over_and_tried_again() {
    let (server, mut keyring) = (server().await, Keyring::start().await);
    let mut daemon = Daemon::start(setup(&server, &keyring)).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    keyring.lock();
    let error = ui.call("logout", json!({ "forget": true })).await.expect_err("it can't be erased");
    assert_eq!(error.kind(), "storageFailed");
    let stays = account(&ui).await;
    assert_eq!((&stays["state"], &stays["secretStore"]), (&json!("offline"), &json!("secretService")));
    let begun = Instant::now();
    let error = ui.call("login", without_password(&server)).await.expect_err("it can't be read");
    assert_eq!(error.kind(), "credentialsMissing");
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody was asked to unlock it");
    let login = ui.call("login", server.login("me")).await.expect("with the password it goes on");
    assert_eq!(login["secretStore"], "file");

    // Its owner is late: the daemon has started before.
    keyring.restart().await;
    ui.call("logout", json!({})).await.expect("logged out");
    ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!(account(&ui).await["secretStore"], "secretService");
    keyring.lock();
    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({ "events": ["accountChanged"] })).await;
    assert_eq!(account(&ui).await["state"], "offline");
    keyring.restart().await;
    let patience = Duration::from_secs(40);
    let online = ui.event_within(patience, "accountChanged", |event| event["info"]["state"] == "online");
    assert!(online.await.is_some(), "an account whose keyring was opened logs in by itself");
    ui.call("logout", json!({ "forget": true })).await.expect("forgotten at last");
    assert_eq!(keyring.lookup(ME), None);
}

#[tokio::test]
async fn a_keyring_that_hangs_holds_nobody_up_for_long() {
    let (server, mut keyring) = (server().await, Keyring::start().await);
    keyring.signal(Signal::STOP);
    let daemon = Daemon::start(setup(&server, &keyring)).await;
    let ui = Ui::connect(&daemon).await;
    let begun = Instant::now();
    ui.call("login", server.login("me")).await.expect("logged in");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(account(&ui).await["secretStore"], "file");
}

#[tokio::test]
async fn what_systemd_gives_logs_in() {
    let server = server().await;
    let given = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(given.path().join(ME), password("me") + "\n").expect("the folder can be written");
    let folder = given.path().display().to_string();
    let setup = Daemon::setup().trust(&server).environment("CREDENTIALS_DIRECTORY", &folder);
    let mut daemon = Daemon::start(setup).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", without_password(&server)).await.expect("logged in");
    assert_eq!(account(&ui).await["secretStore"], "systemdCredential");
    for _ in 0..2 {
        // Keys come with the second login: they are not kept either.
        let ui = online_after_restart(&mut daemon).await;
        assert_eq!(account(&ui).await["secretStore"], "systemdCredential");
        assert!(!has_file(&daemon), "what systemd gives is copied nowhere");
    }
    let ui = Ui::connect(&daemon).await;
    ui.call("logout", json!({ "forget": true })).await.expect("forgotten");
    assert!(given.path().join(ME).exists(), "it is not ours to erase");
}

#[tokio::test]
async fn a_configuration_can_insist_on_files_or_on_the_keyring() {
    let (server, mut keyring) = (server().await, Keyring::start().await);
    let insist = |store: &str| setup(&server, &keyring).config(&format!("[secrets]\nstore = {store:?}"));
    let mut daemon = Daemon::start(insist("file")).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!(account(&ui).await["secretStore"], "file");
    assert_eq!(keyring.lookup(ME), None);

    let keyring_only = insist("secret-service");
    daemon.restart_with(keyring_only).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("logout", json!({})).await.expect("logged out");
    ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!(account(&ui).await["secretStore"], "secretService");
    assert!(!has_file(&daemon));

    ui.call("logout", json!({ "forget": true })).await.expect("forgotten");
    keyring.kill();
    ui.call("login", server.login("me")).await.expect("logged in, and not remembered");
    assert!(!has_file(&daemon), "not even for want of a keyring");
    assert_eq!(account(&ui).await.get("secretStore"), None);
}
