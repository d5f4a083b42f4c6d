"""The delivery limit of a queue of letters, lifted for as long as they are taken: nothing is lost, whoever is killed meanwhile."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.model.address import Address
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import Unsupported
from tests.backends.rabbitmq_places import Places, bodies_of
from tests.backends.rabbitmq_redrive import POINTS, await_end_of_runs, break_off, count, letters, lifting, make, numbered, queue, redrive, wear_out
from tests.brokers.server import wait_until
from tests.commandline import run_module

pytestmark = pytest.mark.rabbitmq
PATIENCE = 60.0


def worn_out(places: Places, bodies: list[bytes]) -> tuple[str, str]:
    """Make letters that died of the delivery limit of the work, in a queue that has the usual limit itself: on 4.3 the first return
    of any kind would delete them."""
    dlq = places.queue("quorum")
    work = places.queue("quorum", x_delivery_limit=("l", 21), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))
    wear_out(places, work, dlq, *bodies)
    return work, dlq


def limit(places: Places, dlq: str) -> int:
    """The limit that holds, as 4.3 tells it."""
    return int(places.api(f"queues/{places.virtual_host}/{dlq}?disable_stats=true&enable_queue_totals=true")["delivery_limit"])


def test_letters_that_died_of_a_delivery_limit_are_put_back_and_the_limit_is_back_as_well(versions: Places) -> None:
    work, dlq = worn_out(versions, numbered(3))
    backend = versions.open()
    with backend.lift_limit(queue(dlq)) as lift, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert "delivery limit of 20" in lift.before
        assert len(lifting(versions, dlq)) == 1
        assert redrive(repair).confirmed == 3
    assert lifting(versions, dlq) == []
    assert "was lifted meanwhile" in lift.after
    assert versions.taken(work) == numbered(3)
    with pytest.raises(Unsupported, match="delivery limit of 20"):
        backend.look_letters(queue(dlq))


def test_looks_with_the_limit_lifted_delete_no_letter(versions: Places) -> None:
    _, dlq = worn_out(versions, numbered(3))
    backend = versions.open()
    for _ in range(4):
        with backend.lift_limit(queue(dlq)), backend.look_letters(queue(dlq)) as reader:
            assert bodies_of(reader) == numbered(3)
    assert count(versions, dlq) == 3
    with backend.lift_limit(queue(dlq)), backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert [record.message.body for record in letters(repair)] == numbered(3)


@pytest.mark.parametrize("point", POINTS)
def test_killed_with_letters_in_hand_that_one_return_would_delete_and_run_again_none_is_lost(versions: Places, point: str) -> None:
    work, dlq = worn_out(versions, numbered(24))
    killed = run_module("tests.backends.rabbitmq_redrive", versions.broker.url, versions.broker.management, dlq, point, "32", "3")
    assert killed.code == 128 + signal.SIGKILL, killed.stderr
    # the parts are 1, 8, 8 and 7
    done = 17 if point == "taken out" else 9
    wait_until(lambda: count(versions, dlq) == 24 - done, PATIENCE, "what was held back in the queue")
    assert len(lifting(versions, dlq)) == 1, "what it was killed with in its hands must find the limit lifted"
    await_end_of_runs(versions, lifting(versions, dlq)[0]["name"])
    backend = versions.open()
    with backend.lift_limit(queue(dlq)) as lift, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 24 - done
    assert lifting(versions, dlq) == []
    assert "1 left by runs that were killed" in lift.after
    found = Counter(versions.taken(work))
    assert set(found) == set(numbered(24))
    assert sum(found.values()) - 24 == (8 if point == "confirmed" else 0)


def test_of_two_runs_the_one_that_ends_first_leaves_the_limit_lifted_for_the_other(places: Places) -> None:
    work, dlq = worn_out(places, numbered(6))
    first, second = places.open(), places.open()
    with second.lift_limit(queue(dlq)) as longer:
        with first.lift_limit(queue(dlq)) as shorter, first.repair(queue(dlq), RepairPolicy(batch=4)) as repair:
            letters(repair, 2)
            assert len(lifting(places, dlq)) == 2
        assert "is gone" in shorter.after
        assert [limit(places, dlq), len(lifting(places, dlq))] == [-1, 1]
        with second.repair(queue(dlq), RepairPolicy()) as repair:
            assert redrive(repair).confirmed == 6
    assert "killed" not in longer.after
    assert (limit(places, dlq), lifting(places, dlq)) == (20, [])
    assert sorted(places.taken(work)) == numbered(6)


def test_a_limit_that_is_lifted_for_another_run_is_none_to_rely_on(places: Places) -> None:
    _, dlq = worn_out(places, numbered(2))
    backend = places.open()
    with places.open().lift_limit(queue(dlq)):
        with pytest.raises(Unsupported, match="only as long as another run of brokercli lasts") as refusal:
            backend.look_letters(queue(dlq))
        with pytest.raises(Unsupported, match="only as long as"):
            backend.repair(queue(dlq), RepairPolicy())
    assert refusal.value.hint == "--lift-limit lifts it for this run as well"
    assert count(places, dlq) == 2


def test_what_the_present_policy_defines_holds_meanwhile_too(places: Places) -> None:
    dlq = places.queue("quorum")
    policy = f"policies/{places.virtual_host}/present-{dlq}"
    places.api(policy, "PUT", pattern=f"^{dlq}$", definition={"max-length": 7, "delivery-limit": 9}, priority=1200)
    try:
        with places.open().lift_limit(queue(dlq)):
            (ours,) = lifting(places, dlq)
            facts = places.api(f"queues/{places.virtual_host}/{dlq}?disable_stats=true&enable_queue_totals=true")
        assert (ours["definition"], ours["priority"]) == ({"max-length": 7, "delivery-limit": -1}, 1201)
        assert facts["effective_policy_definition"] == {"max-length": 7, "delivery-limit": -1}
        assert limit(places, dlq) == 9
    finally:
        places.api(policy, "DELETE")


def test_a_limit_of_an_operator_is_not_lifted_and_that_is_said(versions: Places) -> None:
    places = versions
    dlq = places.queue("quorum")
    policy = f"operator-policies/{places.virtual_host}/firm-{dlq}"
    places.api(policy, "PUT", **{"pattern": f"^{dlq}$", "definition": {"delivery-limit": 7}, "apply-to": "quorum_queues"})
    try:
        with pytest.raises(Unsupported, match="an operator's policy keeps it at 7") as not_lifted:
            places.open().lift_limit(queue(dlq))
        with pytest.raises(Unsupported, match="a delivery limit of 7") as not_looked_at:
            places.open().look_letters(queue(dlq))
        # a policy of a user's own would change nothing
        for refused in (not_lifted, not_looked_at):
            assert "list_operator_policies" in refused.value.hint
            assert "set_policy" not in refused.value.hint
            assert "--lift-limit" not in refused.value.hint
    finally:
        places.api(policy, "DELETE")
    assert lifting(places, dlq) == []


def test_nothing_is_changed_where_nothing_is_to_be_lifted(places: Places) -> None:
    for name in (make(places, "classic"), make(places, "quorum"), make(places, "stream")):
        with places.open().lift_limit(places.open().resolve(Address(name), "look")) as lift:
            assert lifting(places, name) == []
        assert (lift.before, lift.after) == ("", "")


@pytest.fixture
def not_permitted(places: Places, unique: Callable[[str], str]) -> Any:
    """Make a login with so many tags and permissions."""
    made: list[str] = []

    def login(tags: str, configure: str = ".*") -> Connection:
        user = unique("user")
        places.api(f"users/{user}", "PUT", password="secret", tags=tags)
        made.append(user)
        places.api(f"permissions/{places.virtual_host}/{user}", "PUT", configure=configure, write=".*", read=".*")
        return replace(places.connection, user=user, password=Secret("secret"))

    yield login
    for user in made:
        places.api(f"users/{user}", "DELETE")


def test_without_the_permission_to_change_policies_it_is_said_what_to_do(places: Places, not_permitted: Callable[..., Connection]) -> None:
    dlq = places.queue("quorum")
    places.put("", dlq, numbered(2))
    with pytest.raises(Unsupported, match=r"No permission for writing the policy brokercli-lift-.*policymaker") as refusal:
        places.open(not_permitted("management")).lift_limit(queue(dlq))
    assert "rabbitmqctl set_policy" in str(refusal.value.hint)
    with pytest.raises(Unsupported, match="may not declare queues named brokercli-lift-"):
        places.open(not_permitted("policymaker", configure="^q-")).lift_limit(queue(dlq))
    assert lifting(places, dlq) == []
    assert count(places, dlq) == 2


def test_after_a_connection_that_broke_the_limit_stays_lifted_until_the_next_run(places: Places) -> None:
    work, dlq = worn_out(places, numbered(6))
    lift = break_off(places, dlq)
    assert "stays lifted by the policy" in lift.after
    assert len(lifting(places, dlq)) == 1
    wait_until(lambda: count(places, dlq) == 6, PATIENCE, "all letters back in the queue")
    backend = places.open()
    with backend.lift_limit(queue(dlq)), backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 6
    assert lifting(places, dlq) == []
    assert places.taken(work) == numbered(6)
