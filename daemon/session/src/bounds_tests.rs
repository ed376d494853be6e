//! Counts every map of a session that a contact can fill, after a flood. Growth with the number of stanzas shows
//! here, where no answer and no event would show it.

use std::time::Instant;

use jid::BareJid;
use minidom::Element;
use xmpp_parsers::stanza::Stanza;

use crate::model::RosterRecord;
use crate::stream::Stream;
use crate::{
    Effect, Input, Now, Query, RosterItem, Session, Snapshot, Software, StoreFailed, Subscription, Ticket,
    Timestamp, Write, bounds,
};

const FLOOD: usize = 1_000;

struct Flood {
    session: Session,
    now: Now,
    effects: Vec<Effect>,
    /// It does not answer by itself.
    is_store_slow: bool,
}

impl Flood {
    fn new() -> Self {
        let now = Now { monotonic: Instant::now(), wall: Timestamp(0) };
        let item = RosterItem {
            jid: BareJid::new("mallory@evil.example").unwrap(),
            resource: None,
            name: None,
            subscription: Subscription::Both,
            ask: false,
            approved: false,
            groups: Default::default(),
        };
        let cached = Snapshot {
            roster: Some(RosterRecord { version: None, items: vec![item] }),
            ..Snapshot::default()
        };
        let account = BareJid::new("marc@prose.org").unwrap();
        let mut session = Session::new(account, Software::prosed(), cached, 1, now);
        let jid = "marc@prose.org/x".parse().unwrap();
        session.handle(
            Input::Online { jid, roster_versioning: false, stanza_bytes: None, client_state: false },
            now,
            &mut Vec::new(),
        );
        Self { session, now, effects: Vec::new(), is_store_slow: false }
    }

    fn sends(&mut self, stanza: &str) {
        let element: Element = stanza.parse().unwrap();
        let stanza = match element.name() {
            "iq" => Stanza::Iq(element.try_into().unwrap()),
            "message" => Stanza::Message(element.try_into().unwrap()),
            _ => Stanza::Presence(element.try_into().unwrap()),
        };
        self.happens(Input::Stanza(Box::new(stanza)));
        if !self.is_store_slow {
            let saves = self.effects.iter().filter_map(|effect| match effect {
                Effect::Save { write: Write::Person { .. }, ticket } => Some(*ticket),
                _ => None,
            });
            for ticket in saves.collect::<Vec<_>>() {
                let saved = Input::Saved { ticket, result: Ok(()) };
                self.session.handle(saved, self.now, &mut self.effects);
            }
        }
    }

    fn happens(&mut self, input: Input) {
        self.effects.clear();
        self.session.handle(input, self.now, &mut self.effects);
        self.session.settle(self.now, &mut self.effects);
    }

    /// That of the write just requested.
    fn ticket(&self) -> Ticket {
        let mut tickets = self.effects.iter().filter_map(|effect| match effect {
            Effect::Save { write: Write::Person { .. }, ticket } => Some(*ticket),
            _ => None,
        });
        tickets.next().expect("something is saved")
    }

    fn presence(&mut self, resource: usize, rest: &str) {
        self.sends(&format!(
            "<presence xmlns='jabber:client' from='mallory@evil.example/{resource}'>{rest}</presence>"
        ));
    }

    /// What has just been queried.
    fn requests(&self) -> Vec<Element> {
        let requests = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { stanza, .. } => match &**stanza {
                Stanza::Iq(iq) => Some(Element::from(iq.clone())),
                _ => None,
            },
            _ => None,
        });
        requests.filter(|iq| iq.attr("type") == Some("get")).collect()
    }

    fn refuses(&mut self, request: &Element) {
        let (id, to) = (request.attr("id").unwrap(), request.attr("to").unwrap_or("marc@prose.org"));
        self.sends(&format!(
            "<iq xmlns='jabber:client' type='error' id='{id}' from='{to}'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ));
    }

    /// Every query gets an empty answer.
    fn refuses_all(&mut self) {
        for request in self.requests() {
            self.refuses(&request);
        }
    }

    #[track_caller]
    fn nothing_has_piled_up(&self) {
        // All of it, so that nothing new is left out.
        let Session {
            waiting,
            images,
            people,
            reads,
            throttle,
            saves,
            fetches,
            background,
            last_seen,
            subscriptions,
            stream,
            // Its table of verified hashes has bounds and tests of its own.
            caps: _,
            // What grows here are the calls of UIs, each of which waits.
            presence: _,
            client_state: _,
            // Bounded: see its tests.
            subscription_acts: _,
            // They hold no collection.
            roster: _,
            account: _,
            connection: _,
            stanza_limit: _,
            dropped: _,
            usage: _,
            tickets: _,
            ids: _,
        } = &self.session;
        let Stream {
            pending,
            caps,
            vcard_temp,
            lookups,
            images: wanted_images,
            background: tried,
            // What grows here are the calls of UIs, each of which waits.
            roster: _,
            renames: _,
            vcard_edits: _,
            // They hold no collection.
            connection: _,
            presence: _,
            startup: _,
            // Calls of UIs, each of which waits.
            client_state: _,
        } = stream;
        assert!(people.entries() <= 2, "{} changes or looks", people.entries());
        assert!(last_seen.entries() <= 1, "{} last seen", last_seen.entries());
        let [requests, _] = subscriptions.entries();
        assert!(requests <= bounds::SUBSCRIPTION_REQUESTS, "{requests} requests");
        assert!(subscriptions.throttle().entries() <= FLOOD / 10 + 1, "one for each domain");
        let waiting_in_background = background.entries() + tried.entries();
        assert!(waiting_in_background <= 4, "{waiting_in_background} waiting");
        assert!(pending.len() <= bounds::QUESTIONS_PER_CONTACT + 3, "{} requests", pending.len());
        assert_eq!((waiting.len(), reads.entries()), (0, [0, 0]));
        assert_eq!(people.everybody().count(), 2);
        // The one that they name by now, one that is shown, and one of ours.
        let images = images.entries() + wanted_images.entries();
        assert!(images <= 3 * 2 + bounds::QUESTIONS_PER_CONTACT, "{images} pictures");
        assert!(caps.entries() <= 2 * bounds::RESOURCES_PER_JID + 1, "{} hashes", caps.entries());
        assert!(vcard_temp.entries() <= 2, "{} old vCards", vcard_temp.entries());
        assert!(lookups.entries() <= 4 + 1, "{} lookups", lookups.entries());
        let paced = [throttle, saves, fetches].map(crate::Throttle::entries);
        assert!(paced.iter().all(|entries| *entries <= 4), "each is noted once, and waits once");
    }
}

#[test]
fn caps() {
    let mut flood = Flood::new();
    for n in 0..FLOOD {
        let caps = format!(
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://x.example' ver='{n}'/>"
        );
        flood.presence(n % 40, &caps);
        if n % 3 == 0 {
            flood.sends(&format!(
                "<presence xmlns='jabber:client' type='unavailable' from='mallory@evil.example/{}'/>",
                n % 40
            ));
        }
        if n > FLOOD / 2 {
            flood.refuses_all();
        }
    }
    flood.nothing_has_piled_up();
    flood.sends("<presence xmlns='jabber:client' type='unavailable' from='mallory@evil.example'/>");
    assert_eq!(flood.session.stream.caps.entries(), 0, "who is gone shows nothing");
}

/// A name is compared with everybody's, and forgotten with the next.
#[test]
fn names() {
    let mut flood = Flood::new();
    for n in 0..FLOOD {
        flood.sends(&format!(
            "<message xmlns='jabber:client' from='mallory@evil.example'><event xmlns='http://jabber.org/protocol/\
             pubsub#event'><items node='urn:xmpp:vcard4'><item id='x'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>\
             <fn><text>name {n}</text></fn></vcard></item></items></event></message>"
        ));
        flood.now.monotonic += std::time::Duration::from_secs(1);
    }
    let name = flood.session.contact(&BareJid::new("mallory@evil.example").unwrap()).unwrap().name;
    assert_eq!(name, "name 999");
    flood.nothing_has_piled_up();
}

/// Strangers of a hundred domains, each with another name, who take their requests back now and then.
#[test]
fn requests_of_strangers() {
    let mut flood = Flood::new();
    for n in 0..FLOOD {
        let presence = |type_: &str| {
            format!("<presence xmlns='jabber:client' type='{type_}' from='s{n}@host{}.example'/>", n / 10)
        };
        flood.sends(&presence("subscribe"));
        if n % 3 == 1 {
            flood.sends(&presence("unsubscribe"));
        }
        let [_, untold] = flood.session.subscriptions.entries();
        assert!(untold <= bounds::SUBSCRIPTION_CHANGES, "{untold} changes wait to be reported");
    }
    // Ten seconds later UIs know of each that came, went or gave way.
    flood.now.monotonic += std::time::Duration::from_secs(10);
    flood.session.settle(flood.now, &mut flood.effects);
    assert_eq!(flood.session.subscriptions.entries(), [bounds::SUBSCRIPTION_REQUESTS, 0]);
    flood.nothing_has_piled_up();
}

/// Each failure leads to a query to the next device, which must be found without scanning all holders of the hash.
#[test]
fn a_hash_that_nobody_explains() {
    const CONTACTS: usize = 50;
    let mut flood = Flood::new();
    for n in 0..CONTACTS {
        flood.sends(&format!(
            "<iq xmlns='jabber:client' type='set' id='p'><query xmlns='jabber:iq:roster'>\
             <item jid='contact{n}@evil.example' subscription='both'/></query></iq>"
        ));
    }
    let mut asked = Vec::new();
    for n in 0..CONTACTS * bounds::RESOURCES_PER_JID {
        flood.sends(&format!(
            "<presence xmlns='jabber:client' from='contact{}@evil.example/{n}'>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='same'/></presence>",
            n % CONTACTS
        ));
        asked.extend(flood.requests());
    }
    flood.session.stream.caps.looks.set(0);
    let mut failures = 0;
    while let Some(request) = asked.pop() {
        failures += usize::from(request.has_child("query", "http://jabber.org/protocol/disco#info"));
        flood.refuses(&request);
        asked.extend(flood.requests());
        if asked.is_empty() {
            flood.now.monotonic += std::time::Duration::from_secs(60);
            flood.effects.clear();
            flood.session.handle(Input::Tick, flood.now, &mut flood.effects);
            asked.extend(flood.requests());
        }
    }
    assert_eq!(failures, CONTACTS * bounds::CAPS_ATTEMPTS, "everybody has had their chances");
    let looks = flood.session.stream.caps.looks.get();
    // The devices of the contact that failed and of the next one.
    let most = failures * 3 * bounds::RESOURCES_PER_JID;
    assert!(looks <= most, "{looks} looks for {failures} failures");
}

#[test]
fn avatars() {
    let mut flood = Flood::new();
    for n in 0..FLOOD {
        flood.sends(&format!(
            "<message xmlns='jabber:client' from='mallory@evil.example'>\
             <event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:avatar:metadata'>\
             <item id='x'><metadata xmlns='urn:xmpp:avatar:metadata'><info id='{n:040}' bytes='1' type='image/png'/>\
             </metadata></item></items></event></message>"
        ));
        if n > FLOOD / 2 {
            flood.refuses_all();
        }
    }
    flood.nothing_has_piled_up();
}

#[test]
fn photos() {
    let mut flood = Flood::new();
    flood.now.monotonic += bounds::SETTLED_AT_LAST;
    for n in 0..FLOOD {
        if n == 2 {
            // Login has settled.
            for _ in 0..2 {
                flood.now.monotonic += bounds::SETTLED_AT_LAST;
                flood.session.handle(Input::Tick, flood.now, &mut flood.effects);
                flood.refuses_all();
            }
        }
        flood.presence(1, &format!("<x xmlns='vcard-temp:x:update'><photo>{n:040}</photo></x>"));
        if n > FLOOD / 2 {
            flood.refuses_all();
        }
    }
    flood.nothing_has_piled_up();
}

/// Only a server can do this: a removed contact leaves nothing behind.
#[test]
fn contacts_who_come_and_go() {
    let mut flood = Flood::new();
    let push = |n: usize, rest: &str| {
        format!(
            "<iq xmlns='jabber:client' type='set' id='p'><query xmlns='jabber:iq:roster'>\
             <item jid='contact{n}@evil.example' {rest}/></query></iq>"
        )
    };
    for n in 0..FLOOD {
        flood.sends(&push(n, "subscription='both'"));
        flood.sends(&format!(
            "<presence xmlns='jabber:client' from='contact{n}@evil.example/x'>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='{n}'/></presence>"
        ));
        flood.sends(&format!(
            "<message xmlns='jabber:client' from='contact{n}@evil.example'>\
             <event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:avatar:metadata'>\
             <item id='x'><metadata xmlns='urn:xmpp:avatar:metadata'><info id='{n:040}' bytes='1' type='image/png'/>\
             </metadata></item></items></event></message>"
        ));
        let contact = BareJid::new(&format!("contact{n}@evil.example")).unwrap();
        flood.session.note_shown(&contact, flood.now);
        flood.sends(&push(n, "subscription='remove'"));
    }
    let lookups = flood.session.stream.lookups.entries();
    assert!(lookups <= bounds::AVATARS_IN_FLIGHT + bounds::DISCO_IN_FLIGHT, "{lookups} lookups");
    // Requests in flight end by themselves, and those who were busy are forgotten.
    for _ in 0..2 {
        flood.now.monotonic += std::time::Duration::from_secs(3 * 60 * 60);
        flood.happens(Input::Tick);
    }
    flood.nothing_has_piled_up();
    assert_eq!(flood.session.stream.caps.entries(), 0);
}

#[test]
fn what_people_take_is_weighed_and_has_an_end() {
    let mut flood = Flood::new();
    flood.is_store_slow = true;
    let mallory = BareJid::new("mallory@evil.example").unwrap();
    let publish = |flood: &mut Flood, note: &str| {
        flood.sends(&format!(
            "<message xmlns='jabber:client' from='mallory@evil.example'><event xmlns='http://jabber.org/protocol/\
             pubsub#event'><items node='urn:xmpp:vcard4'><item id='x'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>\
             <note><text>{note}</text></note></vcard></item></items></event></message>"
        ));
    };
    flood.presence(1, &format!("<status>{}</status>", "x".repeat(1_000)));
    publish(&mut flood, &"y".repeat(2_000));
    let taken = flood.session.usage.bytes();
    assert!((3_000..6_000).contains(&taken), "{taken}");
    flood.sends("<presence xmlns='jabber:client' type='unavailable' from='mallory@evil.example/1'/>");
    assert!(flood.session.usage.bytes() < taken - 1_000);

    flood.session.usage = crate::usage::Usage::full(flood.now.monotonic, true);
    flood.presence(2, "");
    publish(&mut flood, "another");
    let person = flood.session.people.person(&mallory).unwrap();
    assert!(person.online.is_empty(), "no room");
    let whole = person.profile.vcard4.whole().unwrap();
    assert_eq!(whole.note.as_ref().unwrap().len(), 2_000, "the one before");
    // A full disk has no room for profiles, and says nothing about devices.
    flood.session.usage = crate::usage::Usage::full(flood.now.monotonic, false);
    publish(&mut flood, "another");
    flood.presence(3, "");
    let person = flood.session.people.person(&mallory).unwrap();
    assert_eq!(person.profile.vcard4.whole().unwrap().note.as_ref().unwrap().len(), 2_000);
    assert_eq!(person.online.len(), 1);
    flood.sends("<presence xmlns='jabber:client' type='unavailable' from='mallory@evil.example/3'/>");
    // A recount finds less.
    flood.now.monotonic += std::time::Duration::from_secs(1);
    flood.presence(2, "");
    assert_eq!(flood.session.people.person(&mallory).unwrap().online.len(), 1);
}

/// Real profiles have a few hundred bytes; what stays in memory is what a roster shows.
#[test]
fn of_a_stored_profile_memory_has_a_summary() {
    let mut flood = Flood::new();
    flood.is_store_slow = true;
    let mallory = BareJid::new("mallory@evil.example").unwrap();
    flood.sends(
        "<message xmlns='jabber:client' from='mallory@evil.example'><event xmlns='http://jabber.org/protocol/\
         pubsub#event'><items node='urn:xmpp:vcard4'><item id='x'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>\
         <fn><text>Mallory Archer</text></fn><nickname><text>mal</text></nickname><org><text>Evil</text></org>\
         <email><text>mallory@evil.example</text></email><tel><text>+49 30 123456</text></tel>\
         <note><text>I listen to what others say, and now and then I add something.</text></note></vcard></item>\
         </items></event></message>",
    );
    let ticket = flood.ticket();
    let whole = flood.session.usage.bytes();
    assert!(whole > 600, "{whole}");
    // What can't be stored stays here, and goes with the next write.
    flood.happens(Input::Saved { ticket, result: Err(StoreFailed) });
    assert_eq!(flood.session.usage.bytes(), whole);
    flood.session.people.save(&mallory);
    flood.happens(Input::Tick);
    let ticket = flood.ticket();
    flood.happens(Input::Saved { ticket, result: Ok(()) });
    let summary = flood.session.usage.bytes();
    println!("a profile in memory: {whole} bytes until it is stored, then {summary}");
    assert!(summary < 150, "{summary}");
    assert_eq!(summary, flood.session.usage_of(&mallory).memory, "counted exactly");
    assert!(flood.session.people.entries() <= 2);
}

/// The queue of a store that is slow is shared with other accounts.
#[test]
fn few_reads_are_in_flight() {
    let mut flood = Flood::new();
    for n in 0..100 {
        let query = Query::Profile(BareJid::new(&format!("contact{n}@example.org")).unwrap());
        let session = &mut flood.session;
        let step = &mut session.step(flood.now, &mut flood.effects);
        session.read(query.clone(), step);
        session.read(query, step);
        session.tickets = step.tickets;
    }
    assert_eq!(flood.session.reads.entries(), [bounds::READS_IN_FLIGHT, 100]);
    for answered in 1..=100 {
        let oldest = flood.effects.iter().find_map(|effect| match effect {
            Effect::Read { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let at = flood.effects.iter().position(|effect| matches!(effect, Effect::Read { .. })).unwrap();
        flood.effects.remove(at);
        let found = Input::Found { ticket: oldest.unwrap(), result: Ok(None) };
        flood.session.handle(found, flood.now, &mut flood.effects);
        let [in_flight, all] = flood.session.reads.entries();
        assert_eq!((in_flight, all), (bounds::READS_IN_FLIGHT.min(all), 100 - answered));
    }
}
