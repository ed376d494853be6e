//! Configuration: flags before environment before file before defaults.

/// How to come to TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// As the server's SRV records say; without any: STARTTLS.
    #[default]
    Auto,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// RFC 6120 §5.
    StartTls,
}
