"""A set of handled offsets as the text of a committed offset's metadata, as short as can be.

Kafka keeps 4,095 characters with each committed offset and counts characters, not bytes (verified on 4.4), so a set that
is too large for base64 is written with 15 bits to a character, all of them from one block without surrogates.

Within: the gaps between the runs and the lengths of the runs, Golomb-Rice coded with a parameter from their median, so
that a scattered letter costs about two bits more than the logarithm of its distance to the next; a value that is far off
is escaped. A checksum tells our text from anybody else's.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from binascii import crc32
from collections.abc import Sequence
from dataclasses import dataclass

from brokercli.backends.kafka.handled_set import HandledSet, Run

CHARACTERS = 4095
"""What a broker with its default offset.metadata.max.bytes=4096 keeps; 4,096 it refuses (verified on 4.4)."""
_NARROW, _WIDE = "brokercli1:", "brokercli1="
_ANY = "brokercli"
_FIRST = 0x3400
_BITS = 15
_ESCAPE = 24
_UNARY = ["1" * count + "0" for count in range(_ESCAPE)]
_SCATTERED_BITS = 10.0


class NotOurs(ValueError):
    """The metadata is none of ours, or damaged."""


class FromTheFuture(ValueError):
    """The metadata is of a version that this one cannot read."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a metadata text says."""

    handled: HandledSet
    topic_tag: int
    """A number made from the topic's id; 0 where the broker has none."""
    minutes: int
    """When it was written, minutes since 1970."""


@dataclass(frozen=True, slots=True)
class Room:
    """What one offset's metadata may hold."""

    characters: int = CHARACTERS
    wide: bool = True
    """Whether the broker counts characters; otherwise it counts bytes."""

    @property
    def bits(self) -> int:
        """How many bits fit."""
        return max(0, self.characters - len(_WIDE)) * (_BITS if self.wide else 6)


def write(handled: HandledSet, topic_tag: int, minutes: int, room: Room) -> str | None:
    """Write a set; None when there is no room for it. History below the floor is given up before that."""
    text = _fit(_bits(handled, topic_tag, minutes), room)
    if text is None and handled.floor > handled.base:
        text = _fit(_bits(handled.without_history(), topic_tag, minutes), room)
    return text


def more_that_fit(handled: HandledSet, room: Room) -> int:
    """Estimate how many letters, each far from any other handled one, still fit."""
    above = handled.without_history()
    used = len(_bits(above, 0, 0))
    each = max(_SCATTERED_BITS, used / len(above.runs) if len(above.runs) > 100 else 0)
    return max(0, int((room.bits - used) / each))


def read(floor: int, text: str) -> Written:
    """Read what `write` wrote for the offset `floor`. Raises NotOurs or FromTheFuture."""
    if text.startswith(_NARROW):
        try:
            data = b64decode(text[len(_NARROW):] + "=" * (-(len(text) - len(_NARROW)) % 4), b"-_", validate=True)
        except (NotBase64, ValueError):
            raise NotOurs(text[:40]) from None
        bits = "".join(format(byte, "08b") for byte in data)
    elif text.startswith(_WIDE):
        numbers = [ord(character) - _FIRST for character in text[len(_WIDE):]]
        if not all(0 <= number < 1 << _BITS for number in numbers):
            raise NotOurs(text[:40])
        bits = "".join(format(number, "015b") for number in numbers)
    elif text.startswith(_ANY):
        raise FromTheFuture(text[:40])
    else:
        raise NotOurs(text[:40])
    try:
        return _parse(floor, _Bits(bits))
    except (IndexError, ValueError):
        raise NotOurs(text[:40]) from None


def _fit(bits: str, room: Room) -> str | None:
    padded = bits + "0" * (-len(bits) % 8)
    if len(_NARROW) + -(-len(padded) // 6) <= room.characters:
        return _NARROW + urlsafe_b64encode(int(padded, 2).to_bytes(len(padded) // 8, "big")).decode().rstrip("=")
    if room.wide and len(bits) <= room.bits:
        padded = bits + "0" * (-len(bits) % _BITS)
        return _WIDE + "".join(chr(_FIRST + int(padded[at:at + _BITS], 2)) for at in range(0, len(padded), _BITS))
    return None


def _bits(handled: HandledSet, topic_tag: int, minutes: int) -> str:
    runs = handled.runs
    fates = {run[2] for run in runs}
    gaps = _gaps(handled.base, runs)
    lengths = [stop - start - 1 for start, stop, _ in runs]
    gap_order, length_order = _order(gaps), _order(lengths)
    parts = [format(topic_tag, "032b"), format(minutes, "032b"), _number(handled.floor - handled.base), format(handled.below, "02b"),
             _number(handled.redriven), _number(handled.dropped), _number(len(runs)), "1" if len(fates) > 1 else "0", "1" if True in fates else "0",
             format(gap_order, "06b"), format(length_order, "06b")]
    if len(fates) > 1:
        for (_, _, dropped), gap, length in zip(runs, gaps, lengths, strict=True):
            parts += ("1" if dropped else "0", _rice(gap, gap_order), _rice(length, length_order))
    else:
        for gap, length in zip(gaps, lengths, strict=True):
            parts += (_rice(gap, gap_order), _rice(length, length_order))
    body = "".join(parts)
    return format(_checksum(body), "032b") + body


def _gaps(base: int, runs: Sequence[Run]) -> list[int]:
    """Return how far each run is from the one before; between two of the same fate there is at least one, not counted."""
    gaps, end, before = [], base, None
    for start, stop, dropped in runs:
        gaps.append(start - end - (dropped is before))
        end, before = stop, dropped
    return gaps


def _parse(floor: int, bits: _Bits) -> Written:
    checksum = bits.plain(32)
    begin = bits.at
    topic_tag, minutes = bits.plain(32), bits.plain(32)
    base = floor - bits.number()
    below, redriven, dropped, count = bits.plain(2), bits.number(), bits.number(), bits.number()
    mixed, all_dropped, gap_order, length_order = bits.plain(1), bool(bits.plain(1)), bits.plain(6), bits.plain(6)
    runs, end, before = [], base, None
    for _ in range(count):
        fate = bool(bits.plain(1)) if mixed else all_dropped
        start = end + bits.rice(gap_order) + (fate is before)
        end, before = start + bits.rice(length_order) + 1, fate
        runs.append(Run(start, end, fate))
    handled = HandledSet(base, runs, below, redriven, dropped)
    if _checksum(bits.text[begin:bits.at]) != checksum or handled.floor != floor:
        raise NotOurs("checksum")
    return Written(handled, topic_tag, minutes)


def _checksum(bits: str) -> int:
    return crc32(bits.encode())


def _order(values: list[int]) -> int:
    # of a geometric distribution the median's logarithm is the best parameter, and outliers do not move it
    return max(0, sorted(values)[len(values) // 2].bit_length() - 1) if values else 0


def _rice(value: int, order: int) -> str:
    quotient = value >> order
    if quotient >= _ESCAPE:
        return "1" * _ESCAPE + _number(value)
    return _UNARY[quotient] + format(value & ((1 << order) - 1), f"0{order}b") if order else _UNARY[quotient]


def _number(value: int) -> str:
    """Elias' gamma code: as many noughts as the number has bits after its first, then the number."""
    digits = format(value + 1, "b")
    return "0" * (len(digits) - 1) + digits


class _Bits:
    """Reads codes from a text of noughts and ones; beyond its end raises ValueError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def plain(self, width: int) -> int:
        piece = self.text[self.at:self.at + width]
        if len(piece) < width:
            raise ValueError("too short")
        self.at += width
        return int(piece, 2) if width else 0

    def number(self) -> int:
        noughts = self.text.index("1", self.at) - self.at
        self.at += noughts
        return self.plain(noughts + 1) - 1

    def rice(self, order: int) -> int:
        end = self.text.find("0", self.at, self.at + _ESCAPE)
        if end < 0:
            self.at += _ESCAPE
            return self.number()
        quotient = end - self.at
        self.at = end + 1
        return quotient << order | self.plain(order)
