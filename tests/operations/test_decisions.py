"""What the rules decide on one letter. That whole batches are decided on alike is in `test_sorting.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from brokercli.dialects.redrive_headers import AT as WHEN
from brokercli.dialects.redrive_headers import COUNT, FROM
from brokercli.model.address import Address
from brokercli.model.dead_letter import DeadLetter, Home
from brokercli.model.message import Message
from brokercli.operations.decisions import Drop, Park, Redrive, Rules
from tests.operations.test_redriving import HOME, letter_at
from tests.operations.test_sorting import AT, DLQ

PARKED, ELSEWHERE = Address("parked", "topic"), Address("elsewhere", "topic")


def letter(**what: object) -> DeadLetter:
    given = {"dialect": "convention", "homes": (Home(HOME, "a header"),), **what}
    return DeadLetter(letter_at(3, Message(b"body", b"key", headers=(("kept", b"1"),))), **given)  # type: ignore[arg-type]


def lies_at(address: Address) -> DeadLetter:
    return letter(homes=(Home(address, "a header"),))


@pytest.mark.parametrize(("rules", "died", "to"), [
    (Redrive(), letter(), HOME),
    (Redrive(ELSEWHERE), letter(), ELSEWHERE),
    (Redrive(ELSEWHERE), letter(homes=()), ELSEWHERE),
    (Redrive(), letter(redrives=2), HOME),
    (Redrive(max_redrives=1), letter(), HOME),
    (Redrive(source=DLQ), letter(), HOME),
    (Redrive(source=DLQ), lies_at(Address(DLQ.name, "exchange")), Address(DLQ.name, "exchange")),
], ids=["home", "--to instead", "--to for the homeless", "often, not too often", "never yet", "from where it lies", "an exchange of the same name"])
def test_what_goes_back_goes_home_or_where_it_was_told_to_and_bears_that_it_was_put_back(rules: Rules, died: DeadLetter, to: Address) -> None:
    decision = rules.decide(died, AT)
    assert (decision.destination, decision.left, decision.refused) == (to, "", False)
    assert decision.message is not None
    assert (decision.message.body, decision.message.key) == (b"body", b"key")
    assert tuple(name for name, _ in decision.message.headers) == ("kept", FROM, WHEN, COUNT)


@pytest.mark.parametrize(("rules", "died", "refused", "why"), [
    (Redrive(), letter(pointer={"topic": "home", "partition": 0, "offset": 1}), False, "only points at its original, which is gone"),
    (Redrive(), letter(redrives=3), True, "put back 3 times already (--max-redrives)"),
    (Redrive(max_redrives=1), letter(redrives=1), True, "put back 1 time already (--max-redrives)"),
    (Redrive(), letter(redrives=None), True, "its counter of redrives cannot be believed"),
    (Redrive(source=DLQ), lies_at(DLQ), False, "its origin is where it lies now"),
    (Redrive(source=DLQ), lies_at(Address(DLQ.name, "queue")), False, "its origin is where it lies now"),
    (Redrive(source=DLQ), lies_at(Address(DLQ.name, "stream")), False, "its origin is where it lies now"),
    (Redrive(DLQ, source=DLQ), letter(), False, "its origin is where it lies now"),
    (Redrive(), letter(homes=()), False, "nobody wrote down where it came from (--to says where it goes)"),
    (Redrive(), letter(homes=(), dialect="unknown"), False, "nothing in it says that it is a dead letter (--to says where it goes)"),
    (Redrive(), letter(homes=(), remarks=("it names a\tb as its origin; it cannot go there",)), False,
     "the origin it names is none it can go to (dlq show says why; --to says where it goes)"),
    (Drop(), letter(dialect="unknown"), False, "nothing in it says that it is a dead letter (--unrecognised takes it all the same)"),
    (Park(PARKED), letter(dialect="unknown"), False, "nothing in it says that it is a dead letter (--unrecognised takes it all the same)"),
])
def test_what_is_left_goes_nowhere_and_says_why(rules: Rules, died: DeadLetter, refused: bool, why: str) -> None:
    decision = rules.decide(died, AT)
    assert (decision.destination, decision.message, decision.left, decision.refused) == (None, None, why, refused)


@pytest.mark.parametrize(("rules", "died"), [
    (Park(PARKED), letter()), (Park(PARKED, unrecognised=True), letter(dialect="unknown")),
    (Redrive(park=PARKED), letter(redrives=3)), (Redrive(park=PARKED), letter(redrives=None))])
def test_what_is_parked_goes_as_it_is(rules: Rules, died: DeadLetter) -> None:
    decision = rules.decide(died, AT)
    assert (decision.destination, decision.left, decision.refused) == (PARKED, "", False)
    assert decision.message is died.record.message


@pytest.mark.parametrize(("rules", "died"), [(Drop(), letter()), (Drop(unrecognised=True), letter(dialect="unknown"))])
def test_what_is_dropped_goes_nowhere_and_is_not_left(rules: Rules, died: DeadLetter) -> None:
    decision = rules.decide(died, AT)
    assert (decision.destination, decision.message, decision.left) == (None, None, "")


def test_a_message_that_a_letter_points_at_goes_with_the_place_where_it_lies() -> None:
    place = {"stream": "orders", "sequence": 7}
    died = replace(letter(pointer=place), fetched=True, unwrapped=Message(b"the original"))
    decision = Redrive().decide(died, AT)
    assert decision.original == place
    assert decision.message is not None
    assert decision.message.body == b"the original"
