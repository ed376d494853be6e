//! Every bound on what peers can make us keep, and why it is what it is. What UIs may write has the
//! public ones.

use std::time::Duration;

/// Devices of one JID. People have a handful; a hostile contact could invent millions.
pub(crate) const RESOURCES_PER_JID: usize = 32;
/// Bytes of what one JID's devices say: their names, statuses, caps, and what the caps mean where that counts
/// for one device only. With [`PROFILE_BYTES`] of three sources a contact costs 64 KiB at most. Real devices
/// take half a kilobyte each.
pub(crate) const ONLINE_BYTES: usize = 32 * 1024;
/// Verified caps hashes. Real-world clients make a few hundred.
pub const CAPS_KNOWN: usize = 2_000;
/// Bytes of all verified caps hashes, in memory and, as they are encoded, on disk. A real one takes 4 KiB.
pub const CAPS_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one hash's meaning: several times what the richest clients announce.
pub const CAPS_RECORD_BYTES: usize = 32 * 1024;
/// Bytes that one contact's devices may add to the verified hashes, on one stream: a share of
/// [`CAPS_BYTES`], so that more than a hundred contacts would have to agree to push others' out.
pub(crate) const CAPS_BYTES_PER_CONTACT: usize = 64 * 1024;
/// Features of one client: many times what the richest announces.
pub(crate) const CAPS_FEATURES: usize = 500;
/// Devices of one contact asked for one hash before others are asked instead: a liar costs us no more.
pub(crate) const CAPS_ATTEMPTS: usize = 3;
/// Questions on their way to one contact. Whoever does not answer keeps two places for half a minute.
pub(crate) const QUESTIONS_PER_CONTACT: usize = 2;
/// Disco queries in flight: enough to hide round trips, too few to look like a flood.
pub(crate) const DISCO_IN_FLIGHT: usize = 16;
/// Avatars in flight or on their way to the disk: each may be 1.4 MB of base64.
pub(crate) const AVATARS_IN_FLIGHT: usize = 16;
/// Old vCards in flight for their pictures, or those on their way to the disk: each may be as large.
pub(crate) const PHOTOS_IN_FLIGHT: usize = 8;
/// An avatar's bytes, decoded. XEP-0084 §7.2 advises far less; phones publish more.
pub(crate) const AVATAR_BYTES: usize = 1024 * 1024;
/// An avatar's width and height, in pixels.
pub(crate) const AVATAR_SIDE: usize = 4096;
/// An avatar's area, in pixels: what a UI can decode without harm.
pub(crate) const AVATAR_PIXELS: usize = 16_000_000;
/// An animated avatar's frames: half a minute of film.
pub(crate) const AVATAR_FRAMES: usize = 1_000;
/// An animated avatar's frames in pixels, each as large as the whole: 256 MB where a UI keeps them all.
pub(crate) const AVATAR_FRAMES_PIXELS: usize = 64_000_000;
/// A JPEG's scans, each of which costs a pass over the picture. Encoders make about ten.
pub(crate) const AVATAR_SCANS: usize = 32;
/// Colour profile and texts of an avatar, inflated, in bytes: programs hold them in memory.
pub(crate) const AVATAR_NOTES_BYTES: usize = 4 * 1024 * 1024;
/// Questions for what the server did not push, in flight.
pub(crate) const CATCH_UP_IN_FLIGHT: usize = 8;
/// Characters of a name, nickname, group or resource of a contact.
pub const NAME_CHARS: usize = 1_000;
/// Characters of a status or a profile's note.
pub const TEXT_CHARS: usize = 4_000;
/// Bytes of one profile of a contact. Real ones take a few hundred.
pub(crate) const PROFILE_BYTES: usize = 10 * 1024;
/// Bytes of all contacts' devices and profiles: 5 KiB for each of [`ROSTER_CONTACTS`], which is five times what
/// real ones take.
pub const PEOPLE_BYTES: usize = 96 * 1024 * 1024;
/// Contacts of a roster: twice what prosed is measured with. Ten times what anybody is known to have.
pub const ROSTER_CONTACTS: usize = 20_000;
/// Bytes of all JIDs, names and groups of a roster: 800 for each of [`ROSTER_CONTACTS`].
pub const ROSTER_BYTES: usize = 16 * 1024 * 1024;
/// Items of one roster push. RFC 6121 allows one; more than a few would hold up other accounts.
pub(crate) const ROSTER_PUSH_ITEMS: usize = 20;
/// Bytes of a roster's version. Servers use numbers, times and hashes.
pub(crate) const ROSTER_VERSION_BYTES: usize = 1_024;
/// Strangers' requests to see our presence. A UI shows a handful. Those of contacts are not counted: they are as
/// many as the roster has contacts, at most.
pub const SUBSCRIPTION_REQUESTS: usize = 200;
/// Of these, requests of one domain, with all that are below it.
pub(crate) const SUBSCRIPTION_REQUESTS_PER_DOMAIN: usize = 50;
/// Bytes of what one request says: a nickname and a sentence.
pub(crate) const SUBSCRIPTION_REQUEST_BYTES: usize = 4 * 1024;
/// Characters of what we say with a request of ours: as much as fits in [`SUBSCRIPTION_REQUEST_BYTES`] of theirs in
/// any script.
pub const REQUEST_MESSAGE_CHARS: usize = 1_000;
/// Members of a group whose renaming is on its way: enough to hide round trips, too few to hold up anything else.
pub(crate) const RENAMES_IN_FLIGHT: usize = 16;
/// Groups of one contact.
pub const GROUPS: usize = 100;
/// Phones, emails or URLs of one profile.
pub const PROFILE_LIST: usize = 20;
/// Bytes of a stanza that every server takes (RFC 6120 §13.12).
pub const STANZA_BYTES_LEAST: usize = 10_000;
/// Bytes of a stanza of ours where the server does not say what it takes. Prosody and ejabberd take 256 KiB unless
/// they are told otherwise. A quarter of it holds a picture of 48 KiB, and more than any profile.
pub(crate) const STANZA_BYTES_UNTOLD: usize = 64 * 1024;
/// Calls that wait for the server, of all UIs.
pub(crate) const WAITING_CALLS: usize = 4_096;
/// Requests in flight for UIs and for ourselves. [`WAITING_CALLS`] keeps us below it; it is here so that nothing
/// else grows. What contacts have us ask is not counted: it has bounds of its own, above.
pub(crate) const REQUESTS: usize = 8_192;
/// What was left out because of these bounds is counted, and told to the log so often.
pub(crate) const LEFT_OUT_EVERY: Duration = Duration::from_secs(60);

/// How long the server or a peer may take to answer a request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a UI waits for the server at most.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Presence goes out without the roster's answer after this long: contacts should see us anyway.
pub(crate) const ROSTER_WAIT: Duration = Duration::from_secs(2);
/// Quiet after which what the server pushes at login is taken to be complete.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// Login is taken to have settled at last, however busy the server is.
pub(crate) const SETTLED_AT_LAST: Duration = Duration::from_secs(20);
/// For so long after our initial presence, a device of which this stream has said nothing yet is taken to have
/// been there before. The answers (RFC 6121 §4.3) come when our server has reached the contact's: in milliseconds
/// where they are connected, within half a minute where a connection has to be made or is tried in vain first.
pub const INITIAL_PRESENCES: Duration = Duration::from_secs(30);
/// How often it goes to the disk when contacts were last there: what a crash loses is as old as this at most.
pub(crate) const LAST_SEEN_SAVED_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long contacts keep their presence while the connection is lost.
pub(crate) const PRESENCE_KEPT: Duration = Duration::from_secs(5 * 60);
