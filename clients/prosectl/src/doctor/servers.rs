//! Each account's session, and whether its server can be reached and trusted. `prosed --check-server` connects as a login
//! would.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use prosed_protocol::{Account, ConnectionState, ErrorKind};
use serde::Deserialize;

use super::configuration::Configuration;
use super::tools::{Silence, WITH_NETWORK, ask_prosed};
use super::{Finding, first_line};
use crate::arguments::Place;
use crate::service::Service;

/// A certificate that expires this soon should have been renewed: Let's Encrypt's are renewed 30 days before.
const SOON: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// A certificate that is valid by this computer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Certificate {
    not_after: SystemTime,
}

/// The output of `prosed --check-server`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reached {
    Server { host: String, port: u16, tls: String, not_after: Option<String> },
    Error { text: String, next_step: String },
}

/// The result of checking a server.
enum Server {
    Fine(Finding, Option<Certificate>),
    /// What is wrong, and what to do.
    Wrong(String, String),
    /// It could not be checked.
    Unknown,
}

/// The state of an account's session, and of its server.
pub(super) async fn account(
    account: &Account,
    configuration: &Configuration,
    service: Service,
) -> (Vec<Finding>, Option<Certificate>) {
    let session = session(account, service);
    if account.state == ConnectionState::Offline {
        return (vec![session], None);
    }
    let (server, certificate) = server(&account.account, &Place::default(), configuration).await;
    (std::iter::once(session).chain(server).collect(), certificate)
}

/// The server of a JID without an account here.
pub(super) async fn named(
    jid: &str,
    place: &Place,
    configuration: &Configuration,
) -> (Vec<Finding>, Option<Certificate>) {
    let (server, certificate) = server(jid, place, configuration).await;
    let unknown = || {
        Finding::warn(
            &check(jid),
            "prosed is not installed, so the server can't be checked.",
            "cargo install --path daemon",
        )
    };
    (vec![server.unwrap_or_else(unknown)], certificate)
}

fn check(jid: &str) -> String {
    format!("server of {jid}")
}

fn session(account: &Account, service: Service) -> Finding {
    let check = account.account.as_str();
    let error = account.error.as_ref();
    let text = error.map(|error| {
        let text = error.data.text.as_ref().or(error.data.condition.as_ref());
        text.map_or_else(|| error.message.clone(), |text| format!("{} ({text})", error.message))
    });
    let login = format!("prosectl login {check}");
    match account.state {
        ConnectionState::Online => Finding::ok(check, format!("It is online since {}.", account.since)),
        ConnectionState::Offline => Finding::ok(check, "It is logged out."),
        ConnectionState::Unknown => {
            Finding::ok(check, "Its state has a name that only a newer prosectl knows.")
        }
        ConnectionState::Connecting | ConnectionState::Suspended => {
            let text = text.unwrap_or_else(|| "The connection is lost.".to_owned());
            let next = account.retry_at.as_ref().map(|at| format!(" Next attempt at {at}."));
            Finding::warn(check, format!("It is connecting: {text}{}", next.unwrap_or_default()), login)
        }
        ConnectionState::Failed => {
            let fix = match error.map(|error| error.data.kind) {
                Some(ErrorKind::AccountDisabled | ErrorKind::ProtocolViolation | ErrorKind::TlsFailed) => {
                    "ask the server's operator".to_owned()
                }
                Some(ErrorKind::StorageFailed) => "df -h".to_owned(),
                Some(ErrorKind::InternalError) => service.log(50),
                _ => login,
            };
            Finding::fail(check, text.unwrap_or_else(|| "It has failed.".to_owned()), fix)
        }
    }
}

async fn server(
    jid: &str,
    place: &Place,
    configuration: &Configuration,
) -> (Option<Finding>, Option<Certificate>) {
    let check = check(jid);
    match reach(jid, place, configuration, &check, SystemTime::now()).await {
        Server::Fine(finding, certificate) => (Some(finding), certificate),
        Server::Wrong(text, next_step) => (Some(Finding::fail(&check, format!("{text}."), next_step)), None),
        Server::Unknown => (None, None),
    }
}

async fn reach(
    jid: &str,
    place: &Place,
    configuration: &Configuration,
    check: &str,
    now: SystemTime,
) -> Server {
    let question = format!("--check-server={jid}");
    let host = place.host.as_ref().map(|host| format!("--host={host}"));
    let port = place.port.map(|port| format!("--port={port}"));
    let question: Vec<_> = std::iter::once(&question).chain(&host).chain(&port).map(String::as_str).collect();
    let said = match ask_prosed(configuration.running.as_deref(), &question, WITH_NETWORK).await {
        Ok(said) => said,
        Err(Silence::Absent) => return Server::Unknown,
        Err(Silence::Broken(error)) => {
            return Server::Wrong(error, "prosed --check-server ".to_owned() + jid);
        }
    };
    match toml::from_str(&said.out) {
        Ok(Reached::Server { host, port, tls, not_after }) => {
            let not_after = not_after.and_then(|not_after| time(&not_after));
            let certificate = not_after.map(|not_after| Certificate { not_after });
            Server::Fine(judge(check, &format!("{host}:{port} ({tls})"), certificate, now), certificate)
        }
        Ok(Reached::Error { text, next_step }) => Server::Wrong(text, next_step),
        // An older prosed, or an invalid JID.
        Err(_) if said.errors.contains("--check-server") && said.errors.contains("unexpected") => {
            Server::Unknown
        }
        Err(_) => Server::Wrong(
            first_line(&said.errors).to_owned(),
            "check the JID, as in me@example.org".to_owned(),
        ),
    }
}

fn judge(check: &str, place: &str, certificate: Option<Certificate>, now: SystemTime) -> Finding {
    let left = certificate.map(|certificate| certificate.not_after.duration_since(now).unwrap_or_default());
    match left {
        Some(left) if left < SOON => Finding::warn(
            check,
            format!("{place} has a certificate that expires in {} days.", left.as_secs() / DAY),
            "tell the server's operator",
        ),
        Some(left) => Finding::ok(
            check,
            format!(
                "{place} answers, with a certificate that is valid for {} more days.",
                left.as_secs() / DAY
            ),
        ),
        None => Finding::ok(check, format!("{place} answers, with a valid certificate.")),
    }
}

fn time(rfc3339: &str) -> Option<SystemTime> {
    DateTime::parse_from_rfc3339(rfc3339).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use prosed_protocol::api::{self, Method};

    use super::super::Verdict::{Fail, Ok, Warn};
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_warned_of() {
        let now = time("2026-01-31T09:00:00.000Z").unwrap();
        let until = |not_after: &str| Certificate { not_after: time(not_after).unwrap() };
        let judge = |certificate| judge("x", "h:5222 (starttls)", certificate, now);
        assert_eq!(judge(Some(until("2026-03-31T09:00:00.000Z"))).result, Ok);
        assert_eq!(judge(None).result, Ok);
        let soon = judge(Some(until("2026-02-05T10:00:00.000Z")));
        assert_eq!((soon.result, soon.message.contains("in 5 days")), (Warn, true), "{soon:?}");
    }

    #[test]
    fn a_session_says_what_it_needs() {
        let mut account: Account = serde_json::from_value(api::GetAccount::example().unwrap().1).unwrap();
        assert_eq!(session(&account, Service::Systemd).result, Ok);
        account.state = ConnectionState::Offline;
        assert_eq!(session(&account, Service::Systemd).result, Ok);
        account.state = ConnectionState::Suspended;
        assert_eq!(session(&account, Service::Systemd).result, Warn);
        account.state = ConnectionState::Failed;
        for (kind, fix) in [
            (ErrorKind::NotAuthorized, "prosectl login me@example.org"),
            (ErrorKind::CredentialsMissing, "prosectl login me@example.org"),
            (ErrorKind::AccountDisabled, "ask the server's operator"),
            (ErrorKind::InternalError, "journalctl --user -u prosed -n 50"),
        ] {
            account.error = Some(kind.into());
            let finding = session(&account, Service::Systemd);
            assert_eq!((finding.result, finding.fix.as_deref()), (Fail, Some(fix)));
            assert!(finding.message.starts_with(kind.message()), "{finding:?}");
        }
    }
}
