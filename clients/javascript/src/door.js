// Connects to the daemon's port, in browsers and in Node.

import { ProsedError, unreachable } from "./error.js";

/** How long to wait for an answer, in milliseconds: the daemon is on this machine. */
export const PATIENCE = 5_000;

/** The length of an answer to a challenge, in characters. */
const ANSWER_LENGTH = 64;

/**
 * Opens a WebSocket to `url` with the token, after the program that listens there has proved that it has the token:
 * another program may have taken the port since the daemon ended. `WebSocket` is the class to use.
 */
export async function openPort(WebSocket, url, token, signal) {
  if (!token) throw new ProsedError("tokenMissing", "prosed needs its token: it is in the file that endpoint.json names.");
  const place = parsed(url);
  const base = place.href.replace(/^ws/, "http");
  const answer = await challenge(base, token, signal);
  if (!answer) throw whyNot(base);
  if (!answer.isRight) {
    throw new ProsedError(
      "unauthorized",
      `The program that listens at ${url} does not know this token, and nothing was sent to it. prosed makes a new ` +
        "token when it starts: run `prosectl open` again, or read the file that endpoint.json names. If prosed is not " +
        "running, another program has its port.",
    );
  }
  // Pages can't set headers on a WebSocket, and URLs end up in logs.
  const socket = new WebSocket(place.href, ["prosed.v1", `prosed.bearer.${token}`]);
  if (!(await opened(socket, signal))) {
    throw unreachable("it has just started, or has no room for another connection");
  }
  return { socket, url: base };
}

/** An address rather than a name, because the address is part of the proof. */
function parsed(url) {
  try {
    const place = new URL(url);
    if (place.hostname === "localhost") place.hostname = "127.0.0.1";
    return place;
  } catch (cause) {
    throw new ProsedError("unreachable", `${url} is not a URL.`, { cause });
  }
}

/** Asks the program at `base` to prove that it has the token. Undefined if a page gets no answer. */
async function challenge(base, token, signal) {
  if (!globalThis.crypto?.subtle) {
    throw new ProsedError(
      "insecurePage",
      "This page can't check who listens on prosed's port, since browsers let it do no cryptography: " +
        "serve it from http://localhost or by HTTPS.",
    );
  }
  const nonce = hexadecimal(crypto.getRandomValues(new Uint8Array(32)));
  const answer = await ask(new URL("/challenge", base), { headers: { "prosed-nonce": nonce }, redirect: "error" }, signal);
  if (!answer) return undefined;
  if (answer.status !== 200 && answer.status !== 401) throw unreachable(`it answers ${answer.status}`);
  const { hostname, port } = new URL(base);
  const bytes = (text) => new TextEncoder().encode(text);
  const key = await crypto.subtle.importKey("raw", bytes(token), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const message = bytes(`prosed challenge 1\n${hostname}:${port || 80}\n${nonce}`);
  const right = hexadecimal(new Uint8Array(await crypto.subtle.sign("HMAC", key, message)));
  return { isRight: (await beginning(answer)) === right };
}

/** Reads no more than necessary: this may be any program. */
async function beginning(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    while (text.length <= ANSWER_LENGTH) {
      const { value, done } = await reader.read();
      if (done) return text;
      text += value;
    }
  } catch {
    // Too slow, or cut off.
  } finally {
    reader.cancel().catch(() => {});
  }
  return undefined;
}

const hexadecimal = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A request without the token. Undefined if there is no answer that we may read. */
function ask(address, options, signal) {
  const patience = AbortSignal.timeout(PATIENCE);
  const either = signal ? AbortSignal.any([signal, patience]) : patience;
  return fetch(address, { signal: either, cache: "no-store", ...options }).catch(() => {
    signal?.throwIfAborted();
    return undefined;
  });
}

/** Whether the WebSocket could be opened. */
export function opened(socket, signal) {
  return new Promise((resolve, reject) => {
    const done = (how, value) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      // Some implementations report closing a socket that is still connecting as an error.
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
 * Browsers don't tell a page why a request failed, and the daemon doesn't answer pages whose origin is not listed.
 */
function whyNot(base) {
  const origin = globalThis.location?.origin;
  if (origin && origin !== new URL(base).origin) {
    return unreachable(
      `nobody answers at ${base}, or prosed lets in no pages of ${origin}. ` +
        `If it runs, list them in its config.toml: allowed_origins = ["${origin}"]`,
    );
  }
  return unreachable(`nobody answers at ${base}`);
}
