//! XEP-0115: Entity Capabilities, ours and others'.
//!
//! Others' are queried once per hash and trusted only if the hash matches (§5.4); what does not match counts for that
//! one device only. So does what cannot be verified: caps without a hash, as in XEP-0115 up to version 1.3, or with
//! an unknown one. Left out: clients that announce no caps (§8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jid::{BareJid, Jid};
use minidom::Element;
use tracing::debug;
use xmpp_parsers::caps::Caps;
use xmpp_parsers::hashes::{Algo, Hash};
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Type};
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::disco::Info;
use crate::dropped::What;
use crate::effect::Write;
use crate::lookups::{Kind, Lookup};
use crate::model::{CapsKey, CapsRecord};
use crate::person::{self, Online, Person};
use crate::request::{CapsQuery, Outcome, Request};
use crate::{Session, Step, bounds, disco};

mod hash;
mod known;
mod software;

use hash::{fits, is_verifiable};
use known::Features;
pub use software::Software;

pub(crate) const FEATURES: &[&str] = &[ns::CAPS];

/// Bytes of a caps `node`, which is a URL, and of a hash in base64.
const NODE_BYTES: usize = 500;
const VER_BYTES: usize = 100;

/// A hash that nobody has explained yet.
#[derive(Default)]
struct Unknown {
    /// The devices that show it and have not failed to explain it, with the node that each names: all of them learn
    /// its meaning.
    holders: BTreeMap<Jid, String>,
    /// The devices being queried: one at a time if its answer counts for all.
    asked: BTreeSet<Jid>,
    /// Holders whose turn came while another was being queried: candidates if that one fails.
    waiting: BTreeSet<Jid>,
}

pub(crate) struct State {
    software: Software,
    ver: String,
    features: Features,
}

#[derive(Default)]
pub(crate) struct PerStream {
    /// At most one for each hash that devices show: a device that changes its hash leaves the old one.
    unknown: BTreeMap<CapsKey, Unknown>,
    /// Bytes of the explanations that contacts have given on this stream.
    explained: BTreeMap<BareJid, usize>,
    /// How often a device was considered for a query.
    #[cfg(test)]
    pub(crate) looks: std::cell::Cell<usize>,
}

impl State {
    pub(crate) fn new(software: Software, known: Vec<(CapsKey, CapsRecord)>) -> Self {
        Self { ver: software.ver(), software, features: Features::cached(known) }
    }

    /// §6.1: what our presence carries.
    pub(crate) fn announcement(&self) -> Element {
        let hash = Hash { algo: Algo::Sha_1, hash: self.software.digest() };
        Caps::new(self.software.node.clone(), hash).into()
    }

    /// §6.2: answers a query for our `node#ver`, or without a node. We have no other nodes.
    pub(crate) fn disclose(&self, query: &Element) -> Result<Option<Element>, DefinedCondition> {
        let node = query.attr("node");
        let ours = node.is_none_or(|node| {
            node.strip_prefix(&self.software.node).and_then(|rest| rest.strip_prefix('#'))
                == Some(self.ver.as_str())
        });
        if ours {
            Ok(Some(self.software.info().answer(node.map(str::to_owned))))
        } else {
            Err(DefinedCondition::ItemNotFound)
        }
    }
}

impl PerStream {
    /// The devices that show unknown hashes, and those that have explained one.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        // An entry without devices would be a leak.
        let holders =
            self.unknown.values().map(|unknown| (unknown.holders.len() + unknown.waiting.len()).max(1));
        holders.sum::<usize>() + self.explained.len()
    }

    /// A device no longer shows a hash.
    fn forget_holder(&mut self, holder: &Jid, key: &CapsKey) {
        if let Some(unknown) = self.unknown.get_mut(key) {
            unknown.holders.remove(holder);
            unknown.waiting.remove(holder);
            if unknown.holders.is_empty() {
                self.unknown.remove(key);
            }
        }
    }

    fn next_waiting(&mut self, key: &CapsKey) -> Option<Jid> {
        self.unknown.get_mut(key)?.waiting.pop_first()
    }

    /// A contact's device is gone.
    pub(crate) fn forget_device(&mut self, owner: &BareJid, resource: &str, online: &Online) {
        if let (Some(key), Some(holder)) = (&online.caps, person::device(owner, resource)) {
            self.forget_holder(&holder, key);
        }
    }

    /// A JID is no longer a contact.
    pub(crate) fn forget_contact(&mut self, jid: &BareJid, person: &Person) {
        self.explained.remove(jid);
        person.online.iter().for_each(|(resource, online)| self.forget_device(jid, resource, online));
    }
}

fn announced(presence: &Presence) -> Option<(CapsKey, String)> {
    let caps = presence.payloads.iter().find(|payload| payload.is("c", ns::CAPS))?;
    let [hash, ver, node] = ["hash", "ver", "node"].map(|name| caps.attr(name).unwrap_or_default());
    let readable = hash.len().max(ver.len()) <= VER_BYTES && node.len() <= NODE_BYTES;
    readable.then(|| (CapsKey { hash: hash.to_owned(), ver: ver.to_owned() }, node.to_owned()))
}

impl Session {
    /// Nobody is left to query.
    pub(crate) fn forget_unknown_caps(&mut self) {
        self.stream.caps = PerStream::default();
    }

    /// Notes the client announced in a presence, and has it queried if it is unknown.
    pub(crate) fn note_caps(&mut self, from: &Jid, presence: &Presence, step: &mut Step<'_>) {
        if presence.type_ != Type::None {
            return;
        }
        let bare = from.to_bare();
        let announced = announced(presence);
        let known = announced.as_ref().and_then(|(key, _)| self.caps.features.get(key));
        let Some(person) = self.people.edit(&bare) else { return };
        let room = bounds::ONLINE_BYTES.saturating_sub(person.online_bytes(&bare));
        let Some(online) = person.online.get_mut(person::resource(from)) else { return };
        let is_new = announced.as_ref().map(|(key, _)| key) != online.caps.as_ref();
        let before = if is_new { online.forget_caps() } else { None };
        if let Some(before) = before {
            self.stream.caps.forget_holder(from, &before);
        }
        let Some((key, node)) = announced else { return };
        if is_new {
            let bytes = key.bytes() + node.len();
            if bytes > room {
                self.dropped.note(What::Devices, step.now);
                return;
            }
            online.caps = Some(key.clone());
            online.caps_bytes = bytes;
        }
        if known.is_some() {
            online.client = known;
        } else if online.client.is_none() {
            // They may be able to explain it by now.
            online.is_clueless = false;
            self.stream.caps.unknown.entry(key).or_default().holders.insert(from.clone(), node);
            self.stream.lookups.put(&bare, Kind::Caps);
        }
    }

    /// Whether a device may be queried for its hash once nobody else is being queried.
    fn may_explain(&self, holder: &Jid, key: &CapsKey) -> bool {
        #[cfg(test)]
        self.stream.caps.looks.update(|looks| looks + 1);
        let Some(person) = self.people.person(&holder.to_bare()) else { return false };
        let shows = |online: &&Online| online.caps.as_ref() == Some(key);
        let failed = person.online.values().filter(shows).filter(|online| online.is_clueless).count();
        let online = person.online.get(person::resource(holder)).filter(shows);
        (failed < bounds::CAPS_ATTEMPTS || !is_verifiable(key))
            && online.is_some_and(|online| !online.is_clueless && online.client.is_none())
            && self.stream.caps.unknown.get(key).is_some_and(|unknown| unknown.holders.contains_key(holder))
    }

    /// Whether a device must first wait for an answer: its own, or another's that counts for it.
    fn is_asked(&self, holder: &Jid, key: &CapsKey) -> bool {
        self.stream.caps.unknown.get(key).is_some_and(|unknown| match is_verifiable(key) {
            true => !unknown.asked.is_empty(),
            false => unknown.asked.contains(holder),
        })
    }

    /// A contact's turn has come: queries one of their hashes.
    pub(crate) fn ask_for_caps(&mut self, lookup: Lookup, step: &mut Step<'_>) {
        let contact = &lookup.contact;
        let Some(person) = self.people.person(contact) else { return };
        let devices = person.online.iter().filter_map(|(resource, online)| {
            Some((person::device(contact, resource)?, online.caps.clone()?))
        });
        let able = devices.filter(|(holder, key)| self.may_explain(holder, key));
        let (later, now): (Vec<_>, Vec<_>) = able.partition(|(holder, key)| self.is_asked(holder, key));
        for (holder, key) in later {
            if let Some(unknown) = self.stream.caps.unknown.get_mut(&key) {
                unknown.waiting.insert(holder);
            }
        }
        let mut now = now.into_iter();
        let Some((holder, key)) = now.next() else { return };
        if now.next().is_some() {
            self.stream.lookups.put(contact, Kind::Caps);
        }
        let Some(unknown) = self.stream.caps.unknown.get_mut(&key) else { return };
        // Each with its own node: nobody can cause queries to others for a node that they don't have.
        let Some(node) = unknown.holders.get(&holder) else { return };
        // Without a node if the answer proves nothing: the bundles of XEP-0115 1.3 have their own nodes.
        let query = disco::info_query(is_verifiable(&key).then(|| format!("{node}#{}", key.ver)));
        unknown.waiting.remove(&holder);
        unknown.asked.insert(holder.clone());
        let asked = CapsQuery { key, holder: holder.clone() };
        self.ask_for(Some(lookup), Some(holder), query, Request::Disco { asked }, step);
    }

    pub(crate) fn handle_disco_result(&mut self, asked: CapsQuery, outcome: Outcome, step: &mut Step<'_>) {
        let CapsQuery { key, holder } = asked;
        let info = outcome.ok().flatten().as_ref().and_then(Info::read);
        let told = info.map(|info| (fits(&info, &key), info.record()));
        let told = told.filter(|(_, record)| record.bytes() <= bounds::CAPS_RECORD_BYTES);
        if let Some(unknown) = self.stream.caps.unknown.get_mut(&key) {
            unknown.asked.remove(&holder);
        }
        match told {
            Some((true, record)) => self.note_meaning(key, &holder, record, step),
            unfit => {
                self.stream.caps.forget_holder(&holder, &key);
                self.edit_device(&holder, &key, |online| online.is_clueless = true);
                if let Some((_, record)) = unfit {
                    debug!("caps that no hash confirms count for that device only");
                    self.note_own_client(&holder, &key, &Arc::new(record), step);
                }
                // Each is considered once, since those waiting have had a turn for it; not all holders are scanned.
                while let Some(other) = self.stream.caps.next_waiting(&key) {
                    if self.may_explain(&other, &key) {
                        self.stream.lookups.put(&other.to_bare(), Kind::Caps);
                        break;
                    }
                }
            }
        }
        // Their other devices.
        self.stream.lookups.put(&holder.to_bare(), Kind::Caps);
    }

    /// A hash has been explained, and the explanation matches.
    fn note_meaning(&mut self, key: CapsKey, by: &Jid, record: CapsRecord, step: &mut Step<'_>) {
        let holders =
            self.stream.caps.unknown.remove(&key).map(|unknown| unknown.holders).unwrap_or_default();
        let explained = self.stream.caps.explained.entry(by.to_bare()).or_default();
        let (kept, gone) = if *explained + record.bytes() <= bounds::CAPS_BYTES_PER_CONTACT {
            *explained += record.bytes();
            self.caps.features.learn(key.clone(), record)
        } else {
            (Err(record), Vec::new())
        };
        match kept {
            Ok(record) => {
                for holder in holders.keys() {
                    self.edit_device(holder, &key, |online| online.client = Some(Arc::clone(&record)));
                }
                step.save(Write::Caps { key, record: Some((*record).clone()) });
            }
            Err(record) => {
                self.dropped.note(What::Caps, step.now);
                let record = Arc::new(record);
                for holder in holders.keys() {
                    self.note_own_client(holder, &key, &record, step);
                }
            }
        }
        for key in gone {
            step.save(Write::Caps { key, record: None });
        }
    }

    /// What counts for one device only takes room from its owner's share.
    fn note_own_client(
        &mut self,
        holder: &Jid,
        key: &CapsKey,
        record: &Arc<CapsRecord>,
        step: &mut Step<'_>,
    ) {
        let bare = holder.to_bare();
        let Some(person) = self.people.person(&bare) else { return };
        if person.online_bytes(&bare) + record.bytes() > bounds::ONLINE_BYTES {
            return self.dropped.note(What::Caps, step.now);
        }
        self.edit_device(holder, key, |online| {
            online.client = Some(Arc::clone(record));
            online.caps_bytes += record.bytes();
        });
    }

    /// Changes a device, if it still shows this hash.
    fn edit_device(&mut self, holder: &Jid, key: &CapsKey, change: impl FnOnce(&mut Online)) {
        let person = self.people.edit(&holder.to_bare());
        let online = person.and_then(|person| person.online.get_mut(person::resource(holder)));
        if let Some(online) = online.filter(|online| online.caps.as_ref() == Some(key)) {
            change(online);
        }
    }
}
