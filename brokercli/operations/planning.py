"""What would become of dead letters, counted: before anything is done to them, and as it is decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from brokercli.backends.contract import Batch
from brokercli.backends.dead_letters import LetterReader, State
from brokercli.dialects.generic import counts_tries
from brokercli.model.address import Address
from brokercli.model.message import Message
from brokercli.operations.decisions import Decision, Rules
from brokercli.operations.letters import LetterFilter, Recogniser, read_matching
from brokercli.operations.reading import batches
from brokercli.operations.sorting import Sorter


@dataclass(slots=True)
class Plan:
    """What a run would do, counted."""

    letters: int = 0
    destinations: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """How many of those left are refused."""
    stripped: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    counters: set[str] = field(default_factory=set)
    """Headers that go back and whose names say that tries are counted in them."""
    derived: Counter[str] = field(default_factory=Counter)
    """What the homes were read from, and how sure that is."""
    withheld: Counter[str] = field(default_factory=Counter)
    """What does not go along because it steers the broker, where that was asked for."""
    addresses: dict[str, Address] = field(default_factory=dict)
    """Those of the destinations, by how they are told."""

    def take(self, decision: Decision, times: int = 1) -> None:
        """Enter one decision, and so many alike."""
        self.letters += times
        letter = decision.letter
        if decision.left:
            self.left[decision.left] += times
            self.refused += times if decision.refused else 0
            return
        destination = "(dropped)" if decision.destination is None else str(decision.destination)
        self.destinations[destination] += times
        if decision.destination is not None:
            self.addresses[destination] = decision.destination
        if decision.message is None or decision.message is letter.record.message:
            return
        for counts, names in ((self.stripped, letter.stripped), (self.stripped, [f"property {name}" for name in letter.stripped_properties]),
                              (self.lost, letter.lost)):
            for name in names:
                counts[name] += times
        self.counters.update(name for name, _ in decision.message.headers if counts_tries(name))
        if letter.home is not None and decision.destination == letter.home.address:
            self.derived[f"{letter.home.derived} ({letter.home.confidence})"] += times

    def take_all(self, decisions: Sequence[Decision]) -> None:
        """Enter many; those that follow each other and are alike are worked out once."""
        first: Decision | None = None
        times = 0
        for decision in decisions:
            if first is not None and _alike(first, decision):
                times += 1
                continue
            if first is not None:
                self.take(first, times)
            first, times = decision, 1
        if first is not None:
            self.take(first, times)


def plan(reader: LetterReader, recogniser: Recogniser, rules: Rules, letter_filter: LetterFilter, *, limit: int | None = None,
         stopping: Callable[[], bool] = lambda: False, on_progress: Callable[[int], None] = lambda count: None,
         on_decision: Callable[[Decision], None] | None = None, withholds: Callable[[Message], Sequence[str]] = lambda message: ()) -> Plan:
    """Decide on every pending letter and count; nothing is changed. Each decision is shown to `on_decision`. `withholds` names what of a
    message would not go along; letters of one kind have headers of the same names, and are asked for once."""
    counted = Plan()
    going = 0

    def take(decision: Decision, times: int = 1) -> None:
        nonlocal going
        counted.take(decision, times)
        going += 0 if decision.left else times
        if decision.message is not None and not decision.left:
            counted.withheld.update(dict.fromkeys(withholds(decision.message), times))

    sorter = Sorter(recogniser, rules) if letter_filter.everything and limit is None and on_decision is None else None
    for batch in batches(reader, lambda: stopping() or (limit is not None and going >= limit)):
        if sorter is None or not _plan_together(take, reader, sorter, batch):
            for letter in chain.from_iterable(read_matching(recogniser, letter_filter, batch)):
                if reader.state(letter.record) is State.PENDING and (limit is None or going < limit):
                    decision = rules.decide(letter, 0)
                    take(decision)
                    if on_decision is not None:
                        on_decision(decision)
        on_progress(len(batch))
    return counted


def _plan_together(take: Callable[[Decision, int], None], reader: LetterReader, sorter: Sorter, batch: Batch) -> bool:
    """Count what would become of the pending letters of a batch; False, with nothing counted, where they have to be read one by one."""
    pending = [index for index, state in enumerate(reader.states(batch)) if state is State.PENDING]
    found = sorter.sort(batch if len(pending) == len(batch) else batch.select(pending), 0)
    for decision, times in found.decisions if found is not None else ():
        take(decision, times)
    return found is not None


def _alike(one: Decision, other: Decision) -> bool:
    """Whether a plan counts two decisions as the same; where that is not seen at a glance, they are not."""
    letter, another = one.letter, other.letter
    return (one.destination is other.destination and letter.stripped is another.stripped and letter.homes is another.homes and letter.lost is another.lost
            and one.left == other.left and one.refused is other.refused and letter.stripped_properties == another.stripped_properties
            and (one.message is None or one.message is letter.record.message) is (other.message is None or other.message is another.record.message))
