//! The state of all accounts at one `seq`.
//!
//! Each account's session answers at a different time. What has happened to an account between its answer and the
//! last one is in the event log, and events carry complete states: they are applied on top.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use jid::BareJid;
use jsonrpsee::types::ErrorObjectOwned;
use prosed_protocol::{
    Account, AccountState, ApiError, Contact, ErrorKind, Event, EventPayload, LoadStateParams, Roster,
    RosterSource, State, SubscriptionRequest, SubscriptionRequested,
};
use prosed_session::{Answer, Command};

use super::methods::{Answered, Api, bare_jid, unexpected};
use super::translate;
use crate::events::Filter;

/// How often to start over if accounts appear, or events expire, in the meantime.
const ATTEMPTS: usize = 4;

/// One account, and the `seq` at which this was its state.
struct Known {
    seq: u64,
    info: Account,
    /// Absent if no roster is known.
    roster: Option<(RosterSource, Option<String>)>,
    contacts: BTreeMap<BareJid, Contact>,
    requests: BTreeMap<BareJid, SubscriptionRequest>,
}

pub(super) async fn load_state(api: Arc<Api>, params: LoadStateParams) -> Answered<State> {
    let only = params.account.as_deref().map(bare_jid).transpose()?;
    for _ in 0..ATTEMPTS {
        if let Some((seq, accounts)) = at_one_seq(&api, only.as_ref()).await? {
            if accounts.is_empty()
                && let Some(only) = only
            {
                return Err(ApiError::new(ErrorKind::AccountUnknown).account(only.as_str()).into());
            }
            return Ok(cut(seq, accounts, Roster::limit(params.limit)));
        }
    }
    Err(ApiError::cursor_expired(api.log.last()).into())
}

/// None if it failed: an account has appeared in the meantime, or more has happened than is retained.
async fn at_one_seq(
    api: &Arc<Api>,
    only: Option<&BareJid>,
) -> Answered<Option<(u64, BTreeMap<BareJid, Known>)>> {
    let begun = api.log.last();
    let accounts = api.sessions.list().into_iter().filter(|account| only.is_none_or(|only| only == account));
    let asked = accounts.map(|account| async {
        let known = ask(api, &account).await?;
        Some(known.map(|known| (account, known)))
    });
    let known: Answered<BTreeMap<_, _>> = join_all(asked).await.into_iter().flatten().collect();
    let mut known = known?;
    let seq = api.log.last();
    let filter = Filter { names: None, account: only.cloned() };
    let Ok(events) = api.log.between(filter, begun, seq) else { return Ok(None) };
    for event in events {
        let Ok(Event { payload, .. }) = serde_json::from_str(event.json.get()) else { continue };
        match (known.get_mut(&event.account), payload) {
            (Some(account), _) if event.seq <= account.seq => {}
            (_, EventPayload::AccountChanged(changed)) if changed.info.is_none() => {
                drop(known.remove(&event.account))
            }
            (Some(account), payload) => account.apply(payload),
            (None, _) => return Ok(None),
        }
    }
    Ok(Some((seq, known)))
}

/// None if the account has disappeared.
async fn ask(api: &Arc<Api>, account: &BareJid) -> Option<Answered<Known>> {
    let reply = api.sessions.issue(account, Command::LoadState).await.ok()?.await.ok()?;
    let answer = reply.result.map_err(|cause| ErrorObjectOwned::from(translate::failure(&cause, account)));
    Some(match answer {
        Ok(Answer::State(state)) => Ok(Known::new(api, reply.seq, *state).await),
        Ok(other) => Err(unexpected(&other)),
        Err(error) => Err(error),
    })
}

impl Known {
    async fn new(api: &Arc<Api>, seq: u64, state: prosed_session::State) -> Self {
        let standing = api.sessions.standing(&state.account.account);
        let jids: Vec<BareJid> = state.contacts.iter().map(|one| one.jid.clone()).collect();
        let contacts = api.contacts(state.contacts.into_iter()).await;
        Self {
            seq,
            info: api.translator.account(state.account, &standing),
            roster: state.source.map(|source| (translate::roster_source(source), state.version)),
            contacts: jids.into_iter().zip(contacts).collect(),
            requests: state
                .requests
                .iter()
                .map(|one| (one.jid.clone(), translate::subscription_request(one)))
                .collect(),
        }
    }

    /// Applies one more event.
    fn apply(&mut self, payload: EventPayload) {
        match payload {
            EventPayload::ContactChanged(event) => {
                for contact in event.contacts {
                    if let Ok(jid) = BareJid::new(&contact.jid) {
                        self.contacts.insert(jid, contact);
                    }
                }
                for jid in event.removed {
                    self.contacts.retain(|known, _| known.as_str() != jid);
                }
            }
            EventPayload::AccountChanged(event) => {
                if let Some(info) = event.info {
                    self.info = *info;
                }
            }
            EventPayload::RosterLoaded(event) => self.roster = Some((RosterSource::Server, event.version)),
            EventPayload::SubscriptionRequested(event) => {
                if let Ok(jid) = BareJid::new(&event.jid) {
                    let SubscriptionRequested { jid: text, nick, message, received_at, warnings } = event;
                    let request = SubscriptionRequest { jid: text, nick, message, received_at, warnings };
                    self.requests.insert(jid, request);
                }
            }
            EventPayload::SubscriptionResolved(event) => {
                self.requests.retain(|known, _| known.as_str() != event.jid);
            }
            EventPayload::Unknown => {}
        }
    }
}

/// At most this many contacts, across all rosters.
fn cut(seq: u64, accounts: BTreeMap<BareJid, Known>, mut limit: usize) -> State {
    let mut states = Vec::new();
    for (account, known) in accounts {
        let complete = known.contacts.len() <= limit;
        let contacts: Vec<_> = known.contacts.into_values().take(limit).collect();
        limit -= contacts.len();
        let account = account.to_string();
        let roster = known.roster.map(|(source, version)| Roster {
            account,
            source,
            version,
            seq,
            contacts,
            complete,
        });
        let subscription_requests = known.requests.into_values().collect();
        states.push(AccountState { info: known.info, roster, subscription_requests });
    }
    State { seq, accounts: states }
}
