//! Every recipe in `clients/scripts` works, with a live daemon on a real server.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use prosed_tests::server::{Setup, password};
use prosed_tests::{Contact, Daemon, Kind, PATIENCE, Server, Ui, png};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

const ALICE: &str = "alice@prosed.test";

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("clients/scripts")
}

/// A shell in which the daemon is found.
struct Shell {
    runtime: TempDir,
    path: String,
}

impl Shell {
    fn new(daemon: &Daemon) -> Self {
        let runtime = tempfile::tempdir().expect("a folder");
        symlink(daemon.runtime_dir(), runtime.path().join("prosed")).expect("linked");
        let built = prosed_tests::daemon::binary().parent().expect("target/debug").to_owned();
        let tools = built.parent().expect("target").join("tools/bin");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", built.display(), tools.display());
        // Writes down its command line, as `ps` would show it, before the real one takes over.
        for name in ["curl", "websocat"] {
            let shim = runtime.path().join(name);
            let script = format!(
                "#!/bin/sh\necho \"$0 $*\" >> '{0}/said'\nPATH='{path}' exec {name} \"$@\"\n",
                runtime.path().display()
            );
            fs::write(&shim, script).expect("written");
            fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).expect("made executable");
        }
        Self { path: format!("{}:{path}", runtime.path().display()), runtime }
    }

    /// The command lines of all programs that were run.
    fn command_lines(&self) -> String {
        fs::read_to_string(self.runtime.path().join("said")).expect("some were run")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", &self.path).env("XDG_RUNTIME_DIR", self.runtime.path());
        command.env_remove("PROSED_RUNTIME_DIR").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        command
    }

    /// What a script prints, given this input, and how it ends.
    async fn output(&self, script: &str, arguments: &[&str], input: &str) -> Output {
        let script = scripts().join(script).display().to_string();
        let mut command = self.command(&script, arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it can be run");
        // Some read nothing.
        let _written = child.stdin.take().expect("a pipe").write_all(input.as_bytes()).await;
        timeout(PATIENCE, child.wait_with_output()).await.expect("in time").expect("our child")
    }

    /// What a script prints that succeeds.
    async fn run(&self, script: &str, arguments: &[&str], input: &str) -> Vec<u8> {
        let output = self.output(script, arguments, input).await;
        assert!(output.status.success(), "{script}: {output:?}");
        output.stdout
    }

    /// The answer that a script prints.
    async fn answer(&self, script: &str, arguments: &[&str], input: &str) -> Value {
        let said = self.run(script, arguments, input).await;
        let answer: Value = serde_json::from_slice(&said).expect("JSON");
        assert!(answer.get("error").is_none(), "{script}: {answer}");
        answer["result"].clone()
    }

    /// Runs a program that goes on for ever until it has told of a status that is said meanwhile.
    async fn follows(&self, program: &str, arguments: &[&str], alice: &mut Contact) {
        let mut child = self.command(program, arguments).spawn().expect("it can be run");
        let group = rustix::process::Pid::from_raw(child.id().expect("it runs") as i32).expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let status = format!("for {program} {arguments:?}");
        let told = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                let message: Value = serde_json::from_str(&line).expect("a line of JSON");
                // An event, in its envelope or not.
                let event = message.pointer("/params/result").unwrap_or(&message);
                if event["contacts"][0]["status"].as_str().is_some_and(|said| said.starts_with(&status)) {
                    return;
                }
            }
            panic!("{program} has ended");
        };
        let lively = async {
            for number in 0.. {
                alice.set_presence(None, Some(&format!("{status} {number}"))).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let heard = async {
            tokio::select! {
                () = told => {}
                () = lively => {}
            }
        };
        timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("{program} tells nothing"));
        // With all that it has started.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("it runs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipe_works() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let picture = png::solid(3, 3, [9, 90, 200]);
    alice.publish_avatar(&picture).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    let shell = Shell::new(&daemon);

    let way = format!(r#""host":"127.0.0.1","port":{},"tls":"starttls""#, server.port);
    let account = shell.answer("login.sh", &[&server.jid("me"), &way], &password("me")).await;
    assert_eq!(account["state"], "online");
    ui.contact(ALICE, |contact| contact["avatar"].is_object()).await;
    let roster = shell.answer("roster.sh", &[], "").await;
    assert_eq!(roster["contacts"][0]["jid"], ALICE);
    assert_eq!(
        shell.answer("roster.sh", &[&server.jid("me")], "").await["account"],
        server.jid("me").as_str()
    );
    let contact = json!({ "jid": ALICE }).to_string();
    assert_eq!(shell.answer("rpc.sh", &["get_contact"], &contact).await["name"], "Alice");
    shell.answer("presence.sh", &["dnd", r#"reading "K\n", and tea"#], "").await;
    let account = ui.call("get_account", json!({})).await.expect("an account");
    assert_eq!(account["status"], r#"reading "K\n", and tea"#);
    shell.answer("presence.sh", &["available"], "").await;
    let account = ui.call("get_account", json!({})).await.expect("an account");
    assert_eq!((&account["availability"], account.get("status")), (&json!("available"), None));
    assert_eq!(shell.run("avatar.sh", &[ALICE], "").await, picture);

    let since = roster["seq"].to_string();
    for script in ["follow.sh", "poll.sh"] {
        let script = scripts().join(script).display().to_string();
        shell.follows(&script, &[], &mut alice).await;
        shell.follows(&script, &[&since], &mut alice).await;
    }

    let said = shell.command_lines();
    assert!(said.contains("--data-binary @-") && said.contains("websocat"), "{said}");
    assert!(!said.contains(&daemon.token()) && !said.contains("<pass>"), "{said}");

    let readme = fs::read_to_string(scripts().join("README.md")).expect("the README");
    let blocks: Vec<_> =
        readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [curl, websocat] = blocks[..] else { panic!("two blocks, not {}", blocks.len()) };
    let mut child = shell.command("sh", &["-euc", curl]).spawn().expect("it can be run");
    let mut said = String::new();
    let mut output = child.stdout.take().expect("a pipe");
    timeout(PATIENCE, output.read_to_string(&mut said)).await.expect("in time").expect("text");
    assert!(said.contains(ALICE), "{said}");
    shell.follows("sh", &["-euc", websocat], &mut alice).await;

    for entry in fs::read_dir(scripts()).expect("the scripts").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || readme.contains(&format!("[{name}]")), "{name} is not in the README");
    }
}

/// An error of the API is an exit code, and goes to standard error only: no script can take it for a result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_an_exit_code() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.contact(ALICE, |_| true).await;
    let shell = Shell::new(&daemon);
    let nobody = "nobody@prosed.test";
    let cases: [(&str, &[&str], &str, &str); 10] = [
        ("rpc.sh", &["get_contact"], r#"{"jid":"nobody@prosed.test"}"#, "contactUnknown"),
        ("rpc.sh", &["no_such_method"], "{}", "methodNotFound"),
        ("rpc.sh", &["get_contact"], "no JSON", "parseError"),
        ("login.sh", &["not a jid@@"], "password", "invalidJid"),
        ("roster.sh", &[nobody], "", "accountUnknown"),
        ("presence.sh", &["asleep"], "", "invalidParams"),
        ("avatar.sh", &[nobody], "", "contactUnknown"),
        ("watch.sh", &[nobody], "", "accountUnknown"),
        ("poll.sh", &["4000000000"], "", "cursorExpired"),
        ("follow.sh", &["4000000000"], "", "cursorExpired"),
    ];
    for (script, arguments, input, kind) in cases {
        let output = shell.output(script, arguments, input).await;
        let [said, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert_eq!((output.status.code(), &*said), (Some(1), ""), "{script} {arguments:?}: {errors}");
        let error: Value = serde_json::from_str(&errors).expect("nothing but the error");
        assert_eq!(error["error"]["data"]["kind"], kind, "{script} {arguments:?}");
    }
    let output = shell.output("avatar.sh", &[ALICE], "").await;
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "alice@prosed.test has no picture\n");

    for script in ["avatar.sh", "login.sh", "presence.sh", "rpc.sh"] {
        let output = shell.output(script, &[], "").await;
        assert_eq!((output.status.code(), &*output.stdout), (Some(64), &b""[..]), "{script}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.starts_with("usage: ") && errors.lines().count() == 1, "{script}: {errors}");
    }

    for entry in fs::read_dir(scripts()).expect("the scripts").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let tested = cases.iter().any(|(script, ..)| *script == name);
        assert!(tested || ["README.md", "endpoint.sh"].contains(&&*name), "{name} is not tested");
    }
}

/// It prints all contacts again after a restart, and then goes on with the changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_survives_a_restart() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.contact(ALICE, |contact| contact["availability"] == "available").await;
    let shell = Shell::new(&daemon);
    let script = scripts().join("watch.sh").display().to_string();
    let mut child = shell.command(&script, &[]).spawn().expect("it can be run");
    let group = rustix::process::Pid::from_raw(child.id().expect("it runs") as i32).expect("a process");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // Skips the lines that are about something else.
    let mut line = async |wanted: &dyn Fn(&Value) -> bool| {
        let found = async {
            loop {
                let line = lines.next_line().await.expect("text").expect("it goes on");
                let line: Value = serde_json::from_str(&line).expect("a line of JSON");
                if wanted(&line) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("in time")
    };
    let all = |line: &Value| line["contacts"][0]["jid"] == ALICE;
    for (number, crash) in [true, false].into_iter().enumerate() {
        line(&all).await;
        let status = format!("status {number}");
        alice.set_presence(None, Some(&status)).await;
        line(&|line| line["changed"][0]["status"] == status.as_str()).await;
        if crash {
            daemon.kill();
        }
        daemon.restart().await;
    }
    line(&all).await;
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("it runs");
}

#[tokio::test]
async fn without_a_daemon_they_say_so() {
    let mut daemon = Daemon::start(Daemon::setup()).await;
    let shell = Shell::new(&daemon);
    daemon.sigterm().await;
    let script = scripts().join("roster.sh").display().to_string();
    let mut command = shell.command(&script, &[]);
    let output = command.stderr(Stdio::piped()).output().await.expect("it can be run");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("prosed is not running"), "{output:?}");
}
