"""Declaring: retries and declarations become one plan, pruning touches what a pattern names, and the first failure stops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from brokercli.backends.declaring import Declarer
from brokercli.backends.registry import descriptors
from brokercli.model.declaration import Action, Change, Declaration, RetrySpecification, RetryTopology, Topology, binding
from brokercli.model.errors import BrokercliError, Failed, Unreachable, UsageProblem
from brokercli.operations.declaring import State, apply, is_named, plan_topology, read_assignments

MEMORY = next(descriptor for descriptor in descriptors() if descriptor.name == "memory")


class Pretended(Declarer):
    """Has `there`; makes two queues of every retry; fails at the names in `failing`."""

    def __init__(self, *there: Declaration, failing: dict[str, BrokercliError] | None = None) -> None:
        self.there = {(one.kind, one.name): one for one in there}
        self.failing = failing or {}
        self.applied: list[str] = []
        self.asked: list[RetrySpecification] = []
        self.notes = ["a note"]

    def plan(self, wanted: Sequence[Declaration]) -> list[Change]:
        return [Change(one, Action.UNCHANGED if (one.kind, one.name) in self.there else Action.CREATE) for one in wanted]

    def apply(self, change: Change) -> None:
        if error := self.failing.get(change.declaration.name):
            raise error
        self.applied.append(change.declaration.name)

    def declared(self, kinds: Sequence[str] = ()) -> Iterable[Declaration]:
        return list(self.there.values())

    def plan_removal(self, unwanted: Sequence[Declaration]) -> list[Change]:
        return [Change(one, Action.DELETE) for one in unwanted]

    def retry(self, specification: RetrySpecification) -> RetryTopology:
        self.asked.append(specification)
        work = Declaration("queue", specification.source, {"dead": f"{specification.source}.wait"})
        return RetryTopology((work, Declaration("queue", f"{specification.source}.wait", {"keep": "5s", "size": 1})), ("fail it so",))


def queue(name: str, **settings: str | int) -> Declaration:
    return Declaration("queue", name, dict(settings))


def creations(*names: str) -> list[Change]:
    return [Change(queue(name), Action.CREATE) for name in names]


def retry(source: str) -> RetrySpecification:
    return RetrySpecification(source, (5,), 2)


def test_what_a_retry_needs_and_what_is_declared_of_it_become_one_declaration_and_the_declared_goes_before() -> None:
    declarer = Pretended()
    plan = plan_topology(declarer, Topology((queue("orders", type="quorum"), queue("orders.wait", keep="9s")), (retry("orders"),)))
    assert [(change.declaration.name, dict(change.declaration.settings)) for change in plan.changes] == [
        ("orders", {"type": "quorum", "dead": "orders.wait"}), ("orders.wait", {"keep": "9s", "size": 1})]
    assert plan.worker == ("fail it so",)
    assert plan.notes == ("a note", "queue orders.wait: keep is as declared, not as the retries of orders would have it")


@pytest.mark.parametrize("said", [Declaration("queue", "orders", {"dead": "elsewhere"}), Declaration("consumer", "S/worker", {"tries": 9})])
def test_a_source_and_its_consumer_may_not_contradict_what_the_retries_need(said: Declaration) -> None:
    class Worked(Pretended):
        def retry(self, specification: RetrySpecification) -> RetryTopology:
            return RetryTopology((queue("orders", dead="orders.wait"), Declaration("consumer", "S/worker", {"tries": 2})), ())

    with pytest.raises(UsageProblem, match=r"is declared with another (dead|tries) than the retries of orders need"):
        plan_topology(Worked(), Topology((said,), (retry("orders"),)))


def test_tables_that_both_say_are_one_table() -> None:
    class Arguing(Pretended):
        def retry(self, specification: RetrySpecification) -> RetryTopology:
            return RetryTopology((Declaration("queue", "dead", {"arguments": {"limit": -1, "kept": True}}),), ())

    plan = plan_topology(Arguing(), Topology((Declaration("queue", "dead", {"arguments": {"length": 5, "kept": True}}),), (retry("orders"),)))
    assert plan.changes[0].declaration.settings == {"arguments": {"limit": -1, "kept": True, "length": 5}}
    assert plan.notes == ("a note",)


def test_a_retry_is_told_what_its_source_is_declared_with_where_it_is() -> None:
    declarer = Pretended()
    plan_topology(declarer, Topology((queue("orders", type="quorum"),), (retry("orders"), retry("paid"))))
    assert [asked.declared for asked in declarer.asked] == [{"type": "quorum"}, None]


def test_what_earlier_retries_left_in_the_way_is_removed_first_unless_it_is_declared() -> None:
    class Changed(Pretended):
        def retry(self, specification: RetrySpecification) -> RetryTopology:
            return RetryTopology((queue("wait"),), (), (queue("left"), queue("declared")))

    plan = plan_topology(Changed(), Topology((queue("declared"),), (retry("a"),)))
    assert [(change.action, change.declaration.name) for change in plan.changes] == [
        (Action.DELETE, "left"), (Action.CREATE, "declared"), (Action.CREATE, "wait")]
    assert not plan.only_creates


def test_two_retries_that_want_one_thing_differently_are_refused() -> None:
    class Shared(Pretended):
        def retry(self, specification: RetrySpecification) -> RetryTopology:
            return RetryTopology((queue("dead", owner=specification.source),), ())

    with pytest.raises(UsageProblem, match="Two retries want queue dead with other settings: owner"):
        plan_topology(Shared(), Topology(retries=(retry("a"), retry("b"))))


@pytest.mark.parametrize(("pattern", "named"), [
    ("orders.*", ["queue orders.old"]), ("queue:orders.*", ["queue orders.old"]), ("exchange:orders*", ["exchange orders"]), ("topic:*", []),
    ("*", ["queue orders.old", "queue other", "exchange orders"]), ("binding:orders/*", ["binding orders/k -> queue:other"]), ("ORDERS*", []),
    ("consumer:ORDERS/*", ["consumer ORDERS/worker"]), ("other", ["queue other"]),
])
def test_pruning_plans_to_delete_what_a_pattern_names_and_nothing_else(pattern: str, named: list[str]) -> None:
    declarer = Pretended(queue("orders.old"), queue("orders.kept"), queue("other"), Declaration("exchange", "orders"), binding("orders", "queue:other", "k"),
                         Declaration("consumer", "ORDERS/worker"))
    plan = plan_topology(declarer, Topology((queue("orders.kept"),), prune=(pattern,)), prune=True)
    assert [str(change.declaration) for change in plan.changes if change.action is Action.DELETE] == named


def test_only_stars_and_question_marks_mean_more_than_themselves() -> None:
    assert is_named(queue("orders[1].x"), ["orders[1].?"])
    assert not is_named(queue("orders1"), ["orders[1]"])
    assert not is_named(queue("Orders"), ["orders"])


def test_nothing_is_pruned_unless_it_is_asked_for() -> None:
    plan = plan_topology(Pretended(queue("orders.old")), Topology(prune=("*",)))
    assert plan.changes == ()


def test_a_queue_that_is_declared_and_there_as_a_stream_is_not_pruned() -> None:
    there = (Declaration("stream", "orders"), Declaration("stream", "orders.old"), Declaration("exchange", "orders"))
    plan = plan_topology(Pretended(*there), Topology((queue("orders"),), prune=("orders*",)), prune=True)
    assert [str(change.declaration) for change in plan.changes if change.action is Action.DELETE] == ["stream orders.old", "exchange orders"]


def test_what_a_retry_makes_is_not_pruned() -> None:
    plan = plan_topology(Pretended(queue("orders.wait"), queue("orders.old")), Topology(retries=(retry("orders"),), prune=("orders*",)), prune=True)
    assert [change.declaration.name for change in plan.changes if change.action is Action.DELETE] == ["orders.old"]


@pytest.mark.parametrize(("topology", "kept"), [
    (Topology(retries=(RetrySpecification("source", (5,), 2),)), "queue source is kept: retries of it are declared"),
    (Topology((Declaration("consumer", "source/worker"),)), "queue source is kept: the consumer source/worker needs it"),
    (Topology((queue("other", **{"dead-letter-exchange": "source"}),)), "queue source is kept: the queue other needs it"),
    (Topology((Declaration("stream", "other", {"sources": [{"name": "source"}]}),)), "queue source is kept: the stream other needs it"),
    (Topology((binding("x", "queue:source"),)), "queue source is kept: the binding x/ -> queue:source needs it"),
])
def test_what_declared_things_need_is_not_pruned_with_them(topology: Topology, kept: str) -> None:
    class Elsewhere(Pretended):
        def retry(self, specification: RetrySpecification) -> RetryTopology:
            return RetryTopology((), ())

    plan = plan_topology(Elsewhere(queue("source"), queue("unneeded")), replace(topology, prune=("*",)), prune=True)
    assert [change.declaration.name for change in plan.changes if change.action is Action.DELETE] == ["unneeded"]
    assert kept in plan.notes


def test_a_pattern_without_a_kind_names_bindings_only_where_everything_is_meant() -> None:
    one = binding("orders", "queue:q", "k")
    assert not is_named(one, ["orders*"])
    assert is_named(one, ["orders*"], everything=True)


def test_the_first_failure_stops_and_the_rest_is_left() -> None:
    declarer = Pretended(failing={"b": Failed("the broker refused")})
    steps = list(apply(declarer, creations("a", "b", "c", "d")))
    assert [step.state for step in steps] == [State.DONE, State.FAILED, State.LEFT, State.LEFT]
    assert str(steps[1].error) == "the broker refused"
    assert declarer.applied == ["a"]


def test_a_lost_connection_leaves_one_step_unknown() -> None:
    steps = list(apply(Pretended(failing={"a": Unreachable("gone")}), creations("a", "b")))
    assert [step.state for step in steps] == [State.UNKNOWN, State.LEFT]


def test_a_stop_is_heeded_between_two_steps() -> None:
    declarer = Pretended()
    steps = list(apply(declarer, creations("a", "b", "c"), lambda: len(declarer.applied) == 2))
    assert [step.state for step in steps] == [State.DONE, State.DONE, State.LEFT]


def test_an_option_stands_for_the_setting_that_is_spelled_so_but_for_dots_and_dashes() -> None:
    assert read_assignments(MEMORY, "topic", ["keep=5"], {"--max-age": "7d", "--max-size": None}) == {"max.age": 604_800_000, "keep": 5}


@pytest.mark.parametrize(("assignments", "options", "words", "hint"), [
    (["max.age=1s"], {"--max-age": "2s"}, "--max-age and --set max.age both say the same setting", "leave one of them out"),
    (["keep=1", "keep=2"], {}, "--set keep and --set keep both say", "leave one of them out"),
    ([], {"--partitions": "6"}, "--partitions: a Memory topic has no such setting", "known:"),
    (["keep"], {}, "--set 'keep' is no NAME=VALUE", "for example"),
    (["kep=1"], {}, "A Memory topic has no setting 'kep'", "did you mean keep?"),
    (["max.age=soon"], {}, "--set max.age: 'soon' is no duration", "durations:"),
])
def test_what_is_said_wrongly_is_refused_with_where_it_was_said(assignments: list[str], options: dict[str, str], words: str, hint: str) -> None:
    with pytest.raises(UsageProblem) as refused:
        read_assignments(MEMORY, "topic", assignments, options)
    assert words in str(refused.value)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(("one", "other"), [
    (binding("a", "queue:q", "b/c"), binding("a/b", "queue:q", "c")), (binding("a", "queue:q", "b -> queue:c"), binding("a", "queue:c -> queue:q", "b")),
    (binding("a", "queue:q (x=1)"), binding("a", "queue:q", "", {"x": 1})), (binding("a", "queue:q", "", {"x": 5}), binding("a", "queue:q", "", {"x": "5"})),
    (binding("a", "queue:q", "", {"x": True}), binding("a", "queue:q", "", {"x": "true"})),
    (binding("a", "queue:q", "", {"x": "1, y=2"}), binding("a", "queue:q", "", {"x": "1", "y": "2"})),
    (binding("a", "queue:q", "", {"x=1": "2"}), binding("a", "queue:q", "", {"x": "1=2"})),
    (binding("a", "queue:q", "", {"x": ["b", "c"]}), binding("a", "queue:q", "", {"x": "[b, c]"})),
    (binding("a", "queue:q", "", {"x": "5"}), binding("a", "queue:q", "", {"x": '"5"'}))])
def test_no_two_bindings_have_the_same_name(one: Declaration, other: Declaration) -> None:
    assert one.name != other.name


def test_the_usual_names_of_bindings_have_no_quotes() -> None:
    assert binding("orders", "queue:q-1", "eu/#.created", {"x-match": "all", "who": "a man=1", "n": 5}).name == (
        "orders/eu/#.created -> queue:q-1 (n=5, who=a man=1, x-match=all)")
