"""Messages that are refused because of another one in their batch.

Where the broker finds several invalid records in a batch, the client says of each of these that it is invalid, whatever is wrong with it, and of the
others that they were refused for their sake. Where there is only one, it says what is wrong with that one of all of them (librdkafka 2.16).
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from confluent_kafka import KafkaError

from brokercli.backends.kafka.failures import REFUSED, judge
from brokercli.backends.kafka.topic_settings import TopicSettings
from brokercli.model.receipt import Verdict

BATCH_BYTES = 1_000_000
# a batch's own header and the slack of librdkafka's estimate
BATCH_OVERHEAD = 512
_ATTEMPTS = 5
SHARE = 4
"""Where batches are too large, they become so many times smaller."""
_SMALLER = ("the broker takes smaller batches only than it let us know (max.message.bytes of the topic): what it refused for that is sent again in smaller "
            "ones, and comes after some that was published later")
_TOLD = "the broker refuses a whole batch where one message in it is invalid: the others are sent again, and come after some that were published later"


class Neighbours:
    """Tells who is to blame: what a topic with these settings would have taken is sent again."""

    def __init__(self, settings: TopicSettings, notes: list[str]) -> None:
        """What it does to their order is said in `notes`."""
        self._settings = settings
        self._notes = notes
        self._attempts: Counter[int] = Counter()
        self._batch_bytes = max(1, min(BATCH_BYTES, settings.maximum_batch_bytes - BATCH_OVERHEAD))
        self._given_up = False
        self.too_many = False
        """Whether the broker takes smaller batches only: nothing more is given to this producer, and the next one gets its `batch_bytes` from here."""
        self.again: deque[tuple[int, int, Any]] = deque()
        """What is to be sent again, with its number and the time that it was given, which a message that failed does not tell (2.16)."""

    def batch_bytes(self) -> int:
        """Return how large batches may be, for a new producer."""
        if self.too_many:
            self._batch_bytes //= SHARE
        self.too_many = self._given_up = False
        return self._batch_bytes

    def give_up(self) -> None:
        """Forget what is to be sent again; nothing more is, for want of room in a batch, until there is a new producer."""
        self.again.clear()
        self.too_many, self._given_up = False, True

    def judge(self, index: int, error: KafkaError, time: int, message: Any) -> tuple[Verdict, str] | None:
        """Return verdict and reason for a message that was given this time, or 0, and of which the client says this; None where it is to be sent
        again."""
        code = error.code()
        innocent = code == KafkaError._INVALID_DIFFERENT_RECORD
        if code in (KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP):
            if time and not self._settings.takes_time(time):
                return Verdict.REFUSED, REFUSED[KafkaError.INVALID_TIMESTAMP]
            innocent = code == KafkaError.INVALID_TIMESTAMP or message.key() is not None
        small = code == KafkaError.MSG_SIZE_TOO_LARGE and len(message.value() or b"") + BATCH_OVERHEAD <= self._batch_bytes // SHARE
        if small and not self._given_up:
            # the login may not ask how much the topic takes, or that has changed
            if not self.too_many and _SMALLER not in self._notes:
                self._notes.append(_SMALLER)
            self.too_many = True
            self.again.append((index, time, message))
            return None
        if not innocent or self._attempts[index] >= _ATTEMPTS:
            return judge(error)
        if not self._attempts:
            self._notes.append(_TOLD)
        self._attempts[index] += 1
        self.again.append((index, time, message))
        return None
