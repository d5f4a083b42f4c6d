"""What librdkafka says went wrong, in our words."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from brokercli.backends.kafka.failures import judge, translate
from brokercli.model.errors import Failed, Unreachable
from brokercli.model.receipt import Verdict


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._DESTROY_BROKER, KafkaError.NOT_COORDINATOR])
def test_a_question_that_lost_its_broker_is_not_answered_rather_than_failed(code: int) -> None:
    """The client drops a broker that the cluster does not name any more, as one that was held up for longer than its session."""
    problem = translate(KafkaError(code), "reading the configuration of", "orders")
    assert type(problem) is Unreachable
    assert str(problem).startswith("Kafka did not answer while reading the configuration of orders")
    assert judge(KafkaError(code))[0] is Verdict.UNKNOWN


def test_what_a_broker_says_is_a_failure_with_its_name() -> None:
    problem = translate(KafkaError(KafkaError.INVALID_REQUEST), "reading the configuration of", "orders")
    assert type(problem) is Failed
    assert "INVALID_REQUEST" in str(problem)
