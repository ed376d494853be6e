// Rosters that change while they are loaded page by page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Prosed } from "prosed";

const PAGE = 1000;
const account = "me@example.org";
const contact = (number, name) => ({ jid: `c${String(number).padStart(5, "0")}@example.org`, name });

/** A daemon whose contacts change after each page that it has answered. They have even numbers at first. */
class Changing {
  readyState = 1;
  contacts = new Map();
  events = [];
  pages = 0;
  /** There is no account any more once so many pages were answered. */
  forgottenAfter = Infinity;

  constructor() {
    for (let number = 0; number < 2 * (3 * PAGE - 10); number += 2) this.put(contact(number, "Before"));
  }

  put(one) {
    this.contacts.set(one.jid, one);
  }

  tell(contacts, removed) {
    const ids = [...contacts.map(({ jid }) => jid), ...removed];
    const seq = this.events.length + 1;
    this.events.push({ event: "contactChanged", seq, account, ids, contacts, cameOnline: [], removed });
  }

  /**
   * One contact is added, one removed and one changed twice, in what was answered and in what was not. The last one that
   * was answered, from which the client goes on, is removed as well.
   */
  change() {
    const last = 2 * (PAGE * this.pages - 1);
    for (const number of [last - 100, last + 100]) {
      for (const name of ["Between", `After page ${this.pages}`]) {
        this.put(contact(number, name));
        this.tell([contact(number, name)], []);
      }
      this.put(contact(number + 1, "Added"));
      this.tell([contact(number + 1, "Added")], []);
    }
    for (const number of [last - 50, last, last + 50]) {
      const { jid } = contact(number);
      if (this.contacts.delete(jid)) this.tell([], [jid]);
    }
  }

  page({ limit, after = "" }) {
    const jids = [...this.contacts.keys()].filter((jid) => jid > after).sort();
    const contacts = jids.slice(0, limit).map((jid) => this.contacts.get(jid));
    const roster = { account, source: "server", seq: this.events.length, contacts, complete: jids.length <= limit };
    this.pages += 1;
    this.change();
    return roster;
  }

  answer(method, params) {
    if (!method.startsWith("load_")) return { result: 7 };
    if (this.pages >= this.forgottenAfter) {
      return { error: { code: 1003, message: "There is no such account.", data: { kind: "accountUnknown" } } };
    }
    const roster = this.page(params);
    if (method === "load_roster") return { result: roster };
    return { result: { seq: roster.seq, accounts: [{ info: { account }, roster, subscriptionRequests: [] }] } };
  }

  send(text) {
    const { id, method, params } = JSON.parse(text);
    this.say({ id, ...this.answer(method, params) });
    if (method !== "subscribe") return;
    for (const result of this.events.slice(params.since)) {
      this.say({ method: "contactChanged", params: { subscription: 7, result } });
    }
  }

  say(message) {
    queueMicrotask(() => this.onmessage({ data: JSON.stringify({ jsonrpc: "2.0", ...message }) }));
  }

  close() {}

  names() {
    return Object.fromEntries([...this.contacts].map(([jid, { name }]) => [jid, name]).sort());
  }
}

const shown = (contacts) => Object.fromEntries([...contacts].map(([jid, { name }]) => [jid, name]).sort());

async function changing(t) {
  const daemon = new Changing();
  const prosed = await Prosed.over({ open: async () => ({ socket: daemon }), watch() {} });
  t.after(() => prosed.close());
  return { daemon, prosed };
}

test("a watched roster that changes meanwhile comes out right", async (t) => {
  const { daemon, prosed } = await changing(t);
  let rest;
  for await (const { contacts, initial } of prosed.watchRoster()) {
    rest = initial ? daemon.events.length : rest - 1;
    if (rest > 0) continue;
    assert.deepEqual(shown(contacts), daemon.names());
    break;
  }
  assert.equal(daemon.pages, 3);
});

test("so does a state", async (t) => {
  const { daemon, prosed } = await changing(t);
  const contacts = new Map();
  for await (const event of prosed.events({ snapshot: () => prosed.loadState() })) {
    const { contacts: changed, removed = [] } = event.snapshot?.accounts[0].roster ?? event;
    for (const contact of changed) contacts.set(contact.jid, contact);
    for (const jid of removed) contacts.delete(jid);
    if (event.event !== "snapshot" && event.seq === daemon.events.length) break;
  }
  assert.equal(daemon.pages, 3);
  assert.deepEqual(shown(contacts), daemon.names());
});

test("an account that is forgotten meanwhile spoils no state", async (t) => {
  const { daemon, prosed } = await changing(t);
  daemon.forgottenAfter = 2;
  const { roster } = (await prosed.loadState()).accounts[0];
  assert.deepEqual([roster.contacts.length, roster.complete], [2 * PAGE, false]);
});

test("a page is a page", async (t) => {
  const { prosed } = await changing(t);
  const { roster } = (await prosed.loadState({ limit: 2 })).accounts[0];
  assert.deepEqual([roster.contacts.length, roster.complete], [2, false]);
  const page = await prosed.loadRoster({ limit: 3, after: contact(2).jid });
  assert.deepEqual([page.contacts[0].jid, page.contacts.length, page.complete], [contact(4).jid, 3, false]);
});
