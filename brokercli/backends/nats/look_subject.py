"""Which stream holds what is published on a subject, and under which subject it does."""

from __future__ import annotations

from collections.abc import Collection

from brokercli.backends.dead_letters import some_of
from brokercli.backends.nats import LIMITS_STREAM
from brokercli.backends.nats.fetch import fetch_next
from brokercli.backends.nats.not_letters import publishes_later
from brokercli.backends.nats.rewriting import EVERYTHING, brought_in, rewriting_of, stored_as
from brokercli.backends.nats.span import Source
from brokercli.backends.nats.streams import JetStream, Json, each, resource_of
from brokercli.backends.nats.subjects import covers, overlap
from brokercli.model.errors import BrokercliError, NotAuthorised, NotFound, TimedOut, Unreachable, UsageProblem


async def find_subject(jetstream: JetStream, subject: str) -> tuple[Source, str]:
    """Return the one stream that captures a subject, or else holds others as it, and what is to be said of that. Raises NotFound where
    there is none, UsageProblem where there are several, and where it cannot be told which of the messages in a stream are meant."""
    names = await jetstream.capturing(subject)
    if not names:
        return await _stored_only(jetstream, subject)
    if len(names) > 1:
        raise UsageProblem(f"Several streams capture {subject}: {', '.join(names)}.", hint=_say_which(names))
    info = await jetstream.info(names[0])
    note = await _copies(jetstream, info, subject)
    if info["config"].get("subjects") == [subject]:
        return Source(info), note
    stored = stored_as(info["config"], subject)
    if stored is None:
        raise UsageProblem(f"Stream {names[0]} stores messages under other subjects ({rewriting_of(info['config'])}), and what becomes of {subject} cannot "
                           "be told.", hint=how_to_see(names[0]))
    if stored == subject or covers(subject, stored):
        return Source(info, subject), note
    if stored == EVERYTHING:
        return Source(info), note
    if not covers(stored, subject):
        await _check_none_as_it_is(jetstream, info, subject, stored)
    return Source(info, stored), f"stream {names[0]} stores {subject} as {stored}"


async def _copies(jetstream: JetStream, info: Json, subject: str) -> str:
    """Say so where a stream that captures a subject gives up what is handled, and others hold it as well; empty otherwise. What a limits stream
    holds is what there is to see, and nobody waits for an answer about its copies."""
    name = str(info["config"]["name"])
    if resource_of(info) == LIMITS_STREAM:
        return ""
    others = [str(other["config"]["name"]) for other in await storing(jetstream, subject, besides=[name]) or ()]
    return f"read from stream {name}, which captures {subject} and keeps what is not handled yet; copies lie in {some_of(others)}" if others else ""


async def _check_none_as_it_is(jetstream: JetStream, info: Json, subject: str, stored: str) -> None:
    """Raise UsageProblem where a stream holds messages under the subject itself, too: a look has one filter."""
    name = str(info["config"]["name"])
    if overlap(subject, stored):
        raise UsageProblem(f"Stream {name} stores {subject} as {stored}, and which of its messages were published as what cannot be told.",
                           hint=how_to_see(name))
    if await fetch_next(jetstream, name, 1, subject) is not None:
        raise UsageProblem(f"Stream {name} stores {subject} as {stored}, and holds some as {subject} as well: from before it did so, or from other streams.",
                           hint=how_to_see(name))


async def _stored_only(jetstream: JetStream, subject: str) -> tuple[Source, str]:
    """Return the one stream that stores messages of others as a subject that none captures."""
    silent: list[str] = []
    found = await storing(jetstream, subject, silent=silent)
    if found is None:
        raise NotFound(f"No stream captures {subject}, and whether one holds it that is filled from others this login may not ask.",
                       hint="stream:NAME is all that a stream holds")
    if not found and silent:
        raise Unreachable(f"No stream captures {subject}, and whether {some_of(silent)} {'holds' if len(silent) == 1 else 'hold'} it cannot be told.",
                          hint="the servers that keep them are away")
    if not found:
        raise NotFound(f"No stream captures {subject}, so nothing of it is stored.", hint=f"tail subject:{subject} shows what is published from now on")
    names = [str(info["config"]["name"]) for info in found]
    if len(names) > 1:
        raise UsageProblem(f"No stream captures {subject}, and several hold messages of others as it: {', '.join(names)}.", hint=_say_which(names))
    return Source(found[0], subject), f"no stream captures {subject}: stream {names[0]} holds messages of others as it ({filled_from(found[0]['config'])})"


async def not_heard(jetstream: JetStream, subject: str) -> list[str]:
    """Say what of a subject is not heard by who subscribes to it: what streams publish later that capture it, and what comes to those that hold it
    while none captures it. Says nothing where there is no such, and where this login may not ask."""
    try:
        capturing = await each(await jetstream.capturing(subject), jetstream.info_or_none)
        found = [] if capturing else await storing(jetstream, subject, silent=[])
    except BrokercliError:
        return []
    if capturing:
        return [note for info in capturing if info is not None for note in published_unheard(info)]
    if not found:
        return []
    names = [str(info["config"]["name"]) for info in found]
    one = len(names) == 1
    return [f"no stream captures {subject}, and stream{'' if one else 's'} {some_of(names)} {'holds' if one else 'hold'} messages of others as it "
            f"({filled_from(found[0]['config'])}{'' if one else ', …'}): shown is what is published on it; tail stream:{names[0]} shows what that stream gets"]


def published_unheard(info: Json) -> list[str]:
    """Say that what waits in a stream until it is due is stored then without being published to anybody else (seen on 2.15.1)."""
    if not publishes_later(info["config"]):
        return []
    name = info["config"]["name"]
    shown = f"tail stream:{name}" if resource_of(info) == LIMITS_STREAM else f"tail stream:{name} --from -1"
    return [f"what waits in stream {name} to be published later (Nats-Schedule) is not heard when it is: {shown} shows it"]


def filled_from(config: Json) -> str:
    """Say how messages come to a stream under subjects that it does not capture."""
    rewriting = rewriting_of(config)
    if rewriting is not None and config.get("subjects"):
        return str(rewriting)
    if config.get("mirror"):
        return f"a mirror of {config['mirror'].get('name')}"
    return f"filled from {', '.join(str(origin.get('name')) for origin in config.get('sources') or ())}"


async def storing(jetstream: JetStream, subject: str, *, besides: Collection[str] = (), silent: list[str] | None = None) -> list[Json] | None:
    """Return the streams, `besides` some, that hold messages under a subject without capturing it: rewritten, or copied from other streams;
    where none does, and there are none besides, those that certainly would. None where this login may not ask for all streams. What does
    not answer is added to `silent`."""
    try:
        infos = [info for info in await jetstream.all([] if silent is None else silent) if info["config"]["name"] not in besides]
        candidates = [info for info in infos if any(overlap(pattern, subject) for pattern, _ in brought_in(info["config"]))]
        held = await each(candidates, lambda info: _holds(jetstream, info, subject))
        holding = [info for info, holds in zip(candidates, held, strict=True) if holds]
    except (NotAuthorised, TimedOut):
        return None
    if holding or besides:
        return holding
    return [info for info in candidates if any(exact and covers(pattern, subject) for pattern, exact in brought_in(info["config"]))]


async def _holds(jetstream: JetStream, info: Json, subject: str) -> bool:
    try:
        return await fetch_next(jetstream, str(info["config"]["name"]), 1, subject) is not None
    except NotFound:
        return False  # deleted meanwhile


def how_to_see(stream: str) -> str:
    """Return how to see what a stream holds, and under which subjects."""
    return f"stream:{stream} is all it holds; brokercli describe stream:{stream} shows under which subjects, and each of these can be named"


def _say_which(names: list[str]) -> str:
    return f"say which: {' or '.join(f'stream:{name}' for name in names)}"
