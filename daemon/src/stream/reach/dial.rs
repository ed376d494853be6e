//! A TCP connection to one of a host's addresses, whichever answers first (RFC 8305, simplified).

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::dns::{LOOKUP, Target, ip};
use crate::stream::error::timed_out;

/// RFC 8305 §5: how long to wait for one address before also trying the next.
const STAGGER: Duration = Duration::from_millis(250);
/// How long one address may take in all.
const CONNECT: Duration = Duration::from_secs(10);
/// The most addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

/// Connects to a target. Addresses come from the system's own resolver, so that `/etc/hosts` and the like apply.
pub(crate) async fn dial(target: &Target) -> io::Result<TcpStream> {
    let addresses = match ip(&target.host) {
        Some(ip) => vec![SocketAddr::new(ip, target.port)],
        None => timeout(LOOKUP, tokio::net::lookup_host((target.host.as_str(), target.port)))
            .await
            .map_err(|_| timed_out("DNS: no answer to what its address is"))?
            .map_err(|error| io::Error::new(error.kind(), format!("DNS: {error}")))?
            .collect(),
    };
    let stream = race(interleave(addresses), TcpStream::connect)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("TCP: {error}")))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// IPv6 and IPv4 alternately, starting with whatever the resolver put first.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let six_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == six_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || order.len() >= MAX_ADDRESSES {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// The first connection that succeeds; the others are cancelled.
async fn race<T, F>(mut addresses: VecDeque<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut attempts = FuturesUnordered::new();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        match addresses.pop_front() {
            Some(address) => attempts.push(timeout(CONNECT, connect(address))),
            None if attempts.is_empty() => return Err(error),
            None => {}
        }
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failure)) => error = failure,
                Err(_) => error = timed_out("no answer"),
            },
            () = sleep(STAGGER), if !addresses.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let order = interleave(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"]));
        assert_eq!(order, addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"]));
        assert!(interleave(Vec::new()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_delays_the_next_by_a_stagger_only() {
        let start = tokio::time::Instant::now();
        let got = race(addresses(&["[::1]:1", "127.0.0.1:2"]).into(), async |address| {
            if address.is_ipv6() { std::future::pending().await } else { Ok(address.port()) }
        });
        assert_eq!(got.await.unwrap(), 2);
        assert_eq!(start.elapsed(), STAGGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_tries_the_next_at_once_and_silence_has_a_deadline() {
        let start = tokio::time::Instant::now();
        let got: io::Result<()> = race(addresses(&["[::1]:1", "127.0.0.1:2"]).into(), async |address| {
            if address.is_ipv6() {
                Err(io::ErrorKind::ConnectionRefused.into())
            } else {
                std::future::pending().await
            }
        })
        .await;
        assert_eq!(got.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), CONNECT);
        assert!(race::<(), _>(VecDeque::new(), async |_| Ok(())).await.is_err());
    }
}
