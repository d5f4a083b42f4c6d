"""A trial's ground on JetStream: a stream of letters by the X-Original-Subject convention, on whose homes they died before."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from brokercli.backends.envelope_values import encode_headers, text_or_base64
from tests.brokers.server import HOST
from tests.native.nats import CANNOT_STORE, Wire
from tests.torture.check import Content, Found
from tests.torture.letters import Seed
from tests.torture.site import HOMES, Ground, Site, identity_in, split_stamp

# nanoseconds: a trial on a slow machine is over within it
WINDOW = 1800 * 1_000_000_000
_OURS = b"brokercli:"
# what a server writes on a message that it hands on; nothing of it may come back
_LEFTOVERS: list[tuple[str, bytes | None]] = [("Nats-Stream", b"ORDERS"), ("Nats-Sequence", b"7")]


class NatsGround(Ground):
    """A server behind `address`."""

    exactly_once = True
    kinds = ("limits", "workqueue")

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or HOST, parts.port or 4222

    def make(self, run: str, kind: str) -> Site:
        # it builds on this one
        from tests.torture.nats_pointers import POINTERS, NatsPointers

        return (NatsPointers if kind == POINTERS else NatsSite)(self._host, self._port, run, kind)

    def context(self, port: int) -> Mapping[str, str]:
        return {"url": f"nats://{HOST}:{port}"}


class NatsSite(Site):
    """One stream for the letters, one for all homes, one to park in. Every message was stored at home before, under an id that
    its letter still carries, and was worked off there: who publishes it under that id again stores nothing."""

    def __init__(self, host: str, port: int, run: str, retention: str) -> None:
        self.place = host, port
        self.run = run
        self.streams = {"letters": f"{run}-DLQ", "homes": f"{run}-HOMES", "parking": f"{run}-PARKED"}
        self.dlq = f"stream:{self.streams['letters']}"
        self.parking = f"{run}.parked"
        self.homes = [f"{run}.home.{number}" for number in range(HOMES)]
        wire = Wire(*self.place)
        self.make_streams(wire, retention)
        wire.close()

    def make_streams(self, wire: Wire, retention: str) -> None:
        """Make the three streams."""
        for which, subjects, kept in (("letters", f"{self.run}.dlq.>", retention), ("homes", f"{self.run}.home.*", "limits"),
                                      ("parking", self.parking, "limits")):
            name = self.streams[which]
            ask(wire, f"STREAM.CREATE.{name}", name=name, subjects=[subjects], retention=kept, storage="file", allow_direct=True,
                 duplicate_window=WINDOW)

    def _headers(self, seed: Seed) -> list[tuple[str, bytes | None]]:
        origin = self.homes[seed.home] if seed.home >= 0 else f"{self.run}.gone"
        return [("X-Original-Subject", origin.encode()), *own(seed), ("x-error-message", b"boom")]

    def bury(self, seeds: Sequence[Seed]) -> None:
        wire = Wire(*self.place)
        lived = [(self.homes[seed.home], b"", block([("Nats-Msg-Id", first_id(seed))])) for seed in seeds if seed.home >= 0]
        died = [(f"{self.run}.dlq.letters", seed.body or b"", block([*self._headers(seed), *_LEFTOVERS, ("Nats-Msg-Id", first_id(seed))])) for seed in seeds]
        for messages in (lived, died):
            for start in range(0, len(messages), 500):
                answers = wire.ask_all(messages[start:start + 500])
                assert all(b'"seq"' in answer for answer in answers), answers[:3]
        ask(wire, f"STREAM.PURGE.{self.streams['homes']}")
        wire.close()

    def lies(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, as_bytes([*self._headers(seed), *_LEFTOVERS, ("Nats-Msg-Id", first_id(seed))]))

    def copy(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, (*as_bytes(own(seed)), "stamp", "our id"))

    def parked(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, (*as_bytes(self._headers(seed)), "our id"))

    def filed(self, seed: Seed) -> Content:
        # the promise is at least once, and there is no id by which it could be more
        return Content(seed.body or b"", None, (*as_bytes(own(seed)), "stamp"))

    def carried(self, seed: Seed) -> Content | None:
        return Content(seed.body or b"", None, (*as_bytes(own(seed)), "stamp"))

    def replayed(self, seed: Seed) -> Content | None:
        return Content(seed.body or b"", None, as_bytes(self._headers(seed)))

    def published(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, (*as_bytes(own(seed)), (b"Nats-Msg-Id", seed.identity.encode())))

    def envelope(self, seed: Seed) -> dict[str, Any]:
        return {"body": text_or_base64(seed.body or b""), "headers": encode_headers(tuple(own(seed))), "id": seed.identity}

    @property
    def target(self) -> str:
        return f"subject:{self.homes[0]}"

    def pending(self) -> list[Found]:
        return [found for _, _, found in self.read("letters")]

    def stored(self) -> dict[str, list[Found]]:
        places: dict[str, list[Found]] = {name: [] for name in (*self.homes, self.parking)}
        for stream in ("homes", "parking"):
            for _, subject, found in self.read(stream):
                places.setdefault(subject, []).append(found)
        return places

    def read(self, which: str) -> list[tuple[int, str, Found]]:
        """Return what a stream stores: sequence, subject, message."""
        wire = Wire(*self.place)
        read = wire.stored(self.streams[which])
        wire.close()
        return [(int(message["seq"]), str(message["subject"]), found_in(message)) for message in read]

    def clean(self) -> None:
        wire = Wire(*self.place)
        for name in self.streams.values():
            with suppress(AssertionError):
                ask(wire, f"STREAM.DELETE.{name}")
        wire.close()


def first_id(seed: Seed) -> bytes:
    """Return the id that a message had first."""
    return b"order-" + seed.identity.encode()


def own(seed: Seed) -> list[tuple[str, bytes | None]]:
    """Return what a message itself carries."""
    # a value is never null here, and its ends are trimmed
    return [(name, (value or b"").strip()) for name, value in seed.headers]


def as_bytes(headers: Sequence[tuple[str, bytes | None]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return headers as a server has them."""
    return tuple((name.encode(), value or b"") for name, value in headers)


def block(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Return headers as they are sent."""
    return b"NATS/1.0\r\n" + b"".join(b"%b: %b\r\n" % header for header in as_bytes(headers)) + b"\r\n"


def found_in(message: dict[str, Any]) -> Found:
    """Return a stored message as the checker knows it."""
    lines = b64decode(message.get("hdrs", "")).split(b"\r\n")
    headers = [(name.decode(errors="surrogateescape"), value.strip(b" ")) for name, _, value in (line.partition(b":") for line in lines[1:] if line)]
    rest, stamp = split_stamp(headers)
    kept: list[Any] = []
    ids = [value for name, value in rest if name == "Nats-Msg-Id"]
    ours = len(ids) == 1 and ids[0].startswith(_OURS)
    kept += [(name.encode(errors="surrogateescape"), value) for name, value in rest if not (ours and name == "Nats-Msg-Id")]
    kept += ["stamp"] if stamp and not isinstance(stamp[0], tuple) else list(stamp)
    kept += ["our id"] if ours else []
    return Found(identity_in(headers), Content(b64decode(message.get("data", "")), None, tuple(kept)))


def ask(wire: Wire, verb: str, **question: Any) -> dict[str, Any]:
    """Ask the API, and hold it to an answer."""
    asked = json.dumps(question).encode() if question else b""
    answer: dict[str, Any] = json.loads(wire.ask(f"$JS.API.{verb}", asked))
    if answer.get("error", {}).get("err_code") == CANNOT_STORE:
        answer = json.loads(wire.ask(f"$JS.API.{verb}", asked))
    assert "error" not in answer, answer["error"]
    return answer
