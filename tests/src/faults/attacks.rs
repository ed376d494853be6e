//! What an impostor of the server, or a man in the middle, tries: TLS, SASL, and what is done along with a login. None
//! may lead to a session, and none may make prosed send the password.

use std::future::pending;
use std::io::Result;
use std::process::ExitStatus;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::{Record, Scale, account_is};
use crate::certificates::Certificates;
use crate::hostile::{Hostile, Lie, Peer, Sasl, Sasl2, nested};
use crate::server::DOMAIN;
use crate::{Daemon, Ui};

const ME: &str = "me";
const PASSWORD: &str = "canary-4711";
/// The result of the login is reported within this time: a million iterations would take longer.
const TOLD_WITHIN: Duration = Duration::from_secs(8);
/// Allowed in plain text, but only in its place: of all that could be injected, only this can be recognized by its
/// position.
const INJECTED: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                        <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
/// Between two polls of the account.
const POLL: Duration = Duration::from_millis(20);

/// The attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// A certificate of a trusted authority, for another domain.
    WrongName,
    /// An expired certificate.
    Expired,
    /// A certificate of an untrusted authority.
    Untrusted,
    /// The offer of STARTTLS is removed, PLAIN is offered.
    StrippedStarttls,
    /// Features in plain text after agreeing to TLS (CVE-2011-0411).
    InjectedText,
    /// SCRAM: the server proves that it knows another password.
    WrongSignature,
    /// SCRAM: a success without a proof.
    NoSignature,
    /// A success right away.
    NoChallenge,
    /// SCRAM: a recorded exchange is replayed.
    ForeignNonce,
    /// ANONYMOUS is all that is offered.
    Anonymous,
    /// PLAIN is all that is offered, after a login with SCRAM.
    StepDown,
    /// Channel binding is no longer offered, after a bound login.
    Unbound,
    /// Only a weaker hash is offered, after a login with a stronger one.
    WeakerHash,
    /// A bound weaker hash next to an unbound strong one, after a bound login with the strong one: together they offer
    /// all that was pinned, and no login could use it.
    ForShow,
    /// Somebody in between has changed what the server offers (XEP-0474).
    ChangedOffer,
    /// Nested stream headers where features are due.
    Headers,
    /// Features with elements nested in them, as deep as fits.
    DeepFeatures,
    /// One iteration: the proof gives the password away.
    FewIterations,
    /// Iterations that take days.
    ManyIterations,
    /// Somebody else's JID is bound.
    ForeignAccount,
    /// A man in the middle, with a trusted certificate, relays a bound login.
    Relayed,
    /// Tokens (XEP-0484): the server does not have the one that it accepts.
    TokenWithoutProof,
    /// The token is refused, and the server does not know the password either.
    TokenRefused,
    /// A token that is bound to no connection is on offer where passwords are bound; a man in the middle relays it.
    TokenRelayed,
    /// The token logs us in to somebody else's account.
    TokenForeignAccount,
    /// A session is resumed along with the login, but another one.
    ResumedOther,
    /// The same session, of which the server has more than was sent.
    ResumedTooMuch,
    /// One that can't be resumed and was not asked for.
    ResumedUnasked,
    /// The session is resumed and a resource is bound.
    ResumedAndBound,
    /// A resource is bound along with the login, unasked.
    BoundUnasked,
    /// The same, asked (XEP-0386), but somebody else's.
    BoundForeign,
    /// None is bound, asked.
    NotBound,
}

/// Each with the guard against it, and the reported refusal.
const ATTACKS: [(Attack, &str, &str); 32] = [
    (Attack::WrongName, "certificate", "tlsFailed"),
    (Attack::Expired, "certificate", "tlsFailed"),
    (Attack::Untrusted, "certificate", "tlsFailed"),
    (Attack::StrippedStarttls, "tls", "protocolViolation"),
    (Attack::InjectedText, "plain-text", "protocolViolation"),
    (Attack::WrongSignature, "server-proof", "protocolViolation"),
    (Attack::NoSignature, "server-proof", "protocolViolation"),
    (Attack::NoChallenge, "challenge", "protocolViolation"),
    (Attack::ForeignNonce, "nonce", "protocolViolation"),
    (Attack::Anonymous, "anonymous", "protocolViolation"),
    (Attack::StepDown, "no-step-down", "downgradeRefused"),
    (Attack::Unbound, "no-step-down", "downgradeRefused"),
    (Attack::WeakerHash, "no-step-down", "downgradeRefused"),
    (Attack::ForShow, "no-step-down", "downgradeRefused"),
    (Attack::ChangedOffer, "offer-hash", "protocolViolation"),
    (Attack::Headers, "before-login", "protocolViolation"),
    (Attack::DeepFeatures, "before-login", "protocolViolation"),
    (Attack::FewIterations, "iterations", "protocolViolation"),
    (Attack::ManyIterations, "iterations", "protocolViolation"),
    (Attack::ForeignAccount, "bound-account", "protocolViolation"),
    (Attack::Relayed, "channel-binding", "notAuthorized"),
    (Attack::TokenWithoutProof, "server-proof", "protocolViolation"),
    (Attack::TokenRefused, "server-proof", "protocolViolation"),
    (Attack::TokenRelayed, "token-binding", "notAuthorized"),
    (Attack::TokenForeignAccount, "bound-account", "protocolViolation"),
    (Attack::ResumedOther, "same-session", "protocolViolation"),
    (Attack::ResumedTooMuch, "true-count", "protocolViolation"),
    (Attack::ResumedUnasked, "inline-fits", "protocolViolation"),
    (Attack::ResumedAndBound, "inline-fits", "protocolViolation"),
    (Attack::BoundUnasked, "inline-fits", "protocolViolation"),
    (Attack::BoundForeign, "bound-account", "protocolViolation"),
    (Attack::NotBound, "inline-fits", "protocolViolation"),
];

/// Runs the row: each attack this often. Without a guard, only the attacks that it prevents.
pub async fn run(scale: Scale) -> Record {
    let mut record = Record::default();
    let wanted = |guard: &str| scale.without.is_none_or(|out| out == guard);
    let attacks: Vec<_> = ATTACKS.iter().filter(|(_, guard, _)| wanted(guard)).collect();
    let (mut logins, mut leaks) = (0, 0);
    for _ in 0..scale.times {
        for &&(attack, _, refusal) in &attacks {
            let Outcome { told, heard, ended } = attack.tried(scale).await;
            let login = told.as_deref() == Some("online");
            let leak = tells_password(&heard);
            record.expect(!login, || format!("{attack:?}: a login"));
            record.expect(!leak, || format!("{attack:?}: the password was said: {heard}"));
            record.expect(ended.is_none(), || {
                format!("{attack:?}: the process is gone, {}", ended.unwrap_or_default())
            });
            let refused = login || ended.is_some() || told.as_deref() == Some(refusal);
            record.expect(refused, || format!("{attack:?}: within {TOLD_WITHIN:?} it was told {told:?}"));
            logins += usize::from(login);
            leaks += usize::from(leak);
        }
    }
    record.figure(format!("{} attacks, {logins} logins", attacks.len() * scale.times));
    record.figure(format!("the password was said {leaks} times"));
    record
}

/// The result of an attack.
struct Outcome {
    /// What UIs were told about the login: `online`, or the kind of an error.
    told: Option<String>,
    /// What the client sent to the server.
    heard: String,
    /// How the daemon ended, if it did.
    ended: Option<ExitStatus>,
}

impl Attack {
    async fn tried(self, scale: Scale) -> Outcome {
        let me = format!("{ME}@{DOMAIN}");
        let hostile = Hostile::listen_with(|folder| match self {
            Self::WrongName => Certificates::create(folder, "evil.test"),
            Self::Expired => Certificates::create_expired(folder, DOMAIN),
            _ => Certificates::create(folder, DOMAIN),
        })
        .await;
        let setup = match self {
            Self::Untrusted => scale.setup(),
            // Built, and not switched on in prosed itself yet.
            Self::BoundForeign | Self::NotBound => {
                scale.setup().without("bind-2-off").trust_ca(&hostile.ca_pem)
            }
            _ => scale.setup().trust_ca(&hostile.ca_pem),
        };
        let mut daemon = Daemon::start(setup).await;
        let caller = Ui::connect(&daemon).await;
        let login = caller.send_call("login", hostile.login_starttls(ME, PASSWORD)).await;
        // A second UI: calls of one connection wait for each other.
        let ui = Ui::connect(&daemon).await;
        if let Some((sasl, enabled)) = self.before() {
            let features = if enabled.is_empty() { "" } else { "<sm xmlns='urn:xmpp:sm:3'/>" };
            let mut peer = hostile.accept_session_by(&sasl, features).await;
            if !enabled.is_empty() {
                peer.expect().await.expect("a request to manage the session");
                peer.send(enabled).await.expect("the client waits");
            }
            let peer = peer.serve(|_| None);
            account_is(&ui, &me, "online", TOLD_WITHIN).await;
            drop(peer);
            account_is(&ui, &me, "suspended", TOLD_WITHIN).await;
        }
        let mut heard = String::new();
        // The client's objection ends the attack, and shows in what UIs are told.
        let attack = async { drop(self.against(&hostile, &mut heard).await) };
        // A UI panics if its daemon is gone, which is one of the outcomes here.
        let told = tokio::spawn(async move {
            // A failed login leaves no account to query.
            tokio::select! {
                told = told(&ui) => told,
                kind = refused(&caller, &login) => Some(kind),
            }
        });
        let (told, ()) = tokio::join!(told, attack);
        match told {
            Ok(told) => Outcome { told, heard, ended: None },
            Err(_) => Outcome { told: None, heard, ended: Some(daemon.ended().await) },
        }
    }

    /// The honest login before the attack, if there is one, and how the server then agrees to manage the session.
    fn before(self) -> Option<(Sasl, &'static str)> {
        let sasl = Sasl::new(ME, PASSWORD);
        match self {
            Self::StepDown | Self::WeakerHash => Some((sasl, "")),
            Self::Unbound | Self::ForShow => Some((sasl.binding(), "")),
            Self::TokenWithoutProof | Self::TokenRefused | Self::TokenForeignAccount => {
                Some((with_tokens("HT-SHA-256-EXPR"), ""))
            }
            Self::TokenRelayed => Some((with_tokens("HT-SHA-256-NONE"), "")),
            Self::ResumedOther | Self::ResumedTooMuch | Self::ResumedAndBound => Some((
                sasl.sasl2(Sasl2::default()),
                "<enabled xmlns='urn:xmpp:sm:3' id='session' resume='true'/>",
            )),
            Self::ResumedUnasked => Some((sasl.sasl2(Sasl2::default()), "<enabled xmlns='urn:xmpp:sm:3'/>")),
            _ => None,
        }
    }

    /// What the server does along with the login, if that is the attack.
    fn done(self) -> Option<Sasl2> {
        const BOUND: &str = "<bound xmlns='urn:xmpp:bind:0'/>";
        let resumed =
            |name: &str, h: u32| format!("<resumed xmlns='urn:xmpp:sm:3' previd='{name}' h='{h}'/>");
        let (done, whom) = match self {
            Self::ResumedOther => (resumed("another", 0), ME),
            Self::ResumedTooMuch => (resumed("session", 1_000_000), ME),
            Self::ResumedUnasked => (resumed("session", 0), ME),
            Self::ResumedAndBound => (resumed("session", 0) + BOUND, ME),
            Self::BoundUnasked => (BOUND.to_owned(), ME),
            Self::BoundForeign => (BOUND.to_owned(), "mallory"),
            Self::NotBound => (String::new(), ME),
            _ => return None,
        };
        let identity = Some(format!("{whom}@{DOMAIN}/bound"));
        Some(Sasl2 { inline: INLINE, done, identity, ..Sasl2::default() })
    }

    /// Goes as far as the client does, up to a bound session.
    async fn against(self, hostile: &Hostile, heard: &mut String) -> Result<()> {
        let sasl = Sasl::new(ME, PASSWORD);
        let sasl = match self {
            Self::StrippedStarttls => return strip(hostile, heard).await,
            Self::Headers => return nest(hostile, &HEADER.repeat(5_000)).await,
            Self::DeepFeatures => {
                return nest(
                    hostile,
                    &format!("{HEADER}<stream:features>{}</stream:features>", nested(20_000)),
                )
                .await;
            }
            Self::WrongSignature => sasl.lying(Lie::WrongSignature),
            Self::NoSignature => sasl.lying(Lie::NoSignature),
            Self::NoChallenge => sasl.lying(Lie::NoChallenge),
            Self::ForeignNonce => sasl.lying(Lie::ForeignNonce),
            Self::Anonymous => sasl.offering(&["ANONYMOUS"]).lying(Lie::NoChallenge),
            Self::StepDown => sasl.offering(&["PLAIN"]),
            Self::WeakerHash => sasl.offering(&["SCRAM-SHA-1"]),
            Self::ForShow => sasl.binding().offering(&["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256"]),
            Self::ChangedOffer => sasl.lying(Lie::ChangedOffer),
            Self::FewIterations => sasl.iterating(1),
            Self::ManyIterations => sasl.iterating(4_000_000_000),
            Self::Relayed => sasl.binding().relayed(),
            Self::TokenWithoutProof => with_tokens("HT-SHA-256-EXPR").lying(Lie::WrongSignature),
            Self::TokenRefused => {
                let mut sasl = with_tokens("HT-SHA-256-EXPR").lying(Lie::WrongSignature);
                sasl.sasl2.iter_mut().for_each(|sasl2| sasl2.refuses_tokens = true);
                sasl
            }
            Self::TokenRelayed => with_tokens("HT-SHA-256-NONE").relayed(),
            Self::TokenForeignAccount => {
                let mut sasl = with_tokens("HT-SHA-256-EXPR");
                let identity = format!("mallory@{DOMAIN}");
                sasl.sasl2.iter_mut().for_each(|sasl2| sasl2.identity = Some(identity.clone()));
                sasl
            }
            _ => match self.done() {
                Some(sasl2) => sasl.sasl2(sasl2),
                None => sasl,
            },
        };
        let injected = if self == Self::InjectedText { INJECTED } else { "" };
        let mut peer = hostile.accept_starttls_saying(injected).await?;
        let whose = if self == Self::ForeignAccount { "mallory" } else { ME };
        let jid = format!("{whose}@{DOMAIN}");
        let served = timeout(TOLD_WITHIN, self.log_in(&mut peer, &sasl, &jid)).await;
        heard.push_str(peer.heard());
        served??;
        // Long enough for `online` to be reported.
        let _served = peer.serve(|_| None);
        sleep(TOLD_WITHIN / 4).await;
        Ok(())
    }

    async fn log_in(self, peer: &mut Peer, sasl: &Sasl, jid: &str) -> Result<()> {
        peer.authenticate(sasl).await?;
        match self {
            // That was all; there is a session.
            Self::ResumedOther | Self::ResumedTooMuch | Self::ResumedUnasked | Self::ResumedAndBound => {
                Ok(())
            }
            Self::BoundUnasked | Self::BoundForeign => peer.send("<stream:features/>").await,
            _ => peer.bind(jid).await.map(drop),
        }
    }
}

/// A server that binds logins and gives tokens for this mechanism.
fn with_tokens(mechanism: &'static str) -> Sasl {
    let sasl2 = Sasl2 { tokens: vec![mechanism], ..Sasl2::default() };
    Sasl::new(ME, PASSWORD).binding().sasl2(sasl2)
}

/// Resumption and Bind 2, as they are offered.
const INLINE: &str = "<sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline>\
                      <feature var='urn:xmpp:sm:3'/></inline></bind>";

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                      id='nested' version='1.0'>";

/// Says this where features are due. Then the server waits: if it closed the connection, that would be reported
/// instead.
async fn nest(hostile: &Hostile, text: &str) -> Result<()> {
    let mut peer = hostile.accept_starttls().await?;
    peer.send(text).await?;
    peer.is_closed_within(TOLD_WITHIN).await;
    Ok(())
}

/// Offers PLAIN and no TLS, and reads whatever comes.
async fn strip(hostile: &Hostile, heard: &mut String) -> Result<()> {
    let mut stream = hostile.accept_tcp().await;
    let features = format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' from='{DOMAIN}' id='stripped' version='1.0' \
         xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
         </stream:features>"
    );
    stream.write_all(features.as_bytes()).await?;
    let mut bytes = Vec::new();
    let _silence = timeout(TOLD_WITHIN / 4, stream.read_to_end(&mut bytes)).await;
    heard.push_str(&String::from_utf8_lossy(&bytes));
    Ok(())
}

/// What UIs are told about the account: `online`, or the kind of an error. None: nothing is reported in time.
async fn told(ui: &Ui) -> Option<String> {
    let deadline = Instant::now() + TOLD_WITHIN;
    while Instant::now() < deadline {
        let info = ui.call("get_account", json!({})).await.unwrap_or_default();
        let kind = match &info["state"] {
            Value::String(state) if state == "online" => Some("online"),
            _ => info["error"]["data"]["kind"].as_str(),
        };
        if let Some(kind) = kind {
            return Some(kind.to_owned());
        }
        sleep(POLL).await;
    }
    None
}

/// How the login is refused, if it is.
async fn refused(caller: &Ui, login: &Value) -> String {
    match caller.answer(login).await {
        Err(error) => error.kind().to_owned(),
        Ok(_) => pending().await,
    }
}

/// Whether the password was sent, in plain text or in SASL's encoding.
fn tells_password(heard: &str) -> bool {
    let plain = BASE64_STANDARD.encode(format!("\0{ME}\0{PASSWORD}"));
    heard.contains(PASSWORD) || heard.contains(&plain) || heard.contains("mechanism='PLAIN'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_said_is_found() {
        assert!(tells_password("<auth mechanism='PLAIN'>AG1lAGNhbmFyeS00NzEx</auth>"));
        assert!(tells_password("<initial-response>AG1lAGNhbmFyeS00NzEx</initial-response>"));
        assert!(!tells_password("<auth mechanism='SCRAM-SHA-256'>biwsbj1tZSxyPXg=</auth>"));
    }
}
