//! The README's examples are true.
#![allow(missing_docs, clippy::unwrap_used)]

use prosed_protocol::api::{self, MethodInfo};
use prosed_protocol::endpoint::Endpoint;
use prosed_protocol::{ApiError, Event, EventName, challenge};
use serde_json::Value;

const README: &str = include_str!("../README.md");

fn examples() -> Vec<Value> {
    let blocks = README.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| serde_json::from_str(block).unwrap_or_else(|e| panic!("{e}: {block}"))).collect()
}

fn method(name: &str) -> &'static MethodInfo {
    api::methods().find(|method| method.name == name).unwrap_or_else(|| panic!("there is no {name}"))
}

fn is_true_error(error: &Value) {
    let error: ApiError = serde_json::from_value(error.clone()).unwrap();
    let kind = error.data.kind;
    assert_eq!((error.code, error.message.as_str()), (kind.code(), kind.message()));
    assert_eq!(error.data.retryable, kind.retryable());
}

/// Those who write a client of their own compare with it.
#[test]
fn the_example_of_a_challenge_is_true() {
    let example = README.lines().find(|line| line.starts_with("The token `")).unwrap();
    let [token, address, nonce, answer] =
        <[&str; 4]>::try_from(example.split('`').skip(1).step_by(2).collect::<Vec<_>>()).unwrap();
    assert!(challenge::is_nonce(nonce));
    assert_eq!(challenge::answer(token, address.parse().unwrap(), nonce), answer);
}

#[test]
fn examples_are_true() {
    let mut asked = None;
    let (mut requests, mut results, mut events, mut errors) = (0, 0, 0, 0);
    for example in examples() {
        if example.get("tokenFile").is_some() {
            serde_json::from_value::<Endpoint>(example).unwrap();
        } else if let (Some(name), Some(_)) = (example["method"].as_str(), example.get("id")) {
            let params = example.get("params").map(Value::to_string);
            (method(name).check_params)(params.as_deref()).unwrap_or_else(|e| panic!("{name}: {e}"));
            asked = Some((example["id"].clone(), method(name)));
            requests += 1;
        } else if let Some(result) = example.get("result") {
            let (id, method) = asked.take().unwrap();
            assert_eq!(id, example["id"], "{}", method.name);
            (method.check_result)(result.clone()).unwrap_or_else(|e| panic!("{}: {e}", method.name));
            results += 1;
        } else if let Some(error) = example.get("error") {
            is_true_error(error);
            errors += 1;
        } else if let Some(error) = example["params"].get("error") {
            is_true_error(error);
            errors += 1;
        } else {
            let event: Event = serde_json::from_value(example["params"]["result"].clone()).unwrap();
            assert_eq!(
                Some(example["method"].as_str().unwrap()),
                event.payload.name().map(EventName::as_str)
            );
            events += 1;
        }
    }
    assert_eq!((requests, results, events, errors), (4, 4, 1, 2));
}
