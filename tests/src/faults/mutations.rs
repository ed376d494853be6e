//! A damaged cache folder: bits flipped, ranges zeroed, files truncated or removed. The daemon must start in time,
//! show what was there or nothing, and fetch everything again from the server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{Record, Scale, account_is, daemon, spread};
use crate::contact::VCARD4;
use crate::proxy::Proxy;
use crate::server::{Server, Setup};
use crate::{Contact, Ui, png};

/// The longest that a start may take, whatever the state of the cache.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// From the server's return until everything is there again.
const REFILLED_WITHIN: Duration = Duration::from_secs(30);
/// Cached data is returned at once; a later answer means that the daemon waits for the server.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Contacts, each with a picture and a profile.
const FRIENDS: usize = 10;

/// Runs the row; every `refills`-th time, the server comes back and everything must be there again.
pub async fn run(scale: Scale, refills: usize) -> Record {
    let name = |friend: usize| format!("friend{friend}");
    let setup = (0..FRIENDS).fold(Setup::new(scale.kind), |setup, friend| setup.friends("me", &name(friend)));
    let server = Server::start(setup).await;
    for friend in 0..FRIENDS {
        let contact = Contact::online(&server, &name(friend)).await;
        contact.publish_avatar(&png::solid(16, 16, [friend as u8, 1, 2])).await;
        contact.publish_vcard4(VCARD4, &format!("<fn><text>Friend the {friend}th</text></fn>")).await;
        contact.disconnect().await;
    }
    let proxy = Proxy::before(&server).await;
    let (mut daemon, ui) = daemon(scale, &server).await;
    ui.call("login", proxy.login(&server, "me")).await.expect("logged in");
    let is_full = |roster: &BTreeMap<String, Value>| {
        roster.len() == FRIENDS
            && roster.values().all(|contact| contact["avatar"].is_object() && contact["profile"].is_object())
    };
    let begun = Instant::now();
    let good = loop {
        let roster = contacts(&ui).await.unwrap_or_default();
        if is_full(&roster) {
            break roster;
        }
        assert!(begun.elapsed() < REFILLED_WITHIN, "the cache does not fill: {roster:?}");
        sleep(Duration::from_millis(50)).await;
    };
    let mut images = BTreeMap::new();
    for jid in good.keys() {
        let loaded = ui.call("load_avatar", json!({ "jid": jid })).await.expect("an avatar");
        images.insert(jid.clone(), loaded["data"].clone());
    }
    daemon.sigterm().await;
    let kept = tempfile::tempdir().expect("a temporary folder");
    copy(&daemon.cache_dir(), kept.path());

    let mut dice = StdRng::seed_from_u64(scale.seed);
    let mut record = Record::default();
    let (mut ready, mut back) = (Vec::new(), Vec::new());
    let (mut whole, mut partly, mut none, mut set_aside) = (0, 0, 0, 0);
    for time in 1..=scale.times {
        fs::remove_dir_all(daemon.cache_dir()).expect("the folder can be emptied");
        copy(kept.path(), &daemon.cache_dir());
        let what = mutate(&daemon.cache_dir(), &mut dice);
        let when = format!("mutation {time} ({what})");
        proxy.refuse();
        let begun = Instant::now();
        daemon.restart().await;
        ready.push(begun.elapsed());
        record
            .expect(begun.elapsed() <= READY_WITHIN, || format!("{when}: ready after {:?}", begun.elapsed()));
        let ui = Ui::connect(&daemon).await;
        match contacts(&ui).await {
            None => none += 1,
            Some(shown) => {
                record.extend(&when, false_data(&shown, &good));
                if shown == good {
                    whole += 1
                } else {
                    partly += 1
                }
                for jid in
                    shown.iter().filter(|(_, contact)| contact["avatar"].is_object()).map(|(jid, _)| jid)
                {
                    let loaded = timeout(AT_ONCE / 4, ui.call("load_avatar", json!({ "jid": jid }))).await;
                    if let Ok(Ok(loaded)) = loaded {
                        record.expect(Some(&loaded["data"]) == images.get(jid), || {
                            format!("{when}: another picture of {jid}")
                        });
                    }
                }
            }
        }
        let aside = |entry: fs::DirEntry| entry.file_name().to_string_lossy().contains("damaged");
        set_aside += usize::from(fs::read_dir(daemon.cache_dir()).into_iter().flatten().flatten().any(aside));
        proxy.flow();
        if time % refills == 0 {
            let begun = Instant::now();
            let online = account_is(&ui, &server.jid("me"), "online", REFILLED_WITHIN).await;
            record.expect(online, || format!("{when}: not online again"));
            let mut shown = contacts(&ui).await.unwrap_or_default();
            while shown != good && begun.elapsed() < REFILLED_WITHIN {
                sleep(Duration::from_millis(100)).await;
                shown = contacts(&ui).await.unwrap_or_default();
            }
            back.push(begun.elapsed());
            record.expect(shown == good, || format!("{when}: not refilled: {shown:?}"));
        }
        // What it writes on exit does not matter.
        daemon.kill();
    }
    record.figure(format!("{} mutations, ready: {}", scale.times, spread(&mut ready)));
    record
        .figure(format!("roster whole {whole}, in part {partly}, none {none}; cache set aside {set_aside}"));
    record.figure(format!("{} refills: {}", back.len(), spread(&mut back)));
    record
}

/// The contacts in the cache; none if only the server could provide them.
async fn contacts(ui: &Ui) -> Option<BTreeMap<String, Value>> {
    let roster = timeout(AT_ONCE, ui.call("load_roster", json!({}))).await.ok()?.ok()?;
    let contacts = roster["contacts"].as_array()?.iter().map(|contact| {
        let mut contact = contact.clone();
        if let Some(avatar) = contact.get_mut("avatar").and_then(Value::as_object_mut) {
            // Valid until the daemon ends.
            avatar.remove("url");
        }
        (contact["jid"].as_str().unwrap_or_default().to_owned(), contact)
    });
    Some(contacts.collect())
}

/// What is neither unchanged nor absent: the roster is there in full or not, pictures and profiles individually.
fn false_data(shown: &BTreeMap<String, Value>, good: &BTreeMap<String, Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    let missing: Vec<_> = good.keys().filter(|jid| !shown.contains_key(*jid)).collect();
    if !missing.is_empty() {
        wrong.push(format!("a roster without {missing:?} is shown as if it were whole"));
    }
    for (jid, contact) in shown {
        let Some(was) = good.get(jid) else {
            wrong.push(format!("{jid} was never a contact"));
            continue;
        };
        let mut expected = was.clone();
        for part in ["avatar", "profile"] {
            if contact.get(part).is_none()
                && let Some(expected) = expected.as_object_mut()
            {
                expected.remove(part);
            }
        }
        if *contact != expected {
            wrong.push(format!("{jid} is {contact}, and was {was}"));
        }
    }
    wrong
}

/// Damages one file, and returns how.
fn mutate(folder: &Path, dice: &mut StdRng) -> String {
    let files = files(folder);
    // There are many pictures and few files with rows: the latter are chosen more often.
    let rows: Vec<_> = files.iter().filter(|path| path.starts_with(folder.join("rows"))).cloned().collect();
    let from = if dice.random_ratio(3, 4) { &rows } else { &files };
    let path = from.choose(dice).expect("there are files");
    let mut content = fs::read(path).expect("it can be read");
    // Most of a file of rows is empty: data is found from the front.
    let written = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let at = if written > 0 { dice.random_range(0..written) } else { 0 };
    let name = path.strip_prefix(folder).unwrap_or(path).display();
    let what = match dice.random_range(0..4) {
        0 => {
            let bits = dice.random_range(1..=8);
            for _ in 0..bits {
                let at = if written > 0 { dice.random_range(0..written) } else { 0 };
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= 1 << dice.random_range(0..8);
                }
            }
            format!("{bits} bits of {name} flipped")
        }
        1 => {
            let end = (at + dice.random_range(1..4096)).min(content.len());
            content[at..end].fill(0);
            format!("{at}..{end} of {name} zeroed")
        }
        2 => {
            content.truncate(at);
            format!("{name} cut at {at}")
        }
        _ => {
            fs::remove_file(path).expect("it can be removed");
            return format!("{name} removed");
        }
    };
    fs::write(path, content).expect("it can be written");
    what
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(contacts: &[(&str, &str, Option<&str>)]) -> BTreeMap<String, Value> {
        let contact = |(jid, name, profile): &(&str, &str, Option<&str>)| {
            let mut contact = json!({ "jid": jid, "name": name });
            if let Some(profile) = profile {
                contact["profile"] = json!({ "fullName": profile });
            }
            ((*jid).to_owned(), contact)
        };
        contacts.iter().map(contact).collect()
    }

    #[test]
    fn wrong_data_is_told_from_absent_data() {
        let good = roster(&[("a@x", "A", Some("Aa")), ("b@x", "B", Some("Bb"))]);
        assert!(false_data(&good, &good).is_empty());
        assert!(false_data(&roster(&[("a@x", "A", None), ("b@x", "B", Some("Bb"))]), &good).is_empty());
        for wrong in [
            roster(&[("a@x", "A", Some("Aa"))]),
            roster(&[("a@x", "A", Some("Ab")), ("b@x", "B", Some("Bb"))]),
            roster(&[("a@x", "Q", Some("Aa")), ("b@x", "B", Some("Bb"))]),
            roster(&[("a@x", "A", None), ("b@x", "B", None), ("c@x", "C", None)]),
        ] {
            assert_eq!(false_data(&wrong, &good).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_mutation_changes_something_each_time() {
        let mut dice = StdRng::seed_from_u64(1);
        for _ in 0..40 {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir(folder.path().join("rows")).expect("a folder");
            let file = folder.path().join("rows/db");
            let content: Vec<u8> = (1..=200).collect();
            fs::write(&file, &content).expect("written");
            let what = mutate(folder.path(), &mut dice);
            let now = fs::read(&file).ok();
            // Bits flipped twice are unchanged.
            assert!(now.as_ref() != Some(&content) || what.contains("flipped"), "{what}");
        }
    }
}
