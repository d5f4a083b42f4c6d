"""A broker that lets a connection have fewer channels than are needed (channel_max): it is said to, before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq import link as module
from brokercli.model.address import Address
from brokercli.model.errors import Failed
from brokercli.model.message import Message
from brokercli.model.position import End, Span, Start
from tests.backends.rabbitmq_places import Places, bodies_of
from tests.backends.rabbitmq_redrive import lifting, numbered, queue, redrive

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def few_channels(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have connections negotiate so many; the lower of what both sides say holds."""
    original = module.parameters

    def limit(count: int) -> None:
        def limited(connection: Any) -> Any:
            made = original(connection)
            made.channel_max = count
            return made
        monkeypatch.setattr(module, "parameters", limited)
    return limit


@pytest.mark.parametrize("channels", [1, 2])
def test_where_letters_are_taken_nothing_is_lifted_before_that_is_said(places: Places, few_channels: Callable[[int], None], channels: int) -> None:
    dlq = places.queue("quorum")
    places.put("", dlq, numbered(3))
    few_channels(channels)
    backend = places.open()
    said = f"lets a connection have {channels} channels? \\(channel_max\\), and this takes 3"
    with pytest.raises(Failed, match=said):
        backend.lift_limit(queue(dlq))
    with pytest.raises(Failed, match=said):
        backend.repair(queue(dlq), RepairPolicy())
    assert lifting(places, dlq) == []


def test_a_stream_that_cannot_be_read_is_not_said_to_be_one_that_does_not_answer(places: Places, few_channels: Callable[[int], None]) -> None:
    stream = places.stream([b"a", b"b"])
    few_channels(1)
    backend = places.open()
    with pytest.raises(Failed, match=r"too few channels \(channel_max\): reading the stream"):  # noqa: SIM117
        with backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
            bodies_of(reader)


def test_with_three_all_of_it_works(places: Places, few_channels: Callable[[int], None]) -> None:
    home, dlq, stream = places.queue(), places.queue("quorum"), places.stream([b"a", b"b"])
    places.put("", dlq, numbered(3))
    few_channels(3)
    backend = places.open()
    with backend.look(Address(stream, "stream"), Span(Start(), End())) as reader:
        assert bodies_of(reader) == [b"a", b"b"]
    with backend.lift_limit(queue(dlq)) as lift, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair, queue(home)).confirmed == 3
    assert "is gone" in lift.after
    assert lifting(places, dlq) == []


def test_one_that_can_publish_with_two_does(places: Places, few_channels: Callable[[int], None]) -> None:
    home = places.queue()
    few_channels(2)
    with places.open().publisher(queue(home), PublishPolicy()) as publisher:
        publisher.send([Message(b"a")])
        assert publisher.finish(30).confirmed == 1
    assert places.taken(home) == [b"a"]
