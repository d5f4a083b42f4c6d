"""The worker of the demonstration takes everything there is, however late its broker hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokercli.local import server
from brokercli.local.state import Files, Identity
from brokercli.local.wire import Conversation, Delivery
from brokercli.local.worker import CONSUMER, DEAD_LETTERS, STREAM, Worked, work

AMOUNTS = (1, "2", 3)


@pytest.fixture
def identity(tmp_path: Path) -> Iterator[Identity]:
    """A local broker with orders, one of which cannot be billed, and a record of deaths; it is stopped at the end."""
    files = Files(tmp_path / "state" / "local")
    made, _ = server.start(files)
    with Conversation(made.port, made.token) as conversation:
        conversation.request(f"$JS.API.STREAM.CREATE.{STREAM}", {"name": STREAM, "subjects": ["orders.>"]})
        conversation.request(f"$JS.API.STREAM.CREATE.{DEAD_LETTERS}",
                             {"name": DEAD_LETTERS, "subjects": [f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{STREAM}.>"]})
        conversation.request(f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{CONSUMER}", {"stream_name": STREAM, "config": {
            "durable_name": CONSUMER, "ack_policy": "explicit", "max_deliver": 2, "filter_subject": "orders.created"}})
        for amount in AMOUNTS:
            conversation.request("orders.created", {"amount": amount})
    yield made
    server.stop(files)


def recorded(identity: Identity) -> int:
    with Conversation(identity.port, identity.token) as conversation:
        return int(conversation.request(f"$JS.API.STREAM.INFO.{DEAD_LETTERS}", {})["state"]["messages"])


def test_what_can_be_billed_is_acknowledged_and_the_rest_given_back_until_it_is_dead(identity: Identity) -> None:
    assert work(identity, mended=False) == Worked(billed=2, failed=1)
    assert recorded(identity) == 1
    assert work(identity, mended=True) == Worked()


def test_that_there_is_nothing_is_not_believed_while_the_consumer_has_something_left(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer hears of what was stored, and of what is given back, a moment later."""
    pull, asked = Conversation.pull, 0

    def pull_too_early(self: Conversation, stream: str, consumer: str) -> Delivery | None:
        nonlocal asked
        asked += 1
        return None if asked % 2 else pull(self, stream, consumer)

    monkeypatch.setattr(Conversation, "pull", pull_too_early)
    assert work(identity, mended=False) == Worked(billed=2, failed=1)
    assert recorded(identity) == 1
