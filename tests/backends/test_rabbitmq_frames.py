"""Frames in bulk: what is read from them does not depend on how they are cut, nor on what came before, and what is written reads the same."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import ConnectionParameters
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter

from brokercli.backends.rabbitmq.bulk_frames import BulkConnection, Delivery, Returned, Wrapping

METHOD, HEADER, BODY = 1, 2, 3
DELIVER, PUBLISH, RETURN = 60, 40, 50
# few of each, so that runs of deliveries that are alike come about, and end
NAMES = st.sampled_from([b"orders", b"invoices", b"payments"])
PROPERTIES = st.sampled_from([b"\0\0", b"\x10\0\2", b"\x10\x80\2\3m-1", b"\x10\x80\2\3m-2", b"\x10\x80\2\4m-\xce\3"])
BODIES = st.sampled_from([b"", b"\xce\3\0\1\0\0\0\1x\xce", b"x" * 40, b"y" * 40, b"z" * 41])
DELIVERIES = st.builds(Delivery, st.integers(1, 2**64 - 1), st.sampled_from([False, False, False, True]), NAMES, NAMES, PROPERTIES, BODIES)
PIECE = 24
"""What a body is cut into that is longer."""


class Sink:
    """Takes what comes, in order."""

    def __init__(self) -> None:
        self.came: list[Delivery | Returned | tuple[int, bool, bool]] = []

    def delivered(self, deliveries: list[Delivery]) -> None:
        assert deliveries
        self.came += deliveries

    def returned(self, message: Returned) -> None:
        self.came.append(message)

    def settled(self, tag: int, multiple: bool, confirmed: bool) -> None:
        self.came.append((tag, multiple, confirmed))


@pytest.fixture(scope="module")
def services() -> Iterator[SelectorIOServicesAdapter]:
    found = SelectorIOServicesAdapter(IOLoop())
    yield found
    found.close()


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def content(properties: bytes, body: bytes, channel: int = 1, *, piece: int = 10**6) -> bytes:
    head = frame(HEADER, struct.pack(">HHQ", 60, 0, len(body)) + properties, channel)
    return head + b"".join(frame(BODY, body[at:at + piece], channel) for at in range(0, len(body), piece))


def delivered(delivery: Delivery, consumer: bytes, channel: int, piece: int = 10**6) -> bytes:
    place = struct.pack(">QB", delivery.tag, delivery.redelivered) + short(delivery.exchange) + short(delivery.routing_key)
    return frame(METHOD, struct.pack(">HH", 60, DELIVER) + short(consumer) + place, channel) + content(delivery.properties, delivery.body, channel, piece=piece)


def read(services: SelectorIOServicesAdapter, data: bytes, cuts: list[int]) -> dict[int, Sink]:
    connection = BulkConnection(ConnectionParameters(), services, *[lambda *arguments: None] * 4)
    sinks = {1: Sink(), 2: Sink()}
    connection.sinks.update(sinks)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, stop in pairwise(places):
        connection._on_data_available(data[start:stop])
    return sinks


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[Delivery, bytes, int, int]]:
    """Deliveries of which each differs from the one before in its tag, and in at most one thing more; to whom, on which channel, in what pieces."""
    delivery, consumer, channel, piece = draw(DELIVERIES), b"one", 1, 10**6
    came = []
    for change in draw(st.lists(st.sampled_from(["", "", "body", "properties", "place", "consumer", "channel", "piece"]), min_size=3, max_size=12)):
        other = draw(DELIVERIES)
        match change:
            case "body":
                delivery = delivery._replace(body=other.body)
            case "properties":
                delivery = delivery._replace(properties=other.properties)
            case "place":
                delivery = delivery._replace(redelivered=other.redelivered, exchange=other.exchange, routing_key=other.routing_key)
            case "consumer":
                consumer = draw(st.sampled_from([b"", b"one", b"two"]))
            case "channel":
                channel = 3 - channel
            case "piece":
                piece = draw(st.sampled_from([PIECE, 10**6]))
        delivery = delivery._replace(tag=other.tag)
        came.append((delivery, consumer, channel, piece))
    return came


@given(runs(), st.lists(st.integers(0, 5000), max_size=4))
def test_deliveries_are_read_as_they_came_however_the_octets_are_cut(services: SelectorIOServicesAdapter, came: list[tuple[Delivery, bytes, int, int]],
                                                                     cuts: list[int]) -> None:
    sinks = read(services, b"".join(delivered(*one) for one in came), cuts)
    for number, sink in sinks.items():
        assert sink.came == [delivery for delivery, _, channel, _ in came if channel == number]


@given(DELIVERIES, st.integers(0, 3), st.lists(st.integers(0, 5000), max_size=6))
def test_what_comes_between_deliveries_that_are_alike_is_told_as_well(services: SelectorIOServicesAdapter, delivery: Delivery, before: int,
                                                                      cuts: list[int]) -> None:
    confirm = frame(METHOD, struct.pack(">HHQB", 60, 80, 7, 1))
    back = frame(METHOD, struct.pack(">HHH", 60, RETURN, 312) + short(b"NO_ROUTE") + short(delivery.exchange) + short(delivery.routing_key))
    data = delivered(delivery, b"one", 1) * before + back + content(delivery.properties, delivery.body) + delivered(delivery, b"one", 1) * 2
    (sink, _) = read(services, data + confirm + delivered(delivery, b"one", 1), cuts).values()
    returned = Returned(312, b"NO_ROUTE", delivery.exchange, delivery.routing_key, delivery.properties, delivery.body)
    assert sorted(sink.came, key=repr) == sorted([*[delivery] * (before + 3), returned, (7, True, True)], key=repr)


@given(NAMES, NAMES, st.lists(st.tuples(PROPERTIES, BODIES), min_size=1), st.sampled_from([PIECE + 8, 131_072]))
def test_messages_that_go_the_same_way_are_written_whole(exchange: bytes, routing_key: bytes, messages: list[tuple[bytes, bytes]], frame_max: int) -> None:
    wrapping = Wrapping(3, frame_max, exchange, routing_key)
    frames: list[bytes] = []
    for properties, body in messages:
        wrapping.add(properties, body, frames)
    method = frame(METHOD, struct.pack(">HHH", 60, PUBLISH, 0) + short(exchange) + short(routing_key) + b"\1", 3)
    assert b"".join(frames) == b"".join(method + content(properties, body, 3, piece=frame_max - 8) for properties, body in messages)
    assert wrapping.fits(routing_key)
    assert not wrapping.fits(routing_key + b"\0")
