//! S4: how many round trips a login takes, from the first SYN to `login`'s answer, for each way of logging in.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prosed_tests::Daemon;
use prosed_tests::hostile::{Hostile, Peer, Sasl, Sasl2, Served, result_of};
use prosed_tests::server::DOMAIN;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::figures::{Row, Sample};
use crate::ui::Ui;

/// How long anything takes from one end to the other.
const ONE_WAY: Duration = Duration::from_millis(50);
const ROUND_TRIP: Duration = Duration::from_millis(100);

const ACCOUNT: &str = "me";
const PASSWORD: &str = "secret";
const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";

/// A way of logging in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// SCRAM as in RFC 6120, with a password that was never used before.
    Password { direct: bool },
    /// Again by token. Unless it is bound to the connection, the features come first.
    Token { bound: bool },
    /// The same, and the session is resumed along with it.
    Resumed,
}

/// S4, in round trips.
pub(crate) async fn login(times: usize) -> Vec<Row> {
    let ways = [
        ("first login: RFC 6120, SCRAM (and 2 to learn whether the salt stays), direct TLS", 10.0),
        ("the same by STARTTLS", 12.0),
        ("again: SASL2, token, bind", 6.0),
        ("the same, the server's features known", 5.0),
        ("again: SASL2, token, session resumed, the server's features known", 3.0),
    ];
    let kinds = [
        Way::Password { direct: true },
        Way::Password { direct: false },
        Way::Token { bound: false },
        Way::Token { bound: true },
        Way::Resumed,
    ];
    let mut rows = Vec::new();
    for ((what, goal), way) in ways.into_iter().zip(kinds) {
        let mut result = Sample::default();
        for _ in 0..times {
            result.add(measure(way).await.as_secs_f64() / ROUND_TRIP.as_secs_f64());
        }
        rows.push(Row {
            goal: "S4",
            what: what.to_owned(),
            figures: format!("a round trip takes {ROUND_TRIP:?}"),
            result,
            unit: "round trips",
            // Rounding up from half a trip would count one that does not exist.
            at_most: Some(goal + 0.5),
        });
    }
    rows
}

/// From the SYN of the last connection to `login`'s answer.
async fn measure(way: Way) -> Duration {
    let server = Hostile::listen().await;
    let link = Link::to(server.port).await;
    let setup = Daemon::setup().trust_ca(&server.ca_pem).environment("RUST_LOG", "info");
    let daemon = Daemon::start(setup).await;
    let mut ui = Ui::watching(&daemon).await;
    let direct = way != Way::Password { direct: false };
    let mut login = if direct {
        server.login_direct(ACCOUNT, PASSWORD)
    } else {
        server.login_starttls(ACCOUNT, PASSWORD)
    };
    login["port"] = Value::from(link.port);
    let (served, ()) = tokio::join!(first(&server, way), log_in(&mut ui, &login));
    if matches!(way, Way::Password { .. }) {
        return link.since_syn();
    }
    drop(served);
    until_offline(&mut ui).await;
    let (_served, ()) = tokio::join!(again(&server, way), log_in(&mut ui, &login));
    link.since_syn()
}

/// The session's loss is noticed.
async fn until_offline(ui: &mut Ui) {
    loop {
        ui.call("list_accounts", json!({})).await;
        if ui.seen.accounts_online == 0 {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn log_in(ui: &mut Ui, login: &Value) {
    ui.call("login", login.clone()).await;
}

/// What the server offers, and what it does along with the login.
fn sasl(way: Way, done: &str) -> Sasl {
    let sasl = Sasl::new(ACCOUNT, PASSWORD).offering(&["SCRAM-SHA-256"]);
    let mechanism = match way {
        Way::Password { .. } => return sasl,
        Way::Token { bound: false } => "HT-SHA-256-NONE",
        Way::Token { bound: true } | Way::Resumed => "HT-SHA-256-EXPR",
    };
    sasl.sasl2(Sasl2 { tokens: vec![mechanism], inline: SM, done: done.to_owned(), ..Sasl2::default() })
}

/// The first login.
async fn first(server: &Hostile, way: Way) -> Served {
    let accepted = match way {
        Way::Password { direct: false } => server.accept_starttls().await,
        _ => server.accept_direct().await,
    };
    let mut peer = accepted.expect("TLS");
    peer.authenticate(&sasl(way, "")).await.expect("a login");
    bind(peer).await
}

/// The login that follows.
async fn again(server: &Hostile, way: Way) -> Served {
    let mut peer = server.accept_direct().await.expect("TLS");
    let done = match way {
        Way::Resumed => "<resumed xmlns='urn:xmpp:sm:3' previd='session' h='0'/>",
        _ => "<failed xmlns='urn:xmpp:sm:3'/>",
    };
    peer.authenticate(&sasl(way, done)).await.expect("a login by token");
    if way == Way::Resumed { serve(peer) } else { bind(peer).await }
}

async fn bind(mut peer: Peer) -> Served {
    peer.bind_with(&format!("{ACCOUNT}@{DOMAIN}"), SM).await.expect("a request to bind");
    serve(peer)
}

fn serve(peer: Peer) -> Served {
    peer.listen(|stanza| match stanza.name() {
        "enable" => Some("<enabled xmlns='urn:xmpp:sm:3' id='session' resume='true'/>".to_owned()),
        "iq" if stanza.has_child("query", "jabber:iq:roster") => {
            Some(result_of(stanza, "<query xmlns='jabber:iq:roster'/>"))
        }
        "iq" if matches!(stanza.attr("type"), Some("get" | "set")) => Some(result_of(stanza, "")),
        _ => None,
    })
}

/// A TCP connection over a long way: a proxy that delays what passes, in each direction.
struct Link {
    port: u16,
    /// When a client last wanted to connect.
    syn: Arc<Mutex<Instant>>,
    task: JoinHandle<()>,
}

impl Link {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("a bound socket").port();
        let syn = Arc::new(Mutex::new(Instant::now()));
        let last = syn.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                // An error ends both directions, which each side notices.
                tokio::spawn(async move { pass(client, port).await });
            }
        });
        Self { port: own, syn, task }
    }

    fn since_syn(&self) -> Duration {
        self.syn.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, port: u16) -> io::Result<()> {
    let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // The kernel connects at once. What the client sends first could not have left before a round trip.
    let (up, down) = tokio::join!(
        carry(from_client, to_server, ONE_WAY + ROUND_TRIP),
        carry(from_server, to_client, ONE_WAY),
    );
    up.and(down)
}

/// `first`: how long the first bytes take.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    first: Duration,
) -> io::Result<()> {
    let (pieces, mut due) = unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut delay = first;
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            let piece = (Instant::now() + delay, chunk[..length].to_vec());
            if pieces.send(piece).is_err() {
                break;
            }
            delay = ONE_WAY;
        }
    };
    let write = async move {
        while let Some((due, bytes)) = due.recv().await {
            sleep_until(due).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::join!(read, write).1
}
