//! A full disk: a small file system in memory, filled to the last byte and emptied again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::expected::{Friend, server_roster, settled};
use super::{Record, Scale, watching};
use crate::contact::VCARD4;
use crate::server::{Server, Setup};
use crate::{Contact, Daemon, Ui};

/// A cache takes some 2 MiB of it, the log some 100 kB.
const SIZE: &str = "size=24m,mode=0700";
/// Calls while it is full.
const CALLS: usize = 5;
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// A separate file system; unmounted when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::Builder::new().prefix("prosed-disk-").tempdir().expect("a temporary folder");
        as_root(
            &[
                "mount",
                "-t",
                "tmpfs",
                "-o",
                &format!("{SIZE},uid={}", rustix::process::getuid().as_raw()),
                "prosed-test",
            ],
            folder.path(),
        );
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.ballast()).expect("a file");
        for size in [1 << 20, 4096, 1] {
            let piece = vec![1; size];
            loop {
                match file.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("not full, but {error}"),
                }
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).expect("the ballast can be thrown off");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what a killed daemon still has open is released later.
        as_root(&["umount", "--lazy"], self.path());
    }
}

/// Runs a command on a path as root.
fn as_root(command: &[&str], path: &Path) {
    let sudo: &[&str] =
        if rustix::process::getuid().is_root() { &[] } else { &["sudo", "--non-interactive"] };
    let words: Vec<_> = sudo.iter().chain(command).collect();
    let status = Command::new(words[0]).args(&words[1..]).arg(path).status();
    let done = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !done && !std::thread::panicking() {
        panic!("{words:?} {}: {status:?}. A small disk needs root, and the right to mount", path.display());
    }
}

/// An availability and a status.
type Said = (String, String);

/// What must be there after a restart.
#[derive(Clone, Debug, Default)]
pub struct Promise {
    /// The last acknowledged state of the account that exists throughout.
    me: Said,
    /// The other account's login was answered with `remembered`.
    remembered: bool,
    /// Its last acknowledged state since there was room again.
    you: Option<Said>,
}

impl Promise {
    /// What is wrong with the state of the two accounts.
    pub fn broken_by(&self, me: &Value, you: Option<&Value>) -> Vec<String> {
        let mut wrong = Vec::new();
        if presence(me) != self.me {
            wrong.push(format!("{:?} was acknowledged, {me} is there", self.me));
        }
        match (you, &self.you) {
            (None, _) if self.remembered => wrong.push("a remembered account is gone".to_owned()),
            (found, Some(said)) if found.map(presence).as_ref() != Some(said) => {
                wrong.push(format!("{said:?} of the other account was acknowledged, {found:?} is there"));
            }
            _ => {}
        }
        wrong
    }
}

/// What is wrong with the refusals on a full disk, by kind of error.
pub fn misrefused(kinds: &[String]) -> Vec<String> {
    let mut wrong: Vec<_> = kinds
        .iter()
        .filter(|kind| *kind != "storageFailed")
        .map(|kind| format!("refused by {kind}, not by storageFailed"))
        .collect();
    if kinds.is_empty() {
        wrong.push("nothing was refused: was the disk full?".to_owned());
    }
    wrong
}

/// Runs the row. The daemon's data, cache and log are on the disk.
pub async fn run(scale: Scale) -> Record {
    let server = Server::start(Setup::new(scale.kind).friends("me", "anna").account("you")).await;
    let disk = SmallDisk::mount();
    let mut daemon = Daemon::start(scale.setup().trust(&server).within(disk.path())).await;
    let mut ui = watching(&daemon).await;
    let (me, you) = (server.jid("me"), server.jid("you"));
    ui.call("login", server.login("me")).await.expect("logged in");
    let roster = server_roster(&server, "me").await;
    let mut friends = vec![Friend::new(&server, "anna")];
    let publisher = Contact::connect_as(&server, "anna", "publisher", Default::default()).await;
    let mut dice = StdRng::seed_from_u64(scale.seed);
    let mut record = Record::default();
    let (mut acknowledged, mut refused) = (0, 0);
    for time in 1..=scale.times {
        let when = format!("fill {time}");
        let mut promise = Promise {
            me: say(&ui, &me, &mut dice).await.unwrap_or_else(|error| panic!("there is room: {error}")),
            ..Promise::default()
        };
        disk.fill();
        let mut refusals = Vec::new();
        for _ in 0..CALLS {
            match say(&ui, &me, &mut dice).await {
                Ok(said) => {
                    acknowledged += 1;
                    promise.me = said;
                }
                Err(kind) => refusals.push(kind),
            }
        }
        record.extend(&when, misrefused(&refusals));
        refused += refusals.len();
        // The cache has something to write as well, and contacts are shown as they are.
        publisher
            .publish_vcard4(VCARD4, &format!("<fn><text>Anna {}</text></fn>", dice.random::<u32>()))
            .await;
        friends[0].do_something(&mut dice).await;
        let (_, _, wrong) = settled(&ui, &me, &roster, &friends, SETTLED_WITHIN).await;
        record.extend(&when, wrong);
        let login = ui.call("login", server.login("you")).await;
        if let Err(error) = &login {
            record.extend(format!("{when}: login"), misrefused(&[error.kind().to_owned()]));
        }
        promise.remembered = login.as_ref().is_ok_and(|info| info["remembered"] == true);

        if time % 2 == 0 {
            // It dies before there is room again, so nothing repairs what was acknowledged in the meantime.
            daemon.kill();
            disk.make_room();
        } else {
            disk.make_room();
            match say(&ui, &me, &mut dice).await {
                Ok(said) => {
                    acknowledged += 1;
                    promise.me = said;
                }
                Err(kind) => record.extend(&when, [format!("there is room again, but {kind}")]),
            }
            if login.is_ok() {
                let said = say(&ui, &you, &mut dice).await;
                promise.you = said.as_ref().ok().cloned();
                record.expect(said.is_ok(), || format!("{when}: there is room again, but {you}: {said:?}"));
            }
        }
        let log = fs::read_to_string(daemon.log_file()).unwrap_or_default();
        record.expect(!log.contains("panicked"), || format!("{when}: it panicked\n{log}"));
        daemon.kill();
        daemon.restart().await;
        ui = watching(&daemon).await;
        let mine = ui.call("get_account", json!({ "account": me })).await.unwrap_or_default();
        let found = ui.call("get_account", json!({ "account": you })).await;
        record.extend(&when, promise.broken_by(&mine, found.as_ref().ok()));
        if found.is_ok() {
            let forgotten = ui.call("logout", json!({ "account": you, "forget": true })).await;
            record.expect(forgotten.is_ok(), || format!("{when}: {forgotten:?}"));
        }
    }
    record
        .figure(format!("{} times full, {refused} calls refused, {acknowledged} acknowledged", scale.times));
    record
}

/// Sets a presence; returns what was acknowledged, or the kind of the refusal.
async fn say(ui: &Ui, account: &str, dice: &mut StdRng) -> Result<Said, String> {
    let status = format!("word {}", dice.random::<u32>());
    let availability = if dice.random() { "away" } else { "dnd" };
    let params = json!({ "account": account, "availability": availability, "status": status });
    ui.call("set_presence", params).await.map_err(|error| error.kind().to_owned())?;
    Ok((availability.to_owned(), status))
}

fn presence(info: &Value) -> Said {
    let text = |field: &str| info[field].as_str().unwrap_or_default().to_owned();
    (text("availability"), text("status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: &str) -> Said {
        ("away".to_owned(), status.to_owned())
    }

    fn account(status: &str) -> Value {
        json!({ "availability": "away", "status": status })
    }

    #[test]
    fn what_was_acknowledged_and_is_lost_is_found() {
        let promise = Promise { me: said("2"), remembered: true, you: Some(said("a")) };
        assert!(promise.broken_by(&account("2"), Some(&account("a"))).is_empty());
        assert_eq!(promise.broken_by(&account("1"), Some(&account("a"))).len(), 1, "older");
        assert_eq!(promise.broken_by(&Value::Null, Some(&account("a"))).len(), 1, "gone");
        assert_eq!(promise.broken_by(&account("2"), Some(&account("b"))).len(), 1);
        assert_eq!(promise.broken_by(&account("2"), None).len(), 1);
        let unremembered = Promise { remembered: false, ..promise.clone() };
        assert_eq!(unremembered.broken_by(&account("2"), None).len(), 1, "its presence was acknowledged");
        let silent = Promise { you: None, ..promise };
        assert_eq!(silent.broken_by(&account("2"), None).len(), 1, "it was remembered");
        let neither = Promise { remembered: false, ..silent };
        assert!(neither.broken_by(&account("2"), None).is_empty());
    }

    #[test]
    fn a_refusal_by_another_name_and_no_refusal_are_found() {
        let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        assert!(misrefused(&kinds(&["storageFailed", "storageFailed"])).is_empty());
        assert_eq!(misrefused(&kinds(&["storageFailed", "internalError"])).len(), 1);
        assert_eq!(misrefused(&[]).len(), 1);
    }
}
