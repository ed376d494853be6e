//! A session under watch: what must be true at all times is checked at every step, whatever
//! happens to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use jid::BareJid;
use prosed_session::{
    Account, Availability, Call, Command, Contact, ContactsChanged, Effect, Input, Mark, Notice, Now,
    PersonRecord, Query, Record, Session, Snapshot, Software, StoreFailed, Ticket, Timestamp, Unsent, Write,
    stanza_bytes,
};
use sha1::{Digest, Sha1};

/// So long a change may wait: contacts who never rest are told of twice a second.
const LATE: Duration = Duration::from_millis(500);

/// How large a stanza may be where the server does not say.
const UNTOLD: usize = 64 * 1024;

/// 2026-01-01T00:00:00Z: when every play begins.
pub(crate) const START: Timestamp = Timestamp(1_767_225_600_000);

pub(crate) struct Watched {
    account: BareJid,
    software: Software,
    session: Session,
    clock: Instant,
    elapsed: Duration,
    calls: u64,
    open: BTreeSet<Call>,
    /// What UIs know, having read every event.
    contacts: BTreeMap<BareJid, Contact>,
    told: Account,
    /// Since when UIs have not been told of what is so.
    waiting: BTreeMap<BareJid, Duration>,
    /// Bytes of a stanza that the server takes.
    stanza_limit: usize,
    /// What the disk has not answered, in order.
    jobs: VecDeque<Job>,
    /// A play says what becomes of each write, not only of pictures and our own presence.
    is_slow: bool,
    /// The marks of stanzas, in order: a play calls them m1, m2 and so on.
    marks: Vec<Mark>,
    /// Those of which the session has not heard.
    unanswered: BTreeSet<Mark>,
    /// What a restart would find.
    disk: Snapshot,
}

/// Something that the disk has to do.
enum Job {
    /// Without a write: it is done.
    Write(Ticket, Option<Write>),
    Read(Ticket, Option<Record>),
}

/// What the disk answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    /// It has kept what was to be written.
    Keeps,
    /// It has found what it kept.
    Finds,
    FindsNothing,
    Fails,
}

/// An effect, and our own state when it was wanted.
pub(crate) struct Wanted {
    pub(crate) effect: Effect,
    pub(crate) account: Account,
}

impl Watched {
    pub(crate) fn new(account: BareJid, software: Software, disk: Snapshot) -> Self {
        let clock = Instant::now();
        let now = Now { monotonic: clock, wall: START };
        let session = Session::new(account.clone(), software.clone(), disk.clone(), 7, now);
        let told = known(session.account());
        let mut watched = Self {
            account,
            software,
            session,
            clock,
            elapsed: Duration::ZERO,
            calls: 0,
            open: BTreeSet::new(),
            contacts: BTreeMap::new(),
            told,
            waiting: BTreeMap::new(),
            stanza_limit: UNTOLD,
            jobs: VecDeque::new(),
            is_slow: false,
            marks: Vec::new(),
            unanswered: BTreeSet::new(),
            disk,
        };
        watched.contacts = watched.roster().unwrap_or_default();
        watched
    }

    /// The process has died, and restarts with what is on disk.
    pub(crate) fn restart(&mut self) {
        let (account, software, disk) = (self.account.clone(), self.software.clone(), self.disk.clone());
        self.session = Session::new(account, software, disk, 8, self.now());
        self.open.clear();
        self.waiting.clear();
        self.jobs.clear();
        self.marks.clear();
        self.unanswered.clear();
        self.told = self.account_now();
        self.contacts = self.roster().unwrap_or_default();
    }

    fn now(&self) -> Now {
        let millis = i64::try_from(self.elapsed.as_millis()).expect("a short play");
        Now { monotonic: self.clock + self.elapsed, wall: Timestamp(START.0 + millis) }
    }

    /// Inputs that come together.
    pub(crate) fn happen(&mut self, inputs: Vec<Input>) -> Vec<Wanted> {
        let mut wanted = self.handle(inputs);
        while let Some(Job::Write(ticket, None)) = self.jobs.front() {
            let saved = Input::Saved { ticket: *ticket, result: Ok(()) };
            self.jobs.pop_front();
            wanted.extend(self.handle(vec![saved]));
        }
        wanted
    }

    fn handle(&mut self, inputs: Vec<Input>) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for input in inputs {
            if matches!(&input, Input::Online { .. } | Input::Offline { retry_at: None, .. }) {
                self.end_stream(&mut wanted);
            }
            if let Input::Online { stanza_bytes, .. } | Input::Resumed { stanza_bytes } = &input {
                self.stanza_limit = stanza_bytes.map_or(UNTOLD, |bytes| bytes.max(10_000) as usize);
            }
            let mut effects = Vec::new();
            self.session.handle(input, self.now(), &mut effects);
            self.note(effects, &mut wanted);
        }
        let mut effects = Vec::new();
        self.session.settle(self.now(), &mut effects);
        self.note(effects, &mut wanted);
        self.check_told();
        wanted
    }

    /// As the shell does: the session hears of each mark before a stream's successor, or its end.
    fn end_stream(&mut self, wanted: &mut Vec<Wanted>) {
        let doubtful: Vec<Mark> = std::mem::take(&mut self.unanswered).into_iter().collect();
        if !doubtful.is_empty() {
            let mut effects = Vec::new();
            let unsent = Unsent { doubtful, unwritten: Vec::new() };
            self.session.handle(Input::Unsent(unsent), self.now(), &mut effects);
            self.note(effects, wanted);
        }
    }

    /// What a play calls a mark.
    pub(crate) fn mark_name(&self, mark: Mark) -> Option<String> {
        self.marks.iter().position(|&known| known == mark).map(|at| format!("m{}", at + 1))
    }

    /// The marks of these names; each is answered once.
    pub(crate) fn answer_marks(&mut self, names: &[&str]) -> Result<Vec<Mark>, String> {
        let mut marks = Vec::new();
        for name in names {
            let number = name.strip_prefix('m').and_then(|number| number.parse::<usize>().ok());
            let mark = number.and_then(|number| self.marks.get(number.checked_sub(1)?)).copied();
            let mark = mark.filter(|mark| self.unanswered.remove(mark));
            marks.push(mark.ok_or_else(|| format!("no mark without an answer: {name}"))?);
        }
        Ok(marks)
    }

    /// The marks that are not answered, in order.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.unanswered.iter().filter_map(|&mark| self.mark_name(mark)).collect()
    }

    /// Every effective change has been told, or is about to be.
    fn check_told(&mut self) {
        let mut untold = BTreeSet::new();
        if let Some(roster) = self.roster() {
            let jids = roster.keys().chain(self.contacts.keys());
            untold.extend(jids.filter(|jid| roster.get(*jid) != self.contacts.get(*jid)).cloned());
        }
        if self.told != self.account_now() {
            untold.insert(self.account.clone());
        }
        self.waiting.retain(|jid, _| untold.contains(jid));
        for jid in untold {
            let since = *self.waiting.entry(jid.clone()).or_insert(self.elapsed);
            let deadline = self.session.next_deadline();
            assert!(
                deadline.is_some_and(|at| at <= self.clock + since + LATE),
                "a change of {jid} was not told, and will not be in time"
            );
        }
    }

    /// Nothing is left that UIs have not been told.
    pub(crate) fn has_told_all(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn call(&mut self, command: Command) -> (Call, Vec<Wanted>) {
        self.calls += 1;
        let call = Call(self.calls);
        self.open.insert(call);
        (call, self.happen(vec![Input::Command { call, command }]))
    }

    /// From now on, every write waits for the disk.
    pub(crate) fn slow_disk(&mut self) {
        self.is_slow = true;
    }

    /// The disk does its oldest job, if this is an answer to it.
    pub(crate) fn disk(&mut self, answer: Disk) -> Option<Vec<Wanted>> {
        let answered = match (self.jobs.pop_front()?, answer) {
            (Job::Write(ticket, Some(write)), Disk::Keeps) => {
                self.keep(write);
                Input::Saved { ticket, result: Ok(()) }
            }
            (Job::Write(ticket, _), Disk::Fails) => Input::Saved { ticket, result: Err(StoreFailed) },
            (Job::Read(ticket, found), Disk::Finds) => Input::Found { ticket, result: Ok(found) },
            (Job::Read(ticket, _), Disk::FindsNothing) => Input::Found { ticket, result: Ok(None) },
            (Job::Read(ticket, _), Disk::Fails) => Input::Found { ticket, result: Err(StoreFailed) },
            (job, _) => {
                self.jobs.push_front(job);
                return None;
            }
        };
        Some(self.happen(vec![answered]))
    }

    /// Time passes, deadline by deadline.
    pub(crate) fn later(&mut self, by: Duration) -> Vec<Wanted> {
        let (until, mut wanted, mut ticks) = (self.elapsed + by, Vec::new(), 0);
        while let Some(deadline) = self.session.next_deadline().filter(|at| *at <= self.clock + until) {
            let at = self.elapsed.max(deadline.saturating_duration_since(self.clock));
            ticks = if at > self.elapsed { 0 } else { ticks + 1 };
            assert!(ticks < 10, "the session's deadline does not move: it would spin");
            self.elapsed = at;
            wanted.extend(self.happen(vec![Input::Tick]));
        }
        self.elapsed = until;
        wanted
    }

    pub(crate) fn now_wall(&self) -> Timestamp {
        self.now().wall
    }

    pub(crate) fn open_calls(&self) -> usize {
        self.open.len()
    }

    fn note(&mut self, effects: Vec<Effect>, wanted: &mut Vec<Wanted>) {
        for effect in effects {
            match &effect {
                Effect::Send { stanza, bytes, mark } => {
                    if let Some(mark) = *mark {
                        assert!(self.marks.last() < Some(&mark), "{mark:?} is used twice, or late");
                        self.marks.push(mark);
                        self.unanswered.insert(mark);
                    }
                    assert_eq!(*bytes, stanza_bytes(stanza));
                    assert!(*bytes <= self.stanza_limit, "the server ends the stream over {bytes} bytes");
                }
                Effect::Reply { call, .. } => {
                    assert!(self.open.remove(call), "{call:?} is answered twice");
                }
                Effect::Save { write, ticket } => {
                    if let Write::Image { id, data, .. } = write {
                        assert_eq!(Sha1::digest(data)[..], id.0, "an image that is not what its id says");
                    }
                    let waits = self.is_slow || matches!(write, Write::Image { .. } | Write::OwnPresence(_));
                    if !waits {
                        self.keep(write.clone());
                    }
                    self.jobs.push_back(Job::Write(*ticket, waits.then(|| write.clone())));
                }
                Effect::Read { query, ticket } => {
                    let found = self.find(query);
                    self.jobs.push_back(Job::Read(*ticket, found));
                }
                Effect::Notify(notice) => self.note_notice(notice),
                Effect::ClientState { .. } => {}
            }
            wanted.push(Wanted { effect, account: self.session.account() });
        }
    }

    /// An event always means an effective change.
    fn note_notice(&mut self, notice: &Notice) {
        match notice {
            Notice::ContactsChanged(ContactsChanged { changed, came_online, removed, .. }) => {
                assert!(!changed.is_empty() || !removed.is_empty(), "contactChanged of nobody");
                let is_online = |contact: &Contact| contact.availability != Availability::Unavailable;
                let mut coming = Vec::new();
                for contact in changed {
                    self.waiting.remove(&contact.jid);
                    let before = self.contacts.insert(contact.jid.clone(), contact.clone());
                    assert_ne!(before.as_ref(), Some(contact), "contactChanged without a change");
                    if is_online(contact) && !before.as_ref().is_some_and(is_online) {
                        coming.push(contact.jid.clone());
                    }
                }
                assert_eq!(*came_online, coming, "who came online, as UIs know it");
                for jid in removed {
                    self.waiting.remove(jid);
                    assert!(self.contacts.remove(jid).is_some(), "{jid} was no contact");
                }
            }
            Notice::AccountChanged => {
                let account = self.account_now();
                assert_ne!(self.told, account, "accountChanged without a change");
                self.waiting.remove(&self.account);
                self.told = account;
            }
            Notice::SubscriptionRequested(_)
            | Notice::SubscriptionResolved { .. }
            | Notice::RosterLoaded { .. } => {}
        }
    }

    fn account_now(&self) -> Account {
        known(self.session.account())
    }

    fn roster(&self) -> Option<BTreeMap<BareJid, Contact>> {
        let contacts = self.session.contacts().into_iter();
        self.session.has_roster().then(|| contacts.map(|contact| (contact.jid.clone(), contact)).collect())
    }

    fn find(&self, query: &Query) -> Option<Record> {
        let Query::Profile(jid) = query;
        let (_, person) = self.disk.people.iter().find(|(known, _)| known == jid)?;
        Some(Record::Profile(Box::new(person.profile.clone())))
    }

    fn keep(&mut self, write: Write) {
        let disk = &mut self.disk;
        match write {
            Write::Roster { version, replace, items, removed } => {
                let roster = disk.roster.get_or_insert_default();
                roster.version = version;
                roster.items.retain(|item| {
                    !replace && !removed.contains(&item.jid) && items.iter().all(|new| new.jid != item.jid)
                });
                roster.items.extend(items);
            }
            Write::Person { jid, person: None } => {
                disk.people.retain(|(known, _)| *known != jid);
                disk.last_seen.retain(|(known, _)| *known != jid);
            }
            Write::Person { jid, person: Some(update) } => {
                let at = disk.people.iter().position(|(known, _)| *known == jid).unwrap_or_else(|| {
                    disk.people.push((jid, PersonRecord::default()));
                    disk.people.len() - 1
                });
                disk.people[at].1.update(&update);
            }
            Write::LastSeen(times) => {
                disk.last_seen.retain(|(known, _)| times.iter().all(|(jid, _)| jid != known));
                disk.last_seen.extend(times);
            }
            Write::Image { id, .. } => {
                disk.images.insert(id);
            }
            Write::ImageUnused { id } => {
                let named =
                    |person: &PersonRecord| person.avatar.present().is_some_and(|avatar| avatar.id == id);
                assert!(!disk.people.iter().any(|(_, person)| named(person)), "{id} is somebody's");
                disk.images.remove(&id);
            }
            Write::SubscriptionRequest { jid, request } => {
                disk.requests.retain(|known| known.jid != jid);
                disk.requests.extend(request);
            }
            Write::Caps { key, record } => {
                disk.caps.retain(|(known, _)| *known != key);
                disk.caps.extend(record.map(|record| (key, record)));
            }
            Write::OwnPresence(presence) => disk.presence = presence,
        }
    }
}

/// What UIs are told of: hearing of the server is no news.
fn known(account: Account) -> Account {
    Account { last_stanza_at: None, ..account }
}
