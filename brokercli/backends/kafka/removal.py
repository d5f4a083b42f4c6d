"""What goes with topics that are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient

from brokercli.backends.kafka.ends import held, led, offsets_in
from brokercli.backends.kafka.groups import Group
from brokercli.backends.kafka.patience import Patience
from brokercli.backends.kafka.progress import HANDLED, total
from brokercli.backends.kafka.readers import kind_of, readers_of
from brokercli.model.amount import amount
from brokercli.model.consumption import Lag


class Loss(NamedTuple):
    """What goes with one topic."""

    messages: int | None
    """How many at most, those of open transactions among them; None where that is not known."""
    remarks: tuple[str, ...]
    """The messages it holds, the groups that read it."""


def goes_with(topics: Sequence[str], metadata: Any, admin: AdminClient, seconds: float) -> dict[str, Loss]:
    """Return what goes with each topic. Asks every group once for all."""
    if not topics:
        return {}
    patience = Patience(seconds)
    ranges = patience.ask(lambda seconds: held(admin, led(metadata, topics), seconds, committed=False))
    readers = readers_of(topics, metadata, admin, patience)
    unknown = [f"not known: {missing}" for missing in readers.missing]
    found: dict[str, Loss] = {}
    for topic in topics:
        count = offsets_in(topic, metadata, ranges)
        found[topic] = Loss(count, (*_messages(count), *(_reader(group, lags) for group, lags in readers.of(topic)), *unknown))
    return found


def messages_in(topic: str, metadata: Any, admin: AdminClient, seconds: float) -> int | None:
    """Return how many messages a topic holds at most; None where that is not known."""
    return offsets_in(topic, metadata, held(admin, led(metadata, [topic]), seconds, committed=False))


def _messages(count: int | None) -> list[str]:
    if count is None:
        return ["how many messages go with it is not known: not every partition answers"]
    # offsets are an upper bound of messages
    return [f"up to {amount(count, 'message')} go with it"] if count else []


def _reader(group: Group, lags: Sequence[Lag]) -> str:
    lag = total(lags)
    if kind_of(group) == HANDLED:
        return f"{group.name} keeps which of its letters were handled" + (f", {amount(lag, 'is', 'are')} pending" if lag else "")
    known = ["who is a member is not told"] if group.foreign else [group.state, amount(len(group.members), "member")]
    return f"the {group.kind} {group.name} reads it ({', '.join([*known, *([f'lag {lag:,}'] if lag is not None else [])])})"
