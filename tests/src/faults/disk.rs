//! A disk that is full: a small file system in memory, filled to the last byte and emptied again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::truth::{Friend, server_roster, settled};
use super::{Record, Scale, watching};
use crate::contact::VCARD4;
use crate::server::{Server, Setup};
use crate::{Contact, Daemon, Ui};

/// A cache takes some 2 MiB of it, the log some 100 kB.
const SIZE: &str = "size=24m,mode=0700";
/// Calls while it is full.
const CALLS: usize = 5;
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// A file system of its own; gone when this is dropped.
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
        // Lazily: what a killed daemon still has open goes in its own time.
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
        let mut last =
            say(&ui, &me, &mut dice).await.unwrap_or_else(|error| panic!("there is room: {error}"));
        disk.fill();
        let mut refusals = 0;
        for _ in 0..CALLS {
            match say(&ui, &me, &mut dice).await {
                Ok(said) => {
                    acknowledged += 1;
                    last = said;
                }
                Err(kind) => {
                    refusals += 1;
                    record.expect(kind == "storageFailed", || format!("fill {time}: {kind}"));
                }
            }
        }
        record.expect(refusals > 0, || format!("fill {time}: the disk was not full"));
        refused += refusals;
        // The cache has something to write, too, and contacts are shown as they are.
        publisher
            .publish_vcard4(VCARD4, &format!("<fn><text>Anna {}</text></fn>", dice.random::<u32>()))
            .await;
        friends[0].do_something(&mut dice).await;
        let (_, _, wrong) = settled(&ui, &me, &roster, &friends, SETTLED_WITHIN).await;
        record.extend(format!("fill {time}"), wrong);
        let login = ui.call("login", server.login("you")).await;
        if let Err(error) = &login {
            record.expect(error.kind() == "storageFailed", || format!("fill {time}: login: {error:?}"));
        }
        let remembered = login.as_ref().is_ok_and(|info| info["remembered"] == true);

        disk.make_room();
        match say(&ui, &me, &mut dice).await {
            Ok(said) => {
                acknowledged += 1;
                last = said;
            }
            Err(kind) => record.extend(format!("fill {time}"), [format!("there is room again, but {kind}")]),
        }
        let mut theirs = None;
        if login.is_ok() {
            let said = say(&ui, &you, &mut dice).await;
            theirs = said.as_ref().ok().cloned();
            record
                .expect(said.is_ok(), || format!("fill {time}: there is room again, but for {you} {said:?}"));
        }
        let log = fs::read_to_string(daemon.log_file()).unwrap_or_default();
        record.expect(!log.contains("panicked"), || format!("fill {time}: it panicked\n{log}"));
        daemon.kill();
        daemon.restart().await;
        ui = watching(&daemon).await;
        let found = ui.call("get_account", json!({ "account": me })).await.unwrap_or_default();
        record.expect(last == presence(&found), || {
            format!("fill {time}: {last:?} was acknowledged, {found} is there")
        });
        let found = ui.call("get_account", json!({ "account": you })).await;
        record
            .expect(!remembered || found.is_ok(), || format!("fill {time}: {you} was remembered, {found:?}"));
        if let Some(theirs) = theirs {
            let kept = found.as_ref().map(presence);
            record.expect(kept.as_ref() == Ok(&theirs), || {
                format!("fill {time}: {theirs:?} of {you} was acknowledged, {found:?} is there")
            });
        }
        if found.is_ok() {
            let forgotten = ui.call("logout", json!({ "account": you, "forget": true })).await;
            record.expect(forgotten.is_ok(), || format!("fill {time}: {forgotten:?}"));
        }
    }
    record
        .figure(format!("{} times full, {refused} calls refused, {acknowledged} acknowledged", scale.times));
    record
}

/// Sets a presence; answers with what was acknowledged, or with the kind of the refusal.
async fn say(ui: &Ui, account: &str, dice: &mut StdRng) -> Result<(String, String), String> {
    let status = format!("word {}", dice.random::<u32>());
    let availability = if dice.random() { "away" } else { "dnd" };
    let params = json!({ "account": account, "availability": availability, "status": status });
    ui.call("set_presence", params).await.map_err(|error| error.kind().to_owned())?;
    Ok((availability.to_owned(), status))
}

fn presence(info: &Value) -> (String, String) {
    let text = |field: &str| info[field].as_str().unwrap_or_default().to_owned();
    (text("availability"), text("status"))
}
