"""Verdicts are counted once each, and every one that is not plainly confirmed is kept."""

from __future__ import annotations

from brokercli.model.receipt import Account, Receipt, Receipts, Verdict

CONFIRMED, AGAIN = Receipt(0, Verdict.CONFIRMED, "3:7"), Receipt(1, Verdict.CONFIRMED, "3:7", duplicate=True)
REFUSED, UNKNOWN = Receipt(2, Verdict.REFUSED, reason="too large"), Receipt(3, Verdict.UNKNOWN)


def test_each_verdict_is_counted_as_what_it_is_and_kept_unless_it_is_plainly_confirmed() -> None:
    receipts = Receipts()
    for receipt in (CONFIRMED, AGAIN, REFUSED, UNKNOWN):
        receipts.count(receipt)
    assert receipts == Receipts(confirmed=2, refused=1, unknown=1, duplicates=1, problems=[AGAIN, REFUSED, UNKNOWN])
    assert len(receipts) == 4


def test_verdicts_that_are_put_together_are_all_there() -> None:
    receipts = Receipts(1, 2, 3, 1, [REFUSED], [CONFIRMED])
    receipts.add(Receipts(10, 20, 30, 5, [UNKNOWN], [AGAIN]))
    assert receipts == Receipts(11, 22, 33, 6, [REFUSED, UNKNOWN], [CONFIRMED, AGAIN])


def test_what_has_no_verdict_yet_is_open() -> None:
    account = Account(read=100, skipped=50)
    account.take(Receipts(confirmed=1, refused=2, unknown=4))
    account.take(Receipts(confirmed=8))
    assert account == Account(100, 9, 2, 4, 50)
    assert account.open == 35
