//! The names of requests in flight, with what is needed once they are answered. Plain data: what to do with an answer is
//! up to the feature that asked.

use jid::{BareJid, Jid};
use minidom::Element;

use crate::command::Call;
use crate::failure::Failure;
use crate::model::{CapsKey, Declared, ImageId, ImageInfo};

/// What was requested.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Roster,
    RosterChange { call: Call },
    Rename { jid: BareJid },
    PublishAvatar { call: Call, id: Option<ImageId>, part: AvatarPart },
    OwnVcard { from: OwnVcardSource },
    PublishVcard { vcard: Box<Element>, source: VcardSource },
    EnableCarbons,
    Refresh,
    Disco { asked: CapsQuery },
    AvatarMetadata { jid: BareJid, known: Declared<ImageId> },
    AvatarData(AvatarQuery),
    Vcard { jid: BareJid, source: VcardSource, on_request: bool },
    VcardTemp { jid: BareJid, on_request: bool },
}

/// The query for an avatar's image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AvatarQuery {
    pub(crate) owner: BareJid,
    pub(crate) id: ImageId,
    /// The item that is asked for: the id as its owner or as we spell it.
    pub(crate) spelling: String,
    /// Whether to ask for another spelling if there is no such item.
    pub(crate) may_retry: bool,
}

/// How a request ended: the payload of its result, or the reason that there is none.
pub(crate) type Outcome = Result<Option<Element>, Failure>;

/// Publishing an avatar takes two steps (XEP-0084 §3.1): the image, then the metadata that points to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AvatarPart {
    Data(ImageInfo),
    Metadata,
}

/// A device that we asked to explain its caps, and the hash that it shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CapsQuery {
    pub(crate) key: CapsKey,
    pub(crate) holder: Jid,
}

/// The node that a profile comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VcardSource {
    Vcard4,
    Prose,
}

/// Where to look for our vCard: in the order in which profiles are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OwnVcardSource {
    Pep(VcardSource),
    Temp,
}
