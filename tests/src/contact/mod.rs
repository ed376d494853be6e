//! A live contact: a small XMPP client on the other side of prosed.

mod caps;
mod presence;
mod publish;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use minidom::Element;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

pub use self::caps::Client;
pub use self::presence::befriend;
pub use self::publish::{AVATAR_DATA, AVATAR_METADATA, PROSE_VCARD4, VCARD4, sha1_hex};
use self::stream::{Bound, Writer};
use crate::PATIENCE;
use crate::inbox::Inbox;
use crate::server::Door;
use crate::xml::{self, XmlStream, escape, find};

/// One connected resource of an account.
///
/// It answers disco#info, ping and roster pushes, and refuses other requests; everything it receives is in its inbox,
/// answered or not. It subscribes to nothing and approves nothing on its own.
#[derive(Debug)]
pub struct Contact {
    /// The account.
    pub jid: String,
    /// The bound full JID.
    pub full_jid: String,
    /// Its disco#info, whose hash is in its presence.
    pub client: Client,
    /// The SHA-1 of its vcard-temp photo, in its presences after [`Contact::set_vcard_temp`].
    photo: Option<String>,
    /// The last presence, in full.
    presence: String,
    inbox: Inbox<Element>,
    writer: Arc<Mutex<Writer>>,
    reader: JoinHandle<()>,
    ids: AtomicU64,
}

impl Contact {
    /// Connects and requests its roster, so that it receives pushes. Nobody sees it yet.
    ///
    /// # Panics
    /// If the server refuses: the account must be in the server's setup.
    pub async fn connect(server: impl Into<Door>, name: &str) -> Self {
        Self::connect_as(server, name, "phone", Client::default()).await
    }

    /// Connects with a given resource and software.
    pub async fn connect_as(server: impl Into<Door>, name: &str, resource: &str, client: Client) -> Self {
        let door = server.into();
        let bound = match stream::connect(&door, name, resource).await {
            Ok(bound) => bound,
            Err(error) => panic!("{name} cannot connect: {error}"),
        };
        let Bound { full_jid, reader, writer } = bound;
        let inbox = Inbox::new(xml::print);
        let writer = Arc::new(Mutex::new(writer));
        let contact = Self {
            jid: door.jid(name),
            full_jid,
            client: client.clone(),
            photo: None,
            presence: String::new(),
            reader: tokio::spawn(read(reader, writer.clone(), inbox.clone(), client)),
            inbox,
            writer,
            ids: AtomicU64::new(1),
        };
        contact.get(None, "<query xmlns='jabber:iq:roster'/>").await.expect("a roster");
        contact
    }

    /// Connects and is available.
    pub async fn online(server: impl Into<Door>, name: &str) -> Self {
        let mut contact = Self::connect(server, name).await;
        contact.set_presence(None, None).await;
        contact
    }

    /// Sends any text, which need not be XML.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&self, text: &str) {
        let mut writer = self.writer.lock().await;
        let sent = async {
            writer.write_all(text.as_bytes()).await?;
            writer.flush().await
        };
        sent.await.unwrap_or_else(|error| panic!("{} cannot send: {error}", self.full_jid));
    }

    /// Sends a chat message; returns its id.
    pub async fn send_message(&self, to: &str, body: &str) -> String {
        let id = self.next_id();
        let (to, body) = (escape(to), escape(body));
        self.send(&format!("<message type='chat' id='{id}' to='{to}'><body>{body}</body></message>")).await;
        id
    }

    /// Sends a get request, and waits for the answer.
    ///
    /// # Errors
    /// The answer, if it is of type `error`.
    pub async fn get(&self, to: Option<&str>, payload: &str) -> Result<Element, Element> {
        self.request("get", to, payload).await
    }

    /// Sends a set request, and waits for the answer.
    ///
    /// # Errors
    /// The answer, if it is of type `error`.
    pub async fn set(&self, to: Option<&str>, payload: &str) -> Result<Element, Element> {
        self.request("set", to, payload).await
    }

    async fn request(&self, kind: &str, to: Option<&str>, payload: &str) -> Result<Element, Element> {
        let id = self.next_id();
        let to = to.map(|to| format!(" to='{}'", escape(to))).unwrap_or_default();
        self.send(&format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>")).await;
        let is_answer = |stanza: &Element| {
            stanza.name() == "iq"
                && stanza.attr("id") == Some(&id)
                && matches!(stanza.attr("type"), Some("result" | "error"))
        };
        let answer = self.inbox.expect(PATIENCE, &format!("the answer to {payload}"), is_answer).await;
        if answer.attr("type") == Some("error") { Err(answer) } else { Ok(answer) }
    }

    /// Waits for a matching stanza among all that arrived and that no earlier wait has taken.
    ///
    /// # Panics
    /// If none arrives within [`PATIENCE`]; `what` names it in the message.
    pub async fn wait_for(&self, what: &str, fits: impl FnMut(&Element) -> bool) -> Element {
        self.inbox.expect(PATIENCE, &format!("{what} ({})", self.full_jid), fits).await
    }

    /// Like [`Contact::wait_for`]; none if nothing matches within `patience`.
    pub async fn wait_within(
        &self,
        patience: Duration,
        fits: impl FnMut(&Element) -> bool,
    ) -> Option<Element> {
        self.inbox.wait(patience, fits).await
    }

    /// Waits for the last item of a PEP event on this node of this contact.
    pub async fn wait_for_pep(&self, from: &str, node: &str) -> Element {
        let fits = |stanza: &Element| {
            let event = find(stanza, "items", "http://jabber.org/protocol/pubsub#event");
            stanza.attr("from") == Some(from) && event.is_some_and(|items| items.attr("node") == Some(node))
        };
        self.wait_for(&format!("an event of {from} on {node}"), fits).await
    }

    /// All stanzas received so far, in order.
    pub fn received(&self) -> Vec<Element> {
        self.inbox.all()
    }

    /// Whether more can arrive.
    pub fn is_connected(&self) -> bool {
        !self.inbox.is_closed()
    }

    /// Drops everything received so far: later waits see only what comes from now on.
    pub fn forget_received(&self) {
        self.inbox.clear();
    }

    /// Disconnects like a polite client: unavailable, then the stream's end.
    pub async fn disconnect(self) {
        self.send("<presence type='unavailable'/></stream:stream>").await;
        self.inbox.closed(PATIENCE).await;
    }

    /// Vanishes: the connection closes without notice to the server.
    pub async fn vanish(self) {
        self.reader.abort();
        // The server notices the end only once our half is gone, too; the reader holds one.
        while !self.reader.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    fn next_id(&self) -> String {
        format!("t{}", self.ids.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Contact {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Receives until the stream ends, answering what every client must answer.
async fn read(
    mut reader: XmlStream<stream::Reader>,
    writer: Arc<Mutex<Writer>>,
    inbox: Inbox<Element>,
    client: Client,
) {
    while let Ok(Some(stanza)) = reader.next().await {
        let answer = answer(&stanza, &client);
        inbox.push(stanza);
        if let Some(answer) = answer {
            let mut writer = writer.lock().await;
            if writer.write_all(answer.as_bytes()).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
    }
    inbox.close();
}

/// The answer to a request, if it is one (RFC 6120 §8.2.3: each gets exactly one).
fn answer(stanza: &Element, client: &Client) -> Option<String> {
    let kind = stanza.attr("type");
    if stanza.name() != "iq" || !matches!(kind, Some("get" | "set")) {
        return None;
    }
    let id = escape(stanza.attr("id").unwrap_or_default());
    let to = stanza.attr("from").map(|from| format!(" to='{}'", escape(from))).unwrap_or_default();
    let asked = stanza.children().next()?;
    let result = match (kind, asked.name(), asked.ns().as_str()) {
        (Some("get"), "query", "http://jabber.org/protocol/disco#info") => client.disco(asked.attr("node")),
        (Some("get"), "ping", "urn:xmpp:ping") => Some(String::new()),
        (Some("set"), "query", "jabber:iq:roster")
            if stanza.attr("from").is_none_or(|from| !from.contains('/')) =>
        {
            Some(String::new())
        }
        _ => None,
    };
    Some(match result {
        Some(payload) => format!("<iq type='result' id='{id}'{to}>{payload}</iq>"),
        None => format!(
            "<iq type='error' id='{id}'{to}><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ),
    })
}
