//! Canaries: passwords that would be known again anywhere, in any dress.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use prosed_tests::http::{bearer, request, request_unix};
use prosed_tests::server::{Passwords, Setup};
use prosed_tests::{Contact, Daemon, Kind, Server, Ui};
use serde_json::{Value, json};

use super::{ME, account, online_after_restart, without_password};

/// Nothing looks like it, and no escaping changes its core.
struct Canary {
    core: String,
}

impl Canary {
    fn new() -> Self {
        Self { core: format!("Kanarie{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>()) }
    }

    /// The password: the core, among what careless code trips over.
    fn password(&self) -> String {
        format!("ö\"<'&>\\ {} ü%s{{}}", self.core)
    }

    /// The core as it is, in hex, and in base64 wherever in a longer text it may begin.
    fn forms(&self) -> Vec<String> {
        let hex: String = self.core.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![self.core.clone(), hex.to_uppercase(), hex];
        for before in 0..3 {
            // The characters at both ends depend on what is around the core.
            let padded = "\0".repeat(before) + &self.core;
            for coded in [BASE64_STANDARD_NO_PAD.encode(&padded), BASE64_URL_SAFE_NO_PAD.encode(&padded)] {
                forms.push(coded[4..coded.len() - 4].to_owned());
            }
        }
        forms
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms().iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
    }
}

/// All files at `path` or below.
fn files(path: &Path) -> Vec<PathBuf> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().flat_map(|entry| files(&entry.path())).collect(),
        Err(_) => vec![path.to_owned()],
    }
}

/// Everywhere a canary is: in the daemon's folders, log, command line or environment, or in what UIs
/// were told.
fn hits(canary: &Canary, daemon: &Daemon, told: &[Value]) -> Vec<String> {
    let home = daemon.log_file().parent().expect("a folder").to_owned();
    for folder in [daemon.data_dir(), daemon.cache_dir(), daemon.runtime_dir()] {
        assert!(folder.starts_with(&home) && !files(&folder).is_empty(), "{}", folder.display());
    }
    let process = PathBuf::from(format!("/proc/{}", daemon.id()));
    let mut places = files(&home);
    places.extend(["cmdline", "environ"].map(|name| process.join(name)));
    let found = places.into_iter().filter(|place| {
        let named = canary.is_in(place.as_os_str().as_encoded_bytes());
        // A socket can't be read; a file may go away while we look.
        named || fs::read(place).is_ok_and(|content| canary.is_in(&content))
    });
    let mut found: Vec<_> = found.map(|place| place.display().to_string()).collect();
    found.extend(told.iter().map(Value::to_string).filter(|text| canary.is_in(text.as_bytes())));
    found
}

/// More than a log filter should ever be able to get out of a library: all of it, and once more by the
/// names of those that see stanzas, secrets or requests.
const EVERYTHING: &str = "trace,tokio_xmpp::xmlstream=trace,xso=trace,rxml=trace,minidom=trace,\
    xmpp_parsers=trace,jsonrpsee=trace,jsonrpsee-core=trace,jsonrpsee-http=trace,jsonrpsee-server=trace,\
    soketto=trace,hyper=trace,hyper_util=trace,axum=trace,tower=trace,tokio_util::codec=trace,rustls=trace,\
    hickory_net=trace,hickory_proto=trace,hickory_resolver=trace,sled=trace,zbus=trace,secret_service=trace";

/// Has these calls made through every door but the WebSocket: by POST to the port and to the socket, one at
/// a time and together.
async fn post_everywhere(daemon: &Daemon, calls: &[Value]) -> Vec<Value> {
    let token = bearer(daemon);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let mut bodies: Vec<_> = calls.iter().map(Value::to_string).collect();
    bodies.push(Value::from(calls).to_string());
    let mut answers = Vec::new();
    for body in bodies {
        let answer = request(daemon, "POST", "/rpc", &headers, &body).await.expect("an answer");
        answers.push(answer.json());
        let answer = request_unix(daemon, "POST", "/rpc", &headers[1..], &body).await.expect("an answer");
        answers.push(answer.json());
    }
    answers
}

fn call(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// A life of an account, seen by everybody who looks at the daemon from outside.
async fn a_life(server: Setup, keeps_password: bool) {
    let (right, wrong) = (Canary::new(), Canary::new());
    let mut server = Server::start(server.account_with_password("me", &right.password())).await;
    let setup = Daemon::setup().trust(&server).arguments(&["--log", EVERYTHING]);
    let mut daemon = Daemon::start(setup).await;
    let file = daemon.data_dir().join("credentials").join(format!("{ME}.json"));
    let allowed = vec![file.display().to_string()];
    let mut told = Vec::new();

    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    let mut login = server.login("me");
    login["password"] = wrong.password().into();
    let error = ui.call("login", login.clone()).await.expect_err("a wrong password");
    assert_eq!(error.kind(), "notAuthorized");
    // A caller's mistakes are told as well, with what was wrong about them.
    login["pasword"] = wrong.password().into();
    ui.call("login", login.clone()).await.expect_err("an unknown parameter");
    login["password"] = json!([wrong.password()]);
    ui.call("login", login.clone()).await.expect_err("an ill-typed parameter");
    let mut refused = server.login("me");
    refused["password"] = wrong.password().into();
    told.extend(post_everywhere(&daemon, &[call("login", &refused), call("login", &login)]).await);
    ui.call("login", server.login("me")).await.expect("logged in");
    let found = hits(&right, &daemon, &ui.frames());
    assert!(found.is_empty() || found == allowed, "{found:#?}");
    told.extend(ui.frames());

    let ui = online_after_restart(&mut daemon).await;
    told.extend(ui.frames());
    // A second login of one process shows that the server's salt stays: then keys replace the password.
    ui.forget_received();
    server.restart().await;
    ui.event("accountChanged", |event| event["info"]["state"] == "online").await;
    let ui = online_after_restart(&mut daemon).await;
    assert_eq!(account(&ui).await["secretStore"], "file");
    let found = hits(&right, &daemon, &ui.frames());
    assert_eq!(found, if keeps_password { allowed } else { vec![] });
    let mode = fs::metadata(&file).expect("the secret's file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    ui.call("logout", json!({})).await.expect("logged out");
    ui.call("login", without_password(&server)).await.expect("logged in with what was kept");
    ui.call("logout", json!({ "forget": true })).await.expect("forgotten");
    told.extend(ui.frames());
    for canary in [&right, &wrong] {
        assert_eq!(hits(canary, &daemon, &told), Vec::<String>::new());
    }

    let log = fs::read_to_string(daemon.log_file()).expect("the log");
    assert!(log.contains("DEBUG"), "what is our own is logged");
    let first = BASE64_STANDARD_NO_PAD.encode("n,,n=me,r=");
    // Elements of the exchange, the names and beginnings of its messages.
    for word in ["xmpp-sasl", "<auth", "<response", "<challenge", "n,,n=", "c=biws", &first[..12]] {
        assert!(!log.contains(word), "{word} is in the log");
    }

    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).expect("the process's limits");
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line on cores");
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{cores}");
}

#[tokio::test]
async fn with_scram_the_password_is_nowhere() {
    a_life(Setup::new(Kind::Prosody), false).await;
}

#[tokio::test]
async fn with_plain_it_is_in_one_file() {
    let only_plain = "disable_sasl_mechanisms = { 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'DIGEST-MD5' }";
    let server = Setup::new(Kind::Prosody).passwords(Passwords::Sha256).config(only_plain);
    a_life(server, true).await;
}

/// By no level, through no door.
#[tokio::test]
async fn what_people_say_is_not_logged() {
    let (theirs, ours) = (Canary::new(), Canary::new());
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let daemon = Daemon::start(Daemon::setup().trust(&server).arguments(&["--log", EVERYTHING])).await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    alice.set_presence(Some("away"), Some(&theirs.core)).await;
    ui.event("contactChanged", |event| event.to_string().contains(&theirs.core)).await;
    let status = json!({ "availability": "dnd", "status": ours.core });
    ui.call("set_presence", status.clone()).await.expect("shown");
    let renamed = json!({ "jid": alice.jid, "name": ours.core });
    let answers =
        post_everywhere(&daemon, &[call("set_presence", &status), call("update_contact", &renamed)]).await;
    assert!(answers.iter().all(|answer| answer.get("error").is_none()), "{answers:#?}");
    for method in ["load_roster", "load_profile"] {
        let params = if method == "load_profile" { json!({ "jid": alice.jid }) } else { json!({}) };
        ui.call(method, params).await.ok();
    }

    let log = fs::read_to_string(daemon.log_file()).expect("the log");
    assert!(log.contains("DEBUG"), "what is our own is logged");
    for canary in [&theirs, &ours] {
        assert!(!canary.is_in(log.as_bytes()), "a status or name is in the log");
    }
    let plain = log.lines().filter(|line| !line.contains("TRACE") && !line.contains("DEBUG"));
    let named: Vec<_> = plain.filter(|line| line.contains(&alice.jid)).collect();
    assert!(named.is_empty(), "who one's contacts are is for `debug` only: {named:#?}");
}

#[tokio::test]
async fn the_search_finds_what_is_planted() {
    let canary = Canary::new();
    let core = canary.core.clone();
    let filter = format!("info,{core}=debug");
    let setup = Daemon::setup().arguments(&["--log", &filter]).environment("PLANTED", &core);
    let daemon = Daemon::start(setup).await;
    let hex: String = canary.password().bytes().map(|byte| format!("{byte:02x}")).collect();
    let plain = BASE64_STANDARD_NO_PAD.encode(format!("\0me\0{}", canary.password()));
    let url_safe = BASE64_URL_SAFE_NO_PAD.encode(canary.password());
    let planted = [
        (daemon.data_dir().join("raw"), canary.password()),
        (daemon.cache_dir().join("hex"), hex.clone()),
        (daemon.cache_dir().join("upper"), hex.to_uppercase()),
        (daemon.runtime_dir().join("plain"), plain),
        (daemon.runtime_dir().join("url-safe"), url_safe),
        (daemon.runtime_dir().join("json"), json!(canary.password()).to_string()),
        (daemon.data_dir().join(&core), String::new()),
    ];
    for (path, content) in &planted {
        fs::write(path, format!("something before {content} something behind")).expect("a file");
    }
    let error = json!({ "error": { "message": canary.password() } });
    let found = hits(&canary, &daemon, &[json!({}), error.clone()]);
    let mut expected: Vec<_> = planted.iter().map(|(path, _)| path.display().to_string()).collect();
    expected.extend(["cmdline", "environ"].map(|name| format!("/proc/{}/{name}", daemon.id())));
    // The filter is a setting.
    expected.push(daemon.runtime_dir().join("settings.toml").display().to_string());
    expected.push(error.to_string());
    for place in &expected {
        assert!(found.contains(place), "{place} was not found");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(hits(&Canary::new(), &daemon, &[error]).is_empty());
}
