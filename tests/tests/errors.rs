//! Each error that a method may return according to the contract is provoked, where a test can, and must match its
//! description.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use minidom::Element;
use prosed_tests::contact::{AVATAR_DATA, AVATAR_METADATA, sha1_hex};
use prosed_tests::contract::Contract;
use prosed_tests::hostile::{Hostile, Lie, Sasl, Served, result_of};
use prosed_tests::http::{bearer, request};
use prosed_tests::server::Setup;
use prosed_tests::ui::RpcError;
use prosed_tests::xml::find;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, ports};
use serde_json::{Value, json};

const NOBODY: &str = "nobody@prosed.test";
const ROMEO: &str = "romeo@prosed.test";
const ROSTER: &str = "jabber:iq:roster";

/// What no test provokes, and why.
const LEFT_OUT: &[(&str, &[&str], &str)] = &[
    (
        "cursorExpired",
        &["load_state"],
        "it takes more events than are retained, or new accounts, again and again while it asks",
    ),
    (
        "storageFailed",
        &["logout", "load_avatar", "load_profile", "set_presence"],
        "it takes a full disk: tests/faults fills one",
    ),
    (
        "offline",
        &["get_account", "get_contact", "list_subscription_requests", "set_presence", "show_contacts"],
        "it takes a daemon that stops in this very moment: the cache answers them otherwise",
    ),
    (
        "internalError",
        &["logout", "get_account", "get_contact", "list_subscription_requests"],
        "it takes a crash in this very moment: they wait for nobody",
    ),
    (
        "internalError",
        &[
            "approve_subscription",
            "deny_subscription",
            "reconnect",
            "show_contacts",
            "request_subscription",
            "cancel_subscription",
        ],
        "it takes a crash in this very moment: they wait for nobody",
    ),
];

/// Which errors have come, of all that are promised.
struct Ledger {
    contract: Contract,
    seen: Mutex<BTreeSet<(String, String)>>,
}

impl Ledger {
    /// All methods that may answer with this error.
    fn methods(&self, kind: &str) -> Vec<String> {
        let named = self.contract.methods().filter_map(|method| method["name"].as_str());
        let may = named.filter(|name| self.contract.errors(name).iter().any(|error| error == kind));
        may.map(str::to_owned).collect()
    }

    /// The parameters of a method's example, with these added or replaced.
    fn params(&self, method: &str, others: Value) -> Value {
        let examples = self.contract.examples();
        let example = examples.iter().find(|example| example.method == method);
        let params = example.map_or(json!({}), |example| example.params.clone()).to_string();
        let params = params.replace("@example.org", "@prosed.test").replace("@example.net", "@prosed.test");
        let mut params: Value = serde_json::from_str(&params).expect("JSON");
        let known = self.contract.params_schema(method);
        for (name, value) in others.as_object().into_iter().flatten() {
            if known["properties"].get(name).is_some() {
                params[name] = value.clone();
            }
        }
        params
    }

    /// An answer must be this error, as the contract describes it.
    fn enter(&self, method: &str, kind: &str, answer: Result<Value, RpcError>) {
        let error = answer.err().unwrap_or_else(|| panic!("{method} has succeeded, where {kind} was due"));
        assert_eq!(error.kind(), kind, "{method}: {error:?}");
        assert!(self.contract.errors(method).iter().any(|one| one == kind), "{method} may not say {kind}");
        let described = &self.contract.0["components"]["errors"][kind];
        assert_eq!(described["code"], error.code, "{method}: {error:?}");
        let object = json!({ "code": error.code, "message": error.message, "data": error.data });
        for (schema, value) in [
            (json!({ "$ref": "#/components/schemas/Error" }), &object),
            (self.contract.0["x-errorData"].clone(), &error.data),
        ] {
            self.contract.check(&schema, value).unwrap_or_else(|wrong| panic!("{method}: {wrong}: {object}"));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((method.to_owned(), kind.to_owned()));
    }

    /// Calls every method that may return this error, except those, with these parameters added to its example's.
    async fn provoke(&self, ui: &Ui, kind: &str, others: Value, but: &[&str]) {
        for method in self.methods(kind).iter().filter(|method| !but.contains(&method.as_str())) {
            self.enter(method, kind, ui.call(method, self.params(method, others.clone())).await);
        }
    }
}

fn left_out(kind: &str) -> Vec<&'static str> {
    LEFT_OUT.iter().filter(|row| row.0 == kind).flat_map(|row| row.1.iter().copied()).collect()
}

/// Errors that need only a daemon.
async fn alone(ledger: &Ledger) {
    let daemon = Daemon::start(Daemon::setup()).await;
    let ui = Ui::connect(&daemon).await;
    ledger.provoke(&ui, "accountUnknown", json!({ "account": NOBODY }), &[]).await;
    ledger.provoke(&ui, "invalidJid", json!({ "account": "@" }), &["login"]).await;
    ledger.enter("login", "invalidJid", ui.call("login", json!({ "jid": "@" })).await);
    ledger.enter("login", "credentialsMissing", ui.call("login", json!({ "jid": NOBODY })).await);
    ledger.provoke(&ui, "cursorExpired", json!({ "since": 1_u64 << 50 }), &["load_state"]).await;
    let closed = json!({ "jid": NOBODY, "password": "x", "host": "127.0.0.1", "port": ports::free() });
    let unreachable = ui.send_call("login", closed).await;

    let headers = [("authorization", bearer(&daemon)), ("content-type", "application/json".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for method in ledger.methods("subscriptionNeedsWebSocket") {
        let params = ledger.params(&method, json!({}));
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = request(&daemon, "POST", "/rpc", &headers, &call).await.expect("an answer").json();
        let error = &answer["error"];
        let error = RpcError {
            code: error["code"].as_i64().unwrap_or_default(),
            message: error["message"].to_string(),
            data: error["data"].clone(),
        };
        ledger.enter(&method, "subscriptionNeedsWebSocket", Err(error));
    }

    // As many calls as one connection may have in flight, none of which is answered soon.
    let busy = Ui::connect(&daemon).await;
    for _ in 0..64 {
        busy.send_call("get_events", json!({ "timeout": 60 })).await;
    }
    ledger.provoke(&busy, "limitExceeded", json!({}), &[]).await;
    ledger.enter("login", "serverUnreachable", ui.answer(&unreachable).await);
}

/// Errors of accounts at a real server.
async fn with_accounts(ledger: &Ledger) {
    let setup = Setup::new(Kind::Prosody).friends("me", "romeo").friends("me", "alice").account("you");
    let server = Server::start(setup).await;
    let romeo = Contact::online(&server, "romeo").await;
    // A picture that is none.
    let junk = b"no picture at all";
    let id = sha1_hex(junk);
    romeo
        .publish(AVATAR_DATA, &id, &format!("<data xmlns='{AVATAR_DATA}'>bm8gcGljdHVyZSBhdCBhbGw=</data>"))
        .await
        .expect("published");
    let info = format!("<info id='{id}' type='image/png' bytes='{}'/>", junk.len());
    romeo.publish_avatar_metadata(&id, &info).await;

    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    let mut wrong = server.login("me");
    wrong["password"] = "guess".into();
    ledger.enter("login", "notAuthorized", ui.call("login", wrong).await);
    let stranger = Daemon::start(Daemon::setup()).await;
    let login = Ui::connect(&stranger).await.call("login", server.login("me")).await;
    ledger.enter("login", "tlsFailed", login);

    ui.call("login", server.login("me")).await.expect("logged in");
    ui.event("rosterLoaded", |_| true).await;
    ledger.provoke(&ui, "contactUnknown", json!({ "jid": NOBODY }), &[]).await;
    ledger.provoke(&ui, "notFound", json!({ "jid": "alice@prosed.test" }), &[]).await;
    ledger.enter("set_avatar", "invalidMedia", ui.call("set_avatar", json!({ "data": "AAAA" })).await);
    let picture = ui.call("load_avatar", json!({ "jid": ROMEO })).await;
    ledger.enter("load_avatar", "invalidMedia", picture);

    ui.call("login", server.login("you")).await.expect("logged in");
    ledger.provoke(&ui, "accountRequired", json!({ "account": null }), &[]).await;
    ui.call("logout", json!({ "account": "you@prosed.test", "forget": true })).await.expect("forgotten");
    ui.call("logout", json!({})).await.expect("logged out");
    let mut but = left_out("offline");
    // A cache answers the one, and the others are provoked below.
    but.extend(["login", "load_roster"]);
    ledger.provoke(&ui, "offline", json!({ "jid": ROMEO }), &but).await;
}

/// A daemon with an account at a server that says what the test wants.
async fn hostile(
    setup: prosed_tests::daemon::Setup,
    answer: impl FnMut(&Element) -> Option<String> + Send + 'static,
) -> (Daemon, Ui, Hostile, Served) {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(setup.trust_ca(&server.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let peer = server.accept_session("me", "secret").await.listen(answer);
    ui.answer(&login).await.expect("logged in, whatever else is answered");
    (daemon, ui, server, peer)
}

/// The roster, with Romeo in it.
fn roster(stanza: &Element) -> Option<String> {
    let items = format!(
        "<query xmlns='{ROSTER}'><item jid='{ROMEO}' subscription='both'><group>Friends</group></item></query>"
    );
    (stanza.attr("type") == Some("get")).then_some(())?;
    find(stanza, "query", ROSTER).map(|_| result_of(stanza, &items))
}

fn refusal(stanza: &Element) -> Option<String> {
    matches!(stanza.attr("type"), Some("get" | "set")).then_some(())?;
    let result = result_of(
        stanza,
        "<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    );
    Some(result.replacen("type='result'", "type='error'", 1))
}

/// A server that refuses everything but the roster, and then the roster, too.
async fn refused(ledger: &Ledger) {
    let (_daemon, ui, _server, peer) =
        hostile(Daemon::setup(), |stanza| roster(stanza).or_else(|| refusal(stanza))).await;
    // Without a picture announced, nobody could refuse its bytes.
    let id = sha1_hex(b"a picture");
    let event = format!(
        "<message type='headline' from='{ROMEO}'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
         <items node='{AVATAR_METADATA}'><item id='{id}'><metadata xmlns='{AVATAR_METADATA}'>\
         <info id='{id}' type='image/png' bytes='9'/></metadata></item></items></event></message>"
    );
    peer.send(&event).await.expect("sent");
    peer.wait_for("a wish for the picture", |stanza| prosed_tests::xml::print(stanza).contains(&id)).await;
    ledger.provoke(&ui, "stanzaError", json!({ "jid": ROMEO }), &["load_roster"]).await;
    // Refused while a call waits for it: the login has continued without it.
    let but_the_roster =
        |stanza: &Element| find(stanza, "query", ROSTER).map_or_else(|| refusal(stanza), |_| None);
    let (_daemon, ui, _server, peer) = hostile(Daemon::setup(), but_the_roster).await;
    let asked = peer.wait_for("a roster request", |stanza| find(stanza, "query", ROSTER).is_some()).await;
    let waiting = ui.send_call("load_roster", json!({})).await;
    ui.call("get_account", json!({})).await.expect("it has taken the call before");
    peer.send(&refusal(&asked).expect("a request")).await.expect("sent");
    ledger.enter("load_roster", "stanzaError", ui.answer(&waiting).await);
}

/// A server that answers only the roster, or nothing: what waits for it times out, or ends with a crash or a logout.
async fn silent(ledger: &Ledger) {
    let provocable = || Daemon::setup().environment("PROSED_PROVOKE", "1");
    let (_daemon, ui, _server, _peer) = hostile(provocable(), roster).await;
    let waiting = async |ui: &Ui, kind: &str| {
        let mut calls = Vec::new();
        for method in ledger.methods(kind).into_iter().filter(|method| method != "load_roster") {
            let params = ledger.params(&method, json!({ "jid": ROMEO }));
            calls.push((ui.send_call(&method, params).await, method));
        }
        calls
    };
    // Nobody answers, so all of them wait when the account crashes.
    let calls = waiting(&ui, "requestTimedOut").await;
    let crash = json!({ "availability": "away", "status": "panic now" });
    ledger.enter("set_presence", "internalError", ui.call("set_presence", crash.clone()).await);
    for (call, method) in calls {
        ledger.enter(&method, "internalError", ui.answer(&call).await);
    }

    let (_daemon, ui, _server, _peer) = hostile(Daemon::setup(), roster).await;
    let calls = waiting(&ui, "requestTimedOut").await;
    let (daemon, without, _server, _peer) = hostile(provocable(), |_| None).await;
    let pending = without.send_call("load_roster", json!({})).await;
    let late = async {
        for (call, method) in calls {
            ledger.enter(&method, "requestTimedOut", ui.answer(&call).await);
        }
        ledger.enter("load_roster", "requestTimedOut", without.answer(&pending).await);
    };
    late.await;
    let pending = without.send_call("load_roster", json!({})).await;
    ledger.enter("set_presence", "internalError", without.call("set_presence", crash).await);
    ledger.enter("load_roster", "internalError", without.answer(&pending).await);
    let pending = without.send_call("load_roster", json!({})).await;
    Ui::connect(&daemon).await.call("logout", json!({})).await.expect("logged out");
    ledger.enter("load_roster", "offline", without.answer(&pending).await);
}

/// Logins that fail on the way.
async fn on_the_way(ledger: &Ledger) {
    let server = Hostile::listen().await;
    let setup = Daemon::setup().trust_ca(&server.ca_pem).environment("PROSED_PROVOKE", "1");
    let daemon = Daemon::start(setup).await;
    let ui = Ui::connect(&daemon).await;
    let login = || ui.send_call("login", server.login_starttls("me", "secret"));

    let disabled = login().await;
    let mut peer = server.accept_starttls().await.expect("STARTTLS");
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    peer.open(&format!("<mechanisms xmlns='{sasl}'><mechanism>PLAIN</mechanism></mechanisms>"))
        .await
        .expect("open");
    peer.expect().await.expect("an attempt");
    peer.send(&format!("<failure xmlns='{sasl}'><account-disabled/></failure>")).await.expect("sent");
    ledger.enter("login", "accountDisabled", ui.answer(&disabled).await);

    let deceived = login().await;
    let mut peer = server.accept_starttls().await.expect("STARTTLS");
    let lie = Sasl::new("me", "secret").lying(Lie::WrongSignature);
    let _given_up = peer.authenticate(&lie).await;
    ledger.enter("login", "protocolViolation", ui.answer(&deceived).await);

    // Bound, and not yet answered: the roster is waited for.
    let replaced = login().await;
    let peer = server.accept_session("me", "secret").await.listen(|_| None);
    peer.wait_for("a roster request", |stanza| find(stanza, "query", ROSTER).is_some()).await;
    let conflict = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    peer.send(conflict).await.expect("sent");
    ledger.enter("login", "sessionReplaced", ui.answer(&replaced).await);

    // The login before has pinned SCRAM.
    let less = login().await;
    let mut peer = server.accept_starttls().await.expect("STARTTLS");
    let _given_up = peer.authenticate(&Sasl::new("me", "secret").offering(&["PLAIN"])).await;
    ledger.enter("login", "downgradeRefused", ui.answer(&less).await);
    // It would be tried again, in a minute or so.
    ui.call("logout", json!({})).await.expect("logged out");

    for (kind, method, params) in [
        ("offline", "logout", json!({ "account": "me@prosed.test" })),
        (
            "internalError",
            "set_presence",
            json!({ "account": "me@prosed.test", "availability": "away", "status": "panic now" }),
        ),
    ] {
        let pending = login().await;
        let _peer = server.accept_tcp().await;
        let _outcome = Ui::connect(&daemon).await.call(method, params).await;
        ledger.enter("login", kind, ui.answer(&pending).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_that_is_promised_comes() {
    let ledger = Ledger { contract: Contract::published(), seen: Mutex::default() };
    tokio::join!(
        alone(&ledger),
        with_accounts(&ledger),
        refused(&ledger),
        silent(&ledger),
        on_the_way(&ledger)
    );
    let mut promised = BTreeSet::new();
    for method in ledger.contract.methods() {
        let name = method["name"].as_str().expect("a name").to_owned();
        promised.extend(ledger.contract.errors(&name).into_iter().map(|kind| (name.clone(), kind)));
    }
    let seen = ledger.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing: BTreeSet<_> = promised.difference(&seen).cloned().collect();
    let expected = LEFT_OUT.iter().flat_map(|(kind, methods, _)| {
        methods.iter().map(|method| ((*method).to_owned(), (*kind).to_owned()))
    });
    assert_eq!(missing, expected.collect(), "what did not come, and what was not expected to");
}
