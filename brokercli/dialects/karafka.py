"""Karafka for Ruby: the dead letter queues of Karafka Pro (build_dlq_message of its DLQ strategy). Karafka without Pro writes the
bodies alone, so that its letters are unknown.

All values are text. The names begin with `source_` since 2.5.0, and with `original_` before; then the record's key is the number of the
partition it came from, and its own is in `original_key`.
"""

from __future__ import annotations

from dataclasses import replace

from brokercli.dialects.coordinates import read_coordinates
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.model.dead_letter import DeadLetter

_PREFIXES = ("source_", "original_")
_NAMES = ("topic", "partition", "offset", "consumer_group", "attempts")
_KEY = "original_key"


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter; None without all that each has: piped messages have names of these as well, but no attempts."""
    prefix = next((prefix for prefix in _PREFIXES if all(reading.all(f"{prefix}{name}") for name in _NAMES)), None)
    if prefix is None:
        return None
    origin = read_coordinates(reading, prefix)
    letter = reading.letter(dialect.name, origin.homes)
    letter.reason = "failed"
    letter.group = reading.text(f"{prefix}consumer_group")
    letter.attempts = reading.count(f"{prefix}attempts", reading.last(f"{prefix}attempts"))
    letter.journey = origin.journey
    key = reading.last(_KEY)
    if isinstance(key, bytes) and reading.record.message.key == reading.last(f"{prefix}partition"):
        letter.unwrapped = replace(reading.record.message, key=key or None)
        if not key:
            reading.remarks.append("the original's key was null or empty, which Karafka does not tell apart here; it goes back as null")
    return letter


dialect = Dialect("karafka", read, frozenset({"kafka"}), signs=frozenset(f"{prefix}attempts" for prefix in _PREFIXES),
                  adds=frozenset(f"{prefix}{name}" for prefix in _PREFIXES for name in _NAMES) | {_KEY, "source_trace_id"})
