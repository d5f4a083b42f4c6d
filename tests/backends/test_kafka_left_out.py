"""Dead letters in partitions of which one has no leader: the others are shown and put back, and it is said which one is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from brokercli.backends.dead_letters import Move
from brokercli.backends.kafka.destinations import SHORT
from brokercli.backends.kafka.failures import while_coming_back
from brokercli.backends.kafka.span import Offsets
from brokercli.model.address import Address
from brokercli.model.message import Message
from tests.backends.kafka_redrive import AT_LEAST_ONCE, EXACTLY_ONCE, letters, repair
from tests.backends.kafka_second_node import SecondKafka
from tests.backends.kafka_topics import Topics, bodies
from tests.brokers.kafka import Kafka
from tests.brokers.server import wait_until
from tests.commandline import CommandLine, Ended

pytestmark = pytest.mark.kafka

_PLACES = {"home": [[1]], "looked.dlq": [[1], [2], [1]], "redriven.dlq": [[1], [2], [1]], "asked.dlq": [[1], [2]],
           **{f"{kept}.dlq": [[1]] for kept in (EXACTLY_ONCE, AT_LEAST_ONCE)}, **{kept: [[1], [2]] for kept in (EXACTLY_ONCE, AT_LEAST_ONCE)},
           "away.dlq": [[2]]}
_PATIENCE = 60.0


@pytest.fixture(scope="module")
def nodes(servers: Callable[..., Kafka], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kafka, SecondKafka]]:
    """Two nodes: letters 0, 2, 3, 5, 6, 8 of two topics lie on the first one, and in partition 1, on the second, 1, 4 and 7; of `away.dlq` all."""
    first = servers(Kafka)
    settings = {"bootstrap.servers": first.address, "log_level": 0}
    # what is kept of groups and transactions lies on the node that is alone when it is made
    Producer(settings | {"transactional.id": "first"}).init_transactions(_PATIENCE)
    asking = Consumer(settings | {"group.id": "first"})
    while_coming_back(lambda: asking.committed([TopicPartition("home", 0)], _PATIENCE), _PATIENCE)
    asking.close()
    second = SecondKafka(tmp_path_factory.mktemp("second") / "kafka", first=first)
    try:
        second.start()
        admin = AdminClient(settings)
        made = admin.create_topics([NewTopic(name, len(where), replica_assignment=where) for name, where in _PLACES.items()])
        for future in made.values():
            future.result(_PATIENCE)
        producer = Producer(settings)
        for name, where in _PLACES.items():
            for number in range(9) if name.endswith(".dlq") else ():
                producer.produce(name, b"%d" % number, partition=number % len(where), headers={"kafka_dlt-original-topic": b"home"})
        assert producer.flush(_PATIENCE) == 0
        yield first, second
    finally:
        second.kill()


@pytest.fixture
def dlq(nodes: tuple[Kafka, SecondKafka], cli: CommandLine) -> Callable[..., Ended]:
    """Run commands about letters; the second node is away."""
    first, second = nodes
    take_away(first, second)
    return lambda *arguments: cli("dlq", *arguments, extra={"BROKERCLI_URL": f"kafka://{first.address}"})


def take_away(first: Kafka, second: SecondKafka) -> None:
    """Kill the second node, and wait until the other one knows."""
    second.kill()
    admin = AdminClient({"bootstrap.servers": first.address, "log_level": 0})
    wait_until(lambda: admin.list_topics("away.dlq", timeout=20).topics["away.dlq"].partitions[0].leader < 0, _PATIENCE, "the end of what it leads")


def left_out(name: str) -> str:
    return (f"Partition 1 of {name} has no leader: the brokers that keep it are away. The letters there are left out, "
            "and how many they are is not known.")


def test_a_look_shows_the_other_letters_and_says_that_they_are_not_all(dlq: Callable[..., Ended]) -> None:
    inspected = dlq("inspect", "looked.dlq", "-o", "json")
    assert (inspected.code, inspected.stderr.count(left_out("looked.dlq"))) == (5, 1)
    assert b'"count":6' in inspected.stdout
    exported = dlq("export", "-", "looked.dlq")
    assert (exported.code, len(exported.lines), exported.stderr.count(left_out("looked.dlq"))) == (5, 6, 1)
    hidden = dlq("show", "1:2", "looked.dlq")
    assert (hidden.code, hidden.stderr.count(left_out("looked.dlq"))) == (5, 1)
    assert "no letter" not in hidden.stderr


def test_a_list_counts_the_other_letters_and_says_where_there_may_be_more(dlq: Callable[..., Ended]) -> None:
    listed = dlq("ls", "-o", "json")
    found = {row["dlq"]: row for row in map(json.loads, listed.lines)}
    counts = {name: (found[f"topic:{name}.dlq"]["messages"], found[f"topic:{name}.dlq"]["pending"]) for name in ("looked", "away")}
    assert counts == {"looked": (6, 6), "away": (None, None)}, listed.stdout
    assert found["topic:looked.dlq"]["remarks"] == "not counted: partition 1, which has no leader or does not answer"
    assert found["topic:away.dlq"]["remarks"] == "no partition has a leader that answers, so nothing more can be told"


def test_the_other_letters_go_home_and_those_that_were_left_out_once_they_have_a_leader(
        dlq: Callable[..., Ended], nodes: tuple[Kafka, SecondKafka]) -> None:
    first, second = nodes
    planned = dlq("redrive", "redriven.dlq")
    assert (planned.code, planned.stderr.count(left_out("redriven.dlq"))) == (8, 1)
    assert dlq("redrive", "redriven.dlq", "--limit", "1", "--yes").code == 0
    rest = dlq("redrive", "redriven.dlq", "--yes")
    assert (rest.code, "confirmed 5, refused 0" in rest.stderr, left_out("redriven.dlq") in rest.stderr) == (3, True, True)
    for command in (("redrive", "redriven.dlq"), ("redrive", "redriven.dlq", "--yes")):
        nothing = dlq(*command)
        assert (nothing.code, nothing.stderr.count(left_out("redriven.dlq"))) == (5, 1)
    second.start()
    assert dlq("redrive", "redriven.dlq", "--yes").code == 0
    topics = Topics(first.address)
    try:
        assert sorted(int(body or b"") for body in bodies(topics.read(Address("home", "topic")))) == list(range(9))
    finally:
        topics.close()


def test_letters_of_the_others_do_not_wait_each_time_for_a_leader_that_went_away(nodes: tuple[Kafka, SecondKafka], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = nodes
    if not second.running:
        second.start()
    topics = Topics(first.address)
    try:
        run = repair(topics, Address("asked.dlq", "topic"))
        assert (len(letters(run)), run.arrived()) == (9, 0)
        take_away(first, second)
        asked = []
        ends = Offsets.ends
        monkeypatch.setattr(Offsets, "ends", lambda offsets, partitions: (asked.append(partitions), ends(offsets, partitions))[1])
        assert [run.arrived() for _ in range(5)] == [None] * 5
        assert len(asked) == 1
    finally:
        topics.close()


@pytest.mark.parametrize("guarantee", [EXACTLY_ONCE, AT_LEAST_ONCE])
def test_a_partition_that_letters_have_waited_for_in_vain_gets_no_more_of_them_in_that_run(nodes: tuple[Kafka, SecondKafka], guarantee: str) -> None:
    first, second = nodes
    if not second.running:
        second.start()
    topics = Topics(first.address)
    try:
        run, home = repair(topics, Address(f"{guarantee}.dlq", "topic"), guarantee, delivery_timeout=4.0), Address(guarantee, "topic")
        moves = [Move(record, Message(record.message.body, partition=number % 2), home) for number, record in enumerate(letters(run))]
        assert run.settle(moves[:2]).confirmed == 2
        take_away(first, second)
        waited = run.settle(moves[2:4])
        # which of the two depends on whether the client has heard by then that the leader is gone
        (without,) = waited.problems
        assert without.reason in ("no answer within the delivery timeout", "it never left: there was no broker to send it to in time")
        assert waited.confirmed == 1
        behind = run.settle(moves[4:])
        assert (behind.confirmed, {receipt.index for receipt in behind.problems}) == (3, {1, 3})
        assert {receipt.reason for receipt in behind.problems} == {SHORT}
        assert run.failure is None
    finally:
        topics.close()


def test_where_no_partition_has_a_leader_nothing_is_shown_or_put_back(dlq: Callable[..., Ended]) -> None:
    for command in (("inspect",), ("redrive", "--yes")):
        ended = dlq(*command, "away.dlq")
        assert ended.code == 5
        assert "Partition 0 of away.dlq has no leader: the brokers that keep it are away.\n" in ended.stderr
