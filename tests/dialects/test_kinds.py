"""A kind found by names and values is the kind that reading the letter gives, whatever else differs between letters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokercli.dialects import Facts, UserDialect, recognise
from brokercli.dialects.kinds import Kind, Kinds
from brokercli.dialects.reading import lies_in
from brokercli.model.message import Header, HeaderValue, Message, Record
from tests.dialects.originals import soups
from tests.dialects.real_letters import NAMES, read_letter
from tests.dialects.test_any_input import MINE

FACTS = Facts(dead_letter_destinations=frozenset({"orders.dlq"}))
KAFKA = [letter for name in NAMES if (letter := read_letter(name)).broker == "kafka"]
OTHER_VALUES: list[HeaderValue] = [None, b"", b"orders", b"orders.dlq", b"7", b"\x00\x00\x00\x02", b"2026-11-23T10:00:00Z", b"\xff\xfe",
                                   b"org.springframework.kafka.support.serializer.DeserializationException"]


class Finder:
    """Finds the kinds of records as they come, and counts those it did not have to read."""

    def __init__(self, *extra: UserDialect) -> None:
        self._extra = extra
        self._kinds = Kinds(lambda record, make, tried: recognise(record, extra=extra, facts=FACTS, make_reading=make, tried=tried))
        self.found = 0

    def check(self, record: Record) -> None:
        """Compare what is found with what reading gives."""
        letter = recognise(record, extra=self._extra, facts=FACTS)
        right = Kind.of(letter)
        found = self._kinds.find(record.message.headers, record.message.key, record.message.body, lies_in(record))
        self.found += found is not None
        kind = found or self._kinds.learn(record)[1]
        assert (kind.group, kind.homeless, kind.attempts) == (right.group, right.homeless, right.attempts)
        assert kind.died(record.message.headers, record.time) == letter.died


def with_value(record: Record, index: int, value: HeaderValue) -> Record:
    headers = list(record.message.headers)
    headers[index] = (headers[index][0], value)
    return replace(record, message=replace(record.message, headers=tuple(headers)))


@pytest.mark.parametrize("extra", [(), (MINE,)], ids=["alone", "beside a dialect of one's own"])
def test_real_letters_keep_their_kind_whichever_header_changes(extra: tuple[UserDialect, ...]) -> None:
    finder = Finder(*extra)
    values_of: dict[str, set[HeaderValue]] = {}
    for letter in KAFKA:
        for name, value in letter.message.headers:
            values_of.setdefault(name, set()).add(value)
    for letter in [*KAFKA, *KAFKA]:
        finder.check(letter)
        finder.check(replace(letter, time=1_800_000_000_000_000_000))
        for index, (name, _) in enumerate(letter.message.headers):
            for value in [*OTHER_VALUES, *sorted(values_of[name], key=repr)]:
                finder.check(with_value(letter, index, value))
                finder.check(letter)
    assert finder.found


def test_letters_that_differ_in_what_decides_nothing_are_read_once() -> None:
    letter = read_letter("spring_kafka")
    finder = Finder()
    finder.check(letter)
    telling = {"kafka_dlt-exception-fqcn", "kafka_dlt-exception-cause-fqcn", "kafka_dlt-original-topic", "kafka_dlt-original-consumer-group"}
    others = [index for index, (name, _) in enumerate(letter.message.headers) if name not in telling]
    for index in others:
        finder.check(with_value(letter, index, b"\x00\x00\x00\x05"))
    assert finder.found == len(others) > 5


@pytest.mark.parametrize(("name", "shown"), [
    ("kafka_connect_converter", ("partition", "offset", "exception.message", "exception.stacktrace")),
    ("kafka_streams_processing", ("partition", "offset", "errors.message", "stacktrace")),
    ("smallrye_kafka", ("partition", "offset", "reason", "letter-cause")),
    ("spring_cloud_stream_kafka", ("partition", "offset", "timestamp", "exception-message")),
    ("watermill_nats", ("reason_poisoned", "_watermill_message_uuid")),
    ("spring_retry_topic", ("partition", "offset", "original-timestamp", "exception-message", "exception-stacktrace"))])
def test_what_is_only_shown_of_a_letter_tells_no_kinds_apart(name: str, shown: tuple[str, ...]) -> None:
    letter, finder = read_letter(name), Finder()
    finder.check(letter)
    changed = [index for index, (header, _) in enumerate(letter.message.headers) if header.endswith(shown)]
    assert len(changed) >= len(shown)
    for index in changed:
        finder.check(with_value(letter, index, b"\x00\x00\x00\x05"))
    assert finder.found == len(changed)


@pytest.mark.parametrize("extra", [(), (MINE,)], ids=["alone", "beside a dialect of one's own"])
@pytest.mark.parametrize("name", ["x-failed-at", "X-Failed-At"])
def test_the_time_of_death_is_read_of_each_letter_of_a_kind(name: str, extra: tuple[UserDialect, ...]) -> None:
    letter = Record("kafka", {"topic": "orders.dlq", "partition": 0, "offset": 1}, "0:1", 10**18, Message(
        body=b"x", headers=(("x-original-topic", b"orders"), ("x-attempts", b"3"), (name, b"2026-11-27T10:00:00Z"))))
    finder = Finder(*extra)
    finder.check(letter)
    times = [b"2026-11-27T10:00:%02dZ" % second for second in range(60)] + [b"1795000000123", b"", b"yesterday", None]
    for time in times:
        finder.check(with_value(letter, 2, time))
    assert finder.found == len(times)


def test_of_several_times_of_death_the_one_that_counts_is_found() -> None:
    finder, headers = Finder(), (("x-original-topic", b"orders"), ("X-Failed-At", b"2026-11-27T10:00:00Z"), ("x-failed-at", b"2026-11-27T11:00:00Z"))
    letter = Record("kafka", {"topic": "orders.dlq", "partition": 0, "offset": 1}, "0:1", 10**18, Message(body=b"x", headers=headers))
    for index in (1, 2, 1, 2):
        for second in range(3):
            finder.check(with_value(letter, index, b"2026-11-27T10:30:0%dZ" % second))
    assert finder.found


def test_a_key_that_may_hold_the_metadata_is_looked_into() -> None:
    original = Record("kafka", {"topic": "orders.dlq", "partition": 0, "offset": 1}, "0:1", 10**18, Message(
        body=b"x", key=b"c-7", headers=(("x-error-message", b"no"), ("x-original-topic", b"orders"))))
    finder = Finder()
    finder.check(original)
    topic = b"payments"
    key = b"\x08\x03" + b"\x12%c" % len(topic) + topic + b"\x18\x01\x20\x07\x28" + bytes([0x80, 0x80, 0xD0, 0xA2, 0xE7, 0xB4, 0xD8, 0x83, 0x17])
    finder.check(original)
    assert finder.found == 1
    finder.check(replace(original, message=replace(original.message, key=key)))
    assert finder.found == 1


def test_the_very_headers_of_the_letter_before_are_looked_up_anew_under_another_name() -> None:
    here = Record("kafka", {"topic": "orders.dlq", "partition": 0, "offset": 1}, "0:1", 10**18, Message(
        body=b"x", headers=(("x-error-message", b"no"), ("x-original-topic", b"orders"))))
    there = replace(here, place={"topic": "payments.dlq", "partition": 0, "offset": 1})
    finder = Finder()
    for record, found in ((here, 0), (here, 1), (here, 2), (there, 2), (there, 3), (here, 4), (there, 5)):
        finder.check(record)
        assert finder.found == found


@settings(max_examples=150, deadline=None)
@given(st.lists(soups(), min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7), st.sampled_from(OTHER_VALUES)), max_size=25))
def test_any_record_has_the_kind_that_reading_it_gives(drawn: list[Record], changes: list[tuple[int, int, HeaderValue]]) -> None:
    finder = Finder(MINE)
    place = {"topic": "orders.dlq", "partition": 0, "offset": 5}
    records = [replace(record, broker="kafka", place=place, message=replace(record.message, headers=plain(record.message.headers), properties={}))
               for record in drawn]
    for record in [*records, *records]:
        finder.check(record)
    for which, index, value in changes:
        which %= len(records)
        if index < len(records[which].message.headers):
            records[which] = with_value(records[which], index, value)
        finder.check(records[which])


def plain(headers: tuple[Header, ...]) -> tuple[Header, ...]:
    return tuple((name, value if isinstance(value, bytes) else None) for name, value in headers)
