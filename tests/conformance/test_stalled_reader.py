"""A reader that stalls keeps its connection: heartbeats and pings are answered while nobody reads.

The brokers here give a client that is silent three or four seconds; the reader stalls for longer than that, as one does behind
a pager or a slow pipe, and then goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.model.connection import Connection
from brokercli.model.position import End, Span, Start
from tests.brokers.nats import Nats
from tests.brokers.rabbitmq import RabbitMQ
from tests.brokers.server import HOST
from tests.conformance.driving import PATIENCE, bodies, read
from tests.native.harness import Broker
from tests.native.nats import NatsBroker
from tests.native.rabbitmq import RabbitBroker

STALL = 7.0


def impatient_nats(servers: Callable[..., Any]) -> Broker:
    """A NATS that hangs up on who leaves two pings unanswered."""
    server = servers(Nats, settings={"ping_interval": '"1s"', "ping_max": "2"})
    return NatsBroker(HOST, server.port)


class QuickBeats(RabbitBroker):
    """A RabbitMQ that brokercli has asked for heartbeats every two seconds, and that hangs up on who misses some."""

    @property
    def connection(self) -> Connection:
        return replace(super().connection, options={"heartbeat": "2"})


def impatient_rabbitmq(servers: Callable[..., Any]) -> Broker:
    """Whoever connects says how often its heart beats: what the server proposes is not asked."""
    server = servers(RabbitMQ)
    return QuickBeats(server.address, server.management)


IMPATIENT = [pytest.param(impatient_nats, "limits stream", marks=pytest.mark.nats, id="nats"),
             pytest.param(impatient_rabbitmq, "stream", marks=pytest.mark.rabbitmq, id="rabbitmq")]


@pytest.mark.parametrize(("start", "row"), IMPATIENT)
def test_readers_and_publishers_that_stall_go_on_where_they_were(servers: Callable[..., Any], start: Callable[[Callable[..., Any]], Broker], row: str) -> None:
    broker = start(servers)
    resource = broker.make(row)
    sent = [b"%d" % number for number in range(3000)]
    resource.put(sent)
    with broker.open() as backend, backend.look(resource.address, Span(Start(), End())) as stored, \
            backend.look(resource.address, Span(End(), None)) as live, backend.publisher(resource.destination, PublishPolicy()) as publisher:
        first = stored.read(PATIENCE)
        assert first is not None
        broker.reconnect()
        resource.put([b"new 1"])
        publisher.send_bodies([b"new 2"])
        assert publisher.finish(PATIENCE).confirmed == 1
        time.sleep(STALL)
        assert bodies(first.records()) + bodies(read(stored)) == sent
        broker.reconnect()
        resource.put([b"new 3"])
        assert bodies(read(live, at_least=3)) == [b"new 1", b"new 2", b"new 3"]
        publisher.send_bodies([b"new 4"])
        assert publisher.finish(PATIENCE).confirmed == 1
    broker.close()
