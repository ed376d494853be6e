// The client as programs see it.

import { METHODS } from "./api.js";
import { EventStream } from "./events.js";
import { Link } from "./link.js";
import { watchRoster } from "./roster.js";

/** How long a call waits for a lost connection to come back, in milliseconds: people don't wait longer. */
const CALL_PATIENCE = 10_000;

export class Prosed extends EventTarget {
  #link;

  /** See `Link.open`. */
  static async over(way, signal) {
    const prosed = new Prosed();
    const onchange = () => prosed.dispatchEvent(new Event("statechange"));
    prosed.#link = await Link.open(way, signal, onchange);
    return prosed;
  }

  get state() {
    return this.#link.state;
  }

  get error() {
    return this.#link.error;
  }

  async call(method, params = {}, { signal } = {}) {
    signal?.throwIfAborted();
    const connection = this.#link.ready() ?? (await this.#link.next(signal, CALL_PATIENCE));
    return connection.call(method, params, signal);
  }

  events(options) {
    return new EventStream(this.#link, options);
  }

  watchRoster(options) {
    return watchRoster(this, options);
  }

  avatarUrl(avatar) {
    const { url } = this.#link;
    return avatar && url ? new URL(avatar.url, url).href : undefined;
  }

  reconnectNow() {
    this.#link.reconnectNow();
  }

  close() {
    this.#link.close();
  }
}

for (const [name, method] of Object.entries(METHODS)) {
  Prosed.prototype[name] = function (params, options) {
    return this.call(method, params, options);
  };
}
