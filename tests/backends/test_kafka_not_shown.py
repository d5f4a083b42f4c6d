"""What a login may not describe Kafka leaves out of its lists, without a word: where nothing is listed, it is said that there may be more."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from brokercli.backends.kafka.not_shown import GROUPS, TOPICS
from brokercli.model.checkup import Check
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_guarded import READER, READER_PASSWORD, GuardedKafka
from tests.backends.kafka_permissions import allow, as_reader, withdraw
from tests.backends.kafka_topics import Topics
from tests.brokers.server import HOST
from tests.commandline import CommandLine

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("guarded_kafka")]

MORE_TOPICS, MORE_GROUPS = f"there may be more: {TOPICS}\n", f"there may be more: {GROUPS}\n"


@pytest.fixture
def hidden(cli: CommandLine, guarded_kafka: GuardedKafka, guarded_groups: Groups) -> str:
    """What a topic of dead letters and a group begin with that the login of the context may not describe."""
    assert cli("context", "add", "here", "--url", f"kafka://{READER}:{READER_PASSWORD}@{HOST}:{guarded_kafka.ports['login']}", "--use").code == 0
    name = guarded_groups.name()
    topic = guarded_groups.topics.make(called=f"{name}.dlq")
    guarded_groups.commit(name, topic, {0: 0})
    return name


def test_where_nothing_is_listed_it_is_said_that_there_may_be_more(cli: CommandLine, hidden: str) -> None:
    listed = cli("ls", f"{hidden}*")
    assert (listed.code, listed.stderr) == (0, f"nothing of this name on here\n{MORE_TOPICS}")
    assert MORE_TOPICS in cli("ls", f"{hidden}*", "-o", "json").stderr
    assert MORE_TOPICS in cli("topology", "export", "--name", f"{hidden}*").stderr
    groups = cli("consumers", "ls", f"{hidden}*")
    assert (groups.code, groups.stderr) == (0, f"no consumer of this name on here\n{MORE_GROUPS}")


def test_letters_that_are_not_shown_are_not_said_to_be_none(cli: CommandLine, hidden: str) -> None:
    listed = cli("dlq", "ls")
    assert (listed.code, listed.stdout) == (0, b"")
    assert listed.stderr.startswith(f"{MORE_TOPICS}no dead letters on here: where it could be looked: ")
    # for a script it is no success
    assert cli("dlq", "redrive", "--yes").code == 1


def test_a_lag_of_no_group_that_is_shown_is_no_answer(cli: CommandLine, hidden: str) -> None:
    lag = cli("consumers", "lag", f"{hidden}*", "--fail-above", "3")
    assert lag.code == 1
    assert f"--fail-above cannot be answered: {GROUPS}." in lag.stderr
    assert cli("consumers", "lag", f"{hidden}*").code == 0


def test_doctor_says_which_topics_and_groups_it_counts(guarded_kafka: GuardedKafka) -> None:
    with as_reader(guarded_kafka) as backend:
        checks: dict[str, Check] = {check.what: check for check in backend.checkup()}
    assert checks["partitions"].found.endswith(", of the topics that this login may describe")
    assert checks["consumers"].found.endswith(", of those that this login may describe")


@pytest.mark.parametrize(("kind", "name", "topics", "groups"), [
    (ResourceType.TOPIC, "*", "", GROUPS),
    (ResourceType.GROUP, "*", TOPICS, ""),
    # who may describe the cluster is shown all groups
    (ResourceType.BROKER, "kafka-cluster", TOPICS, "")])
def test_who_may_describe_all_there_is_is_told_no_more_than_that_nothing_is_there(
        guarded_kafka: GuardedKafka, guarded_topics: Topics, kind: ResourceType, name: str, topics: str, groups: str) -> None:
    with as_reader(guarded_kafka) as backend:
        allow(guarded_topics.admin, kind, name, AclOperation.DESCRIBE)
        try:
            assert (backend.not_shown(), backend.consumers().not_shown()) == (topics, groups)
        finally:
            withdraw(guarded_topics.admin, kind, name, AclOperation.DESCRIBE)


def test_where_nobody_is_asked_for_permissions_nothing_is_left_out(cli: CommandLine, topics: Topics) -> None:
    listed = cli("ls", f"kafka://{topics.address}/{topics.name()}")
    assert listed.stderr == f"nothing of this name on kafka://{topics.address}\n"
    assert topics.backend().consumers().not_shown() == ""
