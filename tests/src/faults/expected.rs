//! What UIs should be shown: the roster according to the server, presences according to the contacts themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use minidom::Element;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::server::{Door, Server};
use crate::xml::find;
use crate::{Contact, Ui};

/// Between two polls of a roster that is not yet as expected.
const POLL: Duration = Duration::from_millis(50);
/// The contacts' availabilities; `None` is plain available.
const SHOWS: [Option<&str>; 5] = [None, Some("chat"), Some("away"), Some("xa"), Some("dnd")];

/// A contact that comes, goes and changes, and knows its last presence.
#[derive(Debug)]
pub struct Friend {
    name: String,
    door: Door,
    live: Option<Contact>,
    said: (&'static str, Option<String>),
}

/// A contact's last presence.
#[derive(Clone, Debug)]
pub struct Said {
    /// Who.
    pub jid: String,
    /// `availability` and `status` that prosed should show.
    pub said: (&'static str, Option<String>),
}

impl Friend {
    /// A contact's client, not connected.
    pub fn new(server: &Server, name: &str) -> Self {
        Self { name: name.to_owned(), door: server.door(), live: None, said: ("unavailable", None) }
    }

    /// What it said last.
    pub fn said(&self) -> Said {
        Said { jid: self.door.jid(&self.name), said: self.said.clone() }
    }

    /// Goes online and sends a presence.
    pub async fn say(&mut self, show: Option<&'static str>, status: &str) {
        if self.live.is_none() {
            self.live = Some(Contact::connect(self.door.clone(), &self.name).await);
        }
        if let Some(contact) = &mut self.live {
            contact.set_presence(show, Some(status)).await;
        }
        self.said = (show.unwrap_or("available"), Some(status.to_owned()));
    }

    /// Goes offline cleanly, and waits until the server has noticed.
    pub async fn leave(&mut self) {
        if let Some(contact) = self.live.take() {
            contact.disconnect().await;
        }
        self.said = ("unavailable", None);
    }

    /// The server has gone, and the connection with it.
    pub fn lose(&mut self) {
        self.live = None;
        self.said = ("unavailable", None);
    }

    /// Changes its presence, leaves, or comes back.
    pub async fn do_something(&mut self, dice: &mut StdRng) {
        if self.live.is_some() && dice.random_ratio(1, 5) {
            self.leave().await;
        } else {
            let show = SHOWS[dice.random_range(0..SHOWS.len())];
            self.say(show, &format!("word {}", dice.random::<u32>())).await;
        }
    }
}

/// An account's roster as the server sends it to another of its clients.
pub async fn server_roster(server: &Server, name: &str) -> BTreeMap<String, Value> {
    let witness = Contact::connect_as(server, name, "witness", Default::default()).await;
    let answer = witness.get(None, "<query xmlns='jabber:iq:roster'/>").await.expect("a roster");
    witness.vanish().await;
    items(&answer)
}

/// The items of a roster, by JID.
fn items(answer: &Element) -> BTreeMap<String, Value> {
    let items = find(answer, "query", "jabber:iq:roster").into_iter().flat_map(Element::children);
    items.map(|item| (item.attr("jid").unwrap_or_default().to_owned(), shape(item))).collect()
}

/// prosed's view of a roster item.
fn shape(item: &Element) -> Value {
    let mut groups: Vec<_> =
        item.children().filter(|child| child.name() == "group").map(Element::text).collect();
    groups.sort();
    json!({
        "rosterName": item.attr("name"),
        "subscription": item.attr("subscription").unwrap_or("none"),
        "groups": groups,
    })
}

/// Where prosed's contacts differ from the server's roster and from the friends' presences.
pub fn untrue(
    contacts: &Value,
    roster: &BTreeMap<String, Value>,
    friends: impl IntoIterator<Item = Said>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let contacts: BTreeMap<_, _> = contacts
        .as_array()
        .into_iter()
        .flatten()
        .map(|contact| (contact["jid"].as_str().unwrap_or_default(), contact))
        .collect();
    for (jid, item) in roster {
        let Some(contact) = contacts.get(jid.as_str()) else {
            wrong.push(format!("{jid} is missing"));
            continue;
        };
        for field in ["rosterName", "subscription", "groups"] {
            if contact[field] != item[field] {
                wrong.push(format!("{field} of {jid} is {}, not {}", contact[field], item[field]));
            }
        }
    }
    let strangers = contacts.keys().filter(|jid| !roster.contains_key(**jid));
    wrong.extend(strangers.map(|jid| format!("{jid} is no contact")));
    for Said { jid, said } in friends {
        let shown = contacts.get(jid.as_str()).map(|contact| {
            (contact["availability"].as_str().unwrap_or_default(), contact["status"].as_str())
        });
        let said = (said.0, said.1.as_deref());
        if shown != Some(said) {
            wrong.push(format!("{jid} said {said:?} and is shown as {shown:?}"));
        }
    }
    wrong
}

/// Loads the roster until all of it is correct, or patience ends; returns the last one, how long it took, and what
/// was wrong with it.
pub async fn settled(
    ui: &Ui,
    account: &str,
    roster: &BTreeMap<String, Value>,
    friends: &[Friend],
    patience: Duration,
) -> (Value, Duration, Vec<String>) {
    let begun = Instant::now();
    loop {
        let answer = ui.call("load_roster", json!({ "account": account })).await;
        let (loaded, wrong) = match answer {
            Ok(loaded) => {
                let wrong = untrue(&loaded["contacts"], roster, friends.iter().map(Friend::said));
                (loaded, wrong)
            }
            Err(error) => (Value::Null, vec![format!("no roster: {error:?}")]),
        };
        if wrong.is_empty() || begun.elapsed() > patience {
            return (loaded, begun.elapsed(), wrong);
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> BTreeMap<String, Value> {
        let item = |name: &str, groups: Value| json!({ "rosterName": name, "subscription": "both", "groups": groups });
        [
            ("anna@prosed.test".to_owned(), item("Anna", json!(["Friends", "Work"]))),
            ("ben@prosed.test".to_owned(), item("Ben", json!([]))),
        ]
        .into()
    }

    fn shown(availability: &str, status: Option<&str>) -> Value {
        let mut anna = roster()["anna@prosed.test"].clone();
        anna["jid"] = "anna@prosed.test".into();
        anna["availability"] = availability.into();
        if let Some(status) = status {
            anna["status"] = status.into();
        }
        let mut ben = roster()["ben@prosed.test"].clone();
        ben["jid"] = "ben@prosed.test".into();
        ben["availability"] = "unavailable".into();
        json!([anna, ben])
    }

    fn said(name: &str, availability: &'static str, status: Option<&str>) -> Said {
        Said { jid: format!("{name}@prosed.test"), said: (availability, status.map(str::to_owned)) }
    }

    #[test]
    fn what_is_not_as_the_server_and_the_contacts_say_is_found() {
        let friends = [said("anna", "away", Some("Lunch")), said("ben", "unavailable", None)];
        let untrue = |contacts: &Value| untrue(contacts, &roster(), friends.iter().cloned());
        let expected = shown("away", Some("Lunch"));
        assert_eq!(untrue(&expected), Vec::<String>::new());

        type Plant = fn(&mut Value);
        let planted: [(&str, Plant); 9] = [
            ("another name", |contacts| contacts[0]["rosterName"] = "Hannah".into()),
            ("another subscription", |contacts| contacts[0]["subscription"] = "to".into()),
            ("a group too few", |contacts| contacts[0]["groups"] = json!(["Friends"])),
            ("a group too many", |contacts| contacts[1]["groups"] = json!(["Friends"])),
            ("still there", |contacts| contacts[1]["availability"] = "available".into()),
            ("gone already", |contacts| contacts[0]["availability"] = "unavailable".into()),
            ("the words before", |contacts| contacts[0]["status"] = "Breakfast".into()),
            ("words that were taken back", |contacts| contacts[1]["status"] = "Lunch".into()),
            ("one too many", |contacts| {
                let mut stranger = contacts[1].clone();
                stranger["jid"] = "stranger@prosed.test".into();
                contacts.as_array_mut().expect("contacts").push(stranger);
            }),
        ];
        for (what, plant) in planted {
            let mut contacts = expected.clone();
            plant(&mut contacts);
            assert_eq!(untrue(&contacts).len(), 1, "{what}: {contacts}");
        }
        // Missing from the roster, and so from those present.
        assert_eq!(untrue(&json!([expected[0]])).len(), 2);
        assert_eq!(untrue(&Value::Null).len(), 4, "no roster at all");
    }

    #[test]
    fn the_servers_roster_is_read_as_prosed_shows_it() {
        let answer = "<iq xmlns='jabber:client'><query xmlns='jabber:iq:roster'>\
            <item jid='anna@prosed.test' name='Anna' subscription='both'><group>Work</group><group>Friends</group></item>\
            <item jid='ben@prosed.test'/></query></iq>";
        let read = items(&answer.parse().expect("an answer"));
        assert_eq!(read["anna@prosed.test"], roster()["anna@prosed.test"]);
        let plain = json!({ "rosterName": null, "subscription": "none", "groups": [] });
        assert_eq!(read["ben@prosed.test"], plain);
    }
}
