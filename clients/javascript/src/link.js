// The connection to the daemon: reconnects for as long as it is wanted.

import { Connection } from "./connection.js";
import { ProsedError, disconnected } from "./error.js";

/** The delay before the first attempt to reconnect, in milliseconds; it doubles with each attempt. */
const FIRST_DELAY = 200;
/** The daemon is on this machine: asking often costs little, and it is back within seconds. */
const LONGEST_DELAY = 10_000;

export class Link {
  #open;
  #watch;
  #onchange;
  #connection;
  /** While connecting: resolves with the next connection. */
  #next;
  #closing = new AbortController();
  /** Since when it stands, in milliseconds since 1970. */
  #since;
  #longest = FIRST_DELAY;

  state = "connected";
  /** Why it is closed, where nobody wanted it so. */
  error;
  /** The daemon's address for pictures, where it has one. */
  url;
  /** Aborted, it ends the wait for the next attempt. */
  #hurry = new AbortController();

  /**
   * `open` opens a door: it resolves with `{socket, url}`, of which the socket is a WebSocket that is
   * open, or throws. It is called again after each loss. `watch` is called after a loss, with a function to
   * call when the daemon may be back, and a signal that ends this. `onchange` is called when `state` has
   * changed.
   */
  static async open({ open, watch }, signal, onchange) {
    const link = new Link();
    link.#open = open;
    link.#watch = watch;
    link.#use(await open(signal));
    link.#onchange = onchange;
    return link;
  }

  /** The connection that stands, if one does. Throws once there will be none. */
  ready() {
    if (this.state === "closed") throw this.error ?? closed();
    return this.#connection;
  }

  /** The next connection; waits for up to this many milliseconds, or without a limit. */
  next(signal, patience) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const timer = patience && setTimeout(() => done(reject, disconnected()), patience);
      const abort = () => done(reject, signal.reason);
      const done = (how, value) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        how(value);
      };
      signal?.addEventListener("abort", abort);
      this.#next.then(
        (connection) => done(resolve, connection),
        (error) => done(reject, error),
      );
    });
  }

  /** Tries at once, where it waits for its next attempt. */
  reconnectNow() {
    this.#longest = FIRST_DELAY;
    this.#hurry.abort();
  }

  close(error) {
    if (this.state === "closed") return;
    this.error = error;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#become("closed");
    this.#closing.abort();
    connection?.close();
  }

  #use({ socket, url }) {
    const connection = new Connection(socket, () => {
      if (this.#connection === connection) this.#reconnect();
    });
    this.url = url;
    this.#since = Date.now();
    this.#connection = connection;
    this.#become("connected");
    return connection;
  }

  #reconnect() {
    this.#connection = undefined;
    if (Date.now() - this.#since > LONGEST_DELAY) this.#longest = FIRST_DELAY;
    this.#next = this.#retry();
    // Nobody may be waiting for it.
    this.#next.catch(() => {});
    this.#become("connecting");
  }

  async #retry() {
    const watching = new AbortController();
    this.#watch(() => this.reconnectNow(), watching.signal);
    try {
      return await this.#attempts();
    } finally {
      watching.abort();
    }
  }

  async #attempts() {
    const { signal } = this.#closing;
    for (;;) {
      // Not all programs of this user at the same moment.
      await pause(this.#longest * (0.5 + Math.random() / 2), AbortSignal.any([signal, this.#hurry.signal]));
      // Who is in a hurry during the attempt gets another.
      this.#hurry = new AbortController();
      this.#longest = Math.min(2 * this.#longest, LONGEST_DELAY);
      try {
        signal.throwIfAborted();
        const door = await this.#open(signal);
        if (!signal.aborted) return this.#use(door);
        door.socket.close();
      } catch (error) {
        if (error.retryable) continue;
        // A token that is refused now will be refused again.
        if (!signal.aborted) this.close(error);
        throw this.error ?? closed();
      }
    }
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#onchange?.();
  }
}

function closed() {
  return new ProsedError("closed", "This client was closed.");
}

/** Waits for this many milliseconds, or until aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, signal?.aborted ? 0 : milliseconds);
    signal?.addEventListener("abort", done);
  });
}
