//! The OpenRPC document, generated from the table in [`crate::api`] and the types' documentation.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::api::{self, MethodInfo};
use crate::error::{ErrorData, ErrorKind};
use crate::event::{Event, EventName};
use crate::examples;

/// Where schemas live in the document, as a JSON pointer.
const SCHEMAS: &str = "/components/schemas";

/// The API as an OpenRPC 1.3 document: methods, parameters, results, errors, examples; and events under `x-events`,
/// which OpenRPC does not support.
pub fn openrpc() -> Value {
    let mut document = Document::new();
    let methods: Vec<_> = api::methods().map(|method| document.method(method)).collect();
    let event = document.of_results.subschema_for::<Event>();
    let error_data = document.of_results.subschema_for::<ErrorData>();
    let events: Vec<_> = EventName::ALL.iter().map(|event| describe_event(*event)).collect();
    let mut document = json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "prosed",
            "version": format!("{}.0.0", crate::API_LEVEL),
            "description": INTRODUCTION,
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [
            {"name": "WebSocket", "url": "ws://127.0.0.1:5299/rpc", "summary": "Everything."},
            {"name": "HTTP POST", "url": "http://127.0.0.1:5299/rpc",
             "summary": "Everything but subscriptions."},
        ],
        "methods": methods,
        "components": {"errors": errors(), "schemas": document.schemas()},
        "x-events": {"schema": event, "events": events},
        "x-errorData": error_data,
    });
    tidy(&mut document);
    document
}

const INTRODUCTION: &str = "The API of prosed, a daemon that keeps one XMPP session for each account and serves it \
to any number of user interfaces on this machine.

Parameters go by name. Times are RFC 3339 in UTC with milliseconds. JIDs are normalised strings. A field with no \
value is absent, never null; only what `set_profile` takes may say null, to take something away. Lists are always there, \
sorted by JID unless said otherwise. Clients ignore fields, \
events and error kinds that they don't know: this API changes only by adding.

Calls on one connection that concern one account take effect in the order in which they were sent.

This document is what `rpc.discover` answers with; `GET /openrpc.json` gives it, too.

Over HTTP and WebSocket every request carries the token as `Authorization: Bearer …`; a browser says it as the \
second of two WebSocket subprotocols, `prosed.v1, prosed.bearer.<token>`.";

/// Parameters are described as read, everything else as written.
struct Document {
    of_params: SchemaGenerator,
    of_results: SchemaGenerator,
}

impl Document {
    fn new() -> Self {
        // OpenRPC 1.3 uses draft 7 of JSON Schema.
        let settings = || {
            SchemaSettings::draft07().with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.meta_schema = None;
            })
        };
        Self {
            of_params: settings().for_deserialize().into_generator(),
            of_results: settings().for_serialize().into_generator(),
        }
    }

    fn method(&mut self, method: &MethodInfo) -> Value {
        let (summary, description) = summary_and_description(method.doc);
        let title = pascal_case(method.name);
        let result = (method.result)(&mut self.of_results);
        let mut object = json!({
            "name": method.name,
            // `rpc.discover` is OpenRPC's name, and not a valid identifier.
            "x-name": method.name.strip_prefix("rpc.").unwrap_or(method.name),
            "summary": summary,
            "paramStructure": "by-name",
            "params": params(&title, &(method.params)(&mut self.of_params)),
            "result": {"name": "result", "schema": titled(result.into(), &format!("{title}Result"))},
            "errors": errors_of(method).map(|kind| json!({"$ref": error_path(kind)})).collect::<Vec<_>>(),
        });
        if !description.is_empty() {
            object["description"] = description.into();
        }
        if let Some((params, result)) = (method.example)() {
            object["examples"] = json!([example(&params, &result)]);
        }
        if let Some(subscription) = api::SUBSCRIPTIONS.iter().find(|s| s.subscribe == method.name) {
            object["x-subscription"] = json!({
                "unsubscribe": subscription.unsubscribe,
                "events": subscription.event.map_or(EventName::ALL.to_vec(), |event| vec![event]),
            });
        }
        object
    }

    fn schemas(&mut self) -> Map<String, Value> {
        let mut schemas = self.of_params.take_definitions(true);
        let mut of_results = self.of_results.take_definitions(true);
        of_results.values_mut().for_each(extensible);
        schemas.append(&mut of_results);
        for (name, schema) in &mut schemas {
            words(schema);
            schema["title"] = name.as_str().into();
        }
        schemas
    }
}

/// Marks an enum to which the daemon may add values.
fn extensible(schema: &mut Value) {
    words(schema);
    if let Some(words) = schema.get("enum").cloned() {
        schema["x-extensible-enum"] = words;
    }
}

/// An enum as a plain `enum`, with the meaning of each value next to it: generators treat `oneOf` as a union of
/// types.
fn words(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let choices = object.get("oneOf").and_then(Value::as_array);
    let word = |choice: &Value| {
        let meaning = paragraphs(choice.get("description")?.as_str()?).join("\n\n");
        Some((choice.get("const")?.clone(), meaning))
    };
    let Some(choices) = choices.and_then(|all| all.iter().map(word).collect::<Option<Vec<_>>>()) else {
        return;
    };
    object.remove("oneOf");
    object.insert("type".to_owned(), "string".into());
    let meanings: Map<_, _> = choices
        .iter()
        .map(|(word, text)| (word.as_str().unwrap_or_default().to_owned(), text.clone().into()))
        .collect();
    object.insert("enum".to_owned(), choices.into_iter().map(|(word, _)| word).collect());
    object.insert("x-meanings".to_owned(), meanings.into());
}

/// Names an inline schema, as in `LoginPassword`.
fn titled(mut schema: Value, name: &str) -> Value {
    if let Some(object) = schema.as_object_mut()
        && !object.contains_key("$ref")
    {
        object.insert("title".to_owned(), name.into());
    }
    schema
}

/// `get_account` as `GetAccount`, and `rpc.discover` as `Discover`.
fn pascal_case(name: &str) -> String {
    let name = name.strip_prefix("rpc.").unwrap_or(name);
    let capitalised = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>())
    };
    name.split('_').filter_map(capitalised).collect()
}

/// OpenRPC lists parameters one by one: required ones first.
fn params(title: &str, schema: &Schema) -> Vec<Value> {
    let required: Vec<_> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut params: Vec<_> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let required = required.contains(&name.as_str());
            let schema = titled(schema, &format!("{title}{}", pascal_case(name)));
            (
                !required,
                json!({"name": name, "required": required, "description": description, "schema": schema}),
            )
        })
        .collect();
    params.sort_by_key(|(optional, _)| *optional);
    params.into_iter().map(|(_, param)| param).collect()
}

fn example(params: &Value, result: &Value) -> Value {
    let params: Vec<_> = params
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({"name": "example", "params": params, "result": {"name": "result", "value": result}})
}

/// Its own errors, and the one that every call may get: the number of calls in flight per connection is limited.
fn errors_of(method: &MethodInfo) -> impl Iterator<Item = ErrorKind> {
    let own = method.errors.iter().copied();
    own.filter(|kind| *kind != ErrorKind::LimitExceeded).chain([ErrorKind::LimitExceeded])
}

fn error_path(kind: ErrorKind) -> String {
    format!("#/components/errors/{kind}")
}

fn errors() -> Map<String, Value> {
    let describe = |kind: &ErrorKind| {
        let error = json!({
            "code": kind.code(),
            "message": kind.message(),
            "data": {"kind": kind, "retryable": kind.retryable()},
        });
        (kind.to_string(), error)
    };
    ErrorKind::ALL.iter().map(describe).collect()
}

fn describe_event(event: EventName) -> Value {
    let (schema, example) = match event {
        EventName::ContactChanged => ("ContactChanged", examples::contact_changed()),
        EventName::AccountChanged => ("AccountChanged", examples::account_changed()),
        EventName::RosterLoaded => ("RosterLoaded", examples::roster_loaded()),
        EventName::SubscriptionRequested => ("SubscriptionRequested", examples::subscription_requested()),
        EventName::SubscriptionResolved => ("SubscriptionResolved", examples::subscription_resolved()),
    };
    json!({
        "name": event,
        "carries": {"$ref": format!("#{SCHEMAS}/{schema}")},
        "example": example,
    })
}

fn summary_and_description(doc: &str) -> (String, String) {
    let mut paragraphs = paragraphs(doc);
    if paragraphs.is_empty() {
        return (String::new(), String::new());
    }
    (paragraphs.remove(0), paragraphs.join("\n\n"))
}

/// Documentation comments are wrapped for the source; readers of the document wrap them again.
fn paragraphs(doc: &str) -> Vec<String> {
    doc.split("\n\n").map(unwrap_lines).filter(|paragraph| !paragraph.is_empty()).collect()
}

fn unwrap_lines(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Adds to schemas what holds for our wire format: a field without a value is absent, never null.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            tidy_object(object);
            object.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn tidy_object(object: &mut Map<String, Value>) {
    let null = json!({"type": "null"});
    object.retain(|key, value| !(value.is_null() && (key == "default" || key == "description")));
    // Rust's names of number types are not formats, and some validators refuse unknown ones.
    if let Some(format) = object.get("format").and_then(Value::as_str)
        && format != "date-time"
    {
        if format == "uint32" && object.get("maximum").is_none() {
            object.insert("maximum".to_owned(), u32::MAX.into());
        }
        object.remove("format");
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = paragraphs(text).join("\n\n");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            object["type"] = only.clone();
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| *choice != null);
        if let [only] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            if object.is_empty() {
                object.extend(only.as_object().cloned().unwrap_or_default());
            } else {
                // Draft 7 ignores anything next to a reference.
                object.insert("allOf".to_owned(), json!([only]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
