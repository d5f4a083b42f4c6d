"""What a batch is sorted into is what the rules decide on each of its letters alone."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokercli.backends.contract import Batch, Outline
from brokercli.backends.dead_letters import Goal
from brokercli.dialects import Facts, recognise
from brokercli.dialects.reading import KIND_OF, lies_in
from brokercli.dialects.redrive_headers import COUNT
from brokercli.model.address import Address
from brokercli.model.message import Header, HeaderValue, Message, Record, Typed
from brokercli.operations.decisions import Drop, Park, Redrive, Rules
from brokercli.operations.letters import Recogniser
from brokercli.operations.planning import Plan
from brokercli.operations.record_list import RecordList
from brokercli.operations.sorting import Sorted, Sorter
from tests.dialects.originals import soups
from tests.dialects.real_letters import NAMES, read_letter
from tests.dialects.test_any_input import MINE
from tests.dialects.test_kinds import OTHER_VALUES, plain, with_value

DLQ = Address("orders.dlq", "topic")
FACTS = Facts(dead_letter_destinations=frozenset({DLQ.name}))
KAFKA = [letter for name in NAMES if (letter := read_letter(name)).broker == "kafka"]
PARKED = Address("parked", "topic")
RULES: list[Rules] = [Redrive(source=DLQ), Redrive(source=DLQ, max_redrives=1, park=PARKED), Redrive(Address("elsewhere", "topic"), source=DLQ),
                      Park(PARKED), Park(PARKED, unrecognised=True), Drop()]
AT = 1_795_000_000_123_000_000


class Outlined(RecordList):
    """Records that tell their outlines, as a batch of Kafka does."""

    def outlines(self) -> list[Outline]:
        return [(record.message.headers, record.message.key, record.message.body, record.time, lies_in(record)) for record in self.records()]

    def select(self, indices: Sequence[int]) -> Outlined:
        records = self.records()
        return Outlined([records[index] for index in indices])


class Wrapped(RecordList):
    """Records that tell what stands around their bodies, as a batch from a RabbitMQ queue does."""

    def wrappings(self) -> list[bytes]:
        return [repr((record.message.headers, record.message.properties)).encode() for record in self.records()]

    def select(self, indices: Sequence[int]) -> Wrapped:
        records = self.records()
        return Wrapped([records[index] for index in indices])


def recogniser() -> Recogniser:
    return Recogniser(None, (MINE,), FACTS)  # type: ignore[arg-type]


def queued(records: Sequence[Record]) -> Wrapped:
    """Return records as they lie in one queue."""
    return Wrapped([replace(record, place={"exchange": "", "routing_key": f"key.{number}", "queue": DLQ.name, "redelivered": False}, position="",
                            message=replace(record.message, id=None, route=f"key.{number}")) for number, record in enumerate(records)])


def laid(records: Sequence[Record]) -> Outlined:
    """Return records as they lie in one topic."""
    return Outlined([replace(record, place={"topic": DLQ.name, "partition": 0, "offset": offset}, position=f"0:{offset}")
                     for offset, record in enumerate(records)])


def check(sorter: Sorter, rules: Rules, batch: Batch, read: Callable[[tuple[Header, ...]], tuple[Header, ...]] = tuple) -> Sorted | None:
    """Compare what a batch is sorted into with the decisions on each letter; `read` reads the headers that go back."""
    found = sorter.sort(batch, AT)
    if found is None:
        return None
    going: list[tuple[int, Goal, tuple[Header, ...]]] = []
    right, planned = Plan(), Plan()
    for index, record in enumerate(batch.records()):
        decision = rules.decide(recognise(record, extra=(MINE,), facts=FACTS), AT)
        right.take(decision)
        if decision.message is not None and decision.destination is not None and not decision.left:
            assert (decision.message.body, decision.message.key) == (record.message.body, record.message.key)
            lost = tuple(name for name in record.message.properties if name not in decision.message.properties)
            going.append((index, Goal(decision.destination, decision.message.route, lost), decision.message.headers))
    assert list(zip(found.indices, found.goals, map(read, found.headers), strict=True)) == going
    for decision, times in found.decisions:
        planned.take(decision, times)
    assert planned == right
    return found


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: repr(rules)[:60])
def test_real_letters_go_where_each_would_go_alone_whichever_header_changes(rules: Rules) -> None:
    sorter = Sorter(recogniser(), rules)
    sorted_batches = 0
    for letter in KAFKA:
        changed = [with_value(letter, index, value) for index in range(len(letter.message.headers)) for value in OTHER_VALUES]
        sorted_batches += check(sorter, rules, laid([letter, *changed, letter])) is not None
    assert sorted_batches > len(KAFKA) // 2


@pytest.mark.parametrize("rules", RULES[:1])
def test_real_letters_go_where_each_would_go_alone_whatever_key_and_body_they_have(rules: Rules) -> None:
    sorted_batches = 0
    for letter in KAFKA:
        held = [replace(letter, message=replace(letter.message, key=key, body=body)) for key in (None, b"c-7") for body in (None, b"{}")]
        for first, second in itertools.product(held, held):
            sorter = Sorter(recogniser(), rules)
            for batch in ([first], [second], [first, second]):
                sorted_batches += check(sorter, rules, laid(batch)) is not None
    assert sorted_batches > len(KAFKA)


@pytest.mark.parametrize("rules", [Redrive(source=Address(DLQ.name, "queue")), Redrive(Address("else", "exchange", "where"), source=DLQ, max_redrives=1),
                                   Redrive(Address("else", "exchange"))], ids=lambda rules: repr(rules)[:60])
def test_real_letters_of_a_queue_go_where_each_would_go_alone(rules: Rules) -> None:
    letters = [letter for name in NAMES if (letter := read_letter(name)).broker == "rabbitmq"]
    check(Sorter(recogniser(), rules), rules, queued([*letters, *letters]))
    sorted_batches = 0
    for letter in letters:
        # one for each: who has met a thousand kinds reads every letter by itself
        sorter = Sorter(recogniser(), rules)
        changed = [with_value(letter, index, value) for index in range(len(letter.message.headers))
                   for value in (b"x", 1, True, 1.0, Typed("int32", 1), Typed("table", (("queue", b"orders"),)))]
        others = [replace(letter, message=replace(letter.message, body=body)) for body in (b"", b'{"BasicProperties"', b'"actor_name"', b"\xff")]
        stripped = [replace(letter, message=replace(letter.message, properties=properties)) for properties in (
            {}, {"expiration": b"1"}, {"user_id": b"guest", "priority": 3}, {"reply_to": b"amq.rabbitmq.reply-to.x"}, {"reply_to": b"mine"})]
        failed = replace(letter, message=replace(letter.message, body=b'O:36:\\"Symfony\\Component:1:{SentToFailureTransportStamp}'))
        for batch in ([letter, *changed, letter], [letter, others[0], others[3], letter], [letter, *stripped, letter], [letter, *others], [letter, failed]):
            sorted_batches += check(sorter, rules, queued(batch)) is not None
    assert sorted_batches > 2 * len(letters)


def test_what_goes_on_as_it_is_keeps_its_own_routing_key_and_so_is_read_one_by_one() -> None:
    letter = next(letter for name in NAMES if (letter := read_letter(name)).broker == "rabbitmq")
    assert Sorter(recogniser(), Park(Address("parked", "exchange"))).sort(queued([letter, letter]), AT) is None


@pytest.mark.parametrize("count", [b"0", b"1", b"2", b"3", b"1e30", b"-1", None])
def test_how_often_a_letter_was_put_back_is_looked_at_in_each(count: bytes | None) -> None:
    rules = Redrive(source=DLQ, max_redrives=2)
    letter = read_letter("spring_kafka")

    def counted(value: HeaderValue) -> Record:
        return replace(letter, message=replace(letter.message, headers=(*letter.message.headers, (COUNT, value))))

    assert check(Sorter(recogniser(), rules), rules, laid([counted(b"1"), counted(count), letter, counted(count)])) is not None


def test_thousands_of_one_kind_are_read_once() -> None:
    letter, rules = read_letter("spring_kafka"), Redrive(source=DLQ)
    place = [name for name, _ in letter.message.headers].index("kafka_dlt-exception-message")
    letters = [with_value(letter, place, b"order %d" % number) for number in range(3000)]
    sorter = Sorter(recogniser(), rules)
    for start in range(0, 3000, 500):
        found = check(sorter, rules, laid(letters[start:start + 500]))
        assert found is not None
        assert len(found.decisions) == 1
    assert sorter._learned == 1


@pytest.mark.parametrize("broker", ["kafka", "nats"])
def test_whatever_says_only_why_and_when_they_died_tells_no_letters_apart(broker: str) -> None:
    place = {"topic": DLQ.name, "partition": 0} if broker == "kafka" else {"subject": DLQ.name, "stream": "DLQ"}
    numbered = "offset" if broker == "kafka" else "sequence"
    kind = KIND_OF[broker]
    letters = [Record(broker, {**place, numbered: number}, f"0:{number}", 10**18, Message(body=b"{}", headers=(
        (f"x-original-{kind}", b"orders"), ("x-attempts", b"%d" % (number % 7)), ("x-reason", b"no stock of item %d" % number),
        ("x-failed-at", b"2026-11-27T10:%02d:%02dZ" % (number // 60 % 60, number % 60)), ("x-consumer", b"worker-%d" % number)))) for number in range(3000)]
    rules = Redrive(source=DLQ)
    sorter = Sorter(recogniser(), rules)
    for start in range(0, 3000, 500):
        assert check(sorter, rules, Outlined(letters[start:start + 500])) is not None
    assert sorter._learned == 1


def test_letters_that_are_all_different_are_read_one_by_one_soon() -> None:
    letter, rules = read_letter("spring_kafka"), Redrive(source=DLQ)
    place = [name for name, _ in letter.message.headers].index("kafka_dlt-original-topic")
    sorter = Sorter(recogniser(), rules)
    found = [sorter.sort(laid([with_value(letter, place, b"orders.%d" % number) for number in range(start, start + 500)]), AT) for start in range(0, 3000, 500)]
    assert found[0] is not None
    assert found[-1] is None


@pytest.mark.parametrize("name", [name for name in NAMES if read_letter(name).broker == "kafka"])
def test_pointers_and_wrapped_letters_are_left_to_be_read_one_by_one(name: str) -> None:
    record = read_letter(name)
    letter = recognise(record, facts=FACTS)
    if letter.complete and letter.unwrapped is None:
        assert Sorter(recogniser(), Redrive()).sort(laid([record]), AT) is not None
    else:
        assert Sorter(recogniser(), Redrive()).sort(laid([record]), AT) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(soups(), min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7), st.sampled_from(OTHER_VALUES)), max_size=25),
       st.sampled_from(RULES))
def test_any_records_go_where_each_would_go_alone(drawn: list[Record], changes: list[tuple[int, int, HeaderValue]], rules: Rules) -> None:
    records = [Record("kafka", {}, "", record.time, Message(record.message.body, record.message.key, plain(record.message.headers), origin="kafka"))
               for record in drawn]
    for which, index, value in changes:
        record = records[which % len(records)]
        if index < len(record.message.headers):
            records.append(with_value(record, index, value))
    assert Counter(record.broker for record in records)["kafka"] == len(records)
    sorter = Sorter(recogniser(), rules)
    for batch in ([*records, *records], records):
        check(sorter, rules, laid(batch))
