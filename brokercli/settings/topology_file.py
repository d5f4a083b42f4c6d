"""Topology files: everything that ought to be on one broker, in TOML, and where in one something is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from brokercli.backends.registry import Descriptor, known_settings, settings_of
from brokercli.model.declaration import KINDS, Declaration, Form, RetrySpecification, Setting, SettingValue, Topology, binding
from brokercli.model.errors import Unsupported, UsageProblem
from brokercli.model.retrying import retry_settings, retry_specification
from brokercli.model.setting_value import Unfit, find_setting, find_unset, nearest, read_value
from brokercli.settings.file import line_of

UNSET = "unset"
"""In a thing's table: the settings that are to be as the broker has them by default."""
TOP_KEYS = ("broker", "prune", *KINDS, "retry")
BINDING = (
    Setting("source", Form.TEXT, "the exchange messages come from"), Setting("destination", Form.TEXT, "where they go: queue:NAME or exchange:NAME"),
    Setting("routing_key", Form.TEXT, "the routing key they have"), Setting("arguments", Form.TABLE, "arguments of the binding: a headers exchange's match"),
)
RETRY = (
    Setting("attempts", Form.WHOLE, "how often a message is tried in all"),
    Setting("delays", Form.LIST, "how long to wait before the second, third, … try"),
    Setting("dead_letter", Form.TEXT, "where a message goes after its last try"),
    Setting("consumer", Form.TEXT, "JetStream: the durable consumer that is worked with"),
    Setting("native", Form.FLAG, "RabbitMQ 4.3: let a quorum queue delay by itself"),
    Setting("settings", Form.TABLE, "settings for all that is made"),
)
_SHORTEST_CUT = 60
"""So many characters of a name an objection says at least."""
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    name: str
    text: str
    descriptor: Descriptor

    def problem(self, path: Path, message: str, hint: str | None = None) -> UsageProblem:
        return UsageProblem(f"{self.place(path)}: {message.rstrip('.')}.", hint=hint)

    def place(self, path: Path) -> str:
        return f"{self.name}:{line_of(self.text, path)}"


def read_topology(text: str, name: str, descriptor: Descriptor) -> Topology:
    """Read a file's text; `name` is what it is called in errors.

    Raises UsageProblem naming the line of what is not known or does not fit, Unsupported for a kind this broker does not have.
    """
    reading = _Reading(name, text, descriptor)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        at = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(problem))
        where, why = (f"{name}:{at[2]}:{at[3]}", at[1]) if at else (name, str(problem))
        raise UsageProblem(f"{where}: this is not TOML: {why}.", hint='texts, and names with dots, are quoted: [topic."orders.created"]') from None
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        raise UsageProblem(f"{name} holds a number with far too many digits.") from None
    for key in document:
        if key not in TOP_KEYS:
            raise reading.problem((key,), f"{key!r} is nothing that can be declared", nearest(key, TOP_KEYS))
    if document.get("broker", descriptor.name) != descriptor.name:
        raise reading.problem(("broker",), f"this file is for {document['broker']}, and the broker chosen is {descriptor.title}",
                              "--context NAME chooses another")
    declarations = [one for kind in KINDS if kind in document for one in _declarations(reading, kind, document[kind])]
    retries = [_retry(reading, source, table) for source, table in _table(reading, ("retry",), document.get("retry", {})).items()]
    return Topology(tuple(declarations), tuple(retries), _prune(reading, document.get("prune", [])))


def _declarations(reading: _Reading, kind: str, value: object) -> list[Declaration]:
    try:
        known = known_settings(reading.descriptor, kind)
    except Unsupported as problem:
        raise Unsupported(f"{reading.place((kind,))}: {problem}", hint=problem.hint) from None
    if kind == "binding":
        return _bindings(reading, value)
    found = []
    for name, table in _table(reading, (kind,), value).items():
        if kind == "consumer" and not all(name.partition("/")):
            raise reading.problem((kind, name), f"{name!r} is no consumer: a stream and a name are", 'for example: [consumer."ORDERS/worker"]')
        path, whose = (kind, name), f"the {kind} {name}"
        rest = {key: value for key, value in table.items() if key != UNSET} if isinstance(table, dict) else table
        settings = _settings(reading, path, rest, known, whose)
        unset = _unset(reading, (*path, UNSET), table[UNSET], known, whose) if isinstance(table, dict) and UNSET in table else []
        if twice := next((one for one in unset if one in settings), None):
            raise reading.problem((*path, UNSET), f"{whose} sets {twice} and unsets it", "leave one of them out")
        found.append(Declaration(kind, name, settings | dict.fromkeys(unset)))
    return found


def _unset(reading: _Reading, path: Path, value: object, known: Sequence[Setting], whose: str) -> list[str]:
    """Read the names of the settings that are to be as the broker has them by default."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        example = next((one.name for one in known if one.form is Form.DURATION and not one.fixed), known[0].name)
        raise reading.problem(path, f"{UNSET} is not a list of names of settings", f'for example: {UNSET} = ["{example}"]')
    try:
        return [find_unset(name, known, whose).name for name in value]
    except Unfit as unfit:
        raise reading.problem(path, unfit.message, unfit.hint) from None


def _bindings(reading: _Reading, value: object) -> list[Declaration]:
    if not isinstance(value, list):
        raise reading.problem(("binding",), "bindings are a list of tables", "each begins with a line [[binding]]")
    found: dict[str, Declaration] = {}
    for index, table in enumerate(value):
        path: Path = ("binding", index)
        settings = _settings(reading, path, table, BINDING, "a binding")
        for needed in ("source", "destination"):
            if not settings.get(needed):
                raise reading.problem(path, f"this binding has no {needed}", 'for example: source = "orders", destination = "queue:billing"')
        kind, colon, name = str(settings["destination"]).partition(":")
        destination = f"{kind}:{name}" if colon and kind in ("queue", "exchange") else f"queue:{settings['destination']}"
        arguments = settings.get("arguments")
        one = binding(str(settings["source"]), destination, str(settings.get("routing_key", "")), arguments if isinstance(arguments, dict) else None)
        if one.name in found:
            raise reading.problem(path, f"the binding {one.name} is declared twice")
        found[one.name] = one
    return list(found.values())


def _retry(reading: _Reading, source: str, table: object) -> RetrySpecification:
    path: Path = ("retry", source)
    said = _settings(reading, path, table, RETRY, f"the retry of {source}")
    delays, attempts, settings = said.get("delays", []), said.get("attempts"), said.get("settings", {})
    assert isinstance(delays, list)
    assert isinstance(settings, dict)
    known = retry_settings(settings_of(reading.descriptor))
    try:
        wanted = retry_specification(source, [str(delay) for delay in delays], attempts if isinstance(attempts, int) else None,
                                     dead_letter=_text(said.get("dead_letter")), consumer=_text(said.get("consumer")), native=said.get("native") is True)
    except UsageProblem as problem:
        hint = (problem.hint or "").replace("--delays 5s,30s,5m", 'delays = ["5s", "30s", "5m"]').replace("--attempts ", "attempts = ")
        raise reading.problem((*path, "delays") if delays else path, str(problem), hint) from None
    return replace(wanted, settings=_settings(reading, (*path, "settings"), settings, known, f"the retry of {source}"))


def _prune(reading: _Reading, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(pattern, str) and pattern for pattern in value):
        raise reading.problem(("prune",), "prune is not a list of patterns", 'for example: prune = ["orders.*", "binding:orders/*"]')
    return tuple(value)


def _table(reading: _Reading, path: Path, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        kind = path[0]
        raise reading.problem(path, f"{kind} is no table", f'for example: [{kind}."orders"]')
    return value


def _settings(reading: _Reading, path: Path, table: object, known: Sequence[Setting], whose: str) -> dict[str, SettingValue]:
    if not isinstance(table, dict):
        raise reading.problem(path, f"{whose} is no table", "write what it is made with below its name, or {} for the broker's defaults")
    names = {setting.name for setting in known}
    settings: dict[str, SettingValue] = {}
    for name, (where, value) in _flat(table, names, path).items():
        try:
            settings[name] = read_value(find_setting(name, known, whose), value)
        except Unfit as unfit:
            hint = unfit.hint
            if len(path) == 2 and isinstance(table.get(str(where[len(path)])), dict) and name not in names:
                hint = f'a name with dots is quoted: [{path[0]}."{path[1]}.{where[len(path)]}"]'
            message = unfit.message if name not in names else f"{name}: {unfit.message}"
            raise reading.problem(where, message, hint) from None
    return settings


def _flat(table: Mapping[str, object], names: set[str], path: Path, before: str = "") -> dict[str, tuple[Path, object]]:
    """`retention.ms = "7d"` without quotes is a table in TOML, and is meant as the setting of that name."""
    found: dict[str, tuple[Path, object]] = {}
    for key, value in table.items():
        name, here = f"{before}{key}", (*path, key)
        if name not in names and isinstance(value, dict) and value:
            found |= _flat(value, names, here, f"{name}.")
        else:
            found[name] = (here, value)
    return found


def _text(value: SettingValue) -> str | None:
    return value if isinstance(value, str) and value else None


def read_topology_file(path: str, read: bytes, descriptor: Descriptor) -> Topology:
    """Read the bytes of a file; `-` is standard input. Raises as `read_topology`."""
    name = "standard input" if path == "-" else path
    try:
        return read_topology(read.decode("utf-8-sig"), name, descriptor)
    except UnicodeDecodeError as problem:
        line = read[:problem.start].count(b"\n") + 1
        raise UsageProblem(f"{name}:{line}: the file is not UTF-8.", hint="save it as UTF-8") from None
    except RecursionError:
        raise UsageProblem(f"{name} is nested too deeply.") from None


def place_of_problem(problem: str, topology: Topology, read: bytes, path: str) -> str | None:
    """Return file and line of the declaration that a broker's objection speaks of, None where it names none of this file."""
    bindings = [one for one in topology.declarations if one.kind == "binding"]
    named: list[tuple[str, Path]] = [(retry.source, ("retry", retry.source)) for retry in topology.retries]
    ends: list[tuple[str, Path]] = []
    for one in topology.declarations:
        here: Path = ("binding", bindings.index(one)) if one.kind == "binding" else (one.kind, one.name)
        named += [(one.name, here)] + ([(one.name.partition("/")[0], here)] if one.kind == "consumer" else [])
        ends += [(str(one.settings[end]).removeprefix("queue:").removeprefix("exchange:"), here) for end in ("source", "destination") if end in one.settings]
    # of two that fit equally well, the one that declares it comes before a binding that leads to it
    found = [(name, here) for name, here in named + ends if _speaks_of(problem, name)]
    if not found:
        return None
    text = read.decode("utf-8-sig")
    return f"{'standard input' if path == '-' else path}:{line_of(text, max(found, key=lambda one: len(one[0]))[1])}"


def _speaks_of(problem: str, name: str) -> bool:
    """Whether an objection names this. Names that nothing can have are written there as Python writes them, long ones cut short."""
    cut = repr(name[:_SHORTEST_CUT])[:-1] if len(name) > _SHORTEST_CUT else repr(name)
    return cut in problem or re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", problem) is not None
