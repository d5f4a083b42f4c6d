"""A topic explained to somebody on call: what it keeps, who reads it, where what fails goes, what can be lost."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from brokercli.backends.kafka.family import family_of
from brokercli.backends.kafka.risks import risks_of
from brokercli.model.description import Description
from tests.backends.kafka_groups import Groups
from tests.backends.kafka_redrive import letters, numbered, repair, to
from tests.backends.kafka_topics import Topics
from tests.brokers.server import wait_until


def rows(description: Description, title: str) -> list[dict[str, object]]:
    return [dict(row) for section in description.sections if section.title == title for row in section.rows]


def risks(description: Description) -> str:
    return "; ".join(str(row["risk"]) for row in rows(description, "risks"))


@pytest.mark.parametrize(("settings", "stay"), [
    ({}, "for 7d"), ({"retention_ms": "5400000"}, "for 90m"), ({"retention_ms": "-1"}, "for ever"),
    ({"retention_ms": "1000", "retention_bytes": "1048576"}, "for 1s; at most 1,048,576 bytes a partition"),
    ({"cleanup_policy": "compact"}, "the newest of each key for ever"), ({"cleanup_policy": "compact,delete"}, "for 7d; the newest of each key")])
def test_how_long_messages_stay_is_said_in_words(topics: Topics, settings: dict[str, str], stay: str) -> None:
    assert topics.backend().describe(topics.make(**settings)).facts["messages stay"] == stay


def test_what_loses_messages_is_said_first(topics: Topics) -> None:
    described = topics.backend().describe(topics.make(min_insync_replicas="2", unclean_leader_election_enable="true"))
    assert described.sections[0].title == "risks"
    assert "a broker before Kafka 3.7 confirms nothing" in risks(described)
    assert "one replica" in risks(described)
    assert "unclean.leader.election" in risks(described)


def test_letters_that_outlive_what_is_known_of_them_are_pointed_out(topics: Topics) -> None:
    longer = topics.make(called=f"{topics.name()}.dlq", retention_ms=str(90 * 86_400_000))
    shorter = topics.make(called=f"{topics.name()}.dlq")
    backend = topics.backend()
    assert "letters stay 90d, and which of them were put back is forgotten 7d after" in risks(backend.describe(longer))
    assert "forgotten" not in risks(backend.describe(shorter))


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a cluster that is larger than the one the tests have."""

    leader: int
    replicas: list[int]
    isrs: list[int]


@pytest.mark.parametrize(("partitions", "minimum", "says"), [
    ([Partition(1, [1, 2, 3], [1, 2, 3])], 2, ""), ([Partition(1, [1, 2, 3], [1, 2, 3])], 1, "once one of 3 replicas has it"),
    ([Partition(1, [1, 2], [1, 2])], 2, "one broker away"), ([Partition(1, [1, 2], [1, 2])], 3, "a broker before Kafka 3.7 confirms nothing"),
    ([Partition(1, [1, 2, 3], [1])], 2, "partition 0 takes no confirmed message"), ([Partition(1, [1, 2, 3], [1, 2])], 2, "partition 0 is not in sync"),
    ([Partition(1, [1, 2, 3], [1, 2, 3]), Partition(-1, [1, 2, 3], [])], 2, "partition 1 has no leader")])
def test_what_replicas_do_not_protect_from_is_said(partitions: list[Partition], minimum: int, says: str) -> None:
    told = list(risks_of(dict(enumerate(partitions)), {"min.insync.replicas": str(minimum)}, dead_letters=False, readers=[]))
    assert [says in risk for risk in told] == ([True] if says else [])


def test_a_group_that_retention_overtook_is_named(topics: Topics, consumer_groups: Groups) -> None:
    topic = topics.make()
    topics.fill(topic, numbered(10))
    group = consumer_groups.name()
    consumer_groups.commit(group, topic, {0: 2})
    assert group not in risks(topics.backend().describe(topic))
    topics.delete_before(topic, 5)
    assert f"{group} has not read everything" in risks(topics.backend().describe(topic))


def test_members_that_have_committed_nothing_are_readers_too(topics: Topics, consumer_groups: Groups) -> None:
    topic, group = topics.make(), consumer_groups.name()
    consumer_groups.join(group, topic)
    described = rows(topics.backend().describe(topic), "consumer groups")
    assert [(row["group"], row["members"], row["lag"]) for row in described] == [(group, 1, None)]


def test_retries_and_dead_letters_are_found_by_their_names(topics: Topics) -> None:
    root = topics.make(partitions=2)
    later, sooner = (topics.make(called=f"{root.name}.retry.{delay}") for delay in ("5m", "30s"))
    dead = topics.make(called=f"{root.name}.dlq", cleanup_policy="compact")
    topics.fill(later, numbered(3))
    backend = topics.backend()
    described = backend.describe(root)
    assert described.facts["dead letters"] == str(dead)
    assert [(row["topic"], row["role"], row["after"], row["offsets held"]) for row in rows(described, "retries and dead letters")] == [
        (sooner.name, "retry", "30s", 0), (later.name, "retry", "5m", 3), (dead.name, "dead letters", None, 0)]
    assert backend.describe(dead).facts["dead letters of"] == str(root)
    assert "replace each other" in risks(backend.describe(dead))
    assert backend.describe(later).facts["retries of"] == str(root)
    assert backend.describe(topics.make()).facts["dead letters"] == "none known by name"


@pytest.mark.parametrize(("names", "retries", "dead"), [
    (["o", "o.retry.5s", "o.retry.30s", "o.retry.5m", "o.dlq"], ["o.retry.5s", "o.retry.30s", "o.retry.5m"], ["o.dlq"]),
    (["o", "o-retry-10", "o-retry-2", "o-dlt"], ["o-retry-2", "o-retry-10"], ["o-dlt"]),
    (["o", "billing__o__retry", "billing__o__dlq"], ["billing__o__retry"], ["billing__o__dlq"]),
    (["o", "error.o.billing", "dlq.o"], [], ["dlq.o", "error.o.billing"])])
def test_a_family_is_the_same_whichever_of_it_is_asked_for(names: list[str], retries: list[str], dead: list[str]) -> None:
    for name in names:
        family = family_of(name, [*names, "payments", "payments.dlq", "orders-of-o"])
        assert (family.root, list(family.retries), list(family.dead_letters)) == ("o", retries, dead), name


def test_retries_of_what_is_not_there_belong_to_nobody() -> None:
    assert family_of("o.retry.5s", ["o.retry.5s", "o.dlq"]).root == "o.retry.5s"


# --- the graph

def test_the_graph_leads_through_the_retries_to_the_dead_letters_and_to_the_readers(topics: Topics, consumer_groups: Groups) -> None:
    root = topics.make()
    tiers = [topics.make(called=f"{root.name}.retry.{delay}") for delay in ("5s", "1h")]
    dead = topics.make(called=f"{root.name}.dlq")
    topics.fill(root, numbered(4))
    group = consumer_groups.name()
    consumer_groups.commit(group, root, {0: 1})
    consumer_groups.commit(group, tiers[0], {0: 0})
    for asked in (root, tiers[1], dead):
        flow = topics.backend().flow(asked)
        assert flow.start == str(asked)
        assert {id: node.kind for id, node in flow.nodes.items()} == {
            str(root): "topic", str(tiers[0]): "retry", str(tiers[1]): "retry", str(dead): "dead letters", f"consumer {group}": "classic group"}
        assert [(edge.source, edge.target, edge.why) for edge in flow.edges] == [
            (str(root), str(tiers[0]), "failed"), (str(tiers[0]), str(tiers[1]), "failed again, after 5s"),
            (str(tiers[1]), str(dead), "failed again, after 1h"),
            (str(root), f"consumer {group}", "read, lag 3"), (str(tiers[0]), f"consumer {group}", "read, lag 0")]
        assert flow.nodes[str(root)].notes == ("1 partition", "up to 4 messages")


def test_letters_that_were_put_back_show_in_the_graph(groups: Topics) -> None:
    root = groups.make()
    dead = groups.make(called=f"{root.name}.dlq")
    groups.fill(dead, numbered(3))
    run = repair(groups, dead)
    run.settle(to(root, letters(run)[:1]))
    keeper = f"consumer brokercli.dlq.{dead.name}"

    def edges() -> list[tuple[str, str, str]]:
        return [(edge.source, edge.target, edge.why) for edge in groups.backend().flow(root).edges if keeper in (edge.source, edge.target)]

    wait_until(lambda: edges() == [(str(dead), keeper, "redriven, 2 pending"), (keeper, str(root), "put back")], 20, "the group of handled letters")
    assert groups.backend().flow(root).nodes[keeper].kind == "handled letters"
