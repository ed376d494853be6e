"""Events, with either client, from a live daemon."""

from __future__ import annotations

import asyncio
import gc
import itertools
import unittest
from typing import Any

import prosed

from .stage import Live


class Events(Live):
    def assert_counts_up(self, events: list[Any]) -> None:
        seqs = [event.seq for event in events]
        self.assertTrue(all(one < next for one, next in itertools.pairwise(seqs)), seqs)

    def oldest(self, error: prosed.ProsedError) -> int:
        assert error.data is not None and error.data.oldest is not None
        return error.data.oldest

    async def truth(self, events: list[Any], **details: Any) -> list[int]:
        """The numbers of the events that have truly happened from the first of these to the last."""
        heard = await self.stage("heard", since=events[0].seq - 1, until=events[-1].seq, **details)
        return [event["seq"] for event in heard]

    async def test_from_the_moment_on(self) -> None:
        async with self.connect() as client, client.events(["contactChanged"]) as events:
            started = events.seq
            for status in ["one", "two", "three"]:
                await self.presence(status)
            taken = await self.take(events, self.told("three"))
            self.assertIsInstance(taken[0], prosed.ContactChanged)
            self.assertGreater(taken[0].seq, started)
            self.assertEqual(events.seq, taken[-1].seq)
            self.assertEqual([e.seq for e in taken], await self.truth(taken, event="contactChanged"))
            self.assertTrue(any(self.told("one")(event) for event in taken))

    async def test_a_roster_and_what_has_happened_since(self) -> None:
        async with self.connect() as client:
            await self.presence("before")
            roster = await client.load_roster()
            await self.presence("behind")
            taken = await self.take(client.events(since=roster.seq), self.told("behind"))
            self.assertTrue(all(event.seq > roster.seq for event in taken))
            self.assertFalse(any(self.told("before")(event) for event in taken))

    async def test_whether_somebody_is_looking(self) -> None:
        others = await self.stage("watching")

        async def watching() -> int:
            return int(await self.stage("watching")) - int(others)

        async with self.connect() as client:
            await client.get_version()
            self.assertEqual(await watching(), 0)
            async with client.events() as events:
                self.assertEqual(await watching(), 1)
                await client.set_activity(False)
                while await watching() > 0:
                    await asyncio.sleep(0.01)
                # The answer is not taken for an event, and new connections say it, too.
                await self.presence("still heard")
                await self.take(events, self.told("still heard"))
                async with client.events():
                    self.assertEqual(await watching(), 0)
                await client.set_activity(True)
                while await watching() < 2:
                    await asyncio.sleep(0.01)

    async def test_only_those_that_are_asked_for(self) -> None:
        async with self.connect() as client:
            seq = (await client.load_roster()).seq
            await client.set_presence("dnd")
            await self.presence("dnd")
            (first, *_) = await self.take(client.events([prosed.AccountChanged], since=seq), lambda _: True)
            self.assertIsInstance(first, prosed.AccountChanged)
            self.assertEqual(first.info.availability, "dnd")
            await client.set_presence("available")
            with self.assertRaises(prosed.InvalidJid):
                await self.take(client.events(account="@", since=seq), lambda _: True)
            taken = await self.take(client.events(account=self.me, since=seq), self.told("dnd"))
            self.assertEqual({event.account for event in taken}, {self.me})

    async def test_lost_connections_lose_nothing_and_bring_nothing_twice(self) -> None:
        folder = self.over(self.proxied)
        async with self.connect(folder) as client, client.events() as events:
            # Before anything was heard, too.
            await self.stage("cut")
            await self.presence("0")
            listening = asyncio.create_task(self.take(events, self.told("60")))
            for number in range(1, 61):
                if number % 6 == 0:
                    await self.stage("cut")
                if number == 33:
                    await self.stage("refuse")
                if number == 36:
                    await self.stage("flow")
                await self.presence(str(number), wait=number == 60)
            taken = await listening
            self.assert_counts_up(taken)
            self.assertEqual([event.seq for event in taken], await self.truth(taken))
            self.assertTrue(any(self.told("0")(event) for event in taken), "from the moment on")

    async def test_a_connection_is_cut_at_any_byte(self) -> None:
        folder = self.over(self.proxied)
        async with self.connect() as client:
            roster = await client.load_roster()
            for number in range(12):
                await self.presence(f"byte {number}")
            expected = None
            for after in [0, 1, 100, 129, 200, 300, 420, 700, 1500, 3000]:
                await self.stage("cut_next", after=after)
                async with self.connect(folder).events(since=roster.seq) as events:
                    taken = await self.take(events, self.told("byte 11"))
                expected = expected or await self.truth(taken)
                self.assertEqual([event.seq for event in taken], expected, f"cut after {after} bytes")

    async def test_a_killed_daemon(self) -> None:
        """The daemon forgets its events: the stream says so, and reloading loses nothing."""
        async with self.connect() as client:
            state: dict[str, prosed.Contact] = {}
            statuses: list[str | None] = []
            expired: list[prosed.CursorExpired] = []
            seqs: list[int] = []
            is_loaded = asyncio.Event()

            def is_over() -> bool:
                return state[self.alice].status == self.here("alive again")

            async def show() -> None:
                while True:
                    roster = await client.load_roster()
                    state.clear()
                    state.update({contact.jid: contact for contact in roster.contacts})
                    is_loaded.set()
                    if is_over():
                        return
                    try:
                        async for event in client.events([prosed.ContactChanged], since=roster.seq):
                            seqs.append(event.seq)
                            state.update({contact.jid: contact for contact in event.contacts})
                            for jid in event.removed:
                                state.pop(jid, None)
                            statuses.extend(contact.status for contact in event.contacts)
                            if is_over():
                                return
                    except prosed.CursorExpired as error:
                        expired.append(error)

            showing = asyncio.create_task(show())
            await is_loaded.wait()
            for number in range(5):
                await self.presence(f"life {number}")
            await self.stage("kill")
            await self.presence("dead", wait=False)
            await self.stage("start")
            await self.presence("alive again")
            async with asyncio.timeout(self.patience):
                await showing
            self.assertEqual(statuses[:5], [self.here(f"life {number}") for number in range(5)])
            self.assertEqual(len(expired), 1)
            self.assertFalse(expired[0].retryable)
            self.assertGreater(self.oldest(expired[0]), seqs[4])
            self.assertEqual(sorted(set(seqs)), seqs)
            now = (await client.load_roster()).contacts
            self.assertEqual(state, {contact.jid: contact for contact in now})

    async def test_who_goes_on_gets_what_is_still_there(self) -> None:
        states: list[str] = []
        client = self.connect()
        self.assertEqual(client.state, "connecting")
        async with client, client.events([prosed.ContactChanged], on_state=states.append) as events:
            self.assertEqual((client.state, events.state, states), ("connected", "connected", ["connected"]))
            await self.presence("first life")
            await self.take(events, self.told("first life"))
            await self.stage("kill")
            await self.stage("start")
            await self.presence("second life")
            with self.assertRaises(prosed.CursorExpired):
                await self.take(events, lambda _: False)
            taken = await self.take(events, self.told("second life"))
            self.assert_counts_up(taken)
            self.assertEqual([event.seq for event in taken], await self.truth(taken, event="contactChanged"))
        self.assertEqual(states, ["connected", "connecting", "connected", "closed"])
        self.assertEqual((client.state, events.state), ("closed", "closed"))

    async def test_a_reader_that_is_too_slow(self) -> None:
        """The daemon ends the subscription (`lagged`); asked to go on from there, it has no more."""
        both = [prosed.ContactChanged, prosed.AccountChanged]
        async with self.connect() as client, client.events(both) as events:
            await self.presence("before the flood")
            # More than the daemon retains and all buffers on the way hold.
            await self.stage("flood", times=300)
            with self.assertRaises(prosed.CursorExpired) as expired:
                await self.take(events, lambda _: False)
            taken = await self.take(events, lambda _: True)
            self.assertGreaterEqual(taken[0].seq, self.oldest(expired.exception))
            self.assertEqual((await client.get_version()).name, "prosed", "calls are not held up")

    async def test_waiting_for_a_daemon(self) -> None:
        client = self.connect()
        await self.stage("kill")
        arrived = [self.told(f"at last {number}") for number in range(100)]
        listening = asyncio.create_task(
            self.take(client.events(), lambda event: any(told(event) for told in arrived))
        )
        await asyncio.sleep(0.5)
        self.assertFalse(listening.done())
        await self.stage("start")
        for number in range(100):
            # It hears what is told once it is there. Each status is a new one: the daemon does not tell of a
            # change that was taken back within half a second.
            await self.presence(f"at last {number}")
            await asyncio.sleep(0.1)
            if listening.done():
                break
        await listening
        await client.close()

    async def test_leaving(self) -> None:
        async with self.connect() as client:
            seq = (await client.load_roster()).seq
            await self.presence("leaving")
            # More than the daemon has connections: who leaves a loop frees its.
            async with asyncio.timeout(self.patience):
                for _ in range(40):
                    async for event in client.events(since=seq):
                        self.assertGreater(event.seq, seq)
                        break
                    gc.collect()
            waiting = asyncio.create_task(self.take(client.events(["rosterLoaded"]), lambda _: True))
            async with client.events(["rosterLoaded"]) as events:
                left = asyncio.create_task(self.take(events, lambda _: True))
                await asyncio.sleep(0.1)
                await events.aclose()
            with self.assertRaisesRegex(AssertionError, "has ended"):
                await left
        # A client that is closed ends all of its streams.
        with self.assertRaisesRegex(AssertionError, "has ended"):
            await waiting


class BlockingEvents(Events):
    blocking = True


if __name__ == "__main__":
    unittest.main()
