"""Stopped at once while letters are held: they come back only with the connection, and until then nothing may delete them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from brokercli.backends.dead_letters import LetterReader, Repair, RepairPolicy
from brokercli.backends.rabbitmq import rescuing
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.management import Management
from brokercli.backends.rabbitmq.survivable import LIFTS
from brokercli.terminal.interrupt import StopNow
from tests.backends.rabbitmq_places import Places, records_of
from tests.backends.rabbitmq_redrive import await_end_of_runs, count, letters, lifting, numbered, queue, redrive, wear_out
from tests.brokers.server import wait_until

pytestmark = pytest.mark.rabbitmq
PATIENCE = 60.0
LIMITS: dict[str, dict[str, Any]] = {"lifted": {}, "kept": {"x_delivery_limit": ("l", 1)}}
"""What decides about a limit: the broker's default, which a policy lifts, or an argument, what goes over which is kept."""


@pytest.fixture
def virtual_host(unique: Callable[[str], str]) -> str:
    """One of its own: what a killed run left that was nearly done, the next run on any queue takes away."""
    return unique("host")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker is killed here: the times that are for one that is are not waited."""
    monkeypatch.setattr(rescuing, "FRESH_SECONDS", 0.5)
    monkeypatch.setattr(rescuing, "LASTING_SECONDS", 0.0)


@pytest.fixture(params=sorted(LIMITS))
def worn_out(places: Places, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Three letters that died of a delivery limit: on 4.3 the first return of any kind takes each over the one of its queue."""
    dlq = places.queue("quorum", **LIMITS[request.param])
    work = places.queue("quorum", x_delivery_limit=("l", 21), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    wear_out(places, work, dlq, *numbered(3))
    return work, dlq


def hold(backend: RabbitMQBackend, dlq: str, *, take: str) -> LetterReader | Repair:
    """Take every letter, to look at them or to put them back."""
    if take == "look":
        reader = backend.look_letters(queue(dlq))
        assert len(records_of(reader, 3)) == 3
        return reader
    repair = backend.repair(queue(dlq), RepairPolicy())
    assert len(letters(repair, 3)) == 3
    return repair


def policies(places: Places, dlq: str) -> list[str]:
    """Ours that are there for a queue."""
    return [policy["name"] for policy in lifting(places, dlq)]


def stop_in(monkeypatch: pytest.MonkeyPatch, moment: str, dlq: str) -> None:
    """Have the second signal come in a function of Holding, once it works on this queue."""
    original: Callable[..., Any] = getattr(Holding, moment)

    def stopped(self: Holding, *arguments: Any) -> Any:
        if self._queue == dlq:
            raise StopNow(130)
        return original(self, *arguments)

    monkeypatch.setattr(Holding, moment, stopped)


@pytest.mark.parametrize("moment", ["give_back", "_counts", "_is_back"])
@pytest.mark.parametrize("take", ["look", "repair"])
def test_a_second_signal_while_letters_are_given_back_deletes_none(places: Places, worn_out: tuple[str, str], monkeypatch: pytest.MonkeyPatch, take: str,
                                                                   moment: str) -> None:
    work, dlq = worn_out
    backend = places.open()
    with monkeypatch.context() as patched:
        stop_in(patched, moment, dlq)
        with pytest.raises(StopNow), backend.lift_limit(queue(dlq)) as lift:
            hold(backend, dlq, take=take).close()
    backend.close()
    assert len(policies(places, dlq)) == 1, "what was held in its hands must find the limit lifted"
    assert f"by the policy {LIFTS}" in lift.after
    await_end_of_runs(places, *policies(places, dlq))
    again = places.open()
    wait_until(lambda: sum(source.pending or 0 for source in again.dead_letter_sources() if source.address.name == dlq) == 3, PATIENCE,
               "what was held in one of the two queues")
    with again.lift_limit(queue(dlq)), again.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 3
    assert policies(places, dlq) == []
    assert sorted(places.taken(work)) == numbered(3)
    assert count(places, dlq) == 0


@pytest.mark.parametrize("take", ["look", "repair"])
def test_so_it_is_where_the_signal_comes_before_anything_is_closed(places: Places, worn_out: tuple[str, str], take: str) -> None:
    _, dlq = worn_out
    backend = places.open()
    lift = backend.lift_limit(queue(dlq))
    hold(backend, dlq, take=take)
    # the signal came before anybody knew what there is to close
    lift.close()
    backend.close()
    assert f"by the policy {LIFTS}" in lift.after
    assert len(policies(places, dlq)) == 1
    await_end_of_runs(places, *policies(places, dlq))
    again = places.open()
    wait_until(lambda: sum(source.pending or 0 for source in again.dead_letter_sources() if source.address.name == dlq) == 3, PATIENCE,
               "what was held in one of the two queues")
    with again.lift_limit(queue(dlq)), again.look_letters(queue(dlq)) as reader:
        assert sorted(record.message.body or b"" for record in records_of(reader)) == numbered(3)
    assert policies(places, dlq) == []


def test_a_signal_while_the_limit_is_put_back_leaves_the_rest_to_the_next_run_and_says_so(places: Places, worn_out: tuple[str, str],
                                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    work, dlq = worn_out

    def stopped(self: Management, name: str) -> None:
        raise StopNow(130)

    backend = places.open()
    lift = backend.lift_limit(queue(dlq))
    hold(backend, dlq, take="look").close()
    with monkeypatch.context() as patched:
        patched.setattr(Management, "delete_policy", stopped)
        with pytest.raises(StopNow):
            lift.close()
    backend.close()
    assert f"by the policy {LIFTS}" in lift.after
    assert "the next run takes it away" in lift.after
    # by then it may stand over the queue that kept letters, so it is not found by this one's name
    (left,) = {policy["name"] for policy in places.api(f"policies/{places.virtual_host}")}
    assert left in lift.after
    await_end_of_runs(places, left)
    again = places.open()
    with again.lift_limit(queue(dlq)) as next_lift, again.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 3
    assert "left by runs that were killed" in next_lift.after
    assert places.api(f"policies/{places.virtual_host}") == []
    assert sorted(places.taken(work)) == numbered(3)
