//! What the canned server plays: the contacts, and the prepared bytes that describe them.
//!
//! The account's name selects the play: `b1000` has 1,000 contacts at level B. See [`Play`].

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::contact::{AVATAR_DATA, AVATAR_METADATA, PROSE_VCARD4, VCARD4, sha1_hex};

/// The domain of all accounts and contacts.
pub const DOMAIN: &str = "bench.test";
/// One in this many contacts is online.
pub const ONE_ONLINE_OF: usize = 10;
/// The size of an avatar, in bytes.
pub const AVATAR_BYTES: usize = 8 * 1024;
/// The status of the last presence of a login: everything before it has arrived by then.
pub const LAST: &str = "that was all";
/// The version of every roster.
pub const ROSTER_VERSION: &str = "v1";
/// How many client programs the contacts use, each with its own caps.
const PROGRAMS: usize = 5;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The roster, and presence of those online.
    A,
    /// The same with caps, and everybody's avatar and vCard.
    B,
}

/// A play, as spelled by an account's name: level, number of contacts, and options. `x7`: another account of the same
/// play. `d50`: each answer takes 50 ms. `p1000`: then 1,000 changes of presence per second, without end. Hostile ones:
/// `f1`: all contacts change as fast as the connection takes it; `v1` and `q1`: the same with profiles and with pings;
/// `u1`: nothing that the client sends is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// The account's name.
    pub name: String,
    /// What is played.
    pub level: Level,
    /// How many contacts there are.
    pub contacts: usize,
    /// How long everything takes to arrive, in milliseconds.
    pub delay_ms: u64,
    /// Changes of presence per second, after the login.
    pub presences: u64,
    /// What the server floods the client with, after the login.
    pub flood: Option<Flood>,
    /// Whether stanzas are acknowledged (XEP-0198).
    pub acknowledges: bool,
}

/// What is sent as fast as the connection takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Presences: each changes a contact.
    Presences,
    /// Large profiles: each changes a contact, and is saved.
    Profiles,
    /// Pings from the server: each needs an answer.
    Pings,
}

impl Play {
    /// The play of an account.
    ///
    /// # Errors
    /// The name, if it spells none.
    pub fn parse(name: &str) -> Result<Self, String> {
        let mut play = Self {
            name: name.to_owned(),
            level: Level::A,
            contacts: 0,
            delay_ms: 0,
            presences: 0,
            flood: None,
            acknowledges: true,
        };
        let mut rest = name;
        while let Some(letter) = rest.chars().next() {
            let behind = &rest[letter.len_utf8()..];
            let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
            let number: u64 = behind[..digits].parse().map_err(|_| name.to_owned())?;
            rest = &behind[digits..];
            match letter {
                'a' => (play.level, play.contacts) = (Level::A, number as usize),
                'b' => (play.level, play.contacts) = (Level::B, number as usize),
                'd' => play.delay_ms = number,
                'p' => play.presences = number,
                'f' => play.flood = Some(Flood::Presences),
                'v' => play.flood = Some(Flood::Profiles),
                'q' => play.flood = Some(Flood::Pings),
                'u' => play.acknowledges = false,
                'x' => {}
                _ => return Err(name.to_owned()),
            }
        }
        Ok(play)
    }

    /// The account's bare JID.
    pub fn jid(&self) -> String {
        format!("{}@{DOMAIN}", self.name)
    }

    /// The full JID that is bound, whatever the client requests.
    pub fn full_jid(&self) -> String {
        format!("{}@{DOMAIN}/bench", self.name)
    }

    /// How many contacts are online.
    pub fn online(&self) -> usize {
        self.contacts.div_ceil(ONE_ONLINE_OF)
    }
}

/// A contact's bare JID.
pub fn contact(number: usize) -> String {
    format!("c{number}@{DOMAIN}")
}

/// The number of a contact, from its JID.
pub fn number(jid: &str) -> Option<usize> {
    jid.strip_prefix('c')?.split('@').next()?.parse().ok()
}

/// A contact's picture: the structure of a PNG, with noise for pixels. Nothing verifies its checksums.
pub fn avatar(number: usize) -> Vec<u8> {
    const HEAD: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x40\x08\x02\0\0\0\x25\x0b\xe6\x89";
    const END: &[u8] = b"\0\0\0\0\0\0\0\0IEND\xae\x42\x60\x82";
    /// The noise's own length and name.
    const FRAME: usize = 8;
    let noise = AVATAR_BYTES - HEAD.len() - FRAME - END.len();
    let mut image = [HEAD, &(noise as u32).to_be_bytes(), b"IDAT"].concat();
    let mut state = number as u64 + 1;
    while image.len() < AVATAR_BYTES - END.len() {
        // xorshift64: any bytes that don't repeat will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        image.extend_from_slice(&state.to_le_bytes());
    }
    image.truncate(AVATAR_BYTES - END.len());
    image.extend_from_slice(END);
    image
}

/// The prepared bytes of a play.
#[derive(Debug)]
pub struct Script {
    /// The answer to the roster request, after the `<iq>`'s start tag.
    pub roster: Vec<u8>,
    /// What follows the initial presence.
    pub presences: Vec<u8>,
    /// What follows the presence with caps; empty at level A.
    pub events: Vec<u8>,
    /// The last presence of the login.
    pub last: Vec<u8>,
    /// The answer to a request for a contact's avatar, after the `<iq>`'s start tag; none at level A.
    pub avatars: Vec<Vec<u8>>,
}

impl Script {
    /// Prepares a play. At level B and 10,000 contacts it takes a second and 110 MB.
    pub fn prepare(play: &Play) -> Self {
        let mut roster = format!("<query xmlns='jabber:iq:roster' ver='{ROSTER_VERSION}'>");
        let (mut presences, mut events, mut avatars) = (String::new(), String::new(), Vec::new());
        for number in 0..play.contacts {
            let jid = contact(number);
            let _infallible = write!(
                roster,
                "<item jid='{jid}' name='Contact Number {number}' subscription='both'>\
                 <group>Group {}</group></item>",
                number % 20
            );
            if number % ONE_ONLINE_OF == 0 {
                presences.push_str(&presence(play, number, &format!("Status of number {number}")));
            }
            if play.level == Level::B {
                let image = avatar(number);
                let id = sha1_hex(&image);
                events.push_str(&metadata_event(play, number, &id));
                events.push_str(&vcard_event(play, number));
                avatars.push(avatar_answer(&id, &image));
            }
        }
        roster.push_str("</query></iq>");
        let last = presence(play, 0, LAST) + "<r xmlns='urn:xmpp:sm:3'/>";
        Self {
            roster: roster.into(),
            presences: presences.into(),
            events: events.into(),
            last: last.into(),
            avatars,
        }
    }
}

/// A contact's presence with this status.
pub fn presence(play: &Play, number: usize, status: &str) -> String {
    let (from, to) = (contact(number), play.full_jid());
    let caps = match play.level {
        Level::A => String::new(),
        Level::B => {
            let program = number / ONE_ONLINE_OF % PROGRAMS;
            format!(
                "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://bench.test/{program}' \
                 ver='{}'/>",
                caps_hash(program)
            )
        }
    };
    format!(
        "<presence from='{from}/phone' to='{to}'><show>away</show><status>{status}</status>\
         <priority>5</priority>{caps}</presence>"
    )
}

/// One round of a flood, to be sent repeatedly.
pub fn flood(play: &Play, flood: Flood) -> String {
    // Two rounds, so that each stanza changes something.
    let rounds = (0..2).flat_map(|round| (0..play.contacts).map(move |number| (round, number)));
    match flood {
        Flood::Presences => {
            rounds.map(|(round, number)| presence(play, number, &format!("Round {round}"))).collect()
        }
        Flood::Profiles => {
            let urls = format!("<url><uri>https://{DOMAIN}/{}</uri></url>", "u".repeat(900)).repeat(20);
            let vcard = |round| {
                format!("<vcard xmlns='{PROSE_VCARD4}'><fn><text>Round {round}</text></fn>{urls}</vcard>")
            };
            rounds.map(|(round, number)| event(play, number, VCARD4, "current", &vcard(round))).collect()
        }
        Flood::Pings => {
            let to = play.full_jid();
            let ping = |number| {
                format!(
                    "<iq type='get' id='q{number}' from='{DOMAIN}' to='{to}'>\
                     <ping xmlns='urn:xmpp:ping'/></iq>"
                )
            };
            (0..500).map(ping).collect()
        }
    }
}

/// An event that wraps one item.
fn event(play: &Play, number: usize, node: &str, id: &str, payload: &str) -> String {
    let (from, to) = (contact(number), play.full_jid());
    format!(
        "<message from='{from}' to='{to}' type='headline' id='e{number}'>\
         <event xmlns='http://jabber.org/protocol/pubsub#event'><items node='{node}'><item id='{id}'>\
         {payload}</item></items></event></message>"
    )
}

fn metadata_event(play: &Play, number: usize, id: &str) -> String {
    let info = format!("<info id='{id}' type='image/png' bytes='{AVATAR_BYTES}' width='64' height='64'/>");
    event(
        play,
        number,
        AVATAR_METADATA,
        id,
        &format!("<metadata xmlns='{AVATAR_METADATA}'>{info}</metadata>"),
    )
}

fn vcard_event(play: &Play, number: usize) -> String {
    let payload = format!(
        "<vcard xmlns='{PROSE_VCARD4}'><fn><text>Full Name {number}</text></fn>\
         <nickname><text>nick{number}</text></nickname><email><text>c{number}@mail.example</text></email>\
         <org><text>Organization {}</text></org></vcard>",
        number % 50
    );
    event(play, number, VCARD4, "current", &payload)
}

fn avatar_answer(id: &str, image: &[u8]) -> Vec<u8> {
    let data = BASE64_STANDARD.encode(image);
    format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{AVATAR_DATA}'><item id='{id}'>\
         <data xmlns='{AVATAR_DATA}'>{data}</data></item></items></pubsub></iq>"
    )
    .into()
}

fn features(program: usize) -> Vec<String> {
    (0..30).map(|feature| format!("urn:bench:{program}:feature:{feature:02}")).collect()
}

fn caps_hash(program: usize) -> String {
    hash(&format!("client/phone//Program {program}"), &features(program))
}

/// The hash of an identity and sorted features (XEP-0115 §5).
fn hash(identity: &str, features: &[String]) -> String {
    let text = format!("{identity}<{}<", features.join("<"));
    let digest = <sha1::Sha1 as sha1::Digest>::digest(text);
    BASE64_STANDARD.encode(digest)
}

/// The caps node that the clients here send in their presence.
pub const CLIENT: &str = "https://bench.test/client";

fn client_features() -> Vec<String> {
    let mut features: Vec<_> =
        [AVATAR_METADATA, VCARD4].iter().map(|node| format!("{node}+notify")).collect();
    features.extend(
        ["http://jabber.org/protocol/caps", "http://jabber.org/protocol/disco#info"].map(str::to_owned),
    );
    features.sort();
    features
}

/// The hash that goes with it.
pub fn client_hash() -> String {
    hash("client/pc//bench", &client_features())
}

/// The clients' answer to disco#info, whatever node is asked for.
pub fn client_disco(node: Option<&str>) -> String {
    let node = node.map(|node| format!(" node='{node}'")).unwrap_or_default();
    let features: String =
        client_features().iter().map(|feature| format!("<feature var='{feature}'/>")).collect();
    format!(
        "<query xmlns='http://jabber.org/protocol/disco#info'{node}>\
         <identity category='client' type='pc' name='bench'/>{features}</query>"
    )
}

/// The answer to disco#info for a node that [`presence`] names, after the `<iq>`'s start tag.
pub fn disco_answer(node: &str) -> Option<String> {
    let program = node.strip_prefix("https://bench.test/")?.split('#').next()?.parse().ok()?;
    let features = features(program);
    let features: String = features.iter().map(|feature| format!("<feature var='{feature}'/>")).collect();
    Some(format!(
        "<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'>\
         <identity category='client' type='phone' name='Program {program}'/>{features}</query></iq>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_spells_a_play() {
        let play = Play::parse("b1000x7d50p20").unwrap();
        assert_eq!((play.level, play.contacts, play.delay_ms, play.presences), (Level::B, 1000, 50, 20));
        assert_eq!(play.online(), 100);
        assert!(Play::parse("me").is_err() && Play::parse("a1é").is_err());
    }

    #[test]
    fn avatars_differ_and_have_their_size() {
        assert_ne!(avatar(1), avatar(2));
        assert_eq!(avatar(1).len(), AVATAR_BYTES);
        assert_eq!(number(&contact(17)), Some(17));
    }
}
