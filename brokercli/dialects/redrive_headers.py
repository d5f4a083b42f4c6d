"""What brokercli writes on a letter it puts back, so that one that dies again and again is noticed. As untrusted as
any other header: a broker in 4.x no longer continues x-death counts of a message that was published again."""

from __future__ import annotations

from functools import lru_cache

from brokercli.dialects.names import shown
from brokercli.dialects.reading import KIND_OF
from brokercli.dialects.values import count_of, integer_of
from brokercli.model.dead_letter import KEPT_DEATHS, DeadLetter
from brokercli.model.message import Header, Message, Record
from brokercli.model.position import format_time
from brokercli.model.remembered import Remembered

FROM = "x-brokercli-redriven-from"
AT = "x-brokercli-redriven-at"
COUNT = "x-brokercli-redriven-count"
OWN = frozenset({FROM, AT, COUNT, KEPT_DEATHS})
_STAMPED: Remembered[tuple[tuple[str, int, int], tuple[Header, ...]]] = Remembered()


def count_redrives(headers: tuple[Header, ...]) -> int | None:
    """Return how often brokercli has put this message back: 0 without our counter, the largest where it repeats, None
    where one cannot be believed."""
    counts = [count_of(integer_of(value)) for name, value in headers if name == COUNT]
    if not counts:
        return 0
    believed = [count for count in counts if count is not None]
    return max(believed) if len(believed) == len(counts) else None


def stamp(message: Message, letter: DeadLetter, at: int) -> Message:
    """Return the message with our three headers at its end, each once: where the letter lay, when it is put back (`at`,
    nanoseconds since 1970), and the how manieth time that is. A counter not to be believed starts again at 1; whoever
    calls this has decided that it may."""
    said = (_where(letter.record), at, (letter.redrives or 0) + 1)
    known = _STAMPED.get(message.headers)
    if known is None or known[0] != said:
        stamped = tuple([header for header in message.headers if header[0] not in OWN]) + stamps(*said)
        # where letters are numbered, no two lie at the same place
        known = (said, stamped) if letter.record.position else _STAMPED.put(message.headers, (said, stamped))
    return Message(message.body, message.key, known[1], message.id, message.time, message.partition, message.route, message.properties, message.origin)


def stamps(where: str, at: int, number: int) -> tuple[Header, ...]:
    """Return our three headers: the letter lay at `where`, and goes back for the `number`th time at `at`."""
    return (FROM, where.encode()), (AT, format_time(at).encode()), (COUNT, b"%d" % number)


def _where(record: Record) -> str:
    kind = KIND_OF.get(record.broker, "topic")
    name = record.place.get(kind) or record.place.get("stream") or ""
    return _written(kind, str(name), record.position)


@lru_cache(maxsize=1024)
def _written(kind: str, name: str, position: str) -> str:
    return f"{kind}:{shown(name)} {shown(position)}".rstrip()
