//! A scene for the clients' own tests, in any language: a daemon that is logged in, a friend who acts, and a
//! connection to cut.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::metrics::Scrape;
use crate::proxy::{Cut, Proxy, Way};
use crate::server::Setup;
use crate::{Contact, Daemon, Kind, PATIENCE, Server, Ui, png};

/// Where the daemon listens: the same port of 127.0.0.1 is free for the proxy.
const APART: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Everything that a client's tests can request.
pub struct Scene {
    server: Server,
    /// The friend, who is online.
    pub alice: Contact,
    /// Logged in as `me`.
    pub daemon: Daemon,
    /// In front of the daemon's port.
    proxy: Proxy,
    /// Watches each life of the daemon, to know what has really happened.
    watchers: Vec<Ui>,
}

impl Scene {
    /// A server, a friend with a picture, and a daemon that is logged in.
    pub async fn set() -> Self {
        let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice").account("bob")).await;
        let alice = Contact::online(&server, "alice").await;
        let picture = png::solid(2, 2, [200, 80, 40]);
        alice.publish_avatar(&picture).await;
        let proxy = Proxy::beside(APART).await;
        let listen = format!("{APART}:{}", proxy.port);
        let daemon = Daemon::start(Daemon::setup().trust(&server).listen(&listen)).await;
        proxy.answer_challenges(daemon.token_file());
        let watcher = watcher(&daemon).await;
        watcher.call("login", server.login("me")).await.expect("logged in");
        watcher.contact(&alice.jid, |contact| contact["avatar"].is_object()).await;
        Self { server, alice, daemon, proxy, watchers: vec![watcher] }
    }

    /// Carries out the requested action to its end.
    pub async fn make_happen(&mut self, wish: Value) -> Value {
        match wish["name"].as_str().expect("a name") {
            "where" => {
                return json!({
                    "me": self.server.jid("me"), "alice": self.alice.jid, "token": self.daemon.token(),
                    "url": self.daemon.endpoint()["url"], "runtimeDir": self.daemon.runtime_dir(),
                    "proxied": format!("ws://127.0.0.1:{}/rpc", self.proxy.port),
                });
            }
            "presence" => {
                let status = wish["status"].as_str().expect("a status");
                self.alice.set_presence(wish["show"].as_str(), Some(status)).await;
                if wish["wait"] != false {
                    self.watcher().contact(&self.alice.jid, |contact| contact["status"] == status).await;
                }
            }
            "flood" => self.flood(wish["times"].as_u64().expect("a number")).await,
            "cut" => {
                let until = self.proxy.broken() + self.proxy.live();
                self.proxy.cut();
                // One that has ended on its own in the meantime is not counted.
                let cut = async {
                    while self.proxy.broken() < until {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let _ended = tokio::time::timeout(Duration::from_secs(1), cut).await;
            }
            "cut_next" => {
                let after = wish["after"].as_u64().expect("a number");
                self.proxy.cut_next(Cut { way: Way::Down, after, reset: true });
            }
            "refuse" => self.proxy.refuse(),
            "stall" => self.proxy.stall(),
            "flow" => self.proxy.flow(),
            "kill" => self.daemon.kill(),
            "start" => {
                self.daemon.restart().await;
                self.watchers.push(watcher(&self.daemon).await);
            }
            "knocks" => return self.proxy.connections().into(),
            "watching" => {
                return Scrape::of(&self.daemon).await.value("prosed_watching_connections", &[]).into();
            }
            "carried" => return self.proxy.bytes(Way::Down).into(),
            "heard" => return self.heard(&wish).await,
            other => panic!("nobody knows how to make this happen: {other}"),
        }
        Value::Null
    }

    fn watcher(&self) -> &Ui {
        self.watchers.last().expect("one at least")
    }

    /// Changes to our own presence with the longest possible status, which nobody else can cause: 128 kB of events
    /// each time, of which a daemon retains about 130 times.
    async fn flood(&mut self, times: u64) {
        for number in 0..times * 8 {
            let status = format!("{number:04}{}", "\u{1f30a}".repeat(3_996));
            let said =
                self.watcher().call("set_presence", json!({ "availability": "chat", "status": status }));
            said.await.expect("said");
        }
    }

    /// The events in a range of `seq`, once they are all here.
    async fn heard(&self, wish: &Value) -> Value {
        let (since, until) = (wish["since"].as_u64().expect("a seq"), wish["until"].as_u64().expect("a seq"));
        let seq = |event: &Value| event["seq"].as_u64().unwrap_or_default();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let events: Vec<_> = self.watchers.iter().flat_map(Ui::events).collect();
            if events.iter().any(|event| seq(event) >= until) {
                let named = |event: &Value| wish["event"].is_null() || wish["event"] == event["event"];
                let range = |event: &Value| (since + 1..=until).contains(&seq(event));
                return events.into_iter().filter(|event| range(event) && named(event)).collect();
            }
            assert!(tokio::time::Instant::now() < deadline, "no event {until}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Receives everything that the daemon does, including what happened before it connected.
async fn watcher(daemon: &Daemon) -> Ui {
    let watcher = Ui::connect(daemon).await;
    let expired = watcher.call("get_events", json!({ "since": 0 })).await.err();
    let oldest = expired.and_then(|error| error.data["oldest"].as_u64()).unwrap_or(1);
    watcher.subscribe(json!({ "since": oldest - 1 })).await;
    watcher
}
