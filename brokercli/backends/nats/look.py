"""Which way of looking fits a source: as a plain subscriber, through a consumer, or by sequence number."""

from __future__ import annotations

from brokercli.backends.contract import Reader
from brokercli.backends.nats.look_core import CoreReader
from brokercli.backends.nats.look_stored import open_stored
from brokercli.backends.nats.look_subject import find_subject, not_heard, published_unheard
from brokercli.backends.nats.span import Source, locate
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.model.address import Address
from brokercli.model.errors import Unsupported
from brokercli.model.position import End, PerPartition, Span

_AS_PUBLISHED = ("shown as published to {subjects}, without sequence numbers, because reading new messages from a {retention} stream could come too "
                 "late; what the stream refuses is shown as well")


def open_reader(jetstream: JetStream, source: Address, span: Span) -> Reader:
    """Open a look at a resolved address.

    New messages of a subject, or of a stream that drops messages once they are handled, come from a core subscription;
    new messages of a limits stream, and everything stored, from the stream.
    """
    link = jetstream.link
    if isinstance(span.start, PerPartition) or isinstance(span.end, PerPartition):
        raise Unsupported("NATS has no partitions.", hint="a sequence is written as a number: --from 1200")
    note = ""
    new_only = isinstance(span.start, End) and span.end is None
    if source.kind == "subject":
        if new_only:
            heard = CoreReader(link, [source.name])
            heard.notes += link.run(not_heard(jetstream, source.name))
            return heard
        where, note = link.run(find_subject(jetstream, source.name))
    else:
        where = Source(link.run(jetstream.info(source.name)))
        if new_only and not where.by_consumer and _only_from_subjects(where.info):
            live = CoreReader(link, where.info["config"]["subjects"])
            live.notes.append(_AS_PUBLISHED.format(subjects=", ".join(where.info["config"]["subjects"]), retention=where.info["config"]["retention"]))
            live.notes += published_unheard(where.info)
            return live
    start, end = link.run(locate(jetstream, where, span))
    reader = open_stored(jetstream, where, start, end)
    if note:
        reader.notes = [*reader.notes, note]
    return reader


def incarnation_of(jetstream: JetStream, source: Address) -> str:
    """Return the stream that a resolved address is read from, and when it was made: JetStream keeps that as long as there is the stream."""
    link = jetstream.link
    info = link.run(find_subject(jetstream, source.name))[0].info if source.kind == "subject" else link.run(jetstream.info(source.name))
    return f"{info['config']['name']} {info['created']}"


def _only_from_subjects(info: Json) -> bool:
    """Whether everything in a stream was published to its subjects as it stands there."""
    config = info["config"]
    return bool(config.get("subjects")) and not any(config.get(other) for other in ("mirror", "sources", "subject_transform"))
