//! Connections cut at random bytes, during start-up and after, while contacts continue to change.
//!
//! At the end, settled sessions lose their connection while contacts and the roster change, and all of them must be
//! resumed.
//!
//! Many accounts in one daemon are cut at the same time, since each waits longer after each loss. One subscription
//! watches all of them: its numbers must have no gap, and what it reported must match what the daemon says at the
//! end, which must match the server and the contacts.

use std::ops::ControlFlow;
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::expected::{Friend, server_roster, settled};
use super::view::{View, misnumbered};
use super::{Record, Scale, account_is};
use crate::metrics::Scrape;
use crate::proxy::{Cut, Proxy, Way};
use crate::server::{Server, Setup};
use crate::{Contact, Daemon, Ui};

/// Accounts at once.
const LANES: usize = 25;
/// Cuts per login. After five losses an account waits up to a minute.
const PER_LOGIN: usize = 5;
/// Longer than the longest wait after [`PER_LOGIN`] losses, 64 s, and a login.
const BACK_WITHIN: Duration = Duration::from_secs(80);
/// If a cut was not reached after this long on a connection, it is made at once.
const LIVES: Duration = Duration::from_millis(1500);
/// Outages of a settled session that each account goes through at the end.
const OUTAGES: usize = 3;
/// What follows the login has settled within this time.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

struct Lane {
    account: String,
    name: String,
    proxy: Proxy,
    /// Subscribed to nothing: another UI gets the events.
    ui: Ui,
    friends: Vec<Friend>,
    /// Changes the roster from another device.
    elsewhere: Contact,
    view: View,
    dice: StdRng,
    record: Record,
    cuts: usize,
    back: Vec<Duration>,
}

/// Runs the row.
pub async fn run(scale: Scale) -> Record {
    let lanes = (scale.times / 3).clamp(1, LANES);
    let each = scale.times.div_ceil(lanes);
    let setup = (0..lanes).fold(Setup::new(scale.kind), |setup, lane| {
        let me = format!("me{lane}");
        setup.friends(&me, &format!("anna{lane}")).friends(&me, &format!("ben{lane}"))
    });
    let server = Server::start(setup).await;
    let daemon = Daemon::start(scale.setup().trust(&server).config("log = \"info\"")).await;
    let watching = super::watching(&daemon).await;
    let mut all = Vec::new();
    for lane in 0..lanes {
        all.push(open(&server, &daemon, lane, scale.seed).await);
    }
    // The size of a start-up, so that cuts fall into it and a little after.
    let size = |way| all.iter().map(|lane: &Lane| lane.proxy.bytes(way)).max().unwrap_or_default() * 3 / 2;
    let (up, down) = (size(Way::Up), size(Way::Down));
    let server = &server;
    join_all(all.iter_mut().map(|lane| async move {
        let mut left = each;
        while left > 0 {
            let now = left.min(PER_LOGIN);
            left -= now;
            lane.login_and_cut(server, now, up, down).await;
            lane.log_out().await;
        }
    }))
    .await;

    let mut record = Record::default();
    join_all(all.iter_mut().map(|lane| lane.log_in(server))).await;
    let before = Scrape::of(&daemon).await;
    for _ in 0..OUTAGES {
        join_all(all.iter_mut().map(|lane| lane.outage(server))).await;
    }
    let after = Scrape::of(&daemon).await;
    let count = |scrape: &Scrape, outcome| scrape.value("prosed_reconnects_total", &[("outcome", outcome)]);
    let of = |outcome| count(&after, outcome) - count(&before, outcome);
    record.extend("outages", not_resumed(of("resumed"), of("new"), lanes * OUTAGES));
    record.figure(format!("{} outages, {} sessions resumed", lanes * OUTAGES, of("resumed")));
    join_all(all.iter_mut().map(Lane::log_out)).await;

    let mut newest = 0;
    let mut rosters = Vec::new();
    for lane in &all {
        let roster = lane.ui.call("load_roster", json!({ "account": lane.account })).await;
        let roster = roster.unwrap_or_else(|error| panic!("no roster of {}: {error:?}", lane.account));
        newest = newest.max(roster["seq"].as_u64().unwrap_or_default());
        rosters.push(roster);
    }
    let events = super::heard(&watching, newest).await;
    record.extend("numbers", misnumbered(&events, 0));
    let mut back: Vec<_> = all.iter().flat_map(|lane| lane.back.clone()).collect();
    record.figure(format!("{} cuts of {lanes} accounts", all.iter().map(|lane| lane.cuts).sum::<usize>()));
    record.figure(format!("{} connections", all.iter().map(|lane| lane.proxy.connections()).sum::<usize>()));
    record.figure(format!("{} events", events.len()));
    record.figure(format!("all true again after the last login: {}", super::spread(&mut back)));
    for (mut lane, roster) in all.into_iter().zip(rosters) {
        let wrong: Vec<_> = events.iter().flat_map(|event| lane.view.apply(event)).collect();
        record.extend(&lane.account, wrong);
        record.extend(&lane.account, lane.view.differs_from(&roster));
        record.violations.append(&mut lane.record.violations);
    }
    record
}

/// Both servers keep a session for minutes: each outage ends with a resumption.
fn not_resumed(resumed: f64, new: f64, outages: usize) -> Option<String> {
    let fits = new == 0.0 && resumed >= outages as f64;
    (!fits)
        .then(|| format!("after {outages} outages {resumed} sessions were resumed, and {new} were new ones"))
}

/// Logs an account in once, without a fault, and out again.
async fn open(server: &Server, daemon: &Daemon, number: usize, seed: u64) -> Lane {
    let name = format!("me{number}");
    let proxy = Proxy::before(server).await;
    let ui = Ui::connect(daemon).await;
    let account = server.jid(&name);
    ui.call("login", proxy.login(server, &name)).await.expect("logged in");
    let friends =
        vec![Friend::new(server, &format!("anna{number}")), Friend::new(server, &format!("ben{number}"))];
    let roster = server_roster(server, &name).await;
    let (snapshot, _, wrong) = settled(&ui, &account, &roster, &friends, SETTLED_WITHIN).await;
    assert!(wrong.is_empty(), "not even without faults: {wrong:?}");
    ui.call("logout", json!({ "account": account })).await.expect("logged out");
    Lane {
        elsewhere: Contact::connect_as(server, &name, "elsewhere", Default::default()).await,
        view: View::new(&snapshot),
        dice: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
        account,
        name,
        proxy,
        ui,
        friends,
        record: Record::default(),
        cuts: 0,
        back: Vec::new(),
    }
}

impl Lane {
    /// One login, cut this many times before it may stay; then everything must be correct.
    async fn login_and_cut(&mut self, server: &Server, cuts: usize, up: u64, down: u64) {
        self.arm(up, down);
        let mut login = self.ui.send_call("login", self.proxy.login(server, &self.name)).await;
        for cut in 1..=cuts {
            match self.until_cut().await {
                ControlFlow::Continue(()) => self.cuts += 1,
                ControlFlow::Break(why) => return self.record.extend(&self.account, [why]),
            }
            if cut < cuts {
                self.arm(up, down);
            }
        }
        if !self.connected_again().await {
            let info = self.ui.call("get_account", json!({ "account": self.account })).await;
            return self
                .record
                .extend(&self.account, [format!("no connection after the last cut: {info:?}")]);
        }
        let mut tries = 0;
        while let Err(error) = self.ui.answer(&login).await {
            // It waits 30 s, which cuts may consume.
            tries += 1;
            if error.kind() != "serverUnreachable" || tries > 2 {
                return self.record.extend(&self.account, [format!("a cut made the login fail: {error:?}")]);
            }
            login = self.ui.send_call("login", self.proxy.login(server, &self.name)).await;
        }
        if !account_is(&self.ui, &self.account, "online", BACK_WITHIN).await {
            let info = self.ui.call("get_account", json!({ "account": self.account })).await;
            return self.record.extend(&self.account, [format!("not back: {info:?}")]);
        }
        let roster = server_roster(server, &self.name).await;
        let (_, took, wrong) = settled(&self.ui, &self.account, &roster, &self.friends, SETTLED_WITHIN).await;
        self.back.push(took);
        if !wrong.is_empty() {
            let info = self.ui.call("get_account", json!({ "account": self.account })).await;
            self.record.extend(&self.account, [format!("not true, while {info:?}\n{}", server.log())]);
        }
        self.record.extend(format!("{} after {} cuts", self.account, self.cuts), wrong);
    }

    /// Logs in, with nothing in between.
    async fn log_in(&mut self, server: &Server) {
        let login = self.ui.call("login", self.proxy.login(server, &self.name)).await;
        self.record.expect(login.is_ok(), || format!("no login before the outages: {login:?}"));
        self.compare(server, "before an outage").await;
    }

    /// A settled session loses its connection, and comes back to what has happened in the meantime.
    async fn outage(&mut self, server: &Server) {
        self.proxy.refuse();
        let lost = Instant::now();
        while self.is_online().await && lost.elapsed() < BACK_WITHIN {
            sleep(Duration::from_millis(20)).await;
        }
        // The server keeps all of this for the session.
        let number = self.dice.random::<u32>();
        for friend in &mut self.friends {
            friend.say(Some("dnd"), &format!("word {number} of an outage")).await;
        }
        let name = format!("Stranger {number}");
        self.elsewhere.add_to_roster("stranger@prosed.test", Some(&name), &["New"]).await;
        self.proxy.flow();
        let hurried = self.ui.call("reconnect", json!({ "account": self.account })).await;
        self.record.expect(hurried.is_ok(), || format!("not hurried: {hurried:?}"));
        let back = account_is(&self.ui, &self.account, "online", BACK_WITHIN).await;
        self.record.expect(back, || format!("{}: not back after an outage", self.account));
        self.compare(server, "after an outage").await;
    }

    async fn is_online(&self) -> bool {
        let info = self.ui.call("get_account", json!({ "account": self.account })).await;
        info.is_ok_and(|info| info["state"] == "online")
    }

    /// Roster and presences must become what the server and the contacts say.
    async fn compare(&mut self, server: &Server, when: &str) {
        let roster = server_roster(server, &self.name).await;
        let (_, _, wrong) = settled(&self.ui, &self.account, &roster, &self.friends, SETTLED_WITHIN).await;
        self.record.extend(format!("{} {when}", self.account), wrong);
    }

    /// The next login starts over, with the shortest waits.
    async fn log_out(&mut self) {
        let left = self.ui.call("logout", json!({ "account": self.account })).await;
        self.record.expect(left.is_ok(), || format!("no logout: {left:?}"));
    }

    fn arm(&mut self, up: u64, down: u64) {
        let way = if self.dice.random() { Way::Up } else { Way::Down };
        let most = if way == Way::Up { up } else { down };
        self.proxy.cut_next(Cut { way, after: self.dice.random_range(0..most), reset: self.dice.random() });
        self.proxy.split(if self.dice.random_ratio(1, 4) { self.dice.random_range(1..40) } else { 0 });
    }

    /// Continues until the armed cut has broken a connection.
    async fn until_cut(&mut self) -> ControlFlow<String> {
        let broken = self.proxy.broken();
        let begun = Instant::now();
        let mut connected = None;
        while self.proxy.broken() == broken {
            // Whether it has the armed cut or was accepted before it was armed.
            if self.proxy.live() > 0 {
                if connected.get_or_insert_with(Instant::now).elapsed() > LIVES {
                    self.proxy.cut();
                }
            } else if begun.elapsed() > BACK_WITHIN {
                let info = self.ui.call("get_account", json!({ "account": self.account })).await;
                return ControlFlow::Break(format!("no new connection within {BACK_WITHIN:?}: {info:?}"));
            }
            self.live().await;
            sleep(Duration::from_millis(self.dice.random_range(5..60))).await;
        }
        ControlFlow::Continue(())
    }

    /// Waits for a connection after the last cut: while one that was just cut still counts, prosed may report being
    /// online.
    async fn connected_again(&self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < BACK_WITHIN {
            // Longer than a cut connection still counts.
            sleep(Duration::from_millis(50)).await;
            if self.proxy.live() > 0 {
                return true;
            }
        }
        false
    }

    /// Causes a change that prosed should learn of, sooner or later.
    async fn live(&mut self) {
        match self.dice.random_range(0..40) {
            0..4 => {
                let friend = self.dice.random_range(0..self.friends.len());
                self.friends[friend].do_something(&mut self.dice).await;
            }
            4 => {
                let name = format!("Stranger {}", self.dice.random::<u16>());
                let groups: &[&str] = if self.dice.random() { &["New"] } else { &[] };
                self.elsewhere.add_to_roster("stranger@prosed.test", Some(&name), groups).await;
            }
            5 => {
                // Already gone is fine.
                let item = "<query xmlns='jabber:iq:roster'><item jid='stranger@prosed.test' subscription='remove'/></query>";
                let _absent = self.elsewhere.set(None, item).await;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_was_not_resumed_is_found() {
        assert_eq!(not_resumed(6.0, 0.0, 6), None);
        assert!(not_resumed(5.0, 0.0, 6).is_some(), "one did not come back");
        assert!(not_resumed(6.0, 1.0, 6).is_some(), "one is new");
    }
}
