//! A daemon with nothing to do sleeps.

use std::fs;
use std::time::Duration;

use prosed_tests::hostile::{Hostile, Served};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, PATIENCE, Ui};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// How long it is watched, in seconds.
const WATCHED: u64 = 5;

/// The threads with this prefix to their names: how many there are, and how often they have gone to sleep.
fn threads(daemon: &Daemon, prefix: &str) -> (u64, u64) {
    let (mut count, mut sleeps) = (0, 0);
    for thread in fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs").flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        if read("comm").starts_with(prefix) {
            let status = read("status");
            let voluntary = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            count += 1;
            sleeps += voluntary.and_then(|text| text.trim().parse::<u64>().ok()).expect("a count");
        }
    }
    (count, sleeps)
}

async fn serve(server: &Hostile) -> Served {
    server.accept_session("me", "secret").await.serve(|stanza| {
        let items =
            "<query xmlns='jabber:iq:roster'><item jid='alice@prosed.test' subscription='both'/></query>";
        find(stanza, "query", "jabber:iq:roster").map(|_| items.to_owned())
    })
}

/// The database's threads would each wake once a second: 7 threads and more, whatever they have to do.
async fn the_cache_sleeps(daemon: &Daemon) {
    let begun = async {
        while threads(daemon, "sled-io").0 < 7 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, begun).await.expect("the cache was written, in threads of its own");
    // What it has to write is written.
    sleep(Duration::from_secs(3)).await;
    let before = threads(daemon, "sled-io").1;
    sleep(Duration::from_secs(WATCHED)).await;
    let (count, after) = threads(daemon, "sled-io");
    let woken = after - before;
    assert!(
        woken < count * WATCHED / 2,
        "{count} threads of an idle cache woke {woken} times in {WATCHED} s"
    );
}

#[tokio::test]
async fn the_cache_of_an_idle_daemon_wakes_nobody() {
    let server = Hostile::listen().await;
    let mut daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.call("login", server.login_starttls("me", "secret"));
    let (login, _served) = tokio::join!(login, serve(&server));
    login.expect("logged in");
    // Its threads start with the first write,
    the_cache_sleeps(&daemon).await;
    daemon.kill();
    daemon.relaunch();
    daemon.ready().await;
    // and here with reading what is there.
    let ui = Ui::connect(&daemon).await;
    ui.call("load_roster", json!({ "account": "me@prosed.test" })).await.expect("a cached roster");
    the_cache_sleeps(&daemon).await;
}
