// A stream of events that survives lost connections.

import { pause } from "./link.js";

/**
 * The most that is buffered for a reader: events, and characters of their JSON. Beyond that, events stay with the daemon,
 * which retains 10,000, and are requested again once the reader has caught up.
 */
const WAITING_EVENTS = 1000;
const WAITING_CHARACTERS = 4 * 1024 * 1024;

/** The wait before the next snapshot if events expire faster than one can be loaded, in milliseconds. */
const FIRST_DELAY = 100;
const LONGEST_DELAY = 10_000;

export class EventStream {
  #link;
  #filter;
  #snapshot;
  /** The `seq` of the newest event received. */
  #position;
  /** `[event, length]`, oldest first. */
  #waiting = [];
  #characters = 0;
  /** The subscription, requested or active; `end` ends it. */
  #subscription;
  /** Why the last subscription ended. */
  #ending;
  /** Wakes the reader. */
  #wake = () => {};
  /** The wait before the next snapshot, in milliseconds. */
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
    // Subscribe right away, so that nothing that happens after this call is missed. With a snapshot, the reader has to
    // load it first.
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

  /** Handles the end of the last subscription. */
  #settle() {
    const error = this.#ending;
    this.#ending = undefined;
    switch (error?.kind) {
      // Subscribe again after the newest event.
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

  /** Loads a snapshot, if this stream has one. */
  async #load(signal) {
    if (!this.#snapshot) return undefined;
    await pause(this.#delay, signal);
    while (!signal.aborted) {
      try {
        const snapshot = await this.#snapshot();
        this.#position = snapshot.seq;
        return snapshot;
      } catch (error) {
        // The call has already waited for the next connection.
        if (error.kind !== "disconnected") throw error;
      }
    }
    return undefined;
  }

  /** Subscribes to everything after `#position`. The request is sent before this returns. */
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
   * Requests the current `seq`, in case the connection is lost before the first event. It is requested before the
   * subscription, so that nothing in between is missed after such a loss.
   */
  #takePlace(connection) {
    const take = ({ seq }) => (this.#position ??= seq);
    // If it fails, so does the subscription.
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
