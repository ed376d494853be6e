//! The hostile server is honest where it means to be: an independent SASL client accepts it, and detects each of its
//! lies.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::certificates::{client_config, connect};
use prosed_tests::hostile::{Hostile, Lie, Sasl, nested};
use prosed_tests::server::{DOMAIN, Passwords, Setup, password};
use prosed_tests::xml::{XmlStream, find};
use prosed_tests::{Kind, Server};
use sasl::client::Mechanism;
use sasl::client::mechanisms::Scram;
use sasl::common::scram::{ScramProvider, Sha1, Sha256};
use sasl::common::{ChannelBinding, Credentials};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

struct Client {
    reader: XmlStream<ReadHalf<TlsStream<TcpStream>>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Client {
    async fn connect(hostile: &Hostile) -> Self {
        Self::over(connect(client_config(&hostile.ca_pem), DOMAIN, hostile.port).await.expect("TLS"))
    }

    fn over(stream: TlsStream<TcpStream>) -> Self {
        let (reader, writer) = split(stream);
        Self { reader: XmlStream::new(reader), writer }
    }

    async fn send(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.expect("the server is there");
        self.writer.flush().await.expect("the server is there");
    }

    async fn open(&mut self) -> minidom::Element {
        let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' to='prosed.test' version='1.0'>";
        self.send(header).await;
        self.reader.expect().await.expect("stream features")
    }

    /// Whether SCRAM succeeds, and what the client thinks of the server.
    async fn scram<S: ScramProvider>(&mut self, name: &str, password: &str) -> Result<(), String>
    where
        Scram<S>: Mechanism,
    {
        let credentials = Credentials::default()
            .with_username(name)
            .with_password(password)
            .with_channel_binding(ChannelBinding::None);
        let mut scram = Scram::<S>::from_credentials(credentials).map_err(|error| error.to_string())?;
        self.open().await;
        let first = scram.initial();
        // The sasl crate 0.5 checks the server's signature, and not whose nonce the challenge holds.
        let nonce = String::from_utf8_lossy(&first).rsplit_once("r=").expect("a nonce").1.to_owned();
        let initial = BASE64_STANDARD.encode(first);
        let mechanism = scram.name().to_owned();
        self.send(&format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{initial}</auth>")).await;
        loop {
            let said = self.reader.expect().await.expect("the next step");
            let content = BASE64_STANDARD.decode(said.text()).map_err(|error| error.to_string())?;
            match said.name() {
                "challenge" if !content.starts_with(format!("r={nonce}").as_bytes()) => {
                    return Err("a foreign nonce".to_owned());
                }
                "challenge" => {
                    let response = scram.response(&content).map_err(|error| error.to_string())?;
                    let response = BASE64_STANDARD.encode(response);
                    self.send(&format!("<response xmlns='{SASL}'>{response}</response>")).await;
                }
                "success" => return scram.success(&content).map_err(|error| error.to_string()),
                other => return Err(other.to_owned()),
            }
        }
    }
}

async fn meet(offer: Sasl, password: &str, sha1: bool) -> Result<(), String> {
    let hostile = Hostile::listen().await;
    let server = async { hostile.accept_direct().await.expect("TLS").authenticate(&offer).await };
    let client = async {
        let mut client = Client::connect(&hostile).await;
        if sha1 {
            client.scram::<Sha1>("me", password).await
        } else {
            client.scram::<Sha256>("me", password).await
        }
    };
    let (_server, client) = tokio::join!(server, client);
    client
}

#[tokio::test]
async fn an_honest_exchange_is_believed() {
    assert_eq!(meet(Sasl::new("me", "secret"), "secret", false).await, Ok(()));
    assert_eq!(meet(Sasl::new("me", "secret"), "secret", true).await, Ok(()));
}

/// The same client on the real servers: their SCRAM and ours agree, awkward password included.
#[tokio::test]
async fn real_servers_do_the_same() {
    for kind in Kind::ALL {
        let server = Server::start(Setup::new(kind).account("me").passwords(Passwords::Plain)).await;
        for sha1 in [false, true] {
            let mut client = Client::over(server.door().connect().await.expect("TLS"));
            let (name, password) = ("me", password("me"));
            let verdict = if sha1 {
                client.scram::<Sha1>(name, &password).await
            } else {
                client.scram::<Sha256>(name, &password).await
            };
            assert_eq!(verdict, Ok(()), "{kind:?}, SHA-1: {sha1}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    assert_eq!(meet(Sasl::new("me", "secret"), "guess", false).await, Err("failure".to_owned()));
}

#[tokio::test]
async fn each_lie_is_one() {
    for lie in [Lie::WrongSignature, Lie::NoSignature, Lie::NoChallenge, Lie::ForeignNonce] {
        let verdict = meet(Sasl::new("me", "secret").lying(lie), "secret", false).await;
        assert!(verdict.is_err(), "{lie:?} was believed");
        assert_ne!(verdict, Err("failure".to_owned()), "{lie:?}: the server was to lie, not to refuse");
    }
}

#[tokio::test]
async fn a_session_is_bound_and_served() {
    let hostile = Hostile::listen().await;
    let server = async {
        let mut peer = hostile.accept_direct().await.expect("TLS");
        peer.authenticate(&Sasl::new("me", "secret")).await.expect("the password fits");
        let full_jid = peer.bind("me@prosed.test").await.expect("a bind request");
        assert_eq!(full_jid, "me@prosed.test/desk");
        let served = peer.serve(|stanza| {
            find(stanza, "query", "jabber:iq:version")
                .map(|_| "<query xmlns='jabber:iq:version'/>".to_owned())
        });
        served.send(&format!("<message>{}</message>", nested(40))).await.expect("the client is there");
        served.ping().await;
        served.closed().await;
    };
    let client = async {
        let mut client = Client::connect(&hostile).await;
        client.scram::<Sha256>("me", "secret").await.expect("an honest server");
        client.reader.restart();
        client.open().await;
        let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind>";
        client.send(&format!("<iq type='set' id='b'>{bind}</iq>")).await;
        assert_eq!(client.reader.expect().await.expect("an answer").attr("type"), Some("result"));
        assert_eq!(client.reader.expect().await.expect("the message").name(), "message");
        let ping = client.reader.expect().await.expect("the ping");
        client.send(&format!("<iq type='result' id='{}'/>", ping.attr("id").expect("an id"))).await;
        for (asked, kind) in
            [("jabber:iq:version", "result"), ("jabber:iq:roster", "result"), ("unheard:of", "error")]
        {
            client.send(&format!("<iq type='get' id='q'><query xmlns='{asked}'/></iq>")).await;
            assert_eq!(client.reader.expect().await.expect("an answer").attr("type"), Some(kind), "{asked}");
        }
        client.send("</stream:stream>").await;
    };
    tokio::join!(server, client);
}
