//! The same on real servers, which are the bottleneck there. S5: the time to the roster.

use std::time::Duration;

use prosed_benches::play::{self, Level, ONE_ONLINE_OF, Play};
use prosed_tests::contact::VCARD4;
use prosed_tests::server::{Passwords, Setup};
use prosed_tests::{Contact, Daemon, Kind, Server};
use serde_json::Value;
use tokio::time::sleep;

use crate::figures::{Row, Sample};
use crate::peers;
use crate::process::{Target, outcome};
use crate::startup::{Figure, cpu, middle, prosed_cold, ratios, wall};

/// The account that has the contacts.
const ME: &str = "me";

/// ejabberd 23.01 offers channel binding over TLS 1.3 but refuses clients that use it. bare tokio-xmpp does, and
/// retries without end. So the offer is switched off; Prosody makes none either.
const NO_BINDING: &str = r#"
host_config:
  prosed.test:
    disable_sasl_mechanisms:
      - "digest-md5"
      - "X-OAUTH2"
      - "SCRAM-SHA-1-PLUS"
      - "SCRAM-SHA-256-PLUS"
      - "SCRAM-SHA-512-PLUS"
"#;

/// Clients that disconnected uncleanly must be gone before the next one connects.
const NO_RESUMPTION: &str = "smacks_hibernation_time = 1";

fn contact(number: usize) -> String {
    format!("c{number}")
}

/// A server set up as a play says, with those of its contacts who are online.
async fn stage(kind: Kind, play: &Play) -> (Server, Vec<Contact>) {
    let setup = Setup::new(kind).passwords(Passwords::Plain).config(match kind {
        Kind::Prosody => NO_RESUMPTION,
        Kind::Ejabberd => NO_BINDING,
    });
    let setup = (0..play.contacts).fold(setup, |setup, number| setup.friends(ME, &contact(number)));
    let server = Server::start(setup).await;
    let mut online = Vec::new();
    for number in 0..play.contacts {
        let stays = number % ONE_ONLINE_OF == 0;
        if !stays && play.level == Level::A {
            continue;
        }
        let mut one = Contact::connect(&server, &contact(number)).await;
        if play.level == Level::B {
            one.publish_avatar(&play::avatar(number)).await;
            one.publish_vcard4(VCARD4, &format!("<fn><text>Full Name {number}</text></fn>")).await;
        }
        if stays {
            one.set_presence(Some("away"), Some("there")).await;
            online.push(one);
        } else {
            one.disconnect().await;
        }
    }
    (server, online)
}

fn target(server: &Server, play: &Play) -> (Target, Value) {
    let login = server.login_direct(ME);
    let password = login["password"].as_str().unwrap_or_default().to_owned();
    let target = Target {
        port: server.direct_port,
        ca: server.ca_pem.clone(),
        domain: server.domain.to_owned(),
        account: ME.to_owned(),
        password,
        play: play.clone(),
    };
    (target, login)
}

/// S1's runs and S5 on one server.
pub(crate) async fn rows(kind: Kind, play: &Play, times: usize, quiet: Duration) -> Vec<Row> {
    let (server, _online) = stage(kind, play).await;
    let (target, login) = target(&server, play);
    let (mut floor, mut bare, mut slixmpp, mut prosed) = <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    // When a client disconnects, the server notifies all contacts, which takes Prosody up to half a second. The next
    // client should not wait for that.
    for _ in 0..times {
        sleep(quiet).await;
        floor.push(outcome("floor", &target.run("floor", &[])));
        sleep(quiet).await;
        bare.extend(target.try_run("bare").map(|printed| outcome("bare", &printed)));
        // Once is enough to see that it never finishes.
        if peers::python().is_some() && slixmpp.len() + 1 == floor.len() {
            sleep(quiet).await;
            slixmpp.extend(peers::slixmpp(&target));
        }
        let daemon = Daemon::start(Daemon::setup().trust(&server).environment("RUST_LOG", "info")).await;
        sleep(quiet).await;
        prosed.push(prosed_cold(login.clone(), &daemon, play, quiet).await);
    }
    let text = |figure: Figure| {
        let figures = [("floor", &floor), ("bare", &bare), ("slixmpp", &slixmpp), ("prosed", &prosed)];
        let known = figures.into_iter().filter(|(_, outcomes)| !outcomes.is_empty());
        let known: Vec<_> =
            known.map(|(name, outcomes)| format!("{name} {}", middle(outcomes, figure))).collect();
        format!("{} ms", known.join(", "))
    };
    let row = |goal, what: &str, figure: Figure, result: Sample, unit, at_most| Row {
        goal,
        what: format!("{kind:?}, {:?} {}, {what}", play.level, play.contacts),
        figures: text(figure),
        result,
        unit,
        at_most,
    };
    let roster: Figure = |outcome| outcome.roster_ms;
    let is_goal = kind == Kind::Prosody && play.level == Level::B;
    let mut rows = Vec::new();
    // If it can't do this, it is left out of the table.
    if bare.len() == times {
        rows.push(row("S1", "cold start, wall", wall, ratios(&prosed, &bare, wall), "× bare", None));
        rows.push(row("S1", "cold start, CPU", cpu, ratios(&prosed, &bare, cpu), "× bare", None));
    }
    rows.push(row(
        "S5",
        "first roster",
        roster,
        ratios(&prosed, &floor, roster),
        "× floor",
        is_goal.then_some(1.2),
    ));
    rows
}
