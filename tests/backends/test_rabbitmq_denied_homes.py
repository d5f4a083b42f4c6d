"""A home that takes no letters keeps its own: those for others go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from brokercli.backends.dead_letters import Move, Repair, RepairPolicy
from brokercli.model.address import Address
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound
from brokercli.model.receipt import Receipts
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import NOWHERE, Places
from tests.backends.rabbitmq_redrive import make, moves_home, numbered, queue

LETTERS = 12


def put_back(repair: Repair, *homes: Address, before: Callable[[int], None] = lambda step: None) -> Receipts:
    """Put letters back in steps, by turns to each home."""
    total, step = Receipts(), 0
    while not repair.finished:
        batch = repair.read(0.2)
        if batch is not None:
            before(step)
            records = batch.records()
            moves = [moves_home([record], homes[int(record.message.body or b"0") % len(homes)])[0] for record in records]
            total.add(repair.settle([Move(move.record, move.message, move.destination) for move in moves]))
            step += 1
    return total


def internal(declared: Declared) -> tuple[str, Connection]:
    name = declared.name("internal")
    declared.places.api(f"exchanges/%2F/{name}", "PUT", type="fanout", durable=True, internal=True)
    return name, declared.places.connection


def denied(declared: Declared) -> tuple[str, Connection]:
    name = declared.places.exchange("fanout", declared.name("closed"))
    return name, declared.restricted("management", write="^(q-.*|amq\\.default|)$")


@pytest.mark.parametrize(("closed", "failure"), [(internal, Failed), (denied, NotAuthorised)], ids=["internal", "no permission to write"])
def test_an_exchange_that_takes_nothing_keeps_its_letters_and_the_others_go(
        declared: Declared, closed: Callable[[Declared], tuple[str, Connection]], failure: type[BrokercliError]) -> None:
    places = declared.places
    dlq, home = make(places, "classic"), make(places, "classic")
    name, connection = closed(declared)
    places.bind(make(places, "classic"), name)
    places.put("", dlq, numbered(LETTERS))
    with places.open(connection) as backend, backend.repair(queue(dlq), RepairPolicy(batch=4)) as repair:
        receipts = put_back(repair, Address(name, "exchange", "a"), queue(home))
        assert isinstance(repair.failure, failure)
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (LETTERS // 2, LETTERS // 2, 0)
    assert places.taken(home) == numbered(LETTERS)[1::2]
    assert places.taken(dlq) == numbered(LETTERS)[::2]


def test_where_all_letters_go_to_an_exchange_that_takes_nothing_the_run_ends(declared: Declared) -> None:
    places = declared.places
    dlq = make(places, "classic")
    name, connection = internal(declared)
    places.put("", dlq, numbered(LETTERS))
    with (places.open(connection) as backend, backend.repair(queue(dlq), RepairPolicy(batch=4, homeward=False)) as repair,
          pytest.raises(Failed, match="Only other exchanges publish to an internal exchange")):
        put_back(repair, Address(name, "exchange", "a"))
    assert places.taken(dlq) == numbered(LETTERS)


def test_an_exchange_that_is_deleted_on_the_way_keeps_its_letters_and_the_others_go(places: Places) -> None:
    dlq, home, exchange = make(places, "classic"), make(places, "classic"), places.exchange("fanout")
    places.bind(make(places, "classic"), exchange)
    places.put("", dlq, numbered(LETTERS))
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy(batch=4)) as repair:
        receipts = put_back(repair, Address(exchange, "exchange", "a"), queue(home),
                            before=lambda step: places.wire.delete_exchange(exchange) if step == 1 else None)
        assert isinstance(repair.failure, NotFound)
    assert receipts.confirmed + receipts.refused + receipts.unknown == LETTERS
    assert places.taken(home) == numbered(LETTERS)[1::2]


def test_letters_go_to_an_exchange_that_this_login_may_publish_to_and_not_ask_about(declared: Declared) -> None:
    places = declared.places
    dlq, home, exchange = make(places, "classic"), make(places, "classic"), places.exchange("fanout")
    places.bind(home, exchange)
    places.put("", dlq, numbered(LETTERS))
    connection = replace(declared.restricted(configure="^q-"), management=NOWHERE)
    with places.open(connection) as backend, backend.repair(queue(dlq), RepairPolicy(batch=4)) as repair:
        receipts = put_back(repair, Address(exchange, "exchange", "a"))
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (LETTERS, 0, 0)
    assert places.taken(home) == numbered(LETTERS)
