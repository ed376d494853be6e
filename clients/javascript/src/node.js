// The client for Node, which finds the daemon by itself.

import { realpathSync, watch as watchFolder } from "node:fs";
import { open, stat } from "node:fs/promises";
import { createRequire } from "node:module";
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

const INSTALL_WS = "run `npm install ws` in the program's folder";

/** Connects; see the types. */
export async function connect({ url, token, runtimeDir = usualRuntimeDir(process.env), signal } = {}) {
  if (url) return Prosed.over({ open: (signal) => openGiven(url, token, signal), watch() {} }, signal);
  // Looked up at each attempt: after a restart, the daemon may be elsewhere.
  const open = (signal) => find(runtimeDir, signal);
  return Prosed.over({ open, watch: (hurry, signal) => watchFor("endpoint.json", runtimeDir, hurry, signal) }, signal);
}

/** Calls `found` when the file appears or changes. The folder may disappear with the daemon, and come back. */
function watchFor(name, dir, found, signal) {
  const look = (folder, whatever) => {
    try {
      const onchange = (_, changed) => whatever(changed);
      watchFolder(folder, { persistent: false, signal }, onchange).on("error", () => {});
    } catch {
      // It doesn't exist, or there are no watches left: the next timed attempt comes anyway.
    }
  };
  look(dir, (changed) => changed === name && found());
  look(dirname(dir), (changed) => {
    if (changed !== basename(dir)) return;
    look(dir, (changed) => changed === name && found());
    found();
  });
}

/** The same rule as in the daemon. */
function usualRuntimeDir(environment) {
  const absolute = (name) => (isAbsolute(environment[name] ?? "") ? environment[name] : undefined);
  if (environment.PROSED_RUNTIME_DIR) return environment.PROSED_RUNTIME_DIR;
  if (absolute("XDG_RUNTIME_DIR")) return join(environment.XDG_RUNTIME_DIR, "prosed");
  return join(absolute("XDG_DATA_HOME") ?? join(homedir(), ".local/share"), "prosed/run");
}

async function openGiven(url, token, signal) {
  const WebSocket = globalThis.WebSocket ?? (await packageWs());
  if (!WebSocket) throw new ProsedError("webSocketMissing", `Node ${process.versions.node} has no WebSocket: ${INSTALL_WS}.`);
  return openPort(WebSocket, url, token, signal);
}

/** Follows `endpoint.json`. If it names a Unix socket and nothing listens there, the daemon is not running. */
async function find(dir, signal) {
  const endpoint = (await readEndpoint(dir)) ?? (await knock(dir, signal));
  const base = endpoint.url?.replace(/^ws/, "http");
  if (endpoint.socket) {
    await checkSocket(endpoint);
    const socket = await openSocket(endpoint.socket, signal);
    if (socket) return { socket, url: base };
  }
  if (!endpoint.url) {
    throw new ProsedError("webSocketMissing", `prosed has only a Unix socket, which needs the package ws: ${INSTALL_WS}.`);
  }
  try {
    return await openGiven(endpoint.url, await readToken(endpoint.tokenFile ?? endpoint.token_file), signal);
  } catch (error) {
    // The daemon may be restarting, and will write another token.
    if (error.kind === "unauthorized") throw unreachable(error.message.replace(/\.$/, ""), error);
    throw error;
  }
}

/**
 * Checks that our own daemon listens at the socket. Node can't ask the kernel for the peer's user, so the socket must be
 * where no other user can create one.
 */
async function checkSocket({ socket, pid }) {
  const visitor = createConnection(socket);
  try {
    const [file] = await Promise.all([stat(socket), checkOwn(dirname(socket)), connected(visitor)]);
    if (file.uid !== process.geteuid()) {
      throw unreachable(`another user could be listening at ${socket}: nothing was sent`);
    }
  } catch (error) {
    const isDead = error.code === "ECONNREFUSED" || error.code === "ENOENT";
    if (isDead) throw unreachable(`it is not running: process ${pid} no longer listens`, error);
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

/** The token's file must be unreadable to others: a token that they know proves nothing. */
async function readToken(path) {
  try {
    return (await readOurs(path, 0o077)).trim();
  } catch (error) {
    throw unreachable(`its token can't be read: ${error.message}`, error);
  }
}

/** Reads a file that we own, and that grants others none of these permissions. */
async function readOurs(path, rights) {
  const file = await open(path);
  try {
    const { uid, mode } = await file.stat();
    if (uid !== process.geteuid() || mode & rights) throw new Error("it does not belong to you alone");
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** If systemd holds the socket, connecting starts the daemon. */
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

/** Opens the Unix socket, if the package ws is installed. */
async function openSocket(path, signal) {
  const WebSocket = await packageWs();
  if (!WebSocket) return undefined;
  // The host is ignored.
  const socket = new WebSocket("ws://localhost/rpc", { createConnection: () => createConnection(path) });
  if (await opened(socket, signal)) return socket;
  throw unreachable("it has just started, or has no room for another connection");
}

/**
 * For WebSockets over Unix sockets, and in Node 20 for any WebSocket. npm only links a package that it installs from a
 * folder, and Node then searches the folder's own surroundings: the ws that the program has is found from the program.
 */
async function packageWs() {
  try {
    return (await import("ws")).WebSocket;
  } catch {
    try {
      return createRequire(program())("ws").WebSocket;
    } catch {
      return undefined;
    }
  }
}

/** From where Node resolves the program's imports. */
function program() {
  const evaluated = process.execArgv.some((flag) => /^(-[ep]|--eval|--print)/.test(flag));
  return evaluated ? join(process.cwd(), "program.js") : realpathSync(process.argv[1]);
}
