//! Serving a connection: reading, writing, and the clock.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use minidom::Element;
use prosed_session::{Mark, Unsent};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::ns;
use xmpp_parsers::stanza::Stanza;

use super::super::error::stream_error;
use super::super::line::Line;
use super::super::login::bind::client_state;
use super::super::manage::{self, Disorder};
use super::super::outbox;
use super::super::read::reader::Received;
use super::super::{CLOSE, ConnectError, FLUSH, StreamEvent, Told};
use super::{COUNT, Over, Probe, Sent, Task};

/// A silent connection is probed after a minute and given up 14 s later: within 75 s, with a second to spare on a busy
/// machine. The wait for the answer is the short one: it wakes nobody up while all is well.
const SILENCE: Duration = Duration::from_secs(60);
/// See [`SILENCE`].
const ANSWER: Duration = Duration::from_secs(14);
/// How a stream ends (RFC 6120 §4.4).
const FOOTER: &[u8] = b"</stream:stream>";

impl Task {
    /// Reads and writes until the connection is over.
    pub(super) async fn serve(&mut self, mut line: Line) -> Over {
        let (shared, events) = (self.shared.clone(), self.events.clone());
        let mut came = Vec::new();
        loop {
            self.fill(&mut line);
            let (reads, until) = (self.pending.is_empty(), self.deadline());
            tokio::select! {
                biased;
                () = shared.closes() => {
                    self.farewell(line).await;
                    return Over::Closed;
                }
                permit = events.reserve(), if !reads => match (permit, self.pending.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    _ => return Over::Closed,
                },
                moved = poll_fn(|cx| line.poll(cx, reads, &mut came)) => {
                    if let Err(error) = moved {
                        return lost(&error);
                    }
                    if line.heard() != self.heard {
                        (self.heard, self.heard_at) = (line.heard(), Instant::now());
                    }
                    for received in came.drain(..) {
                        if let ControlFlow::Break(over) = self.on_received(received, &mut line) {
                            // What can still be said, without waiting.
                            let _ = poll_fn(|cx| line.poll(cx, false, &mut Vec::new())).now_or_never();
                            return over;
                        }
                    }
                    self.deliver();
                    if line.has_had_its_turn() {
                        tokio::task::yield_now().await;
                    }
                }
                () = shared.changed.notified() => {}
                () = sleep_until(until) => {
                    if let ControlFlow::Break(over) = self.on_time(&mut line) {
                        return over;
                    }
                }
            }
        }
    }

    /// Reports as many events as there is room for.
    fn deliver(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                return self.pending.push_front(event);
            }
        }
    }

    /// Hands the line what is due: our count, a probe, and waiting stanzas.
    fn fill(&mut self, line: &mut Line) {
        let handled = self.shared.handled.load(Ordering::Acquire);
        if let Some((due, by)) = self.count_due
            && (handled >= due || Instant::now() >= by)
        {
            self.count_due = None;
            self.shared.counts.store(false, Ordering::Release);
            line.say(&manage::answer(self.count(handled)));
        }
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if std::mem::take(&mut state.probes) && self.probe.is_none() {
            self.begin_probe(line);
        }
        if let Some(active) = state.client_state.take() {
            line.say(&client_state(active));
        }
        let (mut has_sent, mut unsent) = (false, Unsent::default());
        while line.has_room()
            && let Some(due) = state.outbox.next()
        {
            has_sent = true;
            let Some(written) = self.send(&due.stanza, line) else {
                state.outbox.acknowledged(due.load);
                unsent.unwritten.extend(due.load.mark);
                continue;
            };
            if let Some(Sent { load, .. }) = self.managed.sent(Sent { written, load: due.load }) {
                state.outbox.acknowledged(load);
                unsent.doubtful.extend(load.mark);
            }
        }
        drop(state);
        self.unsent(unsent);
        if has_sent && let Some(request) = self.managed.request() {
            line.say(&request);
        }
    }

    /// Sends a stanza. Returns what was written.
    fn send(&self, stanza: &Stanza, line: &mut Line) -> Option<Vec<u8>> {
        match xso::to_vec(stanza) {
            Ok(written) => {
                line.write(&written);
                Some(written)
            }
            Err(error) => {
                tracing::error!(account = %self.shared.account, %error, "a stanza can't be written");
                None
            }
        }
    }

    /// How many of this session's stanzas are dealt with.
    fn count(&self, handled: u64) -> u32 {
        let waiting = if handled >= self.told { 0 } else { self.read - handled.max(self.base) };
        // Never more than came in this session, which has counted them in 32 bits.
        self.managed.count().wrapping_sub(u32::try_from(waiting).unwrap_or_default())
    }

    /// The server has these.
    pub(super) fn acknowledged(&mut self, got: Vec<Sent>) {
        let marks = self.release(got);
        if !marks.is_empty() {
            self.pending.push_back(StreamEvent::Acknowledged(marks).into());
        }
    }

    /// Nobody will tell of these.
    fn unsent(&mut self, unsent: Unsent) {
        if unsent != Unsent::default() {
            self.pending.push_back(StreamEvent::Unsent(unsent).into());
        }
    }

    /// Makes room for others. Returns their marks.
    fn release(&self, got: Vec<Sent>) -> Vec<Mark> {
        let mut state = self.shared.lock();
        let loads = got.into_iter().map(|sent| sent.load);
        loads.inspect(|&load| state.outbox.acknowledged(load)).filter_map(|load| load.mark).collect()
    }

    fn on_received(&mut self, received: Received, line: &mut Line) -> ControlFlow<Over> {
        match received {
            Received::Stanza(stanza) => {
                self.managed.received();
                self.read += 1;
                if let Some(stanza) = stanza.filter(|stanza| !self.answers_probe(stanza)) {
                    self.told = self.read;
                    let event = StreamEvent::Stanza(stanza);
                    self.pending.push_back(Told { position: self.read, ..event.into() });
                }
                ControlFlow::Continue(())
            }
            Received::Element(element) if element.has_ns(ns::SM) => {
                let managed = self.on_management(&element, line);
                managed.map_or_else(
                    |disorder| ControlFlow::Break(self.disorder(disorder)),
                    ControlFlow::Continue,
                )
            }
            Received::Element(element) if element.is("error", ns::STREAM) => {
                if element.has_child("conflict", ns::XMPP_STREAMS) {
                    return ControlFlow::Break(Over::Final(ConnectError::Replaced));
                }
                let (error, elsewhere) = stream_error(&element);
                if let Some(place) = elsewhere {
                    self.connector.go_elsewhere(&place);
                    self.shared.wake.notify_one();
                }
                ControlFlow::Break(Over::Lost(Some(error)))
            }
            // Features that a server tells of behind a resumed session, or what nobody knows.
            Received::Element(_) => ControlFlow::Continue(()),
            Received::Header => ControlFlow::Break(Over::Lost(Some(ConnectError::Protocol {
                text: "a stream header out of place".to_owned(),
            }))),
            Received::End => {
                line.write(FOOTER);
                ControlFlow::Break(Over::Lost(None))
            }
        }
    }

    fn on_management(&mut self, element: &Element, line: &mut Line) -> Result<(), Disorder> {
        match element.name() {
            "r" => {
                // Behind those that came before it.
                self.count_due.get_or_insert((self.told, Instant::now() + COUNT)).0 = self.told;
                self.shared.counts.store(true, Ordering::Release);
            }
            "a" => {
                let got = self.managed.acknowledged(element)?;
                self.acknowledged(got);
                if let Some(request) = self.managed.request() {
                    line.say(&request);
                }
            }
            "enabled" => {
                self.managed.enabled(element)?;
                self.base = self.read;
                self.enabled_by = None;
                if let Some(request) = self.managed.request() {
                    line.say(&request);
                }
            }
            "failed" => {
                let got = self.managed.refused()?;
                self.enabled_by = None;
                let doubtful = self.release(got);
                self.unsent(Unsent { doubtful, unwritten: Vec::new() });
            }
            _ => return Err(Disorder::Unexpected),
        }
        Ok(())
    }

    fn answers_probe(&self, stanza: &Stanza) -> bool {
        matches!(stanza, Stanza::Iq(Iq::Result { id, .. } | Iq::Error { id, .. }) if *id == self.probe_id)
    }

    /// Asks the server for a sign of life.
    fn begin_probe(&mut self, line: &mut Line) {
        self.probe = Some(Probe { deadline: Instant::now() + ANSWER, heard: self.heard });
        if self.managed.is_on() {
            return line.say(&self.managed.probe());
        }
        self.probe_id = format!("{:032x}", rand::random::<u128>());
        let ping: Stanza = Iq::from_get(self.probe_id.clone(), xmpp_parsers::ping::Ping).into();
        // While nothing is managed, nothing is counted.
        if let Ok(written) = xso::to_vec(&ping) {
            line.write(&written);
        }
    }

    /// The next deadline.
    fn deadline(&self) -> Instant {
        let stalled = self.shared.lock().outbox.stalled_at();
        let silent = if self.probe.is_some() { None } else { Some(self.silent_at()) };
        let probe = self.probe.as_ref().map(|probe| probe.deadline);
        let count = self.count_due.map(|(_, by)| by);
        let all = [stalled, silent, probe, count, self.enabled_by];
        all.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + SILENCE)
    }

    fn silent_at(&self) -> Instant {
        self.heard_at + SILENCE
    }

    fn on_time(&mut self, line: &mut Line) -> ControlFlow<Over> {
        let now = Instant::now();
        let account = &self.shared.account;
        if self.enabled_by.is_some_and(|by| by <= now) {
            let text = "the server did not answer whether it manages the session".to_owned();
            return ControlFlow::Break(Over::Lost(Some(ConnectError::Unreachable { text })));
        }
        if self.shared.lock().outbox.stalled_at().is_some_and(|at| at <= now) {
            // It takes, or acknowledges, nothing, while it keeps on sending. What waits for it must not grow.
            let seconds = outbox::STALLED.as_secs();
            let text = format!("the server has acknowledged nothing for {seconds} s of what was sent to it");
            tracing::warn!(%account, "{text}");
            return ControlFlow::Break(Over::Lost(Some(ConnectError::Protocol { text })));
        }
        if let Some(probe) = self.probe.take_if(|probe| probe.deadline <= now)
            && probe.heard == self.heard
        {
            tracing::debug!(%account, "the connection is dead");
            // Its loss was found out, not suffered: there is nothing to wait for.
            self.shared.wake.notify_one();
            return ControlFlow::Break(Over::Lost(None));
        }
        if self.probe.is_none() && self.silent_at() <= now {
            self.begin_probe(line);
        }
        ControlFlow::Continue(())
    }

    /// Sends what waits, and ends the stream (RFC 6120 §4.4).
    async fn farewell(&mut self, mut line: Line) {
        let deadline = Instant::now() + CLOSE;
        self.pending.retain(|told| told.event.is_fate());
        let flush = async {
            loop {
                self.fill(&mut line);
                if line.is_sent() && !self.shared.lock().outbox.is_waiting() {
                    return;
                }
                if self.moved(&mut line).await.is_break() {
                    return;
                }
            }
        };
        let _ = timeout_at(deadline - (CLOSE - FLUSH), flush).await;
        if self.managed.is_on() {
            line.say(&manage::answer(self.managed.count()));
        }
        line.write(FOOTER);
        let end = async {
            while self.moved(&mut line).await.is_continue() {}
            let _ = poll_fn(|cx| line.poll_shutdown(cx)).await;
        };
        let _ = timeout_at(deadline, end).await;
    }

    /// Reads and writes once; breaks when the server has ended its stream.
    async fn moved(&mut self, line: &mut Line) -> ControlFlow<()> {
        let mut came = Vec::new();
        if poll_fn(|cx| line.poll(cx, true, &mut came)).await.is_err() {
            return ControlFlow::Break(());
        }
        for received in came {
            if self.on_received(received, line).is_break() {
                return ControlFlow::Break(());
            }
        }
        self.pending.retain(|told| told.event.is_fate());
        ControlFlow::Continue(())
    }
}

fn lost(error: &io::Error) -> Over {
    tracing::debug!(%error, "the connection is lost");
    // What breaks XMPP is worth telling; a network that fails is not.
    Over::Lost(match error.kind() {
        io::ErrorKind::InvalidData => {
            Some(ConnectError::from_io(io::Error::new(error.kind(), error.to_string())))
        }
        _ => None,
    })
}
