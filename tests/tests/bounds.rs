//! Everything that a peer can grow, in one table: what is sent, what bounds it in entries and in bytes, and how much
//! more memory the daemon may use for it. Each row also fills a daemon without the row's bound, and must then find
//! more. What waits for a server's acknowledgement is bounded by the stream, and tested there; each bound's exact
//! value is tested in daemon/session/tests/bounds.rs.
//!
//! Then all of it at once, for as long as wanted:
//!
//!     PROSED_FLOOD_HOURS=24 cargo test --release -p prosed-tests --test bounds -- flood --nocapture
//!
//! sends what Prosody's default limit lets a server send in that many hours (30 kB/s, `limits.s2sin`), as fast as the
//! daemon reads it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures::StreamExt as _;
use minidom::Element;
use prosed_tests::contact::{Client, sha1_hex};
use prosed_tests::daemon::Setup;
use prosed_tests::hostile::{Hostile, Served, result_of};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui, png};
use serde_json::json;
use tokio::time::sleep;

/// Only Mallory and the strangers are hostile.
const MALLORY: &str = "mallory@prosed.test";
/// The honest contacts: each changes less often than events report one contact.
const HONEST: usize = 60;
const DISCO: &str = "http://jabber.org/protocol/disco#info";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// Stanzas in flight at once: the daemon reads as fast as it can, and does not fall behind.
const BATCH: usize = 500;
/// Prosody's limit for a server, in bytes a second.
const S2S_RATE: usize = 30_000;

/// One thing that grows.
struct Row {
    /// What is sent.
    what: &'static str,
    /// How many stanzas of it.
    count: usize,
    /// The `n`th.
    stanza: fn(usize) -> String,
    /// How much more memory the process may use in the end, in MiB: more than was measured, since free memory is
    /// returned only in part, and less than without the bound.
    mib: u64,
    /// Memory used only for a moment counts, too.
    is_passing: bool,
    /// The bounds that limit it: without these guards there is more.
    held_by: &'static [&'static str],
    /// How many are in flight at once. What is reported or requested once for everything that has arrived needs few.
    at_once: usize,
}

/// Contacts take turns to be queried, with two queries in flight to each, and a limit per kind.
const LOOKUPS: &[&str] = &["lookups"];
/// What is not kept has no bound: without this guard, everything is.
const NOTHING_KEPT: &[&str] = &["nothing-kept"];

const ROWS: &[Row] = &[
    Row {
        what: "caps hashes, each new, never explained (two questions, and 32 devices of 32 KiB)",
        count: 20_000,
        stanza: |n| mallory_is("x", &caps(n, &format!("{n:027}="))),
        mib: 8,
        is_passing: false,
        held_by: LOOKUPS,
        at_once: BATCH,
    },
    Row {
        what: "verified caps of 30 kB (8 MiB in all, 64 KiB per contact)",
        count: 1_000,
        stanza: |n| mallory_is(&format!("caps{}", n % 32), &caps(n, &large_client(n).hash())),
        mib: 3,
        is_passing: false,
        held_by: &["caps-bytes"],
        at_once: 32,
    },
    Row {
        what: "avatars announced, each with a new id, none delivered (the newest of a contact)",
        count: 20_000,
        stanza: |n| {
            let id = id(n);
            let info = format!("<info id='{id}' bytes='1000' type='image/png'/>");
            pep(
                "urn:xmpp:avatar:metadata",
                &id,
                &format!("<metadata xmlns='urn:xmpp:avatar:metadata'>{info}</metadata>"),
            )
        },
        mib: 8,
        is_passing: false,
        held_by: &["lookups", "fetch-throttle"],
        at_once: BATCH,
    },
    Row {
        what: "pictures in old vCards, each with a new hash, none delivered (the newest of a contact)",
        count: 20_000,
        stanza: |n| mallory_is("x", &format!("<x xmlns='vcard-temp:x:update'><photo>{}</photo></x>", id(n))),
        mib: 6,
        is_passing: false,
        held_by: NOTHING_KEPT,
        at_once: BATCH,
    },
    Row {
        what: "devices with long statuses (32 of a contact, 32 KiB in all)",
        count: 4_000,
        stanza: |n| mallory_is(&format!("device{n}"), &format!("<status>{}</status>", "s".repeat(3_900))),
        mib: 8,
        is_passing: false,
        held_by: &["devices"],
        at_once: BATCH,
    },
    Row {
        what: "changes of a long status, in the event log (64 states of a contact, 4 KiB each)",
        count: 3_000,
        stanza: |n| mallory_is("x", &format!("<status>{n} {}</status>", "s".repeat(3_900))),
        mib: 6,
        is_passing: false,
        held_by: &["contact-throttle", "contact-states"],
        at_once: 1,
    },
    Row {
        what: "profiles of the greatest size (10 KiB each of three)",
        count: 4,
        stanza: |n| {
            let node = ["urn:xmpp:vcard4", "urn:ietf:params:xml:ns:vcard-4.0"][n % 2];
            let url = format!("<url><uri>https://x.test/{}</uri></url>", "u".repeat(900));
            let vcard =
                format!("<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>{}</vcard>", url.repeat(8_000));
            pep(node, "current", &vcard)
        },
        mib: 50,
        // Then they are on disk.
        is_passing: true,
        held_by: &["profile-bytes"],
        at_once: BATCH,
    },
    Row {
        what: "contacts that the server pushes (20,000, of 16 MiB in all)",
        count: 8_000,
        stanza: |n| {
            let item = format!(
                "<item jid='c{n}@prosed.test' name='{}' subscription='none'/>",
                "\u{1f600}".repeat(990)
            );
            format!(
                "<iq type='set' id='push{n}'><query xmlns='jabber:iq:roster' ver='{n}'>{item}</query></iq>"
            )
        },
        mib: 64,
        is_passing: false,
        held_by: &["roster-size"],
        at_once: BATCH,
    },
    Row {
        what: "requests to see our presence (200 of strangers, 4 KiB each; their events in the log)",
        count: 8_000,
        stanza: |n| {
            let status = "s".repeat(3_900);
            format!(
                "<presence type='subscribe' from='s{n}@host{}.test'><status>{status}</status></presence>",
                n % 100
            )
        },
        mib: 32,
        is_passing: false,
        held_by: &["strangers-requests"],
        at_once: BATCH,
    },
    Row {
        what: "presences of strangers (none)",
        count: 20_000,
        stanza: |n| format!("<presence from='s{n}@elsewhere.test/x'><status>{n}</status></presence>"),
        mib: 6,
        is_passing: false,
        held_by: NOTHING_KEPT,
        at_once: BATCH,
    },
    Row {
        what: "personal events on nodes that nobody asked for (none)",
        count: 10_000,
        stanza: |n| {
            pep(&format!("urn:x:{n}"), &n.to_string(), &format!("<x xmlns='x'>{}</x>", "x".repeat(1_000)))
        },
        mib: 8,
        is_passing: false,
        held_by: NOTHING_KEPT,
        at_once: BATCH,
    },
    Row {
        what: "a stanza of 250,000 elements (16,384)",
        count: 1,
        stanza: |n| {
            format!("<message from='{MALLORY}/x' id='{n}'>{}</message>", "<a b='c'/>".repeat(250_000))
        },
        mib: 32,
        is_passing: true,
        held_by: &["elements"],
        at_once: BATCH,
    },
    Row {
        what: "answers that nobody asked for (none)",
        count: 20_000,
        stanza: |n| format!("<iq type='result' id='x{n}' from='{MALLORY}/x'><query xmlns='{DISCO}'/></iq>"),
        mib: 6,
        is_passing: false,
        held_by: NOTHING_KEPT,
        at_once: BATCH,
    },
    Row {
        what: "questions to us (one answer each)",
        count: 5_000,
        stanza: |n| format!("<iq type='get' id='q{n}' from='{MALLORY}/x'><query xmlns='{DISCO}'/></iq>"),
        mib: 4,
        is_passing: false,
        held_by: NOTHING_KEPT,
        at_once: BATCH,
    },
];

fn mallory_is(resource: &str, content: &str) -> String {
    format!("<presence from='{MALLORY}/{resource}'>{content}</presence>")
}

fn honest(number: usize) -> String {
    format!("honest{}@prosed.test", number % HONEST)
}

/// The node contains the number, so that the answer need not search for the client with that hash.
fn caps(n: usize, ver: &str) -> String {
    format!("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{n}' ver='{ver}'/>")
}

fn pep(node: &str, id: &str, payload: &str) -> String {
    format!(
        "<message type='headline' from='{MALLORY}'><event xmlns='{EVENT}'><items node='{node}'>\
         <item id='{id}'>{payload}</item></items></event></message>"
    )
}

fn id(n: usize) -> String {
    sha1_hex(&n.to_le_bytes())
}

/// Some 30 kB of features.
fn large_client(n: usize) -> Client {
    let mut client = Client::new("Large", "pc");
    client.features = (0..60).map(|k| format!("urn:x:{n}:{k:02}:{}", "f".repeat(480))).collect();
    client
}

/// The roster. Any other request gets no answer, which keeps it in memory the longest.
fn roster(stanza: &Element) -> Option<String> {
    find(stanza, "query", "jabber:iq:roster").filter(|_| stanza.attr("type") == Some("get"))?;
    let everybody = (0..HONEST).map(honest).chain([MALLORY.to_owned()]);
    let items: String = everybody.map(|jid| format!("<item jid='{jid}' subscription='both'/>")).collect();
    Some(result_of(stanza, &format!("<query xmlns='jabber:iq:roster'>{items}</query>")))
}

/// Who one of Mallory's devices is, where it has said so with the hash of a [`large_client`].
fn explanation(stanza: &Element) -> Option<String> {
    let query = find(stanza, "query", DISCO).filter(|_| stanza.attr("type") == Some("get"))?;
    let device = stanza.attr("to")?.rsplit_once('/')?.1;
    if !device.starts_with("caps") {
        return None;
    }
    let node = query.attr("node")?;
    let (number, _ver) = node.rsplit_once('#')?;
    let client = large_client(number.parse().ok()?);
    let mut features = String::new();
    for feature in &client.features {
        let _ = write!(features, "<feature var='{feature}'/>");
    }
    let identity = format!("<identity category='client' type='{}' name='{}'/>", client.kind, client.name);
    Some(result_of(stanza, &format!("<query xmlns='{DISCO}' node='{node}'>{identity}{features}</query>")))
}

/// The daemon logged in, with Mallory and the honest in the roster.
struct Stage {
    _server: Hostile,
    daemon: Daemon,
    peer: Served,
    asked: Arc<AtomicUsize>,
}

impl Stage {
    async fn set() -> Self {
        Self::set_with(Daemon::setup()).await
    }

    async fn set_with(setup: Setup) -> Self {
        let server = Hostile::listen().await;
        let daemon = Daemon::start(setup.trust_ca(&server.ca_pem)).await;
        let ui = Ui::connect(&daemon).await;
        let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let peer = server.accept_session("me", "secret").await.listen(move |stanza| {
            let is_question = matches!(stanza.attr("type"), Some("get" | "set"));
            counter.fetch_add(is_question.into(), Ordering::Relaxed);
            roster(stanza).or_else(|| explanation(stanza))
        });
        ui.answer(&login).await.expect("logged in");
        peer.ping().await;
        Self { _server: server, daemon, peer, asked }
    }

    async fn send(&self, text: &str) {
        self.peer.send(text).await.expect("the stream lives");
    }

    /// Memory that the process has, in MiB.
    fn mib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it had since [`Stage::forget_most`].
    fn most_mib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn forget_most(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.daemon.id()), "5").expect("a process of ours");
    }

    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.daemon.id());
        let status = std::fs::read_to_string(path).expect("the daemon lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// Until no more requests reach the peer: what was sent has been handled.
    async fn quiet(&self) {
        let mut before = usize::MAX;
        loop {
            self.peer.ping().await;
            let asked = self.asked.load(Ordering::Relaxed);
            if asked == before {
                return;
            }
            before = asked;
            sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Sends everything in a row to a daemon; returns by how much its memory has grown, in MiB: permanently, and at most.
/// Free memory returns to the system within seconds, so this waits for that, down to what the row allows.
async fn fill(row: &Row, setup: Setup) -> [u64; 2] {
    let stage = Stage::set_with(setup).await;
    let before = stage.mib();
    stage.forget_most();
    for start in (0..row.count).step_by(row.at_once) {
        let batch: String = (start..row.count.min(start + row.at_once)).map(row.stanza).collect();
        stage.send(&batch).await;
        stage.peer.ping().await;
    }
    stage.quiet().await;
    let mut grown = stage.mib().saturating_sub(before);
    for _ in 0..40 {
        if grown <= row.mib {
            break;
        }
        sleep(Duration::from_millis(250)).await;
        grown = stage.mib().saturating_sub(before);
    }
    [grown, stage.most_mib().saturating_sub(before)]
}

/// Fills a row with its bound, and without; returns what is wrong.
async fn try_out(row: &Row) -> Vec<String> {
    let Row { what, count, mib, held_by, is_passing, .. } = row;
    let (of, since) = (usize::from(*is_passing), Instant::now());
    let with = fill(row, Daemon::setup()).await;
    let (took, since) = (since.elapsed().as_secs_f32(), Instant::now());
    let without = fill(row, held_by.iter().fold(Daemon::setup(), |setup, guard| setup.without(guard))).await;
    println!(
        "{with:?} MiB of {mib} in {took:.1} s, {without:?} in {:.1} s without {held_by:?}: {count} {what}",
        since.elapsed().as_secs_f32()
    );
    let mut wrong = Vec::new();
    if with[of] > *mib {
        wrong.push(format!("{what}: {} MiB more, of {mib}", with[of]));
    }
    if without[of] <= *mib {
        wrong.push(format!(
            "{what}: {} MiB more of {mib} without {held_by:?}, which proves nothing",
            without[of]
        ));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_peer_grows_has_an_end() {
    let tried = futures::stream::iter(ROWS).map(try_out).buffer_unordered(3);
    let wrong: Vec<String> = tried.flat_map(futures::stream::iter).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Up to 64 replaced pictures and 4 MiB wait for their removal (`UNUSED` in daemon/src/cache/keeper.rs, where the
/// bytes are tested). Each contact changes four times: the pace for more frequent changes would delay the test.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_replaced_leave_the_disk() {
    let stage = Stage::set().await;
    for n in 0..240u8 {
        let contact = honest(n.into());
        let picture = png::solid(8, 8, [n, 1, 2]);
        let id = sha1_hex(&picture);
        let info = format!("<info id='{id}' bytes='{}' type='image/png'/>", picture.len());
        let metadata = format!("<metadata xmlns='urn:xmpp:avatar:metadata'>{info}</metadata>");
        stage.send(&pep("urn:xmpp:avatar:metadata", &id, &metadata).replace(MALLORY, &contact)).await;
        let wish =
            |stanza: &Element| find(stanza, "item", PUBSUB).is_some_and(|item| item.attr("id") == Some(&id));
        let asked = stage.peer.wait_for("a request for the picture", wish).await;
        let data = format!("<data xmlns='urn:xmpp:avatar:data'>{}</data>", BASE64_STANDARD.encode(&picture));
        let item = format!("<items node='urn:xmpp:avatar:data'><item id='{id}'>{data}</item></items>");
        stage.send(&result_of(&asked, &format!("<pubsub xmlns='{PUBSUB}'>{item}</pubsub>"))).await;
    }
    stage.peer.ping().await;
    let is_picture = |path: &PathBuf| path.extension().is_some_and(|it| it == "png");
    let pictures = || walk(&stage.daemon.cache_dir()).into_iter().filter(is_picture).count();
    let most = HONEST + 66;
    let mut found = pictures();
    for _ in 0..40 {
        if found <= most {
            break;
        }
        sleep(Duration::from_millis(250)).await;
        found = pictures();
    }
    assert!((HONEST..=most).contains(&found), "{found} pictures of {HONEST} contacts");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

/// The whole table at once, with an honest contact among it.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_everything_leaves_memory_flat_and_the_honest_in_time() {
    let hours: Option<usize> = std::env::var("PROSED_FLOOD_HOURS").ok().and_then(|hours| hours.parse().ok());
    // A few minutes' worth, unless more is wanted.
    let bytes = hours.map_or(24 * 1024 * 1024, |hours| hours * 3_600 * S2S_RATE);
    let stage = Stage::set().await;
    let ui = Ui::watching(&stage.daemon).await;
    // Without the largest stanzas, which would be most of the bytes, and without what only our own server may do.
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.count > 100 && !row.what.contains("pushes")).collect();
    let (mut sent, mut number, mut half, mut late) = (0, 0, None, Vec::new());
    while sent < bytes {
        let mut batch = String::new();
        for _ in 0..BATCH / 5 {
            let row = rows[number % rows.len()];
            batch += &(row.stanza)(number / rows.len());
            number += 1;
        }
        sent += batch.len();
        // In the midst of it, the honest one.
        let status = format!("honest {number}");
        let friend = honest(late.len());
        batch += &format!("<presence from='{friend}/x'><status>{status}</status></presence>");
        let since = Instant::now();
        stage.send(&batch).await;
        ui.contact(&friend, |contact| contact["status"] == status.as_str()).await;
        late.push(since.elapsed());
        ui.forget_received();
        stage.peer.ping().await;
        stage.peer.forget_received();
        if half.is_none() && sent >= bytes / 2 {
            half = Some(stage.mib());
        }
    }
    let half = half.expect("there is a half");
    let mut end = stage.mib();
    for _ in 0..40 {
        if end <= half + 8 {
            break;
        }
        sleep(Duration::from_millis(250)).await;
        end = stage.mib();
    }
    late.sort_unstable();
    let [middle, last] = [late[late.len() / 2], late[late.len() - 1]];
    println!(
        "{number} stanzas, {sent} bytes: {half} MiB at half, {end} at the end; late by {middle:?}, {last:?} at most"
    );
    assert!(end <= half + 8, "{half} MiB at half, {end} at the end");
    assert!(last <= Duration::from_secs(1), "an honest change was late by {last:?}");
    let account = ui.call("get_account", json!({})).await.expect("the account is there");
    assert_eq!(account["state"], "online");
}
