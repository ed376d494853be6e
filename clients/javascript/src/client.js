// The client as programs see it.

import { METHODS } from "./api.js";
import { EventStream } from "./events.js";
import { Link } from "./link.js";
import { watchRoster } from "./roster.js";

/** How long a call waits for a lost connection to come back, in milliseconds: people don't wait longer. */
const CALL_PATIENCE = 10_000;

/** Contacts in a page of a roster: some 4 MiB at most. */
const ROSTER_PAGE = 1000;

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

  /** All of it, whatever its size: page by page. Who says `limit` or `after` gets that page. */
  async loadRoster(params = {}, options) {
    if (params.limit !== undefined || params.after !== undefined) {
      return this.call("load_roster", params, options);
    }
    const roster = await this.call("load_roster", { ...params, limit: ROSTER_PAGE }, options);
    while (!roster.complete) {
      const { account, contacts } = roster;
      const page = { account, limit: ROSTER_PAGE, after: contacts.at(-1).jid };
      const more = await this.call("load_roster", page, options);
      contacts.push(...more.contacts);
      roster.complete = more.complete;
    }
    // The first page's `seq` stands: what has happened since is told again, and the newest state comes last.
    return roster;
  }

  events(options) {
    return new EventStream(this.#link, options);
  }

  watchRoster(options) {
    return watchRoster(this, options);
  }

  avatarUrl(avatar, size) {
    const { url } = this.#link;
    if (!avatar || !url) return undefined;
    const address = new URL(avatar.url, url);
    if (size) address.search = `?size=${size}`;
    return address.href;
  }

  reconnectNow() {
    this.#link.reconnectNow();
  }

  close() {
    this.#link.close();
  }
}

for (const [name, method] of Object.entries(METHODS)) {
  if (Object.hasOwn(Prosed.prototype, name)) continue;
  Prosed.prototype[name] = function (params, options) {
    return this.call(method, params, options);
  };
}
