//! The web console in a real browser, on a real server.

use prosed_tests::http::request;
use prosed_tests::server::Setup;
use prosed_tests::stage::Stage;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, browser, png, ports};
use serde_json::{Value, json};

const NASTY: &str = "<img src=x onerror=alert(1)>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_come_and_change_and_hostile_names_are_text() {
    let setup = Setup::new(Kind::Prosody).friends("me", "alice").friends("me", "mallory").account("bob");
    let server = Server::start(setup).await;
    let mut alice = Contact::online(&server, "alice").await;
    let mut mallory = Contact::online(&server, "mallory").await;
    let bob = Contact::online(&server, "bob").await;
    alice.publish_avatar(&png::solid(64, 64, [70, 120, 200])).await;
    // A page can't follow the daemon to another port.
    let address = format!("127.0.0.1:{}", ports::free());
    // A page survives a restart if the token does.
    let setup = Daemon::setup().trust(&server).config("allowed_origins = [\"https://app.example.org\"]");
    let mut daemon = Daemon::start(setup.listen(&address)).await;
    let stage = Stage::open().await;
    let task = json!({
        "url": format!("http://{address}/"), "token": daemon.token(), "login": server.login("me"),
        "stagePort": stage.port(), "pictures": std::env::var("PROSED_PICTURES").ok(),
    });
    let me = server.jid("me");
    let make_happen = async |wish: Value| {
        match wish["name"].as_str().expect("a name") {
            "presence" => alice.set_presence(wish["show"].as_str(), wish["status"].as_str()).await,
            "hostile" => {
                mallory.set_presence(Some("chat"), Some(NASTY)).await;
                let ui = Ui::connect(&daemon).await;
                let name = format!("{NASTY}\u{202e}");
                let renamed = json!({ "jid": mallory.jid, "name": name });
                ui.call("update_contact", renamed).await.expect("renamed");
            }
            "stranger" => bob.subscribe(&me).await,
            "restart" => {
                daemon.kill();
                daemon.restart().await;
            }
            "renew" => {
                daemon.kill();
                daemon.restart_with(Daemon::setup().trust(&server).listen(&address)).await;
                return json!(daemon.token());
            }
            other => panic!("nobody knows how to make this happen: {other}"),
        }
        Value::Null
    };
    let said = tokio::select! {
        said = browser::run("console.mjs", &task) => said,
        () = stage.serve(make_happen) => unreachable!("it never ends"),
    };
    assert!(said["refused"].as_str().is_some_and(|text| text.contains("token")), "{said}");
    assert_eq!(said["address"], task["url"], "the token is out of the address");
    assert_eq!((&said["errors"], &said["strangers"]), (&json!([]), &json!([])), "{said}");
    assert_eq!((&said["images"], &said["kept"]), (&json!(0), &json!(0)), "{said}");
    assert!(said["events"].as_u64() > Some(0), "{said}");
    assert_eq!(said["answer"]["jid"], alice.jid, "{said}");
    let ui = Ui::connect(&daemon).await;
    assert_eq!(ui.call("get_account", json!({})).await.expect("an account")["availability"], "away");
    bob.wait_for_presence(&me, |stanza| stanza.attr("type") == Some("subscribed")).await;
}

#[tokio::test]
async fn it_is_the_same_for_everybody_and_bound_to_itself() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let page = request(&daemon, "GET", "/", &[], "").await.expect("an answer");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let policy = page.header("content-security-policy");
    for rule in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !String::from_utf8_lossy(&page.body).contains(&daemon.token()),
        "{policy}"
    );
    let own = [("sec-fetch-site", "same-origin")];
    for (path, status) in [("/client/prosed.js", 200), ("/console/console.css", 200), ("/console/x.js", 401)]
    {
        for (headers, status) in [(&own[..], status), (&[], 401)] {
            let answer = request(&daemon, "GET", path, headers, "").await.expect("an answer");
            assert_eq!(answer.status, status, "{path} {headers:?}");
        }
    }
}
