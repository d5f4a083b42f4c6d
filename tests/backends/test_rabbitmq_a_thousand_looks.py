"""A thousand looks at dead letters on each RabbitMQ that counts returns in its own way: depth, order and content stay as they were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from brokercli.backends.contract import Reader
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.model.address import Address
from brokercli.model.message import Message
from tests.backends.rabbitmq_places import Places, records_of
from tests.backends.rabbitmq_redrive import count, fail, make, numbered

pytestmark = pytest.mark.rabbitmq
LOOKS = 1000
KINDS = ("classic", "quorum", "stream")
# what a quorum queue counts, and tells with each delivery
_COUNTS = ("x-acquired-count", "x-delivery-count")


def letters_in(places: Places, kind: str) -> str:
    """Make a queue or stream that holds six dead letters."""
    dlq = make(places, kind)
    work = make(places, "classic", x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    fail(places, work, numbered(6), {"headers": {"tenant": "acme"}, "message_id": "m-1", "content_type": "text/plain"})
    if kind == "stream":
        # how many it holds it says too late to be asked for by `fail`
        assert len(places.wire.read_stream(dlq, 6)) == 6
    return dlq


def seen(reader: Reader) -> list[Message]:
    """Read everything a look sees, less the broker's own counts of it."""
    return [replace(record.message, headers=tuple(header for header in record.message.headers if header[0] not in _COUNTS)) for record in records_of(reader)]


def look_often(backend: RabbitMQBackend, name: str) -> list[Message]:
    """Look a thousand times, and return what each time was the same."""
    source = backend.resolve(Address(name), "look")
    with backend.look_letters(source) as reader:
        first = seen(reader)
    for number in range(1, LOOKS):
        with backend.look_letters(source) as reader:
            assert seen(reader) == first, f"look {number} at {name} saw something else"
    return first


@pytest.mark.timeout(600)
def test_a_thousand_looks_leave_depth_order_and_content_as_they_were(versions: Places) -> None:
    names = [letters_in(versions, kind) for kind in KINDS]
    backends = [versions.open() for _ in KINDS]
    with ThreadPoolExecutor() as together:
        for messages in together.map(look_often, backends, names):
            assert [message.body for message in messages] == numbered(6)
    for name in names[:2]:
        assert count(versions, name) == 6
        assert versions.taken(name) == numbered(6)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_where_what_a_look_returns_comes_behind_the_rest_it_does_not_say_that_the_order_stays(versions: Places, kind: str) -> None:
    dlq = letters_in(versions, kind)
    with versions.open().look_letters(Address(dlq, "queue")) as reader:
        records_of(reader, 6)
        versions.put("", dlq, [b"new"])
    assert (versions.taken(dlq) == [*numbered(6), b"new"]) is ("their order" in reader.side_effects)
