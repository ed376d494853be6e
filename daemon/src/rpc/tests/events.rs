//! Subscriptions and polls.

use super::*;

const ME: &str = "me@example.org";

/// The numbers of the events that follow.
async fn seqs(ui: &mut Ui, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        seqs.push(ui.read().await["params"]["result"]["seq"].as_u64().unwrap());
    }
    seqs
}

#[tokio::test]
async fn the_answer_precedes_the_first_event() {
    let daemon = Daemon::start().await;
    for _ in 0..5 {
        daemon.happen(ME, 10);
    }
    let mut ui = daemon.connect().await;
    let mut last = 0;
    for _ in 0..16 {
        let id = ui.send("subscribe", json!({"since": 0})).await;
        let answer = ui.read().await;
        assert_eq!(answer["id"], id);
        let subscription = answer["result"].as_u64().unwrap();
        assert!(subscription > last, "ids are numbers, each new");
        last = subscription;
        for seq in 1..=5 {
            let event = ui.read().await;
            assert_eq!(event["jsonrpc"], "2.0");
            assert_eq!(event["method"], "rosterLoaded");
            assert_eq!(event["params"]["subscription"], subscription);
            assert_eq!(event["params"]["result"]["event"], "rosterLoaded");
            assert_eq!(event["params"]["result"]["seq"], seq);
        }
    }
    assert_eq!(ui.call("subscribe", json!({})).await["error"]["code"], -32006, "16 and no more");
}

#[tokio::test]
async fn since_then_live() {
    let daemon = Daemon::start().await;
    for _ in 0..50 {
        daemon.happen(ME, 10);
    }
    let mut ui = daemon.connect().await;
    let id = ui.send("subscribe", json!({"since": 20})).await;
    assert_eq!(ui.read().await["id"], id);
    for _ in 0..50 {
        daemon.happen(ME, 10);
    }
    assert_eq!(seqs(&mut ui, 80).await, (21..=100).collect::<Vec<_>>());
}

/// The first connection of each door, and its first subscription: their numbers are equal.
#[tokio::test]
async fn subscriptions_at_two_doors_do_not_end_each_other() {
    let daemon = Daemon::start().await;
    let mut first = daemon.connect().await;
    let mut second = daemon.connect_at(daemon.other_address).await;
    for ui in [&mut first, &mut second] {
        ui.call("subscribe", json!({})).await;
    }
    daemon.happen(ME, 10);
    assert_eq!((seqs(&mut first, 1).await, seqs(&mut second, 1).await), (vec![1], vec![1]));
    drop(second);
    daemon.happen(ME, 10);
    assert_eq!(seqs(&mut first, 1).await, [2]);
}

#[tokio::test]
async fn without_since_from_the_call_on() {
    let daemon = Daemon::start().await;
    daemon.happen(ME, 10);
    let mut ui = daemon.connect().await;
    ui.call("subscribe", json!({})).await;
    daemon.happen(ME, 10);
    assert_eq!(seqs(&mut ui, 1).await, [2]);
}

#[tokio::test]
async fn by_event_and_account() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    ui.call("subscribe_contactChanged", json!({})).await;
    ui.call("subscribe_rosterLoaded", json!({"account": "ME@example.org"})).await;
    ui.call("subscribe", json!({"events": ["contactChanged"]})).await;
    daemon.happen("you@example.org", 10);
    daemon.happen(ME, 10);
    assert_eq!(seqs(&mut ui, 1).await, [2]);
    let error = ui.call("subscribe", json!({"events": ["noSuchEvent"]})).await;
    assert_eq!(error["error"]["code"], -32602);
    assert_eq!(ui.early, Vec::<Value>::new());
}

#[tokio::test]
async fn a_limit_of_nothing_is_refused() {
    let daemon = Daemon::start().await;
    daemon.happen(ME, 1);
    let mut ui = daemon.connect().await;
    let error = ui.call("get_events", json!({"since": 0, "limit": 0})).await;
    assert_eq!(
        (&error["error"]["code"], &error["error"]["data"]["kind"]),
        (&json!(-32602), &json!("invalidParams"))
    );
    let page = ui.call("get_events", json!({"since": 0, "limit": 5000})).await;
    assert_eq!(page["result"]["events"].as_array().map(Vec::len), Some(1), "{page}");
}

#[tokio::test]
async fn nobody_hears_who_did_not_subscribe() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    let mut other = daemon.connect().await;
    other.call("subscribe", json!({})).await;
    daemon.happen(ME, 10);
    assert_eq!(seqs(&mut other, 1).await, [1]);
    ui.call("get_version", json!({})).await;
    assert_eq!(ui.early, Vec::<Value>::new());
}

#[tokio::test]
async fn unsubscribe_in_each_form() {
    let daemon = Daemon::start().await;
    let mut ui = daemon.connect().await;
    let forms: [fn(&Value) -> Value; 4] = [
        |id| json!([id]),
        |id| json!({"id": id}),
        |id| json!([{"id": id}]),
        |id| json!({"subscription": id}),
    ];
    for method in ["unsubscribe", "unsubscribe_contactChanged", "unsubscribe_rosterLoaded"] {
        for form in forms {
            let id = ui.call("subscribe_rosterLoaded", json!({})).await["result"].clone();
            assert_eq!(ui.call(method, form(&id)).await["result"], true);
            daemon.happen(ME, 10);
            assert_eq!(ui.call(method, form(&id)).await["result"], false);
            assert_eq!(ui.early, Vec::<Value>::new(), "nothing comes after the answer");
        }
    }
    assert_eq!(ui.call("unsubscribe", json!({})).await["error"]["code"], -32602);
    // Ended ones make room for others.
    for _ in 0..40 {
        let id = ui.call("subscribe", json!({})).await["result"].clone();
        assert_eq!(ui.call("unsubscribe", json!([id])).await["result"], true);
    }
    // And they end only for their own connection.
    let id = ui.call("subscribe", json!({})).await["result"].clone();
    assert_eq!(daemon.connect().await.call("unsubscribe", json!([id])).await["result"], false);
}

#[tokio::test]
async fn an_expired_cursor_says_what_is_left() {
    let daemon = Daemon::start().await;
    for _ in 0..40 {
        daemon.happen(ME, 1 << 20);
    }
    let oldest = daemon.log.cursor(Default::default(), Some(0)).err().unwrap().oldest;
    let mut ui = daemon.connect().await;
    for (method, params) in [("subscribe", json!({"since": 1})), ("get_events", json!({"since": 1}))] {
        let error = ui.call(method, params).await;
        assert_eq!(error["error"]["data"]["kind"], "cursorExpired");
        assert_eq!(error["error"]["data"]["oldest"], oldest);
    }
}

#[tokio::test]
async fn a_stalled_reader_harms_nobody_and_learns_that_it_lagged() {
    let daemon = Daemon::start().await;
    let mut stalled = daemon.connect().await;
    let mut quick = daemon.connect().await;
    let subscription = stalled.call("subscribe_rosterLoaded", json!({})).await["result"].clone();
    quick.call("subscribe", json!({})).await;
    // Far more than sockets, buffers and the log hold together.
    for seq in 1..=120 {
        daemon.happen(ME, 1 << 20);
        assert_eq!(seqs(&mut quick, 1).await, [seq]);
    }
    let mut expected = 1;
    let end = loop {
        let message = stalled.read().await;
        if message["params"].get("error").is_some() {
            break message;
        }
        assert_eq!(message["params"]["result"]["seq"], expected, "no gap before the end");
        expected += 1;
    };
    assert!(expected < 120, "it must have stalled for this to prove anything");
    assert_eq!(end["method"], "rosterLoaded");
    assert_eq!(end["params"]["subscription"], subscription);
    assert_eq!(end["params"]["error"]["code"], 1402);
    assert_eq!(end["params"]["error"]["data"]["kind"], "lagged");
    assert_eq!(end["params"]["error"]["data"]["seq"], expected - 1);
    assert_eq!(stalled.call("unsubscribe", json!([subscription])).await["result"], false, "it has ended");
    assert_eq!(stalled.call("get_version", json!({})).await["result"]["name"], "prosed");
}

#[tokio::test]
async fn a_poll_gets_events_and_post_no_subscription() {
    let daemon = Daemon::start().await;
    let call =
        |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    for method in ["subscribe", "subscribe_contactChanged", "unsubscribe"] {
        let error = daemon.post(&call(method, json!({}))).await;
        assert_eq!(error["error"]["code"], 1403, "{method}");
        let error = daemon.post(&json!([call(method, json!({}))])).await;
        assert_eq!(error[0]["error"]["code"], 1403, "{method}");
    }
    for _ in 0..3 {
        daemon.happen(ME, 10);
    }
    let page = daemon.post(&call("get_events", json!({"since": 1, "limit": 1}))).await["result"].clone();
    assert_eq!(page["seq"], 2);
    assert_eq!(page["events"][0]["event"], "rosterLoaded");
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    let page = daemon.post(&call("get_events", json!({"since": 3}))).await["result"].clone();
    assert_eq!(page, json!({"events": [], "seq": 3}));
    let page = daemon.post(&call("get_events", json!({}))).await["result"].clone();
    assert_eq!(page, json!({"events": [], "seq": 3}), "without since it says where the log stands");
}

#[tokio::test]
async fn a_long_poll_holds_nobody() {
    let daemon = Daemon::start().await;
    daemon.script.add(ME);
    let mut ui = daemon.connect().await;
    let poll = ui.send("get_events", json!({"since": 0, "timeout": 60})).await;
    assert_eq!(ui.call("get_account", json!({})).await["result"]["account"], ME);
    daemon.happen(ME, 10);
    assert_eq!(ui.answer(poll).await["result"]["events"][0]["seq"], 1);
}

#[tokio::test]
async fn a_ui_says_whether_somebody_is_looking() {
    let daemon = Daemon::start().await;
    let watching = || daemon.activity.watching();
    let (mut ui, mut other) = (daemon.connect().await, daemon.connect().await);
    let id = ui.call("subscribe", json!({})).await["result"].clone();
    assert_eq!(other.call("set_activity", json!({"active": false})).await["result"], json!({}));
    assert_eq!(watching(), 1, "the subscription counts");
    assert_eq!(ui.call("set_activity", json!({"active": false})).await["result"], json!({}));
    assert_eq!(watching(), 0);
    for ui in [&mut ui, &mut other] {
        ui.call("subscribe", json!({})).await;
    }
    assert_eq!(watching(), 0, "neither is looked at, whatever they do");
    ui.call("unsubscribe", json!([id])).await;
    other.call("set_activity", json!({"active": true})).await;
    assert_eq!(watching(), 1);

    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "set_activity", "params": {"active": true}});
    assert_eq!(daemon.post(&call).await["error"]["data"]["kind"], "subscriptionNeedsWebSocket");
    assert_eq!(watching(), 1);
    let mut third = daemon.connect().await;
    let id = third.call("subscribe", json!({})).await["result"].clone();
    assert_eq!(watching(), 2);
    third.call("unsubscribe", json!([id])).await;
    assert_eq!(watching(), 1);

    let before = daemon.activity.lingers_until();
    ui.call("list_accounts", json!({})).await;
    assert_eq!(daemon.activity.lingers_until(), before, "it has said whether it is looked at");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "list_accounts"});
    daemon.post(&call).await;
    assert!(daemon.activity.lingers_until() > before, "a script may call again");
}
