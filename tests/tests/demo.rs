//! The demo does what it says: it shows contacts that change, its commands for other terminals work as printed, and
//! everything that it has started and written is gone afterwards.

use std::io::{BufRead, BufReader, read_to_string};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A running demo, ended by SIGTERM when dropped, so that it cleans up after a failed test, too.
struct Demo(Child);

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.spawn().expect("the demo can be started"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the demo has not been waited for");
    }

    fn wait(&mut self) -> ExitStatus {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("our child") {
                return status;
            }
            assert!(asked.elapsed() < Duration::from_secs(60), "the demo does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            let _status = self.0.wait();
        }
    }
}

/// Runs one of the printed lines for some seconds; answers what it printed.
fn run(line: &str, seconds: u32) -> String {
    let tools = Path::new(env!("CARGO_BIN_EXE_demo"))
        .ancestors()
        .nth(2)
        .expect("target/debug/demo")
        .join("tools/bin");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let seconds = seconds.to_string();
    let mut command = Command::new("timeout");
    command.args([&seconds, "bash", "-c", line]).env("PATH", path).stdin(Stdio::null());
    String::from_utf8(command.output().expect("bash is there").stdout).expect("text")
}

#[test]
fn it_ends_by_itself_and_prints_json() {
    let mut demo = Demo::start(&["--seconds", "12", "--json"]);
    let lines = read_to_string(demo.0.stdout.take().expect("a pipe")).expect("text");
    assert!(demo.wait().success(), "it saw no change:\n{lines}");
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(events.iter().any(|event| event["event"] == "contactChanged"), "{lines}");
}

#[test]
fn its_lines_work_and_nothing_stays() {
    let mut demo = Demo::start(&[]);
    // Kept to the end: the demo ends when nobody reads it.
    let mut output = BufReader::new(demo.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let lines: Vec<_> = output.by_ref().take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let copied: Vec<_> = lines.iter().filter(|line| line.starts_with("  ")).collect();
    let [export, commands @ ..] = copied.as_slice() else { panic!("lines to copy: {lines:#?}") };
    assert_eq!(commands.len(), 4, "{commands:#?}");
    for line in commands {
        // There is no browser to open.
        let line = line.replace("prosectl open ", "prosectl open --print ");
        let said = run(&format!("{export}; {line}"), 8);
        if line.contains("roster") {
            assert_eq!(said.lines().count(), 5, "{line}: {said}");
        }
        let expected = match () {
            () if line.contains("events") => "contactChanged",
            () if line.contains("open") => "http://127.0.0.1:",
            () if line.contains("presence") => "{}",
            () => "ada@",
        };
        assert!(said.contains(expected), "{line}: {said}");
    }

    let folder = export.split_once("PROSED_RUNTIME_DIR=").and_then(|(_, rest)| rest.split_once("/run "));
    let (folder, _) = folder.expect("a folder");
    assert!(Path::new(folder).exists());
    demo.signal(Signal::INT);
    demo.wait();
    assert!(!Path::new(folder).exists(), "{folder} is gone");
    let survivors = run(&format!("ps -eo args | grep -F {folder} | grep -v grep"), 5);
    assert_eq!(survivors, "", "every process is gone");
}
