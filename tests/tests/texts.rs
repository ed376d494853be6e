//! Text from UIs: too much of it, over which a server would end the session of all other UIs, or characters that XML
//! does not allow, which would be lost on the way.

use prosed_tests::hostile::Hostile;
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui};
use serde_json::json;

const ALICE: &str = "alice@prosed.test";

#[tokio::test]
async fn what_would_not_arrive_is_refused() {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let served = server.accept_session("me", "secret").await.serve(|stanza| {
        let items =
            "<query xmlns='jabber:iq:roster'><item jid='alice@prosed.test' subscription='both'/></query>";
        find(stanza, "query", "jabber:iq:roster").map(|_| items.to_owned())
    });
    let before = ui.answer(&login).await.expect("logged in");

    let long = "x".repeat(4_001);
    for (bad, code) in [(long.as_str(), 1404), ("a\u{1}b", -32602), ("\u{0}", -32602), ("\u{ffff}", -32602)] {
        for (method, params) in [
            ("set_presence", json!({ "availability": "dnd", "status": bad })),
            ("add_contact", json!({ "jid": "bob@prosed.test", "name": bad })),
            ("add_contact", json!({ "jid": "bob@prosed.test", "groups": [bad] })),
            ("update_contact", json!({ "jid": ALICE, "name": bad })),
            ("update_contact", json!({ "jid": ALICE, "groups": [bad] })),
            ("set_profile", json!({ "profile": { "note": bad } })),
            ("set_profile", json!({ "profile": { "urls": [bad] } })),
        ] {
            let error = ui.call(method, params.clone()).await.expect_err("it can't be sent");
            assert_eq!(error.code, code, "{method} {:.60}: {}", params.to_string(), error.message);
        }
    }
    served.ping().await;
    let after = ui.call("get_account", json!({})).await.expect("an account");
    assert_eq!((&after["state"], &after["since"]), (&json!("online"), &before["since"]));

    // Text just within the limit arrives unchanged.
    let fits = "ü<&>\"'\n".repeat(570);
    ui.call("set_presence", json!({ "availability": "dnd", "status": fits })).await.expect("set");
    let said = |stanza: &minidom::Element| {
        find(stanza, "status", "jabber:client").is_some_and(|status| status.text() == fits)
    };
    served.wait_for("the status", said).await;
}
