"""Where the daemon is: `endpoint.json`, which it writes once its doors are open."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException

from ._wire import NotRunning

URL_ON_SOCKET = "ws://localhost/rpc"
"""The host is not looked at there: the kernel tells the daemon who we are."""

TRANSIENT = (ConnectionError, FileNotFoundError, TimeoutError, WebSocketException, ValueError)
"""What becomes of a connection to a daemon that is not there, not yet, or no daemon of ours."""


@dataclass(frozen=True)
class Doors:
    """The ways in, the better one first."""

    socket: Path | None
    """A Unix socket, which asks for no token."""
    url: str | None = None
    """A port of this machine, which does."""
    token_file: Path | None = None

    def port(self) -> tuple[str, tuple[str, int], dict[str, str]]:
        """The port's URL and address, and what it asks for. The token is read anew each time, since
        it can be replaced.
        """
        if self.url is None or self.token_file is None:
            raise NotRunning("prosed's socket does not answer, and it opened no port")
        token = self.token_file.read_text().strip()
        address = urlsplit(self.url)
        return self.url, (address.hostname or "", address.port or 80), {"Authorization": f"Bearer {token}"}


def find_runtime_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The daemon's runtime directory: `$PROSED_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/prosed`, else
    `$XDG_DATA_HOME/prosed/run`, else `~/.local/share/prosed/run`. Variables of XDG that hold no
    absolute path count as absent (XDG Base Directory Specification).
    """
    if given := env.get("PROSED_RUNTIME_DIR"):
        return Path(given)
    for name, below in [
        ("XDG_RUNTIME_DIR", "prosed"),
        ("XDG_DATA_HOME", "prosed/run"),
        ("HOME", ".local/share/prosed/run"),
    ]:
        if os.path.isabs(folder := env.get(name, "")):
            return Path(folder, below)
    raise NotRunning("there is no home directory: set XDG_RUNTIME_DIR")


def find_doors(folder: Path) -> Doors:
    """The doors of the daemon with this runtime directory. Where systemd holds the socket, the
    daemon starts when somebody knocks.
    """
    file = folder / "endpoint.json"
    try:
        endpoint = json.loads(file.read_bytes())
    except FileNotFoundError:
        knock = folder / "prosed.sock"
        if knock.is_socket():
            return Doors(knock)
        raise NotRunning(f"prosed is not running: there is no {file}") from None
    except ValueError as error:
        raise NotRunning(f"{file} is damaged: {error}") from error
    socket = endpoint.get("socket")
    return Doors(Path(socket) if socket else None, endpoint.get("url"), Path(endpoint["token_file"]))
