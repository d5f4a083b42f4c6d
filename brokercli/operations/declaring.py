"""Declaring: what a command line or a file asks for → a plan → done step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from brokercli.backends.declaring import Declarer
from brokercli.backends.registry import Descriptor, check_declarable, known_settings, settings_of
from brokercli.model.declaration import KINDS, Action, Change, Declaration, RetrySpecification, Setting, SettingValue, Topology
from brokercli.model.errors import BrokercliError, Failed, Unreachable, UsageProblem
from brokercli.model.pattern import matches
from brokercli.model.retrying import retry_settings
from brokercli.model.setting_value import Unfit, find_setting, find_unset, nearest, read_text

SHARED_KINDS = ("binding", "consumer")
"""Kinds that belong to somebody beside the owner of what they hang on: only a pattern that says the kind removes them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, in order, and what should be known before."""

    changes: tuple[Change, ...]
    worker: tuple[str, ...] = ()
    """What a worker has to do so that declared retries work."""
    notes: tuple[str, ...] = ()

    @property
    def pending(self) -> list[Change]:
        """What is to be done."""
        return [change for change in self.changes if change.action not in (Action.UNCHANGED, Action.CANNOT)]

    @property
    def impossible(self) -> list[Change]:
        """What cannot be as declared: as long as there is any, nothing is done."""
        return [change for change in self.changes if change.action is Action.CANNOT]

    @property
    def only_creates(self) -> bool:
        """Whether nothing that exists is touched."""
        return all(change.action is Action.CREATE for change in self.pending)


class State(StrEnum):
    """How far one step of a plan came."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The connection was lost over it: it may be done, or not."""
    LEFT = "not done"


@dataclass(frozen=True, slots=True)
class Step:
    """One change after it was tried, or left because one before it failed."""

    change: Change
    state: State
    error: BrokercliError | None = None


def read_assignments(descriptor: Descriptor, kind: str, assignments: Sequence[str], options: Mapping[str, str | None] | None = None,
                     unset: Sequence[str] = ()) -> dict[str, SettingValue]:
    """Read `name=value` words, options that stand for settings (`--replication-factor` is whichever setting of this kind is
    spelled so but for dots, dashes and underlines), and names of settings that are to be unset: those are None. Raises
    UsageProblem for what is not known or does not fit."""
    known, whose = known_settings(descriptor, kind), f"{article(descriptor.title)} {kind}"
    settings = read_settings(known, whose, assignments, options)
    for name in unset:
        try:
            setting = find_unset(name, known, whose)
        except Unfit as unfit:
            raise UsageProblem(f"--unset: {unfit.message}.", hint=unfit.hint) from None
        if settings.get(setting.name) is not None:
            raise UsageProblem(f"{name} is set and unset at once.", hint="leave one of them out")
        settings[setting.name] = None
    return settings


def read_settings(known: Sequence[Setting], whose: str, assignments: Sequence[str], options: Mapping[str, str | None] | None = None) -> dict[str, SettingValue]:
    """Read `name=value` words and options as values of the settings in `known`. `whose` says what they are settings of (`a NATS stream`)."""
    said: dict[str, tuple[str, SettingValue]] = {}
    for option, text in (options or {}).items():
        if text is None:
            continue
        setting = next((one for one in known if same_option(option, one.name)), None)
        if setting is None:
            raise UsageProblem(f"{option}: {whose} has no such setting.", hint=nearest(option.strip("-"), [one.name for one in known]))
        said[setting.name] = (option, _value(setting, text, option))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UsageProblem(f"--set {assignment!r} is no NAME=VALUE.", hint=f"for example: --set {known[0].name}=…" if known else None)
        try:
            setting = find_setting(name, known, whose)
        except Unfit as unfit:
            raise UsageProblem(f"{_sentence(unfit.message)}.", hint=unfit.hint) from None
        if setting.name in said:
            raise UsageProblem(f"{said[setting.name][0]} and --set {name} both say the same setting.", hint="leave one of them out")
        said[setting.name] = (f"--set {name}", _value(setting, text, f"--set {name}"))
    return {name: value for name, (_, value) in said.items()}


def same_option(option: str, setting: str) -> bool:
    """Whether an option (`--max-age`) stands for a setting (`max_age`, `max.age`, `x-max-age`)."""
    plain = setting.lower().replace(".", "-").replace("_", "-")
    return option.strip("-") in (plain, plain.removeprefix("x-"))


def read_retry_settings(descriptor: Descriptor, assignments: Sequence[str]) -> dict[str, SettingValue]:
    """Read `name=value` words for `RetrySpecification.settings`. Raises UsageProblem, Unsupported where this broker declares nothing."""
    check_declarable(descriptor)
    return read_settings(retry_settings(settings_of(descriptor)), f"{article(descriptor.title)} retry", assignments)


def plan_topology(declarer: Declarer, topology: Topology, prune: bool = False) -> Plan:
    """Plan everything a topology declares; with `prune` also the removal of what its patterns name and it does not declare.
    Changes nothing."""
    wanted, obsolete, worker, notes = expand(declarer, topology)
    changes = declarer.plan(wanted)
    if obsolete:
        # first: while the old way and the new one are both there, a message goes both
        changes = [*declarer.plan_removal(obsolete), *changes]
    if prune:
        kept = {_place(declaration) for declaration in wanted}
        named = [found for found in declarer.declared() if _place(found) not in kept and is_named(found, topology.prune)]
        needed = _needed(wanted, topology.retries)
        notes += [f"{found} is kept: {needed[found.name]}" for found in named if found.name in needed]
        changes = [*changes, *declarer.plan_removal([found for found in named if found.name not in needed])]
    return Plan(tuple(changes), tuple(worker), (*declarer.notes, *notes))


def expand(declarer: Declarer, topology: Topology) -> tuple[list[Declaration], list[Declaration], list[str], list[str]]:
    """Return all declarations, those that retries become among them; what earlier retries have left; what workers have to do;
    what should be known.

    A thing may be declared, and needed by a retry as well: then it gets the settings of both. Where the two differ, the declaration wins.
    Only of the source and of its consumer it may not contradict what the retries need: that is a UsageProblem.
    """
    wanted = {(one.kind, one.name): one for one in topology.declarations}
    said = dict(wanted)
    worker: list[str] = []
    notes: list[str] = []
    obsolete: list[Declaration] = []
    for retry in topology.retries:
        became = declarer.retry(replace(retry, declared=_source_settings(retry, topology.declarations)))
        obsolete += became.obsolete
        worker += [sentence for sentence in became.worker if sentence not in worker]
        for one in became.declarations:
            key = (one.kind, one.name)
            before = wanted.get(key)
            if before is None:
                wanted[key] = one
                continue
            differing = [name for name in one.settings if name in before.settings and not _agree(one.settings[name], before.settings[name])]
            if differing and key not in said:
                raise UsageProblem(f"Two retries want {one} with other settings: {', '.join(differing)}.", hint="give one of them another dead_letter")
            if differing and (one.kind == "consumer" or one.name == retry.source):
                raise UsageProblem(f"The {one} is declared with another {differing[0]} than the retries of {retry.source} need.",
                                   hint=f"leave it out: the retries say {differing[0]}")
            notes += [f"{one}: {name} is as declared, not as the retries of {retry.source} would have it" for name in differing]
            wanted[key] = replace(one, settings=_merged(one.settings, before.settings))
    return list(wanted.values()), [one for one in obsolete if (one.kind, one.name) not in wanted], worker, notes


def _place(one: Declaration) -> tuple[str, str]:
    """Return what no two things can share. RabbitMQ's queues and streams have their names in common, and one that is declared as a queue
    without a type may be there as a stream."""
    return "queue" if one.kind == "stream" else one.kind, one.name


def _needed(wanted: Sequence[Declaration], retries: Sequence[RetrySpecification]) -> dict[str, str]:
    """Return the names that declared things name in their settings, or hang on, and who does: what is called so is not pruned."""
    needed = {retry.source: "retries of it are declared" for retry in retries}
    for one in wanted:
        names = list(_texts(list(one.settings.values())))
        if one.kind == "consumer":
            names.append(one.name.partition("/")[0])
        needed |= {name: f"the {one} needs it" for name in names if name != one.name}
    return needed


def _texts(value: SettingValue) -> Iterator[str]:
    match value:
        case str():
            kind, colon, name = value.partition(":")
            yield name if colon and kind in KINDS else value
        case list():
            for inner in value:
                yield from _texts(inner)
        case dict():
            yield from _texts(list(value.values()))


def is_named(declaration: Declaration, patterns: Sequence[str], everything: bool = False) -> bool:
    """Whether a pattern names this thing; see `Topology.prune`. With `everything` a pattern without a kind names all kinds."""
    for pattern in patterns:
        kind, colon, name = pattern.partition(":")
        if colon and kind in KINDS:
            if kind == declaration.kind and matches(declaration.name, name):
                return True
        elif (everything or declaration.kind not in SHARED_KINDS) and matches(declaration.name, pattern):
            return True
    return False


def apply(declarer: Declarer, changes: Sequence[Change], stopping: Callable[[], bool] = lambda: False) -> Iterator[Step]:
    """Do the changes in order, and yield each when it was tried. After the first that fails, or once `stopping`, the rest is left."""
    going = True
    for change in changes:
        if not going or stopping():
            yield Step(change, State.LEFT)
            continue
        try:
            declarer.apply(change)
        except Unreachable as error:
            going = False
            yield Step(change, State.UNKNOWN, error)
        except BrokercliError as error:
            going = False
            yield Step(change, State.FAILED, error)
        else:
            yield Step(change, State.DONE)


def refusal(plan: Plan) -> Failed:
    """Return the failure of a plan in which something is impossible: the first such thing, and how many more there are."""
    first, others = plan.impossible[0], len(plan.impossible) - 1
    what = [one for one in first.differences if one.obstacle]
    why = what[0].obstacle.rstrip(".") if what else "; ".join(first.remarks) or "it exists otherwise"
    named = f"{what[0].setting}: " if what else ""
    more = f" {others:,} more cannot either." if others else ""
    return Failed(f"The {first.declaration} cannot be as declared; {named}{why}. Nothing was changed.{more}")


def article(title: str) -> str:
    """Return `a Kafka`, `an Apache Kafka`."""
    return f"{'an' if title[:1] in 'AEIOU' else 'a'} {title}"


def _source_settings(retry: RetrySpecification, declarations: Sequence[Declaration]) -> Mapping[str, SettingValue] | None:
    return next((one.settings for one in declarations if one.name == retry.source and one.kind in ("topic", "stream", "queue")), None)


def _agree(needed: SettingValue, said: SettingValue) -> bool:
    if isinstance(needed, dict) and isinstance(said, dict):
        return all(_agree(value, said[name]) for name, value in needed.items() if name in said)
    return needed == said


def _merged(needed: Mapping[str, SettingValue], said: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    merged = {**needed, **said}
    for name, value in needed.items():
        other = said.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            merged[name] = _merged(value, other)
    return merged


def _value(setting: Setting, text: str, where: str) -> SettingValue:
    try:
        return read_text(setting, text)
    except Unfit as unfit:
        raise UsageProblem(f"{where}: {unfit.message}.", hint=unfit.hint) from None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
