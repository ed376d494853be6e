import assert from "node:assert/strict";

import { connect } from "prosed";

import { stage, statuses, take, test } from "./stage.js";

test("a slow reader gets everything, and buffers little", async (t) => {
  const { proxied: url, token } = await stage("where");
  const prosed = await connect({ url, token });
  t.after(() => prosed.close());
  const events = prosed.events({ events: ["contactChanged", "accountChanged"] });
  const { seq } = await prosed.getEvents();
  const before = await stage("carried");
  await stage("flood", { times: 100 });
  const kept = (await stage("carried")) - before;
  await stage("presence", { status: "after the flood" });
  const heard = await take(events, (event) => statuses(event).includes("after the flood"));
  const truth = await stage("heard", { since: seq, until: heard.at(-1).seq });
  assert.deepEqual(heard.map((event) => event.seq), truth.map((event) => event.seq));
  const all = (await stage("carried")) - before;
  assert.ok(kept < 10_500_000 && all > 13_000_000, `${kept} of ${all} bytes came before they were read`);
});

test("a reader that is too slow for the daemon is told, or reloads", async (t) => {
  const { proxied: url, token } = await stage("where");
  const [plain, prosed] = [await connect({ url, token }), await connect({ url, token })];
  t.after(() => [plain, prosed].forEach((client) => client.close()));
  const bare = plain.events({ events: ["contactChanged", "accountChanged"] });
  const events = prosed.events({ events: ["contactChanged", "accountChanged"], snapshot: () => prosed.loadRoster() });
  await events.next();
  await plain.getEvents();
  await stage("presence", { status: "dry" });
  await take(bare, (event) => statuses(event).includes("dry"));
  await stage("stall");
  await stage("flood", { times: 250 });
  await stage("presence", { status: "flooded" });
  await stage("flow");
  const seqs = [];
  await assert.rejects(take(bare, ({ seq }) => !seqs.push(seq)), { kind: "cursorExpired" });
  const truth = await stage("heard", { since: seqs[0] - 1, until: seqs.at(-1) });
  assert.deepEqual(seqs, truth.map(({ seq }) => seq), "what it got has no gap");
  const taken = await take(events, ({ event }) => event === "snapshot");
  assert.equal(taken.at(-1).snapshot.contacts[0].status, "flooded");
});
