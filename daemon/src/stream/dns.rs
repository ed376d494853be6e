//! Where an account's server may be: given, or found in DNS (RFC 6120 §3.2, RFC 2782, XEP-0368).

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use rand::Rng;

use super::{ConnectError, Settings};
use crate::config::TlsMode;

/// RFC 6120 §3.2.2.
const STARTTLS_PORT: u16 = 5222;
/// What servers listen on for XEP-0368 where nothing else is said.
const DIRECT_PORT: u16 = 5223;
/// How long a look-up may take.
pub(super) const LOOKUP: Duration = Duration::from_secs(10);
/// More places than this are not tried; a domain has a handful.
const MAX_TARGETS: usize = 16;

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// A host's name or an IP address.
    pub host: String,
    pub port: u16,
    /// TLS from the first byte.
    pub direct: bool,
}

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    port: u16,
    host: String,
}

/// The places to try, best first. Looked up anew each time: networks change.
pub(super) async fn targets(settings: &Settings, domain: &str) -> Result<Vec<Target>, ConnectError> {
    if let Some(target) = given(settings, domain) {
        return Ok(vec![target]);
    }
    let (direct, starttls) = tokio::join!(
        lookup(settings.tls != TlsMode::StartTls, "_xmpps-client._tcp", domain),
        lookup(settings.tls != TlsMode::Direct, "_xmpp-client._tcp", domain),
    );
    let targets = order(direct, starttls, settings.tls, domain, &mut rand::rng());
    if targets.is_empty() {
        return Err(ConnectError::Unreachable { text: format!("{domain} says that it has no XMPP service") });
    }
    Ok(targets)
}

/// Where a host or a port was given, or the domain is an IP address, DNS has no say.
fn given(settings: &Settings, domain: &str) -> Option<Target> {
    if settings.host.is_none() && settings.port.is_none() && ip(domain).is_none() {
        return None;
    }
    let direct = settings.tls == TlsMode::Direct;
    let host = settings.host.as_deref().unwrap_or(domain);
    let host = ip(host).map_or_else(|| host.to_owned(), |ip| ip.to_string());
    let port = settings.port.unwrap_or(if direct { DIRECT_PORT } else { STARTTLS_PORT });
    Some(Target { host, port, direct })
}

/// An IP address, of version 6 also in brackets.
pub(super) fn ip(host: &str) -> Option<std::net::IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// The domain's records for a service; none where there are none, or where DNS does not say: the
/// domain itself is tried then, and if DNS is out of order that will fail with its own error.
async fn lookup(wanted: bool, service: &str, domain: &str) -> Option<Vec<Record>> {
    if !wanted {
        return None;
    }
    let resolver = TokioResolver::builder_tokio().ok()?.build().ok()?;
    let query = resolver.srv_lookup(format!("{service}.{domain}."));
    let records: Vec<Record> = tokio::time::timeout(LOOKUP, query)
        .await
        .ok()?
        .inspect_err(|error| tracing::debug!(service, %error, "no SRV records"))
        .ok()?
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Record {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: srv.target.to_ascii(),
            }),
            _ => None,
        })
        .collect();
    (!records.is_empty()).then_some(records)
}

/// Merges both services' records: by priority, within one priority at random by weight.
fn order(
    direct: Option<Vec<Record>>,
    starttls: Option<Vec<Record>>,
    mode: TlsMode,
    domain: &str,
    random: &mut impl Rng,
) -> Vec<Target> {
    let fallback = match mode {
        TlsMode::Direct if direct.is_none() => Some((DIRECT_PORT, true)),
        // No `_xmpp-client` record at all: the domain itself may serve (RFC 6120 §3.2.2). Not
        // where it told us a better place.
        TlsMode::StartTls if starttls.is_none() => Some((STARTTLS_PORT, false)),
        TlsMode::Auto if starttls.is_none() && direct.iter().flatten().all(|record| record.host == ".") => {
            Some((STARTTLS_PORT, false))
        }
        _ => None,
    };
    let mut records: Vec<(Record, bool)> = direct
        .into_iter()
        .flatten()
        .map(|record| (record, true))
        .chain(starttls.into_iter().flatten().map(|record| (record, false)))
        // "Not available at this domain."
        .filter(|(record, _)| record.host != ".")
        .collect();
    // RFC 2782: within a priority those of weight 0 come first, so that they have a small chance.
    records.sort_by_key(|(record, _)| (record.priority, record.weight != 0));
    let mut targets = Vec::new();
    while let Some(priority) = records.first().map(|(record, _)| record.priority) {
        let group = records.iter().take_while(|(record, _)| record.priority == priority);
        let total: u32 = group.map(|(record, _)| u32::from(record.weight)).sum();
        let mut left = random.random_range(0..=total);
        let mut chosen = 0;
        for (index, (record, _)) in records.iter().enumerate() {
            chosen = index;
            if u32::from(record.weight) >= left {
                break;
            }
            left -= u32::from(record.weight);
        }
        let (record, direct) = records.remove(chosen);
        let host = record.host.trim_end_matches('.').to_owned();
        targets.push(Target { host, port: record.port, direct });
    }
    targets.extend(fallback.map(|(port, direct)| Target { host: domain.to_owned(), port, direct }));
    targets.truncate(MAX_TARGETS);
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn record(priority: u16, weight: u16, port: u16, host: &str) -> Record {
        Record { priority, weight, port, host: host.to_owned() }
    }

    fn ports(
        direct: Option<Vec<Record>>,
        starttls: Option<Vec<Record>>,
        mode: TlsMode,
        seed: u64,
    ) -> Vec<u16> {
        order(direct, starttls, mode, "example.org", &mut StdRng::seed_from_u64(seed))
            .iter()
            .map(|target| target.port)
            .collect()
    }

    #[test]
    fn both_services_are_one_list_by_priority() {
        let direct = vec![record(5, 1, 443, "a."), record(20, 1, 5223, "a.")];
        let starttls = vec![record(10, 1, 5222, "b."), record(30, 1, 5555, "b.")];
        for seed in 0..20 {
            let targets = order(
                Some(direct.clone()),
                Some(starttls.clone()),
                TlsMode::Auto,
                "example.org",
                &mut StdRng::seed_from_u64(seed),
            );
            assert_eq!(
                targets.iter().map(|t| (t.host.as_str(), t.port, t.direct)).collect::<Vec<_>>(),
                [("a", 443, true), ("b", 5222, false), ("a", 5223, true), ("b", 5555, false)]
            );
        }
    }

    #[test]
    fn within_a_priority_weight_decides_how_often_one_comes_first() {
        let records = vec![record(1, 0, 1, "a."), record(1, 10, 2, "b."), record(1, 90, 3, "c.")];
        let mut first = [0; 4];
        for seed in 0..2000 {
            let order = ports(None, Some(records.clone()), TlsMode::Auto, seed);
            assert_eq!(order.len(), 3);
            first[usize::from(order[0])] += 1;
        }
        assert!(first[1] > 0 && first[1] < 100, "weight 0: {}", first[1]);
        assert!((120..=320).contains(&first[2]), "weight 10: {}", first[2]);
        assert!(first[3] > 1600, "weight 90: {}", first[3]);
    }

    #[test]
    fn a_dot_means_not_here() {
        let nothing = || Some(vec![record(0, 0, 0, ".")]);
        assert!(ports(nothing(), nothing(), TlsMode::Auto, 1).is_empty());
        assert!(ports(None, nothing(), TlsMode::Auto, 1).is_empty());
        assert_eq!(ports(nothing(), Some(vec![record(1, 1, 7, "a.")]), TlsMode::Auto, 1), [7]);
        // Nothing is said of STARTTLS, only that there is no direct TLS.
        assert_eq!(ports(nothing(), None, TlsMode::Auto, 1), [STARTTLS_PORT]);
    }

    #[test]
    fn without_records_the_domain_itself_is_tried() {
        assert_eq!(ports(None, None, TlsMode::Auto, 1), [STARTTLS_PORT]);
        assert_eq!(ports(None, None, TlsMode::StartTls, 1), [STARTTLS_PORT]);
        assert_eq!(ports(None, None, TlsMode::Direct, 1), [DIRECT_PORT]);
        assert_eq!(ports(Some(vec![record(1, 1, 443, "a.")]), None, TlsMode::Auto, 1), [443]);
    }

    #[test]
    fn too_many_records_are_cut_short() {
        let records = (0..500).map(|port| record(1, 1, port, "a.")).collect();
        assert_eq!(ports(None, Some(records), TlsMode::Auto, 1).len(), MAX_TARGETS);
    }

    #[test]
    fn a_given_host_or_an_address_needs_no_dns() {
        let mut settings = super::super::tests::settings("me@example.org", None, None, TlsMode::Auto);
        assert_eq!(given(&settings, "example.org"), None);
        let target =
            |settings: &Settings, domain| given(settings, domain).map(|t| (t.host, t.port, t.direct));
        assert_eq!(target(&settings, "[::1]"), Some(("::1".to_owned(), 5222, false)));
        settings.tls = TlsMode::Direct;
        settings.host = Some("192.0.2.1".to_owned());
        assert_eq!(target(&settings, "example.org"), Some(("192.0.2.1".to_owned(), 5223, true)));
        settings.port = Some(443);
        assert_eq!(target(&settings, "example.org"), Some(("192.0.2.1".to_owned(), 443, true)));
        settings.host = None;
        assert_eq!(target(&settings, "example.org"), Some(("example.org".to_owned(), 443, true)));
    }
}
