"""Letters of a RabbitMQ queue that are all different go where each would go alone, their headers never read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokercli.backends.rabbitmq.amqp_table import encode_table
from brokercli.backends.rabbitmq.bulk_frames import Delivery
from brokercli.backends.rabbitmq.encoded_headers import decoded
from brokercli.backends.rabbitmq.exact_properties import encode_properties
from brokercli.backends.rabbitmq.records import RabbitMQBatch
from brokercli.dialects.redrive_headers import COUNT
from brokercli.model.address import Address
from brokercli.model.message import Header, HeaderValue, Message, Record, Typed
from brokercli.operations.decisions import Drop, Park, Redrive, Rules
from brokercli.operations.sorting import Sorter
from tests.dialects.real_letters import NAMES, read_letter
from tests.dialects.test_kinds import with_value
from tests.operations.test_sorting import AT, DLQ, recogniser
from tests.operations.test_sorting import check as compare

RABBITMQ = [letter for name in NAMES if (letter := read_letter(name)).broker == "rabbitmq"]
OTHERS: list[HeaderValue] = [b"x", 1, True, 1.0, None, Typed("int32", 1), Typed("table", (("queue", b"orders"),)), b"orders", b"orders.dlq"]
RULES: list[Rules] = [Redrive(source=Address(DLQ.name, "queue")), Redrive(Address("else", "exchange", "where"), source=DLQ, max_redrives=1), Drop(),
                      Redrive(source=Address(DLQ.name, "queue"), max_redrives=1, park=Address("parked", "queue"))]


def deliveries(records: Sequence[Record]) -> list[Delivery]:
    """Return records as they are delivered from one queue, each with an id of its own."""
    found = []
    for number, record in enumerate(records):
        properties = {**record.message.properties, "message_id": b"m-%d" % number, "timestamp": Typed("timestamp", 10**9 + number)}
        headers = record.message.headers
        found.append(Delivery(number + 1, False, b"", b"key.%d" % number, encode_properties(properties, encode_table(headers) if headers else b""),
                              record.message.body or b""))
    return found


def lying(records: Sequence[Record]) -> RabbitMQBatch:
    return RabbitMQBatch(deliveries(records), DLQ.name, numbered=False)


def check(sorter: Sorter, rules: Rules, batch: RabbitMQBatch) -> bool:
    """Compare what a batch is sorted into with the decisions on each letter; False where it is not sorted."""
    return compare(sorter, rules, batch, decoded) is not None


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: repr(rules)[:60])
def test_real_letters_go_where_each_would_go_alone_whichever_header_changes(rules: Rules) -> None:
    sorted_batches = 0
    for letter in RABBITMQ:
        changed = [with_value(letter, index, value) for index in range(len(letter.message.headers)) for value in OTHERS]
        sorted_batches += check(Sorter(recogniser(), rules), rules, lying([letter, *changed, letter]))
    assert sorted_batches > len(RABBITMQ) // 2


@pytest.mark.parametrize("rules", RULES[:2], ids=lambda rules: repr(rules)[:60])
def test_real_letters_go_where_each_would_go_alone_whatever_properties_and_body_they_have(rules: Rules) -> None:
    sorted_batches = 0
    for letter in RABBITMQ:
        others = [replace(letter, message=replace(letter.message, body=body)) for body in (b"", b'{"BasicProperties"', b'"actor_name"', b"\xff")]
        carrying = [replace(letter, message=replace(letter.message, properties=properties)) for properties in (
            {}, {"expiration": b"1"}, {"user_id": b"guest", "priority": 3}, {"reply_to": b"amq.rabbitmq.reply-to.x"}, {"reply_to": b"mine"})]
        for batch in ([letter, *others, letter], [letter, *carrying, letter], [*others, *carrying]):
            sorted_batches += check(Sorter(recogniser(), rules), rules, lying(batch))
    assert sorted_batches > len(RABBITMQ)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(RULES), st.lists(st.sampled_from(RABBITMQ), min_size=1, max_size=2),
       st.lists(st.tuples(st.integers(0, 1), st.integers(0, 50), st.sampled_from(OTHERS)), min_size=5, max_size=25),
       st.lists(st.integers(1, 8), min_size=3, max_size=8))
def test_letters_go_where_each_would_go_alone_whatever_changes_together_and_however_many_are_alike(
        rules: Rules, letters: list[Record], changes: list[tuple[int, int, HeaderValue]], times: list[int]) -> None:
    letters = [replace(letter, message=replace(letter.message, headers=(*letter.message.headers, (COUNT, b"1")))) for letter in letters]
    pool = list(letters)
    for which, index, value in changes:
        which %= len(letters)
        letters[which] = with_value(letters[which], index % len(letters[which].message.headers), value)
        pool.append(letters[which])
    sorter = Sorter(recogniser(), rules)
    for start in range(len(times)):
        # some lie there several times over, as batches do that are sorted by what is around their bodies
        alike = [delivery for delivery, count in zip(deliveries(pool), times[start:] + times[:start], strict=False) for _ in range(count)]
        check(sorter, rules, RabbitMQBatch(alike, DLQ.name, numbered=False))


def written(*headers: Header) -> Record:
    """Return a letter with these headers."""
    return Record("rabbitmq", {"queue": DLQ.name}, "", None, Message(body=b"{}", headers=headers, properties={"delivery_mode": 2}, origin="rabbitmq"))


def died(second: int) -> Record:
    deaths = Typed("array", (Typed("table", (("count", 1), ("reason", b"rejected"), ("queue", b"orders"), ("time", Typed("timestamp", 10**9 + second)),
                                             ("exchange", b""), ("routing-keys", Typed("array", (b"orders",))))),))
    return written(("trace", b"t-%d" % second), ("x-death", deaths), ("x-first-death-queue", b"orders"))


def test_thousands_that_died_at_different_times_and_have_ids_of_their_own_are_read_once() -> None:
    rules = Redrive(source=Address(DLQ.name, "queue"))
    sorter = Sorter(recogniser(), rules)
    letters = [died(second) for second in range(3000)]
    for start in range(0, 3000, 500):
        assert check(sorter, rules, lying(letters[start:start + 500]))
    assert sorter._learned == 1


@pytest.mark.parametrize(("letter", "own"), [
    (written(("MT-Reason", b"fault"), ("MT-Fault-InputAddress", b"rabbitmq://localhost/orders"), ("MT-Fault-Timestamp", b""), ("MT-Fault-Message", b""),
             ("MT-Fault-StackTrace", b""), ("MT-Fault-RetryCount", b"")), ("MT-Fault-Timestamp", "MT-Fault-Message", "MT-Fault-StackTrace")),
    (written(("NServiceBus.FailedQ", b"orders"), ("NServiceBus.TimeOfFailure", b""), ("NServiceBus.ExceptionInfo.Message", b""),
             ("NServiceBus.ExceptionInfo.StackTrace", b""), ("NServiceBus.MessageId", b"")),
     ("NServiceBus.TimeOfFailure", "NServiceBus.ExceptionInfo.Message", "NServiceBus.ExceptionInfo.StackTrace", "NServiceBus.MessageId")),
    (written(("rbs2-source-queue", b"orders"), ("rbs2-error-details", b""), ("rbs2-msg-id", b"")), ("rbs2-error-details", "rbs2-msg-id")),
    (read_letter("celery"), ("id", "root_id", "argsrepr", "origin", "retries")),
    (read_letter("spring_amqp"), ("x-exception-message", "x-exception-stacktrace"))], ids=["MassTransit", "NServiceBus", "Rebus", "Celery", "Spring"])
def test_letters_with_words_times_and_ids_of_their_own_are_read_once(letter: Record, own: tuple[str, ...]) -> None:
    rules = Redrive(source=Address(DLQ.name, "queue"))
    places = [index for index, (header, _) in enumerate(letter.message.headers) if header in own]
    assert len(places) == len(own)
    letters = []
    for number in range(1500):
        letters.append(letter)
        for place in places:
            letters[-1] = with_value(letters[-1], place, b"2026-11-23T10:00:00.%04dZ no such order" % number)
    sorter = Sorter(recogniser(), rules)
    assert check(sorter, rules, lying(letters))
    assert sorter._learned == 1


def test_what_goes_on_as_it_is_keeps_its_own_routing_key_and_so_is_read_one_by_one() -> None:
    letters = [died(second) for second in range(10)]
    assert Sorter(recogniser(), Park(Address("parked", "exchange"))).sort(lying(letters), AT) is None
