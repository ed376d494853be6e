// The event stream, newest first.

import { element, said } from "./dom.js";

/** The most events shown: older ones are removed. */
const SHOWN = 100;

/** Returns a function that shows one more event. */
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
  // Formatted only when opened: most never are.
  details.addEventListener("toggle", () => {
    details.append(element("pre", { textContent: JSON.stringify(event, undefined, 2) }));
  }, { once: true });
  return element("li", {}, details);
}
