"""The protocol without I/O, shared by both clients."""

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
"""The state of a connection to the daemon."""

CALL_TIMEOUT = 90.0
"""Seconds. Longer than any call takes: `get_events` waits a minute at most."""

CONNECT_TIMEOUT = 5.0
"""Seconds. The daemon is on this machine, and answers at once or not at all."""

MAX_REQUEST = 2 << 20
"""Bytes. The daemon's limit on a request: a picture fits."""

MAX_MESSAGE = 32 << 20
"""Bytes. Twice the daemon's limit on an answer, so that no answer is refused here."""

ROSTER_PAGE = 1000
"""Contacts in a page of a roster: at most some 4 MiB."""

MAX_CALLS = 64
"""The daemon's limit on unanswered calls of one connection."""

MAX_WAITING = 16
"""Messages to read ahead. Few: for a slow reader, events stay in the daemon's log."""

SHORTEST_WAIT = 0.1
"""Seconds before the first attempt to reconnect: the daemon may be restarting."""

LONGEST_WAIT = 5.0
"""Seconds between two attempts: checking for a file costs next to nothing."""

# No proxy and no redirects: the token is for the daemon only. The daemon sends the pings.
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
    """The daemon answered with an error. Each kind of error has its own class; kinds that are newer
    than this package are of this one.
    """

    code: int
    """Unique for each kind."""
    message: str
    """One plain sentence that says what to do."""
    data: ErrorData | None
    """For programs. `None` if it can't be read, because the daemon has another version."""

    def __init__(self, code: int, message: str, data: ErrorData | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    @property
    def kind(self) -> str | None:
        """What went wrong, as an identifier."""
        return self.data.kind if self.data else None

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without any change."""
        return self.data.retryable if self.data else False


class NotRunning(ConnectionError):
    """The daemon can't be found, or does not answer."""


class Refused(ConnectionError):
    """The daemon refused the connection."""

    status: int
    """The HTTP status. 401: the token is wrong."""

    def __init__(self, status: int) -> None:
        super().__init__(f"prosed refused the connection (HTTP status {status})")
        self.status = status

    @property
    def is_final(self) -> bool:
        """Whether retrying is useless: otherwise the daemon is busy, or about to stop."""
        return self.status != 429 and self.status < 500


class Disconnected(ConnectionError):
    """The connection was lost before a call was answered: it may have taken effect, or not."""


class UnexpectedAnswer(Exception):
    """The daemon sent something that this package does not understand: it has another version."""


def moment(text: str) -> datetime:
    """A time of the API. One outside of `datetime`'s range becomes the nearest end of it."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        end = datetime.min if text.startswith("-") else datetime.max
        return end.replace(tzinfo=UTC)


@contextmanager
def reading(what: str) -> Generator[None]:
    """Turns errors of decoding into `UnexpectedAnswer`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnexpectedAnswer(f"{what} can't be read: {error!r}") from error


def compact(**values: Any) -> dict[str, Any]:
    """Leaves out fields without a value; `REMOVE` becomes null."""
    given = {name: value for name, value in values.items() if value is not None}
    return {name: None if value is REMOVE else value for name, value in given.items()}


class Remove(Enum):
    """The type of `REMOVE`, which removes a part; ``None`` leaves it as it is."""

    REMOVE = "remove"


REMOVE = Remove.REMOVE
"""In a `ProfilePatch`: remove this part."""


class Patching(Protocol):
    """An object that encodes itself as a patch."""

    def to_json(self) -> dict[str, Any]: ...


def patched(value: str | Sequence[str] | Patching | Remove | None) -> Any:
    """A part of a patch, as `compact` takes it."""
    if value is None or isinstance(value, (str, Remove)):
        return value
    return list(value) if isinstance(value, Sequence) else value.to_json()


def removable(json: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> T | Remove | None:
    """Decodes a part of a patch: null becomes `REMOVE`."""
    if name not in json:
        return None
    return REMOVE if json[name] is None else read(json[name])


def request(number: int, method: str, params: Mapping[str, Any]) -> str:
    """Encodes a call."""
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": compact(**params)}
    text = json.dumps(call)
    if len(text) > MAX_REQUEST:
        raise ValueError(f"{method}: a call has {MAX_REQUEST} bytes at most, not {len(text)}")
    return text


def read(text: str | bytes) -> dict[str, Any]:
    """Decodes a message."""
    with reading("a message"):
        message = json.loads(text)
    if not isinstance(message, dict):
        raise UnexpectedAnswer("neither an answer nor an event")
    return cast(dict[str, Any], message)


def result_of(message: Mapping[str, Any]) -> Any:
    """Returns the result of an answer, or raises its error."""
    from ._api import error_from_json

    if "error" in message:
        raise error_from_json(message["error"])
    return message["result"]


class Cursor:
    """The position of an event stream: what it requests, and what it has returned."""

    def __init__(
        self, events: Iterable[str | type[Event]] | None, account: str | None, since: int | None
    ) -> None:
        names = None if events is None else [e if isinstance(e, str) else e.NAME for e in events]
        self._filter = compact(events=names, account=account)
        self.seq: int | None = since
        """Of the last event returned, or of the start; `None` before it has started."""

    def params(self) -> dict[str, Any]:
        """The parameters of `subscribe`."""
        return {**self._filter, "since": self.seq}

    def take(self, text: str | bytes) -> Event | None:
        """The event in a message, if it is new. Raises the error that ends the subscription."""
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
            # Counts as returned even if it can't be decoded, so that it does not come again.
            self.seq = seq
            return Event.from_json(event)

    def expired(self, error: ProsedError) -> None:
        """The events after `seq` are gone: continues with the oldest that is left."""
        if error.data is not None and error.data.oldest is not None:
            self.seq = error.data.oldest - 1


class Activity:
    """What `set_activity` last said, for new connections; `None`: nothing."""

    active: bool | None = None


class Watch:
    """A connection's state, and the callback for changes."""

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
    """How long to wait before the next attempt: the ceiling doubles, and the wait is random within its
    upper half, so that not all UIs reconnect at once.
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
        """Starts over, after a success."""
        self._attempts = 0

    def hurry(self) -> None:
        """Makes the next attempt immediate."""
        self._attempts = None
