//! Calls: their order, their answers, their limits.

use super::*;

const ME: &str = "me@example.org";

/// login, load_roster and set_presence in a row, many times: on the wire before anything is answered.
#[tokio::test]
async fn calls_take_effect_in_the_order_in_which_they_were_sent() {
    let daemon = Daemon::start().await;
    for round in 0..100 {
        let account = format!("u{round}@example.org");
        let mut ui = daemon.connect().await;
        let mut last = ui.send("login", json!({"jid": account, "password": "x"})).await;
        ui.send("load_roster", json!({"account": account})).await;
        for n in 0..10 {
            let params = json!({"account": account, "availability": "dnd", "status": n.to_string()});
            last = ui.send("set_presence", params).await;
        }
        assert_eq!(ui.answer(last).await["result"], json!({}));
        let mut reached = daemon.script.reached(&account);
        let roster = reached.iter().position(|said| said == "roster").unwrap();
        reached.remove(roster);
        let presences: Vec<_> = (0..10).map(|n| format!("presence {n}")).collect();
        assert_eq!(reached[..2], ["login", "login done"], "round {round}");
        assert_eq!(reached[2..], presences, "round {round}");
        assert_ne!(roster, 0, "the roster is asked of an account that exists");
    }
}

#[tokio::test]
async fn a_batch_keeps_its_place_in_the_order() {
    let daemon = Daemon::start().await;
    let presence = |id: u64| {
        json!({"jsonrpc": "2.0", "id": id, "method": "set_presence",
               "params": {"account": ME, "availability": "xa", "status": id.to_string()}})
    };
    daemon.script.add(ME);
    let mut ui = daemon.connect().await;
    for round in 0..20 {
        ui.write(&presence(round * 100)).await;
        let batch: Vec<_> = (1..=32).map(|n| presence(round * 100 + n)).collect();
        ui.write(&json!(batch)).await;
        ui.write(&presence(round * 100 + 33)).await;
        ui.answer(round * 100 + 33).await;
        let is_batch = |message: &Value| message.as_array().is_some_and(|answers| answers.len() == 32);
        while !ui.early.iter().any(is_batch) {
            let message = ui.read().await;
            ui.early.push(message);
        }
        ui.early.clear();
    }
    let expected: Vec<_> =
        (0..20).flat_map(|round| (0..=33).map(move |n| format!("presence {}", round * 100 + n))).collect();
    assert_eq!(daemon.script.reached(ME), expected);
}

#[tokio::test]
async fn load_roster_does_not_wait_for_a_login_to_be_done() {
    let daemon = Daemon::with(Script { hold_logins: true, ..Default::default() }).await;
    let mut ui = daemon.connect().await;
    let login = ui.send("login", json!({"jid": ME})).await;
    let presence = ui.send("set_presence", json!({"availability": "away"})).await;
    // No account named: the one whose login was sent before applies.
    let roster = ui.call("load_roster", json!({})).await;
    assert_eq!(roster["result"]["account"], ME);
    assert_eq!(roster["result"]["source"], "cache");
    assert_eq!(roster["result"]["seq"], 7);
    assert_eq!(daemon.script.reached(ME), ["login", "roster"]);
    daemon.script.finish_logins();
    assert_eq!(ui.answer(login).await["result"]["state"], "online");
    ui.answer(presence).await;
    assert_eq!(daemon.script.reached(ME), ["login", "roster", "login done", "presence "]);
}

/// Whatever the login waits for, its UI can read, hurry it, and stop it.
#[tokio::test]
async fn a_login_holds_up_neither_reads_nor_reconnect_nor_logout() {
    let daemon = Daemon::with(Script { hold_logins: true, ..Default::default() }).await;
    let mut ui = daemon.connect().await;
    let login = ui.send("login", json!({"jid": ME})).await;
    let presence = ui.send("set_presence", json!({"availability": "away"})).await;
    let other = ui.send("login", json!({"jid": ME})).await;
    assert_eq!(ui.call("get_account", json!({})).await["result"]["account"], ME);
    assert_eq!(ui.call("get_contact", json!({"jid": ME})).await["error"]["code"], 1201);
    assert_eq!(ui.call("list_subscription_requests", json!({})).await["error"]["code"], 1201);
    assert_eq!(ui.call("reconnect", json!({})).await["result"], json!({}));
    assert!(!daemon.script.reached(ME).contains(&"presence ".to_owned()), "it waits for the login");
    let logout = ui.send("logout", json!({})).await;
    assert_eq!(ui.answer(logout).await["result"], json!({}));
    for login in [login, other] {
        assert_eq!(ui.answer(login).await["error"]["data"]["kind"], "offline");
    }
    assert_eq!(ui.answer(presence).await["result"], json!({}), "its place was before the logout");
    let reached = daemon.script.reached(ME);
    let at = |said: &str| reached.iter().position(|reached| reached == said);
    assert!(at("presence ") < at("logout"), "{reached:?}");
}

#[tokio::test]
async fn logout_holds_what_comes_after_it() {
    let daemon = Daemon::start().await;
    daemon.script.add(ME);
    let mut ui = daemon.connect().await;
    for _ in 0..20 {
        ui.send("logout", json!({})).await;
        ui.send("get_account", json!({})).await;
        let last = ui.send("load_roster", json!({})).await;
        ui.answer(last).await;
    }
    let reached = daemon.script.reached(ME);
    for (at, said) in reached.iter().enumerate() {
        assert!(
            said != "logout" || reached.get(at + 1).is_some_and(|next| next == "logout done"),
            "{reached:?}"
        );
    }
}

#[tokio::test]
async fn an_account_may_be_left_out_where_there_is_one() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    let error = ui.call("get_account", json!({})).await;
    assert_eq!(error["error"]["data"]["kind"], "accountUnknown");
    daemon.script.add(ME);
    assert_eq!(ui.call("get_account", json!({})).await["result"]["account"], ME);
    daemon.script.add("you@example.org");
    let error = ui.call("get_account", json!({})).await;
    assert_eq!(error["error"]["code"], 1004);
    let error = ui.call("get_account", json!({"account": "she@example.org"})).await;
    assert_eq!(error["error"]["code"], 1003);
    assert_eq!(error["error"]["data"]["account"], "she@example.org");
    let all = ui.call("list_accounts", json!({})).await;
    assert_eq!(all["result"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn jids_are_normalised_and_bad_ones_refused() {
    let daemon = Daemon::start().await;
    daemon.script.add(ME);
    let mut ui = daemon.connect().await;
    for same in
        ["ME@Example.ORG", "me@example.org.", "me@example.org。", "me@example．org．", "me@example.org｡"]
    {
        assert_eq!(ui.call("get_account", json!({"account": same})).await["result"]["account"], ME, "{same}");
    }
    for bad in ["", "@example.org", "a@b@c", "me@example.org/desk", "me@example.org..", "me@example.org.。"]
    {
        let error = ui.call("get_account", json!({"account": bad})).await;
        assert_eq!(error["error"]["data"]["kind"], "invalidJid", "{bad:?}");
        let error = ui.call("get_contact", json!({"jid": bad})).await;
        assert_eq!(error["error"]["data"]["kind"], "invalidJid", "{bad:?}");
        let error = ui.call("subscribe", json!({"account": bad})).await;
        assert_eq!(error["error"]["data"]["kind"], "invalidJid", "{bad:?}");
    }
    // A domain alone is a JID, but not an account's, whether a password is given or not.
    for params in [json!({"jid": "example.org"}), json!({"jid": "example.org", "password": "x"})] {
        assert_eq!(ui.call("login", params).await["error"]["data"]["kind"], "invalidJid");
    }
    let error = ui.call("get_contact", json!({"jid": "a@example.org"})).await;
    assert_eq!(error["error"]["code"], 1201);
}

#[tokio::test]
async fn wrong_parameters_and_methods_are_named() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    let error = ui.call("login", json!({"jid": ME, "pasword": "x"})).await;
    assert_eq!(error["error"]["code"], -32602);
    assert!(error["error"]["message"].as_str().unwrap().contains("`password`"), "{error}");
    assert_eq!(ui.call("get_contact", json!([])).await["error"]["code"], -32602);
    assert_eq!(ui.call("no_such", json!({})).await["error"]["code"], -32601);
    assert_eq!(ui.call("get_version", json!([{}])).await["result"]["name"], "prosed");
    assert!(ui.call("rpc.discover", json!({})).await["result"]["openrpc"].is_string());
}

#[tokio::test]
async fn a_notification_takes_effect_and_is_not_answered() {
    let daemon = Daemon::start().await;
    daemon.script.add(ME);
    let mut ui = daemon.connect().await;
    let params = json!({"availability": "dnd", "status": "1"});
    ui.write(&json!({"jsonrpc": "2.0", "method": "set_presence", "params": params})).await;
    ui.write(&json!([{"jsonrpc": "2.0", "method": "set_presence", "params": params}])).await;
    let id = ui.send("get_account", json!({})).await;
    assert_eq!(ui.read().await["id"], id);
    assert_eq!(daemon.script.reached(ME), ["presence 1", "presence 1", "account"]);
}

#[tokio::test]
async fn batches_are_bounded_and_hold_no_subscriptions() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    let version = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "get_version"});
    ui.write(&json!((0..32).map(version).collect::<Vec<_>>())).await;
    let answers = ui.read().await;
    assert_eq!(answers.as_array().unwrap().len(), 32);
    assert_eq!(answers[31]["id"], 31);
    ui.write(&json!((0..33).map(version).collect::<Vec<_>>())).await;
    assert_eq!(ui.read().await["error"]["code"], -32010);
    ui.write(&json!([version(1), {"jsonrpc": "2.0", "id": 2, "method": "subscribe"}, 5])).await;
    let answers = ui.read().await;
    assert_eq!(answers[0]["result"]["name"], "prosed");
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert!(answers[1]["error"]["message"].as_str().unwrap().contains("batch"), "{answers}");
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert_eq!(daemon.post(&json!([version(1), version(2)])).await[1]["id"], 2);
}

#[tokio::test]
async fn sixty_four_calls_in_flight_and_no_more() {
    let daemon = Daemon::with(Script { silent: true, ..Default::default() }).await;
    daemon.script.add(ME);
    let mut ui = daemon.connect().await;
    for _ in 0..64 {
        ui.send("get_account", json!({})).await;
    }
    let error = ui.call("get_version", json!({})).await;
    assert_eq!(error["error"]["code"], 1404);
    assert_eq!(error["error"]["data"]["value"], 64);
    assert_eq!(daemon.connect().await.call("get_version", json!({})).await["result"]["name"], "prosed");
}

#[tokio::test]
async fn answered_calls_are_no_longer_in_flight() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    for _ in 0..200 {
        assert_eq!(ui.call("get_version", json!({})).await["result"]["name"], "prosed");
    }
}

#[tokio::test]
async fn a_request_too_large_is_refused_and_the_connection_lives() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    let id = ui.send("get_version", json!({"x": "x".repeat(2 << 20)})).await;
    assert_eq!(ui.read().await["error"]["code"], -32007);
    assert_eq!(ui.call("get_version", json!({})).await["id"], id + 1);
    let fits = "x".repeat((2 << 20) - 1_000);
    assert_eq!(ui.call("get_version", json!({"x": fits})).await["error"]["code"], -32602);
    let (status, _, _) = daemon.http(&daemon.post_request(&" ".repeat((2 << 20) + 1))).await;
    assert_eq!(status, 413);
}

/// Two lengths, of which the chunks apply (RFC 9112 §6.3), and invalid chunks.
#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_bad_request() {
    let daemon = Daemon::start().await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"get_version"}"#;
    let chunked = |body: &str| {
        let request = daemon.post_request(body);
        request.replacen("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n", 1)
    };
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n", body.len());
    for bad in [body, "zz\r\n", "ffffffffffffffffff\r\n", &format!("1;{}\r\n", "x".repeat(20_000)), "1\r\nxx"]
    {
        let (status, _, body) = daemon.http(&chunked(bad)).await;
        assert_eq!((status, body.as_str()), (400, "the body can't be read\n"), "{bad:.40}");
    }
    assert_eq!(daemon.http(&chunked(&format!("{chunk}\r\n"))).await.0, 200);
}

#[tokio::test]
async fn an_answer_too_large_is_an_error_and_the_connection_lives() {
    let daemon = Daemon::start().await;
    let poll = |id: u64, since: u64| json!({"jsonrpc": "2.0", "id": id, "method": "get_events", "params": {"since": since, "limit": 1}});
    let mut ui = daemon.connect().await;
    daemon.happen(ME, 5 << 20);
    assert_eq!(ui.call("get_events", json!({"since": 0})).await["result"]["seq"], 1);
    // Each fits, but not all together.
    ui.write(&json!((0..4).map(|id| poll(id, 0)).collect::<Vec<_>>())).await;
    let answer = ui.read().await;
    assert_eq!(answer["error"]["code"], -32011, "{:.200}", answer.to_string());
    daemon.happen(ME, 16 << 20);
    let error = ui.call("get_events", json!({"since": 1})).await;
    assert_eq!(error["error"]["code"], -32008, "{:.200}", error.to_string());
    assert_eq!(error["error"]["data"]["kind"], "limitExceeded");
    assert!(
        error["error"]["data"]["text"].as_str().is_some_and(|text| text.contains("The answer has 16777")),
        "{error}"
    );
    assert_eq!(daemon.post(&poll(1, 1)).await["error"]["code"], -32008);
    assert_eq!(ui.call("get_version", json!({})).await["result"]["name"], "prosed");
}

#[tokio::test]
async fn json_too_deep_is_refused_and_the_connection_lives() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"get_version","params":{{"x":{open}{close}}}}}"#)
    };
    for depth in [126, 127, 1_000_000] {
        ui.socket.send(Message::text(nested(depth))).await.unwrap();
        let over_websocket = ui.read().await;
        let (_, _, body) = daemon.http(&daemon.post_request(&nested(depth))).await;
        for answer in [over_websocket, serde_json::from_str(&body).unwrap()] {
            assert_eq!(answer["error"]["code"], -32602, "{depth}: {answer}");
            assert!(
                answer["error"]["message"].as_str().unwrap().contains("unknown field `x`"),
                "{depth}: {answer}"
            );
        }
    }
    // Nor can the request itself be nested so.
    for text in ["[".repeat(1_000_000), format!("{}{}", "[".repeat(1_000), "]".repeat(1_000))] {
        ui.socket.send(Message::text(text)).await.unwrap();
        let answer = ui.read().await;
        let error = answer.get(0).unwrap_or(&answer)["error"]["code"].as_i64();
        assert!(matches!(error, Some(-32700 | -32600)), "{answer}");
    }
    assert_eq!(ui.call("get_version", json!({})).await["result"]["name"], "prosed");
}

/// Accounts answer one by one while things happen: the state is still that of one moment.
#[tokio::test]
async fn a_state_is_true_at_its_seq_and_what_is_subscribed_from_there_is_no_part_of_it() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    assert_eq!(ui.call("load_state", json!({})).await["result"], json!({"seq": 0, "accounts": []}));
    for account in [ME, "you@example.org"] {
        daemon.script.add(account);
    }
    let state = ui.call("load_state", json!({})).await["result"].clone();
    assert_eq!(state["seq"], 4);
    let asked = |at: usize| state["accounts"][at]["subscriptionRequests"].as_array().unwrap().len();
    // The first to answer has missed what came before the other's answer, and what came after it.
    let mut asked = [asked(0), asked(1)];
    asked.sort_unstable();
    assert_eq!(asked, [1, 2], "{state}");
    ui.call("subscribe", json!({"since": state["seq"]})).await;
    daemon.happen(ME, 1);
    assert_eq!(ui.read().await["params"]["result"]["seq"], 5);
    let one = ui.call("load_state", json!({"account": "you@example.org"})).await;
    assert_eq!(one["result"]["accounts"].as_array().unwrap().len(), 1);
    let error = ui.call("load_state", json!({"account": "she@example.org"})).await;
    assert_eq!(error["error"]["data"]["kind"], "accountUnknown");
    assert_eq!(ui.call("load_state", json!({"limit": 0})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn an_avatar_that_went_away_is_not_found_and_others_have_an_error_each() {
    let daemon = Daemon::start().await;
    daemon.script.add(ME);
    let error = daemon
        .post(&json!({"jsonrpc": "2.0", "id": 1, "method": "load_profile",
                                    "params": {"jid": "a@example.org"}}))
        .await;
    assert_eq!(error["error"]["data"]["account"], ME);
    assert_eq!(error["error"]["data"]["retryable"], false);
}
