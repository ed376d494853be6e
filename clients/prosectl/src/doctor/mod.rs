//! Finds out what is wrong with prosed on this computer, and how to fix it.
//!
//! It asks the daemon, looks at files, and runs `systemctl`, `loginctl`, `busctl`, `timedatectl` and `prosed`. It changes
//! nothing.

mod clock;
mod configuration;
mod daemon;
mod folders;
mod port;
mod secrets;
mod servers;
mod socket;
mod systemd;
mod tools;

use anstyle::Style;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::arguments::Place;
use crate::commands::Prosed;
use crate::elsewhere::Elsewhere;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{BAD, Cell, FAINT, GOOD, Look, MIDDLING, line};
use configuration::Configuration;
use daemon::Running;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Finding {
    /// What was checked.
    check: String,
    result: Verdict,
    /// One plain sentence.
    message: String,
    /// How to fix it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It works, but may stop working.
    Warn,
    /// It does not work.
    Fail,
}

impl Finding {
    fn ok(check: &str, message: impl Into<String>) -> Self {
        Self { check: check.to_owned(), result: Verdict::Ok, message: message.into(), fix: None }
    }

    fn warn(check: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { result: Verdict::Warn, fix: Some(fix.into()), ..Self::ok(check, message) }
    }

    fn fail(check: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { result: Verdict::Fail, ..Self::warn(check, message, fix) }
    }
}

/// Checks everything, including these JIDs' servers. Reports each finding at once, since servers may be slow.
pub(crate) async fn doctor(
    prosed: &Prosed,
    jids: &[String],
    place: Place,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut report = Report { output, failures: 0 };
    let running = Running::find(prosed).await;
    let (service, units) = systemd::look().await;
    let (configuration, found) = configuration::look(prosed.dir().ok(), &running, service).await;
    report.tell(found)?;
    let configuration = configuration.unwrap_or_else(|| Configuration::unknown(prosed.dir().ok()));
    report.tell(port::origins(&configuration))?;
    let elsewhere = match running.answers() {
        true => None,
        false => configuration.data_dir.as_deref().and_then(Elsewhere::with_data_dir),
    };
    report.tell(daemon::look(&running, elsewhere.as_ref(), service).await)?;
    report.tell(units)?;
    // That of a daemon elsewhere is not known, and its own port would look taken.
    if elsewhere.is_none() {
        report.tell(port::look(&configuration, &running, service).await)?;
    }
    report.tell(socket::look(&configuration, &running, service))?;
    report.tell(folders::look(&configuration, &running))?;
    report.tell(secrets::look(&configuration).await)?;
    let mut certificates = Vec::new();
    for account in running.accounts() {
        let (found, certificate) = servers::account(account, &configuration, service).await;
        report.tell(found)?;
        certificates.extend(certificate);
    }
    for jid in jids {
        let (found, certificate) = servers::named(jid, &place, &configuration).await;
        report.tell(found)?;
        certificates.extend(certificate);
    }
    report.tell([clock::look(&certificates).await])?;
    if report.failures == 0 { Ok(()) } else { Err(Failure::Unwell(report.failures)) }
}

struct Report<'a> {
    output: &'a mut Output,
    failures: usize,
}

impl Report<'_> {
    fn tell(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<(), Failure> {
        for finding in findings {
            self.failures += usize::from(finding.result == Verdict::Fail);
            self.output.one(json!(finding), to_text)?;
        }
        Ok(())
    }
}

/// One line, and one for the fix.
fn to_text(finding: &Finding, look: Look) -> String {
    let (word, style) = match finding.result {
        Verdict::Ok => ("ok  ", GOOD),
        Verdict::Warn => ("warn", MIDDLING),
        Verdict::Fail => ("FAIL", BAD.bold()),
    };
    let what = [Cell::styled(word, style), format!("  {}: {}", finding.check, finding.message).into()];
    let mut text = line(what, look);
    if let Some(fix) = &finding.fix {
        let fix = [Cell::styled("      → ", FAINT), Cell::styled(fix, Style::new().bold())];
        text.push_str(&line(fix, look));
    }
    text
}

/// The first line that is not empty.
fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_a_line_and_what_to_do() {
        let look = Look::default();
        assert_eq!(to_text(&Finding::ok("clock", "It is right."), look), "ok    clock: It is right.\n");
        assert_eq!(
            to_text(&Finding::fail("port", "It is\u{1b} taken.", "kill 1"), look),
            "FAIL  port: It is\\u{1b} taken.\n      → kill 1\n"
        );
    }

    #[test]
    fn programs_get_words() {
        let finding = json!(Finding::warn("linger", "No.", "loginctl enable-linger"));
        let expected =
            json!({"check": "linger", "result": "warn", "message": "No.", "fix": "loginctl enable-linger"});
        assert_eq!(finding, expected);
        assert_eq!(json!(Finding::ok("a", "B.")).get("fix"), None);
    }
}
