//! A server that plays prepared bytes: see [`prosed_benches::play`]. It speaks TLS from the first byte,
//! accepts any password, and validates nothing.
//!
//! It prints a line of JSON with its address, and then one per closed connection with what was requested on it. It ends
//! when standard input does.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_benches::outcome::monotonic_ns;
use prosed_benches::play::{self, Play, Script};
use prosed_benches::scan::{Found, Scanner, attribute, from_tag, has};
use prosed_tests::certificates::Certificates;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_rustls::TlsAcceptor;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' \
    xmlns:stream='http://etherx.jabber.org/streams' from='bench.test' id='1'>";
const BEFORE_LOGIN: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
const AFTER_LOGIN: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <sm xmlns='urn:xmpp:sm:3'/><ver xmlns='urn:xmpp:features:rosterver'/></stream:features>";

/// Prepared plays by the names of their accounts.
type Scripts = Arc<Mutex<BTreeMap<String, Arc<Script>>>>;

/// Something to be sent.
enum Piece {
    Own(Vec<u8>),
    Roster(Arc<Script>),
    Presences(Arc<Script>),
    Events(Arc<Script>),
    Last(Arc<Script>),
    Avatar(Arc<Script>, usize),
    /// Repeated until the connection ends.
    Flood(Vec<u8>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) | Self::Flood(bytes) => bytes,
            Self::Roster(script) => &script.roster,
            Self::Presences(script) => &script.presences,
            Self::Events(script) => &script.events,
            Self::Last(script) => &script.last,
            Self::Avatar(script, number) => &script.avatars[*number],
        }
    }
}

/// What was requested on one connection.
#[derive(Default)]
struct Asked {
    /// How often the whole roster was sent.
    rosters: usize,
    avatars: usize,
    disco: usize,
    stanzas: u32,
    /// When the client connected, when the bind result arrives there, and when it sent its first presence, on the clock
    /// of [`monotonic_ns`].
    connected_ns: u64,
    bound_ns: u64,
    present_ns: u64,
}

#[tokio::main(worker_threads = 1)]
async fn main() -> io::Result<()> {
    let folder =
        std::env::args_os().nth(1).ok_or_else(|| io::Error::other("which folder is for certificates?"))?;
    let certificates = Certificates::create(Path::new(&folder), play::DOMAIN);
    let acceptor = TlsAcceptor::from(certificates.server_config());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", json!({ "port": listener.local_addr()?.port(), "ca": certificates.ca_pem }));
    let scripts = Scripts::default();
    let accept = async {
        loop {
            let Ok((tcp, _)) = listener.accept().await else { continue };
            let (acceptor, scripts) = (acceptor.clone(), scripts.clone());
            tokio::spawn(async move {
                // A client may disconnect uncleanly.
                let _ended = serve(tcp, acceptor, scripts).await;
            });
        }
    };
    let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        () = accept => {}
        _ = ended => {}
    }
    Ok(())
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, scripts: Scripts) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (reader, writer) = split(acceptor.accept(tcp).await?);
    let (pieces, to_send) = unbounded_channel();
    let writer = tokio::spawn(write(writer, to_send));
    let mut session = Session::new(pieces, scripts);
    let ended = read(reader, &mut session).await;
    session.report();
    drop(session);
    let _ended = writer.await;
    ended
}

/// Answers until the stream ends, cleanly or not.
async fn read(mut reader: impl AsyncReadExt + Unpin, session: &mut Session) -> io::Result<()> {
    let (mut buffer, mut scanner) = (Vec::with_capacity(64 * 1024), Scanner::default());
    while reader.read_buf(&mut buffer).await? > 0 {
        let mut used = 0;
        while let Some(found) = scanner.next(&buffer[used..]) {
            let (Found::Header(end) | Found::Stanza(end) | Found::End(end)) = found;
            let bytes = &buffer[used..used + end];
            match found {
                Found::Header(_) => session.opened(),
                Found::Stanza(_) if has(bytes, "<auth ") => {
                    session.authenticate(bytes)?;
                    scanner.restart();
                }
                Found::Stanza(_) => session.handle(bytes),
                Found::End(_) => {
                    session.say("</stream:stream>");
                    return Ok(());
                }
            }
            used += end;
        }
        buffer.drain(..used);
    }
    Ok(())
}

/// Sends pieces in order, each when it is due.
async fn write(
    mut writer: impl AsyncWriteExt + Unpin,
    mut pieces: UnboundedReceiver<(Instant, Piece)>,
) -> io::Result<()> {
    while let Some((due, piece)) = pieces.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        writer.write_all(piece.bytes()).await?;
        if let Piece::Flood(flood) = piece {
            // Other pieces are sent in between.
            loop {
                while let Ok((_, piece)) = pieces.try_recv() {
                    writer.write_all(piece.bytes()).await?;
                }
                writer.write_all(&flood).await?;
            }
        }
        if pieces.is_empty() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}

struct Session {
    pieces: UnboundedSender<(Instant, Piece)>,
    scripts: Scripts,
    /// Known once the client has authenticated.
    play: Option<(Play, Arc<Script>)>,
    is_present: bool,
    shows_caps: bool,
    asked: Asked,
}

impl Session {
    fn new(pieces: UnboundedSender<(Instant, Piece)>, scripts: Scripts) -> Self {
        let asked = Asked { connected_ns: monotonic_ns(), ..Asked::default() };
        Self { pieces, scripts, play: None, is_present: false, shows_caps: false, asked }
    }

    fn send(&self, piece: Piece) {
        let delay = self.play.as_ref().map_or(0, |(play, _)| play.delay_ms);
        // The connection has ended; the reader will notice, too.
        let _gone = self.pieces.send((Instant::now() + Duration::from_millis(delay), piece));
    }

    fn say(&self, text: &str) {
        self.send(Piece::Own(text.as_bytes().to_vec()));
    }

    fn opened(&self) {
        self.say(HEADER);
        self.say(if self.play.is_some() { AFTER_LOGIN } else { BEFORE_LOGIN });
    }

    fn authenticate(&mut self, auth: &[u8]) -> io::Result<()> {
        let text = auth.split(|byte| matches!(byte, b'<' | b'>')).nth(2).unwrap_or_default();
        let message = BASE64_STANDARD.decode(text).map_err(io::Error::other)?;
        let name = message.split(|byte| *byte == 0).nth(1).unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(io::Error::other)?;
        let play = Play::parse(name).map_err(io::Error::other)?;
        let known = self.scripts.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let script = known.unwrap_or_else(|| Arc::new(Script::prepare(&play)));
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), script.clone());
        self.play = Some((play, script));
        self.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        Ok(())
    }

    fn handle(&mut self, stanza: &[u8]) {
        let Some((play, script)) = self.play.clone() else { return };
        let stanza = stanza.trim_ascii_start();
        if stanza.starts_with(b"<iq") {
            self.asked.stanzas += 1;
            self.handle_iq(stanza, &play, script);
        } else if stanza.starts_with(b"<presence") {
            self.asked.stanzas += 1;
            if attribute(stanza, "type").is_none() {
                self.handle_presence(has(stanza, "/caps'") || has(stanza, "/caps\""), &play, script);
            }
        } else if stanza.starts_with(b"<message") {
            self.asked.stanzas += 1;
        } else if stanza.starts_with(b"<enable") {
            // Earlier stanzas are not counted (XEP-0198 §4).
            self.asked.stanzas = 0;
            self.say("<enabled xmlns='urn:xmpp:sm:3' id='1' resume='true'/>");
        } else if stanza.starts_with(b"<resume") {
            self.say("<failed xmlns='urn:xmpp:sm:3' h='0'/>");
        } else if stanza.starts_with(b"<r ") && play.acknowledges {
            self.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.asked.stanzas));
        }
    }

    /// Presences follow the client's first presence, events its first presence with caps.
    fn handle_presence(&mut self, with_caps: bool, play: &Play, script: Arc<Script>) {
        let is_first = !std::mem::replace(&mut self.is_present, true);
        let is_first_with_caps = with_caps && !std::mem::replace(&mut self.shows_caps, true);
        if is_first {
            self.asked.present_ns = monotonic_ns();
            self.send(Piece::Presences(script.clone()));
        }
        if is_first_with_caps {
            self.send(Piece::Events(script.clone()));
            self.send(Piece::Last(script));
            if let Some(flood) = play.flood {
                self.send(Piece::Flood(play::flood(play, flood).into_bytes()));
            }
            if play.presences > 0 {
                tokio::spawn(change_presences(self.pieces.clone(), play.clone()));
            }
        }
    }

    fn handle_iq(&mut self, iq: &[u8], play: &Play, script: Arc<Script>) {
        let kind = attribute(iq, "type").unwrap_or_default();
        if !matches!(kind, "get" | "set") {
            return;
        }
        let id = attribute(iq, "id").unwrap_or_default();
        let to = attribute(iq, "to");
        let from = to.map(|to| format!(" from='{to}'")).unwrap_or_default();
        let result = format!("<iq type='result' id='{id}' to='{}'{from}>", play.full_jid());
        if has(iq, "urn:ietf:params:xml:ns:xmpp-bind") {
            self.asked.bound_ns = monotonic_ns() + play.delay_ms * 1_000_000;
            let jid = play.full_jid();
            self.say(&format!(
                "{result}<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind></iq>"
            ));
        } else if has(iq, "jabber:iq:roster") && kind == "get" {
            let query = from_tag(iq, "<query").unwrap_or_default();
            if attribute(query, "ver") == Some(play::ROSTER_VERSION) {
                self.say(&(result + "</iq>"));
            } else {
                self.asked.rosters += 1;
                self.say(&result);
                self.send(Piece::Roster(script));
            }
        } else if has(iq, "urn:xmpp:carbons:2") || has(iq, "urn:xmpp:ping") {
            self.say(&(result + "</iq>"));
        } else if has(iq, "urn:xmpp:avatar:data")
            && let Some(number) = to.and_then(play::number).filter(|number| *number < script.avatars.len())
        {
            self.asked.avatars += 1;
            self.say(&result);
            self.send(Piece::Avatar(script, number));
        } else if let Some(answer) =
            from_tag(iq, "<query").and_then(|query| play::disco_answer(attribute(query, "node")?))
        {
            self.asked.disco += 1;
            self.say(&(result + &answer));
        } else {
            let error = result.replace("type='result'", "type='error'");
            self.say(&format!(
                "{error}<error type='cancel'>\
                 <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            ));
        }
    }

    fn report(&self) {
        let Some((play, _)) = &self.play else { return };
        let Asked { rosters, avatars, disco, stanzas, connected_ns, bound_ns, present_ns } = self.asked;
        println!(
            "{}",
            json!({
                "account": play.name, "rosters": rosters, "avatars": avatars, "disco": disco,
                "stanzas": stanzas, "connected_ns": connected_ns, "bound_ns": bound_ns, "present_ns": present_ns,
            })
        );
    }
}

/// Online contacts change their status without end; each status is the time at which it was sent.
async fn change_presences(pieces: UnboundedSender<(Instant, Piece)>, play: Play) {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(play.presences).unwrap_or(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    // Not the first contact: its status marks the end of the login.
    let numbers = (0..play.contacts).step_by(play::ONE_ONLINE_OF).skip(1).cycle();
    for number in numbers {
        ticks.tick().await;
        let presence = play::presence(&play, number, &monotonic_ns().to_string());
        if pieces.send((Instant::now(), Piece::Own(presence.into_bytes()))).is_err() {
            return;
        }
    }
}
