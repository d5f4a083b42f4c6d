"""What letters of Spring for Apache Kafka say under the settings and versions of which no real one is kept."""

from __future__ import annotations

import struct

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.model.dead_letter import DeadLetter
from brokercli.model.message import Header, HeaderValue, Message, Record

UNREADABLE = b"org.springframework.kafka.support.serializer.DeserializationException"
SENT, LATER = 1_795_474_000_123, 1_795_474_900_000
ORIGIN: tuple[Header, ...] = (("kafka_original-topic", b"orders"), ("kafka_original-timestamp", struct.pack(">q", LATER)))


def letter(*headers: Header, topic: str = "orders-dlt") -> DeadLetter:
    return recognise(Record("kafka", {"topic": topic, "partition": 0, "offset": 1}, "0:1", None, Message(body=b"{}", headers=headers)))


def exception(prefix: str, what: bytes) -> tuple[Header, ...]:
    return ((f"{prefix}exception-fqcn", UNREADABLE), (f"{prefix}exception-message", what),
            (f"{prefix}exception-stacktrace", b"%s: no\n\tat x\nCaused by: java.io.%s: no\n" % (UNREADABLE, what)))


def test_where_key_and_value_could_not_be_read_the_value_is_told() -> None:
    both = letter(*exception("kafka_dlt-key-", b"Key"), *exception("kafka_dlt-", b"Value"), ("springDeserializerExceptionKey", b"\xac\xed"),
                  ("kafka_dlt-original-topic", b"orders"))
    assert (both.reason, both.exception, both.exception_message) == ("value deserialisation", "java.io.Value", "Value")
    assert both.stack_trace.endswith("Caused by: java.io.Value: no\n")
    assert to_message(both).headers == ()
    key = letter(*exception("kafka_dlt-key-", b"Key"), ("kafka_dlt-original-topic", b"orders"))
    assert (key.reason, key.exception) == ("key deserialisation", "java.io.Key")


@pytest.mark.parametrize(("attempts", "tried"), [(b"\x04", 3), (b"\x00\x00\x00\x04", 3), (b"\x00\x00\x00\x00", 0), (b"\xff\xff\xff\xff", None), (None, 2)])
def test_attempts_are_those_that_were_made_and_not_the_one_to_come(attempts: HeaderValue, tried: int | None) -> None:
    counted = () if attempts is None else (("retry_topic-attempts", attempts),)
    assert letter(*ORIGIN, ("kafka_deliveryAttempt", b"\x00\x00\x00\x02"), *counted).attempts == tried


def test_it_was_first_sent_when_the_first_topic_got_it() -> None:
    assert letter(*ORIGIN).original_time == LATER * 1_000_000
    assert letter(*ORIGIN, ("retry_topic-original-timestamp", SENT.to_bytes(6, "big"))).original_time == SENT * 1_000_000


def test_headers_that_a_retry_topic_left_do_not_hide_the_origin_that_the_recoverer_wrote() -> None:
    died = letter(("retry_topic-attempts", b"\x00\x00\x00\x02"), ("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-exception-fqcn", b"w.Cause"))
    assert (died.dialect, str(died.home and died.home.address), died.exception) == ("spring kafka", "topic:orders", "w.Cause")
    assert to_message(died).headers == ()
    waiting = letter(*ORIGIN, ("kafka_dlt-original-topic", b"invoices"))
    assert (waiting.dialect, str(waiting.home and waiting.home.address)) == ("spring retry topic", "topic:orders")


def test_each_hop_that_is_no_repetition_is_told_by_its_number() -> None:
    topics = tuple(("kafka_dlt-original-topic", topic) for topic in (b"orders", b"orders", b"orders-dlt", b"orders-dlt-dlt"))
    assert [home.derived for home in letter(*topics, topic="dead").homes] == [
        f"kafka_dlt-original-topic ({hop})" for hop in ("the first hop", "hop 3", "hop 4")]
    assert [home.derived for home in letter(topics[0]).homes] == ["kafka_dlt-original-topic"]


def test_more_hops_than_anybody_reads_are_counted() -> None:
    hops = letter(*[("kafka_dlt-original-topic", b"orders")] * 101, topic="dead")
    assert (len(hops.journey), hops.remarks) == (100, ("it names 101 hops; the first 100 are shown",))
    assert letter(*[("kafka_dlt-original-topic", b"orders")] * 100, topic="dead").remarks == ()
