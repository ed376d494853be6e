//! An account that takes the whole process down when it connects: the others must not pay for it for long.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use prosed_tests::daemon::Setup;
use prosed_tests::{Daemon, Kind, Server, Ui, server};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What systemd allows within its interval.
fn start_limit() -> usize {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/prosed.service");
    let unit = fs::read_to_string(unit).expect("the unit");
    let limit = unit.lines().find_map(|line| line.strip_prefix("StartLimitBurst=")).expect("a limit");
    limit.parse().expect("a number")
}

/// With accounts that abort the process: see `daemon/src/fault_injection.rs`.
fn hostile(setup: &Setup, accounts: &str) -> Setup {
    setup.clone().environment("PROSED_PROVOKE_ABORT", accounts)
}

/// A daemon that was stopped, and remembers these accounts.
async fn remembering(setup: Setup, server: &Server, names: &[&str]) -> Daemon {
    let mut daemon = Daemon::start(setup).await;
    let ui = Ui::connect(&daemon).await;
    for name in names {
        ui.call("login", server.login(name)).await.expect("logged in");
    }
    daemon.sigterm().await;
    daemon
}

async fn aborts(daemon: &mut Daemon) {
    assert_eq!(daemon.ended().await.signal(), Some(Signal::ABORT.as_raw()), "{}", daemon.log());
}

async fn becomes_online(ui: &Ui, account: &str) {
    while get(ui, account).await["state"] != "online" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn get(ui: &Ui, account: &str) -> Value {
    ui.call("get_account", json!({ "account": account })).await.expect("an account")
}

#[tokio::test]
async fn accounts_that_abort_the_process_are_found_and_left_out() {
    let names = ["me", "you", "zoe"];
    let accounts =
        names.iter().fold(server::Setup::new(Kind::Prosody), |setup, it| setup.friends(it, "alice"));
    let server = Server::start(accounts).await;
    let setup = Daemon::setup().trust(&server);
    let mut daemon = remembering(setup.clone(), &server, &names).await;

    daemon.relaunch_with(hostile(&setup, "you@prosed.test zoe@prosed.test"));
    // Three sudden ends make prosed careful. «zoe» was never reached in them, so that it is not alone in the
    // fourth; then «you» and «zoe» are found, one after the other.
    let starts = 3 + 1 + 2;
    for _ in 0..starts {
        aborts(&mut daemon).await;
        daemon.relaunch();
    }
    daemon.ready().await;
    assert!(starts + 1 < start_limit(), "systemd would have given up");
    let ui = Ui::connect(&daemon).await;
    becomes_online(&ui, "me@prosed.test").await;
    for account in ["you@prosed.test", "zoe@prosed.test"] {
        let left_out = get(&ui, account).await;
        assert_eq!(
            (&left_out["state"], &left_out["error"]["data"]["kind"]),
            (&json!("failed"), &json!("internalError"))
        );
        let roster = ui.call("load_roster", json!({ "account": account })).await.expect("from the cache");
        assert_eq!(roster["contacts"][0]["jid"], "alice@prosed.test");
    }
    let log = fs::read_to_string(daemon.log_file()).expect("a log");
    assert!(
        log.contains("these are connected last, one at a time")
            && log.contains("left out until its next login")
    );

    // A version that has the bug mended, say: everybody gets another chance.
    daemon.restart_with(setup).await;
    let ui = Ui::connect(&daemon).await;
    for name in names {
        becomes_online(&ui, &server.jid(name)).await;
    }
}

#[tokio::test]
async fn without_care_one_account_keeps_it_from_starting() {
    let server = Server::start(server::Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let setup = Daemon::setup().trust(&server).without("careful-start");
    let mut daemon = remembering(setup.clone(), &server, &["me"]).await;
    daemon.relaunch_with(hostile(&setup, "me@prosed.test"));
    for _ in 0..8 {
        aborts(&mut daemon).await;
        daemon.relaunch();
    }
    aborts(&mut daemon).await;
}
