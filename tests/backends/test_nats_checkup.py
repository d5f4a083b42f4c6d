"""What a check-up finds on NATS: JetStream, its limits, and logins in the clear."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.checkup import Check, Health
from brokercli.model.connection import Connection, Secret
from tests.backends.nats_streams import Streams
from tests.brokers.nats import Nats
from tests.brokers.server import HOST

pytestmark = pytest.mark.nats

_ACCOUNTS = ("{ROOM: {jetstream: {max_streams: 2, max_file: 10M, max_consumers: 1}, users: [{user: room, password: secret}]}, "
             "NONE: {users: [{user: none, password: secret}]}}")


def found(backend: NatsBackend) -> dict[str, Check]:
    with backend:
        return {check.what: check for check in backend.checkup()}


@pytest.fixture(scope="module")
def accounts(servers: Callable[..., Nats]) -> Nats:
    """A server with an account that may have two streams, and one without JetStream."""
    return servers(Nats, settings={"accounts": _ACCOUNTS})


def login(server: Nats, user: str) -> NatsBackend:
    return NatsBackend(Connection("nats", ((HOST, server.port),), user=user, password=Secret("secret")))


def test_a_server_in_order_is_in_order(streams: Streams) -> None:
    streams.make()
    checks = found(streams.backend())
    assert {check.health for check in checks.values()} == {Health.OK}
    assert "NATS 2." in checks["server"].found
    assert "all answer" in checks["streams"].found


def test_limits_that_are_nearly_reached_are_a_warning(accounts: Nats) -> None:
    room = Streams(accounts.address, {"user": "room", "pass": "secret"})
    room.make()
    assert found(login(accounts, "room"))["JetStream"].health is Health.OK
    room.make()
    checks = found(login(accounts, "room"))
    assert checks["JetStream"].health is Health.WARNING
    assert "streams 2 of 2" in checks["JetStream"].found
    assert checks["login"].health is Health.WARNING
    room.close()


def test_as_many_consumers_as_an_account_allows_are_as_many_of_one_stream(accounts: Nats) -> None:
    room = Streams(accounts.address, {"user": "room", "pass": "secret"})
    names = [room.make(), room.make()]
    room.worker(names[0])
    checks = found(login(accounts, "room"))
    assert "consumers" not in checks["JetStream"].found
    assert (checks["streams"].health, checks["streams"].found) == (Health.WARNING, f"as many consumers as the account allows of one: {names[0]}")
    room.close()


def test_an_account_without_jetstream_is_told_what_works_without_it(accounts: Nats) -> None:
    checks = found(login(accounts, "none"))
    assert checks["JetStream"].health is Health.WARNING
    assert "no JetStream" in checks["JetStream"].found
    assert "--core" in (checks["JetStream"].hint or "")
    assert "streams" not in checks


def test_a_login_that_may_not_list_streams_is_told_so_and_nothing_failed(servers: Callable[..., Nats]) -> None:
    user = '{user: asks, password: secret, permissions: {publish: ["$JS.API.INFO"], subscribe: ["_INBOX.>"]}}'
    checks = found(login(servers(Nats, settings={"authorization": f"{{users: [{user}]}}"}), "asks"))
    assert checks["JetStream"].health is Health.OK
    assert checks["streams"].health is Health.WARNING
    assert "STREAM.LIST" in checks["streams"].found
