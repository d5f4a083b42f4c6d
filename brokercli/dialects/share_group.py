"""Kafka share groups: dead letters written by the broker itself (KIP-1191, 4.4 line).

Numbers are decimal text. The record is only a pointer: key and body are null unless
errors.deadletterqueue.copy.record.enable is set, and the original's headers and time are missing in both cases
(verified on 4.4.0), so a faithful redrive fetches the original by its coordinates.
"""

from __future__ import annotations

from dataclasses import replace

from brokercli.dialects.coordinates import point_at, read_coordinates
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.model.dead_letter import DeadLetter

_PREFIX = "__dlq.errors."


def read(reading: Reading) -> DeadLetter | None:
    """Read the coordinates; without all three of them there is nothing to fetch."""
    origin = read_coordinates(reading, _PREFIX)
    letter = reading.letter(dialect.name, origin.homes)
    point_at(reading, letter, origin)
    letter.group = reading.text(f"{_PREFIX}group")
    letter.attempts = reading.count(f"{_PREFIX}delivery.count", reading.last(f"{_PREFIX}delivery.count"))
    letter.exception_message = reading.text(f"{_PREFIX}message")
    # the broker's own sentence, one of a few: "Offset rejected by client."
    letter.reason = letter.exception_message.rstrip(".")[:60].lower() or "rejected or delivered too often"
    letter.last_death = reading.record.time
    letter.journey = (*origin.journey[:-1], *(replace(hop, count=letter.attempts) for hop in origin.journey[-1:]))
    return letter


dialect = Dialect("share group", read, frozenset({"kafka"}), sign_prefixes=(_PREFIX,), adds_prefixes=(_PREFIX,), reserved=True)
