//! `REFERENCE.md`: the OpenRPC document as a page for people, generated, so that it can't drift.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;

use prosed_protocol::openrpc;
use serde_json::{Value, json};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/REFERENCE.md");

#[test]
fn the_reference_has_not_drifted() {
    let generated = reference(&openrpc());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(GOLDEN, &generated).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let line = golden.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        golden == generated,
        "protocol/REFERENCE.md differs from the code (first at line {line:?}): \
         run `BLESS=1 cargo test -p prosed-protocol` and commit the file."
    );
}

/// Everything in it has a heading, and what it links to is there.
#[test]
fn every_link_leads_somewhere() {
    let page = reference(&openrpc());
    let anchors: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| anchor(line.trim_matches('#')))
        .collect();
    let links = page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    assert!(links.clone().count() > 100);
    for link in links {
        assert_eq!(anchors.iter().filter(|anchor| *anchor == link).count(), 1, "#{link}");
    }
}

/// As Markdown viewers make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.'));
    kept.filter(|c| *c != '.').collect::<String>().to_lowercase().replace(' ', "-")
}

fn reference(document: &Value) -> String {
    let mut page = String::from(
        "# API reference\n\n\
         Generated from [src/api.rs](src/api.rs); [README.md](README.md) has the ideas behind it. Required \
         parameters come first; a field with no value is absent, never `null`.\n\n",
    );
    contents(document, &mut page);
    page.push_str("\n## Method by method\n");
    for method in list(&document["methods"]) {
        describe_method(method, &mut page);
    }
    page.push_str("\n## Event by event\n\n");
    page.push_str(
        "Each also says what every [`Event`](#event) says: `event`, `seq`, `time` and `account`.\n",
    );
    for event in list(&document["x-events"]["events"]) {
        describe_event(document, event, &mut page);
    }
    page.push_str("\n## Type by type\n");
    let events: Vec<_> =
        list(&document["x-events"]["events"]).map(|event| carried(document, event)).collect();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !events.contains(&schema) {
            describe_type(name, schema, &mut page);
        }
    }
    errors(document, &mut page);
    page
}

fn contents(document: &Value, page: &mut String) {
    page.push_str("| method | |\n|---|---|\n");
    for method in list(&document["methods"]) {
        row(page, &[&code_link(text(&method["name"])), text(&method["summary"])]);
    }
    page.push_str("\n| event | |\n|---|---|\n");
    for event in list(&document["x-events"]["events"]) {
        let carried = carried(document, event);
        row(page, &[&code_link(text(&event["name"])), text(&carried["description"])]);
    }
    page.push_str("\nThen [the types](#type-by-type) and [the errors](#error-by-error).\n");
}

fn describe_method(method: &Value, page: &mut String) {
    let name = text(&method["name"]);
    write!(page, "\n### `{name}`\n\n{}\n", text(&method["summary"])).unwrap();
    if let Some(description) = method["description"].as_str() {
        write!(page, "\n{description}\n").unwrap();
    }
    let params: Vec<_> = list(&method["params"]).collect();
    if !params.is_empty() {
        page.push_str("\n| parameter | type | |\n|---|---|---|\n");
        for param in params {
            let optional = if param["required"] == true { "" } else { ", optional" };
            let kind = format!("{}{optional}", kind(&param["schema"]));
            let about = about(&param["schema"], text(&param["description"]));
            row(page, &[&format!("`{}`", text(&param["name"])), &kind, &about]);
        }
    }
    write!(page, "\nAnswers with {}.", kind(&method["result"]["schema"])).unwrap();
    let errors: Vec<_> = list(&method["errors"]).map(|error| reference_name(error).unwrap()).collect();
    if !errors.is_empty() {
        let names: Vec<_> = errors.iter().map(|name| format!("`{name}`")).collect();
        write!(page, " Its [errors](#error-by-error): {}.", names.join(", ")).unwrap();
    }
    page.push('\n');
    for example in list(&method["examples"]) {
        let params =
            list(&example["params"]).map(|param| (text(&param["name"]).to_owned(), param["value"].clone()));
        let params: serde_json::Map<_, _> = params.collect();
        let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": name});
        if !params.is_empty() {
            request["params"] = params.into();
        }
        example_block(page, &ordered(&request));
        example_block(
            page,
            &ordered(&json!({"jsonrpc": "2.0", "id": 1, "result": example["result"]["value"]})),
        );
    }
}

fn describe_event(document: &Value, event: &Value, page: &mut String) {
    let carried = carried(document, event);
    write!(page, "\n### `{}`\n\n{}\n", text(&event["name"]), text(&carried["description"])).unwrap();
    fields(carried, page);
    example_block(page, &ordered(&event["example"]));
}

fn describe_type(name: &str, schema: &Value, page: &mut String) {
    write!(page, "\n### {name}\n\n{}\n", text(&schema["description"])).unwrap();
    if schema.get("properties").is_some() {
        fields(schema, page);
    } else if let Some(choices) = words(schema) {
        page.push_str("\n| word | |\n|---|---|\n");
        for (word, description) in choices {
            row(page, &[&format!("`\"{word}\"`"), description]);
        }
    } else if schema["type"] != "object" {
        write!(page, "\nOn the wire: {}.\n", kind(schema)).unwrap();
    }
}

fn fields(schema: &Value, page: &mut String) {
    let required: Vec<_> = list(&schema["required"]).map(text).collect();
    let Some(properties) = schema["properties"].as_object() else { return };
    page.push_str("\n| field | type | |\n|---|---|---|\n");
    for (name, field) in properties {
        let optional = if required.contains(&name.as_str()) { "" } else { ", optional" };
        let kind = format!("{}{optional}", kind(field));
        row(page, &[&format!("`{name}`"), &kind, &about(field, text(&field["description"]))]);
    }
}

fn errors(document: &Value, page: &mut String) {
    page.push_str(
        "\n## Error by error\n\n\
         In an answer's `error`: `code` and `message` as here, and in `data` an [`ErrorData`](#errordata), which says \
         more. \"Again\" says whether the same call may usually succeed later, with nothing changed by anybody; the error's \
         own `retryable` says it exactly.\n\n\
         | code | kind | again | when | message |\n|---|---|---|---|---|\n",
    );
    let kinds = words(&document["components"]["schemas"]["ErrorKind"]).unwrap();
    for (kind, description) in kinds {
        let error = &document["components"]["errors"][kind];
        let again = if error["data"]["retryable"] == true { "yes" } else { "no" };
        let code = error["code"].to_string();
        row(page, &[&code, &format!("`{kind}`"), again, description, text(&error["message"])]);
    }
    page.push_str(
        "\nThe limits of a connection are `limitExceeded` under codes of their own, and not worth trying again: \
         -32006 (subscriptions), -32007 (bytes of a request), -32008 (bytes of an answer), -32010 (calls in a \
         batch), -32011 (bytes of a batch's answer).\n",
    );
}

/// What a schema is, in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(name) = reference_name(schema) {
        return format!("[`{name}`](#{})", anchor(name));
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return kind(only);
    }
    if let Some([some, nothing]) = schema["anyOf"].as_array().map(Vec::as_slice)
        && nothing["type"] == "null"
    {
        return format!("{} or null", kind(some));
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("`\"{word}\"`");
    }
    match text(&schema["type"]) {
        "array" => format!("a list of {}", kind(&schema["items"])),
        "string" if schema["format"] == "date-time" => "time".to_owned(),
        "" => panic!("no word for {schema}"),
        name => name.to_owned(),
    }
}

/// A description, with what the schema adds to it.
fn about(schema: &Value, description: &str) -> String {
    match schema.get("default") {
        None => description.to_owned(),
        Some(Value::Array(list)) if list.is_empty() => description.to_owned(),
        Some(default) => format!("{description} Default: `{default}`."),
    }
}

/// The words of an enumeration, each with its description.
fn words(schema: &Value) -> Option<Vec<(&str, &str)>> {
    let words = schema["enum"].as_array()?;
    Some(words.iter().map(|word| (text(word), text(&schema["x-meanings"][text(word)]))).collect())
}

fn carried<'a>(document: &'a Value, event: &Value) -> &'a Value {
    &document["components"]["schemas"][reference_name(&event["carries"]).unwrap()]
}

fn reference_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn code_link(name: &str) -> String {
    format!("[`{name}`](#{})", anchor(name))
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    writeln!(page, "| {} |", cells.join(" | ").trim_end()).unwrap();
}

fn example_block(page: &mut String, text: &str) {
    write!(page, "\n```json\n{text}\n```\n").unwrap();
}

/// JSON on one line, with what tells messages and events apart in front.
fn ordered(value: &Value) -> String {
    const FIRST: [&str; 9] = ["jsonrpc", "id", "method", "event", "seq", "time", "account", "jid", "name"];
    match value {
        Value::Object(object) => {
            let first = FIRST.iter().filter_map(|name| object.get_key_value(*name));
            let rest = object.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
            let fields: Vec<_> = first
                .chain(rest)
                .map(|(name, value)| format!("{}: {}", json!(name), ordered(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(ordered).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
