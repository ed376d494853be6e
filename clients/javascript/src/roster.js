// A roster that is kept up to date.

/** Yields the contacts, then each change, until the account is forgotten; see the types. */
export async function* watchRoster(prosed, { account, signal } = {}) {
  const contacts = new Map();
  let isKnown = false;
  const events = prosed.events({
    events: ["contactChanged", "accountChanged"],
    snapshot: () => prosed.loadRoster({ account }, { signal }),
    signal,
  });
  try {
    for await (const event of events) {
      if (event.event === "snapshot") {
        account = event.snapshot.account;
        isKnown = true;
        const changed = event.snapshot.contacts;
        const present = new Set(changed.map(({ jid }) => jid));
        const removed = [...contacts.keys()].filter((jid) => !present.has(jid));
        yield change({ contacts: changed, cameOnline: [], removed, initial: true });
      } else if (event.account !== account) {
        continue;
      } else if (event.event === "contactChanged") {
        yield change(event);
      } else if (event.event === "accountChanged" && !event.info) {
        return;
      }
    }
  } catch (error) {
    // Forgotten while the connection was lost.
    if (!isKnown || error.kind !== "accountUnknown") throw error;
  }

  function change({ contacts: changed, cameOnline, removed, initial = false }) {
    for (const contact of changed) contacts.set(contact.jid, contact);
    for (const jid of removed) contacts.delete(jid);
    return { account, contacts, changed, cameOnline, removed, initial };
  }
}
