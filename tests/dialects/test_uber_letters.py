"""The metadata that Uber's clients put in place of a key: read whole, or taken for somebody's key."""

from __future__ import annotations

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.model.dead_letter import Confidence, DeadLetter, Hop
from brokercli.model.message import Message, Record
from tests.dialects.frameworks import varint

TIME = 1_795_474_000_123_000_000


def key(*, partition: bytes = b"\x03", time: int = TIME, rest: bytes = b"\x32\x03c-7", topic: bytes = b"\x06orders") -> bytes:
    return b"\x08\x02\x12" + topic + b"\x18" + partition + b"\x20\x07\x28" + varint(time) + rest


def letter(written: bytes, *, topic: str = "billing__orders__dlq", body: bytes | None = b"{}") -> DeadLetter:
    return recognise(Record("kafka", {"topic": topic, "partition": 0, "offset": 1}, "0:1", None, Message(body=body, key=written)))


@pytest.mark.parametrize(("topic", "confidence"), [("billing__orders__dlq", Confidence.CERTAIN), ("billing__orders__RETRY", Confidence.CERTAIN),
                                                   ("orders-dead", Confidence.LIKELY)])
def test_a_key_alone_is_less_than_a_key_in_a_topic_of_that_name(topic: str, confidence: Confidence) -> None:
    home = letter(key(), topic=topic).home
    assert home is not None
    assert (str(home.address), home.confidence, home.place) == ("topic:orders", confidence, {"partition": 3, "offset": 7})


def test_what_the_format_does_not_tell_apart_is_said() -> None:
    assert (to_message(letter(key())).key, letter(key()).remarks) == (b"c-7", ())
    without = letter(key(rest=b""))
    assert (to_message(without).key, len(without.remarks)) == (None, 1)
    assert [len(letter(key(), body=body).remarks) for body in (b"", b"{}", None)] == [1, 0, 0]


def test_numbers_that_are_not_written_are_zero() -> None:
    died = letter(b"\x12\x06orders\x28" + varint(TIME))
    assert died.home is not None
    assert (died.home.place, died.attempts, died.reason) == ({"partition": 0, "offset": 0}, 0, "failed")
    assert died.journey == (Hop("orders", place={"partition": 0, "offset": 0}, count=0),)
    assert "headers" in died.lost[0]


def test_a_negative_number_is_no_place_that_a_broker_counts() -> None:
    negative = letter(key(partition=varint(2**64 - 1)))
    assert negative.home is not None
    assert (negative.home.place, "-1" in negative.remarks[0]) == ({"offset": 7}, True)


@pytest.mark.parametrize(("time", "moment"), [(TIME, TIME), (TIME // 1_000_000, TIME), (1_300_000_000_000, 1_300_000_000_000_000_000)])
def test_nanoseconds_and_milliseconds_are_told_by_their_size(time: int, moment: int) -> None:
    assert letter(key(time=time)).original_time == moment


@pytest.mark.parametrize("written", [
    key(rest=b"\x32\x04c-7"), key(rest=b"\x30\x03"), key(rest=b"\x3a\x01x"), key(rest=b"\x3a\x00"), key(rest=b"\x30\x00"),
    key(rest=b"\x40\x01"), key(rest=b"\x80"), key(topic=b"\x09ord ers x"),
    key(time=10**18), key(time=5 * 10**18), key(partition=b"\xff" * 9 + b"\x02"), key(partition=b"\xff" * 10 + b"\x01")])
def test_what_is_not_wholly_such_metadata_is_somebodys_key(written: bytes) -> None:
    died = letter(written)
    assert (died.dialect, to_message(died).key) == ("unknown", written)
