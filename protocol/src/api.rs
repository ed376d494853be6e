//! The API on one page: one description of each method feeds registration, parameter checks, the
//! OpenRPC document and the Rust client.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::account::{
    Account, AccountParams, LoginParams, LogoutParams, SetActivityParams, SetPresenceParams,
};
use crate::contact::{
    AddContactParams, Contact, ContactParams, GroupRenamed, LoadRosterParams, RenameGroupParams,
    RequestSubscriptionParams, Roster, ShowContactsParams, UpdateContactParams,
};
use crate::error::ErrorKind::{self, *};
use crate::event::{
    EventName, Events, GetEventsParams, SubscribeParams, SubscribeToOneParams, SubscriptionId,
    UnsubscribeParams,
};
use crate::examples::{
    PICTURE, account, avatar, contact, contact_changed, contact_with_features, new_contact, profile,
    subscription_request,
};
pub use crate::method::{Method, MethodInfo, SubscriptionInfo};
use crate::params::parse_params;
use crate::profile::{
    LoadProfileParams, LoadedAvatar, Profile, PublishedAvatar, SetAvatarParams, SetProfileParams,
};
use crate::state::{LoadStateParams, State};
use crate::subscription::SubscriptionRequest;
use crate::{API_COMPATIBLE, API_LEVEL};

methods! {
    /// Log an account in, and keep one session with its server, however many UIs there are.
    ///
    /// It answers once the account is authenticated and bound and its initial presence is sent; the rest of the
    /// start-up continues after that. If the account has a live session already, that session answers, and the
    /// password is ignored; one that is `suspended` or waits for its next attempt is hurried as by `reconnect`, and
    /// answers once it is online. An error that time alone does not fix is returned at once. With the network down it
    /// fails with `serverUnreachable` after 30 seconds. In both cases a remembered account keeps trying, and no other
    /// does. `logout` ends a login that is still running, with `offline`.
    Login = "login"(LoginParams) -> Account,
        errors [NotAuthorized, CredentialsMissing, AccountDisabled, ServerUnreachable, TlsFailed,
                ProtocolViolation, SessionReplaced, DowngradeRefused, Offline, InvalidJid, LimitExceeded, InternalError],
        example {"jid": "me@example.org", "password": "correct horse"} => account();

    /// End an account's session; contacts see us leave.
    ///
    /// Cache and secret are kept, and the account stays logged out until the next `login`, across restarts. Calls
    /// that wait for its server fail with `offline`. `forget` also erases cache and secret.
    Logout = "logout"(LogoutParams) -> Done,
        errors [AccountUnknown, AccountRequired, InvalidJid, StorageFailed, InternalError],
        example {"account": "me@example.org"} => json!({});

    /// Connect now, instead of at `retryAt`; or check whether the connection is still alive.
    ///
    /// It answers at once, and `accountChanged` reports the result. There is at most one attempt a second and eight a
    /// minute, however often it is called: beyond that the next one waits its turn. An online account whose server
    /// gives no sign of life within 14 seconds becomes `suspended` and reconnects. For an account that is logged out,
    /// or whose error is final, it answers `offline`: log in instead.
    Reconnect = "reconnect"(AccountParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InternalError],
        example {"account": "me@example.org"} => json!({});

    /// All accounts, sorted by JID.
    ListAccounts = "list_accounts"(NoParams) -> Vec<Account>,
        errors [],
        example {} => json!([account()]);

    /// One account and the state of its session, with all our other devices and their full texts.
    GetAccount = "get_account"(AccountParams) -> Account,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InternalError],
        example {} => account();

    /// All contacts of an account.
    ///
    /// It answers from the cache at once if there is one, even offline, while the server's roster is being fetched:
    /// differences are reported by `contactChanged`, then `rosterLoaded`. Without a cache it waits for the server.
    /// Subscribe with `since` set to the answer's `seq`, and nothing is missed.
    ///
    /// An answer has at most 16 MiB, enough for all but the largest rosters. A larger one is an error with
    /// `limitExceeded`, and the roster must be loaded in pages: pass `limit`, then `after` as well, until `complete`
    /// is true, and subscribe with the first page's `seq`.
    LoadRoster = "load_roster"(LoadRosterParams) -> Roster,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, StanzaError, RequestTimedOut, InternalError],
        example {} => json!({"account": "me@example.org", "source": "server", "version": "ver14", "seq": 41,
                             "contacts": [contact()], "complete": true});

    /// Everything that a UI shows at first, in one answer: accounts, contacts and subscription requests.
    ///
    /// All of it is the state at its `seq`: subscribe with `since` set to that, and nothing is missed or repeated. It
    /// waits for no server. If it exceeds the 16 MiB of an answer, it is an error with `limitExceeded`: pass `limit`,
    /// and load the rest of the rosters in pages with `load_roster`.
    LoadState = "load_state"(LoadStateParams) -> State,
        errors [AccountUnknown, InvalidJid, CursorExpired],
        example {} => json!({"seq": 41, "accounts": [{"info": account(),
                             "roster": {"account": "me@example.org", "source": "server", "version": "ver14", "seq": 41,
                                        "contacts": [contact()], "complete": true},
                             "subscriptionRequests": []}]});

    /// One contact with all devices and groups, full texts, and the devices' features.
    ///
    /// Rosters and events have at most 4 KiB per contact; `truncated` says if there is more.
    GetContact = "get_contact"(ContactParams) -> Contact,
        errors [AccountUnknown, AccountRequired, Offline, ContactUnknown, InvalidJid, InternalError],
        example {"jid": "romeo@example.net"} => contact_with_features();

    /// Report which contacts are on the screen, so that their pictures and profiles are fetched first.
    ///
    /// Whatever a contact's server does not push, prosed requests: from a few contacts a minute, and more slowly from
    /// those of one domain. Contacts that a UI shows are queried at once, up to a screenful per domain and then one a
    /// second. Call it when contacts come into view; there is no need to report those that leave it. No contact is
    /// queried for the same thing twice a day, so repeating a call does no harm. `get_contact`, `load_avatar` and
    /// `load_profile` count as showing. It answers at once, and `contactChanged` reports the results.
    ShowContacts = "show_contacts"(ShowContactsParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InternalError],
        example {"jids": ["romeo@example.net", "juliet@example.net"]} => json!({});

    /// Report whether somebody is looking at this UI.
    ///
    /// While nobody is looking at any UI, servers that support it (XEP-0352) hold back what is not urgent, such as
    /// presences. A connection counts as active while it has a subscription; this call decides instead, until the
    /// connection closes. A window calls it when it is hidden, or the screen is locked, and when it is back. After
    /// a call on any other connection, somebody counts as looking for ten minutes, so scripts need not do anything.
    /// When an account becomes active, `load_roster`, `load_state`, `get_contact` and `get_account` wait for what its
    /// server held back, two seconds at most, and the changes are reported as `initial`.
    SetActivity = "set_activity"(SetActivityParams) -> Done,
        errors [SubscriptionNeedsWebSocket],
        example {"active": false} => json!({});

    /// Add a contact to the roster, and request their presence unless `subscribe` is false.
    ///
    /// It answers once the server has it. `message` is sent with the request, as in `request_subscription`.
    /// A JID without an @ is a domain, such as a gateway's: if your users add only people, check for the @.
    AddContact = "add_contact"(AddContactParams) -> Contact,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, StanzaError, RequestTimedOut,
                LimitExceeded, InternalError],
        example {"jid": "juliet@example.net", "name": "Juliet", "groups": ["Friends"]} => new_contact(&["Friends"], false);

    /// Change the name that we store for a contact, or their groups.
    ///
    /// Absent fields stay unchanged. It answers once the server has it.
    UpdateContact = "update_contact"(UpdateContactParams) -> Contact,
        errors [AccountUnknown, AccountRequired, Offline, ContactUnknown, InvalidJid, StanzaError,
                RequestTimedOut, LimitExceeded, InternalError],
        example {"jid": "juliet@example.net", "groups": ["Friends", "Verona"]} => new_contact(&["Friends", "Verona"], true);

    /// Rename a group for all contacts in it.
    ///
    /// Servers know no groups, only contacts that name them: each is changed individually, a few at a time, and keeps
    /// its other groups, including those that another device adds in the meantime. It answers once the server has
    /// replied for each; it is an error only if nobody could be renamed, and
    /// `notFound` if nobody is in the group. With thousands of contacts it takes a while,
    /// and ends if nothing has been heard from the server for 30 seconds.
    RenameGroup = "rename_group"(RenameGroupParams) -> GroupRenamed,
        errors [AccountUnknown, AccountRequired, Offline, NotFound, InvalidJid, StanzaError, RequestTimedOut,
                LimitExceeded, InternalError],
        example {"group": "Friends", "name": "Verona"} => json!({"renamed": 1, "failedCount": 0, "failed": []});

    /// Remove a contact from the roster; neither then sees the other's presence.
    RemoveContact = "remove_contact"(ContactParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, ContactUnknown, InvalidJid, StanzaError,
                RequestTimedOut, LimitExceeded, InternalError],
        example {"jid": "juliet@example.net"} => json!({});

    /// Unanswered requests to see our presence, sorted by JID.
    ///
    /// No request is ever accepted automatically. `subscriptionRequested` and `subscriptionResolved` report changes.
    ListSubscriptionRequests = "list_subscription_requests"(AccountParams) -> Vec<SubscriptionRequest>,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InternalError],
        example {} => json!([subscription_request()]);

    /// Let somebody see our presence: now if they have asked, else as soon as they do.
    ///
    /// A server may add somebody who is approved in advance to the roster (RFC 6121 §3.4).
    ApproveSubscription = "approve_subscription"(ContactParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InternalError],
        example {"jid": "juliet@example.net"} => json!({});

    /// Do not, or no longer, let somebody see our presence.
    DenySubscription = "deny_subscription"(ContactParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InternalError],
        example {"jid": "juliet@example.net"} => json!({});

    /// Request somebody's presence.
    ///
    /// They see `message` with the request, if their server and program show it.
    RequestSubscription = "request_subscription"(RequestSubscriptionParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, LimitExceeded, InternalError],
        example {"jid": "juliet@example.net", "message": "We met at the ball"} => json!({});

    /// Stop seeing somebody's presence, or withdraw the request.
    CancelSubscription = "cancel_subscription"(ContactParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InternalError],
        example {"jid": "juliet@example.net"} => json!({});

    /// The picture of a contact, or of our own JID, with its bytes.
    ///
    /// It comes from the cache if it is there; else it is first fetched, checked and saved. To show pictures, the
    /// avatar's `url` is cheaper.
    LoadAvatar = "load_avatar"(ContactParams) -> LoadedAvatar,
        errors [AccountUnknown, AccountRequired, Offline, ContactUnknown, NotFound, InvalidJid, InvalidMedia,
                StanzaError, RequestTimedOut, LimitExceeded, StorageFailed, InternalError],
        example {"jid": "romeo@example.net"} => {
            let mut loaded = avatar();
            loaded["data"] = json!(PICTURE);
            loaded
        };

    /// The profile of a contact, or of our own JID.
    ///
    /// It comes from the cache if it is there, unless `refresh` requests the server's.
    LoadProfile = "load_profile"(LoadProfileParams) -> Profile,
        errors [AccountUnknown, AccountRequired, Offline, ContactUnknown, NotFound, InvalidJid,
                RequestTimedOut, LimitExceeded, StorageFailed, InternalError],
        example {"jid": "romeo@example.net"} => profile();

    /// Publish our picture, for everybody who sees our presence.
    ///
    /// It is published as PNG, as large as the server accepts, and at most 512 pixels a side. It answers once the
    /// server has it; `accountChanged` follows.
    SetAvatar = "set_avatar"(SetAvatarParams) -> PublishedAvatar,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, InvalidMedia, StanzaError,
                RequestTimedOut, LimitExceeded, InternalError],
        example {"data": PICTURE} => json!({"id": avatar()["id"]});

    /// Change our profile, for everybody who sees our presence.
    ///
    /// `profile` is a JSON Merge Patch (RFC 7396): absent fields stay as on the server, null removes a field.
    /// Anything in the existing vCard that a profile cannot hold stays, and so do other clients' parameters of
    /// unchanged values. Calls take turns. What another device publishes in the meantime is not lost, unless it does
    /// so after the server's answer, based on an older state. It answers once the server has it; `accountChanged`
    /// follows.
    SetProfile = "set_profile"(SetProfileParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, StanzaError, RequestTimedOut,
                LimitExceeded, InternalError],
        example {"profile": {"fullName": "Me Myself", "emails": ["me@example.org"], "note": null}} => json!({});

    /// Set our own availability.
    ///
    /// It persists, and already applies to the first presence of the next login. It may be called while offline.
    SetPresence = "set_presence"(SetPresenceParams) -> Done,
        errors [AccountUnknown, AccountRequired, Offline, InvalidJid, LimitExceeded, StorageFailed, InternalError],
        example {"availability": "dnd", "status": "In a rehearsal"} => json!({});

    /// The events after `since`, for clients limited to HTTP: with `timeout` it is a long poll.
    GetEvents = "get_events"(GetEventsParams) -> Events,
        errors [InvalidJid, CursorExpired],
        example {"since": 41, "timeout": 30} => json!({"events": [contact_changed()], "seq": 42});

    /// The daemon's version, and the API that it speaks.
    GetVersion = "get_version"(NoParams) -> Version,
        errors [],
        example {} => json!({"name": "prosed", "version": env!("CARGO_PKG_VERSION"), "apiLevel": API_LEVEL,
                             "apiCompatible": API_COMPATIBLE});

    /// This description of the API: an OpenRPC document, generated from the code.
    Discover = "rpc.discover"(NoParams) -> OpenRpcDocument,
        errors [];
}

subscriptions! {
    /// Receive events as they happen, over a WebSocket.
    ///
    /// The answer is the subscription's id, and always precedes the first event. With `since`, every retained event
    /// after it comes first, then live ones, without gaps or repetitions. A subscriber that is too slow loses its
    /// subscription with the error `lagged`, and delays nobody.
    Subscribe = "subscribe"(SubscribeParams), None;
    /// End a subscription. The answer says whether there was one.
    Unsubscribe = "unsubscribe";

    /// Receive only changes to contacts.
    SubscribeContactChanged = "subscribe_contactChanged"(SubscribeToOneParams), Some(EventName::ContactChanged);
    /// End a subscription to changes to contacts.
    UnsubscribeContactChanged = "unsubscribe_contactChanged";

    /// Receive only changes to accounts.
    SubscribeAccountChanged = "subscribe_accountChanged"(SubscribeToOneParams), Some(EventName::AccountChanged);
    /// End a subscription to changes to accounts.
    UnsubscribeAccountChanged = "unsubscribe_accountChanged";

    /// Receive only reconciled rosters.
    SubscribeRosterLoaded = "subscribe_rosterLoaded"(SubscribeToOneParams), Some(EventName::RosterLoaded);
    /// End a subscription to reconciled rosters.
    UnsubscribeRosterLoaded = "unsubscribe_rosterLoaded";

    /// Receive only new subscription requests.
    SubscribeSubscriptionRequested = "subscribe_subscriptionRequested"(SubscribeToOneParams),
        Some(EventName::SubscriptionRequested);
    /// End a subscription to new subscription requests.
    UnsubscribeSubscriptionRequested = "unsubscribe_subscriptionRequested";

    /// Receive only subscription requests that are no longer open.
    SubscribeSubscriptionResolved = "subscribe_subscriptionResolved"(SubscribeToOneParams),
        Some(EventName::SubscriptionResolved);
    /// End a subscription to subscription requests that are no longer open.
    UnsubscribeSubscriptionResolved = "unsubscribe_subscriptionResolved";
}

/// Every method of the API: calls, then subscriptions.
pub fn methods() -> impl Iterator<Item = &'static MethodInfo> {
    CALLS.iter().chain(SUBSCRIPTION_METHODS)
}

/// No parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// Success, with no further result: an empty object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

/// The daemon's version, and the API that it speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// `prosed`.
    pub name: String,
    /// The daemon's own version.
    pub version: String,
    /// The version of this API. It increases when something is added.
    pub api_level: u32,
    /// The oldest API version whose clients still work unchanged.
    pub api_compatible: u32,
}

/// An OpenRPC document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpenRpcDocument(pub Value);

impl JsonSchema for OpenRpcDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OpenRpcDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "description": "See https://spec.open-rpc.org."})
    }
}
