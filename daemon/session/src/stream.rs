//! What ends with a stream. It is replaced as a whole when a stream ends, so that no extension can forget to reset a part
//! of it: what holds for one stream belongs in an extension's `PerStream`, what lasts in its `State`.

use crate::{
    background, caps, client_state, connection, image, lookups, pending, presence, rename, roster, startup,
    vcard_edit, vcard_temp,
};

#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) connection: connection::PerStream,
    pub(crate) startup: startup::PerStream,
    pub(crate) client_state: client_state::PerStream,
    pub(crate) pending: pending::Pending,
    pub(crate) lookups: lookups::Lookups,
    pub(crate) background: background::PerStream,
    pub(crate) roster: roster::PerStream,
    pub(crate) renames: rename::PerStream,
    pub(crate) presence: presence::PerStream,
    pub(crate) caps: caps::PerStream,
    pub(crate) images: image::PerStream,
    pub(crate) vcard_temp: vcard_temp::PerStream,
    pub(crate) vcard_edits: vcard_edit::PerStream,
}
