"""What a broker promises about its consumers: see them, say how far they are, move them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from brokercli.model.address import Address
from brokercli.model.consumption import Consumption, Lag, Seek
from brokercli.model.description import Description
from brokercli.model.position import Position


class Consumers(ABC):
    """The consumer side of an open backend (`Backend.consumers`). Names are those that `find` gives."""

    notes: Sequence[str] = ()
    """What the last `find` or `names` could not see, and why (a broker away): whole once it is over."""

    def name_of(self, text: str) -> str:
        """Return the name, or the pattern of names, that somebody means who types this. Asks nobody."""
        return text

    @abstractmethod
    def find(self, patterns: Sequence[str] = ()) -> Iterable[Consumption]:
        """Yield consumers by name; `patterns` (with * and ?) narrow. Changes nothing, joins no group."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return their names only, as fast as the broker can say them: for completion."""

    def not_shown(self) -> str:
        """Say why there may be more than `find` and `names` give where the broker shows this login only some, without a word; empty where it shows
        all. Costs questions: for when nothing was found."""
        return ""

    @abstractmethod
    def describe(self, name: str) -> Description:
        """Explain one: members and where they run, settings, how far it is. Raises NotFound."""

    @abstractmethod
    def lag(self, name: str) -> Sequence[Lag]:
        """Return how far one is, a line for each source or partition, in order. Raises NotFound."""

    @abstractmethod
    def plan_seek(self, name: str, position: Position, source: Address | None = None) -> Seek:
        """Say where a seek to `position` would go, in every partition or in those the position names; `source` narrows a
        group that reads several. Changes nothing.

        Raises NotFound, OutOfRange where the position is not stored, Unsupported, with the reason, where this kind of
        consumer cannot be moved.
        """

    @abstractmethod
    def seek(self, planned: Seek) -> None:
        """Do it. Raises Failed, and has changed nothing, where members are active or the positions are no longer those
        that were planned on."""

    def now(self, name: str) -> int:
        """Return what time it is (nanoseconds since 1970) where one is kept, which is what its pauses end by; ours where the broker does not tell.
        Raises NotFound."""
        del name
        return time.time_ns()

    @abstractmethod
    def pause(self, name: str, until: int) -> None:
        """Stop deliveries until a moment (nanoseconds since 1970). Raises Unsupported where the broker cannot."""

    @abstractmethod
    def resume(self, name: str) -> None:
        """Deliver again. Raises as `pause`."""

    def goes_with(self, name: str) -> Sequence[str]:
        """Say what removing one does to messages that are stored: how many go, or are left without anybody who takes them; a
        sentence each, nothing where nothing happens to them. Changes nothing. Raises what `remove` would raise now."""
        return ()

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete it with what it remembers; what happens to messages by that, `goes_with` says before.
        Raises NotFound, Failed where members are active, Unsupported where nothing is kept that could be removed."""
