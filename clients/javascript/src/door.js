// Opening the daemon's door on a port, with what browsers and Node have in common.

import { ProsedError, unreachable } from "./error.js";

/** The daemon is on this machine: it answers within so many milliseconds, or not at all. */
export const PATIENCE = 5_000;

/** Opens the WebSocket at `url` with the token; `WebSocket` is the class that does it. */
export async function openPort(WebSocket, url, token, signal) {
  // Pages can't set a header on a WebSocket, and an address is no place for a token.
  const protocols = ["prosed.v1", `prosed.bearer.${token}`];
  let socket;
  try {
    socket = new WebSocket(url, protocols);
  } catch (cause) {
    throw new ProsedError("unreachable", `This is no address or no token: ${cause.message}`, { cause });
  }
  if (!(await opened(socket, signal))) throw await whyNot(url, token, signal);
  return { socket, url: url.replace(/^ws/, "http") };
}

/** Whether a WebSocket opens. */
export function opened(socket, signal) {
  return new Promise((resolve, reject) => {
    const done = (how, value) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      // Closing what is on its way is an error to some; it is ours.
      if (value !== true) socket.onerror = () => {};
      if (value !== true) socket.close();
      how(value);
    };
    const timer = setTimeout(() => done(resolve, false), PATIENCE);
    const abort = () => done(reject, signal.reason);
    signal?.addEventListener("abort", abort);
    socket.onopen = () => done(resolve, true);
    socket.onclose = () => done(resolve, false);
    socket.onerror = () => done(resolve, false);
    if (signal?.aborted) abort();
  });
}

/**
 * A WebSocket says nothing of why it did not open. HTTP does, as far as a page may know. The daemon may
 * come and go while we ask: what is final is said only of one that was there before and after.
 */
async function whyNot(url, token, signal) {
  const base = url.replace(/^ws/, "http");
  const ask = async (path, options) => {
    const patience = AbortSignal.timeout(PATIENCE);
    const either = signal ? AbortSignal.any([signal, patience]) : patience;
    return fetch(new URL(path, base), { signal: either, cache: "no-store", ...options }).catch(() => undefined);
  };
  const health = () => ask("/healthz");
  const answer = await health();
  if (answer?.ok) {
    const headers = { "authorization": `Bearer ${token}`, "content-type": "application/json" };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "get_version" });
    const judged = await ask(base, { method: "POST", headers, body });
    // From a page of another origin the refusal itself is hidden.
    if (judged ? judged.status === 401 : globalThis.location && (await health())?.ok) {
      return new ProsedError("unauthorized", "This is not prosed's token: it is in the file that endpoint.json names.");
    }
    return unreachable("it has just started, or has no room for another connection");
  }
  if (answer) return unreachable(`${url} answers ${answer.status}`);
  // The daemon gives a page that it does not list no sign of itself.
  const origin = globalThis.location?.origin;
  if (origin && origin !== new URL(base).origin) {
    return unreachable(
      `nobody answers at ${url}, or prosed lets in no pages of ${origin}. ` +
        `If it runs, list them in its config.toml: allowed_origins = ["${origin}"]`,
    );
  }
  return unreachable(`nobody answers at ${url}`);
}
