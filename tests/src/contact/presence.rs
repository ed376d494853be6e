//! Presence, roster and subscriptions (RFC 6121 §2 to §4).

use minidom::Element;

use super::Contact;
use crate::xml::{escape, find};

impl Contact {
    /// Becomes available: `show` is `chat`, `away`, `xa`, `dnd`, or none.
    pub async fn set_presence(&mut self, show: Option<&str>, status: Option<&str>) {
        let show = show.map(|show| format!("<show>{show}</show>")).unwrap_or_default();
        let status = status.map(|status| format!("<status>{}</status>", escape(status))).unwrap_or_default();
        let photo = self.photo.as_deref().unwrap_or_default();
        let photo = if self.photo.is_some() {
            format!("<x xmlns='vcard-temp:x:update'><photo>{photo}</photo></x>")
        } else {
            String::new()
        };
        self.presence = format!("<presence>{show}{status}{}{photo}</presence>", self.client.caps());
        self.repeat_presence().await;
    }

    /// Repeats the last [`Contact::set_presence`].
    pub async fn repeat_presence(&self) {
        self.send(&self.presence).await;
    }

    /// Stays connected, but unavailable to everybody.
    pub async fn hide(&self) {
        self.send("<presence type='unavailable'/>").await;
    }

    /// Asks to see `jid`'s presence.
    pub async fn subscribe(&self, jid: &str) {
        self.send_presence("subscribe", jid).await;
    }

    /// Lets `jid` see our presence.
    pub async fn approve(&self, jid: &str) {
        self.send_presence("subscribed", jid).await;
    }

    /// Sends an addressed presence of this type: `unsubscribe`, `unsubscribed` …
    pub async fn send_presence(&self, kind: &str, jid: &str) {
        let to = escape(jid);
        self.send(&format!("<presence type='{kind}' to='{to}'/>")).await;
    }

    /// Adds `jid` to the roster, or renames it.
    pub async fn add_to_roster(&self, jid: &str, name: Option<&str>, groups: &[&str]) {
        let name = name.map(|name| format!(" name='{}'", escape(name))).unwrap_or_default();
        let groups: String = groups.iter().map(|group| format!("<group>{}</group>", escape(group))).collect();
        let jid = escape(jid);
        self.set(
            None,
            &format!("<query xmlns='jabber:iq:roster'><item jid='{jid}'{name}>{groups}</item></query>"),
        )
        .await
        .expect("the roster can be changed");
    }

    /// Removes `jid` from the roster, which ends subscriptions both ways.
    pub async fn remove_from_roster(&self, jid: &str) {
        let jid = escape(jid);
        let item =
            format!("<query xmlns='jabber:iq:roster'><item jid='{jid}' subscription='remove'/></query>");
        self.set(None, &item).await.expect("the contact can be removed");
    }

    /// Waits for a presence from any resource of a bare JID, or from one full JID.
    pub async fn wait_for_presence(&self, from: &str, mut fits: impl FnMut(&Element) -> bool) -> Element {
        let is_from = |stanza: &Element| {
            stanza.name() == "presence"
                && stanza.attr("from").is_some_and(|jid| jid == from || jid.split('/').next() == Some(from))
        };
        self.wait_for(&format!("presence of {from}"), |stanza| is_from(stanza) && fits(stanza)).await
    }

    /// Waits for the roster push with this `subscription` for `jid`.
    pub async fn wait_for_roster_push(&self, jid: &str, subscription: &str) -> Element {
        let fits = |stanza: &Element| {
            let item = find(stanza, "item", "jabber:iq:roster");
            stanza.attr("type") == Some("set")
                && item.is_some_and(|item| {
                    item.attr("jid") == Some(jid) && item.attr("subscription") == Some(subscription)
                })
        };
        self.wait_for(&format!("a roster push: {jid} {subscription}"), fits).await
    }
}

/// Creates a mutual subscription between two available contacts, and waits until both rosters have it and each has
/// seen the other.
///
/// Both then repeat their presence: ejabberd 23.01 sends PEP events only to resources whose caps were in a presence
/// sent after the subscription.
pub async fn befriend(one: &Contact, other: &Contact) {
    for (asking, asked) in [(one, other), (other, one)] {
        asking.subscribe(&asked.jid).await;
        asked.wait_for_presence(&asking.jid, |stanza| stanza.attr("type") == Some("subscribe")).await;
        asked.approve(&asking.jid).await;
        asking.wait_for_presence(&asked.jid, |stanza| stanza.attr("type") == Some("subscribed")).await;
    }
    one.wait_for_roster_push(&other.jid, "both").await;
    other.wait_for_roster_push(&one.jid, "both").await;
    for (seen, seeing) in [(one, other), (other, one)] {
        let is_available = |stanza: &Element| stanza.attr("type").is_none();
        seeing.wait_for_presence(&seen.full_jid, is_available).await;
        seen.repeat_presence().await;
        seeing.wait_for_presence(&seen.full_jid, is_available).await;
    }
}
