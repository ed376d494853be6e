//! What retrying cannot fix: a wrong password, and another client that takes our resource.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Record, Scale, account_is, daemon, spread};
use crate::Contact;
use crate::proxy::{Proxy, Way};
use crate::server::{Server, Setup};

/// A refusal is reported within this time.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Longer than the first wait of any back-off: a client that retries has done so by then.
const TEMPTATION: Duration = Duration::from_secs(4);

/// Wrong passwords: one connection each, a typed error in time, and nothing after it.
pub async fn wrong_password(scale: Scale) -> Record {
    let server = Server::start(Setup::new(scale.kind).account("me")).await;
    let (_daemon, ui) = daemon(scale, &server).await;
    // Remembered: for any other account, a failed login leaves nothing to retry.
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.call("logout", json!({})).await.expect("logged out");
    let proxy = Proxy::before(&server).await;
    let mut dice = StdRng::seed_from_u64(scale.seed);
    let mut record = Record::default();
    let mut told = Vec::new();
    for time in 0..scale.times {
        let mut login = proxy.login(&server, "me");
        login["password"] = format!("guess {}", dice.random::<u32>()).into();
        let begun = Instant::now();
        let answer = ui.call("login", login).await;
        told.push(begun.elapsed());
        record.expect(begun.elapsed() <= TOLD_WITHIN, || format!("told after {:?}", begun.elapsed()));
        let kind = answer.as_ref().map_err(|error| error.kind().to_owned());
        record.expect(kind == Err("notAuthorized".to_owned()), || format!("not refused: {answer:?}"));
        record.extend("attempts", too_many(&proxy, time + 1));
    }
    sleep(TEMPTATION).await;
    record.extend("attempts, later", too_many(&proxy, scale.times));
    record.figure(format!("{} passwords, {} connections", scale.times, proxy.connections()));
    record.figure(format!("told: {}", spread(&mut told)));
    record
}

/// Another client binds our resource: we do not take it back.
pub async fn conflict(scale: Scale) -> Record {
    let server = Server::start(Setup::new(scale.kind).account("me")).await;
    let (_daemon, ui) = daemon(scale, &server).await;
    let mut record = Record::default();
    let mut connections = 0;
    for time in 0..scale.times {
        let proxy = Proxy::before(&server).await;
        let mut login = proxy.login(&server, "me");
        login["resource"] = "desk".into();
        ui.call("login", login).await.expect("logged in");
        let other = Contact::connect_as(&server, "me", "desk", Default::default()).await;
        let stopped = account_is(&ui, &server.jid("me"), "failed", Duration::from_secs(5)).await;
        sleep(TEMPTATION).await;
        let info = ui.call("get_account", json!({})).await.expect("an account");
        record.expect(stopped && info["error"]["data"]["kind"] == "sessionReplaced", || {
            format!("conflict {time}: {info}")
        });
        // The existing one is the first.
        record.extend(format!("conflict {time}"), too_many(&proxy, 2));
        connections += proxy.connections() - 1;
        if other.is_connected() {
            other.disconnect().await;
        } else {
            record.extend(format!("conflict {time}"), ["the other client was thrown out in turn".to_owned()]);
        }
    }
    record.figure(format!("{} conflicts, {connections} reconnects", scale.times));
    record
}

/// What is wrong with a proxy that carried more connections than these.
fn too_many(proxy: &Proxy, most: usize) -> Option<String> {
    let (count, bytes) = (proxy.connections(), proxy.bytes(Way::Up));
    (count > most).then(|| format!("{count} connections, {bytes} bytes sent, where {most} would do"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn one_attempt_too_many_is_found() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Proxy::to(upstream.local_addr().expect("bound")).await;
        let _one = TcpStream::connect(("127.0.0.1", proxy.port)).await.expect("it listens");
        upstream.accept().await.expect("carried");
        assert_eq!(too_many(&proxy, 1), None);
        let _two = TcpStream::connect(("127.0.0.1", proxy.port)).await.expect("it listens");
        upstream.accept().await.expect("carried");
        assert!(too_many(&proxy, 1).is_some());
    }
}
