//! Each parameter of each method with values that a hostile or careless UI may send: whatever it is, the answer is one
//! that the contract allows, what is accepted is what the contract describes, and the session goes on.

use std::time::Duration;

use prosed_tests::contract::Contract;
use prosed_tests::{Daemon, Kind, Server, Ui, server::Setup};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Values tried for each parameter and each part of one, chosen by the seed.
const EACH: usize = 16;
/// No call takes longer: none waits for anybody but a server next door.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Parameters that nobody would accept, or that only a normal form makes acceptable.
fn nasty() -> Vec<Value> {
    let mut nasty: Vec<Value> = [
        "",
        " ",
        "\n",
        "a\0b",
        "\u{1}",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{85}",
        "\u{fffe}",
        "a\u{ffff}",
        "\u{1ffff}",
        "\u{202e}live",
        "a\u{200b}b",
        "\u{feff}",
        "<&>\"'",
        "]]>",
        "&#0;",
        "%00",
        "../../etc/passwd",
        "e\u{301}",
        "\u{212b}",
        "null",
        "-1",
        "@",
        "/",
        "@prosed.test",
        "alice@",
        "a@b@c",
        "ALICE@PROSED.TEST",
        "alice@prosed.test.",
        "alice@prosed.test..",
        "alice@prosed.test\u{3002}",
        "alice@prosed\u{ff0e}test",
        "alice@prosed.test/",
        "alice@prosed.test/x",
        " alice@prosed.test",
        "al\u{200d}ice@prosed.test",
        "\u{ff41}lice@prosed.test",
        "alice@pro\u{ad}sed.test",
        "me@prosed.test",
        "prosed.test",
        "nobody@prosed.test",
        "alice@xn--a.test",
        "alice@[::1]",
        "alice@prosed.test:5222",
    ]
    .map(Value::from)
    .into();
    for long in [1_000, 1_001, 4_001, 1_000_000] {
        nasty.push("é".repeat(long).into());
    }
    for part in [1_023, 1_024] {
        nasty.push(format!("{}@prosed.test", "a".repeat(part)).into());
        nasty.push(format!("a@{}", "b".repeat(part)).into());
    }
    nasty.extend([
        json!(0),
        json!(1),
        json!(-1),
        json!(-129),
        json!(256),
        json!(65_536),
        json!(4_294_967_296_u64),
        json!(9_223_372_036_854_775_808_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.5),
        json!(1e308),
        json!(true),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!([""]),
        json!({ "a": 1 }),
        Value::Null,
        json!(vec!["x"; 201]),
    ]);
    nasty
}

/// The paths of all values below a schema.
fn paths(contract: &Contract, schema: &Value, path: &str, to: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = contract.0.pointer(reference.trim_start_matches('#')).expect("a schema");
        return paths(contract, schema, path, to);
    }
    for choice in ["anyOf", "allOf"].iter().flat_map(|choice| schema[choice].as_array()).flatten() {
        paths(contract, choice, path, to);
    }
    to.push(path.to_owned());
    if schema["items"].is_object() {
        paths(contract, &schema["items"], &format!("{path}/0"), to);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        paths(contract, schema, &format!("{path}/{name}"), to);
    }
}

/// Puts a value at a path.
fn put(within: &mut Value, path: &str, value: Value) {
    let Some((name, rest)) = path.split_once('/').or((!path.is_empty()).then_some((path, ""))) else {
        *within = value;
        return;
    };
    let part = if name == "0" {
        if within.get(0).is_none() {
            *within = json!([null]);
        }
        &mut within[0]
    } else {
        if !within.is_object() {
            *within = json!({});
        }
        &mut within[name]
    };
    put(part, rest, value);
}

/// Parameters that are fine as they are, and harmless.
fn fine(method: &str) -> Value {
    match method {
        "login" => json!({ "jid": "stranger@prosed.test" }),
        "logout" => json!({ "account": "stranger@prosed.test" }),
        "show_contacts" => json!({ "jids": [] }),
        "rename_group" => json!({ "group": "Nobody's", "name": "Somebody's" }),
        "set_avatar" => json!({ "data": "" }),
        "set_profile" => json!({ "profile": {} }),
        "set_presence" => json!({ "availability": "away" }),
        "unsubscribe" => json!({ "id": 1 }),
        "get_contact" | "update_contact" | "load_avatar" | "load_profile" => {
            json!({ "jid": "alice@prosed.test" })
        }
        "add_contact"
        | "remove_contact"
        | "approve_subscription"
        | "deny_subscription"
        | "request_subscription"
        | "cancel_subscription" => json!({ "jid": "bob@prosed.test" }),
        _ => json!({}),
    }
}

/// What would end the test's own session, connect somewhere, or wait on purpose.
fn is_meant(method: &str, path: &str, value: &Value) -> bool {
    match (method, path) {
        ("login", "password") => true,
        ("login" | "logout", "jid" | "account") => {
            value.is_null() || value.as_str().is_some_and(|jid| jid.contains("me@"))
        }
        ("get_events", "timeout") => value.is_u64(),
        _ => false,
    }
}

#[tokio::test]
async fn whatever_a_ui_sends_is_answered_within_the_contract() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let contract = Contract::published();
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice").account("bob")).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    let before = ui.call("login", server.login("me")).await.expect("logged in");

    let (nasty, mut calls) = (nasty(), 0);
    for method in contract.methods() {
        let name = method["name"].as_str().expect("a name");
        let allowed = contract.errors(name);
        let mut places = Vec::new();
        for param in method["params"].as_array().into_iter().flatten() {
            paths(&contract, &param["schema"], param["name"].as_str().expect("a name"), &mut places);
        }
        places.dedup();
        for place in places {
            for value in nasty.choose_multiple(&mut random, EACH) {
                if is_meant(name, &place, value) {
                    continue;
                }
                let mut params = fine(name);
                put(&mut params, &place, value.clone());
                let said = format!("{name} {place} {:.80}", value.to_string());
                calls += 1;
                let answer = timeout(ANSWERED_WITHIN, ui.call(name, params.clone())).await;
                match answer.unwrap_or_else(|_| panic!("no answer to {said}")) {
                    Err(error) => {
                        let kind = error.kind().to_owned();
                        let is_allowed = kind == "invalidParams" || allowed.contains(&kind);
                        assert!(is_allowed && kind != "internalError", "{said}: {error:?}");
                    }
                    Ok(result) => {
                        let checked = contract.check(&method["result"]["schema"], &result);
                        checked.unwrap_or_else(|error| panic!("{said}: {error}"));
                        // A null counts as absent, some numbers that are too large as the largest, and white space
                        // as no picture.
                        if !value.is_null() && !value.is_u64() && place != "data" {
                            let checked = contract.check(&contract.params_schema(name), &params);
                            checked.unwrap_or_else(|error| panic!("{said} was accepted: {error}"));
                        }
                        if name.starts_with("subscribe") {
                            ui.call("unsubscribe", json!({ "id": result })).await.expect("unsubscribed");
                        }
                    }
                }
            }
        }
        let after = ui.call("get_account", json!({})).await.expect("the account");
        assert_eq!((&after["state"], &after["since"]), (&json!("online"), &before["since"]), "after {name}");
    }
    assert!(calls > 500, "{calls}");
    let log = std::fs::read_to_string(daemon.log_file()).expect("a log");
    let bad: Vec<_> = log.lines().filter(|line| line.contains(" ERROR ") || line.contains("panic")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
