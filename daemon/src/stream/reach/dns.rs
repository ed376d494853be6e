//! The addresses of an account's server: configured, or found in DNS (RFC 6120 §3.2, RFC 2782, XEP-0368).

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use rand::Rng;

use crate::config::TlsMode;
use crate::stream::{ConnectError, Settings};

/// RFC 6120 §3.2.2.
const STARTTLS_PORT: u16 = 5222;
/// The usual port for XEP-0368.
const DIRECT_PORT: u16 = 5223;
/// How long a lookup may take.
pub(crate) const LOOKUP: Duration = Duration::from_secs(10);
/// The most targets tried; a domain has a handful.
const MAX_TARGETS: usize = 16;

/// A target to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
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

/// The targets to try, and what prevented a better answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Best first.
    pub targets: Vec<Target>,
    /// What could not be looked up; in that case the domain itself is among the targets.
    pub trouble: Option<String>,
}

/// What DNS says about a service.
#[derive(Debug)]
enum Answer {
    Records(Vec<Record>),
    /// There are none; or there was no lookup.
    Nothing,
    /// No answer, or none to the question.
    Trouble(String),
}

impl Answer {
    fn records(self) -> Option<Vec<Record>> {
        match self {
            Self::Records(records) => Some(records),
            Self::Nothing | Self::Trouble(_) => None,
        }
    }
}

/// The targets to try. Looked up each time, with the system's current configuration: networks change.
pub(crate) async fn places(settings: &Settings, domain: &str) -> Result<Places, ConnectError> {
    if let Some(target) = given(settings, domain) {
        return Ok(Places { targets: vec![target], trouble: None });
    }
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    asked(resolver, settings.tls, domain).await
}

/// A resolver that cannot be set up, for example without a readable `resolv.conf`, counts as one that does not
/// answer: the domain itself is tried, which `/etc/hosts` may know (RFC 6120 §3.2.2).
async fn asked(
    resolver: Result<TokioResolver, NetError>,
    mode: TlsMode,
    domain: &str,
) -> Result<Places, ConnectError> {
    let (direct, starttls) = match &resolver {
        Ok(resolver) => tokio::join!(
            lookup(resolver, mode != TlsMode::StartTls, "_xmpps-client._tcp", domain),
            lookup(resolver, mode != TlsMode::Direct, "_xmpp-client._tcp", domain),
        ),
        Err(error) => {
            tracing::warn!(%error, "the system's DNS configuration can't be used");
            (Answer::Trouble("DNS: the system's configuration can't be used".to_owned()), Answer::Nothing)
        }
    };
    let trouble = [&direct, &starttls].into_iter().find_map(|answer| match answer {
        Answer::Trouble(text) => Some(text.clone()),
        Answer::Records(_) | Answer::Nothing => None,
    });
    let targets = order(direct.records(), starttls.records(), mode, domain, &mut rand::rng());
    if targets.is_empty() {
        return Err(ConnectError::Unreachable {
            text: format!("DNS: {domain} says that it has no XMPP service"),
        });
    }
    Ok(Places { targets, trouble })
}

/// If a host or a port was given, or the domain is an IP address, DNS is not consulted.
fn given(settings: &Settings, domain: &str) -> Option<Target> {
    if settings.host.is_none() && settings.port.is_none() && ip(domain).is_none() {
        return None;
    }
    let direct = settings.tls == TlsMode::Direct;
    let host = settings.host.as_deref().unwrap_or(domain);
    let host = ip(host).map_or_else(|| ascii(host), |ip| ip.to_string());
    let port = settings.port.unwrap_or(if direct { DIRECT_PORT } else { STARTTLS_PORT });
    Some(Target { host, port, direct })
}

/// A domain in the form used in DNS and certificates.
pub(crate) fn ascii(domain: &str) -> String {
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned())
}

/// An IP address; version 6 also in brackets.
pub(crate) fn ip(host: &str) -> Option<std::net::IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// The domain's records for a service. If DNS has none, the domain itself is tried, and if DNS does not work, that
/// fails with its own error.
async fn lookup(resolver: &TokioResolver, wanted: bool, service: &str, domain: &str) -> Answer {
    if !wanted {
        return Answer::Nothing;
    }
    let query = resolver.srv_lookup(format!("{service}.{domain}."));
    let found = match tokio::time::timeout(LOOKUP, query).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) if error.is_no_records_found() && !is_server_failure(&error) => {
            return Answer::Nothing;
        }
        Ok(Err(error)) => return Answer::Trouble(format!("DNS, {service}: {}", in_words(&error))),
        Err(_) => return Answer::Trouble(format!("DNS, {service}: no answer")),
    };
    let records: Vec<Record> = found
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
    if records.is_empty() { Answer::Nothing } else { Answer::Records(records) }
}

/// Why a lookup failed. The library's own text includes the debug form of its types, which is for the log.
fn in_words(error: &NetError) -> String {
    tracing::debug!(%error, "a DNS look-up failed");
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the name server answered: {code}"),
        NetError::Dns(DnsError::NoRecordsFound(answer)) => {
            format!("the name server answered: {}", answer.response_code)
        }
        NetError::Timeout => "the name server did not answer".to_owned(),
        NetError::Io(error) => format!("the name server can't be reached: {error}"),
        _ => "no usable answer from a name server".to_owned(),
    }
}

/// The name server responded, but not to the question.
fn is_server_failure(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(answer)) = error else { return false };
    !matches!(answer.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
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
        // No `_xmpp-client` record at all: the domain itself may serve (RFC 6120 §3.2.2), unless it pointed us to a
        // better place.
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
    // RFC 2782: within a priority, those with weight 0 come first, so that they have a small chance.
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
        // It says nothing about STARTTLS, only that there is no direct TLS.
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
        let mut settings = crate::stream::tests::settings("me@example.org", None, None, TlsMode::Auto);
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

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, MessageType, OpCode};
    use hickory_resolver::proto::rr::rdata::SRV;
    use hickory_resolver::proto::rr::{Name, Record as DnsRecord};

    /// How the scripted name server answers a question.
    type Script = fn(&str) -> Option<(ResponseCode, Vec<(u16, u16, &'static str)>)>;

    /// A resolver that queries our own name server, over real UDP.
    async fn resolver(script: Script) -> TokioResolver {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut udp = ConnectionConfig::udp();
        udp.port = socket.local_addr().unwrap().port();
        let server = NameServerConfig::new([127, 0, 0, 1].into(), true, vec![udp]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        tokio::spawn(async move {
            let mut packet = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                let question = Message::from_vec(&packet[..len]).unwrap();
                let query = question.queries[0].clone();
                let Some((code, records)) = script(&query.name().to_ascii()) else { continue };
                let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
                answer.metadata.response_code = code;
                for (priority, port, host) in records {
                    let data = RData::SRV(SRV::new(priority, 1, port, Name::from_ascii(host).unwrap()));
                    answer.add_answer(DnsRecord::from_rdata(query.name().clone(), 60, data));
                }
                answer.add_query(query);
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
    }

    async fn found(script: Script) -> Result<Places, ConnectError> {
        asked(Ok(resolver(script).await), TlsMode::Auto, "example.org").await
    }

    #[tokio::test]
    async fn both_services_are_asked_for_and_merged() {
        let places = found(|name| match name {
            "_xmpps-client._tcp.example.org." => {
                Some((ResponseCode::NoError, vec![(5, 443, "a.example.org."), (20, 5223, "b.example.org.")]))
            }
            "_xmpp-client._tcp.example.org." => {
                Some((ResponseCode::NoError, vec![(10, 5222, "c.example.org.")]))
            }
            other => panic!("{other}"),
        });
        let places = places.await.unwrap();
        let order: Vec<_> = places.targets.iter().map(|t| (t.host.as_str(), t.port, t.direct)).collect();
        let expected =
            [("a.example.org", 443, true), ("c.example.org", 5222, false), ("b.example.org", 5223, true)];
        assert_eq!((order, places.trouble), (expected.into(), None));
    }

    #[tokio::test]
    async fn a_domain_may_say_that_it_has_none_or_nothing() {
        let error = found(|_| Some((ResponseCode::NoError, vec![(0, 0, ".")]))).await.unwrap_err();
        assert!(error.to_string().contains("DNS: example.org says that it has no XMPP service"), "{error}");
        let itself = Target { host: "example.org".to_owned(), port: STARTTLS_PORT, direct: false };
        for script in [(|_| Some((ResponseCode::NXDomain, vec![]))) as Script, |_| {
            Some((ResponseCode::NoError, vec![]))
        }] {
            assert_eq!(found(script).await.unwrap(), Places { targets: vec![itself.clone()], trouble: None });
        }
    }

    #[tokio::test]
    async fn a_name_server_that_fails_or_is_silent_is_told_of() {
        let places = found(|_| Some((ResponseCode::ServFail, vec![]))).await.unwrap();
        assert_eq!(places.targets[0].host, "example.org");
        let trouble = places.trouble.unwrap();
        assert_eq!(trouble, "DNS, _xmpps-client._tcp: the name server answered: Server Failure");
        let resolver = resolver(|_| None).await;
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        let places = asked(Ok(resolver), TlsMode::Auto, "example.org").await.unwrap();
        assert!(start.elapsed() <= LOOKUP + Duration::from_secs(1), "after {:?}", start.elapsed());
        assert!(places.trouble.is_some());
    }

    #[tokio::test]
    async fn without_name_servers_the_domain_itself_is_tried() {
        let empty = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        let empty = TokioResolver::builder_with_config(empty, TokioRuntimeProvider::default()).build();
        for resolver in [Err(NetError::from("no resolv.conf")), empty] {
            let places = asked(resolver, TlsMode::Auto, "example.org").await.unwrap();
            let itself = Target { host: "example.org".to_owned(), port: STARTTLS_PORT, direct: false };
            assert_eq!(places.targets, [itself]);
            let trouble = places.trouble.unwrap();
            assert!(trouble.starts_with("DNS") && !trouble.contains('{'), "{trouble}");
        }
    }
}
