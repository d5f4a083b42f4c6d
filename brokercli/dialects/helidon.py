"""Helidon Messaging on Kafka: `nack-dlq` of versions up to 4 (KafkaNackHandler; verified on 3.2.0), and the dead-letter channels that
succeed it (KafkaOutgoingConnector).

All values are text. `nack-dlq` names the topic of the letters in a header `topic`, in place of one that the message had. Its successor
writes no failure, but counts the attempts and tells the time of the original.
"""

from __future__ import annotations

from brokercli.dialects.coordinates import read_coordinates
from brokercli.dialects.dialect import Dialect
from brokercli.dialects.reading import Decides, Reading
from brokercli.dialects.values import integer_of, milliseconds_of
from brokercli.model.dead_letter import DeadLetter

_ORIGIN, _CHANNEL = "dlq-orig-", "helidon_messaging_dead_letter_"
_ERROR, _MESSAGE, _TOPIC = "dlq-error", "dlq-error-msg", "topic"


def read(reading: Reading) -> DeadLetter | None:
    """Read a letter of a dead-letter channel."""
    origin = read_coordinates(reading, _ORIGIN)
    letter = reading.letter(dialect.name, origin.homes)
    letter.reason = "exception"
    letter.exception = reading.text(_ERROR)
    letter.exception_message = reading.text(_MESSAGE, decides=Decides.NOTHING)
    letter.attempts = reading.count(f"{_CHANNEL}attempts", reading.last(f"{_CHANNEL}attempts"))
    letter.original_time = milliseconds_of(integer_of(reading.last(f"{_ORIGIN}timestamp", decides=Decides.NOTHING)))
    letter.journey = origin.journey
    return letter


def read_nacked(reading: Reading) -> DeadLetter | None:
    """Read a letter of `nack-dlq`; None without the failure and the topics."""
    if not all(reading.all(name) for name in (_ERROR, _TOPIC, f"{_ORIGIN}topic")):
        return None
    letter = read(reading)
    reading.lost.append("the original's header topic, if it had one: Helidon writes over it")
    return letter


_ADDS, _PREFIXES = frozenset({_ERROR, _MESSAGE}), (_ORIGIN, _CHANNEL)
dialect = Dialect("helidon", read, frozenset({"kafka"}), signs=frozenset({f"{_ORIGIN}topic"}), adds=_ADDS, adds_prefixes=_PREFIXES)
nacked = Dialect("helidon", read_nacked, frozenset({"kafka"}), signs=frozenset({_ERROR}), adds=_ADDS | {_TOPIC}, adds_prefixes=_PREFIXES)
