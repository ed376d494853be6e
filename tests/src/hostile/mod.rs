//! A server that sends what a test wants: TLS, SASL and bind done properly or not at all, then any bytes.

mod sasl2;
mod scram;

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minidom::Element;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use self::sasl2::Sasl2;
pub use self::scram::{Lie, Sasl};
use crate::PATIENCE;
use crate::certificates::Certificates;
use crate::inbox::Inbox;
use crate::server::DOMAIN;
use crate::xml::{self, XmlStream, escape, find};

/// The stream feature of roster versioning (RFC 6121 §2.6).
pub const ROSTER_VERSIONING: &str = "<ver xmlns='urn:xmpp:features:rosterver'/>";

type Tls = TlsStream<TcpStream>;

/// A listening hostile server for [`DOMAIN`].
#[derive(Debug)]
pub struct Hostile {
    /// Where it listens.
    pub port: u16,
    /// The certificate of the authority that signed the server's.
    pub ca_pem: PathBuf,
    listener: TcpListener,
    certificates: Certificates,
    _folder: TempDir,
}

impl Hostile {
    /// Listens on a free port of 127.0.0.1.
    pub async fn listen() -> Self {
        Self::listen_with(|folder| Certificates::create(folder, DOMAIN)).await
    }

    /// The same, with the test's own certificates.
    pub async fn listen_with(certificates: impl FnOnce(&Path) -> Certificates) -> Self {
        let folder =
            tempfile::Builder::new().prefix("prosed-hostile-").tempdir().expect("a temporary folder");
        let certificates = certificates(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        Self { port, ca_pem: certificates.ca_pem.clone(), listener, certificates, _folder: folder }
    }

    /// Parameters of prosed's `login` for this server, with direct TLS.
    pub fn login_direct(&self, name: &str, password: &str) -> Value {
        self.login(name, password, "direct")
    }

    /// Parameters of prosed's `login` for this server, with STARTTLS.
    pub fn login_starttls(&self, name: &str, password: &str) -> Value {
        self.login(name, password, "starttls")
    }

    fn login(&self, name: &str, password: &str, tls: &str) -> Value {
        let jid = format!("{name}@{DOMAIN}");
        json!({ "jid": jid, "password": password, "host": "127.0.0.1", "port": self.port, "tls": tls })
    }

    /// Waits for a connection, before any byte is read.
    ///
    /// # Panics
    /// If none arrives within [`PATIENCE`].
    pub async fn accept_tcp(&self) -> TcpStream {
        let accepted = timeout(PATIENCE, self.listener.accept()).await.expect("prosed connects");
        let (stream, _) = accepted.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }

    /// Whether somebody connects within `patience`.
    pub async fn is_tried_within(&self, patience: Duration) -> bool {
        timeout(patience, self.listener.accept()).await.is_ok()
    }

    /// Waits for a connection and does the TLS handshake at once (XEP-0368).
    ///
    /// # Errors
    /// If the client rejects the certificate, or is gone.
    pub async fn accept_direct(&self) -> Result<Peer> {
        self.secure(self.accept_tcp().await).await
    }

    /// Waits for a connection and does STARTTLS (RFC 6120 §5).
    ///
    /// # Errors
    /// If the client sends something else, or is gone.
    pub async fn accept_starttls(&self) -> Result<Peer> {
        self.accept_starttls_saying("").await
    }

    /// The same, with more plain text right after agreeing to TLS.
    ///
    /// # Errors
    /// As for [`Hostile::accept_starttls`].
    pub async fn accept_starttls_saying(&self, more: &str) -> Result<Peer> {
        let mut stream = self.accept_tcp().await;
        let (reader, mut writer) = stream.split();
        let mut reader = XmlStream::new(reader);
        reader.header("to").await?;
        let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                        </stream:features>";
        writer.write_all(format!("{}{features}", header("plain")).as_bytes()).await?;
        let asked = reader.expect().await?;
        if !asked.is("starttls", "urn:ietf:params:xml:ns:xmpp-tls") {
            return Err(Error::other(xml::print(&asked)));
        }
        writer
            .write_all(format!("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{more}").as_bytes())
            .await?;
        self.secure(stream).await
    }

    /// Waits for a connection that becomes a bound session of `name`: STARTTLS, SASL, bind.
    ///
    /// # Panics
    /// If the client does not get that far.
    pub async fn accept_session(&self, name: &str, password: &str) -> Peer {
        self.accept_session_with(name, password, "").await
    }

    /// The same, with stream features in addition to bind, for example [`ROSTER_VERSIONING`].
    ///
    /// # Panics
    /// If the client does not get that far.
    pub async fn accept_session_with(&self, name: &str, password: &str, features: &str) -> Peer {
        self.accept_session_by(&Sasl::new(name, password), features).await
    }

    /// The same, with this SASL configuration.
    ///
    /// # Panics
    /// If the client does not get that far.
    pub async fn accept_session_by(&self, sasl: &Sasl, features: &str) -> Peer {
        let mut peer = self.accept_starttls().await.expect("STARTTLS");
        peer.authenticate(sasl).await.expect("the client authenticates");
        peer.bind_with(&format!("{}@{DOMAIN}", sasl.name), features).await.expect("the client binds");
        peer
    }

    async fn secure(&self, stream: TcpStream) -> Result<Peer> {
        let tls = TlsAcceptor::from(self.certificates.server_config()).accept(stream).await?;
        // RFC 9266 §2.
        let exporter =
            tls.get_ref().1.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(&[]));
        let exporter = exporter.map_err(Error::other)?;
        let (reader, writer) = split(tls);
        Ok(Peer { reader: XmlStream::new(reader), writer, heard: String::new(), exporter, goes_on: false })
    }
}

/// A client after TLS, step by step.
pub struct Peer {
    reader: XmlStream<ReadHalf<Tls>>,
    writer: WriteHalf<Tls>,
    heard: String,
    /// What binds a login to this connection.
    exporter: Vec<u8>,
    /// The stream goes on after the login, with features (XEP-0388 §2.6.1).
    goes_on: bool,
}

impl Peer {
    /// All elements that the client has sent, as XML.
    pub fn heard(&self) -> &str {
        &self.heard
    }

    /// Sends any bytes.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn send(&mut self, text: &str) -> Result<()> {
        self.writer.write_all(text.as_bytes()).await?;
        self.writer.flush().await
    }

    /// The next element from the client; none if it closed the stream.
    ///
    /// # Errors
    /// If the client is gone, or sends nothing within [`PATIENCE`].
    pub async fn next(&mut self) -> Result<Option<Element>> {
        let next = timeout(PATIENCE, self.reader.next()).await??;
        self.heard.extend(next.iter().map(xml::print));
        Ok(next)
    }

    /// The next element; the end is an error.
    ///
    /// # Errors
    /// As for [`Peer::next`].
    pub async fn expect(&mut self) -> Result<Element> {
        self.next().await?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// Waits for the client's stream header, and answers with ours and these features.
    ///
    /// # Errors
    /// As for [`Peer::next`].
    pub async fn open(&mut self, features: &str) -> Result<()> {
        timeout(PATIENCE, self.reader.header("to")).await??;
        self.send(&format!("{}<stream:features>{features}</stream:features>", header("hostile"))).await
    }

    /// Opens the stream, and authenticates the client according to `sasl`; the stream must then be restarted, or go on
    /// with features ([`Peer::bind`] does so).
    ///
    /// # Errors
    /// If the client gives up, or proves not to know the password.
    pub async fn authenticate(&mut self, sasl: &Sasl) -> Result<()> {
        self.open(&sasl.offer()).await?;
        scram::run(self, sasl).await?;
        self.goes_on = sasl.sasl2.is_some();
        if !self.goes_on {
            self.restart();
        }
        Ok(())
    }

    /// `tls-exporter` of this connection, or of another one.
    fn exporter(&self, of_another: bool) -> Vec<u8> {
        let mut exporter = self.exporter.clone();
        exporter[0] ^= u8::from(of_another);
        exporter
    }

    /// The client restarts its stream.
    pub fn restart(&mut self) {
        self.reader.restart();
    }

    /// Opens the authenticated stream and binds the client to a resource of `jid`; returns the full JID. Neither
    /// stream management nor roster versioning is offered.
    ///
    /// # Errors
    /// If the client requests something else.
    pub async fn bind(&mut self, jid: &str) -> Result<String> {
        self.bind_with(jid, "").await
    }

    /// The same, with more stream features.
    ///
    /// # Errors
    /// As [`Peer::bind`].
    pub async fn bind_with(&mut self, jid: &str, features: &str) -> Result<String> {
        let features = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>{features}");
        match self.goes_on {
            true => self.send(&format!("<stream:features>{features}</stream:features>")).await?,
            false => self.open(&features).await?,
        }
        let asked = self.expect().await?;
        let bind = find(&asked, "bind", "urn:ietf:params:xml:ns:xmpp-bind");
        let bind = bind.ok_or_else(|| Error::other(xml::print(&asked)))?;
        let resource = find(bind, "resource", "urn:ietf:params:xml:ns:xmpp-bind").map(Element::text);
        let full_jid =
            format!("{jid}/{}", resource.filter(|name| !name.is_empty()).unwrap_or_else(|| "hostile".into()));
        let (id, bound) = (escape(asked.attr("id").unwrap_or_default()), escape(&full_jid));
        self.send(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{bound}</jid></bind></iq>"
        ))
        .await?;
        Ok(full_jid)
    }

    /// Keeps reading in the background and answers requests: with the payload from `answer`, else with an empty
    /// roster, an empty result (carbons), or `service-unavailable`.
    pub fn serve(self, mut answer: impl FnMut(&Element) -> Option<String> + Send + 'static) -> Served {
        self.listen(move |stanza| reply(stanza, &mut answer))
    }

    /// Keeps reading in the background, and sends only what `answer` returns for each stanza.
    pub fn listen(self, mut answer: impl FnMut(&Element) -> Option<String> + Send + 'static) -> Served {
        let Self { mut reader, writer, .. } = self;
        let inbox = Inbox::new(xml::print);
        let writer = Arc::new(Mutex::new(writer));
        let (received, answers) = (inbox.clone(), writer.clone());
        let reader = tokio::spawn(async move {
            while let Ok(Some(stanza)) = reader.next().await {
                let text = answer(&stanza);
                received.push(stanza);
                if let Some(text) = text
                    && send(&answers, &text).await.is_err()
                {
                    break;
                }
            }
            // Like a server that receives the client's `</stream:stream>`: a client may wait for it.
            let _gone = send(&answers, "</stream:stream>").await;
            let _gone = answers.lock().await.shutdown().await;
            received.close();
        });
        Served { inbox, writer, reader }
    }

    /// Whether the client has closed the connection, within `patience`.
    pub async fn is_closed_within(self, patience: Duration) -> bool {
        let mut reader = self.reader.into_inner();
        let drain = async {
            let mut chunk = [0; 1024];
            while reader.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
        };
        timeout(patience, drain).await.is_ok()
    }
}

/// A bound client that is served in the background, while the test sends anything.
#[derive(Debug)]
pub struct Served {
    inbox: Inbox<Element>,
    writer: Arc<Mutex<WriteHalf<Tls>>>,
    reader: JoinHandle<()>,
}

impl Served {
    /// Sends any bytes.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn send(&self, text: &str) -> Result<()> {
        send(&self.writer, text).await
    }

    /// Waits for a matching stanza from the client.
    ///
    /// # Panics
    /// If none arrives within [`PATIENCE`].
    pub async fn wait_for(&self, what: &str, fits: impl FnMut(&Element) -> bool) -> Element {
        self.inbox.expect(PATIENCE, what, fits).await
    }

    /// The same; none if nothing matches within `patience`.
    pub async fn wait_within(
        &self,
        patience: Duration,
        fits: impl FnMut(&Element) -> bool,
    ) -> Option<Element> {
        self.inbox.wait(patience, fits).await
    }

    /// All stanzas received so far.
    pub fn received(&self) -> Vec<Element> {
        self.inbox.all()
    }

    /// Drops everything received so far.
    pub fn forget_received(&self) {
        self.inbox.clear();
    }

    /// Sends a ping and waits for the answer: everything sent before has been handled.
    ///
    /// # Panics
    /// If no answer arrives.
    pub async fn ping(&self) {
        let id = format!("ping{:x}", rand::random::<u64>());
        self.send(&format!("<iq type='get' id='{id}' from='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>"))
            .await
            .expect("the client is there");
        self.wait_for("the answer to a ping", |stanza| stanza.attr("id") == Some(&id)).await;
    }

    /// Waits until the client has ended the stream, or the connection.
    pub async fn closed(&self) {
        self.inbox.closed(PATIENCE).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Nested elements, `depth` deep, 7 bytes each: harmless to send, deadly to parse by recursion.
pub fn nested(depth: usize) -> String {
    format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))
}

async fn send(writer: &Mutex<WriteHalf<Tls>>, text: &str) -> Result<()> {
    let mut writer = writer.lock().await;
    writer.write_all(text.as_bytes()).await?;
    writer.flush().await
}

fn header(id: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' from='{DOMAIN}' id='{id}' version='1.0'>"
    )
}

/// The answer to a request, from its addressee.
pub fn result_of(request: &Element, payload: &str) -> String {
    let id = escape(request.attr("id").unwrap_or_default());
    let from = request.attr("to").map(|to| format!(" from='{}'", escape(to))).unwrap_or_default();
    format!("<iq type='result' id='{id}'{from}>{payload}</iq>")
}

fn reply(stanza: &Element, answer: &mut impl FnMut(&Element) -> Option<String>) -> Option<String> {
    if stanza.name() != "iq" || !matches!(stanza.attr("type"), Some("get" | "set")) {
        return None;
    }
    let asked = stanza.children().next()?;
    let payload = answer(stanza).or_else(|| match asked.ns().as_str() {
        "jabber:iq:roster" => Some("<query xmlns='jabber:iq:roster'/>".to_owned()),
        "urn:xmpp:carbons:2" | "urn:xmpp:ping" => Some(String::new()),
        _ => None,
    });
    let id = escape(stanza.attr("id").unwrap_or_default());
    let from = stanza.attr("to").map(|to| format!(" from='{}'", escape(to))).unwrap_or_default();
    Some(match payload {
        Some(payload) => result_of(stanza, &payload),
        None => format!(
            "<iq type='error' id='{id}'{from}><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ),
    })
}
