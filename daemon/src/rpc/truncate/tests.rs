use prosed_protocol::{
    ApiError, Availability, Avatar, ClientInfo, ConnectionState, ErrorKind, Subscription, Warning,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::*;

const TIME: &str = "+262142-12-31T23:59:59.999Z";

/// The longest that RFC 7622 allows; JSON writes each of its backslashes as two bytes.
fn longest_jid() -> String {
    format!("{}@{}", "\\".repeat(1_023), "d".repeat(1_023))
}

fn resource(resource: String, text: &str) -> Resource {
    let some = || Some(text.to_owned());
    Resource {
        resource,
        availability: Availability::Available,
        status: some(),
        priority: -128,
        since: TIME.to_owned(),
        idle_since: Some(TIME.to_owned()),
        client: Some(ClientInfo { name: some(), category: text.to_owned(), r#type: text.to_owned() }),
        features: None,
    }
}

fn avatar() -> Option<Avatar> {
    let id = "ab".repeat(20);
    let url = format!("/avatars/{}/{id}", "c".repeat(64));
    Some(Avatar {
        id,
        r#type: "image/jpeg".to_owned(),
        bytes: u32::MAX,
        width: u32::MAX,
        height: u32::MAX,
        url,
    })
}

fn profile(text: &str) -> Option<ProfileSummary> {
    let some = || Some(text.to_owned());
    Some(ProfileSummary { full_name: some(), nickname: some(), organization: some(), title: some() })
}

/// A contact with every field filled with these texts.
fn person(jid: String, groups: Vec<String>, resources: Vec<Resource>, text: &str) -> Contact {
    Contact {
        jid,
        name: text.to_owned(),
        roster_name: Some(text.to_owned()),
        groups,
        subscription: Subscription::Both,
        ask: false,
        approved: false,
        availability: Availability::Unavailable,
        status: Some(text.to_owned()),
        last_seen: Some("2026-01-31T08:59:58.120Z".to_owned()),
        resource_count: u32::MAX,
        resources,
        warnings: vec![Warning::MixedScripts, Warning::Bidi, Warning::Invisible],
        avatar: avatar(),
        profile: profile(text),
        truncated: false,
    }
}

/// What remains is unchanged, or marked.
fn is_cut_from(cut: &str, whole: &str) -> bool {
    cut == whole || cut.strip_suffix(MARK).is_some_and(|cut| whole.starts_with(cut))
}

fn check(whole: &Contact) {
    let length = serde_json::to_string(whole).unwrap().len();
    assert_eq!(json_bytes(whole), length);
    assert!(contact_bound(whole) >= length, "{} < {length}", contact_bound(whole));
    let mut cut = whole.clone();
    contact(&mut cut);
    let bytes = serde_json::to_string(&cut).unwrap().len();
    assert!(bytes <= Contact::MAX_BYTES, "{bytes} bytes of {length}");
    assert_eq!(cut.truncated, Contact { truncated: false, ..cut.clone() } != *whole);
    assert_eq!((&cut.jid, cut.resource_count), (&whole.jid, whole.resource_count));
    assert!(!cut.name.is_empty() && is_cut_from(&cut.name, &whole.name));
    assert!(whole.groups.starts_with(&cut.groups));
    assert!(cut.resources.len() <= 4);
    for (cut, whole) in cut.resources.iter().zip(&whole.resources) {
        assert_eq!(cut.resource, whole.resource, "a name that is cut is another device's");
    }
    if let Some(profile) = &cut.profile {
        assert!(profile.title.as_ref().is_some_and(|title| title.chars().count() <= 256));
    }
}

#[test]
fn an_ordinary_contact_is_shown_as_it_is() {
    let words = "Zwischen Tür und Angel: 次の電車で行きます".repeat(3);
    let device = |name: &str| resource(name.to_owned(), "At work");
    let groups = vec!["Friends".to_owned(), "Verona".to_owned()];
    let mut romeo = person("romeo@example.net".to_owned(), groups, vec![device("a"), device("b")], "Romeo");
    romeo.status = Some(words);
    let whole = romeo.clone();
    contact(&mut romeo);
    assert_eq!(romeo, whole);
    assert!(contact_bound(&whole) <= Contact::MAX_BYTES, "it has to be found quickly");
}

#[test]
fn whatever_others_send_a_contact_stays_small() {
    for sign in ["x", "\"", "\u{1}", "\u{e9}", "\u{2028}", "🌊"] {
        for jid in ["a@b".to_owned(), longest_jid()] {
            let text = sign.repeat(4_000);
            let groups = || (0..100).map(|group| format!("{group:03}{}", sign.repeat(997))).collect();
            for name in ["x".to_owned(), "\\".repeat(1_023), sign.repeat(1_023 / sign.len())] {
                let devices: Vec<_> = (0..32).map(|_| resource(name.clone(), &text)).collect();
                check(&person(jid.clone(), groups(), devices.clone(), &text));
                check(&person(jid.clone(), Vec::new(), devices, "x"));
            }
            check(&person(jid, groups(), Vec::new(), "x"));
        }
    }
}

#[test]
fn random_contacts_stay_small() {
    const LENGTHS: [usize; 9] = [0, 1, 15, 16, 17, 100, 256, 1_000, 4_000];
    let mut random = StdRng::seed_from_u64(10);
    let mut truncated = 0;
    for _ in 0..500 {
        let mut text = |most: usize| -> String {
            let length = LENGTHS.choose(&mut random).copied().unwrap_or_default().min(most);
            let sign = ["x", "\\", "\n", "\u{2028}", "🌊"].choose(&mut random).copied().unwrap_or_default();
            sign.repeat(length)
        };
        let (name, device) = (text(1_000), text(250));
        let groups: Vec<String> = (0..20).map(|_| text(1_000)).collect();
        let devices: Vec<_> = (0..32).map(|_| resource(device.clone(), &text(4_000))).collect();
        let groups = groups[..random.random_range(0..=20)].to_vec();
        let devices = devices[..random.random_range(0..=32)].to_vec();
        let jid = format!("{}@b", "\\".repeat(random.random_range(1..=1_023)));
        let whole = person(jid, groups, devices, if name.is_empty() { "x" } else { &name });
        check(&whole);
        let mut cut = whole;
        contact(&mut cut);
        truncated += u32::from(cut.truncated);
    }
    assert!((100..500).contains(&truncated), "{truncated} of 500 are cut");
}

#[test]
fn what_others_wrote_is_cut_first() {
    let groups: Vec<String> = (0..20).map(|group| format!("Group {group}")).collect();
    let devices = (0..32).map(|_| resource("x".repeat(1_023), &"🌊".repeat(4_000))).collect();
    let mut noisy = person("a@b".to_owned(), groups.clone(), devices, "Nurse");
    noisy.status = Some("🌊".repeat(4_000));
    contact(&mut noisy);
    assert_eq!((&noisy.name[..], &noisy.groups), ("Nurse", &groups));
    assert!(noisy.truncated && noisy.status.is_some_and(|status| status.ends_with(MARK)));
}

#[test]
fn an_account_stays_small_and_its_own_status_whole() {
    let status = "🌊".repeat(4_000);
    let text = "\"".repeat(1_000);
    let jid = longest_jid();
    let error = ApiError::new(ErrorKind::NotAuthorized).account(&jid).text("🌊".repeat(256));
    let mut own = Account {
        account: jid.clone(),
        jid: Some(format!("{jid}/{}", "\\".repeat(1_023))),
        state: ConnectionState::Suspended,
        since: TIME.to_owned(),
        resource: Some("\\".repeat(1_023)),
        remembered: true,
        secret_store: None,
        last_stanza_at: Some(TIME.to_owned()),
        retry_at: Some(TIME.to_owned()),
        error: Some(error),
        availability: Availability::Available,
        status: Some(status.clone()),
        profile: profile(&text),
        avatar: avatar(),
        resources: (0..32).map(|_| resource("\\".repeat(1_023), &status)).collect(),
        resource_count: 32,
        truncated: false,
        roster_truncated: false,
    };
    account(&mut own);
    let bytes = serde_json::to_string(&own).unwrap().len();
    assert!(bytes <= Account::MAX_BYTES, "{bytes} bytes");
    assert_eq!((own.status, own.resource_count, own.truncated), (Some(status), 32, true));
}

#[test]
fn a_text_is_cut_between_characters_and_marked() {
    for (text, most, expected) in [
        ("", 1, ""),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("🌊🌊", 2, "🌊🌊"),
        ("🌊🌊🌊", 2, "🌊…"),
        ("ab", 1, "…"),
    ] {
        let mut cut = text.to_owned();
        assert_eq!(cut_text(&mut cut, most), text != expected);
        assert_eq!(cut, expected, "{text} at {most}");
    }
}
