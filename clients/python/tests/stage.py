"""What the tests want to happen outside of them: tests/tests/python.rs makes it happen."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import unittest
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import prosed
import prosed.sync


class Stage:
    """Asks for something by its name, and waits until it has happened."""

    def __init__(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", int(os.environ["PROSED_STAGE"])))
        self._answers = self._socket.makefile("rb")
        self._turn = asyncio.Lock()

    async def __call__(self, name: str, **details: Any) -> Any:
        async with self._turn:
            return await asyncio.to_thread(self._ask, {"name": name, **details})

    def _ask(self, wish: dict[str, Any]) -> Any:
        self._socket.sendall(json.dumps(wish).encode() + b"\n")
        return json.loads(self._answers.readline())["done"]

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


class Threaded:
    """The client that blocks, as if it did not: so that both are tested by the same words."""

    def __init__(self, client: prosed.sync.Client) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(getattr(self.client, name), *args, **kwargs)

        return call

    @property
    def state(self) -> prosed.LinkState:
        return self.client.state

    def events(self, *args: Any, **kwargs: Any) -> ThreadedStream:
        return ThreadedStream(self.client.events(*args, **kwargs))

    async def __aenter__(self) -> Threaded:
        await asyncio.to_thread(self.client.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.client.close)


class ThreadedStream:
    """A stream that blocks, as if it did not."""

    def __init__(self, stream: prosed.sync.EventStream[prosed.Event]) -> None:
        self.stream = stream

    @property
    def seq(self) -> int | None:
        return self.stream.seq

    @property
    def state(self) -> prosed.LinkState:
        return self.stream.state

    def __aiter__(self) -> AsyncIterator[prosed.Event]:
        return self

    async def __anext__(self) -> prosed.Event:
        event = await asyncio.to_thread(next, self.stream, None)
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> ThreadedStream:
        await asyncio.to_thread(self.stream.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.stream.close)


class Live(unittest.IsolatedAsyncioTestCase):
    """A test against the live daemon."""

    patience = 40.0
    blocking = False

    async def asyncSetUp(self) -> None:
        # Many tests share few cores.
        asyncio.get_running_loop().slow_callback_duration = 10
        self.stage = Stage()
        self.addCleanup(self.stage.close)
        where = await self.stage("where")
        self.me, self.alice = where["me"], where["alice"]
        self.url, self.proxied, self.token = where["url"], where["proxied"], where["token"]
        self.runtime_dir = where["runtimeDir"]

    def connect(self, runtime_dir: str | Path | None = None) -> Any:
        if self.blocking:
            return Threaded(prosed.sync.connect(runtime_dir))
        return prosed.connect(runtime_dir)

    def over(self, url: str, token: str | None = None) -> Path:
        """A runtime directory in which only this port is told of."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        token_file = Path(folder.name, "token")
        token_file.touch(0o600)
        token_file.write_text(f"{self.token if token is None else token}\n")
        endpoint = {"url": url, "token_file": str(token_file), "pid": 1, "version": "0.1.0", "apiLevel": 1}
        Path(folder.name, "endpoint.json").write_text(json.dumps(endpoint))
        return Path(folder.name)

    def here(self, status: str) -> str:
        """A status as only this test says it."""
        return f"{status} ({self.id()})"

    async def presence(self, status: str, **details: Any) -> None:
        """Alice says so; waits until the daemon has told of it."""
        await self.stage("presence", status=self.here(status), **details)

    def told(self, status: str) -> Callable[[Any], bool]:
        """Whether an event tells of a contact with this status."""
        return lambda event: any(c.status == self.here(status) for c in getattr(event, "contacts", []))

    async def take(self, events: Any, fits: Callable[[Any], bool]) -> list[Any]:
        """Takes from a stream until an event fits."""
        taken = []
        async with asyncio.timeout(self.patience):
            async for event in events:
                taken.append(event)
                if fits(event):
                    return taken
        raise AssertionError("the stream has ended")
