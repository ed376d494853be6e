//! The layout of the project, enforced by tests: which code may name what, and where files belong.
//!
//! Each rule is a function from files to offenders, so that it can be shown to catch one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path from the top of the project, and its text.
struct Source {
    path: String,
    text: String,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

/// All files below `folder` with this extension.
fn sources(folder: &str, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![top().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = fs::read_to_string(&path).expect("a source is text");
                let path = path.strip_prefix(top()).expect("below the top").display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    found
}

/// The lines of a file that are not tests, numbered: all but the items under `#[cfg(test)]`, found by
/// their indentation (rustfmt sees to that).
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = text.lines().zip(1..).map(|(line, number)| (number, line));
    while let Some((number, line)) = lines.next() {
        let code = line.trim_start();
        if !code.starts_with("#[cfg(test)]") {
            kept.push((number, line));
            continue;
        }
        let indentation = &line[..line.len() - code.len()];
        let is_last = |line: &str| {
            line.strip_prefix(indentation).is_some_and(|item| {
                !item.starts_with([' ', '#', '/'])
                    && (item.starts_with('}') || item.ends_with([';', '}', ',']))
            })
        };
        lines.by_ref().find(|(_, line)| is_last(line));
    }
    kept
}

/// The files that are compiled for tests only: by their names, or as modules (and modules of modules)
/// declared under `#[cfg(test)]`.
fn test_files(sources: &[Source]) -> Vec<String> {
    let mut modules = Vec::new();
    for source in sources {
        let folder = source.path.strip_suffix(".rs").unwrap_or(&source.path);
        let folder =
            ["/mod", "/lib", "/main"].iter().find_map(|name| folder.strip_suffix(name)).unwrap_or(folder);
        for (attribute, item) in source.text.lines().zip(source.text.lines().skip(1)) {
            if attribute.trim() == "#[cfg(test)]"
                && let Some((_, name)) = item.trim_end_matches(';').rsplit_once("mod ")
            {
                modules.push(format!("{folder}/{name}"));
            }
        }
    }
    let is_test = |path: &str| {
        path.contains("/tests/")
            || path.ends_with("tests.rs")
            || modules
                .iter()
                .any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
    };
    sources.iter().filter(|source| is_test(&source.path)).map(|source| source.path.clone()).collect()
}

/// Lines outside tests and comments that hold one of `words`, in files that `may` not.
fn offenders(sources: &[Source], words: &[&str], may: impl Fn(&str) -> bool) -> Vec<String> {
    let mut offenders = Vec::new();
    let tests = test_files(sources);
    for source in sources.iter().filter(|source| !may(&source.path) && !tests.contains(&source.path)) {
        for (number, line) in without_tests(&source.text) {
            let code = line.trim_start();
            if !code.starts_with("//") && words.iter().any(|word| code.contains(word)) {
                offenders.push(format!("{}:{}: {code}", source.path, number));
            }
        }
    }
    offenders
}

/// Everything but this crate, which is tests throughout.
fn product() -> Vec<Source> {
    ["daemon", "protocol", "clients"].into_iter().flat_map(|folder| sources(folder, "rs")).collect()
}

#[track_caller]
fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}\n{}", offenders.join("\n"));
}

#[test]
fn a_rule_catches_an_offender() {
    let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let planted = [
        file("daemon/src/a.rs", "// sled:: in a comment\nlet x = y.unwrap();\n"),
        file("daemon/src/b.rs", "fn b() {}\n#[cfg(test)]\nmod tests { fn t() { x.unwrap(); } }\n"),
        file(
            "daemon/src/c.rs",
            "#[cfg(test)]\nimpl C {\n    x.unwrap();\n}\n#[cfg(test)]\nmod d;\nz.unwrap();\n",
        ),
        file("daemon/src/c/d.rs", "x.unwrap();"),
        file("daemon/src/c/d/e.rs", "x.unwrap();"),
        file("daemon/src/cache/store.rs", "use sled::Db;"),
        file("daemon/src/rpc/mod.rs", "    use sled::Db;"),
    ];
    assert_eq!(
        offenders(&planted, &[".unwrap()"], |_| false),
        ["daemon/src/a.rs:2: let x = y.unwrap();", "daemon/src/c.rs:7: z.unwrap();"]
    );
    assert_eq!(
        offenders(&planted, &["sled::"], |path| path.starts_with("daemon/src/cache")),
        ["daemon/src/rpc/mod.rs:1: use sled::Db;"]
    );
    let manifest = "[dependencies]\nserde = \"1\"\n[dev-dependencies.tokio]\nversion = \"1\"\n";
    assert_eq!(dependencies(manifest), ["serde", "tokio"]);
}

/// The names in every dependency table of a manifest, sorted.
fn dependencies(manifest: &str) -> Vec<String> {
    fn gather(table: &toml::Table, names: &mut Vec<String>) {
        for (key, value) in table {
            let Some(inner) = value.as_table() else { continue };
            if key.ends_with("dependencies") {
                for (name, how) in inner {
                    names.push(how.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned());
                }
            } else {
                gather(inner, names);
            }
        }
    }
    let mut names = Vec::new();
    gather(&manifest.parse().expect("a manifest is TOML"), &mut names);
    names.sort();
    names
}

#[test]
fn the_session_depends_on_nothing_that_does_io() {
    let manifest =
        fs::read_to_string(top().join("daemon/session/Cargo.toml")).expect("the session's manifest");
    let names = dependencies(&manifest);
    for banned in ["tokio", "sled", "jsonrpsee", "axum", "hyper", "tokio-xmpp", "prosed-protocol", "prosed"] {
        assert!(!names.iter().any(|name| name == banned), "the session must not depend on {banned}");
    }
}

#[test]
fn the_session_reads_no_clock_and_touches_nothing_outside() {
    let words =
        ["std::fs", "std::net", "std::env", "std::thread", "Instant::now", "SystemTime::now", "from_os_rng"];
    let session = sources("daemon/session/src", "rs");
    assert!(!session.is_empty(), "the session has sources");
    assert_none("time, ids and the world come from outside", &offenders(&session, &words, |_| false));
}

/// The modules of a crate by path, as in `image::gif`, and what each imports. The crate's root is left out: it
/// composes the others, so it may use each of them, and each may implement a part of the type that it defines.
/// A name that the root imports or re-exports counts as an import of the module that it comes from.
fn imports(sources: &[Source], folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let tests = test_files(sources);
    let mut code = BTreeMap::new();
    for source in sources.iter().filter(|source| !tests.contains(&source.path)) {
        let module = source.path.strip_prefix(folder).and_then(|path| path.strip_suffix(".rs"));
        let module = module.expect("a source of this crate").trim_start_matches('/').replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module).to_owned();
        let lines = without_tests(&source.text).into_iter().map(|(_, line)| line.trim());
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
        code.insert(module, lines.join(" "));
    }
    let root = code.remove("lib").or_else(|| code.remove("main")).expect("the crate's root");
    let mut lent = BTreeMap::new();
    for path in after(&root, "use ") {
        if let Some((module, name)) = path.rsplit_once("::") {
            lent.insert(name.to_owned(), module.to_owned());
        }
    }
    // The module that a path leads to: the longest part of it that is one.
    let resolve = |path: &str| {
        let mut rest = path;
        loop {
            if code.contains_key(rest) {
                return Some(rest.to_owned());
            }
            match rest.rsplit_once("::") {
                Some((shorter, _)) => rest = shorter,
                None => return lent.get(rest).filter(|module| code.contains_key(*module)).cloned(),
            }
        }
    };
    let mut graph = BTreeMap::new();
    for (module, text) in &code {
        let mut paths = after(text, "crate::");
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        for path in after(text, "super::") {
            // Each further `super::` leads one module up.
            let (mut base, mut path) = (parent, path.as_str());
            while let Some(rest) = path.strip_prefix("super::") {
                (base, path) = (base.rsplit_once("::").map_or("", |(up, _)| up), rest);
            }
            paths.push(if base.is_empty() { path.to_owned() } else { format!("{base}::{path}") });
        }
        // A module uses those that it declares.
        let declared = after(text, "mod ").into_iter().map(|name| format!("{module}::{name}"));
        let used = paths.into_iter().chain(declared).filter_map(|path| resolve(&path));
        graph.insert(module.clone(), used.filter(|used| used != module).collect());
    }
    graph
}

/// The paths that follow this word, with what is in braces expanded.
fn after(code: &str, word: &str) -> Vec<String> {
    fn expand(tree: &str, prefix: &str, paths: &mut Vec<String>) -> usize {
        let is_path = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        let end = tree.find(|char| !is_path(char)).unwrap_or(tree.len());
        let path = format!("{prefix}{}", &tree[..end]);
        if !tree[end..].starts_with('{') {
            paths.push(path.trim_end_matches("::self").trim_end_matches("::").to_owned());
            return end;
        }
        let mut at = end + 1;
        while at < tree.len() && !tree[at..].starts_with('}') {
            match tree[at..].starts_with([',', ' ']) {
                true => at += 1,
                false => at += expand(&tree[at..], &path, paths).max(1),
            }
        }
        at + 1
    }
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(word) {
        let goes_on = code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before));
        if !goes_on {
            expand(&code[at + word.len()..], "", &mut paths);
        }
    }
    paths
}

/// The same of top-level modules, whatever is in them.
fn tops(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    let top = |module: &str| module.split("::").next().unwrap_or(module).to_owned();
    let mut tops = BTreeMap::<_, BTreeSet<_>>::new();
    for (module, used) in graph {
        let used = used.iter().map(|used| top(used)).filter(|used| *used != top(module));
        tops.entry(top(module)).or_default().extend(used);
    }
    tops
}

/// A way from each module that is in a circle back to itself, each circle once.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for start in graph.keys() {
        let mut ways = vec![vec![start]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let last = way[way.len() - 1];
            for next in &graph[last] {
                if next == start {
                    if known.insert(way.iter().copied().collect::<BTreeSet<_>>()) {
                        let names: Vec<&str> =
                            way.iter().copied().chain([start]).map(String::as_str).collect();
                        found.push(names.join(" -> "));
                    }
                } else if seen.insert(next) {
                    ways.push(way.iter().copied().chain([next]).collect());
                }
            }
        }
    }
    found
}

#[test]
fn a_circle_is_found() {
    let file = |path: &str, text: &str| Source { path: format!("src/{path}.rs"), text: text.into() };
    let found = |planted: &[Source]| circles(&imports(planted, "src"));
    let root = file("lib", "mod a;\nmod b;\npub use b::{\n    B,\n    C,\n};\nstruct Session;");
    let b = || file("b", "use crate::{\n    Session,\n    a::A,\n};");
    let none = [
        file("lib", "mod a;\nmod b;\nstruct Session;"),
        file("a", "use crate::Session;\n// crate::b\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}"),
        file("a/c", ""),
        b(),
    ];
    assert_eq!(found(&none), Vec::<String>::new());
    for text in ["use crate::b::B;", "use crate::C;", "fn a(b: &crate::b::B) {}", "use super::b;"] {
        assert_eq!(found(&[file("lib", &root.text), file("a", text), b()]), ["a -> b -> a"], "{text}");
    }
    let nested = [
        file("lib", "mod a;"),
        file("a", "mod c;\nmod d;"),
        file("a/c", "use super::d::D;"),
        file("a/d", "use super::super::a::c::C;"),
    ];
    assert_eq!(found(&nested), ["a::c -> a::d -> a::c"]);
    let parent = [file("lib", "mod a;"), file("a", "mod c;"), file("a/c", "use super::A;")];
    assert_eq!(found(&parent), ["a -> a::c -> a"]);
    // Among top-level modules, a folder is one.
    let folder = [
        file("main", ""),
        file("a/mod", "mod c;"),
        file("a/c", "use crate::b::B;"),
        file("b", "use crate::a::A;"),
    ];
    assert_eq!(circles(&tops(&imports(&folder, "src"))), ["a -> b -> a"]);
    assert_eq!(circles(&tops(&imports(&parent, "src"))), Vec::<String>::new());
}

#[test]
fn no_modules_of_the_session_import_each_other_in_a_circle() {
    let graph = imports(&sources("daemon/session/src", "rs"), "daemon/session/src");
    assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 100, "imports were read: {graph:?}");
    assert_none("what several modules need belongs below them, what joins them above", &circles(&graph));
}

#[test]
fn the_sessions_model_imports_no_feature() {
    let graph = imports(&sources("daemon/session/src", "rs"), "daemon/session/src");
    let may = ["model", "bounds", "failure", "time", "xml"];
    let is_below = |module: &str| may.contains(&module.split("::").next().unwrap_or(module));
    let of_model = graph.iter().filter(|(module, _)| module.starts_with("model"));
    let strangers: Vec<String> = of_model
        .flat_map(|(module, used)| used.iter().map(move |used| (module, used)))
        .filter(|(_, used)| !is_below(used))
        .map(|(module, used)| format!("{module} -> {used}"))
        .collect();
    assert!(graph.contains_key("model::contact"), "the model has modules: {graph:?}");
    assert_none("plain data stands below the features", &strangers);
}

/// What joins extensions of the session, and so may import them.
const COMPOSING: &[&str] = &[
    "background",
    "connection",
    "extensions",
    "picture",
    "profile",
    "stanzas",
    "startup",
    "stream",
    "vcard_edit",
];

/// Extensions that carry others, which are built on them.
const CARRIERS: &[&str] = &["disco", "pep"];

/// The session's extensions: their first line begins with what they implement.
fn extensions(sources: &[Source]) -> BTreeSet<String> {
    let begins =
        |source: &&Source| source.text.starts_with("//! XEP-") || source.text.starts_with("//! RFC ");
    let name =
        |source: &Source| source.path.rsplit_once('/').map_or(&*source.path, |(_, name)| name).to_owned();
    let names = sources.iter().filter(begins).map(name);
    names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect()
}

/// Imports that lead up: from an extension to another, or from what serves all of them to one.
fn imports_upwards(
    graph: &BTreeMap<String, BTreeSet<String>>,
    extensions: &BTreeSet<String>,
    composing: &[&str],
) -> Vec<String> {
    let composes = |module: &str| composing.contains(&module);
    let below = graph.iter().filter(|(module, _)| !composes(module));
    let used = below.flat_map(|(module, used)| used.iter().map(move |used| (module, used)));
    let up = used.filter(|(module, used)| {
        let is_carried = extensions.contains(*module) && CARRIERS.contains(&used.as_str());
        composes(used) || extensions.contains(*used) && !is_carried
    });
    up.map(|(module, used)| format!("{module} -> {used}")).collect()
}

#[test]
fn no_extension_of_the_session_imports_another() {
    let file = |path: &str, text: &str| Source { path: format!("src/{path}.rs"), text: text.into() };
    let planted = [
        file("lib", ""),
        file("avatar", "//! XEP-0084: a\nuse crate::pep::E;\nuse crate::vcard::V;\nuse crate::people::P;"),
        file("pep", "//! XEP-0163: p\nuse crate::people::P;"),
        file("people", "//! Uses XEP-0163.\nuse crate::pep::E;\nuse crate::picture::P;"),
        file("picture", "use crate::avatar::A;\nuse crate::vcard::V;"),
        file("vcard", "//! RFC 6350: v"),
    ];
    let found =
        imports_upwards(&tops(&imports(&planted, "src")), &extensions(&planted), &["picture", "nobody"]);
    assert_eq!(found, ["avatar -> vcard", "people -> pep", "people -> picture"]);

    let sources = sources("daemon/session/src", "rs");
    let (graph, extensions) = (tops(&imports(&sources, "daemon/session/src")), extensions(&sources));
    assert!(extensions.len() > 10, "extensions were found: {extensions:?}");
    assert!(COMPOSING.iter().chain(CARRIERS).all(|module| graph.contains_key(*module)), "{graph:?}");
    assert_none("what joins extensions stands above them", &imports_upwards(&graph, &extensions, COMPOSING));
}

/// The most lines of a source file that is not tests.
const LINES: usize = 500;

/// The source files that are longer and not `known` to be, and those known that no longer are.
fn wrong_lengths(sources: &[Source], known: &[&str]) -> Vec<String> {
    let tests = test_files(sources);
    let is_long = |source: &&Source| !tests.contains(&source.path) && source.text.lines().count() > LINES;
    let long: BTreeSet<&str> = sources.iter().filter(is_long).map(|source| source.path.as_str()).collect();
    let known: BTreeSet<&str> = known.iter().copied().collect();
    let strangers = long.difference(&known).map(|path| format!("{path} has more than {LINES} lines"));
    strangers.chain(known.difference(&long).map(|path| format!("{path} is no longer an exception"))).collect()
}

#[test]
fn no_source_file_is_long() {
    let file = |path: &str, lines| Source { path: path.into(), text: "\n".repeat(lines) };
    let planted =
        [file("src/a.rs", 500), file("src/b.rs", 501), file("src/c.rs", 600), file("src/c_tests.rs", 600)];
    assert_eq!(
        wrong_lengths(&planted, &["src/a.rs", "src/c.rs"]),
        ["src/b.rs has more than 500 lines", "src/a.rs is no longer an exception"]
    );

    let known = ["daemon/src/actor.rs", "daemon/src/cache/rows.rs"];
    let sources: Vec<_> = product()
        .into_iter()
        .chain(sources("tests/src", "rs"))
        .chain(sources("tests/benches", "rs"))
        .collect();
    assert_none("split it by subject", &wrong_lengths(&sources, &known));
}

#[test]
fn no_option_is_in_an_option() {
    let found = offenders(&product(), &["Option<Option<"], |_| false);
    assert_none("an enum says what each of the three cases means", &found);
}

#[test]
fn the_protocol_knows_no_session() {
    let manifest = fs::read_to_string(top().join("protocol/Cargo.toml")).expect("the protocol's manifest");
    let names = dependencies(&manifest);
    assert!(!names.iter().any(|name| name.starts_with("prosed")), "the protocol stands alone: {names:?}");
}

#[test]
fn only_the_cache_names_sled() {
    let found = offenders(&product(), &["sled::", "use sled"], |path| path.starts_with("daemon/src/cache"));
    assert_none("sled belongs to daemon/src/cache", &found);
}

#[test]
fn only_the_stream_names_the_wire() {
    let words = ["tokio_xmpp", "tokio_rustls", "rustls_native_certs", "hickory_resolver"];
    let found = offenders(&product(), &words, |path| path.starts_with("daemon/src/stream"));
    assert_none("the XMPP and TLS libraries belong to daemon/src/stream", &found);
}

#[test]
fn only_the_credentials_name_the_session_bus() {
    let found = offenders(&product(), &["zbus::", "secret_service::", "use zbus"], |path| {
        path.starts_with("daemon/src/credentials")
    });
    assert_none("the session bus belongs to daemon/src/credentials", &found);
}

/// The top-level modules of the daemon.
fn shell() -> BTreeMap<String, BTreeSet<String>> {
    tops(&imports(&sources("daemon/src", "rs"), "daemon/src"))
}

#[test]
fn the_doors_depend_on_the_core_and_not_the_other_way() {
    let shell = shell();
    assert!(shell["rpc"].len() > 5, "the doors import what they open: {shell:?}");
    let found: Vec<_> =
        shell.iter().filter(|(_, used)| used.contains("rpc")).map(|(it, _)| it.clone()).collect();
    assert_none("only main.rs imports daemon/src/rpc", &found);
}

#[test]
fn no_modules_of_the_daemon_import_each_other_in_a_circle() {
    let mut shell = shell();
    // Passwords and SCRAM keys are defined on either side, and belong below both.
    let owed = shell.get_mut("stream").is_some_and(|used| used.remove("credentials"));
    assert!(owed, "the exception is no longer needed: remove it");
    assert_none("what two modules need belongs below them", &circles(&shell));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).expect("the workspace's manifest");
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members");
    assert!(members.len() >= 5, "{members:?}");
    for member in members.iter().filter_map(toml::Value::as_str) {
        let manifest =
            fs::read_to_string(top().join(member).join("Cargo.toml")).expect("a member's manifest");
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        let inherits =
            manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{member} must say [lints] workspace = true");
    }
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}

#[test]
fn the_top_level_is_the_agreed_one() {
    let agreed = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "SECURITY.md",
        "clients",
        "daemon",
        "protocol",
        "systemd",
        "target",
        "tests",
    ];
    let found = fs::read_dir(top()).expect("the top level").flatten().map(|entry| entry.file_name());
    let strangers: Vec<_> = found
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !agreed.contains(&name.as_str()))
        .collect();
    assert_none("nothing else belongs to the top level (a dotfile may)", &strangers);
}

/// The RFCs and XEPs named in a text.
fn specifications(text: &str) -> BTreeSet<&str> {
    let named = ["XEP-", "RFC "].into_iter().flat_map(|kind| text.match_indices(kind));
    let whole = named.map(|(start, kind)| &text[start..text.len().min(start + kind.len() + 4)]);
    whole
        .filter(|name| name[4..].len() == 4 && name[4..].bytes().all(|digit| digit.is_ascii_digit()))
        .collect()
}

/// What is wrong in an index: files that do not exist, and specifications that the first lines of a source name and no
/// row does.
fn wrong_in_index(index: &str, sources: &[Source], plays: &[Source]) -> Vec<String> {
    let rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| ")).collect();
    let mut wrong = Vec::new();
    for name in rows.iter().flat_map(|row| row.split('`')).filter(|word| !word.contains(' ')) {
        let exists = || sources.iter().chain(plays).any(|file| file.path.ends_with(&format!("/{name}")));
        if (name.ends_with(".rs") || name.ends_with(".play")) && !exists() {
            wrong.push(format!("{name} does not exist"));
        }
    }
    let listed: BTreeSet<&str> =
        rows.iter().filter_map(|row| row.split('|').nth(1)).flat_map(specifications).collect();
    for source in sources.iter().filter(|source| {
        ["daemon/session/src/", "daemon/src/stream/"].iter().any(|folder| source.path.starts_with(folder))
    }) {
        for line in source.text.lines().take_while(|line| line.starts_with("//!")) {
            let missing = specifications(line).into_iter().filter(|name| !listed.contains(name));
            wrong.extend(missing.map(|name| format!("{} names {name}, which has no row", source.path)));
        }
    }
    wrong
}

#[test]
fn the_index_of_specifications_is_complete() {
    let planted = [Source {
        path: "daemon/session/src/a.rs".into(),
        text: "//! XEP-0001 (a), RFC 2.\n//! XEP-0002.\n\n// XEP-0003".into(),
    }];
    let index = "XEP-0002\n| XEP-0001 | `a.rs`, `b.rs`, `c.play` | XEP-0002 |\n";
    assert_eq!(
        wrong_in_index(index, &planted, &[]),
        [
            "b.rs does not exist",
            "c.play does not exist",
            "daemon/session/src/a.rs names XEP-0002, which has no row"
        ]
    );

    let index = fs::read_to_string(top().join("daemon/XEPS.md")).expect("the index");
    let files = ["daemon/session/src", "daemon/src", "tests/tests"];
    let files: Vec<Source> = files.into_iter().flat_map(|folder| sources(folder, "rs")).collect();
    let plays = sources("daemon/session/tests/scripts", "play");
    assert_none("daemon/XEPS.md is out of date", &wrong_in_index(&index, &files, &plays));
}
