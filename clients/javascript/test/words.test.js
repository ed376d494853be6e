// Words that this client has never heard do no harm: a newer daemon may say them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Prosed } from "prosed";

const contact = { jid: "romeo@example.net", name: "Romeo", availability: "astral", subscription: "blood", warnings: ["glitter"], moods: ["new"] };
const roster = { account: "me@example.org", source: "oracle", seq: 7, contacts: [contact], complete: true };
const state = { seq: 7, accounts: [{ info: { account: "me@example.org", state: "floating", secretStore: "vault" }, roster, subscriptionRequests: [] }] };
const event = (event, rest) => ({ event, seq: 8, time: "2026-01-31T09:00:00.000Z", account: "me@example.org", ...rest });

/** A daemon of the future at the other end. */
class Future {
  readyState = 1;
  results = { load_roster: roster, load_state: state, subscribe: 1 };

  send(text) {
    const { id, method } = JSON.parse(text);
    const error = { code: 1999, message: "Out of ether.", data: { kind: "etherExhausted", retryable: false } };
    this.say(method in this.results ? { id, result: this.results[method] } : { id, error });
    if (method !== "subscribe") return;
    this.tell(event("dreamChanged", { dream: {} }));
    this.tell(event("contactChanged", { seq: 9, ids: [contact.jid], contacts: [contact], cameOnline: [], removed: [], aura: 1 }));
    this.tell(event("accountChanged", { seq: 10 }));
  }

  tell(result) {
    this.say({ method: result.event, params: { subscription: 1, result } });
  }

  say(message) {
    queueMicrotask(() => this.onmessage({ data: JSON.stringify({ jsonrpc: "2.0", ...message }) }));
  }

  close() {}
}

const future = (socket = new Future()) => Prosed.over({ open: async () => ({ socket }), watch() {} });

test("in answers and errors", async () => {
  const prosed = await future();
  assert.deepEqual(await prosed.loadRoster(), roster);
  assert.deepEqual(await prosed.loadState(), state);
  const unknown = { kind: "etherExhausted", code: 1999, retryable: false, message: "Out of ether." };
  await assert.rejects(prosed.getVersion(), unknown);
  prosed.close();
});

test("in events, and in a roster that is watched until its account is gone", async () => {
  const prosed = await future();
  const events = prosed.events({ since: 7 });
  const heard = [];
  for await (const { event } of events) if (heard.push(event) === 3) break;
  assert.deepEqual(heard, ["dreamChanged", "contactChanged", "accountChanged"]);
  const watched = [];
  for await (const { changed, initial } of prosed.watchRoster()) watched.push([changed[0].availability, initial]);
  assert.deepEqual(watched, [["astral", true], ["astral", false]], "what else is told is no business of a roster's");
  prosed.close();
});

const contract = JSON.parse(readFileSync(process.env.PROSED_CONTRACT));
const { schemas } = contract.components;

/** A value with all its fields, in which this schema's word is one that nobody knows. */
function sample(schema, wordOf) {
  const name = schema.$ref?.split("/").at(-1);
  if (name !== undefined) return name === wordOf ? "brandNew" : sample(schemas[name], wordOf);
  const [composed] = schema.allOf ?? schema.anyOf ?? [];
  if (composed) return sample(composed, wordOf);
  const { type, items, properties = {} } = schema;
  if (type === "array") return [sample(items, wordOf)];
  if (type !== "object") return { string: schema.enum?.[0] ?? "", integer: 1, boolean: true }[type];
  return Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, sample(inner, wordOf)]));
}

test("wherever the contract has words", async () => {
  for (const [word] of Object.entries(schemas).filter(([, schema]) => schema["x-extensible-enum"])) {
    const daemon = new Future();
    const prosed = await future(daemon);
    let said = 0;
    for (const { name, result } of contract.methods.filter((method) => !method["x-subscription"])) {
      daemon.results[name] = sample(result.schema, word);
      said += JSON.stringify(daemon.results[name]).includes("brandNew");
      assert.deepEqual(await prosed.call(name), daemon.results[name], `${word} in ${name}`);
    }
    assert.ok(said > 0, `no method answers with a ${word}`);
    prosed.close();
  }
});
