//! What a contact's client says about itself: disco#info (XEP-0030) and its hash (XEP-0115).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha1::{Digest, Sha1};

use super::publish::{AVATAR_METADATA, PROSE_VCARD4, VCARD4};
use crate::xml::escape;

/// The web address of these clients: the node of their caps.
const NODE: &str = "https://prosed.test/contact";

/// A client's identity and features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The software's name.
    pub name: String,
    /// The identity's type within the category `client`: `phone`, `pc`, `web`, `bot` …
    pub kind: String,
    /// What it supports, in any order.
    pub features: Vec<String>,
}

impl Default for Client {
    /// A phone that subscribes to avatars, vCards and nicknames.
    fn default() -> Self {
        Self::new("Pocket", "phone")
    }
}

impl Client {
    /// A client with the usual features.
    pub fn new(name: &str, kind: &str) -> Self {
        let mut features: Vec<_> =
            ["http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/caps"]
                .into_iter()
                .chain(["urn:xmpp:ping", "urn:xmpp:receipts", "http://jabber.org/protocol/chatstates"])
                .map(str::to_owned)
                .collect();
        for node in [AVATAR_METADATA, VCARD4, PROSE_VCARD4, "http://jabber.org/protocol/nick"] {
            features.push(format!("{node}+notify"));
        }
        Self { name: name.to_owned(), kind: kind.to_owned(), features }
    }

    /// With one more feature, and so a different hash.
    pub fn with_feature(mut self, feature: &str) -> Self {
        self.features.push(feature.to_owned());
        self
    }

    /// The verification string's hash (XEP-0115 §5.1), base64.
    pub fn hash(&self) -> String {
        let mut features: Vec<_> = self.features.iter().map(String::as_bytes).collect();
        features.sort_unstable();
        let mut text = format!("client/{}//{}<", self.kind, self.name).into_bytes();
        for feature in features {
            text.extend(feature);
            text.push(b'<');
        }
        BASE64_STANDARD.encode(Sha1::digest(&text))
    }

    /// The element that goes into presences.
    pub fn caps(&self) -> String {
        format!(
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{NODE}' ver='{}'/>",
            self.hash()
        )
    }

    /// The answer to a disco#info request for `node`; none if the node isn't ours.
    pub(super) fn disco(&self, node: Option<&str>) -> Option<String> {
        if node.is_some_and(|node| node != format!("{NODE}#{}", self.hash())) {
            return None;
        }
        let node = node.map(|node| format!(" node='{}'", escape(node))).unwrap_or_default();
        let features: String =
            self.features.iter().map(|var| format!("<feature var='{}'/>", escape(var))).collect();
        let (kind, name) = (escape(&self.kind), escape(&self.name));
        Some(format!(
            "<query xmlns='http://jabber.org/protocol/disco#info'{node}>\
             <identity category='client' type='{kind}' name='{name}'/>{features}</query>"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Client;

    /// The simple example of XEP-0115 §5.2.
    #[test]
    fn the_hash_is_the_published_one() {
        let features = ["caps", "disco#info", "disco#items", "muc"];
        let client = Client {
            name: "Exodus 0.9.1".into(),
            kind: "pc".into(),
            features: features.map(|name| format!("http://jabber.org/protocol/{name}")).into(),
        };
        assert_eq!(client.hash(), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }
}
