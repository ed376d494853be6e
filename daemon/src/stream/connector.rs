//! One attempt: find the server, reach it, secure the connection, log in, and come to a session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use minidom::Element;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{Refusals, timed_out};
use super::login::bind::{self, Begun, SessionOffer};
use super::login::dialogue::Dialogue;
use super::login::exchange::Inline;
use super::login::offer::{Offer, Profile};
use super::login::sasl::{Login, Wish, authenticate};
use super::reach::binding::Bindings;
use super::reach::dns::{self, Places, Target};
use super::reach::tls::{self, Secure};
use super::read::reader::Reader;
use super::{ConnectError, Settings, StreamEvent, Told};

/// From the first byte behind TLS to the features after SASL. Leaves time for a million iterations on a slow machine.
const LOGIN: Duration = Duration::from_secs(30);
/// From the login to a session that is bound or resumed, and from there to the answer whether it is managed.
pub(super) const BIND: Duration = Duration::from_secs(30);
/// One attempt in all. A domain may name 16 places, and one that takes a connection and says no more costs half a
/// minute: the account would be away for as long as they like. In it are DNS, a dead place or two, and a login.
pub(super) const ATTEMPT: Duration = Duration::from_secs(90);
/// Redirections that are followed in a row.
const HOPS: u32 = 3;

/// A session that was bound or resumed.
pub(super) struct Established {
    pub(super) reader: Reader<Secure>,
    pub(super) begun: Begun,
    pub(super) offer: SessionOffer,
}

/// After this many logins that went out ahead in vain, this stream sends no more: each costs a connection.
const AHEAD_FAILURES: u8 = 2;

/// What a login depends on in the features before it.
#[derive(PartialEq, Eq)]
struct Features {
    login: Offer,
    session: SessionOffer,
}

/// Connects one account and logs it in.
pub(super) struct Connector {
    settings: Settings,
    /// The account's domain as DNS and certificates have it.
    host: String,
    login: Login,
    events: mpsc::Sender<Told>,
    /// Bytes of the largest stanza that may have to be sent again.
    largest: Arc<AtomicUsize>,
    /// How many bytes of a stanza the server accepts, as it last announced.
    stanza_bytes: Option<u32>,
    /// What the server offered at the last login, where the next one may go out before the server offers it again.
    known: Option<Features>,
    /// Logins in a row that went out ahead and did not succeed.
    failed_ahead: u8,
    /// Where the server has redirected us (RFC 6120 §4.9.3.19), and how often in a row.
    elsewhere: Option<Target>,
    hops: u32,
    /// Where we were last.
    last: Option<Target>,
}

impl Connector {
    pub(super) fn new(
        mut settings: Settings,
        login: Login,
        events: mpsc::Sender<Told>,
        largest: Arc<AtomicUsize>,
    ) -> Self {
        settings.tls_config = Arc::new(settings.tls_config.with_own_tickets());
        let host = dns::ascii(settings.account.domain().as_str());
        Self {
            settings,
            host,
            login,
            events,
            largest,
            stanza_bytes: None,
            known: None,
            failed_ahead: 0,
            elsewhere: None,
            hops: 0,
            last: None,
        }
    }

    /// One attempt. `resume`: the request to resume the previous session.
    pub(super) async fn attempt(&mut self, resume: Option<&Element>) -> Result<Established, ConnectError> {
        let by = Instant::now() + ATTEMPT;
        loop {
            let places = match self.elsewhere.take() {
                Some(target) => Places { targets: vec![target], trouble: None },
                None => dns::places(&self.settings, &self.host).await?,
            };
            let done = self.try_places(places, resume, by).await;
            if done.is_ok() {
                self.hops = 0;
            }
            if self.elsewhere.is_none() {
                return done;
            }
        }
    }

    /// The server redirects us to this place: a host, with or without a port. The certificate there must be for the
    /// account's domain, too.
    pub(super) fn go_elsewhere(&mut self, place: &str) {
        let Some(last) = &self.last else { return };
        self.hops += 1;
        if self.hops > HOPS {
            self.hops = 0;
            return tracing::warn!(account = %self.settings.account, "the server sends us elsewhere without end");
        }
        self.elsewhere = elsewhere(place, last.direct);
    }

    async fn try_places(
        &mut self,
        places: Places,
        resume: Option<&Element>,
        by: Instant,
    ) -> Result<Established, ConnectError> {
        let mut refusals = Refusals::default();
        match timeout_at(by, self.try_targets(places.targets.into(), resume, by, &mut refusals)).await {
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
        resume: Option<&Element>,
        by: Instant,
        refusals: &mut Refusals,
    ) -> Option<Result<Established, ConnectError>> {
        let account = self.settings.account.clone();
        let domain = account.domain().as_str();
        while let Some(target) = targets.pop_front() {
            let by = share(by, targets.len() + 1);
            match tls::connect(&target, domain, &self.host, &self.settings.tls_config, by).await {
                Ok((secure, bindings)) => {
                    self.last = Some(target.clone());
                    let mut dialogue = Dialogue::new(secure, &account);
                    let done = self.begin(&mut dialogue, &bindings, resume).await;
                    if let Some(place) = dialogue.elsewhere() {
                        self.go_elsewhere(&place);
                    }
                    let again = self.login.takes_another() && self.elsewhere.is_none();
                    if done.is_ok() || !again {
                        let reader = dialogue.into_reader();
                        return Some(done.map(|(begun, offer)| Established { reader, begun, offer }));
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

    /// From a secure connection to a session.
    async fn begin(
        &mut self,
        dialogue: &mut Dialogue,
        bindings: &Bindings,
        resume: Option<&Element>,
    ) -> Result<(Begun, SessionOffer), ConnectError> {
        let late = |what: &'static str| ConnectError::from_io(timed_out(what));
        let (offer, inline) = timeout(LOGIN, self.log_in(dialogue, bindings, resume))
            .await
            .unwrap_or_else(|_| Err(late("the login took too long")))?;
        let begun = timeout(BIND, self.come_to_session(dialogue, &offer, inline, resume))
            .await
            .unwrap_or_else(|_| Err(late("the server did not bind a session in time")))?;
        Ok((begun, offer))
    }

    async fn log_in(
        &mut self,
        dialogue: &mut Dialogue,
        bindings: &Bindings,
        resume: Option<&Element>,
    ) -> Result<(SessionOffer, Inline), ConnectError> {
        let ahead = self.known.take().and_then(|known| {
            self.wants(resume, &known.session);
            Some((self.login.ahead(&known.login, bindings)?, known))
        });
        // Unless it succeeds.
        self.failed_ahead += u8::from(ahead.is_some());
        let is_ahead = ahead.is_some();
        let features = dialogue.open(ahead.as_ref().map(|(request, _)| request)).await?;
        let features = Features { login: Offer::read(&features), session: SessionOffer::read(&features) };
        match ahead {
            Some((_, known)) if known != features => {
                return Err(ConnectError::Protocol {
                    text: "the server's features differ from those of the last login".to_owned(),
                });
            }
            Some(_) => {}
            None => self.wants(resume, &features.session),
        }
        let done = authenticate(dialogue, &features.login, bindings, &mut self.login).await?;
        let early = features.session;
        if is_ahead {
            self.failed_ahead = 0;
        }
        let may_go_ahead = self.login.has_token() && self.failed_ahead < AHEAD_FAILURES;
        self.known = may_go_ahead.then_some(features);
        let offer = match done.profile {
            Profile::Sasl => SessionOffer::read(&dialogue.restart().await?),
            Profile::Sasl2 => {
                dialogue.logged_in();
                // Behind a session that goes on there may be stanzas at once, and no features.
                match done.inline.resumed {
                    Some(_) => early,
                    None => SessionOffer::read(&dialogue.features().await?),
                }
            }
        };
        self.stanza_bytes =
            offer.stanza_bytes.or(self.stanza_bytes.filter(|_| done.inline.resumed.is_some()));
        let authenticated = StreamEvent::Authenticated { keys: done.keys, pins: self.login.pins() };
        // Nobody listens any more: nobody will wait for the session either.
        let _ = self.events.send(Told::from(authenticated)).await;
        Ok((SessionOffer { stanza_bytes: self.stanza_bytes, ..offer }, done.inline))
    }

    /// What the next login is to ask for along with it, of a server with this offer.
    fn wants(&mut self, resume: Option<&Element>, offer: &SessionOffer) {
        let resume = resume.filter(|_| self.may_resume(offer.stanza_bytes.or(self.stanza_bytes))).cloned();
        self.login.wants(Wish { resume, bind: self.settings.bind2 });
    }

    async fn come_to_session(
        &mut self,
        dialogue: &mut Dialogue,
        offer: &SessionOffer,
        inline: Inline,
        resume: Option<&Element>,
    ) -> Result<Begun, ConnectError> {
        if let Some(answer) = inline.resumed {
            return Ok(Begun::Resumed { answer });
        }
        let mut failed = inline.failed.filter(|_| self.login.asked_inline());
        if let Some((bound, jid)) = inline.bound {
            let jid = jid.parse().map_err(|_| ConnectError::Protocol {
                text: "the server bound a resource and does not say which".to_owned(),
            })?;
            return Ok(Begun::Bound {
                jid,
                enabled: bound.get_child("enabled", xmpp_parsers::ns::SM).cloned(),
                failed,
            });
        }
        if let Some(request) = resume.filter(|_| offer.manages && !self.login.asked_inline())
            && self.may_resume(offer.stanza_bytes)
        {
            let answer = bind::resume(dialogue, request).await?;
            if answer.name() == "resumed" {
                return Ok(Begun::Resumed { answer });
            }
            failed = Some(answer);
        }
        let resource = self.settings.resource.as_deref();
        let jid = bind::bind(dialogue, &self.settings.account, resource, offer).await?;
        Ok(Begun::Bound { jid, enabled: None, failed })
    }

    /// A session that is resumed has sent again what was not acknowledged. A server that takes less than when it
    /// was sent would end the stream over it, each time. So there is a new one.
    fn may_resume(&self, stanza_bytes: Option<u32>) -> bool {
        let fits = self.largest.load(Ordering::Relaxed) <= prosed_session::stanza_limit(stanza_bytes);
        if !fits {
            tracing::warn!(account = %self.settings.account, "what is to be sent is larger than the server takes now");
        }
        fits
    }
}

/// A redirection's target: a host, an IPv6 address in brackets, each with or without a port.
fn elsewhere(place: &str, direct: bool) -> Option<Target> {
    let place = place.trim();
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((_, more)) if more.contains(':') => (place, None),
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let usual = if direct { 5223 } else { 5222 };
    let port = port.map_or(Some(usual), |port| port.parse().ok()).filter(|port| *port != 0)?;
    let sane = !host.is_empty()
        && host.len() <= 255
        && !host.contains(|c: char| c.is_control() || c.is_whitespace());
    sane.then(|| Target { host: host.to_owned(), port, direct })
}

/// The deadline for one of this many addresses: those after it need their share of the time, too.
pub(super) fn share(by: Instant, places: usize) -> Instant {
    let now = Instant::now();
    now + by.saturating_duration_since(now) / u32::try_from(places).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::tests::settings;
    use super::super::{Credentials, Pins};
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
        let (events, _told) = mpsc::channel(1);
        let mut connector = Connector::new(settings, login, events, Arc::default());
        tokio::time::pause();
        let start = Instant::now();
        let failed = connector.try_places(places, None, start + ATTEMPT).await.map(drop).unwrap_err();
        assert!(matches!(failed, ConnectError::Unreachable { .. }), "{failed:?}");
        start.elapsed()
    }

    #[test]
    fn where_a_server_sends_us() {
        let place = |text: &str| elsewhere(text, false).map(|target| (target.host, target.port));
        assert_eq!(place("a.example"), Some(("a.example".to_owned(), 5222)));
        assert_eq!(place(" a.example:99 "), Some(("a.example".to_owned(), 99)));
        assert_eq!(place("[2001:db8::1]:99"), Some(("2001:db8::1".to_owned(), 99)));
        assert_eq!(place("[2001:db8::1]"), Some(("2001:db8::1".to_owned(), 5222)));
        assert_eq!(place("2001:db8::1"), Some(("2001:db8::1".to_owned(), 5222)));
        for nowhere in ["", ":99", "a.example:", "a.example:0", "a.example:99999", "a b", "[]", "a\u{0}b"] {
            assert_eq!(place(nowhere), None, "{nowhere}");
        }
        assert_eq!(elsewhere("a.example", true).map(|target| target.port), Some(5223));
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
