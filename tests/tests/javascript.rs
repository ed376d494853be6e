//! The JavaScript client, packed as for npm, against a live daemon: its own tests, which ask for
//! killed daemons and cut connections here, and its types.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use prosed_tests::contact::Client;
use prosed_tests::process::Process;
use prosed_tests::proxy::{Proxy, Way};
use prosed_tests::server::Setup;
use prosed_tests::stage::Stage;
use prosed_tests::{Contact, Daemon, Kind, PATIENCE, Server, Ui, png};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// How long all tests of one run may take on a busy machine.
const RUN_PATIENCE: Duration = Duration::from_secs(300);
/// Where the daemon listens: the same port of 127.0.0.1 is the proxy's.
const APART: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

async fn succeeds(command: &mut Command) -> String {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(RUN_PATIENCE, running).await.expect("in time").expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{errors}", output.status);
    said
}

/// A project that has the client installed as npm would, from what `npm pack` makes, with the tests
/// beside it.
struct Project(TempDir);

impl Project {
    async fn new(packages: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("prosed-javascript-").tempdir().expect("a folder");
        let modules = folder.path().join("node_modules");
        fs::create_dir(&modules).expect("made");
        // From a copy: packing puts files aside for a moment.
        let copy = folder.path().join("prosed/clients");
        fs::create_dir_all(&copy).expect("made");
        for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
            fs::copy(top().join(file), copy.with_file_name(file)).expect("copied");
        }
        succeeds(Command::new("cp").arg("-r").arg(top().join("clients/javascript")).arg(&copy)).await;
        let pack = ["pack", "--silent", "--pack-destination"];
        let mut npm = Command::new("npm");
        npm.args(pack).arg(folder.path()).current_dir(copy.join("javascript"));
        let name = succeeds(&mut npm).await;
        succeeds(Command::new("tar").arg("-xzf").arg(name.trim()).current_dir(folder.path())).await;
        fs::rename(folder.path().join("package"), modules.join("prosed")).expect("moved");
        let tools = prosed_tests::daemon::binary().ancestors().nth(2).expect("target").join("tools");
        for package in packages {
            let installed = tools.join("javascript/node_modules").join(package);
            assert!(installed.exists(), "{}: tests/install", installed.display());
            symlink(installed, modules.join(package)).expect("linked");
        }
        fs::write(folder.path().join("package.json"), r#"{"type": "module"}"#).expect("written");
        fs::rename(copy.join("javascript/test"), folder.path().join("test")).expect("moved");
        Self(folder)
    }
}

/// Everything that the tests in JavaScript can have happen.
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
        let watcher = Ui::watching(&daemon).await;
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
            "cut" => self.proxy.cut(),
            "refuse" => self.proxy.refuse(),
            "stall" => self.proxy.stall(),
            "flow" => self.proxy.flow(),
            "kill" => self.daemon.kill(),
            "start" => {
                self.daemon.restart().await;
                self.watchers.push(Ui::watching(&self.daemon).await);
            }
            "knocks" => return self.proxy.connections().into(),
            "carried" => return self.proxy.bytes(Way::Down).into(),
            "heard" => return self.heard(&wish).await,
            other => panic!("nobody knows how to make this happen: {other}"),
        }
        Value::Null
    }

    fn watcher(&self) -> &Ui {
        self.watchers.last().expect("one at least")
    }

    /// Changes of a contact with many devices that have much to say: each is an event of 128 kB, of
    /// which a daemon retains about 130.
    async fn flood(&mut self, times: u64) {
        let mut devices = Vec::new();
        for number in 0..8 {
            let name = format!("device{number}");
            let mut device = Contact::connect_as(&self.server, "alice", &name, Client::default()).await;
            device.set_presence(Some("xa"), Some(&"\u{1f30a}".repeat(4_000))).await;
            devices.push(device);
        }
        for number in 0..times {
            let status = number.to_string();
            self.alice.set_presence(Some("chat"), Some(&status)).await;
            self.watcher().contact(&self.alice.jid, |contact| contact["status"] == status.as_str()).await;
        }
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

async fn test_with(packages: &[&str], flags: &[&str], files: &[&str]) {
    let project = Project::new(packages).await;
    let stage = Stage::open().await;
    let mut scene = Scene::set().await;
    let log = project.0.path().join("node.log");
    let node = Process::spawn(Path::new("node"), &log, |node| {
        node.args(flags)
            .args(["--test", "--test-concurrency=1", "--test-reporter=tap"])
            .args(files.iter().map(|file| format!("test/{file}.test.js")))
            .current_dir(project.0.path())
            .env("PROSED_STAGE", stage.port().to_string())
            .env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir());
    });
    let mut node = node.expect("node can be started: tests/install");
    tokio::select! {
        () = stage.serve(async |wish| scene.make_happen(wish).await) => {}
        status = node.wait(RUN_PATIENCE) => assert!(status.success(), "node ended: {status}"),
    }
    let said = fs::read_to_string(&log).expect("what node said");
    assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_package_ws_over_the_unix_socket() {
    test_with(&["ws"], &[], &["calls", "events", "floods"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_but_node_over_the_port() {
    // As every Node from 22 on has it.
    test_with(&[], &["--experimental-websocket"], &["calls", "events"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_its_readme_runs() {
    let project = Project::new(&["ws"]).await;
    let mut scene = Scene::set().await;
    let readme = fs::read_to_string(top().join("clients/javascript/README.md")).expect("the README");
    let mut examples = 0;
    for example in readme.split("```js\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let mut node = Command::new("timeout");
        node.args(["4", "node", "--input-type=module", "--eval", example])
            .current_dir(project.0.path())
            .env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir())
            .stdin(Stdio::null());
        let lively = async {
            for number in 0.. {
                scene.alice.set_presence(Some("away"), Some(&number.to_string())).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        let output = tokio::select! {
            output = node.output() => output.expect("node can be started"),
            () = lively => continue,
        };
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(matches!(output.status.code(), Some(0 | 124)), "{example}\n{errors}");
        let tells = ["Alice", "contactUnknown", "alice@prosed.test changed", "me@prosed.test online"];
        assert!(tells.iter().any(|word| said.contains(word)), "{example}\nsaid only:\n{said}{errors}");
        examples += 1;
    }
    assert!(examples >= 4, "{examples}");
}

#[tokio::test]
async fn its_types_are_those_of_the_api() {
    let check = ["generate.js", "--check"];
    succeeds(Command::new("node").args(check).current_dir(top().join("clients/javascript"))).await;
    let project = Project::new(&["typescript", "@types", "undici-types"]).await;
    let options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"];
    let page = ["--lib", "es2022,dom,dom.asynciterable", "--typeRoots", "test"];
    let node = ["--lib", "es2022", "--types", "node"];
    for environment in [&page[..], &node[..]] {
        let mut tsc = Command::new("node");
        tsc.arg("node_modules/typescript/bin/tsc").args(options).args(environment).arg("test/types.ts");
        succeeds(tsc.current_dir(project.0.path())).await;
    }
}
