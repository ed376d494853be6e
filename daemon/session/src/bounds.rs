//! Every bound on what peers can make us keep, and why it is what it is. What UIs may write has the
//! public ones.

use std::time::Duration;

/// Devices of one JID. People have a handful; a hostile contact could invent millions.
pub(crate) const RESOURCES_PER_JID: usize = 32;
/// Verified caps hashes. Real-world clients make a few hundred.
pub(crate) const CAPS_KNOWN: usize = 2_000;
/// Features of one client: many times what the richest announces.
pub(crate) const CAPS_FEATURES: usize = 500;
/// Devices remembered as showing a caps hash that is being asked for; they learn the answer.
pub(crate) const CAPS_HOLDERS: usize = 10_000;
/// Devices asked for one hash before we give it up: more would let a liar cost us queries.
pub(crate) const CAPS_ATTEMPTS: u8 = 3;
/// Disco queries in flight: enough to hide round trips, too few to look like a flood.
pub(crate) const DISCO_IN_FLIGHT: usize = 16;
/// Avatars in flight: each may be 1.4 MB of base64.
pub(crate) const AVATARS_IN_FLIGHT: usize = 16;
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
/// Nobody is asked for the same more often.
pub(crate) const CATCH_UP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Characters of a name, nickname, group or resource of a contact.
pub const NAME_CHARS: usize = 1_000;
/// Characters of a status or a profile's note.
pub const TEXT_CHARS: usize = 4_000;
/// Requests to see our presence. Strangers make them; a UI shows a handful.
pub(crate) const SUBSCRIPTION_REQUESTS: usize = 200;
/// Groups of one contact.
pub const GROUPS: usize = 100;
/// Phones, emails or URLs of one profile.
pub const PROFILE_LIST: usize = 20;
/// Calls that wait for the server, of all UIs.
pub(crate) const WAITING_CALLS: usize = 4_096;
/// Requests in flight. The queues above keep us far below it; it is here so that nothing else grows.
pub(crate) const REQUESTS: usize = 8_192;

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
/// How long contacts keep their presence while the connection is lost.
pub(crate) const PRESENCE_KEPT: Duration = Duration::from_secs(5 * 60);
