"""Calls, with either client, to a live daemon."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import unittest
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import prosed
from prosed._doors import challenge_answer

from .stage import Live

# A PNG of one pixel.
PICTURE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mPYYBAAAALEATHTWgZxAAAAAElFTkSuQmCC"
)


class Calls(Live):
    async def test_answers_are_typed(self) -> None:
        async with self.connect() as client:
            roster = await client.load_roster()
            alice = roster.contacts[0]
            self.assertIsInstance(alice, prosed.Contact)
            self.assertEqual((alice.jid, alice.name, alice.roster_name), (self.alice, "Alice", "Alice"))
            self.assertEqual((alice.groups, alice.profile), ([], None))
            self.assertLess(datetime(2026, 1, 1, tzinfo=UTC), alice.resources[0].since)
            picture = await client.load_avatar(self.alice)
            self.assertEqual(picture.id, alice.avatar.id)
            self.assertEqual(len(picture.data), picture.bytes)
            version = await client.get_version()
            self.assertEqual((version.name, version.api_compatible), ("prosed", 1))
            (account,) = await client.list_accounts()
            self.assertEqual((account.account, account.state), (self.me, "online"))
            self.assertEqual(account, await client.get_account(account=self.me))
            self.assertEqual((await client.discover())["info"]["title"], "prosed")

    async def test_what_is_said_is_heard(self) -> None:
        async with self.connect() as client:
            patch = prosed.ProfilePatch(
                full_name="Me",
                note="soon gone",
                emails=["me@example.org"],
                address=prosed.AddressPatch(locality="Ø"),
            )
            self.assertIsNone(await client.set_profile(patch))
            await client.set_profile(prosed.ProfilePatch(note=prosed.REMOVE))
            profile = prosed.Profile(
                full_name="Me", emails=["me@example.org"], address=prosed.Address(locality="Ø")
            )
            self.assertEqual(await client.load_profile(self.me, refresh=True), profile)
            published = await client.set_avatar(PICTURE)
            loaded = await client.load_avatar(self.me)
            self.assertEqual((loaded.id, loaded.data), (published.id, PICTURE))
            await client.set_presence("away", status="tea 🍵")
            account = await client.get_account()
            self.assertEqual((account.availability, account.status), ("away", "tea 🍵"))
            await client.set_presence("available")
            self.assertIsNone((await client.get_account()).status)
            bob = self.me.replace("me@", "bob@")
            added = await client.add_contact(bob, name="Bob", groups=["Work", "Friends"], subscribe=False)
            self.assertEqual(
                (added.name, added.groups, added.subscription), ("Bob", ["Friends", "Work"], "none")
            )
            self.assertEqual((await client.update_contact(bob, groups=[])).groups, [])
            await client.remove_contact(bob)

    async def test_errors_have_classes(self) -> None:
        async with self.connect() as client:
            with self.assertRaises(prosed.AccountUnknown) as unknown:
                await client.load_roster(account="you@prosed.test")
            error = unknown.exception
            self.assertEqual((error.code, error.kind, error.retryable), (1003, "accountUnknown", False))
            assert error.data is not None
            self.assertEqual((error.data.account, error.data.text), ("you@prosed.test", None))
            self.assertEqual(str(error), error.message)
            with self.assertRaises(prosed.ContactUnknown):
                await client.get_contact("nobody@prosed.test")
            with self.assertRaises(prosed.InvalidMedia):
                await client.set_avatar(b"no picture")
            with self.assertRaises(prosed.InvalidParams) as wrong:
                await client.call("get_contact", gid="x")
            self.assertEqual((wrong.exception.code, wrong.exception.kind), (-32602, "invalidParams"))
            with self.assertRaises(ValueError):
                await client.set_avatar(bytes(2 << 20))
            # None of it has done harm.
            self.assertEqual((await client.call("get_version"))["name"], "prosed")

    async def test_many_at_once(self) -> None:
        async with self.connect() as client:
            # More than the daemon takes of one connection.
            answers = await asyncio.gather(*(client.get_contact(self.alice) for _ in range(300)))
            self.assertEqual({contact.jid for contact in answers}, {self.alice})

    async def test_a_lost_connection(self) -> None:
        async with self.connect(self.over(self.proxied)) as client:
            poll = asyncio.create_task(client.get_events(timeout=60, events=["subscriptionResolved"]))
            await asyncio.sleep(0.1)
            await self.stage("cut")
            with self.assertRaises(prosed.Disconnected):
                await poll
            self.assertEqual((await client.get_version()).name, "prosed", "the next call reconnects")
            await self.stage("cut")
            # Once it can have noticed, nobody else does.
            await asyncio.sleep(0.5)
            self.assertEqual((await client.get_version()).name, "prosed")

    async def test_a_daemon_that_is_away_and_back(self) -> None:
        async with self.connect() as client:
            await client.get_version()
            await self.stage("kill")
            with self.assertRaises(ConnectionError):
                await client.get_version()
            with self.assertRaises(prosed.NotRunning):
                await client.get_version()
            await self.stage("start")
            self.assertEqual((await client.get_version()).name, "prosed")
        with self.assertRaises(prosed.Disconnected):
            await client.get_version()

    async def test_the_doors(self) -> None:
        # The port asks for the token, and nobody else gets it.
        elsewhere = "http://127.0.0.1:1"
        with patch.dict(os.environ, http_proxy=elsewhere, ws_proxy=elsewhere, all_proxy=elsewhere):
            async with self.connect(self.over(self.url)) as client:
                await client.get_version()
        with self.assertRaisesRegex(prosed.NotRunning, "does not prove"):
            async with self.connect(self.over(self.url, token="guess")):
                pass
        # The socket doesn't; and where there is nothing else, somebody may be woken by a knock.
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "prosed.sock").symlink_to(Path(self.runtime_dir, "prosed.sock"))
            async with self.connect(folder) as client:
                await client.get_version()
            Path(folder, "prosed.sock").unlink()
            with self.assertRaises(prosed.NotRunning):
                async with self.connect(folder):
                    pass
            # A port counts for nothing where there was a socket.
            endpoint = json.loads((self.over(self.url) / "endpoint.json").read_bytes())
            endpoint["socket"] = str(Path(folder, "prosed.sock"))
            Path(folder, "endpoint.json").write_text(json.dumps(endpoint))
            with self.assertRaisesRegex(prosed.NotRunning, "not running: process 1"):
                async with self.connect(folder):
                    pass
        with self.assertRaises(prosed.NotRunning):
            async with self.connect(self.over("ws://127.0.0.1:1/rpc")):
                pass

    async def test_nobody_else_is_told_anything(self) -> None:
        elsewhere = "127.0.0.2:5299"
        answers: dict[str, Callable[[str], str]] = {
            # As the daemon at another address has answered.
            "relayed": lambda nonce: challenge_answer(self.token, elsewhere, nonce),
            "echoed": lambda nonce: nonce,
            "endless": lambda nonce: "a" * (1 << 20),
            "silent": lambda nonce: "",
        }
        for how, answer in answers.items():
            heard = asyncio.get_running_loop().create_future()

            async def squat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                head = await reader.readuntil(b"\r\n\r\n")
                nonce = head.split(b"Prosed-Nonce: ")[1].split(b"\r\n")[0].decode()
                body = answer(nonce)  # noqa: B023
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
                with contextlib.suppress(ConnectionError):
                    if not body:
                        writer.close()
                    head += await reader.read()
                heard.set_result(head)  # noqa: B023
                writer.close()

            server = await asyncio.start_server(squat, "127.0.0.1")
            async with server:
                port = server.sockets[0].getsockname()[1]
                with self.assertRaises(prosed.NotRunning, msg=how):
                    async with self.connect(self.over(f"ws://127.0.0.1:{port}/rpc")):
                        pass
                said = (await heard).decode()
            self.assertTrue(said.startswith("GET /challenge ") and said.endswith("\r\n\r\n"), said)
            self.assertNotIn(self.token, said)

    async def test_what_is_not_private_proves_nothing(self) -> None:
        folder = self.over(self.url)
        (folder / "token").chmod(0o644)
        with self.assertRaisesRegex(prosed.NotRunning, "alone"):
            async with self.connect(folder):
                pass


class BlockingCalls(Calls):
    blocking = True


if __name__ == "__main__":
    unittest.main()
