//! Which mechanism is chosen from a server's offer.

use super::*;
use crate::credentials::Password;
use crate::stream::Credentials;

fn login(password: &str) -> Result<Login, ConnectError> {
    with(Credentials::Password(Password::from(password.to_owned())), Pins::default())
}

fn with(credentials: Credentials, pins: Pins) -> Result<Login, ConnectError> {
    Login::new(&"me@example.org".parse().unwrap(), credentials, pins, Arc::default())
}

fn offer(names: &[&str]) -> Offer {
    Offer { sasl: names.iter().map(|&name| name.to_owned()).collect(), ..Offer::default() }
}

/// A connection that can be bound, and one that can't.
fn bindings() -> [Bindings; 2] {
    [Bindings::for_tests(Some(b"exporter"), Some(b"end point")), Bindings::default()]
}

fn way(login: &Login, offer: &Offer, bindings: &Bindings) -> Option<Way> {
    login.choose(offer, bindings).ok().map(|choice| choice.way)
}

#[test]
fn the_strongest_mechanism_and_plain_only_where_there_is_no_scram() {
    use Flag::{Bound, Impossible, NotOffered};
    use ScramMechanism::{Sha1, Sha256, Sha512};
    let login = login("secret").unwrap();
    let [can, cannot] = bindings();
    let choose = |names: &[&str]| {
        let kinds = names.iter().any(|name| name.ends_with("-PLUS")).then(|| vec!["tls-exporter".to_owned()]);
        way(&login, &Offer { bindings: kinds, ..offer(names) }, &can)
    };
    let all = ["PLAIN", "ANONYMOUS", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS"];
    let exporter = crate::stream::reach::binding::BindingType::Exporter;
    assert_eq!(choose(&all), Some(Way::Scram(Sha1, Bound(exporter))));
    assert_eq!(
        choose(&["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]),
        Some(Way::Scram(Sha256, Bound(exporter)))
    );
    assert_eq!(way(&login, &offer(&all), &cannot), Some(Way::Scram(Sha256, Impossible)));
    assert_eq!(choose(&["PLAIN", "SCRAM-SHA-1"]), Some(Way::Scram(Sha1, NotOffered)));
    assert_eq!(way(&login, &offer(&["PLAIN", "SCRAM-SHA-1"]), &cannot), Some(Way::Scram(Sha1, Impossible)));
    assert_eq!(choose(&["SCRAM-SHA-512", "SCRAM-SHA-256"]), Some(Way::Scram(Sha512, NotOffered)));
    assert_eq!(choose(&["PLAIN", "ANONYMOUS"]), Some(Way::Plain));
    for nothing in [
        &["PLAIN", "SCRAM-SHA3-512"][..],
        &["ANONYMOUS"],
        &[],
        // Bound with an unknown hash, and another mechanism that could have been bound.
        &["SCRAM-SHA3-512-PLUS", "SCRAM-SHA-256", "PLAIN"],
    ] {
        assert_eq!(choose(nothing), None, "{nothing:?}");
    }
    assert_eq!(way(&login, &offer(&["PLAIN", "SCRAM-SHA-256-PLUS"]), &cannot), None);
}

#[test]
fn a_list_of_bindings_decides_and_an_unknown_one_is_said_to_be() {
    let login = login("secret").unwrap();
    let [can, _] = bindings();
    let mut offer = offer(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]);
    let mut flag = |kinds: &[&str]| {
        offer.bindings = Some(kinds.iter().map(|&kind| kind.to_owned()).collect());
        match way(&login, &offer, &can) {
            Some(Way::Scram(_, flag)) => flag,
            other => panic!("{other:?}"),
        }
    };
    use crate::stream::reach::binding::BindingType::{EndPoint, Exporter};
    assert_eq!(flag(&["tls-server-end-point", "tls-exporter"]), Flag::Bound(Exporter));
    assert_eq!(flag(&["tls-server-end-point"]), Flag::Bound(EndPoint));
    assert_eq!(flag(&["tls-unique"]), Flag::Impossible);
}

#[test]
fn sasl2_where_it_is_as_strong_except_to_find_out_about_the_salt() {
    let mut login = login("secret").unwrap();
    let [can, _] = bindings();
    let both = |sasl: &str, sasl2: &str| Offer {
        sasl: vec![sasl.to_owned()],
        sasl2: vec![sasl2.to_owned()],
        ..Offer::default()
    };
    let profile = |login: &Login, sasl, sasl2| login.choose(&both(sasl, sasl2), &can).unwrap().profile;
    assert_eq!(profile(&login, "SCRAM-SHA-1", "SCRAM-SHA-1"), Profile::Sasl);
    assert_eq!(profile(&login, "SCRAM-SHA-1", "SCRAM-SHA-256"), Profile::Sasl2);
    assert_eq!(profile(&login, "PLAIN", "PLAIN"), Profile::Sasl2);
    login.probe = false;
    assert_eq!(profile(&login, "SCRAM-SHA-1", "SCRAM-SHA-1"), Profile::Sasl2);
    assert_eq!(profile(&login, "SCRAM-SHA-256", "SCRAM-SHA-1"), Profile::Sasl);
    assert_eq!(profile(&login, "SCRAM-SHA-1", "EXTERNAL"), Profile::Sasl);
}

#[test]
fn keys_are_pinned_to_their_mechanism() {
    let keys = ScramKeys::derive(ScramMechanism::Sha1, "secret", b"salt", 4096);
    let pinned = with(Credentials::Keys(keys), Pins::default()).unwrap();
    let [can, _] = bindings();
    let hash = |login: &Login, names: &[&str]| match way(login, &offer(names), &can) {
        Some(Way::Scram(mechanism, _)) => Some(mechanism),
        Some(Way::Plain) => panic!("PLAIN"),
        None => None,
    };
    assert_eq!(hash(&pinned, &["SCRAM-SHA-1", "SCRAM-SHA-256"]), Some(ScramMechanism::Sha1));
    assert_eq!(hash(&pinned, &["PLAIN"]), None);
}

/// The result for offers of these mechanisms if this is pinned, or accepted nevertheless.
fn refused(login: &Login, offer: &Offer) -> Option<String> {
    let [can, _] = bindings();
    match login.check(&Pins::of(offer, &can)) {
        Ok(()) => None,
        Err(ConnectError::Downgrade { text }) => Some(text),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_password_that_has_worked_with_scram_is_not_given_away_afterwards() {
    let mut used = login("secret").unwrap();
    assert_eq!(refused(&used, &offer(&["PLAIN"])), None);
    let [can, _] = bindings();
    used.pin(Pins::of(&offer(&["SCRAM-SHA-1"]), &can));
    assert!(refused(&used, &offer(&["PLAIN"])).unwrap().starts_with("SCRAM-SHA-1;"));
    assert_eq!(refused(&used, &offer(&["SCRAM-SHA-256"])), None);
    // Stored keys imply as much.
    let keys = ScramKeys::derive(ScramMechanism::Sha256, "secret", b"salt", 4096);
    let keys = with(Credentials::Keys(keys), Pins::default()).unwrap();
    assert!(refused(&keys, &offer(&["PLAIN"])).is_some());
    assert!(refused(&keys, &offer(&["PLAIN", "SCRAM-SHA-1"])).is_some());
}

/// Every offer of two hashes, bound and unbound, and PLAIN, with either profile and each list of bindings, against
/// each set of pins.
#[test]
fn no_offer_that_passes_comes_to_less_than_what_is_pinned() {
    use crate::stream::reach::binding::BindingType::{EndPoint, Exporter};
    const NAMES: [&str; 5] =
        ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN"];
    let names = |set: usize| {
        let chosen = NAMES.iter().enumerate().filter(|(index, _)| set & (1 << index) != 0);
        chosen.map(|(_, &name)| name.to_owned()).collect::<Vec<_>>()
    };
    let lists: [&[&str]; 4] =
        [&["tls-exporter", "tls-server-end-point"], &["tls-server-end-point"], &["tls-unique"], &[]];
    let [can, _] = bindings();
    let mut login = login("secret").unwrap();
    login.probe = false;
    let (mut passed, mut refused) = (0, 0);
    for sets in 0..1 << (2 * NAMES.len()) {
        for list in lists {
            // Unknown mechanisms do not improve a list.
            let mut sasl2 = names(sets >> NAMES.len());
            sasl2.push("X-UNKNOWN".to_owned());
            let bindings = Some(list.iter().map(|&kind| kind.to_owned()).collect());
            let offer = Offer { sasl: names(sets), sasl2, bindings, ..Offer::default() };
            let seen = Pins::of(&offer, &can);
            let Ok(choice) = login.choose(&offer, &can) else { continue };
            let (scram, binding) = match choice.way {
                Way::Scram(mechanism, Flag::Bound(kind)) => (Some(mechanism), Some(kind)),
                Way::Scram(mechanism, _) => (Some(mechanism), None),
                Way::Plain => (None, None),
            };
            let used = Pins { scram, binding, sasl2: choice.profile == Profile::Sasl2 };
            for scram in [None, Some(ScramMechanism::Sha1), Some(ScramMechanism::Sha256)] {
                for binding in [None, Some(EndPoint), Some(Exporter)] {
                    for sasl2 in [false, true] {
                        login.pins = Pins { scram, binding, sasl2 };
                        if login.check(&seen).is_err() {
                            refused += 1;
                            continue;
                        }
                        passed += 1;
                        let missing = login.pins.missing_from(&used);
                        assert_eq!(missing, None, "{offer:?} came to {choice:?}");
                    }
                }
            }
        }
    }
    assert!(passed > 1000 && refused > 1000, "{passed} passed, {refused} refused");
}

#[test]
fn less_is_accepted_for_one_login_and_is_then_what_is_pinned() {
    let [can, _] = bindings();
    let pins = Pins::of(&offer(&["SCRAM-SHA-256"]), &can);
    let mut login = with(Credentials::Password(Password::from("secret".to_owned())), pins).unwrap();
    let (plain, weak) = (offer(&["PLAIN"]), offer(&["SCRAM-SHA-1"]));
    login.accepts.store(true, Ordering::Relaxed);
    assert_eq!(refused(&login, &weak), None);
    assert_eq!(way(&login, &plain, &can), Some(Way::Plain));
    login.pin(Pins::of(&weak, &can));
    assert_eq!(refused(&login, &weak), None);
    assert!(refused(&login, &plain).is_some());
    // Without the password, PLAIN is impossible.
    let keys = ScramKeys::derive(ScramMechanism::Sha256, "secret", b"salt", 4096);
    let keys = with(Credentials::Keys(keys), pins).unwrap();
    keys.accepts.store(true, Ordering::Relaxed);
    let refusal = keys.choose(&plain, &can).unwrap_err();
    assert!(matches!(refusal, ConnectError::NotAuthorized { .. }), "{refusal}");
}

#[test]
fn a_clients_id_is_a_uuid_of_its_own() {
    let id = client_id();
    assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
    assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    assert_ne!(id, client_id());
}

#[test]
fn names_and_passwords_are_prepared() {
    let login = login("I\u{AD}X\u{2168}").unwrap();
    assert_eq!(login.password.unwrap().as_str(), "IXIX");
    // Newer than SASLprep: composed, with an ASCII space.
    let login = self::login("horse🐴 bat\u{A0}te\u{301}ry").unwrap();
    assert_eq!(login.password.unwrap().as_str(), "horse🐴 bat t\u{e9}ry");
    assert!(matches!(self::login("a\u{7}"), Err(ConnectError::NotAuthorized { .. })));
    assert!(matches!(self::login(""), Err(ConnectError::NotAuthorized { .. })));
    assert!(matches!(self::login("a\0b"), Err(ConnectError::NotAuthorized { .. })));
}

#[test]
fn a_token_is_bound_as_tightly_as_a_login() {
    use crate::stream::reach::binding::BindingType::{EndPoint, Exporter};
    let [can, cannot] = bindings();
    let best = |bindings: &Bindings, scram: &str, tokens: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let kinds = Some(names(&["tls-exporter"]));
        let offer =
            Offer { sasl2: names(&[scram]), fast: names(tokens), bindings: kinds, ..Offer::default() };
        TokenMechanism::best(&offer, bindings)
    };
    let all = ["HT-SHA-256-NONE", "HT-SHA-256-ENDP", "HT-SHA-256-EXPR"];
    assert_eq!(best(&can, "SCRAM-SHA-256-PLUS", &all), Some(TokenMechanism::Bound(Exporter)));
    assert_eq!(best(&can, "SCRAM-SHA-256-PLUS", &all[..2]), None);
    assert_eq!(best(&can, "SCRAM-SHA-256", &all[..2]), Some(TokenMechanism::Bound(EndPoint)));
    assert_eq!(best(&can, "SCRAM-SHA-256", &all[..1]), Some(TokenMechanism::Unbound));
    assert_eq!(best(&cannot, "SCRAM-SHA-256-PLUS", &all), Some(TokenMechanism::Unbound));
}
