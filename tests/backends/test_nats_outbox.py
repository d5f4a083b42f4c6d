"""What becomes of messages on their way to a stream, step by step: which verdict each has, what is written again, and in which order.

The connection and what is found out about the stream are scripted; `test_nats_faults.py` and `test_nats_publish.py` have real ones.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from brokercli.backends.nats.bulk_parser import Sink
from brokercli.backends.nats.in_flight import Sent
from brokercli.backends.nats.outbox import Outbox
from brokercli.backends.nats.recovery import Outcome, Target
from brokercli.model.connection import Connection
from brokercli.model.errors import Unreachable
from brokercli.model.receipt import Receipt, Verdict

C, R, U = Verdict.CONFIRMED, Verdict.REFUSED, Verdict.UNKNOWN
TARGET = Target("ORDERS", ("orders.>",), 120.0, 10, alone=True, server_id="S")


class Line:
    """A connection to write to, by hand."""

    connection = Connection("nats", (("h", 4222),))
    why_away = ""

    def __init__(self) -> None:
        self.failure: Unreachable | None = None
        self.subscriptions: list[tuple[int, str]] = []
        self.connected = True
        self.writes = True
        self.too_large: int | None = None
        self.watchers: list[object] = []
        self.written: list[bytes] = []
        self.started: list[Coroutine[Any, Any, None]] = []

    def new_inbox(self) -> str:
        return "_INBOX.x"

    def guard(self, function: Callable[..., None]) -> Callable[..., None]:
        return function

    async def subscribe(self, subject: str, sink: Sink) -> int:
        self.subscriptions.append((7, subject))
        return 7

    async def unsubscribe(self, number: int) -> None:
        self.subscriptions = [one for one in self.subscriptions if one[0] != number]

    def post(self, function: Callable[[], None]) -> None:
        function()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self.started.append(work)

    def write(self, frames: bytes) -> bool:
        if self.writes:
            self.written += re.findall(rb"x\.(\d+) ", frames)
        return self.writes


class Found:
    """Finds out what it was told to; keeps what it was asked about."""

    def __init__(self, outcome: Outcome, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.outcome, self.meanwhile = outcome, meanwhile
        self.asked: tuple[dict[int, Sent], int | None] = ({}, None)
        self.starting: bool | None = None

    async def find_out(self, on_their_way: Callable[[], tuple[dict[int, Sent], int | None]], seconds: float, *, starting: bool) -> Outcome:
        self.asked, self.starting = on_their_way(), starting
        self.meanwhile()
        return self.outcome

    async def led_by_another(self) -> bool:
        return True


class Rig:
    """An outbox with its line, and what is seen of it."""

    def __init__(self, target: Target | None = TARGET, timeout: float = 30.0) -> None:
        self.line = Line()
        self.outbox = Outbox(self.line, target, positions=True, delivery_timeout=timeout)  # type: ignore[arg-type]
        asyncio.run(self.outbox.open_inbox())
        self.next = 0

    def put(self, count: int, subject: bytes = b"orders.new", body: bytes = b"x") -> None:
        batch = {number: Sent(subject, b"", body) for number in range(self.next, self.next + count)}
        self.next += count
        self.outbox.put(batch, sum(sent.size for sent in batch.values()), ())

    def stored(self, *places: tuple[int, int]) -> None:
        """Acknowledge messages, each with its sequence, as a stream does that says nothing else."""
        lines = [(number, b'{"stream":"ORDERS","seq":%d}' % sequence) for number, sequence in places]
        self.outbox._acknowledged(b"".join(b"MSG _INBOX.x.%d 1 %d\r\n%b\r\n" % (number, len(line), line) for number, line in lines))

    def answered(self, number: int, body: bytes) -> None:
        self.outbox._answered([([b"MSG", b"_INBOX.x.%d" % number, b"1", b"%d" % len(body)], body)])

    def unheard(self, number: int) -> None:
        block = b"NATS/1.0 503\r\n\r\n"
        self.outbox._answered([([b"HMSG", b"_INBOX.x.%d" % number, b"1", b"16", b"16"], block)])

    def settle(self, outcome: Outcome, meanwhile: Callable[[], None] = lambda: None) -> Found:
        """Lose the connection, and have it again."""
        self.outbox.lost()
        return self.restore(outcome, meanwhile)

    def restore(self, outcome: Outcome, meanwhile: Callable[[], None] = lambda: None) -> Found:
        found = self.outbox._recovery = Found(outcome, meanwhile)  # type: ignore[assignment]
        asyncio.run(self.outbox.restored())
        return found

    @property
    def verdicts(self) -> dict[int, tuple[Verdict, str]]:
        """Number → verdict, and position or reason, since the last time."""
        with self.outbox.changed:
            news = self.outbox.take_news()
        told = [*news.confirmations, *news.problems]
        assert len(news) == len({receipt.index for receipt in told}) == len(told)
        return {receipt.index: (receipt.verdict, receipt.position or receipt.reason) for receipt in told}


def test_each_acknowledgement_is_of_its_message_and_only_the_first_counts() -> None:
    rig = Rig()
    rig.put(3)
    assert rig.line.written == [b"0", b"1", b"2"]
    assert rig.outbox.waits(None)
    rig.stored((1, 11), (0, 12), (1, 13), (7, 14))
    rig.answered(7, b"")
    rig.answered(0, b'{"error":{"code":500,"err_code":1,"description":"no"}}')
    rig.answered(2, b'{"error":{"code":500,"err_code":1,"description":"no"}}')
    assert rig.verdicts == {1: (C, "11"), 0: (C, "12"), 2: (R, "no (NATS error 1)")}
    assert (rig.outbox.open, rig.outbox.held_bytes, rig.outbox.waits(None)) == (0, 0, False)
    rig.put(2)
    rig.stored((4, 5))
    rig.answered(3, b'{"stream":"ORDERS","seq":3,"duplicate":true}')
    assert rig.verdicts == {4: (C, "5"), 3: (C, "3")}
    rig.put(1)
    assert rig.outbox._pending[5].floor == 14


@pytest.mark.parametrize(("places", "others"), [([(0, 11), (1, 12)], False), ([(0, 12)], True), ([(0, 11), (1, 13)], True), ([(0, 12), (1, 13)], True)])
def test_whether_all_that_was_stored_since_is_ours_is_known_by_the_sequences(places: list[tuple[int, int]], others: bool) -> None:
    rig, singly = Rig(), Rig()
    for one in (rig, singly):
        one.put(3)
    rig.stored(*places)
    for number, sequence in places:
        singly.answered(number, b'{"stream":"ORDERS","seq":%d,"x":1}' % sequence)
    last = places[-1][1]
    for one in (rig, singly):
        found = one.settle(Outcome())
        assert (found.asked[1], found.starting) == (None if others else last, True)
        one.put(1)
        assert one.outbox._pending[3].floor == last


def test_after_a_lost_connection_each_message_becomes_what_was_found_out_and_the_order_holds() -> None:
    rig = Rig()
    rig.put(4)
    rig.stored((0, 11))
    rig.outbox.lost()
    assert not rig.outbox.takes_more
    rig.put(1)
    assert rig.line.written == [b"0", b"1", b"2", b"3"]
    found = rig.restore(Outcome(stored={1: 12}, repeat={2}, last_sequence=40, why="others wrote"))
    assert list(found.asked[0]) == [1, 2, 3]
    assert rig.verdicts == {0: (C, "11"), 1: (C, "12"), 3: (U, "the connection was lost before its acknowledgement came, and others wrote")}
    assert rig.line.written[4:] == [b"2", b"4"]
    assert rig.outbox.takes_more
    again, new = (rig.outbox._pending[number] for number in (2, 4))
    assert (again.repeated, again.in_doubt, again.floor, new.repeated, new.floor) == (True, True, 10, False, 40)


def test_a_connection_that_is_lost_once_more_while_it_is_found_out_settles_nothing_yet() -> None:
    rig = Rig()
    rig.put(2)
    rig.settle(Outcome(stored={0: 11}, why="nothing"), meanwhile=rig.outbox.lost)
    assert (rig.verdicts, rig.outbox.open, rig.outbox.takes_more) == ({}, 2, False)
    rig.restore(Outcome(stored={0: 11, 1: 12}))
    assert rig.verdicts == {0: (C, "11"), 1: (C, "12")}


def test_what_never_left_is_refused_and_what_left_is_in_doubt() -> None:
    rig = Rig()
    rig.put(1)
    rig.line.writes = False
    rig.put(2)
    with rig.outbox.changed:
        assert (rig.outbox.waits(None), rig.outbox.waits(0), rig.outbox.waits(1)) == (True, False, True)
        rig.outbox.abandon(2)
    assert rig.verdicts == {0: (U, "no acknowledgement came"), 1: (R, "the connection was lost, and it never left")}
    rig.line.writes = True
    rig.outbox._write_unsent()
    assert rig.line.written == [b"0", b"2"]


def test_without_a_stream_to_ask_all_that_was_sent_is_in_doubt_once_the_connection_was_lost() -> None:
    rig = Rig(target=None)
    rig.put(2)
    rig.outbox.lost()
    asyncio.run(rig.outbox.restored())
    assert {verdict for verdict, _ in rig.verdicts.values()} == {U}
    rig.put(1)
    rig.unheard(2)
    assert rig.verdicts == {2: (R, "no stream listens on its subject")}


@pytest.mark.parametrize(("before", "verdict"), [
    (False, (R, "nobody answered")), (True, (U, "its stream's leader was lost before its acknowledgement came, and nobody leads"))])
def test_what_nobody_heard_reached_nobody_unless_it_had_been_sent_before(before: bool, verdict: tuple[Verdict, str]) -> None:
    rig = Rig()
    rig.put(1)
    if before:
        rig.settle(Outcome(repeat={0}))
    rig.unheard(0)
    assert (rig.verdicts, rig.outbox.takes_more, len(rig.line.started)) == ({}, False, 1)
    found = rig.outbox._recovery = Found(Outcome(why="nobody leads", nobody="nobody answered"))  # type: ignore[assignment]
    asyncio.run(rig.line.started.pop())  # type: ignore[arg-type]
    assert (rig.verdicts, found.starting) == ({0: verdict}, False)


def test_what_nobody_heard_until_it_was_late_is_said_with_what_came_of_asking_about_its_stream() -> None:
    rig = Rig()
    rig.put(1)
    rig.unheard(0)
    rig.line.started.pop().close()
    with rig.outbox.changed:
        rig.outbox.abandon(None)
    assert rig.verdicts == {0: (R, "nobody took it: nothing was said of its stream")}


def test_what_is_too_large_is_refused_and_what_was_behind_it_was_not_read() -> None:
    rig = Rig()
    rig.put(1)
    rig.put(1, body=b"x" * 100)
    rig.put(2)
    rig.line.too_large = 100
    assert rig.outbox.largest_sent() == 100
    found = rig.settle(Outcome(why="nothing is known"))
    assert list(found.asked[0]) == [0]
    verdicts = rig.verdicts
    assert [(number, verdict) for number, (verdict, _) in verdicts.items()] == [(0, U), (1, R)]
    assert "Maximum Payload Violation" in verdicts[1][1]
    assert rig.line.written[4:] == [b"2", b"3"]
    assert not rig.outbox._pending[2].in_doubt


def test_of_what_is_behind_one_that_is_too_large_the_server_has_read_what_was_sent_before() -> None:
    rig = Rig()
    rig.put(1, body=b"x" * 100)
    rig.put(2)
    rig.settle(Outcome(repeat={0, 1}, why="nothing is known"))
    rig.line.too_large = 100
    rig.put(1)
    assert list(rig.settle(Outcome(repeat={1})).asked[0]) == [1]
    assert [verdict for verdict, _ in rig.verdicts.values()] == [U, R]
    assert rig.line.written[-2:] == [b"1", b"3"]


def test_while_there_is_no_connection_nothing_is_written_and_nothing_is_late() -> None:
    rig = Rig()
    assert (rig.line.subscriptions, rig.line.watchers) == ([(7, "_INBOX.x.*")], [rig.outbox])
    rig.line.connected = False
    rig.put(2, body=b"x" * 100)
    with rig.outbox.changed:
        rig.outbox.expire()
    assert (rig.line.written, rig.verdicts, rig.outbox.takes_more, rig.outbox.largest_sent(), rig.outbox.failure) == ([], {}, False, 0, None)
    rig.line.failure = Unreachable("given up")
    assert rig.outbox.failure is rig.line.failure
    with rig.outbox.changed:
        rig.outbox.abandon(None)
    assert rig.verdicts == dict.fromkeys((0, 1), (R, "the connection was lost, and it never left"))
    asyncio.run(rig.outbox.close())
    assert (rig.line.subscriptions, rig.line.watchers) == ([], [])


def test_a_stream_that_is_led_by_another_is_found_out_about_before_more_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.put(1)
    rig.outbox._recovery = Found(Outcome(stored={0: 11}))  # type: ignore[assignment]
    monkeypatch.setattr(rig.outbox.silence, "time_to_ask", lambda waiting: waiting)
    with rig.outbox.changed:
        rig.outbox.expire()
    asyncio.run(rig.line.started.pop())  # type: ignore[arg-type]
    assert (rig.outbox.takes_more, len(rig.line.started)) == (False, 1)
    with rig.outbox.changed:
        rig.outbox.expire()
    asyncio.run(rig.line.started.pop())  # type: ignore[arg-type]
    assert (rig.outbox.takes_more, rig.line.started, rig.verdicts) == (True, [], {0: (C, "11")})


def test_what_has_waited_too_long_is_in_doubt_and_after_too_long_a_silence_nothing_more_is_sent() -> None:
    rig = Rig(timeout=0.0)
    rig.line.writes = False
    rig.put(1)
    rig.line.writes = True
    rig.put(2)
    # the first was written again, and before the others
    assert rig.line.written == [b"0", b"1", b"2"]
    with rig.outbox.changed:
        rig.outbox.expire()
    assert rig.verdicts == dict.fromkeys(range(3), (U, "no acknowledgement came within 0 s"))
    assert isinstance(rig.outbox.failure, Unreachable)
    rig.put(1)
    assert (rig.outbox.takes_more, rig.line.written[3:]) == (False, [])


def test_what_is_not_late_keeps_waiting_and_so_does_what_is_behind_it() -> None:
    rig = Rig()
    rig.put(3)
    rig.outbox._pending[1].first_sent -= 31.0
    with rig.outbox.changed:
        rig.outbox.expire()
    assert (rig.verdicts, rig.outbox.failure) == ({}, None)
    rig.outbox._pending[0].first_sent -= 31.0
    with rig.outbox.changed:
        rig.outbox.expire()
    assert sorted(rig.verdicts) == [0, 1]


def test_a_login_that_may_not_publish_is_refused_those_messages_and_no_other() -> None:
    rig = Rig()
    rig.put(2, subject=b"orders.mine")
    rig.put(1)
    rig.outbox.refused("subscription", "orders.mine")
    rig.outbox.refused("publish", "orders.mine")
    assert rig.verdicts == {}
    rig.outbox.refused("publish", "orders.mine")
    assert rig.verdicts == dict.fromkeys((0, 1), (R, "this login is not permitted to publish to orders.mine"))
    assert rig.outbox.open == 1


def test_what_another_domain_stored_is_told_of_a_message_that_stays_in_doubt() -> None:
    rig = Rig()
    rig.put(1)
    rig.answered(0, b'{"stream":"ORDERS","domain":"leaf","seq":7}')
    assert rig.verdicts == {}
    with rig.outbox.changed:
        rig.outbox.abandon(None)
    assert rig.verdicts == {0: (U, "no acknowledgement came from its stream; stream ORDERS of the JetStream domain leaf stored it")}


def test_refusals_beforehand_are_told_and_what_nobody_asks_for_any_more_is_dropped() -> None:
    rig = Rig()
    rig.outbox.put({}, 0, [Receipt(0, R, reason="too large")])
    rig.next = 1
    rig.put(2)
    rig.outbox.forget()
    rig.stored((1, 11))
    assert (rig.verdicts, rig.outbox.open) == ({0: (R, "too large")}, 0)


def test_what_could_not_be_sent_again_is_sent_once_when_the_connection_is_there_once_more() -> None:
    rig = Rig()
    rig.put(2)
    rig.line.writes = False
    # found out about, and the connection closes before any of it is written
    rig.settle(Outcome(repeat={0, 1}))
    assert rig.line.written == [b"0", b"1"]
    rig.outbox.lost()
    rig.line.writes = True
    rig.put(1)
    rig.restore(Outcome(repeat={0, 1}))
    assert rig.line.written[2:] == [b"0", b"1", b"2"]


@pytest.mark.parametrize(("block", "verdict"), [(b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", U), (b"", R)])
@pytest.mark.parametrize("why", ["wrong last sequence", "not permitted", "Maximum Payload Violation"])
def test_what_was_sent_again_and_refused_then_may_have_been_stored_the_first_time(block: bytes, verdict: Verdict, why: str) -> None:
    # without an id it is sent again only where it was certainly not stored
    rig = Rig()
    rig.outbox.put({0: Sent(b"orders.new", block, b"x")}, 80, ())
    rig.settle(Outcome(repeat={0}))
    if why == "not permitted":
        rig.outbox.refused("publish", "orders.new")
    elif why == "Maximum Payload Violation":
        rig.line.too_large = 1
        rig.settle(Outcome())
    else:
        rig.answered(0, b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 11"},"stream":"ORDERS","seq":0}')
    found, reason = rig.verdicts[0]
    assert (found, "was sent before" in reason, why in reason) == (verdict, verdict is U, True)
