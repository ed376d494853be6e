//! What the session wants, in the words of scripts: one way to say each thing.

use std::collections::BTreeSet;

use minidom::Element;
use prosed_session::{
    Account, Answer, Availability, Avatar, AvatarRecord, CapsRecord, Change, ConnectionState, Contact,
    ContactsChanged, Declared, Failure, ImageInfo, Notice, OwnPresence, PersonUpdate, Profile,
    ProfileSummary, Query, Resource, RosterItem, RosterSource, Subscription, SubscriptionRequest, Timestamp,
    Write,
};

/// One effect as a script shows it.
pub(crate) struct Shown {
    pub(crate) head: String,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Nothing,
    Xml(Box<Element>),
    Lines(Vec<String>),
}

/// Shows times as seconds since the play began.
#[derive(Clone, Copy)]
pub(crate) struct Show {
    pub(crate) start: Timestamp,
}

fn plain(head: impl Into<String>) -> Shown {
    Shown { head: head.into(), body: Body::Nothing }
}

impl Show {
    pub(crate) fn write(self, write: &Write) -> Shown {
        plain(match write {
            Write::Roster { version, replace, items, removed } => {
                let whole = if *replace { " whole" } else { "" };
                let version = version.as_ref().map(|ver| format!(" ver={ver}")).unwrap_or_default();
                let items = items.iter().map(|item| format!(" +{}", roster_item(item)));
                let removed = removed.iter().map(|jid| format!(" -{jid}"));
                format!("prosed saves roster{whole}{version}{}", items.chain(removed).collect::<String>())
            }
            Write::Person { jid, person: None } => format!("prosed forgets person {jid}"),
            Write::Person { jid, person: Some(person) } => {
                format!("prosed saves person {jid}{}", self.person(person))
            }
            Write::LastSeen(times) => {
                let times = times.iter().map(|(jid, at)| format!(" {jid}={}", self.time(*at)));
                format!("prosed saves last seen{}", times.collect::<String>())
            }
            Write::Image { id, kind, .. } => format!("prosed saves image {id} {}", kind.media_type()),
            Write::ImageUnused { id } => format!("prosed needs image {id} no more"),
            Write::Caps { key, record: None } => format!("prosed forgets caps {} {}", key.hash, key.ver),
            Write::Caps { key, record: Some(record) } => {
                format!("prosed saves caps {} {} {}", key.hash, key.ver, client(record))
            }
            Write::SubscriptionRequest { jid, request: None } => format!("prosed forgets request {jid}"),
            Write::SubscriptionRequest { request: Some(request), .. } => {
                format!("prosed saves request {}", self.request(request))
            }
            Write::OwnPresence(presence) => format!("prosed saves presence {}", own_presence(presence)),
        })
    }

    pub(crate) fn query(query: &Query) -> Shown {
        let Query::Profile(jid) = query;
        plain(format!("prosed reads profile {jid}"))
    }

    pub(crate) fn notice(self, notice: &Notice, account: &Account) -> Shown {
        match notice {
            Notice::ContactsChanged(ContactsChanged { changed, removed, initial, .. }) => {
                let changed = changed.iter().map(|contact| self.contact(contact));
                let removed = removed.iter().map(|jid| format!("{jid} removed"));
                Shown {
                    head: format!("ui hears contactChanged{}", if *initial { " initial" } else { "" }),
                    body: Body::Lines(changed.chain(removed).collect()),
                }
            }
            Notice::AccountChanged => plain(format!("ui hears accountChanged {}", self.account(account))),
            Notice::SubscriptionRequested(asked) => {
                plain(format!("ui hears subscriptionRequested {}", self.request(asked)))
            }
            Notice::SubscriptionResolved { jid } => plain(format!("ui hears subscriptionResolved {jid}")),
            Notice::RosterLoaded { version, changed } => {
                let version = version.as_ref().map(|ver| format!(" ver={ver}")).unwrap_or_default();
                plain(format!("ui hears rosterLoaded{version} changed={changed}"))
            }
        }
    }

    pub(crate) fn answer(self, call: &str, result: &Result<Answer, Failure>) -> Shown {
        let head = format!("ui is answered {call}");
        match result {
            Err(trouble) => plain(format!("{head} failure {}", failure(trouble))),
            Ok(Answer::Done) => plain(format!("{head} done")),
            Ok(Answer::Account(account)) => {
                let heard = account.last_stanza_at.map(|at| format!(" heard={}", self.time(at)));
                plain(format!("{head} {}{}", self.account(account), heard.unwrap_or_default()))
            }
            Ok(Answer::Roster { source, version, contacts }) => {
                let source = match source {
                    RosterSource::Cache => "cache",
                    RosterSource::Server => "server",
                };
                let version = version.as_ref().map(|ver| format!(" ver={ver}")).unwrap_or_default();
                Shown {
                    head: format!("{head} from {source}{version}"),
                    body: Body::Lines(contacts.iter().map(|contact| self.contact(contact)).collect()),
                }
            }
            Ok(Answer::State(state)) => Shown {
                head: format!("{head} {} requests={}", self.account(&state.account), state.requests.len()),
                body: Body::Lines(state.contacts.iter().map(|contact| self.contact(contact)).collect()),
            },
            Ok(Answer::Contact(contact)) => Shown { head, body: Body::Lines(vec![self.contact(contact)]) },
            Ok(Answer::GroupRenamed { renamed, failed }) => Shown {
                head: format!("{head} renamed={renamed} failed={}", failed.len()),
                body: Body::Lines(
                    failed.iter().map(|(jid, why)| format!("{jid} failure {}", failure(why))).collect(),
                ),
            },
            Ok(Answer::Avatar(shown)) => plain(format!("{head} {}", avatar(shown))),
            Ok(Answer::Published(id)) => {
                plain(format!("{head} published{}", id.map(|id| format!(" {id}")).unwrap_or_default()))
            }
            Ok(Answer::SubscriptionRequests(open)) => {
                Shown { head, body: Body::Lines(open.iter().map(|asked| self.request(asked)).collect()) }
            }
            Ok(Answer::Profile(known)) => plain(format!("{head} {}", profile(known))),
        }
    }

    fn request(self, asked: &SubscriptionRequest) -> String {
        let nick = asked.nick.as_ref().map(|nick| format!(" nick={:?}", short(nick))).unwrap_or_default();
        let message =
            asked.message.as_ref().map(|message| format!(" {:?}", short(message))).unwrap_or_default();
        let look_alike = if asked.look_alike { " look-alike" } else { "" };
        format!("{}{look_alike}{nick}{message} received={}", asked.jid, self.time(asked.received_at))
    }

    fn time(self, at: Timestamp) -> String {
        #[allow(clippy::cast_precision_loss, reason = "plays last days")]
        let seconds = (at.0 - self.start.0) as f64 / 1000.0;
        format!("{seconds}s")
    }

    pub(crate) fn contact(self, contact: &Contact) -> String {
        let derived = if contact.roster_name.is_none() { "~" } else { "" };
        let mut text = format!("{} {derived}{:?}", contact.jid, short(&contact.name));
        if contact.look_alike {
            text.push_str(" look-alike");
        }
        text.push_str(&relation(contact.subscription, contact.ask, contact.approved));
        text.push_str(&groups(&contact.groups));
        text.push_str(&presence(contact.availability, contact.status.as_ref()));
        if let Some(at) = contact.last_seen {
            text.push_str(&format!(" seen={}", self.time(at)));
        }
        if let Some(shown) = &contact.avatar {
            text.push_str(&format!(" avatar={}", avatar(shown)));
        }
        if let Some(known) = &contact.profile {
            text.push_str(&format!(" {}", summary(known)));
        }
        text + &self.resources(&contact.resources)
    }

    fn account(self, account: &Account) -> String {
        let mut text = match account.state {
            ConnectionState::Connecting => "connecting",
            ConnectionState::Online => "online",
            ConnectionState::Suspended => "suspended",
            ConnectionState::Offline => "offline",
            ConnectionState::Failed => "failed",
        }
        .to_owned();
        if let Some(jid) = &account.jid {
            text.push_str(&format!(" {jid}"));
        }
        text.push_str(&format!(" since={}", self.time(account.since)));
        if let Some(at) = account.retry_at {
            text.push_str(&format!(" retry={}", self.time(at)));
        }
        if let Some(trouble) = &account.failure {
            text.push_str(&format!(" failure {}", failure(trouble)));
        }
        text.push_str(&presence(account.availability, account.status.as_ref()));
        if account.roster_truncated {
            text.push_str(" truncated");
        }
        if let Some(shown) = &account.avatar {
            text.push_str(&format!(" avatar={}", avatar(shown)));
        }
        if let Some(known) = &account.profile {
            text.push_str(&format!(" {}", summary(known)));
        }
        text + &self.resources(&account.resources)
    }

    fn resources(self, resources: &[Resource]) -> String {
        if resources.len() > 8 {
            return format!(" | {} resources", resources.len());
        }
        resources.iter().map(|resource| format!(" | {}", self.resource(resource))).collect()
    }

    fn resource(self, resource: &Resource) -> String {
        let Resource { resource: name, availability, status, priority, since, idle_since, client: known } =
            resource;
        let mut text = format!("{name}{} {priority}", presence(*availability, status.as_ref()));
        text.push_str(&format!(" since={}", self.time(*since)));
        if let Some(at) = idle_since {
            text.push_str(&format!(" idle={}", self.time(*at)));
        }
        if let Some(known) = known {
            text.push_str(&format!(" {}", client(known)));
        }
        text
    }

    fn person(self, person: &PersonUpdate) -> String {
        let mut text = match &person.avatar {
            Declared::Unknown => String::new(),
            Declared::Absent => " avatar=none".to_owned(),
            Declared::Present(AvatarRecord { id, image: found, legacy, spelling }) => {
                let found = found.as_ref().map(|found| format!("({})", image(found))).unwrap_or_default();
                let legacy = if *legacy { " legacy" } else { "" };
                let spelling =
                    spelling.iter().map(|spelling| format!(" spelt={spelling}")).collect::<String>();
                format!(" avatar={id}{found}{legacy}{spelling}")
            }
        };
        let sources = &person.profile;
        let sources =
            [("vcard4", &sources.vcard4), ("prose", &sources.prose), ("temp", &sources.temp)].into_iter();
        for (source, change) in sources {
            match change {
                Change::Keep => {}
                Change::Remove => text.push_str(&format!(" {source}=none")),
                Change::Set(known) => text.push_str(&format!(" {source}={}", profile(known))),
            }
        }
        if let Some(at) = person.asked_at {
            text.push_str(&format!(" asked={}", self.time(at)));
        }
        text
    }
}

/// Long text by its beginning and its number of characters.
fn short(text: &str) -> String {
    match text.chars().count() {
        count if count > 80 => format!("{}…({count})", text.chars().take(8).collect::<String>()),
        _ => text.to_owned(),
    }
}

fn roster_item(item: &RosterItem) -> String {
    let resource = item.resource.iter().map(|resource| format!("/{resource}")).collect::<String>();
    let mut text =
        format!("{}{resource}({}", item.jid, relation(item.subscription, item.ask, item.approved).trim());
    if let Some(name) = &item.name {
        text.push_str(&format!(" {:?}", short(name)));
    }
    text + &groups(&item.groups) + ")"
}

fn groups(groups: &BTreeSet<String>) -> String {
    let names: Vec<String> = groups.iter().map(|group| short(group)).collect();
    match names.len() {
        0 => String::new(),
        1..=8 => format!(" {names:?}"),
        count => format!(" {count} groups"),
    }
}

fn relation(subscription: Subscription, ask: bool, approved: bool) -> String {
    let subscription = match subscription {
        Subscription::None => " none",
        Subscription::To => " to",
        Subscription::From => " from",
        Subscription::Both => " both",
    };
    let (ask, approved) = (if ask { " ask" } else { "" }, if approved { " approved" } else { "" });
    format!("{subscription}{ask}{approved}")
}

fn presence(availability: Availability, status: Option<&String>) -> String {
    let word = match availability {
        Availability::Chat => " chat",
        Availability::Available => " available",
        Availability::Away => " away",
        Availability::Xa => " xa",
        Availability::Dnd => " dnd",
        Availability::Unavailable => " unavailable",
    };
    format!("{word}{}", status.map(|status| format!(" {:?}", short(status))).unwrap_or_default())
}

fn own_presence(own: &OwnPresence) -> String {
    let priority = own.priority.map(|priority| format!(" priority={priority}")).unwrap_or_default();
    format!("{}{priority}", presence(own.availability, own.status.as_ref()).trim())
}

fn image(found: &ImageInfo) -> String {
    format!("{} {} bytes {}x{}", found.kind.media_type(), found.bytes, found.width, found.height)
}

fn avatar(shown: &Avatar) -> String {
    let Avatar { id, kind, bytes, width, height } = *shown;
    format!("{id}({})", image(&ImageInfo { kind, bytes, width, height }))
}

fn client(record: &CapsRecord) -> String {
    let identity = record.identity.as_ref().map_or_else(
        || "?".to_owned(),
        |(category, kind, name)| format!("{category}/{kind}/{}", short(name.as_deref().unwrap_or_default())),
    );
    let features: Vec<String> = record.features.iter().map(|feature| short(feature)).collect();
    match features.len() {
        0..=8 => format!("{identity}{{{}}}", features.join(" ")),
        count => format!("{identity}{{{count} features}}"),
    }
}

fn one(name: &str, value: &Option<String>) -> Option<String> {
    value.as_ref().map(|value| format!("{name}={:?}", short(value)))
}

fn summary(known: &ProfileSummary) -> String {
    let ProfileSummary { full_name, nickname, organization, title, .. } = known;
    let texts = [("fn", full_name), ("nickname", nickname), ("org", organization), ("title", title)];
    let parts: Vec<_> = texts.into_iter().filter_map(|(name, value)| one(name, value)).collect();
    format!("vcard{{{}}}", parts.join(" "))
}

fn profile(known: &Profile) -> String {
    let mut parts = Vec::new();
    let many = |name: &'static str, values: &[String]| -> Vec<String> {
        match values.len() {
            0..=4 => values.iter().map(|value| format!("{name}={:?}", short(value))).collect(),
            count => vec![format!("{count} {name}")],
        }
    };
    parts.extend(one("fn", &known.full_name));
    parts.extend(one("nickname", &known.nickname));
    parts.extend(one("org", &known.organization));
    parts.extend(one("title", &known.title));
    parts.extend(one("role", &known.role));
    parts.extend(many("email", &known.emails));
    parts.extend(many("tel", &known.phones));
    parts.extend(many("url", &known.urls));
    if let Some(address) = &known.address {
        parts.extend(one("street", &address.street));
        parts.extend(one("locality", &address.locality));
        parts.extend(one("region", &address.region));
        parts.extend(one("code", &address.postal_code));
        parts.extend(one("country", &address.country));
    }
    parts.extend(one("bday", &known.birthday));
    parts.extend(one("note", &known.note));
    format!("vcard{{{}}}", parts.join(" "))
}

fn failure(trouble: &Failure) -> String {
    match trouble {
        Failure::NotAuthorized { condition, .. } => format!("notAuthorized {condition}"),
        Failure::AccountDisabled { .. } => "accountDisabled".to_owned(),
        Failure::ServerUnreachable { .. } => "serverUnreachable".to_owned(),
        Failure::TlsFailed { .. } => "tlsFailed".to_owned(),
        Failure::ProtocolViolation { .. } => "protocolViolation".to_owned(),
        Failure::DowngradeRefused { .. } => "downgradeRefused".to_owned(),
        Failure::SessionReplaced => "sessionReplaced".to_owned(),
        Failure::Offline => "offline".to_owned(),
        Failure::InvalidJid { .. } => "invalidJid".to_owned(),
        Failure::ContactUnknown => "contactUnknown".to_owned(),
        Failure::NotFound => "notFound".to_owned(),
        Failure::InvalidMedia { text } => format!("invalidMedia {text:?}"),
        Failure::StanzaError { condition, text } if text.is_empty() => format!("stanzaError {condition}"),
        Failure::StanzaError { condition, text } => format!("stanzaError {condition} {text:?}"),
        Failure::RequestTimedOut => "requestTimedOut".to_owned(),
        Failure::LimitExceeded { limit, .. } => format!("limitExceeded {limit}"),
        Failure::TooLarge { limit } => format!("tooLarge {limit}"),
        Failure::StorageFailed => "storageFailed".to_owned(),
        Failure::Internal { .. } => "internalError".to_owned(),
    }
}
