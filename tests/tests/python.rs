//! The Python client, built as for PyPI, against a live daemon: its own tests, which request killed daemons and cut
//! connections here, and its types.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prosed_tests::scene::Scene;
use prosed_tests::stage::Stage;
use tempfile::TempDir;
use tokio::process::Command;

/// How long all tests of one run may take on a busy machine.
const RUN_PATIENCE: Duration = Duration::from_secs(300);

fn client() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("clients/python")
}

/// A program that `tests/install` has put into the tests' own Python.
fn tool(name: &str) -> Command {
    let target = prosed_tests::daemon::binary().ancestors().nth(2).expect("target").to_owned();
    let program = target.join("tools/python/bin").join(name);
    assert!(program.exists(), "no {}: run tests/install", program.display());
    let mut command = Command::new(program);
    // Nothing of whoever runs the tests.
    command.env_remove("PYTHONPATH").env("PYTHONDONTWRITEBYTECODE", "1").current_dir(client());
    command
}

async fn succeeds(command: &mut Command) -> String {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(RUN_PATIENCE, running).await.expect("in time").expect("it can be run");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// The client as it would come from PyPI, in a folder of its own.
async fn installed() -> TempDir {
    let folder = tempfile::Builder::new().prefix("prosed-python-").tempdir().expect("a folder");
    // From the source archive, so that nothing is missing in it.
    let built = folder.path().join("dist");
    succeeds(tool("python").args(["-m", "build", "--no-isolation", "--outdir"]).arg(&built)).await;
    let find = |end: &str| {
        let entries = fs::read_dir(&built).expect("built").flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.display().to_string().ends_with(end)).expect("built")
    };
    let contents = succeeds(Command::new("tar").arg("-tzf").arg(find(".tar.gz"))).await;
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "src/prosed/py.typed", "tests/test_wire.py"] {
        assert!(contents.contains(file), "{file} is not in the archive:\n{contents}");
    }
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"];
    succeeds(tool("python").args(install).arg(folder.path().join("site")).arg(find(".whl"))).await;
    folder
}

#[tokio::test]
async fn it_is_generated_from_the_contract() {
    succeeds(Command::new("python3").arg(client().join("generate.py")).arg("--check")).await;
}

#[tokio::test]
async fn its_types_hold() {
    succeeds(&mut tool("mypy")).await;
    let python = tool("python");
    let mut pyright = tool("pyright");
    // Of the version that is installed, whatever may be new.
    pyright.arg("--pythonpath").arg(python.as_std().get_program()).env("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1");
    succeeds(&mut pyright).await;
    succeeds(tool("ruff").args(["check", "--no-cache"])).await;
    succeeds(tool("ruff").args(["format", "--check", "--no-cache"])).await;
}

#[test]
fn its_version_is_the_workspaces() {
    let manifest = fs::read_to_string(client().join("pyproject.toml")).expect("pyproject.toml");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    assert_eq!(manifest["project"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_readme_is_true() {
    let folder = installed().await;
    let mut scene = Scene::set().await;
    let readme = fs::read_to_string(client().join("README.md")).expect("the README");
    let programs: Vec<_> =
        readme.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(programs.len(), 3);
    for program in programs {
        // Some go on for ever.
        let mut command = Command::new("timeout");
        command.arg("4").arg(tool("python").as_std().get_program()).args(["-W", "error", "-c", program]);
        command.env("PYTHONPATH", folder.path().join("site"));
        command.env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir());
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let lively = async {
            for number in 0.. {
                scene.alice.set_presence(Some("away"), Some(&number.to_string())).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let output = tokio::select! {
            output = running => output.expect("it can be run"),
            () = lively => unreachable!("it is lively for ever"),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 124)), "{program}\n{said}{errors}");
        assert!(said.contains("Alice"), "{program}\n{said}{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_what_its_tests_say() {
    let folder = installed().await;
    let stage = Stage::open().await;
    let mut scene = Scene::set().await;
    let mut tests = tool("python");
    tests
        .args([
            "-W",
            "error",
            "-m",
            "unittest",
            "discover",
            "--verbose",
            "--top-level-directory",
            ".",
            "tests",
        ])
        .env("PYTHONPATH", folder.path().join("site"))
        .env("PROSED_STAGE", stage.port().to_string())
        .env("PROSED_RUNTIME_DIR", scene.daemon.runtime_dir());
    let said = tokio::select! {
        () = stage.serve(async |wish| scene.make_happen(wish).await) => unreachable!("it serves on and on"),
        said = succeeds(&mut tests) => said,
    };
    let ran = said.lines().rev().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next());
    let ran: usize = ran.and_then(|number| number.parse().ok()).expect("a number of tests");
    assert!(ran >= 40 && !said.contains("skipped"), "{said}");
}
