//! A client on tokio-xmpp's `StanzaStream` and xmpp-parsers' types, used as intended. It keeps
//! everything in memory, writes nothing and notifies nobody.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::Parser;
use futures::StreamExt;
use jid::{BareJid, Jid};
use prosed_benches::outcome::Outcome;
use prosed_benches::play::{self, CLIENT, DOMAIN, Level, Play};
use tokio_xmpp::connect::{DirectTlsServerConnector, DnsConfig};
use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent};
use tokio_xmpp::xmlstream::Timeouts;
use xmpp_parsers::avatar::{Data, Metadata};
use xmpp_parsers::caps::Caps;
use xmpp_parsers::disco::DiscoInfoQuery;
use xmpp_parsers::hashes::{Algo, Hash};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::message::Message;
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;
use xmpp_parsers::presence::Presence;
use xmpp_parsers::pubsub::event::{Event as PubSubEvent, Payload};
use xmpp_parsers::pubsub::pubsub::{Item, Items, PubSub};
use xmpp_parsers::pubsub::{ItemId, NodeName};
use xmpp_parsers::roster::{Item as RosterItem, Roster};
use xmpp_parsers::stanza::Stanza;

/// Avatar requests in flight, as in every client here.
const IN_FLIGHT: usize = 16;

/// The run fails after this long without a stanza.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Parser)]
struct Arguments {
    // The authority behind the server's certificate is named by SSL_CERT_FILE.
    #[arg(long)]
    port: u16,
    /// The account; its name is that of the play
    #[arg(long)]
    account: String,
    #[arg(long, default_value = DOMAIN)]
    domain: String,
    #[arg(long, default_value = "x")]
    password: String,
    /// The play, if it differs from the account's name
    #[arg(long)]
    play: Option<String>,
}

#[derive(Default)]
struct Client {
    out: VecDeque<Stanza>,
    roster: BTreeMap<BareJid, RosterItem>,
    roster_after: Duration,
    presences: BTreeMap<Jid, Presence>,
    vcards: BTreeMap<BareJid, Element>,
    images: BTreeMap<BareJid, Vec<u8>>,
    waiting: VecDeque<(Jid, String)>,
    in_flight: usize,
    asked_caps: HashSet<String>,
    online: BTreeSet<BareJid>,
    asked_images: HashSet<String>,
}

impl Client {
    fn handle(&mut self, stanza: Stanza, begun: Instant) {
        match stanza {
            Stanza::Iq(Iq::Result { from, payload: Some(payload), .. }) => {
                self.handle_result(from, payload, begun);
            }
            Stanza::Message(message) => self.handle_message(message),
            Stanza::Presence(presence) => self.handle_presence(presence),
            Stanza::Iq(Iq::Get { from: Some(from), id, payload, .. })
                if payload.is("query", ns::DISCO_INFO) =>
            {
                let answer = play::client_disco(payload.attr("node")).parse().expect("XML");
                let payload = Some(answer);
                self.out.push_back(Iq::Result { from: None, to: Some(from), id, payload }.into());
            }
            Stanza::Iq(_) => {}
        }
        while self.in_flight < IN_FLIGHT
            && let Some((from, id)) = self.waiting.pop_front()
        {
            self.in_flight += 1;
            let mut items = Items::new(ns::AVATAR_DATA);
            items.items.push(Item { id: Some(ItemId(id)), publisher: None, payload: None });
            let number = self.images.len() + self.in_flight;
            self.out.push_back(Iq::from_get(format!("a{number}"), PubSub::Items(items)).with_to(from).into());
        }
    }

    fn handle_result(&mut self, from: Option<Jid>, payload: Element, begun: Instant) {
        if payload.is("query", ns::ROSTER) {
            let roster = Roster::try_from(payload).expect("a roster");
            self.roster = roster.items.into_iter().map(|item| (item.jid.clone(), item)).collect();
            self.roster_after = begun.elapsed();
            let mut presence = Presence::available();
            let hash = Hash::from_base64(Algo::Sha_1, &play::client_hash()).expect("base64");
            presence.payloads.push(Caps::new(CLIENT, hash).into());
            self.out.push_back(presence.into());
        } else if payload.is("pubsub", ns::PUBSUB)
            && let Ok(PubSub::Items(items)) = PubSub::try_from(payload)
            && let (Some(from), Some(item)) = (from, items.items.into_iter().next())
        {
            let data = item.payload.and_then(|payload| Data::try_from(payload).ok()).expect("an avatar");
            self.images.insert(from.into_bare(), data.data);
            self.in_flight -= 1;
        }
    }

    fn handle_message(&mut self, mut message: Message) {
        let Some(from) = message.from.take() else { return };
        let Some(event) = message.payloads.pop().and_then(|event| PubSubEvent::try_from(event).ok()) else {
            return;
        };
        let Payload::Items { node: NodeName(node), published, .. } = event.payload else { return };
        let Some(payload) = published.into_iter().next().and_then(|item| item.payload) else { return };
        if node == ns::AVATAR_METADATA {
            let metadata = Metadata::try_from(payload).expect("metadata");
            let id = metadata.infos.first().map(|info| info.id.to_hex());
            self.waiting.extend(id.filter(|id| self.asked_images.insert(id.clone())).map(|id| (from, id)));
        } else {
            self.vcards.insert(from.into_bare(), payload);
        }
    }

    fn handle_presence(&mut self, presence: Presence) {
        let Some(from) = presence.from.clone() else { return };
        self.online.insert(from.to_bare());
        let caps = presence.payloads.iter().find(|payload| payload.is("c", ns::CAPS));
        if let Some(caps) = caps.and_then(|caps| Caps::try_from(caps.clone()).ok())
            && self.asked_caps.insert(BASE64_STANDARD.encode(&caps.ver))
        {
            let node = Some(format!("{}#{}", caps.node, BASE64_STANDARD.encode(&caps.ver)));
            let query = Iq::from_get(format!("d{}", self.asked_caps.len()), DiscoInfoQuery { node });
            self.out.push_back(query.with_to(from.clone()).into());
        }
        self.presences.insert(from, presence);
    }

    fn is_done(&self, play: &Play) -> bool {
        let wanted = if play.level == Level::B { play.contacts } else { 0 };
        !self.roster_after.is_zero()
            && self.online.len() >= play.online()
            && self.images.len() == wanted
            && self.vcards.len() >= wanted
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let spelt = arguments.play.as_ref().unwrap_or(&arguments.account);
    let play = Play::parse(spelt).expect("a name that spells a play");
    let jid = format!("{}@{}", arguments.account, arguments.domain).parse().expect("a JID");
    let connector = DirectTlsServerConnector(DnsConfig::addr(&format!("127.0.0.1:{}", arguments.port)));
    let begun = Instant::now();
    let timeouts = Timeouts::tight();
    let mut stream = StanzaStream::new_c2s(connector, jid, arguments.password, timeouts, 128);
    let mut client = Client::default();
    while !client.is_done(&play) {
        // A login that the server refuses is retried without end.
        let event = tokio::time::timeout(PATIENCE, stream.next()).await.expect("something happens in time");
        match event.expect("the stream lives") {
            Event::Stanza(stanza) => client.handle(stanza, begun),
            Event::Stream(StreamEvent::Reset { .. }) => {
                let query = Roster { ver: Some(String::new()), items: Vec::new() };
                client.out.push_back(Iq::from_get("roster", query).into());
            }
            Event::Stream(_) => {}
        }
        while let Some(stanza) = client.out.pop_front() {
            stream.send(Box::new(stanza)).await;
        }
    }
    Outcome::of_this_process(begun, client.roster_after).print();
}
