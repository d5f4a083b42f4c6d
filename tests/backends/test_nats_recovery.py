"""What was in flight when a connection went: stored is only what the stream shows in our order, and sent again only what can be there no second time.

The stream is scripted; `test_nats_faults.py` has real ones that are killed and cut off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from brokercli.backends.nats import recovery as module
from brokercli.backends.nats.convert import Refusal
from brokercli.backends.nats.in_flight import UNHEARD, Sent
from brokercli.backends.nats.records import Row
from brokercli.backends.nats.recovery import Outcome, Recovery, Target, target_of
from brokercli.model.connection import Connection
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound, Unreachable

CONNECTION = Connection("nats", (("h", 4222),))
HERE = {"server_id": "S1", "server_name": "one"}
RESTARTED = {"server_id": "S2", "server_name": "one"}
CLUSTERED = {**RESTARTED, "cluster": "c"}
OTHER = Row(b"orders.new", 11, 5, b"", b"somebody else's")


def sent(number: int, *, identified: bool = False, age: float = 1.0, unheard: bool = False, subject: bytes = b"orders.new") -> Sent:
    block = b"NATS/1.0\r\nNats-Msg-Id: m-%d\r\n\r\n" % number if identified else b""
    return Sent(subject, block, b"%d" % number, first_sent=time.monotonic() - age, unheard=unheard)


def row(message: Sent, sequence: int) -> Row:
    return Row(message.subject, sequence, 5, message.block, message.body)


class Stream:
    """Answers about a stream whose messages from 11 on are these; None is one that was deleted."""

    def __init__(self, *rows: Row | None, last: int | None = None, info: dict[str, Any] | BrokercliError | None = None) -> None:
        self.rows = dict(enumerate(rows, 11))
        self.last = 10 + len(rows) if last is None else last
        self.told = {"config": {"subjects": ["orders.>"]}} if info is None else info
        self.fetched = 0

    async def ask(self, operation: str, *, what: str, timeout: float) -> dict[str, Any]:
        if isinstance(self.told, BrokercliError):
            raise self.told
        return self.told

    async def info(self, name: str) -> dict[str, Any]:
        return {"state": {"last_seq": self.last}}

    async def fetch(self, stream: object, name: str, sequence: int) -> Row | None:
        self.fetched += 1
        return self.rows[sequence]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Find out about messages on their way, `floor` being the last that all up to were ours."""
    def find_out(stream: Stream, waiting: list[Sent], floor: int | None = 10, *, server: dict[str, str] = HERE, seconds: float = 0.0, alone: bool = True,
                 window: float = 120.0, unheard_for: float | None = None) -> Outcome:
        monkeypatch.setattr(module, "fetch_message", stream.fetch)
        target = Target("ORDERS", ("orders.>",), window, 10, alone, "S1")
        recovery = Recovery(SimpleNamespace(server=server, connection=CONNECTION), target)  # type: ignore[arg-type]
        recovery._jetstream = stream  # type: ignore[assignment]
        if unheard_for is not None:
            recovery._unheard = {number: (None, time.monotonic() - unheard_for) for number in range(len(waiting))}
        outcome = asyncio.run(recovery.find_out(lambda: (dict(enumerate(waiting)), floor), seconds, starting=True))
        assert not outcome.stored.keys() & outcome.repeat
        return outcome

    return find_out


WAITING = [sent(number) for number in range(3)]
STORED = [row(message, 11 + number) for number, message in enumerate(WAITING)]


def test_what_the_stream_holds_in_our_order_and_nothing_else_is_stored(found: Callable[..., Outcome]) -> None:
    assert found(Stream(*STORED), WAITING) == Outcome(stored={0: 11, 1: 12, 2: 13}, last_sequence=13)
    many = [sent(number) for number in range(200)]
    assert found(Stream(*(row(message, 11 + number) for number, message in enumerate(many))), many).stored == {number: 11 + number for number in range(200)}


@pytest.mark.parametrize(("server", "alone", "repeat"), [(RESTARTED, True, {1, 2}), (HERE, True, set()), (RESTARTED, False, set()), (CLUSTERED, True, set())])
def test_what_is_not_stored_is_sent_again_only_where_whoever_had_read_it_is_dead(found: Callable[..., Outcome], server: dict[str, str], alone: bool,
                                                                                repeat: set[int]) -> None:
    outcome = found(Stream(STORED[0]), WAITING, server=server, alone=alone)
    assert (outcome.stored, outcome.repeat, outcome.last_sequence) == ({0: 11}, repeat, 11)
    assert outcome.why == ("" if repeat else "the server may still be storing it")


@pytest.mark.parametrize(("stream", "why"), [
    (Stream(STORED[0], OTHER), "others publish to the stream as well"), (Stream(OTHER), "others publish to the stream as well"),
    (Stream(STORED[0], None), "or have deleted from it"), (Stream(*STORED, OTHER), "others publish to the stream as well"),
    (Stream(STORED[1], STORED[0]), "others publish to the stream as well"), (Stream(last=9), "the stream has lost what it had acknowledged"),
    (Stream(Row(b"orders.old", 11, 5, b"", b"0")), "others publish"), (Stream(Row(b"orders.new", 11, 5, b"NATS/1.0\r\na: 1\r\n\r\n", b"0")), "others publish")])
def test_where_anything_is_not_as_we_sent_it_nothing_is_taken_for_stored_or_for_lost(found: Callable[..., Outcome], stream: Stream, why: str) -> None:
    outcome = found(stream, WAITING, server=RESTARTED)
    assert (outcome.stored, outcome.repeat) == ({}, set())
    assert why in outcome.why


def test_what_the_stream_tells_apart_is_sent_again_while_it_does(found: Callable[..., Outcome]) -> None:
    waiting = [sent(0, identified=True), sent(1, identified=True, age=119.0), sent(2, identified=True, age=200.0)]
    outcome = found(Stream(), waiting, None)
    assert (outcome.stored, outcome.repeat, outcome.why) == ({}, {0}, "others publish to the stream as well")
    assert found(Stream(), waiting[:1], None, window=0.0).repeat == set()
    # where all can be told apart nobody has to look
    assert found(known := Stream(STORED[0]), waiting[:1]).repeat == {0}
    assert known.fetched == 0
    some = [sent(0, identified=True), sent(1), sent(2, identified=True)]
    outcome = found(Stream(row(some[0], 11)), some)
    assert (outcome.stored, outcome.repeat) == ({0: 11}, {2})


def test_what_nobody_heard_may_be_sent_again_as_long_as_the_stream_listens(found: Callable[..., Outcome]) -> None:
    waiting = [sent(0, unheard=True), sent(1, unheard=True, subject=b"bills.new"), sent(2)]
    outcome = found(Stream(), waiting, seconds=0.01)
    assert (outcome.stored, outcome.repeat, outcome.out_of_reach) == ({}, {0}, {})
    outcome = found(Stream(), waiting[:2], seconds=20.0, unheard_for=6.0)
    assert (outcome.repeat, set(outcome.out_of_reach)) == (set(), {0})
    assert "does not reach it" in outcome.out_of_reach[0]
    assert found(Stream(), waiting[:2], seconds=20.0, unheard_for=1.0).repeat == {0}
    # what it listens on is what its leader says now, and another leader is not blamed for what the one before did not hear
    moved = {"config": {"subjects": ["bills.>"]}, "cluster": {"leader": "two", "leader_since": "monday"}}
    assert found(Stream(info=moved), waiting[:2], seconds=20.0, unheard_for=6.0).repeat == {1}
    assert found(Stream(info={"config": {}}), waiting[:2], seconds=20.0).repeat == set()


@pytest.mark.parametrize(("problem", "nobody"), [(NotFound("gone."), UNHEARD), (Unreachable("mute."), "nobody took it: mute"),
                                                (NotAuthorised("no."), "nobody took it: no")])
def test_where_nothing_can_be_asked_nothing_is_known(found: Callable[..., Outcome], problem: BrokercliError, nobody: str) -> None:
    assert found(Stream(info=problem), WAITING) == Outcome(why=str(problem).rstrip("."), nobody=nobody)
    leaderless = found(Stream(info={"config": {}, "cluster": {"name": "c"}}), WAITING)
    assert (leaderless.why, leaderless.nobody) == ("Stream ORDERS has no leader", "nobody took it: stream ORDERS has no leader")


def test_another_leader_is_noticed_and_no_leader_is_none() -> None:
    def led(info: dict[str, Any] | BrokercliError) -> bool:
        target = Target("ORDERS", (), 0.0, 0, alone=False, server_id="S1", leader=("one", "monday"))
        recovery = Recovery(SimpleNamespace(server=HERE, connection=CONNECTION), target)  # type: ignore[arg-type]
        recovery._jetstream = Stream(info=info)  # type: ignore[assignment]
        return asyncio.run(recovery.led_by_another())

    same = {"cluster": {"leader": "one", "leader_since": "monday"}}
    assert [led(info) for info in (same, {"cluster": {"leader": "two", "leader_since": "monday"}}, {"cluster": {"leader": "one", "leader_since": "tuesday"}},
                                   {"cluster": {}}, {}, Unreachable("mute"))] == [False, True, True, False, False, False]


@pytest.mark.parametrize(("replicas", "leader", "server", "alone"), [
    (1, None, HERE, True), (None, None, HERE, True), (3, None, HERE, False), (1, "one", HERE, True), (1, "two", HERE, False), (1, None, CLUSTERED, False)])
def test_a_server_is_all_there_is_of_a_stream_only_where_it_alone_keeps_it(replicas: int | None, leader: str | None, server: dict[str, str],
                                                                          alone: bool) -> None:
    info = {"config": {"name": "ORDERS", "subjects": ["a"], "duplicate_window": 2_500_000_000, **({"num_replicas": replicas} if replicas else {})},
            "state": {"last_seq": 7}, "domain": "hub", **({"cluster": {"leader": leader, "leader_since": "monday"}} if leader else {})}
    target = target_of(info, server)
    assert target == Target("ORDERS", ("a",), 2.5, 7, alone, server["server_id"], (leader, "monday") if leader else None, "hub")


def test_what_a_stream_says_nothing_of_is_the_least_there_is() -> None:
    target = target_of({"config": {"name": "ORDERS"}, "state": {"last_seq": 0}}, {})
    assert target == Target("ORDERS", (), 0.0, 0, alone=True, server_id="")


@pytest.mark.parametrize(("route", "why"), [
    (None, "it has no subject of its own"), ("", "it has no subject of its own"), ("orders.*", "it is a wildcard"), ("orders.>", "it is a wildcard"),
    ("orders. new", "is no subject to publish to"), ("orders..new", "is no subject to publish to"), ("mails.new", "does not capture the subject mails.new")])
def test_a_message_goes_out_on_a_subject_that_its_stream_captures_or_not_at_all(route: str | None, why: str) -> None:
    target = Target("ORDERS", ("orders.>", "bills"), 0.0, 0, alone=True, server_id="S1")
    with pytest.raises(Refusal, match=why):
        target.subject_for(route)
    assert [target.subject_for(subject) for subject in ("orders.new", "bills", "orders.\udcff")] == [b"orders.new", b"bills", b"orders.\xff"]
