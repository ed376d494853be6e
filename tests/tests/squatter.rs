//! Another user's program takes the port of a daemon that was killed: no client sends it the token, the password or a
//! JID.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use prosed_tests::daemon::binary;
use prosed_tests::squatter::{Answer, Squatter};
use prosed_tests::{Daemon, Ui, ports};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const JID: &str = "juliet@capulet.example";
const PASSWORD: &str = "wherefore art thou";
/// The exit code of `timeout` for a program that it has ended.
const ENDED: i32 = 124;
const LOGIN: &[&str] = &["prosectl", "login", JID, "--password-stdin"];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// Every client that there is, each about to log in or to read, and what it finds of the daemon.
struct Clients {
    folder: TempDir,
    runtime_dir: PathBuf,
}

impl Clients {
    /// Clients that are led by this `endpoint.json`.
    fn led_by(endpoint: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["run", "bin", "node/node_modules"] {
            fs::create_dir_all(at(name)).expect("made");
        }
        fs::write(at("run/endpoint.json"), endpoint.to_string()).expect("written");
        // With the package ws, and without.
        let client = top().join("clients/javascript/src");
        for (name, target) in [("node/src", client.clone()), ("plain", client)] {
            copy(&target, &at(name));
        }
        symlink(tools("javascript/node_modules/ws"), at("node/node_modules/ws")).expect("linked");
        fs::write(at("node/package.json"), r#"{"type": "module"}"#).expect("written");
        fs::write(at("package.json"), r#"{"type": "module"}"#).expect("written");
        let browser = at("bin/xdg-open");
        fs::write(&browser, format!("#!/bin/sh\ncat \"$1\" > '{}'\n", at("opened").display()))
            .expect("written");
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).expect("made executable");
        let runtime_dir = at("run");
        Self { folder, runtime_dir }
    }

    /// Runs one; its exit code, and what it said. Those who go on for ever are ended ([`ENDED`]).
    async fn run(&self, program: &[&str]) -> (Option<i32>, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!(
            "{}:{}:{}:{path}",
            self.folder.path().join("bin").display(),
            binary().parent().expect("target/debug").display(),
            tools("bin").display()
        );
        let mut child = Command::new("timeout")
            .args(["--kill-after=1", "6"])
            .args(program)
            .env("PATH", path)
            .env("PYTHONPATH", top().join("clients/python/src"))
            .env("PROSED_RUNTIME_DIR", &self.runtime_dir)
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it can be run");
        // It may end without reading.
        let _ = child.stdin.take().expect("a pipe").write_all(format!("{PASSWORD}\n").as_bytes()).await;
        let output = child.wait_with_output().await.expect("our child");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs all of them: none succeeds. Answers with what each said that has ended by itself.
    async fn all(&self, url: &str, token: &str) -> Vec<(String, String)> {
        let python = tools("python/bin/python").display().to_string();
        let scripts = top().join("clients/scripts");
        let script = |name: &str| scripts.join(name).display().to_string();
        let follow = binary().with_file_name("examples").join("follow").display().to_string();
        let node = |from: &str, options: &str| {
            let client = self.folder.path().join(from).join("node.js");
            format!(
                "import {{ connect }} from {client:?};\n\
                 const prosed = await connect({options});\n\
                 await prosed.login({{ jid: {JID:?}, password: {PASSWORD:?} }});"
            )
        };
        let given = json!({ "url": url, "token": token }).to_string();
        let nodes = [node("node/src", ""), node("plain", ""), node("plain", &given)];
        let pythons = [
            format!(
                "import prosed.sync\nprosed.sync.connect().__enter__().login({JID:?}, password={PASSWORD:?})"
            ),
            format!(
                "import asyncio, prosed\nasync def main():\n    async with prosed.connect() as client:\n        \
                 await client.login({JID:?}, password={PASSWORD:?})\nasyncio.run(main())"
            ),
        ];
        let (login, roster, presence) = (script("login.sh"), script("roster.sh"), script("presence.sh"));
        let (follows, poll, avatar) = (script("follow.sh"), script("poll.sh"), script("avatar.sh"));
        let mut programs: Vec<Vec<&str>> = vec![
            LOGIN.to_vec(),
            vec!["prosectl", "contact", JID],
            vec!["prosectl", "events", "--follow", "--account", JID],
            vec!["prosectl", "open"],
            vec!["prosectl", "doctor", JID],
            vec![&follow],
            vec![&login, JID],
            vec![&roster, JID],
            vec![&presence, "away"],
            vec![&avatar, JID],
            vec![&follows],
            vec![&poll],
        ];
        programs.extend(
            nodes
                .iter()
                .map(|it| vec!["node", "--experimental-websocket", "--input-type=module", "--eval", it]),
        );
        programs.extend(pythons.iter().map(|it| vec![&*python, "-B", "-c", it]));
        let runs = programs.iter().map(|program| async {
            let (code, said) = self.run(program).await;
            (program.join(" "), code, said)
        });
        let mut outcomes = Vec::new();
        for (program, code, said) in futures::future::join_all(runs).await {
            assert_ne!(code, Some(0), "{program} was content: {said}");
            if code != Some(ENDED) {
                outcomes.push((program, said));
            }
        }
        assert!(!self.folder.path().join("opened").exists(), "a page with the token was opened");
        outcomes
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("the client").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

fn tools(name: &str) -> PathBuf {
    let path = binary().ancestors().nth(2).expect("target").join("tools").join(name);
    assert!(path.exists(), "{}: tests/install", path.display());
    path
}

/// No word of it is anybody's business.
fn is_told_nothing(squatter: &Squatter, token: &str) {
    let heard = squatter.heard();
    for secret in [token, PASSWORD, JID, "juliet"] {
        assert!(!heard.contains(secret), "{secret} in what the squatter heard:\n{heard}");
    }
    for line in heard.lines().filter(|line| line.contains(" HTTP/1.1")) {
        let harmless = line.starts_with("GET /challenge ") || line.starts_with("GET /healthz ");
        assert!(harmless, "{line}");
    }
}

fn without_socket(daemon: &Daemon) -> Value {
    let mut endpoint = daemon.endpoint().clone();
    endpoint.as_object_mut().expect("an object").remove("socket");
    endpoint
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_the_port_is_told_nothing() {
    let mut daemon = Daemon::start(Daemon::setup()).await;
    let (token, url) = (daemon.token(), daemon.endpoint()["url"].as_str().expect("a url").to_owned());
    daemon.kill();
    let squatter = Squatter::at(&daemon.address(), Answer::Guess).await;

    // As it was left: its socket is dead, so nobody looks at the port who was not sent there.
    let clients = Clients::led_by(daemon.endpoint());
    let ended = clients.all(&url, &token).await;
    assert!(ended.len() >= 8, "{ended:?}");
    for (program, said) in ended {
        let says_so = ["not running", "does not run", "Stale", "Connection refused"]
            .iter()
            .any(|word| said.contains(word));
        // Who was given an address knows no more.
        assert!(says_so || program.contains(&url), "{program} said only: {said}");
    }
    is_told_nothing(&squatter, &token);

    // Where there is only a port.
    Clients::led_by(&without_socket(&daemon)).all(&url, &token).await;
    is_told_nothing(&squatter, &token);
    assert!(squatter.heard().contains("GET /challenge "), "somebody asked");
}

/// The daemon is back elsewhere, and an old `endpoint.json` or address leads to its old port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_told_nothing() {
    let (daemon, squatter, clients) = relay(Daemon::setup()).await;
    clients.all(&format!("ws://{}/rpc", squatter.address), &daemon.token()).await;
    is_told_nothing(&squatter, &daemon.token());
    assert!(squatter.heard().contains("GET /challenge "), "somebody asked");

    let (daemon, squatter, clients) = relay(Daemon::setup().without("challenge-address")).await;
    clients.run(LOGIN).await;
    let heard = squatter.heard();
    assert!(heard.contains(&daemon.token()) && heard.contains(PASSWORD), "{heard}");
}

/// A squatter that relays challenges to the daemon, which listens at another address.
async fn relay(setup: prosed_tests::daemon::Setup) -> (Daemon, Squatter, Clients) {
    let port = ports::free();
    let daemon = Daemon::start(setup.listen(&format!("127.0.0.2:{port}"))).await;
    let relay = Answer::Relay(daemon.address().parse().expect("an address"));
    let squatter = Squatter::at(&format!("127.0.0.1:{port}"), relay).await;
    let mut endpoint = without_socket(&daemon);
    endpoint["url"] = format!("ws://{}/rpc", squatter.address).into();
    (daemon, squatter, Clients::led_by(&endpoint))
}

/// Those who hear nothing above would hear it if they had the token: they listen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_token_is_told_everything() {
    let mut daemon = Daemon::start(Daemon::setup()).await;
    let token = daemon.token();
    daemon.kill();
    let squatter = Squatter::at(&daemon.address(), Answer::Right(token.clone())).await;
    let clients = Clients::led_by(&without_socket(&daemon));
    clients.run(LOGIN).await;
    let heard = squatter.heard();
    assert!(heard.contains(&token) && heard.contains(JID) && heard.contains(PASSWORD), "{heard}");
}

/// A stale address beside a live socket: the page that takes the token must not come from a stranger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_a_stranger_is_opened() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let squatter = Squatter::at("127.0.0.1:0", Answer::Guess).await;
    let mut endpoint = daemon.endpoint().clone();
    endpoint["url"] = format!("ws://{}/rpc", squatter.address).into();
    let clients = Clients::led_by(&endpoint);
    let (code, said) = clients.run(&["prosectl", "open"]).await;
    assert!(code == Some(77) && said.contains("does not prove to be prosed"), "{said}");
    assert!(!clients.folder.path().join("opened").exists());
    is_told_nothing(&squatter, &daemon.token());
    Ui::connect(&daemon).await;
}

/// Where the sockets belong to somebody else, so may what listens there. Needs root, to be somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_users_socket_is_told_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: another_users_socket_is_told_nothing needs root");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("our own folder");
    let socket = folder.path().join("prosed.sock");
    let heard = folder.path().join("heard");
    let stranger = "import socket, sys\n\
        server = socket.socket(socket.AF_UNIX)\nserver.bind(sys.argv[1])\nserver.listen()\nprint(flush=True)\n\
        while True:\n    visitor, _ = server.accept()\n    visitor.settimeout(1)\n    try: said = visitor.recv(9999)\n    \
        except OSError: said = b''\n    open(sys.argv[2], 'ab').write(said)\n    visitor.close()\n";
    let mut stranger = Command::new("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-c", stranger])
        .args([&socket, &heard])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("setpriv and python3 are installed");
    let mut ready = [0];
    let mut output = stranger.stdout.take().expect("a pipe");
    tokio::io::AsyncReadExt::read_exact(&mut output, &mut ready).await.expect("it listens");
    let token = folder.path().join("token");
    let endpoint =
        json!({"socket": socket, "token_file": token, "pid": 1, "version": "0.1.0", "apiLevel": 1});
    Clients::led_by(&endpoint).all("ws://127.0.0.1:1/rpc", "guess").await;
    let heard = fs::read_to_string(&heard).unwrap_or_default();
    assert_eq!(heard, "", "somebody has spoken");
}
