//! XEP-0115: Entity Capabilities, ours and others'.
//!
//! Others' are asked for once a hash and believed only where the hash fits (§5.4); what doesn't
//! fit counts for the one device that said it. Left out: hashes other than SHA-1 and SHA-256,
//! and clients that announce none (§8).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jid::{FullJid, Jid};
use minidom::Element;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use tracing::debug;
use xmpp_parsers::caps::Caps;
use xmpp_parsers::hashes::{Algo, Hash};
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Type};
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::disco::{Form, IdentityText, Info};
use crate::effect::Write;
use crate::pending::{Outcome, Request};
use crate::snapshot::{CapsKey, CapsRecord};
use crate::{Session, Turn, avatar, bounds, disco, pep, ping, vcard};

const FEATURES: &[&str] = &[ns::CAPS];

/// Characters of a caps `node`, which is a URL, and of a hash in base64.
const NODE_CHARS: usize = 500;
const VER_CHARS: usize = 100;

/// Which program we say that we are.
#[derive(Debug, Clone, PartialEq)]
pub struct Software {
    /// A URI that names the program (XEP-0115 §4).
    pub node: String,
    /// As in «client» (XEP-0030 §3.1).
    pub category: String,
    /// As in «pc».
    pub type_: String,
    /// What people see.
    pub name: String,
    /// What it supports, in any order.
    pub features: Vec<String>,
}

impl Software {
    /// prosed: what each extension here declares.
    pub fn prosed() -> Self {
        let features =
            [FEATURES, avatar::FEATURES, disco::FEATURES, pep::FEATURES, ping::FEATURES, vcard::FEATURES];
        Self {
            node: "https://www.prose.org".to_owned(),
            category: "client".to_owned(),
            type_: "pc".to_owned(),
            name: "prosed".to_owned(),
            features: features.concat().into_iter().map(str::to_owned).collect(),
        }
    }

    /// The caps hash of it: SHA-1, base64 (XEP-0115 §5).
    pub fn ver(&self) -> String {
        BASE64_STANDARD.encode(self.digest())
    }

    fn digest(&self) -> Vec<u8> {
        Sha1::digest(verification_string(&self.info()).unwrap_or_default()).to_vec()
    }

    fn info(&self) -> Info {
        let identity = IdentityText {
            category: self.category.clone(),
            type_: self.type_.clone(),
            lang: String::new(),
            name: self.name.clone(),
        };
        Info { identities: vec![identity], features: self.features.clone(), forms: Vec::new() }
    }
}

/// The string that is hashed (§5.1); `None` where the information is ill-formed (§5.4).
fn verification_string(info: &Info) -> Option<String> {
    let mut identities: Vec<&IdentityText> = info.identities.iter().collect();
    identities.sort();
    let mut features: Vec<&String> = info.features.iter().collect();
    features.sort();
    let mut text = String::new();
    let mut put = |part: &str| {
        // A `<` inside a part could make one set look like another.
        let fits = !part.contains('<');
        text.push_str(part);
        text.push('<');
        fits
    };
    if identities.windows(2).any(|pair| pair[0] == pair[1])
        || features.windows(2).any(|pair| pair[0] == pair[1])
    {
        return None;
    }
    for IdentityText { category, type_, lang, name } in identities {
        put(&format!("{category}/{type_}/{lang}/{name}")).then_some(())?;
    }
    for feature in features {
        put(feature).then_some(())?;
    }
    let mut forms: BTreeMap<&str, &Form> = BTreeMap::new();
    for form in &info.forms {
        // §5.4: a form with no hidden FORM_TYPE counts for nothing.
        let Some(form_type) = form.form_type() else { continue };
        let first = form_type.first()?;
        if form_type.iter().any(|other| other != first) || forms.insert(first, form).is_some() {
            return None;
        }
    }
    for (form_type, form) in forms {
        put(form_type).then_some(())?;
        let mut fields: Vec<_> = form.fields.iter().filter(|(var, ..)| var != "FORM_TYPE").collect();
        fields.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (var, _, values) in fields {
            put(var).then_some(())?;
            let mut values: Vec<&String> = values.iter().collect();
            values.sort();
            for value in values {
                put(value).then_some(())?;
            }
        }
    }
    Some(text)
}

fn fits(info: &Info, key: &CapsKey) -> bool {
    let Some(text) = verification_string(info) else { return false };
    let ver = match key.hash.as_str() {
        "sha-1" => BASE64_STANDARD.encode(Sha1::digest(text)),
        _ => BASE64_STANDARD.encode(Sha256::digest(text)),
    };
    ver == key.ver
}

/// Whom we asked about which hash.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    key: CapsKey,
    holder: FullJid,
}

/// A hash that nobody has explained yet.
struct Question {
    node: String,
    /// Who shows it, and has not failed to explain it.
    holders: BTreeSet<FullJid>,
    attempts: u8,
}

pub(crate) struct State {
    software: Software,
    ver: String,
    known: BTreeMap<CapsKey, Arc<CapsRecord>>,
    questions: BTreeMap<CapsKey, Question>,
    /// Those of the questions that are to be asked.
    queue: VecDeque<CapsKey>,
}

impl State {
    pub(crate) fn new(software: Software, known: Vec<(CapsKey, CapsRecord)>) -> Self {
        let known = known.into_iter().take(bounds::CAPS_KNOWN).map(|(key, record)| (key, Arc::new(record)));
        let (known, questions) = (known.collect(), BTreeMap::new());
        Self { ver: software.ver(), software, known, questions, queue: VecDeque::new() }
    }

    /// §6.1: what our presence carries.
    pub(crate) fn announcement(&self) -> Element {
        let hash = Hash { algo: Algo::Sha_1, hash: self.software.digest() };
        Caps::new(self.software.node.clone(), hash).into()
    }

    /// §6.2: answers a query for our `node#ver`, or for no node. Other nodes we don't have.
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

    /// The stream is gone, and with it whom we could ask.
    pub(crate) fn forget_questions(&mut self) {
        self.questions.clear();
        self.queue.clear();
    }

    /// Keeps what a hash means; answers which other one had to go for it.
    fn learn(&mut self, key: CapsKey, record: Arc<CapsRecord>) -> Option<CapsKey> {
        let mut forgotten = None;
        if self.known.len() >= bounds::CAPS_KNOWN {
            // One that nobody shows: no presence holds it but this table.
            forgotten = self
                .known
                .iter()
                .find(|(_, record)| Arc::strong_count(record) == 1)
                .map(|(key, _)| key.clone());
            forgotten.as_ref().map(|key| self.known.remove(key));
        }
        if self.known.len() < bounds::CAPS_KNOWN {
            self.known.insert(key, record);
        }
        forgotten
    }
}

fn announced(presence: &Presence) -> Option<(CapsKey, String)> {
    let caps = presence.payloads.iter().find(|payload| payload.is("c", ns::CAPS))?;
    let (hash, ver, node) = (caps.attr("hash")?, caps.attr("ver")?, caps.attr("node")?);
    let readable = matches!(hash, "sha-1" | "sha-256") && ver.len() <= VER_CHARS && node.len() <= NODE_CHARS;
    readable.then(|| (CapsKey { hash: hash.to_owned(), ver: ver.to_owned() }, node.to_owned()))
}

impl Session {
    /// Notes which client somebody's presence announces, and has it asked for if it is unknown.
    pub(crate) fn note_caps(&mut self, from: &FullJid, presence: &Presence, turn: &mut Turn<'_>) {
        if presence.type_ != Type::None {
            return;
        }
        let announced = announced(presence);
        let known = announced.as_ref().and_then(|(key, _)| self.caps.known.get(key).cloned());
        let Some(person) = self.people.edit(&from.to_bare()) else { return };
        let Some(online) = person.online.get_mut(from.resource().as_str()) else { return };
        let Some((key, node)) = announced else {
            (online.caps, online.client) = (None, None);
            return;
        };
        if known.is_some() || online.caps.as_ref() != Some(&key) {
            online.client.clone_from(&known);
            online.caps = Some(key.clone());
        }
        if known.is_some() || online.client.is_some() {
            return;
        }
        let question = self.caps.questions.entry(key.clone()).or_insert_with(|| {
            self.caps.queue.push_back(key);
            Question { node, holders: BTreeSet::new(), attempts: 0 }
        });
        if question.holders.len() < bounds::CAPS_HOLDERS {
            question.holders.insert(from.clone());
        }
        self.ask_caps(turn);
    }

    /// Asks as many questions as may be in flight.
    pub(crate) fn ask_caps(&mut self, turn: &mut Turn<'_>) {
        while self.pending.count(|request| matches!(request, Request::Disco { .. })) < bounds::DISCO_IN_FLIGHT
        {
            let Some(key) = self.caps.queue.pop_front() else { return };
            let Some(question) = self.caps.questions.get_mut(&key) else { continue };
            let Some(holder) =
                question.holders.first().cloned().filter(|_| question.attempts < bounds::CAPS_ATTEMPTS)
            else {
                self.caps.questions.remove(&key);
                continue;
            };
            question.attempts += 1;
            let query = disco::info_query(format!("{}#{}", question.node, key.ver));
            let asked = Asked { key, holder: holder.clone() };
            self.pending.ask(Some(Jid::from(holder)), query, Request::Disco { asked }, turn);
        }
    }

    pub(crate) fn handle_disco_result(&mut self, asked: Asked, outcome: Outcome, turn: &mut Turn<'_>) {
        let info = outcome.ok().flatten().as_ref().and_then(Info::read);
        let Some(question) = self.caps.questions.get_mut(&asked.key) else { return };
        match info {
            Some(info) if fits(&info, &asked.key) => {
                let holders = std::mem::take(&mut question.holders);
                self.caps.questions.remove(&asked.key);
                let record = Arc::new(info.record());
                for holder in &holders {
                    self.note_client(holder, &asked.key, &record);
                }
                turn.save(Write::Caps { key: asked.key.clone(), record: Some((*record).clone()) });
                if let Some(key) = self.caps.learn(asked.key, record) {
                    turn.save(Write::Caps { key, record: None });
                }
            }
            unfit => {
                question.holders.remove(&asked.holder);
                self.caps.queue.push_back(asked.key.clone());
                if let Some(info) = unfit {
                    debug!("caps hash does not fit: it counts for that device only");
                    self.note_client(&asked.holder, &asked.key, &Arc::new(info.record()));
                }
            }
        }
    }

    fn note_client(&mut self, holder: &FullJid, key: &CapsKey, record: &Arc<CapsRecord>) {
        let Some(person) = self.people.edit(&holder.to_bare()) else { return };
        let online = person.online.get_mut(holder.resource().as_str());
        if let Some(online) = online.filter(|online| online.caps.as_ref() == Some(key)) {
            online.client = Some(Arc::clone(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list of the seed's step 2.1.2.
    const SEED: &[&str] = &[
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

    fn software(name: &str, type_: &str, features: &[&str]) -> Software {
        Software {
            node: "https://www.prose.org".to_owned(),
            category: "client".to_owned(),
            type_: type_.to_owned(),
            name: name.to_owned(),
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
        }
    }

    fn read(query: &str) -> Info {
        Info::read(&query.parse().unwrap()).unwrap()
    }

    fn sha1_of(info: &Info) -> Option<String> {
        verification_string(info).map(|text| BASE64_STANDARD.encode(Sha1::digest(text)))
    }

    #[test]
    fn the_seeds_list_gives_the_seeds_hash() {
        assert_eq!(software("Prose", "pc", SEED).ver(), "lxQNLxOaZh8OBH3ip7SManNtNI8=");
    }

    #[test]
    fn the_order_of_features_does_not_matter() {
        let mut reversed = SEED.to_vec();
        reversed.reverse();
        assert_eq!(software("Prose", "pc", &reversed).ver(), software("Prose", "pc", SEED).ver());
    }

    /// XEP-0115 §5.2.
    #[test]
    fn simple_example_of_the_xep() {
        let exodus = software(
            "Exodus 0.9.1",
            "pc",
            &[
                "http://jabber.org/protocol/caps",
                "http://jabber.org/protocol/disco#info",
                "http://jabber.org/protocol/disco#items",
                "http://jabber.org/protocol/muc",
            ],
        );
        assert_eq!(exodus.ver(), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    const PSI: &str = "<query xmlns='http://jabber.org/protocol/disco#info'>
        <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
        <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
        <feature var='http://jabber.org/protocol/caps'/>
        <feature var='http://jabber.org/protocol/disco#info'/>
        <feature var='http://jabber.org/protocol/disco#items'/>
        <feature var='http://jabber.org/protocol/muc'/>
        <x xmlns='jabber:x:data' type='result'>
          <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
          <field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>
          <field var='os'><value>Mac</value></field>
          <field var='os_version'><value>10.5.1</value></field>
          <field var='software'><value>Psi</value></field>
          <field var='software_version'><value>0.11</value></field>
        </x></query>";

    /// XEP-0115 §5.3.
    #[test]
    fn complex_example_of_the_xep() {
        assert_eq!(sha1_of(&read(PSI)).as_deref(), Some("q07IKJEyjvHSyhy//CH0CxmKi8w="));
    }

    /// XEP-0115 §5.4.
    #[test]
    fn ill_formed_information_has_no_hash() {
        let twice = PSI.replace(
            "<feature var='http://jabber.org/protocol/muc'/>",
            "<feature var='a'/><feature var='a'/>",
        );
        assert_eq!(sha1_of(&read(&twice)), None);
        let twice = PSI.replace(
            "xml:lang='el' category='client' name='Ψ 0.11'",
            "xml:lang='en' category='client' name='Psi 0.11'",
        );
        assert_eq!(sha1_of(&read(&twice)), None);
        let form = &PSI[PSI.find("<x ").unwrap()..PSI.find("</query>").unwrap()];
        assert_eq!(sha1_of(&read(&PSI.replace("</query>", &format!("{form}</query>")))), None);
        let types = PSI.replace("softwareinfo</value>", "softwareinfo</value><value>other</value>");
        assert_eq!(sha1_of(&read(&types)), None);
        let forged = PSI.replace("/muc'/>", "/muc&lt;client/pc//Psi'/>");
        assert_eq!(sha1_of(&read(&forged)), None);
    }

    #[test]
    fn a_form_without_hidden_type_counts_for_nothing() {
        let open = PSI.replace("var='FORM_TYPE' type='hidden'", "var='FORM_TYPE'");
        let none = format!("{}</query>", &PSI[..PSI.find("<x ").unwrap()]);
        assert_eq!(sha1_of(&read(&open)), sha1_of(&read(&none)));
    }

    #[test]
    fn what_we_say_of_ourselves_is_each_said_once() {
        let software = Software::prosed();
        let once: BTreeSet<&String> = software.features.iter().collect();
        assert_eq!(once.len(), software.features.len());
        assert!(verification_string(&software.info()).is_some());
    }
}
