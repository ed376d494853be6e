//! Authentication (RFC 6120 §6): which mechanism, and the exchange.
//!
//! Our own, since the library's does not check what the server proves, and would fall back to
//! PLAIN or ANONYMOUS. Strongest first: SCRAM-SHA-256, SCRAM-SHA-1; PLAIN only where the server
//! knows no SCRAM of any kind, and never with keys in place of the password: an account whose keys
//! are kept can't be talked down. The connection is TLS by type.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use futures::{SinkExt, StreamExt};
use jid::BareJid;
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio_xmpp::xmlstream::{
    FallibleStreamElement, ReadError, StreamElementError, XmppStream, XmppStreamElement,
};
use xmpp_parsers::sasl::{Auth, DefinedCondition, Failure, Mechanism, Nonza, Response};
use zeroize::Zeroizing;

use super::connector::read_error;
use super::scram::{Challenge, ClientFirst, ScramError, ScramKeys, ScramMechanism};
use super::tls::Secure;
use super::{ConnectError, short};

/// Bytes of randomness in a nonce.
const NONCE: usize = 24;

/// What an account logs in with. Derived keys are kept for reconnecting, so that the slow part is
/// done once.
pub(super) struct Login {
    /// SASLprep'd where there is one.
    password: Option<Arc<Zeroizing<String>>>,
    username: String,
    /// Those of the last login, or the ones that were kept.
    keys: Option<ScramKeys>,
    /// The keys were given away to be kept, or came from there.
    kept: bool,
}

/// The way to authenticate that fits both sides.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Scram(ScramMechanism),
    Plain,
}

impl Login {
    /// Fails where name or password hold what SASLprep (RFC 4013) forbids.
    pub(super) fn new(account: &BareJid, credentials: super::Credentials) -> Result<Self, ConnectError> {
        let refused = |what: &str| ConnectError::NotAuthorized {
            condition: "malformed-request".to_owned(),
            text: format!("the {what} holds characters that no server takes"),
        };
        let name = account.node().ok_or_else(|| refused("account has no name, or it"))?;
        let username = stringprep::saslprep(name.as_str()).map_err(|_| refused("name"))?.into_owned();
        let (password, keys) = match credentials {
            super::Credentials::Password(password) => {
                let raw = password.expose();
                if raw.is_empty() || raw.contains('\0') {
                    return Err(refused("password is empty, or it"));
                }
                let password = stringprep::saslprep(raw).map_err(|_| refused("password"))?;
                (Some(Arc::new(Zeroizing::new(password.into_owned()))), None)
            }
            super::Credentials::Keys(keys) => (None, Some(keys)),
        };
        let kept = keys.is_some();
        Ok(Self { password, username, keys, kept })
    }

    fn choose(&self, offered: &BTreeSet<String>) -> Result<Choice, ConnectError> {
        let pinned = self.keys.as_ref().filter(|_| self.password.is_none()).map(|keys| keys.mechanism);
        for mechanism in [ScramMechanism::Sha256, ScramMechanism::Sha1] {
            if offered.contains(mechanism.name()) && pinned.is_none_or(|pinned| pinned == mechanism) {
                return Ok(Choice::Scram(mechanism));
            }
        }
        // Once SCRAM has worked, PLAIN would be a step down.
        let scram = self.keys.is_some() || offered.iter().any(|name| name.starts_with("SCRAM-"));
        if !scram && offered.contains("PLAIN") {
            return Ok(Choice::Plain);
        }
        let offered: Vec<_> = offered.iter().map(String::as_str).collect();
        Err(ConnectError::Protocol {
            text: short(&format!("no safe way to log in; the server offers: {}", offered.join(" "))),
        })
    }

    /// The keys for a challenge: those that we have, or new ones from the password. True: they are
    /// worth keeping, and were not given away yet.
    async fn keys(&mut self, challenge: &Challenge) -> Result<(ScramKeys, bool), ConnectError> {
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
        Ok((keys, false))
    }
}

/// Authenticates. Returns keys, once, when the server has asked for the same ones twice: then they
/// can be kept instead of the password. A server that keeps passwords as they are may make up a new
/// salt for each login (ejabberd does), and no keys ever fit again.
pub(super) async fn authenticate(
    stream: &mut XmppStream<Secure>,
    offered: &BTreeSet<String>,
    login: &mut Login,
) -> Result<Option<ScramKeys>, ConnectError> {
    match login.choose(offered)? {
        Choice::Scram(mechanism) => scram(stream, mechanism, login).await,
        Choice::Plain => {
            let password = login.password.as_ref().map(|password| password.as_str()).unwrap_or_default();
            let message = format!("\0{}\0{password}", login.username).into_bytes();
            send(stream, Nonza::Auth(Auth { mechanism: Mechanism::Plain, data: message })).await?;
            match receive(stream).await? {
                Nonza::Success(_) => Ok(None),
                other => Err(unexpected(other)),
            }
        }
    }
}

async fn scram(
    stream: &mut XmppStream<Secure>,
    mechanism: ScramMechanism,
    login: &mut Login,
) -> Result<Option<ScramKeys>, ConnectError> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce)
        .map_err(|error| ConnectError::Unreachable { text: format!("no randomness: {error}") })?;
    let nonce = base64::engine::general_purpose::STANDARD_NO_PAD.encode(nonce);
    let first = ClientFirst::new(mechanism, &login.username, nonce);
    let name = match mechanism {
        ScramMechanism::Sha1 => Mechanism::ScramSha1,
        ScramMechanism::Sha256 => Mechanism::ScramSha256,
    };
    send(stream, Nonza::Auth(Auth { mechanism: name, data: first.message().into_bytes() })).await?;
    let challenge = match receive(stream).await? {
        Nonza::Challenge(challenge) => first.challenged(&challenge.data)?,
        other => return Err(unexpected(other)),
    };
    let (keys, keep) = login.keys(&challenge).await?;
    let (answer, proof) = challenge.answer(&keys);
    send(stream, Nonza::Response(Response { data: answer.into_bytes() })).await?;
    match receive(stream).await? {
        Nonza::Success(success) => proof.verify(&success.data)?,
        // Some servers prove themselves in one more challenge (RFC 6120 §6.3.10 lets them).
        Nonza::Challenge(last) => {
            proof.verify(&last.data)?;
            send(stream, Nonza::Response(Response { data: Vec::new() })).await?;
            match receive(stream).await? {
                Nonza::Success(_) => {}
                other => return Err(unexpected(other)),
            }
        }
        other => return Err(unexpected(other)),
    }
    login.keys = Some(keys.clone());
    login.kept |= keep;
    Ok(keep.then_some(keys))
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

fn unexpected(nonza: Nonza) -> ConnectError {
    match nonza {
        Nonza::Failure(failure) => refused(failure),
        Nonza::Success(_) => {
            ConnectError::Protocol { text: "the server claims a login that did not take place".to_owned() }
        }
        _ => ConnectError::Protocol { text: "the server broke the order of the login".to_owned() },
    }
}

/// RFC 6120 §6.5.
fn refused(failure: Failure) -> ConnectError {
    use DefinedCondition as Condition;
    let text = failure.texts.get("en").or_else(|| failure.texts.values().next());
    let text = short(text.map_or("the server gave no reason", String::as_str));
    match failure.defined_condition {
        Condition::AccountDisabled => ConnectError::AccountDisabled { text },
        Condition::TemporaryAuthFailure => ConnectError::Unreachable { text },
        Condition::NotAuthorized => {
            ConnectError::NotAuthorized { condition: "not-authorized".to_owned(), text }
        }
        Condition::CredentialsExpired => {
            ConnectError::NotAuthorized { condition: "credentials-expired".to_owned(), text }
        }
        Condition::InvalidAuthzid => {
            ConnectError::NotAuthorized { condition: "invalid-authzid".to_owned(), text }
        }
        other => ConnectError::Protocol { text: format!("{other:?}: {text}") },
    }
}

async fn send<S>(stream: &mut XmppStream<S>, nonza: Nonza) -> Result<(), ConnectError>
where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    stream.send(&XmppStreamElement::Sasl(nonza)).await.map_err(ConnectError::from_io)
}

/// The server's next step; a refusal is an error already.
async fn receive(stream: &mut XmppStream<Secure>) -> Result<Nonza, ConnectError> {
    loop {
        return match stream.next().await {
            Some(Ok(FallibleStreamElement::Ok(XmppStreamElement::Sasl(Nonza::Failure(failure))))) => {
                Err(refused(failure))
            }
            Some(Ok(FallibleStreamElement::Ok(XmppStreamElement::Sasl(nonza)))) => Ok(nonza),
            Some(Ok(FallibleStreamElement::Ok(XmppStreamElement::StreamError(error)))) => {
                Err(ConnectError::Unreachable { text: short(&error.0.condition.to_string()) })
            }
            // A refusal with a condition that we don't know is a refusal all the same.
            Some(Ok(FallibleStreamElement::Err(StreamElementError::InvalidNonza { qname, .. })))
                if qname.1.as_str() == "failure" =>
            {
                Err(ConnectError::NotAuthorized {
                    condition: "undefined-condition".to_owned(),
                    text: "the server refused the login for a reason that we don't know".to_owned(),
                })
            }
            Some(Ok(_)) => Err(ConnectError::Protocol { text: "the server broke off the login".to_owned() }),
            Some(Err(ReadError::SoftTimeout)) => continue,
            Some(Err(error)) => Err(read_error(error)),
            None => Err(ConnectError::closed()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Password;
    use crate::stream::Credentials;

    fn login(password: &str) -> Result<Login, ConnectError> {
        Login::new(
            &"me@example.org".parse().unwrap(),
            Credentials::Password(Password::from(password.to_owned())),
        )
    }

    fn offer(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_strongest_mechanism_and_plain_only_where_there_is_no_scram() {
        let login = login("secret").unwrap();
        let choose = |names: &[&str]| login.choose(&offer(names)).ok();
        let all = ["PLAIN", "ANONYMOUS", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS"];
        assert_eq!(choose(&all), Some(Choice::Scram(ScramMechanism::Sha256)));
        assert_eq!(choose(&["PLAIN", "SCRAM-SHA-1"]), Some(Choice::Scram(ScramMechanism::Sha1)));
        assert_eq!(choose(&["PLAIN", "ANONYMOUS"]), Some(Choice::Plain));
        assert_eq!(choose(&["PLAIN", "SCRAM-SHA-512"]), None);
        assert_eq!(choose(&["PLAIN", "SCRAM-SHA-256-PLUS"]), None);
        assert_eq!(choose(&["ANONYMOUS"]), None);
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn keys_are_pinned_to_their_mechanism() {
        let keys = ScramKeys::derive(ScramMechanism::Sha1, "secret", b"salt", 4096);
        let pinned = Login::new(&"me@example.org".parse().unwrap(), Credentials::Keys(keys.clone())).unwrap();
        let choose = |names: &[&str]| pinned.choose(&offer(names)).ok();
        assert_eq!(choose(&["SCRAM-SHA-1", "SCRAM-SHA-256"]), Some(Choice::Scram(ScramMechanism::Sha1)));
        assert_eq!(choose(&["PLAIN"]), None);
        // And a password that has once worked with SCRAM is never given away afterwards.
        let mut used = login("secret").unwrap();
        used.keys = Some(keys);
        assert!(used.choose(&offer(&["PLAIN"])).is_err());
        assert_eq!(used.choose(&offer(&["SCRAM-SHA-256"])).ok(), Some(Choice::Scram(ScramMechanism::Sha256)));
    }

    #[test]
    fn names_and_passwords_are_prepared() {
        let login = login("I\u{AD}X\u{2168}").unwrap();
        assert_eq!(login.password.unwrap().as_str(), "IXIX");
        assert!(matches!(self::login("a\u{7}"), Err(ConnectError::NotAuthorized { .. })));
        assert!(matches!(self::login(""), Err(ConnectError::NotAuthorized { .. })));
        assert!(matches!(self::login("a\0b"), Err(ConnectError::NotAuthorized { .. })));
    }

    #[test]
    fn each_refusal_is_what_a_ui_would_make_of_it() {
        let refused = |condition: DefinedCondition| {
            refused(Failure { defined_condition: condition, texts: Default::default() })
        };
        use DefinedCondition as Condition;
        for condition in [Condition::NotAuthorized, Condition::CredentialsExpired, Condition::InvalidAuthzid]
        {
            assert!(matches!(refused(condition), ConnectError::NotAuthorized { .. }));
        }
        assert!(matches!(refused(Condition::AccountDisabled), ConnectError::AccountDisabled { .. }));
        assert!(matches!(refused(Condition::TemporaryAuthFailure), ConnectError::Unreachable { .. }));
        assert!(matches!(refused(Condition::MechanismTooWeak), ConnectError::Protocol { .. }));
    }
}
