"""Whether a body is what its type `amqp-1.0` says: sections of AMQP 1.0 as they are encoded.

RabbitMQ takes any, and reads it when it makes a message of AMQP 1.0 of it: where that fails it ends the session of whoever consumes the queue over
AMQP 1.0, again and again, and of a stream the connection of whoever publishes (verified on 4.3.6).
"""

from __future__ import annotations

from brokercli.backends.rabbitmq.exact_properties import decode_properties, split_headers

_TYPE, _ENCODED = 0x20, b"amqp-1.0"
"""The flag of the property in the second octet of the flags, and what it says."""
_DESCRIBED = 0x00
_NAMES = {0x75: b"amqp:data:binary", 0x76: b"amqp:amqp-sequence:list", 0x77: b"amqp:amqp-value:*", 0x78: b"amqp:footer:map"}
_SECTIONS = frozenset(form for code, name in _NAMES.items()
                      for form in (b"\x53%c" % code, b"\x80%b" % code.to_bytes(8, "big"), b"\xa3%c%b" % (len(name), name)))
"""What there is of a message behind its properties, as a descriptor may be written."""
_FIXED = {**dict.fromkeys((0x40, 0x41, 0x42, 0x43, 0x44, 0x45), 0), **dict.fromkeys((0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56), 1),
          **dict.fromkeys((0x60, 0x61), 2), **dict.fromkeys((0x70, 0x71, 0x72, 0x73, 0x74), 4), **dict.fromkeys((0x80, 0x81, 0x82, 0x83, 0x84), 8),
          **dict.fromkeys((0x94, 0x98), 16)}
"""Constructor → how many octets the value has."""
_SIZED = {**dict.fromkeys((0xA0, 0xA1, 0xA3, 0xC0, 0xC1, 0xE0), 1), **dict.fromkeys((0xB0, 0xB1, 0xB3, 0xD0, 0xD1, 0xF0), 4)}
"""Constructor → how many octets say how many the value has."""
_COMPOUND = (0xC0, 0xC1, 0xD0, 0xD1)
_DEEPEST = 64


def not_what_it_says(properties: bytes, body: bytes) -> str:
    """Return why a body does not go with such encoded properties; empty where it does."""
    # asked of every message: that there is no type, or another, is seen at a glance
    if not properties[1] & _TYPE or _ENCODED not in properties or is_encoded(body) or decode_properties(split_headers(properties)[0])["type"] != _ENCODED:
        return ""
    return ("its type is amqp-1.0 and its body is no value of AMQP 1.0 as it is encoded: it would end the connection of whoever consumes it over"
            " AMQP 1.0")


def is_encoded(body: bytes) -> bool:
    """Whether a body is at least one whole section, and nothing else."""
    offset = 0
    try:
        while offset < len(body):
            described = _end_of(body, offset + 1, 0)
            if body[offset] != _DESCRIBED or body[offset + 1:described] not in _SECTIONS:
                return False
            offset = _end_of(body, described, 0)
    except (IndexError, KeyError):
        return False
    return 0 < offset == len(body)


def _end_of(octets: bytes, offset: int, depth: int) -> int:
    """Return where the value that begins there ends. Raises KeyError for what is none, IndexError for one that is cut off."""
    constructor = octets[offset]
    offset += 1
    if depth > _DEEPEST:
        raise KeyError(depth)
    if constructor == _DESCRIBED:
        return _end_of(octets, _end_of(octets, offset, depth + 1), depth + 1)
    width = _SIZED.get(constructor, 0)
    end = offset + width + (int.from_bytes(octets[offset:offset + width], "big") if width else _FIXED[constructor])
    if end > len(octets):
        raise IndexError(end)
    if constructor in _COMPOUND:
        count, offset = int.from_bytes(octets[offset + width:offset + 2 * width], "big"), offset + 2 * width
        for _ in range(count):
            offset = _end_of(octets, offset, depth + 1)
        if offset != end:
            raise IndexError(offset)
    return end
