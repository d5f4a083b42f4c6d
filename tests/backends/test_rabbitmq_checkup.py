"""What a check-up finds on RabbitMQ: alarms, and what the management API says or keeps to itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from brokercli.backends.rabbitmq.backend import RabbitMQBackend
from brokercli.model.checkup import Check, Health
from brokercli.model.connection import Connection, Secret
from tests.backends.rabbitmq_places import Places
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import HOST, wait_until

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def virtual_host(unique: Callable[[str], str]) -> str:
    """One of its own: a check-up looks at every queue there is, and others' may be long in the making."""
    return unique("host")


def found(connection: Connection) -> dict[str, Check]:
    with RabbitMQBackend(connection) as backend:
        return {check.what: check for check in backend.checkup()}


def test_a_broker_in_order_is_in_order(places: Places) -> None:
    places.queue()
    checks = found(places.connection)
    assert {what: check.health for what, check in checks.items() if what != "login"} == {what: Health.OK for what in checks if what != "login"}
    assert checks["login"].health is Health.WARNING
    assert "RabbitMQ 4." in checks["broker"].found
    assert checks["queues"].found == "1, all running"
    assert "administrator" in checks["management API"].found
    assert any(what.startswith("node ") for what in checks)


def test_streams_that_are_being_made_and_deleted_meanwhile_are_none_that_do_not_work(private_rabbitmq: RabbitMQ) -> None:
    places = Places(private_rabbitmq.address, private_rabbitmq.management)
    over = threading.Event()

    def make_and_delete() -> None:
        busy = Places(private_rabbitmq.address, private_rabbitmq.management)
        while not over.is_set():
            busy.delete_queue(busy.stream())
        busy.close()

    busy = threading.Thread(target=make_and_delete)
    busy.start()
    try:
        # every other time that a list has one, it is down
        assert [found(places.connection)["queues"].health for _ in range(10)] == [Health.OK] * 10
    finally:
        over.set()
        busy.join()
        places.close()


def test_a_broker_that_is_short_of_memory_says_that_publishers_wait(private_rabbitmq: RabbitMQ) -> None:
    connection = Connection("amqp", ((HOST, private_rabbitmq.port),), user="guest", password=Secret("guest"), management=private_rabbitmq.management,
                            connect_timeout=20)

    def node() -> Check:
        return next(check for what, check in found(connection).items() if what.startswith("node "))

    private_rabbitmq.alarm(on=True)
    try:
        wait_until(lambda: node().health is Health.FAILED, 30, "the alarm in the broker's figures")
        assert "short of memory: whoever publishes has to wait" in node().found
    finally:
        private_rabbitmq.alarm(on=False)
    wait_until(lambda: node().health is Health.OK, 30, "the end of the alarm in the broker's figures")


def test_what_a_login_may_not_see_is_said_with_the_tag_that_lets_it(places: Places, unique: Callable[[str], str]) -> None:
    user = unique("user")
    places.api(f"users/{user}", "PUT", password="secret", tags="management")
    try:
        places.api(f"permissions/{places.virtual_host}/{user}", "PUT", configure=".*", write=".*", read=".*")
        checks = found(replace(places.connection, user=user, password=Secret("secret")))
        places.api(f"users/{user}", "PUT", password="secret", tags="")
        without = found(replace(places.connection, user=user, password=Secret("secret")))
    finally:
        places.api(f"users/{user}", "DELETE")
    assert checks["nodes"].health is Health.WARNING
    assert "set_user_tags USER monitoring" in (checks["nodes"].hint or "")
    assert without["management API"].health is Health.WARNING
    assert "set_user_tags USER management" in (without["management API"].hint or "")
