"""Letters held unacknowledged while their queue is worked on by others: what is told, and how the hold ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokercli.backends.rabbitmq import holding
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.link import Link
from brokercli.model.errors import NotFound
from tests.backends.rabbitmq_places import Places
from tests.backends.rabbitmq_redrive import make

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def link(places: Places) -> Iterator[Link]:
    """A connection of its own."""
    made = Link(places.connection)
    yield made
    made.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_hold_on_a_queue_that_was_deleted_meanwhile_ends_without_waiting_for_the_broker(places: Places, link: Link, kind: str,
                                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 600.0)
    # it says that it is empty once it is gone, and before that the end comes no sooner
    monkeypatch.setattr(holding, "_EMPTY_ANSWERS", 1000)
    dlq = make(places, kind)
    held = Holding(link, dlq, 5, part=5)
    places.put("", dlq, [b"letter"])
    while not held.taken:
        assert held.take(0.05) is None
    places.delete_queue(dlq)
    with pytest.raises(NotFound, match=f"The queue {dlq} was deleted"):
        while True:
            held.take(0.2)
    held.give_back()
    assert not held.back
