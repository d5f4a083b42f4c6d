"""Retries in tiers: a topic for each delay, then the dead letters. Names and headers are those of the tiered convention
(`dialects/tiered.py`), so that what lands in the dead letters can be read and put back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from brokercli.backends.kafka.settings import PARTITIONS, REPLICAS
from brokercli.backends.kafka.topic_name import LONGEST, check_topic_name
from brokercli.model.amount import amount
from brokercli.model.declaration import Declaration, RetrySpecification, RetryTopology, SettingValue
from brokercli.model.errors import Unsupported, UsageProblem

if TYPE_CHECKING:
    from brokercli.backends.kafka.topic_state import TopicState

ATTEMPTS, RETRY_AFTER, ORIGIN = "x-attempts", "x-retry-after", "x-original-topic"
_MILLISECOND = 1_000_000
_DAY = 86_400_000
SLACK = 7 * _DAY
"""How long, in milliseconds, a message may wait for its worker beyond its delay: as long as a week's holiday of the worker."""
DEAD_LETTERS_STAY = 90 * _DAY
_BROKER_DEFAULT_BYTES = 1_048_588
ROOM_FOR_HEADERS = 65_536
"""What is added to the largest message of the source: a message at its limit still has to fit with the headers it gets."""
_UNITS = (("d", _DAY), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_ALREADY = re.compile(r"[.\-](?:retry(?:[.\-]\d+(?:ms|s|m|h|d)?)?|dlq|dlt)$", re.IGNORECASE | re.ASCII)
_OF_THE_SOURCE = ("min.insync.replicas", "compression.type")

_COORDINATES = ("The first time it also gets x-original-partition, x-original-offset and x-original-timestamp (milliseconds since 1970), as decimal "
                "digits, and keeps them.")


def tier(source: str, nanoseconds: int) -> str:
    """Return the name of the topic where messages of `source` wait so long: `orders.retry.5m`."""
    milliseconds = nanoseconds // _MILLISECOND
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds % size == 0)
    return f"{source}.retry.{milliseconds // size}{unit}"


def retry_topology(specification: RetrySpecification, state: TopicState | None, there: Iterable[str] = ()) -> RetryTopology:
    """Return the topics of a specification, and what a worker has to do. `state` is the source as it is, where it is there; what
    the specification says is declared of it goes before. `there` are the topics there are: those of earlier delays are pointed out."""
    source, dead = specification.source, specification.dead_letter or f"{specification.source}.dlq"
    _check(specification, dead)
    settings = _settings(specification, state)
    topics = {tier(source, delay): settings | {"retention.ms": delay // _MILLISECOND + SLACK} | dict(specification.settings) for delay in specification.delays}
    for delay in specification.delays:
        _check_retention(tier(source, delay), topics[tier(source, delay)], delay // _MILLISECOND)
    topics[dead] = settings | {"retention.ms": _dead_retention(specification, state)} | dict(specification.settings)
    long = next((name for name in topics if len(name) > LONGEST), None)
    if long is not None:
        raise UsageProblem(f"{long[:60]}… would be {len(long)} characters long; a topic's name has {LONGEST} at most.",
                           hint="give the dead letters a shorter name" if long == dead else None)
    check_topic_name(dead)
    said = _worker(specification, dead)
    earlier = sorted(name for name in there if name.startswith(f"{source}.retry.") and name not in topics)
    if earlier:
        said.append(f"Go on reading {', '.join(earlier)} until nothing is left there: messages that earlier retries sent there still wait for you.")
    return RetryTopology(tuple(Declaration("topic", name, its) for name, its in topics.items()), tuple(said))


def _check(specification: RetrySpecification, dead: str) -> None:
    if specification.native:
        raise Unsupported("Kafka has no delayed retry of its own: it is done with a topic for each delay.", hint="leave native out")
    if specification.consumer is not None:
        raise UsageProblem("Kafka's retries belong to no consumer: any group reads the topics.", hint="leave the consumer out")
    if _ALREADY.search(specification.source):
        raise UsageProblem(f"{specification.source} is itself the name of retries or of dead letters.", hint="name the topic whose messages are worked on")
    if specification.attempts < 1:
        raise UsageProblem(f"A message is tried once at least, not {specification.attempts} times.")
    if len(specification.delays) > specification.attempts - 1:
        needed = f"{amount(len(specification.delays), 'delay needs', 'delays need')} {len(specification.delays) + 1} attempts or more"
        raise UsageProblem(f"{needed}; there {amount(specification.attempts, 'is', 'are')}.", hint="the first attempt waits for nothing")
    if specification.attempts > 1 and not specification.delays:
        raise UsageProblem(f"{specification.attempts} attempts need a delay between them.", hint="for example 5s 30s 5m")
    for delay in specification.delays:
        if delay < _MILLISECOND or delay % _MILLISECOND:
            raise UsageProblem(f"A delay of {delay} ns cannot be kept: Kafka counts in milliseconds.", hint="for example 5s 30s 5m")
    if dead == specification.source or dead in (tier(specification.source, delay) for delay in specification.delays):
        raise UsageProblem(f"The dead letters cannot go to {dead}: messages would go round for ever.")


def _check_retention(name: str, settings: Mapping[str, SettingValue], delay: int) -> None:
    retention, policy = settings.get("retention.ms"), settings.get("cleanup.policy")
    if isinstance(retention, int) and 0 <= retention <= delay:
        raise UsageProblem(f"{name} would lose its messages before they are due: retention.ms is {retention}, and they wait {delay} ms.",
                           hint=f"leave retention.ms out: it becomes the delay and {SLACK // _DAY} days")
    if policy is not None and "compact" in str(policy):
        raise UsageProblem(f"{name} would lose messages: compaction keeps only the newest of each key.", hint="leave cleanup.policy out")


def _settings(specification: RetrySpecification, state: TopicState | None) -> dict[str, SettingValue]:
    """Return what the topics of retries and of dead letters have in common."""
    declared = specification.declared or {}
    settings: dict[str, SettingValue] = {}
    largest: SettingValue = None
    if state is not None:
        settings |= {PARTITIONS: state.partitions, REPLICAS: state.replicas}
        settings |= {name: state.value(name) for name in _OF_THE_SOURCE if name in state.own}
        largest = state.value("max.message.bytes")
    settings |= {name: declared[name] for name in (PARTITIONS, REPLICAS, *_OF_THE_SOURCE) if name in declared}
    largest = declared.get("max.message.bytes", largest)
    largest = largest if isinstance(largest, int) else _BROKER_DEFAULT_BYTES
    # the time of arrival: retention counts from it whatever time the message carries, and so does the delay
    return settings | {"cleanup.policy": ["delete"], "max.message.bytes": min(largest + ROOM_FOR_HEADERS, 2**31 - 1), "message.timestamp.type": "LogAppendTime"}


def _dead_retention(specification: RetrySpecification, state: TopicState | None) -> int:
    own = (specification.declared or {}).get("retention.ms", None if state is None else state.value("retention.ms"))
    if not isinstance(own, int):
        return DEAD_LETTERS_STAY
    return -1 if own < 0 else max(DEAD_LETTERS_STAY, own)


def _worker(specification: RetrySpecification, dead: str) -> list[str]:
    source, attempts = specification.source, specification.attempts
    said = [f"Read {source}; commit an offset only when its message was worked on, or is confirmed (acks=all) where it goes next."]
    copy = "the same key, body and headers, to the partition of the same number"
    if specification.delays:
        tiers = [tier(source, delay) for delay in specification.delays]
        ways = [f"after attempt {number} to {name}" for number, name in enumerate(tiers, 1)]
        if attempts - 1 > len(tiers):
            ways[-1] = f"after attempts {len(tiers)} to {attempts - 1} to {tiers[-1]}"
        said += [
            f"A message that fails is published again, with {copy}: {', '.join(ways)}, and after attempt {attempts} to {dead}.",
            f"Each time it gets the header {ATTEMPTS} (how often it was tried so far, as decimal digits; none is a first attempt), and {ORIGIN} "
            f"({source}), in place of those it had. {_COORDINATES}",
            f"On its way to another attempt it also gets {RETRY_AFTER}: when it is due, milliseconds since 1970 as decimal digits. It is left out on the way "
            f"to {dead}.",
            f"Read {', '.join(dict.fromkeys(tiers))} as well, and hold each message until it is due: pause its partition, go on polling, and seek back to it; "
            "all of one topic wait equally long, so what follows is due later.",
            "The time of a message there is the broker's, of its arrival: where nobody wrote the header, it is due its topic's delay after that.",
        ]
    else:
        said.append(f"A message that fails is published to {dead}, with {copy}, and with the headers {ATTEMPTS} (1) and {ORIGIN} ({source}). {_COORDINATES}")
    said.append(f"In {dead} the headers x-exception-class and x-exception-message say why; brokercli dlq inspect {dead} reads them all, and dlq redrive takes "
                f"them off again, so that a message put back begins with its first attempt.")
    return said
