//! The server restarts while contacts stay, leave and come back.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::expected::{Friend, server_roster, settled};
use super::view::{View, misnumbered};
use super::{Record, Scale, account_is, heard, spread};
use crate::Contact;
use crate::proxy::Proxy;
use crate::server::{Server, Setup};

/// The most connects that a returning server must accept (RFC 6120 §3.3).
const CONNECTS: usize = 8;
/// The period in which they are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// The longest wait after an outage of less than a minute, and a login.
const BACK_WITHIN: Duration = Duration::from_secs(80);
/// From online until everything is correct.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// Contacts of the account.
const FRIENDS: usize = 6;

/// Runs the row. Every tenth outage lasts a minute, others up to `longest`.
pub async fn run(scale: Scale, longest: Duration) -> Record {
    let name = |friend: usize| format!("friend{friend}");
    let setup = (0..FRIENDS).fold(Setup::new(scale.kind), |setup, friend| setup.friends("me", &name(friend)));
    let mut server = Server::start(setup).await;
    let (daemon, ui) = super::daemon(scale, &server).await;
    let proxy = Proxy::before(&server).await;
    let mut friends: Vec<_> = (0..FRIENDS).map(|friend| Friend::new(&server, &name(friend))).collect();
    let account = server.jid("me");
    let mut dice = StdRng::seed_from_u64(scale.seed);
    let mut record = Record::default();
    let (mut most, mut back, mut right) = (0, Vec::new(), Vec::new());
    let mut view: Option<View> = None;
    for time in 1..=scale.times {
        // A separate login each time: the first waits after a loss are the short ones.
        ui.call("login", proxy.login(&server, "me")).await.expect("logged in");
        for friend in &mut friends {
            friend.do_something(&mut dice).await;
        }
        let roster = server_roster(&server, "me").await;
        let (snapshot, _, wrong) = settled(&ui, &account, &roster, &friends, SETTLED_WITHIN).await;
        record.extend(format!("before restart {time}"), wrong);
        view.get_or_insert_with(|| View::new(&snapshot));

        let before = proxy.connections();
        let stopped = Instant::now();
        if time % 2 == 0 {
            server.stop().await
        } else {
            server.kill()
        }
        let away = if time % 10 == 0 { MINUTE } else { longest.mul_f64(dice.random()) };
        sleep_until(stopped + away).await;
        server.restart().await;
        let served = Instant::now();
        // Those who don't come back have left in the meantime.
        for friend in &mut friends {
            friend.lose();
            if dice.random() {
                friend.say(Some("away"), &format!("after restart {time}")).await;
            }
        }
        let elsewhere = Contact::connect(&server, "me").await;
        elsewhere.add_to_roster("stranger@prosed.test", Some(&format!("Stranger {time}")), &[]).await;
        elsewhere.vanish().await;
        let online = account_is(&ui, &account, "online", BACK_WITHIN).await;
        back.push(served.elapsed());
        let info = ui.call("get_account", json!({ "account": account })).await;
        record.expect(online, || format!("restart {time}: not back: {info:?}\n{}", daemon.log()));
        let roster = server_roster(&server, "me").await;
        let (_, took, wrong) = settled(&ui, &account, &roster, &friends, SETTLED_WITHIN).await;
        right.push(took);
        record.extend(format!("after restart {time}"), wrong);
        if away == MINUTE {
            sleep(Duration::from_secs(1)).await;
        }
        let accepted = proxy.accepted();
        let connects =
            first_minute(accepted.iter().skip(before).map(|at| at.duration_since(stopped.into_std())));
        most = most.max(connects);
        record.expect(connects <= CONNECTS, || format!("restart {time}: {connects} connects in a minute"));
        ui.call("logout", json!({ "account": account })).await.expect("logged out");
    }
    let roster = ui.call("load_roster", json!({ "account": account })).await.expect("a roster");
    let events = heard(&ui, roster["seq"].as_u64().unwrap_or_default()).await;
    record.extend("numbers", misnumbered(&events, 0));
    if let Some(view) = &mut view {
        let wrong: Vec<_> = events.iter().flat_map(|event| view.apply(event)).collect();
        record.extend("events", wrong);
        record.extend("events", view.differs_from(&roster));
    }
    record.figure(format!("{} restarts, at most {most} connects in the first minute", scale.times));
    record.figure(format!("online after the server served: {}", spread(&mut back)));
    record.figure(format!("all true after that: {}", spread(&mut right)));
    record.figure(format!("{} events", events.len()));
    record
}

/// How many of these times are within a minute of the loss.
fn first_minute(since: impl Iterator<Item = Duration>) -> usize {
    since.filter(|since| *since <= MINUTE).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_tries_each_second_is_found() {
        assert!(first_minute((1..100).map(Duration::from_secs)) > CONNECTS);
        assert_eq!(first_minute([1, 3, 7, 15, 31, 63].map(Duration::from_secs).into_iter()), 5);
    }
}
