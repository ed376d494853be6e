"""A client on slixmpp, with the plugins that do what every client of this bench does.

    slixmpp_client.py PORT ACCOUNT CA [DOMAIN PASSWORD PLAY]

Prints one line of JSON, as `outcome.rs` reads it.
"""

import asyncio
import json
import re
import ssl
import sys
import time

from slixmpp import ClientXMPP

PORT, ACCOUNT, CA = int(sys.argv[1]), sys.argv[2], sys.argv[3]
DOMAIN, PASSWORD, PLAY = (sys.argv[4:7] + ["bench.test", "x", ACCOUNT][len(sys.argv[4:7]) :])[:3]
LEVEL, CONTACTS = PLAY[0], int(re.match(r".(\d+)", PLAY)[1])
IN_FLIGHT = 16


class Client(ClientXMPP):
    def __init__(self):
        super().__init__(f"{ACCOUNT}@{DOMAIN}", PASSWORD)
        for plugin in ["xep_0030", "xep_0115", "xep_0060", "xep_0163", "xep_0084", "xep_0292"]:
            self.register_plugin(plugin)
        self["xep_0163"].add_interest("urn:xmpp:vcard4")
        self.ca_certs = CA
        self.enable_starttls = False
        self.enable_direct_tls = True
        self.roster_ms = 0
        self.seen, self.images, self.vcards = set(), set(), set()
        self.slots = asyncio.Semaphore(IN_FLIGHT)
        self.done = asyncio.get_running_loop().create_future()
        self.add_event_handler("session_start", self.start)
        self.add_event_handler("got_online", self.note_presence)
        self.add_event_handler("avatar_metadata_publish", self.note_metadata)
        self.add_event_handler("vcard4_publish", self.note_vcard)
        self.add_event_handler("pubsub_publish", self.note_event)

    async def start(self, _event):
        await self.get_roster()
        self.roster_ms = (time.monotonic() - BEGUN) * 1e3
        self.send_presence()
        self.check()

    def note_presence(self, presence):
        if presence["from"].bare != self.boundjid.bare:
            self.seen.add(presence["from"].bare)
            self.check()

    def note_event(self, message):
        if message["pubsub_event"]["items"]["node"] == "urn:xmpp:vcard4":
            self.note_vcard(message)

    def note_vcard(self, message):
        self.vcards.add(message["from"].bare)
        self.check()

    async def note_metadata(self, message):
        owner = message["from"].bare
        item = message["pubsub_event"]["items"]["item"]
        id = item["avatar_metadata"]["info"]["id"] or item["id"]
        async with self.slots:
            answer = await self["xep_0084"].retrieve_avatar(owner, id)
        answer["pubsub"]["items"]["item"]["avatar_data"]["value"]
        self.images.add(owner)
        self.check()

    def check(self):
        wanted = CONTACTS if LEVEL == "b" else 0
        enough = len(self.seen) >= -(-CONTACTS // 10) and self.roster_ms
        if enough and len(self.images) >= wanted and len(self.vcards) >= wanted and not self.done.done():
            self.done.set_result(None)


def rss_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


async def main():
    global BEGUN
    client = Client()
    BEGUN = time.monotonic()
    client.connect("127.0.0.1", PORT)
    await asyncio.wait_for(client.done, 60)
    wall, cpu = (time.monotonic() - BEGUN) * 1e3, time.process_time() * 1e3
    time.sleep(1)
    print(json.dumps({"wall_ms": wall, "cpu_ms": cpu, "rss_kib": rss_kib(), "roster_ms": client.roster_ms}))


asyncio.run(main())
