//! XEP-0199: XMPP Ping. We only answer here (§4.2); sending pings is up to the stream.

use minidom::Element;
use xmpp_parsers::ns;

pub(crate) const FEATURES: &[&str] = &[ns::PING];

pub(crate) fn is_ping(payload: &Element) -> bool {
    payload.is("ping", ns::PING)
}
