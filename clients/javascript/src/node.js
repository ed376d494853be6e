// The client in Node, which finds the daemon by itself.

import { readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

import { Prosed } from "./client.js";
import { PATIENCE, openPort, opened } from "./door.js";
import { ProsedError, unreachable } from "./error.js";
import { pause } from "./link.js";

export { Prosed, ProsedError };

/** How often to look for the endpoint of a daemon that is starting, in milliseconds. */
const POLL = 50;

/** Connects; see the types. */
export async function connect({ url, token, runtimeDir = usualRuntimeDir(process.env), signal } = {}) {
  // Asked anew at each attempt: after a restart, the daemon may be elsewhere.
  const open = url ? (signal) => openGiven(url, token, signal) : (signal) => find(runtimeDir, signal);
  return Prosed.over(open, signal);
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

/** Goes by `endpoint.json`: to the Unix socket, which no other user can stand in for, else to the port. */
async function find(dir, signal) {
  const endpoint = (await readEndpoint(dir)) ?? (await knock(dir, signal));
  const socket = await openSocket(endpoint.socket, signal);
  const base = endpoint.url?.replace(/^ws/, "http");
  if (socket) return { socket, url: base };
  if (!endpoint.url) {
    throw unreachable("its Unix socket does not answer, or the package ws is missing, and it opened no port");
  }
  return openGiven(endpoint.url, await readToken(endpoint.token_file), signal);
}

async function readEndpoint(dir) {
  const path = join(dir, "endpoint.json");
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw unreachable(`${path} can't be read: ${error.message}`, error);
  }
}

async function readToken(path) {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw unreachable(`its token can't be read: ${error.message}`, error);
  }
}

/** Where systemd holds the socket, the daemon starts when somebody knocks. */
async function knock(dir, signal) {
  const path = join(dir, "prosed.sock");
  const visitor = createConnection(path);
  try {
    await new Promise((resolve, reject) => {
      visitor.on("connect", resolve);
      visitor.on("error", () => reject(unreachable(`it is not running: there is no ${join(dir, "endpoint.json")}`)));
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

/** The Unix socket, where there is one and the package ws is here. */
async function openSocket(path, signal) {
  const WebSocket = path && (await packageWs());
  if (!WebSocket) return undefined;
  // Whose socket it is says the kernel; the address counts for nothing.
  const socket = new WebSocket("ws://localhost/rpc", { createConnection: () => createConnection(path) });
  return (await opened(socket, signal)) ? socket : undefined;
}

/** What no Node can do by itself: WebSockets over Unix sockets, and in Node 20 any WebSocket. */
function packageWs() {
  return import("ws").then(
    (ws) => ws.WebSocket,
    () => undefined,
  );
}
