"""Dialects of one's own, from the configuration: which header means what.

    [dialects.acme]
    when = ["acme-origin"]                                  # headers that a letter has, all of them
    topic = "acme-origin"                                   # or subject, queue; exchange with routing_key
    partition = { header = "acme-partition", format = "int32" }
    exception_message = "acme-error"
    attempts = "acme-tries"
    strip = ["acme-*"]                                      # what does not go back; beside every header named above
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import KIND_OF, Decides, Reading
from brokercli.dialects.values import amqp_time_of, big_endian_of, integer_of, milliseconds_of, moment_of, text_of
from brokercli.dialects.written_fields import DECIDES
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.errors import UsageProblem
from brokercli.model.message import HeaderValue, Place

_NUMBERS: dict[str, Callable[[HeaderValue], int | None]] = {
    "decimal": integer_of,
    "int32": lambda value: big_endian_of(value, 4, 4),
    "int64": lambda value: big_endian_of(value, 8, 8),
    "bigint": lambda value: big_endian_of(value, 1, 9)}
_TIMES: dict[str, Callable[[HeaderValue], int | None]] = {
    "time": moment_of,
    "seconds": amqp_time_of,
    "milliseconds": lambda value: milliseconds_of(integer_of(value)),
    "int64-milliseconds": lambda value: milliseconds_of(big_endian_of(value, 8, 8))}
_TEXT_FIELDS = ("topic", "subject", "queue", "exchange", "routing_key", "stream", "reason", "exception", "exception_message", "stack_trace", "consumer",
                "group", "connector")
_NUMBER_FIELDS = ("partition", "offset", "sequence", "attempts")
_TIME_FIELDS = ("failed_at", "original_time")
_SETTINGS = ("when", "strip", "ignore_case", "take")
_LONGEST_NAME = 200


@dataclass(frozen=True)
class UserDialect:
    """A validated dialect from the configuration, to be given to `recognise` as `extra`."""

    name: str
    dialect: Dialect


@dataclass(frozen=True)
class _Field:
    header: str
    format: str


@dataclass(frozen=True)
class _Definition:
    name: str
    when: tuple[str, ...]
    fields: Mapping[str, _Field]
    ignores_case: bool
    take_first: bool


def parse_user_dialect(name: str, table: Mapping[str, object]) -> UserDialect:
    """Read one `[dialects.NAME]` table. Raises UsageProblem, naming the setting, for anything it does not understand."""
    _check_settings(name, table)
    ignores_case = table.get("ignore_case", False)
    if not isinstance(ignores_case, bool):
        raise UsageProblem(f"dialects.{name}.ignore_case is true or false.")
    take = table.get("take", "last")
    if take not in ("first", "last"):
        raise UsageProblem(f'dialects.{name}.take is "first" or "last": which of repeated headers counts.')
    fields = {setting: _parse_field(name, setting, table[setting]) for setting in table if setting not in _SETTINGS}
    when = _names(name, "when", table.get("when"))
    if not when:
        raise UsageProblem(f"dialects.{name}.when names no header.", hint="when = [\"…\"] lists the headers by which a letter is recognised")
    if not any(kind in fields for kind in ("topic", "subject", "queue", "exchange")):
        raise UsageProblem(f"dialects.{name} does not say which header holds the origin.", hint='for example: topic = "acme-origin"')
    strip = _names(name, "strip", table.get("strip", []))
    if any("*" in pattern.removesuffix("*") or pattern == "*" for pattern in strip):
        raise UsageProblem(f"dialects.{name}.strip holds names, or beginnings of names followed by *.")

    def folded(text: str) -> str:
        return text.lower() if ignores_case else text

    definition = _Definition(name, tuple(folded(header) for header in when), fields, ignores_case, take == "first")
    exact = {field.header for field in fields.values()} | set(when) | {pattern for pattern in strip if not pattern.endswith("*")}
    dialect = Dialect(name, lambda reading: _read(reading, definition), frozenset(KIND_OF), signs=frozenset(definition.when[:1]),
                      adds=frozenset(folded(header) for header in exact),
                      adds_prefixes=tuple(folded(pattern[:-1]) for pattern in strip if pattern.endswith("*")), ignores_case=ignores_case)
    return UserDialect(name, dialect)


def _read(reading: Reading, definition: _Definition) -> DeadLetter | None:
    def values(header: str, decides: Decides) -> list[HeaderValue]:
        return reading.folded(header.lower(), decides=decides) if definition.ignores_case else reading.all(header, decides=decides)

    def value(meaning: str) -> HeaderValue:
        field = definition.fields.get(meaning)
        found = values(field.header, DECIDES.get(meaning, Decides.HOME)) if field is not None else []
        return found[0 if definition.take_first else -1] if found else None

    def number(meaning: str) -> int | None:
        written = value(meaning)
        return None if written is None else _NUMBERS[definition.fields[meaning].format](written)

    if not all(values(header, Decides.NOTHING) for header in definition.when):
        return None
    place: Place = {}
    for meaning, check in (("partition", reading.partition), ("offset", reading.offset), ("sequence", reading.offset)):
        written = value(meaning)
        if written is not None:
            decoded = number(meaning)
            place[meaning] = check(definition.fields[meaning].header, written if decoded is None else decoded)
    if stream := text_of(value("stream")):
        place["stream"] = stream
    letter = reading.letter(definition.name, _homes(reading, definition, value, place))
    letter.reason, letter.exception, letter.exception_message = (text_of(value(name)) for name in ("reason", "exception", "exception_message"))
    letter.stack_trace, letter.consumer, letter.group = (text_of(value(name)) for name in ("stack_trace", "consumer", "group"))
    letter.connector = text_of(value("connector"))
    written = value("attempts")
    if written is not None:
        decoded = number("attempts")
        letter.attempts = reading.count(definition.fields["attempts"].header, written if decoded is None else decoded)
    died, sent = (definition.fields.get(name) for name in _TIME_FIELDS)
    if died is not None:
        header = died.header.lower() if definition.ignores_case else died.header
        letter.last_death = reading.time_of_death(header, _TIMES[died.format], folded=definition.ignores_case, first=definition.take_first)
    letter.original_time = _TIMES[sent.format](value("original_time")) if sent is not None else None
    letter.journey = (Hop(letter.homes[0].address.name, letter.reason, dict(place), letter.last_death, letter.attempts),) if letter.homes else ()
    return letter


def _homes(reading: Reading, definition: _Definition, value: Callable[[str], HeaderValue], place: Place) -> list[Home | None]:
    own = KIND_OF.get(reading.broker, "topic")
    homes: list[Home | None] = []
    for kind in (own, "topic", "subject", "queue"):
        if kind in definition.fields and value(kind) is not None:
            homes.append(reading.home(text_of(value(kind)), definition.fields[kind].header, place=place))
    if own == "queue" and "exchange" in definition.fields and value("exchange") is not None:
        exchange, key = text_of(value("exchange")), text_of(value("routing_key"))
        kind, name, route = ("exchange", exchange, key) if exchange else ("queue", key, None)
        homes.append(reading.home(name, definition.fields["exchange"].header, Confidence.GUESS if exchange else Confidence.CERTAIN, kind=kind, route=route,
                                  place={"exchange": exchange, "routing_key": key}))
    return homes


def _check_settings(name: str, table: Mapping[str, object]) -> None:
    known = (*_SETTINGS, *_TEXT_FIELDS, *_NUMBER_FIELDS, *_TIME_FIELDS)
    for setting in table:
        if setting not in known:
            near = get_close_matches(setting, known, 1)
            raise UsageProblem(f"dialects.{name} has a setting {setting[:80]!r}, which no dialect has.",
                               hint=f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")


def _parse_field(name: str, setting: str, value: object) -> _Field:
    formats = _NUMBERS if setting in _NUMBER_FIELDS else _TIMES if setting in _TIME_FIELDS else {"text": text_of}
    header, chosen = (value.get("header"), value.get("format", next(iter(formats)))) if isinstance(value, Mapping) else (value, next(iter(formats)))
    if isinstance(value, Mapping) and set(value) - {"header", "format"}:
        raise UsageProblem(f"dialects.{name}.{setting} holds header and format, nothing else.")
    if not isinstance(header, str) or not 0 < len(header) <= _LONGEST_NAME:
        raise UsageProblem(f"dialects.{name}.{setting} is not the name of a header.", hint=f'for example: {setting} = "acme-{setting}"')
    if not isinstance(chosen, str) or chosen not in formats:
        raise UsageProblem(f"dialects.{name}.{setting} has no format {str(chosen)[:40]!r}.", hint=f"formats: {', '.join(formats)}")
    return _Field(header, chosen)


def _names(name: str, setting: str, value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) and 0 < len(item) <= _LONGEST_NAME for item in listed):
        raise UsageProblem(f"dialects.{name}.{setting} is a list of header names.")
    return tuple(listed)
