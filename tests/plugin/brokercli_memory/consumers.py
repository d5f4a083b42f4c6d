"""Groups of readers: how far they are, and moving them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from brokercli.backends.consumers import Consumers
from brokercli.model.address import Address
from brokercli.model.capability import Capability
from brokercli.model.consumption import Consumption, Lag, Seek, SeekStep
from brokercli.model.description import Description, Section
from brokercli.model.errors import Failed, NotFound, Unsupported
from brokercli.model.position import PerPartition, Position
from brokercli_memory import SUPPORT
from brokercli_memory.wire import Line


class MemoryConsumers(Consumers):
    """The groups of one memory broker. `begin_of` says where a position lies in a topic."""

    def __init__(self, line: Line, begin_of: Callable[[Address, Position], int]) -> None:
        self._line = line
        self._begin_of = begin_of

    def names(self) -> list[str]:
        return list(self._groups())

    def find(self, patterns: Sequence[str] = ()) -> Iterator[Consumption]:
        for name, group in self._groups().items():
            if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns):
                lags = self.lag(name)
                yield Consumption(name, "group", "Stable" if group["members"] else "Empty", len(group["members"]),
                                  sum(lag.lag or 0 for lag in lags), reads=tuple(lag.source for lag in lags))

    def describe(self, name: str) -> Description:
        group = self._group(name)
        return Description("consumer", name, "group", {"state": "Stable" if group["members"] else "Empty"},
                           [Section("members", [{"name": member} for member in group["members"]])])

    def lag(self, name: str) -> Sequence[Lag]:
        group = self._group(name)
        found = []
        for topic, position in sorted(group["positions"].items()):
            state = self._line.ask({"do": "state", "kind": "topic", "name": topic})
            found.append(Lag(f"topic:{topic}", None, position, state["next"], state["first"], state["next"] - max(position, state["first"]),
                             member=", ".join(group["members"])))
        return found

    def plan_seek(self, name: str, position: Position, source: Address | None = None) -> Seek:
        if isinstance(position, PerPartition):
            raise Unsupported(f"That is no position here: {SUPPORT['topic'][Capability.PARTITION].note}.")
        group = self._group(name)
        if source is not None and source.name not in group["positions"]:
            raise NotFound(f"The group {name} does not read {source}.")
        steps = []
        for topic, have in sorted(group["positions"].items()):
            if source is None or source.name == topic:
                want = self._begin_of(Address(topic, "topic"), position)
                steps.append(SeekStep(f"topic:{topic}", None, have, want, want - have))
        return Seek(name, tuple(steps), tuple(group["members"]))

    def seek(self, planned: Seek) -> None:
        if planned.active:
            raise Failed(f"The group {planned.name} is at work: {', '.join(planned.active)}.")
        moves = {step.source.partition(":")[2]: [step.have, step.want] for step in planned.steps}
        self._line.ask({"do": "move", "group": planned.name, "positions": moves})

    def pause(self, name: str, until: int) -> NoReturn:
        raise Unsupported(f"Groups cannot be paused: {SUPPORT['topic'][Capability.PAUSE_CONSUMERS].note}.")

    def resume(self, name: str) -> NoReturn:
        raise Unsupported(f"Groups cannot be paused: {SUPPORT['topic'][Capability.PAUSE_CONSUMERS].note}.")

    def goes_with(self, name: str) -> Sequence[str]:
        if self._group(name)["members"]:
            raise Failed(f"The group {name} is at work.")
        return ()

    def remove(self, name: str) -> None:
        self._line.ask({"do": "forget", "group": name})

    def _groups(self) -> dict[str, Any]:
        found: dict[str, Any] = self._line.ask({"do": "groups"})["groups"]
        return found

    def _group(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self._groups().get(name)
        if found is None:
            raise NotFound(f"There is no group {name} on this broker.", hint="brokercli consumers ls")
        return found
