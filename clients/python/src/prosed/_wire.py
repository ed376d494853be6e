"""What is said on the wire, without the wire: both clients speak by this."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from ._api import ErrorData, Event

T = TypeVar("T")

LinkState = Literal["connecting", "connected", "closed"]
"""How a connection to the daemon stands."""

CALL_TIMEOUT = 90.0
"""Seconds. Longer than any call of the API takes: `get_events` waits for a minute at most."""

CONNECT_TIMEOUT = 5.0
"""Seconds. The daemon is on this machine: it answers at once or not at all."""

MAX_REQUEST = 2 << 20
"""Bytes. The daemon's own bound on calls: a picture fits."""

MAX_MESSAGE = 32 << 20
"""Bytes. Twice the daemon's own bound on answers: here it is no bound that a call could meet."""

ROSTER_PAGE = 1000
"""Contacts in a page of a roster: some 4 MiB at most."""

MAX_CALLS = 64
"""The daemon's own bound on the calls of one connection that have no answer yet."""

MAX_WAITING = 16
"""Messages that are read ahead. Few, since a slow reader's place is in the daemon's log."""

SHORTEST_WAIT = 0.1
"""Seconds before the first attempt to come back: the daemon may be starting this very moment."""

LONGEST_WAIT = 5.0
"""Seconds between two attempts: looking for a file costs next to nothing."""

# No proxy and no redirection: the token is for the daemon only. It is the daemon that pings.
OPTIONS: dict[str, Any] = {
    "proxy": None,
    "compression": None,
    "open_timeout": CONNECT_TIMEOUT,
    "close_timeout": 1,
    "ping_interval": None,
    "max_size": MAX_MESSAGE,
    "max_queue": MAX_WAITING,
}


class ProsedError(Exception):
    """The daemon has answered with an error. Each kind of error is a class of its own; those
    that are newer than this package are of this one.
    """

    code: int
    """Unique for each kind."""
    message: str
    """One plain sentence that says what to do."""
    data: ErrorData | None
    """For programs. Absent where it can't be read: the daemon is of another version."""

    def __init__(self, code: int, message: str, data: ErrorData | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    @property
    def kind(self) -> str | None:
        """What went wrong, in a word."""
        return self.data.kind if self.data else None

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later, with nothing changed by anybody."""
        return self.data.retryable if self.data else False


class NotRunning(ConnectionError):
    """The daemon can't be found, or does not answer."""


class Refused(ConnectionError):
    """The daemon does not let us in."""

    status: int
    """The HTTP status. 401: the token is not its own."""

    def __init__(self, status: int) -> None:
        super().__init__(f"prosed refused the connection (HTTP status {status})")
        self.status = status

    @property
    def is_final(self) -> bool:
        """Whether it is no use to come again: else it is busy, or about to go."""
        return self.status != 429 and self.status < 500


class Disconnected(ConnectionError):
    """The connection was lost while a call had no answer: it may have taken effect, or not."""


class UnexpectedAnswer(Exception):
    """The daemon has said what this package does not understand: it is of another version."""


def moment(text: str) -> datetime:
    """A time of the API. What no calendar of Python's holds becomes its nearest end."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        end = datetime.min if text.startswith("-") else datetime.max
        return end.replace(tzinfo=UTC)


@contextmanager
def reading(what: str) -> Generator[None]:
    """What can't be read here is of another version."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnexpectedAnswer(f"{what} can't be read: {error!r}") from error


def compact(**values: Any) -> dict[str, Any]:
    """A field with no value is absent; null takes it away."""
    given = {name: value for name, value in values.items() if value is not None}
    return {name: None if value is REMOVE else value for name, value in given.items()}


class Remove(Enum):
    """What takes a part away, where ``None`` leaves it as it is."""

    REMOVE = "remove"


REMOVE = Remove.REMOVE
"""In a `ProfilePatch`: take this part away."""


class Patching(Protocol):
    """A change of what is there."""

    def to_json(self) -> dict[str, Any]: ...


def patched(value: str | Sequence[str] | Patching | Remove | None) -> Any:
    """A part of a change as `compact` takes it: `REMOVE` stays what it is."""
    if value is None or isinstance(value, (str, Remove)):
        return value
    return list(value) if isinstance(value, Sequence) else value.to_json()


def removable(json: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> T | Remove | None:
    """The other way round."""
    if name not in json:
        return None
    return REMOVE if json[name] is None else read(json[name])


def request(number: int, method: str, params: Mapping[str, Any]) -> str:
    """A call as it is sent."""
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": compact(**params)}
    text = json.dumps(call)
    if len(text) > MAX_REQUEST:
        raise ValueError(f"{method}: a call has {MAX_REQUEST} bytes at most, not {len(text)}")
    return text


def read(text: str | bytes) -> dict[str, Any]:
    """A message as it has come."""
    with reading("a message"):
        message = json.loads(text)
    if not isinstance(message, dict):
        raise UnexpectedAnswer("neither an answer nor an event")
    return cast(dict[str, Any], message)


def result_of(message: Mapping[str, Any]) -> Any:
    """The result that an answer carries, or the error that it carries, raised."""
    from ._api import error_from_json

    if "error" in message:
        raise error_from_json(message["error"])
    return message["result"]


class Cursor:
    """Where a stream of events is: what it asks for, and what it has handed on."""

    def __init__(
        self, events: Iterable[str | type[Event]] | None, account: str | None, since: int | None
    ) -> None:
        names = None if events is None else [e if isinstance(e, str) else e.NAME for e in events]
        self._filter = compact(events=names, account=account)
        self.seq: int | None = since
        """The last event that was handed on, or where this began; absent before it began."""

    def params(self) -> dict[str, Any]:
        """Those of `subscribe`."""
        return {**self._filter, "since": self.seq}

    def take(self, text: str | bytes) -> Event | None:
        """The event that a message carries, if it is a new one. Raises what ends the subscription."""
        from ._api import Event, error_from_json

        params: dict[str, Any] = read(text).get("params") or {}
        if "error" in params:
            raise error_from_json(params["error"])
        if "result" not in params:
            return None
        event: dict[str, Any] = params["result"]
        with reading("an event"):
            seq = int(event["seq"])
            if self.seq is not None and seq <= self.seq:
                return None
            # It counts as handed on whatever it is: who can't read it must not meet it again.
            self.seq = seq
            return Event.from_json(event)

    def expired(self, error: ProsedError) -> None:
        """The events after `seq` are gone. Who reads on gets what is still there."""
        if error.data is not None and error.data.oldest is not None:
            self.seq = error.data.oldest - 1


class Watch:
    """How a connection stands, and who is told when that changes."""

    def __init__(self, on_state: Callable[[LinkState], None] | None = None) -> None:
        self.state: LinkState = "connecting"
        self._on_state = on_state

    def become(self, state: LinkState) -> None:
        if self.state in (state, "closed"):
            return
        self.state = state
        if self._on_state is not None:
            self._on_state(state)


class Backoff:
    """How long to wait before the next attempt: the ceiling doubles, and the wait is anywhere in
    its upper half, so that not all UIs come at once.
    """

    def __init__(self) -> None:
        self._attempts: int | None = None

    def next(self) -> float:
        """Seconds to wait; none before the very first attempt."""
        if self._attempts is None:
            self._attempts = 0
            return 0.0
        ceiling = min(SHORTEST_WAIT * 2**self._attempts, LONGEST_WAIT)
        self._attempts = min(self._attempts + 1, 16)
        return random.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """All is well again."""
        self._attempts = 0

    def hurry(self) -> None:
        """The next attempt is as the first."""
        self._attempts = None
