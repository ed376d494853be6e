//! Thousands of stanzas that make no sense, among calls, lost streams and failing disks. Nothing
//! of it may panic, and what [`Watched`] checks must hold all the way: no call is answered twice,
//! every event is an effective change, every effective change is an event. At the end every call
//! has been answered.

use std::collections::BTreeSet;
use std::time::Duration;

use jid::BareJid;
use minidom::{Element, Node};
use prosed_session::{
    Availability, Command, Effect, Failure, Input, OwnPresence, Snapshot, Software, SubscriptionAct,
    Timestamp, Unsent,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use xmpp_parsers::stanza::Stanza;

use crate::script::{Names, Script};
use crate::watched::{Disk, START, Wanted, Watched};
use crate::words::stanza;
use crate::xml;

const SEEDS: u64 = 24;
const STEPS: usize = 1_500;

const JIDS: &[&str] = &[
    "marc@prose.org",
    "marc@prose.org/bot_example",
    "marc@prose.org/phone",
    "anna@prose.org",
    "anna@prose.org/phone",
    "ben@prose.org",
    "ben@prose.org/phone",
    "valerian@prose.org",
    "c01@prose.org/a",
    "mallory@evil.example/x",
    "prose.org",
];
const TEXTS: &[&str] =
    &["", " ", "x", "-1", "99999999999999999999", "both", "remove", "🐧", "a@b/c/d", "0001-01-01T00:00:00Z"];

/// Every stanza that the plays' servers send, and the plays' names.
fn stanzas_of_all_plays() -> (Vec<String>, Names) {
    let (mut texts, mut names) = (Vec::new(), Names::default());
    for file in crate::scripts() {
        let text = std::fs::read_to_string(file).expect("a readable script");
        for step in Script::read(&text).scenes.into_iter().flat_map(|scene| scene.steps) {
            if let Some((name, value)) =
                step.head.strip_prefix("let $").and_then(|text| text.split_once(" = "))
            {
                names.bind(name, value.split(" times ").last().unwrap_or_default().to_owned());
            } else if step.head.starts_with("server sends") {
                texts.push(step.block);
            }
        }
    }
    texts.sort();
    texts.dedup();
    (texts, names)
}

struct Chaos {
    random: StdRng,
    stanzas: Vec<Element>,
    session: Watched,
    /// Requests that the session has sent: the id, and of whom it asked.
    asked: Vec<(String, Option<String>)>,
    handled: usize,
}

impl Chaos {
    fn new(seed: u64, stanzas: &[Element]) -> Self {
        let account = BareJid::new("marc@prose.org").expect("a JID");
        let session = Watched::new(account, Software::prosed(), Snapshot::default());
        let random = StdRng::seed_from_u64(seed);
        Self { random, stanzas: stanzas.to_vec(), session, asked: Vec::new(), handled: 0 }
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from.choose(&mut self.random).copied().expect("something to choose")
    }

    fn bare(&mut self) -> BareJid {
        let jid: jid::Jid = self.pick(JIDS).parse().expect("a JID");
        jid.into_bare()
    }

    fn note(&mut self, wanted: Vec<Wanted>) {
        for wanted in wanted {
            let Effect::Send { stanza, .. } = wanted.effect else { continue };
            let Stanza::Iq(iq) = *stanza else { continue };
            let iq = Element::from(iq);
            if matches!(iq.attr("type"), Some("get" | "set")) {
                let id = iq.attr("id").unwrap_or_default().to_owned();
                self.asked.push((id, iq.attr("to").map(str::to_owned)));
            }
        }
        if self.asked.len() > 64 {
            self.asked.drain(..32);
        }
    }

    fn step(&mut self) {
        let wanted = match self.random.random_range(0..100) {
            0..70 => {
                let count = self.random.random_range(1..4);
                let stanzas: Vec<Input> = (0..count).filter_map(|_| self.stanza()).collect();
                self.handled += stanzas.len();
                self.session.happen(stanzas)
            }
            70..85 => {
                let command = self.command();
                self.session.call(command).1
            }
            85..91 => {
                let answer = match self.random.random_range(0..10) {
                    0 | 1 => Disk::Fails,
                    2 => Disk::FindsNothing,
                    _ => Disk::Finds,
                };
                let answers = [answer, Disk::Keeps].into_iter();
                let mut answered = answers.filter_map(|answer| self.session.disk(answer));
                answered.next().unwrap_or_default()
            }
            91..94 => {
                let by = [1, 500, 2_000, 31_000, 400_000];
                let by = by.choose(&mut self.random).copied().unwrap_or_default();
                self.session.later(Duration::from_millis(by))
            }
            94..96 => {
                let names = self.session.unanswered();
                let count = self.random.random_range(0..=names.len());
                let names: Vec<&str> = names.iter().take(count).map(String::as_str).collect();
                let marks = self.session.answer_marks(&names).expect("marks without an answer");
                self.session.happen(vec![match self.random.random_range(0..3) {
                    0 => Input::Acknowledged(marks),
                    1 => Input::Unsent(Unsent { doubtful: marks, unwritten: Vec::new() }),
                    _ => Input::Unsent(Unsent { doubtful: Vec::new(), unwritten: marks }),
                }])
            }
            _ => {
                let input = self.connection();
                self.session.happen(vec![input])
            }
        };
        self.note(wanted);
    }

    fn connection(&mut self) -> Input {
        match self.random.random_range(0..11) {
            9.. => Input::Watched(self.random.random()),
            0..4 => Input::Online {
                jid: "marc@prose.org/bot_example".parse().expect("a JID"),
                roster_versioning: self.random.random(),
                stanza_bytes: self.stanza_bytes(),
                client_state: self.random.random(),
            },
            4..6 => Input::Suspended,
            6 => Input::Resumed { stanza_bytes: self.stanza_bytes() },
            7 => Input::Connecting,
            _ => Input::Offline {
                failure: self.random.random_bool(0.5).then_some(Failure::SessionReplaced),
                retry_at: self.random.random_bool(0.7).then_some(Timestamp(START.0 + 1_000_000_000)),
            },
        }
    }

    fn stanza_bytes(&mut self) -> Option<u32> {
        [None, Some(10_000), Some(1 << 20)].choose(&mut self.random).copied().flatten()
    }

    fn command(&mut self) -> Command {
        let jid = self.bare();
        match self.random.random_range(0..11) {
            0 => Command::Login,
            1 if self.random.random_bool(0.1) => Command::Logout,
            1 | 2 => Command::GetAccount,
            3 => Command::LoadRoster,
            4 => Command::GetContact { jid },
            5 | 6 => Command::LoadAvatar { jid },
            7 => Command::LoadProfile { jid, refresh: self.random.random() },
            8 | 9 => {
                let request = SubscriptionAct::Request { message: None };
                let acts =
                    [SubscriptionAct::Approve, SubscriptionAct::Deny, SubscriptionAct::Cancel, request];
                let act = acts.choose(&mut self.random).cloned().unwrap_or(SubscriptionAct::Approve);
                Command::Subscription { jid, act }
            }
            _ => {
                let words = [Availability::Chat, Availability::Dnd, Availability::Unavailable];
                let availability = words.choose(&mut self.random).copied().unwrap_or_default();
                let status = self.random.random_bool(0.2).then(|| "\u{1f642}".repeat(4_000));
                Command::SetPresence(OwnPresence { availability, status, priority: None })
            }
        }
    }

    fn stanza(&mut self) -> Option<Input> {
        let at = self.random.random_range(0..self.stanzas.len());
        let mut element = self.stanzas[at].clone();
        for _ in 0..self.random.random_range(0..3) {
            element = self.spoilt(&element);
        }
        // Half of the answers are answers to something.
        let answers = matches!(element.attr("type"), Some("result" | "error"));
        let asked = self.asked.choose(&mut self.random).cloned();
        if let Some((id, to)) = asked.filter(|_| answers && self.random.random_bool(0.5)) {
            set(&mut element, "id", Some(&id));
            set(&mut element, "from", to.as_deref());
        }
        stanza(element).ok().map(|stanza| Input::Stanza(Box::new(stanza)))
    }

    /// The same element with something dropped, doubled, renamed or replaced, somewhere.
    fn spoilt(&mut self, element: &Element) -> Element {
        let children = element.children().count();
        let at = if children > 0 && self.random.random_bool(0.8) {
            Some(self.random.random_range(0..children))
        } else {
            None
        };
        let Some(at) = at else { return self.spoilt_here(element) };
        let how = self.random.random_range(0..10);
        let mut spoilt = hollow(element, element.name());
        let mut seen = 0;
        for node in element.nodes() {
            let Node::Element(child) = node else {
                spoilt.append_node(node.clone());
                continue;
            };
            seen += 1;
            match how {
                _ if seen - 1 != at => drop(spoilt.append_child(child.clone())),
                0 => {}
                1 => {
                    spoilt.append_child(child.clone());
                    spoilt.append_child(child.clone());
                }
                _ => drop(spoilt.append_child(self.spoilt(child))),
            }
        }
        spoilt
    }

    fn spoilt_here(&mut self, element: &Element) -> Element {
        let text = self.pick(TEXTS);
        let jid = self.pick(JIDS);
        let mut spoilt = element.clone();
        let names: Vec<String> = element.attrs().iter().map(|((_, name), _)| name.to_string()).collect();
        let name = names.choose(&mut self.random).cloned().unwrap_or_default();
        match self.random.random_range(0..6) {
            0 => return filled(hollow(element, "odd"), element),
            1 => {
                let mut other = hollow(element, element.name());
                other.append_text_node(text);
                return other;
            }
            2 if !name.is_empty() => set(&mut spoilt, &name, None),
            3 if !name.is_empty() => set(&mut spoilt, &name, Some(text)),
            4 => set(&mut spoilt, "from", Some(jid)),
            _ => set(&mut spoilt, "jid", Some(jid)),
        }
        spoilt
    }

    /// Every call has been answered once nothing is left that it could wait for.
    fn end(mut self) -> usize {
        self.session.happen(vec![Input::Offline { failure: None, retry_at: None }]);
        while self.session.disk(Disk::Keeps).or_else(|| self.session.disk(Disk::Finds)).is_some() {}
        assert_eq!(self.session.open_calls(), 0, "calls that nobody answers");
        self.session.later(Duration::from_secs(1));
        assert!(self.session.has_told_all(), "changes that nobody is told of");
        self.handled
    }
}

/// The element without what is in it.
fn hollow(element: &Element, name: &str) -> Element {
    let mut hollow = Element::bare(name, element.ns());
    for ((ns, name), value) in element.attrs().iter() {
        hollow.attrs_mut().insert(ns.clone(), name.clone(), value.clone());
    }
    hollow
}

fn filled(mut into: Element, from: &Element) -> Element {
    from.nodes().for_each(|node| into.append_node(node.clone()));
    into
}

/// Sets or drops an attribute.
fn set(element: &mut Element, name: &str, value: Option<&str>) {
    let marker = match value {
        Some(value) => format!(
            "<x {name}='{}'/>",
            value.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
        ),
        None => "<x/>".to_owned(),
    };
    let attributes = element.attrs().iter().filter(|((_, known), _)| known.as_str() != name);
    let kept: Vec<_> =
        attributes.map(|((ns, name), value)| (ns.clone(), name.clone(), value.clone())).collect();
    *element.attrs_mut() = Default::default();
    for (ns, name, value) in kept {
        element.attrs_mut().insert(ns, name, value);
    }
    for marked in xml::read(&marker).unwrap_or_default() {
        for ((ns, name), value) in marked.attrs().iter() {
            element.attrs_mut().insert(ns.clone(), name.clone(), value.clone());
        }
    }
}

#[test]
fn nonsense_breaks_nothing() {
    let (texts, names) = stanzas_of_all_plays();
    let elements: Vec<Element> =
        texts.iter().filter_map(|text| xml::read(&names.put_in(text)).ok()).flatten().collect();
    let kinds: BTreeSet<&str> = elements.iter().map(Element::name).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["iq", "message", "presence"]);
    let mut handled = 0;
    for seed in 0..SEEDS {
        let mut chaos = Chaos::new(seed, &elements);
        for at in 0..STEPS {
            let step = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| chaos.step()));
            assert!(step.is_ok(), "seed {seed}, step {at}: see above");
        }
        handled += chaos.end();
    }
    // Nonsense that the parser refuses tries nothing.
    assert!(handled > 10_000, "only {handled} stanzas got through");
    println!("{handled} stanzas");
}
