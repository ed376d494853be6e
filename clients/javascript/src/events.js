// Events as they happen, over as many connections as it takes.

import { pause } from "./link.js";

/**
 * So much may wait for a reader: events, and characters of their JSON. What comes on top is left with
 * the daemon, which retains 10,000 events, and asked for again when the reader has caught up.
 */
const WAITING_EVENTS = 1000;
const WAITING_CHARACTERS = 4 * 1024 * 1024;

/** Where events expire faster than a snapshot takes, the next one waits, in milliseconds. */
const FIRST_DELAY = 100;
const LONGEST_DELAY = 10_000;

export class EventStream {
  #link;
  #filter;
  #snapshot;
  /** The newest event that is here or was read. */
  #position;
  /** `[event, length]`, oldest first. */
  #waiting = [];
  #characters = 0;
  /** What we have with the daemon, be it only asked for; `end` ends it. */
  #subscription;
  /** Why there is none any more. */
  #ending;
  /** Wakes the reader. */
  #wake = () => {};
  /** Before the next snapshot, in milliseconds. */
  #delay = 0;
  #closing = new AbortController();
  #steps;

  constructor(link, { events, account, since, snapshot, signal } = {}) {
    this.#link = link;
    this.#filter = { events, account };
    this.#snapshot = snapshot;
    this.#position = since;
    this.#steps = this.#read();
    signal?.addEventListener("abort", () => this.#stop(), { signal: this.#closing.signal });
    if (signal?.aborted) this.#stop();
    // From this very call on, so that nothing which the program does next goes unheard. A snapshot's
    // place is behind what was read before it: it waits for the reader.
    else if (!snapshot && link.state === "connected") this.#subscribe(link.ready());
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next() {
    return this.#steps.next();
  }

  return(value) {
    this.#stop();
    return this.#steps.return(value);
  }

  async *#read() {
    const { signal } = this.#closing;
    try {
      while (!signal.aborted) {
        if (this.#waiting.length > 0) {
          const [event, length] = this.#waiting.shift();
          this.#characters -= length;
          this.#delay = 0;
          yield event;
        } else if (this.#subscription) {
          await new Promise((resolve) => (this.#wake = resolve));
        } else {
          this.#settle();
          const snapshot = this.#position === undefined && (await this.#load(signal));
          if (snapshot) yield { event: "snapshot", seq: snapshot.seq, snapshot };
          const connection = this.#link.ready() ?? (await this.#link.next(signal));
          this.#subscribe(connection);
        }
      }
    } catch (error) {
      if (!signal.aborted && error.kind !== "closed") throw error;
    } finally {
      this.#stop();
    }
  }

  /** Sees what follows from the end of the last subscription. */
  #settle() {
    const error = this.#ending;
    this.#ending = undefined;
    switch (error?.kind) {
      // We take it up again behind what is here.
      case undefined:
      case "disconnected":
      case "lagged":
        return;
      case "cursorExpired":
        if (!this.#snapshot) throw error;
        this.#position = undefined;
        this.#delay = Math.min(2 * this.#delay || FIRST_DELAY, LONGEST_DELAY);
        return;
      default:
        throw error;
    }
  }

  /** Loads a snapshot, where that is how this stream begins. */
  async #load(signal) {
    if (!this.#snapshot) return undefined;
    await pause(this.#delay, signal);
    while (!signal.aborted) {
      try {
        const snapshot = await this.#snapshot();
        this.#position = snapshot.seq;
        return snapshot;
      } catch (error) {
        // A call has waited for the next connection already.
        if (error.kind !== "disconnected") throw error;
      }
    }
    return undefined;
  }

  /** Sends, before it returns, what it takes to hear of everything after `#position`. */
  #subscribe(connection) {
    if (this.#position === undefined) this.#takePlace(connection);
    const subscription = { end() {} };
    this.#subscription = subscription;
    const isOurs = () => this.#subscription === subscription;
    const params = { ...this.#filter, since: this.#position };
    connection.subscribe(params, {
      begin: (end) => {
        if (!isOurs()) return end();
        subscription.end = end;
      },
      event: (event, length) => {
        if (isOurs()) this.#hear(event, length);
      },
      end: (error) => {
        if (!isOurs()) return;
        this.#subscription = undefined;
        this.#ending = error;
        this.#wake();
      },
    });
  }

  /**
   * Learns where the log stands, so that the connection can be lost before the first event. Asked in
   * front of the subscription: what happens between the two is heard of after such a loss, or never
   * mattered.
   */
  #takePlace(connection) {
    const take = ({ seq }) => (this.#position ??= seq);
    // Where it fails, the subscription fares no better.
    connection.call("get_events", { limit: 1 }).then(take, () => {});
  }

  #hear(event, length) {
    const { length: events } = this.#waiting;
    if (events >= WAITING_EVENTS || this.#characters + length > WAITING_CHARACTERS) {
      if (events > 0) return this.#endSubscription();
    }
    this.#position = event.seq;
    this.#waiting.push([event, length]);
    this.#characters += length;
    this.#wake();
  }

  #endSubscription() {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    subscription?.end();
  }

  #stop() {
    this.#closing.abort();
    this.#endSubscription();
    this.#waiting = [];
    this.#wake();
  }
}
