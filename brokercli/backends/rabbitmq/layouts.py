"""Properties and headers read where those of a letter before stood: letters of one consumer have the same ones, and most of the same lengths.

What is found out when a letter is read with care are the places of its values. In another one that is as long, and in which everything else
is the same (which properties there are, the headers' names and types, and every length), values stand in those very places, and one call
takes them all out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from brokercli.backends.rabbitmq.encoded_headers import EncodedName, head_length, split_table
from brokercli.backends.rabbitmq.exact_properties import headers_in, places, split_headers

_TRIALS = 1000
"""So many letters are read before it is judged whether layouts pay."""
_AS_LONG = 4
"""So many layouts of one length are known; trying one costs a tenth of reading a letter."""
_MOST = 1024


class Form(NamedTuple):
    """What letters have in common whose properties and headers have other values, longer ones or shorter ones."""

    properties: tuple[str, ...]
    names: tuple[EncodedName, ...]
    types: bytes
    """The octets of the headers' types."""


class Layout:
    """Where values stand in properties that are as long as those it was made from."""

    def __init__(self, encoded: bytes) -> None:
        """Read properties with care. Raises ValueError where the headers among them are no table."""
        fixed, table = split_headers(encoded)
        headers = split_table(table) if table else []
        set_ones = places(encoded)
        own = [(start, end) for _, start, end in set_ones]
        values: list[tuple[int, int]] = []
        offset = headers_in(encoded)[0] + 4
        for name, value in headers:
            begin = offset + len(name.octets)
            offset = begin + len(value)
            values.append((begin, offset))
        self.size = len(encoded)
        self.flags = fixed[:2]
        """Which properties there are, the headers not counted."""
        self.table = headers_in(encoded)
        """Where the headers begin, with the table's length in front, and end; where there are none, where they would."""
        self.headers_at = [(begin - len(name.octets), end) for (begin, end), (name, _) in zip(values, headers, strict=True)]
        """Where each of them does, its name in front."""
        self.form = Form(tuple([name for name, _, _ in set_ones]), tuple([name for name, _ in headers]), bytes([value[0] for _, value in headers]))
        # a value's type, and its length where that is in front of it, are the same in all
        free = sorted([*own, *[(begin + head_length(value), end) for (begin, end), (_, value) in zip(values, headers, strict=True)]])
        between = zip([0, *[end for _, end in free]], [*[start for start, _ in free], len(encoded)], strict=True)
        self._constants = taking(between, len(encoded))
        self._same = self._constants.unpack(encoded)
        self._values = taking(values, len(encoded))
        self._properties = taking(own, len(encoded))

    def fits(self, encoded: bytes) -> bool:
        """Whether properties that are as long have their values in the same places."""
        return self._constants.unpack(encoded) == self._same

    def headers(self, encoded: bytes) -> tuple[tuple[EncodedName, bytes], ...]:
        """Return the headers in properties that fit, their values encoded."""
        return tuple(zip(self.form.names, self.values(encoded), strict=True))

    def values(self, encoded: bytes) -> tuple[bytes, ...]:
        """Return the values of these headers alone."""
        return self._values.unpack(encoded)

    def properties(self, encoded: bytes) -> tuple[bytes, ...]:
        """Return what stands at the places of the form's properties."""
        return self._properties.unpack(encoded)


class Layouts:
    """The layouts of what was read."""

    def __init__(self) -> None:
        self._of_length: dict[int, list[Layout]] = {}
        self._forms: dict[Form, Form] = {}
        self._looked_up = 0
        self._learned = 0

    def find(self, encoded: bytes) -> Layout | None:
        """Return the layout of properties. None where letters are so different that finding it costs more than it saves. Raises ValueError where the
        headers among them are no table."""
        self._looked_up += 1
        as_long = self._of_length.get(len(encoded), ())
        for layout in as_long:
            if layout.fits(encoded):
                return layout
        if self._learned > max(_TRIALS, self._looked_up // 8) or len(as_long) >= _AS_LONG:
            return None
        self._learned += 1
        if self._learned % _MOST == 0:
            self._of_length.clear()
            self._forms.clear()
        layout = Layout(encoded)
        # one object for each, which is found by what it is and not by what it holds
        layout.form = self._forms.setdefault(layout.form, layout.form)
        self._of_length.setdefault(len(encoded), []).append(layout)
        return layout


LAYOUTS = Layouts()
"""Those of this process."""


def taking(spans: Iterable[tuple[int, int]], size: int) -> struct.Struct:
    """Return what takes these spans, one behind the other, out of so many octets."""
    form, at = ">", 0
    for start, end in spans:
        form += f"{start - at}x{end - start}s"
        at = end
    return struct.Struct(f"{form}{size - at}x")
