//! Every account of this daemon: login, logout, and the way to each one's actor.

use jid::BareJid;
use prosed_session::{Answer, Command, Failure};
use tokio::sync::oneshot;

/// All accounts. Cheap to share behind an `Arc`.
pub struct Accounts {}

/// What a UI gives to log in. `Debug` is left out: there is a password inside.
pub struct Login {
    pub jid: BareJid,
    pub password: Option<crate::credentials::Password>,
    pub resource: Option<String>,
    pub remember: bool,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub tls: crate::config::TlsMode,
}

/// A session's answer, and the `seq` of the event log at which it was true.
pub struct Reply {
    pub seq: u64,
    pub result: Result<Answer, Failure>,
}

/// What the shell knows of an account beside its session's state.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    pub remembered: bool,
    pub secret_store: Option<&'static str>,
    pub resource: Option<String>,
}

/// Why a call never reached a session.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("no such account here")]
    Unknown(BareJid),
    #[error("several accounts, none named")]
    Required,
    #[error("no password given and none remembered")]
    CredentialsMissing(BareJid),
    #[error("the data could not be stored")]
    StorageFailed,
    #[error("limit reached")]
    LimitExceeded { what: &'static str, limit: usize },
}

impl Accounts {
    /// The account that a call means: the one named, or the only one.
    pub fn resolve(&self, named: Option<&BareJid>) -> Result<BareJid, AccountError> {
        let _ = named;
        todo!()
    }

    /// All accounts, sorted by JID.
    pub fn list(&self) -> Vec<BareJid> {
        todo!()
    }

    /// What the shell knows of an account beside its session's state.
    pub fn standing(&self, account: &BareJid) -> Standing {
        let _ = account;
        todo!()
    }

    /// Hands a command to the account's session. When this returns, the command has its place in
    /// the session's order; the receiver then gets the answer (or closes: the session ended).
    pub async fn issue(
        &self,
        account: &BareJid,
        command: Command,
    ) -> Result<oneshot::Receiver<Reply>, AccountError> {
        let _ = (account, command);
        todo!()
    }

    /// Begins a login, or attaches to a live session. The account exists when this returns.
    pub async fn login(&self, login: Login) -> Result<oneshot::Receiver<Reply>, AccountError> {
        let _ = login;
        todo!()
    }

    /// Ends the session; `forget` also erases cache and secret.
    pub async fn logout(&self, account: &BareJid, forget: bool) -> Result<(), AccountError> {
        let _ = (account, forget);
        todo!()
    }
}
