"""Reading RabbitMQ streams: exactly the span, whatever lies in the messages, and however the stream changes meanwhile."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.rabbitmq import look, stream_look
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.stream_range import Edge, Place, first_at, range_of
from brokercli.model.address import Address
from brokercli.model.errors import Failed, NotFound, OutOfRange, Unsupported
from brokercli.model.message import Message
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start
from tests.backends.rabbitmq_places import Places, bodies_of, records_of
from tests.brokers.server import wait_until
from tests.conformance.driving import publish

PATIENCE = 30.0


def read(places: Places, stream: str, start: Position, end: Position | None = None) -> list[bytes]:
    with places.open() as backend, backend.look(Address(stream, "stream"), Span(start, end or End())) as reader:
        return bodies_of(reader)


def cut_stream(places: Places) -> tuple[str, int]:
    """Make a stream whose first records were deleted to keep it small; return it and the first offset that is left."""
    stream = places.queue("stream", x_max_length_bytes=("l", 200_000), x_stream_max_segment_size_bytes=("l", 100_000))
    with places.open() as backend:
        with backend.publisher(Address(stream, "stream"), PublishPolicy()) as publisher:
            written = 0

            def cut() -> bool:
                # a segment is closed, and old ones are deleted, when the next chunk comes
                nonlocal written
                assert publish(publisher, [Message(b"%06d" % (written + number) + b"x" * 1000) for number in range(100)]).confirmed == 100
                written += 100
                with backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
                    return reader.bounds is not None and reader.bounds.start != Number(0)

            wait_until(cut, PATIENCE, "the end of the first segment")
        first = [0]

        def at_rest() -> bool:
            # each segment that was closed has old ones deleted, in the broker's own time
            with backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
                assert reader.bounds is not None
                assert isinstance(reader.bounds.start, Number)
                first.append(reader.bounds.start.value)
            return len({*first[-10:]}) == 1

        wait_until(at_rest, PATIENCE, "the end of the deletions")
        return stream, first[-1]


def test_what_was_deleted_is_out_of_range_and_the_range_that_is_there_is_named(places: Places) -> None:
    stream, first = cut_stream(places)
    assert first > 0
    with places.open() as backend, pytest.raises(OutOfRange) as refusal:
        backend.look(Address(stream, "stream"), Span(Number(first - 1), End()))
    assert f"offsets {first} to" in str(refusal.value)
    everything = read(places, stream, Start())
    assert read(places, stream, Number(first)) == everything
    assert read(places, stream, Last(10**9)) == everything


def test_an_empty_stream_has_no_offset_but_its_end(places: Places) -> None:
    stream = places.stream()
    assert read(places, stream, Number(0)) == []
    with places.open() as backend, pytest.raises(OutOfRange) as refusal:
        backend.look(Address(stream, "stream"), Span(Number(1), End()))
    assert f"The stream {stream} is empty, and its next offset is 0; 1 was asked for." in str(refusal.value)


def test_the_bounds_of_a_look_are_numbers_that_do_not_move(places: Places) -> None:
    stream = places.stream([b"a", b"b", b"c", b"d"])
    with places.open() as backend, backend.look(Address(stream, "stream"), Span(Last(3), End())) as reader:
        assert reader.bounds == Span(Number(1), Number(4))
        assert reader.expected == 3
        places.put("", stream, [b"later"])
        assert bodies_of(reader) == [b"b", b"c", b"d"]


def test_from_the_end_on_only_what_comes_is_seen_also_in_an_empty_stream(places: Places) -> None:
    for stream in (places.stream([b"old"]), places.stream()):
        with places.open() as backend, backend.look(Address(stream, "stream"), Span(End(), None)) as reader:
            assert reader.read(0) is None
            places.put("", stream, [b"new"])
            assert bodies_of(reader, 1) == [b"new"]


def test_the_end_is_exact_right_after_a_confirm(places: Places) -> None:
    stream, total = places.stream(), 0
    with places.open() as backend, backend.publisher(Address(stream, "stream"), PublishPolicy()) as publisher:
        for count in (1, 2, 500, 1, 1500, 3):
            assert publish(publisher, [Message(b"x")] * count).confirmed == count
            total += count
            with backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
                assert reader.bounds == Span(Number(0), Number(total))


def test_an_offset_is_not_mistaken_for_what_a_header_or_a_body_says(places: Places) -> None:
    lie = b"\x0fx-stream-offsetl" + struct.pack(">q", 4711)
    stream = places.stream()
    with places.open() as backend, backend.publisher(Address(stream, "stream"), PublishPolicy()) as publisher:
        messages = [Message(lie, headers=(("a", lie), ("z", lie)), id="lie"), Message(b"", headers=(("x-stream-offsetl", b"l" * 40),)), Message(b"plain")]
        assert publish(publisher, messages).confirmed == 3
    with places.open() as backend, backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
        records = records_of(reader)
    assert [record.position for record in records] == ["0", "1", "2"]
    assert records[0].message.headers == (("a", lie), ("z", lie))
    assert records[1].message.headers == (("x-stream-offsetl", b"l" * 40),)
    assert records[2].message.headers == ()


def test_a_stream_that_is_deleted_while_it_is_read_ends_the_look_with_the_reason(places: Places) -> None:
    stream = places.stream([b"1"])
    with places.open() as backend, backend.look(Address(stream, "stream"), Span(Start(), None)) as reader:
        assert bodies_of(reader, 1) == [b"1"]
        places.delete_queue(stream)
        with pytest.raises(NotFound) as gone:
            wait_until(lambda: reader.read(1) and False, PATIENCE, "the end")
        assert stream in str(gone.value)


def refusing(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Have so many consumers refused, as by a node that has no copy of their stream that runs; return the refusals, which grow."""
    text = "PRECONDITION_FAILED - stream 's' in vhost '/' does not have a running replica on the local node"
    refusals: list[str] = []
    open_channel = Link.open_channel

    def opened(self: Link, sink: Any, steps: Any, done: Any, failed: Any, ended: Any = None) -> None:
        if isinstance(sink, stream_look.StreamReader) and len(refusals) < times:
            refusals.append(text)
            failed(ChannelClosedByBroker(406, text))
        else:
            open_channel(self, sink, steps, done, failed, ended)

    monkeypatch.setattr(Link, "open_channel", opened)
    return refusals


def test_a_node_that_has_no_copy_for_a_moment_after_a_lost_connection_is_asked_again(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = places.stream([b"before"])
    with places.open() as backend, backend.look(Address(stream, "stream"), Span(Start(), None)) as reader:
        assert isinstance(reader, stream_look.StreamReader)
        assert bodies_of(reader, 1) == [b"before"]
        refusals = refusing(monkeypatch, 2)
        reader._link.post(reader._link.reconnect)
        wait_until(lambda: len(refusals) == 2, PATIENCE, "two refusals")
        places.put("", stream, [b"after"])
        assert bodies_of(reader, 1) == [b"after"]


@pytest.mark.parametrize("lost", [True, False])
def test_a_node_that_has_no_copy_ends_the_look(places: Places, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    """At once where it was so from the beginning, and otherwise when the time is over that a lost connection has."""
    monkeypatch.setattr(stream_look, "GIVE_UP_SECONDS", 0.5)
    stream = places.stream([b"before"])
    if not lost:
        refusing(monkeypatch, 1000)
    with places.open() as backend, backend.look(Address(stream, "stream"), Span(Start(), None)) as reader:
        assert isinstance(reader, stream_look.StreamReader)
        if lost:
            assert bodies_of(reader, 1) == [b"before"]
            refusing(monkeypatch, 1000)
            reader._link.post(reader._link.reconnect)
        with pytest.raises(Failed, match="has no copy of the stream"):
            wait_until(lambda: reader.read(1) and False, PATIENCE, "the end")


@pytest.mark.parametrize("anew", [True, False], ids=["made anew", "the same"])
def test_a_stream_that_was_made_anew_while_the_connection_was_lost_ends_the_look_that_waits_for_what_comes(
        places: Places, rabbitmq_address: str, rabbitmq_management: str, monkeypatch: pytest.MonkeyPatch, anew: bool) -> None:
    monkeypatch.setattr(stream_look, "_IDLE_SECONDS", 0.1)
    stream = places.stream([b"%d" % number for number in range(10)])
    establish = Link._establish

    def late(self: Link) -> None:
        monkeypatch.setattr(Link, "_establish", establish)
        if anew:
            places.delete_queue(stream)
            places.queue("stream", name=stream)
            # what a connection that published to the old one sends now may be confirmed and lie nowhere (seen on 4.3.6)
            other = Places(rabbitmq_address, rabbitmq_management, "/")
            other.put("", stream, [b"another"])
            other.close()
        establish(self)

    with places.open() as backend, backend.look(Address(stream, "stream"), Span(Start(), None)) as reader:
        assert isinstance(reader, stream_look.StreamReader)
        assert len(bodies_of(reader, 10)) == 10
        monkeypatch.setattr(Link, "_establish", late)
        reader._link.post(reader._link.reconnect)
        if anew:
            with pytest.raises(NotFound, match="ends at the offset 1 by now, and was read up to 10"):
                wait_until(lambda: reader.read(0.2) and False, PATIENCE, "the end")
            return
        wait_until(lambda: reader.read(0.2) is None and Link._establish is establish and not reader._came_back, PATIENCE, "that it is known to be the same")
        places.put("", stream, [b"later"])
        assert bodies_of(reader, 1) == [b"later"]


def test_records_that_are_deleted_before_they_were_read_do_not_keep_a_look_waiting(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    # so little that the broker has not sent the rest when it deletes it
    monkeypatch.setattr(stream_look, "_HELD_BYTES", 20_000)
    monkeypatch.setattr(stream_look, "PREFETCH", 8)
    stream, first = cut_stream(places)
    with places.open() as backend, backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
        assert reader.bounds is not None
        end = int(str(reader.bounds.end))
        with backend.publisher(Address(stream, "stream"), PublishPolicy()) as publisher:
            def all_deleted() -> bool:
                assert publish(publisher, [Message(b"later" + b"x" * 1000)] * 300).confirmed == 300
                with backend.look(Address(stream, "stream"), Span(Start(), End())) as now:
                    return now.bounds is not None and int(str(now.bounds.start)) >= end

            wait_until(all_deleted, PATIENCE, "the deletion of what is to be read")
        records = records_of(reader)
        assert reader.finished
    # the broker may have the file open still, and send what is in it
    assert 0 < len(records) <= end - first
    assert all(first <= int(record.position) < end for record in records)


def test_messages_of_a_megabyte_are_read_whole_and_in_order(places: Places) -> None:
    stream = places.stream()
    with places.open() as backend, backend.publisher(Address(stream, "stream"), PublishPolicy()) as publisher:
        # small ones first, so that the reader starts with an idea of their size that turns out wrong
        sizes = [10] * 300 + [1_000_000] * 60 + [10] * 300
        assert publish(publisher, [Message(b"%06d" % number + b"x" * size) for number, size in enumerate(sizes)]).confirmed == len(sizes)
        with backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
            found = bodies_of(reader)
    assert [int(body[:6]) for body in found] == list(range(len(sizes)))
    assert [len(body) - 6 for body in found] == sizes


def test_a_stream_has_no_partitions(places: Places) -> None:
    stream = places.stream([b"1"])
    with places.open() as backend, pytest.raises(Unsupported):
        backend.look(Address(stream, "stream"), Span(PerPartition(((0, 0),)), End()))


def test_the_time_of_a_record_is_what_its_publisher_wrote(places: Places) -> None:
    stream = places.stream()
    now = time.time_ns() // 10**9 * 10**9
    with places.open() as backend, backend.publisher(Address(stream, "stream"), PublishPolicy()) as publisher:
        assert publish(publisher, [Message(b"timed", time=now + 123), Message(b"not")]).confirmed == 2
        with backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
            assert [record.time for record in records_of(reader)] == [now, None]


def test_a_broker_that_is_slow_to_show_what_there_is_gets_more_time_to_show_what_came_since_a_time(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def slow(link: Link, stream: str) -> tuple[Edge, Edge] | None:
        time.sleep(0.3)
        return range_of(link, stream)

    def note(link: Link, queue: str, place: Place, at_least: float) -> Edge | None:
        waited.append(at_least)
        return first_at(link, queue, place, at_least)

    monkeypatch.setattr(look, "range_of", slow)
    monkeypatch.setattr(look, "first_at", note)
    stream = Address(places.stream([b"one"]), "stream")
    with places.open() as backend, backend.look(stream, Span(Moment(0), End())) as reader:
        assert bodies_of(reader) == [b"one"]
    # nothing comes of a time that lies behind all there is, and nothing else says so
    assert waited[0] > 0.3
