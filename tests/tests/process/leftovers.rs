//! What a crash, damage or another version leaves in the folders: it is swept, kept or forgotten, and never in
//! the way.

use std::fs;
use std::path::Path;

use prosed_tests::server::Setup;
use prosed_tests::{Daemon, Kind, Server, Ui};
use serde_json::json;

use super::names;

const SECRET: &str = r#"{"password":"canary-4b1d"}"#;

/// Whether any file below a folder, or its name, holds this text.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        entry.file_name().to_string_lossy().contains(text)
            || if path.is_dir() {
                holds(&path, text)
            } else {
                let content = fs::read(&path).unwrap_or_default();
                content.windows(text.len()).any(|window| window == text.as_bytes())
            }
    })
}

#[tokio::test]
async fn what_is_half_written_goes_and_every_secret_can_be_forgotten() {
    let mut daemon = Daemon::start(Daemon::setup()).await;
    daemon.sigterm().await;
    let secrets = daemon.data_dir().join("credentials");
    // Cut short before the rename; before the record was written; while it was being forgotten.
    for name in [".half@prosed.test.json.new", "alone@prosed.test.json", "first@prosed.test.json"] {
        fs::write(secrets.join(name), SECRET).expect("the folder is ours");
    }
    fs::write(secrets.join("newer@prosed.test.json"), SECRET).expect("the folder is ours");
    fs::write(daemon.runtime_dir().join("token.17.new"), "canary-4b1d").expect("the folder is ours");
    let list = r#"{
        "first@prosed.test": { "forgotten": true },
        "newer@prosed.test": { "remember": true, "secret_store": "tpm" },
        "me@prosed.test": { "logged_out": true },
        "@": {}
    }"#;
    fs::write(daemon.data_dir().join("accounts.json"), list).expect("the folder is ours");

    daemon.restart().await;
    assert!(!holds(&daemon.runtime_dir(), "canary-4b1d"));
    assert_eq!(names(&secrets).len(), 2, "{:?}", names(&secrets));
    let ui = Ui::connect(&daemon).await;
    let accounts = ui.call("list_accounts", json!({})).await.expect("a list");
    assert_eq!(accounts.as_array().map(Vec::len), Some(1), "{accounts}");
    assert_eq!(accounts[0]["account"], "me@prosed.test");

    for account in ["alone@prosed.test", "newer@prosed.test"] {
        let forget = json!({ "account": account, "forget": true });
        let kept = ui.call("logout", json!({ "account": account })).await.expect_err("there is no session");
        assert_eq!(kept.kind(), "accountUnknown");
        ui.call("logout", forget.clone()).await.expect("forgotten");
        assert!(!holds(&daemon.data_dir(), account), "of {account}");
        let again = ui.call("logout", forget).await.expect_err("there is nothing any more");
        assert_eq!(again.kind(), "accountUnknown");
    }
    assert!(!holds(&daemon.data_dir(), "canary-4b1d"));
    assert!(holds(&daemon.data_dir(), "\"@\": {}"), "nobody has asked for this to go");
    assert!(holds(&daemon.data_dir(), "me@prosed.test"));
}

#[tokio::test]
async fn a_secret_is_kept_only_where_a_record_tells_of_it() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    // As a disk that refuses would have it.
    let list = daemon.data_dir().join("accounts.json");
    fs::create_dir(&list).expect("the folder is ours");
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.event("rosterLoaded", |_| true).await;
    assert_eq!(names(&daemon.data_dir().join("credentials")), [""; 0]);
    fs::remove_dir(&list).expect("the folder is ours");
    ui.call("set_presence", json!({ "availability": "away" })).await.expect("kept with it");
    assert_eq!(names(&daemon.data_dir().join("credentials")).len(), 1);

    // After which nothing of it is left anywhere.
    daemon.restart().await;
    assert!(holds(&daemon.cache_dir(), "alice@prosed.test"));
    let ui = Ui::connect(&daemon).await;
    ui.call("logout", json!({ "forget": true })).await.expect("forgotten");
    daemon.sigterm().await;
    for folder in [daemon.cache_dir(), daemon.data_dir(), daemon.runtime_dir()] {
        assert!(!holds(&folder, "alice") && !holds(&folder, "me@prosed.test"), "{}", folder.display());
    }
}
