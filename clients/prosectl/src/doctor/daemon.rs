//! Whether the daemon is running, and its version.

use prosed_protocol::api::{self, NoParams, Version};
use prosed_protocol::client::Client;
use prosed_protocol::endpoint::Endpoint;
use prosed_protocol::{API_LEVEL, Account};

use super::Finding;
use super::tools::{SOON, ask_prosed};
use crate::commands::Prosed;
use crate::elsewhere::Elsewhere;
use crate::failure::Failure;
use crate::service::Service;

const CHECK: &str = "daemon";

/// What is known about a running daemon.
pub(super) struct Running {
    /// Its endpoint.json, which a crash leaves behind.
    pub(super) endpoint: Option<Endpoint>,
    answer: Result<(Version, Vec<Account>), Failure>,
}

impl Running {
    pub(super) async fn find(prosed: &Prosed) -> Self {
        let answer = async {
            let client = prosed.client().await?;
            Ok((client.call::<api::GetVersion>(NoParams {}).await?, accounts(&client).await?))
        };
        let answer = answer.await;
        // After the call, which may have started it.
        let endpoint = prosed.dir().ok().and_then(|dir| Endpoint::read(dir).ok());
        Self { endpoint, answer }
    }

    /// Whether it answers.
    pub(super) fn answers(&self) -> bool {
        self.answer.is_ok()
    }

    /// Its process, while it answers.
    pub(super) fn pid(&self) -> Option<u32> {
        self.endpoint.as_ref().filter(|_| self.answers()).map(|endpoint| endpoint.pid)
    }

    /// The process that wrote the endpoint, which may have ended.
    fn left_pid(&self) -> Option<u32> {
        self.endpoint.as_ref().map(|endpoint| endpoint.pid)
    }

    /// Its accounts; none if it isn't running.
    pub(super) fn accounts(&self) -> &[Account] {
        self.answer.as_ref().map_or(&[], |(_, accounts)| accounts)
    }
}

async fn accounts(client: &Client) -> Result<Vec<Account>, Failure> {
    Ok(client.call::<api::ListAccounts>(NoParams {}).await?)
}

pub(super) async fn look(running: &Running, elsewhere: Option<&Elsewhere>, service: Service) -> Vec<Finding> {
    let (version, _) = match (&running.answer, elsewhere) {
        (Ok(answer), _) => answer,
        (Err(Failure::NotRunning(_) | Failure::Elsewhere(_)), Some(elsewhere)) => {
            return vec![Finding::fail(CHECK, format!("{elsewhere}."), elsewhere.fix())];
        }
        (Err(Failure::NotRunning(why)), None) => {
            let message = format!("prosed is not running: {why}.");
            return vec![Finding::fail(CHECK, message, service.start())];
        }
        (Err(failure), _) => {
            return vec![Finding::fail(CHECK, format!("{failure}."), service.restart(running.left_pid()))];
        }
    };
    let pid = running.pid().map(|pid| format!(", process {pid}")).unwrap_or_default();
    let mut found =
        vec![Finding::ok(CHECK, format!("{} {} is running{pid}.", version.name, version.version))];
    found.push(which(version, installed().await.as_deref(), service.restart(running.pid())));
    found
}

/// Whether it is the installed version, and compatible with prosectl.
fn which(version: &Version, installed: Option<&str>, restart: String) -> Finding {
    let check = "version";
    let ours = env!("CARGO_PKG_VERSION");
    if version.api_compatible > API_LEVEL || version.api_level < API_LEVEL {
        let message = format!(
            "prosectl {ours} speaks API {API_LEVEL}, and the daemon {} to {}.",
            version.api_compatible, version.api_level
        );
        return Finding::fail(check, message, "cargo install --path clients/prosectl");
    }
    match installed {
        Some(installed) if installed != version.version => {
            let message =
                format!("prosed {installed} is installed, but {} is still running.", version.version);
            Finding::warn(check, message, restart)
        }
        _ if ours != version.version => {
            let message = format!("prosectl is {ours}, and prosed {}.", version.version);
            Finding::warn(check, message, "cargo install --path clients/prosectl")
        }
        _ => Finding::ok(check, format!("prosectl and prosed are both {ours}.")),
    }
}

/// The version of the installed program.
async fn installed() -> Option<String> {
    let said = ask_prosed(None, &["--version"], SOON).await.ok()?;
    Some(said.out.trim().strip_prefix("prosed ")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn versions_are_compared() {
        let ours = env!("CARGO_PKG_VERSION");
        let version = |version: &str, api_compatible, api_level| Version {
            name: "prosed".to_owned(),
            version: version.to_owned(),
            api_level,
            api_compatible,
        };
        let verdict =
            |version: Version, installed: Option<&str>| which(&version, installed, String::new()).result;
        assert_eq!(verdict(version(ours, 1, API_LEVEL), Some(ours)), Verdict::Ok);
        assert_eq!(verdict(version(ours, 1, API_LEVEL + 1), None), Verdict::Ok);
        assert_eq!(verdict(version(ours, 1, API_LEVEL), Some("99.0.0")), Verdict::Warn);
        assert_eq!(verdict(version("99.0.0", 1, API_LEVEL), Some("99.0.0")), Verdict::Warn);
        assert_eq!(verdict(version("99.0.0", API_LEVEL + 1, API_LEVEL + 1), None), Verdict::Fail);
        assert_eq!(verdict(version("0.0.1", 0, API_LEVEL - 1), None), Verdict::Fail);
    }
}
