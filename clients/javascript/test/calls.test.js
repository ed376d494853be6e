import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, chown, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Prosed, ProsedError, connect } from "prosed";

import { stage, test, until } from "./stage.js";

const { me, url, token, runtimeDir, proxied } = await stage("where");

test("finds the daemon and calls it by name", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  assert.equal(prosed.state, "connected");
  assert.equal((await prosed.getVersion()).name, "prosed");
  const [account] = await prosed.listAccounts();
  assert.equal(account.account, me);
  assert.equal((await prosed.loadRoster({ account: me })).contacts[0].name, "Alice");
  assert.deepEqual(await prosed.call("get_account"), account);
});

test("connects to an address that it is given", async (t) => {
  const prosed = await connect({ url, token });
  t.after(() => prosed.close());
  const { contacts } = await prosed.loadRoster();
  const { avatar } = contacts[0];
  const answer = await fetch(prosed.avatarUrl(avatar));
  assert.equal(answer.headers.get("content-type"), avatar.type);
  assert.equal((await answer.arrayBuffer()).byteLength, avatar.bytes);
  const small = await fetch(prosed.avatarUrl(avatar, 64));
  assert.equal(small.status, 200);
  assert.ok((await small.arrayBuffer()).byteLength > 0);
  assert.equal(prosed.avatarUrl(undefined, 64), undefined);
});

test("says whether somebody is looking, again on each connection", async (t) => {
  const others = await stage("watching");
  const prosed = await connect({ url: proxied, token });
  t.after(() => prosed.close());
  const events = prosed.events()[Symbol.asyncIterator]();
  const first = events.next();
  await until(async () => (await stage("watching")) === others + 1);
  await prosed.setActivity({ active: false });
  assert.equal(await stage("watching"), others);
  await stage("cut");
  await stage("presence", { status: "after the cut" });
  await first;
  await prosed.getVersion();
  assert.equal(await stage("watching"), others);
  await prosed.setActivity({ active: true });
  assert.equal(await stage("watching"), others + 1);
});

test("has a method for each of the API", async () => {
  const prosed = await connect();
  const { methods } = await prosed.discover();
  prosed.close();
  const calls = methods.map(({ name }) => name).filter((name) => !/subscribe(_[a-z]+[A-Z]|$)/.test(name));
  const camelCase = (name) => name.replace("rpc.", "").replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  for (const name of calls) assert.equal(typeof Prosed.prototype[camelCase(name)], "function", name);
  assert.ok(calls.length > 20);
});

test("tells errors by their kind", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  const fails = (promise, expected) =>
    assert.rejects(promise, (error) => {
      assert.ok(error instanceof ProsedError && error instanceof Error);
      const { code, kind, retryable } = error;
      assert.deepEqual({ code, kind, retryable }, expected);
      assert.ok(error.message.length > 10);
      return true;
    });
  const unknown = prosed.getContact({ jid: "nobody@prosed.test" });
  await fails(unknown, { code: 1201, kind: "contactUnknown", retryable: false });
  await fails(prosed.loadRoster({ acount: me }), { code: -32602, kind: "invalidParams", retryable: false });
  await fails(prosed.call("fly"), { code: -32601, kind: "methodNotFound", retryable: false });
  const large = prosed.setAvatar({ data: "A".repeat(3_000_000) });
  await fails(large, { code: undefined, kind: "limitExceeded", retryable: false });
  assert.equal((await prosed.getVersion()).name, "prosed", "it goes on");
});

test("makes more calls than the daemon takes at once", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  const polls = Array.from({ length: 200 }, () => prosed.getEvents({ timeout: 1 }));
  for (const { events } of await Promise.all(polls)) assert.ok(Array.isArray(events));
});

test("gives up waiting when it is told to", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  const patience = new AbortController();
  const poll = prosed.getEvents({ timeout: 60 }, { signal: patience.signal });
  patience.abort(new Error("enough"));
  await assert.rejects(poll, { message: "enough" });
  const late = prosed.getVersion({}, { signal: AbortSignal.abort() });
  await assert.rejects(late, { name: "AbortError" });
  assert.equal((await prosed.getVersion()).name, "prosed");
});

test("a closed client says so", async () => {
  const prosed = await connect();
  const states = [];
  prosed.addEventListener("statechange", () => states.push(prosed.state));
  const poll = prosed.getEvents({ timeout: 60 });
  const closed = assert.rejects(poll, { kind: "disconnected" });
  prosed.close();
  prosed.close();
  await closed;
  await assert.rejects(prosed.getVersion(), { kind: "closed" });
  assert.deepEqual(states, ["closed"]);
  assert.equal(prosed.error, undefined);
  for await (const event of prosed.events()) assert.fail(event);
});

test("says why it can't connect", async () => {
  await assert.rejects(connect({ url, token: "guess" }), { kind: "unauthorized", retryable: false });
  await assert.rejects(connect({ url, token: "no token" }), { kind: "unauthorized" });
  await assert.rejects(connect({ url }), { kind: "tokenMissing" });
  await assert.rejects(connect({ url: "nowhere", token }), { kind: "unreachable" });
  await assert.rejects(connect({ url: "ws://127.0.0.1:1/rpc", token }), { kind: "unreachable", retryable: true });
  await assert.rejects(connect({ runtimeDir: "/nowhere" }), { kind: "unreachable", message: /not running/ });
  await assert.rejects(connect({ signal: AbortSignal.abort() }), { name: "AbortError" });
  const endpoint = JSON.parse(await readFile(`${runtimeDir}/endpoint.json`, "utf8"));
  assert.equal(endpoint.url, url);
});

test("leaves the port alone where the socket is dead, and sockets that others could have put there", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "prosed-"));
  t.after(() => rm(folder, { recursive: true }));
  const endpoint = JSON.parse(await readFile(`${runtimeDir}/endpoint.json`, "utf8"));
  const led = async (socket) => {
    await writeFile(join(folder, "endpoint.json"), JSON.stringify({ ...endpoint, socket }));
    return connect({ runtimeDir: folder });
  };
  await assert.rejects(led(join(folder, "gone")), { kind: "unreachable", message: /not running/ });
  const server = createServer().listen(join(folder, "prosed.sock"));
  t.after(() => server.close());
  await once(server, "listening");
  const elsewhere = await mkdtemp(join(tmpdir(), "prosed-"));
  t.after(() => rm(elsewhere, { recursive: true }));
  const other = createServer().listen(join(elsewhere, "prosed.sock"));
  t.after(() => other.close());
  await once(other, "listening");
  await chmod(elsewhere, 0o777);
  const changed = { kind: "unreachable", message: /can be changed by other users/ };
  await assert.rejects(led(join(elsewhere, "prosed.sock")), changed);
  if (process.geteuid() === 0) {
    await chown(join(folder, "prosed.sock"), 65534, 0);
    await assert.rejects(led(join(folder, "prosed.sock")), { kind: "unreachable", message: /another user could be listening/ });
  }
});

test("believes no folder that others can change, anywhere on the way", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "prosed-"));
  t.after(() => rm(home, { recursive: true }));
  const [middle, folder, shared] = ["middle", "middle/folder", "shared"].map((name) => join(home, name));
  await mkdir(folder, { recursive: true });
  await mkdir(shared);
  await copyFile(`${runtimeDir}/endpoint.json`, join(folder, "endpoint.json"));
  const reaches = async (runtimeDir) => (await connect({ runtimeDir })).close();
  const refuses = (runtimeDir, message) => assert.rejects(connect({ runtimeDir }), { kind: "unreachable", message });
  await reaches(folder);
  for (const opened of [middle, folder]) {
    await chmod(opened, 0o777);
    await refuses(folder, new RegExp(`${opened} can be changed by other users`));
    await chmod(opened, 0o755);
  }
  // A link is judged by where it is, and by where it leads.
  await symlink("middle", join(home, "link"));
  await reaches(`${home}/link/folder`);
  await reaches(`${home}/link/../middle/folder`);
  await symlink(folder, join(shared, "link"));
  await chmod(shared, 0o777);
  await refuses(join(shared, "link"), new RegExp(`${shared} can be changed by other users`));
  await symlink("round", join(home, "round"));
  await refuses(join(home, "round"), /too many symbolic links/);
  if (process.geteuid() === 0) {
    await chown(middle, 65534, 0);
    await refuses(folder, new RegExp(`${middle} belongs to another user`));
  }
});

test("what structured cloning leaves of an error makes it again", async (t) => {
  const prosed = await connect();
  t.after(() => prosed.close());
  const error = await prosed.getContact({ jid: "nobody@prosed.test" }).catch((error) => error);
  assert.equal(error.kind, "contactUnknown");
  const clone = structuredClone(error);
  const again = ProsedError.from(clone);
  assert.ok(clone.kind === undefined && again instanceof ProsedError);
  const parts = ({ kind, code, data, message, retryable }) => ({ kind, code, data, message, retryable });
  assert.deepEqual(parts(again), parts(error));
});
