// Keeps one connection to the daemon, and reconnects until it is closed.

import { Connection } from "./connection.js";
import { ProsedError, disconnected } from "./error.js";

/** The wait before the first attempt to reconnect, in milliseconds; each further wait is twice as long. */
const FIRST_DELAY = 200;
/** The longest wait, in milliseconds: the daemon is on this machine, so attempts are cheap. */
const LONGEST_DELAY = 10_000;

export class Link {
  #open;
  #watch;
  #onchange;
  #connection;
  /** While connecting: resolves with the next connection. */
  #next;
  #closing = new AbortController();
  /** When the connection was opened, in milliseconds since 1970. */
  #since;
  #longest = FIRST_DELAY;

  state = "connected";
  /** Why it is closed, if not by `close`. */
  error;
  /** The daemon's URL for pictures, if it has a port. */
  url;
  /** Aborting it ends the wait before the next attempt. */
  #hurry = new AbortController();

  /**
   * `open` connects: it resolves to `{socket, url}` with an open WebSocket, or throws. It is called again after each
   * loss. `watch` is called after a loss, with a function to call when the daemon may be back, and a signal that ends
   * the watching. `onchange` is called when `state` has changed.
   */
  static async open({ open, watch }, signal, onchange) {
    const link = new Link();
    link.#open = open;
    link.#watch = watch;
    link.#use(await open(signal));
    link.#onchange = onchange;
    return link;
  }

  /** The current connection, if there is one. Throws once the link is closed. */
  ready() {
    if (this.state === "closed") throw this.error ?? closed();
    return this.#connection;
  }

  /** Waits for the next connection, for `patience` milliseconds at most if given. */
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

  /** Ends the wait before the next attempt. */
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
    // Possibly nobody waits for it.
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
      // Random, so that not all programs reconnect at the same moment.
      await pause(this.#longest * (0.5 + Math.random() / 2), AbortSignal.any([signal, this.#hurry.signal]));
      // A `reconnectNow` during the attempt starts another one.
      this.#hurry = new AbortController();
      this.#longest = Math.min(2 * this.#longest, LONGEST_DELAY);
      try {
        signal.throwIfAborted();
        const door = await this.#open(signal);
        if (!signal.aborted) return this.#use(door);
        door.socket.close();
      } catch (error) {
        if (error.retryable) continue;
        // Retrying won't help: the token is refused, for example.
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

/** Waits this many milliseconds, or until aborted. */
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
