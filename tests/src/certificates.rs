//! A certificate authority for one run, and certificates for the servers of that run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The ALPN name of XMPP client connections over direct TLS (XEP-0368).
pub const ALPN: &[u8] = b"xmpp-client";

/// How far into the past and the future certificates are valid. Short on purpose: ejabberd sets a timer for the end,
/// and fails if that is centuries away.
const VALIDITY: Duration = Duration::from_secs(10 * 24 * 3600);

/// A certificate authority and one server certificate, as PEM files in a folder.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate, which a client must trust.
    pub ca_pem: PathBuf,
    /// The server's certificate.
    pub certificate_pem: PathBuf,
    /// The server's private key (PKCS#8).
    pub key_pem: PathBuf,
    /// Both of the above in one file, as some servers want it.
    pub bundle_pem: PathBuf,
}

impl Certificates {
    /// Creates an authority and a certificate for `domain`, and writes them into `folder`.
    pub fn create(folder: &Path, domain: &str) -> Self {
        Self::with_end(folder, domain, VALIDITY.as_secs().cast_signed())
    }

    /// The same, with a certificate that expired an hour ago.
    pub fn create_expired(folder: &Path, domain: &str) -> Self {
        Self::with_end(folder, domain, -3600)
    }

    /// `end`: expiry of the server's certificate, in seconds from now.
    fn with_end(folder: &Path, domain: &str, end: i64) -> Self {
        let now =
            date_time_ymd(1970, 1, 1) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut authority = CertificateParams::default();
        (authority.not_before, authority.not_after) = (now - VALIDITY, now + VALIDITY);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "prosed tests");
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().expect("a key pair");
        let authority_certificate = authority.self_signed(&authority_key).expect("a self-signed certificate");
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::new(vec![ascii(domain)]).expect("a DNS name");
        let later = |seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { now - by } else { now + by }
        };
        (server.not_before, server.not_after) = (now - VALIDITY, later(end));
        server.distinguished_name.push(DnType::CommonName, domain);
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate().expect("a key pair");
        let server_certificate = server.signed_by(&server_key, &issuer).expect("a signed certificate");

        let write = |name: &str, content: String| {
            let path = folder.join(name);
            fs::write(&path, content).expect("the folder can be written");
            path
        };
        let (certificate, key) = (server_certificate.pem(), server_key.serialize_pem());
        Self {
            ca_pem: write("ca.pem", authority_certificate.pem()),
            bundle_pem: write("server.pem", format!("{certificate}{key}")),
            certificate_pem: write("server.crt", certificate),
            key_pem: write("server.key", key),
        }
    }

    /// TLS for a server that shows this certificate.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(&self.certificate_pem).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&self.key_pem).expect("a private key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key fits the certificate");
        config.alpn_protocols = vec![ALPN.to_vec()];
        Arc::new(config)
    }
}

/// A domain in the form used in certificates.
pub(crate) fn ascii(domain: &str) -> String {
    idna::domain_to_ascii(domain).expect("a domain")
}

/// TLS for a client that trusts only the authority in `ca_pem`.
pub fn client_config(ca_pem: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca_pem).expect("a certificate"))
        .expect("a certificate authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

/// A TLS connection to a port of 127.0.0.1, expecting a certificate for `domain`.
///
/// # Errors
/// If nobody listens there, or the certificate is a different one.
pub async fn connect(
    tls: Arc<ClientConfig>,
    domain: &'static str,
    port: u16,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(ascii(domain)).expect("a DNS name");
    TlsConnector::from(tls).connect(name, tcp).await
}
