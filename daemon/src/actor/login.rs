//! Logging in, and storing what the server has accepted.

use prosed_session::{Command, ConnectionState, Input};
use tokio::sync::oneshot;
use tracing::warn;

use super::Actor;
use crate::credentials::Secret;
use crate::shell::{AccountError, Login, Reply};
use crate::starts::Step;
use crate::stream::{self, Stream};

/// What the server has accepted and is not yet on disk.
#[derive(Default)]
pub(super) enum Unkept {
    #[default]
    Nothing,
    /// The account, whose secret is stored already.
    Account,
    WithSecret(Secret),
}

impl Unkept {
    fn secret(self) -> Option<Secret> {
        match self {
            Self::WithSecret(secret) => Some(secret),
            Self::Nothing | Self::Account => None,
        }
    }
}

impl Actor<'_> {
    pub(super) async fn login(&mut self, login: Login) -> Result<oneshot::Receiver<Reply>, AccountError> {
        self.accept_downgrade(&login);
        // A UI wants to log in now. A session that is online answers with its state.
        if self.session.account().state != ConnectionState::Online {
            self.probe();
        }
        if self.survivors.stream.is_none() {
            let (secret, found) = match login.password {
                Some(password) => (Secret::Password(password), None),
                None => {
                    let found = self.shell.secret(&self.account).await?;
                    (found.secret, Some(found.store))
                }
            };
            self.secret_store = found;
            self.unkept = Unkept::Nothing;
            let credentials = match secret {
                Secret::Password(password) => {
                    self.password = Some(password.clone());
                    stream::Credentials::Password(password)
                }
                Secret::Scram(keys) => stream::Credentials::Keys(keys),
            };
            self.remember = login.remember;
            self.connection = self.shell.way(&self.account, login.connection);
            let mut settings = self.shell.settings(&self.account, self.connection.clone());
            settings.accept_downgrade = login.accept_downgrade;
            self.pins = settings.pins;
            self.input(Input::Connecting);
            self.shell.starts.note(Step::Connecting, &self.account);
            #[cfg(debug_assertions)]
            crate::fault_injection::connecting(&self.account);
            self.survivors.stream = Some(Stream::connect(settings, credentials));
        }
        self.keep_what_is_owed().await;
        let (reply, receiver) = oneshot::channel();
        self.command(Command::Login, reply, true);
        Ok(receiver)
    }

    /// A stream that is being refused retries at once, or makes room for one with the new password.
    fn accept_downgrade(&mut self, login: &Login) {
        if !login.accept_downgrade || self.session.account().state == ConnectionState::Online {
            return;
        }
        match &self.survivors.stream {
            Some(_) if login.password.is_some() => self.end_stream(),
            Some(stream) => stream.accept_downgrade(),
            None => {}
        }
    }

    /// The server has accepted the secret: it is stored, if wanted.
    pub(super) async fn keep_secret(&mut self, keys: Option<stream::ScramKeys>) {
        let unkept = std::mem::take(&mut self.unkept);
        let secret = match (keys, self.password.take()) {
            (Some(keys), _) => Some(Secret::Scram(keys)),
            (None, Some(password)) => Some(Secret::Password(password)),
            (None, None) => unkept.secret(),
        };
        self.keep(secret).await;
    }

    /// Retries what a full disk refused: the caller may have made room.
    pub(super) async fn keep_what_is_owed(&mut self) {
        match std::mem::take(&mut self.unkept) {
            Unkept::Nothing => {}
            unkept => self.keep(unkept.secret()).await,
        }
    }

    async fn keep(&mut self, secret: Option<Secret>) {
        let (account, found) = (&self.account, self.secret_store);
        let kept = self
            .shell
            .welcome(account, &self.connection, self.pins, self.remember, secret.clone(), found)
            .await;
        match kept {
            Ok(store) => self.secret_store = store,
            Err(error) if self.remember => {
                warn!(%account, %error, "the account can't be kept yet");
                self.unkept = secret.map_or(Unkept::Account, Unkept::WithSecret);
            }
            Err(error) => warn!(%account, %error, "what was remembered of the account can't be erased"),
        }
    }
}
