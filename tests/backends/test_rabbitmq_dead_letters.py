"""RabbitMQ's dead letters behind the contract: looked at without a trace or refused, put back and only then taken out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from brokercli.backends.contract import Reader
from brokercli.backends.dead_letters import Move, Repair, RepairPolicy, State
from brokercli.dialects import recognise, to_message
from brokercli.model.address import Address
from brokercli.model.errors import Failed, Unsupported
from brokercli.model.message import Message, Record
from tests.backends.rabbitmq_places import SECONDS, Places, bodies_of, records_of
from tests.brokers.server import wait_until

LIMITLESS: dict[str, Any] = {"x_delivery_limit": ("l", -1)}
BODIES = [b"%04d" % number for number in range(60)]


@pytest.fixture(params=["classic", "quorum", "stream"])
def letters(request: pytest.FixtureRequest, places: Places) -> str:
    """A place of letters of each type, with `BODIES` in it."""
    arguments = LIMITLESS if request.param == "quorum" else {}
    made = places.queue(request.param, **arguments)
    places.put("", made, BODIES)
    return str(made)


def address(places: Places, name: str) -> Address:
    return places.open().resolve(Address(name), "look")


def count(places: Places, queue: str) -> int:
    return places.wire.declare_queue(queue, passive=True)[0]


def test_a_look_leaves_depth_order_and_content_as_they_were(places: Places, letters: str) -> None:
    backend = places.open()
    source = backend.resolve(Address(letters), "look")
    for _ in range(20):
        with backend.look_letters(source) as reader:
            assert bodies_of(reader) == BODIES
    if source.kind == "queue":
        assert count(places, letters) == len(BODIES)
        assert places.taken(letters) == BODIES
