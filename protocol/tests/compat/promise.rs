//! What a contract promises, and whether another one keeps it.
//!
//! The daemon must go on taking every parameter that it took, and go on answering with everything that
//! it answered with. More of either is fine: UIs ignore what they don't know.

use std::collections::BTreeSet;

use serde_json::Value;

/// Who writes what a schema describes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Parameters: what was fine must stay so.
    Ui,
    /// Answers and events: what was there must stay there.
    Daemon,
}

/// What `then` promised and `now` does not keep.
pub(crate) fn broken_promises(then: &Value, now: &Value) -> Vec<String> {
    let mut check = Check { then, now, broken: Vec::new() };
    check.methods();
    check.errors();
    check.events();
    check.broken
}

struct Check<'a> {
    then: &'a Value,
    now: &'a Value,
    broken: Vec<String>,
}

impl Check<'_> {
    fn methods(&mut self) {
        for then in list(&self.then["methods"]) {
            let name = text(&then["name"]);
            let Some(now) = list(&self.now["methods"]).iter().find(|method| method["name"] == then["name"])
            else {
                self.breaks(name, "it is gone");
                continue;
            };
            self.params(name, then, now);
            let (result, still) = (&then["result"]["schema"], &now["result"]["schema"]);
            self.schema(&format!("{name}: result"), result, still, Writer::Daemon);
            self.subscription(name, &then["x-subscription"], &now["x-subscription"]);
        }
    }

    fn params(&mut self, method: &str, then: &Value, now: &Value) {
        if then["paramStructure"] != now["paramStructure"] {
            self.breaks(method, "its parameters go another way");
        }
        let named = |method: &Value, name: &Value| {
            list(&method["params"]).iter().find(|param| param["name"] == *name).cloned()
        };
        for param in list(&then["params"]) {
            let name = text(&param["name"]);
            let Some(still) = named(now, &param["name"]) else {
                self.breaks(method, &format!("the parameter {name} is gone"));
                continue;
            };
            if still["required"] == true && param["required"] != true {
                self.breaks(method, &format!("the parameter {name} is required now"));
            }
            self.schema(&format!("{method}({name})"), &param["schema"], &still["schema"], Writer::Ui);
        }
        for param in list(&now["params"]) {
            if param["required"] == true && named(then, &param["name"]).is_none() {
                self.breaks(method, &format!("the new parameter {} is required", text(&param["name"])));
            }
        }
    }

    fn subscription(&mut self, method: &str, then: &Value, now: &Value) {
        if then.is_null() {
            return;
        }
        if now.is_null() {
            return self.breaks(method, "it is no subscription any more");
        }
        if then["unsubscribe"] != now["unsubscribe"] {
            self.breaks(method, "it is ended by another method");
        }
        for event in list(&then["events"]) {
            if !list(&now["events"]).contains(event) {
                self.breaks(method, &format!("{} is gone", text(event)));
            }
        }
    }

    fn errors(&mut self) {
        let now = &self.now["components"]["errors"];
        for (kind, error) in self.then["components"]["errors"].as_object().into_iter().flatten() {
            if now[kind].is_null() {
                self.breaks("errors", &format!("{kind} is gone"));
            } else if now[kind]["code"] != error["code"] {
                self.breaks("errors", &format!("{kind} has another code"));
            }
        }
        let (then, now) = (&self.then["x-errorData"], &self.now["x-errorData"]);
        self.schema("error data", then, now, Writer::Daemon);
    }

    fn events(&mut self) {
        for event in list(&self.then["x-events"]["events"]) {
            let name = text(&event["name"]);
            let now = list(&self.now["x-events"]["events"]).iter().find(|now| now["name"] == event["name"]);
            match now {
                Some(now) => self.schema(name, &event["carries"], &now["carries"], Writer::Daemon),
                None => self.breaks("events", &format!("{name} is gone")),
            }
        }
        // What all of them have; which ones there are was looked at above.
        let common = |document: &Value| {
            let mut schema = document["components"]["schemas"]["Event"].clone();
            schema.as_object_mut().map(|schema| schema.remove("oneOf"));
            schema
        };
        let (then, now) = (common(self.then), common(self.now));
        self.schema("every event", &then, &now, Writer::Daemon);
    }

    fn schema(&mut self, place: &str, then: &Value, now: &Value, writer: Writer) {
        let (then, now) = (resolved(self.then, then), resolved(self.now, now));
        for word in ["type", "format", "contentEncoding", "const"] {
            if then[word] != now[word] {
                self.breaks(place, &format!("{word} was {}, and is {}", then[word], now[word]));
            }
        }
        if writer == Writer::Ui && then["default"] != now["default"] {
            self.breaks(place, &format!("default was {}, and is {}", then["default"], now["default"]));
        }
        self.bounds(place, &then, &now, writer);
        self.choices(place, &then, &now);
        if !then["items"].is_null() {
            self.schema(&format!("{place}[]"), &then["items"], &now["items"], writer);
        }
        self.properties(place, &then, &now, writer);
    }

    fn bounds(&mut self, place: &str, then: &Value, now: &Value, writer: Writer) {
        let number = |schema: &Value, word: &str| schema[word].as_f64();
        let (below, above) = (f64::NEG_INFINITY, f64::INFINITY);
        for (word, open, sign) in [("minimum", below, 1.0), ("maximum", above, -1.0)] {
            let then = number(then, word).unwrap_or(open) * sign;
            let now = number(now, word).unwrap_or(open) * sign;
            // A larger minimum refuses what was fine; a smaller one answers with what never came.
            let is_broken = if writer == Writer::Ui { now > then } else { now < then };
            if is_broken {
                self.breaks(place, &format!("{word} was {}, and is {}", then * sign, now * sign));
            }
        }
    }

    fn choices(&mut self, place: &str, then: &Value, now: &Value) {
        let named = |schema: &Value| -> BTreeSet<String> {
            list(&schema["enum"]).iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        for gone in named(then).difference(&named(now)) {
            self.breaks(place, &format!("{gone} is gone"));
        }
    }

    fn properties(&mut self, place: &str, then: &Value, now: &Value, writer: Writer) {
        let required = |schema: &Value, name: &str| list(&schema["required"]).iter().any(|one| one == name);
        for (name, schema) in then["properties"].as_object().into_iter().flatten() {
            let field = format!("{place}.{name}");
            let Some(still) = now["properties"].get(name) else {
                self.broken.push(format!("{field} is gone"));
                continue;
            };
            match writer {
                Writer::Daemon if required(then, name) && !required(now, name) => {
                    self.broken.push(format!("{field} may be absent now"));
                }
                Writer::Ui if required(now, name) && !required(then, name) => {
                    self.broken.push(format!("{field} is required now"));
                }
                _ => {}
            }
            self.schema(&field, schema, still, writer);
        }
    }

    fn breaks(&mut self, place: &str, how: &str) {
        self.broken.push(format!("{place}: {how}"));
    }
}

/// A schema without the detour of a reference, and without what is only said about it.
fn resolved(document: &Value, schema: &Value) -> Value {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    let Some(pointer) = reference.and_then(|reference| reference.strip_prefix('#')) else {
        return schema.clone();
    };
    let mut target = document.pointer(pointer).cloned().unwrap_or_default();
    if let (Some(default), Some(target)) = (schema.get("default"), target.as_object_mut()) {
        target.insert("default".to_owned(), default.clone());
    }
    target
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
