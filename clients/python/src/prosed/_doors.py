"""Finds the daemon by `endpoint.json`, which it writes once it listens."""

from __future__ import annotations

import hmac
import json
import os
import pwd
import secrets
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException

from ._folder import check_own
from ._wire import CONNECT_TIMEOUT, NotRunning, Refused

URL_ON_SOCKET = "ws://localhost/rpc"
"""The host is ignored: the kernel tells the daemon who we are."""

PEER = struct.Struct("iII")
"""`struct ucred` of Linux: process, user, group."""

MAX_HEAD = 4096
"""Bytes. The largest head of a response to a challenge; the daemon's has some 200."""

TRANSIENT = (ConnectionError, FileNotFoundError, TimeoutError, WebSocketException, ValueError)
"""Errors of a connection to a daemon that is not there, is just starting, or is not ours."""


@dataclass(frozen=True)
class Doors:
    """Where the daemon listens."""

    socket: Path | None
    """Its Unix socket. If there is one, only that is used."""
    url: str | None = None
    """A port of this machine, which needs the token."""
    token_file: Path | None = None
    pid: int | None = None
    """The daemon's process."""


@dataclass(frozen=True)
class Connection:
    """A connection to what is known to be the daemon. Nothing was sent over it yet."""

    stream: socket.socket
    url: str
    headers: dict[str, str]
    """Headers that the daemon needs."""


def open_connection(folder: Path) -> Connection:
    """Connects to the daemon with this runtime directory. Raises `NotRunning` if another program
    listens there, and sends nothing to it.
    """
    doors = find_doors(folder)
    try:
        if doors.socket is not None:
            return Connection(_open_socket(doors.socket), URL_ON_SOCKET, {})
        if doors.url is None or doors.token_file is None:
            raise NotRunning("prosed has neither a socket nor a port")
        # Read each time: the daemon makes a new token at each start.
        token = _read_private(doors.token_file).decode().strip()
        return Connection(_open_port(doors.url, token), doors.url, {"Authorization": f"Bearer {token}"})
    except (ConnectionRefusedError, FileNotFoundError) as error:
        left = f": process {doors.pid} listens no more" if doors.pid else ""
        raise NotRunning(f"prosed is not running{left}") from error
    except (NotRunning, Refused):
        raise
    except TRANSIENT as error:
        raise NotRunning(f"prosed does not answer: {error}") from error


def _open_socket(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(CONNECT_TIMEOUT)
        stream.connect(str(path))
        # The program that called `listen`: the daemon, or our own systemd, which passes it the socket.
        credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
        _pid, uid, _gid = PEER.unpack(credentials)
        if uid != os.geteuid():
            raise _impostor(str(path))
        stream.settimeout(None)
    except BaseException:
        stream.close()
        raise
    return stream


def _open_port(url: str, token: str) -> socket.socket:
    address = urlsplit(url)
    port = address.port or 80
    # An address rather than a name: it is part of the proof.
    ip = ip_address(address.hostname or "")
    place = f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}"
    nonce = secrets.token_hex(32)
    expected = challenge_answer(token, place, nonce).encode()
    deadline = time.monotonic() + CONNECT_TIMEOUT
    stream = socket.create_connection((str(ip), port), CONNECT_TIMEOUT)
    try:
        stream.sendall(f"GET /challenge HTTP/1.1\r\nHost: {place}\r\nProsed-Nonce: {nonce}\r\n\r\n".encode())
        if _read_answer(stream, len(expected), deadline) != expected:
            raise _impostor(url)
        stream.settimeout(None)
    except BaseException:
        stream.close()
        raise
    return stream


def challenge_answer(token: str, address: str, nonce: str) -> str:
    """The answer to a challenge of the daemon that listens on an address (`protocol/README.md`)."""
    message = f"prosed challenge 1\n{address}\n{nonce}"
    return hmac.new(token.encode(), message.encode(), "sha256").hexdigest()


def _read_answer(stream: socket.socket, length: int, deadline: float) -> bytes:
    """The body, of this many bytes. The stream is then at the start of the next response."""
    read = b""
    while len(read) <= MAX_HEAD + length:
        head, blank, body = read.partition(b"\r\n\r\n")
        if blank and head[9:12] != b"200":
            raise Refused(int(head[9:12]))
        if blank and len(body) >= length:
            return body
        # Zero would make the socket non-blocking.
        stream.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = stream.recv(MAX_HEAD)
        if not piece:
            break
        read += piece
    raise ConnectionError("it answers no challenge")


def _read_private(path: Path) -> bytes:
    """Reads a file that must be unreadable to others: a token that they know proves nothing."""
    try:
        with path.open("rb") as file:
            found, text = os.fstat(file.fileno()), file.read()
    except OSError as error:
        raise NotRunning(f"prosed's token can't be read: {error}") from error
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or not text.strip():
        raise NotRunning(f"{path} holds no token that is its owner's alone")
    return text


def _impostor(place: str) -> NotRunning:
    return NotRunning(f"what listens at {place} does not prove to be prosed, and was told nothing")


def find_runtime_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The daemon's runtime directory: `$PROSED_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/prosed`, else
    `$XDG_DATA_HOME/prosed/run`, else `~/.local/share/prosed/run`. Variables of XDG that hold no
    absolute path count as absent (XDG Base Directory Specification). Without `$HOME`, the home
    directory is that of the user database.
    """
    if given := env.get("PROSED_RUNTIME_DIR"):
        return Path(given)
    for name, below in [
        ("XDG_RUNTIME_DIR", "prosed"),
        ("XDG_DATA_HOME", "prosed/run"),
    ]:
        if os.path.isabs(folder := env.get(name, "")):
            return Path(folder, below)
    try:
        home = env.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise NotRunning("there is no home directory: set PROSED_RUNTIME_DIR") from None
    return Path(home, ".local/share/prosed/run")


def find_doors(folder: Path) -> Doors:
    """The doors of the daemon with this runtime directory. Where systemd holds the socket, the
    daemon starts when somebody knocks.
    """
    file = folder / "endpoint.json"
    try:
        check_own(folder)
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_uid != os.geteuid():
                raise NotRunning(f"{file} belongs to another user")
            endpoint = json.loads(opened.read())
    except FileNotFoundError:
        knock = folder / "prosed.sock"
        if knock.is_socket():
            return Doors(knock)
        raise NotRunning(f"prosed is not running: there is no {file}") from None
    except ValueError as error:
        raise NotRunning(f"{file} is damaged: {error}") from error
    path = endpoint.get("socket")
    return Doors(
        Path(path) if path else None,
        endpoint.get("url"),
        Path(endpoint.get("tokenFile") or endpoint["token_file"]),
        endpoint.get("pid"),
    )
