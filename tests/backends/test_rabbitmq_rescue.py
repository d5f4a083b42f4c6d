"""The delivery limit of a queue of letters that is its own argument, which no policy lifts: what goes over it is kept, and put back."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pika
import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq import rescuing
from brokercli.backends.rabbitmq.rescuing import RescuingLift
from brokercli.backends.rabbitmq.survivable import LIFTS
from brokercli.dialects import recognise
from brokercli.model.connection import Connection, Secret
from brokercli.model.dead_letter import KEPT_DEATHS
from brokercli.model.errors import Unsupported
from brokercli.model.message import Header, Record
from tests.backends.rabbitmq_places import Places, records_of
from tests.backends.rabbitmq_redrive import (
    POINTS,
    RESCUE_POINTS,
    await_end_of_runs,
    break_off,
    count,
    fail,
    letters,
    lifting,
    moves_home,
    numbered,
    queue,
    redrive,
    wear_out,
)
from tests.brokers.server import wait_until
from tests.commandline import run_module

pytestmark = pytest.mark.rabbitmq
PATIENCE = 60.0
OURS = {KEPT_DEATHS, "x-delivery-count", "x-acquired-count"}
"""Headers that a letter that was put back has or lacks."""


def argued(places: Places, limit: int = 1, **arguments: Any) -> str:
    """Make a queue of letters that has so low a limit as its argument."""
    return places.queue("quorum", x_delivery_limit=("l", limit), **arguments)


def work_for(places: Places, dlq: str) -> str:
    """Make a queue whose messages die of a delivery limit or of a reject, and go there."""
    return places.queue("quorum", x_delivery_limit=("l", 2), x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", dlq.encode()))


def worn_out(places: Places, bodies: list[bytes], limit: int = 1) -> tuple[str, str]:
    """Make letters that died of a delivery limit: on 4.3 the first return of any kind sends each over the one of its queue."""
    dlq = argued(places, limit)
    work = work_for(places, dlq)
    wear_out(places, work, dlq, *bodies)
    return work, dlq


def left(places: Places, dlq: str) -> tuple[list[str], list[str]]:
    """Policies of ours that are there for a queue, and their queues."""
    policies = [policy["name"] for policy in lifting(places, dlq)]
    found = places.api(f"queues/{places.virtual_host}?disable_stats=true")
    queues = [facts["name"] for facts in found if facts["name"].startswith(LIFTS) and facts["type"] == "quorum"]
    return policies, [name for name in queues if any(name.startswith(policy) for policy in policies)]


def content(record: Record) -> tuple[bytes | None, tuple[Header, ...], dict[str, Any]]:
    """Of a letter, without what the broker counts and what we write on one that was put back."""
    return record.message.body, tuple(header for header in record.message.headers if header[0] not in OURS), dict(record.message.properties)


def killed(places: Places, dlq: str, point: str, batch: int = 32, nth: int = 2, take: str = "all") -> str:
    """Have a redrive kill itself; return the name of its policy once the broker counts it as gone."""
    ended = run_module("tests.backends.rabbitmq_redrive", places.broker.url, places.broker.management, dlq, point, str(batch), str(nth), take)
    assert ended.code == 128 + signal.SIGKILL, ended.stderr
    policy = f"{LIFTS}{ended.stdout.decode().rpartition(LIFTS)[2].split()[0].rstrip(';')}"
    await_end_of_runs(places, policy)
    return policy


def rescued(places: Places, dlq: str) -> int:
    """How many letters lie in queues of runs."""
    return sum(count(places, name) for name in left(places, dlq)[1])


Login = Callable[..., Connection]


@pytest.fixture
def virtual_host(unique: Callable[[str], str]) -> str:
    """One of its own: what a killed run left that was nearly done, the next run on any queue takes away."""
    return unique("host")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are killed here, which have what they held given back at once: the times that are for a broker that is killed are not waited."""
    monkeypatch.setattr(rescuing, "FRESH_SECONDS", 0.5)
    monkeypatch.setattr(rescuing, "LASTING_SECONDS", 0.0)


@pytest.fixture
def login(places: Places, unique: Callable[[str], str]) -> Iterator[Login]:
    """Make a login with so many tags and permissions."""
    made: list[str] = []

    def make(tags: str, **allowed: str) -> Connection:
        user = unique("user")
        places.api(f"users/{user}", "PUT", password="secret", tags=tags)
        made.append(user)
        places.api(f"permissions/{places.virtual_host}/{user}", "PUT", **({"configure": ".*", "write": ".*", "read": ".*"} | allowed))
        return replace(places.connection, user=user, password=Secret("secret"))

    yield make
    for user in made:
        places.api(f"users/{user}", "DELETE")


def test_letters_are_put_back_and_nothing_of_ours_is_left(versions: Places) -> None:
    work, dlq = worn_out(versions, numbered(3))
    fail(versions, work, [b"rejected"])
    backend = versions.open()
    with backend.lift_limit(queue(dlq)) as lift, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert f"more often than its delivery limit of 1 allows is kept in the queue {LIFTS}" in lift.before
        assert [len(names) for names in left(versions, dlq)] == [1, 1]
        assert redrive(repair).confirmed == 4
    assert left(versions, dlq) == ([], [])
    assert "no letter went over the delivery limit of 1" in lift.after
    assert versions.taken(work) == [*numbered(3), b"rejected"]


def test_looks_leave_every_letter_as_it_was(versions: Places) -> None:
    work, dlq = worn_out(versions, numbered(2))
    fail(versions, work, [b"rejected"], {"headers": {"a": 1, "z": "last"}, "correlation_id": "7"})
    versions.put("", dlq, [b"plain"], (("headers", (("b", ("I", 2)),)), ("delivery_mode", 2), ("message_id", b"m")))
    backend = versions.open()
    seen, over = [], 0
    for _ in range(5):
        with backend.lift_limit(queue(dlq)) as lift, backend.look_letters(queue(dlq)) as reader:
            seen.append(sorted(map(content, records_of(reader)), key=repr))
        over += "put back at the end" in lift.after
    assert over >= 1, "nothing went over the limit, so nothing was shown"
    assert len(seen[0]) == 4
    assert seen == seen[:1] * 5
    assert left(versions, dlq) == ([], [])
    with backend.lift_limit(queue(dlq)), backend.repair(queue(dlq), RepairPolicy()) as repair:
        home = {record.message.body: recognise(record).home for record in letters(repair)}
    assert {body for body, where in home.items() if where is not None and where.address.name == work} == {*numbered(2), b"rejected"}


def test_what_is_not_as_it_was_on_those_that_went_over_the_limit_is_said(places: Places) -> None:
    dlq = argued(places, 0)
    work = work_for(places, dlq)
    fail(places, work, [b"copied"], {"headers": {"CC": [places.queue()]}})
    backend = places.open()
    seen = []
    for _ in range(4):
        with backend.lift_limit(queue(dlq)), backend.look_letters(queue(dlq)) as reader:
            seen.append({name for record in records_of(reader) for name, _ in record.message.headers})
        assert "the others have one header more (x-brokercli-deaths), and CC no longer" in reader.side_effects
    assert "CC" in seen[0] - seen[-1]
    assert "x-brokercli-deaths" in seen[-1] - seen[0]


def test_a_selection_is_put_back_and_the_rest_stays_as_it_was(versions: Places) -> None:
    work, dlq = worn_out(versions, numbered(6))
    backend = versions.open()
    with backend.lift_limit(queue(dlq)), backend.look_letters(queue(dlq)) as reader:
        before = [content(record) for record in records_of(reader)]
    with backend.lift_limit(queue(dlq)), backend.repair(queue(dlq), RepairPolicy()) as repair:
        chosen = [record for record in letters(repair) if record.message.body in (b"0001", b"0004")]
        assert repair.settle(moves_home(chosen)).confirmed == 2
    with backend.lift_limit(queue(dlq)), backend.look_letters(queue(dlq)) as reader:
        assert [content(record) for record in records_of(reader)] == [letter for letter in before if letter[0] not in (b"0001", b"0004")]
    assert versions.taken(work) == [b"0001", b"0004"]
    assert left(versions, dlq) == ([], [])


@pytest.mark.parametrize("point", POINTS)
def test_killed_with_letters_in_hand_and_run_again_none_is_lost(versions: Places, point: str) -> None:
    work, dlq = worn_out(versions, numbered(24))
    killed(versions, dlq, point, nth=3)
    # the parts are 1, 8, 8 and 7
    done = 17 if point == "taken out" else 9
    wait_until(lambda: count(versions, dlq) + rescued(versions, dlq) == 24 - done, PATIENCE, "what was held in one of the two queues")
    backend = versions.open()
    with backend.lift_limit(queue(dlq)) as lift, backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 24 - done
    assert left(versions, dlq) == ([], [])
    assert "left by runs that were killed" in lift.after
    found = Counter(versions.taken(work))
    assert set(found) == set(numbered(24))
    assert sum(found.values()) - 24 == (8 if point == "confirmed" else 0)


def test_killed_again_and_again_no_letter_forgets_where_it_came_from(places: Places) -> None:
    work, dlq = worn_out(places, numbered(3), limit=0)
    for _ in range(3):
        killed(places, dlq, "read", nth=1)
        wait_until(lambda: count(places, dlq) + rescued(places, dlq) == 3, PATIENCE, "what was held in one of the two queues")
    backend = places.open()
    with backend.lift_limit(queue(dlq)), backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 3
    assert sorted(places.taken(work)) == numbered(3)


@pytest.mark.parametrize("point", RESCUE_POINTS)
def test_killed_while_putting_them_back_and_run_again_none_is_lost(places: Places, point: str) -> None:
    work, dlq = worn_out(places, numbered(6), limit=0)
    policy = killed(places, dlq, point, nth=1, take="none")
    wait_until(lambda: count(places, dlq) + rescued(places, dlq) >= 6, PATIENCE, "what was held in one of the two queues")
    backend = places.open()
    with backend.lift_limit(queue(dlq)), backend.repair(queue(dlq), RepairPolicy()) as repair:
        redrive(repair)
    found = Counter(places.taken(work))
    assert set(found) == set(numbered(6))
    assert sum(found.values()) - 6 == (1 if point == "put back" else 0)
    assert not [named for kind in ("policies", "queues") for named in places.api(f"{kind}/{places.virtual_host}") if named["name"].startswith(policy)]


def test_of_two_runs_neither_loses_a_letter_and_both_clear_up(places: Places) -> None:
    work, dlq = worn_out(places, numbered(6))
    first, second = places.open(), places.open()
    with second.lift_limit(queue(dlq)) as longer:
        with first.lift_limit(queue(dlq)) as shorter, first.repair(queue(dlq), RepairPolicy(batch=4)) as repair:
            letters(repair, 2)
            assert [len(names) for names in left(places, dlq)] == [2, 2]
        assert "letters went over the delivery limit of 1" in shorter.after
        assert [len(names) for names in left(places, dlq)] == [1, 1]
        assert count(places, dlq) == 6
        with second.repair(queue(dlq), RepairPolicy()) as repair:
            assert redrive(repair).confirmed == 6
    assert isinstance(longer, RescuingLift)
    # runs on other queues may have been killed meanwhile, and what is left of them is cleared up as well
    assert not longer._killed
    assert left(places, dlq) == ([], [])
    assert sorted(places.taken(work)) == numbered(6)


def test_after_a_connection_that_broke_letters_are_kept_until_the_next_run(places: Places) -> None:
    work, dlq = worn_out(places, numbered(6))
    lift = break_off(places, dlq)
    assert f"is still kept in the queue {LIFTS}" in lift.after
    wait_until(lambda: count(places, dlq) + rescued(places, dlq) == 6, PATIENCE, "all letters in one of the two queues")
    backend = places.open()
    with backend.lift_limit(queue(dlq)), backend.repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 6
    assert left(places, dlq) == ([], [])
    assert sorted(places.taken(work)) == numbered(6)


def test_what_expired_or_was_rejected_meanwhile_is_not_brought_back(places: Places) -> None:
    dlq = argued(places, 0)
    places.put("", dlq, [b"rejected"])
    places.put("", dlq, [b"expired"], (("delivery_mode", 2), ("expiration", b"60000")))
    backend = places.open()
    with backend.lift_limit(queue(dlq)) as lift:
        with backend.look_letters(queue(dlq)) as reader:
            assert [dict(record.message.properties).get("expiration") for record in records_of(reader)] == [None, b"60000"]
        with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
            channel = connection.channel()
            method, _, body = channel.basic_get(dlq)
            assert (method is not None, body) == (True, b"rejected")
            channel.basic_reject(method.delivery_tag, requeue=False)
        wait_until(lambda: rescued(places, dlq) == 1, PATIENCE, "the rejected letter on its way out")
    assert "1 letter that expired or was rejected meanwhile is gone" in lift.after
    with backend.lift_limit(queue(dlq)), backend.look_letters(queue(dlq)) as reader:
        assert [(record.message.body, record.message.properties["expiration"]) for record in records_of(reader)] == [(b"expired", b"60000")]


def test_letters_that_a_killed_run_left_are_counted_with_their_own_queue(places: Places) -> None:
    _, dlq = worn_out(places, numbered(4), limit=0)
    killed(places, dlq, "read", nth=2, take="none")
    wait_until(lambda: rescued(places, dlq) == 4, PATIENCE, "letters over the limit")
    backend = places.open()
    found = {source.address.name: source for source in backend.dead_letter_sources()}
    assert (found[dlq].pending, count(places, dlq)) == (4, 0)
    assert "4 went over its delivery limit" in found[dlq].remarks[0]
    assert not any(name.startswith(LIFTS) for name in found)
    (kept,) = left(places, dlq)[1]
    for take in (backend.look_letters, lambda address: backend.repair(address, RepairPolicy())):
        with pytest.raises(Unsupported, match="keeps letters of another queue"):
            take(queue(kept))
    with backend.lift_limit(queue(dlq)) as lift:
        assert "4 letters that earlier runs had there are back in it; because a run before was killed or left in doubt, this one lasts" in lift.before
        assert count(places, dlq) == 4


def test_letters_that_a_killed_run_left_of_a_queue_that_was_deleted_are_told_with_what_brings_them_back(places: Places) -> None:
    _, dlq = worn_out(places, numbered(4), limit=0)
    killed(places, dlq, "read", nth=2, take="none")
    wait_until(lambda: rescued(places, dlq) == 4, PATIENCE, "letters over the limit")
    (kept,) = left(places, dlq)[1]
    places.delete_queue(dlq)
    backend, unseen = places.open(), list[str]()
    assert not {source.address.name for source in backend.dead_letter_sources((), unseen)} & {kept, dlq}
    assert [said for said in unseen if kept in said] == [
        f"4 letters lie in queue:{kept}, where a run kept them for a queue that is not there any more; brokercli declare queue {dlq} -s type=quorum, and then"
        f" brokercli dlq inspect queue:{dlq} --lift-limit, puts them back"]
    places.queue("quorum", name=dlq)
    with backend.lift_limit(queue(dlq)):
        assert count(places, dlq) == 4
    unseen.clear()
    list(backend.dead_letter_sources((), unseen))
    assert not any(kept in said for said in unseen)


def test_a_look_without_lifting_is_refused_and_the_option_is_named(places: Places) -> None:
    dlq = argued(places)
    places.put("", dlq, numbered(2))
    with pytest.raises(Unsupported, match="delivery limit of 1") as refusal:
        places.open().look_letters(queue(dlq))
    assert "--lift-limit has what goes over it kept" in str(refusal.value.hint)
    with places.open().lift_limit(queue(dlq)), pytest.raises(Unsupported, match="only as long as another run of brokercli lasts"):
        places.open().look_letters(queue(dlq))
    assert count(places, dlq) == 2


@pytest.mark.parametrize(("arguments", "reason"), [
    ({"x_dead_letter_exchange": ("S", b"amq.fanout")}, "own dead-letter-exchange leads, which is set by argument"),
    ({"x_dead_letter_strategy": ("S", b"at-most-once")}, "x-dead-letter-strategy is at-most-once"),
    ({"x_overflow": ("S", b"drop-head")}, "x-overflow is drop-head"),
    ({"x_max_length": ("l", 100)}, "its length is limited"),
])
def test_where_letters_would_not_certainly_be_kept_it_is_refused_with_the_reason(places: Places, arguments: dict[str, Any], reason: str) -> None:
    dlq = argued(places, **arguments)
    places.put("", dlq, numbered(2))
    with pytest.raises(Unsupported, match=f"The delivery limit of 1 of {dlq} cannot be lifted: .*{reason}") as refusal:
        places.open().lift_limit(queue(dlq))
    assert "let its letters go to a classic queue or a stream" in str(refusal.value.hint)
    assert left(places, dlq) == ([], [])
    assert count(places, dlq) == 2


@pytest.mark.parametrize(("kind", "definition", "reason"), [
    ("policies", {"dead-letter-exchange": ""}, "set by policy"),
    ("operator-policies", {"max-length": 100}, "its length is limited"),
    ("operator-policies", {"overflow": "drop-head"}, "an operator's policy"),
])
def test_so_it_is_where_a_policy_says_otherwise(versions: Places, kind: str, definition: dict[str, Any], reason: str) -> None:
    dlq = argued(versions)
    policy = f"{kind}/{versions.virtual_host}/firm-{dlq}"
    versions.api(policy, "PUT", **{"pattern": f"^{dlq}$", "definition": definition, "apply-to": "quorum_queues"})
    try:
        with pytest.raises(Unsupported, match=reason):
            versions.open().lift_limit(queue(dlq))
    finally:
        versions.api(policy, "DELETE")
    assert left(versions, dlq) == ([], [])


def test_what_the_present_policy_defines_holds_meanwhile_too(places: Places) -> None:
    dlq = argued(places)
    policy = f"policies/{places.virtual_host}/present-{dlq}"
    places.api(policy, "PUT", pattern=f"^{dlq}$", definition={"max-length": 7, "overflow": "reject-publish"}, priority=1200)
    try:
        with places.open().lift_limit(queue(dlq)):
            facts = places.api(f"queues/{places.virtual_host}/{dlq}?disable_stats=true&enable_queue_totals=true")
        now = places.api(f"queues/{places.virtual_host}/{dlq}?disable_stats=true&enable_queue_totals=true")
    finally:
        places.api(policy, "DELETE")
    assert facts["effective_policy_definition"] == {
        "max-length": 7, "overflow": "reject-publish", "dead-letter-exchange": "", "dead-letter-strategy": "at-least-once",
        "dead-letter-routing-key": f"{facts['policy']}-over"}
    assert now["policy"] == f"present-{dlq}"


@pytest.mark.parametrize(("tags", "allowed", "reason"), [
    ("management", {}, "No permission for writing the policy brokercli-lift-"),
    ("policymaker", {"configure": "^q-"}, "may not declare queues named brokercli-lift-"),
    ("policymaker", {"read": "^q-"}, "the queue brokercli-lift-.* cannot be used"),
    ("policymaker", {"write": "^q-"}, "the queue brokercli-lift-.* cannot be used"),
])
def test_without_the_permissions_nothing_is_begun(places: Places, login: Login, tags: str, allowed: dict[str, str], reason: str) -> None:
    dlq = argued(places)
    places.put("", dlq, numbered(2))
    with pytest.raises(Unsupported, match=reason):
        places.open(login(tags, **allowed)).lift_limit(queue(dlq))
    assert left(places, dlq) == ([], [])
    assert count(places, dlq) == 2
