"""Uber's kafka-client for Go and its consumer proxy, uForwarder: the metadata is the record's key, a protobuf message; the body is the
original's.

`DLQMetadata {int64 retry_count=1; string topic=2; int32 partition=3; int64 offset=4; int64 timestamp_ns=5; bytes
data=6; int64 timeout_count=7}`, `data` being the original key (internal/consumer/dlqMetadata.proto and dlq.go; the last field
and the original's headers are the proxy's, which writes milliseconds: dlq_metadata.proto, ProcessorMessage). These fields of two
wire types are read here by a few lines rather than by a protobuf library; anything that is not exactly this is somebody's key.
"""

from __future__ import annotations

from dataclasses import replace

from brokercli.dialects.dialect import Dialect
from brokercli.dialects.names import problem_with
from brokercli.dialects.reading import Reading
from brokercli.dialects.values import MILLISECOND
from brokercli.model.dead_letter import Confidence, DeadLetter, Hop

_VARINTS = {1: "retry_count", 3: "partition", 4: "offset", 5: "timestamp", 7: "timeout_count"}
_BYTES = {2: "topic", 6: "data"}
_LONGEST_KEY = 1 << 20
_FIRST_BYTES = frozenset([number << 3 for number in _VARINTS] + [number << 3 | 2 for number in _BYTES])
# the client's first release was in 2017
_OLDEST, _NEWEST = 1_300_000_000_000_000_000, 4_500_000_000_000_000_000


def read(reading: Reading) -> DeadLetter | None:
    """Read a key that is a complete DLQMetadata with a topic and a believable time; None for any other key."""
    key = reading.record.message.key
    if key is None:
        return None
    fields = decode_metadata(key)
    if fields is None:
        return None
    numbers, texts = fields
    topic = texts.get("topic", b"").decode("ascii", "replace")
    timestamp = numbers.get("timestamp", 0)
    if _OLDEST <= timestamp * MILLISECOND <= _NEWEST:
        timestamp *= MILLISECOND
    if problem_with("topic", topic) is not None or not _OLDEST <= timestamp <= _NEWEST:
        return None
    confidence = Confidence.CERTAIN if reading.lies_in.lower().endswith(("dlq", "retry")) else Confidence.LIKELY
    place = {"partition": reading.partition("partition in the key", numbers.get("partition", 0)),
             "offset": reading.offset("offset in the key", numbers.get("offset", 0))}
    letter = reading.letter(dialect.name, [reading.home(topic, "the topic in the key's DLQMetadata", confidence, place=dict(place))])
    letter.reason = "failed"
    letter.attempts = reading.count("retry_count in the key", numbers.get("retry_count", 0))
    letter.original_time = timestamp
    letter.unwrapped = replace(reading.record.message, key=texts.get("data"))
    if "data" not in texts:
        reading.remarks.append("the original's key was null or empty, which this format does not tell apart; it goes back as null")
    if not reading.headers:
        reading.lost.append("the original's headers: the client for Go writes none")
    if reading.record.message.body == b"":
        reading.remarks.append("the original's body was null or empty, which the client for Go does not tell apart; it goes back as empty")
    letter.journey = (Hop(topic, place=dict(place), count=letter.attempts),)
    return letter


def decode_metadata(key: bytes) -> tuple[dict[str, int], dict[str, bytes]] | None:
    """Return the numbers and the byte strings of a DLQMetadata; None unless the whole key is one."""
    numbers: dict[str, int] = {}
    texts: dict[str, bytes] = {}
    position = 0
    while position < len(key):
        tag, position = _varint(key, position)
        number, wire_type = tag >> 3, tag & 7
        value, position = _varint(key, position) if position >= 0 else (0, -1)
        if position < 0:
            return None
        if wire_type == 0 and number in _VARINTS:
            numbers[_VARINTS[number]] = value - (1 << 64) if value >= 1 << 63 else value
        elif wire_type == 2 and number in _BYTES and position + value <= len(key):
            texts[_BYTES[number]] = key[position:position + value]
            position += value
        else:
            return None
    return numbers, texts


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, least first, and where the next begins; -1 where there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value, position) if value < 1 << 64 else (0, -1)
    return 0, -1


def may_hold(key: bytes | None, body: bytes | None) -> bool:
    """Whether a key has the length of a DLQMetadata and begins with one of its fields."""
    return key is not None and 12 <= len(key) <= _LONGEST_KEY and key[0] in _FIRST_BYTES


dialect = Dialect("uber kafka-client", read, frozenset({"kafka"}), may_hold=may_hold)
