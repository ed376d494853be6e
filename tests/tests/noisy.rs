//! A contact who floods: many devices, long statuses, hundreds of changes a second. UIs are notified a few times a
//! second, in small events; other contacts are reported as usual, and other accounts lose nothing.

use std::time::{Duration, Instant};

use prosed_tests::daemon::Setup;
use prosed_tests::hostile::{Hostile, Served};
use prosed_tests::metrics::Scrape;
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui};
use serde_json::{Value, json};
use tokio::time::sleep;

const NOISY: &str = "noisy@prosed.test";
const QUIET: &str = "quiet@prosed.test";
/// As many as prosed keeps of one contact …
const DEVICES: usize = 32;
/// … with words that all fit into what it keeps of them: 32 KiB.
const WORDS: usize = 80;
/// Changes in one write of the server, and the pause behind it: some 400 a second.
const AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);
/// By then whole contacts of some 30 KiB have filled the event log.
const LASTS: Duration = Duration::from_secs(20);
/// What a contact has in events and rosters at most, as JSON.
const CONTACT_BYTES: usize = 4 * 1024;
/// Eight at once, then two a second, and what the daemon still works on when the server has stopped.
const MOST_EVENTS: usize = 8 + 2 * 20 + 6;
/// The noisy one's last words.
const THE_END: &str = "the end";
/// An honest contact's change is told within this time, whoever floods.
const LATE: Duration = Duration::from_secs(1);

/// Logs in `name`, whose roster has the noisy one and the quiet one.
async fn login(server: &Hostile, ui: &Ui, name: &str) -> Served {
    let login = ui.send_call("login", server.login_starttls(name, "secret")).await;
    let peer = server.accept_session(name, "secret").await.serve(|stanza| {
        let item = |jid| format!("<item jid='{jid}' subscription='both'/>");
        find(stanza, "query", "jabber:iq:roster")
            .map(|_| format!("<query xmlns='jabber:iq:roster'>{}{}</query>", item(NOISY), item(QUIET)))
    });
    ui.answer(&login).await.expect("logged in");
    peer
}

/// Floods, and says at last which change was the last; answers how many there were.
async fn flood(peer: &Served) -> usize {
    let change = |number: usize| {
        let (device, words) = (number % DEVICES, "on and on ".repeat(WORDS));
        format!(
            "<presence from='{NOISY}/device{device}'><status>change {number}, {words}</status></presence>"
        )
    };
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < LASTS {
        let changes: String = (number..number + AT_ONCE).map(change).collect();
        peer.send(&changes).await.expect("prosed reads");
        number += AT_ONCE;
        sleep(PAUSE).await;
    }
    let last =
        format!("<presence from='{NOISY}/device0'><show>chat</show><status>{THE_END}</status></presence>");
    peer.send(&last).await.expect("prosed reads");
    number + 1
}

/// Changes now and then; returns the longest delay of its events.
async fn speak(peer: &Served, ui: &Ui) -> Duration {
    let mut worst = Duration::ZERO;
    for number in 0..6 {
        sleep(Duration::from_secs(1)).await;
        let (said, status) = (Instant::now(), format!("here {number}"));
        let presence = format!("<presence from='{QUIET}/x'><status>{status}</status></presence>");
        peer.send(&presence).await.expect("prosed reads");
        ui.contact(QUIET, |contact| contact["status"] == status.as_str()).await;
        worst = worst.max(said.elapsed());
    }
    worst
}

/// What a flood has done.
struct Done {
    events: usize,
    largest: usize,
    /// Of the other account's reader, who was away meanwhile.
    expired: bool,
}

async fn after_a_flood(setup: Setup) -> Done {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(setup.trust_ca(&server.ca_pem).environment("RUST_LOG", "info")).await;
    let ui = Ui::watching(&daemon).await;
    let peer = login(&server, &ui, "me").await;
    let _other = login(&server, &ui, "you").await;
    let others = Ui::connect(&daemon).await;
    let since = others.call("get_events", json!({})).await.expect("where the log stands")["seq"].clone();

    let (begun, cpu) = (Instant::now(), Scrape::of(&daemon).await.value("process_cpu_seconds_total", &[]));
    let (changes, quiet_late) = tokio::join!(flood(&peer), speak(&peer, &ui));
    let said = Instant::now();
    ui.contact(NOISY, |contact| contact["status"] == THE_END).await;
    let late = said.elapsed();
    let cpu = Scrape::of(&daemon).await.value("process_cpu_seconds_total", &[]) - cpu;

    let shown: Vec<Value> =
        ui.events().iter().flat_map(|event| event["contacts"].as_array().cloned()).flatten().collect();
    let noisy: Vec<_> = shown.iter().filter(|contact| contact["jid"] == NOISY).collect();
    let largest = noisy.iter().map(|contact| contact.to_string().len()).max().unwrap_or_default();
    let page = others.call("get_events", json!({ "account": "you@prosed.test", "since": since })).await;
    let expired = page.as_ref().is_err_and(|error| error.kind() == "cursorExpired");
    println!(
        "{changes} changes in {:?}: {} events of at most {largest} bytes, {cpu} s of a processor; the last one {late:?} late, \
         the others' {quiet_late:?}; the other account's cursor is {}",
        begun.elapsed(),
        noisy.len(),
        if expired { "expired" } else { "fine" },
    );
    assert!(expired || page.is_ok(), "{page:?}");
    assert!(late <= LATE && quiet_late <= LATE, "{late:?}, {quiet_late:?}");

    // What is shortened is available in full on request.
    let me = json!({ "account": "me@prosed.test", "jid": NOISY });
    let whole = others.call("get_contact", me).await.expect("a contact");
    let devices = whole["resources"].as_array().expect("devices");
    assert_eq!((devices.len(), &whole["resourceCount"]), (DEVICES, &json!(DEVICES)));
    assert_eq!(devices[0]["status"], THE_END);
    let said = devices[1]["status"].as_str().unwrap_or_default();
    assert!(said.len() > 9 * WORDS && said.ends_with("on and on"), "{said}");
    Done { events: noisy.len(), largest, expired }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_contact_is_a_few_small_events_a_second() {
    let done = after_a_flood(Daemon::setup()).await;
    assert!(done.largest <= CONTACT_BYTES, "{} bytes", done.largest);
    assert!(done.events <= MOST_EVENTS, "{} events", done.events);
    assert!(!done.expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_size_and_pace_it_is_a_flood() {
    let guards = ["contact-size", "contact-throttle", "contact-states", "account-share"];
    let done = after_a_flood(guards.into_iter().fold(Daemon::setup(), Setup::without)).await;
    assert!(done.largest > 5 * CONTACT_BYTES, "{} bytes", done.largest);
    assert!(done.events > 10 * MOST_EVENTS, "{} events", done.events);
    assert!(done.expired, "the event log was pushed out");
}

/// The log alone protects other accounts, whatever an account of ours has in it.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_rest_the_log_is_shared_all_the_same() {
    let guards = ["contact-size", "contact-throttle", "contact-states"];
    let done = after_a_flood(guards.into_iter().fold(Daemon::setup(), Setup::without)).await;
    assert!(!done.expired, "the other account has its share");
}
