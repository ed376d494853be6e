//! A real browser at the doors: which pages are admitted, with everything they can fire at a local port.

use std::collections::BTreeSet;

use prosed_tests::daemon::Setup;
use prosed_tests::hostile::{Hostile, Served};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui, browser, ports};
use serde_json::{Value, json};

const ME: &str = "me@prosed.test";
const LISTED: &str = "http://listed.example";

/// A daemon with an account that is online: a call that succeeds shows at its server.
struct Target {
    name: String,
    daemon: Daemon,
    server: Served,
}

impl Target {
    /// One without these guards.
    async fn start(server: &Hostile, without: &[&str]) -> Self {
        let setup = Daemon::setup().trust_ca(&server.ca_pem);
        let setup = setup.config(&format!("allowed_origins = [{LISTED:?}]"));
        let setup = without.iter().fold(setup, |setup, guard| setup.without(guard));
        let daemon = Daemon::start(setup).await;
        let ui = Ui::connect(&daemon).await;
        let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
        let served = server.accept_session("me", "secret").await.serve(|_| None);
        ui.answer(&login).await.expect("logged in");
        let name = if without.is_empty() { "guarded".to_owned() } else { without.join("-") };
        Self { name, daemon, server: served }
    }

    /// As the script wants it, to be attacked from these pages.
    fn described(&self, pages: &[&str]) -> Value {
        let address = self.daemon.address();
        let port: u16 = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        json!({ "name": self.name, "port": port, "token": self.daemon.token(), "pages": pages })
    }

    /// What got in: it set the status, or read something protected.
    async fn entered(&self, read: &Value) -> BTreeSet<String> {
        self.server.ping().await;
        let status = |stanza: &minidom::Element| find(stanza, "status", "jabber:client").map(|it| it.text());
        let mut entered: BTreeSet<_> = self.server.received().iter().filter_map(status).collect();
        let read = read[&self.name].as_object().expect("a report");
        let secrets = [ME, "prosed_sessions", "\"openrpc\""];
        let told = read.iter().filter(|(_, text)| {
            text.as_str().is_some_and(|text| secrets.iter().any(|secret| text.contains(secret)))
        });
        entered.extend(told.map(|(name, _)| name.clone()));
        entered
    }
}

/// With a stolen token, as one of the user's own pages would have it.
const TOKEN: &str = "+token";
/// What a page with the token gets in with, where its origin is listed.
const LISTED_GETS: [&str; 5] = ["websocket", "json", "worker", "get-metrics", "get-openrpc"];
/// Where a foreign page may come from at the daemon's own address …
const STRANGERS: [&str; 6] = ["cross-site", "other-port", "localhost", "sandboxed", "data", "file"];
/// … and under a name that now resolves to it (DNS rebinding).
const REBOUND: &str = "rebound";
/// Pages that try the daemon without guards: one of each kind.
const OPEN_TO: [&str; 4] = ["cross-site", "sandboxed", "file", REBOUND];

fn each<'a>(pages: &[&'a str], with: &'a str, weapons: &'a [&str]) -> BTreeSet<String> {
    let names =
        pages.iter().flat_map(|page| weapons.iter().map(move |weapon| format!("{page}{with} {weapon}")));
    names.collect()
}

#[tokio::test]
async fn no_page_gets_in_but_a_listed_one() {
    let server = Hostile::listen().await;
    let guarded = Target::start(&server, &[]).await;
    let no_origin = Target::start(&server, &["origin"]).await;
    let no_host = Target::start(&server, &["host"]).await;
    let open = Target::start(&server, &["host", "origin", "foreign-page", "token", "content-type"]).await;
    let pages = [&STRANGERS[..], &[REBOUND, "listed"]].concat();
    let daemons = [
        guarded.described(&pages),
        no_origin.described(&STRANGERS),
        no_host.described(&[REBOUND]),
        open.described(&OPEN_TO),
    ];
    let read = browser::run("attacks.mjs", &json!({ "daemons": daemons, "listed": LISTED })).await;

    let listed = each(&["listed"], TOKEN, &LISTED_GETS);
    assert_eq!(guarded.entered(&read).await, listed, "0 of the others");
    let attempts = read[&guarded.name].as_object().expect("a report");
    assert!(attempts.len() >= 450, "{}", attempts.len());
    for (attempt, text) in attempts.iter().filter(|(attempt, _)| !attempt.starts_with("listed")) {
        assert!(text.is_null(), "{attempt} read {text}");
    }

    // Without the guard on origins, any page with the token gets in …
    let entered = no_origin.entered(&read).await;
    let expected = each(&STRANGERS, TOKEN, &["websocket", "json", "get-metrics"]);
    let expected = &expected | &each(&["localhost"], TOKEN, &["service-worker"]);
    assert!(entered.is_superset(&expected), "{:#?}", &expected - &entered);
    assert!(entered.iter().all(|attempt| attempt.contains(TOKEN)), "{entered:#?}");
    // … and without the guard on hosts, so does one that was rebound to us: it needs no Origin to read.
    let rebound = each(&[REBOUND], TOKEN, &["get-metrics", "get-openrpc"]);
    assert_eq!(no_host.entered(&read).await, rebound);
    // Without any guard, every page.
    let entered = open.entered(&read).await;
    let weapons = ["websocket", "json", "text", "no-cors", "redirected", "xhr", "beacon-text", "form-text"];
    for with in ["", TOKEN] {
        let expected = each(&OPEN_TO, with, &weapons);
        assert!(entered.is_superset(&expected), "{:#?}", &expected - &entered);
    }
}

/// For each of these, a page must see the same as from a port without a listener.
#[tokio::test]
async fn a_page_can_not_tell_us_from_a_closed_port() {
    let port = |daemon: &Daemon| -> u16 {
        daemon.address().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    };
    let guarded = Daemon::start(Daemon::setup()).await;
    let setup = ["host", "origin", "foreign-page"].into_iter().fold(Daemon::setup(), Setup::without);
    let open = Daemon::start(setup).await;
    let ports = json!({ "guarded": port(&guarded), "open": port(&open), "closed": ports::free() });
    let pages = ["cross-site", "other-port", "sandboxed", "file", REBOUND];
    let seen = browser::run("presence.mjs", &json!({ "ports": ports, "looks": pages })).await;
    for page in pages {
        let [guarded, open, closed] =
            ["guarded", "open", "closed"].map(|port| seen[port][page].as_object().expect("a report"));
        assert!(closed.len() >= 15, "{closed:#?}");
        for (probe, what) in closed {
            assert_eq!(&guarded[probe], what, "{page}: {probe}");
        }
        let told: Vec<_> = closed.iter().filter(|(probe, what)| &open[*probe] != *what).collect();
        assert!(!told.is_empty(), "{page}: no probe finds out anything: {closed:#?}");
    }
    // `prosectl open` leads there by such a page.
    let console = |port: &str| seen[port]["opening"].clone();
    assert_eq!((console("guarded"), console("closed")), (json!(null), json!(null)));
    std::fs::write(guarded.runtime_dir().join("open.html"), "").expect("the folder can be written");
    let again = json!({ "ports": { "guarded": port(&guarded) }, "looks": [] });
    let opened = browser::run("presence.mjs", &again).await;
    assert_eq!(opened["guarded"]["opening"], "prosed");
}
