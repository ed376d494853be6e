//! Where secrets are stored, and whether they are accessible.

use super::Finding;
use super::configuration::Configuration;
use super::tools::{SOON, ask};

const CHECK: &str = "secrets";
const SERVICE: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
const UNLOCK: &str = "unlock the login keyring, in seahorse for example";
const USE_FILES: &str = "unlock or install a keyring, or set store = \"file\" under [secrets] in config.toml";

/// The state of the desktop's keyring.
#[derive(Debug, PartialEq, Eq)]
enum Keyring {
    Open,
    Locked,
    Absent,
}

pub(super) async fn look(configuration: &Configuration) -> [Finding; 1] {
    let store = configuration.secret_store();
    [if store == "file" { judge(store, &Keyring::Absent) } else { judge(store, &keyring().await) }]
}

fn judge(store: &str, keyring: &Keyring) -> Finding {
    match (store, keyring) {
        ("file", _) => Finding::ok(CHECK, "They are stored in files in the data folder, as configured."),
        (_, Keyring::Open) => Finding::ok(CHECK, "They are stored in the desktop's keyring, which is open."),
        ("secret-service", Keyring::Locked) => {
            Finding::fail(CHECK, "The keyring is locked: accounts can't log in automatically.", UNLOCK)
        }
        ("secret-service", Keyring::Absent) => Finding::fail(
            CHECK,
            "There is no keyring, and files are not allowed: no password is remembered.",
            USE_FILES,
        ),
        (_, Keyring::Locked) => Finding::warn(
            CHECK,
            "The keyring is locked: accounts whose secret is in it wait until it is unlocked.",
            UNLOCK,
        ),
        (_, Keyring::Absent) => {
            Finding::ok(CHECK, "There is no keyring: they are stored in files in the data folder.")
        }
    }
}

/// The default collection, through `busctl`.
async fn keyring() -> Keyring {
    let service = "org.freedesktop.Secret.Service";
    let alias = ["--user", "call", SERVICE, ROOT, service, "ReadAlias", "s", "default"];
    let Ok(said) = ask("busctl", &alias, SOON).await else { return Keyring::Absent };
    // `o "/org/freedesktop/secrets/collection/login"`
    let collection = said.out.trim().strip_prefix("o \"").and_then(|rest| rest.strip_suffix('"'));
    let Some(collection) = collection.filter(|path| said.success && *path != "/") else {
        return Keyring::Absent;
    };
    let locked =
        ["--user", "get-property", SERVICE, collection, "org.freedesktop.Secret.Collection", "Locked"];
    match ask("busctl", &locked, SOON).await {
        Ok(said) if said.out.trim() == "b false" => Keyring::Open,
        Ok(said) if said.out.trim() == "b true" => Keyring::Locked,
        _ => Keyring::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Ok, Warn};
    use super::*;

    #[test]
    fn a_keyring_matters_as_far_as_it_is_needed() {
        for (store, open, locked, absent) in
            [("auto", Ok, Warn, Ok), ("secret-service", Ok, Fail, Fail), ("file", Ok, Ok, Ok)]
        {
            let verdicts =
                [Keyring::Open, Keyring::Locked, Keyring::Absent].map(|state| judge(store, &state).result);
            assert_eq!(verdicts, [open, locked, absent], "{store}");
        }
    }
}
