"""A share group's dead letters that the broker will not write are said to be lost; it says so itself only when there is one, in its log."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._resource import ResourceType

from brokercli.backends.kafka.share_letters import written_nowhere
from tests.backends.kafka_answers import answered

NAMED, MADE, TAKEN = ("errors.deadletterqueue.topic.name.prefix", "errors.deadletterqueue.auto.create.topics.enable", "errors.deadletterqueue.group.enable")
BROKERS = {NAMED: "dlq.", MADE: "false"}


def said(topic: str, brokers: Mapping[str, str] | None, topics: Mapping[str, Mapping[str, str]]) -> str:
    """Return what is said of a name, where the brokers have these settings (None: they may not be asked) and there are these topics."""
    def describe_configs(resources: Any, request_timeout: float) -> dict[Any, Future[Any]]:
        (resource,) = resources
        values = topics.get(resource.name) if resource.restype == ResourceType.TOPIC else brokers
        if values is None:
            return {resource: answered(KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)))}
        return {resource: answered({name: SimpleNamespace(value=value) for name, value in values.items()})}

    metadata = SimpleNamespace(brokers={1: None}, topics={name: SimpleNamespace(error=None) for name in topics})
    return written_nowhere(topic, metadata, cast("AdminClient", SimpleNamespace(describe_configs=describe_configs)), 1.0)


@pytest.mark.parametrize(("topic", "brokers", "topics", "why"), [
    ("a.dlq", BROKERS, {"a.dlq": {TAKEN: "true"}}, f"its name does not begin with dlq. ({NAMED} of the brokers)"),
    ("dlq.a", BROKERS, {"dlq.a": {TAKEN: "false"}}, f"{TAKEN} of the topic is false"),
    ("dlq.a", BROKERS, {}, f"it does not exist, and the brokers do not make it ({MADE})"),
])
def test_letters_that_the_broker_will_not_write_are_said_to_be_lost(topic: str, brokers: Mapping[str, str], topics: Mapping[str, Mapping[str, str]],
                                                                   why: str) -> None:
    assert said(topic, brokers, topics) == f"what is given up is skipped for good; topic:{topic} takes none of it: {why}"


@pytest.mark.parametrize(("topic", "brokers", "topics"), [
    ("dlq.a", BROKERS, {"dlq.a": {TAKEN: "true"}}),
    ("dlq.a", BROKERS | {MADE: "true"}, {}),
    ("a.dlq", BROKERS | {NAMED: ""}, {"a.dlq": {TAKEN: "true"}}),
    ("a.dlq", None, {"a.dlq": {}}),
    ("a.dlq", None, {}),
], ids=["as it should be", "made by the brokers", "any name", "brokers that may not be asked", "nor a topic"])
def test_nothing_is_said_against_the_others(topic: str, brokers: Mapping[str, str] | None, topics: Mapping[str, Mapping[str, str]]) -> None:
    assert said(topic, brokers, topics) == ""
