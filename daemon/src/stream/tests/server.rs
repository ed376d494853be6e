//! A server that says what a test tells it to, over real TCP and TLS.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::super::scram::{ScramKeys, ScramMechanism};
use super::super::{Credentials, Settings, Stream, tls_config};
use crate::config::TlsMode;
use crate::credentials::Password;

pub(super) const HEADER: &str = "<?xml version='1.0'?><stream:stream from='example.org' id='1' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub(super) const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
pub(super) const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
pub(super) const BIND_AND_SM: &str =
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>";
const SALT: &[u8] = b"a salt for tests";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Much longer than anything takes; a test that hangs fails by it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Server {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    ca: tempfile::NamedTempFile,
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
    /// What was read and not looked for yet.
    pending: String,
    /// All that was ever read.
    pub all: String,
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
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()];
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, tls: Arc::new(config), ca }
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
            pending: String::new(),
            all: String::new(),
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

    pub(super) async fn send(&mut self, text: &str) {
        self.io().write_all(text.as_bytes()).await.unwrap();
        self.io().flush().await.unwrap();
    }

    /// The server's side of a handshake; true where it succeeds. `alpn`: what was agreed.
    pub(super) async fn secure(&mut self) -> bool {
        let tcp = self.tcp.take().unwrap();
        match timeout(PATIENCE, TlsAcceptor::from(self.config.clone()).accept(tcp)).await.unwrap() {
            Ok(tls) => {
                if let Some(protocol) = tls.get_ref().1.alpn_protocol() {
                    self.all += &format!("[ALPN {}]", String::from_utf8_lossy(protocol));
                }
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

    /// Receives SCRAM's first message and challenges it; gives the server's proof, too.
    pub(super) async fn challenge(
        &mut self,
        mechanism: ScramMechanism,
        password: &str,
        iterations: u64,
    ) -> Option<String> {
        let first = decoded(&self.element("auth").await);
        let bare = first.strip_prefix("n,,").unwrap().to_owned();
        let nonce = format!("{}server", bare.split("r=").nth(1).unwrap());
        let challenge = format!("r={nonce},s={},i={iterations}", BASE64.encode(self.salt));
        self.send(&sasl("challenge", &challenge)).await;
        if iterations != 4096 {
            return None;
        }
        let answer = decoded(&self.element("response").await);
        let keys = ScramKeys::derive(mechanism, password, self.salt, 4096);
        // The server's side of RFC 5802 by way of the client's: both compute the same two values.
        let expected = {
            let first = super::super::scram::ClientFirst::new(
                mechanism,
                "me",
                bare.split("r=").nth(1).unwrap().to_owned(),
            );
            first.challenged(challenge.as_bytes()).unwrap().answer(&keys)
        };
        if answer != expected.0 {
            let refusal =
                format!("<failure xmlns='{SASL}'><not-authorized/><text>no\u{7f} such luck</text></failure>");
            self.send(&refusal).await;
            return None;
        }
        Some(format!("v={}", BASE64.encode(expected.1.expected())))
    }

    /// A whole SCRAM login.
    pub(super) async fn scram(&mut self, mechanism: ScramMechanism, password: &str) {
        let proof = self.challenge(mechanism, password, 4096).await.expect("wrong password");
        self.send(&sasl("success", &proof)).await;
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
