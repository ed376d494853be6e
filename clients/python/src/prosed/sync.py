"""The client for programs without asyncio: the same as `prosed`, and it blocks.

from prosed.sync import connect

with connect() as client:
    print(client.get_version())
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar, cast, overload
from weakref import WeakSet

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, unix_connect
from websockets.sync.client import connect as tcp_connect

from ._api import AccountUnknown, CursorExpired, Event, EventName, Lagged, Methods, Roster, State
from ._doors import TRANSIENT, find_runtime_dir, open_connection
from ._wire import (
    CALL_TIMEOUT,
    CONNECT_TIMEOUT,
    OPTIONS,
    ROSTER_PAGE,
    Activity,
    Backoff,
    Cursor,
    Disconnected,
    LinkState,
    NotRunning,
    Refused,
    Watch,
    read,
    request,
    result_of,
)

__all__ = ["Client", "EventStream", "connect"]

E = TypeVar("E", bound=Event)


def connect(runtime_dir: str | PathLike[str] | None = None) -> Client:
    """A client for the daemon with this runtime directory. Absent: the directory is found as
    `protocol/README.md` says.
    """
    return Client(runtime_dir)


class _Connection:
    """One WebSocket, with one call at a time."""

    def __init__(self, folder: Path) -> None:
        self._number = 0
        # Entered as a context manager, which returns a connection in every version of websockets.
        with ExitStack() as stack:
            self.socket: ClientConnection = stack.enter_context(_open(folder))
            self._end = stack.pop_all()

    def call(self, method: str, params: dict[str, Any], patience: float) -> Any:
        self._number += 1
        self.socket.send(request(self._number, method, params))
        deadline = time.monotonic() + patience
        while True:
            message = read(self.socket.recv(max(deadline - time.monotonic(), 0.0)))
            # It may be the answer to an earlier call that has timed out.
            if message.get("id") == self._number:
                return result_of(message)

    def close(self) -> None:
        self._end.close()

    def abort(self) -> None:
        """Closes the connection without a handshake."""
        with suppress(OSError):
            self.socket.socket.shutdown(socket.SHUT_RDWR)


def _open(folder: Path) -> ClientConnection:
    opened = open_connection(folder)
    connect = unix_connect if opened.stream.family == socket.AF_UNIX else tcp_connect
    try:
        # On the connection that has passed the check of who listens; redirects are not followed.
        connection: ClientConnection = connect(
            uri=opened.url, sock=opened.stream, additional_headers=opened.headers, **OPTIONS
        )
        return connection
    except InvalidStatus as error:
        raise Refused(error.response.status_code) from error
    except TRANSIENT as error:
        raise NotRunning(f"prosed does not answer: {error}") from error


class Client(Methods):
    """A connection to the daemon. A call after it was lost reconnects. Threads can share it; their calls
    take turns.

    A call whose answer was lost with the connection raises `Disconnected`, and is not repeated.
    """

    def __init__(self, runtime_dir: str | PathLike[str] | None = None) -> None:
        self._folder = find_runtime_dir() if runtime_dir is None else Path(runtime_dir)
        self._connection: _Connection | None = None
        self._turn = threading.Lock()
        self._streams: WeakSet[EventStream[Any]] = WeakSet()
        self._activity = Activity()
        self._is_closed = False

    def __enter__(self) -> Client:
        with self._turn:
            self._connected()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and all event streams."""
        self._is_closed = True
        for stream in list(self._streams):
            stream.close()
        if (connection := self._connection) is not None:
            connection.close()

    @property
    def state(self) -> LinkState:
        """The connection's state. If it is `connecting`, the next call connects; `closed` is final."""
        if self._is_closed:
            return "closed"
        connection = self._connection
        is_open = connection is not None and connection.socket.close_code is None
        return "connected" if is_open else "connecting"

    def call(self, method: str, /, **params: Any) -> Any:
        """Calls a method by its name in the API, which may be newer than this package, and returns
        JSON. Parameters that are `None` are left out.
        """
        with self._turn:
            connection = self._connected()
            try:
                return connection.call(method, params, CALL_TIMEOUT)
            except ConnectionClosed as error:
                self._connection = None
                connection.close()
                raise Disconnected(f"the connection to prosed was lost: {error}") from error

    def set_activity(self, active: bool) -> None:
        """Reports whether somebody is looking at this UI: over all of this client's connections, those of
        its event streams too, and again when they reconnect.

        While nobody is looking at any UI, servers that support it (XEP-0352) hold back what is not
        urgent, such as presences. It all arrives once somebody is looking again. By default, a client
        with an event stream counts as looked at.

        Args:
            active: Whether somebody is looking.
        """
        super().set_activity(active)
        # Only what was accepted is said again.
        self._activity.active = active
        for stream in list(self._streams):
            stream._say_activity()

    def load_roster(
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
            return super().load_roster(account=account, limit=limit, after=after)
        return self._complete(super().load_roster(account=account, limit=ROSTER_PAGE))

    def load_state(self, *, account: str | None = None, limit: int | None = None) -> State:
        """All accounts with all of their contacts and subscription requests. Rosters are loaded page by
        page, as by `load_roster`.

        If an account is forgotten meanwhile, its roster stays incomplete, and an event after `seq`
        reports that it is gone.

        Args:
            account: Only this account: a bare JID. Absent: all accounts.
            limit: At most this many contacts across all rosters, and no further pages.
        """
        if limit is not None:
            return super().load_state(account=account, limit=limit)
        state = super().load_state(account=account, limit=ROSTER_PAGE)
        accounts = []
        for one in state.accounts:
            if one.roster is not None:
                with suppress(AccountUnknown):
                    one = replace(one, roster=self._complete(one.roster))
            accounts.append(one)
        return replace(state, accounts=accounts)

    def _complete(self, roster: Roster) -> Roster:
        """Adds the pages that a roster lacks."""
        contacts, complete = list(roster.contacts), roster.complete
        while not complete:
            after = contacts[-1].jid if contacts else None
            page = super().load_roster(account=roster.account, limit=ROSTER_PAGE, after=after)
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
        """Events as they happen, for `for`: those after `since`, or those that come from the moment
        on in which the stream is entered or first waited for.

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

    def _connected(self) -> _Connection:
        if self._is_closed:
            raise Disconnected("this client is closed")
        connection = self._connection
        if connection is None or connection.socket.close_code is not None:
            connection = self._connection = _Connection(self._folder)
            if (active := self._activity.active) is not None:
                connection.call("set_activity", {"active": active}, CALL_TIMEOUT)
        return connection


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
        self._connection: _Connection | None = None
        self._closed = threading.Event()

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

    def __iter__(self) -> EventStream[E]:
        return self

    def __next__(self) -> E:
        while not self._closed.is_set():
            connection = self._connection
            if connection is None:
                self._connect()
                continue
            try:
                event = self._cursor.take(connection.socket.recv())
            except (ConnectionClosed, Lagged):
                self._hang_up()
            else:
                if event is not None:
                    self._backoff.reset()
                    # The daemon sends only events of the requested types.
                    return cast(E, event)
        raise StopIteration

    def __enter__(self) -> EventStream[E]:
        while self._connection is None and not self._closed.is_set():
            self._connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the stream and its connection, and ends its loop. Another thread may call this."""
        self._closed.set()
        self._watch.become("closed")
        self._hang_up()

    def __del__(self) -> None:
        # The loop was left without closing the stream: free the connection, since the daemon limits them.
        if self._connection is not None:
            self._connection.abort()

    def _connect(self) -> None:
        """One attempt, once it is due."""
        if self._closed.wait(self._backoff.next()):
            return
        try:
            connection = _Connection(self._folder)
        except NotRunning:
            return
        except Refused as refused:
            if refused.is_final:
                raise
            return
        try:
            self._subscribe(connection)
        except (ConnectionClosed, TimeoutError):
            connection.close()
            return
        except BaseException as error:
            connection.abort()
            if isinstance(error, CursorExpired):
                self._cursor.expired(error)
                self._backoff.hurry()
            raise
        self._connection = connection
        self._watch.become("connected")
        if self._closed.is_set():
            self._hang_up()

    def _say_activity(self) -> None:
        if (connection := self._connection) is not None:
            # If the connection is lost, the next one says it.
            with suppress(ConnectionClosed):
                connection.socket.send(request(0, "set_activity", {"active": self._activity.active}))

    def _subscribe(self, connection: _Connection) -> None:
        if (active := self._activity.active) is not None:
            connection.call("set_activity", {"active": active}, CONNECT_TIMEOUT)
        if self._cursor.seq is None:
            # Where to continue if the connection is lost before the first event.
            self._cursor.seq = connection.call("get_events", {}, CONNECT_TIMEOUT)["seq"]
        connection.call("subscribe", self._cursor.params(), CONNECT_TIMEOUT)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        self._watch.become("connecting")
        if connection is not None:
            connection.close()
