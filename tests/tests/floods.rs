//! Servers that flood the daemon: other accounts must notice nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use prosed_tests::hostile::{Hostile, Served};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Contacts of a flooding account: each change of one is an event.
const CONTACTS: usize = 200;
/// Devices of a contact that the session keeps.
const DEVICES: usize = 32;
/// Changes of the honest account that are timed, each of another contact.
const CHANGES: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_beside_two_floods_of_presences_hears_in_time() {
    // Each contact has the most devices that are kept, each with a long status.
    let status = "s".repeat(1_000);
    let flood = (0..2 * DEVICES * CONTACTS).map(|step| {
        let (contact, device, round) = (step % CONTACTS, step / CONTACTS % DEVICES, step / CONTACTS / DEVICES);
        format!(
            "<presence from='c{contact}@prosed.test/{device}'><status>Round {round} {status}</status></presence>"
        )
    });
    beside(flood.collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_beside_two_floods_of_pings_hears_in_time() {
    let ping = "<iq type='get' id='ping' from='prosed.test'><ping xmlns='urn:xmpp:ping'/></iq>";
    beside(ping.repeat(500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_beside_two_floods_of_profiles_hears_in_time() {
    // As large as a profile may be, for the disk to write each time.
    let urls = format!("<url><uri>https://prosed.test/{}</uri></url>", "u".repeat(900)).repeat(20);
    let flood = (0..2 * CONTACTS).map(|step| {
        let (contact, round) = (step % CONTACTS, step / CONTACTS);
        format!(
            "<message from='c{contact}@prosed.test' type='headline'>\
             <event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:vcard4'><item id='current'>\
             <vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Round {round}</text></fn>{urls}</vcard>\
             </item></items></event></message>"
        )
    });
    beside(flood.collect()).await;
}

/// Two accounts whose servers send this again and again, and one whose server is honest.
async fn beside(flood: String) {
    let hostile = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&hostile.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    let honest = log_in(&hostile, &ui, "honest").await;
    let mut floods = JoinSet::new();
    for name in ["flood1", "flood2"] {
        let (server, flood) = (log_in(&hostile, &ui, name).await, flood.clone());
        floods.spawn(async move { while server.send(&flood).await.is_ok() {} });
    }
    // The floods get a head start.
    sleep(Duration::from_secs(1)).await;
    let (mut changes, mut calls) = (Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let (contact, status) = (format!("c{number}@prosed.test"), format!("Change {number}"));
        let sent = Instant::now();
        let presence = format!("<presence from='{contact}/phone'><status>{status}</status></presence>");
        honest.send(&presence).await.expect("the daemon reads");
        ui.contact(&contact, |contact| contact["status"] == status).await;
        changes.push(sent.elapsed());
        for account in ["honest", "flood1"] {
            let called = Instant::now();
            let params = json!({ "account": format!("{account}@prosed.test") });
            ui.call("get_account", params).await.expect("an account");
            calls.push(called.elapsed());
        }
    }
    assert_eq!(floods.len(), 2, "a flood has ended");
    let (changes, calls) = (late(changes), late(calls));
    let memory = rss_mib(daemon.id());
    println!("changes {changes:?}, calls {calls:?}, {memory} MiB");
    assert!(changes < Duration::from_secs(1), "a change is told after {changes:?}");
    assert!(calls < Duration::from_secs(1), "a call takes {calls:?}");
    assert!(memory < 200, "{memory} MiB");
}

/// Logs an account in whose server knows [`CONTACTS`].
async fn log_in(hostile: &Hostile, ui: &Ui, name: &str) -> Served {
    let id = ui.send_call("login", hostile.login_starttls(name, "secret")).await;
    let peer = hostile.accept_session(name, "secret").await;
    let served = peer.serve(|stanza| {
        find(stanza, "query", "jabber:iq:roster").map(|_| {
            let items = (0..CONTACTS).map(|n| format!("<item jid='c{n}@prosed.test' subscription='both'/>"));
            format!("<query xmlns='jabber:iq:roster'>{}</query>", items.collect::<String>())
        })
    });
    ui.answer(&id).await.expect("logged in");
    served
}

/// What all but one of a few dozen do not exceed.
fn late(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits[waits.len() - 2]
}

/// Memory of a process.
fn rss_mib(pid: u32) -> u64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
