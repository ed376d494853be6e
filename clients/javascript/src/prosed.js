// The client for web pages. For Node, see node.js.

import { Prosed } from "./client.js";
import { openPort } from "./door.js";
import { ProsedError } from "./error.js";

export { Prosed, ProsedError };

const USUAL_URL = "ws://127.0.0.1:5299/rpc";
/** The tab's session storage key for the token. */
const KEPT_AS = "prosed.token";

/** Connects; see the types. */
export async function connect({ url = USUAL_URL, token, signal } = {}) {
  const handed = handedToken();
  const shown = token ?? handed ?? tab()?.getItem(KEPT_AS);
  // Once the daemon has a new token, forget this one.
  const open = (signal) =>
    openPort(WebSocket, url, shown, signal).catch((error) => {
      if (error.kind === "unauthorized") tab()?.removeItem(KEPT_AS);
      throw error;
    });
  const prosed = await Prosed.over({ open, watch }, signal);
  tab()?.setItem(KEPT_AS, shown);
  return prosed;
}

/** Tries to reconnect when the page becomes visible or the machine wakes up. */
function watch(hurry, signal) {
  for (const name of ["focus", "online", "pageshow"]) addEventListener(name, hurry, { signal });
  document.addEventListener("visibilitychange", () => document.hidden || hurry(), { signal });
}

/** Takes the token out of the page's address (`#token=…`). */
function handedToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return undefined;
  fragment.delete("token");
  const rest = fragment.toString();
  history.replaceState(history.state, "", location.pathname + location.search + (rest && `#${rest}`));
  return token;
}

/** The tab's storage. Undefined if the browser doesn't allow any. */
function tab() {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}
