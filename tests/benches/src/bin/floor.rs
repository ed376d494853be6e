//! What the server and TLS alone cost a client: a blocking socket and a tag scanner that builds no tree. It does what
//! every client here does, with as little work as possible.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::Parser;
use prosed_benches::outcome::{Ages, Outcome};
use prosed_benches::play::{CLIENT, Level, Play, ROSTER_VERSION, client_disco, client_hash, number};
use prosed_benches::scan::{Found, Scanner, attribute, from_tag, has};
use prosed_tests::certificates::client_config;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

/// Avatar requests in flight, as in every client here.
const IN_FLIGHT: usize = 16;

#[derive(Debug, Parser)]
struct Arguments {
    /// The CA of the server's certificate
    #[arg(long)]
    ca: PathBuf,
    #[arg(long)]
    port: u16,
    #[arg(long, default_value = prosed_benches::play::DOMAIN)]
    domain: String,
    /// The account; its name is that of the play
    #[arg(long)]
    account: String,
    #[arg(long, default_value = "x")]
    password: String,
    /// The play, if it differs from the account's name
    #[arg(long)]
    play: Option<String>,
    /// The roster and all avatars are known already
    #[arg(long)]
    warm: bool,
    /// Print the age of stamped changes of presence, for this many seconds, in place of the run's figures
    #[arg(long)]
    listen: Option<u64>,
}

struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    scanner: Scanner,
    buffer: Vec<u8>,
    out: String,
    domain: String,
}

impl Client {
    fn connect(arguments: &Arguments) -> io::Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", arguments.port))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(arguments.domain.clone()).map_err(io::Error::other)?;
        let tls = ClientConnection::new(client_config(&arguments.ca), name).map_err(io::Error::other)?;
        let stream = StreamOwned::new(tls, tcp);
        let domain = arguments.domain.clone();
        Ok(Self { stream, scanner: Scanner::default(), buffer: Vec::new(), out: String::new(), domain })
    }

    /// The next stanza, copied out of the buffer. Pending output is sent before waiting for more.
    fn next(&mut self, stanza: &mut Vec<u8>) -> io::Result<()> {
        loop {
            match self.scanner.next(&self.buffer) {
                Some(Found::Stanza(end)) => {
                    stanza.clear();
                    stanza.extend(self.buffer.drain(..end));
                    return Ok(());
                }
                Some(Found::Header(end)) => drop(self.buffer.drain(..end)),
                Some(Found::End(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => self.more()?,
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        self.flush()?;
        let held = self.buffer.len();
        self.buffer.resize(held + 64 * 1024, 0);
        let read = self.stream.read(&mut self.buffer[held..])?;
        self.buffer.truncate(held + read);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(self.out.as_bytes())?;
        self.stream.flush()?;
        self.out.clear();
        Ok(())
    }

    /// Measures the age of stamped presences when they are read.
    fn listen(&mut self, time: Duration) -> io::Result<Ages> {
        let (end, mut ages, mut stanza) = (Instant::now() + time, Ages::default(), Vec::new());
        while Instant::now() < end {
            self.next(&mut stanza)?;
            let status = from_tag(&stanza, "<status>").and_then(|rest| {
                std::str::from_utf8(rest.strip_prefix(b"<status>")?.split(|byte| *byte == b'<').next()?).ok()
            });
            ages.note(status.unwrap_or_default());
        }
        Ok(ages)
    }

    fn open(&mut self) {
        self.scanner.restart();
        let domain = &self.domain;
        self.out.push_str(&format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
             to='{domain}' version='1.0'>"
        ));
    }

    fn log_in(&mut self, arguments: &Arguments) -> io::Result<()> {
        let mut stanza = Vec::new();
        self.open();
        self.next(&mut stanza)?;
        let message = format!("\0{}\0{}", arguments.account, arguments.password);
        self.out.push_str(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{}</auth>",
            BASE64_STANDARD.encode(message)
        ));
        self.next(&mut stanza)?;
        if !has(&stanza, "<success") {
            return Err(io::Error::other(String::from_utf8_lossy(&stanza).into_owned()));
        }
        self.open();
        self.next(&mut stanza)?;
        self.out.push_str("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        self.next(&mut stanza)
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let play =
        Play::parse(arguments.play.as_deref().unwrap_or(&arguments.account)).map_err(io::Error::other)?;
    let begun = Instant::now();
    let mut client = Client::connect(&arguments)?;
    client.log_in(&arguments)?;
    let version = if arguments.warm { ROSTER_VERSION } else { "" };
    client.out.push_str(&format!(
        "<iq type='get' id='roster'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"
    ));
    let told = if play.level == Level::B { play.contacts } else { 0 };
    let mut wanted = if arguments.warm { 0 } else { told };
    let mut roster = None;
    let (mut waiting, mut in_flight): (Vec<(String, String)>, _) = (Vec::new(), 0);
    let (mut online, mut vcards, mut asked_caps) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut images = HashSet::new();
    let mut stanza = Vec::new();
    while roster.is_none() || online.len() < play.online() || vcards.len() < told || wanted > 0 {
        client.next(&mut stanza)?;
        let from = attribute(&stanza, "from").unwrap_or_default();
        if stanza.starts_with(b"<iq") {
            let id = attribute(&stanza, "id").unwrap_or_default();
            if id == "roster" {
                roster = Some(begun.elapsed());
                client.out.push_str(&format!(
                    "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{CLIENT}' \
                     ver='{}'/></presence>",
                    client_hash()
                ));
            } else if has(&stanza, "<data ") {
                (wanted, in_flight) = (wanted - 1, in_flight - 1);
            } else if attribute(&stanza, "type") == Some("get") {
                let node = from_tag(&stanza, "<query").and_then(|query| attribute(query, "node"));
                let answer = client_disco(node);
                client.out.push_str(&format!("<iq type='result' id='{id}' to='{from}'>{answer}</iq>"));
            }
        } else if stanza.starts_with(b"<presence") {
            online.extend(number(from));
            if let Some(caps) = from_tag(&stanza, "<c ")
                && let (Some(node), Some(ver)) = (attribute(caps, "node"), attribute(caps, "ver"))
                && asked_caps.insert(ver.to_owned())
            {
                client.out.push_str(&format!(
                    "<iq type='get' id='disco' to='{from}'>\
                     <query xmlns='http://jabber.org/protocol/disco#info' node='{node}#{ver}'/></iq>"
                ));
            }
        } else if stanza.starts_with(b"<r ") {
            client.out.push_str("<a xmlns='urn:xmpp:sm:3' h='0'/>");
        } else if let Some(info) = from_tag(&stanza, "<info") {
            let id = attribute(info, "id").unwrap_or_default();
            if wanted > 0 && images.insert(id.to_owned()) {
                waiting.push((from.to_owned(), id.to_owned()));
            }
        } else if has(&stanza, "<vcard ") {
            vcards.extend(number(from));
        }
        while in_flight < IN_FLIGHT
            && let Some((from, id)) = waiting.pop()
        {
            in_flight += 1;
            client.out.push_str(&format!(
                "<iq type='get' id='a' to='{from}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
                 <items node='urn:xmpp:avatar:data'><item id='{id}'/></items></pubsub></iq>"
            ));
        }
    }
    match arguments.listen {
        // At once: whatever waits in the buffer gets older.
        Some(seconds) => client.listen(Duration::from_secs(seconds))?.print(),
        None => Outcome::of_this_process(begun, roster.unwrap_or_default()).print(),
    }
    Ok(())
}
