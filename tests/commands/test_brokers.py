"""`brokercli brokers`: the support tables, plugins included, without loading a client."""

from __future__ import annotations

import json
import subprocess
import sys
from unittest.mock import Mock

import pytest

from brokercli.backends.registry import BUILT_IN, descriptors, find
from brokercli.commands.session import Session
from brokercli.model.capability import Capability
from brokercli.model.errors import Unsupported
from tests.commandline import CommandLine, environment


def test_every_broker_answers_to_every_ability_with_a_reason_for_each_no(cli: CommandLine) -> None:
    ended = cli("brokers", "-o", "json")
    assert (ended.code, ended.stderr) == (0, "")
    brokers = {broker["broker"]: broker for broker in map(json.loads, ended.lines)}
    assert set(BUILT_IN) <= set(brokers)
    for broker in brokers.values():
        for answers in broker["support"].values():
            assert set(answers) == {str(capability) for capability in Capability}
            assert all(answer["note"] for answer in answers.values() if answer["level"] != "full")


def test_a_plugin_appears_like_the_others(cli: CommandLine) -> None:
    ended = cli("brokers", "memory")
    assert ended.code == 0
    assert b"memory://" in ended.stdout


def test_the_table_shows_every_reason(cli: CommandLine) -> None:
    shown = cli("brokers").stdout.decode()
    for descriptor in descriptors():
        assert descriptor.title in shown
        for answers in descriptor.support.values():
            for answer in answers.values():
                assert answer.note in shown


@pytest.mark.parametrize(("resource", "asked", "said"), [
    ("classic queue", Capability.PARTITION, "RabbitMQ has no partitions; those of a super stream are streams of their own."),
    ("classic queue", Capability.KEY, "AMQP messages have no key; keys from elsewhere travel in the header x-message-key."),
    ("exchange", Capability.CONSUMERS, "RabbitMQ has no consumers on an exchange: nobody consumes an exchange; the queues it routes to have consumers."),
], ids=["partition", "key", "consumers"])
def test_what_is_not_there_is_said_once(resource: str, asked: Capability, said: str) -> None:
    session = Session(Mock(resource=lambda address: resource), Mock(), Mock(), find("amqp"))
    with pytest.raises(Unsupported) as refused:
        session.require(asked)
    assert str(refused.value) == said


def test_a_broker_that_does_not_exist_is_refused(cli: CommandLine) -> None:
    ended = cli("brokers", "mqtt")
    assert (ended.code, ended.stdout) == (2, b"")
    assert "known: kafka, nats, rabbitmq" in ended.stderr


def test_no_client_is_loaded(cli: CommandLine) -> None:
    code = ("import sys; from brokercli.commands.run import run; run(['brokers', '-o', 'json']);"
            "print(sorted({'confluent_kafka', 'nats', 'pika', 'asyncio', 'rich'} & set(sys.modules)), file=sys.stderr)")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(cli.home), check=False)
    assert (ended.returncode, ended.stderr) == (0, "[]\n")
