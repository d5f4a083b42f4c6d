"""`ls` and `describe` on RabbitMQ: what the management API says, and what is missing without it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import pytest

from brokercli.backends.rabbitmq.management import Management
from brokercli.model.address import Address
from brokercli.model.connection import Secret
from brokercli.model.description import Description, Section
from brokercli.model.errors import Failed
from tests.backends.rabbitmq_places import SECONDS, Places

NAMES = [f"q{number:02}" for number in range(45)]


def section(description: Description, title: str) -> Section:
    return next(section for section in description.sections if section.title == title)


def described(places: Places, address: Address, *, until: Callable[[Description], bool] = lambda description: True) -> Description:
    """Describe again until the broker's figures have caught up."""
    backend = places.open()
    deadline = monotonic() + SECONDS
    while not until(description := backend.describe(address)) and monotonic() < deadline:
        sleep(0.1)
    return description


def test_everything_is_listed_by_name_with_its_kind_and_row(places: Places) -> None:
    made = {places.queue(): ("queue", "classic queue"), places.queue("quorum"): ("queue", "quorum queue"), places.stream(): ("stream", "stream"),
            places.exchange("direct"): ("exchange", "exchange")}
    listed = list(places.open().list())
    assert {one.name: (one.kind, one.resource) for one in listed if one.name in made} == made
    names = [one.name for one in listed]
    assert names == sorted(names)
    assert "" not in names
    assert not {"amq.topic", "amq.direct", "amq.fanout", "amq.headers"} & set(names)


def test_a_list_counts_what_a_queue_holds_now_and_not_what_it_held_when_statistics_were_made(places: Places) -> None:
    name = places.queue("classic")
    for count in range(1, 4):
        places.put("", name, [b"."])
        listed = next(one for one in places.open().list(("queue",)) if one.name == name)
        assert (listed.messages, listed.bytes) in ((count, None), (count, count))


@pytest.mark.parametrize("kinds", [("queue",), ("stream",), ("exchange",), ("stream", "exchange")])
def test_kinds_narrow_the_list(places: Places, kinds: tuple[str, ...]) -> None:
    places.queue(), places.stream(), places.exchange()
    assert {one.kind for one in places.open().list(kinds)} == set(kinds)


@pytest.fixture
def host(places: Places, monkeypatch: pytest.MonkeyPatch, unique: Callable[[str], str]) -> Iterator[str]:
    """A virtual host with NAMES as its queues, which are listed 20 at a time."""
    monkeypatch.setattr("brokercli.backends.rabbitmq.management._PAGE", 20)
    host = unique("host")
    places.api(f"vhosts/{host}", "PUT")
    try:
        places.api(f"permissions/{host}/guest", "PUT", configure=".*", write=".*", read=".*")
        for name in NAMES:
            places.api(f"queues/{host}/{name}", "PUT", durable=True)
        yield host
    finally:
        places.api(f"vhosts/{host}", "DELETE")


def test_the_first_of_a_list_are_told_before_all_are_counted(places: Places, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    asked, send = list[str](), Management._send

    def noted(self: Management, base: str, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        asked.append(path)
        return send(self, base, method, path, body)

    monkeypatch.setattr(Management, "_send", noted)
    listed = iter(places.open(replace(places.connection, virtual_host=host)).list(("queue",)))
    assert next(listed).name == NAMES[0]
    assert len([path for path in asked if "enable_queue_totals" in path]) == 1
    assert [(one.name, one.messages) for one in listed] == [(name, 0) for name in NAMES[1:]]


@pytest.mark.parametrize("gone", [0, 1, 5, 20, 21, 40, 45])
def test_queues_deleted_between_two_pages_of_a_list_hide_none_of_the_others(places: Places, host: str, gone: int) -> None:
    with closing(Management(replace(places.connection, virtual_host=host), None, SECONDS)) as management:
        listed = management.queues()
        found = [next(listed)["name"]]
        for name in NAMES[:gone]:
            places.api(f"queues/{host}/{name}", "DELETE")
        found += [facts["name"] for facts in listed]
    assert found == NAMES[:20] + NAMES[max(gone, 20):]


def test_a_queue_that_is_deleted_in_the_midst_of_a_question_is_gone_and_the_management_api_is_not(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    name, other, send = places.queue(), places.queue(), Management._send
    there = [name]

    def deleted_meanwhile(self: Management, base: str, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        if there and f"/{name}?" in path:
            places.delete_queue(there.pop())
            return 500, b""  # seen on 4.3.6
        return send(self, base, method, path, body)

    monkeypatch.setattr(Management, "_send", deleted_meanwhile)
    with closing(Management(places.connection, None, SECONDS)) as management:
        assert management.queue_now(name) is None
        assert (management.queue_now(other) or {})["name"] == other


@pytest.mark.parametrize(("management", "password", "said", "hint"), [
    ("http://127.0.0.1:9", "guest", "nothing answers at http://127.0.0.1:9", "rabbitmq-plugins enable rabbitmq_management"),
    ("ftp://127.0.0.1", "guest", "no http:// or https:// address", "http://HOST:15672"),
])
def test_without_the_management_api_a_list_fails_and_says_how_to_get_one(places: Places, management: str, password: str, said: str, hint: str) -> None:
    backend = places.open(replace(places.connection, management=management, password=Secret(password)))
    with pytest.raises(Failed, match=said) as caught:
        list(backend.list())
    assert hint in str(caught.value.hint)


def test_the_port_of_the_broker_itself_is_not_taken_for_its_management_api(places: Places) -> None:
    connection = replace(places.connection, management=f"http://{places.broker.host}:{places.broker.port}")
    with pytest.raises(Failed, match="management API"):
        list(places.open(connection).list())


def test_a_queue_is_described_with_what_decides_over_its_messages(places: Places) -> None:
    exchange = places.exchange()
    name = places.queue("quorum", x_dead_letter_exchange=("S", b""), x_dead_letter_routing_key=("S", b"dead"), x_delivery_limit=("l", 5),
                        x_max_length=("l", 100), x_message_ttl=("l", 3_600_000))
    places.bind(name, exchange, "orders.#")
    places.put(exchange, "orders.created", [b"1", b"2"])
    description = described(places, Address(name, "queue"), until=lambda description: description.facts.get("delivery limit") is not None)
    facts = description.facts
    assert (description.kind, description.resource) == ("queue", "quorum queue")
    assert facts["messages ready"] == 2
    assert facts["consumers"] == 0
    assert facts["type"] == "quorum"
    assert facts["delivery limit"] == 5
    assert (facts["dead letter exchange"], facts["dead letter routing key"]) == ("(default exchange)", "dead")
    assert (facts["max length"], facts["message ttl ms"]) == (100, 3_600_000)
    assert {(row["from"], row["routing key"]) for row in section(description, "bindings").rows} == {(exchange, "orders.#"), ("(default exchange)", name)}
    assert description.missing == []


def test_a_policy_is_shown_and_counts_where_the_queue_says_nothing(places: Places) -> None:
    name = places.queue(x_max_length=("l", 100))
    policy = f"policy-{uuid.uuid4().hex}"
    definition = {"max-length": 50, "dead-letter-exchange": "amq.fanout"}
    places.api(f"policies/%2F/{policy}", "PUT", pattern=f"^{name}$", definition=definition, **{"apply-to": "queues"})
    try:
        description = described(places, Address(name, "queue"), until=lambda description: description.facts.get("policy") is not None)
        assert description.facts["policy"] == policy
        assert description.facts["dead letter exchange"] == "amq.fanout"
        assert description.facts["max length"] == 50
    finally:
        places.api(f"policies/%2F/{policy}", "DELETE")


def test_messages_in_delivery_are_told_from_those_that_wait(places: Places) -> None:
    import pika

    name = places.queue()
    places.put("", name, [b"1", b"2", b"3"])
    with pika.BlockingConnection(pika.URLParameters(places.broker.url)) as connection:
        channel = connection.channel()
        channel.basic_get(name)
        description = described(places, Address(name, "queue"), until=lambda description: description.facts.get("messages in delivery") == 1)
        assert (description.facts["messages ready"], description.facts["messages in delivery"]) == (2, 1)


def test_a_stream_is_described_by_its_copies(places: Places) -> None:
    description = described(places, Address(places.stream([b"1"]), "stream"), until=lambda description: bool(description.facts.get("leader")))
    assert description.resource == "stream"
    assert str(description.facts["leader"]) in str(description.facts["members"])
    assert "delivery limit" not in description.facts


def test_an_exchange_is_described_by_what_is_bound_to_it(places: Places) -> None:
    exchange, queue = places.exchange("headers"), places.queue()
    places.bind(queue, exchange, "", [("x-match", ("S", b"any")), ("kind", ("S", b"order"))])
    description = places.open().describe(Address(exchange, "exchange"))
    assert (description.facts["type"], description.facts["bindings"]) == ("headers", 1)
    assert section(description, "bindings").rows == [{"to": f"queue:{queue}", "routing key": "", "arguments": "kind=order, x-match=any"}]


def test_without_the_management_api_a_description_says_what_amqp_knows_and_what_is_missing(places: Places) -> None:
    exchange, queue = places.exchange(), places.queue("quorum")
    places.put("", queue, [b"1"])
    backend = places.open(places.without_management)
    description = backend.describe(Address(queue, "queue"))
    assert description.facts == {"messages ready": 1, "consumers": 0, "type": "quorum"}
    assert "bindings, arguments, policy" in description.missing[0]
    assert "rabbitmq-plugins enable rabbitmq_management" in description.missing[0]
    described_exchange = backend.describe(Address(exchange, "exchange"))
    assert described_exchange.facts == {"type": "topic"}
    assert "bindings" in described_exchange.missing[0]
