"""Messages that go before a look comes to them: a stream's limits overtake it, or somebody deletes them."""

from __future__ import annotations

from brokercli.backends.nats.span import Source
from brokercli.model.amount import amount


class Overtaken:
    """Counts them by the sequences that have no message, and had one when the look began or were given since. Each method returns what there is
    to say then."""

    def __init__(self, source: Source, start: int, end: int | None) -> None:
        self._first = max(start, source.first)
        self._end = end
        self._holes = source.holes(start, end)
        self._read = 0
        self._gone = self._said = 0

    def read(self, count: int, following: int) -> list[str]:
        """Take so many messages as read, which are all that there is below the sequence `following`."""
        self._read += count
        if self._holes is not None:
            self._gone = (following if self._end is None else min(following, self._end)) - self._first - self._holes - self._read
        return self._new("{} went unread (deleted, or by the stream's limits); how many in all is said at the end") if (
            self._end is None and not self._said) else []

    def at_the_end(self) -> list[str]:
        """Nothing more comes of a look that ends."""
        if self._end is None or self._holes is None:
            return []
        self.read(0, self._end)
        held = self._end - self._first - self._holes
        return self._new(f"{{}} of the {amount(held, 'message')} that were there at the start went before they could be read", f"{self._gone:,}")

    def stopped(self) -> list[str]:
        """A look that does not end is over."""
        return self._new("{} in all went unread") if self._end is None else []

    def _new(self, words: str, count: str = "") -> list[str]:
        if self._gone <= self._said:
            return []
        self._said = self._gone
        return [words.format(count or amount(self._gone, "message"))]
