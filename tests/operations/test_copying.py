"""What a journal remembers of a batch that did not arrive as a whole: what is confirmed, up to the first message that is not.

The publisher is scripted, for the order of verdicts and what a second Ctrl-C takes away; `tests/commands/test_replay.py` has real ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from brokercli.model.address import Address
from brokercli.model.errors import OutOfRange, Unreachable
from brokercli.model.exit_code import ExitCode
from brokercli.model.message import Message, Record
from brokercli.model.position import NANOSECONDS, Number, Span, parse_position
from brokercli.model.receipt import Account, Receipt, Receipts, Verdict
from brokercli.operations.copying import Copying, Pace, fix_bounds, last_delivered, span_of
from brokercli.operations.filter import Filter
from brokercli.operations.journal import Journal, mark_of
from brokercli.operations.publishing import Outcome, Publishing, Rate
from brokercli.operations.reading import Reading
from brokercli.operations.record_list import RecordList
from brokercli.operations.through import Through
from tests.operations.test_publishing import GoneWhileAccepting, ScriptedPublisher

C, R, NEVER = Verdict.CONFIRMED, Verdict.REFUSED, None


class OneBatch:
    """Reads records of two partitions in turn: 0:0, 1:0, 0:1, 1:1, …"""

    finished = False

    def __init__(self, count: int) -> None:
        self.count = count

    def read(self, timeout: float) -> RecordList:
        self.finished = True
        count, self.count = self.count, 0
        return RecordList([Record("kafka", {}, f"{number % 2}:{number // 2}", None, Message(b"%d" % number)) for number in range(count)])


class OneByOne(OneBatch):
    """Reads the same records, each of them in a batch of its own."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.left = super().read(0).records()
        self.finished = False

    def read(self, timeout: float) -> RecordList:
        self.finished = len(self.left) <= 1
        part, self.left = self.left[:1], self.left[1:]
        return RecordList(part)


class Interrupted(BaseException): ...


class BackAgain(ScriptedPublisher):
    """Gives everything up once while it is waited for, and goes on when it is given more (a Kafka broker that is back after the delivery timeout)."""

    def collect(self, timeout: float) -> Receipts:
        self.collected += 1
        if self.collected == 2:
            raise Unreachable("nothing was confirmed for 30 s")
        return self._judge(list(self.waiting) if self.collected > 2 else [])


class Again(ScriptedPublisher):
    """Has had every message already."""

    def _judge(self, indices: list[int]) -> Receipts:
        receipts = Receipts()
        for receipt in [Receipt(index, Verdict.CONFIRMED, duplicate=True) for index in indices]:
            receipts.count(receipt)
            self.waiting.remove(receipt.index)
        return receipts


class CutOffInTheMidst(ScriptedPublisher):
    """Is interrupted a second time when it has taken the second message; both are confirmed by then."""

    def collect(self, timeout: float) -> Receipts:
        if len(self.bodies) == 2:
            raise Interrupted
        return super().collect(timeout)


class CutOff(ScriptedPublisher):
    """Loses verdicts: it was interrupted a second time when they had just been taken from it."""

    def collect(self, timeout: float) -> Receipts:
        super().collect(timeout)
        raise Interrupted


class Full(ScriptedPublisher):
    """Accepts only as much as comes at first."""

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        time.sleep(0.01)
        return 0 if self.bodies else super().send_bodies(bodies)


def copy(path: Path, publisher: ScriptedPublisher, *, stop_after: int = 1000, through: Through | None = None,
         reader: type[OneBatch] = OneBatch, delivery_timeout: float = 0.0) -> tuple[Outcome, dict[int, int]]:
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        return asked > stop_after

    with Journal(str(path / "journal"), {"from": "a", "to": "b"}) as journal:
        before = journal.delivered
        publishing = Publishing(publisher, stopping=stopping, delivery_timeout=delivery_timeout)
        copying = Copying(publishing, journal=journal, through=through)
        try:
            copying.run(Reading(reader(6)))  # type: ignore[arg-type]
        except Interrupted:
            copying.abandon()
    with Journal(str(path / "journal"), {"from": "a", "to": "b"}) as again:
        account = publishing.outcome.account
        assert copying.entered == again.delivered - before <= account.confirmed
        assert account.read == account.confirmed + account.refused + account.unknown + account.skipped
        assert min(account.confirmed, account.refused, account.unknown, account.skipped) >= 0
        return publishing.outcome, again.done


@pytest.mark.parametrize(("verdicts", "done"), [
    ([C], {0: 2, 1: 2}),
    ([C, C, C, R, C, C], {0: 2, 1: 0}),
    ([C, C, NEVER, C, C, C], {0: 0, 1: 2}),
    ([R, NEVER, C, C, C, C], {}),
])
def test_each_partition_is_remembered_up_to_the_first_message_that_is_not_confirmed(
        tmp_path: Path, verdicts: list[Verdict | None], done: dict[int, int]) -> None:
    outcome, remembered = copy(tmp_path, ScriptedPublisher(verdicts, [10]))
    assert remembered == done
    assert (outcome.account.confirmed, outcome.account.unknown) == (verdicts.count(C) * (6 // len(verdicts)), verdicts.count(NEVER))
    assert (outcome.error is None) == (verdicts == [C])


def test_of_a_batch_that_was_stopped_while_it_was_sent_what_was_sent_is_remembered(tmp_path: Path) -> None:
    outcome, remembered = copy(tmp_path, ScriptedPublisher([C], [0, 1]), stop_after=6)
    sent = outcome.account.confirmed
    assert 0 < sent < 6
    assert remembered == {partition: number for number in range(3) for partition in (0, 1) if number * 2 + partition < sent}
    assert outcome.account.skipped == 6 - sent


def test_where_verdicts_were_lost_nothing_is_taken_for_confirmed(tmp_path: Path) -> None:
    outcome, remembered = copy(tmp_path, CutOff([C], [10]))
    assert (outcome.account.unknown, remembered) == (2, {})


@pytest.mark.parametrize("kind", [GoneWhileAccepting, CutOffInTheMidst])
def test_what_was_confirmed_when_it_could_not_go_on_is_remembered(tmp_path: Path, kind: type[ScriptedPublisher]) -> None:
    outcome, remembered = copy(tmp_path, kind([C], [1]))
    assert (outcome.account.confirmed, remembered) == (2, {0: 0, 1: 0})


@pytest.mark.parametrize(("grep", "reader", "account"), [
    (None, OneBatch, Account(read=2, confirmed=2)), (None, OneByOne, Account(read=2, confirmed=2)),
    ("/[24]/", OneBatch, Account(read=5, confirmed=2, skipped=3)), ("/[24]/", OneByOne, Account(read=5, confirmed=2, skipped=3)),
    ("4", OneBatch, Account(read=6, confirmed=1, skipped=5)), ("no", OneBatch, Account(read=6, skipped=6)),
])
def test_what_lies_behind_the_last_that_was_asked_for_is_not_read_however_it_came(grep: str | None, reader: type[OneBatch], account: Account) -> None:
    publisher = ScriptedPublisher([C] * 6, [6] * 6)
    narrowing = None if grep is None else Filter.compile(grep=[grep])
    reading = Reading(reader(6), narrowing=narrowing, limit=2)  # type: ignore[arg-type]
    assert Copying(Publishing(publisher, delivery_timeout=0.0)).run(reading).account == account


def test_what_the_journal_has_is_skipped_also_where_the_rest_is_refused(tmp_path: Path) -> None:
    with Journal(str(tmp_path / "journal"), {"from": "a", "to": "b"}) as journal:
        journal.enter({0: 1, 1: 0}, 3)
    outcome, remembered = copy(tmp_path, GoneWhileAccepting([C], [1]))
    assert outcome.account == Account(read=6, confirmed=2, refused=1, skipped=3)
    assert remembered == {0: 2, 1: 1}


class Kept(ScriptedPublisher):
    """Notes where and when each message is to be."""

    def __init__(self) -> None:
        super().__init__([C], [10])
        self.said: list[tuple[int | None, int | None]] = []

    def send(self, messages: Sequence[Message]) -> int:
        self.said += [(message.time, message.partition) for message in messages]
        return super().send(messages)


class Placed(OneBatch):
    """Reads records that lie in a partition and have a time, and one of a broker without partitions."""

    def read(self, timeout: float) -> RecordList:
        read = [] if self.finished else [Record("kafka", {"partition": 1}, "1:7", 5, Message(b"1", time=9)), Record("nats", {}, "7", 6, Message(b"2"))]
        self.finished = True
        return RecordList(read)


@pytest.mark.parametrize(("keeps", "said"), [
    ({}, [(None, None)] * 2), ({"keep_time": True}, [(5, None), (6, None)]), ({"keep_partition": True}, [(None, 1), (None, None)])])
def test_time_and_partition_go_along_where_they_are_asked_for(keeps: dict[str, bool], said: list[tuple[int | None, int | None]]) -> None:
    publisher = Kept()
    Copying(Publishing(publisher), **keeps).run(Reading(Placed(2)))  # type: ignore[arg-type]
    assert publisher.said == said


class Single(OneBatch):
    """Reads one record."""

    def __init__(self, record: Record) -> None:
        super().__init__(1)
        self.record = record

    def read(self, timeout: float) -> RecordList:
        return RecordList([self.record] if super().read(timeout) else [])


@pytest.mark.parametrize(("record", "marked"), [(Record("rabbitmq", {"offset": 7}, "7", 6, Message(b"2")), True),
                                                (Record("kafka", {"partition": 1, "offset": 7}, "1:7", 6, Message(b"2")), False)])
def test_what_was_delivered_last_is_known_again_where_there_is_a_last_one(tmp_path: Path, record: Record, marked: bool) -> None:
    with Journal(str(tmp_path / "journal"), {"from": "a", "to": "b"}) as journal:
        Copying(Publishing(ScriptedPublisher([C], [10])), journal=journal).run(Reading(Single(record)))  # type: ignore[arg-type]
        assert (journal.mark == mark_of(record)) is marked


def test_what_a_program_refused_is_tried_again(tmp_path: Path) -> None:
    outcome, remembered = copy(tmp_path, ScriptedPublisher([C], [10]), through=Through("grep -v 3"))
    assert (outcome.account.confirmed, outcome.account.refused, remembered) == (5, 1, {0: 2, 1: 0})


def test_what_the_broker_had_already_is_remembered_like_the_rest(tmp_path: Path) -> None:
    outcome, remembered = copy(tmp_path, Again([C], [10]))
    assert (outcome.account.confirmed, outcome.duplicates, outcome.error, remembered) == (6, 6, None, {0: 2, 1: 2})


def test_the_next_run_sends_what_the_journal_does_not_have_and_nothing_else(tmp_path: Path) -> None:
    with Journal(str(tmp_path / "journal"), {"from": "a", "to": "b"}) as journal:
        journal.enter({0: 1, 1: 0}, 3)
    publisher = ScriptedPublisher([C], [10])
    outcome, remembered = copy(tmp_path, publisher)
    assert (publisher.bodies, remembered) == ([b"3", b"4", b"5"], {0: 2, 1: 2})
    assert outcome.account == Account(read=6, confirmed=3, skipped=3)
    with Journal(str(tmp_path / "journal"), {"from": "a", "to": "b"}) as journal:
        assert journal.delivered == 6


class Late(Reading):
    """Has no time left once the second record was looked at."""

    asked = 0

    @property
    def out_of_time(self) -> bool:
        self.asked += 1
        return self.asked > 2


@pytest.mark.parametrize("stopped", [False, True], ids=["its time is over", "it is stopped"])
def test_a_program_runs_over_nothing_more_once_the_copy_is_over_and_the_rest_is_skipped(stopped: bool) -> None:
    publisher, asked = ScriptedPublisher([C], [10]), iter(range(100))
    publishing = Publishing(publisher, stopping=lambda: stopped and next(asked) >= 2, delivery_timeout=30.0)
    reading = (Reading if stopped else Late)(OneBatch(6))  # type: ignore[arg-type]
    outcome = Copying(publishing, through=Through("cat")).run(reading)
    assert (outcome.stopped, outcome.timed_out) == (stopped, not stopped)
    assert publisher.bodies == ([] if stopped else [b"0", b"1"])
    assert outcome.account == Account(read=6, confirmed=len(publisher.bodies), skipped=6 - len(publisher.bodies))


@pytest.mark.parametrize("journaled", [False, True])
def test_verdicts_that_do_not_come_are_waited_for_no_longer_than_the_time_there_is(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journaled: bool) -> None:
    monkeypatch.setattr("brokercli.operations.publishing._LAST_WAIT_SECONDS", 0.3)
    with Journal(str(tmp_path / "journal"), {"from": "a", "to": "b"}) as journal:
        copying = Copying(Publishing(Full([C, NEVER, NEVER], [3]), delivery_timeout=1e6), journal=journal if journaled else None)
        outcome = copying.run(Reading(OneBatch(6), timeout=0.3))  # type: ignore[arg-type]
    assert (outcome.error, outcome.timed_out, outcome.exit_code) == (None, True, ExitCode.IN_DOUBT)
    assert outcome.account == Account(read=6, confirmed=1, unknown=2, skipped=3)


@pytest.mark.parametrize(("start", "done", "goes_on"), [
    ("3", {}, "3"), ("3", {0: 2}, "3"), ("3", {0: 3}, "4"), ("0", {0: 0}, "1"),
    ("0:5,1:7", {}, "0:5,1:7"), ("0:5,1:7", {0: 8, 1: 6}, "0:9,1:7"), ("0:0,1:0", {1: 0}, "0:0,1:1")])
def test_a_copy_goes_on_behind_what_is_done_and_never_before_its_own_start(start: str, done: dict[int, int], goes_on: str) -> None:
    bounds = fix_bounds(Span(parse_position(start), parse_position("99")))
    assert span_of(bounds, done) == Span(parse_position(goes_on), parse_position("99"))


def test_nothing_follows_what_was_given_up(tmp_path: Path) -> None:
    publisher = BackAgain([NEVER, C, C, C, C, C], [1])
    outcome, remembered = copy(tmp_path, publisher, reader=OneByOne, delivery_timeout=30.0)
    assert (publisher.bodies, remembered) == ([b"0"], {})
    assert isinstance(outcome.error, Unreachable)


class Recorded(OneBatch):
    """Reads records that were stored after so many seconds; None: nobody wrote down when."""

    def __init__(self, *seconds: float | None) -> None:
        super().__init__(len(seconds))
        self._times = [None if after is None else int((1000 + after) * NANOSECONDS) for after in seconds]

    def read(self, timeout: float) -> RecordList:
        self.finished = True
        times, self._times = self._times, []
        return RecordList([Record("kafka", {}, f"0:{number}", time, Message(b"%d" % number)) for number, time in enumerate(times)])


@pytest.mark.parametrize(("factor", "sent"), [(1.0, {0.0: [b"0"], 1.0: [b"1", b"2", b"3"], 4.0: [b"4", b"5"]}),
                                              (2.0, {0.0: [b"0"], 0.5: [b"1", b"2", b"3"], 2.0: [b"4", b"5"]})])
def test_what_was_recorded_goes_out_in_its_rhythm_and_what_is_due_does_not_wait_for_what_is_not(
        monkeypatch: pytest.MonkeyPatch, factor: float, sent: dict[float, list[bytes]]) -> None:
    now = [50.0]
    monkeypatch.setattr("brokercli.operations.copying.time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds)))
    went: dict[float, list[bytes]] = {}

    class Clocked(ScriptedPublisher):
        def send(self, messages: Sequence[Message]) -> int:
            went.setdefault(round(now[0] - 50, 2), []).extend(message.body or b"" for message in messages)
            return super().send(messages)

    # the third has no time, and the fourth is older than the first
    outcome = Copying(Publishing(Clocked([C], [10])), pace=Pace(factor)).run(Reading(Recorded(0, 1, None, -5, 4, 4)))  # type: ignore[arg-type]
    assert (went, outcome.account) == (sent, Account(read=6, confirmed=6))


@pytest.mark.parametrize("journalled", [False, True])
@pytest.mark.parametrize("slowly", ["as recorded", "at a rate"])
def test_what_is_to_go_only_after_the_time_is_over_is_not_waited_for(tmp_path: Path, slowly: str, journalled: bool) -> None:
    publisher = ScriptedPublisher([C], [10])
    began = time.monotonic()
    with Journal(str(tmp_path / "journal"), {"from": "a", "to": "b"}) as journal:
        publishing = Publishing(publisher, stopping=lambda: time.monotonic() - began > 5, rate=Rate(1 / 600 if slowly == "at a rate" else None))
        copying = Copying(publishing, pace=Pace(1.0) if slowly == "as recorded" else None, journal=journal if journalled else None)
        outcome = copying.run(Reading(Recorded(0, 600, 1200), timeout=0.2, limit=3))  # type: ignore[arg-type]
    assert time.monotonic() - began < 4
    assert (publisher.bodies, outcome.account) == ([b"0"], Account(read=3, confirmed=1, skipped=2))
    assert (outcome.timed_out, outcome.error, outcome.exit_code) == (True, None, ExitCode.TIMED_OUT)
    assert journal.done == ({0: 0} if journalled else {})


class Lying(OneBatch):
    """Reads one record."""

    def __init__(self, record: Record) -> None:
        super().__init__(1)
        self._records = [record]

    def read(self, timeout: float) -> RecordList:
        self.finished = True
        records, self._records = self._records, []
        return RecordList(records)


@pytest.mark.parametrize(("done", "body", "stored", "found"), [
    ({0: 7}, b"x", 7, True), ({0: 7}, b"x", 9, False), ({0: 7}, b"x", None, False), ({1: 7}, b"x", 7, False), ({0: 7}, None, 7, False)])
def test_the_message_that_was_delivered_last_is_looked_for_where_the_journal_knows_it(tmp_path: Path, done: dict[int, int], body: bytes | None,
                                                                                      stored: int | None, found: bool) -> None:
    record = Record("nats", {}, str(stored), 5, Message(b"now"))

    @contextmanager
    def look(source: Address, span: Span) -> Iterator[OneBatch]:
        assert (source.name, span) == ("orders", Span(Number(7), Number(8)))
        if stored is None:
            raise OutOfRange("nothing is stored there")
        yield Lying(record)

    with Journal(str(tmp_path / "journal"), {}) as journal:
        journal.enter(done, 1, None if body is None else Record("nats", {}, "7", 5, Message(body)))
        assert last_delivered(SimpleNamespace(look=look), Address("orders"), journal) == (record if found else None)  # type: ignore[arg-type]
