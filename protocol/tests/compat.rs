//! What was promised is still served: this contract against those that were frozen before it.
//!
//! `compat/openrpc-N.json` is the contract as it was released with `apiLevel` N.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "compat/promise.rs"]
mod promise;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use promise::broken_promises;
use prosed_protocol::{API_COMPATIBLE, API_LEVEL, openrpc};
use serde_json::{Value, json};

/// The frozen contracts, by their level.
fn frozen() -> BTreeMap<u32, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let level = name.strip_prefix("openrpc-").and_then(|rest| rest.strip_suffix(".json")).unwrap();
            let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert_eq!(document["info"]["version"], format!("{level}.0.0"), "{name}");
            (level.parse().unwrap(), document)
        })
        .collect()
}

#[test]
fn what_was_promised_is_still_served() {
    let now = openrpc();
    let frozen = frozen();
    assert!(frozen.contains_key(&API_COMPATIBLE), "the oldest level that is still served is there");
    for (level, then) in frozen.range(API_COMPATIBLE..) {
        let broken = broken_promises(then, &now);
        assert!(broken.is_empty(), "broken promises of level {level}:\n{}", broken.join("\n"));
    }
}

/// One level more for all that is added until the next release.
#[test]
fn the_level_grows_with_the_contract() {
    let (newest, then) = frozen().pop_last().unwrap();
    let added = broken_promises(&openrpc(), &then);
    let level = if added.is_empty() { newest } else { newest + 1 };
    assert_eq!(API_LEVEL, level, "added since level {newest} was frozen:\n{}", added.join("\n"));
}

/// Applies a change to the contract of today.
fn changed(pointer: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut document = openrpc();
    change(document.pointer_mut(pointer).unwrap_or_else(|| panic!("there is no {pointer}")));
    document
}

fn method(name: &str) -> String {
    let methods = openrpc()["methods"].as_array().unwrap().clone();
    format!("/methods/{}", methods.iter().position(|method| method["name"] == name).unwrap())
}

fn remove(object: &mut Value, key: &str) {
    object.as_object_mut().unwrap().remove(key).unwrap();
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

#[test]
fn a_broken_promise_is_found() {
    let login = method("login");
    let of_priority = format!("{}/params/2/schema", method("set_presence"));
    let of_subscribe = method("subscribe");
    let schema = |name: &str| format!("/components/schemas/{name}");
    let breaks: Vec<(&str, Value)> = vec![
        ("login: it is gone", changed(&login, |m| m["name"] = json!("log_in"))),
        (
            "login: the parameter password is gone",
            changed(&format!("{login}/params"), |params| {
                params.as_array_mut().unwrap().retain(|param| param["name"] != "password");
            }),
        ),
        (
            "login: the parameter acceptDowngrade is required now",
            changed(&format!("{login}/params/1"), |param| {
                param["required"] = json!(true);
            }),
        ),
        (
            "login: the new parameter code is required",
            changed(&format!("{login}/params"), |params| {
                push(params, json!({ "name": "code", "required": true, "schema": { "type": "string" } }));
            }),
        ),
        ("set_presence(priority): maximum", changed(&of_priority, |schema| schema["maximum"] = json!(-5))),
        ("set_presence(priority): type", changed(&of_priority, |schema| schema["type"] = json!("string"))),
        (
            "login(remember): default",
            changed(&format!("{login}/params/5/schema"), |schema| {
                schema["default"] = json!(false);
            }),
        ),
        (
            "login(tls): direct is gone",
            changed(&schema("TlsMode/enum"), |words| {
                words.as_array_mut().unwrap().retain(|word| word != "direct");
            }),
        ),
        (
            "get_contact: result.rosterName is gone",
            changed(&schema("Contact/properties"), |fields| {
                remove(fields, "rosterName");
            }),
        ),
        (
            "get_contact: result.name may be absent now",
            changed(&schema("Contact/required"), |required| {
                required.as_array_mut().unwrap().retain(|name| name != "name");
            }),
        ),
        (
            "load_roster: result.contacts[].resources[].priority: type",
            changed(&schema("Resource/properties/priority"), |schema| schema["type"] = json!("string")),
        ),
        (
            "load_roster: result.seq: minimum",
            changed(&schema("Roster/properties/seq"), |schema| {
                remove(schema, "minimum");
            }),
        ),
        (
            "load_avatar: result.data: contentEncoding",
            changed(&schema("LoadedAvatar/properties/data"), |schema| {
                remove(schema, "contentEncoding");
            }),
        ),
        (
            "unsubscribe: result: type",
            changed(&format!("{}/result/schema", method("unsubscribe")), |schema| {
                schema["type"] = json!("string");
            }),
        ),
        (
            "errors: lagged has another code",
            changed("/components/errors/lagged", |error| error["code"] = json!(7)),
        ),
        ("errors: offline is gone", changed("/components/errors", |errors| remove(errors, "offline"))),
        (
            "error data.oldest is gone",
            changed(&schema("ErrorData/properties"), |fields| {
                remove(fields, "oldest");
            }),
        ),
        (
            "events: rosterLoaded is gone",
            changed("/x-events/events", |events| {
                events.as_array_mut().unwrap().retain(|event| event["name"] != "rosterLoaded");
            }),
        ),
        (
            "contactChanged.removed may be absent now",
            changed(&schema("ContactChanged/required"), |required| {
                required.as_array_mut().unwrap().retain(|name| name != "removed");
            }),
        ),
        ("every event.seq is gone", changed(&schema("Event/properties"), |fields| remove(fields, "seq"))),
        ("subscribe: it is no subscription", changed(&of_subscribe, |m| remove(m, "x-subscription"))),
        (
            "subscribe: it is ended by another method",
            changed(&format!("{of_subscribe}/x-subscription"), |s| {
                s["unsubscribe"] = json!("stop");
            }),
        ),
        (
            "subscribe: accountChanged is gone",
            changed(&format!("{of_subscribe}/x-subscription/events"), |events| {
                events.as_array_mut().unwrap().retain(|event| event != "accountChanged");
            }),
        ),
    ];
    for (promise, document) in breaks {
        let broken = broken_promises(&openrpc(), &document);
        assert!(broken.iter().any(|found| found.contains(promise)), "{promise}: {broken:#?}");
    }
    assert_eq!(broken_promises(&openrpc(), &openrpc()), Vec::<String>::new());
}

#[test]
fn an_addition_breaks_nothing_and_is_one() {
    let login = method("login");
    let schema = |name: &str| format!("/components/schemas/{name}");
    let text = || json!({ "type": "string" });
    for document in [
        changed("/methods", |methods| {
            push(methods, json!({ "name": "send_message", "params": [], "result": { "schema": text() } }));
        }),
        changed(&format!("{login}/params"), |params| {
            push(params, json!({ "name": "code", "required": false, "schema": text() }));
        }),
        changed(&schema("Contact/properties"), |fields| fields["mood"] = text()),
        changed(&schema("Availability/enum"), |words| push(words, json!("busy"))),
        changed("/components/errors", |errors| errors["tooOld"] = json!({ "code": 1777, "message": "." })),
        changed("/x-events/events", |events| {
            push(
                events,
                json!({ "name": "messageReceived", "carries": { "$ref": "#/components/schemas/Done" } }),
            );
        }),
        changed(&schema("RosterLoaded/properties"), |fields| fields["removed"] = text()),
        changed(&schema("ErrorData/properties"), |fields| fields["hint"] = text()),
        changed(&format!("{}/params/0", method("get_contact")), |param| param["required"] = json!(false)),
    ] {
        assert_eq!(broken_promises(&openrpc(), &document), Vec::<String>::new());
        assert_ne!(broken_promises(&document, &openrpc()), Vec::<String>::new(), "it has grown");
    }
    // What is only said better is no addition.
    for document in [
        changed(&login, |method| method["summary"] = json!("Come in.")),
        changed(&login, |method| remove(method, "examples")),
        changed(&schema("Contact"), |schema| schema["description"] = json!("Somebody.")),
    ] {
        assert_eq!(broken_promises(&document, &openrpc()), Vec::<String>::new());
    }
}
