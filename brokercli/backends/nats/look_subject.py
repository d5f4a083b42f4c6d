"""Which stream holds what is published on a subject, and under which subject it does."""

from __future__ import annotations

from brokercli.backends.nats.fetch import fetch_next
from brokercli.backends.nats.rewriting import EVERYTHING, rewriting_of, rewritings_into, stored_as
from brokercli.backends.nats.span import Source
from brokercli.backends.nats.streams import JetStream, Json
from brokercli.backends.nats.subjects import covers, overlap
from brokercli.model.errors import NotAuthorised, NotFound, TimedOut, UsageProblem


async def find_subject(jetstream: JetStream, subject: str) -> tuple[Source, str]:
    """Return the one stream that captures a subject, or else stores others as it, and what is to be said of that. Raises NotFound where
    there is none, UsageProblem where there are several, and where it cannot be told which of the messages in a stream are meant."""
    names = await jetstream.capturing(subject)
    if not names:
        return await _rewritten_to(jetstream, subject)
    if len(names) > 1:
        raise UsageProblem(f"Several streams capture {subject}: {', '.join(names)}.", hint=_say_which(names))
    info = await jetstream.info(names[0])
    if info["config"].get("subjects") == [subject]:
        return Source(info), ""
    stored = stored_as(info["config"], subject)
    if stored is None:
        raise UsageProblem(f"Stream {names[0]} stores messages under other subjects ({rewriting_of(info['config'])}), and what becomes of {subject} cannot "
                           "be told.", hint=how_to_see(names[0]))
    if stored == subject or covers(subject, stored):
        return Source(info, subject), ""
    if stored == EVERYTHING:
        return Source(info), ""
    if not covers(stored, subject):
        await _check_none_as_it_is(jetstream, info, subject, stored)
    return Source(info, stored), f"stream {names[0]} stores {subject} as {stored}"


async def _check_none_as_it_is(jetstream: JetStream, info: Json, subject: str, stored: str) -> None:
    """Raise UsageProblem where a stream holds messages under the subject itself, too: a look has one filter."""
    name = str(info["config"]["name"])
    if overlap(subject, stored):
        raise UsageProblem(f"Stream {name} stores {subject} as {stored}, and which of its messages were published as what cannot be told.",
                           hint=how_to_see(name))
    if await fetch_next(jetstream, name, 1, subject) is not None:
        raise UsageProblem(f"Stream {name} stores {subject} as {stored}, and holds some as {subject} as well: from before it did so, or from other streams.",
                           hint=how_to_see(name))


async def _rewritten_to(jetstream: JetStream, subject: str) -> tuple[Source, str]:
    found = await storing(jetstream, subject)
    if not found:
        raise NotFound(f"No stream captures {subject}, so nothing of it is stored.", hint=f"tail subject:{subject} shows what is published from now on")
    names = [str(info["config"]["name"]) for info in found]
    if len(names) > 1:
        raise UsageProblem(f"Several streams store messages as {subject}: {', '.join(names)}.", hint=_say_which(names))
    return Source(found[0], subject), f"no stream captures {subject}: stream {names[0]} stores messages of other subjects as it"


async def storing(jetstream: JetStream, subject: str) -> list[Json]:
    """Return the streams that store messages of other subjects as this one, those that hold some; where none does, those that would. None
    where this login may not ask for all streams."""
    try:
        infos = await jetstream.all([])
    except (NotAuthorised, TimedOut):
        return []
    candidates = [info for info in infos if any(overlap(rewriting.pattern, subject) for rewriting in rewritings_into(info["config"]))]
    holding = [info for info in candidates if await fetch_next(jetstream, str(info["config"]["name"]), 1, subject) is not None]
    return holding or [info for info in candidates
                       if any(rewriting.exact and covers(rewriting.pattern, subject) for rewriting in rewritings_into(info["config"]))]


def how_to_see(stream: str) -> str:
    """Return how to see what a stream holds, and under which subjects."""
    return f"stream:{stream} is all it holds; brokercli describe stream:{stream} shows under which subjects, and each of these can be named"


def _say_which(names: list[str]) -> str:
    return f"say which: {' or '.join(f'stream:{name}' for name in names)}"
