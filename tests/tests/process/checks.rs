//! The questions that prosed answers without becoming a daemon.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use prosed_tests::daemon::binary;
use prosed_tests::server::Setup;
use prosed_tests::{Kind, Server};

fn prosed(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().env("HOME", home).output().expect("prosed can be started")
}

fn toml(output: &Output) -> toml::Table {
    String::from_utf8_lossy(&output.stdout).parse().expect("TOML")
}

/// What to do, of an answer that says what is wrong.
fn last_line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().and_then(|line| line.strip_prefix("next_step = "));
    last.unwrap_or_else(|| panic!("no next step: {said}")).to_owned()
}

#[test]
fn a_configuration_comes_to_what_it_would_say_itself() {
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join(".config/prosed/config.toml");
    fs::create_dir_all(config.parent().expect("a folder")).expect("made");
    fs::write(
        &config,
        "no_listen = true\nallowed_origins = [\"app://prose\"]\n[secrets]\nstore = \"file\"\n",
    )
    .expect("written");
    let first = prosed(home.path(), &["--check-config"]);
    assert!(first.status.success());
    let text = String::from_utf8(first.stdout.clone()).expect("text");
    assert!(text.starts_with(&format!("# The configuration is fine ({})", config.display())), "{text}");
    let settled = toml(&first);
    assert_eq!(settled["no_listen"].as_bool(), Some(true));
    assert_eq!(settled["allowed_origins"].as_array().map(Vec::len), Some(1));
    assert_eq!(settled["secrets"]["store"].as_str(), Some("file"));
    let data = home.path().join(".local/share/prosed");
    assert_eq!(settled["data_dir"].as_str(), data.to_str());

    // It is a configuration, and comes to itself.
    fs::write(&config, &text).expect("written");
    assert_eq!(String::from_utf8_lossy(&prosed(home.path(), &["--check-config"]).stdout), text);
}

#[tokio::test]
async fn a_server_is_reached_as_by_a_login() {
    let server = Server::start(Setup::new(Kind::Prosody).account("me")).await;
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join("config.toml");
    let config = config.to_str().expect("text");
    let check = |lines: &str| {
        let way =
            format!("{lines}\n[accounts.\"me@prosed.test\"]\nhost = \"127.0.0.1\"\nport = {}\n", server.port);
        fs::write(config, way).expect("written");
        prosed(home.path(), &["--config", config, "--check-server", "me@prosed.test"])
    };
    let trusting = format!("[tls]\nextra_ca = {:?}\n", server.ca_pem.display().to_string());
    let reached = check(&trusting);
    assert!(reached.status.success(), "{}", String::from_utf8_lossy(&reached.stderr));
    let found = toml(&reached);
    let expected = format!("127.0.0.1:{}", server.port);
    assert_eq!(
        (found["address"].as_str(), found["tls"].as_str()),
        (Some(expected.as_str()), Some("starttls"))
    );
    let (before, after) = (found["not_before"].as_str(), found["not_after"].as_str());
    assert!(before < after && after.is_some_and(|after| after.ends_with('Z')), "{found}");

    let distrusting = check("");
    assert_eq!(
        (distrusting.status.code(), toml(&distrusting)["error"].as_str()),
        (Some(1), Some("tlsFailed"))
    );
    assert!(last_line(&distrusting).contains("extra_ca"), "{distrusting:?}");
    drop(server);
    let config = ["--config", config, "--check-server", "me@prosed.test"];
    let gone = prosed(home.path(), &config);
    assert_eq!((gone.status.code(), toml(&gone)["error"].as_str()), (Some(1), Some("serverUnreachable")));
    assert!(last_line(&gone).contains("prosectl login me@prosed.test --host"), "{gone:?}");
    assert_eq!(prosed(home.path(), &["--check-server", "@"]).status.code(), Some(2));
    assert!(!home.path().join(".local").exists(), "looking changes nothing");
}

#[test]
fn the_manual_page_is_one_that_groff_takes() {
    let home = tempfile::tempdir().expect("a folder");
    let page = prosed(home.path(), &["--man"]);
    assert!(page.status.success());
    let mut groff = Command::new("groff")
        .args(["-k", "-man", "-Tutf8", "-ww", "-P-cbou"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("groff is there: run tests/install first");
    groff.stdin.take().expect("a pipe").write_all(&page.stdout).expect("written");
    let output = groff.wait_with_output().expect("our child");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["--no-listen", "PROSED_LISTEN", "already running on these folders", "config.toml"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}
