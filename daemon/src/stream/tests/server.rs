//! A server that says what a test tells it to, over real TCP and TLS.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion, crypto};

use super::super::login::scram::{ClientFirst, Gs2, ScramKeys, ScramMechanism};
use super::super::reach::binding::BindingType;
use super::super::{Credentials, Pins, Settings, Stream, tls_config};
use crate::config::TlsMode;
use crate::credentials::Password;

pub(super) const HEADER: &str = "<?xml version='1.0'?><stream:stream from='example.org' id='1' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub(super) const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
pub(super) const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
pub(super) const BIND_AND_SM: &str =
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>";
pub(super) const SALT: &[u8] = b"a salt for tests";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Much longer than anything takes; a test that hangs fails by it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Server {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    ca: tempfile::NamedTempFile,
    end_point: Vec<u8>,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One client's connection.
pub(super) struct Conn {
    tcp: Option<TcpStream>,
    tls: Option<Box<dyn Io>>,
    config: Arc<ServerConfig>,
    /// What SCRAM's challenges carry.
    pub salt: &'static [u8],
    /// Each challenge has a salt of its own, made of that one.
    pub salts_change: bool,
    /// Put behind SCRAM's challenge.
    pub attributes: String,
    /// What XEP-0474 hashes, where the attributes have it.
    pub advertised: String,
    /// The exchange goes by XEP-0388.
    pub sasl2: bool,
    /// Put inside SASL2's `<success/>`.
    pub extras: String,
    /// What `tls-exporter` is on this connection, as the server sees it.
    exporter: Vec<u8>,
    /// What `tls-server-end-point` is.
    end_point: Vec<u8>,
    /// What was read and not looked for yet.
    pending: String,
    /// All that was ever read.
    pub all: String,
    /// The client has resumed a TLS session.
    pub resumed_tls: bool,
    /// It has sent data before the handshake was complete.
    pub early_data: bool,
    /// How often something was read and then answered.
    answers: usize,
    listened: bool,
}

pub(super) fn mechanisms(names: &[&str]) -> String {
    let names: String = names.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
    format!("<mechanisms xmlns='{SASL}'>{names}</mechanisms>")
}

pub(super) fn sasl(name: &str, data: &str) -> String {
    format!("<{name} xmlns='{SASL}'>{}</{name}>", BASE64.encode(data))
}

/// What an element's text is, decoded.
pub(super) fn decoded(element: &str) -> String {
    let text = element.split('>').nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
    String::from_utf8(BASE64.decode(text).unwrap()).unwrap()
}

impl Server {
    /// A server for this name; its certificate is trusted by [`Server::settings`].
    pub(super) async fn named(name: &str) -> Self {
        Self::speaking(name, tokio_rustls::rustls::ALL_VERSIONS).await
    }

    /// The same with these versions of TLS.
    pub(super) async fn speaking(name: &str, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::with(rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap(), versions).await
    }

    /// One whose certificate has ended long ago.
    pub(super) async fn expired() -> Self {
        let mut certificate = rcgen::CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        certificate.not_before = rcgen::date_time_ymd(2019, 1, 1);
        certificate.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Self::with(certificate, tokio_rustls::rustls::ALL_VERSIONS).await
    }

    async fn with(
        certificate: rcgen::CertificateParams,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = certificate.self_signed(&signing_key).unwrap();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), cert.pem()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(cert.pem().as_bytes()).unwrap()];
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        // A client could send early data, if it wanted.
        config.max_early_data_size = 16_384;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let end_point = Sha256::digest(cert.der()).to_vec();
        Self { listener, tls: Arc::new(config), ca, end_point }
    }

    /// The same server at another port.
    pub(super) async fn twin(&self) -> Self {
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::copy(self.ca.path(), ca.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, tls: self.tls.clone(), ca, end_point: self.end_point.clone() }
    }

    pub(super) async fn new() -> Self {
        Self::named("example.org").await
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            account: "me@example.org".parse().unwrap(),
            resource: None,
            host: Some("127.0.0.1".to_owned()),
            port: Some(self.listener.local_addr().unwrap().port()),
            tls: TlsMode::Auto,
            pins: Pins::default(),
            accept_downgrade: false,
            bind2: false,
            tls_config: tls_config(Some(self.ca.path())).unwrap(),
        }
    }

    /// A client with this password.
    pub(super) fn client(&self, password: &str) -> Stream {
        Stream::connect(self.settings(), Credentials::Password(Password::from(password.to_owned())))
    }

    pub(super) async fn accept(&self) -> Conn {
        let (tcp, _) = timeout(PATIENCE, self.listener.accept()).await.expect("no connection").unwrap();
        Conn {
            tcp: Some(tcp),
            tls: None,
            config: self.tls.clone(),
            salt: SALT,
            salts_change: false,
            attributes: String::new(),
            advertised: String::new(),
            sasl2: false,
            extras: String::new(),
            exporter: Vec::new(),
            end_point: self.end_point.clone(),
            pending: String::new(),
            all: String::new(),
            resumed_tls: false,
            early_data: false,
            answers: 0,
            listened: false,
        }
    }

    /// Accepts, and comes to TLS by STARTTLS.
    pub(super) async fn accept_secure(&self) -> Conn {
        let mut conn = self.accept().await;
        conn.open(STARTTLS).await;
        conn.element("starttls").await;
        conn.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
        assert!(conn.secure().await, "the client refuses TLS");
        conn
    }

    /// Accepts, with TLS from the first byte.
    pub(super) async fn accept_direct(&self) -> Conn {
        let mut conn = self.accept().await;
        assert!(conn.secure().await, "the client refuses TLS");
        conn
    }

    /// Accepts, and lets the client log in with SCRAM.
    pub(super) async fn accept_login(&self, password: &str) -> Conn {
        let mut conn = self.accept_secure().await;
        conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
        conn.scram(ScramMechanism::Sha256, password).await;
        conn
    }

    /// Accepts, and goes all the way to a bound stream without stream management.
    pub(super) async fn accept_bound(&self, password: &str) -> Conn {
        let mut conn = self.accept_login(password).await;
        conn.open(BIND).await;
        conn.bind("me@example.org/here").await;
        conn
    }

    /// True where no client is waiting to be accepted.
    pub(super) fn is_left_alone(&self) -> bool {
        use futures::FutureExt;
        self.listener.accept().now_or_never().is_none()
    }
}

impl Conn {
    fn io(&mut self) -> &mut dyn Io {
        match (&mut self.tls, &mut self.tcp) {
            (Some(tls), _) => tls,
            (None, Some(tcp)) => tcp,
            (None, None) => panic!("the handshake failed"),
        }
    }

    /// How many round trips the client has needed so far: TCP's, that of TLS 1.3, and one for each answer.
    pub(super) fn round_trips(&self) -> usize {
        2 + self.answers
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.answers += usize::from(std::mem::take(&mut self.listened));
        self.io().write_all(text.as_bytes()).await.unwrap();
        self.io().flush().await.unwrap();
    }

    /// Sends, to somebody who may have left.
    pub(super) async fn try_send(&mut self, text: &str) {
        let _ = self.io().write_all(text.as_bytes()).await;
        let _ = self.io().flush().await;
    }

    /// The server's side of a handshake; true where it succeeds. `alpn`: what was agreed.
    pub(super) async fn secure(&mut self) -> bool {
        let tcp = self.tcp.take().unwrap();
        match timeout(PATIENCE, TlsAcceptor::from(self.config.clone()).accept(tcp)).await.unwrap() {
            Ok(tls) => {
                if let Some(protocol) = tls.get_ref().1.alpn_protocol() {
                    self.all += &format!("[ALPN {}]", String::from_utf8_lossy(protocol));
                }
                self.resumed_tls = tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                let mut tls = tls;
                self.early_data = tls.get_mut().1.early_data().is_some();
                let label = b"EXPORTER-Channel-Binding";
                self.exporter =
                    tls.get_ref().1.export_keying_material(vec![0; 32], label, Some(&[])).unwrap();
                self.tls = Some(Box::new(tls));
                self.pending.clear();
                true
            }
            Err(_) => false,
        }
    }

    /// Reads more; false at the end.
    async fn read(&mut self) -> bool {
        let mut chunk = vec![0; 65536];
        let read =
            timeout(PATIENCE, self.io().read(&mut chunk)).await.expect("the client is silent").unwrap_or(0);
        let text = String::from_utf8_lossy(&chunk[..read]);
        self.pending += &text;
        self.all += &text;
        self.listened |= read > 0;
        read > 0
    }

    /// Reads up to and including this text.
    pub(super) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.pending.find(text) {
                let rest = self.pending.split_off(at + text.len());
                return std::mem::replace(&mut self.pending, rest);
            }
            assert!(self.read().await, "the client left before {text}; it said {}", self.all);
        }
    }

    /// Reads the next element of this name, from its start to its end.
    pub(super) async fn element(&mut self, name: &str) -> String {
        self.until(&format!("<{name}")).await;
        let head = self.until(">").await;
        if head.ends_with("/>") {
            return format!("<{name}{head}");
        }
        format!("<{name}{head}{}", self.until(&format!("</{name}>")).await)
    }

    /// Reads to the end of the connection; gives all that was ever said.
    pub(super) async fn rest(&mut self) -> String {
        while self.read().await {}
        self.all.clone()
    }

    /// Waits until the client's socket is gone altogether: no event tells, only writes that fail.
    pub(super) async fn gone(&mut self) {
        while self.io().write_all(b" ").await.is_ok() && self.io().flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Answers a stream header with one of ours and these features.
    pub(super) async fn open(&mut self, features: &str) {
        self.until("<stream:stream").await;
        self.until(">").await;
        self.send(&format!("{HEADER}<stream:features>{features}</stream:features>")).await;
    }

    /// Reads up to the beginning of one of these elements; says which.
    pub(super) async fn either<'x>(&mut self, names: [&'x str; 2]) -> &'x str {
        loop {
            if let Some(name) = names.into_iter().find(|name| self.pending.contains(&format!("<{name}"))) {
                return name;
            }
            assert!(self.read().await, "the client left before {names:?}; it said {}", self.all);
        }
    }

    /// Receives a mechanism's first message.
    pub(super) async fn initial(&mut self) -> String {
        if self.sasl2 {
            self.element("authenticate").await;
            let said = self.all.rsplit("<initial-response").next().unwrap();
            decoded(said)
        } else {
            decoded(&self.element("auth").await)
        }
    }

    /// Something in the namespace of the exchange.
    pub(super) fn sasl(&self, name: &str, data: &str) -> String {
        match name {
            _ if !self.sasl2 => sasl(name, data),
            "success" => format!(
                "<success xmlns='urn:xmpp:sasl:2'><additional-data>{}</additional-data>\
                 <authorization-identifier>me@example.org</authorization-identifier>{}</success>",
                BASE64.encode(data),
                self.extras
            ),
            _ => format!("<{name} xmlns='urn:xmpp:sasl:2'>{}</{name}>", BASE64.encode(data)),
        }
    }

    /// Receives SCRAM's first message and challenges it; gives the server's proof, too. Lets the
    /// client break off and begin again.
    pub(super) async fn challenge(
        &mut self,
        mechanism: ScramMechanism,
        password: &str,
        iterations: u64,
    ) -> Option<String> {
        let mut salt = self.salt.to_vec();
        loop {
            let first = self.initial().await;
            let nonce = first.split("r=").nth(1).unwrap().to_owned();
            let challenge =
                format!("r={nonce}server,s={},i={iterations}{}", BASE64.encode(&salt), self.attributes);
            self.send(&self.sasl("challenge", &challenge)).await;
            if iterations != 4096 {
                return None;
            }
            if self.either(["response", "abort"]).await == "abort" {
                self.element("abort").await;
                let namespace = if self.sasl2 { "urn:xmpp:sasl:2" } else { SASL };
                self.send(&format!("<failure xmlns='{namespace}'><aborted xmlns='{SASL}'/></failure>")).await;
                salt[0] ^= u8::from(self.salts_change);
                continue;
            }
            let answer = decoded(&self.element("response").await);
            let keys = ScramKeys::derive(mechanism, password, &salt, 4096);
            // The server's side of RFC 5802 by way of the client's: both compute the same two
            // values. What binds comes from the server's end of the connection.
            let (exporter, end_point) = (&self.exporter, &self.end_point);
            let gs2 = match first.split(',').next().unwrap() {
                "n" => Gs2::Impossible,
                "y" => Gs2::NotOffered,
                "p=tls-exporter" => Gs2::Bound(BindingType::Exporter, exporter),
                "p=tls-server-end-point" => Gs2::Bound(BindingType::EndPoint, end_point),
                other => panic!("{other}"),
            };
            let expected = ClientFirst::new(mechanism, gs2, "me", nonce)
                .challenged(challenge.as_bytes(), &self.advertised)
                .unwrap()
                .answer(&keys);
            if answer != expected.0 {
                let refusal = format!(
                    "<failure xmlns='{SASL}'><not-authorized/><text>no\u{7f} such luck</text></failure>"
                );
                self.send(&refusal).await;
                return None;
            }
            return Some(format!("v={}", BASE64.encode(expected.1.expected())));
        }
    }

    /// From now on the server's end is that of another connection.
    pub(super) fn pretend_another_connection(&mut self) {
        self.exporter[0] ^= 1;
        self.end_point[0] ^= 1;
    }

    /// HT-SHA-256-EXPR's value for a side of it.
    fn token_proof(&self, token: &str, side: &str) -> Vec<u8> {
        Self::ht_sha_256(token, side, &self.exporter)
    }

    fn ht_sha_256(token: &str, side: &str, binding: &[u8]) -> Vec<u8> {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(token.as_bytes()).unwrap();
        mac.update(side.as_bytes());
        mac.update(binding);
        mac.finalize().into_bytes().to_vec()
    }

    /// Whether the client logs in with this token.
    pub(super) async fn takes_token(&mut self, token: &str) -> bool {
        self.element("authenticate").await;
        let said = self.all.rsplit("<initial-response").next().unwrap();
        let text = said.split('>').nth(1).and_then(|rest| rest.split('<').next()).unwrap();
        BASE64.decode(text).unwrap() == [b"me\0".to_vec(), self.token_proof(token, "Initiator")].concat()
    }

    /// Takes it in, and shows that it has this token, too.
    pub(super) async fn send_token_proof(&mut self, token: &str) {
        self.send(&self.token_success(token)).await;
    }

    /// What a server says that has this token, too.
    pub(super) fn token_success(&self, token: &str) -> String {
        self.success(&self.token_proof(token, "Responder"))
    }

    /// The same for HT-SHA-256-NONE.
    pub(super) fn unbound_token_success(&self, token: &str) -> String {
        self.success(&Self::ht_sha_256(token, "Responder", &[]))
    }

    fn success(&self, proof: &[u8]) -> String {
        let proof = format!("<additional-data>{}", BASE64.encode(proof));
        self.sasl("success", "").replace("<additional-data>", &proof)
    }

    /// A whole SCRAM login.
    pub(super) async fn scram(&mut self, mechanism: ScramMechanism, password: &str) {
        let proof = self.challenge(mechanism, password, 4096).await.expect("wrong password");
        self.send(&self.sasl("success", &proof)).await;
    }

    /// Answers the request to bind.
    pub(super) async fn bind(&mut self, jid: &str) -> String {
        let request = self.element("iq").await;
        self.send(&format!(
            "<iq type='result' id='resource-binding'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>{jid}</jid></bind></iq>"
        ))
        .await;
        request
    }
}
