//! XEP-0199: XMPP Ping. We answer (§4.2); asking is the stream's work.

use minidom::Element;
use xmpp_parsers::ns;

pub(crate) const FEATURES: &[&str] = &[ns::PING];

pub(crate) fn is_ping(payload: &Element) -> bool {
    payload.is("ping", ns::PING)
}
