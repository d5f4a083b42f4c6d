"""A binding that asks only that there is a header: its argument is null, which the management API tells as a text."""

from __future__ import annotations

import pytest

from brokercli.model.address import Address
from brokercli.model.declaration import Declaration, binding
from brokercli.model.position import End, Span
from tests.backends.rabbitmq_declared import Declared
from tests.backends.rabbitmq_places import Places, bodies_of

pytestmark = pytest.mark.rabbitmq
PROPERTIES = (("headers", [("kind", ("S", b"order"))]), ("delivery_mode", 2))


def test_a_tap_gets_what_such_a_binding_lets_through(places: Places) -> None:
    queue, headers = places.queue(), places.exchange("headers")
    places.bind(queue, headers, "", [("kind", ("V", None))])
    backend = places.open()
    with backend.look(Address(queue, "queue"), Span(End(), None)) as one, backend.look(Address(headers, "exchange"), Span(End(), None)) as other:
        places.put(headers, "", [b"1"], PROPERTIES)
        assert bodies_of(one, 1) == bodies_of(other, 1) == [b"1"]
    assert places.taken(queue) == [b"1"]


def test_it_is_made_anew_as_it_was(declared: Declared) -> None:
    exchange, queue = declared.name("x"), declared.name("q")
    made = [Declaration("exchange", exchange, {"type": "headers"}), Declaration("queue", queue, {"type": "classic"})]
    declared.apply(*made, binding(exchange, f"queue:{queue}", "", {"kind": None}))
    found = [one for one in declared.declarer().declared(["binding"]) if queue in one.name]
    declared.places.api(f"queues/%2F/{queue}", "DELETE")
    declared.apply(made[1], *found)
    declared.places.put(exchange, "", [b"1"], PROPERTIES)
    assert declared.places.taken(queue) == [b"1"]
