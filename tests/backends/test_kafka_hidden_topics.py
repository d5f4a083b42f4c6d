"""Kafka shows a login only topics that it may describe, also of a group that reads more: what it is not shown is not nothing."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from brokercli.model.errors import NotAuthorised
from brokercli.operations.lagging import measure
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_guarded import READER, READER_PASSWORD, GuardedKafka
from tests.backends.kafka_permissions import allow, as_reader
from tests.brokers.server import HOST
from tests.commandline import CommandLine

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("guarded_kafka")]


@pytest.fixture
def at_work(guarded_groups: Groups) -> tuple[str, str, str]:
    """A group with a member that reads a topic with nothing left, and one with five messages that the reader may not see; their names."""
    topics = guarded_groups.topics
    shown, hidden, group = topics.make(), topics.make(), guarded_groups.name()
    topics.fill(shown, [b"done"])
    topics.fill(hidden, [b"%d" % number for number in range(5)])
    guarded_groups.commit(group, shown, {0: 1})
    guarded_groups.join(group, shown, hidden)
    allow(topics.admin, ResourceType.TOPIC, shown.name, AclOperation.READ)
    allow(topics.admin, ResourceType.GROUP, group, AclOperation.DESCRIBE)
    return group, shown.name, hidden.name


def test_what_a_member_reads_that_is_not_shown_is_not_said_to_be_without_a_lag(guarded_kafka: GuardedKafka, at_work: tuple[str, str, str]) -> None:
    group, shown, hidden = at_work
    with as_reader(guarded_kafka) as backend:
        consumers = backend.consumers()
        assert {(lag.source, lag.lag, lag.is_untold) for lag in consumers.lag(group)} == {(f"topic:{shown}", 0, False), (f"topic:{hidden}", None, True)}
        (one,) = consumers.find([group])
        assert one.facts["remark"] == "lag as far as known: not that of 1 of 2 partitions"
        assert [missing for missing in consumers.describe(group).missing if hidden in missing and "not shown to this login" in missing]


def test_a_lag_that_is_known_in_part_fails_no_script_by_being_called_none(cli: CommandLine, guarded_kafka: GuardedKafka, at_work: tuple[str, str, str]) -> None:
    group, _, hidden = at_work
    url = f"kafka://{READER}:{READER_PASSWORD}@{HOST}:{guarded_kafka.ports['login']}"
    assert cli("context", "add", "here", "--url", url, "--use").code == 0
    lag = cli("consumers", "lag", group, "--fail-above", "3")
    assert lag.code == 1
    assert f"How far {group} is behind on topic:{hidden} 0 is not known" in lag.stderr
    peek = cli("consumers", "peek", group)
    assert peek.code == 0, peek.stderr
    assert f"where {group} is in topic:{hidden} is not shown: No permission" in peek.stderr
    assert f"{group} is not behind elsewhere" in peek.stderr


def test_of_a_pattern_a_group_that_may_not_be_described_hides_no_other(guarded_kafka: GuardedKafka, guarded_groups: Groups) -> None:
    topics = guarded_groups.topics
    shown, hidden, group = topics.make(), topics.make(), guarded_groups.name()
    new = f"{group}-new"
    topics.fill(shown, [b"done", b"waits"])
    guarded_groups.commit(group, shown, {0: 1})
    # the broker does not describe a group of the new protocol to whoever may not see one of its topics
    guarded_groups.join(new, shown, hidden, group_protocol="consumer")
    allow(topics.admin, ResourceType.TOPIC, shown.name, AclOperation.READ)
    for name in (group, new):
        allow(topics.admin, ResourceType.GROUP, name, AclOperation.DESCRIBE)
    with as_reader(guarded_kafka) as backend:
        tick = measure(backend.consumers(), [f"{group}*"])
        assert [(one.name, one.lag) for one in tick.measured] == [(group, 1)]
        assert [why for why in tick.unseen if why.startswith(f"{new}: No permission")] == tick.unseen != []
        with pytest.raises(NotAuthorised, match=new):
            measure(backend.consumers(), [new])


def test_what_is_forgotten_with_a_group_and_not_shown_is_said_before(guarded_kafka: GuardedKafka, guarded_groups: Groups) -> None:
    topics = guarded_groups.topics
    shown, hidden, group = topics.make(), topics.make(), guarded_groups.name()
    guarded_groups.commit(group, shown, {0: 0})
    guarded_groups.commit(group, hidden, {0: 0})
    allow(topics.admin, ResourceType.TOPIC, shown.name, AclOperation.DESCRIBE)
    allow(topics.admin, ResourceType.GROUP, group, AclOperation.DELETE)
    with as_reader(guarded_kafka) as backend:
        assert [lag.source for lag in backend.consumers().lag(group)] == [f"topic:{shown.name}"]
        (consequence,) = backend.consumers().goes_with(group)
        assert "topics that this login may not describe" in consequence
    # who may do everything is shown everything
    assert guarded_groups.consumers.goes_with(group) == ()
