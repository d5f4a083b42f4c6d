"""A home and its dead letters on each broker, written as services write them: x-original-topic, x-attempts and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.handled_group import group_of
from tests.commandline import CommandLine
from tests.commands.conftest import Place, make_kafka, make_nats, make_rabbitmq
from tests.native.kafka import stable_offset, wait_until_closed


@dataclass(frozen=True, slots=True)
class Graveyard:
    """An address that is consumed, `home`, and the one its dead letters lie in."""

    home: Place
    dlq: Place
    cli: CommandLine

    @property
    def url(self) -> str:
        """The DLQ's address with its broker: of JetStream the stream, whose letters are messages on some subject."""
        return self.dlq.url if self.dlq.broker != "nats" else f"{self.dlq.server}/stream:{self.dlq.name.partition('.')[0]}"

    @property
    def address(self) -> str:
        """The same without its broker, as a context is asked for it."""
        return self.url.rpartition("/")[2]

    @property
    def origin(self) -> str:
        """What letters name as their origin."""
        return self.home.name

    def bury(self, *bodies: str, reason: str = "timeout", **headers: str) -> None:
        """Put letters into the DLQ; `origin=""` leaves out where they came from, everything else overrides or adds a header."""
        written = {"x-tenant": "shop", "x-original-topic": self.origin, "x-attempts": "3", "x-dlq-reason": reason}
        written |= {name.replace("_", "-"): value for name, value in headers.items()}
        options = [word for name, value in written.items() if value for word in ("-H", f"{name}={value}")]
        ended = self.cli("publish", self.dlq.url, *options, stdin="".join(f"{body}\n" for body in bodies).encode())
        assert ended.code == 0, ended.stderr

    def at_home(self) -> list[bytes]:
        """Return the bodies that lie at home."""
        return self.read(self.home)

    def read(self, place: Place) -> list[bytes]:
        """Return the bodies that lie in a place."""
        if place.broker == "rabbitmq":
            return drain(place)
        if place.broker == "kafka":
            # of what was put back in a transaction the end shows a moment after it is confirmed
            wait_until_closed(urlsplit(place.server).netloc, place.name)
        ended = self.cli("replay", place.url)
        assert ended.code == 0, ended.stderr
        return ended.lines

    def states(self, *options: str) -> dict[str, int]:
        """Return how many letters are in which state, over all groups."""
        if self.dlq.broker == "kafka":
            # a look waits for a moment only for transactions in which letters are marked
            stable_offset(AdminClient({"bootstrap.servers": urlsplit(self.dlq.server).netloc}), group_of(self.dlq.name), self.dlq.name)
        ended = self.cli("dlq", "inspect", self.url, "-o", "json", *options)
        assert ended.code == 0, ended.stderr
        counted: dict[str, int] = {}
        for group in map(orjson.loads, ended.lines):
            for state, count in group["states"].items():
                counted[state] = counted.get(state, 0) + count
        return counted

    @property
    def pending(self) -> int:
        """How many letters wait."""
        return self.states().get("pending", 0)


def make_graveyard(cli: CommandLine, server: str, broker: str, name: str) -> Graveyard:
    """Make a home of that name and a DLQ beside it; `unmake` both."""
    if broker == "kafka":
        return Graveyard(make_kafka(server, name), make_kafka(server, f"{name}.dlq"), cli)
    if broker == "nats":
        return Graveyard(make_nats(server, name), make_nats(server, f"{name}-DLQ"), cli)
    return Graveyard(make_rabbitmq(server, name, "classic"), make_rabbitmq(server, f"{name}.dlq", "classic"), cli)


def drain(place: Place) -> list[bytes]:
    """Take everything out of a RabbitMQ queue."""
    import pika

    found: list[bytes] = []
    with pika.BlockingConnection(pika.URLParameters(f"{place.server}/")) as connection:
        channel = connection.channel()
        while True:
            method, _, body = channel.basic_get(place.name, auto_ack=True)
            if method is None:
                return found
            found.append(body)
