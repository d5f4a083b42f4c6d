"""A trial's ground on RabbitMQ: work queues whose messages expire into a queue of dead letters, as the broker itself moves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from brokercli.backends.envelope_values import text_or_base64
from tests.brokers.server import HOST, wait_until
from tests.native.amqp import Field, Properties, Refused, Wire
from tests.torture.check import Content, Found
from tests.torture.letters import Seed
from tests.torture.site import HOMES, Ground, Site, split_stamp

PATIENCE = 45.0
_DEATHS = (b"x-death", b"x-first-death-", b"x-last-death-")
# what a quorum queue says of each message that was looked at or came back before; a letter that is parked keeps it
_COUNTS = (b"x-acquired-count", b"x-delivery-count")
_HOME_KINDS = (b"classic", b"quorum", b"classic")


LIMITED = "quorum with a limit"
"""The usual one: its letters died of a delivery limit, and each would be deleted at its first return."""
_LIMIT_AT_HOME = 21


class RabbitMQGround(Ground):
    """A broker behind `address`."""

    exactly_once = False
    # what somebody held who is dead now comes back when the broker has noticed
    returned_at_once = False
    # nobody waits for a confirm of what the broker itself moves: a classic queue writes it when it comes to it (seen on 4.3.6)
    written_at_once = False
    kinds = ("classic", "quorum", LIMITED)

    def __init__(self, address: str, management: str) -> None:
        parts = urlsplit(address)
        self._host, self._port, self._management = parts.hostname or HOST, parts.port or 5672, management

    def make(self, run: str, kind: str) -> Site:
        # it builds on this one
        from tests.torture.rabbitmq_stream import STREAM, RabbitMQStream

        return (RabbitMQStream if kind == STREAM else RabbitMQSite)(self._host, self._port, run, kind)

    def context(self, port: int) -> Mapping[str, str]:
        return {"url": f"amqp://guest:guest@{HOST}:{port}/", "management": self._management}


class RabbitMQSite(Site):
    """Queues. RabbitMQ sorts headers by name and keeps one of each; bodies are never null, and there are no keys."""

    def __init__(self, host: str, port: int, run: str, kind: str) -> None:
        self.place = host, port
        self.parking = f"{run}.parked"
        self.homes = [f"{run}.home.{number}" for number in range(HOMES)]
        self._letters, self._gone = f"{run}.dlq", f"{run}.gone"
        self._stored: dict[str, list[Found]] = {name: [] for name in (*self.homes, self.parking)}
        self.dlq = f"queue:{self._letters}"
        wire = Wire(*self.place)
        self._limited = kind == LIMITED
        limitless: list[tuple[str, Field]] = [("x-delivery-limit", ("l", -1))] if kind == "quorum" else []
        wire.declare_queue(self._letters, [("x-queue-type", ("S", kind.partition(" ")[0].encode())), *limitless])
        wire.declare_queue(self.parking, [("x-queue-type", ("S", b"classic"))])
        for name, home_kind in zip((*self.homes, self._gone), (*_HOME_KINDS, b"classic"), strict=True):
            own: list[tuple[str, Field]] = [("x-queue-type", ("S", b"quorum")), ("x-delivery-limit", ("l", _LIMIT_AT_HOME))] if self._limited else []
            wire.declare_queue(name, [*(own or [("x-queue-type", ("S", home_kind))]), ("x-dead-letter-exchange", ("S", b"")),
                                      ("x-dead-letter-routing-key", ("S", self._letters.encode()))])
        wire.close()

    def bury(self, seeds: Sequence[Seed]) -> None:
        wire = Wire(*self.place)
        for start in range(0, len(seeds), 200):
            for home in range(-1, HOMES):
                mine = [seed for seed in seeds[start:start + 200] if seed.home == home]
                name = self.homes[home] if home >= 0 else self._gone
                # it expires as soon as it is there, and the broker takes the expiration off
                dying: Properties = () if self._limited else (("expiration", b"0"),)
                wire.publish("", name, [(seed.body or b"", (*_properties(seed), *dying)) for seed in mine])
        deadline = monotonic() + PATIENCE
        while self._limited and wire.declare_queue(self._letters, passive=True)[0] < len(seeds) and monotonic() < deadline:
            for name in (*self.homes, self._gone):
                worker = Wire(*self.place)
                worker.return_all(name)
                worker.close()
        wait_until(lambda: wire.declare_queue(self._letters, passive=True)[0] == len(seeds), PATIENCE, f"{len(seeds)} letters in {self._letters}")
        with suppress(Refused):
            wire.delete_queue(self._gone)
        wire.close()

    def lies(self, seed: Seed) -> Content:
        return self.published(seed)

    def copy(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, (*_headers(seed), "stamp"), _rest(_properties(seed)))

    def lane(self, seed: Seed) -> str:
        # queues let their messages expire each in its own time; what is returned often is not returned in order
        return seed.identity if self._limited else str(seed.home)

    def parked(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, (*_headers(seed), "deaths"), _rest(_properties(seed)))

    def carried(self, seed: Seed) -> Content | None:
        properties = [(b"content-type", b"application/octet-stream"), (b"x-amqp-delivery-mode", b"2"), (b"x-message-id", seed.identity.encode())]
        return Content(seed.body or b"", None, (*((name, _AS_TEXT[field[0]](field[1])) for name, field in _headers(seed)), *properties, "stamp"))

    def published(self, seed: Seed) -> Content:
        return Content(seed.body or b"", None, _headers(seed), _rest(_properties(seed)))

    def envelope(self, seed: Seed) -> dict[str, Any]:
        properties = {name: value if isinstance(value, int) else value.decode() for name, value in _rest(_properties(seed))}
        headers = [{"name": name.decode(), "value": _in_envelope(field)} for name, field in _headers(seed)]
        return {"body": text_or_base64(seed.body or b""), "headers": headers, "properties": properties}

    @property
    def target(self) -> str:
        return f"queue:{self.homes[0]}"

    def pending(self) -> list[Found]:
        return self._take(self._letters)

    def stored(self) -> dict[str, list[Found]]:
        for name, found in self._stored.items():
            found += self._take(name)
        return self._stored

    def _take(self, queue: str) -> list[Found]:
        wire = Wire(*self.place)
        found = []
        # a quorum queue that has just come back may say that it is empty before it has read its log
        while True:
            while (message := wire.get(queue)) is not None:
                found.append(_found(message[0], message[1], at_rest=queue == self._letters, parked=queue == self.parking))
            if wire.declare_queue(queue, passive=True)[0] == 0:
                break
        wire.close()
        return found

    def clean(self) -> None:
        wire = Wire(*self.place)
        for name in (self._letters, self.parking, *self.homes):
            wire.delete_queue(name)
        wire.close()

_AS_TEXT: dict[str, Callable[[Any], bytes]] = {
    "S": bytes, "V": lambda value: b"", "l": lambda value: b"%d" % value, "t": lambda value: b"true" if value else b"false",
    "d": lambda value: b"3.141592653589793", "A": lambda value: b'["x",{"int32":-7}]'}
"""What NATS, which has only text, is given for a field of each type."""


def _fields(seed: Seed) -> dict[bytes, Field]:
    fields: dict[bytes, Field] = {}
    for number, (name, value) in enumerate(seed.headers):
        # of what repeats the broker would keep the first
        kinds: list[Field] = [("S", value or b""), ("l", number - 3), ("t", True), ("d", b"\x40\x09\x21\xfb\x54\x44\x2d\x18"), ("A", (("S", b"x"), ("I", -7)))]
        kind = kinds[0] if number < 2 or number % 2 else kinds[len(value or b"") % len(kinds)]
        fields.setdefault(name.encode(), ("V", b"") if value is None else kind)
    return fields


def _headers(seed: Seed) -> tuple[tuple[bytes, Field], ...]:
    return tuple(sorted(_fields(seed).items()))


def _properties(seed: Seed) -> Properties:
    table = tuple((name.decode(), field) for name, field in _headers(seed))
    return (("headers", table), ("delivery_mode", 2), ("content_type", b"application/octet-stream"), ("message_id", seed.identity.encode()))


def _rest(properties: Properties) -> Properties:
    return tuple(sorted(one for one in properties if one[0] not in ("headers", "expiration")))


def _in_envelope(field: Field) -> Any:
    letter, value = field
    if letter == "S":
        return text_or_base64(value)
    return {"V": None, "l": {"int64": value}, "t": value, "d": 3.141592653589793, "A": {"array": ["x", {"int32": -7}]}}[letter]


def _found(body: bytes, properties: Properties, *, at_rest: bool, parked: bool) -> Found:
    table = dict(properties).get("headers", ())
    plain = [(name, field) for name, field in table if not name.startswith(_DEATHS) and not ((at_rest or parked) and name in _COUNTS)]
    deaths = ["deaths"] if not at_rest and any(name.startswith(_DEATHS) for name, _ in table) else []
    texts = [(name.decode(errors="replace"), field[1] if field[0] == "S" else field) for name, field in plain]
    _, stamp = split_stamp(texts)
    whole = bool(stamp) and not isinstance(stamp[0], tuple)
    kept: list[Any] = [(name, field) for name, field in plain if not (whole and name.startswith(b"x-brokercli-redriven-"))]
    identity = [value for name, value in texts if name == "torture-id"]
    known = identity[0].decode(errors="replace") if identity and isinstance(identity[0], bytes) else ""
    return Found(known, Content(body, None, (*kept, *(["stamp"] if whole else []), *deaths), _rest(properties)))
