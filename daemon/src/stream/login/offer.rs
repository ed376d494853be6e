//! What a server offers to log in with, read from its stream features.

use minidom::Element;
use xmpp_parsers::ns;

use super::scram::ScramMechanism;
use crate::stream::reach::binding::{BindingType, Bindings};

/// XEP-0440's namespace.
const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";

/// What a server offers, in order of the names: servers list them in any. Read from the raw features, since a list with a name that the parser
/// doesn't know must neither fail the login nor be cut: XEP-0474 hashes all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// RFC 6120 §6.
    pub sasl: Vec<String>,
    /// XEP-0388.
    pub sasl2: Vec<String>,
    /// XEP-0484: mechanisms for tokens, inside SASL2 only.
    pub fast: Vec<String>,
    /// XEP-0198 §9: a session can be resumed inside SASL2.
    pub resumes: bool,
    /// XEP-0386: a resource can be bound inside SASL2.
    pub binds: bool,
    /// That session can be managed from the start.
    pub manages: bool,
    /// XEP-0440; absent where the server sends no list.
    pub bindings: Option<Vec<String>>,
}

/// How the exchange is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// RFC 6120 §6.
    Sasl,
    /// XEP-0388.
    Sasl2,
}

/// One way to log in by SCRAM that an offer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scram {
    pub profile: Profile,
    pub mechanism: ScramMechanism,
    /// What it is bound by.
    pub binding: Option<BindingType>,
}

impl Offer {
    pub(crate) fn read(features: &Element) -> Self {
        let names = |parent: Option<&Element>, namespace: &str| -> Vec<String> {
            let children = parent.into_iter().flat_map(Element::children);
            sorted(children.filter(|child| child.is("mechanism", namespace)).map(Element::text).collect())
        };
        let sasl2 = features.get_child("authentication", ns::SASL2);
        let inline = sasl2.and_then(|sasl2| sasl2.get_child("inline", ns::SASL2));
        let bind = inline.and_then(|inline| inline.get_child("bind", ns::BIND2));
        // XEP-0386 §3: what can be asked for along with it, by namespace.
        let along = bind.and_then(|bind| bind.get_child("inline", ns::BIND2));
        let manages = along.is_some_and(|along| {
            let is_it = |feature: &Element| feature.attr("var") == Some(ns::SM);
            along.children().filter(|feature| feature.name() == "feature").any(is_it)
        });
        let bindings = features.get_child("sasl-channel-binding", CHANNEL_BINDING).map(|list| {
            let kinds = list.children().filter(|child| child.is("channel-binding", CHANNEL_BINDING));
            sorted(kinds.filter_map(|kind| kind.attr("type")).map(str::to_owned).collect())
        });
        Self {
            sasl: names(features.get_child("mechanisms", ns::SASL), ns::SASL),
            sasl2: names(sasl2, ns::SASL2),
            fast: names(inline.and_then(|inline| inline.get_child("fast", ns::FAST)), ns::FAST),
            resumes: inline.is_some_and(|inline| inline.has_child("sm", ns::SM)),
            binds: bind.is_some(),
            manages,
            bindings,
        }
    }

    /// The mechanisms of one profile.
    pub(crate) fn mechanisms(&self, profile: Profile) -> &[String] {
        match profile {
            Profile::Sasl => &self.sasl,
            Profile::Sasl2 => &self.sasl2,
        }
    }

    /// The mechanisms of both.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.sasl.iter().chain(&self.sasl2).map(String::as_str)
    }

    /// The server binds logins in some way.
    pub(crate) fn binds(&self) -> bool {
        self.all().any(|name| name.ends_with("-PLUS"))
    }

    /// All that can be used of SCRAM on this connection. Where both sides can bind, only what is bound: to
    /// offer a hash unbound that others are bound with is not what an honest server does.
    pub(crate) fn scram<'a>(&'a self, bindings: &Bindings) -> impl Iterator<Item = Scram> + use<'a> {
        let binding = bindings.common(self.bindings.as_deref()).filter(|_| self.binds());
        let all = [Profile::Sasl, Profile::Sasl2]
            .into_iter()
            .flat_map(|profile| ScramMechanism::ALL.map(|mechanism| (profile, mechanism)));
        let offered = move |&(profile, mechanism): &(Profile, ScramMechanism)| {
            let name = if binding.is_some() { mechanism.bound_name() } else { mechanism.name() };
            self.mechanisms(profile).iter().any(|offered| offered == name)
        };
        all.filter(offered).map(move |(profile, mechanism)| Scram { profile, mechanism, binding })
    }

    /// What a server that protects its offer hashes (XEP-0474 §5.1).
    pub(crate) fn advertised(&self, profile: Profile) -> String {
        let join = |names: &[String]| {
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.join("\x1e")
        };
        let mechanisms = join(self.mechanisms(profile));
        match &self.bindings {
            Some(bindings) => format!("{mechanisms}\x1f{}", join(bindings)),
            None => mechanisms,
        }
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(content: &str) -> Offer {
        let features = format!(
            "<stream:features xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{content}</stream:features>"
        );
        Offer::read(&features.parse().unwrap())
    }

    #[test]
    fn names_that_nobody_knows_are_kept() {
        let offer = offer(
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism><other/></mechanisms>\
             <authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism><mechanism>NEW</mechanism>\
             <inline><fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication>\
             <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='new'/></sasl-channel-binding>",
        );
        assert_eq!(offer.sasl, ["PLAIN"]);
        assert_eq!(offer.sasl2, ["NEW", "SCRAM-SHA-1"]);
        assert_eq!(offer.fast, ["HT-SHA-256-NONE"]);
        assert_eq!(offer.bindings, Some(vec!["new".to_owned()]));
        assert_eq!(self::offer(""), Offer::default());
    }

    #[test]
    fn what_is_hashed_is_the_example_of_the_xep() {
        let mut offer = Offer {
            sasl2: ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"].map(str::to_owned).into(),
            bindings: Some(["tls-server-end-point", "tls-exporter"].map(str::to_owned).into()),
            ..Offer::default()
        };
        assert_eq!(
            offer.advertised(Profile::Sasl2),
            "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point"
        );
        offer.bindings = None;
        assert_eq!(offer.advertised(Profile::Sasl2), "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS");
    }
}
