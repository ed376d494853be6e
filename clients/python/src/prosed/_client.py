"""The client for asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar, cast, overload
from weakref import WeakSet

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.asyncio.client import connect as tcp_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ._api import AccountUnknown, AsyncMethods, CursorExpired, Event, EventName, Lagged, Roster, State
from ._doors import TRANSIENT, find_runtime_dir, open_connection
from ._wire import (
    CALL_TIMEOUT,
    CONNECT_TIMEOUT,
    MAX_CALLS,
    OPTIONS,
    ROSTER_PAGE,
    Activity,
    Backoff,
    Cursor,
    Disconnected,
    LinkState,
    NotRunning,
    Refused,
    UnexpectedAnswer,
    Watch,
    read,
    request,
    result_of,
)

E = TypeVar("E", bound=Event)


def connect(runtime_dir: str | PathLike[str] | None = None) -> Client:
    """A client for the daemon with this runtime directory. Absent: the directory is found as
    `protocol/README.md` says.

        async with prosed.connect() as client:
            print(await client.get_version())
    """
    return Client(runtime_dir)


async def _open(folder: Path) -> ClientConnection:
    opened = await asyncio.to_thread(open_connection, folder)
    connect = unix_connect if opened.stream.family == socket.AF_UNIX else tcp_connect
    try:
        # On the connection that has passed the check of who listens; redirects are not followed.
        return await connect(uri=opened.url, sock=opened.stream, additional_headers=opened.headers, **OPTIONS)
    except InvalidStatus as error:
        raise Refused(error.response.status_code) from error
    except TRANSIENT as error:
        raise NotRunning(f"prosed does not answer: {error}") from error


class _Calls:
    """Calls over one connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.is_over = False
        self._number = 0
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._room = asyncio.Semaphore(MAX_CALLS)
        self._reader = asyncio.create_task(self._read())

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        async with self._room:
            self._number += 1
            number = self._number
            answer = asyncio.get_running_loop().create_future()
            self._pending[number] = answer
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    await self.socket.send(request(number, method, params))
                    return result_of(await answer)
            except ConnectionClosed as error:
                # The reading task may not have noticed yet.
                self.is_over = True
                raise Disconnected(f"the connection to prosed was lost: {error}") from error
            finally:
                del self._pending[number]

    async def _read(self) -> None:
        lost: Exception
        try:
            async for text in self.socket:
                message = read(text)
                answer = self._pending.get(message.get("id", 0))
                # The caller may have stopped waiting.
                if answer is not None and not answer.done():
                    answer.set_result(message)
            lost = Disconnected("prosed has closed the connection")
        except ConnectionClosed as error:
            lost = Disconnected(f"the connection to prosed was lost: {error}")
        except UnexpectedAnswer as error:
            lost = error
        self.is_over = True
        await self.socket.close()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(lost)

    async def close(self) -> None:
        await self.socket.close()
        await self._reader


class Client(AsyncMethods):
    """A connection to the daemon. A call after it was lost reconnects.

    A call whose answer was lost with the connection raises `Disconnected`, and is not repeated.
    """

    def __init__(self, runtime_dir: str | PathLike[str] | None = None) -> None:
        self._folder = find_runtime_dir() if runtime_dir is None else Path(runtime_dir)
        self._calls: _Calls | None = None
        self._connecting = asyncio.Lock()
        self._streams: WeakSet[EventStream[Any]] = WeakSet()
        self._activity = Activity()
        self._is_closed = False

    async def __aenter__(self) -> Client:
        await self._connected()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection and all event streams."""
        self._is_closed = True
        for stream in list(self._streams):
            await stream.aclose()
        if self._calls is not None:
            await self._calls.close()

    @property
    def state(self) -> LinkState:
        """The connection's state. If it is `connecting`, the next call connects; `closed` is final."""
        if self._is_closed:
            return "closed"
        return "connecting" if self._calls is None or self._calls.is_over else "connected"

    async def call(self, method: str, /, **params: Any) -> Any:
        """Calls a method by its name in the API, which may be newer than this package, and returns
        JSON. Parameters that are `None` are left out.
        """
        return await (await self._connected()).call(method, params)

    async def set_activity(self, active: bool) -> None:
        """Reports whether somebody is looking at this UI: over all of this client's connections, those of
        its event streams too, and again when they reconnect.

        While nobody is looking at any UI, servers that support it (XEP-0352) hold back what is not
        urgent, such as presences. It all arrives once somebody is looking again. By default, a client
        with an event stream counts as looked at.

        Args:
            active: Whether somebody is looking.
        """
        await super().set_activity(active)
        # Only what was accepted is said again.
        self._activity.active = active
        for stream in list(self._streams):
            await stream._say_activity()

    async def load_roster(
        self, *, account: str | None = None, limit: int | None = None, after: str | None = None
    ) -> Roster:
        """All contacts of an account, whatever their number: they are loaded page by page.

        With `limit` or `after`, it is just that page. Otherwise `seq` is that of the first page: events
        after it may repeat what a later page already had, and the newest state comes last.

        Args:
            account: The account: a bare JID. Optional if there is only one.
            limit: At most this many contacts.
            after: Only contacts after this bare JID.
        """
        if limit is not None or after is not None:
            return await super().load_roster(account=account, limit=limit, after=after)
        return await self._complete(await super().load_roster(account=account, limit=ROSTER_PAGE))

    async def load_state(self, *, account: str | None = None, limit: int | None = None) -> State:
        """All accounts with all of their contacts and subscription requests. Rosters are loaded page by
        page, as by `load_roster`.

        If an account is forgotten meanwhile, its roster stays incomplete, and an event after `seq`
        reports that it is gone.

        Args:
            account: Only this account: a bare JID. Absent: all accounts.
            limit: At most this many contacts across all rosters, and no further pages.
        """
        if limit is not None:
            return await super().load_state(account=account, limit=limit)
        state = await super().load_state(account=account, limit=ROSTER_PAGE)
        accounts = []
        for one in state.accounts:
            if one.roster is not None:
                with suppress(AccountUnknown):
                    one = replace(one, roster=await self._complete(one.roster))
            accounts.append(one)
        return replace(state, accounts=accounts)

    async def _complete(self, roster: Roster) -> Roster:
        """Adds the pages that a roster lacks."""
        contacts, complete = list(roster.contacts), roster.complete
        while not complete:
            after = contacts[-1].jid if contacts else None
            page = await super().load_roster(account=roster.account, limit=ROSTER_PAGE, after=after)
            contacts += page.contacts
            complete = page.complete
        return replace(roster, contacts=contacts, complete=True)

    @overload
    def events(
        self,
        events: Iterable[type[E]],
        *,
        account: str | None = None,
        since: int | None = None,
        on_state: Callable[[LinkState], None] | None = None,
    ) -> EventStream[E]: ...

    @overload
    def events(
        self,
        events: Iterable[EventName] | None = None,
        *,
        account: str | None = None,
        since: int | None = None,
        on_state: Callable[[LinkState], None] | None = None,
    ) -> EventStream[Event]: ...

    def events(
        self,
        events: Iterable[type[Event]] | Iterable[EventName] | None = None,
        *,
        account: str | None = None,
        since: int | None = None,
        on_state: Callable[[LinkState], None] | None = None,
    ) -> EventStream[Any]:
        """Events as they happen, for `async for`: those after `since`, or those after the stream is
        entered or first awaited.

        Args:
            events: Only these events, by name or class. Absent: all.
            account: Only this account's: a bare JID. Absent: all accounts'.
            since: Start with all retained events after this `seq`, that of a roster for example.
            on_state: Called when the stream's connection is open (`connected`), lost (`connecting`),
                or closed for good (`closed`).
        """
        cursor, watch = Cursor(events, account, since), Watch(on_state)
        stream: EventStream[Any] = EventStream(self._folder, cursor, watch, self._activity)
        self._streams.add(stream)
        return stream

    async def _connected(self) -> _Calls:
        async with self._connecting:
            if self._is_closed:
                raise Disconnected("this client is closed")
            if self._calls is None or self._calls.is_over:
                self._calls = _Calls(await _open(self._folder))
                if (active := self._activity.active) is not None:
                    await self._calls.call("set_activity", {"active": active})
            return self._calls


class EventStream(Generic[E]):
    """Events that continue when the connection is lost: each new connection requests what came after
    the last event returned, so that nothing is lost or repeated. While the daemon is away, it waits.

    If the daemon no longer has those events, as after a restart, it raises `CursorExpired`: reload
    what you show, and open a stream with the `seq` of that answer as `since`. If you continue with
    this stream instead, you get what the daemon still has.

    It has its own connection: a slow reader delays no calls and no other readers.
    """

    def __init__(self, folder: Path, cursor: Cursor, watch: Watch, activity: Activity) -> None:
        self._folder = folder
        self._cursor = cursor
        self._watch = watch
        self._activity = activity
        self._backoff = Backoff()
        self._socket: ClientConnection | None = None
        self._closed = asyncio.Event()

    @property
    def state(self) -> LinkState:
        """`connecting` at first and after a loss, `connected`, or `closed`."""
        return self._watch.state

    @property
    def seq(self) -> int | None:
        """The `seq` of the last event returned, or of the start: a `since` for later. `None` before
        it has started.
        """
        return self._cursor.seq

    def __aiter__(self) -> EventStream[E]:
        return self

    async def __anext__(self) -> E:
        while not self._closed.is_set():
            if self._socket is None:
                await self._connect()
                continue
            try:
                event = self._cursor.take(await self._socket.recv())
            except ConnectionClosed:
                self._socket = None
                self._watch.become("connecting")
            except Lagged:
                await self._hang_up()
            else:
                if event is not None:
                    self._backoff.reset()
                    # The daemon sends only events of the requested types.
                    return cast(E, event)
        raise StopAsyncIteration

    async def __aenter__(self) -> EventStream[E]:
        while self._socket is None and not self._closed.is_set():
            await self._connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the stream and its connection, and ends its loop."""
        self._closed.set()
        self._watch.become("closed")
        await self._hang_up()

    def __del__(self) -> None:
        # The loop was left without closing the stream: free the connection, since the daemon limits them.
        if self._socket is not None:
            with suppress(RuntimeError):
                self._socket.transport.abort()

    async def _connect(self) -> None:
        """One attempt, once it is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next()):
                await self._closed.wait()
                return
        try:
            socket = await _open(self._folder)
        except NotRunning:
            return
        except Refused as refused:
            if refused.is_final:
                raise
            return
        try:
            await self._subscribe(socket)
        except (ConnectionClosed, TimeoutError):
            await socket.close()
            return
        except BaseException as error:
            socket.transport.abort()
            if isinstance(error, CursorExpired):
                self._cursor.expired(error)
                self._backoff.hurry()
            raise
        self._socket = socket
        self._watch.become("connected")
        if self._closed.is_set():
            await self._hang_up()

    async def _say_activity(self) -> None:
        if self._socket is not None:
            # If the connection is lost, the next one says it.
            with suppress(ConnectionClosed):
                await self._socket.send(request(0, "set_activity", {"active": self._activity.active}))

    async def _subscribe(self, socket: ClientConnection) -> None:
        if (active := self._activity.active) is not None:
            await _ask(socket, 0, "set_activity", {"active": active})
        if self._cursor.seq is None:
            # Where to continue if the connection is lost before the first event.
            self._cursor.seq = (await _ask(socket, 1, "get_events", {}))["seq"]
        await _ask(socket, 2, "subscribe", self._cursor.params())

    async def _hang_up(self) -> None:
        socket, self._socket = self._socket, None
        self._watch.become("connecting")
        if socket is not None:
            await socket.close()


async def _ask(socket: ClientConnection, number: int, method: str, params: dict[str, Any]) -> Any:
    """A call on a connection that carries nothing else yet."""
    async with asyncio.timeout(CONNECT_TIMEOUT):
        await socket.send(request(number, method, params))
        return result_of(read(await socket.recv()))
