"""A queue whose node is away: it is neither there nor not there."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from brokercli.backends.rabbitmq.existing import Existing
from brokercli.model.errors import Unreachable
from tests.backends.rabbitmq_places import Places

TIMED_OUT = "NOT_FOUND - failed to perform operation on queue 'C' in vhost '/' due to timeout"
"""What a node of a cluster of three says 70 seconds after it was asked for a classic queue of a node that was killed (4.3.6)."""


@pytest.mark.parametrize("text", [TIMED_OUT, "NOT_FOUND - home node 'rabbit@n1' of durable queue 'C' in vhost '/' is down or inaccessible",
                                  "NOT_FOUND - queue 'C' in vhost '/' process is stopped by supervisor"])
def test_a_queue_whose_node_is_away_is_not_taken_for_one_that_does_not_exist(places: Places, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with places.open() as backend:
        existing = Existing(backend._link, backend._management)

        def refused(*asked: Any) -> Future[Any]:
            answer: Future[Any] = Future()
            answer.set_exception(ChannelClosedByBroker(404, text))
            return answer

        monkeypatch.setattr(existing, "_look", refused)
        with pytest.raises(Unreachable, match="The node that keeps the queue is away"):
            existing.queue("C")


def test_a_queue_that_does_not_exist_is_none(places: Places) -> None:
    with places.open() as backend:
        assert Existing(backend._link, backend._management).queue("nobody-made-this") is None
