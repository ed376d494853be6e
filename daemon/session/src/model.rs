//! Plain data that several features share. It belongs to none of them, so this folder imports none of them.
//!
//! The cache stores some of these types. They are encoded by position (not self-describing): changing the fields of one
//! changes the cache's format, so the shell's version byte must go up.

mod account;
mod caps;
mod contact;
mod declared;
mod image;
mod presence;
mod profile;
mod roster;

pub use account::{Account, ConnectionState};
pub use caps::{CapsKey, CapsRecord};
pub use contact::{Contact, PersonRecord, PersonUpdate};
pub use declared::Declared;
pub use image::{Avatar, AvatarRecord, ImageId, ImageInfo, ImageType, NotAnImageId};
pub use presence::{Availability, OwnPresence, Resource};
pub use profile::{
    Address, AddressPatch, Change, Profile, ProfilePatch, ProfileRecord, ProfileSummary, ProfileUpdate,
};
pub(crate) use roster::share_groups;
pub use roster::{RosterItem, RosterRecord, Subscription, SubscriptionRequest};
