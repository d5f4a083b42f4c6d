"""What is known of the group that keeps which letters are handled, where the broker's answer is not the usual one."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from brokercli.backends.kafka import handled_group
from brokercli.backends.kafka.handled_group import check_stable, group_of
from brokercli.model.errors import Failed


class Admin:
    """Answers with the committed offsets of a group, of which some wait for the end of a transaction."""

    def __init__(self, *, left_open: bool) -> None:
        self._left_open = left_open

    def list_consumer_group_offsets(self, asked: list[Any], *, require_stable: bool, request_timeout: float) -> dict[str, Future[Any]]:
        group, places = asked[0].group_id, [TopicPartition(place.topic, place.partition, 7) for place in asked[0].topic_partitions]
        if self._left_open and require_stable:
            places[0] = cast("Any", SimpleNamespace(error=KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)))
        answer: Future[Any] = Future()
        answer.set_result(SimpleNamespace(topic_partitions=places))
        return {group: answer}


def test_marks_that_wait_for_a_transaction_that_nobody_has_any_more_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handled_group, "_UNSTABLE_SECONDS", 0.0)
    with pytest.raises(Failed, match="left it open") as refused:
        check_stable(cast("Any", Admin(left_open=True)), "orders.dlq", [0, 1], 5.0)
    assert group_of("orders.dlq") in str(refused.value)
    check_stable(cast("Any", Admin(left_open=False)), "orders.dlq", [0, 1], 5.0)
