//! The pure session of prosed: one XMPP account as a state machine.
//!
//! Things happen to it ([`Input`]), and it says what should happen next ([`Effect`]). It has no
//! socket, no clock, no disk and no JSON, so a play can script a whole login with no mocks and no
//! sleeps. The shell around it carries inputs in and effects out, in order.

mod command;
mod contact;
mod effect;
mod failure;
mod snapshot;
mod time;

pub use command::{Answer, Call, Command, RosterSource};
pub use contact::{
    Account, Address, Availability, Avatar, Client, ConnectionState, Contact, Profile, Resource, Subscription,
};
pub use effect::{Effect, Input, Notice, Ticket, Write};
pub use failure::Failure;
pub use snapshot::{
    AvatarRecord, CapsKey, CapsRecord, ImageId, ImageInfo, ImageType, NotAnImageId, OwnPresence,
    PersonRecord, ProfileRecord, RosterItem, RosterRecord, Snapshot,
};
pub use time::{Now, Timestamp};
