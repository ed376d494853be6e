//! The stream against a scripted server.

mod ahead;
mod begin;
mod binding;
mod login;
mod management;
mod marks;
mod round_trips;
mod sasl2;
mod server;
mod session;
mod tickets;

use futures::FutureExt;
use tokio::time::timeout;
use xmpp_parsers::iq::Iq;

use self::server::{PATIENCE, Server};
use super::*;
use crate::config::TlsMode;

pub(super) fn settings(account: &str, host: Option<&str>, port: Option<u16>, tls: TlsMode) -> Settings {
    Settings {
        account: account.parse().unwrap(),
        resource: None,
        host: host.map(str::to_owned),
        port,
        tls,
        pins: Pins::default(),
        accept_downgrade: false,
        bind2: false,
        tls_config: tls_config(None).unwrap(),
    }
}

/// The next event but [`StreamEvent::Waiting`].
async fn next(stream: &mut Stream) -> StreamEvent {
    loop {
        match timeout(PATIENCE, stream.next()).await.expect("nothing happens") {
            StreamEvent::Waiting { .. } => {}
            event => {
                stream.handled();
                return event;
            }
        }
    }
}

/// The next event's name, and what matters of it.
async fn event(stream: &mut Stream) -> String {
    match next(stream).await {
        StreamEvent::Authenticated { keys, .. } => format!("authenticated, keys: {}", keys.is_some()),
        StreamEvent::Online { jid, .. } => format!("online {jid}"),
        StreamEvent::Resumed { .. } => "resumed".to_owned(),
        StreamEvent::Suspended => "suspended".to_owned(),
        StreamEvent::Waiting { .. } => unreachable!("next passes over it"),
        StreamEvent::Stanza(stanza) => String::from(&minidom::Element::from(*stanza)),
        StreamEvent::ConnectFailed { error, retry_at } => {
            format!("failed, again: {}, {error:?}", retry_at.is_some())
        }
        StreamEvent::Acknowledged(marks) => format!("acknowledged {}", numbers(&marks)),
        StreamEvent::Unsent(Unsent { doubtful, unwritten }) => {
            format!("unsent, doubtful: {}, unwritten: {}", numbers(&doubtful), numbers(&unwritten))
        }
        StreamEvent::Ended => "ended".to_owned(),
    }
}

fn numbers(marks: &[Mark]) -> String {
    marks.iter().map(|mark| mark.0.to_string()).collect::<Vec<_>>().join(" ")
}

/// Expects an attempt to fail with this error.
async fn failure(stream: &mut Stream) -> (ConnectError, bool) {
    match next(stream).await {
        StreamEvent::ConnectFailed { error, retry_at } => (error, retry_at.is_some()),
        StreamEvent::Online { .. } => panic!("online"),
        _ => panic!("something else happened"),
    }
}

/// Expects the stream to have given up for good.
async fn ended(mut stream: Stream, server: &Server) {
    assert!(matches!(next(&mut stream).await, StreamEvent::Ended));
    timeout(PATIENCE, stream.close()).await.unwrap();
    assert!(server.is_left_alone(), "a second attempt");
}
