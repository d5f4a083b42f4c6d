"""A client that is over its quota is made to wait by its broker, for minutes: that is said, and nobody else is blamed for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.backends.kafka.connect import Troubles
from brokercli.backends.kafka.failures import lost_for_good
from brokercli.backends.kafka.mute import MuteLeaders
from brokercli.model.address import Address
from brokercli.model.errors import Unreachable
from brokercli.model.position import End, Last, Span, Start
from tests.backends.kafka_topics import IN_PARTS, Topics
from tests.backends.kafka_wire import limit
from tests.brokers.server import wait_until

pytestmark = pytest.mark.kafka

SAID = "broker 1 makes this client wait, because it is over its quota"


@pytest.fixture
def limited(topics: Topics) -> Iterator[KafkaBackend]:
    """Somebody who may write and read a thousand bytes a second."""
    client = topics.name()
    for quota in ("producer_byte_rate", "consumer_byte_rate"):
        limit(topics.address, client, quota, 1000)
    with KafkaBackend(replace(topics.connection, options={"client.id": client})) as backend:
        yield backend


@pytest.fixture
def filled(topics: Topics) -> Address:
    """A topic with more in it than may be read at once."""
    topic = topics.make()
    topics.fill(topic, [b"x" * 1000] * 100)
    return topic


@IN_PARTS
def test_a_publisher_says_that_it_has_to_wait(limited: KafkaBackend, topics: Topics, in_parts: bool) -> None:
    publisher = limited.publisher(topics.make(), PublishPolicy(bodies_only=in_parts))
    with publisher:
        def said() -> bool:
            publisher.send_bodies([b"x" * 60_000])
            publisher.collect(0.1)
            return SAID in publisher.notes

        wait_until(said, 60, "a note of the quota")
        publisher.send_bodies([b"x"] * 3)
        publisher.collect(1.5)
        assert list(publisher.notes).count(SAID) == 1


def test_a_look_says_that_it_has_to_wait_and_no_leader_is_called_silent(limited: KafkaBackend, filled: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(MuteLeaders, "ask", lambda *about: asked.append(about))
    with limited.look(filled, Span(Start(), End())) as reader:
        def said() -> bool:
            reader.read(0.2)
            return SAID in reader.notes

        wait_until(said, 60, "a note of the quota")
        before = len(asked)
        reader.read(1.5)
        assert len(asked) == before
        assert list(reader.notes).count(SAID) == 1


def test_a_position_that_is_not_found_in_time_is_the_quotas_fault(limited: KafkaBackend, filled: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokercli.backends.kafka.backend.LOST_SECONDS", 2.0)

    def found() -> bool:
        limited.look(filled, Span(Last(90), End())).close()
        return False

    # until the quota holds, which it does a moment after it was set, everything comes at once
    with pytest.raises(Unreachable, match=f"sent nothing of {filled.name} for 2 s: {SAID}"):
        wait_until(found, 60, "the quota")


def test_a_connection_that_has_to_wait_is_the_quotas_fault(topics: Topics) -> None:
    client = topics.name()
    limit(topics.address, client, "request_percentage", 0.01)

    def connected() -> bool:
        with KafkaBackend(replace(topics.connection, connect_timeout=4.0, options={"client.id": client})):
            return False

    with pytest.raises(Unreachable, match=r"the broker makes this client wait, because it is over its quota|" + SAID):
        wait_until(connected, 60, "the quota")


def test_what_is_confirmed_no_more_is_the_quotas_fault_and_a_moments_wait_is_none() -> None:
    troubles = Troubles()
    troubles.throttle(1, 0.9)
    assert troubles.throttled == ""
    troubles.throttle(1, 40.0)
    lost = lost_for_good(None, "kafka://here", 30.0, troubles.throttled)
    assert str(lost) == f"kafka://here has confirmed nothing for 30 s: {SAID}."
