"""The consumers of all streams: found, explained, moved, paused, removed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from brokercli.backends.consumers import Consumers
from brokercli.backends.nats.configuration import is_internal, settings_beyond_defaults, value_of
from brokercli.backends.nats.consequences import deletes, of_nobody_waiting, refuse_what_came
from brokercli.backends.nats.consumer_state import ConsumerState, ask_state, is_missing, missing, split_name
from brokercli.backends.nats.death_records import cap_words, record_words, recorders
from brokercli.backends.nats.failures import api_failure, reason
from brokercli.backends.nats.fetch import fetch_next
from brokercli.backends.nats.listing import SILENT, purpose_of
from brokercli.backends.nats.seeking import plan_seek, seek
from brokercli.backends.nats.span import Source
from brokercli.backends.nats.streams import JetStream, Json, each
from brokercli.backends.nats.versions import PAUSE, require
from brokercli.backends.nats.wording import duration, setting_rows
from brokercli.model.address import Address
from brokercli.model.consumption import Consumption, Lag, Seek
from brokercli.model.description import Description, Section, Value
from brokercli.model.errors import BrokercliError, Failed, NotAuthorised, NotFound, TimedOut, Unreachable
from brokercli.model.position import Position, format_time, parse_time


class NatsConsumers(Consumers):
    """Over an open connection. Names are STREAM/NAME."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._said_to_delete: dict[str, bool] = {}
        """Whether it was said that messages go with a consumer."""

    def find(self, patterns: Sequence[str] = ()) -> Iterable[Consumption]:
        return self._jetstream.link.run(_find(self._jetstream, patterns))

    def names(self) -> list[str]:
        return self._jetstream.link.run(_names(self._jetstream))

    def describe(self, name: str) -> Description:
        return self._jetstream.link.run(_describe(self._jetstream, name))

    def lag(self, name: str) -> Sequence[Lag]:
        return self._jetstream.link.run(_lag(self._jetstream, name))

    def plan_seek(self, name: str, position: Position, source: Address | None = None) -> Seek:
        return self._jetstream.link.run(plan_seek(self._jetstream, name, position, source))

    def seek(self, planned: Seek) -> None:
        self._jetstream.link.run(seek(self._jetstream, planned))

    def now(self, name: str) -> int:
        return self._jetstream.link.run(_now(self._jetstream, name))

    def pause(self, name: str, until: int) -> None:
        self._jetstream.link.run(_pause(self._jetstream, name, until))

    def resume(self, name: str) -> None:
        self._jetstream.link.run(_pause(self._jetstream, name, None))

    def goes_with(self, name: str) -> Sequence[str]:
        said, deletes_some = self._jetstream.link.run(_goes_with(self._jetstream, name))
        self._said_to_delete[name] = deletes_some
        return said

    def remove(self, name: str) -> None:
        # whoever was told nothing has agreed to nothing
        self._jetstream.link.run(_remove(self._jetstream, name, unless_it_deletes=not self._said_to_delete.get(name, True)))


async def _find(jetstream: JetStream, patterns: Sequence[str]) -> list[Consumption]:
    if patterns and not any("*" in pattern or "?" in pattern for pattern in patterns):
        # full names need fewer permissions than a list
        infos = await each(dict.fromkeys(patterns), partial(_one_or_none, jetstream))
        return sorted((_consumption(ConsumerState(info)) for info in infos if info is not None), key=lambda found: found.name)
    ways = [_pattern(pattern) for pattern in patterns]
    streams = [name for name in await jetstream.names() if _worth_asking(name, patterns)]
    found = [ConsumerState(info) for infos in await _of_each(jetstream, streams, full=True) for info in infos]
    matching = [state for state in found if not ways or any(way.fullmatch(state.name) for way in ways)]
    return sorted((_consumption(state) if "config" in state.info else _silent(state) for state in matching), key=lambda one: one.name)


async def _one_or_none(jetstream: JetStream, name: str) -> Json | None:
    try:
        stream, consumer = split_name(name)
    except NotFound:
        return None
    return await jetstream.consumer_or_none(stream, consumer)


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(".*" if part == "*" else "." if part == "?" else re.escape(part) for part in pattern), re.DOTALL)


def _worth_asking(stream: str, patterns: Sequence[str]) -> bool:
    """Whether a consumer of a stream can match: `ORDERS/*` is about one stream."""
    if (purpose_of(stream) or "").startswith("MQTT"):
        return False
    return not patterns or any("*" in pattern.partition("/")[0] or _pattern(pattern.partition("/")[0]).fullmatch(stream) for pattern in patterns)


async def _names(jetstream: JetStream) -> list[str]:
    streams = [name for name in await jetstream.names() if _worth_asking(name, ())]
    found = await _of_each(jetstream, streams, full=False)
    return sorted(f"{stream}/{name}" for stream, names in zip(streams, found, strict=True) for name in names)


async def _of_each(jetstream: JetStream, streams: Sequence[str], *, full: bool) -> list[list[Any]]:
    """Ask several streams at a time; one that was deleted meanwhile has none. Of consumers that do not answer there is only
    the name."""
    async def ask(stream: str) -> list[Any]:
        try:
            if not full:
                return await jetstream.consumer_names(stream)
            silent: list[str] = []
            answers = [info for info in await jetstream.consumers(stream, silent) if not is_internal(info["config"])]
            return answers + [{"stream_name": stream, "name": name} for name in silent]
        except NotFound:
            return []

    return await each(streams, ask)


def _silent(state: ConsumerState) -> Consumption:
    """Return one that exists, and of which that is all that is known."""
    return Consumption(state.name, "consumer", SILENT, reads=(f"stream:{state.stream}",))


def _consumption(state: ConsumerState) -> Consumption:
    facts: dict[str, Value] = {"filter": ", ".join(state.filters) or None, "pushes to": str(state.config["deliver_subject"]) if state.pushes else None,
                               "redelivered": int(state.info.get("num_redelivered", 0)) or None, "paused until": state.paused_until}
    return Consumption(state.name, state.kind, state.words, state.members, state.lag, state.in_hand, (f"stream:{state.stream}",), facts)


async def _lag(jetstream: JetStream, name: str) -> list[Lag]:
    state = await ask_state(jetstream, name)
    source = Source(await jetstream.info(state.stream))
    return [Lag(f"stream:{state.stream}", None, state.position, source.end, source.first, state.lag, state.in_hand, state.member_words,
                await _next_filtered(jetstream, state))]


async def _next_filtered(jetstream: JetStream, state: ConsumerState) -> int | None:
    if not state.filters or not state.lag:
        return None
    try:
        rows = await asyncio.gather(*(fetch_next(jetstream, state.stream, state.position, subject) for subject in state.filters))
    except NotAuthorised:  # who may not read its messages may still know how far it is
        return None
    return min((row.sequence for row in rows if row is not None and row.sequence is not None), default=None)


async def _describe(jetstream: JetStream, name: str) -> Description:
    state = await ask_state(jetstream, name)
    config, info = state.config, state.info
    description = Description("consumer", name, state.kind)
    facts = description.facts
    facts |= {"stream": state.stream, "state": state.words, "filter": ", ".join(state.filters) or ">",
              "works by": f"pushing to {config['deliver_subject']}" if state.pushes else "being pulled from",
              "lag": state.lag, "in hand": state.in_hand, "position": state.position, "delivered up to": state.delivered, "acknowledged up to": state.floor}
    for fact, part in (("last delivery", "delivered"), ("last acknowledgement", "ack_floor")):
        facts[fact] = (info.get(part) or {}).get("last_active")
    if int(info.get("num_redelivered", 0)):
        facts["being tried again"] = int(info["num_redelivered"])
    facts["members"] = state.member_words or "nobody asks for messages now"
    if state.pinned:
        facts["pinned"] = state.pinned
    for holdup in state.holdups:
        facts["held up"] = f"{facts['held up']}; {holdup}" if facts.get("held up") else holdup
    acknowledges = str(value_of("consumer", "ack_policy", config))
    most = int(config.get("max_deliver") or -1)
    facts["tries"] = cap_words(most, acknowledges)
    if acknowledges != "none":
        waits = config.get("backoff") or [value_of("consumer", "ack_wait", config)]
        facts["delivered again after"] = ", ".join(str(duration(int(wait))) for wait in waits)
        try:
            facts["dead letters"] = record_words(await recorders(jetstream, state.stream, str(info["name"])), state.stream)
        except BrokercliError as problem:
            description.missing.append(f"whether its dead letters are recorded: {problem}")
    leader = (info.get("cluster") or {}).get("leader")
    if leader and (info.get("cluster") or {}).get("replicas"):
        facts["leader"] = str(leader)
    facts["made"] = str(info.get("created"))
    own = settings_beyond_defaults("consumer", config)
    if own:
        description.sections.append(Section("set on the consumer", setting_rows("consumer", own)))
    if state.members and not state.pushes:
        description.missing.append("whose requests wait: JetStream counts them and does not say")
    return description


async def _now(jetstream: JetStream, name: str) -> int:
    # `ts` of what a server says of a consumer is its own time (seen on 2.15.1)
    try:
        said = (await ask_state(jetstream, name)).info.get("ts")
    except NotAuthorised:
        # who may pause it need not be allowed to look at it
        said = None
    return time.time_ns() if said is None else parse_time(str(said))


async def _pause(jetstream: JetStream, name: str, until: int | None) -> None:
    stream, consumer = split_name(name)
    require(jetstream.link, PAUSE, "cannot pause a consumer")
    question = {"pause_until": format_time(until)} if until is not None else None
    answer = await _tell(jetstream, name, f"CONSUMER.PAUSE.{stream}.{consumer}", question)
    if bool(answer.get("paused")) != (until is not None):
        raise Failed(f"{name} is {'not paused: the time is over already' if until is not None else 'still paused'}.")


async def _removable(jetstream: JetStream, name: str) -> ConsumerState:
    state = await ask_state(jetstream, name)
    if state.members:
        raise Failed(f"{name} is at work, so it was not deleted: {state.member_words}.", hint="stop its workers first")
    return state


async def _goes_with(jetstream: JetStream, name: str) -> tuple[list[str], bool]:
    """Return what goes with it in words, and whether that is messages."""
    state = await _removable(jetstream, name)
    stream = await jetstream.info(state.stream)
    others = int(stream["state"]["consumer_count"]) - 1
    return of_nobody_waiting(state.info, stream, others), deletes(state.info, stream, others)


async def _remove(jetstream: JetStream, name: str, *, unless_it_deletes: bool) -> None:
    state = await _removable(jetstream, name)
    stream, consumer = split_name(name)
    if unless_it_deletes:
        info = await jetstream.info(stream)
        if deletes(state.info, info, int(info["state"]["consumer_count"]) - 1):
            raise refuse_what_came(name, stream)
    await _tell(jetstream, name, f"CONSUMER.DELETE.{stream}.{consumer}")


async def _tell(jetstream: JetStream, name: str, operation: str, question: Json | None = None) -> Json:
    try:
        answer = await jetstream.try_ask(operation, question, repeat=False)
    except (Unreachable, TimedOut) as problem:
        raise Unreachable(f"{problem} Whether it was done to {name} is not known.", hint=f"brokercli consumers describe {name}") from None
    error = answer.get("error")
    if error is None:
        return answer
    if is_missing(error):
        raise missing(name)
    if error.get("code") in (400, 500):
        raise Failed(f"{name}: NATS refused it: {reason(error)}.")
    raise api_failure(error, f"consumer {name}")
