"""What is declared is planned without a change, made, found unchanged, changed where that is possible and refused where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brokercli.backends.declaring import Declarer
from brokercli.backends.registry import descriptors, settings_of
from brokercli.model.declaration import KINDS, Action, Change, Declaration, RetrySpecification
from brokercli.model.errors import Failed, Unsupported, UsageProblem
from tests.conformance.declarables import DECLARABLES, Declarable, with_settings
from tests.native.harness import Broker

BROKERS = ("kafka", "nats", "rabbitmq", "memory")
_ALL = [(descriptor.name, kind) for descriptor in descriptors() if descriptor.name in BROKERS for kind in settings_of(descriptor)]


def _cases(having: Callable[[Declarable], object] = lambda example: True) -> pytest.MarkDecorator:
    params = [pytest.param(name, kind, marks=getattr(pytest.mark, name), id=f"{name}-{kind}") for name, kind in _ALL if having(DECLARABLES[name, kind])]
    return pytest.mark.parametrize(("broker", "kind"), params, indirect=["broker"])


@pytest.fixture
def declarer(broker: Broker) -> Iterator[Declarer]:
    if broker.name == "rabbitmq":
        assert broker.connection.management, "declaring on RabbitMQ is tested with the management API"
    with broker.open() as backend:
        yield backend.declarer()


@pytest.fixture
def example(broker: Broker, kind: str) -> Declarable:
    return DECLARABLES[broker.name, kind]


@pytest.fixture
def wanted(example: Declarable, declarer: Declarer, unique: Callable[[str], str]) -> Iterator[Declaration]:
    """One thing to declare that is not there; what it needs is. All of it is removed at the end."""
    name = unique("declared")
    needed = example.before(name)
    for change in declarer.plan(needed):
        declarer.apply(change)
    declaration = example.made(name)
    yield declaration
    for change in declarer.plan_removal([declaration, *needed]):
        declarer.apply(change)


def plan(declarer: Declarer, declaration: Declaration) -> Change:
    changes = declarer.plan([declaration])
    assert len(changes) == 1
    return changes[0]


def make(declarer: Declarer, declaration: Declaration) -> None:
    change = plan(declarer, declaration)
    assert change.action is Action.CREATE
    declarer.apply(change)


@_cases()
def test_planning_what_is_not_there_says_create_and_makes_nothing(declarer: Declarer, wanted: Declaration) -> None:
    assert plan(declarer, wanted).action is Action.CREATE
    assert plan(declarer, wanted).action is Action.CREATE


@_cases()
def test_what_was_made_is_planned_as_unchanged_by_any_connection(broker: Broker, declarer: Declarer, wanted: Declaration) -> None:
    make(declarer, wanted)
    assert plan(declarer, wanted).action is Action.UNCHANGED
    with broker.open() as other:
        change = plan(other.declarer(), wanted)
    assert (change.action, change.differences) == (Action.UNCHANGED, ())


@_cases()
def test_a_declaration_without_settings_finds_whatever_there_is_unchanged(declarer: Declarer, wanted: Declaration, kind: str) -> None:
    make(declarer, wanted)
    bare = Declaration(kind, wanted.name, wanted.settings if kind == "binding" else {})
    assert plan(declarer, bare).action is Action.UNCHANGED


@_cases(lambda example: example.change)
def test_a_setting_that_differs_is_named_with_have_and_want_and_changed_alone(declarer: Declarer, wanted: Declaration, example: Declarable) -> None:
    make(declarer, wanted)
    otherwise = with_settings(wanted, example.change)
    change = plan(declarer, otherwise)
    assert change.action is Action.CHANGE
    assert {one.setting: (one.have, one.want, one.obstacle) for one in change.differences} == {
        name: (wanted.settings.get(name), value, "") for name, value in example.change.items()}
    assert plan(declarer, otherwise).action is Action.CHANGE, "planning has changed it"
    declarer.apply(change)
    assert plan(declarer, otherwise).action is Action.UNCHANGED
    kept = {name: value for name, value in wanted.settings.items() if name not in example.change}
    assert plan(declarer, Declaration(wanted.kind, wanted.name, kept)).action is Action.UNCHANGED


@_cases(lambda example: example.change)
def test_a_setting_that_is_unset_has_the_brokers_default_again_and_no_other_does(declarer: Declarer, wanted: Declaration, example: Declarable) -> None:
    make(declarer, with_settings(wanted, example.change))
    unset = with_settings(wanted, dict.fromkeys(example.change))
    change = plan(declarer, unset)
    assert change.action is Action.CHANGE
    assert {one.setting: (one.have, one.obstacle) for one in change.differences} == {name: (value, "") for name, value in example.change.items()}
    assert plan(declarer, unset).action is Action.CHANGE, "planning has changed it"
    declarer.apply(change)
    assert plan(declarer, unset).action is Action.UNCHANGED
    assert plan(declarer, with_settings(wanted, example.change)).action is Action.CHANGE
    (told,) = [declaration for declaration in declarer.declared([wanted.kind]) if declaration.name == wanted.name]
    assert not set(example.change) & set(told.settings)
    kept = {name: value for name, value in wanted.settings.items() if name not in example.change}
    assert plan(declarer, Declaration(wanted.kind, wanted.name, kept)).action is Action.UNCHANGED


@_cases(lambda example: example.change)
def test_what_is_made_with_a_setting_unset_is_made_with_the_brokers_default(declarer: Declarer, wanted: Declaration, example: Declarable) -> None:
    unset = with_settings(wanted, dict.fromkeys(example.change))
    make(declarer, unset)
    assert plan(declarer, unset).action is Action.UNCHANGED


@_cases(lambda example: example.fixed)
def test_a_setting_that_cannot_be_changed_is_named_with_its_obstacle(declarer: Declarer, wanted: Declaration, example: Declarable) -> None:
    make(declarer, wanted)
    change = plan(declarer, with_settings(wanted, {**example.change, **example.fixed}))
    assert change.action is Action.CANNOT
    assert {one.setting for one in change.differences if one.obstacle} == set(example.fixed)
    assert plan(declarer, wanted).action is Action.UNCHANGED


@_cases()
def test_what_is_declared_is_told_and_planned_as_unchanged(declarer: Declarer, wanted: Declaration, kind: str) -> None:
    make(declarer, wanted)
    told = [declaration for declaration in declarer.declared([kind]) if declaration.name == wanted.name]
    assert [declaration.kind for declaration in told] == [kind]
    assert plan(declarer, told[0]).action is Action.UNCHANGED


@_cases()
def test_what_is_removed_is_gone_and_removing_it_again_plans_nothing(declarer: Declarer, wanted: Declaration) -> None:
    make(declarer, wanted)
    changes = declarer.plan_removal([wanted])
    assert [change.action for change in changes] == [Action.DELETE]
    assert plan(declarer, wanted).action is Action.UNCHANGED, "planning has removed it"
    declarer.apply(changes[0])
    assert plan(declarer, wanted).action is Action.CREATE
    assert declarer.plan_removal([wanted]) == []


@_cases(lambda example: example.change)
def test_a_plan_to_create_fails_where_it_was_made_otherwise_meanwhile(declarer: Declarer, wanted: Declaration, example: Declarable) -> None:
    planned = plan(declarer, with_settings(wanted, example.change))
    make(declarer, wanted)
    with pytest.raises(Failed):
        declarer.apply(planned)
    assert plan(declarer, wanted).action is Action.UNCHANGED


@_cases(lambda example: example.change)
def test_a_plan_to_change_fails_where_it_was_removed_meanwhile(declarer: Declarer, wanted: Declaration, example: Declarable) -> None:
    make(declarer, wanted)
    planned = plan(declarer, with_settings(wanted, example.change))
    for change in declarer.plan_removal([wanted]):
        declarer.apply(change)
    with pytest.raises(Failed):
        declarer.apply(planned)
    assert plan(declarer, wanted).action is Action.CREATE


@_cases(lambda example: example.change)
def test_one_thing_declared_twice_with_other_settings_is_refused(declarer: Declarer, wanted: Declaration, example: Declarable) -> None:
    with pytest.raises(UsageProblem):
        declarer.plan([wanted, with_settings(wanted, example.change)])


@_cases(lambda example: example.before("x"))
def test_what_a_thing_needs_can_be_declared_with_it_in_any_order(declarer: Declarer, example: Declarable, unique: Callable[[str], str]) -> None:
    name = unique("declared")
    together = [example.made(name), *example.before(name)]
    for change in declarer.plan(together):
        assert change.action is Action.CREATE
        declarer.apply(change)
    assert {change.action for change in declarer.plan(together)} == {Action.UNCHANGED}
    for change in declarer.plan_removal(together):
        declarer.apply(change)
    assert {change.action for change in declarer.plan(together)} == {Action.CREATE}


@pytest.mark.parametrize("descriptor", [one for one in descriptors() if settings_of(one)], ids=lambda descriptor: descriptor.name)
def test_every_kind_is_declarable_or_declined_with_a_reason(descriptor: object) -> None:
    having = set(settings_of(descriptor))  # type: ignore[arg-type]
    declined = set(descriptor.not_declarable)  # type: ignore[attr-defined]
    assert having | declined == set(KINDS)
    assert not having & declined


def test_a_kind_that_the_broker_does_not_have_is_refused_by_the_contract_as_well(declarer: Declarer, broker: Broker, unique: Callable[[str], str]) -> None:
    for kind in broker.descriptor.not_declarable:
        with pytest.raises((UsageProblem, Unsupported)):
            declarer.plan([Declaration(kind, unique("declared"))])


def test_retries_of_a_source_that_is_not_there_are_refused(broker: Broker) -> None:
    with broker.open() as backend, pytest.raises((UsageProblem, Unsupported)):
        backend.declarer().retry(RetrySpecification("missing", (10**9,), 2))
