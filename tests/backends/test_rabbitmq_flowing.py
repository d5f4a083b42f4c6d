"""The graph of a RabbitMQ: every way a message can take, told by what makes it go there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from brokercli.model.address import Address
from brokercli.model.declaration import Declaration, RetrySpecification
from brokercli.model.flow import Flow
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import Places
from tests.brokers.server import wait_until
from tests.native.amqp import Wire

PATIENCE = 60.0
SECOND = 1_000_000_000


def text(value: str) -> tuple[str, bytes]:
    return "S", value.encode()


def draw(places: Places, name: str, kind: str = "queue", route: str | None = None) -> Flow:
    backend = places.open()
    return backend.flow(backend.resolve(Address(name, kind, route), "describe"))


def ways(flow: Flow) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.target, edge.why) for edge in flow.edges}


@contextmanager
def worker(places: Places, queue: str) -> Iterator[None]:
    broker = places.broker
    wire = Wire(broker.host, broker.port, broker.user, broker.password, broker.virtual_host)
    wire.consume(queue, "w")
    yield
    wire.close()


def test_messages_come_from_exchanges_and_die_into_others(places: Places) -> None:
    outer, inner, dlx = places.exchange("fanout"), places.exchange("topic"), places.exchange("direct")
    dead, other = places.queue("classic"), places.queue("classic")
    work = places.queue("quorum", x_dead_letter_exchange=text(dlx), x_dead_letter_routing_key=text("orders"), x_max_length=("l", 5))
    places.api(f"bindings/%2F/e/{outer}/e/{inner}", "POST", routing_key="", arguments={})
    places.bind(work, inner, "orders.#")
    places.bind(dead, dlx, "orders")
    places.bind(other, dlx, "payments")
    places.bind(other, inner, "audit")
    flow = draw(places, work)
    dies = "rejected, redelivered 20 times, pushed out when full, as orders"
    assert ways(flow) == {
        (f"exchange:{outer}", f"exchange:{inner}", ""), (f"exchange:{inner}", f"queue:{work}", "orders.#"),
        (f"queue:{work}", f"exchange:{dlx}", dies), (f"exchange:{dlx}", f"queue:{dead}", "orders")}
    assert flow.start == f"queue:{work}"
    assert flow.nodes[f"queue:{dead}"].kind == "dead letters"
    assert flow.nodes[f"queue:{work}"].notes == ("quorum", "0 messages", "delivery-limit 20", "dead-letters at most once")
    assert flow.missing == []


def test_an_exchange_leads_to_what_is_bound_to_it_for_the_key_that_is_said(places: Places) -> None:
    exchange, first, second = places.exchange("direct"), places.queue(), places.stream()
    places.bind(first, exchange, "a")
    places.bind(second, exchange, "b")
    assert ways(draw(places, exchange, "exchange")) == {(f"exchange:{exchange}", f"queue:{first}", "a"), (f"exchange:{exchange}", f"stream:{second}", "b")}
    assert ways(draw(places, exchange, "exchange", "b")) == {(f"exchange:{exchange}", f"stream:{second}", "b")}


def test_what_is_bound_for_nobody_goes_to_the_alternate_exchange(declared: Declared) -> None:
    places, exchange = declared.places, declared.name("x")
    rest, queue = places.exchange("fanout"), places.queue()
    places.bind(queue, rest, "")
    declared.apply(Declaration("exchange", exchange, {"type": "direct", "alternate-exchange": rest}))
    expected = {(f"exchange:{exchange}", f"exchange:{rest}", "bound for nobody"), (f"exchange:{rest}", f"queue:{queue}", "")}
    assert ways(draw(places, exchange, "exchange")) == expected
    assert ways(draw(places, queue)) == expected


def test_retries_are_a_circle_that_ends_in_the_dead_letters(declared: Declared) -> None:
    work = declared.places.queue("quorum", name=declared.name("orders"))
    declared.apply(*declared.declarer().retry(RetrySpecification(work, (5 * SECOND, 30 * SECOND), 3)).declarations)
    for start in (work, f"{work}.dlq", f"{work}.retry.2.30s"):
        found = ways(draw(declared.places, start))
        assert (f"queue:{work}.retry.1.5s", f"exchange:{work}.dlx.return", f"after 5s, as {work}.retry.1") in found
        assert (f"exchange:{work}.dlx.return", f"queue:{work}", "") in found
        assert (f"queue:{work}", f"exchange:{work}.dlx", "rejected, redelivered 20 times") in found
        assert (f"exchange:{work}.dlx", f"exchange:{work}.dlx.retry", "x-last-death-reason=rejected") in found
        assert (f"exchange:{work}.dlx.retry", f"queue:{work}.retry.2.30s", f"{work}.retry.1") in found
        assert (f"exchange:{work}.dlx.retry", f"queue:{work}.dlq", f"{work}.retry.2") in found
        assert (f"exchange:{work}.dlx.dead", f"queue:{work}.dlq", "") in found


def test_who_takes_the_messages_is_at_the_end_of_a_way(places: Places) -> None:
    name = places.queue("classic")
    with worker(places, name):
        wait_until(lambda: (f"queue:{name}", f"consumer {name}", "delivered") in ways(draw(places, name)), PATIENCE, "the consumer")
        assert draw(places, name).nodes[f"consumer {name}"].notes == ("1 at work",)


def test_dead_letters_that_go_nowhere_are_said_to_be_lost(places: Places) -> None:
    gone, unbound = places.queue("classic", x_dead_letter_exchange=text("no-such-exchange")), places.exchange()
    nobody = places.queue("classic", x_dead_letter_exchange=text(unbound))
    nowhere = places.queue("classic", x_dead_letter_exchange=text(""), x_dead_letter_routing_key=text("no-such-queue"))
    assert draw(places, gone).nodes["exchange:no-such-exchange"].notes == ("does not exist: dead letters are lost",)
    assert draw(places, nowhere).nodes["queue:no-such-queue"].notes == ("does not exist: dead letters are lost",)
    assert "its dead letters are routed to nobody: they are lost" in draw(places, nobody).nodes[f"queue:{nobody}"].notes


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_without_the_management_api_only_the_address_is_drawn_and_what_is_missing_said(places: Places, kind: str) -> None:
    name = places.queue("quorum") if kind == "queue" else places.exchange("topic")
    backend = places.open(places.without_management)
    with worker(places, name) if kind == "queue" else worker(places, places.queue()):
        flow = backend.flow(backend.resolve(Address(name, kind), "describe"))
    assert flow.nodes[f"{kind}:{name}"].notes == ("quorum" if kind == "queue" else "topic",)
    assert ways(flow) == ({(f"queue:{name}", f"consumer {name}", "delivered")} if kind == "queue" else set())
    assert "nothing answers" in flow.missing[0]
