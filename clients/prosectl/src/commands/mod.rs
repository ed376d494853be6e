//! What each command asks of the daemon.

pub(crate) mod accounts;
pub(crate) mod contacts;
pub(crate) mod daemon;
pub(crate) mod events;
pub(crate) mod requests;
pub(crate) mod vcard;

use std::io::Read;
use std::path::{Path, PathBuf};

use prosed_protocol::AccountParams;
use prosed_protocol::api::{self, Method};
use prosed_protocol::client::Client;
use serde_json::Value;

use crate::failure::Failure;

/// More JSON than any call may bring.
const MAX_INPUT_BYTES: u64 = 2 << 20;

/// The daemon, as commands speak to it.
pub(crate) struct Prosed {
    dir: Option<PathBuf>,
    /// The account that was named.
    account: Option<String>,
}

impl Prosed {
    pub(crate) fn new(dir: Option<PathBuf>, account: Option<String>) -> Self {
        Self { dir, account }
    }

    /// Its runtime directory.
    pub(crate) fn dir(&self) -> Result<&Path, Failure> {
        self.dir.as_deref().ok_or(Failure::NoHome)
    }

    pub(crate) fn account(&self) -> Option<String> {
        self.account.clone()
    }

    /// A connection.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::find(self.dir()?).await?)
    }

    /// Calls `M` on a connection for this one call.
    async fn ask<M: Method>(&self, params: M::Params) -> Result<Value, Failure> {
        ask::<M>(&self.client().await?, params).await
    }

    /// The JID that was named, or that of the account itself.
    async fn jid_or_own(&self, client: &Client, jid: Option<String>) -> Result<String, Failure> {
        match jid.or_else(|| self.account()) {
            Some(jid) => Ok(jid),
            None => Ok(client.call::<api::GetAccount>(AccountParams::default()).await?.account),
        }
    }
}

/// Calls `M`, and keeps its answer as the daemon wrote it: a newer one may say more than we know.
async fn ask<M: Method>(client: &Client, params: M::Params) -> Result<Value, Failure> {
    Ok(client.call_raw(M::NAME, params).await?)
}

/// JSON of an argument, or of standard input where that is `-`. Where it is wrong is said, and not
/// what stands there: it could be a password.
fn json(text: &str) -> Result<Value, Failure> {
    let mut input = String::new();
    let text = if text == "-" {
        let reading = std::io::stdin().take(MAX_INPUT_BYTES).read_to_string(&mut input);
        reading.map_err(|error| Failure::Params(error.to_string()))?;
        &input
    } else {
        text
    };
    serde_json::from_str(text)
        .map_err(|error| Failure::Params(format!("line {}, column {}", error.line(), error.column())))
}
