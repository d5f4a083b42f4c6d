"""What a plan counts of each decision."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from brokercli.dialects import recognise, to_message
from brokercli.model.address import Address
from brokercli.model.message import Message, Record
from brokercli.operations.decisions import Decision, Redrive
from brokercli.operations.letters import LetterFilter, Recogniser
from brokercli.operations.planning import Plan, plan
from brokercli.operations.record_list import RecordList
from tests.operations.looked import Looked

LETTER = recognise(Record("rabbitmq", {"queue": "dead", "offset": 3}, "3", None, Message(
    headers=(("x-original-queue", b"work"), ("tenant", b"acme"), ("x-error-message", b"no")), properties={"expiration": b"5"})))
HOME, PARKED = Address("work", "queue"), Address("parked", "queue")
STRIPPED = {"x-original-queue": 2, "x-error-message": 2, "property expiration": 2}


@pytest.mark.parametrize(("decision", "counted"), [
    (Decision(LETTER, HOME, to_message(LETTER)), Plan(2, Counter({"queue:work": 2}), stripped=Counter(STRIPPED), lost=Counter({LETTER.lost[0]: 2}),
                                                      derived=Counter({"x-original-queue (likely)": 2}), addresses={"queue:work": HOME})),
    (Decision(LETTER, PARKED, to_message(LETTER)), Plan(2, Counter({"queue:parked": 2}), stripped=Counter(STRIPPED), lost=Counter({LETTER.lost[0]: 2}),
                                                        addresses={"queue:parked": PARKED})),
    (Decision(LETTER, PARKED, LETTER.record.message), Plan(2, Counter({"queue:parked": 2}), addresses={"queue:parked": PARKED})),
    (Decision(LETTER), Plan(2, Counter({"(dropped)": 2}))),
    (Decision(LETTER, left="it came back too often", refused=True), Plan(2, left=Counter({"it came back too often": 2}), refused=2)),
    (Decision(LETTER, left="nobody knows its home"), Plan(2, left=Counter({"nobody knows its home": 2})))],
    ids=["home", "elsewhere", "as it is", "dropped", "refused", "left"])
def test_a_decision_is_counted_for_what_it_does(decision: Decision, counted: Plan) -> None:
    once, together = Plan(), Plan()
    once.take(decision, 2)
    together.take_all([decision, decision])
    assert once == counted
    assert together == counted


def test_decisions_that_differ_are_counted_each_for_itself() -> None:
    message = to_message(LETTER)
    decisions = [Decision(LETTER, HOME, message), Decision(LETTER, PARKED, message), Decision(LETTER, PARKED, LETTER.record.message), Decision(LETTER),
                 Decision(LETTER, left="a"), Decision(LETTER, left="b"), Decision(LETTER, left="b", refused=True), Decision(LETTER, HOME, message)]
    one_by_one, together = Plan(), Plan()
    for decision in decisions:
        one_by_one.take(decision)
    together.take_all(decisions)
    assert together == one_by_one
    assert (together.letters, together.left, together.refused) == (8, {"a": 1, "b": 2}, 1)
    assert together.destinations == {"queue:work": 2, "queue:parked": 2, "(dropped)": 1}


def letters_lying() -> Looked:
    """Return a look at twelve letters in batches of five, of which every third is handled."""
    records = [Record("kafka", {"topic": "dlq", "partition": 0, "offset": number}, f"0:{number}", None, Message(
        body=b"%d" % number, headers=(("x-original-topic", b"orders"),))) for number in range(12)]
    return Looked([RecordList(records[first:first + 5]) for first in (0, 5, 10)], lambda record: int(record.position[2:]) % 3 == 0)


@pytest.mark.parametrize(("options", "letters", "read"), [
    ({}, [1, 2, 4, 5, 7, 8, 10, 11], 12), ({"limit": 3}, [1, 2, 4], 5), ({"limit": 4}, [1, 2, 4, 5], 10), ({"limit": 0}, [], 0),
    ({"stopping": lambda: True}, [], 0)], ids=["all", "three", "four", "none", "stopped"])
def test_a_plan_is_of_the_letters_that_are_pending_up_to_its_limit(options: dict[str, Any], letters: list[int], read: int) -> None:
    recogniser, rules = Recogniser(None, fetch_originals=False), Redrive(source=Address("dlq", "topic"))  # type: ignore[arg-type]
    shown: list[Decision] = []
    progress: list[int] = []
    for on_decision in (None, shown.append):
        planned = plan(letters_lying(), recogniser, rules, LetterFilter(), on_progress=progress.append, on_decision=on_decision,
                       withholds=lambda message: ("Nats-Msg-Id",), **options)
        assert (planned.letters, planned.destinations) == (len(letters), Counter({"topic:orders": len(letters)} if letters else {}))
        assert planned.withheld == Counter({"Nats-Msg-Id": len(letters)} if letters else {})
    assert [int(decision.letter.record.position[2:]) for decision in shown] == letters
    assert sum(progress) == 2 * read
