use super::*;
use crate::config::TlsMode;

pub(super) fn settings(account: &str, host: Option<&str>, port: Option<u16>, tls: TlsMode) -> Settings {
    Settings {
        account: account.parse().unwrap(),
        resource: None,
        host: host.map(str::to_owned),
        port,
        tls,
        tls_config: tls_config(None).unwrap(),
    }
}
