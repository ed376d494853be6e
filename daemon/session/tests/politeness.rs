//! How many questions an account asks of other people's servers, and when: a roster of 1,000, in virtual time.
//! Every question is answered at once, with nothing: that is where the most are asked.

#![allow(clippy::unwrap_used, reason = "what can't be is what a test finds")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jid::BareJid;
use prosed_session::{
    Call, Command, Effect, Input, Now, PersonRecord, RosterItem, RosterRecord, Session, Snapshot, Software,
    Subscription, Timestamp, Write, read_stanza, registrable,
};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::stanza::Stanza;

const CONTACTS: usize = 1_000;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

struct Account {
    session: Session,
    begun: Instant,
    elapsed: Duration,
    people: BTreeMap<BareJid, PersonRecord>,
    items: Vec<RosterItem>,
    /// What was asked of whom, and when.
    asked: Vec<(Duration, BareJid)>,
}

fn jid(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

fn contact(n: usize, domains: usize) -> BareJid {
    jid(&format!("contact{n}@chat.d{}.example", n % domains))
}

impl Account {
    fn log_in(domains: usize) -> Self {
        let item = |n| RosterItem {
            jid: contact(n, domains),
            resource: None,
            name: None,
            subscription: Subscription::Both,
            ask: false,
            approved: false,
            groups: Default::default(),
        };
        Self::begin((0..CONTACTS).map(item).collect(), BTreeMap::new(), Duration::ZERO)
    }

    fn begin(items: Vec<RosterItem>, people: BTreeMap<BareJid, PersonRecord>, elapsed: Duration) -> Self {
        let begun = Instant::now();
        let cached = Snapshot {
            roster: Some(RosterRecord { version: None, items: items.clone() }),
            people: people.clone().into_iter().collect(),
            ..Snapshot::default()
        };
        let now = Now { monotonic: begun + elapsed, wall: Timestamp(elapsed.as_millis() as i64) };
        let session = Session::new(jid("me@home.example"), Software::prosed(), cached, 1, now);
        let mut account = Self { session, begun, elapsed, people, items, asked: Vec::new() };
        let online = Input::Online {
            jid: "me@home.example/x".parse().unwrap(),
            roster_versioning: true,
            stanza_bytes: None,
            client_state: false,
        };
        account.happen(online);
        account
    }

    fn restart(self) -> Self {
        let mut next = Self::begin(self.items, self.people, self.elapsed);
        next.asked = self.asked;
        next
    }

    fn happen(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let wall = Timestamp(self.elapsed.as_millis() as i64);
            let now = Now { monotonic: self.begun + self.elapsed, wall };
            let mut effects = Vec::new();
            self.session.handle(input, now, &mut effects);
            self.session.settle(now, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Save { write: Write::Person { jid, person: Some(person) }, .. } => {
                        self.people.entry(jid).or_default().update(&person);
                    }
                    Effect::Send { stanza, .. } => inputs.extend(self.answer(*stanza)),
                    _ => {}
                }
            }
        }
    }

    /// The server knows the roster, and nothing of anybody.
    fn answer(&mut self, stanza: Stanza) -> Option<Input> {
        let Stanza::Iq(Iq::Get { to, id, .. }) = stanza else { return None };
        let text = match to {
            None => format!("<iq xmlns='jabber:client' type='result' id='{id}'/>"),
            Some(to) => {
                self.asked.push((self.elapsed, to.to_bare()));
                format!(
                    "<iq xmlns='jabber:client' type='error' id='{id}' from='{to}'><error type='cancel'>\
                     <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                )
            }
        };
        Some(Input::Stanza(Box::new(read_stanza(text.parse().unwrap()).unwrap())))
    }

    fn later(&mut self, seconds: u64) {
        let end = self.elapsed + Duration::from_secs(seconds);
        while let Some(at) = self.session.next_deadline().map(|at| at - self.begun).filter(|at| *at <= end) {
            self.elapsed = self.elapsed.max(at);
            self.happen(Input::Tick);
        }
        self.elapsed = end;
    }

    /// Questions to contacts that were asked since then.
    fn questions(&self, since: u64) -> usize {
        self.contacts(since).count()
    }

    /// Who was asked since then, once for each question.
    fn contacts(&self, since: u64) -> impl Iterator<Item = &BareJid> {
        let since = Duration::from_secs(since);
        self.asked
            .iter()
            .filter(move |(at, jid)| *at >= since && jid.domain().as_str() != "home.example")
            .map(|(_, jid)| jid)
    }

    fn different(&self) -> usize {
        self.contacts(0).collect::<BTreeSet<_>>().len()
    }
}

/// A few, where it was 3,000: of each contact the avatar's metadata and two nodes with vCards.
#[test]
fn a_login_asks_little_of_anybody() {
    for (domains, first_minute) in [(1, 15), (1_000, 39)] {
        let mut account = Account::log_in(domains);
        account.later(MINUTE);
        assert_eq!(account.questions(0), first_minute, "{domains} domains");
        account.later(MINUTE);
        assert!(account.questions(MINUTE) <= 15, "then a few a minute: {}", account.questions(MINUTE));
    }
}

#[test]
fn a_thousand_contacts_are_asked_within_a_day_and_then_left_alone() {
    for domains in [1, 20] {
        let mut account = Account::log_in(domains);
        account.later(17 * 60 * MINUTE);
        assert_eq!(account.different(), CONTACTS, "{domains} domains");
        let asked = account.questions(0);
        account.later(DAY);
        assert_eq!(account.questions(0), asked, "who has answered is not asked again a day later");
    }
}

#[test]
fn a_domain_is_asked_at_its_own_pace() {
    let mut account = Account::log_in(20);
    account.later(DAY);
    let mut by_domain: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for (at, jid) in &account.asked {
        by_domain.entry(registrable(jid.domain().as_str())).or_default().push(*at);
    }
    for (domain, times) in by_domain.iter().filter(|(domain, _)| **domain != "home.example") {
        for window in times.windows(3 * 6 + 1) {
            let took = window[window.len() - 1] - window[0];
            assert!(took >= Duration::from_secs(MINUTE), "{domain}: 19 questions in {took:?}");
        }
    }
}

/// What was learnt is kept, and those at the end of the alphabet have their turn.
#[test]
fn restarts_begin_nothing_over() {
    let mut account = Account::log_in(20);
    let mut restarts = 0;
    while account.different() < CONTACTS {
        account.later(20 * MINUTE);
        account = account.restart();
        restarts += 1;
        assert!(restarts < 72, "{} of {CONTACTS} in a day", account.different());
    }
    let twice = account.questions(0) - 3 * CONTACTS;
    assert_eq!(twice, 0, "nobody is asked twice");
}

#[test]
fn whom_a_ui_shows_is_asked_at_once_and_a_page_that_shows_all_is_slowed_down() {
    let mut account = Account::log_in(1);
    account.later(10);
    let before = account.questions(0);
    let screen: Vec<BareJid> = (900..920).map(|n| contact(n, 1)).collect();
    let show = |jids| Input::Command { call: Call(1), command: Command::ShowContacts { jids } };
    account.happen(show(screen.clone()));
    assert_eq!(account.questions(0) - before, 60, "all of them, at once");
    account.happen(show(screen));
    assert_eq!(account.questions(0) - before, 60, "once a day");
    account.happen(show((0..900).map(|n| contact(n, 1)).collect()));
    assert_eq!(account.questions(0) - before, 3 * 60, "a screenful or two");
    let last: Vec<BareJid> = (920..925).map(|n| contact(n, 1)).collect();
    account.happen(show(last.clone()));
    account.later(5);
    let asked: BTreeSet<_> = account.contacts(10).collect();
    assert!(last.iter().all(|jid| asked.contains(jid)), "what was shown last comes first");
    account.later(MINUTE);
    assert!(account.questions(15) <= 3 * (60 + 2), "{}", account.questions(15));
}
