//! Everything a scenario test or the demo needs around the real `prosed` binary: real XMPP servers,
//! live contacts, a hostile server, and a user interface that sees the raw JSON.
//!
//! Nothing in here shares code with prosed: what both got wrong in the same way would go unseen.
//! All of it is for tests, so a failure panics with the reason and the logs that explain it.
//!
//! ```no_run
//! # async fn scenario() {
//! use prosed_tests::{Contact, Daemon, Kind, Server, Ui, server::Setup};
//! use serde_json::json;
//!
//! let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
//! let mut alice = Contact::online(&server, "alice").await;
//! let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
//! let ui = Ui::connect(&daemon).await;
//! ui.call("subscribe", json!({})).await.expect("subscribed");
//! ui.call("login", server.login("me")).await.expect("logged in");
//! alice.set_presence(Some("dnd"), Some("writing")).await;
//! ui.event("contactChanged", |e| e["contacts"][0]["status"] == "writing").await;
//! # }
//! ```

pub mod browser;
pub mod certificates;
pub mod challenge;
pub mod contact;
pub mod contract;
pub mod daemon;
pub mod faults;
pub mod hostile;
pub mod http;
pub mod inbox;
pub mod keyring;
pub mod metrics;
pub mod negative_controls;
pub mod png;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod scene;
pub mod server;
pub mod squatter;
pub mod stage;
pub mod ui;
pub mod xml;

pub use contact::{Contact, befriend};
pub use daemon::Daemon;
pub use keyring::Keyring;
pub use server::{Kind, Server};
pub use ui::Ui;

use std::time::Duration;

/// How long a test waits for something that must happen. Generous, since many tests share few cores: only a test that
/// is about to fail uses it up.
pub const PATIENCE: Duration = Duration::from_secs(20);
