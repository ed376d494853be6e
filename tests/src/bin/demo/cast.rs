//! The contacts of the demo, and what they do all day.

use std::time::Duration;

use prosed_tests::contact::{Client, VCARD4};
use prosed_tests::server::Door;
use prosed_tests::xml::escape;
use prosed_tests::{Contact, Server, png};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The pause between two actions of one contact.
const PACE: std::ops::Range<u64> = 1_500..6_000;
/// The side of an avatar, in pixels.
const AVATAR: u16 = 48;

/// A contact with a name, a profession, and statuses.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) full_name: &'static str,
    client: (&'static str, &'static str),
    titles: &'static [&'static str],
    moods: &'static [(Option<&'static str>, &'static str)],
}

/// All of them.
pub(crate) static CAST: &[Actor] = &[
    Actor {
        name: "ada",
        full_name: "Ada Lovelace",
        client: ("Loom", "pc"),
        titles: &["Analyst", "Countess of Lovelace", "Enchantress of Numbers"],
        moods: &[(None, "weaving patterns"), (Some("dnd"), "on note G"), (Some("away"), "riding")],
    },
    Actor {
        name: "alan",
        full_name: "Alan Turing",
        client: ("Tape", "pc"),
        titles: &["Reader", "Marathon runner"],
        moods: &[(Some("away"), "running to London"), (None, "halting, perhaps"), (Some("dnd"), "hut 8")],
    },
    Actor {
        name: "grace",
        full_name: "Grace Hopper",
        client: ("Mark", "bot"),
        titles: &["Commodore", "Rear admiral"],
        moods: &[
            (Some("chat"), "ask me for a nanosecond"),
            (Some("dnd"), "catching a moth"),
            (None, "aboard"),
        ],
    },
    Actor {
        name: "hedy",
        full_name: "Hedy Lamarr",
        client: ("Hopper", "phone"),
        titles: &["Inventor", "Actress"],
        moods: &[(Some("xa"), "on set"), (None, "changing frequency"), (Some("chat"), "between takes")],
    },
    Actor {
        name: "katherine",
        full_name: "Katherine Johnson",
        client: ("Orbit", "web"),
        titles: &["Computer", "Aerospace technologist"],
        moods: &[
            (Some("dnd"), "checking the numbers"),
            (None, "in the room"),
            (Some("away"), "bridge night"),
        ],
    },
];

/// Publishes everybody's first avatar and profile, and keeps them active until the set is dropped.
pub(crate) async fn enter(server: &Server) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (index, actor) in CAST.iter().enumerate() {
        let mut random = StdRng::seed_from_u64(index as u64);
        let contact = actor.connect(server).await;
        contact.publish_avatar(&avatar(&mut random)).await;
        actor.publish_profile(&contact, 0).await;
        // The last one arrives later, so that one is seen coming online.
        let contact = if index + 1 == CAST.len() {
            contact.disconnect().await;
            None
        } else {
            Some(contact)
        };
        tasks.spawn(actor.live(server.door(), contact, random));
    }
    tasks
}

impl Actor {
    async fn connect(&self, door: impl Into<Door>) -> Contact {
        let (software, kind) = self.client;
        let mut contact = Contact::connect_as(door, self.name, kind, Client::new(software, kind)).await;
        let (show, status) = self.moods[0];
        contact.set_presence(show, Some(status)).await;
        contact
    }

    async fn publish_profile(&self, contact: &Contact, title: usize) {
        let (name, title) = (escape(self.full_name), escape(self.titles[title % self.titles.len()]));
        let profile = format!("<fn><text>{name}</text></fn><title><text>{title}</text></title>");
        contact.publish_vcard4(VCARD4, &profile).await;
    }

    /// Comes, goes, and changes, without end.
    async fn live(&self, door: Door, mut here: Option<Contact>, mut random: StdRng) {
        loop {
            sleep(Duration::from_millis(random.random_range(PACE))).await;
            let Some(mut contact) = here.take() else {
                here = Some(self.connect(door.clone()).await);
                continue;
            };
            match random.random_range(0..10) {
                0 => {
                    contact.disconnect().await;
                    continue;
                }
                1..=2 => {
                    contact.publish_avatar(&avatar(&mut random)).await;
                }
                3..=4 => self.publish_profile(&contact, random.random_range(0..self.titles.len())).await,
                _ => {
                    if let Some((show, status)) = self.moods.choose(&mut random) {
                        contact.set_presence(*show, Some(status)).await;
                    }
                }
            }
            here = Some(contact);
        }
    }
}

fn avatar(random: &mut StdRng) -> Vec<u8> {
    png::solid(AVATAR, AVATAR, random.random())
}
