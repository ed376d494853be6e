//! Text that a UI sends to servers and contacts: bounded like theirs, and limited to characters that XML allows. A
//! stanza that is too large makes a server end the stream, and with it the session of all other UIs; one that is not
//! XML would be lost without notice.

use prosed_protocol::{AddressPatch, ApiError, Patch, ProfilePatch, invalid_params};
use prosed_session::bounds::{GROUPS, NAME_CHARS, PROFILE_LIST, REQUEST_MESSAGE_CHARS, TEXT_CHARS};

use super::methods::Answered;

/// A status.
pub(super) fn status(text: Option<&str>) -> Answered<()> {
    one("status", text, TEXT_CHARS)
}

/// A contact's name.
pub(super) fn name(text: Option<&str>) -> Answered<()> {
    one("name", text, NAME_CHARS)
}

/// A contact's groups, none of which may have an empty name (RFC 6121 §2.3.3). Prosody would leave it out.
pub(super) fn groups(groups: &[String]) -> Answered<()> {
    if groups.iter().any(String::is_empty) {
        return Err(invalid_params("`groups` holds an empty name: leave it out"));
    }
    several("groups", groups, GROUPS)
}

/// A group's new name, which may not be empty either.
pub(super) fn group(name: &str) -> Answered<()> {
    if name.is_empty() {
        return Err(invalid_params("`name` is empty: a group has one"));
    }
    one("name", Some(name), NAME_CHARS)
}

/// The message of a subscription request.
pub(super) fn message(text: Option<&str>) -> Answered<()> {
    one("message", text, REQUEST_MESSAGE_CHARS)
}

/// Changes to our own profile.
pub(super) fn profile(patch: &ProfilePatch) -> Answered<()> {
    let ProfilePatch {
        full_name,
        nickname,
        organization,
        title,
        role,
        emails,
        phones,
        urls,
        address,
        birthday,
        note,
    } = patch;
    let none = AddressPatch::default();
    let AddressPatch { street, locality, region, postal_code, country } = set(address).unwrap_or(&none);
    for (what, text) in [
        ("fullName", full_name),
        ("nickname", nickname),
        ("organization", organization),
        ("title", title),
        ("role", role),
        ("street", street),
        ("locality", locality),
        ("region", region),
        ("postalCode", postal_code),
        ("country", country),
        ("birthday", birthday),
    ] {
        one(what, set(text).map(String::as_str), NAME_CHARS)?;
    }
    for (what, list) in [("emails", emails), ("phones", phones), ("urls", urls)] {
        several(what, set(list).map_or(&[], Vec::as_slice), PROFILE_LIST)?;
    }
    one("note", set(note).map(String::as_str), TEXT_CHARS)
}

fn set<T>(patch: &Patch<T>) -> Option<&T> {
    match patch {
        Patch::Set(value) => Some(value),
        Patch::Keep | Patch::Remove => None,
    }
}

fn several(what: &str, texts: &[String], most: usize) -> Answered<()> {
    if texts.len() > most {
        return too_much(format!("number of {what}"), most);
    }
    texts.iter().try_for_each(|text| one(what, Some(text), NAME_CHARS))
}

fn one(what: &str, text: Option<&str>, most: usize) -> Answered<()> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().nth(most).is_some() {
        return too_much(format!("characters in {what}"), most);
    }
    match text.chars().find(|character| !is_xml(*character)) {
        Some(character) => {
            let code = character as u32;
            Err(invalid_params(format!("`{what}` holds U+{code:04X}, which XMPP can't carry: leave it out")))
        }
        None => Ok(()),
    }
}

/// Retrying the same call would not help.
fn too_much(limit: String, most: usize) -> Answered<()> {
    Err(ApiError::limit_exceeded(limit, most as u64).retryable(false).into())
}

/// XML 1.0 §2.2.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(chars: usize) -> String {
        "é".repeat(chars)
    }

    /// The limit's name and value.
    fn limit(checked: Answered<()>) -> (String, u64) {
        let error = checked.unwrap_err();
        assert_eq!(error.code(), 1404);
        let data: serde_json::Value = serde_json::from_str(error.data().unwrap().get()).unwrap();
        assert_eq!(data["retryable"], false);
        (data["limit"].as_str().unwrap().to_owned(), data["value"].as_u64().unwrap())
    }

    #[test]
    fn each_text_may_be_so_long_and_no_longer() {
        status(Some(&text(4_000))).unwrap();
        assert_eq!(limit(status(Some(&text(4_001)))), ("characters in status".to_owned(), 4_000));
        name(Some(&text(1_000))).unwrap();
        assert_eq!(limit(name(Some(&text(1_001)))), ("characters in name".to_owned(), 1_000));
        groups(&vec![text(1_000); 100]).unwrap();
        assert_eq!(limit(groups(&[text(1_001)])), ("characters in groups".to_owned(), 1_000));
        assert_eq!(limit(groups(&vec![text(1); 101])), ("number of groups".to_owned(), 100));
        message(Some(&text(1_000))).unwrap();
        assert_eq!(limit(message(Some(&text(1_001)))), ("characters in message".to_owned(), 1_000));
        status(None).unwrap();
    }

    #[test]
    fn a_group_has_a_name() {
        groups(&[]).unwrap();
        for refused in [group(""), groups(&[text(1), String::new()])] {
            let error = refused.unwrap_err();
            assert!(error.code() == -32602 && error.message().contains("empty"), "{error:?}");
        }
    }

    /// Each text of a profile, by name.
    fn filled(field: &str, value: serde_json::Value) -> ProfilePatch {
        let mut profile = serde_json::json!({ "address": {} });
        let within = match field {
            "street" | "locality" | "region" | "postalCode" | "country" => &mut profile["address"],
            _ => &mut profile,
        };
        within[field] = value;
        serde_json::from_value(profile).unwrap()
    }

    #[test]
    fn no_field_of_a_profile_is_forgotten() {
        let fields = "fullName nickname organization title role street locality region postalCode country \
                      birthday note";
        for field in fields.split(' ') {
            let most = if field == "note" { 4_000 } else { 1_000 };
            profile(&filled(field, text(most).into())).unwrap();
            assert_eq!(limit(profile(&filled(field, text(most + 1).into()))).1, most as u64, "{field}");
        }
        for field in ["emails", "phones", "urls"] {
            profile(&filled(field, vec![text(1_000); 20].into())).unwrap();
            assert_eq!(limit(profile(&filled(field, vec![text(1_001)].into()))).1, 1_000, "{field}");
            assert_eq!(limit(profile(&filled(field, vec![text(1); 21].into()))).1, 20, "{field}");
        }
    }

    #[test]
    fn what_xml_cannot_hold_is_refused_by_its_code() {
        for (bad, code) in [("a\0", "U+0000"), ("\u{1b}[1m", "U+001B"), ("\u{ffff}", "U+FFFF")] {
            let error = status(Some(bad)).unwrap_err();
            assert_eq!(error.code(), -32602);
            assert!(error.message().starts_with(&format!("`status` holds {code}")), "{}", error.message());
        }
        for fine in ["", "two\n\tlines\r\n", "<&>\"'", "\u{7f}\u{85}\u{fffd}", "👩‍👩‍👧", "\u{10ffff}"]
        {
            status(Some(fine)).unwrap();
        }
    }
}
