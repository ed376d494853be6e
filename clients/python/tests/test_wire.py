"""What needs no daemon."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import tempfile
import unittest
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import prosed
import prosed.sync
from prosed._doors import challenge_answer, find_doors, find_runtime_dir, open_connection
from prosed._wire import LONGEST_WAIT, ROSTER_PAGE, SHORTEST_WAIT, Backoff, Cursor, moment, request, result_of

EVENT = {"event": "rosterLoaded", "seq": 42, "time": "2026-01-31T09:00:12.250Z", "account": "me@example.org"}


def notification(**changes: Any) -> str:
    result = {**EVENT, "changed": 1, **changes}
    return json.dumps({"method": result["event"], "params": {"subscription": 7, "result": result}})


def ended(code: int, kind: str, **data: Any) -> str:
    error = {"code": code, "message": "Oh.", "data": {"kind": kind, "retryable": True, **data}}
    return json.dumps({"method": "subscription", "params": {"subscription": 7, "error": error}})


class Doors(unittest.TestCase):
    def test_looks_where_the_daemon_writes(self) -> None:
        home = {"HOME": "/home/me"}
        data = {**home, "XDG_DATA_HOME": "/data"}
        runtime = {**data, "XDG_RUNTIME_DIR": "/run/user/1"}
        for env, folder in [
            (home, "/home/me/.local/share/prosed/run"),
            (data, "/data/prosed/run"),
            (runtime, "/run/user/1/prosed"),
            ({**runtime, "PROSED_RUNTIME_DIR": "here"}, "here"),
            ({**runtime, "PROSED_RUNTIME_DIR": ""}, "/run/user/1/prosed"),
            ({**home, "XDG_RUNTIME_DIR": "not/absolute"}, "/home/me/.local/share/prosed/run"),
            ({**home, "XDG_RUNTIME_DIR": ""}, "/home/me/.local/share/prosed/run"),
        ]:
            self.assertEqual(find_runtime_dir(env), Path(folder), env)
        home_of_user = Path(pwd.getpwuid(os.getuid()).pw_dir)
        self.assertEqual(find_runtime_dir({}), home_of_user / ".local/share/prosed/run")

    def test_reads_what_the_daemon_writes(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with self.assertRaisesRegex(prosed.NotRunning, "is not running"):
                find_doors(folder)
            (folder / "endpoint.json").write_text("{")
            with self.assertRaisesRegex(prosed.NotRunning, "damaged"):
                find_doors(folder)
            endpoint = {"url": "ws://[::1]:5299/rpc", "token_file": "/run/token", "pid": 7, "new": 1}
            (folder / "endpoint.json").write_text(json.dumps(endpoint))
            doors = find_doors(folder)
            self.assertEqual((doors.socket, doors.url, doors.pid), (None, endpoint["url"], 7))
            del endpoint["url"]
            (folder / "endpoint.json").write_text(json.dumps({**endpoint, "socket": "/run/s"}))
            self.assertEqual(find_doors(folder).socket, Path("/run/s"))
            (folder / "endpoint.json").write_text(json.dumps(endpoint))
            with self.assertRaisesRegex(prosed.NotRunning, "neither a socket nor a port"):
                open_connection(folder)

    def test_believes_no_folder_that_others_can_change(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            folder = home / "middle/folder"
            folder.mkdir(parents=True)
            (folder / "endpoint.json").write_text(json.dumps({"url": "ws://[::1]:1/rpc", "token_file": "/t"}))

            def refused(way: Path, why: str) -> None:
                with self.assertRaisesRegex(prosed.NotRunning, why):
                    find_doors(way)

            find_doors(folder)
            for opened in [folder.parent, folder]:
                opened.chmod(0o777)
                refused(folder, f"{opened} can be changed by other users")
                opened.chmod(0o755)
            # A link is judged by where it is, and by where it leads.
            (home / "link").symlink_to("middle")
            find_doors(home / "link/folder")
            find_doors(home / "link/../middle/folder")
            shared = home / "shared"
            shared.mkdir()
            (shared / "link").symlink_to(folder)
            shared.chmod(0o777)
            refused(shared / "link", f"{shared} can be changed by other users")
            (home / "round").symlink_to("round")
            refused(home / "round", "too many symbolic links")
            folder.chmod(0o1700)
            refused(folder, "not a folder of your own")
            folder.chmod(0o700)
            if os.geteuid() == 0:
                os.chown(folder.parent, 65534, -1)
                refused(folder, f"{folder.parent} belongs to another user")

    def test_answers_a_challenge_as_the_daemon_does(self) -> None:
        token = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG8"
        answer = challenge_answer(token, "127.0.0.1:5299", "00112233445566778899aabbccddeeff")
        self.assertEqual(answer, "89499e9b68928ca70f1af1748ebb7e9d87b547935bfacbbdd68410b089e48da0")


class Wire(unittest.TestCase):
    def test_a_field_with_no_value_is_absent(self) -> None:
        call = json.loads(request(3, "get_contact", {"jid": "a@b", "account": None, "since": 0}))
        self.assertEqual(call["params"], {"jid": "a@b", "since": 0})
        self.assertEqual(prosed.ProfilePatch(full_name="A").to_json(), {"fullName": "A"})

    def test_what_is_removed_is_null(self) -> None:
        patch = prosed.ProfilePatch(
            nickname="Mo",
            note=prosed.REMOVE,
            emails=["a@b"],
            phones=prosed.REMOVE,
            address=prosed.AddressPatch(street=prosed.REMOVE),
        )
        wire = {
            "nickname": "Mo",
            "note": None,
            "emails": ["a@b"],
            "phones": None,
            "address": {"street": None},
        }
        call = json.loads(request(1, "set_profile", {"profile": patch.to_json()}))
        self.assertEqual(call["params"], {"profile": wire})
        self.assertEqual(prosed.ProfilePatch.from_json(wire).to_json(), wire)

    def test_what_is_newer_does_no_harm(self) -> None:
        version = {"name": "prosed", "version": "9", "apiLevel": 9, "apiCompatible": 1, "codename": "x"}
        self.assertEqual(prosed.Version.from_json(version).api_level, 9)
        resource = {"resource": "r", "availability": "asleep", "priority": 0, "since": EVENT["time"]}
        self.assertEqual(prosed.Resource.from_json(resource).availability, "asleep")
        contact = {
            "jid": "a@b",
            "name": "A",
            "availability": "asleep",
            "subscription": "halfway",
            "groups": [],
            "resources": [resource],
            "warnings": ["smellsOdd"],
        }
        roster = prosed.Roster.from_json(
            {"account": "me@b", "source": "carrierPigeon", "seq": 1, "contacts": [contact]}
        )
        self.assertEqual(roster.source, "carrierPigeon")
        self.assertEqual(roster.contacts[0].subscription, "halfway")
        self.assertEqual(roster.contacts[0].warnings, ["smellsOdd"])
        event = prosed.Event.from_json({**EVENT, "event": "messageReceived", "message": {"body": "hi"}})
        assert isinstance(event, prosed.UnknownEvent)
        self.assertEqual((event.name, event.seq), ("messageReceived", 42))
        self.assertEqual(event.json["message"], {"body": "hi"})
        error = {
            "code": 1999,
            "message": "New.",
            "data": {"kind": "brandNew", "retryable": True, "extra": {}},
        }
        with self.assertRaises(prosed.ProsedError) as new:
            result_of({"error": error})
        self.assertEqual((new.exception.kind, new.exception.retryable), ("brandNew", True))

    def test_what_is_missing_is_of_another_version(self) -> None:
        cursor = Cursor(None, None, 1)
        with self.assertRaises(prosed.UnexpectedAnswer):
            cursor.take(
                json.dumps({"method": "x", "params": {"result": {**EVENT, "event": "contactChanged"}}})
            )
        self.assertEqual(cursor.seq, 42, "it is not met again")
        for text in ["{", "[]", "1"]:
            with self.assertRaises(prosed.UnexpectedAnswer):
                cursor.take(text)

    def test_every_time_is_one(self) -> None:
        self.assertEqual(moment("2026-01-31T09:00:12.250Z"), datetime(2026, 1, 31, 9, 0, 12, 250_000, UTC))
        self.assertEqual(moment("+262142-12-31T23:59:59.999Z").year, 9999)
        self.assertEqual(moment("-262143-01-01T00:00:00.000Z").year, 1)

    def test_nothing_twice(self) -> None:
        cursor = Cursor([prosed.RosterLoaded, prosed.ContactChanged], "me@example.org", 41)
        names = ["rosterLoaded", "contactChanged"]
        self.assertEqual(cursor.params(), {"events": names, "account": "me@example.org", "since": 41})
        self.assertIsInstance(cursor.take(notification()), prosed.RosterLoaded)
        self.assertEqual(cursor.params()["since"], 42)
        self.assertIsNone(cursor.take(notification()))
        self.assertIsNone(cursor.take(json.dumps({"id": 1, "result": 7})))
        self.assertIsNotNone(cursor.take(notification(seq=43)))

    def test_how_a_subscription_ends(self) -> None:
        cursor = Cursor(None, None, 41)
        with self.assertRaises(prosed.Lagged) as lagged:
            cursor.take(ended(1402, "lagged", seq=41))
        self.assertEqual(lagged.exception.data and lagged.exception.data.seq, 41)
        self.assertEqual(cursor.seq, 41)
        with self.assertRaises(prosed.CursorExpired) as expired:
            cursor.take(ended(1401, "cursorExpired", oldest=90))
        cursor.expired(expired.exception)
        self.assertEqual(cursor.params(), {"since": 89})

    def test_a_roster_comes_page_by_page(self) -> None:
        jids = [f"c{number:04}@example.org" for number in range(2 * ROSTER_PAGE + 1)]
        asked: list[dict[str, Any]] = []

        def answer(method: str, params: dict[str, Any]) -> Any:
            asked.append({name: value for name, value in params.items() if value is not None})
            begin = jids.index(params["after"]) + 1 if params["after"] else 0
            page = jids[begin : begin + params["limit"]]
            contacts = [
                {"jid": jid, "name": jid, "subscription": "both", "availability": "available"}
                | {"groups": [], "ask": False, "approved": False}
                | {"resources": [], "resourceCount": 0, "warnings": []}
                for jid in page
            ]
            complete = page[-1] == jids[-1]
            roster = {"account": "me@example.org", "source": "cache", "seq": 41 + len(asked)}
            return roster | {"contacts": contacts, "complete": complete}

        class Blocking(prosed.sync.Client):
            def call(self, method: str, /, **params: Any) -> Any:
                return answer(method, params)

        class Asynchronous(prosed.Client):
            async def call(self, method: str, /, **params: Any) -> Any:
                return answer(method, params)

        def blocking(**params: Any) -> prosed.Roster:
            return Blocking("/").load_roster(**params)

        def asynchronous(**params: Any) -> prosed.Roster:
            return asyncio.run(Asynchronous("/").load_roster(**params))

        for load in (blocking, asynchronous):
            asked.clear()
            roster = load()
            self.assertEqual([contact.jid for contact in roster.contacts], jids)
            self.assertEqual((roster.seq, roster.complete, len(asked)), (42, True, 3))
            page = load(limit=2, after=jids[0])
            self.assertEqual([contact.jid for contact in page.contacts], jids[1:3])
            self.assertFalse(page.complete)

    def test_waits_grow_to_a_bound_and_differ(self) -> None:
        backoff = Backoff()
        self.assertEqual(backoff.next(), 0)
        self.assertTrue(SHORTEST_WAIT / 2 <= backoff.next() <= SHORTEST_WAIT)
        waits = [backoff.next() for _ in range(100)]
        self.assertTrue(all(wait <= LONGEST_WAIT for wait in waits))
        self.assertTrue(all(wait >= LONGEST_WAIT / 2 for wait in waits[20:]))
        self.assertGreater(len(set(waits)), 90)
        backoff.reset()
        self.assertLessEqual(backoff.next(), SHORTEST_WAIT)
        backoff.hurry()
        self.assertEqual(backoff.next(), 0)


if __name__ == "__main__":
    unittest.main()
