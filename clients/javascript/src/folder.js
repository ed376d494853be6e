// Whose a folder is. The same rule as the daemon's: what is in a folder is safe from other users only where none of
// them can change what its path leads to.

import { lstat, readlink, stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";

import { unreachable } from "./error.js";

/** Symbolic links on the way to a folder; as many as Linux follows. */
const MAX_LINKS = 40;
/** Users share it, and can change their own entries only, like `/tmp`. */
const STICKY = 0o1000;

/**
 * Checks that a folder is ours, and that each folder and each link on the way to it is ours or root's, and writable by
 * nobody else unless sticky. A group that is our own may write.
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

/** Checks a path up to its first symbolic link, and answers with the path that takes the link. */
async function firstLink(path) {
  let reached = "/";
  // Not normalised: what `..` leads to behind a link, only the link says.
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
