"""Which partition a message goes to that names none, where it is to be known before it is sent."""

from __future__ import annotations

from collections.abc import Collection
from random import choice

_SEED, _FACTOR, _32_BITS = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def partition_of(key: bytes | None, partitions: int, avoided: Collection[int]) -> int:
    """Return what `murmur2_random`, with which we publish, makes of a key, be it an avoided one or not: whoever reads the others of that key
    reads it there. Without a key any that is not avoided does."""
    if key is None:
        return choice([number for number in range(partitions) if number not in avoided])
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """Return Kafka's hash of a key (org.apache.kafka.common.utils.Utils.murmur2), unsigned."""
    hashed = _SEED ^ len(key)
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        four = int.from_bytes(key[at:at + 4], "little") * _FACTOR & _32_BITS
        four = (four ^ four >> 24) * _FACTOR & _32_BITS
        hashed = hashed * _FACTOR & _32_BITS ^ four
    if key[whole:]:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _32_BITS
    hashed = (hashed ^ hashed >> 13) * _FACTOR & _32_BITS
    return hashed ^ hashed >> 15
