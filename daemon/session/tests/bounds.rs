//! Bounds that would make a play too long to read.

use std::time::Instant;

use minidom::Element;
use prosed_session::{Answer, Call, Command, Effect, Input, Now, Session, Snapshot, Software, Timestamp};
use xmpp_parsers::stanza::Stanza;

#[test]
fn strangers_ask_for_no_more_than_two_hundred_subscriptions() {
    let now = Now { monotonic: Instant::now(), wall: Timestamp(0) };
    let account = "marc@prose.org".parse().unwrap();
    let mut session = Session::new(account, Software::prosed(), Snapshot::default(), 1, now);
    let mut effects = Vec::new();
    let online = Input::Online { jid: "marc@prose.org/x".parse().unwrap(), roster_versioning: false };
    session.handle(online, now, &mut effects);
    for n in 0..1000 {
        let presence =
            format!("<presence xmlns='jabber:client' type='subscribe' from='stranger{n}@example.org'/>");
        let presence: Element = presence.parse().unwrap();
        let stanza = Stanza::Presence(presence.try_into().unwrap());
        session.handle(Input::Stanza(Box::new(stanza)), now, &mut effects);
    }
    effects.clear();
    let command = Command::ListSubscriptionRequests;
    session.handle(Input::Command { call: Call(1), command }, now, &mut effects);
    let [Effect::Reply { result: Ok(Answer::SubscriptionRequests(open)), .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(open.len(), 200);
}
