"""Whose a folder is. The same rule as the daemon's: what is in a folder is safe from other users only
where none of them can change what its path leads to.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ._wire import NotRunning

MAX_LINKS = 40
"""The most symbolic links on the way to a folder: as many as Linux follows."""


def check_own(folder: Path) -> None:
    """Checks that a folder is ours, and that each folder and each link on the way to it is ours or
    root's, and writable by nobody else unless sticky, like `/tmp`. A group that is our own may write.

    Raises `NotRunning` where that is not so, and `OSError` where there is no such folder.
    """
    path = os.path.join(os.getcwd(), folder)
    for _ in range(MAX_LINKS + 1):
        further = _first_link(path)
        if further is None:
            break
        path = further
    else:
        raise _untrusted(path, "has too many symbolic links on the way")
    found = os.stat(folder)
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        raise _untrusted(os.fspath(folder), "is not a folder of your own")


def _first_link(path: str) -> str | None:
    """Checks a path up to its first symbolic link, and returns the path with that link resolved."""
    reached = "/"
    # Not `os.path.normpath`: after a symbolic link, `..` leads elsewhere.
    rest = [name for name in path.split("/") if name not in ("", ".")]
    while True:
        found = os.lstat(reached)
        if found.st_uid not in (0, os.geteuid()):
            raise _untrusted(reached, "belongs to another user")
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(reached)
            return "/".join([os.path.join(os.path.dirname(reached), target), *rest])
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(reached)
        if not found.st_mode & stat.S_ISVTX and _is_writable_by_others(found):
            raise _untrusted(reached, "can be changed by other users")
        if not rest:
            return None
        name = rest.pop(0)
        reached = os.path.dirname(reached) if name == ".." else os.path.join(reached, name)


def _is_writable_by_others(found: os.stat_result) -> bool:
    own_group = found.st_gid in (0, os.getegid())
    return bool(found.st_mode & (0o002 if own_group else 0o022))


def _untrusted(path: str, why: str) -> NotRunning:
    return NotRunning(f"{path} {why}: what is there is not believed")
