//! Authentication (RFC 6120 §6, XEP-0388): which mechanism, and its steps.
//!
//! Our own, since the library's does not check what the server proves, and would fall back to
//! PLAIN or ANONYMOUS.
//!
//! **Which.** SCRAM, bound to the connection where that can be (`-PLUS`), before SCRAM that is not;
//! SHA-512 before SHA-256 before SHA-1. An offer of `-PLUS` is never passed over in silence: where both sides can
//! bind, we do or don't log in; where they can't, we say so to the server (gs2 `n`) and in the log;
//! where the server, as far as we were told, has nothing of the kind, we say that (`y`), and a
//! server that had offered it hears that somebody took the offer away. PLAIN only where the server
//! knows no SCRAM of any kind, and never with keys in place of the password. The connection is TLS by type.
//!
//! **What was offered once.** An offer that falls short of an earlier one is refused ([`pins`](super::pins)).
//!
//! **Keys instead of the password.** They can be stored in its place if the server sends the same salt each time. A
//! server that stores plain passwords may make up another salt for each login (Prosody's `internal_plain` and ejabberd
//! do): the keys of one login are useless for the next, and a client that stored only them is locked out. So the first
//! login with a password requests the challenge twice, aborting (`<abort/>`) the first exchange before any proof is sent.
//! If the salt is the same, the keys are stored at once; otherwise the password is. This costs two round trips, once;
//! storing both for a while would put a password on the disk. RFC 6120's SASL is preferred for it: early SASL2 (Prosody
//! 0.12's) ends the stream after an abort.
//! Then the next attempt comes at once and does not ask, and keys are given when the server has
//! asked for the same ones at two logins of the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use jid::BareJid;
use minidom::Element;
use minidom::rxml::xml_ncname;
use unicode_normalization::UnicodeNormalization;
use xmpp_parsers::ns;
use zeroize::Zeroizing;

use super::dialogue::{Dialogue, disorder};
use super::exchange::{Asked, Exchange, Inline, Step, Success};
use super::fast;
use super::offer::{Offer, Profile, Scram};
use super::scram::{Challenge, ClientFirst, Gs2, ScramError, ScramKeys, ScramMechanism};
use super::token::{Token, TokenMechanism};
use crate::stream::reach::binding::Bindings;
use crate::stream::{ConnectError, Pins, short};

/// Bytes of randomness in a nonce.
const NONCE: usize = 24;

/// What an account logs in with. Derived keys are kept for reconnecting, so that the slow part is
/// done once.
pub(crate) struct Login {
    account: BareJid,
    /// As [`prepared`], where there is one.
    password: Option<Arc<Zeroizing<String>>>,
    pub(super) username: String,
    /// Those of the last login, or the ones that were kept.
    keys: Option<ScramKeys>,
    /// The keys were given away to be kept, or came from there.
    kept: bool,
    /// It is still to be found out whether the server's salt stays the same.
    probe: bool,
    /// Something was sent that the server may not tolerate: that question, or a login before its features.
    pub(super) again: bool,
    pub(super) token: Option<Token>,
    /// Has gone out with the stream header: see [`fast`](super::fast).
    pub(super) ahead: Option<Token>,
    /// What the server is held to …
    pins: Pins,
    /// … unless somebody accepts less, for one login.
    accepts: Arc<AtomicBool>,
    /// Which client this is, to SASL2. Another one for each stream: nothing that we leave with the
    /// server outlives it.
    client: String,
    wish: Wish,
    /// What the last login has asked for of that.
    asked: Asked,
}

/// The way to authenticate that fits both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    profile: Profile,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Scram(ScramMechanism, Flag),
    Plain,
}

/// See [`Gs2`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Impossible,
    NotOffered,
    Bound(crate::stream::reach::binding::BindingType),
}

/// What a login came to.
pub(crate) struct Authenticated {
    /// To be kept instead of the password; given once.
    pub keys: Option<ScramKeys>,
    /// How the stream goes on.
    pub profile: Profile,
    /// What was done along with it.
    pub inline: Inline,
}

/// What a login wants done along with it, where the server offers that (XEP-0388 §2.6.2).
#[derive(Default)]
pub(crate) struct Wish {
    /// The session that is to be resumed (XEP-0198 §9).
    pub resume: Option<Element>,
    /// A resource is to be bound (XEP-0386).
    pub bind: bool,
}

impl Login {
    /// Fails where there is no name, or a password that SASL can't carry.
    pub(crate) fn new(
        account: &BareJid,
        credentials: crate::stream::Credentials,
        pins: Pins,
        accepts: Arc<AtomicBool>,
    ) -> Result<Self, ConnectError> {
        let refused = |what: &str| ConnectError::NotAuthorized {
            condition: "malformed-request".to_owned(),
            text: format!("the {what} holds characters that no server takes"),
        };
        let name = account.node().ok_or_else(|| refused("account has no name, or it"))?;
        let username = prepared(name.as_str()).ok_or_else(|| refused("name"))?;
        let (password, keys) = match credentials {
            crate::stream::Credentials::Password(password) => {
                let raw = password.expose();
                if raw.is_empty() {
                    return Err(refused("password is empty, or it"));
                }
                let password = prepared(raw).ok_or_else(|| refused("password"))?;
                (Some(Arc::new(Zeroizing::new(password))), None)
            }
            crate::stream::Credentials::Keys(keys) => (None, Some(keys)),
        };
        // Keys come of a login by SCRAM.
        let scram = keys.as_ref().map(|keys| keys.mechanism);
        Ok(Self {
            pins: pins.and(Pins { scram, ..Pins::default() }),
            accepts,
            account: account.clone(),
            username,
            kept: keys.is_some(),
            probe: password.is_some(),
            password,
            keys,
            again: false,
            token: None,
            ahead: None,
            client: client_id(),
            wish: Wish::default(),
            asked: Asked::default(),
        })
    }

    /// True, once, if the attempt may have failed because of that question or an early login: the next has neither.
    pub(crate) fn takes_another(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }

    /// What logins can't do without from now on.
    pub(crate) fn pins(&self) -> Pins {
        self.pins
    }

    /// Refuses an offer that falls short of the pins.
    fn check(&self, seen: &Pins) -> Result<(), ConnectError> {
        match self.pins.missing_from(seen) {
            Some(missing) if !self.accepts_less() => Err(ConnectError::Downgrade {
                text: format!("{missing}; either somebody stands in between, or its operator has changed it"),
            }),
            _ => Ok(()),
        }
    }

    fn accepts_less(&self) -> bool {
        self.accepts.load(Ordering::Relaxed)
    }

    /// Both sides have proved themselves over an offer that would pin this.
    fn pin(&mut self, seen: Pins) {
        let accepted = self.accepts.swap(false, Ordering::Relaxed);
        self.pins = if accepted { seen } else { self.pins.and(seen) };
    }

    fn choose(&self, offer: &Offer, bindings: &Bindings) -> Result<Choice, ConnectError> {
        // Keys are of use for their mechanism only.
        let only = self.keys.as_ref().filter(|_| self.password.is_none()).map(|keys| keys.mechanism);
        // Of those that are equally strong: SASL2, but for the probe.
        let rank = |scram: &Scram| (scram.mechanism, (scram.profile == Profile::Sasl2) != self.probe);
        let fits = |scram: &Scram| only.is_none_or(|only| only == scram.mechanism);
        if let Some(scram) = offer.scram(bindings).filter(fits).max_by_key(rank) {
            let flag = match scram.binding {
                Some(kind) => Flag::Bound(kind),
                None if offer.binds() || bindings.is_empty() => Flag::Impossible,
                None => Flag::NotOffered,
            };
            return Ok(Choice { profile: scram.profile, way: Way::Scram(scram.mechanism, flag) });
        }
        let scram = self.password.is_none() || offer.all().any(|name| name.starts_with("SCRAM-"));
        let plain = |profile: &Profile| offer.mechanisms(*profile).iter().any(|name| name == "PLAIN");
        match [Profile::Sasl2, Profile::Sasl].into_iter().find(plain) {
            Some(profile) if !scram => Ok(Choice { profile, way: Way::Plain }),
            Some(_) if self.password.is_none() && self.accepts_less() => Err(ConnectError::NotAuthorized {
                condition: "credentials-expired".to_owned(),
                text: "what is remembered in place of the password is of no use here; the password is needed"
                    .to_owned(),
            }),
            _ => {
                let offered: Vec<_> = offer.all().collect();
                Err(ConnectError::Protocol {
                    text: short(&format!(
                        "prosed knows no safe way to log in among those that the server offers: {}",
                        offered.join(" ")
                    )),
                })
            }
        }
    }

    /// The keys for a challenge: those that we have, or new ones from the password. `stable`: the
    /// server has asked for the very same just before. True: they are worth keeping, and were not
    /// given away yet.
    async fn keys(&mut self, challenge: &Challenge, stable: bool) -> Result<(ScramKeys, bool), ConnectError> {
        if let Some(keys) = self.keys.as_ref().filter(|keys| challenge.fits(keys)) {
            return Ok((keys.clone(), !self.kept));
        }
        let Some(password) = self.password.clone() else {
            return Err(ConnectError::NotAuthorized {
                condition: "credentials-expired".to_owned(),
                text: "the password was changed or the server keeps it in another way; it is needed again"
                    .to_owned(),
            });
        };
        let (mechanism, salt, iterations) =
            (challenge.mechanism, challenge.salt.clone(), challenge.iterations);
        let work = move || ScramKeys::derive(mechanism, &password, &salt, iterations);
        let keys = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| ConnectError::Unreachable { text: "we are shutting down".to_owned() })?;
        Ok((keys, stable && !self.kept))
    }

    /// What the next login wants done along with it.
    pub(crate) fn wants(&mut self, wish: Wish) {
        self.wish = wish;
        self.asked = Asked::default();
        self.ahead = None;
    }

    /// The last login has asked to resume the session: it need not be asked again.
    pub(crate) fn asked_inline(&self) -> bool {
        self.asked.resume
    }

    /// What SASL2 carries along with the mechanism; SASL has no place for it.
    pub(super) fn extras(&mut self, profile: Profile, offer: &Offer, bindings: &Bindings) -> Vec<Element> {
        self.asked = Asked::default();
        if profile == Profile::Sasl {
            return Vec::new();
        }
        let agent = Element::builder("user-agent", ns::SASL2)
            .attr(xml_ncname!("id").to_owned(), self.client.as_str())
            .append(Element::builder("software", ns::SASL2).append("prosed"));
        let request = TokenMechanism::best(offer, bindings).map(TokenMechanism::request);
        let resume = self.wish.resume.clone().filter(|_| offer.resumes);
        let bind = (self.wish.bind && offer.binds).then(|| bind(offer));
        self.asked = Asked { resume: resume.is_some(), bind: bind.is_some() };
        [agent.build()].into_iter().chain(request).chain(resume).chain(bind).collect()
    }

    /// The server took us in: checks as whom, and takes the token that it may have given.
    pub(super) fn admitted(
        &mut self,
        success: Success,
        asked: Option<TokenMechanism>,
    ) -> Result<Inline, ConnectError> {
        let ours = |identity: &String| {
            identity.parse::<jid::Jid>().is_ok_and(|identity| identity.to_bare() == self.account)
        };
        if !success.identity.iter().all(ours) {
            return Err(ConnectError::Protocol {
                text: "the server logged us in to an account that is not ours".to_owned(),
            });
        }
        success.inline.check(self.asked)?;
        if let Some(secret) = success.token {
            self.token = match (asked, &self.token) {
                (Some(kind), _) => Some(Token::new(kind, secret)),
                (None, Some(token)) => Some(token.renewed(secret)),
                (None, None) => None,
            };
        }
        Ok(*success.inline)
    }
}

/// Asks to bind a resource, and to manage the session from the start (XEP-0386 §3.2).
fn bind(offer: &Offer) -> Element {
    let resume = xml_ncname!("resume").to_owned();
    let enable = offer.manages.then(|| Element::builder("enable", ns::SM).attr(resume, "true").build());
    Element::builder("bind", ns::BIND2)
        .append(Element::builder("tag", ns::BIND2).append("prosed"))
        .append_all(enable)
        .build()
}

/// A name or password as both sides hash it; none where it holds control characters. SASLprep
/// (RFC 4013), which servers still use, knows the characters of 2002 only and forbids all later ones,
/// emoji among them. Those are prepared by its successor, OpaqueString (RFC 8265 §4.2): whether the
/// result is right is for the server to say.
fn prepared(text: &str) -> Option<String> {
    if text.contains(char::is_control) {
        return None;
    }
    let opaque = || text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).nfc().collect();
    Some(stringprep::saslprep(text).map_or_else(|_| opaque(), Into::into))
}

/// Authenticates, by the strongest way there is, and by no other if that one fails.
pub(crate) async fn authenticate(
    dialogue: &mut Dialogue,
    offer: &Offer,
    bindings: &Bindings,
    login: &mut Login,
) -> Result<Authenticated, ConnectError> {
    let seen = Pins::of(offer, bindings);
    login.check(&seen)?;
    if let Some(token) = fast::begin(dialogue, offer, bindings, login).await? {
        match fast::finish(dialogue, bindings, login, token).await {
            Ok(inline) => {
                login.pin(seen);
                return Ok(Authenticated { keys: None, profile: Profile::Sasl2, inline });
            }
            // Expired or revoked; the server lets us try another way (XEP-0484 §4.1).
            Err(ConnectError::NotAuthorized { condition, .. }) => {
                tracing::debug!(condition, "the server no longer takes the token");
            }
            Err(other) => return Err(other),
        }
    }
    let choice = login.choose(offer, bindings)?;
    tracing::debug!(account = %login.account, ?choice, ?offer, "logging in");
    let profile = choice.profile;
    let mut exchange = Exchange { dialogue, profile };
    let asked = TokenMechanism::best(offer, bindings).filter(|_| profile == Profile::Sasl2);
    let (success, keys) = match choice.way {
        Way::Scram(mechanism, flag) => scram(&mut exchange, mechanism, flag, offer, bindings, login).await?,
        Way::Plain => {
            let password = login.password.as_ref().map(|password| password.as_str()).unwrap_or_default();
            let message = Zeroizing::new(format!("\0{}\0{password}", login.username));
            exchange.begin("PLAIN", message.as_bytes(), login.extras(profile, offer, bindings)).await?;
            match exchange.step().await? {
                Step::Success(success) => (success, None),
                Step::Challenge(_) => return Err(disorder()),
            }
        }
    };
    let inline = login.admitted(success, asked)?;
    login.pin(seen);
    Ok(Authenticated { keys, profile, inline })
}

async fn scram(
    exchange: &mut Exchange<'_>,
    mechanism: ScramMechanism,
    flag: Flag,
    offer: &Offer,
    bindings: &Bindings,
    login: &mut Login,
) -> Result<(Success, Option<ScramKeys>), ConnectError> {
    if flag == Flag::Impossible && !bindings.is_empty() {
        let announced = offer.bindings.as_deref().unwrap_or_default().join(" ");
        tracing::warn!(account = %login.account, announced, "the server binds logins in no way that we know");
    }
    let mut last = challenge(exchange, mechanism, flag, offer, bindings, login).await?;
    let mut stable = false;
    if login.probe {
        // Once, also if it goes wrong: the next attempt does without, and comes at once.
        login.probe = false;
        login.again = true;
        exchange.abort().await?;
        login.again = false;
        let before = last;
        last = challenge(exchange, mechanism, flag, offer, bindings, login).await?;
        stable = last.asks_the_same_as(&before);
    }
    let (keys, keep) = login.keys(&last, stable).await?;
    let (answer, proof) = last.answer(&keys);
    exchange.respond(answer.as_bytes()).await?;
    let success = match exchange.step().await? {
        Step::Success(success) => {
            proof.verify(&success.data)?;
            success
        }
        // Some servers prove themselves in one more challenge (RFC 6120 §6.3.10 lets them).
        Step::Challenge(message) => {
            proof.verify(&message)?;
            exchange.respond(&[]).await?;
            match exchange.step().await? {
                Step::Success(success) => success,
                Step::Challenge(_) => return Err(disorder()),
            }
        }
    };
    login.keys = Some(keys.clone());
    login.kept |= keep;
    Ok((success, keep.then_some(keys)))
}

/// Begins an exchange, up to the server's challenge.
async fn challenge(
    exchange: &mut Exchange<'_>,
    mechanism: ScramMechanism,
    flag: Flag,
    offer: &Offer,
    bindings: &Bindings,
    login: &mut Login,
) -> Result<Challenge, ConnectError> {
    let (name, gs2) = match flag {
        Flag::Impossible => (mechanism.name(), Gs2::Impossible),
        Flag::NotOffered => (mechanism.name(), Gs2::NotOffered),
        Flag::Bound(kind) => {
            (mechanism.bound_name(), Gs2::Bound(kind, bindings.get(kind).unwrap_or_default()))
        }
    };
    let first = ClientFirst::new(mechanism, gs2, &login.username, nonce()?);
    let extras = login.extras(exchange.profile, offer, bindings);
    exchange.begin(name, first.message().as_bytes(), extras).await?;
    match exchange.step().await? {
        Step::Challenge(message) => Ok(first.challenged(&message, &offer.advertised(exchange.profile))?),
        Step::Success(_) => Err(ConnectError::Protocol {
            text: "the server claims a login that did not take place".to_owned(),
        }),
    }
}

fn nonce() -> Result<String, ConnectError> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce)
        .map_err(|error| ConnectError::Unreachable { text: format!("no randomness: {error}") })?;
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.encode(nonce))
}

/// A random UUID (RFC 9562 §5.4).
fn client_id() -> String {
    let bits: u128 = rand::random();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

impl From<ScramError> for ConnectError {
    fn from(error: ScramError) -> Self {
        match error {
            ScramError::Refused(condition) => Self::NotAuthorized {
                condition: short(&condition),
                text: "the server refused the login".to_owned(),
            },
            other => Self::Protocol { text: other.to_string() },
        }
    }
}

#[cfg(test)]
#[path = "sasl_tests.rs"]
mod tests;
