"""Reading what a stream stores between two sequences: through a consumer where it may have one for that, else by sequence number."""

from __future__ import annotations

from brokercli.backends.contract import Reader
from brokercli.backends.nats.failures import NoConsumer
from brokercli.backends.nats.look_consumer import ConsumerReader
from brokercli.backends.nats.look_sequence import SequenceReader
from brokercli.backends.nats.span import NANOSECONDS, Source
from brokercli.backends.nats.streams import JetStream
from brokercli.model.position import Number, Span

SHORTEST_KEPT = NANOSECONDS
"""A consumer that is gone sooner when nobody pulls may be gone before the first pull is there."""
_BY_SEQUENCE = "read by sequence number, which is slower: {}"


def open_stored(jetstream: JetStream, source: Source, start: int, end: int | None, *, of_leader: bool = False) -> Reader:
    """Open a look from one sequence on and, for one that ends, up to another; `of_leader`: for whoever would take what a replica still shows, and its
    leader has removed, for something to be done."""
    reader = _open(jetstream, source, start, end, of_leader)
    reader.bounds = None if end is None else Span(Number(start), Number(end))
    return reader


def _open(jetstream: JetStream, source: Source, start: int, end: int | None, of_leader: bool) -> Reader:
    if not source.by_consumer:
        return SequenceReader(jetstream, source, start, end, of_leader=of_leader)
    if source.kept < SHORTEST_KEPT:
        why = f"stream {source.stream} keeps a consumer that waits for {source.kept / NANOSECONDS:g} s only (consumer_limits)"
        return SequenceReader(jetstream, source, start, end, _BY_SEQUENCE.format(why), of_leader=of_leader)
    try:
        return ConsumerReader(jetstream, source, start, end)
    except NoConsumer as refusal:
        return SequenceReader(jetstream, source, start, end, _BY_SEQUENCE.format(str(refusal).rstrip(".")), of_leader=of_leader)
