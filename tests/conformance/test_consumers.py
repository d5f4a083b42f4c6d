"""Consumers are seen as they are, and moved only as planned: what is skipped or read again is said before, never by surprise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from brokercli.backends.consumers import Consumers
from brokercli.backends.contract import Backend
from brokercli.model.address import parse_address
from brokercli.model.capability import Capability
from brokercli.model.consumption import Consumption, Lag
from brokercli.model.errors import Failed, NotFound, OutOfRange, Unsupported
from brokercli.model.position import NANOSECONDS, End, Last, Moment, Number, Position, Start
from tests.brokers.server import wait_until
from tests.conformance.driving import PATIENCE, says
from tests.native.harness import Broker, Resource

needs = pytest.mark.needs
HOUR = 3600 * NANOSECONDS
DELETES_WHAT_IS_SKIPPED = ("interest stream",)
"""It keeps what somebody waits for: a consumer moves back there, never forward."""


def behind(lags: Sequence[Lag]) -> int:
    """Return the lag of all lines together."""
    return sum(lag.lag or 0 for lag in lags)


def named(resource: Resource) -> str:
    """Return the name of a resource's consumer."""
    assert resource.consumer is not None
    return resource.consumer


def fill(resource: Resource, stored: int, finished: int) -> str:
    """Put messages into a resource and have its consumer finish the first of them; return its name."""
    resource.put([b"%d" % number for number in range(stored)])
    resource.finish(finished)
    return named(resource)


def found(consumers: Consumers, name: str) -> Consumption | None:
    """Return a consumer as a list shows it."""
    listed = list(consumers.find([name]))
    assert [one.name for one in listed] in ([], [name])
    return next(iter(listed), None)


@needs(Capability.CONSUMERS)
def test_a_consumer_is_found_by_name_and_pattern_with_what_it_reads(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 1, 1)
    with resource.attend(), broker.open() as backend:
        consumers = backend.consumers()
        wait_until(lambda: name in consumers.names(), PATIENCE, name)
        wait_until(lambda: found(consumers, name), PATIENCE, f"{name} in the list")
        for pattern in (f"{name[:-1]}?", f"*{name[4:]}"):
            assert [one.name for one in consumers.find(["nothing-like-it", pattern])] == [name]
        assert list(consumers.find([f"{name}?"])) == []
        one = found(consumers, name)
        assert one is not None
        assert one.kind
        assert one.reads
        for address in one.reads:
            assert backend.resolve(parse_address(address), "describe")


@needs(Capability.CONSUMERS)
def test_an_active_member_is_counted_and_explained(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 1, 1)
    with resource.attend(), broker.open() as backend:
        consumers = backend.consumers()

        def counted() -> bool:
            one = found(consumers, name)
            return one is not None and one.members == 1

        wait_until(counted, PATIENCE, "the member in the list")
        description = consumers.describe(name)
        assert description.name == name
        assert description.facts or description.sections


@needs(Capability.CONSUMERS)
def test_the_lag_is_what_is_stored_and_not_finished(broker: Broker, resource: Resource, row: str) -> None:
    name = fill(resource, 5, 2)
    with broker.open() as backend:
        consumers = backend.consumers()
        if row == "stream" and not broker.support(row, Capability.SEEK_CONSUMERS):
            # where the consumer keeps its place itself, how far it is behind is not claimed
            assert {lag.lag for lag in consumers.lag(name)} == {None}
            return
        # RabbitMQ's counters are as old as their last refresh
        wait_until(lambda: behind(consumers.lag(name)) == 3, PATIENCE, "a lag of 3")
        for lag in consumers.lag(name):
            assert backend.resolve(parse_address(lag.source), "look")
            assert lag.position is None or lag.end is None or lag.end - lag.position == 3
            assert lag.start is None or lag.end is None or lag.start <= lag.end
        wait_until(lambda: (one := found(consumers, name)) is not None and one.lag == 3, PATIENCE, "a lag of 3 in the list")
        resource.finish(3)
        wait_until(lambda: behind(consumers.lag(name)) == 0, PATIENCE, "a lag of 0")


@needs(Capability.CONSUMERS, Capability.PARTITION)
def test_each_partition_has_a_line_in_order(broker: Broker, row: str) -> None:
    resource = broker.make(row, partitions=3)
    name = fill(resource, 4, 1)
    with broker.open() as backend:
        lags = backend.consumers().lag(name)
    assert [(lag.partition, lag.position, lag.end, lag.lag) for lag in lags] == [(0, 1, 4, 3), (1, 0, 0, 0), (2, 0, 0, 0)]


@needs(Capability.CONSUMERS)
def test_seeing_consumers_changes_nothing(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 5, 2)
    before = resource.state(), resource.consumer_state()
    with broker.open() as backend:
        consumers = backend.consumers()
        wait_until(lambda: name in consumers.names(), PATIENCE, name)
        list(consumers.find())
        consumers.describe(name)
        consumers.lag(name)
    assert (resource.state(), resource.consumer_state()) == before


@needs(Capability.CONSUMERS)
@pytest.mark.parametrize("ask", ["describe", "lag"])
def test_a_consumer_that_is_not_there_is_said_to_be_missing(broker: Broker, resource: Resource, ask: str) -> None:
    name = fill(resource, 1, 1)
    with broker.open() as backend, pytest.raises(NotFound):
        getattr(backend.consumers(), ask)(f"{name}-missing")


@needs(Capability.SEEK_CONSUMERS)
@pytest.mark.parametrize("position", [Start(), End(), Last(2), Moment(0), Moment(2 * 10**18)], ids=str)
def test_a_seek_goes_where_the_plan_says_and_the_undo_leads_back(broker: Broker, resource: Resource, row: str, position: Position) -> None:
    name = fill(resource, 6, 3)
    with broker.open() as backend:
        consumers = backend.consumers()
        before = resource.consumer_state()
        if row in DELETES_WHAT_IS_SKIPPED and position not in (Start(), Moment(0)):
            with pytest.raises(Unsupported, match="deletes what it skips"):
                consumers.plan_seek(name, position)
            assert resource.consumer_state() == before
            return
        planned = consumers.plan_seek(name, position)
        assert resource.consumer_state() == before, "a plan changes nothing"
        (step,), (lag,) = planned.steps, consumers.lag(name)
        assert planned.active == ()
        assert step.have == lag.position
        assert lag.end is not None
        assert lag.lag is not None
        expected = {"start": lag.start, "end": lag.end, "-2": lag.end - 2}
        want = expected.get(str(position), lag.start if position == Moment(0) else lag.end)
        assert step.want == want
        assert step.skipped == step.want - (step.have or 0)
        if step.want != step.have:
            consumers.seek(planned)
        assert behind(consumers.lag(name)) == lag.end - step.want
        back = consumers.plan_seek(name, Number(step.have or 0))
        if step.want != step.have:
            consumers.seek(back)
        assert behind(consumers.lag(name)) == lag.lag
    resource.finish(3)
    with broker.open() as backend:
        assert behind(backend.consumers().lag(name)) == 0


@needs(Capability.SEEK_CONSUMERS)
def test_a_seek_is_refused_while_members_are_active_and_says_who(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 2, 2)
    before = resource.consumer_state()
    with resource.attend(), broker.open() as backend:
        consumers = backend.consumers()
        planned = consumers.plan_seek(name, End() if broker.name == "memory" else Start())
        assert len(planned.active) == 1
        assert planned.active[0]
        with pytest.raises(Failed):
            consumers.seek(planned)
    assert resource.consumer_state() == before


@needs(Capability.SEEK_CONSUMERS)
def test_a_seek_is_refused_once_the_consumer_is_elsewhere_than_planned_on(broker: Broker, resource: Resource, row: str) -> None:
    name = fill(resource, 6, 2)
    with broker.open() as backend:
        consumers = backend.consumers()
        planned = consumers.plan_seek(name, Start() if row in DELETES_WHAT_IS_SKIPPED else End())
        resource.finish(1)
        before = resource.consumer_state()
        with pytest.raises(Failed):
            consumers.seek(planned)
        assert resource.consumer_state() == before


@needs(Capability.SEEK_CONSUMERS)
def test_a_position_that_is_not_stored_is_refused_with_what_is(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 5, 4)
    resource.forget_before(3)
    before = resource.consumer_state()
    with broker.open() as backend:
        for number in (1, 10**6):
            with pytest.raises(OutOfRange) as refused:
                backend.consumers().plan_seek(name, Number(number))
            assert "--from" not in str(refused.value.hint), "a seek has no --from"
    assert resource.consumer_state() == before


@needs(Capability.SEEK_CONSUMERS)
def test_what_was_removed_before_it_was_read_shows_as_a_position_below_the_start(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 8, 2)
    resource.forget_before(6)
    with broker.open() as backend:
        (lag,) = backend.consumers().lag(name)
        assert lag.end is not None
        assert (lag.start, lag.lag) == (6, lag.end - 6)
        # a broker may move a consumer itself when it removes what was not read
        assert lag.position is not None
        assert lag.position <= 6


@needs(Capability.PAUSE_CONSUMERS)
def test_a_pause_stops_deliveries_until_it_is_over_or_resumed(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 4, 1)
    with broker.open() as backend:
        consumers = backend.consumers()
        consumers.pause(name, time.time_ns() + HOUR)
        assert resource.consumer_state()["paused"] is True
        one = found(consumers, name)
        assert one is not None
        assert "paused" in one.state.lower()
        consumers.resume(name)
        consumers.resume(name)
        assert not resource.consumer_state().get("paused")
    resource.finish(3)


@needs(Capability.SEEK_CONSUMERS)
def test_a_removed_consumer_is_forgotten_and_no_message_with_it(broker: Broker, resource: Resource, row: str) -> None:
    name = fill(resource, 4, 1)
    bodies = [stored.body for stored in resource.stored(3)]
    with broker.open() as backend:
        consumers = backend.consumers()
        consumers.remove(name)
        assert resource.consumer_state() is None
        assert found(consumers, name) is None
        for attempt in (consumers.goes_with, consumers.remove):
            with pytest.raises(NotFound):
                attempt(name)
    if row != "interest stream":  # which keeps what somebody is interested in
        assert [stored.body for stored in resource.stored(3)] == bodies


@needs(Capability.SEEK_CONSUMERS)
def test_a_consumer_at_work_is_not_removed(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 1, 1)
    before = resource.consumer_state()
    with resource.attend(), broker.open() as backend:
        for attempt in (backend.consumers().goes_with, backend.consumers().remove):
            with pytest.raises(Failed, match="at work"):
                attempt(name)
    assert resource.consumer_state() == before


ATTEMPTS: dict[Capability, list[Callable[[Backend, str], object]]] = {
    Capability.SEEK_CONSUMERS: [lambda backend, name: backend.consumers().plan_seek(name, Start()),
                                lambda backend, name: backend.consumers().plan_seek(name, Number(0))],
    Capability.PAUSE_CONSUMERS: [lambda backend, name: backend.consumers().pause(name, time.time_ns() + HOUR),
                                 lambda backend, name: backend.consumers().resume(name)],
}


@pytest.mark.parametrize("capability", ATTEMPTS)
def test_what_consumers_cannot_have_done_to_them_is_refused_with_the_reason(broker: Broker, capability: Capability) -> None:
    for row, answers in broker.descriptor.support.items():
        # a subject has no consumers of its own: those of the stream that captures it are asked for by that stream's name
        if answers[capability] or not answers[Capability.CONSUMERS] or row == "subject":
            continue
        resource = broker.make(row)
        name = fill(resource, 2, 1)
        before = resource.consumer_state()
        with broker.open() as backend:
            for attempt in ATTEMPTS[capability]:
                with pytest.raises(Unsupported) as refusal:
                    attempt(backend, name)
                assert says(str(refusal.value), answers[capability]), f"{row}: {refusal.value}"
        assert resource.consumer_state() == before


@needs(Capability.CONSUMERS, without=(Capability.SEEK_CONSUMERS,), where=lambda broker, row: row != "subject")
def test_where_nothing_of_a_consumer_is_kept_nothing_is_removed(broker: Broker, resource: Resource) -> None:
    name = fill(resource, 2, 1)
    before = resource.consumer_state()
    with broker.open() as backend:
        for attempt in (backend.consumers().goes_with, backend.consumers().remove):
            with pytest.raises(Unsupported):
                attempt(name)
    assert resource.consumer_state() == before
