//! What is so: the roster as the server has it, presences as the contacts themselves know them.

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

/// Between two looks at a roster that is not yet what it should be.
const POLL: Duration = Duration::from_millis(50);
/// What contacts say they are; `None` is plainly available.
const SHOWS: [Option<&str>; 5] = [None, Some("chat"), Some("away"), Some("xa"), Some("dnd")];

/// A contact that comes, goes and changes, and knows what it last said.
#[derive(Debug)]
pub struct Friend {
    name: String,
    door: Door,
    live: Option<Contact>,
    /// `availability` and `status` that prosed should show.
    pub said: (&'static str, Option<String>),
}

impl Friend {
    /// An account's own client, not connected.
    pub fn new(server: &Server, name: &str) -> Self {
        Self { name: name.to_owned(), door: server.door(), live: None, said: ("unavailable", None) }
    }

    /// The bare JID.
    pub fn jid(&self) -> String {
        self.door.jid(&self.name)
    }

    /// Is online and says something.
    pub async fn say(&mut self, show: Option<&'static str>, status: &str) {
        if self.live.is_none() {
            self.live = Some(Contact::connect(self.door.clone(), &self.name).await);
        }
        if let Some(contact) = &mut self.live {
            contact.set_presence(show, Some(status)).await;
        }
        self.said = (show.unwrap_or("available"), Some(status.to_owned()));
    }

    /// Takes leave, and waits until the server has heard it.
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

    /// Says something new, leaves, or comes back.
    pub async fn do_something(&mut self, dice: &mut StdRng) {
        if self.live.is_some() && dice.random_ratio(1, 5) {
            self.leave().await;
        } else {
            let show = SHOWS[dice.random_range(0..SHOWS.len())];
            self.say(show, &format!("word {}", dice.random::<u32>())).await;
        }
    }
}

/// The roster of an account as the server tells it to another of its clients.
pub async fn server_roster(server: &Server, name: &str) -> BTreeMap<String, Value> {
    let witness = Contact::connect_as(server, name, "witness", Default::default()).await;
    let answer = witness.get(None, "<query xmlns='jabber:iq:roster'/>").await.expect("a roster");
    witness.vanish().await;
    let items = find(&answer, "query", "jabber:iq:roster").into_iter().flat_map(Element::children);
    items.map(|item| (item.attr("jid").unwrap_or_default().to_owned(), shape(item))).collect()
}

/// What prosed says of a roster item.
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

/// What in prosed's contacts differs from the server's roster and from what the friends said.
pub fn untrue<'a>(
    contacts: &Value,
    roster: &BTreeMap<String, Value>,
    friends: impl IntoIterator<Item = &'a Friend>,
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
    for friend in friends {
        let jid = friend.jid();
        let shown = contacts.get(jid.as_str()).map(|contact| {
            (contact["availability"].as_str().unwrap_or_default(), contact["status"].as_str())
        });
        let said = (friend.said.0, friend.said.1.as_deref());
        if shown != Some(said) {
            wrong.push(format!("{jid} said {said:?} and is shown as {shown:?}"));
        }
    }
    wrong
}

/// Loads the roster until all of it is true, or patience ends; answers with the last one, how long it
/// took, and what was wrong with it.
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
                let wrong = untrue(&loaded["contacts"], roster, friends);
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
