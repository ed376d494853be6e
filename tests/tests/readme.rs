//! Every command in the README works as written.
//!
//! Only commands that would change the machine are simulated: `cargo install`, `systemctl`, and the one that runs
//! this very test. Addresses are replaced by those of the test's own server and daemon.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use prosed_tests::process::Process;
use prosed_tests::server::Setup;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, browser, png, ports};
use serde_json::{Value, json};
use tokio::process::Command;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A fenced block: its language and its text.
fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), text.join("\n")));
        }
    }
    blocks
}

struct Stage {
    folder: tempfile::TempDir,
    path: String,
    address: String,
    jid: String,
}

impl Stage {
    fn set(daemon: &Daemon, jid: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // As on a machine without systemd: everything has to find the daemon with no XDG_RUNTIME_DIR.
        let data = folder.path().join(".local/share/prosed");
        let shims = folder.path().join(".cargo/bin");
        fs::create_dir_all(&data).expect("made");
        fs::create_dir_all(&shims).expect("made");
        symlink(daemon.runtime_dir(), data.join("run")).expect("linked");
        // What would change the machine is checked for sense instead.
        shim(
            &shims,
            "cargo",
            r#"[ "$1 $2 $3" = "install --locked --path" ] && grep -q '^name' "$4/Cargo.toml""#,
        );
        shim(&shims, "systemctl", r#"[ "$1" = --user ] && [ -s ~/.config/systemd/user/prosed.service ]"#);
        shim(&shims, "notify-send", r#"echo "$1""#);
        let built = daemon_folder();
        let tools = target().join("tools/bin");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{}:{path}", shims.display(), built.display(), tools.display());
        Self { folder, path, address: daemon.address(), jid: jid.to_owned() }
    }

    /// Runs a program for some seconds at most; those that go on for ever are ended then.
    async fn run(&self, seconds: u32, program: &[&str]) -> Output {
        let output = Command::new("timeout")
            .arg(seconds.to_string())
            .args(program)
            .current_dir(top())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path())
            // What the client depends on is there already: nothing comes from the network.
            .env("PYTHONPATH", packages())
            .env("PIP_NO_INDEX", "1")
            .env("PIP_NO_BUILD_ISOLATION", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("XDG_DATA_HOME")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("it can be run");
        let (code, errors) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
        assert!(matches!(code, Some(0 | 124)), "{program:?} ended with {code:?}: {errors}");
        output
    }

    /// A server that nobody trusts is trusted with these lines in `config.toml`, and the file that they name.
    async fn trust(&self, server: &Server, lines: &str) {
        let folder = self.folder.path().join(".config/prosed");
        fs::create_dir_all(&folder).expect("made");
        let port = server.port.to_string();
        let check = ["prosed", "--check-server", &self.jid, "--host", "127.0.0.1", "--port", &port];
        let mut command = Command::new(check[0]);
        command.args(&check[1..]).env("PATH", &self.path).env("HOME", self.folder.path());
        let refused = command.kill_on_drop(true).output().await.expect("it can be run");
        assert!(!refused.status.success(), "the server's authority is its own: {refused:?}");
        fs::write(folder.join("config.toml"), lines).expect("written");
        fs::copy(&server.ca_pem, folder.join("my-server.pem")).expect("copied");
        self.run(30, &check).await;
        fs::remove_file(folder.join("config.toml")).expect("removed");
    }

    fn fit(&self, text: &str) -> String {
        let text = text.replace("127.0.0.1:5299", &self.address).replace("me@example.org", &self.jid);
        text.replace("@example.org", "@prosed.test")
    }
}

fn target() -> PathBuf {
    prosed_tests::daemon::binary().ancestors().nth(2).expect("target/debug/prosed").to_owned()
}

/// Of the Python that `tests/install` has made.
fn packages() -> PathBuf {
    let versions = fs::read_dir(target().join("tools/python/lib")).expect("run tests/install");
    versions.flatten().next().expect("a version of Python").path().join("site-packages")
}

fn daemon_folder() -> PathBuf {
    prosed_tests::daemon::binary().parent().expect("target/debug").to_owned()
}

fn shim(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
}

#[test]
fn the_demo_and_the_readme_agree_on_what_it_takes() {
    for file in ["README.md", "tests/demo"] {
        let text = fs::read_to_string(top().join(file)).expect("a text");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("takes 5 to 10 minutes on two cores, and 1.7 GB of disk"), "{file}");
    }
}

/// Each time that somebody comes online, once; not who was there before, be it after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn the_notifier_tells_of_those_who_come() {
    let readme = fs::read_to_string(top().join("README.md")).expect("the README");
    let mut scripts = blocks(&readme).into_iter().map(|(_, text)| text);
    let script = scripts.find(|text| text.contains("notify-send")).expect("a notifier");
    let server = Server::start(
        Setup::new(Kind::Prosody).friends("me", "alice").friends("me", "bob").friends("me", "carol"),
    )
    .await;
    let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    Ui::connect(&daemon).await.call("login", server.login("me")).await.expect("logged in, and remembered");
    let stage = Stage::set(&daemon, &server.jid("me"));
    let said = stage.folder.path().join("said");
    let _notifier = Process::spawn(Path::new("bash"), &stage.folder.path().join("log"), |bash| {
        bash.args(["-euo", "pipefail", "-c", &format!("{{ {script}\n}} > said")]);
        bash.current_dir(stage.folder.path()).env("PATH", &stage.path).env("HOME", stage.folder.path());
        bash.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_DATA_HOME");
    })
    .expect("bash");
    let says = async |lines: &[&str]| {
        let expected: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let wait = async {
            while fs::read_to_string(&said).unwrap_or_default() != expected {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(waited.is_ok(), "said {:?}, not {expected:?}", fs::read_to_string(&said));
    };
    // Once it is there, it hears of those who come.
    let ui = Ui::watching(&daemon).await;
    let mut carol = loop {
        let carol = Contact::online(&server, "carol").await;
        ui.contact("carol@prosed.test", |carol| carol["availability"] == "available").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        if fs::read_to_string(&said).is_ok_and(|said| !said.is_empty()) {
            break carol;
        }
        carol.disconnect().await;
        ui.contact("carol@prosed.test", |carol| carol["availability"] == "unavailable").await;
        ui.forget_received();
    };
    says(&["Carol is online"]).await;
    carol.set_presence(Some("away"), Some("lunch")).await;
    carol.set_presence(None, Some("back")).await;
    carol.publish_avatar(&png::solid(8, 8, [70, 120, 200])).await;
    let fits = |carol: &Value| carol["status"] == "back" && carol["avatar"].is_object();
    ui.contact("carol@prosed.test", fits).await;
    let change = json!({ "jid": "carol@prosed.test", "name": "Caroline", "groups": ["Friends"] });
    ui.call("update_contact", change).await.expect("changed");
    let renamed = ui.call("rename_group", json!({ "group": "Friends", "name": "Singers" })).await;
    assert_eq!(renamed.expect("renamed")["renamed"], 1);
    let fits = |carol: &Value| carol["name"] == "Caroline" && carol["groups"] == json!(["Singers"]);
    ui.contact("carol@prosed.test", fits).await;
    // The next announcement is the next arrival, so none of the changes was announced.
    let alice = Contact::online(&server, "alice").await;
    says(&["Carol is online", "Alice is online"]).await;

    // The start finds both, and then one of them comes.
    daemon.restart().await;
    let ui = Ui::watching(&daemon).await;
    let both = async || {
        let contacts = ui.contacts().await;
        contacts.iter().filter(|contact| contact["availability"] == "available").count() == 2
    };
    while !both().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    alice.disconnect().await;
    ui.contact("alice@prosed.test", |alice| alice["availability"] == "unavailable").await;
    let _alice = Contact::online(&server, "alice").await;
    ui.contact("alice@prosed.test", |alice| alice["availability"] == "available").await;
    // The last one, so that nobody else can have been told of in between.
    let _bob = Contact::online(&server, "bob").await;
    says(&["Carol is online", "Alice is online", "Alice is online", "Bob is online"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works() {
    let readme = fs::read_to_string(top().join("README.md")).expect("the README");
    let server =
        Server::start(Setup::new(Kind::Prosody).friends("me", "alice").friends("me", "carol").account("bob"))
            .await;
    let mut alice = Contact::online(&server, "alice").await;
    alice.publish_avatar(&png::solid(8, 8, [70, 120, 200])).await;
    let page_port = ports::free();
    let origins = format!("allowed_origins = [\"http://localhost:{page_port}\"]");
    let daemon = Daemon::start(Daemon::setup().trust(&server).config(&origins)).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in, and remembered");
    ui.call("set_presence", json!({ "availability": "available" })).await.expect("set");
    let stage = Stage::set(&daemon, &server.jid("me"));

    // Somebody who waits to be let in.
    let bob = Contact::online(&server, "bob").await;
    bob.subscribe(&server.jid("me")).await;

    // Somebody to watch.
    let lively = async {
        let mut away = false;
        loop {
            away = !away;
            alice.set_presence(away.then_some("away"), Some("lively")).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let perform = async {
        let (mut seen, mut watched) = (0, 0);
        for (language, text) in blocks(&readme) {
            let text = stage.fit(&text);
            let endless =
                ["--follow", "subscribe", "get_events", "while True"].iter().any(|word| text.contains(word));
            let seconds = if endless { 4 } else { 60 };
            if language == "html" {
                let task = json!({ "page": text, "port": page_port, "token": daemon.token() });
                let said = browser::run("page.mjs", &task).await;
                assert_eq!(
                    said,
                    json!({ "errors": [], "statuses": ["away", "available"], "broken": 0 }),
                    "{text}"
                );
                seen += 1;
                watched += 1;
                continue;
            }
            let output = match (language.as_str(), text.as_str()) {
                ("sh", "tests/run") => {
                    let ci = fs::read_to_string(top().join(".ci/run")).expect(".ci/run");
                    assert!(ci.trim_end().ends_with("tests/run"), "CI runs the README's command");
                    seen += 1;
                    continue;
                }
                // The program behind it, as in its own test: the script would build it first.
                ("sh", "tests/demo") => {
                    let script = fs::read_to_string(top().join(&text)).expect("the demo");
                    assert!(script.contains("exec \"$target/debug/demo\""), "{script}");
                    stage.run(30, &["demo", "--seconds", "3"]).await
                }
                ("sh", script) => stage.run(seconds, &["bash", "-euo", "pipefail", "-c", script]).await,
                ("js", script) => {
                    stage.run(seconds, &["node", "--input-type=module", "--eval", script]).await
                }
                // With what the block before it has installed.
                ("python", script) => {
                    let python = stage.folder.path().join(".venvs/prosed/bin/python").display().to_string();
                    stage.run(seconds, &[&python, "-c", script]).await
                }
                ("toml", lines) => {
                    stage.trust(&server, lines).await;
                    seen += 1;
                    continue;
                }
                other => panic!("nobody knows how to run this block: {other:?}"),
            };
            if text.contains("man --all") {
                for page in ["prosectl", "prosectl-login", "prosed"] {
                    stage.run(10, &["man", "--where", page]).await;
                }
            }
            let said = String::from_utf8_lossy(&output.stdout);
            if text.contains("notify-send") {
                assert_eq!(said, "", "{text}\nannounced one who was there:\n{said}");
            } else if text.contains("approve_subscription") {
                assert!(said.contains("Let bob@prosed.test in"), "{text}\nlet nobody in:\n{said}");
                watched += 1;
            } else if endless {
                assert!(said.contains("Alice"), "{text}\nshowed nothing of Alice:\n{said}");
                watched += 1;
            }
            seen += 1;
        }
        assert!(seen >= 9 && watched >= 4, "{seen} blocks, {watched} of them show events");
    };
    tokio::select! {
        () = lively => {}
        () = perform => {}
    }
}
