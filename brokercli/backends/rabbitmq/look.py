"""Opening a look: which of the ways to read leaves this source as it was found, and where it begins and ends."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from brokercli.backends.contract import Reader
from brokercli.backends.rabbitmq import STREAM, SUPPORT
from brokercli.backends.rabbitmq.link import Link
from brokercli.backends.rabbitmq.stream_look import StreamReader
from brokercli.backends.rabbitmq.stream_range import at_time, first_at, range_of
from brokercli.model.capability import Capability
from brokercli.model.errors import OutOfRange, Unsupported, UsageProblem
from brokercli.model.position import End, Last, Moment, Number, PerPartition, Position, Span, Start

_AS_LONG_AGAIN = 5

Lend = Callable[[], tuple[Link, Callable[[], None]]]


def look_at_stream(link: Link, stream: str, span: Span, lend: Lend) -> Reader:
    """Open a look at a stream. Raises OutOfRange with the range there is, UsageProblem for a span that ends before it starts."""
    if isinstance(span.start, Number) and isinstance(span.end, Number) and span.end.value < span.start.value:
        raise UsageProblem(f"The range ends at {span.end} before it starts at {span.start}.")
    began = monotonic()
    edges = range_of(link, stream)
    # of a broker that took long to show what there is, nothing after a moment is not yet nothing at all
    patience = _AS_LONG_AGAIN * (monotonic() - began)
    low, high = (0, 0) if edges is None else (edges[0].offset, edges[1].offset)

    def offset_of(position: Position) -> int:
        match position:
            case Start():
                return low
            case End():
                return high
            case Number(value) if low <= value <= high or (position is span.end and value >= low):
                return value
            case Number(value):
                if low == high:
                    raise OutOfRange(f"The stream {stream} is empty, and its next offset is {high}; {value} was asked for.",
                                     hint="start and end are positions too")
                raise OutOfRange(f"{stream} holds the offsets {low} to {high - 1}; {value} is not among them.", hint="--from start reads all there is")
            case Last(count):
                return max(low, high - count)
            case Moment(nanoseconds):
                found = first_at(link, stream, at_time(nanoseconds), patience)
                return high if found is None else min(found.offset, high)
            case PerPartition():
                raise Unsupported(f"{SUPPORT[STREAM][Capability.PARTITION].note}.", hint="give the offset alone")
        raise UsageProblem(f"{position} is no place in a stream.")

    start = offset_of(span.start)
    stop = None if span.end is None else min(offset_of(span.end), high)
    largest = max((edge.largest for edge in edges or ()), default=0)
    lent, give_back = lend()
    # where nothing is stored, everything is still to come
    return StreamReader(lent, stream, "first" if edges is None and stop is None else start, stop, largest, give_back)
