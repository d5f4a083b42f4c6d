"""What a name stands for on RabbitMQ: found out without creating or taking anything, with and without the management API."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from brokercli.backends.contract import Purpose
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.backends.rabbitmq.existing import Existing
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.address import Address, parse_address
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import NotAuthorised, NotFound, UsageProblem
from brokercli.model.position import End, Span, Start
from tests.backends.rabbitmq_places import Places
from tests.brokers.server import HOST, free_port, wait_until
from tests.faults.proxy import Proxy
from tests.native.amqp import Field

PATIENCE = 20.0
Restricted = Callable[..., Connection]


@pytest.fixture(params=["management", "AMQP alone"])
def backend(request: pytest.FixtureRequest, places: Places) -> RabbitMQBackend:
    return places.open(places.connection if request.param == "management" else places.without_management)


@pytest.fixture
def restricted(places: Places) -> Iterator[Restricted]:
    """Make a login with these permissions and no more; it may not use the management API."""
    users: list[str] = []

    def make(configure: str = "^$", write: str = "^$", read: str = "^$") -> Connection:
        user = f"user-{uuid.uuid4().hex[:12]}"
        users.append(user)
        places.api(f"users/{user}", "PUT", password="secret", tags="")
        places.api(f"permissions/%2F/{user}", "PUT", configure=configure, write=write, read=read)
        return replace(places.connection, user=user, password=Secret("secret"))

    yield make
    for user in users:
        places.api(f"users/{user}", "DELETE")


@pytest.mark.parametrize(("kind", "resource", "said"), [
    ("classic", "classic queue", "queue"), ("quorum", "quorum queue", "queue"), ("stream", "stream", "stream")])
def test_a_bare_name_and_a_queue_say_of_which_type_they_are(backend: RabbitMQBackend, places: Places, kind: str, resource: str, said: str) -> None:
    name = places.queue(kind)
    for address in (Address(name), Address(name, "queue")):
        resolved = backend.resolve(address, "look")
        assert (resolved.kind, backend.resource(resolved)) == (said, resource)


@pytest.mark.parametrize(("kind", "resource", "arguments"), [
    ("stream", "stream", {"x_max_length_bytes": ("l", 10**9)}), ("stream", "stream", {"x_max_age": ("S", b"7D")}),
    ("quorum", "quorum queue", {"x_dead_letter_exchange": ("S", b""), "x_dead_letter_routing_key": ("S", b"dead"), "x_delivery_limit": ("l", 3)}),
    ("quorum", "quorum queue", {"x_max_length": ("l", 10), "x_overflow": ("S", b"reject-publish")}),
    ("quorum", "quorum queue", {"x_expires": ("l", 600_000)}), ("quorum", "quorum queue", {"x_single_active_consumer": ("t", True)}),
    ("classic", "classic queue", {"x_message_ttl": ("l", 600_000), "x_max_priority": ("l", 5)})])
def test_what_else_a_queue_was_declared_with_does_not_hide_its_type(backend: RabbitMQBackend, places: Places, kind: str, resource: str,
                                                                    arguments: dict[str, Field]) -> None:
    # some arguments are compared before the type is (verified on 4.3.6), and the broker names the first that differs
    name = places.queue(kind, **arguments)
    assert backend.resource(backend.resolve(Address(name), "look")) == resource


def test_a_queue_that_is_not_durable_and_one_of_another_connection_are_classic(backend: RabbitMQBackend, places: Places) -> None:
    assert backend.resource(backend.resolve(Address(places.queue(durable=False)), "look")) == "classic queue"


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
def test_an_exchange_is_found_by_its_bare_name(backend: RabbitMQBackend, places: Places, kind: str) -> None:
    resolved = backend.resolve(Address(places.exchange(kind)), "look")
    assert (resolved.kind, backend.resource(resolved)) == ("exchange", "exchange")
    assert backend.describe(resolved).facts["type"] == kind


def test_a_name_that_is_a_queue_and_an_exchange_is_refused_with_both_spellings_but_for_letters(backend: RabbitMQBackend, places: Places) -> None:
    name = places.exchange()
    places.queue(name=name)
    with pytest.raises(UsageProblem, match="queue and an exchange") as caught:
        backend.resolve(Address(name), "look")
    assert f"queue:{name} or exchange:{name}" in str(caught.value.hint)
    assert backend.resolve(Address(name, "queue"), "look").kind == "queue"
    assert backend.resolve(Address(name, "exchange"), "look").kind == "exchange"
    assert backend.resolve(Address(name), "letters").kind == "queue"
    with pytest.raises(NotFound) as missing:
        backend.resolve(Address(f"{name}x"), "look")
    assert str(missing.value.hint).count(name) < 2


def test_a_queue_is_no_stream_and_that_is_said(backend: RabbitMQBackend, places: Places) -> None:
    name = places.queue("quorum")
    with pytest.raises(UsageProblem, match="is a quorum queue, not a stream") as caught:
        backend.resolve(Address(name, "stream"), "look")
    assert caught.value.hint == f"queue:{name}"


@pytest.mark.parametrize("purpose", ["publish", "look", "describe"])
@pytest.mark.parametrize("kind", [None, "queue", "stream", "exchange"])
def test_what_does_not_exist_is_not_found_and_not_made(backend: RabbitMQBackend, places: Places, kind: str | None, purpose: Purpose) -> None:
    name = f"missing-{uuid.uuid4().hex}"
    with pytest.raises(NotFound, match=name):
        backend.resolve(Address(name, kind), purpose)
    assert name not in {facts["name"] for facts in [*places.api("queues/%2F"), *places.api("exchanges/%2F")]}


@pytest.mark.parametrize("spelled", [True, False], ids=["with its kind", "bare"])
@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_what_is_deleted_while_its_type_is_asked_for_is_not_found(backend: RabbitMQBackend, places: Places, monkeypatch: pytest.MonkeyPatch, kind: str,
                                                                  spelled: bool) -> None:
    name = places.queue("quorum") if kind == "queue" else places.exchange()
    delete = places.wire.delete_queue if kind == "queue" else places.wire.delete_exchange
    type_of: Callable[[Existing, str], str | None] = getattr(Existing, f"_type_of_{kind}")

    def deleted_meanwhile(self: Existing, name: str) -> str | None:
        delete(name)
        return type_of(self, name)

    monkeypatch.setattr(Existing, f"_type_of_{kind}", deleted_meanwhile)
    with pytest.raises(NotFound, match=name):
        backend.resolve(Address(name, kind if spelled else None), "describe")


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(places: Places) -> None:
    name = places.queue(name=f"orders-{uuid.uuid4().hex}")
    with pytest.raises(NotFound) as caught:
        places.open().resolve(Address(name + "s"), "look")
    assert name in str(caught.value.hint)


def test_what_is_nearly_right_is_of_the_kind_that_was_said(places: Places) -> None:
    name = f"orders-{uuid.uuid4().hex}"
    made = {"queue": places.queue(name=f"{name}q"), "exchange": places.exchange(name=f"{name}x")}
    for kind, other in (("queue", "exchange"), ("exchange", "queue")):
        with pytest.raises(NotFound) as caught:
            places.open().resolve(Address(f"{name}s", kind), "look")
        assert made[kind] in str(caught.value.hint)
        assert made[other] not in str(caught.value.hint)


@pytest.mark.parametrize(("kind", "made"), [(None, "queue"), ("queue", "queue"), ("stream", "stream"), ("exchange", "exchange")])
def test_where_a_new_name_is_to_be_published_to_the_command_that_makes_it_is_named(places: Places, kind: str | None, made: str) -> None:
    with pytest.raises(NotFound) as caught:
        places.open().resolve(Address("no such", kind), "publish")
    assert f"brokercli declare {made} 'no such'" in str(caught.value.hint)


def test_nobody_is_told_to_make_an_exchange_whose_name_is_the_brokers_own(places: Places) -> None:
    for name, hint in (("amq.default", "exchange:/QUEUE"), ("amq.orders", "")):
        with pytest.raises(NotFound) as raised:
            places.open().resolve(Address(name, "exchange", "orders"), "publish")
        assert "declare" not in raised.value.hint
        assert hint in raised.value.hint


def test_an_exchange_with_a_slash_in_its_name_is_spelled_out_to_whoever_left_it_bare(places: Places) -> None:
    backend = places.open()
    exchange = places.exchange(name=f"e-{uuid.uuid4().hex[:12]}/eu")
    spelled = f"exchange:{exchange.replace('/', '%2F')}"
    with pytest.raises(NotFound) as raised:
        backend.resolve(parse_address(f"exchange:{exchange}"), "publish")
    assert raised.value.hint == f"did you mean {spelled}?"
    assert backend.resolve(parse_address(spelled), "publish").name == exchange


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "a\nb", "a\udcffb"], ids=["long", "long in UTF-8", "line end", "no UTF-8"])
@pytest.mark.parametrize("kind", [None, "queue", "stream", "exchange"])
def test_a_name_that_nothing_can_have_is_refused(places: Places, kind: str | None, name: str) -> None:
    with pytest.raises(UsageProblem):
        places.open().resolve(Address(name, kind), "look")


def test_a_kind_that_rabbitmq_does_not_have_is_refused(places: Places) -> None:
    with pytest.raises(UsageProblem, match="no topic orders"):
        places.open().resolve(Address("orders", "topic"), "look")


def test_looking_up_takes_nothing_and_marks_nothing(backend: RabbitMQBackend, places: Places) -> None:
    name = places.queue()
    places.put("", name, [b"1", b"2"])
    backend.resource(backend.resolve(Address(name), "look"))
    found = [places.wire.get(name), places.wire.get(name)]
    assert [(message[0], message[2]) for message in found if message] == [(b"1", False), (b"2", False)]


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_the_type_is_found_with_the_permission_to_read_alone(places: Places, restricted: Restricted, kind: str) -> None:
    name = places.queue(kind)
    backend = places.open(restricted(read=f"^{name}$"))
    assert backend.resource(backend.resolve(Address(name), "look")).startswith(kind)


def test_without_any_permission_it_is_a_question_of_permission(places: Places, restricted: Restricted) -> None:
    backend = places.open(restricted())
    address = Address(places.stream([b"1"]), "stream")
    # before 4.3 anybody may ask whether it exists
    with pytest.raises(NotAuthorised, match="No permission"):
        backend.look(backend.resolve(address, "look"), Span(Start(), End()))


def test_a_guessed_management_api_of_another_broker_is_not_believed(places: Places) -> None:
    from brokercli.backends.rabbitmq.management import Away, Management

    with pytest.raises(Away):
        Management(replace(places.connection, management=None), "another-cluster", 2).queue("orders")


def test_the_management_api_is_looked_for_at_the_host_that_the_connection_leads_to(places: Places) -> None:
    host, port = places.connection.hosts[0]
    management = urlsplit(places.connection.management or "")
    with ExitStack() as opened:
        # the usual distance between the two ports
        near = free_port(10_000)
        opened.enter_context(Proxy((host, port or 5672), port=near))
        opened.enter_context(Proxy((management.hostname or "", management.port or 15672), port=near + 10_000))
        connection = replace(places.connection, management=None, hosts=((HOST, free_port()), (HOST, near)))
        with RabbitMQBackend(connection) as backend:
            assert isinstance(list(backend.list()), list)


def test_one_channel_is_kept_for_questions_and_another_is_opened_after_a_refusal_and_after_a_lost_connection(places: Places) -> None:
    name = places.queue()
    asked: list[Any] = []

    def ask(queue: str) -> int:
        def step(channel: Any, answered: Any) -> None:
            asked.append(channel)
            channel.queue_declare(queue, passive=True, callback=answered)

        (answer,) = link.ask("asking", step, keep=True)
        return int(answer.method.message_count)

    with closing(Link(places.connection)) as link:
        assert [ask(name), ask(name)] == [0, 0]
        assert asked[0] is asked[1]
        with pytest.raises(NotFound):
            ask(f"{name}-that-is-not-there")
        assert [ask(name), ask(name)] == [0, 0]
        assert asked[2] is asked[0]
        assert asked[3] is asked[4] is not asked[0]
        before = link.live
        link.post(link.reconnect)
        wait_until(lambda: link.live not in (None, before), PATIENCE, "the new connection")
        assert [ask(name), ask(name)] == [0, 0]
        assert asked[5] is asked[6] is not asked[3]
