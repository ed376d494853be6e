// Uses everything, and is never run: tsc says whether the types fit. What must not pass is marked.

import { type Contact, type EventOf, type ProsedEvent, Prosed, ProsedError, connect } from "prosed";

const prosed: Prosed = await connect({ url: "ws://127.0.0.1:5299/rpc", token: "secret" });
await connect({ runtimeDir: "/run/user/1000/prosed", signal: AbortSignal.timeout(1000) });
await connect();
// @ts-expect-error there is no such option
await connect({ tokn: "secret" });
// @ts-expect-error only `connect` makes one
new Prosed();

const account = await prosed.login({ jid: "me@example.org", password: "correct horse", tls: "starttls" });
// Words may come that are newer than these types.
const state: string = account.state;
const why: string | undefined = account.error?.data.kind;
// @ts-expect-error `jid` is missing
await prosed.login({ password: "correct horse" });
// @ts-expect-error misspelt
await prosed.loadRoster({ acount: "me@example.org" });
// @ts-expect-error no word at all
await prosed.setPresence({ availability: 5 });
await prosed.setPresence({ availability: "dnd", status: "In a rehearsal" });
await prosed.logout();

const { contacts, seq } = await prosed.loadRoster({ account: account.account });
for (const { name, status, avatar, warnings, resources } of contacts) {
  const line: string = `${name} ${status ?? ""} ${prosed.avatarUrl(avatar)} ${warnings.includes("bidi")}`;
  const program: string | undefined = resources[0]?.client?.name;
}
const contact: Contact = await prosed.getContact({ jid: "romeo@example.net" }, { signal: AbortSignal.timeout(1) });
await prosed.addContact({ jid: contact.jid, groups: ["Friends"] });
await prosed.setProfile({ profile: { fullName: "Romeo", note: null, address: { locality: "Verona", street: null } } });
// @ts-expect-error no text
await prosed.setProfile({ profile: { nickname: 5 } });
await prosed.requestSubscription({ jid: contact.jid, message: "We met at the ball" });
const { data }: { data: string } = await prosed.loadAvatar({ jid: contact.jid });
await prosed.setAvatar({ data });
const requests: Array<{ jid: string; receivedAt: string }> = await prosed.listSubscriptionRequests();
const unknown: unknown = await prosed.call("method_of_tomorrow", { jid: contact.jid });

for await (const event of prosed.events({ since: seq, account: account.account })) {
  switch (event.event) {
    case "contactChanged":
      event.contacts.forEach(({ jid }) => jid.length);
      break;
    case "accountChanged":
      event.info?.state;
      break;
    case "subscriptionRequested":
      event.nick ?? event.jid;
      break;
    case "rosterLoaded":
    case "subscriptionResolved":
      // @ts-expect-error those carry no contacts
      event.contacts;
  }
}
for await (const event of prosed.events({ events: ["rosterLoaded", "contactChanged"] })) {
  const name: "rosterLoaded" | "contactChanged" = event.event;
}
for await (const event of prosed.events({ events: ["contactChanged"], snapshot: () => prosed.loadRoster() })) {
  if (event.event === "snapshot") event.snapshot.contacts.map(({ name }) => name);
  else event.removed.map((jid) => jid.length);
}
const both = async () => ({ ...(await prosed.getEvents()), accounts: await prosed.listAccounts() });
for await (const event of prosed.events({ snapshot: both, signal: AbortSignal.timeout(1) })) {
  if (event.event === "snapshot") event.snapshot.accounts[0]?.remembered;
}
// @ts-expect-error a snapshot has a `seq`
prosed.events({ snapshot: async () => ({ contacts }) });
// @ts-expect-error no event of the API
prosed.events({ events: ["contactVanished"] });
const stream = prosed.events({ events: ["accountChanged"] });
const one: IteratorResult<EventOf<"accountChanged">, unknown> = await stream.next();
await stream.return();
const handle = (event: ProsedEvent): number => event.seq;

for await (const { contacts, changed, removed } of prosed.watchRoster({ account: account.account })) {
  const map: ReadonlyMap<string, Contact> = contacts;
  changed.concat([...map.values()]);
  removed.join();
}

prosed.addEventListener("statechange", () => {
  if (prosed.state === "closed" && prosed.error?.kind === "unauthorized") prosed.close();
});
try {
  await prosed.getVersion();
} catch (error) {
  if (error instanceof ProsedError && error.retryable) {
    const wait: number = error.data.retryAfterMs ?? 1000;
    const kind: "cursorExpired" | string = error.kind;
    const code: number | undefined = error.code;
  }
}
