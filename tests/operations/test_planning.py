"""A plan counts the letters that wait, whichever way it reads them, and not those that were handled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import permutations

import pytest

from brokercli.backends.dead_letters import LetterReader
from brokercli.dialects.redrive_headers import COUNT
from brokercli.model.message import Message, Record
from brokercli.operations.decisions import Decision, Drop, Park, Redrive, Rules
from brokercli.operations.letters import LetterFilter
from brokercli.operations.planning import Plan, plan
from tests.operations.looked import Looked
from tests.operations.test_sorting import DLQ, KAFKA, PARKED, laid, recogniser


def looked(records: Sequence[Record], handled: Collection[str] = ()) -> Looked:
    """Return a look that hands them out in batches of ten; those at some positions were handled."""
    batches = [laid(records).select(range(first, min(first + 10, len(records)))) for first in range(0, len(records), 10)]
    return Looked(batches, lambda record: record.position in handled)


def planned(reader: LetterReader, *, singly: bool, limit: int | None = None) -> tuple[Plan, list[Decision]]:
    decisions: list[Decision] = []
    counted = plan(reader, recogniser(), Redrive(source=DLQ), LetterFilter(), limit=limit, on_decision=decisions.append if singly else None,
                   withholds=lambda message: ["reply_to"] if message.key == b"asks" else [])
    return counted, decisions


GOING = next(letter for letter in KAFKA if not planned(looked([letter]), singly=True)[0].left)
HOMELESS = replace(GOING, message=Message(b"nobody wrote down where it came from"))
TIRED = replace(GOING, message=replace(GOING.message, headers=(*GOING.message.headers, (COUNT, b"3"))))
ASKING = replace(GOING, message=replace(GOING.message, key=b"asks"))
CHANGED = {"stripped": ("x-other",), "stripped_properties": ("priority",), "lost": ("a header",), "homes": ()}
LETTERS = [GOING, HOMELESS, GOING, ASKING, *[GOING] * 8, HOMELESS, ASKING, GOING, TIRED, TIRED]


@pytest.mark.parametrize("singly", [False, True])
def test_what_was_handled_is_not_counted_and_what_waits_is_counted_once(singly: bool) -> None:
    reader = looked(LETTERS, {"0:2", "0:3", "0:12"})
    counted, decisions = planned(reader, singly=singly)
    assert (counted.letters, counted.destinations.total(), counted.left.total(), counted.refused) == (14, 11, 3, 2)
    assert counted.derived.total() == 11
    assert set(counted.stripped.values()) == {11}
    assert list(map(str, counted.addresses.values())) == list(counted.addresses) == list(counted.destinations)
    assert dict(counted.withheld) == {"reply_to": 1}
    assert len(decisions) == (14 if singly else 0)


def test_decisions_that_follow_each_other_are_taken_for_the_same_only_where_they_are() -> None:
    (one,) = planned(looked([GOING]), singly=True)[1]
    others = [Decision(one.letter, PARKED, one.message), Decision(one.letter, one.destination, one.letter.record.message), Decision(one.letter),
              Decision(one.letter, left="why"), Decision(one.letter, left="why", refused=True), Decision(one.letter, left="why not"),
              *[Decision(replace(one.letter, **{name: value}), one.destination, one.message) for name, value in CHANGED.items()]]
    for first, second in permutations([one, *others], 2):
        together, apart, order = Plan(), Plan(), [first, first, second, second, second, first]
        together.take_all(order)
        for decision in order:
            apart.take(decision)
        assert together == apart


@pytest.mark.parametrize(("limit", "letters", "reads"), [(0, 0, 0), (1, 1, 1), (2, 3, 1), (12, 14, 2), (100, 17, 3)])
def test_a_limit_counts_those_that_go_and_ends_the_plan(limit: int, letters: int, reads: int) -> None:
    reader = looked(LETTERS)
    counted, decisions = planned(reader, singly=True, limit=limit)
    assert (counted.destinations.total(), counted.letters, len(decisions)) == (min(limit, 13), letters, letters)
    assert planned(looked(LETTERS), singly=False, limit=limit)[0] == counted
    # what is not needed for it is not read
    assert reader.read_batches == reads


@pytest.mark.parametrize("rules", [Drop(unrecognised=True), Park(PARKED, unrecognised=True), Redrive(PARKED, source=DLQ)])
def test_of_what_does_not_go_home_no_home_is_told_and_of_what_goes_as_it_is_nothing_is_taken_off(rules: Rules) -> None:
    counted = plan(looked([GOING, ASKING]), recogniser(), rules, LetterFilter(), withholds=lambda message: ["reply_to"])
    assert (counted.destinations.total(), dict(counted.derived)) == (2, {})
    assert bool(counted.stripped) is isinstance(rules, Redrive)
    assert dict(counted.withheld) == ({} if isinstance(rules, Drop) else {"reply_to": 2})


def test_only_what_passes_the_filter_is_counted() -> None:
    counted = plan(looked(LETTERS), recogniser(), Redrive(source=DLQ), LetterFilter(ids=frozenset({"0:3", "0:12"})))
    assert (counted.letters, counted.destinations.total()) == (2, 1)
