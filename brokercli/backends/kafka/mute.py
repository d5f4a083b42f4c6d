"""Leaders that do not answer while a look waits: nothing comes of their partitions, and the client says nothing of it for half a minute."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from time import monotonic

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from brokercli.backends.kafka.span import LATEST

ASK_SECONDS = 5.0
"""How often a look to which nothing comes asks. Said is what stays without an answer twice, with nothing of the partition in between."""
_ANSWER_SECONDS = 1.0
_NOBODY = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._UNKNOWN_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""What the client says where nobody answers; the last two of partitions that have no leader (2.16)."""


class MuteLeaders:
    """The partitions of a topic of which nobody has answered, and since when."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._due = monotonic() + ASK_SECONDS
        self._since: dict[int, float] = {}
        self._told: set[int] = set()

    @property
    def any(self) -> bool:
        """Whether there is one that did not answer when it was asked last."""
        return bool(self._since)

    def heard_of(self, partitions: Iterable[int]) -> None:
        """Take in that something came of these."""
        if self._since:
            self._forget(set(partitions))

    def ask(self, consumer: Consumer, partitions: Collection[int]) -> str | None:
        """Ask the leaders when it is time; return what there is to tell, which is told once for as long as it lasts."""
        now = monotonic()
        if now < self._due:
            return None
        self._due = now + ASK_SECONDS
        mute = _unanswered(consumer, self._topic, partitions)
        self._forget(set(self._since) - mute)
        new = sorted(partition for partition in mute & set(self._since) if partition not in self._told)
        seconds = monotonic() - min((self._since[partition] for partition in new), default=now)
        self._since = dict.fromkeys(mute, now) | self._since
        if not new:
            return None
        self._told.update(new)
        which = "" if len(new) == len(partitions) else f"{'partition' if len(new) == 1 else 'partitions'} {', '.join(map(str, new))} of "
        return f"no leader of {which}{self._topic} has answered for {seconds:.0f} s; what is stored there is shown once one does"

    def _forget(self, partitions: set[int]) -> None:
        self._told -= partitions
        for partition in partitions:
            self._since.pop(partition, None)


def _unanswered(consumer: Consumer, topic: str, partitions: Collection[int]) -> set[int]:
    try:
        answers = consumer.offsets_for_times([TopicPartition(topic, partition, LATEST) for partition in partitions], timeout=_ANSWER_SECONDS)
    except KafkaException as problem:
        # where no partition has an answer
        return set(partitions) if problem.args[0].code() in _NOBODY else set()
    # an offset that is none, and no error, is what the client gives for a leader that is mute where another one has answered
    return {answer.partition for answer in answers if (answer.offset < 0 if answer.error is None else answer.error.code() in _NOBODY)}
