"""Lifting a limit, step by step, with a broker and a management API that answer as they are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from brokercli.backends.rabbitmq.existing import Queue
from brokercli.backends.rabbitmq.lifting import LimitLift
from brokercli.backends.rabbitmq.management import Away
from brokercli.backends.rabbitmq.survivable import Conditions
from brokercli.model.errors import NotFound, Unreachable, Unsupported

LIMITED = Conditions(Queue("orders.dlq", "quorum"), (4, 3, 6), "/", 20)


class Channel:
    """Notes which queue a question is about."""

    def __init__(self) -> None:
        self.about = ""

    def queue_declare(self, name: str, **said: Any) -> None:
        self.about = name

    def queue_delete(self, name: str, **said: Any) -> None:
        self.about = name


class Broker:
    """A connection and a management API in one. Runs are told by the queues there are, and each can be away."""

    def __init__(self, *policies: dict[str, Any], stays: bool = False) -> None:
        self.kept = {policy["name"]: policy for policy in policies}
        self.runs: set[str] = set()
        """Runs that are there."""
        self.stays = stays
        self.away = False

    def ask(self, doing: str, *steps: Any) -> list[Any]:
        channel = Channel()
        for step in steps:
            step(channel, None)
        if doing.startswith("noting"):
            self.runs.add(channel.about)
        if self.away:
            raise Unreachable("nobody answers")
        if doing.startswith("letting go"):
            self.runs.discard(channel.about)
        elif channel.about not in self.runs:
            raise NotFound("There is no such queue.")
        return []

    def policies(self) -> list[dict[str, Any]]:
        return list(self.kept.values())

    def put_policy(self, name: str, pattern: str, apply_to: str, priority: int, definition: dict[str, Any]) -> None:
        self.kept[name] = {"name": name, "pattern": pattern, "apply-to": apply_to, "priority": priority, "definition": definition}

    def delete_policy(self, name: str) -> None:
        if self.stays:
            raise Away("it does not answer", hint="ask again")
        del self.kept[name]


class Lifted(LimitLift):
    """One that holds at once."""

    def _prepare(self) -> None:
        pass


class Refused(LimitLift):
    """One that does not come to hold."""

    def _prepare(self) -> None:
        raise self._cannot("an operator's policy keeps it at 20")


def lift(broker: Broker, kind: type[LimitLift] = Lifted, conditions: Conditions = LIMITED) -> LimitLift:
    return kind(cast("Any", broker), cast("Any", broker), conditions)


def ours(number: int, pattern: str = r"^orders\.dlq$") -> dict[str, Any]:
    return {"name": f"brokercli-lift-{number}", "pattern": pattern, "priority": 3000}


@pytest.mark.parametrize("stays", [False, True])
def test_a_limit_that_cannot_be_lifted_leaves_no_policy_or_says_that_one_may_be_left(stays: bool) -> None:
    broker = Broker(stays=stays)
    with pytest.raises(Unsupported, match="keeps it at 20") as refusal:
        lift(broker, Refused)
    assert bool(broker.kept) is stays
    assert ("may have stayed, and the next run takes it away" in str(refusal.value.hint)) is stays
    assert not broker.runs


def test_the_policy_stands_above_all_but_those_of_runs_and_takes_over_what_held_before() -> None:
    theirs = {"name": "theirs", "pattern": ".*", "priority": 2000}
    broker = Broker(theirs, ours(1))
    lift(broker, conditions=replace(LIMITED, policy={"max-length": 7, "delivery-limit": 9}))
    (name,) = broker.kept.keys() - {"theirs", "brokercli-lift-1"}
    assert broker.kept[name] == {"name": name, "pattern": r"^orders\.dlq$", "apply-to": "quorum_queues", "priority": 2001,
                                 "definition": {"max-length": 7, "delivery-limit": -1}}
    assert broker.runs == {name}


def test_at_the_end_all_is_taken_away_that_runs_of_this_queue_have_left_and_nothing_else() -> None:
    broker = Broker({"name": "theirs", "pattern": r"^orders\.dlq$"}, ours(1), ours(2), ours(3, "^bills$"))
    broker.runs = {"brokercli-lift-2"}
    lifted = lift(broker)
    lifted.close()
    assert broker.kept.keys() == {"theirs", "brokercli-lift-2", "brokercli-lift-3"}
    assert broker.runs == {"brokercli-lift-2"}
    assert lifted.after == "the delivery limit of 20 of orders.dlq was lifted meanwhile; the policy that did it is gone, and 1 left by runs that were killed"
    assert not lifted.open
    lifted.close()


@pytest.mark.parametrize(("back", "away", "stays", "why"), [
    (False, False, False, "because the broker has not said that all letters are back"), (True, True, False, "because the connection was lost meanwhile"),
    (True, False, True, "which could not be taken away (it does not answer)")])
def test_as_long_as_letters_may_be_on_their_way_back_the_limit_stays_lifted(back: bool, away: bool, stays: bool, why: str) -> None:
    broker = Broker(ours(1), stays=stays)
    lifted = lift(broker)
    said = lifted.taking(), lifted.taking()
    for one in said if back else said[1:]:
        one()
    broker.away = away
    lifted.close()
    assert len(broker.kept) == 2
    assert "the delivery limit of orders.dlq stays lifted by the policy brokercli-lift-" in lifted.after
    assert why in lifted.after


def test_whoever_interrupts_the_end_is_told_what_may_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    lifted = lift(broker)

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(broker, "delete_policy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lifted.close()
    assert "stays lifted by the policy" in lifted.after
    assert "unless that was gone when this was interrupted" in lifted.after
    assert not broker.runs, "the next run must take the policy for one of a run that is gone"
