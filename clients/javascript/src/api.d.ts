// Generated from protocol/openrpc.json by generate.js: don't edit.

import type { CallOptions } from "./prosed.js";

/** The methods of the API, by the names that JavaScript gives them. */
export interface Methods {
  /**
   * Log an account in, and keep one session with its server, however many UIs there are.
   *
   * It answers once the account is authenticated and bound and its initial presence is sent; the
   * rest of the start-up goes on behind it. Where the account has a live session already, that
   * session answers, and the password is not read; one that is `suspended` or waits for its next
   * attempt is hurried as by `reconnect`, and answers once it is online. An error that time alone
   * does not mend comes at once. With the network down it fails with `serverUnreachable` after 30
   * seconds. In both cases a remembered account goes on trying behind that, and no other does.
   * `logout` ends a login that is still running, with `offline`.
   *
   * @throws {ProsedError} notAuthorized, credentialsMissing, accountDisabled, serverUnreachable,
   * tlsFailed, protocolViolation, sessionReplaced, downgradeRefused, offline, invalidJid,
   * internalError, limitExceeded
   */
  login(params: LoginParams, options?: CallOptions): Promise<Account>;

  /**
   * End an account's session; contacts see us go.
   *
   * Cache and secret are kept, and the account stays out until the next `login`, restarts included.
   * Calls that wait for its server fail with `offline`. `forget` also erases cache and secret.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, invalidJid, storageFailed,
   * internalError, limitExceeded
   */
  logout(params?: LogoutParams, options?: CallOptions): Promise<Done>;

  /**
   * Connect now, instead of at `retryAt`; or find out whether the connection still lives.
   *
   * It answers at once, and `accountChanged` tells what comes of it. There is one attempt a second
   * and eight a minute at most, however often it is said: beyond that the next one waits its turn.
   * An online account whose server gives no sign of life within 14 seconds becomes `suspended` and
   * reconnects. An account that is logged out, or whose error is final, answers `offline`: log in
   * instead.
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
   * One account and how its session stands, with all of our other devices and their whole texts.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  getAccount(params?: GetAccountParams, options?: CallOptions): Promise<Account>;

  /**
   * All contacts of an account.
   *
   * From the cache at once where there is one, offline included, while the server's roster is
   * fetched behind it: differences come as `contactChanged`, then `rosterLoaded`. Without a cache
   * it waits for the server. Subscribe with `since` set to the answer's `seq`, and nothing is lost.
   *
   * An answer has 16 MiB at most, which all but the largest rosters fit in. Beyond that it is an
   * error with `limitExceeded`, and the roster comes in pages: say `limit`, then `after` as well,
   * until `complete` is true, and subscribe with the first page's `seq`.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, stanzaError,
   * requestTimedOut, internalError, limitExceeded
   */
  loadRoster(params?: LoadRosterParams, options?: CallOptions): Promise<Roster>;

  /**
   * All that a UI shows at first, in one answer: accounts, contacts and subscription requests.
   *
   * Everything in it is as it was at its `seq`: subscribe with `since` set to that, and nothing is
   * missed and nothing comes twice. It waits for no server. Where it has more than the 16 MiB of an
   * answer, it is an error with `limitExceeded`: say `limit`, and load the rest of the rosters in
   * pages with `load_roster`.
   *
   * @throws {ProsedError} accountUnknown, invalidJid, cursorExpired, limitExceeded
   */
  loadState(params?: LoadStateParams, options?: CallOptions): Promise<State>;

  /**
   * One contact with all of its devices and groups, whole texts, and the devices' features.
   *
   * Rosters and events have at most 4 KiB of a contact; `truncated` says where there is more.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, invalidJid,
   * internalError, limitExceeded
   */
  getContact(params: GetContactParams, options?: CallOptions): Promise<Contact>;

  /**
   * Say which contacts are on the screen, so that their pictures and profiles are fetched first.
   *
   * Whatever a contact's server does not push, prosed requests: from a few contacts a minute, and
   * more slowly from those of one domain. Contacts that a UI shows are queried at once, up to a
   * screenful per domain and then one a second. Call it when somebody comes into view; there is no
   * need to say who leaves it. Nobody is asked the same thing twice a day, so repeating it does no
   * harm. `get_contact`, `load_avatar` and `load_profile` count as showing. It answers at once, and
   * `contactChanged` tells what comes of it.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  showContacts(params: ShowContactsParams, options?: CallOptions): Promise<Done>;

  /**
   * Put somebody into the roster, and ask to see their presence unless `subscribe` is false.
   *
   * It answers once the server has it. `message` goes with the request for their presence, as in
   * `request_subscription`.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, stanzaError,
   * requestTimedOut, internalError, limitExceeded
   */
  addContact(params: AddContactParams, options?: CallOptions): Promise<Contact>;

  /**
   * Change the name that we keep for a contact, or their groups.
   *
   * What is left out stays as it is. It answers once the server has it.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, invalidJid,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  updateContact(params: UpdateContactParams, options?: CallOptions): Promise<Contact>;

  /**
   * Rename a group for all contacts in it.
   *
   * Servers know no groups, only contacts that name them: each is changed by itself, a few at a
   * time, and keeps the other groups, also those that another device adds meanwhile. It answers
   * once the server has said what became of each; it is an error only where nobody could be
   * renamed. With thousands of contacts it takes a while, and ends once nothing has been heard of
   * the server for 30 seconds.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, notFound, invalidJid,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  renameGroup(params: RenameGroupParams, options?: CallOptions): Promise<GroupRenamed>;

  /**
   * Take a contact out of the roster; neither sees the other's presence then.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, invalidJid,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  removeContact(params: RemoveContactParams, options?: CallOptions): Promise<Done>;

  /**
   * Who wants to see our presence and has no answer yet, sorted by JID.
   *
   * Nobody is ever accepted by itself. `subscriptionRequested` and `subscriptionResolved` tell of
   * changes.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  listSubscriptionRequests(params?: ListSubscriptionRequestsParams, options?: CallOptions): Promise<SubscriptionRequest[]>;

  /**
   * Let somebody see our presence: now where they have asked, else as soon as they do.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  approveSubscription(params: ApproveSubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * Don't let somebody see our presence, or no longer.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  denySubscription(params: DenySubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * Ask to see somebody's presence.
   *
   * They see `message` with the request, where their server and program show it.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  requestSubscription(params: RequestSubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * See somebody's presence no longer, or take the request back.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, internalError,
   * limitExceeded
   */
  cancelSubscription(params: CancelSubscriptionParams, options?: CallOptions): Promise<Done>;

  /**
   * The picture of a contact, or of our own JID, with its bytes.
   *
   * From the cache where it is there; else it is fetched, checked and saved first. To show
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
   * From the cache where it is there, unless `refresh` asks for the server's.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, contactUnknown, notFound,
   * invalidJid, requestTimedOut, internalError, limitExceeded
   */
  loadProfile(params: LoadProfileParams, options?: CallOptions): Promise<Profile>;

  /**
   * Publish our picture, for everybody who sees our presence.
   *
   * It is published as PNG, as large as the server takes it, and at most 512 pixels a side. It
   * answers once the server has it; `accountChanged` follows.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, invalidMedia,
   * stanzaError, requestTimedOut, internalError, limitExceeded
   */
  setAvatar(params: SetAvatarParams, options?: CallOptions): Promise<PublishedAvatar>;

  /**
   * Change our profile, for everybody who sees our presence.
   *
   * `profile` is a JSON Merge Patch (RFC 7396): what is left out stays as the server has it, null
   * takes away. What a profile can't hold of the vCard that is there, and what other clients say of
   * values that don't change, stays. Calls take turns. What another device publishes meanwhile is
   * not lost, unless it does so after the server's answer, from what it knew before. It answers
   * once the server has it; `accountChanged` follows.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, stanzaError,
   * requestTimedOut, internalError, limitExceeded
   */
  setProfile(params: SetProfileParams, options?: CallOptions): Promise<Done>;

  /**
   * Say how we are there.
   *
   * It persists, and shapes the very first presence of the next login. It is fine to say it while
   * offline.
   *
   * @throws {ProsedError} accountUnknown, accountRequired, offline, invalidJid, storageFailed,
   * internalError, limitExceeded
   */
  setPresence(params: SetPresenceParams, options?: CallOptions): Promise<Done>;

  /**
   * The events after `since`, for those who only have HTTP: with `timeout` it is a long poll.
   *
   * @throws {ProsedError} invalidJid, cursorExpired, limitExceeded
   */
  getEvents(params?: GetEventsParams, options?: CallOptions): Promise<Events>;

  /**
   * Which daemon this is, and which API it speaks.
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
   * Log in although the server offers less than it once did (`downgradeRefused`). It holds for this
   * login only; what the server offers then is what it is held to afterwards. Ask the server's
   * operator first.
   */
  acceptDowngrade?: boolean;
  /** The server's name or address. Absent: found in DNS. */
  host?: string;
  /** Absent: the remembered secret is used. */
  password?: string;
  /** The server's port. Absent: found in DNS, else the usual one. */
  port?: number;
  /** Keep the secret, and log in again after a restart. */
  remember?: boolean;
  /** The wished resource part of our JID. Absent: prosed or the server picks one. */
  resource?: string;
  /** How the connection is secured. It always is. */
  tls?: TlsMode;
}

/** The parameters of `logout`. */
export interface LogoutParams {
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /** Erase the account's cache and secret as well. */
  forget?: boolean;
}

/** The parameters of `reconnect`. */
export interface ReconnectParams {
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `getAccount`. */
export interface GetAccountParams {
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `loadRoster`. */
export interface LoadRosterParams {
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /**
   * Only contacts behind this one: a bare JID, whether it is a contact or not. Absent: from the
   * first.
   */
  after?: string;
  /**
   * At most so many contacts; more than 4000 counts as 4000, which always fit. Absent: all that are
   * left.
   */
  limit?: number;
}

/** The parameters of `loadState`. */
export interface LoadStateParams {
  /** Only this account: a bare JID. Absent: all accounts. */
  account?: string;
  /**
   * At most so many contacts, of all rosters together; more than 4000 counts as 4000. Rosters with
   * `complete` false go on with `load_roster`. Absent: all.
   */
  limit?: number;
}

/** The parameters of `getContact`. */
export interface GetContactParams {
  /** Who is meant: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `showContacts`. */
export interface ShowContactsParams {
  /**
   * Who is on the screen, the most important first: at most 200 bare JIDs. Those that are no
   * contacts are ignored.
   */
  jids: string[];
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `addContact`. */
export interface AddContactParams {
  /** Who is added: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /** The groups to put them in: at most 100, of at most 1000 characters each. */
  groups?: string[];
  /** What to say to them with that, in at most 1000 characters. */
  message?: string;
  /** The name to keep for them, of at most 1000 characters. */
  name?: string;
  /** Whether to ask to see their presence, too. */
  subscribe?: boolean;
}

/** The parameters of `updateContact`. */
export interface UpdateContactParams {
  /** Whose name or groups change: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /** All of their groups: at most 100, of at most 1000 characters each. Absent: unchanged. */
  groups?: string[];
  /**
   * The name to keep for them, of at most 1000 characters; an empty one takes it away. Absent:
   * unchanged.
   */
  name?: string;
}

/** The parameters of `renameGroup`. */
export interface RenameGroupParams {
  /** The group as it is called now. */
  group: string;
  /**
   * What to call it, in at most 1000 characters. Where there is such a group, the two become one.
   */
  name: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `removeContact`. */
export interface RemoveContactParams {
  /** Who is meant: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `listSubscriptionRequests`. */
export interface ListSubscriptionRequestsParams {
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `approveSubscription`. */
export interface ApproveSubscriptionParams {
  /** Who is meant: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `denySubscription`. */
export interface DenySubscriptionParams {
  /** Who is meant: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `requestSubscription`. */
export interface RequestSubscriptionParams {
  /** Who is asked: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /** What to say to them with it, in at most 1000 characters. Their program may show it, or not. */
  message?: string;
}

/** The parameters of `cancelSubscription`. */
export interface CancelSubscriptionParams {
  /** Who is meant: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `loadAvatar`. */
export interface LoadAvatarParams {
  /** Who is meant: a bare JID. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `loadProfile`. */
export interface LoadProfileParams {
  /** Who is meant: a bare JID, our own included. */
  jid: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /** Ask the server anew, even where the profile is known. */
  refresh?: boolean;
}

/** The parameters of `setAvatar`. */
export interface SetAvatarParams {
  /** A GIF, JPEG, PNG or WebP in base64. Empty: the picture is taken away. */
  data: string;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /** The image's media type. What the bytes are decides; it may be left out. */
  type?: string;
}

/** The parameters of `setProfile`. */
export interface SetProfileParams {
  /**
   * What to change: what is left out of it stays as it is, null takes away. A note has at most 4000
   * characters, any other text 1000, and a list 20 entries.
   */
  profile: ProfilePatch;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
}

/** The parameters of `setPresence`. */
export interface SetPresenceParams {
  /** What contacts shall see. */
  availability: Availability;
  /** The account: a bare JID. It may be left out where there is only one. */
  account?: string;
  /**
   * The resource's priority (RFC 6121 §4.7.2.3). It must be negative for now: prosed keeps no
   * messages yet, so the server must go on keeping them. Absent: -1.
   */
  priority?: number;
  /** A sentence for contacts, of at most 4000 characters. Absent: none. */
  status?: string;
}

/** The parameters of `getEvents`. */
export interface GetEventsParams {
  /** Only this account's: a bare JID. Absent: all accounts'. */
  account?: string;
  /** Only these events. Absent: all. */
  events?: EventName[];
  /** At most so many events, 1 to 1000; larger values count as 1000. Absent: 1000. */
  limit?: number;
  /**
   * The events after this `seq`. Absent: only what comes from now on, so that without `timeout` the
   * answer says where the log stands.
   */
  since?: number;
  /**
   * Where there is none yet, wait so long for one, in seconds; more than 60 counts as 60. Absent:
   * 0.
   */
  timeout?: number;
}

/**
 * One XMPP account and how its session stands.
 *
 * In lists and events it stays small, as a contact does: at most 32 KiB of JSON, most of which only
 * our own status can take. `get_account` has all devices, with their whole texts.
 */
export interface Account {
  /** The account: its bare JID. */
  account: string;
  /**
   * What `set_presence` said last: what contacts are shown while the account is `online`, and again
   * once it is.
   */
  availability: Availability;
  /** Our own picture. */
  avatar?: Avatar;
  /** Why the session failed, or why the last attempt to connect did. */
  error?: ErrorObject;
  /** Our full JID, while the session is bound. */
  jid?: string;
  /** When the server was last heard of. */
  lastStanzaAt?: string;
  /** Who we say we are; `load_profile` has the whole profile. */
  profile?: ProfileSummary;
  /** Whether prosed logs in again by itself after a restart. */
  remembered: boolean;
  /** The resource part of our JID, as bound or as asked for. */
  resource?: string;
  /** How many other devices of ours are online, those that `resources` leaves out included. */
  resourceCount: number;
  /**
   * Our other devices that are online, best first: at most four in lists and events, all in
   * `get_account`.
   */
  resources: Resource[];
  /** When the next attempt to connect is due. */
  retryAt?: string;
  /**
   * Present, and true, where the server's roster has more than 20,000 contacts, or more than 16 MiB
   * of JIDs, names and groups: some contacts are left out.
   */
  rosterTruncated?: boolean;
  /** Where the account's secret is kept; absent where none is. */
  secretStore?: SecretStore;
  /** Since when it stands so. */
  since: string;
  /** How the session stands. */
  state: ConnectionState;
  /** What `set_presence` said last. */
  status?: string;
  /** Present, and true, where texts are cut or devices left out to keep this small. */
  truncated?: boolean;
}

/** An account's session or our own side of it has changed, or the account is gone. */
export interface AccountChanged {
  /**
   * The account's new state, as in `list_accounts`. Absent where there is no such account any more:
   * it was forgotten, or its first login has failed.
   */
  info?: Account;
  /** Present, and true, where the account was forgotten. */
  removed?: boolean;
}

/** One account with its roster and requests. */
export interface AccountState {
  /** The account, as in `list_accounts`. */
  info: Account;
  /**
   * Its roster. Absent where none is known yet: `contactChanged`, then `rosterLoaded` tell when it
   * comes.
   */
  roster?: Roster;
  /** Who wants to see our presence and has no answer yet, sorted by JID. */
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
 * What to change of a postal address. What is left out stays as it is; null or an empty text takes
 * away.
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

/** How somebody is there (RFC 6121 §4.7.2.1). */
export type Availability =
  /** Is there. */
  | "available"
  /** Wants to talk. */
  | "chat"
  /** Away for a moment. */
  | "away"
  /** Away for longer. */
  | "xa"
  /** Does not want to be disturbed. */
  | "dnd"
  /** Is not there. */
  | "unavailable"
  | (string & {});

/** A picture that prosed has fetched and verified. */
export interface Avatar {
  /** Its size, in bytes. */
  bytes: number;
  /** In pixels. */
  height: number;
  /** The SHA-1 of its bytes, in hexadecimal digits. Another picture has another id. */
  id: string;
  /** Its media type, as in `image/png`, by its bytes and not by what was announced. */
  type: string;
  /**
   * Its path on this daemon, good for `<img>`. With `?size=64` it is a small and square one, of 64,
   * 128 or 256 pixels, whichever is next. It stays the same over restarts, and changes when the
   * token is replaced.
   */
  url: string;
  /** In pixels. */
  width: number;
}

/** Which program a device runs (XEP-0030 §3.1). */
export interface ClientInfo {
  /** As in `client`. */
  category: string;
  /** As in `Prose`. */
  name?: string;
  /** As in `pc` or `phone`. */
  type: string;
}

/** How a session stands. */
export type ConnectionState =
  /** On the way, or waiting for the next attempt (`retryAt`). */
  | "connecting"
  /** Authenticated and bound. */
  | "online"
  /** The connection is lost, and may come back with nothing lost. */
  | "suspended"
  /** Down because somebody wanted it so. */
  | "offline"
  /** Down for good until somebody acts; `error` says why. */
  | "failed"
  | (string & {});

/**
 * A roster item and what is known of its owner. Our own JID never is one.
 *
 * In rosters and events it is at most 4 KiB of JSON, whatever others send: the best devices only,
 * and texts that are cut end in `…`. Where anything is left out or cut, `truncated` is true, and
 * `get_contact` has the rest.
 */
export interface Contact {
  /** We approved in advance that they see our presence. */
  approved: boolean;
  /** We asked for their presence, and have no answer yet. */
  ask: boolean;
  /**
   * The best resource's: of the highest priority, then `chat`, `available`, `away`, `xa`, `dnd`,
   * then the newest.
   */
  availability: Availability;
  /** The picture. */
  avatar?: Avatar;
  /**
   * The groups that we put the contact in, sorted. Where `truncated` is true, some may be left out:
   * take them from `get_contact` before you change them.
   */
  groups: string[];
  /** Who it is: a bare JID. */
  jid: string;
  /**
   * While the contact is away: when they were last known to be there. That is when they left, or
   * when the connection was lost, if that came first. It survives restarts; after a crash it may be
   * too old. Absent while they are available, and where it is unknown.
   */
  lastSeen?: string;
  /**
   * What to show: the roster name, else the profile's nickname or full name, else the JID's local
   * part. It may deceive: show `jid` where it matters, and see `warnings`.
   */
  name: string;
  /** Who they say they are; `load_profile` has the whole profile. */
  profile?: ProfileSummary;
  /** How many devices are online, those that `resources` leaves out included. */
  resourceCount: number;
  /**
   * The devices that are online, best first: at most four in rosters and events, all in
   * `get_contact`.
   */
  resources: Resource[];
  /** The name that we gave the contact. */
  rosterName?: string;
  /** The best resource's sentence. */
  status?: string;
  /** Who sees whose presence. */
  subscription: Subscription;
  /** Present, and true, where texts are cut, or devices or groups left out, to keep this small. */
  truncated?: boolean;
  /** Signs of a JID or name that was made to deceive. */
  warnings: Warning[];
}

/** Contacts are new, changed or gone. */
export interface ContactChanged {
  /** Those of `contacts` who were unavailable before and are not now: bare JIDs. */
  cameOnline: string[];
  /**
   * Those that are new or changed: their new state, as in a roster. One that looks the same as
   * before has changed in what only `get_contact` or `load_profile` show.
   */
  contacts: Contact[];
  /** All contacts concerned: at most 100 bare JIDs, sorted. */
  ids: string[];
  /**
   * Present, and true, where this is what a login has found: contacts who were online before, or
   * had left while the account was away. Nothing to disturb anybody for. It holds for the first
   * presence of each device until half a minute after our own, unless the contact has left since,
   * and for any that says it is older than our login. Who comes online within that time looks the
   * same. Where a contact's changes are told together, one of the login's is enough.
   */
  initial?: boolean;
  /** Those that are contacts no more: bare JIDs. */
  removed: string[];
}

/** It is done. There is nothing more to say: an empty object. */
export type Done = Record<string, unknown>;

/** An error object, as calls answer with and as an account carries. */
export interface ErrorObject {
  /** Unique for each kind. */
  code: number;
  /** For programs. */
  data: ErrorData;
  /** One plain sentence that says what to do. */
  message: string;
}

/** What programs need to know of an error. */
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
  /** Wait this long before trying again, in milliseconds. */
  retryAfterMs?: number;
  /** Whether the same call may succeed later, with nothing changed by anybody. */
  retryable: boolean;
  /** `lagged`: the `seq` of the last event that was delivered. */
  seq?: number;
  /** What the server, the peer or the system said. Show it as plain text only. */
  text?: string;
  /** `limitExceeded`: the limit's value. */
  value?: number;
}

/** What went wrong, as a word for programs. Each has a `code` of its own. */
export type ErrorKind =
  /** The message is no JSON (JSON-RPC 2.0). */
  | "parseError"
  /**
   * The parameters are unknown, missing or of the wrong type; `message` names those that exist
   * (JSON-RPC 2.0).
   */
  | "invalidParams"
  /** There is no such method; `message` names those with similar names (JSON-RPC 2.0). */
  | "methodNotFound"
  /** It is JSON but no request (JSON-RPC 2.0). */
  | "invalidRequest"
  /** The server refused the credentials. Final until new ones come. */
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
  /** The certificate or the handshake is bad; `text` says which. */
  | "tlsFailed"
  /** The server broke XMPP, or lied to us. */
  | "protocolViolation"
  /** Another client took our resource. */
  | "sessionReplaced"
  /** The call needs the server, and the session is down. */
  | "offline"
  /**
   * The server offers less for a login than it once did, and nothing was said to it; `text` says
   * what is missing.
   */
  | "downgradeRefused"
  /** There is no such contact in the roster. */
  | "contactUnknown"
  /** There is no avatar, profile or message there. */
  | "notFound"
  /** The JID is not one. */
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
   * A bound was reached: `limit` names it, `value` is its value. Some limits of a connection have
   * codes of their own.
   */
  | "limitExceeded"
  /** The disk is full or broken. Nothing was acknowledged. */
  | "storageFailed"
  /** A bug in prosed brought the account's session down; the other accounts go on. */
  | "internalError"
  | (string & {});

/** Something has changed. */
export type ProsedEvent = {
  /** The account that it concerns: a bare JID. */
  account: string;
  /** Grows with each event of the whole daemon, never goes back, and stays below 2^53. */
  seq: number;
  /** When it happened. */
  time: string;
} & (
  /** Contacts are new, changed or gone. */
  | ContactChanged & { event: "contactChanged" }
  /** An account's session or our own side of it has changed, or the account is gone. */
  | AccountChanged & { event: "accountChanged" }
  /** The server's roster has been reconciled with the cached one. */
  | RosterLoaded & { event: "rosterLoaded" }
  /** Somebody wants to see our presence. */
  | SubscriptionRequested & { event: "subscriptionRequested" }
  /**
   * A request is open no more: answered here or on another device, taken back, or a stranger's that
   * had to make room for newer ones.
   */
  | SubscriptionResolved & { event: "subscriptionResolved" }
);

/** The events' names. */
export type EventName =
  /** Contacts are new, changed or gone. */
  | "contactChanged"
  /** An account's session or our own side of it has changed, or the account is gone. */
  | "accountChanged"
  /** The server's roster has been reconciled with the cached one. */
  | "rosterLoaded"
  /** Somebody wants to see our presence. */
  | "subscriptionRequested"
  /**
   * A request is open no more: answered here or on another device, taken back, or a stranger's that
   * had to make room for newer ones.
   */
  | "subscriptionResolved";

/** Events, for those who poll. */
export interface Events {
  /** In the order in which they happened. */
  events: ProsedEvent[];
  /** Ask on with `since` set to this. It counts events that were not asked for as well. */
  seq: number;
}

/** What `rename_group` answers. */
export interface GroupRenamed {
  /** Who they are and why, sorted by JID: at most 100 of them. */
  failed: MemberNotRenamed[];
  /** How many could not be changed, and are still in the old group. */
  failedCount: number;
  /** How many contacts are in the new group now instead of the old one. */
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
  /** The SHA-1 of its bytes, in hexadecimal digits. Another picture has another id. */
  id: string;
  /** Its media type, as in `image/png`, by its bytes and not by what was announced. */
  type: string;
  /**
   * Its path on this daemon, good for `<img>`. With `?size=64` it is a small and square one, of 64,
   * 128 or 256 pixels, whichever is next. It stays the same over restarts, and changes when the
   * token is replaced.
   */
  url: string;
  /** In pixels. */
  width: number;
}

/** A contact that `rename_group` could not change. */
export interface MemberNotRenamed {
  /** Why. */
  error: ErrorObject;
  /** Who it is: a bare JID. */
  jid: string;
}

/** Who somebody says to be: a vCard (RFC 6350). */
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
 * What to change of a profile. What is left out stays as it is; null, an empty text or an empty
 * list takes away.
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
 * What contacts and accounts show of a profile. In rosters, lists and events each text has at most
 * 256 characters.
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

/** What `set_avatar` answers. */
export interface PublishedAvatar {
  /** The id that it is published under. Absent where it was taken away. */
  id?: string;
}

/** One connected device of somebody. */
export interface Resource {
  /** Never `unavailable`. */
  availability: Availability;
  /** Which program it is, where it says. */
  client?: ClientInfo;
  /** What it supports (XEP-0030), sorted. From `get_contact` only, and once known. */
  features?: string[];
  /** Untouched since (XEP-0319). */
  idleSince?: string;
  /** RFC 6121 §4.7.2.3. */
  priority: number;
  /** The resource part of its JID. Empty for the bare JID, from which gateways speak. */
  resource: string;
  /** Since when it is so. */
  since: string;
  /** A sentence for us. */
  status?: string;
}

/** All contacts of an account. */
export interface Roster {
  /** The account: its bare JID. */
  account: string;
  /**
   * Whether these are the last ones. If not, go on with `load_roster` and `after` set to the last
   * one's `jid`; where there is none, without `after`.
   */
  complete: boolean;
  /** The contacts, sorted by JID. */
  contacts: Contact[];
  /**
   * The last event that this answer includes: subscribe with `since` set to it, and nothing is
   * lost.
   */
  seq: number;
  /** Where this answer came from. */
  source: RosterSource;
  /** The server's opaque version of the roster, where it has any. */
  version?: string;
}

/** The server's roster has been reconciled with the cached one. */
export interface RosterLoaded {
  /** How many contacts differ from the cached roster. */
  changed: number;
  /** The server's opaque version of the roster, where it has any. */
  version?: string;
}

/** Where a roster came from. */
export type RosterSource =
  /** From the cache. The server's is fetched behind it: differences come as `contactChanged`. */
  | "cache"
  /** As the server has it. */
  | "server"
  | (string & {});

/** Where secrets are kept. */
export type SecretStore =
  /** The desktop's keyring. */
  | "secretService"
  /** Given to the daemon by systemd; read only. */
  | "systemdCredential"
  /** A file that only this user can read. */
  | "file"
  | (string & {});

/** The accounts with their rosters and requests, all as they were at one `seq`. */
export interface State {
  /** The accounts, sorted by JID. */
  accounts: AccountState[];
  /**
   * The last event that this answer includes: subscribe with `since` set to it, and nothing is
   * missed and nothing comes twice.
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

/** Somebody wants to see our presence. */
export interface SubscriptionRequest {
  /** Who asks: a bare JID. They may be a stranger. */
  jid: string;
  /** What they say with it. */
  message?: string;
  /** What they call themselves. It proves nothing. */
  nick?: string;
  /** When it was first heard of. */
  receivedAt: string;
  /**
   * Signs of a JID or name that was made to deceive. It is compared with contacts and the account
   * itself.
   */
  warnings: Warning[];
}

/** Somebody wants to see our presence: `approve_subscription` and `deny_subscription` answer. */
export interface SubscriptionRequested {
  /** Who asks: a bare JID. They may be a stranger. */
  jid: string;
  /** What they say with it, cut at 256 characters; `list_subscription_requests` has it all. */
  message?: string;
  /** What they call themselves, cut at 256 characters. It proves nothing. */
  nick?: string;
  /** When it was first heard of. */
  receivedAt: string;
  /**
   * Signs of a JID or name that was made to deceive. It is compared with contacts and the account
   * itself.
   */
  warnings: Warning[];
}

/**
 * A request is open no more: answered here or on another device, taken back, or a stranger's that
 * had to make room for newer ones.
 */
export interface SubscriptionResolved {
  /** Who had asked: a bare JID. */
  jid: string;
}

/** How the connection to the server is secured. */
export type TlsMode =
  /** What the domain's DNS says; else both are tried. */
  | "auto"
  /** TLS from the first byte (XEP-0368). */
  | "direct"
  /** TLS after a plain greeting (RFC 6120). */
  | "starttls";

/** Which daemon this is, and which API it speaks. */
export interface Version {
  /** The oldest API version whose clients still work unchanged. */
  apiCompatible: number;
  /** The version of this API. It grows when something is added. */
  apiLevel: number;
  /** `prosed`. */
  name: string;
  /** The daemon's own version. */
  version: string;
}

/** A sign of a JID or name that was made to deceive. */
export type Warning =
  /** One word mixes scripts that look alike, as Latin and Cyrillic do. */
  | "mixedScripts"
  /** It holds characters that turn the direction of writing. */
  | "bidi"
  /** It holds characters that can't be seen, or nothing that can. */
  | "invisible"
  /**
   * The JID or the name looks like another contact's JID or name, or like the account's own JID,
   * and is another. Which of the two is the genuine one, no program can tell: both are marked.
   * Equal names are not.
   */
  | "lookAlike"
  /** The name looks like a JID, and is not the contact's own. */
  | "nameIsJid"
  | (string & {});
