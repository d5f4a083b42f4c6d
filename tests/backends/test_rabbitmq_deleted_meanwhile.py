"""What others delete while brokercli is at it: RabbitMQ's queue of dead letters with its letters in hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from brokercli.backends.dead_letters import LetterReader, Move, Repair, RepairPolicy, State
from brokercli.backends.rabbitmq import holding
from brokercli.backends.rabbitmq.repair import RabbitMQRepair
from brokercli.backends.rabbitmq.still_there import StillThere
from brokercli.model.errors import NotFound, Unreachable
from brokercli.model.message import Record
from brokercli.model.receipt import Verdict
from tests.backends.rabbitmq_places import SECONDS, Places, records_of
from tests.backends.rabbitmq_redrive import LIMITLESS, letters, make, numbered, queue
from tests.brokers.server import wait_until


def read_on(repair: Repair, held: list[Record]) -> None:
    """Read until what ends it is raised."""
    while True:
        batch = repair.read(0.2)
        held += batch.records() if batch is not None else []


def some_then_deleted(places: Places, repair: Repair, dlq: str) -> list[Record]:
    """Read a few letters, have the queue deleted, and read until that is noticed; return the letters that are in hand."""
    held = letters(repair, 10)
    places.delete_queue(dlq)
    with pytest.raises(NotFound, match=r"was deleted while its letters were being taken|was deleted, or lost its leader"):
        read_on(repair, held)
    return held


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_in_hand_go_home_all_the_same_for_they_are_nowhere_else(places: Places, kind: str) -> None:
    dlq, home = make(places, kind), make(places, "classic")
    places.put("", dlq, numbered(100))
    with places.open().repair(queue(dlq), RepairPolicy(batch=20)) as repair:
        held = some_then_deleted(places, repair, dlq)
        receipts = repair.settle([Move(record, record.message, queue(home)) for record in held])
        assert (receipts.confirmed, receipts.problems) == (len(held), [])
    assert places.taken(home) == numbered(len(held))
    assert not [note for note in repair.notes if "did not confirm" in note]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_in_hand_that_are_dropped_are_gone(places: Places, kind: str) -> None:
    dlq = make(places, kind)
    places.put("", dlq, numbered(100))
    with places.open().repair(queue(dlq), RepairPolicy(batch=20)) as repair:
        held = some_then_deleted(places, repair, dlq)
        receipts = repair.mark(held, State.DROPPED)
        assert (receipts.confirmed, receipts.problems) == (len(held), [])


def make_anew(places: Places, dlq: str, kind: str) -> None:
    """Make a queue of letters that was deleted once more, with other letters."""
    places.queue(kind, name=dlq, **(LIMITLESS if kind == "quorum" else {}))
    places.put("", dlq, [b"new"] * 3)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_in_hand_go_home_as_well_where_there_is_another_queue_of_that_name_by_now_whose_letters_stay(places: Places, kind: str) -> None:
    dlq, home = make(places, kind), make(places, "classic")
    places.put("", dlq, numbered(100))
    new = [b"new%d" % number for number in range(40)]
    with places.open().repair(queue(dlq), RepairPolicy(batch=64)) as repair:
        assert isinstance(repair, RabbitMQRepair)
        held = letters(repair, 10)
        wait_until(lambda: repair._holding.taken == 33, SECONDS, "a part that nobody has read yet")
        # the next is asked for once that is read
        places.delete_queue(dlq)
        places.queue(kind, name=dlq, **(LIMITLESS if kind == "quorum" else {}))
        places.put("", dlq, new)
        with pytest.raises(NotFound, match=r"was deleted while its letters were being taken"):
            read_on(repair, held)
        repair.check()
        # a classic queue numbers its deliveries from 0: one that is made anew would take these for its own
        receipts = repair.settle([Move(record, record.message, queue(home)) for record in held])
        assert (receipts.confirmed, receipts.problems) == (33, [])
    assert (places.taken(home), sorted(places.taken(dlq))) == (numbered(33), sorted(new))


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("take", ["look", "repair"])
@pytest.mark.parametrize("anew", [True, False], ids=["made anew", "deleted"])
def test_that_letters_given_back_are_not_seen_again_is_said(places: Places, monkeypatch: pytest.MonkeyPatch, kind: str, take: str, anew: bool) -> None:
    monkeypatch.setattr(holding, "_BACK_SECONDS", 0.5)
    dlq = make(places, kind)
    places.put("", dlq, numbered(3))
    backend = places.open()
    with backend.repair(queue(dlq), RepairPolicy()) if take == "repair" else backend.look_letters(queue(dlq)) as taken:
        assert len(records_of(taken, 3)) == 3
        places.delete_queue(dlq)
        if anew:
            make_anew(places, dlq, kind)
    said = " ".join(taken.notes)
    assert "3 letters that were given back" in said
    assert "made anew" in said if anew else f"{dlq} was deleted meanwhile" in said
    if isinstance(taken, LetterReader):
        assert "as they were" not in taken.side_effects


@pytest.fixture
def own_host(rabbitmq_address: str, rabbitmq_management: str) -> Iterator[Places]:
    """A virtual host that a test may delete."""
    made = Places(rabbitmq_address, rabbitmq_management, f"v-{uuid.uuid4().hex[:12]}")
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_of_a_virtual_host_that_is_deleted_are_not_said_to_be_back(own_host: Places, kind: str) -> None:
    dlq, home = make(own_host, kind), make(own_host, "classic")
    own_host.put("", dlq, numbered(100))
    with own_host.open().repair(queue(dlq), RepairPolicy(batch=20)) as repair:
        assert isinstance(repair, RabbitMQRepair)
        held, holding_on = letters(repair, 10), repair._holding
        # RabbitMQ fails itself over a consumer that is asked for while all is being deleted (541), and whoever comes back is told something else
        wait_until(lambda: holding_on._turns._names == 4 and not holding_on._taking, SECONDS, "a part that nobody has read yet")
        own_host.delete_virtual_host()
        wait_until(lambda: repair._link.failure is not None, SECONDS, "the end of the connection")
        # the broker deletes the queues first, and a consumer may hear of that before the virtual host is gone
        with pytest.raises(NotFound, match=rf"^The (virtual host {own_host.broker.virtual_host} was deleted meanwhile|queue {dlq} was deleted)"):
            read_on(repair, held)
        receipts = repair.settle([Move(record, record.message, queue(home)) for record in held])
        assert receipts.confirmed == 0
        assert {receipt.verdict for receipt in receipts.problems} == {Verdict.REFUSED}
        assert all("was deleted meanwhile, and everything in it" in receipt.reason for receipt in receipts.problems)
    assert [note for note in repair.notes if f"{dlq} was deleted meanwhile" in note and "gone with it" in note]
    assert not [note for note in repair.notes if "back" in note]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_letters_in_hand_of_a_virtual_host_that_is_made_anew_do_not_go_to_the_new_one(own_host: Places, rabbitmq_address: str, rabbitmq_management: str,
                                                                                      kind: str) -> None:
    dlq, home = make(own_host, kind), make(own_host, "classic")
    own_host.put("", dlq, numbered(3))
    with own_host.open().repair(queue(dlq), RepairPolicy()) as repair:
        held = letters(repair, 3)
        own_host.delete_virtual_host()
        other = Places(rabbitmq_address, rabbitmq_management, own_host.broker.virtual_host)
        try:
            make_anew(other, dlq, kind)
            other.queue(name=home)
            receipts = repair.settle([Move(record, record.message, queue(home)) for record in held])
            assert receipts.confirmed == 0
            assert (other.taken(home), other.taken(dlq)) == ([], [b"new"] * 3)
        finally:
            other.close()


def test_a_look_at_letters_of_a_virtual_host_that_is_deleted_says_so(own_host: Places) -> None:
    dlq = make(own_host, "classic")
    own_host.put("", dlq, numbered(100))
    with own_host.open().look_letters(queue(dlq)) as look:
        records_of(look, 1)
        own_host.delete_virtual_host()
        with pytest.raises(NotFound, match="was deleted meanwhile"):
            records_of(look, 100)
    assert "as they were" not in look.side_effects


def test_where_it_is_not_known_whether_the_queue_is_there_letters_are_not_said_to_be_back(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    dlq, home = make(places, "classic"), make(places, "classic")
    places.put("", dlq, numbered(3))
    with places.open().repair(queue(dlq), RepairPolicy()) as repair:
        assert isinstance(repair, RabbitMQRepair)
        held = letters(repair, 3)
        monkeypatch.setattr(StillThere, "ask", lambda self: Unreachable("nobody answers"))
        repair._link.reconnect()
        wait_until(lambda: repair._holding.cut_off, SECONDS, "the loss of the connection")
        receipts = repair.settle([Move(record, record.message, queue(home)) for record in held])
        assert {receipt.reason for receipt in receipts.problems} == {
            f"the connection that held it broke, and whether {dlq} is there is not known; where it is, the broker puts back what it has stored"}
