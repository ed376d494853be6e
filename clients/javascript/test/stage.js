// What the tests want to happen outside of them: tests/tests/javascript.rs makes it happen.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { test as run } from "node:test";

/** How long one test may take on a busy machine, in milliseconds. */
const PATIENCE = 120_000;

export const test = (name, work) => run(name, { timeout: PATIENCE }, work);

const socket = createConnection(Number(process.env.PROSED_STAGE), "127.0.0.1");
// No test ends later for its sake.
socket.unref();
const answers = createInterface(socket)[Symbol.asyncIterator]();
await once(socket, "connect");

let last = Promise.resolve();

/** Asks for something by its name, and waits until it has happened. */
export function stage(name, details = {}) {
  last = last.then(async () => {
    socket.ref();
    socket.write(`${JSON.stringify({ name, ...details })}\n`);
    const { value } = await answers.next();
    socket.unref();
    return JSON.parse(value).done;
  });
  return last;
}

/** Waits until something is true. */
export async function until(fits) {
  while (!(await fits())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Takes from a stream until an event fits. */
export async function take(events, fits) {
  const taken = [];
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(!done, "the stream has ended");
    taken.push(value);
    if (fits(value)) return taken;
  }
}

/** What the contacts in an event say. */
export const statuses = ({ contacts = [] }) => contacts.map(({ status }) => status);
