//! From the session's types to the API's: the one place where they meet.

use chrono::{DateTime, Utc};
use jid::BareJid;
use prosed_protocol as api;
use prosed_protocol::{ApiError, ErrorKind, Patch};
use prosed_session::{
    Account, AddressPatch, Answer, Availability, Avatar, Change, ConnectionState, Contact, ContactsChanged,
    Failure, Notice, Profile, ProfilePatch, ProfileSummary, Resource, RosterSource, Subscription,
    SubscriptionRequest, Timestamp,
};

use super::picture_key::PictureKey;
use super::{spoofing, truncate};
use crate::config::TlsMode;
use crate::credentials::StoreName;
use crate::events::{CursorExpired, EventLog, Lagged, rfc3339};
use crate::shell::{AccountError, Announcer, Standing};

/// Translates, and knows where images are served. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Translator {
    /// Part of each image's path: knowing it gives access to images, and to nothing else.
    key: PictureKey,
}

impl Announcer for Translator {
    fn publish(
        &self,
        log: &EventLog,
        jid: &BareJid,
        notice: Notice,
        account: &mut dyn FnMut() -> (Account, Standing),
    ) {
        match notice {
            Notice::ContactsChanged(changes) => self.publish_contacts(log, jid, changes),
            Notice::AccountChanged => {
                let (account, standing) = account();
                let info = Some(Box::new(self.account(account, &standing)));
                log.append(
                    jid,
                    api::EventPayload::AccountChanged(api::AccountChanged { info, removed: false }),
                );
            }
            Notice::SubscriptionRequested(request) => {
                let api::SubscriptionRequest { jid: from, nick, message, received_at, warnings, .. } =
                    subscription_request(&request);
                let mut asked =
                    api::SubscriptionRequested { jid: from, nick, message, received_at, warnings };
                truncate::request(&mut asked);
                log.append(jid, api::EventPayload::SubscriptionRequested(asked));
            }
            Notice::SubscriptionResolved { jid: from } => {
                let resolved = api::SubscriptionResolved { jid: from.to_string() };
                log.append(jid, api::EventPayload::SubscriptionResolved(resolved));
            }
            Notice::RosterLoaded { version, changed } => {
                let loaded = api::RosterLoaded { version, changed: changed as u64 };
                log.append(jid, api::EventPayload::RosterLoaded(loaded));
            }
        }
    }

    fn publish_gone(&self, log: &EventLog, jid: &BareJid, forgotten: bool) {
        let gone = api::AccountChanged { info: None, removed: forgotten };
        log.append(jid, api::EventPayload::AccountChanged(gone));
    }
}

impl Translator {
    pub(crate) fn new(key: PictureKey) -> Self {
        Self { key }
    }

    /// Whether this is the random part of an image's path.
    pub(super) fn is_picture_key(&self, given: &str) -> bool {
        self.key.is(given)
    }

    /// At most [`api::ContactChanged::MAX_IDS`] contacts per event: first those changed, then those gone.
    fn publish_contacts(&self, log: &EventLog, jid: &BareJid, changes: ContactsChanged) {
        let ContactsChanged { changed, came_online, removed, initial } = changes;
        let mut changed = changed.into_iter().peekable();
        let mut came_online = came_online.into_iter().map(BareJid::into_inner).peekable();
        while changed.peek().is_some() {
            let some = changed.by_ref().take(api::ContactChanged::MAX_IDS);
            let contacts: Vec<_> = some.map(|contact| self.contact(contact)).collect();
            let ids: Vec<_> = contacts.iter().map(|contact| contact.jid.clone()).collect();
            // Both have the same order.
            let came_online = ids.iter().filter_map(|id| came_online.next_if_eq(id)).collect();
            let event = api::ContactChanged { ids, contacts, came_online, removed: Vec::new(), initial };
            log.append(jid, api::EventPayload::ContactChanged(event));
        }
        for removed in removed.chunks(api::ContactChanged::MAX_IDS) {
            let removed: Vec<_> = removed.iter().map(BareJid::to_string).collect();
            let ids = removed.clone();
            let event = api::ContactChanged { ids, removed, initial, ..api::ContactChanged::default() };
            log.append(jid, api::EventPayload::ContactChanged(event));
        }
    }

    /// A contact for rosters and events: small, whatever is known about it.
    pub(crate) fn contact(&self, contact: Contact) -> api::Contact {
        let mut translated = self.translate_contact(contact);
        truncate::contact(&mut translated);
        translated
    }

    fn translate_contact(&self, contact: Contact) -> api::Contact {
        let warnings = spoofing::warnings(contact.jid.as_str(), &contact.name, contact.look_alike);
        api::Contact {
            jid: contact.jid.into_inner(),
            name: contact.name,
            roster_name: contact.roster_name,
            groups: contact.groups.iter().cloned().collect(),
            subscription: subscription(contact.subscription),
            ask: contact.ask,
            approved: contact.approved,
            availability: availability(contact.availability),
            status: contact.status,
            last_seen: contact.last_seen.map(time),
            resource_count: count(&contact.resources),
            resources: contact.resources.into_iter().map(resource).collect(),
            warnings,
            avatar: contact.avatar.as_ref().map(|avatar| self.avatar(avatar)),
            profile: contact.profile.as_deref().map(summary),
            truncated: false,
        }
    }

    /// A contact with all its devices and their features.
    pub(crate) fn whole_contact(&self, contact: Contact) -> api::Contact {
        let clients: Vec<_> = contact.resources.iter().map(|resource| resource.client.clone()).collect();
        let mut translated = self.translate_contact(contact);
        for (to, client) in translated.resources.iter_mut().zip(clients) {
            to.features = client
                .map(|client| client.features.iter().map(|feature| feature.as_ref().to_owned()).collect());
        }
        translated
    }

    /// An account for lists and events: small, whatever is known about it.
    pub(crate) fn account(&self, account: Account, standing: &Standing) -> api::Account {
        let mut translated = self.whole_account(account, standing);
        truncate::account(&mut translated);
        translated
    }

    /// An account with all its devices, and with what the shell knows about it.
    pub(crate) fn whole_account(&self, account: Account, standing: &Standing) -> api::Account {
        let bound = account.jid.as_ref().map(|jid| jid.resource().to_string());
        api::Account {
            account: account.account.to_string(),
            jid: account.jid.as_ref().map(ToString::to_string),
            state: state(account.state),
            since: time(account.since),
            resource: bound.or_else(|| standing.resource.clone()),
            remembered: standing.remembered,
            secret_store: standing.secret_store.map(secret_store),
            last_stanza_at: account.last_stanza_at.map(time),
            retry_at: account.retry_at.map(time),
            error: account.failure.as_ref().map(|cause| failure(cause, &account.account)),
            availability: availability(account.availability),
            status: account.status,
            profile: account.profile.as_deref().map(summary),
            avatar: account.avatar.as_ref().map(|avatar| self.avatar(avatar)),
            resource_count: count(&account.resources),
            resources: account.resources.into_iter().map(resource).collect(),
            truncated: false,
            roster_truncated: account.roster_truncated,
        }
    }

    /// A picture and its address.
    pub(crate) fn avatar(&self, avatar: &Avatar) -> api::Avatar {
        let id = avatar.id.to_string();
        api::Avatar {
            url: format!("/avatars/{}/{id}", self.key.text()),
            id,
            r#type: avatar.kind.media_type().to_owned(),
            bytes: avatar.bytes,
            width: avatar.width.into(),
            height: avatar.height.into(),
        }
    }
}

/// A UI's changes to our profile. An empty text removes the field.
pub(crate) fn profile_patch(patch: api::ProfilePatch) -> ProfilePatch {
    ProfilePatch {
        full_name: text_change(patch.full_name),
        nickname: text_change(patch.nickname),
        organization: text_change(patch.organization),
        title: text_change(patch.title),
        role: text_change(patch.role),
        emails: list_change(patch.emails),
        phones: list_change(patch.phones),
        urls: list_change(patch.urls),
        address: change(patch.address, |address| {
            Change::Set(AddressPatch {
                street: text_change(address.street),
                locality: text_change(address.locality),
                region: text_change(address.region),
                postal_code: text_change(address.postal_code),
                country: text_change(address.country),
            })
        }),
        birthday: text_change(patch.birthday),
        note: text_change(patch.note),
    }
}

fn change<T, U>(patch: Patch<T>, set: impl FnOnce(T) -> Change<U>) -> Change<U> {
    match patch {
        Patch::Keep => Change::Keep,
        Patch::Remove => Change::Remove,
        Patch::Set(value) => set(value),
    }
}

fn text_change(patch: Patch<String>) -> Change<String> {
    change(patch, |text| Some(text).filter(|text| !text.is_empty()).into())
}

fn list_change(patch: Patch<Vec<String>>) -> Change<Vec<String>> {
    change(patch, |texts| Change::Set(texts.into_iter().filter(|text| !text.is_empty()).collect()))
}

/// A subscription request.
pub(crate) fn subscription_request(request: &SubscriptionRequest) -> api::SubscriptionRequest {
    let jid = request.jid.as_str();
    // An absent name cannot deceive.
    let name = request.nick.as_deref().unwrap_or(jid);
    api::SubscriptionRequest {
        jid: request.jid.to_string(),
        nick: request.nick.clone(),
        message: request.message.clone(),
        received_at: time(request.received_at),
        warnings: spoofing::warnings(jid, name, request.look_alike),
    }
}

/// The result for each member of a group.
pub(super) fn group_renamed(
    renamed: usize,
    failed: &[(BareJid, Failure)],
    account: &BareJid,
) -> api::GroupRenamed {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let named = failed.iter().take(api::GroupRenamed::MAX_FAILED);
    api::GroupRenamed {
        renamed: number(renamed),
        failed_count: number(failed.len()),
        failed: named
            .map(|(jid, cause)| api::MemberNotRenamed {
                jid: jid.to_string(),
                error: failure(cause, account),
            })
            .collect(),
    }
}

/// A profile.
pub(crate) fn profile(profile: &Profile) -> api::Profile {
    api::Profile {
        full_name: profile.full_name.clone(),
        nickname: profile.nickname.clone(),
        organization: profile.organization.clone(),
        title: profile.title.clone(),
        role: profile.role.clone(),
        emails: profile.emails.clone(),
        phones: profile.phones.clone(),
        urls: profile.urls.clone(),
        address: profile.address.as_ref().map(|address| api::Address {
            street: address.street.clone(),
            locality: address.locality.clone(),
            region: address.region.clone(),
            postal_code: address.postal_code.clone(),
            country: address.country.clone(),
        }),
        birthday: profile.birthday.clone(),
        note: profile.note.clone(),
    }
}

/// The part of a profile shown with contacts and accounts.
fn summary(profile: &ProfileSummary) -> api::ProfileSummary {
    api::ProfileSummary {
        full_name: profile.full_name.clone(),
        nickname: profile.nickname.clone(),
        organization: profile.organization.clone(),
        title: profile.title.clone(),
    }
}

/// The session bounds them.
fn count(resources: &[Resource]) -> u32 {
    u32::try_from(resources.len()).unwrap_or(u32::MAX)
}

fn resource(resource: Resource) -> api::Resource {
    api::Resource {
        resource: resource.resource,
        availability: availability(resource.availability),
        status: resource.status,
        priority: resource.priority,
        since: time(resource.since),
        idle_since: resource.idle_since.map(time),
        client: resource
            .client
            .as_ref()
            .and_then(|client| client.identity.clone())
            .map(|(category, type_, name)| api::ClientInfo { name, category, r#type: type_ }),
        features: None,
    }
}

/// RFC 3339 in UTC with milliseconds. A time outside the calendar becomes the nearest possible one.
fn time(time: Timestamp) -> String {
    let end = if time.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    rfc3339(DateTime::from_timestamp_millis(time.0).unwrap_or(end))
}

fn state(state: ConnectionState) -> api::ConnectionState {
    match state {
        ConnectionState::Connecting => api::ConnectionState::Connecting,
        ConnectionState::Online => api::ConnectionState::Online,
        ConnectionState::Suspended => api::ConnectionState::Suspended,
        ConnectionState::Offline => api::ConnectionState::Offline,
        ConnectionState::Failed => api::ConnectionState::Failed,
    }
}

fn availability(availability: Availability) -> api::Availability {
    match availability {
        Availability::Chat => api::Availability::Chat,
        Availability::Available => api::Availability::Available,
        Availability::Away => api::Availability::Away,
        Availability::Xa => api::Availability::Xa,
        Availability::Dnd => api::Availability::Dnd,
        Availability::Unavailable => api::Availability::Unavailable,
    }
}

/// The other direction, for `set_presence`.
pub(super) fn wished_availability(availability: api::Availability) -> Availability {
    match availability {
        api::Availability::Chat => Availability::Chat,
        // An unknown value has been refused with the parameters.
        api::Availability::Available | api::Availability::Unknown => Availability::Available,
        api::Availability::Away => Availability::Away,
        api::Availability::Xa => Availability::Xa,
        api::Availability::Dnd => Availability::Dnd,
        api::Availability::Unavailable => Availability::Unavailable,
    }
}

fn subscription(subscription: Subscription) -> api::Subscription {
    match subscription {
        Subscription::None => api::Subscription::None,
        Subscription::To => api::Subscription::To,
        Subscription::From => api::Subscription::From,
        Subscription::Both => api::Subscription::Both,
    }
}

/// Where a roster came from.
pub(super) fn roster_source(source: RosterSource) -> api::RosterSource {
    match source {
        RosterSource::Cache => api::RosterSource::Cache,
        RosterSource::Server => api::RosterSource::Server,
    }
}

/// How to secure the connection.
pub(super) fn tls_mode(mode: api::TlsMode) -> TlsMode {
    match mode {
        api::TlsMode::Auto => TlsMode::Auto,
        api::TlsMode::Direct => TlsMode::Direct,
        api::TlsMode::Starttls => TlsMode::StartTls,
    }
}

fn secret_store(name: StoreName) -> api::SecretStore {
    match name {
        StoreName::SecretService => api::SecretStore::SecretService,
        StoreName::SystemdCredential => api::SecretStore::SystemdCredential,
        StoreName::File => api::SecretStore::File,
    }
}

/// Why the session failed to do something, as UIs see it.
pub(crate) fn failure(failure: &Failure, account: &BareJid) -> ApiError {
    let error = match failure {
        Failure::NotAuthorized { condition, text } => {
            ApiError::new(ErrorKind::NotAuthorized).condition(condition).text(text)
        }
        Failure::AccountDisabled { text } => ApiError::new(ErrorKind::AccountDisabled).text(text),
        Failure::ServerUnreachable { text } => ApiError::new(ErrorKind::ServerUnreachable).text(text),
        Failure::TlsFailed { text } => ApiError::new(ErrorKind::TlsFailed).text(text),
        Failure::ProtocolViolation { text } => ApiError::new(ErrorKind::ProtocolViolation).text(text),
        Failure::DowngradeRefused { text } => ApiError::new(ErrorKind::DowngradeRefused).text(text),
        Failure::SessionReplaced => ApiError::new(ErrorKind::SessionReplaced),
        Failure::Offline => ApiError::new(ErrorKind::Offline),
        Failure::InvalidJid { text } => ApiError::new(ErrorKind::InvalidJid).text(text),
        Failure::ContactUnknown => ApiError::new(ErrorKind::ContactUnknown),
        Failure::NotFound => ApiError::new(ErrorKind::NotFound),
        Failure::InvalidMedia { text } => ApiError::new(ErrorKind::InvalidMedia).text(text),
        Failure::StanzaError { condition, text } => ApiError::refused(condition).text(text),
        Failure::RequestTimedOut => ApiError::new(ErrorKind::RequestTimedOut),
        Failure::LimitExceeded { what, limit } => ApiError::limit_exceeded(*what, *limit as u64),
        Failure::TooLarge { limit } => ApiError::limit_exceeded("bytes of a stanza", *limit as u64)
            .message(format!("The server accepts at most {limit} bytes at a time: make it smaller."))
            .retryable(false),
        Failure::StorageFailed => ApiError::new(ErrorKind::StorageFailed),
        Failure::Internal { again: true } => ApiError::new(ErrorKind::InternalError),
        Failure::Internal { again: false } => ApiError::new(ErrorKind::InternalError)
            .message("prosed failed internally, again and again: log in to try once more, and report it.")
            .retryable(false),
    };
    error.account(account.as_str())
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Unknown(account) => Self::new(ErrorKind::AccountUnknown).account(account.as_str()),
            AccountError::CredentialsMissing(account) => {
                Self::new(ErrorKind::CredentialsMissing).account(account.as_str())
            }
            AccountError::Offline(account) => Self::new(ErrorKind::Offline).account(account.as_str()),
            AccountError::StorageFailed => Self::new(ErrorKind::StorageFailed),
            AccountError::Crashed(account) => Self::new(ErrorKind::InternalError).account(account.as_str()),
            AccountError::Stopping(account) => Self::new(ErrorKind::Offline)
                .message("prosed is stopping: try again once it is back.")
                .account(account.as_str()),
            AccountError::LimitExceeded { what, limit } => Self::limit_exceeded(what, limit as u64),
        }
    }
}

impl From<CursorExpired> for ApiError {
    fn from(expired: CursorExpired) -> Self {
        Self::cursor_expired(expired.oldest)
    }
}

impl From<Lagged> for ApiError {
    fn from(lagged: Lagged) -> Self {
        Self::lagged(lagged.last)
    }
}

/// Logged if a session's answer is of the wrong type.
pub(super) fn answer_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done => "done",
        Answer::Account(_) => "account",
        Answer::Roster { .. } => "roster",
        Answer::State(_) => "state",
        Answer::Contact(_) => "contact",
        Answer::GroupRenamed { .. } => "renamed group",
        Answer::Avatar(_) => "avatar",
        Answer::Published(_) => "published",
        Answer::SubscriptionRequests(_) => "subscription requests",
        Answer::Profile(_) => "profile",
    }
}

#[cfg(test)]
mod tests;
