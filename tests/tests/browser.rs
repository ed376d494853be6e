//! A real browser at the doors: which pages get in.

use prosed_tests::{Daemon, browser};
use serde_json::{Value, json};

const FRIEND: &str = "http://friend.example";
const STRANGER: &str = "http://stranger.example";

#[tokio::test]
async fn a_listed_page_gets_in_and_another_does_not() {
    let daemon = Daemon::start(Daemon::setup().config(&format!("allowed_origins = [{FRIEND:?}]"))).await;
    let port = daemon.address().rsplit_once(':').map(|(_, port)| port.to_owned());
    let task = json!({ "port": port, "token": daemon.token(), "pages": [FRIEND, STRANGER] });
    let heard = browser::run("attacks.mjs", &task).await;
    assert_eq!(heard[FRIEND]["result"]["name"], "prosed", "{heard}");
    assert_eq!(heard[STRANGER], Value::Null, "{heard}");
}
