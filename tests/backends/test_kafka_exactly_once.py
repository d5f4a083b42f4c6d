"""What a run with transactions says when the answer to a commit is lost, or something cannot be stored: what the broker has, and never more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.convert import to_kafka
from brokercli.backends.kafka.destinations import DENIED, GONE
from brokercli.backends.kafka.exactly_once import ExactlyOnce
from brokercli.backends.kafka.failures import REFUSED
from brokercli.backends.kafka.handled_group import GroupLimits
from brokercli.backends.kafka.handled_text import Room
from brokercli.backends.kafka.ledger import Ledger, Letter
from brokercli.backends.kafka.span import Range
from brokercli.backends.kafka.transaction import LONGEST_TIMEOUT, Copy, Ending, NoTransactions
from brokercli.backends.kafka.way import NO_ROOM
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipts, Verdict

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


class Overtaken(Broker):
    """Loses a producer, and another run puts two letters back before there is a new one."""

    def open(self, batch_bytes: int) -> Any:
        if self.producers:
            other = Ledger(cast("Any", self), cast("Any", self), 0, GroupLimits(), 1.0)
            other.reread([0])
            self.committed_offsets = other.entry([Letter(0, 0, 0), Letter(1, 0, 1)], State.REDRIVEN).offsets
            self.home += [b"the other's 0", b"the other's 1"]
        return Lost(super().open(batch_bytes))


class Lost:
    """A producer that cannot be used after a transaction that was not done."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    @property
    def usable(self) -> bool:
        return self._producer.usable

    def run(self, *what: Any) -> Ending:
        ending = self._producer.run(*what)
        self._producer.usable = ending.outcome == DONE
        return ending

    def close(self) -> None:
        """Nothing was opened."""


@pytest.mark.parametrize("heard", [LOST, ABORTED])
def test_letters_that_another_put_back_while_this_one_had_lost_its_broker_are_not_put_back_again(heard: str) -> None:
    broker = Overtaken((heard, False), (DONE, True), code=KafkaError._TIMED_OUT)
    receipts, run = move(broker)
    assert broker.home == [b"the other's 0", b"the other's 1", b"2", b"3"]
    assert [(receipt.index, receipt.verdict, receipt.reason) for receipt in receipts.problems] == [
        (0, Verdict.REFUSED, "it is handled already (redriven)"), (1, Verdict.REFUSED, "it is handled already (redriven)")]
    assert (receipts.confirmed, run.failure, broker.committed_offsets[0].offset) == (2, None, 4)


class Expiring(Broker):
    """Deletes what lies before an offset while nobody is connected."""

    def __init__(self, low: int, *script: tuple[str, bool]) -> None:
        super().__init__(*script)
        self.low = low

    def ranges(self, partitions: Collection[int]) -> dict[int, Range]:
        return dict.fromkeys(partitions, Range(self.low if self.producers > 1 else 0, 20))


@pytest.mark.parametrize(("low", "done", "verdicts"), [
    (4, False, (0, 0, 4)), (4, True, (4, 0, 0)), (9, False, (0, 0, 4)), (2, False, (2, 2, 0)), (2, True, (4, 0, 0))])
def test_letters_that_were_deleted_while_a_commit_was_in_doubt_are_not_taken_for_put_back(low: int, done: bool, verdicts: tuple[int, int, int]) -> None:
    broker = Expiring(low, (LOST, done), (DONE, True))
    receipts, run = move(broker)
    assert (receipts.confirmed, receipts.refused, receipts.unknown, run.failure) == (*verdicts, None)
    assert broker.home == ([b"0", b"1", b"2", b"3"] if done else [b"2", b"3"] if receipts.confirmed else [])
    assert {receipt.reason for receipt in receipts.problems if receipt.verdict is Verdict.REFUSED} <= {"it is not stored any more"}


class Refusing(Broker):
    """Aborts a transaction for which `refuse` returns an ending: it is asked with the topic and body of each copy."""

    def __init__(self, refuse: Callable[[list[tuple[str, bytes]]], Ending | None], gone: Sequence[str] = ()) -> None:
        super().__init__()
        self.refuse = refuse
        self.gone_topics = gone
        self.closed: dict[str, str] = {}
        self.patience: list[float] = []
        self.batch_bytes = 1_000_000
        self.opened: list[int] = []
        self.closes = 0
        self.closed_door: BrokercliError | NoTransactions | None = None
        """What opening another producer raises."""

    @property
    def transactions(self) -> int:
        return len(self.patience)

    def open(self, batch_bytes: int) -> Producer:
        if self.closed_door is not None and self.opened:
            raise self.closed_door
        self.producers += 1
        self.opened.append(batch_bytes)
        return Choosy(self)

    # as destinations

    def gone(self, topics: Collection[str]) -> Sequence[str]:
        return [topic for topic in self.gone_topics if topic in topics]

    def close_to_us(self, topic: str, reason: str) -> None:
        self.closed[topic] = reason


class Choosy(Producer):
    def run(self, copies: Sequence[Copy], offsets: list[TopicPartition], group: None, patience: float) -> Ending:
        broker = cast("Refusing", self._broker)
        broker.patience.append(patience)
        assert self.usable, "a producer that is lost is used again"
        ending = broker.refuse([(copy.topic, copy.native.value or b"") for copy in copies])
        if ending is not None:
            self.usable = ending.code != KafkaError._MSG_TIMED_OUT
            return ending
        broker.home += [copy.native.value for copy in copies]
        broker.committed_offsets = offsets
        return Ending("committed")

    def close(self) -> None:
        cast("Refusing", self._broker).closes += 1


def put(broker: Refusing, count: int = 8, topics: Sequence[str] = ("orders",), *, room: Room | None = None,
        spread: int = 1) -> tuple[dict[int, str], ExactlyOnce]:
    """Put so many letters home, to these topics in turn; return why each was refused that was. What is home is confirmed and marked, each
    once and in order, and nothing else is."""
    ledger = Ledger(cast("Any", broker), cast("Any", broker), 0, GroupLimits(room or Room()), 1.0)
    ledger.reread([0])
    run = ExactlyOnce(broker.topic, ledger, cast("Any", broker), cast("Any", broker.open), 0.0, lambda what: None)
    letters = [Letter(number, 0, number * spread, topics[number % len(topics)], to_kafka(Message(b"%d" % number))) for number in range(count)]
    receipts = run.move(letters, State.REDRIVEN)
    refused = {receipt.index: receipt.reason for receipt in receipts.problems if receipt.verdict is Verdict.REFUSED}
    home = [number for number in range(count) if number not in refused]
    assert (receipts.confirmed, len(receipts.problems)) == (len(home), len(refused))
    assert sorted(int(body or b"") for body in broker.home) == home
    known = Ledger(cast("Any", broker), cast("Any", broker), 0, GroupLimits(), 1.0)
    known.reread([0])
    assert [offset for offset in range(20) if known.state(0, offset) is State.REDRIVEN] == [number * spread for number in home]
    return refused, run


def named(*bodies: int) -> Callable[[list[tuple[str, bytes]]], Ending | None]:
    """Name the first of these that is among what is to be stored."""
    def refuse(copies: list[tuple[str, bytes]]) -> Ending | None:
        found = [index for index, (_, body) in enumerate(copies) if int(body) in bodies]
        return Ending("aborted", "one is bad", KafkaError.INVALID_RECORD, {found[0]: f"{copies[found[0]][1].decode()} is bad"}) if found else None
    return refuse


@pytest.mark.parametrize("bad", [(0,), (7,), (2, 5), (0, 1, 2, 3, 4, 6), tuple(range(8))])
def test_what_cannot_be_stored_is_refused_alone_for_what_is_wrong_with_it(bad: tuple[int, ...]) -> None:
    refused, run = put(broker := Refusing(named(*bad)))
    assert (refused, run.failure, broker.closed) == ({number: f"{number} is bad" for number in bad}, None, {})
    # the order of the others holds
    assert broker.home == sorted(broker.home)  # type: ignore[type-var]


def unnamed(code: int, *bodies: int) -> Callable[[list[tuple[str, bytes]]], Ending | None]:
    """Say only that something among what is to be stored is one of these."""
    return lambda copies: Ending("aborted", "no reason", code) if any(int(body) in bodies for _, body in copies) else None


@pytest.mark.parametrize("bad", [(0,), (6,), (1, 2), tuple(range(8))])
def test_where_nobody_says_which_it_is_it_is_looked_for(bad: tuple[int, ...]) -> None:
    refused, run = put(broker := Refusing(unnamed(KafkaError.INVALID_RECORD, *bad)))
    assert (refused, run.failure) == (dict.fromkeys(bad, REFUSED[KafkaError.INVALID_RECORD]), None)
    assert broker.transactions <= 16


def test_a_topic_that_is_denied_is_closed_and_the_letters_of_the_others_go() -> None:
    def refuse(copies: list[tuple[str, bytes]]) -> Ending | None:
        return Ending("aborted", "denied", KafkaError.TOPIC_AUTHORIZATION_FAILED) if any(topic == "secret" for topic, _ in copies) else None

    refused, run = put(broker := Refusing(refuse), topics=("orders", "secret", "bills"))
    assert (refused, run.failure, broker.closed) == (dict.fromkeys((1, 4, 7), DENIED), None, {"secret": DENIED})
    broker = Refusing(lambda copies: Ending("aborted", "denied", KafkaError.TOPIC_AUTHORIZATION_FAILED,
                                            {index: DENIED for index, (topic, _) in enumerate(copies) if topic == "secret"})
                      if any(topic == "secret" for topic, _ in copies) else None)
    assert put(broker, topics=("orders", "secret"))[0] == dict.fromkeys((1, 3, 5, 7), DENIED)
    assert (broker.closed, broker.transactions) == ({"secret": DENIED}, 2)


@pytest.mark.parametrize(("code", "stored", "gone", "kind", "words"), [
    (KafkaError.TOPIC_AUTHORIZATION_FAILED, True, (), NotAuthorised, "no permission to read the letters any more"),
    (KafkaError.GROUP_AUTHORIZATION_FAILED, True, (), NotAuthorised, "no permission to commit offsets for the group"),
    (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, False, (), NotAuthorised, "no permission for transactions any more"),
    (KafkaError.UNKNOWN_TOPIC_OR_PART, True, ("orders.dlq",), NotFound, "orders.dlq does not exist any more"),
    (KafkaError._FENCED, False, (), Failed, "has taken over")])
def test_what_holds_for_every_letter_ends_the_run_at_once(code: int, stored: bool, gone: Sequence[str], kind: type[Exception], words: str) -> None:
    refused, run = put(broker := Refusing(lambda copies: Ending("aborted", "no", code, stored=stored), gone))
    assert (len(refused), broker.transactions, type(run.failure)) == (8, 1, kind)
    assert words in str(run.failure)
    assert set(refused.values()) == {str(run.failure)}
    assert run.move([Letter(0, 0, 9)], State.DROPPED).refused == broker.transactions == 1


def test_letters_for_a_topic_that_is_gone_are_refused_and_the_others_go() -> None:
    def refuse(copies: list[tuple[str, bytes]]) -> Ending | None:
        return Ending("aborted", "no answer", KafkaError._MSG_TIMED_OUT) if any(topic == "gone" for topic, _ in copies) else None

    refused, run = put(broker := Refusing(refuse, ["gone"]), topics=("orders", "gone"))
    assert (refused, run.failure, broker.closed) == (dict.fromkeys((1, 3, 5, 7), GONE), None, {"gone": GONE})
    # the producer that had them is not used again
    assert broker.producers == 2


def test_what_is_never_answered_is_tried_a_few_times_and_then_refused_because_nothing_of_it_was_committed() -> None:
    refused, run = put(broker := Refusing(lambda copies: Ending("aborted", "no answer came", KafkaError._MSG_TIMED_OUT)))
    assert (set(refused.values()), len(refused), run.failure, broker.transactions, broker.producers) == ({"no answer came"}, 8, None, 4, 5)
    # the last tries last until the client itself gives up; whoever is lost is closed before another is opened
    assert [seconds == LONGEST_TIMEOUT for seconds in broker.patience] == [False, False, True, True]
    assert broker.closes == 4


def test_where_the_marks_have_no_room_the_first_letters_go_and_the_others_are_refused() -> None:
    refused, run = put(broker := Refusing(lambda copies: None), room=Room(33, wide=False), spread=2)
    assert (set(refused.values()), type(run.failure)) == ({NO_ROOM}, type(None))
    assert (list(refused), broker.transactions) == ([3, 4, 5, 6, 7], 1)
    refused, run = put(broker := Refusing(lambda copies: None), room=Room(20, wide=False))
    assert (len(refused), broker.transactions, type(run.failure)) == (8, 0, Failed)


@pytest.mark.parametrize(("closed_door", "kind"), [
    (NoTransactions("denied"), NotAuthorised), (NotAuthorised("no"), NotAuthorised), (Unreachable("gone"), Unreachable)])
def test_where_no_other_producer_can_be_made_the_run_ends(closed_door: BrokercliError | NoTransactions, kind: type[Exception]) -> None:
    broker = Refusing(lambda copies: Ending("aborted", "no answer", KafkaError._MSG_TIMED_OUT))
    broker.closed_door = closed_door
    refused, run = put(broker)
    assert (len(refused), type(run.failure), broker.transactions) == (8, kind, 1)
    run.record_passed({0: 5})
    assert broker.transactions == 1


def test_a_home_that_is_not_there_is_no_word_about_the_topic_of_the_letters() -> None:
    refused, run = put(Refusing(unnamed(KafkaError.UNKNOWN_TOPIC_OR_PART, 2), ["orders.dlq"]))
    assert (list(refused), run.failure) == ([2], None)


def test_a_broker_that_counts_the_bytes_of_marks_is_given_narrow_ones() -> None:
    answers = iter([Ending("aborted", "too large", KafkaError.OFFSET_METADATA_TOO_LARGE, stored=True)])
    refused, run = put(broker := Refusing(lambda copies: next(answers, None)))
    assert (refused, run.failure, broker.transactions, run._ledger.room.wide) == ({}, None, 2, False)


def test_smaller_batches_are_made_by_another_producer_before_they_are_needed() -> None:
    broker = Refusing(lambda copies: None)
    ledger = Ledger(cast("Any", broker), cast("Any", broker), 0, GroupLimits(), 1.0)
    ledger.reread([0])
    run = ExactlyOnce(broker.topic, ledger, cast("Any", broker), cast("Any", broker.open), 0.0, lambda what: None)
    broker.batch_bytes = 1000
    assert run.move([Letter(0, 0, 0)], State.DROPPED).confirmed == 1
    assert broker.opened == [1_000_000, 1000]
    assert (broker.producers, broker.committed_offsets[0].offset) == (2, 1)
    # what is not stored behind it is passed
    run.record_passed({0: 5})
    assert (broker.transactions, broker.committed_offsets[0].offset, ledger.handled.sets[0].floor) == (2, 5, 5)
    run.record_passed({0: 5})
    assert broker.transactions == 2
    broker.batch_bytes, broker.closed_door = 100, Unreachable("gone")
    assert run.move([Letter(0, 0, 9)], State.DROPPED).refused == 1
    assert (str(run.failure), broker.transactions) == ("gone", 2)
