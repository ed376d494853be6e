//! The task that gets connections for the stanza stream: find, dial, secure, log in, and try again.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jid::{BareJid, Jid};
use tokio::io::{AsyncWriteExt, BufStream, duplex};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_xmpp::stanzastream::Connection;
use tokio_xmpp::xmlstream::{
    FallibleStreamElement, ReadError, RecvFeaturesError, StreamHeader, Timeouts, XmppStream, initiate_stream,
};
use xmpp_parsers::ns;

use super::aside::Aside;
use super::backoff::{Backoff, STABLE};
use super::binding::Bindings;
use super::dial::timed_out;
use super::dns::{Places, Target};
use super::error::Refusals;
use super::exchange::{LoginStream, features};
use super::limiter::Link;
use super::offer::Profile;
use super::sasl::{Login, authenticate};
use super::scram::ScramKeys;
use super::tls::{self, Secure};
use super::{ConnectError, Pins, Settings, dns, short};

/// A silent link is probed after a minute and dead 14 s later: within 75 s, with a second left for a
/// busy machine. Of the two it is the wait for an answer that is short: it wakes nobody up where all
/// is well.
pub(super) const TIMEOUTS: Timeouts =
    Timeouts { read_timeout: Duration::from_secs(60), response_timeout: Duration::from_secs(14) };
/// From the first byte behind TLS to the features behind SASL. A million iterations on a slow
/// machine are in it.
const LOGIN: Duration = Duration::from_secs(30);

/// One attempt in all. A domain may name 16 places, and one that takes a connection and says no more costs half a
/// minute: the account would be away for as long as they like. In it are DNS, a dead place or two, and a login.
pub(super) const ATTEMPT: Duration = Duration::from_secs(90);

/// As many attempts as back-off alone may make in its first minute.
const EARLY: usize = 8;

/// Where the stanza stream waits for a connection. Never to be dropped empty: that kills its worker.
pub(super) type Slot = oneshot::Sender<Connection>;

/// The connection in use, so that it can be cut.
pub(super) type Current = Arc<Mutex<Arc<Link>>>;

/// What the connector has to say, and for which connection it was at work: the first is number 1.
pub(super) struct Report {
    pub(super) connection: u64,
    pub(super) news: News,
}

/// See [`Report`].
pub(super) enum News {
    /// The connection before this one was lost; an attempt comes at this time.
    Lost { retry_at: SystemTime },
    /// An attempt failed; without a time there won't be another.
    Failed { error: ConnectError, retry_at: Option<SystemTime> },
    /// The server took the credentials and proved itself.
    /// `stanza_bytes`: what it takes, where it says so.
    Authenticated { keys: Option<ScramKeys>, pins: Pins, stanza_bytes: Option<u32> },
}

pub(super) struct Connector {
    settings: Settings,
    /// The account's domain as DNS and certificates have it.
    host: String,
    login: Login,
    backoff: Backoff,
    reports: mpsc::Sender<Report>,
    /// Which connection is wanted.
    connection: u64,
    current: Current,
    aside: Arc<Aside>,
    /// Bytes of the largest stanza that may have to be sent again.
    largest: Arc<AtomicUsize>,
    /// Somebody has a reason to think that an attempt would succeed now.
    wake: Arc<Notify>,
    /// When the last attempts began, at most [`EARLY`].
    attempts: VecDeque<Instant>,
    /// When the last connection was handed over.
    handed_at: Option<Instant>,
}

impl Connector {
    pub(super) fn new(
        settings: Settings,
        login: Login,
        reports: mpsc::Sender<Report>,
        current: Current,
        aside: Arc<Aside>,
        largest: Arc<AtomicUsize>,
        wake: Arc<Notify>,
    ) -> Self {
        let host = dns::ascii(settings.account.domain().as_str());
        Self {
            settings,
            host,
            login,
            backoff: Backoff::default(),
            reports,
            connection: 0,
            current,
            aside,
            largest,
            wake,
            attempts: VecDeque::new(),
            handed_at: None,
        }
    }

    /// Fills each slot that comes: with a connection, or, once the stream is closing, with a dead
    /// one that lets the worker come to its end. Ends when no more slots can come.
    pub(super) async fn run(
        mut self,
        mut slots: mpsc::UnboundedReceiver<Slot>,
        mut closing: watch::Receiver<bool>,
    ) {
        while let Some(slot) = slots.recv().await {
            self.connection += 1;
            let connection = tokio::select! {
                biased;
                _ = closing.wait_for(|&closing| closing) => None,
                connection = self.connection() => connection,
            };
            let connection = match connection {
                Some(connection) => connection,
                None => {
                    // After a final error the slot stays empty until the stream is closed.
                    let _ = closing.wait_for(|&closing| closing).await;
                    match dead_connection().await {
                        Ok(connection) => connection,
                        Err(error) => return tracing::error!(%error, "no way to end the stream quietly"),
                    }
                }
            };
            // The worker may be gone by now; then nobody needs the connection.
            let _ = slot.send(connection);
        }
    }

    /// Tries until there is a connection; none: it would be no use.
    async fn connection(&mut self) -> Option<Connection> {
        if let Some(handed_at) = self.handed_at.take() {
            if self.link().conflict() {
                self.report(News::Failed { error: ConnectError::Replaced, retry_at: None }).await;
                return None;
            }
            if handed_at.elapsed() >= STABLE {
                self.backoff.reset();
            }
            // Also after a stream that came about: a server that drops us right behind the login
            // must not be asked 20 times a second.
            let (wait, retry_at) = self.wait(false);
            self.report(News::Lost { retry_at }).await;
            self.pause(wait).await;
        }
        loop {
            let error = match self.attempt().await {
                Ok(connection) => {
                    self.handed_at = Some(Instant::now());
                    return Some(connection);
                }
                Err(error) => error,
            };
            tracing::debug!(account = %self.settings.account, %error, "no connection");
            if error.is_final() {
                self.report(News::Failed { error, retry_at: None }).await;
                return None;
            }
            let slow = !matches!(error, ConnectError::Unreachable { .. });
            let (wait, retry_at) = self.wait(slow);
            self.report(News::Failed { error, retry_at: Some(retry_at) }).await;
            self.pause(wait).await;
        }
    }

    /// Waits, or less where somebody wakes us. However often they do: a second apart, and no more
    /// than [`EARLY`] attempts a minute.
    async fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(until) => return,
            () = self.wake.notified() => {}
        }
        let apart = self.attempts.back().map(|&last| last + Duration::from_secs(1));
        let room = self.attempts.front().filter(|_| self.attempts.len() == EARLY);
        let room = room.map(|&first| first + Duration::from_secs(60));
        let earliest = apart.max(room).unwrap_or(until);
        sleep_until(earliest.min(until)).await;
    }

    fn wait(&mut self, slow: bool) -> (Duration, SystemTime) {
        let wait = self.backoff.next(slow, &mut rand::rng());
        (wait, SystemTime::now() + wait)
    }

    /// Waits while the reader is slow: then there is no hurry either.
    async fn report(&self, news: News) {
        let _ = self.reports.send(Report { connection: self.connection, news }).await;
    }

    fn link(&self) -> Arc<Link> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One connection attempt.
    async fn attempt(&mut self) -> Result<Connection, ConnectError> {
        if self.attempts.len() == EARLY {
            self.attempts.pop_front();
        }
        self.attempts.push_back(Instant::now());
        let by = Instant::now() + ATTEMPT;
        let places = dns::places(&self.settings, &self.host).await?;
        self.try_places(places, by).await
    }

    async fn try_places(&mut self, places: Places, by: Instant) -> Result<Connection, ConnectError> {
        let mut refusals = Refusals::default();
        match timeout_at(by, self.try_targets(places.targets.into(), by, &mut refusals)).await {
            Ok(Some(done)) => return done,
            Ok(None) => {}
            Err(_) => refusals.add(ConnectError::from_io(timed_out("the attempt took too long"))),
        }
        Err(refusals.into_error(self.settings.account.domain().as_str(), places.trouble))
    }

    /// Each place in turn, until one is secure; there, one login. None: none of them is.
    async fn try_targets(
        &mut self,
        mut targets: VecDeque<Target>,
        by: Instant,
        refusals: &mut Refusals,
    ) -> Option<Result<Connection, ConnectError>> {
        let account = self.settings.account.clone();
        let domain = account.domain().as_str();
        while let Some(target) = targets.pop_front() {
            let link = Arc::new(Link::new(self.aside.clone()));
            let by = share(by, targets.len() + 1);
            match tls::connect(&target, domain, &self.host, &self.settings.tls_config, &link, by).await {
                Ok((secure, bindings)) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = link;
                    let done = timeout(LOGIN, self.log_in(secure, bindings))
                        .await
                        .unwrap_or_else(|_| Err(ConnectError::from_io(timed_out("the login took too long"))));
                    if done.is_ok() || !self.login.takes_another() {
                        return Some(done);
                    }
                    targets.push_front(target);
                }
                Err(error) => {
                    tracing::debug!(host = target.host, port = target.port, %error, "not here");
                    refusals.add(error);
                }
            }
        }
        None
    }

    async fn log_in(&mut self, secure: Secure, bindings: Bindings) -> Result<Connection, ConnectError> {
        let account = self.settings.account.clone();
        let header = || header(account.domain().as_str(), Some(&account));
        let pending = initiate_stream(secure, ns::JABBER_CLIENT, header(), TIMEOUTS)
            .await
            .map_err(ConnectError::from_io)?;
        let mut stream: LoginStream = pending.skip_features();
        let offer = features(&mut stream).await?;
        let done = authenticate(&mut stream, &offer, &bindings, &mut self.login).await?;
        let mut secure = stream.into_inner();
        let header = match done.profile {
            Profile::Sasl => {
                secure.restart().map_err(ConnectError::from_io)?;
                header()
            }
            Profile::Sasl2 => {
                secure.begin_anew();
                StreamHeader::default()
            }
        };
        let (mut features, stream) = initiate_stream(secure, ns::JABBER_CLIENT, header, TIMEOUTS)
            .await
            .map_err(ConnectError::from_io)?
            .recv_features::<FallibleStreamElement>()
            .await
            .map_err(receive_error)?;
        // The worker panics over features without it.
        if !features.can_bind() {
            return Err(ConnectError::Protocol { text: "the server offers no resource binding".to_owned() });
        }
        let limits = features.limits.as_ref();
        let stanza_bytes = limits.and_then(|limits| limits.max_bytes).map(NonZeroU32::get);
        // A stream that is resumed has sent again what was not acknowledged. A server that takes less than when it
        // was sent would end the stream over it, each time. So there is a new one.
        if self.largest.load(Ordering::Relaxed) > prosed_session::stanza_limit(stanza_bytes) {
            tracing::warn!(account = %account, "what is to be sent is larger than the server takes now");
            features.stream_management = None;
        }
        self.report(News::Authenticated { keys: done.keys, pins: self.login.pins(), stanza_bytes }).await;
        Ok(Connection { stream: stream.box_stream(), features, identity: self.identity() })
    }

    /// What to bind: our resource, or one of the server's choice.
    fn identity(&self) -> Jid {
        let account = &self.settings.account;
        match self.settings.resource.as_deref().map(|resource| account.with_resource_str(resource)) {
            Some(Ok(full)) => full.into(),
            Some(Err(error)) => {
                tracing::warn!(%error, "the resource can't be used; the server chooses one");
                account.clone().into()
            }
            None => account.clone().into(),
        }
    }
}

/// When one of so many places has to be secure: those behind it get their share of the time, too.
pub(super) fn share(by: Instant, places: usize) -> Instant {
    let now = Instant::now();
    now + by.saturating_duration_since(now) / u32::try_from(places).unwrap_or(u32::MAX).max(1)
}

/// A stream header to a domain. `from` only behind TLS (RFC 6120 §4.7.1).
pub(super) fn header<'x>(domain: &'x str, from: Option<&'x BareJid>) -> StreamHeader<'x> {
    StreamHeader {
        to: Some(Cow::Borrowed(domain)),
        from: from.map(|jid| Cow::Borrowed(jid.as_str())),
        id: None,
    }
}

pub(super) fn read_error(error: ReadError) -> ConnectError {
    match error {
        ReadError::HardError(error) => ConnectError::from_io(error),
        ReadError::ParseError(error) => ConnectError::Protocol { text: short(&error.to_string()) },
        ReadError::SoftTimeout => ConnectError::from_io(timed_out("no answer")),
        ReadError::StreamFooterReceived => ConnectError::closed(),
    }
}

pub(super) fn receive_error(error: RecvFeaturesError) -> ConnectError {
    match error {
        RecvFeaturesError::Io(error) => ConnectError::from_io(error),
        RecvFeaturesError::StreamError(error) => {
            let condition = error.0.condition.to_string();
            ConnectError::Unreachable { text: short(&format!("the server ended the stream: {condition}")) }
        }
    }
}

/// A connection that offers binding and is dead as soon as it is used. The stanza stream's worker
/// can't be told to stop while it waits for a connection; given this one it sees that nobody needs
/// it any more, and ends.
async fn dead_connection() -> Result<Connection, RecvFeaturesError> {
    const SERVER: &[u8] = b"<stream:stream xmlns='jabber:client' version='1.0' \
        xmlns:stream='http://etherx.jabber.org/streams'>\
        <stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
    let (ours, mut theirs) = duplex(4096);
    theirs.write_all(SERVER).await?;
    let pending =
        initiate_stream(BufStream::new(ours), ns::JABBER_CLIENT, StreamHeader::default(), TIMEOUTS).await?;
    let (features, stream): (_, XmppStream<_>) = pending.recv_features().await?;
    drop(theirs);
    let identity = Jid::from(BareJid::from_parts(
        None,
        &jid::DomainPart::new("closing.invalid").expect("a valid domain"),
    ));
    Ok(Connection { stream: stream.box_stream(), features, identity })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::Credentials;
    use super::super::tests::settings;
    use super::*;
    use crate::config::TlsMode;
    use crate::credentials::Password;

    /// Where the kernel takes connections, and nobody says a word.
    async fn silent() -> (TcpListener, Target) {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        (silent, Target { host: "127.0.0.1".to_owned(), port, direct: true })
    }

    /// Tries them; answers how long that takes, by a clock that runs by itself while nobody has anything to do.
    async fn try_all(targets: Vec<Target>) -> Duration {
        let places = Places { targets, trouble: None };
        let password = Credentials::Password(Password::from("secret".to_owned()));
        let settings = settings("me@example.org", None, None, TlsMode::Auto);
        let login = Login::new(&settings.account, password, Pins::default(), Arc::default()).unwrap();
        let (reports, _reported) = mpsc::channel(1);
        let mut connector = Connector::new(
            settings,
            login,
            reports,
            Current::default(),
            Arc::default(),
            Arc::default(),
            Arc::default(),
        );
        tokio::time::pause();
        let start = Instant::now();
        let failed = connector.try_places(places, start + ATTEMPT).await.map(drop).unwrap_err();
        assert!(matches!(failed, ConnectError::Unreachable { .. }), "{failed:?}");
        start.elapsed()
    }

    #[tokio::test]
    async fn a_domain_of_silent_places_costs_one_deadline() {
        let (_silent, target) = silent().await;
        assert_eq!(try_all(vec![target; 16]).await.as_secs(), ATTEMPT.as_secs());
    }

    #[tokio::test]
    async fn silent_places_leave_time_for_the_last() {
        let (_silent, target) = silent().await;
        let (reached, last) = silent().await;
        let mut targets = vec![target; 15];
        targets.push(last);
        try_all(targets).await;
        let waiting = std::pin::pin!(reached.accept());
        assert!(futures::FutureExt::now_or_never(waiting).is_some(), "it was never tried");
    }
}
