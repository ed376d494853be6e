//! `prosectl doctor`: on a computer where all is well, and on one where one thing is not.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::daemon::{Daemon, TOKEN, command, lines};
use crate::programs::Programs;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A computer where all is well.
struct Computer {
    daemon: Daemon,
    programs: Programs,
    /// What prosed is told, but for its folders.
    told: String,
}

impl Computer {
    async fn new() -> Self {
        let programs = Programs::new();
        programs.put(
            "systemctl",
            "printf '%s\\n' Id=prosed.service UnitFileState=enabled ActiveState=active ExecMainStatus=0 NRestarts=0 '' \
             Id=prosed.socket UnitFileState= ActiveState=inactive",
        );
        programs.put("loginctl", "[ \"$1 $3 $4\" = 'show-user --property=Linger --value' ] && echo yes");
        programs.put(
            "busctl",
            "case $2 in call) echo 'o \"/org/freedesktop/secrets/collection/login\"';; *) echo 'b false';; esac",
        );
        programs.put("timedatectl", "echo yes");
        let computer = Self { daemon: Daemon::start().await, programs, told: String::new() };
        for folder in ["", "data", "cache"] {
            let path = computer.path(folder);
            fs::create_dir_all(&path).unwrap();
            set_mode(&path, 0o700);
        }
        computer.server("host = 'h'\nport = 5222\ntls = 'starttls'\nnot_after = '2999-01-01T00:00:00.000Z'");
        computer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.daemon.dir.path().join(name)
    }

    /// What `prosed --check-server` says.
    fn server(&self, says: &str) {
        let at = self.daemon.dir.path().display();
        let config = format!(
            "# The configuration is fine (no file). It comes to:\ndata_dir = \"{at}/data\"\n\
             cache_dir = \"{at}/cache\"\n{}",
            self.told
        );
        fs::write(self.path("config"), config).unwrap();
        fs::write(self.path("server"), says).unwrap();
        let script = format!(
            "case $1 in --version) echo prosed {VERSION};; --check-config) cat {at}/config;; \
             --check-server=*) cat {at}/server;; *) exit 2;; esac"
        );
        self.programs.put("prosed", &script);
    }

    /// All that the doctor says, and the exit code.
    async fn examine(&self, arguments: &[&str]) -> (Vec<Value>, i32) {
        self.examine_with(&self.programs.path(), arguments).await
    }

    async fn examine_with(&self, path: &str, arguments: &[&str]) -> (Vec<Value>, i32) {
        let arguments = [&["doctor"], arguments].concat();
        let mut command = command(self.daemon.dir.path(), &arguments);
        command.env("PATH", path).env("HOME", self.daemon.dir.path());
        let output = command.output().await.unwrap();
        (lines(&output.stdout), output.status.code().unwrap())
    }

    /// A program of this name has the data folder, and finds this runtime folder in its environment.
    fn hold(&self, name: &str, runtime_dir: &Path) -> Holder {
        let program = self.path(name);
        fs::write(&program, "#!/bin/sh\necho held\nread line\n").unwrap();
        set_mode(&program, 0o700);
        let mut holder = std::process::Command::new("flock")
            .arg("--no-fork")
            .args([self.path("data/lock"), program])
            .env("PROSED_RUNTIME_DIR", runtime_dir)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("flock is there");
        let mut said = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut said).unwrap();
        Holder(holder)
    }

    /// Sees to it that this one check, and no other, has this result; answers its message and fix.
    async fn finds(&self, check: &str, result: &str) -> (String, String) {
        let (found, code) = self.examine(&[]).await;
        let odd: Vec<_> = found.iter().filter(|one| one["result"] != "ok").collect();
        assert_eq!(odd.len(), 1, "{odd:#?}");
        assert_eq!(
            (odd[0]["check"].as_str(), odd[0]["result"].as_str()),
            (Some(check), Some(result)),
            "{odd:#?}"
        );
        assert_eq!(code, if result == "fail" { 10 } else { 0 });
        let text = |name: &str| odd[0][name].as_str().unwrap_or_default().to_owned();
        (text("message"), text("fix"))
    }
}

/// A process that ends with the test.
struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_healthy_computer_is_told_so() {
    let computer = Computer::new().await;
    let (found, code) = computer.examine(&["you@example.net"]).await;
    assert_eq!(code, 0, "{found:#?}");
    let results: BTreeMap<_, _> =
        found.iter().map(|one| (one["check"].as_str().unwrap(), one["result"].as_str().unwrap())).collect();
    let checks = [
        "cache folder",
        "clock",
        "configuration",
        "daemon",
        "data folder",
        "linger",
        "lock",
        "me@example.org",
        "origins",
        "port",
        "runtime folder",
        "secrets",
        "server of me@example.org",
        "server of you@example.net",
        "socket",
        "token",
        "unit",
        "version",
    ];
    assert_eq!(results, checks.map(|check| (check, "ok")).into());
    assert!(found.iter().all(|one| one.get("fix").is_none()));
}

#[tokio::test]
async fn a_wrong_configuration_is_shown_as_prosed_says_it() {
    let computer = Computer::new().await;
    computer.programs.put("prosed", "echo 'prosed: config.toml:3: unknown field' >&2; exit 2");
    let (found, code) = computer.examine(&[]).await;
    assert_eq!((code, &found[0]["result"]), (10, &"fail".into()));
    assert!(found[0]["message"].as_str().unwrap().contains("config.toml:3"), "{found:#?}");
    // Which port a daemon would take is unknown then.
    fs::remove_file(computer.path("endpoint.json")).unwrap();
    let (found, _) = computer.examine(&[]).await;
    assert!(!found.iter().any(|one| one["check"] == "port"), "{found:#?}");
}

#[tokio::test]
async fn an_origin_that_anybody_can_play_is_warned_of() {
    let mut computer = Computer::new().await;
    computer.told = "allowed_origins = ['http://app.example.org']".to_owned();
    computer.server("host = 'h'\nport = 5222\ntls = 'direct'");
    let (message, fix) = computer.finds("origins", "warn").await;
    assert!(message.contains("http://app.example.org") && fix.contains("https://app.example.org"));
}

#[tokio::test]
async fn a_daemon_that_does_not_run_is_started() {
    let computer = Computer::new().await;
    fs::remove_file(computer.path("endpoint.json")).unwrap();
    let (message, fix) = computer.finds("daemon", "fail").await;
    assert!(message.contains("endpoint.json") && fix == "systemctl --user start prosed", "{message} {fix}");
}

#[tokio::test]
async fn a_daemon_that_left_its_endpoint_behind_is_restarted() {
    let computer = Computer::new().await;
    computer.daemon.server.stop().unwrap();
    computer.daemon.server.clone().stopped().await;
    let (message, fix) = computer.finds("daemon", "fail").await;
    assert!(
        message.contains("does not answer") && fix == "systemctl --user restart prosed",
        "{message} {fix}"
    );
}

#[tokio::test]
async fn an_older_daemon_than_the_installed_one_is_told() {
    let computer = Computer::new().await;
    let at = computer.daemon.dir.path().display();
    let script = format!(
        "case $1 in --version) echo prosed 99.0.0;; --check-config) cat {at}/config;; *) cat {at}/server;; esac"
    );
    computer.programs.put("prosed", &script);
    let (message, fix) = computer.finds("version", "warn").await;
    assert!(message.contains("99.0.0") && fix.contains("restart"), "{message} {fix}");
}

#[tokio::test]
async fn a_unit_that_is_not_enabled_is_warned_of() {
    let computer = Computer::new().await;
    computer
        .programs
        .put("systemctl", "printf '%s\\n' Id=prosed.service UnitFileState=disabled ActiveState=active");
    let (_, fix) = computer.finds("unit", "warn").await;
    assert_eq!(fix, "systemctl --user enable --now prosed");
    computer.programs.put("systemctl", "echo 'Failed to connect to bus' >&2; exit 1");
    // Lingering is about systemd.
    computer.programs.put("loginctl", "echo no");
    let (message, fix) = computer.finds("unit", "warn").await;
    assert!(message.contains("Failed to connect to bus") && !fix.contains("systemctl"), "{message} {fix}");
}

/// Whatever is wrong: where the user has no systemd, no advice needs one.
#[tokio::test]
async fn without_a_systemd_prosed_is_started_by_hand() {
    let computer = Computer::new().await;
    computer.programs.put("systemctl", "echo 'Failed to connect to bus' >&2; exit 1");
    let at = computer.daemon.dir.path().display();
    let advice = async |check: &str| {
        let (advice, _) = computer.examine(&[]).await;
        let fixes: Vec<_> = advice.iter().filter_map(|one| one["fix"].as_str()).collect();
        let needs = |fix: &&&str| fix.contains("systemctl") || fix.contains("journalctl");
        assert_eq!(fixes.iter().find(needs), None, "{advice:#?}");
        let about = advice.iter().find(|one| one["check"] == check).expect(check);
        about["fix"].as_str().expect("advice").to_owned()
    };
    let older = format!(
        "case $1 in --version) echo prosed 99.0.0;; --check-config) cat {at}/config;; *) cat {at}/server;; esac"
    );
    computer.programs.put("prosed", &older);
    assert_eq!(advice("version").await, "kill 1; prosed &");
    set_mode(&computer.path("token"), 0o600);
    fs::write(computer.path("token"), &TOKEN[..20]).unwrap();
    assert_eq!(advice("port").await, "kill 1; prosed &");
    computer.daemon.server.stop().unwrap();
    computer.daemon.server.clone().stopped().await;
    assert_eq!(advice("daemon").await, "kill 1; prosed &");
    fs::remove_file(computer.path("endpoint.json")).unwrap();
    assert_eq!(advice("daemon").await, "prosed &");
}

#[tokio::test]
async fn a_prosed_that_ends_with_the_session_is_warned_of() {
    let computer = Computer::new().await;
    for loginctl in ["echo no", "echo 'User ID 1 is not logged in or lingering' >&2; exit 1"] {
        computer.programs.put("loginctl", loginctl);
        let (_, fix) = computer.finds("linger", "warn").await;
        assert_eq!(fix, "loginctl enable-linger");
    }
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_told() {
    let mut computer = Computer::new().await;
    fs::remove_file(computer.path("endpoint.json")).unwrap();
    let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = somebody.local_addr().unwrap().port();
    computer.told = format!("listen = '127.0.0.1:{port}'");
    computer.server("");
    let (found, code) = computer.examine(&[]).await;
    let about: Vec<_> = found.iter().filter(|one| one["check"] == "port").collect();
    assert_eq!((code, about.len(), &about[0]["result"]), (10, 1, &"warn".into()), "{found:#?}");
    assert_eq!(about[0]["fix"], format!("ss -tlnp 'sport = :{port}'"));
    drop(somebody);
    computer.finds("daemon", "fail").await;
}

#[tokio::test]
async fn a_token_that_is_no_secret_is_a_fault() {
    let computer = Computer::new().await;
    let token = computer.path("token");
    set_mode(&token, 0o644);
    let (message, fix) = computer.finds("token", "fail").await;
    assert!(message.contains("other users") && fix == "prosectl token --new", "{message} {fix}");
    set_mode(&token, 0o600);
    fs::write(&token, &TOKEN[..20]).unwrap();
    let (found, _) = computer.examine(&[]).await;
    let failed = found.iter().filter(|one| one["result"] == "fail");
    assert_eq!(failed.map(|one| &one["check"]).collect::<Vec<_>>(), ["port", "token"]);
}

#[tokio::test]
async fn a_folder_that_is_open_to_others_is_a_fault() {
    let computer = Computer::new().await;
    for (check, path) in [("data folder", "data"), ("cache folder", "cache"), ("runtime folder", "")] {
        let path = computer.path(path);
        set_mode(&path, 0o755);
        let (_, fix) = computer.finds(check, "fail").await;
        assert!(fix.starts_with("chmod 700 "), "{fix}");
        set_mode(&path, 0o700);
    }
}

#[tokio::test]
async fn another_process_on_the_data_folder_is_a_fault() {
    let computer = Computer::new().await;
    let holder = computer.hold("other", &computer.path("elsewhere"));
    let pid = holder.0.id();
    let (message, fix) = computer.finds("lock", "fail").await;
    assert_eq!(fix, format!("ps -fp {pid}"));
    assert!(message.contains(&format!("{pid} (other)")), "{message}");
}

#[tokio::test]
async fn a_daemon_with_another_runtime_folder_is_found_and_left_alone() {
    let computer = Computer::new().await;
    let elsewhere = computer.path("elsewhere");
    let holder = computer.hold("prosed", &elsewhere);
    let pid = holder.0.id();
    let endpoint = fs::read_to_string(computer.path("endpoint.json")).unwrap();
    fs::remove_file(computer.path("endpoint.json")).unwrap();
    let running = format!("prosed runs as process {pid}, with another runtime directory");
    let (message, fix) = computer.finds("daemon", "fail").await;
    assert!(message.starts_with(&running) && fix.contains("XDG_RUNTIME_DIR"), "{message} {fix}");

    let mut endpoint: Value = serde_json::from_str(&endpoint).unwrap();
    endpoint["pid"] = pid.into();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("endpoint.json"), endpoint.to_string()).unwrap();
    let (_, fix) = computer.finds("daemon", "fail").await;
    assert_eq!(fix, format!("export PROSED_RUNTIME_DIR='{}'", elsewhere.display()));

    // Every other command looks where the data is by default.
    std::os::unix::fs::symlink(computer.path("data"), computer.path("share-prosed")).unwrap();
    fs::create_dir(computer.path("share")).unwrap();
    fs::rename(computer.path("share-prosed"), computer.path("share/prosed")).unwrap();
    let mut roster = command(computer.daemon.dir.path(), &["roster"]);
    let output = roster.env("XDG_DATA_HOME", computer.path("share")).output().await.unwrap();
    let error = lines(&output.stderr)[0]["message"].as_str().unwrap().to_owned();
    assert_eq!(output.status.code(), Some(69));
    assert!(error.starts_with(&running) && error.ends_with(&fix), "{error}");
}

#[tokio::test]
async fn a_port_that_the_daemon_did_not_get_is_told() {
    let mut computer = Computer::new().await;
    let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = somebody.local_addr().unwrap();
    computer.told = format!("listen = '{address}'");
    computer.server("host = 'h'\nport = 5222\ntls = 'direct'");
    // Another one is named.
    let (found, _) = computer.examine(&[]).await;
    let port = found.iter().find(|one| one["check"] == "port").unwrap();
    let message = port["message"].as_str().unwrap();
    assert!(message.ends_with(&format!("Another program had {address}.")), "{message}");

    let mut endpoint: Value =
        serde_json::from_str(&fs::read_to_string(computer.path("endpoint.json")).unwrap()).unwrap();
    endpoint.as_object_mut().unwrap().remove("url");
    fs::write(computer.path("endpoint.json"), endpoint.to_string()).unwrap();
    let (message, fix) = computer.finds("port", "warn").await;
    assert!(message.contains(&format!("has {address}")) && fix.starts_with("ss -tlnp"), "{message} {fix}");
    drop(somebody);
    let (message, fix) = computer.finds("port", "warn").await;
    assert!(message.contains("free now") && fix.contains("restart"), "{message} {fix}");
    computer.told += "\nno_listen = true";
    computer.server("host = 'h'\nport = 5222\ntls = 'direct'");
    let (found, _) = computer.examine(&[]).await;
    assert!(found.iter().all(|one| one["result"] == "ok"), "{found:#?}");
}

#[tokio::test]
async fn a_keyring_that_is_locked_is_told_of() {
    let mut computer = Computer::new().await;
    let collection = "call) echo 'o \"/org/freedesktop/secrets/collection/login\"'";
    computer.programs.put("busctl", &format!("case $2 in {collection};; *) echo 'b true';; esac"));
    computer.finds("secrets", "warn").await;
    computer.told = "[secrets]\nstore = 'secret-service'".to_owned();
    computer.server("host = 'h'\nport = 5222\ntls = 'direct'");
    let (message, _) = computer.finds("secrets", "fail").await;
    assert!(message.contains("locked"), "{message}");
    computer.programs.put("busctl", "echo 'The name is not activatable' >&2; exit 1");
    let (message, _) = computer.finds("secrets", "fail").await;
    assert!(message.contains("no keyring"), "{message}");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_not_itself_is_a_fault() {
    let computer = Computer::new().await;
    let server = "server of me@example.org";
    computer.server("error = 'tlsFailed'\ntext = 'DNS: it is gone'\nnext_step = 'do this'");
    assert_eq!(computer.finds(server, "fail").await, ("DNS: it is gone.".to_owned(), "do this".to_owned()));
    computer.server("host = 'h'\nport = 5222\ntls = 'direct'\nnot_after = '2001-01-01T00:00:00.000Z'");
    let (message, _) = computer.finds(server, "warn").await;
    assert!(message.contains("expires in 0 days"), "{message}");
    computer.programs.put("prosed", "echo \"error: invalid value '$1'\" >&2; exit 2");
    let (found, code) = computer.examine(&["no jid@x"]).await;
    let about = found.iter().find(|one| one["check"] == "server of no jid@x").unwrap();
    assert_eq!((code, &about["result"]), (10, &"fail".into()));
}

#[tokio::test]
async fn a_server_that_dns_does_not_have_is_checked_at_a_given_place() {
    let computer = Computer::new().await;
    let script = "case $1 in --check-server=you@*) printf 'host = \"%s\"\\nport = 5222\\ntls = \"%s\"' \"$2\" \"$3\";; \
                  *) exit 2;; esac";
    computer.programs.put("prosed", script);
    let (found, _) = computer.examine(&["you@example.net", "--host", "h", "--port", "7"]).await;
    let about = found.iter().find(|one| one["check"] == "server of you@example.net").unwrap();
    assert_eq!(about["result"], "ok", "{about}");
    assert!(about["message"].as_str().unwrap().starts_with("--host=h:5222 (--port=7)"), "{about}");
}

#[tokio::test]
async fn a_clock_that_nobody_sets_is_warned_of() {
    let computer = Computer::new().await;
    computer.programs.put("timedatectl", "echo no");
    let (_, fix) = computer.finds("clock", "warn").await;
    assert_eq!(fix, "timedatectl set-ntp true");
}

/// As in a container: nobody to ask, and nothing that is wrong for that.
#[tokio::test]
async fn what_is_not_there_is_no_fault() {
    let computer = Computer::new().await;
    for program in ["systemctl", "loginctl", "busctl", "timedatectl"] {
        computer.programs.remove(program);
    }
    computer.programs.put("cat", "while IFS= read -r line; do echo \"$line\"; done <$1; echo \"$line\"");
    let (found, code) = computer.examine_with(&computer.programs.only(), &[]).await;
    assert_eq!(code, 0, "{found:#?}");
    assert!(found.iter().all(|one| one["result"] == "ok"), "{found:#?}");
}
