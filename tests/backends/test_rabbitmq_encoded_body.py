"""Bodies of the type amqp-1.0: what is none breaks the connections of others, and is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.dead_letters import RepairPolicy
from brokercli.backends.rabbitmq.encoded_body import is_encoded
from brokercli.model.address import Address
from brokercli.model.message import Message
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import letters, moves_home, queue
from tests.conformance.driving import publish
from tests.native.amqp10 import NULL, TRUE, application_properties, data, described, listed, mapped, text, uint, ulong, uuid, value

TEXT = value(text("hello"))


@pytest.mark.parametrize("body", [
    TEXT, value(NULL), value(listed()), value(mapped(text("a"), listed(uint(1), TRUE), text("b"), uuid(bytes(16)))), data(b"one") + data(b"two"),
    described(0x76, listed(text("a"))) + described(0x76, listed()), TEXT + described(0x78, mapped()), value(b"\xe0\x04\x02\x50\x01\x02"),
    value(described(0x01, text("of a type of its own"))), b"\0" + ulong(0x77) + TRUE, b"\0\xa3\x11amqp:amqp-value:*" + TRUE])
def test_sections_behind_the_properties_of_a_message_are_told(body: bytes) -> None:
    assert is_encoded(body)
    assert not is_encoded(body[:-1])
    assert not is_encoded(body + b"x")


@pytest.mark.parametrize("body", [b"", b"HELLO", b"\0SW\xa1\5HELLO", application_properties(), value(b"\xc0\x03\x03\x40\x40"), value(b"\x99"),
                                  value(b"\0" * 200)])
def test_anything_else_is_none(body: bytes) -> None:
    assert not is_encoded(body)


@pytest.mark.parametrize("kind", ["classic", "stream"])
def test_a_body_that_is_not_what_its_type_says_is_refused_and_its_neighbours_go(places: Places, kind: str) -> None:
    name = places.queue(kind)
    bodies = (TEXT, b"edited by hand", TEXT)
    with places.open() as backend, backend.publisher(Address(name, "stream" if kind == "stream" else "queue"), PublishPolicy()) as publisher:
        receipts = publish(publisher, [Message(body, properties={"type": b"amqp-1.0"}) for body in bodies])
    assert (receipts.confirmed, receipts.refused, receipts.unknown) == (2, 1, 0)
    assert "its body is no value of AMQP 1.0" in receipts.problems[0].reason


def test_so_it_is_for_letters_that_were_edited_among_others_of_which_all_else_is_the_same(places: Places) -> None:
    dlq, work = places.queue(), places.queue()
    places.put("", dlq, [TEXT, TEXT, TEXT], (("delivery_mode", 2), ("type", b"amqp-1.0")))
    with places.open() as backend, backend.repair(queue(dlq), RepairPolicy()) as repair:
        moves = moves_home(letters(repair, 3), queue(work))
        receipts = repair.settle([moves[0], replace(moves[1], message=replace(moves[1].message, body=b"edited")), moves[2]])
    assert (receipts.confirmed, receipts.refused) == (2, 1)
    assert (places.taken(work), places.taken(dlq)) == ([TEXT, TEXT], [TEXT])
