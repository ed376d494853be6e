//! Holds a server to what it once offered for a login.
//!
//! An attacker with a certificate that we trust can stand in the middle, and remove from the offer what would reveal
//! them. Our first login cannot know; every later one can. So each mutually authenticated login pins what was
//! offered: the strongest hash of SCRAM, the strongest channel binding, and SASL2. A weaker offer is refused before
//! anything is sent, until somebody accepts it.

use serde::{Deserialize, Serialize};

use super::offer::{Offer, Profile, Scram};
use super::scram::ScramMechanism;
use crate::stream::reach::binding::{BindingType, Bindings};

/// What an account's logins now require. Not secret; stored with the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pins {
    /// At least this strong, and never PLAIN again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scram: Option<ScramMechanism>,
    /// Bound to the connection at least this tightly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binding: Option<BindingType>,
    /// By XEP-0388.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sasl2: bool,
}

impl Pins {
    /// There are none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What this offer, on this connection, would pin: what a login can use of it, in combination. A hash offered
    /// without binding next to weaker ones with it, or SASL2 without the strongest of them, is only for show.
    pub(crate) fn of(offer: &Offer, bindings: &Bindings) -> Self {
        let usable: Vec<_> = offer.scram(bindings).collect();
        let scram = usable.iter().map(|scram| scram.mechanism).max();
        let is_whole = |used: &Scram| used.profile == Profile::Sasl2 && Some(used.mechanism) == scram;
        Self {
            scram,
            binding: usable.first().and_then(|scram| scram.binding),
            sasl2: match scram {
                Some(_) => usable.iter().any(is_whole),
                None => offer.sasl2.iter().any(|name| name == "PLAIN"),
            },
        }
    }

    /// The union of what either would pin.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            scram: self.scram.max(other.scram),
            binding: self.binding.max(other.binding),
            sasl2: self.sasl2 || other.sasl2,
        }
    }

    /// What is missing from an offer that would pin `seen`, if anything.
    pub(crate) fn missing_from(&self, seen: &Self) -> Option<String> {
        let scram = self.scram.filter(|_| seen.scram < self.scram).map(ScramMechanism::name);
        let binding = self.binding.filter(|_| seen.binding < self.binding).map(BindingType::name);
        let sasl2 = (self.sasl2 && !seen.sasl2).then_some("SASL2");
        let missing: Vec<_> = [scram, binding, sasl2].into_iter().flatten().collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(sasl: &[&str], sasl2: &[&str], bindings: &[&str]) -> Offer {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Offer { sasl: names(sasl), sasl2: names(sasl2), bindings: Some(names(bindings)), ..Offer::default() }
    }

    #[test]
    fn what_is_offered_and_can_be_used_is_pinned() {
        let tls13 = Bindings::for_tests(Some(b"e"), Some(b"p"));
        let tls12 = Bindings::for_tests(None, Some(b"p"));
        let both = ["tls-exporter", "tls-server-end-point"];
        let of = |offer: &Offer, bindings: &Bindings| {
            let Pins { scram, binding, sasl2 } = Pins::of(offer, bindings);
            (scram.map(ScramMechanism::name), binding.map(BindingType::name), sasl2)
        };
        let all = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"];
        assert_eq!(
            of(&offer(&all, &[], &both), &tls13),
            (Some("SCRAM-SHA-256"), Some("tls-exporter"), false)
        );
        assert_eq!(
            of(&offer(&[], &["SCRAM-SHA-1-PLUS"], &both), &tls12),
            (Some("SCRAM-SHA-1"), Some("tls-server-end-point"), true)
        );
        // A list of bindings, but no mechanism that could be bound.
        assert_eq!(of(&offer(&["SCRAM-SHA-1"], &[], &both), &tls13), (Some("SCRAM-SHA-1"), None, false));
        // What can't be used.
        assert_eq!(of(&offer(&["SCRAM-SHA-1-PLUS"], &[], &["tls-unique"]), &tls13), (None, None, false));
        let for_show = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256"];
        let bound = (Some("SCRAM-SHA-1"), Some("tls-exporter"), false);
        assert_eq!(of(&offer(&for_show, &["EXTERNAL", "SCRAM-SHA-256"], &both), &tls13), bound);
        assert_eq!(of(&offer(&["PLAIN"], &["PLAIN"], &[]), &tls13), (None, None, true));
        assert_eq!(of(&offer(&["PLAIN"], &["EXTERNAL"], &[]), &tls13), (None, None, false));
        assert_eq!(of(&offer(&["PLAIN", "SCRAM-SHA3-512"], &[], &[]), &tls13), (None, None, false));
        assert!(Pins::of(&offer(&["PLAIN"], &[], &[]), &tls13).is_empty());
    }

    #[test]
    fn each_of_them_is_missed() {
        let pins = |scram, binding, sasl2| Pins { scram, binding, sasl2 };
        let (weak, strong) = (Some(ScramMechanism::Sha1), Some(ScramMechanism::Sha256));
        let (end_point, exporter) = (Some(BindingType::EndPoint), Some(BindingType::Exporter));
        let whole = pins(strong, exporter, true);
        assert_eq!(whole.missing_from(&whole), None);
        assert_eq!(whole.missing_from(&pins(weak, exporter, true)).unwrap(), "SCRAM-SHA-256");
        assert_eq!(whole.missing_from(&pins(strong, end_point, true)).unwrap(), "tls-exporter");
        assert_eq!(whole.missing_from(&pins(strong, None, true)).unwrap(), "tls-exporter");
        assert_eq!(whole.missing_from(&pins(strong, exporter, false)).unwrap(), "SASL2");
        let all = "SCRAM-SHA-256, tls-exporter, SASL2";
        assert_eq!(whole.missing_from(&Pins::default()).unwrap(), all);
        // More than was pinned is not a downgrade.
        assert_eq!(pins(weak, end_point, false).missing_from(&whole), None);
        assert_eq!(Pins::default().missing_from(&Pins::default()), None);
        assert_eq!(pins(weak, exporter, false).and(pins(strong, end_point, true)), whole);
    }

    #[test]
    fn they_are_kept_as_they_are() {
        let pins =
            Pins { scram: Some(ScramMechanism::Sha256), binding: Some(BindingType::Exporter), sasl2: true };
        let json = serde_json::to_string(&pins).unwrap();
        assert_eq!(json, r#"{"scram":"Sha256","binding":"tls-exporter","sasl2":true}"#);
        assert_eq!(serde_json::from_str::<Pins>(&json).unwrap(), pins);
        assert_eq!(serde_json::to_string(&Pins::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<Pins>("{}").unwrap().is_empty());
    }
}
