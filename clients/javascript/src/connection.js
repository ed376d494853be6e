// One WebSocket: calls and their answers, subscriptions and their events.

import { ProsedError, disconnected } from "./error.js";

/** Below the daemon's own bound of 64, so that a call beyond it waits here instead of failing there. */
const CALLS_IN_FLIGHT = 48;

/** The daemon's bound on a request. To a larger one it answers without saying which it means. */
const REQUEST_BYTES = 2 * 1024 * 1024;

export class Connection {
  #socket;
  #newestId = 0;
  /** Calls that were sent and not answered, by id. */
  #calls = new Map();
  /** Calls that wait for their turn: each has a promise that somebody holds already. */
  #waiting = [];
  /** By the id that the daemon gave. */
  #subscriptions = new Map();

  #isOver = false;
  #onclose;

  /** Takes a WebSocket that is open. `onclose` is called once, before anybody else learns of the end. */
  constructor(socket, onclose) {
    this.#socket = socket;
    this.#onclose = onclose;
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#end();
    // Whatever is wrong with a socket also closes it.
    socket.onerror = () => {};
    if (socket.readyState !== 1) queueMicrotask(() => this.#end());
  }

  /** Asks for something. */
  call(method, params, signal) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = () => call.answer(signal.reason);
      const call = this.#ask(method, params, (error, result) => {
        signal?.removeEventListener("abort", abort);
        call.settled = true;
        if (error === undefined) resolve(result);
        else reject(error);
      });
      signal?.addEventListener("abort", abort);
    });
  }

  /**
   * Subscribes. The listener's `begin` is called with a function that ends the subscription, then
   * `event` with each event and its length in characters, and, unless we end it, `end` with the error
   * for which it is over or never was. None of them throws.
   */
  subscribe(params, listener) {
    this.#ask("subscribe", params, (error, id) => {
      if (error) return listener.end(error);
      // While the answer is read: an event may be in the same packet.
      this.#subscriptions.set(id, listener);
      listener.begin(() => {
        if (this.#subscriptions.delete(id)) this.call("unsubscribe", { id }).catch(() => {});
      });
    });
  }

  close() {
    this.#end();
    this.#socket.close(1000);
  }

  #ask(method, params, answer) {
    const id = ++this.#newestId;
    const call = { id, text: JSON.stringify({ jsonrpc: "2.0", id, method, params }), answer };
    const error = this.#isOver ? disconnected() : tooLarge(call.text);
    // Not before the caller has what we return.
    if (error) queueMicrotask(() => call.answer(error));
    else this.#waiting.push(call);
    this.#send();
    return call;
  }

  #send() {
    while (this.#calls.size < CALLS_IN_FLIGHT && this.#waiting.length > 0) {
      const call = this.#waiting.shift();
      if (call.settled) continue;
      this.#calls.set(call.id, call);
      this.#socket.send(call.text);
    }
  }

  #receive(text) {
    const message = parse(text);
    // Whoever speaks no JSON is not prosed.
    if (!message) return this.close();
    if (message.method !== undefined) return this.#notice(message.params, text.length);
    const call = this.#calls.get(message.id);
    if (!call) return;
    this.#calls.delete(message.id);
    if (!call.settled) call.answer(message.error && ProsedError.from(message.error), message.result);
    this.#send();
  }

  #notice({ subscription, result, error }, length) {
    const listener = this.#subscriptions.get(subscription);
    if (!listener) return;
    if (error === undefined) return listener.event(result, length);
    this.#subscriptions.delete(subscription);
    listener.end(ProsedError.from(error));
  }

  #end() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onclose();
    const calls = [...this.#calls.values(), ...this.#waiting];
    const listeners = [...this.#subscriptions.values()];
    this.#calls.clear();
    this.#waiting = [];
    this.#subscriptions.clear();
    for (const call of calls) if (!call.settled) call.answer(disconnected());
    for (const listener of listeners) listener.end(disconnected());
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function tooLarge(text) {
  // A character takes one to three bytes in UTF-8.
  if (text.length * 3 <= REQUEST_BYTES) return undefined;
  if (new TextEncoder().encode(text).length <= REQUEST_BYTES) return undefined;
  const data = { limit: "bytes of a request", value: REQUEST_BYTES, retryable: false };
  return new ProsedError("limitExceeded", `A call is larger than ${REQUEST_BYTES} bytes.`, { data });
}
