//! The published contract is a valid OpenRPC document, made of valid schemas, and its examples are
//! what the schemas say.

use prosed_tests::contract::Contract;
use serde_json::{Value, json};

#[test]
fn every_schema_is_one_of_draft_7() {
    let contract = Contract::published();
    let mut schemas: Vec<(String, Value)> = Vec::new();
    for (name, schema) in contract.0["components"]["schemas"].as_object().expect("schemas") {
        schemas.push((name.clone(), schema.clone()));
    }
    for method in contract.methods() {
        let name = method["name"].as_str().expect("a name");
        schemas.push((format!("{name}: parameters"), contract.params_schema(name)));
        schemas.push((format!("{name}: result"), method["result"]["schema"].clone()));
    }
    assert!(schemas.len() > 90, "{}", schemas.len());
    for (name, schema) in schemas {
        if let Err(error) = jsonschema::draft7::meta::validate(&schema) {
            panic!("{name}: {error}");
        }
        // Its references lead somewhere.
        if let Err(error) = contract.check(&schema, &json!(null)) {
            assert!(!error.starts_with("the schema is none"), "{name}: {error}");
        }
    }
}

#[test]
fn every_example_is_what_its_schemas_say() {
    let contract = Contract::published();
    let examples = contract.examples();
    for method in contract.methods() {
        let name = method["name"].as_str().expect("a name");
        let is_there = examples.iter().any(|example| example.method == name);
        assert!(is_there || name == "rpc.discover", "{name} has no example");
    }
    for example in examples {
        let name = &example.method;
        let checked = contract.check(&contract.params_schema(name), &example.params);
        checked.unwrap_or_else(|error| panic!("parameters of {name}: {error}"));
        let checked = contract.check(&contract.method(name)["result"]["schema"], &example.result);
        checked.unwrap_or_else(|error| panic!("result of {name}: {error}"));
    }
    for event in contract.events() {
        let checked = contract.check(&contract.0["x-events"]["schema"], &event);
        checked.unwrap_or_else(|error| panic!("{event}: {error}"));
    }
}
