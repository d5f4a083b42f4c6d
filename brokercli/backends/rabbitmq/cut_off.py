"""What to raise where a run is cut off from a queue's letters: those that it holds, or those that it is given none of."""

from __future__ import annotations

from brokercli.model.amount import amount
from brokercli.model.errors import Failed, Unreachable


def gives_none(queue: str, ready: int, seconds: float) -> Failed:
    """Return what to raise where so many letters have been ready for so long, and none came."""
    return Failed(f"{queue} has {amount(ready, 'letter')} ready, and has given none to this run for {seconds:g} s: another consumer is its single active one,"
                  " or comes first (x-priority).", hint="stop that consumer first; the same command goes on with what is left")


def does_not_answer(queue: str, seconds: float) -> Unreachable:
    """Return what to raise where nobody has said for so long how much a queue holds."""
    return Unreachable(f"The queue {queue} does not answer: its leader has been silent for {seconds:g} s, or too few of its nodes are there to choose another.",
                       hint="brokercli doctor says which nodes run; the same command goes on with what is left")


def connection_lost(where: str, reason: str, queue: str) -> Unreachable:
    """Return what to raise where a connection over which letters are held ended."""
    return Unreachable(f"{where}: {reason} while letters of {queue} were held; the broker puts back those that it has stored and that are not handled.",
                       hint="the same command goes on with what is left")
