// The contact list, live.

import { AVAILABILITIES, element, portrait, said, trying } from "./dom.js";

const RANKS = Object.keys(AVAILABILITIES);
const byRank = (one, other) =>
  RANKS.indexOf(one.availability) - RANKS.indexOf(other.availability) || one.name.localeCompare(other.name);

export async function showContacts(prosed, place, account, signal) {
  if (!account) return place.replaceChildren();
  const count = element("span", { className: "count" });
  const search = element("input", { type: "search", placeholder: "Search", ariaLabel: "Search contacts" });
  const list = element("ul", { className: "contacts" });
  const trouble = element("p", { className: "trouble", role: "alert" });
  const head = element("div", { className: "row" }, element("h2", { textContent: "Contacts" }), count, search);
  place.replaceChildren(element("div", { className: "card" }, head, trouble, list, addition(prosed, account)));

  let contacts = new Map();
  const draw = () => {
    const wanted = search.value.toLowerCase();
    const fits = ({ jid, name }) => `${name} ${jid}`.toLowerCase().includes(wanted);
    const shown = [...contacts.values()].filter(fits).sort(byRank);
    count.textContent = contacts.size;
    list.replaceChildren(...shown.map((contact) => entry(prosed, contact)));
    view.disconnect();
    for (const item of list.children) view.observe(item);
  };
  // Report contacts that come into view, once each: their pictures and profiles are fetched first.
  const seen = new Set();
  const view = new IntersectionObserver((entries) => {
    const come = entries.filter(({ isIntersecting }) => isIntersecting).map(({ target }) => target.dataset.jid);
    const jids = come.filter((jid) => !seen.has(jid)).slice(0, 200);
    jids.forEach((jid) => seen.add(jid));
    if (jids.length) prosed.showContacts({ account, jids }).catch(() => jids.forEach((jid) => seen.delete(jid)));
  });
  search.addEventListener("input", draw);
  // Draw once for all changes of a moment.
  let frame;
  await trying(trouble, async () => {
    for await (const change of prosed.watchRoster({ account, signal })) {
      contacts = change.contacts;
      frame ??= requestAnimationFrame(() => {
        frame = undefined;
        draw();
      });
    }
  });
}

const WARNINGS = {
  mixedScripts: "A word of its name or JID mixes scripts that look alike",
  bidi: "Its name or JID turns the direction of writing",
  invisible: "Its name or JID holds characters that can't be seen",
  lookAlike: "Its name or JID looks like somebody else's, and is another: compare the JIDs",
  nameIsJid: "Its name looks like a JID, and is not its own",
};

export const marks = (warnings) =>
  warnings.map((warning) =>
    element("span", { className: "warning", textContent: `⚠ ${warning}`, title: WARNINGS[warning] ?? "This name or JID may deceive" }),
  );

function entry(prosed, contact) {
  const { jid, name, status, availability, warnings, subscription } = contact;
  const line = status ? said(status, "status") : element("span", { className: "status faint", textContent: AVAILABILITIES[availability] });
  const isMutual = subscription === "both";
  const item = element("li", { className: `person ${availability}` },
    portrait(prosed, contact),
    element("div", { className: "words" },
      element("div", { className: "heading" }, said(name, "name"), marks(warnings)),
      line,
      element("span", { className: "jid" }, said(jid), isMutual ? "" : ` · ${contact.ask ? "asked" : subscription}`)));
  item.dataset.jid = jid;
  return item;
}

function addition(prosed, account) {
  const jid = element("input", { name: "jid", placeholder: "Add somebody@example.org", ariaLabel: "Add a contact", required: true });
  const trouble = element("p", { className: "trouble", role: "alert" });
  const form = element("form", { className: "row" }, jid, element("button", { textContent: "Add" }));
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    trying(trouble, async () => {
      await prosed.addContact({ account, jid: jid.value });
      jid.value = "";
    });
  });
  return element("div", {}, form, trouble);
}
