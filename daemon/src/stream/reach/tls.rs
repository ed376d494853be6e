//! TLS, or nothing: from the first byte (XEP-0368) or by STARTTLS (RFC 6120 §5).

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, ClientConnection, HandshakeKind, RootCertStore,
    crypto,
};
use tokio_xmpp::xmlstream::{
    ReadError, RecvFeaturesError, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream,
};
use xmpp_parsers::{ns, starttls};

use super::binding::Bindings;
use super::dial::dial;
use super::dns::{Target, ip};
use super::gate::Gate;
use super::quickack::QuickAck;
use super::tickets::Tickets;
use super::trust::Verifier;
use crate::events::rfc3339;
use crate::stream::error::ended_over;
use crate::stream::error::timed_out;
use crate::stream::{ConnectError, short};

/// From the first byte of a handshake to its last.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// From the plain stream's header to `<proceed/>`.
const NEGOTIATION: Duration = Duration::from_secs(15);
/// The library's own, longer than [`NEGOTIATION`]: they never come to count.
const TIMEOUTS: Timeouts =
    Timeouts { read_timeout: Duration::from_secs(60), response_timeout: Duration::from_secs(60) };
/// How many names of a certificate for another server an error lists.
const NAMES_SHOWN: usize = 3;

/// No set of trusted certificates could be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsConfigError {
    /// The extra certificates can't be read.
    #[error("{}: {source}", path.display())]
    ExtraCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds none, or something else.
    #[error("{}: no certificate that can be trusted", .0.display())]
    NoCertificate(PathBuf),
    /// The cryptography library refused.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// It refused the trusted certificates.
    #[error(transparent)]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// Trusts the system's roots (`SSL_CERT_FILE` is honoured), loaded once for the process, and those
/// of a PEM file beside them. Blocks on disk. ALPN is set at each connect: only direct TLS has it.
pub(crate) fn tls_config(extra_ca: Option<&Path>) -> Result<Arc<TlsConfig>, TlsConfigError> {
    static NATIVE: OnceLock<RootCertStore> = OnceLock::new();
    let native = NATIVE.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's root certificates can't be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!("the system has no root certificates: only extra ones are trusted");
        }
        roots
    });
    let mut roots = native.clone();
    let mut extra = Vec::new();
    if let Some(path) = extra_ca {
        let failed = |source| TlsConfigError::ExtraCa { path: path.to_owned(), source };
        for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
            let certificate = certificate.map_err(failed)?;
            roots.add(certificate.clone()).map_err(|_| TlsConfigError::NoCertificate(path.to_owned()))?;
            extra.push(certificate);
        }
        if extra.is_empty() {
            return Err(TlsConfigError::NoCertificate(path.to_owned()));
        }
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let (mut client, verifier) = if roots.is_empty() {
        // Nobody is trusted, which the verifier below takes for a mistake.
        (builder.with_root_certificates(roots).with_no_client_auth(), None)
    } else {
        let usual = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build()?;
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Verifier::new(usual, extra));
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier.clone());
        (builder.with_no_client_auth(), Some(verifier))
    };
    client.resumption = Resumption::disabled();
    let client = Arc::new(client);
    Ok(Arc::new(TlsConfig { client, verifier, tickets: None }))
}

/// Whom we trust, and how: see [`tls_config`].
pub(crate) struct TlsConfig {
    client: Arc<ClientConfig>,
    /// Absent: nobody is trusted.
    verifier: Option<Arc<dyn ServerCertVerifier>>,
    /// For resuming TLS sessions; absent: each handshake is a full one.
    tickets: Option<Arc<Tickets>>,
}

impl TlsConfig {
    /// The same with tickets of its own: see [`tickets`](super::tickets).
    pub(crate) fn with_own_tickets(&self) -> Self {
        let tickets = Arc::new(Tickets::default());
        let mut client = ClientConfig::clone(&self.client);
        client.resumption = Resumption::store(tickets.clone());
        Self { client: Arc::new(client), verifier: self.verifier.clone(), tickets: Some(tickets) }
    }

    /// Whether a connection is one that we would make now. rustls does not check a certificate again that it
    /// remembers with a ticket, and a new ticket takes it over: without this, a certificate would be good for as long as
    /// there is a next ticket.
    fn trusts(&self, connection: &ClientConnection, name: &ServerName<'_>) -> bool {
        if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
            return true;
        }
        let Some((leaf, others)) = connection.peer_certificates().and_then(<[_]>::split_first) else {
            return false;
        };
        let verify = |verifier: &Arc<dyn ServerCertVerifier>| {
            verifier.verify_server_cert(leaf, others, name, &[], UnixTime::now()).is_ok()
        };
        self.verifier.as_ref().is_some_and(verify)
    }
}

/// A secured connection.
pub(crate) type Secure = TlsStream<QuickAck>;

/// Connects to a target and secures the connection for the account's domain, whatever host it is
/// on. `name`: the domain as certificates have it. `by`: when it has to be secure. Also says what the connection
/// can be bound by.
pub(crate) async fn connect(
    target: &Target,
    domain: &str,
    name: &str,
    config: &TlsConfig,
    by: Instant,
) -> Result<(Secure, Bindings), ConnectError> {
    let too_late = |_| unreachable(target, &timed_out("it was too slow to leave time for the others"));
    timeout_at(by, secure(target, domain, name, config)).await.map_err(too_late)?
}

fn unreachable(target: &Target, error: &io::Error) -> ConnectError {
    ConnectError::Unreachable { text: format!("{}:{}: {error}", target.host, target.port) }
}

async fn secure(
    target: &Target,
    domain: &str,
    name: &str,
    config: &TlsConfig,
) -> Result<(Secure, Bindings), ConnectError> {
    let name = match ip(name) {
        Some(ip) => ServerName::IpAddress(ip.into()),
        None => ServerName::try_from(name.to_owned())
            .map_err(|_| ConnectError::Tls { text: format!("{name} can't have a certificate") })?,
    };
    let mut tls = handshake(target, domain, name.clone(), &config.client).await?;
    if !config.trusts(tls.get_ref().1, &name) {
        tracing::debug!(host = target.host, "the certificate of a TLS session is no longer valid");
        if let Some(tickets) = &config.tickets {
            tickets.forget(&name);
        }
        tls = handshake(target, domain, name, &config.client).await?;
    }
    let bindings = Bindings::of(tls.get_ref().1);
    Ok((tls, bindings))
}

/// Connects, and makes one handshake.
async fn handshake(
    target: &Target,
    domain: &str,
    name: ServerName<'static>,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<QuickAck>, ConnectError> {
    let unreachable = |error: io::Error| unreachable(target, &error);
    let tcp = dial(target).await.map_err(unreachable)?;
    let connector = TlsConnector::from(config.clone());
    let handshake = if target.direct {
        connector.with_alpn(vec![b"xmpp-client".to_vec()]).connect(name, QuickAck::new(tcp))
    } else {
        let tcp = timeout(NEGOTIATION, proceed(tcp, domain))
            .await
            .map_err(|_| unreachable(timed_out("no answer to STARTTLS")))??;
        connector.connect(name, QuickAck::new(tcp))
    };
    timeout(HANDSHAKE, handshake)
        .await
        .map_err(|_| unreachable(timed_out("the TLS handshake took too long")))?
        .map_err(|error| match reason(&error) {
            Some(text) => ConnectError::Tls { text: short(&text) },
            None => unreachable(error),
        })
}

/// What TLS itself has against the connection; nothing where the network failed. In words of our own:
/// the library's hold the names of its types.
pub(crate) fn reason(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    tracing::debug!(%error, "TLS failed");
    Some(match error {
        rustls::Error::InvalidCertificate(reason) => certificate(reason),
        rustls::Error::AlertReceived(alert) => refused(*alert),
        rustls::Error::PeerIncompatible(_) => {
            "the server speaks no version of TLS that is safe: 1.2 or 1.3 is needed".to_owned()
        }
        rustls::Error::NoApplicationProtocol => "the server does not speak XMPP on this port".to_owned(),
        rustls::Error::InvalidMessage(_) => "the server's answer is not TLS".to_owned(),
        rustls::Error::DecryptError => "what the server sent was changed on its way".to_owned(),
        _ => "the server broke the rules of TLS".to_owned(),
    })
}

/// Why the server ended the handshake.
fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            "the server and we have no safe way of TLS in common".to_owned()
        }
        AlertDescription::UnrecognisedName => "the server does not serve this domain".to_owned(),
        AlertDescription::NoApplicationProtocol => "the server does not speak XMPP on this port".to_owned(),
        other => format!("the server refused TLS (alert {})", u8::from(other)),
    }
}

/// What is wrong with a certificate, in words that its owner understands.
fn certificate(reason: &CertificateError) -> String {
    let day = |time: &UnixTime| {
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
        time.map_or_else(|| "some day".to_owned(), |time| rfc3339(time.into()))
    };
    match reason {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired at {}", day(not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate is not valid before {}", day(not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // As in `DnsName("example.org")`.
            let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names = presented.iter().take(NAMES_SHOWN).map(bare).collect::<Vec<_>>().join(", ");
            format!("the server's certificate is not valid for {}, but for {names}", expected.to_str())
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by nobody that this computer trusts; an authority of your own \
             is trusted once extra_ca in config.toml names its file"
                .to_owned()
        }
        CertificateError::Revoked => "the server's certificate was revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not meant for servers".to_owned()
        }
        CertificateError::Other(_) => {
            "the server shows an authority's certificate as its own; list that very certificate in extra_ca \
             to trust it"
                .to_owned()
        }
        CertificateError::BadSignature => "the signature of the server's certificate is false".to_owned(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's certificate is signed in a way that is not safe, or not known".to_owned()
        }
        _ => "the server's certificate can't be read".to_owned(),
    }
}

/// Speaks plain XMPP up to `<proceed/>`. Nothing received before TLS is trusted: the stream restarts inside TLS, and
/// bytes injected after `<proceed/>` are refused (CVE-2011-0411 and the like).
async fn proceed(tcp: TcpStream, domain: &str) -> Result<TcpStream, ConnectError> {
    let header = StreamHeader { to: Some(Cow::Borrowed(domain)), from: None, id: None };
    let pending = initiate_stream(Gate::new(tcp), ns::JABBER_CLIENT, header, TIMEOUTS)
        .await
        .map_err(ConnectError::from_io)?;
    let (features, mut stream): (_, XmppStream<_>) = pending.recv_features().await.map_err(receive_error)?;
    if !features.can_starttls() {
        return Err(ConnectError::Protocol {
            text: "the server offers no TLS, or somebody took the offer away".into(),
        });
    }
    let request = XmppStreamElement::Starttls(starttls::Nonza::Request(starttls::Request));
    stream.send(&request).await.map_err(ConnectError::from_io)?;
    loop {
        match stream.next().await {
            Some(Ok(element)) => match element.into_read_error() {
                Ok(XmppStreamElement::Starttls(starttls::Nonza::Proceed(_))) => break,
                _ => return Err(ConnectError::Protocol { text: "the server refuses STARTTLS".into() }),
            },
            Some(Err(ReadError::SoftTimeout)) => {}
            Some(Err(error)) => return Err(read_error(error)),
            None => return Err(ConnectError::closed()),
        }
    }
    stream.into_inner().into_inner().map_err(|_| ConnectError::Protocol {
        text: "somebody sent plain text where TLS had to begin".into(),
    })
}

fn read_error(error: ReadError) -> ConnectError {
    match error {
        ReadError::HardError(error) => ConnectError::from_io(error),
        ReadError::ParseError(error) => ConnectError::Protocol { text: short(&error.to_string()) },
        ReadError::SoftTimeout => ConnectError::from_io(timed_out("no answer")),
        ReadError::StreamFooterReceived => ConnectError::closed(),
    }
}

fn receive_error(error: RecvFeaturesError) -> ConnectError {
    match error {
        RecvFeaturesError::Io(error) => ConnectError::from_io(error),
        RecvFeaturesError::StreamError(error) => {
            ended_over(&error.0.condition.to_string(), error.0.texts.values().next().map(String::as_str))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_certificates_must_be_there_and_be_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(matches!(tls_config(Some(&file)), Err(TlsConfigError::ExtraCa { .. })));
        std::fs::write(&file, "not a certificate").unwrap();
        assert!(matches!(tls_config(Some(&file)), Err(TlsConfigError::NoCertificate(_))));
        let certificate = rcgen::generate_simple_self_signed(vec!["example.org".to_owned()]).unwrap();
        std::fs::write(&file, certificate.cert.pem()).unwrap();
        assert!(tls_config(Some(&file)).is_ok());
        assert!(tls_config(None).is_ok());
    }

    /// A certificate that has become invalid, simulated by replacing the verifier.
    #[tokio::test]
    async fn a_certificate_that_is_no_longer_valid_ends_with_its_tls_session() {
        use rustls::ServerConfig;
        use rustls::pki_types::PrivateKeyDer;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let certificate = rcgen::generate_simple_self_signed(vec!["example.org".to_owned()]).unwrap();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), certificate.cert.pem()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(certificate.signing_key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                // A ticket reaches the client with the first data.
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    let _ = tls.write_all(b"x").await;
                    let _ = tls.flush().await;
                }
            }
        });
        let target = Target { host: "127.0.0.1".to_owned(), port, direct: true };
        let mut config = tls_config(Some(ca.path())).unwrap().with_own_tickets();
        let kind = async |config: &TlsConfig| {
            let by = Instant::now() + HANDSHAKE;
            let (mut tls, _) = connect(&target, "example.org", "example.org", config, by).await.unwrap();
            tls.read_u8().await.unwrap();
            tls.get_ref().1.handshake_kind()
        };
        assert_eq!(kind(&config).await, Some(HandshakeKind::Full));
        assert_eq!(kind(&config).await, Some(HandshakeKind::Resumed));
        let valid = std::mem::replace(&mut config.verifier, tls_config(None).unwrap().verifier.clone());
        assert_eq!(kind(&config).await, Some(HandshakeKind::Full));
        config.verifier = valid;
        assert_eq!(kind(&config).await, Some(HandshakeKind::Resumed));
    }
}
