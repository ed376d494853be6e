// The event stream, newest first.

import { element, said } from "./dom.js";

/** What is older is of no use to people. */
const SHOWN = 100;

/** Answers with a function that shows one more event. */
export function showEvents(place) {
  const list = element("ol", { className: "events" });
  const hint = element("p", { className: "faint", textContent: "What happens from now on." });
  place.append(element("h2", { textContent: "Events" }), hint, list);
  return (event) => {
    hint.hidden = true;
    list.prepend(line(event));
    while (list.children.length > SHOWN) list.lastChild.remove();
  };
}

function line(event) {
  const time = new Date(event.time).toLocaleTimeString();
  const about = event.ids?.join(", ") ?? event.jid ?? event.info?.state ?? event.account;
  const head = element("summary", {},
    element("time", { textContent: time }), element("code", { textContent: event.event }), said(about, "about"));
  const details = element("details", {}, head);
  // Most are never looked into.
  details.addEventListener("toggle", () => {
    details.append(element("pre", { textContent: JSON.stringify(event, undefined, 2) }));
  }, { once: true });
  return element("li", {}, details);
}
