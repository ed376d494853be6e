//! The Python client, built as for PyPI, against a live daemon: its own tests, which ask for killed
//! daemons and cut connections here, and its types.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prosed_tests::contact::VCARD4;
use prosed_tests::proxy::{Cut, Proxy, Way};
use prosed_tests::server::Setup;
use prosed_tests::stage::Stage;
use prosed_tests::{Contact, Daemon, Kind, PATIENCE, Server, Ui, png};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// How long all tests of one run may take on a busy machine.
const RUN_PATIENCE: Duration = Duration::from_secs(300);
/// Where the daemon listens: the same port of 127.0.0.1 is free for the proxy.
const APART: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn client() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("clients/python")
}

/// A program that `tests/install` has put into the tests' own Python.
fn tool(name: &str) -> Command {
    let target = prosed_tests::daemon::binary().ancestors().nth(2).expect("target").to_owned();
    let program = target.join("tools/python/bin").join(name);
    assert!(program.exists(), "no {}: run tests/install", program.display());
    let mut command = Command::new(program);
    // Nothing of whoever runs the tests.
    command.env_remove("PYTHONPATH").env("PYTHONDONTWRITEBYTECODE", "1").current_dir(client());
    command
}

async fn succeeds(command: &mut Command) -> String {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(RUN_PATIENCE, running).await.expect("in time").expect("it can be run");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// The client as it would come from PyPI, in a folder of its own.
async fn installed() -> TempDir {
    let folder = tempfile::Builder::new().prefix("prosed-python-").tempdir().expect("a folder");
    // From the source archive, so that nothing is missing in it.
    let built = folder.path().join("dist");
    succeeds(tool("python").args(["-m", "build", "--no-isolation", "--outdir"]).arg(&built)).await;
    let find = |end: &str| {
        let entries = fs::read_dir(&built).expect("built").flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.display().to_string().ends_with(end)).expect("built")
    };
    let contents = succeeds(Command::new("tar").arg("-tzf").arg(find(".tar.gz"))).await;
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "src/prosed/py.typed", "tests/test_wire.py"] {
        assert!(contents.contains(file), "{file} is not in the archive:\n{contents}");
    }
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"];
    succeeds(tool("python").args(install).arg(folder.path().join("site")).arg(find(".whl"))).await;
    folder
}

/// Everything that the tests in Python can have happen.
struct Scene {
    server: Server,
    alice: Contact,
    daemon: Daemon,
    /// In front of the daemon's port.
    proxy: Proxy,
    /// Of each life of the daemon, to know what has truly happened.
    watchers: Vec<Ui>,
}

impl Scene {
    async fn set() -> Self {
        let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice").account("bob")).await;
        let alice = Contact::online(&server, "alice").await;
        let picture = png::solid(2, 2, [200, 80, 40]);
        alice.publish_avatar(&picture).await;
        let proxy = Proxy::beside(APART).await;
        let listen = format!("{APART}:{}", proxy.port);
        let daemon = Daemon::start(Daemon::setup().trust(&server).listen(&listen)).await;
        let watcher = watcher(&daemon).await;
        watcher.call("login", server.login("me")).await.expect("logged in");
        watcher.contact(&alice.jid, |contact| contact["avatar"].is_object()).await;
        Self { server, alice, daemon, proxy, watchers: vec![watcher] }
    }

    async fn make_happen(&mut self, wish: Value) -> Value {
        match wish["name"].as_str().expect("a name") {
            "where" => {
                return json!({
                    "me": self.server.jid("me"), "alice": self.alice.jid, "token": self.daemon.token(),
                    "url": self.daemon.endpoint()["url"], "runtimeDir": self.daemon.runtime_dir(),
                    "proxied": format!("ws://127.0.0.1:{}/rpc", self.proxy.port),
                });
            }
            "presence" => {
                let status = wish["status"].as_str().expect("a status");
                self.alice.set_presence(wish["show"].as_str(), Some(status)).await;
                if wish["wait"] != false {
                    self.watcher().contact(&self.alice.jid, |contact| contact["status"] == status).await;
                }
            }
            "flood" => self.flood(wish["times"].as_u64().expect("a number")).await,
            "cut" => {
                let until = self.proxy.broken() + self.proxy.live();
                self.proxy.cut();
                // One that has ended by itself meanwhile is not counted.
                let cut = async {
                    while self.proxy.broken() < until {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let _ended = tokio::time::timeout(Duration::from_secs(1), cut).await;
            }
            "cut_next" => {
                let after = wish["after"].as_u64().expect("a number");
                self.proxy.cut_next(Cut { way: Way::Down, after, reset: true });
            }
            "refuse" => self.proxy.refuse(),
            "flow" => self.proxy.flow(),
            "kill" => self.daemon.kill(),
            "start" => {
                self.daemon.restart().await;
                self.watchers.push(watcher(&self.daemon).await);
            }
            "heard" => return self.heard(&wish).await,
            other => panic!("nobody knows how to make this happen: {other}"),
        }
        Value::Null
    }

    fn watcher(&self) -> &Ui {
        self.watchers.last().expect("one at least")
    }

    /// Changes of presence of somebody with as long a profile as there can be, so that each is a large
    /// event: a daemon retains about 80 of them.
    async fn flood(&mut self, times: u64) {
        let url = format!("<url><uri>https://{}</uri></url>", "\u{1f30a}".repeat(990));
        let urls = |count| url.repeat(count);
        self.alice.publish_vcard4(VCARD4, &urls(20)).await;
        for number in 0..times {
            let status = number.to_string();
            self.alice.set_presence(None, Some(&status)).await;
            let told = |contact: &Value| contact["status"].as_str() == Some(&status);
            self.watcher().contact(&self.alice.jid, told).await;
        }
        self.alice.publish_vcard4(VCARD4, &urls(0)).await;
        self.watcher().contact(&self.alice.jid, |contact| contact.get("profile").is_none()).await;
    }

    /// The events in a range of `seq`, once they are all here.
    async fn heard(&self, wish: &Value) -> Value {
        let (since, until) = (wish["since"].as_u64().expect("a seq"), wish["until"].as_u64().expect("a seq"));
        let seq = |event: &Value| event["seq"].as_u64().unwrap_or_default();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let events: Vec<_> = self.watchers.iter().flat_map(Ui::events).collect();
            if events.iter().any(|event| seq(event) >= until) {
                let named = |event: &Value| wish["event"].is_null() || wish["event"] == event["event"];
                let range = |event: &Value| (since + 1..=until).contains(&seq(event));
                return events.into_iter().filter(|event| range(event) && named(event)).collect();
            }
            assert!(tokio::time::Instant::now() < deadline, "no event {until}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Hears of everything that the daemon does, also of what was before it came.
async fn watcher(daemon: &Daemon) -> Ui {
    let watcher = Ui::connect(daemon).await;
    let expired = watcher.call("get_events", json!({ "since": 0 })).await.err();
    let oldest = expired.and_then(|error| error.data["oldest"].as_u64()).unwrap_or(1);
    watcher.subscribe(json!({ "since": oldest - 1 })).await;
    watcher
}

#[tokio::test]
async fn it_is_generated_from_the_contract() {
    succeeds(Command::new("python3").arg(client().join("generate.py")).arg("--check")).await;
}

#[tokio::test]
async fn its_types_hold() {
    succeeds(&mut tool("mypy")).await;
    let python = tool("python");
    let mut pyright = tool("pyright");
    // Of the version that is installed, whatever may be new.
    pyright.arg("--pythonpath").arg(python.as_std().get_program()).env("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1");
    succeeds(&mut pyright).await;
    succeeds(tool("ruff").args(["check", "--no-cache"])).await;
    succeeds(tool("ruff").args(["format", "--check", "--no-cache"])).await;
}

#[test]
fn its_version_is_the_workspaces() {
    let manifest = fs::read_to_string(client().join("pyproject.toml")).expect("pyproject.toml");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    assert_eq!(manifest["project"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_readme_is_true() {
    let folder = installed().await;
    let mut scene = Scene::set().await;
    let readme = fs::read_to_string(client().join("README.md")).expect("the README");
    let programs: Vec<_> =
        readme.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(programs.len(), 3);
    for program in programs {
        // Some go on for ever.
        let mut command = Command::new("timeout");
        command.arg("4").arg(tool("python").as_std().get_program()).args(["-W", "error", "-c", program]);
        command.env("PYTHONPATH", folder.path().join("site"));
        command.env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir());
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let lively = async {
            for number in 0.. {
                scene.alice.set_presence(Some("away"), Some(&number.to_string())).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let output = tokio::select! {
            output = running => output.expect("it can be run"),
            () = lively => unreachable!("it is lively for ever"),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 124)), "{program}\n{said}{errors}");
        assert!(said.contains("Alice"), "{program}\n{said}{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_what_its_tests_say() {
    let folder = installed().await;
    let stage = Stage::open().await;
    let mut scene = Scene::set().await;
    let mut tests = tool("python");
    tests
        .args([
            "-W",
            "error",
            "-m",
            "unittest",
            "discover",
            "--verbose",
            "--top-level-directory",
            ".",
            "tests",
        ])
        .env("PYTHONPATH", folder.path().join("site"))
        .env("PROSED_STAGE", stage.port().to_string())
        .env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir());
    let said = tokio::select! {
        () = stage.serve(async |wish| scene.make_happen(wish).await) => unreachable!("it serves on and on"),
        said = succeeds(&mut tests) => said,
    };
    let ran = said.lines().rev().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next());
    let ran: usize = ran.and_then(|number| number.parse().ok()).expect("a number of tests");
    assert!(ran >= 40 && !said.contains("skipped"), "{said}");
}
