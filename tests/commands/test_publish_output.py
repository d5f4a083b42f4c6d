"""What is said of a run that publishes, and what it ends with: by verdicts, signals and reports, without a broker."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from brokercli.commands.publish_output import SAID, Decided, Delivery
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.publishing import Outcome, Publishing
from brokercli.terminal.interrupt import StopNow
from brokercli.terminal.streams import Streams
from tests.operations.test_publishing import ScriptedPublisher, ScriptedSource

C, R, NEVER = Verdict.CONFIRMED, Verdict.REFUSED, None
FIVE = [b"0", b"1", b"2", b"3", b"4"]


def delivered(publisher: ScriptedPublisher, pieces: list[list[bytes] | None], *, work: Callable[[Callable[[], Outcome]], Outcome] = lambda run: run(),
              fail_if_empty: bool = False, **options: object) -> tuple[int, Outcome]:
    """Publish these; `work` is given what does it. Return the exit code and the outcome."""
    with Decided() as decided, Delivery(Streams.system(), decided, "published", **options) as delivery:  # type: ignore[arg-type]
        publishing = Publishing(publisher, delivery.take, delivery.stopping, on_bad_input="skip", delivery_timeout=0.0)
        code = delivery.run(publishing, lambda: work(lambda: publishing.run(ScriptedSource(pieces))), lambda: 1.0, fail_if_empty=fail_if_empty)
        assert decided.code == code
        # once it is decided, no signal changes anything, until all is closed
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
    return code, publishing.outcome


@pytest.mark.parametrize(("verdicts", "bodies", "fail_if_empty", "code"), [
    ([C], FIVE, False, 0), ([C], FIVE, True, 0), ([C], [], False, 0), ([C], [], True, 9), ([R], FIVE, False, 1), ([R], FIVE, True, 1),
    ([C, R], FIVE, True, 3), ([C, R, NEVER], FIVE, False, 4), ([NEVER], FIVE, True, 4)])
def test_the_verdicts_decide_the_exit_code(verdicts: list[Verdict | None], bodies: list[bytes], fail_if_empty: bool, code: int) -> None:
    assert delivered(ScriptedPublisher(verdicts, [2]), [bodies] if bodies else [], fail_if_empty=fail_if_empty)[0] == code


@pytest.mark.parametrize(("verdicts", "code"), [([C], 143), ([R], 143), ([C, NEVER], 4)])
def test_a_run_that_is_asked_to_stop_ends_with_the_signal_unless_something_is_in_doubt(verdicts: list[Verdict | None], code: int) -> None:
    def stopped(run: Callable[[], Outcome]) -> Outcome:
        publisher.collected_before = publisher.collect  # type: ignore[attr-defined]

        def collect(timeout: float) -> Receipts:
            if not publisher.collected:
                signal.raise_signal(signal.SIGTERM)
            return publisher.collected_before(timeout)  # type: ignore[attr-defined, no-any-return]

        publisher.collect = collect  # type: ignore[method-assign]
        return run()

    publisher = ScriptedPublisher(verdicts, [2])
    ended, outcome = delivered(publisher, [FIVE], work=stopped, fail_if_empty=True)
    assert (ended, outcome.account.read, outcome.account.skipped) == (code, 5, 3)


def test_a_second_signal_leaves_what_is_in_flight_in_doubt() -> None:
    class Interrupted(ScriptedPublisher):
        def collect(self, timeout: float) -> Receipts:
            if self.waiting:
                signal.raise_signal(signal.SIGINT)
            return Receipts()

    code, outcome = delivered(Interrupted([NEVER], [4]), [FIVE])
    assert (code, outcome.stopped, outcome.account.unknown, outcome.account.skipped) == (4, True, 4, 1)


def test_a_report_that_cannot_be_written_is_what_the_run_ends_with_where_all_else_went_well(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "missing" / "report")
    assert delivered(ScriptedPublisher([C], [9]), [FIVE], report=nowhere)[0] == 10
    assert delivered(ScriptedPublisher([C, R], [9]), [FIVE], report=nowhere)[0] == 3
    written = tmp_path / "report"
    assert delivered(ScriptedPublisher([C, NEVER], [9]), [FIVE], report=str(written))[0] == 4
    report = json.loads(written.read_text())
    assert (report["exit_code"], report["read"], report["confirmed"], report["unknown"]) == (4, 5, 3, 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopNow, ValueError])
def test_only_a_signal_that_comes_when_all_is_decided_is_passed_over(error: type[BaseException]) -> None:
    def end(code: int | None) -> None:
        with Decided() as decided:
            decided.code = code
            raise error(130)

    if error is ValueError:
        with pytest.raises(ValueError, match="130"):
            end(0)
    else:
        end(0)
    with pytest.raises(error):
        end(None)


def test_problems_are_said_by_their_lines_up_to_so_many(capfd: pytest.CaptureFixture[str]) -> None:
    # the second line is bad, so that the publisher's second message is the third
    assert delivered(ScriptedPublisher([C, R], [9]), [[b"a"], None, [b"b", b"c"] * SAID])[0] == 3
    said = capfd.readouterr().err.splitlines()
    assert said[:3] == ["refused: line 2 is bad", "message 3: refused: ", "message 5: refused: "]
    assert [line for line in said if line.startswith(("message", "refused"))] == said[:SAID]
    assert said[SAID] == "further problems are counted, not shown; --receipts prints each"
    assert said[-1].startswith("published: read 42, confirmed 21, refused 21, unknown 0, skipped 0")


def test_receipts_are_lines_of_json_in_the_order_of_the_messages(capfd: pytest.CaptureFixture[str]) -> None:
    class Positions(ScriptedPublisher):
        def finish(self, timeout: float) -> Receipts:
            self.waiting.clear()
            again = Receipt(2, C, "0:7", duplicate=True)
            return Receipts(2, 1, 1, 1, [Receipt(3, Verdict.UNKNOWN), again, Receipt(0, R, reason="too large")], [again, Receipt(1, C, "0:8")])

        def collect(self, timeout: float) -> Receipts:
            return Receipts()

    publisher = Positions([C], [9])
    with Decided() as decided, Delivery(Streams.system(), decided, "published", receipts=True, quiet=True) as delivery:
        publishing = Publishing(publisher, delivery.take, delivery.stopping, delivery_timeout=0.0)
        publishing.send([Message(body) for body in FIVE[:4]])
        assert delivery.run(publishing, lambda: (publishing.settle(), publishing.outcome)[1], lambda: 1.0) == 4
    captured = capfd.readouterr()
    assert [json.loads(line) for line in captured.out.splitlines()] == [
        {"message": 1, "verdict": "refused", "reason": "too large"}, {"message": 2, "verdict": "confirmed", "position": "0:8"},
        {"message": 3, "verdict": "confirmed", "position": "0:7", "duplicate": True}, {"message": 4, "verdict": "unknown"}]
    # quiet, and a duplicate is no problem then
    assert captured.err.splitlines()[:2] == ["message 4: unknown: ", "message 1: refused: too large"]
