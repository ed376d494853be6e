//! Suggests methods for a misspelled name.

use prosed_protocol::{ApiError, ErrorKind, api};
use strsim::normalized_damerau_levenshtein;

/// Longer names resemble none of ours, and the cost of comparing grows with the length.
const LONGEST: usize = 64;

/// The least similarity worth mentioning; 1 means equal.
const LIKE: f64 = 0.5;

/// How many are suggested.
const NAMED: usize = 3;

/// The error for a method that does not exist. It lists similar names.
pub(super) fn unknown_method(name: &str) -> ApiError {
    let error = ApiError::new(ErrorKind::MethodNotFound);
    match &nearest(name)[..] {
        [] => error,
        names => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            error.message(format!(
                "There is no such method; similar ones: {}. rpc.discover lists all.",
                names.join(", ")
            ))
        }
    }
}

/// The most similar first.
fn nearest(name: &str) -> Vec<&'static str> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    let said = plain(name);
    let mut names: Vec<_> = api::methods()
        .map(|method| (normalized_damerau_levenshtein(&said, &plain(method.name)), method.name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .collect();
    names.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    names.into_iter().take(NAMED).map(|(_, name)| name).collect()
}

/// Treats `loadRoster`, `load-roster` and `load_roster` as equal.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_was_meant() {
        for (said, meant) in [
            ("lod_roster", "load_roster"),
            ("loadRoster", "load_roster"),
            ("set-presence", "set_presence"),
            ("getAccounts", "get_account"),
            ("discover", "rpc.discover"),
            ("subscribe_contact_changed", "subscribe_contactChanged"),
        ] {
            assert_eq!(nearest(said).first(), Some(&meant), "{said}");
            assert!(unknown_method(said).message.contains(&format!("similar ones: `{meant}`")));
        }
    }

    #[test]
    fn names_nothing_that_is_unlike() {
        for said in ["", "zzz", "🦀", &"load_roster".repeat(100_000)] {
            assert!(nearest(said).is_empty(), "{:.20}", said);
            assert_eq!(unknown_method(said).message, ErrorKind::MethodNotFound.message());
        }
        assert!(nearest("subscribe_").len() <= NAMED);
    }
}
