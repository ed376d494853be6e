//! Stream management (XEP-0198) as a machine: counts, what is not acknowledged, and resumption. No socket, no clock.
//!
//! Each side counts the stanzas that it has received, modulo 2³², and tells the other: `h`. What we sent is kept here
//! until the server has acknowledged it. To resume a session, both tell their counts over a new connection, and send
//! again what the other has not received.

use std::collections::VecDeque;

use minidom::Element;
use minidom::rxml::xml_ncname;
use xmpp_parsers::ns;

/// The server contradicts what was sent or agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Disorder {
    /// It acknowledges more than was sent.
    #[error("the server acknowledged stanzas that were never sent to it")]
    TooMany,
    /// An answer without a question, or something that only clients may send.
    #[error("the server broke the order of stream management")]
    Unexpected,
    /// It resumes a session that it was not asked for.
    #[error("the server resumed a session that is not ours")]
    OtherSession,
}

/// How far a session's management has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Not asked for, or refused.
    Off,
    /// Requested. From here on, what we send is counted.
    Asked,
    /// Both sides count.
    On {
        /// What the server calls the session; absent: it can't be resumed.
        id: Option<String>,
    },
}

/// The state of one session. `T` is what was sent, with whatever the caller needs to know about it.
#[derive(Debug)]
pub(super) struct Managed<T> {
    phase: Phase,
    /// Stanzas received from the server.
    received: u32,
    /// Stanzas of ours that the server has acknowledged.
    acknowledged: u32,
    /// Sent and not acknowledged, oldest first.
    unacknowledged: VecDeque<T>,
    /// The server's count was requested, and has not arrived yet.
    is_asked: bool,
}

impl<T> Default for Managed<T> {
    fn default() -> Self {
        Self {
            phase: Phase::Off,
            received: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            is_asked: false,
        }
    }
}

impl<T> Managed<T> {
    /// The request to manage the session.
    pub(super) fn enable(&mut self) -> Element {
        self.phase = Phase::Asked;
        Element::builder("enable", ns::SM).attr(xml_ncname!("resume").to_owned(), "true").build()
    }

    /// The server has agreed.
    ///
    /// # Errors
    /// It was not requested.
    pub(super) fn enabled(&mut self, answer: &Element) -> Result<(), Disorder> {
        if self.phase != Phase::Asked {
            return Err(Disorder::Unexpected);
        }
        let resumes = matches!(answer.attr("resume"), Some("true" | "1"));
        let id = answer.attr("id").filter(|id| resumes && !id.is_empty()).map(str::to_owned);
        self.phase = Phase::On { id };
        self.received = 0;
        Ok(())
    }

    /// The server has refused. Returns what was sent; nobody will acknowledge it.
    ///
    /// # Errors
    /// It was not asked.
    pub(super) fn refused(&mut self) -> Result<Vec<T>, Disorder> {
        if self.phase != Phase::Asked {
            return Err(Disorder::Unexpected);
        }
        self.phase = Phase::Off;
        self.is_asked = false;
        Ok(self.unacknowledged.drain(..).collect())
    }

    /// Both sides count.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.phase, Phase::On { .. })
    }

    /// What we send is counted and kept until it is acknowledged.
    pub(super) fn keeps(&self) -> bool {
        self.phase != Phase::Off
    }

    /// The request to resume the session, if it can be resumed.
    pub(super) fn resume(&self) -> Option<Element> {
        let Phase::On { id: Some(id) } = &self.phase else { return None };
        Some(
            Element::builder("resume", ns::SM)
                .attr(xml_ncname!("previd").to_owned(), id.as_str())
                .attr(xml_ncname!("h").to_owned(), self.received.to_string())
                .build(),
        )
    }

    /// The session continues over a new connection. Returns what the server has received; the rest must be sent again
    /// ([`Managed::unacknowledged`]).
    ///
    /// # Errors
    /// It was another session, or none that can be resumed; the server acknowledges more than was sent, or gives no
    /// count.
    pub(super) fn resumed(&mut self, answer: &Element) -> Result<Vec<T>, Disorder> {
        let Phase::On { id: Some(id) } = &self.phase else { return Err(Disorder::Unexpected) };
        if answer.attr("previd").is_some_and(|other| other != id) {
            return Err(Disorder::OtherSession);
        }
        self.is_asked = false;
        self.acknowledge(count(answer).ok_or(Disorder::Unexpected)?)
    }

    /// The server no longer has the session. Returns what it had received, if it says so. An impossible count says
    /// nothing.
    pub(super) fn gone(&mut self, answer: &Element) -> Vec<T> {
        if !self.is_on() || answer.name() != "failed" {
            return Vec::new();
        }
        count(answer).and_then(|count| self.acknowledge(count).ok()).unwrap_or_default()
    }

    /// A stanza was received.
    pub(super) fn received(&mut self) {
        self.received = self.received.wrapping_add(1);
    }

    /// How many stanzas were received.
    pub(super) fn count(&self) -> u32 {
        self.received
    }

    /// A stanza is sent. Returns it if nobody will acknowledge it.
    pub(super) fn sent(&mut self, stanza: T) -> Option<T> {
        if !self.keeps() {
            return Some(stanza);
        }
        self.unacknowledged.push_back(stanza);
        None
    }

    /// Sent and not acknowledged, oldest first.
    pub(super) fn unacknowledged(&self) -> impl ExactSizeIterator<Item = &T> {
        self.unacknowledged.iter()
    }

    /// The server sends its count. Returns what it has received.
    ///
    /// # Errors
    /// It acknowledges more than was sent, or gives no count.
    pub(super) fn acknowledged(&mut self, answer: &Element) -> Result<Vec<T>, Disorder> {
        if !self.is_on() {
            return Err(Disorder::Unexpected);
        }
        self.is_asked = false;
        self.acknowledge(count(answer).ok_or(Disorder::Unexpected)?)
    }

    fn acknowledge(&mut self, count: u32) -> Result<Vec<T>, Disorder> {
        let new = count.wrapping_sub(self.acknowledged);
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        if new > self.unacknowledged.len() {
            return Err(Disorder::TooMany);
        }
        self.acknowledged = count;
        Ok(self.unacknowledged.drain(..new).collect())
    }

    /// The request for the server's count, if something is unacknowledged and no request is open.
    pub(super) fn request(&mut self) -> Option<Element> {
        if !self.is_on() || self.is_asked || self.unacknowledged.is_empty() {
            return None;
        }
        Some(self.probe())
    }

    /// The request for the server's count, as a sign of life.
    pub(super) fn probe(&mut self) -> Element {
        self.is_asked = true;
        Element::builder("r", ns::SM).build()
    }

    /// A session in which both sides have counted this far.
    #[cfg(test)]
    fn starting_at(count: u32) -> Self {
        let phase = Phase::On { id: Some("s".to_owned()) };
        Self { phase, received: count, acknowledged: count, ..Self::default() }
    }
}

/// Tells the other side how many stanzas were received.
pub(super) fn answer(count: u32) -> Element {
    Element::builder("a", ns::SM).attr(xml_ncname!("h").to_owned(), count.to_string()).build()
}

fn count(answer: &Element) -> Option<u32> {
    answer.attr("h")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prosed_session::Mark;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::super::marks::Marks;
    use super::*;

    fn element(xml: &str) -> Element {
        xml.replacen('>', " xmlns='urn:xmpp:sm:3'>", 1).parse().unwrap()
    }

    fn acknowledge<T>(managed: &mut Managed<T>, count: u32) -> Result<Vec<T>, Disorder> {
        managed.acknowledged(&element(&format!("<a h='{count}'></a>")))
    }

    fn on() -> Managed<u32> {
        let mut managed = Managed::default();
        managed.enable();
        managed.enabled(&element("<enabled id='s' resume='1'></enabled>")).unwrap();
        managed
    }

    #[test]
    fn what_is_sent_is_kept_from_the_question_on_and_until_it_is_acknowledged() {
        let mut managed = Managed::default();
        assert_eq!(managed.sent(0), Some(0), "nobody will tell");
        managed.enable();
        assert_eq!(managed.sent(1), None);
        managed.enabled(&element("<enabled id='s' resume='true'></enabled>")).unwrap();
        (2..5).for_each(|stanza| assert_eq!(managed.sent(stanza), None));
        assert_eq!(acknowledge(&mut managed, 2), Ok(vec![1, 2]));
        assert_eq!(acknowledge(&mut managed, 2), Ok(vec![]));
        assert_eq!(acknowledge(&mut managed, 4), Ok(vec![3, 4]));
    }

    #[test]
    fn a_count_that_can_not_be_is_refused_and_changes_nothing() {
        let mut managed = on();
        managed.sent(1);
        acknowledge(&mut managed, 1).unwrap();
        managed.sent(2);
        // One too many, one that was taken back, and far away.
        for count in [3, 0, u32::MAX, 1 << 31] {
            assert_eq!(acknowledge(&mut managed, count), Err(Disorder::TooMany), "{count}");
        }
        for said in ["<a></a>", "<a h=''></a>", "<a h='-1'></a>", "<a h='4294967296'></a>"] {
            assert_eq!(managed.acknowledged(&element(said)), Err(Disorder::Unexpected), "{said}");
        }
        assert_eq!(acknowledge(&mut managed, 2), Ok(vec![2]));
    }

    #[test]
    fn counts_go_around() {
        let mut managed = Managed::starting_at(u32::MAX - 1);
        (0..4).for_each(|stanza| assert_eq!(managed.sent(stanza), None));
        (0..4).for_each(|_| managed.received());
        assert_eq!(managed.count(), 2);
        assert_eq!(acknowledge(&mut managed, u32::MAX), Ok(vec![0]));
        assert_eq!(acknowledge(&mut managed, 1), Ok(vec![1, 2]));
        assert_eq!(acknowledge(&mut managed, 3), Err(Disorder::TooMany));
        assert_eq!(acknowledge(&mut managed, 2), Ok(vec![3]));
    }

    #[test]
    fn answers_to_nothing_are_refused() {
        let enabled = element("<enabled id='s' resume='true'></enabled>");
        let mut off = Managed::<u32>::default();
        assert_eq!(off.enabled(&enabled), Err(Disorder::Unexpected));
        assert_eq!(off.refused(), Err(Disorder::Unexpected));
        assert_eq!(acknowledge(&mut off, 0), Err(Disorder::Unexpected));
        assert_eq!(off.resumed(&element("<resumed h='0'></resumed>")), Err(Disorder::Unexpected));
        let mut on = on();
        assert_eq!(on.enabled(&enabled), Err(Disorder::Unexpected));
        assert_eq!(on.refused(), Err(Disorder::Unexpected));
    }

    #[test]
    fn what_was_sent_to_a_server_that_refuses_is_given_back() {
        let mut managed = Managed::default();
        managed.enable();
        managed.sent(1);
        assert_eq!(managed.refused(), Ok(vec![1]));
        assert_eq!(managed.sent(2), Some(2));
        assert_eq!(managed.resume(), None);
    }

    #[test]
    fn a_session_without_a_name_or_leave_is_not_resumed() {
        for said in ["<enabled></enabled>", "<enabled id='s'></enabled>", "<enabled resume='true'></enabled>"]
        {
            let mut managed = Managed::<u32>::default();
            managed.enable();
            managed.enabled(&element(said)).unwrap();
            assert!(managed.is_on() && managed.resume().is_none(), "{said}");
        }
    }

    /// Our counts are those of one session.
    #[test]
    fn only_the_session_that_was_asked_for_is_resumed() {
        let mut managed = on();
        managed.sent(1);
        for other in ["S", "", "another"] {
            let answer = element(&format!("<resumed previd='{other}' h='1'></resumed>"));
            assert_eq!(managed.resumed(&answer), Err(Disorder::OtherSession), "{other}");
        }
        assert_eq!(managed.resumed(&element("<resumed previd='s' h='0'></resumed>")), Ok(vec![]));
        // Some servers do not say it again.
        assert_eq!(managed.resumed(&element("<resumed h='1'></resumed>")), Ok(vec![1]));
        let mut unnamed = Managed::<u32>::default();
        unnamed.enable();
        unnamed.enabled(&element("<enabled></enabled>")).unwrap();
        assert_eq!(
            unnamed.resumed(&element("<resumed previd='' h='0'></resumed>")),
            Err(Disorder::Unexpected)
        );
    }

    #[test]
    fn one_question_at_a_time_and_none_about_nothing() {
        let mut managed = on();
        assert!(managed.request().is_none());
        managed.sent(1);
        assert!(managed.request().is_some());
        managed.sent(2);
        assert!(managed.request().is_none(), "one is open");
        acknowledge(&mut managed, 1).unwrap();
        assert!(managed.request().is_some(), "one is not acknowledged");
        acknowledge(&mut managed, 2).unwrap();
        assert!(managed.request().is_none());
    }

    /// Two sides over a connection that breaks anywhere, again and again: all arrives, in order, once.
    #[test]
    fn whatever_is_cut_arrives_once_and_in_order() {
        for seed in 0..500 {
            let mut random = StdRng::seed_from_u64(seed);
            let start = random.random::<u32>();
            let mut ours = Managed::<u32>::starting_at(start);
            let (mut theirs, mut got) = (start, Vec::new());
            let mut next = 0;
            for _connection in 0..10 {
                let mut wire: VecDeque<u32> = ours.unacknowledged().copied().collect();
                for _step in 0..random.random_range(0..30) {
                    match random.random_range(0..3) {
                        0 => {
                            assert_eq!(ours.sent(next), None);
                            wire.push_back(next);
                            next += 1;
                        }
                        1 => {
                            if let Some(stanza) = wire.pop_front() {
                                got.push(stanza);
                                theirs = theirs.wrapping_add(1);
                            }
                        }
                        _ => drop(acknowledge(&mut ours, theirs).unwrap()),
                    }
                }
                // The connection breaks, with all that is on the wire.
                ours.resumed(&element(&format!("<resumed h='{theirs}'></resumed>"))).unwrap();
            }
            got.extend(ours.unacknowledged());
            assert_eq!(got, (0..next).collect::<Vec<_>>(), "seed {seed}");
        }
    }
    #[test]
    fn a_session_that_is_gone_may_say_what_it_received() {
        let failed = |managed: &mut Managed<u32>, said: &str| managed.gone(&element(said));
        let mut managed = Managed::starting_at(u32::MAX);
        (0..3).for_each(|stanza| assert_eq!(managed.sent(stanza), None));
        for said in ["<failed></failed>", "<failed h='3'></failed>", "<failed h='x'></failed>"] {
            assert_eq!(failed(&mut managed, said), [0u32; 0], "{said}");
        }
        assert_eq!(failed(&mut managed, "<enabled h='1'></enabled>"), [0u32; 0], "no refusal");
        assert_eq!(failed(&mut managed, "<failed h='1'></failed>"), [0, 1]);
        assert_eq!(failed(&mut Managed::default(), "<failed h='0'></failed>"), [0u32; 0]);
    }

    /// Sessions that break anywhere, are resumed, and end in each way there is: each stanza has one fate, and a true one.
    #[test]
    fn each_stanza_has_one_fate_and_a_true_one() {
        for seed in 0..500 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut marks, mut next, mut arrived, mut told) =
                (Marks::default(), 0, BTreeSet::new(), BTreeSet::new());
            for _session in 0..4 {
                // Counts go around within a session.
                let start = u32::MAX - random.random_range(0..8);
                let mut ours = Managed::<Mark>::starting_at(start);
                let (mut theirs, mut waiting, mut goes_on) = (start, VecDeque::new(), true);
                while goes_on {
                    let mut wire: VecDeque<Mark> = ours.unacknowledged().copied().collect();
                    let mut acknowledged = Vec::new();
                    for _step in 0..random.random_range(0..30) {
                        match random.random_range(0..4) {
                            0 => {
                                next += 1;
                                marks.open(Mark(next));
                                waiting.push_back(Mark(next));
                            }
                            1 => {
                                if let Some(mark) = waiting.pop_front() {
                                    wire.push_back(mark);
                                    assert_eq!(ours.sent(mark), None);
                                }
                            }
                            2 => {
                                if let Some(mark) = wire.pop_front() {
                                    assert!(arrived.insert(mark), "{mark:?} twice");
                                    theirs = theirs.wrapping_add(1);
                                }
                            }
                            _ => acknowledged.extend(acknowledge(&mut ours, theirs).unwrap()),
                        }
                    }
                    let sent = u32::try_from(ours.unacknowledged().len()).unwrap();
                    let too_large = ours.acknowledged.wrapping_add(sent + random.random_range(1..9));
                    goes_on = random.random_bool(0.5);
                    let resumed = |h: u32| element(&format!("<resumed h='{h}'></resumed>"));
                    let failed = |h: u32| element(&format!("<failed h='{h}'></failed>"));
                    acknowledged.extend(match random.random_range(0..4) {
                        _ if goes_on => ours.resumed(&resumed(theirs)).unwrap(),
                        0 => ours.gone(&failed(theirs)),
                        1 => ours.gone(&failed(too_large)),
                        2 => ours.gone(&element("<failed></failed>")),
                        _ => ours
                            .resumed(&resumed(too_large))
                            .map_or_else(|_| Vec::new(), |_| panic!("too many")),
                    });
                    for mark in marks.answer(acknowledged) {
                        assert!(arrived.contains(&mark), "seed {seed}: {mark:?} has not arrived");
                        assert!(told.insert(mark), "seed {seed}: {mark:?} is told twice");
                    }
                }
                let unsent = marks.end(waiting.into()).unwrap_or_default();
                for mark in &unsent.unwritten {
                    assert!(!arrived.contains(mark), "seed {seed}: {mark:?} has arrived");
                }
                for mark in unsent.unwritten.into_iter().chain(unsent.doubtful) {
                    assert!(told.insert(mark), "seed {seed}: {mark:?} is told twice");
                }
            }
            assert_eq!(told, (1..=next).map(Mark).collect(), "seed {seed}");
        }
    }
}
