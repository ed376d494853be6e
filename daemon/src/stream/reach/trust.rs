//! Which certificates are trusted: those that chain to one of the system's or the user's roots, and the user's own.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// The usual checks, plus one case: a server's own certificate that is in `extra_ca` byte for byte (RFC 6125 §6.6.4).
/// `openssl req -x509` marks its certificates as authorities, which the usual checks refuse for a server; validity
/// and name are checked all the same.
#[derive(Debug)]
pub(crate) struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Verifier {
    pub(crate) fn new(usual: Arc<WebPkiServerVerifier>, pinned: Vec<CertificateDer<'static>>) -> Self {
        Self { usual, pinned }
    }
}

/// The one error of the usual checks that pinning overrides. They check the validity period before it.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.usual.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(error) if is_authority(&error) && self.pinned.iter().any(|pinned| pinned == certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, DnValue, IsCa, KeyPair, date_time_ymd};
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::ring;

    use super::*;

    /// Half-way through the validity of [`certificate`]s.
    const NOW: Duration = Duration::from_secs(1_750_000_000);

    /// As created by `openssl req -x509`.
    fn certificate() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["example.org".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 1);
        let name = DnValue::Utf8String("example.org".to_owned());
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verify(
        trusted: &CertificateDer<'static>,
        shown: &CertificateDer<'static>,
        name: &str,
        now: Duration,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let usual = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let name = ServerName::try_from(name).unwrap();
        Verifier::new(usual, vec![trusted.clone()])
            .verify_server_cert(shown, &[], &name, &[], UnixTime::since_unix_epoch(now))
            .map(|_| ())
    }

    #[test]
    fn a_server_may_show_the_very_certificate_that_is_trusted() {
        let (own, other) = (certificate(), certificate());
        assert_eq!(verify(&own, &own, "example.org", NOW), Ok(()));
        assert!(verify(&own, &other, "example.org", NOW).is_err());
    }

    #[test]
    fn its_name_and_its_time_count_all_the_same() {
        let own = certificate();
        let refused = |name, now| match verify(&own, &own, name, now) {
            Err(Error::InvalidCertificate(reason)) => reason,
            other => panic!("{other:?}"),
        };
        let reason = refused("example.net", NOW);
        assert!(matches!(reason, CertificateError::NotValidForNameContext { .. }), "{reason:?}");
        let reason = refused("example.org", NOW * 2);
        assert!(matches!(reason, CertificateError::ExpiredContext { .. }), "{reason:?}");
        let reason = refused("example.org", NOW / 2);
        assert!(matches!(reason, CertificateError::NotValidYetContext { .. }), "{reason:?}");
    }
}
