//! The published contract is a valid OpenRPC document with valid schemas, and its examples match them.

use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::{Draft, Registry};
use prosed_tests::contract::Contract;
use serde_json::{Value, json};

/// A meta-schema that `tests/install` has brought.
fn meta_schema(package: &str) -> Value {
    let folder = tools().join("openrpc/node_modules").join(package);
    assert!(folder.is_dir(), "no {}: run tests/install", folder.display());
    let print = format!("const s = require({folder:?}); console.log(JSON.stringify(s.default ?? s))");
    let output = Command::new("node").args(["--eval", &print]).output().expect("node");
    let mut schema: Value = serde_json::from_slice(&output.stdout).expect("a schema");
    // It names itself there; what it says is draft 7.
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema
}

/// What the meta-schema of OpenRPC finds wrong with a document.
fn wrong_with(document: &Value) -> Vec<String> {
    let of_schemas = meta_schema("@json-schema-tools/meta-schema");
    let registry = Registry::new().add("https://meta.json-schema.tools", of_schemas).expect("a schema");
    let registry = registry.prepare().expect("whole");
    let validator = jsonschema::options()
        .with_draft(Draft::Draft7)
        .with_registry(&registry)
        .build(&meta_schema("@open-rpc/meta-schema"))
        .expect("the meta-schema is one");
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_document_is_one_of_openrpc() {
    let document = Contract::published().0;
    assert_eq!(wrong_with(&document), Vec::<String>::new());
    // The meta-schema finds what is wrong, in the document as well as in its schemas.
    for (pointer, wrong) in [
        ("/methods/0/paramStructure", json!("by-chance")),
        ("/methods/0/params/0/schema/type", json!("text")),
        ("/components/schemas/Contact/properties/name", json!(7)),
        ("/openrpc", json!("9.0.0")),
    ] {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("there is no {pointer}")) = wrong;
        assert_ne!(wrong_with(&document), Vec::<String>::new(), "{pointer}");
    }
}

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

/// All types of the API as one JSON Schema of draft 7, for generators that know no OpenRPC.
fn one_schema(contract: &Contract) -> String {
    let schemas = &contract.0["components"]["schemas"];
    let names = schemas.as_object().expect("schemas").keys();
    let properties: serde_json::Map<String, Value> =
        names.map(|name| (name.clone(), json!({ "$ref": format!("#/definitions/{name}") }))).collect();
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Api",
        "type": "object",
        "properties": properties,
        "definitions": schemas,
    });
    schema.to_string().replace("#/components/schemas/", "#/definitions/")
}

/// Runs a program that must succeed.
fn run(folder: &Path, program: &Path, arguments: &[&str]) {
    assert!(program.exists(), "no {}: run tests/install", program.display());
    let output = Command::new(program).current_dir(folder).args(arguments).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&said));
}

fn tools() -> PathBuf {
    prosed_tests::daemon::binary().ancestors().nth(2).expect("target").join("tools")
}

#[test]
fn generators_of_typescript_make_what_compiles() {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = tools().join("openrpc/node_modules/.bin");
    let schema = one_schema(&Contract::published());
    std::fs::write(folder.path().join("api.json"), &schema).expect("written");
    let quicktype =
        ["--src-lang", "schema", "--src", "api.json", "--lang", "typescript", "--out", "quicktype.ts"];
    run(folder.path(), &programs.join("quicktype"), &quicktype);
    let json2ts = ["--input", "api.json", "--output", "json2ts.ts"];
    run(folder.path(), &programs.join("json2ts"), &json2ts);
    // What they made holds a contact, an answer and the words.
    let contact = example(&Contract::published());
    std::fs::write(
        folder.path().join("use.ts"),
        format!(
            "import {{ Convert }} from \"./quicktype\";\nimport type {{ Contact }} from \"./json2ts\";\n\
             export const one: Contact = {contact};\n\
             export const two: string = Convert.toQuicktype(JSON.stringify({{ Contact: one }})).Contact!.jid;\n"
        ),
    )
    .expect("written");
    let tsc =
        ["--noEmit", "--strict", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler"];
    let files = ["quicktype.ts", "json2ts.ts", "use.ts"];
    run(folder.path(), &programs.join("tsc"), &[&tsc[..], &files].concat());
}

#[test]
fn a_generator_of_python_makes_what_reads_examples() {
    let folder = tempfile::tempdir().expect("a folder");
    let python = tools().join("python/bin/python3");
    let contract = Contract::published();
    std::fs::write(folder.path().join("api.json"), one_schema(&contract)).expect("written");
    let generate = [
        "-m",
        "datamodel_code_generator",
        "--input",
        "api.json",
        "--input-file-type",
        "jsonschema",
        "--output",
        "api.py",
        "--output-model-type",
        "pydantic_v2.BaseModel",
        "--disable-timestamp",
    ];
    run(folder.path(), &python, &generate);
    run(folder.path(), &python, &["-m", "py_compile", "api.py"]);
    std::fs::write(folder.path().join("contact.json"), example(&contract).to_string()).expect("written");
    let read = "import api; c = api.Contact.model_validate_json(open('contact.json').read()); \
                assert c.jid and isinstance(c.availability, api.Availability)";
    run(folder.path(), &python, &["-c", read]);
}

/// A contact, as `get_contact` answers with it.
fn example(contract: &Contract) -> Value {
    let examples = contract.examples();
    let example = examples.iter().find(|example| example.method == "get_contact").expect("an example");
    example.result.clone()
}
