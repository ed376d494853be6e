// Generated from protocol/openrpc.json by generate.js: don't edit.

import type { CallOptions } from "./prosed.js";

/** The methods of the API, by the names that JavaScript gives them. */
export interface Methods {
  /**
   * Log an account in, and keep one session with its server, however many UIs there are.
   *
   * It answers once the account is authenticated and bound and its initial presence is sent; the
   * rest of the start-up continues after that. If the account has a live session already, that
   * session answers, and the password is ignored; one that is `suspended` or waits for its next
   * attempt is hurried as by `reconnect`, and answers once it is online. An error that time alone
   * does not fix is returned at once. With the network down it fails with `serverUnreachable` after
   * 30 seconds. In both cases a remembered account keeps trying, and no other does. `logout` ends a
   * login that is still running, with `offline`.
   *
   * @throws {ProsedError} notAuthorized, credentialsMissing, accountDisabled, serverUnreachable,
   * tlsFailed, protocolViolation, sessionReplaced, downgradeRefused, offline, invalidJid,
   * internalError, limitExceeded
   */
  login(params: LoginParams, options?: CallOptions): Promise<Account>;

  /**
   * End an account's session; contacts see us leave.
   *
   * Cache and secret are kept, and the account stays logged out until the next `login`, across
   * restarts. Calls that wait for its server fail with `offline`. `forget` also erases cache and
   * secret.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, invalidJid, storageFailed,
   * internalError, limitExceeded
   */
  logout(params?: LogoutParams, options?: CallOptions): Promise<Done>;

  /**
   * Connect now, instead of at `retryAt`; or check whether the connection is still alive.
   *
   * It answers at once, and `accountChanged` reports the result. There is at most one attempt a
   * second and eight a minute, however often it is called: beyond that the next one waits its turn.
   * An online account whose server gives no sign of life within 14 seconds becomes `suspended` and
   * reconnects. For an account that is logged out, or whose error is final, it answers `offline`:
   * log in instead.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  reconnect(params?: ReconnectParams, options?: CallOptions): Promise<Done>;

  /**
   * All accounts, sorted by JID.
   *
   * @throws {ProsedError} limitExceeded
   */
  listAccounts(params?: Record<string, never>, options?: CallOptions): Promise<Account[]>;

  /**
   * One account and the state of its session, with all our other devices and their full texts.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  getAccount(params?: GetAccountParams, options?: CallOptions): Promise<Account>;

  /**
   * All contacts of an account.
   *
   * It answers from the cache at once if there is one, even offline, while the server's roster is
   * being fetched: differences are reported by `contactChanged`, then `rosterLoaded`. Without a
   * cache it waits for the server. Subscribe with `since` set to the answer's `seq`, and nothing is
   * missed.
   *
   * An answer has at most 16 MiB, enough for all but the largest rosters. A larger one is an error
   * with `limitExceeded`, and the roster must be loaded in pages: pass `limit`, then `after` as
   * well, until `complete` is true, and subscribe with the first page's `seq`.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, stanzaError,
   * requestTimedOut, internalError, limitExceeded
   */
  loadRoster(params?: LoadRosterParams, options?: CallOptions): Promise<Roster>;

  /**
   * Everything that a UI shows at first, in one answer: accounts, contacts and subscription
   * requests.
   *
   * All of it is the state at its `seq`: subscribe with `since` set to that, and nothing is missed
   * or repeated. It waits for no server. If it exceeds the 16 MiB of an answer, it is an error with
   * `limitExceeded`: pass `limit`, and load the rest of the rosters in pages with `load_roster`.
   *
   * @throws {ProsedError} accountUnknown, invalidJid, cursorExpired, limitExceeded
   */
  loadState(params?: LoadStateParams, options?: CallOptions): Promise<State>;

  /**
   * One contact with all devices and groups, full texts, and the devices' features.
   *
   * Rosters and events have at most 4 KiB per contact; `truncated` says if there is more.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, invalidJid,
   * internalError, limitExceeded
   */
  getContact(params: GetContactParams, options?: CallOptions): Promise<Contact>;

  /**
   * Report which contacts are on the screen, so that their pictures and profiles are fetched first.
   *
   * Whatever a contact's server does not push, prosed requests: from a few contacts a minute, and
   * more slowly from those of one domain. Contacts that a UI shows are queried at once, up to a
   * screenful per domain and then one a second. Call it when contacts come into view; there is no
   * need to report those that leave it. No contact is queried for the same thing twice a day, so
   * repeating a call does no harm. `get_contact`, `load_avatar` and `load_profile` count as
   * showing. It answers at once, and `contactChanged` reports the results.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  showContacts(params: ShowContactsParams, options?: CallOptions): Promise<Done>;

  /**
   * Report whether somebody is looking at this UI.
   *
   * While nobody is looking at any UI, servers that support it (XEP-0352) hold back what is not
   * urgent, such as presences. A connection counts as active while it has a subscription; this call
   * decides instead, until the connection closes. A window calls it when it is hidden, or the
   * screen is locked, and when it is back. After a call on any other connection, somebody counts as
   * looking for ten minutes, so scripts need not do anything. When an account becomes active,
   * `load_roster`, `load_state`, `get_contact` and `get_account` wait for what its server held
   * back, two seconds at most, and the changes are reported as `initial`.
   *
   * @throws {ProsedError} subscriptionNeedsWebSocket, limitExceeded
   */
  setActivity(params: SetActivityParams, options?: CallOptions): Promise<Done>;

  /**
   * Add a contact to the roster, and request their presence unless `subscribe` is false.
   *
   * It answers once the server has it. `message` is sent with the request, as in
   * `request_subscription`. A JID without an @ is a domain, such as a gateway's: if your users add
   * only people, check for the @.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, stanzaError,
   * requestTimedOut, internalError, limitExceeded
   */
  addContact(params: AddContactParams, options?: CallOptions): Promise<Contact>;

  /**
   * Change the name that we store for a contact, or their groups.
   *
   * Absent fields stay unchanged. It answers once the server has it.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, invalidJid,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  updateContact(params: UpdateContactParams, options?: CallOptions): Promise<Contact>;

  /**
   * Rename a group for all contacts in it.
   *
   * Servers know no groups, only contacts that name them: each is changed individually, a few at a
   * time, and keeps its other groups, including those that another device adds in the meantime. It
   * answers once the server has replied for each; it is an error only if nobody could be renamed,
   * and `notFound` if nobody is in the group. With thousands of contacts it takes a while, and ends
   * if nothing has been heard from the server for 30 seconds.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, notFound, invalidJid,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  renameGroup(params: RenameGroupParams, options?: CallOptions): Promise<GroupRenamed>;

  /**
   * Remove a contact from the roster; neither then sees the other's presence.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, invalidJid,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  removeContact(params: RemoveContactParams, options?: CallOptions): Promise<Done>;

  /**
   * Unanswered requests to see our presence, sorted by JID.
   *
   * No request is ever accepted automatically. `subscriptionRequested` and `subscriptionResolved`
   * report changes.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  listSubscriptionRequests(params?: ListSubscriptionRequestsParams, options?: CallOptions): Promise<SubscriptionRequest[]>;

  /**
   * Let somebody see our presence: now if they have asked, else as soon as they do.
   *
   * A server may add somebody who is approved in advance to the roster (RFC 6121 §3.4).
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  approveSubscription(params: ApproveSubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * Do not, or no longer, let somebody see our presence.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  denySubscription(params: DenySubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * Request somebody's presence.
   *
   * They see `message` with the request, if their server and program show it.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  requestSubscription(params: RequestSubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * Stop seeing somebody's presence, or withdraw the request.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  cancelSubscription(params: CancelSubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * The picture of a contact, or of our own JID, with its bytes.
   *
   * It comes from the cache if it is there; else it is first fetched, checked and saved. To show
   * pictures, the avatar's `url` is cheaper.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, notFound,
   * invalidJid, invalidMedia, stanzaError, requestTimedOut, storageFailed, internalError,
   * limitExceeded
   */
  loadAvatar(params: LoadAvatarParams, options?: CallOptions): Promise<LoadedAvatar>;

  /**
   * The profile of a contact, or of our own JID.
   *
   * It comes from the cache if it is there, unless `refresh` requests the server's.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, notFound,
   * invalidJid, requestTimedOut, storageFailed, internalError, limitExceeded
   */
  loadProfile(params: LoadProfileParams, options?: CallOptions): Promise<Profile>;

  /**
   * Publish our picture, for everybody who sees our presence.
   *
   * It is published as PNG, as large as the server accepts, and at most 512 pixels a side. It
   * answers once the server has it; `accountChanged` follows.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, invalidMedia,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  setAvatar(params: SetAvatarParams, options?: CallOptions): Promise<PublishedAvatar>;

  /**
   * Change our profile, for everybody who sees our presence.
   *
   * `profile` is a JSON Merge Patch (RFC 7396): absent fields stay as on the server, null removes a
   * field. Anything in the existing vCard that a profile cannot hold stays, and so do other
   * clients' parameters of unchanged values. Calls take turns. What another device publishes in the
   * meantime is not lost, unless it does so after the server's answer, based on an older state. It
   * answers once the server has it; `accountChanged` follows.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, stanzaError,
   * requestTimedOut, internalError, limitExceeded
   */
  setProfile(params: SetProfileParams, options?: CallOptions): Promise<Done>;

  /**
   * Set our own availability.
   *
   * It persists, and already applies to the first presence of the next login. It may be called
   * while offline.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, storageFailed,
   * internalError, limitExceeded
   */
  setPresence(params: SetPresenceParams, options?: CallOptions): Promise<Done>;

  /**
   * The events after `since`, for clients limited to HTTP: with `timeout` it is a long poll.
   *
   * @throws {ProsedError} invalidJid, cursorExpired, limitExceeded
   */
  getEvents(params?: GetEventsParams, options?: CallOptions): Promise<Events>;

  /**
   * The daemon's version, and the API that it speaks.
   *
   * @throws {ProsedError} limitExceeded
   */
  getVersion(params?: Record<string, never>, options?: CallOptions): Promise<Version>;

  /**
   * This description of the API: an OpenRPC document, generated from the code.
   *
   * @throws {ProsedError} limitExceeded
   */
  discover(params?: Record<string, never>, options?: CallOptions): Promise<Record<string, unknown>>;
}

/** The parameters of `login`. */
export interface LoginParams {
  /** The account: a bare JID. */
  jid: string;
  /**
   * Log in although the server offers less than it once did (`downgradeRefused`). Applies to this
   * login only; from then on, the server must offer at least what it offers now. Ask the server's
   * operator first.
   */
  acceptDowngrade?: boolean;
  /** The server's name or address. Absent: looked up in DNS. */
  host?: string;
  /** The password. Absent: the remembered secret is used. */
  password?: string;
  /** The server's port. Absent: looked up in DNS, else the default port. */
  port?: number;
  /** Store the secret, and log in again after a restart. */
  remember?: boolean;
  /** The resource part to request for our JID. Absent: prosed or the server chooses one. */
  resource?: string;
  /** How the connection is secured. It always is. */
  tls?: TlsMode;
}

/** The parameters of `logout`. */
export interface LogoutParams {
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /** Erase the account's cache and secret as well. */
  forget?: boolean;
}

/** The parameters of `reconnect`. */
export interface ReconnectParams {
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `getAccount`. */
export interface GetAccountParams {
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `loadRoster`. */
export interface LoadRosterParams {
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /**
   * Only contacts after this one: a bare JID, whether or not it is a contact. Absent: from the
   * first.
   */
  after?: string;
  /**
   * At most this many contacts; more than 4000 counts as 4000, which always fit. Absent: all that
   * remain.
   */
  limit?: number;
}

/** The parameters of `loadState`. */
export interface LoadStateParams {
  /** Only this account: a bare JID. Absent: all accounts. */
  account?: string;
  /**
   * At most this many contacts across all rosters; more than 4000 counts as 4000. For rosters with
   * `complete` false, continue with `load_roster`. Absent: all.
   */
  limit?: number;
}

/** The parameters of `getContact`. */
export interface GetContactParams {
  /** The contact: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `showContacts`. */
export interface ShowContactsParams {
  /**
   * The contacts on the screen, the most important first: at most 200 bare JIDs. Those that are not
   * contacts are ignored.
   */
  jids: string[];
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `setActivity`. */
export interface SetActivityParams {
  /** Whether somebody is looking. */
  active: boolean;
}

/** The parameters of `addContact`. */
export interface AddContactParams {
  /** The contact to add: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /** The groups to put them in: at most 100, of at most 1000 characters each. */
  groups?: string[];
  /** A message for them with that request, at most 1000 characters. */
  message?: string;
  /** The name to store for them, at most 1000 characters. */
  name?: string;
  /** Whether to request their presence as well. */
  subscribe?: boolean;
}

/** The parameters of `updateContact`. */
export interface UpdateContactParams {
  /** The contact to change: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /** All their groups: at most 100, of at most 1000 characters each. Absent: unchanged. */
  groups?: string[];
  /**
   * The name to store for them, at most 1000 characters; an empty one removes it. Absent:
   * unchanged.
   */
  name?: string;
}

/** The parameters of `renameGroup`. */
export interface RenameGroupParams {
  /** The group's current name. */
  group: string;
  /** The new name, at most 1000 characters. If that group exists, the two are merged. */
  name: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `removeContact`. */
export interface RemoveContactParams {
  /** The contact: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `listSubscriptionRequests`. */
export interface ListSubscriptionRequestsParams {
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `approveSubscription`. */
export interface ApproveSubscriptionParams {
  /** The contact: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `denySubscription`. */
export interface DenySubscriptionParams {
  /** The contact: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `requestSubscription`. */
export interface RequestSubscriptionParams {
  /** Whose presence to request: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /** A message for them, at most 1000 characters. Their program may or may not show it. */
  message?: string;
}

/** The parameters of `cancelSubscription`. */
export interface CancelSubscriptionParams {
  /** The contact: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `loadAvatar`. */
export interface LoadAvatarParams {
  /** The contact: a bare JID. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `loadProfile`. */
export interface LoadProfileParams {
  /** Whose profile: a bare JID, which may be our own. */
  jid: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /** Query the server again, even if the profile is known. */
  refresh?: boolean;
}

/** The parameters of `setAvatar`. */
export interface SetAvatarParams {
  /** A GIF, JPEG, PNG or WebP in base64. Empty: remove the picture. */
  data: string;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /** The image's media type. Optional: the bytes decide. */
  type?: string;
}

/** The parameters of `setProfile`. */
export interface SetProfileParams {
  /**
   * The changes: absent fields stay unchanged, null removes a field. A note has at most 4000
   * characters, any other text 1000, and a list 20 entries.
   */
  profile: ProfilePatch;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
}

/** The parameters of `setPresence`. */
export interface SetPresenceParams {
  /** The availability that contacts see. */
  availability: Availability;
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /**
   * The resource's priority (RFC 6121 §4.7.2.3). It must be negative for now: prosed stores no
   * messages yet, so the server must keep them. Absent: -1.
   */
  priority?: number;
  /** A status text for contacts, at most 4000 characters. Absent: none. */
  status?: string;
}

/** The parameters of `getEvents`. */
export interface GetEventsParams {
  /** Only events of this account: a bare JID. Absent: of all accounts. */
  account?: string;
  /** Only these events. Absent: all. */
  events?: EventName[];
  /** At most this many events, 1 to 1000; larger values count as 1000. Absent: 1000. */
  limit?: number;
  /**
   * The events after this `seq`. Absent: only future events, so without `timeout` the answer is
   * just the current position of the log.
   */
  since?: number;
  /**
   * If there is none yet, wait this long for one, in seconds; more than 60 counts as 60. Absent: 0.
   */
  timeout?: number;
}

/**
 * One XMPP account and the state of its session.
 *
 * In lists and events it takes at most 32 KiB of JSON, most of which only our own status can take.
 * `get_account` returns all devices, with their full texts.
 */
export interface Account {
  /** The account: its bare JID. */
  account: string;
  /**
   * As last set by `set_presence`: what contacts see while the account is `online`, and again when
   * it next is.
   */
  availability: Availability;
  /** Our own picture. */
  avatar?: Avatar;
  /** Why the session failed, or why the last attempt to connect did. */
  error?: ErrorObject;
  /** Our full JID, while the session is bound. */
  jid?: string;
  /** When the server was last heard from. */
  lastStanzaAt?: string;
  /** A summary of our own profile; `load_profile` returns all of it. */
  profile?: ProfileSummary;
  /** Whether prosed logs in automatically after a restart. */
  remembered: boolean;
  /** The resource part of our JID, as bound or requested. */
  resource?: string;
  /** How many other devices of ours are online, including those that `resources` leaves out. */
  resourceCount: number;
  /**
   * Our other devices that are online, best first: at most four in lists and events, all in
   * `get_account`.
   */
  resources: Resource[];
  /** When the next attempt to connect is due. */
  retryAt?: string;
  /**
   * Present, and true, if the server's roster has more than 20,000 contacts, or more than 16 MiB of
   * JIDs, names and groups: some contacts are left out.
   */
  rosterTruncated?: boolean;
  /** Where the account's secret is stored, if it is. */
  secretStore?: SecretStore;
  /** When this state began. */
  since: string;
  /** The state of the session. */
  state: ConnectionState;
  /** As last set by `set_presence`. */
  status?: string;
  /** Present, and true, if texts are shortened or devices left out to keep this small. */
  truncated?: boolean;
}

/** An account's session, presence or profile has changed, or the account is gone. */
export interface AccountChanged {
  /**
   * The account's new state, as in `list_accounts`. Absent if the account no longer exists: it was
   * forgotten, or its first login failed.
   */
  info?: Account;
  /** Present, and true, if the account was forgotten. */
  removed?: boolean;
}

/** One account with its roster and requests. */
export interface AccountState {
  /** The account, as in `list_accounts`. */
  info: Account;
  /**
   * Its roster. Absent if none is known yet: `contactChanged`, then `rosterLoaded` report it when
   * it arrives.
   */
  roster?: Roster;
  /** Unanswered requests to see our presence, sorted by JID. */
  subscriptionRequests: SubscriptionRequest[];
}

/** A postal address (RFC 6350 §6.3.1). */
export interface Address {
  /** The country. */
  country?: string;
  /** The town. */
  locality?: string;
  /** The postal code. */
  postalCode?: string;
  /** The region or state. */
  region?: string;
  /** Street and number. */
  street?: string;
}

/**
 * Changes to a postal address. Absent fields stay unchanged; null or an empty text removes the
 * field.
 */
export interface AddressPatch {
  /** The country. */
  country?: string | null;
  /** The town. */
  locality?: string | null;
  /** The postal code. */
  postalCode?: string | null;
  /** The region or state. */
  region?: string | null;
  /** Street and number. */
  street?: string | null;
}

/** Availability (RFC 6121 §4.7.2.1). */
export type Availability =
  /** Available. */
  | "available"
  /** Wants to talk. */
  | "chat"
  /** Away for a moment. */
  | "away"
  /** Away for longer. */
  | "xa"
  /** Does not want to be disturbed. */
  | "dnd"
  /** Unavailable. */
  | "unavailable"
  | (string & {});

/** A picture that prosed has fetched and verified. */
export interface Avatar {
  /** Its size, in bytes. */
  bytes: number;
  /** In pixels. */
  height: number;
  /** The SHA-1 of its bytes, in hexadecimal. Different pictures have different ids. */
  id: string;
  /** Its media type, as in `image/png`, according to its bytes and not to what was announced. */
  type: string;
  /**
   * Its path on this daemon, for use in `<img>`. With `?size=64` it is a square thumbnail of 64,
   * 128 or 256 pixels: other sizes are rounded up, larger ones count as 256. Smaller pictures are
   * not enlarged. The path survives restarts, and changes when the token is replaced.
   */
  url: string;
  /** In pixels. */
  width: number;
}

/** The program that a device runs (XEP-0030 §3.1). */
export interface ClientInfo {
  /** As in `client`. */
  category: string;
  /** As in `Prose`. */
  name?: string;
  /** As in `pc` or `phone`. */
  type: string;
}

/** The state of a session. */
export type ConnectionState =
  /** Connecting, or waiting for the next attempt (`retryAt`). */
  | "connecting"
  /** Authenticated and bound. */
  | "online"
  /** The connection is lost, and may resume without loss. */
  | "suspended"
  /** Down because a user asked for it. */
  | "offline"
  /** Down until a user acts; `error` says why. */
  | "failed"
  | (string & {});

/**
 * A roster item and what is known about its owner. Our own JID is never a contact.
 *
 * In rosters and events it is at most 4 KiB of JSON, whatever others send: only the best devices,
 * and shortened texts end in `…`. If anything is left out or shortened, `truncated` is true, and
 * `get_contact` returns the rest.
 */
export interface Contact {
  /** We approved in advance that they see our presence. */
  approved: boolean;
  /** We requested their presence, and have no answer yet. */
  ask: boolean;
  /**
   * That of the best resource: highest priority, then `chat`, `available`, `away`, `xa`, `dnd`,
   * then the newest.
   */
  availability: Availability;
  /** The picture. */
  avatar?: Avatar;
  /**
   * The groups that we put the contact in, sorted. If `truncated` is true, some may be left out:
   * read them from `get_contact` before you change them.
   */
  groups: string[];
  /** The contact: a bare JID. */
  jid: string;
  /**
   * While the contact is `unavailable`: when they were last known to be available. That is when
   * they left, or when the connection was lost, if that came first. It survives restarts; after a
   * crash it may be too old. Absent while they are available, and if it is unknown.
   */
  lastSeen?: string;
  /**
   * The name to show: the roster name, else the profile's nickname or full name, else the JID's
   * local part. It may be misleading: show `jid` where it matters, and see `warnings`.
   */
  name: string;
  /** A summary of their profile; `load_profile` returns all of it. */
  profile?: ProfileSummary;
  /** How many devices are online, including those that `resources` leaves out. */
  resourceCount: number;
  /**
   * The devices that are online, best first: at most four in rosters and events, all in
   * `get_contact`.
   */
  resources: Resource[];
  /** The name that we gave the contact. */
  rosterName?: string;
  /** The best resource's status text. */
  status?: string;
  /** Who sees whose presence. */
  subscription: Subscription;
  /**
   * Present, and true, if texts are shortened, or devices or groups left out, to keep this small.
   */
  truncated?: boolean;
  /** Signs that the JID or name may be designed to deceive. */
  warnings: Warning[];
}

/** Contacts were added, changed or removed. */
export interface ContactChanged {
  /** Those of `contacts` who were unavailable before and no longer are: bare JIDs. */
  cameOnline: string[];
  /**
   * The new state of those added or changed, as in a roster. One that looks the same as before has
   * changed in something that only `get_contact` or `load_profile` returns.
   */
  contacts: Contact[];
  /** All contacts concerned: at most 100 bare JIDs, sorted. */
  ids: string[];
  /**
   * Present, and true, if this is what a login found: contacts who were online before, or had left
   * while the account was away. Not worth a notification. It applies to the first presence of each
   * device until half a minute after our own, unless the contact has left since, and to any
   * presence that says it is older than our login. A contact who comes online within that time
   * looks the same. If several changes of a contact are reported together, one from the login is
   * enough.
   */
  initial?: boolean;
  /** Those that are no longer contacts: bare JIDs. */
  removed: string[];
}

/** Success, with no further result: an empty object. */
export type Done = Record<string, unknown>;

/** An error object, in answers and accounts. */
export interface ErrorObject {
  /** Unique for each kind. */
  code: number;
  /** For programs. */
  data: ErrorData;
  /** One plain sentence that says what to do. */
  message: string;
}

/** The details of an error for programs. */
export interface ErrorData {
  /** The account that it concerns: a bare JID. */
  account?: string;
  /** The XMPP condition, as in `item-not-found` (RFC 6120). */
  condition?: string;
  /** What went wrong. */
  kind: ErrorKind;
  /** `limitExceeded`: which limit. */
  limit?: string;
  /** `cursorExpired`: the `seq` of the oldest retained event. */
  oldest?: number;
  /** Wait this long before retrying, in milliseconds. */
  retryAfterMs?: number;
  /** Whether the same call may succeed later without any change. */
  retryable: boolean;
  /** `lagged`: the `seq` of the last event that was delivered. */
  seq?: number;
  /** What the server, the peer or the system said. Show it as plain text only. */
  text?: string;
  /** `limitExceeded`: the limit's value. */
  value?: number;
}

/** What went wrong, as an identifier for programs. Each has its own `code`. */
export type ErrorKind =
  /** The message is not JSON (JSON-RPC 2.0). */
  | "parseError"
  /**
   * The parameters are unknown, missing or of the wrong type; `message` lists those that exist
   * (JSON-RPC 2.0).
   */
  | "invalidParams"
  /** There is no such method; `message` lists those with similar names (JSON-RPC 2.0). */
  | "methodNotFound"
  /** It is JSON but not a request (JSON-RPC 2.0). */
  | "invalidRequest"
  /** The server refused the credentials. Final until there are new ones. */
  | "notAuthorized"
  /** No password was given, and none is remembered. */
  | "credentialsMissing"
  /** There is no such account here. */
  | "accountUnknown"
  /** There are several accounts, and none was named. */
  | "accountRequired"
  /** The server says that the account is disabled. */
  | "accountDisabled"
  /** DNS or TCP failed, or the server did not answer in time. */
  | "serverUnreachable"
  /** The certificate or the handshake is bad; `text` has the details. */
  | "tlsFailed"
  /** The server violated XMPP, or lied to us. */
  | "protocolViolation"
  /** Another client took our resource. */
  | "sessionReplaced"
  /** The call needs the server, and the session is down. */
  | "offline"
  /**
   * The server's offer is weaker than it once was, and nothing was sent to it; `text` says what is
   * missing.
   */
  | "downgradeRefused"
  /** There is no such contact in the roster. */
  | "contactUnknown"
  /** There is no such avatar, profile or group. */
  | "notFound"
  /** This is not a valid JID, or not one that the call can use; `text` says why. */
  | "invalidJid"
  /** Not an image that prosed accepts, too large, or not what it claims to be. */
  | "invalidMedia"
  /** The server or the peer answered with a stanza error; `condition` and `text` are theirs. */
  | "stanzaError"
  /** The server or the peer did not answer in time. */
  | "requestTimedOut"
  /**
   * `since` is older than the oldest retained event, which is `oldest`, or from before this start.
   */
  | "cursorExpired"
  /**
   * The subscriber was too slow, and its subscription has ended; `seq` is the last event it got.
   */
  | "lagged"
  /** A subscription was asked for over POST. */
  | "subscriptionNeedsWebSocket"
  /**
   * A limit was reached: `limit` names it, `value` is its value. `retryable` says whether it is
   * worth trying again. Some limits of a connection have their own codes.
   */
  | "limitExceeded"
  /** The disk is full or broken. Nothing was acknowledged. */
  | "storageFailed"
  /** A bug in prosed ended the account's session; other accounts are not affected. */
  | "internalError"
  | (string & {});

/** A change. */
export type ProsedEvent = {
  /** The account that it concerns: a bare JID. */
  account: string;
  /** Increases with each event of the whole daemon, never goes back, and stays below 2^53. */
  seq: number;
  /** When it happened. */
  time: string;
} & (
  /** Contacts were added, changed or removed. */
  | ContactChanged & { event: "contactChanged" }
  /** An account's session, presence or profile has changed, or the account is gone. */
  | AccountChanged & { event: "accountChanged" }
  /** The server's roster has been reconciled with the cached one. */
  | RosterLoaded & { event: "rosterLoaded" }
  /** A new request to see our presence. */
  | SubscriptionRequested & { event: "subscriptionRequested" }
  /**
   * A request is no longer open: answered here or on another device, withdrawn, or a stranger's
   * that gave way to newer ones.
   */
  | SubscriptionResolved & { event: "subscriptionResolved" }
);

/** The events' names. */
export type EventName =
  /** Contacts were added, changed or removed. */
  | "contactChanged"
  /** An account's session, presence or profile has changed, or the account is gone. */
  | "accountChanged"
  /** The server's roster has been reconciled with the cached one. */
  | "rosterLoaded"
  /** A new request to see our presence. */
  | "subscriptionRequested"
  /**
   * A request is no longer open: answered here or on another device, withdrawn, or a stranger's
   * that gave way to newer ones.
   */
  | "subscriptionResolved";

/** Events, for polling. */
export interface Events {
  /** In the order in which they happened. */
  events: ProsedEvent[];
  /** Continue with `since` set to this. It also counts events that were not requested. */
  seq: number;
}

/** The answer to `rename_group`. */
export interface GroupRenamed {
  /** Those contacts and the reasons, sorted by JID: at most 100 of them. */
  failed: MemberNotRenamed[];
  /** How many could not be changed, and are still in the old group. */
  failedCount: number;
  /** How many contacts were moved from the old group to the new one. */
  renamed: number;
}

/** A picture with its bytes. */
export interface LoadedAvatar {
  /** Its size, in bytes. */
  bytes: number;
  /** Its bytes, in base64. */
  data: string;
  /** In pixels. */
  height: number;
  /** The SHA-1 of its bytes, in hexadecimal. Different pictures have different ids. */
  id: string;
  /** Its media type, as in `image/png`, according to its bytes and not to what was announced. */
  type: string;
  /**
   * Its path on this daemon, for use in `<img>`. With `?size=64` it is a square thumbnail of 64,
   * 128 or 256 pixels: other sizes are rounded up, larger ones count as 256. Smaller pictures are
   * not enlarged. The path survives restarts, and changes when the token is replaced.
   */
  url: string;
  /** In pixels. */
  width: number;
}

/** A contact that `rename_group` could not change. */
export interface MemberNotRenamed {
  /** Why. */
  error: ErrorObject;
  /** The contact: a bare JID. */
  jid: string;
}

/** A profile, as its owner describes themselves: a vCard (RFC 6350). */
export interface Profile {
  /** The postal address. */
  address?: Address;
  /** The birthday, as the owner wrote it (RFC 6350 §6.2.5). */
  birthday?: string;
  /** E-mail addresses, in the owner's order. */
  emails: string[];
  /** The full name. */
  fullName?: string;
  /** The nickname. */
  nickname?: string;
  /** A note. */
  note?: string;
  /** The organization. */
  organization?: string;
  /** Telephone numbers, in the owner's order. */
  phones: string[];
  /** The function in the organization. */
  role?: string;
  /** The job title. */
  title?: string;
  /**
   * Web addresses, in the owner's order. A peer wrote them: check the scheme before you open one.
   */
  urls: string[];
}

/**
 * Changes to a profile. Absent fields stay unchanged; null, an empty text or an empty list removes
 * the field.
 */
export interface ProfilePatch {
  /** The postal address, changed in the same way. */
  address?: AddressPatch | null;
  /** The birthday (RFC 6350 §6.2.5). */
  birthday?: string | null;
  /** All e-mail addresses. */
  emails?: string[] | null;
  /** The full name. */
  fullName?: string | null;
  /** The nickname. */
  nickname?: string | null;
  /** A note. */
  note?: string | null;
  /** The organization. */
  organization?: string | null;
  /** All telephone numbers. */
  phones?: string[] | null;
  /** The function in the organization. */
  role?: string | null;
  /** The job title. */
  title?: string | null;
  /** All web addresses. */
  urls?: string[] | null;
}

/**
 * The part of a profile shown with contacts and accounts. In rosters, lists and events each text
 * has at most 256 characters.
 */
export interface ProfileSummary {
  /** The full name. */
  fullName?: string;
  /** The nickname. */
  nickname?: string;
  /** The organization. */
  organization?: string;
  /** The job title. */
  title?: string;
}

/** The answer to `set_avatar`. */
export interface PublishedAvatar {
  /** The id under which it is published. Absent if it was removed. */
  id?: string;
}

/** One connected device. */
export interface Resource {
  /** Never `unavailable`. */
  availability: Availability;
  /** Its program, if it says. */
  client?: ClientInfo;
  /** Its features (XEP-0030), sorted. Only from `get_contact`, once known. */
  features?: string[];
  /** Idle since (XEP-0319). */
  idleSince?: string;
  /** RFC 6121 §4.7.2.3. */
  priority: number;
  /** The resource part of its JID. Empty for the bare JID, which gateways use. */
  resource: string;
  /** When this presence began. */
  since: string;
  /** Its status text. */
  status?: string;
}

/** All contacts of an account. */
export interface Roster {
  /** The account: its bare JID. */
  account: string;
  /**
   * Whether this is the end of the roster. If not, continue with `load_roster` and `after` set to
   * the last contact's `jid`; if there is none, without `after`.
   */
  complete: boolean;
  /** The contacts, sorted by JID. */
  contacts: Contact[];
  /**
   * The last event that this answer includes: subscribe with `since` set to it, and nothing is
   * missed.
   */
  seq: number;
  /** Where this answer comes from. */
  source: RosterSource;
  /** The server's opaque version of the roster, if any. */
  version?: string;
}

/** The server's roster has been reconciled with the cached one. */
export interface RosterLoaded {
  /** How many contacts differ from the cached roster. */
  changed: number;
  /** The server's opaque version of the roster, if any. */
  version?: string;
}

/** Where a roster came from. */
export type RosterSource =
  /**
   * From the cache. The server's is being fetched: differences are reported by `contactChanged`.
   */
  | "cache"
  /** From the server. */
  | "server"
  | (string & {});

/** Where secrets are stored. */
export type SecretStore =
  /** The desktop's keyring. */
  | "secretService"
  /** Given to the daemon by systemd; read only. */
  | "systemdCredential"
  /** A file that only this user can read. */
  | "file"
  | (string & {});

/** The accounts with their rosters and requests, all at the same `seq`. */
export interface State {
  /** The accounts, sorted by JID. */
  accounts: AccountState[];
  /**
   * The last event that this answer includes: subscribe with `since` set to it, and nothing is
   * missed or repeated.
   */
  seq: number;
}

/** Who sees whose presence (RFC 6121 §2.1.2.5). */
export type Subscription =
  /** Nobody. */
  | "none"
  /** We see theirs. */
  | "to"
  /** They see ours. */
  | "from"
  /** We see each other's. */
  | "both"
  | (string & {});

/** A request to see our presence. */
export interface SubscriptionRequest {
  /** The sender: a bare JID, possibly a stranger's. */
  jid: string;
  /** Their message. */
  message?: string;
  /** Their nickname. It proves nothing. */
  nick?: string;
  /** When it first reached us. */
  receivedAt: string;
  /**
   * Signs that the JID or nickname may be designed to deceive. They are compared with contacts and
   * the account itself.
   */
  warnings: Warning[];
}

/** A request to see our presence: answer it with `approve_subscription` or `deny_subscription`. */
export interface SubscriptionRequested {
  /** The sender: a bare JID, possibly a stranger's. */
  jid: string;
  /** Their message, shortened to 256 characters; `list_subscription_requests` returns all of it. */
  message?: string;
  /** Their nickname, shortened to 256 characters. It proves nothing. */
  nick?: string;
  /** When it first reached us. */
  receivedAt: string;
  /**
   * Signs that the JID or nickname may be designed to deceive. They are compared with contacts and
   * the account itself.
   */
  warnings: Warning[];
}

/**
 * A request is no longer open: answered here or on another device, withdrawn, or a stranger's that
 * gave way to newer ones.
 */
export interface SubscriptionResolved {
  /** The sender: a bare JID. */
  jid: string;
}

/** How the connection to the server is secured. */
export type TlsMode =
  /**
   * According to the domain's DNS; without records, or if `host` or `port` is given: `starttls`.
   */
  | "auto"
  /** TLS from the first byte (XEP-0368). */
  | "direct"
  /** STARTTLS (RFC 6120). */
  | "starttls";

/** The daemon's version, and the API that it speaks. */
export interface Version {
  /** The oldest API version whose clients still work unchanged. */
  apiCompatible: number;
  /** The version of this API. It increases when something is added. */
  apiLevel: number;
  /** `prosed`. */
  name: string;
  /** The daemon's own version. */
  version: string;
}

/** A sign that a JID or name may be designed to deceive. */
export type Warning =
  /** One word mixes scripts that look alike, as Latin and Cyrillic do. */
  | "mixedScripts"
  /** It contains characters that change the direction of writing. */
  | "bidi"
  /** It contains invisible characters, or no visible ones. */
  | "invisible"
  /**
   * The JID or the name looks like another contact's JID or name, or like the account's own JID,
   * but differs from it. No program can tell which of the two is genuine: both are marked. Equal
   * names are not.
   */
  | "lookAlike"
  /** The name looks like a JID, but not the contact's own. */
  | "nameIsJid"
  | (string & {});
