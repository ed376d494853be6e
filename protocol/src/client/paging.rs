//! Rosters of any size: an answer has a maximum size, so they are loaded in pages.

use serde_json::{Map, Value, json};

use super::{Client, ClientError};
use crate::api::{LoadRoster, LoadState, Method};
use crate::contact::Roster;
use crate::error::ErrorKind;
use crate::state::State;

/// Contacts in a page: at most some 4 MiB.
const PAGE: u32 = 1_000;

impl Client {
    /// All contacts of an account; without `account`, of the only one. They are loaded in pages, and `seq` is that of
    /// the first page: events after it may repeat what a later page already had, and the newest state comes last.
    ///
    /// # Errors
    ///
    /// As for [`Client::call`].
    pub async fn load_roster(&self, account: Option<&str>) -> Result<Roster, ClientError> {
        Ok(serde_json::from_value(self.load_roster_raw(account).await?)?)
    }

    /// The same as JSON, with fields that may be newer than this crate.
    ///
    /// # Errors
    ///
    /// As for [`Client::call`].
    pub async fn load_roster_raw(&self, account: Option<&str>) -> Result<Value, ClientError> {
        let mut roster = self.page(account, None).await?;
        self.complete(&mut roster).await?;
        Ok(roster)
    }

    /// All accounts, or this one, with all of their contacts and requests. Rosters are loaded in pages, as by
    /// [`Client::load_roster`]. If an account is forgotten meanwhile, its roster stays incomplete, and an event after
    /// `seq` reports that it is gone.
    ///
    /// # Errors
    ///
    /// As for [`Client::call`].
    pub async fn load_state(&self, account: Option<&str>) -> Result<State, ClientError> {
        Ok(serde_json::from_value(self.load_state_raw(account).await?)?)
    }

    /// The same as JSON, with fields that may be newer than this crate.
    ///
    /// # Errors
    ///
    /// As for [`Client::call`].
    pub async fn load_state_raw(&self, account: Option<&str>) -> Result<Value, ClientError> {
        let mut state: Value = self.call_raw(LoadState::NAME, params(account, None)).await?;
        let accounts = state.get_mut("accounts").and_then(Value::as_array_mut);
        for account in accounts.into_iter().flatten() {
            let Some(roster) = account.get_mut("roster") else { continue };
            match self.complete(roster).await {
                Err(error) if error.kind() == Some(ErrorKind::AccountUnknown) => {}
                result => result?,
            }
        }
        Ok(state)
    }

    /// Adds the pages that a roster lacks.
    async fn complete(&self, roster: &mut Value) -> Result<(), ClientError> {
        while roster["complete"] == false {
            let last = roster["contacts"].as_array().and_then(|contacts| contacts.last()?["jid"].as_str());
            let mut page = self.page(roster["account"].as_str(), last).await?;
            if let (Some(contacts), Some(more)) =
                (roster["contacts"].as_array_mut(), page["contacts"].as_array_mut())
            {
                contacts.append(more);
            }
            roster["complete"] = page["complete"].take();
        }
        Ok(())
    }

    async fn page(&self, account: Option<&str>, after: Option<&str>) -> Result<Value, ClientError> {
        self.call_raw(LoadRoster::NAME, params(account, after)).await
    }
}

fn params(account: Option<&str>, after: Option<&str>) -> Map<String, Value> {
    let mut params = Map::from_iter([("limit".to_owned(), json!(PAGE))]);
    params.extend(account.map(|account| ("account".to_owned(), account.into())));
    params.extend(after.map(|after| ("after".to_owned(), after.into())));
    params
}
