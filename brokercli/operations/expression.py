"""`--where`: a CEL expression over a record's envelope.

The language is that of the PyPI package `common-expression-language` (extra `cel`): Rust, 200,000 evaluations a second against
4,000 of `cel-python`, exact integers up to 64 bits, regular expressions in linear time. Its `size` counts the bytes of a string.
"""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from importlib import machinery, util
from typing import Any

import orjson

from brokercli.backends.envelope import MESSAGE_KEYS, PLACE_KEYS
from brokercli.backends.envelope_values import INTEGER_BITS
from brokercli.model.amount import amount
from brokercli.model.errors import Failed, UsageProblem

# the parser of version 0.10.0 panics, with a trace on standard error, while it reports an error beyond column 65,535
LONGEST = 4096
NAMES = ("broker", *PLACE_KEYS, *MESSAGE_KEYS, "header")
"""What an expression can ask about: the envelope's keys, `value` (the body where it is JSON) and `header` (name → first value; a number whatever
its type)."""
_TYPES = frozenset({"int", "uint", "double", "string", "bytes", "bool", "list", "map", "type", "null_type"})
_FUNCTIONS = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches", "string", "int", "uint", "double", "bytes", "type", "dyn", "duration", "timestamp",
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
})
_MACROS = ("has", "all", "exists", "exists_one", "map", "filter")
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_PLACE = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?(.+)")
_EXAMPLE = "for example: --where 'value.amount > 100 && header[\"x-attempts\"] == \"3\"'"


class Expression:
    """A compiled expression. A record it cannot be evaluated for (a field that is missing, types that do not compare)
    does not match; `unevaluated` counts those that miss no field, and `problem` says the first reason of one."""

    def __init__(self, text: str) -> None:
        """Raises UsageProblem, with the place, for what is no expression; Failed where the library is not installed."""
        if len(text) > LONGEST:
            raise UsageProblem(f"--where has {amount(len(text), 'character')}; {LONGEST:,} is the most.")
        library = _library()
        try:
            self._program = library.compile(text)
        except ValueError as problem:
            raise _syntax(str(problem)) from None
        references = self._program.references()
        _check_names(text, references["variables"], references["functions"])
        self._names = [name for name in NAMES if name in references["variables"] and name not in ("value", "header")]
        self._wants_value = "value" in references["variables"]
        self._wants_header = "header" in references["variables"]
        self.unevaluated = 0
        self.problem = ""

    def forget(self) -> None:
        """Count anew."""
        self.unevaluated, self.problem = 0, ""

    def matches(self, line: bytes) -> bool:
        """Return whether it is true of the record with this envelope."""
        envelope = orjson.loads(line)
        # only what is asked for: turning a whole envelope into CEL's values costs three times the evaluation
        known = {name: envelope.get(name) for name in self._names}
        if self._wants_value:
            known["value"] = _value(envelope)
        if self._wants_header:
            known["header"] = {header["name"]: _number(header["value"]) for header in reversed(envelope["headers"]) if isinstance(header["name"], str)}
        try:
            result = self._program.execute(known)
        except (KeyError, IndexError):
            return False
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as problem:
            self.unevaluated += 1
            self.problem = self.problem or str(problem).splitlines()[0].split(". ")[0]
            return False
        if result is True or result is False:
            return result
        self.unevaluated += 1
        self.problem = self.problem or f"it gives {str(result)[:60]!r}, which is neither true nor false"
        return False


def _number(value: object) -> object:
    """Return a number without the type that the envelope says of it: which one AMQP's clients choose, nobody who asks knows."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, number),) = value.items()
    if isinstance(number, (int, float)):
        return number
    return int(number) if kind in INTEGER_BITS else value


def _value(envelope: dict[str, Any]) -> object:
    body = envelope.get("body")
    if "value" in envelope or not isinstance(body, str):
        return envelope.get("value")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _check_names(text: str, variables: list[str], functions: list[str]) -> None:
    bound = set(_BOUND.findall(text))
    for name in variables:
        if name not in NAMES and name not in _TYPES and name not in bound:
            near = get_close_matches(name, NAMES, 1, 0.75)
            raise UsageProblem(f"--where asks about {name}, which no envelope has.",
                               hint=f"did you mean {near[0]}?" if near else f"a field of a JSON body is value.{name}")
    for name in functions:
        if name.isidentifier() and name not in _FUNCTIONS:
            near = get_close_matches(name, [*_FUNCTIONS, *_MACROS], 1)
            raise UsageProblem(f"--where calls {name}(), which is no function.",
                               hint=f"did you mean {near[0]}()?" if near else f"functions: {', '.join(sorted(_FUNCTIONS))}; {', '.join(_MACROS)}")


def _syntax(problem: str) -> UsageProblem:
    place = _PLACE.search(problem)
    if place is None:
        return UsageProblem(f"--where is no expression: {problem.splitlines()[0][:200]}.", hint=_EXAMPLE)
    line, column, reason = place.groups()
    # the rest of the reason is the parser's list of everything it would have taken
    reason = reason.partition(" expecting ")[0].replace("'<EOF>'", "the end")
    reason = re.sub("(?:mismatched|extraneous) input", "unexpected", reason)
    reason = re.sub(r"token recognition error at: '(.*)'$", r"cannot read \1", reason)
    return UsageProblem(f"--where is no expression: {reason} at character {column}{f' of line {line}' if line != '1' else ''}.", hint=_EXAMPLE)


def _library() -> Any:
    # the package itself loads a whole interactive shell (95 ms); its extension module alone takes 3 ms, and loads only once
    if "cel.cel" in sys.modules:
        return sys.modules["cel.cel"]
    package = util.find_spec("cel")
    module = None if package is None else machinery.PathFinder.find_spec("cel.cel", package.submodule_search_locations)
    if module is None or module.loader is None:
        raise Failed("--where needs the CEL library, which is not installed.", hint="pip install 'brokercli[cel]'")
    library = util.module_from_spec(module)
    module.loader.exec_module(library)
    sys.modules["cel.cel"] = library
    return library
