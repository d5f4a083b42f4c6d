"""What a check-up finds on Kafka: brokers by the addresses they tell clients, partitions, groups."""

from __future__ import annotations

import re

import pytest
from confluent_kafka import KafkaError, KafkaException

from brokercli.backends.kafka.backend import KafkaBackend
from brokercli.model.checkup import Check, Health
from brokercli.model.errors import Unreachable
from tests.backends.kafka_guarded import GuardedKafka
from tests.backends.kafka_permissions import as_reader
from tests.backends.kafka_topics import Topics
from tests.brokers.server import HOST
from tests.commandline import CommandLine

pytestmark = pytest.mark.kafka


def found(backend: KafkaBackend) -> dict[str, Check]:
    with backend:
        return {check.what: check for check in backend.checkup()}


def test_a_cluster_in_order_is_in_order(topics: Topics) -> None:
    topics.make(partitions=3)
    checks = found(topics.backend())
    assert [check for check in checks.values() if check.health is not Health.OK] == []
    assert "1 broker, controller 1" in checks["cluster"].found
    assert f"{topics.connection.hosts[0][0]}:{topics.connection.hosts[0][1]}" in checks["advertised address"].found
    assert "all with a leader and in sync" in checks["partitions"].found


def test_an_address_that_the_broker_tells_clients_and_that_does_not_work_from_here_is_named(cli: CommandLine, guarded_kafka: GuardedKafka) -> None:
    ended = cli("doctor", f"kafka://{HOST}:{guarded_kafka.ports['misleading']}")
    assert ended.code == 5
    # the client may have gone there, and failed, before the first answer
    assert re.search("FAILED   (advertised address|connection and login|the broker's answers): .*broker 1 tells clients to come to "
                     f"{HOST}:{guarded_kafka.ports['nothing']}, and from here that fails: connection refused", ended.stdout.decode())
    assert b"advertised.listeners of that broker" in ended.stdout


def test_an_address_that_fails_only_after_the_first_answer_is_named_all_the_same(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = topics.backend()

    class NobodyThere:
        def list_topics(self, *asked: object, **options: object) -> None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))

        def poll(self, timeout: float) -> None:
            backend._troubles.note(KafkaError(KafkaError._TRANSPORT, "10.0.0.7:9092/3: Connect to ipv4#10.0.0.7:9092 failed: Connection refused"))

    connected = backend._consumer
    monkeypatch.setattr(backend, "_consumer", NobodyThere())
    # at once: asking again would not find another address
    with pytest.raises(Unreachable, match=r"its broker 3 tells clients to come to 10\.0\.0\.7:9092, and from here that fails: connection refused"):
        backend.checkup()
    monkeypatch.setattr(backend, "_consumer", connected)


def test_a_login_in_the_clear_is_a_warning_and_what_it_may_not_see_is_no_failure(guarded_kafka: GuardedKafka) -> None:
    checks = found(as_reader(guarded_kafka))
    assert checks["login"].health is Health.WARNING
    assert "without TLS" in checks["login"].found
    assert Health.FAILED not in {check.health for check in checks.values()}
