// What happens outside of the browser: a test in Rust makes it happen (tests/src/stage.rs).

import { once } from "node:events";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";

/** Answers with a function that asks for something by its name, and waits until it has happened. */
export async function connectStage(port) {
  const socket = createConnection(port, "127.0.0.1");
  await once(socket, "connect");
  const answers = createInterface(socket)[Symbol.asyncIterator]();
  return async (name, details = {}) => {
    socket.write(`${JSON.stringify({ name, ...details })}\n`);
    return JSON.parse((await answers.next()).value).done;
  };
}
