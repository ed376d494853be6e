use prosed_protocol::api::Method;
use prosed_protocol::{
    Account, AccountChanged, ApiError, ConnectionState, Contact, ContactChanged, ErrorKind, Event,
    EventPayload, Subscription, SubscriptionRequest, SubscriptionRequested, api,
};
use serde_json::{Value, json};

use super::accounts::{self, logged_in};
use super::contacts::{one as contact, requests, roster};
use super::events::Known;
use super::*;

fn event(event: &Event, look: Look) -> String {
    Known::default().tell(event, look)
}

const PLAIN: Look = Look { columns: None, colour: false };

fn example<M: Method>() -> M::Result {
    serde_json::from_value(M::example().unwrap().1).unwrap()
}

#[test]
fn a_roster_is_aligned_whatever_the_script() {
    let romeo = example::<api::GetContact>();
    let mut mei = romeo.clone();
    mei.jid = "mei@example.org".to_owned();
    mei.name = "美美".to_owned();
    mei.status = None;
    mei.availability = Availability::Unavailable;
    (mei.subscription, mei.ask) = (Subscription::None, true);
    mei.groups.clear();
    assert_eq!(
        roster(&[mei, romeo], PLAIN),
        "JID                NAME   AVAILABILITY  STATUS             SUBSCRIPTION            GROUPS\n\
         mei@example.org    美美   unavailable                      none, approval pending\n\
         romeo@example.net  Romeo  away          Under the balcony  both                    Friends\n"
    );
}

#[test]
fn a_peer_can_neither_drive_the_terminal_nor_forge_a_line() {
    let mut mallory = example::<api::GetContact>();
    let nasty = "\u{1b}[2J\nroot@example.org is\u{202e}";
    mallory.name = nasty.to_owned();
    mallory.status = Some(nasty.to_owned());
    mallory.groups = vec![nasty.to_owned()];
    mallory.resources[0].resource = nasty.to_owned();
    mallory.resources[0].client.as_mut().unwrap().name = Some(nasty.to_owned());
    mallory.profile.as_mut().unwrap().title = Some(nasty.to_owned());
    let change = Event {
        seq: 1,
        time: "2026-01-31T09:00:12.250Z".to_owned(),
        account: "me@example.org".to_owned(),
        payload: EventPayload::ContactChanged(ContactChanged {
            ids: vec![mallory.jid.clone()],
            contacts: vec![mallory.clone()],
            removed: vec![nasty.to_owned()],
            ..ContactChanged::default()
        }),
    };
    let mut stranger = example::<api::ListSubscriptionRequests>().remove(0);
    stranger.nick = Some(nasty.to_owned());
    let mut own = example::<api::GetAccount>();
    own.status = Some(nasty.to_owned());
    own.profile = mallory.profile.clone();
    for (text, lines) in [
        (roster(std::slice::from_ref(&mallory), PLAIN), 2),
        (contact(&mallory, PLAIN), contact(&example::<api::GetContact>(), PLAIN).lines().count() + 1),
        (event(&change, PLAIN), 2),
        (requests(std::slice::from_ref(&stranger), PLAIN), 2),
        (accounts::all(std::slice::from_ref(&own), PLAIN), 2),
        (accounts::one(&own, PLAIN), 0),
    ] {
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        assert!(lines == 0 || text.lines().count() == lines, "{text}");
        assert!(text.contains(r"\u{1b}[2J\u{a}root"), "{text}");
    }
}

#[test]
fn a_deceiving_name_is_marked() {
    let mut contact = example::<api::GetContact>();
    contact.warnings = vec![Warning::MixedScripts, Warning::Bidi];
    assert!(roster(&[contact], PLAIN).contains("romeo@example.net [beware: mixedScripts, bidi]"));
    let mut stranger = example::<api::ListSubscriptionRequests>().remove(0);
    stranger.warnings = vec![Warning::LookAlike];
    let marked = format!("{} [beware: lookAlike]", stranger.jid);
    assert!(requests(std::slice::from_ref(&stranger), PLAIN).contains(&marked));
    let SubscriptionRequest { jid, nick, message, received_at, warnings } = stranger;
    let asked = SubscriptionRequested { jid, nick, message, received_at, warnings };
    let payload = EventPayload::SubscriptionRequested(asked);
    let (time, account) = ("2026-01-31T09:00:12.250Z".to_owned(), "me@example.org".to_owned());
    assert!(event(&Event { seq: 1, time, account, payload }, PLAIN).contains(&marked));
}

#[test]
fn accounts_say_why_they_are_down() {
    let mut failed = example::<api::GetAccount>();
    failed.state = ConnectionState::Failed;
    failed.error = Some(prosed_protocol::ErrorKind::NotAuthorized.into());
    let text = accounts::all(std::slice::from_ref(&failed), PLAIN);
    assert!(text.contains("me@example.org  failed"), "{text}");
    assert!(text.contains("The server refused the credentials"), "{text}");
    assert!(accounts::all(&[], PLAIN).contains("prosectl login"));
    let account = example::<api::GetAccount>();
    let expected = format!("me@example.org is online as {}.\n", account.jid.as_deref().unwrap());
    assert_eq!(logged_in(&account, PLAIN), expected);
}

#[test]
fn events_are_told_in_a_line() {
    let document = prosed_protocol::openrpc();
    let told: String = document["x-events"]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|described| event(&serde_json::from_value(described["example"].clone()).unwrap(), PLAIN))
        .collect();
    let [nine, one, two] =
        ["2026-01-31T09:00:12.250Z", "2026-01-31T09:01:00.000Z", "2026-01-31T09:02:00.000Z"].map(time);
    assert!(nine.starts_with("2026-01-3") && nine.ends_with(":12") && nine.len() == 19, "{nine}");
    assert_eq!(
        told,
        format!(
            "{nine} #42 me@example.org  romeo@example.net «Romeo» is away: Under the balcony\n\
             {nine} #43 me@example.org  is online, available\n\
             {nine} #44 me@example.org  roster loaded, contacts changed: 1\n\
             {one} #45 me@example.org  juliet@example.net (Juliet) wants to see our presence: We met at the ball\n\
             {two} #46 me@example.org  the request of juliet@example.net is answered or withdrawn\n"
        )
    );
}

#[test]
fn an_event_is_told_by_what_it_changes() {
    let romeo = example::<api::GetContact>();
    let mut known = Known::default();
    known.learn("me@example.org", vec![romeo.clone()]);
    let mut told = |change: &dyn Fn(&mut Contact)| {
        let mut contact = romeo.clone();
        change(&mut contact);
        let mut event = |contact: Contact| {
            let ids = vec![contact.jid.clone()];
            let change = ContactChanged { ids, contacts: vec![contact], ..ContactChanged::default() };
            let (time, account) = (String::new(), "me@example.org".to_owned());
            known.tell(&Event { seq: 1, time, account, payload: EventPayload::ContactChanged(change) }, PLAIN)
        };
        let told = event(contact);
        event(romeo.clone());
        told.trim().trim_start_matches("#1 me@example.org  romeo@example.net ").to_owned()
    };
    assert_eq!(
        told(&|contact| contact.availability = Availability::Dnd),
        "«Romeo» is dnd: Under the balcony"
    );
    assert_eq!(told(&|contact| contact.status = None), "«Romeo» is away");
    assert_eq!(told(&|contact| contact.name = "Mo".to_owned()), "«Mo» was «Romeo»");
    assert_eq!(told(&|contact| contact.avatar = None), "«Romeo» has no picture any more");
    assert_eq!(told(&|contact| contact.profile = None), "«Romeo» has no profile any more");
    assert_eq!(told(&|contact| contact.groups = vec![]), "«Romeo» is in no group");
    assert_eq!(told(&|contact| contact.subscription = Subscription::To), "«Romeo» subscription: to");
    assert_eq!(told(&|contact| contact.resources.clear()), "«Romeo» is on nothing");
    let several = |contact: &mut Contact| {
        contact.groups.push("Exiles".to_owned());
        contact.status = Some("Mantua".to_owned());
    };
    assert_eq!(told(&several), "«Romeo» is away: Mantua; is in Friends, Exiles");
    assert_eq!(told(&|_| {}), "«Romeo» is away: Under the balcony", "something that is not told of");
}

#[test]
fn who_was_online_at_login_is_counted_and_not_announced() {
    let romeo = example::<api::GetContact>();
    let gone = Contact {
        jid: "gone@example.net".to_owned(),
        availability: Availability::Unavailable,
        ..romeo.clone()
    };
    let mut known = Known::default();
    let mut told = |contacts: Vec<Contact>, initial| {
        let ids = contacts.iter().map(|contact| contact.jid.clone()).collect();
        let change = ContactChanged { ids, contacts, initial, ..ContactChanged::default() };
        let (time, account) = (String::new(), "me@example.org".to_owned());
        known.tell(&Event { seq: 1, time, account, payload: EventPayload::ContactChanged(change) }, PLAIN)
    };
    let found = told(vec![gone, romeo.clone()], true);
    assert_eq!(found, " #1 me@example.org  contacts online at login: 1, no longer online: 1\n");
    let renamed = Contact { name: "Mo".to_owned(), ..romeo };
    assert!(told(vec![renamed], false).ends_with("«Mo» was «Romeo»\n"), "it knows who was there");
}

#[test]
fn one_who_is_logged_out_is_not_seen() {
    let mut account = example::<api::GetAccount>();
    assert!(accounts::all(std::slice::from_ref(&account), PLAIN).contains("available"));
    account.state = ConnectionState::Offline;
    assert!(!accounts::all(std::slice::from_ref(&account), PLAIN).contains("available"));
    assert!(!accounts::one(&account, PLAIN).contains("available"));
}

#[test]
fn what_is_in_the_way_of_a_login_is_told_while_there_is_hope() {
    let mut info = example::<api::GetAccount>();
    info.state = ConnectionState::Connecting;
    info.error = Some(ApiError::new(ErrorKind::ServerUnreachable).text("no such host"));
    info.retry_at = Some("2026-01-31T09:00:12.250Z".to_owned());
    let event = |info: &Account, account: &str| Event {
        seq: 1,
        time: String::new(),
        account: account.to_owned(),
        payload: EventPayload::AccountChanged(AccountChanged {
            info: Some(Box::new(info.clone())),
            removed: false,
        }),
    };
    let told = accounts::obstacle(&event(&info, "me@example.org"), "me@example.org");
    let at = time("2026-01-31T09:00:12.250Z");
    assert_eq!(told, Some(format!("Not yet: no such host; next attempt at {at}")));
    assert_eq!(accounts::obstacle(&event(&info, "you@example.org"), "me@example.org"), None);
    info.retry_at = None;
    assert_eq!(
        accounts::obstacle(&event(&info, "me@example.org"), "me@example.org"),
        None,
        "the answer says it"
    );
}

#[test]
fn what_is_newer_than_us_can_still_be_told() {
    let future: Value = json!({"event": "messageReceived", "seq": 1, "time": "t", "account": "a@b", "message": {"body": "hi"}});
    assert!(event(&serde_json::from_value(future).unwrap(), PLAIN).contains("--json"));
}
