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
 * In Node it finds the daemon by itself: its Unix socket where the package `ws` is installed, else its
 * port and token. In a page it takes the token that came behind the page's address as `#token=…`, and
 * keeps one that was right for as long as the tab is open.
 *
 * Reconnects whenever the connection is lost, until `close` is called.
 *
 * @throws {ProsedError} unreachable, unauthorized, tokenMissing; in a page also insecurePage
 */
export function connect(options?: ConnectOptions): Promise<Prosed>;

export interface ConnectOptions {
  /** The daemon's WebSocket. Absent: found in Node, `ws://127.0.0.1:5299/rpc` in a page. */
  url?: string;
  /** What the daemon asks for at `url`. */
  token?: string;
  /** Node only: where `endpoint.json` is, if it is in an unusual place. */
  runtimeDir?: string;
  /** Gives up connecting. Once connected, it counts for nothing. */
  signal?: AbortSignal;
}

export interface CallOptions {
  /** Ends the waiting with its reason. The daemon may still do what was asked. */
  signal?: AbortSignal;
}

/**
 * The daemon, over one connection.
 *
 * Calls take effect in the order in which they were made. While the connection is lost, a call waits ten
 * seconds for the next one, then fails as `disconnected`. So does, at once, one that was sent and not
 * answered: whether it took effect is not known. An error that is not `retryable` stays.
 */
export class Prosed extends EventTarget {
  private constructor();

  /**
   * `connecting` is after a loss only. When it changes, `statechange` is dispatched. `closed` is final:
   * `close` was called, or the token or origin is refused now, as `error` says.
   */
  readonly state: "connected" | "connecting" | "closed";
  readonly error?: ProsedError;

  addEventListener(
    type: "statechange",
    listener: (event: Event) => void,
    options?: { once?: boolean; signal?: AbortSignal },
  ): void;

  /**
   * Events as they happen, from this very call on: `for await (const event of prosed.events()) …`.
   *
   * Neither a lost connection nor a slow reader loses one or brings one twice. Where the daemon no
   * longer has those that come next, because it was restarted or the reader was away for too long, the
   * loop throws `cursorExpired`; with `snapshot`, it reloads and continues.
   *
   * Leaving the loop ends the subscription; `close` and `signal` end the loop.
   *
   * @throws {ProsedError} cursorExpired, accountUnknown, invalidJid
   */
  events<Name extends EventName = EventName>(
    options?: EventsOptions<Name> & { snapshot?: undefined },
  ): EventStream<EventOf<Name>>;

  /**
   * The same, with a snapshot in front, and wherever it takes another: it comes as
   * `{event: "snapshot", snapshot}`, and what follows is what has happened since.
   */
  events<Loaded extends { seq: number }, Name extends EventName = EventName>(
    options: EventsOptions<Name> & { snapshot: () => Promise<Loaded>; since?: undefined },
  ): EventStream<Snapshot<Loaded> | EventOf<Name>>;

  /**
   * All contacts of an account, and again with each change: the whole of a contact list's life.
   * `contacts` is one map throughout, kept true. It ends when the account is forgotten.
   */
  watchRoster(options?: WatchRosterOptions): AsyncGenerator<RosterChange, void, void>;

  /**
   * The address of a picture, for `<img>`. Absent where there is no picture, or the daemon opened no
   * port; `loadAvatar` has its bytes. With `size`, in pixels, it is a square and small one: 64, 128 or 256,
   * whichever is next.
   */
  avatarUrl(avatar: Avatar | undefined, size?: number): string | undefined;

  /**
   * Tries to connect at once, where the client waits for its next attempt. Seldom needed: in Node it
   * sees when the daemon is back, in a page it tries when the page is looked at or the network changes.
   */
  reconnectNow(): void;

  /** Calls a method that may be newer than this client, by the API's own name for it. */
  call(method: string, params?: object, options?: CallOptions): Promise<unknown>;

  /** Ends it for good. Calls fail as `closed`, loops over events end. In Node the process may end then. */
  close(): void;
}

export interface Prosed extends Methods {}

export interface EventsOptions<Name extends EventName = EventName> {
  /** Only these. Absent: all. */
  events?: readonly Name[];
  /** Only this account's: a bare JID. Absent: all accounts'. */
  account?: string;
  /** First all that came after this `seq`: that of a snapshot, say. Absent: only what comes from now on. */
  since?: number;
  /** Ends the loop. */
  signal?: AbortSignal;
}

/** Events of one name. */
export type EventOf<Name extends EventName> = Extract<ProsedEvent, { event: Name }>;

/** What `snapshot` has loaded. */
export interface Snapshot<Loaded> {
  event: "snapshot";
  seq: number;
  snapshot: Loaded;
}

/** At most one reader at a time: calls of `next` wait for each other. */
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
  /** Those that are new or changed; first, and after a reload, all. */
  changed: Contact[];
  /** Those of `changed` who were unavailable before and are not now: bare JIDs. */
  cameOnline: string[];
  /** Those that are contacts no more: bare JIDs. */
  removed: string[];
  /** It was loaded, or is what a login has found: nothing to disturb anybody for. */
  initial: boolean;
}

/** What went wrong, as the daemon or the connection says it. `message` is for people. */
export class ProsedError extends Error {
  constructor(
    kind: ProsedError["kind"],
    message: string,
    details?: { code?: number; data?: Partial<ErrorData>; cause?: unknown },
  );

  /**
   * Makes one again of what structured cloning (`postMessage`, Electron's IPC, a worker) has left of it:
   * of an error that is the message and the cause, which holds `kind`, `code` and `data`.
   */
  static from(clone: unknown): ProsedError;

  readonly name: "ProsedError";
  /** The daemon's code; absent where the error is the connection's. */
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
  /** The connection was lost before the answer came. */
  | "disconnected"
  /** The client was closed. */
  | "closed";
