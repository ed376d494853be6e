//! The contract between prosed and its UIs: types, methods, events and errors of its JSON-RPC API.
//!
//! `README.md` tells UI authors how to use it. [`api`] is the whole API on one page. The descriptions
//! in the OpenRPC document ([`openrpc`]) are this crate's documentation comments.

#[macro_use]
mod method;

mod account;
pub mod api;
pub mod challenge;
#[cfg(feature = "client")]
pub mod client;
mod contact;
pub mod endpoint;
mod error;
mod event;
mod examples;
pub mod folder;
mod openrpc;
mod params;
mod patch;
mod profile;
mod secret;
mod state;
mod subscription;
pub mod visible;

pub use account::{
    Account, AccountParams, ConnectionState, LoginParams, LogoutParams, SecretStore, SetActivityParams,
    SetPresenceParams, TlsMode,
};
pub use contact::{
    AddContactParams, Availability, ClientInfo, Contact, ContactParams, GroupRenamed, LoadRosterParams,
    MemberNotRenamed, RenameGroupParams, RequestSubscriptionParams, Resource, Roster, RosterSource,
    ShowContactsParams, Subscription, UpdateContactParams, Warning,
};
pub use error::{ApiError, ErrorData, ErrorKind};
pub use event::{
    AccountChanged, ContactChanged, Event, EventName, EventPayload, Events, GetEventsParams, RosterLoaded,
    SubscribeParams, SubscribeToOneParams, SubscriptionId, UnsubscribeParams,
};
pub use openrpc::openrpc;
pub use params::{invalid_params, parse_params};
pub use patch::{AddressPatch, Patch, ProfilePatch};
pub use profile::{
    Address, Avatar, LoadProfileParams, LoadedAvatar, Profile, ProfileSummary, PublishedAvatar,
    SetAvatarParams, SetProfileParams,
};
pub use secret::Secret;
pub use state::{AccountState, LoadStateParams, State};
pub use subscription::{SubscriptionRequest, SubscriptionRequested, SubscriptionResolved};

/// The version of this API. It grows when something is added.
pub const API_LEVEL: u32 = 1;

/// The oldest API version whose clients still work unchanged.
pub const API_COMPATIBLE: u32 = 1;

/// The WebSocket subprotocol that the daemon answers to browsers.
pub const WEBSOCKET_PROTOCOL: &str = "prosed.v1";

/// Precedes a token sent as a WebSocket subprotocol, since browsers can't set headers.
pub const WEBSOCKET_TOKEN_PREFIX: &str = "prosed.bearer.";
