"""A worker that fails every message, written after the sentences of a retry topology, with the plain client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, time

from confluent_kafka import Consumer, Message, Producer, TopicPartition

_PATIENCE = 40.0


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at a message."""

    topic: str
    body: bytes | None
    attempt: int
    milliseconds: int
    """When it was tried, since 1970."""
    stamp: int
    """The time of the record it was tried from: in a topic of retries that of its arrival, by the broker."""


class FailingWorker:
    """Reads a topic and its retries as one group; every message fails."""

    def __init__(self, address: str, source: str, tiers: Sequence[str], delays: Sequence[int], attempts: int, dead: str) -> None:
        """`delays` in milliseconds, those of the tiers."""
        self.source, self.tiers, self.attempts, self.dead = source, tiers, attempts, dead
        self.delays = dict(zip(tiers, delays, strict=True))
        self.tries: list[Try] = []
        self._waiting: dict[TopicPartition, int] = {}
        self._producer = Producer({"bootstrap.servers": address, "log_level": 0, "enable.idempotence": True, "linger.ms": 0})
        self._consumer = Consumer({"bootstrap.servers": address, "log_level": 0, "group.id": f"{source}-workers", "enable.auto.commit": False,
                                   "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10, "session.timeout.ms": 6000})

    def work(self, letters: int) -> None:
        """Work until so many messages are dead."""
        self._consumer.subscribe([self.source, *self.tiers])
        deadline, dead = monotonic() + _PATIENCE, 0
        while dead < letters:
            assert monotonic() < deadline, f"only {dead} of {letters} messages died; tried were {self.tries}"
            message = self._consumer.poll(0.02)
            self._resume()
            if message is not None and message.error() is None and self._is_due(message):
                dead += self._fail(message)
        self._consumer.close()

    def _is_due(self, message: Message) -> bool:
        headers = dict(message.headers() or [])
        due = int(headers["x-retry-after"]) if "x-retry-after" in headers else 0
        if time() * 1000 >= due:
            return True
        place = TopicPartition(message.topic(), message.partition(), message.offset())
        self._consumer.pause([place])
        self._consumer.seek(place)
        self._waiting[place] = due
        return False

    def _resume(self) -> None:
        for place, due in list(self._waiting.items()):
            if time() * 1000 >= due:
                del self._waiting[place]
                self._consumer.resume([place])

    def _fail(self, message: Message) -> bool:
        """Pass the message on, and only then commit; return whether it is dead now."""
        headers = [(name, value) for name, value in message.headers() or [] if name not in ("x-attempts", "x-retry-after", "x-original-topic")]
        attempt = int(dict(message.headers() or []).get("x-attempts", b"0")) + 1
        now = int(time() * 1000)
        self.tries.append(Try(message.topic(), message.value(), attempt, now, message.timestamp()[1]))
        dies = attempt >= self.attempts
        goes_to = self.dead if dies else self.tiers[min(attempt, len(self.tiers)) - 1]
        headers += [("x-attempts", b"%d" % attempt), ("x-original-topic", self.source.encode())]
        if attempt == 1:
            headers += [("x-original-partition", b"%d" % message.partition()), ("x-original-offset", b"%d" % message.offset()),
                        ("x-original-timestamp", b"%d" % message.timestamp()[1])]
        if dies:
            headers += [("x-exception-class", b"builtins.ValueError"), ("x-exception-message", b"it never works")]
        else:
            headers.append(("x-retry-after", b"%d" % (now + self.delays[goes_to])))
        failed: list[object] = []
        self._producer.produce(goes_to, message.value(), message.key(), message.partition(), headers=headers,
                               on_delivery=lambda error, _: failed.append(error) if error is not None else None)
        assert self._producer.flush(60) == 0
        assert not failed
        self._consumer.commit(message, asynchronous=False)
        return dies
