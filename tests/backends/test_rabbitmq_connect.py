"""Reaching RabbitMQ: trust, login, virtual hosts, several hosts, and one sentence about each way to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.backends.rabbitmq.connect import explain_login
from brokercli.backends.rabbitmq.failures import NotLetIn, NoVirtualHost
from brokercli.model.address import Address
from brokercli.model.connection import TLS, Connection, Secret
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, Unreachable, UsageProblem
from brokercli.model.message import Message
from tests.backends.rabbitmq_guarded import LARGEST_MESSAGE, GuardedRabbitMQ
from tests.backends.rabbitmq_places import Places
from tests.brokers.server import HOST, free_port
from tests.conformance.driving import publish
from tests.faults.proxy import Proxy

PASSWORD = "rabbit-s3cret"


@pytest.fixture(scope="session")
def guarded(servers: Callable[..., GuardedRabbitMQ]) -> GuardedRabbitMQ:
    return servers(GuardedRabbitMQ)


@pytest.fixture
def inside(guarded: GuardedRabbitMQ) -> Iterator[Places]:
    """Places on it, by its plain port."""
    made = Places(guarded.address, guarded.management)
    yield made
    made.close()


def encrypted(guarded: GuardedRabbitMQ, **changes: Any) -> Connection:
    """A connection to its TLS port by the name of its certificate, as guest."""
    tls = TLS(ca=str(guarded.certificates / "authority.pem"))
    settings: dict[str, Any] = {"scheme": "amqps", "hosts": (("localhost", guarded.ports["tls"]),), "user": "guest", "password": Secret("guest"), "tls": tls}
    return Connection(**(settings | {"management": guarded.management, "connect_timeout": 20} | changes))


def refusal(connection: Connection) -> BrokercliError:
    with pytest.raises(BrokercliError) as refused:
        RabbitMQBackend(connection)
    assert PASSWORD not in f"{refused.value} {refused.value.hint}"
    return refused.value


def test_tls_is_spoken_where_it_is_asked_for_and_carries_everything(guarded: GuardedRabbitMQ, inside: Places) -> None:
    queue = inside.queue()
    with RabbitMQBackend(encrypted(guarded)) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
        bodies = [b"%d" % number + b"x" * 5000 for number in range(500)]
        assert publish(publisher, [Message(body) for body in bodies]).confirmed == 500
    assert inside.taken(queue) == bodies


def test_a_certificate_that_is_not_trusted_or_for_another_name_is_refused(guarded: GuardedRabbitMQ) -> None:
    stranger = refusal(encrypted(guarded, tls=TLS()))
    assert isinstance(stranger, NotAuthorised)
    assert "certificate was not accepted" in str(stranger)
    assert "tls.ca" in (stranger.hint or "")
    other = refusal(encrypted(guarded, hosts=((HOST, guarded.ports["tls"]),)))
    assert isinstance(other, NotAuthorised)
    assert "certificate" in str(other)
    assert "server_name" in (other.hint or "")
    authority = str(guarded.certificates / "authority.pem")
    with RabbitMQBackend(encrypted(guarded, hosts=((HOST, guarded.ports["tls"]),), tls=TLS(ca=authority, server_name="localhost"))):
        pass
    with RabbitMQBackend(encrypted(guarded, tls=TLS(insecure=True))):
        pass


def test_a_client_certificate_logs_in_without_a_password(guarded: GuardedRabbitMQ, inside: Places) -> None:
    folder = guarded.certificates
    tls = TLS(ca=str(folder / "authority.pem"), certificate=str(folder / "client.pem"), key=str(folder / "client.key"))
    by_certificate = encrypted(guarded, user=None, password=None, tls=tls)
    with suppress(HTTPError):
        inside.api("users/client", "DELETE")
    unknown = refusal(by_certificate)
    assert isinstance(unknown, NotAuthorised)
    assert "by certificate was refused" in str(unknown)
    assert "a user of the name in the certificate" in (unknown.hint or "")
    inside.api("users/client", "PUT", password_hash="", tags="")
    inside.api("permissions/%2F/client", "PUT", configure=".*", write=".*", read=".*")
    queue = inside.queue()
    with RabbitMQBackend(by_certificate) as backend, backend.publisher(backend.resolve(Address(queue), "publish"), PublishPolicy()) as publisher:
        # the broker knows who we are, and takes no other name for it
        receipts = publish(publisher, [Message(b"mine", properties={"user_id": b"client"}), Message(b"another's", properties={"user_id": b"guest"})])
    assert (receipts.confirmed, [problem.index for problem in receipts.problems]) == (1, [1])
    assert inside.taken(queue) == [b"mine"]


def test_a_client_certificate_that_nobody_trusts_is_named_as_the_reason(guarded: GuardedRabbitMQ) -> None:
    folder = guarded.certificates
    tls = TLS(ca=str(folder / "authority.pem"), certificate=str(folder / "stranger.pem"), key=str(folder / "stranger.key"))
    error = refusal(encrypted(guarded, tls=tls))
    assert isinstance(error, NotAuthorised)
    assert "does not accept our certificate" in str(error)


def test_external_without_a_certificate_is_a_mistake(places: Places) -> None:
    assert isinstance(refusal(replace(places.connection, mechanism="EXTERNAL")), UsageProblem)


def test_a_certificate_file_that_is_missing_is_a_mistake(guarded: GuardedRabbitMQ) -> None:
    missing = refusal(encrypted(guarded, tls=TLS(ca="/nowhere/ca.pem")))
    assert isinstance(missing, UsageProblem)
    assert "/nowhere/ca.pem" in str(missing)


def test_a_wrong_login_a_missing_virtual_host_and_a_missing_permission_are_told_apart(places: Places, unique: Callable[[str], str]) -> None:
    user, vhost = unique("user"), unique("vhost")
    places.api(f"users/{user}", "PUT", password=PASSWORD, tags="")
    try:
        connection = replace(places.connection, user=user, password=Secret(PASSWORD))
        wrong = refusal(replace(connection, password=Secret(PASSWORD + "!")))
        nowhere = refusal(replace(connection, virtual_host=vhost))
        forbidden = refusal(connection)
    finally:
        places.api(f"users/{user}", "DELETE")
    assert [type(failure) for failure in (wrong, nowhere, forbidden)] == [NotAuthorised, NoVirtualHost, NotLetIn]
    assert nowhere.exit_code == forbidden.exit_code == NotAuthorised.exit_code
    assert "was refused" in str(wrong)
    assert user in str(wrong)
    assert f"there is no virtual host {vhost}" in str(nowhere)
    assert "has no permission for the virtual host /" in str(forbidden)
    assert "set_permissions" in (forbidden.hint or "")


def test_the_first_host_that_answers_is_used(places: Places) -> None:
    hosts = ((HOST, free_port()), *places.connection.hosts)
    with RabbitMQBackend(replace(places.connection, hosts=hosts)) as backend:
        assert backend.resolve(Address("amq.topic", "exchange"), "look") == Address("amq.topic", "exchange")


def test_of_several_hosts_that_fail_the_one_that_refuses_the_login_is_named(places: Places) -> None:
    failure = refusal(replace(places.connection, hosts=((HOST, free_port()), *places.connection.hosts), password=Secret("wrong")))
    assert isinstance(failure, NotAuthorised)


def test_a_broker_that_falls_silent_during_the_login_is_not_waited_for_beyond_the_timeout(places: Places) -> None:
    with Proxy((places.broker.host, places.broker.port)) as proxy:
        # connection.start is longer than that
        proxy.cut_after(100, "to client")
        cut = refusal(replace(places.connection, hosts=((HOST, proxy.port),), connect_timeout=2.0))
        proxy.heal()
        proxy.hold_answers()
        held = refusal(replace(places.connection, hosts=((HOST, proxy.port),), connect_timeout=1.0))
    assert isinstance(cut, Unreachable)
    assert isinstance(held, Unreachable)
    assert "says nothing" in str(held)


def test_the_brokers_own_limit_for_messages_is_learnt_from_its_first_refusal(guarded: GuardedRabbitMQ, inside: Places) -> None:
    queue = inside.queue()
    with RabbitMQBackend(inside.connection) as backend, backend.publisher(Address(queue, "queue"), PublishPolicy()) as publisher:
        sizes = [10, LARGEST_MESSAGE, LARGEST_MESSAGE + 1, 20, 3 * LARGEST_MESSAGE, LARGEST_MESSAGE, 30]
        receipts = publish(publisher, [Message(b"x" * size) for size in sizes])
    assert [problem.index for problem in receipts.problems] == [2, 4]
    assert all(str(LARGEST_MESSAGE) in problem.reason for problem in receipts.problems)
    assert (receipts.refused, receipts.unknown) == (2, 0)
    assert [len(body) for body in inside.taken(queue)] == [size for size in sizes if size <= LARGEST_MESSAGE]


def test_an_option_that_the_connection_does_not_have_is_a_mistake(places: Places) -> None:
    assert isinstance(refusal(replace(places.connection, options={"prefetch": "1"})), UsageProblem)


@pytest.mark.parametrize("text", ["NOT_ALLOWED - access to vhost 'shop' refused for user 'me': connection limit (2) is reached",
                                  "NOT_ALLOWED - connection refused for user 'me': user connection limit (2) is reached"])
def test_a_limit_of_connections_is_no_missing_permission_and_may_pass(text: str) -> None:
    refusal = explain_login(Connection("amqp", ((HOST, 5672),)), f"amqp://{HOST}:5672", (530, text), None)
    assert type(refusal) is Unreachable
    assert f"takes no more connections: {text.removeprefix('NOT_ALLOWED - ')}." in str(refusal)


def test_more_channels_than_a_login_may_have_are_said_at_once(places: Places, unique: Callable[[str], str]) -> None:
    user = unique("user")
    places.api(f"users/{user}", "PUT", password=PASSWORD, tags="")
    try:
        places.api(f"permissions/%2F/{user}", "PUT", configure="", write="", read="")
        places.api(f"user-limits/{user}/max-channels", "PUT", value=0)
        with (RabbitMQBackend(replace(places.connection, user=user, password=Secret(PASSWORD))) as backend,
              pytest.raises(Failed, match=f"number of channels opened for user '{user}' has reached the maximum allowed") as refused):
            backend.resolve(Address("orders"), "look")
    finally:
        places.api(f"users/{user}", "DELETE")
    assert "max-channels" in (refused.value.hint or "")


@pytest.mark.parametrize(("frame", "said"), [("4096", "no frame_max below 8192"), ("8192", "the broker's log says why")])
def test_a_broker_that_hangs_up_on_a_small_frame_may_do_it_for_that(frame: str, said: str) -> None:
    refusal = explain_login(Connection("amqp", ((HOST, 5672),), options={"frame_max": frame}), f"amqp://{HOST}:5672", None, None)
    assert said in (refusal.hint or "")
