//! The accounts as seen by the methods. Tests replace them with a script, to test the doors and not what is behind
//! them.

use std::sync::Arc;

use jid::BareJid;
use prosed_session::Command;
use tokio::sync::oneshot;

use crate::accounts::Accounts;
use crate::shell::{AccountError, Login, Reply, Standing};

/// The accounts, or a test's script.
#[derive(Clone)]
pub(super) enum Sessions {
    Real(Arc<Accounts>),
    #[cfg(test)]
    Script(Arc<super::script::Script>),
}

impl Sessions {
    /// All accounts, sorted by JID.
    pub(super) fn list(&self) -> Vec<BareJid> {
        match self {
            Self::Real(accounts) => accounts.list(),
            #[cfg(test)]
            Self::Script(script) => script.list(),
        }
    }

    /// What the shell knows about an account in addition to its session's state.
    pub(super) fn standing(&self, account: &BareJid) -> Standing {
        match self {
            Self::Real(accounts) => accounts.standing(account),
            #[cfg(test)]
            Self::Script(_) => Standing::default(),
        }
    }

    /// See [`Accounts::issue`].
    pub(super) async fn issue(
        &self,
        account: &BareJid,
        command: Command,
    ) -> Result<oneshot::Receiver<Reply>, AccountError> {
        match self {
            Self::Real(accounts) => accounts.issue(account, command).await,
            #[cfg(test)]
            Self::Script(script) => script.issue(account, command).await,
        }
    }

    /// See [`Accounts::login`].
    pub(super) async fn login(&self, login: Login) -> Result<oneshot::Receiver<Reply>, AccountError> {
        match self {
            Self::Real(accounts) => accounts.login(login).await,
            #[cfg(test)]
            Self::Script(script) => script.login(login).await,
        }
    }

    /// See [`Accounts::reconnect`].
    pub(super) async fn reconnect(&self, account: &BareJid) -> Result<(), AccountError> {
        match self {
            Self::Real(accounts) => accounts.reconnect(account).await,
            #[cfg(test)]
            Self::Script(script) => script.reconnect(account).await,
        }
    }

    /// See [`Accounts::logout`].
    pub(super) async fn logout(&self, account: &BareJid, forget: bool) -> Result<(), AccountError> {
        match self {
            Self::Real(accounts) => accounts.logout(account, forget).await,
            #[cfg(test)]
            Self::Script(script) => script.logout(account).await,
        }
    }
}
