// The last of all: there is no account behind it.

import assert from "node:assert/strict";

import { connect } from "prosed";

import { test, until } from "./stage.js";

const me = "me@prosed.test";

test("a roster that is watched ends when its account is forgotten", async (t) => {
  const [prosed, other] = [await connect(), await connect()];
  t.after(() => [prosed, other].forEach((client) => client.close()));
  const changes = prosed.watchRoster({ account: me });
  const { value: first } = await changes.next();
  assert.deepEqual([first.initial, first.cameOnline], [true, []]);
  await other.logout({ account: me, forget: true });
  await until(async () => (await changes.next()).done);
  await assert.rejects(prosed.watchRoster({ account: me }).next(), { kind: "accountUnknown" });
});
