//! A stand-in for the accounts, for tests: it records what reaches it, and in which order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use jid::BareJid;
use prosed_protocol::{EventPayload, SubscriptionRequested};
use prosed_session::{
    Account, Answer, Availability, Command, ConnectionState, Failure, RosterSource, State, Timestamp,
};
use tokio::sync::{Notify, oneshot};

use crate::events::EventLog;
use crate::shell::{AccountError, Login, Reply};

/// The accounts of a test.
#[derive(Default)]
pub(crate) struct Script {
    pub(super) accounts: Mutex<BTreeMap<BareJid, Vec<String>>>,
    /// Logins are answered when [`Script::finish_logins`] says so.
    pub(crate) hold_logins: bool,
    /// `GetAccount` is never answered.
    pub(crate) silent: bool,
    pub(super) finish: Notify,
    /// A logout ends the logins that are held.
    pub(super) left: Notify,
    pub(super) calls: Mutex<u32>,
    /// The `seq` of the answer to `LoadState`.
    pub(super) log: OnceLock<Arc<EventLog>>,
}

impl Script {
    /// What reached an account, in order.
    pub(crate) fn reached(&self, account: &str) -> Vec<String> {
        self.accounts.lock().unwrap().get(&account.parse::<BareJid>().unwrap()).cloned().unwrap_or_default()
    }

    /// An account that exists from the start.
    pub(crate) fn add(&self, account: &str) {
        self.accounts.lock().unwrap().entry(account.parse().unwrap()).or_default();
    }

    pub(crate) fn finish_logins(&self) {
        self.finish.notify_waiters();
    }

    pub(super) fn list(&self) -> Vec<BareJid> {
        self.accounts.lock().unwrap().keys().cloned().collect()
    }

    pub(super) async fn issue(
        self: &Arc<Self>,
        account: &BareJid,
        command: Command,
    ) -> Result<oneshot::Receiver<Reply>, AccountError> {
        self.dawdle().await;
        let said = match &command {
            Command::SetPresence(presence) => {
                format!("presence {}", presence.status.as_deref().unwrap_or(""))
            }
            Command::LoadRoster => "roster".to_owned(),
            Command::GetAccount => "account".to_owned(),
            other => format!("{other:?}"),
        };
        self.write(account, said)?;
        let (sender, receiver) = oneshot::channel();
        let is_state = command == Command::LoadState;
        let result = match command {
            Command::GetAccount if self.silent => {
                // Like a session that waits for its server: until the end of the test.
                tokio::spawn(async move {
                    let _sender = sender;
                    std::future::pending::<()>().await;
                });
                return Ok(receiver);
            }
            Command::GetAccount => Ok(Answer::Account(Box::new(online(account)))),
            Command::LoadRoster => {
                Ok(Answer::Roster { source: RosterSource::Cache, version: None, contacts: vec![] })
            }
            Command::LoadState => Ok(Answer::State(Box::new(State {
                account: online(account),
                source: None,
                version: None,
                contacts: vec![],
                requests: vec![],
            }))),
            Command::SetPresence(_) => Ok(Answer::Done),
            _ => Err(Failure::ContactUnknown),
        };
        if let Some(log) = self.log.get().filter(|_| is_state) {
            let _ = sender.send(Reply { seq: log.last(), result });
            // Before the others are queried, something happens to all of them.
            let jid = format!("asker{}@example.org", log.last());
            for account in self.list() {
                let asked = SubscriptionRequested { jid: jid.clone(), ..Default::default() };
                log.append(&account, EventPayload::SubscriptionRequested(asked));
            }
            return Ok(receiver);
        }
        let script = Arc::clone(self);
        tokio::spawn(async move {
            script.dawdle().await;
            let _ = sender.send(Reply { seq: 7, result });
        });
        Ok(receiver)
    }

    pub(super) async fn login(
        self: &Arc<Self>,
        login: Login,
    ) -> Result<oneshot::Receiver<Reply>, AccountError> {
        self.dawdle().await;
        let account = login.jid;
        self.add(account.as_str());
        self.write(&account, "login".to_owned())?;
        let (sender, receiver) = oneshot::channel();
        let script = Arc::clone(self);
        let finish = self.hold_logins;
        tokio::spawn(async move {
            let result = tokio::select! {
                () = script.finish.notified(), if finish => Ok(()),
                () = script.left.notified(), if finish => Err(Failure::Offline),
                () = script.dawdle(), if !finish => Ok(()),
            };
            let said = if result.is_ok() { "login done" } else { "login stopped" };
            let _ = script.write(&account, said.to_owned());
            let result = result.map(|()| Answer::Account(Box::new(online(&account))));
            let _ = sender.send(Reply { seq: 7, result });
        });
        Ok(receiver)
    }

    pub(super) async fn reconnect(&self, account: &BareJid) -> Result<(), AccountError> {
        self.write(account, "reconnect".to_owned())
    }

    pub(super) async fn logout(&self, account: &BareJid) -> Result<(), AccountError> {
        self.dawdle().await;
        self.write(account, "logout".to_owned())?;
        self.left.notify_waiters();
        self.dawdle().await;
        self.write(account, "logout done".to_owned())
    }

    fn write(&self, account: &BareJid, said: String) -> Result<(), AccountError> {
        let mut accounts = self.accounts.lock().unwrap();
        accounts.get_mut(account).ok_or_else(|| AccountError::Unknown(account.clone()))?.push(said);
        Ok(())
    }

    /// Takes a varying time, so that anything unordered shows.
    async fn dawdle(&self) {
        let turns = {
            let mut calls = self.calls.lock().unwrap();
            *calls = calls.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (*calls >> 16) % 7
        };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

fn online(account: &BareJid) -> Account {
    Account {
        account: account.clone(),
        jid: None,
        state: ConnectionState::Online,
        since: Timestamp(0),
        last_stanza_at: None,
        retry_at: None,
        failure: None,
        availability: Availability::Available,
        status: None,
        profile: None,
        avatar: None,
        resources: vec![],
        roster_truncated: false,
    }
}
