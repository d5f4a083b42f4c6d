"""What ought to be there, and what it takes to get there: declarations, the settings they are made of, changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from brokercli.model.address import spell_exchange

KINDS = ("topic", "stream", "exchange", "queue", "binding", "consumer")
"""Kinds of things that can be declared; a broker has some of them."""

_ARROW, _BRACKET = " -> ", " ("
_IN_VALUES = (*'[]{}()"', ", ")
_IN_NAMES = (*_IN_VALUES, "=", ": ")

SettingValue = str | int | float | bool | None | list["SettingValue"] | dict[str, "SettingValue"]


class Form(StrEnum):
    """How a setting's value is written. A number in the broker's own unit is right for every one that is a number."""

    TEXT = "text"
    WHOLE = "whole number"
    REAL = "number"
    FLAG = "true or false"
    DURATION = "duration"
    """`7d`, `30s`; stored as a number of `Setting.unit` nanoseconds."""
    SIZE = "size"
    """`64MiB`, `1GB`; stored in bytes."""
    LIST = "list"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of one kind of thing, under the broker's own name."""

    name: str
    form: Form
    help: str
    """In a few words, for `--help`, the documentation and the schema of topology files."""
    unit: int = 1_000_000
    """Of a duration: how many nanoseconds the broker's unit has."""
    choices: tuple[str, ...] = ()
    fixed: str = ""
    """Why it cannot be changed once the thing exists; empty: it can."""
    items: Form = Form.TEXT
    """Of a list: the form of its items."""


Settings = Mapping[str, tuple[Setting, ...]]
"""Kind of declaration → the settings it takes."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One thing that ought to be there. Settings that are not named are left as they are, or as the broker would have them.

    Names: topic, stream, exchange and queue by their own; a consumer as `STREAM/NAME`; a binding as `binding_name` says.
    Values are as the broker counts (milliseconds, bytes), not as somebody typed them. None says that nothing is to be set: what
    was set is taken back, and the broker's default holds.
    """

    kind: str
    name: str
    settings: Mapping[str, SettingValue] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def binding(source: str, destination: str, routing_key: str = "", arguments: Mapping[str, SettingValue] | None = None) -> Declaration:
    """Declare that what the exchange `source` takes for `routing_key` goes to `destination` (`queue:NAME` or `exchange:NAME`)."""
    settings: dict[str, SettingValue] = {"source": source, "destination": destination, "routing_key": routing_key}
    if arguments:
        settings["arguments"] = dict(arguments)
    return Declaration("binding", binding_name(source, destination, routing_key, arguments or {}), settings)


def binding_name(source: str, destination: str, routing_key: str, arguments: Mapping[str, SettingValue]) -> str:
    """Return `SOURCE/KEY -> queue:NAME`, with the arguments where there are some: those are part of what a binding is. The source is spelled
    as in an address, and what else could be read as another binding's is quoted, so that no two have the same name."""
    told = f" ({', '.join(f'{_clear(name, *_IN_NAMES)}={_told(value)}' for name, value in sorted(arguments.items()))})" if arguments else ""
    return f"{_clear(spell_exchange(source))}/{_clear(routing_key, _ARROW)} -> {_clear(destination, _BRACKET)}{told}"


def _told(value: SettingValue) -> str:
    """Write an argument of a binding. null is `undefined`, as RabbitMQ calls it: the same binding has the same name by whomever it is told."""
    match value:
        case None:
            return "undefined"
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_told, value))}]"
        case dict():
            return f"{{{', '.join(f'{_clear(name, *_IN_NAMES)}: {_told(inner)}' for name, inner in sorted(value.items()))}}}"
        case str():
            return json.dumps(value, ensure_ascii=False) if _is_no_text(value) else _clear(value, *_IN_VALUES)
    return str(value)


def _clear(text: str, *misleading: str) -> str:
    """Quote a text where it would be read as more than itself."""
    return json.dumps(text, ensure_ascii=False) if text.startswith('"') or any(one in text for one in misleading) else text


def _is_no_text(value: str) -> bool:
    """Whether a text without quotes would be read as a number, as true or false, or not be seen."""
    try:
        float(value)
    except ValueError:
        return value in ("true", "false") or value != value.strip() or not value
    return True


class Action(StrEnum):
    """What a plan does about one declaration."""

    CREATE = "create"
    CHANGE = "change"
    UNCHANGED = "unchanged"
    CANNOT = "cannot"
    """It exists otherwise, and something that differs cannot be changed, only made anew."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not as declared. `have` is None where the broker does not say, or has none; `want` is None where it
    is the broker's default, and the broker does not say what that is."""

    setting: str
    have: SettingValue
    want: SettingValue
    obstacle: str = ""
    """Why it cannot be changed, and what would have to be made anew; empty: it can be changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan: what is declared, what differs, what is done about it."""

    declaration: Declaration
    action: Action
    differences: tuple[Difference, ...] = ()
    remarks: tuple[str, ...] = ()
    """What the user should know before it is done: how it is kept (a policy), what it costs (keys move, 1,200 messages go)."""
    handle: object = None
    """The backend's own, for `apply`."""


@dataclass(frozen=True, slots=True)
class RetrySpecification:
    """Retries of one source: tried, then tried again after each delay, then dead."""

    source: str
    """Topic, stream or queue whose messages are worked on; its name decides the names of the rest."""
    delays: tuple[int, ...]
    """Nanoseconds before the second, third, … try; the last one repeats where there are more attempts than delays."""
    attempts: int
    """How often a message is tried in all, the first time included."""
    dead_letter: str | None = None
    """Name of the dead-letter destination; None: the broker's convention (`<topic>.dlq`)."""
    consumer: str | None = None
    """JetStream: name of the durable consumer."""
    native: bool = False
    """Use the broker's own delayed retry where it has one instead of wait queues (RabbitMQ 4.3 quorum queues)."""
    settings: Mapping[str, SettingValue] = field(default_factory=dict)
    """Further settings of what is made (partitions, replication.factor, num_replicas), for all of it."""
    declared: Mapping[str, SettingValue] | None = None
    """What the source is declared with in the same topology: it need not be there yet. None: it has to be."""


@dataclass(frozen=True, slots=True)
class RetryTopology:
    """What a retry specification becomes."""

    declarations: tuple[Declaration, ...]
    worker: tuple[str, ...]
    """What a worker has to do so that it works, a sentence each: how it fails a message, where attempts are counted."""
    obsolete: tuple[Declaration, ...] = ()
    """What retries that were declared otherwise have left, holds no messages, and would get in the way: it is to be removed."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything that ought to be on one broker, or that part of it that somebody answers for."""

    declarations: tuple[Declaration, ...] = ()
    retries: tuple[RetrySpecification, ...] = ()
    prune: tuple[str, ...] = ()
    """Patterns (with * and ?, a kind may stand before: `queue:orders.*`) of what is to go where nothing here declares it. A
    pattern without a kind names no bindings and no consumers: those belong to others as well."""
