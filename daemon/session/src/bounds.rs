//! Every bound on what peers can make us keep, with its reason. The public ones also limit what UIs may write.

use std::time::Duration;

/// Devices of one JID. People have a handful; a hostile contact could invent millions.
pub(crate) const RESOURCES_PER_JID: usize = 32;
/// Bytes of what one JID's devices say: their names, statuses, caps, and the meaning of caps that count for one
/// device only. With [`SUMMARY_BYTES`] for three sources, a contact costs 44 KiB at most. Real devices take half a
/// kilobyte each.
pub(crate) const ONLINE_BYTES: usize = 32 * 1024;
/// Verified caps hashes. Real clients have a few hundred in all.
pub const CAPS_KNOWN: usize = 2_000;
/// Bytes of all verified caps hashes, in memory and, encoded, on disk. A real one takes 4 KiB.
pub const CAPS_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one hash's meaning: several times what the richest clients announce.
pub const CAPS_RECORD_BYTES: usize = 32 * 1024;
/// Bytes that one contact's devices may add to the verified hashes on one stream: a share of [`CAPS_BYTES`], so that
/// more than a hundred contacts would have to collude to push out the others'.
pub(crate) const CAPS_BYTES_PER_CONTACT: usize = 64 * 1024;
/// Features of one client: many times what the richest announces.
pub(crate) const CAPS_FEATURES: usize = 500;
/// Devices of one contact queried for a hash before another contact's turn: a liar costs no more than that.
pub(crate) const CAPS_ATTEMPTS: usize = 3;
/// Queries in flight to one contact. One who does not answer occupies two places for half a minute.
pub(crate) const QUESTIONS_PER_CONTACT: usize = 2;
/// Disco queries in flight: enough to hide round trips, too few to look like a flood.
pub(crate) const DISCO_IN_FLIGHT: usize = 16;
/// Avatars in flight or being written to disk: each may be 1.4 MB of base64.
pub(crate) const AVATARS_IN_FLIGHT: usize = 16;
/// Old vCards fetched for their pictures, in flight or being written to disk: each may be as large.
pub(crate) const PHOTOS_IN_FLIGHT: usize = 8;
/// An avatar's bytes, decoded. XEP-0084 §7.2 recommends far less; phones publish more.
pub(crate) const AVATAR_BYTES: usize = 1024 * 1024;
/// An avatar's width and height, in pixels.
pub(crate) const AVATAR_SIDE: usize = 4096;
/// An avatar's area, in pixels: what a UI can safely decode.
pub(crate) const AVATAR_PIXELS: usize = 16_000_000;
/// An animated avatar's frames: half a minute of film.
pub(crate) const AVATAR_FRAMES: usize = 1_000;
/// An animated avatar's frames in pixels, counting each at full size: 256 MB in a UI that keeps them all.
pub(crate) const AVATAR_FRAMES_PIXELS: usize = 64_000_000;
/// A JPEG's scans, each of which costs a pass over the picture. Encoders make about ten.
pub(crate) const AVATAR_SCANS: usize = 32;
/// Colour profile and texts of an avatar, inflated, in bytes: programs hold them in memory.
pub(crate) const AVATAR_NOTES_BYTES: usize = 4 * 1024 * 1024;
/// Reads in flight to the store, of some 30 KiB at most each. What one account may have in the store's queue takes no
/// place from the others.
pub(crate) const READS_IN_FLIGHT: usize = 8;
/// Queries in flight for what the server did not push.
pub(crate) const BACKGROUND_IN_FLIGHT: usize = 8;
/// Characters of a name, nickname, group or resource of a contact.
pub const NAME_CHARS: usize = 1_000;
/// Characters of a status or a profile's note.
pub const TEXT_CHARS: usize = 4_000;
/// Bytes of one profile of a contact. Real ones take a few hundred.
pub(crate) const PROFILE_BYTES: usize = 10 * 1024;
/// Bytes of a profile's summary, which stays in memory: four texts of [`NAME_CHARS`] letters. Real ones take fifty.
pub(crate) const SUMMARY_BYTES: usize = 4 * 1024;
/// Bytes of all contacts' devices, summaries, and profiles that are not in the store yet: 5 KiB for each of
/// [`ROSTER_CONTACTS`], five times what real ones take.
pub const PEOPLE_BYTES: usize = 96 * 1024 * 1024;
/// Bytes of all contacts' profiles on disk: as much for each contact.
pub const PROFILES_BYTES: usize = 96 * 1024 * 1024;
/// Contacts of a roster: twice what prosed is measured with, and ten times what anybody is known to have.
pub const ROSTER_CONTACTS: usize = 20_000;
/// Bytes of all JIDs, names and groups of a roster: 800 for each of [`ROSTER_CONTACTS`].
pub const ROSTER_BYTES: usize = 16 * 1024 * 1024;
/// Items of one roster push. RFC 6121 allows one; more than a few would hold up other accounts.
pub(crate) const ROSTER_PUSH_ITEMS: usize = 20;
/// Bytes of a roster's version. Servers use numbers, times and hashes.
pub(crate) const ROSTER_VERSION_BYTES: usize = 1_024;
/// Subscription requests from strangers. A UI shows a handful. Those from contacts are not counted: there are at most
/// as many as contacts.
pub const SUBSCRIPTION_REQUESTS: usize = 200;
/// Changes of them that are yet to be reported. When there are more, all are reported at once: peers of any number of
/// domains would pile them up, up to [`SUBSCRIPTION_REQUEST_BYTES`] each.
pub(crate) const SUBSCRIPTION_CHANGES: usize = 2 * SUBSCRIPTION_REQUESTS;
/// The share of one domain, with all domains below it.
pub(crate) const SUBSCRIPTION_REQUESTS_PER_DOMAIN: usize = 50;
/// Bytes of the text in one request: a nickname and a sentence.
pub(crate) const SUBSCRIPTION_REQUEST_BYTES: usize = 4 * 1024;
/// Characters of the message in our requests: as many as fit into [`SUBSCRIPTION_REQUEST_BYTES`] on the other side,
/// in any script.
pub const REQUEST_MESSAGE_CHARS: usize = 1_000;
/// What we have said about subscriptions and the server has not acknowledged: more than anybody clicks during an outage.
/// What exceeds it is sent all the same, but once only.
pub(crate) const SUBSCRIPTION_ACTS: usize = 1_024;
/// The same in bytes of the messages: 256 of the longest.
pub(crate) const SUBSCRIPTION_ACT_BYTES: usize = 1024 * 1024;
/// Group members being renamed at a time: enough to hide round trips, too few to hold up anything else.
pub(crate) const RENAMES_IN_FLIGHT: usize = 16;
/// Groups of one contact.
pub const GROUPS: usize = 100;
/// Phones, emails or URLs of one profile.
pub const PROFILE_LIST: usize = 20;
/// Bytes of a stanza that every server accepts (RFC 6120 §13.12).
pub const STANZA_BYTES_LEAST: usize = 10_000;
/// Bytes of our stanzas if the server does not announce a limit. Prosody and ejabberd accept 256 KiB by default. A
/// quarter of that fits a picture of 48 KiB, and more than any profile.
pub(crate) const STANZA_BYTES_UNTOLD: usize = 64 * 1024;
/// Calls from all UIs waiting for the server.
pub(crate) const WAITING_CALLS: usize = 4_096;
/// Requests in flight for UIs and for ourselves. [`WAITING_CALLS`] keeps us below it; this bound is a backstop.
/// Queries caused by contacts are not counted: they have their own bounds above.
pub(crate) const REQUESTS: usize = 8_192;
/// How often the log reports what these bounds have left out.
pub(crate) const DROPPED_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// How long the server or a peer may take to answer a request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a UI waits for the server.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long, presence is sent without waiting for the roster: contacts should see us anyway.
pub(crate) const ROSTER_WAIT: Duration = Duration::from_secs(2);
/// After this much quiet, what the server pushes at login counts as complete.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// After this long, login counts as settled, however busy the server is.
pub(crate) const SETTLED_AT_LAST: Duration = Duration::from_secs(20);
/// The longest that calls wait for what the server held back: one round trip, as a rule.
pub(crate) const REFRESH_WAIT: Duration = Duration::from_secs(2);
/// For this long after our initial presence, a device not yet seen on this stream counts as having been there before.
/// The answers (RFC 6121 §4.3) arrive when our server has reached the contact's: in milliseconds if the two are
/// connected, within half a minute if they must connect or the attempt fails first.
pub const INITIAL_PRESENCES: Duration = Duration::from_secs(30);
/// How often last-seen times are written to disk: after a crash they are at most this old.
pub(crate) const LAST_SEEN_SAVED_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long contacts keep their presence while the connection is lost.
pub(crate) const PRESENCE_KEPT: Duration = Duration::from_secs(5 * 60);
