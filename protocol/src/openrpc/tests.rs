use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::api::methods;
use crate::{
    Availability, ConnectionState, ErrorKind, RosterSource, SecretStore, SetPresenceParams, Subscription,
    Warning,
};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openrpc.json");

#[test]
fn the_golden_document_has_not_drifted() {
    let generated = format!("{:#}\n", openrpc());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(GOLDEN, &generated).unwrap();
    }
    let golden = std::fs::read_to_string(Path::new(GOLDEN)).unwrap_or_default();
    let line = golden.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        golden == generated,
        "protocol/openrpc.json differs from the code (first at line {line:?}). If the change is meant, \
         run `BLESS=1 cargo test -p prosed-protocol` and commit the file: it is a promise to UIs."
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let document = openrpc();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.contains("#/components/schemas/Contact"));
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                references.insert(reference.clone());
            }
            object.values().for_each(|value| collect(value, references));
        }
        _ => {}
    }
}

/// What public validators and generators stumble over.
#[test]
fn generators_find_what_they_know() {
    let document = openrpc();
    let mut places = vec![&document];
    while let Some(place) = places.pop() {
        let format = &place["format"];
        assert!(format.is_null() || format == "date-time" || format.is_object(), "{format}");
        let choices = place["oneOf"].as_array().into_iter().flatten();
        assert!(choices.into_iter().all(|choice| choice["const"].is_null()), "words are an enum: {place}");
        if let Some(words) = place["enum"].as_array() {
            assert!(
                words.iter().all(|word| place["x-meanings"][word.as_str().unwrap()].is_string()),
                "{place}"
            );
        }
        match place {
            Value::Array(items) => places.extend(items),
            Value::Object(object) => places.extend(object.values()),
            _ => {}
        }
    }
    let schemas = &document["components"]["schemas"];
    for (name, schema) in schemas.as_object().unwrap() {
        assert_eq!(schema["title"], **name);
    }
    for method in document["methods"].as_array().unwrap() {
        let params = method["params"].as_array().unwrap().iter();
        for schema in params.chain([&method["result"]]).map(|it| &it["schema"]) {
            assert!(
                schema["title"].is_string() || schema["$ref"].is_string(),
                "{}: {schema}",
                method["name"]
            );
        }
        let name = method["x-name"].as_str().unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphabetic() || c == '_'), "{name}");
    }
    // The daemon may add values later, and accepts only those that it knows.
    assert_eq!(schemas["Availability"]["x-extensible-enum"], schemas["Availability"]["enum"]);
    assert!(schemas["TlsMode"]["x-extensible-enum"].is_null());
}

/// Where the daemon may add values, these types must accept unknown ones: otherwise a newer daemon's whole answer
/// would be lost because of one value.
#[test]
fn words_that_may_come_are_borne() {
    macro_rules! borne {
        ($($word:ty),+) => {{
            $(assert_eq!(
                serde_json::from_value::<$word>("aNewWord".into()).unwrap(),
                <$word>::Unknown,
                "{}",
                stringify!($word)
            );)+
            BTreeSet::from([$(stringify!($word)),+])
        }};
    }
    let borne =
        borne!(ConnectionState, SecretStore, Availability, Subscription, Warning, RosterSource, ErrorKind);
    let document = openrpc();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let extensible = schemas.iter().filter(|(_, schema)| !schema["x-extensible-enum"].is_null());
    assert_eq!(extensible.map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>(), borne);
    let presence = |word: &str| serde_json::from_value::<SetPresenceParams>(json!({ "availability": word }));
    assert_eq!(presence("xa").unwrap().availability, Availability::Xa);
    let refused = presence("aNewWord").unwrap_err().to_string();
    assert!(refused.contains("expected one of `available`"), "{refused}");
}

#[test]
fn nothing_is_said_to_be_null_but_what_a_patch_removes() {
    let mut document = openrpc();
    for patch in ["ProfilePatch", "AddressPatch"] {
        let schema = document["components"]["schemas"][patch].take();
        for (name, part) in schema["properties"].as_object().unwrap() {
            assert_eq!(part["anyOf"][1]["type"], "null", "{patch}.{name}");
        }
        document["components"]["schemas"].as_object_mut().unwrap().remove(patch);
    }
    let methods = document["methods"].as_array_mut().unwrap();
    methods.retain(|method| method["name"] != "set_profile");
    let document = document.to_string();
    assert!(!document.contains("null\""), "a schema allows null");
    assert!(!document.contains(":null"), "a field is null");
}

#[test]
fn types_that_are_read_and_written_are_described_once() {
    let mut document = Document::new();
    methods().for_each(|method| drop(document.method(method)));
    let read = document.of_params.take_definitions(true);
    let written = document.of_results.take_definitions(true);
    for (name, schema) in read {
        if let Some(other) = written.get(&name) {
            assert_eq!(&schema, other, "{name}");
        }
    }
}

#[test]
fn examples_are_true() {
    for method in methods() {
        let Some((params, result)) = (method.example)() else { continue };
        (method.check_params)(Some(&params.to_string())).unwrap_or_else(|e| panic!("{}: {e}", method.name));
        (method.check_result)(result).unwrap_or_else(|e| panic!("{}: {e}", method.name));
    }
    for name in EventName::ALL {
        let example = describe_event(*name)["example"].take();
        let event: Event = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), example, "as the daemon would write it");
        assert_eq!(event.payload.name(), Some(*name));
    }
}

#[test]
fn every_method_has_an_example() {
    let without: Vec<_> = methods().filter(|method| (method.example)().is_none()).collect();
    let names: Vec<_> = without.iter().map(|method| method.name).collect();
    assert_eq!(names, ["rpc.discover"], "its example would be this document");
}

#[test]
fn names_follow_the_conventions() {
    let mut seen = BTreeSet::new();
    for method in methods() {
        assert!(seen.insert(method.name), "{} is there twice", method.name);
        let (summary, _) = summary_and_description(method.doc);
        assert!(!summary.is_empty() && summary.len() < 120, "{}: {summary}", method.name);
    }
}

#[test]
fn an_event_from_the_future_can_be_read() {
    let json = r#"{"event":"messageReceived","seq":1,"time":"t","account":"a@b","message":{}}"#;
    let event: Event = serde_json::from_str(json).unwrap();
    assert_eq!(event.payload.name(), None);
}
