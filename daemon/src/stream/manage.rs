//! Stream management (XEP-0198) as a machine: counts, what is not acknowledged, and resumption. No socket, no clock.
//!
//! Each side counts the stanzas that it got, modulo 2³², and tells the other: `h`. What we sent stays here until
//! the server has told that it has it. A session is resumed by both telling their counts over a new connection;
//! what the other does not have is sent once more.

use std::collections::VecDeque;

use minidom::Element;
use minidom::rxml::xml_ncname;
use xmpp_parsers::ns;

/// The server tells something that can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Disorder {
    /// It has more than was sent.
    #[error("the server acknowledged stanzas that were never sent to it")]
    TooMany,
    /// An answer to nothing, or what only we may say.
    #[error("the server broke the order of stream management")]
    Unexpected,
}

/// How far a session's management has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Not asked for, or refused.
    Off,
    /// We have asked for it, and count what we send from there on.
    Asked,
    /// Both sides count.
    On {
        /// What the server calls the session; absent: it can't be resumed.
        id: Option<String>,
    },
}

/// What is known of a session. `T` is what was sent, with whatever is worth knowing of it.
#[derive(Debug)]
pub(super) struct Managed<T> {
    phase: Phase,
    /// Stanzas that came from the server.
    received: u32,
    /// Those of ours that the server has told it got.
    acknowledged: u32,
    /// What was sent and is not acknowledged, oldest first.
    unacknowledged: VecDeque<T>,
    /// How many stanzas had been sent when we last asked for the server's count; absent: it has answered.
    asked_at: Option<usize>,
}

impl<T> Default for Managed<T> {
    fn default() -> Self {
        Self {
            phase: Phase::Off,
            received: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            asked_at: None,
        }
    }
}

impl<T> Managed<T> {
    /// We ask the server to manage the session: what to say.
    pub(super) fn enable(&mut self) -> Element {
        self.phase = Phase::Asked;
        Element::builder("enable", ns::SM).attr(xml_ncname!("resume").to_owned(), "true").build()
    }

    /// The server has agreed.
    ///
    /// # Errors
    /// It was not asked.
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

    /// The server has refused. Nothing will tell what became of what was sent.
    ///
    /// # Errors
    /// It was not asked.
    pub(super) fn refused(&mut self) -> Result<Vec<T>, Disorder> {
        if self.phase != Phase::Asked {
            return Err(Disorder::Unexpected);
        }
        self.phase = Phase::Off;
        self.asked_at = None;
        Ok(self.unacknowledged.drain(..).collect())
    }

    /// Both sides count.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.phase, Phase::On { .. })
    }

    /// What we send is counted and kept.
    pub(super) fn keeps(&self) -> bool {
        self.phase != Phase::Off
    }

    /// The session can be resumed: what to say.
    pub(super) fn resume(&self) -> Option<Element> {
        let Phase::On { id: Some(id) } = &self.phase else { return None };
        Some(
            Element::builder("resume", ns::SM)
                .attr(xml_ncname!("previd").to_owned(), id.as_str())
                .attr(xml_ncname!("h").to_owned(), self.received.to_string())
                .build(),
        )
    }

    /// The session goes on over a new connection. Answers what the server has got of what we sent; the rest is to
    /// be sent again ([`Managed::unacknowledged`]).
    ///
    /// # Errors
    /// The server has got more than was sent, or does not say.
    pub(super) fn resumed(&mut self, answer: &Element) -> Result<Vec<T>, Disorder> {
        if !self.is_on() {
            return Err(Disorder::Unexpected);
        }
        self.asked_at = None;
        self.acknowledge(count(answer).ok_or(Disorder::Unexpected)?)
    }

    /// A stanza came.
    pub(super) fn received(&mut self) {
        self.received = self.received.wrapping_add(1);
    }

    /// How many stanzas came.
    pub(super) fn count(&self) -> u32 {
        self.received
    }

    /// A stanza goes out; gives it back where nobody will tell what becomes of it.
    pub(super) fn sent(&mut self, stanza: T) -> Option<T> {
        if !self.keeps() {
            return Some(stanza);
        }
        self.unacknowledged.push_back(stanza);
        None
    }

    /// What was sent and is not acknowledged, oldest first.
    pub(super) fn unacknowledged(&self) -> impl ExactSizeIterator<Item = &T> {
        self.unacknowledged.iter()
    }

    /// The server tells its count. Answers what it has got.
    ///
    /// # Errors
    /// It has got more than was sent, or does not say.
    pub(super) fn acknowledged(&mut self, answer: &Element) -> Result<Vec<T>, Disorder> {
        if !self.is_on() {
            return Err(Disorder::Unexpected);
        }
        self.asked_at = None;
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

    /// Asks for the server's count, where there is something to ask for and no question is open: what to say.
    pub(super) fn request(&mut self) -> Option<Element> {
        if !self.is_on() || self.asked_at.is_some() || self.unacknowledged.is_empty() {
            return None;
        }
        Some(self.probe())
    }

    /// Asks for the server's count, as a sign of life.
    pub(super) fn probe(&mut self) -> Element {
        self.asked_at = Some(self.unacknowledged.len());
        Element::builder("r", ns::SM).build()
    }

    /// The server's count, had it got all that `sent` says: for tests.
    #[cfg(test)]
    fn starting_at(count: u32) -> Self {
        let phase = Phase::On { id: Some("s".to_owned()) };
        Self { phase, received: count, acknowledged: count, ..Self::default() }
    }
}

/// Tells the other side how many stanzas came.
pub(super) fn answer(count: u32) -> Element {
    Element::builder("a", ns::SM).attr(xml_ncname!("h").to_owned(), count.to_string()).build()
}

fn count(answer: &Element) -> Option<u32> {
    answer.attr("h")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn element(xml: &str) -> Element {
        xml.replacen('>', " xmlns='urn:xmpp:sm:3'>", 1).parse().unwrap()
    }

    fn acknowledge(managed: &mut Managed<u32>, count: u32) -> Result<Vec<u32>, Disorder> {
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
}
