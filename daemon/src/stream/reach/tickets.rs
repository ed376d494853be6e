//! Tickets for resuming TLS sessions (RFC 8446 §2.2), in memory only.
//!
//! Each account has its own: a server that gets one account's ticket from another one would know that they belong
//! together. TLS 1.3 only, where a ticket serves once and travels encrypted. What resumes TLS 1.2, an id or a ticket,
//! lets everybody on the way recognize us on another network, and rustls can't be told to leave out the id.

use tokio_rustls::rustls::NamedGroup;
use tokio_rustls::rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use tokio_rustls::rustls::pki_types::ServerName;

/// How many an account keeps. A server usually gives two per connection. rustls keeps them by the name of the server,
/// eight each, and an account has one name. A ticket has 64 KiB at most, usually 300 bytes.
const TICKETS: usize = 8;

/// One account's tickets.
#[derive(Debug)]
pub(crate) struct Tickets(ClientSessionMemoryCache);

impl Default for Tickets {
    fn default() -> Self {
        Self(ClientSessionMemoryCache::new(TICKETS))
    }
}

impl Tickets {
    /// The next handshake is a full one.
    pub(crate) fn forget(&self, name: &ServerName<'static>) {
        while self.take_tls13_ticket(name).is_some() {}
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(name)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(name)
    }
}
