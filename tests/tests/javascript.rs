//! The JavaScript client, packed as for npm, against a live daemon: its own tests, which request killed daemons and
//! cut connections here, and its types.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use prosed_tests::process::Process;
use prosed_tests::scene::Scene;
use prosed_tests::stage::Stage;
use tempfile::TempDir;
use tokio::process::Command;

/// How long all tests of one run may take on a busy machine.
const RUN_PATIENCE: Duration = Duration::from_secs(300);

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

async fn succeeds(command: &mut Command) -> String {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(RUN_PATIENCE, running).await.expect("in time").expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{errors}", output.status);
    said
}

/// A project that has the client installed as npm would, from what `npm pack` makes, with the tests
/// beside it.
struct Project(TempDir);

impl Project {
    async fn new(packages: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("prosed-javascript-").tempdir().expect("a folder");
        let modules = folder.path().join("node_modules");
        fs::create_dir(&modules).expect("made");
        // From a copy: packing puts files aside for a moment.
        let copy = folder.path().join("prosed/clients");
        fs::create_dir_all(&copy).expect("made");
        for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
            fs::copy(top().join(file), copy.with_file_name(file)).expect("copied");
        }
        succeeds(Command::new("cp").arg("-r").arg(top().join("clients/javascript")).arg(&copy)).await;
        let pack = ["pack", "--silent", "--pack-destination"];
        let mut npm = Command::new("npm");
        npm.args(pack).arg(folder.path()).current_dir(copy.join("javascript"));
        let name = succeeds(&mut npm).await;
        succeeds(Command::new("tar").arg("-xzf").arg(name.trim()).current_dir(folder.path())).await;
        fs::rename(folder.path().join("package"), modules.join("prosed")).expect("moved");
        let tools = prosed_tests::daemon::binary().ancestors().nth(2).expect("target").join("tools");
        for package in packages {
            let installed = tools.join("javascript/node_modules").join(package);
            assert!(installed.exists(), "{}: tests/install", installed.display());
            symlink(installed, modules.join(package)).expect("linked");
        }
        fs::write(folder.path().join("package.json"), r#"{"type": "module"}"#).expect("written");
        fs::rename(copy.join("javascript/test"), folder.path().join("test")).expect("moved");
        Self(folder)
    }
}

async fn test_with(packages: &[&str], flags: &[&str], files: &[&str]) {
    let project = Project::new(packages).await;
    let stage = Stage::open().await;
    let mut scene = Scene::set().await;
    let log = project.0.path().join("node.log");
    let node = Process::spawn(Path::new("node"), &log, |node| {
        node.args(flags)
            .args(["--test", "--test-concurrency=1", "--test-reporter=tap"])
            .args(files.iter().map(|file| format!("test/{file}.test.js")))
            .current_dir(project.0.path())
            .env("PROSED_CONTRACT", top().join("protocol/openrpc.json"))
            .env("PROSED_STAGE", stage.port().to_string())
            .env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir());
    });
    let mut node = node.expect("node can be started: tests/install");
    tokio::select! {
        () = stage.serve(async |wish| scene.make_happen(wish).await) => {}
        status = node.wait(RUN_PATIENCE) => assert!(status.success(), "node ended: {status}"),
    }
    let said = fs::read_to_string(&log).expect("what node said");
    assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_package_ws_over_the_unix_socket() {
    test_with(&["ws"], &[], &["words", "pages", "calls", "events", "floods", "forgotten"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_but_node_over_the_port() {
    // As every Node from 22 on has it.
    test_with(&[], &["--experimental-websocket"], &["words", "pages", "calls", "events", "forgotten"]).await;
}

/// npm only links a package that it installs from a folder, so Node searches for ws where that folder really is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linked_to_a_checkout_it_uses_the_ws_of_the_program() {
    let project = Project::new(&["ws"]).await;
    let checkout = tempfile::tempdir().expect("a folder");
    let modules = project.0.path().join("node_modules");
    let real = checkout.path().join("prosed");
    fs::rename(modules.join("prosed"), &real).expect("moved");
    symlink(&real, modules.join("prosed")).expect("linked");
    let program = r#"import { connect } from "prosed";
        const prosed = await connect().catch(({ kind, message }) => console.log(kind, message));
        const { contacts = [] } = await prosed?.loadRoster() ?? {};
        for (const { name } of contacts) console.log(name);
        prosed?.close();"#;
    fs::write(project.0.path().join("program.js"), program).expect("written");
    let scene = Scene::set().await;
    let said = async |arguments: &[&str]| {
        let mut node = Command::new("node");
        node.arg("--no-experimental-websocket").args(arguments).current_dir(project.0.path());
        succeeds(node.env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir())).await
    };
    for arguments in [&["program.js"][..], &["--input-type=module", "--eval", program]] {
        assert!(said(arguments).await.contains("Alice"), "{arguments:?}");
    }
    fs::remove_file(modules.join("ws")).expect("removed");
    let missing = said(&["program.js"]).await;
    assert!(missing.starts_with("webSocketMissing ") && missing.contains("npm install ws"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_its_readme_runs() {
    let project = Project::new(&["ws"]).await;
    let mut scene = Scene::set().await;
    let readme = fs::read_to_string(top().join("clients/javascript/README.md")).expect("the README");
    let mut examples = 0;
    for example in readme.split("```js\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let mut node = Command::new("timeout");
        node.args(["4", "node", "--input-type=module", "--eval", example])
            .current_dir(project.0.path())
            .env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir())
            .stdin(Stdio::null());
        let lively = async {
            for number in 0.. {
                scene.alice.set_presence(Some("away"), Some(&number.to_string())).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        let output = tokio::select! {
            output = node.output() => output.expect("node can be started"),
            () = lively => continue,
        };
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(matches!(output.status.code(), Some(0 | 124)), "{example}\n{errors}");
        let tells = ["Alice", "contactUnknown", "alice@prosed.test changed", "me@prosed.test online"];
        assert!(tells.iter().any(|word| said.contains(word)), "{example}\nsaid only:\n{said}{errors}");
        examples += 1;
    }
    assert!(examples >= 4, "{examples}");
}

#[tokio::test]
async fn its_types_are_those_of_the_api() {
    let check = ["generate.js", "--check"];
    succeeds(Command::new("node").args(check).current_dir(top().join("clients/javascript"))).await;
    let project = Project::new(&["typescript", "@types", "undici-types"]).await;
    let options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"];
    let page = ["--lib", "es2022,dom,dom.asynciterable", "--typeRoots", "test"];
    let node = ["--lib", "es2022", "--types", "node"];
    for environment in [&page[..], &node[..]] {
        let mut tsc = Command::new("node");
        tsc.arg("node_modules/typescript/bin/tsc").args(options).args(environment).arg("test/types.ts");
        succeeds(tsc.current_dir(project.0.path())).await;
    }
}
