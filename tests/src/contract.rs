//! The contract as UIs read it: `protocol/openrpc.json`, and whether JSON matches it.

use std::fs;
use std::path::Path;

use jsonschema::Draft;
use serde_json::{Map, Value, json};

/// An OpenRPC document.
#[derive(Clone, Debug)]
pub struct Contract(pub Value);

/// An example of a method: its parameters and its result.
#[derive(Clone, Debug)]
pub struct Example {
    /// The method's name.
    pub method: String,
    /// The parameters, an object.
    pub params: Value,
    /// The documented result.
    pub result: Value,
}

impl Contract {
    /// The contract of these sources.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn published() -> Self {
        Self::read("protocol/openrpc.json")
    }

    /// Another document, by its path from the top of the project.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// The documents that were frozen at a release, by file name.
    ///
    /// # Panics
    /// If they cannot be read.
    pub fn frozen() -> Vec<Self> {
        let folder = top().join("protocol/compat");
        let files = fs::read_dir(folder).expect("the frozen contracts").flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names.iter().map(|name| Self::read(&format!("protocol/compat/{name}"))).collect()
    }

    /// The methods, in their order.
    pub fn methods(&self) -> impl Iterator<Item = &Value> {
        self.0["methods"].as_array().into_iter().flatten()
    }

    /// One method.
    ///
    /// # Panics
    /// When it isn't there.
    pub fn method(&self, name: &str) -> &Value {
        self.methods().find(|method| method["name"] == name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The kinds of error that a method may answer with.
    pub fn errors(&self, method: &str) -> Vec<String> {
        let references = self.method(method)["errors"].as_array().into_iter().flatten();
        let paths = references.filter_map(|error| error["$ref"].as_str());
        paths.map(|path| path.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    }

    /// All examples of all methods.
    pub fn examples(&self) -> Vec<Example> {
        let of_method = |method: &Value| {
            let name = method["name"].as_str().unwrap_or_default().to_owned();
            let examples = method["examples"].as_array().cloned().unwrap_or_default();
            examples.into_iter().map(move |example| Example {
                method: name.clone(),
                params: named_values(&example["params"]),
                result: example["result"]["value"].clone(),
            })
        };
        self.methods().flat_map(of_method).collect()
    }

    /// The examples of events.
    pub fn events(&self) -> Vec<Value> {
        let events = self.0["x-events"]["events"].as_array().into_iter().flatten();
        events.map(|event| event["example"].clone()).collect()
    }

    /// The schema of a method's parameters, as one object.
    pub fn params_schema(&self, method: &str) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for param in self.method(method)["params"].as_array().into_iter().flatten() {
            let name = param["name"].as_str().unwrap_or_default();
            properties.insert(name.to_owned(), param["schema"].clone());
            if param["required"] == true {
                required.push(name);
            }
        }
        json!({ "type": "object", "properties": properties, "required": required,
                "additionalProperties": false })
    }

    /// Checks a value against a schema of this document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        // The document's references point into `components`.
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::options()
            .with_draft(Draft::Draft7)
            .should_validate_formats(true)
            .build(&whole)
            .map_err(|error| format!("the schema is none: {error}"))?;
        let wrong: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// OpenRPC lists an example's parameters one by one.
fn named_values(params: &Value) -> Value {
    let params = params.as_array().into_iter().flatten();
    let pairs = params.map(|param| (param["name"].as_str().unwrap_or_default(), param["value"].clone()));
    pairs.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
}
