//! Each bound on what peers can make us keep, filled to the brim and beyond: the bounds that would make a
//! play too long to read. What is counted here is what can be seen from outside; how much memory it takes is
//! seen at the end.

#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minidom::Element;
use prosed_session::{
    Answer, Call, Command, Contact, Effect, Failure, Input, Notice, Now, Profile, RosterItem, RosterRecord,
    Session, Snapshot, Software, Subscription, Timestamp, Write, bounds,
};
use sha1::{Digest, Sha1};
use xmpp_parsers::stanza::Stanza;

/// One who sends whatever it takes.
const MALLORY: &str = "mallory@evil.example";

/// What one contact may cost in memory.
const CONTACT_BYTES: usize = 64 * 1024;

fn item(jid: &str) -> RosterItem {
    RosterItem {
        jid: jid.parse().unwrap(),
        resource: None,
        name: None,
        subscription: Subscription::Both,
        ask: false,
        approved: false,
        groups: Default::default(),
    }
}

/// A request of the session's that has no answer.
struct Asked {
    id: String,
    to: String,
    payload: Element,
}

impl Asked {
    fn is_disco(&self) -> bool {
        self.payload.is("query", "http://jabber.org/protocol/disco#info")
    }
}

struct Bench {
    session: Session,
    now: Now,
    /// What it wanted since this was looked at.
    effects: Vec<Effect>,
    asked: Vec<Asked>,
}

impl Bench {
    /// Online and settled, with Mallory and a few friends in the roster.
    fn new() -> Self {
        let friends = (0..50).map(|n| item(&format!("friend{n}@example.org")));
        let items = friends.chain([item(MALLORY), item("anna@prose.org")]).collect();
        let roster = Some(RosterRecord { version: None, items });
        let bench = Self::with(Snapshot { roster, ..Snapshot::default() });
        let next = bench.session.next_deadline().map(|at| at - bench.now.monotonic);
        assert!(
            bench.asked.is_empty() && next > Some(Duration::from_secs(60 * 60)),
            "settled, with all asked"
        );
        bench
    }

    fn with(mut cached: Snapshot) -> Self {
        let now = Now { monotonic: Instant::now(), wall: Timestamp(1_000_000) };
        // Nobody is to be asked for what the server has not pushed.
        let account = "marc@prose.org".parse().unwrap();
        let jids = cached.roster.iter().flat_map(|roster| roster.items.iter().map(|item| item.jid.clone()));
        cached.people = jids.chain([account]).map(|jid| (jid, Default::default())).collect();
        cached.people.iter_mut().for_each(|(_, person)| person.asked_at = Some(now.wall));
        let account = "marc@prose.org".parse().unwrap();
        let session = Session::new(account, Software::prosed(), cached, 1, now);
        let mut bench = Self { session, now, effects: Vec::new(), asked: Vec::new() };
        let jid = "marc@prose.org/x".parse().unwrap();
        bench.happen(Input::Online {
            jid,
            roster_versioning: false,
            stanza_bytes: None,
            client_state: false,
        });
        let roster = std::mem::take(&mut bench.asked);
        bench.sends(&format!("<iq type='result' id='{}'/>", roster[0].id));
        let carbons = std::mem::take(&mut bench.asked);
        bench.sends(&format!("<iq type='result' id='{}'/>", carbons[0].id));
        bench.later(3);
        bench.effects.clear();
        bench
    }

    fn happen(&mut self, input: Input) {
        let from = self.effects.len();
        self.session.handle(input, self.now, &mut self.effects);
        self.session.settle(self.now, &mut self.effects);
        for effect in &self.effects[from..] {
            let Effect::Send { stanza, .. } = effect else { continue };
            let Stanza::Iq(iq) = &**stanza else { continue };
            let iq = Element::from(iq.clone());
            if matches!(iq.attr("type"), Some("get" | "set")) {
                let text = |name| iq.attr(name).unwrap_or_default().to_owned();
                let payload = iq.children().next().unwrap().clone();
                self.asked.push(Asked { id: text("id"), to: text("to"), payload });
            }
        }
    }

    fn later(&mut self, secs: u64) {
        self.now.monotonic += Duration::from_secs(secs);
        self.now.wall.0 += i64::try_from(secs).unwrap() * 1_000;
        self.happen(Input::Tick);
    }

    fn sends(&mut self, stanza: &str) {
        let stanza = stanza.replacen(' ', " xmlns='jabber:client' ", 1);
        let element: Element = stanza.parse().unwrap();
        let stanza = match element.name() {
            "iq" => Stanza::Iq(element.try_into().unwrap()),
            "message" => Stanza::Message(element.try_into().unwrap()),
            _ => Stanza::Presence(element.try_into().unwrap()),
        };
        self.happen(Input::Stanza(Box::new(stanza)));
    }

    /// A device shows a caps hash.
    fn shows(&mut self, device: &str, ver: &str) {
        self.sends(&format!(
            "<presence from='{device}'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
             node='https://x.example' ver='{ver}'/></presence>"
        ));
    }

    fn names_avatar(&mut self, owner: &str, id: &str) {
        self.sends(&format!(
            "<message from='{owner}'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
             <items node='urn:xmpp:avatar:metadata'><item id='x'><metadata xmlns='urn:xmpp:avatar:metadata'>\
             <info id='{id}' bytes='1' type='image/png'/></metadata></item></items></event></message>"
        ));
    }

    fn names_photo(&mut self, device: &str, id: &str) {
        self.sends(&format!(
            "<presence from='{device}'><x xmlns='vcard-temp:x:update'><photo>{id}</photo></x></presence>"
        ));
    }

    /// Nobody has it.
    fn refuses(&mut self, asked: &Asked) {
        let Asked { id, to, .. } = asked;
        self.sends(&format!(
            "<iq type='error' id='{id}' from='{to}'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ));
    }

    fn explains(&mut self, asked: &Asked, features: &[String]) {
        let node = asked.payload.attr("node").unwrap();
        let features: String = features.iter().map(|var| format!("<feature var='{var}'/>")).collect();
        let (id, to) = (&asked.id, &asked.to);
        self.sends(&format!(
            "<iq type='result' id='{id}' from='{to}'><query xmlns='http://jabber.org/protocol/disco#info' \
             node='{node}'><identity category='client' type='pc'/>{features}</query></iq>"
        ));
    }

    fn call(&mut self, command: Command) -> Option<Result<Answer, Failure>> {
        let from = self.effects.len();
        self.happen(Input::Command { call: Call(1), command });
        let at = self.effects[from..].iter().position(|effect| matches!(effect, Effect::Reply { .. }))?;
        match self.effects.remove(from + at) {
            Effect::Reply { result, .. } => Some(result),
            _ => None,
        }
    }

    fn requests(&mut self) -> Vec<String> {
        match self.call(Command::ListSubscriptionRequests) {
            Some(Ok(Answer::SubscriptionRequests(open))) => {
                open.iter().map(|request| request.jid.to_string()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn mallory(&self) -> Contact {
        self.session.contact(&MALLORY.parse().unwrap()).unwrap()
    }

    /// What `load_profile` answers.
    fn profile(&mut self, jid: &str) -> Arc<Profile> {
        let command = Command::LoadProfile { jid: jid.parse().unwrap(), refresh: false };
        self.happen(Input::Command { call: Call(9), command });
        let answer = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Reply { call: Call(9), result: Ok(Answer::Profile(profile)) } => Some(profile.clone()),
            _ => None,
        });
        answer.unwrap()
    }

    fn asks(&mut self, stranger: &str) {
        self.sends(&format!("<presence type='subscribe' from='{stranger}'/>"));
    }
}

/// The caps hash of a client that has no name and these features, sorted.
fn ver_of(features: &[String]) -> String {
    BASE64_STANDARD.encode(Sha1::digest(format!("client/pc//<{}<", features.join("<"))))
}

/// Features that make a record of nearly the size that is allowed; nobody else has them.
fn many_features(of: usize) -> Vec<String> {
    (0..bounds::CAPS_RECORD_BYTES / 1_000 - 1)
        .map(|n| format!("{of:04}-{n:04}-{}", "x".repeat(900)))
        .collect()
}

#[test]
fn ever_new_hashes_of_one_contact_keep_nobody_waiting() {
    let mut bench = Bench::new();
    for n in 0..20_000 {
        bench.shows(&format!("{MALLORY}/{}", n % 40), &format!("{n:027}="));
    }
    assert_eq!(bench.asked.len(), 2, "no more is asked of one contact at a time");
    for n in 0..14 {
        bench.shows(&format!("friend{n}@example.org/phone"), &format!("friend{n}"));
    }
    let friends: Vec<Asked> = bench.asked.drain(2..).collect();
    assert_eq!(friends.len(), 14, "others are asked at once");
    // Mallory answers at once, with nothing; each time she has another question.
    for n in 0..2_000 {
        let asked = bench.asked.remove(0);
        assert!(asked.to.starts_with(MALLORY));
        bench.refuses(&asked);
        bench.shows(&format!("{MALLORY}/{}", n % 32), &format!("new{n}"));
        assert!(bench.asked.len() <= 2);
    }
    bench.refuses(&friends[0]);
    bench.shows("friend20@example.org/phone", "late");
    assert!(bench.asked.iter().any(|asked| asked.to.starts_with("friend20")));
}

#[test]
fn explanations_are_bounded_by_bytes_and_what_goes_is_told_to_the_disk() {
    let mut bench = Bench::new();
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    // Of each contact two, which is their share; then, by one contact, as many as there are.
    let contacts: Vec<String> = (0..50)
        .map(|n| format!("friend{n}@example.org"))
        .chain((0..300).map(|_| MALLORY.to_owned()))
        .collect();
    for (n, contact) in contacts.iter().enumerate() {
        for part in 0..2 {
            let features = many_features(2 * n + part);
            bench.shows(&format!("{contact}/phone"), &ver_of(&features));
            let asked = bench.asked.pop().unwrap();
            bench.explains(&asked, &features);
            bench.sends(&format!("<presence type='unavailable' from='{contact}/phone'/>"));
        }
        for effect in std::mem::take(&mut bench.effects) {
            match effect {
                Effect::Save { write: Write::Caps { key, record: Some(record) }, .. } => {
                    kept.insert(key.ver, record.bytes());
                }
                Effect::Save { write: Write::Caps { key, record: None }, .. } => {
                    assert!(kept.remove(&key.ver).is_some(), "what was not kept can't go");
                }
                _ => {}
            }
        }
        let bytes: usize = kept.values().sum();
        assert!(bytes <= bounds::CAPS_BYTES, "{bytes} bytes after {n} contacts");
    }
    assert!(kept.len() > 50, "friends' are kept");
    assert!(kept.len() <= 102, "{}: Mallory has her share, and no more", kept.len());
}

#[test]
fn an_explanation_that_is_too_large_is_nobodys() {
    let mut bench = Bench::new();
    let features: Vec<String> = (0..40).map(|n| format!("{n:02}{}", "x".repeat(900))).collect();
    bench.shows(&format!("{MALLORY}/phone"), &ver_of(&features));
    let asked = bench.asked.pop().unwrap();
    bench.effects.clear();
    bench.explains(&asked, &features);
    assert_eq!(bench.effects, []);
    assert_eq!(bench.mallory().resources[0].client, None);
}

#[test]
fn of_ever_new_avatars_the_newest_is_asked_for() {
    let mut bench = Bench::new();
    for n in 0..20_000 {
        bench.names_avatar(MALLORY, &format!("{n:040}"));
    }
    assert_eq!(bench.asked.len(), 2);
    bench.names_avatar("anna@prose.org", &"a".repeat(40));
    assert_eq!(bench.asked.len(), 3, "others are asked at once");
    let first = bench.asked.remove(0);
    bench.refuses(&first);
    let newest = &bench.asked.last().unwrap().payload;
    assert!(String::from(newest).contains(&format!("{:040}", 19_999)));
}

#[test]
fn photos_of_old_vcards_leave_room_for_what_uis_ask() {
    let mut bench = Bench::new();
    for n in 0..20_000 {
        bench.names_photo(&format!("{MALLORY}/x"), &format!("{n:040}"));
    }
    assert_eq!(bench.asked.len(), 1, "each vCard answers for the newest");
    for n in 0..50 {
        bench.names_photo(&format!("friend{n}@example.org/x"), &format!("{n:040}"));
    }
    assert!(bench.asked.len() <= 8, "{} vCards in flight", bench.asked.len());
    let before = bench.asked.len();
    let add = Command::AddContact {
        jid: "new@example.org".parse().unwrap(),
        name: None,
        groups: Default::default(),
        subscribe: None,
    };
    bench.happen(Input::Command { call: Call(7), command: add });
    bench.happen(Input::Command { call: Call(8), command: Command::SetProfile(Box::default()) });
    assert_eq!(bench.asked.len(), before + 2, "both are sent at once");
}

#[test]
fn whom_a_ui_asks_for_does_not_wait_for_their_turn() {
    let mut bench = Bench::new();
    for n in 0..50 {
        bench.names_avatar(&format!("friend{n}@example.org"), &format!("{n:040}"));
    }
    assert!(bench.asked.iter().all(|asked| asked.to != "friend49@example.org"), "the line is long");
    let jid = "friend49@example.org".parse().unwrap();
    bench.happen(Input::Command { call: Call(7), command: Command::LoadAvatar { jid } });
    let last = bench.asked.pop().unwrap();
    assert_eq!(last.to, "friend49@example.org");
    // It is not asked for twice when their turn comes.
    while let Some(asked) = bench.asked.pop() {
        assert_ne!(asked.to, "friend49@example.org");
        bench.refuses(&asked);
    }
}

#[test]
fn what_the_devices_of_a_contact_say_is_bounded_by_bytes() {
    let mut bench = Bench::new();
    for n in 0..100 {
        let resource = format!("{n:01000}");
        let status = "€".repeat(4_000);
        bench.sends(&format!("<presence from='{MALLORY}/{resource}'><status>{status}</status></presence>"));
        // What one device can't have, it can't have by changing either.
        bench.shows(&format!("{MALLORY}/{resource}"), &format!("{n}"));
        bench.sends(&format!("<presence from='{MALLORY}/{resource}'><status>{status}</status></presence>"));
    }
    let texts = |contact: &Contact| -> usize {
        let devices = contact.resources.iter();
        devices.map(|one| one.resource.len() + one.status.as_ref().map_or(0, String::len)).sum()
    };
    let mallory = bench.mallory();
    assert!(texts(&mallory) <= CONTACT_BYTES / 2, "{} bytes", texts(&mallory));
    assert!(!mallory.resources.is_empty());
    // Whoever leaves makes room again.
    for device in &mallory.resources {
        bench.sends(&format!("<presence type='unavailable' from='{MALLORY}/{}'/>", device.resource));
    }
    bench.sends(&format!(
        "<presence from='{MALLORY}/phone'><status>{}</status></presence>",
        "x".repeat(4_000)
    ));
    assert_eq!(texts(&bench.mallory()), 4_005);
}

#[test]
fn a_profile_is_bounded_by_bytes() {
    let mut bench = Bench::new();
    let long = "€".repeat(1_000);
    let publish = |owner: &str| {
        let many = |name: &str, kind: &str| format!("<{name}><{kind}>{long}</{kind}></{name}>").repeat(20);
        let lists = [many("email", "text"), many("tel", "text"), many("url", "uri")].concat();
        format!(
            "<message from='{owner}'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
             <items node='urn:xmpp:vcard4'><item id='x'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>\
             <fn><text>Name</text></fn>{lists}<note><text>{long}</text></note></vcard></item></items></event></message>"
        )
    };
    bench.sends(&publish(MALLORY));
    let profile = bench.profile(MALLORY);
    let lists = [&profile.emails, &profile.phones, &profile.urls];
    let bytes: usize = lists.into_iter().flatten().chain(&profile.note).map(String::len).sum();
    assert!((5_000..=CONTACT_BYTES / 6).contains(&bytes), "{bytes} bytes");
    assert_eq!(profile.full_name.as_deref(), Some("Name"));
    // Our own is what our UIs wrote.
    bench.sends(&publish("marc@prose.org"));
    let ours = bench.profile("marc@prose.org");
    assert_eq!((ours.emails.len(), ours.note.as_deref()), (20, Some(long.as_str())));
}

#[test]
fn strangers_ask_for_no_more_than_two_hundred_subscriptions() {
    let mut bench = Bench::new();
    bench.asks("anna@prose.org");
    for n in 0..1_000 {
        bench.now.wall.0 += 1;
        bench.asks(&format!("stranger{n}@{}.example", n % 20));
    }
    let open = bench.requests();
    assert_eq!(open.len(), 201, "and the friend's");
    assert!(open.contains(&"anna@prose.org".to_owned()));
    assert!((800..1_000).all(|n| open.contains(&format!("stranger{n}@{}.example", n % 20))), "the newest");
    // Each domain asks without a pause: what is left of it is told once it is time.
    bench.later(10);
    let (mut events, mut told, mut written) = (0, BTreeSet::new(), BTreeSet::new());
    for effect in &bench.effects {
        match effect {
            Effect::Notify(Notice::SubscriptionRequested(request)) => {
                events += 1;
                told.insert(request.jid.to_string());
            }
            Effect::Notify(Notice::SubscriptionResolved { jid }) => {
                events += 1;
                told.remove(jid.as_str());
            }
            Effect::Save { write: Write::SubscriptionRequest { jid, request }, .. } => {
                let _ = if request.is_some() {
                    written.insert(jid.to_string())
                } else {
                    written.remove(jid.as_str())
                };
            }
            _ => {}
        }
    }
    let open = open.into_iter().collect();
    assert_eq!(told, open, "UIs know those that are left");
    assert_eq!(written, open, "and so does the disk");
    assert!(events < 600, "{events} events for 1,000 strangers");
    bench.asks("friend1@example.org");
    assert_eq!(bench.requests().len(), 202, "friends always have room");
}

#[test]
fn a_domain_has_its_share_of_subscription_requests() {
    let mut bench = Bench::new();
    bench.asks("honest@example.org");
    for n in 0..1_000 {
        bench.now.wall.0 += 1;
        // Domains below one's own cost nothing.
        let below = if n % 2 == 0 { String::new() } else { format!("a{n}.") };
        bench.asks(&format!("stranger{n}@{below}evil.example"));
    }
    let open = bench.requests();
    assert_eq!(open.len(), 51);
    assert!(open.contains(&"honest@example.org".to_owned()));
    // Others take the places of the domain that has most.
    for n in 0..180 {
        bench.now.wall.0 += 1;
        bench.asks(&format!("one@domain{n}.example"));
    }
    let open = bench.requests();
    assert_eq!(open.len(), 200);
    assert!(open.contains(&"honest@example.org".to_owned()));
    assert_eq!(open.iter().filter(|jid| jid.ends_with("evil.example")).count(), 19);
}

#[test]
fn what_a_stranger_says_is_bounded_by_bytes() {
    let mut bench = Bench::new();
    let (nick, status) = ("€".repeat(1_000), "€".repeat(4_000));
    bench.sends(&format!(
        "<presence type='subscribe' from='stranger@example.net'><nick xmlns='http://jabber.org/protocol/nick'>{nick}\
         </nick><status>{status}</status></presence>"
    ));
    let Some(Ok(Answer::SubscriptionRequests(open))) = bench.call(Command::ListSubscriptionRequests) else {
        panic!("no requests")
    };
    let bytes: usize = [&open[0].nick, &open[0].message].into_iter().flatten().map(String::len).sum();
    assert!((3_000..=4_096).contains(&bytes), "{bytes} bytes");
}

fn pushed(jid: &str, rest: &str) -> String {
    format!(
        "<iq type='set' id='p'><query xmlns='jabber:iq:roster' ver='v1'><item jid='{jid}' {rest}</query></iq>"
    )
}

#[test]
fn a_roster_has_a_bound_and_says_where_it_is_cut() {
    let items: Vec<RosterItem> =
        (0..bounds::ROSTER_CONTACTS - 1).map(|n| item(&format!("contact{n}@example.org"))).collect();
    let roster = Some(RosterRecord { version: None, items });
    let mut bench = Bench::with(Snapshot { roster, ..Snapshot::default() });
    let contacts = |bench: &mut Bench| match bench.call(Command::LoadRoster) {
        Some(Ok(Answer::Roster { contacts, version, .. })) => (contacts.len(), version),
        other => panic!("{other:?}"),
    };
    bench.sends(&pushed("last@example.org", "subscription='both'/>"));
    assert_eq!(contacts(&mut bench), (bounds::ROSTER_CONTACTS, Some("v1".to_owned())));
    assert!(!bench.session.account().roster_truncated);
    bench.effects.clear();
    bench.sends(&pushed("beyond@example.org", "subscription='both'/>"));
    // Without a version it comes whole at the next login.
    assert_eq!(contacts(&mut bench), (bounds::ROSTER_CONTACTS, None));
    assert!(bench.session.account().roster_truncated);
    assert!(bench.effects.contains(&Effect::Notify(Notice::AccountChanged)), "UIs are told");
    let add = Command::AddContact {
        jid: "new@example.org".parse().unwrap(),
        name: None,
        groups: Default::default(),
        subscribe: None,
    };
    let limit = bounds::ROSTER_CONTACTS;
    let refused = Failure::LimitExceeded { what: "contacts of a roster", limit };
    assert_eq!(bench.call(add), Some(Err(refused)));
    // Those who are there may change and go.
    bench.sends(&pushed("last@example.org", "subscription='both' name='Last'/>"));
    let last = bench.session.contact(&"last@example.org".parse().unwrap()).unwrap();
    assert_eq!(last.name, "Last");
    bench.sends(&pushed("last@example.org", "subscription='remove'/>"));
    assert_eq!(contacts(&mut bench).0, bounds::ROSTER_CONTACTS - 1);
}

#[test]
fn a_roster_that_comes_whole_is_cut_too() {
    let mut bench = Bench::new();
    let jid = "marc@prose.org/x".parse().unwrap();
    bench.happen(Input::Online { jid, roster_versioning: true, stanza_bytes: None, client_state: false });
    let id = bench.asked.pop().unwrap().id;
    let items: String = (0..bounds::ROSTER_CONTACTS + 1_000)
        .map(|n| format!("<item jid='contact{n}@example.org' subscription='both'/>"))
        .collect();
    bench.effects.clear();
    bench.sends(&format!(
        "<iq type='result' id='{id}'><query xmlns='jabber:iq:roster' ver='v1'>{items}</query></iq>"
    ));
    assert!(bench.session.account().roster_truncated);
    let saved = bench.effects.iter().find_map(|effect| match effect {
        Effect::Save { write: Write::Roster { version, items, .. }, .. } => Some((version, items.len())),
        _ => None,
    });
    assert_eq!(saved, Some((&None, bounds::ROSTER_CONTACTS)));
}

#[test]
fn a_roster_is_bounded_by_bytes_too() {
    let mut bench = Bench::new();
    let groups: String = (0..100).map(|n| format!("<group>{n:03}{}</group>", "x".repeat(997))).collect();
    for n in 0..300 {
        bench.sends(&pushed(
            &format!("contact{n}@example.org"),
            &format!("subscription='both'>{groups}</item>"),
        ));
    }
    let Some(Ok(Answer::Roster { contacts, .. })) = bench.call(Command::LoadRoster) else {
        panic!("no roster")
    };
    let bytes: usize = contacts.iter().flat_map(|contact| contact.groups.iter()).map(String::len).sum();
    assert!(bytes <= bounds::ROSTER_BYTES && bytes > bounds::ROSTER_BYTES / 2, "{bytes} bytes");
    assert!(bench.session.account().roster_truncated);
}

#[test]
fn a_version_of_absurd_length_is_none() {
    let mut bench = Bench::new();
    let version = "v".repeat(2_000);
    bench.sends(&format!(
        "<iq type='set' id='p'><query xmlns='jabber:iq:roster' ver='{version}'>\
         <item jid='new@example.org' subscription='both'/></query></iq>"
    ));
    let Some(Ok(Answer::Roster { version, .. })) = bench.call(Command::LoadRoster) else {
        panic!("no roster")
    };
    assert_eq!(version, None);
}

#[test]
fn everybody_is_asked_in_the_end() {
    let mut bench = Bench::new();
    for n in 0..50 {
        bench.shows(&format!("friend{n}@example.org/phone"), &format!("{n}"));
    }
    let mut asked = 0;
    while let Some(one) = bench.asked.pop() {
        assert!(one.is_disco());
        asked += 1;
        bench.refuses(&one);
    }
    assert_eq!(asked, 50);
}
