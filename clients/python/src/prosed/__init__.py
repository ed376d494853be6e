"""A client for prosed, the daemon that keeps one XMPP session for all your programs.

    import asyncio
    import prosed

    async def main() -> None:
        async with prosed.connect() as client:
            for contact in (await client.load_roster()).contacts:
                print(contact.name, "is", contact.availability)

    asyncio.run(main())

`prosed.sync` has the same for programs without asyncio.
"""

from . import _api
from ._api import *  # noqa: F403
from ._client import Client, EventStream, connect
from ._wire import REMOVE, Disconnected, LinkState, NotRunning, ProsedError, Refused, Remove, UnexpectedAnswer

__all__ = [
    "REMOVE",
    "Client",
    "Disconnected",
    "EventStream",
    "LinkState",
    "NotRunning",
    "ProsedError",
    "Refused",
    "Remove",
    "UnexpectedAnswer",
    "connect",
]
__all__ += _api.__all__
