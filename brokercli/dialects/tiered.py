"""The tiered convention of many Go services: `<topic>.retry.5s`, `.retry.30s`, `.retry.5m`, then `<topic>.dlq`, with
`x-attempts`, `x-retry-after` and `x-original-topic`.

Where the origin was not written, the name of the topic tells it. Left on a message that goes home, `x-attempts` would
make its next failure skip the tiers, and `x-retry-after` would hold it back.
"""

from __future__ import annotations

import re

from brokercli.dialects import generic
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.names import shown
from brokercli.dialects.reading import Reading
from brokercli.dialects.written_fields import read_fields
from brokercli.model.dead_letter import Confidence, DeadLetter

_TIER = re.compile(r"(.+?)(?:[.\-](?:retry(?:[.\-]\d+(?:ms|s|m|h|d)?)?|dlq|dlt|dead))+", re.IGNORECASE | re.ASCII)
_FIELDS = {**generic.FIELDS, "attempts": ("x-attempts",), "topic": ("x-original-topic",)}


def read(reading: Reading) -> DeadLetter | None:
    """Read the headers; None where neither a header nor the topic's name says where it came from."""
    match = _TIER.fullmatch(reading.lies_in[:500])
    if match is None and not reading.folded("x-original-topic"):
        return None
    letter = read_fields(reading, dialect.name, _FIELDS, Confidence.CERTAIN)
    # an origin that was written and cannot be one is forged or damaged, and no reason to guess
    if not letter.homes and match is not None and not reading.folded("x-original-topic"):
        home = reading.home(match[1], f"the name {shown(reading.lies_in)}", Confidence.LIKELY)
        letter.homes = (home,) if home is not None else ()
    letter.reason = letter.reason or "failed"
    return letter


dialect = Dialect("tiered retries", read, frozenset({"kafka", "nats", "rabbitmq"}), signs=frozenset({"x-attempts", "x-retry-after"}), by_headers=True,
                  ignores_case=True, adds=generic.NAMES | {"x-attempts", "x-retry-after", "x-original-topic"})
