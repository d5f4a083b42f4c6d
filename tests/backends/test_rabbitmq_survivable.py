"""Whether letters survive being returned, by what a broker says of their queue: nothing that is not certain counts as safe."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from brokercli.backends.rabbitmq.existing import Queue
from brokercli.backends.rabbitmq.holding import Holding
from brokercli.backends.rabbitmq.letters import notes_on, unseen
from brokercli.backends.rabbitmq.management import Away, Management
from brokercli.backends.rabbitmq.survivable import (
    LIFTS,
    RESCUING,
    UNLIMITED,
    Conditions,
    limit_of,
    may_hold,
    read_conditions,
    refuse_rescued,
    require_fit,
    require_survivable,
    rescue_of,
    version_of,
)
from brokercli.model.errors import BrokercliError, Failed, Unsupported

V3, V40, V43 = (3, 13, 7), (4, 0, 5), (4, 3, 6)
OVER = f"{LIFTS}1-over"
NO_POLICY: dict[str, Any] = {}


def facts(limit: object = None, argument: object = None, policy: object = None, **other: Any) -> dict[str, Any]:
    """What the management API says: the limit that holds, the argument, and what policies come to (False: does not say it)."""
    said: dict[str, Any] = {"arguments": {} if argument is None else {"x-delivery-limit": argument}}
    if limit is not None:
        said["delivery_limit"] = limit
    if policy is not False:
        said["effective_policy_definition"] = NO_POLICY if policy is None else {"delivery-limit": policy}
    return said | other


@pytest.mark.parametrize(("said", "version", "limit"), [
    (facts(), V43, 20), (facts(), V3, UNLIMITED), (facts(), (4, 0), 20), (facts(policy=False), V43, None), (facts("unlimited", policy=False), V43, UNLIMITED),
    (facts(7, policy=False), V43, 7), (facts(argument=-1), V43, UNLIMITED), (facts(argument=0), V43, 0), (facts(policy=-1), V43, UNLIMITED),
    # a number beats `unlimited`, and the lower of two holds
    (facts(argument=5, policy=-1), V43, 5), (facts(argument=-1, policy=5), V43, 5), (facts(argument=9, policy=5), V43, 5),
    (facts(argument=5, policy=9), V43, 5),
    # where two answers differ, the one that could cost a letter is believed
    (facts("unlimited", policy=5), V43, 5), (facts(7, policy=-1), V43, 7), (facts(20, argument=3), V43, 3), (facts("strange", argument=-1), V43, UNLIMITED),
    (facts(argument="5"), V43, 20), ({"effective_policy_definition": {}}, V43, 20)])
def test_the_limit_is_the_lowest_that_anything_says(said: dict[str, Any], version: tuple[int, ...], limit: int | None) -> None:
    assert limit_of(said, version) == limit


def rescued(policy: str = f"{LIFTS}1", **changed: Any) -> dict[str, Any]:
    return {"policy": policy, "effective_policy_definition": {**RESCUING, "dead-letter-routing-key": OVER} | changed}


@pytest.mark.parametrize(("said", "rescue"), [
    (rescued(), OVER), (rescued(**{"max-length": 5}), OVER), (rescued(policy="theirs"), ""), (rescued(**{"dead-letter-routing-key": "theirs"}), ""),
    (rescued(**{"dead-letter-routing-key": 5}), ""), (rescued(overflow="drop-head"), ""), (rescued(**{"dead-letter-strategy": "at-most-once"}), ""),
    (rescued(**{"dead-letter-exchange": "theirs"}), ""), ({"policy": f"{LIFTS}1"}, ""), ({"policy": None, "effective_policy_definition": None}, "")])
def test_letters_are_kept_only_where_every_word_of_the_policy_holds(said: dict[str, Any], rescue: str) -> None:
    assert rescue_of(said) == rescue


class Answers:
    """A management API that says this of the queue, of its policies and of an operator's."""

    def __init__(self, said: dict[str, Any] | Away | None, policy: dict[str, Any] | Away | None = None, *operators: dict[str, Any],
                 statistics: dict[str, Any] | None = None) -> None:
        self._said, self._policy, self._operators, self._statistics = said, policy, list(operators), statistics

    def queue_now(self, name: str) -> dict[str, Any] | None:
        if isinstance(self._said, Away):
            raise self._said
        return self._said

    def queue(self, name: str) -> dict[str, Any] | None:
        if self._statistics is None:
            raise Away("no answer")
        return self._statistics

    def policy(self, name: str) -> dict[str, Any] | None:
        if isinstance(self._policy, Away):
            raise self._policy
        return self._policy

    def operator_policies(self) -> list[dict[str, Any]]:
        return self._operators


def read(management: Answers, kind: str = "quorum", version: tuple[int, ...] = V43, *, lifted: bool = False, said: dict[str, Any] | None = None) -> Conditions:
    return read_conditions(Queue("orders.dlq", kind), cast("Management", management), version, "/", said=said, lifted=lifted)


@pytest.mark.parametrize(("management", "unknown"), [(Answers(Away("no answer", hint="turn it on")), "no answer; turn it on"),
                                                     (Answers(None), "the management API knows no queue orders.dlq in /"),
                                                     (Answers(facts(policy=False)), "the management API does not say its delivery limit")])
def test_what_nobody_tells_is_not_safe_and_why_is_said(management: Answers, unknown: str) -> None:
    found = read(management)
    assert (found.limit, found.survivable, found.unknown) == (None, False, unknown)
    with pytest.raises(Unsupported, match="its delivery limit cannot be found out"):
        require_survivable(found, "Looking")


def test_what_was_said_just_now_is_not_asked_for_again() -> None:
    assert read(Answers(Away("never asked")), said=facts(argument=-1)).limit == UNLIMITED


def test_a_limit_that_another_run_has_lifted_is_none_to_rely_on_and_ones_own_is() -> None:
    lifted = facts("unlimited", policy=-1) | {"policy": f"{LIFTS}1"}
    definition = {"definition": {"delivery-limit": -1, "max-length": 7}}
    found = read(Answers(lifted, definition))
    assert (found.borrowed, found.survivable, found.policy) == (True, False, definition["definition"])
    with pytest.raises(Unsupported, match="only as long as another run"):
        require_survivable(found, "Looking")
    own = read(Answers(lifted, definition), lifted=True)
    assert (own.borrowed, own.survivable) == (False, True)


def test_letters_that_are_kept_survive_in_the_run_that_keeps_them_and_in_no_other() -> None:
    kept = facts(3, argument=3) | rescued()
    assert read(Answers(kept), lifted=True).survivable
    found = read(Answers(kept))
    assert (found.rescue, found.survivable) == ("", False)


@pytest.mark.parametrize(("held", "operators", "limit"), [
    ({"definition": {"delivery-limit": -1}}, [], UNLIMITED), ({"definition": {"delivery-limit": 5}}, [], 5), ({}, [], 20),
    ({"definition": {"delivery-limit": -1}}, [{"pattern": "^orders", "definition": {"delivery-limit": 4}}], 4),
    ({"definition": {"delivery-limit": -1}}, [{"pattern": "^orders", "definition": {"delivery-limit": 4}},
                                              {"pattern": "dlq", "definition": {"delivery-limit": 2}}], 2),
    ({"definition": {"delivery-limit": -1}}, [{"pattern": "^bills", "definition": {"delivery-limit": 4}}], UNLIMITED),
    # Erlang may read what this cannot
    ({"definition": {"delivery-limit": -1}}, [{"pattern": "(?<", "definition": {"delivery-limit": 4}}], 4),
    (None, [], None)])
def test_before_4_2_5_policies_are_asked_themselves(held: dict[str, Any] | None, operators: list[dict[str, Any]], limit: int | None) -> None:
    said = facts(policy=False) | {"policy": "theirs"}
    assert read(Answers(said, held, *operators), version=V40).limit == limit


def test_a_pattern_that_cannot_be_read_may_hold() -> None:
    assert [may_hold({"pattern": pattern}, "orders") for pattern in ("^ord", "^ders", "(?<")] == [True, False, True]


def conditions(kind: str | None = "quorum", limit: int | None = UNLIMITED, version: tuple[int, ...] = V43, **other: Any) -> Conditions:
    return Conditions(Queue("orders.dlq", kind), version, "/", limit, **{"auto_delete": False, **other})


@pytest.mark.parametrize("safe", [conditions(), conditions("classic", None), conditions(limit=3, rescue=OVER)], ids=["no limit", "classic", "kept"])
def test_what_is_certain_is_let_through(safe: Conditions) -> None:
    require_survivable(safe, "Looking")
    require_fit(safe, "Looking")


@pytest.mark.parametrize(("unsafe", "kind", "why"), [
    (conditions(down=True), Failed, "The node that answers for orders.dlq is away"),
    (conditions(None), Unsupported, "of what type orders.dlq is cannot be found out"),
    (conditions("classic", auto_delete=True), Unsupported, "would delete orders.dlq with every letter"),
    (conditions("classic", auto_delete=None), Unsupported, "cannot be found out with this login"),
    (conditions(borrowed=True), Unsupported, "only as long as another run"),
    (conditions(limit=3, rescue=OVER, borrowed=True), Unsupported, "only as long as another run"),
    (conditions(limit=0), Unsupported, "delivery limit of 0, and it deletes a letter that died"),
    (conditions(limit=20, version=(4, 3)), Unsupported, "delivery limit of 20, and it deletes a letter that died"),
    (conditions(limit=20, version=(4, 2, 9)), Unsupported, "delivery limit of 20, and each return counts")])
def test_whatever_could_cost_a_letter_is_refused_with_the_reason(unsafe: Conditions, kind: type[BrokercliError], why: str) -> None:
    with pytest.raises(kind, match=why):
        require_survivable(unsafe, "Looking")


@pytest.mark.parametrize(("said", "why"), [
    ({"arguments": {"x-single-active-consumer": True}}, "single active consumer"),
    ({"effective_policy_definition": {"single-active-consumer": True}}, "single active consumer"),
    ({"arguments": {"x-delayed-retry-type": "all"}}, "x-delayed-retry-type: all"),
    ({"effective_policy_definition": {"delayed-retry-type": "returned"}}, "x-delayed-retry-type: returned")])
def test_a_queue_that_hands_out_its_messages_another_way_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        require_fit(read(Answers(said)), "Looking")


@pytest.mark.parametrize("key", ["federation-upstream", "federation-upstream-set"])
@pytest.mark.parametrize("told", ["at once", "by the statistics"])
def test_a_federated_queue_is_not_looked_at_for_its_upstream_sends_letters_to_whoever_consumes(key: str, told: str) -> None:
    # seen on 4.3.6: each look brought as many letters from the other broker as its upstream's prefetch-count, and they stayed
    definition = {key: "all"}
    said = {"name": "orders.dlq", "policy": "federated"} | ({"effective_policy_definition": definition} if told == "at once" else {})
    found = read(Answers(said, Away("may not be read by all"), statistics={"effective_policy_definition": definition}), "classic")
    with pytest.raises(Unsupported, match=r"bring letters here from another broker: orders\.dlq is federated"):
        require_fit(found, "Looking")
    assert notes_on(found) == ["orders.dlq is federated: while letters are taken from it RabbitMQ brings others from its upstream, which stay here"]


@pytest.mark.parametrize("said", [{}, {"policy": "other"}, {"policy": "other", "effective_policy_definition": {"max-length": 5}}])
def test_a_queue_whose_policy_says_nothing_of_it_is_not_federated(said: dict[str, Any]) -> None:
    for statistics in ({"effective_policy_definition": {"max-length": 5}}, {}, None):
        require_fit(read(Answers({"name": "orders.dlq"} | said, statistics=statistics), "classic"), "Looking")


def test_letters_that_a_delayed_retry_holds_back_are_not_said_to_be_taken_or_gone() -> None:
    given_back = cast("Holding", SimpleNamespace(unseen=30, gone=False, cut_off=False))
    (held_back,) = unseen(given_back, conditions(delayed_retry="all"))
    assert "holds back what is returned to it (x-delayed-retry-type: all): 30 letters that were given back show there once its time is over" in held_back
    (missing,) = unseen(given_back, conditions(delayed_retry="failed"))
    assert "somebody took letters there" in missing


def test_a_delayed_retry_of_failed_messages_hides_none_that_is_returned() -> None:
    require_fit(conditions(delayed_retry="failed"), "Looking")


@pytest.mark.parametrize(("kind", "version", "lasting"), [("quorum", V43, True), ("quorum", (4, 2, 9), False), ("classic", V43, False), (None, V43, False)])
def test_only_a_broker_that_knows_how_is_asked_to_let_letters_be_held_for_long(kind: str | None, version: tuple[int, ...], lasting: bool) -> None:
    assert conditions(kind, version=version).lasting is lasting


def test_what_keeps_letters_of_another_queue_is_none_to_be_looked_at() -> None:
    refuse_rescued("orders.dlq")
    with pytest.raises(Unsupported, match="keeps letters of another queue"):
        refuse_rescued(OVER)


def test_a_version_is_its_numbers() -> None:
    assert [version_of({"version": said}) for said in ("4.3.6", "4.2.0-rc.1", "of our own")] + [version_of({})] == [(4, 3, 6), (4, 2, 0), (0,), (0,)]
