import assert from "node:assert/strict";
import { once } from "node:events";

import { connect } from "prosed";

import { stage, statuses, take, test, until } from "./stage.js";

const { alice } = await stage("where");

const presence = (status, details = {}) => stage("presence", { status, ...details });

/** Waits until the daemon has heard of all streams, before something happens elsewhere: it answers in order. */
const stands = (prosed) => prosed.getEvents();

test("from the call on, in order, until the loop is left", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  const events = prosed.events({ events: ["contactChanged"] });
  await stands(prosed);
  for (const status of ["one", "two", "three"]) await presence(status);
  const heard = [];
  for await (const event of events) {
    heard.push(event);
    if (statuses(event).includes("three")) break;
  }
  assert.deepEqual(await events.next(), { value: undefined, done: true });
  const seqs = heard.map(({ seq }) => seq);
  assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
  assert.deepEqual((await stage("heard", { since: seqs[0] - 1, until: seqs.at(-1) })).map(({ seq }) => seq), seqs);
  assert.equal(heard[0].contacts[0].jid, alice);
});

test("a snapshot, then what has happened since", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  await presence("before");
  const events = prosed.events({ snapshot: () => prosed.loadRoster() });
  const { value: first } = await events.next();
  assert.equal(first.event, "snapshot");
  assert.equal(first.seq, first.snapshot.seq);
  await presence("behind");
  const rest = await take(events, (event) => event.contacts && statuses(event).includes("behind"));
  assert.ok(rest.every(({ seq }) => seq > first.seq));
  await events.return();
});

test("a signal and a close end the loop", async () => {
  const prosed = await connect();
  const leaving = new AbortController();
  const left = (async () => {
    for await (const _ of prosed.events({ events: ["rosterLoaded"], signal: leaving.signal }));
    return "left";
  })();
  const closed = (async () => {
    for await (const _ of prosed.events({ events: ["rosterLoaded"] }));
    return "closed";
  })();
  leaving.abort();
  assert.equal(await left, "left");
  for (let round = 0; round < 20; round += 1) {
    await prosed.events().return();
    await prosed.getVersion();
  }
  // More than a connection may have, had those that were left not made room.
  const many = Array.from({ length: 8 }, () => prosed.events({ events: ["contactChanged"] }));
  await stands(prosed);
  await presence("many");
  for (const events of many) await take(events, (event) => statuses(event).includes("many"));
  const tooMany = Array.from({ length: 16 }, () => prosed.events({ events: ["rosterLoaded"] }));
  await assert.rejects(Promise.race(tooMany.map((events) => events.next())), { kind: "limitExceeded" });
  prosed.close();
  assert.equal(await closed, "closed");
  for await (const _ of prosed.events({ signal: AbortSignal.abort() })) assert.fail();
});

test("an account that is not here", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  await assert.rejects(prosed.events({ account: "not a jid@@" }).next(), { kind: "invalidJid" });
  const broken = prosed.events({ snapshot: () => prosed.loadRoster({ account: "you@prosed.test" }) });
  await assert.rejects(broken.next(), { kind: "accountUnknown" });
  assert.deepEqual(await broken.next(), { value: undefined, done: true });
});

test("lost connections lose nothing and bring nothing twice", async (t) => {
  const { proxied, token } = await stage("where");
  const prosed = await connect({ url: proxied, token });
  t.after(() => prosed.close());
  const states = [];
  prosed.addEventListener("statechange", () => states.push(prosed.state));
  const events = prosed.events();
  await stands(prosed);
  // Before anything was heard, too.
  await stage("cut");
  await presence("0");
  for (let number = 1; number <= 40; number += 1) {
    if (number % 8 === 0) await stage("cut");
    await presence(String(number), { wait: false });
  }
  const heard = await take(events, (event) => event.contacts && statuses(event).includes("40"));
  const seqs = heard.map(({ seq }) => seq);
  const truth = await stage("heard", { since: seqs[0] - 1, until: seqs.at(-1) });
  assert.deepEqual(heard, truth);
  assert.ok(truth.some((event) => event.contacts && statuses(event).includes("0")), "from the call on");
  assert.ok(states.includes("connecting") && states.at(-1) === "connected", states.join());
});

test("calls wait for a lost connection; what was on its way fails", async (t) => {
  const { proxied, token } = await stage("where");
  const prosed = await connect({ url: proxied, token });
  t.after(() => prosed.close());
  const poll = prosed.getEvents({ timeout: 60 });
  const lost = assert.rejects(poll, { kind: "disconnected", retryable: true });
  const knocks = await stage("knocks");
  await stage("refuse");
  await lost;
  assert.equal(prosed.state, "connecting");
  const version = prosed.getVersion();
  const hasty = prosed.getVersion({}, { signal: AbortSignal.timeout(50) });
  await assert.rejects(hasty, { name: "TimeoutError" });
  await until(async () => (await stage("knocks")) > knocks);
  await stage("flow");
  assert.equal((await version).name, "prosed");
});

test("a killed daemon: the stream says so, or reloads", async (t) => {
  const [plain, prosed] = [await connect(), await connect()];
  t.after(() => [plain, prosed].forEach((client) => client.close()));
  const bare = plain.events();
  const events = prosed.events({ events: ["contactChanged"], snapshot: () => prosed.loadRoster() });
  const isStatus = (status) => (event) => event.event === "contactChanged" && statuses(event).includes(status);
  await events.next();
  await presence("alive");
  await take(events, isStatus("alive"));
  await stage("kill");
  await presence("dead", { wait: false });
  await stage("start");
  await assert.rejects(take(bare, () => false), (error) => {
    assert.equal(error.kind, "cursorExpired");
    assert.ok(error.data.oldest > 0);
    return true;
  });
  const state = new Map();
  for await (const event of events) {
    if (event.event === "snapshot") state.clear();
    const contacts = event.event === "snapshot" ? event.snapshot.contacts : event.contacts;
    for (const contact of contacts) state.set(contact.jid, contact);
    if (state.get(alice)?.status === "dead") break;
  }
});

test("a daemon that is back is seen, and no wait needs to end", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  t.mock.timers.enable({ apis: ["setTimeout"] });
  await stage("kill");
  while (prosed.state === "connected") await once(prosed, "statechange");
  await stage("start");
  while (prosed.state !== "connected") await once(prosed, "statechange");
});

test("reconnectNow does not wait for a timer", async (t) => {
  const { proxied, token } = await stage("where");
  const prosed = await connect({ url: proxied, token });
  t.after(() => prosed.close());
  t.mock.timers.enable({ apis: ["setTimeout"] });
  await stage("cut");
  while (prosed.state === "connected") await once(prosed, "statechange");
  prosed.reconnectNow();
  while (prosed.state !== "connected") await once(prosed, "statechange");
});

test("a roster that stays true", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  const changes = prosed.watchRoster();
  const { value: first } = await changes.next();
  assert.deepEqual([...first.contacts.keys()], first.changed.map(({ jid }) => jid));
  await presence("watched", { show: "dnd" });
  await until(async () => (await changes.next()).value.contacts.get(alice).status === "watched");
  assert.equal(first.contacts.get(alice).availability, "dnd", "it is one map");
  await prosed.addContact({ jid: "bob@prosed.test", name: "Bob", subscribe: false });
  await until(async () => (await changes.next()).value.changed.some(({ name }) => name === "Bob"));
  await stage("kill");
  await stage("start");
  // As soon as the server's roster is back.
  const remove = () => prosed.removeContact({ jid: "bob@prosed.test" });
  await until(() => remove().then(() => true, () => false));
  await until(async () => !(await changes.next()).value.contacts.has("bob@prosed.test"));
  await changes.return();
});
