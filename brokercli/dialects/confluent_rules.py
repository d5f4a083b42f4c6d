"""Confluent's Schema Registry: the DLQ action of a rule that failed (DlqAction of its Java and Python clients).

All values are text. What failed when it was read is here in the bytes it had, but for the key, which is there only where it was read by
such a deserialiser as well; of one whose key failed there is no body. What failed when it was written was never stored: it is here as
JSON, from before it was serialised. A letter does not say where in its topic it lay. Left on a message, `__rule.name` makes its
readers skip the rule.
"""

from __future__ import annotations

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import text_of
from brokercli.model.dead_letter import DeadLetter, Hop

_PREFIX = "__rule."


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter; None without the rule and the topic. Of repeated headers the last are the latest failure's."""
    topics = reading.all(f"{_PREFIX}topic")
    if not topics or not reading.all(f"{_PREFIX}name"):
        return None
    letter = reading.letter(dialect.name, [reading.home(text_of(topics[-1]), f"{_PREFIX}topic")])
    mode = reading.text(f"{_PREFIX}mode").lower()
    letter.reason = f"rule on {mode}" if mode in ("read", "write") else "rule"
    letter.exception_message = reading.text(f"{_PREFIX}exception")
    letter.consumer = reading.text(f"{_PREFIX}name")
    letter.journey = tuple(Hop(text_of(topic)) for topic in topics)
    _say_what_is_lost(reading, letter, mode)
    return letter


def _say_what_is_lost(reading: Reading, letter: DeadLetter, mode: str) -> None:
    message = reading.record.message
    if mode != "read":
        why = "a rule that fails when a message is written leaves it as JSON, from before it was serialised"
    elif message.body is None:
        why = "a rule that fails on the key leaves none"
    else:
        why = ""
    if why:
        letter.homes = ()
        reading.without_body(f"{_PREFIX}topic", letter.journey[-1], why)
    elif message.key is None:
        reading.lost.append("the original's key, if it had one that no deserialiser with rules has read")


dialect = Dialect("confluent rules", read, frozenset({"kafka"}), signs=frozenset({f"{_PREFIX}name"}), adds_prefixes=(_PREFIX,))
