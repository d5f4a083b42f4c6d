"""A letter from plain text headers whose names say what they mean: what home-made conventions have in common."""

from __future__ import annotations

from collections.abc import Mapping

from brokercli.dialects.reading import KIND_OF, Decides, Reading
from brokercli.dialects.values import integer_of, moment_of, text_of
from brokercli.model.dead_letter import Confidence, DeadLetter, Home, Hop
from brokercli.model.message import HeaderValue, Place

Fields = Mapping[str, tuple[str, ...]]
"""Meaning → header names in lower case, the best first. Meanings: topic, subject, queue, exchange, routing_key, stream,
partition, offset, sequence, reason, exception, exception_message, stack_trace, attempts, consumer, group, failed_at,
original_time; what else there is, is not read."""

DECIDES = {**dict.fromkeys(("stream", "partition", "offset", "sequence", "exception_message", "stack_trace", "original_time"), Decides.NOTHING),
           **dict.fromkeys(("reason", "exception", "attempts", "consumer", "group", "connector"), Decides.GROUP)}
"""What follows from each meaning; from one that is not here, where the letter goes."""


def read_fields(reading: Reading, dialect: str, fields: Fields, confidence: Confidence) -> DeadLetter:
    """Read a letter by names, whatever their case. A home of the broker's own kind has `confidence`, others are guesses."""
    fields = _present(fields, reading.folded_names)

    def text(meaning: str) -> str:
        return reading.first_text(*fields.get(meaning, ()), decides=DECIDES.get(meaning, Decides.HOME))

    def value(meaning: str) -> HeaderValue:
        decides = DECIDES.get(meaning, Decides.HOME)
        return next((values[-1] for name in fields.get(meaning, ()) if (values := reading.folded(name, decides=decides))), None)

    place: Place = {}
    for meaning, check in (("partition", reading.partition), ("offset", reading.offset), ("sequence", reading.offset)):
        written = value(meaning)
        if written is not None:
            place[meaning] = check(f"the original {meaning}", written if integer_of(written) is not None else _by_look(reading, meaning, written))
    if stream := text("stream"):
        place["stream"] = stream
    letter = reading.letter(dialect, _homes(reading, fields, confidence, place))
    letter.reason = text("reason")
    letter.exception, letter.exception_message, letter.stack_trace = text("exception"), text("exception_message"), text("stack_trace")
    letter.consumer, letter.group = text("consumer"), text("group")
    letter.attempts = reading.count("the number of attempts", value("attempts"))
    letter.last_death = next((reading.time_of_death(name, moment_of, folded=True) for name in fields.get("failed_at", ())), None)
    letter.original_time = moment_of(value("original_time"))
    where = next((text(meaning) for meaning in ("topic", "subject", "queue", "exchange") if text(meaning)), "")
    letter.journey = (Hop(where, letter.reason, dict(place), letter.last_death, letter.attempts),) if where else ()
    return letter


# letters of one kind have headers of the same names, and a convention knows hundreds of spellings
_narrowed: dict[tuple[int, tuple[str, ...]], tuple[Fields, Fields]] = {}
_KINDS_REMEMBERED = 512


def _present(fields: Fields, names: tuple[str, ...]) -> Fields:
    """Return the fields with only those spellings that are among `names`, in their order."""
    key = id(fields), names
    known = _narrowed.get(key)
    if known is not None and known[0] is fields:
        return known[1]
    there = frozenset(names)
    found = {meaning: tuple(name for name in spellings if name in there) for meaning, spellings in fields.items()}
    if len(_narrowed) >= _KINDS_REMEMBERED:
        _narrowed.clear()
    _narrowed[key] = fields, found
    return found


def _homes(reading: Reading, fields: Fields, confidence: Confidence, place: Place) -> list[Home | None]:
    homes: list[Home | None] = []
    own = KIND_OF.get(reading.broker, "topic")
    for kind in (own, *(other for other in ("topic", "subject", "queue") if other != own)):
        for name in fields.get(kind, ()):
            for value in reading.folded(name)[:1]:
                homes.append(reading.home(text_of(value), name, confidence if kind == own else Confidence.GUESS, place=place))
    key = reading.first_text(*fields.get("routing_key", ()))
    for name in fields.get("exchange", ()) if own == "queue" else ():
        for value in reading.folded(name)[:1]:
            exchange = text_of(value)
            if exchange:
                homes.append(reading.home(exchange, f"{name} and routing key; every queue bound there gets it again", Confidence.GUESS,
                                          kind="exchange", route=key, place={"exchange": exchange, "routing_key": key}))
            elif key:
                homes.append(reading.home(key, f"routing key through the default exchange ({name} is empty)", confidence, place=place))
    return homes


def _by_look(reading: Reading, meaning: str, value: HeaderValue) -> HeaderValue:
    """Read a number that is no decimal text: four or eight bytes on Kafka are what Java programs write."""
    if reading.broker == "kafka" and isinstance(value, bytes) and len(value) in (4, 8):
        number = int.from_bytes(value, "big", signed=True)
        reading.remarks.append(f"the original {meaning} is {len(value)} bytes of binary, read as the big-endian number {number}")
        return number
    return value
