"""Letters that were published to RabbitMQ over AMQP 1.0, as AMQP 0-9-1 shows them: what cannot be put back is said."""

from __future__ import annotations

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.dialects.amqp_1_0 import lost_from_amqp_1_0
from brokercli.model.message import Header, HeaderValue, Message, Record, Typed
from tests.dialects.frameworks import x_death

DEATHS = ("x-death", x_death(("orders", "rejected", 1)))


def record(*headers: Header, **properties: HeaderValue) -> Record:
    message = Message(b"\0Sw\xa1\5hello", headers=(*headers, DEATHS), properties=properties, origin="rabbitmq")
    return Record("rabbitmq", {"exchange": "", "routing_key": "orders.dlq", "queue": "orders.dlq"}, "", None, message)


@pytest.mark.parametrize("shown", [
    record(("x-opt-jms-msg-type", Typed("byte", 5))),
    record(("x-message-id", Typed("bytes", b"\1\2"))),
    record(type=b"amqp-1.0"),
])
def test_what_amqp_0_9_1_does_not_show_of_it_cannot_be_put_back(shown: Record) -> None:
    letter = recognise(shown)
    assert letter.lost == lost_from_amqp_1_0(shown.message)
    assert "subject, to" in letter.lost[0]


def test_of_any_other_message_nothing_is_said_to_be_lost() -> None:
    assert recognise(record(("x-message-id", b"m-1"), ("x-optional", b"1"), type=b"order.created", message_id=b"urn:uuid:1")).lost == ()


def test_an_encoded_body_is_told_by_the_type_also_among_letters_that_have_the_same_headers() -> None:
    one, other = record(content_type=b"text/plain"), record(type=b"amqp-1.0")
    for first, second in ((one, other), (other, one)):
        said = {letter.record.message.properties.get("type"): letter for letter in (recognise(first), recognise(second))}
        assert (said[None].lost, said[None].remarks) == ((), ())
        assert "as it is encoded" in said[b"amqp-1.0"].remarks[0]
        assert to_message(said[b"amqp-1.0"]).properties == {"type": b"amqp-1.0"}
