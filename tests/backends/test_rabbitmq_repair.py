"""RabbitMQ's dead letters put back: confirmed at home and only then taken out, killed and cut off at every point."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from brokercli.backends.dead_letters import Move, Repair, RepairPolicy, State
from brokercli.backends.rabbitmq import holding
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.errors import Unreachable, Unsupported
from brokercli.model.receipt import Receipts, Verdict
from tests.backends.rabbitmq_places import Places, records_of
from tests.backends.rabbitmq_redrive import POINTS, count, fail, letters, make, moves_home, numbered, queue, redrive, work_and_letters
from tests.brokers.server import wait_until
from tests.commandline import run_module
from tests.faults.proxy import Proxy

PATIENCE = 60.0


def reasons(receipts: Receipts, verdict: Verdict) -> list[str]:
    return [problem.reason for problem in receipts.problems if problem.verdict is verdict]


@pytest.fixture
def proxy(places: Places) -> Iterator[Proxy]:
    with Proxy((places.broker.host, places.broker.port)) as between:
        yield between


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_go_home_stripped_and_are_gone_from_the_dead_letters(places: Places, kind: str) -> None:
    work, dlq = work_and_letters(places, kind)
    fail(places, work, numbered(60), {"headers": {"tenant": "acme"}, "message_id": "m-1", "content_type": "application/json"})
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert repair.expected == 60
        assert repair.guarantee.startswith("at least once")
        receipts = redrive(repair)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (60, 0, 0)
    assert count(places, dlq) == 0
    body, properties, redelivered = places.wire.get(work)  # type: ignore[misc]
    found = dict(properties)
    assert (body, redelivered, found["message_id"], found["content_type"]) == (b"0000", False, b"m-1", b"application/json")
    assert [name for name, _ in found["headers"]] == [b"tenant", b"x-brokercli-redriven-at", b"x-brokercli-redriven-count", b"x-brokercli-redriven-from"]
    assert places.taken(work) == numbered(60)[1:]


@pytest.mark.parametrize(("batch", "most"), [(1, 1), (3, 1), (7, 2), (20, 10)])
def test_no_more_letters_are_on_their_way_together_than_the_guarantee_says(places: Places, batch: int, most: int) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, numbered(20))
    with places.open().repair(queue(dlq), RepairPolicy(batch=batch)) as repair:
        assert f"at most {amount(most, 'letter')} may be repeated" in repair.guarantee
        under_way: list[tuple[int, Callable[[], Receipts]]] = []
        while not repair.finished:
            read = repair.read(0.2)
            if read is not None:
                if under_way and not repair.overlapping:
                    assert under_way.pop()[1]().confirmed
                under_way.append((len(read), repair.begin(moves_home(read.records()))))
                assert sum(count for count, _ in under_way) <= most
            if len(under_way) > 1:
                assert under_way.pop(0)[1]().confirmed
        for number, finish in under_way:
            assert finish().confirmed == number
    assert places.taken(work) == numbered(20)
    assert count(places, dlq) == 0


def test_what_is_begun_while_others_are_under_way_has_its_own_verdicts(places: Places) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, numbered(40))
    with places.open().repair(queue(dlq), RepairPolicy(batch=80)) as repair:
        moves = moves_home(letters(repair))
        first = repair.begin([move if number % 4 else replace(move, destination=queue("gone-home")) for number, move in enumerate(moves[:20])])
        second = repair.begin([move if number % 5 else replace(move, destination=queue("gone-home")) for number, move in enumerate(moves[20:])])
        earlier, later = first(), second()
    assert ([problem.index for problem in earlier.problems], earlier.confirmed) == ([0, 4, 8, 12, 16], 15)
    assert ([problem.index for problem in later.problems], later.confirmed) == ([0, 5, 10, 15], 16)
    gone = [body for number, body in enumerate(numbered(40)) if number % (4 if number < 20 else 5)]
    assert places.taken(work) == gone
    assert count(places, dlq) == 9


def test_a_letter_with_routes_of_its_own_goes_home_and_nowhere_else(places: Places) -> None:
    work, dlq = work_and_letters(places)
    other = make(places, "classic")
    fail(places, work, [b"once"], {"headers": {"CC": [other]}})
    assert places.taken(other) == [b"once"]
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        (letter,) = letters(repair)
        assert repair.settle([Move(letter, letter.message, queue(work))]).confirmed == 1
    assert count(places, other) == 0
    assert places.taken(work) == [b"once"]


def test_a_letter_that_is_parked_takes_its_story_along(places: Places) -> None:
    work, dlq = work_and_letters(places)
    parking = make(places, "classic")
    fail(places, work, [b"parked"], {"user_id": "guest", "priority": 3})
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        (letter,) = letters(repair)
        assert repair.settle([Move(letter, letter.message, queue(parking))]).confirmed == 1
    with places.open().repair(queue(parking), RepairPolicy()) as repair:
        (again,) = letters(repair)
        assert replace(again.message, route=letter.message.route) == letter.message
        assert redrive_one(repair, again).confirmed == 1
    assert places.taken(work) == [b"parked"]


def test_what_cannot_go_along_with_a_letter_is_said(places: Places) -> None:
    work, dlq = work_and_letters(places)
    parking, other = make(places, "classic"), make(places, "classic")
    fail(places, work, [b"routed", b"as well"], {"headers": {"CC": [other]}})
    places.put("", dlq, [b"short-lived"], (("delivery_mode", 2), ("expiration", b"600000")))
    places.put("", dlq, [b"plain"])
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert repair.settle([Move(letter, letter.message, queue(parking)) for letter in letters(repair)]).confirmed == 4
    assert list(repair.notes) == ["headers that steer the broker were withheld: CC (2), expiration (1)"]
    assert places.taken(parking) == [b"routed", b"as well", b"short-lived", b"plain"]


def redrive_one(repair: Repair, record: Any) -> Receipts:
    return repair.settle(moves_home([record]))


def test_a_letter_whose_home_is_gone_is_refused_and_stays_and_its_neighbours_go(places: Places) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, numbered(10))
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        moves = moves_home(letters(repair))
        receipts = repair.settle([move if number % 2 else replace(move, destination=queue("gone-home")) for number, move in enumerate(moves)])
    assert (receipts.confirmed, receipts.refused) == (5, 5)
    assert {problem.index for problem in receipts.problems} == {0, 2, 4, 6, 8}
    assert set(reasons(receipts, Verdict.REFUSED)) == {"there is no queue gone-home"}
    assert places.taken(work) == numbered(10)[1::2]
    assert places.taken(dlq) == numbered(10)[::2]


def test_a_full_home_refuses_and_the_letters_stay(places: Places) -> None:
    dlq = make(places, "classic")
    home = places.queue("classic", x_max_length=("l", 2), x_overflow=("S", b"reject-publish"))
    places.put("", dlq, numbered(6))
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        receipts = redrive(repair, queue(home))
    assert receipts.confirmed + receipts.refused == 6
    assert receipts.refused
    assert all("it is full" in reason for reason in reasons(receipts, Verdict.REFUSED))
    assert sorted(places.taken(home) + places.taken(dlq)) == numbered(6)


def test_a_letter_for_an_exchange_goes_through_it(places: Places) -> None:
    dlq, first, second = (make(places, "classic") for _ in range(3))
    exchange = places.exchange("topic")
    places.bind(first, exchange, "orders.#")
    places.bind(second, exchange, "orders.*")
    places.put("", dlq, [b"letter"])
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair, Address(exchange, "exchange", "orders.new")).confirmed == 1
    assert (places.taken(first), places.taken(second), places.taken(dlq)) == ([b"letter"], [b"letter"], [])


def test_an_exchange_that_is_not_there_refuses_and_the_letters_stay(places: Places) -> None:
    dlq = make(places, "classic")
    places.put("", dlq, numbered(3))
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        receipts = redrive(repair, Address("nowhere-at-all", "exchange", "key"))
    assert reasons(receipts, Verdict.REFUSED) == ["there is no exchange nowhere-at-all"] * 3
    assert places.taken(dlq) == numbered(3)


def test_a_letter_is_not_put_where_it_lies(places: Places) -> None:
    dlq = make(places, "classic")
    places.put("", dlq, numbered(3))
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert reasons(redrive(repair, queue(dlq)), Verdict.REFUSED) == ["its destination is where it lies"] * 3
    assert places.taken(dlq) == numbered(3)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_that_are_left_go_back_in_their_order(places: Places, kind: str) -> None:
    dlq, home = make(places, kind), make(places, kind)
    places.put("", dlq, numbered(100))
    with places.open().repair(queue(dlq), RepairPolicy(batch=20)) as repair:
        while not repair.finished:
            if batch := repair.read(0.2):
                chosen = [record for record in batch.records() if int(record.message.body or b"") % 3 == 0]
                assert repair.settle([Move(record, record.message, queue(home)) for record in chosen]).confirmed == len(chosen)
        places.put("", dlq, [b"late"])
    assert places.taken(home) == numbered(100)[::3]
    assert places.taken(dlq) == [body for body in numbered(100) if int(body) % 3] + [b"late"]


def test_letters_that_come_meanwhile_are_counted_and_not_taken(places: Places) -> None:
    work, dlq = work_and_letters(places)
    fail(places, work, numbered(10))
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert repair.arrived() == 0
        receipts = redrive(repair)
        assert receipts.confirmed == 10
        places.taken(work)
        fail(places, work, [b"late"])
        wait_until(lambda: repair.arrived() == 1, PATIENCE, "the letter that came late counted")
        assert repair.read(0) is None
        assert repair.finished
    assert places.taken(dlq) == [b"late"]


def test_dropped_letters_are_gone_and_the_others_stay(places: Places) -> None:
    dlq = make(places, "quorum")
    places.put("", dlq, numbered(10))
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        found = letters(repair)
        assert repair.mark(found[2:5], State.DROPPED).confirmed == 3
        assert reasons(repair.mark(found[2:3], State.DROPPED), Verdict.REFUSED) == ["it is settled already"]
    assert places.taken(dlq) == numbered(2) + numbered(10)[5:]


def test_a_record_from_elsewhere_is_no_letter_of_this_run(places: Places) -> None:
    dlq = make(places, "classic")
    places.put("", dlq, [b"letter"])
    with places.open().look_letters(queue(dlq)) as reader:
        (record,) = records_of(reader)
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        letters(repair)
        assert "no letter that was read" in reasons(repair.mark([record], State.DROPPED), Verdict.REFUSED)[0]
    assert places.taken(dlq) == [b"letter"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_two_runs_at_once_share_the_letters(places: Places, kind: str) -> None:
    (home, dlq), total = work_and_letters(places, kind), Receipts()
    places.put("", dlq, numbered(200))
    with places.open().repair(queue(dlq), RepairPolicy(batch=10)) as one, places.open().repair(queue(dlq), RepairPolicy(batch=10)) as other:
        while not (one.finished and other.finished):
            for repair in (one, other):
                if batch := repair.read(0.05):
                    total.add(repair.settle(moves_home(batch.records(), queue(home))))
    assert total.confirmed == 200
    assert Counter(places.taken(home)) == Counter(numbered(200))
    assert places.taken(dlq) == []


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_killed_at_any_point_and_run_again_no_letter_is_lost_and_at_most_one_window_is_repeated(places: Places, kind: str, point: str) -> None:
    work, dlq = work_and_letters(places, kind)
    fail(places, work, numbered(100))
    killed = run_module("tests.backends.rabbitmq_redrive", places.broker.url, places.broker.management, dlq, point, "80", "4")
    assert killed.code == 128 + signal.SIGKILL, killed.stderr
    # the parts are 1, 16, 20, 20, …
    done = {"read": 37, "before publish": 37, "confirmed": 37, "taken out": 57}[point]
    wait_until(lambda: count(places, dlq) == 100 - done, PATIENCE, "what was held back in the queue")
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert redrive(repair).confirmed == 100 - done
    found = Counter(places.taken(work))
    assert set(found) == set(numbered(100))
    assert sum(found.values()) - 100 == (20 if point == "confirmed" else 0)


def through(proxy: Proxy, places: Places) -> Any:
    return replace(places.connection, hosts=((proxy.address[0], proxy.port),), options={"give_up_after": "1"})


def test_a_connection_that_breaks_while_letters_are_held_ends_the_run_and_loses_none(places: Places, proxy: Proxy) -> None:
    dlq, home = make(places, "classic"), make(places, "classic")
    places.put("", dlq, numbered(100))
    backend = places.open(through(proxy, places))
    with backend.repair(queue(dlq), RepairPolicy(batch=20)) as repair:
        held = letters(repair, 20)
        proxy.reset()
        with pytest.raises(Unreachable, match=r"while letters of .* were held"):
            letters(repair)
        with pytest.raises(Unreachable, match=r"while letters of .* were held"):
            repair.check()
        receipts = repair.settle([Move(record, record.message, queue(home)) for record in held])
        assert set(reasons(receipts, Verdict.REFUSED)) == {f"the connection that held it broke: the broker puts back in {dlq} what it has stored"}
        wait_until(lambda: count(places, dlq) == 100, PATIENCE, "all letters back in the queue")
        assert repair.arrived() is None, "what the broker put back has not come meanwhile"
    assert places.taken(dlq) == numbered(100)
    assert places.taken(home) == []


def test_a_connection_that_breaks_once_letters_were_taken_out_may_bring_them_back_and_that_is_said(places: Places, proxy: Proxy) -> None:
    """A broker that is killed then forgets what it has read and not written: a classic queue showed 13 of 13 again."""
    dlq, home = make(places, "classic"), make(places, "classic")
    places.put("", dlq, numbered(2))
    with places.open(through(proxy, places)).repair(queue(dlq), RepairPolicy()) as repair:
        first, _ = letters(repair, 2)
        assert repair.settle([Move(first, first.message, queue(home))]).confirmed == 1
        proxy.reset()
    assert [note for note in repair.notes if note.startswith(f"the connection was lost after letters had been taken out of {dlq}")]
    wait_until(lambda: count(places, dlq) == 1, PATIENCE, "the letter that was held back in the queue")
    with places.open().repair(queue(dlq), RepairPolicy()) as undisturbed:
        (second,) = letters(undisturbed)
        assert undisturbed.settle([Move(second, second.message, queue(home))]).confirmed == 1
    assert not [note for note in undisturbed.notes if "the connection was lost" in note]


def test_a_broker_that_does_not_answer_is_not_said_to_have_broken_the_connection(places: Places, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    # as with an alarm: it reads nothing more of a connection that publishes
    monkeypatch.setattr(holding, "_PATIENCE", 0.5)
    dlq = make(places, "classic")
    places.put("", dlq, numbered(3))
    with places.open(through(proxy, places)).repair(queue(dlq), RepairPolicy()) as repair:
        held = letters(repair)
        proxy.hold()
        receipts = repair.mark(held, State.DROPPED)
        proxy.heal()
    assert set(reasons(receipts, Verdict.UNKNOWN)) == {f"the broker did not answer before it was certain that it is taken out of {dlq}"}


def test_letters_are_not_redriven_out_of_a_stream(places: Places) -> None:
    name = places.stream([b"letter"])
    with pytest.raises(Unsupported, match="cannot be taken out") as refusal:
        places.open().repair(Address(name, "stream"), RepairPolicy())
    assert f"replay stream:{name} --to" in str(refusal.value.hint)
