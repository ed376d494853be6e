//! Which domains one owner can create at will.

/// Second-level categories of country registries: `example.co.uk` has an owner, `co.uk` has none.
const SORTS: &[&str] = &[
    "ac", "co", "com", "edu", "gob", "gov", "govt", "ltd", "mil", "ne", "net", "nom", "or", "org", "plc",
    "sch",
];

/// The registrable part of a domain: the owner of `evil.example` can create any number of domains below it. Two
/// labels, or three where the second is a country's category; an IP address is kept whole.
pub fn registrable(domain: &str) -> &str {
    let domain = domain.trim_end_matches('.');
    let mut labels = domain.rsplit('.');
    let (top, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    // No domain name ends in a number or a bracket.
    if top.ends_with(']') || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return domain;
    }
    let is_sorted = top.chars().count() == 2 && SORTS.contains(&second);
    let dots = if is_sorted { 3 } else { 2 };
    let start = domain.rmatch_indices('.').nth(dots - 1).map_or(0, |(dot, _)| dot + 1);
    &domain[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_had_to_register() {
        for (domain, expected) in [
            ("evil.example", "evil.example"),
            ("a1.evil.example", "evil.example"),
            ("a.b.c.evil.example.", "evil.example"),
            ("localhost", "localhost"),
            ("a.evil.co.uk", "evil.co.uk"),
            ("evil.co.uk", "evil.co.uk"),
            ("co.uk", "co.uk"),
            ("a.co.example", "co.example"),
            ("ö.münchen.de", "münchen.de"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("", ""),
        ] {
            assert_eq!(registrable(domain), expected, "{domain}");
        }
    }
}
