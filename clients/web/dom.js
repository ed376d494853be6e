// Creates elements. Text is inserted as text, never as HTML.

/** An element with properties, and children: elements, or text. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.flat().filter((child) => child !== undefined));
  return made;
}

/** Other people's text, isolated so that it can't change the direction of the text around it. */
export const said = (text, className = "") => element("bdi", { textContent: text, className });

/** Runs something that may fail, and shows the error. */
export async function trying(place, work) {
  place.textContent = "";
  try {
    return await work();
  } catch (error) {
    place.textContent = error.message;
    return undefined;
  }
}

/** Availabilities, most available first, with their labels. */
export const AVAILABILITIES = {
  chat: "Wants to talk",
  available: "Available",
  away: "Away",
  xa: "Away for longer",
  dnd: "Do not disturb",
  unavailable: "Offline",
};

/** A picture, or initials on a colour that depends on the JID. */
export function portrait(prosed, { jid, name, avatar, availability }) {
  const url = prosed.avatarUrl(avatar, 128);
  const inner = url ? element("img", { src: url, alt: "" }) : element("span", { textContent: [...name][0] ?? "?" });
  const hue = [...jid].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  if (!url) inner.style.setProperty("--hue", hue);
  const dot = element("i", { className: `dot ${availability}`, title: AVAILABILITIES[availability] ?? availability });
  return element("div", { className: "portrait" }, inner, dot);
}
