//! What each method does. A call that concerns an account has a [`Place`] in that account's order: it is issued when
//! its turn comes, and its answer is awaited outside of it.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, join_all};
use jid::BareJid;
use jsonrpsee::types::ErrorObjectOwned;
use prosed_protocol::api::{Done, OpenRpcDocument, Version};
use prosed_protocol::{
    API_COMPATIBLE, API_LEVEL, Account, AccountParams, AddContactParams, ApiError, Contact, ContactParams,
    ErrorKind, GetEventsParams, GroupRenamed, LoadProfileParams, LoadRosterParams, LoadedAvatar, LoginParams,
    LogoutParams, Profile, PublishedAvatar, RenameGroupParams, RequestSubscriptionParams, Roster,
    SetAvatarParams, SetPresenceParams, SetProfileParams, ShowContactsParams, SubscribeParams,
    SubscriptionRequest, UpdateContactParams, invalid_params, openrpc,
};
use prosed_session::{Answer, Command, ImageId, ImageType, OwnPresence, SubscriptionAct};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::metrics::DoorMetrics;
use super::order::Place;
use super::picture::Decoder;
use super::sessions::Sessions;
use super::text_limits;
use super::translate::{self, Translator};
use crate::activity::Activity;
use crate::cache::ThumbnailSize;
use crate::config::is_host;
use crate::credentials::Password;
use crate::events::{EventLog, Filter};
use crate::metrics::Metrics;
use crate::registry::Connection;
use crate::shell::{Login, Reply};

/// Contacts prepared for UIs before other calls get a turn.
const CONTACTS_AT_ONCE: usize = 16;

/// Looks up a saved image, or its thumbnail.
pub(crate) type Images = Arc<
    dyn Fn(ImageId, Option<ThumbnailSize>) -> BoxFuture<'static, Option<(ImageType, Vec<u8>)>> + Send + Sync,
>;

/// Everything that methods use.
pub(super) struct Api {
    pub(super) sessions: Sessions,
    pub(super) log: Arc<EventLog>,
    pub(super) activity: Arc<Activity>,
    pub(super) translator: Translator,
    pub(super) images: Images,
    pub(super) decoder: Decoder,
    /// What the doors count …
    pub(super) counts: DoorMetrics,
    /// … and all metrics.
    pub(super) metrics: Arc<Metrics>,
}

/// A method's answer.
pub(super) type Answered<T> = Result<T, ErrorObjectOwned>;

/// An answer and the `seq` at which it was valid.
struct TrueAt {
    seq: u64,
    answer: Answer,
}

impl TrueAt {
    fn account(self) -> Answered<prosed_session::Account> {
        match self.answer {
            Answer::Account(account) => Ok(*account),
            other => Err(unexpected(&other)),
        }
    }
}

pub(super) async fn login(api: Arc<Api>, place: Place, params: LoginParams) -> Answered<Account> {
    // A domain alone is a JID, but nobody can log in to it.
    if place.account.node().is_none() {
        return Err(ApiError::new(ErrorKind::InvalidJid).text("there is no name before the @").into());
    }
    if params.host.as_deref().is_some_and(|host| !is_host(host)) {
        return Err(invalid_params(
            "host is not a host name or an IP address; the port is a parameter of its own",
        ));
    }
    if let Some(resource) = &params.resource
        && let Err(error) = place.account.with_resource_str(resource)
    {
        return Err(invalid_params(format!("resource can't be the resource of a JID: {error}")));
    }
    if params.port == Some(0) {
        return Err(invalid_params("port is one of 1 to 65535"));
    }
    let account = place.account.clone();
    let login = Login {
        jid: account.clone(),
        password: params.password.map(|secret| Password::from(secret.into_inner())),
        remember: params.remember,
        connection: Connection {
            resource: params.resource,
            host: params.host,
            port: params.port,
            tls: params.tls.map(translate::tls_mode).unwrap_or_default(),
        },
        accept_downgrade: params.accept_downgrade,
    };
    let mut turn = place.turn().await;
    let reply = api.sessions.login(login).await.map_err(ApiError::from)?;
    turn.has_begun();
    let mut answer = pin!(api.answer(&account, reply));
    let answered = tokio::select! {
        answered = &mut answer => Some(answered),
        () = turn.stopped() => None,
    };
    drop(turn);
    let reached = match answered {
        Some(reached) => reached?,
        // Now it is the logout's turn, and it ends the login.
        None => answer.await?,
    };
    api.account(reached)
}

pub(super) async fn reconnect(api: Arc<Api>, place: Place, _: AccountParams) -> Answered<Done> {
    let account = place.account.clone();
    let turn = place.turn().await;
    api.sessions.reconnect(&account).await.map_err(ApiError::from)?;
    drop(turn);
    Ok(Done {})
}

pub(super) async fn logout(api: Arc<Api>, place: Place, params: LogoutParams) -> Answered<Done> {
    let account = place.account.clone();
    let _until_done = place.turn().await;
    api.sessions.logout(&account, params.forget).await.map_err(ApiError::from)?;
    Ok(Done {})
}

pub(super) async fn list_accounts(api: Arc<Api>) -> Answered<Vec<Account>> {
    let accounts = api.sessions.list();
    let states = join_all(accounts.iter().map(|account| api.state(account))).await;
    states.into_iter().flatten().collect()
}

pub(super) async fn get_account(api: Arc<Api>, place: Place, _: AccountParams) -> Answered<Account> {
    let answered = api.ask(place, Command::GetAccount).await?;
    let account = answered.account()?;
    let standing = api.sessions.standing(&account.account);
    Ok(api.translator.whole_account(account, &standing))
}

pub(super) async fn load_roster(api: Arc<Api>, place: Place, params: LoadRosterParams) -> Answered<Roster> {
    let account = place.account.to_string();
    let after = params.after.as_deref().map(bare_jid).transpose()?;
    let limit = Roster::limit(params.limit);
    let TrueAt { seq, answer } = api.ask(place, Command::LoadRoster).await?;
    let Answer::Roster { source, version, mut contacts } = answer else { return Err(unexpected(&answer)) };
    let source = translate::roster_source(source);
    if let Some(after) = after {
        contacts.drain(..contacts.partition_point(|contact| contact.jid <= after));
    }
    let complete = contacts.len() <= limit;
    let contacts = api.contacts(contacts.into_iter().take(limit)).await;
    Ok(Roster { account, source, version, seq, contacts, complete })
}

pub(super) async fn show_contacts(api: Arc<Api>, place: Place, params: ShowContactsParams) -> Answered<Done> {
    if params.jids.len() > ShowContactsParams::MAX_JIDS {
        let most = ShowContactsParams::MAX_JIDS;
        return Err(invalid_params(format!("`jids` holds more than {most} JIDs: say who is on the screen")));
    }
    let jids = params.jids.iter().map(|jid| bare_jid(jid)).collect::<Result<_, _>>()?;
    api.done(place, Command::ShowContacts { jids }).await
}

pub(super) async fn get_contact(api: Arc<Api>, place: Place, params: ContactParams) -> Answered<Contact> {
    api.contact(place, Command::GetContact { jid: bare_jid(&params.jid)? }).await
}

pub(super) async fn add_contact(api: Arc<Api>, place: Place, params: AddContactParams) -> Answered<Contact> {
    text_limits::name(params.name.as_deref())?;
    text_limits::groups(&params.groups)?;
    text_limits::message(params.message.as_deref())?;
    if params.message.is_some() && !params.subscribe {
        return Err(invalid_params(
            "`message` goes with the request that `subscribe` makes: leave one of them out",
        ));
    }
    let (jid, groups) = (bare_jid(&params.jid)?, params.groups.into_iter().collect());
    let subscribe = params.subscribe.then(|| request(params.message));
    let command = Command::AddContact { jid, name: params.name, groups, subscribe };
    api.contact(place, command).await
}

pub(super) async fn update_contact(
    api: Arc<Api>,
    place: Place,
    params: UpdateContactParams,
) -> Answered<Contact> {
    text_limits::name(params.name.as_deref())?;
    text_limits::groups(params.groups.as_deref().unwrap_or_default())?;
    let groups = params.groups.map(|groups| groups.into_iter().collect());
    let command = Command::UpdateContact { jid: bare_jid(&params.jid)?, name: params.name, groups };
    api.contact(place, command).await
}

pub(super) async fn rename_group(
    api: Arc<Api>,
    place: Place,
    params: RenameGroupParams,
) -> Answered<GroupRenamed> {
    text_limits::group(&params.name)?;
    if params.group == params.name {
        return Err(invalid_params("`name` is the name that the group has"));
    }
    let account = place.account.clone();
    let command = Command::RenameGroup { from: params.group, to: params.name };
    match api.ask(place, command).await?.answer {
        Answer::GroupRenamed { renamed, failed } => Ok(translate::group_renamed(renamed, &failed, &account)),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn remove_contact(api: Arc<Api>, place: Place, params: ContactParams) -> Answered<Done> {
    api.done(place, Command::RemoveContact { jid: bare_jid(&params.jid)? }).await
}

pub(super) async fn list_subscription_requests(
    api: Arc<Api>,
    place: Place,
    _: AccountParams,
) -> Answered<Vec<SubscriptionRequest>> {
    match api.ask(place, Command::ListSubscriptionRequests).await?.answer {
        Answer::SubscriptionRequests(open) => Ok(open.iter().map(translate::subscription_request).collect()),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn approve_subscription(
    api: Arc<Api>,
    place: Place,
    params: ContactParams,
) -> Answered<Done> {
    api.subscription(place, &params.jid, SubscriptionAct::Approve).await
}

pub(super) async fn deny_subscription(api: Arc<Api>, place: Place, params: ContactParams) -> Answered<Done> {
    api.subscription(place, &params.jid, SubscriptionAct::Deny).await
}

pub(super) async fn request_subscription(
    api: Arc<Api>,
    place: Place,
    params: RequestSubscriptionParams,
) -> Answered<Done> {
    text_limits::message(params.message.as_deref())?;
    api.subscription(place, &params.jid, request(params.message)).await
}

/// An empty message counts as none.
fn request(message: Option<String>) -> SubscriptionAct {
    SubscriptionAct::Request { message: message.filter(|message| !message.is_empty()) }
}

pub(super) async fn cancel_subscription(
    api: Arc<Api>,
    place: Place,
    params: ContactParams,
) -> Answered<Done> {
    api.subscription(place, &params.jid, SubscriptionAct::Cancel).await
}

pub(super) async fn load_avatar(
    api: Arc<Api>,
    place: Place,
    params: ContactParams,
) -> Answered<LoadedAvatar> {
    let jid = bare_jid(&params.jid)?;
    let answer = api.ask(place, Command::LoadAvatar { jid }).await?.answer;
    let Answer::Avatar(avatar) = answer else { return Err(unexpected(&answer)) };
    // A file that has since disappeared counts as absent, like a corrupt record.
    let (_, bytes) = (api.images)(avatar.id, None).await.ok_or(ApiError::new(ErrorKind::NotFound))?;
    Ok(LoadedAvatar { avatar: api.translator.avatar(&avatar), data: STANDARD.encode(bytes) })
}

pub(super) async fn load_profile(
    api: Arc<Api>,
    place: Place,
    params: LoadProfileParams,
) -> Answered<Profile> {
    let jid = bare_jid(&params.jid)?;
    match api.ask(place, Command::LoadProfile { jid, refresh: params.refresh }).await?.answer {
        Answer::Profile(profile) => Ok(translate::profile(&profile)),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn set_avatar(
    api: Arc<Api>,
    place: Place,
    params: SetAvatarParams,
) -> Answered<PublishedAvatar> {
    let images = api.decoder.pngs(params.data).await?;
    match api.ask(place, Command::SetAvatar { images }).await?.answer {
        Answer::Published(id) => Ok(PublishedAvatar { id: id.map(|id| id.to_string()) }),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn set_profile(api: Arc<Api>, place: Place, params: SetProfileParams) -> Answered<Done> {
    text_limits::profile(&params.profile)?;
    let patch = Box::new(translate::profile_patch(params.profile));
    api.done(place, Command::SetProfile(patch)).await
}

pub(super) async fn set_presence(api: Arc<Api>, place: Place, params: SetPresenceParams) -> Answered<Done> {
    text_limits::status(params.status.as_deref())?;
    let availability = translate::wished_availability(params.availability);
    let presence = OwnPresence { availability, status: params.status, priority: params.priority };
    api.done(place, Command::SetPresence(presence)).await
}

/// `Events`, assembled from the shared JSON of each.
#[derive(Serialize)]
pub(super) struct EventsPage {
    events: Vec<Box<RawValue>>,
    seq: u64,
}

pub(super) async fn get_events(api: Arc<Api>, params: GetEventsParams) -> Answered<EventsPage> {
    let (since, limit, timeout) = (params.since, params.limit()?, params.timeout());
    let page = api.log.page(filter(params.filter())?, since, limit, timeout).await.map_err(ApiError::from)?;
    Ok(EventsPage { events: page.events.iter().map(|entry| entry.json.clone()).collect(), seq: page.seq })
}

pub(super) async fn get_version(_: Arc<Api>) -> Answered<Version> {
    Ok(Version {
        name: "prosed".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api_level: API_LEVEL,
        api_compatible: API_COMPATIBLE,
    })
}

pub(super) async fn discover(_: Arc<Api>) -> Answered<OpenRpcDocument> {
    Ok(OpenRpcDocument(openrpc()))
}

/// The events that a subscription or a poll wants.
pub(super) fn filter(params: SubscribeParams) -> Answered<Filter> {
    let account = params.account.as_deref().map(bare_jid).transpose()?;
    Ok(Filter { names: params.events, account })
}

/// A bare JID in its normal form (RFC 7622). A final dot is removed (§3.2); `jid` does so only with ASCII's.
pub(super) fn bare_jid(text: &str) -> Answered<BareJid> {
    const IDNA_DOTS: [char; 3] = ['\u{3002}', '\u{ff0e}', '\u{ff61}'];
    let text = text.strip_suffix(IDNA_DOTS).map_or(Cow::Borrowed(text), |domain| format!("{domain}.").into());
    BareJid::new(&text).map_err(|error| ApiError::new(ErrorKind::InvalidJid).text(error.to_string()).into())
}

impl Api {
    /// Issues the command when its turn comes, makes room for the next, and waits for the answer.
    async fn ask(&self, place: Place, command: Command) -> Answered<TrueAt> {
        let account = place.account.clone();
        let turn = place.turn().await;
        let reply = self.sessions.issue(&account, command).await.map_err(ApiError::from)?;
        drop(turn);
        self.answer(&account, reply).await
    }

    /// Contacts in the form of rosters, a few at a time: the doors have one thread, and cutting a contact to size may
    /// take a while, so other calls run in between.
    pub(super) async fn contacts(
        &self,
        contacts: impl ExactSizeIterator<Item = prosed_session::Contact>,
    ) -> Vec<Contact> {
        let mut translated = Vec::with_capacity(contacts.len());
        for contact in contacts {
            if translated.len() % CONTACTS_AT_ONCE == CONTACTS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            translated.push(self.translator.contact(contact));
        }
        translated
    }

    /// A command whose answer is a contact.
    async fn contact(&self, place: Place, command: Command) -> Answered<Contact> {
        match self.ask(place, command).await?.answer {
            Answer::Contact(contact) => Ok(self.translator.whole_contact(*contact)),
            other => Err(unexpected(&other)),
        }
    }

    /// A command without a result.
    async fn done(&self, place: Place, command: Command) -> Answered<Done> {
        match self.ask(place, command).await?.answer {
            Answer::Done => Ok(Done {}),
            other => Err(unexpected(&other)),
        }
    }

    async fn subscription(&self, place: Place, jid: &str, act: SubscriptionAct) -> Answered<Done> {
        self.done(place, Command::Subscription { jid: bare_jid(jid)?, act }).await
    }

    async fn answer(&self, account: &BareJid, reply: oneshot::Receiver<Reply>) -> Answered<TrueAt> {
        // A session that ended without an answer is down.
        let offline = |_| ApiError::new(ErrorKind::Offline).account(account.as_str());
        let Reply { seq, result } = reply.await.map_err(offline)?;
        let answer = result.map_err(|cause| translate::failure(&cause, account))?;
        Ok(TrueAt { seq, answer })
    }

    /// An account's state; none if it disappeared before or during the query.
    async fn state(&self, account: &BareJid) -> Option<Answered<Account>> {
        let reply = self.sessions.issue(account, Command::GetAccount).await.ok()?;
        let Reply { seq, result } = reply.await.ok()?;
        let answer = result.map_err(|cause| translate::failure(&cause, account).into());
        Some(answer.and_then(|answer| self.account(TrueAt { seq, answer })))
    }

    fn account(&self, answered: TrueAt) -> Answered<Account> {
        let account = answered.account()?;
        let standing = self.sessions.standing(&account.account);
        Ok(self.translator.account(account, &standing))
    }
}

/// The session's answer is of the wrong type: our bug, and no reason to panic.
pub(super) fn unexpected(answer: &Answer) -> ErrorObjectOwned {
    tracing::error!(answer = translate::answer_name(answer), "a session answered another question");
    ApiError::new(ErrorKind::InternalError).into()
}
