use std::time::Duration;

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncWriteExt, duplex};
use tokio_xmpp::xmlstream::{
    FallibleStreamElement, ReadError, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream,
};

use super::super::pieces::Pieces;
use super::super::reader::{Reader, Received};
use super::super::stage::Stage;
use super::*;

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns:db='jabber:server:dialback' id='1' version='1.0' xml:lang='de'>";
const FEATURES: &str = "<stream:features/>";
const TIMEOUTS: Timeouts =
    Timeouts { read_timeout: Duration::from_secs(60), response_timeout: Duration::from_secs(60) };

/// Read here: whatever servers and contacts send in the course of a day.
const USUAL: &[&str] = &[
    "<iq type='result' id='a1' from='anna@prose.org' to='me@prose.org/x'/>",
    "<iq type='result' id='r'><query xmlns='jabber:iq:roster' ver='7'><item jid='anna@prose.org' name='A &amp; B' \
     subscription='both'><group>Ä</group></item></query></iq>",
    "<iq type='set' id='p'><query xmlns='jabber:iq:roster'><item jid='b@prose.org' subscription='remove'/></query></iq>",
    "<iq type='get' id='d' from='anna@prose.org/y'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq xml:lang='en' type='get' id='d'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq type='result' id='d'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'>\
     <item id='i'><data xmlns='urn:xmpp:avatar:data'>\nYXZh\ndGFy\n</data></item></items></pubsub></iq>",
    "<iq type='error' id='e' from='anna@prose.org'><query xmlns='jabber:iq:version'/><error type='cancel' by='prose.org'>\
     <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    "<iq type='error' id='e'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
     <made-up xmlns='urn:x'/></error></iq>",
    "<message from='anna@prose.org' to='me@prose.org' type='headline' id='e'><event \
     xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:vcard4'><item id='current'>\
     <vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Anna &lt;&#xe4;&#228;&gt; \"&apos;&quot;</text></fn>\
     </vcard></item></items></event></message>",
    "<message xml:lang='en' type='chat' from='anna@prose.org/y'><active xmlns='http://jabber.org/protocol/chatstates'/>\
     <delay xmlns='urn:xmpp:delay' from='prose.org' stamp='2026-01-01T00:00:00Z'/></message>",
    "<message><x:x xmlns:x='urn:x' x:a='1' a='2'><db:y/><z xmlns=''/></x:x></message>",
    "<message type='groupchat'><x xmlns='urn:x'><![CDATA[<&>]]> and more &amp; <b/> mixed</x></message>",
    "<message xmlns='jabber:client' type='normal'><x xmlns='urn:x' a=\"'\n\t'\"/></message>",
    "<presence from='anna@prose.org/y'/>",
    "<presence from='anna@prose.org/y' type='unavailable'><status>gone</status></presence>",
    "<presence from='anna@prose.org/y' id='7'><show>away</show><status>at lunch &amp; so</status><priority>-5</priority>\
     <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
    "<presence xml:lang='en'><status xml:lang=''>a</status><priority>0</priority></presence>",
    "<presence><status>in the header's language</status></presence>",
    "<presence xml:lang='fr'><status/></presence>",
];

/// Seldom, or wrong.
const UNUSUAL: &[&str] = &[
    "<message><x xmlns='urn:x'>a\r\nb</x></message>",
    "<message><x xmlns='urn:x' :a='1'/></message>",
    "<presence><show xml:lang='en'>away</show></presence>",
    "<iq type='error' id='e'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
     <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>why</text></error></iq>",
    "<iq type='error' id='e'><error type='cancel'/></iq>",
    "<iq type='error' id='e'><query xmlns='jabber:iq:version'/></iq>",
    "<iq type='get' id='none'/>",
    "<iq type='result' id='two'><a xmlns='urn:a'/><b xmlns='urn:b'/></iq>",
    "<iq type='result'/>",
    "<iq id='no type'/>",
    "<iq type='result' id='t'>text</iq>",
    "<iq type='result' id='t'> <a xmlns='urn:a'/></iq>",
    "<message type='chat'><body>hello</body></message>",
    "<message type='error'><error type='cancel'/></message>",
    "<message type='made up'/>",
    "<message from=''/>",
    "<message from='@'/>",
    "<message from='a@b' from='c@d'/>",
    "<message odd='1'/>",
    "<message><x xmlns='urn:x'>&nbsp;</x></message>",
    "<message><x xmlns='urn:x'>&#0;</x></message>",
    "<message><x xmlns='urn:x' a='1' a='2'/></message>",
    "<message><undeclared:x/></message>",
    "<message xmlns='urn:not:ours'/>",
    "<presence type='subscribe' from='anna@prose.org'/>",
    "<presence><show>online</show></presence>",
    "<presence><show/></presence>",
    "<presence><show>away</show><show>xa</show></presence>",
    "<presence><priority>300</priority></presence>",
    "<presence><priority> 5 </priority></presence>",
    "<presence><priority>1</priority><priority>1</priority></presence>",
    "<presence><status>a</status><status xml:lang='en'>b</status></presence>",
    "<presence><status>a<b/></status></presence>",
    "<presence><other/></presence>",
];

/// What XML 1.0 or Namespaces in XML forbids. All of it ends the stream.
const FORBIDDEN: &[&str] = &[
    // Characters that are none, and references to what is no character (XML 1.0 §2.2, §4.1).
    "<message><x xmlns='urn:x'>&#xD800;</x></message>",
    "<message><x xmlns='urn:x'>&#xDFFF;</x></message>",
    "<message><x xmlns='urn:x'>&#55296;</x></message>",
    "<message><x xmlns='urn:x'>&#x110000;</x></message>",
    "<message><x xmlns='urn:x'>&#1114112;</x></message>",
    "<message><x xmlns='urn:x'>&#xFFFFFFFF;</x></message>",
    "<message><x xmlns='urn:x'>&#x100000041;</x></message>",
    "<message><x xmlns='urn:x'>&#0;</x></message>",
    "<message><x xmlns='urn:x'>&#x0;</x></message>",
    "<message><x xmlns='urn:x'>&#x1F;</x></message>",
    "<message><x xmlns='urn:x'>&#xFFFE;</x></message>",
    "<message><x xmlns='urn:x'>&#xFFFF;</x></message>",
    "<message><x xmlns='urn:x'>&#;</x></message>",
    "<message><x xmlns='urn:x'>&#x;</x></message>",
    "<message><x xmlns='urn:x'>&#X41;</x></message>",
    "<message><x xmlns='urn:x'>&#+65;</x></message>",
    "<message><x xmlns='urn:x'>&#x41</x></message>",
    "<message><x xmlns='urn:x'>& </x></message>",
    "<message><x xmlns='urn:x' a='&#xD800;'/></message>",
    "<presence from='anna@prose.org/&#xD800;'/>",
    "<presence><status>&#xDFFF;</status></presence>",
    "<message><x xmlns='urn:x'>\u{1}</x></message>",
    "<message><x xmlns='urn:x'>\u{fffe}</x></message>",
    "<message><x xmlns='urn:x'>\u{ffff}</x></message>",
    "<message><x xmlns='urn:x' a='\u{b}'/></message>",
    "<message><x xmlns='urn:x' a='<'/></message>",
    "<message><x xmlns='urn:x'>]]></x></message>",
    // Entities that nobody has declared.
    "<message><x xmlns='urn:x'>&nbsp;</x></message>",
    "<message><x xmlns='urn:x' a='&x;'/></message>",
    // Attributes twice, by their expanded names (Namespaces in XML §6.3).
    "<message><x xmlns='urn:x' a='1' a='2'/></message>",
    "<message><x xmlns='urn:x' xmlns:a='urn:y' xmlns:b='urn:y' a:c='1' b:c='2'/></message>",
    "<message><x xmlns='urn:x' xmlns='urn:x'/></message>",
    "<message><x xmlns='urn:x' xmlns='urn:y'/></message>",
    "<message xmlns='urn:y' xmlns='jabber:client'/>",
    "<message><x xmlns='urn:x' xmlns:a='urn:y' xmlns:a='urn:y'/></message>",
    // Prefixes that are not declared, or not to be declared (§3, §5).
    "<message><undeclared:x/></message>",
    "<message><x xmlns='urn:x' undeclared:a='1'/></message>",
    "<message><a:x xmlns:a='urn:a'/><a:y/></message>",
    "<message><x xmlns='urn:x' xmlns:a=''/></message>",
    "<message><x xmlns='urn:x' xmlns:=''/></message>",
    "<message><x xmlns='urn:x' xmlns:='urn:y'/></message>",
    "<message><x xmlns='urn:x'><:y/></x></message>",
    "<message><x xmlns='urn:x'><y:/></x></message>",
    "<message><x xmlns='urn:x' xmlns:a='urn:y'><a:b:c/></x></message>",
    "<message><x xmlns='http://www.w3.org/2000/xmlns/'/></message>",
    "<message><x xmlns='http://www.w3.org/2000/xmlns&#47;'/></message>",
    "<message><x xmlns='urn:x' xmlns:a='http://www.w3.org/2000/xmlns/'/></message>",
    "<message><x xmlns='urn:x' xmlns:a='http://www.w3.org/2000/xmlns/' a:b='1'/></message>",
    "<message><x xmlns='urn:x' xmlns:xmlns='http://www.w3.org/2000/xmlns/'/></message>",
    "<message><x xmlns='urn:x' xmlns:xmlns='urn:y'/></message>",
    "<message><x xmlns='urn:x' xmlns:xml='urn:y'/></message>",
    "<message><x xmlns='urn:x' xmlns:a='http://www.w3.org/XML/1998/namespace'/></message>",
    "<message><x xmlns='http://www.w3.org/XML/1998/namespace'/></message>",
    "<message><xmlns:x/></message>",
    "<message><1 xmlns='urn:x'/></message>",
    "<message><x xmlns='urn:x' 1='1'/></message>",
    "<message><x xmlns='urn:x' a='1'b='2'/></message>",
    "<message><x xmlns='urn:x'></y></message>",
];

/// What looks like that and is allowed.
const ALLOWED: &[&str] = &[
    "<message><x xmlns='urn:x'>&#xD7FF;&#xE000;&#xFFFD;&#x10FFFF;&#9;&#0065;</x></message>",
    "<message><x xmlns='urn:x'><![CDATA[&#xD800;&nbsp;&]]></x></message>",
    "<message><x xmlns='urn:x' xmlns:a='urn:y' xmlns:b='urn:z' a:c='1' b:c='2' c='3'/></message>",
    "<message><x xmlns='urn:x' xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en'/></message>",
    "<message><x xmlns='urn:x'><y xmlns=''/><y xmlns='urn:x'/></x></message>",
    "<message><x xmlns='urn:x' a='http://www.w3.org/2000/xmlns/'/></message>",
    "<message><x xmlns='urn:x' a='&#10;&#9;'/></message>",
];

/// Where it is usual.
fn ours(stanza: &[u8]) -> Option<Stanza> {
    Parser::default().stanza(HEADER.as_bytes(), stanza)
}

/// Whatever is malformed in it, byte by byte.
fn lenient(stanza: &[u8]) -> Option<Stanza> {
    let mut pieces = Pieces::new(HEADER.as_bytes())?;
    stanza.iter().try_for_each(|byte| pieces.read(&[*byte]))?;
    pieces.stanza()
}

/// What the stream makes of it.
async fn read(stanza: &[u8]) -> Option<Stanza> {
    let stream = [HEADER.as_bytes(), stanza, FOOTER.as_bytes()].concat();
    let mut reader = Reader::new(stream.as_slice(), Stage::Session);
    reader.next().await.ok()?;
    match reader.next().await.ok()? {
        Received::Stanza(stanza) => stanza.map(|stanza| *stanza),
        _ => None,
    }
}

/// What tokio-xmpp makes of it.
async fn theirs(stanza: &[u8]) -> Option<Stanza> {
    let (us, mut server) = duplex(1 << 16);
    let us = tokio::io::BufReader::new(us);
    server
        .write_all(&[HEADER.as_bytes(), FEATURES.as_bytes(), stanza, FOOTER.as_bytes()].concat())
        .await
        .ok()?;
    let begun = initiate_stream(us, ns::JABBER_CLIENT, StreamHeader::default(), TIMEOUTS);
    let (_, mut stream): (_, XmppStream<_>) = begun.await.ok()?.recv_features().await.ok()?;
    drop(server);
    match stream.next().await {
        Some(Ok(FallibleStreamElement::Ok(XmppStreamElement::Stanza(stanza)))) => Some(stanza),
        Some(Ok(_) | Err(ReadError::HardError(_) | ReadError::ParseError(_))) | None => None,
        Some(Err(error)) => panic!("{error:?}"),
    }
}

/// Text in one piece, as both of us mean it.
fn in_one_piece(stanza: Stanza) -> Stanza {
    fn element(whole: &Element) -> Element {
        let mut out = Element::bare(whole.name(), whole.ns());
        for ((namespace, name), value) in whole.attrs() {
            out.set_attr(namespace.clone(), name.clone(), value.clone());
        }
        for node in whole.nodes() {
            match node {
                minidom::Node::Element(child) => drop(out.append_child(element(child))),
                minidom::Node::Text(text) if text.is_empty() => {}
                minidom::Node::Text(text) => out.append_text(text.clone()),
            }
        }
        out
    }
    match stanza {
        Stanza::Iq(Iq::Get { from, to, id, payload }) => {
            Iq::Get { from, to, id, payload: element(&payload) }.into()
        }
        Stanza::Iq(Iq::Set { from, to, id, payload }) => {
            Iq::Set { from, to, id, payload: element(&payload) }.into()
        }
        Stanza::Iq(Iq::Result { from, to, id, payload }) => {
            Iq::Result { from, to, id, payload: payload.as_ref().map(element) }.into()
        }
        Stanza::Iq(Iq::Error { from, to, id, mut error, payload }) => {
            error.other = error.other.as_ref().map(element);
            Iq::Error { from, to, id, error, payload: payload.as_ref().map(element) }.into()
        }
        Stanza::Message(mut message) => {
            message.payloads = message.payloads.iter().map(element).collect();
            message.into()
        }
        Stanza::Presence(mut presence) => {
            presence.payloads = presence.payloads.iter().map(element).collect();
            presence.into()
        }
    }
}

async fn compare(stanza: &[u8]) -> bool {
    let Some(ours) = ours(stanza) else { return false };
    let theirs = theirs(stanza).await;
    assert_eq!(Some(in_one_piece(ours)), theirs.map(in_one_piece), "{}", String::from_utf8_lossy(stanza));
    true
}

#[tokio::test]
async fn the_usual_is_read_as_tokio_xmpp_reads_it() {
    for stanza in USUAL {
        assert!(compare(stanza.as_bytes()).await, "not read: {stanza}");
    }
}

#[tokio::test]
async fn the_unusual_is_not_read_as_if_it_were_usual() {
    for stanza in UNUSUAL {
        assert_eq!(ours(stanza.as_bytes()), None, "{stanza}");
    }
    assert_eq!(ours(b"<message id='\xff'/>"), None);
    let beneath = |header: &str| Parser::default().stanza(header.as_bytes(), USUAL[0].as_bytes());
    assert_eq!(beneath(""), None);
    assert_eq!(beneath(&HEADER.replace("xmlns='jabber:client'", "xmlns='urn:not:ours'")), None);
}

#[tokio::test]
async fn one_bad_child_spoils_only_itself() {
    for stanza in [
        "<presence from='anna@prose.org/y'><show/><status>s</status><status xml:lang='en'>t</status></presence>",
        "<presence from='anna@prose.org/y'><priority>5225</priority><show>xa</show></presence>",
        "<presence from='anna@prose.org/y' to='@' odd='1'><show>away</show><show>xa</show></presence>",
        "<message from='anna@prose.org' type='made up'><thread><b/></thread><x xmlns='urn:x'/></message>",
        "<iq type='error' id='e'><error type='cancel'/></iq>",
        "<iq type='result' id='two'><a xmlns='urn:a'/><b xmlns='urn:b'/></iq>",
        // What the faster parser does not even begin with.
        "<presence from='anna@prose.org/y'><show/><status>hello :)</status></presence>",
        "<presence from='anna@prose.org/y'><show/><status>a\r\nb</status></presence>",
    ] {
        let read = lenient(stanza.as_bytes());
        assert!(read.is_some(), "{stanza}");
        assert_eq!(self::read(stanza.as_bytes()).await.map(in_one_piece), read.map(in_one_piece), "{stanza}");
    }
}

#[tokio::test]
async fn what_xml_forbids_is_read_by_neither() {
    for stanza in FORBIDDEN {
        if is_one_unit(stanza.as_bytes()) {
            assert_eq!(ours(stanza.as_bytes()), None, "{stanza}");
            assert_eq!(lenient(stanza.as_bytes()), None, "{stanza}");
        }
        assert_eq!(read(stanza.as_bytes()).await, None, "{stanza}");
    }
    for stanza in ALLOWED {
        assert!(read(stanza.as_bytes()).await.is_some(), "{stanza}");
        compare(stanza.as_bytes()).await;
    }
}

#[test]
fn what_would_take_long_is_read_in_pieces() {
    let with = |payloads: usize| format!("<message>{}</message>", "<x xmlns='urn:x'/>".repeat(payloads));
    assert!(ours(with(MAX_DECLARATIONS).as_bytes()).is_some());
    assert!(ours(with(MAX_DECLARATIONS + 1).as_bytes()).is_none());
    let long = |text: usize| format!("<message><x xmlns='urn:x'>{}</x></message>", "=".repeat(text));
    assert!(ours(long(MAX_BYTES - 100).as_bytes()).is_some());
    assert!(ours(long(MAX_BYTES).as_bytes()).is_none());
}

#[tokio::test]
async fn what_is_damaged_is_read_as_tokio_xmpp_reads_it_or_not_at_all() {
    const PIECES: &[&str] = &[
        "<",
        ">",
        "/",
        "'",
        "\"",
        "=",
        "&",
        ";",
        " ",
        "\t",
        ":",
        "]]>",
        "<![CDATA[",
        "xmlns",
        "xml:lang='en'",
        "xmlns='urn:x'",
        "xmlns:x='urn:y'",
        "<x/>",
        "</x>",
        "&#1;",
        "&#x10FFFF;",
        "&#0;",
        "&#xD800;",
        "&#xDFFF;",
        "&#xFFFE;",
        "&#x110000;",
        "&#xFFFFFFFF;",
        "&",
        "#",
        " xmlns=''",
        " xmlns:x=''",
        " xmlns='http://www.w3.org/2000/xmlns/'",
        " xmlns:x='http://www.w3.org/2000/xmlns/'",
        " xmlns:xml='urn:x'",
        " xmlns:y='http://www.w3.org/XML/1998/namespace'",
        " x:a='1'",
        " y:a='1'",
        "\u{fffe}",
        "\u{1}",
        "é",
        "id='1'",
        "-1",
        "<show>xa</show>",
    ];
    let mut rng = StdRng::seed_from_u64(6);
    let mut read = 0;
    let all = [USUAL, UNUSUAL, FORBIDDEN, ALLOWED].concat();
    for round in 0..20_000 {
        let mut stanza = all[round % all.len()].to_owned();
        for _ in 0..rng.random_range(1..4) {
            let places: Vec<usize> = stanza.char_indices().map(|(at, _)| at).collect();
            let from = places[rng.random_range(0..places.len())];
            let to = places.iter().copied().find(|&at| at >= from + rng.random_range(0..3)).unwrap_or(from);
            let piece = match rng.random_range(0..10) {
                0..6 => PIECES[rng.random_range(0..PIECES.len())],
                // Some of another stanza.
                6..8 => {
                    let other = all[rng.random_range(0..all.len())];
                    let places: Vec<usize> = other.char_indices().map(|(at, _)| at).collect();
                    let [a, b] = [(); 2].map(|()| places[rng.random_range(0..places.len())]);
                    &other[a.min(b)..a.max(b)]
                }
                _ => "",
            };
            stanza.replace_range(from..to, piece);
            if stanza.is_empty() {
                break;
            }
        }
        // If not one unit, to the reader it would be something else.
        if is_one_unit(stanza.as_bytes()) && compare(stanza.as_bytes()).await {
            read += 1;
        }
    }
    assert!(read > 300, "only {read} were read at all");
}

fn is_one_unit(stanza: &[u8]) -> bool {
    use super::super::scanner::{Found, Scanner};
    let mut scanner = Scanner::new(Stage::Session);
    scanner.scan(HEADER.as_bytes());
    matches!(scanner.scan(stanza), (read, Found::Unit(unit)) if read == stanza.len() && unit.offence.is_none())
}
