//! What the words of steps mean.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jid::BareJid;
use minidom::Element;
use prosed_session::{
    AddressPatch, Availability, Change, Command, Failure, Input, OwnPresence, ProfilePatch, RosterItem,
    Software, Subscription, SubscriptionAct,
};
use xmpp_parsers::stanza::Stanza;

use crate::xml;

pub(crate) fn stanzas(text: &str) -> Result<Vec<Input>, String> {
    let elements = xml::read(text)?;
    elements
        .into_iter()
        .map(|element| match stanza(element) {
            Ok(stanza) => Ok(Input::Stanza(Box::new(stanza))),
            Err(error) => Err(format!("no stanza: {error}")),
        })
        .collect()
}

/// As the stream would parse it.
pub(crate) fn stanza(element: Element) -> Result<Stanza, String> {
    prosed_session::read_stanza(element).ok_or_else(|| "nothing that can be read".to_owned())
}

pub(crate) fn bare(text: &str) -> Result<BareJid, String> {
    BareJid::new(text).map_err(|error| format!("{text}: {error}"))
}

/// `2s`, `500ms`, `5min`, `24h`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or("how long?")?;
    let count: u64 = text[..end].parse().map_err(|_| format!("how long: {text}"))?;
    match &text[end..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "min" => Ok(Duration::from_secs(count * 60)),
        "h" => Ok(Duration::from_secs(count * 60 * 60)),
        _ => Err(format!("how long: {text}")),
    }
}

/// What the server says that it takes (XEP-0478).
pub(crate) fn max_bytes(words: &[&str]) -> Result<Option<u32>, String> {
    let bytes = words.iter().find_map(|word| word.strip_prefix("max-bytes="));
    bytes.map(|bytes| bytes.parse().map_err(|_| format!("a number: {bytes}"))).transpose()
}

pub(crate) fn failure(word: &str) -> Result<Failure, String> {
    Ok(match word {
        "notAuthorized" => {
            Failure::NotAuthorized { condition: "not-authorized".to_owned(), text: String::new() }
        }
        "serverUnreachable" => Failure::ServerUnreachable { text: String::new() },
        "tlsFailed" => Failure::TlsFailed { text: String::new() },
        "downgradeRefused" => Failure::DowngradeRefused { text: String::new() },
        "sessionReplaced" => Failure::SessionReplaced,
        _ => return Err(format!("no failure that plays know: {word}")),
    })
}

pub(crate) fn command(name: &str, words: &[&str]) -> Result<Command, String> {
    Ok(match (name, words) {
        ("login", []) => Command::Login,
        ("logout", []) => Command::Logout,
        ("get_account", []) => Command::GetAccount,
        ("load_roster", []) => Command::LoadRoster,
        ("load_state", []) => Command::LoadState,
        ("show_contacts", jids) => {
            Command::ShowContacts { jids: jids.iter().map(|jid| bare(jid)).collect::<Result<_, _>>()? }
        }
        ("get_contact", [jid]) => Command::GetContact { jid: bare(jid)? },
        ("load_avatar", [jid]) => Command::LoadAvatar { jid: bare(jid)? },
        ("load_profile", [jid]) => Command::LoadProfile { jid: bare(jid)?, refresh: false },
        ("load_profile", [jid, "refresh"]) => Command::LoadProfile { jid: bare(jid)?, refresh: true },
        ("add_contact", [jid, words @ ..]) => {
            let (name, groups) = name_and_groups(words);
            let subscribe = (!words.contains(&"unsubscribed")).then(|| request(words));
            Command::AddContact { jid: bare(jid)?, name, groups: groups.unwrap_or_default(), subscribe }
        }
        ("update_contact", [jid, words @ ..]) => {
            let (name, groups) = name_and_groups(words);
            Command::UpdateContact { jid: bare(jid)?, name, groups }
        }
        ("rename_group", [from, to]) => {
            Command::RenameGroup { from: (*from).to_owned(), to: (*to).to_owned() }
        }
        ("remove_contact", [jid]) => Command::RemoveContact { jid: bare(jid)? },
        ("list_subscription_requests", []) => Command::ListSubscriptionRequests,
        ("approve_subscription", [jid]) => subscription(jid, SubscriptionAct::Approve)?,
        ("deny_subscription", [jid]) => subscription(jid, SubscriptionAct::Deny)?,
        ("request_subscription", [jid, words @ ..]) => subscription(jid, request(words))?,
        ("cancel_subscription", [jid]) => subscription(jid, SubscriptionAct::Cancel)?,
        ("set_avatar", ["none"]) => Command::SetAvatar { images: Vec::new() },
        ("set_avatar", images) => {
            let images: Result<_, _> = images.iter().map(|image| BASE64_STANDARD.decode(image)).collect();
            Command::SetAvatar { images: images.map_err(|_| "pictures are base64")? }
        }
        ("set_profile", words) => Command::SetProfile(Box::new(profile_patch(words)?)),
        ("set_presence", words) => Command::SetPresence(own_presence(words)?),
        _ => return Err(format!("not a call: {name} {}", words.join(" "))),
    })
}

fn subscription(jid: &str, act: SubscriptionAct) -> Result<Command, String> {
    Ok(Command::Subscription { jid: bare(jid)?, act })
}

/// `message="We met at the ball"`.
fn request(words: &[&str]) -> SubscriptionAct {
    let message = words.iter().find_map(|word| word.strip_prefix("message="));
    SubscriptionAct::Request { message: message.map(str::to_owned) }
}

/// `fn="Marc Bauer" email=a@b email=c@d note=`; an empty one takes away.
fn profile_patch(words: &[&str]) -> Result<ProfilePatch, String> {
    let mut patch = ProfilePatch::default();
    let mut address = AddressPatch::default();
    for word in words {
        let (part, text) = word.split_once('=').ok_or("a part of a profile, and what becomes of it")?;
        let change = Change::from(Some(text.to_owned()).filter(|text| !text.is_empty()));
        let list = match part {
            "email" => &mut patch.emails,
            "tel" => &mut patch.phones,
            "url" => &mut patch.urls,
            _ => {
                match part {
                    "fn" => patch.full_name = change,
                    "nickname" => patch.nickname = change,
                    "org" => patch.organization = change,
                    "bday" => patch.birthday = change,
                    "note" => patch.note = change,
                    "locality" => address.locality = change,
                    "street" => address.street = change,
                    "adr" => patch.address = Change::Remove,
                    _ => return Err(format!("no part of a profile: {part}")),
                }
                continue;
            }
        };
        match (list, change) {
            (Change::Set(texts), Change::Set(text)) => texts.push(text),
            (list, Change::Set(text)) => *list = Change::Set(vec![text]),
            (list, _) => *list = Change::Remove,
        }
    }
    if address != AddressPatch::default() {
        patch.address = Change::Set(address);
    }
    Ok(patch)
}

/// `"Name" group=Friends group=Work`; `group=` alone: none.
fn name_and_groups(words: &[&str]) -> (Option<String>, Option<BTreeSet<String>>) {
    let groups: Vec<_> = words.iter().filter_map(|word| word.strip_prefix("group=")).collect();
    let is_name =
        |word: &&&str| !["group=", "message=", "unsubscribed"].iter().any(|other| word.starts_with(other));
    let name = words.iter().find(is_name);
    let set = groups.iter().filter(|group| !group.is_empty()).map(|&group| group.to_owned()).collect();
    (name.map(|&name| name.to_owned()), (!groups.is_empty()).then_some(set))
}

pub(crate) fn own_presence(words: &[&str]) -> Result<OwnPresence, String> {
    let availability = match words.first().copied() {
        Some("chat") => Availability::Chat,
        Some("available") => Availability::Available,
        Some("away") => Availability::Away,
        Some("xa") => Availability::Xa,
        Some("dnd") => Availability::Dnd,
        Some("unavailable") => Availability::Unavailable,
        _ => return Err("available, chat, away, xa, dnd or unavailable".to_owned()),
    };
    let priority = words.iter().find_map(|word| word.strip_prefix("priority="));
    let priority = priority.map(|number| number.parse().map_err(|_| "a priority")).transpose()?;
    let status = words[1..].iter().find(|word| !word.starts_with("priority="));
    Ok(OwnPresence { availability, status: status.map(|&status| status.to_owned()), priority })
}

/// For the cache, where the session's own reading has nothing to say.
pub(crate) fn roster_item(item: &Element) -> Result<RosterItem, String> {
    let groups = item.children().filter(|child| child.name() == "group").map(Element::text);
    let jid = item.attr("jid").ok_or("whose item?")?;
    let jid = jid::Jid::new(jid).map_err(|error| format!("{jid}: {error}"))?;
    Ok(RosterItem {
        resource: jid.resource().map(|resource| resource.to_string()),
        jid: jid.into_bare(),
        name: item.attr("name").map(str::to_owned),
        subscription: match item.attr("subscription") {
            None | Some("none") => Subscription::None,
            Some("to") => Subscription::To,
            Some("from") => Subscription::From,
            Some("both") => Subscription::Both,
            Some(other) => return Err(format!("no subscription: {other}")),
        },
        ask: item.attr("ask") == Some("subscribe"),
        approved: item.attr("approved") == Some("true"),
        groups: groups.collect::<BTreeSet<_>>().into(),
    })
}

/// Who the seed's start-up sequence says that it is (its step 2.1.2).
pub(crate) fn seed() -> Software {
    let features = [
        "urn:xmpp:avatar:data",
        "urn:xmpp:avatar:metadata",
        "urn:xmpp:avatar:metadata+notify",
        "urn:xmpp:ping",
        "http://jabber.org/protocol/pubsub",
        "http://jabber.org/protocol/pubsub+notify",
        "urn:xmpp:receipts",
        "urn:ietf:params:xml:ns:vcard-4.0",
        "urn:ietf:params:xml:ns:vcard-4.0+notify",
    ];
    Software {
        node: "https://www.prose.org".to_owned(),
        category: "client".to_owned(),
        type_: "pc".to_owned(),
        name: "Prose".to_owned(),
        features: features.map(str::to_owned).to_vec(),
    }
}
