//! `prosectl doctor` with the real prosed, a real server and a real keyring. Only systemd's answers are simulated:
//! they would need a machine of their own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use prosed_tests::certificates::Certificates;
use prosed_tests::daemon::binary;
use prosed_tests::server::Setup;
use prosed_tests::{Daemon, Keyring, Kind, Server, Ui};
use serde_json::{Value, json};
use tokio::process::Command;

const ME: &str = "me@prosed.test";

/// The patient: a daemon's folders, and what the doctor finds on the way.
struct Patient<'a> {
    daemon: &'a Daemon,
    programs: tempfile::TempDir,
    bus: Option<String>,
}

impl<'a> Patient<'a> {
    fn new(daemon: &'a Daemon) -> Self {
        let programs = tempfile::tempdir().expect("a folder");
        let unit = "printf '%s\\n' Id=prosed.service UnitFileState=enabled ActiveState=active NRestarts=0";
        for (name, script) in [("systemctl", unit), ("loginctl", "echo yes"), ("timedatectl", "echo yes")] {
            let path = programs.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        }
        Self { daemon, programs, bus: None }
    }

    fn home(&self) -> PathBuf {
        self.daemon.data_dir().parent().expect("a folder").to_owned()
    }

    /// Examines; answers all that was found and the exit code.
    async fn examine(&self, environment: &[(&str, &str)], jids: &[&str]) -> (Vec<Value>, Option<i32>) {
        let (built, home) = (binary(), self.home());
        let path = std::env::var("PATH").unwrap_or_default();
        let built = built.parent().expect("target/debug").display();
        let path = format!("{}:{built}:{path}", self.programs.path().display());
        let mut command = Command::new(binary().with_file_name("prosectl"));
        command.arg("doctor").args(jids).env("PATH", path).env("HOME", &home).kill_on_drop(true);
        command.env("PROSED_CONFIG", home.join("config.toml"));
        command.env("PROSED_DATA_DIR", self.daemon.data_dir());
        command.env("PROSED_CACHE_DIR", self.daemon.cache_dir());
        command.env("PROSED_RUNTIME_DIR", self.daemon.runtime_dir());
        // Another prosed may have the usual port.
        command.env("PROSED_LISTEN", "127.0.0.1:0");
        command.env("DBUS_SESSION_BUS_ADDRESS", self.bus.as_deref().unwrap_or("unix:path=/nonexistent"));
        command.envs(environment.iter().copied());
        let output = command.output().await.expect("prosectl can be started");
        let text = String::from_utf8(output.stdout).expect("text");
        let found = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        (found, output.status.code())
    }

    /// What is not as it should be: checks with their results; and the exit code must fit.
    async fn complaints(&self, environment: &[(&str, &str)]) -> Vec<(String, String)> {
        let (found, code) = self.examine(environment, &[]).await;
        let failed = found.iter().any(|one| one["result"] == "fail");
        assert_eq!(code, Some(if failed { 10 } else { 0 }), "{found:#?}");
        let bad = found.iter().filter(|one| one["result"] != "ok");
        let words = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
        bad.map(|one| (words(one, "check"), words(one, "result"))).collect()
    }
}

fn complaints(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(check, result)| ((*check).to_owned(), (*result).to_owned())).collect()
}

fn of<'a>(found: &'a [Value], check: &str) -> &'a Value {
    found.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("no {check}: {found:#?}"))
}

#[tokio::test]
async fn a_daemon_its_account_and_its_server_are_looked_at() {
    let mut server = Server::start(Setup::new(Kind::Prosody).account("me")).await;
    let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");

    let (found, code) = Patient::new(&daemon).examine(&[], &[]).await;
    assert_eq!(code, Some(0), "{found:#?}");
    assert_eq!(of(&found, ME)["result"], "ok");
    // Where the login went is where it looks; and the tests' own certificates are good for ten days.
    let about = of(&found, "server of me@prosed.test");
    let message = about["message"].as_str().expect("a sentence");
    assert!(message.starts_with(&format!("127.0.0.1:{} (starttls)", server.port)), "{about}");
    assert!(message.contains("expires in 9 days"), "{about}");
    let bad: Vec<_> = found.iter().filter(|one| one["result"] != "ok").collect();
    assert_eq!(bad, [about], "nothing else");

    fs::set_permissions(daemon.token_file(), fs::Permissions::from_mode(0o644)).expect("made public");
    let faults = complaints(&[("token", "fail"), ("server of me@prosed.test", "warn")]);
    assert_eq!(Patient::new(&daemon).complaints(&[]).await, faults);
    fs::set_permissions(daemon.token_file(), fs::Permissions::from_mode(0o600)).expect("made private");

    server.stop().await;
    ui.event("accountChanged", |event| event["info"]["state"] != "online").await;
    let (found, _) = Patient::new(&daemon).examine(&[], &[]).await;
    assert_eq!(of(&found, ME)["result"], "warn");
    let about = of(&found, "server of me@prosed.test");
    assert_eq!((&about["result"], about["message"].to_string().contains("refused")), (&json!("fail"), true));

    // Who asks may live in another environment: it is the daemon's that counts.
    let elsewhere = [("PROSED_DATA_DIR", "/nowhere/data"), ("PROSED_LISTEN", "0.0.0.0:1")];
    let (found, _) = Patient::new(&daemon).examine(&elsewhere, &[]).await;
    assert_eq!(of(&found, "configuration")["result"], "ok");
    assert!(
        of(&found, "data folder")["message"].to_string().contains(&daemon.data_dir().display().to_string())
    );

    let config = Patient::new(&daemon).home().join("config.toml");
    let lines = fs::read_to_string(&config).expect("it has one");
    fs::write(&config, format!("log = \"debug\"\n{lines}")).expect("changed");
    let (found, _) = Patient::new(&daemon).examine(&[], &[]).await;
    let about = of(&found, "configuration");
    assert_eq!(about["result"], "warn", "{about}");
    assert!(about["message"].to_string().contains(&config.display().to_string()), "{about}");

    daemon.kill();
    assert_eq!(Patient::new(&daemon).complaints(&[]).await, complaints(&[("daemon", "fail")]));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let faults = complaints(&[("daemon", "fail"), ("port", "warn")]);
    assert_eq!(Patient::new(&daemon).complaints(&[("PROSED_LISTEN", &address)]).await, faults);
    let faults = complaints(&[("configuration", "fail"), ("daemon", "fail")]);
    assert_eq!(Patient::new(&daemon).complaints(&[("PROSED_LISTEN", "0.0.0.0:1")]).await, faults);
}

#[tokio::test]
async fn a_prosed_with_another_runtime_folder_is_found_and_left_alone() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o700)).expect("made private");
    let elsewhere = elsewhere.path().to_str().expect("text");
    let patient = Patient::new(&daemon);
    assert_eq!(patient.complaints(&[]).await, []);
    let environment = [("PROSED_RUNTIME_DIR", elsewhere)];
    assert_eq!(patient.complaints(&environment).await, complaints(&[("daemon", "fail")]));
    let (found, code) = patient.examine(&environment, &[]).await;
    assert_eq!(code, Some(10));
    let about = of(&found, "daemon");
    let running = format!("prosed runs as process {}, with another runtime directory", daemon.id());
    assert!(about["message"].to_string().contains(&running), "{about}");
    assert!(about["fix"].to_string().contains("PROSED_RUNTIME_DIR"), "{about}");
}

#[tokio::test]
async fn a_keyring_is_looked_at() {
    let keyring = Keyring::start().await;
    let daemon = Daemon::start(Daemon::setup()).await;
    let mut patient = Patient::new(&daemon);
    let secrets = async |patient: &Patient<'_>| {
        let (found, _) = patient.examine(&[], &[]).await;
        let about = of(&found, "secrets");
        format!("{}: {}", about["result"], about["message"])
    };
    assert!(secrets(&patient).await.starts_with("\"ok\": \"There is no keyring"));
    patient.bus = Some(keyring.address());
    assert!(secrets(&patient).await.contains("which is open"));
    keyring.lock();
    assert!(secrets(&patient).await.starts_with("\"warn\": \"The keyring is locked"));
}

/// A port where TLS is all that there is.
async fn serve(certificates: &Certificates) -> u16 {
    let acceptor = tokio_rustls::TlsAcceptor::from(certificates.server_config());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(acceptor.accept(stream));
        }
    });
    port
}

#[tokio::test]
async fn certificates_that_nobody_should_trust_are_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let (expired, valid) = (folder.path().join("expired"), folder.path().join("valid"));
    for folder in [&expired, &valid] {
        fs::create_dir(folder).expect("made");
    }
    let expired = Certificates::create_expired(&expired, "expired.test");
    let valid = Certificates::create(&valid, "valid.test");
    let authorities = [&expired, &valid].map(|one| fs::read_to_string(&one.ca_pem).expect("a certificate"));
    let trusted = folder.path().join("both.pem");
    fs::write(&trusted, authorities.concat()).expect("written");
    let mut lines = String::new();
    for (jid, certificates) in
        [("me@expired.test", &expired), ("me@other.test", &valid), ("me@valid.test", &valid)]
    {
        let port = serve(certificates).await;
        lines.push_str(&format!(
            "[accounts.\"{jid}\"]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"direct\"\n"
        ));
    }
    let daemon = Daemon::start(Daemon::setup().trust_ca(&trusted).config(&lines)).await;
    let jids = ["me@expired.test", "me@other.test", "me@valid.test", "@valid.test"];
    let (found, code) = Patient::new(&daemon).examine(&[], &jids).await;
    assert_ne!(of(&found, "server of me@valid.test")["result"], "fail");
    assert_eq!(code, Some(10));
    for (jid, why) in
        [("me@expired.test", "expired at"), ("me@other.test", "but for valid.test"), ("@valid.test", "jid")]
    {
        let about = of(&found, &format!("server of {jid}"));
        let says = about["message"].as_str().expect("a sentence").to_lowercase();
        assert!(about["result"] == "fail" && says.contains(why), "{about}");
    }
}
