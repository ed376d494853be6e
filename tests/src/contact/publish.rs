//! What a contact publishes: avatar (XEP-0084, XEP-0153) and profile (XEP-0292, XEP-0054).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use minidom::Element;
use sha1::{Digest, Sha1};

use super::Contact;
use crate::png;
use crate::xml::escape;

/// The node of avatar metadata (XEP-0084).
pub const AVATAR_METADATA: &str = "urn:xmpp:avatar:metadata";
/// The node of avatar data (XEP-0084).
pub const AVATAR_DATA: &str = "urn:xmpp:avatar:data";
/// The node of vCard4 (XEP-0292).
pub const VCARD4: &str = "urn:xmpp:vcard4";
/// The node on which Prose publishes vCard4: the payload's namespace.
pub const PROSE_VCARD4: &str = "urn:ietf:params:xml:ns:vcard-4.0";

/// Readable by contacts, stored for those who connect later: what XEP-0084 and XEP-0292 require.
const OPTIONS: &str = "<publish-options><x xmlns='jabber:x:data' type='submit'>\
    <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
    <field var='pubsub#persist_items'><value>true</value></field>\
    <field var='pubsub#access_model'><value>presence</value></field></x></publish-options>";

impl Contact {
    /// Publishes an item on a PEP node (XEP-0163).
    ///
    /// # Errors
    /// The server's answer, if it is an error.
    pub async fn publish(&self, node: &str, id: &str, payload: &str) -> Result<Element, Element> {
        let id = escape(id);
        let request = format!(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='{node}'><item id='{id}'>{payload}</item></publish>{OPTIONS}</pubsub>"
        );
        self.set(None, &request).await
    }

    /// Publishes a PNG as avatar, data first; returns its id, the SHA-1 of the data in hex.
    pub async fn publish_avatar(&self, image: &[u8]) -> String {
        let id = sha1_hex(image);
        let data = BASE64_STANDARD.encode(image);
        self.publish(AVATAR_DATA, &id, &format!("<data xmlns='{AVATAR_DATA}'>{data}</data>"))
            .await
            .expect("avatar data is accepted");
        let (width, height) = png::size(image);
        let info = format!(
            "<info id='{id}' type='image/png' bytes='{}' width='{width}' height='{height}'/>",
            image.len()
        );
        self.publish_avatar_metadata(&id, &info).await;
        id
    }

    /// Announces an avatar with any metadata, true or not.
    pub async fn publish_avatar_metadata(&self, id: &str, info: &str) {
        self.publish(AVATAR_METADATA, id, &format!("<metadata xmlns='{AVATAR_METADATA}'>{info}</metadata>"))
            .await
            .expect("avatar metadata is accepted");
    }

    /// Removes the avatar with empty metadata (XEP-0084 §4.4).
    pub async fn empty_avatar(&self) {
        self.publish_avatar_metadata("current", "").await;
    }

    /// Retracts an item (XEP-0060 §7.2).
    pub async fn retract(&self, node: &str, id: &str) {
        let id = escape(id);
        let request = format!(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <retract node='{node}' notify='true'><item id='{id}'/></retract></pubsub>"
        );
        self.set(None, &request).await.expect("an item of our own can be taken back");
    }

    /// Publishes a vCard4 on [`VCARD4`] or [`PROSE_VCARD4`]; `content` is XML in its namespace, such as
    /// `<fn><text>Alice</text></fn>`.
    pub async fn publish_vcard4(&self, node: &str, content: &str) {
        let id = if node == VCARD4 { "current" } else { &self.jid };
        self.publish(node, id, &format!("<vcard xmlns='{PROSE_VCARD4}'>{content}</vcard>"))
            .await
            .expect("a vCard is accepted");
    }

    /// Sets the vcard-temp; `content` is XML in its namespace, such as `<FN>Alice</FN>`. With an `image`, a PHOTO is
    /// added, and its hash to this presence and later ones (XEP-0153).
    pub async fn set_vcard_temp(&mut self, content: &str, image: Option<&[u8]>) {
        let photo = image.map_or_else(String::new, |image| {
            let data = BASE64_STANDARD.encode(image);
            format!("<PHOTO><TYPE>image/png</TYPE><BINVAL>{data}</BINVAL></PHOTO>")
        });
        self.set(None, &format!("<vCard xmlns='vcard-temp'>{content}{photo}</vCard>"))
            .await
            .expect("a vCard is accepted");
        self.photo = Some(image.map_or_else(String::new, sha1_hex));
        self.set_presence(None, None).await;
    }
}

/// The SHA-1 of some bytes, in lower-case hex: an avatar's id.
pub fn sha1_hex(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
