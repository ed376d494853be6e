use std::fmt::Write as _;

use super::super::limits::{
    LOGIN_DEPTH, LOGIN_ELEMENTS, LOGIN_SIZE, MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_ELEMENTS_OF_OTHERS,
    MAX_STANZA, MAX_TEXT, MAX_TOKEN,
};
use std::pin::Pin;

use tokio::io::ReadBuf;

use super::super::oracle::element;
use super::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='a>b' version='1.0'>";
const NEXT: &str = "<message id='next'><body>hello</body></message>";

/// Gives out the chunks one read at a time.
struct Chunks(std::collections::VecDeque<io::Cursor<Vec<u8>>>);

impl Chunks {
    fn new<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty());
        Self(chunks.map(|chunk| io::Cursor::new(chunk.to_vec())).collect())
    }
}

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(chunk) = self.0.front_mut() else { return Poll::Ready(Ok(())) };
        let read = Pin::new(&mut *chunk).poll_read(cx, into);
        if usize::try_from(chunk.position()).unwrap() == chunk.get_ref().len() {
            self.0.pop_front();
        }
        read
    }
}

/// What comes of a stream, and why it ends.
struct Outcome {
    received: Vec<Received>,
    end: io::ErrorKind,
}

/// Reads all that comes on a connection at this stage.
fn read_at<'a>(stage: Stage, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Outcome, Reader<Chunks>) {
    let mut reader = Reader::new(Chunks::new(chunks), stage);
    let mut received = Vec::new();
    let end = loop {
        match futures::executor::block_on(reader.next()) {
            Ok(Received::End) => {
                received.push(Received::End);
                break io::ErrorKind::UnexpectedEof;
            }
            Ok(came) => received.push(came),
            Err(error) => break error.kind(),
        }
    };
    (Outcome { received, end }, reader)
}

/// The same of a session.
fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> io::Result<Vec<Received>> {
    let (outcome, _) = read_at(Stage::Session, chunks);
    // Few tests close the stream that they open.
    if outcome.end != io::ErrorKind::UnexpectedEof {
        return Err(outcome.end.into());
    }
    Ok(outcome.received)
}

/// Fed at once, in two pieces cut anywhere near its ends, and in small pieces.
fn filter(stream: &str) -> Vec<Received> {
    let stream = stream.as_bytes();
    let whole = run([stream]).unwrap();
    // Each place in what is small; a few in what is big.
    let (step, pieces) = if stream.len() < 1 << 15 { (1, 30_000) } else { (133, 3_000) };
    let cuts = (0..stream.len()).filter(|cut| *cut < 400 || stream.len() - cut < 400);
    for cut in cuts.step_by(step) {
        assert!(run([&stream[..cut], &stream[cut..]]).unwrap() == whole, "cut at {cut}");
    }
    for size in [1, 2, 7, 1000] {
        if stream.len() / size < pieces {
            assert!(run(stream.chunks(size)).unwrap() == whole, "in pieces of {size}");
        }
    }
    whole
}

/// What one stanza is by itself, whatever it may be too large for.
fn plain(stanza: &str) -> Received {
    Received::Stanza(Some(Box::new(read_stanza(element(HEADER, stanza.as_bytes()).unwrap()).unwrap())))
}

/// What becomes of one stanza in a stream that goes on behind it.
fn becomes(stanza: &str) -> Received {
    let mut came = filter(&format!("{HEADER}{stanza}{NEXT}"));
    assert_eq!(came.len(), 3, "{:.300}", format!("{came:?}"));
    assert!(came[0] == Received::Header && came[2] == plain(NEXT));
    came.remove(1)
}

#[track_caller]
fn passes(stanza: &str) {
    assert!(becomes(stanza) == plain(stanza), "was changed: {:.300}", format!("{:?}", becomes(stanza)));
}

#[track_caller]
fn is_dropped(stanza: &str) {
    assert_eq!(becomes(stanza), plain("<message xmlns='jabber:client' from='a@b'/>"));
}

fn nested(levels: u32) -> String {
    let inner = levels as usize - 1;
    format!("<message from=\"a@b\">{}{}</message>", "<x>".repeat(inner), "</x>".repeat(inner))
}

#[test]
fn a_connection_that_ends_before_the_stream_is_a_lost_one() {
    for lost in ["", HEADER, &HEADER[..40], &format!("{HEADER}<message"), &format!("{HEADER}{NEXT}")] {
        let (outcome, _) = read_at(Stage::Session, [lost.as_bytes()]);
        assert_eq!(outcome.end, io::ErrorKind::UnexpectedEof, "{lost}");
        assert!(!matches!(outcome.received.last(), Some(Received::End)), "{lost}");
    }
    let whole = run([format!("{HEADER}{NEXT}</stream:stream>").as_bytes()]).unwrap();
    assert_eq!(whole.last().unwrap(), &Received::End);
}

#[test]
fn ordinary_streams_are_read_as_they_are() {
    let units = [
        "<stream:features><mechanisms xmlns='x'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj0=</success>",
        "<iq type='result' id='1' ><bind xmlns='b'><jid>a@b/c</jid></bind></iq>",
        "<presence from = \"a@b/c'>\" />",
        "<message><body>1 &lt; 2 > 0 \u{1F600}</body><x xmlns='urn:x' a=''/></message>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<message><body><![CDATA[<a>]] ]>]]]></body></message>",
    ];
    let came = filter(&format!("{HEADER} {}\n</stream:stream>", units.join("\n")));
    let expected: Vec<Received> = units
        .iter()
        .map(|unit| {
            let element = element(HEADER, unit.as_bytes()).unwrap();
            let is_stanza = element.ns() == ns::JABBER_CLIENT;
            if is_stanza { plain(unit) } else { Received::Element(element) }
        })
        .collect();
    assert_eq!(came[0], Received::Header);
    assert_eq!(came[1..=units.len()], expected);
    assert_eq!(came.last().unwrap(), &Received::End);
}

#[test]
fn depth_is_bounded_and_the_stream_goes_on() {
    passes(&nested(MAX_DEPTH));
    is_dropped(&nested(MAX_DEPTH + 1));
    is_dropped(&nested(3500));
}

#[test]
fn depth_is_counted_from_each_stanza() {
    let came = filter(&format!("{HEADER}{}", nested(MAX_DEPTH).repeat(3)));
    assert!(came[1..] == [(); 3].map(|()| plain(&nested(MAX_DEPTH))));
}

/// Runs this behind a header at a stage; answers why it breaks the stream.
fn breaks(stage: Stage, stream: &str) -> Option<Broken> {
    let chunks = Chunks::new([HEADER.as_bytes(), stream.as_bytes()]);
    let mut reader = Reader::new(chunks, stage);
    loop {
        match futures::executor::block_on(reader.next()) {
            Ok(_) => {}
            Err(error) => return error.downcast::<Broken>().ok(),
        }
    }
}

#[test]
fn a_stream_has_one_header_and_begins_with_it() {
    for stage in [Stage::Plain, Stage::Login, Stage::Session] {
        assert_eq!(breaks(stage, "<stream:features/>"), None);
        for again in [HEADER, &HEADER[21..], "<x:stream>", "<stream>"] {
            let expected = if again == HEADER { Broken::Restricted } else { Broken::Header };
            assert_eq!(breaks(stage, again), Some(expected), "{stage:?} {again}");
            assert_eq!(breaks(stage, &format!("<stream:features/>{again}")), Some(expected));
        }
    }
    for first in ["<stream:features/>", "<message/>", "<stream:stream/>", "</stream:stream>"] {
        assert!(run([first.as_bytes()]).is_err(), "{first}");
    }
    // In a stanza it is nobody's header.
    passes("<message><stream:stream/></message>");
    // RFC 6120 §4.7.5: a server that does not say which version it speaks offers nothing.
    let old = HEADER.replace("version='1.0'>", ">");
    assert!(run([old.as_bytes()]).is_err());
}

#[test]
fn before_the_login_a_server_has_little_to_say() {
    const STANZAS: [&str; 3] = ["iq", "message", "presence"];
    let refused = |stage: Stage, names: &[&str]| {
        for name in names.iter().chain(&STANZAS) {
            assert_eq!(breaks(stage, &format!("<{name}/>")), Some(Broken::Early), "{stage:?} {name}");
        }
    };
    refused(Stage::Plain, &["success", "challenge", "enabled", "resumed", "r", "made-up"]);
    refused(Stage::Login, &["proceed", "enabled", "resumed", "failed", "r", "a", "made-up"]);
    for name in ["stream:features", "challenge", "success", "failure", "continue", "stream:error"] {
        assert_eq!(breaks(Stage::Login, &format!("<{name}/>")), None, "{name}");
    }
}

#[test]
fn before_the_login_all_of_it_together_is_bounded() {
    for stage in [Stage::Plain, Stage::Login] {
        let deep = |levels: u32| {
            let inner = levels as usize - 1;
            format!("<failure>{}{}</failure>", "<x>".repeat(inner), "</x>".repeat(inner))
        };
        assert_eq!(breaks(stage, &deep(LOGIN_DEPTH)), None);
        assert_eq!(breaks(stage, &deep(LOGIN_DEPTH + 1)), Some(Broken::TooMuch));
        // The header is one.
        let many = |count: u32| "<failure/>".repeat(count as usize);
        assert_eq!(breaks(stage, &many(LOGIN_ELEMENTS - 1)), None);
        assert_eq!(breaks(stage, &many(LOGIN_ELEMENTS)), Some(Broken::TooMuch));
        for filling in [" ".to_owned(), format!("<failure>{}</failure>", "x".repeat(9_000))] {
            let long = filling.repeat(LOGIN_SIZE / filling.len() + 1);
            let fits = filling.repeat((LOGIN_SIZE - HEADER.len()) / filling.len());
            assert_eq!(breaks(stage, &fits), None);
            assert_eq!(breaks(stage, &long), Some(Broken::TooMuch));
        }
    }
    assert_eq!(breaks(Stage::Session, &" ".repeat(2 * LOGIN_SIZE)), None);
}

#[test]
fn a_new_stream_begins_where_the_login_ends_and_nowhere_else() {
    let login = |behind: &str| {
        let success = format!("{HEADER}<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>{behind}");
        let chunks = Chunks::new([success.as_bytes(), format!("{HEADER}{NEXT}").as_bytes()]);
        let mut reader = Reader::new(chunks, Stage::Login);
        futures::executor::block_on(async {
            reader.next().await?;
            reader.next().await?;
            reader.restart()?;
            reader.next().await?;
            reader.next().await
        })
    };
    assert_eq!(login("").unwrap(), plain(NEXT));
    assert_eq!(login("\n").unwrap(), plain(NEXT));
    assert!(login("<stream:features/>").is_err(), "said before our header");
}

/// XEP-0388: no header, and behind a session that was resumed there may be stanzas at once.
#[test]
fn what_follows_a_login_at_once_is_read_as_part_of_the_session() {
    let stream = format!("{HEADER}<success xmlns='urn:xmpp:sasl:2'/>{NEXT}");
    let mut reader = Reader::new(Chunks::new([stream.as_bytes()]), Stage::Login);
    futures::executor::block_on(async {
        reader.next().await.unwrap();
        reader.next().await.unwrap();
        reader.logged_in();
        assert_eq!(reader.next().await.unwrap(), plain(NEXT));
    });
}

/// Sends this, then these pieces in turn, 20 s apart; answers when reading fails, and how.
async fn fails_after(first: &str, pieces: &[&str], patience: Duration) -> Option<(Duration, io::ErrorKind)> {
    use tokio::io::AsyncWriteExt;
    let (ours, mut server) = tokio::io::duplex(1 << 16);
    let mut reader = Reader::new(ours, Stage::Session);
    server.write_all(format!("{HEADER}{first}").as_bytes()).await.unwrap();
    let drip = async {
        for piece in pieces.iter().cycle() {
            tokio::time::sleep(Duration::from_secs(20)).await;
            server.write_all(piece.as_bytes()).await.unwrap();
        }
    };
    let start = Instant::now();
    let read = async {
        loop {
            if let Err(error) = reader.next().await {
                return error.kind();
            }
        }
    };
    tokio::select! {
        kind = read => Some((start.elapsed(), kind)),
        () = drip => None,
        () = tokio::time::sleep(patience) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_stanza_that_never_ends_ends_the_stream() {
    let patience = 2 * STANZA_TIME;
    for begun in ["<message><body>", "<message id='", "<", "<challenge>", &nested(70)[..400]] {
        let (after, kind) = fails_after(begun, &["x"], patience).await.expect(begun);
        assert_eq!(kind, io::ErrorKind::TimedOut, "{begun}");
        assert!(after > STANZA_TIME && after < STANZA_TIME + Duration::from_secs(60), "{begun}: {after:?}");
    }
    // Whatever else comes without end is a stream.
    assert_eq!(fails_after("", &[" "], patience).await, None);
    assert_eq!(fails_after("<presence", &["/><presence"], patience).await, None);
}

#[test]
fn text_is_bounded() {
    let text = |len: usize| format!("<message from=\"a@b\"><body>{}</body></message>", "x".repeat(len));
    passes(&text(MAX_TEXT));
    is_dropped(&text(MAX_TEXT + 1));
    let half = "x".repeat(MAX_TEXT / 2 + 1);
    is_dropped(&format!("<message from=\"a@b\"><body>{half}<![CDATA[{half}]]></body></message>"));
    passes(&format!("<message from=\"a@b\"><body>{half}</body><a>{half}</a></message>"));
}

#[test]
fn attributes_are_bounded_in_number_and_length() {
    let many = |count: u32| {
        let mut element = String::from("<message from=\"a@b\"><x");
        (0..count).for_each(|n| write!(element, " a{n}='{n}'").unwrap());
        element + "/></message>"
    };
    passes(&many(MAX_ATTRIBUTES));
    is_dropped(&many(MAX_ATTRIBUTES + 1));
    let long = |len: usize| format!("<message from=\"a@b\"><x a='{}'/></message>", "x".repeat(len));
    passes(&long(MAX_TOKEN));
    is_dropped(&long(MAX_TOKEN + 1));
    let name = |len: usize| format!("<message from=\"a@b\"><x {}=''/></message>", "x".repeat(len));
    passes(&name(MAX_TOKEN));
    is_dropped(&name(MAX_TOKEN + 1));
    let element = |len: usize| format!("<message from=\"a@b\"><{}/></message>", "x".repeat(len));
    passes(&element(MAX_TOKEN));
    is_dropped(&element(MAX_TOKEN + 1));
}

#[test]
fn elements_are_bounded() {
    let stanza = |addresses: &str, count: u32| {
        format!("<message{addresses}>{}</message>", "<x/>".repeat(count as usize - 1))
    };
    for others in [" from='a@b'", " from='a@b' to='c@b/d'", " from='a@b/c' to='a@b/d'"] {
        passes(&stanza(others, MAX_ELEMENTS_OF_OTHERS));
        let replaced = becomes(&stanza(others, MAX_ELEMENTS_OF_OTHERS + 1));
        assert_eq!(replaced, plain(&format!("<message xmlns='jabber:client'{others}/>")));
    }
    for ours in [" from='a@b' to='a@b/c'", " from='b' to='a@b/c'"] {
        passes(&stanza(ours, MAX_ELEMENTS_OF_OTHERS + 1));
    }
    passes(&stanza("", MAX_ELEMENTS));
    assert_eq!(becomes(&stanza("", MAX_ELEMENTS + 1)), plain("<message xmlns='jabber:client'/>"));
}

#[test]
fn size_is_bounded_and_so_is_what_is_kept_of_it() {
    let long = "x".repeat(MAX_TEXT - 100);
    let stanza = |count: usize| {
        format!("<message from=\"a@b\">{}</message>", format!("<x xmlns='urn:x'>{long}</x>").repeat(count))
    };
    let (fits, too_big) = (stanza(8), stanza(9));
    assert!(fits.len() <= MAX_STANZA && too_big.len() > MAX_STANZA);
    let came = run([HEADER.as_bytes(), fits.as_bytes()]).unwrap();
    let Received::Stanza(Some(stanza)) = &came[1] else { panic!("no stanza") };
    assert!(matches!(&**stanza, Stanza::Message(message) if message.payloads.len() == 8));
    let (outcome, reader) = read_at(Stage::Session, [HEADER.as_bytes(), too_big.repeat(3).as_bytes()]);
    assert_eq!(outcome.received.len(), 4);
    for came in &outcome.received[1..] {
        assert_eq!(*came, plain("<message xmlns='jabber:client' from='a@b'/>"));
    }
    assert!(reader.buffer.capacity() <= 2 * MAX_STANZA + CHUNK, "{} kept", reader.buffer.capacity());
}

#[test]
fn each_kind_of_stanza_is_replaced_by_one_that_does_no_harm() {
    let deep = "<x>".repeat(64) + &"</x>".repeat(64);
    let replaced = |head: &str, name: &str| becomes(&format!("<{head}>{deep}</{name}>"));
    assert_eq!(
        replaced(
            "c:message xmlns:c='jabber:client' c:id='no' from='a@b/\"c' type='chat' id='1' to='d'",
            "c:message"
        ),
        plain("<message xmlns='jabber:client' from='a@b/\"c' to='d' id='1' type='chat'/>")
    );
    assert_eq!(
        replaced("presence type=\"unavailable\" from='a@b'", "presence"),
        plain("<presence xmlns='jabber:client' from='a@b' type='unavailable'/>")
    );
    for type_ in ["get", "set"] {
        assert_eq!(
            replaced(&format!("iq type='{type_}' from='a@b' id='7'"), "iq"),
            plain(&format!(
                "<iq xmlns='jabber:client' from='a@b' id='7' type='{type_}'><dropped xmlns='urn:x-prosed:limits'/></iq>"
            ))
        );
    }
    for type_ in ["result", "error"] {
        assert_eq!(
            replaced(&format!("iq type='{type_}' from='a@b' id='7'"), "iq"),
            plain(
                "<iq xmlns='jabber:client' from='a@b' id='7' type='error'><error type='cancel'>\
                <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
        );
    }
}

#[test]
fn a_start_tag_that_offends_itself_leaves_nothing_of_the_stanza() {
    let long = "x".repeat(MAX_TOKEN + 1);
    for stanza in [
        format!("<presence type='subscribe' from='a@b/{long}'/>"),
        format!("<iq id='{long}' type='get' from='a@b'><x/></iq>"),
        format!(
            "<message {}from='a@b'><body/></message>",
            (0..128).map(|n| format!("a{n}='' ")).collect::<String>()
        ),
    ] {
        assert_eq!(becomes(&stanza), plain("<message xmlns='jabber:client'/>"));
    }
}

#[test]
fn what_is_not_a_stanza_or_not_xmpp_breaks_the_stream() {
    let deep = "<x>".repeat(65);
    for broken in [
        format!("<stream:features>{deep}"),
        format!("<challenge>{}", "x".repeat(MAX_TEXT + 1)),
        format!("<{}", "x".repeat(MAX_TOKEN + 1)),
        "text".to_owned(),
        "<!-- comment -->".to_owned(),
        "<message><!-- comment --></message>".to_owned(),
        "<!DOCTYPE x [<!ENTITY a 'b'>]>".to_owned(),
        "<message><?php ?></message>".to_owned(),
        "<message a=b/>".to_owned(),
        "<message <x/>".to_owned(),
        "< message/>".to_owned(),
        "<message/ a=''>".to_owned(),
    ] {
        let stream = format!("{HEADER}{broken}");
        let error = run([stream.as_bytes()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{broken:.40}");
    }
}

#[test]
fn a_large_stanza_is_read_in_pieces_and_others_have_their_turns() {
    let text = format!("<x xmlns='urn:x'>{}</x>", "y".repeat(MAX_TEXT / 2)).repeat(7);
    let stanza = format!("<message>{text}</message>");
    let stream = format!("{HEADER}{stanza}{NEXT}");
    let mut reader = Reader::new(Chunks::new([stream.as_bytes()]), Stage::Session);
    let mut context = Context::from_waker(futures::task::noop_waker_ref());
    let (mut came, mut turns) = (0, 0);
    while came < 3 {
        match reader.poll_next(&mut context) {
            Poll::Ready(received) => {
                received.unwrap();
                came += 1;
            }
            Poll::Pending => turns += 1,
        }
    }
    assert!(turns >= stanza.len() / PIECE - 1, "{turns} turns for {} bytes", stanza.len());
}

/// Not a test of speed, but one that would take minutes were any of it quadratic.
#[test]
fn a_big_roster_in_small_reads_is_fast() {
    let mut roster = String::from("<iq type='result' id='r'><query xmlns='jabber:iq:roster'>");
    for n in 0..10_000 {
        write!(roster, "<item jid='contact{n}@example.org' name='Contact number {n}' subscription='both'><group>Friends</group><group>Work</group></item>").unwrap();
    }
    roster.push_str("</query></iq>");
    let start = std::time::Instant::now();
    let out = run(std::iter::once(HEADER.as_bytes()).chain(roster.as_bytes().chunks(1400))).unwrap();
    assert_eq!(out[1], plain(&roster));
    assert!(start.elapsed().as_secs() < 5, "took {:?} for {} bytes", start.elapsed(), roster.len());
}
