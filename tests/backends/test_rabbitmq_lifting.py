"""Lifting a limit, step by step, with a broker and a management API that answer as they are told."""

from __future__ import annotations

from typing import Any

import pytest

from brokercli.backends.rabbitmq.existing import Queue
from brokercli.backends.rabbitmq.lifting import LimitLift
from brokercli.backends.rabbitmq.management import Away
from brokercli.backends.rabbitmq.survivable import Conditions
from brokercli.model.errors import Unsupported

LIMITED = Conditions(Queue("orders.dlq", "quorum"), (4, 3, 6), "/", 20)


class Broker:
    """Answers whatever a connection asks, and keeps policies unless they are to stay."""

    def __init__(self, *, stays: bool = False) -> None:
        self.kept: dict[str, Any] = {}
        self._stays = stays

    def ask(self, doing: str, *steps: Any) -> list[Any]:
        return []

    def policies(self) -> list[Any]:
        return list(self.kept.values())

    def put_policy(self, name: str, *said: Any) -> None:
        self.kept[name] = said

    def delete_policy(self, name: str) -> None:
        if self._stays:
            raise Away("it does not answer", hint="ask again")
        del self.kept[name]


class Refused(LimitLift):
    """One that does not come to hold."""

    def _prepare(self) -> None:
        raise self._cannot("an operator's policy keeps it at 20")


@pytest.mark.parametrize("stays", [False, True])
def test_a_limit_that_cannot_be_lifted_leaves_no_policy_or_says_that_one_may_be_left(stays: bool) -> None:
    broker = Broker(stays=stays)
    with pytest.raises(Unsupported, match="keeps it at 20") as refusal:
        Refused(broker, broker, LIMITED)  # type: ignore[arg-type]
    assert bool(broker.kept) is stays
    assert ("may have stayed, and the next run takes it away" in str(refusal.value.hint)) is stays
