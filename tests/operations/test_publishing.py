"""read = confirmed + refused + unknown + skipped, whatever the broker says and whenever it ends.

The publisher here is scripted: no broker can be made to answer in every order. That real ones are accounted for as
truthfully is what `tests/conformance` and `tests/torture` show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.backends.contract import Publisher
from brokercli.model.errors import BrokercliError, InputRefused, LocalIO, NotAuthorised, ReaderLeft, Unreachable
from brokercli.model.exit_code import ExitCode
from brokercli.model.message import Message
from brokercli.model.receipt import Account, Receipt, Receipts, Verdict
from brokercli.operations.publishing import Outcome, Publishing, Rate

VERDICTS = st.sampled_from([Verdict.CONFIRMED, Verdict.REFUSED, None])


class ScriptedPublisher(Publisher):
    """Accepts as many as the script says, gives each message the verdict the script says; None is a verdict never given."""

    def __init__(self, verdicts: list[Verdict | None], accepts: list[int], dies_after: int | None = None) -> None:
        self.withheld = {}
        self.verdicts, self.accepts, self.dies_after = verdicts, accepts, dies_after
        self.bodies: list[bytes] = []
        self.waiting: list[int] = []
        self.collected = 0
        self.asked = 0

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        self.asked += 1
        count = min(len(bodies), self.accepts[self.asked % len(self.accepts)])
        for body in bodies[:count]:
            self.waiting.append(len(self.bodies))
            self.bodies.append(body)
        return count

    def send(self, messages: Sequence[Message]) -> int:
        return self.send_bodies([message.body or b"" for message in messages])

    def collect(self, timeout: float) -> Receipts:
        self.collected += 1
        if self.dies_after is not None and self.collected > self.dies_after:
            raise Unreachable("gone")
        return self._judge(self.waiting[:2])

    def finish(self, timeout: float) -> Receipts:
        receipts = self._judge(list(self.waiting))
        for index in list(self.waiting):
            receipts.count(Receipt(index, Verdict.UNKNOWN))
        self.waiting.clear()
        return receipts

    def _judge(self, indices: list[int]) -> Receipts:
        receipts = Receipts()
        for index in indices:
            verdict = self.verdicts[index % len(self.verdicts)]
            if verdict is not None:
                receipts.count(Receipt(index, verdict))
                self.waiting.remove(index)
        return receipts

    @property
    def in_flight(self) -> int:
        return len(self.waiting)

    def close(self) -> None: ...


class ScriptedSource:
    def __init__(self, pieces: list[list[bytes] | None]) -> None:
        self.pieces = list(pieces)
        self.first = 0
        self.count = 0

    def read(self, timeout: float) -> list[bytes] | None:
        if not self.pieces:
            return None
        piece = self.pieces.pop(0)
        self.first = self.count + 1
        if piece is None:
            self.count += 1
            raise InputRefused(f"line {self.count} is bad", self.count)
        self.count += len(piece)
        return piece


PIECES = st.lists(st.one_of(st.none(), st.lists(st.binary(max_size=3), max_size=5)), max_size=8)


def check_receipts(told: Receipts, account: Account) -> None:
    """Each message has one verdict, and those that were told are those that were counted."""
    assert (told.confirmed, told.refused, told.unknown) == (account.confirmed, account.refused, account.unknown)
    assert Counter(receipt.verdict for receipt in told.problems) == Counter({Verdict.REFUSED: account.refused, Verdict.UNKNOWN: account.unknown})
    named = [receipt.index for receipt in told.problems if receipt.index >= 0]
    assert len(named) == len(set(named))


@given(pieces=PIECES, verdicts=st.lists(VERDICTS, min_size=1, max_size=6), accepts=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
       stop_after=st.one_of(st.none(), st.integers(0, 12)), dies_after=st.one_of(st.none(), st.integers(0, 12)), skip=st.booleans())
def test_what_was_read_is_always_accounted_for_to_the_last_message(pieces, verdicts, accepts, stop_after, dies_after, skip) -> None:
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        return (stop_after is not None and asked > stop_after) or asked > 500

    publisher = ScriptedPublisher(verdicts, accepts, dies_after)
    told = Receipts()
    publishing = Publishing(publisher, told.add, stopping, on_bad_input="skip" if skip else "stop", delivery_timeout=0.0)
    account = publishing.run(ScriptedSource(pieces)).account
    assert account.read == account.confirmed + account.refused + account.unknown + account.skipped
    check_receipts(told, account)
    assert min(account.confirmed, account.refused, account.unknown, account.skipped) >= 0
    judged = [verdicts[index % len(verdicts)] for index in range(len(publisher.bodies))]
    assert account.confirmed == judged.count(Verdict.CONFIRMED)
    assert account.unknown == judged.count(None)


@given(pieces=st.lists(st.lists(st.binary(max_size=3), min_size=1, max_size=5), max_size=6))
def test_messages_are_given_to_the_broker_in_the_order_they_were_read(pieces) -> None:
    publisher = ScriptedPublisher([Verdict.CONFIRMED], [1, 0, 3])
    Publishing(publisher).run(ScriptedSource(pieces))
    assert publisher.bodies == [body for piece in pieces for body in piece]


class DeadWithItsLastVerdict(ScriptedPublisher):
    """Raises why nothing goes any more once every verdict is taken, as a broker does that closes a channel for what is refused."""

    def collect(self, timeout: float) -> Receipts:
        if not self.waiting:
            raise NotAuthorised("no permission")
        return super().collect(timeout)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize(("verdicts", "code"), [
    ([Verdict.REFUSED], ExitCode.NOT_AUTHORISED), ([Verdict.CONFIRMED], ExitCode.DONE),
    ([Verdict.CONFIRMED, Verdict.REFUSED], ExitCode.PARTLY), ([None], ExitCode.IN_DOUBT)])
def test_what_ended_everything_decides_the_exit_code_also_where_it_came_with_the_last_verdict(
        verdicts: list[Verdict | None], code: ExitCode, count: int) -> None:
    outcome = Publishing(DeadWithItsLastVerdict(verdicts, [9]), delivery_timeout=30.0 if all(verdicts) else 0.0).run(ScriptedSource([[b"1"] * count]))
    assert outcome.exit_code is code
    assert isinstance(outcome.error, NotAuthorised) is (Verdict.REFUSED in verdicts)
    assert (outcome.account.read, outcome.account.open, outcome.account.skipped) == (count, 0, 0)


def test_what_lies_behind_the_message_that_showed_that_nothing_can_be_delivered_is_not_read() -> None:
    source = ScriptedSource([[b"1", b"2"], [b"3"], [b"4"]])
    outcome = Publishing(DeadWithItsLastVerdict([Verdict.REFUSED], [9]), delivery_timeout=0.0).run(source)
    assert (outcome.account.read, outcome.account.refused, len(source.pieces)) == (2, 2, 2)
    assert outcome.exit_code is ExitCode.NOT_AUTHORISED


class Interrupted(BaseException): ...


class CutOffWhileAccepting(ScriptedPublisher):
    """Is interrupted a second time when it has accepted messages and not yet said so."""

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        super().send_bodies(bodies)
        raise Interrupted


@pytest.mark.parametrize("bad_lines", [0, 2])
@pytest.mark.parametrize(("accepts", "verdict", "confirmed", "unknown"), [(3, Verdict.CONFIRMED, 3, 0), (1, Verdict.CONFIRMED, 1, 2), (3, None, 0, 3)])
def test_what_a_publisher_may_have_accepted_when_it_was_cut_off_is_never_said_to_be_skipped(
        accepts: int, verdict: Verdict | None, confirmed: int, unknown: int, bad_lines: int) -> None:
    told = Receipts()
    publishing = Publishing(CutOffWhileAccepting([verdict], [accepts]), told.add, on_bad_input="skip", delivery_timeout=0.0)
    with pytest.raises(Interrupted):
        publishing.run(ScriptedSource([*[None] * bad_lines, [b"1", b"2", b"3"]]))
    outcome = publishing.abandon()
    assert outcome.stopped
    assert outcome.account == Account(read=3 + bad_lines, confirmed=confirmed, unknown=unknown, refused=bad_lines)
    check_receipts(told, outcome.account)


class CutOffWithVerdicts(ScriptedPublisher):
    """Is interrupted a second time when its third verdict was just taken from it; says where messages are stored where that is asked."""

    positions = False

    def collect(self, timeout: float) -> Receipts:
        taken = self.waiting[:1]
        receipts = self._judge(taken)
        if taken == [2]:
            raise Interrupted
        return receipts

    def _judge(self, indices: list[int]) -> Receipts:
        receipts = super()._judge(list(indices))
        if self.positions:
            named = {receipt.index for receipt in receipts.problems}
            receipts.confirmations = [Receipt(index, Verdict.CONFIRMED, "87") for index in indices if index not in named]
        return receipts


@pytest.mark.parametrize(("verdicts", "positions", "told"), [
    ([Verdict.CONFIRMED], True, [2]), ([Verdict.CONFIRMED, Verdict.REFUSED], True, [1, 3, 2]), ([Verdict.REFUSED], False, [0, 1, 3, 4, 2]),
    # who is told only how many are confirmed cannot tell which
    ([Verdict.CONFIRMED], False, [-1])])
def test_the_message_whose_verdict_was_lost_is_named_where_all_others_are(verdicts: list[Verdict | None], positions: bool, told: list[int]) -> None:
    receipts, publisher = Receipts(), CutOffWithVerdicts(verdicts, [3])
    publisher.positions = positions
    publishing = Publishing(publisher, receipts.add, delivery_timeout=0.0)
    with pytest.raises(Interrupted):
        publishing.run(ScriptedSource([[b"1", b"2", b"3"], [b"4"], [b"5"], [b"6"]]))
    outcome = publishing.abandon()
    assert (outcome.account.unknown, outcome.account.open) == (1, 0)
    assert [receipt.index for receipt in receipts.problems] == told


class Slow(ScriptedPublisher):
    """Judges one message at a time, and has no verdict for whoever does not wait."""

    def collect(self, timeout: float) -> Receipts:
        self.collected += 1
        return self._judge(self.waiting[:1]) if self.collected > 1 else Receipts()

    def finish(self, timeout: float) -> Receipts:
        receipts = Receipts()
        for index in self.waiting:
            receipts.count(Receipt(index, Verdict.UNKNOWN))
        self.waiting.clear()
        return receipts


@pytest.mark.parametrize("problem", [LocalIO("the disk is full"), ReaderLeft("the reader has gone")])
@pytest.mark.parametrize(("verdicts", "timeout", "account", "code"), [
    ([Verdict.CONFIRMED], 30.0, Account(read=3, confirmed=3), None), ([None], 0.0, Account(read=3, unknown=3), ExitCode.IN_DOUBT)])
def test_where_verdicts_cannot_be_printed_those_that_are_out_are_waited_for_all_the_same(
        problem: BrokercliError, verdicts: list[Verdict | None], timeout: float, account: Account, code: ExitCode | None) -> None:
    told: list[Receipts] = []

    def print_them(receipts: Receipts) -> None:
        told.append(receipts)
        if len(told) == 1:
            raise problem

    outcome = Publishing(Slow(verdicts, [9]), print_them, delivery_timeout=timeout).run(ScriptedSource([[b"1", b"2", b"3"]]))
    assert (outcome.account, outcome.error) == (account, problem)
    assert outcome.exit_code is (code or problem.exit_code)


def test_where_it_cannot_be_printed_that_messages_were_never_sent_they_are_refused_all_the_same() -> None:
    def print_them(receipts: Receipts) -> None:
        raise LocalIO("the disk is full")

    outcome = Publishing(GoneWhileAccepting([None], [1]), print_them, delivery_timeout=0.0).run(ScriptedSource([[b"1", b"2", b"3", b"4"]]))
    assert outcome.account == Account(read=4, unknown=2, refused=2)
    assert isinstance(outcome.error, Unreachable)


class GoneWhileAccepting(ScriptedPublisher):
    """Accepts one message at a time; the third it does not take any more."""

    def send_bodies(self, bodies: Sequence[bytes]) -> int:
        if len(self.bodies) == 2:
            raise Unreachable("gone")
        return super().send_bodies(bodies)


def test_what_a_publisher_did_not_take_any_more_was_never_sent() -> None:
    told = Receipts()
    outcome = Publishing(GoneWhileAccepting([Verdict.CONFIRMED, None], [1]), told.add, delivery_timeout=0.0).run(ScriptedSource([[b"1", b"2", b"3", b"4"]]))
    assert isinstance(outcome.error, Unreachable)
    assert outcome.account == Account(read=4, confirmed=1, unknown=1, refused=2)
    refused = [(receipt.index, receipt.reason) for receipt in told.problems if receipt.verdict is Verdict.REFUSED]
    assert refused == [(2, "never sent: gone"), (3, "never sent: gone")]


@pytest.mark.parametrize(("verdicts", "code"), [
    ([Verdict.CONFIRMED], ExitCode.DONE),
    ([Verdict.REFUSED], ExitCode.FAILED),
    ([Verdict.CONFIRMED, Verdict.REFUSED], ExitCode.PARTLY),
    ([None], ExitCode.IN_DOUBT),
    ([Verdict.CONFIRMED, Verdict.REFUSED, None], ExitCode.IN_DOUBT),
])
def test_the_exit_code_is_the_worst_that_is_known_and_in_doubt_beats_partly(verdicts, code) -> None:
    publishing = Publishing(ScriptedPublisher(verdicts, [10]), delivery_timeout=0.0)
    assert publishing.run(ScriptedSource([[b"1", b"2", b"3"]])).exit_code == code


def test_a_message_that_was_never_sent_because_the_broker_is_gone_counts_as_refused_and_not_as_unknown() -> None:
    told = Receipts()
    publishing = Publishing(ScriptedPublisher([Verdict.CONFIRMED], [0, 1], dies_after=0), told.add, delivery_timeout=0.0)
    outcome = publishing.run(ScriptedSource([[b"1", b"2", b"3"]]))
    assert [(publishing.number_of(receipt), receipt.verdict, receipt.reason) for receipt in told.problems] == [
        (number, Verdict.REFUSED, "never sent: gone") for number in (2, 3)]
    assert (outcome.account.confirmed, outcome.account.refused, outcome.account.unknown) == (1, 2, 0)
    assert outcome.exit_code == ExitCode.PARTLY


def test_a_bad_line_stops_before_anything_after_it_is_sent() -> None:
    publisher = ScriptedPublisher([Verdict.CONFIRMED], [10])
    told = Receipts()
    outcome = Publishing(publisher, told.add).run(ScriptedSource([[b"1"], None, [b"3"]]))
    assert publisher.bodies == [b"1"]
    assert outcome.exit_code == ExitCode.PARTLY
    assert outcome.account == Account(read=2, confirmed=1, refused=1)
    assert [receipt.reason for receipt in told.problems] == ["line 2 is bad"]
    assert "--on-bad-input skip" in (outcome.error.hint if outcome.error else "")


@pytest.mark.parametrize(("error", "account", "code"), [
    (LocalIO("full"), Account(read=2, confirmed=2), ExitCode.LOCAL_IO), (LocalIO("full"), Account(read=2, confirmed=1), ExitCode.PARTLY),
    (LocalIO("full"), Account(), ExitCode.LOCAL_IO), (Unreachable("gone"), Account(read=2, confirmed=2), ExitCode.PARTLY),
    (Unreachable("gone"), Account(read=2, refused=2), ExitCode.UNREACHABLE), (Unreachable("gone"), Account(read=2, confirmed=1, unknown=1), ExitCode.IN_DOUBT)])
def test_an_error_keeps_its_code_only_where_it_says_no_less_than_the_account(error: BrokercliError, account: Account, code: ExitCode) -> None:
    assert Outcome(account, error=error).exit_code is code


def test_a_receipt_is_said_with_the_number_of_its_line_even_after_lines_that_were_passed_over() -> None:
    publishing = Publishing(ScriptedPublisher([Verdict.CONFIRMED], [10]), on_bad_input="skip")
    publishing.run(ScriptedSource([[b"1", b"2"], None, [b"4"], None, None, [b"7", b"8"]]))
    assert [publishing.number_of(Receipt(index, Verdict.REFUSED)) for index in range(5)] == [1, 2, 4, 7, 8]


def test_what_a_rate_lets_through_is_spent() -> None:
    a_message_in_a_quarter_of_an_hour = Rate(0.001)
    assert [a_message_in_a_quarter_of_an_hour.allow(5) for _ in range(3)] == [1, 0, 0]


def test_a_rate_never_lets_through_more_than_its_share_after_a_stall() -> None:
    rate = Rate(1000)
    rate._free_at -= 60
    assert rate.allow(10_000) <= 101
    rate._free_at -= 60
    assert rate.allow(5) == 5


def test_what_may_go_in_a_moment_is_one_at_least() -> None:
    assert [Rate(each).share for each in (None, 1000, 25, 1, 0.001)] == [None, 100, 2, 1, 1]


def test_whoever_is_told_of_waits_is_told_only_while_something_is_in_flight_or_not_taken() -> None:
    waits: list[int] = []
    publisher = ScriptedPublisher([Verdict.CONFIRMED], [1, 1])
    Publishing(publisher, waiting=waits.append).run(ScriptedSource([[b"1"], [], [b"2"], []]))
    assert waits == []
    publisher = ScriptedPublisher([None], [1, 1])
    Publishing(publisher, waiting=waits.append, delivery_timeout=0.0).run(ScriptedSource([[b"1"], []]))
    assert waits == [1, 1]
    publisher = ScriptedPublisher([Verdict.CONFIRMED], [1, 0])
    Publishing(publisher, waiting=waits.append).run(ScriptedSource([[b"1"]]))
    assert waits == [1, 1, 0]
