"""What a repair says of letters that did not move."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from brokercli.commands.dlq_end import SAID, End, Problems
from brokercli.model.errors import NotFound, Unreachable
from brokercli.model.exit_code import ExitCode
from brokercli.model.receipt import Account, Receipt, Receipts, Verdict
from brokercli.operations.planning import Plan
from brokercli.operations.publishing import Outcome
from brokercli.terminal.streams import Streams


class Noting:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done = 0

    def note(self, text: str) -> None:
        self.said.append(text)

    def advance(self, count: int) -> None:
        self.done += count


def refused(*reasons: str) -> Receipts:
    receipts = Receipts(confirmed=1)
    for index, reason in enumerate(reasons):
        receipts.count(Receipt(index, Verdict.REFUSED, reason=reason))
    return receipts


def test_a_reason_is_said_once_with_how_many_letters_it_is_about_and_the_rest_is_counted() -> None:
    noting = Noting()
    problems = Problems(noting)  # type: ignore[arg-type]
    problems.take(refused("no such topic", "too large", "no such topic"))
    assert noting.said == ["refused: no such topic (2 letters)", "refused: too large"]
    problems.take(refused(*["no such topic"] * 4000))
    problems.take(refused())
    assert noting.said == ["refused: no such topic (2 letters)", "refused: too large"]
    assert problems.rest() == ["refused: 4,000 more: no such topic"]
    assert noting.done == 4006


def test_the_same_reason_for_another_verdict_is_another() -> None:
    noting = Noting()
    receipts = refused("gone")
    receipts.count(Receipt(1, Verdict.UNKNOWN, reason="gone"))
    Problems(noting).take(receipts)  # type: ignore[arg-type]
    assert noting.said == ["refused: gone", "unknown: gone"]


def test_reasons_that_are_all_different_do_not_fill_the_screen() -> None:
    noting = Noting()
    problems = Problems(noting)  # type: ignore[arg-type]
    problems.take(refused(*(f"letter {number}: exit status 1" for number in range(SAID + 3))))
    assert len(noting.said) == SAID
    assert problems.rest() == ["refused: 3 more"]


@pytest.mark.parametrize(("verb", "unknown", "words"), [
    ("redriven", 1, "1 letter may be stored where it was to go, be pending in topic:dlq, or both."),
    ("parked", 2000, "2,000 letters may be stored where they were to go, be pending in topic:dlq, or both."),
    ("dropped", 2, "2 letters may be gone from topic:dlq, or not: the answer never came."),
])
def test_what_is_in_doubt_is_said_of_letters_even_when_quiet(capfd: pytest.CaptureFixture[str], verb: str, unknown: int, words: str) -> None:
    outcome = Outcome(Account(read=unknown, unknown=unknown))
    end = End(Streams.system(), verb, "topic:dlq", Plan(), outcome, int(ExitCode.IN_DOUBT), 1.0, (), None)
    assert end.say(True, None, begun=None) == ExitCode.IN_DOUBT
    assert capfd.readouterr().err == f"{words}\n"


@pytest.mark.parametrize(("begun", "words"), [(None, "the same command"), ("kept", "the same command, with another --journal,")])
@pytest.mark.parametrize(("code", "stopped"), [(3, False), (129, True), (130, True), (143, True)])
def test_what_to_type_next_is_said_where_letters_are_left(capfd: pytest.CaptureFixture[str], begun: str | None, words: str, code: int,
                                                         stopped: bool) -> None:
    outcome = Outcome(Account(read=2, confirmed=1, skipped=1), stopped=stopped)
    assert End(Streams.system(), "redriven", "topic:dlq", Plan(), outcome, code, 1.0, (), "kept").say(False, None, begun) == code
    assert f"{words} goes on with what is left in topic:dlq\n" in capfd.readouterr().err


LEFT = Plan(letters=3, left=Counter({"nobody wrote down where it came from": 2}), destinations=Counter({"topic:orders": 1}))
ENDS = [
    (Outcome(Account()), 0, Plan(), None, ["no pending letter in topic:dlq matches: nothing was changed"], []),
    (Outcome(Account(read=3, confirmed=1, skipped=2)), 0, LEFT, "kept",
     ["left: 2 letters: nobody wrote down where it came from", "the letters as they were are kept in kept"], []),
    (Outcome(Account(), error=Unreachable("no broker")), 5, Plan(), None, [], []),
    (Outcome(Account(), stopped=True), 130, Plan(), None, [], ["the same command goes on with what is left in topic:dlq"]),
    (Outcome(Account(read=3, confirmed=1, refused=2), error=NotFound("it is gone")), 3, LEFT, None,
     ["left: 2 letters: nobody wrote down where it came from"], []),
    (Outcome(Account(read=1, refused=1)), 1, Plan(letters=1), None, [], [])]


@pytest.mark.parametrize(("outcome", "code", "counted", "journal", "before", "after"), ENDS,
                         ids=["nothing", "some left", "unreachable", "stopped", "gone", "refused"])
def test_the_end_says_what_stopped_it_what_was_left_and_where_the_letters_are_kept(
        capfd: pytest.CaptureFixture[str], tmp_path: Path, outcome: Outcome, code: int, counted: Plan, journal: str | None, before: list[str],
        after: list[str]) -> None:
    for quiet in (False, True):
        end = End(Streams.system(), "redriven", "topic:dlq", counted, outcome, code, 1.0, ("", "a note"), journal)
        assert end.say(quiet, str(tmp_path / "report"), begun=None) == code
        said = capfd.readouterr().err.splitlines()
        first = [f"brokercli: {outcome.error}"] if outcome.error is not None else []
        told = [line for line in said if not line.startswith("redriven: read")]
        assert told == (first if quiet else [*first, "a note", *before, *after])
        assert len(said) - len(told) == (not quiet)
    report = json.loads((tmp_path / "report").read_text())
    assert (report["left"], report["destinations"], report["journal"], report["exit_code"]) == (counted.left, counted.destinations, journal, code)
