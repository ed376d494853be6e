use std::fmt::Write as _;

use super::super::limits::{
    LOGIN_DEPTH, LOGIN_ELEMENTS, LOGIN_SIZE, MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_STANZA, MAX_TEXT,
    MAX_TOKEN,
};
use super::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='a>b' version='1.0'>";
const NEXT: &str = "<message id='next'><body>hello</body></message>";

/// Gives out the chunks one read at a time.
struct Chunks(std::collections::VecDeque<Vec<u8>>);

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut chunk) = self.0.pop_front() {
            let rest = chunk.split_off(chunk.len().min(into.remaining()));
            into.put_slice(&chunk);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection on which somebody is logged in.
fn session<S>(inner: S, link: Arc<Link>) -> Limiter<S> {
    Limiter::new(inner, link, Stage::Session)
}

fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> io::Result<String> {
    let chunks = Chunks(chunks.into_iter().filter(|chunk| !chunk.is_empty()).map(<[u8]>::to_vec).collect());
    let mut limiter = session(chunks, Arc::default());
    let mut out = Vec::new();
    match futures::executor::block_on(limiter.read_to_end(&mut out)) {
        // Few tests close the stream that they open.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        end => drop(end?),
    }
    Ok(String::from_utf8(out).unwrap())
}

/// Fed at once, in two pieces cut anywhere near its ends, and in small pieces.
fn filter(stream: &str) -> String {
    let stream = stream.as_bytes();
    let whole = run([stream]).unwrap();
    // Each place in what is small; in what is big, where something happens.
    let step = if stream.len() < 1 << 15 { 1 } else { 67 };
    let cuts = (0..stream.len()).filter(|cut| *cut < 400 || stream.len() - cut < 400);
    for cut in cuts.step_by(step) {
        let out = run([&stream[..cut], &stream[cut..]]).unwrap();
        assert_eq!(without_spaces(&out), without_spaces(&whole), "cut at {cut}");
    }
    for size in [1, 2, 7, 1000] {
        if stream.len() / size < 30_000 {
            assert_eq!(without_spaces(&run(stream.chunks(size)).unwrap()), without_spaces(&whole));
        }
    }
    whole
}

/// Spaces between stanzas are the watchdog's.
fn without_spaces(stream: &str) -> String {
    let mut out = String::new();
    for piece in stream.split_inclusive('>') {
        out.push_str(piece.trim_start_matches([' ', '\n']));
    }
    out
}

/// What becomes of one stanza in a stream that goes on behind it.
fn becomes(stanza: &str) -> String {
    let out = filter(&format!("{HEADER}{stanza}{NEXT}"));
    let out = out.strip_prefix(HEADER).unwrap();
    out.trim_start_matches(' ').strip_suffix(NEXT).unwrap().trim_end_matches(' ').to_owned()
}

#[track_caller]
fn passes(stanza: &str) {
    assert!(becomes(stanza) == stanza, "was changed: {:.300}", becomes(stanza));
}

#[track_caller]
fn is_dropped(stanza: &str) {
    assert_eq!(becomes(stanza), "<message xmlns='jabber:client' from=\"a@b\"></message>");
}

fn nested(levels: u32) -> String {
    let inner = levels as usize - 1;
    format!("<message from=\"a@b\">{}{}</message>", "<x>".repeat(inner), "</x>".repeat(inner))
}

#[test]
fn a_failed_without_a_count_gets_one_and_no_other_does() {
    let reason = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
    assert_eq!(
        becomes(&format!("<failed xmlns='urn:xmpp:sm:3'>{reason}</failed>")),
        format!("<failed h='0' xmlns='urn:xmpp:sm:3'>{reason}</failed>")
    );
    assert_eq!(becomes("<sm:failed/>"), "<sm:failed h='0'/>");
    assert_eq!(becomes("<failed></failed>"), "<failed h='0'></failed>");
    passes(&format!("<failed xmlns='urn:xmpp:sm:3' h='7'>{reason}</failed>"));
    passes(&format!("<failed\nh='7' xmlns='urn:xmpp:sm:3'>{reason}</failed>"));
    passes("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
    passes("<message><failed xmlns='urn:xmpp:sm:3'/></message>");
}

#[test]
fn a_connection_that_ends_before_the_stream_is_a_lost_one() {
    let end = |stream: &str| {
        let chunks = Chunks([stream.as_bytes().to_vec()].into());
        let mut limiter = session(chunks, Arc::default());
        futures::executor::block_on(limiter.read_to_end(&mut Vec::new())).map_err(|error| error.kind())
    };
    for lost in ["", HEADER, &HEADER[..40], &format!("{HEADER}<message"), &format!("{HEADER}{NEXT}")] {
        assert_eq!(end(lost), Err(io::ErrorKind::UnexpectedEof), "{lost}");
    }
    end(&format!("{HEADER}{NEXT}</stream:stream>")).unwrap();
}

#[test]
fn ordinary_streams_pass_untouched() {
    let stream = format!(
        "{HEADER} <stream:features><mechanisms xmlns='x'><mechanism>PLAIN</mechanism></mechanisms></stream:features>\n\
        <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj0=</success><stream:features/>\
        <iq type='result' id='1' ><bind xmlns='b'><jid>a@b/c</jid></bind></iq>\
        <presence from = \"a@b/c'>\" / ><message><body>1 &lt; 2 > 0 \u{1F600}</body><x a=''/></message>\
        <r xmlns='urn:xmpp:sm:3'/><message><body><![CDATA[<a>]] ]>]]]></body></message></stream:stream>"
    );
    let stream = stream.replace("/ >", "/>");
    assert_eq!(filter(&stream), stream);
}

#[test]
fn depth_is_bounded_and_the_stream_goes_on() {
    passes(&nested(MAX_DEPTH));
    is_dropped(&nested(MAX_DEPTH + 1));
    is_dropped(&nested(3500));
}

#[test]
fn depth_is_counted_from_each_stanza() {
    let stream = format!("{HEADER}{}", nested(MAX_DEPTH).repeat(3));
    assert_eq!(filter(&stream), stream);
}

/// Runs this behind a header at a stage; answers why it breaks the stream.
fn breaks(stage: Stage, stream: &str) -> Option<Broken> {
    let chunks = Chunks([HEADER.as_bytes().to_vec(), stream.as_bytes().to_vec()].into());
    let mut limiter = Limiter::new(chunks, Arc::default(), stage);
    let error = futures::executor::block_on(limiter.read_to_end(&mut Vec::new())).unwrap_err();
    error.downcast::<Broken>().ok()
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
        let success = format!("{HEADER}<success/>{behind}");
        let chunks = Chunks([success.into_bytes(), format!("{HEADER}{NEXT}").into_bytes()].into());
        let mut limiter = Limiter::new(chunks, Arc::default(), Stage::Login);
        futures::executor::block_on(async {
            let mut said = vec![0; HEADER.len() + "<success/>".len()];
            limiter.read_exact(&mut said).await?;
            limiter.restart()?;
            let mut out = Vec::new();
            let _not_ended = limiter.read_to_end(&mut out).await;
            io::Result::Ok(String::from_utf8(out).unwrap())
        })
    };
    assert_eq!(login("").unwrap(), format!("{HEADER}{NEXT}"));
    assert_eq!(login("\n").unwrap(), format!("{HEADER}{NEXT}"));
    assert!(login("<stream:features/>").is_err(), "said before our header");
}

/// Sends this, then these pieces in turn, 20 s apart; answers when reading fails, and how.
async fn fails_after(first: &str, pieces: &[&str], patience: Duration) -> Option<(Duration, io::ErrorKind)> {
    use tokio::io::AsyncWriteExt;
    let (ours, mut server) = tokio::io::duplex(1 << 16);
    let mut limiter = session(ours, Arc::default());
    server.write_all(format!("{HEADER}{first}").as_bytes()).await.unwrap();
    let drip = async {
        for piece in pieces.iter().cycle() {
            tokio::time::sleep(Duration::from_secs(20)).await;
            server.write_all(piece.as_bytes()).await.unwrap();
        }
    };
    let start = Instant::now();
    let mut out = Vec::new();
    tokio::select! {
        read = limiter.read_to_end(&mut out) => Some((start.elapsed(), read.unwrap_err().kind())),
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
    let children =
        |count: u32| format!("<message from=\"a@b\">{}</message>", "<x/>".repeat(count as usize - 1));
    passes(&children(MAX_ELEMENTS));
    is_dropped(&children(MAX_ELEMENTS + 1));
}

#[test]
fn size_is_bounded_and_so_is_what_is_kept_of_it() {
    let text = "x".repeat(MAX_TEXT - 100);
    let stanza =
        |count: usize| format!("<message from=\"a@b\">{}</message>", format!("<x>{text}</x>").repeat(count));
    let (fits, too_big) = (stanza(8), stanza(9));
    assert!(fits.len() <= MAX_STANZA && too_big.len() > MAX_STANZA);
    let (head, out) = (HEADER.len(), run([HEADER.as_bytes(), fits.as_bytes()]).unwrap());
    assert_eq!(out[head..].trim_start(), fits);
    let chunks = Chunks([HEADER.as_bytes().to_vec(), too_big.repeat(3).into_bytes()].into());
    let mut limiter = session(chunks, Arc::default());
    let mut out = Vec::new();
    futures::executor::block_on(limiter.read_to_end(&mut out)).unwrap_err();
    assert!(out.len() < 10_000, "{} bytes went on", out.len());
    assert!(limiter.buffer.capacity() <= 2 * MAX_STANZA + CHUNK, "{} kept", limiter.buffer.capacity());
}

#[test]
fn each_kind_of_stanza_is_replaced_by_one_that_does_no_harm() {
    let deep = "<x>".repeat(64) + &"</x>".repeat(64);
    let replaced = |head: &str, name: &str| becomes(&format!("<{head}>{deep}</{name}>"));
    assert_eq!(
        replaced("c:message c:id='no' from='a@b/\"c' type='chat' id='1' to='d'", "c:message"),
        "<message xmlns='jabber:client' from='a@b/\"c' to='d' id='1' type='chat'></message>"
    );
    assert_eq!(
        replaced("presence type=\"unavailable\" from='a@b'", "presence"),
        "<presence xmlns='jabber:client' from='a@b' type=\"unavailable\"></presence>"
    );
    for type_ in ["get", "set"] {
        assert_eq!(
            replaced(&format!("iq type='{type_}' from='a@b' id='7'"), "iq"),
            format!(
                "<iq xmlns='jabber:client' from='a@b' id='7' type='{type_}'><dropped xmlns='urn:x-prosed:limits'/></iq>"
            )
        );
    }
    for type_ in ["result", "error"] {
        assert_eq!(
            replaced(&format!("iq type='{type_}' from='a@b' id='7'"), "iq"),
            "<iq xmlns='jabber:client' from='a@b' id='7' type='error'><error type='cancel'>\
            <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
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
        assert_eq!(becomes(&stanza), "<message xmlns='jabber:client'/>");
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
        "</stream:stream><message/>".to_owned(),
    ] {
        let stream = format!("{HEADER}{broken}");
        let error = run([stream.as_bytes()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{broken:.40}");
    }
}

#[test]
fn while_a_stanza_waits_the_parser_gets_a_space_for_each_read() {
    let (first, second) = (b"<message><body>hel".as_slice(), b"lo".as_slice());
    let out = run([HEADER.as_bytes(), first, second, b"</body></message>", b"<pres", b"ence/>"]).unwrap();
    assert_eq!(out, format!("{HEADER}  <message><body>hello</body></message><presence/>"));
    // And none while a header is read: there it would not be white space between stanzas.
    assert_eq!(run(HEADER.as_bytes().chunks(10)).unwrap(), HEADER);
}

#[test]
fn a_conflict_is_noticed_and_a_mention_of_one_is_not() {
    let conflict = |stream: &str| {
        let link = Arc::new(Link::default());
        let chunks = Chunks([HEADER.as_bytes().to_vec(), stream.as_bytes().to_vec()].into());
        let mut limiter = session(chunks, link.clone());
        let _end = futures::executor::block_on(limiter.read_to_end(&mut Vec::new()));
        link.conflict()
    };
    let ns = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
    assert!(conflict(&format!("<stream:error><conflict {ns}/></stream:error></stream:stream>")));
    assert!(!conflict(&format!("<stream:error><system-shutdown {ns}/></stream:error></stream:stream>")));
    assert!(!conflict(&format!("<iq type='error'><error type='cancel'><conflict {ns}/></error></iq>")));
}

#[test]
fn what_we_can_read_goes_on_as_a_blank_once_the_library_counts() {
    const BOUND: &str = "<iq type='result' id='bind'/>";
    let enabled = "<enabled xmlns='urn:xmpp:sm:3'/>";
    let resumed = "<resumed xmlns='urn:xmpp:sm:3' h='1' previd='p'/>";
    let usual = "<presence id='ours'/>".to_owned();
    // Nobody but us would read it, nor in one turn: it is malformed, and has more than 2 MiB.
    let content = format!("<x xmlns='urn:x'>{}</x>", "y".repeat(MAX_TEXT / 2));
    let content = content.repeat((2 << 20) / content.len() + 1);
    let large = format!("<presence id='ours'><show/>{content}</presence>");
    for (began, read) in [(enabled, &usual), (resumed, &usual), (enabled, &large)] {
        let aside: Arc<Aside> = Arc::default();
        let stream = format!("{HEADER}{BOUND}{began}{read}{NEXT}<r xmlns='urn:xmpp:sm:3'/>");
        let chunks = stream.as_bytes().chunks(50).map(<[u8]>::to_vec).collect();
        let mut limiter = session(Chunks(chunks), Arc::new(Link::new(aside.clone())));
        limiter.bound = true;
        let mut out = Vec::new();
        let _not_ended = futures::executor::block_on(limiter.read_to_end(&mut out));
        let out = without_spaces(&String::from_utf8(out).unwrap());
        let rest = out.strip_prefix(&format!("{HEADER}{BOUND}{began}")).unwrap();
        let (blank, rest) = rest.split_once('>').unwrap();
        let (next, rest) = rest.split_once('>').unwrap();
        assert!(!next.contains("hello"), "{next}");
        assert_eq!(rest, "<r xmlns='urn:xmpp:sm:3'/>");
        let blank = blank.replace("<message", "<message xmlns='jabber:client'");
        let blank: minidom::Element = format!("{blank}>").parse().unwrap();
        let blank = xmpp_parsers::message::Message::try_from(blank).unwrap();
        match aside.take(blank.into()) {
            xmpp_parsers::stanza::Stanza::Presence(ours) => assert_eq!(ours.id.as_deref(), Some("ours")),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cut_link_fails_a_read_that_waits() {
    let (ours, _theirs) = tokio::io::duplex(64);
    let link = Arc::new(Link::default());
    let mut limiter = session(ours, link.clone());
    let read = tokio::spawn(async move { limiter.read_u8().await });
    tokio::task::yield_now().await;
    link.cut();
    assert_eq!(read.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
}

#[test]
fn the_parser_gets_a_large_stanza_in_pieces_and_others_their_turns() {
    let text = format!("<x>{}</x>", "y".repeat(MAX_TEXT / 2)).repeat(7);
    let stream = format!("{HEADER}<message>{text}</message>{NEXT}");
    let mut limiter = session(Chunks([stream.as_bytes().to_vec()].into()), Arc::default());
    let waker = futures::task::noop_waker();
    let mut context = Context::from_waker(&waker);
    let (mut all, mut turn, mut turns) = (0, 0, 0);
    while all < stream.len() {
        match Pin::new(&mut limiter).poll_fill_buf(&mut context) {
            Poll::Ready(given) => {
                let given = given.unwrap();
                let taken = given.len().min(10_000);
                // Spaces are the watchdog's.
                let is_space = given == b" ";
                all += if is_space { 0 } else { taken };
                turn += if is_space { 0 } else { taken };
                Pin::new(&mut limiter).consume(taken);
            }
            Poll::Pending => (turn, turns) = (0, turns + 1),
        }
        assert!(turn <= PIECE, "{turn} bytes in one turn");
    }
    assert!(turns >= stream.len() / PIECE - 1, "{turns} turns for {} bytes", stream.len());
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
    assert!(out.ends_with(&roster));
    assert!(start.elapsed().as_secs() < 5, "took {:?} for {} bytes", start.elapsed(), roster.len());
}
