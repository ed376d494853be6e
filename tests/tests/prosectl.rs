//! prosectl with a real daemon on a real server, as a script would use it: in a pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use prosed_tests::daemon::binary;
use prosed_tests::server::{Setup, password};
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, png};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const ALICE: &str = "alice@prosed.test";
const BOB: &str = "bob@prosed.test";
const ME: &str = "me@prosed.test";

fn command(daemon: &Daemon, arguments: &[&str]) -> Command {
    let prosectl = binary().with_file_name("prosectl");
    assert!(prosectl.is_file(), "no {}: run cargo build --workspace", prosectl.display());
    // Killed with the test, whatever it waits for.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(prosectl).args(arguments);
    command.env("PROSED_RUNTIME_DIR", daemon.runtime_dir());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What it printed, line by line, if it ended with 0; else its exit code and what it complained of.
fn prosectl(daemon: &Daemon, arguments: &[&str], input: &str) -> Result<Vec<Value>, (i32, Value)> {
    let mut child = command(daemon, arguments).spawn().expect("prosectl can be started");
    // It may end without reading.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("our child");
    let lines = |text: &[u8]| -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line));
        String::from_utf8_lossy(text).lines().map(parse).collect()
    };
    match status.code() {
        Some(0) => Ok(lines(&stdout)),
        code => Err((code.unwrap_or_default(), lines(&stderr).into_iter().next().unwrap_or_default())),
    }
}

/// A running `prosectl events --follow`.
struct Follower(Child);

impl Follower {
    fn start(daemon: &Daemon, arguments: &[&str]) -> Self {
        Self(command(daemon, arguments).spawn().expect("prosectl can be started"))
    }

    /// Reads on until a line fits. Without one the test ends at its runner's patience.
    async fn wait_for(&mut self, mut fits: impl FnMut(&Value) -> bool + Send + 'static) -> Value {
        let mut output = BufReader::new(self.0.stdout.take().expect("read once"));
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            loop {
                line.clear();
                assert!(output.read_line(&mut line).expect("text") > 0, "it ended");
                let event: Value = serde_json::from_str(&line).expect("a line of JSON");
                if fits(&event) {
                    return event;
                }
            }
        });
        tokio::time::timeout(prosed_tests::PATIENCE, reading).await.expect("in time").expect("found")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _gone = kill_process(Pid::from_child(&self.0), Signal::KILL);
        let _status = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_from_login_to_logout() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let port = server.port.to_string();
    let login = ["login", ME, "--host", "127.0.0.1", "--port", &port, "--tls", "starttls"];
    let with_password = [&login[..], &["--password-stdin"]].concat();

    let (code, error) = prosectl(&daemon, &with_password, "guess-2718\n").expect_err("refused");
    assert_eq!((code, &error["data"]["kind"]), (11, &json!("notAuthorized")), "{error}");
    assert!(!error.to_string().contains("guess-2718"), "{error}");
    let account = prosectl(&daemon, &with_password, &password("me")).expect("logged in");
    assert_eq!((&account[0]["account"], &account[0]["state"]), (&json!(ME), &json!("online")));

    let accounts = prosectl(&daemon, &["accounts"], "").expect("accounts");
    assert_eq!(accounts.iter().map(|one| &one["account"]).collect::<Vec<_>>(), [ME]);
    let roster = prosectl(&daemon, &["roster"], "").expect("a roster");
    assert_eq!(roster.iter().map(|one| &one["jid"]).collect::<Vec<_>>(), [ALICE]);
    let contact = prosectl(&daemon, &["contact", ALICE], "").expect("a contact");
    assert_eq!(contact[0]["name"], "Alice");
    let version = prosectl(&daemon, &["call", "get_version"], "").expect("a version");
    assert_eq!(version[0]["name"], "prosed");

    let snapshot = prosectl(&daemon, &["call", "load_roster", "{}"], "").expect("a roster");
    let since = snapshot[0]["seq"].as_u64().expect("a seq").to_string();
    let mut follower = Follower::start(&daemon, &["events", "--follow", "--since", &since]);
    alice.set_presence(Some("dnd"), Some("painting")).await;
    let painting = |event: &Value| event["contacts"][0]["status"] == "painting";
    let told = follower.wait_for(painting).await;
    assert!(told["seq"].as_u64() > snapshot[0]["seq"].as_u64());
    let past = prosectl(&daemon, &["events", "--since", &since, "--event", "contactChanged"], "");
    assert!(past.expect("events").iter().any(painting));

    let unknown = prosectl(&daemon, &["contact", "nobody@prosed.test"], "").expect_err("nobody");
    assert_eq!(unknown.0, 31, "{unknown:?}");
    let wrong = prosectl(&daemon, &["call", "load_roster", r#"{"acount":"x"}"#], "").expect_err("misspelt");
    assert_eq!(wrong.0, 64, "{wrong:?}");
    let foreign = prosectl(&daemon, &["roster", "--account", "you@prosed.test"], "").expect_err("not here");
    assert_eq!(foreign.0, 13, "{foreign:?}");

    prosectl(&daemon, &["logout"], "").expect("logged out");
    let accounts = prosectl(&daemon, &["accounts"], "").expect("accounts");
    assert_eq!(accounts[0]["state"], "offline");
    let back = prosectl(&daemon, &login, "").expect("the remembered secret");
    assert_eq!(back[0]["state"], "online");
    prosectl(&daemon, &["logout", "--forget"], "").expect("forgotten");
    assert_eq!(prosectl(&daemon, &["accounts"], ""), Ok(Vec::new()));
    let missing = prosectl(&daemon, &login, "").expect_err("nobody can be asked");
    assert_eq!(missing.0, 12, "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_ourselves_are_managed_by_named_commands() {
    let server = Server::start(Setup::new(Kind::Prosody).account("me").account("alice").account("bob")).await;
    let (alice, bob) = (Contact::online(&server, "alice").await, Contact::online(&server, "bob").await);
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    let run = |arguments: &[&str], input: &str| {
        let printed = prosectl(&daemon, arguments, input);
        let mut printed = printed.unwrap_or_else(|(code, error)| panic!("{arguments:?}: {code}, {error}"));
        printed.pop().unwrap_or_default()
    };

    let added = run(&["add", ALICE, "--name", "Alice", "--group", "Friends"], "");
    assert_eq!((&added["name"], &added["groups"]), (&json!("Alice"), &json!(["Friends"])));
    alice.wait_for("a request", |stanza| stanza.attr("type") == Some("subscribe")).await;
    alice.approve(ME).await;
    ui.contact(ALICE, |contact| contact["subscription"] == "to").await;
    assert_eq!(run(&["rename", ALICE, "Al"], "")["name"], "Al");
    assert_eq!(run(&["groups", ALICE, "Work", "Play"], "")["groups"], json!(["Play", "Work"]));
    assert_eq!(run(&["update", ALICE, "--no-groups"], "")["name"], "Al");
    assert_eq!(run(&["contact", ALICE], "")["groups"], json!([]));

    for contact in [&alice, &bob] {
        contact.subscribe(ME).await;
    }
    for jid in [ALICE, BOB] {
        ui.event("subscriptionRequested", |event| event["jid"] == jid).await;
    }
    let requests = prosectl(&daemon, &["requests"], "").expect("requests");
    assert_eq!(requests.iter().map(|one| &one["jid"]).collect::<Vec<_>>(), [ALICE, BOB]);
    run(&["approve", ALICE], "");
    ui.contact(ALICE, |contact| contact["subscription"] == "both").await;
    run(&["deny", BOB], "");
    bob.wait_for("a refusal", |stanza| stanza.attr("type") == Some("unsubscribed")).await;
    assert_eq!(prosectl(&daemon, &["requests"], ""), Ok(Vec::new()));
    run(&["cancel", ALICE], "");
    ui.contact(ALICE, |contact| contact["subscription"] == "from").await;
    run(&["request", ALICE], "");
    alice.approve(ME).await;
    ui.contact(ALICE, |contact| contact["subscription"] == "both").await;

    run(&["presence", "dnd", "In a rehearsal"], "");
    alice.wait_for_presence(ME, |presence| presence.get_child("show", "jabber:client").is_some()).await;
    let account = run(&["account"], "");
    assert_eq!((&account["availability"], &account["status"]), (&json!("dnd"), &json!("In a rehearsal")));

    let picture = daemon.data_dir().join("me.png");
    let copy = daemon.data_dir().join("copy.png");
    std::fs::write(&picture, png::solid(2, 2, [200, 0, 0])).expect("written");
    let published = run(&["set-avatar", &picture.to_string_lossy()], "");
    let saved = run(&["avatar", "--output", &copy.to_string_lossy()], "");
    assert_eq!(saved["id"], published["id"]);
    assert_eq!(std::fs::read(copy).expect("saved"), std::fs::read(picture).expect("written"));
    run(&["set-profile", "-"], r#"{"fullName": "Me Myself", "emails": ["me@example.org"]}"#);
    run(&["set-profile", "--nickname", "Mo", "--country", "Italy"], "");
    let profile = run(&["profile", "--refresh"], "");
    let expected = json!({"fullName": "Me Myself", "nickname": "Mo", "emails": ["me@example.org"],
                          "phones": [], "urls": [], "address": {"country": "Italy"}});
    assert_eq!(profile, expected);

    run(&["remove", ALICE], "");
    assert_eq!(prosectl(&daemon, &["roster"], ""), Ok(Vec::new()));
}

#[tokio::test]
async fn a_new_token_holds_at_once() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let ui = Ui::connect(&daemon).await;
    let old = daemon.token();
    let new = prosectl(&daemon, &["token", "--new"], "").expect("a token");
    assert_eq!((&new[0], new.len()), (&json!(daemon.token()), 1));
    let with = |token: &str| [("authorization", format!("Bearer {token}"))];
    for (token, refused) in [(&old, Some(401)), (&daemon.token(), None)] {
        let [(name, value)] = with(token);
        let refusal = Ui::connect_with(&daemon, &[(name, &value)]).await.err();
        assert_eq!(refusal.map(|status| status.as_u16()), refused);
    }
    ui.call("get_version", json!({})).await.expect("an open connection stays");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_has_its_own_code() {
    let mut daemon = Daemon::start(Daemon::setup()).await;
    prosectl(&daemon, &["version"], "").expect("a version");
    let token = daemon.token_file();
    let right = std::fs::read_to_string(&token).expect("a token");
    std::fs::write(&token, "guess").expect("written");
    // Over TCP: the Unix socket asks for no token.
    let mut endpoint = daemon.endpoint().clone();
    endpoint.as_object_mut().expect("an object").remove("socket");
    let file = daemon.runtime_dir().join("endpoint.json");
    std::fs::write(file, endpoint.to_string()).expect("written");
    assert_eq!(prosectl(&daemon, &["accounts"], "").expect_err("refused").0, 77);
    std::fs::write(&token, right).expect("written");
    Ui::connect(&daemon).await;
    daemon.sigterm().await;
    assert_eq!(prosectl(&daemon, &["accounts"], "").expect_err("nobody there").0, 69);
    assert!(Path::new(&token).exists());
}
