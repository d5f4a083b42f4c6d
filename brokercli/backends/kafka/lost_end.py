"""A partition of which the broker has lost the end: letters that came since lie at offsets that were handled, and were not."""

from __future__ import annotations

from brokercli.backends.dead_letters import State
from brokercli.backends.kafka.handled_group import HandledLetters
from brokercli.backends.kafka.span import Offsets

_MINUTE = 60_000


def count_what_came_since(handled: HandledLetters, offsets: Offsets) -> None:
    """Have letters count as pending that are younger than what says they were handled, in partitions that have lost their end.

    That is known to the minute, so some that were handled in that minute may go a second time. In a partition that has grown beyond the
    old end again nothing shows that it was lost.
    """
    for partition in sorted(handled.without_end & handled.written.keys()):
        younger = offsets.at_time([partition], handled.written[partition] * _MINUTE)[partition]
        if younger >= 0 and handled.sets[partition].state(younger) is not State.PENDING:
            handled.sets[partition] = handled.sets[partition].up_to(younger)
            handled.notes.append(f"letters in partition {partition} of {handled.topic} from {younger} on came after that: they count as pending")
