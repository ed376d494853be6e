// The public client.

import { METHODS } from "./api.js";
import { EventStream } from "./events.js";
import { Link } from "./link.js";
import { watchRoster } from "./roster.js";

/** How long a call waits for a lost connection to be re-established, in milliseconds. */
const CALL_PATIENCE = 10_000;

/** Contacts in a page of a roster: at most some 4 MiB. */
const ROSTER_PAGE = 1000;

export class Prosed extends EventTarget {
  #link;
  /** What `setActivity` last said, for the next connection. */
  #activity;

  /** See `Link.open`. */
  static async over(way, signal) {
    const prosed = new Prosed();
    const onchange = () => {
      if (prosed.state === "connected" && prosed.#activity) prosed.setActivity(prosed.#activity).catch(() => {});
      prosed.dispatchEvent(new Event("statechange"));
    };
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

  /** It is said again when the client reconnects. */
  async setActivity(params, options) {
    const done = await this.call("set_activity", params, options);
    // Only what was accepted is said again.
    this.#activity = params;
    return done;
  }

  /** All of it, whatever its size: page by page. With `limit` or `after`, it is just that page. */
  async loadRoster(params = {}, options) {
    if (params.limit !== undefined || params.after !== undefined) {
      return this.call("load_roster", params, options);
    }
    return this.#complete(await this.call("load_roster", { ...params, limit: ROSTER_PAGE }, options), options);
  }

  /** All of it: rosters are loaded page by page. With `limit`, it is just that. */
  async loadState(params = {}, options) {
    if (params.limit !== undefined) return this.call("load_state", params, options);
    const state = await this.call("load_state", { ...params, limit: ROSTER_PAGE }, options);
    for (const { roster } of state.accounts) {
      try {
        if (roster) await this.#complete(roster, options);
      } catch (error) {
        // Forgotten meanwhile: an event after `seq` reports it.
        if (error.kind !== "accountUnknown") throw error;
      }
    }
    return state;
  }

  /**
   * Adds the pages that a roster lacks. Its `seq` stays that of the first page: events after it may repeat what a later
   * page already had, and the newest state comes last.
   */
  async #complete(roster, options) {
    const { account, contacts } = roster;
    while (!roster.complete) {
      const page = { account, limit: ROSTER_PAGE, after: contacts.at(-1)?.jid };
      const more = await this.call("load_roster", page, options);
      contacts.push(...more.contacts);
      roster.complete = more.complete;
    }
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
