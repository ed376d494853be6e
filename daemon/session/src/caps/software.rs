//! Who we say we are.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

use super::hash::verification_string;
use crate::disco::{IdentityText, Info};

/// The program that we claim to be.
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
    /// Its caps hash: SHA-1, base64 (XEP-0115 §5).
    pub fn ver(&self) -> String {
        BASE64_STANDARD.encode(self.digest())
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        Sha1::digest(verification_string(&self.info()).unwrap_or_default()).to_vec()
    }

    pub(super) fn info(&self) -> Info {
        let identity = IdentityText {
            category: self.category.clone(),
            type_: self.type_.clone(),
            lang: String::new(),
            name: self.name.clone(),
        };
        Info { identities: vec![identity], features: self.features.clone(), forms: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The list in step 2.1.2 of the start-up sequence.
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

    #[test]
    fn what_we_say_of_ourselves_is_each_said_once() {
        let software = Software::prosed();
        let once: BTreeSet<&String> = software.features.iter().collect();
        assert_eq!(once.len(), software.features.len());
        assert!(verification_string(&software.info()).is_some());
    }
}
