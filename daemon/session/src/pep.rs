//! XEP-0163: Personal Eventing Protocol: reading what contacts publish, and publishing our own.
//!
//! The owner of a node is the stanza's `from`, and nothing inside it (§4.3.3).

use std::collections::BTreeMap;

use minidom::Element;
use xmpp_parsers::iq::IqPayload;
use xmpp_parsers::message::Message;
use xmpp_parsers::ns;
use xmpp_parsers::pubsub::NodeName;
use xmpp_parsers::pubsub::pubsub::{Items, PubSub, Publish};

pub(crate) const FEATURES: &[&str] = &[ns::PUBSUB];

/// An event on a contact's node.
pub(crate) struct Event<'a> {
    pub(crate) node: &'a str,
    pub(crate) news: News<'a>,
}

/// XEP-0060 §7.1.2, §7.2.2, §8.4, §8.5.
pub(crate) enum News<'a> {
    /// The newest item.
    Published(Item<'a>),
    /// Items were retracted.
    Retracted(Vec<String>),
    /// The node is empty.
    Emptied,
}

/// Borrowed: an avatar's payload is long.
pub(crate) struct Item<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) payload: Option<&'a Element>,
}

/// The last event of each node in a message: services send one, and earlier ones are outdated. Malformed ones are
/// left out.
pub(crate) fn events(message: &Message) -> Vec<Event<'_>> {
    let events = message.payloads.iter().filter(|payload| payload.is("event", ns::PUBSUB_EVENT));
    let mut last = BTreeMap::new();
    for child in events.flat_map(Element::children) {
        if let Some(node) = child.attr("node") {
            last.insert(node, child);
        }
    }
    last.into_values().filter_map(event).collect()
}

fn event(child: &Element) -> Option<Event<'_>> {
    let node = child.attr("node")?;
    let news = match child.name() {
        "items" => match newest(child, ns::PUBSUB_EVENT) {
            Some(item) => News::Published(item),
            None => News::Retracted(
                child
                    .children()
                    .filter(|item| item.is("retract", ns::PUBSUB_EVENT))
                    .filter_map(|item| item.attr("id").map(str::to_owned))
                    .collect(),
            ),
        },
        "purge" | "delete" => News::Emptied,
        _ => return None,
    };
    Some(Event { node, news })
}

/// The last item: services send them oldest first.
fn newest<'a>(items: &'a Element, ns: &str) -> Option<Item<'a>> {
    let item = items.children().filter(|item| item.is("item", ns)).last()?;
    Some(Item { id: item.attr("id"), payload: item.children().next() })
}

/// Requests a node's newest item, or the item with this id (XEP-0060 §6.5).
pub(crate) fn items_query(node: &str, id: Option<&str>) -> IqPayload {
    let mut items = Items::new(node);
    match id {
        Some(id) => items.items.push(xmpp_parsers::pubsub::pubsub::Item {
            id: Some(xmpp_parsers::pubsub::ItemId(id.to_owned())),
            publisher: None,
            payload: None,
        }),
        None => items.max_items = Some(1),
    }
    IqPayload::Get(PubSub::Items(items).into())
}

/// Publishes an item on one of our nodes (XEP-0060 §7.1).
pub(crate) fn publish(node: &str, id: &str, payload: Element) -> IqPayload {
    let item = xmpp_parsers::pubsub::pubsub::Item {
        id: Some(xmpp_parsers::pubsub::ItemId(id.to_owned())),
        publisher: None,
        payload: Some(payload),
    };
    let publish = Publish { node: NodeName(node.to_owned()), items: vec![item] };
    IqPayload::Set(PubSub::Publish { publish, publish_options: None }.into())
}

/// The newest item in an answer to [`items_query`].
pub(crate) fn answered_item<'a>(payload: Option<&'a Element>, node: &str) -> Option<Item<'a>> {
    let items = payload?.get_child("items", ns::PUBSUB)?;
    (items.attr("node") == Some(node)).then(|| newest(items, ns::PUBSUB)).flatten()
}
