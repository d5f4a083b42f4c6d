"""What groups have committed is asked only of coordinators that are there: librdkafka crashes over one that says that it is not."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from brokercli.backends.kafka import coordinators, failures
from brokercli.backends.kafka.groups import Coordinators
from brokercli.backends.kafka.handled_group import check_stable
from brokercli.backends.kafka.patience import Patience
from tests.backends.kafka_answers import answered


class Admin:
    """Says of each group that its coordinator moves, twice, and then that there is no such group; has nothing committed."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def describe_consumer_groups(self, names: Sequence[str], *, request_timeout: float) -> dict[str, Future[Any]]:
        self.asked.append("about it")
        moves = self.asked.count("about it") <= 2
        return {names[0]: answered(KafkaException(KafkaError(KafkaError.NOT_COORDINATOR if moves else KafkaError.GROUP_ID_NOT_FOUND)))}

    def list_consumer_group_offsets(self, asked: Sequence[Any], *, request_timeout: float, require_stable: bool = False) -> dict[str, Future[Any]]:
        self.asked.append("offsets")
        return {asked[0].group_id: answered(SimpleNamespace(topic_partitions=[]))}


@pytest.mark.parametrize("ask", [
    lambda admin: Coordinators(admin, Patience(60.0)).committed(["billing"]),
    lambda admin: list(Coordinators(admin, Patience(60.0)).groups({"billing": "group"})),
    lambda admin: check_stable(admin, "billing", [0], 60.0)], ids=["committed", "groups", "handled letters"])
def test_a_coordinator_that_moves_is_not_asked_for_offsets_until_it_is_there(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (coordinators, failures):
        monkeypatch.setattr(module, "COMING_BACK_SECONDS", 0.0)
    admin = Admin()
    ask(cast("Any", admin))
    assert admin.asked == ["about it", "about it", "about it", "offsets"]
