//! Whether an account's server can be reached and shows a certificate that we trust: everything short of
//! a login.

use std::net::SocketAddr;
use std::time::SystemTime;

use der::asn1::{GeneralizedTime, UtcTime};
use der::{Reader, SliceReader, Tag};
use tokio::time::Instant;

use super::connector::{ATTEMPT, share};
use super::error::Refusals;
use super::reach::dns::{self, Places};
use super::reach::tls;
use super::{ConnectError, Settings};

/// A server that has shown who it is.
#[derive(Debug)]
pub(crate) struct Reached {
    /// As DNS or the settings name it.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// TLS from the first byte.
    pub(crate) direct: bool,
    /// Which of the host's addresses answered; absent where it is gone already.
    pub(crate) address: Option<SocketAddr>,
    /// From when to when its certificate is good; absent where that can't be read.
    pub(crate) valid: Option<(SystemTime, SystemTime)>,
}

/// Goes where a login would go, and leaves once the connection is secure.
///
/// # Errors
/// What a login would have met on the way.
pub(crate) async fn reach(settings: &Settings) -> Result<Reached, ConnectError> {
    let name = dns::ascii(settings.account.domain().as_str());
    // A login has as long.
    let by = Instant::now() + ATTEMPT;
    let places = dns::places(settings, &name).await?;
    try_places(places, settings, &name, by).await
}

async fn try_places(
    places: Places,
    settings: &Settings,
    name: &str,
    by: Instant,
) -> Result<Reached, ConnectError> {
    let domain = settings.account.domain().as_str();
    let mut refusals = Refusals::default();
    let mut targets = places.targets.into_iter();
    while let Some(target) = targets.next() {
        let by = share(by, targets.len() + 1);
        match tls::connect(&target, domain, name, &settings.tls_config, by).await {
            Ok((tls, _)) => {
                let (tcp, session) = tls.get_ref();
                let leaf = session.peer_certificates().and_then(<[_]>::first);
                return Ok(Reached {
                    host: target.host,
                    port: target.port,
                    direct: target.direct,
                    address: tcp.peer_addr().ok(),
                    valid: leaf.and_then(|leaf| validity(leaf).ok()),
                });
            }
            Err(error) => refusals.add(error),
        }
    }
    Err(refusals.into_error(domain, places.trouble))
}

/// RFC 5280 §4.1: `TBSCertificate ::= SEQUENCE { [0] version, serialNumber, signature, issuer, validity, … }`.
fn validity(certificate: &[u8]) -> der::Result<(SystemTime, SystemTime)> {
    let mut reader = SliceReader::new(certificate)?;
    reader.sequence(|certificate| {
        let validity = certificate.sequence(|body| {
            if matches!(Tag::peek(body)?, Tag::ContextSpecific { .. }) {
                body.tlv_bytes()?;
            }
            for _before in ["serialNumber", "signature", "issuer"] {
                body.tlv_bytes()?;
            }
            let validity =
                body.sequence(|validity| Ok::<_, der::Error>((time(validity)?, time(validity)?)))?;
            body.drain(body.remaining_len())?;
            Ok::<_, der::Error>(validity)
        })?;
        certificate.drain(certificate.remaining_len())?;
        Ok(validity)
    })
}

/// RFC 5280 §4.1.2.5: up to 2049 in two digits, then in four.
fn time<'a>(reader: &mut impl Reader<'a>) -> der::Result<SystemTime> {
    let time = match Tag::peek(reader)? {
        Tag::UtcTime => reader.decode::<UtcTime>()?.to_date_time(),
        _ => reader.decode::<GeneralizedTime>()?.to_date_time(),
    };
    Ok(SystemTime::UNIX_EPOCH + time.unix_duration())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::super::reach::dns::Target;
    use super::super::tests::settings;
    use super::*;
    use crate::config::TlsMode;

    #[tokio::test]
    async fn a_domain_of_silent_places_costs_one_deadline() {
        // The kernel takes the connections, and nobody says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let target = Target { host: "127.0.0.1".to_owned(), port, direct: true };
        let places = Places { targets: vec![target; 16], trouble: None };
        let settings = settings("me@example.org", None, None, TlsMode::Auto);
        // Time runs by itself while nobody has anything to do.
        tokio::time::pause();
        let start = Instant::now();
        try_places(places, &settings, "example.org", start + ATTEMPT).await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), ATTEMPT.as_secs());
    }

    #[test]
    fn a_certificate_says_from_when_to_when_it_is_good() {
        let mut parameters = rcgen::CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2024, 2, 29);
        parameters.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(validity(certificate.der()).unwrap(), (at(1_709_164_800), at(2_556_144_000)));
        assert!(validity(b"not a certificate").is_err() && validity(&[]).is_err());
    }
}
