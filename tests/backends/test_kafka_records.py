"""A Kafka message keeps every bit through reading, the envelope and publishing; its three views agree."""

from __future__ import annotations

import gc
import tracemalloc
from time import monotonic

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokercli.backends.contract import Publisher
from brokercli.backends.dead_letters import Move, RepairPolicy
from brokercli.backends.envelope import decode_envelope, encode_record, write_header_lists, write_strings
from brokercli.backends.envelope_values import encode_headers
from brokercli.backends.kafka import header_bytes
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.odd_headers import OddHeaders
from brokercli.backends.kafka.records import write_time
from brokercli.model.address import Address
from brokercli.model.errors import Failed
from brokercli.model.message import Header, Message, Record
from brokercli.model.position import Number, PerPartition, Span, format_time
from tests.backends.kafka_topics import Topics, bodies, everything, publish
from tests.backends.kafka_wire import produce

BYTES = st.one_of(st.none(), st.binary(max_size=60), st.text(max_size=30).map(str.encode), st.sampled_from([
    b"", b"\x7f", b'"\x7f"', b"\x1e", b"\\u001e", b"\xff\xfe", b'{"a":"b\\n"}', b"\0", "\u2028\U0001f600".encode(), b"\xed\xa0\x80"]))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TIMES = st.one_of(st.none(), st.integers(1, 4_000_000_000_000), st.just(253_402_300_800_000)).map(lambda value: None if value is None else value * 1_000_000)
MESSAGES = st.builds(Message, body=BYTES, key=BYTES, headers=st.lists(st.tuples(NAMES, BYTES), max_size=4).map(tuple), time=TIMES)


@pytest.fixture
def opened(topics: Topics) -> tuple[Address, KafkaBackend, Publisher]:
    topic = topics.make(message_timestamp_after_max_ms=str(2**62), retention_ms="-1")
    return topic, topics.backend(), topics.publisher(topic)


def test_any_message_comes_back_bit_for_bit_and_through_its_envelope(opened: tuple[Address, KafkaBackend, Publisher]) -> None:
    topic, backend, publisher = opened
    stored = 0

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(MESSAGES, min_size=1, max_size=12))
    def round_trip(messages: list[Message]) -> None:
        nonlocal stored
        receipts = publish(publisher, messages)
        assert receipts.confirmed == len(messages), receipts.problems
        records, lines, bodies = [], [], []
        with backend.look(topic, Span(Number(stored), Number(stored + len(messages)))) as reader:
            while not reader.finished:
                batch = reader.read(20)
                assert batch is not None
                records += batch.records()
                lines += batch.envelopes()
                bodies += batch.bodies()
        first, stored = stored, stored + len(messages)
        assert lines == [encode_record(record) for record in records]
        assert bodies == [message.body or b"" for message in messages]
        assert [record.position for record in records] == [f"0:{first + number}" for number in range(len(messages))]
        for message, record, line in zip(messages, records, lines, strict=True):
            assert (record.message.body, record.message.key, record.message.headers) == (message.body, message.key, message.headers)
            assert message.time is None or record.time == message.time
            again = decode_envelope(line, 1)
            assert (again.body, again.key, again.headers, again.origin) == (message.body, message.key, message.headers, "kafka")

    round_trip()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from(["a", "b", "%d%%", '"', "\udcff"]), BYTES), max_size=3), max_size=8))
def test_headers_that_are_written_together_are_those_written_one_by_one(lists: list[list[tuple[str, bytes | None]]]) -> None:
    assert write_header_lists(lists) == [orjson.dumps(encode_headers(tuple(headers))) for headers in lists]


def test_selected_records_keep_their_order_and_their_views(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, [b"%d" % number for number in range(10)])
    batch = topics.look(topic).read(20)
    assert batch is not None
    chosen = batch.select([1, 4, 9])
    assert len(chosen) == 3
    assert chosen.bodies() == [b"1", b"4", b"9"]
    assert [record.position for record in chosen.records()] == ["0:1", "0:4", "0:9"]
    assert [orjson.loads(line)["offset"] for line in chosen.envelopes()] == [1, 4, 9]
    assert batch.select([]).envelopes() == []


def test_the_envelope_is_the_one_that_is_documented(topics: Topics) -> None:
    topic = topics.make(retention_ms="-1")
    producer = topics.producer()
    producer.produce(topic.name, b'{"id":1}', key=b"c-7", headers=[("x-attempts", b"1"), ("sig", b"\0\xff"), ("none", None)], timestamp=1_795_428_000_123)
    assert producer.flush(60) == 0
    batch = topics.look(topic).read(20)
    assert batch is not None
    assert batch.envelopes() == [
        b'{"v":1,"broker":"kafka","topic":"' + topic.name.encode() + b'","partition":0,"offset":0,"time":"2026-11-23T10:00:00.123Z","key":"c-7",'
        b'"headers":[{"name":"x-attempts","value":"1"},{"name":"sig","value":{"base64":"AP8="}},{"name":"none","value":null}],"body":"{\\"id\\":1}"}']


def test_a_record_that_says_no_time_has_none(topics: Topics) -> None:
    topic = topics.make(called=f"{topics.name()}.dlq")
    # the broker takes -1 as no time, whatever a topic says of times; clients that speak for themselves write it
    produce(topics.address, topic.name, b"timeless", [(b"x-original-topic", b"home")], milliseconds=-1)
    batch = topics.look(topic).read(20)
    assert batch is not None
    assert orjson.loads(batch.envelopes()[0])["time"] is None
    assert [record.time for record in batch.records()] == [None]
    assert [outline[3] for outline in batch.outlines()] == [None]
    (source,) = [one for one in topics.backend().dead_letter_sources() if one.address == topic]
    assert (source.depth, source.oldest) == (1, None)


@given(st.lists(BYTES, max_size=8))
def test_strings_written_together_are_those_written_one_by_one(values: list[bytes | None]) -> None:
    assert write_strings(values) == [token for value in values for token in write_strings([value])]


@given(st.integers(-(2**62) // 10**6, 2**62 // 10**6))
def test_a_time_is_written_as_everywhere(milliseconds: int) -> None:
    assert write_time(milliseconds) == format_time(milliseconds * 1_000_000)


ODD = [(b"\xe9t\xe9", b"1"), (b"x", None), (b"\xe9t\xe9", b"\0\xff"), (b"empty", b"")]
READ = (("\udce9t\udce9", b"1"), ("x", None), ("\udce9t\udce9", b"\0\xff"), ("empty", b""))


def test_header_names_that_the_client_cannot_read_are_read_all_the_same(topics: Topics) -> None:
    topic = topics.make()
    topics.fill(topic, [b"before"])
    produce(topics.address, topic.name, b"odd", ODD)
    topics.fill(topic, [b"between"])
    produce(topics.address, topic.name, b"odd again", ODD[:1])
    topics.fill(topic, [b"after"])
    batch = topics.look(topic).read(20)
    assert batch is not None
    # whatever is asked first, of a part or of all of it
    assert [record.message.headers for record in batch.select([1, 2]).records()] == [READ, ()]
    for _ in range(2):
        assert batch.bodies() == [b"before", b"odd", b"between", b"odd again", b"after"]
        assert [record.message.headers for record in batch.records()] == [(), READ, (), READ[:1], ()]
        assert [decode_envelope(line, 1).headers for line in batch.envelopes()] == [(), READ, (), READ[:1], ()]
        assert [tuple(outline[0]) for outline in batch.outlines() or ()] == [(), READ, (), READ[:1], ()]


def test_where_they_cannot_be_read_at_all_it_is_an_error_with_its_place_and_never_a_broken_record(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_bytes, "load", lambda: None)
    topic = topics.make()
    topics.fill(topic, [b"before"])
    produce(topics.address, topic.name, b"odd", ODD)
    topics.fill(topic, [b"after"])
    batch = topics.look(topic).read(20)
    assert batch is not None
    assert batch.bodies() == [b"before", b"odd", b"after"]
    for _ in range(2):
        for view in (batch.envelopes, batch.records, batch.outlines):
            with pytest.raises(Failed, match=r"0:1 .* not UTF-8") as caught:
                view()
    assert "--from 0:2" in (caught.value.hint or "")
    assert len(everything(topics.look(topic, PerPartition(((0, 2),))))) == 1


def test_the_client_is_not_asked_again_for_what_it_failed_on_whatever_ended_the_other_way(topics: Topics) -> None:
    topic = topics.make()
    produce(topics.address, topic.name, b"odd", ODD)
    consumer = topics.consumer(topic)
    messages = consumer.consume(1, 60)
    endings: list[BaseException] = [KeyboardInterrupt(), Failed("away")]
    asked: list[tuple[str, int, int]] = []

    def read_anew(place: tuple[str, int, int]) -> tuple[Header, ...]:
        asked.append(place)
        raise endings.pop(0)

    odd = OddHeaders(read_anew)
    for ending in (KeyboardInterrupt, Failed, Failed):
        with pytest.raises(ending):
            odd.of(messages)
    assert asked == [(topic.name, 0, 0)] * 2


def test_one_that_was_deleted_since_it_was_read_is_said_to_be_at_once(topics: Topics) -> None:
    topic = topics.make()
    for _ in range(3):
        produce(topics.address, topic.name, b"odd", ODD)
    batch = topics.look(topic).read(20)
    assert batch is not None
    topics.delete_before(topic, 2)
    began = monotonic()
    with pytest.raises(Failed, match=r"0:1 .* deleted meanwhile"):
        batch.select([1]).records()
    assert monotonic() - began < topics.connection.connect_timeout
    assert batch.select([2]).records()[0].message.headers == READ


def test_a_look_that_goes_on_keeps_nothing_of_such_records(topics: Topics) -> None:
    topic = topics.make()
    reader = topics.look(topic, follow=True)
    size = 100_000

    def read_one() -> None:
        produce(topics.address, topic.name, b"odd", [(b"\xe9", bytes(size))])
        batch = reader.read(20)
        assert batch is not None
        assert batch.records()[0].message.headers == (("\udce9", bytes(size)),)

    read_one()
    tracemalloc.start()
    try:
        for _ in range(10):
            read_one()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 3 * size
    finally:
        tracemalloc.stop()


def test_topics_with_such_records_are_looked_through_for_dead_letters(topics: Topics) -> None:
    topic = topics.make(called=f"{topics.name()}-errors")
    for _ in range(3):
        produce(topics.address, topic.name, b"odd", ODD)
    assert topic not in {source.address for source in topics.backend().dead_letter_sources()}


def test_a_letter_with_such_a_header_stays_and_the_others_go_home(topics: Topics) -> None:
    dlq, home = topics.make(called=f"{topics.name()}.dlq"), topics.make()
    topics.fill(dlq, [b"before"])
    produce(topics.address, dlq.name, b"odd", ODD)
    topics.fill(dlq, [b"after"])
    with topics.backend().repair(dlq, RepairPolicy()) as repair:
        found: list[Record] = []
        while not repair.finished:
            found += (batch.records() if (batch := repair.read(5)) is not None else [])
        receipts = repair.settle([Move(record, record.message, home) for record in found])
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (2, 1, 0)
    assert "not UTF-8" in receipts.problems[0].reason
    topics.wait_closed(home)
    assert bodies(topics.read(home)) == [b"before", b"after"]
