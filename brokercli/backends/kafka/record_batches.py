"""The bodies in record batches as they are stored and sent (magic 2, KIP-98), taken out many at a time.

A record is a sequence of fields of which each says how long it is, so where the next one begins is known only once one has been read. A regular
expression that lists the lengths that were met so far reads a whole batch in one call: from where a record begins there is one way at most in which
it fits, so that by induction from the front every record is read as it is. A batch in which one does not fit is read field by field, and teaches
its lengths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from struct import Struct
from typing import NamedTuple

HEAD = 61
"""Bytes of a batch in front of its records."""
_UP_TO_LENGTH = 12
_MOST_LENGTHS = 2000
_SAMPLE = 200
"""So many records are read field by field before the first batch is read in one call."""
# offset, length, leader's epoch, magic, checksum, attributes, last offset, first and largest time, producer, its epoch, sequence, count
_HEAD = Struct(">qiibIhiqqqhii")
_MAGIC = 2
_LOG_APPEND_TIME = 0x08
"""What may be said of a batch that is read here. Others are compressed, belong to a transaction, or end one."""
_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
_NULL = b"\1"


class Unreadable(Exception):
    """A batch that is not for this way of reading."""


class RecordBatch(NamedTuple):
    """Where a batch lies: its first offset and the one behind its last, and in what was received the places of its records, and how many
    they are. Compaction leaves fewer than offsets. `epoch` is that of the leader who stored it."""

    first: int
    following: int
    begin: int
    end: int
    number: int
    epoch: int


def batches_in(content: memoryview, begin: int, end: int) -> Iterator[RecordBatch]:
    """Yield the batches that are there whole. Raises Unreadable at the first that is compressed, or of a transaction, or older than magic 2."""
    while begin + HEAD <= end:
        first, length, epoch, magic, _, attributes, last, *_, count = _HEAD.unpack_from(content, begin)
        following = begin + _UP_TO_LENGTH + length
        if magic != _MAGIC or attributes & ~_LOG_APPEND_TIME or length < HEAD - _UP_TO_LENGTH or count < 0:
            raise Unreadable
        if following > end:
            return
        yield RecordBatch(first, first + last + 1, begin + HEAD, following, count, epoch)
        begin = following


class Bodies:
    """Takes bodies out of batches; a null body is empty. It learns while it reads."""

    def __init__(self) -> None:
        self._keys: set[int] = set()
        self._bodies: set[int] = set()
        self._pieces: set[int] = set()
        """Lengths of headers' names and values."""
        self._headers: set[int] = set()
        """How many headers records have."""
        self._cut = 0
        self._find = re.compile(b"(?s:.+)").findall
        self.read = self.batches = self.misses = 0

    @property
    def pays(self) -> bool:
        """Whether this is faster than other ways, by what was read so far: not where lengths hardly ever come back, or batches are tiny."""
        lengths = len(self._keys) + len(self._bodies) + len(self._pieces) + len(self._headers)
        return (self.misses <= 16 + self.batches // 4 and lengths <= _MOST_LENGTHS and (self.batches < 100 or self.read >= 8 * self.batches))

    def of(self, content: memoryview, batch: RecordBatch, start: int, end: int) -> list[bytes]:
        """Return the bodies at offsets from `start` up to `end`, not included. Raises Unreadable for what is no record."""
        self.batches += 1
        self.read += batch.number
        dense = batch.following - batch.first == batch.number
        whole = start <= batch.first and batch.following <= end
        if whole or dense:
            found = self._all(content, batch)
            return found if whole else found[max(0, start - batch.first):max(0, end - batch.first)]
        return [body or b"" for offset, _, body, _ in _records(content, batch) if start <= batch.first + offset < end]

    def _all(self, content: memoryview, batch: RecordBatch) -> list[bytes]:
        if not self._bodies:
            self._learn(islice(_records(content, batch), _SAMPLE))
        found: list[bytes] = self._find(content, batch.begin, batch.end)
        # from a place on where no record fits, all is found as one that is empty
        if len(found) == batch.number and all(found):
            cut = self._cut
            return [piece[cut:] for piece in found] if cut else [piece[1 + (piece[0] > 127):] if len(piece) < 8194 else _uncounted(piece) for piece in found]
        self.misses += 1
        records = list(_records(content, batch))
        self._learn(records)
        return [body or b"" for _, _, body, _ in records]

    def _learn(self, records: Iterable[_Record]) -> None:
        for _, key, body, headers in records:
            self._keys.add(-1 if key is None else len(key))
            self._bodies.add(-1 if body is None else len(body))
            self._headers.add(len(headers))
            self._pieces.update(-1 if piece is None else len(piece) for header in headers for piece in header)
        sizes = {len(_written(length)) for length in self._bodies}
        self._cut = sizes.pop() if len(sizes) == 1 else 0
        piece = _one_of(self._pieces)
        counted = b"|".join(re.escape(_written(count)) + (b"(?:%b%b){%d}" % (piece, piece, count) if count else b"") for count in sorted(self._headers))
        # length, attributes, time, offset, key, body, headers
        record = b"%b\0%b%b%b(%b)(?:%b)" % (_NUMBER, _NUMBER, _NUMBER, _one_of(self._keys), _one_of(self._bodies), counted)
        self._find = re.compile(b"(?s:%b|.+)" % record).findall


_Record = tuple[int, bytes | None, bytes | None, list[tuple[bytes | None, bytes | None]]]
"""Offset within the batch, key, body, headers."""


def _one_of(lengths: Iterable[int]) -> bytes:
    """Return an expression for a field of one of these lengths, with its length in front. Those that begin alike stand together: `re` looks at the
    first byte of each way before it takes it."""
    by_first: dict[bytes, list[bytes]] = {}
    for length in sorted(lengths):
        written = _written(length)
        by_first.setdefault(written[:1], []).append(re.escape(written[1:]) + (b".{%d}" % length if length > 0 else b""))
    return b"(?:%b)" % b"|".join(re.escape(first) + b"(?:%b)" % b"|".join(rest) for first, rest in by_first.items())


def _written(number: int) -> bytes:
    """Write a number as records do: the sign last, seven bits a byte, the lowest first."""
    number = number << 1 if number >= 0 else -number * 2 - 1
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes((*written, number))


def _uncounted(piece: bytes) -> bytes:
    """Return a body without its length in front."""
    return piece[next(index for index, byte in enumerate(piece) if byte < 128) + 1:]


def _records(content: memoryview, batch: RecordBatch) -> Iterator[_Record]:
    """Read a batch field by field. Raises Unreadable where that does not come out."""
    data = bytes(content[batch.begin:batch.end])
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value >> 1 ^ -(value & 1)
            shift += 7

    def field() -> bytes | None:
        nonlocal at
        length = number()
        if length < -1 or at + length > len(data):
            raise Unreadable
        begin, at = at, at + max(0, length)
        return None if length < 0 else data[begin:at]

    try:
        for _ in range(batch.number):
            end = number() + at
            at += 1
            number()
            offset = number()
            key, body = field(), field()
            headers = [(field(), field()) for _ in range(number())]
            if at != end:
                raise Unreadable
            yield offset, key, body, headers
    except IndexError:
        raise Unreadable from None
    if at != len(data):
        raise Unreadable
