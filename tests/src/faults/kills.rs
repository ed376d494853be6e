//! `kill -9` at random instants, while a UI logs accounts in and out and sets presences. What was acknowledged must
//! be there after the restart; what was in progress may or may not be.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::view::misnumbered;
use super::{Record, Scale, spread};
use crate::server::{Server, Setup};
use crate::{Daemon, Ui};

/// The accounts that come and go.
const NAMES: [&str; 3] = ["anna", "ben", "carl"];
/// The longest that a daemon lives.
const LIFE: Duration = Duration::from_millis(1200);
/// The longest that a start may take.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// An account that logs in without having been asked would do so within this time.
const LOGINS_BEGIN: Duration = Duration::from_millis(500);
const AVAILABILITIES: [&str; 4] = ["available", "away", "xa", "dnd"];

/// What of an account must survive.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// It has not been logged out.
    logged_in: bool,
    /// `availability` and `status`.
    presence: (String, Option<String>),
}

/// What may be there after a restart: what was acknowledged, or, for the account with a call in progress, what that
/// call wanted.
#[derive(Clone, Debug, Default)]
pub struct Promise {
    acknowledged: BTreeMap<String, Kept>,
    under_way: Option<(String, Option<Kept>)>,
}

impl Promise {
    /// What is wrong with the existing accounts.
    pub fn broken_by(&self, there: &BTreeMap<String, Kept>) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self
            .acknowledged
            .keys()
            .chain(there.keys())
            .chain(self.under_way.iter().map(|(name, _)| name))
            .collect();
        let mut wrong = Vec::new();
        for name in names {
            let found = there.get(name);
            let wanted = self.under_way.as_ref().filter(|(whose, _)| whose == name);
            let as_wanted = wanted.is_some_and(|(_, wanted)| wanted.as_ref() == found);
            if found != self.acknowledged.get(name) && !as_wanted {
                wrong.push(format!("{name} is {found:?}, not {:?}; {wanted:?}", self.acknowledged.get(name)));
            }
        }
        wrong
    }
}

/// Runs the row.
pub async fn run(scale: Scale) -> Record {
    let setup = NAMES.iter().fold(Setup::new(scale.kind), |setup, name| setup.friends(name, "friend"));
    let server = Server::start(setup).await;
    let mut daemon = Daemon::start(scale.setup().trust(&server).config("log = \"info\"")).await;
    let mut dice = StdRng::seed_from_u64(scale.seed);
    let mut record = Record::default();
    let mut promise = Promise::default();
    let (mut seq, mut acknowledged, mut ready) = (0, 0, Vec::new());
    for time in 1..=scale.times {
        let ui = super::watching(&daemon).await;
        let life = LIFE.mul_f64(dice.random());
        let end = Instant::now() + life;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match timeout(left, act(&ui, &server, &mut promise, &mut dice)).await {
                Err(_) => break,
                Ok(Ok(())) => {
                    acknowledged += 1;
                    promise.under_way = None;
                }
                Ok(Err(error)) => record.extend(format!("life {time}"), [error]),
            }
        }
        daemon.kill();
        let events = ui.events();
        record.extend(format!("numbers in life {time}"), misnumbered(&events, seq));
        seq = events.last().and_then(|event| event["seq"].as_u64()).unwrap_or(seq);

        let begun = Instant::now();
        daemon.restart().await;
        ready.push(begun.elapsed());
        record.expect(begun.elapsed() <= READY_WITHIN, || format!("start {time}: {:?}", begun.elapsed()));
        let ui = Ui::connect(&daemon).await;
        let there = accounts(&ui, &promise).await;
        record.extend(format!("after kill {time}"), promise.broken_by(&there));
        for name in there.keys() {
            // A UI must not mistake a new event for one from before.
            let roster =
                timeout(READY_WITHIN, ui.call("load_roster", json!({ "account": server.jid(name) }))).await;
            if let Ok(Ok(roster)) = roster {
                record.expect(roster["seq"].as_u64() >= Some(seq), || {
                    format!("start {time}: seq {} after {seq}", roster["seq"])
                });
            }
        }
        promise = Promise { acknowledged: there, under_way: None };
    }
    record.figure(format!("{} kills, {acknowledged} calls acknowledged", scale.times));
    record.figure(format!("ready: {}", spread(&mut ready)));
    record
}

/// One call; its effect is in `under_way` before it is sent, and acknowledged when it is answered.
async fn act(ui: &Ui, server: &Server, promise: &mut Promise, dice: &mut StdRng) -> Result<(), String> {
    let name = NAMES.choose(dice).expect("there are names").to_string();
    let account = server.jid(&name);
    let kept = promise.acknowledged.get(&name).cloned();
    let fresh = Kept { logged_in: true, presence: ("available".to_owned(), None) };
    let (method, params, wanted) = match (kept, dice.random_range(0..10)) {
        (None, _) => ("login", server.login(&name), Some(fresh)),
        (Some(kept), 0) => ("logout", json!({ "account": account }), Some(Kept { logged_in: false, ..kept })),
        (Some(_), 1) => ("logout", json!({ "account": account, "forget": true }), None),
        (Some(kept), 2..4) if !kept.logged_in => {
            ("login", server.login(&name), Some(Kept { logged_in: true, ..kept }))
        }
        (Some(kept), _) => {
            let availability = AVAILABILITIES.choose(dice).expect("there are some").to_string();
            let status = format!("word {}", dice.random::<u32>());
            let params = json!({ "account": account, "availability": availability, "status": status });
            ("set_presence", params, Some(Kept { presence: (availability, Some(status)), ..kept }))
        }
    };
    promise.under_way = Some((name.clone(), wanted.clone()));
    ui.call(method, params).await.map_err(|error| format!("{method} of {name}: {error:?}"))?;
    match wanted {
        Some(wanted) => drop(promise.acknowledged.insert(name, wanted)),
        None => drop(promise.acknowledged.remove(&name)),
    }
    Ok(())
}

/// The existing accounts. Those that are logged in come online on their own: one after the other, and later on a busy
/// machine. Those that are logged out stay so.
async fn accounts(ui: &Ui, promise: &Promise) -> BTreeMap<String, Kept> {
    let begun = Instant::now();
    loop {
        let accounts = ui.call("list_accounts", json!({})).await.expect("accounts");
        let there: BTreeMap<_, _> = accounts.as_array().into_iter().flatten().map(kept).collect();
        let settled = begun.elapsed() > LOGINS_BEGIN && promise.broken_by(&there).is_empty();
        if settled || there.values().all(|kept| kept.logged_in) || begun.elapsed() > READY_WITHIN {
            return there;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kept(info: &Value) -> (String, Kept) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&info["account"]).split('@').next().unwrap_or_default().to_owned();
    let logged_in = info["state"] != "offline" && info["state"] != "failed" && info["remembered"] == true;
    (
        name,
        Kept {
            logged_in,
            presence: (text(&info["availability"]), info["status"].as_str().map(str::to_owned)),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(logged_in: bool, status: &str) -> Kept {
        Kept { logged_in, presence: ("away".to_owned(), Some(status.to_owned())) }
    }

    #[test]
    fn what_was_acknowledged_and_is_lost_is_found() {
        let promise = Promise {
            acknowledged: [("anna".to_owned(), kept(true, "1")), ("ben".to_owned(), kept(false, "1"))].into(),
            under_way: Some(("anna".to_owned(), Some(kept(true, "2")))),
        };
        let mut there = promise.acknowledged.clone();
        assert!(promise.broken_by(&there).is_empty());
        there.insert("anna".to_owned(), kept(true, "2"));
        assert!(promise.broken_by(&there).is_empty(), "it was under way");
        there.insert("anna".to_owned(), kept(true, "0"));
        assert_eq!(promise.broken_by(&there).len(), 1, "older than what was acknowledged");
        there.remove("ben");
        assert_eq!(promise.broken_by(&there).len(), 2);
        let mut there = promise.acknowledged.clone();
        there.insert("ben".to_owned(), kept(true, "1"));
        assert_eq!(promise.broken_by(&there).len(), 1, "logged out, and back by itself");
        let forgetting = Promise { under_way: Some(("anna".to_owned(), None)), ..promise.clone() };
        let mut there = promise.acknowledged.clone();
        assert!(forgetting.broken_by(&there).is_empty());
        there.insert("anna".to_owned(), kept(false, "1"));
        assert_eq!(forgetting.broken_by(&there).len(), 1, "half forgotten");
        there.remove("anna");
        assert!(forgetting.broken_by(&there).is_empty());
        there = promise.acknowledged.clone();
        there.insert("carl".to_owned(), kept(true, "1"));
        assert_eq!(promise.broken_by(&there).len(), 1, "forgotten, and back");
    }
}
