"""Messages put to many destinations at a time: each in the order given, and none waits for another's verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from brokercli.backends.contract import Backend, PublishPolicy, withheld_in_words
from brokercli.model.address import Address
from brokercli.model.errors import BrokercliError, NotAuthorised, Unreachable
from brokercli.model.message import Message
from brokercli.model.receipt import Receipt, Receipts, Verdict
from brokercli.operations.reading import SLICE
from brokercli.operations.settling import Settling

OPEN_WAYS = 64
_TOGETHER_SECONDS = 1.0
"""So long those that are done wait for the others, so that all are told together."""
_FIRST_WAIT = 0.001


@dataclass(slots=True, eq=False)
class _Part:
    """What goes one way in one call."""

    way: Address
    settling: Settling
    indices: list[int]
    """Places of its messages in the call."""


@dataclass(slots=True, eq=False)
class Homes:
    """Destinations on one broker. What cannot work at one is a reason for its own messages alone: the others go on."""

    backend: Backend
    policy: PublishPolicy
    on_judged: Callable[[Iterable[int]], None]
    """Told which messages of a call are confirmed, as soon as it is known; what it raises ends the call."""
    failure: BrokercliError | None = None
    """Why a destination takes nothing any more, the first such reason."""
    ended: BrokercliError | None = None
    """Why none takes anything any more."""
    notes: tuple[str, ...] = ()
    """What those have told that were closed."""

    _ways: dict[Address, tuple[Address, str | None] | str] = field(default_factory=dict)
    """Destination → what it is reached by and its route there, or why it cannot be."""
    _open: dict[Address, Settling] = field(default_factory=dict)
    _closed: dict[Address, str] = field(default_factory=dict)
    """Ways that take nothing any more, and why."""
    _at_work: list[_Part] = field(default_factory=list)
    """What has no verdict yet that was told."""
    _withheld: Counter[str] = field(default_factory=Counter)

    def put(self, messages: Sequence[Message], destinations: Sequence[Address]) -> Receipts:
        """Publish each message to its destination and return the verdicts; waits for all, each destination's delivery timeout at most. Raises
        what `on_judged` raises. Where the broker is gone for all of them, `ended` says so then."""
        receipts = Receipts()
        going = list(messages)
        by_way: dict[Address, list[int]] = {}
        for index, destination in enumerate(destinations):
            found = self._way(destination)
            if isinstance(found, str):
                _refuse(receipts, [index], found)
                continue
            way, route = found
            if route is not None:
                going[index] = replace(going[index], route=route)
            by_way.setdefault(way, []).append(index)
        # those that are open come first: with more ways than may be open fewer are opened anew
        ordered = sorted(by_way, key=lambda way: way not in self._open)
        for start in range(0, len(ordered), OPEN_WAYS):
            ways = ordered[start:start + OPEN_WAYS]
            self._make_room(ways)
            parts = [part for way in ways for part in self._begun(way, by_way[way], going, receipts)]
            self._settle(parts, receipts)
        return receipts

    def confirmed_so_far(self) -> Iterator[int]:
        """After a call that was cut short by a second Ctrl-C: yield which messages are confirmed of those `on_judged` was not told of."""
        parts, self._at_work = self._at_work, []
        for part in parts:
            for place in part.settling.confirmed_so_far():
                yield part.indices[place]

    def close(self) -> None:
        """Close what is open; what was to be told is among the notes. May be called twice."""
        self._let_go(list(self._open))
        if self._withheld:
            self._note([withheld_in_words(self._withheld)])
            self._withheld.clear()

    def _way(self, destination: Address) -> tuple[Address, str | None] | str:
        found = self._ways.get(destination)
        if found is None:
            try:
                found = self.backend.by_way_of(self.backend.resolve(destination, "publish"))
            except BrokercliError as problem:
                found = self._why_shut(destination, problem)
            self._ways[destination] = found
        return found

    def _why_shut(self, destination: Address, problem: BrokercliError) -> str:
        """Return in words why a destination cannot be opened. That there is none is no failure of the run."""
        if isinstance(problem, (Unreachable, NotAuthorised)):
            self._take_failure(problem)
        return f"{destination}: {problem}"

    def _take_failure(self, problem: BrokercliError) -> None:
        """Take in why a destination takes nothing any more, and find out whether it is the only one."""
        if isinstance(problem, Unreachable) and self.ended is None:
            try:
                self.backend.require_answer()
            except BrokercliError:
                self.ended = problem
        self.failure = self.failure or problem

    def _begun(self, way: Address, indices: list[int], messages: Sequence[Message], receipts: Receipts) -> list[_Part]:
        """Return what goes a way, if it can be gone; nothing is sent yet."""
        if self.ended is not None or way in self._closed:
            _refuse(receipts, indices, self._closed.get(way) or str(self.ended))
            return []
        settling = self._open.get(way)
        if settling is None:
            try:
                settling = self._open[way] = self._publisher(way)
            except BrokercliError as problem:
                self._closed[way] = self._why_shut(way, problem)
                _refuse(receipts, indices, self._closed[way])
                return []
        settling.begin([messages[index] for index in indices])
        return [_Part(way, settling, indices)]

    def _publisher(self, way: Address) -> Settling:
        return Settling(self.backend.publisher(way, self.policy), self.policy.delivery_timeout)

    def _settle(self, parts: list[_Part], receipts: Receipts) -> None:
        """Publish the messages of some ways, all at a time, and take the verdicts."""
        self._at_work = list(parts)
        began, wait = monotonic(), 0.0
        done: list[_Part] = []
        while parts:
            for part in list(parts):
                try:
                    if part.settling.go_on(wait if part is parts[0] else 0):
                        done.append(part)
                        parts.remove(part)
                except BrokercliError as problem:
                    parts.remove(part)
                    self._shut(part.way, problem)
                    self._tell([part], [part.settling.break_off(problem)], receipts)
            wait = min(SLICE, 2 * wait or _FIRST_WAIT)
            if done and parts and monotonic() - began >= _TOGETHER_SECONDS:
                self._finish(done, receipts)
                done = []
        self._finish(done, receipts)

    def _finish(self, parts: list[_Part], receipts: Receipts) -> None:
        judged = [part.settling.finish() for part in parts]
        for part in parts:
            if part.settling.failure is not None:
                self._shut(part.way, part.settling.failure)
            elif part.settling.in_vain:
                # every call would wait as long again, and the others' messages with it
                self._closed[part.way] = f"{part.way} takes nothing any more: it has confirmed nothing for {self.policy.delivery_timeout:g} s"
            self.failure = self.failure or part.settling.publisher.denied
        self._tell(parts, judged, receipts)

    def _shut(self, way: Address, problem: BrokercliError) -> None:
        self._closed[way] = f"{way} takes nothing any more: {problem}"
        self._take_failure(problem)

    def _tell(self, parts: list[_Part], judged: list[Receipts], receipts: Receipts) -> None:
        confirmed: list[int] = []
        for part, verdicts in zip(parts, judged, strict=True):
            named = verdicts.tell_apart(len(part.indices))
            for receipt in verdicts.problems:
                receipt.index = part.indices[receipt.index] if named else -1
            others = {receipt.index for receipt in verdicts.problems if receipt.verdict is not Verdict.CONFIRMED}
            confirmed += [index for index in part.indices if index not in others] if named else []
        self.on_judged(confirmed)
        # in one statement, between whose parts no signal is heard: some of them told once more would be taken for all of them
        self._at_work = [part for part in self._at_work if part not in parts]
        for verdicts in judged:
            receipts.add(verdicts)

    def _make_room(self, wanted: Sequence[Address]) -> None:
        if len({*self._open, *wanted}) > OPEN_WAYS:
            self._let_go([way for way in self._open if way not in wanted])

    def _let_go(self, ways: Sequence[Address]) -> None:
        for way in ways:
            publisher = self._open.pop(way).publisher
            publisher.close()
            self._note(publisher.notes)
            self._withheld.update(publisher.withheld)

    def _note(self, notes: Sequence[str]) -> None:
        self.notes += tuple(note for note in notes if note not in self.notes)


def _refuse(receipts: Receipts, indices: Sequence[int], why: str) -> None:
    for index in indices:
        receipts.count(Receipt(index, Verdict.REFUSED, reason=why))
