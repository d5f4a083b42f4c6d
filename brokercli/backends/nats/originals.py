"""Messages that letters point at, fetched by stream and sequence from each stream's leader, headers as they were stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from brokercli.backends.nats.failures import NO_MESSAGE, STREAM_NOT_FOUND, api_failure
from brokercli.backends.nats.fetch import row_of
from brokercli.backends.nats.questions import Questions, decode
from brokercli.backends.nats.records import Fetched
from brokercli.backends.nats.streams import JetStream
from brokercli.backends.nats.subjects import check_stream_name
from brokercli.model.errors import UsageProblem
from brokercli.model.message import Place, Record

Where = tuple[str, int]


async def fetch_originals(jetstream: JetStream, questions: Questions, places: Sequence[Place]) -> list[Record | None]:
    """Return the record at each place, None where it is gone or where a place names none. Changes nothing.

    Asked of the leader and not of a replica (DIRECT.GET), which may still show what was removed. Each message is fetched
    once, however many letters point at it.
    """
    wanted: dict[str, list[int]] = defaultdict(list)
    for where in dict.fromkeys(where for place in places if (where := where_of(place)) is not None):
        wanted[where[0]].append(where[1])
    found: dict[Where, Record] = {}
    for stream, sequences in wanted.items():
        answers = await questions.ask(f"{jetstream.prefix}.STREAM.MSG.GET.{stream}", [b'{"seq":%d}' % sequence for sequence in sequences])
        rows = []
        for answer in answers.bodies:
            decoded = decode(answer)
            error = decoded.get("error")
            if error is None:
                rows.append(row_of(decoded["message"]))
            elif error.get("err_code") not in (NO_MESSAGE, STREAM_NOT_FOUND):
                raise api_failure(error, f"stream {stream}")
        for record in Fetched(rows, stream).records():
            found[stream, int(record.position)] = record
    return [None if (where := where_of(place)) is None else found.get(where) for place in places]


def where_of(place: Place) -> Where | None:
    """Return the stream and sequence a place names; None where it names none that there can be."""
    stream, sequence = place.get("stream"), place.get("sequence")
    if not isinstance(stream, str) or not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 < sequence < 2**64:
        return None
    try:
        check_stream_name(stream)
    except UsageProblem:
        return None
    return stream, sequence
