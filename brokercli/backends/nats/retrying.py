"""Retries on JetStream: a durable consumer that delivers again after each delay, and a stream that records who died.

The consumer does the waiting. Facts, seen on nats-server 2.15.1: a backoff applies to acknowledgements that do not come, a
plain -NAK is delivered again at once; the first delay takes the place of ack_wait; a message is announced as dead when a
worker asks for messages after its last wait, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from brokercli.backends.nats import LIMITS_STREAM
from brokercli.backends.nats.capture import plan_for
from brokercli.backends.nats.obstacles import check_consumer_name
from brokercli.backends.nats.settings import SETTINGS
from brokercli.backends.nats.streams import JetStream, Json, resource_of
from brokercli.backends.nats.subjects import check_stream_name, check_subject
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, RetrySpecification, RetryTopology, SettingValue
from brokercli.model.errors import UsageProblem
from brokercli.model.position import NANOSECONDS

CONSUMER = "worker"
"""Name of the durable consumer where the specification has none."""
_NAMES = {kind: {setting.name for setting in settings} for kind, settings in SETTINGS.items()}
# what makes the retries: nobody may say otherwise beside the specification
_OURS = {"consumer": {"ack_policy", "max_deliver", "backoff", "ack_wait", "filter_subject", "filter_subjects"},
         "stream": {"subjects", "retention", "mirror", "sources"}}


async def plan_retry(jetstream: JetStream, specification: RetrySpecification) -> RetryTopology:
    """Return the consumer and the stream of a specification. Asks for the source and what records its deaths; changes nothing."""
    if specification.attempts < 1 or len(specification.delays) > specification.attempts - 1:
        raise UsageProblem(f"{amount(len(specification.delays), 'delay needs', 'delays need')} {len(specification.delays) + 1} attempts: "
                           "a message is tried, then once after each delay.")
    if any(delay <= 0 for delay in specification.delays):
        raise UsageProblem("A delay cannot be nothing: JetStream would wait 30 s, its own default, or deliver without end.")
    if specification.native:
        raise UsageProblem("JetStream's retries are its own already: there are no wait queues to do without.", hint="leave native out")
    _check_settings(specification.settings)
    info, subject = await _source(jetstream, specification)
    stream = str(info["config"]["name"])
    consumer = specification.consumer or CONSUMER
    check_consumer_name(consumer)
    capture = await plan_for(jetstream, info, specification.dead_letter)
    worker: dict[str, SettingValue] = {"ack_policy": "explicit", "max_deliver": specification.attempts}
    if specification.delays:
        worker["backoff"] = list(specification.delays)
    if subject is not None:
        worker["filter_subject"] = subject
    declarations = [Declaration("consumer", f"{stream}/{consumer}", worker | _of_kind("consumer", specification.settings))]
    if capture.name == (specification.dead_letter or f"{stream}_DLQ"):
        declarations.insert(0, Declaration("stream", capture.name, _recorder(cast("dict[str, SettingValue]", capture.settings), specification.settings)))
    return RetryTopology(tuple(declarations), _advice(info, specification, f"{stream}/{consumer}", capture.name))


def _check_settings(settings: Mapping[str, SettingValue]) -> None:
    for name in settings:
        if any(name in _OURS[kind] for kind in _OURS):
            raise UsageProblem(f"{name} is what makes the retries: it follows from the delays and attempts.")
        if not any(name in _NAMES[kind] for kind in _NAMES):
            raise UsageProblem(f"Neither a stream nor a consumer has a setting {name!r}.")


def _of_kind(kind: str, settings: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    return {name: value for name, value in settings.items() if name in _NAMES[kind]}


async def _source(jetstream: JetStream, specification: RetrySpecification) -> tuple[Json, str | None]:
    """Return the stream whose messages are worked on, and the subject where only that is."""
    source = specification.source
    if specification.declared is not None:
        check_stream_name(source)
        return {"config": {"name": source, **specification.declared}}, None
    if "." not in source and "*" not in source and ">" not in source:
        check_stream_name(source)
        info = await jetstream.info_or_none(source)
        if info is not None:
            return info, None
    check_subject(source)
    capturing = await jetstream.capturing(source)
    if len(capturing) != 1:
        what = "no stream of that name, and none that captures such a subject" if not capturing else f"captured by {', '.join(capturing)}"
        raise UsageProblem(f"Retries need one stream, and {source} is {what}." if capturing else f"There is {what}: {source}.",
                           hint="brokercli ls shows what there is; names are case-sensitive")
    return await jetstream.info(capturing[0]), source


def _recorder(planned: Mapping[str, SettingValue], further: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Return the settings of the stream that records; of one that is there already only what is added."""
    named = {"subjects"} if planned.get("exists") else _NAMES["stream"]
    return {name: value for name, value in planned.items() if name in named} | _of_kind("stream", further)


def _advice(info: Json, specification: RetrySpecification, consumer: str, recorder: str) -> tuple[str, ...]:
    delays = specification.delays
    told = [f"Work on consumer {consumer}: pull, and acknowledge (+ACK) what is done."]
    if delays:
        told.append(f"A worker has {_seconds(delays[0])} for the first try, the first delay: one that needs longer says so (+WPI) before it has passed, "
                    "or the message is delivered again meanwhile.")
        told.append(f"To fail a message do nothing: it comes again {', then '.join(_seconds(delay) for delay in delays)} after its last delivery"
                    + (", the last one repeated" if specification.attempts > len(delays) + 1 else "") + ". Sooner or later than that: -NAK with a delay "
                    '(-NAK {"delay": nanoseconds}).')
        told.append("Never answer with a plain -NAK: it is delivered again at once, and uses up the attempts without any delay.")
    elif specification.attempts > 1:
        told.append("To fail a message answer -NAK (delivered again at once) or -NAK with a delay; without an answer it is delivered again after ack_wait.")
    told.append(f"The server counts attempts (each message's metadata has the number of deliveries) and gives up after {specification.attempts}. It records "
                "that when a worker pulls after the last wait, not before: keep one pulling.")
    told.append(f"Records lie in stream {recorder}: brokercli dlq inspect stream:{recorder}.")
    if resource_of(info) == LIMITS_STREAM:
        told.append("+TERM gives a message up at once, and is recorded too.")
        age, whole = int(info["config"].get("max_age") or 0), _whole(specification)
        if 0 < age <= whole:
            told.append(f"Messages are gone after {_seconds(age)} (max_age of the stream), and all the tries take {_seconds(whole)}: they are gone before "
                        "they are dead.")
    else:
        told.append("+TERM deletes a message from such a stream at once: its record says that it died, not what it said. Let it use up its attempts instead.")
    return tuple(told)


def _whole(specification: RetrySpecification) -> int:
    """Return how long all tries take, the last wait included."""
    delays = specification.delays
    return sum(delays) + (specification.attempts - len(delays)) * delays[-1] if delays else 0


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / NANOSECONDS:g} s"
