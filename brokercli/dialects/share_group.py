"""Kafka share groups: dead letters written by the broker itself (KIP-1191, 4.4 line).

Numbers are decimal text. The record is only a pointer: key and body are null unless
errors.deadletterqueue.copy.record.enable is set, and the original's headers and time are missing in both cases
(verified on 4.4.0), so a faithful redrive fetches the original by its coordinates.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.model.dead_letter import DeadLetter, Hop

_PREFIX = "__dlq.errors."


def read(reading: Reading) -> DeadLetter | None:
    """Read the coordinates; without all three of them there is nothing to fetch."""
    topic = reading.text(f"{_PREFIX}topic")
    partition = reading.partition(f"{_PREFIX}partition", reading.last(f"{_PREFIX}partition"))
    offset = reading.offset(f"{_PREFIX}offset", reading.last(f"{_PREFIX}offset"))
    home = reading.home(topic, f"{_PREFIX}topic", place={"partition": partition, "offset": offset})
    message = reading.record.message
    copied = message.body is not None or message.key is not None
    if home is None or partition is None or offset is None:
        reading.remarks.append("it does not say where its original lies")
        reading.lost.append("the original's headers" if copied else "everything: the record is empty and points nowhere")
    letter = reading.letter(dialect.name, [home])
    if home is not None and partition is not None and offset is not None:
        letter.pointer = {"topic": topic, "partition": partition, "offset": offset}
    elif not copied:
        letter.pointer = {"topic": topic}  # never complete: nothing of the original is at hand
    letter.group = reading.text(f"{_PREFIX}group")
    letter.attempts = reading.count(f"{_PREFIX}delivery.count", reading.last(f"{_PREFIX}delivery.count"))
    letter.exception_message = reading.text(f"{_PREFIX}message")
    # the broker's own sentence, one of a few: "Offset rejected by client."
    letter.reason = letter.exception_message.rstrip(".")[:60].lower() or "rejected or delivered too often"
    letter.last_death = reading.record.time
    letter.journey = (Hop(topic, place={"partition": partition, "offset": offset}, count=letter.attempts),)
    return letter


dialect = Dialect("share group", read, frozenset({"kafka"}), sign_prefixes=(_PREFIX,), adds_prefixes=(_PREFIX,), reserved=True)
