//! Reasons to probe all connections at once: the machine's addresses or routes have changed, or it has slept.
//!
//! The kernel reports both, so that nothing needs to wake up and check: a netlink socket (`rtnetlink(7)`), and a
//! timer that never expires but is cancelled when the wall clock is set, as it is after each sleep
//! (`TFD_TIMER_CANCEL_ON_SET`). How long the machine slept is what `CLOCK_BOOTTIME` has gained on `CLOCK_MONOTONIC`;
//! a clock that was merely corrected is no reason.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR`. Not IPv6 routes:
/// routers refresh those every few minutes.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100;
/// A change arrives as a burst of messages: link, addresses, routes. After it the network is usable.
const SETTLE: Duration = Duration::from_millis(500);
/// The two clocks are read one after the other, so they differ slightly.
const SLEPT: Duration = Duration::from_secs(1);

/// See the module's description.
pub(crate) struct NetworkChanges {
    netlink: AsyncFd<OwnedFd>,
    timer: AsyncFd<OwnedFd>,
    /// How long the machine had slept at the last check.
    slept: Duration,
}

/// Reports from now on when connections should be probed. Must be called within a tokio runtime.
///
/// # Errors
/// The kernel provides no such socket or timer; then only the streams' own deadlines detect a loss.
pub(crate) fn network_changes() -> io::Result<NetworkChanges> {
    let netlink = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::bind(&netlink, &SocketAddrNetlink::new(0, GROUPS))?;
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    arm(&timer)?;
    Ok(NetworkChanges { netlink: watched(netlink)?, timer: watched(timer)?, slept: slept() })
}

#[expect(deprecated, reason = "what replaces it is unsafe; an OwnedFd does keep to what is asked of it")]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

impl NetworkChanges {
    /// Waits for the next reason to probe. Cancel safe.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                guard = self.netlink.readable() => {
                    let Ok(mut guard) = guard else { return std::future::pending().await };
                    drain(self.netlink.get_ref());
                    guard.clear_ready();
                    sleep(SETTLE).await;
                    drain(self.netlink.get_ref());
                    return;
                }
                guard = self.timer.readable() => {
                    let Ok(mut guard) = guard else { return std::future::pending().await };
                    // The count, or that the clock was set: it must be armed again either way.
                    let _ = rustix::io::read(self.timer.get_ref(), &mut [0; 8]);
                    guard.clear_ready();
                    if let Err(error) = arm(self.timer.get_ref()) {
                        tracing::warn!(%error, "the machine's sleep will no longer be noticed");
                    }
                    let before = std::mem::replace(&mut self.slept, slept());
                    if has_slept(before, self.slept) {
                        return;
                    }
                }
            }
        }
    }
}

/// The content of the messages does not matter, only that there were some, or more than could be buffered
/// (`ENOBUFS`).
fn drain(netlink: &OwnedFd) {
    let mut message = [0; 8192];
    while !matches!(rustix::net::recv(netlink, &mut message[..], RecvFlags::empty()), Err(Errno::AGAIN)) {}
}

/// Does not expire within a lifetime; is cancelled when the wall clock is set.
fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Timespec { tv_sec: i64::from(u32::MAX) * 2, tv_nsec: 0 };
    let once = Itimerspec { it_interval: Timespec::default(), it_value: never };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &once)?;
    Ok(())
}

/// How long the machine has slept since boot.
fn slept() -> Duration {
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

fn has_slept(before: Duration, now: Duration) -> bool {
    now.saturating_sub(before) >= SLEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrected_clock_is_no_sleep() {
        let hour = Duration::from_secs(3600);
        assert!(!has_slept(hour, hour + Duration::from_millis(3)));
        assert!(!has_slept(hour, hour - Duration::from_millis(3)));
        assert!(has_slept(hour, hour + Duration::from_secs(20)));
        let now = slept();
        assert!(!has_slept(now, slept()));
    }

    #[tokio::test]
    async fn a_new_address_is_told_of() {
        let ip = |what: &str| {
            let address = format!("127.201.{}.7/32", std::process::id() % 250);
            let output =
                std::process::Command::new("ip").args(["addr", what, &address, "dev", "lo"]).output();
            output.is_ok_and(|output| output.status.success())
        };
        let mut changes = network_changes().unwrap();
        if !ip("add") {
            return eprintln!("skipped: a_new_address_is_told_of needs ip(8) and the right to use it");
        }
        let told = tokio::time::timeout(Duration::from_secs(5), changes.next()).await;
        assert!(ip("del"));
        assert!(told.is_ok());
    }

    #[tokio::test]
    async fn nothing_is_told_while_nothing_changes() {
        let mut changes = network_changes().unwrap();
        // The machine may just have changed its network, but does not do so repeatedly.
        for _ in 0..5 {
            if tokio::time::timeout(Duration::from_millis(200), changes.next()).await.is_err() {
                return;
            }
        }
        panic!("it never ends");
    }
}
