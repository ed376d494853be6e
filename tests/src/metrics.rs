//! The output of `/metrics`, read by Prometheus' own strict parser.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::daemon::Daemon;
use crate::http::{bearer, request};

/// The content type that makes Prometheus parse it correctly.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Debian's OpenMetrics parser: it refuses what the standard forbids.
const PARSER: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
json.dump([{'name': f.name, 'type': f.type, 'help': f.documentation, 'unit': f.unit,
            'samples': [[s.name, s.labels, s.value] for s in f.samples]}
           for f in families(sys.stdin.read())], sys.stdout)
";

/// All metrics at one moment.
#[derive(Debug)]
pub struct Scrape {
    /// Each family of metrics: `name`, `type`, `help`, `unit`, `samples` (`[name, labels, value]`).
    pub families: Vec<Value>,
}

impl Scrape {
    /// Queries the daemon.
    ///
    /// # Panics
    /// If it refuses, or the output is not OpenMetrics.
    pub async fn of(daemon: &Daemon) -> Self {
        let answer = request(daemon, "GET", "/metrics", &[("authorization", &bearer(daemon))], "").await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, CONTENT_TYPE));
        Self::parse(&answer.body).await
    }

    /// Parses the output.
    ///
    /// # Panics
    /// If it is not OpenMetrics.
    pub async fn parse(text: &[u8]) -> Self {
        let mut parser = Command::new("/usr/bin/python3")
            .args(["-c", PARSER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 can be started: tests/install");
        let mut stdin = parser.stdin.take().expect("a pipe");
        stdin.write_all(text).await.expect("the parser reads");
        drop(stdin);
        let output = parser.wait_with_output().await.expect("our own child");
        let text = String::from_utf8_lossy(text);
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
        let families = serde_json::from_slice(&output.stdout).expect("JSON of our own script");
        Self { families }
    }

    /// The value of one sample, if there is one.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.families.iter().flat_map(|family| family["samples"].as_array());
        let mut fitting = samples.flatten().filter(|sample| {
            sample[0] == name
                && sample[1].as_object().is_some_and(|given| given.len() == labels.len())
                && labels.iter().all(|(label, value)| sample[1][label] == *value)
        });
        fitting.next()?[2].as_f64()
    }

    /// The same for a sample that must be there.
    ///
    /// # Panics
    /// If it is not.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {:#?}", self.families))
    }
}
