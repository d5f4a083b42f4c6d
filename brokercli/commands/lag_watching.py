"""The loop of `consumers lag --watch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from brokercli.backends.consumers import Consumers
from brokercli.commands.consumers_session import open_consumers, split_names
from brokercli.model.errors import NotFound
from brokercli.operations.lagging import Tick, Watch
from brokercli.terminal.lag_watch import LagWatch
from brokercli.terminal.streams import Streams


def watch_lag(streams: Streams, names: Sequence[str], context_name: str | None, connect_timeout: float | None, interval: float, output: str,
              verdict: Callable[[Tick], int]) -> int:
    """Measure and show until the verdict on a tick is not 0, and return that. Raises NotFound at the first tick for a name that is
    not there."""
    @contextmanager
    def opened() -> Iterator[Consumers]:
        with open_consumers(names, context_name, connect_timeout=connect_timeout) as session:
            yield session.consumers

    shown = LagWatch(streams, output)
    first = True
    for tick in Watch(opened, split_names(names)[1], interval, streams.wait, shown.silent):
        if first and tick.gone:
            raise NotFound(f"There is no consumer {', '.join(tick.gone)}.", hint="brokercli consumers ls shows them")
        first = False
        shown.show(tick)
        if code := verdict(tick):
            return code
    raise AssertionError("a watch goes on until it is interrupted")
