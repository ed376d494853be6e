//! Programs that follow events continue across lost connections and daemon restarts: `prosectl events --follow`, and
//! the Rust client's example.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use prosed_tests::daemon::binary;
use prosed_tests::inbox::Inbox;
use prosed_tests::server::Setup;
use prosed_tests::{Contact, Daemon, Kind, PATIENCE, Server, Ui};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// A program that prints lines for as long as it runs. It is killed when dropped.
struct Program {
    lines: Inbox<String>,
    errors: Inbox<String>,
    _child: Child,
}

impl Program {
    fn start(program: &Path, arguments: &[&str], runtime_dir: &Path) -> Self {
        assert!(program.is_file(), "no {}: run cargo test --workspace", program.display());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.env("PROSED_RUNTIME_DIR", runtime_dir).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let lines = collect(child.stdout.take().expect("a pipe"));
        let errors = collect(child.stderr.take().expect("a pipe"));
        Self { lines, errors, _child: child }
    }

    async fn line(&self, holds: &str) -> String {
        self.lines.expect(PATIENCE, holds, |line| line.contains(holds)).await
    }

    /// The numbers of all events so far.
    fn seqs(&self) -> Vec<u64> {
        self.lines.all().iter().map(|line| seq(&serde_json::from_str(line).expect("JSON"))).collect()
    }
}

fn collect(output: impl AsyncRead + Unpin + Send + 'static) -> Inbox<String> {
    let inbox = Inbox::new(String::clone);
    let lines = inbox.clone();
    tokio::spawn(async move {
        let mut output = BufReader::new(output).lines();
        while let Ok(Some(line)) = output.next_line().await {
            lines.push(line);
        }
        lines.close();
    });
    inbox
}

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().expect("a seq")
}

fn prosectl() -> PathBuf {
    binary().with_file_name("prosectl")
}

/// A runtime directory whose socket leads to the daemon's over a way that can be cut.
struct Detour {
    folder: tempfile::TempDir,
    cut: Arc<Notify>,
}

impl Detour {
    fn to(daemon: &Daemon) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("detour.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        let mut endpoint = daemon.endpoint().clone();
        endpoint["socket"] = json!(socket);
        endpoint.as_object_mut().expect("an object").remove("url");
        std::fs::write(folder.path().join("endpoint.json"), endpoint.to_string()).expect("written");
        let (cut, upstream) = (Arc::new(Notify::new()), daemon.socket().expect("a socket"));
        let cuts = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (cuts, upstream) = (Arc::clone(&cuts), upstream.clone());
                tokio::spawn(async move {
                    let mut far = UnixStream::connect(upstream).await.expect("the daemon is there");
                    tokio::select! {
                        () = cuts.notified() => {}
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { folder, cut }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_loses_nothing_and_doubles_nothing() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.event_within(Duration::from_millis(500), "none", |_| false).await;
    let since = ui.call("get_events", json!({})).await.expect("where the log stands")["seq"].to_string();
    ui.subscribe(json!({ "since": since.parse::<u64>().expect("a number") })).await;

    let detour = Detour::to(&daemon);
    let arguments = ["events", "--follow", "--since", &since];
    let follower = Program::start(&prosectl(), &arguments, detour.folder.path());
    // Our own presence: a contact who keeps changing is reported only twice a second.
    for turn in 0..40 {
        let presence = json!({ "availability": "away", "status": format!("turn {turn}") });
        ui.call("set_presence", presence).await.expect("said");
        if turn % 4 == 3 {
            follower.line("accountChanged").await;
            detour.cut.notify_waiters();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    alice.set_presence(None, Some("done")).await;
    follower.line("done").await;
    ui.contact("alice@prosed.test", |contact| contact["status"] == "done").await;
    let expected: Vec<_> = ui.events().iter().map(seq).collect();
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(follower.seqs(), expected);
    assert_eq!(follower.errors.all(), Vec::<String>::new(), "nothing was lost, so there is nothing to say");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_starts_anew_is_followed_again() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.call("load_roster", json!({})).await.expect("a roster");
    let follower = Program::start(&prosectl(), &["events", "--follow"], &daemon.runtime_dir());
    let example = binary().with_file_name("examples").join("follow");
    let example = Program::start(&example, &[], &daemon.runtime_dir());
    example.line("\"Alice\" is ").await;
    // What it follows begins when it is there, which may be after the example is.
    let mut beginnings = 0;
    while follower.lines.wait(Duration::from_millis(500), |_| true).await.is_none() {
        beginnings += 1;
        alice.set_presence(Some("away"), Some(&format!("is it there? {beginnings}"))).await;
    }

    for (turn, killed) in [(0, true), (1, false), (2, true)] {
        // A contact who changes all the time.
        let before = format!("before {turn}");
        alice.set_presence(Some("dnd"), Some(&before)).await;
        follower.line(&before).await;
        example.line("\"Alice\" is Dnd").await;
        if killed {
            daemon.kill();
        }
        alice.set_presence(Some("away"), Some("while nobody looks")).await;
        daemon.restart().await;
        let after = format!("after {turn}");
        alice.set_presence(Some("chat"), Some(&after)).await;
        follower.line(&after).await;
        example.line("\"Alice\" is Chat").await;
        let expired = follower.errors.expect(PATIENCE, "cursorExpired", |_| true).await;
        assert!(expired.contains("cursorExpired"), "{expired}");

        // Everything that this run of the daemon has reported, from its first event on.
        let expired: Value = serde_json::from_str(&expired).expect("JSON");
        let first = expired["data"]["oldest"].as_u64().expect("a number");
        let ui = Ui::connect(&daemon).await;
        let page = ui.call("get_events", json!({ "since": first - 1 })).await.expect("events");
        let told: Vec<_> = page["events"].as_array().expect("a list").iter().map(seq).collect();
        let last = *told.last().expect("there were some");
        // It may be one that was waited for above.
        let heard = async {
            while !follower.seqs().contains(&last) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("the last event");
        let seqs: Vec<_> = follower.seqs().into_iter().filter(|seq| (first..=last).contains(seq)).collect();
        assert_eq!(seqs, told);
    }
    let seqs = follower.seqs();
    assert!(seqs.is_sorted_by(|one, next| one < next), "nothing twice: {seqs:?}");
    assert_eq!(example.errors.all(), Vec::<String>::new());
}
