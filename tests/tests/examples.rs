//! Every example of the contract is run against a live daemon on a real server: its request is sent, and the answer
//! must match in full.
//!
//! The document's world is rebuilt on the server: Romeo away under the balcony, Juliet a stranger. What differs in
//! each run is removed from both sides: times, random names, opaque versions. Event numbers are relative to the run.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::contact::{Client, VCARD4};
use prosed_tests::contract::{Contract, Example};
use prosed_tests::server::Setup;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui};
use serde_json::{Value, json};

/// The event number at which the document's roster is true.
const FIRST_SEQ: u64 = 41;
/// The document's subscription.
const SUBSCRIPTION: u64 = 7;

/// The order of the play; what an example needs comes before it.
const ORDER: &[&str] = &[
    "login",
    "list_accounts",
    "get_account",
    "reconnect",
    "load_roster",
    "load_state",
    "get_contact",
    "show_contacts",
    "load_avatar",
    "load_profile",
    "get_events",
    "add_contact",
    "update_contact",
    "remove_contact",
    "rename_group",
    "request_subscription",
    "cancel_subscription",
    "list_subscription_requests",
    "deny_subscription",
    "approve_subscription",
    "set_avatar",
    "set_profile",
    "set_presence",
    "set_activity",
    "get_version",
    "logout",
];

/// How much of an answer its example must show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// All of it.
    Whole,
    /// What there was when the contract was frozen: fields may have been added since.
    Then,
}

struct Stage {
    contract: Contract,
    shown: Shown,
    server: Server,
    daemon: Daemon,
    ui: Ui,
    romeo: Contact,
    juliet: Contact,
    /// What the document's [`FIRST_SEQ`] is here.
    seq: u64,
    /// What the document's [`SUBSCRIPTION`] is here.
    subscription: Value,
}

impl Stage {
    async fn set(contract: Contract, shown: Shown) -> Self {
        let password = example(&contract, "login").params["password"].clone();
        let setup = Setup::new(Kind::Prosody)
            .account_with_password("me", password.as_str().expect("a password"))
            .account("juliet")
            .friends("me", "romeo");
        let server = Server::start(setup).await;
        let ourselves = Contact::connect(&server, "me").await;
        let me = ourselves.jid.clone();
        ourselves.add_to_roster(&server.jid("romeo"), Some("Romeo"), &["Friends"]).await;
        ourselves.disconnect().await;

        let romeo = romeo(&server, &example(&contract, "get_contact").result).await;
        let picture = example(&contract, "load_avatar").result["data"].clone();
        let picture = BASE64_STANDARD.decode(picture.as_str().expect("base64")).expect("base64");
        romeo.publish_avatar(&picture).await;
        romeo
            .publish_vcard4(
                VCARD4,
                &format!(
                    "<fn><text>Romeo Montague</text></fn><email><text>{}</text></email>\
                     <adr><locality>Verona</locality><country>Italy</country></adr>",
                    server.jid("romeo")
                ),
            )
            .await;
        let juliet = Contact::online(&server, "juliet").await;

        // DNS tells nothing of the test's server.
        let way =
            format!("[accounts.{me:?}]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"starttls\"", server.port);
        let daemon = Daemon::start(Daemon::setup().trust(&server).config(&way)).await;
        let ui = Ui::watching(&daemon).await;
        Self { contract, shown, server, daemon, ui, romeo, juliet, seq: 0, subscription: Value::Null }
    }

    /// A value of the document as it is on this stage.
    fn fit(&self, value: &Value) -> Value {
        let text =
            value.to_string().replace("@example.org", "@prosed.test").replace("@example.net", "@prosed.test");
        let mut value = serde_json::from_str(&text).expect("still JSON");
        self.renumber(&mut value);
        value
    }

    fn renumber(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.renumber(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    match (name.as_str(), field.as_u64()) {
                        ("seq" | "since", Some(number)) => *field = (self.seq + number - FIRST_SEQ).into(),
                        ("id", Some(SUBSCRIPTION)) => *field = self.subscription.clone(),
                        _ => self.renumber(field),
                    }
                }
            }
            _ => {}
        }
    }

    /// Establishes what the example assumes.
    async fn prepare(&mut self, method: &str) {
        let me = self.server.jid("me");
        match method {
            "list_accounts" => {
                // Everything requested after a login has arrived.
                let shown = self.fit(&example(&self.contract, "load_roster").result["contacts"][0]);
                let shown = without_chance(shown);
                self.ui.contact(&self.romeo.jid, |contact| without_chance(contact.clone()) == shown).await;
            }
            "load_roster" | "load_state" | "get_events" => {
                if method == "get_events" {
                    self.romeo.send("<presence type='unavailable'/>").await;
                    self.ui.contact(&self.romeo.jid, |contact| contact.get("lastSeen").is_some()).await;
                }
                // Not counted from an earlier number: the daemon may report more than one event in between.
                let state = self.ui.call("load_state", json!({})).await.expect("a state");
                self.seq = state["seq"].as_u64().expect("a number");
                if method == "get_events" {
                    self.romeo.send(&romeos_presence(&self.romeo.client)).await;
                }
            }
            "update_contact" => {
                // The request has gone out behind the answer.
                self.ui.contact(&self.juliet.jid, |contact| contact["ask"] == true).await;
            }
            "deny_subscription" => self.juliet.forget_received(),
            "list_subscription_requests" | "approve_subscription" => {
                if method == "approve_subscription" {
                    // She asks again once she has been told no.
                    self.juliet.wait_for("a no", |stanza| stanza.attr("type") == Some("unsubscribed")).await;
                }
                self.juliet
                    .send(&format!(
                        "<presence type='subscribe' to='{me}'><status>We met at the ball</status>\
                         <nick xmlns='http://jabber.org/protocol/nick'>Juliet</nick></presence>"
                    ))
                    .await;
                self.ui.event("subscriptionRequested", |event| event["jid"] == self.juliet.jid).await;
            }
            _ => {}
        }
    }

    async fn play(&mut self, example: &Example) {
        let Example { method, params, result } = example;
        self.prepare(method).await;
        let answer = self.ui.call(method, self.fit(params)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method}: {error:?}\n{}", self.daemon.log()));
        let described = self.contract.method(method);
        let checked = self.contract.check(&described["result"]["schema"], &answer);
        checked.unwrap_or_else(|error| panic!("{method}: {error}: {answer}"));
        let result = if described.get("x-subscription").is_some() {
            assert_eq!(*result, SUBSCRIPTION);
            self.subscription = answer.clone();
            answer.clone()
        } else {
            self.fit(result)
        };
        let (mut answer, result) = (without_chance(answer), without_chance(result));
        if self.shown == Shown::Then {
            forget_additions(&mut answer, &result);
        }
        assert_eq!(answer, result, "{method}");
    }

    /// Such an event has come, whatever its number.
    fn has_told(&self, event: &Value) {
        let (mut shown, told) = (self.fit(event), self.ui.events());
        for event in &told {
            shown["seq"] = event["seq"].clone();
            let (mut told, shown) = (without_chance(event.clone()), without_chance(shown.clone()));
            if self.shown == Shown::Then {
                forget_additions(&mut told, &shown);
            }
            if told == shown {
                let checked = self.contract.check(&self.contract.0["x-events"]["schema"], event);
                return checked.unwrap_or_else(|error| panic!("{error}: {event}"));
            }
        }
        panic!("no event is like {shown}\nThese came: {}", json!(told));
    }
}

fn example(contract: &Contract, method: &str) -> Example {
    contract.examples().into_iter().find(|example| example.method == method).expect("an example")
}

/// Romeo as the document shows him.
async fn romeo(server: &Server, shown: &Value) -> Contact {
    let device = &shown["resources"][0];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let client = Client {
        name: text(&device["client"]["name"]),
        kind: text(&device["client"]["type"]),
        features: device["features"].as_array().expect("features").iter().map(text).collect(),
    };
    let romeo = Contact::connect_as(server, "romeo", &text(&device["resource"]), client).await;
    romeo.send(&romeos_presence(&romeo.client)).await;
    romeo
}

fn romeos_presence(client: &Client) -> String {
    format!(
        "<presence><show>away</show><status>Under the balcony</status><priority>5</priority>{}</presence>",
        client.caps()
    )
}

/// The same without what no two runs share.
fn without_chance(mut value: Value) -> Value {
    forget_chance(&mut value);
    value
}

fn forget_chance(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(forget_chance),
        Value::Object(fields) => {
            // An account's resource is the server's choice.
            if let (Some(_), Some((bare, _))) = (
                fields.get("state"),
                fields.get("jid").and_then(Value::as_str).and_then(|jid| jid.split_once('/')),
            ) {
                let bare = bare.to_owned();
                fields.insert("jid".to_owned(), bare.into());
                fields.insert("resource".to_owned(), "resource".into());
            }
            for (name, field) in fields {
                match (name.as_str(), field.as_str()) {
                    ("since" | "time" | "lastStanzaAt" | "receivedAt" | "version", Some(_)) => {
                        *field = name.as_str().into();
                    }
                    ("url", Some(url)) if url.starts_with("/avatars/") => {
                        *field = url.rsplit('/').next().into();
                    }
                    _ => forget_chance(field),
                }
            }
        }
        _ => {}
    }
}

/// Takes out of an answer the fields that its example does not show.
fn forget_additions(answer: &mut Value, shown: &Value) {
    match (answer, shown) {
        (Value::Array(items), Value::Array(shown)) => {
            items.iter_mut().zip(shown).for_each(|(item, shown)| forget_additions(item, shown));
        }
        (Value::Object(fields), Value::Object(shown)) => {
            fields.retain(|name, _| shown.contains_key(name));
            fields.iter_mut().for_each(|(name, field)| forget_additions(field, &shown[name]));
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_example_is_true() {
    play(Contract::published(), Shown::Whole).await;
}

#[tokio::test]
async fn what_older_contracts_show_still_works() {
    for contract in Contract::frozen() {
        play(contract, Shown::Then).await;
    }
}

async fn play(contract: Contract, shown: Shown) {
    let examples = contract.examples();
    let subscriptions = contract.methods().filter_map(|method| {
        let ended_by = method.get("x-subscription")?["unsubscribe"].as_str()?;
        Some([method["name"].as_str()?.to_owned(), ended_by.to_owned()])
    });
    let mut order: Vec<_> = ORDER.iter().map(|method| (*method).to_owned()).collect();
    // Before the logout.
    let end = order.pop();
    order.extend(subscriptions.flatten().chain(end));
    let mut stage = Stage::set(contract, shown).await;
    let mut played = 0;
    for method in order {
        for example in examples.iter().filter(|example| example.method == method) {
            stage.play(example).await;
            played += 1;
        }
    }
    assert_eq!(played, examples.len(), "each has its place in the play");
    for event in stage.contract.events() {
        stage.has_told(&event);
    }
}
