"""Verdicts of one call are of that call's messages, however many the publisher was given before; what was cut short claims nothing it cannot name."""

from __future__ import annotations

import pytest

from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.settling import Settling
from tests.operations.test_publishing import ScriptedPublisher

C, R, NEVER = Verdict.CONFIRMED, Verdict.REFUSED, None


def messages(count: int) -> list[Message]:
    return [Message(b"%d" % number) for number in range(count)]


class Interrupted(BaseException): ...


class CutOff(ScriptedPublisher):
    """Is interrupted a second time while its last verdicts are waited for; those that are there by then can be had."""

    def finish(self, timeout: float) -> Receipts:
        if timeout:
            raise Interrupted
        return self._judge(list(self.waiting))


class Lost(CutOff):
    """Was interrupted with verdicts in its hands that nobody will see."""

    def finish(self, timeout: float) -> Receipts:
        if timeout:
            self._judge(list(self.waiting)[:1])
        return super().finish(timeout)


class Nameless(CutOff):
    """Has refused one of them and does not say which."""

    def finish(self, timeout: float) -> Receipts:
        receipts = super().finish(timeout)
        receipts.confirmed -= 1
        receipts.count(Receipt(-1, Verdict.REFUSED))
        return receipts


class Again(CutOff):
    """Has had the second one already."""

    def finish(self, timeout: float) -> Receipts:
        receipts = super().finish(timeout)
        receipts.confirmed -= 1
        receipts.count(Receipt(1, Verdict.CONFIRMED, duplicate=True))
        return receipts


def test_each_call_waits_for_every_verdict_and_names_its_own_messages() -> None:
    publisher = ScriptedPublisher([C, R, C, NEVER, C], [2, 0, 1])
    settling = Settling(publisher, 30.0)
    for _ in range(3):
        receipts = settling.put(messages(5))
        assert (receipts.confirmed, receipts.refused, receipts.unknown) == (3, 1, 1)
        assert sorted((receipt.index, receipt.verdict) for receipt in receipts.problems) == [(1, Verdict.REFUSED), (3, Verdict.UNKNOWN)]
        assert not publisher.waiting
    assert publisher.bodies == [b"0", b"1", b"2", b"3", b"4"] * 3


@pytest.mark.parametrize(("verdicts", "confirmed"), [([C], [0, 1, 2, 3]), ([C, R, C, R], [0, 2]), ([R], [])])
def test_what_was_confirmed_when_a_call_was_cut_short_is_known_where_every_verdict_is(verdicts: list[Verdict | None], confirmed: list[int]) -> None:
    publisher = ScriptedPublisher(verdicts, [4])
    settling = Settling(publisher, 30.0)
    settling.put(messages(4))
    publisher.__class__ = CutOff
    with pytest.raises(Interrupted):
        settling.put(messages(4))
    assert settling.confirmed_so_far() == confirmed


@pytest.mark.parametrize(("kind", "verdicts"), [(CutOff, [C, C, C, NEVER]), (Lost, [C]), (Nameless, [C])],
                         ids=["one never came", "one was lost", "one is nobody's"])
def test_where_a_verdict_is_missing_nobody_can_tell_whose_the_others_are(kind: type[CutOff], verdicts: list[Verdict | None]) -> None:
    settling = Settling(kind(verdicts, [4]), 30.0)
    with pytest.raises(Interrupted):
        settling.put(messages(4))
    assert settling.confirmed_so_far() == []


def test_what_was_there_already_is_confirmed() -> None:
    settling = Settling(Again([C], [4]), 30.0)
    with pytest.raises(Interrupted):
        settling.put(messages(4))
    assert settling.confirmed_so_far() == [0, 1, 2, 3]
