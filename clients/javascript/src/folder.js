// Who owns a folder. The same rule as in the daemon: a folder is safe from other users only if none of them can change
// what its path leads to.

import { lstat, readlink, stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";

import { unreachable } from "./error.js";

/** The most symbolic links on the way to a folder: as many as Linux follows. */
const MAX_LINKS = 40;
/** The sticky bit, as on `/tmp`: users can change only their own entries. */
const STICKY = 0o1000;

/**
 * Checks that we own a folder, and that each folder and link on the way to it is owned by us or root, and writable by
 * nobody else unless it is sticky. Our private group may write.
 */
export async function checkOwn(folder) {
  let path = isAbsolute(folder) ? folder : `${process.cwd()}/${folder}`;
  for (let links = 0; path !== undefined; links += 1) {
    if (links > MAX_LINKS) throw untrusted(path, "has too many symbolic links on the way");
    path = await firstLink(path);
  }
  const { uid, mode } = await stat(folder);
  if (uid !== process.geteuid() || mode & STICKY) throw untrusted(folder, "is not a folder of your own");
}

/** Checks a path up to its first symbolic link, and returns the path with that link resolved. */
async function firstLink(path) {
  let reached = "/";
  // Not normalised: after a symbolic link, `..` leads elsewhere.
  const rest = path.split("/").filter((name) => name !== "" && name !== ".");
  for (;;) {
    const found = await lstat(reached);
    if (![0, process.geteuid()].includes(found.uid)) throw untrusted(reached, "belongs to another user");
    if (found.isSymbolicLink()) {
      const target = await readlink(reached);
      return [isAbsolute(target) ? target : `${dirname(reached)}/${target}`, ...rest].join("/");
    }
    if (!found.isDirectory()) throw unreachable(`${reached} is no folder`);
    if (!(found.mode & STICKY) && isWritableByOthers(found)) throw untrusted(reached, "can be changed by other users");
    if (rest.length === 0) return undefined;
    const name = rest.shift();
    reached = name === ".." ? dirname(reached) : join(reached, name);
  }
}

function isWritableByOthers({ gid, mode }) {
  const ownGroup = [0, process.getegid()].includes(gid);
  return (mode & (ownGroup ? 0o002 : 0o022)) !== 0;
}

function untrusted(path, why) {
  return unreachable(`${path} ${why}: what is there is not believed`);
}
