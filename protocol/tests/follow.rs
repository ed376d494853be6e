//! The client's events that go on by themselves, against servers that come and go as the test wants.
#![cfg(feature = "client")]
#![allow(missing_docs, clippy::unwrap_used)]

mod front;

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{RpcModule, Server, ServerHandle, SubscriptionMessage};
use jsonrpsee::types::ErrorObjectOwned;
use prosed_protocol::client::{ClientError, Follower};
use prosed_protocol::endpoint::{Endpoint, FILE_NAME};
use prosed_protocol::{ApiError, ErrorKind, Event, EventName, SubscribeParams, api, parse_params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

const TOKEN: &str = "c2VjcmV0";
const SOON: Duration = Duration::from_secs(20);

/// A daemon's event log, which outlives its servers.
struct Log {
    oldest: AtomicU64,
    newest: watch::Sender<u64>,
    /// Behind this one, a subscription is told that it is too slow: once.
    lag_at: AtomicU64,
    /// What was asked for.
    asked: Mutex<Vec<SubscribeParams>>,
}

impl Log {
    fn check(&self, since: u64) -> Result<(), ErrorObjectOwned> {
        let oldest = self.oldest.load(Ordering::SeqCst);
        if since + 1 < oldest || since > *self.newest.borrow() {
            return Err(ApiError::cursor_expired(oldest).into());
        }
        Ok(())
    }
}

struct Daemon {
    dir: TempDir,
    log: Arc<Log>,
    server: Option<ServerHandle>,
}

impl Daemon {
    /// With the events from `oldest` to `newest` retained.
    async fn start(oldest: u64, newest: u64) -> Self {
        let log = Log {
            oldest: oldest.into(),
            newest: watch::Sender::new(newest),
            lag_at: 0.into(),
            asked: Mutex::default(),
        };
        let mut daemon = Self { dir: TempDir::new().unwrap(), log: Arc::new(log), server: None };
        daemon.open().await;
        daemon
    }

    /// On another port than before.
    async fn open(&mut self) {
        let mut module = RpcModule::from_arc(Arc::clone(&self.log));
        module
            .register_method("get_events", |params, log, _| {
                let params = parse_params::<api::GetEvents>(params.as_str())?;
                assert_eq!((params.since, params.timeout), (None, None));
                Ok::<_, ErrorObjectOwned>(json!({"events": [], "seq": *log.newest.borrow()}))
            })
            .unwrap();
        module.register_subscription("subscribe", "subscription", "unsubscribe", serve).unwrap();
        let server = Server::builder().build("127.0.0.1:0").await.unwrap();
        let token_file = self.dir.path().join("token");
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
        self.server = Some(server.start(module));
        std::fs::write(self.dir.path().join(FILE_NAME), serde_json::to_vec(&endpoint).unwrap()).unwrap();
    }

    async fn close(&mut self) {
        let server = self.server.take().unwrap();
        std::fs::remove_file(self.dir.path().join(FILE_NAME)).unwrap();
        server.stop().unwrap();
        server.stopped().await;
    }

    fn happen(&self, count: u64) {
        self.log.newest.send_modify(|newest| *newest += count);
    }

    async fn follow(&self, since: Option<u64>) -> Result<Follower, ClientError> {
        let params = SubscribeParams {
            events: Some(vec![EventName::RosterLoaded]),
            account: Some("me@example.org".to_owned()),
            since,
        };
        Follower::start(self.dir.path(), params).await
    }
}

async fn serve(
    params: jsonrpsee::types::Params<'static>,
    pending: jsonrpsee::core::server::PendingSubscriptionSink,
    log: Arc<Log>,
    _: jsonrpsee::Extensions,
) -> Result<(), SubscriptionError> {
    let params = parse_params::<api::Subscribe>(params.as_str()).unwrap();
    let since = params.since.unwrap();
    log.asked.lock().unwrap().push(params);
    if let Err(error) = log.check(since) {
        pending.reject(error).await;
        return Ok(());
    }
    let sink = pending.accept().await?;
    let mut newest = log.newest.subscribe();
    let mut at = since;
    loop {
        tokio::select! {
            () = sink.closed() => return Ok(()),
            _ = newest.wait_for(|newest| *newest > at) => {}
        }
        at += 1;
        let event = json!({"event": "rosterLoaded", "seq": at, "time": "2026-01-31T09:00:12.250Z",
                           "account": "me@example.org", "changed": 2});
        sink.send(SubscriptionMessage::new("rosterLoaded", sink.subscription_id(), &event)?).await?;
        if log.lag_at.compare_exchange(at, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            let end = serde_json::value::to_raw_value(&ApiError::lagged(at))?;
            return Err(SubscriptionError::from_json(end));
        }
    }
}

async fn next(follower: &mut Follower) -> Result<Event, ClientError> {
    timeout(SOON, follower.next()).await.expect("in time")
}

/// The next events are these, each once.
async fn expect(follower: &mut Follower, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        assert_eq!(next(follower).await.unwrap().seq, seq);
        assert_eq!(follower.seq(), seq);
    }
}

#[tokio::test]
async fn a_lost_connection_loses_nothing_and_doubles_nothing() {
    let mut daemon = Daemon::start(1, 40).await;
    let mut follower = daemon.follow(Some(38)).await.unwrap();
    expect(&mut follower, 39..=40).await;
    daemon.close().await;
    daemon.happen(2);
    // Somebody who does other things as well.
    for _ in 0..20 {
        assert!(timeout(Duration::from_millis(10), follower.next()).await.is_err(), "nobody is there");
    }
    daemon.open().await;
    daemon.happen(1);
    expect(&mut follower, 41..=43).await;
    let asked = daemon.log.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().map(|params| params.since).collect::<Vec<_>>(), [Some(38), Some(40)]);
    assert!(asked.iter().all(|params| params.events == asked[0].events && params.account.is_some()));
}

#[tokio::test]
async fn what_comes_before_the_first_event_is_not_lost_either() {
    let mut daemon = Daemon::start(7, 40).await;
    let mut follower = daemon.follow(None).await.unwrap();
    daemon.close().await;
    daemon.happen(2);
    daemon.open().await;
    expect(&mut follower, 41..=42).await;
}

#[tokio::test]
async fn one_that_stops_waiting_misses_nothing() {
    let daemon = Daemon::start(1, 0).await;
    let mut follower = daemon.follow(None).await.unwrap();
    let mut seen = 0;
    while seen < 200 {
        daemon.happen(1);
        if let Ok(event) = timeout(Duration::from_micros(50), follower.next()).await {
            seen += 1;
            assert_eq!(event.unwrap().seq, seen);
        }
    }
}

#[tokio::test]
async fn too_slow_is_a_reason_to_go_on() {
    let daemon = Daemon::start(1, 40).await;
    daemon.log.lag_at.store(42, Ordering::SeqCst);
    let mut follower = daemon.follow(Some(40)).await.unwrap();
    daemon.happen(4);
    expect(&mut follower, 41..=44).await;
    assert_eq!(daemon.log.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_daemon_that_forgot_is_told_of_once() {
    let mut daemon = Daemon::start(1, 40).await;
    let mut follower = daemon.follow(Some(39)).await.unwrap();
    expect(&mut follower, 40..=40).await;
    daemon.close().await;
    daemon.log.oldest.store(1001, Ordering::SeqCst);
    daemon.log.newest.send_replace(1002);
    daemon.open().await;
    let error = next(&mut follower).await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::CursorExpired));
    assert_eq!(error.data().unwrap().oldest, Some(1001));
    // What is there, for those who load no snapshot.
    expect(&mut follower, 1001..=1002).await;

    daemon.close().await;
    daemon.log.oldest.store(2001, Ordering::SeqCst);
    daemon.log.newest.send_replace(2005);
    daemon.open().await;
    assert_eq!(next(&mut follower).await.unwrap_err().kind(), Some(ErrorKind::CursorExpired));
    follower.resume_from(2003);
    expect(&mut follower, 2004..=2005).await;
}

#[tokio::test]
async fn a_wrong_start_is_an_error_at_once() {
    let mut daemon = Daemon::start(11, 40).await;
    let error = daemon.follow(Some(5)).await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::CursorExpired));
    daemon.close().await;
    let error = daemon.follow(None).await.unwrap_err();
    assert!(matches!(error, ClientError::Endpoint(_)), "{error}");
}

#[tokio::test]
async fn events_of_another_shape_are_passed_over_by_the_next_call() {
    let daemon = Daemon::start(1, 40).await;
    let params = json!({"since": 39}).as_object().unwrap().clone();
    let mut follower = Follower::<Vec<Value>>::start_raw(daemon.dir.path(), params).await.unwrap();
    daemon.happen(1);
    for seq in [40, 41] {
        let error = timeout(SOON, follower.next()).await.expect("in time").unwrap_err();
        assert!(matches!(error, ClientError::Unexpected(_)), "{error}");
        assert_eq!(follower.seq(), seq);
    }
}

/// Who looks for a daemon that is away does so a few times a second, and then ever less.
#[tokio::test]
async fn a_daemon_that_fails_is_not_stormed() {
    let mut daemon = Daemon::start(1, 0).await;
    let mut follower = daemon.follow(None).await.unwrap();
    daemon.close().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = json!({"url": format!("ws://{}/rpc", listener.local_addr().unwrap()), "pid": 1,
                          "token_file": daemon.dir.path().join("token"), "version": "0", "apiLevel": 1});
    std::fs::write(daemon.dir.path().join(FILE_NAME), endpoint.to_string()).unwrap();
    let mut knocks = 0;
    let knocked = async {
        loop {
            drop(listener.accept().await.unwrap());
            knocks += 1;
        }
    };
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(2)) => {}
        event = follower.next() => panic!("{event:?}"),
        () = knocked => {}
    }
    assert!((2..=7).contains(&knocks), "{knocks} attempts in two seconds");
}
