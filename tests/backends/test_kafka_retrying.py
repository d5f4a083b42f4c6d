"""Retries in tiers: what a specification becomes, and that a worker that keeps to it sends a message through every delay."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from brokercli.backends.kafka.retrying import DEAD_LETTERS_STAY, ROOM_FOR_HEADERS, SLACK
from brokercli.dialects import recognise
from brokercli.model.address import Address
from brokercli.model.declaration import Action, RetrySpecification, RetryTopology
from brokercli.model.errors import Unsupported, UsageProblem
from tests.backends.kafka_redrive import stored
from tests.backends.kafka_topics import Topics, everything
from tests.backends.kafka_worker import FailingWorker
from tests.commandline import CommandLine

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


def retries(topics: Topics, source: str, *delays: int, attempts: int | None = None, **more: object) -> RetryTopology:
    """Ask for retries; delays in nanoseconds."""
    return topics.backend().declarer().retry(RetrySpecification(source, delays, attempts or len(delays) + 1, **more))  # type: ignore[arg-type]


def settings(topology: RetryTopology) -> dict[str, dict[str, object]]:
    return {declaration.name: dict(declaration.settings) for declaration in topology.declarations}


def test_each_delay_becomes_a_topic_named_after_it_and_the_dead_letters_one_more(topics: Topics) -> None:
    source = topics.make(partitions=3).name
    made = settings(retries(topics, source, 5 * SECOND, 90 * SECOND, 300 * SECOND, 3600 * SECOND, 250 * MILLISECOND))
    assert list(made) == [f"{source}.retry.{delay}" for delay in ("5s", "90s", "5m", "1h", "250ms")] + [f"{source}.dlq"]
    for name, its in made.items():
        assert (its["partitions"], its["replication.factor"], its["cleanup.policy"], its["message.timestamp.type"]) == (3, 1, ["delete"], "LogAppendTime"), name
    assert made[f"{source}.retry.5m"]["retention.ms"] == 300_000 + SLACK
    assert made[f"{source}.dlq"]["retention.ms"] == DEAD_LETTERS_STAY


def test_what_the_source_takes_the_retries_take_with_headers_and_keep_as_long(topics: Topics) -> None:
    source = topics.make(max_message_bytes="5000000", retention_ms="-1", min_insync_replicas="1").name
    made = settings(retries(topics, source, SECOND))
    for its in made.values():
        assert its["max.message.bytes"] == 5_000_000 + ROOM_FOR_HEADERS
        assert its["min.insync.replicas"] == 1
    assert made[f"{source}.dlq"]["retention.ms"] == -1


def test_a_source_that_is_only_declared_decides_as_one_that_is_there(topics: Topics) -> None:
    source = topics.name()
    made = settings(retries(topics, source, SECOND, declared={"partitions": 7, "retention.ms": 200 * 86_400_000}, dead_letter="graveyard",
                            settings={"replication.factor": 1}))
    assert {name: (its["partitions"], its["replication.factor"]) for name, its in made.items()} == {f"{source}.retry.1s": (7, 1), "graveyard": (7, 1)}
    assert made["graveyard"]["retention.ms"] == 200 * 86_400_000
    with pytest.raises(UsageProblem, match="no topic"):
        retries(topics, source, SECOND)


def test_a_source_that_is_there_and_declared_decides_by_both(topics: Topics) -> None:
    source = topics.make(partitions=5, max_message_bytes="5000000", retention_ms="-1").name
    for said, partitions in (({}, 5), ({"partitions": 8}, 8)):
        made = settings(retries(topics, source, SECOND, declared={"retention.ms": 200 * 86_400_000, **said}))
        assert {its["partitions"] for its in made.values()} == {partitions}
        assert made[f"{source}.dlq"]["retention.ms"] == 200 * 86_400_000
        assert made[f"{source}.dlq"]["max.message.bytes"] == 5_000_000 + ROOM_FOR_HEADERS


def test_topics_of_earlier_delays_are_to_be_read_until_they_are_empty(topics: Topics) -> None:
    source = topics.make().name
    for change in (declarer := topics.backend().declarer()).plan(retries(topics, source, SECOND, 2 * SECOND).declarations):
        declarer.apply(change)
    assert f"Go on reading {source}.retry.2s until nothing is left there" in retries(topics, source, SECOND, 9 * SECOND).worker[-1]
    assert not any("Go on reading" in sentence for sentence in retries(topics, source, SECOND, 2 * SECOND).worker)
    for change in declarer.plan_removal(retries(topics, source, SECOND, 2 * SECOND).declarations):
        declarer.apply(change)


def test_declaring_the_retries_twice_changes_nothing(topics: Topics) -> None:
    source = topics.make(partitions=2).name
    topology = retries(topics, source, SECOND)
    declarer = topics.backend().declarer()
    for change in declarer.plan(topology.declarations):
        topics._made.append(change.declaration.name)
        assert change.action is Action.CREATE
        declarer.apply(change)
    assert {change.action for change in declarer.plan(retries(topics, source, SECOND).declarations)} == {Action.UNCHANGED}


@pytest.mark.parametrize(("delays", "more", "says"), [
    ((SECOND, SECOND), {"attempts": 2}, "need 3 attempts"), ((), {"attempts": 3}, "need a delay"), ((1,), {}, "milliseconds"),
    ((), {"attempts": -1}, "once at least"),
    ((SECOND,), {"consumer": "workers"}, "no consumer"), ((SECOND,), {"settings": {"retention.ms": 900}}, "before they are due"),
    ((SECOND,), {"settings": {"cleanup.policy": ["compact"]}}, "compaction"), ((SECOND,), {"dead_letter": "SOURCE"}, "round for ever"),
    ((SECOND,), {"dead_letter": "x" * 250}, "characters long")])
def test_retries_that_would_lose_messages_or_cannot_be_had_are_refused(
        topics: Topics, delays: tuple[int, ...], more: dict[str, object], says: str) -> None:
    source = topics.make().name
    with pytest.raises(UsageProblem, match=says):
        retries(topics, source, *delays, **{name: source if value == "SOURCE" else value for name, value in more.items()})


def test_kafka_has_no_delayed_retry_of_its_own_and_no_retries_of_retries(topics: Topics) -> None:
    source = topics.make().name
    with pytest.raises(Unsupported, match="no delayed retry") as refusal:
        retries(topics, source, SECOND, native=True)
    # said by an option, or by a topology file
    assert refusal.value.hint == "leave native out"
    for name in ("orders.retry.5s", "orders.dlq"):
        with pytest.raises(UsageProblem, match="itself the name"):
            retries(topics, name, SECOND, declared={})


def test_the_worker_is_told_where_each_attempt_goes_and_which_headers_it_writes(topics: Topics) -> None:
    source = topics.make().name
    said = " ".join(retries(topics, source, 5 * SECOND, 30 * SECOND, attempts=5).worker)
    for what in (f"after attempt 1 to {source}.retry.5s", f"after attempts 2 to 4 to {source}.retry.30s", f"after attempt 5 to {source}.dlq", "x-attempts",
                 "x-retry-after", "x-original-topic", "x-original-offset", "acks=all"):
        assert what in said
    assert f"published to {source}.dlq" in " ".join(retries(topics, source, attempts=1).worker)


def test_a_message_that_always_fails_goes_through_every_delay_into_the_dead_letters_and_can_be_put_back(
        groups: Topics, cli: CommandLine) -> None:
    topics = groups
    source = topics.make(partitions=2)
    delays, attempts = (200, 450), 4
    topology = retries(topics, source.name, *(delay * MILLISECOND for delay in delays), attempts=attempts)
    *tiers, dead = (declaration.name for declaration in topology.declarations)
    declarer = topics.backend().declarer()
    topics._made += [*tiers, dead]
    for change in declarer.plan(topology.declarations):
        declarer.apply(change)
    producer = topics.producer()
    producer.produce(source.name, b"poison", b"c-7", partition=1, headers=[("trace", b"abc")])
    producer.produce(source.name, b"bitter", b"c-8", partition=0)
    assert producer.flush(60) == 0
    worker = FailingWorker(topics.address, source.name, tiers, delays, attempts, dead)
    worker.work(letters=2)
    for body in (b"poison", b"bitter"):
        tries = [one for one in worker.tries if one.body == body]
        assert [(one.topic, one.attempt) for one in tries] == [(source.name, 1), (tiers[0], 2), (tiers[1], 3), (tiers[1], 4)]
        waited = [later.milliseconds - earlier.milliseconds for earlier, later in pairwise(tries)]
        assert all(took >= delay for took, delay in zip(waited, (200, 450, 450), strict=True)), waited
    with topics.backend().look_letters(Address(dead, "topic")) as look:
        letters = {record.message.body: record for record in everything(look)}
    assert set(letters) == {b"poison", b"bitter"}
    letter = recognise(letters[b"poison"])
    assert letter.dialect == "tiered retries"
    assert letter.homes[0].address.name == source.name
    assert letter.homes[0].place == {"partition": 1, "offset": 0}
    first = next(one for one in worker.tries if one.body == b"poison")
    assert letter.original_time == first.stamp * MILLISECOND
    assert letter.attempts == attempts
    assert (letters[b"poison"].message.key, letters[b"poison"].place["partition"]) == (b"c-7", 1)

    inspected = cli("dlq", "inspect", f"kafka://{topics.address}/{dead}", "-o", "json")
    assert inspected.code == 0, inspected.stderr
    story = [json.loads(line) for line in inspected.lines]
    assert [(group["count"], group["exception"], group["origin"], group["attempts"]) for group in story] == [
        (2, "builtins.ValueError", f"topic:{source.name}", [attempts, attempts])]
    redriven = cli("dlq", "redrive", f"kafka://{topics.address}/{dead}", "--yes")
    assert redriven.code == 0, redriven.stderr
    home = [record.message for record in stored(topics, source) if record.message.body == b"poison"]
    assert len(home) == 2
    names = [name for name, _ in home[1].headers]
    assert "trace" in names
    assert not [name for name in names if name in ("x-attempts", "x-retry-after") or name.startswith(("x-original-", "x-exception-"))]
    topics.admin.delete_consumer_groups([f"{source.name}-workers"])[f"{source.name}-workers"].exception(10)
