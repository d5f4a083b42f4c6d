"""A cluster with a server away: what it keeps does not answer, and is never taken for what is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from brokercli.backends.contract import PublishPolicy
from brokercli.backends.nats.backend import NatsBackend
from brokercli.model.address import Address
from brokercli.model.checkup import Health
from brokercli.model.connection import Connection
from brokercli.model.declaration import Action, Declaration
from brokercli.model.errors import Failed, TimedOut, Unreachable
from tests.backends.nats_cluster import SECONDS, start_cluster
from tests.backends.nats_streams import stream, subject
from tests.brokers.nats import Nats
from tests.brokers.server import HOST, wait_until


@pytest.fixture(scope="module")
def cluster(servers: Callable[..., Nats]) -> Iterator[tuple[NatsBackend, Nats]]:
    """A connection to one of three servers, another of which is away by now; and the third.

    `KEPT` was kept by the server that is away; its consumer `worker` too. `SHARED` has three replicas, so it is there.
    """
    members = start_cluster(servers)
    worker = {"durable_name": "worker", "ack_policy": "explicit"}
    with _connect(members[0]) as first:
        for operation, question in (("STREAM.CREATE.KEPT", {"name": "KEPT", "subjects": ["kept.>"], "retention": "interest"}),
                                    ("STREAM.CREATE.SHARED", {"name": "SHARED", "subjects": ["shared.>"], "num_replicas": 3}),
                                    ("CONSUMER.DURABLE.CREATE.KEPT.worker", {"stream_name": "KEPT", "config": worker}),
                                    ("CONSUMER.DURABLE.CREATE.SHARED.worker", {"stream_name": "SHARED", "config": worker})):
            wait_until(partial(_answer, first, operation, question), SECONDS, operation)
        kept = _answer(first, "STREAM.INFO.KEPT")
    assert kept is not None
    keeper = int(kept["cluster"]["leader"][1:])
    members[keeper].kill()
    other = members[(keeper + 1) % 3]
    with _connect(other) as backend:
        wait_until(partial(_answer, backend, "STREAM.NAMES"), SECONDS, "a leader among those that are left")
        for operation in ("STREAM.INFO.SHARED", "CONSUMER.INFO.SHARED.worker"):
            wait_until(partial(_led, backend, operation), SECONDS, f"{operation} to have a leader")
        yield backend, members[(keeper + 2) % 3]


def _connect(member: Nats) -> NatsBackend:
    return NatsBackend(Connection("nats", ((HOST, member.port),)))


def _answer(backend: NatsBackend, operation: str, question: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Ask once; None where nobody answers or there is an error, as without a leader."""
    try:
        answer = backend._link.run(backend._jetstream.try_ask(operation, question, timeout=1.0))
    except TimedOut:
        return None
    return None if "error" in answer else answer


def _led(backend: NatsBackend, operation: str) -> bool:
    answer = _answer(backend, operation)
    return answer is not None and "leader" in answer.get("cluster", {})


def test_what_a_server_that_is_away_keeps_is_listed_as_silent_and_decided_about_by_nobody(cluster: tuple[NatsBackend, Nats]) -> None:
    """One test, and all at once: the server waits four seconds for each of these answers."""
    backend, _ = cluster

    def unanswered(attempt: Callable[[], object]) -> str:
        with pytest.raises(Unreachable) as refused:
            attempt()
        return str(refused.value)

    def declared() -> tuple[list[Declaration], list[str]]:
        declarer = backend.declarer()
        return list(declarer.declared(["stream"])), list(declarer.notes)

    with ThreadPoolExecutor() as pool:
        listed = pool.submit(lambda: list(backend.list(["stream"])))
        found = pool.submit(lambda: list(backend.consumers().find()))
        told = pool.submit(declared)
        drawn = pool.submit(backend.flow, stream("SHARED"))
        alone = [pool.submit(unanswered, ask) for ask in (lambda: backend.describe(stream("KEPT")), lambda: backend.resolve(Address("KEPT"), "look"),
                                                          lambda: backend.publisher(subject("kept.a"), PublishPolicy()))]
        letters = pool.submit(unanswered, lambda: backend._link.run(backend._jetstream.consumers("KEPT")))
        unseen: list[str] = []
        checked = pool.submit(lambda: {check.what: check for check in backend.checkup()})
        sources = pool.submit(lambda: list(backend.dead_letter_sources(unseen=unseen)))
        planned = pool.submit(lambda: backend.declarer().plan([Declaration("stream", "SHARED", {"num_replicas": 3}), Declaration("consumer", "SHARED/worker")]))
    assert {(one.name, one.facts.get("state")) for one in listed.result()} == {
        ("KEPT", "does not answer: the servers that keep it are away"), ("SHARED", None)}
    assert [(one.name, one.lag is None) for one in found.result()] == [("KEPT/worker", True), ("SHARED/worker", False)]
    assert "does not answer" in found.result()[0].state
    declarations, notes = told.result()
    assert [declaration.name for declaration in declarations] == ["SHARED"]
    assert notes == ["stream KEPT is left out: it does not answer: the servers that keep it are away"]
    assert drawn.result().missing == ["stream KEPT: does not answer: the servers that keep it are away"]
    checks = checked.result()
    assert (checks["streams"].health, checks["streams"].found) == (Health.FAILED, "KEPT does not answer: the servers that keep it are away")
    assert checks["server"].health is Health.OK
    assert (sources.result(), unseen) == ([], ["not looked into, because the servers that keep them are away: stream KEPT"])
    # whether a letter is dead is decided by all consumers of its stream, or not at all
    assert "do not answer: worker" in letters.result()
    assert {change.action for change in planned.result()} == {Action.UNCHANGED}
    assert backend.consumers().names() == ["KEPT/worker", "SHARED/worker"]
    for refused in alone:
        assert refused.result() == "Nobody in the cluster answers about stream KEPT: the servers that keep it are away, or are choosing a leader."


def test_of_servers_that_do_not_fit_it_is_not_said_that_the_replicas_are_too_many(cluster: tuple[NatsBackend, Nats]) -> None:
    declarer = cluster[0].declarer()
    for settings in ({"placement": {"cluster": "EU"}}, {"num_replicas": 5}):
        (change,) = declarer.plan([Declaration("stream", "PLACED", settings)])
        with pytest.raises(Failed, match=r"too few servers fit: .* \(num_replicas\), or placement names others \(no suitable peers .*10005\)"):
            declarer.apply(change)


def test_a_cluster_without_a_majority_says_so_whatever_is_asked(cluster: tuple[NatsBackend, Nats]) -> None:
    backend, third = cluster
    third.kill()

    def leaderless() -> bool:
        with suppress(TimedOut):
            return backend._link.run(backend._jetstream.try_ask("STREAM.NAMES", timeout=1.0)).get("error", {}).get("err_code") == 10008
        return False

    wait_until(leaderless, SECONDS, "the loss of the leader")
    # "UNDECLARED" is a bare name: where nobody can say whether it is a stream, it is not taken for a subject
    for ask in (lambda: list(backend.list()), lambda: backend.resolve(Address("UNDECLARED"), "look"), lambda: list(backend.dead_letter_sources())):
        with pytest.raises(Unreachable, match="too few of its servers are there, or they are choosing a leader"):
            ask()
    assert {check.what: check.health for check in backend.checkup()}["JetStream"] is Health.FAILED
