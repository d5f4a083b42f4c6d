"""A trial's ground on RabbitMQ where everything lies in a stream, which numbers its messages: only that can be copied with a journal."""

from __future__ import annotations

from collections.abc import Sequence

from tests.native.amqp import Properties, Wire
from tests.torture.check import Content, Found
from tests.torture.letters import Seed
from tests.torture.rabbitmq_site import RabbitMQSite

STREAM = "a stream"


class RabbitMQStream(RabbitMQSite):
    """What is copied was published to a stream. Its headers are text: a stream keeps no arrays."""

    def __init__(self, host: str, port: int, run: str, kind: str) -> None:
        super().__init__(host, port, run, "classic")
        self._stream = f"{run}.stream"
        self.dlq = f"stream:{self._stream}"
        wire = Wire(host, port)
        wire.declare_queue(self._stream, [("x-queue-type", ("S", b"stream"))])
        wire.close()

    def bury(self, seeds: Sequence[Seed]) -> None:
        wire = Wire(*self.place)
        for start in range(0, len(seeds), 200):
            wire.publish("", self._stream, [(seed.body or b"", _properties(seed)) for seed in seeds[start:start + 200]])
        wire.close()

    def replayed(self, seed: Seed) -> Content | None:
        return Content(seed.body or b"", None, (*_headers(seed), (b"x-message-id", seed.identity.encode()), (b"x-amqp-delivery-mode", b"2")))

    def pending(self) -> list[Found]:
        return []

    def clean(self) -> None:
        super().clean()
        wire = Wire(*self.place)
        wire.delete_queue(self._stream)
        wire.close()


def _headers(seed: Seed) -> tuple[tuple[bytes, bytes], ...]:
    fields: dict[bytes, bytes] = {}
    for name, value in seed.headers:
        # of what repeats the broker would keep the first
        fields.setdefault(name.encode(), value or b"")
    return tuple(sorted(fields.items()))


def _properties(seed: Seed) -> Properties:
    table = tuple((name.decode(), ("S", value)) for name, value in _headers(seed))
    return (("headers", table), ("delivery_mode", 2), ("message_id", seed.identity.encode()))
