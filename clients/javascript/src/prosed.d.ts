import type {
  Avatar,
  Contact,
  ErrorData,
  ErrorKind,
  EventName,
  Methods,
  ProsedEvent,
} from "./api.js";

export type * from "./api.js";

/**
 * Connects to the daemon.
 *
 * In Node it finds the daemon by itself: its Unix socket if the package `ws` is installed, otherwise its port and token.
 * In a page it takes the token from the page's address (`#token=…`), and keeps one that works for as long as the tab is
 * open.
 *
 * It reconnects whenever the connection is lost, until `close` is called.
 *
 * @throws {ProsedError} unreachable, unauthorized, tokenMissing; in a page also insecurePage, in Node webSocketMissing
 */
export function connect(options?: ConnectOptions): Promise<Prosed>;

export interface ConnectOptions {
  /** The daemon's WebSocket. Absent: found in Node, `ws://127.0.0.1:5299/rpc` in a page. */
  url?: string;
  /** The daemon's token. */
  token?: string;
  /** Node only: where `endpoint.json` is, if it is in an unusual place. */
  runtimeDir?: string;
  /** Gives up connecting. Has no effect once connected. */
  signal?: AbortSignal;
}

export interface CallOptions {
  /** Stops waiting. The daemon may still carry out the call. */
  signal?: AbortSignal;
}

/**
 * A connection to the daemon.
 *
 * Calls take effect in the order in which they were made. While there is no connection, a call waits ten seconds for
 * one, then fails as `disconnected`. A call that was sent but not answered when the connection was lost fails as
 * `disconnected` at once: whether it took effect is unknown. Retrying helps only if an error is `retryable`.
 */
export class Prosed extends EventTarget {
  private constructor();

  /**
   * `connecting` means that the connection was lost. When the state changes, `statechange` is dispatched. `closed` is
   * final: `close` was called, or the token or origin is now refused, as `error` says.
   */
  readonly state: "connected" | "connecting" | "closed";
  readonly error?: ProsedError;

  addEventListener(
    type: "statechange",
    listener: (event: Event) => void,
    options?: { once?: boolean; signal?: AbortSignal },
  ): void;

  /**
   * Events as they happen, from this call on: `for await (const event of prosed.events()) …`.
   *
   * Each event comes exactly once, whether the connection is lost or the reader is slow. If the daemon no longer has the
   * next events, because it has restarted or the reader was too slow, the loop throws `cursorExpired`; with `snapshot`,
   * it loads another snapshot and continues.
   *
   * Leaving the loop ends the subscription; `close` and `signal` end the loop.
   *
   * @throws {ProsedError} cursorExpired, accountUnknown, invalidJid
   */
  events<Name extends EventName = EventName>(
    options?: EventsOptions<Name> & { snapshot?: undefined },
  ): EventStream<EventOf<Name>>;

  /**
   * The same, starting with a snapshot, which comes as `{event: "snapshot", snapshot}`; the events after it are those
   * that have happened since. Another snapshot comes whenever events were lost.
   */
  events<Loaded extends { seq: number }, Name extends EventName = EventName>(
    options: EventsOptions<Name> & { snapshot: () => Promise<Loaded>; since?: undefined },
  ): EventStream<Snapshot<Loaded> | EventOf<Name>>;

  /**
   * All contacts of an account, then each change: everything that a contact list needs. `contacts` is always the same
   * map, kept up to date. It ends when the account is forgotten.
   */
  watchRoster(options?: WatchRosterOptions): AsyncGenerator<RosterChange, void, void>;

  /**
   * The URL of a picture, for `<img>`. Undefined if there is no picture, or the daemon has no port; `loadAvatar` returns
   * the bytes. With `size`, in pixels, it is a square thumbnail of 64, 128 or 256 pixels: other sizes are
   * rounded up, and larger ones count as 256. Smaller pictures are not enlarged.
   */
  avatarUrl(avatar: Avatar | undefined, size?: number): string | undefined;

  /**
   * Tries to connect at once instead of waiting for the next attempt. Rarely needed: in Node the client notices when the
   * daemon is back, and in a page it tries when the page becomes visible or the network changes.
   */
  reconnectNow(): void;

  /** Calls a method by its name in the API; it may be newer than this client. */
  call(method: string, params?: object, options?: CallOptions): Promise<unknown>;

  /** Closes the connection for good. Calls fail as `closed`, and loops over events end. Lets a Node process end. */
  close(): void;
}

export interface Prosed extends Methods {}

export interface EventsOptions<Name extends EventName = EventName> {
  /** Only these. Absent: all. */
  events?: readonly Name[];
  /** Only this account's: a bare JID. Absent: all accounts'. */
  account?: string;
  /** Start after this `seq`, that of a snapshot for example. Absent: only future events. */
  since?: number;
  /** Ends the loop. */
  signal?: AbortSignal;
}

/** Events of one name. */
export type EventOf<Name extends EventName> = Extract<ProsedEvent, { event: Name }>;

/** The result of `snapshot`. */
export interface Snapshot<Loaded> {
  event: "snapshot";
  seq: number;
  snapshot: Loaded;
}

/** For one reader at a time: calls of `next` wait for each other. */
export interface EventStream<Item> extends AsyncIterableIterator<Item> {
  return(value?: unknown): Promise<IteratorResult<Item, unknown>>;
}

export interface WatchRosterOptions {
  /** The account: a bare JID. Optional if there is only one. */
  account?: string;
  /** Ends the loop. */
  signal?: AbortSignal;
}

export interface RosterChange {
  /** Whose contacts: a bare JID. */
  account: string;
  /** All contacts, by JID. */
  contacts: ReadonlyMap<string, Contact>;
  /** New and changed contacts; at first, and after a reload, all of them. */
  changed: Contact[];
  /** Those of `changed` who were unavailable and no longer are: bare JIDs. */
  cameOnline: string[];
  /** Removed contacts: bare JIDs. */
  removed: string[];
  /** Whether this was loaded or found by a login: nothing that a notifier should announce. */
  initial: boolean;
}

/** An error of the daemon or the connection. `message` is for people. */
export class ProsedError extends Error {
  constructor(
    kind: ProsedError["kind"],
    message: string,
    details?: { code?: number; data?: Partial<ErrorData>; cause?: unknown },
  );

  /**
   * Restores an error after structured cloning (`postMessage`, Electron's IPC, a worker), which keeps only the message
   * and the cause; the cause has `kind`, `code` and `data`.
   */
  static from(clone: unknown): ProsedError;

  readonly name: "ProsedError";
  /** The daemon's code; absent for errors of the connection. */
  readonly code?: number;
  readonly kind: ErrorKind | ConnectionErrorKind;
  readonly data: Partial<ErrorData>;
  /** Whether the same call may succeed later with nothing changed by anybody. */
  readonly retryable: boolean;
}

export type ConnectionErrorKind =
  /** Nobody answers there: the daemon is not running, or does not list the page in `allowed_origins`. */
  | "unreachable"
  /** What listens there does not know the token: the daemon has a new one, or another program has its port. */
  | "unauthorized"
  /** Neither https: nor this computer's: such a page can't check who listens, and must not send the token. */
  | "insecurePage"
  /** There is an address, and no token for it. */
  | "tokenMissing"
  /** This Node has no WebSocket, or the daemon has only a Unix socket: the package `ws` is needed. */
  | "webSocketMissing"
  /** The connection was lost before the answer came. */
  | "disconnected"
  /** The client was closed. */
  | "closed";
