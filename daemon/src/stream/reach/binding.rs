//! Channel binding (RFC 5056): ties a login to the TLS connection it runs over, so that a man in the middle cannot
//! relay it, even with a certificate that we would trust.
//!
//! `tls-exporter` (RFC 9266) on TLS 1.3. RFC 9266 §3 allows it on TLS 1.2 only if the extended master secret was
//! negotiated, and rustls does not tell; so `tls-server-end-point` (RFC 5929 §4) is used there, and as the fallback
//! everywhere. `tls-unique` is not available: rustls keeps no Finished messages.

use der::asn1::ObjectIdentifier;
use der::{Reader, SliceReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio_rustls::rustls::{ClientConnection, ProtocolVersion};

/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// RFC 9266 §2.
const EXPORTER_LENGTH: usize = 32;

/// A type of channel binding, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum BindingType {
    /// RFC 5929 §4.
    #[serde(rename = "tls-server-end-point")]
    EndPoint,
    /// RFC 9266.
    #[serde(rename = "tls-exporter")]
    Exporter,
}

impl BindingType {
    /// As registered with IANA.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EndPoint => "tls-server-end-point",
            Self::Exporter => "tls-exporter",
        }
    }
}

/// What a connection can be bound with. No `Debug`: the exporter's value would allow forging it.
#[derive(Clone, Default)]
pub(crate) struct Bindings {
    exporter: Option<Vec<u8>>,
    end_point: Option<Vec<u8>>,
}

impl Bindings {
    /// Those of a connection after its handshake.
    pub(crate) fn of(tls: &ClientConnection) -> Self {
        let exporter = (tls.protocol_version() == Some(ProtocolVersion::TLSv1_3))
            .then(|| tls.export_keying_material(vec![0; EXPORTER_LENGTH], EXPORTER_LABEL, Some(&[])).ok())
            .flatten();
        let end_point = tls.peer_certificates().and_then(<[_]>::first).and_then(|leaf| end_point(leaf));
        Self { exporter, end_point }
    }

    /// The data of this type that binds to this connection.
    pub(crate) fn get(&self, kind: BindingType) -> Option<&[u8]> {
        match kind {
            BindingType::Exporter => self.exporter.as_deref(),
            BindingType::EndPoint => self.end_point.as_deref(),
        }
    }

    /// There is none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.exporter.is_none() && self.end_point.is_none()
    }

    /// The strongest type that the server supports, too. `announced`: its list (XEP-0440). Without a list it means
    /// `tls-unique` (RFC 5802 §6.1), which we can't do. (Guessing another leads to a refusal, as for a wrong
    /// password: ejabberd 23.01 offers `-PLUS` without a list on TLS 1.3, where nobody can do it.)
    pub(crate) fn common(&self, announced: Option<&[String]>) -> Option<BindingType> {
        let known = |kind: BindingType| announced.unwrap_or_default().iter().any(|name| name == kind.name());
        [BindingType::Exporter, BindingType::EndPoint]
            .into_iter()
            .find(|&kind| self.get(kind).is_some() && known(kind))
    }

    #[cfg(test)]
    pub(crate) fn for_tests(exporter: Option<&[u8]>, end_point: Option<&[u8]>) -> Self {
        Self { exporter: exporter.map(<[u8]>::to_vec), end_point: end_point.map(<[u8]>::to_vec) }
    }
}

/// RFC 5929 §4.1: the certificate's hash, by the algorithm of its signature, or SHA-256 if that is older. Undefined,
/// so none, if a signature names no single hash (Ed25519); RSA-PSS has its hash in parameters, and no authority signs
/// server certificates that way.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let id = |id: &str| ObjectIdentifier::new(id).ok();
    let algorithm = signature_algorithm(certificate).ok();
    let is_one_of = |names: &[&str]| algorithm.is_some() && names.iter().any(|name| id(name) == algorithm);
    // md5, sha1 and sha256 with RSA; ECDSA with sha1 and sha256.
    const SHA256: &[&str] = &[
        "1.2.840.113549.1.1.4",
        "1.2.840.113549.1.1.5",
        "1.2.840.113549.1.1.11",
        "1.2.840.10045.4.1",
        "1.2.840.10045.4.3.2",
    ];
    const SHA384: &[&str] = &["1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"];
    const SHA512: &[&str] = &["1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"];
    if is_one_of(SHA256) {
        Some(Sha256::digest(certificate).to_vec())
    } else if is_one_of(SHA384) {
        Some(Sha384::digest(certificate).to_vec())
    } else if is_one_of(SHA512) {
        Some(Sha512::digest(certificate).to_vec())
    } else {
        None
    }
}

/// RFC 5280 §4.1: `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`.
fn signature_algorithm(certificate: &[u8]) -> der::Result<ObjectIdentifier> {
    let mut reader = SliceReader::new(certificate)?;
    reader.sequence(|certificate| {
        certificate.tlv_bytes()?;
        let algorithm = certificate.sequence(|algorithm| {
            let id = algorithm.decode::<ObjectIdentifier>()?;
            algorithm.drain(algorithm.remaining_len())?;
            Ok::<_, der::Error>(id)
        })?;
        certificate.drain(certificate.remaining_len())?;
        Ok(algorithm)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_certificate_is_hashed_as_it_was_signed() {
        let sha256 = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&sha256), Some(Sha256::digest(&sha256).to_vec()));
        let sha384 = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&sha384), Some(Sha384::digest(&sha384).to_vec()));
        assert_eq!(end_point(&certificate(&rcgen::PKCS_ED25519)), None);
        assert_eq!(end_point(b"not a certificate"), None);
        assert_eq!(end_point(&[]), None);
    }

    #[test]
    fn the_strongest_kind_that_both_know() {
        let both = Bindings::for_tests(Some(b"e"), Some(b"p"));
        let old = Bindings::for_tests(None, Some(b"p"));
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let all = list(&["tls-server-end-point", "tls-unique", "tls-exporter"]);
        assert_eq!(both.common(Some(&all)), Some(BindingType::Exporter));
        assert_eq!(old.common(Some(&all)), Some(BindingType::EndPoint));
        assert_eq!(both.common(Some(&list(&["tls-server-end-point"]))), Some(BindingType::EndPoint));
        assert_eq!(both.common(Some(&list(&["tls-unique"]))), None);
        assert_eq!(both.common(None), None);
        assert_eq!(old.common(None), None);
        assert_eq!(Bindings::default().common(Some(&all)), None);
    }
}
