// The client in Node, which finds the daemon by itself.

import { watch as watchFolder } from "node:fs";
import { open, stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join } from "node:path";

import { Prosed } from "./client.js";
import { PATIENCE, openPort, opened } from "./door.js";
import { ProsedError, unreachable } from "./error.js";
import { checkOwn } from "./folder.js";
import { pause } from "./link.js";

export { Prosed, ProsedError };

/** How often to look for the endpoint of a daemon that is starting, in milliseconds. */
const POLL = 50;

/** Connects; see the types. */
export async function connect({ url, token, runtimeDir = usualRuntimeDir(process.env), signal } = {}) {
  if (url) return Prosed.over({ open: (signal) => openGiven(url, token, signal), watch() {} }, signal);
  // Read again for each attempt: after a restart, the daemon may be elsewhere.
  const open = (signal) => find(runtimeDir, signal);
  return Prosed.over({ open, watch: (hurry, signal) => watchFor("endpoint.json", runtimeDir, hurry, signal) }, signal);
}

/** Calls `found` when the file comes or changes. The folder may go with the daemon, and come again. */
function watchFor(name, dir, found, signal) {
  const look = (folder, whatever) => {
    try {
      const onchange = (_, changed) => whatever(changed);
      watchFolder(folder, { persistent: false, signal }, onchange).on("error", () => {});
    } catch {
      // It is not there, or the system's watches are all taken: the next attempt comes in any case.
    }
  };
  look(dir, (changed) => changed === name && found());
  look(dirname(dir), (changed) => {
    if (changed !== basename(dir)) return;
    look(dir, (changed) => changed === name && found());
    found();
  });
}

/** As the daemon decides it. */
function usualRuntimeDir(environment) {
  const absolute = (name) => (isAbsolute(environment[name] ?? "") ? environment[name] : undefined);
  if (environment.PROSED_RUNTIME_DIR) return environment.PROSED_RUNTIME_DIR;
  if (absolute("XDG_RUNTIME_DIR")) return join(environment.XDG_RUNTIME_DIR, "prosed");
  return join(absolute("XDG_DATA_HOME") ?? join(homedir(), ".local/share"), "prosed/run");
}

async function openGiven(url, token, signal) {
  const WebSocket = globalThis.WebSocket ?? (await packageWs());
  if (!WebSocket) throw new ProsedError("unreachable", "This Node has no WebSocket: npm install ws");
  return openPort(WebSocket, url, token, signal);
}

/** Goes by `endpoint.json`. Where it names a Unix socket and nobody listens there, there is no daemon. */
async function find(dir, signal) {
  const endpoint = (await readEndpoint(dir)) ?? (await knock(dir, signal));
  const base = endpoint.url?.replace(/^ws/, "http");
  if (endpoint.socket) {
    await checkSocket(endpoint);
    const socket = await openSocket(endpoint.socket, signal);
    if (socket) return { socket, url: base };
  }
  if (!endpoint.url) throw unreachable("without the package ws its Unix socket is no use, and it opened no port");
  try {
    return await openGiven(endpoint.url, await readToken(endpoint.tokenFile ?? endpoint.token_file), signal);
  } catch (error) {
    // The daemon may be back soon, with another token in its file.
    if (error.kind === "unauthorized") throw unreachable(error.message.replace(/\.$/, ""), error);
    throw error;
  }
}

/**
 * Whether our own daemon listens at the socket. Node can't ask the kernel for the other end's user, so nobody
 * else may be able to put a socket there.
 */
async function checkSocket({ socket, pid }) {
  const visitor = createConnection(socket);
  try {
    const [file] = await Promise.all([stat(socket), checkOwn(dirname(socket)), connected(visitor)]);
    if (file.uid !== process.geteuid()) {
      throw unreachable(`others than you may listen at ${socket}: nothing was sent there`);
    }
  } catch (error) {
    const isDead = error.code === "ECONNREFUSED" || error.code === "ENOENT";
    if (isDead) throw unreachable(`it is not running: process ${pid} listens no more`, error);
    throw error instanceof ProsedError ? error : unreachable(error.message, error);
  } finally {
    visitor.destroy();
  }
}

function connected(visitor) {
  return new Promise((resolve, reject) => visitor.once("connect", resolve).once("error", reject));
}

async function readEndpoint(dir) {
  const path = join(dir, "endpoint.json");
  try {
    await checkOwn(dir);
    return JSON.parse(await readOurs(path, 0));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    if (error instanceof ProsedError) throw error;
    throw unreachable(`${path} can't be read: ${error.message}`, error);
  }
}

/** What others know proves nothing. */
async function readToken(path) {
  try {
    return (await readOurs(path, 0o077)).trim();
  } catch (error) {
    throw unreachable(`its token can't be read: ${error.message}`, error);
  }
}

/** Reads a file that is ours, and that grants others none of these rights. */
async function readOurs(path, rights) {
  const file = await open(path);
  try {
    const { uid, mode } = await file.stat();
    if (uid !== process.geteuid() || mode & rights) throw new Error("it is not for you alone");
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** Where systemd holds the socket, the daemon starts when somebody knocks. */
async function knock(dir, signal) {
  const path = join(dir, "prosed.sock");
  const visitor = createConnection(path);
  try {
    await connected(visitor).catch(() => {
      throw unreachable(`it is not running: there is no ${join(dir, "endpoint.json")}`);
    });
    for (let waited = 0; waited < PATIENCE; waited += POLL) {
      const endpoint = await readEndpoint(dir);
      if (endpoint) return endpoint;
      await pause(POLL, signal);
      signal?.throwIfAborted();
    }
    throw unreachable("it does not start");
  } finally {
    visitor.destroy();
  }
}

/** The Unix socket, where the package ws is here. */
async function openSocket(path, signal) {
  const WebSocket = await packageWs();
  if (!WebSocket) return undefined;
  // The address counts for nothing.
  const socket = new WebSocket("ws://localhost/rpc", { createConnection: () => createConnection(path) });
  if (await opened(socket, signal)) return socket;
  throw unreachable("it has just started, or has no room for another connection");
}

/** What no Node can do by itself: WebSockets over Unix sockets, and in Node 20 any WebSocket. */
function packageWs() {
  return import("ws").then(
    (ws) => ws.WebSocket,
    () => undefined,
  );
}
