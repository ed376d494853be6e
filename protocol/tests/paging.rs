//! The client's rosters, which change while they are loaded page by page.
#![cfg(feature = "client")]
#![allow(missing_docs, clippy::unwrap_used)]

mod front;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{PendingSubscriptionSink, RpcModule, Server, ServerHandle, SubscriptionMessage};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use prosed_protocol::client::{Client, Follower};
use prosed_protocol::endpoint::{Endpoint, FILE_NAME};
use prosed_protocol::{ApiError, Contact, ErrorKind, EventPayload, SubscribeParams, api, parse_params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

const TOKEN: &str = "c2VjcmV0";
const ME: &str = "me@example.org";
const PAGE: usize = 1000;
const SOON: Duration = Duration::from_secs(20);

/// A daemon's contacts, which change after each page that it has answered. They have even numbers at first.
#[derive(Default)]
struct Changing {
    contacts: BTreeMap<String, Value>,
    events: Vec<Value>,
    pages: usize,
    /// There is no account any more once so many pages were answered.
    forgotten_after: Option<usize>,
}

fn jid(number: usize) -> String {
    format!("c{number:05}@example.org")
}

impl Changing {
    fn new() -> Self {
        let mut changing = Self::default();
        for number in (0..2 * (3 * PAGE - 10)).step_by(2) {
            changing.put(number, "Before");
        }
        changing
    }

    fn put(&mut self, number: usize, name: &str) -> Value {
        let contact = json!({
            "jid": jid(number), "name": name, "subscription": "both", "availability": "available", "groups": [],
            "ask": false, "approved": false, "resources": [], "resourceCount": 0, "warnings": [],
        });
        self.contacts.insert(jid(number), contact.clone());
        contact
    }

    fn tell(&mut self, contacts: &[Value], removed: &[String]) {
        let seq = self.events.len() + 1;
        self.events.push(json!({
            "event": "contactChanged", "seq": seq, "time": "2026-01-31T09:00:12.250Z", "account": ME, "ids": [],
            "contacts": contacts, "cameOnline": [], "removed": removed,
        }));
    }

    /// One contact is added, one removed and one changed twice, in what was answered and in what was not. The last one
    /// that was answered, from which the client goes on, is removed as well.
    fn change(&mut self) {
        let last = 2 * (PAGE * self.pages - 1);
        for number in [last - 100, last + 100] {
            for (number, name) in [(number, "Between"), (number, "After"), (number + 1, "Added")] {
                let contact = self.put(number, name);
                self.tell(&[contact], &[]);
            }
        }
        for number in [last - 50, last, last + 50] {
            if self.contacts.remove(&jid(number)).is_some() {
                self.tell(&[], &[jid(number)]);
            }
        }
    }

    fn page(&mut self, limit: usize, after: &str) -> Result<Value, ErrorObjectOwned> {
        if self.forgotten_after.is_some_and(|pages| self.pages >= pages) {
            return Err(ApiError::new(ErrorKind::AccountUnknown).into());
        }
        let rest: Vec<_> = self.contacts.range(after.to_owned()..).filter(|(jid, _)| *jid != after).collect();
        let contacts: Vec<_> = rest.iter().take(limit).map(|(_, contact)| (*contact).clone()).collect();
        let roster = json!({
            "account": ME, "source": "server", "seq": self.events.len(), "complete": rest.len() <= limit,
            "contacts": contacts,
        });
        self.pages += 1;
        self.change();
        Ok(roster)
    }
}

type Shared = Mutex<Changing>;

/// A running daemon.
struct Daemon {
    dir: TempDir,
    changing: Arc<Shared>,
    _server: ServerHandle,
}

impl Daemon {
    async fn start(forgotten_after: Option<usize>) -> Self {
        let changing = Arc::new(Mutex::new(Changing { forgotten_after, ..Changing::new() }));
        let mut module = RpcModule::from_arc(Arc::clone(&changing));
        let load_roster = |params: Params<'_>, changing: &Shared, _: &_| {
            let params = parse_params::<api::LoadRoster>(params.as_str())?;
            let limit = params.limit.unwrap().get() as usize;
            changing.lock().unwrap().page(limit, params.after.as_deref().unwrap_or_default())
        };
        let load_state = |params: Params<'_>, changing: &Shared, _: &_| {
            let params = parse_params::<api::LoadState>(params.as_str())?;
            let roster = changing.lock().unwrap().page(params.limit.unwrap().get() as usize, "")?;
            let info = json!({
                "account": ME, "state": "online", "since": "2026-01-31T08:15:00.000Z", "remembered": true,
                "availability": "available", "resources": [], "resourceCount": 0,
            });
            Ok::<_, ErrorObjectOwned>(json!({
                "seq": roster["seq"],
                "accounts": [{"info": info, "roster": roster, "subscriptionRequests": []}],
            }))
        };
        module.register_method("load_roster", load_roster).unwrap();
        module.register_method("load_state", load_state).unwrap();
        module.register_subscription("subscribe", "subscription", "unsubscribe", serve).unwrap();
        let server = Server::builder().build("127.0.0.1:0").await.unwrap();
        let dir = TempDir::new().unwrap();
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, TOKEN).unwrap();
        std::fs::set_permissions(&token_file, PermissionsExt::from_mode(0o600)).unwrap();
        let endpoint = Endpoint {
            url: Some(format!("ws://{}/rpc", front::open(TOKEN, server.local_addr().unwrap()).await)),
            socket: None,
            token_file,
            pid: 1,
            version: "0.1.0".to_owned(),
            api_level: 1,
        };
        std::fs::write(dir.path().join(FILE_NAME), serde_json::to_vec(&endpoint).unwrap()).unwrap();
        Self { dir, changing, _server: server.start(module) }
    }

    async fn client(&self) -> Client {
        Client::find(self.dir.path()).await.unwrap()
    }

    /// What a program shows that was given these contacts, and then the events after `seq`, must be what there is.
    async fn shows_the_truth(&self, contacts: Vec<Contact>, seq: u64) {
        let mut shown: BTreeMap<_, _> =
            contacts.into_iter().map(|contact| (contact.jid, contact.name)).collect();
        let params = SubscribeParams { since: Some(seq), ..SubscribeParams::default() };
        let mut follower = Follower::start(self.dir.path(), params).await.unwrap();
        let last = self.changing.lock().unwrap().events.len() as u64;
        while follower.seq() < last {
            let event = timeout(SOON, follower.next()).await.expect("in time").unwrap();
            let EventPayload::ContactChanged(change) = event.payload else { panic!("{event:?}") };
            shown.extend(change.contacts.into_iter().map(|contact| (contact.jid, contact.name)));
            change.removed.iter().for_each(|jid| drop(shown.remove(jid)));
        }
        let changing = self.changing.lock().unwrap();
        let name = |contact: &Value| contact["name"].as_str().unwrap().to_owned();
        let truth: BTreeMap<_, _> =
            changing.contacts.iter().map(|(jid, contact)| (jid.clone(), name(contact))).collect();
        assert_eq!((changing.pages, shown), (3, truth));
    }
}

async fn serve(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    changing: Arc<Shared>,
    _: jsonrpsee::Extensions,
) -> Result<(), SubscriptionError> {
    let since = parse_params::<api::Subscribe>(params.as_str()).unwrap().since.unwrap();
    let sink = pending.accept().await?;
    let events = changing.lock().unwrap().events[since as usize..].to_vec();
    for event in events {
        sink.send(SubscriptionMessage::new("contactChanged", sink.subscription_id(), &event)?).await?;
    }
    sink.closed().await;
    Ok(())
}

#[tokio::test]
async fn a_roster_that_changes_meanwhile_comes_out_right() {
    let daemon = Daemon::start(None).await;
    let roster = daemon.client().await.load_roster(None).await.unwrap();
    assert!(roster.complete);
    daemon.shows_the_truth(roster.contacts, roster.seq).await;
}

#[tokio::test]
async fn so_does_a_state() {
    let daemon = Daemon::start(None).await;
    let mut state = daemon.client().await.load_state(None).await.unwrap();
    let roster = state.accounts.remove(0).roster.unwrap();
    assert!(roster.complete);
    daemon.shows_the_truth(roster.contacts, state.seq).await;
}

#[tokio::test]
async fn an_account_that_is_forgotten_meanwhile_spoils_no_state() {
    let daemon = Daemon::start(Some(2)).await;
    let mut state = daemon.client().await.load_state(None).await.unwrap();
    let roster = state.accounts.remove(0).roster.unwrap();
    assert_eq!((roster.contacts.len(), roster.complete), (2 * PAGE, false));
}
