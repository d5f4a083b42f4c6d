"""A broker that is mute beside others that answer: it is waited for once, and what it would have said is not made up."""

from __future__ import annotations

from concurrent.futures import Future
from time import sleep
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.groups import Coordinators
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.progress import total
from brokercli.backends.kafka.readers import readers_of
from brokercli.model.consumption import Lag


class Mute:
    """A client one of whose brokers never answers: each question takes all the time it was given."""

    def __init__(self) -> None:
        self.given: list[float] = []

    def list_consumer_groups(self, request_timeout: float) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_result(SimpleNamespace(valid=[], errors=[self._waited(request_timeout)]))
        return answer

    def list_groups(self, timeout: float) -> list[Any]:
        raise self._waited(timeout)

    def _waited(self, seconds: float) -> KafkaException:
        self.given.append(seconds)
        sleep(seconds)
        return KafkaException(KafkaError(KafkaError._TIMED_OUT))


def test_a_broker_that_is_mute_is_waited_for_once_and_not_with_every_question() -> None:
    client = Mute()
    missing = readers_of(["orders"], SimpleNamespace(topics={}), cast("AdminClient", client), patience := Patience(0.1)).missing
    assert (client.given, "consumer groups" in missing[0]) == ([0.1], True)
    Coordinators(cast("AdminClient", client), patience).foreign(())
    assert client.given == [0.1, pytest.approx(0.02)]


def test_those_that_answer_are_waited_for_as_long_as_ever() -> None:
    patience = Patience(20)
    assert (patience.ask(lambda seconds: seconds), patience.seconds) == (20, 20)


@pytest.mark.parametrize(("position", "end", "lag", "said"), [(3, 10, 7, 12), (None, None, None, 5), (3, None, None, None)])
def test_the_lag_of_a_group_is_not_said_where_a_partition_that_it_reads_does_not_answer(position: int | None, end: int | None, lag: int | None,
                                                                                         said: int | None) -> None:
    assert total([Lag("topic:orders", 0, 5, 10, 0, 5), Lag("topic:orders", 1, position, end, 0, lag)]) == said
