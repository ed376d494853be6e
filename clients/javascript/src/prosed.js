// The client in a web page. In Node it is node.js.

import { Prosed } from "./client.js";
import { openPort } from "./door.js";
import { ProsedError } from "./error.js";

export { Prosed, ProsedError };

const USUAL_URL = "ws://127.0.0.1:5299/rpc";
/** Where a tab keeps the token, for as long as it is open. */
const KEPT_AS = "prosed.token";

/** Connects; see the types. */
export async function connect({ url = USUAL_URL, token, signal } = {}) {
  const handed = handedToken();
  const shown = token ?? handed ?? tab()?.getItem(KEPT_AS);
  // Asked at each attempt: once the daemon has another token, this one is no use.
  const open = (signal) =>
    openPort(WebSocket, url, shown, signal).catch((error) => {
      if (error.kind === "unauthorized") tab()?.removeItem(KEPT_AS);
      throw error;
    });
  const prosed = await Prosed.over({ open, watch }, signal);
  tab()?.setItem(KEPT_AS, shown);
  return prosed;
}

/** When somebody looks at the page again, or the machine wakes, it is time to look for the daemon. */
function watch(hurry, signal) {
  for (const name of ["focus", "online", "pageshow"]) addEventListener(name, hurry, { signal });
  document.addEventListener("visibilitychange", () => document.hidden || hurry(), { signal });
}

/** The token that came behind the page's address, as `#token=…`; it is gone from there then. */
function handedToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return undefined;
  fragment.delete("token");
  const rest = fragment.toString();
  history.replaceState(history.state, "", location.pathname + location.search + (rest && `#${rest}`));
  return token;
}

/** What belongs to this tab; some people let pages keep nothing. */
function tab() {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}
