"""Rosters that change while they are loaded page by page, with either client."""

from __future__ import annotations

import asyncio
import json
import tempfile
import unittest
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed

import prosed
import prosed.sync
from prosed._wire import ROSTER_PAGE

from .stage import Threaded

ME = "me@example.org"


def contact(number: int, name: str) -> dict[str, Any]:
    return {
        "jid": f"c{number:05}@example.org",
        "name": name,
        "subscription": "both",
        "availability": "available",
        "groups": [],
        "ask": False,
        "approved": False,
        "resources": [],
        "resourceCount": 0,
        "warnings": [],
    }


class Changing:
    """A daemon whose contacts change after each page that it has answered. Numbers are even at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contacts: dict[str, dict[str, Any]] = {}
        for number in range(0, 2 * (3 * ROSTER_PAGE - 10), 2):
            self.put(contact(number, "Before"))
        self.events: list[dict[str, Any]] = []
        self.pages = 0
        # There is no account any more once so many pages were answered.
        self.forgotten_after: int | None = None

    def put(self, one: dict[str, Any]) -> None:
        self.contacts[one["jid"]] = one

    def tell(self, contacts: list[dict[str, Any]], removed: list[str]) -> None:
        jids = [one["jid"] for one in contacts] + removed
        event: dict[str, Any] = {"event": "contactChanged", "time": "2026-01-31T09:00:12.250Z", "account": ME}
        event |= {"seq": len(self.events) + 1, "ids": jids, "cameOnline": []}
        self.events.append(event | {"contacts": contacts, "removed": removed})

    def change(self) -> None:
        """One contact is added, one removed and one changed twice, in what was answered and in what was not.
        The last one that was answered, from which the client goes on, is removed as well.
        """
        last = 2 * (ROSTER_PAGE * self.pages - 1)
        for number in (last - 100, last + 100):
            for name in ("Between", f"After page {self.pages}"):
                changed = contact(number, name)
                self.put(changed)
                self.tell([changed], [])
            added = contact(number + 1, "Added")
            self.put(added)
            self.tell([added], [])
        for number in (last - 50, last, last + 50):
            jid = contact(number, "")["jid"]
            if self.contacts.pop(jid, None):
                self.tell([], [jid])

    def page(self, limit: int, after: str | None) -> dict[str, Any]:
        jids = sorted(jid for jid in self.contacts if after is None or jid > after)
        roster: dict[str, Any] = {"account": ME, "source": "server", "seq": len(self.events)}
        roster["contacts"] = [self.contacts[jid] for jid in jids[:limit]]
        roster["complete"] = len(jids) <= limit
        self.pages += 1
        self.change()
        return roster

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "subscribe":
            return {"result": 7}
        if self.forgotten_after is not None and self.pages >= self.forgotten_after:
            data = {"kind": "accountUnknown", "retryable": False}
            return {"error": {"code": 1003, "message": "There is no such account.", "data": data}}
        roster = self.page(params["limit"], params.get("after"))
        if method == "load_roster":
            return {"result": roster}
        info: dict[str, Any] = {
            "account": ME,
            "jid": ME,
            "state": "online",
            "since": "2026-01-31T08:15:00.000Z",
        }
        info |= {"remembered": True, "availability": "available", "resources": [], "resourceCount": 0}
        account = {"info": info, "roster": roster, "subscriptionRequests": []}
        return {"result": {"seq": roster["seq"], "accounts": [account]}}

    async def serve(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for text in connection:
                call = json.loads(text)
                answer = self.answer(call["method"], call["params"])
                await connection.send(json.dumps({"jsonrpc": "2.0", "id": call["id"], **answer}))
                if call["method"] == "subscribe":
                    for event in self.events[call["params"]["since"] :]:
                        params = {"subscription": 7, "result": event}
                        await connection.send(json.dumps({"method": "contactChanged", "params": params}))

    def endpoint(self) -> Path:
        socket = self.folder / "prosed.sock"
        endpoint: dict[str, Any] = {"socket": str(socket), "tokenFile": "/t", "token_file": "/t", "pid": 1}
        endpoint |= {"version": "0.1.0", "apiLevel": 1}
        (self.folder / "endpoint.json").write_text(json.dumps(endpoint))
        return socket


class Pages(unittest.IsolatedAsyncioTestCase):
    blocking = False

    async def asyncSetUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.daemon = Changing(Path(folder.name))
        server = await unix_serve(self.daemon.serve, str(self.daemon.endpoint()))
        self.addAsyncCleanup(server.wait_closed)
        self.addCleanup(server.close)

    def connect(self) -> Any:
        folder = self.daemon.folder
        return Threaded(prosed.sync.connect(folder)) if self.blocking else prosed.connect(folder)

    async def follow(self, client: Any, contacts: list[prosed.Contact], seq: int) -> dict[str, str]:
        """What a program shows that was given these contacts, and then the events after `seq`."""
        shown = {contact.jid: contact.name for contact in contacts}
        async with asyncio.timeout(40):
            async for event in client.events([prosed.ContactChanged], since=seq):
                shown |= {contact.jid: contact.name for contact in event.contacts}
                for jid in event.removed:
                    shown.pop(jid, None)
                if event.seq == len(self.daemon.events):
                    break
        return shown

    def true(self) -> dict[str, str]:
        return {jid: contact["name"] for jid, contact in self.daemon.contacts.items()}

    async def test_a_roster_that_changes_meanwhile_comes_out_right(self) -> None:
        async with self.connect() as client:
            roster = await client.load_roster()
            self.assertEqual((self.daemon.pages, roster.complete), (3, True))
            self.assertEqual(await self.follow(client, roster.contacts, roster.seq), self.true())

    async def test_so_does_a_state(self) -> None:
        async with self.connect() as client:
            state = await client.load_state()
            (account,) = state.accounts
            self.assertEqual((self.daemon.pages, account.roster.complete), (3, True))
            self.assertEqual(await self.follow(client, account.roster.contacts, state.seq), self.true())

    async def test_an_account_that_is_forgotten_meanwhile_spoils_no_state(self) -> None:
        self.daemon.forgotten_after = 2
        async with self.connect() as client:
            (account,) = (await client.load_state()).accounts
            self.assertEqual((len(account.roster.contacts), account.roster.complete), (ROSTER_PAGE, False))

    async def test_a_page_is_a_page(self) -> None:
        async with self.connect() as client:
            (account,) = (await client.load_state(limit=2)).accounts
            self.assertEqual((len(account.roster.contacts), account.roster.complete), (2, False))


class BlockingPages(Pages):
    blocking = True
