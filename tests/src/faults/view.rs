//! What a UI knows: a snapshot, and the events since. If events were lost or duplicated, it differs from what the
//! daemon says.

use std::collections::BTreeMap;

use serde_json::Value;

/// The contacts of one account in a UI that loaded the roster once and then only listened.
#[derive(Clone, Debug, Default)]
pub struct View {
    account: String,
    seq: u64,
    contacts: BTreeMap<String, Value>,
}

impl View {
    /// From an answer to `load_roster`.
    pub fn new(roster: &Value) -> Self {
        Self {
            account: text(&roster["account"]),
            seq: roster["seq"].as_u64().unwrap_or_default(),
            contacts: by_jid(&roster["contacts"]),
        }
    }

    /// The `seq` up to which events are in it.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Applies an event, unless it is older than the state; returns what is wrong with it.
    pub fn apply(&mut self, event: &Value) -> Vec<String> {
        let seq = event["seq"].as_u64().unwrap_or_default();
        if seq <= self.seq {
            return Vec::new();
        }
        self.seq = seq;
        if event["account"] != self.account.as_str() || event["event"] != "contactChanged" {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        for contact in list(&event["contacts"]) {
            let jid = text(&contact["jid"]);
            if self.contacts.insert(jid.clone(), contact.clone()).as_ref() == Some(contact) {
                wrong.push(format!("event {seq} says of {jid} what was said before"));
            }
        }
        for jid in list(&event["removed"]) {
            if self.contacts.remove(&text(jid)).is_none() {
                wrong.push(format!("event {seq} removes {jid}, who was not there"));
            }
        }
        wrong
    }

    /// Differences from an answer to `load_roster` at the `seq` up to which events were applied.
    pub fn differs_from(&self, roster: &Value) -> Vec<String> {
        let theirs = by_jid(&roster["contacts"]);
        let mut wrong = Vec::new();
        for (jid, contact) in &theirs {
            match self.contacts.get(jid) {
                None => wrong.push(format!("no event told of {jid}")),
                Some(told) if told != contact => {
                    wrong.push(format!("of {jid} events told {told}, the roster is {contact}"));
                }
                Some(_) => {}
            }
        }
        let gone = self.contacts.keys().filter(|jid| !theirs.contains_key(*jid));
        wrong.extend(gone.map(|jid| format!("no event told that {jid} is gone")));
        wrong
    }
}

/// What is wrong with the numbers of a subscription to all events: each must be one more than the last, and the first
/// must follow `after`.
pub fn misnumbered(events: &[Value], after: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut last = None;
    for event in events {
        let Some(seq) = event["seq"].as_u64() else {
            wrong.push(format!("no seq: {event}"));
            continue;
        };
        match last {
            None if seq <= after => wrong.push(format!("event {seq} after {after}")),
            Some(last) if seq != last + 1 => wrong.push(format!("event {seq} right after {last}")),
            _ => {}
        }
        last = Some(seq);
    }
    wrong
}

fn by_jid(contacts: &Value) -> BTreeMap<String, Value> {
    list(contacts).map(|contact| (text(&contact["jid"]), contact.clone())).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contact(jid: &str, status: &str) -> Value {
        json!({ "jid": jid, "status": status })
    }

    fn roster(seq: u64, contacts: &[Value]) -> Value {
        json!({ "account": "me@x", "seq": seq, "contacts": contacts })
    }

    fn changed(seq: u64, contact: Value) -> Value {
        json!({ "event": "contactChanged", "seq": seq, "account": "me@x", "contacts": [contact], "removed": [] })
    }

    #[test]
    fn a_lost_a_doubled_and_a_misplaced_event_are_found() {
        let events: Vec<_> = (5..9).map(|seq| json!({ "seq": seq })).collect();
        assert!(misnumbered(&events, 4).is_empty());
        assert_eq!(misnumbered(&events, 5).len(), 1, "it was there before");
        let mut lost = events.clone();
        lost.remove(1);
        assert_eq!(misnumbered(&lost, 4).len(), 1);
        let mut doubled = events.clone();
        doubled.insert(1, events[1].clone());
        assert_eq!(misnumbered(&doubled, 4).len(), 1);
        let mut swapped = events;
        swapped.swap(1, 2);
        assert!(!misnumbered(&swapped, 4).is_empty());
    }

    #[test]
    fn a_view_tells_what_events_kept_from_it_and_what_they_said_twice() {
        let start = roster(1, &[contact("a@x", "1"), contact("b@x", "1")]);
        let events = [
            changed(1, contact("a@x", "0")),
            changed(2, contact("a@x", "2")),
            changed(3, contact("c@x", "1")),
        ];
        let end = roster(3, &[contact("a@x", "2"), contact("b@x", "1"), contact("c@x", "1")]);
        let mut view = View::new(&start);
        assert!(events.iter().all(|event| view.apply(event).is_empty()));
        assert_eq!((view.differs_from(&end), view.seq()), (vec![], 3));

        let mut deaf = View::new(&start);
        deaf.apply(&events[1]);
        assert_eq!(deaf.differs_from(&end), ["no event told of c@x"]);
        deaf.apply(&changed(4, contact("c@x", "0")));
        deaf.apply(&changed(5, contact("d@x", "0")));
        assert_eq!(deaf.differs_from(&end).len(), 2);
        assert_eq!(view.apply(&changed(6, contact("c@x", "1"))).len(), 1, "nothing new");
        let gone = json!({ "event": "contactChanged", "seq": 7, "account": "me@x", "contacts": [], "removed": ["c@x"] });
        assert!(view.apply(&gone).is_empty());
        assert_eq!(
            view.apply(
                &json!({ "seq": 8, "event": "contactChanged", "account": "me@x", "removed": ["c@x"] })
            )
            .len(),
            1
        );
    }
}
