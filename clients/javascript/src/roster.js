// A roster that stays true.

/** Yields the contacts, then again with each change; see the types. */
export async function* watchRoster(prosed, { account, signal } = {}) {
  const contacts = new Map();
  const events = prosed.events({
    events: ["contactChanged"],
    snapshot: () => prosed.loadRoster({ account }, { signal }),
    signal,
  });
  for await (const event of events) {
    if (event.event === "snapshot") {
      account = event.snapshot.account;
      const changed = event.snapshot.contacts;
      const present = new Set(changed.map(({ jid }) => jid));
      const removed = [...contacts.keys()].filter((jid) => !present.has(jid));
      yield change(changed, removed);
    } else if (event.account === account) {
      yield change(event.contacts, event.removed);
    }
  }

  function change(changed, removed) {
    for (const contact of changed) contacts.set(contact.jid, contact);
    for (const jid of removed) contacts.delete(jid);
    return { account, contacts, changed, removed };
  }
}
