"""A trial's ground on JetStream where a letter only says which message died: an advisory of the server. The message lies in its work queue."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence

from tests.backends.nats_workers import fail
from tests.brokers.server import wait_until
from tests.native.nats import Wire
from tests.torture.check import Content, Found
from tests.torture.letters import Seed
from tests.torture.nats_site import WINDOW, NatsSite, as_bytes, ask, block, first_id, own

POINTERS = "advisories, originals in a work queue"


class NatsPointers(NatsSite):
    """The homes are one work queue, whose worker fails. A message that died stays there until its copy is stored behind it."""

    def make_streams(self, wire: Wire, retention: str) -> None:
        homes = self.streams["homes"]
        for which, subjects, kept in (("homes", f"{self.run}.home.*", "workqueue"), ("parking", self.parking, "limits"),
                                      ("letters", f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{homes}.>", "limits")):
            name = self.streams[which]
            ask(wire, f"STREAM.CREATE.{name}", name=name, subjects=[subjects], retention=kept, storage="file", allow_direct=True, duplicate_window=WINDOW)
        ask(wire, f"CONSUMER.DURABLE.CREATE.{homes}.worker", stream_name=homes,
            config={"durable_name": "worker", "ack_policy": "explicit", "max_deliver": 1, "ack_wait": 30_000_000_000, "max_ack_pending": -1})
        self._originals: dict[int, str] = {}

    def bury(self, seeds: Sequence[Seed]) -> None:
        wire = Wire(*self.place)
        died = [(self.homes[seed.home], seed.body or b"", block([*own(seed), ("Nats-Msg-Id", first_id(seed))])) for seed in seeds]
        for start in range(0, len(died), 500):
            for seed, answer in zip(seeds[start:start + 500], wire.ask_all(died[start:start + 500]), strict=True):
                self._originals[json.loads(answer)["seq"]] = seed.identity
        fail("nats://{}:{}".format(*self.place), self.streams["homes"])
        wait_until(lambda: ask(wire, f"STREAM.INFO.{self.streams['letters']}")["state"]["messages"] == len(seeds), 45, f"{len(seeds)} advisories")
        wire.close()

    def lies(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, as_bytes([*own(seed), ("Nats-Msg-Id", first_id(seed))]))

    def parked(self, seed: Seed) -> Content:
        return self.copy(seed)

    leaves_records = True

    def pending(self) -> list[Found]:
        originals = {sequence: found for sequence, _, found in self.read("homes") if sequence in self._originals}
        wire = Wire(*self.place)
        found = []
        for message in wire.stored(self.streams["letters"]):
            sequence = json.loads(b64decode(message["data"]))["stream_seq"]
            # one whose message was taken out and it not yet: that is at home, or it is lost, and the letter is nothing any more
            found += [originals[sequence]] if sequence in originals else []
        wire.close()
        return found

    def stored(self) -> dict[str, list[Found]]:
        places: dict[str, list[Found]] = {name: [] for name in (*self.homes, self.parking)}
        pending = {found.identity for found in self.pending()}
        for which in ("homes", "parking"):
            for sequence, subject, found in self.read(which):
                if which == "parking" or sequence not in self._originals:
                    places[subject].append(found)
                elif self._originals[sequence] not in pending:
                    # nothing points at it any more, and its worker would never get it again
                    places.setdefault(f"{subject}, left behind", []).append(found)
        return places
