"""Queues that RabbitMQ deletes with their last consumer: nothing that looks at letters may be that consumer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from brokercli.backends.dead_letters import RepairPolicy
from brokercli.model.connection import Connection, Secret
from brokercli.model.errors import Unsupported
from tests.backends.rabbitmq_places import Places, bodies_of
from tests.backends.rabbitmq_redrive import count, numbered, queue

pytestmark = pytest.mark.rabbitmq
SHAPES: dict[str, dict[str, Any]] = {
    "durable": {},
    "not durable": {"durable": False},
    # RabbitMQ compares it before the type
    "with an argument": {"x_max_length_bytes": ("l", 1_000_000)},
}


@pytest.fixture
def may_not_configure(versions: Places) -> Iterator[Connection]:
    """A login that may publish and read and nothing else, and whom the management API does not answer."""
    user = f"user-{uuid.uuid4().hex[:12]}"
    versions.api(f"users/{user}", "PUT", password="secret", tags="")
    versions.api(f"permissions/%2F/{user}", "PUT", configure="^$", write=".*", read=".*")
    yield replace(versions.without_management, user=user, password=Secret("secret"))
    versions.api(f"users/{user}", "DELETE")


def refused(places: Places, dlq: str, connection: Connection, why: str) -> None:
    """Look and take, and see both refused with the letters where they are."""
    backend = places.open(connection)
    with pytest.raises(Unsupported, match=f"Looking {why}") as look:
        backend.look_letters(queue(dlq))
    with pytest.raises(Unsupported, match=f"Taking letters {why}"):
        backend.repair(queue(dlq), RepairPolicy())
    assert look.value.hint
    assert count(places, dlq) == 5
    assert places.taken(dlq) == numbered(5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("management", [True, False], ids=["management", "no management"])
def test_a_queue_that_goes_with_its_last_consumer_is_neither_looked_at_nor_taken_from(versions: Places, shape: str, management: bool) -> None:
    dlq = versions.queue(auto_delete=True, **SHAPES[shape])
    versions.put("", dlq, numbered(5))
    refused(versions, dlq, versions.connection if management else versions.without_management, "would delete .* auto-delete")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("management", [True, False], ids=["management", "no management"])
def test_a_queue_that_stays_is_looked_at(versions: Places, shape: str, management: bool) -> None:
    dlq = versions.queue(**SHAPES[shape])
    versions.put("", dlq, numbered(5))
    with versions.open(versions.connection if management else versions.without_management).look_letters(queue(dlq)) as reader:
        assert bodies_of(reader) == numbered(5)
    assert versions.taken(dlq) == numbered(5)


@pytest.mark.parametrize("auto_delete", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_where_it_cannot_be_found_out_whether_a_queue_stays_it_is_not_looked_at(versions: Places, may_not_configure: Connection, shape: str,
                                                                                auto_delete: bool) -> None:
    dlq = versions.queue(auto_delete=auto_delete, **SHAPES[shape])
    versions.put("", dlq, numbered(5))
    refused(versions, dlq, may_not_configure, "could delete .* cannot be found out")


@pytest.mark.parametrize("auto_delete", [True, False])
def test_a_login_that_may_not_configure_is_told_by_the_management_api(versions: Places, may_not_configure: Connection, auto_delete: bool) -> None:
    versions.api(f"users/{may_not_configure.user}", "PUT", password="secret", tags="management")
    connection = replace(may_not_configure, management=versions.connection.management)
    dlq = versions.queue(auto_delete=auto_delete)
    versions.put("", dlq, numbered(5))
    if auto_delete:
        refused(versions, dlq, connection, "would delete .* auto-delete")
    else:
        with versions.open(connection).look_letters(queue(dlq)) as reader:
            assert bodies_of(reader) == numbered(5)


def test_what_reads_without_a_consumer_leaves_a_queue_that_goes_with_its_last_one(places: Places) -> None:
    dlq = places.queue(auto_delete=True)
    places.put("", dlq, numbered(2))
    assert [message["payload"] for message in places.api(f"queues/%2F/{dlq}/get", "POST", count=5, ackmode="ack_requeue_true", encoding="auto")] == [
        "0000", "0001"]
    assert places.taken(dlq) == numbered(2)
