//! XEP-0280: Message Carbons. Enabled at login (§4); what they carry is not read yet.

use crate::request::Outcome;
use minidom::Element;
use tracing::debug;
use xmpp_parsers::carbons::Enable;

pub(crate) fn enable() -> Element {
    Enable.into()
}

pub(crate) fn note_result(outcome: &Outcome) {
    match outcome {
        Ok(_) => debug!("carbons enabled"),
        Err(failure) => debug!(%failure, "carbons not enabled"),
    }
}
