// One WebSocket: calls and their answers, subscriptions and their events.

import { ProsedError, disconnected } from "./error.js";

/** Less than the daemon's limit of 64: further calls wait here instead of failing there. */
const CALLS_IN_FLIGHT = 48;

/** The daemon's limit on a request. Its answer to a larger one has no id, so we check it here. */
const REQUEST_BYTES = 2 * 1024 * 1024;

export class Connection {
  #socket;
  #newestId = 0;
  /** Calls that were sent and not answered, by id. */
  #calls = new Map();
  /** Calls that wait to be sent, whose promises callers already have. */
  #waiting = [];
  /** By the daemon's subscription id. */
  #subscriptions = new Map();

  #isOver = false;
  #onclose;

  /** Takes an open WebSocket. `onclose` is called once, before any call fails. */
  constructor(socket, onclose) {
    this.#socket = socket;
    this.#onclose = onclose;
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#end();
    // Every error also closes the socket.
    socket.onerror = () => {};
    if (socket.readyState !== 1) queueMicrotask(() => this.#end());
  }

  /** Calls a method. */
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
   * Subscribes. The listener's `begin` is called with a function that ends the subscription, then `event` with each
   * event and its length in characters. If the subscription fails or is ended by the daemon, `end` is called with the
   * error. None of them may throw.
   */
  subscribe(params, listener) {
    this.#ask("subscribe", params, (error, id) => {
      if (error) return listener.end(error);
      // Synchronously: an event may be in the same packet.
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
    // Only after the caller has our return value.
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
    // prosed sends only JSON.
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
