//! Whether systemd runs prosed: its unit, and whether it keeps running after the user logs out.

use std::collections::BTreeMap;

use super::tools::{SOON, Silence, ask};
use super::{Finding, first_line};
use crate::service::Service;

const UNIT: &str = "unit";
const LINGER: &str = "linger";
const INSTALL: &str = "cp systemd/prosed.service ~/.config/systemd/user/ && systemctl --user daemon-reload \
                       && systemctl --user enable --now prosed";
const ENABLE: &str = "systemctl --user enable --now prosed";
const LOG: &str = "journalctl --user -u prosed -n 20";
const BY_HAND: &str = "run prosed when you log in, from ~/.profile for example: prosed &";

/// Also returns what starts prosed, for the advice of the other checks.
pub(super) async fn look() -> (Service, Vec<Finding>) {
    let (service, unit) = unit().await;
    let linger = match service {
        Service::Systemd => linger().await,
        // Lingering starts the user's systemd.
        Service::ByHand => Finding::ok(LINGER, "Without a systemd for this user, it makes no difference."),
    };
    (service, vec![unit, linger])
}

async fn unit() -> (Service, Finding) {
    let show = ["--user", "show", "prosed.service", "prosed.socket"];
    let properties = "--property=Id,UnitFileState,ActiveState,ExecMainStatus,NRestarts";
    match ask("systemctl", &[&show[..], &[properties]].concat(), SOON).await {
        Ok(said) if said.success => (Service::Systemd, judge(&said.out)),
        Ok(said) => {
            let message = format!("There is no systemd for this user: {}.", first_line(&said.errors));
            (Service::ByHand, Finding::warn(UNIT, message, BY_HAND))
        }
        Err(Silence::Absent) => (
            Service::ByHand,
            Finding::ok(UNIT, "There is no systemd here: prosed is started in another way."),
        ),
        Err(Silence::Broken(error)) => {
            (Service::ByHand, Finding::warn(UNIT, format!("systemd can't be asked: {error}."), BY_HAND))
        }
    }
}

/// Judges the output of `systemctl show` for the service and the socket.
fn judge(shown: &str) -> Finding {
    let units: BTreeMap<_, _> = shown.split("\n\n").map(properties).map(|unit| (unit["Id"], unit)).collect();
    let state = |unit: &str, property: &str| {
        units.get(unit).and_then(|unit| unit.get(property)).copied().unwrap_or_default()
    };
    let (service, socket) = ("prosed.service", "prosed.socket");
    let file = |unit| state(unit, "UnitFileState");
    if file(service).starts_with("masked") {
        return Finding::fail(
            UNIT,
            "prosed.service is masked: it can't be started.",
            "systemctl --user unmask prosed",
        );
    }
    if state(service, "ActiveState") == "failed" {
        let (why, fix) = match state(service, "ExecMainStatus") {
            "2" => ("its configuration is wrong", "prosed --check-config"),
            "3" => ("another prosed has its folders", LOG),
            "4" => ("its address or socket can't be bound", LOG),
            "5" => ("its storage can't be opened", LOG),
            _ => ("it failed", LOG),
        };
        return Finding::fail(UNIT, format!("prosed.service has given up: {why}."), fix);
    }
    let enabled = |unit| matches!(file(unit), "enabled" | "enabled-runtime" | "linked" | "static" | "alias");
    if file(service).is_empty() && file(socket).is_empty() {
        return Finding::warn(
            UNIT,
            "There is no prosed.service: prosed does not start automatically.",
            INSTALL,
        );
    }
    if !enabled(service) && !enabled(socket) {
        return Finding::warn(
            UNIT,
            "prosed.service is not enabled: prosed does not start automatically.",
            ENABLE,
        );
    }
    match state(service, "NRestarts").parse() {
        Ok(0) | Err(_) => Finding::ok(UNIT, "systemd starts prosed automatically."),
        Ok(times @ 1u32..) => {
            Finding::warn(UNIT, format!("systemd has restarted prosed {times} times."), LOG)
        }
    }
}

fn properties(block: &str) -> BTreeMap<&str, &str> {
    let mut properties: BTreeMap<_, _> = block.lines().filter_map(|line| line.split_once('=')).collect();
    properties.entry("Id").or_default();
    properties
}

async fn linger() -> Finding {
    let user = rustix::process::getuid().to_string();
    match ask("loginctl", &["show-user", &user, "--property=Linger", "--value"], SOON).await {
        Ok(said) if said.success && said.out.trim() == "yes" => {
            Finding::ok(LINGER, "prosed keeps running while you are not logged in.")
        }
        // If it doesn't know the user, they don't linger.
        Ok(_) => Finding::warn(
            LINGER,
            "prosed stops when you log out of this computer, and does not start when it boots.",
            "loginctl enable-linger",
        ),
        Err(Silence::Absent) => Finding::ok(LINGER, "There is no logind here that would end prosed."),
        Err(Silence::Broken(error)) => {
            Finding::warn(LINGER, format!("logind can't be asked: {error}."), "loginctl")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Fail, Ok, Warn};
    use super::*;

    fn shown(service: &str, active: &str, status: u8, restarts: u8, socket: &str) -> String {
        format!(
            "Id=prosed.service\nUnitFileState={service}\nActiveState={active}\nExecMainStatus={status}\n\
             NRestarts={restarts}\n\nId=prosed.socket\nUnitFileState={socket}\nActiveState=inactive\n"
        )
    }

    #[test]
    fn the_unit_is_judged_by_what_systemctl_shows() {
        let cases: [(String, Verdict, &str); 8] = [
            (shown("enabled", "active", 0, 0, ""), Ok, "automatically"),
            (shown("disabled", "inactive", 0, 0, "enabled"), Ok, "automatically"),
            (shown("disabled", "active", 0, 0, "disabled"), Warn, "not enabled"),
            (shown("", "inactive", 0, 0, ""), Warn, "There is no prosed.service"),
            (shown("enabled", "active", 0, 3, ""), Warn, "3 times"),
            (shown("masked", "inactive", 0, 0, ""), Fail, "masked"),
            (shown("enabled", "failed", 2, 5, ""), Fail, "configuration"),
            (String::new(), Warn, "There is no prosed.service"),
        ];
        for (shown, verdict, says) in cases {
            let finding = judge(&shown);
            assert_eq!(finding.result, verdict, "{shown}");
            assert!(finding.message.contains(says), "{finding:?}");
            assert_eq!(finding.fix.is_some(), verdict != Ok);
        }
    }
}
