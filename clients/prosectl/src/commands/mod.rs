//! The commands.

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

/// More than the daemon accepts in a call.
const MAX_INPUT_BYTES: u64 = 2 << 20;

/// The daemon that commands talk to.
pub(crate) struct Prosed {
    dir: Option<PathBuf>,
    /// The account given with --account.
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

    /// Calls `M` over a new connection.
    async fn ask<M: Method>(&self, params: M::Params) -> Result<Value, Failure> {
        ask::<M>(&self.client().await?, params).await
    }

    /// The given JID, or that of the account itself.
    async fn jid_or_own(&self, client: &Client, jid: Option<String>) -> Result<String, Failure> {
        match jid.or_else(|| self.account()) {
            Some(jid) => Ok(jid),
            None => Ok(client.call::<api::GetAccount>(AccountParams::default()).await?.account),
        }
    }
}

/// Calls `M`, and returns the answer as JSON: a newer daemon may add fields.
async fn ask<M: Method>(client: &Client, params: M::Params) -> Result<Value, Failure> {
    Ok(client.call_raw(M::NAME, params).await?)
}

/// Parses JSON from an argument, or from standard input if that is `-`. The error has only the position, since the text
/// could be a password.
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
