//! A black hole: the connection stays up, but nothing gets through any more.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::expected::{Friend, server_roster, settled};
use super::{Record, Scale, account_is, daemon, spread};
use crate::proxy::Proxy;
use crate::server::{Server, Setup};

/// A minute of silence, and somewhat less than 15 s for the answer to a probe.
const NOTICED_WITHIN: Duration = Duration::from_secs(75);
/// Before this much silence nothing makes prosed suspicious, except a change of the machine's network.
const NOT_BEFORE: Duration = Duration::from_secs(60);
/// From repair to online.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// How long to watch whether it is noticed late or not at all.
const SLACK: Duration = Duration::from_secs(5);
/// What the log says of such a change.
const NETWORK_CHANGED: &str = "the network has changed";
/// From online until everything is correct.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// Runs the row; repaired as soon as it is noticed, and `later`.
pub async fn run(scale: Scale, later: Duration) -> Record {
    let server = Server::start(Setup::new(scale.kind).friends("me", "anna")).await;
    let (daemon, ui) = daemon(scale, &server).await;
    let proxy = Proxy::before(&server).await;
    let account = server.jid("me");
    let mut friends = vec![Friend::new(&server, "anna")];
    let roster = server_roster(&server, "me").await;
    let mut record = Record::default();
    let (mut noticed, mut early, mut back) = (Vec::new(), Vec::new(), Vec::new());
    let network_changes = || {
        let log = std::fs::read_to_string(daemon.log_file()).unwrap_or_default();
        log.lines().filter(|line| line.contains(NETWORK_CHANGED)).count()
    };
    for time in 1..=scale.times {
        ui.call("login", proxy.login(&server, "me")).await.expect("logged in");
        friends[0].say(None, &format!("before {time}")).await;
        let (_, _, wrong) = settled(&ui, &account, &roster, &friends, SETTLED_WITHIN).await;
        record.extend(format!("before hole {time}"), wrong);
        // It was reported more than once for an earlier hole.
        ui.forget_received();
        let changes = network_changes();
        let begun = Instant::now();
        proxy.stall();
        friends[0].say(Some("dnd"), &format!("unheard {time}")).await;
        let event = ui.event_within(NOTICED_WITHIN + SLACK, "accountChanged", |event| {
            event["info"]["state"] == "suspended"
        });
        let suspended = event.await.is_some();
        let took = begun.elapsed();
        record.expect(suspended && took <= NOTICED_WITHIN, || {
            format!("hole {time}: noticed {suspended}, after {took:?}")
        });
        if network_changes() > changes {
            // Probed at once: sooner, so no measure of how long silence is tolerated.
            early.push(took);
        } else {
            record.expect(took >= NOT_BEFORE, || format!("hole {time}: why was it noticed after {took:?}?"));
            noticed.push(took);
        }
        sleep(later).await;
        let repaired = Instant::now();
        proxy.flow();
        let online = account_is(&ui, &account, "online", BACK_WITHIN * 2).await;
        back.push(repaired.elapsed());
        let took = repaired.elapsed();
        record
            .expect(online && took <= BACK_WITHIN, || format!("hole {time}: online {online} after {took:?}"));
        let (_, _, wrong) = settled(&ui, &account, &roster, &friends, SETTLED_WITHIN).await;
        record.extend(format!("after hole {time}"), wrong);
        ui.call("logout", json!({ "account": account })).await.expect("logged out");
    }
    record.figure(format!("{} holes, noticed: {}", scale.times, spread(&mut noticed)));
    if !early.is_empty() {
        record.figure(format!("{} as the machine's network changed: {}", early.len(), spread(&mut early)));
    }
    record.figure(format!("repaired {} s later, back: {}", later.as_secs(), spread(&mut back)));
    record
}

/// With nothing broken, nothing is noticed: a UI that waits this long for `suspended` gets none.
pub async fn control(scale: Scale, patience: Duration) -> Record {
    let server = Server::start(Setup::new(scale.kind).account("me")).await;
    let (_daemon, ui) = daemon(scale, &server).await;
    let proxy = Proxy::before(&server).await;
    ui.call("login", proxy.login(&server, "me")).await.expect("logged in");
    let suspended =
        ui.event_within(patience, "accountChanged", |event| event["info"]["state"] == "suspended").await;
    let mut record = Record::default();
    record.expect(suspended.is_none(), || format!("suspended with nothing broken: {suspended:?}"));
    record.expect(proxy.connections() == 1, || format!("{} connections", proxy.connections()));
    record.figure(format!("quiet for {} s on one connection", patience.as_secs()));
    record
}
