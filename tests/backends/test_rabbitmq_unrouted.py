"""A plan says which exchanges take none of the letters, because nothing that is put there reaches a queue; it and a run say which hand them on."""

from __future__ import annotations

from collections.abc import Mapping

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.model.address import Address
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import make, queue, redrive


def obstacles(places: Places, *destinations: Address, management: bool = True) -> Mapping[int, str]:
    dlq = make(places, "classic")
    with places.open(None if management else places.without_management) as backend, backend.look_letters(queue(dlq)) as letters:
        return backend.obstacles(letters, destinations)


def test_an_exchange_from_which_nothing_reaches_a_queue_is_an_obstacle_and_one_that_leads_on_is_none(places: Places) -> None:
    outer, inner, bare = places.exchange("topic"), places.exchange("topic"), places.exchange("direct")
    places.wire.declare_exchange(f"{outer}-other", "headers", [("alternate-exchange", ("S", inner.encode()))])
    places.bind(places.queue(), inner, "eu.#")
    places.broker.api(f"bindings/{places.virtual_host}/e/{outer}/e/{inner}", "POST", routing_key="#", arguments={})
    try:
        found = obstacles(places, Address(outer, "exchange", "eu.orders"), Address(outer, "exchange", "us.orders"), Address(outer, "exchange"),
                          Address(bare, "exchange"), Address(f"{outer}-other", "exchange", "eu.orders"))
    finally:
        places.wire.delete_exchange(f"{outer}-other")
    assert found == {1: f"no queue is bound to the exchange {outer} for the routing key 'us.orders'", 3: f"no queue is bound to the exchange {bare}"}


def test_an_exchange_that_hands_on_what_no_binding_takes_is_none_and_where_that_goes_is_said(places: Places) -> None:
    other, bound, unrouted = places.exchange("fanout"), places.queue(), places.queue()
    places.bind(unrouted, other)
    name = f"{other}-first"
    places.wire.declare_exchange(name, "direct", [("alternate-exchange", ("S", other.encode()))])
    places.bind(bound, name, "orders")
    destinations = [(Address(name, "exchange", key), 1) for key in ("orders", "order", None)]
    try:
        with places.open() as backend, backend.look_letters(queue(make(places, "classic"))) as letters:
            assert not backend.obstacles(letters, [address for address, _ in destinations])
            assert backend.fates(letters, destinations) == [
                f"no queue is bound to the exchange {name} for the routing key 'order': its alternate exchange {other} takes it to queue:{unrouted}"]
        with places.open(places.without_management) as backend, backend.look_letters(queue(make(places, "classic"))) as letters:
            assert backend.fates(letters, destinations) == []
        dlq = make(places, "classic")
        places.put("", dlq, [b"1", b"2"])
        with places.open() as backend, backend.repair(queue(dlq), RepairPolicy()) as repair:
            assert redrive(repair, Address(name, "exchange", "order")).confirmed == 2
            assert [note for note in repair.notes if "alternate" in note] == [
                f"no queue is bound to the exchange {name} for the routing key 'order': its alternate exchange {other} takes it to queue:{unrouted}"]
    finally:
        places.wire.delete_exchange(name)


def test_an_internal_exchange_is_an_obstacle(places: Places) -> None:
    name = f"{places.exchange()}-internal"
    places.api(f"exchanges/{places.virtual_host}/{name}", "PUT", type="fanout", durable=True, internal=True)
    places.bind(places.queue(), name)
    try:
        assert obstacles(places, Address(name, "exchange", "a")) == {0: f"the exchange {name} is internal: only other exchanges publish to it"}
    finally:
        places.wire.delete_exchange(name)


def test_where_nobody_says_what_is_bound_only_what_is_not_there_is_an_obstacle(places: Places) -> None:
    bare = places.exchange("direct")
    found = obstacles(places, Address(bare, "exchange", "a"), Address("no-such-exchange", "exchange", "a"), management=False)
    assert list(found) == [1]
    assert "no-such-exchange" in found[1]
