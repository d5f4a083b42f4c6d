"""What a run with transactions says when the answer to a commit is lost: what the broker has, and never more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.convert import to_kafka
from brokercli.backends.kafka.exactly_once import ExactlyOnce
from brokercli.backends.kafka.handled_group import GroupLimits
from brokercli.backends.kafka.ledger import Ledger, Letter
from brokercli.backends.kafka.span import Range
from brokercli.backends.kafka.transaction import Copy, Ending
from brokercli.model.errors import Failed, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts

DONE, LOST, ABORTED = "committed", "in doubt", "aborted"


class Broker:
    """Keeps what transactions store, and the offsets of a group; the topic of the letters has one partition of twenty."""

    topic = "orders.dlq"

    def __init__(self, *script: tuple[str, bool], code: int = 0, away: bool = False) -> None:
        """`script` says of each transaction how the producer hears that it ended, and whether it was done; `away`: then nobody answers."""
        self.script = [*script]
        self.code = code
        self.away = away
        self.home: list[bytes | None] = []
        self.committed_offsets: list[TopicPartition] = []
        self.producers = 0

    def committed(self, places: Sequence[TopicPartition], timeout: float) -> Sequence[TopicPartition]:
        return self.committed_offsets or places

    def consumer_group_metadata(self) -> None:
        """Nothing looks at it here."""

    def ranges(self, partitions: Collection[int]) -> dict[int, Range]:
        return dict.fromkeys(partitions, Range(0, 20))

    def open(self, batch_bytes: int) -> Producer:
        if self.producers and self.away:
            raise Unreachable("nobody answers")
        self.producers += 1
        return Producer(self)


class Producer:
    """One transactional producer."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.usable = True

    def run(self, copies: Sequence[Copy], offsets: list[TopicPartition], group: None, patience: float) -> Ending:
        assert self.usable, "a producer that is in doubt is used again"
        heard, done = self._broker.script.pop(0)
        if done:
            self._broker.home += [copy.native.value for copy in copies]
            self._broker.committed_offsets = offsets
        self.usable = heard != LOST
        return Ending(cast("Any", heard), "no answer", self._broker.code if heard != DONE else 0)

    def close(self) -> None:
        """Nothing was opened."""


class NoTopicIsGone:
    batch_bytes = 1_000_000

    def gone(self, topics: Collection[str]) -> Sequence[str]:
        return []


def move(broker: Broker) -> tuple[Receipts, ExactlyOnce]:
    """Put four letters home."""
    ledger = Ledger(cast("Any", broker), cast("Any", broker), 0, GroupLimits(), 1.0)
    ledger.reread([0])
    run = ExactlyOnce(broker.topic, ledger, cast("Any", NoTopicIsGone()), cast("Any", broker.open), 0.0, lambda what: None)
    receipts = run.move([Letter(number, 0, number, "orders", to_kafka(Message(b"%d" % number))) for number in range(4)], State.REDRIVEN)
    assert len(receipts) == 4
    return receipts, run


@pytest.mark.parametrize(("script", "producers"), [([(DONE, True)], 1), ([(LOST, True)], 2), ([(LOST, False), (DONE, True)], 2),
                                                   ([(LOST, False), (LOST, True)], 3)])
def test_each_letter_is_home_once_and_confirmed_whatever_became_of_the_answer(script: list[tuple[str, bool]], producers: int) -> None:
    broker = Broker(*script)
    receipts, run = move(broker)
    assert (receipts.confirmed, broker.home, broker.producers, run.failure) == (4, [b"0", b"1", b"2", b"3"], producers, None)
    assert broker.committed_offsets[0].offset == 4


@pytest.mark.parametrize("done", [False, True])
def test_where_nobody_can_be_asked_the_letters_are_in_doubt_and_no_other_follows(done: bool) -> None:
    broker = Broker((LOST, done), away=True)
    receipts, run = move(broker)
    assert (receipts.confirmed, receipts.unknown, receipts.refused) == (0, 4, 0)
    assert isinstance(run.failure, Unreachable)
    again = run.move([Letter(0, 0, 9)], State.DROPPED)
    assert (again.refused, broker.script) == (1, [])


@pytest.mark.parametrize("done", [False, True])
def test_whoever_is_taken_over_is_told_what_of_his_was_done(done: bool) -> None:
    broker = Broker((LOST, done), code=KafkaError._FENCED)
    receipts, run = move(broker)
    assert (receipts.confirmed, receipts.refused, len(broker.home)) == ((4, 0, 4) if done else (0, 4, 0))
    # the one that took over is not fenced in turn
    assert (isinstance(run.failure, Failed), broker.producers) == (True, 1)


def test_what_another_made_of_the_letters_is_no_confirmation_that_they_are_home() -> None:
    broker = Broker((LOST, False), code=KafkaError._FENCED)
    other = Ledger(cast("Any", broker), cast("Any", broker), 0, GroupLimits(), 1.0)
    other.reread([0])
    run = ExactlyOnce(broker.topic, ledger := Ledger(cast("Any", broker), cast("Any", broker), 0, GroupLimits(), 1.0), cast("Any", NoTopicIsGone()),
                      cast("Any", broker.open), 0.0, lambda what: None)
    ledger.reread([0])
    broker.committed_offsets = other.entry([Letter(0, 0, 0), Letter(1, 0, 1)], State.DROPPED).offsets
    receipts = run.move([Letter(0, 0, 0, "orders", to_kafka(Message(b"0")))], State.REDRIVEN)
    assert (receipts.confirmed, receipts.refused) == (0, 1)
