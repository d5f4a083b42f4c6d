"""Moving a consumer: where to, what that skips or delivers again, and the reset that does it.

A consumer's start (`deliver_policy`) is decided when it is made, but since nats-server 2.14 it can be set to a sequence
(ADR-60). Verified on 2.15.1: what it has given up is delivered again, attempts are counted from 1 again; on an interest
stream everything that a move forward skips and nobody else waits for is deleted at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from brokercli.backends.nats import INTEREST_STREAM, LIMITS_STREAM, WORK_QUEUE_STREAM
from brokercli.backends.nats.configuration import value_of
from brokercli.backends.nats.consumer_state import ConsumerState, ask_state, is_missing, missing, split_name
from brokercli.backends.nats.failures import NoConsumer, reason
from brokercli.backends.nats.fetch import fetch_at_time, fetch_next
from brokercli.backends.nats.span import Source, count_from, sequence_of
from brokercli.backends.nats.streams import JetStream, resource_of
from brokercli.backends.nats.versions import RESET, require
from brokercli.model.address import Address
from brokercli.model.amount import amount
from brokercli.model.consumption import Seek, SeekStep
from brokercli.model.errors import Failed, NotFound, OutOfRange, TimedOut, Unreachable, Unsupported
from brokercli.model.position import End, Last, Number, Position, format_time, parse_time

_BEGINS = {"new": "with what is new", "last": "with the last message", "last_per_subject": "with the last message of each subject"}
# seen on 2.15.1
_NOT_ALLOWED = 10204
WRITTEN_SECONDS = 1.0
"""How long after a delivery or an acknowledgement the server has certainly written the state of a consumer to its disk. 2.15.1 does so 0.1 s
later, and drops what a reset has to write in that very moment: the consumer is then said to be where it was, or is there again after a restart."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """What a seek was planned on."""

    created: str
    position: int
    floor: int


async def plan_seek(jetstream: JetStream, name: str, position: Position, source: Address | None) -> Seek:
    """Say where a consumer would go. Changes nothing; raises as `Consumers.plan_seek`."""
    stream, _ = split_name(name)
    if source is not None and (source.kind not in (None, "stream") or source.name != stream):
        raise NotFound(f"Consumer {name} reads stream:{stream}, and nothing else.")
    state = await ask_state(jetstream, name)
    require(jetstream.link, RESET, "cannot move a consumer")
    begins = str(value_of("consumer", "deliver_policy", state.config))
    if begins in _BEGINS:
        raise Unsupported(f"Consumer {name} begins {_BEGINS[begins]} (deliver_policy {begins}): JetStream moves only those that begin with all messages, "
                          "at a sequence or at a time.", hint="a new consumer with deliver_policy=by_start_sequence begins where you want it")
    info = await jetstream.info(stream)
    where = Source(info, state.filters[0] if len(state.filters) == 1 else None)
    want = await _wanted(jetstream, where, state, position)
    have, resource = state.position, resource_of(info)
    if resource == INTEREST_STREAM:
        await _refuse_deleting(jetstream, where, state, want)
    step = SeekStep(f"stream:{stream}", None, have, want, await _skipped(jetstream, where, state, have, want))
    return Seek(name, (step,), tuple(_active(state)), tuple(_remarks(state, resource, have, want)), _Planned(str(state.info["created"]), have, state.floor))


async def _refuse_deleting(jetstream: JetStream, where: Source, state: ConsumerState, want: int) -> None:
    """Raise Unsupported where an interest stream would delete messages: everything below the new position counts as acknowledged,
    what was given up among it, also on a way back."""
    begin = max(state.floor + 1, where.first)
    row = await fetch_next(jetstream, where.stream, begin, where.subject or ">") if begin < min(want, where.end) else None
    if row is not None and row.sequence is not None and row.sequence < want:
        raise Unsupported(f"Moving {state.name} to {want} deletes what it skips, from {row.sequence} on: stream {where.stream} keeps messages only for those "
                          "who wait for them.", hint=f"it can go to {row.sequence} or before; or change the stream's retention to limits first")


async def _wanted(jetstream: JetStream, where: Source, state: ConsumerState, position: Position) -> int:
    """Return the sequence to go on at: one that is stored and that the consumer gets, or the end."""
    if isinstance(position, Last) and len(state.filters) > 1:
        raise Unsupported(f"The last {position.count} messages of {len(state.filters)} filters cannot be counted.", hint="name a sequence or a time")
    sequence = await sequence_of(jetstream, where, position)
    if isinstance(position, Number) and not where.first <= sequence <= where.end:
        held = f"the sequences {where.first} to {where.end - 1}" if where.first < where.end else f"no messages; the next one gets the sequence {where.end}"
        raise OutOfRange(f"Stream {where.stream} holds {held}, and {sequence} was asked for.", hint="start and end are positions too")
    begin = await _begin(jetstream, where, state)
    if sequence < begin:
        if isinstance(position, Number):
            raise OutOfRange(f"Consumer {state.name} begins at {begin} ({state.config['deliver_policy']}): it cannot be moved before that.")
        sequence = begin
    if isinstance(position, End) or sequence >= where.end:
        return where.end
    row = await fetch_next(jetstream, where.stream, sequence, where.subject or ">")
    return row.sequence if row is not None and row.sequence is not None else where.end


async def _begin(jetstream: JetStream, where: Source, state: ConsumerState) -> int:
    """Return the first sequence it may be moved to (10204: below start seq, below start time)."""
    if state.config.get("deliver_policy") == "by_start_sequence":
        return min(max(where.first, int(state.config.get("opt_start_seq", 0))), where.end)
    if state.config.get("deliver_policy") == "by_start_time":
        row = await fetch_at_time(jetstream, where.stream, format_time(parse_time(str(state.config["opt_start_time"]))))
        return row.sequence if row is not None and row.sequence is not None else where.end
    return where.first


async def _skipped(jetstream: JetStream, where: Source, state: ConsumerState, have: int, want: int) -> int | None:
    """Return how many records a move skips (negative: delivers again); None where that cannot be counted for free."""
    begin, held = max(have, where.first), where.info["state"]
    if want == have:
        return 0
    if not state.filters and where.end - where.first == int(held["messages"]):
        return want - begin
    if resource_of(where.info) != LIMITS_STREAM:
        return None
    try:
        return await count_from(jetstream, where, begin, state.filters) - await count_from(jetstream, where, want, state.filters)
    except NoConsumer:
        return None


def _active(state: ConsumerState) -> list[str]:
    """Say who would be surprised. While it is paused nobody is: they get nothing until it goes on."""
    if state.info.get("paused"):
        return []
    found = [state.member_words] if state.members else []
    if state.in_hand:
        found.append(f"{amount(state.in_hand, 'message')} delivered and not acknowledged")
    return found


def _remarks(state: ConsumerState, resource: str, have: int, want: int) -> list[str]:
    remarks = []
    if want > have and resource == WORK_QUEUE_STREAM:
        remarks.append(f"what is skipped stays in stream {state.stream}, and nobody gets it until the consumer is moved back")
    if want < have:
        remarks.append("messages it has finished are delivered again" if resource == LIMITS_STREAM else
                       "what is still stored is delivered again: messages that it has given up, or skipped")
        remarks.append("attempts are counted from 1 again")
    if state.info.get("paused") and state.in_hand:
        remarks.append(f"{amount(state.in_hand, 'message')} delivered and not acknowledged: an acknowledgement that still comes is "
                       f"ignored, and {'they are' if want > have else 'they may be'} {'skipped' if want > have else 'worked on twice'}")
    if _active(state):
        remarks.append(f"paused, it can be moved while its workers wait (brokercli consumers pause {state.name} --for 5m); resumed, they get "
                       "messages with their next request")
    return remarks


async def seek(jetstream: JetStream, planned: Seek) -> None:
    """Reset the consumer, a second after it was last used at the earliest. JetStream has no reset on a condition: somebody who begins to work in
    the instant between the question and the reset gets messages twice, or has finished what is skipped."""
    step = planned.steps[0]
    state = await _as_planned(jetstream, planned)
    while (seconds := _until_written(state)) > 0:
        used = _last_used(state)
        await asyncio.sleep(seconds)
        state = await _as_planned(jetstream, planned)
        if _last_used(state) == used:
            break  # that was long enough, whatever the server's clock did meanwhile
    stream, consumer = split_name(planned.name)
    try:
        answer = await jetstream.try_ask(f"CONSUMER.RESET.{stream}.{consumer}", {"seq": step.want}, repeat=False)
    except (Unreachable, TimedOut) as problem:
        raise Unreachable(f"{problem} Whether {planned.name} was moved is not known.", hint=f"brokercli consumers lag {planned.name}") from None
    error = answer.get("error")
    if error is None:
        return
    if is_missing(error):
        raise missing(planned.name)
    if error.get("err_code") == _NOT_ALLOWED:
        raise Failed(f"{planned.name} cannot be moved to {step.want}: {error.get('description')} (NATS error {_NOT_ALLOWED}).")
    raise Failed(f"{planned.name} was not moved: {reason(error)}.")


async def _as_planned(jetstream: JetStream, planned: Seek) -> ConsumerState:
    """Return the state of a consumer that nobody works on, and that is where it was planned to be moved from. Raises Failed otherwise."""
    state, basis = await ask_state(jetstream, planned.name), planned.handle
    active = _active(state)
    if active:
        raise Failed(f"{planned.name} is at work, so it was not moved: {', '.join(active)}.", hint="stop its workers, or pause it, and plan again")
    if not isinstance(basis, _Planned) or basis != _Planned(str(state.info["created"]), state.position, state.floor):
        raise Failed(f"{planned.name} is at {state.position} and no longer where it was when this was planned. It was not moved.",
                     hint="the same command plans it anew")
    return state


def _last_used(state: ConsumerState) -> int | None:
    """Return when it last delivered or took an acknowledgement, by the server's clock; None where it never did."""
    moments = (state.info.get(part, {}).get("last_active") for part in ("delivered", "ack_floor"))
    return max([parse_time(str(moment)) for moment in moments if moment], default=None)


def _until_written(state: ConsumerState) -> float:
    """Return for how many seconds the server may still have to write what it did last, by its own clock. Where that was set back since, no more
    than it ever has to."""
    used = _last_used(state)
    if used is None or "ts" not in state.info:
        return 0.0
    return min(WRITTEN_SECONDS, WRITTEN_SECONDS - (parse_time(str(state.info["ts"])) - used) / 1e9)
