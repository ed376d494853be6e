//! systemd, played by a test: sockets that it has opened, the watchdog that it expects to be fed.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use prosed_tests::PATIENCE;
use prosed_tests::daemon::binary;
use prosed_tests::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{BlackHole, STOP_WITHIN, break_it};

/// What systemd would wait for: short, for a test.
const WATCHDOG: Duration = Duration::from_millis(1200);

/// Passes descriptors 0 and 1 on as 3 and 4, and becomes prosed: the process whose number it says.
const PASS: &str = r#"export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$0" "$@" 3<&0 4<&1 0</dev/null 1>&2"#;

/// prosed as `prosed.socket` and `prosed.service` start it.
struct Unit {
    process: Process,
    notify: UnixDatagram,
    folder: TempDir,
}

/// The doors that systemd opens before anybody is behind them.
struct Sockets {
    tcp: TcpListener,
    unix: UnixListener,
    path: PathBuf,
}

impl Sockets {
    fn open(folder: &Path, address: &str) -> Self {
        let path = folder.join("passed.sock");
        let unix = UnixListener::bind(&path).expect("the folder is ours");
        Self { tcp: TcpListener::bind(address).expect("a free port"), unix, path }
    }
}

impl Unit {
    fn start(folder: TempDir, sockets: &Sockets) -> Self {
        let home = folder.path();
        let notify = UnixDatagram::bind(home.join("notify")).expect("the folder is ours");
        let (tcp, unix) = (sockets.tcp.try_clone(), sockets.unix.try_clone());
        let (tcp, unix) = (OwnedFd::from(tcp.expect("a copy")), OwnedFd::from(unix.expect("a copy")));
        let process = Process::spawn(Path::new("/bin/sh"), &home.join("log"), |command| {
            command
                .args(["-c", PASS])
                .arg(binary())
                .stdin(tcp)
                .stdout(unix)
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("HOME", home)
                .env("XDG_RUNTIME_DIR", home)
                .env("LISTEN_FDS", "2")
                .env("NOTIFY_SOCKET", home.join("notify"))
                .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
                .env("PROSED_PROVOKE", "1");
        });
        Self { process: process.expect("it can be started"), notify, folder }
    }

    /// What systemd is told next; none within `patience`.
    fn told(&self, patience: Duration) -> Option<String> {
        self.notify.set_read_timeout(Some(patience)).expect("a duration");
        let mut line = [0; 512];
        let length = self.notify.recv(&mut line).ok()?;
        Some(String::from_utf8_lossy(&line[..length]).into_owned())
    }

    fn endpoint(&self) -> Value {
        let text = fs::read_to_string(self.folder.path().join("prosed/endpoint.json")).expect("it is ready");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The result of one call.
    async fn call(&self, sockets: &Sockets, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = format!(
            "POST /rpc HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = tokio::net::UnixStream::connect(&sockets.path).await.expect("it listens");
        socket.write_all(request.as_bytes()).await.expect("somebody is there");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        let body = answer.split_once("\r\n\r\n").expect("HTTP").1;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passed_sockets_are_the_doors_and_the_watchdog_is_fed_while_nobody_is_stuck() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sockets = Sockets::open(folder.path(), "127.0.0.1:0");
    // Somebody knocks before there is anybody: that is what starts the service.
    let address = sockets.tcp.local_addr().expect("it is bound");
    let mut early = tokio::net::TcpStream::connect(address).await.expect("systemd listens");
    let knock = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    early.write_all(knock.as_bytes()).await.expect("systemd listens");

    let mut unit = Unit::start(folder, &sockets);
    let ready = unit.told(PATIENCE).expect("it is ready");
    assert!(ready.starts_with("READY=1\n") && ready.contains(&address.to_string()), "{ready}");
    assert!(ready.contains("passed.sock"), "{ready}");
    let mut answer = String::new();
    early.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let endpoint = unit.endpoint();
    assert_eq!(endpoint["url"], format!("ws://{address}/rpc"));
    assert_eq!(endpoint["socket"], sockets.path.display().to_string());
    assert_eq!(unit.call(&sockets, "get_version", json!({})).await["result"]["name"], "prosed");

    let hole = BlackHole::open().await;
    let login = tokio::join!(hole.swallow(1), async {
        let call = unit.call(&sockets, "login", hole.login("me"));
        tokio::time::timeout(Duration::from_millis(500), call).await.expect_err("nobody answers the login")
    });
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(unit.told(WATCHDOG).as_deref(), Some("WATCHDOG=1\n"));
    }
    assert!(begun.elapsed() > WATCHDOG / 2, "no more often than it has to be: {:?}", begun.elapsed());

    let stall = unit.call(&sockets, "set_presence", break_it("me@prosed.test", "stall now"));
    tokio::time::timeout(Duration::from_millis(100), stall).await.expect_err("the account is stuck");
    // At most what was on its way; then nothing, for longer than systemd waits.
    while unit.told(Duration::from_millis(50)).is_some() {}
    assert_eq!(unit.told(WATCHDOG * 2), None);

    let asked = Instant::now();
    unit.process.signal(rustix::process::Signal::TERM);
    assert_eq!(unit.told(PATIENCE).as_deref(), Some("STOPPING=1\n"));
    assert!(unit.process.wait(PATIENCE).await.success());
    assert!(asked.elapsed() < STOP_WITHIN, "a stuck account: {:?}", asked.elapsed());
    assert!(sockets.path.exists(), "the socket's file is systemd's");
    drop(login);
}

#[tokio::test]
async fn a_passed_port_that_others_can_reach_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sockets = Sockets::open(folder.path(), "0.0.0.0:0");
    let mut unit = Unit::start(folder, &sockets);
    assert_eq!(unit.process.wait(PATIENCE).await.code(), Some(4));
    assert!(unit.process.log().contains("can be reached from other computers"), "{}", unit.process.log());
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    for name in ["prosed.service", "prosed.socket"] {
        let text = fs::read_to_string(units.join(name)).expect("a unit");
        let text = text.replace("%h/.cargo/bin/prosed", &binary().display().to_string());
        fs::write(folder.path().join(name), text).expect("the folder is ours");
    }
    let Some(verdict) = verify(folder.path()) else {
        eprintln!("skipped: systemd_finds_no_fault_with_the_units needs systemd-analyze");
        return;
    };
    assert_eq!(verdict, "");
    let socket = folder.path().join("prosed.socket");
    let text = fs::read_to_string(&socket).expect("just written").replace("SocketMode=", "SocketMod=");
    fs::write(&socket, text).expect("the folder is ours");
    assert!(verify(folder.path()).expect("it is there").contains("SocketMod"), "a fault is found");
}

/// What systemd has to say of the units in this folder; none: it is not here.
fn verify(folder: &Path) -> Option<String> {
    let output = Command::new("systemd-analyze")
        .args(["--user", "verify", "./prosed.service", "./prosed.socket"])
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .output();
    let output = output.ok()?;
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}
